#ifndef CLOUD_APPLY_H
#define CLOUD_APPLY_H

#include "common/clock.h"
#include "common/json_read.h"
#include "common/reply.h"
#include "dedupe.h"
#include "events.h"
#include "ingest.h"
#include "stream_cache.h"
#include "tables.h"
#include "written.h"

/* Stage 6: one decoded batch inside the open transaction becomes rows and a reply. What a batch may
 * do is looked at first and changes nothing; from then on each record is decided by itself, in
 * order. An error of the store is returned and the transaction is given up by the caller. */

struct apply;

/* What is known of the record that is looked at (apply_sensors.c, apply_history.c). */
struct free_ops {
    /* Reads record i; false with *why filled when it is to be rejected. */
    bool (*read)(struct apply *a, size_t i, struct rejection_row *why);
    /* Is content equal to record i stored at (state, seq)? */
    int (*stored_at)(struct apply *a, struct stream_state *state, uint64_t seq, size_t i,
                     bool *same, struct sb_err *err);
    /* Stores record i at (state, seq) and counts it. */
    int (*store)(struct apply *a, struct stream_state *state, uint64_t seq, size_t i,
                 struct sb_err *err);
    uint64_t (*hash)(struct apply *a, size_t i);
};

struct plan_slot {
    const struct mapping *mapping;
    struct sb_buf fields; /* text of the array; empty = free */
    uint64_t used;
    struct plan plan;
};

struct command;    /* a record of command history: apply_history.c */
struct apply_work; /* operations on documents: apply_documents.c */

struct apply {
    /* set once */
    struct store *store;
    struct stream_cache *cache;
    const struct mapping_set *mappings; /* may be NULL */
    struct events *events;
    const struct ingest_config *config;
    const struct tables *tables;

    /* per transaction */
    struct sb_now now;
    int64_t now_ms; /* wall clock */
    const char *boot;
    struct ingest_counters tally; /* added to the counters after COMMIT */
    struct written_list written;  /* versions made so far */

    /* per batch */
    const struct sb_batch *batch;
    struct sb_reply *reply;
    unsigned char *outcome; /* enum sb_outcome per record */
    size_t outcome_cap;
    bool new_hole;
    int64_t rows_added; /* for the stream's total */
    size_t spent;       /* bytes of documents read and written, for a request too */
    size_t told;        /* bytes of documents in the reply */
    size_t kept;        /* bytes of rejected records and of their fields */
    size_t chunk;       /* index of the chunk that holds record chunk_first … */
    size_t chunk_first;
    uint64_t events_left;  /* one rejected event per batch */
    struct sb_buf members; /* of an event */

    /* sensors */
    struct plan_slot *plans;
    uint64_t plan_clock;
    const struct plan *plan;
    struct reading *reading;
    struct stored_reading *stored;

    /* history */
    struct command *command;

    /* settings and records */
    struct apply_work *work;
};

void apply_init(struct apply *a, struct store *store, struct stream_cache *cache,
                const struct mapping_set *mappings, const struct tables *tables,
                struct events *events, const struct ingest_config *config);
void apply_fini(struct apply *a);

/* Decides the batch. reply is filled but for boot and commit; *decided says that something was
 * decided (or that it was a repeat): the answer needs a commit. Otherwise the reply is a retry. */
int apply_batch(struct apply *a, const struct sb_batch *batch, struct sb_reply *reply,
                bool *decided, struct sb_err *err);

/* Makes the reply a retry: nothing is decided. */
void apply_retry(struct sb_reply *reply, enum sb_code code, const char *reason);

/* What people are told with a code of this module; "" for others. */
const char *apply_reason(enum sb_code code);

/* The reply's head from a batch: ids, epoch, stream, range, server time. */
void apply_reply_head(struct sb_reply *reply, const struct sb_batch *batch, struct sb_now now);

/* Registers an unknown device; *code = SB_OK, or why it may not write (revoked, unauthorized). */
int apply_admit(struct apply *a, const char *device, enum sb_code *code, struct sb_err *err);

/* ---- documents, also for requests ---- */

/* Makes a document's stamps what replies and answers tell of them: all that are kept, or the
 * highest one for the whole document, where the table's policy is latest and the document is not
 * encrypted; else none. table may be NULL. */
void apply_tell_stamps(const struct table *table, struct document_row *row);

/* ---- operators (apply_operator.c) ---- */

/* A versioned write on the document in force: what conflicts.resolve does for an operator. */
struct operator_write {
    const char *user;
    const char *table;       /* "settings" or a declared table */
    const char *id;          /* "settings" there */
    const char *by;          /* "_op-name": the device of the version */
    const char *op_id;       /* new; one per write, at most SB_ID_MAX bytes */
    struct sb_span document; /* checked JSON text, "" deletes it */
};
/* Makes the version in the open transaction, applied as it is, and notes it in a->written; *version
 * = its number. HLC: above every stamp of the document and not below the clock. Errors of the input
 * change nothing: SB_EUNKNOWN_TABLE, SB_EBAD_TYPE (not an object), SB_ETOO_LARGE, SB_EBAD_VALUE
 * (the document in force is encrypted), SB_ENOT_FOUND (deleting what is not there). All else is the
 * store's. */
int apply_operator_write(struct apply *a, const struct operator_write *write, uint64_t *version,
                         struct sb_err *err);

/* An operation of which nothing was applied. */
struct losing_edit {
    struct op_key op;
    const char *user;
    const char *table;
    const char *id;
    struct sb_span base;      /* as it came, "" = null */
    struct sb_span submitted; /* "" = a deletion */
};
/* The document that the edit was made on. *known = false when the cloud does not know it (any
 * more); text is cleared first, empty: absent. */
int apply_base_document(struct apply *a, const struct losing_edit *edit, bool *known,
                        struct sb_buf *text, struct sb_err *err);

/* V8 for the choice "local": what the document in force becomes when the members that the edit
 * changed against its base document are set again on it. result is cleared first and empty for
 * absent; *same = it is what is in force already. SB_EBASE_UNKNOWN when the base document is not
 * known (then only server or merge is left), SB_EBAD_VALUE where one of the texts is encrypted.
 * Writes nothing. */
int apply_set_again(struct apply *a, const struct losing_edit *edit, struct sb_buf *result,
                    bool *same, struct sb_err *err);

/* ---- parts of apply.c for the classes ---- */

/* Free streams: judges record i against what is kept. */
int apply_free_record(struct apply *a, const struct free_ops *ops, struct stream_state *own,
                      size_t i, struct sb_err *err);
/* Rejects record i as new at (state, seq). */
int apply_reject(struct apply *a, struct stream_state *state, uint64_t seq, size_t i,
                 const struct rejection_row *why, struct sb_err *err);
/* Notes numbers as decided in the state. */
int apply_decide(struct apply *a, struct stream_state *state, uint64_t lo, uint64_t hi,
                 struct sb_err *err);
/* The first branch in which seq is not decided. */
int apply_branch(struct apply *a, struct stream_state *own, uint64_t seq,
                 struct stream_state **branch, struct sb_err *err);
void apply_outcome(struct apply *a, size_t i, enum sb_outcome outcome);
/* A rejection in the reply and, once per batch, an event. */
void apply_refuse(struct apply *a, size_t i, enum sb_code code, const char *reason);
/* Begins the text of an event's members: "stream":…,"epoch":…,"seq":… */
void apply_event(struct apply *a, enum event_kind kind, uint64_t seq, const char *more);

/* ---- the classes ---- */
int apply_sensors(struct apply *a, struct stream_state *own, struct sb_err *err);
int apply_history(struct apply *a, struct stream_state *own, struct sb_err *err);
int apply_documents(struct apply *a, struct stream_state *own, struct sb_err *err);
int apply_hole(struct apply *a, struct stream_state *own, struct sb_err *err);

/* An optional hlc member, clamped where a clock runs ahead; 0 = none. */
int apply_hlc(const struct apply *a, const struct sb_json_field *field, uint64_t *hlc,
              struct sb_err *err);

/* Reads the operations of the batch, before apply_documents. False with the name of a table that is
 * not declared here: nothing of the batch may be decided. */
bool apply_documents_read(struct apply *a, char unknown[SB_NAME_MAX + 1]);

void apply_sensors_fini(struct apply *a);
void apply_history_fini(struct apply *a);
void apply_documents_fini(struct apply *a);

#endif
