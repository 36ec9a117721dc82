#include "json_sides.h"

#include <stdlib.h>
#include <string.h>

#include "pointers.h"

void sb_sides_init(struct sb_sides *sides, struct sb_span first, struct sb_span second,
                   struct sb_span third, const struct sb_array_keys *arrays)
{
    sb_json_tree_init(&sides->tree[0], first);
    sb_json_tree_init(&sides->tree[1], second);
    sb_json_tree_init(&sides->tree[2], third);
    sides->arrays = arrays;
    sides->path = (struct sb_buf){0};
}

void sb_sides_free(struct sb_sides *sides)
{
    for (unsigned i = 0; i < SB_SIDES; i++)
        sb_json_tree_free(&sides->tree[i]);
    sb_buf_free(&sides->path);
}

struct sb_row sb_sides_root(const struct sb_sides *sides)
{
    struct sb_row row;

    for (unsigned i = 0; i < SB_SIDES; i++)
        row.node[i] = sb_json_tree_root(&sides->tree[i]);
    return row;
}

struct sb_span sb_sides_text(const struct sb_sides *sides, const struct sb_row *row, unsigned side)
{
    return sb_json_node_text(&sides->tree[side], row->node[side]);
}

struct sb_span sb_sides_key(const struct sb_sides *sides, const struct sb_row *row)
{
    unsigned side = 0;

    while (side + 1 < SB_SIDES && row->node[side] == SB_NO_NODE)
        side++;
    return sb_json_node_key(&sides->tree[side], row->node[side]);
}

bool sb_sides_same_bytes(const struct sb_sides *sides, const struct sb_row *row, unsigned a,
                         unsigned b)
{
    return sb_span_eq(sb_sides_text(sides, row, a), sb_sides_text(sides, row, b));
}

bool sb_sides_equal(const struct sb_sides *sides, const struct sb_row *row, unsigned a, unsigned b)
{
    struct sb_span x = sb_sides_text(sides, row, a), y = sb_sides_text(sides, row, b);

    if (x.len == 0 || y.len == 0)
        return x.len == y.len;
    return sb_json_equal(x, y);
}

bool sb_sides_is(struct sb_sides *sides, const struct sb_row *row, unsigned side,
                 enum sb_apart apart)
{
    const char *member;

    switch (apart) {
    case SB_WHOLE:
        return false;
    case SB_MEMBERS:
        return sb_json_node_is(&sides->tree[side], row->node[side], SB_JSON_OBJECT);
    case SB_ELEMENTS:
        member = sb_array_keys_member(sides->arrays, sb_buf_span(&sides->path));
        return member != NULL && sb_json_tree_keyed(&sides->tree[side], row->node[side], member);
    }
    return false;
}

enum sb_apart sb_sides_apart(struct sb_sides *sides, const struct sb_row *row, unsigned a,
                             unsigned b)
{
    if (sb_sides_is(sides, row, a, SB_MEMBERS) && sb_sides_is(sides, row, b, SB_MEMBERS))
        return SB_MEMBERS;
    if (sb_sides_is(sides, row, a, SB_ELEMENTS) && sb_sides_is(sides, row, b, SB_ELEMENTS))
        return SB_ELEMENTS;
    return SB_WHOLE;
}

size_t sb_sides_step(struct sb_sides *sides, const struct sb_row *row)
{
    size_t mark = sides->path.len;

    sb_pointer_step(&sides->path, sb_sides_key(sides, row));
    return mark;
}

void sb_sides_back(struct sb_sides *sides, size_t mark)
{
    sb_buf_cut(&sides->path, mark);
}

/* ---- the children of the sides, matched by their keys ---- */

struct children {
    uint32_t *at;
    uint32_t count;
    bool taken_apart;
};

struct child {
    struct sb_span key;
    uint32_t node;
    unsigned side;
};

static struct children list_children(const struct sb_json_tree *tree, uint32_t node)
{
    struct children list = {.taken_apart = true, .count = tree->node[node].count};
    uint32_t n = 0;

    list.at = sb_xmalloc(list.count * sizeof(*list.at));
    for (uint32_t i = tree->node[node].first; i != SB_NO_NODE; i = tree->node[i].next)
        list.at[n++] = i;
    return list;
}

/* The row of the children that stand `done` after the beginning, or before the end, if all sides
 * that are taken apart have the same key there. */
static bool row_at(const struct sb_sides *sides, const struct children list[SB_SIDES],
                   uint32_t done, bool from_end, struct sb_row *row)
{
    struct sb_span key = {0}, other;

    for (unsigned side = 0; side < SB_SIDES; side++) {
        row->node[side] = SB_NO_NODE;
        if (!list[side].taken_apart)
            continue;
        if (list[side].count <= done)
            return false;
        row->node[side] = list[side].at[from_end ? list[side].count - 1 - done : done];
        other = sb_json_node_key(&sides->tree[side], row->node[side]);
        if (key.data == NULL)
            key = other;
        else if (!sb_span_eq(key, other))
            return false;
    }
    return key.data != NULL;
}

static int by_key(const void *left, const void *right)
{
    const struct child *a = left, *b = right;
    int order = sb_span_order(a->key, b->key);

    return order != 0 ? order : (int)a->side - (int)b->side;
}

/* Those that are left, sorted by key and grouped. */
static uint32_t group(const struct sb_sides *sides, const struct children list[SB_SIDES],
                      struct sb_row *rows)
{
    uint32_t total = list[0].count + list[1].count + list[2].count, n = 0, count = 0;
    struct child *child = sb_xmalloc(total * sizeof(*child));

    for (unsigned side = 0; side < SB_SIDES; side++)
        for (uint32_t i = 0; i < list[side].count; i++)
            child[n++] = (struct child){sb_json_node_key(&sides->tree[side], list[side].at[i]),
                                        list[side].at[i], side};
    qsort(child, total, sizeof(*child), by_key);
    for (n = 0; n < total; n++) {
        if (n == 0 || !sb_span_eq(child[n - 1].key, child[n].key))
            rows[count++] = (struct sb_row){{SB_NO_NODE, SB_NO_NODE, SB_NO_NODE}};
        rows[count - 1].node[child[n].side] = child[n].node;
    }
    free(child);
    return count;
}

/* Most often the sides have the same keys in the same order but for a few in the middle: only what
 * is not alike from the beginning or from the end is sorted. */
uint32_t sb_sides_children(struct sb_sides *sides, const struct sb_row *row, enum sb_apart apart,
                           struct sb_row **rows)
{
    struct children list[SB_SIDES] = {{0}}, rest[SB_SIDES];
    uint32_t total = 0, count = 0, tail = 0;

    for (unsigned i = 0; i < SB_SIDES; i++)
        if (sb_sides_is(sides, row, i, apart)) {
            list[i] = list_children(&sides->tree[i], row->node[i]);
            total += list[i].count;
        }
    *rows = sb_xmalloc((total + 1) * sizeof(**rows)); /* one is written before it is known to fit */
    while (row_at(sides, list, count, false, &(*rows)[count]))
        count++;
    for (unsigned i = 0; i < SB_SIDES; i++) {
        rest[i] = list[i];
        if (list[i].taken_apart) {
            rest[i].at += count;
            rest[i].count -= count;
        }
    }
    while (total > 0 && row_at(sides, rest, tail, true, &(*rows)[count]))
        count++, tail++;
    for (unsigned i = 0; i < SB_SIDES; i++)
        rest[i].count -= rest[i].taken_apart ? tail : 0;
    count += group(sides, rest, *rows + count);
    for (unsigned i = 0; i < SB_SIDES; i++)
        free(list[i].at);
    return count;
}

/* ---- order ---- */

struct order {
    const struct sb_sides *sides;
    unsigned first, second;
};

static uint32_t node_of(const struct sb_row *row, unsigned side)
{
    return side < SB_SIDES ? row->node[side] : SB_NO_NODE;
}

static int compare_rows(const void *left, const void *right, void *context)
{
    const struct sb_row *a = left, *b = right;
    const struct order *order = context;
    const unsigned sides[] = {order->first, order->second};

    for (unsigned i = 0; i < 2; i++) {
        uint32_t x = node_of(a, sides[i]), y = node_of(b, sides[i]);

        if (x != y)
            return x < y ? -1 : 1; /* SB_NO_NODE is above all */
        if (x != SB_NO_NODE)
            return 0;
    }
    return sb_span_order(sb_sides_key(order->sides, a), sb_sides_key(order->sides, b));
}

void sb_sides_sort(const struct sb_sides *sides, struct sb_row *rows, uint32_t count,
                   unsigned first, unsigned second)
{
    struct order order = {sides, first, second};
    uint32_t i = 1;

    while (i < count && compare_rows(&rows[i - 1], &rows[i], &order) < 0)
        i++;
    if (i < count)
        qsort_r(rows, count, sizeof(*rows), compare_rows, &order);
}

static int by_number(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return a < b ? -1 : a > b;
}

bool sb_sides_in_order(const struct sb_row *rows, uint32_t count, unsigned a, unsigned b, bool all)
{
    uint64_t *pair = sb_xmalloc(count * sizeof(*pair));
    uint32_t n = 0;
    bool in_order = true;

    for (uint32_t i = 0; i < count; i++) {
        const uint32_t *node = rows[i].node;

        if (node[a] == SB_NO_NODE || node[b] == SB_NO_NODE)
            continue;
        if (all && (node[0] == SB_NO_NODE || node[1] == SB_NO_NODE || node[2] == SB_NO_NODE))
            continue;
        pair[n++] = (uint64_t)node[a] << 32 | node[b];
    }
    qsort(pair, n, sizeof(*pair), by_number);
    for (uint32_t i = 1; in_order && i < n; i++)
        in_order = (uint32_t)pair[i - 1] < (uint32_t)pair[i];
    free(pair);
    return in_order;
}

/* ---- writing ---- */

void sb_buf_cut(struct sb_buf *out, size_t len)
{
    out->len = len;
    if (out->data != NULL)
        out->data[len] = '\0';
}

void sb_list_begin(struct sb_list *list, struct sb_buf *out, enum sb_apart kind)
{
    *list = (struct sb_list){.out = out, .keys = kind == SB_MEMBERS};
    sb_buf_add_char(out, list->keys ? '{' : '[');
    list->entry = list->value = out->len;
}

/* The entry before is complete. */
static void close_entry(struct sb_list *list)
{
    if (list->out->len == list->value)
        sb_buf_cut(list->out, list->entry);
    else
        list->count++;
}

void sb_list_next(struct sb_list *list, struct sb_span raw_key)
{
    close_entry(list);
    list->entry = list->out->len;
    if (list->count > 0)
        sb_buf_add_str(list->out, ", ");
    if (list->keys) {
        sb_buf_add_char(list->out, '"');
        sb_buf_add_span(list->out, raw_key);
        sb_buf_add_str(list->out, "\": ");
    }
    list->value = list->out->len;
}

void sb_list_end(struct sb_list *list)
{
    close_entry(list);
    sb_buf_add_char(list->out, list->keys ? '}' : ']');
}
