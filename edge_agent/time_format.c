#include "edge_agent/time_format.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

/* What a pattern has found so far. */
struct parts {
    int year, month, day, hour, minute, second, us;
    int offset_min;
    bool has_offset, twelve_hours, pm, has_pm;
};

struct cursor {
    const char *at, *end;
};

static const char *const months[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};

/* ---- set-up ---- */

static int parse_offset(const char *zone, int *minutes)
{
    int hours, rest;
    char sign, end;

    if (sscanf(zone, "%c%2d:%2d%c", &sign, &hours, &rest, &end) != 3 || strlen(zone) != 6 ||
        (sign != '+' && sign != '-') || hours < 0 || hours > 23 || rest < 0 || rest > 59)
        return -1;
    *minutes = (hours * 60 + rest) * (sign == '-' ? -1 : 1);
    return 0;
}

/* glibc takes a zone it does not know for UTC without a word, so the file is looked for. */
static bool zone_known(const char *name)
{
    char path[256];

    if (strstr(name, "..") != NULL || name[0] == '/' ||
        snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name) >= (int)sizeof(path))
        return false;
    return access(path, R_OK) == 0;
}

static int set_zone(struct time_format *tf, const char *zone, struct sb_err *err)
{
    tf->has_zone = zone != NULL;
    if (zone == NULL || strcmp(zone, "UTC") == 0 || strcmp(zone, "Z") == 0 ||
        parse_offset(zone, &tf->offset_min) == 0)
        return 0;
    if (!isalpha((unsigned char)zone[0]) || !zone_known(zone))
        return sb_fail(err, SB_EBAD_VALUE,
                       "zone '%.64s': not UTC, +hh:mm or a time zone known on this machine", zone);
    tf->named_zone = true;
    setenv("TZ", zone, 1);
    tzset();
    return 0;
}

static int check_pattern(const char *pattern, struct sb_err *err)
{
    bool has_date = false;

    for (const char *at = pattern; *at != '\0'; at++) {
        if (*at != '%')
            continue;
        at++;
        if (*at == '\0' || strchr("YymdeHIMSfpbBz%", *at) == NULL)
            return sb_fail(err, SB_EBAD_VALUE, "time format '%.64s': '%%%c' is not known", pattern,
                           *at != '\0' ? *at : ' ');
        has_date = has_date || *at == 'Y' || *at == 'y';
    }
    if (!has_date)
        return sb_fail(err, SB_EBAD_VALUE,
                       "time format '%.64s': not rfc3339, iso8601, epoch_s, epoch_ms, epoch_us or "
                       "a pattern with %%Y",
                       pattern);
    return 0;
}

static bool epoch_unit(const char *format, int64_t *unit_us)
{
    static const struct {
        const char *name;
        int64_t us;
    } units[] = {{"epoch_s", 1000000}, {"epoch_ms", 1000}, {"epoch_us", 1}};

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(format, units[i].name) == 0) {
            *unit_us = units[i].us;
            return true;
        }
    }
    return false;
}

int time_format_init(struct time_format *tf, const char *format, const char *zone,
                     struct sb_err *err)
{
    int rc;

    *tf = (struct time_format){.kind = TIME_PATTERN};
    if (strcmp(format, "rfc3339") == 0) {
        tf->kind = TIME_RFC3339;
    } else if (strcmp(format, "iso8601") == 0) {
        tf->kind = TIME_ISO8601;
    } else if (epoch_unit(format, &tf->unit_us)) {
        tf->kind = TIME_EPOCH;
    } else {
        rc = check_pattern(format, err);
        if (rc != 0)
            return rc;
        tf->pattern = sb_xstrdup(format);
    }
    rc = set_zone(tf, zone, err);
    if (rc != 0)
        time_format_fini(tf);
    return rc;
}

void time_format_fini(struct time_format *tf)
{
    free(tf->pattern);
    *tf = (struct time_format){0};
}

/* ---- reading ---- */

static bool digits(struct cursor *c, int least, int most, int *out)
{
    int count = 0;

    *out = 0;
    for (; count < most && c->at < c->end && isdigit((unsigned char)*c->at); count++)
        *out = *out * 10 + (*c->at++ - '0');
    return count >= least;
}

static bool take(struct cursor *c, char wanted)
{
    if (c->at == c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

static bool fraction(struct cursor *c, int *us)
{
    const char *from = c->at;
    int unit = 100000;

    *us = 0;
    for (; c->at < c->end && c->at - from < 9 && isdigit((unsigned char)*c->at); c->at++) {
        *us += (*c->at - '0') * unit;
        unit /= 10;
    }
    return c->at > from;
}

static bool month_name(struct cursor *c, bool whole, int *month)
{
    for (int i = 0; i < 12; i++) {
        size_t len = whole ? strlen(months[i]) : 3;

        if ((size_t)(c->end - c->at) >= len && strncasecmp(c->at, months[i], len) == 0) {
            c->at += len;
            *month = i + 1;
            return true;
        }
    }
    return false;
}

static bool half_day(struct cursor *c, struct parts *p)
{
    if (c->end - c->at < 2 || toupper((unsigned char)c->at[1]) != 'M')
        return false;
    p->pm = toupper((unsigned char)c->at[0]) == 'P';
    p->has_pm = true;
    if (!p->pm && toupper((unsigned char)c->at[0]) != 'A')
        return false;
    c->at += 2;
    return true;
}

static bool offset(struct cursor *c, struct parts *p)
{
    int hours, minutes = 0;
    bool minus;

    p->has_offset = true;
    if (take(c, 'Z') || take(c, 'z'))
        return true;
    minus = c->at < c->end && *c->at == '-';
    if (!take(c, '+') && !take(c, '-'))
        return false;
    if (!digits(c, 2, 2, &hours) || hours > 23)
        return false;
    (void)take(c, ':');
    if (c->at < c->end && isdigit((unsigned char)*c->at) &&
        (!digits(c, 2, 2, &minutes) || minutes > 59))
        return false;
    p->offset_min = (hours * 60 + minutes) * (minus ? -1 : 1);
    return true;
}

static bool two_digit_year(struct cursor *c, struct parts *p)
{
    if (!digits(c, 2, 2, &p->year))
        return false;
    p->year += p->year >= 69 ? 1900 : 2000;
    return true;
}

static bool directive(struct cursor *c, char kind, struct parts *p)
{
    switch (kind) {
    case 'Y':
        return digits(c, 4, 4, &p->year);
    case 'y':
        return two_digit_year(c, p);
    case 'm':
        return digits(c, 2, 2, &p->month);
    case 'd':
        return digits(c, 2, 2, &p->day);
    case 'e':
        return digits(c, 1, 2, &p->day);
    case 'H':
        return digits(c, 2, 2, &p->hour);
    case 'I':
        p->twelve_hours = true;
        return digits(c, 2, 2, &p->hour);
    case 'M':
        return digits(c, 2, 2, &p->minute);
    case 'S':
        return digits(c, 2, 2, &p->second);
    case 'f':
        return fraction(c, &p->us);
    case 'p':
        return half_day(c, p);
    case 'b':
        return month_name(c, false, &p->month);
    case 'B':
        return month_name(c, true, &p->month);
    case 'z':
        return offset(c, p);
    default:
        return take(c, kind);
    }
}

static bool match(const char *pattern, struct cursor *c, struct parts *p)
{
    for (; *pattern != '\0'; pattern++) {
        if (*pattern == '%') {
            if (!directive(c, *++pattern, p))
                return false;
        } else if (!take(c, *pattern)) {
            return false;
        }
    }
    return c->at == c->end;
}

/* To microseconds since 1970; false for a date or time of day that does not exist. */
static bool to_wall(const struct time_format *tf, struct parts p, int64_t *wall_us)
{
    struct tm tm, back;
    time_t seconds;

    if (p.twelve_hours) {
        if (!p.has_pm || p.hour < 1 || p.hour > 12)
            return false;
        p.hour = p.hour % 12 + (p.pm ? 12 : 0);
    }
    if (p.month < 1 || p.month > 12 || p.day < 1 || p.day > 31 || p.hour > 23 || p.minute > 59 ||
        p.second > 60)
        return false;
    tm = (struct tm){.tm_year = p.year - 1900,
                     .tm_mon = p.month - 1,
                     .tm_mday = p.day,
                     .tm_hour = p.hour,
                     .tm_min = p.minute,
                     .tm_sec = p.second,
                     .tm_isdst = -1};
    back = tm;
    back.tm_hour = 12;
    (void)timegm(&back); /* normalises: the 31st of June becomes the 1st of July */
    if (back.tm_mday != p.day)
        return false;
    if (tf->named_zone && !p.has_offset)
        seconds = mktime(&tm);
    else
        seconds = timegm(&tm) - (p.has_offset ? p.offset_min : tf->offset_min) * INT64_C(60);
    *wall_us = (int64_t)seconds * 1000000 + p.us;
    return true;
}

static bool read_epoch(const struct time_format *tf, struct sb_span text, int64_t *wall_us)
{
    struct cursor c = {text.data, text.data + text.len};
    bool minus = take(&c, '-');
    int64_t whole = 0;
    const char *from = c.at;
    int us = 0;

    for (; c.at < c.end && isdigit((unsigned char)*c.at); c.at++) {
        whole = whole * 10 + (*c.at - '0');
        if (whole > INT64_MAX / 16 / tf->unit_us)
            return false;
    }
    if (c.at == from)
        return false;
    if (tf->unit_us == 1000000 && take(&c, '.') && !fraction(&c, &us))
        return false;
    *wall_us = (whole * tf->unit_us + us) * (minus ? -1 : 1);
    return c.at == c.end;
}

static bool read_iso(const struct time_format *tf, struct sb_span text, int64_t *wall_us)
{
    static const char *const patterns[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S",
                                           "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S.%f"};

    if (sb_time_parse(text, wall_us))
        return true;
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        struct cursor c = {text.data, text.data + text.len};
        struct parts p = {0};

        if (match(patterns[i], &c, &p))
            return to_wall(tf, p, wall_us);
    }
    return false;
}

bool time_format_read(const struct time_format *tf, struct sb_span text, int64_t *wall_us)
{
    struct cursor c = {text.data, text.data + text.len};
    struct parts p = {.month = 1, .day = 1};

    switch (tf->kind) {
    case TIME_RFC3339:
        return sb_time_parse(text, wall_us);
    case TIME_ISO8601:
        return read_iso(tf, text, wall_us);
    case TIME_EPOCH:
        return read_epoch(tf, text, wall_us);
    case TIME_PATTERN:
        return match(tf->pattern, &c, &p) && to_wall(tf, p, wall_us);
    }
    return false;
}
