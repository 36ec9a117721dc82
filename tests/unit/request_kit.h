#ifndef REQUEST_KIT_H
#define REQUEST_KIT_H

#include "cloud_kit.h"

#include "common/request_conflicts.h"
#include "common/request_documents.h"

/* Requests to a whole ingest (cloud_kit.h) and their answers. edge-001 and edge-002 are bound to
 * user-1, edge-003 to user-2. */

#define SETTINGS "settings/user-1"
#define RECORDS  "records/user-1"

/* Two Fernet tokens, as documents. */
#define TOKEN                                                                                      \
    "\"gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_"                                  \
    "5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU"                                                          \
    "4IwqDA==\""
#define OTHER_TOKEN                                                                                \
    "\"gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLG_"                                  \
    "5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU"                                                          \
    "4IwqDA==\""

extern struct sb_answer answer; /* the last one; points into kit->sent */
extern uint64_t seqs;           /* the last number of put_settings and put_record */

int request_setup(void **state);

const char *new_id(void); /* valid until the next one */

/* One request of kit->device, its commit and its answer. */
struct sb_answer *ask(struct kit *kit, const char *op, const char *args);
struct sb_answer *ask_as(struct kit *kit, const char *id, const char *op, const char *args);
/* Of _op-anna. */
struct sb_answer *ask_operator(struct kit *kit, const char *id, const char *op, const char *args);
void admin_message(struct kit *kit, const char *name, const char *correlation, const char *json);
void request_json(struct sb_buf *out, const char *id, const char *op, const char *args);
/* Reads the last answer that was published; it must have gone there. */
struct sb_answer *last_answer(struct kit *kit, const char *topic);

void refused(enum sb_code code, const char *part);
void succeeded(void);

/* One operation each; base as JSON; data NULL: delete. */
struct sb_reply *put_settings(struct kit *kit, const char *op, const char *base,
                              const char *settings);
struct sb_reply *put_record(struct kit *kit, const char *op, const char *table, const char *id,
                            const char *base, const char *data);
void ack_is(struct sb_reply *reply, enum sb_result result);

/* Version 2 in force, {"a":1,"b":2,"c":0}; the operation "lost" wanted b and c else. */
void make_conflict(struct kit *kit);

/* What the last answer told; the caller frees. */
struct sb_changes changes_of(void);
struct sb_document document_of(const char *expected_id);
struct sb_resolved resolved_of(void);

/* A document of n bytes that gzip makes no smaller than about three quarters of it; to be freed. */
char *noise(struct kit *kit, size_t n);

#endif
