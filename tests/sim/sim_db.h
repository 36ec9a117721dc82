#ifndef SIM_DB_H
#define SIM_DB_H

#include "cloud_ingest/store.h"
#include "edge_agent/outbox.h"

/* Databases in memory that outlive the processes that have them open, their copies, and the hook
 * that makes a commit not take place. */

struct fuse;

/* A database kept by a connection of its own under a name that sim_db_uri gives. */
struct sim_db;
struct sim_db *sim_db_new(void);
struct sim_db *sim_db_copy(const struct sim_db *from);
/* A new outbox: a copy of one that has its tables, with an epoch of its own. */
struct sim_db *sim_db_outbox(const struct sim_db *from, const char *epoch);
/* The contents of `from` under whoever has `to` open. */
void sim_db_overwrite(struct sim_db *to, const struct sim_db *from);
void sim_db_free(struct sim_db *db);
const char *sim_db_uri(const struct sim_db *db);
/* No two of a process have the same. */
uint64_t sim_db_number(const struct sim_db *db);

/* Every COMMIT of the handle asks the fuse and becomes a ROLLBACK when that says no. */
void sim_db_guard_outbox(struct outbox *ob, struct fuse *fuse);
void sim_db_guard_store(struct store *store, struct fuse *fuse);

/* ---- what the cloud's database holds, for the checks and for retention ---- */

struct sim_row {
    char epoch[SB_EPOCH_LEN + 1];
    char stream[SB_STREAM_MAX + 1];
    int branch;
    uint64_t seq;
    uint64_t payload;
    uint64_t version; /* of the settings, 0 for the others */
    bool merging;     /* an operation that a device made of one in conflict */
};
/* Every stored record of the device: readings, history, versions. */
void sim_db_rows(const struct sim_db *db, void (*each)(void *ctx, const struct sim_row *row),
                 void *ctx);

struct sim_stream {
    struct sb_ranges decided, holes, dropped; /* decided and holes: the epoch's own */
};
/* What is known of one stream; sets are empty where nothing is. dropped: with branches. */
void sim_db_stream(const struct sim_db *db, const char *epoch, const char *stream,
                   struct sim_stream *out);
void sim_stream_free(struct sim_stream *stream);

/* Was that operation answered conflict? */
bool sim_db_conflict(const struct sim_db *db, const char *op_id);
/* Is a rejection kept for that place and payload (readings, operations)? */
bool sim_db_rejected(const struct sim_db *db, const char *epoch, const char *stream, uint64_t seq,
                     uint64_t payload);
/* Numbers stored in branches. */
uint64_t sim_db_branches(const struct sim_db *db);

#endif
