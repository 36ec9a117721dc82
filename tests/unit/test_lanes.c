/* The daemon's picture of the outbox: what is next, what is pending, what a hello says. */
#include "edge_kit.h"

#include <string.h>

#include "common/hello.h"

#define AIR  "sensors/air_quality"
#define USER "settings/user-1"

static void settle(struct lane *lane, uint64_t lo, uint64_t hi)
{
    sb_ranges_add(&lane->settled, lo, hi);
}

static void assert_work(const struct lane *lane, uint64_t lo, uint64_t hi, bool hole)
{
    struct work work;

    assert_true(lane_next_work(lane, &work));
    assert_int_equal(work.lo, lo);
    assert_int_equal(work.hi, hi);
    assert_int_equal(work.hole, hole);
}

static void lowest_open_numbers_come_first(void **state)
{
    struct lane *lane;
    struct work work;

    (void)state;
    kit_readings(10);
    lane = kit_load(AIR);
    assert_work(lane, 1, 10, false);
    settle(lane, 1, 2);
    sb_ranges_add(&lane->flying, 3, 4);
    settle(lane, 7, 8);
    assert_work(lane, 5, 6, false);
    sb_ranges_add(&lane->flying, 5, 6);
    assert_work(lane, 9, 10, false);
    sb_ranges_add(&lane->flying, 9, 9);
    assert_work(lane, 10, 10, false);
    settle(lane, 10, 10);
    assert_false(lane_next_work(lane, &work));
    assert_int_equal(lane_pending(lane), 5);
}

static void rows_and_holes_go_apart_and_in_order(void **state)
{
    struct lane *lane;

    (void)state;
    kit_readings(10);
    lane = kit_load(AIR);
    sb_ranges_add(&lane->holes, 4, 5);
    sb_ranges_add(&lane->holes, 8, 8);
    assert_work(lane, 1, 3, false);
    settle(lane, 1, 3);
    assert_work(lane, 4, 5, true);
    sb_ranges_add(&lane->flying, 4, 4);
    assert_work(lane, 5, 5, true);
    sb_ranges_add(&lane->flying, 5, 5);
    assert_work(lane, 6, 7, false);
}

static void what_the_file_says_is_loaded(void **state)
{
    struct sb_ranges settled = {0}, refused = {0};
    struct lane *lane;

    (void)state;
    kit_readings(9);
    lane = kit_load(AIR);
    sb_ranges_add(&settled, 1, 4);
    sb_ranges_add(&refused, 2, 2);
    kit_begin();
    assert_int_equal(outbox_set_settled(kit_ob, lane->s, &settled, &refused, &kit_err), 0);
    assert_int_equal(outbox_hole_add(kit_ob, lane->s, 6, 7, SB_HOLE_EVICTED, SB_SPAN(""), &kit_err),
                     0);
    kit_commit();
    sb_ranges_add(&lane->flying, 9, 9);
    lane = kit_load(AIR);
    kit_assert_ranges(&lane->settled, "[[1,4]]");
    kit_assert_ranges(&lane->refused, "[[2,2]]");
    kit_assert_ranges(&lane->holes, "[[6,7]]");
    kit_assert_ranges(&lane->flying, "[[9,9]]"); /* flights are not the file's business */
    sb_ranges_free(&settled);
    sb_ranges_free(&refused);
}

static void refresh_takes_numbers_and_streams_of_others_and_keeps_own_sets(void **state)
{
    struct lane *lane;

    (void)state;
    kit_readings(3);
    lane = kit_load(AIR);
    settle(lane, 1, 1);
    kit_readings(2);
    kit_edit("op-a");
    assert_int_equal(lanes_refresh(&kit_lanes, kit_ob, &kit_err), 0);
    lane = kit_lane(0, AIR);
    assert_int_equal(lane_made(lane), 5);
    kit_assert_ranges(&lane->settled, "[[1,1]]");
    assert_int_equal(lane_made(kit_lane(0, USER)), 1);
    assert_int_equal(lanes_pending(&kit_lanes), 5);
}

static void epochs_stand_in_the_order_they_were_made(void **state)
{
    (void)state;
    kit_readings(1);
    kit_edit("op-a");
    for (int i = 0; i < 4; i++) {
        kit_new_epoch();
        kit_edit(i == 0 ? "op-b" : i == 1 ? "op-c" : i == 2 ? "op-d" : "op-e");
        if (i == 2)
            kit_readings(2);
    }
    assert_int_equal(lanes_load(&kit_lanes, kit_ob, &kit_err), 0);
    assert_int_equal(kit_lanes.epoch_count, 5);
    for (size_t i = 1; i < kit_lanes.count; i++) {
        const struct lane *a = &kit_lanes.at[i - 1], *b = &kit_lanes.at[i];

        assert_true(a->epoch_n < b->epoch_n ||
                    (a->epoch_n == b->epoch_n && strcmp(a->name, b->name) < 0));
    }
    assert_int_equal(lanes_pending_named(&kit_lanes, USER), 5);
    assert_string_equal(kit_lanes.epoch, kit_lanes.epochs[4]);
}

static void hello_names_every_epoch_and_what_is_held(void **state)
{
    struct sb_hello hello;

    (void)state;
    kit_readings(5);
    kit_new_epoch();
    assert_int_equal(lanes_load(&kit_lanes, kit_ob, &kit_err), 0);
    settle(kit_lane(0, AIR), 2, 3);
    sb_hello_init(&hello);
    lanes_describe(&kit_lanes, &hello);
    assert_int_equal(hello.epoch_count, 2); /* the second has no stream yet */
    assert_string_equal(hello.epochs[1], kit_lanes.epoch);
    assert_int_equal(hello.claim_count, 1);
    assert_int_equal(hello.claims[0].made, 5);
    kit_assert_ranges(&hello.claims[0].settled, "[[2,3]]");
    kit_assert_ranges(&hello.claims[0].held, "[[1,1],[4,5]]");
    sb_hello_free(&hello);
}

static int64_t kept(void)
{
    int64_t bytes = -1;

    assert_int_equal(lanes_kept_bytes(&kit_lanes, kit_ob, &bytes, &kit_err), 0);
    return bytes;
}

static void a_backlog_does_not_count_as_kept_for_resending(void **state)
{
    struct lane *lane;
    int deleted = 0;

    (void)state;
    kit_readings(10);
    lane = kit_load(AIR);
    assert_int_equal(kept(), 0);
    settle(lane, 1, 10);
    assert_true(lane->row_bytes > 0);
    assert_int_equal(kept(), lane->row_bytes);
    kit_begin();
    assert_int_equal(
        outbox_purge(kit_ob, lane->s, &lane->settled, INT64_MAX, 0, 10, &deleted, &kit_err), 0);
    kit_commit();
    assert_int_equal(deleted, 1);
    kit_readings(10);
    assert_int_equal(lanes_refresh(&kit_lanes, kit_ob, &kit_err), 0);
    lane = kit_lane(0, AIR);
    assert_int_equal(kept(), 0); /* ten of twenty are settled, and none of those has a row */
    settle(lane, 11, 15);
    assert_int_equal(kept(), lane->row_bytes / 2);
}

static void parking_doubles_within_its_bounds(void **state)
{
    struct lane *lane;

    (void)state;
    kit_readings(1);
    lane = kit_load(AIR);
    lane_park(lane, 1000, 500, 3000, SB_EBUSY, "busy");
    assert_int_equal(lane->parked_until_ms, 1500);
    lane_park(lane, 2000, 500, 3000, SB_EBUSY, "busy");
    assert_int_equal(lane->parked_until_ms, 3000);
    lane_park(lane, 3000, 2500, 3000, SB_EBUSY, "retry_after_ms says so");
    assert_int_equal(lane->parked_until_ms, 5500);
    lane_park(lane, 6000, 500, 3000, SB_EBUSY, "busy");
    assert_int_equal(lane->parked_until_ms, 9000);
    lane_unpark(lane);
    lane_park(lane, 0, 500, 3000, SB_EBUSY, "busy");
    assert_int_equal(lane->parked_until_ms, 500);
    lane_unpark(lane);
    assert_int_equal(lane->park_code, SB_OK);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, kit_setup, kit_teardown)
    const struct CMUnitTest tests[] = {
        CASE(lowest_open_numbers_come_first),
        CASE(rows_and_holes_go_apart_and_in_order),
        CASE(what_the_file_says_is_loaded),
        CASE(refresh_takes_numbers_and_streams_of_others_and_keeps_own_sets),
        CASE(epochs_stand_in_the_order_they_were_made),
        CASE(hello_names_every_epoch_and_what_is_held),
        CASE(a_backlog_does_not_count_as_kept_for_resending),
        CASE(parking_doubles_within_its_bounds),
    };
#undef CASE

    return cmocka_run_group_tests(tests, NULL, NULL);
}
