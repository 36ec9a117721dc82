/* Files into a real outbox: every row once, however often and wherever an import stops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zlib.h>

#include "edge_agent/import.h"

static struct sb_rng rng;
static struct outbox *ob;
static struct enqueue *eq;
static struct sb_err err;
static struct extract_map map;
static struct import_report report;
static char path[64];
static struct sb_buf refused; /* "<line>:<reason>\n" */

static const struct enqueue_switches all_on = {true, true, true, true, 0};

static int setup(void **state)
{
    const struct outbox_config config = {.path = ":memory:", .create = true, .in_memory = true};
    int fd;

    (void)state;
    sb_rng_seed(&rng, 7);
    snprintf(path, sizeof(path), "/tmp/test_import.XXXXXX");
    fd = mkstemp(path);
    if (fd < 0 || outbox_open(&config, &rng, &ob, &err) != 0)
        return -1;
    close(fd);
    eq = enqueue_new(ob, &all_on, "");
    extract_map_default(&map);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    enqueue_free(eq);
    outbox_close(ob);
    extract_map_fini(&map);
    sb_buf_free(&refused);
    return unlink(path);
}

static void write_file(const char *text, size_t len)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    fclose(file);
}

static void use_map(const char *text, enum sb_up_class class)
{
    extract_map_fini(&map);
    if (extract_map_parse(sb_span_of(text), class, &map, &err) != 0)
        fail_msg("%s", err.msg);
}

static void on_rejected(void *ctx, uint64_t line, const char *reason, const char *why)
{
    (void)ctx;
    (void)why;
    sb_buf_add_fmt(&refused, "%llu:%s\n", (unsigned long long)line, reason);
}

static int import(const char *stream, bool again)
{
    struct import_options options = {.path = path,
                                     .source = "test",
                                     .map = &map,
                                     .again = again,
                                     .hooks = {.rejected = on_rejected}};

    assert_int_equal(sb_stream_parse(sb_span_of(stream), &options.stream, &err), 0);
    sb_buf_clear(&refused);
    sb_buf_add_str(&refused, "");
    return import_file(ob, eq, &options, &report, &err);
}

static int import_text(const char *text)
{
    write_file(text, strlen(text));
    return import("sensors/air_quality", false);
}

/* Bodies of all rows of the first stream, one behind the other. */
struct listing {
    struct sb_buf text;
    int64_t s;
    uint64_t made;
};

static int list_stream(void *ctx, const struct outbox_stream *stream)
{
    struct listing *l = ctx;

    l->s = stream->s;
    l->made = stream->next_seq - 1;
    return 1;
}

static int list_row(void *ctx, const struct outbox_row *row)
{
    struct listing *l = ctx;

    sb_buf_add_span(&l->text, row->fields);
    sb_buf_add_char(&l->text, ':');
    sb_buf_add_span(&l->text, row->body);
    sb_buf_add_char(&l->text, '\n');
    return 0;
}

static void assert_outbox(const char *expected)
{
    struct listing l = {0};

    sb_buf_add_str(&l.text, "");
    (void)outbox_streams(ob, list_stream, &l, &err);
    if (l.s > 0)
        assert_int_equal(outbox_rows(ob, l.s, 1, SB_SEQ_MAX, list_row, &l, &err), 0);
    assert_string_equal(l.text.data, expected);
    sb_buf_free(&l.text);
}

static uint64_t made(void)
{
    struct listing l = {0};

    (void)outbox_streams(ob, list_stream, &l, &err);
    return l.made;
}

static void a_file_with_a_header_needs_no_map(void **state)
{
    (void)state;
    assert_int_equal(
        import_text("\xef\xbb\xbftimestamp;pm10;note\r\n2026-01-01 00:00:01;1.50;\"a;b\"\r\n"
                    "\r\n2026-01-01 00:00:02;;\r\n"),
        0);
    assert_outbox("[\"ts\",\"pm10\",\"note\"]:[\"2026-01-01T00:00:01Z\",1.50,\"a;b\"],"
                  "[\"2026-01-01T00:00:02Z\",null,null]\n");
    assert_int_equal(report.enqueued, 2);
    assert_int_equal(report.skipped, 2);
    assert_int_equal(report.rejected, 0);
}

static void refused_rows_are_counted_by_reason(void **state)
{
    static const char text[] = "time,a\n"
                               "2026-01-01 00:00:01,1\n"
                               "2026-01-01 00:00:02\n"
                               "yesterday,1\n"
                               "2026-01-01 00:00:03,\"x\n"
                               "2026-01-01 00:00:04,\xff\n"
                               "2026-01-01 00:00:05,\0\n"
                               "2026-01-01 00:00:06,2\n"
                               "2026-01-01 00:00:07,1,2\n";

    (void)state;
    write_file(text, sizeof(text) - 1);
    assert_int_equal(import("sensors/air_quality", false), 0);
    assert_string_equal(refused.data, "3:columns\n4:time\n5:quote\n6:utf8\n7:nul\n9:columns\n");
    assert_int_equal(report.enqueued, 2);
    assert_int_equal(report.rejected, 6);
    assert_int_equal(report.reasons[EXTRACT_COLUMNS], 2);
    assert_int_equal(report.lines, 9);
    assert_int_equal(report.bytes, sizeof(text) - 1);
}

static void what_the_agent_refuses_is_counted_by_its_code(void **state)
{
    static const char text[] = "{\"t\":\"2026-01-01T00:00:01Z\",\"c\":\"x\"}\n"
                               "{\"t\":\"2026-01-01T00:00:01Z\",\"c\":7}\n"
                               "{\"t\":\"2026-01-01T00:00:01Z\",\"c\":null}\n";

    (void)state;
    use_map("{\"format\":\"ndjson\",\"time\":{\"column\":\"t\"},\"fields\":[{\"field\":"
            "\"command_id\",\"column\":\"c\"}]}",
            SB_UP_HISTORY);
    write_file(text, strlen(text));
    assert_int_equal(import("history/user-1", false), 0);
    assert_int_equal(report.reasons[EXTRACT_REFUSED], 2);
    assert_int_equal(report.codes[SB_EBAD_TYPE], 2);
    assert_string_equal(refused.data, "2:bad_type\n3:bad_type\n");
}

static void nothing_is_read_twice(void **state)
{
    (void)state;
    assert_int_equal(import_text("time,a\n2026-01-01 00:00:01,1\n2026-01-01 00:00:02,x y\n"), 0);
    assert_int_equal(report.enqueued, 2);
    extract_map_fini(&map);
    extract_map_default(&map);
    assert_int_equal(import("sensors/air_quality", false), 0);
    assert_int_equal(report.enqueued, 0);
    assert_int_equal(report.before, 3);
    extract_map_fini(&map);
    extract_map_default(&map);
    assert_int_equal(import_text("time,a\n2026-01-01 00:00:01,1\n2026-01-01 00:00:02,x y\n"
                                 "2026-01-01 00:00:03,3\n"),
                     0);
    assert_int_equal(report.enqueued, 1);
    assert_int_equal(made(), 3);
    extract_map_fini(&map);
    extract_map_default(&map);
    assert_int_equal(import("sensors/air_quality", true), 0);
    assert_int_equal(report.enqueued, 3);
    assert_int_equal(made(), 6);
}

/* Wherever the file ended the first time, the second run brings each row in once. */
static void any_cut_between_lines_goes_on_behind_it(void **state)
{
    static const char text[] = "time,a\n2026-01-01 00:00:01,1\nbad\n2026-01-01 00:00:02,\"a\nb\"\n"
                               "2026-01-01 00:00:03,\"torn\n2026-01-01 00:00:04,4\ntime,a\n"
                               "2026-01-01 00:00:05,5\n";

    (void)state;
    for (size_t cut = 0; cut < sizeof(text); cut++) {
        uint64_t before = made();

        if (cut > 0 && text[cut - 1] != '\n')
            continue;
        assert_int_equal(outbox_begin(ob, &err), 0);
        assert_int_equal(outbox_cursor_set(ob, "test", 0, sb_hash64(SB_SPAN("time,a\n")), &err), 0);
        assert_int_equal(outbox_commit(ob, &err), 0);
        extract_map_fini(&map);
        extract_map_default(&map);
        write_file(text, cut);
        if (cut >= 7)
            assert_int_equal(import("sensors/air_quality", false), 0);
        extract_map_fini(&map);
        extract_map_default(&map);
        write_file(text, sizeof(text) - 1);
        assert_int_equal(import("sensors/air_quality", false), 0);
        assert_int_equal(made() - before, 4);
    }
}

/* Another process imports the same file: it goes on behind the first group of this one. */
static void import_meanwhile(void *ctx, const struct import_report *so_far, uint64_t place)
{
    int *rc = ctx;
    struct import_options options = {
        .path = path, .stream = {SB_UP_SENSORS, "air_quality"}, .source = "test", .map = &map};
    struct import_report own;

    (void)so_far;
    (void)place;
    if (*rc == 1)
        *rc = import_file(ob, eq, &options, &own, NULL);
}

static void two_imports_of_one_file_bring_each_row_once(void **state)
{
    struct import_options options = {
        .path = path, .stream = {SB_UP_SENSORS, "air_quality"}, .source = "test", .map = &map};
    struct sb_buf text = {0};
    int meanwhile = 1;

    (void)state;
    use_map("{\"header\":\"no\",\"columns\":2,\"time\":{\"column\":1,\"format\":\"iso8601\"},"
            "\"fields\":[{\"column\":2,\"field\":\"a\"}]}",
            SB_UP_SENSORS);
    for (int i = 0; i < 3 * IMPORT_GROUP_ROWS; i++)
        sb_buf_add_str(&text, "2026-01-01 00:00:01,1\n");
    write_file(text.data, text.len);
    options.hooks.committed = import_meanwhile;
    options.hooks.ctx = &meanwhile;
    assert_int_equal(import_file(ob, eq, &options, &report, &err), -SB_EBUSY);
    assert_int_equal(meanwhile, 0);
    assert_int_equal(report.enqueued, IMPORT_GROUP_ROWS);
    assert_int_equal(made(), 3 * IMPORT_GROUP_ROWS);
    options.hooks.committed = NULL;
    assert_int_equal(import_file(ob, eq, &options, &report, &err), 0);
    assert_int_equal(made(), 3 * IMPORT_GROUP_ROWS);
    sb_buf_free(&text);
}

static void a_last_line_that_is_torn_is_looked_at_again(void **state)
{
    (void)state;
    assert_int_equal(import_text("time,a\n2026-01-01 00:00:01,1\n2026-01-01 00:0"), 0);
    assert_int_equal(report.enqueued, 1);
    assert_int_equal(report.rejected, 1);
    extract_map_fini(&map);
    extract_map_default(&map);
    assert_int_equal(import_text("time,a\n2026-01-01 00:00:01,1\n2026-01-01 00:00:02,2\n"), 0);
    assert_int_equal(report.enqueued, 1);
    assert_int_equal(report.rejected, 0);
    assert_int_equal(made(), 2);
}

static void another_file_under_the_same_name_is_refused(void **state)
{
    (void)state;
    assert_int_equal(import_text("time,a\n2026-01-01 00:00:01,1\n2026-01-01 00:00:02,2\n"), 0);
    extract_map_fini(&map);
    extract_map_default(&map);
    assert_int_equal(import_text("time,a\n2026-02-01 00:00:01,1\n2026-02-01 00:00:02,2\n"),
                     -(int)SB_EBAD_VALUE);
    assert_non_null(strstr(err.msg, "--again"));
    extract_map_fini(&map);
    extract_map_default(&map);
    assert_int_equal(import_text("time,a\n2026-01-01 00:00:01,1\n"), -(int)SB_EBAD_VALUE);
    assert_non_null(strstr(err.msg, "shorter"));
    assert_int_equal(made(), 2);
}

static void headers_in_mid_file_move_the_columns(void **state)
{
    (void)state;
    use_map("{\"header\":\"yes\",\"header_line\":\"^time,\",\"time\":{\"column\":\"time\"},"
            "\"fields\":[{\"field\":\"a\",\"column\":\"a\",\"type\":\"number\"}]}",
            SB_UP_SENSORS);
    assert_int_equal(import_text("time,a\n2026-01-01 00:00:01,1\ntime,b,a\n"
                                 "2026-01-01 00:00:02,9,2\n2026-01-01 00:00:02,3\n"
                                 "time,c\n2026-01-01 00:00:03,3\ntime,a\n2026-01-01 00:00:04,4\n"),
                     0);
    assert_outbox("[\"ts\",\"a\"]:[\"2026-01-01T00:00:01Z\",1],[\"2026-01-01T00:00:02Z\",2],"
                  "[\"2026-01-01T00:00:04Z\",4]\n");
    assert_string_equal(refused.data, "5:columns\n7:columns\n");
}

static void a_header_that_does_not_fit_is_an_error(void **state)
{
    (void)state;
    use_map("{\"header\":\"yes\",\"time\":{\"column\":\"time\"},\"fields\":[{\"field\":\"a\","
            "\"column\":\"a\"}]}",
            SB_UP_SENSORS);
    assert_int_equal(import_text("time,b\n2026-01-01 00:00:01,1\n"), -(int)SB_ECONFIG);
    assert_non_null(strstr(err.msg, "'a'"));
    extract_map_fini(&map);
    extract_map_default(&map);
    assert_int_equal(import_text("2026-01-01 00:00:01,1\n"), -(int)SB_ECONFIG);
    assert_non_null(strstr(err.msg, "--map"));
}

static void ndjson_lines_are_records(void **state)
{
    (void)state;
    map.ndjson = true;
    assert_int_equal(import_text("{\"ts\":\"2026-01-01T00:00:01Z\",\"n\":9007199254740993}\r\n\n"
                                 "{\"ts\":\"2026-01-01T00:00:02Z\",\"n\":2\n"
                                 "[1]\n"
                                 "{\"time\":\"2026-01-01T00:00:03Z\",\"n\":1.0}"),
                     0);
    assert_outbox("[\"ts\",\"n\"]:[\"2026-01-01T00:00:01Z\",9007199254740993],"
                  "[\"2026-01-01T00:00:03Z\",1.0]\n");
    assert_string_equal(refused.data, "3:json\n4:json\n");
}

static void long_lines_are_passed_over(void **state)
{
    struct sb_buf text = {0};

    (void)state;
    sb_buf_add_str(&text, "{\"a\":\"");
    while (text.len < 3000000)
        sb_buf_add_char(&text, 'x');
    sb_buf_add_str(&text, "\"}\n{\"ts\":\"2026-01-01T00:00:03Z\",\"n\":1}\n");
    map.ndjson = true;
    assert_int_equal(import_text(text.data), 0);
    assert_string_equal(refused.data, "1:too_long\n");
    assert_int_equal(report.enqueued, 1);
    sb_buf_free(&text);
}

static void gzip_is_read_as_it_comes(void **state)
{
    struct sb_buf text = {0};
    gzFile file;
    FILE *raw;
    long size;

    (void)state;
    sb_buf_add_str(&text, "time,a\n");
    for (int i = 0; i < 50000; i++)
        sb_buf_add_fmt(&text, "2026-01-01 00:00:%02d,%d\n", i % 60, i * 7919 % 10007);
    file = gzopen(path, "wb");
    assert_int_equal(gzwrite(file, text.data, (unsigned)text.len), (int)text.len);
    gzclose(file);
    assert_int_equal(import("sensors/air_quality", false), 0);
    assert_int_equal(report.enqueued, 50000);
    raw = fopen(path, "r+");
    fseek(raw, 0, SEEK_END);
    size = ftell(raw);
    assert_int_equal(ftruncate(fileno(raw), size - 1000), 0);
    fclose(raw);
    extract_map_fini(&map);
    extract_map_default(&map);
    assert_int_equal(import("sensors/air_quality", true), -(int)SB_EBAD_GZIP);
    assert_non_null(strstr(err.msg, "too early"));
    assert_true(report.enqueued > 40000 && report.enqueued < 50000);
    assert_int_equal(made(), 50000 + report.enqueued);
    sb_buf_free(&text);
}

static void a_switch_that_is_off_keeps_records_here(void **state)
{
    struct enqueue_switches off = all_on;

    (void)state;
    off.sync_sensors = false;
    enqueue_free(eq);
    eq = enqueue_new(ob, &off, "");
    assert_int_equal(import_text("time,a\n2026-01-01 00:00:01,1\n"), 0);
    assert_int_equal(report.enqueued, 0);
    assert_int_equal(report.local, 1);
}

static void a_file_that_is_not_there_is_named(void **state)
{
    struct import_options options = {.path = "/nonexistent/x.csv", .map = &map};

    (void)state;
    assert_int_equal(import_file(ob, eq, &options, &report, &err), -(int)SB_ENOT_FOUND);
    assert_non_null(strstr(err.msg, "/nonexistent/x.csv"));
    options.path = "/";
    assert_int_not_equal(import_file(ob, eq, &options, &report, &err), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_with_a_header_needs_no_map),
        TEST(refused_rows_are_counted_by_reason),
        TEST(what_the_agent_refuses_is_counted_by_its_code),
        TEST(nothing_is_read_twice),
        TEST(any_cut_between_lines_goes_on_behind_it),
        TEST(two_imports_of_one_file_bring_each_row_once),
        TEST(a_last_line_that_is_torn_is_looked_at_again),
        TEST(another_file_under_the_same_name_is_refused),
        TEST(headers_in_mid_file_move_the_columns),
        TEST(a_header_that_does_not_fit_is_an_error),
        TEST(ndjson_lines_are_records),
        TEST(long_lines_are_passed_over),
        TEST(gzip_is_read_as_it_comes),
        TEST(a_switch_that_is_off_keeps_records_here),
        TEST(a_file_that_is_not_there_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
