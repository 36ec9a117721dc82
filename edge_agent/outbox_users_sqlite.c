/* Users of this device, their cursors and switches, the tables that the cloud declares. */
#include "edge_agent/outbox_sqlite.h"

#include <stdio.h>
#include <string.h>

#include "common/check.h"

static void bind_text(sqlite3_stmt *stmt, int index, const char *text)
{
    sqlite3_bind_text(stmt, index, text, -1, SQLITE_STATIC);
}

/* The statement with a user and a table as its first two parameters; changes need a transaction. */
static sqlite3_stmt *of_table(struct outbox *ob, enum outbox_query query, const char *user,
                              const char *table, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, query, err);

    if (stmt == NULL)
        return NULL;
    bind_text(stmt, 1, user);
    if (table != NULL)
        bind_text(stmt, 2, table);
    return stmt;
}

static int run_user(struct outbox *ob, enum outbox_query query, const char *user,
                    struct sb_err *err)
{
    sqlite3_stmt *stmt = of_table(ob, query, user, NULL, err);

    SB_CHECK(ob->in_transaction);
    return stmt == NULL ? -(int)SB_EIO : outbox_run(ob, stmt, "outbox: user", err);
}

/* 1 = the statement found a row; its first column, as a number, goes to value (may be NULL). */
static int look_up(struct outbox *ob, sqlite3_stmt *stmt, int64_t *value, struct sb_err *err)
{
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    rc = outbox_step(ob, stmt, "outbox: user", err);
    if (rc == 1 && value != NULL)
        *value = sqlite3_column_int64(stmt, 0);
    sqlite3_reset(stmt);
    return rc;
}

/* What is pulled has changed: the daemon reads it anew. */
static int note_change(struct outbox *ob, int rc, struct sb_err *err)
{
    sqlite3_stmt *stmt;

    if (rc < 0)
        return rc;
    stmt = outbox_stmt(ob, Q_PULLS_CHANGED, err);
    return stmt == NULL ? -(int)SB_EIO : outbox_run(ob, stmt, "outbox: meta", err);
}

int outbox_pulls_version(struct outbox *ob, uint64_t *version, struct sb_err *err)
{
    int64_t value = 0;
    int rc = look_up(ob, outbox_stmt(ob, Q_PULLS_VERSION, err), &value, err);

    *version = (uint64_t)value;
    return rc < 0 ? rc : 0;
}

/* ---- sync_metadata ---- */

static void read_sync(sqlite3_stmt *stmt, struct outbox_sync *sync)
{
    sync->cursor_version = (uint64_t)sqlite3_column_int64(stmt, 0);
    outbox_column_copy(stmt, 1, sync->cursor_tag, sizeof(sync->cursor_tag));
    sync->last_upload_us = sqlite3_column_int64(stmt, 2);
    sync->last_download_us = sqlite3_column_int64(stmt, 3);
    sync->last_server_version = (uint64_t)sqlite3_column_int64(stmt, 4);
    sync->auto_sync = sqlite3_column_int(stmt, 5) != 0;
}

int outbox_sync_get(struct outbox *ob, const char *user, const char *table, struct outbox_sync *out,
                    struct sb_err *err)
{
    sqlite3_stmt *stmt = of_table(ob, Q_SYNC_GET, user, table, err);
    int rc;

    *out = (struct outbox_sync){.auto_sync = true};
    if (stmt == NULL)
        return -(int)SB_EIO;
    rc = outbox_step(ob, stmt, "outbox: cursor", err);
    if (rc == 1)
        read_sync(stmt, out);
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int outbox_sync_set(struct outbox *ob, const char *user, const char *table,
                    const struct outbox_sync *in, struct sb_err *err)
{
    sqlite3_stmt *stmt = of_table(ob, Q_SYNC_SET, user, table, err);

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 3, (int64_t)in->cursor_version);
    bind_text(stmt, 4, in->cursor_tag);
    sqlite3_bind_int64(stmt, 5, in->last_upload_us);
    sqlite3_bind_int64(stmt, 6, in->last_download_us);
    sqlite3_bind_int64(stmt, 7, (int64_t)in->last_server_version);
    sqlite3_bind_int(stmt, 8, in->auto_sync);
    return outbox_run(ob, stmt, "outbox: cursor", err);
}

int outbox_sync_list(struct outbox *ob, const char *user,
                     int (*each)(void *ctx, const char *user, const char *table,
                                 const struct outbox_sync *sync),
                     void *ctx, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_SYNC_LIST, err);
    struct outbox_sync sync;
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    if (user != NULL)
        bind_text(stmt, 1, user);
    while ((rc = outbox_step(ob, stmt, "outbox: cursors", err)) == 1) {
        read_sync(stmt, &sync);
        rc = each(ctx, (const char *)sqlite3_column_text(stmt, 6),
                  (const char *)sqlite3_column_text(stmt, 7), &sync);
        if (rc != 0)
            break;
    }
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int outbox_sync_set_auto(struct outbox *ob, const char *user, const char *table, bool on,
                         struct sb_err *err)
{
    sqlite3_stmt *stmt = of_table(ob, Q_SYNC_AUTO, user, table, err);

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int(stmt, 3, on);
    return note_change(ob, outbox_run(ob, stmt, "outbox: auto_sync", err), err);
}

int outbox_sync_uploaded(struct outbox *ob, const char *user, const char *table, int64_t wall_us,
                         struct sb_err *err)
{
    sqlite3_stmt *stmt = of_table(ob, Q_SYNC_UPLOADED, user, table, err);

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 3, wall_us);
    return outbox_run(ob, stmt, "outbox: last upload", err);
}

int outbox_policy_get(struct outbox *ob, const char *user, const char *table,
                      enum sb_policy *policy, struct sb_buf *arrays, struct sb_err *err)
{
    sqlite3_stmt *stmt = of_table(ob, Q_POLICY_GET, user, table, err);
    int rc;

    *policy = SB_POLICY_NONE;
    if (stmt == NULL)
        return -(int)SB_EIO;
    rc = outbox_step(ob, stmt, "outbox: policy", err);
    if (rc == 1) {
        sb_policy_parse(outbox_column_span(stmt, 0), policy);
        sb_buf_add_span(arrays, outbox_column_span(stmt, 1));
    }
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int outbox_policy_set(struct outbox *ob, const char *user, const char *table, enum sb_policy policy,
                      struct sb_span arrays, struct sb_err *err)
{
    sqlite3_stmt *stmt = of_table(ob, Q_POLICY_SET, user, table, err);

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    bind_text(stmt, 3, sb_policy_name(policy));
    outbox_bind_span(stmt, 4, arrays.data != NULL ? arrays : SB_SPAN(""));
    return outbox_run(ob, stmt, "outbox: policy", err);
}

/* ---- users ---- */

int outbox_user_find(struct outbox *ob, const char *user, bool *found, struct sb_err *err)
{
    int64_t added_us;

    return outbox_user_added(ob, user, found, &added_us, err);
}

int outbox_user_added(struct outbox *ob, const char *user, bool *found, int64_t *added_us,
                      struct sb_err *err)
{
    int rc;

    *added_us = 0;
    rc = look_up(ob, of_table(ob, Q_USER_FIND, user, NULL, err), added_us, err);
    *found = rc == 1;
    return rc < 0 ? rc : 0;
}

int outbox_user_add(struct outbox *ob, const char *user, int64_t wall_us, struct sb_err *err)
{
    sqlite3_stmt *stmt;
    int64_t count = 0;
    bool found;
    int rc;

    SB_CHECK(ob->in_transaction);
    if (!sb_name_valid(sb_span_of(user)))
        return sb_fail(err, SB_EBAD_ID, "user id is not [A-Za-z0-9_-]{1,64}");
    if ((rc = outbox_user_find(ob, user, &found, err)) < 0)
        return rc;
    if (found)
        return sb_fail(err, SB_EEXISTS, "user %s was added before", user);
    if ((rc = look_up(ob, outbox_stmt(ob, Q_USER_COUNT, err), &count, err)) < 0)
        return rc;
    if (count >= OUTBOX_MAX_USERS)
        return sb_fail(err, SB_ELIMIT, "this device has %d users already", OUTBOX_MAX_USERS);
    if ((stmt = of_table(ob, Q_USER_ADD, user, NULL, err)) == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 2, wall_us);
    return note_change(ob, outbox_run(ob, stmt, "outbox: user", err), err);
}

int outbox_user_remove(struct outbox *ob, const char *user, struct sb_err *err)
{
    int rc = run_user(ob, Q_USER_REMOVE, user, err);

    if (rc == 0 && sqlite3_changes(ob->db) == 0)
        rc = sb_fail(err, SB_ENOT_FOUND, "user %s is not on this device", user);
    return note_change(ob, rc, err);
}

int outbox_user_synced(struct outbox *ob, const char *user, int64_t wall_us, struct sb_err *err)
{
    sqlite3_stmt *stmt = of_table(ob, Q_USER_SYNCED, user, NULL, err);

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 2, wall_us);
    return outbox_run(ob, stmt, "outbox: user", err);
}

int outbox_users(struct outbox *ob, int (*each)(void *ctx, const struct outbox_user *user),
                 void *ctx, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_USERS, err);
    struct outbox_user user;
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    while ((rc = outbox_step(ob, stmt, "outbox: users", err)) == 1) {
        outbox_column_copy(stmt, 0, user.user, sizeof(user.user));
        user.added_us = sqlite3_column_int64(stmt, 1);
        user.synced_us = sqlite3_column_int64(stmt, 2);
        if ((rc = each(ctx, &user)) != 0)
            break;
    }
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

/* Why a user's documents should not go: SB_EBUSY. */
static int check_idle(struct outbox *ob, const char *user, struct sb_err *err)
{
    const enum sb_up_class classes[] = {SB_UP_SETTINGS, SB_UP_RECORDS};
    int64_t busy = 0;
    int rc = look_up(ob, of_table(ob, Q_USER_BUSY, user, NULL, err), &busy, err);

    if (rc < 0)
        return rc;
    if (busy != 0)
        return sb_fail(err, SB_EBUSY, "user %s has edits that were not sent or open conflicts",
                       user);
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        struct sb_stream stream = {.class = classes[i]};
        uint64_t pending = 0;

        snprintf(stream.name, sizeof(stream.name), "%s", user);
        if ((rc = outbox_pending_of(ob, &stream, &pending, err)) < 0)
            return rc;
        if (pending > 0)
            return sb_fail(err, SB_EBUSY, "user %s has %llu operations that are not answered yet",
                           user, (unsigned long long)pending);
    }
    return 0;
}

int outbox_user_purge(struct outbox *ob, const char *user, bool force, struct sb_err *err)
{
    const enum outbox_query queries[] = {Q_PURGE_DOCUMENTS, Q_PURGE_KEPT, Q_PURGE_OPEN,
                                         Q_PURGE_CONFLICTS, Q_PURGE_SYNC, Q_PURGE_SWITCHES,
                                         Q_PURGE_HISTORY};
    bool found;
    int rc;

    SB_CHECK(ob->in_transaction);
    if ((rc = outbox_user_find(ob, user, &found, err)) < 0)
        return rc;
    if (found)
        return sb_fail(err, SB_EEXISTS, "user %s is still on this device: remove it first", user);
    if (!force && (rc = check_idle(ob, user, err)) < 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < sizeof(queries) / sizeof(queries[0]); i++)
        rc = run_user(ob, queries[i], user, err);
    return note_change(ob, rc, err);
}

/* ---- switches ---- */

int outbox_switch_get(struct outbox *ob, const char *user, enum sb_up_class class, bool *sync,
                      struct sb_err *err)
{
    int64_t value = 1;
    int rc =
        look_up(ob, of_table(ob, Q_SWITCH_GET, user, sb_up_class_name(class), err), &value, err);

    *sync = value != 0;
    return rc < 0 ? rc : 0;
}

int outbox_switch_set(struct outbox *ob, const char *user, enum sb_up_class class, bool sync,
                      struct sb_err *err)
{
    sqlite3_stmt *stmt = of_table(ob, Q_SWITCH_SET, user, sb_up_class_name(class), err);

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int(stmt, 3, sync);
    return note_change(ob, outbox_run(ob, stmt, "outbox: switch", err), err);
}

int outbox_switches(struct outbox *ob, const char *user,
                    int (*each)(void *ctx, const struct outbox_switch *one), void *ctx,
                    struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_SWITCHES, err);
    struct outbox_switch one;
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    if (user != NULL)
        bind_text(stmt, 1, user);
    while ((rc = outbox_step(ob, stmt, "outbox: switches", err)) == 1) {
        outbox_column_copy(stmt, 0, one.user, sizeof(one.user));
        if (!sb_up_class_parse(outbox_column_span(stmt, 1), &one.class))
            continue; /* of a newer version */
        one.sync = sqlite3_column_int(stmt, 2) != 0;
        one.off_mark = sqlite3_column_int64(stmt, 3);
        if ((rc = each(ctx, &one)) != 0)
            break;
    }
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int outbox_history_since(struct outbox *ob, const char *user, int64_t mark,
                         int (*each)(void *ctx, int64_t id, struct sb_span body), void *ctx,
                         struct sb_err *err)
{
    sqlite3_stmt *stmt = of_table(ob, Q_HISTORY_SINCE, user, NULL, err);
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 2, mark);
    while ((rc = outbox_step(ob, stmt, "outbox: history", err)) == 1)
        if ((rc = each(ctx, sqlite3_column_int64(stmt, 0), outbox_column_span(stmt, 1))) != 0)
            break;
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

/* ---- tables ---- */

/* Kept as a row of meta: a welcome may declare no table at all. */
#define TABLES_KNOWN "tables_known"

static int tables_known(struct outbox *ob, bool *known, struct sb_err *err)
{
    int rc = look_up(ob, of_table(ob, Q_META_GET, TABLES_KNOWN, NULL, err), NULL, err);

    *known = rc == 1;
    return rc < 0 ? rc : 0;
}

int outbox_table_declared(struct outbox *ob, const char *table, bool *known, bool *declared,
                          struct sb_err *err)
{
    int rc = tables_known(ob, known, err);

    *declared = false;
    if (rc < 0)
        return rc;
    rc = look_up(ob, of_table(ob, Q_TABLE_FIND, table, NULL, err), NULL, err);
    *declared = rc == 1;
    return rc < 0 ? rc : 0;
}

int outbox_tables(struct outbox *ob, int (*each)(void *ctx, const char *table), void *ctx,
                  struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_TABLES, err);
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    while ((rc = outbox_step(ob, stmt, "outbox: tables", err)) == 1)
        if ((rc = each(ctx, (const char *)sqlite3_column_text(stmt, 0))) != 0)
            break;
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

struct comparing {
    char (*tables)[SB_NAME_MAX + 1];
    size_t count, found;
    bool other;
};

static int compare_table(void *ctx, const char *table)
{
    struct comparing *c = ctx;
    bool told = false;

    for (size_t i = 0; i < c->count && !told; i++)
        told = strcmp(c->tables[i], table) == 0;
    c->found++;
    c->other = c->other || !told;
    return 0;
}

/* Most welcomes declare what the last one did. */
static int same_tables(struct outbox *ob, char (*tables)[SB_NAME_MAX + 1], size_t count, bool *same,
                       struct sb_err *err)
{
    struct comparing c = {.tables = tables, .count = count};
    bool known = false;
    int rc = tables_known(ob, &known, err);

    if (rc == 0)
        rc = outbox_tables(ob, compare_table, &c, err);
    *same = known && !c.other && c.found == count;
    return rc;
}

static int replace_tables(struct outbox *ob, char (*tables)[SB_NAME_MAX + 1], size_t count,
                          struct sb_err *err)
{
    sqlite3_stmt *stmt = of_table(ob, Q_META_SET, TABLES_KNOWN, "1", err);
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    rc = outbox_run(ob, stmt, "outbox: tables", err);
    stmt = outbox_stmt(ob, Q_TABLES_CLEAR, err);
    if (rc == 0)
        rc = stmt == NULL ? -(int)SB_EIO : outbox_run(ob, stmt, "outbox: tables", err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = run_user(ob, Q_TABLE_ADD, tables[i], err);
    return rc;
}

int outbox_tables_set(struct outbox *ob, char (*tables)[SB_NAME_MAX + 1], size_t count,
                      struct sb_err *err)
{
    bool same = false;
    int rc = same_tables(ob, tables, count, &same, err);

    SB_CHECK(ob->in_transaction);
    if (rc < 0 || same)
        return rc;
    return note_change(ob, replace_tables(ob, tables, count, err), err);
}
