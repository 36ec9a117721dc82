/* Topics and streams: only those of the contract, whatever else is tried. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/topic.h"

#define NAME_64 "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-"
#define TOPIC_OF_65                                                                                \
    "sb/v1/up/09/0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-x/sensors"
#define STREAM_OF_65 "settings/0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-x"

static int parse(const char *topic, size_t len, struct sb_up_topic *out, struct sb_err *err)
{
    char *copy = malloc(len > 0 ? len : 1);
    int rc;

    assert_non_null(copy);
    memcpy(copy, topic, len);
    rc = sb_topic_parse_up((struct sb_span){copy, len}, out, err);
    free(copy);
    return rc;
}

static void every_class_goes_there_and_back(void **state)
{
    static const char *const devices[] = {"edge-001", "a", NAME_64};

    (void)state;
    for (int class = 0; class < SB_UP_CLASSES; class ++) {
        for (size_t i = 0; i < 3; i++) {
            char topic[SB_TOPIC_MAX];
            struct sb_up_topic out;

            sb_topic_up(topic, devices[i], (enum sb_up_class) class);
            assert_int_equal(parse(topic, strlen(topic), &out, NULL), 0);
            assert_string_equal(out.device, devices[i]);
            assert_int_equal(out.class, class);
            assert_int_equal(out.bucket, sb_bucket_of(sb_span_of(devices[i])));
        }
    }
}

static void other_topics_are_built(void **state)
{
    char topic[SB_TOPIC_MAX];

    (void)state;
    sb_topic_up(topic, "edge-001", SB_UP_SENSORS);
    assert_string_equal(topic, "sb/v1/up/09/edge-001/sensors");
    sb_topic_down(topic, "edge-001", "reply");
    assert_string_equal(topic, "sb/v1/down/edge-001/reply");
    sb_topic_state(topic, "edge-001");
    assert_string_equal(topic, "sb/v1/state/edge-001");
    sb_topic_event(topic, "edge-001");
    assert_string_equal(topic, "sb/v1/event/edge-001");
    sb_topic_ingest(topic, 12);
    assert_string_equal(topic, "sb/v1/ingest/12");
}

static void an_operator_has_a_topic_of_its_own(void **state)
{
    static const char too_long[] = "sb/v1/admin/_op-" NAME_64 "/req";
    static const char *const bad[] = {
        "",
        "sb/v1/admin/_op-anna",
        "sb/v1/admin/_op-anna/reply",
        "sb/v1/admin/_op-anna/req/",
        "sb/v1/admin/_op-anna/req/x",
        "sb/v1/admin/_op-/req",
        "sb/v1/admin/edge-001/req",
        "sb/v1/admin/_ingest-1/req",
        "sb/v1/admin/_op-a b/req",
        "sb/v1/admin//req",
        "sb/v1/up/09/edge-001/ctl",
        too_long,
    };
    char name[SB_NAME_MAX + 1], topic[SB_TOPIC_MAX];

    (void)state;
    assert_true(sb_topic_parse_admin(SB_SPAN("sb/v1/admin/_op-anna/req"), name));
    assert_string_equal(name, "_op-anna");
    sb_topic_admin_reply(topic, name);
    assert_string_equal(topic, "sb/v1/admin/_op-anna/reply");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (sb_topic_parse_admin(sb_span_of(bad[i]), name))
            fail_msg("taken: %s", bad[i]);
}

static void bad_topics_are_refused(void **state)
{
    static const struct {
        const char *topic;
        enum sb_code code;
        const char *device;
    } bad[] = {
        {"", SB_EBAD_TOPIC, ""},
        {"/", SB_EBAD_TOPIC, ""},
        {"sb", SB_EBAD_TOPIC, ""},
        {"sb/v1/up", SB_EBAD_TOPIC, ""},
        {"sb/v1/up/", SB_EBAD_TOPIC, ""},
        {"sb/v1/up/09", SB_EBAD_TOPIC, ""},
        {"sb/v1/up/09/", SB_EBAD_ID, ""},
        {"sb/v2/up/09/edge-001/sensors", SB_EBAD_TOPIC, ""},
        {"SB/v1/up/09/edge-001/sensors", SB_EBAD_TOPIC, ""},
        {"/sb/v1/up/09/edge-001/sensors", SB_EBAD_TOPIC, ""},
        {"sb//v1/up/09/edge-001/sensors", SB_EBAD_TOPIC, ""},
        {"sb/v1/down/edge-001/reply", SB_EBAD_TOPIC, ""},
        {"sb/v1/up/09/edge-001", SB_EBAD_TOPIC, "edge-001"},
        {"sb/v1/up/09/edge-001/", SB_EBAD_TOPIC, "edge-001"},
        {"sb/v1/up/09/edge-001/sensors/", SB_EBAD_TOPIC, "edge-001"},
        {"sb/v1/up/09/edge-001/sensors/x", SB_EBAD_TOPIC, "edge-001"},
        {"sb/v1/up/09/edge-001/Sensors", SB_EBAD_TOPIC, "edge-001"},
        {"sb/v1/up/09/edge-001/sensor", SB_EBAD_TOPIC, "edge-001"},
        {"sb/v1/up/09/edge-001/sensorss", SB_EBAD_TOPIC, "edge-001"},
        {"sb/v1/up/09/edge-001/+", SB_EBAD_TOPIC, "edge-001"},
        {"sb/v1/up/9/edge-001/sensors", SB_EWRONG_BUCKET, "edge-001"},
        {"sb/v1/up/009/edge-001/sensors", SB_EWRONG_BUCKET, "edge-001"},
        {"sb/v1/up/40/edge-001/sensors", SB_EWRONG_BUCKET, "edge-001"},
        {"sb/v1/up/ff/edge-001/sensors", SB_EWRONG_BUCKET, "edge-001"},
        {"sb/v1/up/3F/edge-001/sensors", SB_EWRONG_BUCKET, "edge-001"},
        {"sb/v1/up/g0/edge-001/sensors", SB_EWRONG_BUCKET, "edge-001"},
        {"sb/v1/up//edge-001/sensors", SB_EWRONG_BUCKET, "edge-001"},
        {"sb/v1/up/+/edge-001/sensors", SB_EWRONG_BUCKET, "edge-001"},
        {"sb/v1/up/09/_op-x/sensors", SB_EBAD_ID, ""},
        {"sb/v1/up/09//sensors", SB_EBAD_ID, ""},
        {"sb/v1/up/09/a.b/sensors", SB_EBAD_ID, ""},
        {"sb/v1/up/09/+/sensors", SB_EBAD_ID, ""},
        {TOPIC_OF_65, SB_EBAD_ID, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct sb_up_topic out;
        struct sb_err err = {0};

        if (parse(bad[i].topic, strlen(bad[i].topic), &out, &err) != -(int)bad[i].code)
            fail_msg("%s: %s", bad[i].topic, sb_code_name(err.code));
        assert_string_equal(out.device, bad[i].device);
    }
}

static void a_nul_in_a_topic_is_refused(void **state)
{
    static const char topic[] = "sb/v1/up/09/edge-001/sensors";
    char text[sizeof(topic)];

    (void)state;
    for (size_t i = 0; i + 1 < sizeof(topic); i++) {
        struct sb_up_topic out;

        memcpy(text, topic, sizeof(topic));
        text[i] = '\0';
        assert_true(parse(text, sizeof(topic) - 1, &out, NULL) < 0);
    }
}

static void ingests_are_numbers(void **state)
{
    static const char *const bad[] = {"sb/v1/ingest/",   "sb/v1/ingest",     "sb/v1/ingest/x",
                                      "sb/v1/ingest/-1", "sb/v1/ingest/1/2", "sb/v1/ingest/12345",
                                      "sb/v1/ingest/1 ", "sb/v1/state/1",    "",
                                      "sb/v1/ingest/+"};
    unsigned n;

    (void)state;
    assert_true(sb_topic_parse_ingest(SB_SPAN("sb/v1/ingest/1"), &n) && n == 1);
    assert_true(sb_topic_parse_ingest(SB_SPAN("sb/v1/ingest/9999"), &n) && n == 9999);
    assert_true(sb_topic_parse_ingest(SB_SPAN("sb/v1/ingest/0"), &n) && n == 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(sb_topic_parse_ingest(sb_span_of(bad[i]), &n));
}

static void streams_go_there_and_back(void **state)
{
    static const char *const good[] = {"sensors/air_quality", "history/user-123", "settings/u",
                                       "records/X_y-9", "library/_"};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char text[SB_STREAM_MAX + 1];
        struct sb_stream stream;

        assert_int_equal(sb_stream_parse(sb_span_of(good[i]), &stream, NULL), 0);
        assert_int_equal(stream.class, i);
        sb_stream_print(&stream, text);
        assert_string_equal(text, good[i]);
        assert_int_equal(sb_class_ordered(stream.class), i >= SB_UP_SETTINGS);
        assert_int_equal(sb_class_has_user(stream.class), i != SB_UP_SENSORS);
    }
}

static void the_longest_stream_fits(void **state)
{
    struct sb_stream stream = {SB_UP_SETTINGS, NAME_64};
    char text[SB_STREAM_MAX + 1];

    (void)state;
    sb_stream_print(&stream, text);
    assert_string_equal(text, "settings/" NAME_64);
    assert_int_equal(strlen(text), SB_STREAM_MAX);
}

static void bad_streams_are_refused(void **state)
{
    static const struct {
        const char *text;
        enum sb_code code;
    } bad[] = {
        {"", SB_EBAD_STREAM},
        {"sensors", SB_EBAD_STREAM},
        {"/", SB_EBAD_STREAM},
        {"ctl/x", SB_EBAD_STREAM},
        {"sensors/a/b", SB_EBAD_STREAM},
        {"sensors//a", SB_EBAD_STREAM},
        {"Sensors/a", SB_EBAD_STREAM},
        {" sensors/a", SB_EBAD_STREAM},
        {"sensors/", SB_EBAD_ID},
        {"sensors/a.b", SB_EBAD_ID},
        {"history/%2e", SB_EBAD_ID},
        {STREAM_OF_65, SB_EBAD_ID},
        {"history/a\xef\xbc\x8fz", SB_EBAD_ID},
    };
    struct sb_stream stream;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(sb_stream_parse(sb_span_of(bad[i].text), &stream, NULL),
                         -(int)bad[i].code);
    assert_int_equal(sb_stream_parse((struct sb_span){"history/a\0b", 11}, &stream, NULL),
                     -SB_EBAD_ID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_class_goes_there_and_back),
        cmocka_unit_test(other_topics_are_built),
        cmocka_unit_test(an_operator_has_a_topic_of_its_own),
        cmocka_unit_test(bad_topics_are_refused),
        cmocka_unit_test(a_nul_in_a_topic_is_refused),
        cmocka_unit_test(ingests_are_numbers),
        cmocka_unit_test(streams_go_there_and_back),
        cmocka_unit_test(the_longest_stream_fits),
        cmocka_unit_test(bad_streams_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
