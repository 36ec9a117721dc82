/* The edge's core as a whole: what settles (D5, D7, D9), how much is on its way, what the disk
 * refuses, how long rows stay, timers. */
#include "edge_bench.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

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
    bench_answer(second, bench_reject_two);
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

/* Each of them in a turn of its own, within one pause. */
static void answers_that_meet_a_full_disk_together_make_one_pause(void **state)
{
    const struct outbox_config config = {
        .path = "file:/pausing?vfs=memdb", .busy_timeout_ms = 1, .create = true, .in_memory = true};
    struct sent *batches[4];
    struct outbox *other;

    (void)state;
    outbox_close(kit_ob);
    assert_int_equal(outbox_open(&config, &kit_rng, &kit_ob, &kit_err), 0);
    assert_int_equal(outbox_open(&config, &kit_rng, &other, &kit_err), 0);
    bench_open();
    for (uint64_t i = 0; i < 4; i++) {
        kit_readings(1);
        edge_wake(bench.edge);
        bench_tick();
        batches[i] = bench_next_batch(BENCH_AIR, i + 1, i + 1);
    }
    for (int i = 0; i < 4; i++) {
        bench_answer(batches[i], NULL);
        assert_int_equal(outbox_begin(other, &kit_err), 0);
        bench_tick();
        outbox_rollback(other);
        assert_int_equal(bench_status().last_error.code, SB_EBUSY);
        bench_assert_settled(BENCH_AIR, "[]");
    }
    bench_puback_all();
    bench_pass(1000);
    bench_tick();
    bench_answer(bench_next_batch(BENCH_AIR, 1, 4), NULL);
    bench_tick();
    bench_assert_settled(BENCH_AIR, "[[1,4]]");
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

/* The outbox as a file: of which a page can go bad. */
static char torn_path[] = "/tmp/sb-test-edge.XXXXXX";

static void open_file(void)
{
    const struct outbox_config config = {.path = torn_path, .create = true};

    outbox_close(kit_ob);
    assert_int_equal(outbox_open(&config, &kit_rng, &kit_ob, &kit_err), 0);
}

/* A history record whose text needs pages of its own; those are damaged by tear_pages(). */
static void put_large_record(void)
{
    struct outbox_chunk chunk = {.stream = {SB_UP_HISTORY, "user-1"}, .count = 1};
    struct outbox_place place;
    struct sb_buf body = {0};

    sb_buf_add_fmt(&body, "{\"command_id\":\"c\",\"a\":\"");
    for (int i = 0; i < 20000; i++)
        sb_buf_add_char(&body, 'x');
    sb_buf_add_str(&body, "\"}");
    chunk.body = sb_buf_span(&body);
    chunk.device_boot = KIT_BOOT;
    kit_begin();
    assert_int_equal(outbox_append(kit_ob, &chunk, &place, &kit_err), 0);
    kit_commit();
    sb_buf_free(&body);
}

static void put_small_record(void)
{
    const struct outbox_chunk chunk = {.stream = {SB_UP_HISTORY, "user-1"},
                                       .count = 1,
                                       .device_boot = KIT_BOOT,
                                       .body = SB_SPAN("{\"command_id\":\"small\"}")};
    struct outbox_place place;

    kit_begin();
    assert_int_equal(outbox_append(kit_ob, &chunk, &place, &kit_err), 0);
    kit_commit();
}

/* Every page that holds nothing but the large text names a next page that is not there. */
static void tear_pages(void)
{
    static const unsigned char nowhere[4] = {0x7f, 0xff, 0xff, 0xff};
    unsigned char page[4096], text[4092];
    int fd = open(torn_path, O_RDWR | O_CLOEXEC), torn = 0;

    memset(text, 'x', sizeof(text));
    for (off_t at = 0; pread(fd, page, sizeof(page), at) == (ssize_t)sizeof(page);
         at += (off_t)sizeof(page)) {
        if (memcmp(page + 4, text, sizeof(text)) != 0)
            continue;
        assert_int_equal(pwrite(fd, nowhere, sizeof(nowhere), at), sizeof(nowhere));
        torn++;
    }
    assert_int_equal(close(fd), 0);
    assert_true(torn > 0);
}

static void a_page_that_is_torn_takes_nothing_else_with_it(void **state)
{
    int fd = mkstemp(torn_path);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    open_file();
    put_small_record();
    put_large_record();
    kit_readings(2);
    outbox_close(kit_ob);
    kit_ob = NULL;
    tear_pages();
    open_file();
    bench_open();
    bench_next_batch("history/user-1", 1, 1); /* as it was put */
    bench_next_batch(BENCH_AIR, 1, 2);
    bench_assert_quiet();
    kit_assert_holes("");
    assert_int_equal(bench_status().parked, 1);
    assert_int_equal(bench_status().last_error.code, SB_ECORRUPT);
    assert_int_equal(unlink(torn_path), 0);
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

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)
    const struct CMUnitTest tests[] = {
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
        CASE(settlement_that_the_disk_refuses_starts_over),
        CASE(answers_that_meet_a_full_disk_together_make_one_pause),
        CASE(welcome_that_the_disk_refuses_leaves_the_gate_shut),
        CASE(row_that_cannot_be_read_is_given_up_in_the_open),
        CASE(a_page_that_is_torn_takes_nothing_else_with_it),
        CASE(what_was_shed_behind_the_core_is_sent_as_a_hole),
        CASE(operation_that_cannot_be_read_is_given_up_without_a_name),
        CASE(rows_are_kept_for_the_resend_window_and_no_longer),
        CASE(rows_are_purged_in_slices_until_all_is_done),
        CASE(rows_are_purged_under_load_too),
        CASE(every_number_is_told_its_own_outcome),
        CASE(waiting_does_not_spin),
        CASE(full_window_does_not_spin),
    };
#undef CASE

    sb_log_init("test_edge", SB_LOG_BUG, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
