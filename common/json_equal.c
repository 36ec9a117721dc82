#include "json_scan.h"

#include <stdlib.h>
#include <string.h>

#include "json_text.h"

#define FEW_MEMBERS 16 /* that need no memory from the heap; a power of two, for sb_xgrow */

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

/* The members of one object: each level of nesting is walked once, in whatever order they come. */
struct members {
    struct member few[FEW_MEMBERS];
    struct member *at;
    size_t count;
};

static void collect(struct sb_span object, struct members *members)
{
    struct sb_json_iter iter;
    struct member member;

    members->at = members->few;
    members->count = 0;
    sb_json_iter_init(&iter, object);
    while (sb_json_next_member(&iter, &member.key, &member.value)) {
        if (members->count == FEW_MEMBERS) {
            members->at = sb_xgrow(NULL, FEW_MEMBERS, sizeof(member));
            memcpy(members->at, members->few, sizeof(members->few));
        } else if (members->count > FEW_MEMBERS) {
            members->at = sb_xgrow(members->at, members->count, sizeof(member));
        }
        members->at[members->count++] = member;
    }
}

static void release(struct members *members)
{
    if (members->at != members->few)
        free(members->at);
}

static int by_key(const void *left, const void *right)
{
    const struct member *a = left, *b = right;

    return compare_bodies(a->key, b->key);
}

static bool same_keys(const struct members *a, const struct members *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!bodies_equal(a->at[i].key, b->at[i].key))
            return false;
    return true;
}

/* Most often the order is the same; else both are sorted. */
static bool objects_equal(struct sb_span left, struct sb_span right)
{
    struct members a, b;
    bool equal;

    collect(left, &a);
    collect(right, &b);
    equal = same_keys(&a, &b);
    if (!equal && a.count == b.count) {
        qsort(a.at, a.count, sizeof(*a.at), by_key);
        qsort(b.at, b.count, sizeof(*b.at), by_key);
        equal = same_keys(&a, &b);
    }
    for (size_t i = 0; equal && i < a.count; i++)
        equal = sb_json_equal(a.at[i].value, b.at[i].value);
    release(&a);
    release(&b);
    return equal;
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
