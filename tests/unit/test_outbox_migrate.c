/* An outbox file of the first version, with everything in it, becomes one of this version. */
#include "edge_kit.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "edge_agent/outbox_docs.h"

/* What the first release made, as it was; the data as it wrote them. */
static const char first_release[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE epochs(n INTEGER PRIMARY KEY, epoch TEXT NOT NULL UNIQUE,"
    " made_us INTEGER NOT NULL) STRICT;"
    "CREATE TABLE streams(s INTEGER PRIMARY KEY, n INTEGER NOT NULL REFERENCES epochs(n),"
    " stream TEXT NOT NULL, next_seq INTEGER NOT NULL DEFAULT 1,"
    " settled TEXT NOT NULL DEFAULT '[]', refused TEXT NOT NULL DEFAULT '[]',"
    " row_bytes INTEGER NOT NULL DEFAULT 0, UNIQUE(n, stream)) STRICT;"
    "CREATE TABLE fields(f INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;"
    "CREATE TABLE boots(b INTEGER PRIMARY KEY, device_boot TEXT NOT NULL UNIQUE) STRICT;"
    "CREATE TABLE outbox(key INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL, f INTEGER NOT NULL,"
    " b INTEGER NOT NULL, mono_ms INTEGER NOT NULL, wall_us INTEGER NOT NULL,"
    " quality INTEGER NOT NULL, op_id TEXT, before TEXT, body TEXT NOT NULL) STRICT;"
    "CREATE TABLE ids(stream TEXT NOT NULL, id TEXT NOT NULL, hash INTEGER NOT NULL,"
    " s INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY(stream, id)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX ids_place ON ids(s, seq);"
    "CREATE TABLE dead(id INTEGER PRIMARY KEY AUTOINCREMENT, s INTEGER NOT NULL,"
    " seq INTEGER NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL, f INTEGER NOT NULL,"
    " b INTEGER NOT NULL, mono_ms INTEGER NOT NULL, wall_us INTEGER NOT NULL,"
    " quality INTEGER NOT NULL, op_id TEXT, before TEXT, body TEXT NOT NULL,"
    " dead_us INTEGER NOT NULL, tries INTEGER NOT NULL DEFAULT 0,"
    " retry INTEGER NOT NULL DEFAULT 0, UNIQUE(s, seq)) STRICT;"
    "CREATE TABLE conflicts(id INTEGER PRIMARY KEY AUTOINCREMENT, s INTEGER NOT NULL,"
    " seq INTEGER NOT NULL, user TEXT NOT NULL, op_id TEXT NOT NULL, code TEXT NOT NULL,"
    " pointers TEXT NOT NULL, record TEXT NOT NULL, before TEXT, server TEXT NOT NULL,"
    " as_of INTEGER NOT NULL, at_us INTEGER NOT NULL, in_force INTEGER NOT NULL DEFAULT 0,"
    " UNIQUE(s, seq)) STRICT;"
    "CREATE INDEX conflicts_user ON conflicts(user, in_force);"
    "CREATE TABLE holes(s INTEGER NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,"
    " reason INTEGER NOT NULL, ops TEXT NOT NULL, PRIMARY KEY(s, first_seq))"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE settings(user TEXT PRIMARY KEY, doc TEXT NOT NULL, last_op TEXT NOT NULL,"
    " base_tag TEXT NOT NULL, seen INTEGER NOT NULL, hlc INTEGER NOT NULL,"
    " updated_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE history(id INTEGER PRIMARY KEY, user TEXT NOT NULL, command_id TEXT NOT NULL,"
    " at_us INTEGER NOT NULL, body TEXT NOT NULL) STRICT;"
    "CREATE INDEX history_user ON history(user, at_us);"
    "CREATE TABLE cursors(source TEXT PRIMARY KEY, offset INTEGER NOT NULL, hash INTEGER NOT NULL)"
    " STRICT, WITHOUT ROWID;"
    "PRAGMA application_id = 1396852047; PRAGMA user_version = 1;";

/* Of user-1: op-1 stored, op-2 pending, op-3 in conflict and in force since, op-4 in conflict and
 * waiting, op-5 rejected; a batch of readings. Streams 1 (settings) and 2 (sensors). */
static const char its_data[] =
    "INSERT INTO epochs VALUES(1, '00112233445566aa', 1);"
    "INSERT INTO fields VALUES(1, ''), (2, '[\"ts\",\"v\"]');"
    "INSERT INTO boots VALUES(1, '');"
    "INSERT INTO streams VALUES(1, 1, 'settings/user-1', 6, '[[1,1],[3,5]]', '[[3,5]]', 100),"
    " (2, 1, 'sensors/air_quality', 3, '[]', '[]', 50);"
    "INSERT INTO outbox VALUES((1 << 43) | 1, 1, 1, 1, 5, 1767323045250000, 0, 'op-1', NULL,"
    " '{\"op_id\":\"op-1\",\"hlc\":\"0000000000000001\",\"base\":null,\"settings\":{\"v\":1}}'),"
    " ((1 << 43) | 2, 2, 1, 1, 5, 1767323045250000, 0, 'op-2', '{\"v\":1}',"
    " '{\"op_id\":\"op-2\",\"hlc\":\"0000000000000002\",\"base\":{\"op_id\":\"op-1\"},"
    "\"settings\":{\"v\":2}}'),"
    " ((2 << 43) | 1, 2, 2, 1, 5, 1767323045250000, 0, NULL, NULL,"
    " '[\"2026-01-02T03:04:05Z\",1],[\"2026-01-02T03:04:05Z\",2]');"
    "INSERT INTO conflicts VALUES(7, 1, 3, 'user-1', 'op-3', '', '[\"\"]',"
    " '{\"op_id\":\"op-3\",\"hlc\":\"0000000000000003\",\"base\":null,"
    "\"settings\":{\"v\" : 1.50}}', '{\"v\":2}', '{\"id\":\"settings\",\"exists\":true,"
    "\"as_of\":9,\"version\":9,\"tag\":\"00000000000000aa\",\"data\":{\"v\":9}}', 9, 77, 1),"
    " (8, 1, 4, 'user-1', 'op-4', '', '[\"\"]',"
    " '{\"op_id\":\"op-4\",\"hlc\":\"0000000000000004\",\"base\":null,\"settings\":{\"v\":4}}',"
    " '{\"v\":2}', '{\"id\":\"settings\",\"exists\":true,\"as_of\":9,\"version\":9,"
    "\"tag\":\"00000000000000aa\",\"data\":{\"v\":9}}', 9, 78, 0);"
    "INSERT INTO dead VALUES(3, 1, 5, 'bad_value', 'no', 1, 1, 5, 6, 0, 'op-5', NULL,"
    " '{\"op_id\":\"op-5\",\"hlc\":\"0000000000000005\",\"base\":null,\"settings\":{\"v\":5}}', 9,"
    " 0, 0);"
    "INSERT INTO settings VALUES('user-1', '{\"v\": 2}', 'op-2', '00000000000000aa', 9, 12, 55),"
    " ('user-2', '', '', '', 3, 0, 0);"
    "INSERT INTO history VALUES(1, 'user-1', 'c-1', 5, '{}');"
    "INSERT INTO cursors VALUES('file', 10, 20);"
    "INSERT INTO meta VALUES('receipt_boot', '" KIT_INGEST "'), ('receipt_commit', '12');";

static char path[64];
static sqlite3 *old; /* keeps the database in memory alive until it was opened anew */

static int setup(void **state)
{
    static unsigned number;
    char *message = NULL;

    (void)state;
    snprintf(path, sizeof(path), "file:/old%u?vfs=memdb", ++number);
    kit_err = (struct sb_err){0};
    kit_now = (struct sb_now){5000, 1767323045250000};
    sb_rng_seed(&kit_rng, 7);
    if (sqlite3_open_v2(path, &old, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI,
                        NULL) != SQLITE_OK ||
        sqlite3_exec(old, first_release, NULL, NULL, &message) != SQLITE_OK ||
        sqlite3_exec(old, its_data, NULL, NULL, &message) != SQLITE_OK) {
        fprintf(stderr, "%s\n", message != NULL ? message : sqlite3_errmsg(old));
        return -1;
    }
    return 0;
}

static void open_it(void)
{
    const struct outbox_config config = {.path = path, .create = true, .in_memory = true};

    assert_int_equal(outbox_open(&config, &kit_rng, &kit_ob, &kit_err), 0);
}

static int teardown(void **state)
{
    sqlite3_close(old);
    return kit_teardown(state);
}

static void settings_are_documents_now(void **state)
{
    const struct document_name other = {"user-2", "settings", "settings"};
    struct outbox_document doc;

    (void)state;
    open_it();
    kit_settings(&doc);
    assert_true(doc.exists);
    assert_string_equal(doc.doc.data, "{\"v\": 2}"); /* its text */
    assert_string_equal(doc.last_op, "op-2");
    assert_string_equal(doc.base_tag, "00000000000000aa");
    assert_int_equal(doc.seen, 9);
    assert_true(doc.loose); /* no pull has ended yet */
    assert_int_equal(doc.hlc, 12);
    assert_int_equal(doc.updated_us, 55);
    outbox_document_fini(&doc);
    assert_int_equal(outbox_document_get(kit_ob, &other, &doc, &kit_err), 0);
    assert_true(doc.known);
    assert_false(doc.exists);
    assert_int_equal(doc.seen, 3);
    outbox_document_fini(&doc);
}

static void operations_are_found_by_their_document(void **state)
{
    const struct document_name name = {"user-1", "settings", "settings"};
    char doc[DOCUMENT_TEXT_MAX + 1], op_id[SB_ID_MAX + 1];
    bool pending, found;
    struct lane *lane;

    (void)state;
    open_it();
    assert_int_equal(outbox_document_pending(kit_ob, &name, &pending, &kit_err), 0);
    assert_true(pending);
    lane = kit_load("settings/user-1");
    assert_int_equal(lane_pending(lane), 1);
    assert_int_equal(outbox_row_document(kit_ob, lane->s, 2, &found, doc, op_id, &kit_err), 0);
    assert_true(found);
    assert_string_equal(doc, "settings");
    assert_string_equal(op_id, "op-2");
    lane = kit_load("sensors/air_quality");
    assert_int_equal(outbox_row_document(kit_ob, lane->s, 1, &found, doc, op_id, &kit_err), 0);
    assert_false(found);
}

static int print_open(void *ctx, const struct outbox_open_conflict *open)
{
    sb_buf_add_fmt(ctx,
                   "%lld %s/%s " SB_SPAN_FMT " " SB_SPAN_FMT " v%llu base=" SB_SPAN_FMT
                   " local=" SB_SPAN_FMT ";",
                   (long long)open->id, open->name.user, open->name.table,
                   SB_SPAN_ARG(open->pointers), SB_SPAN_ARG(open->ops),
                   (unsigned long long)open->version, SB_SPAN_ARG(open->base),
                   SB_SPAN_ARG(open->local));
    return 0;
}

static int print_conflict(void *ctx, const struct outbox_conflict *conflict)
{
    sb_buf_add_fmt(ctx, "%s %s %d;", conflict->op_id, conflict->doc, (int)conflict->state);
    return 0;
}

static void conflict_in_force_is_an_open_one_and_the_other_waits(void **state)
{
    struct sb_buf text = {0};

    (void)state;
    open_it();
    assert_int_equal(
        outbox_open_conflicts(kit_ob, 0, NULL, NULL, false, print_open, &text, &kit_err), 0);
    assert_string_equal(text.data, "7 user-1/settings [\"\"] [\"op-3\"] v9 base={\"v\":2} "
                                   "local={\"v\":1.50};");
    sb_buf_clear(&text);
    assert_int_equal(outbox_conflicts(kit_ob, NULL, print_conflict, &text, &kit_err), 0);
    assert_string_equal(text.data, "op-3 settings 1;op-4 settings 0;");
    sb_buf_free(&text);
}

static void dead_operation_can_be_sent_again(void **state)
{
    char doc[DOCUMENT_TEXT_MAX + 1], op_id[SB_ID_MAX + 1];
    struct lane *lane;
    bool found;

    (void)state;
    open_it();
    kit_begin();
    assert_int_equal(outbox_dead_retry(kit_ob, 3, kit_now, &kit_err), 0);
    kit_commit();
    lane = kit_load("settings/user-1");
    assert_int_equal(outbox_row_document(kit_ob, lane->s, 6, &found, doc, op_id, &kit_err), 0);
    assert_string_equal(doc, "settings");
}

static void nobody_is_pulled_for_and_every_switch_is_on(void **state)
{
    struct outbox_sync sync;
    bool found, on, known, declared;

    (void)state;
    open_it();
    assert_int_equal(outbox_user_find(kit_ob, "user-1", &found, &kit_err), 0);
    assert_false(found);
    assert_int_equal(outbox_switch_get(kit_ob, "user-1", SB_UP_SETTINGS, &on, &kit_err), 0);
    assert_true(on);
    assert_int_equal(outbox_sync_get(kit_ob, "user-1", "settings", &sync, &kit_err), 0);
    assert_int_equal(sync.cursor_version, 0);
    assert_true(sync.auto_sync);
    assert_int_equal(outbox_table_declared(kit_ob, "projects", &known, &declared, &kit_err), 0);
    assert_false(known);
}

static void file_of_this_version_is_left_as_it_is(void **state)
{
    struct outbox_document doc;

    (void)state;
    open_it();
    outbox_close(kit_ob);
    open_it();
    kit_settings(&doc);
    assert_string_equal(doc.doc.data, "{\"v\": 2}");
    outbox_document_fini(&doc);
}

/* ---- users, switches, cursors: small tables of this version ---- */

static int print_user(void *ctx, const struct outbox_user *user)
{
    sb_buf_add_fmt(ctx, "%s %lld %lld;", user->user, (long long)user->added_us,
                   (long long)user->synced_us);
    return 0;
}

static int print_switch(void *ctx, const struct outbox_switch *one)
{
    sb_buf_add_fmt(ctx, "%s %s %d %lld;", one->user, sb_up_class_name(one->class), one->sync,
                   (long long)one->off_mark);
    return 0;
}

static int print_history(void *ctx, int64_t id, struct sb_span body)
{
    sb_buf_add_fmt(ctx, "%lld " SB_SPAN_FMT ";", (long long)id, SB_SPAN_ARG(body));
    return 0;
}

static void users_and_switches_are_kept(void **state)
{
    struct sb_buf text = {0};

    (void)state;
    open_it();
    kit_begin();
    assert_int_equal(outbox_user_add(kit_ob, "user-2", 5, &kit_err), 0);
    assert_int_equal(outbox_user_add(kit_ob, "user-1", 6, &kit_err), 0);
    assert_int_equal(outbox_user_add(kit_ob, "user-1", 7, &kit_err), -SB_EEXISTS);
    assert_int_equal(outbox_user_add(kit_ob, "user.3", 7, &kit_err), -SB_EBAD_ID);
    assert_int_equal(outbox_user_synced(kit_ob, "user-2", 9, &kit_err), 0);
    assert_int_equal(outbox_switch_set(kit_ob, "user-1", SB_UP_HISTORY, false, &kit_err), 0);
    assert_int_equal(
        outbox_history_add(kit_ob, "user-1", SB_SPAN("c-2"), SB_SPAN("{\"x\":1}"), 8, &kit_err), 0);
    assert_int_equal(outbox_switch_set(kit_ob, "user-1", SB_UP_HISTORY, false, &kit_err), 0);
    kit_commit();
    assert_int_equal(outbox_users(kit_ob, print_user, &text, &kit_err), 0);
    assert_string_equal(text.data, "user-1 6 0;user-2 5 9;");
    sb_buf_clear(&text);
    assert_int_equal(outbox_switches(kit_ob, NULL, print_switch, &text, &kit_err), 0);
    assert_string_equal(text.data, "user-1 history 0 1;"); /* the mark of when it was turned off */
    sb_buf_clear(&text);
    assert_int_equal(outbox_history_since(kit_ob, "user-1", 1, print_history, &text, &kit_err), 0);
    assert_string_equal(text.data, "2 {\"x\":1};");
    kit_begin();
    assert_int_equal(outbox_user_remove(kit_ob, "user-1", &kit_err), 0);
    assert_int_equal(outbox_user_remove(kit_ob, "user-1", &kit_err), -SB_ENOT_FOUND);
    kit_commit();
    sb_buf_free(&text);
}

static void no_more_users_than_the_limit(void **state)
{
    char name[16];

    (void)state;
    open_it();
    kit_begin();
    for (int i = 0; i < OUTBOX_MAX_USERS; i++) {
        snprintf(name, sizeof(name), "u%d", i);
        assert_int_equal(outbox_user_add(kit_ob, name, 5, &kit_err), 0);
    }
    assert_int_equal(outbox_user_add(kit_ob, "more", 5, &kit_err), -SB_ELIMIT);
    kit_commit();
}

static void purged_user_leaves_nothing_but_what_is_pending(void **state)
{
    struct sb_buf text = {0};
    struct outbox_document doc;

    (void)state;
    open_it();
    kit_begin();
    assert_int_equal(outbox_user_add(kit_ob, "user-1", 6, &kit_err), 0);
    assert_int_equal(outbox_user_purge(kit_ob, "user-1", true, &kit_err), -SB_EEXISTS);
    assert_int_equal(outbox_user_remove(kit_ob, "user-1", &kit_err), 0);
    assert_int_equal(outbox_user_purge(kit_ob, "user-1", false, &kit_err), -SB_EBUSY);
    assert_int_equal(outbox_user_purge(kit_ob, "user-1", true, &kit_err), 0);
    kit_commit();
    kit_settings(&doc);
    assert_false(doc.known);
    outbox_document_fini(&doc);
    sb_buf_add_str(&text, "");
    assert_int_equal(
        outbox_open_conflicts(kit_ob, 0, NULL, NULL, true, print_open, &text, &kit_err), 0);
    assert_int_equal(outbox_history_since(kit_ob, "user-1", 0, print_history, &text, &kit_err), 0);
    assert_string_equal(text.data, "");
    assert_int_equal(lane_pending(kit_load("settings/user-1")), 1);
    sb_buf_free(&text);
}

static void cursor_and_scheduler_switch_do_not_touch_each_other(void **state)
{
    struct outbox_sync sync;
    enum sb_policy policy;
    struct sb_buf arrays = {0};

    (void)state;
    open_it();
    kit_begin();
    assert_int_equal(outbox_sync_set_auto(kit_ob, "u", "projects", false, &kit_err), 0);
    assert_int_equal(outbox_policy_set(kit_ob, "u", "projects", SB_POLICY_LATEST,
                                       SB_SPAN("{\"/n\":\"id\"}"), &kit_err),
                     0);
    assert_int_equal(outbox_sync_uploaded(kit_ob, "u", "projects", 9, &kit_err), 0);
    assert_int_equal(outbox_sync_get(kit_ob, "u", "projects", &sync, &kit_err), 0);
    assert_false(sync.auto_sync);
    assert_int_equal(sync.last_upload_us, 9);
    sync.cursor_version = 5;
    memcpy(sync.cursor_tag, "00000000000000aa", SB_TAG_LEN + 1);
    assert_int_equal(outbox_sync_set(kit_ob, "u", "projects", &sync, &kit_err), 0);
    assert_int_equal(outbox_sync_set_auto(kit_ob, "u", "projects", true, &kit_err), 0);
    kit_commit();
    assert_int_equal(outbox_sync_get(kit_ob, "u", "projects", &sync, &kit_err), 0);
    assert_true(sync.auto_sync);
    assert_int_equal(sync.cursor_version, 5);
    assert_string_equal(sync.cursor_tag, "00000000000000aa");
    assert_int_equal(outbox_policy_get(kit_ob, "u", "projects", &policy, &arrays, &kit_err), 0);
    assert_int_equal(policy, SB_POLICY_LATEST);
    assert_string_equal(arrays.data, "{\"/n\":\"id\"}");
    sb_buf_free(&arrays);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(settings_are_documents_now),
        CASE(operations_are_found_by_their_document),
        CASE(conflict_in_force_is_an_open_one_and_the_other_waits),
        CASE(dead_operation_can_be_sent_again),
        CASE(nobody_is_pulled_for_and_every_switch_is_on),
        CASE(file_of_this_version_is_left_as_it_is),
        CASE(users_and_switches_are_kept),
        CASE(no_more_users_than_the_limit),
        CASE(purged_user_leaves_nothing_but_what_is_pending),
        CASE(cursor_and_scheduler_switch_do_not_touch_each_other),
    };
#undef CASE

    return cmocka_run_group_tests(tests, NULL, NULL);
}
