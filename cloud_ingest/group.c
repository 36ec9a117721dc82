#include "group.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"

#define RENEWALS 3 /* of the boot id for one group; more means that somebody swaps databases */

struct group {
    size_t max_rows, max_bytes;
    int64_t max_ms;
    const struct group_ops *ops;
    void *ctx;
    struct group_message *first, **last;
    size_t count, bytes;
    int64_t since_ms; /* when the first one came */
    struct group_figures figures;
};

struct group *group_new(size_t max_rows, size_t max_bytes, int64_t max_ms,
                        const struct group_ops *ops, void *ctx)
{
    struct group *group = sb_xcalloc(1, sizeof(*group));

    group->max_rows = max_rows;
    group->max_bytes = max_bytes;
    group->max_ms = max_ms;
    group->ops = ops;
    group->ctx = ctx;
    group->last = &group->first;
    return group;
}

static size_t bytes_of(const struct group_message *message)
{
    return strlen(message->topic) + message->payload.len + message->correlation.len;
}

static void free_message(struct group_message *message)
{
    free(message->topic);
    sb_buf_free(&message->payload);
    sb_buf_free(&message->correlation);
    free(message);
}

/* Takes the messages before `end` out and frees them. */
static void forget_until(struct group *group, const struct group_message *end)
{
    while (group->first != end) {
        struct group_message *message = group->first;

        group->first = message->next;
        group->count--;
        group->bytes -= bytes_of(message);
        free_message(message);
    }
    if (group->first == NULL)
        group->last = &group->first;
}

void group_free(struct group *group)
{
    if (group == NULL)
        return;
    forget_until(group, NULL);
    free(group);
}

void group_add(struct group *group, const char *topic, struct sb_span payload,
               struct sb_span correlation, int64_t now_ms)
{
    struct group_message *message = sb_xcalloc(1, sizeof(*message));

    message->topic = sb_xstrdup(topic);
    sb_buf_add_span(&message->payload, payload);
    sb_buf_add_span(&message->correlation, correlation);
    if (group->first == NULL)
        group->since_ms = now_ms;
    *group->last = message;
    group->last = &message->next;
    group->count++;
    group->bytes += bytes_of(message);
}

bool group_full(const struct group *group)
{
    return group->bytes >= group->max_bytes;
}

bool group_due(const struct group *group, int64_t now_ms)
{
    return group->first != NULL && (group_full(group) || now_ms >= group_deadline(group));
}

int64_t group_deadline(const struct group *group)
{
    return group->first != NULL ? group->since_ms + group->max_ms : INT64_MAX;
}

size_t group_waiting(const struct group *group)
{
    return group->count;
}

const struct group_figures *group_figures(const struct group *group)
{
    return &group->figures;
}

/* ---- one transaction ---- */

struct attempt {
    struct group_message *end;  /* first message that was not part of it */
    struct group_message *last; /* of those that were; where it failed, unless in COMMIT */
    size_t messages;
    bool in_commit; /* it failed there */
};

/* Applies messages from `first` on and commits: those before `stop`, or where that is NULL as many
 * as the bound on records allows. */
static int attempt(struct group *group, struct group_message *first,
                   const struct group_message *stop, struct attempt *a, struct sb_err *err)
{
    size_t rows = 0, more;
    int rc = group->ops->begin(group->ctx, err);

    *a = (struct attempt){.end = first};
    while (rc == 0 && a->end != stop &&
           (stop != NULL || a->end == first || rows < group->max_rows)) {
        more = 0;
        rc = group->ops->apply(group->ctx, a->end, &more, err);
        a->last = a->end;
        a->end = a->end->next;
        a->messages++;
        rows += more;
    }
    if (rc == 0) {
        rc = group->ops->commit(group->ctx, err);
        a->in_commit = rc != 0;
    }
    if (rc != 0) {
        group->figures.commit_failures += a->in_commit;
        group->ops->undo(group->ctx);
        return rc;
    }
    group->figures.commits++;
    if (a->messages > group->figures.largest)
        group->figures.largest = a->messages;
    group->ops->done(group->ctx);
    return 0;
}

/* Failures that are nobody's in particular. */
static bool is_everybodys(int rc)
{
    return rc == -SB_EBUSY || rc == -SB_EDISK_FULL || rc == -SB_EREAD_ONLY || rc == -SB_EIO ||
           rc == -SB_ECORRUPT;
}

static int with_renewal(struct group *group, struct group_message *first,
                        const struct group_message *stop, struct attempt *a, struct sb_err *err)
{
    int rc = attempt(group, first, stop, a, err);

    for (int i = 0; rc == -SB_EHELLO && i < RENEWALS; i++) {
        rc = group->ops->renew(group->ctx, err);
        if (rc == 0)
            rc = attempt(group, first, stop, a, err);
    }
    return rc;
}

static void refuse(struct group *group, struct group_message *from, const struct group_message *to,
                   enum sb_code code, const char *reason)
{
    for (; from != to; from = from->next)
        group->ops->refuse(group->ctx, from, code, reason);
    group->ops->done(group->ctx);
}

static void run_alone(struct group *group, struct group_message *message)
{
    struct attempt a;
    struct sb_err err;
    int rc = with_renewal(group, message, message->next, &a, &err);

    if (rc == 0)
        return;
    sb_log_err("message refused", &err);
    if (a.in_commit && !is_everybodys(rc))
        group->figures.unanswered++; /* nobody knows what became of it: it will come again */
    else if (is_everybodys(rc))
        refuse(group, message, message->next, SB_EBUSY, err.msg);
    else
        refuse(group, message, message->next, rc == -SB_ELIMIT ? SB_ELIMIT : SB_EINTERNAL, err.msg);
}

static void run_each(struct group *group, const struct group_message *end)
{
    for (struct group_message *message = group->first; message != end; message = message->next)
        run_alone(group, message);
}

/* Those before the culprit went through: they share a commit again, so that no sender can take that
 * from all others. */
static void run_before(struct group *group, const struct group_message *culprit)
{
    struct attempt a;
    struct sb_err err;
    int rc = group->first != culprit ? with_renewal(group, group->first, culprit, &a, &err) : 0;

    if (rc == 0)
        return;
    sb_log_err("transaction without the one that failed", &err);
    if (is_everybodys(rc))
        refuse(group, group->first, culprit, SB_EBUSY, err.msg);
    else
        run_each(group, culprit);
}

static int run_some(struct group *group, struct sb_err *err)
{
    struct attempt a;
    int rc = with_renewal(group, group->first, NULL, &a, err);

    if (rc != 0 && (is_everybodys(rc) || a.messages == 0))
        a.end = NULL; /* those behind it would fare no better */
    if (rc != 0 && is_everybodys(rc)) {
        sb_log_err("transaction", err);
        refuse(group, group->first, a.end, SB_EBUSY, err->msg);
    } else if (rc != 0) {
        group->figures.reruns++;
        sb_log_err("transaction, run again", err);
        if (a.in_commit || a.last == NULL) {
            run_each(group, a.end);
        } else {
            run_before(group, a.last);
            run_alone(group, a.last);
        }
    }
    forget_until(group, a.end);
    return rc == -SB_ECORRUPT ? rc : 0;
}

int group_run(struct group *group, struct sb_err *err)
{
    struct sb_err own;
    int rc = 0;

    if (err == NULL)
        err = &own;
    while (rc == 0 && group->first != NULL)
        rc = run_some(group, err);
    return rc;
}
