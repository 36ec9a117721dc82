/* JSON pointers, sets of them, and which arrays have keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/array_keys.h"
#include "common/pointers.h"
#include "common/rng.h"
#include "merge_kit.h"

static void steps(const char *const *keys, const char *pointer)
{
    struct sb_buf out = {0}, key = {0};
    struct sb_span rest;

    for (size_t i = 0; keys[i] != NULL; i++)
        sb_pointer_step(&out, sb_span_of(keys[i]));
    assert_string_equal(sb_buf_span(&out).data, pointer);
    assert_true(sb_pointer_valid(sb_buf_span(&out)));
    rest = sb_buf_span(&out);
    for (size_t i = 0; keys[i] != NULL; i++) {
        assert_true(sb_pointer_next(&rest, &key));
        assert_true(sb_span_is(sb_buf_span(&key), keys[i]));
    }
    assert_false(sb_pointer_next(&rest, &key));
    sb_buf_free(&out);
    sb_buf_free(&key);
}

static void keys_become_segments_and_come_back(void **state)
{
    (void)state;
    steps((const char *const[]){NULL}, "");
    steps((const char *const[]){"", NULL}, "/");
    steps((const char *const[]){"a", "", "b", NULL}, "/a//b");
    steps((const char *const[]){"a/b", "m~n", "~1", "/~", NULL}, "/a~1b/m~0n/~01/~1~0");
    steps((const char *const[]){"e^f", "k\"l", " ", "é", "\xf0\x9f\x98\x80", NULL},
          "/e^f/k\"l/ /é/\xf0\x9f\x98\x80");
}

static void what_is_no_pointer(void **state)
{
    static const char *const bad[] = {"a", "a/b", "/~", "/~2", "/a/~/b", "/~~0", " /a"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(sb_pointer_valid(sb_span_of(bad[i])));
}

static void inside_is_by_segments(void **state)
{
    (void)state;
    assert_true(sb_pointer_inside(SB_SPAN("/a/b"), SB_SPAN("/a")));
    assert_true(sb_pointer_inside(SB_SPAN("/a"), SB_SPAN("/a")));
    assert_true(sb_pointer_inside(SB_SPAN("/a"), SB_SPAN("")));
    assert_true(sb_pointer_inside(SB_SPAN(""), SB_SPAN("")));
    assert_true(sb_pointer_inside(SB_SPAN("/a/"), SB_SPAN("/a")));
    assert_false(sb_pointer_inside(SB_SPAN("/ab"), SB_SPAN("/a")));
    assert_false(sb_pointer_inside(SB_SPAN("/a"), SB_SPAN("/a/b")));
    assert_false(sb_pointer_inside(SB_SPAN("/b/a"), SB_SPAN("/a")));
}

static void a_set_is_sorted_by_bytes_without_repeats(void **state)
{
    static const char *const in[] = {"/b", "/a/b", "/a", "/a!", "/b", "", "/é", "/~0", "/a"};
    struct sb_pointers set = {0}, other = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++)
        sb_pointers_add(&set, sb_span_of(in[i]));
    sb_pointers_finish(&set);
    assert_string_equal(kit_places(&set), "[\"\",\"/a\",\"/a!\",\"/a/b\",\"/b\",\"/~0\",\"/é\"]");
    assert_true(sb_pointers_has(&set, SB_SPAN("")) && sb_pointers_has(&set, SB_SPAN("/é")));
    assert_false(sb_pointers_has(&set, SB_SPAN("/a/")));
    sb_pointers_add(&other, SB_SPAN("/c"));
    sb_pointers_add(&other, SB_SPAN("/a"));
    sb_pointers_finish(&other);
    sb_pointers_add_all(&other, &set);
    assert_int_equal(other.count, 8);
    sb_pointers_free(&set);
    sb_pointers_free(&other);
}

static void texts_are_read_and_printed(void **state)
{
    static const struct {
        const char *text;
        enum sb_code code;
    } bad[] = {{"", SB_EBAD_JSON},          {"{}", SB_EBAD_TYPE},        {"[1]", SB_EBAD_TYPE},
               {"[\"a\"]", SB_EBAD_VALUE},  {"[\"/~\"]", SB_EBAD_VALUE}, {"[\"/a\"", SB_EBAD_JSON},
               {"[[\"/a\"]]", SB_ETOO_DEEP}};
    struct sb_pointers set = {0};
    struct sb_err err;

    (void)state;
    assert_int_equal(sb_pointers_parse(&set, SB_SPAN(" [ \"/b\\n\", \"\" ,\"/\\u0061\"]"), &err),
                     0);
    assert_string_equal(kit_places(&set), "[\"\",\"/a\",\"/b\\n\"]");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(sb_pointers_parse(&set, sb_span_of(bad[i].text), &err), -(int)bad[i].code);
        assert_int_equal(set.count, 0);
    }
    assert_int_equal(sb_pointers_parse(&set, SB_SPAN("[]"), &err), 0);
    assert_string_equal(kit_places(&set), "[]");
    sb_pointers_free(&set);
}

/* Just within the limit, with every pointer twice; then one more. */
static void too_many_pointers_are_the_whole_document(void **state)
{
    struct sb_pointers set = {0};
    struct sb_buf pointer = {0};
    const size_t len = 64, count = SB_POINTERS_BYTES / (len + 1);

    (void)state;
    for (size_t turn = 0; turn < 2; turn++)
        for (size_t i = 0; i < count; i++) {
            sb_buf_clear(&pointer);
            sb_buf_add_fmt(&pointer, "/%0*zu", (int)len - 1, count - i);
            sb_pointers_add(&set, sb_buf_span(&pointer));
        }
    sb_pointers_finish(&set);
    assert_int_equal(set.count, count);
    assert_false(set.overflown);
    sb_pointers_add(&set,
                    sb_span_of("/one-more-that-is-too-many-for-what-is-left-of-the-limit-which-is"
                               "-less-than-65-bytes"));
    sb_pointers_finish(&set);
    assert_string_equal(kit_places(&set), "[\"\"]");
    sb_pointers_add(&set, SB_SPAN("/a"));
    sb_pointers_finish(&set);
    assert_string_equal(kit_places(&set), "[\"\"]");
    sb_pointers_clear(&set);
    sb_pointers_add(&set, SB_SPAN("/a"));
    sb_pointers_finish(&set);
    assert_string_equal(kit_places(&set), "[\"/a\"]");
    sb_pointers_free(&set);
    sb_buf_free(&pointer);
}

static void ten_times_too_many_take_bounded_memory(void **state)
{
    struct sb_pointers set = {0};
    struct sb_buf pointer = {0};

    (void)state;
    for (unsigned i = 0; i < 10 * SB_POINTERS_BYTES / 8; i++) {
        sb_buf_clear(&pointer);
        sb_buf_add_fmt(&pointer, "/%06u", i);
        sb_pointers_add(&set, sb_buf_span(&pointer));
        assert_true(set.text.cap <= 8 * SB_POINTERS_BYTES);
    }
    assert_string_equal(kit_places(&set), "[\"\"]");
    sb_pointers_free(&set);
    sb_buf_free(&pointer);
}

/* ---- array keys ---- */

static const char *member_at(const struct sb_array_keys *keys, const char *pointer)
{
    const char *member = sb_array_keys_member(keys, sb_span_of(pointer));

    return member != NULL ? member : "-";
}

static void an_asterisk_stands_for_one_segment(void **state)
{
    struct sb_array_keys keys =
        kit_arrays("{\"/nodes\":\"id\",\"/pages/*/items\":\"key\",\"/*\":\"any\",\"/a~1b\":\"x\"}");

    (void)state;
    assert_string_equal(member_at(&keys, "/pages/p1/items"), "key");
    assert_string_equal(member_at(&keys, "/pages//items"), "key");
    assert_string_equal(member_at(&keys, "/pages/p1/p2/items"), "-");
    assert_string_equal(member_at(&keys, "/pages/items"), "-");
    assert_string_equal(member_at(&keys, "/other"), "any");
    assert_string_equal(member_at(&keys, "/nodes"), "id");
    assert_string_equal(member_at(&keys, "/nodes/x"), "-");
    assert_string_equal(member_at(&keys, ""), "-");
    assert_string_equal(member_at(NULL, "/nodes"), "-");
    sb_array_keys_free(&keys);
    keys = kit_arrays("{\"/nodes\":\"id\",\"/a~1b\":\"x\",\"\":\"top\"}");
    assert_string_equal(member_at(&keys, "/nodes"), "id");
    assert_string_equal(member_at(&keys, "/a~1b"), "x");
    assert_string_equal(member_at(&keys, "/a/b"), "-");
    assert_string_equal(member_at(&keys, ""), "top");
    sb_array_keys_free(&keys);
}

static void array_keys_are_read_and_printed(void **state)
{
    static const struct {
        const char *text;
        enum sb_code code;
    } bad[] = {{"[]", SB_EBAD_TYPE},
               {"{\"/a\":1}", SB_EBAD_TYPE},
               {"{\"/a\":\"\"}", SB_EBAD_VALUE},
               {"{\"a\":\"id\"}", SB_EBAD_VALUE},
               {"{\"/a\":\"id\",\"/\\u0061\":\"id\"}", SB_EDUPLICATE_KEY},
               {"{", SB_EBAD_JSON}};
    struct sb_array_keys keys = kit_arrays("{\"/b\":\"i\\u0064\",\"/a\\\"\":\"k\"}");
    struct sb_buf text = {0};
    struct sb_err err;

    (void)state;
    sb_array_keys_print(&keys, &text);
    assert_string_equal(text.data, "{\"/a\\\"\":\"k\",\"/b\":\"id\"}");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(sb_array_keys_parse(&keys, sb_span_of(bad[i].text), &err),
                         -(int)bad[i].code);
        assert_int_equal(keys.count, 0);
    }
    assert_int_equal(sb_array_keys_parse(&keys, SB_SPAN(""), &err), 0);
    sb_buf_clear(&text);
    sb_array_keys_print(&keys, &text);
    assert_string_equal(text.data, "{}");
    sb_buf_free(&text);
}

static int parse_many(unsigned count, int width)
{
    struct sb_array_keys keys = {0};
    struct sb_buf text = {0};
    int rc;

    for (unsigned i = 0; i < count; i++)
        sb_buf_add_fmt(&text, "%s\"/%0*u\":\"id\"", i == 0 ? "{" : ",", width, i);
    sb_buf_add_char(&text, '}');
    rc = sb_array_keys_parse(&keys, sb_buf_span(&text), NULL);
    sb_array_keys_free(&keys);
    sb_buf_free(&text);
    return rc;
}

static void too_many_array_keys_are_refused(void **state)
{
    (void)state;
    assert_int_equal(parse_many(SB_ARRAY_KEYS_MAX, 3), 0);
    assert_int_equal(parse_many(SB_ARRAY_KEYS_MAX + 1, 3), -SB_EBAD_VALUE);
    assert_int_equal(parse_many(4, 1000), 0);
    assert_int_equal(parse_many(4, 1100), -SB_EBAD_VALUE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_become_segments_and_come_back),
        cmocka_unit_test(what_is_no_pointer),
        cmocka_unit_test(inside_is_by_segments),
        cmocka_unit_test(a_set_is_sorted_by_bytes_without_repeats),
        cmocka_unit_test(texts_are_read_and_printed),
        cmocka_unit_test(too_many_pointers_are_the_whole_document),
        cmocka_unit_test(ten_times_too_many_take_bounded_memory),
        cmocka_unit_test(an_asterisk_stands_for_one_segment),
        cmocka_unit_test(array_keys_are_read_and_printed),
        cmocka_unit_test(too_many_array_keys_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
