#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/backoff.h"

#define START  1000000
#define ROUNDS 200 /* seeds tried where the answer depends on chance */

/* The first connection of a daemon that starts, at START. */
static struct sb_backoff connected_at_start(void)
{
    struct sb_backoff b;

    sb_backoff_init(&b, START);
    sb_backoff_connecting(&b);
    sb_backoff_up(&b, START);
    return b;
}

/* Connects and loses the connection after that time; the time of the loss is returned. */
static int64_t live(struct sb_backoff *b, int64_t now_ms, int64_t life_ms, struct sb_rng *rng)
{
    sb_backoff_connecting(b);
    sb_backoff_up(b, now_ms);
    sb_backoff_down(b, now_ms + life_ms, rng);
    return now_ms + life_ms;
}

/* An attempt that fails at once; the wait that follows is returned. */
static int64_t fail_at(struct sb_backoff *b, int64_t now_ms, struct sb_rng *rng)
{
    sb_backoff_connecting(b);
    sb_backoff_down(b, now_ms, rng);
    return b->due_ms - now_ms;
}

static void it_is_due_at_once_after_the_start(void **state)
{
    struct sb_backoff b;

    (void)state;
    sb_backoff_init(&b, START);
    assert_true(sb_backoff_due(&b, START));
    assert_false(sb_backoff_flapping(&b));
}

static void nothing_is_due_while_connecting_or_connected(void **state)
{
    struct sb_backoff b;

    (void)state;
    sb_backoff_init(&b, START);
    sb_backoff_connecting(&b);
    assert_false(sb_backoff_due(&b, INT64_MAX - 1));
    sb_backoff_up(&b, START + 5);
    assert_false(sb_backoff_due(&b, INT64_MAX - 1));
    sb_backoff_network_up(&b, START + 6);
    assert_false(sb_backoff_due(&b, INT64_MAX - 1));
}

static void waits_double_from_half_a_second_to_two_in_the_first_minute(void **state)
{
    static const int64_t bases[] = {500, 1000, 2000, 2000, 2000};
    struct sb_rng rng;

    (void)state;
    for (uint64_t seed = 0; seed < ROUNDS; seed++) {
        struct sb_backoff b;
        int64_t now = START;

        sb_rng_seed(&rng, seed);
        sb_backoff_init(&b, now);
        for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
            int64_t wait = fail_at(&b, now, &rng);

            assert_in_range(wait, bases[i] / 2, bases[i]);
            assert_false(sb_backoff_due(&b, now + wait - 1));
            assert_true(sb_backoff_due(&b, now + wait));
            now += wait;
        }
    }
}

static void after_the_first_minute_they_double_up_to_half_a_minute(void **state)
{
    struct sb_rng rng;
    int64_t longest = 0;

    (void)state;
    for (uint64_t seed = 0; seed < ROUNDS; seed++) {
        struct sb_backoff b;
        int64_t now = START, wait = 0;

        sb_rng_seed(&rng, seed);
        sb_backoff_init(&b, now);
        while (now < START + 60000) {
            wait = fail_at(&b, now, &rng);
            assert_in_range(wait, 250, 2000);
            now += wait;
        }
        for (int i = 0; i < 50; i++) {
            wait = fail_at(&b, now, &rng);
            assert_in_range(wait, 15000, 30000); /* so many failed before that it is the most */
            longest = wait > longest ? wait : longest;
            now += wait;
        }
    }
    assert_in_range(longest, 29000, 30000);
}

static void jitter_spreads_a_fleet_over_half_the_wait(void **state)
{
    int below = 0, above = 0;
    struct sb_rng rng;

    (void)state;
    for (uint64_t seed = 0; seed < ROUNDS; seed++) {
        struct sb_backoff b;
        int64_t wait;

        sb_rng_seed(&rng, seed);
        sb_backoff_init(&b, START);
        wait = fail_at(&b, START, &rng);
        below += wait < 350;
        above += wait > 400;
    }
    assert_in_range(below, ROUNDS / 5, ROUNDS);
    assert_in_range(above, ROUNDS / 5, ROUNDS);
}

static void a_connection_that_lived_starts_over(void **state)
{
    struct sb_backoff b = connected_at_start();
    struct sb_rng rng;
    int64_t now = START + 3600000;

    (void)state;
    sb_rng_seed(&rng, 1);
    sb_backoff_down(&b, now, &rng);
    assert_in_range(b.due_ms - now, 250, 500);
    assert_in_range(fail_at(&b, now + 400, &rng), 500, 1000);
    assert_in_range(fail_at(&b, now + 59000, &rng), 1000, 2000); /* the outage's own minute */
    assert_in_range(fail_at(&b, now + 61000, &rng), 2000, 4000);
    now = live(&b, now + 100000, 10000, &rng);
    assert_in_range(b.due_ms - now, 250, 500);
}

static void a_network_that_comes_up_is_tried_at_once(void **state)
{
    struct sb_backoff b;
    struct sb_rng rng;
    int64_t now = START;

    (void)state;
    sb_rng_seed(&rng, 2);
    sb_backoff_init(&b, now);
    for (int i = 0; i < 100; i++)
        now += fail_at(&b, now, &rng);
    fail_at(&b, now, &rng);
    assert_false(sb_backoff_due(&b, now + 1));
    sb_backoff_network_up(&b, now + 1);
    assert_true(sb_backoff_due(&b, now + 1));
    assert_in_range(fail_at(&b, now + 1, &rng), 250, 500); /* and again as after a start */

    sb_backoff_connecting(&b); /* an attempt under way is not started twice */
    sb_backoff_network_up(&b, now + 2);
    assert_false(sb_backoff_due(&b, now + 2));
}

static void three_short_lives_in_a_row_mean_another_client(void **state)
{
    struct sb_rng rng;

    (void)state;
    for (uint64_t seed = 0; seed < ROUNDS; seed++) {
        struct sb_backoff b;
        int64_t now = START;

        sb_rng_seed(&rng, seed);
        sb_backoff_init(&b, now);
        for (int i = 0; i < 2; i++) {
            now = live(&b, now, 9999, &rng);
            assert_false(sb_backoff_flapping(&b));
            assert_in_range(b.due_ms - now, 250, 2000);
            now = b.due_ms;
        }
        now = live(&b, now, 9999, &rng);
        assert_true(sb_backoff_flapping(&b));
        assert_in_range(b.due_ms - now, 30000, 120000);
    }
}

static void the_wait_for_the_other_client_doubles_up_to_sixteen_minutes(void **state)
{
    static const int64_t least[] = {30000, 60000, 120000, 240000, 480000, 960000, 960000};
    static const int64_t most[] = {120000, 240000, 480000, 960000, 960000, 960000, 960000};
    struct sb_rng rng;

    (void)state;
    for (uint64_t seed = 0; seed < ROUNDS; seed++) {
        struct sb_backoff b;
        int64_t now = START;

        sb_rng_seed(&rng, seed);
        sb_backoff_init(&b, now);
        for (int i = 0; i < 2; i++)
            now = live(&b, now, 1000, &rng);
        for (size_t i = 0; i < sizeof(least) / sizeof(least[0]); i++) {
            now = live(&b, now, 1000, &rng);
            assert_in_range(b.due_ms - now, least[i], most[i]);
            now = b.due_ms;
        }
    }
}

static void failed_attempts_between_do_not_break_the_row(void **state)
{
    struct sb_backoff b;
    struct sb_rng rng;
    int64_t now = START;

    (void)state;
    sb_rng_seed(&rng, 3);
    sb_backoff_init(&b, now);
    now = live(&b, now, 1000, &rng);
    fail_at(&b, now, &rng);
    now = live(&b, now, 1000, &rng);
    assert_false(sb_backoff_flapping(&b));
    fail_at(&b, now, &rng);
    live(&b, now, 1000, &rng);
    assert_true(sb_backoff_flapping(&b));
}

static void a_connection_of_ten_seconds_ends_the_suspicion(void **state)
{
    struct sb_backoff b;
    struct sb_rng rng;
    int64_t now = START;

    (void)state;
    sb_rng_seed(&rng, 4);
    sb_backoff_init(&b, now);
    for (int i = 0; i < 5; i++)
        now = live(&b, now, 1000, &rng);
    assert_true(sb_backoff_flapping(&b));
    sb_backoff_connecting(&b);
    sb_backoff_up(&b, now);
    assert_false(sb_backoff_flapping(&b)); /* nothing to warn of while it is connected */
    sb_backoff_down(&b, now + 10000, &rng);
    assert_false(sb_backoff_flapping(&b));
    assert_in_range(b.due_ms - (now + 10000), 250, 500);
    now += 20000;
    for (int i = 0; i < 2; i++)
        now = live(&b, now, 1000, &rng);
    assert_false(sb_backoff_flapping(&b));
}

static void short_lives_are_not_tried_faster_than_failures(void **state)
{
    struct sb_backoff b;
    struct sb_rng rng;
    int64_t now = START;

    (void)state;
    sb_rng_seed(&rng, 5);
    sb_backoff_init(&b, now);
    now = live(&b, now, 100, &rng);
    assert_in_range(b.due_ms - now, 250, 500);
    now = live(&b, now, 100, &rng);
    assert_in_range(b.due_ms - now, 500, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_due_at_once_after_the_start),
        cmocka_unit_test(nothing_is_due_while_connecting_or_connected),
        cmocka_unit_test(waits_double_from_half_a_second_to_two_in_the_first_minute),
        cmocka_unit_test(after_the_first_minute_they_double_up_to_half_a_minute),
        cmocka_unit_test(jitter_spreads_a_fleet_over_half_the_wait),
        cmocka_unit_test(a_connection_that_lived_starts_over),
        cmocka_unit_test(a_network_that_comes_up_is_tried_at_once),
        cmocka_unit_test(three_short_lives_in_a_row_mean_another_client),
        cmocka_unit_test(the_wait_for_the_other_client_doubles_up_to_sixteen_minutes),
        cmocka_unit_test(failed_attempts_between_do_not_break_the_row),
        cmocka_unit_test(a_connection_of_ten_seconds_ends_the_suspicion),
        cmocka_unit_test(short_lives_are_not_tried_faster_than_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
