#include "array_keys.h"

#include <stdlib.h>
#include <string.h>

#include "json_scan.h"
#include "pointers.h"

void sb_array_keys_free(struct sb_array_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        free(keys->at[i].pattern);
        free(keys->at[i].member);
    }
    free(keys->at);
    *keys = (struct sb_array_keys){0};
}

static char *characters(struct sb_span string)
{
    struct sb_buf plain = {0};

    sb_json_unescape(string, &plain);
    return sb_buf_take(&plain);
}

static int parse_entry(struct sb_array_keys *keys, struct sb_span key, struct sb_span value,
                       struct sb_err *err)
{
    struct sb_array_key *entry;

    if (sb_json_type_of(value) != SB_JSON_STRING)
        return sb_fail(err, SB_EBAD_TYPE, "arrays: %.*s: not the name of a member",
                       (int)(key.len < 64 ? key.len : 64), key.data);
    if (keys->count == SB_ARRAY_KEYS_MAX)
        return sb_fail(err, SB_EBAD_VALUE, "arrays: more than %d entries", SB_ARRAY_KEYS_MAX);
    keys->at = sb_xgrow(keys->at, keys->count, sizeof(*keys->at));
    entry = &keys->at[keys->count++];
    entry->pattern = characters(key);
    entry->member = characters(value);
    if (!sb_pointer_valid(sb_span_of(entry->pattern)))
        return sb_fail(err, SB_EBAD_VALUE, "arrays: %.64s is not a JSON pointer", entry->pattern);
    if (entry->member[0] == '\0')
        return sb_fail(err, SB_EBAD_VALUE, "arrays: %.64s: the name of a member is empty",
                       entry->pattern);
    return 0;
}

static int by_pattern(const void *left, const void *right)
{
    const struct sb_array_key *a = left, *b = right;

    return strcmp(a->pattern, b->pattern);
}

static int parse_entries(struct sb_array_keys *keys, struct sb_span object, struct sb_err *err)
{
    struct sb_json_iter iter;
    struct sb_span key, value;
    struct sb_buf printed = {0};
    int rc = 0;

    sb_json_iter_init(&iter, object);
    while (rc == 0 && sb_json_next_member(&iter, &key, &value))
        rc = parse_entry(keys, key, value, err);
    if (rc < 0)
        return rc;
    if (keys->count > 0)
        qsort(keys->at, keys->count, sizeof(*keys->at), by_pattern);
    sb_array_keys_print(keys, &printed);
    if (printed.len > SB_ARRAY_KEYS_BYTES)
        rc = sb_fail(err, SB_EBAD_VALUE, "arrays: more than %d bytes", SB_ARRAY_KEYS_BYTES);
    sb_buf_free(&printed);
    return rc;
}

int sb_array_keys_parse(struct sb_array_keys *keys, struct sb_span text, struct sb_err *err)
{
    static const struct sb_json_limits limits = {8 * SB_ARRAY_KEYS_BYTES, SB_JSON_MAX_DEPTH,
                                                 SB_JSON_MAX_NODES};
    int rc;

    sb_array_keys_free(keys);
    if (text.len == 0)
        return 0;
    rc = sb_json_check(text, &limits, &text, err);
    if (rc < 0)
        return rc;
    if (sb_json_type_of(text) != SB_JSON_OBJECT)
        return sb_fail(err, SB_EBAD_TYPE, "arrays: not an object");
    rc = parse_entries(keys, text, err);
    if (rc < 0)
        sb_array_keys_free(keys);
    return rc;
}

void sb_array_keys_print(const struct sb_array_keys *keys, struct sb_buf *out)
{
    sb_buf_add_char(out, '{');
    for (size_t i = 0; i < keys->count; i++) {
        if (i > 0)
            sb_buf_add_char(out, ',');
        sb_buf_add_json(out, sb_span_of(keys->at[i].pattern));
        sb_buf_add_char(out, ':');
        sb_buf_add_json(out, sb_span_of(keys->at[i].member));
    }
    sb_buf_add_char(out, '}');
}

/* The part of a pointer up to its next slash; both stand after one. */
static struct sb_span take_segment(struct sb_span *pointer)
{
    const char *slash = memchr(pointer->data, '/', pointer->len);
    struct sb_span segment = {pointer->data,
                              slash != NULL ? (size_t)(slash - pointer->data) : pointer->len};

    pointer->data += segment.len;
    pointer->len -= segment.len;
    return segment;
}

static bool fits(struct sb_span pattern, struct sb_span pointer)
{
    struct sb_span wanted, segment;

    while (pattern.len > 0 && pointer.len > 0) {
        pattern.data++, pattern.len--; /* the slash */
        pointer.data++, pointer.len--;
        wanted = take_segment(&pattern);
        segment = take_segment(&pointer);
        if (!sb_span_is(wanted, "*") && !sb_span_eq(wanted, segment))
            return false;
    }
    return pattern.len == 0 && pointer.len == 0;
}

const char *sb_array_keys_member(const struct sb_array_keys *keys, struct sb_span pointer)
{
    if (keys == NULL)
        return NULL;
    for (size_t i = 0; i < keys->count; i++)
        if (sb_span_is(pointer, keys->at[i].pattern))
            return keys->at[i].member;
    for (size_t i = 0; i < keys->count; i++)
        if (fits(sb_span_of(keys->at[i].pattern), pointer))
            return keys->at[i].member;
    return NULL;
}
