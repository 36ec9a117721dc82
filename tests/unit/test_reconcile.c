/* Rule D3: what a whole welcome changes, case by case. */
#include "edge_kit.h"

#include <string.h>

#include "edge_agent/reconcile.h"

#define AIR  "sensors/air_quality"
#define USER "settings/user-1"

static struct sb_welcome welcome;
static struct reconcile_result result;

static int setup(void **state)
{
    sb_welcome_init(&welcome);
    memcpy(welcome.boot, KIT_INGEST, sizeof(welcome.boot));
    welcome.commit = 77;
    return kit_setup(state);
}

static int teardown(void **state)
{
    sb_welcome_free(&welcome);
    return kit_teardown(state);
}

/* The cloud knows lo..hi as decided (0 = nothing) and the hole. */
static void told(const char *epoch, const char *stream, uint64_t lo, uint64_t hi, uint64_t hole_lo,
                 uint64_t hole_hi)
{
    struct sb_standing *standing = sb_welcome_add(&welcome, epoch, stream);

    if (lo > 0)
        sb_ranges_add(&standing->decided, lo, hi);
    if (hole_lo > 0)
        sb_ranges_add(&standing->holes, hole_lo, hole_hi);
}

static void reconcile(void)
{
    kit_begin();
    assert_int_equal(reconcile_welcome(kit_ob, &kit_lanes, &welcome, &kit_rng, kit_now.wall_us,
                                       &result, &kit_err),
                     0);
    kit_commit();
}

static void settle(const char *stream, uint64_t lo, uint64_t hi)
{
    struct lane *lane = kit_load(stream);

    sb_ranges_add(&lane->settled, lo, hi);
    kit_begin();
    assert_int_equal(outbox_set_settled(kit_ob, lane->s, &lane->settled, &lane->refused, &kit_err),
                     0);
    kit_commit();
}

static void refuse(const char *stream, uint64_t seq)
{
    struct lane *lane = kit_load(stream);

    sb_ranges_add(&lane->settled, seq, seq);
    sb_ranges_add(&lane->refused, seq, seq);
    kit_begin();
    assert_int_equal(outbox_dead_add(kit_ob, lane->s, seq, SB_EBAD_VALUE, "", 0, &kit_err), 0);
    assert_int_equal(outbox_set_settled(kit_ob, lane->s, &lane->settled, &lane->refused, &kit_err),
                     0);
    kit_commit();
}

static void purge(const char *stream)
{
    struct lane *lane = kit_load(stream);
    int deleted;

    kit_begin();
    assert_int_equal(outbox_purge(kit_ob, lane->s, &lane->settled, kit_now.wall_us + 1, 0, 100,
                                  &deleted, &kit_err),
                     0);
    kit_commit();
}

/* Memory and file say the same. */
static void assert_settled(unsigned epoch, const char *stream, const char *text)
{
    kit_assert_ranges(&kit_lane(epoch, stream)->settled, text);
    assert_int_equal(lanes_load(&kit_lanes, kit_ob, &kit_err), 0);
    kit_assert_ranges(&kit_lane(epoch, stream)->settled, text);
}

static uint64_t seen(void)
{
    struct outbox_document doc;
    uint64_t version;

    kit_settings(&doc);
    version = doc.seen;
    outbox_document_fini(&doc);
    return version;
}

/* V6: what was seen since the last pull ended may never have been. */
static void welcome_of_another_boot_forgets_the_loose_versions_seen(void **state)
{
    const struct document_name name = {"user-1", "settings", "settings"};
    const struct outbox_document doc = {.seen = 9, .loose = true};

    (void)state;
    kit_readings(1);
    kit_begin();
    assert_int_equal(outbox_receipt_set(kit_ob, KIT_INGEST, 5, &kit_err), 0);
    assert_int_equal(outbox_document_set(kit_ob, &name, &doc, &kit_err), 0);
    kit_commit();
    kit_load(AIR);
    reconcile();
    assert_int_equal(seen(), 9);
    memcpy(welcome.boot, KIT_OTHER, sizeof(welcome.boot));
    reconcile();
    assert_int_equal(seen(), 0);
}

static void welcome_settles_nothing(void **state)
{
    (void)state;
    kit_readings(5);
    kit_load(AIR);
    told(kit_lanes.epoch, AIR, 1, 5, 0, 0);
    reconcile();
    assert_settled(0, AIR, "[]");
    assert_false(result.restored);
    assert_false(result.new_epoch);
}

static void receipt_is_the_welcomes(void **state)
{
    char boot[SB_UUID_LEN + 1];
    uint64_t commit;

    (void)state;
    kit_readings(1);
    kit_begin();
    assert_int_equal(outbox_receipt_set(kit_ob, KIT_OTHER, 9999, &kit_err), 0);
    kit_commit();
    kit_load(AIR);
    reconcile();
    assert_int_equal(outbox_receipt_get(kit_ob, boot, &commit, &kit_err), 0);
    assert_string_equal(boot, KIT_INGEST);
    assert_int_equal(commit, 77); /* the lower number of another boot counts */
}

/* Without `restored` a settled number that the cloud does not name is no gap. */
static void missing_numbers_alone_are_no_restore(void **state)
{
    (void)state;
    kit_readings(5);
    settle(AIR, 1, 5);
    told(kit_lanes.epoch, AIR, 1, 2, 0, 0);
    reconcile();
    assert_settled(0, AIR, "[[1,5]]");
    kit_assert_holes("");
}

static void restored_cloud_gets_all_kept_rows_again(void **state)
{
    (void)state;
    kit_readings(3);
    kit_readings(3);
    settle(AIR, 1, 6);
    welcome.restored = true;
    told(kit_lanes.epoch, AIR, 1, 4, 0, 0);
    reconcile();
    assert_true(result.restored);
    assert_int_equal(result.unsettled, 6); /* also what the cloud still names: to be compared */
    assert_settled(0, AIR, "[]");
    kit_assert_holes("");
}

static void restored_cloud_makes_holes_of_what_is_gone(void **state)
{
    (void)state;
    kit_readings(4);
    kit_readings(4);
    settle(AIR, 1, 4);
    purge(AIR);
    told(kit_lanes.epoch, AIR, 1, 1, 3, 3);
    welcome.restored = true;
    reconcile();
    assert_int_equal(result.holes, 2);
    assert_settled(0, AIR, "[[1,1],[3,3]]");
    kit_assert_holes("2-2 purged ;4-4 purged ;");
    kit_assert_ranges(&kit_lane(0, AIR)->holes, "[[2,2],[4,4]]");
}

static void restored_cloud_that_does_not_know_the_stream(void **state)
{
    (void)state;
    kit_readings(4);
    settle(AIR, 1, 4);
    purge(AIR);
    welcome.restored = true;
    reconcile();
    assert_settled(0, AIR, "[]");
    kit_assert_holes("1-4 purged ;");
}

static void refused_numbers_become_dead_holes_with_their_names(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        kit_edit(i == 0 ? "op-a" : i == 1 ? "op-b" : i == 2 ? "op-c" : i == 3 ? "op-d" : "op-e");
    settle(USER, 1, 5);
    refuse(USER, 2);
    refuse(USER, 3);
    purge(USER);
    welcome.restored = true;
    told(kit_lanes.epoch, USER, 5, 5, 0, 0);
    reconcile();
    kit_assert_holes("1-1 purged ;2-3 dead [\"op-b\",\"op-c\"];4-4 purged ;");
    assert_settled(0, USER, "[[5,5]]");
}

static void dead_readings_become_dead_holes_though_their_chunk_is_kept(void **state)
{
    (void)state;
    kit_readings(5);
    settle(AIR, 1, 5);
    refuse(AIR, 3);
    welcome.restored = true;
    reconcile();
    kit_assert_holes("3-3 dead ;");
    assert_settled(0, AIR, "[]"); /* the others are sent again */
}

static void dead_letter_that_was_dropped_leaves_a_purged_hole(void **state)
{
    (void)state;
    kit_edit("op-a");
    settle(USER, 1, 1);
    refuse(USER, 1);
    kit_begin();
    assert_int_equal(outbox_dead_drop(kit_ob, 1, &kit_err), 0);
    kit_commit();
    kit_load(USER);
    welcome.restored = true;
    reconcile();
    kit_assert_holes("1-1 purged ;");
}

static void refused_numbers_that_the_cloud_names_stay(void **state)
{
    (void)state;
    kit_readings(5);
    settle(AIR, 1, 5);
    refuse(AIR, 3);
    welcome.restored = true;
    told(kit_lanes.epoch, AIR, 3, 3, 0, 0);
    reconcile();
    assert_settled(0, AIR, "[[3,3]]");
    kit_assert_ranges(&kit_lane(0, AIR)->refused, "[[3,3]]");
    kit_assert_holes("");
}

static void every_epoch_is_looked_at(void **state)
{
    (void)state;
    kit_readings(2);
    settle(AIR, 1, 2);
    kit_new_epoch();
    kit_readings(3);
    settle(AIR, 1, 3);
    kit_load(AIR);
    welcome.restored = true;
    told(kit_lanes.epochs[0], AIR, 1, 2, 0, 0);
    told(kit_lanes.epochs[1], AIR, 1, 3, 0, 0);
    reconcile();
    assert_settled(0, AIR, "[]");
    assert_settled(1, AIR, "[]");
    assert_false(result.new_epoch);
}

static void restored_twice_leaves_unsent_holes_alone(void **state)
{
    (void)state;
    kit_readings(4);
    settle(AIR, 1, 4);
    purge(AIR);
    welcome.restored = true;
    reconcile();
    reconcile();
    assert_int_equal(result.holes, 0);
    kit_assert_holes("1-4 purged ;");
}

static void decided_beyond_made_begins_an_epoch(void **state)
{
    char before[SB_EPOCH_LEN + 1];

    (void)state;
    kit_readings(3);
    kit_load(AIR);
    memcpy(before, kit_lanes.epoch, sizeof(before));
    told(before, AIR, 1, 4, 0, 0);
    reconcile();
    assert_true(result.new_epoch);
    assert_int_equal(kit_lanes.epoch_count, 2);
    assert_string_not_equal(kit_lanes.epoch, before);
    assert_int_equal(lane_made(kit_lane(0, AIR)), 3); /* nothing is moved */
    assert_settled(0, AIR, "[]");
    kit_readings(1);
    assert_int_equal(lane_made(kit_load(AIR)), 1);
    reconcile(); /* the old epoch is not current any more */
    assert_false(result.new_epoch);
}

static void stream_that_only_the_cloud_knows_begins_an_epoch(void **state)
{
    (void)state;
    assert_int_equal(lanes_load(&kit_lanes, kit_ob, &kit_err), 0);
    told(kit_lanes.epoch, USER, 1, 1, 0, 0);
    reconcile();
    assert_true(result.new_epoch);
}

static void holes_beyond_made_begin_no_epoch(void **state)
{
    (void)state;
    kit_readings(3);
    kit_load(AIR);
    told(kit_lanes.epoch, AIR, 1, 3, 4, 9);
    reconcile();
    assert_false(result.new_epoch);
}

static void made_is_as_of_now(void **state)
{
    (void)state;
    kit_readings(3);
    kit_load(AIR);
    told(kit_lanes.epoch, AIR, 1, 4, 0, 0);
    kit_readings(1); /* by another process, after the hello */
    reconcile();
    assert_false(result.new_epoch);
    assert_int_equal(lane_made(kit_lane(0, AIR)), 4);
}

static void restored_and_rolled_back_at_once(void **state)
{
    (void)state;
    kit_readings(3);
    settle(AIR, 1, 3);
    welcome.restored = true;
    told(kit_lanes.epoch, AIR, 1, 9, 0, 0);
    reconcile();
    assert_true(result.restored);
    assert_true(result.new_epoch);
    assert_settled(0, AIR, "[]");
}

static void long_purged_range_is_one_hole(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        kit_readings(1000);
    settle(AIR, 1, 20000);
    refuse(AIR, 7000);
    purge(AIR);
    welcome.restored = true;
    reconcile();
    kit_assert_holes("1-6999 purged ;7000-7000 dead ;7001-20000 purged ;");
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(welcome_settles_nothing),
        CASE(welcome_of_another_boot_forgets_the_loose_versions_seen),
        CASE(receipt_is_the_welcomes),
        CASE(missing_numbers_alone_are_no_restore),
        CASE(restored_cloud_gets_all_kept_rows_again),
        CASE(restored_cloud_makes_holes_of_what_is_gone),
        CASE(restored_cloud_that_does_not_know_the_stream),
        CASE(refused_numbers_become_dead_holes_with_their_names),
        CASE(dead_readings_become_dead_holes_though_their_chunk_is_kept),
        CASE(dead_letter_that_was_dropped_leaves_a_purged_hole),
        CASE(refused_numbers_that_the_cloud_names_stay),
        CASE(every_epoch_is_looked_at),
        CASE(restored_twice_leaves_unsent_holes_alone),
        CASE(decided_beyond_made_begins_an_epoch),
        CASE(stream_that_only_the_cloud_knows_begins_an_epoch),
        CASE(holes_beyond_made_begin_no_epoch),
        CASE(made_is_as_of_now),
        CASE(restored_and_rolled_back_at_once),
        CASE(long_purged_range_is_one_hole),
    };
#undef CASE

    return cmocka_run_group_tests(tests, NULL, NULL);
}
