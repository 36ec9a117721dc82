#ifndef CLOUD_REQUESTS_INTERNAL_H
#define CLOUD_REQUESTS_INTERNAL_H

#include "requests.h"
#include "store_requests.h"

/* The families of requests, for requests*.c alone. */

struct request_call {
    struct apply *a;
    const struct requester *who;
    const struct sb_request *request;
    size_t max_bytes;
    struct request_outcome *outcome;
    bool unread; /* its args are wrong whatever there is: the refusal need not be kept */
};

/* A handler fills in outcome->data and says so with request_done, or refuses. Nothing is written
 * before everything that may be refused was looked at. */
typedef int request_handler(struct request_call *call, struct sb_err *err);

request_handler request_settings_get, request_document_get, request_changes, request_versions,
    request_version_get;
request_handler request_conflicts_list, request_conflicts_show, request_conflicts_resolve;

/* All return 0, so that a handler can end with them. */
int request_done(struct request_call *call);
int request_refuse(struct request_call *call, enum sb_code code, const char *reason);
int request_unread(struct request_call *call, const struct sb_err *why);
/* A failure that is the request's own fault becomes a refusal, any other one stays. */
int request_fault(struct request_call *call, int rc, const struct sb_err *why, struct sb_err *err);

/* Whose documents are asked for: user may be "" for a device with one binding, and is filled in
 * then. *may = false when it was refused. */
int request_user(struct request_call *call, char user[SB_NAME_MAX + 1], bool *may,
                 struct sb_err *err);

/* NULL when it is not declared here, and the request is refused. */
const struct table *request_table(struct request_call *call, const char *name);

#endif
