#ifndef EDGE_EDGE_H
#define EDGE_EDGE_H

#include "common/clock.h"
#include "common/link.h"
#include "common/reply.h"
#include "edge_agent/documents.h"
#include "edge_agent/lanes.h"
#include "edge_agent/pacer.h"
#include "edge_agent/session.h"

/* The edge's protocol core: outbox, session, pacer, publisher and settle behind one owner thread.
 * It does no I/O but through the outbox and the link; the time is passed in. The daemon (agent.c)
 * and the simulator drive it alike:
 *
 *     edge_event()   for every event of the link's mailbox (replies are collected)
 *     edge_tick()    after a round of events, when edge_deadline() has come, when something was
 *                    enqueued: one transaction settles what was collected, then work is sent
 */

struct edge_config {
    const char *device;
    const char *device_boot; /* kernel boot id or "" */
    struct session_config session;
    struct pacer_config pacer;
    int gzip_level;            /* 1 */
    int64_t resend_ms;         /* settled rows are kept that long ... */
    int64_t resend_bytes;      /* ... and at most that many bytes of them */
    int64_t history_ms;        /* the local copies of command history are kept that long */
    int64_t purge_interval_ms; /* 60000 */
    int64_t puback_timeout_ms; /* a PUBACK that never comes: the connection is dropped (60000) */
    size_t hello_bytes;        /* JSON of one page of a hello, 0 = SB_HELLO_PAGE_BYTES */
    uint64_t pull_limit;       /* changes asked for in one page, 0 = 100 */
    /* seals what goes up and opens what comes down; NULL = nothing is encrypted. Borrowed */
    const struct documents_codec *codec;
};

/* What the daemon shows and the tests look at. */
struct edge_status {
    bool connected, welcomed, ingest_online;
    char boot[SB_UUID_LEN + 1];
    uint64_t pending, flying, sent_batches, sent_bytes, replies, timeouts, late_replies;
    uint64_t stored, duplicate, revised, rejected, conflict; /* numbers answered since the start */
    uint64_t restored, new_epochs, hellos, unreadable;
    uint64_t requests, pulls, pulled, taken; /* sent; pulls that ended; changes; came into force */
    bool pulling;                            /* a round is under way */
    int64_t last_pull_us; /* wall clock of the end of the last round, 0 = never since the start */
    int64_t last_settled_us;  /* wall clock, 0 = never since the start */
    int64_t retry_delay_ms;   /* the one in force */
    int64_t reply_ms;         /* smoothed */
    unsigned parked;          /* streams that wait after a refusal */
    struct sb_err last_error; /* of the link, the disk or a refusal; code SB_OK = none */
};

struct edge;

/* Borrows ob, link and rng. Loads the outbox's sets. */
int edge_new(const struct edge_config *config, struct outbox *ob, struct sb_link *link,
             struct sb_rng *rng, struct edge **out, struct sb_err *err);
void edge_free(struct edge *edge);

void edge_event(struct edge *edge, const struct sb_link_event *event, struct sb_now now);
void edge_tick(struct edge *edge, struct sb_now now);
/* Monotonic ms of the next thing to do without an event; INT64_MAX = nothing. */
int64_t edge_deadline(const struct edge *edge);

/* Something was enqueued or changed by another handle or process: the next tick looks. */
void edge_wake(struct edge *edge);
/* Rows or holes were changed behind the core's back (by what enforces the limits, in the daemon's
 * own thread): the next tick reads everything anew. */
void edge_reload(struct edge *edge);
/* Say hello at the next tick (`flush`, an operator). */
void edge_ask_hello(struct edge *edge);
/* Send everything that is parked or waits for a timer now (`flush`). */
void edge_unpark(struct edge *edge);

const struct lanes *edge_lanes(const struct edge *edge);
void edge_status(const struct edge *edge, struct edge_status *out);
/* Whether anything of that user (NULL = of any) is being read from the cloud or is due; *err: why
 * reading failed last, code SB_OK where it went well since. */
bool edge_pulling(const struct edge *edge, const char *user, struct sb_err *err);
/* What the cloud's SB_EFORBIDDEN about a user means here, and what helps. */
void edge_forbidden(const struct edge *edge, const char *user, struct sb_err *err);

/* Called in edge_tick after the commit that settled lo..hi of a stream, or refused it: `result` is
 * stored (or a duplicate), rejected or conflict, with code and reason where it has any; at: when
 * the cloud committed it (RFC 3339, as it says itself). One hook. */
typedef void (*edge_settled_fn)(void *ctx, const char *epoch, const char *stream, uint64_t lo,
                                uint64_t hi, enum sb_result result, enum sb_code code,
                                const char *reason, const char *at);
void edge_on_settled(struct edge *edge, edge_settled_fn fn, void *ctx);

/* ---- reading from the cloud (V5, V6): edge_request.c, edge_pull.c ---- */

/* One request to the cloud on behalf of somebody else (history, conflicts.*, …): said again until
 * it is answered or its time is up. args is JSON object text (copied). fn is called once: err->code
 * SB_OK and data as the answer has it, or a refusal's code and reason, or SB_ETIMEOUT. data is
 * valid during the call. SB_EBUSY with EDGE_REQUESTS_MAX waiting. */
typedef void (*edge_answer_fn)(void *ctx, struct sb_span data, const struct sb_err *err);
int edge_request(struct edge *edge, const char *op, struct sb_span args, int64_t timeout_ms,
                 struct sb_now now, edge_answer_fn fn, void *ctx, struct sb_err *err);

/* Reads one document by id and takes it (V5). fn is called once with the outcome: SB_OK and what
 * came of it (enum documents_taken), or an error. Works for any user that the device is bound to,
 * among the users of the outbox or not. */
typedef void (*edge_read_fn)(void *ctx, int taken, uint64_t version, const struct sb_err *err);
int edge_read(struct edge *edge, const char *user, const char *table, const char *id,
              int64_t timeout_ms, struct sb_now now, edge_read_fn fn, void *ctx,
              struct sb_err *err);

#define EDGE_REQUESTS_MAX 16
#define EDGE_SYNCS_MAX    16

/* Users, switches and tables are read from the outbox when a round begins and after edge_wake.
 *
 * A round: every change since the cursors is pulled, documents that are stale are read again by id,
 * open conflicts are asked about and decisions told. user NULL: all users of the outbox; table
 * NULL: settings and every declared table. A round that is under way is joined by what it lacks.
 * fn (may be NULL) is called once: when all of that has ended, with the first error that stood in
 * the way (the round goes on by itself all the same), or with SB_ETIMEOUT after timeout_ms (0 =
 * none). SB_ENOT_FOUND: that user is not among the users. SB_EBUSY with EDGE_SYNCS_MAX waiting. */
struct edge_synced {
    uint64_t changes; /* documents that the round brought */
    uint64_t taken;   /* ... and came into force */
    uint64_t stale;   /* still to be read again */
    uint64_t failed;  /* (user, table) pairs that could not be pulled */
};
typedef void (*edge_synced_fn)(void *ctx, const struct edge_synced *synced,
                               const struct sb_err *err);
int edge_sync(struct edge *edge, const char *user, const char *table, int64_t timeout_ms,
              struct sb_now now, edge_synced_fn fn, void *ctx, struct sb_err *err);

/* The same without anybody who waits for its end; it takes no place among the rounds. */
int edge_want(struct edge *edge, const char *user, const char *table, struct sb_err *err);

/* The same for all users and those tables only whose auto_sync is on: the scheduler's round. */
int edge_sync_scheduled(struct edge *edge, int64_t timeout_ms, struct sb_now now, edge_synced_fn fn,
                        void *ctx, struct sb_err *err);

/* Called in edge_tick after a commit that changed the text of a document here because of the cloud
 * (taken, mended): files and hooks of applications. One hook. */
typedef void (*edge_changed_fn)(void *ctx, const char *user, const char *table, const char *id);
void edge_on_changed(struct edge *edge, edge_changed_fn fn, void *ctx);

#endif
