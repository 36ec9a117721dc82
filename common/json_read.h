#ifndef SB_JSON_READ_H
#define SB_JSON_READ_H

#include "json_scan.h"

/* Typed members of checked objects, for the codecs. Errors name the member: SB_EMISSING_FIELD,
 * SB_EBAD_TYPE, SB_EBAD_VALUE, SB_ETOO_LARGE. */

/* What one message to the cloud may be, and what one from it: that wraps a document deeper than the
 * batch it came in, and may hold several. */
extern const struct sb_json_limits sb_wire_limits;
extern const struct sb_json_limits sb_down_limits;
/* What one document may be, so that it can be sent, by whatever side it was made. */
extern const struct sb_json_limits sb_document_limits;

/* Checks a message or a part of one, and that it is an object. */
int sb_json_check_object(struct sb_span text, const struct sb_json_limits *limits,
                         struct sb_span *object, struct sb_err *err);

struct sb_json_field {
    const char *key;
    struct sb_span value; /* empty when the member is not there */
};

/* One walk over the object fills the values of those named. */
void sb_json_pick(struct sb_span object, struct sb_json_field *fields, size_t count);

/* There, and not null. */
bool sb_field_given(const struct sb_json_field *field);

int sb_field_u64(const struct sb_json_field *field, uint64_t min, uint64_t max, uint64_t *out,
                 struct sb_err *err);
int sb_field_bool(const struct sb_json_field *field, bool *out, struct sb_err *err);
/* Characters with a NUL into out; SB_ETOO_LARGE when they do not fit into size bytes. */
int sb_field_text(const struct sb_json_field *field, char *out, size_t size, struct sb_err *err);
/* An array or an object (an enum sb_json_type). */
int sb_field_type(const struct sb_json_field *field, enum sb_json_type type, struct sb_err *err);
/* RFC 3339; as text it is kept as it came. */
int sb_field_time_text(const struct sb_json_field *field, char *out, size_t size,
                       struct sb_err *err);
int sb_field_time(const struct sb_json_field *field, int64_t *wall_us, struct sb_err *err);

/* Ids. uuid: 36 characters in lower case; token: 1 to 36 of [A-Za-z0-9_-] (boot ids); hex16:
 * epochs, tags, hlc; name: sb_name_valid. SB_EBAD_ID when they are not. */
int sb_field_uuid(const struct sb_json_field *field, char out[37], struct sb_err *err);
int sb_field_token(const struct sb_json_field *field, char out[37], struct sb_err *err);
int sb_field_hex16(const struct sb_json_field *field, char out[17], struct sb_err *err);
int sb_field_name(const struct sb_json_field *field, char out[65], struct sb_err *err);

/* Reads "v": SB_EBAD_VERSION unless it is 1. */
int sb_field_version(const struct sb_json_field *field, struct sb_err *err);

/* "kind": SB_EBAD_VALUE unless it is that one. */
int sb_field_kind(const struct sb_json_field *field, const char *kind, struct sb_err *err);

/* A code's name; one that this version does not know is SB_EINTERNAL: to be tried again later. */
int sb_field_code(const struct sb_json_field *field, enum sb_code *code, struct sb_err *err);

/* Names of documents: sb_table_valid, sb_document_id_valid. SB_EBAD_ID when they are not. */
int sb_field_table(const struct sb_json_field *field, char out[65], struct sb_err *err);
int sb_field_document_id(const struct sb_json_field *field, char out[129], struct sb_err *err);
/* An op_id: 1 to 128 bytes. */
int sb_field_op_id(const struct sb_json_field *field, char out[129], struct sb_err *err);

/* An optional text for people: cut off, not refused, where a newer peer says more. */
int sb_field_reason(const struct sb_json_field *field, char *reason, size_t size,
                    struct sb_err *err);

#endif
