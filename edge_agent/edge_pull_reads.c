/* Stale documents, read again by id. */
#include <string.h>

#include "common/log.h"
#include "common/rules.h"
#include "edge_agent/edge_internal.h"

#define LOOK_AT_ONCE 16  /* stale documents looked at in one query */
#define LOOKS_A_STEP 256 /* ... and before others get their turn */

struct candidates {
    struct document_name at[LOOK_AT_ONCE];
    unsigned count;
};

static int add_candidate(void *ctx, const struct document_name *name)
{
    struct candidates *candidates = ctx;

    candidates->at[candidates->count++] = *name;
    return 0;
}

static int found_one(void *ctx, const struct outbox_conflict *conflict)
{
    (void)conflict;
    *(bool *)ctx = true;
    return 1;
}

/* Once nothing of it is pending; of users that are not on this device only what waits to be merged.
 */
static int may_read(struct edge *edge, const struct pull *pull, const struct document_name *name,
                    bool *may, struct sb_err *err)
{
    bool pending = false, waits = true;
    int rc = outbox_document_pending(edge->ob, name, &pending, err);

    if (rc == 0 && !pending && !pull->here) {
        waits = false;
        rc = outbox_conflicts_waiting(edge->ob, name, 0, found_one, &waits, err);
    }
    *may = !pending && waits;
    return rc;
}

/* 1 = asked for, or nothing to ask; 0 = no place is free. */
static int read_one(struct edge *edge, struct pull *pull, const struct document_name *name,
                    struct sb_now now, struct sb_err *err)
{
    struct edge_call *call;
    uint64_t seen = 0;
    bool may = false;
    int rc = may_read(edge, pull, name, &may, err);

    if (rc == 0 && may)
        rc = outbox_document_seen(edge->ob, name, &seen, err);
    if (rc < 0)
        return rc;
    if (!may) {
        pull->blocked++;
    } else {
        if ((call = edge_call_add(edge, CALL_STALE, SB_OP_DOCUMENT_GET, now)) == NULL)
            return 0;
        edge_call_document(call, name);
        call->seen = seen;
        pull->reads++;
        pull->open_reads++;
    }
    memcpy(pull->after, name->id, sizeof(pull->after));
    return 1;
}

static int read_some(struct edge *edge, struct pull *pull, struct sb_now now, bool *more,
                     struct sb_err *err)
{
    struct document_name after = {0};
    struct candidates found = {0};
    int rc;

    memcpy(after.id, pull->after, sizeof(after.id));
    rc = outbox_documents_stale(edge->ob, pull->user, pull->table, &after, LOOK_AT_ONCE,
                                add_candidate, &found, err);
    *more = rc == 0 && found.count > 0;
    pull->reads_end = rc == 0 && found.count == 0;
    for (unsigned i = 0; rc == 0 && *more && i < found.count; i++) {
        rc = read_one(edge, pull, &found.at[i], now, err);
        *more = rc > 0;
        rc = rc < 0 ? rc : 0;
    }
    if (pull->reads >= EDGE_READS_MAX) { /* others have their turn first */
        pull->reads_end = pull->reads_wanted = true;
        *more = false;
    }
    return rc;
}

/* All were asked for. One that cannot be read is tried again later, as a pull that failed. */
static void end_reads(struct edge *edge, struct pull *pull, struct sb_now now)
{
    struct sb_err err;

    if (pull->refused == SB_OK) {
        edge_pull_end(edge, pull, now);
        return;
    }
    sb_fail(&err, pull->refused, "a document of %s cannot be read from the cloud: see the log",
            pull->table);
    edge_pull_fail(edge, pull, &err, now);
}

void edge_pull_read_stale(struct edge *edge, struct pull *pull, struct sb_now now)
{
    bool more = !pull->reads_end && pull->table[0] != '\0' && sb_rule(SB_RULE_REREAD);
    struct sb_err err;
    int rc = 0;

    if (!more && !sb_rule(SB_RULE_REREAD))
        pull->reads_end = true;
    for (unsigned looked = 0; rc == 0 && more && looked < LOOKS_A_STEP; looked += LOOK_AT_ONCE)
        rc = read_some(edge, pull, now, &more, &err);
    if (more)
        edge->awake = true;
    if (rc < 0)
        edge_pull_fail(edge, pull, &err, now);
    else if ((pull->reads_end || pull->table[0] == '\0') && pull->open_reads == 0)
        end_reads(edge, pull, now);
}

/* No answer can carry it: it stays what it is here, and is shown. */
static int give_up(struct edge *edge, const struct document_name *name, struct sb_err *err)
{
    struct outbox_document local;
    int rc = outbox_begin(edge->ob, err);

    if (rc < 0)
        return rc;
    rc = outbox_document_get(edge->ob, name, &local, err);
    local.trouble = SB_ETOO_LARGE;
    local.stale = false;
    if (rc == 0)
        rc = outbox_document_set(edge->ob, name, &local, err);
    if (rc == 0)
        rc = outbox_commit(edge->ob, err);
    else
        outbox_rollback(edge->ob);
    outbox_document_fini(&local);
    return rc;
}

/* Nothing is left of it since it was asked for: its user was purged. */
static int find_gone(struct edge *edge, const struct document_name *name, bool *gone,
                     struct sb_err *err)
{
    struct outbox_document local;
    int rc = outbox_document_get(edge->ob, name, &local, err);

    *gone = rc == 0 && !local.known;
    outbox_document_fini(&local);
    return rc;
}

/* It was answered with an older version than had been seen before it was asked for. No cloud that
 * counts on does that: it was rolled back, and there was no pull of this table since (its user
 * left, auto_sync is off) that would have found the cursor unknown. */
static int forget_rolled_back(struct edge *edge, const struct document_name *name, uint64_t asked,
                              struct sb_err *err)
{
    uint64_t seen;
    int rc = outbox_document_seen(edge->ob, name, &seen, err);

    if (rc < 0 || seen != asked || !sb_rule(SB_RULE_REWIND) || !sb_rule(SB_RULE_LOOSE))
        return rc;
    if ((rc = outbox_begin(edge->ob, err)) < 0)
        return rc;
    if ((rc = outbox_document_unsee(edge->ob, name, err)) == 0)
        return outbox_commit(edge->ob, err);
    outbox_rollback(edge->ob);
    return rc;
}

/* Does it concern this document alone? Then the others of its table are read all the same. */
static bool of_one(const struct sb_answer *answer, const struct sb_err *err)
{
    return sb_code_class(err->code) == SB_REJECT ||
           (!answer->success && answer->code == SB_EINTERNAL);
}

static void note_refused(struct pull *pull, const struct document_name *name,
                         const struct sb_err *err)
{
    if (pull->refused == SB_OK && pull->delay_ms == 0)
        log_warn("user=%s table=%s id=%s cannot be read from the cloud: code=%s %s", name->user,
                 name->table, name->id, sb_code_name(err->code), err->msg);
    if (pull->refused == SB_OK)
        pull->refused = err->code;
}

void edge_pull_answer_stale(struct edge *edge, struct pull *pull, const struct document_name *name,
                            uint64_t seen, const struct sb_answer *answer, struct sb_now now)
{
    enum documents_taken taken = DOCUMENTS_ABSENT;
    struct sb_err err = {0};
    uint64_t version;
    bool gone;
    int rc;

    pull->open_reads -= pull->open_reads > 0;
    rc = find_gone(edge, name, &gone, &err);
    if (rc == 0 && gone)
        return;
    if (rc == 0 && answer->success)
        rc = edge_take_document(edge, name, answer->data, now, &taken, &version, &err);
    else if (rc == 0 && answer->code == SB_ETOO_LARGE)
        rc = give_up(edge, name, &err);
    else if (rc == 0)
        rc = sb_fail(&err, answer->code, "%s", answer->reason);
    if (rc == 0 && taken == DOCUMENTS_OLD)
        rc = forget_rolled_back(edge, name, seen, &err);
    if (rc < 0 && of_one(answer, &err)) {
        note_refused(pull, name, &err);
        return;
    }
    if (rc < 0) {
        edge_pull_fail(edge, pull, &err, now);
        return;
    }
    if (taken == DOCUMENTS_OLD) { /* something newer was answered meanwhile */
        pull->reads_wanted = true;
        pull->not_before_ms = now.mono_ms + pacer_rto(&edge->pacer);
    }
    if (taken == DOCUMENTS_TAKEN || taken == DOCUMENTS_ABSENT) {
        edge->status.taken++;
        edge_round_brought(edge, pull, 0, 1);
    }
}

/* Documents that an operation of their own held back, or that wait to be merged. */
static int want_reads(struct edge *edge, const char *user, const char *table, bool wait)
{
    struct pull *pull = edge_pull_find(edge, edge->pull_count, user, table);

    if (pull == NULL && wait) {
        edge_pull_append(edge, user, table);
        edge_pull_sort(edge);
        pull = edge_pull_find(edge, edge->pull_count, user, table);
    }
    if (pull == NULL || (!pull->here && !wait))
        return 0;
    pull->reads_wanted = true;
    edge->pulls_busy = true;
    return 0;
}

static int want_waiting(void *ctx, const struct document_name *name)
{
    return want_reads(ctx, name->user, name->table, true);
}

void edge_pull_look_for_stale(struct edge *edge)
{
    char user[SB_NAME_MAX + 1] = "", table[SB_NAME_MAX + 1] = "";
    struct sb_err err;
    bool found = true;
    int rc = 0;

    edge->stale_due = false;
    while (rc == 0 && found) {
        rc = outbox_documents_stale_next(edge->ob, user, table, &found, &err);
        if (rc == 0 && found)
            rc = want_reads(edge, user, table, false);
    }
    if (rc == 0)
        rc = outbox_conflict_stale(edge->ob, want_waiting, edge, &err);
    if (rc < 0)
        edge_note_error(edge, &err);
}
