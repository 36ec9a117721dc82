#ifndef EDGE_CONFIG_H
#define EDGE_CONFIG_H

#include <limits.h>

#include "common/conf.h"
#include "common/ids.h"
#include "common/log.h"
#include "edge_agent/enqueue.h"

struct vault;

/* edge_agent's configuration: the key table, where its files are, and the values as a struct. */

#define AGENT_CONFIG_FILE "/etc/sb/agent.conf"

struct sb_conf *agent_conf_new(void);

/* Reads what applies, later ones win: /etc/sb/agent.conf, /etc/sb/agent.conf.d/ *.conf by name,
 * for users other than root $XDG_CONFIG_HOME/sb/agent.conf (~/.config without it), the environment.
 * With `file` that file alone, and it must exist. --set is the caller's (sb_conf_set). */
int agent_conf_load(struct sb_conf *conf, const char *file, char *const *environ_list,
                    struct sb_err *err);

/* Durations in ms. Texts are borrowed from the sb_conf, "" = unset. */
struct agent_config {
    char device[SB_NAME_MAX + 1]; /* "" = nothing gives it one */
    bool derived;                 /* neither set nor in a certificate: device_id.h made it */
    const char *url, *ca_file, *cert_file, *key_file, *user, *password_file;
    int64_t keepalive, session_expiry, connect_timeout, flap_wait;

    char state_dir[PATH_MAX];
    char outbox_path[PATH_MAX]; /* <state_dir>/outbox.db */
    char socket_path[PATH_MAX]; /* <state_dir>/agent.sock */
    char lock_path[PATH_MAX];   /* <state_dir>/agent.lock */
    const char *socket_group;

    struct enqueue_switches switches;

    int64_t max_bytes, resend_bytes; /* 0 = no limit */
    int64_t resend, local_history, purge_interval, busy_timeout;

    unsigned window;
    int64_t retry_min, retry_max, rto_min, rto_max, hello_refused_min, puback_timeout;

    int64_t sync_interval, startup_sync_timeout; /* 0 = off */
    const char *mappings;                        /* folder of names of records' members */
    const char *export_dir, *on_change;
    int64_t on_change_timeout;
    const char *encrypted_users, *encryption_key_file, *encryption_key_dir;
    const char *encryption_keys; /* a secret */

    bool collect;
    int64_t collect_interval;
    const char *collect_root;

    enum sb_log_level log_level;
    bool log_json;
};

/* Checks what the key table cannot (names, pairs of values) and works out the defaults that depend
 * on the place: the state folder; the device id from the certificate, or where there is none the
 * derived one (device_id.h), which is not kept yet. An unreadable certificate, or no way to derive
 * an id, is no error here: what needs an identity says so by agent_config_ready. */
int agent_config_from(const struct sb_conf *conf, struct agent_config *out, struct sb_err *err);

/* Makes the state folder where it is missing: the owner's alone, or with [agent] socket_group also
 * to be passed through (not listed) by that group, because the socket lies in it. */
int agent_config_make_state(const struct agent_config *config, struct sb_err *err);

/* Keeps a derived device id in the state folder (there by agent_config_make_state), so that it is
 * this device's for good; config->device is the kept one then. Nothing where it is not derived.
 * Errors of device_id_keep. */
int agent_config_keep_device(struct agent_config *config, struct sb_err *err);

/* What [encryption] says, as a vault. SB_ECONFIG as vault_new. */
int agent_config_vault(const struct agent_config *config, struct vault **out, struct sb_err *err);
/* The same into the vault that is there, after a reload. SB_ECONFIG: it is as it was. */
int agent_config_reload_vault(const struct agent_config *config, struct vault *vault,
                              struct sb_err *err);

/* Can the daemon run with it? SB_ENOT_CONFIGURED "not configured: [broker] url", or the certificate
 * files' own error. */
int agent_config_ready(const struct agent_config *config, struct sb_err *err);

/* Calls each for every key whose value is another one in `after`; reloadable: agent_config_reload
 * takes it up, the others need a restart. */
void agent_conf_changes(const struct sb_conf *before, const struct sb_conf *after,
                        void (*each)(void *ctx, const char *section, const char *key,
                                     bool reloadable),
                        void *ctx);
/* Takes the values of the reloadable keys; texts stay borrowed from next's sb_conf. */
void agent_config_reload(struct agent_config *config, const struct agent_config *next);

/* The common name of the first certificate in a PEM file. SB_ENOT_FOUND, SB_ETLS. */
int agent_certificate_cn(const char *path, char out[SB_NAME_MAX + 1], struct sb_err *err);

#endif
