#ifndef SB_JSON_SCAN_H
#define SB_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

/* The strict scanner: RFC 8259 text is checked once, then read as spans into it, so that numbers,
 * strings and documents keep the bytes they came with. It allocates nothing but the key table of
 * the duplicate check. (json.h gives the same strictness with a cJSON tree, for small messages.) */

struct sb_json_limits {
    size_t max_bytes;
    unsigned max_depth; /* 1 = a flat array or object; 0 = scalars only; at most 256 */
    size_t max_nodes;   /* values, containers included */
};

#define SB_JSON_MAX_DEPTH 32
#define SB_JSON_MAX_NODES 100000

/* Levels and values of one document: the batch that it travels in has three, and some of its own
 * (64 fields of a reading, the header, the operation). */
#define SB_DOCUMENT_MAX_DEPTH (SB_JSON_MAX_DEPTH - 3)
#define SB_DOCUMENT_MAX_NODES (SB_JSON_MAX_NODES - 256)

enum sb_json_type {
    SB_JSON_NULL,
    SB_JSON_FALSE,
    SB_JSON_TRUE,
    SB_JSON_NUMBER,
    SB_JSON_STRING,
    SB_JSON_ARRAY,
    SB_JSON_OBJECT
};

/* Checks that text is exactly one JSON value, with white space around it allowed: valid UTF-8 (no
 * surrogates, no overlong forms, no lone \u surrogates, no \u0000), RFC 8259 numbers, no duplicate
 * keys in any object (compared after unescaping), within the limits, nothing after it. *value, if
 * not NULL, is set to the value without the white space around it.
 * Errors: SB_EBAD_JSON, SB_EBAD_UTF8, SB_EDUPLICATE_KEY, SB_ETOO_DEEP, SB_ETOO_MANY_NODES,
 * SB_ETOO_LARGE; the message names the place ("at byte 17", and the key where one is at fault). */
int sb_json_check(struct sb_span text, const struct sb_json_limits *limits, struct sb_span *value,
                  struct sb_err *err);

/* ---- Reading checked text. Behaviour on unchecked text is undefined. ---- */

enum sb_json_type sb_json_type_of(struct sb_span value); /* value without leading white space */

struct sb_json_iter {
    const char *at;
    const char *end;
};

/* Walks an array or an object: sb_json_iter_init, then sb_json_next_* until it returns false.
 * Values and keys are without surrounding white space; keys are raw, without their quotes. */
void sb_json_iter_init(struct sb_json_iter *iter, struct sb_span container);
bool sb_json_next_element(struct sb_json_iter *iter, struct sb_span *value);
bool sb_json_next_member(struct sb_json_iter *iter, struct sb_span *raw_key, struct sb_span *value);

/* The member with that key (plain ASCII without escapes); false when there is none. */
bool sb_json_get(struct sb_span object, const char *key, struct sb_span *value);

/* Number of elements or members; a walk over the container. */
size_t sb_json_count(struct sb_span container);

/* Appends the characters of a string (value with its quotes, or a raw key without) to out. */
void sb_json_unescape(struct sb_span string, struct sb_buf *out);

/* True when the string value (with quotes) has exactly these characters. */
bool sb_json_string_is(struct sb_span value, const char *text);

/* Whole numbers without fraction and exponent, in range; else false. */
bool sb_json_u64(struct sb_span value, uint64_t *out);
bool sb_json_i64(struct sb_span value, int64_t *out);

/* The nearest double of a number (correctly rounded); false when it is not a number or infinite.
 * Exact short decimals take a fast path, everything else strtod in the "C" locale. */
bool sb_json_double(struct sb_span value, double *out);

/* Equal as JSON values: same type; numbers by their text (1 is not 1.0), strings by characters,
 * arrays element by element, objects by members in any order. */
bool sb_json_equal(struct sb_span a, struct sb_span b);

/* Valid UTF-8 without surrogates, overlong forms and NUL? `bad_at` (may be NULL) gets the place. */
bool sb_utf8_valid(struct sb_span text, size_t *bad_at);

#endif
