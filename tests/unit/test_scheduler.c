/* When a full sync begins, and what is said about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "edge_agent/scheduler.h"

static const struct scheduler_config usual = {.interval_ms = 300000, .startup_timeout_ms = 10000};
static struct scheduler s;

static int setup(void **state)
{
    (void)state;
    scheduler_init(&s, &usual, 1000);
    return 0;
}

/* The steps of that moment, exactly these and then nothing. */
static void assert_steps(int64_t now_ms, enum scheduler_step first, enum scheduler_step second,
                         enum scheduler_step third)
{
    const enum scheduler_step wanted[] = {first, second, third, SCHEDULER_NOTHING};

    for (int i = 0; i < 4; i++) {
        assert_int_equal(scheduler_step(&s, now_ms), wanted[i]);
        if (wanted[i] == SCHEDULER_NOTHING)
            break;
    }
    assert_int_equal(scheduler_step(&s, now_ms), SCHEDULER_NOTHING);
}

static void assert_step(int64_t now_ms, enum scheduler_step step)
{
    assert_steps(now_ms, step, SCHEDULER_NOTHING, SCHEDULER_NOTHING);
}

static void assert_nothing(int64_t now_ms)
{
    assert_step(now_ms, SCHEDULER_NOTHING);
}

/* Through the start phase; the timer runs from now_ms on. */
static void start_at(int64_t now_ms)
{
    scheduler_online(&s, true);
    assert_step(now_ms, SCHEDULER_SYNC);
    scheduler_done(&s);
    assert_steps(now_ms, SCHEDULER_STARTED, SCHEDULER_TIMER_ON, SCHEDULER_NOTHING);
}

static void a_start_syncs_once_online_and_starts_the_timer(void **state)
{
    (void)state;
    assert_nothing(1000);
    scheduler_online(&s, true);
    assert_step(2000, SCHEDULER_SYNC);
    assert_int_equal(s.reason, SCHEDULER_AT_START);
    assert_nothing(3000);
    scheduler_done(&s);
    assert_steps(4000, SCHEDULER_STARTED, SCHEDULER_TIMER_ON, SCHEDULER_NOTHING);
    assert_int_equal(scheduler_deadline(&s), 304000);
}

static void a_start_that_takes_too_long_is_unfinished_and_goes_on(void **state)
{
    (void)state;
    scheduler_online(&s, true);
    assert_step(2000, SCHEDULER_SYNC);
    assert_nothing(10999);
    assert_int_equal(scheduler_deadline(&s), 11000);
    assert_steps(11000, SCHEDULER_UNFINISHED, SCHEDULER_TIMER_ON, SCHEDULER_NOTHING);
    assert_true(s.running);
    scheduler_done(&s);
    assert_step(40000, SCHEDULER_STARTED);
    assert_nothing(40001);
}

static void a_start_without_a_cloud_is_unfinished_too(void **state)
{
    (void)state;
    assert_steps(11000, SCHEDULER_UNFINISHED, SCHEDULER_TIMER_ON, SCHEDULER_NOTHING);
    assert_nothing(20000);
    scheduler_online(&s, true);
    assert_step(50000, SCHEDULER_SYNC);
    assert_int_equal(s.reason, SCHEDULER_AT_START);
    scheduler_done(&s);
    assert_step(51000, SCHEDULER_STARTED);
}

static void the_timer_counts_from_the_last_sync(void **state)
{
    (void)state;
    start_at(2000);
    assert_nothing(301999);
    assert_step(302000, SCHEDULER_SYNC);
    assert_int_equal(s.reason, SCHEDULER_BY_TIMER);
    scheduler_done(&s);
    scheduler_ask(&s);
    assert_step(400000, SCHEDULER_SYNC);
    assert_int_equal(s.reason, SCHEDULER_ON_DEMAND);
    scheduler_done(&s);
    assert_nothing(699999);
    assert_step(700000, SCHEDULER_SYNC);
}

static void a_tick_while_a_sync_runs_is_skipped(void **state)
{
    (void)state;
    start_at(2000);
    assert_step(302000, SCHEDULER_SYNC);
    assert_nothing(602000);
    scheduler_done(&s);
    assert_nothing(602001);
    assert_step(902000, SCHEDULER_SYNC);
}

static void a_tick_offline_waits_for_the_connection(void **state)
{
    (void)state;
    start_at(2000);
    scheduler_online(&s, false);
    assert_nothing(302000);
    assert_true(scheduler_deadline(&s) > 302000);
    scheduler_online(&s, true);
    assert_step(303000, SCHEDULER_SYNC);
    assert_int_equal(s.reason, SCHEDULER_AT_ONLINE);
}

static void coming_online_syncs_at_once_also_when_a_sync_was_cut_off(void **state)
{
    (void)state;
    start_at(2000);
    scheduler_ask(&s);
    assert_step(5000, SCHEDULER_SYNC);
    scheduler_online(&s, false);
    assert_false(s.running);
    scheduler_done(&s); /* of the one that was given up */
    assert_nothing(7000);
    scheduler_online(&s, true);
    scheduler_online(&s, true);
    assert_step(8000, SCHEDULER_SYNC);
    scheduler_done(&s);
    assert_nothing(9000);
}

static void asked_while_one_runs_begins_when_that_one_ended(void **state)
{
    (void)state;
    start_at(2000);
    scheduler_ask(&s);
    assert_step(5000, SCHEDULER_SYNC);
    scheduler_ask(&s);
    assert_nothing(5001);
    scheduler_done(&s);
    assert_step(6000, SCHEDULER_SYNC);
    scheduler_done(&s);
    assert_nothing(7000);
}

static void asked_offline_begins_with_the_connection(void **state)
{
    (void)state;
    start_at(2000);
    scheduler_online(&s, false);
    scheduler_ask(&s);
    assert_nothing(4000);
    scheduler_online(&s, true);
    assert_step(5000, SCHEDULER_SYNC);
    scheduler_done(&s);
    assert_nothing(5002);
}

static void the_interval_changes_while_it_runs(void **state)
{
    const struct scheduler_config faster = {.interval_ms = 60000, .startup_timeout_ms = 10000};
    const struct scheduler_config none = {.interval_ms = 0, .startup_timeout_ms = 10000};

    (void)state;
    start_at(2000);
    scheduler_configure(&s, &faster, 10000);
    assert_step(10000, SCHEDULER_TIMER_ON);
    assert_step(70000, SCHEDULER_SYNC);
    scheduler_done(&s);
    scheduler_configure(&s, &faster, 80000);
    assert_nothing(80000);
    scheduler_configure(&s, &none, 90000);
    assert_step(90000, SCHEDULER_TIMER_OFF);
    assert_int_equal(scheduler_deadline(&s), INT64_MAX);
    assert_nothing(900000);
    scheduler_configure(&s, &faster, 900000);
    assert_step(900000, SCHEDULER_TIMER_ON);
    assert_step(960000, SCHEDULER_SYNC);
}

static void without_an_interval_there_is_no_timer(void **state)
{
    const struct scheduler_config none = {.interval_ms = 0, .startup_timeout_ms = 10000};

    (void)state;
    scheduler_init(&s, &none, 0);
    scheduler_online(&s, true);
    assert_step(0, SCHEDULER_SYNC);
    scheduler_done(&s);
    assert_step(1, SCHEDULER_STARTED);
    assert_int_equal(scheduler_deadline(&s), INT64_MAX);
    scheduler_stop(&s);
    assert_nothing(2);
}

static void the_start_phase_keeps_its_end_when_the_interval_changes(void **state)
{
    const struct scheduler_config none = {.interval_ms = 0, .startup_timeout_ms = 5000};

    (void)state;
    scheduler_configure(&s, &none, 2000);
    assert_int_equal(scheduler_deadline(&s), 11000);
    assert_step(11000, SCHEDULER_UNFINISHED);
}

static void after_the_stop_nothing_begins_any_more(void **state)
{
    (void)state;
    start_at(2000);
    scheduler_ask(&s);
    scheduler_stop(&s);
    assert_step(3000, SCHEDULER_TIMER_OFF);
    scheduler_online(&s, false);
    scheduler_online(&s, true);
    scheduler_ask(&s);
    assert_nothing(900000);
    assert_int_equal(scheduler_deadline(&s), INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_start_syncs_once_online_and_starts_the_timer, setup),
        cmocka_unit_test_setup(a_start_that_takes_too_long_is_unfinished_and_goes_on, setup),
        cmocka_unit_test_setup(a_start_without_a_cloud_is_unfinished_too, setup),
        cmocka_unit_test_setup(the_timer_counts_from_the_last_sync, setup),
        cmocka_unit_test_setup(a_tick_while_a_sync_runs_is_skipped, setup),
        cmocka_unit_test_setup(a_tick_offline_waits_for_the_connection, setup),
        cmocka_unit_test_setup(coming_online_syncs_at_once_also_when_a_sync_was_cut_off, setup),
        cmocka_unit_test_setup(asked_while_one_runs_begins_when_that_one_ended, setup),
        cmocka_unit_test_setup(asked_offline_begins_with_the_connection, setup),
        cmocka_unit_test_setup(the_interval_changes_while_it_runs, setup),
        cmocka_unit_test_setup(without_an_interval_there_is_no_timer, setup),
        cmocka_unit_test_setup(the_start_phase_keeps_its_end_when_the_interval_changes, setup),
        cmocka_unit_test_setup(after_the_stop_nothing_begins_any_more, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
