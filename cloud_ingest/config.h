#ifndef CLOUD_CONFIG_H
#define CLOUD_CONFIG_H

#include <linux/limits.h>

#include "common/conf.h"
#include "common/log.h"
#include "ingest.h"

/* cloud_ingest's configuration: the key table and the values as a struct. */

#define CLOUD_CONFIG_FILE "/etc/sb/ingest.conf"
#define CLOUD_PAGE_BYTES  4096 /* of SQLite, for [store] max_bytes */

struct sb_conf *cloud_conf_new(void);
/* See sb_conf_load. */
int cloud_conf_load(struct sb_conf *conf, const char *file, char *const *environ_list,
                    struct sb_err *err);

/* Durations in ms. Texts are borrowed from the sb_conf, "" = unset. */
struct cloud_config {
    const char *url, *ca_file, *cert_file, *key_file, *user, *password_file;
    int64_t keepalive, session_expiry, connect_timeout, flap_wait;
    unsigned receive_max;

    bool has_n; /* [ingest] n is set, or the certificate names it */
    struct ingest_config ingest;
    size_t mailbox_messages, mailbox_bytes;

    char state_dir[PATH_MAX];
    char socket_path[PATH_MAX]; /* <state_dir>/ingest.sock */
    char lock_path[PATH_MAX];   /* <state_dir>/ingest.lock */
    char store_path[PATH_MAX];  /* <state_dir>/ingest.db unless [store] path says otherwise */
    const char *socket_group;

    int64_t cache_bytes, store_max_bytes, busy_timeout;

    const char *tables; /* of records, as written */
    enum sb_policy settings_policy, records_policy;

    char mappings_dir[PATH_MAX];
    bool mappings_given; /* by [mappings] dir; else the folder need not exist */

    enum sb_log_level log_level;
    bool log_json;
};

/* Checks what the key table cannot and works out the defaults that depend on the place: the state
 * folder, the number from the certificate, the folder of the mappings. */
int cloud_config_from(const struct sb_conf *conf, struct cloud_config *out, struct sb_err *err);

/* Can the daemon run with it? SB_ENOT_CONFIGURED "not configured: [broker] url", the certificate's
 * own error, SB_ECONFIG where the number and the certificate disagree. */
int cloud_config_ready(const struct cloud_config *config, struct sb_err *err);

/* The mapping files of the configuration; none where the folder is missing and was not asked for.
 * The caller frees *out with mapping_set_free. */
int cloud_config_mappings(const struct cloud_config *config, struct mapping_set **out,
                          struct sb_err *err);

/* The tables of documents with their policies: the declared ones, and what their mapping files say
 * of them. ingest.tables is left to the caller, who frees *out with tables_free. */
int cloud_config_tables(const struct cloud_config *config, struct tables **out, struct sb_err *err);

/* The <n> of "_ingest-<n>"; false for another name. */
bool cloud_ingest_number(const char *cn, unsigned *n);

#endif
