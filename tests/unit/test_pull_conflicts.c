/* What reading and answers tell: changes to the application, decisions on conflicts to the cloud,
 * and decisions of others that are learnt. */
#include "pull_kit.h"

#include <string.h>

#include "common/log.h"
#include "common/request_conflicts.h"

/* ---- changes are told to the application ---- */

static void note_changed(void *ctx, const char *user, const char *table, const char *id)
{
    sb_buf_add_fmt(ctx, "%s/%s/%s;", user, table, id);
}

static void what_came_into_force_is_told_after_the_commit(void **state)
{
    struct sb_buf text = {0};

    (void)state;
    pull_begin();
    edge_on_changed(bench.edge, note_changed, &text);
    pull_put("p9", "op-1", "{}");
    bench_tick();
    bench_next_batch(PULL_RECORDS, 1, 1);
    pull_sync_projects();
    pull_answer(
        pull_next_changes("projects", 0),
        PULL_PAGE("projects",
                  PULL_CHANGE("p1", 2, "{}") "," PULL_GONE("p2", 3) "," PULL_CHANGE("p9", 4, "{}"),
                  5, 5, "false"));
    assert_string_equal(text.data, "user-1/projects/p1;user-1/projects/p2;");
    sb_buf_free(&text);
}

/* ---- conflicts ---- */

/* op-1 added n, somebody added m: {"m": 7, "n": 1} goes as one operation. */
static void conflict_is_merged_sent_and_told(void **state)
{
    struct sb_request request;
    struct sent *sent;
    struct sb_buf text = {0};

    (void)state;
    pull_begin();
    edge_on_changed(bench.edge, note_changed, &text);
    pull_put("p1", "op-1", "{\"n\": 1}");
    bench_tick();
    bench_answer(bench_next_batch(PULL_RECORDS, 1, 1), pull_says_conflict);
    bench_tick();
    pull_assert_document("p1", "{\"m\": 7, \"n\": 1}");
    assert_string_equal(text.data, "user-1/projects/p1;");
    sent = pull_next_request(SB_OP_CONFLICTS_RESOLVE, &request);
    assert_non_null(strstr(sent->json.data, "\"ops\":[\"op-1\"]"));
    assert_non_null(strstr(sent->json.data, "\"choice\":\"merge\""));
    bench_tick();
    bench_answer(bench_next_batch(PULL_RECORDS, 2, 2), NULL);
    bench_tick();
    /* lost with the process: the next one says it under the same id */
    bench_start();
    bench_open();
    bench.seen = bench.count - 3;
    {
        struct sb_request again;

        pull_next_request(SB_OP_CONFLICTS_RESOLVE, &again);
        assert_string_equal(again.id, request.id);
    }
    {
        struct sb_answer done = {.success = true,
                                 .commit = 77,
                                 .data = SB_SPAN("{\"resolved\":1,\"already\":0,\"unknown\":0,"
                                                 "\"version\":null,\"tag\":null}")};
        char boot[SB_UUID_LEN + 1];
        uint64_t commit;

        pull_send_answer(&bench.sent[bench.seen - 1], &done, KIT_INGEST);
        assert_int_equal(outbox_receipt_get(kit_ob, boot, &commit, &kit_err), 0);
        assert_int_equal(commit, 77);
    }
    bench.seen = bench.count;
    bench_tick();
    bench_pass(40000);
    bench_tick();
    for (size_t i = bench.seen; i < bench.count; i++)
        assert_null(strstr(bench.sent[i].json.data, SB_OP_CONFLICTS_RESOLVE));
    sb_buf_free(&text);
}

static void decision_that_the_cloud_refuses_for_now_is_told_later(void **state)
{
    struct sb_request request, again;

    (void)state;
    pull_begin();
    pull_put("p1", "op-1", "{\"n\": 1}");
    bench_tick();
    bench_answer(bench_next_batch(PULL_RECORDS, 1, 1), pull_says_conflict);
    bench_tick();
    pull_refuse(pull_next_request(SB_OP_CONFLICTS_RESOLVE, &request), SB_EBUSY);
    bench_answer(bench_next_batch(PULL_RECORDS, 2, 2), NULL);
    bench_tick();
    bench_assert_quiet();
    bench_pass(31000);
    bench_tick();
    pull_refuse(pull_next_request(SB_OP_CONFLICTS_RESOLVE, &again), SB_EFORBIDDEN);
    bench_pass(31000); /* and ever later */
    bench_tick();
    bench_assert_quiet();
    bench_pass(31000);
    bench_tick();
    pull_refuse(pull_next_request(SB_OP_CONFLICTS_RESOLVE, &again), SB_ENOT_FOUND); /* for good */
    assert_string_equal(again.id, request.id);
    bench_pass(100000);
    bench_tick();
    bench_assert_quiet();
}

static void read_as_other(const char *data)
{
    pull_answer_as(pull_next_read("p1"), data, KIT_OTHER);
    bench_tick();
}

/* The cloud was rolled back, and this user, who left, is not pulled: nothing finds out that the
 * cursor is gone, and the version seen here is one that there never was. */
static void conflict_of_a_user_who_left_is_merged_after_a_rollback(void **state)
{
    (void)state;
    pull_begin();
    pull_sync_projects();
    pull_answer(pull_next_changes("projects", 0),
                PULL_PAGE("projects", PULL_CHANGE("p1", 8, "{}"), 9, 9, "false"));
    kit_begin();
    assert_int_equal(outbox_user_remove(kit_ob, "user-1", &kit_err), 0);
    kit_commit();
    pull_welcome_of(KIT_OTHER);
    pull_put("p1", "op-1", "{\"n\": 1}");
    bench_tick();
    bench_answer(bench_next_batch(PULL_RECORDS, 1, 1), pull_says_conflict);
    bench_tick();
    read_as_other(PULL_DOCUMENT("p1", 7, "{\"m\": 7}"));
    bench_assert_quiet(); /* no storm */
    bench_pass(30000);
    bench_tick();
    read_as_other(PULL_DOCUMENT("p1", 7, "{\"m\": 7}"));
    pull_assert_document("p1", "{\"m\": 7, \"n\": 1}");
}

static void says_conflict_of_both(struct sb_reply *reply)
{
    pull_says_conflict(reply);
    sb_buf_clear(&reply->conflicts[0].server.data);
    sb_buf_add_str(&reply->conflicts[0].server.data, "{\"n\": 7}");
}

static void open_conflict_that_somebody_decided_is_closed_by_a_round(void **state)
{
    struct pull_outcome outcome = {0};
    struct sb_request request;
    struct sent *sent;
    uint64_t open;

    (void)state;
    pull_begin();
    pull_put("p1", "op-1", "{\"n\": 1}");
    bench_tick();
    bench_answer(bench_next_batch(PULL_RECORDS, 1, 1), says_conflict_of_both);
    bench_tick();
    pull_assert_document("p1", "{\"n\": 7}");
    assert_int_equal(outbox_open_conflict_count(kit_ob, "user-1", &open, &kit_err), 0);
    assert_int_equal(open, 1);
    bench_assert_quiet();
    pull_begin_round(&outcome, 0);
    sent = pull_next_request(SB_OP_CONFLICTS_LIST, &request);
    assert_non_null(strstr(sent->json.data, "\"ops\":[\"op-1\"]"));
    pull_answer(
        sent,
        "{\"conflicts\":[{\"id\":3,\"user\":\"user-1\",\"table\":\"projects\",\"document\":"
        "\"p1\",\"device\":\"edge-001\",\"op_id\":\"op-1\",\"code\":null,\"pointers\":[\"/n\"],"
        "\"hlc\":\"0000000000000001\",\"server_version\":7,\"opened_at\":"
        "\"2026-01-02T03:05:01Z\",\"resolved_at\":\"2026-01-02T03:06:01Z\",\"resolution\":"
        "\"server\",\"resolved_by\":\"_op-anna\"}],\"has_more\":false}");
    assert_int_equal(outbox_open_conflict_count(kit_ob, "user-1", &open, &kit_err), 0);
    assert_int_equal(open, 0);
    pull_answer(pull_next_changes("projects", 0),
                PULL_PAGE("projects", PULL_CHANGE("p1", 7, "{\"n\": 7}"), 7, 7, "false"));
    pull_answer(pull_next_changes("settings", 0), PULL_EMPTY("settings"));
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.code, SB_OK);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, pull_setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        CASE(what_came_into_force_is_told_after_the_commit),
        CASE(conflict_is_merged_sent_and_told),
        CASE(conflict_of_a_user_who_left_is_merged_after_a_rollback),
        CASE(decision_that_the_cloud_refuses_for_now_is_told_later),
        CASE(open_conflict_that_somebody_decided_is_closed_by_a_round),
    };
#undef CASE

    sb_log_init("test_pull_conflicts", SB_LOG_BUG, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
