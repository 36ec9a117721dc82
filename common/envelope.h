#ifndef SB_ENVELOPE_H
#define SB_ENVELOPE_H

#include "ids.h"
#include "json_scan.h"
#include "ranges.h"
#include "topic.h"

/* A batch (PROTOCOL.md section 3): contiguous records of one (epoch, stream), or one hole. */

#define SB_BATCH_MAX_RECORDS 1000    /* of the default limits in the welcome */
#define SB_BATCH_MAX_BYTES   131072  /* compressed, likewise */
#define SB_RECORD_MAX_BYTES  1048576 /* one document */
#define SB_PAYLOAD_MAX_BYTES 4194304 /* JSON text after inflating */
#define SB_FIELDS_MAX        64      /* columns of a sensor reading */

enum sb_form { SB_FORM_ROWS, SB_FORM_RECORDS, SB_FORM_HOLE };

/* Stored and on the wire; never renumber. */
enum sb_hole_reason {
    SB_HOLE_EVICTED = 1, /* shed at a limit */
    SB_HOLE_EXPIRED = 2, /* older than its time to live */
    SB_HOLE_DEAD = 3,    /* in the device's dead letter */
    SB_HOLE_CLEARED = 4, /* cleared by a person */
    SB_HOLE_PURGED = 5,  /* settled long ago, no longer kept: names no operations */
    SB_HOLE_CORRUPT = 6, /* unreadable on the device's disk */
    SB_HOLE_LOST = 7
};
const char *sb_hole_reason_name(enum sb_hole_reason reason);
bool sb_hole_reason_parse(struct sb_span name, enum sb_hole_reason *reason);

enum sb_clock_quality { SB_CLOCK_UNKNOWN = 0, SB_CLOCK_RTC = 1, SB_CLOCK_NTP = 2 };
const char *sb_clock_quality_name(enum sb_clock_quality quality); /* "unknown", "rtc", "ntp" */

/* What the device's clocks said when `n` records were enqueued. */
struct sb_chunk {
    uint64_t n;
    char device_boot[SB_UUID_LEN + 1]; /* kernel boot id, "" when not given */
    bool has_times;
    int64_t mono_ms;
    int64_t wall_us;
    enum sb_clock_quality quality;
};

struct sb_cell {
    enum sb_json_type type;
    struct sb_span text; /* strings with their quotes */
};

/* One element of "rows" or "records". */
struct sb_record {
    struct sb_span text;
    enum sb_json_type type; /* rows: anything but ARRAY, records: anything but OBJECT is bad_type */
    size_t first_cell;      /* rows only: cells[first_cell .. first_cell + cell_count) */
    size_t cell_count;
};

struct sb_batch {
    char batch_id[SB_UUID_LEN + 1];
    char device[SB_NAME_MAX + 1];
    char boot[SB_UUID_LEN + 1]; /* of the welcome it was sent under; "" for a plain client */
    char epoch[SB_EPOCH_LEN + 1];
    struct sb_stream stream;
    uint64_t first_seq, last_seq;
    uint64_t made; /* >= last_seq; where absent it is last_seq */
    bool again;
    enum sb_form form;

    /* rows and records; everything points into the text or the decoder */
    struct sb_span fields;             /* text of the array, "" for records */
    const struct sb_span *field_names; /* raw keys without quotes; plain names only */
    size_t field_count;
    const struct sb_record *records; /* last_seq - first_seq + 1 of them */
    size_t record_count;
    const struct sb_cell *cells;
    const struct sb_chunk *chunks; /* their n sum up to record_count, or there are none */
    size_t chunk_count;

    /* hole */
    enum sb_hole_reason reason;
    const struct sb_span *ops; /* op_ids as raw string values with quotes; len 0 = null. Empty
                                  (op_count 0) for purged and on free streams */
    size_t op_count;
    struct sb_span ts_from, ts_to, summary; /* raw values or empty */
};

/* Keeps the arrays of the last decoded batch. Not thread-safe. */
struct sb_batch_decoder;
struct sb_batch_decoder *sb_batch_decoder_new(void);
void sb_batch_decoder_free(struct sb_batch_decoder *decoder);

/* Decodes and checks one envelope of kind "batch" (plain JSON text, already inflated). The hot path
 * is a scanner of our own that walks the text once (white space between tokens allowed, members in
 * any order). On success *out is valid until the next decode or until text goes away.
 * Unknown members are ignored; a wrong type, a missing member, first > last, a count that does not
 * match (SB_EBAD_SEQ), chunks that do not add up, more than max_records (SB_ELIMIT: to be split)
 * fails the whole batch and names the member; out->batch_id, device and stream are filled as far as
 * they were readable ("" otherwise). Rows on another stream than sensors, and records there, are
 * SB_EBAD_VALUE. A record that is bad in itself (row of the wrong width, not an object) does not
 * fail the batch: its type and cell_count say so. */
int sb_batch_decode(struct sb_batch_decoder *decoder, struct sb_span text, size_t max_records,
                    struct sb_batch *out, struct sb_err *err);

/* ---- encoding, edge side: text is joined, never parsed and printed again ---- */

/* Appends {"v":1,"batch_id":... up to the point where the body goes: ..."sent_at":"…Z". */
void sb_batch_begin(struct sb_buf *out, const struct sb_batch *head, int64_t wall_us);
/* ,"fields":<fields>,"rows":[ … ],"chunks":[…]}  rows = records' texts joined by commas. */
void sb_batch_end_rows(struct sb_buf *out, struct sb_span fields, struct sb_span rows,
                       const struct sb_chunk *chunks, size_t chunk_count);
void sb_batch_end_records(struct sb_buf *out, struct sb_span records);
/* ,"hole":{"reason":…,"ops":[…]}}; ops[i] of len 0 is null; op_count 0 leaves ops out. Here ops are
 * plain characters, escaped by this function. summary may be empty. */
void sb_batch_end_hole(struct sb_buf *out, enum sb_hole_reason reason, const struct sb_span *ops,
                       size_t op_count, struct sb_span summary);

/* The part [skip, skip + take) of records' texts joined by commas (as stored in the outbox); the
 * text must be checked JSON elements. Points into joined. False when there are not so many. */
bool sb_records_slice(struct sb_span joined, uint64_t skip, uint64_t take, struct sb_span *part);

#endif
