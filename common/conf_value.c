#include "conf_value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "check.h"
#include "json_scan.h"

struct unit {
    const char *name;
    int64_t factor;
};

/* The largest first, so that a number is printed in the largest unit that loses nothing. */
static const struct unit durations[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
static const struct unit sizes[] = {
    {"G", INT64_C(1) << 30}, {"M", INT64_C(1) << 20}, {"K", INT64_C(1) << 10}, {"", 1}};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The digits of a whole number and what follows them. */
static bool split_number(const char *text, int64_t *number, const char **rest)
{
    char *end;

    if (strspn(text, "0123456789") == 0)
        return false;
    errno = 0;
    *number = strtoll(text, &end, 10);
    *rest = end;
    return errno == 0;
}

static bool scaled(const char *text, const struct unit *units, size_t count, int64_t *number)
{
    const char *rest;

    if (!split_number(text, number, &rest))
        return false;
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(rest, units[i].name) == 0)
            return !__builtin_mul_overflow(*number, units[i].factor, number);
    return false;
}

static bool parse_duration(const char *text, int64_t *ms)
{
    const char *rest;

    if (split_number(text, ms, &rest) && *rest == '\0')
        return !__builtin_mul_overflow(*ms, 1000, ms);
    return scaled(text, durations, COUNT(durations), ms);
}

static bool parse_int(const char *text, int64_t *number)
{
    const char *rest;
    bool minus = text[0] == '-';

    if (!split_number(text + minus, number, &rest) || *rest != '\0')
        return false;
    if (minus)
        *number = -*number;
    return true;
}

static bool parse_bool(const char *text, int64_t *number)
{
    static const char *const words[][2] = {
        {"no", "yes"}, {"false", "true"}, {"off", "on"}, {"0", "1"}};

    for (size_t i = 0; i < COUNT(words); i++) {
        for (int value = 0; value < 2; value++) {
            if (strcasecmp(text, words[i][value]) == 0) {
                *number = value;
                return true;
            }
        }
    }
    return false;
}

static void print_number(enum sb_conf_type type, int64_t number, char *out, size_t size)
{
    const struct unit *unit = &sizes[COUNT(sizes) - 1];

    if (type == SB_CONF_MS)
        for (unit = durations; number % unit->factor != 0; unit++)
            continue;
    if (type == SB_CONF_BYTES)
        for (unit = sizes; number % unit->factor != 0; unit++)
            continue;
    if (number == 0)
        unit = &sizes[COUNT(sizes) - 1];
    snprintf(out, size, "%" PRId64 "%s", number / unit->factor, unit->name);
}

void sb_conf_value_range(const struct sb_conf_key *key, char *out, size_t size)
{
    char min[32], max[32];

    out[0] = '\0';
    if (key->min == 0 && key->max == 0)
        return;
    print_number(key->type, key->min, min, sizeof(min));
    print_number(key->type, key->max, max, sizeof(max));
    snprintf(out, size, "%s to %s", min, max);
}

static bool parse(const struct sb_conf_key *key, const char *text, int64_t *number)
{
    switch (key->type) {
    case SB_CONF_STRING:
    case SB_CONF_PATH:
        *number = 0;
        return sb_utf8_valid(sb_span_of(text), NULL);
    case SB_CONF_INT:
        return parse_int(text, number);
    case SB_CONF_BOOL:
        return parse_bool(text, number);
    case SB_CONF_MS:
        return parse_duration(text, number);
    case SB_CONF_BYTES:
        return scaled(text, sizes, COUNT(sizes), number);
    }
    return false;
}

static const char *wanted(enum sb_conf_type type)
{
    switch (type) {
    case SB_CONF_STRING:
    case SB_CONF_PATH:
        return "valid UTF-8";
    case SB_CONF_INT:
        return "a whole number";
    case SB_CONF_BOOL:
        return "yes or no";
    case SB_CONF_MS:
        return "a duration (500ms, 30s, 5m, 2h, 7d)";
    case SB_CONF_BYTES:
        return "a size (4096, 128K, 64M, 1G)";
    }
    return "";
}

int sb_conf_value_parse(const struct sb_conf_key *key, const char *text, int64_t *number,
                        struct sb_err *err)
{
    bool is_text = key->type == SB_CONF_STRING || key->type == SB_CONF_PATH;
    char range[80];

    *number = 0;
    if (text[0] == '\0' && (is_text || key->fallback[0] == '\0'))
        return 0;
    if (!parse(key, text, number))
        return sb_fail(err, SB_ECONFIG, "%s.%s: '%.64s' is not %s", key->section, key->key,
                       sb_conf_value_shown(text), wanted(key->type));
    if ((key->min != 0 || key->max != 0) && (*number < key->min || *number > key->max)) {
        sb_conf_value_range(key, range, sizeof(range));
        return sb_fail(err, SB_ECONFIG, "%s.%s: %s is out of range (%s)", key->section, key->key,
                       text, range);
    }
    return 0;
}

const char *sb_conf_value_shown(const char *text)
{
    for (const char *at = text; *at != '\0'; at++)
        if (*at < 0x20 || *at > 0x7e)
            return "(not ASCII)";
    return text;
}

static bool ends_with(const char *text, const char *end)
{
    size_t text_len = strlen(text), end_len = strlen(end);

    return text_len >= end_len && strcasecmp(text + text_len - end_len, end) == 0;
}

bool sb_conf_value_is_secret(const struct sb_conf_key *key)
{
    if (key->type != SB_CONF_STRING && key->type != SB_CONF_PATH)
        return false; /* such as a switch require_token */
    if (ends_with(key->key, "_file"))
        return false;
    return strcasestr(key->key, "password") != NULL || strcasestr(key->key, "secret") != NULL ||
           strcasestr(key->key, "token") != NULL || ends_with(key->key, "key");
}
