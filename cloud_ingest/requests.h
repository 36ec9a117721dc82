#ifndef CLOUD_REQUESTS_H
#define CLOUD_REQUESTS_H

#include "apply.h"
#include "common/request.h"

/* Requests of devices (class ctl), of operators (admin/<operator>/req) and of the command line, all
 * by the same handlers inside the open transaction (PROTOCOL.md section 6). One that names a boot
 * is fenced like a batch. Those that write are kept with their answer under (sender, id). */

struct requester {
    const char *name; /* of the topic: a device, or "_op-…" */
    bool is_operator; /* names the user and needs no binding */
    bool is_local;    /* at the command line: whoever may open the database may ask */
};

struct request_outcome {
    struct sb_answer answer; /* but for boot and commit; its data points into `data` */
    struct sb_buf data;
    bool wrote;  /* something was written or had been: the answer is to name a commit */
    bool single; /* it is one document: it may be as large as a message may be */
};
void request_outcome_free(struct request_outcome *outcome);

/* Answers. max_bytes: of the data, where there are several documents or entries. A refusal is an
 * answer too; an error is the store's, and the transaction is to be given up. outcome is cleared
 * first. */
int requests_answer(struct apply *a, const struct requester *who, const struct sb_request *request,
                    size_t max_bytes, struct request_outcome *outcome, struct sb_err *err);

/* The same in a transaction of its own, on a database that no daemon of this process serves: for
 * the command line. Nobody is notified. Appends the answer, boot left out. */
int requests_alone(struct store *store, const struct ingest_config *config,
                   const struct requester *who, const struct sb_request *request, struct sb_now now,
                   struct sb_buf *answer, struct sb_err *err);

/* Makes the outcome a refusal. */
void requests_refuse(struct request_outcome *outcome, enum sb_code code, const char *reason);

/* Is that operator in the configured list ("*" or NULL: everybody; else names with commas)? */
bool requests_operator_may(const char *operators, const char *name);

#endif
