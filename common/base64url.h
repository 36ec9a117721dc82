#ifndef SB_BASE64URL_H
#define SB_BASE64URL_H

#include <stdbool.h>

#include "buf.h"

/* base64url with padding (RFC 4648 section 5), one text for each content: length a multiple of
 * four, nothing but the 64 characters and at most two '=' at the end, unused bits zero. */

/* Appends the text of the bytes; 4 characters for each 3 bytes begun. */
void sb_base64url_encode(struct sb_span bytes, struct sb_buf *out);

/* Appends the bytes of the text; false, and nothing appended, when it is not such a text. */
bool sb_base64url_decode(struct sb_span text, struct sb_buf *out);

/* How many bytes such a text of that length and ending stands for; false when its length or its
 * padding is not possible. Looks at nothing but the last two characters. */
bool sb_base64url_size(struct sb_span text, size_t *size);

#endif
