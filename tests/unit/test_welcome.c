/* hello and welcome: what is decided, restored databases, pages, clones, new epochs; boots. */
#include "cloud_kit.h"

#include <stdio.h>
#include <string.h>

#include "cloud_ingest/store_sqlite.h"
#include "cloud_ingest/welcome.h"
#include "common/hello.h"

#define STREAM "sensors/system"
#define E1     "00000000000000e1"
#define E2     "00000000000000e2"

struct told {
    struct sb_welcome welcome;
    char nonce[SB_UUID_LEN + 1];
};

static void forget(struct told *told)
{
    sb_welcome_free(&told->welcome);
}

/* Says hello; `epochs` is the member's text, page 1 of 1. */
static void hello_page(struct kit *kit, const char *nonce, const char *epoch, const char *receipt,
                       int page, int pages, const char *epochs)
{
    struct sb_buf json = {0};

    sb_buf_add_fmt(&json,
                   "{\"v\":1,\"kind\":\"hello\",\"nonce\":\"%s\",\"device\":\"%s\","
                   "\"device_boot\":\"0aaaaaaa-0000-4000-8000-000000000001\",\"receipt\":%s,",
                   nonce, kit->device, receipt);
    sb_buf_add_fmt(&json,
                   "\"epoch\":\"%s\",\"page\":%d,\"pages\":%d,"
                   "\"sent_at\":\"2026-01-02T03:04:05Z\",\"epochs\":%s}",
                   epoch, page, pages, epochs);
    kit_message(kit, "ctl", "", json.data);
    kit_flush(kit);
    sb_buf_free(&json);
}

static void last_welcome(struct kit *kit, struct sb_welcome *welcome)
{
    const struct sent *sent = kit_last(kit, "\"kind\":\"welcome\"");
    struct sb_err err = {0};

    sb_welcome_init(welcome);
    if (sb_welcome_decode(sb_buf_span(&sent->payload), welcome, &err) != 0)
        fail_msg("%s: %s", err.msg, sent->payload.data);
    assert_string_equal(sent->correlation.data, welcome->nonce);
    assert_string_equal(sent->topic, "sb/v1/down/edge-001/reply");
}

static void hello(struct kit *kit, struct told *told, const char *epoch, const char *receipt,
                  const char *epochs)
{
    static unsigned long long counter = 0;

    snprintf(told->nonce, sizeof(told->nonce), "01930000-0000-7000-9000-%012llx", ++counter);
    hello_page(kit, told->nonce, epoch, receipt, 1, 1, epochs);
    last_welcome(kit, &told->welcome);
    assert_string_equal(told->welcome.nonce, told->nonce);
}

static const struct sb_standing *standing(const struct told *told, const char *epoch,
                                          const char *stream)
{
    for (size_t i = 0; i < told->welcome.standing_count; i++)
        if (strcmp(told->welcome.standings[i].epoch, epoch) == 0 &&
            strcmp(told->welcome.standings[i].stream, stream) == 0)
            return &told->welcome.standings[i];
    return NULL;
}

static void put_readings(struct kit *kit, const char *epoch, uint64_t first, uint64_t last)
{
    struct sb_buf rows = {0};

    snprintf(kit->epoch, sizeof(kit->epoch), "%s", epoch);
    for (uint64_t seq = first; seq <= last; seq++)
        sb_buf_add_fmt(&rows, "%s[\"2026-01-01T00:00:00Z\",%llu]", seq > first ? "," : "",
                       (unsigned long long)seq);
    kit_ask(kit, STREAM, first, last, "\"fields\":[\"ts\",\"value\"],\"rows\":[%s]", rows.data);
    sb_buf_free(&rows);
}

static void a_welcome_says_what_is_decided_and_what_is_a_hole(void **state)
{
    struct kit *kit = *state;
    struct told told;
    const struct sb_standing *found;

    put_readings(kit, E1, 1, 3);
    put_readings(kit, E1, 7, 8);
    kit_ask(kit, STREAM, 4, 5, "\"hole\":{\"reason\":\"evicted\"}");
    hello(kit, &told, E1, "null",
          "[{\"epoch\":\"" E1 "\",\"streams\":[{\"stream\":\"" STREAM "\",\"made\":8,"
          "\"settled\":[[1,3]],\"held\":[[6,6]]},{\"stream\":\"history/u\",\"made\":0,"
          "\"settled\":[],\"held\":[]}]}]");
    found = standing(&told, E1, STREAM);
    assert_non_null(found);
    assert_int_equal(found->decided.count, 2);
    assert_int_equal(found->decided.at[1].hi, 8);
    assert_int_equal(found->holes.at[0].lo, 4);
    assert_non_null(standing(&told, E1, "history/u"));
    assert_int_equal(standing(&told, E1, "history/u")->decided.count, 0);
    assert_false(told.welcome.restored);
    assert_int_equal(told.welcome.commit, 4);
    assert_string_equal(told.welcome.boot, ingest_boot(kit->ingest));
    assert_int_equal(told.welcome.limits.max_batch_records, 1000);
    forget(&told);
}

static void streams_of_the_current_epoch_are_named_unasked_and_no_others(void **state)
{
    struct kit *kit = *state;
    struct told told;

    put_readings(kit, E1, 1, 3);
    put_readings(kit, E2, 1, 2);
    hello(kit, &told, E2, "null", "[]");
    assert_int_equal(told.welcome.standing_count, 1);
    assert_non_null(standing(&told, E2, STREAM));
    forget(&told);
}

static void a_receipt_that_is_not_there_means_restored(void **state)
{
    struct kit *kit = *state;
    struct told told;
    char receipt[128];

    put_readings(kit, E1, 1, 1);
    snprintf(receipt, sizeof(receipt), "{\"boot\":\"%s\",\"commit\":1}", ingest_boot(kit->ingest));
    hello(kit, &told, E1, receipt, "[]");
    assert_false(told.welcome.restored);
    forget(&told);
    snprintf(receipt, sizeof(receipt), "{\"boot\":\"%s\",\"commit\":9}", ingest_boot(kit->ingest));
    hello(kit, &told, E1, receipt, "[]");
    assert_true(told.welcome.restored);
    forget(&told);
    hello(kit, &told, E1, "{\"boot\":\"01930000-0000-7000-8000-00000000dead\",\"commit\":1}", "[]");
    assert_true(told.welcome.restored);
    forget(&told);
    assert_int_equal(kit_published(kit, "\"event\":\"restored\""), 2);
}

static void the_receipt_of_a_former_process_still_counts(void **state)
{
    struct kit *kit = *state;
    struct told told;
    char receipt[128];

    put_readings(kit, E1, 1, 1);
    put_readings(kit, E1, 2, 2);
    snprintf(receipt, sizeof(receipt), "{\"boot\":\"%s\",\"commit\":2}", ingest_boot(kit->ingest));
    kit_restart(kit);
    hello(kit, &told, E1, receipt, "[]");
    assert_false(told.welcome.restored);
    assert_int_equal(told.welcome.commit, 1);
    forget(&told);
}

static void what_a_device_says_is_kept_once_all_pages_are_there(void **state)
{
    struct kit *kit = *state;
    const char nonce[] = "01930000-0000-7000-9000-0000000000aa";
    const char page[] = "[{\"epoch\":\"" E1 "\",\"streams\":[{\"stream\":\"sensors/%s\","
                        "\"made\":8,\"settled\":[],\"held\":[[1,8]]}]}]";
    char epochs[256];

    snprintf(epochs, sizeof(epochs), page, "a");
    hello_page(kit, nonce, E1, "null", 2, 2, epochs);
    assert_int_equal(kit_count(kit, "SELECT told_ms > 0 FROM devices"), 0);
    hello_page(kit, nonce, E1, "null", 2, 2, epochs);
    assert_int_equal(kit_count(kit, "SELECT told_ms > 0 FROM devices"), 0);
    snprintf(epochs, sizeof(epochs), page, "b");
    hello_page(kit, nonce, E1, "null", 1, 2, epochs);
    assert_int_equal(kit_count(kit, "SELECT told_ms > 0 FROM devices"), 1);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM claims WHERE held = '[[1,8]]'"), 2);
    assert_int_equal(kit_published(kit, "\"kind\":\"welcome\""), 3);
}

static void a_long_welcome_comes_in_parts(void **state)
{
    struct kit *kit = *state;
    struct sb_buf epochs = {0};
    struct sb_welcome welcome;

    kit_stop(kit);
    kit->config.page_bytes = 2000;
    kit_start(kit);
    sb_buf_add_str(&epochs, "[{\"epoch\":\"" E1 "\",\"streams\":[");
    for (int i = 0; i < 100; i++)
        sb_buf_add_fmt(&epochs,
                       "%s{\"stream\":\"sensors/type-%d\",\"made\":1,\"settled\":[],\"held\":[]}",
                       i > 0 ? "," : "", i);
    sb_buf_add_str(&epochs, "]}]");
    hello_page(kit, "01930000-0000-7000-9000-0000000000ab", E1, "null", 1, 1, epochs.data);
    assert_true(kit_published(kit, "\"kind\":\"welcome\"") > 2);
    last_welcome(kit, &welcome);
    assert_false(welcome.more);
    sb_welcome_free(&welcome);
    sb_buf_free(&epochs);
}

static void two_copies_that_take_turns_raise_an_alarm(void **state)
{
    struct kit *kit = *state;
    const char *turns[] = {E1, E1, E2, E2, E1, E2};
    struct told told;

    for (size_t i = 0; i < 5; i++) {
        hello(kit, &told, turns[i], "null", "[]");
        forget(&told);
    }
    assert_int_equal(kit_published(kit, "clone_alarm"), 0);
    hello(kit, &told, turns[5], "null", "[]");
    forget(&told);
    assert_int_equal(kit_published(kit, "clone_alarm"), 1);
    assert_int_equal(kit_published(kit, "new_epoch"), 1);
}

static void turns_that_are_a_day_apart_are_no_clones(void **state)
{
    const struct epoch_turn turns[] = {{E2, 86400000}, {E1, 3}, {E2, 2}, {E1, 0}};
    const struct epoch_turn close[] = {{E2, 86399999}, {E1, 3}, {E2, 2}, {E1, 0}};

    (void)state;
    assert_false(welcome_clones(turns, 4));
    assert_true(welcome_clones(close, 4));
    assert_false(welcome_clones(close, 3));
}

static void a_revoked_device_gets_no_welcome(void **state)
{
    struct kit *kit = *state;

    kit_sql(kit, "INSERT INTO devices (device, added_ms, revoked) VALUES ('edge-001', 1, 1)");
    hello_page(kit, "01930000-0000-7000-9000-0000000000ac", E1, "null", 1, 1, "[]");
    assert_int_equal(kit_published(kit, "\"kind\":\"welcome\""), 0);
    assert_int_equal(kit_reply(kit)->code, SB_EREVOKED);
}

static void beyond_the_cap_of_epochs_the_answer_is_limit(void **state)
{
    struct kit *kit = *state;
    char epoch[SB_EPOCH_LEN + 1];

    for (uint64_t i = 1; i <= 64; i++) {
        sb_hex16_of(i, epoch);
        put_readings(kit, epoch, 1, 1);
        assert_int_equal(kit->reply.result, SB_RESULT_STORED);
    }
    sb_hex16_of(65, epoch);
    put_readings(kit, epoch, 1, 1);
    assert_int_equal(kit->reply.code, SB_ELIMIT);
    kit_sql(kit, "UPDATE epochs SET named_ms = named_ms - 31 * 86400000 WHERE n = 1");
    put_readings(kit, epoch, 1, 1);
    assert_int_equal(kit->reply.result, SB_RESULT_STORED);
    sb_hex16_of(1, epoch);
    put_readings(kit, epoch, 2, 2);
    assert_int_equal(kit->reply.result, SB_RESULT_STORED);
}

static void a_database_that_was_replaced_gets_a_new_boot_id(void **state)
{
    struct kit *kit = *state;
    char before[SB_UUID_LEN + 1];

    put_readings(kit, E1, 1, 1);
    put_readings(kit, E1, 2, 2);
    snprintf(before, sizeof(before), "%s", ingest_boot(kit->ingest));
    kit_sql(kit, "UPDATE boots SET commits = 1"); /* as an older copy of the file would have it */
    put_readings(kit, E1, 3, 3);
    assert_int_equal(kit->reply.result, SB_RESULT_STORED);
    assert_string_not_equal(ingest_boot(kit->ingest), before);
    assert_string_equal(kit->reply.boot, ingest_boot(kit->ingest));
    assert_int_equal(kit->reply.commit, 1);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM boots"), 2);
    assert_non_null(
        strstr(kit_last(kit, "sb/v1/ingest/1")->payload.data, ingest_boot(kit->ingest)));
    kit->boot = before;
    put_readings(kit, E1, 4, 4);
    assert_int_equal(kit->reply.code, SB_EHELLO);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM sensor_system"), 3);
}

/* Into the file that is open, as sqlite3's .restore does. */
static void restore_into(struct kit *kit, const char *from)
{
    sqlite3 *to_db = NULL, *from_db = NULL;
    sqlite3_backup *backup;

    assert_int_equal(sqlite3_open(kit->path, &to_db), SQLITE_OK);
    assert_int_equal(sqlite3_open(from, &from_db), SQLITE_OK);
    backup = sqlite3_backup_init(to_db, "main", from_db, "main");
    assert_non_null(backup);
    assert_int_equal(sqlite3_backup_step(backup, -1), SQLITE_DONE);
    assert_int_equal(sqlite3_backup_finish(backup), SQLITE_OK);
    sqlite3_close(from_db);
    sqlite3_close(to_db);
}

/* The database of an older version of the program, before any type was declared. */
static void make_older(const char *path)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(store_migrate_to(db, 2, NULL), 0);
    sqlite3_close(db);
}

static void a_restored_database_gets_the_tables_it_does_not_have_yet(void **state)
{
    struct kit *kit = *state;
    char before[SB_UUID_LEN + 1], old[160];
    struct told told;

    put_readings(kit, E1, 1, 2);
    snprintf(before, sizeof(before), "%s", ingest_boot(kit->ingest));
    snprintf(old, sizeof(old), "%s.old", kit->path);
    make_older(old);
    restore_into(kit, old);
    kit->boot = before;
    put_readings(kit, E1, 3, 3);
    assert_int_equal(kit->reply.code, SB_EHELLO);
    hello(kit, &told, E1, "null", "[]");
    assert_string_not_equal(told.welcome.boot, before);
    kit->boot = told.welcome.boot;
    put_readings(kit, E1, 1, 3);
    assert_int_equal(kit->reply.result, SB_RESULT_STORED);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM sensor_system"), 3);
    kit->boot = "";
    forget(&told);
}

static void a_question_by_the_socket_finds_the_other_database_too(void **state)
{
    struct kit *kit = *state;
    struct sb_request request = {.op = "conflicts.list", .args = SB_SPAN("{}")};
    char before[SB_UUID_LEN + 1];
    struct sb_buf answer = {0};

    put_readings(kit, E1, 1, 1);
    snprintf(before, sizeof(before), "%s", ingest_boot(kit->ingest));
    snprintf(request.id, sizeof(request.id), "01930000-0000-7000-9000-000000000001");
    kit_sql(kit, "UPDATE boots SET commits = 0");
    assert_int_equal(ingest_request(kit->ingest, "_op-root", &request, kit->now, &answer, NULL), 0);
    assert_string_not_equal(ingest_boot(kit->ingest), before);
    assert_non_null(strstr(answer.data, ingest_boot(kit->ingest)));
    sb_buf_free(&answer);
}

static void presence_is_announced_and_devices_are_asked(void **state)
{
    struct kit *kit = *state;
    const struct sent *sent = kit_last(kit, "sb/v1/ingest/1");
    struct sb_buf json = {0};
    struct sb_err err;

    assert_true(sent->retain);
    assert_non_null(strstr(sent->payload.data, "\"state\":\"online\""));
    assert_non_null(strstr(sent->payload.data, ingest_boot(kit->ingest)));
    put_readings(kit, E1, 1, 1);
    assert_int_equal(ingest_ask_hello(kit->ingest, NULL, kit->now, &err), 0);
    sent = kit_last(kit, "/notify");
    assert_string_equal(sent->topic, "sb/v1/down/edge-001/notify");
    assert_int_equal(sent->qos, 0);
    assert_string_equal(sent->payload.data, "{\"v\":1,\"kind\":\"notify\",\"hello\":true}");
    ingest_presence(kit->ingest, "lost", kit->now, &json);
    assert_non_null(strstr(json.data, "\"state\":\"lost\""));
    ingest_goodbye(kit->ingest, kit->now);
    assert_non_null(strstr(kit_last(kit, "sb/v1/ingest/1")->payload.data, "\"offline\""));
    sb_buf_free(&json);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_welcome_says_what_is_decided_and_what_is_a_hole),
        CASE(streams_of_the_current_epoch_are_named_unasked_and_no_others),
        CASE(a_receipt_that_is_not_there_means_restored),
        CASE(the_receipt_of_a_former_process_still_counts),
        CASE(what_a_device_says_is_kept_once_all_pages_are_there),
        CASE(a_long_welcome_comes_in_parts),
        CASE(two_copies_that_take_turns_raise_an_alarm),
        CASE(turns_that_are_a_day_apart_are_no_clones),
        CASE(a_revoked_device_gets_no_welcome),
        CASE(beyond_the_cap_of_epochs_the_answer_is_limit),
        CASE(a_database_that_was_replaced_gets_a_new_boot_id),
        CASE(a_restored_database_gets_the_tables_it_does_not_have_yet),
        CASE(a_question_by_the_socket_finds_the_other_database_too),
        CASE(presence_is_announced_and_devices_are_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
