#ifndef SB_STAMPS_H
#define SB_STAMPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "array_keys.h"
#include "buf.h"
#include "err.h"
#include "ids.h"

/* Who changed which place of a document last (M5): pointer -> (HLC, device), kept where the policy
 * is `latest`. A document without stamps counts as stamped at "" with its own HLC and device:
 * callers do that with sb_stamps_raise. Zero-initialised is the empty set. Pure; no thread rules.
 *
 * Limits: a pointer of more than SB_STAMP_POINTER_MAX bytes is stamped at its longest ancestor that
 * is not; more than SB_STAMPS_MAX places or SB_STAMPS_BYTES of pointers collapse into one at ""
 * with the highest stamp of all. Both are coarser, never wrong: a stamp counts for everything above
 * and below it. */

#define SB_STAMPS_MAX        4096
#define SB_STAMPS_BYTES      (256U << 10)
#define SB_STAMP_POINTER_MAX 1024

struct sb_stamp {
    uint64_t hlc;
    char device[SB_NAME_MAX + 1];
};

/* By HLC, then device by bytes; less, equal or greater than 0. (0, "") is below all. */
int sb_stamp_order(const struct sb_stamp *a, const struct sb_stamp *b);

/* device: at most SB_NAME_MAX bytes. */
struct sb_stamp sb_stamp_of(uint64_t hlc, struct sb_span device);

struct sb_stamps {
    struct sb_stamp_place {
        uint32_t at, len; /* of the pointer, in text */
        struct sb_stamp stamp;
    } * place; /* sorted by pointer */
    size_t count;
    struct sb_buf text;
};

void sb_stamps_free(struct sb_stamps *stamps); /* frees the contents; the set is empty again */
void sb_stamps_clear(struct sb_stamps *stamps);
void sb_stamps_copy(struct sb_stamps *to, const struct sb_stamps *from);

/* The stamp of that place becomes the higher of what it is and this one. */
void sb_stamps_raise(struct sb_stamps *stamps, struct sb_span pointer,
                     const struct sb_stamp *stamp);

/* M5: an applied operation stamps each place that it changed from its base document to what it
 * submitted and that the result has (an added object: its leaves, a removed one: itself), with the
 * higher of the place's own and `stamp`. Documents as in doc.h, the empty span is absent. An edge
 * that stamps its own operations gives `submitted` as the result too. */
void sb_stamps_apply(struct sb_stamps *stamps, struct sb_span base, struct sb_span submitted,
                     struct sb_span result, const struct sb_stamp *stamp,
                     const struct sb_array_keys *arrays);

/* The highest stamp at that place, above and below it; `otherwise` when there is none. stamps may
 * be NULL. */
struct sb_stamp sb_stamps_at(const struct sb_stamps *stamps, struct sb_span pointer,
                             const struct sb_stamp *otherwise);

/* The highest of all (the `hlc` of a document, M6); (0, "") when empty. */
struct sb_stamp sb_stamps_highest(const struct sb_stamps *stamps);

/* The i-th pointer, i < count; valid until the set is changed. */
struct sb_span sb_stamps_pointer(const struct sb_stamps *stamps, size_t i);

/* {"/a":["<16 hex>","<device>"],...}, sorted by pointer; {} when empty. Appends. */
void sb_stamps_print(const struct sb_stamps *stamps, struct sb_buf *out);

/* Reads that form, checked JSON or not; replaces what was in the set. An empty span is the empty
 * set; a set beyond the limits is collapsed. SB_EBAD_TYPE, SB_EBAD_VALUE (not a pointer, not 16 hex
 * digits, not a device or operator; the message names the entry), SB_ETOO_LARGE or what
 * sb_json_check says; the set is empty then. */
int sb_stamps_parse(struct sb_stamps *stamps, struct sb_span text, struct sb_err *err);

#endif
