#ifndef SB_JSON_PUT_H
#define SB_JSON_PUT_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"

/* Writes JSON into a buffer, member by member. Commas come by themselves: before everything that
 * does not follow a '{' or '['. With key NULL it is an element of an array. Texts that are not
 * valid UTF-8 get U+FFFD for their bad bytes, so that the output can be read whatever was stored.
 */
void sb_put_open(struct sb_buf *out, const char *key, char bracket); /* '{' or '[' */
void sb_put_close(struct sb_buf *out, char bracket);                 /* '}' or ']' */

void sb_put_text(struct sb_buf *out, const char *key, const char *text);
void sb_put_span(struct sb_buf *out, const char *key, struct sb_span text);
/* The text, or null where it is empty. */
void sb_put_text_or_null(struct sb_buf *out, const char *key, const char *text);
void sb_put_u64(struct sb_buf *out, const char *key, uint64_t value);
void sb_put_i64(struct sb_buf *out, const char *key, int64_t value);
void sb_put_bool(struct sb_buf *out, const char *key, bool value);
void sb_put_null(struct sb_buf *out, const char *key);
/* RFC 3339; null where it is 0. */
void sb_put_time_ms(struct sb_buf *out, const char *key, int64_t wall_ms);
void sb_put_time_us(struct sb_buf *out, const char *key, int64_t wall_us);
/* JSON text as it is; null where it is empty. */
void sb_put_raw(struct sb_buf *out, const char *key, struct sb_span json);

#endif
