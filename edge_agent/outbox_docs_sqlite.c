/* Small tables beside the queue: local history, import cursors, receipt, clock. */
#include "edge_agent/outbox_sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"

static int meta_get(struct outbox *ob, const char *key, char *out, size_t size, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_META_GET, err);
    int rc;

    out[0] = '\0';
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
    rc = outbox_step(ob, stmt, "outbox: meta", err);
    if (rc == 1)
        outbox_column_copy(stmt, 0, out, size);
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

static int meta_set(struct outbox *ob, const char *key, const char *value, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_META_SET, err);

    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, value, -1, SQLITE_STATIC);
    return outbox_run(ob, stmt, "outbox: meta", err);
}

int outbox_receipt_get(struct outbox *ob, char boot[SB_UUID_LEN + 1], uint64_t *commit,
                       struct sb_err *err)
{
    char number[24];
    int rc;

    if ((rc = meta_get(ob, "receipt_boot", boot, SB_UUID_LEN + 1, err)) < 0 ||
        (rc = meta_get(ob, "receipt_commit", number, sizeof(number), err)) < 0)
        return rc;
    *commit = strtoull(number, NULL, 10);
    return 0;
}

int outbox_receipt_set(struct outbox *ob, const char *boot, uint64_t commit, struct sb_err *err)
{
    struct sb_buf number = {0};
    int rc;

    SB_CHECK(ob->in_transaction);
    sb_buf_add_u64(&number, commit);
    rc = meta_set(ob, "receipt_boot", boot, err);
    if (rc == 0)
        rc = meta_set(ob, "receipt_commit", number.data, err);
    sb_buf_free(&number);
    return rc;
}

int outbox_last_settled(struct outbox *ob, int64_t *wall_us, struct sb_err *err)
{
    char number[24];
    int rc = meta_get(ob, "last_settled", number, sizeof(number), err);

    *wall_us = rc == 0 ? strtoll(number, NULL, 10) : 0;
    return rc;
}

int outbox_set_last_settled(struct outbox *ob, int64_t wall_us, struct sb_err *err)
{
    char number[24];

    SB_CHECK(ob->in_transaction);
    snprintf(number, sizeof(number), "%lld", (long long)wall_us);
    return meta_set(ob, "last_settled", number, err);
}

#define SERVER_CLOCK "server_clock" /* <kernel boot id> <microseconds> */
/* A welcome's time is as old as its way was long; a wall clock that is nearer than this to it is
 * the better one, and orders the edits of devices that keep the time. */
#define SERVER_CLOCK_SLACK_US INT64_C(2000000)

int outbox_set_server_clock(struct outbox *ob, const char *device_boot, int64_t ahead_us,
                            struct sb_err *err)
{
    char text[SB_UUID_LEN + 32];

    SB_CHECK(ob->in_transaction);
    if (device_boot[0] == '\0')
        return 0;
    snprintf(text, sizeof(text), "%s %lld", device_boot, (long long)ahead_us);
    return meta_set(ob, SERVER_CLOCK, text, err);
}

int outbox_server_time(struct outbox *ob, const char *device_boot, struct sb_now now,
                       int64_t *wall_us, struct sb_err *err)
{
    size_t len = strlen(device_boot);
    char text[SB_UUID_LEN + 32];
    int rc = meta_get(ob, SERVER_CLOCK, text, sizeof(text), err);
    int64_t server_us;

    *wall_us = now.wall_us;
    if (rc != 0 || len == 0 || strncmp(text, device_boot, len) != 0 || text[len] != ' ')
        return rc;
    server_us = now.mono_ms * 1000 + strtoll(text + len, NULL, 10);
    if (server_us - now.wall_us > SERVER_CLOCK_SLACK_US ||
        now.wall_us - server_us > SERVER_CLOCK_SLACK_US)
        *wall_us = server_us;
    return rc;
}

int outbox_hlc(struct outbox *ob, int64_t wall_us, uint64_t floor, uint64_t *hlc,
               struct sb_err *err)
{
    uint64_t wall = wall_us > 0 ? (uint64_t)(wall_us / 1000) << 16 : 0;
    char text[SB_EPOCH_LEN + 1];
    uint64_t last = 0;
    int rc;

    SB_CHECK(ob->in_transaction);
    if ((rc = meta_get(ob, "hlc", text, sizeof(text), err)) < 0)
        return rc;
    if (sb_hex16_valid(sb_span_of(text)))
        last = sb_hex16_value(text);
    last = last > floor ? last : floor;
    *hlc = wall > last ? wall : last + 1;
    sb_hex16_of(*hlc, text);
    return meta_set(ob, "hlc", text, err);
}

/* ---- history and cursors ---- */

static int drop_history(struct outbox *ob, sqlite3_stmt *stmt, int *dropped, struct sb_err *err)
{
    int rc = outbox_run(ob, stmt, "outbox: history", err);

    if (rc == 0)
        *dropped += sqlite3_changes(ob->db);
    return rc;
}

int outbox_history_purge(struct outbox *ob, int64_t before_us, int limit, int *dropped,
                         struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_HISTORY_OLD, err);
    bool near = false;
    int rc;

    SB_CHECK(ob->in_transaction);
    *dropped = 0;
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, OUTBOX_CLOCK_UNSET_US);
    sqlite3_bind_int64(stmt, 2, before_us);
    sqlite3_bind_int(stmt, 3, limit);
    if ((rc = drop_history(ob, stmt, dropped, err)) < 0 ||
        (rc = outbox_near_full(ob, &near, err)) < 0 || !near)
        return rc;
    if ((stmt = outbox_stmt(ob, Q_HISTORY_FIRST, err)) == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int(stmt, 1, limit);
    return drop_history(ob, stmt, dropped, err);
}

int outbox_history_add(struct outbox *ob, const char *user, struct sb_span command_id,
                       struct sb_span body, int64_t wall_us, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_HISTORY_ADD, err);
    int rc;

    SB_CHECK(ob->in_transaction);
    if ((rc = outbox_room(ob, err)) < 0)
        return rc;
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_text(stmt, 1, user, -1, SQLITE_STATIC);
    outbox_bind_span(stmt, 2, command_id);
    sqlite3_bind_int64(stmt, 3, wall_us);
    outbox_bind_span(stmt, 4, body);
    return outbox_run(ob, stmt, "outbox: local history", err);
}

int outbox_cursor_get(struct outbox *ob, const char *source, uint64_t *offset, uint64_t *hash,
                      bool *found, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_CURSOR_GET, err);
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_text(stmt, 1, source, -1, SQLITE_STATIC);
    rc = outbox_step(ob, stmt, "outbox: cursor", err);
    *found = rc == 1;
    if (rc == 1) {
        *offset = (uint64_t)sqlite3_column_int64(stmt, 0);
        *hash = (uint64_t)sqlite3_column_int64(stmt, 1);
    }
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int outbox_cursor_set(struct outbox *ob, const char *source, uint64_t offset, uint64_t hash,
                      struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_CURSOR_SET, err);

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_text(stmt, 1, source, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, (int64_t)offset);
    sqlite3_bind_int64(stmt, 3, (int64_t)hash);
    return outbox_run(ob, stmt, "outbox: cursor", err);
}
