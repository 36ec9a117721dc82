#ifndef EDGE_AGENT_INTERNAL_H
#define EDGE_AGENT_INTERNAL_H

#include "common/backoff.h"
#include "common/control.h"
#include "common/mqtt_link.h"
#include "edge_agent/agent.h"
#include "edge_agent/answers.h"
#include "edge_agent/calls.h"
#include "edge_agent/collector.h"
#include "edge_agent/edge.h"
#include "edge_agent/hooks.h"
#include "edge_agent/scheduler.h"
#include "edge_agent/vault.h"

/* What agent*.c share; nobody else includes this. */

#define AGENT_PUTS_MAX  64 /* callers that share one commit */
#define AGENT_WAITS_MAX 64 /* callers that wait for a settlement, a flush, a sync or the cloud */

/* A `put` of this round: it is answered after the commit that it shares with the others. */
struct agent_put {
    uint64_t client;
    int64_t wait_ms; /* 0 = answer after the commit */
    struct enqueue_receipt receipt;
};

enum agent_wait_kind { WAIT_SETTLED, WAIT_FLUSH, WAIT_RESTORE, WAIT_SYNC, WAIT_CLOUD };

struct agent_wait {
    bool used;
    enum agent_wait_kind kind;
    bool in_core; /* the core calls back: until then the place is its own */
    uint64_t client;
    int64_t deadline_ms;
    struct agent *agent;
    /* WAIT_SETTLED */
    struct enqueue_receipt receipt;
    char stream[SB_STREAM_MAX + 1];
    /* WAIT_FLUSH: figures at its start. WAIT_SYNC: answered since; undecided ones are conflicts */
    uint64_t pending, good, bad, undecided;
    /* WAIT_SYNC: whose, "" = all */
    char user[SB_NAME_MAX + 1], table[SB_NAME_MAX + 1];
    struct edge_synced synced;
    struct sb_err err;
    /* WAIT_CLOUD */
    struct document_name name;
    bool versions; /* a list of them; else one document */
};

/* The scheduler's round. */
struct agent_round {
    bool in_core;     /* the core has not called back yet */
    bool again;       /* and has to be asked once more then */
    bool active;      /* the scheduler waits for its end */
    uint64_t pending; /* operations at its start; answered since: */
    uint64_t good, bad, undecided;
    struct edge_synced synced;
    struct sb_err err;
};

/* `sync` for which nobody waits (`user add` begins one): one round in the core, however many ask.
 */
struct agent_detached {
    bool in_core;
    bool again; /* others asked meanwhile: a round of all users follows */
};

/* Files and the command of changed documents. */
#define AGENT_EXPORTED_MAX 64 /* changes dealt with and not marked so yet */
struct agent_export {
    struct hooks *hooks;  /* NULL = neither is configured */
    int64_t n;            /* the change at hand, 0 = none */
    int64_t after, below; /* those that were dealt with (outbox_change_next) */
    int64_t done[AGENT_EXPORTED_MAX];
    size_t done_count;
    int fd;           /* in the loop, -1 = none */
    bool ended;       /* the loop says so */
    int64_t again_ms; /* nothing is written before */
    int64_t pause_ms; /* in force, 0 = none */
};

struct agent {
    struct agent_config *config; /* its own copy */
    const struct agent_hooks *hooks;
    struct sb_conf *conf; /* of the last reload, NULL = none yet */
    char device_boot[SB_UUID_LEN + 1];
    char boot[SB_UUID_LEN + 1]; /* of this process, in the state document */
    struct sb_rng rng;
    struct sb_loop *loop;
    struct sb_mailbox *mailbox;
    struct sb_mqtt_link *mqtt;
    struct sb_backoff backoff;
    struct sb_control *control;
    struct vault *vault;
    struct documents_codec codec;
    struct outbox *ob;
    struct enqueue *enqueue;
    struct edge *edge;
    struct collector *collector;
    struct scheduler scheduler;
    struct agent_round round;
    struct agent_detached detached;
    struct agent_export export;
    int lock_fd;
    int64_t collect_due_ms, clock_due_ms, state_due_ms, file_due_ms;
    uint64_t state_pending; /* as last published */
    struct agent_put puts[AGENT_PUTS_MAX];
    size_t put_count;
    struct agent_wait waits[AGENT_WAITS_MAX];
    struct answers answers;
};

/* agent_control.c: the socket */
void agent_control_call(void *ctx, const struct sb_control_call *call);
void agent_control_commit(struct agent *agent, struct sb_now now); /* answers the round's puts */
void agent_control_settled(void *ctx, const char *epoch, const char *stream, uint64_t lo,
                           uint64_t hi, enum sb_result result, enum sb_code code,
                           const char *reason, const char *at);
void agent_control_timers(struct agent *agent, struct sb_now now);
/* The core and the outbox go: whoever waits for them is told. No put is open. */
void agent_control_abandon(struct agent *agent, const struct sb_err *err);
int64_t agent_control_deadline(const struct agent *agent);

/* agent_waits.c: who waits for something */
void agent_answer(struct agent *agent, uint64_t client, struct sb_buf *json); /* and frees it */
void agent_answer_error(struct agent *agent, uint64_t client, const struct sb_err *err);
/* NULL when all places are taken: then the caller has been answered so. */
struct agent_wait *agent_wait_new(struct agent *agent, enum agent_wait_kind kind, uint64_t client,
                                  int64_t timeout_ms);
#define AGENT_WAIT_MAX_S INT64_C(86400)
/* Members of a call: characters into out, false where there is no such text; seconds as ms, 0 where
 * there are none, AGENT_WAIT_MAX_S of them where there are more. */
bool agent_call_text(struct sb_span object, const char *key, struct sb_buf *out);
int64_t agent_call_seconds(struct sb_span object, const char *key);

/* agent_sync.c: the scheduler, `sync` */
void agent_sync_start(struct agent *agent, struct sb_now now);
void agent_sync_configure(struct agent *agent, struct sb_now now); /* another interval */
void agent_sync_turn(struct agent *agent, struct sb_now now);
int64_t agent_sync_deadline(const struct agent *agent);
void agent_sync_stop(struct agent *agent, struct sb_now now);
void agent_sync_settled(struct agent *agent, const char *stream, uint64_t count,
                        enum sb_result result);
void agent_sync_call(struct agent *agent, const struct sb_control_call *call,
                     struct sb_span object);
void agent_sync_check(struct agent_wait *wait, struct sb_now now); /* answers it when it is over */

/* agent_cloud.c: what the cloud has, read for a caller */
void agent_cloud_restore(struct agent *agent, const struct sb_control_call *call,
                         struct sb_span object);
void agent_cloud_read(struct agent *agent, const struct sb_control_call *call,
                      struct sb_span object, bool versions);

/* agent_export.c: files and the command of changed documents */
int agent_export_make(const struct agent_config *config, struct hooks **out, struct sb_err *err);
/* From now on with these (NULL = neither); takes them over. Errors are the outbox's. */
int agent_export_use(struct agent *agent, struct hooks *hooks, struct sb_err *err);
int agent_export_attach(struct agent *agent, struct sb_err *err); /* the outbox was opened anew */
void agent_export_turn(struct agent *agent, struct sb_now now);
int64_t agent_export_deadline(const struct agent *agent);
void agent_export_close(struct agent *agent);

/* agent_reload.c */
void agent_reload(struct agent *agent, struct sb_now now);
void agent_reload_call(struct agent *agent, const struct sb_control_call *call);

#endif
