#ifndef CLOUD_INGEST_H
#define CLOUD_INGEST_H

#include "common/clock.h"
#include "common/envelope.h"
#include "common/hello.h"
#include "common/link.h"
#include "common/request.h"
#include "common/rng.h"
#include "mapping.h"
#include "store.h"
#include "tables.h"

/* The ingest's core: messages in, one transaction per group, replies out after COMMIT returned.
 * One owner thread; no I/O but the store and the link; time and chance are passed in. */

struct ingest_config {
    unsigned n;                  /* sb/v1/ingest/<n> */
    bool auto_register;          /* devices are added at their first hello or valid batch */
    const struct tables *tables; /* must outlive the ingest; NULL: settings alone, merged */
    int64_t tombstone_ms;        /* how long a deleted document is remembered, 0: for ever */
    const char *operators;   /* who may ask on the admin topics, with commas; NULL or "*": all */
    struct sb_limits limits; /* told in the welcome and in the presence */
    size_t group_rows;       /* records of one transaction */
    size_t group_bytes;      /* bytes of messages waiting for one */
    int64_t group_ms;        /* how long the first message waits for others; 0: not at all */
    size_t reply_bytes;      /* JSON of one reply; the broker's packet limit lowers it */
    size_t page_bytes;       /* JSON of one part of a welcome */
    int gzip_level;
    /* Seam of the simulator and of tests, may be NULL: a code (SB_EBUSY, SB_EINTERNAL) to answer
     * the batch with instead of looking at it, 0 to go on. */
    int (*fault)(void *ctx, const struct sb_batch *batch);
    void *fault_ctx;
};

/* Defaults of everything above. */
void ingest_config_default(struct ingest_config *config);

struct ingest_counters {
    uint64_t messages, ignored; /* ignored: retained, or not a topic of ours */
    uint64_t batches, hellos, requests, refused;
    uint64_t accepted, duplicates, revised, rejected, conflicts, holes, branched;
    uint64_t retries; /* batches answered retry, of any code */
    uint64_t commits, commit_failures, reruns, groups_largest;
    uint64_t replies, replies_dropped, events, events_suppressed;
    uint64_t notifies, notifies_dropped;
    uint64_t tombstones; /* removed because they were old */
    uint64_t new_boots;  /* boot ids taken because the database was another one */
    uint64_t cache_hits, cache_misses;
    uint64_t waiting_messages, waiting_replies; /* gauges */
};

struct ingest;

/* Takes a boot id (a transaction). Store, link, mappings and rng must outlive the ingest; mappings
 * may be NULL. SB_EBUSY, SB_EDISK_FULL, … when the database cannot be written. */
int ingest_new(const struct ingest_config *config, struct store *store,
               const struct mapping_set *mappings, struct sb_link *link, struct sb_rng *rng,
               struct sb_now now, struct ingest **out, struct sb_err *err);
void ingest_free(struct ingest *ingest);

/* One event of the link; the event stays the caller's, payloads are copied. A message waits for its
 * group; the group is committed here when it is full. */
void ingest_event(struct ingest *ingest, const struct sb_link_event *event, struct sb_now now);

/* Commits what waits and sends the replies: call it when the mailbox is empty, and at the deadline.
 * 0, or -SB_ECORRUPT when the database is damaged and the process should end. */
int ingest_flush(struct ingest *ingest, struct sb_now now, struct sb_err *err);

/* Work that waits for a quiet moment: one slice of old tombstones and of answers that are kept
 * (LIMIT_PURGE_SLICE), in a transaction of its own. Does nothing before it is due or while messages
 * wait; call it after every flush. Failures are logged and tried again later. */
void ingest_tidy(struct ingest *ingest, struct sb_now now);

/* When ingest_flush wants to be called at the latest (monotonic ms), INT64_MAX = never. */
int64_t ingest_deadline(const struct ingest *ingest);

/* A request that did not come by the link but from the daemon's socket, in a transaction of its
 * own. by: "_op-" and a name. Appends the answer. */
int ingest_request(struct ingest *ingest, const char *by, const struct sb_request *request,
                   struct sb_now now, struct sb_buf *answer, struct sb_err *err);

/* Asks devices for a hello (notify, QoS 0, only a hint); device NULL = all that are registered. */
int ingest_ask_hello(struct ingest *ingest, const char *device, struct sb_now now,
                     struct sb_err *err);

/* The retained document of sb/v1/ingest/<n>. state: "online", "offline" (a clean stop) or "lost"
 * (for the Last Will). ingest_event publishes "online" on UP and with every new boot id. */
void ingest_presence(const struct ingest *ingest, const char *state, struct sb_now now,
                     struct sb_buf *out);
/* Publishes "offline" before a clean stop. */
void ingest_goodbye(struct ingest *ingest, struct sb_now now);

const char *ingest_boot(const struct ingest *ingest);
void ingest_counters(const struct ingest *ingest, struct ingest_counters *out);

#endif
