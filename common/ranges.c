#include "ranges.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

void sb_ranges_free(struct sb_ranges *set)
{
    free(set->at);
    *set = (struct sb_ranges){0};
}

void sb_ranges_clear(struct sb_ranges *set)
{
    set->count = 0;
}

static void reserve(struct sb_ranges *set, size_t count)
{
    size_t cap = set->cap > 0 ? set->cap : 4;

    if (count <= set->cap)
        return;
    while (cap < count)
        cap *= 2;
    set->at = sb_xrealloc(set->at, cap * sizeof(*set->at));
    set->cap = cap;
}

void sb_ranges_copy(struct sb_ranges *to, const struct sb_ranges *from)
{
    reserve(to, from->count);
    if (from->count > 0)
        memcpy(to->at, from->at, from->count * sizeof(*to->at));
    to->count = from->count;
}

size_t sb_ranges_seek(const struct sb_ranges *set, uint64_t seq)
{
    size_t low = 0, high = set->count;

    /* numbers mostly arrive at the end: look there first */
    if (high > 0 && set->at[high - 1].hi < seq)
        return high;
    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (set->at[mid].hi < seq)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Replaces `drop` intervals at `index` by `put` new, unwritten ones. */
static void splice(struct sb_ranges *set, size_t index, size_t drop, size_t put)
{
    size_t tail = set->count - index - drop;

    reserve(set, set->count + put);
    if (tail > 0 && drop != put)
        memmove(set->at + index + put, set->at + index + drop, tail * sizeof(*set->at));
    set->count = set->count - drop + put;
}

static void check_bounds(uint64_t lo, uint64_t hi)
{
    SB_CHECK(lo >= 1 && lo <= hi && hi <= SB_SEQ_MAX);
}

void sb_ranges_add(struct sb_ranges *set, uint64_t lo, uint64_t hi)
{
    size_t from, to;

    check_bounds(lo, hi);
    from = sb_ranges_seek(set, lo > 1 ? lo - 1 : 1); /* one that ends at lo - 1 is joined */
    for (to = from; to < set->count && set->at[to].lo <= hi + 1; to++) {
        lo = set->at[to].lo < lo ? set->at[to].lo : lo;
        hi = set->at[to].hi > hi ? set->at[to].hi : hi;
    }
    splice(set, from, to - from, 1);
    set->at[from] = (struct sb_range){lo, hi};
}

void sb_ranges_remove(struct sb_ranges *set, uint64_t lo, uint64_t hi)
{
    struct sb_range left = {0, 0}, right = {0, 0};
    size_t from, to, put;

    check_bounds(lo, hi);
    from = sb_ranges_seek(set, lo);
    for (to = from; to < set->count && set->at[to].lo <= hi; to++) {
        if (set->at[to].lo < lo)
            left = (struct sb_range){set->at[to].lo, lo - 1};
        if (set->at[to].hi > hi)
            right = (struct sb_range){hi + 1, set->at[to].hi};
    }
    if (to == from)
        return;
    put = (left.lo > 0) + (right.lo > 0);
    splice(set, from, to - from, put);
    if (left.lo > 0)
        set->at[from++] = left;
    if (right.lo > 0)
        set->at[from] = right;
}

void sb_ranges_add_all(struct sb_ranges *set, const struct sb_ranges *other)
{
    for (size_t i = 0; i < other->count; i++)
        sb_ranges_add(set, other->at[i].lo, other->at[i].hi);
}

void sb_ranges_remove_all(struct sb_ranges *set, const struct sb_ranges *other)
{
    if (set == other) /* the loop would change what it walks over */
        sb_ranges_clear(set);
    for (size_t i = 0; i < other->count; i++)
        sb_ranges_remove(set, other->at[i].lo, other->at[i].hi);
}

bool sb_ranges_has(const struct sb_ranges *set, uint64_t seq)
{
    size_t i = sb_ranges_seek(set, seq);

    return i < set->count && set->at[i].lo <= seq;
}

bool sb_ranges_has_all(const struct sb_ranges *set, uint64_t lo, uint64_t hi)
{
    size_t i = sb_ranges_seek(set, lo);

    return i < set->count && set->at[i].lo <= lo && set->at[i].hi >= hi;
}

bool sb_ranges_touches(const struct sb_ranges *set, uint64_t lo, uint64_t hi)
{
    size_t i = sb_ranges_seek(set, lo);

    return i < set->count && set->at[i].lo <= hi;
}

bool sb_ranges_equal(const struct sb_ranges *a, const struct sb_ranges *b)
{
    return a->count == b->count &&
           (a->count == 0 || memcmp(a->at, b->at, a->count * sizeof(*a->at)) == 0);
}

uint64_t sb_ranges_total(const struct sb_ranges *set)
{
    uint64_t total = 0;

    for (size_t i = 0; i < set->count; i++)
        total += set->at[i].hi - set->at[i].lo + 1;
    return total;
}

uint64_t sb_ranges_max(const struct sb_ranges *set)
{
    return set->count > 0 ? set->at[set->count - 1].hi : 0;
}

bool sb_ranges_gap(const struct sb_ranges *set, uint64_t from, uint64_t to, struct sb_range *gap)
{
    size_t i = sb_ranges_seek(set, from);

    if (i < set->count && set->at[i].lo <= from)
        from = set->at[i++].hi + 1;
    if (from > to)
        return false;
    gap->lo = from;
    gap->hi = i < set->count && set->at[i].lo <= to ? set->at[i].lo - 1 : to;
    return true;
}

void sb_ranges_print(const struct sb_ranges *set, struct sb_buf *out)
{
    sb_buf_add_char(out, '[');
    for (size_t i = 0; i < set->count; i++) {
        sb_buf_add_str(out, i > 0 ? ",[" : "[");
        sb_buf_add_u64(out, set->at[i].lo);
        sb_buf_add_char(out, ',');
        sb_buf_add_u64(out, set->at[i].hi);
        sb_buf_add_char(out, ']');
    }
    sb_buf_add_char(out, ']');
}

static void skip_space(const char **at, const char *end)
{
    while (*at < end && (**at == ' ' || **at == '\t' || **at == '\n' || **at == '\r'))
        (*at)++;
}

static bool take(const char **at, const char *end, char c)
{
    skip_space(at, end);
    if (*at == end || **at != c)
        return false;
    (*at)++;
    skip_space(at, end);
    return true;
}

static bool take_seq(const char **at, const char *end, uint64_t *seq)
{
    const char *from = *at;
    uint64_t value = 0;

    while (*at < end && **at >= '0' && **at <= '9' && *at - from < 17)
        value = value * 10 + (uint64_t)(*(*at)++ - '0');
    *seq = value;
    return *at > from && *from != '0' && value >= 1 && value <= SB_SEQ_MAX;
}

static bool take_range(const char **at, const char *end, struct sb_range *range)
{
    return take(at, end, '[') && take_seq(at, end, &range->lo) && take(at, end, ',') &&
           take_seq(at, end, &range->hi) && take(at, end, ']');
}

int sb_ranges_parse(struct sb_ranges *set, struct sb_span text, size_t max_count,
                    struct sb_err *err)
{
    const char *at = text.data, *end = text.data + text.len;
    struct sb_range range;
    uint64_t last = 0;
    size_t count = 0;

    sb_ranges_clear(set);
    if (!take(&at, end, '['))
        return sb_fail(err, SB_EBAD_VALUE, "intervals: not an array");
    while (!take(&at, end, ']')) {
        if (count > 0 && !take(&at, end, ','))
            return sb_fail(err, SB_EBAD_VALUE, "intervals: comma missing at byte %td",
                           at - text.data);
        if (!take_range(&at, end, &range) || range.lo > range.hi || range.lo <= last)
            return sb_fail(err, SB_EBAD_VALUE,
                           "intervals: not ascending pairs of sequence numbers at byte %td",
                           at - text.data);
        if (++count > max_count)
            return sb_fail(err, SB_ELIMIT, "intervals: more than %zu", max_count);
        sb_ranges_add(set, range.lo, range.hi);
        last = range.hi;
    }
    if (at != end)
        return sb_fail(err, SB_EBAD_VALUE, "intervals: text after the array");
    return 0;
}
