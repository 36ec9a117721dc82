/* What the simulator's checks know of documents; everything they say stands on it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/sim_json.h"

static void expect(const struct places *places, const char *const *pointers)
{
    size_t count = 0;

    for (; pointers[count] != NULL; count++)
        if (!sim_places_have(places, pointers[count]))
            fail_msg("%s is missing", pointers[count]);
    assert_int_equal(places->count, count);
}

static void changed_is(const char *a, const char *b, const char *const *pointers)
{
    struct places places = {0};

    sim_changed(sb_span_of(a), sb_span_of(b), &places);
    expect(&places, pointers);
    sim_places_free(&places);
}

static void changes_are_the_innermost_places(void **state)
{
    (void)state;
    changed_is("{\"a\":1,\"o\":{\"p\":1,\"q\":2}}", "{\"o\":{\"q\":3,\"p\":1},\"a\":1}",
               (const char *[]){"/o/q", NULL});
    changed_is("{\"a\":1}", "{\"b/x\":1,\"m~n\":{\"z\":1}}",
               (const char *[]){"/a", "/b~1x", "/m~0n", NULL});
    changed_is("{\"o\":{\"p\":1}}", "{\"o\":[1]}", (const char *[]){"/o", NULL});
    changed_is("", "{}", (const char *[]){"", NULL});
    changed_is("{\"a\":null}", "{}", (const char *[]){"/a", NULL});
    changed_is("{\"a\":1}", "{\"a\":1.0}", (const char *[]){"/a", NULL});
    changed_is("{\"a\":\"b\"}", "{\"\\u0061\":\"\\u0062\"}", (const char *[]){NULL});
    changed_is("", "", (const char *[]){NULL});
}

static void undecided_is(const char *base, const char *local, const char *server,
                         const char *const *pointers)
{
    struct places places = {0};

    sim_undecided(sb_span_of(base), sb_span_of(local), sb_span_of(server), &places);
    expect(&places, pointers);
    sim_places_free(&places);
}

static void undecided_is_what_both_sides_changed_differently(void **state)
{
    (void)state;
    undecided_is("{\"a\":1,\"b\":1}", "{\"a\":2,\"b\":1}", "{\"a\":3,\"b\":2}",
                 (const char *[]){"/a", NULL});
    undecided_is("{\"a\":1}", "{\"a\":2}", "{\"a\":2}", (const char *[]){NULL});
    undecided_is("", "{\"a\":2,\"b\":1}", "{\"a\":3,\"c\":1}", (const char *[]){"/a", NULL});
    undecided_is("{\"o\":{\"p\":1}}", "{}", "{\"o\":{\"p\":2}}", (const char *[]){"/o", NULL});
    undecided_is("{\"a\":1}", "", "{\"a\":2}", (const char *[]){"", NULL});
    undecided_is("{\"a\":1}", "{\"a\":null}", "{}", (const char *[]){"/a", NULL});
}

static void set_is(const char *document, const char *pointer, const char *value, const char *result)
{
    struct sb_buf out = {0};

    sim_set(sb_span_of(document), pointer, sb_span_of(value), &out);
    assert_string_equal(out.data, result);
    sb_buf_free(&out);
}

static void a_place_is_set_or_removed_and_the_others_stay_where_they_are(void **state)
{
    (void)state;
    set_is("{\"a\":1,\"b\":2}", "/a", "[3]", "{\"a\":[3],\"b\":2}");
    set_is("{\"a\":1,\"b\":2}", "/a", "", "{\"b\":2}");
    set_is("{\"a\":1}", "/b~1x", "2", "{\"a\":1,\"b/x\":2}");
    set_is("{\"a\":1}", "/o/p", "2", "{\"a\":1,\"o\":{\"p\":2}}");
    set_is("{\"o\":5}", "/o/p", "2", "{\"o\":{\"p\":2}}");
    set_is("{\"o\":{\"p\":1}}", "/o/p", "", "{\"o\":{}}");
}

static void what_was_set_is_there_when_others_have_added_members(void **state)
{
    (void)state;
    assert_true(sim_holds(SB_SPAN("{\"p\":1,\"q\":2}"), SB_SPAN("{\"q\":2}")));
    assert_false(sim_holds(SB_SPAN("{\"p\":1}"), SB_SPAN("{\"q\":2}")));
    assert_false(sim_holds(SB_SPAN("{\"q\":3}"), SB_SPAN("{\"q\":2}")));
    assert_false(sim_holds(SB_SPAN("[1,2]"), SB_SPAN("[1]")));
    assert_false(sim_holds(SB_SPAN(""), SB_SPAN("null")));
    assert_true(sim_holds(SB_SPAN(""), SB_SPAN("")));
}

static void a_place_lies_inside_another_by_whole_steps(void **state)
{
    struct places places = {0};

    (void)state;
    assert_true(sim_inside("/o/p", "/o"));
    assert_true(sim_inside("/o", ""));
    assert_false(sim_inside("/op", "/o"));
    assert_false(sim_inside("/o", "/o/p"));
    sim_places_add(&places, "/o/p");
    assert_true(sim_related("/o", &places));
    assert_false(sim_related("/o/q", &places));
    assert_false(sim_inside_any("/o", &places));
    sim_places_free(&places);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_are_the_innermost_places),
        cmocka_unit_test(undecided_is_what_both_sides_changed_differently),
        cmocka_unit_test(a_place_is_set_or_removed_and_the_others_stay_where_they_are),
        cmocka_unit_test(what_was_set_is_there_when_others_have_added_members),
        cmocka_unit_test(a_place_lies_inside_another_by_whole_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
