/* cJSON behind the strict check; and the scanner held against cJSON on random texts: whatever ours
 * accepts cJSON accepts, with equal values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/json.h"
#include "json_kit.h"

static const struct sb_json_limits wide = {1 << 24, SB_JSON_MAX_DEPTH, SB_JSON_MAX_NODES};

static unsigned rounds(unsigned quick)
{
    return getenv("SB_LONG") != NULL ? quick * 50 : quick;
}

static void members_are_read_with_their_type(void **state)
{
    cJSON *tree =
        sb_json_parse(SB_SPAN("{\"u\":5,\"big\":9007199254740991,\"b\":true,\"s\":\"abc\","
                              "\"a\":[1],\"f\":1.5,\"n\":-1,\"over\":9007199254740992}"),
                      &wide, NULL);
    const cJSON *array;
    const char *text;
    struct sb_err err;
    uint64_t u;
    bool b;

    (void)state;
    assert_non_null(tree);
    assert_int_equal(sb_json_member_u64(tree, "u", 5, &u, &err), 0);
    assert_int_equal(u, 5);
    assert_int_equal(sb_json_member_u64(tree, "big", UINT64_MAX, &u, &err), 0);
    assert_int_equal(u, 9007199254740991);
    assert_int_equal(sb_json_member_u64(tree, "over", UINT64_MAX, &u, &err), -SB_EBAD_TYPE);
    assert_int_equal(sb_json_member_u64(tree, "u", 4, &u, &err), -SB_EBAD_TYPE);
    assert_int_equal(sb_json_member_u64(tree, "f", 9, &u, &err), -SB_EBAD_TYPE);
    assert_int_equal(sb_json_member_u64(tree, "n", 9, &u, &err), -SB_EBAD_TYPE);
    assert_int_equal(sb_json_member_u64(tree, "s", 9, &u, &err), -SB_EBAD_TYPE);
    assert_int_equal(sb_json_member_u64(tree, "U", 9, &u, &err), -SB_EMISSING_FIELD);
    assert_non_null(strstr(err.msg, "U: missing"));
    assert_int_equal(sb_json_member_bool(tree, "b", &b, &err), 0);
    assert_true(b);
    assert_int_equal(sb_json_member_bool(tree, "u", &b, &err), -SB_EBAD_TYPE);
    assert_int_equal(sb_json_member_str(tree, "s", 3, &text, &err), 0);
    assert_string_equal(text, "abc");
    assert_int_equal(sb_json_member_str(tree, "s", 2, &text, &err), -SB_ETOO_LARGE);
    assert_int_equal(sb_json_member_str(tree, "u", 2, &text, &err), -SB_EBAD_TYPE);
    assert_int_equal(sb_json_member_array(tree, "a", &array, &err), 0);
    assert_int_equal(cJSON_GetArraySize(array), 1);
    assert_int_equal(sb_json_member_array(tree, "s", &array, &err), -SB_EBAD_TYPE);
    cJSON_Delete(tree);
}

static void what_cjson_alone_would_take_is_refused(void **state)
{
    static const struct {
        const char *text;
        enum sb_code code;
    } bad[] = {{"[1]trailing", SB_EBAD_JSON},
               {"01", SB_EBAD_JSON},
               {"1.", SB_EBAD_JSON},
               {"\"\xff\"", SB_EBAD_UTF8},
               {"\"\\u0000\"", SB_EBAD_UTF8},
               {"{\"a\":1,\"a\":2}", SB_EDUPLICATE_KEY},
               {"\"\n\"", SB_EBAD_JSON},
               {"", SB_EBAD_JSON},
               {"\xef\xbb\xbf{}", SB_EBAD_JSON}};
    struct sb_err err;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_null(sb_json_parse(sb_span_of(bad[i].text), &wide, &err));
        assert_int_equal(err.code, bad[i].code);
    }
}

static void a_number_that_does_not_fit_cjson_is_an_error_not_another_number(void **state)
{
    struct sb_buf text = {0};
    struct sb_err err;
    cJSON *tree;

    (void)state;
    for (int digits = 60; digits < 70; digits++) {
        sb_buf_clear(&text);
        sb_buf_add_char(&text, '[');
        for (int i = 0; i < digits; i++)
            sb_buf_add_char(&text, '7');
        sb_buf_add_char(&text, ']');
        tree = sb_json_parse(sb_buf_span(&text), &wide, &err);
        /* some versions of cJSON stop at 63 characters */
        assert_true(tree != NULL || digits > 63);
        if (tree == NULL)
            assert_int_equal(err.code, SB_EBAD_VALUE);
        else
            assert_true(cJSON_GetArrayItem(tree, 0)->valuedouble == strtod(text.data + 1, NULL));
        cJSON_Delete(tree);
    }
    sb_buf_free(&text);
}

static void a_text_needs_no_nul_behind_it(void **state)
{
    char *text = malloc(7);
    cJSON *tree;

    (void)state;
    assert_non_null(text);
    memcpy(text, "[12345]", 7);
    tree = sb_json_parse((struct sb_span){text, 7}, &wide, NULL);
    assert_non_null(tree);
    cJSON_Delete(tree);
    text[0] = ' ';
    tree = sb_json_parse((struct sb_span){text, 6}, &wide, NULL);
    assert_non_null(tree);
    assert_true(cJSON_GetNumberValue(tree) == 12345);
    cJSON_Delete(tree);
    free(text);
}

/* Checks a copy of exactly that size. */
static bool accepted(const struct sb_buf *text, char **copy, struct sb_span *value,
                     struct sb_err *err)
{
    *copy = malloc(text->len > 0 ? text->len : 1);
    assert_non_null(*copy);
    if (text->len > 0)
        memcpy(*copy, text->data, text->len);
    return sb_json_check((struct sb_span){*copy, text->len}, &wide, value, err) == 0;
}

static void held_against_cjson(const struct sb_buf *text, bool must_accept, unsigned *count)
{
    struct sb_span value;
    struct sb_err err;
    char *copy;
    cJSON *tree;

    if (!accepted(text, &copy, &value, &err)) {
        if (must_accept)
            fail_msg("refused: %.*s: %s", (int)text->len, text->data, err.msg);
        free(copy);
        return;
    }
    (*count)++;
    tree = cJSON_ParseWithLength(value.data, value.len);
    if (tree == NULL && !kit_has_long_number(value))
        fail_msg("cJSON refuses: %.*s", (int)text->len, text->data);
    if (tree != NULL && !kit_same_as_tree(value, tree))
        fail_msg("cJSON reads otherwise: %.*s", (int)text->len, text->data);
    cJSON_Delete(tree);
    free(copy);
}

static void random_texts_are_read_as_cjson_reads_them(void **state)
{
    struct sb_buf text = {0};
    unsigned good = 0, mutated = 0;
    struct sb_rng rng;

    (void)state;
    sb_rng_seed(&rng, 1);
    for (unsigned i = 0; i < rounds(4000); i++) {
        sb_buf_clear(&text);
        kit_random_value(&rng, 5, &text);
        held_against_cjson(&text, true, &good);
        for (uint64_t n = 1 + sb_rng_below(&rng, 3); n > 0; n--) {
            kit_mutate(&rng, &text);
            held_against_cjson(&text, false, &mutated);
        }
    }
    assert_int_equal(good, rounds(4000));
    assert_true(mutated > good / 20); /* else the changes were too coarse to say anything */
    sb_buf_free(&text);
}

static void the_same_value_in_another_text_is_equal(void **state)
{
    struct sb_buf text = {0}, other = {0};
    struct sb_span a, b;
    struct sb_rng rng;

    (void)state;
    sb_rng_seed(&rng, 2);
    for (unsigned i = 0; i < rounds(4000); i++) {
        sb_buf_clear(&text);
        sb_buf_clear(&other);
        kit_random_value(&rng, 5, &text);
        assert_int_equal(sb_json_check(sb_buf_span(&text), &wide, &a, NULL), 0);
        kit_rewrite(&rng, a, &other);
        assert_int_equal(sb_json_check(sb_buf_span(&other), &wide, &b, NULL), 0);
        if (!sb_json_equal(a, b) || !sb_json_equal(b, a))
            fail_msg("not equal: %s and %s", text.data, other.data);
    }
    sb_buf_free(&text);
    sb_buf_free(&other);
}

/* By the characters of strings and the texts of numbers, whatever the scanner thinks. */
static void print_plain(struct sb_span value, struct sb_buf *out)
{
    cJSON *tree = cJSON_ParseWithLength(value.data, value.len);
    char *text = cJSON_PrintUnformatted(tree);

    sb_buf_add_str(out, text);
    cJSON_free(text);
    cJSON_Delete(tree);
}

static void different_values_are_not_equal(void **state)
{
    struct sb_buf a_text = {0}, b_text = {0}, a_plain = {0}, b_plain = {0};
    unsigned different = 0;
    struct sb_span a, b;
    struct sb_rng rng;

    (void)state;
    sb_rng_seed(&rng, 3);
    for (unsigned i = 0; i < rounds(4000); i++) {
        sb_buf_clear(&a_text);
        sb_buf_clear(&b_text);
        sb_buf_clear(&a_plain);
        sb_buf_clear(&b_plain);
        kit_random_value(&rng, 3, &a_text);
        sb_buf_add_span(&b_text, sb_buf_span(&a_text));
        kit_mutate(&rng, &b_text);
        if (sb_json_check(sb_buf_span(&b_text), &wide, &b, NULL) < 0)
            continue;
        assert_int_equal(sb_json_check(sb_buf_span(&a_text), &wide, &a, NULL), 0);
        if (kit_has_long_number(a) || kit_has_long_number(b))
            continue;
        print_plain(a, &a_plain);
        print_plain(b, &b_plain);
        if (strcmp(a_plain.data, b_plain.data) == 0)
            continue;
        different++;
        if (sb_json_equal(a, b))
            fail_msg("equal: %s and %s", a_text.data, b_text.data);
    }
    assert_true(different > rounds(4000) / 40);
    sb_buf_free(&a_text);
    sb_buf_free(&b_text);
    sb_buf_free(&a_plain);
    sb_buf_free(&b_plain);
}

static void strings_written_by_buf_are_read_back(void **state)
{
    struct sb_buf text = {0}, plain = {0}, back = {0};
    struct sb_span value;
    struct sb_rng rng;

    (void)state;
    sb_rng_seed(&rng, 4);
    for (unsigned i = 0; i < rounds(4000); i++) {
        sb_buf_clear(&text);
        sb_buf_clear(&plain);
        sb_buf_clear(&back);
        kit_random_string(&rng, &text);
        sb_json_unescape(sb_buf_span(&text), &plain);
        sb_buf_clear(&text);
        sb_buf_add_json(&text, sb_buf_span(&plain));
        assert_int_equal(sb_json_check(sb_buf_span(&text), &wide, &value, NULL), 0);
        sb_json_unescape(value, &back);
        assert_true(sb_span_eq(sb_buf_span(&plain), sb_buf_span(&back)));
    }
    sb_buf_free(&text);
    sb_buf_free(&plain);
    sb_buf_free(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_read_with_their_type),
        cmocka_unit_test(what_cjson_alone_would_take_is_refused),
        cmocka_unit_test(a_number_that_does_not_fit_cjson_is_an_error_not_another_number),
        cmocka_unit_test(a_text_needs_no_nul_behind_it),
        cmocka_unit_test(random_texts_are_read_as_cjson_reads_them),
        cmocka_unit_test(the_same_value_in_another_text_is_equal),
        cmocka_unit_test(different_values_are_not_equal),
        cmocka_unit_test(strings_written_by_buf_are_read_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
