#ifndef EDGE_AGENT_H
#define EDGE_AGENT_H

#include "edge_agent/config.h"

/* How the configuration is read anew. */
struct agent_hooks {
    void *ctx;
    const struct sb_conf *conf; /* what the configuration came from; outlives the daemon */
    int (*reload)(void *ctx, struct sb_conf **out, struct sb_err *err); /* the caller frees *out */
};

/* The daemon: one owner thread with a loop over the link's mailbox, the control socket, the timers
 * of the core and the collector. Returns when SIGTERM or SIGINT came (0), within 5 s, or with the
 * reason why it cannot run: SB_ENOT_CONFIGURED, SB_ELOCKED, SB_ECORRUPT, ... Everything it accepted
 * is on disk at every moment; stopping only says goodbye to the broker. SIGHUP, and `reload` on the
 * socket, take up the keys that can change, and name those that wait for a restart. */
int agent_run(const struct agent_config *config, const struct agent_hooks *hooks,
              struct sb_err *err);

#endif
