/* cloud_ingest's configuration: the defaults are the core's, what is wrong is named, number, paths
 * and mappings are worked out as documented. */
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

#include "cloud_ingest/config.h"

static struct sb_conf *conf;
static struct cloud_config config;
static struct sb_err err;
static char folder[64];

static int setup(void **state)
{
    (void)state;
    conf = cloud_conf_new();
    err = (struct sb_err){0};
    snprintf(folder, sizeof(folder), "/tmp/test_cloud_config.XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static const char *path_of(const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static int teardown(void **state)
{
    (void)state;
    sb_conf_free(conf);
    unlink(path_of("cert.pem"));
    unlink(path_of("ingest.conf"));
    unlink(path_of("x.json"));
    unlink(path_of("flows.json"));
    unlink(path_of("notes.json"));
    unlink(path_of("other.json"));
    return rmdir(folder);
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
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

static void make(void)
{
    assert_int_equal(cloud_config_from(conf, &config, &err), 0);
}

static void refused(const char *assignment, const char *text)
{
    set(assignment);
    assert_int_equal(cloud_config_from(conf, &config, &err), -(int)SB_ECONFIG);
    if (strstr(err.msg, text) == NULL)
        print_error("%s\n", err.msg);
    assert_non_null(strstr(err.msg, text));
}

static void the_defaults_are_those_of_the_core(void **state)
{
    struct ingest_config core;

    (void)state;
    ingest_config_default(&core);
    make();
    assert_int_equal(config.ingest.auto_register, core.auto_register);
    assert_int_equal(config.ingest.tombstone_ms, core.tombstone_ms);
    assert_int_equal(config.settings_policy, SB_POLICY_MERGE);
    assert_int_equal(config.records_policy, SB_POLICY_MERGE);
    assert_int_equal(config.ingest.group_rows, core.group_rows);
    assert_int_equal(config.ingest.group_bytes, core.group_bytes);
    assert_int_equal(config.ingest.group_ms, core.group_ms);
    assert_int_equal(config.ingest.reply_bytes, core.reply_bytes);
    assert_int_equal(config.ingest.page_bytes, core.page_bytes);
    assert_int_equal(config.ingest.gzip_level, core.gzip_level);
    assert_int_equal(config.ingest.limits.max_batch_bytes, core.limits.max_batch_bytes);
    assert_int_equal(config.ingest.limits.max_batch_records, core.limits.max_batch_records);
    assert_int_equal(config.ingest.limits.max_record_bytes, core.limits.max_record_bytes);
}

static void every_key_of_the_sample_is_taken(void **state)
{
    struct sb_buf sample = {0}, text = {0};

    (void)state;
    sb_conf_sample(conf, &sample);
    for (const char *at = sample.data; *at != '\0'; at = strchr(at, '\n') + 1) {
        bool setting = at[0] == '#' && at[1] != ' ';
        const char *from = setting ? at + 1 : at;

        sb_buf_add(&text, from, (size_t)(strchr(at, '\n') + 1 - from));
    }
    write_file("ingest.conf", text.data);
    assert_int_equal(cloud_conf_load(conf, path_of("ingest.conf"), (char *[]){NULL}, &err), 0);
    make();
    assert_non_null(strstr(sb_conf_origin(conf, "ingest", "group_rows"), "ingest.conf:"));
    sb_buf_free(&sample);
    sb_buf_free(&text);
}

static void the_example_in_the_tree_is_the_sample(void **state)
{
    const char *source = getenv("SB_SOURCE_DIR");
    struct sb_buf sample = {0}, text = {0};
    char path[512];
    size_t got;
    FILE *file;

    (void)state;
    snprintf(path, sizeof(path), "%s/cloud_ingest/cloud_ingest.conf.example",
             source != NULL ? source : ".");
    file = fopen(path, "r");
    assert_non_null(file);
    do {
        sb_buf_reserve(&text, 4096);
        got = fread(text.data + text.len, 1, 4096, file);
        text.len += got;
    } while (got > 0);
    fclose(file);
    sb_buf_add_str(&text, "");
    sb_conf_sample(conf, &sample);
    if (!sb_span_eq(sb_buf_span(&sample), sb_buf_span(&text)))
        fail_msg("%s: not what `cloud_ingest config sample` prints", path);
    sb_buf_free(&sample);
    sb_buf_free(&text);
}

static void files_stand_in_the_state_folder(void **state)
{
    (void)state;
    set("ingest.state_dir=/srv/x");
    make();
    assert_string_equal(config.socket_path, "/srv/x/ingest.sock");
    assert_string_equal(config.lock_path, "/srv/x/ingest.lock");
    assert_string_equal(config.store_path, "/srv/x/ingest.db");
    set("store.path=/data/cloud.db");
    make();
    assert_string_equal(config.store_path, "/data/cloud.db");
}

static void the_number_is_set_or_the_certificates(void **state)
{
    (void)state;
    set("broker.url=mqtts://a:8883");
    make();
    assert_int_equal(cloud_config_ready(&config, &err), -(int)SB_ENOT_CONFIGURED);
    assert_non_null(strstr(err.msg, "[ingest] n"));
    write_cert("_ingest-7");
    set_path("broker.cert_file", "cert.pem");
    set_path("broker.key_file", "key.pem");
    make();
    assert_true(config.has_n);
    assert_int_equal(config.ingest.n, 7);
    assert_int_equal(cloud_config_ready(&config, &err), 0);
    set("ingest.n=7");
    make();
    assert_int_equal(cloud_config_ready(&config, &err), 0);
    set("ingest.n=0");
    make();
    assert_int_equal(config.ingest.n, 0);
    assert_int_equal(cloud_config_ready(&config, &err), -(int)SB_ECONFIG);
    assert_non_null(strstr(err.msg, "_ingest-7"));
}

static void a_device_or_an_operator_is_no_ingest(void **state)
{
    static const char *const others[] = {
        "edge-001",   "_op-alice",  "_ingest-",      "_ingest-01",
        "_ingest-1x", "_ingest--1", "_ingest-10000", "_ingest-99999999999999999999"};
    unsigned n = 0;

    (void)state;
    set("broker.url=mqtts://a:8883");
    set_path("broker.cert_file", "cert.pem");
    set_path("broker.key_file", "key.pem");
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(cloud_ingest_number(others[i], &n));
    assert_true(cloud_ingest_number("_ingest-0", &n));
    assert_int_equal(n, 0);
    assert_true(cloud_ingest_number("_ingest-9999", &n));
    assert_int_equal(n, 9999);
    write_cert("edge-001");
    make();
    assert_int_equal(cloud_config_ready(&config, &err), -(int)SB_ETLS);
    assert_non_null(strstr(err.msg, "edge-001"));
    unlink(path_of("cert.pem"));
    make();
    assert_int_equal(cloud_config_ready(&config, &err), -(int)SB_ETLS);
    assert_non_null(strstr(err.msg, "no such file"));
}

static void without_a_broker_it_says_so(void **state)
{
    (void)state;
    make();
    assert_int_equal(cloud_config_ready(&config, &err), -(int)SB_ENOT_CONFIGURED);
    assert_string_equal(err.msg, "not configured: [broker] url");
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    refused("settings.policy=newest", "[settings] policy 'newest'");
    set("settings.policy=local");
    refused("admin.operators=_op-anna, bo", "[admin] operators: 'bo'");
    set("admin.operators=_op-anna,_op-bo");
    refused("records.policy=", "[records] policy ''");
    set("records.policy=manual");
    refused("records.tables=a, b, a", "[records] tables: table a is declared twice");
    refused("records.tables=a, 9b", "table '9b'");
    refused("records.tables=settings", "table settings");
    set("records.tables=a,b c");
    refused("log.level=loud", "[log] level 'loud'");
    set("log.level=info");
    refused("broker.cert_file=/x", "cert_file and key_file");
    set("broker.key_file=/y");
    make();
    assert_int_equal(config.settings_policy, SB_POLICY_LOCAL);
    assert_int_equal(sb_conf_set(conf, "store.busy_timeout=5s", &err), -(int)SB_ECONFIG);
    assert_int_equal(sb_conf_set(conf, "ingest.n=10000", &err), -(int)SB_ECONFIG);
    assert_int_equal(sb_conf_set(conf, "broker.password=x", &err), -(int)SB_ECONFIG);
}

static void mappings_are_read_from_their_folder(void **state)
{
    struct mapping_set *set_of = NULL;

    (void)state;
    make();
    assert_false(config.mappings_given);
    assert_int_equal(cloud_config_mappings(&config, &set_of, &err), 0);
    mapping_set_free(set_of);
    set_path("mappings.dir", "");
    write_file("x.json", "{\"type\":\"x\",\"columns\":[{\"name\":\"a\",\"type\":\"number\"}]}");
    make();
    assert_int_equal(cloud_config_mappings(&config, &set_of, &err), 0);
    assert_int_equal(mapping_set_count(set_of), 1);
    mapping_set_free(set_of);
    write_file("x.json", "{\"type\":\"y\",\"columns\":[]}");
    assert_int_equal(cloud_config_mappings(&config, &set_of, &err), -(int)SB_ECONFIG);
    set_path("mappings.dir", "none");
    make();
    assert_int_equal(cloud_config_mappings(&config, &set_of, &err), -(int)SB_ECONFIG);
    assert_non_null(strstr(err.msg, "[mappings] dir"));
}

static void tables_are_those_of_the_configuration_and_of_their_files(void **state)
{
    struct tables *tables = NULL;

    (void)state;
    make();
    assert_int_equal(cloud_config_tables(&config, &tables, &err), 0);
    assert_int_equal(tables_count(tables), 12);
    assert_string_equal(tables_at(tables, 0)->name, "projects");
    assert_string_equal(tables_at(tables, 11)->name, "memory");
    tables_free(tables);
    set("settings.policy=latest");
    set("records.policy=server");
    set("records.tables= notes ,flows,");
    set("records.tombstone_days=2");
    set_path("mappings.dir", "");
    write_file("x.json", "{\"type\":\"x\",\"columns\":[{\"name\":\"a\",\"type\":\"number\"}]}");
    write_file("flows.json",
               "{\"table\":\"flows\",\"policy\":\"merge\",\"arrays\":{\"/n\":\"k\"}}");
    write_file("other.json", "{\"table\":\"other\"}");
    make();
    assert_int_equal(config.ingest.tombstone_ms, INT64_C(2) * 86400000);
    assert_int_equal(cloud_config_tables(&config, &tables, &err), 0);
    assert_int_equal(tables_count(tables), 2);
    assert_int_equal(tables_get(tables, "settings")->policy, SB_POLICY_LATEST);
    assert_int_equal(tables_get(tables, "notes")->policy, SB_POLICY_SERVER);
    assert_int_equal(tables_get(tables, "flows")->policy, SB_POLICY_MERGE);
    assert_string_equal(tables_get(tables, "flows")->arrays.data, "{\"/n\":\"k\"}");
    assert_null(tables_get(tables, "other"));
    tables_free(tables);
    write_file("notes.json", "{\"table\":\"flows\"}");
    assert_int_equal(cloud_config_tables(&config, &tables, &err), -(int)SB_ECONFIG);
    assert_non_null(strstr(err.msg, "notes.json: declares the table flows"));
    set_path("mappings.dir", "none");
    make();
    assert_int_equal(cloud_config_tables(&config, &tables, &err), 0);
    tables_free(tables);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_defaults_are_those_of_the_core, setup, teardown),
        cmocka_unit_test_setup_teardown(every_key_of_the_sample_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(the_example_in_the_tree_is_the_sample, setup, teardown),
        cmocka_unit_test_setup_teardown(files_stand_in_the_state_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(the_number_is_set_or_the_certificates, setup, teardown),
        cmocka_unit_test_setup_teardown(a_device_or_an_operator_is_no_ingest, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_broker_it_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(mappings_are_read_from_their_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(tables_are_those_of_the_configuration_and_of_their_files,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
