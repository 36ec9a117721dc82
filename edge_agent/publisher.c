#include "edge_agent/publisher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/json_scan.h"

/* Offsets of wall against monotonic time that differ by less are the same clock. */
#define SAME_CLOCK_US 100000

/* Text gathered for one batch before it is packed; the ratio of the last batch says how much of it
 * is likely to fit. */
#define RAW_MAX_BYTES (SB_PAYLOAD_MAX_BYTES - 65536)

struct publisher {
    char device[SB_NAME_MAX + 1];
    struct sb_gzip *gzip;
    struct sb_buf joined, fields, json, packed;
    struct sb_chunk *chunks;
    size_t chunk_count, chunk_cap;
    double ratio; /* packed bytes per raw byte, of the last batch */
};

struct publisher *publisher_new(const char *device, int gzip_level)
{
    struct publisher *pub = sb_xcalloc(1, sizeof(*pub));

    snprintf(pub->device, sizeof(pub->device), "%s", device);
    pub->gzip = sb_gzip_new(gzip_level);
    pub->ratio = 1;
    return pub;
}

void publisher_free(struct publisher *pub)
{
    if (pub == NULL)
        return;
    sb_gzip_free(pub->gzip);
    sb_buf_free(&pub->joined);
    sb_buf_free(&pub->fields);
    sb_buf_free(&pub->json);
    sb_buf_free(&pub->packed);
    free(pub->chunks);
    free(pub);
}

/* ---- gathering rows ---- */

struct gather {
    struct publisher *pub;
    uint64_t next, hi; /* the number to take next, the last one wanted */
    uint64_t records_left;
    size_t bytes_left;
    int64_t fields_id;
    bool any;
};

static int64_t offset_of(const struct sb_chunk *chunk)
{
    return chunk->wall_us - chunk->mono_ms * 1000;
}

static bool same_clock(const struct sb_chunk *a, const struct sb_chunk *b)
{
    int64_t apart = offset_of(a) - offset_of(b);

    return strcmp(a->device_boot, b->device_boot) == 0 && a->quality == b->quality &&
           apart < SAME_CLOCK_US && apart > -SAME_CLOCK_US;
}

static void add_chunk(struct publisher *pub, const struct outbox_row *row, uint64_t count)
{
    struct sb_chunk chunk = {.n = count,
                             .has_times = true,
                             .mono_ms = row->mono_ms,
                             .wall_us = row->wall_us,
                             .quality = row->quality};

    snprintf(chunk.device_boot, sizeof(chunk.device_boot), "%s", row->device_boot);
    if (pub->chunk_count > 0 && same_clock(&pub->chunks[pub->chunk_count - 1], &chunk)) {
        pub->chunks[pub->chunk_count - 1].n += count;
        return;
    }
    if (pub->chunk_count == pub->chunk_cap) {
        pub->chunk_cap = pub->chunk_cap > 0 ? pub->chunk_cap * 2 : 16;
        pub->chunks = sb_xrealloc(pub->chunks, pub->chunk_cap * sizeof(*pub->chunks));
    }
    pub->chunks[pub->chunk_count++] = chunk;
}

/* The part of the row that is wanted and fits; false when not even one record does. */
static bool fit(struct gather *g, const struct outbox_row *row, uint64_t *count,
                struct sb_span *text)
{
    uint64_t skip = g->next - row->first_seq;
    uint64_t wanted = row->last_seq - g->next + 1;

    if (wanted > g->hi - g->next + 1)
        wanted = g->hi - g->next + 1;
    if (wanted > g->records_left)
        wanted = g->records_left;
    for (; wanted > 0; wanted /= 2) {
        if (skip == 0 && wanted == row->last_seq - row->first_seq + 1)
            *text = row->body;
        else if (!sb_records_slice(row->body, skip, wanted, text))
            return false;
        if (text->len + 1 <= g->bytes_left || (!g->any && wanted == 1))
            break;
    }
    *count = wanted;
    return wanted > 0;
}

static int gather_row(void *ctx, const struct outbox_row *row)
{
    struct gather *g = ctx;
    struct publisher *pub = g->pub;
    struct sb_span text;
    uint64_t count;

    if (row->first_seq > g->next || row->last_seq < g->next)
        return 1; /* a gap in the rows */
    if (g->any && row->fields_id != g->fields_id)
        return 1;
    if (!fit(g, row, &count, &text))
        return 1;
    if (g->any)
        sb_buf_add_char(&pub->joined, ',');
    else
        sb_buf_add_span(&pub->fields, row->fields);
    sb_buf_add_span(&pub->joined, text);
    add_chunk(pub, row, count);
    g->fields_id = row->fields_id;
    g->any = true;
    g->next += count;
    g->records_left -= count;
    g->bytes_left -= text.len + 1 < g->bytes_left ? text.len + 1 : g->bytes_left;
    return g->next > g->hi || g->records_left == 0 || g->bytes_left == 0 ||
           g->next <= row->last_seq;
}

static int gather(struct publisher *pub, struct outbox *ob, const struct lane *lane, uint64_t lo,
                  uint64_t hi, uint64_t max_records, size_t max_raw, uint64_t *last,
                  struct sb_err *err)
{
    struct gather g = {
        .pub = pub, .next = lo, .hi = hi, .records_left = max_records, .bytes_left = max_raw};
    int rc;

    sb_buf_clear(&pub->joined);
    sb_buf_clear(&pub->fields);
    pub->chunk_count = 0;
    if (hi - lo >= max_records)
        hi = lo + max_records - 1;
    rc = outbox_rows(ob, lane->s, lo, hi, gather_row, &g, err);
    if (rc < 0 && (rc != -(int)SB_ECORRUPT || !g.any)) /* what was read before it is good */
        return rc;
    if (!g.any)
        return sb_fail(err, SB_ECORRUPT, "outbox: %s: number %llu has no readable row", lane->name,
                       (unsigned long long)lo);
    *last = g.next - 1;
    return 0;
}

/* ---- the envelope ---- */

static void begin(struct publisher *pub, const struct lane *lane, uint64_t lo, uint64_t hi,
                  const char *boot, const char *batch_id, bool again, int64_t wall_us)
{
    struct sb_batch head = {.stream = lane->stream,
                            .first_seq = lo,
                            .last_seq = hi,
                            .made = lane_made(lane),
                            .again = again};

    snprintf(head.batch_id, sizeof(head.batch_id), "%s", batch_id);
    snprintf(head.device, sizeof(head.device), "%s", pub->device);
    snprintf(head.boot, sizeof(head.boot), "%s", boot);
    snprintf(head.epoch, sizeof(head.epoch), "%s", lane->epoch);
    sb_buf_clear(&pub->json);
    sb_batch_begin(&pub->json, &head, wall_us);
}

static void pack(struct publisher *pub, struct publisher_batch *out)
{
    sb_buf_clear(&pub->packed);
    sb_gzip_pack(pub->gzip, sb_buf_span(&pub->json), &pub->packed);
    out->payload = sb_buf_span(&pub->packed);
    out->gzip = sb_gzip_is(out->payload);
}

static void end_body(struct publisher *pub, const struct lane *lane)
{
    if (lane->stream.class == SB_UP_SENSORS)
        sb_batch_end_rows(&pub->json, sb_buf_span(&pub->fields), sb_buf_span(&pub->joined),
                          pub->chunks, pub->chunk_count);
    else
        sb_batch_end_records(&pub->json, sb_buf_span(&pub->joined));
}

static void finish(struct publisher_batch *out, const char *batch_id, uint64_t lo, uint64_t hi)
{
    snprintf(out->batch_id, sizeof(out->batch_id), "%s", batch_id);
    out->lo = lo;
    out->hi = hi;
}

int publisher_rows(struct publisher *pub, struct outbox *ob, const struct lane *lane,
                   const struct work *work, const struct publisher_limits *limits, const char *boot,
                   const char *batch_id, int64_t wall_us, struct publisher_batch *out,
                   struct sb_err *err)
{
    uint64_t max_records = limits->max_records;
    uint64_t last = work->lo;
    int rc;

    for (;;) {
        double room = (double)limits->max_bytes / pub->ratio * 0.9;
        size_t max_raw = room < RAW_MAX_BYTES ? (size_t)room : RAW_MAX_BYTES;

        rc = gather(pub, ob, lane, work->lo, work->hi, max_records, max_raw, &last, err);
        if (rc < 0)
            return rc;
        begin(pub, lane, work->lo, last, boot, batch_id, false, wall_us);
        end_body(pub, lane);
        pack(pub, out);
        pub->ratio = (double)out->payload.len / (double)pub->json.len;
        if (out->payload.len <= limits->max_bytes || last == work->lo)
            break;
        max_records = (last - work->lo + 1) / 2;
    }
    finish(out, batch_id, work->lo, last);
    return 0;
}

int publisher_again(struct publisher *pub, const struct lane *lane, const struct outbox_dead *dead,
                    const char *boot, const char *batch_id, int64_t wall_us,
                    struct publisher_batch *out)
{
    sb_buf_clear(&pub->joined);
    sb_buf_clear(&pub->fields);
    sb_buf_add_span(&pub->joined, dead->body);
    sb_buf_add_span(&pub->fields, dead->fields);
    pub->chunk_count = 0;
    begin(pub, lane, dead->seq, dead->seq, boot, batch_id, true, wall_us);
    end_body(pub, lane);
    pack(pub, out);
    finish(out, batch_id, dead->seq, dead->seq);
    return 0;
}

/* ---- holes ---- */

struct hole_search {
    const struct lane *lane;
    const struct work *work;
    struct sb_buf ops;
    uint64_t first, last;
    enum sb_hole_reason reason;
    bool found;
};

static int find_hole(void *ctx, const struct outbox_hole *hole)
{
    struct hole_search *search = ctx;

    if (hole->s != search->lane->s || hole->first_seq > search->work->lo ||
        hole->last_seq < search->work->lo)
        return 0;
    search->first = hole->first_seq;
    search->last = hole->last_seq;
    search->reason = hole->reason;
    sb_buf_add_span(&search->ops, hole->ops);
    search->found = true;
    return 1;
}

/* The op_ids of lo..hi out of the kept JSON array, as characters; NULL where none are kept. */
static struct sb_span *read_ops(const struct hole_search *search, uint64_t lo, uint64_t hi,
                                struct sb_buf *chars)
{
    struct sb_json_iter iter;
    struct sb_span value, *ops;
    size_t *starts, i = 0, count = (size_t)(hi - lo + 1);
    uint64_t seq = search->first;

    if (search->ops.len == 0)
        return NULL;
    ops = sb_xcalloc(count, sizeof(*ops));
    starts = sb_xcalloc(count + 1, sizeof(*starts));
    sb_json_iter_init(&iter, sb_buf_span(&search->ops));
    for (; sb_json_next_element(&iter, &value) && i < count; seq++) {
        if (seq < lo)
            continue;
        starts[i] = chars->len;
        if (sb_json_type_of(value) == SB_JSON_STRING)
            sb_json_unescape(value, chars);
        starts[++i] = chars->len;
    }
    for (size_t k = 0; k < i; k++)
        ops[k] = (struct sb_span){sb_buf_span(chars).data + starts[k], starts[k + 1] - starts[k]};
    free(starts);
    return ops;
}

int publisher_hole(struct publisher *pub, struct outbox *ob, const struct lane *lane,
                   const struct work *work, const struct publisher_limits *limits, const char *boot,
                   const char *batch_id, int64_t wall_us, struct publisher_batch *out,
                   struct sb_err *err)
{
    struct hole_search search = {.lane = lane, .work = work};
    struct sb_buf chars = {0};
    struct sb_span *ops = NULL;
    uint64_t hi;
    int rc;

    rc = outbox_holes(ob, find_hole, &search, err);
    if (rc == 0 && !search.found)
        rc = sb_fail(err, SB_ECORRUPT, "outbox: %s: the hole at %llu is not kept", lane->name,
                     (unsigned long long)work->lo);
    if (rc < 0)
        goto out;
    hi = search.last < work->hi ? search.last : work->hi;
    if (hi - work->lo >= limits->max_records && search.ops.len > 0)
        hi = work->lo + limits->max_records - 1;
    ops = read_ops(&search, work->lo, hi, &chars);
    begin(pub, lane, work->lo, hi, boot, batch_id, false, wall_us);
    sb_batch_end_hole(&pub->json, search.reason, ops, ops != NULL ? (size_t)(hi - work->lo + 1) : 0,
                      SB_SPAN(""));
    pack(pub, out);
    finish(out, batch_id, work->lo, hi);
out:
    free(ops);
    sb_buf_free(&chars);
    sb_buf_free(&search.ops);
    return rc;
}

struct sb_span publisher_pack(struct publisher *pub, struct sb_span json, bool *gzip)
{
    sb_buf_clear(&pub->packed);
    sb_gzip_pack(pub->gzip, json, &pub->packed);
    *gzip = sb_gzip_is(sb_buf_span(&pub->packed));
    return sb_buf_span(&pub->packed);
}
