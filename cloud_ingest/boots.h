#ifndef CLOUD_BOOTS_H
#define CLOUD_BOOTS_H

#include "common/clock.h"
#include "common/rng.h"
#include "store.h"

/* This process's boot id and its commit counter in the database. The counter is moved by
 * compare-and-set in every transaction that answers something: a database that has been replaced
 * under the running process shows, and the process then takes a new boot id, so that no boot ever
 * serves a database from before its own last commit. */
struct boots {
    char id[SB_UUID_LEN + 1];
    uint64_t commits; /* as this process knows them */
    bool advanced;    /* in the open transaction */
};

/* Takes a new boot id: a transaction of its own. */
int boots_take(struct boots *boots, struct store *store, struct sb_rng *rng, struct sb_now now,
               struct sb_err *err);

/* SB_EHELLO when the counter is not as this process left it: asked before a transaction does
 * anything, because another database may not even have the tables for it. */
int boots_check(const struct boots *boots, struct store *store, struct sb_err *err);

/* The number of the open transaction's commit; moves the counter once per transaction. SB_EHELLO
 * when the row is not as this process left it: give up, take a new boot id and run again. */
int boots_number(struct boots *boots, struct store *store, uint64_t *number, struct sb_err *err);

void boots_committed(struct boots *boots);
void boots_undone(struct boots *boots);

#endif
