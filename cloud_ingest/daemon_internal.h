#ifndef CLOUD_DAEMON_INTERNAL_H
#define CLOUD_DAEMON_INTERNAL_H

#include "common/backoff.h"
#include "common/control.h"
#include "common/loop.h"
#include "common/mqtt_link.h"
#include "config.h"
#include "daemon.h"
#include "fleet.h"

/* The parts of the daemon, for daemon.c and daemon_control.c alone. */

struct hello_wait;

struct daemon {
    const struct cloud_config *config;
    const struct daemon_hooks *hooks;
    struct sb_rng rng;
    int64_t started_us; /* wall clock */
    int64_t started_ms; /* monotonic */
    int lock_fd;
    struct sb_loop *loop;
    struct sb_mailbox *box;
    struct sb_control *control;
    struct sb_mqtt_link *mqtt;
    struct sb_backoff backoff;
    struct mapping_set *mappings;
    struct tables *tables;
    struct fleet *fleet;

    /* NULL while the database cannot be used */
    struct store *store;
    struct ingest *ingest;
    int64_t store_due_ms; /* the next attempt to open it */
    bool store_replaced;  /* one that was open is no longer in its place: none is made */
    struct sb_err store_err;

    bool up;
    int64_t up_ms, down_logged_ms, drop_logged_ms;
    struct sb_err link_err;
    uint64_t dropped_logged;         /* of the mailbox's count */
    char will_boot[SB_UUID_LEN + 1]; /* the boot that the Last Will names */

    struct hello_wait *waits; /* callers of the verb hello */
    int64_t waits_due_ms;
};

/* One line of a client of the socket; answers now, or from daemon_control_tick. */
void daemon_control_call(void *ctx, const struct sb_control_call *call);
/* Answers callers whose hellos have come or whose time is over. */
void daemon_control_tick(struct daemon *d, struct sb_now now);
/* When daemon_control_tick wants to be called, INT64_MAX = never. */
int64_t daemon_control_deadline(const struct daemon *d);
/* Forgets the callers that wait. */
void daemon_control_fini(struct daemon *d);

#endif
