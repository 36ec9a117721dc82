#ifndef EDGE_DOCUMENTS_H
#define EDGE_DOCUMENTS_H

#include "common/reply.h"
#include "common/request_conflicts.h"
#include "edge_agent/outbox_docs.h"

/* The documents of users on this device and the rules that they follow (V2, V4, V5, V8). Everything
 * here runs inside the caller's transaction and changes nothing in memory: a rollback undoes it.
 * A document is read whole, one at a time; at most a handful are in memory at once. */

/* ---- sealing: what leaves the device encrypted ---- */

/* The clear members that a sealed text repeats inside. */
struct documents_clear {
    struct document_name name;
    char device[SB_NAME_MAX + 1]; /* that made the operation */
    char op_id[SB_ID_MAX + 1];
    char base[2 * SB_ID_MAX + 16]; /* JSON text of its base; "" when opening: not checked */
    uint64_t hlc;                  /* of the operation */
};
/* What is known of a document only by opening it. */
struct documents_inside {
    struct sb_buf data;   /* JSON text */
    uint64_t top;         /* highest stamp of the document */
    struct sb_buf stamps; /* JSON object text, empty where none were kept */
};
void documents_inside_fini(struct documents_inside *inside);

/* ctx is the implementation's. Errors of open: SB_ETAMPERED, SB_ENO_KEY, SB_EWRONG_KEY. */
struct documents_codec {
    /* Are the documents of this user encrypted? */
    bool (*seals)(void *ctx, const char *user);
    /* Appends the token's text without quotes. */
    int (*seal)(void *ctx, const struct documents_clear *clear,
                const struct documents_inside *inside, struct sb_buf *token, struct sb_err *err);
    /* token without quotes; *inside is freed by the caller, on errors too. */
    int (*open)(void *ctx, const struct documents_clear *clear, struct sb_span token,
                struct documents_inside *inside, struct sb_err *err);
    void *ctx;
};

/* What the functions below need. Borrowed for the length of a call. */
struct documents {
    struct outbox *ob;
    struct sb_rng *rng;
    const char *device;                  /* this one's name; inside of sealed texts and stamps */
    const struct documents_codec *codec; /* NULL = nothing is encrypted */
    const char *device_boot;             /* kernel boot id or "" */
    enum sb_clock_quality quality;
};

/* ---- put: an edit becomes an operation (V2) ---- */

enum document_operation {
    DOCUMENT_PUT, /* told to the cloud as update where the document exists here, else as add */
    DOCUMENT_ADD,
    DOCUMENT_UPDATE,
    DOCUMENT_DELETE /* without data */
};
const char *document_operation_name(enum document_operation operation); /* "add", … */

struct document_edit {
    struct document_name name;
    enum document_operation operation;
    struct sb_span data;  /* checked JSON object; ignored for a deletion */
    struct sb_span op_id; /* "" = a new one is made */
    uint64_t hash;        /* of what the caller gave, to recognise a repeat of op_id */
    bool send;            /* false: a switch is off, the edit stays here (`unsent`) */
};
struct document_receipt {
    bool queued, repeat;
    char op_id[SB_ID_MAX + 1];
    struct outbox_place place; /* where queued */
};
/* Makes the operation against the local document and puts the new text in force here. Base: the
 * newest own operation since the cloud's document last came, else that one's tag, else null. The
 * HLC is above every stamp of the document. Edits that a switch held back before go with it: its
 * `before` is the document before the first of them. Errors: those of outbox_append; sealing's. */
int documents_put(const struct documents *docs, const struct document_edit *edit, struct sb_now now,
                  struct document_receipt *receipt, struct sb_err *err);
/* Queues what a switch held back: one operation with the current text. Nothing where there is
 * none: receipt->queued is false. */
int documents_backfill(const struct documents *docs, const struct document_name *name,
                       struct sb_now now, struct document_receipt *receipt, struct sb_err *err);

/* ---- what answers to operations change (V4, V5) ---- */

/* This operation of the document made or found `version`: what a read brings must not be older, nor
 * may what is sealed in it. */
int documents_acked(struct outbox *ob, const struct document_name *name, const char *op_id,
                    uint64_t version, struct sb_err *err);

enum documents_mended {
    DOCUMENTS_SAME,   /* no conflict waits, or operations are still pending */
    DOCUMENTS_MENDED, /* the cloud's document is in force, merged or with an open conflict */
    DOCUMENTS_UNREAD  /* the answer left the document out, as too large: it is to be read by id */
};
/* V4, once nothing of the document is pending: operations answered conflict are merged onto the
 * cloud's document of the newest answer, run by run, and what differs from it is enqueued as one
 * operation; what cannot be decided becomes an open conflict. */
int documents_mend(const struct documents *docs, const struct document_name *name,
                   struct sb_now now, enum documents_mended *mended, struct sb_err *err);

enum documents_taken {
    DOCUMENTS_TAKEN,   /* in force now */
    DOCUMENTS_ABSENT,  /* deleted in the cloud, or never there: there is nothing here now */
    DOCUMENTS_PENDING, /* own edits are on their way: stale, read again when they are settled */
    DOCUMENTS_OLD,     /* older than what was seen here: stale, likewise */
    DOCUMENTS_FETCH,   /* it was left out as too large: stale, to be read by id */
    DOCUMENTS_CLOSED   /* it could not be opened (`trouble` of the document says why): not taken */
};
/* A document that a pull or a read brought (V5); as_of is the counter that the answer names.
 * Conflicts that waited for it are merged onto it, as documents_mend does. A local text that is
 * replaced by another one is kept among the local versions. */
int documents_take(const struct documents *docs, const struct document_name *name,
                   const struct sb_document *doc, uint64_t as_of, struct sb_now now,
                   enum documents_taken *taken, struct sb_err *err);

/* ---- open conflicts (V8) ---- */

/* Decides open conflict id: SB_CHOICE_LOCAL sets the members that the losing edit changed again on
 * the document in force, SERVER changes nothing, MERGE puts `merged` (a JSON object) in its place.
 * An ordinary edit (receipt->queued says whether one was needed; send as in document_edit). The
 * cloud is told with the next round until it has answered. SB_ENOT_FOUND: there is no such
 * conflict, or it is decided. */
int documents_resolve(const struct documents *docs, int64_t id, enum sb_choice choice,
                      struct sb_span merged, bool send, struct sb_now now,
                      struct document_receipt *receipt, struct sb_err *err);
/* What the cloud says of this device's operations (conflicts.list with ops): an open conflict whose
 * operations were all decided by somebody else there is closed without an edit. */
int documents_resolved_there(struct outbox *ob, const struct sb_conflicts *conflicts,
                             int64_t wall_us, struct sb_err *err);

#endif
