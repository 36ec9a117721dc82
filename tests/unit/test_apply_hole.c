/* Declared holes: kept as declared, naming operations on ordered streams, touching nothing else. */
#include "cloud_kit.h"

#include <stdio.h>
#include <string.h>

#include "cloud_ingest/limits.h"

#define STREAM "settings/user-1"

static int setup(void **state)
{
    int rc = kit_setup(state);

    if (rc == 0)
        kit_grant(*state, "user-1");
    if (rc == 0)
        kit_policy(*state, SB_POLICY_MANUAL);
    return rc;
}

static struct sb_reply *put(struct kit *kit, uint64_t seq, const char *op)
{
    return kit_ask(kit, STREAM, seq, seq,
                   "\"records\":[{\"op_id\":\"%s\",\"base\":null,\"settings\":{}}]", op);
}

static void a_named_operation_is_refused_at_its_number_and_only_there(void **state)
{
    struct kit *kit = *state;

    kit_expect(
        kit_ask(kit, STREAM, 1, 2, "\"hole\":{\"reason\":\"evicted\",\"ops\":[\"a\",\"b\"]}"),
        SB_RESULT_STORED, 2, 0, 0, 0, 0);
    kit_expect(put(kit, 1, "a"), SB_RESULT_REJECTED, 0, 0, 0, 1, 0);
    assert_int_equal(kit->reply.rejected[0].code, SB_EDECLARED_HOLE);
    assert_int_equal(kit_count(kit, "SELECT decided = '[]' FROM streams"), 1);
    kit_expect(put(kit, 3, "a"), SB_RESULT_STORED, 1, 0, 0, 0, 0);
    kit_restart(kit);
    kit_expect(put(kit, 2, "b"), SB_RESULT_REJECTED, 0, 0, 0, 1, 0);
    kit_expect(put(kit, 2, "other"), SB_RESULT_CONFLICT, 0, 0, 0, 0, 1);
    assert_int_equal(kit_count(kit, "SELECT decided = '[[2,3]]' FROM streams"), 1);
    kit_expect(put(kit, 1, "a"), SB_RESULT_DUPLICATE, 0, 1, 0, 0, 0);
    assert_int_equal(kit_count(kit, "SELECT decided = '[[2,3]]' FROM streams"), 1);
}

static void a_hole_that_names_none_covers_every_unknown_operation(void **state)
{
    struct kit *kit = *state;

    put(kit, 1, "a");
    kit_expect(kit_ask(kit, STREAM, 1, 3, "\"hole\":{\"reason\":\"purged\"}"), SB_RESULT_STORED, 2,
               1, 0, 0, 0);
    kit_expect(put(kit, 2, "x"), SB_RESULT_REJECTED, 0, 0, 0, 1, 0);
    assert_int_equal(kit->reply.rejected[0].code, SB_EDECLARED_HOLE);
    kit_expect(put(kit, 3, "a"), SB_RESULT_DUPLICATE, 0, 1, 0, 0, 0);
    assert_int_equal(kit_count(kit, "SELECT first_seq = 2 AND last_seq = 3 FROM holes"), 1);
    kit_expect(put(kit, 1, "y"), SB_RESULT_CONFLICT, 0, 0, 0, 0, 1);
}

static void a_list_may_leave_some_unknown(void **state)
{
    struct kit *kit = *state;

    kit_expect(kit_ask(kit, STREAM, 1, 4,
                       "\"hole\":{\"reason\":\"corrupt\",\"ops\":[\"a\",null,null,\"d\"]}"),
               SB_RESULT_STORED, 4, 0, 0, 0, 0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM holes"), 3);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM hole_ops"), 2);
    kit_expect(put(kit, 2, "z"), SB_RESULT_REJECTED, 0, 0, 0, 1, 0);
    kit_expect(put(kit, 1, "z"), SB_RESULT_STORED, 1, 0, 0, 0, 0);
    kit_restart(kit);
    kit_expect(kit_ask(kit, STREAM, 1, 4,
                       "\"hole\":{\"reason\":\"corrupt\",\"ops\":[\"a\",null,null,\"d\"]}"),
               SB_RESULT_DUPLICATE, 0, 4, 0, 0, 0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM holes"), 3);
}

static void a_hole_over_decided_numbers_is_kept_where_it_names_them(void **state)
{
    struct kit *kit = *state;

    put(kit, 1, "a");
    put(kit, 2, "b");
    kit_expect(kit_ask(kit, STREAM, 1, 2, "\"hole\":{\"reason\":\"dead\",\"ops\":[\"q\",null]}"),
               SB_RESULT_DUPLICATE, 0, 2, 0, 0, 0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM hole_ops WHERE op_id = 'q'"), 1);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM holes"), 1);
    kit_expect(put(kit, 1, "q"), SB_RESULT_REJECTED, 0, 0, 0, 1, 0);
    kit_expect(put(kit, 2, "r"), SB_RESULT_CONFLICT, 0, 0, 0, 0, 1);
}

static void two_operations_may_be_named_at_one_number(void **state)
{
    struct kit *kit = *state;

    kit_ask(kit, STREAM, 1, 1, "\"hole\":{\"reason\":\"evicted\",\"ops\":[\"a\"]}");
    kit_expect(kit_ask(kit, STREAM, 1, 1, "\"hole\":{\"reason\":\"dead\",\"ops\":[\"b\"]}"),
               SB_RESULT_DUPLICATE, 0, 1, 0, 0, 0);
    kit_expect(put(kit, 1, "a"), SB_RESULT_REJECTED, 0, 0, 0, 1, 0);
    kit_expect(put(kit, 1, "b"), SB_RESULT_REJECTED, 0, 0, 0, 1, 0);
}

static void a_huge_hole_costs_one_row_and_tells_operators(void **state)
{
    struct kit *kit = *state;

    kit_expect(kit_ask(kit, "sensors/system", 1, 9007199254740990,
                       "\"hole\":{\"reason\":\"purged\",\"summary\":{\"count\":5},"
                       "\"ts_from\":\"2026-01-01T00:00:00Z\"}"),
               SB_RESULT_STORED, 9007199254740990, 0, 0, 0, 0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM holes WHERE summary = '{\"count\":5}'"),
                     1);
    assert_int_equal(kit_published(kit, "\"event\":\"hole\""), 1);
    kit_expect(kit_ask(kit, "sensors/system", 5, 7, "\"hole\":{\"reason\":\"evicted\"}"),
               SB_RESULT_DUPLICATE, 0, 3, 0, 0, 0);
}

/* Numbers with and without an operation in turns are one hole, but as many runs that name none. */
static void runs_that_name_none_are_bounded_as_well(void **state)
{
    enum { EACH = 1000 };
    struct kit *kit = *state;
    struct sb_buf ops = {0};
    uint64_t seq = 1;
    int64_t runs;

    for (int i = 0; i < EACH; i += 2)
        sb_buf_add_str(&ops, i > 0 ? ",\"a\",null" : "\"a\",null");
    do {
        kit_ask(kit, STREAM, seq, seq + EACH - 1, "\"hole\":{\"reason\":\"dead\",\"ops\":[%s]}",
                ops.data);
        seq += EACH;
    } while (kit->reply.result == SB_RESULT_STORED && seq < 3 * LIMIT_INTERVALS);
    runs = kit_count(kit, "SELECT count(*) FROM holes WHERE named = 0");
    assert_in_range(runs, LIMIT_INTERVALS / 2, LIMIT_INTERVALS);
    assert_int_equal(kit->reply.result, SB_RESULT_RETRY);
    assert_int_equal(kit->reply.code, SB_ELIMIT);
    sb_buf_free(&ops);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_named_operation_is_refused_at_its_number_and_only_there),
        CASE(a_hole_that_names_none_covers_every_unknown_operation),
        CASE(a_list_may_leave_some_unknown),
        CASE(a_hole_over_decided_numbers_is_kept_where_it_names_them),
        CASE(two_operations_may_be_named_at_one_number),
        CASE(a_huge_hole_costs_one_row_and_tells_operators),
        CASE(runs_that_name_none_are_bounded_as_well),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
