/* The database: opening, reopening, foreign files, mappings that change, the questions of the CLI.
 */
#include "cloud_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cloud_ingest/limits.h"
#include "cloud_ingest/store_sqlite.h"

static int open_with(struct kit *kit, enum store_mode mode, const struct mapping_set *mappings,
                     struct store **store, struct sb_err *err)
{
    const struct store_options options = {.mode = mode, .mappings = mappings};

    return store_open(kit->path, &options, store, err);
}

static void a_database_is_reopened_and_every_table_is_strict(void **state)
{
    struct kit *kit = *state;

    kit_restart(kit);
    kit_restart(kit);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM boots"), 3);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM pragma_table_list WHERE schema = 'main'"
                                    " AND name NOT LIKE 'sqlite_%' AND strict = 0"),
                     0);
    assert_int_equal(kit_count(kit, "SELECT wr FROM pragma_table_list"
                                    " WHERE name = 'sensor_air_quality'"),
                     1);
}

static void a_foreign_or_newer_database_is_refused(void **state)
{
    struct kit *kit = *state;
    struct store *store;
    struct sb_err err;
    FILE *file;

    kit_stop(kit);
    kit_sql(kit, "PRAGMA application_id = 7");
    assert_int_equal(open_with(kit, STORE_OWN, NULL, &store, &err), -SB_ECORRUPT);
    kit_sql(kit, "PRAGMA application_id = 0x53424349; PRAGMA user_version = 99");
    assert_int_equal(open_with(kit, STORE_OWN, NULL, &store, &err), -SB_ENEWER_SCHEMA);
    kit_sql(kit, "PRAGMA user_version = 3");
    file = fopen(kit->path, "w");
    assert_non_null(file);
    fputs(":)", file);
    fclose(file);
    assert_true(open_with(kit, STORE_OWN, NULL, &store, &err) < 0);
    remove(kit->path);
    assert_int_equal(open_with(kit, STORE_READ, NULL, &store, &err), -SB_ENOT_FOUND);
    kit_start(kit);
}

/* A database as the version before documents of tables left it. */
static const char settings_of_step_2[] =
    "INSERT INTO bindings VALUES ('edge-001', 'user-1', 1);"
    "INSERT INTO users (user, version, tag) VALUES ('user-1', 2, '00000000000000b2');"
    "INSERT INTO versions (user, version, doc, tag, device, stream, op_id, hlc, submitted, deleted,"
    " sn, seq, made_us) VALUES"
    " ('user-1', 1, 'settings', '00000000000000a1', 'edge-009', 'settings/user-1', 'a',"
    "  '0000000000000009', '{\"x\":1,\"y\":1}', 0, 7, 1, 1),"
    " ('user-1', 2, 'settings', '00000000000000b2', 'edge-002', 'settings/user-1', 'b',"
    "  '0000000000000005', '{\"x\":2,\"y\":1}', 0, 8, 1, 2);"
    "INSERT INTO documents (user, doc, version) VALUES ('user-1', 'settings', 2);"
    "INSERT INTO conflicts (device, stream, op_id, user, code, hlc, submitted, sn, seq,"
    " server_version, opened_ms) VALUES"
    " ('edge-001', 'settings/user-1', 'c', 'user-1', '', '', '{}', 9, 1, 2, 5),"
    " ('edge-001', 'settings/user-1', 'd', 'user-1', 'base_unknown', '', '{}', 9, 2, 2, 5);";

static void a_database_from_before_tables_keeps_its_settings(void **state)
{
    const struct sb_db_options options = {.create = true};
    struct kit *kit = *state;
    struct document_row row = {.merged = false};
    struct sb_err err;
    sqlite3 *db;

    kit_stop(kit);
    remove(kit->path);
    assert_int_equal(sb_db_open(kit->path, &options, &db, &err), 0);
    assert_int_equal(store_migrate_to(db, 2, &err), 0);
    assert_int_equal(sb_db_exec(db, settings_of_step_2, &err), 0);
    sb_db_close(db);
    kit_start(kit);
    assert_int_equal(store_document_row(kit->store, "user-1", "settings", &row, &err), 0);
    assert_true(row.document.exists);
    assert_false(row.document.deleted);
    assert_false(row.merged);
    assert_string_equal(row.document.data.data, "{\"x\":2,\"y\":1}");
    assert_string_equal(row.document.hlc, "0000000000000009"); /* the highest, not the last */
    assert_string_equal(row.stamp_device, "edge-009");
    assert_string_equal(row.document.device, "edge-002");
    assert_int_equal(row.document.stamps.len, 0);
    sb_document_free(&row.document);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM documents WHERE tbl = 'settings' AND id ="
                                    " 'settings'"),
                     1);
    assert_int_equal(kit_count(kit, "SELECT floor FROM users"), 0);
    assert_int_equal(kit_count(kit, "SELECT group_concat(pointers, ' ') = '[\"\"] []'"
                                    " FROM (SELECT pointers FROM conflicts ORDER BY id)"),
                     1);
    /* a device goes on where it was: on the tag it had, merged with what is in force */
    kit_expect(kit_ask(kit, "settings/user-1", 1, 1,
                       "\"records\":[{\"op_id\":\"e\",\"hlc\":\"000000000000000a\",\"base\":"
                       "{\"tag\":\"00000000000000a1\"},\"settings\":{\"x\":1,\"y\":3}}]"),
               SB_RESULT_STORED, 1, 0, 0, 0, 0);
    assert_int_equal(kit_count(kit, "SELECT version FROM documents"), 3);
    assert_int_equal(kit_count(kit, "SELECT result = '{\"x\": 2, \"y\": 3}' FROM versions"
                                    " WHERE version = 3"),
                     1);
}

static int add(struct mapping_set **set, const char *text)
{
    if (*set == NULL)
        *set = mapping_set_new();
    return mapping_set_add(*set, sb_span_of(text), NULL);
}

static void a_mapping_may_gain_columns_and_neither_lose_nor_change_them(void **state)
{
    struct kit *kit = *state;
    struct mapping_set *one = NULL, *more = NULL, *less = NULL, *other = NULL;
    struct store *store = NULL;
    struct sb_err err;

    kit_stop(kit);
    assert_int_equal(
        add(&one, "{\"type\":\"t\",\"columns\":[{\"name\":\"a\",\"type\":\"number\"}]}"), 0);
    assert_int_equal(add(&more, "{\"type\":\"t\",\"columns\":[{\"name\":\"b\",\"type\":\"string\"},"
                                "{\"name\":\"a\",\"type\":\"number\"}]}"),
                     0);
    assert_int_equal(
        add(&less, "{\"type\":\"t\",\"columns\":[{\"name\":\"b\",\"type\":\"string\"}]}"), 0);
    assert_int_equal(add(&other,
                         "{\"type\":\"t\",\"columns\":[{\"name\":\"a\",\"type\":\"string\"},"
                         "{\"name\":\"b\",\"type\":\"string\"}]}"),
                     0);
    assert_int_equal(open_with(kit, STORE_OWN, one, &store, &err), 0);
    store_close(store);
    assert_int_equal(open_with(kit, STORE_OWN, more, &store, &err), 0);
    store_close(store);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM pragma_table_info('sensor_t')"), 8);
    assert_int_equal(open_with(kit, STORE_OWN, less, &store, &err), -SB_ECONFIG);
    assert_non_null(strstr(err.msg, "column a that is no longer declared"));
    assert_int_equal(open_with(kit, STORE_OWN, other, &store, &err), -SB_ECONFIG);
    assert_non_null(strstr(err.msg, "column a is string and the table holds number"));
    mapping_set_free(one);
    mapping_set_free(more);
    mapping_set_free(less);
    mapping_set_free(other);
    kit_start(kit);
}

/* ---- readings as they came ---- */

struct lines {
    struct sb_buf text;
    size_t most;
};

static bool add_line(void *ctx, const struct reading_info *info)
{
    struct lines *lines = ctx;
    struct sb_buf *out = &lines->text;

    sb_buf_add_fmt(out, "%.4s/%d/%d %s", info->epoch + 12, info->branch, (int)info->seq, info->ts);
    for (size_t i = 0; i < info->count; i++) {
        if (info->fields[i].type == SB_JSON_NULL)
            continue;
        sb_buf_add_fmt(out, " %s=", info->fields[i].name);
        if (info->fields[i].type == SB_JSON_STRING)
            sb_buf_add_json(out, info->fields[i].text);
        else
            sb_buf_add_span(out, info->fields[i].text);
    }
    if (info->corrected)
        sb_buf_add_fmt(out, " off=%lld", (long long)((info->corrected_us - info->ts_us) / 1000));
    sb_buf_add_char(out, '\n');
    return true;
}

static void expect_readings(struct kit *kit, const struct reading_query *query,
                            const char *expected)
{
    struct lines lines = {.most = 100};
    struct sb_err err = {0};

    if (store_readings(kit->store, query, add_line, &lines, &err) != 0)
        fail_msg("%s", err.msg);
    assert_string_equal(lines.text.len > 0 ? lines.text.data : "", expected);
    sb_buf_free(&lines.text);
}

static void readings_come_in_the_order_they_were_made_as_they_came(void **state)
{
    struct kit *kit = *state;
    struct reading_query query = {.device = "edge-001", .type = "air_quality"};

    kit_ask(kit, "sensors/air_quality", 2, 3,
            "\"fields\":[\"ts\",\"pm2_5\",\"aqi_level\",\"note\"],\"rows\":["
            "[\"2026-01-01T08:00:00.5+08:00\",1.0,\"a\\\"b\",{\"k\":[1, 2]}],"
            "[\"2026-01-01T00:00:05Z\",-0,null,\"\\u00e9\"]]");
    snprintf(kit->epoch, sizeof(kit->epoch), "00000000000000e0");
    kit_ask(kit, "sensors/air_quality", 1, 1,
            "\"fields\":[\"ts\",\"pm2_5\",\"pm10\"],"
            "\"rows\":[[\"2026-01-01T00:00:01Z\",9007199254740993,0.1]]");
    snprintf(kit->epoch, sizeof(kit->epoch), "00000000000000e1");
    kit_ask(kit, "sensors/air_quality", 1, 2,
            "\"fields\":[\"ts\",\"pm2_5\",\"big\"],\"rows\":[[\"2026-01-01T00:00:02Z\","
            "1e22,18446744073709551615],[\"2026-01-01T00:00:03Z\",18446744073709551615,1]]");
    expect_readings(kit, &query,
                    "00e1/0/1 2026-01-01T00:00:02Z pm2_5=1e+22 big=18446744073709551615\n"
                    "00e1/0/2 2026-01-01T08:00:00.5+08:00 pm2_5=1.0 aqi_level=\"a\\\"b\" "
                    "note={\"k\":[1, 2]}\n"
                    "00e1/0/3 2026-01-01T00:00:05Z pm2_5=-0.0 note=\"\xc3\xa9\"\n"
                    "00e1/1/2 2026-01-01T00:00:03Z pm2_5=18446744073709551615 big=1\n"
                    "00e0/0/1 2026-01-01T00:00:01Z pm2_5=9007199254740993 pm10=0.1\n");
    query.limit = 1;
    query.has_since = true;
    query.since_us = 1767225605000000;
    expect_readings(kit, &query, "00e1/0/3 2026-01-01T00:00:05Z pm2_5=-0.0 note=\"\xc3\xa9\"\n");
    query.device = "edge-009";
    expect_readings(kit, &query, "");
}

static void a_clock_that_was_off_is_corrected_once_it_is_known(void **state)
{
    struct kit *kit = *state;
    const struct reading_query query = {.device = "edge-001", .type = "system"};
    const char body[] = "\"fields\":[\"ts\",\"value\"],\"rows\":[[\"%s\",1]],\"chunks\":[{\"n\":1,"
                        "\"device_boot\":\"0aaaaaaa-0000-4000-8000-000000000001\","
                        "\"mono_ms\":%d,\"wall\":\"%s\",\"quality\":\"%s\"}]";

    kit_ask(kit, "sensors/system", 1, 1, body, "1970-01-01T00:00:10Z", 10000,
            "1970-01-01T00:00:10Z", "rtc");
    kit_ask(kit, "sensors/system", 2, 2, body, "2026-01-01T00:01:00Z", 60000,
            "2026-01-01T00:01:00Z", "ntp");
    kit_ask(kit, "sensors/system", 3, 3, "%s",
            "\"fields\":[\"ts\",\"value\"],\"rows\":[[\"1970-01-01T00:00:20Z\",1]]");
    expect_readings(kit, &query,
                    "00e1/0/1 1970-01-01T00:00:10Z value=1 off=1767225600000\n"
                    "00e1/0/2 2026-01-01T00:01:00Z value=1\n"
                    "00e1/0/3 1970-01-01T00:00:20Z value=1\n");
}

static void rows_of_before_the_declaration_are_listed_too(void **state)
{
    struct kit *kit = *state;
    const struct reading_query query = {.device = "edge-001", .type = "odd"};
    const char body[] = "\"fields\":[\"ts\",\"x\"],\"rows\":[[\"2026-01-01T00:00:00Z\",%d]]";

    kit_ask(kit, "sensors/odd", 1, 1, body, 1);
    kit_ask(kit, "sensors/odd", 3, 3, body, 3);
    kit_stop(kit);
    assert_int_equal(add(&kit->mappings, "{\"type\":\"odd\",\"columns\":[{\"name\":\"x\","
                                         "\"type\":\"integer\"}]}"),
                     0);
    kit_start(kit);
    kit_ask(kit, "sensors/odd", 2, 2, body, 2);
    expect_readings(kit, &query,
                    "00e1/0/1 2026-01-01T00:00:00Z x=1\n00e1/0/2 2026-01-01T00:00:00Z x=2\n"
                    "00e1/0/3 2026-01-01T00:00:00Z x=3\n");
}

/* ---- what the command line writes and lists ---- */

static bool count_device(void *ctx, const struct device_info *info)
{
    struct device_info *last = ctx;

    *last = *info;
    return true;
}

static bool count_binding(void *ctx, const struct binding_info *info)
{
    (void)info;
    ++*(int *)ctx;
    return true;
}

static void bindings_and_devices_are_written_beside_the_daemon(void **state)
{
    struct kit *kit = *state;
    struct device_info device = {.records = 0};
    struct store *admin;
    struct sb_err err;
    int count = 0;

    assert_int_equal(open_with(kit, STORE_ADMIN, NULL, &admin, &err), 0);
    assert_int_equal(store_grant(admin, "edge-001", "user-1", 5, &err), 0);
    assert_int_equal(store_grant(admin, "edge-001", "user-1", 5, &err), 0);
    assert_int_equal(store_grant(admin, "_op-x", "user-1", 5, &err), -SB_EBAD_ID);
    assert_int_equal(store_grant(admin, "edge-001", "user/1", 5, &err), -SB_EBAD_ID);
    kit_ask(kit, "history/user-1", 1, 1,
            "\"records\":[{\"command_id\":\"c\",\"created_at\":\"2026-01-01T00:00:00Z\"}]");
    assert_int_equal(kit->reply.result, SB_RESULT_STORED);
    assert_int_equal(store_bindings(admin, "edge-001", count_binding, &count, &err), 0);
    assert_int_equal(count, 1);
    assert_int_equal(store_ungrant(admin, "edge-001", "user-1", &err), 0);
    assert_int_equal(store_ungrant(admin, "edge-001", "user-1", &err), -SB_ENOT_FOUND);
    kit_ask(kit, "history/user-1", 2, 2,
            "\"records\":[{\"command_id\":\"d\",\"created_at\":\"2026-01-01T00:00:00Z\"}]");
    assert_int_equal(kit->reply.code, SB_EFORBIDDEN);
    assert_int_equal(store_device_register(admin, "edge-001", 5, &err), -SB_EEXISTS);
    assert_int_equal(store_device_register(admin, "edge-000", 5, &err), 0);
    assert_int_equal(store_devices(admin, count_device, &device, &err), 0);
    assert_int_equal(device.records, 1);
    assert_int_equal(device.epochs, 1);
    assert_true(device.last_ms > 0);
    assert_int_equal(store_device_revoke(admin, "edge-001", true, 5, &err), 0);
    kit_ask(kit, "sensors/system", 1, 1,
            "\"fields\":[\"ts\"],\"rows\":[[\"2026-01-01T00:00:00Z\"]]");
    assert_int_equal(kit->reply.code, SB_EREVOKED);
    store_close(admin);
}

static bool copy_entry(void *ctx, const struct quarantine_info *info)
{
    struct quarantine_info *out = ctx;

    *out = *info;
    return false;
}

static void quarantine_is_listed_newest_first_and_shown(void **state)
{
    struct kit *kit = *state;
    struct quarantine_info info = {.id = 0};
    struct sb_buf large = {0};
    struct sb_err err;

    kit_message(kit, "sensors", "", "first");
    for (int i = 0; i < 70000; i++)
        sb_buf_add_char(&large, 'x');
    kit_message(kit, "history", "", large.data);
    kit_flush(kit);
    assert_int_equal(store_quarantine(kit->store, NULL, 0, copy_entry, &info, &err), 0);
    assert_int_equal(info.size, 70000);
    assert_int_equal(info.code, SB_EBAD_JSON);
    assert_int_equal(store_quarantine_show(kit->store, info.id - 1, copy_entry, &info, &err), 0);
    assert_int_equal(info.size, 5);
    assert_int_equal(store_quarantine_show(kit->store, 99, copy_entry, &info, &err),
                     -SB_ENOT_FOUND);
    assert_int_equal(kit_count(kit, "SELECT length(payload) FROM quarantine WHERE size = 70000"),
                     LIMIT_QUARANTINE_ENTRY);
    sb_buf_free(&large);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_database_is_reopened_and_every_table_is_strict),
        CASE(a_foreign_or_newer_database_is_refused),
        CASE(a_database_from_before_tables_keeps_its_settings),
        CASE(a_mapping_may_gain_columns_and_neither_lose_nor_change_them),
        CASE(readings_come_in_the_order_they_were_made_as_they_came),
        CASE(a_clock_that_was_off_is_corrected_once_it_is_known),
        CASE(rows_of_before_the_declaration_are_listed_too),
        CASE(bindings_and_devices_are_written_beside_the_daemon),
        CASE(quarantine_is_listed_newest_first_and_shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
