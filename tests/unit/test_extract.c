/* Extraction maps: foreign rows become records with their values as they were, or are refused with
 * a reason; nothing shifts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json_scan.h"
#include "edge_agent/extract.h"

static struct extract_map map;
static struct sb_err err;
static struct sb_buf out;

static int teardown(void **state)
{
    (void)state;
    extract_map_fini(&map);
    sb_buf_free(&out);
    return 0;
}

static void parse(const char *text)
{
    extract_map_fini(&map);
    err = (struct sb_err){0};
    if (extract_map_parse(sb_span_of(text), SB_UP_SENSORS, &map, &err) != 0)
        fail_msg("%s", err.msg);
}

static void assert_bad_map(const char *text, const char *said)
{
    struct extract_map own;

    assert_int_equal(extract_map_parse(sb_span_of(text), SB_UP_SENSORS, &own, &err),
                     -(int)SB_ECONFIG);
    assert_int_equal(err.code, SB_ECONFIG);
    if (strstr(err.msg, said) == NULL)
        fail_msg("'%s' does not say '%s'", err.msg, said);
}

/* Splits at ';' without any rules. */
static size_t split(const char *line, struct sb_span cells[EXTRACT_COLUMNS_MAX])
{
    size_t count = 0;

    for (;;) {
        const char *end = strchr(line, ';');

        cells[count++] =
            end != NULL ? (struct sb_span){line, (size_t)(end - line)} : sb_span_of(line);
        if (end == NULL)
            return count;
        line = end + 1;
    }
}

static enum extract_reason row(const struct extract_places *places, const char *line)
{
    struct sb_span cells[EXTRACT_COLUMNS_MAX];
    size_t count = split(line, cells);

    sb_buf_clear(&out);
    sb_buf_add_str(&out, "");
    return extract_row(&map, places, cells, count, &out, &err);
}

static void header(struct extract_places *places, const char *line)
{
    struct sb_span cells[EXTRACT_COLUMNS_MAX];
    size_t count = split(line, cells);

    assert_int_equal(extract_read_header(&map, cells, count, places, &err), 0);
}

static void columns_are_found_by_name_and_by_number(void **state)
{
    struct extract_places places = {0};

    (void)state;
    parse("{\"time\":{\"column\":\"when\"},\"fields\":[{\"field\":\"pm10\",\"column\":\"P1\","
          "\"type\":\"number\"},{\"field\":\"pm2_5\",\"column\":2,\"type\":\"number\"}]}");
    header(&places, "P1;x;when");
    assert_int_equal(row(&places, "15.47;3.00;2026-01-02T03:04:05+08:00"), EXTRACT_OK);
    assert_string_equal(out.data,
                        "{\"ts\":\"2026-01-02T03:04:05+08:00\",\"pm10\":15.47,\"pm2_5\":3.00}");
    header(&places, "when;x;P1");
    assert_int_equal(row(&places, "2026-01-02 03:04:05;1;2"), EXTRACT_OK);
    assert_string_equal(out.data, "{\"ts\":\"2026-01-02T03:04:05Z\",\"pm10\":2,\"pm2_5\":1}");
}

static void a_header_without_the_columns_is_refused(void **state)
{
    const struct sb_span names[] = {{"a", 1}, {"b", 1}};
    struct extract_places places = {0};

    (void)state;
    parse("{\"time\":{\"column\":\"a\"},\"fields\":[{\"field\":\"x\",\"column\":\"P1\"}]}");
    assert_int_equal(extract_read_header(&map, names, 2, &places, &err), -(int)SB_EMISSING_FIELD);
    assert_non_null(strstr(err.msg, "'P1'"));
}

static void numbers_keep_their_bytes(void **state)
{
    static const struct {
        const char *cell, *json;
    } good[] = {
        {"1", "1"},
        {"-0", "-0"},
        {"15.470", "15.470"},
        {"9007199254740993", "9007199254740993"},
        {"51.846000000000004", "51.846000000000004"},
        {"1.5E+3", "1.5E+3"},
        {"300821299603474623179991810048.0", "300821299603474623179991810048.0"},
        {" 7 ", "7"},
        {"+7", "7"},
        {"007", "7"},
        {"-00.50", "-0.50"},
        {".5", "0.5"},
        {"5.", "5"},
        {"0", "0"},
        {"000", "0"},
        {"", "null"},
        {"  ", "null"},
        {"n/a", "null"},
    };
    static const char *const bad[] = {
        "x",   "1x",  "1.2.3", "1e", "1e+", "e5", "--1",   "1 2", "nan",
        "inf", "1,5", "0x10",  ".",  "-",   "+",  "1e999", "1-2", "12025-12-10 09:10:45"};
    const struct extract_places none = {0};
    char line[80];

    (void)state;
    parse("{\"header\":\"no\",\"columns\":2,\"null\":[\"n/a\"],\"time\":{\"column\":1},"
          "\"fields\":[{\"field\":\"v\",\"column\":2,\"type\":\"number\"}]}");
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char expected[120];

        snprintf(line, sizeof(line), "2026-01-02T03:04:05Z;%s", good[i].cell);
        snprintf(expected, sizeof(expected), "{\"ts\":\"2026-01-02T03:04:05Z\",\"v\":%s}",
                 good[i].json);
        assert_int_equal(row(&none, line), EXTRACT_OK);
        assert_string_equal(out.data, expected);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(line, sizeof(line), "2026-01-02T03:04:05Z;%s", bad[i]);
        assert_int_equal(row(&none, line), EXTRACT_VALUE);
        assert_int_equal(out.len, 0);
        assert_non_null(strstr(err.msg, "v: '"));
    }
}

static void other_types_are_held_to_their_type(void **state)
{
    const struct extract_places none = {0};

    (void)state;
    parse("{\"header\":\"no\",\"columns\":5,\"decimal\":\",\",\"time\":{\"column\":1},\"fields\":["
          "{\"field\":\"i\",\"column\":2,\"type\":\"integer\"},"
          "{\"field\":\"b\",\"column\":3,\"type\":\"boolean\"},"
          "{\"field\":\"t\",\"column\":4,\"type\":\"text\"},"
          "{\"field\":\"a\",\"column\":5}],\"constants\":{\"c\":{\"k\":1.50},\"d\":null}}");
    assert_int_equal(row(&none, "2026-01-02T03:04:05Z;42;YES; 7 \"q\";1,5"), EXTRACT_OK);
    assert_string_equal(out.data,
                        "{\"ts\":\"2026-01-02T03:04:05Z\",\"i\":42,\"b\":true,"
                        "\"t\":\" 7 \\\"q\\\"\",\"a\":1.5,\"c\":{\"k\":1.50},\"d\":null}");
    assert_int_equal(row(&none, "2026-01-02T03:04:05Z;;;;007"), EXTRACT_OK);
    assert_string_equal(out.data, "{\"ts\":\"2026-01-02T03:04:05Z\",\"i\":null,\"b\":null,"
                                  "\"t\":null,\"a\":\"007\",\"c\":{\"k\":1.50},\"d\":null}");
    assert_int_equal(row(&none, "2026-01-02T03:04:05Z;1,5;;;"), EXTRACT_VALUE);
    assert_int_equal(row(&none, "2026-01-02T03:04:05Z;1;maybe;;"), EXTRACT_VALUE);
    assert_int_equal(row(&none, "2026-01-02T03:04:05Z;1;no;\xff;"), EXTRACT_UTF8);
}

static void a_checked_column_is_not_kept(void **state)
{
    const struct extract_places none = {0};

    (void)state;
    parse("{\"header\":\"no\",\"columns\":3,\"time\":{\"column\":1},\"fields\":["
          "{\"field\":\"v\",\"column\":2},{\"column\":3,\"type\":\"number\"}]}");
    assert_int_equal(row(&none, "2026-01-02T03:04:05Z;1;2"), EXTRACT_OK);
    assert_string_equal(out.data, "{\"ts\":\"2026-01-02T03:04:05Z\",\"v\":1}");
    assert_int_equal(row(&none, "2026-01-02T03:04:05Z;1;x"), EXTRACT_VALUE);
}

static void the_schema_is_chosen_by_the_number_of_fields(void **state)
{
    const struct extract_places none = {0};

    (void)state;
    parse("{\"header\":\"no\",\"time\":{\"column\":1},\"schemas\":["
          "{\"columns\":2,\"fields\":[{\"field\":\"v1\",\"column\":2}]},"
          "{\"columns\":3,\"fields\":[{\"field\":\"v2\",\"column\":3}]}]}");
    assert_int_equal(row(&none, "2026-01-02T03:04:05Z;1"), EXTRACT_OK);
    assert_non_null(strstr(out.data, "\"v1\":1"));
    assert_int_equal(row(&none, "2026-01-02T03:04:05Z;1;2"), EXTRACT_OK);
    assert_non_null(strstr(out.data, "\"v2\":2"));
    assert_int_equal(row(&none, "2026-01-02T03:04:05Z;1;2;3"), EXTRACT_COLUMNS);
    assert_string_equal(err.msg, "4 fields where 2 or 3 belong");
    assert_int_equal(row(&none, "2026-01-02T03:04:05Z"), EXTRACT_COLUMNS);
}

static void the_width_may_differ_from_a_header_that_lies(void **state)
{
    struct extract_places places = {0};

    (void)state;
    parse("{\"header\":\"yes\",\"columns\":4,\"time\":{\"column\":1},\"fields\":["
          "{\"field\":\"v\",\"column\":4}]}");
    header(&places, "time;v");
    assert_int_equal(row(&places, "2026-01-02T03:04:05Z;1;2;3"), EXTRACT_OK);
    assert_int_equal(row(&places, "2026-01-02T03:04:05Z;1"), EXTRACT_COLUMNS);
}

static void a_time_that_does_not_parse_refuses_the_row(void **state)
{
    static const char *const bad[] = {
        "",          "yesterday", "2026-02-30T00:00:00Z", "2026-01-01", "2026-01-01T00:00:00Zx",
        "1767323045"};
    const struct extract_places none = {0};
    char line[80];

    (void)state;
    parse("{\"header\":\"no\",\"columns\":2,\"time\":{\"column\":1},"
          "\"fields\":[{\"field\":\"v\",\"column\":2}]}");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(line, sizeof(line), "%s;1", bad[i]);
        assert_int_equal(row(&none, line), EXTRACT_TIME);
    }
}

static int64_t read_time(const char *format, const char *zone, const char *text)
{
    struct time_format tf;
    int64_t wall_us = 0;

    if (time_format_init(&tf, format, zone, &err) != 0)
        fail_msg("%s", err.msg);
    if (!time_format_read(&tf, sb_span_of(text), &wall_us))
        wall_us = INT64_MIN;
    time_format_fini(&tf);
    return wall_us;
}

static void times_are_read_by_their_format(void **state)
{
    static const struct {
        const char *format, *zone, *text, *utc;
    } good[] = {
        {"rfc3339", NULL, "2026-01-02T03:04:05+08:00", "2026-01-01T19:04:05Z"},
        {"iso8601", NULL, "2026-01-02 03:04:05", "2026-01-02T03:04:05Z"},
        {"iso8601", "+08:00", "2026-01-02T03:04:05.25", "2026-01-01T19:04:05.250Z"},
        {"iso8601", "+08:00", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"},
        {"epoch_s", NULL, "1767323045.25", "2026-01-02T03:04:05.250Z"},
        {"epoch_s", NULL, "-1.5", "1969-12-31T23:59:58.500Z"},
        {"epoch_ms", NULL, "1767323045250", "2026-01-02T03:04:05.250Z"},
        {"epoch_us", NULL, "1767323045250001", "2026-01-02T03:04:05.250001Z"},
        {"%Y/%m/%d %H:%M:%S", NULL, "2018/01/11 17:25:07", "2018-01-11T17:25:07Z"},
        {"%d.%m.%y %H:%M", "-03:30", "01.02.70 00:30", "1970-02-01T04:00:00Z"},
        {"%e %b %Y %I:%M:%S.%f %p", NULL, "2 Jan 2026 03:04:05.5 PM", "2026-01-02T15:04:05.500Z"},
        {"%B %e, %Y %I:%M %p", NULL, "December 31, 2025 12:00 AM", "2025-12-31T00:00:00Z"},
        {"%Y%m%dT%H%M%S%z", NULL, "20260102T030405+0800", "2026-01-01T19:04:05Z"},
        {"%Y-%m-%d", NULL, "2024-02-29", "2024-02-29T00:00:00Z"},
        {"%Y-%m-%d 100%%", NULL, "2024-02-29 100%", "2024-02-29T00:00:00Z"},
    };
    static const struct {
        const char *format, *text;
    } bad[] = {
        {"rfc3339", "2026-01-02T03:04:05"},
        {"iso8601", "2026-01-02T03:04"},
        {"iso8601", "2026-01-02T03:04:05 "},
        {"epoch_s", "12a"},
        {"epoch_s", ""},
        {"epoch_s", "99999999999999999999"},
        {"epoch_ms", "1.5"},
        {"%Y-%m-%d", "2023-02-29"},
        {"%Y-%m-%d", "2023-13-01"},
        {"%Y-%m-%d", "2023-1-1"},
        {"%Y-%m-%d", "2023-01-01x"},
        {"%Y-%m-%d %H:%M", "2023-01-01 24:00"},
        {"%Y-%m-%d %I:%M %p", "2023-01-01 13:00 PM"},
        {"%Y-%m-%d %I:%M", "2023-01-01 11:00"},
        {"%Y-%m-%d %H", "2023-01-01"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char text[SB_TIME_TEXT];

        sb_time_print(read_time(good[i].format, good[i].zone, good[i].text), text);
        assert_string_equal(text, good[i].utc);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_true(read_time(bad[i].format, NULL, bad[i].text) == INT64_MIN);
}

static void named_zones_follow_their_clock_changes(void **state)
{
    struct time_format tf;
    char text[SB_TIME_TEXT];
    int64_t wall_us;

    (void)state;
    assert_int_equal(time_format_init(&tf, "iso8601", "Not/AZone", &err), -(int)SB_EBAD_VALUE);
    assert_int_equal(time_format_init(&tf, "iso8601", "../etc/passwd", &err), -(int)SB_EBAD_VALUE);
    assert_int_equal(time_format_init(&tf, "iso8601", "Europe/Berlin", &err), 0); /* tzdata */
    assert_true(time_format_read(&tf, SB_SPAN("2025-01-15T12:00:00"), &wall_us));
    sb_time_print(wall_us, text);
    assert_string_equal(text, "2025-01-15T11:00:00Z");
    assert_true(time_format_read(&tf, SB_SPAN("2025-07-15T12:00:00"), &wall_us));
    sb_time_print(wall_us, text);
    assert_string_equal(text, "2025-07-15T10:00:00Z");
    time_format_fini(&tf);
}

static void lines_are_skipped_by_pattern(void **state)
{
    (void)state;
    parse("{\"header\":\"no\",\"columns\":2,\"skip\":[\"^#\",\"ALERT *$\"],"
          "\"header_line\":\"^Time;\",\"time\":{\"column\":1},"
          "\"fields\":[{\"field\":\"v\",\"column\":2}]}");
    assert_true(extract_skips(&map, "# note"));
    assert_true(extract_skips(&map, "\xf0\x9f\x9a\xa8 ALERT "));
    assert_false(extract_skips(&map, "2026;1"));
    assert_true(extract_is_header_line(&map, "Time;x"));
    assert_false(extract_is_header_line(&map, "time;x"));
}

static void bad_maps_are_named(void **state)
{
    (void)state;
    assert_bad_map("", "map");
    assert_bad_map("[]", "not a JSON object");
    assert_bad_map("{\"a\":1,\"a\":2}", "map");
    assert_bad_map("{\"fileds\":[]}", "'fileds'");
    assert_bad_map("{\"time\":{\"column\":1}}", "fields");
    assert_bad_map("{\"fields\":[{\"field\":\"a\",\"column\":1}]}", "time");
    assert_bad_map("{\"time\":{\"column\":0},\"fields\":[{\"field\":\"a\",\"column\":1}]}",
                   "column");
    assert_bad_map("{\"time\":{\"column\":1,\"format\":\"%Q\"},\"fields\":[]}", "%Q");
    assert_bad_map("{\"time\":{\"column\":1,\"format\":\"fast\"},\"fields\":[]}", "time format");
    assert_bad_map("{\"time\":{\"column\":1,\"zone\":\"Mars\"},\"fields\":[]}", "zone");
    assert_bad_map("{\"time\":{\"column\":1},\"fields\":[{\"field\":\"a b\",\"column\":1}]}",
                   "a b");
    assert_bad_map("{\"time\":{\"column\":1},\"fields\":[{\"field\":\"a\",\"column\":2},"
                   "{\"field\":\"a\",\"column\":3}]}",
                   "twice");
    assert_bad_map("{\"time\":{\"column\":1},\"fields\":[{\"field\":\"ts\",\"column\":2}]}",
                   "time's name");
    assert_bad_map("{\"time\":{\"column\":1},\"fields\":[{\"field\":\"a\",\"column\":2,"
                   "\"type\":\"float\"}]}",
                   "type");
    assert_bad_map("{\"header\":\"no\",\"time\":{\"column\":1},\"fields\":[{\"field\":\"a\","
                   "\"column\":2}]}",
                   "columns");
    assert_bad_map("{\"header\":\"no\",\"columns\":2,\"time\":{\"column\":1},\"fields\":[{"
                   "\"field\":\"a\",\"column\":\"x\"}]}",
                   "needs a header");
    assert_bad_map("{\"skip\":[\"a++++\"],\"time\":{\"column\":1},\"fields\":[]}", "a++++");
    assert_bad_map("{\"skip\":[\"a{2}\"],\"time\":{\"column\":1},\"fields\":[]}", "a{2}");
    assert_bad_map("{\"skip\":[\"(\"],\"time\":{\"column\":1},\"fields\":[]}", "(");
    assert_bad_map("{\"delimiter\":\";;\",\"time\":{\"column\":1},\"fields\":[]}", "delimiter");
    assert_bad_map("{\"format\":\"xml\"}", "csv or ndjson");
    assert_bad_map("{\"format\":\"ndjson\",\"time\":{\"column\":1},\"fields\":[]}", "column");
}

/* ---- without a map ---- */

static int of_header(const char *line, enum sb_up_class class)
{
    struct sb_span cells[EXTRACT_COLUMNS_MAX];
    size_t count = split(line, cells);

    extract_map_fini(&map);
    extract_map_default(&map);
    return extract_map_of_header(&map, cells, count, class, &err);
}

static void the_header_gives_the_fields(void **state)
{
    struct extract_places places = {0};

    (void)state;
    assert_int_equal(of_header("pm10;Timestamp;humidity_%;note", SB_UP_SENSORS), 0);
    header(&places, "pm10;Timestamp;humidity_%;note");
    assert_int_equal(row(&places, "1.50;2026-01-02 03:04:05;007;"), EXTRACT_OK);
    assert_string_equal(out.data, "{\"ts\":\"2026-01-02T03:04:05Z\",\"pm10\":1.50,"
                                  "\"humidity__\":\"007\",\"note\":null}");
    assert_int_equal(row(&places, "1.50;2026-01-02 03:04:05;1"), EXTRACT_COLUMNS);
    assert_int_equal(of_header("created_at;command_id;n", SB_UP_HISTORY), 0);
    assert_int_equal(row(&places, "2026-01-02T03:04:05Z;17;17"), EXTRACT_OK);
    assert_string_equal(out.data, "{\"created_at\":\"2026-01-02T03:04:05Z\",\"command_id\":\"17\","
                                  "\"n\":17}");
}

static void doubtful_headers_want_a_map(void **state)
{
    (void)state;
    assert_int_equal(of_header("a;b", SB_UP_SENSORS), -(int)SB_ECONFIG);
    assert_int_equal(of_header("time", SB_UP_SENSORS), -(int)SB_ECONFIG);
    assert_int_equal(of_header("time;;b", SB_UP_SENSORS), -(int)SB_ECONFIG);
    assert_int_equal(of_header("time;a%;a!", SB_UP_SENSORS), -(int)SB_ECONFIG);
    assert_int_equal(of_header("time;ts;a", SB_UP_SENSORS), -(int)SB_ECONFIG);
}

static void a_header_is_told_from_data(void **state)
{
    struct sb_span cells[EXTRACT_COLUMNS_MAX];

    (void)state;
    assert_true(extract_looks_like_header(cells, split("timestamp;value", cells)));
    assert_false(extract_looks_like_header(cells, split("2026-01-02 03:04:05;value", cells)));
    assert_false(extract_looks_like_header(cells, split("a;1.5", cells)));
    assert_false(extract_looks_like_header(cells, split("a;", cells)));
}

/* ---- NDJSON ---- */

static enum extract_reason object(const char *text)
{
    sb_buf_clear(&out);
    sb_buf_add_str(&out, "");
    return extract_object(&map, sb_span_of(text), SB_UP_SENSORS, &out, &err);
}

static void objects_pass_as_they_are_but_for_the_times_name(void **state)
{
    (void)state;
    extract_map_fini(&map);
    extract_map_default(&map);
    assert_int_equal(object("{\"a\": 1.50,\"ts\":\"x\"}"), EXTRACT_OK);
    assert_string_equal(out.data, "{\"a\": 1.50,\"ts\":\"x\"}");
    assert_int_equal(object("{\"a\":1.50, \"time\":\"x\"}"), EXTRACT_OK);
    assert_string_equal(out.data, "{\"a\":1.50,\"ts\":\"x\"}");
    assert_int_equal(object("{\"ts\":\"y\",\"time\":\"x\"}"), EXTRACT_OK);
    assert_string_equal(out.data, "{\"ts\":\"y\",\"time\":\"x\"}");
    assert_int_equal(object("[1]"), EXTRACT_JSON);
}

static void members_are_mapped_by_name_and_pointer(void **state)
{
    (void)state;
    parse("{\"format\":\"ndjson\",\"time\":{\"column\":\"t\",\"format\":\"epoch_ms\"},"
          "\"fields\":[{\"field\":\"pm10\",\"column\":\"/payload/PM 10\",\"type\":\"number\"},"
          "{\"field\":\"ok\",\"column\":\"ok\",\"type\":\"boolean\"},"
          "{\"field\":\"raw\",\"column\":\"raw\"}]}");
    assert_int_equal(object("{\"t\":1767323045250,\"ok\":\"yes\",\"raw\":[1, 2],"
                            "\"payload\":{\"PM 10\":\"07.50\"}}"),
                     EXTRACT_OK);
    assert_string_equal(out.data, "{\"ts\":\"2026-01-02T03:04:05.250Z\",\"pm10\":7.50,"
                                  "\"ok\":true,\"raw\":[1, 2]}");
    assert_int_equal(object("{\"t\":1,\"ok\":null,\"raw\":\"s\",\"payload\":{\"PM 10\":1e3}}"),
                     EXTRACT_OK);
    assert_string_equal(out.data, "{\"ts\":\"1970-01-01T00:00:00.001Z\",\"pm10\":1e3,"
                                  "\"ok\":null,\"raw\":\"s\"}");
    assert_int_equal(object("{\"t\":1,\"ok\":false,\"raw\":1,\"payload\":7}"), EXTRACT_MISSING);
    assert_int_equal(object("{\"ok\":false,\"raw\":1,\"payload\":{\"PM 10\":1}}"), EXTRACT_TIME);
    assert_int_equal(object("{\"t\":1,\"ok\":7,\"raw\":1,\"payload\":{\"PM 10\":1}}"),
                     EXTRACT_VALUE);
    assert_int_equal(object("{\"t\":1,\"ok\":true,\"raw\":1,\"payload\":{\"PM 10\":{}}}"),
                     EXTRACT_VALUE);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(columns_are_found_by_name_and_by_number),
        TEST(a_header_without_the_columns_is_refused),
        TEST(numbers_keep_their_bytes),
        TEST(other_types_are_held_to_their_type),
        TEST(a_checked_column_is_not_kept),
        TEST(the_schema_is_chosen_by_the_number_of_fields),
        TEST(the_width_may_differ_from_a_header_that_lies),
        TEST(a_time_that_does_not_parse_refuses_the_row),
        TEST(times_are_read_by_their_format),
        TEST(named_zones_follow_their_clock_changes),
        TEST(lines_are_skipped_by_pattern),
        TEST(bad_maps_are_named),
        TEST(the_header_gives_the_fields),
        TEST(doubtful_headers_want_a_map),
        TEST(a_header_is_told_from_data),
        TEST(objects_pass_as_they_are_but_for_the_times_name),
        TEST(members_are_mapped_by_name_and_pointer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
