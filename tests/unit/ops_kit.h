#ifndef OPS_KIT_H
#define OPS_KIT_H

/* What the tests of applying documents share: operations of two devices of user-1, and what became
 * of them. */
#include "cloud_kit.h"

#define OPS_SETTINGS "settings/user-1"
#define OPS_RECORDS  "records/user-1"

/* Encrypted data as JSON. */
#define OPS_TOKEN                                                                                  \
    "\"gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64"    \
    "jVmpU4IwqDA==\""

/* Of ops_edit's last operation. */
extern uint64_t ops_next_seq;

int ops_setup(void **state);         /* kit_setup, and the device is bound to user-1 */
int ops_records_setup(void **state); /* and edge-002 too; numbers begin anew */

/* One operation on the settings; base as JSON. */
struct sb_reply *ops_put(struct kit *kit, uint64_t seq, const char *op, const char *base,
                         const char *settings);

/* One operation on a record; data may be NULL: a delete. hlc: of the last 4 digits. */
struct sb_reply *ops_edit(struct kit *kit, const char *op, unsigned hlc, const char *table,
                          const char *id, const char *base, const char *data);
/* The same from the second device. */
struct sb_reply *ops_edit_2(struct kit *kit, const char *op, unsigned hlc, const char *table,
                            const char *id, const char *base, const char *data);

/* The text in force, "-" for a tombstone, "" for nothing; until the next call. */
const char *ops_in_force(struct kit *kit, const char *doc);
/* {"tag":…} of what is in force; until the next call. */
const char *ops_tag_of(struct kit *kit, const char *doc);

/* The one operation of the batch was stored, met a conflict (which is returned), was rejected. */
void ops_stored(const struct sb_reply *reply);
const struct sb_conflict *ops_conflict(const struct sb_reply *reply, enum sb_code code,
                                       const char *pointers);
void ops_rejected(const struct sb_reply *reply, enum sb_code code);

#endif
