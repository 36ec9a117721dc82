#include "clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct sb_now sb_clock_now(void)
{
    struct timespec mono, wall;

    clock_gettime(CLOCK_BOOTTIME, &mono);
    clock_gettime(CLOCK_REALTIME, &wall);
    return (struct sb_now){
        .mono_ms = (int64_t)mono.tv_sec * 1000 + mono.tv_nsec / 1000000,
        .wall_us = (int64_t)wall.tv_sec * 1000000 + wall.tv_nsec / 1000,
    };
}

/* Days since 1970-01-01 of a proleptic Gregorian date (Howard Hinnant, days_from_civil). */
static int64_t days_of(int64_t y, int m, int d)
{
    int64_t era;
    int64_t yoe, doy, doe;

    y -= m <= 2;
    era = (y >= 0 ? y : y - 399) / 400;
    yoe = y - era * 400;
    doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

static void civil_of(int64_t days, int64_t *y, int *m, int *d)
{
    int64_t era, doe, yoe, doy, mp;

    days += 719468;
    era = (days >= 0 ? days : days - 146096) / 146097;
    doe = days - era * 146097;
    yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    mp = (5 * doy + 2) / 153;
    *d = (int)(doy - (153 * mp + 2) / 5 + 1);
    *m = (int)(mp < 10 ? mp + 3 : mp - 9);
    *y = yoe + era * 400 + (*m <= 2);
}

static char *put_digits(char *at, int64_t value, int width)
{
    for (int i = width - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return at + width;
}

static char *put_fraction(char *at, int64_t us)
{
    if (us == 0)
        return at;
    *at++ = '.';
    if (us % 1000 == 0)
        return put_digits(at, us / 1000, 3);
    return put_digits(at, us, 6);
}

void sb_time_print(int64_t wall_us, char out[SB_TIME_TEXT])
{
    const int64_t lowest = days_of(0, 1, 1) * 86400000000;
    const int64_t highest = days_of(10000, 1, 1) * 86400000000 - 1;
    int64_t days, rest, year;
    int month, day;
    char *at = out;

    wall_us = wall_us < lowest ? lowest : wall_us > highest ? highest : wall_us;
    days = wall_us / 86400000000 - (wall_us % 86400000000 < 0);
    rest = wall_us - days * 86400000000;
    civil_of(days, &year, &month, &day);
    at = put_digits(at, year, 4);
    *at++ = '-';
    at = put_digits(at, month, 2);
    *at++ = '-';
    at = put_digits(at, day, 2);
    *at++ = 'T';
    at = put_digits(at, rest / 3600000000, 2);
    *at++ = ':';
    at = put_digits(at, rest / 60000000 % 60, 2);
    *at++ = ':';
    at = put_digits(at, rest / 1000000 % 60, 2);
    at = put_fraction(at, rest % 1000000);
    *at++ = 'Z';
    *at = '\0';
}

/* Takes exactly `width` digits; returns -1 when there are other characters. */
static int64_t digits(const char **at, const char *end, int width)
{
    int64_t value = 0;

    if (end - *at < width)
        return -1;
    for (int i = 0; i < width; i++) {
        char c = (*at)[i];

        if (c < '0' || c > '9')
            return -1;
        value = value * 10 + (c - '0');
    }
    *at += width;
    return value;
}

static bool take(const char **at, const char *end, const char *any)
{
    if (*at == end || **at == '\0' || strchr(any, **at) == NULL)
        return false;
    (*at)++;
    return true;
}

static bool fraction(const char **at, const char *end, int64_t *us)
{
    int64_t unit = 100000;
    const char *from;

    *us = 0;
    if (!take(at, end, "."))
        return true;
    from = *at;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
        *us += (**at - '0') * unit;
        unit /= 10;
    }
    return *at > from;
}

static bool zone(const char **at, const char *end, int64_t *offset_min)
{
    int64_t hours, minutes;
    bool minus;

    *offset_min = 0;
    if (take(at, end, "Zz"))
        return true;
    minus = *at < end && **at == '-';
    if (!take(at, end, "+-"))
        return false;
    hours = digits(at, end, 2);
    if (hours < 0 || hours > 23 || !take(at, end, ":"))
        return false;
    minutes = digits(at, end, 2);
    if (minutes < 0 || minutes > 59)
        return false;
    *offset_min = (hours * 60 + minutes) * (minus ? -1 : 1);
    return true;
}

static int days_in_month(int64_t year, int64_t month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return days[month - 1] + (month == 2 && leap);
}

static bool leap_second_possible(int64_t utc_minute_of_day)
{
    return utc_minute_of_day == 23 * 60 + 59;
}

bool sb_time_parse(struct sb_span text, int64_t *wall_us)
{
    const char *at = text.data, *end = text.data + text.len;
    int64_t year, month, day, hour, minute, second, us, offset, utc_minute;

    year = digits(&at, end, 4);
    if (year < 0 || !take(&at, end, "-"))
        return false;
    month = digits(&at, end, 2);
    if (month < 1 || month > 12 || !take(&at, end, "-"))
        return false;
    day = digits(&at, end, 2);
    if (day < 1 || day > days_in_month(year, month) || !take(&at, end, "Tt "))
        return false;
    hour = digits(&at, end, 2);
    if (hour < 0 || hour > 23 || !take(&at, end, ":"))
        return false;
    minute = digits(&at, end, 2);
    if (minute < 0 || minute > 59 || !take(&at, end, ":"))
        return false;
    second = digits(&at, end, 2);
    if (second < 0 || second > 60 || !fraction(&at, end, &us) || !zone(&at, end, &offset))
        return false;
    utc_minute = ((hour * 60 + minute - offset) % 1440 + 1440) % 1440;
    if (at != end || (second == 60 && !leap_second_possible(utc_minute)))
        return false;
    *wall_us =
        ((days_of(year, (int)month, (int)day) * 1440 + hour * 60 + minute - offset) * 60 + second) *
            1000000 +
        us;
    return true;
}
