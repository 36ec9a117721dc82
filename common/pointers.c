#include "pointers.h"

#include <stdlib.h>
#include <string.h>

#include "json_scan.h"

void sb_pointer_step(struct sb_buf *pointer, struct sb_span key)
{
    size_t from = 0;

    sb_buf_add_char(pointer, '/');
    for (size_t i = 0; i < key.len; i++) {
        if (key.data[i] != '~' && key.data[i] != '/')
            continue;
        sb_buf_add(pointer, key.data + from, i - from);
        sb_buf_add_str(pointer, key.data[i] == '~' ? "~0" : "~1");
        from = i + 1;
    }
    if (from < key.len)
        sb_buf_add(pointer, key.data + from, key.len - from);
}

bool sb_pointer_valid(struct sb_span pointer)
{
    if (pointer.len > 0 && pointer.data[0] != '/')
        return false;
    for (size_t i = 0; i < pointer.len; i++)
        if (pointer.data[i] == '~' &&
            (i + 1 == pointer.len || (pointer.data[i + 1] != '0' && pointer.data[i + 1] != '1')))
            return false;
    return true;
}

bool sb_pointer_next(struct sb_span *pointer, struct sb_buf *key)
{
    size_t i;

    sb_buf_clear(key);
    if (pointer->len == 0)
        return false;
    for (i = 1; i < pointer->len && pointer->data[i] != '/'; i++) {
        char c = pointer->data[i];

        if (c == '~')
            c = pointer->data[++i] == '0' ? '~' : '/';
        sb_buf_add_char(key, c);
    }
    pointer->data += i;
    pointer->len -= i;
    return true;
}

bool sb_pointer_inside(struct sb_span pointer, struct sb_span outer)
{
    if (pointer.len < outer.len ||
        (outer.len > 0 && memcmp(pointer.data, outer.data, outer.len) != 0))
        return false;
    return pointer.len == outer.len || pointer.data[outer.len] == '/';
}

int sb_span_order(struct sb_span a, struct sb_span b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.data, b.data, len) : 0;

    if (order != 0)
        return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

/* ---- sets ---- */

void sb_pointers_free(struct sb_pointers *set)
{
    free(set->part);
    sb_buf_free(&set->text);
    *set = (struct sb_pointers){0};
}

void sb_pointers_clear(struct sb_pointers *set)
{
    sb_pointers_free(set);
}

static void append(struct sb_pointers *set, struct sb_span pointer)
{
    set->part = sb_xgrow(set->part, set->count, sizeof(*set->part));
    set->part[set->count++] = (struct sb_pointer_part){set->text.len, pointer.len};
    sb_buf_add_span(&set->text, pointer);
    set->bytes += pointer.len + 1;
}

static int by_bytes(const void *left, const void *right, void *text)
{
    const struct sb_pointer_part *a = left, *b = right;
    const char *at = ((const struct sb_buf *)text)->data;

    return sb_span_order((struct sb_span){at + a->at, a->len},
                         (struct sb_span){at + b->at, b->len});
}

static void become_whole(struct sb_pointers *set)
{
    sb_pointers_clear(set);
    append(set, SB_SPAN(""));
    set->overflown = true;
}

/* Sorts, drops repeats and what they took of the text, and applies the limit. */
static void compact(struct sb_pointers *set)
{
    struct sb_pointers kept = {0};

    qsort_r(set->part, set->count, sizeof(*set->part), by_bytes, &set->text);
    for (size_t i = 0; i < set->count; i++)
        if (i == 0 || by_bytes(&set->part[i - 1], &set->part[i], &set->text) != 0)
            append(&kept, sb_pointers_get(set, i));
    sb_pointers_free(set);
    *set = kept;
    if (set->bytes > SB_POINTERS_BYTES)
        become_whole(set);
}

void sb_pointers_add(struct sb_pointers *set, struct sb_span pointer)
{
    if (set->overflown)
        return;
    append(set, pointer);
    set->unsorted = true;
    if (set->bytes > 2 * SB_POINTERS_BYTES) /* not at every repeat near the limit */
        compact(set);
}

void sb_pointers_finish(struct sb_pointers *set)
{
    if (set->unsorted)
        compact(set);
}

void sb_pointers_add_all(struct sb_pointers *set, const struct sb_pointers *other)
{
    if (other->overflown)
        become_whole(set);
    for (size_t i = 0; i < other->count; i++)
        sb_pointers_add(set, sb_pointers_get(other, i));
    sb_pointers_finish(set);
}

struct sb_span sb_pointers_get(const struct sb_pointers *set, size_t i)
{
    return (struct sb_span){set->text.data + set->part[i].at, set->part[i].len};
}

bool sb_pointers_has(const struct sb_pointers *set, struct sb_span pointer)
{
    size_t low = 0, high = set->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = sb_span_order(sb_pointers_get(set, mid), pointer);

        if (order == 0)
            return true;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return false;
}

void sb_pointers_print(const struct sb_pointers *set, struct sb_buf *out)
{
    sb_buf_add_char(out, '[');
    for (size_t i = 0; i < set->count; i++) {
        if (i > 0)
            sb_buf_add_char(out, ',');
        sb_buf_add_json(out, sb_pointers_get(set, i));
    }
    sb_buf_add_char(out, ']');
}

static int parse_one(struct sb_pointers *set, struct sb_span value, struct sb_buf *plain,
                     struct sb_err *err)
{
    if (sb_json_type_of(value) != SB_JSON_STRING)
        return sb_fail(err, SB_EBAD_TYPE, "pointers: not a list of strings");
    sb_buf_clear(plain);
    sb_json_unescape(value, plain);
    if (!sb_pointer_valid(sb_buf_span(plain)))
        return sb_fail(err, SB_EBAD_VALUE, "pointers: %.64s is not a JSON pointer", plain->data);
    sb_pointers_add(set, sb_buf_span(plain));
    return 0;
}

int sb_pointers_parse(struct sb_pointers *set, struct sb_span text, struct sb_err *err)
{
    static const struct sb_json_limits limits = {8 * SB_POINTERS_BYTES, 1, SB_JSON_MAX_NODES};
    struct sb_buf plain = {0};
    struct sb_json_iter iter;
    struct sb_span value;
    int rc;

    sb_pointers_clear(set);
    rc = sb_json_check(text, &limits, &text, err);
    if (rc < 0)
        return rc;
    if (sb_json_type_of(text) != SB_JSON_ARRAY)
        return sb_fail(err, SB_EBAD_TYPE, "pointers: not a list of strings");
    sb_json_iter_init(&iter, text);
    while (rc == 0 && sb_json_next_element(&iter, &value))
        rc = parse_one(set, value, &plain, err);
    sb_buf_free(&plain);
    if (rc < 0)
        sb_pointers_clear(set);
    else
        sb_pointers_finish(set);
    return rc;
}
