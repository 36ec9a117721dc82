/* The daemon's side of the control socket. Puts of one turn of the loop share a commit and are
 * answered after it; the verbs about documents are calls.h's. */
#include <string.h>

#include "common/check.h"
#include "common/json_put.h"
#include "common/json_scan.h"
#include "edge_agent/agent_internal.h"
#include "edge_agent/status.h"

/* ---- answers ---- */

static void begin_receipt(struct sb_buf *json, const struct enqueue_receipt *receipt)
{
    sb_put_open(json, NULL, '{');
    sb_put_bool(json, "success", true);
    calls_add_receipt(json, receipt);
}

static void answer_put(struct agent *agent, uint64_t client, const struct enqueue_receipt *receipt)
{
    struct sb_buf json = {0};

    begin_receipt(&json, receipt);
    sb_buf_add_char(&json, '}');
    agent_answer(agent, client, &json);
}

/* synced: in the cloud. cached: on its way, or given up into the dead letter or the conflicts. at:
 * when the cloud committed it, "" where nobody knows. */
static void answer_waited(struct agent *agent, const struct agent_wait *wait, const char *result,
                          bool synced, bool cached, const char *message, const char *at)
{
    struct sb_buf json = {0};

    begin_receipt(&json, &wait->receipt);
    sb_put_bool(&json, "synced", synced);
    sb_put_bool(&json, "cached", cached);
    if (wait->receipt.op_id[0] != '\0')
        sb_put_text(&json, "task_id", wait->receipt.op_id);
    if (result != NULL)
        sb_put_text(&json, "result", result);
    else if (wait->receipt.queued)
        sb_put_null(&json, "result");
    sb_put_text_or_null(&json, "updated_at", at);
    sb_put_text(&json, "message", message);
    sb_put_close(&json, '}');
    agent_answer(agent, wait->client, &json);
}

static void answer_from(struct agent *agent, const struct agent_wait *wait,
                        const struct answer *answer)
{
    bool good = answer->result == SB_RESULT_STORED || answer->result == SB_RESULT_DUPLICATE;

    answer_waited(agent, wait, sb_result_name(answer->result), good, false,
                  good ? "synced" : answer->reason, answer->at);
}

void agent_control_settled(void *ctx, const char *epoch, const char *stream, uint64_t lo,
                           uint64_t hi, enum sb_result result, enum sb_code code,
                           const char *reason, const char *at)
{
    struct agent *agent = ctx;
    struct answer answer = {.lo = lo, .hi = hi, .result = result};

    if (code != SB_OK && reason[0] == '\0')
        reason = sb_code_name(code);
    snprintf(answer.epoch, sizeof(answer.epoch), "%s", epoch);
    snprintf(answer.stream, sizeof(answer.stream), "%s", stream);
    snprintf(answer.reason, sizeof(answer.reason), "%s", reason);
    snprintf(answer.at, sizeof(answer.at), "%s", at);
    answers_add(&agent->answers, &answer);
    agent_sync_settled(agent, stream, hi - lo + 1, result);
    for (int i = 0; i < AGENT_WAITS_MAX; i++) {
        struct agent_wait *wait = &agent->waits[i];

        if (!wait->used || wait->kind != WAIT_SETTLED || wait->receipt.seq < lo ||
            wait->receipt.seq > hi || strcmp(wait->receipt.epoch, epoch) != 0 ||
            strcmp(wait->stream, stream) != 0)
            continue;
        wait->used = false;
        answer_from(agent, wait, &answer);
    }
}

/* ---- put ---- */

static struct calls calls_of(struct agent *agent)
{
    return (struct calls){.ob = agent->ob,
                          .eq = agent->enqueue,
                          .rng = &agent->rng,
                          .device = agent->config->device,
                          .mappings = agent->config->mappings};
}

static int enqueue_call(struct agent *agent, struct sb_span call, struct agent_put *put,
                        struct sb_err *err)
{
    struct sb_buf stream_text = {0}, id = {0};
    struct sb_now now = sb_clock_now();
    struct sb_stream stream;
    struct sb_span record;
    int rc;

    if (!agent_call_text(call, "stream", &stream_text) || !sb_json_get(call, "record", &record))
        rc = sb_fail(err, SB_EMISSING_FIELD, "put: stream and record are required");
    else
        rc = sb_stream_parse(sb_buf_span(&stream_text), &stream, err);
    agent_call_text(call, "id", &id);
    if (rc == 0 && stream.class == SB_UP_SETTINGS)
        rc = enqueue_settings(agent->enqueue, stream.name, record, sb_buf_span(&id), now,
                              &agent->rng, &put->receipt, err);
    else if (rc == 0)
        rc = enqueue_record(agent->enqueue, &stream, record, sb_buf_span(&id), now, &put->receipt,
                            err);
    sb_buf_free(&stream_text);
    sb_buf_free(&id);
    return rc;
}

static void fail_all_puts(struct agent *agent, const struct sb_err *err)
{
    for (size_t i = 0; i < agent->put_count; i++)
        agent_answer_error(agent, agent->puts[i].client, err);
    agent->put_count = 0;
}

/* Did this failure take the group with it? (What is refused leaves it as it was. With nothing in it
 * there is nothing to lose: repeats of what is on disk already.) */
static bool group_is_lost(const struct agent *agent, size_t open_before)
{
    return open_before > 0 && enqueue_open_records(agent->enqueue) == 0;
}

/* document: a call of calls.h, else a record of a stream. */
static void call_put(struct agent *agent, const struct sb_control_call *call, struct sb_span object,
                     bool document)
{
    const struct calls calls = calls_of(agent);
    struct agent_put *put;
    struct sb_err err;
    size_t open;
    int rc;

    if (agent->put_count == AGENT_PUTS_MAX)
        agent_control_commit(agent, sb_clock_now());
    open = enqueue_open_records(agent->enqueue);
    put = &agent->puts[agent->put_count];
    *put =
        (struct agent_put){.client = call->client, .wait_ms = agent_call_seconds(object, "wait")};
    rc = document ? calls_put(&calls, object, sb_clock_now(), &put->receipt, &err)
                  : enqueue_call(agent, object, put, &err);
    if (rc == 0) {
        agent->put_count++;
        return;
    }
    agent_answer_error(agent, call->client, &err);
    if (group_is_lost(agent, open))
        fail_all_puts(agent, &err);
}

static void wait_or_answer(struct agent *agent, const struct agent_put *put)
{
    struct agent_wait *wait;

    if (put->wait_ms == 0 || !put->receipt.queued) {
        answer_put(agent, put->client, &put->receipt);
        return;
    }
    wait = agent_wait_new(agent, WAIT_SETTLED, put->client, put->wait_ms);
    if (wait == NULL)
        return;
    wait->receipt = put->receipt;
    sb_stream_print(&put->receipt.stream, wait->stream);
}

void agent_control_commit(struct agent *agent, struct sb_now now)
{
    struct sb_err err;

    (void)now;
    if (agent->put_count == 0) {
        enqueue_rollback(agent->enqueue); /* a call that was refused may have begun it */
        return;
    }
    if (enqueue_commit(agent->enqueue, &err) < 0) {
        fail_all_puts(agent, &err);
        return;
    }
    for (size_t i = 0; i < agent->put_count; i++)
        wait_or_answer(agent, &agent->puts[i]);
    agent->put_count = 0;
    edge_wake(agent->edge);
}

/* ---- wait: for a number that another process enqueued ---- */

struct refusal {
    const struct agent_wait *wait;
    struct sb_buf reason;
};

static int take_reason(void *ctx, const struct outbox_dead *dead)
{
    struct refusal *refusal = ctx;
    const struct agent_wait *wait = refusal->wait;

    if (dead->seq == wait->receipt.seq && strcmp(dead->stream, wait->stream) == 0 &&
        strcmp(dead->epoch, wait->receipt.epoch) == 0)
        sb_buf_add_span(&refusal->reason, dead->reason);
    return 0;
}

/* Given up long before anybody waited for it: it lies in the dead letter, in the conflicts, or in
 * neither any more. */
static void answer_refused(struct agent *agent, const struct lane *lane,
                           const struct agent_wait *wait)
{
    struct refusal refusal = {.wait = wait};
    char op_id[SB_ID_MAX + 1];
    bool conflict = false;
    struct sb_err err;

    if (outbox_dead_list(agent->ob, 0, false, take_reason, &refusal, &err) < 0 ||
        (refusal.reason.len == 0 &&
         outbox_given_up(agent->ob, lane->s, wait->receipt.seq, &conflict, op_id, &err) < 0))
        sb_log_err("what was refused before", &err);
    if (conflict)
        answer_waited(agent, wait, "conflict", false, false,
                      "in conflict before: see edge_agent conflicts list", "");
    else
        answer_waited(agent, wait, "rejected", false, false,
                      refusal.reason.len > 0 ? refusal.reason.data : "refused before", "");
    sb_buf_free(&refusal.reason);
}

/* False when nobody has answered it yet. */
static bool answer_settled(struct agent *agent, struct agent_wait *wait)
{
    const struct lane *lane =
        lanes_find_named(edge_lanes(agent->edge), wait->receipt.epoch, wait->stream);
    const struct answer *answer;

    if (lane == NULL || !sb_ranges_has(&lane->settled, wait->receipt.seq))
        return false;
    answer = answers_find(&agent->answers, wait->receipt.epoch, wait->stream, wait->receipt.seq);
    if (answer != NULL)
        answer_from(agent, wait, answer);
    else if (sb_ranges_has(&lane->refused, wait->receipt.seq))
        answer_refused(agent, lane, wait);
    else
        answer_waited(agent, wait, "stored", true, false, "synced", "");
    wait->used = false;
    return true;
}

static int read_wait(struct sb_span object, struct agent_wait *wait, struct sb_err *err)
{
    struct sb_buf text = {0};
    struct sb_span seq;
    int rc = 0;

    wait->receipt.queued = true;
    if (!agent_call_text(object, "stream", &text) ||
        (rc = sb_stream_parse(sb_buf_span(&text), &wait->receipt.stream, err)) < 0)
        rc = rc < 0 ? rc : sb_fail(err, SB_EMISSING_FIELD, "wait: stream");
    if (rc == 0 && (!agent_call_text(object, "epoch", &text) || text.len != SB_EPOCH_LEN))
        rc = sb_fail(err, SB_EMISSING_FIELD, "wait: epoch");
    else if (rc == 0)
        memcpy(wait->receipt.epoch, text.data, SB_EPOCH_LEN + 1);
    if (rc == 0 && (!sb_json_get(object, "seq", &seq) || !sb_json_u64(seq, &wait->receipt.seq)))
        rc = sb_fail(err, SB_EMISSING_FIELD, "wait: seq");
    if (rc == 0 && agent_call_text(object, "op_id", &text) && text.len <= SB_ID_MAX)
        memcpy(wait->receipt.op_id, text.data, text.len + 1);
    sb_stream_print(&wait->receipt.stream, wait->stream);
    sb_buf_free(&text);
    return rc;
}

static void call_wait(struct agent *agent, const struct sb_control_call *call,
                      struct sb_span object)
{
    struct agent_wait *wait =
        agent_wait_new(agent, WAIT_SETTLED, call->client, agent_call_seconds(object, "timeout"));
    struct sb_err err;

    if (wait == NULL)
        return;
    if (read_wait(object, wait, &err) < 0) {
        wait->used = false;
        agent_answer_error(agent, call->client, &err);
        return;
    }
    if (!answer_settled(agent, wait))
        edge_wake(agent->edge);
}

/* ---- flush ---- */

static void flush_figures(const struct agent *agent, uint64_t *pending, uint64_t *good,
                          uint64_t *bad)
{
    struct edge_status status;

    edge_status(agent->edge, &status);
    *pending = status.pending;
    *good = status.stored + status.duplicate + status.revised;
    *bad = status.rejected + status.conflict;
}

static void answer_flush(struct agent *agent, const struct agent_wait *wait)
{
    struct sb_buf json = {0};
    struct edge_status status;
    uint64_t pending, good, bad;

    edge_status(agent->edge, &status);
    flush_figures(agent, &pending, &good, &bad);
    good -= wait->good;
    bad -= wait->bad;
    sb_buf_add_fmt(&json,
                   "{\"success\":%s,\"total\":%llu,\"synced\":%llu,\"failed\":%llu,"
                   "\"sent\":%llu,\"remaining\":%llu",
                   pending == 0 ? "true" : "false", (unsigned long long)(good + bad + pending),
                   (unsigned long long)good, (unsigned long long)bad,
                   (unsigned long long)(good + bad), (unsigned long long)pending);
    if (pending > 0 && !status.welcomed && status.last_error.code != SB_OK) {
        sb_buf_add_fmt(&json, ",\"last_error\":{\"code\":\"%s\",\"message\":",
                       sb_code_name(status.last_error.code));
        sb_buf_add_json(&json, sb_span_of(status.last_error.msg));
        sb_buf_add_char(&json, '}');
    }
    sb_buf_add_char(&json, '}');
    agent_answer(agent, wait->client, &json);
}

static void call_flush(struct agent *agent, const struct sb_control_call *call,
                       struct sb_span object)
{
    int64_t timeout = agent_call_seconds(object, "timeout");
    struct agent_wait *wait =
        agent_wait_new(agent, WAIT_FLUSH, call->client, timeout > 0 ? timeout : 60000);

    if (wait == NULL)
        return;
    flush_figures(agent, &wait->pending, &wait->good, &wait->bad);
    edge_unpark(agent->edge);
    edge_wake(agent->edge);
    sb_backoff_network_up(&agent->backoff, sb_clock_now().mono_ms);
}

/* ---- status, hello ---- */

static void call_status(struct agent *agent, const struct sb_control_call *call,
                        struct sb_span object)
{
    struct sb_buf json = {0}, user = {0};
    struct sb_err err;
    int rc = 0;

    if (agent_call_text(object, "user", &user) && !sb_name_valid(sb_buf_span(&user)))
        rc = sb_fail(&err, SB_EBAD_ID, "user: not [A-Za-z0-9_-]{1,64}");
    if (rc == 0)
        rc = status_print(agent->ob, agent->config->device, user.len > 0 ? user.data : NULL,
                          agent->edge, sb_clock_now(), &json, &err);
    sb_buf_free(&user);
    if (rc < 0) {
        sb_buf_free(&json);
        agent_answer_error(agent, call->client, &err);
        return;
    }
    agent_answer(agent, call->client, &json);
}

static void call_hello(struct agent *agent, const struct sb_control_call *call)
{
    struct sb_buf json = {0};

    edge_ask_hello(agent->edge);
    sb_buf_add_str(&json, "{\"success\":true}");
    agent_answer(agent, call->client, &json);
}

/* ---- documents, users and conflicts ---- */

static void call_documents(struct agent *agent, const struct sb_control_call *call,
                           struct sb_span object, bool changes)
{
    const struct calls calls = calls_of(agent);
    struct sb_buf json = {0};
    struct sb_err err;

    if (changes) /* it commits by itself: what others put is not for its failure to undo */
        agent_control_commit(agent, sb_clock_now());
    if (calls_run(&calls, object, sb_clock_now(), &json, &err) == 0) {
        agent_answer(agent, call->client, &json);
        if (changes)
            edge_wake(agent->edge);
        return;
    }
    sb_buf_free(&json);
    agent_answer_error(agent, call->client, &err);
}

/* ---- dispatch ---- */

static void answer_unknown(struct agent *agent, uint64_t client)
{
    struct sb_err err;

    sb_fail(&err, SB_EUNKNOWN_OP,
            "verb is none of put, wait, flush, sync, status, hello, reload, settings.restore,"
            " cloud.version, cloud.versions, document.*, user.*, conflict.*");
    agent_answer_error(agent, client, &err);
}

void agent_control_call(void *ctx, const struct sb_control_call *call)
{
    struct agent *agent = ctx;
    struct sb_span object, verb;
    struct sb_err err;

    if (sb_json_check(call->line, &calls_limits, &object, &err) < 0) {
        agent_answer_error(agent, call->client, &err);
        return;
    }
    if (sb_json_type_of(object) != SB_JSON_OBJECT || !sb_json_get(object, "verb", &verb))
        verb = (struct sb_span){"", 0};
    if (sb_span_is(verb, "\"put\""))
        call_put(agent, call, object, false);
    else if (sb_span_is(verb, "\"document.put\""))
        call_put(agent, call, object, true);
    else if (calls_knows(verb))
        call_documents(agent, call, object, calls_changes(verb));
    else if (sb_span_is(verb, "\"wait\""))
        call_wait(agent, call, object);
    else if (sb_span_is(verb, "\"flush\""))
        call_flush(agent, call, object);
    else if (sb_span_is(verb, "\"sync\""))
        agent_sync_call(agent, call, object);
    else if (sb_span_is(verb, "\"settings.restore\""))
        agent_cloud_restore(agent, call, object);
    else if (sb_span_is(verb, "\"cloud.version\""))
        agent_cloud_read(agent, call, object, false);
    else if (sb_span_is(verb, "\"cloud.versions\""))
        agent_cloud_read(agent, call, object, true);
    else if (sb_span_is(verb, "\"status\""))
        call_status(agent, call, object);
    else if (sb_span_is(verb, "\"hello\""))
        call_hello(agent, call);
    else if (sb_span_is(verb, "\"reload\""))
        agent_reload_call(agent, call);
    else
        answer_unknown(agent, call->client);
}

/* ---- timers ---- */

void agent_control_timers(struct agent *agent, struct sb_now now)
{
    uint64_t pending, good, bad;

    flush_figures(agent, &pending, &good, &bad);
    for (int i = 0; i < AGENT_WAITS_MAX; i++) {
        struct agent_wait *wait = &agent->waits[i];
        bool due = now.mono_ms >= wait->deadline_ms;

        if (!wait->used)
            continue;
        if (wait->kind == WAIT_SYNC)
            agent_sync_check(wait, now);
        else if (wait->kind == WAIT_FLUSH && (due || pending == 0)) {
            wait->used = false;
            answer_flush(agent, wait);
        } else if (wait->kind == WAIT_SETTLED && due) {
            wait->used = false;
            answer_waited(agent, wait, NULL, false, true,
                          "kept on the device, no answer from the cloud in time", "");
        }
    }
}

void agent_control_abandon(struct agent *agent, const struct sb_err *err)
{
    SB_CHECK(agent->put_count == 0);
    for (int i = 0; i < AGENT_WAITS_MAX; i++) {
        if (!agent->waits[i].used)
            continue;
        agent->waits[i].used = false;
        agent_answer_error(agent, agent->waits[i].client, err);
    }
}

int64_t agent_control_deadline(const struct agent *agent)
{
    int64_t first = INT64_MAX;

    for (int i = 0; i < AGENT_WAITS_MAX; i++)
        if (agent->waits[i].used && agent->waits[i].deadline_ms < first)
            first = agent->waits[i].deadline_ms;
    return first;
}
