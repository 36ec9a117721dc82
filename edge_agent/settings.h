#ifndef EDGE_SETTINGS_H
#define EDGE_SETTINGS_H

#include "common/request.h"
#include "edge_agent/outbox.h"

/* The settings document of a user on this device: when the cloud's replaces it (V4, V5 as far as
 * the policy `manual` needs them). All inside the caller's transaction. */

enum settings_applied {
    SETTINGS_SAME,    /* no conflict waits */
    SETTINGS_CHANGED, /* another document is in force now */
    SETTINGS_UNREAD   /* the answer left the document out, as too large: it is to be asked for */
};
/* Nothing of this user's settings is pending any more: if operations were answered conflict, the
 * cloud's document of the newest answer comes into force, its tag is the next base, and the
 * operations stay in the conflicts. Where the cloud has nothing at all, not even a tombstone, the
 * last submitted document is enqueued as a new one (base null). */
int settings_apply_conflicts(struct outbox *ob, const char *user, struct sb_now now,
                             struct sb_rng *rng, enum settings_applied *applied,
                             struct sb_err *err);

/* Versions that acks named: what a read brings must not be older (V5). */
int settings_seen(struct outbox *ob, const char *user, uint64_t version, struct sb_err *err);

enum settings_taken {
    SETTINGS_TAKEN,   /* in force now */
    SETTINGS_ABSENT,  /* there is nothing in the cloud */
    SETTINGS_PENDING, /* own edits are on their way: not taken */
    SETTINGS_OLD      /* older than what was seen here: not taken */
};
/* A document that a read brought (V5). Conflicts that waited for it are resolved with it, as
 * settings_apply_conflicts does. */
int settings_take(struct outbox *ob, const char *user, const struct sb_document *doc,
                  uint64_t as_of, struct sb_now now, struct sb_rng *rng, enum settings_taken *taken,
                  struct sb_err *err);

#endif
