#ifndef CLOUD_CONTENT_H
#define CLOUD_CONTENT_H

#include "common/buf.h"

/* One text per JSON value: members sorted by the bytes of their names, strings with the fewest
 * escapes, numbers by their own text, no white space. Two values are equal exactly when these texts
 * are, so that content can be recognised by a hash. The text must have been checked. */
void content_print(struct sb_span value, struct sb_buf *out);

/* Of an object, without the member of that plain name at the top (NULL: all). */
void content_print_without(struct sb_span object, const char *name, struct sb_buf *out);

#endif
