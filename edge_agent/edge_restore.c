/* Reading a user's settings from the cloud: a request that is said again after every hello until it
 * is answered or its time is up. */
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "edge_agent/edge_internal.h"
#include "edge_agent/settings.h"

/* A free place with an id of its own, NULL when there is none. */
static struct restore *add(struct edge *edge, const char *user, int64_t deadline_ms,
                           struct sb_now now)
{
    for (int i = 0; i < EDGE_RESTORES_MAX; i++) {
        struct restore *restore = &edge->restores[i];

        if (restore->used)
            continue;
        *restore = (struct restore){.used = true, .deadline_ms = deadline_ms};
        sb_uuid7(edge->rng, now.wall_us, restore->id);
        snprintf(restore->user, sizeof(restore->user), "%s", user);
        edge->awake = true;
        return restore;
    }
    return NULL;
}

int edge_restore_settings(struct edge *edge, const char *user, int64_t timeout_ms,
                          struct sb_now now, edge_restored_fn fn, void *ctx, struct sb_err *err)
{
    struct restore *restore = add(edge, user, now.mono_ms + timeout_ms, now);

    if (restore == NULL)
        return sb_fail(err, SB_EBUSY, "%d requests are waiting for an answer already",
                       EDGE_RESTORES_MAX);
    restore->fn = fn;
    restore->ctx = ctx;
    return 0;
}

void edge_restores_ask(struct edge *edge, const char *user, struct sb_now now)
{
    for (int i = 0; i < EDGE_RESTORES_MAX; i++)
        if (edge->restores[i].used && edge->restores[i].fn == NULL &&
            strcmp(edge->restores[i].user, user) == 0)
            return;
    if (add(edge, user, INT64_MAX, now) == NULL)
        log_warn("user=%s the cloud's settings are read after the next welcome", user);
}

struct resuming {
    struct edge *edge;
    struct sb_now now;
};

static int resume_one(void *ctx, const struct outbox_conflict *conflict)
{
    struct resuming *resuming = ctx;
    struct sb_stream stream = {.class = SB_UP_SETTINGS};
    char name[SB_STREAM_MAX + 1];

    if (conflict->in_force)
        return 0;
    memcpy(stream.name, conflict->user, sizeof(stream.name));
    sb_stream_print(&stream, name);
    if (lanes_pending_named(&resuming->edge->lanes, name) == 0)
        edge_restores_ask(resuming->edge, conflict->user, resuming->now);
    return 0;
}

void edge_restores_resume(struct edge *edge, struct sb_now now)
{
    struct resuming resuming = {edge, now};
    struct sb_err err;

    if (outbox_conflicts(edge->ob, NULL, resume_one, &resuming, &err) < 0)
        edge_note_error(edge, &err);
}

static void send_one(struct edge *edge, struct restore *restore, struct sb_now now)
{
    struct sb_request request = {.op = "settings.get"};
    struct sb_buf json = {0}, args = {0};
    struct sb_span packed;
    struct sb_err err;
    uint32_t token = 0;
    bool gzip;

    sb_buf_add_fmt(&args, "{\"user\":\"%s\"}", restore->user);
    snprintf(request.id, sizeof(request.id), "%s", restore->id);
    snprintf(request.boot, sizeof(request.boot), "%s", edge->session.boot);
    request.args = sb_buf_span(&args);
    sb_request_encode(&request, &json);
    packed = publisher_pack(edge->pub, sb_buf_span(&json), &gzip);
    if (edge_publish(edge, SB_UP_CTL, packed, gzip, restore->id, &token, &err) == 0) {
        pacer_other_sent(&edge->pacer, token);
        restore->sent = true;
        restore->sent_ms = now.mono_ms;
    }
    sb_buf_free(&json);
    sb_buf_free(&args);
}

/* When a request that is not answered goes again: the broker may have lost it. */
static int64_t again_at(const struct edge *edge, const struct restore *restore)
{
    return restore->sent_ms + pacer_rto(&edge->pacer);
}

void edge_restores_send(struct edge *edge, struct sb_now now)
{
    for (int i = 0; i < EDGE_RESTORES_MAX && pacer_may_send(&edge->pacer); i++) {
        struct restore *restore = &edge->restores[i];

        if (restore->used && (!restore->sent || now.mono_ms >= again_at(edge, restore)))
            send_one(edge, restore, now);
    }
}

void edge_restores_forget(struct edge *edge)
{
    for (int i = 0; i < EDGE_RESTORES_MAX; i++)
        edge->restores[i].sent = false;
}

static void finish(struct restore *restore, int taken, uint64_t version, const struct sb_err *err)
{
    restore->used = false;
    if (restore->fn != NULL)
        restore->fn(restore->ctx, taken, version, err);
}

void edge_restores_expire(struct edge *edge, struct sb_now now)
{
    for (int i = 0; i < EDGE_RESTORES_MAX; i++) {
        struct restore *restore = &edge->restores[i];
        struct sb_err err;

        if (!restore->used || now.mono_ms < restore->deadline_ms)
            continue;
        sb_fail(&err, SB_ETIMEOUT, "no answer from the cloud in time");
        finish(restore, 0, 0, &err);
    }
}

int64_t edge_restores_deadline(const struct edge *edge)
{
    int64_t first = INT64_MAX;

    for (int i = 0; i < EDGE_RESTORES_MAX; i++)
        if (edge->restores[i].used && edge->restores[i].deadline_ms < first)
            first = edge->restores[i].deadline_ms;
    return first; /* going again waits for a poll at the latest */
}

static int take(struct edge *edge, const struct restore *restore, struct sb_span data,
                struct sb_now now, int *taken, uint64_t *version, struct sb_err *err)
{
    enum settings_taken what = SETTINGS_ABSENT;
    struct sb_document doc = {0};
    char id[SB_ID_MAX + 1];
    uint64_t as_of = 0;
    int rc = sb_document_decode(data, &doc, id, &as_of, err);

    if (rc == 0)
        rc = outbox_begin(edge->ob, err);
    if (rc == 0) {
        rc = settings_take(edge->ob, restore->user, &doc, as_of, now, edge->rng, &what, err);
        if (rc == 0)
            rc = outbox_commit(edge->ob, err);
        else
            outbox_rollback(edge->ob);
    }
    *taken = (int)what;
    *version = doc.version;
    sb_document_free(&doc);
    return rc;
}

void edge_restores_answer(struct edge *edge, struct sb_span json, struct sb_now now)
{
    struct restore *restore = NULL;
    struct sb_answer answer;
    struct sb_err err = {0};
    uint64_t version = 0;
    int taken = 0;

    if (sb_answer_decode(json, &answer, &err) < 0) {
        log_warn("answer: %s", err.msg);
        return;
    }
    for (int i = 0; i < EDGE_RESTORES_MAX; i++)
        if (edge->restores[i].used && strcmp(edge->restores[i].id, answer.id) == 0)
            restore = &edge->restores[i];
    if (restore == NULL)
        return;
    /* V6: an answer of another boot is dropped and makes a hello due */
    if (strcmp(answer.boot, edge->session.boot) != 0 || answer.code == SB_EHELLO) {
        session_refused(&edge->session, now.mono_ms, pacer_reply_ms(&edge->pacer));
        return;
    }
    if (!answer.success)
        sb_fail(&err, answer.code, "%s", answer.reason);
    else if (take(edge, restore, answer.data, now, &taken, &version, &err) == 0)
        err.code = SB_OK;
    edge->awake = true; /* it may have enqueued an operation */
    finish(restore, taken, version, &err);
}
