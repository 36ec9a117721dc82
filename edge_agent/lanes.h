#ifndef EDGE_LANES_H
#define EDGE_LANES_H

#include "edge_agent/outbox.h"

/* The daemon's picture of the outbox: for each (epoch, stream) its interval sets, a few dozen bytes
 * however long the backlog is. What is pending is derived, never kept: made - settled. */

struct lane {
    int64_t s, epoch_n;
    char epoch[SB_EPOCH_LEN + 1];
    struct sb_stream stream;
    char name[SB_STREAM_MAX + 1];
    bool ordered;
    uint64_t next_seq;
    uint64_t row_bytes;
    struct sb_ranges settled, refused;
    struct sb_ranges holes;  /* declared here, not yet answered */
    struct sb_ranges flying; /* in batches that wait for a reply */
    bool off;                /* a switch keeps its rows here; no alarm */
    bool dirty;              /* settled or refused changed in the open transaction */
    uint64_t cap;            /* records a batch, halved by a limit refusal */
    int64_t parked_until_ms; /* 0 = not parked */
    int64_t park_ms;         /* the delay in force, 0 = none yet */
    uint64_t park_count;     /* refusals since something was answered, and when the last one came */
    int64_t parked_ms;
    enum sb_code park_code;
    char park_reason[160];
};

struct lanes {
    struct lane *at; /* epochs in order, streams by name */
    size_t count, cap;
    char epoch[SB_EPOCH_LEN + 1]; /* the current one */
    int64_t epoch_n;
    char (*epochs)[SB_EPOCH_LEN + 1]; /* all, in order */
    size_t epoch_count;
};

void lanes_free(struct lanes *lanes);

/* Reads everything anew: at start, and after a transaction that failed. Flights are kept. */
int lanes_load(struct lanes *lanes, struct outbox *ob, struct sb_err *err);
/* Reads what other processes may have changed: new streams, numbers and epochs. */
int lanes_refresh(struct lanes *lanes, struct outbox *ob, struct sb_err *err);

struct lane *lanes_find(struct lanes *lanes, int64_t s);
struct lane *lanes_find_named(const struct lanes *lanes, const char *epoch, const char *stream);

uint64_t lane_made(const struct lane *lane);
uint64_t lane_pending(const struct lane *lane);
/* Pending operations of a stream's name over all epochs. */
uint64_t lanes_pending_named(const struct lanes *lanes, const char *name);
uint64_t lanes_pending(const struct lanes *lanes);

/* About how many bytes of rows are kept though they are settled. Rows are purged from the first on,
 * so what lies before the first row counts for nothing. */
int lanes_kept_bytes(const struct lanes *lanes, struct outbox *ob, int64_t *bytes,
                     struct sb_err *err);

/* The next numbers to send: the lowest that are neither settled nor flying; all rows or all of one
 * kind (hole). At most up to the end of the gap. False when there is nothing. */
struct work {
    uint64_t lo, hi;
    bool hole;
};
bool lane_next_work(const struct lane *lane, struct work *work);

void lane_park(struct lane *lane, int64_t now_ms, int64_t least_ms, int64_t most_ms,
               enum sb_code code, const char *reason);
void lane_unpark(struct lane *lane);

/* What a hello says of all this: every epoch, always (D9). */
struct sb_hello;
void lanes_describe(const struct lanes *lanes, struct sb_hello *hello);

#endif
