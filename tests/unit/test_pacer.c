/* How much is on its way and when it goes again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge_agent/pacer.h"

static const struct pacer_config config = {.window_max = 10,
                                           .rto_min_ms = 1000,
                                           .rto_max_ms = 30000,
                                           .retry_min_ms = 30000,
                                           .retry_max_ms = 1800000};
static struct pacer pacer;
static bool was_flying;

static int setup(void **state)
{
    (void)state;
    pacer_init(&pacer, &config);
    pacer_up(&pacer, 20);
    return 0;
}

/* Batch ids are as long as real ones. */
static const char *id_of(unsigned n)
{
    static char id[SB_UUID_LEN + 1];

    snprintf(id, sizeof(id), "018f0000-0000-7000-8000-%012u", n);
    return id;
}

static void send(unsigned n, int64_t now_ms)
{
    pacer_sent(&pacer, id_of(n), 1, n, n, FLIGHT_ROWS, n, now_ms);
}

static struct flight *reply(unsigned n, int64_t now_ms)
{
    return pacer_reply(&pacer, id_of(n), now_ms, &was_flying);
}

static void window_is_the_receive_maximum_less_four(void **state)
{
    (void)state;
    pacer_up(&pacer, 8);
    assert_int_equal(pacer.window, 4);
    pacer_up(&pacer, 65535);
    assert_int_equal(pacer.window, 10);
    pacer_up(&pacer, 3);
    assert_int_equal(pacer.window, 1);
}

static void window_never_outgrows_what_is_remembered(void **state)
{
    const struct pacer_config huge = {.window_max = 100000, .rto_min_ms = 1, .rto_max_ms = 1};
    unsigned sent = 0;

    (void)state;
    pacer_init(&pacer, &huge);
    pacer_up(&pacer, 65535);
    for (; pacer_may_send(&pacer); sent++)
        send(sent, 0);
    assert_in_range(sent, 1, PACER_FLIGHTS_MAX - 1);
}

static void full_window_waits_for_reply_and_puback(void **state)
{
    (void)state;
    pacer_up(&pacer, 6);
    send(1, 0);
    send(2, 0);
    assert_false(pacer_may_send(&pacer));
    assert_non_null(reply(1, 10));
    assert_true(was_flying);
    assert_false(pacer_may_send(&pacer)); /* the broker still counts it */
    assert_non_null(pacer_acked(&pacer, 1));
    assert_true(pacer_may_send(&pacer));
}

static void puback_alone_does_not_free_the_window(void **state)
{
    (void)state;
    pacer_up(&pacer, 5);
    send(1, 0);
    assert_ptr_equal(pacer_acked(&pacer, 1), &pacer.flights[0]);
    assert_false(pacer_may_send(&pacer));
    assert_int_equal(pacer.flying, 1);
}

static void other_publishes_count_until_their_puback(void **state)
{
    (void)state;
    pacer_up(&pacer, 6);
    pacer_other_sent(&pacer, 77);
    pacer_other_sent(&pacer, 78);
    assert_false(pacer_may_send(&pacer));
    assert_null(pacer_acked(&pacer, 5)); /* of a publish that was never counted */
    assert_false(pacer_may_send(&pacer));
    assert_null(pacer_acked(&pacer, 77));
    assert_true(pacer_may_send(&pacer));
    assert_null(pacer_acked(&pacer, 77));
    assert_int_equal(pacer.unacked, 1);
}

static void more_other_publishes_than_are_kept_do_not_shut_the_window(void **state)
{
    (void)state;
    for (uint32_t token = 1; token <= 3 * PACER_OTHERS_MAX; token++)
        pacer_other_sent(&pacer, token);
    for (uint32_t token = 1; token <= 3 * PACER_OTHERS_MAX; token++)
        assert_null(pacer_acked(&pacer, token));
    assert_int_equal(pacer.unacked, 0);
}

static void late_reply_finds_its_flight_until_a_hello_forgets_it(void **state)
{
    (void)state;
    send(1, 0);
    assert_non_null(pacer_expired(&pacer, true, 1000));
    assert_non_null(reply(1, 1100));
    assert_false(was_flying);
    pacer_forget(&pacer);
    assert_null(reply(1, 1200));
    assert_int_equal(pacer.flying, 0);
}

static void forgotten_flights_hold_the_window_until_their_puback(void **state)
{
    (void)state;
    pacer_up(&pacer, 5);
    send(1, 0);
    pacer_forget(&pacer);
    assert_false(pacer_may_send(&pacer));
    assert_null(pacer_acked(&pacer, 1));
    assert_true(pacer_may_send(&pacer));
}

static void disconnect_lands_everything_and_keeps_it_known(void **state)
{
    (void)state;
    send(1, 0);
    send(2, 0);
    pacer_other_sent(&pacer, 3);
    pacer_down(&pacer);
    assert_int_equal(pacer.flying, 0);
    assert_int_equal(pacer.unacked, 0);
    assert_non_null(reply(2, 50));
    assert_false(was_flying);
}

static void dropped_flight_is_unknown(void **state)
{
    struct flight *flight;

    (void)state;
    send(1, 0);
    flight = reply(1, 5);
    pacer_drop(&pacer, flight);
    assert_null(reply(1, 6));
    assert_int_equal(pacer.flying, 0);
}

static void oldest_landed_flight_makes_room(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= PACER_FLIGHTS_MAX; n++) {
        send(n, 0);
        if (n != 3)
            reply(n, 1);
        pacer_acked(&pacer, n);
    }
    send(1000, 2);
    assert_null(reply(1, 3)); /* pushed out */
    assert_non_null(reply(2, 3));
    assert_non_null(reply(3, 3));
    assert_non_null(reply(1000, 3));
    assert_int_equal(pacer.flying, 0);
}

static void batch_goes_again_after_four_reply_times(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 100; n++) {
        send(n, n * 1000);
        assert_non_null(reply(n, n * 1000 + 500));
        pacer_acked(&pacer, n);
    }
    assert_int_equal(pacer_reply_ms(&pacer), 500);
    assert_int_equal(pacer_rto(&pacer), 2000);
    send(200, 200000);
    assert_int_equal(pacer_deadline(&pacer, true), 202000);
    assert_null(pacer_expired(&pacer, true, 201999));
    assert_non_null(pacer_expired(&pacer, true, 202000));
    assert_null(pacer_expired(&pacer, true, 202000));
    assert_int_equal(pacer_deadline(&pacer, true), INT64_MAX);
}

static void timeout_stays_within_its_bounds(void **state)
{
    (void)state;
    assert_int_equal(pacer_rto(&pacer), 1000);
    send(1, 0);
    reply(1, 1);
    assert_int_equal(pacer_rto(&pacer), 1000);
    send(2, 10);
    reply(2, 10 + 1000000);
    assert_int_equal(pacer_rto(&pacer), 30000);
}

static void silence_of_all_waits_longer_and_longer(void **state)
{
    int64_t now = 0;

    (void)state;
    for (int64_t delay = 30000; delay < 1800000; delay *= 2) {
        send(1, now);
        assert_null(pacer_expired(&pacer, false, now + delay - 1));
        assert_non_null(pacer_expired(&pacer, false, now + delay));
        now += delay;
        pacer_acked(&pacer, 1);
    }
    assert_int_equal(pacer.retry_ms, 1800000);
    pacer_reset_retry(&pacer);
    assert_int_equal(pacer.retry_ms, 30000);
}

static void batches_that_flew_together_double_the_wait_once(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 5; n++)
        send(n, n);
    for (unsigned n = 1; n <= 5; n++)
        assert_non_null(pacer_expired(&pacer, false, 60010));
    assert_int_equal(pacer.retry_ms, 60000);
    send(6, 60010);
    assert_non_null(pacer_expired(&pacer, false, 120010));
    assert_int_equal(pacer.retry_ms, 120000);
}

static void silence_while_others_are_answered_means_a_lost_message(void **state)
{
    (void)state;
    send(1, 0);
    send(2, 5);
    assert_null(pacer_expired(&pacer, false, 5000)); /* nobody answers: 30 s */
    reply(2, 5010);
    assert_non_null(pacer_expired(&pacer, false, 5 + pacer_rto(&pacer) + 20000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(window_is_the_receive_maximum_less_four, setup),
        cmocka_unit_test_setup(window_never_outgrows_what_is_remembered, setup),
        cmocka_unit_test_setup(full_window_waits_for_reply_and_puback, setup),
        cmocka_unit_test_setup(puback_alone_does_not_free_the_window, setup),
        cmocka_unit_test_setup(other_publishes_count_until_their_puback, setup),
        cmocka_unit_test_setup(more_other_publishes_than_are_kept_do_not_shut_the_window, setup),
        cmocka_unit_test_setup(late_reply_finds_its_flight_until_a_hello_forgets_it, setup),
        cmocka_unit_test_setup(forgotten_flights_hold_the_window_until_their_puback, setup),
        cmocka_unit_test_setup(disconnect_lands_everything_and_keeps_it_known, setup),
        cmocka_unit_test_setup(dropped_flight_is_unknown, setup),
        cmocka_unit_test_setup(oldest_landed_flight_makes_room, setup),
        cmocka_unit_test_setup(batch_goes_again_after_four_reply_times, setup),
        cmocka_unit_test_setup(timeout_stays_within_its_bounds, setup),
        cmocka_unit_test_setup(silence_of_all_waits_longer_and_longer, setup),
        cmocka_unit_test_setup(batches_that_flew_together_double_the_wait_once, setup),
        cmocka_unit_test_setup(silence_while_others_are_answered_means_a_lost_message, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
