/* Group commit: one transaction for many, what becomes of failures, what is refused before. */
#include "cloud_kit.h"

#include <stdio.h>
#include <string.h>

#include "cloud_ingest/limits.h"
#include "cloud_ingest/store_sqlite.h"

#define STREAM "sensors/system"
#define BODY   "\"fields\":[\"ts\",\"value\"],\"rows\":[[\"2026-01-01T00:00:00Z\",%d]]"

static void put(struct kit *kit, uint64_t seq)
{
    kit_batch(kit, STREAM, seq, seq, BODY, (int)seq);
}

static void many_messages_share_a_commit_and_are_answered_in_order(void **state)
{
    struct kit *kit = *state;
    char last[SB_UUID_LEN + 1] = "";

    for (uint64_t seq = 1; seq <= 20; seq++)
        put(kit, seq);
    assert_int_equal(kit_published(kit, "\"kind\":\"ack\""), 0);
    kit_flush(kit);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(kit_reply(kit)->commit, 1);
        assert_true(strcmp(last, kit->reply.batch_id) < 0);
        snprintf(last, sizeof(last), "%s", kit->reply.batch_id);
    }
    assert_int_equal(kit_count(kit, "SELECT commits FROM boots"), 1);
}

static void the_bound_on_records_ends_a_transaction(void **state)
{
    struct kit *kit = *state;

    kit_stop(kit);
    kit->config.group_rows = 3;
    kit_start(kit);
    for (uint64_t seq = 1; seq <= 7; seq++)
        put(kit, seq);
    kit_flush(kit);
    for (int i = 1; i <= 7; i++)
        assert_int_equal(kit_reply(kit)->commit, (i + 2) / 3);
}

static void hello(struct kit *kit, int n)
{
    char json[512];

    snprintf(json, sizeof(json),
             "{\"v\":1,\"kind\":\"hello\",\"nonce\":\"01930000-0000-7000-9000-%012d\","
             "\"device\":\"%s\",\"receipt\":null,\"epoch\":\"%s\",\"page\":1,\"pages\":1,"
             "\"epochs\":[]}",
             n, kit->device, kit->epoch);
    kit_message(kit, "ctl", "", json);
}

/* A short hello may ask for a very long welcome. */
static void welcomes_count_against_that_bound(void **state)
{
    enum { INTERVALS = 1000, HELLOS = 100, ROWS = 200 };
    struct kit *kit = *state;
    struct ingest_counters counters;

    for (uint64_t seq = 1; seq <= INTERVALS; seq++)
        put(kit, 2 * seq);
    kit_flush(kit);
    kit_stop(kit);
    kit->config.group_rows = ROWS;
    kit_start(kit);
    for (int i = 0; i < HELLOS; i++)
        hello(kit, i);
    kit_flush(kit);
    assert_int_equal(kit_published(kit, "\"kind\":\"welcome\""), HELLOS);
    ingest_counters(kit->ingest, &counters);
    assert_in_range(counters.groups_largest, 1, HELLOS / 10);
}

static void the_bound_on_bytes_commits_without_being_asked(void **state)
{
    struct kit *kit = *state;

    kit_stop(kit);
    kit->config.group_bytes = 1000;
    kit->config.group_ms = 60000;
    kit_start(kit);
    put(kit, 1);
    assert_int_equal(ingest_deadline(kit->ingest), kit->now.mono_ms + 60000);
    kit_flush(kit);
    assert_int_equal(kit_published(kit, "\"kind\":\"ack\""), 0);
    for (uint64_t seq = 2; seq <= 6; seq++)
        put(kit, seq);
    assert_true(kit_published(kit, "\"kind\":\"ack\"") > 1);
    kit->now.mono_ms += 60000;
    kit_flush(kit);
    assert_int_equal(kit_published(kit, "\"kind\":\"ack\""), 6);
    assert_true(ingest_deadline(kit->ingest) == INT64_MAX);
}

/* Correlation data has up to 64 KiB, whatever the payload has. */
static void everything_of_a_message_counts_as_its_bytes(void **state)
{
    struct kit *kit = *state;
    struct ingest_counters counters;
    char correlation[1000];

    memset(correlation, 'c', sizeof(correlation) - 1);
    correlation[sizeof(correlation) - 1] = '\0';
    kit_stop(kit);
    kit->config.group_bytes = 10 * sizeof(correlation);
    kit->config.group_ms = 60000;
    kit_start(kit);
    for (int i = 0; i < 100; i++) {
        kit_message(kit, "sensors", correlation, "x");
        ingest_counters(kit->ingest, &counters);
        assert_in_range(counters.waiting_messages, 0, 10);
    }
    assert_int_equal(counters.messages, 100);
}

static void a_locked_database_answers_busy_and_stores_nothing(void **state)
{
    struct kit *kit = *state;
    sqlite3 *db = NULL;

    put(kit, 1);
    kit_flush(kit);
    kit_reply(kit);
    assert_int_equal(sqlite3_open(kit->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    put(kit, 2);
    put(kit, 3);
    kit_flush(kit);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kit_reply(kit)->result, SB_RESULT_RETRY);
        assert_int_equal(kit->reply.code, SB_EBUSY);
        assert_int_equal(kit->reply.commit, 0);
    }
    sqlite3_close(db);
    put(kit, 2);
    kit_flush(kit);
    assert_int_equal(kit_reply(kit)->result, SB_RESULT_STORED);
    assert_int_equal(kit->reply.commit, 2);
}

static void a_full_disk_answers_busy(void **state)
{
    struct kit *kit = *state;

    put(kit, 1);
    kit_flush(kit);
    kit_reply(kit);
    sqlite3_exec(kit->store->db, "PRAGMA max_page_count=1", NULL, NULL, NULL);
    for (uint64_t seq = 2; seq <= 400; seq++)
        put(kit, seq);
    kit_flush(kit);
    assert_int_equal(kit_reply(kit)->code, SB_EBUSY);
    sqlite3_exec(kit->store->db, "PRAGMA max_page_count=1000000", NULL, NULL, NULL);
    kit->read_to = kit->count;
    put(kit, 2);
    kit_flush(kit);
    assert_int_equal(kit_reply(kit)->result, SB_RESULT_STORED);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM sensor_system"), 2);
}

/* The row of one number is there though the number is not decided: an insert that must fail. */
static void one_culprit_does_not_hold_up_the_others(void **state)
{
    struct kit *kit = *state;
    struct ingest_counters counters;

    put(kit, 1);
    kit_flush(kit);
    kit_reply(kit);
    kit_sql(kit, "INSERT INTO sensor_system (sn, seq, ts, rx_ms) VALUES (1, 3, 0, 0)");
    for (uint64_t seq = 2; seq <= 4; seq++)
        put(kit, seq);
    kit_flush(kit);
    assert_int_equal(kit_reply(kit)->result, SB_RESULT_STORED);
    assert_int_equal(kit_reply(kit)->result, SB_RESULT_RETRY);
    assert_int_equal(kit->reply.code, SB_EINTERNAL);
    assert_int_equal(kit->reply.first_seq, 0);
    assert_int_equal(kit_reply(kit)->result, SB_RESULT_STORED);
    ingest_counters(kit->ingest, &counters);
    assert_int_equal(counters.reruns, 1);
    assert_int_equal(counters.accepted, 3);
    assert_int_equal(kit_count(kit, "SELECT decided = '[[1,2],[4,4]]' FROM streams"), 1);
}

/* ... nor does it take from them that they share a commit. */
static void one_culprit_leaves_the_others_their_common_commit(void **state)
{
    enum { COUNT = 60, CULPRIT = 40 };
    struct kit *kit = *state;
    struct ingest_counters before, after;

    put(kit, 1);
    kit_flush(kit);
    kit_reply(kit);
    kit_sql(kit, "INSERT INTO sensor_system (sn, seq, ts, rx_ms) VALUES (1, 40, 0, 0)");
    ingest_counters(kit->ingest, &before);
    for (uint64_t seq = 2; seq <= COUNT; seq++)
        put(kit, seq);
    kit_flush(kit);
    for (uint64_t seq = 2; seq <= COUNT; seq++)
        assert_int_equal(kit_reply(kit)->result,
                         seq == CULPRIT ? SB_RESULT_RETRY : SB_RESULT_STORED);
    ingest_counters(kit->ingest, &after);
    assert_int_equal(after.commits - before.commits, 2);
    assert_int_equal(after.accepted - before.accepted, COUNT - 2);
    assert_int_equal(kit_count(kit, "SELECT decided = '[[1,39],[41,60]]' FROM streams"), 1);
}

static int refuse_commit(void *failures)
{
    int *left = failures;

    return *left > 0 ? (*left)-- > 0 : 0;
}

static void a_commit_that_failed_is_run_again(void **state)
{
    struct kit *kit = *state;
    int failures = 1;

    put(kit, 1);
    put(kit, 2);
    sqlite3_commit_hook(kit->store->db, refuse_commit, &failures);
    kit_flush(kit);
    assert_int_equal(kit_reply(kit)->result, SB_RESULT_STORED);
    assert_int_equal(kit->reply.commit, 1);
    assert_int_equal(kit_reply(kit)->commit, 2);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM sensor_system"), 2);
    assert_int_equal(kit_count(kit, "SELECT commits FROM boots"), 2);
}

static void a_commit_that_fails_for_good_is_not_answered(void **state)
{
    struct kit *kit = *state;
    int failures = 1000;
    size_t before = kit->count;

    put(kit, 1);
    put(kit, 2);
    sqlite3_commit_hook(kit->store->db, refuse_commit, &failures);
    kit_flush(kit);
    assert_int_equal(kit->count, before);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM sensor_system"), 0);
    assert_int_equal(kit_count(kit, "SELECT commits FROM boots"), 0);
    failures = 0;
    put(kit, 1);
    kit_flush(kit);
    assert_int_equal(kit_reply(kit)->result, SB_RESULT_STORED);
}

static int fault(void *ctx, const struct sb_batch *batch)
{
    return batch->first_seq == 2 ? *(enum sb_code *)ctx : SB_OK;
}

static void the_seam_for_faults_answers_its_code(void **state)
{
    struct kit *kit = *state;
    enum sb_code code = SB_EINTERNAL;

    kit_stop(kit);
    kit->config.fault = fault;
    kit->config.fault_ctx = &code;
    kit_start(kit);
    put(kit, 1);
    put(kit, 2);
    kit_flush(kit);
    assert_int_equal(kit_reply(kit)->result, SB_RESULT_STORED);
    assert_int_equal(kit_reply(kit)->code, SB_EINTERNAL);
    assert_int_equal(kit->reply.first_seq, 2);
    assert_int_equal(kit_count(kit, "SELECT made FROM streams"), 1);
}

static void another_writer_empties_the_cache(void **state)
{
    struct kit *kit = *state;

    put(kit, 1);
    kit_flush(kit);
    kit_reply(kit);
    kit_sql(kit, "UPDATE streams SET decided = '[[1,5]]'");
    put(kit, 6);
    kit_flush(kit);
    kit_reply(kit);
    assert_int_equal(kit_count(kit, "SELECT decided = '[[1,6]]' FROM streams"), 1);
}

static void replies_wait_for_a_link_that_is_full_or_down(void **state)
{
    struct kit *kit = *state;
    struct sb_link_event down = {.kind = SB_LINK_DOWN}, up = {.kind = SB_LINK_UP};
    struct sb_link_event published = {.kind = SB_LINK_PUBLISHED};

    kit->publish_result = -SB_EBUSY;
    put(kit, 1);
    kit_flush(kit);
    assert_int_equal(kit_published(kit, "\"kind\":\"ack\""), 0);
    assert_true(ingest_deadline(kit->ingest) < kit->now.mono_ms + 1000);
    kit->publish_result = 0;
    ingest_event(kit->ingest, &published, kit->now);
    assert_int_equal(kit_reply(kit)->result, SB_RESULT_STORED);
    ingest_event(kit->ingest, &down, kit->now);
    put(kit, 2);
    kit_flush(kit);
    assert_int_equal(kit_published(kit, "\"kind\":\"ack\""), 1);
    ingest_event(kit->ingest, &up, kit->now);
    assert_int_equal(kit_reply(kit)->result, SB_RESULT_STORED);
}

/* ---- what never becomes a batch ---- */

static void refused(struct kit *kit, const char *topic, const char *payload, enum sb_code code)
{
    struct sb_link_event event = {.kind = SB_LINK_MESSAGE};
    char name[64];

    event.topic = sb_xstrdup(topic);
    sb_buf_add_str(&event.payload, payload);
    ingest_event(kit->ingest, &event, kit->now);
    sb_link_event_fini(&event);
    kit_flush(kit);
    snprintf(name, sizeof(name), "SELECT count(*) FROM quarantine WHERE code = '%s'",
             sb_code_name(code));
    if (kit_count(kit, name) != 1)
        fail_msg("not kept as %s: %s: %s", sb_code_name(code), topic, payload);
    kit_sql(kit, "DELETE FROM quarantine");
}

static void what_cannot_be_parsed_or_placed_goes_to_quarantine_with_an_answer(void **state)
{
    struct kit *kit = *state;
    char up[64];
    const char head[] = "{\"v\":1,\"batch_id\":\"01930000-0000-7000-8000-000000000001\","
                        "\"device\":\"%s\",\"epoch\":\"00000000000000e1\",\"stream\":\"%s\","
                        "\"first_seq\":1,\"last_seq\":1,\"fields\":[\"ts\"],\"rows\":[[null]]}";
    char payload[512];

    snprintf(up, sizeof(up), "sb/v1/up/%02x/edge-001/sensors", sb_bucket_of(SB_SPAN("edge-001")));
    refused(kit, up, "garbage", SB_EBAD_JSON);
    kit_expect(kit_reply(kit), SB_RESULT_REJECTED, 0, 0, 0, 0, 0);
    assert_int_equal(kit->reply.code, SB_EBAD_JSON);
    assert_int_equal(kit->reply.first_seq, 0);
    refused(kit, up, "\x1f\x8bgarbage", SB_EBAD_GZIP);
    refused(kit, up, "{\"v\":2}", SB_EBAD_VERSION);
    refused(kit, up, "{\"v\":1,\"a\":1,\"a\":2}", SB_EDUPLICATE_KEY);
    refused(kit, up, "{\"v\":1,\"a\":\"\xff\"}", SB_EBAD_UTF8);
    snprintf(payload, sizeof(payload), head, "edge-002", STREAM);
    refused(kit, up, payload, SB_EWRONG_DEVICE);
    refused(kit, up,
            "{\"v\":1,\"batch_id\":\"01930000-0000-7000-8000-000000000001\",\"device\":"
            "\"edge-001\",\"epoch\":\"00000000000000e1\",\"stream\":\"history/u\","
            "\"first_seq\":1,\"last_seq\":1,\"records\":[{}]}",
            SB_EBAD_STREAM);
    snprintf(payload, sizeof(payload), head, "edge-001", "sensors/a/b");
    refused(kit, up, payload, SB_EBAD_STREAM);
    refused(kit, "sb/v1/up/00/edge-001/sensors", payload, SB_EWRONG_BUCKET);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM devices"), 0);
    kit->read_to = kit->count;
    refused(kit, "sb/v1/up/00/_op-x/sensors", payload, SB_EBAD_ID);
    refused(kit, "sb/v2/up/00/edge-001/sensors", payload, SB_EBAD_TOPIC);
    assert_int_equal(kit->read_to, kit->count); /* nobody to answer */
}

static void the_correlation_data_is_the_batch_id_when_the_payload_has_none(void **state)
{
    struct kit *kit = *state;

    kit_message(kit, "sensors", "01930000-0000-7000-8000-00000000abcd", "garbage");
    kit_flush(kit);
    assert_string_equal(kit_reply(kit)->batch_id, "01930000-0000-7000-8000-00000000abcd");
    assert_string_equal(kit_last(kit, "/reply")->correlation.data,
                        "01930000-0000-7000-8000-00000000abcd");
    kit_message(kit, "sensors", "anything", "rubbish");
    kit_flush(kit);
    assert_string_equal(kit_reply(kit)->batch_id, "");
    assert_string_equal(kit_last(kit, "/reply")->correlation.data, "anything");
}

static void a_batch_over_a_limit_is_told_to_split(void **state)
{
    struct kit *kit = *state;

    kit_stop(kit);
    kit->config.limits.max_batch_records = 2;
    kit_start(kit);
    kit_expect(kit_ask(kit, STREAM, 1, 3, "\"fields\":[\"ts\"],\"rows\":[[null],[null],[null]]"),
               SB_RESULT_RETRY, 0, 0, 0, 0, 0);
    assert_int_equal(kit->reply.code, SB_ELIMIT);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM quarantine"), 0);
}

static void quarantine_is_bounded_per_device_and_counts_repeats(void **state)
{
    struct kit *kit = *state;
    char text[64];

    for (int i = 0; i < 3; i++) {
        kit_message(kit, "sensors", "", "the same");
        kit_flush(kit);
    }
    assert_int_equal(kit_count(kit, "SELECT times FROM quarantine"), 3);
    snprintf(text, sizeof(text), "UPDATE quarantine_use SET bytes = %d", LIMIT_QUARANTINE_BYTES);
    kit_sql(kit, text);
    kit->read_to = kit->count;
    kit_message(kit, "sensors", "", "another");
    kit_flush(kit);
    assert_int_equal(kit_reply(kit)->result, SB_RESULT_RETRY);
    assert_int_equal(kit->reply.code, SB_ELIMIT);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM quarantine"), 1);
}

static void retained_messages_are_ignored(void **state)
{
    struct kit *kit = *state;
    struct sb_link_event event = {.kind = SB_LINK_MESSAGE, .retained = true};
    struct ingest_counters counters;
    char topic[] = "sb/v1/up/00/edge-001/sensors";

    event.topic = topic;
    ingest_event(kit->ingest, &event, kit->now);
    kit_flush(kit);
    ingest_counters(kit->ingest, &counters);
    assert_int_equal(counters.ignored, 1);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM quarantine"), 0);
}

static void events_are_limited_and_say_what_was_left_out(void **state)
{
    struct kit *kit = *state;

    for (int i = 0; i < 30; i++) {
        char text[32];

        snprintf(text, sizeof(text), "garbage %d", i);
        kit_message(kit, "sensors", "", text);
    }
    kit_flush(kit);
    assert_int_equal(kit_published(kit, "\"event\":\"quarantine\""), LIMIT_EVENT_BURST);
    kit->now.mono_ms += LIMIT_EVENT_REST_MS;
    kit_message(kit, "sensors", "", "one more");
    kit_flush(kit);
    assert_non_null(
        strstr(kit_last(kit, "\"event\":\"quarantine\"")->payload.data, "\"suppressed\":20"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(many_messages_share_a_commit_and_are_answered_in_order),
        CASE(the_bound_on_records_ends_a_transaction),
        CASE(welcomes_count_against_that_bound),
        CASE(the_bound_on_bytes_commits_without_being_asked),
        CASE(everything_of_a_message_counts_as_its_bytes),
        CASE(a_locked_database_answers_busy_and_stores_nothing),
        CASE(a_full_disk_answers_busy),
        CASE(one_culprit_does_not_hold_up_the_others),
        CASE(one_culprit_leaves_the_others_their_common_commit),
        CASE(a_commit_that_failed_is_run_again),
        CASE(a_commit_that_fails_for_good_is_not_answered),
        CASE(the_seam_for_faults_answers_its_code),
        CASE(another_writer_empties_the_cache),
        CASE(replies_wait_for_a_link_that_is_full_or_down),
        CASE(what_cannot_be_parsed_or_placed_goes_to_quarantine_with_an_answer),
        CASE(the_correlation_data_is_the_batch_id_when_the_payload_has_none),
        CASE(a_batch_over_a_limit_is_told_to_split),
        CASE(quarantine_is_bounded_per_device_and_counts_repeats),
        CASE(retained_messages_are_ignored),
        CASE(events_are_limited_and_say_what_was_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
