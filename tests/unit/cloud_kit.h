#ifndef CLOUD_KIT_H
#define CLOUD_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "cloud_ingest/ingest.h"
#include "cloud_ingest/store_read.h"
#include "common/reply.h"
#include "common/request.h"

/* A whole ingest on a real SQLite file, with a link that records what is published. */

struct sent {
    char topic[SB_TOPIC_MAX];
    struct sb_buf payload; /* inflated */
    struct sb_buf correlation;
    bool retain;
    int qos;
    uint32_t expiry_s;
};

struct kit {
    char folder[64];
    char path[128];
    struct mapping_set *mappings;
    struct tables *tables; /* in force from the next kit_start */
    struct store *store;
    struct sb_link link;
    struct sb_gzip *gzip;
    struct sb_rng rng;
    struct sb_now now;
    struct ingest_config config;
    struct ingest *ingest;
    struct sent *sent;
    size_t count;
    size_t read_to;     /* replies are read in order */
    int publish_result; /* what the link answers, 0 = takes it */
    char epoch[SB_EPOCH_LEN + 1];
    const char *device;
    const char *boot;      /* named in batches, "" = none */
    struct sb_reply reply; /* the last one kit_reply read */
    uint64_t batches;
};

/* cmocka setup and teardown: *state is the kit. Mappings: air_quality and system as shipped.
 * Tables: settings, projects, and contents with arrays {"/nodes":"id"}; all with the policy merge.
 */
int kit_setup(void **state);
int kit_teardown(void **state);

void kit_restart(struct kit *kit); /* a new process on the same database */
void kit_stop(struct kit *kit);    /* closes ingest and store */
void kit_start(struct kit *kit);
/* Restarts with that policy for every table. */
void kit_policy(struct kit *kit, enum sb_policy policy);

/* The database by a connection of its own: one number. */
int64_t kit_count(struct kit *kit, const char *sql);
void kit_sql(struct kit *kit, const char *sql);

/* Hands one message in; kit_flush commits. */
void kit_message(struct kit *kit, const char *class, const char *correlation, const char *json);
void kit_flush(struct kit *kit);

/* A batch of `n` records: head, then `body` as it is ("\"fields\":…,\"rows\":…"). */
void kit_batch(struct kit *kit, const char *stream, uint64_t first, uint64_t last, const char *body,
               ...) __attribute__((format(printf, 5, 6)));

/* The next reply (kind ack) that was published; fails the test when there is none. */
struct sb_reply *kit_reply(struct kit *kit);
/* kit_batch, flush and the reply. */
struct sb_reply *kit_ask(struct kit *kit, const char *stream, uint64_t first, uint64_t last,
                         const char *body, ...) __attribute__((format(printf, 5, 6)));
/* How many messages went to topics that contain the text, and the last of them. */
size_t kit_published(struct kit *kit, const char *text);
const struct sent *kit_last(struct kit *kit, const char *text);

void kit_grant(struct kit *kit, const char *user);

/* accepted, duplicates, revised, rejected numbers, conflicts */
void kit_expect(const struct sb_reply *reply, enum sb_result result, uint64_t accepted,
                uint64_t duplicates, uint64_t revised, uint64_t rejected, uint64_t conflicts);

#endif
