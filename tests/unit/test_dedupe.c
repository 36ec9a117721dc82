/* Every verdict of D4, D5 and D6, case by case as the delivery model decides it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cloud_ingest/dedupe.h"

static void check_free(struct free_case c, enum verdict expected)
{
    assert_int_equal(dedupe_free(&c), expected);
}

static void a_new_free_record_is_stored_or_rejected_at_its_number(void **state)
{
    (void)state;
    check_free((struct free_case){.valid = true}, VERDICT_STORE);
    check_free((struct free_case){.valid = false}, VERDICT_REJECT);
    check_free((struct free_case){.valid = true, .again = true}, VERDICT_STORE);
    check_free((struct free_case){.valid = true, .in_hole = true}, VERDICT_STORE);
    check_free((struct free_case){.valid = false, .in_hole = true}, VERDICT_REJECT);
}

static void equal_content_gets_its_first_outcome(void **state)
{
    (void)state;
    check_free((struct free_case){.decided = true, .own = KEPT_STORED, .valid = true},
               VERDICT_DUPLICATE);
    check_free((struct free_case){.decided = true, .own = KEPT_STORED, .valid = false},
               VERDICT_DUPLICATE);
    check_free((struct free_case){.decided = true, .own = KEPT_STORED, .again = true},
               VERDICT_DUPLICATE);
    check_free((struct free_case){.decided = true, .branch = KEPT_STORED, .valid = true},
               VERDICT_DUPLICATE);
    check_free((struct free_case){.decided = true, .own = KEPT_REJECTED, .valid = true},
               VERDICT_REJECTED_AGAIN);
    check_free((struct free_case){.decided = true, .branch = KEPT_REJECTED, .valid = true},
               VERDICT_REJECTED_AGAIN);
}

static void again_makes_a_rejected_record_stored_once_it_is_good(void **state)
{
    (void)state;
    check_free(
        (struct free_case){.decided = true, .own = KEPT_REJECTED, .again = true, .valid = true},
        VERDICT_NOW_STORED);
    check_free(
        (struct free_case){.decided = true, .branch = KEPT_REJECTED, .again = true, .valid = true},
        VERDICT_NOW_STORED);
    check_free(
        (struct free_case){.decided = true, .own = KEPT_REJECTED, .again = true, .valid = false},
        VERDICT_REJECTED_AGAIN);
}

static void a_dropped_row_makes_everything_else_unverifiable(void **state)
{
    (void)state;
    check_free((struct free_case){.decided = true, .dropped = true, .valid = true},
               VERDICT_UNVERIFIABLE);
    check_free((struct free_case){.decided = true, .dropped = true, .valid = false},
               VERDICT_UNVERIFIABLE);
    check_free(
        (struct free_case){.decided = true, .dropped = true, .branch = KEPT_STORED, .valid = true},
        VERDICT_DUPLICATE);
}

static void other_content_at_a_decided_number_goes_into_a_branch(void **state)
{
    (void)state;
    check_free((struct free_case){.decided = true, .valid = true}, VERDICT_STORE_BRANCH);
    check_free((struct free_case){.decided = true, .valid = false}, VERDICT_REJECT_BRANCH);
    check_free((struct free_case){.decided = true, .again = true, .valid = true},
               VERDICT_STORE_BRANCH);
}

static void check_ordered(struct ordered_case c, enum verdict expected)
{
    assert_int_equal(dedupe_ordered(&c), expected);
}

static void a_known_operation_gets_its_outcome_whatever_its_number(void **state)
{
    (void)state;
    check_ordered((struct ordered_case){.first = OP_FIRST_APPLIED}, VERDICT_DUPLICATE);
    check_ordered((struct ordered_case){.first = OP_FIRST_APPLIED, .decided = true},
                  VERDICT_DUPLICATE);
    check_ordered(
        (struct ordered_case){.first = OP_FIRST_APPLIED, .in_hole = true, .named_here = true},
        VERDICT_DUPLICATE);
    check_ordered(
        (struct ordered_case){.first = OP_FIRST_CONFLICT, .unnamed_here = true, .in_hole = true},
        VERDICT_CONFLICT_AGAIN);
    check_ordered((struct ordered_case){.first = OP_FIRST_APPLIED, .rejected_here = true},
                  VERDICT_DUPLICATE);
}

static void a_rejected_operation_is_rejected_under_its_number_and_new_under_another(void **state)
{
    (void)state;
    check_ordered(
        (struct ordered_case){.first = OP_FIRST_REJECTED, .rejected_here = true, .decided = true},
        VERDICT_REJECTED_AGAIN);
    check_ordered((struct ordered_case){.first = OP_FIRST_REJECTED}, VERDICT_EVALUATE);
    check_ordered((struct ordered_case){.first = OP_FIRST_REJECTED, .decided = true},
                  VERDICT_EVALUATE);
}

static void an_operation_that_was_given_up_stays_given_up_at_that_number(void **state)
{
    (void)state;
    check_ordered((struct ordered_case){.in_hole = true, .named_here = true},
                  VERDICT_DECLARED_HOLE);
    check_ordered((struct ordered_case){.in_hole = true, .unnamed_here = true},
                  VERDICT_DECLARED_HOLE);
    check_ordered((struct ordered_case){.in_hole = true, .decided = true, .named_here = true},
                  VERDICT_DECLARED_HOLE);
    check_ordered((struct ordered_case){.named_anywhere = true}, VERDICT_EVALUATE);
    check_ordered((struct ordered_case){.in_hole = true}, VERDICT_EVALUATE);
    check_ordered(
        (struct ordered_case){.first = OP_FIRST_REJECTED, .named_here = true, .in_hole = true},
        VERDICT_DECLARED_HOLE);
}

static void an_unknown_operation_at_a_decided_number_is_looked_at(void **state)
{
    (void)state;
    check_ordered((struct ordered_case){.decided = true}, VERDICT_EVALUATE);
    check_ordered((struct ordered_case){.first = OP_FIRST_NONE}, VERDICT_EVALUATE);
}

static void what_decides_a_number_of_an_ordered_stream(void **state)
{
    (void)state;
    assert_true(dedupe_decides(false, false, false));
    assert_true(dedupe_decides(false, true, true));
    assert_false(dedupe_decides(false, true, false));
    assert_false(dedupe_decides(true, false, true));
}

static void what_is_kept_of_a_hole(void **state)
{
    (void)state;
    assert_true(dedupe_hole_keeps(false, false, false));
    assert_true(dedupe_hole_keeps(false, true, false));
    assert_true(dedupe_hole_keeps(true, false, false));
    assert_true(dedupe_hole_keeps(true, true, true));
    assert_false(dedupe_hole_keeps(true, true, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_free_record_is_stored_or_rejected_at_its_number),
        cmocka_unit_test(equal_content_gets_its_first_outcome),
        cmocka_unit_test(again_makes_a_rejected_record_stored_once_it_is_good),
        cmocka_unit_test(a_dropped_row_makes_everything_else_unverifiable),
        cmocka_unit_test(other_content_at_a_decided_number_goes_into_a_branch),
        cmocka_unit_test(a_known_operation_gets_its_outcome_whatever_its_number),
        cmocka_unit_test(a_rejected_operation_is_rejected_under_its_number_and_new_under_another),
        cmocka_unit_test(an_operation_that_was_given_up_stays_given_up_at_that_number),
        cmocka_unit_test(an_unknown_operation_at_a_decided_number_is_looked_at),
        cmocka_unit_test(what_decides_a_number_of_an_ordered_stream),
        cmocka_unit_test(what_is_kept_of_a_hole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
