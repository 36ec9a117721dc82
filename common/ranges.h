#ifndef SB_RANGES_H
#define SB_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

/* A set of sequence numbers kept as sorted, disjoint, non-adjacent closed intervals [lo, hi].
 * Sequence numbers are 1 .. SB_SEQ_MAX. All operations are O(log n) or O(n) in the number of
 * intervals, never in the numbers they span. Zero-initialised is the empty set. Not thread-safe. */
#define SB_SEQ_MAX ((UINT64_C(1) << 53) - 2) /* exact in every JSON reader, hi + 1 included */

struct sb_range {
    uint64_t lo, hi;
};

struct sb_ranges {
    struct sb_range *at;
    size_t count;
    size_t cap;
};

void sb_ranges_free(struct sb_ranges *set); /* frees the contents; the set is empty again */
void sb_ranges_clear(struct sb_ranges *set);
void sb_ranges_copy(struct sb_ranges *to, const struct sb_ranges *from);

/* Adds or removes all of lo..hi; 1 <= lo <= hi <= SB_SEQ_MAX. */
void sb_ranges_add(struct sb_ranges *set, uint64_t lo, uint64_t hi);
void sb_ranges_remove(struct sb_ranges *set, uint64_t lo, uint64_t hi);
void sb_ranges_add_all(struct sb_ranges *set, const struct sb_ranges *other);
void sb_ranges_remove_all(struct sb_ranges *set, const struct sb_ranges *other);

bool sb_ranges_has(const struct sb_ranges *set, uint64_t seq);
bool sb_ranges_has_all(const struct sb_ranges *set, uint64_t lo, uint64_t hi);
bool sb_ranges_touches(const struct sb_ranges *set, uint64_t lo, uint64_t hi); /* any of lo..hi */
bool sb_ranges_equal(const struct sb_ranges *a, const struct sb_ranges *b);
uint64_t sb_ranges_total(const struct sb_ranges *set); /* how many numbers */
uint64_t sb_ranges_max(const struct sb_ranges *set);   /* 0 when empty */

/* Index of the interval that holds seq or, when none does, of the first one above it (== count when
 * there is none). The walk `for (i = sb_ranges_seek(..); i < set->count; i++)` visits in order. */
size_t sb_ranges_seek(const struct sb_ranges *set, uint64_t seq);

/* The first maximal run of numbers in from..to that are NOT in the set; false when there is none.
 */
bool sb_ranges_gap(const struct sb_ranges *set, uint64_t from, uint64_t to, struct sb_range *gap);

/* The wire and storage form, [[1,5],[7,7]]; the empty set is []. */
void sb_ranges_print(const struct sb_ranges *set, struct sb_buf *out);

/* Parses that form strictly: sorted, disjoint, within 1..SB_SEQ_MAX, at most max_count intervals,
 * nothing after it. Adjacent intervals are joined. SB_EBAD_VALUE says what is wrong and where. */
int sb_ranges_parse(struct sb_ranges *set, struct sb_span text, size_t max_count,
                    struct sb_err *err);

#endif
