/* Command history: identity, revisions, repeats, bad records. */
#include "cloud_kit.h"

#include <stdio.h>
#include <string.h>

#include "cloud_ingest/store_sqlite.h"

#define STREAM "history/user-1"
#define RECORD(id, status, hlc)                                                                    \
    "{\"command_id\":\"" id "\",\"trace_id\":\"run-1\",\"robot_id\":\"r1\","                       \
    "\"status\":\"" status "\",\"created_at\":\"2026-01-01T00:00:00+02:00\",\"hlc\":\"" hlc "\"}"

static int setup(void **state)
{
    int rc = kit_setup(state);

    if (rc == 0)
        kit_grant(*state, "user-1");
    return rc;
}

static struct sb_reply *put(struct kit *kit, uint64_t seq, const char *record)
{
    return kit_ask(kit, STREAM, seq, seq, "\"records\":[%s]", record);
}

static void a_device_without_a_binding_is_told_to_wait(void **state)
{
    struct kit *kit = *state;

    kit_sql(kit, "DELETE FROM bindings");
    kit_expect(put(kit, 1, RECORD("c1", "running", "0000000000000001")), SB_RESULT_RETRY, 0, 0, 0,
               0, 0);
    assert_int_equal(kit->reply.code, SB_EFORBIDDEN);
    kit_grant(kit, "user-1");
    kit_expect(put(kit, 1, RECORD("c1", "running", "0000000000000001")), SB_RESULT_STORED, 1, 0, 0,
               0, 0);
}

static void same_content_is_a_duplicate_other_content_a_revision(void **state)
{
    struct kit *kit = *state;
    struct sb_reply *reply;

    kit_expect(put(kit, 1, RECORD("c1", "running", "0000000000000001")), SB_RESULT_STORED, 1, 0, 0,
               0, 0);
    kit_expect(put(kit, 2, RECORD("c1", "succeeded", "0000000000000002")), SB_RESULT_STORED, 0, 0,
               1, 0, 0);
    reply = put(kit, 3, RECORD("c1", "running", "0000000000000009"));
    kit_expect(reply, SB_RESULT_DUPLICATE, 0, 1, 0, 0, 0);
    assert_int_equal(reply->total, 2);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM history"), 1);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM history_rev"), 2);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM dups"), 1);
    assert_int_equal(kit_count(kit, "SELECT stored = 1 AND revised = 1 AND duplicates = 1"
                                    " AND decided = '[[1,3]]' FROM streams"),
                     1);
}

static void a_repeat_of_the_batch_answers_the_same(void **state)
{
    struct kit *kit = *state;
    const char *records = "\"records\":[" RECORD("c1", "running", "0000000000000001") "," RECORD(
        "c1", "succeeded", "0000000000000002") "," RECORD("c1", "running", "0000000000000001") "]";

    kit_expect(kit_ask(kit, STREAM, 1, 3, "%s", records), SB_RESULT_STORED, 1, 1, 1, 0, 0);
    kit_restart(kit);
    kit_expect(kit_ask(kit, STREAM, 1, 3, "%s", records), SB_RESULT_DUPLICATE, 0, 3, 0, 0, 0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM history_rev"), 2);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM dups"), 1);
}

static void the_order_of_members_and_escapes_are_no_content(void **state)
{
    struct kit *kit = *state;

    put(kit, 1, RECORD("c1", "running", "0000000000000001"));
    kit_expect(put(kit, 2,
                   "{\"created_at\":\"2026-01-01T00:00:00+02:00\",\"robot_id\":\"r1\","
                   "\"command_id\":\"c\\u0031\", \"trace_id\":\"run-1\",\"status\":\"running\"}"),
               SB_RESULT_DUPLICATE, 0, 1, 0, 0, 0);
}

static void the_highest_hlc_is_the_latest_whenever_it_arrives(void **state)
{
    struct kit *kit = *state;
    const char latest[] = "SELECT r.body LIKE '%%succeeded%%' FROM history h JOIN history_rev r"
                          " ON r.rev = h.latest";

    put(kit, 1, RECORD("c1", "succeeded", "0000000000000005"));
    put(kit, 2, RECORD("c1", "running", "0000000000000004"));
    assert_int_equal(kit_count(kit, latest), 1);
    put(kit, 3, RECORD("c1", "failed", "0000000000000006"));
    assert_int_equal(kit_count(kit, latest), 0);
}

static int count_steps(void *steps)
{
    ++*(uint64_t *)steps;
    return 0;
}

/* SQLite's work for one more revision of c1, in tens of its instructions. */
static uint64_t work_of_one(struct kit *kit, uint64_t seq)
{
    uint64_t steps = 0;

    sqlite3_progress_handler(kit->store->db, 10, count_steps, &steps);
    kit_expect(kit_ask(kit, STREAM, seq, seq,
                       "\"records\":[{\"command_id\":\"c1\",\"status\":\"s%llu\","
                       "\"created_at\":\"2026-01-01T00:00:00Z\"}]",
                       (unsigned long long)seq),
               SB_RESULT_STORED, 0, 0, 1, 0, 0);
    sqlite3_progress_handler(kit->store->db, 0, NULL, NULL);
    return steps;
}

/* A robot that reports under one command_id for ever must not slow down the others' transactions.
 */
static void a_revision_costs_the_same_however_many_there_are(void **state)
{
    enum { MANY = 1000 };
    struct kit *kit = *state;
    struct sb_buf records = {0};
    uint64_t few;

    put(kit, 1, RECORD("c1", "running", "0000000000000001"));
    kit_ask(kit, STREAM, 2, 2,
            "\"records\":[{\"command_id\":\"c1\",\"created_at\":\"2026-01-01T00:00:00Z\"}]");
    few = work_of_one(kit, 3);
    for (uint64_t i = 0; i < MANY; i++)
        sb_buf_add_fmt(&records,
                       "%s{\"command_id\":\"c1\",\"status\":\"s%llu\","
                       "\"created_at\":\"2026-01-01T00:00:00Z\"}",
                       i > 0 ? "," : "", (unsigned long long)(i + 4));
    kit_expect(kit_ask(kit, STREAM, 4, 3 + MANY, "\"records\":[%s]", records.data),
               SB_RESULT_STORED, 0, 0, MANY, 0, 0);
    assert_in_range(work_of_one(kit, 4 + MANY), 1, 2 * few);
    assert_int_equal(kit_count(kit, "SELECT latest = (SELECT max(rev) FROM history_rev)"
                                    " FROM history WHERE place <> 'r1'"),
                     1);
    sb_buf_free(&records);
}

static void a_clock_far_ahead_is_taken_back_once(void **state)
{
    struct kit *kit = *state;

    put(kit, 1, RECORD("c1", "succeeded", "ffffffffffffffff"));
    kit->now.wall_us += 60000000;
    put(kit, 2, RECORD("c1", "archived", "019b9fabdeed0000"));
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM history_rev WHERE hlc < 0"), 2);
}

static void command_ids_are_reused_across_runs_and_robots(void **state)
{
    struct kit *kit = *state;
    const char base[] = "\"status\":\"done\",\"created_at\":\"2026-01-01T00:00:00Z\"}";
    const char records[] = "\"records\":[{\"command_id\":\"c\",\"trace_id\":\"t1\",%s,"
                           "{\"command_id\":\"c\",\"trace_id\":\"t2\",%s,"
                           "{\"command_id\":\"c\",\"trace_id\":null,%s,"
                           "{\"command_id\":\"c\",\"trace_id\":\"\",\"robot_id\":\"edge-001\",%s,"
                           "{\"command_id\":\"c\",\"robot_id\":\"r2\",%s]";

    kit_expect(kit_ask(kit, STREAM, 1, 5, records, base, base, base, base, base), SB_RESULT_STORED,
               4, 0, 1, 0, 0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM history"), 4);
}

static void bad_records_are_rejected_alone(void **state)
{
    struct kit *kit = *state;
    struct sb_reply *reply = kit_ask(
        kit, STREAM, 1, 7,
        "\"records\":[{\"created_at\":\"2026-01-01T00:00:00Z\"},"
        "{\"command_id\":7,\"created_at\":\"2026-01-01T00:00:00Z\"},"
        "{\"command_id\":\"\",\"created_at\":\"2026-01-01T00:00:00Z\"},"
        "{\"command_id\":\"a\"},{\"command_id\":\"a\",\"created_at\":\"2026\"},"
        "{\"command_id\":\"a\",\"created_at\":\"2026-01-01T00:00:00Z\",\"status\":1},\"text\"]");

    kit_expect(reply, SB_RESULT_REJECTED, 0, 0, 0, 7, 0);
    assert_int_equal(reply->rejected[0].code, SB_EMISSING_FIELD);
    assert_int_equal(reply->rejected[1].code, SB_EBAD_TYPE);
    assert_int_equal(reply->rejected[2].code, SB_EBAD_VALUE);
    assert_int_equal(reply->rejected[3].code, SB_EMISSING_FIELD);
    assert_int_equal(reply->rejected[4].code, SB_EBAD_VALUE);
    assert_int_equal(reply->rejected[5].code, SB_EBAD_TYPE);
    assert_int_equal(reply->rejected[6].code, SB_EBAD_TYPE);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM rejections"), 7);
    kit_expect(put(kit, 4, "{\"command_id\":\"a\"}"), SB_RESULT_REJECTED, 0, 0, 0, 1, 0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM rejections"), 7);
}

static void other_content_at_a_decided_number_is_kept_in_a_branch(void **state)
{
    struct kit *kit = *state;

    put(kit, 1, RECORD("c1", "running", "0000000000000001"));
    kit_expect(put(kit, 1, RECORD("c2", "running", "0000000000000002")), SB_RESULT_STORED, 1, 0, 0,
               0, 0);
    kit_expect(put(kit, 1, RECORD("c2", "running", "0000000000000002")), SB_RESULT_DUPLICATE, 0, 1,
               0, 0, 0);
    kit_expect(put(kit, 1, RECORD("c1", "running", "0000000000000001")), SB_RESULT_DUPLICATE, 0, 1,
               0, 0, 0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM history"), 2);
    assert_int_equal(kit_count(kit, "SELECT max(branch) FROM streams"), 1);
}

static void a_dropped_revision_cannot_be_verified(void **state)
{
    struct kit *kit = *state;
    struct sb_err err;

    put(kit, 1, RECORD("c1", "running", "0000000000000001"));
    put(kit, 2, RECORD("c1", "succeeded", "0000000000000002"));
    assert_int_equal(store_drop_record(kit->store, kit->device, kit->epoch, STREAM, 0, 2, &err), 0);
    assert_int_equal(kit_count(kit, "SELECT r.seq FROM history h JOIN history_rev r"
                                    " ON r.rev = h.latest"),
                     1);
    kit_expect(put(kit, 2, RECORD("c1", "succeeded", "0000000000000002")), SB_RESULT_REJECTED, 0, 0,
               0, 1, 0);
    assert_int_equal(kit->reply.rejected[0].code, SB_EUNVERIFIABLE);
    assert_int_equal(store_drop_record(kit->store, kit->device, kit->epoch, STREAM, 0, 1, &err), 0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM history"), 0);
}

struct page {
    char ids[256];
    size_t count;
};

static bool add_id(void *ctx, const struct history_info *info)
{
    struct page *page = ctx;

    snprintf(page->ids + strlen(page->ids), sizeof(page->ids) - strlen(page->ids), "%s:%d ",
             info->command_id, (int)info->revisions);
    return ++page->count < 10;
}

static void the_page_has_the_newest_commit_first(void **state)
{
    struct kit *kit = *state;
    struct page page = {.count = 0};
    struct sb_err err;
    uint64_t total;

    put(kit, 1, RECORD("c1", "running", "0000000000000001"));
    put(kit, 2, RECORD("c2", "running", "0000000000000002"));
    put(kit, 3, RECORD("c3", "running", "0000000000000003"));
    put(kit, 4, RECORD("c1", "succeeded", "0000000000000004"));
    assert_int_equal(store_history(kit->store, "user-1", 0, 0, add_id, &page, &total, &err), 0);
    assert_string_equal(page.ids, "c1:2 c3:1 c2:1 ");
    assert_int_equal(total, 3);
    page = (struct page){.count = 0};
    assert_int_equal(store_history(kit->store, "user-1", 1, 1, add_id, &page, &total, &err), 0);
    assert_string_equal(page.ids, "c3:1 ");
    assert_int_equal(total, 3);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_device_without_a_binding_is_told_to_wait),
        CASE(same_content_is_a_duplicate_other_content_a_revision),
        CASE(a_repeat_of_the_batch_answers_the_same),
        CASE(the_order_of_members_and_escapes_are_no_content),
        CASE(the_highest_hlc_is_the_latest_whenever_it_arrives),
        CASE(a_revision_costs_the_same_however_many_there_are),
        CASE(a_clock_far_ahead_is_taken_back_once),
        CASE(command_ids_are_reused_across_runs_and_robots),
        CASE(bad_records_are_rejected_alone),
        CASE(other_content_at_a_decided_number_is_kept_in_a_branch),
        CASE(a_dropped_revision_cannot_be_verified),
        CASE(the_page_has_the_newest_commit_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
