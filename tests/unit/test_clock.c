/* Times as text: against the C library, at the ends of the years, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/rng.h"

#define YEAR_0    INT64_C(-62167219200000000)
#define YEAR_9999 INT64_C(253402300799999999)

static void prints(int64_t us, const char *expected)
{
    char text[SB_TIME_TEXT];
    int64_t back;

    sb_time_print(us, text);
    assert_string_equal(text, expected);
    if (us < YEAR_0 || us > YEAR_9999)
        return;
    assert_true(sb_time_parse(sb_span_of(text), &back));
    assert_int_equal(back, us);
}

static void times_are_printed_as_short_as_can_be(void **state)
{
    (void)state;
    prints(0, "1970-01-01T00:00:00Z");
    prints(1, "1970-01-01T00:00:00.000001Z");
    prints(1000, "1970-01-01T00:00:00.001Z");
    prints(1500, "1970-01-01T00:00:00.001500Z");
    prints(-1, "1969-12-31T23:59:59.999999Z");
    prints(-1000000, "1969-12-31T23:59:59Z");
    prints(1767323045250000, "2026-01-02T03:04:05.250Z");
    prints(951782400000000, "2000-02-29T00:00:00Z");
    prints(4107542400000000, "2100-03-01T00:00:00Z");
    prints(YEAR_0, "0000-01-01T00:00:00Z");
    prints(YEAR_9999, "9999-12-31T23:59:59.999999Z");
    prints(YEAR_0 - 1, "0000-01-01T00:00:00Z");
    prints(YEAR_9999 + 1, "9999-12-31T23:59:59.999999Z");
    prints(INT64_MIN, "0000-01-01T00:00:00Z");
    prints(INT64_MAX, "9999-12-31T23:59:59.999999Z");
}

static void random_times_agree_with_the_c_library(void **state)
{
    struct sb_rng rng;

    (void)state;
    sb_rng_seed(&rng, 1);
    for (int i = 0; i < 100000; i++) {
        int64_t us =
            YEAR_0 + (int64_t)sb_rng_below(&rng, (uint64_t)YEAR_9999 - (uint64_t)YEAR_0 + 1);
        time_t seconds = (time_t)((us - ((us % 1000000) + 1000000) % 1000000) / 1000000);
        char text[SB_TIME_TEXT], expected[64];
        struct tm tm;
        int64_t back;

        sb_time_print(us, text);
        gmtime_r(&seconds, &tm);
        snprintf(expected, sizeof(expected), "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        assert_memory_equal(text, expected, 19);
        assert_true(sb_time_parse(sb_span_of(text), &back));
        assert_int_equal(back, us);
    }
}

static void parses(const char *text, const char *same)
{
    int64_t us, other;

    if (!sb_time_parse(sb_span_of(text), &us))
        fail_msg("refused: %s", text);
    assert_true(sb_time_parse(sb_span_of(same), &other));
    if (us != other)
        fail_msg("%s is not %s", text, same);
}

static void zones_fractions_and_letters(void **state)
{
    (void)state;
    parses("2026-01-02T03:04:05.123456+08:00", "2026-01-01T19:04:05.123456Z");
    parses("2026-01-02t03:04:05z", "2026-01-02T03:04:05Z");
    parses("2026-01-02 03:04:05Z", "2026-01-02T03:04:05Z");
    parses("2026-01-02T03:04:05-00:00", "2026-01-02T03:04:05Z");
    parses("2026-01-02T03:04:05-23:59", "2026-01-03T03:03:05Z");
    parses("2026-01-02T03:04:05+23:59", "2026-01-01T03:05:05Z");
    parses("2026-01-02T03:04:05.1Z", "2026-01-02T03:04:05.100Z");
    parses("2026-01-02T03:04:05.1234567899999999999Z", "2026-01-02T03:04:05.123456Z");
    parses("0000-01-01T00:00:00+23:59", "0000-01-01T00:00:00+23:59");
    parses("1998-12-31T23:59:60Z", "1999-01-01T00:00:00Z");
    parses("1998-12-31T15:59:60.5-08:00", "1999-01-01T00:00:00.500Z");
    parses("2024-03-01T00:00:00+00:01", "2024-02-29T23:59:00Z");
    parses("2000-03-01T00:00:00+00:01", "2000-02-29T23:59:00Z");
    parses("2023-03-01T00:00:00+00:01", "2023-02-28T23:59:00Z");
}

static void what_is_no_time_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "2026",
        "2026-01-02",
        "2026-01-02T03:04:05",
        "2026-01-02T03:04:05.Z",
        "2026-01-02T03:04Z",
        "2026-01-02T03:04:05+08",
        "2026-01-02T03:04:05+0800",
        "2026-01-02T03:04:05+24:00",
        "2026-01-02T03:04:05+08:60",
        "2026-01-02T03:04:05ZZ",
        "2026-01-02T03:04:05Z ",
        " 2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05Z\n",
        "2026-00-02T03:04:05Z",
        "2026-13-02T03:04:05Z",
        "2026-01-00T03:04:05Z",
        "2026-01-32T03:04:05Z",
        "2026-02-29T03:04:05Z",
        "1900-02-29T03:04:05Z",
        "2026-04-31T03:04:05Z",
        "2026-01-02T24:00:00Z",
        "2026-01-02T03:60:05Z",
        "2026-01-02T03:04:61Z",
        "2026-01-02T03:04:60Z",
        "1998-12-31T23:58:60Z",
        "1998-12-31T23:59:60+01:00",
        "2026-1-02T03:04:05Z",
        "26-01-02T03:04:05Z",
        "+2026-01-02T03:04:05Z",
        "-026-01-02T03:04:05Z",
        "2026/01/02T03:04:05Z",
        "2026-01-02_03:04:05Z",
        "2026-01-02T03.04.05Z",
        "2026-01-02T03:04:05,5Z",
        "2026-01-02T03:04:0 Z",
        "2026-01-02T03:04:05 Z",
        "2026-01-02T03:04:05.5.5Z",
        "2026-01-02T03:04:05+-8:00",
        "now",
        "1767323045",
    };
    int64_t us;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (sb_time_parse(sb_span_of(bad[i]), &us))
            fail_msg("taken: %s", bad[i]);
    assert_false(sb_time_parse((struct sb_span){"2026-01-02T03:04:05\0", 20}, &us));
    assert_false(sb_time_parse((struct sb_span){"2026-01-02\0"
                                                "03:04:05Z",
                                                20},
                               &us));
}

/* No prefix of a time is one, and nothing is read behind the end. */
static void cut_off_times_are_refused(void **state)
{
    static const char whole[] = "2026-01-02T03:04:05.123456+08:00";
    int64_t us;

    (void)state;
    for (size_t len = 0; len + 1 < sizeof(whole); len++) {
        char *copy = malloc(len > 0 ? len : 1);

        assert_non_null(copy);
        memcpy(copy, whole, len);
        assert_false(sb_time_parse((struct sb_span){copy, len}, &us));
        free(copy);
    }
}

static void both_clocks_run(void **state)
{
    struct sb_now a = sb_clock_now(), b = sb_clock_now();

    (void)state;
    assert_true(a.mono_ms > 0 && b.mono_ms >= a.mono_ms);
    assert_true(a.wall_us / 1000000 - (int64_t)time(NULL) <= 1);
    assert_true((int64_t)time(NULL) - a.wall_us / 1000000 <= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_printed_as_short_as_can_be),
        cmocka_unit_test(random_times_agree_with_the_c_library),
        cmocka_unit_test(zones_fractions_and_letters),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(cut_off_times_are_refused),
        cmocka_unit_test(both_clocks_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
