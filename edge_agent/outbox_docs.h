#ifndef EDGE_OUTBOX_DOCS_H
#define EDGE_OUTBOX_DOCS_H

#include "common/policy.h"
#include "common/reply.h"
#include "common/request_conflicts.h"
#include "edge_agent/outbox.h"

/* The tables of the outbox file beside the queue: documents, open conflicts, kept versions, cursors
 * and switches of users. What changes something needs a transaction (outbox_begin, or
 * enqueue_begin); what reads needs none. Callbacks get values that are valid during the call, and
 * a non-zero result stops the walk (a negative one is returned). */

/* ---- documents (V2, V5, V6) ---- */

/* Names one document. The settings of a user are the one document of the table SB_TABLE_SETTINGS,
 * with the same word as id. */
struct document_name {
    char user[SB_NAME_MAX + 1];
    char table[SB_NAME_MAX + 1];
    char id[SB_ID_MAX + 1];
};

#define DOCUMENT_TEXT_MAX (SB_NAME_MAX + 1 + SB_ID_MAX)

/* Checks and fills in a name: user as everywhere, table and id as in common/ids.h; the id "" of the
 * table `settings` is read as `settings`, another one there is refused. SB_EBAD_ID, SB_EBAD_VALUE.
 */
int document_name_make(struct document_name *name, const char *user, const char *table,
                       const char *id, struct sb_err *err);
/* "settings" or "<table>/<id>", as in outbox rows and in the cloud's database. */
void document_name_text(const struct document_name *name, char text[DOCUMENT_TEXT_MAX + 1]);
int document_name_parse(struct document_name *name, const char *user, struct sb_span text,
                        struct sb_err *err);
/* settings/<user> or records/<user>: where its operations go. */
void document_stream(const struct document_name *name, struct sb_stream *stream);
bool document_name_eq(const struct document_name *a, const struct document_name *b);

/* One document as the device has it. */
struct outbox_document {
    bool known;                    /* there is a row; else everything is zero */
    bool exists;                   /* false: deleted, or never there */
    struct sb_buf doc;             /* JSON text, never encrypted; empty where it does not exist */
    char last_op[SB_ID_MAX + 1];   /* newest own operation since the cloud's document came, or "" */
    char base_tag[SB_TAG_LEN + 1]; /* of the cloud's document that replaced it, or "" */
    uint64_t version;              /* of that one, 0 = none; who made it and when: */
    char version_op[SB_ID_MAX + 1], version_device[SB_NAME_MAX + 1], version_at[SB_UUID_LEN + 1];
    uint64_t seen;          /* last version seen: taken, in a conflict, or acked (V5) */
    uint64_t seen_top;      /* highest stamp of what was taken or acked; forgotten as `seen` is */
    bool loose;             /* seen since the last pull ended (V6) */
    bool stale;             /* to be read again by id (V5, V6) */
    bool unsent;            /* holds edits that only a switch holds back */
    bool has_unsent_before; /* ... and what it was before the first of them (absent: false) */
    struct sb_buf unsent_before;
    bool sealed;          /* the cloud's document that replaced it was encrypted */
    enum sb_code trouble; /* what the cloud has could not be opened: tampered, stale, no_key,
                             wrong_key; SB_OK = none */
    uint64_t hlc;         /* highest stamp of the document in force, as far as it is answered */
    uint64_t op_hlc;      /* of last_op, 0 = unknown */
    struct sb_buf stamps; /* JSON object text, empty where none are kept */
    int64_t updated_us;   /* when the text here changed last */
};
void outbox_document_fini(struct outbox_document *doc);
/* known is false where there is none: not an error. */
int outbox_document_get(struct outbox *ob, const struct document_name *name,
                        struct outbox_document *out, struct sb_err *err);
int outbox_document_set(struct outbox *ob, const struct document_name *name,
                        const struct outbox_document *in, struct sb_err *err);
/* Without a row nobody has ever had it here. */
int outbox_document_forget(struct outbox *ob, const struct document_name *name, struct sb_err *err);

/* Documents that exist, by table and id. user or table NULL = all. after (may be NULL) is where an
 * earlier walk stopped: user, table and id are compared. Texts are read one at a time. */
int outbox_documents(struct outbox *ob, const char *user, const char *table,
                     const struct document_name *after,
                     int (*each)(void *ctx, const struct document_name *name,
                                 const struct outbox_document *doc),
                     void *ctx, struct sb_err *err);
/* Documents with edits that were never queued (`--backfill`), same order. */
int outbox_documents_unsent(struct outbox *ob, const char *user, const char *table,
                            int (*each)(void *ctx, const struct document_name *name,
                                        const struct outbox_document *doc),
                            void *ctx, struct sb_err *err);
/* Documents that could not be opened, with the code in doc->trouble. */
int outbox_documents_trouble(struct outbox *ob, const char *user,
                             int (*each)(void *ctx, const struct document_name *name,
                                         const struct outbox_document *doc),
                             void *ctx, struct sb_err *err);

/* An answer to this operation named this version of it: at least that was seen, and it is loose
 * (V5, V6). Where it is the newest one its HLC is a stamp of the document now. */
int outbox_document_see(struct outbox *ob, const struct document_name *name, const char *op_id,
                        uint64_t version, struct sb_err *err);
/* It is to be read again by id. */
int outbox_document_stale(struct outbox *ob, const struct document_name *name, struct sb_err *err);
/* The last version seen of it, 0 where none was. */
int outbox_document_seen(struct outbox *ob, const struct document_name *name, uint64_t *version,
                         struct sb_err *err);
/* What was seen of it is no more: it forgets that and is to be read again. */
int outbox_document_unsee(struct outbox *ob, const struct document_name *name, struct sb_err *err);
/* The first (user, table) with stale documents after the one given ("" first); both move on. */
int outbox_documents_stale_next(struct outbox *ob, char user[SB_NAME_MAX + 1],
                                char table[SB_NAME_MAX + 1], bool *found, struct sb_err *err);
/* How many are stale. */
int outbox_documents_stale_count(struct outbox *ob, uint64_t *count, struct sb_err *err);
/* What could not be opened is read again: the keys may be others now. */
int outbox_documents_retry_trouble(struct outbox *ob, struct sb_err *err);

/* Is an operation on it not settled yet, in any epoch? As the file has it: what is settled in
 * memory alone counts as pending. */
int outbox_document_pending(struct outbox *ob, const struct document_name *name, bool *pending,
                            struct sb_err *err);
/* The document that number seq of s is about, and its op_id; *found false where there is no row. */
int outbox_row_document(struct outbox *ob, int64_t s, uint64_t seq, bool *found,
                        char doc[DOCUMENT_TEXT_MAX + 1], char op_id[SB_ID_MAX + 1],
                        struct sb_err *err);

/* V6. What was seen since the last pull of this table ended at `version` or above stays loose. */
int outbox_documents_settle_loose(struct outbox *ob, const char *user, const char *table,
                                  uint64_t version, struct sb_err *err);
/* A welcome of another boot: loose documents (or above their cursor) forget and are stale. */
int outbox_documents_forget_loose(struct outbox *ob, struct sb_err *err);
/* A pull that begins at 0: every document of the table (NULL: of all) is stale until the pull
 * brings it. */
int outbox_documents_sweep(struct outbox *ob, const char *user, const char *table,
                           struct sb_err *err);
/* cursor_unknown: every document of the table forgets its last seen version, and what made an
 * older one stale. */
int outbox_documents_forget_seen(struct outbox *ob, const char *user, const char *table,
                                 struct sb_err *err);
/* Up to `limit` stale documents, from `after` on (NULL = the first), without their texts; those
 * with unsent edits are left out. */
int outbox_documents_stale(struct outbox *ob, const char *user, const char *table,
                           const struct document_name *after, unsigned limit,
                           int (*each)(void *ctx, const struct document_name *name), void *ctx,
                           struct sb_err *err);

/* ---- versions that were replaced here ---- */

#define OUTBOX_KEPT_VERSIONS 100 /* of one document; the oldest go */

struct outbox_kept {
    int64_t n;                 /* number on this device, never used again */
    uint64_t version;          /* of the cloud's document that it stood on, 0 = none */
    char op_id[SB_ID_MAX + 1]; /* newest own operation in it, or "" */
    uint64_t hlc;
    int64_t made_us, kept_us; /* when its text was set; when it was replaced */
    bool deleted;
    struct sb_span doc; /* JSON text */
};
int outbox_kept_add(struct outbox *ob, const struct document_name *name,
                    const struct outbox_document *doc, int64_t wall_us, struct sb_err *err);
/* Drops up to `limit` of them, oldest first, of whatever document, as long as nine tenths of the
 * file's limit are used; *dropped says how many. */
int outbox_kept_purge(struct outbox *ob, int limit, int *dropped, struct sb_err *err);
/* Newest first. n > 0: that one alone. */
int outbox_kept_list(struct outbox *ob, const struct document_name *name, int64_t n,
                     int (*each)(void *ctx, const struct outbox_kept *kept), void *ctx,
                     struct sb_err *err);

/* ---- operations answered conflict (V4, V7) ---- */

/* Stored: never renumber. */
enum conflict_state {
    CONFLICT_WAITING = 0,  /* merged once nothing of its document is pending */
    CONFLICT_OPEN = 1,     /* in an open conflict */
    CONFLICT_MERGED = 2,   /* another operation stands for it, or nothing was left of it */
    CONFLICT_RESOLVED = 3, /* its open conflict was decided */
};
struct outbox_conflict {
    int64_t id; /* in the order of the answers */
    char user[SB_NAME_MAX + 1];
    char doc[DOCUMENT_TEXT_MAX + 1];
    char op_id[SB_ID_MAX + 1];
    enum sb_code code;
    enum sb_policy policy;
    enum conflict_state state;
    bool told; /* the cloud knows what became of it */
    uint64_t as_of;
    int64_t at_us;
    /* JSON texts. before and server are empty once it waits no longer; before: data NULL = absent
     */
    struct sb_span pointers, record, before, server, arrays;
};
int outbox_conflicts(struct outbox *ob, const char *user, /* NULL = all */
                     int (*each)(void *ctx, const struct outbox_conflict *conflict), void *ctx,
                     struct sb_err *err);
/* Those of one document that wait, above an id. */
int outbox_conflicts_waiting(struct outbox *ob, const struct document_name *name, int64_t after,
                             int (*each)(void *ctx, const struct outbox_conflict *conflict),
                             void *ctx, struct sb_err *err);
/* Up to `limit` documents with conflicts that wait, from `after` on (NULL = the first). */
int outbox_conflict_documents(struct outbox *ob, const struct document_name *after, unsigned limit,
                              int (*each)(void *ctx, const struct document_name *name), void *ctx,
                              struct sb_err *err);
/* Documents that are stale and have conflicts that wait. */
int outbox_conflict_stale(struct outbox *ob,
                          int (*each)(void *ctx, const struct document_name *name), void *ctx,
                          struct sb_err *err);
/* Moves an ordered row into the conflicts, with the document before it; server is the cloud's as
 * sb_document_encode writes it. */
int outbox_conflict_add(struct outbox *ob, int64_t s, uint64_t seq,
                        const struct document_name *name, const struct sb_conflict *conflict,
                        struct sb_span server, int64_t wall_us, struct sb_err *err);
/* None of this document wait any longer: they are merged, or in open conflict open_id (> 0). ask is
 * the id of the request that tells the cloud, "" = nothing to tell yet. */
int outbox_conflicts_done(struct outbox *ob, const struct document_name *name,
                          enum conflict_state state, int64_t open_id, const char *ask,
                          struct sb_err *err);
int outbox_conflicts_resolved(struct outbox *ob, int64_t open_id, enum sb_choice choice,
                              const char *ask, struct sb_err *err);
/* The cloud knows how op_id was decided. *open_id: the open conflict of which it was a part, 0 =
 * none; *left: how many of that one's operations are not decided yet. */
int outbox_conflict_decided(struct outbox *ob, const char *user, const char *op_id,
                            enum sb_choice choice, int64_t *open_id, uint64_t *left,
                            struct sb_err *err);
/* op_ids in open conflicts of a user, at most SB_CONFLICT_OPS_MAX above *after, which moves on. */
int outbox_conflict_ops(struct outbox *ob, const char *user, int64_t *after, struct sb_op_list *ops,
                        struct sb_err *err);

/* A decision that the cloud has to be told of: one request, under its own id until it is answered.
 */
struct outbox_telling {
    char ask[SB_UUID_LEN + 1]; /* the request's id */
    char user[SB_NAME_MAX + 1];
    enum sb_choice choice;
    struct sb_op_list ops; /* freed by the caller */
};
/* The first one after the id `after` ("" = the first); *found is false where there is none. */
int outbox_next_telling(struct outbox *ob, const char *after, struct outbox_telling *telling,
                        bool *found, struct sb_err *err);
/* One request takes SB_CONFLICT_OPS_MAX operations: those of `ask` beyond that get `next` for
 * theirs. *more says whether there were any. */
int outbox_spread_telling(struct outbox *ob, const char *ask, const char *next, bool *more,
                          struct sb_err *err);
int outbox_told(struct outbox *ob, const char *ask, struct sb_err *err);
/* The cloud was rolled back: what it was told it may have forgotten. */
int outbox_tell_again(struct outbox *ob, struct sb_err *err);
/* Drops up to `limit` conflicts each that are told and older than before_us, and open conflicts
 * that were decided before decided_us. */
int outbox_conflicts_purge(struct outbox *ob, int64_t before_us, int64_t decided_us, int limit,
                           struct sb_err *err);

/* ---- open conflicts (V4, V8) ---- */

struct outbox_open_conflict {
    int64_t id;
    struct document_name name;
    enum sb_code code;          /* SB_OK, or base_unknown */
    enum sb_policy policy;      /* as told with it */
    uint64_t version;           /* of the cloud's document then, 0 = nothing there */
    struct sb_span pointers;    /* JSON array, sorted */
    struct sb_span ops;         /* JSON array of op_ids, in their order */
    struct sb_span base, local; /* JSON texts; data NULL = absent */
    struct sb_span server;      /* as sb_document_encode writes it */
    struct sb_span arrays;      /* as told with it */
    int64_t opened_us;
    int64_t resolved_us;               /* 0 = open */
    enum sb_choice resolution;         /* SB_CHOICE_NONE while open */
    char resolved_by[SB_NAME_MAX + 1]; /* this device, an operator, or "" */
};
/* By id. id > 0: that one alone, resolved or not; else the open ones (all: resolved ones too). user
 * and name may be NULL. */
int outbox_open_conflicts(struct outbox *ob, int64_t id, const char *user,
                          const struct document_name *name, bool all,
                          int (*each)(void *ctx, const struct outbox_open_conflict *conflict),
                          void *ctx, struct sb_err *err);
int outbox_open_conflict_add(struct outbox *ob, const struct outbox_open_conflict *conflict,
                             int64_t *id, struct sb_err *err);
int outbox_open_conflict_close(struct outbox *ob, int64_t id, enum sb_choice resolution,
                               const char *by, int64_t wall_us, struct sb_err *err);
/* user NULL = all. */
int outbox_open_conflict_count(struct outbox *ob, const char *user, uint64_t *count,
                               struct sb_err *err);

/* ---- sync_metadata: per (user, table) ---- */

struct outbox_sync {
    uint64_t cursor_version; /* V6: where the last pull that ended has come to; 0 = none yet */
    char cursor_tag[SB_TAG_LEN + 1];
    int64_t last_upload_us;   /* wall clock of the last answer to an operation, 0 = never */
    int64_t last_download_us; /* ... of the end of the last pull */
    uint64_t last_server_version;
    bool auto_sync; /* the scheduler's switch, on at first */
};
/* Defaults where there is no row. */
int outbox_sync_get(struct outbox *ob, const char *user, const char *table, struct outbox_sync *out,
                    struct sb_err *err);
int outbox_sync_set(struct outbox *ob, const char *user, const char *table,
                    const struct outbox_sync *in, struct sb_err *err);
int outbox_sync_list(struct outbox *ob, const char *user, /* NULL = all */
                     int (*each)(void *ctx, const char *user, const char *table,
                                 const struct outbox_sync *sync),
                     void *ctx, struct sb_err *err);

/* The scheduler's switch alone. */
int outbox_sync_set_auto(struct outbox *ob, const char *user, const char *table, bool on,
                         struct sb_err *err);
/* An operation of the table was answered. */
int outbox_sync_uploaded(struct outbox *ob, const char *user, const char *table, int64_t wall_us,
                         struct sb_err *err);

/* What the cloud does with conflicts of a table, as last told: policy, and arrays merged by key
 * ({"/nodes":"id"}, appended; nothing where there are none). SB_POLICY_NONE = not told yet. */
int outbox_policy_get(struct outbox *ob, const char *user, const char *table,
                      enum sb_policy *policy, struct sb_buf *arrays, struct sb_err *err);
int outbox_policy_set(struct outbox *ob, const char *user, const char *table, enum sb_policy policy,
                      struct sb_span arrays, struct sb_err *err);

/* ---- users of this device: the agent pulls for these only ---- */

struct outbox_user {
    char user[SB_NAME_MAX + 1];
    int64_t added_us, synced_us; /* synced_us: end of the last full round, 0 = never */
};
/* SB_EEXISTS when it was added before (nothing changes then). SB_ELIMIT beyond OUTBOX_MAX_USERS. */
int outbox_user_add(struct outbox *ob, const char *user, int64_t wall_us, struct sb_err *err);
/* SB_ENOT_FOUND. The documents, cursors and switches stay; so does what is pending. */
int outbox_user_remove(struct outbox *ob, const char *user, struct sb_err *err);
/* Removes documents, kept versions, conflicts, cursors, switches and local history of a user that
 * is not among the users (else SB_EEXISTS). With operations that are pending, edits that were never
 * queued, or open conflicts: SB_EBUSY, nothing happens, unless force. Rows of the queue stay in any
 * case: what is pending still goes to the cloud. */
int outbox_user_purge(struct outbox *ob, const char *user, bool force, struct sb_err *err);
int outbox_user_synced(struct outbox *ob, const char *user, int64_t wall_us, struct sb_err *err);
int outbox_users(struct outbox *ob, int (*each)(void *ctx, const struct outbox_user *user),
                 void *ctx, struct sb_err *err);
int outbox_user_find(struct outbox *ob, const char *user, bool *found, struct sb_err *err);
/* And when: another time says that it left and came back meanwhile. */
int outbox_user_added(struct outbox *ob, const char *user, bool *found, int64_t *added_us,
                      struct sb_err *err);
#define OUTBOX_MAX_USERS 200

/* ---- switches per (user, stream class): settings, records, history, library ---- */

struct outbox_switch {
    char user[SB_NAME_MAX + 1];
    enum sb_up_class class;
    bool sync;        /* false: its lane is parked, new operations stay local */
    int64_t off_mark; /* highest id of the local history when it was turned off */
};
/* On where there is no row. */
int outbox_switch_get(struct outbox *ob, const char *user, enum sb_up_class class, bool *sync,
                      struct sb_err *err);
int outbox_switch_set(struct outbox *ob, const char *user, enum sb_up_class class, bool sync,
                      struct sb_err *err);
int outbox_switches(struct outbox *ob, const char *user, /* NULL = all */
                    int (*each)(void *ctx, const struct outbox_switch *one), void *ctx,
                    struct sb_err *err);
/* Local history of a user above a mark, oldest first. */
int outbox_history_since(struct outbox *ob, const char *user, int64_t mark,
                         int (*each)(void *ctx, int64_t id, struct sb_span body), void *ctx,
                         struct sb_err *err);

/* Another number whenever users, switches, tables or auto_sync changed. */
int outbox_pulls_version(struct outbox *ob, uint64_t *version, struct sb_err *err);

/* ---- the declared tables of the last welcome (without settings) ---- */

/* *known false: no welcome yet, any table may be queued. */
int outbox_table_declared(struct outbox *ob, const char *table, bool *known, bool *declared,
                          struct sb_err *err);
int outbox_tables(struct outbox *ob, int (*each)(void *ctx, const char *table), void *ctx,
                  struct sb_err *err);
int outbox_tables_set(struct outbox *ob, char (*tables)[SB_NAME_MAX + 1], size_t count,
                      struct sb_err *err);

#endif
