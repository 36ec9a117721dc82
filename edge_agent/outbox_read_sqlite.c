/* Stage 2 → 3: reading the outbox. Nothing here changes it. */
#include "edge_agent/outbox_sqlite.h"

#include <string.h>

#include "common/check.h"

int outbox_epochs(struct outbox *ob, int (*each)(void *ctx, int64_t n, const char *epoch),
                  void *ctx, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_EPOCHS, err);
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    while ((rc = outbox_step(ob, stmt, "outbox: epochs", err)) == 1) {
        rc = each(ctx, sqlite3_column_int64(stmt, 0), (const char *)sqlite3_column_text(stmt, 1));
        if (rc != 0)
            break;
    }
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

static int read_stream(sqlite3_stmt *stmt, struct outbox_stream *out, struct sb_err *err)
{
    out->s = sqlite3_column_int64(stmt, 0);
    out->epoch_n = sqlite3_column_int64(stmt, 1);
    outbox_column_copy(stmt, 2, out->epoch, sizeof(out->epoch));
    out->next_seq = (uint64_t)sqlite3_column_int64(stmt, 4);
    out->settled = outbox_column_span(stmt, 5);
    out->refused = outbox_column_span(stmt, 6);
    out->row_bytes = (uint64_t)sqlite3_column_int64(stmt, 7);
    if (sb_stream_parse(outbox_column_span(stmt, 3), &out->stream, err) < 0)
        return sb_fail(err, SB_ECORRUPT, "outbox: a stream with an impossible name");
    return 0;
}

int outbox_streams(struct outbox *ob, int (*each)(void *ctx, const struct outbox_stream *stream),
                   void *ctx, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_STREAMS, err);
    struct outbox_stream stream;
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    while ((rc = outbox_step(ob, stmt, "outbox: streams", err)) == 1) {
        if ((rc = read_stream(stmt, &stream, err)) < 0 || (rc = each(ctx, &stream)) != 0)
            break;
    }
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int outbox_key_span(struct outbox *ob, int64_t s, uint64_t from, uint64_t to, int64_t *low,
                    int64_t *high, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_ROW_BEFORE, err);
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    *low = outbox_key(s, from);
    *high = outbox_key(s, to);
    sqlite3_bind_int64(stmt, 1, outbox_key(s, 0));
    sqlite3_bind_int64(stmt, 2, *low);
    rc = outbox_step(ob, stmt, "outbox: rows", err);
    if (rc == 1 && (uint64_t)sqlite3_column_int64(stmt, 1) >= from)
        *low = sqlite3_column_int64(stmt, 0);
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

static void read_row(sqlite3_stmt *stmt, struct outbox_row *row)
{
    row->first_seq = outbox_key_seq(sqlite3_column_int64(stmt, 0));
    row->last_seq = (uint64_t)sqlite3_column_int64(stmt, 1);
    row->fields_id = sqlite3_column_int64(stmt, 2);
    row->fields = outbox_column_span(stmt, 3);
    row->device_boot = (const char *)sqlite3_column_text(stmt, 4);
    row->mono_ms = sqlite3_column_int64(stmt, 5);
    row->wall_us = sqlite3_column_int64(stmt, 6);
    row->quality = (enum sb_clock_quality)sqlite3_column_int(stmt, 7);
    row->op_id = outbox_column_span(stmt, 8);
    row->before = outbox_column_span(stmt, 9);
    row->body = outbox_column_span(stmt, 10);
    row->doc = outbox_column_span(stmt, 11);
}

int outbox_rows(struct outbox *ob, int64_t s, uint64_t from, uint64_t to,
                int (*each)(void *ctx, const struct outbox_row *row), void *ctx, struct sb_err *err)
{
    struct outbox_row row;
    sqlite3_stmt *stmt;
    int64_t low, high;
    int rc;

    if ((rc = outbox_key_span(ob, s, from, to, &low, &high, err)) < 0)
        return rc;
    if ((stmt = outbox_stmt(ob, Q_ROWS, err)) == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, low);
    sqlite3_bind_int64(stmt, 2, high);
    while ((rc = outbox_step(ob, stmt, "outbox: rows", err)) == 1) {
        read_row(stmt, &row);
        if ((rc = each(ctx, &row)) != 0)
            break;
    }
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int outbox_row_ranges(struct outbox *ob, int64_t s, struct sb_ranges *out, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_ROW_RANGES, err);
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, outbox_key(s, 0));
    sqlite3_bind_int64(stmt, 2, outbox_key(s, UINT64_MAX));
    while ((rc = outbox_step(ob, stmt, "outbox: rows", err)) == 1)
        sb_ranges_add(out, outbox_key_seq(sqlite3_column_int64(stmt, 0)),
                      (uint64_t)sqlite3_column_int64(stmt, 1));
    return rc;
}

int outbox_first_row(struct outbox *ob, int64_t s, uint64_t *first, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_ROW_FIRST, err);
    int rc;

    *first = 0;
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, outbox_key(s, 0));
    sqlite3_bind_int64(stmt, 2, outbox_key(s, UINT64_MAX));
    rc = outbox_step(ob, stmt, "outbox: rows", err);
    if (rc == 1 && sqlite3_column_type(stmt, 0) != SQLITE_NULL)
        *first = outbox_key_seq(sqlite3_column_int64(stmt, 0));
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int outbox_holes(struct outbox *ob, int (*each)(void *ctx, const struct outbox_hole *hole),
                 void *ctx, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_HOLES, err);
    struct outbox_hole hole;
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    while ((rc = outbox_step(ob, stmt, "outbox: holes", err)) == 1) {
        hole.s = sqlite3_column_int64(stmt, 0);
        hole.first_seq = (uint64_t)sqlite3_column_int64(stmt, 1);
        hole.last_seq = (uint64_t)sqlite3_column_int64(stmt, 2);
        hole.reason = (enum sb_hole_reason)sqlite3_column_int(stmt, 3);
        hole.ops = outbox_column_span(stmt, 4);
        if ((rc = each(ctx, &hole)) != 0)
            break;
    }
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

static void read_dead(sqlite3_stmt *stmt, struct outbox_dead *dead)
{
    struct sb_span code = outbox_column_span(stmt, 5);

    dead->id = sqlite3_column_int64(stmt, 0);
    dead->s = sqlite3_column_int64(stmt, 1);
    outbox_column_copy(stmt, 2, dead->epoch, sizeof(dead->epoch));
    outbox_column_copy(stmt, 3, dead->stream, sizeof(dead->stream));
    dead->seq = (uint64_t)sqlite3_column_int64(stmt, 4);
    dead->code = sb_code_from_name(code.data, code.len);
    dead->reason = outbox_column_span(stmt, 6);
    dead->fields = outbox_column_span(stmt, 7);
    dead->body = outbox_column_span(stmt, 8);
    dead->op_id = outbox_column_span(stmt, 9);
    dead->dead_us = sqlite3_column_int64(stmt, 10);
    dead->tries = (uint64_t)sqlite3_column_int64(stmt, 11);
    dead->retry = sqlite3_column_int(stmt, 12) != 0;
}

int outbox_dead_list(struct outbox *ob, int64_t id, bool retry_only,
                     int (*each)(void *ctx, const struct outbox_dead *dead), void *ctx,
                     struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_DEAD_LIST, err);
    struct outbox_dead dead;
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, id);
    sqlite3_bind_int(stmt, 2, retry_only);
    while ((rc = outbox_step(ob, stmt, "outbox: dead letter", err)) == 1) {
        read_dead(stmt, &dead);
        if ((rc = each(ctx, &dead)) != 0)
            break;
    }
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

/* ---- counts ---- */

static int one_number(struct outbox *ob, enum outbox_query query, uint64_t *out, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, query, err);
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    rc = outbox_step(ob, stmt, "outbox: count", err);
    if (rc == 1)
        *out = (uint64_t)sqlite3_column_int64(stmt, 0);
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

struct counting {
    struct outbox *ob;
    struct outbox_counts *out;
    const struct sb_stream *only; /* NULL = all */
    struct sb_err *err;
};

/* When the row at or after seq was enqueued; 0 when there is none. */
static int oldest_from(struct outbox *ob, int64_t s, uint64_t seq, int64_t *wall_us,
                       struct sb_err *err)
{
    int64_t low, high;
    sqlite3_stmt *stmt;
    int rc = outbox_key_span(ob, s, seq, UINT64_MAX, &low, &high, err);

    if (rc < 0)
        return rc;
    if ((stmt = outbox_stmt(ob, Q_ROW_OLDEST, err)) == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, low);
    sqlite3_bind_int64(stmt, 2, high);
    rc = outbox_step(ob, stmt, "outbox: rows", err);
    *wall_us = rc == 1 ? sqlite3_column_int64(stmt, 0) : 0;
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

static int count_stream(void *ctx, const struct outbox_stream *stream)
{
    struct counting *counting = ctx;
    struct sb_ranges settled = {0};
    struct sb_range gap;
    int64_t wall_us = 0;
    int rc;

    if (counting->only != NULL && (counting->only->class != stream->stream.class ||
                                   strcmp(counting->only->name, stream->stream.name) != 0))
        return 0;
    rc = sb_ranges_parse(&settled, stream->settled, SIZE_MAX, counting->err);
    if (rc == 0) {
        counting->out->pending += stream->next_seq - 1 - sb_ranges_total(&settled);
        if (sb_ranges_gap(&settled, 1, stream->next_seq - 1, &gap))
            rc = oldest_from(counting->ob, stream->s, gap.lo, &wall_us, counting->err);
    }
    if (wall_us > 0 &&
        (counting->out->oldest_pending_us == 0 || wall_us < counting->out->oldest_pending_us))
        counting->out->oldest_pending_us = wall_us;
    sb_ranges_free(&settled);
    return rc;
}

int outbox_file_bytes(struct outbox *ob, struct outbox_counts *out, struct sb_err *err)
{
    uint64_t page = 0, all = 0, unused = 0;
    int rc;

    if ((rc = one_number(ob, Q_PAGE_SIZE, &page, err)) < 0 ||
        (rc = one_number(ob, Q_PAGE_COUNT, &all, err)) < 0 ||
        (rc = one_number(ob, Q_PAGES_FREE, &unused, err)) < 0)
        return rc;
    out->free_bytes = (int64_t)(unused * page);
    out->used_bytes = (int64_t)((all - unused) * page);
    return 0;
}

int outbox_near_full(struct outbox *ob, bool *near, struct sb_err *err)
{
    struct outbox_counts counts;
    int rc = 0;

    *near = false;
    if (ob->max_bytes > 0 && (rc = outbox_file_bytes(ob, &counts, err)) == 0)
        *near = counts.used_bytes >= ob->max_bytes - ob->max_bytes / 10;
    return rc;
}

int outbox_counts(struct outbox *ob, struct outbox_counts *out, struct sb_err *err)
{
    struct counting counting = {.ob = ob, .out = out, .err = err};
    int rc;

    *out = (struct outbox_counts){0};
    if ((rc = outbox_file_bytes(ob, out, err)) < 0 ||
        (rc = one_number(ob, Q_COUNT_DEAD, &out->dead, err)) < 0 ||
        (rc = one_number(ob, Q_COUNT_CONFLICTS, &out->conflicts, err)) < 0 ||
        (rc = one_number(ob, Q_COUNT_HOLES, &out->holes, err)) < 0)
        return rc;
    return outbox_streams(ob, count_stream, &counting, err);
}

int outbox_pending_of(struct outbox *ob, const struct sb_stream *stream, uint64_t *count,
                      struct sb_err *err)
{
    struct outbox_counts counts = {0};
    struct counting counting = {.ob = ob, .out = &counts, .only = stream, .err = err};
    int rc = outbox_streams(ob, count_stream, &counting, err);

    *count = counts.pending;
    return rc;
}
