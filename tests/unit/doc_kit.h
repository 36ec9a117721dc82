#ifndef TEST_DOC_KIT_H
#define TEST_DOC_KIT_H

/* What the tests of documents share: edits of user-1, answers to them, what the cloud sends. */
#include "edge_kit.h"

#include "edge_agent/documents.h"
#include "edge_agent/enqueue.h"

#define DOC_SETTINGS "settings/user-1"
#define DOC_RECORDS  "records/user-1"
#define DOC_DEVICE   "edge-001"

/* The other members that a document of the cloud has; versions are in hex 1..f to make tags. */
#define DOC_TAG(version) "00000000000000a" #version
#define DOC_HEAD(version)                                                                          \
    "{\"id\":\"x\",\"exists\":true,\"as_of\":" #version ",\"version\":" #version                   \
    ",\"tag\":\"" DOC_TAG(version) "\",\"op_id\":\"op-x" #version                                  \
                                   "\",\"device\":\"edge-002\",\"hlc\":\"000000000000000" #version \
                                   "\",\"updated_at\":\"2026-01-02T03:04:05Z\","
#define DOC(version, data)   DOC_HEAD(version) "\"data\":" data "}"
#define DOC_DELETED(version) DOC_HEAD(version) "\"deleted\":true}"
#define DOC_UNREAD(version)  DOC_HEAD(version) "\"fetch\":true}"
#define DOC_NOTHING(as_of)   "{\"id\":\"x\",\"exists\":false,\"as_of\":" #as_of "}"

extern struct documents doc_env; /* of kit_ob; the codec is the test's */
extern struct enqueue *doc_eq;

int doc_setup(void **state); /* kit_setup and an enqueue with all switches on */
int doc_teardown(void **state);

struct document_name doc_name(const char *table, const char *id);

/* An edit of user-1, committed; data NULL deletes. op_id "" makes one. Returns what enqueue said.
 */
int doc_try_put(const char *table, const char *id, const char *op_id, const char *data,
                struct enqueue_receipt *receipt);
void doc_put(const char *table, const char *id, const char *op_id, const char *data);
void doc_put_settings(const char *op_id, const char *data);

/* Turns a class of user-1 on or off. */
void doc_set_switch(enum sb_up_class class, bool on);

/* Number seq of a stream is answered: conflict with the cloud's document, or applied. */
void doc_conflict(const char *stream, uint64_t seq, enum sb_policy policy, const char *server);
void doc_acked(const char *stream, uint64_t seq, uint64_t version);
enum documents_mended doc_mend(const char *table, const char *id);

/* A pull or read brings it. */
enum documents_taken doc_take(const char *table, const char *id, const char *document);

/* The text here, "-" where there is none; its newest own operation and its base tag. */
void doc_assert(const char *table, const char *id, const char *text);
void doc_assert_base(const char *table, const char *id, const char *last_op, const char *tag);
void doc_get(const char *table, const char *id, struct outbox_document *doc);
bool doc_is_stale(const char *table, const char *id); /* to be read again */

/* The body of the operation at seq. Freed by the caller. */
void doc_operation(const char *stream, uint64_t seq, struct sb_buf *body);
uint64_t doc_made(const char *stream);
void doc_assert_operation(const char *stream, uint64_t seq, const char *part);

/* Open conflicts as "<id> <pointers> base=… local=…;" */
void doc_assert_open(const char *text);

#endif
