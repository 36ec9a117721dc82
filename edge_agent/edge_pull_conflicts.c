/* Conflicts: what somebody decided in the cloud, and what the cloud is told. */
#include <string.h>

#include "common/log.h"
#include "common/request_conflicts.h"
#include "edge_agent/edge_internal.h"

/* ---- open conflicts that somebody decided in the cloud ---- */

void edge_pull_ask_conflicts(struct edge *edge, struct pull *pull, struct sb_now now)
{
    struct sb_conflicts_args args = {.limit = SB_CONFLICTS_MAX, .after = pull->entries_after};
    struct edge_call *call;
    struct sb_err err;
    int rc;

    pull->ops_next = pull->ops_after;
    rc = outbox_conflict_ops(edge->ob, pull->user, &pull->ops_next, &args.ops, &err);
    if (rc < 0) {
        edge_pull_fail(edge, pull, &err, now);
    } else if (args.ops.count == 0) {
        pull->phase = PULL_READS; /* of which there are none */
        edge_pull_end(edge, pull, now);
    } else if ((call = edge_pull_call(edge, CALL_CONFLICTS, SB_OP_CONFLICTS_LIST, pull, now)) !=
               NULL) {
        sb_conflicts_args_encode(&args, &call->args);
    }
    sb_op_list_free(&args.ops);
}

static int close_decided(struct edge *edge, const struct sb_conflicts *conflicts, struct sb_now now,
                         struct sb_err *err)
{
    int rc = outbox_begin(edge->ob, err);

    if (rc < 0)
        return rc;
    rc = documents_resolved_there(edge->ob, conflicts, now.wall_us, err);
    if (rc == 0)
        return outbox_commit(edge->ob, err);
    outbox_rollback(edge->ob);
    return rc;
}

void edge_pull_answer_conflicts(struct edge *edge, struct pull *pull,
                                const struct sb_answer *answer, struct sb_now now)
{
    struct sb_conflicts conflicts;
    struct sb_err err = {0};
    int rc;

    sb_conflicts_init(&conflicts);
    if (!answer->success)
        rc = sb_fail(&err, answer->code, "%s", answer->reason);
    else if ((rc = sb_conflicts_decode(answer->data, &conflicts, &err)) == 0)
        rc = close_decided(edge, &conflicts, now, &err);
    if (rc < 0) {
        edge_pull_fail(edge, pull, &err, now);
    } else if (conflicts.has_more && conflicts.count > 0) {
        pull->entries_after = conflicts.list[conflicts.count - 1].id;
    } else {
        pull->entries_after = 0;
        pull->ops_after = pull->ops_next;
    }
    sb_conflicts_free(&conflicts);
}

/* ---- decisions that the cloud is told ---- */

static bool is_telling(const struct edge *edge)
{
    for (size_t i = EDGE_REQUESTS_MAX; i < EDGE_CALLS; i++)
        if (edge->calls[i].kind == CALL_TELL)
            return true;
    return false;
}

/* All were asked about, and some were refused: again later, and ever later. */
static void tell_later(struct edge *edge, struct sb_now now)
{
    int64_t least = edge->config.pacer.retry_min_ms, most = edge->config.pacer.retry_max_ms;

    edge->tell_delay_ms = edge->tell_delay_ms == 0 ? least : edge->tell_delay_ms * 2;
    edge->tell_delay_ms = edge->tell_delay_ms < most ? edge->tell_delay_ms : most;
    edge->tell_not_before_ms = now.mono_ms + edge->tell_delay_ms;
    edge->tell_after[0] = '\0';
}

void edge_pull_tell(struct edge *edge, struct sb_now now)
{
    struct outbox_telling telling;
    struct sb_resolve_args args = {0};
    struct edge_call *call;
    struct sb_err err;
    bool found = false;

    if (!edge->tell_due || is_telling(edge) || now.mono_ms < edge->tell_not_before_ms)
        return;
    if (outbox_next_telling(edge->ob, edge->tell_after, &telling, &found, &err) < 0) {
        edge_note_error(edge, &err);
        edge->tell_due = false;
    } else if (!found) { /* those that were refused are tried again later */
        edge->tell_due = edge->tell_after[0] != '\0';
        if (edge->tell_due)
            tell_later(edge, now);
    } else if ((call = edge_call_add(edge, CALL_TELL, SB_OP_CONFLICTS_RESOLVE, now)) != NULL) {
        memcpy(call->id, telling.ask, sizeof(call->id));
        memcpy(call->name.user, telling.user, sizeof(call->name.user));
        args.ops = telling.ops;
        args.choice = telling.choice;
        sb_resolve_args_encode(&args, &call->args);
    }
    sb_op_list_free(&telling.ops);
}

static int note_told(struct edge *edge, const char *ask, const struct sb_answer *answer,
                     struct sb_err *err)
{
    struct sb_receipt *receipt = &edge->receipt;
    bool higher = answer->commit > 0 && strcmp(receipt->boot, answer->boot) == 0 &&
                  answer->commit > receipt->commit;
    int rc = outbox_begin(edge->ob, err);

    if (rc < 0)
        return rc;
    rc = outbox_told(edge->ob, ask, err);
    if (rc == 0 && higher)
        rc = outbox_receipt_set(edge->ob, answer->boot, answer->commit, err);
    if (rc == 0)
        rc = outbox_commit(edge->ob, err);
    else
        outbox_rollback(edge->ob);
    if (rc == 0 && higher)
        receipt->commit = answer->commit;
    return rc;
}

void edge_pull_answer_tell(struct edge *edge, const char *ask, const struct sb_answer *answer,
                           struct sb_now now)
{
    struct sb_err err;

    if (!answer->success && sb_code_class(answer->code) == SB_RETRY) {
        memcpy(edge->tell_after, ask, SB_UUID_LEN + 1);
        return;
    }
    if (!answer->success)
        log_warn("the cloud does not take a decision: code=%s %s", sb_code_name(answer->code),
                 answer->reason);
    edge->tell_delay_ms = 0;
    if (note_told(edge, ask, answer, &err) < 0) {
        edge_note_error(edge, &err);
        edge->tell_not_before_ms = now.mono_ms + EDGE_POLL_MS;
    }
}
