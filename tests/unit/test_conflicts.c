/* Operations answered conflict: merged onto the cloud's document run by run (V4), open conflicts
 * and their decision (V8), what the cloud is told of it. */
#include "doc_kit.h"

#include "common/log.h"
#include "edge_agent/reconcile.h"

#include <stdio.h>
#include <string.h>

#define MERGE SB_POLICY_MERGE

static void sent(uint64_t seq, enum sb_policy policy, const char *server)
{
    doc_conflict(DOC_RECORDS, seq, policy, server);
}

static uint64_t hlc_at(const char *stream, uint64_t seq)
{
    struct sb_buf body = {0};
    struct sb_span value;
    char text[SB_EPOCH_LEN + 1];

    doc_operation(stream, seq, &body);
    assert_true(sb_json_get(sb_buf_span(&body), "hlc", &value));
    snprintf(text, sizeof(text), "%.16s", value.data + 1);
    sb_buf_free(&body);
    return sb_hex16_value(text);
}

/* p1 is {"a":1,"b":1}, version 1 of the cloud. */
static void start(void)
{
    assert_int_equal(doc_take("projects", "p1", DOC(1, "{\"a\":1,\"b\":1}")), DOCUMENTS_TAKEN);
}

/* ---- V4 ---- */

static void nothing_waiting_changes_nothing(void **state)
{
    (void)state;
    doc_put("projects", "p1", "op-1", "{\"n\":1}");
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_SAME);
    doc_assert_base("projects", "p1", "op-1", "");
}

static void edits_of_both_sides_become_one_operation(void **state)
{
    uint64_t hlc;

    (void)state;
    start();
    doc_put("projects", "p1", "op-1", "{\"a\":2,\"b\":1}");
    hlc = hlc_at(DOC_RECORDS, 1);
    kit_now.wall_us += 3600000000;
    sent(1, MERGE, DOC(3, "{\"a\":1,\"b\":9}"));
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
    doc_assert("projects", "p1", "{\"a\": 2, \"b\": 9}");
    doc_assert_operation(DOC_RECORDS, 2,
                         "\"operation\":\"update\",\"base\":{\"tag\":\"" DOC_TAG(
                             3) "\"},\"data\":{\"a\": 2, \"b\": 9}}");
    assert_int_equal(hlc_at(DOC_RECORDS, 2), hlc); /* of the one that it replaces */
    doc_assert_open("");
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_SAME);
    doc_put("projects", "p1", "op-2", "{\"a\":5}"); /* on the merging one */
    doc_assert_operation(DOC_RECORDS, 3, "\"base\":{\"op_id\":\"");
    assert_true(hlc_at(DOC_RECORDS, 3) > hlc);
}

static void same_edit_on_both_sides_needs_no_operation(void **state)
{
    (void)state;
    start();
    doc_put("projects", "p1", "op-1", "{\"a\":2,\"b\":1}");
    sent(1, MERGE, DOC(3, "{\"a\":2,\"b\":1}"));
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
    assert_int_equal(doc_made(DOC_RECORDS), 1);
    doc_assert_base("projects", "p1", "", DOC_TAG(3));
}

/* Equal as values, but the text must not depend on who came first. */
static void another_text_of_the_same_value_is_sent(void **state)
{
    (void)state;
    start();
    doc_put("projects", "p1", "op-1", "{\"b\":1,\"a\":2}");
    sent(1, MERGE, DOC(3, "{ \"a\":2,\"b\":1}"));
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
    doc_assert_base("projects", "p1", "", DOC_TAG(3)); /* the smaller text is the cloud's */
    assert_int_equal(doc_made(DOC_RECORDS), 1);
    doc_put("projects", "p1", "op-2", "{ \"a\":2, \"b\":4}");
    sent(2, MERGE, DOC(4, "{\"a\":2,\"b\":4}"));
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
    doc_assert("projects", "p1", "{ \"a\":2, \"b\":4}"); /* the smaller text is ours */
    assert_int_equal(doc_made(DOC_RECORDS), 3);
}

static void mending_waits_until_nothing_is_pending(void **state)
{
    (void)state;
    start();
    doc_put("projects", "p1", "op-1", "{\"a\":2,\"b\":1}");
    doc_put("projects", "p1", "op-2", "{\"a\":3,\"b\":1}");
    doc_put("projects", "p2", "op-3", "{}"); /* of another document: does not matter */
    sent(1, MERGE, DOC(3, "{\"a\":1,\"b\":9}"));
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_SAME);
    doc_assert("projects", "p1", "{\"a\":3,\"b\":1}");
    sent(2, MERGE, DOC(3, "{\"a\":1,\"b\":9}"));
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
    doc_assert("projects", "p1", "{\"a\": 3, \"b\": 9}");
    assert_int_equal(doc_made(DOC_RECORDS), 4); /* one for both */
}

static void unsent_edit_counts_as_pending(void **state)
{
    (void)state;
    start();
    doc_put("projects", "p1", "op-1", "{\"a\":2,\"b\":1}");
    kit_begin();
    assert_int_equal(outbox_switch_set(kit_ob, "user-1", SB_UP_RECORDS, false, &kit_err), 0);
    kit_commit();
    doc_put("projects", "p1", "", "{\"a\":3,\"b\":1}");
    sent(1, MERGE, DOC(3, "{\"a\":1,\"b\":9}"));
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_SAME);
    doc_assert("projects", "p1", "{\"a\":3,\"b\":1}");
}

/* Nothing is sent for it that an answer could come to: a read brings the merge about. */
static void local_edit_that_was_undone_frees_what_waits(void **state)
{
    const struct document_name name = doc_name("projects", "p1");
    struct outbox_document doc;

    unsent_edit_counts_as_pending(state);
    doc_put("projects", "p1", "", "{\"a\":2,\"b\":1}");
    kit_begin();
    assert_int_equal(outbox_switch_set(kit_ob, "user-1", SB_UP_RECORDS, true, &kit_err), 0);
    kit_commit();
    assert_int_equal(enqueue_backfill(doc_eq, &name, kit_now, &kit_rng, NULL, &kit_err), 0);
    assert_int_equal(enqueue_commit(doc_eq, &kit_err), 0);
    doc_get("projects", "p1", &doc);
    assert_true(doc.stale);
    outbox_document_fini(&doc);
    assert_int_equal(doc_take("projects", "p1", DOC(3, "{\"a\":1,\"b\":9}")), DOCUMENTS_TAKEN);
    doc_assert("projects", "p1", "{\"a\": 2, \"b\": 9}");
}

/* op-2 was made on what a pull had brought in between: not on op-1. */
static void two_runs(const char *server)
{
    const struct document_name name = {"user-1", "projects", "p1"};
    struct outbox_document doc;

    start();
    doc_put("projects", "p1", "op-1", "{\"a\":2,\"b\":1}");
    doc_get("projects", "p1", &doc); /* as a pull would leave it (after a restore) */
    doc.last_op[0] = '\0';
    memcpy(doc.base_tag, DOC_TAG(2), sizeof(doc.base_tag));
    sb_buf_clear(&doc.doc);
    sb_buf_add_str(&doc.doc, "{\"a\":1,\"b\":7}");
    kit_begin();
    assert_int_equal(outbox_document_set(kit_ob, &name, &doc, &kit_err), 0);
    kit_commit();
    outbox_document_fini(&doc);
    doc_put("projects", "p1", "op-2", "{\"a\":1,\"b\":7,\"c\":3}");
    sent(1, MERGE, server);
    sent(2, MERGE, server);
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
}

static void run_that_is_based_on_something_else_is_merged_on_its_own(void **state)
{
    (void)state;
    two_runs(DOC(3, "{\"a\":1,\"b\":8}"));
    /* op-1 changed a, op-2 added c; the b of the pull is nobody's edit here */
    doc_assert("projects", "p1", "{\"a\": 2, \"b\": 8, \"c\": 3}");
    doc_assert_open("");
}

static void newest_answer_counts_not_the_highest_version(void **state)
{
    (void)state;
    start();
    doc_put("projects", "p1", "op-1", "{\"a\":2,\"b\":1}");
    doc_put("projects", "p1", "op-2", "{\"a\":3,\"b\":1}");
    sent(1, MERGE, DOC(7, "{\"a\":1,\"b\":9}"));
    sent(2, MERGE, DOC(3, "{\"a\":1,\"b\":8}")); /* the cloud was rolled back in between */
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
    doc_assert("projects", "p1", "{\"a\": 3, \"b\": 8}");
}

static void where_nothing_is_the_last_document_goes_as_a_new_one(void **state)
{
    (void)state;
    start();
    doc_put("projects", "p1", "op-1", "{\"a\":2}");
    doc_put("projects", "p1", "op-2", "{\"a\":3}");
    sent(1, MERGE, DOC_NOTHING(5));
    sent(2, MERGE, DOC_NOTHING(5));
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
    doc_assert("projects", "p1", "{\"a\":3}");
    doc_assert_operation(DOC_RECORDS, 3, "\"operation\":\"add\",\"base\":null,\"data\":{\"a\":3}}");
}

static void deletion_where_nothing_is_ends_there(void **state)
{
    (void)state;
    start();
    doc_put("projects", "p1", "op-1", NULL);
    sent(1, MERGE, DOC_NOTHING(5));
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
    doc_assert("projects", "p1", "-");
    assert_int_equal(doc_made(DOC_RECORDS), 1);
}

static void deletion_meets_an_untouched_document(void **state)
{
    (void)state;
    start();
    doc_put("projects", "p1", "op-1", NULL);
    sent(1, MERGE, DOC(3, "{\"a\":1,\"b\":1}")); /* another version, the same document */
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
    doc_assert("projects", "p1", "-");
    doc_assert_operation(DOC_RECORDS, 2,
                         "\"operation\":\"delete\",\"base\":{\"tag\":\"" DOC_TAG(3) "\"}}");
}

static void document_that_did_not_fit_is_read_first(void **state)
{
    struct outbox_document doc;

    (void)state;
    start();
    doc_put("projects", "p1", "op-1", "{\"a\":2,\"b\":1}");
    sent(1, MERGE, DOC_UNREAD(3));
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_UNREAD);
    doc_assert("projects", "p1", "{\"a\":2,\"b\":1}");
    doc_get("projects", "p1", &doc);
    assert_true(doc.stale);
    outbox_document_fini(&doc);
    assert_int_equal(doc_take("projects", "p1", DOC(4, "{\"a\":1,\"b\":9}")), DOCUMENTS_TAKEN);
    doc_assert("projects", "p1", "{\"a\": 2, \"b\": 9}");
    doc_assert_operation(DOC_RECORDS, 2, "\"base\":{\"tag\":\"" DOC_TAG(4) "\"}");
}

/* An ack of later named a higher version: the conflict's document is not the one in force. */
static void document_of_an_answer_that_is_overtaken_is_read_first(void **state)
{
    (void)state;
    start();
    doc_put("projects", "p1", "op-1", "{\"a\":2,\"b\":1}");
    doc_put("projects", "p1", "op-2", "{\"a\":3,\"b\":1}");
    sent(1, MERGE, DOC(3, "{\"a\":1,\"b\":9}"));
    doc_acked(DOC_RECORDS, 2, 5);
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_UNREAD);
    assert_int_equal(doc_take("projects", "p1", DOC(5, "{\"a\":3,\"b\":9}")), DOCUMENTS_TAKEN);
    doc_assert_open("1 [\"/a\"] base={\"a\":1,\"b\":1} local={\"a\":2,\"b\":1};");
}

/* ---- policies ---- */

static void manual_opens_a_conflict_of_the_whole_document(void **state)
{
    (void)state;
    start();
    doc_put("projects", "p1", "op-1", "{\"a\":2,\"b\":1}");
    sent(1, SB_POLICY_MANUAL, DOC(3, "{\"a\":1,\"b\":9}"));
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
    doc_assert("projects", "p1", "{\"a\":1,\"b\":9}");
    doc_assert_open("1 [\"\"] base={\"a\":1,\"b\":1} local={\"a\":2,\"b\":1};");
}

static void server_and_local_decide_every_place(void **state)
{
    (void)state;
    start();
    doc_put("projects", "p1", "op-1", "{\"a\":2,\"b\":2}");
    sent(1, SB_POLICY_SERVER, DOC(3, "{\"a\":7,\"b\":1,\"c\":1}"));
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
    doc_assert("projects", "p1", "{\"a\": 7, \"b\": 2, \"c\": 1}");
    doc_acked(DOC_RECORDS, 2, 4);
    doc_put("projects", "p1", "op-3", "{\"a\":8}");
    sent(3, SB_POLICY_LOCAL, DOC(5, "{\"a\":9,\"b\":2,\"c\":1}"));
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
    doc_assert("projects", "p1", "{\"a\": 8}");
    doc_assert_open("");
}

#define STAMPED(version, stamps, data)                                                             \
    "{\"id\":\"x\",\"exists\":true,\"as_of\":" #version ",\"version\":" #version                   \
    ",\"tag\":\"" DOC_TAG(version) "\",\"op_id\":\"op-x\",\"device\":\"edge-002\",\"hlc\":"        \
                                   "\"7fff000000000000\",\"stamps\":" stamps ",\"data\":" data "}"

static void latest_compares_place_by_place(void **state)
{
    (void)state;
    start();
    doc_put("projects", "p1", "op-1", "{\"a\":2,\"b\":2}");
    sent(1, SB_POLICY_LATEST,
         STAMPED(3,
                 "{\"/a\":[\"0000000000000005\",\"edge-002\"],\"/b\":[\"7fff000000000000\","
                 "\"edge-002\"]}",
                 "{\"a\":7,\"b\":8}"));
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
    doc_assert("projects", "p1", "{\"a\": 2, \"b\": 8}");
    doc_assert_open("");
}

static void document_without_stamps_counts_as_changed_as_a_whole(void **state)
{
    (void)state;
    start();
    doc_put("projects", "p1", "op-1", "{\"a\":2,\"b\":2}");
    sent(1, SB_POLICY_LATEST, STAMPED(3, "{}", "{\"a\": 7, \"b\": 8}"));
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
    doc_assert("projects", "p1", "{\"a\": 7, \"b\": 8}");
    assert_int_equal(doc_made(DOC_RECORDS), 1);
}

static void arrays_are_merged_by_the_key_that_was_told(void **state)
{
    const struct document_name name = {"user-1", "projects", "p1"};
    struct sb_conflict conflict = {.policy = MERGE};
    struct lane *lane;

    (void)state;
    assert_int_equal(doc_take("projects", "p1", DOC(1, "{\"nodes\":[{\"id\":\"n\",\"x\":1}]}")),
                     DOCUMENTS_TAKEN);
    doc_put("projects", "p1", "op-1", "{\"nodes\":[{\"id\":\"n\",\"x\":2}]}");
    sb_buf_add_str(&conflict.arrays, "{\"/nodes\":\"id\"}");
    lane = kit_load(DOC_RECORDS);
    sb_ranges_add(&lane->settled, 1, 1);
    kit_begin();
    assert_int_equal(
        outbox_conflict_add(kit_ob, lane->s, 1, &name, &conflict,
                            SB_SPAN(DOC(3, "{\"nodes\":[{\"id\":\"n\",\"x\":1,\"y\":3}]}")),
                            kit_now.wall_us, &kit_err),
        0);
    assert_int_equal(outbox_set_settled(kit_ob, lane->s, &lane->settled, &lane->refused, &kit_err),
                     0);
    kit_commit();
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
    doc_assert("projects", "p1", "{\"nodes\": [{\"id\": \"n\", \"x\": 2, \"y\": 3}]}");
    sb_buf_free(&conflict.arrays);
}

/* ---- open conflicts ---- */

/* Both changed a; b and c are changed by one side each. */
static void open_one(void)
{
    start();
    doc_put("projects", "p1", "op-1", "{\"a\":2,\"b\":2}");
    doc_put("projects", "p1", "op-2", "{\"a\":3,\"b\":2}");
    sent(1, MERGE, DOC(3, "{\"a\":9,\"b\":1,\"c\":1}"));
    sent(2, MERGE, DOC(3, "{\"a\":9,\"b\":1,\"c\":1}"));
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
}

static int copy_open(void *ctx, const struct outbox_open_conflict *open)
{
    struct sb_buf *text = ctx;

    sb_buf_add_fmt(text, SB_SPAN_FMT " v%llu %d " SB_SPAN_FMT, SB_SPAN_ARG(open->ops),
                   (unsigned long long)open->version, (int)open->policy, SB_SPAN_ARG(open->server));
    return 0;
}

static void undecided_places_open_a_conflict_and_the_clouds_document_is_in_force(void **state)
{
    struct sb_buf text = {0};
    uint64_t count;

    (void)state;
    open_one();
    doc_assert("projects", "p1", "{\"a\":9,\"b\":1,\"c\":1}"); /* nothing of the edit */
    doc_assert_base("projects", "p1", "", DOC_TAG(3));
    assert_int_equal(doc_made(DOC_RECORDS), 2);
    doc_assert_open("1 [\"/a\"] base={\"a\":1,\"b\":1} local={\"a\":3,\"b\":2};");
    assert_int_equal(
        outbox_open_conflicts(kit_ob, 1, NULL, NULL, false, copy_open, &text, &kit_err), 0);
    assert_non_null(strstr(text.data, "[\"op-1\",\"op-2\"] v3 1 {"));
    assert_non_null(strstr(text.data, "\"device\":\"edge-002\""));
    assert_non_null(strstr(text.data, "\"data\":{\"a\":9,\"b\":1,\"c\":1}}"));
    assert_int_equal(outbox_open_conflict_count(kit_ob, "user-1", &count, &kit_err), 0);
    assert_int_equal(count, 1);
    assert_int_equal(outbox_open_conflict_count(kit_ob, "user-2", &count, &kit_err), 0);
    assert_int_equal(count, 0);
    sb_buf_free(&text);
}

static void open_conflict_blocks_nothing(void **state)
{
    (void)state;
    open_one();
    assert_int_equal(doc_take("projects", "p1", DOC(4, "{\"a\":10}")), DOCUMENTS_TAKEN);
    doc_put("projects", "p1", "op-3", "{\"a\":11}");
    doc_assert_operation(DOC_RECORDS, 3, "\"base\":{\"tag\":\"" DOC_TAG(4) "\"}");
}

static int resolve(int64_t id, enum sb_choice choice, const char *merged)
{
    struct enqueue_receipt receipt;
    int rc = enqueue_resolve(doc_eq, id, choice, sb_span_of(merged), kit_now, &kit_rng, &receipt,
                             &kit_err);

    return rc < 0 ? rc : enqueue_commit(doc_eq, &kit_err);
}

static void keeping_the_local_edit_sets_what_it_changed_again(void **state)
{
    (void)state;
    open_one();
    assert_int_equal(doc_take("projects", "p1", DOC(4, "{\"a\":10,\"b\":1,\"d\":4}")),
                     DOCUMENTS_TAKEN); /* meanwhile */
    assert_int_equal(resolve(1, SB_CHOICE_LOCAL, ""), 0);
    doc_assert("projects", "p1", "{\"a\": 3, \"b\": 2, \"d\": 4}");
    doc_assert_operation(DOC_RECORDS, 3, "\"base\":{\"tag\":\"" DOC_TAG(4) "\"}");
    doc_assert_open("");
    assert_int_equal(resolve(1, SB_CHOICE_LOCAL, ""), -SB_ENOT_FOUND);
}

static void keeping_what_is_there_already_makes_no_operation(void **state)
{
    (void)state;
    open_one();
    assert_int_equal(doc_take("projects", "p1", DOC(4, "{\"b\":2,\"a\":3}")), DOCUMENTS_TAKEN);
    assert_int_equal(resolve(1, SB_CHOICE_LOCAL, ""), 0);
    assert_int_equal(doc_made(DOC_RECORDS), 2);
    doc_assert_open("");
}

static void using_the_servers_changes_nothing(void **state)
{
    (void)state;
    open_one();
    assert_int_equal(resolve(1, SB_CHOICE_SERVER, ""), 0);
    doc_assert("projects", "p1", "{\"a\":9,\"b\":1,\"c\":1}");
    assert_int_equal(doc_made(DOC_RECORDS), 2);
    doc_assert_open("");
}

static void merged_by_hand_is_an_ordinary_edit(void **state)
{
    (void)state;
    open_one();
    assert_int_equal(resolve(1, SB_CHOICE_MERGE, "[1]"), -SB_EBAD_TYPE);
    assert_int_equal(resolve(1, SB_CHOICE_MERGE, ""), -SB_EBAD_JSON);
    assert_int_equal(resolve(7, SB_CHOICE_SERVER, ""), -SB_ENOT_FOUND);
    assert_int_equal(resolve(0, SB_CHOICE_SERVER, ""), -SB_ENOT_FOUND);
    doc_assert_open("1 [\"/a\"] base={\"a\":1,\"b\":1} local={\"a\":3,\"b\":2};");
    assert_int_equal(resolve(1, SB_CHOICE_MERGE, "{\"a\":12}"), 0);
    doc_assert("projects", "p1", "{\"a\":12}");
    doc_assert_operation(DOC_RECORDS, 3, "\"data\":{\"a\":12}}");
}

/* V8: what the losing edits changed, all of it, and nothing that others did in between. */
static void keeping_edits_of_several_runs_sets_again_what_each_changed(void **state)
{
    (void)state;
    two_runs(DOC(3, "{\"a\":9,\"b\":8}"));
    doc_assert_open("1 [\"/a\"] base={\"a\":1,\"b\":1} local={\"a\": 2, \"b\": 1, \"c\": 3};");
    assert_int_equal(resolve(1, SB_CHOICE_LOCAL, ""), 0);
    doc_assert("projects", "p1", "{\"a\": 2, \"b\": 8, \"c\": 3}");
}

static void losing_deletion_deletes_again(void **state)
{
    (void)state;
    start();
    doc_put("projects", "p1", "op-1", NULL);
    sent(1, MERGE, DOC(3, "{\"a\":9,\"b\":1}"));
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
    doc_assert_open("1 [\"\"] base={\"a\":1,\"b\":1} local=;");
    assert_int_equal(resolve(1, SB_CHOICE_LOCAL, ""), 0);
    doc_assert("projects", "p1", "-");
    doc_assert_operation(DOC_RECORDS, 2, "\"operation\":\"delete\"");
}

static void decision_while_a_switch_is_off_stays_here(void **state)
{
    (void)state;
    open_one();
    kit_begin();
    assert_int_equal(outbox_switch_set(kit_ob, "user-1", SB_UP_RECORDS, false, &kit_err), 0);
    kit_commit();
    assert_int_equal(resolve(1, SB_CHOICE_LOCAL, ""), 0);
    doc_assert("projects", "p1", "{\"a\": 3, \"b\": 2, \"c\": 1}");
    assert_int_equal(doc_made(DOC_RECORDS), 2);
}

/* ---- telling the cloud ---- */

static void assert_telling(const char *text)
{
    char after[SB_UUID_LEN + 1] = "";
    struct outbox_telling telling;
    struct sb_buf buf = {0};
    bool found = true;

    sb_buf_add_str(&buf, "");
    while (found) {
        assert_int_equal(outbox_next_telling(kit_ob, after, &telling, &found, &kit_err), 0);
        if (found) {
            assert_true(sb_uuid_valid(sb_span_of(telling.ask)));
            sb_buf_add_fmt(&buf, "%s %s %s x%zu;", telling.user, sb_choice_name(telling.choice),
                           telling.ops.ids[0], telling.ops.count);
            memcpy(after, telling.ask, sizeof(after));
        }
        sb_op_list_free(&telling.ops);
    }
    assert_string_equal(buf.data, text);
    sb_buf_free(&buf);
}

static void tell_first(void)
{
    struct outbox_telling telling;
    bool found;

    assert_int_equal(outbox_next_telling(kit_ob, "", &telling, &found, &kit_err), 0);
    assert_true(found);
    kit_begin();
    assert_int_equal(outbox_told(kit_ob, telling.ask, &kit_err), 0);
    kit_commit();
    sb_op_list_free(&telling.ops);
}

static void cloud_is_told_of_merges_and_decisions_until_it_has_answered(void **state)
{
    (void)state;
    open_one();
    assert_telling(""); /* it is open there too */
    assert_int_equal(resolve(1, SB_CHOICE_LOCAL, ""), 0);
    assert_telling("user-1 local op-1 x2;");
    tell_first();
    assert_telling("");
    kit_begin();
    assert_int_equal(outbox_tell_again(kit_ob, &kit_err), 0); /* it was rolled back */
    kit_commit();
    assert_telling("user-1 local op-1 x2;");
}

static void merged_operations_are_told_as_merged(void **state)
{
    (void)state;
    start();
    doc_put("projects", "p1", "op-1", "{\"a\":2,\"b\":1}");
    sent(1, MERGE, DOC(3, "{\"a\":1,\"b\":9}"));
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
    assert_telling("user-1 merge op-1 x1;");
}

static void long_chain_is_told_in_several_requests(void **state)
{
    char op_id[16], data[32];

    (void)state;
    start();
    for (int i = 1; i <= 250; i++) {
        snprintf(op_id, sizeof(op_id), "op-%d", i);
        snprintf(data, sizeof(data), "{\"a\":%d,\"b\":1}", i + 1);
        doc_put("projects", "p1", op_id, data);
    }
    for (uint64_t i = 1; i <= 250; i++)
        sent(i, MERGE, DOC(3, "{\"a\":1,\"b\":9}"));
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
    doc_assert("projects", "p1", "{\"a\": 251, \"b\": 9}");
    assert_int_equal(doc_made(DOC_RECORDS), 251);
    tell_first();
    tell_first();
    tell_first();
    assert_telling("");
}

static bool knows_id(const char *op_id)
{
    const struct sb_stream stream = {SB_UP_RECORDS, "user-1"};
    bool found;
    uint64_t hash;

    assert_int_equal(
        outbox_find_id(kit_ob, &stream, sb_span_of(op_id), &found, &hash, NULL, &kit_err), 0);
    return found;
}

/* As with a row that was purged: nothing of it stays. */
static void conflict_that_is_over_goes_with_its_id(void **state)
{
    (void)state;
    merged_operations_are_told_as_merged(state);
    kit_begin();
    assert_int_equal(outbox_conflicts_purge(kit_ob, kit_now.wall_us + 1, 0, 100, &kit_err), 0);
    kit_commit();
    assert_telling("user-1 merge op-1 x1;"); /* not before that */
    assert_true(knows_id("op-1"));
    tell_first();
    kit_begin();
    assert_int_equal(outbox_conflicts_purge(kit_ob, kit_now.wall_us, 0, 100, &kit_err), 0);
    kit_commit();
    assert_true(knows_id("op-1")); /* it is young */
    kit_begin();
    assert_int_equal(outbox_conflicts_purge(kit_ob, kit_now.wall_us + 1, 0, 100, &kit_err), 0);
    kit_commit();
    assert_false(knows_id("op-1"));
}

/* ---- decided there ---- */

static void decided_there(const char *op_id)
{
    struct sb_conflicts conflicts;
    struct sb_conflict_entry *entry;

    sb_conflicts_init(&conflicts);
    entry = sb_conflicts_add(&conflicts);
    snprintf(entry->user, sizeof(entry->user), "user-1");
    snprintf(entry->op_id, sizeof(entry->op_id), "%s", op_id);
    snprintf(entry->resolved_at, sizeof(entry->resolved_at), "2026-01-02T03:04:05Z");
    snprintf(entry->resolved_by, sizeof(entry->resolved_by), "_op-anna");
    entry->resolution = SB_CHOICE_SERVER;
    kit_begin();
    assert_int_equal(documents_resolved_there(kit_ob, &conflicts, kit_now.wall_us, &kit_err), 0);
    kit_commit();
    sb_conflicts_free(&conflicts);
}

static void conflict_that_an_operator_decided_is_closed_without_an_edit(void **state)
{
    struct sb_op_list ops = {0};
    int64_t after = 0;

    (void)state;
    open_one();
    assert_int_equal(outbox_conflict_ops(kit_ob, "user-1", &after, &ops, &kit_err), 0);
    assert_int_equal(ops.count, 2);
    decided_there("op-1"); /* of two: the other one is open there still */
    doc_assert_open("1 [\"/a\"] base={\"a\":1,\"b\":1} local={\"a\":3,\"b\":2};");
    decided_there("op-2");
    decided_there("op-2");
    decided_there("op-unknown");
    doc_assert_open("");
    doc_assert("projects", "p1", "{\"a\":9,\"b\":1,\"c\":1}");
    assert_int_equal(doc_made(DOC_RECORDS), 2);
    assert_telling(""); /* it knows */
    sb_op_list_free(&ops);
}

/* ---- a cloud that was rolled back (V7) ---- */

static void restored(const char *stream, uint64_t decided)
{
    struct reconcile_result result;
    struct sb_standing *standing;
    struct sb_welcome welcome;

    sb_welcome_init(&welcome);
    memcpy(welcome.boot, KIT_OTHER, sizeof(welcome.boot));
    welcome.restored = true;
    welcome.tables = sb_xcalloc(1, sizeof(*welcome.tables));
    welcome.table_count = 1;
    snprintf(welcome.tables[0], sizeof(welcome.tables[0]), "projects");
    assert_int_equal(lanes_load(&kit_lanes, kit_ob, &kit_err), 0);
    standing = sb_welcome_add(&welcome, kit_lanes.epoch, stream);
    if (decided > 0)
        sb_ranges_add(&standing->decided, 1, decided);
    kit_begin();
    assert_int_equal(reconcile_welcome(kit_ob, &kit_lanes, &welcome, &kit_rng, kit_now.wall_us,
                                       &result, &kit_err),
                     0);
    kit_commit();
    sb_welcome_free(&welcome);
}

static void put_of(const char *user, const char *op_id)
{
    struct document_name name;

    assert_int_equal(document_name_make(&name, user, "projects", "p1", &kit_err), 0);
    assert_int_equal(enqueue_document(doc_eq, &name, DOCUMENT_PUT, SB_SPAN("{}"), sb_span_of(op_id),
                                      kit_now, &kit_rng, NULL, &kit_err),
                     0);
    assert_int_equal(enqueue_commit(doc_eq, &kit_err), 0);
}

/* 1 applied, 2 in conflict, 3 merging and applied, 4 pending. */
static void four_operations(void)
{
    start();
    doc_put("projects", "p1", "op-1", "{\"a\":2,\"b\":1}");
    doc_acked(DOC_RECORDS, 1, 2);
    doc_put("projects", "p1", "op-2", "{\"a\":3,\"b\":1}");
    sent(2, MERGE, DOC(3, "{\"a\":2,\"b\":9}"));
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
    doc_acked(DOC_RECORDS, 3, 4);
    doc_put("projects", "p1", "op-4", "{\"a\":4,\"b\":9}");
}

static void applied_operations_go_again_and_those_in_conflict_become_holes(void **state)
{
    (void)state;
    four_operations();
    put_of("user-2", "op-x"); /* of another user, which has its own standing */
    restored(DOC_RECORDS, 1);
    kit_assert_ranges(&kit_load(DOC_RECORDS)->settled, "[]");
    kit_assert_holes("2-2 dead [\"op-2\"];");
    kit_assert_ranges(&kit_load(DOC_RECORDS)->refused, "[[2,2]]");
    assert_int_equal(doc_take("projects", "p1", DOC(9, "{}")), DOCUMENTS_PENDING); /* resent ones */
}

static void conflict_that_the_cloud_remembers_stays_what_it_is(void **state)
{
    (void)state;
    four_operations();
    restored(DOC_RECORDS, 2);
    kit_assert_ranges(&kit_load(DOC_RECORDS)->settled, "[[2,2]]");
    kit_assert_holes("");
}

static void operations_of_an_open_conflict_become_holes_and_it_stays_open(void **state)
{
    (void)state;
    open_one();
    restored(DOC_RECORDS, 0);
    kit_assert_holes("1-2 dead [\"op-1\",\"op-2\"];");
    doc_assert_open("1 [\"/a\"] base={\"a\":1,\"b\":1} local={\"a\":3,\"b\":2};");
    assert_int_equal(resolve(1, SB_CHOICE_LOCAL, ""), 0);
    doc_assert("projects", "p1", "{\"a\": 3, \"b\": 2, \"c\": 1}");
}

static void what_the_cloud_was_told_is_told_again(void **state)
{
    (void)state;
    four_operations();
    assert_telling("user-1 merge op-2 x1;");
    tell_first();
    assert_telling("");
    restored(DOC_RECORDS, 2);
    assert_telling("user-1 merge op-2 x1;");
}

/* ---- what must not happen ---- */

/* A merge of two good documents that no record can hold is for a person to decide. */
static void merge_that_cannot_be_sent_is_an_open_conflict(void **state)
{
    struct sb_buf mine = {0}, theirs = {0};

    (void)state;
    assert_int_equal(doc_take("projects", "p1", DOC(1, "{}")), DOCUMENTS_TAKEN);
    sb_buf_add_str(&mine, "{\"mine\":\"");
    sb_buf_add_str(&theirs, DOC_HEAD(3) "\"data\":{\"theirs\":\"");
    for (int i = 0; i < 600000; i++) {
        sb_buf_add_char(&mine, 'm');
        sb_buf_add_char(&theirs, 't');
    }
    sb_buf_add_str(&mine, "\"}");
    sb_buf_add_str(&theirs, "\"}}");
    doc_put("projects", "p1", "op-1", mine.data);
    sent(1, MERGE, theirs.data);
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
    assert_int_equal(doc_made(DOC_RECORDS), 1);
    assert_int_equal(resolve(1, SB_CHOICE_SERVER, ""), 0);
    doc_assert_open("");
    sb_buf_free(&mine);
    sb_buf_free(&theirs);
}

/* A crash between: either all of it is there, or nothing. */
static void mending_that_is_not_committed_never_was(void **state)
{
    const struct document_name name = {"user-1", "projects", "p1"};
    enum documents_mended mended;

    (void)state;
    start();
    doc_put("projects", "p1", "op-1", "{\"a\":2,\"b\":1}");
    sent(1, MERGE, DOC(3, "{\"a\":1,\"b\":9}"));
    kit_begin();
    assert_int_equal(documents_mend(&doc_env, &name, kit_now, &mended, &kit_err), 0);
    outbox_rollback(kit_ob);
    doc_assert("projects", "p1", "{\"a\":2,\"b\":1}");
    doc_assert_base("projects", "p1", "op-1", DOC_TAG(1));
    assert_int_equal(doc_made(DOC_RECORDS), 1);
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
    assert_int_equal(doc_made(DOC_RECORDS), 2);
}

static void full_outbox_does_not_stop_a_merge(void **state)
{
    struct outbox_config config = {
        .path = "file:/full?vfs=memdb", .max_bytes = 1, .create = true, .in_memory = true};
    const struct document_name name = {"user-1", "projects", "p1"};
    const struct outbox_id id = {SB_SPAN("op-1"), 1};
    const struct outbox_chunk chunk = {
        .stream = {SB_UP_RECORDS, "user-1"},
        .count = 1,
        .ids = &id,
        .doc = SB_SPAN("projects/p1"),
        .reserved = true,
        .device_boot = "",
        .before = SB_SPAN("{\"a\":1}"),
        .body = SB_SPAN("{\"op_id\":\"op-1\",\"hlc\":\"0000000000000009\",\"base\":null,"
                        "\"data\":{\"a\":2}}"),
    };
    const struct sb_conflict conflict = {.policy = MERGE};
    struct documents docs = doc_env;
    struct outbox_chunk late = chunk;
    enum documents_mended mended;
    struct outbox_place place;
    struct lane *lane;

    (void)state;
    assert_int_equal(outbox_open(&config, &kit_rng, &docs.ob, &kit_err), 0);
    assert_int_equal(outbox_begin(docs.ob, &kit_err), 0);
    assert_int_equal(outbox_append(docs.ob, &chunk, &place, &kit_err), 0);
    assert_int_equal(outbox_commit(docs.ob, &kit_err), 0);
    assert_int_equal(lanes_load(&kit_lanes, docs.ob, &kit_err), 0);
    lane = &kit_lanes.at[0];
    sb_ranges_add(&lane->settled, 1, 1);
    assert_int_equal(outbox_begin(docs.ob, &kit_err), 0);
    late.reserved = false;
    late.ids = &(const struct outbox_id){SB_SPAN("op-2"), 2};
    assert_int_equal(outbox_append(docs.ob, &late, &place, &kit_err), -SB_EDISK_FULL);
    assert_int_equal(outbox_conflict_add(docs.ob, lane->s, 1, &name, &conflict,
                                         SB_SPAN(DOC(3, "{\"a\":1,\"b\":9}")), kit_now.wall_us,
                                         &kit_err),
                     0);
    assert_int_equal(outbox_set_settled(docs.ob, lane->s, &lane->settled, &lane->refused, &kit_err),
                     0);
    assert_int_equal(documents_mend(&docs, &name, kit_now, &mended, &kit_err), 0);
    assert_int_equal(mended, DOCUMENTS_MENDED);
    assert_int_equal(outbox_commit(docs.ob, &kit_err), 0);
    outbox_close(docs.ob);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, doc_setup, doc_teardown)
    const struct CMUnitTest tests[] = {
        CASE(nothing_waiting_changes_nothing),
        CASE(edits_of_both_sides_become_one_operation),
        CASE(same_edit_on_both_sides_needs_no_operation),
        CASE(another_text_of_the_same_value_is_sent),
        CASE(mending_waits_until_nothing_is_pending),
        CASE(unsent_edit_counts_as_pending),
        CASE(local_edit_that_was_undone_frees_what_waits),
        CASE(run_that_is_based_on_something_else_is_merged_on_its_own),
        CASE(newest_answer_counts_not_the_highest_version),
        CASE(where_nothing_is_the_last_document_goes_as_a_new_one),
        CASE(deletion_where_nothing_is_ends_there),
        CASE(deletion_meets_an_untouched_document),
        CASE(document_that_did_not_fit_is_read_first),
        CASE(document_of_an_answer_that_is_overtaken_is_read_first),
        CASE(manual_opens_a_conflict_of_the_whole_document),
        CASE(server_and_local_decide_every_place),
        CASE(latest_compares_place_by_place),
        CASE(document_without_stamps_counts_as_changed_as_a_whole),
        CASE(arrays_are_merged_by_the_key_that_was_told),
        CASE(undecided_places_open_a_conflict_and_the_clouds_document_is_in_force),
        CASE(open_conflict_blocks_nothing),
        CASE(keeping_the_local_edit_sets_what_it_changed_again),
        CASE(keeping_what_is_there_already_makes_no_operation),
        CASE(using_the_servers_changes_nothing),
        CASE(merged_by_hand_is_an_ordinary_edit),
        CASE(keeping_edits_of_several_runs_sets_again_what_each_changed),
        CASE(losing_deletion_deletes_again),
        CASE(decision_while_a_switch_is_off_stays_here),
        CASE(cloud_is_told_of_merges_and_decisions_until_it_has_answered),
        CASE(merged_operations_are_told_as_merged),
        CASE(long_chain_is_told_in_several_requests),
        CASE(conflict_that_is_over_goes_with_its_id),
        CASE(conflict_that_an_operator_decided_is_closed_without_an_edit),
        CASE(applied_operations_go_again_and_those_in_conflict_become_holes),
        CASE(conflict_that_the_cloud_remembers_stays_what_it_is),
        CASE(operations_of_an_open_conflict_become_holes_and_it_stays_open),
        CASE(what_the_cloud_was_told_is_told_again),
        CASE(merge_that_cannot_be_sent_is_an_open_conflict),
        CASE(mending_that_is_not_committed_never_was),
        CASE(full_outbox_does_not_stop_a_merge),
    };
#undef CASE

    sb_log_init("test_conflicts", SB_LOG_BUG, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
