/* The cloud is another one: the ingest of another boot, a cursor that it does not know (V6), a
 * cloud that was rolled back (V7). */
#include "pull_kit.h"

#include <string.h>

#include "common/log.h"

/* ---- another boot (V6) ---- */

static void another_boot_drops_the_page_position(void **state)
{
    (void)state;
    pull_begin();
    pull_sync_projects();
    pull_answer(pull_next_changes("projects", 0),
                PULL_PAGE("projects", PULL_CHANGE("p1", 2, "{\"n\":1}"), 2, 5, "true"));
    pull_next_changes("projects", 2); /* never answered */
    pull_welcome_of(KIT_OTHER);
    pull_next_changes("projects", 0); /* from the cursor */
    pull_next_changes("settings", 0);
}

static void answer_of_another_boot_is_dropped_and_makes_a_hello_due(void **state)
{
    struct sb_hello hello;

    (void)state;
    pull_begin();
    pull_sync_projects();
    pull_answer_as(pull_next_changes("projects", 0),
                   PULL_PAGE("projects", PULL_CHANGE("p1", 2, "{\"n\":1}"), 5, 5, "false"),
                   KIT_OTHER);
    bench_tick();
    pull_assert_document("p1", "-");
    pull_assert_cursor("projects", 0);
    bench_next_hello(&hello);
    bench_welcome(hello.nonce, KIT_INGEST, 9, false);
    bench_tick();
    pull_answer(pull_next_changes("projects", 0), /* the same request, said again */
                PULL_PAGE("projects", PULL_CHANGE("p1", 2, "{\"n\":1}"), 5, 5, "false"));
    pull_assert_document("p1", "{\"n\":1}");
    sb_hello_free(&hello);
}

static void welcome_of_another_boot_reads_again_what_was_seen_since(void **state)
{
    (void)state;
    pull_begin();
    pull_sync_projects();
    pull_answer(pull_next_changes("projects", 0),
                PULL_PAGE("projects", PULL_CHANGE("p1", 2, "{\"n\":1}"), 5, 5, "false"));
    pull_put("p2", "op-1", "{\"n\":2}"); /* acked above the cursor */
    bench_tick();
    bench_answer(bench_next_batch(PULL_RECORDS, 1, 1), NULL);
    kit_begin(); /* as its ack would have said */
    assert_int_equal(outbox_document_see(kit_ob,
                                         &(struct document_name){"user-1", "projects", "p2"},
                                         "op-1", 6, &kit_err),
                     0);
    kit_commit();
    bench_tick();
    pull_welcome_of(KIT_OTHER);
    pull_answer_as(pull_next_changes("projects", 5), PULL_PAGE("projects", "", 5, 5, "false"),
                   KIT_OTHER);
    bench_tick();
    pull_next_changes("settings", 0);
    pull_answer_as(pull_next_read("p2"), PULL_NOTHING("p2", 5),
                   KIT_OTHER); /* the other cloud lost it */
    bench_tick();
    pull_assert_document("p1", "{\"n\":1}"); /* below the cursor: as it was */
    pull_assert_document("p2", "-");
}

static void unknown_cursor_pulls_from_the_beginning_and_reads_what_that_does_not_bring(void **state)
{
    (void)state;
    pull_begin();
    pull_sync_projects();
    pull_answer(pull_next_changes("projects", 0),
                PULL_PAGE("projects",
                          PULL_CHANGE("p1", 2, "{\"n\":1}") "," PULL_CHANGE("p2", 3, "{\"n\":2}"),
                          5, 5, "false"));
    pull_sync_projects();
    pull_refuse(pull_next_changes("projects", 5), SB_ECURSOR_UNKNOWN);
    pull_assert_cursor("projects", 0);
    pull_answer(
        pull_next_changes("projects", 0),
        PULL_PAGE("projects", PULL_CHANGE("p1", 1, "{\"n\":0}"), 1, 1, "false")); /* rolled back */
    pull_assert_document("p1", "{\"n\":0}");
    pull_answer(pull_next_read("p2"), PULL_NOTHING("p2", 1));
    pull_assert_document("p2", "-");
    pull_assert_cursor("projects", 1);
    bench_assert_quiet();
}

/* ---- a cloud that was rolled back (V7) ---- */

/* A hello, and the welcome of a cloud that knows nothing any more; op-3 is made in between. */
static void restore_the_cloud(void)
{
    struct sb_hello hello;

    bench_online(KIT_OTHER);
    bench_tick();
    bench_puback(bench_next_hello(&hello), SB_OK);
    pull_put("p2", "op-3", "{\"n\":3}");
    bench_welcome(hello.nonce, KIT_OTHER, 1, true);
    bench_tick();
    sb_hello_free(&hello);
}

static struct sent *answered_batch(uint64_t lo, uint64_t hi)
{
    struct sent *batch = bench_next_batch(PULL_RECORDS, lo, hi);

    bench_answer(batch, NULL);
    bench_tick();
    return batch;
}

/* op-1 in the first epoch, op-2 on it in the second; both applied, then the cloud is rolled back.
 */
static void two_epochs_applied(void)
{
    bench_open();
    pull_put("p1", "op-1", "{\"n\": 1}");
    bench_tick();
    answered_batch(1, 1);
    kit_new_epoch();
    pull_put("p1", "op-2", "{\"n\": 2}");
    bench_tick();
    answered_batch(1, 1);
    bench_assert_quiet();
    restore_the_cloud();
}

static void assert_op(const struct sent *batch, const char *text)
{
    if (strstr(batch->json.data, text) == NULL)
        assert_string_equal(batch->json.data, text); /* shows both */
}

static void operations_of_every_epoch_go_again_before_newer_ones_with_their_base(void **state)
{
    const struct document_name name = pull_name("p1");
    struct sent *first, *second;
    bool pending;

    (void)state;
    two_epochs_applied();
    first = bench_next_batch(PULL_RECORDS, 1, 1);
    assert_op(first, "\"op_id\":\"op-1\"");
    assert_op(first, "\"base\":null");
    bench_assert_quiet(); /* one at a time, over all epochs */
    bench_answer(first, NULL);
    bench_tick();
    assert_int_equal(outbox_document_pending(kit_ob, &name, &pending, &kit_err), 0);
    assert_true(pending);
    second = bench_next_batch(PULL_RECORDS, 1, 2);
    assert_string_not_equal(second->epoch, first->epoch);
    assert_op(second, "\"op_id\":\"op-2\"");
    assert_op(second, "\"base\":{\"op_id\":\"op-1\"}");
    assert_true(strstr(second->json.data, "op-2") < strstr(second->json.data, "op-3"));
    bench_answer(second, NULL);
    bench_tick();
    assert_int_equal(outbox_document_pending(kit_ob, &name, &pending, &kit_err), 0);
    assert_false(pending);
    pull_assert_document("p1", "{\"n\": 2}");
    assert_int_equal(bench_status().pending, 0);
}

static void says_conflict_of_the_first(struct sb_reply *reply)
{
    pull_says_conflict(reply);
    reply->accepted = reply->last_seq - reply->first_seq;
}

/* V4 over the epochs: op-2 was made on op-1, so they are one run, from the document before op-1. */
static void chain_over_two_epochs_that_lost_is_merged_as_one(void **state)
{
    struct sent *merged;

    (void)state;
    two_epochs_applied();
    bench_answer(bench_next_batch(PULL_RECORDS, 1, 1), pull_says_conflict);
    bench_tick();
    pull_assert_document("p1", "{\"n\": 2}"); /* op-2 is pending again */
    bench_answer(bench_next_batch(PULL_RECORDS, 1, 2), says_conflict_of_the_first);
    bench_tick();
    pull_assert_document("p1", "{\"m\": 7, \"n\": 2}");
    bench_puback_all();
    bench_tick();
    while ((merged = bench_next())->kind != SB_KIND_BATCH) /* what became of them is told */
        bench_puback(merged, SB_OK);
    assert_op(merged, "\"base\":{\"tag\":\"" PULL_TAG(7) "\"},\"data\":{\"m\": 7, \"n\": 2}");
    assert_null(strstr(merged->json.data, "op-3"));
}

static void operation_that_is_kept_no_longer_is_a_hole_before_those_that_are(void **state)
{
    struct sent *hole;

    (void)state;
    bench_open();
    pull_put("p1", "op-1", "{\"n\": 1}");
    pull_put("p1", "op-2", "{\"n\": 2}");
    bench_tick();
    answered_batch(1, 2);
    kit_begin();
    assert_int_equal(outbox_rows_drop(kit_ob, kit_load(PULL_RECORDS)->s, 1, 1, &kit_err), 0);
    kit_commit();
    restore_the_cloud();
    hole = bench_next_batch(PULL_RECORDS, 1, 1);
    assert_true(hole->hole);
    assert_op(hole, "\"reason\":\"purged\"");
    bench_answer(hole, NULL);
    bench_tick();
    assert_op(answered_batch(2, 3), "\"base\":{\"op_id\":\"op-1\"}");
    pull_assert_document("p1", "{\"n\": 2}");
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, pull_setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        CASE(another_boot_drops_the_page_position),
        CASE(answer_of_another_boot_is_dropped_and_makes_a_hello_due),
        CASE(welcome_of_another_boot_reads_again_what_was_seen_since),
        CASE(unknown_cursor_pulls_from_the_beginning_and_reads_what_that_does_not_bring),
        CASE(operations_of_every_epoch_go_again_before_newer_ones_with_their_base),
        CASE(chain_over_two_epochs_that_lost_is_merged_as_one),
        CASE(operation_that_is_kept_no_longer_is_a_hole_before_those_that_are),
    };
#undef CASE

    sb_log_init("test_pull_restored", SB_LOG_BUG, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
