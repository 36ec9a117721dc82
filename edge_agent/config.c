#include "edge_agent/config.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/certificate.h"
#include "common/conf_load.h"
#include "common/instance.h"
#include "edge_agent/device_id.h"
#include "edge_agent/vault.h"

#define SECOND 1000
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (INT64_C(24) * HOUR)
#define KIB    INT64_C(1024)
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)

/* Sections in the order a reader wants them. */
static const struct sb_conf_key keys[] = {
    {"device", "id", SB_CONF_STRING, "", 0, 0, false, false,
     "this device's name; without it the common name of the certificate, without one `edge_agent "
     "device-id`"},

    {"broker", "url", SB_CONF_STRING, "", 0, 0, false, false,
     "mqtts://host:port; without it everything is kept on the device only"},
    {"broker", "ca_file", SB_CONF_PATH, "", 0, 0, false, false,
     "the CA that signed the broker's certificate"},
    {"broker", "cert_file", SB_CONF_PATH, "", 0, 0, false, false, "this device's certificate"},
    {"broker", "key_file", SB_CONF_PATH, "", 0, 0, true, false,
     "its private key, readable by the agent alone"},
    {"broker", "user", SB_CONF_STRING, "", 0, 0, false, false,
     "user name where the broker asks for a password instead of a certificate"},
    {"broker", "password_file", SB_CONF_PATH, "", 0, 0, true, false, "file with that password"},
    {"broker", "keepalive", SB_CONF_MS, "30s", 5 * SECOND, HOUR, false, false,
     "longest silence before the connection is tested"},
    {"broker", "session_expiry", SB_CONF_MS, "7d", 0, 365 * DAY, false, false,
     "how long the broker remembers this device while it is away"},
    {"broker", "connect_timeout", SB_CONF_MS, "10s", SECOND, 5 * MINUTE, false, false,
     "one attempt to connect"},

    {"broker", "flap_wait", SB_CONF_MS, "30s", 10, HOUR, false, false,
     "least pause after three connections in a row that ended within 10 s (another client with "
     "this identity?)"},

    {"agent", "state_dir", SB_CONF_PATH, "", 0, 0, false, false,
     "folder of the outbox, the socket and the lock; /var/lib/sb for root, else "
     "$XDG_STATE_HOME/sb"},
    {"agent", "socket_group", SB_CONF_STRING, "", 0, 0, false, false,
     "group whose members may use the daemon's socket"},

    {"sync", "enabled", SB_CONF_BOOL, "yes", 0, 0, false, false,
     "no: everything is kept on the device only"},
    {"sync", "sync_settings", SB_CONF_BOOL, "yes", 0, 0, false, false, "settings of users"},
    {"sync", "sync_history", SB_CONF_BOOL, "no", 0, 0, false, false,
     "command history of users (privacy)"},
    {"sync", "local_history_days", SB_CONF_INT, "90", 1, 36500, false, false,
     "command history stays on this device that long, sent or not"},
    {"sync", "sync_sensors", SB_CONF_BOOL, "yes", 0, 0, false, false, "readings"},
    {"sync", "sync_interval", SB_CONF_MS, "300s", 0, 30 * DAY, false, true,
     "time between two full syncs of settings and records; 0 = none by the clock"},
    {"sync", "startup_sync_timeout", SB_CONF_MS, "10s", 0, HOUR, false, false,
     "after that the sync at the start is reported as unfinished; it goes on"},

    {"records", "mappings", SB_CONF_PATH, "", 0, 0, false, true,
     "folder of <table>.json files with local and cloud names of records' members"},

    {"documents", "export_dir", SB_CONF_PATH, "", 0, 0, false, true,
     "folder that always has the current documents: <user>/settings.json, "
     "<user>/<table>/<id>.json"},
    {"documents", "on_change", SB_CONF_STRING, "", 0, 0, false, true,
     "command run when a document changed, no shell; SB_USER, SB_TABLE, SB_ID and SB_FILE tell "
     "which"},
    {"documents", "on_change_timeout", SB_CONF_MS, "30s", 100, HOUR, false, true,
     "then the command is killed"},

    {"encryption", "users", SB_CONF_STRING, "", 0, 0, false, true,
     "whose settings and records leave this device encrypted: user ids, or * for all"},
    {"encryption", "key_file", SB_CONF_PATH, "", 0, 0, true, true,
     "keys, one a line: the first encrypts, all decrypt; for its owner alone"},
    {"encryption", "key_dir", SB_CONF_PATH, "", 0, 0, false, true,
     "folder with <user>.key files; a user's own goes before key_file"},
    {"encryption", "key", SB_CONF_STRING, "", 0, 0, false, false,
     "keys, separated by commas, instead of key_file"},

    {"outbox", "max_bytes", SB_CONF_BYTES, "1G", MIB, 1024 * GIB, false, false,
     "size the outbox may grow to; beyond it new records are refused"},
    {"outbox", "resend_days", SB_CONF_INT, "7", 0, 3650, false, false,
     "sent records are kept that long, to send them again to a cloud that was restored"},
    {"outbox", "resend_bytes", SB_CONF_BYTES, "64M", 0, 1024 * GIB, false, false,
     "and at most that many bytes of them"},
    {"outbox", "max_record_bytes", SB_CONF_BYTES, "1M", KIB, MIB, false, false,
     "one record or document; larger ones are refused"},
    {"outbox", "purge_interval", SB_CONF_MS, "60s", SECOND, DAY, false, false,
     "how often what is no longer needed is removed"},
    {"outbox", "busy_timeout", SB_CONF_MS, "5s", 0, 10 * MINUTE, false, false,
     "longest wait for another process that writes; edge_agent run waits 1s at most"},

    {"pacer", "window", SB_CONF_INT, "64", 1, 200, false, false,
     "batches on their way at once; the broker's limit less 4 bounds it too"},
    {"pacer", "retry_min", SB_CONF_MS, "30s", 50, DAY, false, false,
     "first wait where nothing answers"},
    {"pacer", "retry_max", SB_CONF_MS, "1800s", 50, 7 * DAY, false, false, "it doubles up to this"},
    {"pacer", "rto_min", SB_CONF_MS, "1s", 10, HOUR, false, false,
     "shortest wait for the reply to a batch before it goes again"},
    {"pacer", "rto_max", SB_CONF_MS, "30s", 10, HOUR, false, false, "longest such wait"},
    {"pacer", "hello_refused_min", SB_CONF_MS, "5s", 10, HOUR, false, false,
     "least time between two hellos that refusals caused"},
    {"pacer", "puback_timeout", SB_CONF_MS, "60s", SECOND, HOUR, false, false,
     "a broker that takes longer to acknowledge is left and connected to anew"},

    {"collector", "enabled", SB_CONF_BOOL, "yes", 0, 0, false, false,
     "readings of this machine itself (sensors/system)"},
    {"collector", "interval", SB_CONF_MS, "10s", 10, DAY, false, false, "time between two of them"},
    {"collector", "root", SB_CONF_PATH, "/", 0, 0, false, false, "folder that holds proc and sys"},

    {"log", "level", SB_CONF_STRING, "info", 0, 0, false, true, "error, warn, info or debug"},
    {"log", "format", SB_CONF_STRING, "text", 0, 0, false, true, "text or json"},
};

#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

struct sb_conf *agent_conf_new(void)
{
    return sb_conf_new("edge_agent", keys, KEY_COUNT);
}

int agent_conf_load(struct sb_conf *conf, const char *file, char *const *environ_list,
                    struct sb_err *err)
{
    return sb_conf_load(conf, AGENT_CONFIG_FILE, file, environ_list, err);
}

/* ---- identity ---- */

int agent_certificate_cn(const char *path, char out[SB_NAME_MAX + 1], struct sb_err *err)
{
    int rc = sb_certificate_cn(path, out, err);

    if (rc == 0 && !sb_device_valid(sb_span_of(out))) {
        out[0] = '\0';
        rc = sb_fail(err, SB_ETLS, "%s: its common name is not a device id", path);
    }
    return rc;
}

static int find_device(const struct sb_conf *conf, struct agent_config *out, struct sb_err *err)
{
    const char *id = sb_conf_str(conf, "device", "id");

    if (id[0] == '\0') {
        if (out->cert_file[0] != '\0')
            (void)agent_certificate_cn(out->cert_file, out->device, NULL);
        else
            out->derived = device_id_find(out->state_dir, "/", out->device, NULL) == 0;
        return 0;
    }
    if (!sb_device_valid(sb_span_of(id)))
        return sb_fail(err, SB_ECONFIG,
                       "[device] id '%.80s': not [A-Za-z0-9_-]{1,64} without a leading '_'", id);
    memcpy(out->device, id, strlen(id) + 1);
    return 0;
}

/* ---- values ---- */

static int find_paths(const struct sb_conf *conf, struct agent_config *out, struct sb_err *err)
{
    size_t room = PATH_MAX - sizeof("/outbox.db-wal");
    int rc = sb_conf_state_dir(conf, "agent", sizeof("/outbox.db-wal"), out->state_dir, err);

    if (rc != 0)
        return rc;
    snprintf(out->outbox_path, sizeof(out->outbox_path), "%.*s/outbox.db", (int)room,
             out->state_dir);
    snprintf(out->socket_path, sizeof(out->socket_path), "%.*s/agent.sock", (int)room,
             out->state_dir);
    snprintf(out->lock_path, sizeof(out->lock_path), "%.*s/agent.lock", (int)room, out->state_dir);
    return 0;
}

static void read_broker(const struct sb_conf *conf, struct agent_config *out)
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
}

static void read_outbox(const struct sb_conf *conf, struct agent_config *out)
{
    out->switches.enabled = sb_conf_bool(conf, "sync", "enabled");
    out->switches.sync_settings = sb_conf_bool(conf, "sync", "sync_settings");
    out->switches.sync_history = sb_conf_bool(conf, "sync", "sync_history");
    out->switches.sync_sensors = sb_conf_bool(conf, "sync", "sync_sensors");
    out->switches.max_record_bytes = (uint64_t)sb_conf_int(conf, "outbox", "max_record_bytes");
    out->max_bytes = sb_conf_int(conf, "outbox", "max_bytes");
    out->resend = sb_conf_int(conf, "outbox", "resend_days") * DAY;
    out->local_history = sb_conf_int(conf, "sync", "local_history_days") * DAY;
    out->resend_bytes = sb_conf_int(conf, "outbox", "resend_bytes");
    out->purge_interval = sb_conf_int(conf, "outbox", "purge_interval");
    out->busy_timeout = sb_conf_int(conf, "outbox", "busy_timeout");
}

static void read_documents(const struct sb_conf *conf, struct agent_config *out)
{
    out->sync_interval = sb_conf_int(conf, "sync", "sync_interval");
    out->startup_sync_timeout = sb_conf_int(conf, "sync", "startup_sync_timeout");
    out->mappings = sb_conf_str(conf, "records", "mappings");
    out->export_dir = sb_conf_str(conf, "documents", "export_dir");
    out->on_change = sb_conf_str(conf, "documents", "on_change");
    out->on_change_timeout = sb_conf_int(conf, "documents", "on_change_timeout");
    out->encrypted_users = sb_conf_str(conf, "encryption", "users");
    out->encryption_key_file = sb_conf_str(conf, "encryption", "key_file");
    out->encryption_key_dir = sb_conf_str(conf, "encryption", "key_dir");
    out->encryption_keys = sb_conf_str(conf, "encryption", "key");
}

static void read_pacer(const struct sb_conf *conf, struct agent_config *out)
{
    out->window = (unsigned)sb_conf_int(conf, "pacer", "window");
    out->retry_min = sb_conf_int(conf, "pacer", "retry_min");
    out->retry_max = sb_conf_int(conf, "pacer", "retry_max");
    out->rto_min = sb_conf_int(conf, "pacer", "rto_min");
    out->rto_max = sb_conf_int(conf, "pacer", "rto_max");
    out->hello_refused_min = sb_conf_int(conf, "pacer", "hello_refused_min");
    out->puback_timeout = sb_conf_int(conf, "pacer", "puback_timeout");
}

static int check_pairs(const struct agent_config *c, struct sb_err *err)
{
    if (c->retry_min > c->retry_max)
        return sb_fail(err, SB_ECONFIG, "[pacer] retry_min is longer than retry_max");
    if (c->rto_min > c->rto_max)
        return sb_fail(err, SB_ECONFIG, "[pacer] rto_min is longer than rto_max");
    return 0;
}

int agent_config_from(const struct sb_conf *conf, struct agent_config *out, struct sb_err *err)
{
    int rc;

    *out = (struct agent_config){0};
    read_broker(conf, out);
    read_outbox(conf, out);
    read_documents(conf, out);
    read_pacer(conf, out);
    out->socket_group = sb_conf_str(conf, "agent", "socket_group");
    out->collect = sb_conf_bool(conf, "collector", "enabled");
    out->collect_interval = sb_conf_int(conf, "collector", "interval");
    out->collect_root = sb_conf_str(conf, "collector", "root");
    rc = find_paths(conf, out, err);
    if (rc == 0)
        rc = find_device(conf, out, err);
    if (rc == 0)
        rc = check_pairs(out, err);
    if (rc == 0)
        rc = sb_conf_check_broker(conf, err);
    if (rc == 0)
        rc = sb_conf_log(conf, &out->log_level, &out->log_json, err);
    return rc;
}

static int open_to_group(const struct agent_config *config, struct sb_err *err)
{
    const struct group *group = getgrnam(config->socket_group);
    struct stat st;

    if (group == NULL)
        return sb_fail(err, SB_ECONFIG, "[agent] socket_group '%.64s': there is no such group",
                       config->socket_group);
    if (stat(config->state_dir, &st) == 0 && st.st_gid == group->gr_gid && (st.st_mode & S_IXGRP))
        return 0;
    if (chown(config->state_dir, (uid_t)-1, group->gr_gid) != 0 ||
        chmod(config->state_dir, 0710) != 0)
        return sb_fail_errno(err, errno, "%.160s: open to group %.32s", config->state_dir,
                             config->socket_group);
    return 0;
}

int agent_config_make_state(const struct agent_config *config, struct sb_err *err)
{
    int rc = sb_make_folder(config->state_dir, 0700, err);

    if (rc == 0 && config->socket_group[0] != '\0')
        rc = open_to_group(config, err);
    return rc;
}

static struct vault_config encryption_of(const struct agent_config *config)
{
    return (struct vault_config){
        .users = config->encrypted_users,
        .key_file = config->encryption_key_file,
        .key_dir = config->encryption_key_dir,
        .keys = config->encryption_keys,
    };
}

int agent_config_vault(const struct agent_config *config, struct vault **out, struct sb_err *err)
{
    const struct vault_config vault = encryption_of(config);

    return vault_new(&vault, out, err);
}

int agent_config_reload_vault(const struct agent_config *config, struct vault *vault,
                              struct sb_err *err)
{
    const struct vault_config next = encryption_of(config);

    return vault_reload(vault, &next, err);
}

int agent_config_keep_device(struct agent_config *config, struct sb_err *err)
{
    return config->derived ? device_id_keep(config->state_dir, "/", config->device, err) : 0;
}

/* The broker knows a device with a password by its user name. */
static int check_derived(const struct agent_config *config, struct sb_err *err)
{
    if (!config->derived || config->user[0] == '\0' || strcmp(config->user, config->device) == 0)
        return 0;
    return sb_fail(err, SB_ENOT_CONFIGURED,
                   "not configured: [device] id ([broker] user is '%.64s', this machine's own id "
                   "%.12s...)",
                   config->user, config->device);
}

/* There is no id: says why none could be derived. */
static int fail_no_device(const struct agent_config *config, struct sb_err *err)
{
    char id[DEVICE_ID_LEN + 1];
    struct sb_err why = {.msg = "there is none in the certificate"};

    (void)device_id_find(config->state_dir, "/", id, &why);
    return sb_fail(err, SB_ENOT_CONFIGURED, "not configured: [device] id: %.200s", why.msg);
}

int agent_config_ready(const struct agent_config *config, struct sb_err *err)
{
    char cn[SB_NAME_MAX + 1];
    int rc;

    if (config->url[0] == '\0')
        return sb_fail(err, SB_ENOT_CONFIGURED, "not configured: [broker] url");
    if (config->cert_file[0] != '\0') {
        rc = agent_certificate_cn(config->cert_file, cn, err);
        if (rc == -(int)SB_ENOT_FOUND)
            rc = sb_fail(err, SB_ETLS, "[broker] cert_file %.180s: there is no such file",
                         config->cert_file);
        if (rc != 0)
            return rc;
        if (config->device[0] != '\0' && strcmp(cn, config->device) != 0)
            return sb_fail(err, SB_ECONFIG,
                           "[device] id is '%s', but the certificate's common name is '%s'",
                           config->device, cn);
    }
    return config->device[0] != '\0' ? check_derived(config, err) : fail_no_device(config, err);
}

/* ---- reload ---- */

static bool is_same(const struct sb_conf *a, const struct sb_conf *b, const struct sb_conf_key *key)
{
    switch (key->type) {
    case SB_CONF_STRING:
    case SB_CONF_PATH:
        return strcmp(sb_conf_str(a, key->section, key->key),
                      sb_conf_str(b, key->section, key->key)) == 0;
    case SB_CONF_INT:
    case SB_CONF_MS:
    case SB_CONF_BYTES:
        return sb_conf_int(a, key->section, key->key) == sb_conf_int(b, key->section, key->key);
    case SB_CONF_BOOL:
        return sb_conf_bool(a, key->section, key->key) == sb_conf_bool(b, key->section, key->key);
    }
    return true;
}

void agent_conf_changes(const struct sb_conf *before, const struct sb_conf *after,
                        void (*each)(void *ctx, const char *section, const char *key,
                                     bool reloadable),
                        void *ctx)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (!is_same(before, after, &keys[i]))
            each(ctx, keys[i].section, keys[i].key, keys[i].reloadable);
}

void agent_config_reload(struct agent_config *config, const struct agent_config *next)
{
    config->sync_interval = next->sync_interval;
    config->mappings = next->mappings;
    config->export_dir = next->export_dir;
    config->on_change = next->on_change;
    config->on_change_timeout = next->on_change_timeout;
    config->encrypted_users = next->encrypted_users;
    config->encryption_key_file = next->encryption_key_file;
    config->encryption_key_dir = next->encryption_key_dir;
    config->encryption_keys = next->encryption_keys;
    config->log_level = next->log_level;
    config->log_json = next->log_json;
}
