#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/certificate.h"
#include "common/conf_load.h"

#define SECOND     1000
#define MINUTE     (60 * SECOND)
#define HOUR       (60 * MINUTE)
#define DAY        (INT64_C(24) * HOUR)
#define KIB        INT64_C(1024)
#define MIB        (1024 * KIB)
#define GIB        (1024 * MIB)
#define NUMBER_MAX 9999 /* of an ingest */

/* Sections in the order a reader wants them. */
static const struct sb_conf_key keys[] = {
    {"broker", "url", SB_CONF_STRING, "", 0, 0, false, false, "mqtts://host:port"},
    {"broker", "ca_file", SB_CONF_PATH, "", 0, 0, false, false,
     "the CA that signed the broker's certificate"},
    {"broker", "cert_file", SB_CONF_PATH, "", 0, 0, false, false,
     "this ingest's certificate; its common name is _ingest-<n>"},
    {"broker", "key_file", SB_CONF_PATH, "", 0, 0, true, false,
     "its private key, readable by the ingest alone"},
    {"broker", "user", SB_CONF_STRING, "", 0, 0, false, false,
     "user name where the broker asks for a password instead of a certificate"},
    {"broker", "password_file", SB_CONF_PATH, "", 0, 0, true, false, "file with that password"},
    {"broker", "keepalive", SB_CONF_MS, "30s", 5 * SECOND, HOUR, false, false,
     "longest silence before the connection is tested"},
    {"broker", "session_expiry", SB_CONF_MS, "7d", 0, 365 * DAY, false, false,
     "how long the broker remembers this ingest while it is away"},
    {"broker", "connect_timeout", SB_CONF_MS, "10s", SECOND, 5 * MINUTE, false, false,
     "one attempt to connect"},
    {"broker", "flap_wait", SB_CONF_MS, "30s", 10, HOUR, false, false,
     "least pause after three connections in a row that ended within 10 s (another client with "
     "this identity?)"},
    {"broker", "receive_max", SB_CONF_INT, "200", 1, 65535, false, false,
     "messages that the broker may have on their way to us; its own limit bounds it too"},

    {"ingest", "n", SB_CONF_INT, "", 0, NUMBER_MAX, false, false,
     "number of this ingest; without it the one in the certificate's common name"},
    {"ingest", "state_dir", SB_CONF_PATH, "", 0, 0, false, false,
     "folder of the database, the socket and the lock; /var/lib/sb for root, else "
     "$XDG_STATE_HOME/sb"},
    {"ingest", "socket_group", SB_CONF_STRING, "", 0, 0, false, false,
     "group whose members may use the daemon's socket"},
    {"ingest", "auto_register", SB_CONF_BOOL, "yes", 0, 0, false, false,
     "devices with a valid certificate are added at their first hello or batch; no: only those "
     "of `device add`"},
    {"ingest", "group_rows", SB_CONF_INT, "10000", 1, 1000000, false, false,
     "records of one transaction"},
    {"ingest", "group_ms", SB_CONF_MS, "0", 0, 10 * SECOND, false, false,
     "how long a first message waits for others to share its transaction; 0: only for those that "
     "are "
     "there already"},
    {"ingest", "group_bytes", SB_CONF_BYTES, "4M", 64 * KIB, GIB, false, false,
     "payload bytes of one transaction"},
    {"ingest", "mailbox_messages", SB_CONF_INT, "4096", 16, 1000000, false, false,
     "messages that wait in memory; beyond it they are dropped, and devices send them again"},
    {"ingest", "mailbox_bytes", SB_CONF_BYTES, "64M", MIB, 64 * GIB, false, false,
     "and at most that many bytes of them"},
    {"ingest", "reply_bytes", SB_CONF_BYTES, "256K", KIB, 4 * MIB, false, false,
     "largest reply; the broker's packet limit lowers it"},
    {"ingest", "page_bytes", SB_CONF_BYTES, "64K", KIB, MIB, false, false,
     "largest part of a welcome"},

    {"store", "path", SB_CONF_PATH, "", 0, 0, false, false,
     "the SQLite database; ingest.db in the state folder"},
    {"store", "cache", SB_CONF_BYTES, "32M", 256 * KIB, 64 * GIB, false, false,
     "memory for its pages"},
    {"store", "max_bytes", SB_CONF_BYTES, "", MIB, 1024 * GIB, false, false,
     "size it may grow to; beyond it devices are told to wait (no limit unless set)"},
    {"store", "busy_timeout", SB_CONF_MS, "1s", 0, SECOND, false, false,
     "longest wait for another process that writes; devices are told to wait after it"},

    {"settings", "policy", SB_CONF_STRING, "merge", 0, 0, false, false,
     "where two devices changed the same place: merge (a conflict for people), latest (the newer "
     "edit wins), server (the first to arrive), local (the last to arrive) or manual (nothing is "
     "merged)"},

    {"records", "tables", SB_CONF_STRING,
     "projects, platform_accounts, contents, publications, skill, task, agent, tool, preferences, "
     "persona, learning_progress, memory",
     0, 0, false, false,
     "tables that devices may keep documents in, separated by commas; what comes for another one "
     "waits on the device"},
    {"records", "policy", SB_CONF_STRING, "merge", 0, 0, false, false,
     "as [settings] policy, for tables whose mapping file says nothing"},
    {"records", "tombstone_days", SB_CONF_INT, "365", 0, 36500, false, false,
     "how long a deleted document is remembered; a device that was away for longer pulls "
     "everything anew (0: for ever)"},

    {"admin", "operators", SB_CONF_STRING, "*", 0, 0, false, false,
     "which operators may ask and decide on their admin topics, such as _op-anna, _op-bo; *: "
     "whoever "
     "has an operator's certificate"},

    {"mappings", "dir", SB_CONF_PATH, "", 0, 0, false, false,
     "folder of the mapping files, <type>.json for readings and <table>.json for records; the "
     "installed ones unless set"},

    {"limits", "max_batch_bytes", SB_CONF_BYTES, "128K", KIB, 4 * MIB, false, false,
     "largest batch that devices are told to send, compressed"},
    {"limits", "max_batch_records", SB_CONF_INT, "1000", 1, 10000, false, false,
     "records of one batch"},
    {"limits", "max_record_bytes", SB_CONF_BYTES, "1M", KIB, MIB, false, false,
     "one record or document"},

    {"log", "level", SB_CONF_STRING, "info", 0, 0, false, true, "error, warn, info or debug"},
    {"log", "format", SB_CONF_STRING, "text", 0, 0, false, true, "text or json"},
};

struct sb_conf *cloud_conf_new(void)
{
    return sb_conf_new("cloud_ingest", keys, sizeof(keys) / sizeof(keys[0]));
}

int cloud_conf_load(struct sb_conf *conf, const char *file, char *const *environ_list,
                    struct sb_err *err)
{
    return sb_conf_load(conf, CLOUD_CONFIG_FILE, file, environ_list, err);
}

/* ---- identity ---- */

bool cloud_ingest_number(const char *cn, unsigned *n)
{
    static const char prefix[] = "_ingest-";
    const char *digits = cn + sizeof(prefix) - 1;
    char *end;
    unsigned long number;

    if (strncmp(cn, prefix, sizeof(prefix) - 1) != 0 || digits[0] < '0' || digits[0] > '9' ||
        (digits[0] == '0' && digits[1] != '\0'))
        return false;
    number = strtoul(digits, &end, 10);
    *n = (unsigned)number;
    return *end == '\0' && number <= NUMBER_MAX;
}

/* An unreadable certificate is no error here: what needs an identity says so. */
static void find_number(const struct sb_conf *conf, struct cloud_config *out)
{
    char cn[SB_NAME_MAX + 1];

    if (sb_conf_is_set(conf, "ingest", "n")) {
        out->ingest.n = (unsigned)sb_conf_int(conf, "ingest", "n");
        out->has_n = true;
    } else if (out->cert_file[0] != '\0' && sb_certificate_cn(out->cert_file, cn, NULL) == 0) {
        out->has_n = cloud_ingest_number(cn, &out->ingest.n);
    }
}

/* ---- places ---- */

static int find_paths(const struct sb_conf *conf, struct cloud_config *out, struct sb_err *err)
{
    static const char longest[] = "/ingest.sock.wake";
    int room = PATH_MAX - (int)sizeof(longest);
    int rc = sb_conf_state_dir(conf, "ingest", sizeof(longest), out->state_dir, err);
    const char *path = sb_conf_str(conf, "store", "path");

    if (rc != 0)
        return rc;
    if ((int)strlen(path) > room)
        return sb_fail(err, SB_ECONFIG, "[store] path: it is too long");
    snprintf(out->socket_path, PATH_MAX, "%.*s/ingest.sock", room, out->state_dir);
    snprintf(out->lock_path, PATH_MAX, "%.*s/ingest.lock", room, out->state_dir);
    if (path[0] != '\0')
        snprintf(out->store_path, PATH_MAX, "%s", path);
    else
        snprintf(out->store_path, PATH_MAX, "%.*s/ingest.db", room, out->state_dir);
    return 0;
}

/* Beside the program, as it is installed (sbin, share) and as it is built (bin, share); else where
 * it was meant to be installed. */
static void find_mappings(const struct sb_conf *conf, struct cloud_config *out)
{
    static const char beside[] = "/../share/sb/mappings";
    const char *dir = sb_conf_str(conf, "mappings", "dir");
    ssize_t len;
    char *slash;

    out->mappings_given = dir[0] != '\0';
    if (out->mappings_given) {
        snprintf(out->mappings_dir, PATH_MAX, "%s", dir);
        return;
    }
    len = readlink("/proc/self/exe", out->mappings_dir, PATH_MAX - sizeof(beside));
    if (len > 0) {
        out->mappings_dir[len] = '\0';
        slash = strrchr(out->mappings_dir, '/');
        memcpy(slash, beside, sizeof(beside));
        if (access(out->mappings_dir, F_OK) == 0)
            return;
    }
    snprintf(out->mappings_dir, PATH_MAX, "%s", CLOUD_MAPPINGS_DIR);
}

int cloud_config_mappings(const struct cloud_config *config, struct mapping_set **out,
                          struct sb_err *err)
{
    struct mapping_set *set = mapping_set_new();
    struct sb_err own = {0};
    int rc = mapping_set_load(set, config->mappings_dir, &own);

    if (rc == -(int)SB_ENOT_FOUND && !config->mappings_given)
        rc = 0;
    else if (rc == -(int)SB_ENOT_FOUND)
        rc = sb_fail(&own, SB_ECONFIG, "[mappings] dir %.180s: there is no such folder",
                     config->mappings_dir);
    if (rc != 0) {
        mapping_set_free(set);
        if (err != NULL)
            *err = own;
        return rc;
    }
    *out = set;
    return 0;
}

/* ---- tables ---- */

/* "a, b c": names between commas and white space. */
static int declare_tables(const struct cloud_config *config, struct tables *tables,
                          struct sb_err *err)
{
    static const char between[] = ", \t";
    const char *at = config->tables;
    char name[SB_NAME_MAX + 16];
    int rc = tables_declare(tables, SB_TABLE_SETTINGS, config->settings_policy, err);

    for (at += strspn(at, between); rc == 0 && *at != '\0'; at += strspn(at, between)) {
        size_t len = strcspn(at, between);

        snprintf(name, sizeof(name), "%.*s", (int)(len < sizeof(name) ? len : sizeof(name) - 1),
                 at);
        at += len;
        if (strcmp(name, SB_TABLE_SETTINGS) == 0)
            rc = sb_fail(err, SB_ECONFIG, "table settings: it is always there");
        else
            rc = tables_declare(tables, name, config->records_policy, err);
    }
    if (rc != 0)
        sb_err_prefix(err, "[records] tables");
    return rc;
}

int cloud_config_tables(const struct cloud_config *config, struct tables **out, struct sb_err *err)
{
    struct tables *tables = tables_new();
    struct sb_err own = {0};
    int rc = declare_tables(config, tables, &own);

    if (rc == 0) {
        rc = tables_load(tables, config->mappings_dir, &own);
        if (rc == -(int)SB_ENOT_FOUND) /* cloud_config_mappings says what that means */
            rc = 0;
    }
    if (rc != 0) {
        tables_free(tables);
        return sb_fail(err, own.code, "%s", own.msg);
    }
    *out = tables;
    return 0;
}

/* ---- values ---- */

static void read_broker(const struct sb_conf *conf, struct cloud_config *out)
{
    out->url = sb_conf_str(conf, "broker", "url");
    out->ca_file = sb_conf_str(conf, "broker", "ca_file");
    out->cert_file = sb_conf_str(conf, "broker", "cert_file");
    out->key_file = sb_conf_str(conf, "broker", "key_file");
    out->user = sb_conf_str(conf, "broker", "user");
    out->password_file = sb_conf_str(conf, "broker", "password_file");
    out->keepalive = sb_conf_int(conf, "broker", "keepalive");
    out->session_expiry = sb_conf_int(conf, "broker", "session_expiry");
    out->connect_timeout = sb_conf_int(conf, "broker", "connect_timeout");
    out->flap_wait = sb_conf_int(conf, "broker", "flap_wait");
    out->receive_max = (unsigned)sb_conf_int(conf, "broker", "receive_max");
}

static void read_ingest(const struct sb_conf *conf, struct cloud_config *out)
{
    struct ingest_config *ingest = &out->ingest;

    ingest->auto_register = sb_conf_bool(conf, "ingest", "auto_register");
    ingest->group_rows = (size_t)sb_conf_int(conf, "ingest", "group_rows");
    ingest->group_ms = sb_conf_int(conf, "ingest", "group_ms");
    ingest->group_bytes = (size_t)sb_conf_int(conf, "ingest", "group_bytes");
    ingest->reply_bytes = (size_t)sb_conf_int(conf, "ingest", "reply_bytes");
    ingest->page_bytes = (size_t)sb_conf_int(conf, "ingest", "page_bytes");
    ingest->limits.max_batch_bytes = (uint64_t)sb_conf_int(conf, "limits", "max_batch_bytes");
    ingest->limits.max_batch_records = (uint64_t)sb_conf_int(conf, "limits", "max_batch_records");
    ingest->limits.max_record_bytes = (uint64_t)sb_conf_int(conf, "limits", "max_record_bytes");
    out->mailbox_messages = (size_t)sb_conf_int(conf, "ingest", "mailbox_messages");
    out->mailbox_bytes = (size_t)sb_conf_int(conf, "ingest", "mailbox_bytes");
    out->socket_group = sb_conf_str(conf, "ingest", "socket_group");
}

static int read_policy(const struct sb_conf *conf, const char *section, enum sb_policy *policy,
                       struct sb_err *err)
{
    const char *name = sb_conf_str(conf, section, "policy");

    if (sb_policy_parse(sb_span_of(name), policy))
        return 0;
    return sb_fail(err, SB_ECONFIG,
                   "[%s] policy '%.32s': not merge, latest, server, local or manual", section,
                   name);
}

static int read_records(const struct sb_conf *conf, struct cloud_config *out, struct sb_err *err)
{
    struct tables *tables;
    int rc = read_policy(conf, "settings", &out->settings_policy, err);

    out->tables = sb_conf_str(conf, "records", "tables");
    out->ingest.tombstone_ms = sb_conf_int(conf, "records", "tombstone_days") * DAY;
    if (rc == 0)
        rc = read_policy(conf, "records", &out->records_policy, err);
    if (rc != 0)
        return rc;
    tables = tables_new(); /* the names are checked with everything else */
    rc = declare_tables(out, tables, err);
    tables_free(tables);
    return rc;
}

/* "*", or names; none at all: no operator may. */
static int read_admin(const struct sb_conf *conf, struct cloud_config *out, struct sb_err *err)
{
    const char *at = out->ingest.operators = sb_conf_str(conf, "admin", "operators");

    if (strcmp(at, "*") == 0)
        return 0;
    while (*(at += strspn(at, ", \t")) != '\0') {
        struct sb_span name = {at, strcspn(at, ", \t")};

        if (!sb_operator_valid(name))
            return sb_fail(err, SB_ECONFIG, "[admin] operators: '%.*s' is not _op-<name>",
                           (int)(name.len < 70 ? name.len : 70), name.data);
        at += name.len;
    }
    return 0;
}

static void read_store(const struct sb_conf *conf, struct cloud_config *out)
{
    out->cache_bytes = sb_conf_int(conf, "store", "cache");
    out->store_max_bytes = sb_conf_int(conf, "store", "max_bytes");
    out->busy_timeout = sb_conf_int(conf, "store", "busy_timeout");
}

int cloud_config_from(const struct sb_conf *conf, struct cloud_config *out, struct sb_err *err)
{
    int rc;

    *out = (struct cloud_config){0};
    ingest_config_default(&out->ingest);
    read_broker(conf, out);
    read_ingest(conf, out);
    read_store(conf, out);
    find_number(conf, out);
    find_mappings(conf, out);
    rc = find_paths(conf, out, err);
    if (rc == 0)
        rc = read_records(conf, out, err);
    if (rc == 0)
        rc = read_admin(conf, out, err);
    if (rc == 0)
        rc = sb_conf_check_broker(conf, err);
    if (rc == 0)
        rc = sb_conf_log(conf, &out->log_level, &out->log_json, err);
    return rc;
}

int cloud_config_ready(const struct cloud_config *config, struct sb_err *err)
{
    char cn[SB_NAME_MAX + 1];
    unsigned n;
    int rc;

    if (config->url[0] == '\0')
        return sb_fail(err, SB_ENOT_CONFIGURED, "not configured: [broker] url");
    if (config->cert_file[0] != '\0') {
        rc = sb_certificate_cn(config->cert_file, cn, err);
        if (rc == -(int)SB_ENOT_FOUND)
            rc = sb_fail(err, SB_ETLS, "[broker] cert_file %.180s: there is no such file",
                         config->cert_file);
        if (rc != 0)
            return rc;
        if (!cloud_ingest_number(cn, &n))
            return sb_fail(err, SB_ETLS,
                           "[broker] cert_file: its common name '%s' is not "
                           "_ingest-<n>; the broker would let it do nothing",
                           cn);
        if (n != config->ingest.n)
            return sb_fail(err, SB_ECONFIG,
                           "[ingest] n is %u, but the certificate's common name is '%s'",
                           config->ingest.n, cn);
    }
    if (!config->has_n)
        return sb_fail(err, SB_ENOT_CONFIGURED,
                       "not configured: [ingest] n (or a certificate in [broker] cert_file)");
    return 0;
}
