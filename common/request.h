#ifndef SB_REQUEST_H
#define SB_REQUEST_H

#include "ids.h"
#include "json_scan.h"
#include "reply.h"

/* Requests and answers (PROTOCOL.md section 6): the envelope. What the operations take and give is
 * in request_documents.h and request_conflicts.h. Spans point into the decoded text. */
struct sb_request {
    char id[SB_UUID_LEN + 1];
    char boot[SB_UUID_LEN + 1]; /* "" = left out */
    char op[SB_NAME_MAX + 1];   /* "settings.get", ... */
    struct sb_span args;        /* an object; "{}" where absent */
};
int sb_request_decode(struct sb_span text, struct sb_request *request, struct sb_err *err);
void sb_request_encode(const struct sb_request *request, struct sb_buf *out);

struct sb_answer {
    char id[SB_UUID_LEN + 1];
    char boot[SB_UUID_LEN + 1];
    bool success;
    uint64_t commit;     /* of an operation that writes, as in a reply; else 0 = null */
    struct sb_span data; /* an object, "" when refused */
    enum sb_code code;   /* SB_OK when it succeeded */
    char reason[SB_REASON_MAX];
};
int sb_answer_decode(struct sb_span text, struct sb_answer *answer, struct sb_err *err);
void sb_answer_encode(const struct sb_answer *answer, struct sb_buf *out);

/* A document as data of an answer: {"id":…,"exists":…,"as_of":…,"version":…,"tag":…,"op_id":…,
 * "device":…,"hlc":…,"updated_at":…,"data":{…}} (the rest only where it exists; "deleted":true
 * instead of data for a tombstone; "stamps" beside data where the document has them). Answers of
 * settings.get, document.get and version.get. */
void sb_document_encode(const struct sb_document *doc, const char *id, uint64_t as_of,
                        struct sb_buf *out);
int sb_document_decode(struct sb_span object, struct sb_document *doc, char id[SB_ID_MAX + 1],
                       uint64_t *as_of, struct sb_err *err);

#endif
