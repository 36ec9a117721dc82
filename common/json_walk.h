#ifndef SB_JSON_WALK_H
#define SB_JSON_WALK_H

#include "json_scan.h"

/* The strict scanner as a walk: the caller goes over unchecked text once, from its beginning to its
 * end, and takes containers apart where it wants to; whatever it takes as a whole is checked as a
 * whole. sb_json_check is one such walk, the batch decoder another. Used by codecs only.
 *
 * A walk that returned an error is over: nothing but sb_walk_fini may follow. */

#define SB_WALK_KEYS 24 /* keys of open objects that need no memory from the heap */

struct sb_walk_key {
    size_t at;    /* of the raw key in the text */
    size_t len;   /* of its characters */
    size_t plain; /* where they are in `plain`, when escaped */
    uint64_t head;
    bool escaped;
};

struct sb_walk {
    const char *begin;
    const char *at;
    const char *end;
    size_t nodes; /* values that may still come */
    size_t max_nodes;
    unsigned depth; /* containers that may still be opened */
    unsigned max_depth;
    struct sb_err *err;
    /* the keys of all open objects, outermost first */
    struct sb_walk_key *keys;
    size_t key_count;
    size_t key_cap;
    struct sb_walk_key own[SB_WALK_KEYS];
    struct sb_buf plain; /* characters of keys with escapes */
};

/* Begins; SB_ETOO_LARGE when text is longer than the limits allow. max_depth is at most 256. */
int sb_walk_init(struct sb_walk *walk, struct sb_span text, const struct sb_json_limits *limits,
                 struct sb_err *err);
void sb_walk_fini(struct sb_walk *walk);

/* Takes one whole value and the white space before it. type and value may be NULL; value is set
 * only to text that passed. */
int sb_walk_value(struct sb_walk *walk, enum sb_json_type *type, struct sb_span *value);

/* Is the next thing that character? Takes white space only. */
bool sb_walk_sees(struct sb_walk *walk, char c);

/* Takes the [ of an array that sb_walk_sees has seen. Then, until sb_walk_more says 0 (it has taken
 * the ]): one element after each 1. `first` begins as true. */
int sb_walk_open_array(struct sb_walk *walk);
int sb_walk_more(struct sb_walk *walk, bool *first);

/* The same for an object: after each 1 the key is taken (raw, without quotes) and a value is next.
 * An object needs its mark back. */
int sb_walk_open_object(struct sb_walk *walk, size_t *mark);
int sb_walk_member(struct sb_walk *walk, size_t mark, bool *first, struct sb_span *raw_key);

/* Nothing but white space may be left. */
int sb_walk_end(struct sb_walk *walk);

static inline bool sb_json_is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

#endif
