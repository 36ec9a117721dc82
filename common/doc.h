#ifndef SB_DOC_H
#define SB_DOC_H

#include <stdbool.h>

#include "array_keys.h"
#include "buf.h"
#include "pointers.h"

/* Places in a document, all on texts: a document is one JSON value that sb_json_check accepted,
 * without white space around it, at most SB_DOC_MAX_BYTES; the empty span is "absent" (deleted, or
 * never there). null is a value. Equality is that of sb_json_equal. An array is one place, unless
 * `arrays` (may be NULL) declares it and it is keyed. Pure; no thread rules. Nothing here fails. */

#define SB_DOC_MAX_BYTES (UINT32_MAX / 2)

/* The places at which b differs from a, as the pointers of the smallest ones: objects are compared
 * member by member, keyed arrays element by element (and the array itself is named when the
 * elements that both have are in another order), everything else is one place. Added to `places`,
 * which is finished afterwards. */
void sb_doc_changed(struct sb_span a, struct sb_span b, const struct sb_array_keys *arrays,
                    struct sb_pointers *places);

/* The value at a pointer, a part of document; the empty span when there is none. */
struct sb_span sb_doc_get(struct sb_span document, struct sb_span pointer,
                          const struct sb_array_keys *arrays);

/* Appends the document with that place set to value (absent: removed). What is on the way and no
 * object becomes one, so an array that is not keyed is replaced; a member keeps its position, a new
 * one goes to the end; the texts of everything else stay, and objects on the way are written anew
 * as
 * {"k": v, "l": w}. In a keyed array an element that is not there is added at the end. Appends
 * nothing when the result is absent.
 * False, and out gets the document as it is, when the place lies inside an element that is not
 * there (nobody knows the rest of that element) or deeper than SB_JSON_MAX_DEPTH. */
bool sb_doc_put(struct sb_span document, struct sb_span pointer, struct sb_span value,
                const struct sb_array_keys *arrays, struct sb_buf *out);

/* V8: appends `document` with every place that changed between `from` and `to` set to what it is in
 * `to` (as if sb_doc_changed and sb_doc_put in order of the pointers): what a resolution "keep the
 * losing edit" makes of the document in force. Appends nothing when that is absent. Compare with
 * `document` by sb_json_equal: when equal nothing is to be done.
 * Keyed arrays: an element that changed and is not in the document any more comes back whole, as in
 * `to`; where the edit changed the order, the elements of `to` that the result has are put into
 * that of `to`, on the places they have together. */
void sb_doc_reapply(struct sb_span from, struct sb_span to, struct sb_span document,
                    const struct sb_array_keys *arrays, struct sb_buf *out);

#endif
