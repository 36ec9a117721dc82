#ifndef EDGE_OUTBOX_CHANGES_H
#define EDGE_OUTBOX_CHANGES_H

#include "edge_agent/outbox_docs.h"

/* Documents whose text changed on this device, by whatever process, and whose file and hook are
 * still due. The database notes them by itself (triggers), each document once. */

struct outbox_change {
    int64_t n; /* another one after each change of the document */
    struct document_name name;
};
/* The oldest; *found is false where there is none. */
int outbox_change_next(struct outbox *ob, struct outbox_change *change, bool *found,
                       struct sb_err *err);
/* That change has been dealt with; a later one of the same document stays due. In a transaction. */
int outbox_change_done(struct outbox *ob, int64_t n, struct sb_err *err);

/* Where the files go and whether a command is run, at each start. A folder that is another one than
 * at the last start makes every document due; where a command alone is run, and nothing was done
 * with changes before, those of the past are forgotten. In a transaction. */
int outbox_changes_target(struct outbox *ob, const char *folder, bool command, struct sb_err *err);

#endif
