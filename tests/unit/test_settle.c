/* Rule D7 and what a reply changes: answered numbers are settled, refused ones are kept, and a
 * reply that is late, repeated or about something else changes nothing that was decided. */
#include "edge_kit.h"

#include <string.h>
#include <unistd.h>

#include "edge_agent/settle.h"

#define AIR  "sensors/air_quality"
#define USER "settings/user-1"

static struct flight flight;
static struct sb_reply reply;
static struct settle_counts counts;

static int setup(void **state)
{
    flight = (struct flight){.kind = FLIGHT_ROWS};
    settle_counts_clear(&counts);
    sb_reply_init(&reply);
    return kit_setup(state);
}

static int teardown(void **state)
{
    settle_counts_clear(&counts);
    sb_reply_free(&reply);
    return kit_teardown(state);
}

static void sent(const struct lane *lane, enum flight_kind kind, uint64_t lo, uint64_t hi)
{
    flight = (struct flight){.s = lane->s, .kind = kind, .lo = lo, .hi = hi};
}

/* A reply to lo..hi; the caller adds rejections and conflicts and corrects `accepted`. */
static void answered(uint64_t lo, uint64_t hi)
{
    sb_reply_free(&reply);
    reply.first_seq = lo;
    reply.last_seq = hi;
    reply.result = SB_RESULT_STORED;
    reply.accepted = hi - lo + 1;
}

static void conflict_at(uint64_t seq)
{
    struct sb_conflict *conflict = sb_reply_conflict(&reply, seq);

    sb_buf_add_str(&conflict->pointers, "[\"\"]");
    conflict->as_of = 9;
    reply.result = SB_RESULT_CONFLICT;
    reply.accepted--;
}

static void settle(struct lane *lane)
{
    kit_begin();
    assert_int_equal(
        settle_reply(kit_ob, lane, &flight, &reply, kit_now.wall_us, &counts, &kit_err), 0);
    assert_int_equal(settle_write(kit_ob, &kit_lanes, &kit_err), 0);
    kit_commit();
}

/* Memory and file say the same. */
static void assert_sets(const char *stream, const char *settled, const char *refused)
{
    struct lane *lane = kit_lane((unsigned)kit_lanes.epoch_count - 1, stream);

    kit_assert_ranges(&lane->settled, settled);
    kit_assert_ranges(&lane->refused, refused);
    lane = kit_load(stream);
    kit_assert_ranges(&lane->settled, settled);
    kit_assert_ranges(&lane->refused, refused);
}

static struct lane *five_readings(void)
{
    struct lane *lane;

    kit_readings(5);
    lane = kit_load(AIR);
    sent(lane, FLIGHT_ROWS, 1, 5);
    return lane;
}

static void stored_range_is_settled_and_kept(void **state)
{
    struct lane *lane = five_readings();

    (void)state;
    answered(1, 5);
    settle(lane);
    assert_sets(AIR, "[[1,5]]", "[]");
    kit_assert_rows(kit_load(AIR), "[[1,5]]"); /* for the resend window */
    assert_int_equal(counts.stored, 5);
}

static void answered_prefix_leaves_the_rest_open(void **state)
{
    struct lane *lane = five_readings();

    (void)state;
    answered(1, 2);
    settle(lane);
    assert_sets(AIR, "[[1,2]]", "[]");
}

static void numbers_beyond_the_flight_are_ignored(void **state)
{
    struct lane *lane = five_readings();

    (void)state;
    sent(lane, FLIGHT_ROWS, 2, 3);
    answered(1, 5);
    settle(lane);
    assert_sets(AIR, "[[2,3]]", "[]");
}

static void numbers_beyond_made_are_ignored(void **state)
{
    struct lane *lane = five_readings();

    (void)state;
    sent(lane, FLIGHT_ROWS, 4, 9); /* of a database that was rolled back under us */
    answered(4, 9);
    settle(lane);
    assert_sets(AIR, "[[4,5]]", "[]");
}

static void reply_about_other_numbers_settles_nothing(void **state)
{
    struct lane *lane = five_readings();

    (void)state;
    sent(lane, FLIGHT_ROWS, 1, 2);
    answered(4, 5);
    settle(lane);
    assert_sets(AIR, "[]", "[]");
    answered(0, 0); /* a quarantined batch names no range */
    reply.accepted = 0;
    settle(lane);
    assert_sets(AIR, "[]", "[]");
}

/* Of a cloud that answers for far more than it was sent: no walk over all numbers there are. */
static void a_rejection_of_all_numbers_is_about_those_sent(void **state)
{
    struct lane *lane = five_readings();

    (void)state;
    sent(lane, FLIGHT_ROWS, 2, 3);
    answered(1, SB_SEQ_MAX);
    reply.result = SB_RESULT_REJECTED;
    reply.accepted = 0;
    sb_reply_reject(&reply, 1, SB_EBAD_VALUE, "all");
    reply.rejected[0].hi = SB_SEQ_MAX;
    alarm(30);
    settle(lane);
    alarm(0);
    assert_int_equal(counts.rejected, 2);
    assert_sets(AIR, "[[2,3]]", "[[2,3]]");
}

static void rejected_record_goes_to_the_dead_letter_and_the_rest_is_settled(void **state)
{
    struct lane *lane = five_readings();

    (void)state;
    answered(1, 5);
    sb_reply_reject(&reply, 2, SB_EBAD_VALUE, "too high");
    sb_reply_reject(&reply, 3, SB_EBAD_VALUE, "too high");
    reply.accepted = 3;
    settle(lane);
    assert_sets(AIR, "[[1,5]]", "[[2,3]]");
    kit_assert_dead(AIR " 2 bad_value;" AIR " 3 bad_value;");
    assert_int_equal(counts.rejected, 2);
    assert_int_equal(counts.stored, 3);
}

static void rejection_that_comes_late_or_twice_changes_nothing(void **state)
{
    struct lane *lane = five_readings();

    (void)state;
    answered(1, 5);
    settle(lane);
    answered(1, 5);
    sb_reply_reject(&reply, 2, SB_EBAD_VALUE, "too high");
    reply.accepted = 4;
    settle(kit_lane(0, AIR));
    assert_sets(AIR, "[[1,5]]", "[]");
    kit_assert_dead("");
}

static void stored_after_rejected_brings_the_record_back(void **state)
{
    struct lane *lane = five_readings();

    (void)state;
    answered(1, 5);
    sb_reply_reject(&reply, 2, SB_EBAD_VALUE, "too high");
    reply.accepted = 4;
    settle(lane);
    answered(1, 5);
    settle(kit_lane(0, AIR));
    assert_sets(AIR, "[[1,5]]", "[]");
    kit_assert_dead("");
}

static int count_waiting(void *ctx, const struct outbox_conflict *conflict)
{
    *(int *)ctx += conflict->state == CONFLICT_WAITING;
    return 0;
}

static int waiting(void)
{
    int count = 0;

    assert_int_equal(outbox_conflicts(kit_ob, "user-1", count_waiting, &count, &kit_err), 0);
    return count;
}

static void conflict_moves_the_operation_out(void **state)
{
    struct outbox_counts totals;
    struct lane *lane;

    (void)state;
    kit_edit("op-a");
    kit_edit("op-b");
    lane = kit_load(USER);
    sent(lane, FLIGHT_ROWS, 1, 2);
    answered(1, 2);
    conflict_at(2);
    settle(lane);
    assert_sets(USER, "[[1,2]]", "[[2,2]]");
    kit_assert_rows(kit_load(USER), "[[1,1]]");
    assert_int_equal(outbox_counts(kit_ob, &totals, &kit_err), 0);
    assert_int_equal(waiting(), 1);
    assert_int_equal(totals.conflicts, 0); /* it is not open: it may be merged */
    assert_int_equal(totals.pending, 0);
    assert_int_equal(counts.conflict, 1);
    settle(kit_lane(0, USER)); /* the same reply again */
    assert_int_equal(waiting(), 1);
}

/* ---- holes ---- */

static struct lane *shed(uint64_t lo, uint64_t hi)
{
    struct lane *lane = kit_load(AIR);

    kit_begin();
    assert_int_equal(outbox_rows_drop(kit_ob, lane->s, lo, hi, &kit_err), 0);
    assert_int_equal(
        outbox_hole_add(kit_ob, lane->s, lo, hi, SB_HOLE_EVICTED, SB_SPAN(""), &kit_err), 0);
    kit_commit();
    return kit_load(AIR);
}

static void answered_hole_is_settled(void **state)
{
    struct lane *lane;

    (void)state;
    kit_readings(5);
    lane = shed(2, 4);
    sent(lane, FLIGHT_HOLE, 2, 4);
    answered(2, 3);
    settle(lane);
    assert_sets(AIR, "[[2,3]]", "[]");
    kit_assert_holes("4-4 evicted ;");
    kit_assert_ranges(&kit_lane(0, AIR)->holes, "[[4,4]]");
}

static void late_stored_reply_takes_a_shed_number_out_of_its_hole(void **state)
{
    struct lane *lane;

    (void)state;
    kit_readings(5);
    lane = shed(2, 4);
    sent(lane, FLIGHT_ROWS, 1, 3); /* sent before it was shed */
    answered(1, 3);
    settle(lane);
    assert_sets(AIR, "[[1,3]]", "[]");
    kit_assert_holes("4-4 evicted ;");
}

static void late_rejection_of_a_shed_number_changes_nothing(void **state)
{
    struct lane *lane;

    (void)state;
    kit_readings(5);
    lane = shed(2, 4);
    sent(lane, FLIGHT_ROWS, 1, 3);
    answered(1, 3);
    sb_reply_reject(&reply, 2, SB_EBAD_VALUE, "too high");
    sb_reply_reject(&reply, 3, SB_EBAD_VALUE, "too high");
    reply.accepted = 1;
    settle(lane);
    assert_sets(AIR, "[[1,1]]", "[]");
    kit_assert_holes("2-4 evicted ;");
    kit_assert_dead("");
}

/* ---- dead letters sent again (D8) ---- */

static struct lane *one_dead(uint64_t seq)
{
    struct lane *lane = five_readings();

    answered(1, 5);
    sb_reply_reject(&reply, seq, SB_EBAD_VALUE, "too high");
    reply.accepted = 4;
    settle(lane);
    kit_begin();
    assert_int_equal(outbox_dead_retry(kit_ob, 1, kit_now, &kit_err), 0);
    kit_commit();
    lane = kit_load(AIR);
    sent(lane, FLIGHT_AGAIN, seq, seq);
    return lane;
}

static void retry_that_is_stored_makes_a_kept_row_again(void **state)
{
    struct lane *lane = one_dead(2);

    (void)state;
    kit_assert_dead(AIR " 2 bad_value again;");
    answered(2, 2);
    settle(lane);
    kit_assert_dead("");
    assert_sets(AIR, "[[1,5]]", "[]");
}

static void retry_that_is_refused_stays_with_the_new_reason(void **state)
{
    struct lane *lane = one_dead(2);

    (void)state;
    answered(2, 2);
    sb_reply_reject(&reply, 2, SB_EUNVERIFIABLE, "dropped");
    reply.accepted = 0;
    reply.result = SB_RESULT_REJECTED;
    settle(lane);
    kit_assert_dead(AIR " 2 unverifiable;");
    assert_sets(AIR, "[[1,5]]", "[[2,2]]");
    assert_int_equal(counts.rejected, 1); /* it is one record */
}

static void retry_of_a_record_in_a_hole_takes_the_hole_away(void **state)
{
    struct lane *lane = one_dead(2);

    (void)state;
    kit_begin(); /* D3a declared it after a cloud was rolled back */
    assert_int_equal(outbox_hole_add(kit_ob, lane->s, 2, 2, SB_HOLE_DEAD, SB_SPAN(""), &kit_err),
                     0);
    kit_commit();
    lane = kit_load(AIR);
    sb_ranges_remove(&lane->settled, 2, 2);
    answered(2, 2);
    settle(lane);
    kit_assert_dead("");
    kit_assert_holes("");
    assert_sets(AIR, "[[1,5]]", "[]");
}

static void counts_are_of_records_not_of_holes(void **state)
{
    struct lane *lane;

    (void)state;
    kit_readings(5);
    lane = shed(2, 4);
    sent(lane, FLIGHT_HOLE, 2, 4);
    answered(2, 4);
    settle(lane);
    assert_int_equal(counts.stored, 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(stored_range_is_settled_and_kept),
        CASE(answered_prefix_leaves_the_rest_open),
        CASE(numbers_beyond_the_flight_are_ignored),
        CASE(numbers_beyond_made_are_ignored),
        CASE(reply_about_other_numbers_settles_nothing),
        CASE(a_rejection_of_all_numbers_is_about_those_sent),
        CASE(rejected_record_goes_to_the_dead_letter_and_the_rest_is_settled),
        CASE(rejection_that_comes_late_or_twice_changes_nothing),
        CASE(stored_after_rejected_brings_the_record_back),
        CASE(conflict_moves_the_operation_out),
        CASE(answered_hole_is_settled),
        CASE(late_stored_reply_takes_a_shed_number_out_of_its_hole),
        CASE(late_rejection_of_a_shed_number_changes_nothing),
        CASE(retry_that_is_stored_makes_a_kept_row_again),
        CASE(retry_that_is_refused_stays_with_the_new_reason),
        CASE(retry_of_a_record_in_a_hole_takes_the_hole_away),
        CASE(counts_are_of_records_not_of_holes),
    };
#undef CASE

    return cmocka_run_group_tests(tests, NULL, NULL);
}
