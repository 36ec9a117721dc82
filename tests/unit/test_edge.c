/* The edge's core as a whole: rules D1, D5 and D7 to D9, refusals and timers. */
#include "edge_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

/* ---- D1: the gate ---- */

static void nothing_but_a_hello_goes_before_its_welcome(void **state)
{
    struct sb_hello hello;

    (void)state;
    kit_readings(3);
    bench_start();
    bench_tick();
    bench_assert_quiet(); /* not connected */
    bench_connect();
    bench_tick();
    bench_next_hello(&hello);
    assert_string_equal(hello.device, "edge-001");
    assert_string_equal(hello.device_boot, KIT_BOOT);
    assert_string_equal(hello.receipt.boot, "");
    assert_int_equal(hello.claims[0].made, 3);
    bench_pass(900);
    bench_tick();
    bench_assert_quiet();
    bench_welcome(hello.nonce, KIT_INGEST, 1, false);
    bench_tick();
    assert_string_equal(bench_next_batch(BENCH_AIR, 1, 3)->boot, KIT_INGEST);
    bench_assert_quiet();
    sb_hello_free(&hello);
}

static void hello_is_repeated_until_it_is_answered(void **state)
{
    struct sb_hello first, second;

    (void)state;
    bench_start();
    bench_connect();
    bench_tick();
    bench_next_hello(&first);
    bench_pass(1000);
    bench_tick();
    bench_next_hello(&second);
    assert_string_not_equal(first.nonce, second.nonce);
    bench_welcome(first.nonce, KIT_INGEST, 1, false); /* late */
    bench_tick();
    assert_false(bench_status().welcomed);
    bench_welcome(second.nonce, KIT_INGEST, 2, false);
    bench_tick();
    assert_true(bench_status().welcomed);
    sb_hello_free(&first);
    sb_hello_free(&second);
}

static void hello_waits_longer_while_no_ingest_is_there(void **state)
{
    struct sb_hello hello;

    (void)state;
    bench_start();
    bench_connect();
    bench_online(NULL);
    bench_tick();
    bench_next_hello(&hello);
    bench_pass(29000);
    bench_tick();
    bench_assert_quiet();
    bench_online(KIT_OTHER); /* somebody came: soon */
    bench_tick();
    bench_pass(1000);
    bench_tick();
    sb_hello_free(&hello);
    bench_next_hello(&hello);
    sb_hello_free(&hello);
}

static void new_boot_of_the_ingest_makes_a_hello(void **state)
{
    struct sb_hello hello;

    (void)state;
    kit_readings(1);
    bench_open();
    bench_answer(bench_next_batch(BENCH_AIR, 1, 1), NULL);
    bench_tick();
    bench_online(KIT_OTHER);
    kit_readings(1);
    edge_wake(bench.edge);
    bench_tick();
    bench_next_hello(&hello); /* and not the new reading */
    assert_string_equal(hello.receipt.boot, KIT_INGEST);
    assert_int_equal(hello.receipt.commit, 2);
    bench_assert_quiet();
    bench_welcome(hello.nonce, KIT_OTHER, 1, false);
    bench_tick();
    assert_string_equal(bench_next_batch(BENCH_AIR, 2, 2)->boot, KIT_OTHER);
    sb_hello_free(&hello);
}

static void only_the_hello_goes_while_the_ingest_is_away(void **state)
{
    struct sb_hello hello;

    (void)state;
    kit_readings(1);
    bench_open();
    bench_next_batch(BENCH_AIR, 1, 1);
    bench_online(NULL);
    kit_readings(1);
    edge_wake(bench.edge);
    bench_tick();
    assert_false(bench_status().welcomed);
    bench_pass(29000);
    bench_tick();
    bench_assert_quiet(); /* neither the new one nor what was never answered */
    bench_pass(1000);
    bench_tick();
    bench_next_hello(&hello);
    bench_assert_quiet();
    bench_welcome(hello.nonce, KIT_INGEST, 2, false); /* it is there, whatever its presence says */
    bench_tick();
    bench_next_batch(BENCH_AIR, 1, 2);
    sb_hello_free(&hello);
}

static void refused_hello_is_shown_and_said_again_later_and_ever_later(void **state)
{
    static const int64_t waits[] = {30000, 60000};
    struct sb_hello hello;

    (void)state;
    kit_readings(1);
    bench_start();
    bench_connect();
    bench_tick();
    for (size_t i = 0; i < 2; i++) {
        bench_next_hello(&hello);
        bench_refuse_hello(hello.nonce, SB_EREVOKED);
        bench_tick();
        assert_int_equal(bench_status().last_error.code, SB_EREVOKED);
        assert_int_equal(bench_status().late_replies, 0);
        bench_pass(waits[i] - 1);
        bench_tick();
        bench_assert_quiet();
        bench_pass(1);
        bench_tick();
        sb_hello_free(&hello);
    }
    bench_next_hello(&hello);
    bench_welcome(hello.nonce, KIT_INGEST, 1, false);
    bench_tick();
    bench_next_batch(BENCH_AIR, 1, 1);
    sb_hello_free(&hello);
}

static void large_hello_goes_in_pages_and_waits_for_all_answers(void **state)
{
    struct sb_ranges settled = {0}, none = {0};
    struct sb_hello pages[8];
    size_t count;

    (void)state;
    for (int epoch = 0; epoch < 2; epoch++) {
        if (epoch > 0)
            kit_new_epoch();
        for (int i = 0; i < 10; i++)
            kit_readings(1000);
        sb_ranges_clear(&settled);
        for (uint64_t seq = 1; seq <= 10000; seq += 2)
            sb_ranges_add(&settled, seq, seq);
        kit_load(BENCH_AIR);
        kit_begin();
        assert_int_equal(
            outbox_set_settled(kit_ob, kit_load(BENCH_AIR)->s, &settled, &none, &kit_err), 0);
        kit_commit();
    }
    bench_start();
    bench_connect();
    bench_tick();
    count = bench.count;
    assert_in_range(count, 2, 8);
    for (size_t i = 0; i < count; i++) {
        bench_next_hello(&pages[i]);
        assert_int_equal(pages[i].page, i + 1);
        assert_int_equal(pages[i].pages, count);
        assert_string_equal(pages[i].nonce, pages[0].nonce);
    }
    bench_puback_all();
    bench_welcome(pages[0].nonce, KIT_INGEST, 1, false); /* answers page 1 of 1 part */
    bench_tick();
    assert_false(bench_status().welcomed);
    bench_assert_quiet();
    for (size_t i = 0; i < count; i++)
        sb_hello_free(&pages[i]);
    sb_ranges_free(&settled);
}

static void notify_makes_a_hello(void **state)
{
    struct sb_buf json = {0};
    struct sb_hello hello;

    (void)state;
    bench_open();
    sb_buf_add_str(&json, "{\"v\":1,\"kind\":\"notify\",\"hello\":true}");
    bench_send("notify", &json, true); /* retained: not for us */
    bench_tick();
    bench_assert_quiet();
    bench_send("notify", &json, false);
    assert_int_equal(edge_deadline(bench.edge), INT64_MIN);
    bench_tick();
    bench_next_hello(&hello);
    sb_hello_free(&hello);
    sb_buf_free(&json);
}

static void all_epochs_are_named_and_sent_in_their_order(void **state)
{
    struct sb_hello hello;

    (void)state;
    kit_edit("op-a");
    kit_new_epoch();
    kit_edit("op-b");
    bench_start();
    bench_connect();
    bench_tick();
    bench_next_hello(&hello);
    assert_int_equal(hello.epoch_count, 2);
    assert_string_equal(hello.epoch, hello.epochs[1]);
    bench_welcome(hello.nonce, KIT_INGEST, 1, false);
    bench_tick();
    assert_string_equal(bench_next_batch(BENCH_USER, 1, 1)->epoch, hello.epochs[0]);
    bench_assert_quiet();
    bench_answer(&bench.sent[1], NULL);
    bench_tick();
    assert_string_equal(bench_next_batch(BENCH_USER, 1, 1)->epoch, hello.epochs[1]);
    sb_hello_free(&hello);
}

/* ---- D5, D7: what settles ---- */

static void only_a_committed_answer_settles(void **state)
{
    struct sent *batch;

    (void)state;
    kit_readings(5);
    bench_open();
    batch = bench_next_batch(BENCH_AIR, 1, 5);
    bench_puback(batch, SB_OK);
    bench_tick();
    bench_assert_settled(BENCH_AIR, "[]");
    bench_answer(batch, NULL);
    bench_assert_settled(BENCH_AIR, "[]"); /* collected */
    bench_tick();
    bench_assert_settled(BENCH_AIR, "[[1,5]]");
    assert_int_equal(bench_status().stored, 5);
    assert_int_equal(bench_status().pending, 0);
    bench_assert_quiet();
}

static void answer_of_an_earlier_process_settles_nothing(void **state)
{
    struct sent *batch;

    (void)state;
    kit_readings(5);
    bench_open();
    batch = bench_next_batch(BENCH_AIR, 1, 5);
    bench_start();
    bench_open();
    bench_answer(batch, NULL);
    bench_tick();
    bench_assert_settled(BENCH_AIR, "[]");
    assert_int_equal(bench_status().late_replies, 1);
    assert_string_not_equal(bench_next_batch(BENCH_AIR, 1, 5)->batch_id, batch->batch_id);
}

static void answer_from_before_the_last_hello_settles_nothing(void **state)
{
    struct sb_hello hello;
    struct sent *batch;

    (void)state;
    kit_readings(5);
    bench_open();
    batch = bench_next_batch(BENCH_AIR, 1, 5);
    bench_disconnect();
    bench_connect();
    bench_tick();
    bench_next_hello(&hello);
    bench_answer(batch, NULL);
    bench_tick();
    bench_assert_settled(BENCH_AIR, "[]");
    sb_hello_free(&hello);
}

static void late_answer_settles_and_the_repeat_changes_nothing(void **state)
{
    struct sent *first, *second;

    (void)state;
    kit_readings(5);
    bench_open();
    first = bench_next_batch(BENCH_AIR, 1, 5);
    bench_pass(1000);
    bench_tick();
    second = bench_next_batch(BENCH_AIR, 1, 5);
    assert_int_equal(bench_status().timeouts, 1);
    bench_answer(first, NULL);
    bench_tick();
    bench_assert_settled(BENCH_AIR, "[[1,5]]");
    bench_answer(second, NULL);
    bench_answer(second, NULL);
    bench_answer(first, NULL);
    bench_tick();
    bench_assert_settled(BENCH_AIR, "[[1,5]]");
    bench_assert_quiet();
    assert_int_equal(bench_status().pending, 0);
}

static void reject_two(struct sb_reply *reply)
{
    sb_reply_reject(reply, reply->first_seq + 1, SB_EBAD_VALUE, "too high");
    reply->accepted--;
}

static void rejection_after_the_answer_does_not_unsettle(void **state)
{
    struct sent *first, *second;

    (void)state;
    kit_readings(3);
    bench_open();
    first = bench_next_batch(BENCH_AIR, 1, 3);
    bench_pass(1000);
    bench_tick();
    second = bench_next_batch(BENCH_AIR, 1, 3);
    bench_answer(first, NULL);
    bench_tick();
    bench_answer(second, reject_two);
    bench_tick();
    bench_assert_settled(BENCH_AIR, "[[1,3]]");
    kit_assert_dead("");
}

static void answer_for_an_unknown_batch_changes_nothing(void **state)
{
    struct sent *batch, other;

    (void)state;
    kit_readings(5);
    bench_open();
    batch = bench_next_batch(BENCH_AIR, 1, 5);
    other = *batch;
    other.batch_id[35] = other.batch_id[35] == '0' ? '1' : '0';
    bench_answer(&other, NULL);
    bench_tick();
    bench_assert_settled(BENCH_AIR, "[]");
    assert_int_equal(bench_status().late_replies, 1);
    bench_assert_quiet();
}

static void beyond_what_was_sent(struct sb_reply *reply)
{
    reply->last_seq += 5;
    reply->accepted += 5;
}

static void answer_about_numbers_that_were_not_sent_settles_what_was(void **state)
{
    (void)state;
    kit_readings(5);
    bench_open();
    bench_answer(bench_next_batch(BENCH_AIR, 1, 5), beyond_what_was_sent);
    kit_readings(5);
    edge_wake(bench.edge);
    bench_tick();
    bench_assert_settled(BENCH_AIR, "[[1,5]]");
    bench_next_batch(BENCH_AIR, 6, 10);
}

static void retained_answer_is_not_believed(void **state)
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
    memcpy(reply.epoch, batch->epoch, sizeof(reply.epoch));
    memcpy(reply.stream, batch->stream, sizeof(reply.stream));
    reply.first_seq = reply.last_seq = reply.accepted = reply.commit = 1;
    reply.result = SB_RESULT_STORED;
    sb_reply_encode(&reply, NULL, SIZE_MAX, &json);
    bench_send("reply", &json, true);
    bench_tick();
    bench_assert_settled(BENCH_AIR, "[]");
    bench_send("reply", &json, false);
    bench_tick();
    bench_assert_settled(BENCH_AIR, "[[1,1]]");
    sb_buf_free(&json);
    sb_reply_free(&reply);
}

static void rubbish_from_above_is_counted_and_ignored(void **state)
{
    struct sb_buf json = {0};

    (void)state;
    bench_open();
    sb_buf_add_str(&json, "{\"v\":1,\"kind\":\"ack\",");
    bench_send("reply", &json, false);
    sb_buf_clear(&json);
    sb_buf_add_str(&json, "\x1f\x8bnot a gzip member");
    bench_send("reply", &json, false);
    bench_tick();
    assert_int_equal(bench_status().unreadable, 2);
    sb_buf_free(&json);
}

static void receipt_is_kept_with_what_it_settled(void **state)
{
    char boot[SB_UUID_LEN + 1];
    uint64_t commit;

    (void)state;
    kit_readings(1);
    bench_open();
    assert_int_equal(outbox_receipt_get(kit_ob, boot, &commit, &kit_err), 0);
    assert_int_equal(commit, 1); /* the welcome's */
    bench_answer(bench_next_batch(BENCH_AIR, 1, 1), NULL);
    bench_tick();
    assert_int_equal(outbox_receipt_get(kit_ob, boot, &commit, &kit_err), 0);
    assert_string_equal(boot, KIT_INGEST);
    assert_int_equal(commit, 2);
}

/* ---- how much is on its way ---- */

static void ordered_stream_has_one_batch_in_flight(void **state)
{
    struct sent *first;

    (void)state;
    kit_edit("op-a");
    bench_open();
    first = bench_next_batch(BENCH_USER, 1, 1);
    kit_edit("op-b");
    edge_wake(bench.edge);
    bench_tick();
    bench_assert_quiet();
    bench_answer(first, NULL);
    bench_tick();
    bench_next_batch(BENCH_USER, 2, 2);
}

static void free_stream_fills_the_window(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++)
        kit_readings(1000);
    bench_open();
    for (uint64_t i = 0; i < 4; i++)
        bench_next_batch(BENCH_AIR, i * 1000 + 1, i * 1000 + 1000);
    bench_assert_quiet();
    bench_answer(&bench.sent[2], NULL); /* the second batch */
    bench_tick();
    bench_assert_quiet(); /* the broker still counts it */
    bench_puback(&bench.sent[2], SB_OK);
    bench_tick();
    bench_next_batch(BENCH_AIR, 4001, 5000);
    bench_assert_quiet();
}

static void disconnect_sends_everything_again_after_the_next_welcome(void **state)
{
    (void)state;
    kit_readings(3);
    bench_open();
    bench_next_batch(BENCH_AIR, 1, 3);
    bench_disconnect();
    bench_tick();
    assert_int_equal(bench_status().flying, 0);
    bench_open();
    bench_next_batch(BENCH_AIR, 1, 3);
}

static void closed_link_loses_nothing(void **state)
{
    (void)state;
    kit_readings(3);
    bench_open();
    bench_answer(bench_next_batch(BENCH_AIR, 1, 3), NULL);
    kit_readings(3);
    bench.refuse = SB_ECLOSED;
    edge_wake(bench.edge);
    bench_tick();
    bench_assert_quiet();
    bench.refuse = SB_EBUSY;
    bench_tick();
    bench.refuse = SB_OK;
    bench_tick();
    bench_next_batch(BENCH_AIR, 4, 6);
}

static void connection_without_pubacks_is_dropped(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        kit_readings(1000);
    bench_open();
    for (int minute = 0; minute < 59; minute++) {
        bench_pass(1000);
        bench_tick();
    }
    assert_false(bench.dropped);
    bench_pass(1000);
    bench_tick();
    assert_true(bench.dropped);
}

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
    bench_answer(bench_next_batch(BENCH_AIR, 1, 3), reject_two);
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

/* ---- the disk ---- */

static void settlement_that_the_disk_refuses_starts_over(void **state)
{
    const struct outbox_config config = {.path = "file:/refusing?vfs=memdb",
                                         .busy_timeout_ms = 1,
                                         .create = true,
                                         .in_memory = true};
    struct outbox *other;
    struct sent *batch;

    (void)state;
    outbox_close(kit_ob);
    assert_int_equal(outbox_open(&config, &kit_rng, &kit_ob, &kit_err), 0);
    assert_int_equal(outbox_open(&config, &kit_rng, &other, &kit_err), 0);
    kit_readings(3);
    bench_open();
    batch = bench_next_batch(BENCH_AIR, 1, 3);
    bench_answer(batch, NULL);
    assert_int_equal(outbox_begin(other, &kit_err), 0);
    bench_tick();
    outbox_rollback(other);
    bench_assert_settled(BENCH_AIR, "[]");
    assert_int_equal(bench_status().pending, 3);
    assert_int_equal(bench_status().stored, 0);
    assert_int_equal(bench_status().last_error.code, SB_EBUSY);
    bench_tick();
    bench_assert_quiet(); /* it waits a moment */
    bench_puback_all();
    bench_pass(1000);
    bench_tick();
    bench_answer(bench_next_batch(BENCH_AIR, 1, 3), NULL);
    bench_tick();
    bench_assert_settled(BENCH_AIR, "[[1,3]]");
    outbox_close(other);
}

static void welcome_that_the_disk_refuses_leaves_the_gate_shut(void **state)
{
    const struct outbox_config config = {.path = "file:/refusing2?vfs=memdb",
                                         .busy_timeout_ms = 1,
                                         .create = true,
                                         .in_memory = true};
    struct sb_hello hello;
    struct outbox *other;

    (void)state;
    outbox_close(kit_ob);
    assert_int_equal(outbox_open(&config, &kit_rng, &kit_ob, &kit_err), 0);
    assert_int_equal(outbox_open(&config, &kit_rng, &other, &kit_err), 0);
    kit_readings(3);
    bench_start();
    bench_connect();
    bench_tick();
    bench_next_hello(&hello);
    bench_puback_all();
    assert_int_equal(outbox_begin(other, &kit_err), 0);
    bench_welcome(hello.nonce, KIT_INGEST, 1, true);
    bench_tick();
    outbox_rollback(other);
    assert_false(bench_status().welcomed);
    bench_assert_quiet();
    sb_hello_free(&hello);
    bench_pass(1000);
    bench_tick();
    bench_next_hello(&hello);
    bench_welcome(hello.nonce, KIT_INGEST, 2, false);
    bench_tick();
    bench_next_batch(BENCH_AIR, 1, 3);
    sb_hello_free(&hello);
    outbox_close(other);
}

static void row_that_cannot_be_read_is_given_up_in_the_open(void **state)
{
    (void)state;
    kit_readings(2);
    kit_readings(2);
    kit_readings(2);
    kit_begin(); /* the disk lost a page */
    assert_int_equal(outbox_rows_drop(kit_ob, kit_load(BENCH_AIR)->s, 3, 4, &kit_err), 0);
    kit_commit();
    bench_open();
    bench_next_batch(BENCH_AIR, 1, 2);
    assert_true(bench_next_batch(BENCH_AIR, 3, 4)->hole);
    bench_next_batch(BENCH_AIR, 5, 6);
    kit_assert_holes("3-4 corrupt ;");
}

static void what_was_shed_behind_the_core_is_sent_as_a_hole(void **state)
{
    struct lane *lane;

    (void)state;
    kit_readings(6);
    bench_start();
    lane = kit_load(BENCH_AIR);
    kit_begin();
    assert_int_equal(outbox_rows_drop(kit_ob, lane->s, 2, 3, &kit_err), 0);
    assert_int_equal(outbox_hole_add(kit_ob, lane->s, 2, 3, SB_HOLE_EVICTED, SB_SPAN(""), &kit_err),
                     0);
    kit_commit();
    edge_reload(bench.edge);
    bench_open();
    bench_next_batch(BENCH_AIR, 1, 1);
    assert_true(bench_next_batch(BENCH_AIR, 2, 3)->hole);
    bench_next_batch(BENCH_AIR, 4, 6);
}

static void operation_that_cannot_be_read_is_given_up_without_a_name(void **state)
{
    (void)state;
    kit_edit("op-a");
    kit_edit("op-b");
    kit_begin();
    assert_int_equal(outbox_rows_drop(kit_ob, kit_load(BENCH_USER)->s, 1, 1, &kit_err), 0);
    kit_commit();
    bench_open();
    assert_true(bench_next_batch(BENCH_USER, 1, 1)->hole);
    kit_assert_holes("1-1 corrupt [null];");
    bench_answer(&bench.sent[bench.count - 1], NULL);
    bench_tick();
    bench_next_batch(BENCH_USER, 2, 2);
}

/* ---- the resend window ---- */

#define DAY INT64_C(86400000)

static void settle_all(void)
{
    bench_answer(bench_next(), NULL);
    bench_puback_all();
    bench_tick();
}

static void rows_are_kept_for_the_resend_window_and_no_longer(void **state)
{
    (void)state;
    kit_readings(3);
    bench_open();
    settle_all();
    bench_pass(7 * DAY - 60000);
    bench_tick();
    kit_assert_rows(kit_load(BENCH_AIR), "[[1,3]]");
    kit_readings(1); /* nobody answers this one: it stays whatever its age */
    bench_pass(120000);
    bench_tick();
    kit_assert_rows(kit_load(BENCH_AIR), "[[4,4]]");
    bench_pass(8 * DAY);
    bench_tick();
    kit_assert_rows(kit_load(BENCH_AIR), "[[4,4]]");
}

static void rows_are_purged_in_slices_until_all_is_done(void **state)
{
    (void)state;
    for (int i = 0; i < 450; i++)
        kit_readings(1);
    bench_open();
    settle_all();
    bench_pass(8 * DAY);
    for (int i = 0; i < 4; i++) /* 200 at a time, each in a tick of its own */
        bench_tick();
    kit_assert_rows(kit_load(BENCH_AIR), "[]");
    assert_true(edge_deadline(bench.edge) > kit_now.mono_ms);
}

static void rows_are_purged_under_load_too(void **state)
{
    struct sent *batch;

    (void)state;
    kit_readings(3);
    bench_open();
    settle_all();
    bench_pass(8 * DAY);
    kit_readings(1);
    edge_wake(bench.edge);
    bench_tick();
    batch = bench_next_batch(BENCH_AIR, 4, 4);
    for (int second = 0; second < 130; second++) { /* always a batch on its way */
        kit_readings(1);
        bench_pass(500);
        bench_answer(batch, NULL);
        bench_puback_all();
        edge_wake(bench.edge);
        bench_tick();
        batch = bench_next();
        assert_int_equal(bench_status().flying, 1);
        bench_pass(500);
    }
    kit_assert_rows(kit_load(BENCH_AIR), "[[4,134]]");
}

/* ---- who is told ---- */

struct told {
    struct sb_buf text;
};

static void note(void *ctx, const char *epoch, const char *stream, uint64_t lo, uint64_t hi,
                 enum sb_result result, enum sb_code code, const char *reason, const char *at)
{
    struct told *told = ctx;
    int64_t committed_us;

    assert_int_equal(strlen(epoch), SB_EPOCH_LEN);
    assert_true(sb_time_parse(sb_span_of(at), &committed_us));
    sb_buf_add_fmt(&told->text, "%s %llu-%llu %s %s%s;", stream, (unsigned long long)lo,
                   (unsigned long long)hi, sb_result_name(result),
                   code != SB_OK ? sb_code_name(code) : "", reason);
}

static void mixed(struct sb_reply *reply)
{
    sb_reply_reject(reply, 3, SB_EBAD_VALUE, "!");
    reply->accepted--;
}

static void every_number_is_told_its_own_outcome(void **state)
{
    struct told told = {0};

    (void)state;
    sb_buf_add_str(&told.text, "");
    kit_readings(5);
    bench_open();
    edge_on_settled(bench.edge, note, &told);
    bench_answer(bench_next_batch(BENCH_AIR, 1, 5), mixed);
    assert_string_equal(told.text.data, ""); /* not before the commit */
    bench_tick();
    assert_string_equal(told.text.data, "sensors/air_quality 3-3 rejected bad_value!;"
                                        "sensors/air_quality 1-2 stored ;"
                                        "sensors/air_quality 4-5 stored ;");
    sb_buf_free(&told.text);
}

/* ---- time ---- */

/* Runs the core as a daemon would: it is called at its deadline or after an event. */
static unsigned ticks_within(int64_t ms)
{
    int64_t end = kit_now.mono_ms + ms;
    unsigned ticks = 0;

    while (kit_now.mono_ms < end && ticks < 10000) {
        int64_t at = edge_deadline(bench.edge);

        bench_pass(at > kit_now.mono_ms ? (at < end ? at : end) - kit_now.mono_ms : 0);
        bench_tick();
        ticks++;
    }
    return ticks;
}

static void waiting_does_not_spin(void **state)
{
    struct sb_hello hello;

    (void)state;
    kit_readings(1000);
    bench_start();
    assert_in_range(ticks_within(60000), 1, 200); /* not connected */
    bench_connect();
    bench_online(NULL);
    assert_in_range(ticks_within(60000), 1, 200); /* nobody there */
    bench_online(KIT_INGEST);
    bench_tick();
    bench_puback_all();
    bench.seen = bench.count - 1;
    bench_next_hello(&hello);
    bench_welcome(hello.nonce, KIT_INGEST, 1, false);
    bench_tick();
    bench_refuse(bench_next_batch(BENCH_AIR, 1, 1000), SB_EBUSY, 0);
    bench_puback_all();
    assert_in_range(ticks_within(29000), 1, 200); /* parked */
    bench_refuse(&bench.sent[bench.count - 1], SB_EBUSY, 0);
    bench_tick();
    sb_hello_free(&hello);
}

static void full_window_does_not_spin(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        kit_readings(1000);
    bench_open();
    edge_ask_hello(bench.edge); /* and a hello that cannot go */
    assert_in_range(ticks_within(50000), 1, 400);
}

/* ---- a user's settings from the cloud ---- */

struct outcome {
    int calls, taken;
    uint64_t version;
    enum sb_code code;
};

static void restored(void *ctx, int taken, uint64_t version, const struct sb_err *err)
{
    struct outcome *outcome = ctx;

    outcome->calls++;
    outcome->taken = taken;
    outcome->version = version;
    outcome->code = err->code;
}

static struct sent *ask(struct outcome *outcome)
{
    assert_int_equal(edge_read(bench.edge, "user-1", "settings", "", 10000, kit_now, restored,
                               outcome, &kit_err),
                     0);
    bench_tick();
    return bench_next();
}

static void answer_request(const struct sent *request, const char *boot, const char *data)
{
    struct sb_request asked;
    struct sb_answer answer = {.success = data != NULL, .code = SB_EFORBIDDEN};
    struct sb_buf json = {0};

    assert_int_equal(request->kind, SB_KIND_REQUEST);
    assert_int_equal(sb_request_decode(sb_buf_span(&request->json), &asked, &kit_err), 0);
    assert_string_equal(asked.op, "document.get");
    assert_string_equal(asked.boot, KIT_INGEST);
    assert_true(
        sb_span_is(asked.args, "{\"user\":\"user-1\",\"table\":\"settings\",\"id\":\"settings\"}"));
    memcpy(answer.id, asked.id, sizeof(answer.id));
    snprintf(answer.boot, sizeof(answer.boot), "%s", boot);
    answer.data = data != NULL ? sb_span_of(data) : SB_SPAN("");
    sb_answer_encode(&answer, &json);
    bench_send("reply", &json, false);
    sb_buf_free(&json);
}

static const char document[] =
    "{\"id\":\"settings\",\"exists\":true,\"as_of\":7,\"version\":7,\"tag\":\"00000000000000aa\","
    "\"op_id\":\"op-x\",\"device\":\"edge-002\",\"hlc\":\"0000000000000009\","
    "\"updated_at\":\"2026-01-02T03:04:05Z\",\"data\":{\"v\":9}}";

static void document_of_the_cloud_is_taken(void **state)
{
    struct outbox_document settings;
    struct outcome outcome = {0};

    (void)state;
    bench_open();
    answer_request(ask(&outcome), KIT_INGEST, document);
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.code, SB_OK);
    assert_int_equal(outcome.version, 7);
    kit_settings(&settings);
    assert_string_equal(settings.doc.data, "{\"v\":9}");
    assert_string_equal(settings.base_tag, "00000000000000aa");
    assert_int_equal(settings.seen, 7);
    outbox_document_fini(&settings);
}

static void refused_request_is_told(void **state)
{
    struct outcome outcome = {0};

    (void)state;
    bench_open();
    answer_request(ask(&outcome), KIT_INGEST, NULL);
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.code, SB_EFORBIDDEN);
}

static void request_without_an_answer_times_out(void **state)
{
    struct outcome outcome = {0};

    (void)state;
    bench_open();
    ask(&outcome);
    bench_pass(9999);
    bench_tick();
    assert_int_equal(outcome.calls, 0);
    bench_pass(1);
    bench_tick();
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.code, SB_ETIMEOUT);
}

static void answer_of_another_boot_makes_a_hello_and_the_request_goes_again(void **state)
{
    struct outcome outcome = {0};
    struct sb_hello hello;

    (void)state;
    bench_open();
    answer_request(ask(&outcome), KIT_OTHER, document);
    assert_int_equal(outcome.calls, 0);
    bench_puback_all();
    bench_tick();
    bench_next_hello(&hello);
    bench_welcome(hello.nonce, KIT_INGEST, 9, false);
    bench_tick();
    answer_request(bench_next(), KIT_INGEST, document);
    assert_int_equal(outcome.calls, 1);
    sb_hello_free(&hello);
}

static void request_that_the_broker_lost_goes_again(void **state)
{
    struct outcome outcome = {0};

    (void)state;
    bench_open();
    bench_puback(ask(&outcome), SB_OK);
    bench_pass(3000);
    bench_tick();
    answer_request(bench_next(), KIT_INGEST, document);
    assert_int_equal(outcome.calls, 1);
}

/* A conflict whose document did not fit into the reply: the core asks for it by itself, also after
 * the process has ended. */
static void leave_out(struct sb_reply *reply)
{
    struct sb_conflict *conflict = sb_reply_conflict(reply, reply->first_seq);

    reply->accepted = 0;
    reply->result = SB_RESULT_CONFLICT;
    sb_buf_add_str(&conflict->pointers, "[\"\"]");
    conflict->as_of = 7;
    conflict->server = (struct sb_document){.exists = true, .fetch = true, .version = 7};
    memcpy(conflict->server.tag, "00000000000000aa", SB_TAG_LEN + 1);
}

static void document_that_did_not_fit_is_asked_for(void **state)
{
    struct outbox_document settings;

    (void)state;
    kit_edit("op-a");
    bench_open();
    bench_answer(bench_next_batch(BENCH_USER, 1, 1), leave_out);
    bench_tick();
    assert_int_equal(bench_next()->kind, SB_KIND_REQUEST); /* lost with the process */
    bench_start();
    bench_open();
    answer_request(bench_next(), KIT_INGEST, document);
    kit_settings(&settings);
    assert_string_equal(settings.doc.data, "{\"v\":9}");
    outbox_document_fini(&settings);
    bench_puback_all();
    bench_pass(5000);
    bench_tick();
    bench_assert_quiet();
}

static void too_many_requests_are_refused(void **state)
{
    struct outcome outcome = {0};

    (void)state;
    bench_start();
    for (int i = 0; i < 16; i++)
        assert_int_equal(edge_read(bench.edge, "user-1", "settings", "", 10000, kit_now, restored,
                                   &outcome, &kit_err),
                         0);
    assert_int_equal(edge_read(bench.edge, "user-1", "settings", "", 10000, kit_now, restored,
                               &outcome, &kit_err),
                     -SB_EBUSY);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        CASE(nothing_but_a_hello_goes_before_its_welcome),
        CASE(hello_is_repeated_until_it_is_answered),
        CASE(hello_waits_longer_while_no_ingest_is_there),
        CASE(new_boot_of_the_ingest_makes_a_hello),
        CASE(only_the_hello_goes_while_the_ingest_is_away),
        CASE(refused_hello_is_shown_and_said_again_later_and_ever_later),
        CASE(large_hello_goes_in_pages_and_waits_for_all_answers),
        CASE(notify_makes_a_hello),
        CASE(all_epochs_are_named_and_sent_in_their_order),
        CASE(only_a_committed_answer_settles),
        CASE(answer_of_an_earlier_process_settles_nothing),
        CASE(answer_from_before_the_last_hello_settles_nothing),
        CASE(late_answer_settles_and_the_repeat_changes_nothing),
        CASE(rejection_after_the_answer_does_not_unsettle),
        CASE(answer_for_an_unknown_batch_changes_nothing),
        CASE(answer_about_numbers_that_were_not_sent_settles_what_was),
        CASE(retained_answer_is_not_believed),
        CASE(rubbish_from_above_is_counted_and_ignored),
        CASE(receipt_is_kept_with_what_it_settled),
        CASE(ordered_stream_has_one_batch_in_flight),
        CASE(free_stream_fills_the_window),
        CASE(disconnect_sends_everything_again_after_the_next_welcome),
        CASE(closed_link_loses_nothing),
        CASE(connection_without_pubacks_is_dropped),
        CASE(busy_cloud_is_asked_again_later_and_ever_later),
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
        CASE(settlement_that_the_disk_refuses_starts_over),
        CASE(welcome_that_the_disk_refuses_leaves_the_gate_shut),
        CASE(row_that_cannot_be_read_is_given_up_in_the_open),
        CASE(what_was_shed_behind_the_core_is_sent_as_a_hole),
        CASE(operation_that_cannot_be_read_is_given_up_without_a_name),
        CASE(rows_are_kept_for_the_resend_window_and_no_longer),
        CASE(rows_are_purged_in_slices_until_all_is_done),
        CASE(rows_are_purged_under_load_too),
        CASE(every_number_is_told_its_own_outcome),
        CASE(waiting_does_not_spin),
        CASE(full_window_does_not_spin),
        CASE(document_of_the_cloud_is_taken),
        CASE(refused_request_is_told),
        CASE(request_without_an_answer_times_out),
        CASE(answer_of_another_boot_makes_a_hello_and_the_request_goes_again),
        CASE(request_that_the_broker_lost_goes_again),
        CASE(document_that_did_not_fit_is_asked_for),
        CASE(too_many_requests_are_refused),
    };
#undef CASE

    sb_log_init("test_edge", SB_LOG_BUG, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
