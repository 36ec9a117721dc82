/* The strict scanner: what it accepts and refuses, with the code and the place, and that checked
 * text reads back as it was written. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/json_scan.h"

static const struct sb_json_limits wide = {1 << 24, SB_JSON_MAX_DEPTH, SB_JSON_MAX_NODES};

/* Checks a copy of exactly that size, so that a read past the end is found. */
static int check_len(const char *text, size_t len, const struct sb_json_limits *limits,
                     struct sb_err *err)
{
    char *copy = malloc(len > 0 ? len : 1);
    int rc;

    assert_non_null(copy);
    if (len > 0)
        memcpy(copy, text, len);
    rc = sb_json_check((struct sb_span){copy, len}, limits, NULL, err);
    free(copy);
    return rc;
}

static void accepts(const char *text)
{
    struct sb_err err;

    if (check_len(text, strlen(text), &wide, &err) != 0)
        fail_msg("refused: %s: %s", text, err.msg);
}

static void refuses_len(const char *text, size_t len, enum sb_code code, const char *part)
{
    struct sb_err err = {0};

    if (check_len(text, len, &wide, &err) != -(int)code)
        fail_msg("%s: not %s but %s: %s", text, sb_code_name(code), sb_code_name(err.code),
                 err.msg);
    assert_int_equal(err.code, code);
    if (strstr(err.msg, part) == NULL)
        fail_msg("%s: \"%s\" is not in \"%s\"", text, part, err.msg);
}

static void refuses(const char *text, enum sb_code code, const char *part)
{
    refuses_len(text, strlen(text), code, part);
}

static void values_of_every_kind_are_accepted(void **state)
{
    static const char *const good[] = {
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1",
        "-1",
        "1.5",
        "1e5",
        "1E+5",
        "1.25e-300",
        "123456789012345678901234567890",
        "\"\"",
        "\"a\"",
        "[]",
        "{}",
        "[ ]",
        "{ }",
        " [ 1 , 2 ] ",
        "\n\t\r {\"a\" : 1 }\n",
        "[[],{}]",
        "{\"a\":{\"a\":1}}",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u0001\\u00e9\\uD83D\\uDE00\"",
        "\"\x7f\"",
        "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
        "\"\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf\"",
        "{\"\":1,\"a\":2,\"A\":3}",
        "[1,-2.0,\"x\",true,false,null]",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        accepts(good[i]);
}

static void broken_texts_are_refused_with_their_place(void **state)
{
    (void)state;
    refuses("", SB_EBAD_JSON, "at byte 0");
    refuses("   ", SB_EBAD_JSON, "at byte 3");
    refuses("[1,]", SB_EBAD_JSON, "at byte 3");
    refuses("[,1]", SB_EBAD_JSON, "at byte 1");
    refuses("[1 2]", SB_EBAD_JSON, "at byte 3");
    refuses("[1", SB_EBAD_JSON, "at byte 2");
    refuses("{\"a\":1,}", SB_EBAD_JSON, "at byte 7");
    refuses("{\"a\" 1}", SB_EBAD_JSON, "at byte 5");
    refuses("{\"a\"}", SB_EBAD_JSON, "at byte 4");
    refuses("{\"a\":}", SB_EBAD_JSON, "at byte 5");
    refuses("{a:1}", SB_EBAD_JSON, "at byte 1");
    refuses("{1:1}", SB_EBAD_JSON, "at byte 1");
    refuses("{\"a\":1", SB_EBAD_JSON, "at byte 6");
    refuses("[}", SB_EBAD_JSON, "at byte 1");
    refuses("{]", SB_EBAD_JSON, "at byte 1");
    refuses("]", SB_EBAD_JSON, "at byte 0");
    refuses("1 2", SB_EBAD_JSON, "at byte 2: text after the value");
    refuses("[1]x", SB_EBAD_JSON, "at byte 3: text after the value");
    refuses("nul", SB_EBAD_JSON, "at byte 0");
    refuses("truefalse", SB_EBAD_JSON, "at byte 4");
    refuses("NaN", SB_EBAD_JSON, "at byte 0");
    refuses("Infinity", SB_EBAD_JSON, "at byte 0");
    refuses("'a'", SB_EBAD_JSON, "at byte 0");
    refuses("/**/1", SB_EBAD_JSON, "at byte 0");
    refuses("\xef\xbb\xbf[]", SB_EBAD_JSON, "at byte 0");
    refuses("\v1", SB_EBAD_JSON, "at byte 0");
    refuses_len("1\0", 2, SB_EBAD_JSON, "at byte 1");
    refuses_len("[\"a\0b\"]", 7, SB_EBAD_JSON, "at byte 3");
}

static void broken_numbers_are_refused(void **state)
{
    static const char *const numbers[] = {"-",   "+1",  "01",   "-01", "1.",       ".5",  "1.e5",
                                          "1e",  "1e+", "0x10", "1_0", "1e5.5",    "--1", "1..2",
                                          "1ee", "- 1", "0e",   "00",  "1.2.3",    "-a",  "1a",
                                          "2.e", "1e-", "-.5",  "٣",   "-Infinity"};

    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        refuses(numbers[i], SB_EBAD_JSON, "at byte");
}

static void broken_strings_are_refused(void **state)
{
    (void)state;
    refuses("\"", SB_EBAD_JSON, "at byte 0: a string that does not end");
    refuses("\"abcdefghijk", SB_EBAD_JSON, "at byte 0: a string that does not end");
    refuses("\"a\\\"", SB_EBAD_JSON, "does not end");
    refuses("\"a\\", SB_EBAD_JSON, "does not end");
    refuses("\"\\x41\"", SB_EBAD_JSON, "at byte 1");
    refuses_len("\"\\\0\"", 4, SB_EBAD_JSON, "at byte 1");
    refuses("\"\\u12\"", SB_EBAD_JSON, "four hex digits");
    refuses("\"\\u12g4\"", SB_EBAD_JSON, "four hex digits");
    refuses("\"\\u123", SB_EBAD_JSON, "four hex digits");
    refuses("\"12345678\n\"", SB_EBAD_JSON, "at byte 9: a control character");
    refuses("\"\t\"", SB_EBAD_JSON, "at byte 1: a control character");
    refuses("\"a\\u0000\"", SB_EBAD_UTF8, "at byte 2");
    refuses("\"\\ud800\"", SB_EBAD_UTF8, "at byte 1: half a surrogate pair");
    refuses("\"\\ud800x\"", SB_EBAD_UTF8, "half a surrogate pair");
    refuses("\"\\ud800\\n\"", SB_EBAD_UTF8, "half a surrogate pair");
    refuses("\"\\ud800\\ud800\"", SB_EBAD_UTF8, "half a surrogate pair");
    refuses("\"\\ud800\\u0041\"", SB_EBAD_UTF8, "half a surrogate pair");
    refuses("\"\\udc00\\ud800\"", SB_EBAD_UTF8, "at byte 1: half a surrogate pair");
    refuses("\"\\ud800\\udc0", SB_EBAD_UTF8, "half a surrogate pair");
}

static void bad_utf8_is_refused_wherever_it_stands(void **state)
{
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xc3",
        "\xc3(",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xe2\x82",
        "\xe2\x28\xa1",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xf0\x80\x80\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf0\x9f\x98",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xf8\x88",
        "\xfe",
        "\xff",
        "\xef\xbb",
    };
    char text[64];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        for (int before = 0; before < 9; before++) {
            size_t place;

            snprintf(text, sizeof(text), "\"%.*s%sz\"", before, "abcdefghi", bad[i]);
            snprintf(text + 40, 20, "at byte %d:", before + 1);
            refuses(text, SB_EBAD_UTF8, text + 40);
            snprintf(text, 40, "%.*s%s", before, "abcdefghi", bad[i]);
            assert_false(sb_utf8_valid(sb_span_of(text), &place));
            assert_int_equal(place, before);
        }
    }
    assert_false(sb_utf8_valid((struct sb_span){"a\0b", 3}, NULL));
    assert_true(sb_utf8_valid(SB_SPAN("a\"\\\n\xc3\xa9\xf4\x8f\xbf\xbf"), NULL));
    assert_true(sb_utf8_valid((struct sb_span){"", 0}, NULL));
}

static void a_key_twice_is_refused_after_unescaping(void **state)
{
    (void)state;
    refuses("{\"a\":1,\"a\":2}", SB_EDUPLICATE_KEY, "at byte 7: the key \"a\"");
    refuses("{\"a\":1,\"\\u0061\":2}", SB_EDUPLICATE_KEY, "at byte 7: the key \"\\u0061\"");
    refuses("{\"\\u0061b\":1,\"ab\":2}", SB_EDUPLICATE_KEY, "the key \"ab\"");
    refuses("{\"\\u00e9\":1,\"\xc3\xa9\":2}", SB_EDUPLICATE_KEY, "at byte 12");
    refuses("{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}", SB_EDUPLICATE_KEY, "at byte");
    refuses("{\"\":1,\"\":2}", SB_EDUPLICATE_KEY, "the key \"\"");
    refuses("{\"123456789\":1,\"12345678a\":1,\"123456789\":2}", SB_EDUPLICATE_KEY, "at byte 29");
    refuses("[{\"a\":{\"b\":1,\"c\":{\"b\":1},\"b\":2}}]", SB_EDUPLICATE_KEY, "the key \"b\"");
    accepts("{\"a\":{\"a\":{\"a\":1}},\"b\":{\"a\":1}}");
    accepts("[{\"a\":1},{\"a\":1}]");
    accepts("{\"\\u0061b\":{\"\\u0061\":1},\"\\u0061\":1,\"b\":{\"\\u0062\":1}}");
    accepts("{\"12345678\":1,\"123456789\":2,\"123456788\":3}");
}

static char *object_of(size_t count, long twice)
{
    char *text = malloc(count * 16 + 64), *at = text;

    assert_non_null(text);
    *at++ = '{';
    for (size_t i = 0; i < count; i++)
        at += snprintf(at, 40, "\"key%07zu\":1,", i);
    if (twice >= 0)
        at += snprintf(at, 40, "\"key%07ld\":1,", twice);
    at[-1] = '}';
    *at = '\0';
    return text;
}

static void many_keys_are_checked_without_the_square_of_the_work(void **state)
{
    char *text;

    (void)state;
    text = object_of(99999, -1);
    accepts(text);
    free(text);
    text = object_of(99998, 12345);
    refuses(text, SB_EDUPLICATE_KEY, "\"key0012345\"");
    free(text);
    for (int count = 1; count < 40; count++) {
        for (long twice = 0; twice < count; twice++) {
            text = object_of((size_t)count, twice);
            refuses(text, SB_EDUPLICATE_KEY, "at byte");
            free(text);
        }
    }
}

static void a_long_key_is_named_by_its_beginning(void **state)
{
    char text[512], key[128];

    (void)state;
    for (size_t shift = 0; shift < 4; shift++) {
        struct sb_err err;

        memset(key, 'k', shift);
        key[shift] = '\0';
        for (int i = 0; i < 30; i++)
            memcpy(key + shift + i * 3, "\xe2\x82\xac", 4);
        snprintf(text, sizeof(text), "{\"%s\":1,\"%s\":2}", key, key);
        assert_int_equal(check_len(text, strlen(text), &wide, &err), -SB_EDUPLICATE_KEY);
        assert_true(sb_utf8_valid(sb_span_of(err.msg), NULL));
        assert_non_null(strstr(err.msg, "..."));
    }
}

static void depth_and_nodes_and_bytes_have_limits(void **state)
{
    struct sb_json_limits limits = {100, 2, 5};
    struct sb_err err;

    (void)state;
    assert_int_equal(check_len("[[1]]", 5, &limits, &err), 0);
    assert_int_equal(check_len("[[[]]]", 6, &limits, &err), -SB_ETOO_DEEP);
    assert_non_null(strstr(err.msg, "at byte 2"));
    assert_int_equal(check_len("[{\"a\":[]}]", 10, &limits, &err), -SB_ETOO_DEEP);
    assert_int_equal(check_len("[[],[],[]]", 10, &limits, &err), 0);
    assert_int_equal(check_len("[1,2,3,4]", 9, &limits, &err), 0);
    assert_int_equal(check_len("[1,2,3,4,5]", 11, &limits, &err), -SB_ETOO_MANY_NODES);
    assert_non_null(strstr(err.msg, "at byte 9"));
    limits = (struct sb_json_limits){5, 0, 10};
    assert_int_equal(check_len("12345", 5, &limits, &err), 0);
    assert_int_equal(check_len("123456", 6, &limits, &err), -SB_ETOO_LARGE);
    assert_int_equal(check_len("[]", 2, &limits, &err), -SB_ETOO_DEEP);
}

static void nesting_without_end_is_refused_at_the_limit(void **state)
{
    size_t len = 1000000;
    char *text = malloc(len);

    (void)state;
    assert_non_null(text);
    memset(text, '[', len);
    refuses_len(text, len, SB_ETOO_DEEP, "at byte 32");
    for (size_t i = 0; i + 5 < len; i += 5)
        memcpy(text + i, "{\"a\":", 5);
    refuses_len(text, len, SB_ETOO_DEEP, "at byte 160");
    free(text);
}

static void the_value_comes_without_the_space_around_it(void **state)
{
    struct sb_span value;

    (void)state;
    assert_int_equal(sb_json_check(SB_SPAN(" \n{\"a\": 1} \t"), &wide, &value, NULL), 0);
    assert_true(sb_span_is(value, "{\"a\": 1}"));
    assert_int_equal(sb_json_check(SB_SPAN("7"), &wide, &value, NULL), 0);
    assert_true(sb_span_is(value, "7"));
}

static void arrays_and_objects_are_walked_in_order(void **state)
{
    static const char *const elements[] = {"1",    "\"a,]\\\"\"", "[ 2 , [3] ]", "{\"x\" : \"}\"}",
                                           "null", "-1.5e3"};
    struct sb_json_iter iter;
    struct sb_span key, value;
    size_t i = 0;

    (void)state;
    sb_json_iter_init(&iter,
                      SB_SPAN("[ 1,\"a,]\\\"\" , [ 2 , [3] ],{\"x\" : \"}\"}\n,null,-1.5e3 ]"));
    while (sb_json_next_element(&iter, &value))
        assert_true(sb_span_is(value, elements[i++]));
    assert_int_equal(i, 6);
    assert_false(sb_json_next_element(&iter, &value));

    sb_json_iter_init(&iter, SB_SPAN("{ \"a\" : 1 ,\"b\\\"\":[{}] , \"\":\"c\"}"));
    assert_true(sb_json_next_member(&iter, &key, &value));
    assert_true(sb_span_is(key, "a") && sb_span_is(value, "1"));
    assert_true(sb_json_next_member(&iter, &key, &value));
    assert_true(sb_span_is(key, "b\\\"") && sb_span_is(value, "[{}]"));
    assert_true(sb_json_next_member(&iter, &key, &value));
    assert_true(sb_span_is(key, "") && sb_span_is(value, "\"c\""));
    assert_false(sb_json_next_member(&iter, &key, &value));

    sb_json_iter_init(&iter, SB_SPAN("[ ]"));
    assert_false(sb_json_next_element(&iter, &value));
    sb_json_iter_init(&iter, SB_SPAN("{}"));
    assert_false(sb_json_next_member(&iter, &key, &value));
}

static void members_are_found_and_counted(void **state)
{
    struct sb_span object = SB_SPAN("{\"a\":1,\"\\u0062\":[1,{\"c\":5}],\"c\" : {\"a\":7} }");
    struct sb_span value;

    (void)state;
    assert_true(sb_json_get(object, "a", &value) && sb_span_is(value, "1"));
    assert_true(sb_json_get(object, "b", &value) && sb_span_is(value, "[1,{\"c\":5}]"));
    assert_true(sb_json_get(object, "c", &value) && sb_span_is(value, "{\"a\":7}"));
    assert_false(sb_json_get(object, "d", &value));
    assert_false(sb_json_get(object, "", &value));
    assert_int_equal(sb_json_count(object), 3);
    assert_int_equal(sb_json_count(SB_SPAN("[]")), 0);
    assert_int_equal(sb_json_count(SB_SPAN("{ }")), 0);
    assert_int_equal(sb_json_count(SB_SPAN("[1,[2,3],{\"a\":1,\"b\":2},\"x,y\"]")), 4);
}

static void types_are_told(void **state)
{
    (void)state;
    assert_int_equal(sb_json_type_of(SB_SPAN("null")), SB_JSON_NULL);
    assert_int_equal(sb_json_type_of(SB_SPAN("false")), SB_JSON_FALSE);
    assert_int_equal(sb_json_type_of(SB_SPAN("true")), SB_JSON_TRUE);
    assert_int_equal(sb_json_type_of(SB_SPAN("-1")), SB_JSON_NUMBER);
    assert_int_equal(sb_json_type_of(SB_SPAN("0")), SB_JSON_NUMBER);
    assert_int_equal(sb_json_type_of(SB_SPAN("\"\"")), SB_JSON_STRING);
    assert_int_equal(sb_json_type_of(SB_SPAN("[]")), SB_JSON_ARRAY);
    assert_int_equal(sb_json_type_of(SB_SPAN("{}")), SB_JSON_OBJECT);
}

static void strings_are_unescaped(void **state)
{
    struct sb_buf out = {0};

    (void)state;
    sb_json_unescape(SB_SPAN("\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\\u00e9\\u20AC\\ud83d\\ude00\""), &out);
    assert_string_equal(out.data, "a\"\\/\b\f\n\r\tz\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    sb_buf_clear(&out);
    sb_json_unescape(SB_SPAN("raw\\tkey"), &out);
    assert_string_equal(out.data, "raw\tkey");
    sb_buf_clear(&out);
    sb_json_unescape(SB_SPAN("\"\""), &out);
    assert_int_equal(out.len, 0);
    sb_buf_free(&out);
    assert_true(sb_json_string_is(SB_SPAN("\"ab\""), "ab"));
    assert_true(sb_json_string_is(SB_SPAN("\"\\u0061b\""), "ab"));
    assert_false(sb_json_string_is(SB_SPAN("\"\\u0061b\""), "a"));
    assert_false(sb_json_string_is(SB_SPAN("\"\\u0061\""), "ab"));
    assert_false(sb_json_string_is(SB_SPAN("\"abc\""), "ab"));
    assert_false(sb_json_string_is(SB_SPAN("1"), "1"));
    assert_true(sb_json_string_is(SB_SPAN("\"\""), ""));
}

static void whole_numbers_are_exact(void **state)
{
    uint64_t u = 7;
    int64_t i = 7;

    (void)state;
    assert_true(sb_json_u64(SB_SPAN("18446744073709551615"), &u) && u == UINT64_MAX);
    assert_true(sb_json_u64(SB_SPAN("9007199254740993"), &u) && u == 9007199254740993u);
    assert_true(sb_json_u64(SB_SPAN("0"), &u) && u == 0);
    assert_false(sb_json_u64(SB_SPAN("18446744073709551616"), &u));
    assert_false(sb_json_u64(SB_SPAN("99999999999999999999"), &u));
    assert_false(sb_json_u64(SB_SPAN("100000000000000000000"), &u));
    assert_false(sb_json_u64(SB_SPAN("-1"), &u));
    assert_false(sb_json_u64(SB_SPAN("1.0"), &u));
    assert_false(sb_json_u64(SB_SPAN("1e2"), &u));
    assert_false(sb_json_u64(SB_SPAN("\"1\""), &u));
    assert_false(sb_json_u64(SB_SPAN("null"), &u));
    assert_true(sb_json_i64(SB_SPAN("9223372036854775807"), &i) && i == INT64_MAX);
    assert_true(sb_json_i64(SB_SPAN("-9223372036854775808"), &i) && i == INT64_MIN);
    assert_true(sb_json_i64(SB_SPAN("-0"), &i) && i == 0);
    assert_false(sb_json_i64(SB_SPAN("9223372036854775808"), &i));
    assert_false(sb_json_i64(SB_SPAN("-9223372036854775809"), &i));
    assert_false(sb_json_i64(SB_SPAN("-1.5"), &i));
    assert_false(sb_json_i64(SB_SPAN("true"), &i));
}

static void doubles_are_the_nearest_ones(void **state)
{
    static const char *const numbers[] = {
        "0",
        "-0",
        "1",
        "-1.5",
        "0.1",
        "2.5",
        "3.14159265358979",
        "9007199254740993",
        "9007199254740992",
        "9007199254740991.0",
        "0.000001",
        "123456.789012",
        "1e22",
        "1e23",
        "1.7976931348623157e308",
        "5e-324",
        "2.2250738585072011e-308",
        "0.30000000000000004",
        "179769313486231570000000000000000000000",
        "0.1000000000000000055511151231257827",
        "123456789012345678",
        "12345678901234567.8",
        "0.000000000000000001",
        "1E5",
        "-1e-5",
        "999999999999999999",
        "0.99999999999999999",
        "90071992547409.93",
    };
    double value;

    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        double expected = strtod(numbers[i], NULL);

        assert_true(sb_json_double(sb_span_of(numbers[i]), &value));
        assert_memory_equal(&value, &expected, sizeof(value));
    }
    assert_true(signbit((sb_json_double(SB_SPAN("-0.0"), &value), value)));
    assert_true(sb_json_double(SB_SPAN("1e-400"), &value) && value == 0);
    assert_false(sb_json_double(SB_SPAN("1e999"), &value));
    assert_false(sb_json_double(SB_SPAN("-1e999"), &value));
    assert_false(sb_json_double(SB_SPAN("\"1\""), &value));
    assert_false(sb_json_double(SB_SPAN("null"), &value));
    assert_false(sb_json_double(SB_SPAN("true"), &value));
    assert_false(sb_json_double(SB_SPAN("[1]"), &value));
}

static void random_short_decimals_round_as_strtod_does(void **state)
{
    uint64_t seed = 42;
    char text[64];

    (void)state;
    for (int i = 0; i < 200000; i++) {
        double value, expected;
        unsigned digits;

        seed = seed * 6364136223846793005u + 1442695040888963407u;
        digits = (unsigned)(seed >> 33) % 19;
        snprintf(text, sizeof(text), "%s%llu.%0*llu", seed & 1 ? "-" : "",
                 (unsigned long long)(seed >> 40) % 100000, (int)digits + 1,
                 (unsigned long long)(seed >> 20) % 1000000007);
        expected = strtod(text, NULL);
        assert_true(sb_json_double(sb_span_of(text), &value));
        assert_memory_equal(&value, &expected, sizeof(value));
    }
}

static void equal(const char *a, const char *b, bool expected)
{
    accepts(a);
    accepts(b);
    if (sb_json_equal(sb_span_of(a), sb_span_of(b)) != expected ||
        sb_json_equal(sb_span_of(b), sb_span_of(a)) != expected)
        fail_msg("%s and %s: not %s", a, b, expected ? "equal" : "different");
}

static void values_are_compared_as_json(void **state)
{
    (void)state;
    equal("1", "1", true);
    equal("1", "1.0", false);
    equal("1e2", "100", false);
    equal("null", "false", false);
    equal("\"a\"", "\"\\u0061\"", true);
    equal("\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"", true);
    equal("\"\xc3\xa9x\"", "\"\\u00e9y\"", false);
    equal("\"a\"", "\"ab\"", false);
    equal("\"\\n\"", "\"\\u000a\"", true);
    equal("\"\\n\"", "\"\\u000A\\n\"", false);
    equal("[1,2]", "[ 1 , 2 ]", true);
    equal("[1,2]", "[2,1]", false);
    equal("[1,2]", "[1,2,3]", false);
    equal("[]", "[null]", false);
    equal("[]", "{}", false);
    equal("{\"a\":1,\"b\":[{\"c\":\"x\"}]}", "{\"b\":[{\"\\u0063\":\"x\"}],\"a\":1}", true);
    equal("{\"a\":1}", "{\"b\":1}", false);
    equal("{\"a\":1}", "{\"a\":2}", false);
    equal("{\"a\":1}", "{\"a\":1,\"b\":2}", false);
    equal("{}", "{ }", true);
}

static char *members_in_order(size_t count, size_t step, size_t changed)
{
    char *text = malloc(count * 32 + 8), *at = text;

    assert_non_null(text);
    *at++ = '{';
    for (size_t i = 0; i < count; i++) {
        size_t key = i * step % count;

        at += snprintf(at, 32, "\"%s%zu\":%zu,", key % 3 == 0 && step > 1 ? "\\u006b" : "k", key,
                       key == changed ? key + 1 : key);
    }
    at[-1] = '}';
    *at = '\0';
    return text;
}

static void objects_of_many_members_in_another_order_are_compared(void **state)
{
    static const size_t counts[] = {2, 15, 16, 17, 18, 31, 32, 33, 34, 65, 100, 1024, 30011};

    (void)state;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        size_t n = counts[i];
        char *a = members_in_order(n, 1, SIZE_MAX), *b = members_in_order(n, 7 % n, SIZE_MAX);
        char *c = members_in_order(n, 7 % n, n / 2);

        equal(a, b, true);
        equal(a, c, false);
        free(a);
        free(b);
        free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_every_kind_are_accepted),
        cmocka_unit_test(broken_texts_are_refused_with_their_place),
        cmocka_unit_test(broken_numbers_are_refused),
        cmocka_unit_test(broken_strings_are_refused),
        cmocka_unit_test(bad_utf8_is_refused_wherever_it_stands),
        cmocka_unit_test(a_key_twice_is_refused_after_unescaping),
        cmocka_unit_test(many_keys_are_checked_without_the_square_of_the_work),
        cmocka_unit_test(a_long_key_is_named_by_its_beginning),
        cmocka_unit_test(depth_and_nodes_and_bytes_have_limits),
        cmocka_unit_test(nesting_without_end_is_refused_at_the_limit),
        cmocka_unit_test(the_value_comes_without_the_space_around_it),
        cmocka_unit_test(arrays_and_objects_are_walked_in_order),
        cmocka_unit_test(members_are_found_and_counted),
        cmocka_unit_test(types_are_told),
        cmocka_unit_test(strings_are_unescaped),
        cmocka_unit_test(whole_numbers_are_exact),
        cmocka_unit_test(doubles_are_the_nearest_ones),
        cmocka_unit_test(random_short_decimals_round_as_strtod_does),
        cmocka_unit_test(values_are_compared_as_json),
        cmocka_unit_test(objects_of_many_members_in_another_order_are_compared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
