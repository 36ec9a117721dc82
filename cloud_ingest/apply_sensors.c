#include "apply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/rules.h"
#include "limits.h"
#include "text.h"

/* Readings. New numbers, the usual case, are recognised by interval and inserted without looking at
 * anything else; only what touches a decided number is judged record by record. */

#define SPAN_JITTER_MS 500 /* clock offsets that differ by less belong to one span */

/* ---- the mapping of a fields list, remembered ---- */

static struct plan_slot *free_slot(struct apply *a)
{
    struct plan_slot *oldest = &a->plans[0];

    for (size_t i = 0; i < LIMIT_PLANS; i++) {
        if (a->plans[i].fields.len == 0)
            return &a->plans[i];
        if (a->plans[i].used < oldest->used)
            oldest = &a->plans[i];
    }
    plan_fini(&oldest->plan);
    return oldest;
}

static const struct plan *plan_for(struct apply *a)
{
    const struct sb_batch *batch = a->batch;
    const struct mapping *mapping =
        a->mappings != NULL ? mapping_set_get(a->mappings, batch->stream.name) : NULL;
    struct plan_slot *slot;

    for (size_t i = 0; i < LIMIT_PLANS; i++) {
        slot = &a->plans[i];
        if (slot->mapping == mapping && sb_span_eq(sb_buf_span(&slot->fields), batch->fields)) {
            slot->used = ++a->plan_clock;
            return &slot->plan;
        }
    }
    slot = free_slot(a);
    sb_buf_clear(&slot->fields);
    sb_buf_add_span(&slot->fields, batch->fields);
    slot->mapping = mapping;
    slot->used = ++a->plan_clock;
    plan_make(&slot->plan, mapping, batch->field_names, batch->field_count);
    return &slot->plan;
}

void apply_sensors_fini(struct apply *a)
{
    for (size_t i = 0; a->plans != NULL && i < LIMIT_PLANS; i++) {
        plan_fini(&a->plans[i].plan);
        sb_buf_free(&a->plans[i].fields);
    }
    free(a->plans);
    if (a->reading != NULL)
        reading_free(a->reading);
    free(a->reading);
    free(a->stored);
}

static void prepare(struct apply *a)
{
    if (a->plans == NULL) {
        a->plans = sb_xcalloc(LIMIT_PLANS, sizeof(*a->plans));
        a->reading = sb_xcalloc(1, sizeof(*a->reading));
        a->stored = sb_xcalloc(1, sizeof(*a->stored));
    }
    a->plan = plan_for(a);
}

/* ---- clocks ---- */

static bool same_clock(const struct clock_span *x, const struct clock_span *y)
{
    int64_t apart = x->offset_ms - y->offset_ms;

    return strcmp(x->device_boot, y->device_boot) == 0 && x->quality == y->quality &&
           x->has_offset == y->has_offset &&
           (!x->has_offset || (apart < SPAN_JITTER_MS && apart > -SPAN_JITTER_MS));
}

/* Makes state->span the one that lies nearest before seq, if there is one. */
static int find_span(struct apply *a, struct stream_state *state, uint64_t seq, bool *found,
                     struct sb_err *err)
{
    *found = state->span.first > 0 && state->span.last + 1 == seq;
    if (*found)
        return 0;
    return store_span_before(a->store, state->row.sn, seq, found, &state->span, err);
}

static int note_clock(struct apply *a, struct stream_state *state, uint64_t lo, uint64_t hi,
                      const struct sb_chunk *chunk, struct sb_err *err)
{
    struct clock_span span = {.first = lo, .last = hi, .quality = chunk->quality};
    bool found;
    int rc;

    if (chunk->device_boot[0] == '\0' && !chunk->has_times)
        return 0;
    memcpy(span.device_boot, chunk->device_boot, sizeof(span.device_boot));
    span.has_offset = chunk->has_times;
    span.offset_ms = chunk->has_times ? chunk->wall_us / 1000 - chunk->mono_ms : 0;
    rc = find_span(a, state, lo, &found, err);
    if (rc != 0 || (found && state->span.last >= lo)) /* a dead letter: noted the first time */
        return rc;
    if (found && state->span.last + 1 == lo && same_clock(&state->span, &span)) {
        state->span.last = hi;
        return store_span_extend(a->store, state->row.sn, state->span.first, hi, err);
    }
    state->span = span;
    return store_span_add(a->store, state->row.sn, &span, err);
}

/* The chunk of record i, walking on from the last one asked for; NULL without chunks. */
static const struct sb_chunk *chunk_of(struct apply *a, size_t i)
{
    const struct sb_batch *batch = a->batch;

    if (batch->chunk_count == 0)
        return NULL;
    while (i >= a->chunk_first + batch->chunks[a->chunk].n)
        a->chunk_first += batch->chunks[a->chunk++].n;
    return &batch->chunks[a->chunk];
}

/* The clocks of records from..to - 1, chunk by chunk. */
static int note_clocks(struct apply *a, struct stream_state *state, size_t from, size_t to,
                       struct sb_err *err)
{
    uint64_t first = a->batch->first_seq;
    int rc = 0;

    while (rc == 0 && from < to) {
        const struct sb_chunk *chunk = chunk_of(a, from);
        size_t end = chunk == NULL ? to : a->chunk_first + chunk->n;

        end = end < to ? end : to;
        if (chunk != NULL)
            rc = note_clock(a, state, first + from, first + end - 1, chunk, err);
        from = end;
    }
    return rc;
}

/* ---- new numbers ---- */

static bool read_record(struct apply *a, size_t i, struct rejection_row *why)
{
    const struct sb_record *record = &a->batch->records[i];

    if (record->text.len > a->config->limits.max_record_bytes) {
        why->code = SB_ETOO_LARGE;
        snprintf(why->reason, sizeof(why->reason), "%zu bytes, at most %llu are taken",
                 record->text.len, (unsigned long long)a->config->limits.max_record_bytes);
        return false;
    }
    if (reading_read(a->reading, a->plan, record, a->batch->cells))
        return true;
    why->code = a->reading->code;
    text_cut(why->reason, sizeof(why->reason), a->reading->reason);
    return false;
}

static uint64_t hash_record(struct apply *a, size_t i)
{
    return reading_hash(a->plan, &a->batch->records[i], a->batch->cells);
}

/* Is a frame with this identity stored? */
static int frame_known(struct apply *a, uint64_t hash, bool *known, struct sb_err *err)
{
    struct reading_place places[STORE_READING_IDS];
    const char *type = a->batch->stream.name;
    size_t count;
    bool found;
    int rc = store_reading_ids(a->store, a->batch->device, type, hash, places, &count, err);

    *known = false;
    for (size_t i = 0; rc == 0 && !*known && i < count; i++) {
        rc = store_reading_get(a->store, type, places[i].sn, places[i].seq, &found, a->stored, err);
        *known = rc == 0 && found && reading_same_identity(a->reading, a->plan, a->stored);
    }
    return rc;
}

static int put_duplicate(struct apply *a, struct stream_state *state, uint64_t seq, size_t i,
                         struct sb_err *err)
{
    int rc = store_dup_add(a->store, state->row.sn, seq, hash_record(a, i), a->now_ms, err);

    state->row.counts.duplicates++;
    apply_outcome(a, i, SB_OUT_DUPLICATE);
    return rc;
}

static int put_row(struct apply *a, struct stream_state *state, uint64_t seq, size_t i,
                   struct sb_err *err)
{
    const char *type = a->batch->stream.name;
    uint64_t hash;
    bool identified = reading_identity(a->reading, a->plan, &hash), known = false;
    int rc = identified ? frame_known(a, hash, &known, err) : 0;

    if (rc != 0 || known)
        return rc != 0 ? rc : put_duplicate(a, state, seq, i, err);
    rc = store_reading_put(a->store, a->plan, type, state->row.sn, seq, a->reading, a->now_ms, err);
    if (rc == 0 && identified)
        rc = store_reading_id_add(a->store, a->batch->device, type, hash, state->row.sn, seq, err);
    if (rc != 0)
        return rc;
    state->row.counts.stored++;
    a->rows_added++;
    apply_outcome(a, i, SB_OUT_ACCEPTED);
    return 0;
}

static int put_record(struct apply *a, struct stream_state *state, size_t i, struct sb_err *err)
{
    uint64_t seq = a->batch->first_seq + i;
    struct rejection_row why = {.code = SB_OK};

    if (read_record(a, i, &why))
        return put_row(a, state, seq, i, err);
    why.hash = hash_record(a, i);
    return apply_reject(a, state, seq, i, &why, err);
}

/* Records from..to - 1, none of whose numbers is decided. */
static int put_new(struct apply *a, struct stream_state *own, size_t from, size_t to,
                   struct sb_err *err)
{
    uint64_t first = a->batch->first_seq;
    int rc = note_clocks(a, own, from, to, err);

    for (size_t i = from; rc == 0 && i < to; i++)
        rc = put_record(a, own, i, err);
    return rc == 0 ? apply_decide(a, own, first + from, first + to - 1, err) : rc;
}

/* ---- repeats and other content ---- */

/* The device was booted otherwise when it made the stored row: it cannot be the same record. */
static int other_boot(struct apply *a, const struct stream_state *state, uint64_t seq, size_t i,
                      bool *other, struct sb_err *err)
{
    const struct sb_chunk *chunk = chunk_of(a, i);
    struct clock_span span;
    bool found;
    int rc;

    *other = false;
    if (chunk == NULL || chunk->device_boot[0] == '\0')
        return 0;
    rc = store_span_before(a->store, state->row.sn, seq, &found, &span, err);
    if (rc == 0 && found && span.last >= seq && span.device_boot[0] != '\0')
        *other = strcmp(span.device_boot, chunk->device_boot) != 0;
    return rc;
}

static int stored_at(struct apply *a, struct stream_state *state, uint64_t seq, size_t i,
                     bool *same, struct sb_err *err)
{
    bool found, other;
    int rc = store_reading_get(a->store, a->batch->stream.name, state->row.sn, seq, &found,
                               a->stored, err);

    if (rc == 0 && !found) /* a frame that is stored under another number */
        return store_dup_has(a->store, state->row.sn, seq, hash_record(a, i), same, err);
    *same = rc == 0 && reading_matches(a->plan, &a->batch->records[i], a->batch->cells, a->stored);
    if (!*same)
        return rc;
    rc = other_boot(a, state, seq, i, &other, err);
    *same = !other;
    return rc;
}

static int store_one(struct apply *a, struct stream_state *state, uint64_t seq, size_t i,
                     struct sb_err *err)
{
    const struct sb_chunk *chunk = chunk_of(a, i);
    int rc;

    /* A dead letter may be anywhere: that the span before it ends there does not say that no other
     * begins at it. */
    state->span = (struct clock_span){.first = 0};
    rc = chunk != NULL ? note_clock(a, state, seq, seq, chunk, err) : 0;
    if (rc == 0)
        rc = put_row(a, state, seq, i, err);
    stream_cache_touch(a->cache, state);
    return rc;
}

static const struct free_ops sensor_ops = {
    .read = read_record,
    .stored_at = stored_at,
    .store = store_one,
    .hash = hash_record,
};

/* ---- the batch ---- */

/* How many records from i on are new. */
static size_t new_run(const struct apply *a, const struct stream_state *own, size_t i)
{
    uint64_t seq = a->batch->first_seq + i;
    struct sb_range gap;

    if (!sb_ranges_gap(&own->row.decided, seq, a->batch->last_seq, &gap) || gap.lo != seq)
        return 0;
    if (!sb_rule(SB_RULE_FREE_HOLE) && sb_ranges_touches(&own->row.holes, gap.lo, gap.hi))
        return 0;
    return (size_t)(gap.hi - gap.lo + 1);
}

int apply_sensors(struct apply *a, struct stream_state *own, struct sb_err *err)
{
    size_t run, count = a->batch->record_count;
    int rc = 0;

    prepare(a);
    for (size_t i = 0; rc == 0 && i < count; i += run) {
        run = new_run(a, own, i);
        if (run > 0) {
            rc = put_new(a, own, i, i + run, err);
        } else {
            rc = apply_free_record(a, &sensor_ops, own, i, err);
            run = 1;
        }
    }
    return rc;
}
