#include "apply.h"

#include <string.h>

/* A declared hole: kept as declared, decided or not; it decides nothing and touches no dead letter
 * (D6). On an ordered stream it names the operations that were given up. */

static uint64_t overlap(const struct sb_ranges *set, uint64_t lo, uint64_t hi)
{
    uint64_t count = 0;

    for (size_t i = sb_ranges_seek(set, lo); i < set->count && set->at[i].lo <= hi; i++) {
        uint64_t from = set->at[i].lo > lo ? set->at[i].lo : lo;
        uint64_t to = set->at[i].hi < hi ? set->at[i].hi : hi;

        count += to - from + 1;
    }
    return count;
}

/* How many of the hole's numbers are decided or declared already. */
static uint64_t count_known(const struct stream_row *row, uint64_t lo, uint64_t hi)
{
    struct sb_ranges both = {0};
    uint64_t count;

    sb_ranges_copy(&both, &row->decided);
    sb_ranges_add_all(&both, &row->holes);
    count = overlap(&both, lo, hi);
    sb_ranges_free(&both);
    return count;
}

/* Adds rows for the numbers of lo..hi that `known` has not, and notes them there and in the holes.
 * The first row has the summary. */
static int add_runs(struct apply *a, struct stream_state *own, struct sb_ranges *known, uint64_t lo,
                    uint64_t hi, bool named, bool *first, struct sb_err *err)
{
    struct sb_range gap;
    int rc = 0;

    while (rc == 0 && lo <= hi && sb_ranges_gap(known, lo, hi, &gap)) {
        rc = store_hole_add(a->store, own->row.sn, gap.lo, gap.hi, named, a->batch, *first,
                            a->now_ms, err);
        *first = false;
        sb_ranges_add(known, gap.lo, gap.hi);
        lo = gap.hi + 1;
    }
    return rc;
}

/* A run of numbers for which no operation is named. On an ordered stream nothing is kept at those
 * that are decided. */
static int add_unnamed(struct apply *a, struct stream_state *own, uint64_t lo, uint64_t hi,
                       bool *first, struct sb_err *err)
{
    bool ordered = sb_class_ordered(a->batch->stream.class);
    struct sb_range gap;
    int rc = 0;

    if (dedupe_hole_keeps(ordered, true, false)) {
        rc = add_runs(a, own, &own->row.unnamed, lo, hi, false, first, err);
        sb_ranges_add(&own->row.holes, lo, hi);
        return rc;
    }
    while (rc == 0 && lo <= hi && sb_ranges_gap(&own->row.decided, lo, hi, &gap)) {
        rc = add_runs(a, own, &own->row.unnamed, gap.lo, gap.hi, false, first, err);
        sb_ranges_add(&own->row.holes, gap.lo, gap.hi);
        lo = gap.hi + 1;
    }
    return rc;
}

static int add_named(struct apply *a, struct stream_state *own, uint64_t seq, struct sb_span string,
                     bool *first, struct sb_err *err)
{
    struct sb_buf op_id = {0};
    int rc;

    if (!dedupe_hole_keeps(true, sb_ranges_has(&own->row.decided, seq), true))
        return 0;
    sb_json_unescape(string, &op_id);
    rc = store_hole_op_add(a->store, own->row.sn, seq, sb_buf_span(&op_id), err);
    sb_buf_free(&op_id);
    return rc == 0 ? add_runs(a, own, &own->row.holes, seq, seq, true, first, err) : rc;
}

/* Runs of numbers without an operation are kept as runs, the others one by one. */
static int add_listed(struct apply *a, struct stream_state *own, struct sb_err *err)
{
    const struct sb_batch *batch = a->batch;
    bool first = true;
    int rc = 0;

    for (size_t i = 0, end; rc == 0 && i < batch->op_count; i = end) {
        end = i + 1;
        if (batch->ops[i].len > 0) {
            rc = add_named(a, own, batch->first_seq + i, batch->ops[i], &first, err);
            continue;
        }
        while (end < batch->op_count && batch->ops[end].len == 0)
            end++;
        rc = add_unnamed(a, own, batch->first_seq + i, batch->first_seq + end - 1, &first, err);
    }
    return rc;
}

int apply_hole(struct apply *a, struct stream_state *own, struct sb_err *err)
{
    const struct sb_batch *batch = a->batch;
    uint64_t count = batch->last_seq - batch->first_seq + 1;
    uint64_t known = count_known(&own->row, batch->first_seq, batch->last_seq);
    bool first = true;
    int rc;

    if (sb_class_ordered(batch->stream.class) && batch->op_count > 0)
        rc = add_listed(a, own, err);
    else
        rc = add_unnamed(a, own, batch->first_seq, batch->last_seq, &first, err);
    if (rc != 0)
        return rc;
    a->reply->accepted = count - known;
    a->reply->duplicates = known;
    a->new_hole = known < count;
    a->tally.holes += count - known;
    stream_cache_touch(a->cache, own);
    if (a->new_hole) {
        sb_buf_clear(&a->members);
        sb_buf_add_fmt(&a->members, "\"stream\":\"%s\",\"epoch\":\"%s\",\"first_seq\":%llu",
                       a->reply->stream, batch->epoch, (unsigned long long)batch->first_seq);
        sb_buf_add_fmt(&a->members, ",\"last_seq\":%llu,\"reason\":\"%s\"",
                       (unsigned long long)batch->last_seq, sb_hole_reason_name(batch->reason));
        events_raise(a->events, batch->device, EVENT_HOLE, a->now, sb_buf_span(&a->members));
    }
    return 0;
}
