#ifndef SB_BATCH_DECODER_H
#define SB_BATCH_DECODER_H

#include "envelope.h"
#include "json_read.h"

/* Inside of the batch decoder: batch_codec.c walks the text and reads the header, batch_body.c
 * reads what the walk found of the body. */

enum sb_batch_member {
    SB_M_V,
    SB_M_KIND,
    SB_M_BATCH_ID,
    SB_M_DEVICE,
    SB_M_BOOT,
    SB_M_EPOCH,
    SB_M_STREAM,
    SB_M_FIRST_SEQ,
    SB_M_LAST_SEQ,
    SB_M_MADE,
    SB_M_AGAIN,
    SB_M_SENT_AT,
    SB_M_FIELDS,
    SB_M_ROWS,
    SB_M_RECORDS,
    SB_M_CHUNKS,
    SB_M_HOLE,
    SB_BATCH_MEMBERS
};

struct sb_batch_decoder {
    struct sb_json_field members[SB_BATCH_MEMBERS];
    size_t max_records;
    size_t elements; /* of rows or records, those beyond max_records included */
    struct sb_record *records;
    size_t record_count, record_cap;
    struct sb_cell *cells;
    size_t cell_count, cell_cap;
    struct sb_chunk *chunks;
    size_t chunk_count, chunk_cap;
    struct sb_span *spans; /* field names or op_ids */
    size_t span_count, span_cap;
};

/* The array with room for one more element of that size. */
void *sb_batch_room(void *at, size_t count, size_t *cap, size_t size);

/* Reads rows, records or the hole into *out, whose header is read. */
int sb_batch_read_body(struct sb_batch_decoder *decoder, struct sb_batch *out, struct sb_err *err);

#endif
