#ifndef EDGE_OUTBOX_CHANGES_H
#define EDGE_OUTBOX_CHANGES_H

#include "edge_agent/outbox_docs.h"

/* Documents whose text changed on this device, by whatever process, and whose file and hook are
 * still due. The database notes them by itself (triggers), each document once. */

struct outbox_change {
    int64_t n; /* another one after each change of the document; negative: see below */
    struct document_name name;
};
/* The oldest change above `after`, or else, of those that another folder made due, the next one
 * below `below` (their numbers are negative and go down). 0, 0: from the beginning. *found is false
 * where there is neither. */
int outbox_change_next(struct outbox *ob, int64_t after, int64_t below,
                       struct outbox_change *change, bool *found, struct sb_err *err);
/* That change has been dealt with; a later one of the same document stays due. In a transaction. */
int outbox_change_done(struct outbox *ob, int64_t n, struct sb_err *err);

/* Where the files go and whether a command is run, at each start. A folder that is another one than
 * at the last start makes every document due; where a command alone is run, and nothing was done
 * with changes before, those of the past are forgotten. In a transaction. */
int outbox_changes_target(struct outbox *ob, const char *folder, bool command, struct sb_err *err);

#endif
