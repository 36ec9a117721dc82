/* When the edge's core reads from the cloud: what makes a pull due, who is pulled no longer,
 * rounds. */
#include "pull_kit.h"

#include "common/log.h"

/* ---- what makes a pull due ---- */

static void notify_pulls_the_table_that_it_names(void **state)
{
    (void)state;
    pull_begin();
    pull_notify("projects", 5);
    pull_answer(pull_next_changes("projects", 0), PULL_PAGE("projects", "", 5, 5, "false"));
    bench_assert_quiet();
    pull_notify("projects", 5); /* again, late */
    bench_assert_quiet();
    pull_notify("projects", 6);
    pull_next_changes("projects", 5);
    pull_notify("other", 7);
    bench_assert_quiet();
}

static void names_nine(struct sb_reply *reply)
{
    sb_reply_version(reply, reply->first_seq, 9);
}

/* A lost notify: a version that does not follow the last known one was made on others'. */
static void ack_that_leaves_a_gap_pulls(void **state)
{
    (void)state;
    pull_begin();
    pull_put("p1", "op-1", "{\"n\":1}");
    bench_tick();
    bench_answer(bench_next_batch(PULL_RECORDS, 1, 1), pull_names_one);
    bench_tick();
    bench_assert_quiet();
    pull_put("p1", "op-2", "{\"n\":2}");
    bench_tick();
    bench_answer(bench_next_batch(PULL_RECORDS, 2, 2), names_nine);
    bench_tick();
    pull_next_changes("projects", 0);
    bench_assert_quiet();
}

/* A cloud that was rolled back gives numbers again that were known here. */
static void ack_that_leaves_a_gap_pulls_after_a_rollback_too(void **state)
{
    struct sb_answer unknown = {.code = SB_ECURSOR_UNKNOWN, .reason = "no"};

    (void)state;
    pull_begin();
    pull_sync_projects();
    pull_answer(pull_next_changes("projects", 0), PULL_PAGE("projects", "", 9, 9, "false"));
    pull_welcome_of(KIT_OTHER);
    pull_send_answer(pull_next_changes("projects", 9), &unknown, KIT_OTHER);
    bench_tick();
    pull_answer_as(pull_next_changes("settings", 0), PULL_EMPTY("settings"), KIT_OTHER);
    pull_answer_as(pull_next_changes("projects", 0), PULL_PAGE("projects", "", 3, 3, "false"),
                   KIT_OTHER);
    bench_tick();
    pull_put("p1", "op-1", "{\"n\":1}");
    bench_tick();
    bench_answer(bench_next_batch(PULL_RECORDS, 1, 1), pull_names_six); /* 6 */
    bench_tick();
    pull_next_changes("projects", 3);
}

static void set_auto(const char *table, bool on)
{
    kit_begin();
    assert_int_equal(outbox_sync_set_auto(kit_ob, "user-1", table, on, &kit_err), 0);
    kit_commit();
    edge_wake(bench.edge);
    bench_tick();
}

static void table_without_auto_sync_is_pulled_when_asked_for_only(void **state)
{
    (void)state;
    pull_begin();
    set_auto("projects", false);
    pull_notify("projects", 5);
    bench_assert_quiet();
    assert_int_equal(edge_sync_scheduled(bench.edge, 0, kit_now, NULL, NULL, &kit_err), 0);
    bench_tick();
    pull_answer(pull_next_changes("settings", 0), PULL_EMPTY("settings"));
    bench_assert_quiet();
    pull_sync_projects();
    pull_next_changes("projects", 0);
}

/* ---- switches ---- */

static void switched(enum sb_up_class class, bool on)
{
    kit_begin();
    assert_int_equal(outbox_switch_set(kit_ob, "user-1", class, on, &kit_err), 0);
    kit_commit();
    edge_wake(bench.edge);
    bench_tick();
}

static void switched_off_lane_waits_without_an_alarm_and_its_rows_stay(void **state)
{
    (void)state;
    pull_begin();
    kit_now.wall_us++;
    kit_edit("op-a");
    kit_begin();
    assert_int_equal(outbox_switch_set(kit_ob, "user-1", SB_UP_SETTINGS, false, &kit_err), 0);
    kit_commit();
    edge_wake(bench.edge);
    bench_tick();
    bench_pass(100000);
    bench_tick();
    bench_assert_quiet();
    assert_int_equal(bench_status().pending, 1);
    assert_int_equal(bench_status().parked, 0);
    assert_int_equal(bench_status().last_error.code, SB_OK);
    pull_put("p1", "op-1", "{}"); /* other classes go on */
    bench_tick();
    bench_answer(bench_next_batch(PULL_RECORDS, 1, 1), NULL);
    bench_tick();
    pull_notify("settings", 5); /* nor is it pulled */
    bench_assert_quiet();
    switched(SB_UP_SETTINGS, true);
    bench_answer(bench_next_batch(BENCH_USER, 1, 1), NULL);
    bench_tick();
    assert_int_equal(bench_status().pending, 0);
}

static void user_that_leaves_is_pulled_no_longer(void **state)
{
    struct sent *page;

    (void)state;
    pull_begin();
    pull_sync_projects();
    page = pull_next_changes("projects", 0);
    kit_begin();
    assert_int_equal(outbox_user_remove(kit_ob, "user-1", &kit_err), 0);
    kit_commit();
    edge_wake(bench.edge);
    bench_tick();
    pull_answer(page, PULL_PAGE("projects", PULL_CHANGE("p1", 2, "{}"), 5, 5, "false"));
    pull_assert_document("p1", "-");
    bench_pass(60000);
    bench_tick();
    bench_assert_quiet();
}

/* As another process does it: nobody is woken. */
static void purge_user(bool back)
{
    kit_begin();
    assert_int_equal(outbox_user_remove(kit_ob, "user-1", &kit_err), 0);
    assert_int_equal(outbox_user_purge(kit_ob, "user-1", false, &kit_err), 0);
    if (back)
        assert_int_equal(outbox_user_add(kit_ob, "user-1", kit_now.wall_us + 1, &kit_err), 0);
    kit_commit();
}

static void page_of_a_purged_user_brings_nothing_back(void **state)
{
    struct sent *page;

    (void)state;
    pull_begin();
    pull_sync_projects();
    page = pull_next_changes("projects", 0);
    purge_user(false);
    pull_answer(page, PULL_PAGE("projects", PULL_CHANGE("p1", 2, "{}"), 5, 5, "false"));
    pull_assert_document("p1", "-");
    pull_assert_cursor("projects", 0);
}

static void user_that_was_purged_and_came_back_is_pulled_from_the_beginning(void **state)
{
    struct sent *page;

    (void)state;
    pull_begin();
    pull_sync_projects();
    pull_answer(pull_next_changes("projects", 0),
                PULL_PAGE("projects", PULL_CHANGE("p1", 2, "{}"), 2, 5, "true"));
    page = pull_next_changes("projects", 2);
    purge_user(true);
    pull_answer(page, PULL_PAGE("projects", PULL_CHANGE("p2", 5, "{}"), 5, 5, "false"));
    pull_assert_document("p2", "-");
    pull_assert_cursor("projects", 0);
    pull_sync_projects();
    pull_answer(pull_next_changes("projects", 0),
                PULL_PAGE("projects", PULL_CHANGE("p1", 2, "{}") "," PULL_CHANGE("p2", 5, "{}"), 5,
                          5, "false"));
    pull_assert_document("p1", "{}");
    pull_assert_document("p2", "{}");
}

static void read_of_a_purged_user_brings_nothing_back(void **state)
{
    struct sent *read;

    (void)state;
    pull_begin();
    pull_sync_projects();
    pull_answer(pull_next_changes("projects", 0),
                PULL_PAGE("projects", PULL_CHANGE("p1", 2, "{}"), 5, 5, "false"));
    kit_begin();
    assert_int_equal(outbox_documents_sweep(kit_ob, "user-1", "projects", &kit_err), 0);
    kit_commit();
    pull_sync_projects();
    pull_answer(pull_next_changes("projects", 5), PULL_PAGE("projects", "", 5, 5, "false"));
    read = pull_next_read("p1");
    purge_user(false);
    pull_answer(read, PULL_DOCUMENT("p1", 6, "{}"));
    pull_assert_document("p1", "-");
}

/* ---- rounds ---- */

static int copy_synced(void *ctx, const struct outbox_user *user)
{
    *(int64_t *)ctx = user->synced_us;
    return 0;
}

static void round_ends_when_everything_was_pulled_and_read(void **state)
{
    struct pull_outcome outcome = {0};
    struct sent *projects;
    int64_t at = 0;

    (void)state;
    pull_begin();
    pull_begin_round(&outcome, 0);
    projects = pull_next_changes("projects", 0);
    pull_answer(pull_next_changes("settings", 0), PULL_EMPTY("settings"));
    pull_answer(projects, PULL_PAGE("projects", PULL_CHANGE("p1", 2, "{}") "," PULL_LARGE("p2", 3),
                                    5, 5, "false"));
    assert_int_equal(outcome.calls, 0);
    pull_answer(pull_next_read("p2"), PULL_DOCUMENT("p2", 3, "{}"));
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.code, SB_OK);
    assert_int_equal(outcome.synced.changes, 2);
    assert_int_equal(outcome.synced.taken, 2);
    assert_int_equal(outcome.synced.stale, 0);
    assert_int_equal(outcome.synced.failed, 0);
    assert_int_equal(outbox_users(kit_ob, copy_synced, &at, &kit_err), 0);
    assert_int_equal(at, kit_now.wall_us);
}

static void round_with_a_failure_tells_it_and_goes_on(void **state)
{
    struct pull_outcome outcome = {0};
    struct sent *projects;
    int64_t at = 0;

    (void)state;
    pull_begin();
    pull_begin_round(&outcome, 0);
    projects = pull_next_changes("projects", 0);
    pull_answer(pull_next_changes("settings", 0), PULL_EMPTY("settings"));
    pull_refuse(projects, SB_EFORBIDDEN);
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.code, SB_EFORBIDDEN);
    assert_int_equal(outcome.synced.failed, 1);
    assert_int_equal(outbox_users(kit_ob, copy_synced, &at, &kit_err), 0);
    assert_int_equal(at, 0);
    bench_pass(30000);
    bench_tick();
    pull_next_changes("projects", 0);
}

static void round_that_takes_too_long_is_told_and_goes_on(void **state)
{
    struct pull_outcome outcome = {0};
    struct sent *projects;

    (void)state;
    pull_begin();
    pull_begin_round(&outcome, 800);
    projects = pull_next_changes("projects", 0);
    pull_answer(pull_next_changes("settings", 0), PULL_EMPTY("settings"));
    bench_pass(799);
    bench_tick();
    assert_int_equal(outcome.calls, 0);
    assert_true(edge_deadline(bench.edge) <= kit_now.mono_ms + 1);
    bench_pass(1);
    bench_tick();
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.code, SB_ETIMEOUT);
    pull_answer(projects, PULL_PAGE("projects", "", 5, 5, "false"));
    pull_assert_cursor("projects", 5);
    assert_int_equal(outcome.calls, 1);
}

/* What was asked for before does not answer for what happened since. */
static void round_that_joins_a_pull_waits_for_another_one(void **state)
{
    struct pull_outcome first = {0}, second = {0};

    (void)state;
    pull_begin();
    assert_int_equal(
        edge_sync(bench.edge, "user-1", "projects", 0, kit_now, pull_synced, &first, &kit_err), 0);
    bench_tick();
    assert_int_equal(
        edge_sync(bench.edge, "user-1", "projects", 0, kit_now, pull_synced, &second, &kit_err), 0);
    bench_tick();
    pull_answer(pull_next_changes("projects", 0), PULL_PAGE("projects", "", 5, 5, "false"));
    assert_int_equal(first.calls, 1);
    assert_int_equal(second.calls, 0);
    bench_tick();
    pull_answer(pull_next_changes("projects", 5), PULL_PAGE("projects", "", 5, 5, "false"));
    assert_int_equal(second.calls, 1);
    bench_assert_quiet();
}

static void too_many_rounds_are_refused(void **state)
{
    struct pull_outcome outcome = {0};

    (void)state;
    pull_begin();
    for (int i = 0; i < EDGE_SYNCS_MAX; i++)
        pull_begin_round(&outcome, 0);
    assert_int_equal(
        edge_sync(bench.edge, "user-1", NULL, 0, kit_now, pull_synced, &outcome, &kit_err),
        -SB_EBUSY);
}

static void what_is_wanted_is_pulled_and_takes_no_place(void **state)
{
    (void)state;
    pull_begin();
    assert_int_equal(edge_want(bench.edge, "nobody", NULL, &kit_err), -SB_ENOT_FOUND);
    for (int i = 0; i <= EDGE_SYNCS_MAX; i++)
        assert_int_equal(edge_want(bench.edge, "user-1", "projects", &kit_err), 0);
    bench_tick();
    pull_answer(pull_next_changes("projects", 0), PULL_PAGE("projects", "", 5, 5, "false"));
    pull_assert_cursor("projects", 5);
    bench_tick();
    bench_assert_quiet();
}

static void round_without_users_ends_at_once(void **state)
{
    struct pull_outcome outcome = {0};

    (void)state;
    bench_open();
    assert_int_equal(edge_sync(bench.edge, NULL, NULL, 0, kit_now, pull_synced, &outcome, &kit_err),
                     0);
    bench_tick();
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.code, SB_OK);
}

static void round_while_offline_waits_for_the_welcome(void **state)
{
    struct pull_outcome outcome = {0};

    (void)state;
    pull_begin();
    bench_disconnect();
    pull_begin_round(&outcome, 0);
    bench_assert_quiet();
    bench_connect();
    bench_tick();
    bench.seen = bench.count - 1;
    {
        struct sb_hello hello;

        bench_next_hello(&hello);
        bench_welcome(hello.nonce, KIT_INGEST, 9, false);
        sb_hello_free(&hello);
    }
    bench_tick();
    pull_answer(pull_next_changes("projects", 0), PULL_EMPTY("projects"));
    pull_answer(pull_next_changes("settings", 0), PULL_EMPTY("settings"));
    assert_int_equal(outcome.calls, 1);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, pull_setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        CASE(notify_pulls_the_table_that_it_names),
        CASE(ack_that_leaves_a_gap_pulls),
        CASE(ack_that_leaves_a_gap_pulls_after_a_rollback_too),
        CASE(table_without_auto_sync_is_pulled_when_asked_for_only),
        CASE(switched_off_lane_waits_without_an_alarm_and_its_rows_stay),
        CASE(user_that_leaves_is_pulled_no_longer),
        CASE(page_of_a_purged_user_brings_nothing_back),
        CASE(user_that_was_purged_and_came_back_is_pulled_from_the_beginning),
        CASE(read_of_a_purged_user_brings_nothing_back),
        CASE(round_ends_when_everything_was_pulled_and_read),
        CASE(round_with_a_failure_tells_it_and_goes_on),
        CASE(round_that_takes_too_long_is_told_and_goes_on),
        CASE(round_that_joins_a_pull_waits_for_another_one),
        CASE(too_many_rounds_are_refused),
        CASE(what_is_wanted_is_pulled_and_takes_no_place),
        CASE(round_without_users_ends_at_once),
        CASE(round_while_offline_waits_for_the_welcome),
    };
#undef CASE

    sb_log_init("test_pull_due", SB_LOG_BUG, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
