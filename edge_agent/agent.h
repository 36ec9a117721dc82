#ifndef EDGE_AGENT_H
#define EDGE_AGENT_H

#include "edge_agent/config.h"

/* The daemon: one owner thread with a loop over the link's mailbox, the control socket, the timers
 * of the core and the collector. Returns when SIGTERM or SIGINT came (0), within 5 s, or with the
 * reason why it cannot run: SB_ENOT_CONFIGURED, SB_ELOCKED, SB_ECORRUPT, ... Everything it accepted
 * is on disk at every moment; stopping only says goodbye to the broker. */
int agent_run(const struct agent_config *config, struct sb_err *err);

#endif
