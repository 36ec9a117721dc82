#ifndef EDGE_EDGE_INTERNAL_H
#define EDGE_EDGE_INTERNAL_H

#include "common/gzip.h"
#include "common/reply.h"
#include "common/request.h"
#include "edge_agent/edge.h"
#include "edge_agent/publisher.h"
#include "edge_agent/settle.h"

/* The state that edge.c, edge_receive.c, edge_send.c and edge_restore.c share; nobody else includes
 * this. */

#define EDGE_REPLIES_MAX  256 /* collected for one transaction; beyond it that runs at once */
#define EDGE_RESTORES_MAX 16
/* Pause of sending after a transaction that failed, doubling; the poll ends it. */
#define EDGE_HOLD_MIN_MS 1000
#define EDGE_HOLD_MAX_MS 60000
#define EDGE_POLL_MS     1000 /* looks for changes of processes whose wake-up was lost */

struct collected {
    struct flight flight; /* a copy: the table may move on */
    struct sb_reply reply;
};

struct restore {
    bool used, sent;
    char id[SB_UUID_LEN + 1];
    char user[SB_NAME_MAX + 1];
    int64_t sent_ms;
    int64_t deadline_ms;
    edge_restored_fn fn; /* NULL: the core asked */
    void *ctx;
};

struct edge {
    struct edge_config config;
    char device[SB_NAME_MAX + 1];
    char device_boot[SB_UUID_LEN + 1];
    struct outbox *ob;
    struct sb_link *link;
    struct sb_rng *rng;
    struct lanes lanes;
    struct session session;
    struct pacer pacer;
    struct publisher *pub;
    struct sb_gzip *gzip;
    struct sb_buf text; /* an inflated payload */
    struct sb_limits limits;
    struct sb_receipt receipt;
    struct collected *replies;
    size_t reply_count;
    struct settle_counts counts; /* of the open transaction */
    bool welcome_whole;          /* all parts are there, D3 has not run */
    bool awake, dead_due, reload;
    int64_t data_version;
    int64_t next_poll_ms, next_purge_ms, last_puback_ms;
    int64_t hold_until_ms; /* nothing is sent before: the disk refused a settlement */
    int64_t hold_ms;       /* the pause in force, 0 = none */
    struct sb_now started; /* for ages that a jump of the wall clock must not change */
    size_t round_robin;
    struct restore restores[EDGE_RESTORES_MAX];
    edge_settled_fn settled_fn;
    void *settled_ctx;
    struct edge_status status;
};

/* edge_receive.c */
void edge_receive_message(struct edge *edge, const struct sb_link_event *event, struct sb_now now);
void edge_receive_puback(struct edge *edge, const struct sb_link_event *event, struct sb_now now);
/* edge.c: one transaction for all collected replies. False when it failed (all is loaded anew). */
bool edge_settle_collected(struct edge *edge, struct sb_now now);
void edge_note_error(struct edge *edge, const struct sb_err *err);
/* A flight no longer flies: its numbers are free to be sent again. */
void edge_unfly(struct edge *edge, const struct flight *flight);
void edge_park(struct edge *edge, struct lane *lane, struct sb_now now, uint64_t least_ms,
               enum sb_code code, const char *reason);
/* A batch of that many records was too large: half of it is the most from now on. False when it was
 * one record. */
bool edge_split(struct lane *lane, uint64_t records);

/* edge_send.c */
void edge_send_hello(struct edge *edge, struct sb_now now);
void edge_send_work(struct edge *edge, struct sb_now now);
int edge_publish(struct edge *edge, enum sb_up_class class, struct sb_span payload, bool gzip,
                 const char *correlation, uint32_t *token, struct sb_err *err);

/* edge_restore.c */
void edge_restores_send(struct edge *edge, struct sb_now now);
/* The core's own request for the document that ends a user's conflicts: asked once at a time, until
 * it is answered. resume: those that an earlier process or connection left behind. */
void edge_restores_ask(struct edge *edge, const char *user, struct sb_now now);
void edge_restores_resume(struct edge *edge, struct sb_now now);
void edge_restores_forget(struct edge *edge); /* a hello was sent: they go again */
void edge_restores_expire(struct edge *edge, struct sb_now now);
void edge_restores_answer(struct edge *edge, struct sb_span json, struct sb_now now);
int64_t edge_restores_deadline(const struct edge *edge);

#endif
