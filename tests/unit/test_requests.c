/* Requests of devices: what they read, who may, that bad input changes nothing and a repeat does
 * nothing, and who is notified. */
#include "request_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cloud_ingest/limits.h"
#include "cloud_ingest/requests.h"
#include "cloud_ingest/store_sqlite.h"
#include "common/notify.h"

/* ---- changes ---- */

static void changes_come_in_commit_order_tombstones_included(void **state)
{
    struct kit *kit = *state;
    struct sb_changes changes;

    ack_is(put_record(kit, "a", "projects", "p1", "null", "{\"n\":1}"), SB_RESULT_STORED);
    ack_is(put_record(kit, "b", "projects", "p2", "null", "{\"n\":2}"), SB_RESULT_STORED);
    ack_is(put_record(kit, "c", "contents", "c1", "null", "{\"n\":3}"), SB_RESULT_STORED);
    ack_is(put_record(kit, "d", "projects", "p1", "{\"op_id\":\"a\"}", "{\"n\":4}"),
           SB_RESULT_STORED);
    ack_is(put_record(kit, "e", "projects", "p2", "{\"op_id\":\"b\"}", NULL), SB_RESULT_STORED);
    ack_is(put_settings(kit, "f", "null", "{\"s\":1}"), SB_RESULT_STORED);

    ask(kit, "changes", "{\"user\":\"user-1\",\"table\":\"projects\",\"since\":null}");
    changes = changes_of();
    assert_string_equal(changes.user, "user-1");
    assert_string_equal(changes.table, "projects");
    assert_int_equal(changes.policy, SB_POLICY_MERGE);
    assert_int_equal(changes.count, 2);
    assert_string_equal(changes.list[0].id, "p1");
    assert_int_equal(changes.list[0].doc.version, 4);
    assert_string_equal(changes.list[0].doc.data.data, "{\"n\":4}");
    assert_string_equal(changes.list[0].doc.op_id, "d");
    assert_string_equal(changes.list[0].doc.device, "edge-001");
    assert_string_equal(changes.list[1].id, "p2");
    assert_true(changes.list[1].doc.deleted);
    assert_int_equal(changes.latest_version, 6);
    assert_int_equal(changes.cursor.version, 6);
    assert_false(changes.has_more);
    sb_changes_free(&changes);

    ask(kit, "changes", "{\"user\":\"user-1\",\"table\":\"settings\"}");
    changes = changes_of();
    assert_int_equal(changes.count, 1);
    assert_string_equal(changes.list[0].id, "settings");
    assert_int_equal(changes.list[0].doc.version, 6);
    sb_changes_free(&changes);
}

/* Asks from a cursor on; "" = null. */
static struct sb_changes changes_since(struct kit *kit, const struct sb_cursor *since,
                                       const char *limit)
{
    char args[256], cursor[80] = "null";

    if (since->version > 0)
        snprintf(cursor, sizeof(cursor), "{\"version\":%llu,\"tag\":\"%s\"}",
                 (unsigned long long)since->version, since->tag);
    snprintf(args, sizeof(args), "{\"user\":\"user-1\",\"table\":\"projects\",\"since\":%s%s%s}",
             cursor, limit[0] != '\0' ? ",\"limit\":" : "", limit);
    ask(kit, "changes", args);
    return changes_of();
}

static void pages_bring_each_document_once(void **state)
{
    struct kit *kit = *state;
    struct sb_cursor cursor = {.version = 0};
    bool more = true;
    size_t seen = 0;
    char op[24], id[16];

    for (int i = 0; i < 7; i++) {
        snprintf(op, sizeof(op), "op-%d", i);
        snprintf(id, sizeof(id), "p%d", i);
        ack_is(put_record(kit, op, "projects", id, "null", "{}"), SB_RESULT_STORED);
    }
    ack_is(put_settings(kit, "s", "null", "{}"), SB_RESULT_STORED);
    while (more) {
        struct sb_changes page = changes_since(kit, &cursor, "3");

        assert_true(page.count > 0);
        for (size_t i = 0; i < page.count; i++, seen++)
            assert_int_equal(page.list[i].doc.version, seen + 1);
        more = page.has_more;
        assert_int_equal(page.cursor.version, more ? seen : 8);
        cursor = page.cursor;
        sb_changes_free(&page);
    }
    assert_int_equal(seen, 7);
    {
        struct sb_changes page = changes_since(kit, &cursor, "");

        assert_int_equal(page.count, 0);
        assert_int_equal(page.cursor.version, 8);
        sb_changes_free(&page);
    }
}

static void a_page_fits_the_reply_and_a_large_document_is_fetched(void **state)
{
    struct kit *kit = *state;
    struct sb_cursor cursor = {.version = 0};
    struct sb_document doc;
    char *large = noise(kit, 30000), *small = noise(kit, 1000);
    size_t seen = 0, fetched = 0;
    bool more = true;
    char op[24], id[16];

    kit_stop(kit);
    kit->config.reply_bytes = 4096;
    kit_start(kit);
    for (int i = 0; i < 9; i++) {
        snprintf(op, sizeof(op), "op-%d", i);
        snprintf(id, sizeof(id), "p%d", i);
        ack_is(put_record(kit, op, "projects", id, "null", i == 4 ? large : small),
               SB_RESULT_STORED);
    }
    while (more) {
        struct sb_changes page = changes_since(kit, &cursor, "");

        assert_true(kit_last(kit, "\"kind\":\"answer\"")->payload.len <= 4096);
        for (size_t i = 0; i < page.count; i++) {
            fetched += page.list[i].doc.fetch;
            if (page.list[i].doc.fetch)
                assert_string_equal(page.list[i].id, "p4");
        }
        seen += page.count;
        more = page.has_more;
        cursor = page.cursor;
        sb_changes_free(&page);
    }
    assert_int_equal(seen, 9);
    assert_int_equal(fetched, 1);
    ask(kit, "document.get", "{\"user\":\"user-1\",\"table\":\"projects\",\"id\":\"p4\"}");
    doc = document_of("p4");
    assert_string_equal(doc.data.data, large);
    sb_document_free(&doc);
    free(large);
    free(small);
}

static void a_document_beyond_the_packet_limit_is_refused(void **state)
{
    struct kit *kit = *state;
    struct sb_link_event up = {.kind = SB_LINK_UP, .max_packet = 20000};
    char *large = noise(kit, 60000);

    ack_is(put_record(kit, "a", "projects", "p", "null", large), SB_RESULT_STORED);
    ingest_event(kit->ingest, &up, kit->now);
    ask(kit, "document.get", "{\"table\":\"projects\",\"id\":\"p\"}");
    refused(SB_ETOO_LARGE, "packet limit");
    up.max_packet = 200000;
    ingest_event(kit->ingest, &up, kit->now);
    ask(kit, "document.get", "{\"table\":\"projects\",\"id\":\"p\"}");
    succeeded();
    free(large);
}

static void a_cursor_that_is_not_known_is_refused(void **state)
{
    struct kit *kit = *state;
    struct sb_cursor none = {.version = 0}, cursor;
    struct sb_changes page;
    char args[256];

    ack_is(put_record(kit, "a", "projects", "p1", "null", "{}"), SB_RESULT_STORED);
    page = changes_since(kit, &none, "");
    cursor = page.cursor;
    sb_changes_free(&page);
    ack_is(put_record(kit, "b", "projects", "p2", "null", "{}"), SB_RESULT_STORED);
    page = changes_since(kit, &cursor, ""); /* of the past, still known */
    assert_int_equal(page.count, 1);
    sb_changes_free(&page);

    ask(kit, "changes",
        "{\"table\":\"projects\",\"since\":{\"version\":1,\"tag\":\"00000000000000aa\"}}");
    refused(SB_ECURSOR_UNKNOWN, "since");
    ask(kit, "changes",
        "{\"table\":\"projects\",\"since\":{\"version\":2,\"tag\":\"00000000000000aa\"}}");
    refused(SB_ECURSOR_UNKNOWN, "since");
    snprintf(args, sizeof(args),
             "{\"table\":\"projects\",\"since\":{\"version\":3,\"tag\":\"%s\"}}", cursor.tag);
    ask(kit, "changes", args);
    refused(SB_ECURSOR_UNKNOWN, "since");
    ask(kit, "changes", "{\"user\":\"user-1\",\"table\":\"projects\",\"since\":null}");
    succeeded();

    /* tombstones up to version 2 were removed */
    kit_sql(kit, "UPDATE users SET floor = 2 WHERE user = 'user-1'");
    snprintf(args, sizeof(args),
             "{\"table\":\"projects\",\"since\":{\"version\":1,\"tag\":\"%s\"}}", cursor.tag);
    ask(kit, "changes", args);
    refused(SB_ECURSOR_UNKNOWN, "since");

    /* a page of a pull of everything that began behind the last of them misses none */
    snprintf(args, sizeof(args),
             "{\"table\":\"projects\",\"since\":{\"version\":1,\"tag\":\"%s\"},\"began\":2}",
             cursor.tag);
    ask(kit, "changes", args);
    succeeded();
    args[strlen(args) - 2] = '1';
    ask(kit, "changes", args);
    refused(SB_ECURSOR_UNKNOWN, "since");
}

static void a_user_without_versions_has_no_cursor(void **state)
{
    struct kit *kit = *state;
    struct sb_changes changes;

    ask(kit, "changes", "{\"table\":\"projects\"}");
    changes = changes_of();
    assert_int_equal(changes.count, 0);
    assert_int_equal(changes.cursor.version, 0);
    assert_int_equal(changes.latest_version, 0);
    sb_changes_free(&changes);
}

/* ---- documents and versions ---- */

static void one_document_is_told_as_it_is(void **state)
{
    struct kit *kit = *state;
    struct sb_document doc;

    ask(kit, "document.get", "{\"table\":\"projects\",\"id\":\"p\"}");
    doc = document_of("p");
    assert_false(doc.exists);
    ack_is(put_record(kit, "a", "projects", "p", "null", "{ \"big\" : 12345678901234567890 }"),
           SB_RESULT_STORED);
    ask(kit, "document.get", "{\"user\":\"user-1\",\"table\":\"projects\",\"id\":\"p\"}");
    doc = document_of("p");
    assert_string_equal(doc.data.data, "{ \"big\" : 12345678901234567890 }");
    assert_int_equal(doc.stamps.len, 0);
    sb_document_free(&doc);
    ack_is(put_record(kit, "b", "projects", "p", "{\"op_id\":\"a\"}", NULL), SB_RESULT_STORED);
    ask(kit, "document.get", "{\"table\":\"projects\",\"id\":\"p\"}");
    doc = document_of("p");
    assert_true(doc.exists && doc.deleted);
    assert_int_equal(doc.version, 2);
    sb_document_free(&doc);
}

static void stamps_go_with_the_policy_latest(void **state)
{
    struct kit *kit = *state;
    struct sb_document doc;
    struct sb_changes changes;

    kit_policy(kit, SB_POLICY_LATEST);
    ack_is(put_record(kit, "a", "projects", "p", "null", "{\"a\":1}"), SB_RESULT_STORED);
    ack_is(put_record(kit, "b", "projects", "enc", "null", TOKEN), SB_RESULT_STORED);
    ask(kit, "document.get", "{\"table\":\"projects\",\"id\":\"p\"}");
    doc = document_of("p");
    assert_non_null(strstr(doc.stamps.data, "edge-001"));
    sb_document_free(&doc);
    ask(kit, "changes", "{\"table\":\"projects\"}");
    changes = changes_of();
    assert_int_equal(changes.count, 2);
    assert_true(changes.list[0].doc.stamps.len > 0);
    assert_int_equal(changes.list[1].doc.stamps.len, 0);
    assert_string_equal(changes.list[1].doc.data.data, TOKEN);
    sb_changes_free(&changes);
}

static void versions_are_listed_newest_first_and_each_can_be_had(void **state)
{
    struct kit *kit = *state;
    struct sb_versions versions;
    struct sb_document doc;

    put_settings(kit, "a", "null", "{\"n\":1}");
    put_record(kit, "x", "projects", "settings", "null", "{}"); /* another document, version 2 */
    put_settings(kit, "b", "{\"op_id\":\"a\"}", "{\"n\":22}");
    put_settings(kit, "c", "{\"op_id\":\"b\"}", "{\"n\":3}");
    ask(kit, "versions", "{\"table\":\"settings\",\"id\":\"settings\",\"limit\":2}");
    succeeded();
    assert_int_equal(sb_versions_decode(answer.data, &versions, NULL), 0);
    assert_int_equal(versions.count, 2);
    assert_true(versions.has_more);
    assert_int_equal(versions.list[0].version, 4);
    assert_string_equal(versions.list[1].op_id, "b");
    assert_int_equal(versions.list[1].size, 8);
    assert_string_equal(versions.list[1].device, "edge-001");
    sb_versions_free(&versions);
    ask(kit, "versions", "{\"table\":\"settings\",\"id\":\"settings\",\"before\":3}");
    assert_int_equal(sb_versions_decode(answer.data, &versions, NULL), 0);
    assert_int_equal(versions.count, 1);
    assert_false(versions.has_more);
    assert_int_equal(versions.list[0].version, 1);
    sb_versions_free(&versions);

    ask(kit, "version.get", "{\"table\":\"settings\",\"id\":\"settings\",\"version\":3}");
    doc = document_of("settings");
    assert_string_equal(doc.data.data, "{\"n\":22}");
    assert_string_equal(doc.op_id, "b");
    sb_document_free(&doc);
    ask(kit, "version.get", "{\"table\":\"settings\",\"id\":\"settings\",\"version\":2}");
    refused(SB_ENOT_FOUND, "version");
    ask(kit, "version.get", "{\"table\":\"settings\",\"id\":\"settings\",\"version\":9}");
    refused(SB_ENOT_FOUND, "version");
}

/* ---- who may ---- */

static void the_user_may_be_left_out_with_one_binding(void **state)
{
    struct kit *kit = *state;

    ask(kit, "settings.get", "{}");
    succeeded();
    kit_grant(kit, "user-7");
    ask(kit, "settings.get", "{}");
    refused(SB_EMISSING_FIELD, "user");
    ask(kit, "changes", "{\"table\":\"projects\"}");
    refused(SB_EMISSING_FIELD, "user");
    ask(kit, "changes", "{\"table\":\"projects\",\"user\":\"user-7\"}");
    succeeded();
    kit_sql(kit, "DELETE FROM bindings WHERE device = 'edge-001'");
    ask(kit, "settings.get", "{}");
    refused(SB_EFORBIDDEN, "binding");
}

static void everything_needs_the_binding(void **state)
{
    static const char *const asking[][2] = {
        {"settings.get", "{\"user\":\"user-2\"}"},
        {"document.get", "{\"user\":\"user-2\",\"table\":\"projects\",\"id\":\"p\"}"},
        {"changes", "{\"user\":\"user-2\",\"table\":\"projects\"}"},
        {"versions", "{\"user\":\"user-2\",\"table\":\"projects\",\"id\":\"p\"}"},
        {"version.get", "{\"user\":\"user-2\",\"table\":\"projects\",\"id\":\"p\",\"version\":1}"},
        {"conflicts.list", "{\"user\":\"user-2\"}"},
        {"conflicts.list", "{\"user\":\"user-2\",\"ops\":[\"a\"]}"},
        {"conflicts.show", "{\"id\":1}"},
    };
    struct kit *kit = *state;

    kit->device = "edge-003";
    kit_ask(kit, "settings/user-2", 1, 1,
            "\"records\":[{\"op_id\":\"a\",\"hlc\":\"0000000000000001\",\"base\":"
            "{\"tag\":\"00000000000000aa\"},\"settings\":{}}]");
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM conflicts WHERE id = 1"), 1);
    kit->device = "edge-001";
    for (size_t i = 0; i < sizeof(asking) / sizeof(asking[0]); i++) {
        ask(kit, asking[i][0], asking[i][1]);
        refused(SB_EFORBIDDEN, "binding");
    }
    kit_sql(kit, "UPDATE devices SET revoked = 1 WHERE device = 'edge-001'");
    ask(kit, "settings.get", "{\"user\":\"user-1\"}");
    refused(SB_EREVOKED, "");
}

/* ---- bad input ---- */

static void bad_input_is_refused_and_changes_nothing(void **state)
{
    static const struct {
        const char *op, *args;
        enum sb_code code;
    } bad[] = {
        {"settings.set", "{}", SB_EUNKNOWN_OP},
        {"Changes", "{}", SB_EUNKNOWN_OP},
        {"changes", "{}", SB_EMISSING_FIELD},
        {"changes", "{\"table\":\"skills\"}", SB_EUNKNOWN_TABLE},
        {"changes", "{\"table\":\"../x\"}", SB_EBAD_ID},
        {"changes", "{\"table\":\"projects\",\"limit\":0}", SB_EBAD_VALUE},
        {"changes", "{\"table\":\"projects\",\"since\":{\"version\":1}}", SB_EMISSING_FIELD},
        {"changes", "{\"table\":\"projects\",\"user\":\"a.b\"}", SB_EBAD_ID},
        {"document.get", "{\"table\":\"skills\",\"id\":\"p\"}", SB_EUNKNOWN_TABLE},
        {"document.get", "{\"table\":\"projects\"}", SB_EMISSING_FIELD},
        {"document.get", "{\"table\":\"settings\",\"id\":\"p\"}", SB_EBAD_ID},
        {"settings.get", "{\"user\":7}", SB_EBAD_TYPE},
        {"versions", "{\"table\":\"skills\",\"id\":\"p\"}", SB_EUNKNOWN_TABLE},
        {"versions", "{\"table\":\"projects\",\"id\":\"p\",\"before\":0}", SB_EBAD_VALUE},
        {"version.get", "{\"table\":\"projects\",\"id\":\"p\",\"version\":\"1\"}", SB_EBAD_TYPE},
        {"conflicts.list", "{\"ops\":[]}", SB_EBAD_VALUE},
        {"conflicts.show", "{}", SB_EMISSING_FIELD},
        {"conflicts.show", "{\"id\":99}", SB_ENOT_FOUND},
        {"conflicts.resolve", "{}", SB_EMISSING_FIELD},
        {"conflicts.resolve", "{\"id\":1,\"choice\":\"server\"}", SB_EBAD_VALUE},
        {"conflicts.resolve", "{\"ops\":[\"c\"],\"choice\":\"mine\"}", SB_EBAD_VALUE},
        {"conflicts.resolve", "{\"ops\":[\"c\"],\"choice\":\"merge\",\"data\":{}}", SB_EBAD_VALUE},
    };
    struct kit *kit = *state;

    put_settings(kit, "a", "null", "{\"x\":1}");
    ack_is(put_settings(kit, "c", "null", "{\"x\":2}"), SB_RESULT_CONFLICT);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ask(kit, bad[i].op, bad[i].args);
        if (answer.success || answer.code != bad[i].code)
            fail_msg("%s %s: not %s but %s: %s", bad[i].op, bad[i].args, sb_code_name(bad[i].code),
                     sb_code_name(answer.code), answer.reason);
        assert_true(answer.reason[0] != '\0');
        assert_int_equal(answer.commit, 0);
    }
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM versions"), 1);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM conflicts WHERE resolved_ms IS NULL"), 1);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM answers WHERE id IN (SELECT id FROM"
                                    " answers WHERE answer LIKE '%\"success\":true%')"),
                     0);
    assert_int_equal(kit_published(kit, "conflict_resolved"), 0);
}

static void a_request_under_another_boot_is_not_looked_at(void **state)
{
    struct kit *kit = *state;

    kit_message(kit, "ctl", "",
                "{\"v\":1,\"kind\":\"request\",\"id\":\"01930000-0000-7000-9000-000000000001\","
                "\"boot\":\"01930000-0000-7000-8000-00000000dead\",\"op\":\"conflicts.resolve\","
                "\"args\":{\"ops\":[\"a\"],\"choice\":\"local\"}}");
    kit_flush(kit);
    last_answer(kit, "sb/v1/down/edge-001/reply");
    refused(SB_EHELLO, "");
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM answers"), 0);
}

static void a_locked_database_is_answered_busy(void **state)
{
    struct kit *kit = *state;
    sqlite3 *db = NULL;
    struct sb_buf json = {0};

    assert_int_equal(sqlite3_open(kit->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    request_json(&json, new_id(), "settings.get", "{}");
    kit_message(kit, "ctl", "", json.data);
    kit_flush(kit);
    last_answer(kit, "sb/v1/down/edge-001/reply");
    refused(SB_EBUSY, "");
    admin_message(kit, "_op-anna", "", json.data);
    last_answer(kit, "sb/v1/admin/_op-anna/reply");
    refused(SB_EBUSY, "");
    sqlite3_close(db);
    sb_buf_free(&json);
}

/* ---- time ---- */

/* How SQLite does what this statement says, one line a step. */
static void plan_of(sqlite3 *db, const char *sql, struct sb_buf *plan)
{
    struct sb_buf text = {0};
    sqlite3_stmt *stmt = NULL;

    sb_buf_add_fmt(&text, "EXPLAIN QUERY PLAN %s", sql);
    assert_int_equal(sqlite3_prepare_v2(db, text.data, -1, &stmt, NULL), SQLITE_OK);
    sb_buf_clear(plan);
    sb_buf_add_str(plan, "");
    while (sqlite3_step(stmt) == SQLITE_ROW)
        sb_buf_add_fmt(plan, "%s\n", (const char *)sqlite3_column_text(stmt, 3));
    sqlite3_finalize(stmt);
    sb_buf_free(&text);
}

/* Every statement that documents and requests need, by what the ingest has prepared after all of
 * them: none may read a table from end to end, and a base is found by its tag, not by reading all
 * versions of the document. */
static void nothing_that_is_asked_reads_a_whole_table(void **state)
{
    struct kit *kit = *state;
    struct sb_buf plan = {0};
    size_t tags = 0, seen = 0;

    make_conflict(kit);
    ack_is(put_settings(kit, "t", "{\"tag\":\"00000000000000aa\"}", "{}"), SB_RESULT_CONFLICT);
    ack_is(put_record(kit, "p", "projects", "p", "null", "{}"), SB_RESULT_STORED);
    ack_is(put_record(kit, "q", "projects", "p", "{\"op_id\":\"p\"}", NULL), SB_RESULT_STORED);
    ask(kit, "settings.get", "{}");
    ask(kit, "changes",
        "{\"table\":\"settings\",\"since\":{\"version\":1,\"tag\":\"00000000000000aa\"}}");
    ask(kit, "changes", "{\"table\":\"projects\"}");
    ask(kit, "versions", "{\"table\":\"settings\",\"id\":\"settings\"}");
    ask(kit, "version.get", "{\"table\":\"settings\",\"id\":\"settings\",\"version\":1}");
    ask(kit, "conflicts.list", "{}");
    ask(kit, "conflicts.list", "{\"open\":false}");
    ask(kit, "conflicts.list", "{\"ops\":[\"lost\"]}");
    ask(kit, "conflicts.list", "{\"user\":\"user-1\",\"ops\":[\"lost\"]}");
    ask_operator(kit, new_id(), "conflicts.list", "{\"open\":false}");
    ask_operator(kit, new_id(), "conflicts.show", "{\"id\":1}");
    ask_operator(kit, new_id(), "conflicts.resolve", "{\"id\":1,\"choice\":\"local\"}");
    ask(kit, "conflicts.resolve", "{\"ops\":[\"t\"],\"choice\":\"server\"}");
    kit->now.wall_us += kit->config.tombstone_ms * 2000;
    ingest_tidy(kit->ingest, kit->now);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM documents WHERE tbl = 'projects'"), 0);
    for (sqlite3_stmt *s = sqlite3_next_stmt(kit->store->db, NULL); s != NULL;
         s = sqlite3_next_stmt(kit->store->db, s)) {
        const char *sql = sqlite3_sql(s);

        plan_of(kit->store->db, sql, &plan);
        if (strstr(sql, "FROM sensor_columns") != NULL)
            continue; /* once, when the database is opened */
        if (strstr(plan.data, "SCAN") != NULL)
            fail_msg("%s\n%s", sql, plan.data);
        if (strstr(sql, "tag = ? AND doc = ?") != NULL && ++tags > 0)
            assert_non_null(strstr(plan.data, "versions_tag"));
        seen++;
    }
    assert_int_equal(tags, 1);
    assert_true(seen > 25);
    sb_buf_free(&plan);
}

/* A list of versions makes the database read all their texts. */
static void what_reads_much_does_not_share_a_transaction(void **state)
{
    enum { VERSIONS = 46, BYTES = 900000 };
    struct kit *kit = *state;
    struct sb_buf text = {0}, json = {0};
    struct ingest_counters before, after;
    char op[16], base[40] = "null";

    for (int i = 0; i < VERSIONS; i++) {
        sb_buf_clear(&text);
        sb_buf_add_fmt(&text, "{\"x\":\"%0*d\"}", BYTES, i);
        snprintf(op, sizeof(op), "s%d", i);
        ack_is(put_settings(kit, op, base, text.data), SB_RESULT_STORED);
        snprintf(base, sizeof(base), "{\"op_id\":\"%s\"}", op);
    }
    ingest_counters(kit->ingest, &before);
    for (int i = 0; i < 4; i++) {
        sb_buf_clear(&json);
        request_json(&json, new_id(), i < 3 ? "versions" : "conflicts.list",
                     "{\"user\":\"user-1\",\"table\":\"settings\",\"id\":\"settings\"}");
        kit_message(kit, "ctl", "", json.data);
    }
    kit_flush(kit);
    ingest_counters(kit->ingest, &after);
    assert_int_equal(after.requests - before.requests, 4);
    assert_int_equal(after.commits - before.commits, 4);
    sb_buf_free(&text);
    sb_buf_free(&json);
}

/* ---- done once ---- */

static void a_repeat_gets_the_first_answer_and_does_nothing(void **state)
{
    struct kit *kit = *state;
    struct sb_resolved first, again;
    uint64_t commit;
    char id[SB_UUID_LEN + 1];

    make_conflict(kit);
    memcpy(id, new_id(), sizeof(id));
    ask_operator(kit, id, "conflicts.resolve", "{\"id\":1,\"choice\":\"local\"}");
    first = resolved_of();
    commit = answer.commit;
    /* other spelling, the same request; another process in between */
    kit_restart(kit);
    ask_operator(kit, id, "conflicts.resolve", "{ \"choice\" : \"lo\\u0063al\", \"id\":1 }");
    again = resolved_of();
    assert_int_equal(again.resolved, first.resolved);
    assert_int_equal(again.version, first.version);
    assert_string_equal(again.tag, first.tag);
    assert_true(answer.commit > 0 && commit > 0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM versions"), 3);
    assert_int_equal(kit_published(kit, "conflict_resolved"), 1);
    ask_operator(kit, id, "conflicts.resolve", "{\"id\":1,\"choice\":\"server\"}");
    refused(SB_EID_REUSED, "id");
    /* a device's id is its own */
    ask_as(kit, id, "conflicts.resolve", "{\"ops\":[\"lost\"],\"choice\":\"merge\"}");
    assert_int_equal(resolved_of().already, 1);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM answers"), 2);
}

static void a_refusal_for_good_is_kept_too(void **state)
{
    struct kit *kit = *state;
    char id[SB_UUID_LEN + 1];

    memcpy(id, new_id(), sizeof(id));
    ask_operator(kit, id, "conflicts.resolve", "{\"id\":1,\"choice\":\"server\"}");
    refused(SB_ENOT_FOUND, "");
    make_conflict(kit);
    ask_operator(kit, id, "conflicts.resolve", "{\"id\":1,\"choice\":\"server\"}");
    refused(SB_ENOT_FOUND, "");
    assert_int_equal(answer.commit, 0);
    ask_operator(kit, new_id(), "conflicts.resolve", "{\"id\":1,\"choice\":\"server\"}");
    succeeded();
}

static void reading_keeps_no_answers(void **state)
{
    struct kit *kit = *state;

    make_conflict(kit);
    ask(kit, "settings.get", "{}");
    ask(kit, "changes", "{\"table\":\"projects\"}");
    ask(kit, "conflicts.list", "{}");
    ask(kit, "conflicts.show", "{\"id\":1}");
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM answers"), 0);
    assert_int_equal(answer.commit, 0);
}

static void so_many_answers_are_kept_for_so_long(void **state)
{
    struct kit *kit = *state;

    kit_sql(kit, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
                 " INSERT INTO answers (sender, id, hash, answer, made_ms)"
                 " SELECT 'edge-001', 'old-' || i, 0, '{}', i FROM n");
    ask(kit, "conflicts.resolve", "{\"ops\":[\"x\"],\"choice\":\"local\"}");
    succeeded();
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM answers"), LIMIT_ANSWERS);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM answers WHERE id = 'old-1'"), 0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM answers WHERE id = 'old-2'"), 1);
    /* in slices, when nothing else is to be done */
    for (int i = 0; i < 10; i++) {
        kit->now.mono_ms += LIMIT_PURGE_LOOK_MS;
        ingest_tidy(kit->ingest, kit->now);
        if (i == 0)
            assert_int_equal(kit_count(kit, "SELECT count(*) FROM answers"),
                             LIMIT_ANSWERS - LIMIT_PURGE_SLICE);
    }
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM answers"), 1);
    kit->now.wall_us += (LIMIT_ANSWERS_MS + 1000) * 1000;
    kit->now.mono_ms += LIMIT_PURGE_LOOK_MS;
    ingest_tidy(kit->ingest, kit->now);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM answers"), 0);
}

static void the_answer_that_is_given_now_is_kept_whatever_the_clock_says(void **state)
{
    struct kit *kit = *state;

    kit_sql(kit, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
                 " INSERT INTO answers (sender, id, hash, answer, made_ms)"
                 " SELECT 'edge-001', 'future-' || i, 0, '{}', 9000000000000 + i FROM n");
    ask(kit, "conflicts.resolve", "{\"ops\":[\"x\"],\"choice\":\"local\"}");
    succeeded();
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM answers"), LIMIT_ANSWERS);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM answers WHERE id LIKE '0193%'"), 1);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM answers WHERE id = 'future-1'"), 0);
}

/* ---- notify ---- */

static void others_are_told_after_the_commit_and_not_the_author(void **state)
{
    struct kit *kit = *state;
    struct sb_notify notify;
    const struct sent *sent;

    put_settings(kit, "a", "null", "{\"x\":1}");
    assert_int_equal(kit_published(kit, "/notify"), 1);
    sent = kit_last(kit, "sb/v1/down/edge-002/notify");
    assert_int_equal(sent->qos, 0);
    assert_false(sent->retain);
    assert_int_equal(sb_notify_decode(sb_buf_span(&sent->payload), &notify, NULL), 0);
    assert_string_equal(notify.user, "user-1");
    assert_string_equal(notify.table, "settings");
    assert_int_equal(notify.version, 1);
    /* the same again is nothing new, nor is a conflict */
    seqs--;
    ack_is(put_settings(kit, "a", "null", "{\"x\":1}"), SB_RESULT_DUPLICATE);
    ack_is(put_settings(kit, "b", "null", "{\"x\":2}"), SB_RESULT_CONFLICT);
    assert_int_equal(kit_published(kit, "/notify"), 1);
    kit_sql(kit, "UPDATE devices SET revoked = 1 WHERE device = 'edge-002'");
    put_settings(kit, "c", "{\"op_id\":\"a\"}", "{\"x\":3}");
    assert_int_equal(kit_published(kit, "/notify"), 1);
}

static void the_author_is_told_what_was_merged_in(void **state)
{
    struct kit *kit = *state;

    put_settings(kit, "a", "null", "{\"x\":1,\"y\":1}");
    put_settings(kit, "b", "{\"op_id\":\"a\"}", "{\"x\":2,\"y\":1}");
    assert_int_equal(kit_published(kit, "sb/v1/down/edge-001/notify"), 0);
    ack_is(put_settings(kit, "c", "{\"op_id\":\"a\"}", "{\"x\":1,\"y\":2}"), SB_RESULT_STORED);
    assert_int_equal(kit_published(kit, "sb/v1/down/edge-001/notify"), 1);
    assert_int_equal(kit_published(kit, "sb/v1/down/edge-002/notify"), 3);
}

static void a_transaction_tells_a_device_once_per_table(void **state)
{
    struct kit *kit = *state;
    struct sb_notify notify;

    kit_batch(kit, SETTINGS, 1, 1,
              "\"records\":[{\"op_id\":\"a\",\"hlc\":\"0000000000000001\",\"base\":null,"
              "\"settings\":{}}]");
    kit_batch(kit, SETTINGS, 2, 2,
              "\"records\":[{\"op_id\":\"b\",\"hlc\":\"0000000000000002\",\"base\":"
              "{\"op_id\":\"a\"},\"settings\":{\"x\":1}}]");
    kit_batch(kit, RECORDS, 1, 1,
              "\"records\":[{\"op_id\":\"c\",\"hlc\":\"0000000000000003\",\"table\":\"projects\","
              "\"id\":\"p\",\"operation\":\"add\",\"base\":null,\"data\":{}}]");
    kit_flush(kit);
    assert_int_equal(kit_published(kit, "/notify"), 2);
    assert_int_equal(
        sb_notify_decode(sb_buf_span(&kit_last(kit, "\"table\":\"settings\"")->payload), &notify,
                         NULL),
        0);
    assert_int_equal(notify.version, 2);
}

static void what_was_rolled_back_is_not_told(void **state)
{
    struct kit *kit = *state;

    kit_sql(kit, "CREATE TRIGGER refuse_all BEFORE INSERT ON versions BEGIN"
                 " SELECT raise(ABORT, 'not now'); END");
    put_settings(kit, "a", "null", "{\"x\":1}");
    assert_int_equal(kit->reply.result, SB_RESULT_RETRY);
    assert_int_equal(kit_published(kit, "/notify"), 0);
    kit_sql(kit, "DROP TRIGGER refuse_all");
    seqs--;
    ack_is(put_settings(kit, "a", "null", "{\"x\":1}"), SB_RESULT_STORED);
    assert_int_equal(kit_published(kit, "/notify"), 1);
}

static void a_link_that_takes_nothing_does_not_hold_anything_up(void **state)
{
    struct kit *kit = *state;
    struct ingest_counters counters;

    kit->publish_result = -SB_EBUSY;
    kit_batch(kit, SETTINGS, 1, 1,
              "\"records\":[{\"op_id\":\"a\",\"hlc\":\"0000000000000001\",\"base\":null,"
              "\"settings\":{}}]");
    kit_flush(kit);
    ingest_counters(kit->ingest, &counters);
    assert_int_equal(counters.notifies, 0);
    assert_int_equal(counters.notifies_dropped, 1);
    kit->publish_result = 0;
    kit_flush(kit);
    kit_reply(kit);
    assert_int_equal(kit_published(kit, "/notify"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, request_setup, kit_teardown)
    const struct CMUnitTest tests[] = {
        TEST(changes_come_in_commit_order_tombstones_included),
        TEST(pages_bring_each_document_once),
        TEST(a_page_fits_the_reply_and_a_large_document_is_fetched),
        TEST(a_document_beyond_the_packet_limit_is_refused),
        TEST(a_cursor_that_is_not_known_is_refused),
        TEST(a_user_without_versions_has_no_cursor),
        TEST(one_document_is_told_as_it_is),
        TEST(stamps_go_with_the_policy_latest),
        TEST(versions_are_listed_newest_first_and_each_can_be_had),
        TEST(the_user_may_be_left_out_with_one_binding),
        TEST(everything_needs_the_binding),
        TEST(bad_input_is_refused_and_changes_nothing),
        TEST(a_request_under_another_boot_is_not_looked_at),
        TEST(a_locked_database_is_answered_busy),
        TEST(nothing_that_is_asked_reads_a_whole_table),
        TEST(what_reads_much_does_not_share_a_transaction),
        TEST(a_repeat_gets_the_first_answer_and_does_nothing),
        TEST(a_refusal_for_good_is_kept_too),
        TEST(reading_keeps_no_answers),
        TEST(so_many_answers_are_kept_for_so_long),
        TEST(the_answer_that_is_given_now_is_kept_whatever_the_clock_says),
        TEST(others_are_told_after_the_commit_and_not_the_author),
        TEST(the_author_is_told_what_was_merged_in),
        TEST(a_transaction_tells_a_device_once_per_table),
        TEST(what_was_rolled_back_is_not_told),
        TEST(a_link_that_takes_nothing_does_not_hold_anything_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
