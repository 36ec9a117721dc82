#ifndef EDGE_AGENT_INTERNAL_H
#define EDGE_AGENT_INTERNAL_H

#include "common/backoff.h"
#include "common/control.h"
#include "common/mqtt_link.h"
#include "edge_agent/agent.h"
#include "edge_agent/collector.h"
#include "edge_agent/edge.h"

/* What agent.c and agent_control.c share; nobody else includes this. */

#define AGENT_PUTS_MAX  64 /* callers that share one commit */
#define AGENT_WAITS_MAX 64 /* callers that wait for a settlement, a flush or a restore */

/* A `put` of this round: it is answered after the commit that it shares with the others. */
struct agent_put {
    uint64_t client;
    int64_t wait_ms; /* 0 = answer after the commit */
    struct enqueue_receipt receipt;
};

enum agent_wait_kind { WAIT_SETTLED, WAIT_FLUSH, WAIT_RESTORE };

struct agent_wait {
    bool used;
    enum agent_wait_kind kind;
    uint64_t client;
    int64_t deadline_ms;
    struct agent *agent;
    /* WAIT_SETTLED */
    struct enqueue_receipt receipt;
    char stream[SB_STREAM_MAX + 1];
    /* WAIT_FLUSH: figures at its start */
    uint64_t pending, good, bad;
};

struct agent {
    const struct agent_config *config;
    char device_boot[SB_UUID_LEN + 1];
    char boot[SB_UUID_LEN + 1]; /* of this process, in the state document */
    struct sb_rng rng;
    struct sb_loop *loop;
    struct sb_mailbox *mailbox;
    struct sb_mqtt_link *mqtt;
    struct sb_backoff backoff;
    struct sb_control *control;
    struct outbox *ob;
    struct enqueue *enqueue;
    struct edge *edge;
    struct collector *collector;
    int lock_fd;
    int64_t collect_due_ms, clock_due_ms, state_due_ms, file_due_ms;
    uint64_t state_pending; /* as last published */
    struct agent_put puts[AGENT_PUTS_MAX];
    size_t put_count;
    struct agent_wait waits[AGENT_WAITS_MAX];
};

/* agent_control.c */
void agent_control_call(void *ctx, const struct sb_control_call *call);
void agent_control_commit(struct agent *agent, struct sb_now now); /* answers the round's puts */
void agent_control_settled(void *ctx, const char *epoch, const char *stream, uint64_t lo,
                           uint64_t hi, enum sb_result result, enum sb_code code,
                           const char *reason);
void agent_control_timers(struct agent *agent, struct sb_now now);
/* The core and the outbox go: whoever waits for them is told. No put is open. */
void agent_control_abandon(struct agent *agent, const struct sb_err *err);
int64_t agent_control_deadline(const struct agent *agent);

#endif
