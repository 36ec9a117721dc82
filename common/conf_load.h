#ifndef SB_CONF_LOAD_H
#define SB_CONF_LOAD_H

#include <linux/limits.h>

#include "conf.h"
#include "log.h"

/* Where both programs' configuration comes from, and the keys they read alike. */

/* Reads what applies, later ones win: `path` ("/etc/sb/agent.conf"), <path>.d/ *.conf by name, for
 * users other than root a file of that name in $XDG_CONFIG_HOME/sb (~/.config without it), the
 * environment. With `file` that file alone, and it must exist. --set is the caller's. */
int sb_conf_load(struct sb_conf *conf, const char *path, const char *file,
                 char *const *environ_list, struct sb_err *err);

/* [section] state_dir, or else /var/lib/sb for root and $XDG_STATE_HOME/sb for others.
 * SB_ENOT_CONFIGURED where none is known, SB_ECONFIG for a path that leaves no room for names of
 * `room` bytes in it. */
int sb_conf_state_dir(const struct sb_conf *conf, const char *section, size_t room,
                      char out[PATH_MAX], struct sb_err *err);

/* [log] level and format. */
int sb_conf_log(const struct sb_conf *conf, enum sb_log_level *level, bool *json,
                struct sb_err *err);

/* [broker]: a certificate needs its key, a password a user. */
int sb_conf_check_broker(const struct sb_conf *conf, struct sb_err *err);

#endif
