#ifndef SB_POINTERS_H
#define SB_POINTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

/* JSON pointers (RFC 6901): "" is the document, "/a~1b/c" the member c of the member "a/b". A `~`
 * in a key is written ~0, a `/` ~1, everything else keeps its bytes; keys are characters, not their
 * spelling in a JSON text (the key "\u0061" is /a). Pure, no thread rules. */

/* Appends "/" and the key (its characters, valid UTF-8) to a pointer. */
void sb_pointer_step(struct sb_buf *pointer, struct sb_span key);

/* "" or "/...", every ~ followed by 0 or 1? (The bytes are not looked at otherwise.) */
bool sb_pointer_valid(struct sb_span pointer);

/* Takes the first key off a valid pointer: its characters go into key, which is cleared first.
 * False at the end. */
bool sb_pointer_next(struct sb_span *pointer, struct sb_buf *key);

/* Is `pointer` that place or one inside it? */
bool sb_pointer_inside(struct sb_span pointer, struct sb_span outer);

/* By bytes; less, equal or greater than 0. What "the smaller text by bytes" means everywhere. */
int sb_span_order(struct sb_span a, struct sb_span b);

/* A set of pointers, sorted by bytes. Zero-initialised is the empty set.
 *
 * Limit: SB_POINTERS_BYTES of pointers (of each its length and 1). A set beyond that becomes {""},
 * the whole document: it has to fit into replies, and a key of half a document with thousands of
 * members below must not cost gigabytes. The same set ends the same in whatever order it came. */
#define SB_POINTERS_BYTES (256U << 10)

struct sb_pointers {
    struct sb_pointer_part {
        size_t at, len; /* in text */
    } * part;
    size_t count;
    struct sb_buf text;
    size_t bytes;   /* what counts against the limit */
    bool overflown; /* beyond it; stays {""} until cleared */
    bool unsorted;  /* between _add and _finish */
};

void sb_pointers_free(struct sb_pointers *set); /* frees the contents; the set is empty again */
void sb_pointers_clear(struct sb_pointers *set);

/* Adds in any order, repeats allowed. sb_pointers_finish must follow the last one before the set is
 * read; functions that hand a set out have done so. */
void sb_pointers_add(struct sb_pointers *set, struct sb_span pointer);
void sb_pointers_finish(struct sb_pointers *set);

/* All of other (which is finished) as well; finished afterwards. */
void sb_pointers_add_all(struct sb_pointers *set, const struct sb_pointers *other);

/* The i-th, i < count. Valid until the set is changed. */
struct sb_span sb_pointers_get(const struct sb_pointers *set, size_t i);
bool sb_pointers_has(const struct sb_pointers *set, struct sb_span pointer);

/* ["/a","/b"]: the form on the wire and in the databases. Appends. */
void sb_pointers_print(const struct sb_pointers *set, struct sb_buf *out);

/* Reads that form, checked JSON or not; replaces what was in the set. SB_EBAD_TYPE, SB_EBAD_VALUE
 * or what sb_json_check says; the set is empty then. */
int sb_pointers_parse(struct sb_pointers *set, struct sb_span text, struct sb_err *err);

#endif
