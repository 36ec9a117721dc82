#ifndef CLOUD_WRITTEN_H
#define CLOUD_WRITTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/ids.h"

/* What the open transaction wrote, so that devices can be told after its commit (notify). One entry
 * per (user, table, author), in no order; bounded by LIMIT_WRITTEN, beyond it an entry is left out:
 * a notify is only a hint and devices look by themselves after sync_interval. Emptied when a
 * transaction begins; read it after the commit, before the next one. */

struct written {
    char user[SB_NAME_MAX + 1];
    char table[SB_NAME_MAX + 1];
    char author[SB_NAME_MAX + 1]; /* the device or operator that submitted */
    uint64_t version;             /* the highest it made there */
    bool merged; /* some result is another text than what was submitted: tell the author too */
};

struct written_list {
    struct written *at;
    size_t count;
    size_t left_out;
};

void written_add(struct written_list *list, const char *user, const char *table, const char *author,
                 uint64_t version, bool merged);
void written_clear(struct written_list *list); /* for a new transaction */
void written_free(struct written_list *list);

#endif
