/* The three-way merge: each rule by cases of its own, then what must hold for any three documents.
 * merge_model.py compares it with the executable model, merge_cases.py with real edits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/json_scan.h"
#include "common/merge.h"
#include "common/rng.h"
#include "merge_kit.h"

static struct sb_merge_result result;

static int tear_down(void **state)
{
    (void)state;
    sb_merge_result_free(&result);
    kit_free_texts();
    return 0;
}

static void check(const char *text, const char *undecided)
{
    assert_string_equal(sb_merge_text(&result).data, text);
    assert_int_equal(result.absent, text[0] == '\0');
    assert_string_equal(kit_places(&result.undecided), undecided);
}

static void merge_with(const struct sb_merge_rules *rules, const char *base, const char *local,
                       const char *server)
{
    sb_merge(kit_document(base), kit_document(local), kit_document(server), rules, &result);
}

/* Clean, and the same whichever side is local. */
static void merges_with(const char *arrays, const char *base, const char *local, const char *server,
                        const char *text)
{
    struct sb_array_keys keys = kit_arrays(arrays);
    const struct sb_merge_rules rules = {.policy = SB_POLICY_MERGE, .arrays = &keys};

    merge_with(&rules, base, local, server);
    check(text, "[]");
    merge_with(&rules, base, server, local);
    check(text, "[]");
    sb_array_keys_free(&keys);
}

static void merges(const char *base, const char *local, const char *server, const char *text)
{
    merges_with("", base, local, server, text);
}

/* text: with the server's values. */
static void conflicts_with(const char *arrays, const char *base, const char *local,
                           const char *server, const char *undecided, const char *text)
{
    struct sb_array_keys keys = kit_arrays(arrays);
    const struct sb_merge_rules rules = {.policy = SB_POLICY_MERGE, .arrays = &keys};

    merge_with(&rules, base, server, local);
    assert_string_equal(kit_places(&result.undecided), undecided);
    merge_with(&rules, base, local, server);
    check(text, undecided);
    assert_int_equal(result.lost.count + result.won.count, 0);
    sb_array_keys_free(&keys);
}

static void conflicts(const char *base, const char *local, const char *server,
                      const char *undecided, const char *text)
{
    conflicts_with("", base, local, server, undecided, text);
}

/* ---- equality (M1) ---- */

static void numbers_are_equal_by_their_text(void **state)
{
    (void)state;
    conflicts("{\"a\":0}", "{\"a\":1}", "{\"a\":1.0}", "[\"/a\"]", "{\"a\": 1.0}");
    conflicts("{\"a\":0}", "{\"a\":100}", "{\"a\":1e2}", "[\"/a\"]", "{\"a\": 1e2}");
    conflicts("{\"a\":9007199254740993}", "{\"a\":9007199254740992}", "{\"a\":9007199254740994}",
              "[\"/a\"]", "{\"a\": 9007199254740994}");
    merges("{\"a\":18446744073709551615,\"b\":0.10000000000000001,\"c\":1}",
           "{\"a\":18446744073709551615,\"b\":0.10000000000000001,\"c\":2}",
           "{\"a\":18446744073709551614,\"b\":0.1,\"c\":1}",
           "{\"a\": 18446744073709551614, \"b\": 0.1, \"c\": 2}");
    merges("{\"a\":1,\"b\":-0}", "{\"a\":2,\"b\":-0}", "{\"a\":1,\"b\":-0,\"c\":1E+5}",
           "{\"a\": 2, \"b\": -0, \"c\": 1E+5}");
}

static void strings_are_equal_by_their_characters(void **state)
{
    (void)state;
    merges("{\"a\":\"x\",\"b\":1}", "{\"a\":\"\\u0078\",\"b\":2}", "{\"a\":\"y\",\"b\":1}",
           "{\"a\": \"y\", \"b\": 2}");
    merges("{\"a\":\"\"}", "{\"a\":\"\\ud83d\\ude00 \\/\"}", "{\"a\":\"\xf0\x9f\x98\x80 /\"}",
           "{\"a\":\"\\ud83d\\ude00 \\/\"}");
    conflicts("{\"a\":\"\"}", "{\"a\":\"e\xcc\x81\"}", "{\"a\":\"\xc3\xa9\"}", "[\"/a\"]",
              "{\"a\": \"\xc3\xa9\"}"); /* characters, not what they look like */
}

static void objects_are_equal_in_any_order_and_arrays_are_not(void **state)
{
    (void)state;
    merges("{\"o\":{\"x\":1,\"y\":2},\"b\":1}", "{\"o\":{\"y\":2,\"x\":1},\"b\":2}",
           "{\"o\":{\"x\":1,\"y\":3},\"b\":1}", "{\"o\": {\"x\":1,\"y\":3}, \"b\": 2}");
    conflicts("{\"a\":[]}", "{\"a\":[1,2]}", "{\"a\":[2,1]}", "[\"/a\"]", "{\"a\": [2,1]}");
    merges("{\"a\":[]}", "{\"a\":[{\"x\":1,\"y\":2}]}", "{\"a\":[{\"y\":2,\"x\":1}]}",
           "{\"a\":[{\"x\":1,\"y\":2}]}");
}

static void a_key_is_its_characters(void **state)
{
    (void)state;
    merges("{\"a\":1,\"\\u0062\":1}", "{\"\\u0061\":2,\"b\":1}", "{\"a\":1,\"b\":2}",
           "{\"a\": 2, \"\\u0062\": 2}");
    merges("{\"x\":0}", "{\"x\":0,\"\\u0061\":{\"p\":1}}", "{\"x\":0,\"a\":{\"q\":1}}",
           "{\"x\": 0, \"\\u0061\": {\"p\": 1, \"q\": 1}}");
    conflicts("{}", "{\"\\u007e\\/\":1}", "{\"~/\":2}", "[\"/~0~1\"]", "{\"\\u007e\\/\": 2}");
}

static void null_is_a_value(void **state)
{
    (void)state;
    conflicts("{\"a\":1}", "{\"a\":null}", "{}", "[\"/a\"]", "{}");
    conflicts("{\"a\":1}", "{}", "{\"a\":null}", "[\"/a\"]", "{\"a\": null}");
    merges("{\"a\":1,\"b\":1}", "{\"a\":null,\"b\":1}", "{\"a\":1,\"b\":2}",
           "{\"a\": null, \"b\": 2}");
    merges("{\"a\":null,\"b\":1}", "{\"b\":1}", "{\"a\":null,\"b\":2}", "{\"b\": 2}");
    conflicts("null", "", "{}", "[\"\"]", "{}");
    merges("{\"b\":1}", "{\"a\":null,\"b\":1}", "{\"a\":null,\"b\":2}", "{\"b\": 2, \"a\": null}");
}

/* ---- places (M2, M3) ---- */

static void what_one_side_changed_is_taken(void **state)
{
    static const char base[] = "{ \"a\": 1,\"o\":{\"x\":[1,2] ,\"y\":\"\\u0041\"}}";

    (void)state;
    merges(base, base, "{\"z\" :0}", "{\"z\" :0}");
    merges(base, base, base, base);
    merges(base, "", base, "");
    merges("", "", "{ }", "{ }");
    merges("", "", "", "");
    merges(base, "{\"a\":2,\"o\":{\"x\":[1,2],\"y\":\"A\"}}",
           "{\"a\":1,\"o\":{\"x\":[1,2],\"y\":\"A\",\"z\":{\"k\" : 1}}}",
           "{\"a\": 2, \"o\": {\"x\":[1,2],\"y\":\"A\",\"z\":{\"k\" : 1}}}");
    merges("{\"a\":1,\"b\":1,\"c\":1}", "{\"b\":1,\"c\":2}", "{\"a\":1,\"c\":1}", "{\"c\": 2}");
}

static void equal_changes_are_one(void **state)
{
    (void)state;
    merges("{\"a\":1,\"b\":1,\"d\":0}", "{\"a\":2,\"c\":{\"x\":1},\"d\":0}",
           "{\"c\":{\"x\":1},\"a\":2,\"d\":1}", "{\"a\": 2, \"d\": 1, \"c\": {\"x\":1}}");
    merges("{\"a\":1}", "", "", "");
    merges("", "{\"a\":1}", "{\"a\":1}", "{\"a\":1}");
}

static void different_changes_are_undecided_at_the_smallest_place(void **state)
{
    (void)state;
    conflicts("{\"a\":{\"b\":{\"c\":1,\"d\":1}},\"z\":0}",
              "{\"a\":{\"b\":{\"c\":2,\"d\":2}},\"z\":1}",
              "{\"a\":{\"b\":{\"c\":3,\"d\":1}},\"z\":0}", "[\"/a/b/c\"]",
              "{\"a\": {\"b\": {\"c\": 3, \"d\": 2}}, \"z\": 1}");
    conflicts("{\"b\":1,\"a\":1,\"a/\":0}", "{\"b\":2,\"a\":2,\"a/\":1}",
              "{\"b\":3,\"a\":3,\"a/\":2}", "[\"/a\",\"/a~1\",\"/b\"]",
              "{\"b\": 3, \"a\": 3, \"a/\": 2}");
    conflicts("1", "2", "3", "[\"\"]", "3");
}

static void two_added_objects_are_united(void **state)
{
    (void)state;
    merges("{}", "{\"o\":{\"x\":1}}", "{\"o\":{\"y\":{\"z\":1}}}",
           "{\"o\": {\"x\": 1, \"y\": {\"z\":1}}}");
    conflicts("{}", "{\"o\":{\"x\":1,\"p\":0}}", "{\"o\":{\"x\":2,\"q\":0}}", "[\"/o/x\"]",
              "{\"o\": {\"p\": 0, \"q\": 0, \"x\": 2}}");
    merges("", "{\"a\":1}", "{\"b\":1}", "{\"a\": 1, \"b\": 1}");
    merges("{\"o\":[1]}", "{\"o\":{\"x\":1}}", "{\"o\":{\"y\":1}}",
           "{\"o\": {\"x\": 1, \"y\": 1}}");
    merges("{\"o\":5}", "{\"o\":{}}", "{\"o\":{\"x\":1}}", "{\"o\": {\"x\": 1}}");
    merges("[]", "{\"x\":1}", "{\"y\":1}", "{\"x\": 1, \"y\": 1}");
}

static void another_type_is_undecided_there(void **state)
{
    (void)state;
    conflicts("{\"a\":{\"x\":1}}", "{\"a\":{\"x\":2}}", "{\"a\":[]}", "[\"/a\"]", "{\"a\": []}");
    conflicts("{\"a\":{\"x\":1}}", "{\"a\":{\"x\":2}}", "{\"a\":5}", "[\"/a\"]", "{\"a\": 5}");
    conflicts("{}", "{\"a\":{}}", "{\"a\":[]}", "[\"/a\"]", "{\"a\": []}");
    merges("{\"a\":{\"x\":1},\"b\":1}", "{\"a\":{\"x\":1},\"b\":2}", "{\"a\":true,\"b\":1}",
           "{\"a\": true, \"b\": 2}");
}

static void deleted_here_and_edited_inside_there_is_undecided_at_the_deleted(void **state)
{
    (void)state;
    conflicts("{\"o\":{\"x\":1,\"y\":1}}", "{}", "{\"o\":{\"x\":2,\"y\":1}}", "[\"/o\"]",
              "{\"o\": {\"x\":2,\"y\":1}}");
    conflicts("{\"o\":{\"x\":1}}", "", "{\"o\":{\"x\":2}}", "[\"\"]", "{\"o\":{\"x\":2}}");
    conflicts("{\"o\":{\"x\":1}}", "{\"o\":{\"x\":2}}", "", "[\"\"]", "");
    merges("{\"o\":{\"x\":1},\"b\":1}", "{\"b\":1}", "{\"o\":{\"x\":1},\"b\":2}", "{\"b\": 2}");
}

static void an_emptied_object_stays(void **state)
{
    (void)state;
    merges("{\"o\":{\"x\":1,\"y\":1}}", "{\"o\":{\"y\":1}}", "{\"o\":{\"x\":1}}", "{\"o\": {}}");
    merges("{\"x\":1,\"y\":1}", "{\"y\":1}", "{\"x\":1}", "{}");
}

static void arrays_are_one_place(void **state)
{
    (void)state;
    conflicts("{\"a\":[1,2,3]}", "{\"a\":[1,2,3,4]}", "{\"a\":[0,1,2,3]}", "[\"/a\"]",
              "{\"a\": [0,1,2,3]}");
    conflicts("{\"a\":[{\"id\":1},{\"id\":2}]}", "{\"a\":[{\"id\":1,\"v\":1},{\"id\":2}]}",
              "{\"a\":[{\"id\":1},{\"id\":2,\"v\":1}]}", "[\"/a\"]",
              "{\"a\": [{\"id\":1},{\"id\":2,\"v\":1}]}");
}

/* ---- text (M7) ---- */

static void members_keep_the_order_of_the_base(void **state)
{
    (void)state;
    merges("{\"c\":1,\"a\":1,\"b\":1}", "{\"b\":1,\"a\":2,\"c\":1,\"z\":1}",
           "{\"d\":1,\"a\":1,\"c\":2,\"b\":1,\"\xc3\xa9\":1,\"Z\":1}",
           "{\"c\": 2, \"a\": 2, \"b\": 1, \"Z\": 1, \"d\": 1, \"z\": 1, \"\xc3\xa9\": 1}");
    /* by bytes of the characters: U+FF5E before U+1F600, whichever way they are written */
    merges("{}", "{\"\\ud83d\\ude00\":1,\"b\":1}", "{\"\\uff5e\":2}",
           "{\"b\": 1, \"\\uff5e\": 2, \"\\ud83d\\ude00\": 1}");
}

static void equal_values_have_the_smaller_text(void **state)
{
    (void)state;
    merges("{\"a\":1}", "{ \"a\":2}", "{\"a\":2}", "{ \"a\":2}");
    merges("{\"a\":\"\",\"b\":0,\"c\":0}", "{\"a\":\"\\u0078\",\"b\":1,\"c\":0}",
           "{\"a\":\"x\",\"b\":0,\"c\":1}", "{\"a\": \"\\u0078\", \"b\": 1, \"c\": 1}");
    merges("{\"a\":[]}", "{\"a\":[1, 2]}", "{\"a\":[1,2]}", "{\"a\":[1, 2]}");
    merges("", "{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", "{\"a\":1,\"b\":2}");
    merges("{}", "{\"a\":[1]}", "{\"a\":[1]  }", "{\"a\":[1]  }");
}

static void what_one_side_brings_keeps_its_bytes(void **state)
{
    (void)state;
    merges("{\"a\":1}", "{\"a\":1,\"b\":{ \"x\" :\t1.50,\n\"y\":[ \"\\u00e9\" ] }}",
           "{\"a\":2.0e-3}", "{\"a\": 2.0e-3, \"b\": { \"x\" :\t1.50,\n\"y\":[ \"\\u00e9\" ] }}");
    merges("{\"\xd7\xa9\":\"\xd7\x9c\"}", "{\"\xd7\xa9\":\"\xe2\x80\xae\xd7\x9d\"}",
           "{\"\xd7\xa9\":\"\xd7\x9c\",\"\xe5\x90\x8d\":\"\xf0\x9f\x98\x80\\n\"}",
           "{\"\xd7\xa9\": \"\xe2\x80\xae\xd7\x9d\", \"\xe5\x90\x8d\": \"\xf0\x9f\x98\x80\\n\"}");
}

/* ---- arrays by key ---- */

#define BY_ID "{\"/n\":\"id\",\"/p/*/n\":\"id\"}"

static void elements_are_merged_by_their_key(void **state)
{
    (void)state;
    merges_with(BY_ID, "{\"n\":[{\"id\":\"b\",\"v\":1},{\"id\":\"a\",\"v\":1}]}",
                "{\"n\":[{\"id\":\"b\",\"v\":2},{\"id\":\"a\",\"v\":1}]}",
                "{\"n\":[{\"id\":\"b\",\"v\":1},{\"id\":\"a\",\"v\":3, \"w\":0}]}",
                "{\"n\": [{\"id\":\"b\",\"v\":2}, {\"id\":\"a\",\"v\":3, \"w\":0}]}");
    conflicts_with(BY_ID, "{\"n\":[{\"id\":\"b/\",\"v\":1}]}", "{\"n\":[{\"id\":\"b/\",\"v\":2}]}",
                   "{\"n\":[{\"id\":\"b\\/\",\"v\":3}]}", "[\"/n/b~1/v\"]",
                   "{\"n\": [{\"id\": \"b/\", \"v\": 3}]}");
    conflicts_with(BY_ID, "{\"n\":[{\"id\":7,\"v\":1}]}", "{\"n\":[]}",
                   "{\"n\":[{\"id\":7,\"v\":3}]}", "[\"/n/7\"]", "{\"n\": [{\"id\":7,\"v\":3}]}");
    merges_with(BY_ID, "{\"p\":{\"x\":{\"n\":[{\"id\":1}]}}}",
                "{\"p\":{\"x\":{\"n\":[{\"id\":1},{\"id\":2}]}}}",
                "{\"p\":{\"x\":{\"n\":[{\"id\":1},{\"id\":3}]}}}",
                "{\"p\": {\"x\": {\"n\": [{\"id\":1}, {\"id\":2}, {\"id\":3}]}}}");
    merges_with("{\"\":\"k\"}", "[{\"k\":1}]", "[{\"k\":1},{\"k\":3}]", "[{\"k\":2},{\"k\":1}]",
                "[{\"k\":1}, {\"k\":2}, {\"k\":3}]");
}

static void added_elements_follow_sorted_by_key(void **state)
{
    (void)state;
    merges_with(BY_ID, "{\"n\":[{\"id\":\"m\"},{\"id\":\"c\"}]}",
                "{\"n\":[{\"id\":\"z\"},{\"id\":\"m\"},{\"id\":\"c\"},{\"id\":\"B\"}]}",
                "{\"n\":[{\"id\":\"m\"},{\"id\":\"d\"},{\"id\":\"c\"}]}",
                "{\"n\": [{\"id\":\"m\"}, {\"id\":\"c\"}, {\"id\":\"B\"}, {\"id\":\"d\"}, "
                "{\"id\":\"z\"}]}");
    merges_with(BY_ID, "{}", "{\"n\":[{\"id\":2},{\"id\":1,\"v\":1}]}",
                "{\"n\":[{\"id\":1,\"w\":1},{\"id\":10}]}",
                "{\"n\": [{\"id\": 1, \"v\": 1, \"w\": 1}, {\"id\":10}, {\"id\":2}]}");
    merges_with(BY_ID, "{\"n\":5}", "{\"n\":[{\"id\":2}]}", "{\"n\":[{\"id\":1}]}",
                "{\"n\": [{\"id\":1}, {\"id\":2}]}");
}

static void removed_elements_go(void **state)
{
    (void)state;
    merges_with(BY_ID, "{\"n\":[{\"id\":1},{\"id\":2},{\"id\":3}]}",
                "{\"n\":[{\"id\":1},{\"id\":2}]}", "{\"n\":[{\"id\":2},{\"id\":3}]}",
                "{\"n\": [{\"id\":2}]}");
    merges_with(BY_ID, "{\"n\":[{\"id\":1},{\"id\":2}]}", "{\"n\":[{\"id\":1}]}",
                "{\"n\":[{\"id\":2}]}", "{\"n\": []}");
}

static void an_order_that_one_side_changed_is_taken(void **state)
{
    static const char base[] = "{\"n\":[{\"id\":1},{\"id\":2},{\"id\":3},{\"id\":4}]}";

    (void)state;
    merges_with(BY_ID, base, "{\"n\":[{\"id\":3},{\"id\":1},{\"id\":2},{\"id\":4}]}",
                "{\"n\":[{\"id\":1},{\"id\":0},{\"id\":2,\"v\":1},{\"id\":3},{\"id\":4}]}",
                "{\"n\": [{\"id\":3}, {\"id\":1}, {\"id\":2,\"v\":1}, {\"id\":4}, {\"id\":0}]}");
    merges_with(BY_ID, base, "{\"n\":[{\"id\":4},{\"id\":5},{\"id\":1},{\"id\":2}]}",
                "{\"n\":[{\"id\":1},{\"id\":3},{\"id\":4}]}",
                "{\"n\": [{\"id\":4}, {\"id\":1}, {\"id\":5}]}");
    /* alike on both sides */
    merges_with(BY_ID, base, "{\"n\":[{\"id\":2},{\"id\":1},{\"id\":3},{\"id\":4,\"v\":1}]}",
                "{\"n\":[{\"id\":2},{\"id\":1},{\"id\":3,\"v\":1},{\"id\":4}]}",
                "{\"n\": [{\"id\":2}, {\"id\":1}, {\"id\":3,\"v\":1}, {\"id\":4,\"v\":1}]}");
    /* of two elements one was removed: nothing is left to be in another order */
    merges_with(BY_ID, "{\"n\":[{\"id\":1},{\"id\":2}],\"b\":1}",
                "{\"n\":[{\"id\":2},{\"id\":1}],\"b\":1}", "{\"n\":[{\"id\":1}],\"b\":2}",
                "{\"n\": [{\"id\":1}], \"b\": 2}");
}

static void two_different_orders_are_undecided_at_the_array(void **state)
{
    static const char base[] = "{\"n\":[{\"id\":1},{\"id\":2},{\"id\":3}]}";

    (void)state;
    conflicts_with(BY_ID, base, "{\"n\":[{\"id\":2},{\"id\":1},{\"id\":3,\"v\":1}]}",
                   "{\"n\":[{\"id\":1},{\"id\":3},{\"id\":2}]}", "[\"/n\"]",
                   "{\"n\": [{\"id\":1}, {\"id\":3,\"v\":1}, {\"id\":2}]}");
    conflicts_with(BY_ID, base, "{\"n\":[{\"id\":2},{\"id\":1},{\"id\":3,\"v\":1}]}",
                   "{\"n\":[{\"id\":1},{\"id\":3,\"v\":2},{\"id\":2}]}", "[\"/n\",\"/n/3/v\"]",
                   "{\"n\": [{\"id\":1}, {\"id\": 3, \"v\": 2}, {\"id\":2}]}");
}

static void arrays_that_are_not_keyed_are_one_place(void **state)
{
    static const char *const others[] = {"[{\"id\":1},{\"id\":1}]",
                                         "[{\"id\":1},{\"id\":\"1\"}]",
                                         "[{\"id\":1},{\"id\":{}}]",
                                         "[{\"id\":1},{\"id\":null}]",
                                         "[{\"id\":1},{\"id\":true}]",
                                         "[{\"id\":1},{}]",
                                         "[{\"id\":1},5]"};
    struct sb_buf texts[3] = {{0}};

    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]) * 3; i++) {
        for (size_t side = 0; side < 3; side++) {
            sb_buf_clear(&texts[side]);
            sb_buf_add_fmt(&texts[side], "{\"n\": %s}",
                           side == i % 3 ? others[i / 3]
                           : side == 0   ? "[{\"id\":8}]"
                           : side == 1   ? "[{\"id\":8},{\"id\":9}]"
                                         : "[]");
        }
        conflicts_with(BY_ID, texts[0].data, texts[1].data, texts[2].data, "[\"/n\"]",
                       texts[2].data);
    }
    for (size_t side = 0; side < 3; side++)
        sb_buf_free(&texts[side]);
}

/* ---- policies (M4) ---- */

static void decides(const struct sb_merge_rules *rules, const char *base, const char *local,
                    const char *server, const char *text, const char *lost, const char *won)
{
    merge_with(rules, base, local, server);
    check(text, "[]");
    assert_string_equal(kit_places(&result.lost), lost);
    assert_string_equal(kit_places(&result.won), won);
}

static void server_and_local_decide_each_place(void **state)
{
    static const char base[] = "{\"a\":1,\"b\":1,\"c\":{\"x\":1}}";
    static const char local[] = "{\"a\":2,\"b\":2,\"c\":{\"x\":2}}";
    static const char server[] = "{\"a\":3,\"b\":1}";
    struct sb_merge_rules rules = {.policy = SB_POLICY_SERVER};

    (void)state;
    decides(&rules, base, local, server, "{\"a\": 3, \"b\": 2}", "[\"/a\",\"/c\"]", "[]");
    rules.policy = SB_POLICY_LOCAL;
    decides(&rules, base, local, server, "{\"a\": 2, \"b\": 2, \"c\": {\"x\":2}}", "[]",
            "[\"/a\",\"/c\"]");
    decides(&rules, base, "", "{\"a\":2}", "", "[]", "[\"\"]");
    rules.policy = SB_POLICY_SERVER;
    decides(&rules, base, "{\"a\":2}", "", "", "[\"\"]", "[]");
}

static void the_order_of_an_array_is_decided_too(void **state)
{
    struct sb_array_keys keys = kit_arrays(BY_ID);
    struct sb_merge_rules rules = {.policy = SB_POLICY_LOCAL, .arrays = &keys};

    (void)state;
    decides(&rules, "{\"n\":[{\"id\":1},{\"id\":2},{\"id\":3},{\"id\":4}]}",
            "{\"n\":[{\"id\":2},{\"id\":1},{\"id\":3},{\"id\":4,\"v\":1},{\"id\":9}]}",
            "{\"n\":[{\"id\":1},{\"id\":3,\"w\":1},{\"id\":2}]}",
            "{\"n\": [{\"id\":2}, {\"id\":1}, {\"id\":3,\"w\":1}, {\"id\":4,\"v\":1}, {\"id\":9}]}",
            "[]", "[\"/n\",\"/n/4\"]");
    sb_array_keys_free(&keys);
}

static void latest_is_the_higher_stamp_of_each_place(void **state)
{
    struct sb_stamps server = kit_stamps("{\"/a\":[\"0000000000000007\",\"x\"],"
                                         "\"/b\":[\"0000000000000005\",\"d\"],"
                                         "\"/c/x\":[\"0000000000000004\",\"x\"],"
                                         "\"/c/z\":[\"0000000000000006\",\"x\"],"
                                         "\"/d\":[\"0000000000000009\",\"x\"]}");
    struct sb_merge_rules rules = {
        .policy = SB_POLICY_LATEST, .server = &server, .local_stamp = sb_stamp_of(5, SB_SPAN("e"))};

    (void)state;
    decides(&rules, "{\"a\":1,\"b\":1,\"c\":{\"x\":1,\"y\":1},\"d\":{\"q\":1},\"e\":1}",
            "{\"a\":2,\"b\":2,\"c\":{\"x\":2,\"y\":2},\"d\":{\"q\":2},\"e\":2}",
            "{\"a\":3,\"b\":3,\"c\":{\"x\":3,\"y\":3},\"d\":{\"q\":3},\"e\":3}",
            "{\"a\": 3, \"b\": 2, \"c\": {\"x\": 2, \"y\": 2}, \"d\": {\"q\": 3}, \"e\": 2}",
            "[\"/a\",\"/d/q\"]", "[\"/b\",\"/c/x\",\"/c/y\",\"/e\"]");
    /* a removed object against everything inside */
    decides(&rules, "{\"c\":{\"x\":1}}", "{}", "{\"c\":{\"x\":2}}", "{\"c\": {\"x\":2}}",
            "[\"/c\"]", "[]");
    /* the same stamp: the server's */
    rules.local_stamp = sb_stamp_of(5, SB_SPAN("d"));
    decides(&rules, "{\"b\":1}", "{\"b\":2}", "{\"b\":3}", "{\"b\": 3}", "[\"/b\"]", "[]");
    sb_stamps_free(&server);
}

static void latest_with_stamps_of_several_own_operations(void **state)
{
    struct sb_stamps server = kit_stamps("{\"\":[\"0000000000000005\",\"x\"]}");
    struct sb_stamps local = kit_stamps("{\"/a\":[\"0000000000000004\",\"y\"],"
                                        "\"/b\":[\"0000000000000006\",\"y\"]}");
    struct sb_merge_rules rules = {.policy = SB_POLICY_LATEST,
                                   .local = &local,
                                   .server = &server,
                                   .local_stamp = sb_stamp_of(8, SB_SPAN("y"))};

    (void)state;
    decides(&rules, "{\"a\":1,\"b\":1,\"c\":1}", "{\"a\":2,\"b\":2,\"c\":2}",
            "{\"a\":3,\"b\":3,\"c\":3}", "{\"a\": 3, \"b\": 2, \"c\": 2}", "[\"/a\"]",
            "[\"/b\",\"/c\"]");
    sb_stamps_free(&server);
    sb_stamps_free(&local);
}

static void manual_merges_nothing(void **state)
{
    const struct sb_merge_rules rules = {.policy = SB_POLICY_MANUAL};

    (void)state;
    merge_with(&rules, "{\"a\":1,\"b\":1}", "{\"a\":2,\"b\":1}", "{\"a\":1,\"b\":2}");
    check("{\"a\":1,\"b\":2}", "[\"\"]");
    merge_with(&rules, "{\"a\":1}", "{\"a\":2}", "{ \"a\":2}");
    check("{ \"a\":2}", "[]");
    merge_with(&rules, "{\"a\":1}", "{ \"a\":1}", "{\"a\":2}");
    check("{\"a\":2}", "[]");
    merge_with(&rules, "{\"a\":1}", "{\"a\":2}", "{ \"a\":1}");
    check("{\"a\":2}", "[]");
    merge_with(&rules, "", "", "");
    check("", "[]");
}

/* ---- any three documents ---- */

#define ROUNDS 4000

struct three {
    struct sb_span base, local, server;
};

static struct sb_span edited(struct sb_rng *rng, struct sb_span base, bool arrays)
{
    struct sb_buf text = {0};
    struct sb_span document;

    kit_random_edit(rng, base, arrays, &text);
    document = kit_document_span(sb_buf_span(&text));
    sb_buf_free(&text);
    return document;
}

static struct three random_three(struct sb_rng *rng, bool arrays)
{
    struct sb_buf text = {0};
    struct three three;

    kit_random_document(rng, arrays, &text);
    three.base = kit_document_span(sb_buf_span(&text));
    sb_buf_free(&text);
    three.local = edited(rng, three.base, arrays);
    three.server = edited(rng, three.base, arrays);
    return three;
}

static bool equal(struct sb_span a, struct sb_span b)
{
    return a.len == 0 || b.len == 0 ? a.len == b.len : sb_json_equal(a, b);
}

static bool same_places(const struct sb_pointers *a, const struct sb_pointers *b)
{
    return strcmp(kit_places(a), kit_places(b)) == 0;
}

/* What a merge gives with local and server swapped: a policy that looks at the sides the other way
 * round gives the same. */
static void check_symmetry(const struct three *three, struct sb_merge_rules rules)
{
    struct sb_merge_result there = {0}, back = {0};

    sb_merge(three->base, three->local, three->server, &rules, &there);
    if (rules.policy == SB_POLICY_SERVER)
        rules.policy = SB_POLICY_LOCAL;
    else if (rules.policy == SB_POLICY_LATEST) {
        const struct sb_stamps *local = rules.local;

        rules.local = rules.server;
        rules.server = local;
    }
    sb_merge(three->base, three->server, three->local, &rules, &back);
    assert_true(same_places(&there.undecided, &back.undecided));
    assert_true(same_places(&there.lost, &back.won) && same_places(&there.won, &back.lost));
    if (there.undecided.count == 0)
        assert_true(sb_span_eq(sb_merge_text(&there), sb_merge_text(&back)));
    kit_document_span(sb_merge_text(&there)); /* valid JSON */
    sb_merge_result_free(&there);
    sb_merge_result_free(&back);
}

/* Places that the policies decide are those that merge leaves undecided. */
static void check_decided(const struct three *three, struct sb_merge_rules rules)
{
    struct sb_merge_result left = {0}, decided = {0};

    sb_merge(three->base, three->local, three->server, &rules, &decided);
    rules.policy = SB_POLICY_MERGE;
    sb_merge(three->base, three->local, three->server, &rules, &left);
    sb_pointers_add_all(&decided.lost, &decided.won);
    assert_true(same_places(&left.undecided, &decided.lost));
    assert_int_equal(decided.undecided.count, 0);
    sb_merge_result_free(&left);
    sb_merge_result_free(&decided);
}

static void random_merges_do_not_depend_on_who_came_first(void **state)
{
    struct sb_array_keys keys = kit_arrays("{\"/n\":\"id\"}");
    struct sb_stamps ours =
        kit_stamps("{\"\":[\"0000000000000003\",\"a\"],\"/a\":[\"0000000000000006\","
                   "\"a\"],\"/n/3\":[\"0000000000000006\",\"a\"]}");
    struct sb_stamps theirs = kit_stamps("{\"\":[\"0000000000000004\",\"b\"],\"/b/c\":"
                                         "[\"0000000000000005\",\"b\"]}");
    struct sb_merge_rules rules = {.local = &ours, .server = &theirs};
    struct sb_rng rng;

    (void)state;
    sb_rng_seed(&rng, 21);
    for (int i = 0; i < ROUNDS; i++) {
        struct three three = random_three(&rng, i % 2 == 0);

        rules.arrays = i % 2 == 0 ? &keys : NULL;
        rules.policy = SB_POLICY_MERGE;
        check_symmetry(&three, rules);
        rules.policy = SB_POLICY_SERVER;
        check_symmetry(&three, rules);
        rules.policy = SB_POLICY_LATEST;
        check_symmetry(&three, rules);
        check_decided(&three, rules);
        kit_free_texts();
    }
    sb_array_keys_free(&keys);
    sb_stamps_free(&ours);
    sb_stamps_free(&theirs);
}

/* With one side as the base the other's bytes come out; a result merged again stays. */
static void random_merges_with_one_edit_give_that_edit(void **state)
{
    struct sb_array_keys keys = kit_arrays("{\"/n\":\"id\"}");
    struct sb_merge_rules rules = {.policy = SB_POLICY_MERGE};
    unsigned clean = 0, undecided = 0;
    struct sb_rng rng;

    (void)state;
    sb_rng_seed(&rng, 22);
    for (int i = 0; i < ROUNDS; i++) {
        struct three three = random_three(&rng, i % 2 == 0);
        struct sb_span merged;

        rules.arrays = i % 2 == 0 ? &keys : NULL;
        sb_merge(three.base, three.local, three.base, &rules, &result);
        assert_true(equal(sb_merge_text(&result), three.local));
        assert_true(equal(three.base, three.local) ||
                    sb_span_eq(sb_merge_text(&result), three.local));
        sb_merge(three.base, three.local, three.local, &rules, &result);
        assert_true(sb_span_eq(sb_merge_text(&result), three.local));
        sb_merge(three.base, three.local, three.server, &rules, &result);
        if (result.undecided.count > 0) {
            undecided++;
        } else {
            clean++;
            merged = kit_document_span(sb_merge_text(&result));
            sb_merge(three.base, three.local, merged, &rules, &result);
            assert_int_equal(result.undecided.count, 0);
            assert_true(equal(sb_merge_text(&result), merged));
        }
        kit_free_texts();
    }
    assert_true(clean > ROUNDS / 5 && undecided > ROUNDS / 5);
    sb_array_keys_free(&keys);
}

static bool touched(struct sb_span place, const struct sb_pointers *places)
{
    for (size_t i = 0; i < places->count; i++)
        if (sb_pointer_inside(place, sb_pointers_get(places, i)) ||
            sb_pointer_inside(sb_pointers_get(places, i), place))
            return true;
    return false;
}

/* Every place that only one side changed has that side's value, undecided ones elsewhere or not;
 * the order of a keyed array (its own pointer) is looked at by tests of its own. */
static void check_kept(struct sb_span base, struct sb_span mine, struct sb_span other,
                       const struct sb_array_keys *arrays)
{
    struct sb_pointers changed = {0}, others = {0};

    sb_doc_changed(base, mine, arrays, &changed);
    sb_doc_changed(base, other, arrays, &others);
    for (size_t i = 0; i < changed.count; i++) {
        struct sb_span place = sb_pointers_get(&changed, i);

        if (!touched(place, &others) && !sb_span_is(place, "/n"))
            assert_true(equal(sb_doc_get(sb_merge_text(&result), place, arrays),
                              sb_doc_get(mine, place, arrays)));
    }
    sb_pointers_free(&changed);
    sb_pointers_free(&others);
}

static void random_merges_keep_what_only_one_side_changed(void **state)
{
    struct sb_array_keys keys = kit_arrays("{\"/n\":\"id\"}");
    struct sb_merge_rules rules = {.policy = SB_POLICY_MERGE};
    struct sb_rng rng;

    (void)state;
    sb_rng_seed(&rng, 23);
    for (int i = 0; i < ROUNDS; i++) {
        struct three three = random_three(&rng, i % 2 == 0);

        rules.arrays = i % 2 == 0 ? &keys : NULL;
        sb_merge(three.base, three.local, three.server, &rules, &result);
        check_kept(three.base, three.local, three.server, rules.arrays);
        check_kept(three.base, three.server, three.local, rules.arrays);
        kit_free_texts();
    }
    sb_array_keys_free(&keys);
}

/* ---- large ones ---- */

static struct sb_buf nested(unsigned depth, const char *inner)
{
    struct sb_buf text = {0};

    for (unsigned i = 1; i < depth; i++)
        sb_buf_add_str(&text, "{\"k\": ");
    sb_buf_add_str(&text, inner);
    for (unsigned i = 1; i < depth; i++)
        sb_buf_add_char(&text, '}');
    return text;
}

static void documents_as_deep_as_they_may_be(void **state)
{
    struct sb_buf base = nested(SB_JSON_MAX_DEPTH, "{\"a\": 1, \"b\": 1}");
    struct sb_buf local = nested(SB_JSON_MAX_DEPTH, "{\"a\": 2, \"b\": 1}");
    struct sb_buf server = nested(SB_JSON_MAX_DEPTH, "{\"a\": 1, \"b\": 3}");
    struct sb_buf text = nested(SB_JSON_MAX_DEPTH, "{\"a\": 2, \"b\": 3}");

    (void)state;
    merges(base.data, local.data, server.data, text.data);
    sb_buf_free(&base);
    sb_buf_free(&local);
    sb_buf_free(&server);
    sb_buf_free(&text);
}

#define WIDE 100000U

/* Members in an order of each side's own; every `step`th has another value. */
static struct sb_buf wide(unsigned factor, unsigned step, int value)
{
    struct sb_buf text = {0};

    for (unsigned i = 0; i < WIDE; i++) {
        unsigned key = (unsigned)((uint64_t)i * factor % WIDE);

        sb_buf_add_fmt(&text, "%s\"k%u\":%d", i == 0 ? "{" : ",", key,
                       step > 0 && key % step == 0 ? value : 0);
    }
    sb_buf_add_char(&text, '}');
    return text;
}

/* Quadratic it would take minutes. */
static void a_hundred_thousand_members_in_any_order_are_quick(void **state)
{
    struct sb_buf base = wide(1, 0, 0), local = wide(99991, 3, 7), server = wide(3, 5, 8);
    const struct sb_merge_rules rules = {.policy = SB_POLICY_MERGE};
    clock_t from = clock();

    (void)state;
    sb_merge(sb_buf_span(&base), sb_buf_span(&local), sb_buf_span(&server), &rules, &result);
    assert_true(clock() - from < 20 * CLOCKS_PER_SEC);
    assert_int_equal(result.undecided.count, (WIDE + 14) / 15);
    assert_true(sb_span_is(sb_doc_get(sb_merge_text(&result), SB_SPAN("/k9"), NULL), "7"));
    assert_true(sb_span_is(sb_doc_get(sb_merge_text(&result), SB_SPAN("/k10"), NULL), "8"));
    assert_true(sb_span_is(sb_doc_get(sb_merge_text(&result), SB_SPAN("/k11"), NULL), "0"));
    sb_buf_free(&base);
    sb_buf_free(&local);
    sb_buf_free(&server);
}

/* Half of the document is one key, below which everything is undecided. */
static void pointers_with_a_huge_key_stay_bounded(void **state)
{
    struct sb_buf text[3] = {{0}};
    const struct sb_merge_rules rules = {.policy = SB_POLICY_MERGE};
    char *key = sb_xmalloc(300001);

    (void)state;
    memset(key, '~', 300000);
    key[300000] = '\0';
    for (size_t side = 0; side < 3; side++) {
        sb_buf_add_fmt(&text[side], "{\"%s\":{\"a\":0", key);
        for (unsigned i = 0; i < 20000; i++)
            sb_buf_add_fmt(&text[side], ",\"%u\":%zu", i, side);
        sb_buf_add_str(&text[side], "}}");
    }
    sb_merge(sb_buf_span(&text[0]), sb_buf_span(&text[1]), sb_buf_span(&text[2]), &rules, &result);
    assert_string_equal(kit_places(&result.undecided), "[\"\"]");
    for (size_t side = 0; side < 3; side++)
        sb_buf_free(&text[side]);
    free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_equal_by_their_text),
        cmocka_unit_test(strings_are_equal_by_their_characters),
        cmocka_unit_test(objects_are_equal_in_any_order_and_arrays_are_not),
        cmocka_unit_test(a_key_is_its_characters),
        cmocka_unit_test(null_is_a_value),
        cmocka_unit_test(what_one_side_changed_is_taken),
        cmocka_unit_test(equal_changes_are_one),
        cmocka_unit_test(different_changes_are_undecided_at_the_smallest_place),
        cmocka_unit_test(two_added_objects_are_united),
        cmocka_unit_test(another_type_is_undecided_there),
        cmocka_unit_test(deleted_here_and_edited_inside_there_is_undecided_at_the_deleted),
        cmocka_unit_test(an_emptied_object_stays),
        cmocka_unit_test(arrays_are_one_place),
        cmocka_unit_test(members_keep_the_order_of_the_base),
        cmocka_unit_test(equal_values_have_the_smaller_text),
        cmocka_unit_test(what_one_side_brings_keeps_its_bytes),
        cmocka_unit_test(elements_are_merged_by_their_key),
        cmocka_unit_test(added_elements_follow_sorted_by_key),
        cmocka_unit_test(removed_elements_go),
        cmocka_unit_test(an_order_that_one_side_changed_is_taken),
        cmocka_unit_test(two_different_orders_are_undecided_at_the_array),
        cmocka_unit_test(arrays_that_are_not_keyed_are_one_place),
        cmocka_unit_test(server_and_local_decide_each_place),
        cmocka_unit_test(the_order_of_an_array_is_decided_too),
        cmocka_unit_test(latest_is_the_higher_stamp_of_each_place),
        cmocka_unit_test(latest_with_stamps_of_several_own_operations),
        cmocka_unit_test(manual_merges_nothing),
        cmocka_unit_test(random_merges_do_not_depend_on_who_came_first),
        cmocka_unit_test(random_merges_with_one_edit_give_that_edit),
        cmocka_unit_test(random_merges_keep_what_only_one_side_changed),
        cmocka_unit_test(documents_as_deep_as_they_may_be),
        cmocka_unit_test(a_hundred_thousand_members_in_any_order_are_quick),
        cmocka_unit_test(pointers_with_a_huge_key_stay_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, tear_down);
}
