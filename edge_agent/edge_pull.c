/* Reading from the cloud (V5, V6): changes after a cursor page by page, what is stale by its id.
 *
 *   idle ──due──▶ pages: one request at a time, the cursor moves with the last one
 *     ▲             │ no more
 *     │             ▼
 *     └──none left─ reads: stale documents of which nothing is pending, several at a time
 *
 * A failure of any kind ends it; it begins anew after a delay that doubles. */
#include <string.h>

#include "common/log.h"
#include "common/rules.h"
#include "edge_agent/edge_internal.h"

#define MANY_BLOCKED                                                                               \
    64 /* stale documents with operations pending: the next look waits for a poll */

/* ---- beginning and end ---- */

void edge_pull_end(struct edge *edge, struct pull *pull, struct sb_now now)
{
    pull->phase = PULL_IDLE;
    pull->code = SB_OK;
    pull->delay_ms = 0;
    if (pull->blocked > MANY_BLOCKED)
        pull->not_before_ms = now.mono_ms + EDGE_POLL_MS;
    edge->status.last_pull_us = now.wall_us;
    edge_round_pulled(edge, pull, NULL);
}

void edge_pull_fail(struct edge *edge, struct pull *pull, const struct sb_err *err,
                    struct sb_now now)
{
    int64_t least = edge->config.pacer.retry_min_ms, most = edge->config.pacer.retry_max_ms;
    struct sb_err whose;

    sb_fail(&whose, err->code, "user %s: %s", pull->user, err->msg);
    if (pull->delay_ms == 0)
        log_warn("user=%s table=%s cannot be read from the cloud: code=%s %s", pull->user,
                 pull->table, sb_code_name(err->code), err->msg);
    pull->code = err->code;
    edge_pull_drop_calls(edge, pull);
    pull->wanted = pull->wanted || pull->here;
    pull->reads_wanted = true;
    pull->phase = PULL_IDLE;
    pull->delay_ms = pull->delay_ms == 0 ? least : pull->delay_ms * 2;
    pull->delay_ms = pull->delay_ms > most ? most : pull->delay_ms;
    pull->not_before_ms = now.mono_ms + pull->delay_ms;
    edge_round_pulled(edge, pull, &whose);
}

static void begin(struct edge *edge, struct pull *pull, struct sb_now now)
{
    struct sb_err err;
    int rc = 0;

    pull->joined |= pull->joining;
    pull->joining = 0;
    pull->phase = pull->wanted && pull->here ? PULL_PAGES : PULL_READS;
    pull->wanted = pull->reads_wanted = pull->reads_end = false;
    pull->after[0] = '\0';
    pull->reads = pull->open_reads = pull->blocked = 0;
    pull->refused = SB_OK;
    pull->ops_after = pull->ops_next = 0;
    pull->entries_after = 0;
    if (pull->phase == PULL_PAGES && pull->table[0] != '\0')
        rc = edge_pull_start(edge, pull, &err);
    if (rc < 0)
        edge_pull_fail(edge, pull, &err, now);
}

static bool due(const struct pull *pull, struct sb_now now)
{
    return pull->phase == PULL_IDLE && (pull->wanted || pull->reads_wanted) &&
           now.mono_ms >= pull->not_before_ms;
}

static bool is_asked(const struct edge *edge, const struct pull *pull)
{
    for (size_t i = EDGE_REQUESTS_MAX; i < EDGE_CALLS; i++) {
        const struct edge_call *call = &edge->calls[i];

        if ((call->kind == CALL_PAGE || call->kind == CALL_CONFLICTS) &&
            strcmp(call->name.user, pull->user) == 0 && strcmp(call->name.table, pull->table) == 0)
            return true;
    }
    return false;
}

struct edge_call *edge_pull_call(struct edge *edge, enum edge_call_kind kind, const char *op,
                                 const struct pull *pull, struct sb_now now)
{
    struct edge_call *call = edge_call_add(edge, kind, op, now);

    if (call != NULL) {
        memcpy(call->name.user, pull->user, sizeof(call->name.user));
        memcpy(call->name.table, pull->table, sizeof(call->name.table));
    }
    return call;
}

/* ---- what drives it ---- */

static void ask_next(struct edge *edge, struct pull *pull, struct sb_now now)
{
    if (due(pull, now))
        begin(edge, pull, now);
    if (pull->phase != PULL_PAGES || is_asked(edge, pull))
        return;
    if (pull->table[0] == '\0')
        edge_pull_ask_conflicts(edge, pull, now);
    else
        edge_pull_ask_page(edge, pull, now);
}

static bool idle(const struct pull *pull)
{
    return pull->phase == PULL_IDLE && !pull->wanted && !pull->reads_wanted;
}

void edge_forbidden(const struct edge *edge, const char *user, struct sb_err *err)
{
    sb_fail(err, SB_EFORBIDDEN,
            "user %s is not bound to this device in the cloud: cloud_ingest device grant %s %s",
            user, edge->device, user);
}

static void tell_why(const struct edge *edge, const struct pull *pull, struct sb_err *err)
{
    if (pull->code == SB_EFORBIDDEN)
        edge_forbidden(edge, pull->user, err);
    else
        sb_fail(err, pull->code, "user %s: %s cannot be read from the cloud", pull->user,
                pull->table[0] != '\0' ? pull->table : "conflicts");
}

bool edge_pulling(const struct edge *edge, const char *user, struct sb_err *err)
{
    bool busy = false;

    *err = (struct sb_err){.code = SB_OK};
    for (size_t i = 0; i < edge->pull_count; i++) {
        const struct pull *pull = &edge->pulls[i];

        if (!pull->here || (user != NULL && strcmp(pull->user, user) != 0))
            continue;
        busy = busy || !idle(pull);
        if (pull->code != SB_OK && err->code == SB_OK)
            tell_why(edge, pull, err);
    }
    return busy;
}

void edge_pull_step(struct edge *edge, struct sb_now now)
{
    bool busy = false;

    if (edge->pulls_due)
        edge_pulls_look(edge);
    if (edge->stale_due)
        edge_pull_look_for_stale(edge);
    edge_pull_tell(edge, now);
    if (!edge->pulls_busy)
        return;
    for (size_t i = 0; i < edge->pull_count; i++)
        if (!idle(&edge->pulls[i]))
            ask_next(edge, &edge->pulls[i], now);
    for (size_t i = 0; i < edge->pull_count; i++) { /* one table's reads wait for others' pages */
        struct pull *pull = &edge->pulls[i];

        if (pull->phase == PULL_READS)
            edge_pull_read_stale(edge, pull, now);
        busy = busy || !idle(pull);
        if (due(pull, now))
            edge->awake = true; /* it was asked for again meanwhile */
    }
    edge->pulls_busy = busy;
}

/* Copied: what follows may reuse the place. */
void edge_pull_answer(struct edge *edge, struct edge_call *call, const struct sb_answer *answer,
                      struct sb_now now)
{
    const struct document_name name = call->name;
    enum edge_call_kind kind = call->kind;
    const uint64_t seen = call->seen;
    char id[SB_UUID_LEN + 1];
    struct pull *pull;

    memcpy(id, call->id, sizeof(id));
    edge_call_drop(call);
    if (kind == CALL_TELL) {
        edge_pull_answer_tell(edge, id, answer, now);
        return;
    }
    pull = edge_pull_find(edge, edge->pull_count, name.user, name.table);
    if (pull == NULL)
        return;
    if (kind == CALL_PAGE)
        edge_pull_answer_page(edge, pull, answer, now);
    else if (kind == CALL_STALE)
        edge_pull_answer_stale(edge, pull, &name, seen, answer, now);
    else
        edge_pull_answer_conflicts(edge, pull, answer, now);
}

/* ---- what makes a pull due ---- */

static void want(struct edge *edge, struct pull *pull)
{
    pull->wanted = true;
    edge->pulls_busy = true;
}

/* V6: a page position holds within one boot. */
static void turn_back(struct edge *edge, struct pull *pull)
{
    if (pull->phase != PULL_PAGES || pull->table[0] == '\0' || !sb_rule(SB_RULE_END_CURSOR))
        return;
    edge_pull_drop_calls(edge, pull);
    pull->phase = PULL_IDLE;
    pull->joining |= pull->joined;
    pull->joined = 0;
    want(edge, pull);
}

void edge_pull_welcomed(struct edge *edge, const char *boot)
{
    bool other = strcmp(edge->pull_boot, boot) != 0;

    memcpy(edge->pull_boot, boot, sizeof(edge->pull_boot));
    edge_pulls_look(edge);
    for (size_t i = 0; i < edge->pull_count; i++) {
        struct pull *pull = &edge->pulls[i];

        pull->not_before_ms = 0;
        if (other && sb_rule(SB_RULE_REWIND))
            turn_back(edge, pull);
        if (other)
            pull->counter = 0; /* a cloud that was rolled back counts from lower on */
        if (other && pull->here && pull->automatic)
            want(edge, pull);
    }
    edge->tell_not_before_ms = edge->tell_delay_ms = 0;
    edge->tell_due = edge->stale_due = true;
}

static bool is_news(struct edge *edge, const struct pull *pull, uint64_t version)
{
    struct outbox_sync sync;
    struct sb_err err;

    return version == 0 || pull->table[0] == '\0' || pull->phase != PULL_IDLE ||
           outbox_sync_get(edge->ob, pull->user, pull->table, &sync, &err) < 0 ||
           sync.last_server_version < version;
}

void edge_pull_notified(struct edge *edge, const char *user, const char *table, uint64_t version)
{
    for (size_t i = 0; i < edge->pull_count; i++) {
        struct pull *pull = &edge->pulls[i];

        if (!pull->here || !pull->automatic || (user[0] != '\0' && strcmp(user, pull->user) != 0) ||
            (table[0] != '\0' && pull->table[0] != '\0' && strcmp(table, pull->table) != 0))
            continue;
        if (is_news(edge, pull, version))
            want(edge, pull);
    }
    edge->awake = true;
}

/* The user's versions are counted one by one: a number that does not follow the last one known here
 * means that others have written, and perhaps that this very operation was merged. */
void edge_pull_acked(struct edge *edge, const struct document_name *name, uint64_t version)
{
    struct pull *whole = edge_pull_find(edge, edge->pull_count, name->user, "");
    struct pull *pull = edge_pull_find(edge, edge->pull_count, name->user, name->table);

    if (whole == NULL || version <= whole->counter)
        return;
    if (version > whole->counter + 1 && pull != NULL && pull->here && pull->automatic)
        want(edge, pull);
    whole->counter = version;
}

/* ---- told to the application ---- */

void edge_pull_changed(struct edge *edge, const struct document_name *name)
{
    if (edge->changed_count == EDGE_CHANGED_MAX)
        return;
    if (edge->changed == NULL)
        edge->changed = sb_xcalloc(EDGE_CHANGED_MAX, sizeof(*edge->changed));
    edge->changed[edge->changed_count++] = *name;
}

void edge_pull_took(struct edge *edge, const struct document_name *name, enum documents_taken taken)
{
    if (taken == DOCUMENTS_TAKEN || taken == DOCUMENTS_ABSENT)
        edge_pull_changed(edge, name);
    else
        edge->stale_due = true;
}

void edge_pull_tell_changed(struct edge *edge)
{
    size_t count = edge->changed_count;

    edge->changed_count = 0;
    for (size_t i = 0; edge->changed_fn != NULL && i < count; i++)
        edge->changed_fn(edge->changed_ctx, edge->changed[i].user, edge->changed[i].table,
                         edge->changed[i].id);
}
