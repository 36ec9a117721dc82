#ifndef SB_POLICY_H
#define SB_POLICY_H

#include <stdbool.h>

#include "buf.h"

/* What is done at a place that two edits changed differently (DESIGN section 6, rule M): the
 * cloud's configuration per table, told in conflicts. Stored and on the wire by name; never
 * renumber. */
enum sb_policy {
    SB_POLICY_NONE = 0,   /* not told */
    SB_POLICY_MERGE = 1,  /* a conflict */
    SB_POLICY_LATEST = 2, /* the higher (HLC, device) of those who changed it */
    SB_POLICY_SERVER = 3, /* what the cloud has */
    SB_POLICY_LOCAL = 4,  /* what was submitted */
    SB_POLICY_MANUAL = 5  /* nothing is merged: whatever is not based on the document in force is a
                             conflict of the whole document */
};

/* "merge", …; "" for SB_POLICY_NONE. */
const char *sb_policy_name(enum sb_policy policy);
/* False for anything but the five names. */
bool sb_policy_parse(struct sb_span name, enum sb_policy *policy);

#endif
