#ifndef SIM_DOCS_H
#define SIM_DOCS_H

#include "sim.h"
#include "sim_json.h"

/* The second family of runs: several devices of one or two users edit the same documents, offline
 * and online, through the real cores. What each author meant is written down beside the databases
 * (the book), and what is in the databases is compared with it: after every effect and at the end.
 * See README.md in this folder. */

#define DOCS_MAX      6
#define DOCS_USERS    2
#define DOCS_OPERATOR SIM_EDGES /* as an author */
#define SIM_OPERATOR  "_op-sim"
#define SIM_TABLE_A   "notes"
#define SIM_TABLE_B   "plans"

/* ---- documents and who shares them ---- */

/* Document number i of a run. Static text. */
struct doc_id {
    const char *user, *table, *id;
    char text[64]; /* "settings" or "<table>/<id>" */
};
void sim_docs_name(const struct world *world, size_t doc, struct doc_id *out);
/* DOCS_MAX when it is none of the run's. */
size_t sim_docs_find(const struct world *world, const char *user, struct sb_span text);
const char *sim_docs_user(size_t user);
size_t sim_docs_user_of(const struct world *world, size_t doc);
size_t sim_docs_users(const struct world *world);
size_t sim_docs_count(const struct world *world);
/* Does that device share the documents of that user? */
bool sim_docs_bound(const struct world *world, size_t edge, size_t user);
const char *sim_docs_device(size_t edge);

/* ---- the book ---- */

/* What became of an operation, as far as it is not told by its versions. */
enum fate {
    FATE_PENDING, /* not answered, or applied */
    FATE_WAITING, /* answered conflict, not merged yet */
    FATE_MERGED,  /* on the device: into another operation, or into nothing */
    FATE_RECORD,  /* in an open conflict */
    FATE_RESOLVED /* in one that somebody decided */
};

struct meant {
    char id[SB_ID_MAX + 1];
    size_t author, doc;
    char epoch[SB_EPOCH_LEN + 1];
    uint64_t seq;
    struct sb_buf before, submitted; /* texts, never encrypted; empty = absent */
    char base_op[SB_ID_MAX + 1], base_tag[SB_TAG_LEN + 1]; /* both "": null */
    struct places edited;                                  /* what the author meant to change */
    char hlc[SB_EPOCH_LEN + 1];
    size_t *roots; /* people's operations that stand behind a merging one */
    size_t root_count;
    enum fate fate;
    bool holed;    /* given up in a declared hole */
    bool given_up; /* somebody chose the cloud's document instead */
    bool lost;     /* with the device's disk, as far as is known there */
};

struct version {
    size_t op, doc;
    char tag[SB_TAG_LEN + 1];
    struct sb_buf result;
};

/* What the cloud has made of one user's documents, up to its last restore. */
struct timeline {
    struct version *at; /* number i + 1 */
    size_t count;
};

/* What a version resulted in, also one that a restore has undone. */
struct known_tag {
    char tag[SB_TAG_LEN + 1];
    struct sb_buf result;
};

struct cloud_version;

struct book {
    struct meant *ops;
    size_t count;
    struct timeline lines[DOCS_USERS];
    struct known_tag *tags;
    size_t tag_count;
    int64_t conflicts; /* the newest conflict of the cloud that was looked at */
    uint64_t cloud_state, edge_state[SIM_EDGES];
    bool overruled[DOCS_MAX]; /* a policy decided a place */
    bool holed[DOCS_MAX];
    bool rolled_back;           /* some device was: it may conflict with what it has forgotten */
    unsigned writers[DOCS_MAX]; /* a bit per author */
    struct sb_buf shown[SIM_EDGES][DOCS_MAX]; /* the local texts when they were looked at last */
};

struct book *sim_book_new(void);
void sim_book_free(struct book *book);
struct meant *sim_book_find(const struct book *book, struct sb_span op_id);
struct meant *sim_book_add(struct book *book, struct sb_span op_id);
/* The newest version of a document below number `below`; NULL when there is none. */
const struct version *sim_book_before(const struct world *world, size_t doc, uint64_t below);
/* What a version resulted in; false when there never was one with that tag. */
bool sim_book_tag(const struct book *book, const char *tag, struct sb_span *result);
void sim_book_version(struct book *book, size_t user, const struct meant *op,
                      const struct cloud_version *made, struct sb_span result);
/* Everything above number `count` is undone. */
void sim_book_truncate(struct book *book, size_t user, size_t count);
/* The document that the operation was made on, as its base names it. */
struct sb_span sim_book_base(const struct book *book, const struct meant *op);

/* ---- what is in the databases (sim_docs_sqlite.c) ---- */

/* A number that is another one after any commit. */
uint64_t sim_docs_state(const struct sim_db *db);

/* The local text of a document, empty = absent. */
void sim_docs_local(const struct sim_edge *edge, size_t doc, struct sb_buf *text);
/* What is in force in the cloud; empty = absent. Opened when it is encrypted. */
void sim_docs_cloud(const struct world *world, size_t doc, struct sb_buf *text);

struct made_op {
    const char *epoch;
    uint64_t seq;
    size_t doc;
    struct sb_span op_id, body;
};
/* Every operation that a device's outbox holds. */
void sim_docs_rows(const struct sim_edge *edge, void (*each)(void *ctx, const struct made_op *op),
                   void *ctx);
/* Operations answered conflict: where they are now. */
void sim_docs_answered(const struct sim_edge *edge,
                       void (*each)(void *ctx, struct sb_span op_id, enum fate fate), void *ctx);
/* Numbers that the device gives up and that are not answered yet. */
struct declared_hole {
    const char *epoch, *stream;
    uint64_t lo, hi;
};
void sim_docs_holes(const struct sim_edge *edge,
                    void (*each)(void *ctx, const struct declared_hole *hole), void *ctx);
/* Open conflicts: ids, at most `most`. */
size_t sim_docs_open(const struct sim_edge *edge, int64_t *ids, size_t most);
/* The op_ids of one (each may be NULL), and its pointers (may be NULL). */
void sim_docs_open_show(const struct sim_edge *edge, int64_t id,
                        void (*each)(void *ctx, struct sb_span op_id), void *ctx,
                        struct sb_buf *pointers);

struct cloud_version {
    uint64_t version;
    size_t doc;
    const char *device;
    struct sb_span op_id, tag, submitted, result; /* empty = absent */
};
/* Versions of a user above a number, in order. */
void sim_docs_versions(const struct world *world, size_t user, uint64_t above,
                       void (*each)(void *ctx, const struct cloud_version *version), void *ctx);
struct cloud_conflict {
    int64_t id;
    size_t doc;
    bool open;
    const char *device, *code, *resolution, *by;
    struct sb_span op_id;
};
void sim_docs_conflicts(const struct world *world, int64_t above,
                        void (*each)(void *ctx, const struct cloud_conflict *conflict), void *ctx);
int64_t sim_docs_newest_conflict(const struct world *world);
/* Is that number of a device's stream in a hole that the cloud knows? */
bool sim_docs_in_hole(const struct world *world, const struct meant *op, const char *stream);

struct cursor_row {
    uint64_t version;
    char tag[SB_TAG_LEN + 1];
};
/* Does the device know of an operation? */
bool sim_docs_knows(const struct sim_edge *edge, const char *op_id);
bool sim_docs_cursor(const struct sim_edge *edge, size_t user, const char *table,
                     struct cursor_row *out);
void sim_docs_counter(const struct world *world, size_t user, struct cursor_row *out);
uint64_t sim_docs_stale(const struct sim_edge *edge);
/* Old documents go, those in force stay: a base among them is unknown from now on. */
void sim_docs_forget(const struct world *world);

/* ---- people (sim_docs_people.c) ---- */

void sim_docs_edit(struct sim_edge *edge);
/* This document, with that text (empty = deleted). */
void sim_docs_put(struct sim_edge *edge, size_t doc, struct sb_span text);
/* A text with one or two places changed; empty = it is to be deleted. */
void sim_docs_some_edit(struct world *world, size_t doc, struct sb_span old, struct sb_buf *out);
/* One open conflict is decided on the device, one of the cloud's by an operator. */
bool sim_docs_resolve(struct sim_edge *edge);
void sim_docs_operate(struct world *world);
void sim_docs_sync(struct sim_edge *edge);

/* ---- encryption (sim_docs_vault.c) ---- */
void sim_docs_vault_open(struct world *world);
void sim_docs_vault_close(struct world *world);
void sim_docs_codec(struct world *world, struct documents_codec *out);
/* The document inside of what is on the wire or in the cloud: itself, or opened. */
void sim_docs_open_text(struct sb_span text, struct sb_buf *out);

/* ---- checks ---- */

/* Looks at what has changed since the last time: devices first, then the cloud. */
void sim_docs_watch(struct world *world);
void sim_docs_check(struct world *world);
/* An older copy of the device's folder was put back. */
void sim_docs_rolled_back(const struct sim_edge *edge);

/* ---- runs ---- */

void sim_docs_begin(struct world *world);
void sim_docs_act(struct world *world, struct sim_edge *edge);
/* Faults have stopped: true when nothing is left to do. */
bool sim_docs_settle_down(struct world *world, bool resolve);
void sim_docs_finish(struct world *world);
/* Two devices' concurrent edits, in either order. */
void sim_docs_run_order(struct world *world);

#endif
