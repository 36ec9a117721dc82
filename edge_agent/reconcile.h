#ifndef EDGE_RECONCILE_H
#define EDGE_RECONCILE_H

#include "common/hello.h"
#include "edge_agent/lanes.h"

/* Rule D3: what a whole welcome changes, inside the caller's transaction. After a commit that
 * failed the lanes must be loaded anew and the welcome asked for again. */

struct reconcile_result {
    bool restored;      /* the cloud was rolled back: retained rows go again */
    uint64_t unsettled; /* numbers */
    uint64_t holes;     /* numbers that nobody has any more, now declared */
    bool new_epoch;     /* this device was rolled back: new records get a new epoch */
};

int reconcile_welcome(struct outbox *ob, struct lanes *lanes, const struct sb_welcome *welcome,
                      struct sb_rng *rng, int64_t wall_us, struct reconcile_result *result,
                      struct sb_err *err);

#endif
