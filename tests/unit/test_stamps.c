/* Stamps of places: what an operation stamps, what a place's stamp is, the text form, the limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/stamps.h"
#include "merge_kit.h"

#define OWN "\"0000000000000009\",\"me\""
#define OLD "\"0000000000000005\",\"x\""

static const char *text_of(const struct sb_stamps *stamps)
{
    static struct sb_buf text;

    sb_buf_clear(&text);
    sb_stamps_print(stamps, &text);
    return text.data;
}

static void applies_with(const char *arrays, const char *before, const char *base,
                         const char *submitted, const char *result, const char *after)
{
    struct sb_array_keys keys = kit_arrays(arrays);
    struct sb_stamps stamps = kit_stamps(before);
    struct sb_stamp own = sb_stamp_of(9, SB_SPAN("me"));

    sb_stamps_apply(&stamps, kit_document(base), kit_document(submitted), kit_document(result),
                    &own, &keys);
    assert_string_equal(text_of(&stamps), after);
    sb_stamps_free(&stamps);
    sb_array_keys_free(&keys);
    kit_free_texts();
}

static void applies(const char *before, const char *base, const char *submitted, const char *result,
                    const char *after)
{
    applies_with("", before, base, submitted, result, after);
}

static void the_order_is_hlc_then_device(void **state)
{
    struct sb_stamp a = sb_stamp_of(1, SB_SPAN("b")), b = sb_stamp_of(2, SB_SPAN("a"));
    struct sb_stamp c = sb_stamp_of(2, SB_SPAN("a1")), none = {0};

    (void)state;
    assert_true(sb_stamp_order(&a, &b) < 0 && sb_stamp_order(&b, &c) < 0);
    assert_true(sb_stamp_order(&c, &a) > 0 && sb_stamp_order(&none, &a) < 0);
    assert_int_equal(sb_stamp_order(&b, &b), 0);
    a = sb_stamp_of(UINT64_MAX, SB_SPAN("a"));
    assert_true(sb_stamp_order(&a, &c) > 0);
}

static void changed_places_are_stamped(void **state)
{
    (void)state;
    applies("", "{\"a\":1,\"b\":2}", "{\"a\":1,\"b\":3}", "{\"a\":1,\"b\":3}",
            "{\"/b\":[" OWN "]}");
    applies("{\"/a\":[" OLD "]}", "{\"a\":1,\"o\":{\"x\":1}}", "{\"a\":2,\"o\":{\"x\":2}}",
            "{\"a\":2,\"o\":{\"x\":2}}", "{\"/a\":[" OWN "],\"/o/x\":[" OWN "]}");
    applies("{\"/a\":[" OLD "]}", "{\"a\":1}", "{ \"\\u0061\" : 1 }", "{\"a\":1}",
            "{\"/a\":[" OLD "]}");
    applies("", "{\"a\":[1]}", "{\"a\":[1,2]}", "{\"a\":[1,2]}", "{\"/a\":[" OWN "]}");
}

static void of_an_added_object_the_leaves_are_stamped(void **state)
{
    (void)state;
    applies("", "", "{\"a\":{\"x\":1,\"y\":{}},\"b/c\":[{\"q\":1}]}",
            "{\"a\":{\"x\":1,\"y\":{}},\"b/c\":[{\"q\":1}]}",
            "{\"/a/x\":[" OWN "],\"/a/y\":[" OWN "],\"/b~1c\":[" OWN "]}");
    applies("", "{\"a\":1}", "{\"a\":{\"x\":1}}", "{\"a\":{\"x\":1}}", "{\"/a/x\":[" OWN "]}");
    applies("", "", "{}", "{}", "{\"\":[" OWN "]}");
}

static void a_removed_place_is_stamped_itself(void **state)
{
    (void)state;
    applies("", "{\"a\":{\"x\":1}}", "{}", "{}", "{\"/a\":[" OWN "]}");
    applies("", "{\"a\":{\"x\":1}}", "", "", "{\"\":[" OWN "]}");
    applies("", "{\"a\":null}", "{}", "{}", "{\"/a\":[" OWN "]}");
}

static void what_the_result_has_not_is_not_stamped(void **state)
{
    (void)state;
    applies("", "{\"a\":1,\"b\":1}", "{\"a\":2,\"b\":2}", "{\"a\":3,\"b\":2}",
            "{\"/b\":[" OWN "]}");
    applies("", "{\"a\":1}", "{}", "{\"a\":2}", "{}");
    applies("", "{}", "{\"o\":{\"x\":1,\"y\":1}}", "{\"o\":{\"x\":1}}", "{\"/o/x\":[" OWN "]}");
    applies("", "{\"o\":1}", "{\"o\":{}}", "{\"o\":{\"others\":1}}", "{\"/o\":[" OWN "]}");
    applies("", "{\"o\":1}", "{\"o\":{}}", "{\"o\":[]}", "{}");
}

static void a_higher_stamp_stays(void **state)
{
    (void)state;
    applies("{\"/a\":[\"000000000000000a\",\"a\"]}", "{\"a\":1}", "{\"a\":2}", "{\"a\":2}",
            "{\"/a\":[\"000000000000000a\",\"a\"]}");
    applies("{\"/a\":[\"0000000000000009\",\"mf\"]}", "{\"a\":1}", "{\"a\":2}", "{\"a\":2}",
            "{\"/a\":[\"0000000000000009\",\"mf\"]}");
}

static void elements_of_keyed_arrays_are_stamped_one_by_one(void **state)
{
    static const char keys[] = "{\"/n\":\"id\"}";

    (void)state;
    applies_with(keys, "", "{\"n\":[{\"id\":1,\"v\":1},{\"id\":2,\"v\":1}]}",
                 "{\"n\":[{\"id\":1,\"v\":1},{\"id\":2,\"v\":2},{\"id\":\"3/x\",\"w\":{\"q\":1}}]}",
                 "{\"n\":[{\"id\":2,\"v\":2},{\"id\":\"3/x\",\"w\":{\"q\":1}}]}",
                 "{\"/n/2/v\":[" OWN "],\"/n/3~1x/id\":[" OWN "],\"/n/3~1x/w/q\":[" OWN "]}");
    applies_with(keys, "", "{\"n\":[{\"id\":1}]}", "{\"n\":[]}", "{\"n\":[{\"id\":5}]}",
                 "{\"/n/1\":[" OWN "]}");
    /* the order alone */
    applies_with(keys, "", "{\"n\":[{\"id\":1},{\"id\":2}]}", "{\"n\":[{\"id\":2},{\"id\":1}]}",
                 "{\"n\":[{\"id\":2},{\"id\":7},{\"id\":1}]}", "{\"/n\":[" OWN "]}");
    applies_with(keys, "", "{\"n\":[{\"id\":1},{\"id\":2}]}", "{\"n\":[{\"id\":2},{\"id\":1}]}",
                 "{\"n\":[{\"id\":1},{\"id\":2}]}", "{}");
    /* no key: one place */
    applies_with(keys, "", "{\"n\":[{\"id\":1},{}]}", "{\"n\":[{\"id\":2},{}]}",
                 "{\"n\":[{\"id\":2},{}]}", "{\"/n\":[" OWN "]}");
}

/* ---- the stamp of a place ---- */

static void is_at(const char *stamps, const char *pointer, uint64_t hlc)
{
    struct sb_stamps set = kit_stamps(stamps);
    struct sb_stamp none = sb_stamp_of(77, SB_SPAN("otherwise"));
    struct sb_stamp stamp = sb_stamps_at(&set, sb_span_of(pointer), &none);

    if (stamp.hlc != hlc)
        fail_msg("%s at %s: %llu", stamps, pointer, (unsigned long long)stamp.hlc);
    sb_stamps_free(&set);
}

static void a_place_has_the_highest_of_those_above_and_below(void **state)
{
    static const char all[] =
        "{\"\":[\"0000000000000001\",\"x\"],\"/a\":[\"0000000000000003\",\"x\"],"
        "\"/a!\":[\"0000000000000050\",\"x\"],\"/a/b\":[\"0000000000000002\",\"x\"],"
        "\"/a/b/c\":[\"0000000000000004\",\"x\"],"
        "\"/a/bc\":[\"0000000000000007\",\"x\"]}";
    static const char some[] = "{\"/a/b\":[\"0000000000000002\",\"x\"]}";

    (void)state;
    is_at(all, "", 0x50);
    is_at(all, "/a", 7);
    is_at(all, "/a/b", 4);
    is_at(all, "/a/b/c/d", 4);
    is_at(all, "/a/b/d", 3);
    is_at(all, "/z", 1);
    is_at(some, "", 2);
    is_at(some, "/a", 2);
    is_at(some, "/a/b/c", 2);
    is_at(some, "/a/c", 77);
    is_at(some, "/a/bb", 77);
    is_at(some, "/a/", 77);
    is_at("", "", 77);
}

static void the_highest_of_all(void **state)
{
    struct sb_stamps set =
        kit_stamps("{\"/a\":[\"00000000000000ff\",\"a\"],\"/b\":[\"00000000000000ff\","
                   "\"b\"],\"/c\":[\"0000000000000001\",\"c\"]}");
    struct sb_stamps none = {0}, copy = {0};

    (void)state;
    assert_string_equal(sb_stamps_highest(&set).device, "b");
    assert_int_equal(sb_stamps_highest(&set).hlc, 255);
    assert_int_equal(sb_stamps_highest(&none).hlc, 0);
    sb_stamps_copy(&copy, &set);
    sb_stamps_clear(&set);
    assert_int_equal(set.count, 0);
    assert_int_equal(copy.count, 3);
    sb_stamps_free(&copy);
}

/* ---- texts ---- */

static void texts_are_read_and_printed(void **state)
{
    struct sb_stamps set =
        kit_stamps(" { \"/\\u0062\" : [\"ffffffffffffffff\",\"_op-ada\"], "
                   "\"\":[\"0000000000000000\",\"edge-1\"],\"/a\\\"\\n\":[" OLD "]}");

    (void)state;
    assert_string_equal(text_of(&set), "{\"\":[\"0000000000000000\",\"edge-1\"],\"/a\\\"\\n\":[" OLD
                                       "],\"/b\":[\"ffffffffffffffff\",\"_op-ada\"]}");
    sb_stamps_free(&set);
    set = kit_stamps("");
    assert_string_equal(text_of(&set), "{}");
}

static void bad_texts_are_refused(void **state)
{
    static const struct {
        const char *text;
        enum sb_code code;
    } bad[] = {{"[]", SB_EBAD_TYPE},
               {"{", SB_EBAD_JSON},
               {"{\"/a\":1}", SB_EBAD_TYPE},
               {"{\"/a\":[\"0000000000000001\"]}", SB_EBAD_TYPE},
               {"{\"/a\":[\"0000000000000001\",\"x\",1]}", SB_EBAD_TYPE},
               {"{\"a\":[" OLD "]}", SB_EBAD_VALUE},
               {"{\"/~\":[" OLD "]}", SB_EBAD_VALUE},
               {"{\"/a\":[1,\"x\"]}", SB_EBAD_VALUE},
               {"{\"/a\":[\"000000000000001\",\"x\"]}", SB_EBAD_VALUE},
               {"{\"/a\":[\"000000000000000A\",\"x\"]}", SB_EBAD_VALUE},
               {"{\"/a\":[\"0000000000000001\",\"\"]}", SB_EBAD_VALUE},
               {"{\"/a\":[\"0000000000000001\",\"x y\"]}", SB_EBAD_VALUE},
               {"{\"/a\":[\"0000000000000001\",7]}", SB_EBAD_VALUE},
               {"{\"/a\":[" OLD "],\"/\\u0061\":[" OLD "]}", SB_EDUPLICATE_KEY},
               {"{\"/a\":[[],[]]}", SB_ETOO_DEEP}};
    struct sb_stamps set = kit_stamps("{\"/a\":[" OLD "]}");
    struct sb_err err;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (sb_stamps_parse(&set, sb_span_of(bad[i].text), &err) != -(int)bad[i].code)
            fail_msg("%s: %s", bad[i].text, sb_code_name(err.code));
        assert_int_equal(set.count, 0);
    }
}

/* ---- limits ---- */

static void raise_numbered(struct sb_stamps *set, const char *format, unsigned i)
{
    struct sb_stamp stamp = sb_stamp_of(i + 1, SB_SPAN("x"));
    struct sb_buf pointer = {0};

    sb_buf_add_fmt(&pointer, "/%04u", i);
    sb_buf_add_str(&pointer, format);
    sb_stamps_raise(set, sb_buf_span(&pointer), &stamp);
    sb_buf_free(&pointer);
}

static void too_many_places_collapse_into_the_highest_at_the_top(void **state)
{
    struct sb_stamps set = {0};

    (void)state;
    for (unsigned i = 0; i < SB_STAMPS_MAX; i++)
        raise_numbered(&set, "", (i * 7) % SB_STAMPS_MAX);
    assert_int_equal(set.count, SB_STAMPS_MAX);
    raise_numbered(&set, "", 5);
    assert_int_equal(set.count, SB_STAMPS_MAX);
    raise_numbered(&set, "", 9999);
    assert_string_equal(text_of(&set), "{\"\":[\"0000000000002710\",\"x\"]}");
    raise_numbered(&set, "", 1);
    assert_int_equal(set.count, 2);
    sb_stamps_free(&set);
}

static void long_pointers_collapse_sooner(void **state)
{
    struct sb_stamps set = {0};
    char tail[1001];

    (void)state;
    memset(tail, 'k', sizeof(tail) - 1);
    tail[0] = '/';
    tail[sizeof(tail) - 1] = '\0';
    for (unsigned i = 0; i < 260; i++) {
        raise_numbered(&set, tail, i);
        assert_int_equal(set.count, i + 1);
    }
    raise_numbered(&set, tail, 260);
    assert_string_equal(text_of(&set), "{\"\":[\"0000000000000105\",\"x\"]}");
    sb_stamps_free(&set);
}

static void a_very_long_pointer_is_stamped_above(void **state)
{
    struct sb_stamps set = {0};
    struct sb_stamp stamp = sb_stamp_of(3, SB_SPAN("x")), none = {0};
    char pointer[4000];

    (void)state;
    memset(pointer, 'k', sizeof(pointer));
    memcpy(pointer, "/a/b/", 5);
    sb_stamps_raise(&set, (struct sb_span){pointer, 1024}, &stamp);
    assert_int_equal(set.place[0].len, 1024);
    stamp.hlc = 4;
    sb_stamps_raise(&set, (struct sb_span){pointer, 1025}, &stamp);
    assert_int_equal(set.count, 2);
    assert_true(sb_span_is(sb_stamps_pointer(&set, 0), "/a/b"));
    assert_int_equal(sb_stamps_at(&set, (struct sb_span){pointer, 4000}, &none).hlc, 4);
    assert_int_equal(sb_stamps_at(&set, (struct sb_span){pointer, 1024}, &none).hlc, 4);
    assert_int_equal(sb_stamps_at(&set, SB_SPAN("/a/c"), &none).hlc, 0);
    pointer[2] = 'k';
    pointer[4] = 'k';
    stamp.hlc = 5;
    sb_stamps_raise(&set, (struct sb_span){pointer, 2000}, &stamp);
    assert_true(sb_span_is(sb_stamps_pointer(&set, 0), ""));
    sb_stamps_free(&set);
}

/* An operation that adds more than the limit to what was there before. */
static void an_object_of_very_many_members_is_stamped_at_the_top(void **state)
{
    struct sb_stamps set = kit_stamps("{\"/old\":[\"0000000000000001\",\"x\"]}");
    struct sb_stamp own = sb_stamp_of(9, SB_SPAN("me")), none = {0};
    struct sb_buf text = {0};

    (void)state;
    sb_buf_add_char(&text, '{');
    for (unsigned i = 0; i < 50000; i++)
        sb_buf_add_fmt(&text, "%s\"%u\":%u", i > 0 ? "," : "", i, i);
    sb_buf_add_char(&text, '}');
    sb_stamps_apply(&set, SB_SPAN("{}"), sb_buf_span(&text), sb_buf_span(&text), &own, NULL);
    assert_true(set.count >= 1 && set.count <= SB_STAMPS_MAX);
    assert_true(sb_span_is(sb_stamps_pointer(&set, 0), ""));
    assert_int_equal(sb_stamps_at(&set, SB_SPAN("/7"), &none).hlc, 9);
    assert_int_equal(sb_stamps_at(&set, SB_SPAN("/old"), &none).hlc, 9);
    sb_buf_free(&text);
    sb_stamps_free(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_is_hlc_then_device),
        cmocka_unit_test(changed_places_are_stamped),
        cmocka_unit_test(of_an_added_object_the_leaves_are_stamped),
        cmocka_unit_test(a_removed_place_is_stamped_itself),
        cmocka_unit_test(what_the_result_has_not_is_not_stamped),
        cmocka_unit_test(a_higher_stamp_stays),
        cmocka_unit_test(elements_of_keyed_arrays_are_stamped_one_by_one),
        cmocka_unit_test(a_place_has_the_highest_of_those_above_and_below),
        cmocka_unit_test(the_highest_of_all),
        cmocka_unit_test(texts_are_read_and_printed),
        cmocka_unit_test(bad_texts_are_refused),
        cmocka_unit_test(too_many_places_collapse_into_the_highest_at_the_top),
        cmocka_unit_test(long_pointers_collapse_sooner),
        cmocka_unit_test(a_very_long_pointer_is_stamped_above),
        cmocka_unit_test(an_object_of_very_many_members_is_stamped_at_the_top),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
