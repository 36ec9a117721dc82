#ifndef UNIT_MERGE_KIT_H
#define UNIT_MERGE_KIT_H

#include "common/merge.h"
#include "common/rng.h"

/* What the tests of documents share. Texts are checked and copied to exactly their size, so that a
 * read past the end is found; "" is an absent document. */

/* Fails the test when the text is no document. Freed by kit_free_texts. */
struct sb_span kit_document(const char *text);
struct sb_span kit_document_span(struct sb_span text);
void kit_free_texts(void);

/* Of the object's text; freed by the caller. */
struct sb_array_keys kit_arrays(const char *text);
struct sb_stamps kit_stamps(const char *text);

/* The set as text: ["/a"]; valid until the next call of four. */
const char *kit_places(const struct sb_pointers *places);

/* A random document with few different keys and values, so that edits meet; with `arrays`, one with
 * a keyed array at /n. May be absent. Its text has random white space and escapes. */
void kit_random_document(struct sb_rng *rng, bool arrays, struct sb_buf *out);
/* ... a changed copy of that one. */
void kit_random_edit(struct sb_rng *rng, struct sb_span document, bool arrays, struct sb_buf *out);

#endif
