/* Interval sets against a naive bitmap, thousands of random steps; the text form and its refusals.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/ranges.h"
#include "common/rng.h"

#define WIDTH 200

/* The model: numbers base + 1 .. base + WIDTH. */
struct model {
    uint64_t base;
    bool has[WIDTH + 2];
};

static uint64_t at(const struct model *model, uint64_t i)
{
    return model->base + i;
}

static void put(struct model *model, uint64_t lo, uint64_t hi, bool value)
{
    for (uint64_t i = lo; i <= hi; i++)
        model->has[i] = value;
}

/* The set is the model, in the one form there is: sorted, separate, as few as possible. */
static void check_form(const struct sb_ranges *set, const struct model *model)
{
    size_t n = 0;
    uint64_t total = 0, max = 0;

    for (uint64_t i = 1; i <= WIDTH; i++) {
        if (!model->has[i])
            continue;
        total++;
        max = at(model, i);
        if (!model->has[i - 1]) {
            assert_true(n < set->count);
            assert_int_equal(set->at[n].lo, at(model, i));
        }
        if (!model->has[i + 1])
            assert_int_equal(set->at[n++].hi, at(model, i));
    }
    assert_int_equal(set->count, n);
    assert_int_equal(sb_ranges_total(set), total);
    assert_int_equal(sb_ranges_max(set), max);
}

static void check_numbers(const struct sb_ranges *set, const struct model *model)
{
    for (uint64_t i = 1; i <= WIDTH; i++) {
        size_t index = sb_ranges_seek(set, at(model, i));

        assert_int_equal(sb_ranges_has(set, at(model, i)), model->has[i]);
        assert_true(index == set->count || set->at[index].hi >= at(model, i));
        assert_true(index == 0 || set->at[index - 1].hi < at(model, i));
    }
}

static void check_pairs(const struct sb_ranges *set, const struct model *model, struct sb_rng *rng)
{
    for (int n = 0; n < 20; n++) {
        uint64_t lo = 1 + sb_rng_below(rng, WIDTH), hi = lo + sb_rng_below(rng, WIDTH - lo + 1);
        uint64_t gap_lo = 0, gap_hi = 0;
        bool all = true, any = false;
        struct sb_range gap;

        for (uint64_t i = lo; i <= hi; i++) {
            all = all && model->has[i];
            any = any || model->has[i];
            if (!model->has[i] && (gap_lo == 0 || gap_hi == i - 1)) {
                gap_lo = gap_lo == 0 ? i : gap_lo;
                gap_hi = i;
            }
        }
        assert_int_equal(sb_ranges_has_all(set, at(model, lo), at(model, hi)), all);
        assert_int_equal(sb_ranges_touches(set, at(model, lo), at(model, hi)), any);
        assert_int_equal(sb_ranges_gap(set, at(model, lo), at(model, hi), &gap), gap_lo > 0);
        if (gap_lo > 0) {
            assert_int_equal(gap.lo, at(model, gap_lo));
            assert_int_equal(gap.hi, at(model, gap_hi));
        }
    }
}

static void check_text(const struct sb_ranges *set)
{
    struct sb_ranges back = {0};
    struct sb_buf text = {0};

    sb_ranges_print(set, &text);
    assert_int_equal(sb_ranges_parse(&back, sb_buf_span(&text), set->count, NULL), 0);
    assert_true(sb_ranges_equal(set, &back));
    if (set->count > 0)
        assert_int_equal(sb_ranges_parse(&back, sb_buf_span(&text), set->count - 1, NULL),
                         -SB_ELIMIT);
    sb_ranges_free(&back);
    sb_buf_free(&text);
}

static void change(struct sb_ranges *set, struct model *model, struct sb_rng *rng)
{
    uint64_t lo = 1 + sb_rng_below(rng, WIDTH);
    uint64_t most = sb_rng_below(rng, 4) == 0 ? WIDTH : 12;
    uint64_t hi = lo + sb_rng_below(rng, most < WIDTH - lo + 1 ? most : WIDTH - lo + 1);
    bool add = sb_rng_below(rng, 2) == 0;

    if (add)
        sb_ranges_add(set, at(model, lo), at(model, hi));
    else
        sb_ranges_remove(set, at(model, lo), at(model, hi));
    put(model, lo, hi, add);
}

static void random_steps_keep_to_the_model(void **state)
{
    static const uint64_t bases[] = {0, 1, 1000000, SB_SEQ_MAX - WIDTH};
    struct sb_rng rng;

    (void)state;
    sb_rng_seed(&rng, 1);
    for (size_t b = 0; b < sizeof(bases) / sizeof(bases[0]); b++) {
        struct model model = {.base = bases[b]};
        struct sb_ranges set = {0};

        for (int step = 0; step < 4000; step++) {
            change(&set, &model, &rng);
            check_form(&set, &model);
            check_pairs(&set, &model, &rng);
            if (step % 16 == 0) {
                check_numbers(&set, &model);
                check_text(&set);
            }
            if (step % 500 == 499) {
                sb_ranges_clear(&set);
                put(&model, 1, WIDTH, false);
            }
        }
        sb_ranges_free(&set);
    }
}

static void whole_sets_are_added_and_removed(void **state)
{
    struct sb_rng rng;

    (void)state;
    sb_rng_seed(&rng, 2);
    for (int round = 0; round < 500; round++) {
        struct model a_model = {0}, b_model = {0};
        struct sb_ranges a = {0}, b = {0}, copy = {0};

        for (uint64_t n = sb_rng_below(&rng, 20); n > 0; n--)
            change(&a, &a_model, &rng);
        for (uint64_t n = sb_rng_below(&rng, 20); n > 0; n--)
            change(&b, &b_model, &rng);
        sb_ranges_copy(&copy, &a);
        assert_true(sb_ranges_equal(&copy, &a));
        sb_ranges_add_all(&copy, &b);
        for (uint64_t i = 1; i <= WIDTH; i++)
            assert_int_equal(sb_ranges_has(&copy, i), a_model.has[i] || b_model.has[i]);
        sb_ranges_copy(&copy, &a);
        sb_ranges_remove_all(&copy, &b);
        for (uint64_t i = 1; i <= WIDTH; i++)
            assert_int_equal(sb_ranges_has(&copy, i), a_model.has[i] && !b_model.has[i]);
        check_form(&a, &a_model);
        check_form(&b, &b_model);
        sb_ranges_copy(&copy, &a);
        sb_ranges_add_all(&copy, &copy);
        assert_true(sb_ranges_equal(&copy, &a));
        sb_ranges_remove_all(&copy, &copy);
        assert_int_equal(copy.count, 0);
        sb_ranges_free(&a);
        sb_ranges_free(&b);
        sb_ranges_free(&copy);
    }
}

static void the_ends_of_the_range_of_numbers(void **state)
{
    struct sb_ranges set = {0};
    struct sb_range gap;

    (void)state;
    sb_ranges_add(&set, 1, SB_SEQ_MAX);
    assert_int_equal(sb_ranges_total(&set), SB_SEQ_MAX);
    assert_true(sb_ranges_has_all(&set, 1, SB_SEQ_MAX));
    assert_false(sb_ranges_gap(&set, 1, SB_SEQ_MAX, &gap));
    assert_false(sb_ranges_gap(&set, SB_SEQ_MAX, SB_SEQ_MAX, &gap));
    sb_ranges_remove(&set, SB_SEQ_MAX, SB_SEQ_MAX);
    assert_true(sb_ranges_gap(&set, 1, SB_SEQ_MAX, &gap));
    assert_true(gap.lo == SB_SEQ_MAX && gap.hi == SB_SEQ_MAX);
    sb_ranges_remove(&set, 1, 1);
    assert_int_equal(set.count, 1);
    assert_int_equal(set.at[0].lo, 2);
    sb_ranges_add(&set, SB_SEQ_MAX, SB_SEQ_MAX);
    sb_ranges_add(&set, 1, 1);
    assert_int_equal(set.count, 1);
    sb_ranges_remove(&set, 1, SB_SEQ_MAX);
    assert_int_equal(set.count, 0);
    assert_int_equal(sb_ranges_max(&set), 0);
    assert_false(sb_ranges_has(&set, 1));
    assert_true(sb_ranges_gap(&set, 5, 9, &gap) && gap.lo == 5 && gap.hi == 9);
    sb_ranges_free(&set);
    sb_ranges_free(&set);
}

static void a_text_may_have_white_space_and_adjacent_intervals(void **state)
{
    struct sb_ranges set = {0};
    struct sb_buf text = {0};

    (void)state;
    assert_int_equal(sb_ranges_parse(&set, SB_SPAN(" [ [ 1 , 2 ] ,\n[3,\t5],[7,7]\r] "), 3, NULL),
                     0);
    sb_ranges_print(&set, &text);
    assert_string_equal(text.data, "[[1,5],[7,7]]");
    sb_buf_clear(&text);
    assert_int_equal(sb_ranges_parse(&set, SB_SPAN("[]"), 0, NULL), 0);
    sb_ranges_print(&set, &text);
    assert_string_equal(text.data, "[]");
    assert_int_equal(sb_ranges_parse(&set, SB_SPAN("[[1,9007199254740990]]"), 1, NULL), 0);
    assert_int_equal(sb_ranges_total(&set), SB_SEQ_MAX);
    sb_ranges_free(&set);
    sb_buf_free(&text);
}

static void bad_texts_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "[",
        "]",
        "{}",
        "null",
        "[]]",
        "[] x",
        "[[]]",
        "[[1]]",
        "[[1,2,3]]",
        "[[1,2]",
        "[[1,2]]]",
        "[[1,2],]",
        "[,[1,2]]",
        "[[1,2][3,4]]",
        "[[1,2] [4,5]]",
        "[[2,1]]",
        "[[0,1]]",
        "[[1,0]]",
        "[[-1,2]]",
        "[[+1,2]]",
        "[[01,2]]",
        "[[1,02]]",
        "[[1.0,2]]",
        "[[1e0,2]]",
        "[[1,2e1]]",
        "[[\"1\",2]]",
        "[[1,9007199254740991]]",
        "[[9007199254740991,9007199254740991]]",
        "[[1,90071992547409900]]",
        "[[1,18446744073709551617]]",
        "[[1,99999999999999999999999999]]",
        "[[1,5],[5,6]]",
        "[[1,5],[3,4]]",
        "[[5,6],[1,2]]",
        "[[1,5],[1,5]]",
        "[[1,2]\v]",
        "[[1;2]]",
        "[1,2]",
        "[[[1,2]]]",
    };
    struct sb_ranges set = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        size_t len = strlen(bad[i]);
        char *copy = malloc(len + 1);
        struct sb_err err = {0};

        assert_non_null(copy);
        memcpy(copy, bad[i], len);
        if (sb_ranges_parse(&set, (struct sb_span){copy, len}, 100, &err) != -SB_EBAD_VALUE)
            fail_msg("%s: not refused as it should be: %s", bad[i], err.msg);
        assert_non_null(strstr(err.msg, "intervals: "));
        free(copy);
    }
    assert_int_equal(sb_ranges_parse(&set, (struct sb_span){"[\0]", 3}, 9, NULL), -SB_EBAD_VALUE);
    sb_ranges_free(&set);
}

static void a_changed_text_is_refused_or_another_canonical_set(void **state)
{
    static const char marks[] = "[],0123456789 ";
    struct sb_ranges set = {0};
    struct sb_rng rng;
    unsigned good = 0;

    (void)state;
    sb_rng_seed(&rng, 3);
    for (int i = 0; i < 50000; i++) {
        char text[] = "[[1,5],[7,7],[20,300],[9007199254740980,9007199254740990]]";

        for (uint64_t n = 1 + sb_rng_below(&rng, 3); n > 0; n--)
            text[sb_rng_below(&rng, sizeof(text) - 1)] =
                marks[sb_rng_below(&rng, sizeof(marks) - 1)];
        if (sb_ranges_parse(&set, sb_span_of(text), 100, NULL) < 0)
            continue;
        good++;
        for (size_t k = 0; k < set.count; k++) {
            assert_true(set.at[k].lo >= 1 && set.at[k].lo <= set.at[k].hi);
            assert_true(set.at[k].hi <= SB_SEQ_MAX);
            assert_true(k == 0 || set.at[k].lo > set.at[k - 1].hi + 1);
        }
        check_text(&set);
    }
    assert_true(good > 1000);
    sb_ranges_free(&set);
}

static void many_intervals_stay_quick(void **state)
{
    struct sb_ranges set = {0}, other = {0};

    (void)state;
    for (uint64_t i = 1; i <= 100000; i++)
        sb_ranges_add(&set, i * 2, i * 2);
    assert_int_equal(set.count, 100000);
    for (uint64_t i = 1; i <= 100000; i++)
        assert_true(sb_ranges_has(&set, i * 2) && !sb_ranges_has(&set, i * 2 + 1));
    sb_ranges_copy(&other, &set);
    sb_ranges_add(&set, 1, 200001);
    assert_int_equal(set.count, 1);
    sb_ranges_remove(&other, 1, 200000);
    assert_int_equal(other.count, 0);
    sb_ranges_free(&set);
    sb_ranges_free(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_steps_keep_to_the_model),
        cmocka_unit_test(whole_sets_are_added_and_removed),
        cmocka_unit_test(the_ends_of_the_range_of_numbers),
        cmocka_unit_test(a_text_may_have_white_space_and_adjacent_intervals),
        cmocka_unit_test(bad_texts_are_refused),
        cmocka_unit_test(a_changed_text_is_refused_or_another_canonical_set),
        cmocka_unit_test(many_intervals_stay_quick),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
