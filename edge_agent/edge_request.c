/* Requests to the cloud: each is said again until it is answered or its time is up. */
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/request_documents.h"
#include "common/rules.h"
#include "edge_agent/edge_internal.h"

struct edge_call *edge_call_add(struct edge *edge, enum edge_call_kind kind, const char *op,
                                struct sb_now now)
{
    bool own = kind != CALL_OTHER && kind != CALL_READ;
    size_t first = own ? EDGE_REQUESTS_MAX : 0;
    size_t end = own ? EDGE_CALLS : EDGE_REQUESTS_MAX;

    for (size_t i = first; i < end; i++) {
        struct edge_call *call = &edge->calls[i];

        if (call->kind != CALL_NONE)
            continue;
        *call = (struct edge_call){.kind = kind, .op = op, .deadline_ms = INT64_MAX};
        sb_uuid7(edge->rng, now.wall_us, call->id);
        return call;
    }
    return NULL;
}

void edge_call_drop(struct edge_call *call)
{
    sb_buf_free(&call->args);
    *call = (struct edge_call){.kind = CALL_NONE};
}

void edge_calls_free(struct edge *edge)
{
    for (size_t i = 0; i < EDGE_CALLS; i++)
        edge_call_drop(&edge->calls[i]);
}

/* ---- sending ---- */

static void send_one(struct edge *edge, struct edge_call *call, struct sb_now now)
{
    struct sb_request request = {.args = sb_buf_span(&call->args)};
    struct sb_buf json = {0};
    struct sb_span packed;
    struct sb_err err;
    uint32_t token = 0;
    bool gzip;

    snprintf(request.id, sizeof(request.id), "%s", call->id);
    snprintf(request.boot, sizeof(request.boot), "%s", edge->session.boot);
    snprintf(request.op, sizeof(request.op), "%s", call->op);
    sb_request_encode(&request, &json);
    packed = publisher_pack(edge->pub, sb_buf_span(&json), &gzip);
    if (edge_publish(edge, SB_UP_CTL, packed, gzip, call->id, &token, &err) == 0) {
        pacer_other_sent(&edge->pacer, token);
        call->sent = true;
        call->sent_ms = now.mono_ms;
        call->times++;
        edge->status.requests++;
    }
    sb_buf_free(&json);
}

/* When a request that is not answered goes again: the broker may have lost it. */
static int64_t again_at(const struct edge *edge, const struct edge_call *call)
{
    unsigned doublings = call->times < 5 ? call->times - 1 : 4;
    int64_t delay = pacer_rto(&edge->pacer) << doublings;
    int64_t most = edge->config.pacer.rto_max_ms;

    return call->sent_ms + (delay < most ? delay : most);
}

void edge_calls_send(struct edge *edge, struct sb_now now)
{
    for (size_t i = 0; i < EDGE_CALLS && pacer_may_send(&edge->pacer); i++) {
        struct edge_call *call = &edge->calls[i];

        if (call->kind != CALL_NONE && (!call->sent || now.mono_ms >= again_at(edge, call)))
            send_one(edge, call, now);
    }
}

void edge_calls_forget(struct edge *edge)
{
    for (size_t i = 0; i < EDGE_CALLS; i++)
        edge->calls[i].sent = false;
}

int64_t edge_calls_deadline(const struct edge *edge)
{
    int64_t first = INT64_MAX;

    for (size_t i = 0; i < EDGE_CALLS; i++)
        if (edge->calls[i].kind != CALL_NONE && edge->calls[i].deadline_ms < first)
            first = edge->calls[i].deadline_ms;
    return first; /* going again waits for a poll at the latest */
}

/* ---- ends ---- */

/* The caller may ask for something else at once: the place is free by then. */
static void end_read(struct edge_call *call, int taken, uint64_t version, const struct sb_err *err)
{
    edge_read_fn fn = call->read_fn;
    void *ctx = call->ctx;

    edge_call_drop(call);
    if (fn != NULL)
        fn(ctx, taken, version, err);
}

static void end_other(struct edge_call *call, struct sb_span data, const struct sb_err *err)
{
    edge_answer_fn fn = call->answer_fn;
    void *ctx = call->ctx;

    edge_call_drop(call);
    if (fn != NULL)
        fn(ctx, data, err);
}

/* Where it is known why nothing can answer, that is what helps. */
static void tell_timeout(const struct edge *edge, struct sb_err *err)
{
    const struct sb_err *cause = &edge->status.last_error;

    if (!edge->session.welcomed && cause->code != SB_OK)
        sb_fail(err, SB_ETIMEOUT, "no answer from the cloud in time: %s", cause->msg);
    else
        sb_fail(err, SB_ETIMEOUT, "no answer from the cloud in time");
}

void edge_calls_expire(struct edge *edge, struct sb_now now)
{
    for (size_t i = 0; i < EDGE_REQUESTS_MAX; i++) {
        struct edge_call *call = &edge->calls[i];
        struct sb_err err;

        if (call->kind == CALL_NONE || now.mono_ms < call->deadline_ms)
            continue;
        tell_timeout(edge, &err);
        if (call->kind == CALL_READ)
            end_read(call, 0, 0, &err);
        else
            end_other(call, SB_SPAN(""), &err);
    }
}

int edge_take_document(struct edge *edge, const struct document_name *name, struct sb_span data,
                       struct sb_now now, enum documents_taken *taken, uint64_t *version,
                       struct sb_err *err)
{
    const struct documents docs = edge_documents(edge);
    struct sb_document doc = {0};
    char id[SB_ID_MAX + 1];
    uint64_t as_of = 0;
    int rc = sb_document_decode(data, &doc, id, &as_of, err);

    *taken = DOCUMENTS_ABSENT;
    if (rc < 0)
        return rc;
    if ((rc = outbox_begin(edge->ob, err)) == 0) {
        rc = documents_take(&docs, name, &doc, as_of, now, taken, err);
        if (rc == 0)
            rc = outbox_commit(edge->ob, err);
        else
            outbox_rollback(edge->ob);
    }
    *version = doc.version;
    if (rc == 0)
        edge_pull_took(edge, name, *taken);
    sb_document_free(&doc);
    return rc;
}

static void answer_read(struct edge *edge, struct edge_call *call, const struct sb_answer *answer,
                        struct sb_now now)
{
    enum documents_taken taken = DOCUMENTS_ABSENT;
    struct sb_err err = {0};
    uint64_t version = 0;

    if (!answer->success)
        sb_fail(&err, answer->code, "%s", answer->reason);
    else if (edge_take_document(edge, &call->name, answer->data, now, &taken, &version, &err) == 0)
        err.code = SB_OK;
    end_read(call, (int)taken, version, &err);
}

static void answer_other(struct edge_call *call, const struct sb_answer *answer)
{
    struct sb_err err = {0};

    if (!answer->success)
        sb_fail(&err, answer->code, "%s", answer->reason);
    end_other(call, answer->data, &err);
}

static struct edge_call *find_call(struct edge *edge, const char *id)
{
    for (size_t i = 0; i < EDGE_CALLS; i++)
        if (edge->calls[i].kind != CALL_NONE && strcmp(edge->calls[i].id, id) == 0)
            return &edge->calls[i];
    return NULL;
}

/* V6: an answer of another boot is dropped and makes a hello due. */
static bool of_other_boot(struct edge *edge, const struct sb_answer *answer, struct sb_now now)
{
    bool refused = !answer->success && answer->code == SB_EHELLO;

    if (!refused && (strcmp(answer->boot, edge->session.boot) == 0 || !sb_rule(SB_RULE_BOOT_DROP)))
        return false;
    session_refused(&edge->session, now.mono_ms, pacer_reply_ms(&edge->pacer));
    return true;
}

void edge_calls_answer(struct edge *edge, struct sb_span json, struct sb_now now)
{
    struct edge_call *call;
    struct sb_answer answer;
    struct sb_err err;

    if (sb_answer_decode(json, &answer, &err) < 0) {
        log_warn("answer: %s", err.msg);
        return;
    }
    call = find_call(edge, answer.id);
    if (call == NULL || of_other_boot(edge, &answer, now))
        return;
    /* what was answered before comes first; where the disk refuses it, this one comes again */
    if (!edge_settle_collected(edge, now))
        return;
    edge->awake = true; /* it may have enqueued an operation, and a place is free */
    switch (call->kind) {
    case CALL_READ:
        answer_read(edge, call, &answer, now);
        break;
    case CALL_OTHER:
        answer_other(call, &answer);
        break;
    case CALL_PAGE:
    case CALL_STALE:
    case CALL_CONFLICTS:
    case CALL_TELL:
        edge_pull_answer(edge, call, &answer, now);
        break;
    case CALL_NONE:
        break;
    }
}

/* ---- asked from outside ---- */

static struct edge_call *add_other(struct edge *edge, enum edge_call_kind kind, const char *op,
                                   int64_t timeout_ms, struct sb_now now, struct sb_err *err)
{
    struct edge_call *call = edge_call_add(edge, kind, op, now);

    if (call == NULL) {
        sb_fail(err, SB_EBUSY, "%d requests are waiting for an answer already", EDGE_REQUESTS_MAX);
        return NULL;
    }
    call->deadline_ms = now.mono_ms + timeout_ms;
    edge->awake = true;
    return call;
}

int edge_request(struct edge *edge, const char *op, struct sb_span args, int64_t timeout_ms,
                 struct sb_now now, edge_answer_fn fn, void *ctx, struct sb_err *err)
{
    struct edge_call *call;

    if (strlen(op) >= sizeof(call->other_op))
        return sb_fail(err, SB_EBAD_VALUE, "op: longer than %d bytes", SB_NAME_MAX);
    call = add_other(edge, CALL_OTHER, "", timeout_ms, now, err);
    if (call == NULL)
        return -(int)SB_EBUSY;
    snprintf(call->other_op, sizeof(call->other_op), "%s", op);
    call->op = call->other_op;
    sb_buf_add_span(&call->args, args);
    call->answer_fn = fn;
    call->ctx = ctx;
    return 0;
}

void edge_call_document(struct edge_call *call, const struct document_name *name)
{
    struct sb_document_args args;

    memcpy(args.user, name->user, sizeof(args.user));
    memcpy(args.table, name->table, sizeof(args.table));
    memcpy(args.id, name->id, sizeof(args.id));
    call->name = *name;
    sb_document_args_encode(&args, &call->args);
}

int edge_read(struct edge *edge, const char *user, const char *table, const char *id,
              int64_t timeout_ms, struct sb_now now, edge_read_fn fn, void *ctx, struct sb_err *err)
{
    struct document_name name;
    struct edge_call *call;
    int rc = document_name_make(&name, user, table, id, err);

    if (rc < 0)
        return rc;
    call = add_other(edge, CALL_READ, SB_OP_DOCUMENT_GET, timeout_ms, now, err);
    if (call == NULL)
        return -(int)SB_EBUSY;
    edge_call_document(call, &name);
    call->read_fn = fn;
    call->ctx = ctx;
    return 0;
}
