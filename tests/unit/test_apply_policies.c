/* Merging by the policy of a table, and what is encrypted, which is never merged. */
#include "ops_kit.h"

#include <stdio.h>

#include "common/json_put.h"
#include "common/stamps.h"

/* ---- policies ---- */

/* Both change x on top of the same document: first the one device, then the other. */
static struct sb_reply *meet(struct kit *kit, const char *id, unsigned first_hlc,
                             unsigned second_hlc)
{
    ops_stored(ops_edit(kit, "a0", 1, "projects", id, "null", "{\"x\": 0, \"o\": {\"p\": 1}}"));
    ops_stored(ops_edit(kit, "a1", first_hlc, "projects", id, "{\"op_id\":\"a0\"}",
                        "{\"x\": 1, \"o\": {\"p\": 1}, \"first\": 1}"));
    return ops_edit_2(kit, "b1", second_hlc, "projects", id, "null",
                      "{\"x\": 2, \"o\": {\"p\": 1}, \"second\": 2}");
}

static void the_policies_server_and_local_decide_every_place(void **state)
{
    struct kit *kit = *state;

    kit_policy(kit, SB_POLICY_SERVER);
    ops_stored(meet(kit, "p", 2, 3));
    assert_string_equal(ops_in_force(kit, "projects/p"),
                        "{\"first\": 1, \"o\": {\"p\": 1}, \"second\": 2, \"x\": 1}");
    kit_policy(kit, SB_POLICY_LOCAL);
    ops_stored(ops_edit_2(kit, "b2", 1, "projects", "p", "{\"op_id\":\"b1\"}",
                          "{\"x\": 3, \"o\": {\"p\": 1}, \"second\": 2}"));
    assert_string_equal(ops_in_force(kit, "projects/p"),
                        "{\"x\": 3, \"o\": {\"p\": 1}, \"second\": 2, \"first\": 1}");
    /* the losing text stays in the history; an unknown base is a conflict under any policy */
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM versions WHERE submitted LIKE '%2}'"
                                    " AND op_id = 'b1'"),
                     1);
    ops_conflict(ops_edit(kit, "c", 9, "projects", "p", "{\"op_id\":\"none\"}", "{}"),
                 SB_EBASE_UNKNOWN, "[]");
    assert_int_equal(kit->reply.conflicts[0].policy, SB_POLICY_LOCAL);
}

static void under_manual_everything_that_is_not_current_is_a_conflict(void **state)
{
    struct kit *kit = *state;

    kit_policy(kit, SB_POLICY_MANUAL);
    ops_conflict(meet(kit, "p", 2, 3), SB_OK, "[\"\"]");
    ops_conflict(ops_edit(kit, "c", 4, "projects", "p", "{\"op_id\":\"a0\"}",
                          "{\"x\": 0, \"o\": {\"p\": 1}, \"third\": 3}"),
                 SB_OK, "[\"\"]");
    assert_int_equal(kit->reply.conflicts[0].policy, SB_POLICY_MANUAL);
    ops_stored(ops_edit(kit, "d", 5, "projects", "p", "{\"op_id\":\"a1\"}", "{}"));
}

/* One document: both devices have it, then each edits it, the one or the other arriving first. */
struct pair {
    const char *base, *one, *two;
    unsigned hlc_one, hlc_two;
};

/* Does it with the table's policy and gives the text in force, or the pointers of the conflict. */
static void run_pair(struct kit *kit, const char *id, const struct pair *pair, bool two_first,
                     struct sb_buf *out)
{
    char base[64], doc[80];
    const struct sb_reply *last = NULL;

    snprintf(doc, sizeof(doc), "projects/%s", id);
    ops_stored(ops_edit(kit, doc, 1, "projects", id, "null", pair->base));
    snprintf(base, sizeof(base), "%s", ops_tag_of(kit, doc));
    for (int i = 0; i < 2; i++) {
        char op[96];

        snprintf(op, sizeof(op), "%s-%d", doc, i);
        last = (i == 0) == two_first
                   ? ops_edit_2(kit, op, pair->hlc_two, "projects", id, base, pair->two)
                   : ops_edit(kit, op, pair->hlc_one, "projects", id, base, pair->one);
    }
    sb_buf_clear(out);
    if (last->result == SB_RESULT_CONFLICT)
        sb_buf_add_span(out, sb_buf_span(&last->conflicts[0].pointers));
    else
        sb_buf_add_str(out, ops_in_force(kit, doc));
}

static void expect_pair(struct kit *kit, const char *id, const struct pair *pair,
                        const char *expected)
{
    struct sb_buf first = {0}, second = {0};
    char other[48];

    snprintf(other, sizeof(other), "%s-other", id);
    run_pair(kit, id, pair, false, &first);
    run_pair(kit, other, pair, true, &second);
    assert_string_equal(first.data, second.data);
    if (expected != NULL)
        assert_string_equal(first.data, expected);
    sb_buf_free(&first);
    sb_buf_free(&second);
}

static void under_latest_the_newer_edit_wins_each_place_whatever_the_order(void **state)
{
    struct kit *kit = *state;
    struct pair pair = {.base = "{\"x\": 0, \"o\": {\"p\": 0}, \"k\": 0}",
                        .one = "{\"x\": 1, \"o\": {\"p\": 1}, \"k\": 0}",
                        .two = "{\"x\": 2, \"o\": 5, \"k\": 0}",
                        .hlc_one = 7,
                        .hlc_two = 8};

    kit_policy(kit, SB_POLICY_LATEST);
    expect_pair(kit, "a", &pair, "{\"x\": 2, \"o\": 5, \"k\": 0}");
    pair.hlc_one = 9;
    expect_pair(kit, "b", &pair, "{\"x\": 1, \"o\": {\"p\": 1}, \"k\": 0}");
    pair.hlc_one = 8; /* the same clock: the higher device */
    expect_pair(kit, "c", &pair, "{\"x\": 2, \"o\": 5, \"k\": 0}");
    pair.two = NULL; /* deleted against edited */
    expect_pair(kit, "d", &pair, "-");
    pair.hlc_one = 9;
    expect_pair(kit, "e", &pair, "{\"x\": 1, \"o\": {\"p\": 1}, \"k\": 0}");
}

static void a_place_has_the_stamp_of_its_own_last_change(void **state)
{
    struct kit *kit = *state;
    const struct sb_conflict *c;
    char base[64];

    kit_policy(kit, SB_POLICY_LATEST);
    ops_stored(ops_edit(kit, "a", 1, "projects", "p", "null", "{\"x\": 0, \"k\": 0}"));
    snprintf(base, sizeof(base), "%s", ops_tag_of(kit, "projects/p"));
    ops_stored(ops_edit(kit, "b", 5, "projects", "p", "{\"op_id\":\"a\"}", "{\"x\": 1, \"k\": 0}"));
    ops_stored(ops_edit(kit, "c", 9, "projects", "p", "{\"op_id\":\"b\"}", "{\"x\": 1, \"k\": 1}"));
    /* newer than the change of x, older than the document */
    ops_stored(ops_edit_2(kit, "d", 6, "projects", "p", base, "{\"x\": 2, \"k\": 0}"));
    assert_string_equal(ops_in_force(kit, "projects/p"), "{\"x\": 2, \"k\": 1}");
    c = ops_conflict(ops_edit(kit, "e", 7, "projects", "p", "{\"op_id\":\"none\"}", "{}"),
                     SB_EBASE_UNKNOWN, "[]");
    assert_string_equal(c->server.stamps.data, "{\"/k\":[\"0000000000000009\",\"edge-001\"],"
                                               "\"/x\":[\"0000000000000006\",\"edge-002\"]}");
    assert_string_equal(c->server.hlc, "0000000000000009");
    assert_string_equal(c->server.device, "edge-002");
}

static void a_document_without_stamps_counts_as_stamped_as_a_whole(void **state)
{
    struct kit *kit = *state;
    const struct sb_conflict *c;
    char base[64];

    ops_stored(ops_edit(kit, "a", 5, "projects", "p", "null", "{\"x\": 0, \"k\": 0}"));
    snprintf(base, sizeof(base), "%s", ops_tag_of(kit, "projects/p"));
    ops_stored(ops_edit(kit, "b", 3, "projects", "p", "{\"op_id\":\"a\"}", "{\"x\": 1, \"k\": 0}"));
    assert_int_equal(kit_count(kit, "SELECT stamps IS NULL AND hlc = '0000000000000005'"
                                    " FROM documents"),
                     1);
    kit_policy(kit, SB_POLICY_LATEST);
    ops_stored(ops_edit_2(kit, "c", 4, "projects", "p", base, "{\"x\": 2, \"k\": 0}"));
    assert_string_equal(ops_in_force(kit, "projects/p"), "{\"x\": 1, \"k\": 0}");
    ops_stored(ops_edit_2(kit, "d", 6, "projects", "p", base, "{\"x\": 3, \"k\": 0}"));
    assert_string_equal(ops_in_force(kit, "projects/p"), "{\"x\": 3, \"k\": 0}");
    c = ops_conflict(ops_edit(kit, "e", 7, "projects", "p", "{\"op_id\":\"none\"}", "{}"),
                     SB_EBASE_UNKNOWN, "[]");
    assert_string_equal(c->server.stamps.data, "{\"\":[\"0000000000000005\",\"edge-001\"],"
                                               "\"/x\":[\"0000000000000006\",\"edge-002\"]}");
}

static void more_stamps_than_are_kept_become_one(void **state)
{
    struct kit *kit = *state;
    struct sb_buf many = {0};
    char base[64];

    kit_policy(kit, SB_POLICY_LATEST);
    sb_put_open(&many, NULL, '{');
    for (int i = 0; i <= SB_STAMPS_MAX; i++)
        sb_buf_add_fmt(&many, "%s\"m%d\":%d", i == 0 ? "" : ",", i, i);
    sb_put_close(&many, '}');
    ops_stored(ops_edit(kit, "a", 7, "projects", "p", "null", many.data));
    assert_int_equal(kit_count(kit, "SELECT stamps = '{\"\":[\"0000000000000007\",\"edge-001\"]}'"
                                    " FROM documents"),
                     1);
    snprintf(base, sizeof(base), "%s", ops_tag_of(kit, "projects/p"));
    ops_stored(ops_edit(kit, "b", 8, "projects", "p", base, "{\"x\": 1}"));
    ops_stored(ops_edit_2(kit, "c", 9, "projects", "p", base, "{\"x\": 2}"));
    assert_string_equal(ops_in_force(kit, "projects/p"), "{\"x\": 2}");
    sb_buf_free(&many);
}

static void a_clock_that_runs_ahead_is_taken_back_once(void **state)
{
    struct kit *kit = *state;
    char hlc[SB_EPOCH_LEN + 1], sql[128];

    kit_expect(kit_ask(kit, OPS_RECORDS, 1, 1,
                       "\"records\":[{\"op_id\":\"a\",\"hlc\":\"fffffffffffffffe\",\"base\":null,"
                       "\"table\":\"projects\",\"id\":\"p\",\"operation\":\"add\",\"data\":{}}]"),
               SB_RESULT_STORED, 1, 0, 0, 0, 0);
    sb_hex16_of((uint64_t)kit_count(kit, "SELECT made_us / 1000 FROM versions") << 16, hlc);
    snprintf(sql, sizeof(sql), "SELECT v.hlc = '%s' AND d.hlc = v.hlc FROM versions v, documents d",
             hlc);
    assert_int_equal(kit_count(kit, sql), 1);
}

/* A small document in a text of its own; NULL: none. */
static const char *some_text(struct sb_rng *rng, struct sb_buf *out)
{
    static const char *const values[] = {
        "0",   "1",    "1.0",         "null", "{}", "{\"p\": 1}", "{\"p\":1,\"q\": 2}",
        "[1]", "[1 ]", "\"\\u0041\"", "\"A\""};
    static const char *const keys[] = {"a", "b", "\\u0062b", "c/d", "e~f"};

    sb_buf_clear(out);
    if (sb_rng_below(rng, 12) == 0)
        return NULL;
    sb_put_open(out, NULL, '{');
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        size_t at = sb_rng_below(rng, 2) == 0 ? i : sizeof(keys) / sizeof(keys[0]) - 1 - i;

        if (at != i || sb_rng_below(rng, 3) == 0)
            continue;
        if (out->data[out->len - 1] != '{')
            sb_buf_add_str(out, ", ");
        sb_buf_add_fmt(out, "\"%s\":%s%s", keys[i], sb_rng_below(rng, 2) == 0 ? " " : "",
                       values[sb_rng_below(rng, sizeof(values) / sizeof(values[0]))]);
    }
    sb_put_close(out, '}');
    return out->data;
}

static void two_edits_end_the_same_whatever_the_order(void **state)
{
    static const enum sb_policy policies[] = {SB_POLICY_MERGE, SB_POLICY_LATEST};
    struct kit *kit = *state;
    struct sb_buf texts[3] = {{0}};
    struct sb_rng rng;
    char id[32];

    sb_rng_seed(&rng, 11);
    for (int p = 0; p < 2; p++) {
        kit_policy(kit, policies[p]);
        for (int i = 0; i < 150; i++) {
            struct pair pair;

            do
                pair.base = some_text(&rng, &texts[0]);
            while (pair.base == NULL);
            pair.one = some_text(&rng, &texts[1]);
            pair.two = some_text(&rng, &texts[2]);
            pair.hlc_one = 2 + (unsigned)sb_rng_below(&rng, 3);
            pair.hlc_two = 2 + (unsigned)sb_rng_below(&rng, 3);
            snprintf(id, sizeof(id), "%d-%d", p, i);
            expect_pair(kit, id, &pair, NULL);
        }
    }
    for (int i = 0; i < 3; i++)
        sb_buf_free(&texts[i]);
}

static void arrays_are_merged_by_key_where_the_table_says_so(void **state)
{
    struct kit *kit = *state;
    char base[64];

    ops_stored(
        ops_edit(kit, "a", 1, "contents", "c", "null", "{\"nodes\": [{\"id\": 1, \"v\": 1}]}"));
    snprintf(base, sizeof(base), "%s", ops_tag_of(kit, "contents/c"));
    ops_stored(ops_edit(kit, "b", 2, "contents", "c", base,
                        "{\"nodes\": [{\"id\": 1, \"v\": 1}, {\"id\": 2}]}"));
    ops_stored(
        ops_edit_2(kit, "c", 3, "contents", "c", base, "{\"nodes\": [{\"id\": 1, \"v\": 9}]}"));
    assert_string_equal(ops_in_force(kit, "contents/c"),
                        "{\"nodes\": [{\"id\": 1, \"v\": 9}, {\"id\": 2}]}");
    ops_conflict(
        ops_edit_2(kit, "d", 4, "contents", "c", base, "{\"nodes\": [{\"id\": 1, \"v\": 8}]}"),
        SB_OK, "[\"/nodes/1/v\"]");
    assert_string_equal(kit->reply.conflicts[0].arrays.data, "{\"/nodes\":\"id\"}");
    ops_stored(ops_edit(kit, "e", 1, "projects", "p", "null", "{\"nodes\": [{\"id\": 1}]}"));
    snprintf(base, sizeof(base), "%s", ops_tag_of(kit, "projects/p"));
    ops_stored(
        ops_edit(kit, "f", 2, "projects", "p", base, "{\"nodes\": [{\"id\": 1}, {\"id\": 2}]}"));
    ops_conflict(ops_edit_2(kit, "g", 3, "projects", "p", base, "{\"nodes\": []}"), SB_OK,
                 "[\"/nodes\"]");
    assert_int_equal(kit->reply.conflicts[0].arrays.len, 0);
}

/* ---- encrypted ---- */

static void what_is_encrypted_is_never_merged(void **state)
{
    struct kit *kit = *state;
    const struct sb_conflict *c;

    kit_policy(kit, SB_POLICY_LATEST);
    ops_stored(ops_edit(kit, "a", 1, "projects", "p", "null", OPS_TOKEN));
    ops_stored(ops_edit(kit, "b", 2, "projects", "p", "{\"op_id\":\"a\"}", OPS_TOKEN));
    assert_string_equal(ops_in_force(kit, "projects/p"), OPS_TOKEN);
    c = ops_conflict(ops_edit(kit, "c", 3, "projects", "p", "{\"op_id\":\"a\"}", OPS_TOKEN),
                     SB_EBASE_UNKNOWN, "[]");
    assert_string_equal(c->server.data.data, OPS_TOKEN);
    assert_string_equal(c->server.hlc, "0000000000000002");
    assert_int_equal(c->server.stamps.len, 0);
    /* plain on encrypted, encrypted on plain, deleted */
    ops_conflict(ops_edit_2(kit, "d", 4, "projects", "p", "null", "{}"), SB_EBASE_UNKNOWN, "[]");
    ops_conflict(ops_edit_2(kit, "e", 5, "projects", "p", "null", NULL), SB_EBASE_UNKNOWN, "[]");
    ops_stored(ops_edit(kit, "f", 6, "projects", "p", "{\"op_id\":\"b\"}", "{\"x\":1}"));
    ops_conflict(ops_edit_2(kit, "g", 7, "projects", "p", "null", OPS_TOKEN), SB_EBASE_UNKNOWN,
                 "[]");
    ops_stored(ops_edit(kit, "h", 8, "projects", "p", "{\"op_id\":\"f\"}", NULL));
    ops_conflict(ops_edit_2(kit, "i", 9, "projects", "p", "null", OPS_TOKEN), SB_EBASE_UNKNOWN,
                 "[]");
    assert_string_equal(ops_in_force(kit, "projects/p"), "-");
    ops_stored(ops_put(kit, 1, "s", "null", OPS_TOKEN));
    assert_string_equal(ops_in_force(kit, "settings"), OPS_TOKEN);
}

static void a_base_that_is_encrypted_is_not_known_to_the_cloud(void **state)
{
    struct kit *kit = *state;
    char base[64];

    ops_stored(ops_edit(kit, "a", 1, "projects", "p", "null", OPS_TOKEN));
    snprintf(base, sizeof(base), "%s", ops_tag_of(kit, "projects/p"));
    ops_stored(ops_edit(kit, "b", 2, "projects", "p", "{\"op_id\":\"a\"}", "{\"x\":1,\"y\":1}"));
    /* nobody can say whether it removed y, or never had it */
    ops_conflict(ops_edit_2(kit, "c", 3, "projects", "p", base, "{\"x\":1}"), SB_EBASE_UNKNOWN,
                 "[]");
    ops_conflict(ops_edit(kit, "d", 4, "projects", "p", "{\"op_id\":\"a\"}", NULL),
                 SB_EBASE_UNKNOWN, "[]");
    assert_string_equal(ops_in_force(kit, "projects/p"), "{\"x\":1,\"y\":1}");
    kit_policy(kit, SB_POLICY_LOCAL);
    ops_conflict(ops_edit_2(kit, "e", 5, "projects", "p", base, "{\"x\":2}"), SB_EBASE_UNKNOWN,
                 "[]");
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, ops_records_setup, kit_teardown)
    const struct CMUnitTest tests[] = {
        CASE(the_policies_server_and_local_decide_every_place),
        CASE(under_manual_everything_that_is_not_current_is_a_conflict),
        CASE(under_latest_the_newer_edit_wins_each_place_whatever_the_order),
        CASE(a_place_has_the_stamp_of_its_own_last_change),
        CASE(a_document_without_stamps_counts_as_stamped_as_a_whole),
        CASE(more_stamps_than_are_kept_become_one),
        CASE(a_clock_that_runs_ahead_is_taken_back_once),
        CASE(two_edits_end_the_same_whatever_the_order),
        CASE(arrays_are_merged_by_key_where_the_table_says_so),
        CASE(what_is_encrypted_is_never_merged),
        CASE(a_base_that_is_encrypted_is_not_known_to_the_cloud),
    };
#undef CASE

    return cmocka_run_group_tests(tests, NULL, NULL);
}
