#ifndef EDGE_PUBLISHER_H
#define EDGE_PUBLISHER_H

#include "common/gzip.h"
#include "edge_agent/lanes.h"

/* Stage 3: rows of the outbox → the bytes of one batch. Texts are joined, never parsed. */

struct publisher_limits {
    uint64_t max_records;
    uint64_t max_bytes; /* of the packed payload */
};

struct publisher;
struct publisher *publisher_new(const char *device, int gzip_level);
void publisher_free(struct publisher *pub);

struct publisher_batch {
    char batch_id[SB_UUID_LEN + 1];
    uint64_t lo, hi;        /* what went in: the lowest numbers of the work, perhaps not all */
    struct sb_span payload; /* packed; valid until the next call */
    bool gzip;
};

/* Rows lo..hi of the lane or as many as fit the limits, at least one record (a single document may
 * exceed max_bytes), all with the same fields. SB_ECORRUPT when the row is not there or torn: the
 * caller decides. */
int publisher_rows(struct publisher *pub, struct outbox *ob, const struct lane *lane,
                   const struct work *work, const struct publisher_limits *limits, const char *boot,
                   const char *batch_id, int64_t wall_us, struct publisher_batch *out,
                   struct sb_err *err);
/* One declared hole, from work->lo to the end of what has one reason; at most max_records numbers
 * where their operations are named. */
int publisher_hole(struct publisher *pub, struct outbox *ob, const struct lane *lane,
                   const struct work *work, const struct publisher_limits *limits, const char *boot,
                   const char *batch_id, int64_t wall_us, struct publisher_batch *out,
                   struct sb_err *err);
/* One record of the dead letter under its old number, "again". */
int publisher_again(struct publisher *pub, const struct lane *lane, const struct outbox_dead *dead,
                    const char *boot, const char *batch_id, int64_t wall_us,
                    struct publisher_batch *out);

/* Packs any other message (hello, request); valid until the next call. */
struct sb_span publisher_pack(struct publisher *pub, struct sb_span json, bool *gzip);

#endif
