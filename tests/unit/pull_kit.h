#ifndef TEST_PULL_KIT_H
#define TEST_PULL_KIT_H

/* What the tests of reading from the cloud share: documents of user-1 on the device, and a cloud
 * that the test plays, with its pages, documents and refusals. */
#include "edge_bench.h"

#define PULL_RECORDS "records/user-1"

/* What changes and documents say; versions are one digit, they make tags and stamps too. */
#define PULL_TAG(version) "00000000000000a" #version
#define PULL_MEMBERS(version)                                                                      \
    "\"version\":" #version ",\"tag\":\"" PULL_TAG(version) "\",\"op_id\":\"op-x" #version         \
                                                            "\",\"device\":\"edge-002\",\"hlc\":"  \
                                                            "\"000000000000000" #version           \
                                                            "\",\"updated_at\":"                   \
                                                            "\"2026-01-02T03:04:05Z\","
/* One of the changes in a page: an update, a deletion, one whose data does not fit. */
#define PULL_CHANGE(id, version, data)                                                             \
    "{\"id\":\"" id "\",\"operation\":\"update\"," PULL_MEMBERS(version) "\"data\":" data "}"
#define PULL_GONE(id, version)                                                                     \
    "{\"id\":\"" id "\",\"operation\":\"delete\"," PULL_MEMBERS(version) "\"deleted\":true}"
#define PULL_LARGE(id, version)                                                                    \
    "{\"id\":\"" id "\",\"operation\":\"update\"," PULL_MEMBERS(version) "\"fetch\":true}"
/* A page, `list` is its changes with commas; more is "true" or "false". */
#define PULL_PAGE(table, list, version, latest, more)                                              \
    "{\"user\":\"user-1\",\"table\":\"" table "\",\"changes\":[" list                              \
    "],\"cursor\":{\"version\":" #version                                                          \
    ",\"tag\":\"" PULL_TAG(version) "\"},\"latest_version\":" #latest ",\"has_more\":" more "}"
#define PULL_EMPTY(table)                                                                          \
    "{\"user\":\"user-1\",\"table\":\"" table                                                      \
    "\",\"changes\":[],\"cursor\":null,\"latest_version\":0,\"has_more\":false}"
/* The answer to a read. */
#define PULL_DOCUMENT(id, version, data)                                                           \
    "{\"id\":\"" id "\",\"exists\":true,\"as_of\":" #version                                       \
    "," PULL_MEMBERS(version) "\"data\":" data "}"
#define PULL_NOTHING(id, as_of) "{\"id\":\"" id "\",\"exists\":false,\"as_of\":" #as_of "}"

/* bench_setup; the cloud has the table projects besides the settings. */
int pull_setup(void **state);

/* ---- the device ---- */
void pull_add_user(const char *user);
struct document_name pull_name(const char *id); /* of user-1's projects */
/* A committed edit of that project; the core, where there is one, is woken. */
void pull_put(const char *id, const char *op_id, const char *data);
/* The text here, "-" where there is none. */
void pull_assert_document(const char *id, const char *text);
void pull_assert_cursor(const char *table, uint64_t version);

/* ---- the cloud; what was asked of it is taken with a puback ---- */
/* The next publish is a request of that kind; decoded, its spans are those of what was sent. */
struct sent *pull_next_request(const char *op, struct sb_request *request);
/* The next one asks for changes of that table since that version. */
struct sent *pull_next_changes(const char *table, uint64_t since);
/* The next one asks for that project. */
struct sent *pull_next_read(const char *id);
/* Answers a request as an ingest of that boot; the first two do not tick. */
void pull_send_answer(const struct sent *sent, struct sb_answer *answer, const char *boot);
void pull_answer_as(const struct sent *sent, const char *data, const char *boot);
void pull_answer(const struct sent *sent, const char *data);
void pull_refuse(const struct sent *sent, enum sb_code code);

/* The core begins, user-1 is here, and both tables are empty in the cloud. */
void pull_begin(void);
void pull_sync_projects(void); /* asked for by the application */
/* The ingest of another boot: a hello, its welcome. */
void pull_welcome_of(const char *boot);
void pull_notify(const char *table, uint64_t version);

/* For bench_answer: the first number made version 1 or 6; it was a conflict, op-1 at /n, with
 * {"m": 7} of version 7. */
void pull_names_one(struct sb_reply *reply);
void pull_names_six(struct sb_reply *reply);
void pull_says_conflict(struct sb_reply *reply);

/* ---- rounds ---- */
struct pull_outcome {
    int calls;
    struct edge_synced synced;
    enum sb_code code;
};
/* What edge_sync is given: notes the end of a round in a struct pull_outcome. */
void pull_synced(void *ctx, const struct edge_synced *result, const struct sb_err *err);
/* A round of all tables of user-1; timeout_ms 0 = none. */
void pull_begin_round(struct pull_outcome *outcome, int64_t timeout_ms);

#endif
