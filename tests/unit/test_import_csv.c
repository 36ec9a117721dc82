/* CSV rows out of a window: RFC 4180, and dirt that never swallows its neighbours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/rng.h"
#include "edge_agent/import_csv.h"

static struct csv csv;

static int setup(void **state)
{
    (void)state;
    csv_init(&csv, ',');
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    csv_fini(&csv);
    return 0;
}

/* Reads everything as rows "a|b|c\n", refused lines as "!quote\n" or "!long\n". With `step` > 0 the
 * window grows by so many bytes at a time, as a file does that is read in pieces. */
static char *read_all(const char *text, size_t len, size_t step)
{
    char *copy = malloc(len > 0 ? len : 1); /* exactly as long: reading behind it is an error */
    struct sb_buf out = {0};
    size_t at = 0, end = step > 0 && step < len ? step : len;

    assert_non_null(copy);
    memcpy(copy, text, len);
    while (at < len) {
        enum csv_result result = csv_next(&csv, (struct sb_span){copy + at, end - at}, end == len);

        if (result == CSV_MORE) {
            assert_true(end < len);
            end = end + step < len ? end + step : len;
            continue;
        }
        assert_true(csv.used > 0 && csv.used <= end - at);
        if (result == CSV_ROW) {
            for (size_t i = 0; i < csv.count; i++) {
                sb_buf_add_str(&out, i > 0 ? "|" : "");
                sb_buf_add_span(&out, csv.cells[i]);
            }
            sb_buf_add_char(&out, '\n');
        } else if (result != CSV_BLANK) {
            sb_buf_add_str(&out, result == CSV_QUOTE ? "!quote\n" : "!long\n");
        }
        at += csv.used;
        end = end > at ? end : at + step < len ? at + step : len;
    }
    free(copy);
    return sb_buf_take(&out);
}

static void assert_rows(const char *text, const char *expected)
{
    for (size_t step = 0; step < 12; step++) {
        char *rows = read_all(text, strlen(text), step);

        assert_string_equal(rows, expected);
        free(rows);
    }
}

static void rows_end_with_lf_crlf_or_nothing(void **state)
{
    (void)state;
    assert_rows("a,b\nc,d\r\n\r\n\ne,f", "a|b\nc|d\ne|f\n");
    assert_rows(",\n,,\r\n", "|\n||\n");
    assert_rows("a", "a\n");
    assert_rows("a,b\r", "a|b\n");
    assert_rows("", "");
}

static void quotes_hide_delimiters_quotes_and_line_ends(void **state)
{
    (void)state;
    assert_rows("\"a,b\",c\n", "a,b|c\n");
    assert_rows("\"a\"\"b\",\"\"\n", "a\"b|\n");
    assert_rows("1,\"x\r\ny\",2\r\n3\n", "1|x\r\ny|2\n3\n");
    assert_rows("\"a\",\"b\"", "a|b\n");
    assert_rows("\"a\",\"b\"\r\n\"c\"\r\n", "a|b\nc\n");
}

static void a_quote_inside_a_field_is_a_character(void **state)
{
    (void)state;
    assert_rows("5\" pipe,b\"\n\"x\",y\n", "5\" pipe|b\"\nx|y\n");
}

static void a_torn_quote_costs_its_own_line_only(void **state)
{
    (void)state;
    assert_rows("1,\"SI\n2,\"SIG\"\n3,\"SIG\"\n", "!quote\n2|SIG\n3|SIG\n");
    assert_rows("1,\"a\"b\n2\n", "!quote\n2\n");
    assert_rows("1,\"a\n2\n3\n", "!quote\n2\n3\n");
    assert_rows("\"", "!quote\n");
    assert_rows("1\n\"a\"\"", "1\n!quote\n");
}

static void an_open_quote_is_given_up_after_its_limit(void **state)
{
    struct sb_buf text = {0};
    char *rows;

    (void)state;
    sb_buf_add_str(&text, "\"open\n");
    for (int i = 0; i < 20000; i++)
        sb_buf_add_str(&text, "1,2,3\n");
    sb_buf_add_str(&text, "\"\n");
    rows = read_all(text.data, text.len, 4096);
    assert_memory_equal(rows, "!quote\n1|2|3\n1|2|3\n", 19);
    assert_int_equal(strlen(rows), 7 + 20000 * 6 + 7);
    free(rows);
    sb_buf_free(&text);
}

static void a_line_that_is_too_long_is_refused(void **state)
{
    struct sb_buf text = {0};
    char *rows;

    (void)state;
    while (text.len < CSV_ROW_MAX)
        sb_buf_add_char(&text, 'x');
    sb_buf_add_str(&text, "\nb\n");
    rows = read_all(text.data, text.len, 65536);
    assert_int_equal(strlen(rows), CSV_ROW_MAX + 3);
    free(rows);
    text.len -= 3;
    sb_buf_add_str(&text, "x\nb\n");
    rows = read_all(text.data, text.len, 65536);
    assert_string_equal(rows, "!long\nb\n");
    free(rows);
    sb_buf_free(&text);
}

static void more_columns_than_there_is_room_for_are_counted(void **state)
{
    struct sb_buf text = {0};

    (void)state;
    for (int i = 0; i < 999; i++)
        sb_buf_add_str(&text, i % 2 == 0 ? "a," : "\"b\",");
    sb_buf_add_char(&text, '\n');
    assert_int_equal(csv_next(&csv, sb_buf_span(&text), true), CSV_ROW);
    assert_int_equal(csv.count, 1000);
    assert_true(sb_span_is(csv.cells[1], "b"));
    assert_true(sb_span_is(csv.cells[EXTRACT_COLUMNS_MAX - 1], "b"));
    sb_buf_free(&text);
}

static void lines_are_counted(void **state)
{
    (void)state;
    assert_int_equal(csv_next(&csv, SB_SPAN("\"a\nb\nc\",d\ne\n"), true), CSV_ROW);
    assert_int_equal(csv.lines, 3);
    assert_int_equal(csv.first_line, 3);
    assert_int_equal(csv.used, 10);
    assert_int_equal(csv_next(&csv, SB_SPAN("\"a\nb\""), true), CSV_ROW);
    assert_int_equal(csv.lines, 2);
    assert_int_equal(csv_next(&csv, SB_SPAN("a"), true), CSV_ROW);
    assert_int_equal(csv.lines, 1);
}

static void the_delimiter_is_the_most_frequent(void **state)
{
    (void)state;
    assert_int_equal(csv_guess_delimiter(SB_SPAN("a;b;c,d\n1,2,3,4,5")), ';');
    assert_int_equal(csv_guess_delimiter(SB_SPAN("a\tb")), '\t');
    assert_int_equal(csv_guess_delimiter(SB_SPAN("a|b")), '|');
    assert_int_equal(csv_guess_delimiter(SB_SPAN("a")), ',');
    assert_int_equal(csv_guess_delimiter(SB_SPAN("")), ',');
}

/* However the text is cut into windows, the rows are the same, and every line is accounted for. */
static void any_bytes_give_the_same_rows_in_any_pieces(void **state)
{
    static const char alphabet[] = "ab,\"\"\n\n\r,1";
    struct sb_rng rng;

    (void)state;
    sb_rng_seed(&rng, 11);
    for (int round = 0; round < 20000; round++) {
        char text[40];
        size_t len = sb_rng_below(&rng, sizeof(text));
        char *whole, *pieces;

        for (size_t i = 0; i < len; i++)
            text[i] = alphabet[sb_rng_below(&rng, sizeof(alphabet) - 1)];
        whole = read_all(text, len, 0);
        pieces = read_all(text, len, 1 + sb_rng_below(&rng, 5));
        assert_string_equal(pieces, whole);
        free(whole);
        free(pieces);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rows_end_with_lf_crlf_or_nothing),
        TEST(quotes_hide_delimiters_quotes_and_line_ends),
        TEST(a_quote_inside_a_field_is_a_character),
        TEST(a_torn_quote_costs_its_own_line_only),
        TEST(an_open_quote_is_given_up_after_its_limit),
        TEST(a_line_that_is_too_long_is_refused),
        TEST(more_columns_than_there_is_room_for_are_counted),
        TEST(lines_are_counted),
        TEST(the_delimiter_is_the_most_frequent),
        TEST(any_bytes_give_the_same_rows_in_any_pieces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
