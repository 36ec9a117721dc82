#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/conf.h"
#include "common/json_scan.h"
#include "common/nearest.h"

static const struct sb_conf_key keys[] = {
    {"broker", "ca_file", SB_CONF_PATH, "", 0, 0, true, false, "Roots that sign the broker."},
    {"broker", "keepalive", SB_CONF_MS, "30s", 5000, 3600000, false, true, "Keep-alive."},
    {"broker", "password", SB_CONF_STRING, "", 0, 0, false, false, "Password."},
    {"broker", "password_file", SB_CONF_PATH, "", 0, 0, true, false, "File with the password."},
    {"broker", "url", SB_CONF_STRING, "mqtts://localhost:8883", 0, 0, false, false, "The broker."},
    {"cloud", "api_key", SB_CONF_STRING, "", 0, 0, false, false, "API key."},
    {"cloud", "require_token", SB_CONF_BOOL, "no", 0, 0, false, false, "Only logins count."},
    {"outbox", "free_disk", SB_CONF_BYTES, "64M", 0, 0, false, false, "Kept free."},
    {"outbox", "limit", SB_CONF_BYTES, "1G", 1048576, INT64_C(1) << 40, false, false, "At most."},
    {"outbox", "max_age", SB_CONF_MS, "", 0, 0, false, false, "Unset: for ever."},
    {"outbox", "retries", SB_CONF_INT, "3", 1, 100, false, false, "Tries."},
    {"outbox", "shift", SB_CONF_INT, "0", -10, 10, false, false, "May be negative."},
};

struct fixture {
    char path[64];
    struct sb_conf *conf;
    struct sb_err err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int fd;

    snprintf(f->path, sizeof(f->path), "/tmp/sb-conf-XXXXXX");
    fd = mkstemp(f->path);
    assert_true(fd >= 0);
    close(fd);
    f->conf = sb_conf_new("edge_agent", keys, sizeof(keys) / sizeof(keys[0]));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    unlink(f->path);
    sb_conf_free(f->conf);
    free(f);
    return 0;
}

static void write_bytes(const struct fixture *f, const char *bytes, size_t len)
{
    FILE *file = fopen(f->path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static int read_text(struct fixture *f, const char *text)
{
    write_bytes(f, text, strlen(text));
    return sb_conf_read_file(f->conf, f->path, &f->err);
}

static void assert_read(struct fixture *f, const char *text)
{
    int rc = read_text(f, text);

    if (rc != 0)
        print_error("%s\n", f->err.msg);
    assert_int_equal(rc, 0);
}

static void assert_contains(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", part, text);
}

static void assert_refused(struct fixture *f, const char *text, const char *place,
                           const char *reason)
{
    char prefix[96];

    f->err = (struct sb_err){0};
    assert_int_equal(read_text(f, text), -SB_ECONFIG);
    assert_int_equal(f->err.code, SB_ECONFIG);
    snprintf(prefix, sizeof(prefix), "%s:%s: ", f->path, place);
    assert_contains(f->err.msg, prefix);
    assert_contains(f->err.msg, reason);
}

static void assert_set(struct fixture *f, const char *assignment)
{
    int rc = sb_conf_set(f->conf, assignment, &f->err);

    if (rc != 0)
        print_error("%s\n", f->err.msg);
    assert_int_equal(rc, 0);
}

static void assert_set_fails(struct fixture *f, const char *assignment, enum sb_code code,
                             const char *reason)
{
    assert_int_equal(sb_conf_set(f->conf, assignment, &f->err), -(int)code);
    assert_contains(f->err.msg, "--set");
    assert_contains(f->err.msg, reason);
}

static void defaults_hold_without_anything(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(sb_conf_str(f->conf, "broker", "url"), "mqtts://localhost:8883");
    assert_int_equal(sb_conf_int(f->conf, "broker", "keepalive"), 30000);
    assert_int_equal(sb_conf_int(f->conf, "outbox", "limit"), 1 << 30);
    assert_int_equal(sb_conf_int(f->conf, "outbox", "max_age"), 0);
    assert_false(sb_conf_is_set(f->conf, "outbox", "max_age"));
    assert_true(sb_conf_is_set(f->conf, "outbox", "retries"));
    assert_false(sb_conf_bool(f->conf, "cloud", "require_token"));
    assert_string_equal(sb_conf_str(f->conf, "broker", "ca_file"), "");
    assert_false(sb_conf_is_set(f->conf, "broker", "ca_file"));
    assert_string_equal(sb_conf_origin(f->conf, "broker", "url"), "default");
}

static void a_file_is_read_with_comments_and_places(void **state)
{
    struct fixture *f = *state;
    char origin[96];

    assert_read(f, "\xef\xbb\xbf[broker]\r\n; remark\n# remark\n  url = mqtts://b:1/#x   ; why\n"
                   "keepalive: 5m # longer\n\n[outbox]\nretries=7\n   shift = -10\n[broker]\n"
                   "ca_file = /a b/\xc3\xa4.pem\n[cloud]");
    assert_string_equal(sb_conf_str(f->conf, "broker", "url"), "mqtts://b:1/#x");
    assert_int_equal(sb_conf_int(f->conf, "broker", "keepalive"), 300000);
    assert_int_equal(sb_conf_int(f->conf, "outbox", "retries"), 7);
    assert_int_equal(sb_conf_int(f->conf, "outbox", "shift"), -10);
    assert_string_equal(sb_conf_str(f->conf, "broker", "ca_file"), "/a b/\xc3\xa4.pem");
    snprintf(origin, sizeof(origin), "%s:4", f->path);
    assert_string_equal(sb_conf_origin(f->conf, "broker", "url"), origin);
}

static void an_unknown_key_is_refused_with_line_and_nearest_match(void **state)
{
    struct fixture *f = *state;

    assert_refused(f, "[broker]\n\nkeepalvie = 5\n", "3",
                   "unknown key 'broker.keepalvie'; did you mean 'broker.keepalive'?");
    assert_refused(f, "[broker]\nretries = 5\n", "2", "did you mean 'outbox.retries'?");
    assert_refused(f, "[broker]\nUrl = x\n", "2", "did you mean 'broker.url'?");
    assert_refused(f, "[broker]\nquite_something_else = 5\n", "2",
                   "unknown key 'broker.quite_something_else'");
    assert_null(strstr(f->err.msg, "did you mean"));
    assert_refused(f, "[broker]\n\xff = 5\n", "2", "unknown key");
    assert_true(sb_utf8_valid(sb_span_of(f->err.msg), NULL));
}

static void an_unknown_section_is_refused_even_when_empty(void **state)
{
    struct fixture *f = *state;

    assert_refused(f, "[outbox]\n[brokr]\n", "2", "unknown section [brokr]; did you mean [broker]");
    assert_refused(f, "[outbox]\n  [zzzzzz]\nurl = 1\n", "2", "unknown section [zzzzzz]");
    assert_refused(f, "url = x\n", "1", "before the first [section]");
}

static void what_is_no_configuration_is_refused(void **state)
{
    struct fixture *f = *state;
    char line[5000];

    assert_refused(f, "[broker]\nurl\n", "2", "neither [section] nor key = value");
    assert_refused(f, "[broker\n", "1", "neither");
    assert_refused(f, "[broker]\nurl = a\nurl = b\n", "3", "line 2 already");
    write_bytes(f, "[broker]\nurl = a\0b\n", 19);
    assert_int_equal(sb_conf_read_file(f->conf, f->path, &f->err), -SB_ECONFIG);
    assert_contains(f->err.msg, ":2: a NUL byte");
    snprintf(line, sizeof(line), "[broker]\nurl = %04500d\nkeepalive = 5\n", 7);
    assert_refused(f, line, "2", "too long");
    assert_refused(f, "[broker]\nurl = a\xff\xfe\n", "2", "not valid UTF-8");
    assert_int_equal(sb_conf_read_file(f->conf, "/nonexistent/x.conf", &f->err), -SB_ENOT_FOUND);
    assert_contains(f->err.msg, "/nonexistent/x.conf");
    assert_int_equal(sb_conf_read_file(f->conf, "/", &f->err), -SB_EIO);
}

static void a_long_line_is_taken_whole(void **state)
{
    struct fixture *f = *state;
    char line[4096];

    snprintf(line, sizeof(line), "[broker]\nurl = %04000d\nkeepalive = 6\n", 7);
    assert_read(f, line);
    assert_int_equal(strlen(sb_conf_str(f->conf, "broker", "url")), 4000);
    assert_int_equal(sb_conf_int(f->conf, "broker", "keepalive"), 6000);
}

static void values_out_of_range_or_of_another_kind_are_refused(void **state)
{
    struct fixture *f = *state;

    assert_refused(f, "[broker]\nkeepalive = 4999ms\n", "2",
                   "broker.keepalive: 4999ms is out of range (5s to 1h)");
    assert_refused(f, "[broker]\nkeepalive = 2h\n", "2", "out of range");
    assert_refused(f, "[broker]\nkeepalive = 1.5s\n", "2", "is not a duration");
    assert_refused(f, "[broker]\nkeepalive = 5 m\n", "2", "is not a duration");
    assert_refused(f, "[broker]\nkeepalive = -5s\n", "2", "is not a duration");
    assert_refused(f, "[broker]\nkeepalive =\n", "2", "is not a duration");
    assert_refused(f, "[broker]\nkeepalive = 99999999999999999999\n", "2", "is not a duration");
    assert_refused(f, "[broker]\nkeepalive = 9223372036854775d\n", "2", "is not a duration");
    assert_refused(f, "[outbox]\nlimit = 1023K\n", "2", "out of range (1M to 1024G)");
    assert_refused(f, "[outbox]\nlimit = 1T\n", "2", "is not a size");
    assert_refused(f, "[outbox]\nretries = 3x\n", "2", "'3x' is not a whole number");
    assert_refused(f, "[outbox]\nretries = +3\n", "2", "is not a whole number");
    assert_refused(f, "[outbox]\nretries = 0\n", "2", "out of range (1 to 100)");
    assert_refused(f, "[cloud]\nrequire_token = maybe\n", "2", "is not yes or no");
}

static void every_unit_is_understood(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } times[] = {{"5000ms", 5000}, {"7", 7000},    {"8s", 8000},   {"2m", 120000},
                 {"1h", 3600000},  {"10S", 10000}, {"0005s", 5000}};
    static const struct {
        const char *text;
        int64_t bytes;
    } sizes[] = {{"0", 0}, {"4096", 4096}, {"3K", 3072}, {"5m", 5242880}, {"2G", 2147483648}};
    static const char *const yes[] = {"yes", "true", "on", "1", "YES"};
    static const char *const no[] = {"no", "false", "off", "0", "Off"};
    struct fixture *f = *state;
    char text[64];

    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        snprintf(text, sizeof(text), "broker.keepalive=%s", times[i].text);
        assert_set(f, text);
        assert_int_equal(sb_conf_int(f->conf, "broker", "keepalive"), times[i].ms);
    }
    assert_set(f, "outbox.max_age=7d");
    assert_int_equal(sb_conf_int(f->conf, "outbox", "max_age"), 604800000);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        snprintf(text, sizeof(text), "outbox.free_disk=%s", sizes[i].text);
        assert_set(f, text);
        assert_int_equal(sb_conf_int(f->conf, "outbox", "free_disk"), sizes[i].bytes);
    }
    for (size_t i = 0; i < 5; i++) {
        snprintf(text, sizeof(text), "cloud.require_token=%s", yes[i]);
        assert_set(f, text);
        assert_true(sb_conf_bool(f->conf, "cloud", "require_token"));
        snprintf(text, sizeof(text), "cloud.require_token=%s", no[i]);
        assert_set(f, text);
        assert_false(sb_conf_bool(f->conf, "cloud", "require_token"));
    }
}

static void the_later_source_wins(void **state)
{
    char *environment[] = {(char[]){"SB_BROKER_KEEPALIVE=20s"}, (char[]){"SB_OUTBOX_RETRIES=9"},
                           NULL};
    struct fixture *f = *state;

    assert_set(f, "outbox.retries=50");
    assert_read(f, "[broker]\nkeepalive = 10s\nurl = file\n[outbox]\nretries = 8\n");
    assert_int_equal(sb_conf_read_environment(f->conf, environment, &f->err), 0);
    assert_int_equal(sb_conf_int(f->conf, "broker", "keepalive"), 20000);
    assert_string_equal(sb_conf_origin(f->conf, "broker", "keepalive"), "SB_BROKER_KEEPALIVE");
    assert_int_equal(sb_conf_int(f->conf, "outbox", "retries"), 50);
    assert_string_equal(sb_conf_origin(f->conf, "outbox", "retries"), "--set");
    assert_string_equal(sb_conf_str(f->conf, "broker", "url"), "file");
    assert_set(f, "broker.url=set=with=equals");
    assert_string_equal(sb_conf_str(f->conf, "broker", "url"), "set=with=equals");
    assert_set(f, "broker.url=");
    assert_false(sb_conf_is_set(f->conf, "broker", "url"));
}

static void environment_of_others_is_ignored_and_ours_is_checked(void **state)
{
    char *others[] = {(char[]){"SB_LONG=1"}, (char[]){"SB_SHARED_DATA=/x"},
                      (char[]){"PATH=/bin"}, (char[]){"BROKER_URL=x"},
                      (char[]){"no equals"}, NULL};
    char *unknown[] = {(char[]){"SB_BROKER_ULR=x"}, NULL};
    char *bad[] = {(char[]){"SB_OUTBOX_RETRIES=many"}, NULL};
    char *secret[] = {(char[]){"SB_BROKER_PASSWORD=hush"}, NULL};
    struct fixture *f = *state;

    assert_int_equal(sb_conf_read_environment(f->conf, others, &f->err), 0);
    assert_int_equal(sb_conf_read_environment(f->conf, unknown, &f->err), -SB_ECONFIG);
    assert_contains(f->err.msg, "'SB_BROKER_ULR'; did you mean 'SB_BROKER_URL'?");
    assert_int_equal(sb_conf_read_environment(f->conf, bad, &f->err), -SB_ECONFIG);
    assert_contains(f->err.msg, "SB_OUTBOX_RETRIES: ");
    assert_int_equal(sb_conf_read_environment(f->conf, secret, &f->err), 0);
    assert_string_equal(sb_conf_str(f->conf, "broker", "password"), "hush");
}

static void set_wants_section_key_value(void **state)
{
    struct fixture *f = *state;

    assert_set_fails(f, "broker.url", SB_EUSAGE, "section.key=value");
    assert_set_fails(f, "=x", SB_EUSAGE, "section.key=value");
    assert_set_fails(f, "broker.ulr=x", SB_ECONFIG, "did you mean 'broker.url'?");
    assert_set_fails(f, "url=x", SB_ECONFIG, "unknown key 'url'");
    assert_set_fails(f, "outbox.retries=1000", SB_ECONFIG, "out of range");
}

static void secrets_are_taken_from_the_environment_alone(void **state)
{
    struct fixture *f = *state;

    assert_set_fails(f, "broker.password=hush", SB_ECONFIG, "SB_BROKER_PASSWORD");
    assert_null(strstr(f->err.msg, "hush"));
    assert_set_fails(f, "cloud.api_key=hush", SB_ECONFIG, "SB_CLOUD_API_KEY");
    assert_refused(f, "[broker]\npassword = hush\n", "2", "SB_BROKER_PASSWORD");
    assert_null(strstr(f->err.msg, "hush"));
    assert_set(f, "broker.password_file=/run/secret");
    assert_read(f, "[broker]\npassword_file = /etc/secret\n[cloud]\nrequire_token = yes\n");
    assert_string_equal(sb_conf_str(f->conf, "broker", "password_file"), "/run/secret");
}

static void get_shows_values_and_where_they_come_from(void **state)
{
    char *environment[] = {(char[]){"SB_CLOUD_API_KEY=hush"}, NULL};
    static const struct sb_json_limits limits = {
        .max_bytes = 65536, .max_depth = 3, .max_nodes = 1000};
    struct fixture *f = *state;
    struct sb_buf out = {0};
    struct sb_span value, entry, part;
    int64_t number;

    assert_set(f, "broker.keepalive=45s");
    assert_int_equal(sb_conf_read_environment(f->conf, environment, &f->err), 0);
    assert_int_equal(sb_conf_get(f->conf, "broker.keepalive", false, &out, &f->err), 0);
    assert_string_equal(out.data, "broker.keepalive = 45s  # --set\n");
    sb_buf_clear(&out);
    assert_int_equal(sb_conf_get(f->conf, NULL, false, &out, &f->err), 0);
    assert_contains(out.data, "outbox.retries = 3  # default\n");
    assert_contains(out.data, "cloud.api_key = (hidden)  # SB_CLOUD_API_KEY\n");
    assert_null(strstr(out.data, "hush"));

    sb_buf_clear(&out);
    assert_int_equal(sb_conf_get(f->conf, NULL, true, &out, &f->err), 0);
    assert_null(strstr(out.data, "hush"));
    assert_int_equal(sb_json_check(sb_buf_span(&out), &limits, &value, &f->err), 0);
    assert_int_equal(sb_json_count(value), sizeof(keys) / sizeof(keys[0]));
    assert_true(sb_json_get(value, "outbox.retries", &entry));
    assert_true(sb_json_get(entry, "value", &part));
    assert_true(sb_json_i64(part, &number));
    assert_int_equal(number, 3);
    assert_true(sb_json_get(value, "cloud.require_token", &entry));
    assert_true(sb_json_get(entry, "value", &part));
    assert_int_equal(sb_json_type_of(part), SB_JSON_FALSE);
    assert_true(sb_json_get(value, "outbox.max_age", &entry));
    assert_true(sb_json_get(entry, "value", &part));
    assert_true(sb_json_string_is(part, ""));

    sb_buf_clear(&out);
    assert_int_equal(sb_conf_get(f->conf, "broker.url", true, &out, &f->err), 0);
    assert_string_equal(
        out.data,
        "{\"broker.url\":{\"value\":\"mqtts://localhost:8883\",\"origin\":\"default\"}}\n");
    assert_int_equal(sb_conf_get(f->conf, "broker.ur", false, &out, &f->err), -SB_ENOT_FOUND);
    assert_contains(f->err.msg, "did you mean 'broker.url'?");
    sb_buf_free(&out);
}

/* The sample as it is, and once more with every value switched on, gives the defaults. */
static void the_sample_reads_back_as_the_defaults(void **state)
{
    struct fixture *f = *state;
    struct sb_conf *other = sb_conf_new("edge_agent", keys, sizeof(keys) / sizeof(keys[0]));
    struct sb_buf sample = {0}, live = {0};
    int values = 0;

    sb_conf_sample(f->conf, &sample);
    assert_contains(sample.data, "edge_agent");
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        assert_contains(sample.data, keys[i].help);
    assert_contains(sample.data, "# From 5s to 1h.\n# Taken up by a reload.\n#keepalive = 30s\n");
    assert_null(strstr(sample.data, "#password ="));
    assert_read(f, sample.data);
    for (char *line = sample.data, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        bool is_value = line[0] == '#' && line[1] != ' ';

        values += is_value;
        sb_buf_add(&live, line + is_value, (size_t)(end + 1 - line) - is_value);
    }
    assert_int_equal(values, sizeof(keys) / sizeof(keys[0]) - 2); /* but for the two secrets */
    write_bytes(f, live.data, live.len);
    assert_int_equal(sb_conf_read_file(other, f->path, &f->err), 0);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *section = keys[i].section, *key = keys[i].key;

        assert_string_equal(sb_conf_str(f->conf, section, key), keys[i].fallback);
        assert_string_equal(sb_conf_origin(f->conf, section, key), "default");
        assert_string_equal(sb_conf_str(other, section, key), keys[i].fallback);
    }
    sb_buf_free(&sample);
    sb_buf_free(&live);
    sb_conf_free(other);
}

static void distance_counts_swaps_as_one(void **state)
{
    (void)state;
    assert_int_equal(sb_edit_distance("", ""), 0);
    assert_int_equal(sb_edit_distance("", "abc"), 3);
    assert_int_equal(sb_edit_distance("abc", ""), 3);
    assert_int_equal(sb_edit_distance("url", "ulr"), 1);
    assert_int_equal(sb_edit_distance("ULR", "url"), 1);
    assert_int_equal(sb_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(sb_edit_distance("ca", "abc"), 3);
    assert_true(sb_is_near("abc", 2));
    assert_false(sb_is_near("abc", 3));
    assert_true(sb_is_near("abcdefghijkl", 4));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(defaults_hold_without_anything),
        TEST(a_file_is_read_with_comments_and_places),
        TEST(an_unknown_key_is_refused_with_line_and_nearest_match),
        TEST(an_unknown_section_is_refused_even_when_empty),
        TEST(what_is_no_configuration_is_refused),
        TEST(a_long_line_is_taken_whole),
        TEST(values_out_of_range_or_of_another_kind_are_refused),
        TEST(every_unit_is_understood),
        TEST(the_later_source_wins),
        TEST(environment_of_others_is_ignored_and_ours_is_checked),
        TEST(set_wants_section_key_value),
        TEST(secrets_are_taken_from_the_environment_alone),
        TEST(get_shows_values_and_where_they_come_from),
        TEST(the_sample_reads_back_as_the_defaults),
        cmocka_unit_test(distance_counts_swaps_as_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
