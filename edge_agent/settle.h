#ifndef EDGE_SETTLE_H
#define EDGE_SETTLE_H

#include "common/reply.h"
#include "edge_agent/documents.h"
#include "edge_agent/lanes.h"
#include "edge_agent/pacer.h"

/* Stage 8: what a reply to one of our batches changes. Runs inside the caller's transaction;
 * changes the lane's sets at once, so after a failed commit the lanes must be loaded anew. */

/* Documents of which an operation was answered, with the version that the answer named; 0 = none
 * (conflict, rejected). */
struct settle_version {
    struct document_name name;
    uint64_t version;
};
struct settle_seen {
    struct settle_version *at;
    size_t count;
};

struct settle_counts {
    uint64_t stored, duplicate, revised, rejected, conflict;
    struct settle_seen seen;
};
void settle_counts_clear(struct settle_counts *counts); /* frees what they hold */

/* One reply that is not `retry`, to the given flight. Numbers outside the flight are ignored. */
int settle_reply(struct outbox *ob, struct lane *lane, const struct flight *flight,
                 const struct sb_reply *reply, int64_t wall_us, struct settle_counts *counts,
                 struct sb_err *err);

/* Writes the interval sets of the lanes that changed. */
int settle_write(struct outbox *ob, struct lanes *lanes, struct sb_err *err);

#endif
