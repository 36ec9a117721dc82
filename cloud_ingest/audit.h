#ifndef CLOUD_AUDIT_H
#define CLOUD_AUDIT_H

#include "store.h"

/* verify: does the cloud hold what its devices say they made? Per (device, epoch, stream):
 *
 *   made = stored + duplicates + revised + rejected + conflict   every number decided here
 *        + holes                                                 declared and not decided
 *        + pending   held by the device at its last hello, or made since
 *        + lost      undecided in an epoch or stream that its device no longer names
 *        + missing   none of these: must be 0
 *
 * and stored + duplicates + revised, branches included, must be rows + identity duplicates +
 * dropped, counted in the tables themselves. Over all devices together: the versions of a user are
 * 1 to its counter without a gap, and the document in force is the highest version of it. */

struct audit_figures {
    uint64_t made;
    uint64_t stored, duplicates, revised, rejected, conflict;
    uint64_t holes;
    uint64_t branched; /* outcomes of records beside an epoch's own, not part of made */
    uint64_t dropped;  /* of stored, duplicates and revised: removed by retention */
    uint64_t pending, missing, lost;
    uint64_t repeats; /* records that came again and were absorbed */
    uint64_t doubles; /* one history identity and content, or one op_id, in two rows */
    uint64_t rows;    /* counted: rows of readings, revisions, versions */
    uint64_t dups;    /* counted: identity duplicates of history and operations answered again */
    uint64_t unequal; /* streams whose kept counters are not what is counted: must be 0 */

    /* only in the total, and only of all devices */
    uint64_t gaps;   /* users whose versions are not 1..n, or whose counter is not n: must be 0 */
    uint64_t astray; /* documents in force that are not their highest version: must be 0 */
};

struct audit_entry {
    const char *device, *epoch, *stream;
    bool named;      /* by the device's last hello (true where it never said one) */
    int64_t told_ms; /* when the device last spoke of this stream, 0 = never */
    struct audit_figures figures;
    struct sb_ranges missing; /* which numbers */
};

/* Calls each for every (device, epoch, stream), ordered, and adds all up in *total. device NULL =
 * all. Reads one consistent snapshot. */
int audit_run(struct store *store, const char *device,
              bool (*each)(void *ctx, const struct audit_entry *entry), void *ctx,
              struct audit_figures *total, struct sb_err *err);

/* The arithmetic of one stream, pure: what was said, and what is known here. */
struct audit_facts {
    bool claimed; /* the device said something of it */
    bool named;   /* and still names the epoch */
    uint64_t claimed_made;
    const struct sb_ranges *held;
    uint64_t made; /* by its batches */
    const struct sb_ranges *decided, *holes;
};
/* Sets made, holes, pending, missing, lost, and which numbers are missing. */
void audit_arithmetic(const struct audit_facts *facts, struct audit_figures *out,
                      struct sb_ranges *missing);

void audit_add(struct audit_figures *total, const struct audit_figures *more);

/* missing = doubles = unequal = gaps = astray = 0 */
bool audit_clean(const struct audit_figures *total);

#endif
