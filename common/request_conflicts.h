#ifndef SB_REQUEST_CONFLICTS_H
#define SB_REQUEST_CONFLICTS_H

#include "request.h"

/* Requests about conflicts (PROTOCOL.md section 6): args and answers, both ways. The rules of
 * request_documents.h for decoders and encoders hold here too. */

#define SB_OP_CONFLICTS_LIST    "conflicts.list"
#define SB_OP_CONFLICTS_SHOW    "conflicts.show"
#define SB_OP_CONFLICTS_RESOLVE "conflicts.resolve" /* writes */

#define SB_CONFLICT_OPS_MAX  100  /* op_ids in one request */
#define SB_CONFLICTS_MAX     1000 /* largest limit of a list */
#define SB_CONFLICTS_DEFAULT 100
#define SB_CONFLICT_NOTE_MAX 256 /* bytes of a note */

/* How a conflict was decided; by name on the wire and in the database. */
enum sb_choice {
    SB_CHOICE_NONE = 0,
    SB_CHOICE_LOCAL = 1,  /* what the losing edit changed was set again */
    SB_CHOICE_SERVER = 2, /* the document in force stayed */
    SB_CHOICE_MERGE = 3   /* by a merge or another text */
};
const char *sb_choice_name(enum sb_choice choice); /* "local", …; "" for none */
bool sb_choice_parse(struct sb_span name, enum sb_choice *choice);

/* The op_ids of a request, in their order. */
struct sb_op_list {
    char (*ids)[SB_ID_MAX + 1];
    size_t count; /* at most SB_CONFLICT_OPS_MAX */
};
void sb_op_list_free(struct sb_op_list *ops);
void sb_op_list_add(struct sb_op_list *ops, const char *op_id);

/* ---- conflicts.list ---- */

struct sb_conflicts_args {
    char user[SB_NAME_MAX + 1]; /* "" = left out: with ops not needed */
    bool open;                  /* only those not resolved; left out it is true */
    uint64_t after;             /* only ids above it; 0 = all */
    uint64_t limit;             /* 1 to SB_CONFLICTS_MAX; left out SB_CONFLICTS_DEFAULT */
    struct sb_op_list ops;      /* the sender's own operations; empty = all of the user. With ops,
                                   resolved ones are told too unless open is given as true */
};
void sb_conflicts_args_free(struct sb_conflicts_args *args);
int sb_conflicts_args_decode(struct sb_span args, struct sb_conflicts_args *out,
                             struct sb_err *err);
void sb_conflicts_args_encode(const struct sb_conflicts_args *args, struct sb_buf *out);

/* One operation of which nothing was applied. */
struct sb_conflict_entry {
    uint64_t id; /* the cloud's number of it */
    char user[SB_NAME_MAX + 1];
    char table[SB_NAME_MAX + 1];
    char document[SB_ID_MAX + 1];
    char device[SB_NAME_MAX + 1]; /* who made it */
    char op_id[SB_ID_MAX + 1];
    enum sb_code code;      /* SB_OK = null, or SB_EBASE_UNKNOWN */
    struct sb_buf pointers; /* JSON array text; as in sb_conflict */
    char hlc[SB_EPOCH_LEN + 1];
    uint64_t server_version; /* in force when it was opened; 0 = null: nothing there */
    char opened_at[SB_UUID_LEN + 1];
    char resolved_at[SB_UUID_LEN + 1]; /* "" = open */
    enum sb_choice resolution;
    char resolved_by[SB_NAME_MAX + 1];   /* a device or "_op-…" */
    char note[SB_CONFLICT_NOTE_MAX + 1]; /* beside the decision; "" = none, and left out */
};
struct sb_conflicts {
    struct sb_conflict_entry *list;
    size_t count;
    bool has_more; /* go on with after = the last one's id */
};
void sb_conflicts_init(struct sb_conflicts *conflicts);
void sb_conflicts_free(struct sb_conflicts *conflicts);
struct sb_conflict_entry *sb_conflicts_add(struct sb_conflicts *conflicts);
/* At most max_bytes: fewer entries and has_more where they do not all fit. Returns how many went
 * out. */
size_t sb_conflicts_encode(const struct sb_conflicts *conflicts, size_t max_bytes,
                           struct sb_buf *out);
int sb_conflicts_decode(struct sb_span data, struct sb_conflicts *out, struct sb_err *err);

/* ---- conflicts.show ---- */

/* One of the three columns, where the others would not fit beside it. */
enum sb_conflict_part { SB_PART_ALL, SB_PART_BASE, SB_PART_SUBMITTED, SB_PART_SERVER };

struct sb_conflict_args {
    uint64_t id;
    enum sb_conflict_part part; /* "part":"base|submitted|server", left out: all */
};
int sb_conflict_args_decode(struct sb_span args, struct sb_conflict_args *out, struct sb_err *err);
void sb_conflict_args_encode(const struct sb_conflict_args *args, struct sb_buf *out);

/* A text that may be absent, deleted or left out. On the wire: null, {"deleted":true},
 * {"fetch":true} or {"data":…}. */
struct sb_conflict_text {
    bool exists;
    bool deleted;
    bool fetch;
    struct sb_buf data; /* JSON text */
};

struct sb_conflict_view {
    struct sb_conflict_entry entry;
    struct sb_buf base_name; /* as the operation named it: {"op_id":…}, {"tag":…} or null */
    struct sb_conflict_text base;      /* the document it was made on, where the cloud knows it */
    struct sb_conflict_text submitted; /* the losing edit */
    struct sb_document server;         /* in force now */
    uint64_t as_of;
};
void sb_conflict_view_free(struct sb_conflict_view *view);
/* At most max_bytes as far as leaving texts out ("fetch":true, largest first) can do it. */
void sb_conflict_view_encode(const struct sb_conflict_view *view, size_t max_bytes,
                             struct sb_buf *out);
int sb_conflict_view_decode(struct sb_span data, struct sb_conflict_view *out, struct sb_err *err);

/* ---- conflicts.resolve ---- */

struct sb_resolve_args {
    uint64_t id;           /* 0 = by ops */
    struct sb_op_list ops; /* the sender's own: its decision came or comes as an edit of its own, so
                              they are only marked. Exactly one of id and ops */
    enum sb_choice choice;
    struct sb_span data; /* "" = left out; needed for merge by id: an object, or null = delete.
                            Points into the decoded text */
    char
        seen[SB_TAG_LEN + 1]; /* tag of the document in force that the decision was made on; another
                                 one there now is SB_ESTALE. "" = left out: not looked at */
    char note[SB_CONFLICT_NOTE_MAX + 1];
};
void sb_resolve_args_free(struct sb_resolve_args *args);
int sb_resolve_args_decode(struct sb_span args, struct sb_resolve_args *out, struct sb_err *err);
void sb_resolve_args_encode(const struct sb_resolve_args *args, struct sb_buf *out);

struct sb_resolved {
    uint64_t resolved; /* conflicts that this request closed */
    uint64_t already;  /* that were closed before */
    uint64_t unknown;  /* ops for which the cloud has none, such as after it was restored */
    uint64_t version;  /* that the decision made; 0 = null: none was needed */
    char tag[SB_TAG_LEN + 1];
};
void sb_resolved_encode(const struct sb_resolved *resolved, struct sb_buf *out);
int sb_resolved_decode(struct sb_span data, struct sb_resolved *out, struct sb_err *err);

#endif
