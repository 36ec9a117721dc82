#ifndef EDGE_OUTBOX_H
#define EDGE_OUTBOX_H

#include "common/clock.h"
#include "common/envelope.h"
#include "common/err.h"
#include "common/ids.h"
#include "common/ranges.h"
#include "common/rng.h"
#include "common/topic.h"

/* Stage 2: the durable queue, one SQLite file. Several processes may write it at once (every `put`
 * does so directly); only the daemon settles. All functions but outbox_open need the handle's one
 * thread. What is returned as text is owned by the caller unless it says otherwise.
 *
 * Truths (checked by tests and by `edge_agent status --check`):
 *  1. A number of a stream, once given out, never changes its content and is never given out again.
 *  2. A number that was given out is settled, or a row covers it, or an unsent hole does.
 *  3. What is refused (answered rejected or conflict) is settled, or lies in an unsent hole.
 *  4. A number in the dead letter is settled, or lies in an unsent hole. */

struct outbox;

#define OUTBOX_ROW_MAX_RECORDS 1000 /* of one row (chunk) */
#define OUTBOX_MAX_STREAMS     1000 /* names over all epochs; the cloud takes no more of a device */
#define OUTBOX_ROW_MAX_BYTES   131072 /* of its body, unless it is one record */

struct outbox_config {
    const char *path;    /* a file, or a file: URI of a test */
    int busy_timeout_ms; /* 0 = 5000 */
    int64_t max_bytes;   /* page limit of the file, 0 = none */
    bool create;         /* make the file when there is none */
    bool in_memory;      /* tests: WAL is not insisted on, the path is not checked */
};

/* Opens, migrates, makes the first epoch of a new file. SB_ENOT_FOUND without create. */
int outbox_open(const struct outbox_config *config, struct sb_rng *rng, struct outbox **out,
                struct sb_err *err);
void outbox_close(struct outbox *ob); /* rolls an open transaction back */
/* False once the path names another file than the open one, or none. */
bool outbox_in_place(const struct outbox *ob);

/* ---- transactions: everything below that changes something needs one ---- */

/* BEGIN IMMEDIATE, then checks that the path still names the open file (a wiped or restored folder
 * under a running process: SB_EIO "the outbox file was replaced"). */
int outbox_begin(struct outbox *ob, struct sb_err *err);
/* Returns after the commit is on disk (FULL). On any error the transaction is rolled back and
 * nothing of it happened, as far as anyone can know: SB_EDISK_FULL, SB_EREAD_ONLY, SB_EBUSY, ... */
int outbox_commit(struct outbox *ob, struct sb_err *err);
void outbox_rollback(struct outbox *ob);

/* ---- stage 1 → 2: enqueue ---- */

/* A caller's id for one record: a repeat is recognised by it, the hash tells an honest repeat from
 * another content under the same id. */
struct outbox_id {
    struct sb_span id; /* empty = none */
    uint64_t hash;     /* sb_hash64 of what the caller gave */
};

/* One chunk: records of one call, ready wire text joined by commas. */
struct outbox_chunk {
    struct sb_stream stream;
    struct sb_span fields;       /* sensors: text of the "fields" array; else empty */
    struct sb_span body;         /* checked JSON: `count` arrays (rows) or objects (records) */
    uint64_t count;              /* 1 .. OUTBOX_ROW_MAX_RECORDS; 1 on ordered streams */
    const struct outbox_id *ids; /* count of them, or NULL. Ordered streams need one (the op_id) */
    struct sb_span before;       /* ordered: the document before this operation, empty = none */
    struct sb_span doc;          /* records: what it is about (document_name_text) */
    bool reserved;               /* may use the room that is kept for settling */
    /* the device's clocks at enqueue */
    const char *device_boot; /* kernel boot id or "" */
    int64_t mono_ms;
    int64_t wall_us;
    enum sb_clock_quality quality;
};

struct outbox_place {
    char epoch[SB_EPOCH_LEN + 1];
    uint64_t first_seq, last_seq;
    bool repeat; /* count 1 only: this id was enqueued before with the same content; its place */
};

/* Gives the records their numbers (current epoch, read inside the transaction) and keeps them. With
 * an id that is known: same hash → place->repeat; for one record nothing is added. In a chunk of
 * many a known id is SB_EEXISTS (the caller sends such records one by one). Another hash →
 * SB_EID_REUSED. SB_ELIMIT when the chunk breaks the limits above. */
int outbox_append(struct outbox *ob, const struct outbox_chunk *chunk, struct outbox_place *place,
                  struct sb_err *err);

/* Is that stream there, or may it be one more? SB_ELIMIT as outbox_append says it. */
int outbox_takes_stream(struct outbox *ob, const struct sb_stream *stream, struct sb_err *err);

/* Is there room for what is not needed to settle and to drain? SB_EDISK_FULL at max_bytes, as
 * outbox_append says it. Looked at once a transaction. */
int outbox_room(struct outbox *ob, struct sb_err *err);

/* Is that id known on that stream? *hash and *place (may be NULL) are set. */
int outbox_find_id(struct outbox *ob, const struct sb_stream *stream, struct sb_span id,
                   bool *found, uint64_t *hash, struct outbox_place *place, struct sb_err *err);

/* The cloud's clock as a welcome told it: how far it is ahead of this machine's monotonic one,
 * which holds until the next boot whatever is done to the wall clock meanwhile. device_boot "" is
 * not kept. */
int outbox_set_server_clock(struct outbox *ob, const char *device_boot, int64_t ahead_us,
                            struct sb_err *err);
/* now.wall_us, or the cloud's time where it is known within this boot and more than 2 s
 * away. */
int outbox_server_time(struct outbox *ob, const char *device_boot, struct sb_now now,
                       int64_t *wall_us, struct sb_err *err);

/* The outbox's hybrid logical clock: max(wall_us, last + 1, floor + 1), kept in the transaction;
 * wall_us is of outbox_server_time. 16 hex digits: ms since 1970 << 16 | counter. */
int outbox_hlc(struct outbox *ob, int64_t wall_us, uint64_t floor, uint64_t *hlc,
               struct sb_err *err);

/* Operations of a stream's name that are not settled, over all epochs. */
int outbox_pending_of(struct outbox *ob, const struct sb_stream *stream, uint64_t *count,
                      struct sb_err *err);

/* ---- command history kept on the device ---- */
/* Drops up to `limit` records that were made before before_us (not those of a device whose clock
 * was not set), and, as long as nine tenths of the file's limit are used, the oldest of all. The
 * newest record stays. *dropped counts them. */
int outbox_history_purge(struct outbox *ob, int64_t before_us, int limit, int *dropped,
                         struct sb_err *err);
int outbox_history_add(struct outbox *ob, const char *user, struct sb_span command_id,
                       struct sb_span body, int64_t wall_us, struct sb_err *err);

/* ---- where a source (an import) has read to: written in the enqueue transaction ---- */
int outbox_cursor_get(struct outbox *ob, const char *source, uint64_t *offset, uint64_t *hash,
                      bool *found, struct sb_err *err);
int outbox_cursor_set(struct outbox *ob, const char *source, uint64_t offset, uint64_t hash,
                      struct sb_err *err);

/* ---- reading, for the daemon and the command line ---- */

/* One (epoch, stream). */
struct outbox_stream {
    int64_t s;       /* its key in this file */
    int64_t epoch_n; /* epochs in the order they were made */
    char epoch[SB_EPOCH_LEN + 1];
    struct sb_stream stream;
    uint64_t next_seq;               /* the next to give out; made = next_seq - 1 */
    struct sb_span settled, refused; /* texts of interval sets; valid during the call */
    uint64_t row_bytes;              /* of all rows kept */
};
/* Calls each() for every (epoch, stream), epochs in order, streams by name; stops on non-zero. */
int outbox_streams(struct outbox *ob, int (*each)(void *ctx, const struct outbox_stream *stream),
                   void *ctx, struct sb_err *err);
int outbox_epochs(struct outbox *ob, int (*each)(void *ctx, int64_t n, const char *epoch),
                  void *ctx, struct sb_err *err); /* in order; the last is the current one */

struct outbox_row {
    uint64_t first_seq, last_seq;
    int64_t fields_id;                 /* rows with equal ids have equal fields */
    struct sb_span fields, body;       /* valid during the call */
    struct sb_span op_id, before, doc; /* ordered streams */
    const char *device_boot;
    int64_t mono_ms, wall_us;
    enum sb_clock_quality quality;
};
/* Rows of s that reach into from..to, ascending, until each() returns non-zero. */
int outbox_rows(struct outbox *ob, int64_t s, uint64_t from, uint64_t to,
                int (*each)(void *ctx, const struct outbox_row *row), void *ctx,
                struct sb_err *err);
/* The numbers that rows of s cover. Reads keys only. */
int outbox_row_ranges(struct outbox *ob, int64_t s, struct sb_ranges *out, struct sb_err *err);
/* The first number that has a row; 0 where there is none. One look, whatever the backlog. */
int outbox_first_row(struct outbox *ob, int64_t s, uint64_t *first, struct sb_err *err);

struct outbox_hole {
    int64_t s;
    uint64_t first_seq, last_seq;
    enum sb_hole_reason reason;
    struct sb_span ops; /* JSON array text of op_ids or nulls, "" = none; valid during the call */
};
int outbox_holes(struct outbox *ob, int (*each)(void *ctx, const struct outbox_hole *hole),
                 void *ctx, struct sb_err *err);

struct outbox_dead {
    int64_t id;
    int64_t s;
    char epoch[SB_EPOCH_LEN + 1];
    char stream[SB_STREAM_MAX + 1];
    uint64_t seq;
    enum sb_code code;
    struct sb_span reason, fields, body, op_id; /* valid during the call */
    int64_t dead_us;                            /* when it came here */
    uint64_t tries;                             /* of `dead retry` */
    bool retry;                                 /* asked for and not answered yet */
};
/* id 0: all, oldest first; retry_only: those asked to be sent again. */
int outbox_dead_list(struct outbox *ob, int64_t id, bool retry_only,
                     int (*each)(void *ctx, const struct outbox_dead *dead), void *ctx,
                     struct sb_err *err);

/* The command line's `dead retry` and `dead drop`; the daemon may be running. A free stream's
 * record is flagged and the daemon sends it under its old number with "again"; an ordered one's is
 * enqueued anew with the same op_id. SB_ENOT_FOUND. */
int outbox_dead_retry(struct outbox *ob, int64_t id, struct sb_now now, struct sb_err *err);
int outbox_dead_drop(struct outbox *ob, int64_t id, struct sb_err *err);

struct outbox_counts {
    uint64_t pending, dead, conflicts, holes;
    int64_t oldest_pending_us;      /* 0 = nothing pending */
    int64_t used_bytes, free_bytes; /* pages in use, pages free, in bytes */
};
int outbox_counts(struct outbox *ob, struct outbox_counts *out, struct sb_err *err);

int64_t outbox_data_version(struct outbox *ob); /* changes when another process committed */

/* ---- stage 8: settling, the daemon alone ---- */

int outbox_set_settled(struct outbox *ob, int64_t s, const struct sb_ranges *settled,
                       const struct sb_ranges *refused, struct sb_err *err);
/* Copies record seq out of its row into the dead letter; on an ordered stream the row goes. */
int outbox_dead_add(struct outbox *ob, int64_t s, uint64_t seq, enum sb_code code,
                    const char *reason, int64_t wall_us, struct sb_err *err);
/* seq of s has reached the cloud after all: out of the dead letter (when it is there), and a row
 * again when none covers it. */
int outbox_dead_revive(struct outbox *ob, int64_t s, uint64_t seq, struct sb_err *err);
/* A retry was refused again: the new code and reason, no longer flagged. */
int outbox_dead_refused(struct outbox *ob, int64_t s, uint64_t seq, enum sb_code code,
                        const char *reason, struct sb_err *err);
/* Declares lo..hi; ops as JSON array text or "". */
int outbox_hole_add(struct outbox *ob, int64_t s, uint64_t lo, uint64_t hi,
                    enum sb_hole_reason reason, struct sb_span ops, struct sb_err *err);
/* lo..hi of unsent holes is answered: those parts go. */
int outbox_hole_settle(struct outbox *ob, int64_t s, uint64_t lo, uint64_t hi, struct sb_err *err);
/* op_id of a number in the dead letter or the conflicts; *found false when in neither. */
int outbox_given_up(struct outbox *ob, int64_t s, uint64_t seq, bool *found,
                    char op_id[SB_ID_MAX + 1], struct sb_err *err);
int outbox_receipt_get(struct outbox *ob, char boot[SB_UUID_LEN + 1], uint64_t *commit,
                       struct sb_err *err);
int outbox_receipt_set(struct outbox *ob, const char *boot, uint64_t commit, struct sb_err *err);
/* Wall clock of the last reply that settled something, 0 = never. */
int outbox_last_settled(struct outbox *ob, int64_t *wall_us, struct sb_err *err);
int outbox_set_last_settled(struct outbox *ob, int64_t wall_us, struct sb_err *err);
int outbox_new_epoch(struct outbox *ob, struct sb_rng *rng, int64_t wall_us,
                     char epoch[SB_EPOCH_LEN + 1], struct sb_err *err);
/* Rows lo..hi of s are given up as `reason` by the caller (shed): deletes or cuts the rows. */
int outbox_rows_drop(struct outbox *ob, int64_t s, uint64_t lo, uint64_t hi, struct sb_err *err);
/* s: numbers up to hi are sent again because the cloud was rolled back (V5, V7). */
int outbox_set_resent(struct outbox *ob, int64_t s, uint64_t hi, struct sb_err *err);
/* Deletes up to max_rows rows of s that are settled and older than before_us, or, with
 * over_bytes > 0, the oldest settled ones until that many bytes went. *deleted counts them. */
int outbox_purge(struct outbox *ob, int64_t s, const struct sb_ranges *settled, int64_t before_us,
                 int64_t over_bytes, int max_rows, int *deleted, struct sb_err *err);
/* A checkpoint in idle time. */
void outbox_checkpoint(struct outbox *ob);

#endif
