#ifndef EDGE_DOCUMENTS_INTERNAL_H
#define EDGE_DOCUMENTS_INTERNAL_H

#include "common/array_keys.h"
#include "common/stamps.h"
#include "edge_agent/documents.h"

/* What documents.c, documents_take.c, documents_merge.c and documents_resolve.c share; nobody else
 * includes this. A change is made ready in memory first (what can go wrong for the document's own
 * sake goes wrong there) and written last. */

/* ---- documents.c ---- */

/* One operation to be made on `local`, which is what is in force at that moment. */
struct document_write {
    const struct document_name *name;
    enum document_operation operation;
    struct sb_span data;  /* empty: absent */
    struct sb_span op_id; /* empty: a new one */
    uint64_t hash;        /* 0: of the operation's text */
    uint64_t keep_hlc;    /* 0: the clock's */
    bool reserved;        /* may use the room that the outbox keeps for settling */
};
/* The operation's text, sealed where this user's documents are. */
struct document_ready {
    char op_id[SB_ID_MAX + 1];
    uint64_t hash, hlc;
    struct sb_buf body;
    bool sealed;
    struct sb_buf stamps; /* of the document with it; kept where it is sealed */
};
void document_ready_fini(struct document_ready *ready);

/* SB_ETOO_LARGE, SB_ETOO_DEEP, …: no record can hold it; the codec's errors. Beside the clock
 * nothing is written. */
int document_prepare(const struct documents *docs, const struct outbox_document *local,
                     const struct document_write *write, struct sb_now now,
                     struct document_ready *ready, struct sb_err *err);
/* Enqueues it and puts the new text into `local`; writing that is the caller's. */
int document_enqueue(const struct documents *docs, struct outbox_document *local,
                     const struct document_write *write, const struct document_ready *ready,
                     struct sb_now now, struct document_receipt *receipt, struct sb_err *err);
void document_set_text(struct outbox_document *local, struct sb_span data, struct sb_now now);
/* An edit of a person, to be kept or sent: documents_put without the look for a repeat. */
int document_edit(const struct documents *docs, struct outbox_document *local,
                  const struct document_write *write, bool send, struct sb_now now,
                  struct document_receipt *receipt, struct sb_err *err);

/* "" where it does not exist. */
struct sb_span document_text_of(const struct outbox_document *local);
uint64_t document_hlc_of(const char *hex16);

/* ---- documents_take.c ---- */

/* What the cloud has, readable. */
struct document_opened {
    const struct sb_document *doc; /* exists false: nothing there, not even a tombstone */
    uint64_t as_of;
    struct sb_span content; /* empty: absent */
    struct sb_span stamps;  /* JSON text or empty */
    uint64_t hlc;           /* highest stamp */
    bool sealed;
    struct documents_inside inside;
};
/* The data of an operation or a document: a string is opened. Points into value or *inside. What
 * the codec says is what is wrong with it. */
int document_open_data(const struct documents *docs, const struct documents_clear *clear,
                       struct sb_span value, struct documents_inside *inside, bool *sealed,
                       struct sb_span *content, struct sb_err *err);
/* *trouble: why it cannot be read or must not be taken (SB_OK = it can); logged. */
void document_open(const struct documents *docs, const struct document_name *name,
                   const struct outbox_document *local, const struct sb_document *doc,
                   uint64_t as_of, struct sb_now now, struct document_opened *opened,
                   enum sb_code *trouble);
void document_opened_fini(struct document_opened *opened);

/* What the device has once the cloud's document is in force. Nothing is written. */
void document_in_force(const struct outbox_document *local, const struct document_opened *opened,
                       struct sb_now now, struct outbox_document *next);
/* The text that goes is kept among the local versions, where what comes is another one. */
int document_keep_replaced(const struct documents *docs, const struct document_name *name,
                           const struct outbox_document *local, struct sb_span content,
                           struct sb_now now, struct sb_err *err);
/* The version that counts for V5. */
uint64_t document_version_of(const struct sb_document *doc, uint64_t as_of, uint64_t otherwise);
/* Notes why it was not taken. */
int document_note_trouble(const struct documents *docs, const struct document_name *name,
                          struct outbox_document *local, enum sb_code trouble, struct sb_err *err);

/* ---- documents_merge.c ---- */

/* Merges what waits of this document onto `opened` and puts that in force. *waited false: nothing
 * waits, nothing was done. */
int document_merge_waiting(const struct documents *docs, const struct document_name *name,
                           const struct outbox_document *local,
                           const struct document_opened *opened, struct sb_now now, bool *waited,
                           struct sb_err *err);

/* A request id for what is told to the cloud about a document's conflicts; spreads them over
 * requests. */
int document_ask_spread(const struct documents *docs, const char *ask, struct sb_now now,
                        struct sb_err *err);

#endif
