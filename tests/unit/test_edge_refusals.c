/* The edge's core as a whole: a cloud, a broker or a link that refuses, and dead letters that are
 * tried again (D8). */
#include "edge_bench.h"

#include <stdio.h>
#include <string.h>

#include "common/json_scan.h"
#include "common/log.h"
#include "edge_agent/calls.h"
#include "edge_agent/status.h"

/* ---- refusals ---- */

static void busy_cloud_is_asked_again_later_and_ever_later(void **state)
{
    int64_t delay = 30000;

    (void)state;
    kit_readings(1);
    bench_open();
    for (int i = 0; i < 4; i++) {
        bench_refuse(bench_next_batch(BENCH_AIR, 1, 1), SB_EBUSY, 0);
        bench_puback_all();
        bench_tick();
        bench_pass(delay - 1);
        bench_tick();
        bench_assert_quiet();
        assert_int_equal(bench_status().parked, 1);
        assert_int_equal(bench_status().last_error.code, SB_EBUSY);
        bench_pass(1);
        bench_tick();
        delay *= 2;
    }
    bench_answer(bench_next_batch(BENCH_AIR, 1, 1), NULL);
    bench_tick();
    assert_int_equal(bench_status().parked, 0);
}

/* While the next try is on its way, and when a flush has brought it forward. */
static void status_names_no_next_try_in_the_past(void **state)
{
    struct sb_buf json = {0};
    struct sb_span object, parked;
    char expected[64], at[SB_TIME_TEXT];

    (void)state;
    kit_readings(1);
    bench_open();
    bench_refuse(bench_next_batch(BENCH_AIR, 1, 1), SB_EBUSY, 0);
    bench_puback_all();
    bench_tick();
    bench_pass(30000);
    bench_tick();
    bench_next_batch(BENCH_AIR, 1, 1);
    bench_pass(10);
    assert_int_equal(status_print(kit_ob, "edge-001", NULL, bench.edge, kit_now, &json, &kit_err),
                     0);
    assert_int_equal(sb_json_check(sb_buf_span(&json), &calls_limits, &object, &kit_err), 0);
    assert_true(sb_json_get(object, "parked", &parked));
    sb_time_print(kit_now.wall_us, at);
    snprintf(expected, sizeof(expected), "\"next_try\":\"%s\"", at);
    if (memmem(parked.data, parked.len, expected, strlen(expected)) == NULL)
        fail_msg("%s is not in " SB_SPAN_FMT, expected, SB_SPAN_ARG(parked));
    sb_buf_free(&json);
}

static void cloud_says_how_long_to_wait(void **state)
{
    (void)state;
    kit_readings(1);
    bench_open();
    bench_refuse(bench_next_batch(BENCH_AIR, 1, 1), SB_EBUSY, 90000);
    bench_tick();
    bench_pass(89999);
    bench_tick();
    bench_assert_quiet();
    bench_pass(1);
    bench_tick();
    bench_next_batch(BENCH_AIR, 1, 1);
}

static void refused_stream_holds_up_no_other(void **state)
{
    (void)state;
    kit_edit("op-a");
    bench_open();
    bench_refuse(bench_next_batch(BENCH_USER, 1, 1), SB_EFORBIDDEN, 0);
    kit_readings(2);
    edge_wake(bench.edge);
    bench_tick();
    bench_next_batch(BENCH_AIR, 1, 2);
    bench_assert_quiet();
    edge_unpark(bench.edge); /* flush */
    bench_tick();
    bench_next_batch(BENCH_USER, 1, 1);
}

static void parked_epoch_holds_up_the_later_ones_of_its_stream(void **state)
{
    (void)state;
    kit_edit("op-a");
    kit_new_epoch();
    kit_edit("op-b");
    bench_open();
    bench_refuse(bench_next_batch(BENCH_USER, 1, 1), SB_EFORBIDDEN, 0);
    bench_tick();
    bench_assert_quiet();
}

static void batch_over_a_limit_is_split_down_to_one_record(void **state)
{
    struct sent *batch;
    uint64_t most = 9;

    (void)state;
    kit_readings(8);
    bench_open();
    for (;;) {
        batch = bench_next();
        assert_int_equal(batch->lo, 1);
        assert_in_range(batch->hi, 1, most - 1);
        most = batch->hi;
        bench_puback_all();
        bench_refuse(batch, SB_ELIMIT, 0);
        if (most == 1)
            break;
        bench_tick();
        bench.seen = bench.count - (bench.count - (size_t)(batch - bench.sent) - 1);
        while (bench.sent[bench.seen].lo != 1)
            bench.seen++;
    }
    assert_in_range(bench.count, 1, 24); /* halving what was sent, not what might have been */
    bench_tick();
    assert_int_equal(bench_status().parked, 1);
    bench_assert_settled(BENCH_AIR, "[]");
}

static void message_that_the_link_finds_too_large_is_split(void **state)
{
    (void)state;
    kit_readings(8);
    bench_open();
    bench_refuse(bench_next_batch(BENCH_AIR, 1, 8), SB_EBUSY, 0);
    bench.refuse = SB_ETOO_LARGE;
    bench_pass(30000);
    bench_tick();
    bench_tick();
    assert_int_equal(bench_status().last_error.code, SB_ETOO_LARGE);
    assert_int_equal(bench_status().parked, 1);
    kit_edit("op-a");
    bench.refuse = SB_OK;
    edge_wake(bench.edge);
    bench_tick();
    bench_next_batch(BENCH_USER, 1, 1); /* others go on */
    bench_pass(60000);
    bench_tick();
    assert_int_equal(bench_next()->lo, 1);
    assert_true(bench.sent[bench.seen - 1].hi < 8);
}

static void refusing_puback_frees_the_numbers(void **state)
{
    (void)state;
    kit_readings(8);
    bench_open();
    bench_puback(bench_next_batch(BENCH_AIR, 1, 8), SB_ETOO_LARGE);
    bench_tick();
    bench_next_batch(BENCH_AIR, 1, 4);
    bench_next_batch(BENCH_AIR, 5, 8);
    bench_puback(&bench.sent[bench.count - 2], SB_EUNREACHABLE); /* nobody subscribes: no refusal */
    bench_tick();
    bench_assert_quiet();
    assert_int_equal(bench_status().parked, 0);
    bench_puback(&bench.sent[bench.count - 1], SB_EFORBIDDEN);
    bench_tick();
    bench_assert_quiet();
    assert_int_equal(bench_status().parked, 1);
    bench_pass(30000);
    bench_tick();
    assert_int_equal(bench.sent[bench.count - 1].hi, 8);
}

static void unreadable_batch_settles_nothing(void **state)
{
    struct sb_reply reply;
    struct sb_buf json = {0};
    struct sent *batch;

    (void)state;
    kit_readings(1);
    bench_open();
    batch = bench_next_batch(BENCH_AIR, 1, 1);
    sb_reply_init(&reply);
    memcpy(reply.boot, KIT_INGEST, sizeof(reply.boot));
    memcpy(reply.batch_id, batch->batch_id, sizeof(reply.batch_id));
    reply.result = SB_RESULT_REJECTED;
    reply.code = SB_EBAD_JSON;
    sb_reply_encode(&reply, NULL, SIZE_MAX, &json);
    bench_send("reply", &json, false);
    bench_tick();
    bench_assert_settled(BENCH_AIR, "[]");
    assert_int_equal(bench_status().parked, 1);
    sb_buf_free(&json);
    sb_reply_free(&reply);
}

static void refusal_for_want_of_a_hello_says_one(void **state)
{
    struct sb_hello hello;
    struct sent *batch;

    (void)state;
    kit_readings(1);
    bench_open();
    batch = bench_next_batch(BENCH_AIR, 1, 1);
    bench_refuse(batch, SB_EHELLO, 0);
    bench_tick();
    bench_next_hello(&hello);
    bench_welcome(hello.nonce, KIT_OTHER, 1, false);
    bench_tick();
    batch = bench_next_batch(BENCH_AIR, 1, 1);
    assert_string_equal(batch->boot, KIT_OTHER);
    bench_puback_all();
    bench_refuse(batch, SB_EHELLO, 0); /* at once again: no hello, no storm */
    bench_tick();
    bench_assert_quiet();
    bench_pass(1000);
    bench_tick();
    bench_next_batch(BENCH_AIR, 1, 1);
    bench_pass(4000);
    bench_refuse(&bench.sent[bench.count - 1], SB_EHELLO, 0);
    bench_tick();
    sb_hello_free(&hello);
    bench_next_hello(&hello);
    sb_hello_free(&hello);
}

/* ---- D8: dead letters ---- */

static void ask_again(int64_t id)
{
    kit_begin();
    assert_int_equal(outbox_dead_retry(kit_ob, id, kit_now, &kit_err), 0);
    kit_commit();
    edge_wake(bench.edge);
}

static void open_with_a_dead_letter(void)
{
    kit_readings(3);
    bench_open();
    bench_answer(bench_next_batch(BENCH_AIR, 1, 3), bench_reject_two);
    bench_puback_all();
    bench_tick();
    kit_assert_dead("sensors/air_quality 2 bad_value;");
}

static void dead_letter_is_sent_until_it_is_answered(void **state)
{
    struct sent *again;

    (void)state;
    open_with_a_dead_letter();
    ask_again(1);
    bench_tick();
    again = bench_next_batch(BENCH_AIR, 2, 2);
    assert_true(again->again);
    bench_tick();
    bench_assert_quiet();
    bench_pass(2000);
    bench_tick();
    again = bench_next_batch(BENCH_AIR, 2, 2); /* the first was lost */
    assert_true(again->again);
    bench_start();
    bench_open();
    again = bench_next_batch(BENCH_AIR, 2, 2); /* and it survives the process */
    assert_true(again->again);
    bench_answer(again, NULL);
    bench_tick();
    kit_assert_dead("");
    bench_assert_settled(BENCH_AIR, "[[1,3]]");
    bench_assert_quiet();
}

static void reject_all(struct sb_reply *reply)
{
    sb_reply_reject(reply, reply->first_seq, SB_EUNVERIFIABLE, "dropped");
    reply->accepted = 0;
    reply->result = SB_RESULT_REJECTED;
}

static void dead_letter_that_is_refused_again_stays_and_is_not_repeated(void **state)
{
    (void)state;
    open_with_a_dead_letter();
    ask_again(1);
    bench_tick();
    bench_answer(bench_next_batch(BENCH_AIR, 2, 2), reject_all);
    bench_tick();
    bench_pass(5000);
    bench_tick();
    bench_assert_quiet();
    kit_assert_dead("sensors/air_quality 2 unverifiable;");
}

static void old_refusal_does_not_take_a_new_wish_away(void **state)
{
    struct sent *first;

    (void)state;
    open_with_a_dead_letter();
    ask_again(1);
    bench_tick();
    first = bench_next_batch(BENCH_AIR, 2, 2);
    bench_answer(first, reject_all);
    bench_tick();
    ask_again(1);
    bench_answer(first, reject_all); /* the broker delivers it twice */
    bench_tick();
    assert_true(bench_next_batch(BENCH_AIR, 2, 2)->again);
    bench_pass(2000); /* lost */
    bench_tick();
    assert_true(bench_next_batch(BENCH_AIR, 2, 2)->again);
}

static void dead_letter_waits_for_room_in_the_window(void **state)
{
    (void)state;
    open_with_a_dead_letter();
    for (int i = 0; i < 4; i++)
        kit_readings(1000);
    ask_again(1);
    bench_tick();
    for (int i = 0; i < 4; i++)
        assert_false(bench_next()->again);
    bench_assert_quiet();
    bench_puback_all();
    for (size_t i = bench.count - 4, n = i + 4; i < n; i++)
        bench_answer(&bench.sent[i], NULL);
    bench_tick();
    assert_true(bench_next()->again);
}

static void dead_letter_of_a_parked_stream_waits_with_it(void **state)
{
    (void)state;
    open_with_a_dead_letter();
    ask_again(1);
    bench_tick();
    bench_refuse(bench_next_batch(BENCH_AIR, 2, 2), SB_EBUSY, 0);
    bench_tick();
    bench_assert_quiet();
    bench_pass(30000);
    bench_tick();
    assert_true(bench_next_batch(BENCH_AIR, 2, 2)->again);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        CASE(busy_cloud_is_asked_again_later_and_ever_later),
        CASE(status_names_no_next_try_in_the_past),
        CASE(cloud_says_how_long_to_wait),
        CASE(refused_stream_holds_up_no_other),
        CASE(parked_epoch_holds_up_the_later_ones_of_its_stream),
        CASE(batch_over_a_limit_is_split_down_to_one_record),
        CASE(message_that_the_link_finds_too_large_is_split),
        CASE(refusing_puback_frees_the_numbers),
        CASE(unreadable_batch_settles_nothing),
        CASE(refusal_for_want_of_a_hello_says_one),
        CASE(dead_letter_is_sent_until_it_is_answered),
        CASE(dead_letter_that_is_refused_again_stays_and_is_not_repeated),
        CASE(old_refusal_does_not_take_a_new_wish_away),
        CASE(dead_letter_waits_for_room_in_the_window),
        CASE(dead_letter_of_a_parked_stream_waits_with_it),
    };
#undef CASE

    sb_log_init("test_edge_refusals", SB_LOG_BUG, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
