#include "edge_agent/reconcile.h"

#include <string.h>

#include "common/rules.h"
#include "edge_agent/outbox_docs.h"

static const struct sb_standing *standing_of(const struct sb_welcome *welcome,
                                             const struct lane *lane)
{
    for (size_t i = 0; i < welcome->standing_count; i++)
        if (strcmp(welcome->standings[i].epoch, lane->epoch) == 0 &&
            strcmp(welcome->standings[i].stream, lane->name) == 0)
            return &welcome->standings[i];
    return NULL;
}

/* Numbers we call settled that the cloud has never heard of (no longer knows). */
static void find_gap(const struct lane *lane, const struct sb_standing *standing,
                     struct sb_ranges *gap)
{
    sb_ranges_copy(gap, &lane->settled);
    if (standing != NULL) {
        sb_ranges_remove_all(gap, &standing->decided);
        sb_ranges_remove_all(gap, &standing->holes);
    }
}

/* ---- a: the cloud was rolled back ---- */

/* All rows that are kept and were answered stored or duplicate count as unsettled again; they will
 * be sent and compared, which doubles nothing. */
static int unsettle_rows(struct outbox *ob, struct lane *lane, const struct sb_ranges *gap,
                         uint64_t *unsettled, struct sb_err *err)
{
    struct sb_ranges rows = {0}, lost = {0};
    uint64_t before = sb_ranges_total(&lane->settled);
    int rc = outbox_row_ranges(ob, lane->s, &rows, err);

    if (rc == 0) {
        if (sb_rule(SB_RULE_SKIP_CONFLICTS))
            sb_ranges_remove_all(&rows, &lane->refused);
        if (!sb_rule(SB_RULE_RESEND_ALL)) { /* only those of the gap */
            sb_ranges_copy(&lost, &rows);
            sb_ranges_remove_all(&lost, gap);
            sb_ranges_remove_all(&rows, &lost);
        }
        sb_ranges_remove_all(&lane->settled, &rows);
        if (!sb_rule(SB_RULE_SKIP_CONFLICTS))
            sb_ranges_remove_all(&lane->refused, &rows);
        lane->dirty = sb_rule(SB_RULE_DURABLE);
        *unsettled += before - sb_ranges_total(&lane->settled);
        if (before > sb_ranges_total(&lane->settled))
            rc = outbox_set_resent(ob, lane->s, sb_ranges_max(&rows), err);
    }
    sb_ranges_free(&rows);
    sb_ranges_free(&lost);
    return rc;
}

/* One number that is in no row: given up with its op_id (dead letter, conflict), or purged. */
static int reason_of(struct outbox *ob, const struct lane *lane, uint64_t seq,
                     enum sb_hole_reason *reason, char op_id[SB_ID_MAX + 1], struct sb_err *err)
{
    bool found = false;
    int rc = 0;

    op_id[0] = '\0';
    if (sb_ranges_has(&lane->refused, seq))
        rc = outbox_given_up(ob, lane->s, seq, &found, op_id, err);
    *reason = found ? SB_HOLE_DEAD : SB_HOLE_PURGED;
    return rc;
}

struct hole_run {
    uint64_t lo, hi; /* lo 0 = none open */
    enum sb_hole_reason reason;
    struct sb_buf ops;
};

static int end_run(struct outbox *ob, struct lane *lane, struct hole_run *run, struct sb_err *err)
{
    bool named = lane->ordered && run->reason != SB_HOLE_PURGED;
    int rc;

    if (run->lo == 0)
        return 0;
    if (named)
        sb_buf_add_char(&run->ops, ']');
    rc = outbox_hole_add(ob, lane->s, run->lo, run->hi, run->reason,
                         named ? sb_buf_span(&run->ops) : SB_SPAN(""), err);
    if (rc == 0) {
        sb_ranges_add(&lane->holes, run->lo, run->hi);
        sb_ranges_remove(&lane->settled, run->lo, run->hi);
        lane->dirty = true;
    }
    run->lo = 0;
    sb_buf_clear(&run->ops);
    return rc;
}

static int extend_run(struct outbox *ob, struct lane *lane, struct hole_run *run, uint64_t seq,
                      struct sb_err *err)
{
    char op_id[SB_ID_MAX + 1];
    enum sb_hole_reason reason;
    int rc = reason_of(ob, lane, seq, &reason, op_id, err);

    if (rc == 0 && (run->lo == 0 || run->hi + 1 != seq || run->reason != reason))
        rc = end_run(ob, lane, run, err);
    if (rc < 0)
        return rc;
    sb_buf_add_char(&run->ops, run->lo == 0 ? '[' : ',');
    if (op_id[0] != '\0')
        sb_buf_add_json(&run->ops, sb_span_of(op_id));
    else
        sb_buf_add_str(&run->ops, "null");
    run->lo = run->lo == 0 ? seq : run->lo;
    run->hi = seq;
    run->reason = reason;
    return 0;
}

/* A long purged range is one hole, not a look at each of its numbers. */
static int declare_range(struct outbox *ob, struct lane *lane, struct hole_run *run,
                         struct sb_range range, struct sb_err *err)
{
    int rc = 0;

    for (uint64_t seq = range.lo; rc == 0 && seq <= range.hi; seq++) {
        size_t i = sb_ranges_seek(&lane->refused, seq);
        uint64_t free_to = i < lane->refused.count ? lane->refused.at[i].lo - 1 : range.hi;

        rc = extend_run(ob, lane, run, seq, err);
        if (rc == 0 && run->reason == SB_HOLE_PURGED && free_to > seq) {
            run->hi = free_to < range.hi ? free_to : range.hi;
            seq = run->hi;
        }
    }
    return rc;
}

static int declare_gap(struct outbox *ob, struct lane *lane, struct sb_ranges *gap,
                       uint64_t *declared, struct sb_err *err)
{
    struct sb_ranges rows = {0};
    struct hole_run run = {0};
    int rc = outbox_row_ranges(ob, lane->s, &rows, err);

    if (rc == 0) {
        sb_ranges_remove_all(&rows, &lane->refused); /* a refused record has no row to send */
        sb_ranges_remove_all(gap, &rows);
        *declared += sb_ranges_total(gap);
    }
    for (size_t i = 0; rc == 0 && i < gap->count; i++)
        rc = declare_range(ob, lane, &run, gap->at[i], err);
    if (rc == 0)
        rc = end_run(ob, lane, &run, err);
    sb_ranges_free(&rows);
    sb_buf_free(&run.ops);
    return rc;
}

static int cloud_was_restored(struct outbox *ob, struct lane *lane,
                              const struct sb_standing *standing, struct reconcile_result *result,
                              struct sb_err *err)
{
    struct sb_ranges gap = {0};
    int rc;

    find_gap(lane, standing, &gap);
    rc = unsettle_rows(ob, lane, &gap, &result->unsettled, err);
    if (rc == 0 && sb_rule(SB_RULE_GAP_HOLES))
        rc = declare_gap(ob, lane, &gap, &result->holes, err);
    sb_ranges_free(&gap);
    return rc;
}

/* Without the rule that a row is sent though its number is a hole in the cloud, that hole would
 * count as an answer. */
static void settle_holed(struct lane *lane, const struct sb_standing *standing)
{
    struct sb_ranges holed = {0};

    if (standing == NULL)
        return;
    sb_ranges_copy(&holed, &standing->holes);
    sb_ranges_remove_all(&holed, &standing->decided);
    sb_ranges_remove_all(&holed, &lane->holes);
    if (sb_ranges_max(&holed) > lane_made(lane))
        sb_ranges_remove(&holed, lane_made(lane) + 1, sb_ranges_max(&holed));
    sb_ranges_add_all(&lane->settled, &holed);
    lane->dirty = true;
    sb_ranges_free(&holed);
}

/* ---- b: this device was rolled back ---- */

static bool decided_beyond_made(struct lanes *lanes, const struct sb_welcome *welcome)
{
    for (size_t i = 0; i < welcome->standing_count; i++) {
        const struct sb_standing *standing = &welcome->standings[i];
        const struct lane *lane;

        if (strcmp(standing->epoch, lanes->epoch) != 0)
            continue;
        lane = lanes_find_named(lanes, standing->epoch, standing->stream);
        if (sb_ranges_max(&standing->decided) > (lane != NULL ? lane_made(lane) : 0))
            return true;
    }
    return false;
}

/* The welcome's pair is the receipt. Of another boot, what was seen since the last pull ended may
 * never have been (V6). */
static int take_receipt(struct outbox *ob, const struct sb_welcome *welcome, struct sb_err *err)
{
    char boot[SB_UUID_LEN + 1];
    uint64_t commit;
    int rc = outbox_receipt_get(ob, boot, &commit, err);

    if (rc == 0 && strcmp(boot, welcome->boot) != 0 && sb_rule(SB_RULE_REWIND))
        rc = outbox_documents_forget_loose(ob, err);
    return rc < 0 ? rc : outbox_receipt_set(ob, welcome->boot, welcome->commit, err);
}

int reconcile_welcome(struct outbox *ob, struct lanes *lanes, const struct sb_welcome *welcome,
                      struct sb_rng *rng, int64_t wall_us, struct reconcile_result *result,
                      struct sb_err *err)
{
    bool restored = welcome->restored && sb_rule(SB_RULE_RECEIPT);
    char epoch[SB_EPOCH_LEN + 1];
    int rc;

    *result = (struct reconcile_result){.restored = restored};
    /* what other processes enqueued since the hello counts: made is as of now */
    if ((rc = lanes_refresh(lanes, ob, err)) < 0)
        return rc;
    for (size_t i = 0; restored && i < lanes->count; i++) {
        struct lane *lane = &lanes->at[i];

        rc = cloud_was_restored(ob, lane, standing_of(welcome, lane), result, err);
        if (rc < 0)
            return rc;
    }
    for (size_t i = 0; !sb_rule(SB_RULE_SEND_HOLED) && i < lanes->count; i++)
        settle_holed(&lanes->at[i], standing_of(welcome, &lanes->at[i]));
    if (decided_beyond_made(lanes, welcome) && sb_rule(SB_RULE_NEW_EPOCH)) {
        if ((rc = outbox_new_epoch(ob, rng, wall_us, epoch, err)) < 0)
            return rc;
        result->new_epoch = true;
    }
    for (size_t i = 0; i < lanes->count; i++) {
        struct lane *lane = &lanes->at[i];

        if (lane->dirty &&
            (rc = outbox_set_settled(ob, lane->s, &lane->settled, &lane->refused, err)) < 0)
            return rc;
        lane->dirty = false;
    }
    if (restored && (rc = outbox_tell_again(ob, err)) < 0)
        return rc;
    if ((rc = take_receipt(ob, welcome, err)) < 0 ||
        (rc = outbox_tables_set(ob, welcome->tables, welcome->table_count, err)) < 0)
        return rc;
    return lanes_refresh(lanes, ob, err);
}
