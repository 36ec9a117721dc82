/* Those who wait for pulls: edge_sync. */
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "edge_agent/edge_internal.h"

static uint32_t bit(size_t round)
{
    return UINT32_C(1) << round;
}

/* ---- asked ---- */

struct asked {
    const char *user, *table; /* NULL = all */
    bool automatic;           /* those only whose auto_sync is on */
};

static bool is_asked(const struct asked *asked, const struct pull *pull)
{
    if (!pull->here || (asked->user != NULL && strcmp(asked->user, pull->user) != 0))
        return false;
    if (asked->table != NULL)
        return strcmp(asked->table, pull->table) == 0;
    return !asked->automatic || pull->automatic;
}

/* All of them are pulled as soon as may be; round: who waits for them, as bits. */
static void want(struct edge *edge, const struct asked *asked, uint32_t round)
{
    for (size_t i = 0; i < edge->pull_count; i++) {
        struct pull *pull = &edge->pulls[i];

        if (!is_asked(asked, pull))
            continue;
        pull->wanted = true;
        pull->joining |= round;
        pull->failed &= ~round;
        pull->not_before_ms = 0;
    }
    edge->pulls_busy = edge->awake = edge->tell_due = true;
    edge->tell_not_before_ms = 0;
}

static int begin_round(struct edge *edge, const struct asked *asked, int64_t timeout_ms,
                       struct sb_now now, edge_synced_fn fn, void *ctx, struct sb_err *err)
{
    struct pull_round *round;
    size_t n = 0;

    while (n < EDGE_SYNCS_MAX && edge->rounds[n].used)
        n++;
    if (n == EDGE_SYNCS_MAX)
        return sb_fail(err, SB_EBUSY, "%d rounds are waiting already", EDGE_SYNCS_MAX);
    edge_pulls_look(edge);
    round = &edge->rounds[n];
    *round = (struct pull_round){
        .used = true, .full = asked->table == NULL && !asked->automatic, .fn = fn, .ctx = ctx};
    snprintf(round->user, sizeof(round->user), "%s", asked->user != NULL ? asked->user : "");
    round->deadline_ms = timeout_ms > 0 ? now.mono_ms + timeout_ms : INT64_MAX;
    want(edge, asked, bit(n));
    return 0;
}

static int find_user(struct edge *edge, const char *user, struct sb_err *err)
{
    bool found = true;
    int rc = user != NULL ? outbox_user_find(edge->ob, user, &found, err) : 0;

    if (rc < 0)
        return rc;
    return found ? 0 : sb_fail(err, SB_ENOT_FOUND, "user %s is not on this device", user);
}

int edge_sync(struct edge *edge, const char *user, const char *table, int64_t timeout_ms,
              struct sb_now now, edge_synced_fn fn, void *ctx, struct sb_err *err)
{
    const struct asked asked = {.user = user, .table = table};
    int rc = find_user(edge, user, err);

    return rc < 0 ? rc : begin_round(edge, &asked, timeout_ms, now, fn, ctx, err);
}

int edge_want(struct edge *edge, const char *user, const char *table, struct sb_err *err)
{
    const struct asked asked = {.user = user, .table = table};
    int rc = find_user(edge, user, err);

    if (rc < 0)
        return rc;
    edge_pulls_look(edge);
    want(edge, &asked, 0);
    return 0;
}

int edge_sync_scheduled(struct edge *edge, int64_t timeout_ms, struct sb_now now, edge_synced_fn fn,
                        void *ctx, struct sb_err *err)
{
    const struct asked asked = {.automatic = true};

    return begin_round(edge, &asked, timeout_ms, now, fn, ctx, err);
}

/* ---- what pulls report ---- */

void edge_round_brought(struct edge *edge, const struct pull *pull, uint64_t changes,
                        uint64_t taken)
{
    for (size_t n = 0; n < EDGE_SYNCS_MAX; n++) {
        if ((pull->joined & bit(n)) == 0)
            continue;
        edge->rounds[n].synced.changes += changes;
        edge->rounds[n].synced.taken += taken;
    }
}

void edge_round_pulled(struct edge *edge, struct pull *pull, const struct sb_err *err)
{
    /* a pull that ends for good takes those with it that wait for the next one */
    uint32_t rounds = err != NULL ? pull->joined | pull->joining : pull->joined;

    for (size_t n = 0; err != NULL && n < EDGE_SYNCS_MAX; n++) {
        if ((rounds & bit(n)) == 0)
            continue;
        pull->failed |= bit(n);
        if (pull->table[0] != '\0')
            edge->rounds[n].synced.failed++;
        if (edge->rounds[n].err.code == SB_OK)
            edge->rounds[n].err = *err;
    }
    pull->joined &= ~rounds;
    pull->joining &= ~rounds;
    if (rounds != 0)
        edge->awake = true; /* a round may have ended */
}

/* ---- ends ---- */

static bool is_joined(const struct edge *edge, size_t n)
{
    for (size_t i = 0; i < edge->pull_count; i++)
        if (((edge->pulls[i].joined | edge->pulls[i].joining) & bit(n)) != 0)
            return true;
    return false;
}

static bool failed_for(const struct edge *edge, size_t n, const char *user)
{
    for (size_t i = 0; i < edge->pull_count; i++)
        if ((edge->pulls[i].failed & bit(n)) != 0 && strcmp(edge->pulls[i].user, user) == 0)
            return true;
    return false;
}

/* A full round of a user ended well. */
static int note_synced(struct edge *edge, size_t n, struct sb_now now, struct sb_err *err)
{
    const struct pull_round *round = &edge->rounds[n];
    int rc = outbox_begin(edge->ob, err);

    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < edge->pull_count; i++) {
        const struct pull *pull = &edge->pulls[i];

        if (pull->table[0] == '\0' && pull->here && !failed_for(edge, n, pull->user) &&
            (round->user[0] == '\0' || strcmp(round->user, pull->user) == 0))
            rc = outbox_user_synced(edge->ob, pull->user, now.wall_us, err);
    }
    if (rc == 0)
        return outbox_commit(edge->ob, err);
    outbox_rollback(edge->ob);
    return rc;
}

static void leave(struct edge *edge, size_t n)
{
    for (size_t i = 0; i < edge->pull_count; i++) {
        edge->pulls[i].joined &= ~bit(n);
        edge->pulls[i].joining &= ~bit(n);
        edge->pulls[i].failed &= ~bit(n);
    }
}

/* The place is free before the caller is told: it may ask for the next round at once. */
static void finish(struct edge *edge, size_t n, const struct sb_err *err)
{
    struct pull_round round = edge->rounds[n];
    struct sb_err ignored;

    (void)outbox_documents_stale_count(edge->ob, &round.synced.stale, &ignored);
    leave(edge, n);
    edge->rounds[n] = (struct pull_round){0};
    if (round.fn != NULL)
        round.fn(round.ctx, &round.synced, err);
}

void edge_rounds_end(struct edge *edge, struct sb_now now)
{
    for (size_t n = 0; n < EDGE_SYNCS_MAX; n++) {
        struct pull_round *round = &edge->rounds[n];
        struct sb_err err = round->err;

        if (!round->used)
            continue;
        if (!is_joined(edge, n)) {
            if (round->full && note_synced(edge, n, now, &err) < 0)
                edge_note_error(edge, &err);
            err = round->err;
            finish(edge, n, &err);
        } else if (now.mono_ms >= round->deadline_ms) {
            sb_fail(&err, SB_ETIMEOUT, "not everything was pulled in time; it goes on");
            finish(edge, n, &err);
        }
    }
}

int64_t edge_rounds_deadline(const struct edge *edge)
{
    int64_t first = INT64_MAX;

    for (size_t n = 0; n < EDGE_SYNCS_MAX; n++)
        if (edge->rounds[n].used && edge->rounds[n].deadline_ms < first)
            first = edge->rounds[n].deadline_ms;
    return first;
}
