#ifndef SB_JSON_SIDES_H
#define SB_JSON_SIDES_H

#include "array_keys.h"
#include "json_tree.h"

/* Up to three documents side by side, gone through place by place: what the merge, the lists of
 * changed places, the stamps and the resolutions have in common. */

#define SB_SIDES 3

/* The nodes of one place, SB_NO_NODE where a side has nothing there. */
struct sb_row {
    uint32_t node[SB_SIDES];
};

struct sb_sides {
    struct sb_json_tree tree[SB_SIDES];
    const struct sb_array_keys *arrays;
    struct sb_buf path; /* the pointer of the place; the caller steps */
};

/* Two documents: the third one is an empty span. */
void sb_sides_init(struct sb_sides *sides, struct sb_span first, struct sb_span second,
                   struct sb_span third, const struct sb_array_keys *arrays);
void sb_sides_free(struct sb_sides *sides);

struct sb_row sb_sides_root(const struct sb_sides *sides);
struct sb_span sb_sides_text(const struct sb_sides *sides, const struct sb_row *row, unsigned side);

/* The characters of the row's key, from the first side that has it. */
struct sb_span sb_sides_key(const struct sb_sides *sides, const struct sb_row *row);

/* Equal as JSON values; nothing equals nothing. */
bool sb_sides_equal(const struct sb_sides *sides, const struct sb_row *row, unsigned a, unsigned b);
/* ... and in the same bytes. */
bool sb_sides_same_bytes(const struct sb_sides *sides, const struct sb_row *row, unsigned a,
                         unsigned b);

/* How two sides of a place are compared: member by member when both are objects, element by element
 * when both are keyed arrays at the path, else as a whole. */
enum sb_apart { SB_WHOLE, SB_MEMBERS, SB_ELEMENTS };
enum sb_apart sb_sides_apart(struct sb_sides *sides, const struct sb_row *row, unsigned a,
                             unsigned b);
/* Is this side one that is taken apart like that? */
bool sb_sides_is(struct sb_sides *sides, const struct sb_row *row, unsigned side,
                 enum sb_apart apart);

/* The rows of the children: those of the sides that can be taken apart like that. *rows (to be
 * freed) is in no certain order. */
uint32_t sb_sides_children(struct sb_sides *sides, const struct sb_row *row, enum sb_apart apart,
                           struct sb_row **rows);

/* Sorts rows: those that side `first` has in its order, then those that `second` has in its order,
 * then the others by the bytes of their keys. Either may be SB_SIDES: no side. */
void sb_sides_sort(const struct sb_sides *sides, struct sb_row *rows, uint32_t count,
                   unsigned first, unsigned second);

/* Do a and b have the children that both have (and, with `all`, every side) in the same order? */
bool sb_sides_in_order(const struct sb_row *rows, uint32_t count, unsigned a, unsigned b, bool all);

/* The path one key further; returns what sb_sides_back takes to undo it. */
size_t sb_sides_step(struct sb_sides *sides, const struct sb_row *row);
void sb_sides_back(struct sb_sides *sides, size_t mark);

/* Writes an object ({"k": v, "l": w}) or an array ([v, w]) entry by entry. Between two calls the
 * caller appends the value to out; an entry that gets none is dropped. */
struct sb_list {
    struct sb_buf *out;
    bool keys;
    size_t count;
    size_t entry; /* where the one being written begins */
    size_t value; /* ... and where its value does */
};

void sb_list_begin(struct sb_list *list, struct sb_buf *out, enum sb_apart kind);
/* raw_key without quotes; not looked at in an array. */
void sb_list_next(struct sb_list *list, struct sb_span raw_key);
void sb_list_end(struct sb_list *list);

/* Takes back what was appended after out had that length. */
void sb_buf_cut(struct sb_buf *out, size_t len);

#endif
