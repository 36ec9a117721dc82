#include "json_scan.h"

#include <stdlib.h>
#include <string.h>

#include "json_text.h"

#define FEW_MEMBERS 16 /* beyond this, members in another order are compared sorted */

/* The characters of a string body, byte by byte. */
struct bytes {
    const char *at;
    const char *end;
    char c[4];
    unsigned have, used;
};

static int next_byte(struct bytes *bytes)
{
    if (bytes->used == bytes->have) {
        bytes->have = sb_json_next_char(&bytes->at, bytes->end, bytes->c);
        bytes->used = 0;
        if (bytes->have == 0)
            return -1;
    }
    return (unsigned char)bytes->c[bytes->used++];
}

/* By characters, whichever way they are written; less, equal or greater than 0. */
static int compare_bodies(struct sb_span a, struct sb_span b)
{
    struct bytes left = {.at = a.data, .end = a.data + a.len};
    struct bytes right = {.at = b.data, .end = b.data + b.len};
    int x, y;

    if (sb_span_eq(a, b))
        return 0;
    do {
        x = next_byte(&left);
        y = next_byte(&right);
    } while (x == y && x >= 0);
    return x - y;
}

static bool bodies_equal(struct sb_span a, struct sb_span b)
{
    if (a.len == b.len && memcmp(a.data, b.data, a.len) == 0)
        return true;
    if (memchr(a.data, '\\', a.len) == NULL && memchr(b.data, '\\', b.len) == NULL)
        return false;
    return compare_bodies(a, b) == 0;
}

static bool arrays_equal(struct sb_span a, struct sb_span b)
{
    struct sb_json_iter at_a, at_b;
    struct sb_span x, y;
    bool more_a, more_b;

    sb_json_iter_init(&at_a, a);
    sb_json_iter_init(&at_b, b);
    for (;;) {
        more_a = sb_json_next_element(&at_a, &x);
        more_b = sb_json_next_element(&at_b, &y);
        if (!more_a || !more_b)
            return more_a == more_b;
        if (!sb_json_equal(x, y))
            return false;
    }
}

struct member {
    struct sb_span key, value;
};

static int by_key(const void *left, const void *right)
{
    const struct member *a = left, *b = right;

    return compare_bodies(a->key, b->key);
}

static struct member *sorted_members(struct sb_span object, size_t count)
{
    struct member *members = sb_xcalloc(count, sizeof(*members));
    struct sb_json_iter iter;

    sb_json_iter_init(&iter, object);
    for (size_t i = 0; i < count; i++)
        if (!sb_json_next_member(&iter, &members[i].key, &members[i].value))
            break;
    qsort(members, count, sizeof(*members), by_key);
    return members;
}

static bool many_members_equal(struct sb_span a, struct sb_span b, size_t count)
{
    struct member *left = sorted_members(a, count);
    struct member *right = sorted_members(b, count);
    bool equal = true;

    for (size_t i = 0; equal && i < count; i++)
        equal =
            bodies_equal(left[i].key, right[i].key) && sb_json_equal(left[i].value, right[i].value);
    free(left);
    free(right);
    return equal;
}

static bool find_member(struct sb_span object, struct sb_span key, struct sb_span *value)
{
    struct sb_json_iter iter;
    struct sb_span other;

    sb_json_iter_init(&iter, object);
    while (sb_json_next_member(&iter, &other, value))
        if (bodies_equal(other, key))
            return true;
    return false;
}

static bool objects_equal(struct sb_span a, struct sb_span b)
{
    size_t count = sb_json_count(a);
    struct sb_json_iter iter;
    struct sb_span key, x, y;

    if (sb_json_count(b) != count)
        return false;
    if (count > FEW_MEMBERS)
        return many_members_equal(a, b, count);
    sb_json_iter_init(&iter, a);
    while (sb_json_next_member(&iter, &key, &x))
        if (!find_member(b, key, &y) || !sb_json_equal(x, y))
            return false;
    return true;
}

bool sb_json_equal(struct sb_span a, struct sb_span b)
{
    enum sb_json_type type = sb_json_type_of(a);

    if (type != sb_json_type_of(b))
        return false;
    if (sb_span_eq(a, b))
        return true;
    switch (type) {
    case SB_JSON_NULL:
    case SB_JSON_FALSE:
    case SB_JSON_TRUE:
        return true;
    case SB_JSON_NUMBER:
        return false; /* the texts differ */
    case SB_JSON_STRING:
        return bodies_equal((struct sb_span){a.data + 1, a.len - 2},
                            (struct sb_span){b.data + 1, b.len - 2});
    case SB_JSON_ARRAY:
        return arrays_equal(a, b);
    case SB_JSON_OBJECT:
        return objects_equal(a, b);
    }
    return false;
}
