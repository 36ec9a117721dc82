#include "edge_agent/edge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/log.h"
#include "edge_agent/edge_internal.h"
#include "edge_agent/reconcile.h"

#define PURGE_ROWS      200                 /* one slice */
#define PURGE_KEPT      20                  /* ... of versions kept, where room is short */
#define KEEP_DECIDED_MS INT64_C(7776000000) /* decided conflicts are shown for 90 days */

/* ---- life ---- */

static int load_receipt(struct edge *edge, struct sb_err *err)
{
    return outbox_receipt_get(edge->ob, edge->receipt.boot, &edge->receipt.commit, err);
}

static int load_all(struct edge *edge, struct sb_err *err)
{
    int rc = lanes_load(&edge->lanes, edge->ob, err);

    if (rc == 0)
        rc = load_receipt(edge, err);
    edge->data_version = outbox_data_version(edge->ob);
    return rc;
}

int edge_new(const struct edge_config *config, struct outbox *ob, struct sb_link *link,
             struct sb_rng *rng, struct edge **out, struct sb_err *err)
{
    struct edge *edge = sb_xcalloc(1, sizeof(*edge));
    int rc;

    edge->config = *config;
    if (edge->config.hello_bytes == 0)
        edge->config.hello_bytes = SB_HELLO_PAGE_BYTES;
    if (edge->config.pull_limit == 0 || edge->config.pull_limit > SB_CHANGES_MAX)
        edge->config.pull_limit = SB_CHANGES_DEFAULT;
    snprintf(edge->device, sizeof(edge->device), "%s", config->device);
    snprintf(edge->device_boot, sizeof(edge->device_boot), "%s", config->device_boot);
    edge->ob = ob;
    edge->link = link;
    edge->rng = rng;
    edge->limits = (struct sb_limits){.max_batch_bytes = SB_BATCH_MAX_BYTES,
                                      .max_batch_records = SB_BATCH_MAX_RECORDS,
                                      .max_record_bytes = SB_RECORD_MAX_BYTES};
    session_init(&edge->session, &config->session);
    pacer_init(&edge->pacer, &config->pacer);
    edge->pub = publisher_new(edge->device, config->gzip_level);
    edge->gzip = sb_gzip_new(config->gzip_level);
    edge->replies = sb_xcalloc(EDGE_REPLIES_MAX, sizeof(*edge->replies));
    edge->dead_due = edge->pulls_due = true;
    if ((rc = load_all(edge, err)) < 0) {
        edge_free(edge);
        return rc;
    }
    *out = edge;
    return 0;
}

void edge_free(struct edge *edge)
{
    if (edge == NULL)
        return;
    for (size_t i = 0; i < edge->reply_count; i++)
        sb_reply_free(&edge->replies[i].reply);
    free(edge->replies);
    settle_counts_clear(&edge->counts);
    edge_calls_free(edge);
    edge_pulls_free(edge);
    lanes_free(&edge->lanes);
    session_fini(&edge->session);
    publisher_free(edge->pub);
    sb_gzip_free(edge->gzip);
    sb_buf_free(&edge->text);
    free(edge);
}

/* ---- small things that all parts use ---- */

void edge_note_error(struct edge *edge, const struct sb_err *err)
{
    edge->status.last_error = *err;
}

void edge_unfly(struct edge *edge, const struct flight *flight)
{
    struct lane *lane = lanes_find(&edge->lanes, flight->s);

    if (lane != NULL && flight->kind != FLIGHT_AGAIN)
        sb_ranges_remove(&lane->flying, flight->lo, flight->hi);
    if (flight->kind == FLIGHT_AGAIN)
        edge->dead_due = true;
}

void edge_park(struct edge *edge, struct lane *lane, struct sb_now now, uint64_t least_ms,
               enum sb_code code, const char *reason)
{
    int64_t least = edge->config.pacer.retry_min_ms;
    int64_t most = edge->config.pacer.retry_max_ms;

    if (least_ms > (uint64_t)least)
        least = least_ms < (uint64_t)most ? (int64_t)least_ms : most;
    if (lane->park_code != code)
        log_warn("stream=%s waits: code=%s %s", lane->name, sb_code_name(code), reason);
    lane_park(lane, now.mono_ms, least, most, code, reason);
    sb_fail(&edge->status.last_error, code, "%s: %s", lane->name, reason);
}

bool edge_split(struct lane *lane, uint64_t records)
{
    if (records <= 1)
        return false;
    lane->cap = records / 2;
    return true;
}

/* A transaction failed: what the sets in memory say may not be on disk. */
void edge_start_over(struct edge *edge, struct sb_now now, const struct sb_err *err)
{
    struct sb_err again;

    outbox_rollback(edge->ob);
    sb_log_err("outbox", err);
    edge_note_error(edge, err);
    edge->reload = load_all(edge, &again) < 0;
    /* Replies that were under way fail within one pause: that is one trouble, not one each. */
    if (edge->hold_ms == 0)
        edge->hold_ms = EDGE_HOLD_MIN_MS;
    else if (now.mono_ms >= edge->hold_until_ms)
        edge->hold_ms *= 2;
    if (edge->hold_ms > EDGE_HOLD_MAX_MS)
        edge->hold_ms = EDGE_HOLD_MAX_MS;
    edge->hold_until_ms = now.mono_ms + edge->hold_ms;
}

/* ---- settling ---- */

static int settle_one(struct edge *edge, struct collected *c, struct sb_now now, struct sb_err *err)
{
    struct lane *lane = lanes_find(&edge->lanes, c->flight.s);

    if (lane == NULL)
        return 0;
    edge->ordered_settled = edge->ordered_settled || lane->ordered;
    edge->hole_settled = edge->hole_settled || c->flight.kind == FLIGHT_HOLE;
    return settle_reply(edge->ob, lane, &c->flight, &c->reply, now.wall_us, &edge->counts, err);
}

static void add_counts(struct edge *edge)
{
    edge->status.stored += edge->counts.stored;
    edge->status.duplicate += edge->counts.duplicate;
    edge->status.revised += edge->counts.revised;
    edge->status.rejected += edge->counts.rejected;
    edge->status.conflict += edge->counts.conflict;
}

struct documents edge_documents(const struct edge *edge)
{
    return (struct documents){.ob = edge->ob,
                              .rng = edge->rng,
                              .device = edge->device,
                              .codec = edge->config.codec,
                              .device_boot = edge->device_boot};
}

#define MEND_AT_ONCE 16

struct waiting_documents {
    struct document_name at[MEND_AT_ONCE];
    unsigned count;
};

static int add_waiting(void *ctx, const struct document_name *name)
{
    struct waiting_documents *waiting = ctx;

    waiting->at[waiting->count++] = *name;
    return 0;
}

static int mend_one(struct edge *edge, const struct document_name *name, struct sb_now now,
                    struct sb_err *err)
{
    const struct documents docs = edge_documents(edge);
    enum documents_mended mended;
    int rc = documents_mend(&docs, name, now, &mended, err);

    if (rc < 0 || mended == DOCUMENTS_SAME)
        return rc;
    if (mended == DOCUMENTS_MENDED)
        edge_pull_changed(edge, name);
    edge->awake = edge->tell_due = edge->stale_due = true;
    return 0;
}

/* V4: once nothing of a document is pending, the cloud's comes into force where one was refused,
 * with what can be merged. */
static int mend_all(struct edge *edge, struct sb_now now, struct sb_err *err)
{
    struct waiting_documents waiting = {.count = MEND_AT_ONCE};
    struct document_name last;
    bool more = false;
    int rc = 0;

    while (rc == 0 && waiting.count == MEND_AT_ONCE) {
        waiting.count = 0;
        rc = outbox_conflict_documents(edge->ob, more ? &last : NULL, MEND_AT_ONCE, add_waiting,
                                       &waiting, err);
        for (unsigned i = 0; rc == 0 && i < waiting.count; i++)
            rc = mend_one(edge, &waiting.at[i], now, err);
        if (waiting.count > 0)
            last = waiting.at[waiting.count - 1];
        more = true;
    }
    return rc;
}

/* The same for the documents of which something was just answered. A hole names none. */
static int mend_answered(struct edge *edge, struct sb_now now, struct sb_err *err)
{
    const struct settle_seen *seen = &edge->counts.seen;
    struct waiting_documents any = {.count = 0};
    int rc = outbox_conflict_documents(edge->ob, NULL, 1, add_waiting, &any, err);

    if (rc < 0 || any.count == 0)
        return rc;
    if (edge->hole_settled)
        return mend_all(edge, now, err);
    for (size_t i = 0; rc == 0 && i < seen->count; i++)
        if (i == 0 || !document_name_eq(&seen->at[i].name, &seen->at[i - 1].name))
            rc = mend_one(edge, &seen->at[i].name, now, err);
    return rc;
}

/* What an ack says of versions goes to the pulls after the commit. */
static void note_versions(struct edge *edge, const struct settle_seen *seen)
{
    for (size_t i = 0; i < seen->count; i++)
        edge_pull_acked(edge, &seen->at[i].name, seen->at[i].version);
}

/* The highest pair of the welcome's boot (receipt rule); a reply can only be of that boot or of one
 * that has taken over since, whose pair counts then. */
static void take_receipt(struct edge *edge, const struct sb_reply *reply, bool *changed)
{
    struct sb_receipt *receipt = &edge->receipt;

    if (strcmp(receipt->boot, reply->boot) == 0 && receipt->commit >= reply->commit)
        return;
    memcpy(receipt->boot, reply->boot, sizeof(receipt->boot));
    receipt->commit = reply->commit;
    *changed = true;
}

static int settle_all(struct edge *edge, struct sb_now now, struct sb_err *err)
{
    bool receipt_changed = false;
    int rc = lanes_refresh(&edge->lanes, edge->ob, err);

    settle_counts_clear(&edge->counts);
    edge->ordered_settled = edge->hole_settled = false;
    for (size_t i = 0; rc == 0 && i < edge->reply_count; i++) {
        rc = settle_one(edge, &edge->replies[i], now, err);
        take_receipt(edge, &edge->replies[i].reply, &receipt_changed);
    }
    if (rc == 0)
        rc = settle_write(edge->ob, &edge->lanes, err);
    if (rc == 0 && receipt_changed)
        rc = outbox_receipt_set(edge->ob, edge->receipt.boot, edge->receipt.commit, err);
    if (rc == 0)
        rc = outbox_set_last_settled(edge->ob, now.wall_us, err);
    return rc < 0 || !edge->ordered_settled ? rc : mend_answered(edge, now, err);
}

/* When what a reply tells was committed: documents have a time of their own, else it is the
 * reply's. */
static void commit_time(const struct sb_reply *reply, char out[SB_TIME_TEXT])
{
    if (reply->updated_at[0] != '\0')
        snprintf(out, SB_TIME_TEXT, "%s", reply->updated_at);
    else
        sb_time_print(reply->server_time_us, out);
}

static void tell(struct edge *edge, const struct lane *lane, const struct sb_reply *reply,
                 uint64_t lo, uint64_t hi, enum sb_result result, enum sb_code code,
                 const char *reason)
{
    char at[SB_TIME_TEXT];

    commit_time(reply, at);
    edge->settled_fn(edge->settled_ctx, lane->epoch, lane->name, lo, hi, result, code, reason, at);
}

/* The parts of the answered range that are neither refused nor in conflict. */
static void tell_good(struct edge *edge, const struct lane *lane, const struct sb_reply *reply)
{
    enum sb_result word =
        reply->result == SB_RESULT_DUPLICATE ? SB_RESULT_DUPLICATE : SB_RESULT_STORED;
    struct sb_ranges bad = {0};
    struct sb_range good;

    for (size_t i = 0; i < reply->rejected_count; i++)
        sb_ranges_add(&bad, reply->rejected[i].lo, reply->rejected[i].hi);
    for (size_t i = 0; i < reply->conflict_count; i++)
        sb_ranges_add(&bad, reply->conflicts[i].seq, reply->conflicts[i].seq);
    for (uint64_t from = reply->first_seq; sb_ranges_gap(&bad, from, reply->last_seq, &good);
         from = good.hi + 1)
        tell(edge, lane, reply, good.lo, good.hi, word, SB_OK, "");
    sb_ranges_free(&bad);
}

static void tell_settled(struct edge *edge, const struct collected *c)
{
    const struct lane *lane = lanes_find(&edge->lanes, c->flight.s);
    const struct sb_reply *reply = &c->reply;

    if (edge->settled_fn == NULL || lane == NULL || c->flight.kind == FLIGHT_HOLE)
        return;
    for (size_t i = 0; i < reply->rejected_count; i++)
        tell(edge, lane, reply, reply->rejected[i].lo, reply->rejected[i].hi, SB_RESULT_REJECTED,
             reply->rejected[i].code, reply->rejected[i].reason);
    for (size_t i = 0; i < reply->conflict_count; i++)
        tell(edge, lane, reply, reply->conflicts[i].seq, reply->conflicts[i].seq,
             SB_RESULT_CONFLICT, reply->conflicts[i].code, "");
    tell_good(edge, lane, reply);
}

static void clear_collected(struct edge *edge)
{
    for (size_t i = 0; i < edge->reply_count; i++)
        sb_reply_free(&edge->replies[i].reply);
    edge->reply_count = 0;
}

/* Something was settled: the disk works, and an error of before is no longer the state of things
 * unless a stream still waits for it. */
static void all_is_well(struct edge *edge)
{
    edge->hold_ms = 0;
    for (size_t i = 0; i < edge->lanes.count; i++)
        if (edge->lanes.at[i].park_code != SB_OK)
            return;
    edge->status.last_error = (struct sb_err){.code = SB_OK};
}

bool edge_settle_collected(struct edge *edge, struct sb_now now)
{
    size_t told = edge->changed_count;
    struct sb_err err;
    int rc;

    if (edge->reply_count == 0)
        return true;
    if (edge->reload && (edge->reload = load_all(edge, &err) < 0)) {
        clear_collected(edge); /* what a lost transaction left in memory must not be written */
        edge_note_error(edge, &err);
        return false;
    }
    if ((rc = outbox_begin(edge->ob, &err)) == 0 && (rc = settle_all(edge, now, &err)) == 0)
        rc = outbox_commit(edge->ob, &err);
    if (rc < 0) {
        clear_collected(edge); /* they will be sent again and answered as duplicates */
        edge->changed_count = told;
        edge_start_over(edge, now, &err);
        return false;
    }
    add_counts(edge);
    note_versions(edge, &edge->counts.seen);
    edge->stale_due = edge->stale_due || edge->ordered_settled;
    all_is_well(edge);
    edge->status.last_settled_us = now.wall_us;
    for (size_t i = 0; i < edge->reply_count; i++)
        tell_settled(edge, &edge->replies[i]);
    clear_collected(edge);
    return true;
}

/* ---- the welcome ---- */

static void unpark_all(struct edge *edge)
{
    for (size_t i = 0; i < edge->lanes.count; i++)
        edge->lanes.at[i].parked_until_ms = 0; /* one try each; the delays stay as they are */
}

static void after_welcome(struct edge *edge, const struct reconcile_result *result)
{
    const struct sb_welcome *welcome = &edge->session.whole;

    memcpy(edge->receipt.boot, welcome->boot, sizeof(edge->receipt.boot));
    edge->receipt.commit = welcome->commit;
    edge->limits = welcome->limits;
    if (result->restored) {
        edge->status.restored++;
        log_warn("the cloud was rolled back: %llu numbers go again, %llu are declared holes",
                 (unsigned long long)result->unsettled, (unsigned long long)result->holes);
    }
    if (result->new_epoch) {
        edge->status.new_epochs++;
        log_warn("this device was rolled back: epoch %s begins", edge->lanes.epoch);
    }
    log_info("welcome boot=%s pending=%llu", welcome->boot,
             (unsigned long long)lanes_pending(&edge->lanes));
    session_open(&edge->session);
    pacer_reset_retry(&edge->pacer);
    unpark_all(edge);
    edge->dead_due = true;
}

/* Conflicts that wait for a key or for a document that was too large, left behind by an earlier
 * process too. */
static void resume_waiting(struct edge *edge, struct sb_now now)
{
    bool first = edge->pull_boot[0] == '\0';
    struct sb_err err;
    int rc = outbox_begin(edge->ob, &err);

    if (rc == 0 && first)
        rc = outbox_documents_retry_trouble(edge->ob, &err);
    if (rc == 0)
        rc = mend_all(edge, now, &err);
    if (rc == 0)
        rc = outbox_commit(edge->ob, &err);
    if (rc < 0)
        edge_start_over(edge, now, &err);
}

static int keep_server_clock(struct edge *edge, struct sb_now now, struct sb_err *err)
{
    int64_t server_us = edge->session.whole.server_time_us;

    if (server_us == 0)
        return 0;
    return outbox_set_server_clock(edge->ob, edge->device_boot, server_us - now.mono_ms * 1000,
                                   err);
}

static void apply_welcome(struct edge *edge, struct sb_now now)
{
    struct reconcile_result result = {0};
    struct sb_err err;
    int rc;

    if (!edge->welcome_whole)
        return;
    edge->welcome_whole = false;
    if ((rc = outbox_begin(edge->ob, &err)) == 0 &&
        (rc = reconcile_welcome(edge->ob, &edge->lanes, &edge->session.whole, edge->rng,
                                now.wall_us, &result, &err)) == 0 &&
        (rc = keep_server_clock(edge, now, &err)) == 0)
        rc = outbox_commit(edge->ob, &err);
    if (rc < 0) {
        edge_start_over(edge, now, &err);
        return; /* the gate stays shut; the hello is repeated on its timer */
    }
    after_welcome(edge, &result);
    resume_waiting(edge, now);
    edge_pull_welcomed(edge, edge->session.boot);
}

/* ---- timers ---- */

static void expire_flights(struct edge *edge, struct sb_now now)
{
    struct flight *flight;

    while ((flight = pacer_expired(&edge->pacer, edge->session.ingest_online, now.mono_ms)) !=
           NULL) {
        log_debug("batch=%s no reply in time, goes again", flight->batch_id);
        edge_unfly(edge, flight);
        edge->status.timeouts++;
    }
}

/* A PUBACK that never comes on a connection that looks alive (mosquitto 2.0.11's quota faults)
 * would keep the window shut for ever. */
static void drop_stuck_connection(struct edge *edge, struct sb_now now)
{
    if (!edge->session.connected || edge->pacer.unacked < edge->pacer.window ||
        now.mono_ms - edge->last_puback_ms < edge->config.puback_timeout_ms)
        return;
    log_warn("no PUBACK for %lld ms: connecting again",
             (long long)(now.mono_ms - edge->last_puback_ms));
    edge->last_puback_ms = now.mono_ms;
    edge->link->drop(edge->link);
}

/* The wall clock as it went since the start, without its jumps: a device that learns at noon that
 * it is not 1970 has not kept its rows for half a century. */
static int64_t age_clock(struct edge *edge, struct sb_now now)
{
    int64_t steady;

    if (edge->started.wall_us == 0)
        edge->started = now;
    steady = edge->started.wall_us + (now.mono_ms - edge->started.mono_ms) * 1000;
    return steady < now.wall_us ? steady : now.wall_us;
}

static int purge_slice(struct edge *edge, struct sb_now now, int *deleted, struct sb_err *err)
{
    int64_t before = age_clock(edge, now) - edge->config.resend_ms * 1000;
    int64_t over = 0;
    int kept = 0;
    int rc = outbox_begin(edge->ob, err);

    *deleted = 0;
    if (rc == 0)
        rc = lanes_kept_bytes(&edge->lanes, edge->ob, &over, err);
    over -= edge->config.resend_bytes;
    for (size_t i = 0; rc == 0 && i < edge->lanes.count; i++) {
        struct lane *lane = &edge->lanes.at[i];
        int count = 0;

        rc = outbox_purge(edge->ob, lane->s, &lane->settled, before, over, PURGE_ROWS, &count, err);
        if (rc == -(int)SB_ECORRUPT) { /* a torn page: these rows stay, those of others go */
            edge_note_error(edge, err);
            rc = count = 0;
        }
        *deleted += count;
        if (count > 0)
            over = 0; /* the figures are read anew before the next slice */
    }
    if (rc == 0)
        rc = outbox_conflicts_purge(edge->ob, before, age_clock(edge, now) - KEEP_DECIDED_MS * 1000,
                                    PURGE_ROWS, err);
    if (rc == 0)
        rc = outbox_kept_purge(edge->ob, PURGE_KEPT, &kept, err);
    *deleted += kept;
    if (rc == 0)
        rc = outbox_history_purge(edge->ob, age_clock(edge, now) - edge->config.history_ms * 1000,
                                  PURGE_ROWS, &kept, err);
    *deleted += rc == 0 ? kept : 0;
    return rc < 0 ? rc : outbox_commit(edge->ob, err);
}

static void purge(struct edge *edge, struct sb_now now)
{
    struct sb_err err;
    int deleted = 0;

    if (now.mono_ms < edge->next_purge_ms)
        return;
    if (edge->pacer.flying > 0 &&
        now.mono_ms < edge->next_purge_ms + edge->config.purge_interval_ms)
        return; /* rather in idle time, but not never */
    edge->next_purge_ms = now.mono_ms + edge->config.purge_interval_ms;
    if (purge_slice(edge, now, &deleted, &err) < 0) {
        edge_start_over(edge, now, &err);
        return;
    }
    if (deleted == 0) {
        outbox_checkpoint(edge->ob);
        return;
    }
    edge->awake = true;
    edge->next_purge_ms = now.mono_ms; /* the next slice after a look at the mail */
}

static void look_at_file(struct edge *edge, struct sb_now now)
{
    struct sb_err err;
    int64_t version;

    if (!edge->awake && !edge->reload && now.mono_ms < edge->next_poll_ms)
        return;
    edge->next_poll_ms = now.mono_ms + EDGE_POLL_MS;
    version = outbox_data_version(edge->ob);
    if (!edge->awake && !edge->reload && version == edge->data_version)
        return;
    edge->data_version = version;
    edge->dead_due = edge->pulls_due = edge->tell_due = edge->stale_due = true;
    edge->awake = false;
    if (edge->reload)
        edge->reload = load_all(edge, &err) < 0;
    else
        edge->reload = lanes_refresh(&edge->lanes, edge->ob, &err) < 0;
    if (edge->reload)
        edge_note_error(edge, &err);
    else
        edge_pulls_look(edge);
}

static void unpark_expired(struct edge *edge, struct sb_now now)
{
    for (size_t i = 0; i < edge->lanes.count; i++)
        if (edge->lanes.at[i].parked_until_ms <= now.mono_ms)
            edge->lanes.at[i].parked_until_ms = 0;
}

void edge_tick(struct edge *edge, struct sb_now now)
{
    look_at_file(edge, now);
    if (!edge_settle_collected(edge, now) || edge->reload)
        return;
    apply_welcome(edge, now);
    edge_calls_expire(edge, now);
    expire_flights(edge, now);
    drop_stuck_connection(edge, now);
    if (session_hello_due(&edge->session, now.mono_ms))
        edge_send_hello(edge, now);
    unpark_expired(edge, now);
    if (session_gate_open(&edge->session) && !edge->session.due &&
        now.mono_ms >= edge->hold_until_ms) {
        edge_pull_step(edge, now);
        edge_calls_send(edge, now);
        edge_send_work(edge, now);
    }
    edge_rounds_end(edge, now);
    edge_pull_tell_changed(edge);
    purge(edge, now);
}

void edge_event(struct edge *edge, const struct sb_link_event *event, struct sb_now now)
{
    switch (event->kind) {
    case SB_LINK_UP:
        session_up(&edge->session);
        pacer_up(&edge->pacer, event->receive_max);
        edge->last_puback_ms = now.mono_ms;
        break;
    case SB_LINK_DOWN:
        session_down(&edge->session);
        edge->session.ingest_online = false;
        pacer_down(&edge->pacer);
        for (size_t i = 0; i < edge->lanes.count; i++)
            sb_ranges_clear(&edge->lanes.at[i].flying);
        edge->welcome_whole = false;
        edge->dead_due = true;
        if (event->err.code != SB_OK)
            edge_note_error(edge, &event->err);
        break;
    case SB_LINK_MESSAGE:
        edge_receive_message(edge, event, now);
        break;
    case SB_LINK_PUBLISHED:
        edge_receive_puback(edge, event, now);
        break;
    }
}

/* ---- asked from outside ---- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t edge_deadline(const struct edge *edge)
{
    int64_t first = edge->next_poll_ms;

    if (edge->reload)
        return first; /* the file could not be read: nothing goes on before it can */
    if (edge->awake || edge->welcome_whole || edge->reply_count > 0)
        return INT64_MIN;
    if (edge->pacer.unacked < edge->pacer.window) /* else a PUBACK comes first */
        first = earlier(first, session_deadline(&edge->session));
    first = earlier(first, pacer_deadline(&edge->pacer, edge->session.ingest_online));
    first = earlier(first, edge_calls_deadline(edge));
    first = earlier(first, edge_rounds_deadline(edge));
    for (size_t i = 0; i < edge->lanes.count; i++)
        if (edge->lanes.at[i].parked_until_ms > 0)
            first = earlier(first, edge->lanes.at[i].parked_until_ms);
    return first;
}

void edge_wake(struct edge *edge)
{
    edge->awake = true;
}

void edge_reload(struct edge *edge)
{
    edge->awake = edge->reload = true;
}

void edge_ask_hello(struct edge *edge)
{
    session_asked(&edge->session);
}

void edge_unpark(struct edge *edge)
{
    unpark_all(edge);
    edge->dead_due = true;
}

const struct lanes *edge_lanes(const struct edge *edge)
{
    return &edge->lanes;
}

void edge_on_settled(struct edge *edge, edge_settled_fn fn, void *ctx)
{
    edge->settled_fn = fn;
    edge->settled_ctx = ctx;
}

void edge_on_changed(struct edge *edge, edge_changed_fn fn, void *ctx)
{
    edge->changed_fn = fn;
    edge->changed_ctx = ctx;
}

void edge_status(const struct edge *edge, struct edge_status *out)
{
    *out = edge->status;
    out->connected = edge->session.connected;
    out->welcomed = edge->session.welcomed && !edge->session.away;
    out->ingest_online = edge->session.ingest_online;
    memcpy(out->boot, edge->session.boot, sizeof(out->boot));
    out->pending = lanes_pending(&edge->lanes);
    out->flying = edge->pacer.flying;
    out->replies = edge->pacer.replies;
    out->retry_delay_ms = edge->pacer.retry_ms;
    out->reply_ms = pacer_reply_ms(&edge->pacer);
    out->pulling = edge->pulls_busy;
    out->parked = 0;
    for (size_t i = 0; i < edge->lanes.count; i++)
        out->parked += edge->lanes.at[i].park_code != SB_OK;
}
