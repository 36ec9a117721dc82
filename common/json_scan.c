#include "json_scan.h"

#include <string.h>

#include "json_text.h"
#include "json_walk.h"

int sb_json_check(struct sb_span text, const struct sb_json_limits *limits, struct sb_span *value,
                  struct sb_err *err)
{
    struct sb_walk walk;
    int rc = sb_walk_init(&walk, text, limits, err);

    if (rc == 0)
        rc = sb_walk_value(&walk, NULL, value);
    if (rc == 0)
        rc = sb_walk_end(&walk);
    sb_walk_fini(&walk);
    return rc;
}

enum sb_json_type sb_json_type_of(struct sb_span value)
{
    switch (value.len > 0 ? value.data[0] : 'n') {
    case '"':
        return SB_JSON_STRING;
    case '[':
        return SB_JSON_ARRAY;
    case '{':
        return SB_JSON_OBJECT;
    case 't':
        return SB_JSON_TRUE;
    case 'f':
        return SB_JSON_FALSE;
    case 'n':
        return SB_JSON_NULL;
    default:
        return SB_JSON_NUMBER;
    }
}

static void space(struct sb_json_iter *iter)
{
    while (iter->at < iter->end && sb_json_is_space(*iter->at))
        iter->at++;
}

void sb_json_iter_init(struct sb_json_iter *iter, struct sb_span container)
{
    iter->at = container.data + 1;
    iter->end = container.data + container.len - 1; /* at the closing bracket */
}

/* Stands before the next element or member; false when there is none. */
static bool more(struct sb_json_iter *iter)
{
    space(iter);
    if (iter->at < iter->end && *iter->at == ',') {
        iter->at++;
        space(iter);
    }
    return iter->at < iter->end;
}

static void take(struct sb_json_iter *iter, struct sb_span *value)
{
    value->data = iter->at;
    iter->at = sb_json_skip(iter->at, iter->end);
    value->len = (size_t)(iter->at - value->data);
}

bool sb_json_next_element(struct sb_json_iter *iter, struct sb_span *value)
{
    if (!more(iter))
        return false;
    take(iter, value);
    return true;
}

bool sb_json_next_member(struct sb_json_iter *iter, struct sb_span *raw_key, struct sb_span *value)
{
    if (!more(iter))
        return false;
    take(iter, raw_key);
    raw_key->data++;
    raw_key->len -= 2;
    space(iter);
    iter->at++; /* the colon */
    space(iter);
    take(iter, value);
    return true;
}

/* Are the characters of a string body those of text? */
static bool body_is(struct sb_span body, const char *text, size_t len)
{
    const char *at = body.data, *end = body.data + body.len;
    char c[4];
    unsigned n;

    if (memchr(body.data, '\\', body.len) == NULL)
        return body.len == len && memcmp(body.data, text, len) == 0;
    while ((n = sb_json_next_char(&at, end, c)) > 0) {
        if (len < n || memcmp(text, c, n) != 0)
            return false;
        text += n;
        len -= n;
    }
    return len == 0;
}

bool sb_json_get(struct sb_span object, const char *key, struct sb_span *value)
{
    size_t len = strlen(key);
    struct sb_json_iter iter;
    struct sb_span raw;

    sb_json_iter_init(&iter, object);
    while (sb_json_next_member(&iter, &raw, value))
        if (body_is(raw, key, len))
            return true;
    return false;
}

size_t sb_json_count(struct sb_span container)
{
    struct sb_json_iter iter;
    struct sb_span value;
    size_t count = 0;

    sb_json_iter_init(&iter, container);
    while (more(&iter)) {
        take(&iter, &value);
        space(&iter);
        if (iter.at < iter.end && *iter.at == ':') {
            iter.at++;
            space(&iter);
            take(&iter, &value);
        }
        count++;
    }
    return count;
}

static struct sb_span body_of(struct sb_span string)
{
    if (string.len > 0 && string.data[0] == '"')
        return (struct sb_span){string.data + 1, string.len - 2};
    return string;
}

void sb_json_unescape(struct sb_span string, struct sb_buf *out)
{
    struct sb_span body = body_of(string);
    const char *at = body.data, *end = body.data + body.len, *slash;
    char c[4];

    while (at < end) {
        slash = memchr(at, '\\', (size_t)(end - at));
        if (slash == NULL)
            slash = end;
        sb_buf_add(out, at, (size_t)(slash - at));
        at = slash;
        if (at < end)
            sb_buf_add(out, c, sb_json_next_char(&at, end, c));
    }
}

bool sb_json_copy(struct sb_span string, char *out, size_t size)
{
    struct sb_span body = body_of(string);
    const char *at = body.data, *end = body.data + body.len;
    size_t len = 0;
    char c[4];
    unsigned n;

    while ((n = sb_json_next_char(&at, end, c)) > 0) {
        if (size - len <= n)
            return false;
        memcpy(out + len, c, n);
        len += n;
    }
    out[len] = '\0';
    return true;
}

bool sb_json_string_is(struct sb_span value, const char *text)
{
    return value.len >= 2 && value.data[0] == '"' && body_is(body_of(value), text, strlen(text));
}

/* Digits only, at least one, at most 20 of them. */
static bool digits(const char *at, size_t len, uint64_t *out)
{
    uint64_t value = 0;

    if (len < 1 || len > 20)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned digit = (unsigned char)at[i] - (unsigned)'0';

        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

bool sb_json_u64(struct sb_span value, uint64_t *out)
{
    return digits(value.data, value.len, out);
}

bool sb_json_i64(struct sb_span value, int64_t *out)
{
    bool minus = value.len > 0 && value.data[0] == '-';
    uint64_t size;

    if (!digits(value.data + minus, value.len - minus, &size) ||
        size > (uint64_t)INT64_MAX + (minus ? 1 : 0))
        return false;
    *out = minus ? (int64_t)(0 - size) : (int64_t)size;
    return true;
}
