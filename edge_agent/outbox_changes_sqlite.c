/* Documents whose file and hook are due. */
#include "edge_agent/outbox_changes.h"

#include <stdio.h>
#include <string.h>

#include "common/check.h"
#include "edge_agent/outbox_sqlite.h"

#define META_TARGET "hooks_target"

int outbox_change_next(struct outbox *ob, int64_t after, int64_t below,
                       struct outbox_change *change, bool *found, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_CHANGE_NEXT, err);
    int rc;

    *found = false;
    *change = (struct outbox_change){0};
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, after);
    sqlite3_bind_int64(stmt, 2, below);
    rc = outbox_step(ob, stmt, "outbox: changes", err);
    if (rc == 1) {
        *found = true;
        change->n = sqlite3_column_int64(stmt, 0);
        outbox_column_copy(stmt, 1, change->name.user, sizeof(change->name.user));
        outbox_column_copy(stmt, 2, change->name.table, sizeof(change->name.table));
        outbox_column_copy(stmt, 3, change->name.id, sizeof(change->name.id));
        sqlite3_reset(stmt);
    }
    return rc < 0 ? rc : 0;
}

int outbox_change_done(struct outbox *ob, int64_t n, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_CHANGE_DONE, err);

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, n);
    return outbox_run(ob, stmt, "outbox: changes", err);
}

static int target_get(struct outbox *ob, struct sb_buf *out, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_META_GET, err);
    int rc;

    sb_buf_add_str(out, "");
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_text(stmt, 1, META_TARGET, -1, SQLITE_STATIC);
    rc = outbox_step(ob, stmt, "outbox: meta", err);
    if (rc == 1) {
        sb_buf_add_span(out, outbox_column_span(stmt, 0));
        sqlite3_reset(stmt);
    }
    return rc < 0 ? rc : 0;
}

static int target_set(struct outbox *ob, const char *target, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_META_SET, err);

    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_text(stmt, 1, META_TARGET, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, target, -1, SQLITE_STATIC);
    return outbox_run(ob, stmt, "outbox: meta", err);
}

static int run_plain(struct outbox *ob, enum outbox_query query, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, query, err);

    return stmt != NULL ? outbox_run(ob, stmt, "outbox: changes", err) : -(int)SB_EIO;
}

int outbox_changes_target(struct outbox *ob, const char *folder, bool command, struct sb_err *err)
{
    struct sb_buf before = {0}, target = {0};
    int rc;

    SB_CHECK(ob->in_transaction);
    if (folder[0] != '\0')
        sb_buf_add_fmt(&target, "files:%s", folder);
    else
        sb_buf_add_str(&target, command ? "command" : "");
    rc = target_get(ob, &before, err);
    if (rc == 0 && strcmp(before.data, target.data) != 0) {
        if (folder[0] != '\0' || before.len == 0)
            rc = run_plain(ob, Q_CHANGES_NONE, err);
        if (rc == 0 && folder[0] != '\0')
            rc = run_plain(ob, Q_CHANGES_ALL, err);
        if (rc == 0)
            rc = target_set(ob, target.data, err);
    }
    sb_buf_free(&before);
    sb_buf_free(&target);
    return rc;
}
