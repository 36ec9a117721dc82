/* Full syncs: the scheduler's rounds with what is logged about them, and those that a caller of the
 * socket asks for. */
#include <string.h>

#include "common/json_put.h"
#include "common/json_scan.h"
#include "common/log.h"
#include "edge_agent/agent_internal.h"

#define SYNC_MS 60000 /* of a caller who names no time */

/* ---- figures ---- */

/* Settings and records: what a sync is about. */
static bool is_synced(enum sb_up_class class)
{
    return class == SB_UP_SETTINGS || class == SB_UP_RECORDS;
}

/* Whose, "" = everybody's; of which table, "" = all. (A stream has all tables but the settings.) */
static bool is_meant(const char *user, const char *table, const struct sb_stream *stream)
{
    if (!is_synced(stream->class) || (user[0] != '\0' && strcmp(user, stream->name) != 0))
        return false;
    return table[0] == '\0' ||
           (strcmp(table, SB_TABLE_SETTINGS) == 0) == (stream->class == SB_UP_SETTINGS);
}

/* Operations on their way, not those that a switch keeps here; waiting_only: nor those of streams
 * that wait after a refusal. */
static uint64_t pending_of(const struct agent *agent, const char *user, const char *table,
                           bool waiting_only)
{
    const struct lanes *lanes = edge_lanes(agent->edge);
    uint64_t pending = 0;

    for (size_t i = 0; i < lanes->count; i++) {
        const struct lane *lane = &lanes->at[i];

        if (is_meant(user, table, &lane->stream) && !lane->off &&
            !(waiting_only && lane->park_code != SB_OK))
            pending += lane_pending(lane);
    }
    return pending;
}

static void add_by_class(const struct agent *agent, struct sb_buf *out)
{
    const struct lanes *lanes = edge_lanes(agent->edge);
    uint64_t pending[SB_UP_CLASSES] = {0};
    const char *before = " (";

    for (size_t i = 0; i < lanes->count; i++)
        pending[lanes->at[i].stream.class] += lane_pending(&lanes->at[i]);
    for (int i = 0; i < SB_UP_CLASSES; i++) {
        if (pending[i] == 0)
            continue;
        sb_buf_add_fmt(out, "%s%s %llu", before, sb_up_class_name((enum sb_up_class)i),
                       (unsigned long long)pending[i]);
        before = ", ";
    }
    sb_buf_add_str(out, before[0] == ',' ? ")" : "");
}

/* ---- the scheduler's rounds ---- */

static void round_returned(void *ctx, const struct edge_synced *synced, const struct sb_err *err)
{
    struct agent *agent = ctx;

    agent->round.in_core = false;
    agent->round.synced = *synced;
    agent->round.err = *err;
}

/* A full sync reads again what could not be opened: the keys may be others by now. */
static void retry_trouble(struct agent *agent)
{
    struct sb_err err;
    int rc = outbox_begin(agent->ob, &err);

    if (rc == 0) {
        rc = outbox_documents_retry_trouble(agent->ob, &err);
        if (rc == 0)
            rc = outbox_commit(agent->ob, &err);
        else
            outbox_rollback(agent->ob);
    }
    if (rc != 0)
        sb_log_err("sync", &err);
}

static void ask_core(struct agent *agent, struct sb_now now)
{
    struct agent_round *round = &agent->round;
    struct sb_err err;

    retry_trouble(agent);
    round->again = false;
    round->in_core = true;
    if (edge_sync_scheduled(agent->edge, 0, now, round_returned, agent, &err) == 0)
        return;
    round->in_core = false;
    round->err = err;
}

/* A round that was cut off may still be in the core's hands: it ends there, then the new one begins
 * in full. */
static void begin_round(struct agent *agent, struct sb_now now)
{
    struct agent_round *round = &agent->round;
    bool in_core = round->in_core;

    *round = (struct agent_round){.active = true,
                                  .in_core = in_core,
                                  .again = in_core,
                                  .pending = pending_of(agent, "", "", false)};
    log_debug("sync begins: %s", scheduler_reason_name(agent->scheduler.reason));
    if (!in_core)
        ask_core(agent, now);
}

/* Pulled, and what waited at its beginning answered, or held up by a refusal. */
static bool round_is_over(const struct agent *agent)
{
    const struct agent_round *round = &agent->round;

    return !round->in_core && !round->again &&
           (round->good + round->bad + round->undecided >= round->pending ||
            pending_of(agent, "", "", true) == 0);
}

static void log_round(const struct agent *agent, const char *what)
{
    const struct agent_round *round = &agent->round;
    uint64_t left = pending_of(agent, "", "", false);

    log_info(
        "%s: total=%llu synced=%llu failed=%llu undecided=%llu left=%llu pulled=%llu taken=%llu",
        what, (unsigned long long)(round->good + round->bad + round->undecided + left),
        (unsigned long long)round->good, (unsigned long long)round->bad,
        (unsigned long long)round->undecided, (unsigned long long)left,
        (unsigned long long)round->synced.changes, (unsigned long long)round->synced.taken);
    if (round->err.code != SB_OK)
        sb_log_err("sync", &round->err);
}

static void end_round(struct agent *agent)
{
    char what[32];

    agent->round.active = false;
    if (!agent->scheduler.starting) { /* that one is told by its own step */
        snprintf(what, sizeof(what), "sync (%s)", scheduler_reason_name(agent->scheduler.reason));
        log_round(agent, what);
    }
    scheduler_done(&agent->scheduler);
}

static void log_unfinished(const struct agent *agent)
{
    log_warn("start: not finished after %lld s, it goes on: %s synced=%llu failed=%llu left=%llu",
             (long long)agent->config->startup_sync_timeout / 1000,
             agent->scheduler.online ? "online" : "the cloud does not answer",
             (unsigned long long)agent->round.good, (unsigned long long)agent->round.bad,
             (unsigned long long)pending_of(agent, "", "", false));
}

static void do_step(struct agent *agent, enum scheduler_step step, struct sb_now now)
{
    switch (step) {
    case SCHEDULER_NOTHING:
        break;
    case SCHEDULER_SYNC:
        begin_round(agent, now);
        break;
    case SCHEDULER_STARTED:
        log_round(agent, "start");
        break;
    case SCHEDULER_UNFINISHED:
        log_unfinished(agent);
        break;
    case SCHEDULER_TIMER_ON:
        log_info("timer started (%.10g s)", (double)agent->scheduler.config.interval_ms / 1000);
        break;
    case SCHEDULER_TIMER_OFF:
        log_info("timer stopped");
        break;
    }
}

static void do_steps(struct agent *agent, struct sb_now now)
{
    enum scheduler_step step;

    while ((step = scheduler_step(&agent->scheduler, now.mono_ms)) != SCHEDULER_NOTHING)
        do_step(agent, step, now);
}

static struct scheduler_config scheduler_config(const struct agent *agent)
{
    return (struct scheduler_config){.interval_ms = agent->config->sync_interval,
                                     .startup_timeout_ms = agent->config->startup_sync_timeout};
}

void agent_sync_start(struct agent *agent, struct sb_now now)
{
    const struct scheduler_config config = scheduler_config(agent);
    struct sb_buf by_class = {0};

    sb_buf_add_str(&by_class, "");
    add_by_class(agent, &by_class);
    log_info("start: %llu pending%s", (unsigned long long)lanes_pending(edge_lanes(agent->edge)),
             by_class.data);
    sb_buf_free(&by_class);
    scheduler_init(&agent->scheduler, &config, now.mono_ms);
}

void agent_sync_configure(struct agent *agent, struct sb_now now)
{
    const struct scheduler_config config = scheduler_config(agent);

    scheduler_configure(&agent->scheduler, &config, now.mono_ms);
}

/* A hello on a connection that was welcomed before is no outage. */
static bool is_online(const struct agent *agent, const struct edge_status *status)
{
    return status->welcomed ||
           (agent->scheduler.online && status->connected && status->ingest_online);
}

void agent_sync_turn(struct agent *agent, struct sb_now now)
{
    struct edge_status status;

    edge_status(agent->edge, &status);
    scheduler_online(&agent->scheduler, is_online(agent, &status));
    if (agent->round.again && !agent->round.in_core && status.welcomed)
        ask_core(agent, now);
    if (agent->round.active && round_is_over(agent))
        end_round(agent);
    do_steps(agent, now);
}

int64_t agent_sync_deadline(const struct agent *agent)
{
    return scheduler_deadline(&agent->scheduler);
}

void agent_sync_stop(struct agent *agent, struct sb_now now)
{
    scheduler_stop(&agent->scheduler);
    do_steps(agent, now);
}

/* ---- sync: for a caller ---- */

/* What became of operations: one that lost against another is no failure, it is a conflict, or goes
 * merged as another one. */
static void count_answered(enum sb_result result, uint64_t count, uint64_t *good, uint64_t *bad,
                           uint64_t *undecided)
{
    switch (result) {
    case SB_RESULT_STORED:
    case SB_RESULT_DUPLICATE:
        *good += count;
        break;
    case SB_RESULT_REJECTED:
        *bad += count;
        break;
    case SB_RESULT_CONFLICT:
        *undecided += count;
        break;
    case SB_RESULT_RETRY:
        break;
    }
}

void agent_sync_settled(struct agent *agent, const char *stream, uint64_t count,
                        enum sb_result result)
{
    struct agent_round *round = &agent->round;
    struct sb_stream which;

    if (sb_stream_parse(sb_span_of(stream), &which, NULL) != 0 || !is_synced(which.class))
        return;
    if (round->active)
        count_answered(result, count, &round->good, &round->bad, &round->undecided);
    for (int i = 0; i < AGENT_WAITS_MAX; i++) {
        struct agent_wait *wait = &agent->waits[i];

        if (wait->used && wait->kind == WAIT_SYNC && is_meant(wait->user, wait->table, &which))
            count_answered(result, count, &wait->good, &wait->bad, &wait->undecided);
    }
}

/* Why something is left, as far as anybody knows. */
static void find_cause(const struct agent *agent, const struct agent_wait *wait, struct sb_err *err)
{
    const struct lanes *lanes = edge_lanes(agent->edge);
    struct edge_status status;

    edge_status(agent->edge, &status);
    *err = wait->err;
    if (!status.welcomed && status.last_error.code != SB_OK)
        *err = status.last_error;
    for (size_t i = 0; i < lanes->count && err->code == SB_OK; i++)
        if (is_meant(wait->user, wait->table, &lanes->at[i].stream) &&
            lanes->at[i].park_code != SB_OK)
            sb_fail(err, lanes->at[i].park_code, "%s: %s", lanes->at[i].name,
                    lanes->at[i].park_reason);
}

static void put_cause(struct sb_buf *out, const struct sb_err *err)
{
    if (err->code == SB_OK)
        return;
    sb_put_open(out, "last_error", '{');
    sb_put_text(out, "code", sb_code_name(err->code));
    sb_put_text(out, "message", err->msg);
    sb_put_close(out, '}');
}

static void answer_sync(struct agent *agent, const struct agent_wait *wait)
{
    uint64_t left = pending_of(agent, wait->user, wait->table, false), conflicts = 0;
    struct sb_buf json = {0};
    struct sb_err cause = {0};
    bool good = wait->err.code == SB_OK && left == 0 && wait->bad == 0 && wait->synced.failed == 0;

    (void)outbox_open_conflict_count(agent->ob, wait->user[0] != '\0' ? wait->user : NULL,
                                     &conflicts, NULL);
    if (!good)
        find_cause(agent, wait, &cause);
    sb_put_open(&json, NULL, '{');
    sb_put_bool(&json, "success", good);
    sb_put_u64(&json, "total", wait->good + wait->bad + wait->undecided + left);
    sb_put_u64(&json, "synced", wait->good);
    sb_put_u64(&json, "failed", wait->bad);
    sb_put_u64(&json, "remaining", left);
    sb_put_u64(&json, "pushed", wait->good);
    sb_put_u64(&json, "pulled", wait->synced.changes);
    sb_put_u64(&json, "taken", wait->synced.taken);
    sb_put_u64(&json, "stale", wait->synced.stale);
    sb_put_u64(&json, "failed_tables", wait->synced.failed);
    sb_put_u64(&json, "conflicts", conflicts);
    put_cause(&json, &cause);
    sb_put_close(&json, '}');
    agent_answer(agent, wait->client, &json);
}

static void sync_returned(void *ctx, const struct edge_synced *synced, const struct sb_err *err)
{
    struct agent_wait *wait = ctx;

    wait->in_core = false;
    wait->synced = *synced;
    wait->err = *err;
}

static void detached_returned(void *ctx, const struct edge_synced *synced,
                              const struct sb_err *err);

/* Whom it is for (NULL = all) is pulled at once, also where another round is on its way; that it
 * ended is noted by the round that follows. */
static int begin_detached(struct agent *agent, const char *user, const char *table,
                          struct sb_now now, struct sb_err *err)
{
    struct agent_detached *detached = &agent->detached;
    int rc;

    if (detached->in_core) {
        detached->again = true;
        return edge_want(agent->edge, user, table, err);
    }
    detached->again = false;
    rc = edge_sync(agent->edge, user, table, 0, now, detached_returned, agent, err);
    detached->in_core = rc == 0;
    return rc;
}

static void detached_returned(void *ctx, const struct edge_synced *synced, const struct sb_err *err)
{
    struct agent *agent = ctx;
    struct sb_err trouble;

    log_info("sync (asked for): pulled=%llu taken=%llu", (unsigned long long)synced->changes,
             (unsigned long long)synced->taken);
    if (err->code != SB_OK)
        sb_log_err("sync", err);
    agent->detached.in_core = false;
    if (agent->detached.again && begin_detached(agent, NULL, NULL, sb_clock_now(), &trouble) != 0)
        sb_log_err("sync", &trouble);
}

void agent_sync_check(struct agent_wait *wait, struct sb_now now)
{
    struct agent *agent = wait->agent;

    if (wait->in_core) /* it calls back in time */
        return;
    if (now.mono_ms < wait->deadline_ms && wait->err.code == SB_OK &&
        pending_of(agent, wait->user, wait->table, true) > 0)
        return;
    wait->used = false;
    answer_sync(agent, wait);
}

/* Everything that holds a push up is tried at once. */
static void hurry(struct agent *agent, struct sb_now now)
{
    edge_unpark(agent->edge);
    edge_wake(agent->edge);
    sb_backoff_network_up(&agent->backoff, now.mono_ms);
}

static int read_scope(struct sb_span object, char user[SB_NAME_MAX + 1],
                      char table[SB_NAME_MAX + 1], struct sb_err *err)
{
    struct sb_buf text = {0};
    int rc = 0;

    user[0] = table[0] = '\0';
    if (agent_call_text(object, "user", &text)) {
        if (sb_name_valid(sb_buf_span(&text)))
            memcpy(user, text.data, text.len + 1);
        else
            rc = sb_fail(err, SB_EBAD_ID, "user: not [A-Za-z0-9_-]{1,64}");
    }
    if (rc == 0 && agent_call_text(object, "table", &text)) {
        if (sb_table_valid(sb_buf_span(&text)))
            memcpy(table, text.data, text.len + 1);
        else
            rc = sb_fail(err, SB_EBAD_ID, "table: not [a-z][a-z0-9_]{0,63}");
    }
    sb_buf_free(&text);
    return rc;
}

/* A table that the cloud does not have is a slip of the pen: nothing would be pulled, and all well.
 */
static int check_table(const struct agent *agent, const char *table, struct sb_err *err)
{
    bool known = false, declared = false;
    int rc = 0;

    if (table[0] != '\0' && strcmp(table, SB_TABLE_SETTINGS) != 0)
        rc = outbox_table_declared(agent->ob, table, &known, &declared, err);
    if (rc == 0 && known && !declared)
        rc = sb_fail(err, SB_EUNKNOWN_TABLE, "the cloud has no table '%s'", table);
    return rc;
}

static const char *or_all(const char *name)
{
    return name[0] != '\0' ? name : NULL;
}

static void sync_detached(struct agent *agent, uint64_t client, const char *user, const char *table,
                          struct sb_now now)
{
    struct sb_buf json = {0};
    struct sb_err err;

    retry_trouble(agent);
    edge_wake(agent->edge); /* the user may have been added this moment, by another process */
    if (begin_detached(agent, or_all(user), or_all(table), now, &err) != 0) {
        agent_answer_error(agent, client, &err);
        return;
    }
    sb_put_open(&json, NULL, '{');
    sb_put_bool(&json, "success", true);
    sb_put_close(&json, '}');
    agent_answer(agent, client, &json);
}

void agent_sync_call(struct agent *agent, const struct sb_control_call *call, struct sb_span object)
{
    int64_t timeout_ms = agent_call_seconds(object, "timeout");
    char user[SB_NAME_MAX + 1], table[SB_NAME_MAX + 1];
    struct sb_now now = sb_clock_now();
    struct agent_wait *wait;
    struct sb_span detach;
    struct sb_err err;

    if (read_scope(object, user, table, &err) != 0 || check_table(agent, table, &err) != 0) {
        agent_answer_error(agent, call->client, &err);
        return;
    }
    agent_control_commit(agent, now);
    if (sb_json_get(object, "detach", &detach) && sb_span_is(detach, "true")) {
        sync_detached(agent, call->client, user, table, now);
        return;
    }
    timeout_ms = timeout_ms > 0 ? timeout_ms : SYNC_MS;
    wait = agent_wait_new(agent, WAIT_SYNC, call->client, timeout_ms);
    if (wait == NULL)
        return;
    memcpy(wait->user, user, sizeof(user));
    memcpy(wait->table, table, sizeof(table));
    hurry(agent, now);
    retry_trouble(agent);
    wait->in_core = true;
    if (edge_sync(agent->edge, or_all(user), or_all(table), timeout_ms, now, sync_returned, wait,
                  &err) != 0) {
        wait->used = false;
        agent_answer_error(agent, call->client, &err);
    }
}
