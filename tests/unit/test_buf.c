/* The growing buffer: contents, the NUL behind them, numbers, formats and JSON strings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/rng.h"

static void spans_are_compared_by_length_and_bytes(void **state)
{
    (void)state;
    assert_true(sb_span_eq(SB_SPAN("abc"), sb_span_of("abc")));
    assert_false(sb_span_eq(SB_SPAN("abc"), SB_SPAN("abcd")));
    assert_false(sb_span_eq(SB_SPAN("abc"), SB_SPAN("abd")));
    assert_true(sb_span_eq((struct sb_span){NULL, 0}, SB_SPAN("")));
    assert_true(sb_span_is((struct sb_span){NULL, 0}, ""));
    assert_false(sb_span_is((struct sb_span){"a\0", 2}, "a"));
}

static void random_additions_keep_to_a_plain_array(void **state)
{
    static char model[200000];
    struct sb_buf buf = {0};
    struct sb_rng rng;

    (void)state;
    sb_rng_seed(&rng, 1);
    for (int round = 0; round < 20; round++) {
        size_t len = 0;

        while (len < sizeof(model) - 2000) {
            size_t add =
                sb_rng_below(&rng, 10) == 0 ? sb_rng_below(&rng, 2000) : sb_rng_below(&rng, 20);

            for (size_t i = 0; i < add; i++)
                model[len + i] = (char)sb_rng_below(&rng, 256);
            if (add == 1)
                sb_buf_add_char(&buf, model[len]);
            else
                sb_buf_add(&buf, model + len, add);
            len += add;
            assert_int_equal(buf.len, len);
            if (buf.data != NULL)
                assert_int_equal(buf.data[len], '\0');
        }
        assert_memory_equal(buf.data, model, len);
        if (round % 2 == 0) {
            sb_buf_clear(&buf);
            assert_int_equal(buf.len, 0);
            assert_true(buf.cap > 0);
        } else {
            sb_buf_free(&buf);
            assert_null(buf.data);
        }
    }
    sb_buf_free(&buf);
    sb_buf_free(&buf);
}

static void an_empty_buffer_is_usable(void **state)
{
    struct sb_buf buf = {0};
    char *text;

    (void)state;
    sb_buf_clear(&buf);
    assert_int_equal(sb_buf_span(&buf).len, 0);
    assert_non_null(sb_buf_span(&buf).data);
    sb_buf_add(&buf, NULL, 0);
    assert_string_equal(buf.data, "");
    sb_buf_free(&buf);
    text = sb_buf_take(&buf);
    assert_string_equal(text, "");
    assert_null(buf.data);
    free(text);
    sb_buf_add_str(&buf, "abc");
    text = sb_buf_take(&buf);
    assert_string_equal(text, "abc");
    assert_int_equal(buf.len, 0);
    free(text);
}

static void numbers_are_printed_whole(void **state)
{
    static const uint64_t numbers[] = {
        0, 1, 9, 10, 99, 100, UINT32_MAX, UINT64_MAX, (uint64_t)1 << 53, 9007199254740990u};
    struct sb_buf buf = {0};
    struct sb_rng rng;
    char expected[32];

    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        snprintf(expected, sizeof(expected), "%llu", (unsigned long long)numbers[i]);
        sb_buf_clear(&buf);
        sb_buf_add_u64(&buf, numbers[i]);
        assert_string_equal(buf.data, expected);
    }
    sb_rng_seed(&rng, 2);
    for (int i = 0; i < 10000; i++) {
        uint64_t number = sb_rng_u64(&rng) >> sb_rng_below(&rng, 64);

        snprintf(expected, sizeof(expected), "%llu", (unsigned long long)number);
        sb_buf_clear(&buf);
        sb_buf_add_u64(&buf, number);
        assert_string_equal(buf.data, expected);
    }
    sb_buf_free(&buf);
}

static void formats_of_any_length_are_added(void **state)
{
    struct sb_buf buf = {0};

    (void)state;
    for (int width = 0; width < 2000; width += 13) {
        size_t before = buf.len;

        sb_buf_add_fmt(&buf, "%*s|", width, "x");
        assert_int_equal(buf.len - before, (width > 0 ? width : 1) + 1);
        assert_int_equal(buf.data[buf.len - 1], '|');
        assert_int_equal(buf.data[buf.len], '\0');
    }
    sb_buf_free(&buf);
}

static void json_strings_are_escaped_where_they_must(void **state)
{
    struct sb_buf buf = {0};
    char expected[32];

    (void)state;
    sb_buf_add_json(&buf, SB_SPAN("a\"b\\c/d\b\f\n\r\t\x01\x1f\x7f\xc3\xa9"));
    assert_string_equal(buf.data, "\"a\\\"b\\\\c/d\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\xc3\xa9\"");
    sb_buf_clear(&buf);
    sb_buf_add_json(&buf, SB_SPAN(""));
    assert_string_equal(buf.data, "\"\"");
    sb_buf_clear(&buf);
    sb_buf_add_json(&buf, (struct sb_span){NULL, 0});
    assert_string_equal(buf.data, "\"\"");
    for (int c = 0; c < 0x20; c++) {
        char text = (char)c;

        sb_buf_clear(&buf);
        sb_buf_add_json(&buf, (struct sb_span){&text, 1});
        snprintf(expected, sizeof(expected), "\"\\u%04x\"", c);
        assert_true(strcmp(buf.data, expected) == 0 || (buf.len == 4 && buf.data[1] == '\\'));
    }
    sb_buf_free(&buf);
}

static void a_list_grows_at_powers_of_two(void **state)
{
    uint32_t *list = NULL;

    (void)state;
    for (size_t count = 0; count < 5000; count++) {
        list = sb_xgrow(list, count, sizeof(*list));
        list[count] = (uint32_t)count * 7;
    }
    for (size_t i = 0; i < 5000; i++)
        assert_int_equal(list[i], i * 7);
    free(list);
}

static void copies_are_ended_by_a_nul(void **state)
{
    char *text = sb_xstrndup("abcdef", 3);

    (void)state;
    assert_string_equal(text, "abc");
    free(text);
    text = sb_xstrndup(NULL, 0);
    assert_string_equal(text, "");
    free(text);
    text = sb_xstrdup("");
    assert_string_equal(text, "");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_are_compared_by_length_and_bytes),
        cmocka_unit_test(random_additions_keep_to_a_plain_array),
        cmocka_unit_test(an_empty_buffer_is_usable),
        cmocka_unit_test(numbers_are_printed_whole),
        cmocka_unit_test(formats_of_any_length_are_added),
        cmocka_unit_test(json_strings_are_escaped_where_they_must),
        cmocka_unit_test(a_list_grows_at_powers_of_two),
        cmocka_unit_test(copies_are_ended_by_a_nul),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
