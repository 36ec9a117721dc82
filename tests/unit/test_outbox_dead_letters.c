/* Stage 2, the file: what is rejected, in conflict or given up. Every change of a dead letter or a
 * hole leaves each number in exactly one place. */
#include "outbox_kit.h"

#include "edge_agent/outbox_docs.h"

/* ---- dead letter ---- */

static void bury(int64_t s, uint64_t seq)
{
    box_begin();
    assert_int_equal(
        outbox_dead_add(box_ob, s, seq, SB_EBAD_VALUE, "v: too high", box_now.wall_us, &box_err),
        0);
    box_commit();
}

static void revive(int64_t s, uint64_t seq)
{
    box_begin();
    assert_int_equal(outbox_dead_revive(box_ob, s, seq, &box_err), 0);
    box_commit();
}

static void record_dies_out_of_the_middle_of_a_chunk(void **state)
{
    int64_t s;

    (void)state;
    box_put_five();
    s = box_key_of("sensors/air_quality");
    bury(s, 3);
    box_assert_dead("sensors/air_quality 3 bad_value (v: too high) [3];");
    box_assert_rows(s, "1-5 [1],[2],[3],[4],[5];"); /* the chunk is not rewritten for it */
    bury(s, 3);
    box_assert_dead("sensors/air_quality 3 bad_value (v: too high) [3];");
    box_assert_bytes_counted("sensors/air_quality");
}

static void ordered_record_dies_with_its_row(void **state)
{
    struct outbox_place place;
    int64_t s;

    (void)state;
    box_put_edit("op-a", &place);
    box_put_edit("op-b", &place);
    s = box_key_of("settings/user-1");
    bury(s, 1);
    box_assert_dead("settings/user-1 1 bad_value (v: too high) {\"op_id\":\"op-a\"};");
    box_assert_rows(s, "2-2 {\"op_id\":\"op-b\"} op=op-b;");
    box_assert_bytes_counted("settings/user-1");
}

static void dead_record_without_a_row_is_an_error(void **state)
{
    (void)state;
    box_put_five();
    box_begin();
    assert_int_equal(outbox_dead_add(box_ob, box_key_of("sensors/air_quality"), 6, SB_EBAD_VALUE,
                                     "", 0, &box_err),
                     -SB_ECORRUPT);
    outbox_rollback(box_ob);
}

static void revived_record_is_a_row_again(void **state)
{
    struct outbox_place place;
    int64_t s, t;

    (void)state;
    box_put_five();
    box_put_edit("op-a", &place);
    s = box_key_of("sensors/air_quality");
    t = box_key_of("settings/user-1");
    bury(s, 3);
    bury(t, 1);
    revive(s, 3);
    revive(t, 1);
    revive(t, 1); /* nothing there: nothing happens */
    box_assert_dead("");
    box_assert_rows(s, "1-5 [1],[2],[3],[4],[5];");
    box_assert_rows(t, "1-1 {\"op_id\":\"op-a\"} op=op-a;");
    box_assert_bytes_counted("sensors/air_quality");
    box_assert_bytes_counted("settings/user-1");
}

static void revived_record_gets_a_row_of_its_own_when_the_chunk_is_gone(void **state)
{
    int64_t s;

    (void)state;
    box_put_five();
    s = box_key_of("sensors/air_quality");
    bury(s, 3);
    box_purge_all(s, 1, 5, 1);
    box_assert_rows(s, "");
    revive(s, 3);
    box_assert_rows(s, "3-3 [3];");
    box_assert_bytes_counted("sensors/air_quality");
}

static void free_dead_letter_is_flagged_for_a_retry(void **state)
{
    int64_t id;

    (void)state;
    box_put_five();
    bury(box_key_of("sensors/air_quality"), 2);
    id = box_assert_dead("sensors/air_quality 2 bad_value (v: too high) [2];");
    box_begin();
    assert_int_equal(outbox_dead_retry(box_ob, id, box_now, &box_err), 0);
    box_commit();
    box_assert_dead("sensors/air_quality 2 bad_value (v: too high) [2] again;");
    box_begin();
    assert_int_equal(outbox_dead_refused(box_ob, box_key_of("sensors/air_quality"), 2,
                                         SB_EUNVERIFIABLE, "dropped", &box_err),
                     0);
    box_commit();
    box_assert_dead("sensors/air_quality 2 unverifiable (dropped) [2];");
}

static void ordered_dead_letter_is_enqueued_anew_under_its_op_id(void **state)
{
    struct outbox_place place;
    int64_t s, id;

    (void)state;
    box_put_edit("op-a", &place);
    box_put_edit("op-b", &place);
    s = box_key_of("settings/user-1");
    bury(s, 1);
    id = box_assert_dead("settings/user-1 1 bad_value (v: too high) {\"op_id\":\"op-a\"};");
    box_begin();
    assert_int_equal(outbox_dead_retry(box_ob, id, box_now, &box_err), 0);
    box_commit();
    box_assert_dead("");
    assert_int_equal(box_find("settings/user-1").made, 3);
    box_assert_covered(s, "[[2,3]]");
    box_put_edit("op-a", &place); /* the id still names it, at its new place */
    assert_true(place.repeat);
    assert_int_equal(place.first_seq, 3);
}

static void letters_are_dropped_and_missing_ones_reported(void **state)
{
    int64_t id;

    (void)state;
    box_put_five();
    bury(box_key_of("sensors/air_quality"), 2);
    id = box_assert_dead("sensors/air_quality 2 bad_value (v: too high) [2];");
    box_begin();
    assert_int_equal(outbox_dead_drop(box_ob, id, &box_err), 0);
    assert_int_equal(outbox_dead_drop(box_ob, id, &box_err), -SB_ENOT_FOUND);
    assert_int_equal(outbox_dead_retry(box_ob, id, box_now, &box_err), -SB_ENOT_FOUND);
    box_commit();
    box_assert_dead("");
}

/* ---- conflicts ---- */

static int print_conflict(void *ctx, const struct outbox_conflict *conflict)
{
    sb_buf_add_fmt(ctx, "%s %s " SB_SPAN_FMT " before=" SB_SPAN_FMT " server=" SB_SPAN_FMT "%s;",
                   conflict->user, conflict->op_id, SB_SPAN_ARG(conflict->record),
                   SB_SPAN_ARG(conflict->before), SB_SPAN_ARG(conflict->server),
                   conflict->state == CONFLICT_OPEN ? " open" : "");
    return 0;
}

static void conflict_keeps_what_was_submitted_and_what_was_before(void **state)
{
    const struct document_name name = {"user-1", "settings", "settings"};
    const struct sb_conflict conflict = {.as_of = 7};
    char op_id[SB_ID_MAX + 1];
    struct outbox_place place;
    struct sb_buf text = {0};
    bool given_up;
    int64_t s;

    (void)state;
    box_put_edit("op-a", &place);
    s = box_key_of("settings/user-1");
    box_begin();
    assert_int_equal(outbox_conflict_add(box_ob, s, 1, &name, &conflict, SB_SPAN("{\"v\":2}"),
                                         box_now.wall_us, &box_err),
                     0);
    box_commit();
    box_assert_rows(s, "");
    assert_int_equal(outbox_conflicts(box_ob, NULL, print_conflict, &text, &box_err), 0);
    assert_string_equal(text.data, "user-1 op-a {\"op_id\":\"op-a\"} before={\"old\":1} "
                                   "server={\"v\":2};");
    sb_buf_clear(&text);
    box_begin();
    assert_int_equal(outbox_conflicts_done(box_ob, &name, CONFLICT_OPEN, 5, "", &box_err), 0);
    box_commit();
    assert_int_equal(outbox_conflicts(box_ob, NULL, print_conflict, &text, &box_err), 0);
    assert_string_equal(text.data, "user-1 op-a {\"op_id\":\"op-a\"} before= server= open;");
    assert_int_equal(outbox_given_up(box_ob, s, 1, &given_up, op_id, &box_err), 0);
    assert_true(given_up);
    assert_string_equal(op_id, "op-a");
    assert_int_equal(outbox_given_up(box_ob, s, 2, &given_up, op_id, &box_err), 0);
    assert_false(given_up);
    sb_buf_free(&text);
}

/* ---- holes ---- */

static void declare(int64_t s, uint64_t lo, uint64_t hi, const char *ops)
{
    box_begin();
    assert_int_equal(outbox_hole_add(box_ob, s, lo, hi, SB_HOLE_EVICTED, sb_span_of(ops), &box_err),
                     0);
    box_commit();
}

static void settle_hole(int64_t s, uint64_t lo, uint64_t hi)
{
    box_begin();
    assert_int_equal(outbox_hole_settle(box_ob, s, lo, hi, &box_err), 0);
    box_commit();
}

static void answered_part_of_a_hole_goes_and_the_names_stay_with_their_numbers(void **state)
{
    (void)state;
    box_put_five();
    declare(7, 10, 14, "[\"a\",null,\"c,]\",\"d\",\"e\"]");
    settle_hole(7, 12, 12);
    box_assert_holes("10-11 evicted [\"a\",null];13-14 evicted [\"d\",\"e\"];");
    settle_hole(7, 1, 10);
    box_assert_holes("11-11 evicted [null];13-14 evicted [\"d\",\"e\"];");
    settle_hole(8, 1, 20);
    box_assert_holes("11-11 evicted [null];13-14 evicted [\"d\",\"e\"];");
    settle_hole(7, 11, 13);
    box_assert_holes("14-14 evicted [\"e\"];");
    settle_hole(7, 14, 14);
    box_assert_holes("");
}

static void hole_without_names_is_split_without_names(void **state)
{
    (void)state;
    declare(7, 1, 9, "");
    settle_hole(7, 4, 5);
    box_assert_holes("1-3 evicted ;6-9 evicted ;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOX_BOTH(record_dies_out_of_the_middle_of_a_chunk),
        BOX_BOTH(ordered_record_dies_with_its_row),
        BOX_BOTH(dead_record_without_a_row_is_an_error),
        BOX_BOTH(revived_record_is_a_row_again),
        BOX_BOTH(revived_record_gets_a_row_of_its_own_when_the_chunk_is_gone),
        BOX_BOTH(free_dead_letter_is_flagged_for_a_retry),
        BOX_BOTH(ordered_dead_letter_is_enqueued_anew_under_its_op_id),
        BOX_BOTH(letters_are_dropped_and_missing_ones_reported),
        BOX_BOTH(conflict_keeps_what_was_submitted_and_what_was_before),
        BOX_BOTH(answered_part_of_a_hole_goes_and_the_names_stay_with_their_numbers),
        BOX_BOTH(hole_without_names_is_split_without_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
