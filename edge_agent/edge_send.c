/* Stage 3: what goes next, and onto the link with it. */
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/rules.h"
#include "edge_agent/edge_internal.h"

int edge_publish(struct edge *edge, enum sb_up_class class, struct sb_span payload, bool gzip,
                 const char *correlation, uint32_t *token, struct sb_err *err)
{
    char topic[SB_TOPIC_MAX];
    const struct sb_link_message message = {
        .topic = topic,
        .payload = payload,
        .correlation = correlation != NULL ? sb_span_of(correlation) : (struct sb_span){NULL, 0},
        .gzip = gzip,
        .qos = 1,
    };

    sb_topic_up(topic, edge->device, class);
    edge->status.sent_bytes += payload.len;
    return edge->link->publish(edge->link, &message, token, err);
}

/* ---- hello (D1) ---- */

struct hello_out {
    struct edge *edge;
    const char *nonce;
    uint32_t pages;
    bool failed;
    struct sb_err err;
};

static void count_page(void *ctx, struct sb_span json)
{
    (void)json;
    ((struct hello_out *)ctx)->pages++;
}

static void send_page(void *ctx, struct sb_span json)
{
    struct hello_out *out = ctx;
    struct sb_span packed;
    uint32_t token = 0;
    bool gzip;

    if (out->failed)
        return;
    packed = publisher_pack(out->edge->pub, json, &gzip);
    if (edge_publish(out->edge, SB_UP_CTL, packed, gzip, out->nonce, &token, &out->err) < 0) {
        out->failed = true;
        return;
    }
    pacer_other_sent(&out->edge->pacer, token);
}

static void describe(struct edge *edge, const char *nonce, struct sb_now now,
                     struct sb_hello *hello)
{
    sb_hello_init(hello);
    snprintf(hello->nonce, sizeof(hello->nonce), "%s", nonce);
    snprintf(hello->device, sizeof(hello->device), "%s", edge->device);
    snprintf(hello->device_boot, sizeof(hello->device_boot), "%s", edge->device_boot);
    snprintf(hello->epoch, sizeof(hello->epoch), "%s", edge->lanes.epoch);
    if (sb_rule(SB_RULE_RECEIPT))
        hello->receipt = edge->receipt;
    hello->sent_at_us = now.wall_us;
    lanes_describe(&edge->lanes, hello);
}

static int64_t repeat_after(struct edge *edge)
{
    unsigned doublings = edge->session.unanswered < 6 ? edge->session.unanswered : 6;
    int64_t delay = pacer_rto(&edge->pacer) << doublings;

    if (!edge->session.ingest_online)
        return pacer_next_retry(&edge->pacer);
    return delay < edge->config.pacer.rto_max_ms ? delay : edge->config.pacer.rto_max_ms;
}

void edge_send_hello(struct edge *edge, struct sb_now now)
{
    char nonce[SB_UUID_LEN + 1];
    struct hello_out out = {.edge = edge, .nonce = nonce};
    struct sb_hello hello;
    struct sb_err err;

    if (edge->pacer.unacked >= edge->pacer.window)
        return; /* the broker's window is full: a PUBACK brings us back here */
    if (lanes_refresh(&edge->lanes, edge->ob, &err) < 0) {
        edge_note_error(edge, &err);
        edge->reload = true;
        return;
    }
    sb_uuid7(edge->rng, now.wall_us, nonce);
    describe(edge, nonce, now, &hello);
    sb_hello_encode(&hello, edge->config.hello_bytes, count_page, &out);
    if (sb_rule(SB_RULE_HELLO_FORGETS)) {
        pacer_forget(&edge->pacer);
        for (size_t i = 0; i < edge->lanes.count; i++)
            sb_ranges_clear(&edge->lanes.at[i].flying);
    }
    edge_calls_forget(edge);
    edge->welcome_whole = false;
    edge->status.hellos++;
    session_hello_sent(&edge->session, nonce, out.pages, now.mono_ms, repeat_after(edge));
    sb_hello_encode(&hello, edge->config.hello_bytes, send_page, &out);
    if (out.failed)
        edge_note_error(edge, &out.err); /* the timer says it again */
    log_debug("hello nonce=%s pages=%u", nonce, out.pages);
    sb_hello_free(&hello);
}

/* ---- batches ---- */

/* The row of a number that was never settled is not there: the disk has lost it. It is given up in
 * the open, up to the next row that can be read. */
static int declare_corrupt(struct edge *edge, struct lane *lane, const struct work *work,
                           struct sb_err *err)
{
    struct sb_ranges rows = {0};
    struct sb_range gap = {work->lo, work->lo};
    struct sb_buf ops = {0};
    int rc = outbox_row_ranges(edge->ob, lane->s, &rows, err);

    if (rc == 0 && !sb_ranges_gap(&rows, work->lo, work->hi, &gap))
        gap = (struct sb_range){work->lo, work->lo};
    if (gap.lo != work->lo)
        gap = (struct sb_range){work->lo, work->lo}; /* there, but torn */
    if (lane->ordered) {
        if (gap.hi - gap.lo >= SB_BATCH_MAX_RECORDS)
            gap.hi = gap.lo + SB_BATCH_MAX_RECORDS - 1;
        for (uint64_t seq = gap.lo; seq <= gap.hi; seq++)
            sb_buf_add_str(&ops, seq == gap.lo ? "[null" : ",null");
        sb_buf_add_char(&ops, ']');
    }
    if (rc == 0 && (rc = outbox_begin(edge->ob, err)) == 0) {
        rc = outbox_rows_drop(edge->ob, lane->s, gap.lo, gap.hi, err);
        if (rc == 0)
            rc = outbox_hole_add(edge->ob, lane->s, gap.lo, gap.hi, SB_HOLE_CORRUPT,
                                 sb_buf_span(&ops), err);
        if (rc == 0 && lane->ordered) /* nobody knows which documents these were about */
            rc = outbox_documents_sweep(edge->ob, lane->stream.name, NULL, err);
        if (rc == 0)
            rc = outbox_commit(edge->ob, err);
        else
            outbox_rollback(edge->ob);
    }
    if (rc == 0) {
        sb_ranges_add(&lane->holes, gap.lo, gap.hi);
        log_error("stream=%s numbers %llu..%llu cannot be read: declared as a hole", lane->name,
                  (unsigned long long)gap.lo, (unsigned long long)gap.hi);
    }
    edge->stale_due = edge->stale_due || lane->ordered;
    sb_ranges_free(&rows);
    sb_buf_free(&ops);
    return rc;
}

static int build(struct edge *edge, struct lane *lane, const struct work *work, const char *id,
                 struct sb_now now, struct publisher_batch *batch, struct sb_err *err)
{
    const struct publisher_limits limits = {
        .max_records =
            lane->cap < edge->limits.max_batch_records ? lane->cap : edge->limits.max_batch_records,
        .max_bytes = edge->limits.max_batch_bytes,
    };

    if (work->hole)
        return publisher_hole(edge->pub, edge->ob, lane, work, &limits, edge->session.boot, id,
                              now.wall_us, batch, err);
    return publisher_rows(edge->pub, edge->ob, lane, work, &limits, edge->session.boot, id,
                          now.wall_us, batch, err);
}

static int send_batch(struct edge *edge, struct lane *lane, const struct publisher_batch *batch,
                      enum flight_kind kind, struct sb_now now, struct sb_err *err)
{
    uint32_t token = 0;
    int rc = edge_publish(edge, lane->stream.class, batch->payload, batch->gzip, batch->batch_id,
                          &token, err);

    if (rc < 0)
        return rc;
    pacer_sent(&edge->pacer, batch->batch_id, lane->s, batch->lo, batch->hi, kind, token,
               now.mono_ms);
    if (kind != FLIGHT_AGAIN)
        sb_ranges_add(&lane->flying, batch->lo, batch->hi);
    edge->status.sent_batches++;
    return 0;
}

/* False when nothing more can be sent now. */
static bool send_lane(struct edge *edge, struct lane *lane, const struct work *work,
                      struct sb_now now)
{
    struct publisher_batch batch = {0};
    char id[SB_UUID_LEN + 1];
    struct sb_err err;
    int rc;

    sb_uuid7(edge->rng, now.wall_us, id);
    rc = build(edge, lane, work, id, now, &batch, &err);
    if (rc == -(int)SB_ECORRUPT) {
        rc = declare_corrupt(edge, lane, work, &err);
        if (rc == -(int)SB_ECORRUPT) /* what is torn cannot be taken out either: others go on */
            edge_park(edge, lane, now, 0, err.code, err.msg);
        return rc == 0 || rc == -(int)SB_ECORRUPT;
    }
    if (rc == 0)
        rc = send_batch(edge, lane, &batch, work->hole ? FLIGHT_HOLE : FLIGHT_ROWS, now, &err);
    if (rc == -(int)SB_ETOO_LARGE) { /* beyond what the broker takes */
        if (!edge_split(lane, batch.hi - batch.lo + 1))
            edge_park(edge, lane, now, 0, err.code, err.msg);
        return true;
    }
    if (rc < 0 && rc != -(int)SB_EBUSY && rc != -(int)SB_ECLOSED)
        edge_note_error(edge, &err);
    return rc == 0;
}

/* ---- the order of service: ordered streams first, then the free ones in turn ---- */

/* After a refusal, or because a switch is off. */
static bool parked(const struct lane *lane, struct sb_now now)
{
    return lane->off || now.mono_ms < lane->parked_until_ms;
}

/* An ordered stream has one batch in flight over all epochs, and a lower epoch goes first: does
 * anything of the same stream stand before this lane? */
static bool must_wait(const struct lanes *lanes, const struct lane *lane)
{
    struct work work;

    for (size_t i = 0; i < lanes->count; i++) {
        const struct lane *other = &lanes->at[i];

        if (strcmp(other->name, lane->name) != 0)
            continue;
        if (other->flying.count > 0 && sb_rule(SB_RULE_ONE_FLIGHT))
            return true;
        if (other->epoch_n < lane->epoch_n && sb_rule(SB_RULE_EPOCH_ORDER) &&
            lane_next_work(other, &work))
            return true;
    }
    return false;
}

static struct lane *next_ordered(struct edge *edge, struct sb_now now, struct work *work)
{
    for (size_t i = 0; i < edge->lanes.count; i++) {
        size_t at = sb_rule(SB_RULE_EPOCH_ORDER) ? i : edge->lanes.count - 1 - i;
        struct lane *lane = &edge->lanes.at[at];

        if (lane->ordered && !parked(lane, now) && lane_next_work(lane, work) &&
            !must_wait(&edge->lanes, lane))
            return lane;
    }
    return NULL;
}

static struct lane *next_free(struct edge *edge, struct sb_now now, struct work *work)
{
    for (size_t i = 0; i < edge->lanes.count; i++) {
        size_t at = (edge->round_robin + i) % edge->lanes.count;
        struct lane *lane = &edge->lanes.at[at];

        if (!lane->ordered && !parked(lane, now) && lane_next_work(lane, work)) {
            edge->round_robin = at + 1;
            return lane;
        }
    }
    return NULL;
}

/* ---- dead letters that somebody asked to send again (D8) ---- */

struct again {
    struct edge *edge;
    struct sb_now now;
};

static bool again_flies(const struct edge *edge, const struct outbox_dead *dead)
{
    for (int i = 0; i < PACER_FLIGHTS_MAX; i++) {
        const struct flight *flight = &edge->pacer.flights[i];

        if (flight->flying && flight->kind == FLIGHT_AGAIN && flight->s == dead->s &&
            flight->lo == dead->seq)
            return true;
    }
    return false;
}

static int send_again(void *ctx, const struct outbox_dead *dead)
{
    struct again *again = ctx;
    struct edge *edge = again->edge;
    struct lane *lane = lanes_find(&edge->lanes, dead->s);
    struct publisher_batch batch = {0};
    char id[SB_UUID_LEN + 1];
    struct sb_err err;

    if (!pacer_may_send(&edge->pacer)) {
        edge->dead_due = true;
        return 1;
    }
    if (lane != NULL && parked(lane, again->now))
        edge->dead_due = true;
    if (lane == NULL || parked(lane, again->now) || again_flies(edge, dead))
        return 0;
    sb_uuid7(edge->rng, again->now.wall_us, id);
    publisher_again(edge->pub, lane, dead, edge->session.boot, id, again->now.wall_us, &batch);
    return send_batch(edge, lane, &batch, FLIGHT_AGAIN, again->now, &err) < 0;
}

static void send_dead(struct edge *edge, struct sb_now now)
{
    struct again again = {edge, now};
    struct sb_err err;

    if (!edge->dead_due)
        return;
    edge->dead_due = false;
    if (outbox_dead_list(edge->ob, 0, true, send_again, &again, &err) < 0)
        edge_note_error(edge, &err);
}

void edge_send_work(struct edge *edge, struct sb_now now)
{
    struct work work;
    struct lane *lane;

    while (pacer_may_send(&edge->pacer)) {
        lane = next_ordered(edge, now, &work);
        if (lane == NULL)
            lane = next_free(edge, now, &work);
        if (lane == NULL || !send_lane(edge, lane, &work, now))
            break;
    }
    send_dead(edge, now);
}
