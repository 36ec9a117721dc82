/* Places of documents: what changed, reading and setting one, an edit made again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/doc.h"
#include "common/json_scan.h"
#include "merge_kit.h"

#define KEYED "{\"/n\":\"id\",\"/p/*/n\":\"k\"}"

static struct sb_array_keys keyed;

static int set_up(void **state)
{
    (void)state;
    keyed = kit_arrays(KEYED);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sb_array_keys_free(&keyed);
    kit_free_texts();
    return 0;
}

static void changes(const char *a, const char *b, const char *places)
{
    struct sb_pointers set = {0};

    sb_doc_changed(kit_document(a), kit_document(b), &keyed, &set);
    assert_string_equal(kit_places(&set), places);
    sb_pointers_clear(&set);
    sb_doc_changed(kit_document(b), kit_document(a), &keyed, &set);
    assert_string_equal(kit_places(&set), places);
    sb_pointers_free(&set);
}

static void changed_places_are_the_smallest(void **state)
{
    (void)state;
    changes("{\"a\":1,\"b\":{\"c\":1,\"d\":2}}", "{\"b\":{\"d\":3,\"c\":1},\"a\":1}", "[\"/b/d\"]");
    changes("{\"a\":1}", "{\"a\":1.0,\"b\":null}", "[\"/a\",\"/b\"]");
    changes("{\"a\":{\"x\":1}}", "{\"a\":[1]}", "[\"/a\"]");
    changes("{\"a\":{\"x\":1}}", "{}", "[\"/a\"]");
    changes("{\"a\":[1,{\"x\":1}]}", "{\"a\":[1,{\"x\":2}]}", "[\"/a\"]");
    changes("{}", "", "[\"\"]");
    changes("{}", "[]", "[\"\"]");
    changes("", "", "[]");
    changes("{\"a~/b\":{\"\":1}}", "{\"a~\\/b\":{\"\":2}}", "[\"/a~0~1b/\"]");
    changes("{\"a\":\"\\u00e9\\ud83d\\ude00\",\"b\":1e2}",
            " {\"b\":1e2, \"a\":\"é\xf0\x9f\x98\x80\"} ", "[]");
    changes("{\"b\":1e2}", "{\"b\":100}", "[\"/b\"]");
}

static void elements_of_keyed_arrays_are_places(void **state)
{
    (void)state;
    changes("{\"n\":[{\"id\":1,\"v\":1},{\"id\":2}]}",
            "{\"n\":[{\"id\":1,\"v\":2},{\"id\":3},{\"id\":2}]}", "[\"/n/1/v\",\"/n/3\"]");
    changes("{\"n\":[{\"id\":1},{\"id\":2}]}", "{\"n\":[{\"id\":2},{\"id\":1,\"v\":1}]}",
            "[\"/n\",\"/n/1/v\"]");
    changes("{\"p\":{\"x\":{\"n\":[{\"k\":\"a/b\",\"v\":1}]}}}",
            "{\"p\":{\"x\":{\"n\":[{\"k\":\"a\\/b\",\"v\":2}]}}}", "[\"/p/x/n/a~1b/v\"]");
    /* not keyed: one place */
    changes("{\"n\":[{\"id\":1},{\"id\":1}]}", "{\"n\":[{\"id\":1}]}", "[\"/n\"]");
    changes("{\"n\":[{\"id\":1},{\"id\":\"1\"}]}", "{\"n\":[{\"id\":1}]}", "[\"/n\"]");
    changes("{\"n\":[{\"id\":1}]}", "{\"n\":[{\"id\":1},{\"id\":null}]}", "[\"/n\"]");
    changes("{\"n\":[{\"id\":1}]}", "{\"n\":[{\"id\":1},{\"id\":[2]}]}", "[\"/n\"]");
    changes("{\"n\":[{\"id\":1}]}", "{\"n\":[{\"id\":1},2]}", "[\"/n\"]");
    changes("{\"m\":[{\"id\":1}]}", "{\"m\":[{\"id\":2}]}", "[\"/m\"]");
    changes("{\"n\":[{\"id\":1}]}", "{\"n\":{\"id\":1}}", "[\"/n\"]");
    changes("{\"n\":[]}", "{\"n\":[{\"id\":1}]}", "[\"/n/1\"]");
}

static void reads(const char *document, const char *pointer, const char *value)
{
    struct sb_span got = sb_doc_get(kit_document(document), sb_span_of(pointer), &keyed);

    if (!sb_span_is(got, value))
        fail_msg("%s %s: %.*s", document, pointer, (int)got.len, got.data);
}

static void a_place_is_read(void **state)
{
    (void)state;
    reads("{\"a\": {\"b~/\" : 1e2 } , \"\":{\"\":null}}", "/a/b~0~1", "1e2");
    reads("{\"a\": {\"b\" : 1 } }", "/a", "{\"b\" : 1 }");
    reads("{\"a\": {\"b\" : 1 } }", "", "{\"a\": {\"b\" : 1 } }");
    reads("{\"\":{\"\":null}}", "//", "null");
    reads("{\"\\u0061\":1}", "/a", "1");
    reads("{\"a\":1}", "/b", "");
    reads("{\"a\":1}", "/a/b/c", "");
    reads("{\"a\":[1]}", "/a/0", "");
    reads("", "", "");
    reads("", "/a", "");
    reads("{\"n\":[{\"id\":\"x\"},{\"id\":17,\"v\":[3]}]}", "/n/17/v", "[3]");
    reads("{\"n\":[{\"id\":\"x\"},{\"id\":17,\"v\":[3]}]}", "/n/x", "{\"id\":\"x\"}");
    reads("{\"n\":[{\"id\":\"x\"},{}]}", "/n/x", "");
}

static bool put(const char *document, const char *pointer, const char *value, const char *result)
{
    struct sb_buf out = {0};
    bool done =
        sb_doc_put(kit_document(document), sb_span_of(pointer), kit_document(value), &keyed, &out);

    assert_string_equal(sb_buf_span(&out).data, result);
    sb_buf_free(&out);
    return done;
}

static void a_place_is_set(void **state)
{
    (void)state;
    assert_true(put("{\"a\":1,\"b\":2.50}", "/a", "[ 3 ]", "{\"a\": [ 3 ], \"b\": 2.50}"));
    assert_true(put("{\"a\":1}", "/b/c", "\"x\"", "{\"a\": 1, \"b\": {\"c\": \"x\"}}"));
    assert_true(put("{\"\\u0061\":{ \"k\" :1}, \"z\":{ }}", "/a/l", "2",
                    "{\"\\u0061\": {\"k\": 1, \"l\": 2}, \"z\": { }}"));
    assert_true(put("{\"a\":1}", "", "[]", "[]"));
    assert_true(put("", "/a", "1", "{\"a\": 1}"));
    assert_true(put("[1]", "/a~1\"", "1", "{\"a/\\\"\": 1}"));
    assert_true(put("{\"a\":[1]}", "/a/0", "1", "{\"a\": {\"0\": 1}}"));
}

static void a_place_is_removed(void **state)
{
    (void)state;
    assert_true(put("{\"a\":1,\"b\":2}", "/a", "", "{\"b\": 2}"));
    assert_true(put("{\"a\":1,\"b\":2,\"c\":3}", "/b", "", "{\"a\": 1, \"c\": 3}"));
    assert_true(put("{\"a\":1}", "/a", "", "{}"));
    assert_true(put("{\"a\":{\"b\":1}}", "/a/b", "", "{\"a\": {}}"));
    assert_true(put("{\"a\":1}", "", "", ""));
    assert_true(put("{\"a\":1}", "/x", "", "{\"a\": 1}"));
}

static void elements_are_set_by_their_key(void **state)
{
    static const char document[] = "{\"n\":[{\"id\":1,\"v\":1},{\"id\":\"b\"}]}";

    (void)state;
    assert_true(put(document, "/n/1/v", "2", "{\"n\": [{\"id\": 1, \"v\": 2}, {\"id\":\"b\"}]}"));
    assert_true(put(document, "/n/1", "", "{\"n\": [{\"id\":\"b\"}]}"));
    assert_true(put(document, "/n/c", "{\"id\":\"c\"}",
                    "{\"n\": [{\"id\":1,\"v\":1}, {\"id\":\"b\"}, {\"id\":\"c\"}]}"));
    assert_false(put(document, "/n/c/v", "1", document));
    assert_true(put("{\"n\":[]}", "/n/c", "{\"id\":\"c\"}", "{\"n\": [{\"id\":\"c\"}]}"));
}

static void too_deep_a_place_is_not_set(void **state)
{
    struct sb_buf pointer = {0}, out = {0};

    (void)state;
    for (int i = 0; i < SB_JSON_MAX_DEPTH; i++)
        sb_buf_add_str(&pointer, "/k");
    assert_true(sb_doc_put(SB_SPAN("{}"), sb_buf_span(&pointer), SB_SPAN("1"), NULL, &out));
    sb_buf_clear(&out);
    for (int i = 0; i < 100000; i++)
        sb_buf_add_str(&pointer, "/k");
    assert_false(sb_doc_put(SB_SPAN("{}"), sb_buf_span(&pointer), SB_SPAN("1"), NULL, &out));
    assert_string_equal(out.data, "{}");
    assert_int_equal(sb_doc_get(SB_SPAN("{}"), sb_buf_span(&pointer), NULL).len, 0);
    sb_buf_free(&pointer);
    sb_buf_free(&out);
}

static void reapplies(const char *from, const char *to, const char *document, const char *result)
{
    struct sb_buf out = {0};

    sb_doc_reapply(kit_document(from), kit_document(to), kit_document(document), &keyed, &out);
    assert_string_equal(sb_buf_span(&out).data, result);
    sb_buf_free(&out);
}

static void an_edit_is_made_again_on_the_document_in_force(void **state)
{
    (void)state;
    reapplies("{\"a\":1,\"b\":1}", "{\"a\":2,\"b\":1}", "{\"b\":7, \"a\":3,\"c\":[ ]}",
              "{\"b\": 7, \"a\": 2, \"c\": [ ]}");
    reapplies("{\"a\":1}", "{\"c\":1,\"b\":{\"x\":1}}", "{\"a\":3,\"z\":0}",
              "{\"z\": 0, \"b\": {\"x\":1}, \"c\": 1}");
    reapplies("{\"o\":{\"x\":1}}", "{\"o\":{\"x\":2}}", "{\"o\":5}", "{\"o\": {\"x\": 2}}");
    reapplies("{\"o\":{\"x\":1}}", "{\"o\":{\"x\":2}}", "", "{\"o\": {\"x\": 2}}");
    reapplies("{\"a\":1}", "", "{\"a\":2}", "");
    reapplies("", "{\"a\":1}", "{\"b\":2}", "{\"a\":1}");
}

static void without_a_change_the_document_stays_byte_for_byte(void **state)
{
    (void)state;
    reapplies("{\"a\":1,\"b\":{\"c\":2}}", "{\"b\":{\"c\":2},\"a\":1}", "{\"x\":  1}",
              "{\"x\":  1}");
    reapplies("{\"a\":1,\"o\":{ }}", "{\"a\":2,\"o\":{}}", "{\"a\":1,\"o\":{\"p\":  1}}",
              "{\"a\": 2, \"o\": {\"p\":  1}}");
    reapplies("", "", "{\"x\":  1}", "{\"x\":  1}");
    reapplies("{}", "{ }", "", "");
}

static void edits_of_elements_are_made_again(void **state)
{
    (void)state;
    reapplies("{\"n\":[{\"id\":1,\"v\":1},{\"id\":2}]}", "{\"n\":[{\"id\":1,\"v\":2},{\"id\":2}]}",
              "{\"n\":[{\"id\":2,\"w\":9},{\"id\":1,\"v\":5}]}",
              "{\"n\": [{\"id\":2,\"w\":9}, {\"id\": 1, \"v\": 2}]}");
    /* removed in the document meanwhile: back, whole */
    reapplies("{\"n\":[{\"id\":1,\"v\":1,\"w\":1}]}", "{\"n\":[{\"id\":1,\"v\":2,\"w\":1}]}",
              "{\"n\":[]}", "{\"n\": [{\"id\":1,\"v\":2,\"w\":1}]}");
    /* added and removed ones */
    reapplies("{\"n\":[{\"id\":1},{\"id\":2}]}", "{\"n\":[{\"id\":9},{\"id\":2},{\"id\":3}]}",
              "{\"n\":[{\"id\":1},{\"id\":2},{\"id\":4}]}",
              "{\"n\": [{\"id\":2}, {\"id\":4}, {\"id\":3}, {\"id\":9}]}");
    /* the order */
    reapplies("{\"n\":[{\"id\":1},{\"id\":2},{\"id\":3}]}",
              "{\"n\":[{\"id\":3},{\"id\":1},{\"id\":2}]}",
              "{\"n\":[{\"id\":1,\"v\":1},{\"id\":7},{\"id\":2},{\"id\":3}]}",
              "{\"n\": [{\"id\":3}, {\"id\":7}, {\"id\":1,\"v\":1}, {\"id\":2}]}");
    /* ... which is also that of an element that comes back */
    reapplies("{\"n\":[{\"id\":1},{\"id\":2},{\"id\":3},{\"id\":4}]}",
              "{\"n\":[{\"id\":3,\"v\":1},{\"id\":1},{\"id\":4},{\"id\":2}]}",
              "{\"n\":[{\"id\":1},{\"id\":7},{\"id\":2}]}",
              "{\"n\": [{\"id\":3,\"v\":1}, {\"id\":7}, {\"id\":1}, {\"id\":2}]}");
    /* no keyed array there */
    reapplies("{\"n\":[{\"id\":1}]}", "{\"n\":[{\"id\":1},{\"id\":2}]}", "{\"n\":[1]}",
              "{\"n\": [{\"id\":1},{\"id\":2}]}");
}

#define ROUNDS 3000

static struct sb_span random_document(struct sb_rng *rng, bool arrays)
{
    struct sb_buf text = {0};
    struct sb_span document;

    kit_random_document(rng, arrays, &text);
    document = kit_document_span(sb_buf_span(&text));
    sb_buf_free(&text);
    return document;
}

static bool equal(struct sb_span a, struct sb_span b)
{
    return a.len == 0 || b.len == 0 ? a.len == b.len : sb_json_equal(a, b);
}

/* Setting all places that changed, one by one, makes one document of the other. */
static void random_changes_put_one_by_one_give_the_other(void **state)
{
    struct sb_rng rng;

    (void)state;
    sb_rng_seed(&rng, 11);
    for (int i = 0; i < ROUNDS; i++) {
        struct sb_span a = random_document(&rng, false), b = random_document(&rng, false);
        struct sb_span now = a, value;
        struct sb_buf out = {0};
        struct sb_pointers places = {0};

        sb_doc_changed(a, b, NULL, &places);
        assert_true((places.count == 0) == equal(a, b));
        for (size_t p = 0; p < places.count; p++) {
            value = sb_doc_get(b, sb_pointers_get(&places, p), NULL);
            sb_buf_clear(&out);
            assert_true(sb_doc_put(now, sb_pointers_get(&places, p), value, NULL, &out));
            now = kit_document_span(sb_buf_span(&out));
            assert_true(equal(sb_doc_get(now, sb_pointers_get(&places, p), NULL), value));
        }
        assert_true(equal(now, b));
        sb_buf_clear(&out);
        sb_doc_reapply(a, b, a, NULL, &out);
        assert_true(equal(kit_document_span(sb_buf_span(&out)), b));
        sb_pointers_free(&places);
        sb_buf_free(&out);
        kit_free_texts();
    }
}

/* ... and on a document that has the edit already it changes nothing. */
static void a_random_edit_made_twice_is_made_once(void **state)
{
    struct sb_rng rng;

    (void)state;
    sb_rng_seed(&rng, 12);
    for (int i = 0; i < ROUNDS; i++) {
        struct sb_span from = random_document(&rng, true), to = random_document(&rng, true), once;
        struct sb_span document = random_document(&rng, true);
        struct sb_buf out = {0};
        struct sb_pointers before = {0};

        sb_doc_reapply(from, to, document, &keyed, &out);
        once = kit_document_span(sb_buf_span(&out));
        sb_buf_clear(&out);
        sb_doc_reapply(from, to, once, &keyed, &out);
        assert_true(equal(kit_document_span(sb_buf_span(&out)), once));
        sb_doc_changed(from, to, &keyed, &before);
        for (size_t p = 0; p < before.count; p++) {
            struct sb_span place = sb_pointers_get(&before, p);

            if (!sb_span_is(place, "/n")) /* its order */
                assert_true(equal(sb_doc_get(once, place, &keyed), sb_doc_get(to, place, &keyed)));
        }
        sb_pointers_free(&before);
        sb_buf_free(&out);
        kit_free_texts();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changed_places_are_the_smallest),
        cmocka_unit_test(elements_of_keyed_arrays_are_places),
        cmocka_unit_test(a_place_is_read),
        cmocka_unit_test(a_place_is_set),
        cmocka_unit_test(a_place_is_removed),
        cmocka_unit_test(elements_are_set_by_their_key),
        cmocka_unit_test(too_deep_a_place_is_not_set),
        cmocka_unit_test(an_edit_is_made_again_on_the_document_in_force),
        cmocka_unit_test(without_a_change_the_document_stays_byte_for_byte),
        cmocka_unit_test(edits_of_elements_are_made_again),
        cmocka_unit_test(random_changes_put_one_by_one_give_the_other),
        cmocka_unit_test(a_random_edit_made_twice_is_made_once),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
