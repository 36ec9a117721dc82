#ifndef SB_DOCUMENT_CODEC_H
#define SB_DOCUMENT_CODEC_H

#include "json_read.h"
#include "reply.h"

/* A document inside of replies and answers. Used by codecs only. */

/* Appends "version":… and so on, without braces; without_data leaves data and stamps out
 * ("fetch":true). */
void sb_document_add_members(const struct sb_document *doc, bool without_data, struct sb_buf *out);

/* What leaving the data out saves, in bytes; 0 when there is none to leave out. */
size_t sb_document_saving(const struct sb_document *doc);

/* Reads these members of a checked object into a zeroed document; exists is set. */
int sb_document_read(struct sb_span object, struct sb_document *doc, struct sb_err *err);

/* The list of undecided places, "" = []; a long one becomes [""]. */
void sb_add_pointer_list(struct sb_span pointers, struct sb_buf *out);
/* Reads it: an array of strings. */
int sb_read_pointer_list(const struct sb_json_field *field, struct sb_buf *out, struct sb_err *err);

/* What is done with conflicts of a table, and its arrays merged by key: ,"policy":… where one is
 * told and ,"arrays":{"/nodes":"id",…} where there are any. */
void sb_add_policy(struct sb_buf *out, enum sb_policy policy, struct sb_span arrays);
/* Optional; a policy of a newer cloud is taken for none told. */
int sb_read_policy(const struct sb_json_field *field, enum sb_policy *policy, struct sb_err *err);
/* Optional; at most SB_ARRAYS_MAX entries and SB_ARRAYS_MAX_BYTES. Appends the text. */
int sb_read_arrays(const struct sb_json_field *field, struct sb_buf *out, struct sb_err *err);

/* Parts of the encoders: ,"key":"text" with text that needs no escapes, or null where it is "". */
void sb_add_text(struct sb_buf *out, const char *key, const char *text);
/* ,"key":"text" with escapes; text that is not valid UTF-8 is cut off before the place. */
void sb_add_escaped(struct sb_buf *out, const char *key, const char *text);
/* ,"key":value */
void sb_add_u64(struct sb_buf *out, const char *key, uint64_t value);

#endif
