#ifndef SIM_H
#define SIM_H

#include "cloud_ingest/ingest.h"
#include "common/link.h"
#include "common/policy.h"
#include "common/rng.h"
#include "edge_agent/edge.h"
#include "sim_db.h"

/* One world per seed: the real cores of both ends on their real databases in memory, a broker that
 * loses, doubles, reorders, delays and forgets, and faults. Everything that is chance comes from
 * the seed, and the time is virtual. See README.md in this folder. */

#define SIM_DEVICE "edge-001"
#define SIM_WRITER "writer-1" /* a second, plain client that writes the same settings */
#define SIM_USER   "u"
#define SIM_TYPE   "sim"
#define SIM_RAW    "raw"
#define SIM_EDGES  4
#define SIM_STEPS  120 /* the longest run; the others are a half and a quarter of it */

/* ---- what can happen ---- */

/* X(constant, name): the probability per step, or per message (loss, dupl, late), per batch (busy,
 * internal, limit), per commit (full, cloudfull), per record (bad, poison, conflict, history), per
 * publish (refuse). */
#define SIM_FAULTS(X)                                                                              \
    X(F_LOSS, "loss")             /* a message is lost */                                          \
    X(F_DUPL, "dupl")             /* a message is delivered and stays */                           \
    X(F_LATE, "late")             /* the newest message first */                                   \
    X(F_REFUSE, "refuse")         /* the broker refuses a publish in its PUBACK */                 \
    X(F_JAM, "jam")               /* the library's window is full at a publish */                  \
    X(F_CRASH, "crash")           /* an edge ends between any two effects */                       \
    X(F_CLOUDCRASH, "cloudcrash") /* an ingest does */                                             \
    X(F_FULL, "full")             /* a commit of an edge fails and the process goes on */          \
    X(F_CLOUDFULL, "cloudfull")   /* a commit of an ingest does */                                 \
    X(F_AMNESIA, "amnesia")       /* the broker forgets most of what it holds */                   \
    X(F_CUT, "cut")               /* an ingest loses its connection, for some steps */             \
    X(F_BUSY, "busy")             /* the ingest has no time */                                     \
    X(F_INTERNAL, "internal")     /* the ingest fails */                                           \
    X(F_LIMIT, "limit")           /* the ingest finds a batch too large */                         \
    X(F_POISON, "poison")         /* the ingest fails at this record until faults stop */          \
    X(F_BAD, "bad")               /* the ingest rejects this record until it is mended */          \
    X(F_CONFLICT, "conflict")     /* an operation on a base that nobody knows */                   \
    X(F_FIX, "fix")               /* what was wrong with bad records is mended */                  \
    X(F_AGAIN, "again")           /* somebody retries a dead letter */                             \
    X(F_DISCARD, "discard")       /* somebody drops a dead letter */                               \
    X(F_PURGE, "purge")           /* settled rows leave the resend window */                       \
    X(F_SHED, "shed")             /* a limit of the outbox is reached */                           \
    X(F_SNAP, "snap")             /* a copy of an edge's folder is made */                         \
    X(F_ROLLBACK, "rollback")     /* a copy is put back */                                         \
    X(F_IMAGE, "image")           /* the first copy is */                                          \
    X(F_CLONE, "clone")           /* a second device starts from a copy */                         \
    X(F_BACKUP, "backup")         /* a copy of the cloud's database is made */                     \
    X(F_RESTORE, "restore")       /* a copy is put back, all ingests start anew */                 \
    X(F_SWAP, "swap")             /* a copy is put back under the running ingest */                \
    X(F_RETENTION, "retention")   /* rows are removed by retention */                              \
    X(F_ORDERED, "ordered")       /* share of operations among the records */                      \
    X(F_HISTORY, "history")       /* share of history among the others */                          \
    X(F_WRITER, "writer")         /* another client writes the settings */                         \
    X(F_READ, "read")             /* somebody reads the settings from the cloud */                 \
    X(F_BINDING, "binding")       /* the device loses its binding, or gets it back */              \
    X(F_CLOCK, "clock")           /* a device's wall clock is set, or it boots again */            \
    X(F_RESTART, "restart")       /* an ingest is stopped and started: another boot */             \
    X(F_DELETE, "delete")         /* share of deletions among the edits */                         \
    X(F_TOMBS, "tombs")           /* the cloud removes all tombstones */                           \
    X(F_FORGET, "forget")         /* the cloud removes old versions */                             \
    X(F_OPERATOR, "operator")     /* an operator decides a conflict */

#define SIM_FAULT_ENUM(id, name) id,
enum fault { SIM_FAULTS(SIM_FAULT_ENUM) F_COUNT };
#undef SIM_FAULT_ENUM

enum twin { TWIN_NONE, TWIN_BOTH, TWIN_ALTERNATE }; /* two ingests: a mistake in the leases */

struct mix {
    const char *name;
    double p[F_COUNT];
    enum twin twin;
    bool documents; /* settings through the real base rules, policy manual; else local */
    /* the second family of runs (sim_docs.h): devices > 0 */
    unsigned devices, docs, users; /* docs 0: 2; users 0: 1 */
    enum sb_policy policy;         /* none: merge */
    bool encrypted;
    bool reader;   /* the last device never edits */
    bool skew;     /* clocks that are off by up to years, from the start */
    unsigned runs; /* runs are that many times as long; 0: 1 */
    bool order;    /* two devices in either order end the same */
    bool newest;   /* latest: what has the highest stamp is in force */
};
extern const struct mix sim_mixes[];
extern const size_t sim_mix_count;
extern const struct mix sim_docs_mixes[];
extern const size_t sim_docs_mix_count;
const struct mix *sim_mix_find(const char *name);

/* ---- a process ---- */

/* Counts the effects of a process: commits and publishes. From the chosen one on nothing takes
 * effect; then the world throws the process away. */
struct fuse {
    int left;           /* effects until the crash, -1: none is planned */
    bool blown;         /* it has come */
    double fail;        /* probability that a commit fails and the process lives on */
    struct sb_rng *rng; /* of the world */
    uint64_t failed;
};
bool sim_fuse_effect(struct fuse *fuse); /* false: it does not take place */
bool sim_fuse_commit(struct fuse *fuse); /* likewise, with `fail` */

/* ---- the edge ---- */

enum kind { KIND_SENSOR, KIND_RAW, KIND_HISTORY, KIND_SETTING }; /* raw: of no declared type */

/* What a timeline of a device has enqueued, beside the database: what the checks compare with. */
struct entry {
    uint64_t payload;
    enum kind kind;
    char epoch[SB_EPOCH_LEN + 1];
    uint64_t seq; /* of the newest place (a retried operation moves) */
    bool shed, purged;
    bool discarded; /* out of the dead letter, by a person */
};

struct disk {
    const char *device; /* whose it is */
    struct sim_db *db;
    struct entry *log;
    size_t count;
};

struct declared {
    char epoch[SB_EPOCH_LEN + 1];
    enum kind kind;
    uint64_t seq, payload;
};

struct sim_edge {
    struct world *world;
    char name;          /* A, B, ... */
    const char *device; /* its identity: clones share one */
    struct disk disk;
    struct outbox *ob;    /* of the daemon */
    struct outbox *other; /* of another process on the device */
    struct edge *core;
    struct sb_link link;
    struct fuse fuse;
    struct sb_rng rng;
    bool connected;
    struct sb_link_event *acks; /* PUBACKs on their way */
    size_t ack_count;
    uint32_t tokens;
    struct documents_codec codec;
    bool drop_due;                    /* the core asked for the end of the connection */
    int64_t wall_off_us, mono_off_ms; /* of its clocks against the world's */
    unsigned boots;                   /* of its kernel */
};

/* device: static text */
struct sim_edge *sim_edge_new(struct world *world, char name, const char *device, struct disk disk);
void sim_edge_free(struct sim_edge *edge);
void sim_edge_restart(struct sim_edge *edge);
void sim_edge_connect(struct sim_edge *edge);
void sim_edge_disconnect(struct sim_edge *edge);
void sim_edge_tick(struct sim_edge *edge);
void sim_edge_event(struct sim_edge *edge, const struct sb_link_event *event);
/* It was enqueued: for the checks. */
void sim_edge_note(struct sim_edge *edge, uint64_t payload, enum kind kind, const char *epoch,
                   uint64_t seq);
void sim_edge_enqueue(struct sim_edge *edge);
void sim_edge_shed(struct sim_edge *edge);
void sim_edge_purge(struct sim_edge *edge);
struct sb_now sim_edge_now(const struct sim_edge *edge);
void sim_edge_set_clock(struct sim_edge *edge);
void sim_edge_read(struct sim_edge *edge);
void sim_edge_discard(struct sim_edge *edge);
/* One dead letter by id, 0 = any. False when there is none to retry. */
bool sim_edge_retry(struct sim_edge *edge, int64_t id);
struct entry *sim_edge_find(struct sim_edge *edge, uint64_t payload);
struct entry *sim_edge_at(struct sim_edge *edge, const char *epoch, enum kind kind, uint64_t seq);
uint64_t sim_edge_pending(struct sim_edge *edge);
const char *sim_kind_stream(enum kind kind);

struct disk sim_disk_new(struct world *world);
struct disk sim_disk_copy(const struct disk *disk);
void sim_disk_template_free(void);
void sim_disk_free(struct disk *disk);

/* ---- the cloud ---- */

struct sim_ingest {
    struct world *world;
    unsigned n;
    struct store *store;
    struct ingest *core;
    struct sb_link link;
    struct fuse fuse;
    struct sb_rng rng;
    uint32_t tokens;
    bool connected;
    struct sb_buf presence; /* retained at the broker, empty = none */
};

/* A database with what retention has removed from it. */
struct base {
    struct sim_db *db;
    uint64_t *dropped; /* payloads */
    size_t count;
};

struct sim_cloud {
    struct world *world;
    struct base base;
    struct sim_ingest ingests[2];
    unsigned count, turn;
    uint64_t branched; /* by ingests that are gone */
};

void sim_cloud_start(struct world *world);
void sim_cloud_stop(struct world *world);
void sim_cloud_restart(struct world *world, bool everyone);
void sim_cloud_take(struct world *world, const struct sb_link_event *event);
void sim_cloud_flush(struct world *world);
bool sim_cloud_waiting(struct world *world);
bool sim_cloud_connected(const struct world *world); /* any */
void sim_cloud_connect(struct world *world, bool connected);
void sim_cloud_retention(struct world *world);
void sim_cloud_purge_tombstones(struct world *world);
void sim_cloud_bind(struct world *world, bool bound);
uint64_t sim_cloud_branched(struct world *world);
struct base sim_base_copy(const struct base *base);
void sim_base_free(struct base *base);
bool sim_base_dropped(const struct base *base, uint64_t payload);
/* Settings and two tables, all with that policy. */
const struct tables *sim_tables(enum sb_policy policy);
void sim_templates_make(void); /* once per process */
void sim_templates_free(void);

/* ---- the broker ---- */

struct letter {
    unsigned number; /* for the trace */
    const char *to;  /* whoever is connected as that device; NULL: the cloud */
    char topic[SB_TOPIC_MAX];
    struct sb_buf payload, correlation;
    bool retained;
};

struct net {
    struct letter *at;
    size_t count;
    unsigned numbers;
};

/* By its topic: to the cloud, to one device, to every device; dropped when nobody here reads it. */
void sim_net_put(struct world *world, const struct sb_link_message *message);
void sim_net_put_retained(struct world *world, const char *to, const struct sb_buf *payload,
                          unsigned n);
/* One move: some message is delivered, lost or doubled. */
void sim_net_move(struct world *world);
void sim_net_deliver_first(struct world *world);
void sim_net_forget(struct world *world); /* amnesia */
void sim_net_free(struct net *net);
void sim_net_writer(struct world *world); /* a batch of the plain client */

/* ---- the world ---- */

enum note { NOTE_FORK, NOTE_RESTORE, NOTE_MASKED, NOTE_SHED, NOTE_FALSE_DEAD, NOTE_COUNT };

/* How much happened in a run of the second family. */
enum figure { FIGURE_OPERATIONS, FIGURE_VERSIONS, FIGURE_MERGES, FIGURE_OPENED, FIGURE_COUNT };

enum violation {
    V_LOST,
    V_DOUBLE,
    V_ORDER,
    V_AUDIT,
    V_LIVELOCK,
    V_UNINTENDED,
    V_UNSTABLE,
    V_EPOCHS,
    V_DEADEND,
    V_CLOUD_AUDIT,
    V_DOCUMENT,
    V_BROKEN, /* a call that cannot fail failed */
    V_DIVERGE,
    V_VANISHED,
    V_REVERT,
    V_SELFCONFLICT,
    V_GAP,
    V_TWICE,
    V_ORDERDEP,
    V_CURSOR,
    V_UNTOLD,
    V_NEWEST,
    V_COUNT
};
const char *sim_violation_name(enum violation violation);

#define MARK_BAD      1
#define MARK_POISON   2
#define MARK_CONFLICT 4
#define MARK_ANEW     8 /* retried, so its place in the order is another one */

struct world {
    uint64_t seed;
    const struct mix *mix;
    bool quiet;   /* faults have stopped */
    bool tracing; /* keep the trace */
    struct sb_buf trace;
    struct sb_rng rng;
    struct sb_now now;
    uint64_t steps;
    struct net net;
    struct sim_edge *edges[SIM_EDGES];
    size_t edge_count;
    struct sim_cloud cloud;
    struct ingest_config ingest_config;
    unsigned char *marks; /* by payload */
    size_t mark_cap;
    uint64_t payloads; /* the last one made */
    bool fixed, unbound;
    size_t hello_bytes;
    struct disk *snapshots;
    size_t snapshot_count;
    struct base *backups;
    size_t backup_count;
    uint64_t writer_seq, writer_ops;
    struct declared *declared; /* numbers that were sent as holes, with what they stood for */
    size_t declared_count;
    uint64_t notes[NOTE_COUNT];
    uint64_t new_epochs, restored, batches; /* of processes that are gone, too */
    uint64_t violations[V_COUNT];
    uint64_t figures[FIGURE_COUNT];
    struct book *book; /* of the second family */
    struct vault *vault;
};

double sim_chance_of(const struct world *world, enum fault fault);
bool sim_chance(struct world *world, enum fault fault);
uint64_t sim_below(struct world *world, uint64_t below);
void sim_say(struct world *world, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_blame(struct world *world, enum violation violation, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
unsigned sim_marks(const struct world *world, uint64_t payload);
void sim_mark(struct world *world, uint64_t payload, unsigned marks);
/* A payload that the run has not had yet. */
uint64_t sim_new_payload(struct world *world, unsigned marks);
/* Of all edges there were: epochs begun after a roll-back, restores noticed. */
uint64_t sim_epochs(const struct world *world);
uint64_t sim_restored(const struct world *world);
/* A call of ours that must not fail in a process that lives. */
void sim_must(struct world *world, int rc, const struct sb_err *err, const char *what);

void sim_strike(struct world *world, struct sim_edge *edge);
void sim_check(struct world *world, uint64_t epochs_before, bool settled_down);
void sim_check_dead_letters(struct world *world);
bool sim_settle_down(struct world *world);
/* Delivers everything, also what that causes, as far as `most` messages go. */
void sim_deliver(struct world *world, int most);
void sim_pass(struct world *world, int64_t ms);

/* Runs one seed. The caller gives mix, seed and tracing; the results are in the world until
 * sim_world_free. */
void sim_run(struct world *world);
void sim_begin(struct world *world); /* its first part */
void sim_look(struct world *world);
bool sim_failed(const struct world *world);
void sim_world_free(struct world *world);

#endif
