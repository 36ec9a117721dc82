/* The settings document of a device against the cloud's: V4 and V5 as far as the policy manual
 * needs them, and what happens to them across a restore of the cloud. */
#include "edge_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge_agent/enqueue.h"
#include "edge_agent/settings.h"

#define USER "settings/user-1"

/* A document in force with op-1, op-2, … as own edits, none answered. */
static void edit(const char *op_id, const char *document)
{
    static const struct enqueue_switches all_on = {true, true, true, true, 0};
    struct enqueue *eq = enqueue_new(kit_ob, &all_on, "");
    struct enqueue_receipt receipt;

    assert_int_equal(enqueue_settings(eq, "user-1", sb_span_of(document), sb_span_of(op_id),
                                      kit_now, &kit_rng, &receipt, &kit_err),
                     0);
    assert_int_equal(enqueue_commit(eq, &kit_err), 0);
    enqueue_free(eq);
}

/* Operation seq is answered conflict; the cloud has `server`. */
static void conflict(uint64_t seq, uint64_t as_of, const char *server)
{
    struct lane *lane = kit_load(USER);

    sb_ranges_add(&lane->settled, seq, seq);
    sb_ranges_add(&lane->refused, seq, seq);
    kit_begin();
    assert_int_equal(outbox_conflict_add(kit_ob, lane->s, seq, "user-1", SB_OK, SB_SPAN("[\"\"]"),
                                         sb_span_of(server), as_of, kit_now.wall_us, &kit_err),
                     0);
    assert_int_equal(outbox_set_settled(kit_ob, lane->s, &lane->settled, &lane->refused, &kit_err),
                     0);
    kit_commit();
}

static enum settings_applied apply(void)
{
    enum settings_applied applied;

    kit_begin();
    assert_int_equal(
        settings_apply_conflicts(kit_ob, "user-1", kit_now, &kit_rng, &applied, &kit_err), 0);
    kit_commit();
    return applied;
}

static int take(const char *document, enum settings_taken *taken)
{
    struct sb_document doc = {0};
    char id[SB_ID_MAX + 1];
    uint64_t as_of;
    int rc;

    assert_int_equal(sb_document_decode(sb_span_of(document), &doc, id, &as_of, &kit_err), 0);
    kit_begin();
    rc = settings_take(kit_ob, "user-1", &doc, as_of, kit_now, &kit_rng, taken, &kit_err);
    if (rc == 0)
        kit_commit();
    else
        outbox_rollback(kit_ob);
    sb_document_free(&doc);
    return rc;
}

static enum settings_taken taken(const char *document)
{
    enum settings_taken what;

    assert_int_equal(take(document, &what), 0);
    return what;
}

static void assert_in_force(const char *document, const char *last_op, const char *tag)
{
    struct outbox_settings settings;

    assert_int_equal(outbox_settings_get(kit_ob, "user-1", &settings, &kit_err), 0);
    assert_true(settings.exists);
    assert_string_equal(settings.doc.data, document);
    assert_string_equal(settings.last_op, last_op);
    assert_string_equal(settings.base_tag, tag);
    outbox_settings_fini(&settings);
}

#define HEAD(version, tag)                                                                         \
    "{\"id\":\"settings\",\"exists\":true,\"as_of\":" #version ",\"version\":" #version            \
    ",\"tag\":\"" tag "\",\"hlc\":\"0000000000000009\","
#define DOCUMENT(version, tag, data) HEAD(version, tag) "\"data\":" data "}"
#define UNREAD(version, tag)         HEAD(version, tag) "\"fetch\":true}"
#define DELETED(version, tag)        HEAD(version, tag) "\"deleted\":true}"
#define NOTHING(as_of)               "{\"id\":\"settings\",\"exists\":false,\"as_of\":" #as_of "}"
#define TAG_A                        "00000000000000aa"
#define TAG_B                        "00000000000000bb"

static int count_open(void *ctx, const struct outbox_conflict *open)
{
    *(int *)ctx += !open->in_force;
    return 0;
}

static void assert_open(int expected)
{
    int open = 0;

    assert_int_equal(outbox_conflicts(kit_ob, "user-1", count_open, &open, &kit_err), 0);
    assert_int_equal(open, expected);
}

/* ---- V4 ---- */

static void nothing_in_conflict_changes_nothing(void **state)
{
    (void)state;
    edit("op-1", "{\"v\":1}");
    assert_int_equal(apply(), SETTINGS_SAME);
    assert_in_force("{\"v\":1}", "op-1", "");
}

static void document_of_the_cloud_comes_into_force(void **state)
{
    (void)state;
    edit("op-1", "{\"v\":1}");
    conflict(1, 7, DOCUMENT(7, TAG_A, "{\"v\":9}"));
    assert_int_equal(apply(), SETTINGS_CHANGED);
    assert_in_force("{\"v\":9}", "", TAG_A);
    assert_open(0);
    assert_int_equal(apply(), SETTINGS_SAME);
}

static void last_answer_counts_not_the_highest_version(void **state)
{
    (void)state;
    edit("op-1", "{\"v\":1}");
    edit("op-2", "{\"v\":2}");
    conflict(1, 7, DOCUMENT(7, TAG_A, "{\"v\":9}"));
    conflict(2, 3, DOCUMENT(3, TAG_B, "{\"v\":8}")); /* the cloud was rolled back in between */
    assert_int_equal(apply(), SETTINGS_CHANGED);
    assert_in_force("{\"v\":8}", "", TAG_B);
    assert_open(0);
}

static void deleted_document_leaves_an_empty_one(void **state)
{
    (void)state;
    edit("op-1", "{\"v\":1}");
    conflict(1, 7, DELETED(7, TAG_A));
    assert_int_equal(apply(), SETTINGS_CHANGED);
    assert_in_force("{}", "", TAG_A);
}

static int print_body(void *ctx, const struct outbox_row *row)
{
    sb_buf_add_span(ctx, row->body);
    return 0;
}

static void where_nothing_is_the_last_document_goes_as_a_new_one(void **state)
{
    struct sb_buf body = {0};
    struct lane *lane;

    (void)state;
    edit("op-1", "{\"v\":1}");
    edit("op-2", "{\"v\":2}");
    conflict(1, 0, NOTHING(0));
    conflict(2, 0, NOTHING(0));
    assert_int_equal(apply(), SETTINGS_CHANGED);
    lane = kit_load(USER);
    assert_int_equal(lane_made(lane), 3);
    assert_int_equal(outbox_rows(kit_ob, lane->s, 3, 3, print_body, &body, &kit_err), 0);
    assert_non_null(strstr(body.data, "\"base\":null,\"settings\":{\"v\":2}"));
    assert_open(0);
    sb_buf_free(&body);
}

static void document_that_did_not_fit_is_not_taken_for_an_empty_one(void **state)
{
    (void)state;
    edit("op-1", "{\"v\":1}");
    conflict(1, 7, UNREAD(7, TAG_A));
    assert_int_equal(apply(), SETTINGS_UNREAD);
    assert_in_force("{\"v\":1}", "op-1", "");
    assert_open(1);
    assert_int_equal(taken(DOCUMENT(8, TAG_B, "{\"v\":9}")), SETTINGS_TAKEN); /* asked for */
    assert_in_force("{\"v\":9}", "", TAG_B);
    assert_open(0);
}

static void conflict_that_finds_nothing_when_read_goes_as_a_new_one(void **state)
{
    (void)state;
    edit("op-1", "{\"v\":1}");
    conflict(1, 7, UNREAD(7, TAG_A));
    assert_int_equal(taken(NOTHING(9)), SETTINGS_ABSENT);
    assert_int_equal(lane_made(kit_load(USER)), 2);
    assert_open(0);
}

/* ---- V5 ---- */

static void document_is_taken_unless_edits_are_pending(void **state)
{
    (void)state;
    assert_int_equal(taken(DOCUMENT(3, TAG_A, "{\"v\":9}")), SETTINGS_TAKEN);
    assert_in_force("{\"v\":9}", "", TAG_A);
    edit("op-1", "{\"v\":1}");
    assert_int_equal(taken(DOCUMENT(4, TAG_B, "{\"v\":8}")), SETTINGS_PENDING);
    assert_in_force("{\"v\":1}", "op-1", TAG_A);
}

static void older_document_is_not_taken(void **state)
{
    (void)state;
    assert_int_equal(taken(DOCUMENT(3, TAG_A, "{\"v\":9}")), SETTINGS_TAKEN);
    kit_begin();
    assert_int_equal(settings_seen(kit_ob, "user-1", 5, &kit_err), 0); /* an ack named it */
    kit_commit();
    assert_int_equal(taken(DOCUMENT(4, TAG_B, "{\"v\":8}")), SETTINGS_OLD);
    assert_int_equal(taken(NOTHING(4)), SETTINGS_OLD);
    assert_in_force("{\"v\":9}", "", TAG_A);
    assert_int_equal(taken(DOCUMENT(5, TAG_B, "{\"v\":8}")), SETTINGS_TAKEN);
}

static void absent_document_replaces_nothing(void **state)
{
    (void)state;
    assert_int_equal(taken(DOCUMENT(3, TAG_A, "{\"v\":9}")), SETTINGS_TAKEN);
    assert_int_equal(taken(NOTHING(4)), SETTINGS_ABSENT);
    assert_int_equal(taken(DELETED(5, TAG_B)), SETTINGS_ABSENT);
    assert_in_force("{\"v\":9}", "", TAG_A);
}

static void answer_without_the_document_is_an_error(void **state)
{
    enum settings_taken what;

    (void)state;
    assert_int_equal(taken(DOCUMENT(3, TAG_A, "{\"v\":9}")), SETTINGS_TAKEN);
    assert_int_equal(take(UNREAD(4, TAG_B), &what), -SB_ETOO_LARGE);
    assert_in_force("{\"v\":9}", "", TAG_A);
}

static void restored_cloud_may_be_read_below_what_was_seen(void **state)
{
    (void)state;
    assert_int_equal(taken(DOCUMENT(9, TAG_A, "{\"v\":9}")), SETTINGS_TAKEN);
    kit_begin();
    assert_int_equal(outbox_settings_forget_seen(kit_ob, &kit_err), 0);
    kit_commit();
    assert_int_equal(taken(DOCUMENT(4, TAG_B, "{\"v\":8}")), SETTINGS_TAKEN);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, kit_setup, kit_teardown)
    const struct CMUnitTest tests[] = {
        CASE(nothing_in_conflict_changes_nothing),
        CASE(document_of_the_cloud_comes_into_force),
        CASE(last_answer_counts_not_the_highest_version),
        CASE(deleted_document_leaves_an_empty_one),
        CASE(where_nothing_is_the_last_document_goes_as_a_new_one),
        CASE(document_that_did_not_fit_is_not_taken_for_an_empty_one),
        CASE(conflict_that_finds_nothing_when_read_goes_as_a_new_one),
        CASE(document_is_taken_unless_edits_are_pending),
        CASE(older_document_is_not_taken),
        CASE(absent_document_replaces_nothing),
        CASE(answer_without_the_document_is_an_error),
        CASE(restored_cloud_may_be_read_below_what_was_seen),
    };
#undef CASE

    return cmocka_run_group_tests(tests, NULL, NULL);
}
