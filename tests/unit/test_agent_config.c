/* edge_agent's configuration: every default is valid, what is wrong is named, the state folder and
 * the device id are worked out as documented. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "edge_agent/config.h"

static struct sb_conf *conf;
static struct agent_config config;
static struct sb_err err;
static char folder[64];

static int setup(void **state)
{
    (void)state;
    conf = agent_conf_new();
    err = (struct sb_err){0};
    snprintf(folder, sizeof(folder), "/tmp/test_agent_config.XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    sb_conf_free(conf);
    snprintf(command, sizeof(command), "%s/agent.conf", folder);
    unlink(command);
    snprintf(command, sizeof(command), "%s/cert.pem", folder);
    unlink(command);
    return rmdir(folder);
}

static const char *path_of(const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void write_conf(const char *text)
{
    FILE *file = fopen(path_of("agent.conf"), "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int load(char *const *environment)
{
    static char *nothing[] = {NULL};

    return agent_conf_load(conf, path_of("agent.conf"), environment != NULL ? environment : nothing,
                           &err);
}

/* A self-signed certificate with that common name. */
static void write_cert(const char *cn)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);
    FILE *file = fopen(path_of("cert.pem"), "w");

    assert_non_null(key);
    assert_non_null(file);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    assert_int_not_equal(X509_sign(cert, key, EVP_sha256()), 0);
    assert_int_equal(PEM_write_X509(file, cert), 1);
    fclose(file);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static void set(const char *assignment)
{
    assert_int_equal(sb_conf_set(conf, assignment, &err), 0);
}

static void set_path(const char *key, const char *name)
{
    char text[256];

    snprintf(text, sizeof(text), "%s=%s", key, path_of(name));
    set(text);
}

static void the_defaults_are_valid(void **state)
{
    (void)state;
    set("agent.state_dir=/tmp/x");
    assert_int_equal(agent_config_from(conf, &config, &err), 0);
    assert_string_equal(config.outbox_path, "/tmp/x/outbox.db");
    assert_string_equal(config.socket_path, "/tmp/x/agent.sock");
    assert_true(config.switches.enabled && config.switches.sync_settings &&
                config.switches.sync_sensors);
    assert_false(config.switches.sync_history); /* privacy: only when asked for */
    assert_int_equal(config.switches.max_record_bytes, SB_RECORD_MAX_BYTES);
    assert_int_equal(config.resend, INT64_C(7) * 86400 * 1000);
    assert_int_equal(config.retry_min, 30000);
    assert_int_equal(config.retry_max, 1800000);
    assert_int_equal(config.collect_interval, 10000);
    assert_int_equal(config.session_expiry, 604800000);
}

static void the_sample_is_a_valid_file(void **state)
{
    struct sb_buf sample = {0};

    (void)state;
    sb_conf_sample(conf, &sample);
    write_conf(sample.data);
    sb_buf_free(&sample);
    assert_int_equal(load(NULL), 0);
}

static void note_change(void *ctx, const char *section, const char *key, bool reloadable)
{
    sb_buf_add_fmt(ctx, "%s.%s%s ", section, key, reloadable ? "" : "!");
}

static void a_reload_takes_what_can_change_and_names_the_rest(void **state)
{
    struct sb_conf *next_conf = agent_conf_new();
    struct agent_config next;
    struct sb_buf changes = {0};

    (void)state;
    set("agent.state_dir=/tmp/x");
    assert_int_equal(sb_conf_set(next_conf, "agent.state_dir=/tmp/y", &err), 0);
    assert_int_equal(sb_conf_set(next_conf, "sync.sync_interval=60s", &err), 0);
    assert_int_equal(sb_conf_set(next_conf, "documents.on_change=/bin/true", &err), 0);
    assert_int_equal(sb_conf_set(next_conf, "sync.enabled=no", &err), 0);
    assert_int_equal(sb_conf_set(next_conf, "pacer.window=64", &err), 0); /* as it is */
    agent_conf_changes(conf, next_conf, note_change, &changes);
    assert_string_equal(changes.data, "agent.state_dir! sync.enabled! sync.sync_interval "
                                      "documents.on_change ");
    assert_int_equal(agent_config_from(conf, &config, &err), 0);
    assert_int_equal(agent_config_from(next_conf, &next, &err), 0);
    assert_int_equal(config.sync_interval, 300000);
    assert_int_equal(config.on_change_timeout, 30000);
    agent_config_reload(&config, &next);
    assert_int_equal(config.sync_interval, 60000);
    assert_string_equal(config.on_change, "/bin/true");
    assert_string_equal(config.state_dir, "/tmp/x");
    assert_true(config.switches.enabled);
    sb_buf_free(&changes);
    sb_conf_free(next_conf);
}

static void keys_come_by_the_environment_alone(void **state)
{
    char key[] = "SB_ENCRYPTION_KEY=a,b";
    char *environment[] = {key, NULL};

    (void)state;
    write_conf("[encryption]\nkey = a\n");
    assert_int_equal(load(NULL), -(int)SB_ECONFIG);
    assert_int_not_equal(sb_conf_set(conf, "encryption.key=a", &err), 0);
    write_conf("[agent]\nstate_dir = /tmp/y\n");
    assert_int_equal(load(environment), 0);
    assert_int_equal(agent_config_from(conf, &config, &err), 0);
    assert_string_equal(config.encryption_keys, "a,b");
}

static void a_file_sets_values_and_the_environment_wins(void **state)
{
    char url[] = "SB_BROKER_URL=mqtts://b:8883", retry[] = "SB_PACER_RETRY_MIN=200ms";
    char *environment[] = {url, retry, NULL};

    (void)state;
    write_conf("[broker]\nurl = mqtts://a:8883\n[sync]\nsync_history = on\n"
               "[agent]\nstate_dir = /tmp/y\n");
    assert_int_equal(load(environment), 0);
    assert_int_equal(agent_config_from(conf, &config, &err), 0);
    assert_string_equal(config.url, "mqtts://b:8883");
    assert_int_equal(config.retry_min, 200);
    assert_true(config.switches.sync_history);
}

static void a_named_file_must_exist(void **state)
{
    (void)state;
    assert_int_equal(load(NULL), -(int)SB_ECONFIG);
    assert_non_null(strstr(err.msg, "no such file"));
}

static void unknown_keys_name_the_nearest(void **state)
{
    (void)state;
    write_conf("[broker]\nulr = mqtts://a\n");
    assert_int_equal(load(NULL), -(int)SB_ECONFIG);
    assert_non_null(strstr(err.msg, ":2"));
    assert_non_null(strstr(err.msg, "broker.url"));
}

static void wrong_values_are_named(void **state)
{
    static const struct {
        const char *assignment, *said;
    } bad[] = {
        {"device.id=_op-x", "[device] id"},         {"device.id=a.b", "[device] id"},
        {"log.level=loud", "[log] level"},          {"log.format=xml", "[log] format"},
        {"pacer.retry_min=2h", "retry_min"},        {"pacer.rto_min=5m", "rto_min"},
        {"broker.cert_file=/x", "belong together"}, {"broker.password_file=/x", "needs user"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct sb_conf *own = agent_conf_new();

        assert_int_equal(sb_conf_set(own, "agent.state_dir=/tmp/x", &err), 0);
        assert_int_equal(sb_conf_set(own, bad[i].assignment, &err), 0);
        assert_int_equal(agent_config_from(own, &config, &err), -(int)SB_ECONFIG);
        assert_non_null(strstr(err.msg, bad[i].said));
        sb_conf_free(own);
    }
}

static void the_device_is_the_certificates_name(void **state)
{
    (void)state;
    write_cert("edge-001");
    set("agent.state_dir=/tmp/x");
    set("broker.url=mqtts://a:8883");
    set_path("broker.cert_file", "cert.pem");
    set_path("broker.key_file", "key.pem");
    assert_int_equal(agent_config_from(conf, &config, &err), 0);
    assert_string_equal(config.device, "edge-001");
    assert_int_equal(agent_config_ready(&config, &err), 0);
    set("device.id=edge-002");
    assert_int_equal(agent_config_from(conf, &config, &err), 0);
    assert_int_equal(agent_config_ready(&config, &err), -(int)SB_ECONFIG);
    assert_non_null(strstr(err.msg, "edge-001"));
}

#define KEPT_ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void write_kept_id(const char *text)
{
    FILE *file = fopen(path_of("device-id"), "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void without_name_and_certificate_it_is_the_derived_id(void **state)
{
    (void)state;
    write_kept_id(KEPT_ID "\n");
    set_path("agent.state_dir", "");
    set("broker.url=mqtt://localhost:1883");
    assert_int_equal(agent_config_from(conf, &config, &err), 0);
    assert_string_equal(config.device, KEPT_ID);
    assert_true(config.derived);
    assert_int_equal(agent_config_ready(&config, &err), 0);
    assert_int_equal(agent_config_keep_device(&config, &err), 0);
    assert_string_equal(config.device, KEPT_ID);

    /* the broker knows it by another name: one of the two is a mistake */
    set("broker.user=edge-001");
    assert_int_equal(agent_config_from(conf, &config, &err), 0);
    assert_int_equal(agent_config_ready(&config, &err), -(int)SB_ENOT_CONFIGURED);
    assert_non_null(strstr(err.msg, "edge-001"));
    set("broker.user=" KEPT_ID);
    assert_int_equal(agent_config_from(conf, &config, &err), 0);
    assert_int_equal(agent_config_ready(&config, &err), 0);

    /* a name goes before it, and so does a certificate, even one that cannot be read */
    set("device.id=edge-1");
    assert_int_equal(agent_config_from(conf, &config, &err), 0);
    assert_string_equal(config.device, "edge-1");
    assert_false(config.derived);
    set("device.id=");
    set_path("broker.cert_file", "none.pem");
    set_path("broker.key_file", "none.key");
    assert_int_equal(agent_config_from(conf, &config, &err), 0);
    assert_string_equal(config.device, "");
    assert_false(config.derived);
    unlink(path_of("device-id"));
}

static void a_kept_id_that_cannot_be_read_is_not_replaced(void **state)
{
    (void)state;
    write_kept_id("edge-001\n");
    set_path("agent.state_dir", "");
    set("broker.url=mqtt://localhost:1883");
    assert_int_equal(agent_config_from(conf, &config, &err), 0);
    assert_string_equal(config.device, "");
    assert_int_equal(agent_config_ready(&config, &err), -(int)SB_ENOT_CONFIGURED);
    assert_non_null(strstr(err.msg, "[device] id"));
    assert_non_null(strstr(err.msg, "no device id in it"));
    assert_int_equal(agent_config_keep_device(&config, &err), 0); /* nothing to keep */
    unlink(path_of("device-id"));
}

static void a_certificate_of_an_operator_is_no_device(void **state)
{
    char cn[SB_NAME_MAX + 1];

    (void)state;
    write_cert("_op-alice");
    assert_int_equal(agent_certificate_cn(path_of("cert.pem"), cn, &err), -(int)SB_ETLS);
    assert_non_null(strstr(err.msg, "common name"));
    write_cert("a/b");
    assert_int_equal(agent_certificate_cn(path_of("cert.pem"), cn, &err), -(int)SB_ETLS);
    write_conf("no certificate");
    assert_int_equal(agent_certificate_cn(path_of("agent.conf"), cn, &err), -(int)SB_ETLS);
    assert_int_equal(agent_certificate_cn(path_of("none"), cn, &err), -(int)SB_ENOT_FOUND);
}

static void without_a_broker_it_says_so(void **state)
{
    (void)state;
    set("agent.state_dir=/tmp/x");
    assert_int_equal(agent_config_from(conf, &config, &err), 0);
    assert_int_equal(agent_config_ready(&config, &err), -(int)SB_ENOT_CONFIGURED);
    assert_string_equal(err.msg, "not configured: [broker] url");
    assert_int_equal(sb_exit_status(err.code), 6);
    set("broker.url=mqtt://localhost:1883");
    set("device.id=edge-1");
    assert_int_equal(agent_config_from(conf, &config, &err), 0);
    assert_int_equal(agent_config_ready(&config, &err), 0);
}

static void the_state_folder_follows_the_place(void **state)
{
    (void)state;
    if (geteuid() == 0) {
        assert_int_equal(agent_config_from(conf, &config, &err), 0);
        assert_string_equal(config.state_dir, "/var/lib/sb");
        assert_int_equal(seteuid(65534), 0);
    }
    setenv("XDG_STATE_HOME", "/tmp/state", 1);
    assert_int_equal(agent_config_from(conf, &config, &err), 0);
    assert_string_equal(config.state_dir, "/tmp/state/sb");
    unsetenv("XDG_STATE_HOME");
    setenv("HOME", "/home/u", 1);
    assert_int_equal(agent_config_from(conf, &config, &err), 0);
    assert_string_equal(config.state_dir, "/home/u/.local/state/sb");
    unsetenv("HOME");
    assert_int_equal(agent_config_from(conf, &config, &err), -(int)SB_ENOT_CONFIGURED);
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_defaults_are_valid),
        TEST(the_sample_is_a_valid_file),
        TEST(a_reload_takes_what_can_change_and_names_the_rest),
        TEST(keys_come_by_the_environment_alone),
        TEST(a_file_sets_values_and_the_environment_wins),
        TEST(a_named_file_must_exist),
        TEST(unknown_keys_name_the_nearest),
        TEST(wrong_values_are_named),
        TEST(the_device_is_the_certificates_name),
        TEST(without_name_and_certificate_it_is_the_derived_id),
        TEST(a_kept_id_that_cannot_be_read_is_not_replaced),
        TEST(a_certificate_of_an_operator_is_no_device),
        TEST(without_a_broker_it_says_so),
        TEST(the_state_folder_follows_the_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
