#ifndef CLOUD_STORE_H
#define CLOUD_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/envelope.h"
#include "common/err.h"
#include "common/hello.h"
#include "common/ids.h"
#include "common/ranges.h"
#include "common/reply.h"
#include "mapping.h"

/* The cloud's database as the ingest writes it. Every function that can fail returns 0 or a
 * negative sb_code with *err filled; after a failure inside a transaction the caller rolls back and
 * decides nothing. One owner thread per handle. The command line's questions are in store_read.h.
 */

struct store;

enum store_mode {
    STORE_OWN,   /* the daemon: creates and migrates */
    STORE_ADMIN, /* existing database, may write bindings and devices */
    STORE_READ   /* existing database, never writes */
};

struct store_options {
    enum store_mode mode;
    int busy_timeout_ms;
    int cache_kib;                      /* page cache, 0 = 8192 */
    int64_t page_limit;                 /* max_page_count, 0 = none */
    bool volatile_ok;                   /* a database in memory (tests) */
    bool existing;                      /* STORE_OWN: it must be there, none is made */
    const struct mapping_set *mappings; /* STORE_OWN: typed tables are made for them; may be NULL */
};

/* Opens the database. SB_ECORRUPT for a foreign one, SB_ENEWER_SCHEMA, SB_ECONFIG when a table's
 * column has another type than its mapping or a column in use is no longer declared. The mappings
 * must outlive the store. */
int store_open(const char *path, const struct store_options *options, struct store **out,
               struct sb_err *err);
/* What store_open does to a database, once more: another one was copied into the file that is open.
 * Outside a transaction. The errors of store_open; what was known before stays in use then. */
int store_refit(struct store *store, struct sb_err *err);
void store_close(struct store *store);
/* Whether the path still names the file that is open: a copy may have been moved into its place,
 * and what is written to this one would be gone with the process. */
bool store_in_place(const struct store *store);

/* ---- transactions ---- */

int store_begin(struct store *store, struct sb_err *err);  /* BEGIN IMMEDIATE */
int store_commit(struct store *store, struct sb_err *err); /* on failure it was rolled back */
void store_rollback(struct store *store);                  /* when one is open */

/* Differs from the last one whenever something was changed by somebody else than the transactions
 * of this handle: another process, or the calls below that say so. */
int store_stamp(struct store *store, int64_t *stamp, struct sb_err *err);

/* ---- boots and their commits ---- */

/* A transaction of its own. */
int store_boot_add(struct store *store, const char *boot, int64_t now_ms, struct sb_err *err);
/* Compare-and-set from..from + 1; *won is false when the row is not as it should be: this database
 * is not the one that this process wrote to. */
int store_boot_advance(struct store *store, const char *boot, uint64_t from, bool *won,
                       struct sb_err *err);
int store_boot_commits(struct store *store, const char *boot, bool *known, uint64_t *commits,
                       struct sb_err *err);

/* ---- devices, epochs, what hellos said ---- */

struct device_row {
    bool known;
    bool revoked;
    char epoch[SB_EPOCH_LEN + 1]; /* current one of the last hello, "" = none */
    char nonce[SB_UUID_LEN + 1];  /* of the hello whose pages come in */
    uint32_t pages;
    struct sb_ranges seen; /* its pages so far */
};
void device_row_free(struct device_row *row);

int store_device_get(struct store *store, const char *device, struct device_row *row,
                     struct sb_err *err);
/* Every registered device that is not revoked, until each() returns false. */
int store_device_names(struct store *store, bool (*each)(void *ctx, const char *device), void *ctx,
                       struct sb_err *err);
int store_device_add(struct store *store, const char *device, int64_t now_ms, struct sb_err *err);

/* Notes a page of a hello; whole = its last missing page, so that its figures are complete. */
int store_device_hello(struct store *store, const struct sb_hello *hello,
                       const struct sb_ranges *seen, bool whole, int64_t now_ms,
                       struct sb_err *err);

/* The current epochs of a device's hellos, newest first, one entry per change. */
#define STORE_TURNS 4
struct epoch_turn {
    char epoch[SB_EPOCH_LEN + 1];
    int64_t at_ms;
};
int store_turn_add(struct store *store, const char *device, const char *epoch, int64_t now_ms,
                   struct sb_err *err);
int store_turns(struct store *store, const char *device, struct epoch_turn turns[STORE_TURNS],
                size_t *count, struct sb_err *err);

/* An epoch is noted at its first batch or hello; nonce "" for a batch. SB_ELIMIT beyond
 * LIMIT_EPOCHS. *fresh says that it was not known before. */
int store_epoch_note(struct store *store, const char *device, const char *epoch, const char *nonce,
                     int64_t now_ms, bool *fresh, struct sb_err *err);
/* How many epochs of a device are known. */
int store_epoch_count(struct store *store, const char *device, int64_t *count, struct sb_err *err);

/* How many claims may be noted beside those that are there (LIMIT_CLAIMS in all). */
int store_claim_room(struct store *store, const char *device, int64_t *room, struct sb_err *err);
/* Notes or replaces one; a new one takes from *room and is left out when there is none. */
int store_claim_put(struct store *store, const char *device, const struct sb_claim *claim,
                    const char *nonce, int64_t now_ms, int64_t *room, struct sb_err *err);

int store_bound(struct store *store, const char *device, const char *user, bool *bound,
                struct sb_err *err);

/* ---- streams ---- */

struct stream_counts {
    int64_t stored;     /* numbers whose record has a row of its own: first of its identity */
    int64_t duplicates; /* numbers whose record was there already under another number */
    int64_t revised;    /* numbers whose record is a further revision of its identity */
    int64_t rejected;
    int64_t conflict;
    int64_t repeats; /* records that came again; no number of its own */
};

/* sn stands for (device, epoch, stream, branch); branch 0 is the epoch's own. */
struct stream_row {
    int64_t sn;
    int branch;
    struct sb_ranges decided;
    struct sb_ranges holes;   /* every declared number */
    struct sb_ranges unnamed; /* those of them for which no operation is named */
    struct sb_ranges dropped; /* rows removed by retention */
    uint64_t made;
    struct stream_counts counts;
};
void stream_row_free(struct stream_row *row);

/* *found = false when there is none. */
int store_stream_get(struct store *store, const char *device, const char *epoch, const char *stream,
                     int branch, bool *found, struct stream_row *row, struct sb_err *err);
/* Makes one. SB_ELIMIT beyond LIMIT_STREAMS stream names of the device or LIMIT_BRANCHES. */
int store_stream_add(struct store *store, const char *device, const char *epoch, const char *stream,
                     int branch, int64_t now_ms, struct stream_row *row, struct sb_err *err);
/* Writes decided, dropped, made and counts. */
int store_stream_put(struct store *store, const struct stream_row *row, int64_t now_ms,
                     struct sb_err *err);
int store_stream_branches(struct store *store, const char *device, const char *epoch,
                          const char *stream, int *count, struct sb_err *err);
/* Streams of one epoch, branch 0: calls each with the stream's text. */
int store_epoch_streams(struct store *store, const char *device, const char *epoch,
                        void (*each)(void *ctx, const char *stream), void *ctx, struct sb_err *err);

/* Adds to the number of records held of (device, stream) over all epochs; *total is the new one. */
int store_total_add(struct store *store, const char *device, const char *stream, int64_t more,
                    uint64_t *total, struct sb_err *err);

/* A hole as declared, one run of numbers; summary and the rest may be empty. */
int store_hole_add(struct store *store, int64_t sn, uint64_t first, uint64_t last, bool named,
                   const struct sb_batch *declared, bool with_summary, int64_t now_ms,
                   struct sb_err *err);
int store_hole_op_add(struct store *store, int64_t sn, uint64_t seq, struct sb_span op_id,
                      struct sb_err *err);
int store_hole_op_has(struct store *store, int64_t sn, uint64_t seq, struct sb_span op_id,
                      bool *here, struct sb_err *err);
/* Under any number of this device's streams of that name. */
int store_hole_op_anywhere(struct store *store, const char *device, const char *stream,
                           struct sb_span op_id, bool *there, struct sb_err *err);
/* Takes one number out of the holes of sn. */
int store_hole_forget(struct store *store, int64_t sn, uint64_t seq, struct sb_err *err);

struct rejection_row {
    uint64_t hash;
    enum sb_code code;
    char reason[SB_REASON_MAX];
};
int store_rejection_put(struct store *store, int64_t sn, uint64_t seq,
                        const struct rejection_row *row, struct sb_span fields,
                        struct sb_span record, int64_t now_ms, struct sb_err *err);
int store_rejection_get(struct store *store, int64_t sn, uint64_t seq, bool *found,
                        struct rejection_row *row, struct sb_err *err);
int store_rejection_delete(struct store *store, int64_t sn, uint64_t seq, struct sb_err *err);

/* ---- sensor readings ---- */

/* What the device's clocks said of first..last. */
struct clock_span {
    uint64_t first, last;
    char device_boot[SB_UUID_LEN + 1];
    bool has_offset;
    int64_t offset_ms; /* wall minus monotonic */
    enum sb_clock_quality quality;
};

/* Inserts blind: the number must be free. */
int store_reading_put(struct store *store, const struct plan *plan, const char *type, int64_t sn,
                      uint64_t seq, const struct reading *reading, int64_t rx_ms,
                      struct sb_err *err);
/* The row at (sn, seq), from the typed table or the one for undeclared types. Its texts are valid
 * until the next call with this store. */
int store_reading_get(struct store *store, const char *type, int64_t sn, uint64_t seq, bool *found,
                      struct stored_reading *row, struct sb_err *err);
/* Frames that are known by an identity: where readings with that hash of it are stored, the first
 * few of them. */
#define STORE_READING_IDS 4
struct reading_place {
    int64_t sn;
    uint64_t seq;
};
int store_reading_id_add(struct store *store, const char *device, const char *type, uint64_t hash,
                         int64_t sn, uint64_t seq, struct sb_err *err);
int store_reading_ids(struct store *store, const char *device, const char *type, uint64_t hash,
                      struct reading_place places[STORE_READING_IDS], size_t *count,
                      struct sb_err *err);
/* The span that ends nearest at or before seq; *found = false when there is none. */
int store_span_before(struct store *store, int64_t sn, uint64_t seq, bool *found,
                      struct clock_span *span, struct sb_err *err);
int store_span_add(struct store *store, int64_t sn, const struct clock_span *span,
                   struct sb_err *err);
int store_span_extend(struct store *store, int64_t sn, uint64_t first, uint64_t last,
                      struct sb_err *err);

/* ---- command history ---- */

struct history_key {
    const char *user;
    struct sb_span place; /* robot_id or else the device */
    struct sb_span trace;
    struct sb_span command;
};

struct history_revision {
    uint64_t hash;
    uint64_t hlc; /* 0 = none given */
    int64_t created_us;
    int64_t sn;
    uint64_t seq;
    int64_t rx_ms;
    struct sb_span body; /* the record as it came */
};

/* The identity's number, 0 when it is not known. */
int store_history_find(struct store *store, const struct history_key *key, int64_t *hid,
                       struct sb_err *err);
/* Calls same() for every revision of the identity with that hash until it returns true. */
int store_history_same(struct store *store, int64_t hid, uint64_t hash,
                       bool (*same)(void *ctx, struct sb_span body), void *ctx, bool *found,
                       struct sb_err *err);
/* Adds a revision; hid 0 makes the identity first. The latest is that of the highest HLC, of equal
 * ones the later commit. */
int store_history_add(struct store *store, const struct history_key *key, int64_t hid,
                      const struct history_revision *revision, struct sb_err *err);
/* A number whose record the cloud has already under another number (or op_id, hash 0). */
int store_dup_add(struct store *store, int64_t sn, uint64_t seq, uint64_t hash, int64_t rx_ms,
                  struct sb_err *err);
int store_dup_has(struct store *store, int64_t sn, uint64_t seq, uint64_t hash, bool *same,
                  struct sb_err *err);

/* ---- settings and records: operations, versions, conflicts ---- */

/* Stored; never renumber. */
enum op_outcome { OP_NONE = 0, OP_APPLIED = 1, OP_CONFLICT = 2, OP_REJECTED = 3 };

/* An operation is named by its device, stream and op_id. */
struct op_key {
    const char *device;
    const char *stream;
    struct sb_span op_id;
};

struct op_row {
    enum op_outcome outcome;
    int64_t sn;
    uint64_t seq;
    uint64_t version;   /* applied: the one it made */
    enum sb_code code;  /* conflict: SB_OK or SB_EBASE_UNKNOWN */
    int64_t decided_ms; /* set by store_op_get */
};
int store_op_get(struct store *store, const struct op_key *key, struct op_row *row,
                 struct sb_err *err);
int store_op_put(struct store *store, const struct op_key *key, const struct op_row *row,
                 int64_t now_ms, struct sb_err *err);
int store_op_rejection_get(struct store *store, const struct op_key *key, int64_t sn, uint64_t seq,
                           bool *found, struct rejection_row *row, struct sb_err *err);
int store_op_rejection_put(struct store *store, const struct op_key *key, int64_t sn, uint64_t seq,
                           const struct rejection_row *row, struct sb_span record, int64_t now_ms,
                           struct sb_err *err);

struct user_row {
    uint64_t version;         /* the counter: of the last version made */
    char tag[SB_TAG_LEN + 1]; /* of that version, "" before the first */
    uint64_t floor;           /* cursors below it are unknown: tombstones were purged up to there */
};
int store_user_get(struct store *store, const char *user, struct user_row *row, struct sb_err *err);

/* Which document: what is called `doc` in the tables is "settings" for the one document of the
 * table "settings", else "<table>/<id>". An absent document is an empty text everywhere. */
#define STORE_DOC_MAX (SB_NAME_MAX + 1 + SB_ID_MAX)
struct doc_name {
    const char *user;
    const char *table; /* "settings" or a table of records */
    const char *id;    /* "settings" there */
    const char *doc;
};
/* "settings", or "<table>/<id>". */
void store_doc_print(const char *table, const char *id, char out[STORE_DOC_MAX + 1]);
/* And back: the id is the rest of doc. */
const char *store_doc_parse(const char *doc, char table[SB_NAME_MAX + 1]);

/* A version to be made: the next one of its user. */
struct version_row {
    struct doc_name name;
    uint64_t version;
    char tag[SB_TAG_LEN + 1];
    struct op_key op; /* who made it; device may be an operator, "_op-…" */
    char hlc[SB_EPOCH_LEN + 1];
    struct sb_span base;      /* as it came, "" = none */
    struct sb_span submitted; /* JSON text, "" = absent (a deletion) */
    struct sb_span result;    /* likewise; may be the same span as submitted */
    bool merged;              /* result and submitted are different values */
    int64_t sn;               /* 0, 0 for an operator */
    uint64_t seq;
    int64_t now_us;
    /* of the document from now on */
    char top_hlc[SB_EPOCH_LEN + 1]; /* its highest stamp */
    const char *top_device;
    struct sb_span stamps; /* JSON of all stamps, "" = none are kept */
};
/* Writes the version, makes it the document in force and advances the user's counter. */
int store_version_add(struct store *store, const struct version_row *row, struct sb_err *err);

/* The document in force as replies and answers tell it: hlc is its highest stamp, the rest is of
 * the operation that made the version. doc->exists = false when there is none, a tombstone exists
 * and is deleted. stamps is left empty. The buffers are reused; sb_document_free when done. */
int store_document_get(struct store *store, const char *user, const char *doc,
                       struct sb_document *out, struct sb_err *err);

/* The same with what only the cloud knows. Zero-initialised; sb_document_free when done. */
struct document_row {
    struct sb_document document;        /* stamps: as kept, empty: only the highest one is known */
    bool merged;                        /* its version is not what was submitted */
    char stamp_device[SB_NAME_MAX + 1]; /* who made the highest stamp */
};
int store_document_row(struct store *store, const char *user, const char *doc,
                       struct document_row *out, struct sb_err *err);

/* What the version of that document with this tag resulted in; empty: absent. *found = false when
 * there is no such version of it. text is cleared first. */
int store_result_by_tag(struct store *store, const char *user, const char *doc, struct sb_span tag,
                        bool *found, struct sb_buf *text, struct sb_err *err);
/* What the operation that made that version of that document submitted. */
int store_submitted(struct store *store, const char *user, const char *doc, uint64_t version,
                    bool *found, struct sb_buf *text, struct sb_err *err);

/* Removes at most `limit` tombstones made before before_ms, oldest first, and raises the floors of
 * their users; *gone = how many. In the open transaction. */
int store_tombstones_purge(struct store *store, int64_t before_ms, int limit, int *gone,
                           struct sb_err *err);

struct conflict_row {
    struct op_key op;
    struct doc_name name;
    enum sb_code code; /* SB_OK: versions differ; SB_EBASE_UNKNOWN */
    char hlc[SB_EPOCH_LEN + 1];
    struct sb_span base;
    struct sb_span submitted; /* "" = a deletion */
    struct sb_span pointers;  /* JSON array */
    int64_t sn;
    uint64_t seq;
    uint64_t server_version; /* in force when it came up, 0 = nothing */
    int64_t now_ms;
};
int store_conflict_add(struct store *store, const struct conflict_row *row, struct sb_err *err);
/* What is kept of an operation in conflict. Zero-initialised; store_lost_free when done. */
struct lost_row {
    bool found;
    char doc[STORE_DOC_MAX + 1];
    struct sb_buf pointers; /* as it was answered */
    struct sb_buf submitted;
};
void store_lost_free(struct lost_row *row);
int store_lost_get(struct store *store, const struct op_key *key, struct lost_row *row,
                   struct sb_err *err);

/* ---- quarantine ---- */

/* Keeps what could not be parsed or placed. A repeat of the same bytes is counted, not kept again.
 * SB_ELIMIT when the device has LIMIT_QUARANTINE_BYTES there. device may be "". */
int store_quarantine_add(struct store *store, const char *device, struct sb_span topic,
                         struct sb_span payload, enum sb_code code, const char *reason,
                         int64_t now_ms, struct sb_err *err);

/* ---- retention (each call a transaction of its own; changes the stamp) ---- */

/* Removes the row of a free stream's number and notes that it was there, so that a repeat is
 * answered unverifiable. SB_ENOT_FOUND when there is no row. */
int store_drop_record(struct store *store, const char *device, const char *epoch,
                      const char *stream, int branch, uint64_t seq, struct sb_err *err);

#endif
