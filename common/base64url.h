#ifndef SB_BASE64URL_H
#define SB_BASE64URL_H

#include <stdbool.h>

#include "buf.h"

/* base64url with padding (RFC 4648 section 5), one text for each content: length a multiple of
 * four, nothing but the 64 characters and at most two '=' at the end, unused bits zero. */

/* Appends the text of the bytes; 4 characters for each 3 bytes begun. */
void sb_base64url_encode(struct sb_span bytes, struct sb_buf *out);

/* Is it such a text? *size (may be NULL) is how many bytes it stands for. */
bool sb_base64url_valid(struct sb_span text, size_t *size);

/* Appends the bytes of the text; false, and nothing appended, when it is not such a text. */
bool sb_base64url_decode(struct sb_span text, struct sb_buf *out);

#endif
