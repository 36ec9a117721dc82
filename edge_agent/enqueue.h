#ifndef EDGE_ENQUEUE_H
#define EDGE_ENQUEUE_H

#include "edge_agent/documents.h"
#include "edge_agent/outbox.h"

/* Stage 1: what an application gives → chunks in the outbox. Used by `put`, `import`, the
 * collector, the control socket, and (later) the application library. Success means committed
 * (FULL). */

struct enqueue_switches {
    bool enabled, sync_sensors, sync_history, sync_settings; /* off: kept on the device only */
    uint64_t max_record_bytes;                               /* SB_RECORD_MAX_BYTES */
};

struct enqueue;
/* device_boot: kernel boot id or "". Borrows ob. */
struct enqueue *enqueue_new(struct outbox *ob, const struct enqueue_switches *switches,
                            const char *device_boot);
void enqueue_free(struct enqueue *eq); /* what was added and not committed is rolled back */
/* How far the wall clock may be trusted, written into every chunk from now on (at first unknown).
 */
void enqueue_set_clock(struct enqueue *eq, enum sb_clock_quality quality);

/* Is that class of streams sent, or kept on the device only? */
bool enqueue_sends(const struct enqueue *eq, enum sb_up_class class);

struct enqueue_receipt {
    bool queued; /* false: stored locally only (a switch is off) */
    bool repeat; /* this id was there before, with the same content */
    char op_id[SB_ID_MAX + 1];
    struct sb_stream stream;
    char epoch[SB_EPOCH_LEN + 1];
    uint64_t seq; /* 0 when not queued */
};

/* Checks one record (a JSON object) strictly and adds it to the open group: joins the last chunk
 * when stream and fields are equal and the limits allow. *receipt (may be NULL) is completed by
 * enqueue_commit, so it must stay where it is until then or the rollback. The first record of a
 * group begins the transaction, which keeps other writers waiting: commit soon. sensors: members
 * become fields and a row, "ts" first (stamped when absent; RFC 3339 checked). history: command_id
 * required, created_at stamped when absent, hlc added; a copy goes to the local history. id: of
 * --id or "" ; the member "id" of a sensor record given on stdin is cut out by the caller. Errors
 * of class SB_REJECT name what is wrong with the record (bad_json, missing_field, bad_value,
 * too_large, bad_id, id_reused, ...) and leave the group as it was, as SB_ELIMIT does (a stream too
 * many). All others are the outbox's (disk_full, busy, ...): the whole group is rolled back. */
int enqueue_record(struct enqueue *eq, const struct sb_stream *stream, struct sb_span record,
                   struct sb_span id, struct sb_now now, struct enqueue_receipt *receipt,
                   struct sb_err *err);

/* A whole settings document (V2: base from the local state), replacing the local one. Errors as
 * enqueue_record. id: becomes the op_id; "" makes one. */
int enqueue_settings(struct enqueue *eq, const char *user, struct sb_span document,
                     struct sb_span id, struct sb_now now, struct sb_rng *rng,
                     struct enqueue_receipt *receipt, struct sb_err *err);

/* A record as the local history has it (outbox_history_since) goes to the cloud after all: what a
 * switch held back. Sent twice it is one record there, by its identity. */
int enqueue_history_again(struct enqueue *eq, const char *user, struct sb_span body,
                          struct sb_now now, struct sb_err *err);

/* One operation on a document: of a table, or the settings (DOCUMENT_DELETE is SB_EBAD_VALUE
 * there). data is checked as a JSON object with the limits of a record; id becomes the op_id. V2
 * as documents_put. A switch that is off (of the class or of this user) keeps the edit here:
 * receipt->queued is false and it is sent with the next edit after the switch is on, or by
 * enqueue_backfill. Errors as enqueue_record, and SB_EUNKNOWN_TABLE (the last welcome does not name
 * the table; before the first one any is taken), SB_ENOT_FOUND (DELETE of what is not there),
 * SB_ENO_KEY and others of sealing. */
int enqueue_document(struct enqueue *eq, const struct document_name *name,
                     enum document_operation operation, struct sb_span data, struct sb_span id,
                     struct sb_now now, struct sb_rng *rng, struct enqueue_receipt *receipt,
                     struct sb_err *err);
/* Queues the current text of a document that only a switch held back; receipt->queued is false
 * where there is nothing to send, or where it is off still. */
int enqueue_backfill(struct enqueue *eq, const struct document_name *name, struct sb_now now,
                     struct sb_rng *rng, struct enqueue_receipt *receipt, struct sb_err *err);
/* V8, as documents_resolve; the cloud is told by the daemon. */
int enqueue_resolve(struct enqueue *eq, int64_t conflict, enum sb_choice choice,
                    struct sb_span merged, struct sb_now now, struct sb_rng *rng,
                    struct enqueue_receipt *receipt, struct sb_err *err);
/* This device's name and what seals for it (NULL = nothing is encrypted); borrowed. Without it
 * nothing is sealed. */
void enqueue_set_codec(struct enqueue *eq, const char *device, const struct documents_codec *codec);
/* Is that class of this user sent? enqueue_sends and the user's switch. */
int enqueue_sends_user(struct enqueue *eq, enum sb_up_class class, const char *user, bool *sends,
                       struct sb_err *err);

/* Opens the transaction if none is under way, for what belongs into it beside records (the cursor
 * of an import). Ends with enqueue_commit or enqueue_rollback. */
int enqueue_begin(struct enqueue *eq, struct sb_err *err);

/* Commits the group. Receipts of its records hold from now on (numbers are final only after this).
 * On error nothing of the group is stored, as far as anyone can know. */
int enqueue_commit(struct enqueue *eq, struct sb_err *err);
void enqueue_rollback(struct enqueue *eq);
size_t enqueue_open_records(const struct enqueue *eq); /* in the group now */

#endif
