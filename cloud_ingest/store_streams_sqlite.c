#include "store_sqlite.h"

#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "limits.h"

/* What is decided, declared and rejected of each (device, epoch, stream, branch). */

void stream_row_free(struct stream_row *row)
{
    sb_ranges_free(&row->decided);
    sb_ranges_free(&row->holes);
    sb_ranges_free(&row->unnamed);
    sb_ranges_free(&row->dropped);
}

static int read_holes(struct store *store, struct stream_row *row, struct sb_err *err)
{
    /* in the order of the numbers, so that the sets only grow at their end */
    struct query *q = query_start(store, "SELECT named, first_seq, last_seq FROM holes"
                                         " WHERE sn = ? ORDER BY first_seq");
    int rc;

    sb_ranges_clear(&row->holes);
    sb_ranges_clear(&row->unnamed);
    query_int(q, row->sn);
    while ((rc = query_row(q, err)) > 0) {
        uint64_t first = query_get_seq(q, 1), last = query_get_seq(q, 2);

        sb_ranges_add(&row->holes, first, last);
        if (query_get_int(q, 0) == 0)
            sb_ranges_add(&row->unnamed, first, last);
    }
    return rc;
}

static int read_row(struct query *q, struct stream_row *row, struct sb_err *err)
{
    int rc = query_get_ranges(q, 1, &row->decided, err);

    if (rc == 0)
        rc = query_get_ranges(q, 2, &row->dropped, err);
    row->sn = query_get_int(q, 0);
    row->made = query_get_seq(q, 3);
    row->counts = (struct stream_counts){
        .stored = query_get_int(q, 4),
        .duplicates = query_get_int(q, 5),
        .revised = query_get_int(q, 6),
        .rejected = query_get_int(q, 7),
        .conflict = query_get_int(q, 8),
        .repeats = query_get_int(q, 9),
    };
    return rc;
}

int store_stream_get(struct store *store, const char *device, const char *epoch, const char *stream,
                     int branch, bool *found, struct stream_row *row, struct sb_err *err)
{
    struct query *q =
        query_start(store, "SELECT sn, decided, dropped, made, stored, duplicates, revised,"
                           " rejected, conflict, repeats FROM streams"
                           " WHERE device = ? AND epoch = ? AND stream = ? AND branch = ?");
    int rc;

    query_text(q, device);
    query_text(q, epoch);
    query_text(q, stream);
    query_int(q, branch);
    rc = query_find(q, found, err);
    if (rc != 0 || !*found)
        return rc;
    row->branch = branch;
    rc = query_done(q, read_row(q, row, err));
    return rc == 0 ? read_holes(store, row, err) : rc;
}

static int check_room(struct store *store, const char *device, const char *stream, int branch,
                      struct sb_err *err)
{
    struct query *q;
    bool there;
    int rc;

    if (branch > LIMIT_BRANCHES)
        return sb_fail(err, SB_ELIMIT, "%s: %s has %d branches", device, stream, LIMIT_BRANCHES);
    q = query_start(store, "SELECT count(*), coalesce(max(stream = ?), 0) FROM totals"
                           " WHERE device = ?");
    query_text(q, stream);
    query_text(q, device);
    rc = query_find(q, &there, err);
    if (rc == 0 && query_get_int(q, 1) == 0 && query_get_int(q, 0) >= LIMIT_STREAMS)
        rc = sb_fail(err, SB_ELIMIT, "%s has %d streams", device, LIMIT_STREAMS);
    return query_done(q, rc);
}

static int add_total(struct store *store, const char *device, const char *stream,
                     struct sb_err *err)
{
    struct query *q = query_start(store, "INSERT INTO totals (device, stream, records)"
                                         " VALUES (?, ?, 0) ON CONFLICT DO NOTHING");

    query_text(q, device);
    query_text(q, stream);
    return query_run(q, err);
}

int store_stream_add(struct store *store, const char *device, const char *epoch, const char *stream,
                     int branch, int64_t now_ms, struct stream_row *row, struct sb_err *err)
{
    struct query *q;
    int rc = check_room(store, device, stream, branch, err);

    if (rc == 0)
        rc = add_total(store, device, stream, err);
    if (rc != 0)
        return rc;
    q = query_start(store, "INSERT INTO streams (device, epoch, stream, branch, added_ms, last_ms)"
                           " VALUES (?, ?, ?, ?, ?, ?)");
    query_text(q, device);
    query_text(q, epoch);
    query_text(q, stream);
    query_int(q, branch);
    query_int(q, now_ms);
    query_int(q, now_ms);
    rc = query_run(q, err);
    if (rc != 0)
        return rc;
    stream_row_free(row);
    *row = (struct stream_row){.sn = sqlite3_last_insert_rowid(store->db), .branch = branch};
    return 0;
}

int store_stream_put(struct store *store, const struct stream_row *row, int64_t now_ms,
                     struct sb_err *err)
{
    struct query *q = query_start(
        store, "UPDATE streams SET decided = ?, dropped = ?, made = ?, stored = ?, duplicates = ?,"
               " revised = ?, rejected = ?, conflict = ?, repeats = ?, last_ms = max(last_ms, ?) "
               "WHERE sn = ?");

    query_ranges(q, &row->decided);
    query_ranges(q, &row->dropped);
    query_seq(q, row->made);
    query_int(q, row->counts.stored);
    query_int(q, row->counts.duplicates);
    query_int(q, row->counts.revised);
    query_int(q, row->counts.rejected);
    query_int(q, row->counts.conflict);
    query_int(q, row->counts.repeats);
    query_int(q, now_ms);
    query_int(q, row->sn);
    return query_run(q, err);
}

int store_stream_branches(struct store *store, const char *device, const char *epoch,
                          const char *stream, int *count, struct sb_err *err)
{
    struct query *q = query_start(store, "SELECT max(branch) FROM streams"
                                         " WHERE device = ? AND epoch = ? AND stream = ?");
    bool found;
    int rc;

    query_text(q, device);
    query_text(q, epoch);
    query_text(q, stream);
    rc = query_find(q, &found, err);
    *count = found ? (int)query_get_int(q, 0) : 0;
    return query_done(q, rc);
}

int store_epoch_streams(struct store *store, const char *device, const char *epoch,
                        void (*each)(void *ctx, const char *stream), void *ctx, struct sb_err *err)
{
    struct query *q = query_start(store, "SELECT stream FROM streams"
                                         " WHERE device = ? AND epoch = ? AND branch = 0");
    char stream[SB_STREAM_MAX + 1];
    int rc;

    query_text(q, device);
    query_text(q, epoch);
    while ((rc = query_row(q, err)) > 0) {
        query_get_str(q, 0, stream);
        each(ctx, stream);
    }
    return rc;
}

int store_total_add(struct store *store, const char *device, const char *stream, int64_t more,
                    uint64_t *total, struct sb_err *err)
{
    struct query *q = query_start(store, "UPDATE totals SET records = records + ?"
                                         " WHERE device = ? AND stream = ? RETURNING records");
    bool found;
    int rc;

    query_int(q, more);
    query_text(q, device);
    query_text(q, stream);
    rc = query_find(q, &found, err);
    *total = found ? query_get_seq(q, 0) : 0;
    if (found)
        rc = query_row(q, err); /* a RETURNING statement has to be run to its end */
    return query_done(q, rc);
}

/* ---- holes ---- */

int store_hole_add(struct store *store, int64_t sn, uint64_t first, uint64_t last, bool named,
                   const struct sb_batch *declared, bool with_summary, int64_t now_ms,
                   struct sb_err *err)
{
    struct query *q = query_start(
        store, "INSERT INTO holes (sn, named, first_seq, last_seq, reason, ts_from, ts_to, summary,"
               " declared_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
    bool keep = with_summary && declared->summary.len <= LIMIT_SUMMARY;

    query_int(q, sn);
    query_int(q, named);
    query_seq(q, first);
    query_seq(q, last);
    query_int(q, declared->reason);
    query_span_or_null(q, declared->ts_from);
    query_span_or_null(q, declared->ts_to);
    query_span_or_null(q, keep ? declared->summary : SB_SPAN(""));
    query_int(q, now_ms);
    return query_run(q, err);
}

int store_hole_op_add(struct store *store, int64_t sn, uint64_t seq, struct sb_span op_id,
                      struct sb_err *err)
{
    struct query *q = query_start(store, "INSERT INTO hole_ops (sn, seq, op_id) VALUES (?, ?, ?)"
                                         " ON CONFLICT (sn, seq, op_id) DO NOTHING");

    query_int(q, sn);
    query_seq(q, seq);
    query_span(q, op_id);
    return query_run(q, err);
}

int store_hole_op_has(struct store *store, int64_t sn, uint64_t seq, struct sb_span op_id,
                      bool *here, struct sb_err *err)
{
    struct query *q =
        query_start(store, "SELECT 1 FROM hole_ops WHERE sn = ? AND seq = ? AND op_id = ?");
    int rc;

    query_int(q, sn);
    query_seq(q, seq);
    query_span(q, op_id);
    rc = query_find(q, here, err);
    return query_done(q, rc);
}

int store_hole_op_anywhere(struct store *store, const char *device, const char *stream,
                           struct sb_span op_id, bool *there, struct sb_err *err)
{
    struct query *q =
        query_start(store, "SELECT 1 FROM streams s JOIN hole_ops o ON o.sn = s.sn"
                           " WHERE s.device = ? AND s.stream = ? AND o.op_id = ? LIMIT 1");
    int rc;

    query_text(q, device);
    query_text(q, stream);
    query_span(q, op_id);
    rc = query_find(q, there, err);
    return query_done(q, rc);
}

/* Inserts what is left of a hole beside the number that was taken out. */
static int keep_rest(struct store *store, int64_t sn, int64_t named, struct sb_range rest,
                     uint64_t from, struct sb_err *err)
{
    struct query *q = query_start(
        store, "INSERT INTO holes SELECT sn, named, ?1, ?2, reason, ts_from, ts_to, summary,"
               " declared_ms FROM holes WHERE sn = ?3 AND named = ?4 AND first_seq = ?5");

    query_seq(q, rest.lo);
    query_seq(q, rest.hi);
    query_int(q, sn);
    query_int(q, named);
    query_seq(q, from);
    return query_run(q, err);
}

/* What is left below the number; nothing when it was the first. */
static int cut_hole(struct store *store, int64_t sn, int64_t named, uint64_t first, uint64_t seq,
                    struct sb_err *err)
{
    struct query *q;

    if (first < seq)
        q = query_start(store, "UPDATE holes SET last_seq = ?4 - 1"
                               " WHERE sn = ?1 AND named = ?2 AND first_seq = ?3");
    else
        q = query_start(store, "DELETE FROM holes WHERE sn = ?1 AND named = ?2 AND first_seq = ?3"
                               " AND first_seq = ?4");
    query_int(q, sn);
    query_int(q, named);
    query_seq(q, first);
    query_seq(q, seq);
    return query_run(q, err);
}

/* One hole around the number; *found = false when there is none (any more). */
static int forget_one(struct store *store, int64_t sn, uint64_t seq, bool *found,
                      struct sb_err *err)
{
    struct query *q = query_start(store, "SELECT named, first_seq, last_seq FROM holes"
                                         " WHERE sn = ?1 AND first_seq <= ?2 AND last_seq >= ?2");
    uint64_t first = 0, last = 0;
    int64_t named = 0;
    int rc;

    query_int(q, sn);
    query_seq(q, seq);
    rc = query_find(q, found, err);
    if (*found) {
        named = query_get_int(q, 0);
        first = query_get_seq(q, 1);
        last = query_get_seq(q, 2);
    }
    query_end(q);
    if (rc != 0 || !*found)
        return rc;
    if (last > seq)
        rc = keep_rest(store, sn, named, (struct sb_range){seq + 1, last}, first, err);
    return rc == 0 ? cut_hole(store, sn, named, first, seq, err) : rc;
}

int store_hole_forget(struct store *store, int64_t sn, uint64_t seq, struct sb_err *err)
{
    struct query *q;
    bool found = true;
    int rc = 0;

    while (rc == 0 && found)
        rc = forget_one(store, sn, seq, &found, err);
    if (rc != 0)
        return rc;
    q = query_start(store, "DELETE FROM hole_ops WHERE sn = ? AND seq = ?");
    query_int(q, sn);
    query_seq(q, seq);
    return query_run(q, err);
}

/* ---- rejections of free streams ---- */

int store_rejection_put(struct store *store, int64_t sn, uint64_t seq,
                        const struct rejection_row *row, struct sb_span fields,
                        struct sb_span record, int64_t now_ms, struct sb_err *err)
{
    struct query *q = query_start(
        store, "INSERT INTO rejections (sn, seq, hash, code, reason, fields, record, rejected_ms)"
               " VALUES (?, ?, ?, ?, ?, ?, ?, ?)");

    query_int(q, sn);
    query_seq(q, seq);
    query_int(q, (int64_t)row->hash);
    query_text(q, sb_code_name(row->code));
    query_text(q, row->reason);
    query_span_or_null(q, fields);
    query_span_or_null(q, record.len <= LIMIT_REJECTED_TEXT ? record : SB_SPAN(""));
    query_int(q, now_ms);
    return query_run(q, err);
}

int store_rejection_get(struct store *store, int64_t sn, uint64_t seq, bool *found,
                        struct rejection_row *row, struct sb_err *err)
{
    struct query *q =
        query_start(store, "SELECT hash, code, reason FROM rejections WHERE sn = ? AND seq = ?");
    struct sb_span code;
    int rc;

    query_int(q, sn);
    query_seq(q, seq);
    rc = query_find(q, found, err);
    if (*found) {
        row->hash = (uint64_t)query_get_int(q, 0);
        code = query_get_span(q, 1);
        row->code = sb_code_from_name(code.data, code.len);
        query_get_str(q, 2, row->reason);
    }
    return query_done(q, rc);
}

int store_rejection_delete(struct store *store, int64_t sn, uint64_t seq, struct sb_err *err)
{
    struct query *q = query_start(store, "DELETE FROM rejections WHERE sn = ? AND seq = ?");

    query_int(q, sn);
    query_seq(q, seq);
    return query_run(q, err);
}

/* ---- retention ---- */

struct drop {
    const char *device, *epoch, *stream;
    int branch;
    uint64_t seq;
};

static int remove_record(struct store *store, const struct drop *drop, int64_t sn, bool *gone,
                         struct sb_err *err)
{
    struct sb_stream stream;
    int rc = sb_stream_parse(sb_span_of(drop->stream), &stream, err);

    *gone = false;
    if (rc != 0)
        return rc;
    if (stream.class == SB_UP_SENSORS)
        return store_reading_delete(store, stream.name, sn, drop->seq, gone, err);
    if (stream.class == SB_UP_HISTORY)
        return store_history_delete(store, sn, drop->seq, gone, err);
    return sb_fail(err, SB_EBAD_STREAM, "%s: only readings and history are dropped", drop->stream);
}

static int drop_work(struct store *store, void *ctx, struct sb_err *err)
{
    const struct drop *drop = ctx;
    struct stream_row row = {0};
    bool found, gone = false;
    uint64_t total;
    int rc = store_stream_get(store, drop->device, drop->epoch, drop->stream, drop->branch, &found,
                              &row, err);

    if (rc == 0 && found)
        rc = remove_record(store, drop, row.sn, &gone, err);
    if (rc == 0 && !gone)
        rc = sb_fail(err, SB_ENOT_FOUND, "%s %s %s: no row at %llu", drop->device, drop->epoch,
                     drop->stream, (unsigned long long)drop->seq);
    if (rc == 0) {
        sb_ranges_add(&row.dropped, drop->seq, drop->seq);
        rc = store_stream_put(store, &row, -1, err);
    }
    if (rc == 0)
        rc = store_total_add(store, drop->device, drop->stream, -1, &total, err);
    stream_row_free(&row);
    return rc;
}

int store_drop_record(struct store *store, const char *device, const char *epoch,
                      const char *stream, int branch, uint64_t seq, struct sb_err *err)
{
    struct drop drop = {device, epoch, stream, branch, seq};

    return store_alone(store, drop_work, &drop, err);
}
