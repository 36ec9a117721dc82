#include "edge_agent/lanes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/hello.h"
#include "common/rules.h"

static void lane_fini(struct lane *lane)
{
    sb_ranges_free(&lane->settled);
    sb_ranges_free(&lane->refused);
    sb_ranges_free(&lane->holes);
    sb_ranges_free(&lane->flying);
}

void lanes_free(struct lanes *lanes)
{
    for (size_t i = 0; i < lanes->count; i++)
        lane_fini(&lanes->at[i]);
    free(lanes->at);
    free(lanes->epochs);
    *lanes = (struct lanes){0};
}

struct lane *lanes_find(struct lanes *lanes, int64_t s)
{
    for (size_t i = 0; i < lanes->count; i++)
        if (lanes->at[i].s == s)
            return &lanes->at[i];
    return NULL;
}

struct lane *lanes_find_named(const struct lanes *lanes, const char *epoch, const char *stream)
{
    for (size_t i = 0; i < lanes->count; i++)
        if (strcmp(lanes->at[i].epoch, epoch) == 0 && strcmp(lanes->at[i].name, stream) == 0)
            return &lanes->at[i];
    return NULL;
}

static bool comes_before(const struct lane *lane, const struct outbox_stream *stream,
                         const char *name)
{
    if (lane->epoch_n != stream->epoch_n)
        return lane->epoch_n < stream->epoch_n;
    return strcmp(lane->name, name) < 0;
}

static struct lane *insert_lane(struct lanes *lanes, const struct outbox_stream *stream)
{
    char name[SB_STREAM_MAX + 1];
    struct lane *lane;
    size_t i = lanes->count;

    sb_stream_print(&stream->stream, name);
    if (lanes->count == lanes->cap) {
        lanes->cap = lanes->cap > 0 ? lanes->cap * 2 : 8;
        lanes->at = sb_xrealloc(lanes->at, lanes->cap * sizeof(*lanes->at));
    }
    while (i > 0 && !comes_before(&lanes->at[i - 1], stream, name))
        i--;
    memmove(&lanes->at[i + 1], &lanes->at[i], (lanes->count - i) * sizeof(*lanes->at));
    lanes->count++;
    lane = &lanes->at[i];
    *lane = (struct lane){.s = stream->s,
                          .epoch_n = stream->epoch_n,
                          .stream = stream->stream,
                          .ordered = sb_class_ordered(stream->stream.class),
                          .cap = SB_BATCH_MAX_RECORDS};
    memcpy(lane->epoch, stream->epoch, sizeof(lane->epoch));
    memcpy(lane->name, name, sizeof(name));
    return lane;
}

struct loading {
    struct lanes *lanes;
    bool all; /* also what only this process writes */
    struct sb_err *err;
};

static int load_stream(void *ctx, const struct outbox_stream *stream)
{
    struct loading *loading = ctx;
    struct lane *lane = lanes_find(loading->lanes, stream->s);
    bool fresh = lane == NULL;
    int rc = 0;

    if (fresh)
        lane = insert_lane(loading->lanes, stream);
    lane->next_seq = stream->next_seq;
    lane->row_bytes = stream->row_bytes;
    if (!fresh && !loading->all)
        return 0;
    lane->dirty = false;
    sb_ranges_clear(&lane->holes);
    rc = sb_ranges_parse(&lane->settled, stream->settled, SIZE_MAX, loading->err);
    if (rc == 0)
        rc = sb_ranges_parse(&lane->refused, stream->refused, SIZE_MAX, loading->err);
    if (rc < 0)
        return sb_fail(loading->err, SB_ECORRUPT, "outbox: stream %s: damaged intervals",
                       lane->name);
    return 0;
}

static int load_hole(void *ctx, const struct outbox_hole *hole)
{
    struct loading *loading = ctx;
    struct lane *lane = lanes_find(loading->lanes, hole->s);

    if (hole->first_seq < 1 || hole->first_seq > hole->last_seq || hole->last_seq > SB_SEQ_MAX)
        return sb_fail(loading->err, SB_ECORRUPT, "outbox: a damaged hole");
    if (lane != NULL)
        sb_ranges_add(&lane->holes, hole->first_seq, hole->last_seq);
    return 0;
}

static int load_epoch(void *ctx, int64_t n, const char *epoch)
{
    struct lanes *lanes = ((struct loading *)ctx)->lanes;

    lanes->epochs = sb_xrealloc(lanes->epochs, (lanes->epoch_count + 1) * sizeof(*lanes->epochs));
    snprintf(lanes->epochs[lanes->epoch_count++], SB_EPOCH_LEN + 1, "%s", epoch);
    snprintf(lanes->epoch, sizeof(lanes->epoch), "%s", epoch);
    lanes->epoch_n = n;
    return 0;
}

static int load(struct lanes *lanes, struct outbox *ob, bool all, struct sb_err *err)
{
    struct loading loading = {lanes, all, err};
    int rc;

    lanes->epoch_count = 0;
    if ((rc = outbox_epochs(ob, load_epoch, &loading, err)) < 0 ||
        (rc = outbox_streams(ob, load_stream, &loading, err)) < 0)
        return rc;
    return all ? outbox_holes(ob, load_hole, &loading, err) : 0;
}

int lanes_load(struct lanes *lanes, struct outbox *ob, struct sb_err *err)
{
    return load(lanes, ob, true, err);
}

int lanes_refresh(struct lanes *lanes, struct outbox *ob, struct sb_err *err)
{
    return load(lanes, ob, false, err);
}

uint64_t lane_made(const struct lane *lane)
{
    return lane->next_seq - 1;
}

uint64_t lane_pending(const struct lane *lane)
{
    return lane_made(lane) - sb_ranges_total(&lane->settled);
}

uint64_t lanes_pending_named(const struct lanes *lanes, const char *name)
{
    uint64_t pending = 0;

    for (size_t i = 0; i < lanes->count; i++)
        if (strcmp(lanes->at[i].name, name) == 0)
            pending += lane_pending(&lanes->at[i]);
    return pending;
}

uint64_t lanes_pending(const struct lanes *lanes)
{
    uint64_t pending = 0;

    for (size_t i = 0; i < lanes->count; i++)
        pending += lane_pending(&lanes->at[i]);
    return pending;
}

static int64_t kept_bytes(const struct lane *lane, uint64_t first_row)
{
    uint64_t made = lane_made(lane), settled = 0;

    for (size_t i = sb_ranges_seek(&lane->settled, first_row); i < lane->settled.count; i++) {
        const struct sb_range *part = &lane->settled.at[i];

        settled += part->hi - (part->lo > first_row ? part->lo : first_row) + 1;
    }
    return (int64_t)((double)lane->row_bytes * (double)settled / (double)(made - first_row + 1));
}

int lanes_kept_bytes(const struct lanes *lanes, struct outbox *ob, int64_t *bytes,
                     struct sb_err *err)
{
    *bytes = 0;
    for (size_t i = 0; i < lanes->count; i++) {
        uint64_t first_row;
        int rc = outbox_first_row(ob, lanes->at[i].s, &first_row, err);

        if (rc < 0)
            return rc;
        if (first_row > 0 && first_row <= lane_made(&lanes->at[i]))
            *bytes += kept_bytes(&lanes->at[i], first_row);
    }
    return 0;
}

/* The first run that is in neither set; both are walked once from `from` on. */
static bool gap_of_both(const struct sb_ranges *a, const struct sb_ranges *b, uint64_t from,
                        uint64_t to, struct sb_range *gap)
{
    struct sb_range other;

    while (from <= to && sb_ranges_gap(a, from, to, gap)) {
        if (!sb_ranges_gap(b, gap->lo, gap->hi, &other)) {
            from = gap->hi + 1;
            continue;
        }
        *gap = other;
        return true;
    }
    return false;
}

bool lane_next_work(const struct lane *lane, struct work *work)
{
    struct sb_range gap;
    size_t i;

    if (lane_made(lane) == 0 ||
        !gap_of_both(&lane->settled, &lane->flying, 1, lane_made(lane), &gap))
        return false;
    i = sb_ranges_seek(&lane->holes, gap.lo);
    work->lo = gap.lo;
    work->hi = gap.hi;
    work->hole = i < lane->holes.count && lane->holes.at[i].lo <= gap.lo;
    if (work->hole)
        work->hi = lane->holes.at[i].hi < gap.hi ? lane->holes.at[i].hi : gap.hi;
    else if (i < lane->holes.count && lane->holes.at[i].lo <= gap.hi)
        work->hi = lane->holes.at[i].lo - 1;
    return true;
}

void lane_park(struct lane *lane, int64_t now_ms, int64_t least_ms, int64_t most_ms,
               enum sb_code code, const char *reason)
{
    lane->park_ms = lane->park_ms == 0 ? least_ms : lane->park_ms * 2;
    if (lane->park_ms < least_ms)
        lane->park_ms = least_ms;
    if (lane->park_ms > most_ms)
        lane->park_ms = most_ms;
    lane->parked_until_ms = now_ms + lane->park_ms;
    lane->parked_ms = now_ms;
    lane->park_count++;
    lane->park_code = code;
    snprintf(lane->park_reason, sizeof(lane->park_reason), "%s", reason);
}

void lane_unpark(struct lane *lane)
{
    lane->parked_until_ms = 0;
    lane->park_ms = 0;
    lane->park_count = 0;
    lane->park_code = SB_OK;
    lane->park_reason[0] = '\0';
}

void lanes_describe(const struct lanes *lanes, struct sb_hello *hello)
{
    for (size_t i = 0; i < lanes->epoch_count; i++)
        if (sb_rule(SB_RULE_LIST_ALL) || strcmp(lanes->epochs[i], lanes->epoch) == 0)
            sb_hello_add_epoch(hello, lanes->epochs[i]);
    for (size_t i = 0; i < lanes->count; i++) {
        const struct lane *lane = &lanes->at[i];
        struct sb_claim *claim;

        if (!sb_rule(SB_RULE_LIST_ALL) && strcmp(lane->epoch, lanes->epoch) != 0)
            continue;
        claim = sb_hello_add_claim(hello, lane->epoch, lane->name);
        claim->made = lane_made(lane);
        sb_ranges_copy(&claim->settled, &lane->settled);
        if (claim->made > 0)
            sb_ranges_add(&claim->held, 1, claim->made);
        sb_ranges_remove_all(&claim->held, &lane->settled);
    }
}
