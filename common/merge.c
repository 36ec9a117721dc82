#include "merge.h"

#include <stdlib.h>
#include <string.h>

#include "json_sides.h"
#include "rules.h"

/* Two passes. The first finds, from the leaves up, which of the three are equal at each place, so
 * that nothing is compared once for every level above it; places that two sides have in the same
 * bytes are not gone into. The second one decides from the top down and writes. */

enum { BASE, LOCAL, SERVER };
enum { BASE_LOCAL = 1, BASE_SERVER = 2, LOCAL_SERVER = 4, ALL_EQUAL = 7 };

/* Whose order the elements of an array have that all three sides have. */
enum order { ORDER_BASE, ORDER_LOCAL, ORDER_SERVER, ORDER_OPEN };

struct place {
    struct sb_row row;
    uint32_t first, count; /* of the places inside, where it is taken apart */
    unsigned char equal;
    unsigned char apart; /* enum sb_apart */
    unsigned char order; /* enum order */
};

struct merge {
    struct sb_sides sides;
    struct place *place;
    uint32_t count;
    const struct sb_merge_rules *rules;
    struct sb_merge_result *result;
};

static const struct pair {
    unsigned char a, b, bit;
} pairs[] = {{BASE, LOCAL, BASE_LOCAL}, {BASE, SERVER, BASE_SERVER}, {LOCAL, SERVER, LOCAL_SERVER}};

#define PAIRS (sizeof(pairs) / sizeof(pairs[0]))

/* ---- first pass ---- */

static bool two_in_same_bytes(const struct merge *merge, const struct sb_row *row)
{
    for (size_t i = 0; i < PAIRS; i++)
        if (sb_sides_same_bytes(&merge->sides, row, pairs[i].a, pairs[i].b))
            return true;
    return false;
}

static enum sb_apart apart_of(struct merge *merge, const struct sb_row *row)
{
    enum sb_apart apart;

    if (two_in_same_bytes(merge, row))
        return SB_WHOLE;
    apart = sb_sides_apart(&merge->sides, row, LOCAL, SERVER);
    if (apart == SB_ELEMENTS && !sb_sides_is(&merge->sides, row, BASE, apart) &&
        sb_json_node_is(&merge->sides.tree[BASE], row->node[BASE], SB_JSON_ARRAY))
        return SB_WHOLE;
    return apart;
}

static unsigned equal_whole(const struct merge *merge, const struct sb_row *row)
{
    unsigned equal = 0;

    for (size_t i = 0; i < PAIRS; i++)
        if (sb_sides_equal(&merge->sides, row, pairs[i].a, pairs[i].b))
            equal |= pairs[i].bit;
    return equal;
}

/* Which pairs have what both have in the same order. */
static unsigned equal_order(const struct sb_row *rows, uint32_t count)
{
    unsigned equal = 0;

    for (size_t i = 0; i < PAIRS; i++)
        if (sb_sides_in_order(rows, count, pairs[i].a, pairs[i].b, false))
            equal |= pairs[i].bit;
    return equal;
}

static enum order order_of(const struct sb_row *rows, uint32_t count)
{
    bool local = sb_sides_in_order(rows, count, BASE, LOCAL, true);
    bool server = sb_sides_in_order(rows, count, BASE, SERVER, true);

    if (local)
        return server ? ORDER_BASE : ORDER_SERVER;
    if (server || sb_sides_in_order(rows, count, LOCAL, SERVER, true))
        return ORDER_LOCAL;
    return ORDER_OPEN;
}

/* Without the rule, null counts as nothing. */
static void drop_nulls(const struct merge *merge, struct sb_row *row)
{
    for (unsigned i = 0; i < SB_SIDES; i++)
        if (sb_json_node_is(&merge->sides.tree[i], row->node[i], SB_JSON_NULL))
            row->node[i] = SB_NO_NODE;
}

static uint32_t add_place(struct merge *merge, const struct sb_row *row)
{
    merge->place = sb_xgrow(merge->place, merge->count, sizeof(*merge->place));
    merge->place[merge->count] = (struct place){.row = *row};
    if (!sb_rule(SB_RULE_NULL_VALUE))
        drop_nulls(merge, &merge->place[merge->count].row);
    return merge->count++;
}

/* Adds the places inside in the order of the result. Returns which sides may be equal. */
static unsigned take_apart(struct merge *merge, uint32_t index, enum sb_apart apart)
{
    struct sb_row row = merge->place[index].row, *rows;
    uint32_t count = sb_sides_children(&merge->sides, &row, apart, &rows);
    unsigned equal = sb_sides_is(&merge->sides, &row, BASE, apart) ? ALL_EQUAL : LOCAL_SERVER;

    if (sb_rule(SB_RULE_KEY_ORDER))
        sb_sides_sort(&merge->sides, rows, count, BASE, SB_SIDES);
    else
        sb_sides_sort(&merge->sides, rows, count, SERVER, LOCAL);
    if (apart == SB_ELEMENTS) {
        merge->place[index].order = (unsigned char)order_of(rows, count);
        equal &= equal_order(rows, count);
    }
    merge->place[index].apart = (unsigned char)apart;
    merge->place[index].first = merge->count;
    merge->place[index].count = count;
    for (uint32_t i = 0; i < count; i++)
        add_place(merge, &rows[i]);
    free(rows);
    return equal;
}

static void compare(struct merge *merge, uint32_t index)
{
    struct sb_row row = merge->place[index].row;
    enum sb_apart apart = apart_of(merge, &row);
    uint32_t first, count;
    unsigned equal;
    size_t mark;

    if (apart == SB_WHOLE) {
        merge->place[index].equal = (unsigned char)equal_whole(merge, &row);
        return;
    }
    equal = take_apart(merge, index, apart);
    first = merge->place[index].first;
    count = merge->place[index].count;
    for (uint32_t i = first; i < first + count; i++) {
        mark = sb_sides_step(&merge->sides, &merge->place[i].row);
        compare(merge, i);
        sb_sides_back(&merge->sides, mark);
        equal &= merge->place[i].equal;
    }
    merge->place[index].equal = (unsigned char)equal;
}

/* ---- second pass ---- */

static bool local_is_newer(const struct merge *merge)
{
    const struct sb_merge_rules *rules = merge->rules;
    struct sb_span pointer = sb_buf_span(&merge->sides.path);
    const struct sb_stamp none = {0};
    struct sb_stamp local, server;

    local = sb_stamps_at(rules->local, pointer, &rules->local_stamp);
    if (sb_rule(SB_RULE_STAMPS))
        server = sb_stamps_at(rules->server, pointer, &none);
    else
        server = rules->server != NULL ? sb_stamps_highest(rules->server) : none;
    return sb_stamp_order(&local, &server) > 0;
}

/* The place at the path is undecided: whose value is it? */
static unsigned decide(struct merge *merge)
{
    struct sb_pointers *told = &merge->result->lost;
    unsigned side = SERVER;

    switch (merge->rules->policy) {
    case SB_POLICY_NONE:
    case SB_POLICY_MERGE:
    case SB_POLICY_MANUAL:
        told = &merge->result->undecided;
        break;
    case SB_POLICY_LATEST:
        side = local_is_newer(merge) ? LOCAL : SERVER;
        break;
    case SB_POLICY_SERVER:
        break;
    case SB_POLICY_LOCAL:
        side = LOCAL;
        break;
    }
    if (side == LOCAL)
        told = &merge->result->won;
    sb_pointers_add(told, sb_buf_span(&merge->sides.path));
    return side;
}

static struct sb_span smaller(struct sb_span a, struct sb_span b)
{
    return sb_span_order(a, b) <= 0 ? a : b;
}

static struct sb_span raw_key(const struct merge *merge, const struct sb_row *row)
{
    struct sb_span raw[SB_SIDES];

    for (unsigned i = 0; i < SB_SIDES; i++)
        raw[i] = sb_json_node_raw_key(&merge->sides.tree[i], row->node[i]);
    if (row->node[BASE] != SB_NO_NODE)
        return raw[BASE];
    if (row->node[LOCAL] == SB_NO_NODE || row->node[SERVER] == SB_NO_NODE)
        return raw[row->node[LOCAL] == SB_NO_NODE ? SERVER : LOCAL];
    return smaller(raw[LOCAL], raw[SERVER]);
}

static void write_place(struct merge *merge, uint32_t index);

static void write_entry(struct merge *merge, uint32_t index, struct sb_list *list)
{
    const struct place *place = &merge->place[index];
    size_t mark;

    sb_list_next(list, raw_key(merge, &place->row));
    if (place->equal != 0) { /* most are; the path is not needed */
        write_place(merge, index);
        return;
    }
    mark = sb_sides_step(&merge->sides, &place->row);
    write_place(merge, index);
    sb_sides_back(&merge->sides, mark);
}

struct moved {
    uint32_t at;    /* in the side whose order it is; SB_NO_NODE unless all three have it */
    uint32_t index; /* of the place: base's order, then added ones */
};

static int by_position(const void *left, const void *right)
{
    const struct moved *a = left, *b = right;

    if (a->at != b->at)
        return a->at < b->at ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* The elements that all three have come first, in that side's order. */
static void write_moved(struct merge *merge, const struct place *place, unsigned side,
                        struct sb_list *list)
{
    struct moved *moved = sb_xmalloc(place->count * sizeof(*moved));

    for (uint32_t i = 0; i < place->count; i++) {
        const uint32_t *node = merge->place[place->first + i].row.node;
        bool all =
            node[BASE] != SB_NO_NODE && node[LOCAL] != SB_NO_NODE && node[SERVER] != SB_NO_NODE;

        moved[i] = (struct moved){all ? node[side] : SB_NO_NODE, place->first + i};
    }
    qsort(moved, place->count, sizeof(*moved), by_position);
    for (uint32_t i = 0; i < place->count; i++)
        write_entry(merge, moved[i].index, list);
    free(moved);
}

static void write_inside(struct merge *merge, const struct place *place)
{
    enum order order = (enum order)place->order;
    struct sb_list list;

    if (order == ORDER_OPEN)
        order = decide(merge) == LOCAL ? ORDER_LOCAL : ORDER_SERVER;
    sb_list_begin(&list, &merge->result->text, (enum sb_apart)place->apart);
    if (order != ORDER_BASE)
        write_moved(merge, place, order == ORDER_LOCAL ? LOCAL : SERVER, &list);
    else
        for (uint32_t i = 0; i < place->count; i++)
            write_entry(merge, place->first + i, &list);
    sb_list_end(&list);
}

static struct sb_span value_of(struct merge *merge, const struct place *place)
{
    struct sb_span local = sb_sides_text(&merge->sides, &place->row, LOCAL);
    struct sb_span server = sb_sides_text(&merge->sides, &place->row, SERVER);

    if ((place->equal & LOCAL_SERVER) != 0)
        return sb_rule(SB_RULE_KEY_ORDER) ? smaller(local, server) : server;
    if ((place->equal & BASE_LOCAL) != 0)
        return server;
    if ((place->equal & BASE_SERVER) != 0)
        return local;
    return decide(merge) == LOCAL ? local : server;
}

static void write_place(struct merge *merge, uint32_t index)
{
    const struct place *place = &merge->place[index];

    if (place->equal == 0 && place->apart != SB_WHOLE)
        write_inside(merge, place);
    else
        sb_buf_add_span(&merge->result->text, value_of(merge, place));
}

/* ---- */

static void clear(struct sb_merge_result *result)
{
    sb_buf_clear(&result->text);
    sb_pointers_clear(&result->undecided);
    sb_pointers_clear(&result->lost);
    sb_pointers_clear(&result->won);
}

void sb_merge(struct sb_span base, struct sb_span local, struct sb_span server,
              const struct sb_merge_rules *rules, struct sb_merge_result *result)
{
    struct merge merge = {.rules = rules, .result = result};
    struct sb_row root;

    clear(result);
    sb_sides_init(&merge.sides, base, local, server, rules->arrays);
    root = sb_sides_root(&merge.sides);
    add_place(&merge, &root);
    if (rules->policy == SB_POLICY_MANUAL)
        merge.place[0].equal = (unsigned char)equal_whole(&merge, &merge.place[0].row);
    else
        compare(&merge, 0);
    write_place(&merge, 0);
    result->absent = result->text.len == 0;
    sb_pointers_finish(&result->undecided);
    sb_pointers_finish(&result->lost);
    sb_pointers_finish(&result->won);
    free(merge.place);
    sb_sides_free(&merge.sides);
}

struct sb_span sb_merge_text(const struct sb_merge_result *result)
{
    return result->absent ? SB_SPAN("") : sb_buf_span(&result->text);
}

void sb_merge_result_free(struct sb_merge_result *result)
{
    sb_buf_free(&result->text);
    sb_pointers_free(&result->undecided);
    sb_pointers_free(&result->lost);
    sb_pointers_free(&result->won);
    *result = (struct sb_merge_result){0};
}
