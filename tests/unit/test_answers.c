/* The cloud's latest answers, kept for who asks too late. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "edge_agent/answers.h"

#define EPOCH "0123456789abcdef"
#define AIR   "sensors/air_quality"

static struct answers answers;

static int setup(void **state)
{
    (void)state;
    memset(&answers, 0, sizeof(answers));
    return 0;
}

static void add(const char *stream, uint64_t lo, uint64_t hi, enum sb_result result, const char *at)
{
    struct answer answer = {.lo = lo, .hi = hi, .result = result};

    snprintf(answer.epoch, sizeof(answer.epoch), "%s", EPOCH);
    snprintf(answer.stream, sizeof(answer.stream), "%s", stream);
    snprintf(answer.at, sizeof(answer.at), "%s", at);
    answers_add(&answers, &answer);
}

static const struct answer *find(uint64_t seq)
{
    return answers_find(&answers, EPOCH, AIR, seq);
}

static void an_answer_is_found_by_each_of_its_numbers(void **state)
{
    (void)state;
    assert_null(find(1));
    add(AIR, 3, 5, SB_RESULT_STORED, "first");
    assert_null(find(2));
    assert_string_equal(find(3)->at, "first");
    assert_string_equal(find(5)->at, "first");
    assert_null(find(6));
    assert_null(answers_find(&answers, EPOCH, "sensors/other", 4));
    assert_null(answers_find(&answers, "fedcba9876543210", AIR, 4));
}

static void the_newest_answer_to_a_number_counts(void **state)
{
    (void)state;
    add(AIR, 1, 9, SB_RESULT_REJECTED, "first");
    add(AIR, 4, 4, SB_RESULT_STORED, "second");
    assert_int_equal(find(4)->result, SB_RESULT_STORED);
    assert_int_equal(find(5)->result, SB_RESULT_REJECTED);
}

static void the_oldest_goes_when_all_places_are_taken(void **state)
{
    (void)state;
    for (uint64_t seq = 1; seq <= ANSWERS_MAX; seq++)
        add(AIR, seq, seq, SB_RESULT_STORED, "");
    assert_non_null(find(1));
    add(AIR, ANSWERS_MAX + 1, ANSWERS_MAX + 1, SB_RESULT_STORED, "");
    assert_null(find(1));
    assert_non_null(find(2));
    assert_non_null(find(ANSWERS_MAX));
    assert_non_null(find(ANSWERS_MAX + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_answer_is_found_by_each_of_its_numbers, setup),
        cmocka_unit_test_setup(the_newest_answer_to_a_number_counts, setup),
        cmocka_unit_test_setup(the_oldest_goes_when_all_places_are_taken, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
