#ifndef CLOUD_DAEMON_H
#define CLOUD_DAEMON_H

#include "config.h"

/* `cloud_ingest run`: the loop that owns the database and the ingest's core. Messages come through
 * the mailbox; all that waits there goes into one transaction; replies go out after it. SIGTERM and
 * SIGINT end it within 5 s: what was received and not committed is not answered, so that devices
 * send it again. A database that is locked or full is no end: devices are told to wait. */

struct daemon_hooks {
    void *ctx;
    /* SIGHUP: reads [log] anew; on failure what was in force stays. */
    int (*reload)(void *ctx, enum sb_log_level *level, bool *json, struct sb_err *err);
};

/* 0 after a clean stop. SB_ELOCKED when another one runs with that state folder; configuration,
 * certificate files and a database that cannot be used end it too. */
int daemon_run(const struct cloud_config *config, const struct daemon_hooks *hooks,
               struct sb_err *err);

#endif
