/* What people and programs read: tables, and JSON written member by member. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/json_put.h"
#include "common/json_scan.h"
#include "common/table.h"

static const char *const heads[] = {"NAME", ">COUNT", "SEEN"};

static char *print(const struct sb_table *table, bool colour)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    sb_table_print(table, colour, out);
    fclose(out);
    return text;
}

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
    struct sb_table *table = sb_table_new(heads, 3);
    char *text;

    (void)state;
    sb_table_text(table, "edge-001");
    sb_table_u64(table, UINT64_MAX);
    sb_table_time_ms(table, 1767323045250);
    sb_table_text(table, "\xc3\xa4");
    sb_table_u64(table, 7);
    sb_table_time_ms(table, 0);
    text = print(table, false);
    assert_string_equal(text, "NAME                     COUNT  SEEN\n"
                              "edge-001  18446744073709551615  2026-01-02T03:04:05.250Z\n"
                              "\xc3\xa4                            7  -\n");
    assert_int_equal(sb_table_rows(table), 2);
    free(text);
    sb_table_free(table);
}

static void an_empty_table_has_its_heads(void **state)
{
    struct sb_table *table = sb_table_new(heads, 3);
    char *text = print(table, false);

    (void)state;
    assert_string_equal(text, "NAME  COUNT  SEEN\n");
    free(text);
    sb_table_free(table);
}

static void colour_marks_what_is_bad(void **state)
{
    struct sb_table *table = sb_table_new(heads, 3);
    char *text;

    (void)state;
    sb_table_text(table, "a");
    sb_table_u64(table, 3);
    sb_table_bad(table);
    sb_table_text(table, "ok");
    sb_table_good(table);
    text = print(table, true);
    assert_non_null(strstr(text, "\033[31m3\033[0m"));
    assert_non_null(strstr(text, "\033[32mok\033[0m"));
    free(text);
    text = print(table, false);
    assert_null(strchr(text, '\033'));
    free(text);
    sb_table_free(table);
}

static void nothing_a_device_sent_drives_the_terminal(void **state)
{
    struct sb_buf out = {0};

    (void)state;
    sb_print_safe(SB_SPAN("a\033[2J\n\t\x7f\xc2\x9b \xc3\xbc \xe4\xb8\xad \xff"), &out);
    assert_string_equal(out.data, "a\\x1b[2J\\x0a\\x09\\x7f\\xc2\\x9b \xc3\xbc \xe4\xb8\xad \\xff");
    sb_buf_free(&out);
}

static void ages_are_short(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {{-5, "0 s"},           {0, "0 s"},
                 {119999, "119 s"},     {120000, "2 min"},
                 {7200000, "2 h"},      {172799999, "47 h"},
                 {172800000, "2 days"}, {INT64_C(31536000000), "365 days"}};
    char text[32];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sb_print_age(cases[i].ms, text, sizeof(text));
        assert_string_equal(text, cases[i].text);
    }
}

static void members_are_written_with_their_commas(void **state)
{
    struct sb_buf out = {0};

    (void)state;
    sb_put_open(&out, NULL, '{');
    sb_put_text(&out, "a", "x\"{");
    sb_put_i64(&out, "b", INT64_MIN);
    sb_put_open(&out, "c", '[');
    sb_put_u64(&out, NULL, 1);
    sb_put_bool(&out, NULL, true);
    sb_put_open(&out, NULL, '{');
    sb_put_close(&out, '}');
    sb_put_null(&out, NULL);
    sb_put_close(&out, ']');
    sb_put_text_or_null(&out, "d", "");
    sb_put_time_ms(&out, "e", 0);
    sb_put_time_us(&out, "f", 1000000);
    sb_put_raw(&out, "g", SB_SPAN("[1.50]"));
    sb_put_raw(&out, "h", (struct sb_span){0});
    sb_put_close(&out, '}');
    assert_string_equal(out.data,
                        "{\"a\":\"x\\\"{\",\"b\":-9223372036854775808,\"c\":[1,true,{},null],"
                        "\"d\":null,\"e\":null,\"f\":\"1970-01-01T00:00:01Z\",\"g\":[1.50],"
                        "\"h\":null}");
    sb_buf_add_char(&out, '\n');
    sb_put_open(&out, NULL, '{'); /* the next line of a stream of objects */
    assert_string_equal(out.data + out.len - 2, "\n{");
    sb_buf_free(&out);
}

static void bytes_that_are_no_text_are_replaced(void **state)
{
    struct sb_buf out = {0};

    (void)state;
    sb_put_span(&out, NULL, SB_SPAN("a\xff\xfe\0b\xc3\xa4"));
    assert_string_equal(out.data, "\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                                  "b\xc3\xa4\"");
    assert_int_equal(
        sb_json_check(sb_buf_span(&out), &(struct sb_json_limits){1000, 1, 10}, NULL, NULL), 0);
    sb_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_as_wide_as_their_widest_cell),
        cmocka_unit_test(an_empty_table_has_its_heads),
        cmocka_unit_test(colour_marks_what_is_bad),
        cmocka_unit_test(nothing_a_device_sent_drives_the_terminal),
        cmocka_unit_test(ages_are_short),
        cmocka_unit_test(members_are_written_with_their_commas),
        cmocka_unit_test(bytes_that_are_no_text_are_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
