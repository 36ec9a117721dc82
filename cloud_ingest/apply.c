#include "apply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/rules.h"
#include "limits.h"
#include "text.h"

void apply_init(struct apply *a, struct store *store, struct stream_cache *cache,
                const struct mapping_set *mappings, const struct tables *tables,
                struct events *events, const struct ingest_config *config)
{
    *a = (struct apply){
        .store = store,
        .cache = cache,
        .mappings = mappings,
        .tables = tables,
        .events = events,
        .config = config,
    };
}

void apply_fini(struct apply *a)
{
    apply_sensors_fini(a);
    apply_history_fini(a);
    apply_documents_fini(a);
    written_free(&a->written);
    sb_buf_free(&a->members);
    free(a->outcome);
}

/* ---- what goes into the reply ---- */

void apply_reply_head(struct sb_reply *reply, const struct sb_batch *batch, struct sb_now now)
{
    memcpy(reply->batch_id, batch->batch_id, sizeof(reply->batch_id));
    memcpy(reply->epoch, batch->epoch, sizeof(reply->epoch));
    if (batch->stream.name[0] != '\0')
        sb_stream_print(&batch->stream, reply->stream);
    reply->first_seq = batch->first_seq;
    reply->last_seq = batch->last_seq;
    reply->server_time_us = now.wall_us;
}

void apply_retry(struct sb_reply *reply, enum sb_code code, const char *reason)
{
    reply->result = SB_RESULT_RETRY;
    reply->code = code;
    text_cut(reply->reason, sizeof(reply->reason), reason);
}

void apply_outcome(struct apply *a, size_t i, enum sb_outcome outcome)
{
    a->outcome[i] = (unsigned char)outcome;
    switch (outcome) {
    case SB_OUT_ACCEPTED:
        a->reply->accepted++;
        a->tally.accepted++;
        break;
    case SB_OUT_DUPLICATE:
        a->reply->duplicates++;
        a->tally.duplicates++;
        break;
    case SB_OUT_REVISED:
        a->reply->revised++;
        a->tally.revised++;
        break;
    case SB_OUT_REJECTED:
        a->tally.rejected++;
        break;
    case SB_OUT_CONFLICT:
        a->tally.conflicts++;
        break;
    }
}

void apply_event(struct apply *a, enum event_kind kind, uint64_t seq, const char *more)
{
    struct sb_buf *members = &a->members;

    sb_buf_clear(members);
    sb_buf_add_fmt(members, "\"stream\":\"%s\",\"epoch\":\"%s\",\"seq\":%llu", a->reply->stream,
                   a->batch->epoch, (unsigned long long)seq);
    sb_buf_add_str(members, more);
    events_raise(a->events, a->batch->device, kind, a->now, sb_buf_span(members));
}

void apply_refuse(struct apply *a, size_t i, enum sb_code code, const char *reason)
{
    sb_reply_reject(a->reply, a->batch->first_seq + i, code, reason);
    apply_outcome(a, i, SB_OUT_REJECTED);
}

/* ---- intervals ---- */

int apply_decide(struct apply *a, struct stream_state *state, uint64_t lo, uint64_t hi,
                 struct sb_err *err)
{
    int rc = 0;

    sb_ranges_add(&state->row.decided, lo, hi);
    stream_cache_touch(a->cache, state);
    if (sb_rule(SB_RULE_HOLE_KEEP))
        return 0;
    for (uint64_t seq = lo; rc == 0 && seq <= hi; seq++) {
        if (!sb_ranges_has(&state->row.holes, seq))
            continue;
        rc = store_hole_forget(a->store, state->row.sn, seq, err);
        sb_ranges_remove(&state->row.holes, seq, seq);
        sb_ranges_remove(&state->row.unnamed, seq, seq);
    }
    return rc;
}

int apply_branch(struct apply *a, struct stream_state *own, uint64_t seq,
                 struct stream_state **branch, struct sb_err *err)
{
    int rc = 0;

    for (int b = 1; rc == 0; b++) {
        rc = stream_cache_branch(a->cache, own, b, a->now_ms, branch, err);
        if (rc != 0 || (!sb_ranges_has(&(*branch)->row.decided, seq) &&
                        (*branch)->row.decided.count < LIMIT_INTERVALS))
            break;
    }
    if (rc == 0) {
        a->tally.branched++;
        apply_event(a, EVENT_BRANCH, seq, "");
    }
    return rc;
}

/* ---- free streams ---- */

/* The text of a rejected record, with the fields of its batch. These may be much longer than it,
 * and there is one copy per record: what goes beyond the limit is known by its hash alone. */
static void choose_texts(struct apply *a, size_t i, struct sb_span *fields, struct sb_span *text)
{
    size_t bytes;

    *fields = a->batch->fields;
    *text = a->batch->records[i].text;
    bytes = fields->len + text->len;
    if (bytes > LIMIT_REJECTED_BATCH - a->kept)
        *fields = *text = SB_SPAN("");
    else
        a->kept += bytes;
}

int apply_reject(struct apply *a, struct stream_state *state, uint64_t seq, size_t i,
                 const struct rejection_row *why, struct sb_err *err)
{
    struct sb_span fields, text;
    int rc;

    choose_texts(a, i, &fields, &text);
    rc = store_rejection_put(a->store, state->row.sn, seq, why, fields, text, a->now_ms, err);
    if (rc != 0)
        return rc;
    state->row.counts.rejected++;
    stream_cache_touch(a->cache, state);
    apply_refuse(a, i, why->code, why->reason);
    if (a->events_left > 0) {
        a->events_left--;
        apply_event(a, EVENT_REJECTED, seq, "");
    }
    return 0;
}

/* What of record i is kept at (state, seq), and the rejection if it is one. */
static int look(struct apply *a, const struct free_ops *ops, struct stream_state *state,
                uint64_t seq, size_t i, enum kept *kept, struct rejection_row *rejection,
                struct sb_err *err)
{
    bool same = false, found = false;
    int rc = ops->stored_at(a, state, seq, i, &same, err);

    *kept = KEPT_NONE;
    if (rc != 0 || same) {
        *kept = same ? KEPT_STORED : KEPT_NONE;
        return rc;
    }
    rc = store_rejection_get(a->store, state->row.sn, seq, &found, rejection, err);
    if (rc == 0 && found && rejection->hash == ops->hash(a, i))
        *kept = KEPT_REJECTED;
    return rc;
}

struct found {
    struct free_case facts;
    struct stream_state *where; /* of what is kept equal */
    struct rejection_row rejection;
};

/* The epoch's own number and every branch that has something there. */
static int gather(struct apply *a, const struct free_ops *ops, struct stream_state *own,
                  uint64_t seq, size_t i, struct found *f, struct sb_err *err)
{
    int rc = 0;

    for (int b = 0; rc == 0 && b <= own->branches; b++) {
        struct stream_state *state = own;
        enum kept *kept = b == 0 ? &f->facts.own : &f->facts.branch;

        if (b > 0)
            rc = stream_cache_branch(a->cache, own, b, a->now_ms, &state, err);
        if (rc != 0 || !sb_ranges_has(&state->row.decided, seq))
            continue;
        f->facts.dropped |= sb_ranges_has(&state->row.dropped, seq);
        if (f->facts.own != KEPT_NONE || f->facts.branch != KEPT_NONE)
            continue;
        rc = look(a, ops, state, seq, i, kept, &f->rejection, err);
        f->where = *kept != KEPT_NONE ? state : NULL;
    }
    return rc;
}

/* A dead letter that has become good takes the place of its rejection. */
static int revive(struct apply *a, const struct free_ops *ops, struct stream_state *state,
                  uint64_t seq, size_t i, struct sb_err *err)
{
    int rc;

    SB_CHECK(state != NULL); /* the verdict says that a rejection was found somewhere */
    rc = store_rejection_delete(a->store, state->row.sn, seq, err);
    if (rc != 0)
        return rc;
    state->row.counts.rejected--;
    stream_cache_touch(a->cache, state);
    return ops->store(a, state, seq, i, err);
}

static int place(struct apply *a, const struct free_ops *ops, struct stream_state *state,
                 uint64_t seq, size_t i, const struct rejection_row *why, struct sb_err *err)
{
    int rc =
        why == NULL ? ops->store(a, state, seq, i, err) : apply_reject(a, state, seq, i, why, err);

    return rc == 0 ? apply_decide(a, state, seq, seq, err) : rc;
}

static int act(struct apply *a, const struct free_ops *ops, struct stream_state *own, uint64_t seq,
               size_t i, const struct found *f, enum verdict verdict,
               const struct rejection_row *why, struct sb_err *err)
{
    struct stream_state *branch;
    int rc;

    switch (verdict) {
    case VERDICT_DUPLICATE:
    case VERDICT_IGNORED:
        own->row.counts.repeats++;
        stream_cache_touch(a->cache, own);
        apply_outcome(a, i, SB_OUT_DUPLICATE);
        return 0;
    case VERDICT_REJECTED_AGAIN:
        own->row.counts.repeats++;
        stream_cache_touch(a->cache, own);
        apply_refuse(a, i, f->rejection.code, f->rejection.reason);
        return 0;
    case VERDICT_UNVERIFIABLE:
        apply_refuse(a, i, SB_EUNVERIFIABLE, "the row of that number was removed by retention");
        return 0;
    case VERDICT_NOW_STORED:
        return revive(a, ops, f->where, seq, i, err);
    case VERDICT_STORE:
        return place(a, ops, own, seq, i, NULL, err);
    case VERDICT_REJECT:
        return place(a, ops, own, seq, i, why, err);
    case VERDICT_STORE_BRANCH:
    case VERDICT_REJECT_BRANCH:
        rc = apply_branch(a, own, seq, &branch, err);
        if (rc != 0)
            return rc;
        return place(a, ops, branch, seq, i, verdict == VERDICT_STORE_BRANCH ? NULL : why, err);
    case VERDICT_CONFLICT_AGAIN:
    case VERDICT_DECLARED_HOLE:
    case VERDICT_EVALUATE:
        break;
    }
    return sb_fail(err, SB_EINTERNAL, "a verdict of ordered streams on a free one");
}

int apply_free_record(struct apply *a, const struct free_ops *ops, struct stream_state *own,
                      size_t i, struct sb_err *err)
{
    uint64_t seq = a->batch->first_seq + i;
    struct rejection_row why = {.code = SB_OK};
    struct found f = {
        .facts =
            {
                .decided = sb_ranges_has(&own->row.decided, seq),
                .in_hole = sb_ranges_has(&own->row.holes, seq),
                .again = a->batch->again,
            },
    };
    int rc = 0;

    f.facts.valid = ops->read(a, i, &why);
    if (f.facts.decided)
        rc = gather(a, ops, own, seq, i, &f, err);
    if (rc != 0)
        return rc;
    if (!f.facts.valid)
        why.hash = ops->hash(a, i);
    return act(a, ops, own, seq, i, &f, dedupe_free(&f.facts), &why, err);
}

/* ---- may it? ---- */

int apply_admit(struct apply *a, const char *device, enum sb_code *code, struct sb_err *err)
{
    struct device_row row = {0};
    int rc = store_device_get(a->store, device, &row, err);

    *code = SB_OK;
    device_row_free(&row);
    if (rc != 0)
        return rc;
    if (row.revoked)
        *code = SB_EREVOKED;
    else if (!row.known && !a->config->auto_register)
        *code = SB_EUNAUTHORIZED;
    if (row.known || *code != SB_OK)
        return 0;
    rc = store_device_add(a->store, device, a->now_ms, err);
    if (rc == 0)
        events_raise(a->events, device, EVENT_REGISTERED, a->now, SB_SPAN(""));
    return rc;
}

/* The fence: a batch that was made for another ingest's boot is not looked at. */
static bool fenced(const struct apply *a)
{
    const struct sb_batch *batch = a->batch;

    return sb_rule(SB_RULE_BATCH_BOOT) && batch->boot[0] != '\0' &&
           strcmp(batch->boot, a->boot) != 0 &&
           (sb_class_ordered(batch->stream.class) || sb_rule(SB_RULE_FENCE_FREE));
}

static const struct {
    enum sb_code code;
    const char *reason;
} reasons[] = {
    {SB_EHELLO, "sent under another boot: say hello first"},
    {SB_EREVOKED, "this device is on the deny list"},
    {SB_EUNAUTHORIZED, "this device is not registered"},
    {SB_EFORBIDDEN, "this device has no binding to that user"},
    {SB_EUNKNOWN_TABLE, "this class is not served here"},
};

const char *apply_reason(enum sb_code code)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].code == code)
            return reasons[i].reason;
    return "";
}

static int may_write(struct apply *a, enum sb_code *code, struct sb_err *err)
{
    const struct sb_batch *batch = a->batch;
    bool bound = true;
    int rc = 0;

    *code = fenced(a) ? SB_EHELLO : SB_OK;
    if (*code == SB_OK && a->config->fault != NULL)
        *code = (enum sb_code)a->config->fault(a->config->fault_ctx, batch);
    if (*code == SB_OK)
        rc = apply_admit(a, batch->device, code, err);
    if (rc != 0 || *code != SB_OK)
        return rc;
    if (batch->stream.class == SB_UP_LIBRARY)
        *code = SB_EUNKNOWN_TABLE;
    else if (sb_class_has_user(batch->stream.class))
        rc = store_bound(a->store, batch->device, batch->stream.name, &bound, err);
    if (!bound)
        *code = SB_EFORBIDDEN;
    return rc;
}

/* ---- the batch ---- */

static void room_for_outcomes(struct apply *a, size_t count)
{
    if (count > a->outcome_cap) {
        a->outcome = sb_xrealloc(a->outcome, count);
        a->outcome_cap = count;
    }
}

static int dispatch(struct apply *a, struct stream_state *own, struct sb_err *err)
{
    if (a->batch->form == SB_FORM_HOLE)
        return apply_hole(a, own, err);
    switch (a->batch->stream.class) {
    case SB_UP_SENSORS:
        return apply_sensors(a, own, err);
    case SB_UP_HISTORY:
        return apply_history(a, own, err);
    case SB_UP_SETTINGS:
    case SB_UP_RECORDS:
        return apply_documents(a, own, err);
    case SB_UP_LIBRARY:
    case SB_UP_CTL:
    case SB_UP_CLASSES:
        break;
    }
    return sb_fail(err, SB_EINTERNAL, "a batch of a class that is not served");
}

/* A table that nobody declared parks the stream, as a whole and with its name, until an operator
 * declares it: what was made for it is not lost and stays in order. */
static bool know_tables(struct apply *a, struct sb_reply *reply)
{
    char unknown[SB_NAME_MAX + 1], reason[SB_REASON_MAX];

    if (a->batch->form != SB_FORM_RECORDS || !sb_class_ordered(a->batch->stream.class) ||
        apply_documents_read(a, unknown))
        return true;
    snprintf(reason, sizeof(reason), "no table %s is declared here", unknown);
    apply_retry(reply, SB_EUNKNOWN_TABLE, reason);
    return false;
}

static int find_stream(struct apply *a, struct stream_state **own, struct sb_err *err)
{
    const struct sb_batch *batch = a->batch;
    char stream[SB_STREAM_MAX + 1];
    bool fresh;
    int rc;

    sb_stream_print(&batch->stream, stream);
    rc = stream_cache_get(a->cache, batch->device, batch->epoch, stream, 0, own, err);
    if (rc != 0 || *own != NULL)
        return rc;
    rc = store_epoch_note(a->store, batch->device, batch->epoch, "", a->now_ms, &fresh, err);
    if (rc != 0)
        return rc;
    return stream_cache_make(a->cache, batch->device, batch->epoch, stream, 0, a->now_ms, own, err);
}

/* How many intervals of the set lie in lo..hi at least in part. */
static size_t intervals_in(const struct sb_ranges *set, uint64_t lo, uint64_t hi)
{
    size_t from = sb_ranges_seek(set, lo), to = sb_ranges_seek(set, hi);

    return to - from + (to < set->count && set->at[to].lo <= hi);
}

/* Checked before anything is written. One run of numbers adds at most one interval, and none where
 * it touches one; a hole on an ordered stream may fall into many, and of those that name an
 * operation and those that name none there may be many where together they are one run. */
static bool room_for_intervals(const struct apply *a, const struct stream_state *own)
{
    const struct sb_batch *batch = a->batch;
    const struct sb_ranges *set = &own->row.decided;
    uint64_t from = batch->first_seq > 1 ? batch->first_seq - 1 : 1;
    uint64_t to = batch->last_seq < SB_SEQ_MAX ? batch->last_seq + 1 : SB_SEQ_MAX;
    size_t more = 1;

    if (batch->form == SB_FORM_HOLE) {
        set = &own->row.holes;
        if (own->row.unnamed.count > set->count)
            set = &own->row.unnamed;
        if (sb_class_ordered(batch->stream.class))
            more += batch->op_count + intervals_in(&own->row.decided, from, to);
    }
    return set->count + more <= LIMIT_INTERVALS || (more == 1 && sb_ranges_touches(set, from, to));
}

static int finish(struct apply *a, struct stream_state *own, struct sb_err *err)
{
    struct sb_reply *reply = a->reply;

    if (a->batch->made > own->row.made) {
        own->row.made = a->batch->made;
        stream_cache_touch(a->cache, own);
    }
    reply->result = sb_reply_word(reply, a->new_hole);
    return store_total_add(a->store, own->device, own->stream, a->rows_added, &reply->total, err);
}

int apply_batch(struct apply *a, const struct sb_batch *batch, struct sb_reply *reply,
                bool *decided, struct sb_err *err)
{
    struct stream_state *own = NULL;
    struct sb_err why;
    enum sb_code code;
    int rc;

    a->batch = batch;
    a->reply = reply;
    a->new_hole = false;
    a->rows_added = 0;
    a->spent = a->told = a->kept = 0;
    a->chunk = a->chunk_first = 0;
    a->events_left = 1;
    *decided = false;
    apply_reply_head(reply, batch, a->now);
    rc = may_write(a, &code, err);
    if (rc != 0)
        return rc;
    if (code != SB_OK) {
        apply_retry(reply, code, apply_reason(code));
        return 0;
    }
    if (!know_tables(a, reply))
        return 0;
    rc = find_stream(a, &own, &why);
    if (rc == -SB_ELIMIT) {
        apply_retry(reply, SB_ELIMIT, why.msg);
        return 0;
    }
    if (rc != 0) {
        if (err != NULL)
            *err = why;
        return rc;
    }
    if (!room_for_intervals(a, own)) {
        apply_retry(reply, SB_ELIMIT, "too many separate runs of numbers in this stream");
        return 0;
    }
    room_for_outcomes(a, batch->record_count);
    *decided = true;
    rc = dispatch(a, own, err);
    return rc == 0 ? finish(a, own, err) : rc;
}
