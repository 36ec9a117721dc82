#include "edge_agent/settle.h"

#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/request.h"

struct settling {
    struct outbox *ob;
    struct lane *lane;
    const struct flight *flight;
    const struct sb_reply *reply;
    int64_t wall_us;
    struct settle_counts *counts;
    struct sb_err *err;
    char table[SB_NAME_MAX + 1]; /* whose upload was noted last */
};

void settle_counts_clear(struct settle_counts *counts)
{
    free(counts->seen.at);
    *counts = (struct settle_counts){0};
}

/* ---- documents ---- */

static bool of_documents(const struct lane *lane)
{
    return lane->stream.class == SB_UP_SETTINGS || lane->stream.class == SB_UP_RECORDS;
}

/* Which document is number seq about? *found is false where its row is gone. */
static int find_document(struct settling *st, uint64_t seq, bool *found, struct document_name *name,
                         char op_id[SB_ID_MAX + 1])
{
    char doc[DOCUMENT_TEXT_MAX + 1];
    int rc = outbox_row_document(st->ob, st->lane->s, seq, found, doc, op_id, st->err);

    if (rc == 0 && *found &&
        document_name_parse(name, st->lane->stream.name, sb_span_of(doc), NULL))
        rc = sb_fail(st->err, SB_ECORRUPT, "outbox: number %llu of %s is about no document",
                     (unsigned long long)seq, st->lane->name);
    return rc;
}

static int note_upload(struct settling *st, const struct document_name *name)
{
    if (strcmp(st->table, name->table) == 0)
        return 0;
    memcpy(st->table, name->table, sizeof(st->table));
    return outbox_sync_uploaded(st->ob, name->user, name->table, st->wall_us, st->err);
}

static void note_answered(struct settling *st, const struct document_name *name, uint64_t version)
{
    struct settle_seen *seen = &st->counts->seen;

    seen->at = sb_xgrow(seen->at, seen->count, sizeof(*seen->at));
    seen->at[seen->count++] = (struct settle_version){*name, version};
}

static int settle_version(struct settling *st, const struct sb_version_pair *pair)
{
    struct document_name name;
    char op_id[SB_ID_MAX + 1];
    bool found;
    int rc = find_document(st, pair->seq, &found, &name, op_id);

    if (rc < 0 || !found)
        return rc;
    note_answered(st, &name, pair->version);
    rc = documents_acked(st->ob, &name, op_id, pair->version, st->err);
    return rc < 0 ? rc : note_upload(st, &name);
}

/* V5: what was seen. */
static int settle_versions(struct settling *st, uint64_t lo, uint64_t hi)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && of_documents(st->lane) && i < st->reply->version_count; i++)
        if (st->reply->versions[i].seq >= lo && st->reply->versions[i].seq <= hi)
            rc = settle_version(st, &st->reply->versions[i]);
    return rc;
}

/* An edit that the cloud does not take is in the dead letter; what is in force there is read again.
 */
static int reread_rejected(struct settling *st, uint64_t seq)
{
    struct document_name name;
    char op_id[SB_ID_MAX + 1];
    bool found = false;
    int rc = 0;

    if (of_documents(st->lane))
        rc = find_document(st, seq, &found, &name, op_id);
    if (rc < 0 || !found)
        return rc;
    note_answered(st, &name, 0);
    return outbox_document_stale(st->ob, &name, st->err);
}

/* ---- numbers ---- */

/* lo..hi reached the cloud: stored now, or answered as a duplicate of what it has. */
static int settle_good(struct settling *st, uint64_t lo, uint64_t hi)
{
    struct lane *lane = st->lane;
    int rc = 0;

    if (lo > hi)
        return 0;
    for (size_t i = sb_ranges_seek(&lane->refused, lo);
         rc == 0 && i < lane->refused.count && lane->refused.at[i].lo <= hi; i++) {
        struct sb_range part = lane->refused.at[i];

        part.lo = part.lo > lo ? part.lo : lo;
        part.hi = part.hi < hi ? part.hi : hi;
        for (uint64_t seq = part.lo; rc == 0 && seq <= part.hi; seq++)
            rc = outbox_dead_revive(st->ob, lane->s, seq, st->err);
    }
    if (rc == 0 && sb_ranges_touches(&lane->holes, lo, hi)) {
        /* a poison record in the dead letter has a hole, not a refusal */
        for (uint64_t seq = lo; rc == 0 && seq <= hi; seq++)
            if (sb_ranges_has(&lane->holes, seq))
                rc = outbox_dead_revive(st->ob, lane->s, seq, st->err);
        if (rc == 0)
            rc = outbox_hole_settle(st->ob, lane->s, lo, hi, st->err);
        if (rc == 0)
            sb_ranges_remove(&lane->holes, lo, hi);
    }
    if (rc < 0)
        return rc;
    sb_ranges_remove(&lane->refused, lo, hi);
    sb_ranges_add(&lane->settled, lo, hi);
    lane->dirty = true;
    return 0;
}

/* A number that was answered for good before, or whose row was given up meanwhile, is left alone:
 * a late reply changes nothing. */
static bool open_row(const struct settling *st, uint64_t seq)
{
    return seq >= st->flight->lo && seq <= st->flight->hi && seq <= lane_made(st->lane) &&
           !sb_ranges_has(&st->lane->settled, seq) && !sb_ranges_has(&st->lane->holes, seq);
}

static void mark_refused(struct lane *lane, uint64_t seq)
{
    sb_ranges_add(&lane->settled, seq, seq);
    sb_ranges_add(&lane->refused, seq, seq);
    lane->dirty = true;
}

/* lo..hi is what was sent: a reply may name far more. */
static int settle_rejection(struct settling *st, const struct sb_rejection *rejection, uint64_t lo,
                            uint64_t hi)
{
    int rc = 0;

    lo = rejection->lo > lo ? rejection->lo : lo;
    hi = rejection->hi < hi ? rejection->hi : hi;
    for (uint64_t seq = lo; rc == 0 && seq <= hi; seq++) {
        if (!open_row(st, seq))
            continue;
        rc = reread_rejected(st, seq);
        if (rc == 0)
            rc = outbox_dead_add(st->ob, st->lane->s, seq, rejection->code, rejection->reason,
                                 st->wall_us, st->err);
        if (rc == 0)
            mark_refused(st->lane, seq);
        st->counts->rejected++;
    }
    return rc;
}

/* The operation waits with what the cloud said (V4). */
static int keep_conflict(struct settling *st, const struct sb_conflict *conflict,
                         const struct document_name *name)
{
    struct sb_buf server = {0};
    int rc;

    sb_document_encode(&conflict->server, name->id, conflict->as_of, &server);
    rc = outbox_conflict_add(st->ob, st->lane->s, conflict->seq, name, conflict,
                             sb_buf_span(&server), st->wall_us, st->err);
    sb_buf_free(&server);
    if (rc == 0 && conflict->policy != SB_POLICY_NONE)
        rc = outbox_policy_set(st->ob, name->user, name->table, conflict->policy,
                               sb_buf_span(&conflict->arrays), st->err);
    return rc < 0 ? rc : note_upload(st, name);
}

static int settle_conflict(struct settling *st, const struct sb_conflict *conflict)
{
    struct document_name name;
    char op_id[SB_ID_MAX + 1];
    bool found = false;
    int rc;

    if (!open_row(st, conflict->seq))
        return 0;
    rc = find_document(st, conflict->seq, &found, &name, op_id);
    if (rc == 0 && !found)
        rc = sb_fail(st->err, SB_ECORRUPT, "outbox: number %llu of %s has no document",
                     (unsigned long long)conflict->seq, st->lane->name);
    if (rc == 0)
        rc = keep_conflict(st, conflict, &name);
    if (rc == 0) {
        note_answered(st, &name, 0);
        mark_refused(st->lane, conflict->seq);
    }
    st->counts->conflict++;
    return rc;
}

/* Everything of the answered range that is neither rejected nor in conflict is good. */
static int settle_rest(struct settling *st, uint64_t lo, uint64_t hi)
{
    const struct sb_reply *reply = st->reply;
    struct sb_ranges bad = {0};
    struct sb_range good;
    uint64_t from = lo;
    int rc = 0;

    for (size_t i = 0; i < reply->rejected_count; i++)
        sb_ranges_add(&bad, reply->rejected[i].lo, reply->rejected[i].hi);
    for (size_t i = 0; i < reply->conflict_count; i++)
        sb_ranges_add(&bad, reply->conflicts[i].seq, reply->conflicts[i].seq);
    while (rc == 0 && from <= hi && sb_ranges_gap(&bad, from, hi, &good)) {
        rc = settle_good(st, good.lo, good.hi);
        from = good.hi + 1;
    }
    sb_ranges_free(&bad);
    return rc;
}

static int settle_rows(struct settling *st, uint64_t lo, uint64_t hi)
{
    const struct sb_reply *reply = st->reply;
    int rc = settle_versions(st, lo, hi);

    for (size_t i = 0; rc == 0 && i < reply->rejected_count; i++)
        rc = settle_rejection(st, &reply->rejected[i], lo, hi);
    for (size_t i = 0; rc == 0 && i < reply->conflict_count; i++)
        rc = settle_conflict(st, &reply->conflicts[i]);
    return rc < 0 ? rc : settle_rest(st, lo, hi);
}

static int settle_again(struct settling *st)
{
    const struct sb_reply *reply = st->reply;
    uint64_t seq = st->flight->lo;
    int rc;

    if (reply->rejected_count > 0)
        return outbox_dead_refused(st->ob, st->lane->s, seq, reply->rejected[0].code,
                                   reply->rejected[0].reason, st->err);
    if (reply->first_seq > seq || reply->last_seq < seq)
        return 0;
    rc = outbox_dead_revive(st->ob, st->lane->s, seq, st->err);
    return rc < 0 ? rc : settle_good(st, seq, seq);
}

static int settle_hole(struct settling *st, uint64_t lo, uint64_t hi)
{
    struct lane *lane = st->lane;
    int rc = outbox_hole_settle(st->ob, lane->s, lo, hi, st->err);

    if (rc < 0)
        return rc;
    sb_ranges_remove(&lane->holes, lo, hi);
    sb_ranges_add(&lane->settled, lo, hi);
    lane->dirty = true;
    return 0;
}

int settle_reply(struct outbox *ob, struct lane *lane, const struct flight *flight,
                 const struct sb_reply *reply, int64_t wall_us, struct settle_counts *counts,
                 struct sb_err *err)
{
    struct settling st = {.ob = ob,
                          .lane = lane,
                          .flight = flight,
                          .reply = reply,
                          .wall_us = wall_us,
                          .counts = counts,
                          .err = err};
    uint64_t lo = reply->first_seq > flight->lo ? reply->first_seq : flight->lo;
    uint64_t hi = reply->last_seq < flight->hi ? reply->last_seq : flight->hi;

    SB_CHECK(reply->result != SB_RESULT_RETRY);
    if (hi > lane_made(lane))
        hi = lane_made(lane);
    if (reply->first_seq == 0 || lo > hi)
        return 0;
    if (flight->kind != FLIGHT_HOLE) {
        counts->stored += reply->accepted;
        counts->duplicate += reply->duplicates;
        counts->revised += reply->revised;
    }
    switch (flight->kind) {
    case FLIGHT_ROWS:
        return settle_rows(&st, lo, hi);
    case FLIGHT_AGAIN:
        return settle_again(&st);
    case FLIGHT_HOLE:
        return settle_hole(&st, lo, hi);
    }
    return 0;
}

int settle_write(struct outbox *ob, struct lanes *lanes, struct sb_err *err)
{
    for (size_t i = 0; i < lanes->count; i++) {
        struct lane *lane = &lanes->at[i];
        int rc;

        if (!lane->dirty)
            continue;
        rc = outbox_set_settled(ob, lane->s, &lane->settled, &lane->refused, err);
        if (rc < 0)
            return rc;
        lane->dirty = false;
    }
    return 0;
}
