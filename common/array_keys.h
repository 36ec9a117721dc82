#ifndef SB_ARRAY_KEYS_H
#define SB_ARRAY_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "err.h"

/* Which arrays of a document are merged element by element: {"/nodes":"id"} names an array by its
 * pointer and the member that tells its elements apart. A segment that is a single asterisk stands
 * for any one. From a table's mapping file; told to edges.
 *
 * An array at such a place is *keyed* when every element is an object that has that member, it is a
 * string or a number, and no two elements have the same one (the characters of the string, the text
 * of the number; "1" and 1 are the same). Pointers go on inside with the key as the segment:
 * /nodes/n1/x. An array that is not keyed is one place, as arrays are without all this. */

#define SB_ARRAY_KEYS_MAX   64   /* entries */
#define SB_ARRAY_KEYS_BYTES 4096 /* of the object as printed */

struct sb_array_key {
    char *pattern;
    char *member;
};

/* Zero-initialised declares none. */
struct sb_array_keys {
    struct sb_array_key *at; /* sorted by pattern */
    size_t count;
};

void sb_array_keys_free(struct sb_array_keys *keys); /* frees the contents; empty again */

/* Reads the object above, checked JSON or not; replaces what was there. An empty span or {} is
 * none. SB_EBAD_TYPE, SB_EBAD_VALUE (not a pointer, an empty name, beyond the limits; the message
 * names the entry) or what sb_json_check says; none are declared then. */
int sb_array_keys_parse(struct sb_array_keys *keys, struct sb_span text, struct sb_err *err);

/* The same object again, sorted; {} for none. Appends. */
void sb_array_keys_print(const struct sb_array_keys *keys, struct sb_buf *out);

/* The member for an array at that pointer: of the pattern that is the pointer itself, else of the
 * first one by bytes that fits; NULL when none does or keys is NULL. */
const char *sb_array_keys_member(const struct sb_array_keys *keys, struct sb_span pointer);

#endif
