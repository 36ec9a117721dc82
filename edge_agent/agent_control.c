/* The daemon's side of the control socket: put, wait, flush, settings.restore, status, hello. Puts
 * of one turn of the loop share a commit and are answered after it. */
#include <string.h>

#include "common/check.h"
#include "common/json_scan.h"
#include "common/log.h"
#include "edge_agent/agent_internal.h"
#include "edge_agent/settings.h"
#include "edge_agent/status.h"

static const struct sb_json_limits call_limits = {SB_CONTROL_MAX_LINE, SB_JSON_MAX_DEPTH + 2,
                                                  SB_JSON_MAX_NODES + 100};

/* ---- answers ---- */

static void answer(struct agent *agent, uint64_t client, struct sb_buf *json)
{
    sb_control_answer(agent->control, client, sb_buf_span(json));
    sb_buf_free(json);
}

static void answer_error(struct agent *agent, uint64_t client, const struct sb_err *err)
{
    struct sb_buf json = {0};

    sb_buf_add_fmt(&json,
                   "{\"success\":false,\"code\":\"%s\",\"message\":", sb_code_name(err->code));
    sb_buf_add_json(&json, sb_span_of(err->msg));
    sb_buf_add_char(&json, '}');
    answer(agent, client, &json);
}

static void begin_receipt(struct sb_buf *json, const struct enqueue_receipt *receipt)
{
    char stream[SB_STREAM_MAX + 1];

    sb_stream_print(&receipt->stream, stream);
    sb_buf_add_fmt(json, "{\"success\":true,\"queued\":%s", receipt->queued ? "true" : "false");
    if (receipt->repeat)
        sb_buf_add_str(json, ",\"repeat\":true");
    if (receipt->op_id[0] != '\0') {
        sb_buf_add_str(json, ",\"op_id\":");
        sb_buf_add_json(json, sb_span_of(receipt->op_id));
    }
    sb_buf_add_fmt(json, ",\"stream\":\"%s\"", stream);
    if (receipt->queued)
        sb_buf_add_fmt(json, ",\"epoch\":\"%s\",\"seq\":%llu", receipt->epoch,
                       (unsigned long long)receipt->seq);
    else
        sb_buf_add_str(json, ",\"result\":\"local\"");
}

static void answer_put(struct agent *agent, uint64_t client, const struct enqueue_receipt *receipt)
{
    struct sb_buf json = {0};

    begin_receipt(&json, receipt);
    sb_buf_add_char(&json, '}');
    answer(agent, client, &json);
}

/* synced: in the cloud. cached: on its way, or given up into the dead letter or the conflicts. */
static void answer_waited(struct agent *agent, const struct agent_wait *wait, const char *result,
                          bool synced, bool cached, const char *message)
{
    struct sb_buf json = {0};
    char now[SB_TIME_TEXT];

    begin_receipt(&json, &wait->receipt);
    sb_time_print(sb_clock_now().wall_us, now);
    sb_buf_add_fmt(&json, ",\"synced\":%s,\"cached\":%s", synced ? "true" : "false",
                   cached ? "true" : "false");
    if (wait->receipt.op_id[0] != '\0') {
        sb_buf_add_str(&json, ",\"task_id\":");
        sb_buf_add_json(&json, sb_span_of(wait->receipt.op_id));
    }
    if (result != NULL)
        sb_buf_add_fmt(&json, ",\"result\":\"%s\",\"updated_at\":\"%s\"", result, now);
    else if (wait->receipt.queued)
        sb_buf_add_str(&json, ",\"result\":null,\"updated_at\":null");
    sb_buf_add_str(&json, ",\"message\":");
    sb_buf_add_json(&json, sb_span_of(message));
    sb_buf_add_char(&json, '}');
    answer(agent, wait->client, &json);
}

/* ---- waiting callers ---- */

/* Its caller may have gone (^C); only a restore is in the core's hands until that lets it go. */
static bool is_free(const struct agent *agent, const struct agent_wait *wait)
{
    return !wait->used ||
           (wait->kind != WAIT_RESTORE && !sb_control_waits(agent->control, wait->client));
}

static struct agent_wait *new_wait(struct agent *agent, enum agent_wait_kind kind, uint64_t client,
                                   int64_t timeout_ms)
{
    for (int i = 0; i < AGENT_WAITS_MAX; i++) {
        struct agent_wait *wait = &agent->waits[i];

        if (!is_free(agent, wait))
            continue;
        *wait = (struct agent_wait){.used = true,
                                    .kind = kind,
                                    .client = client,
                                    .agent = agent,
                                    .deadline_ms = sb_clock_now().mono_ms + timeout_ms};
        return wait;
    }
    return NULL;
}

static void answer_busy(struct agent *agent, uint64_t client)
{
    struct sb_err err;

    sb_fail(&err, SB_EBUSY, "%d callers are waiting already", AGENT_WAITS_MAX);
    answer_error(agent, client, &err);
}

void agent_control_settled(void *ctx, const char *epoch, const char *stream, uint64_t lo,
                           uint64_t hi, enum sb_result result, enum sb_code code,
                           const char *reason)
{
    struct agent *agent = ctx;

    for (int i = 0; i < AGENT_WAITS_MAX; i++) {
        struct agent_wait *wait = &agent->waits[i];
        bool good = result == SB_RESULT_STORED || result == SB_RESULT_DUPLICATE;

        if (!wait->used || wait->kind != WAIT_SETTLED || wait->receipt.seq < lo ||
            wait->receipt.seq > hi || strcmp(wait->receipt.epoch, epoch) != 0 ||
            strcmp(wait->stream, stream) != 0)
            continue;
        wait->used = false;
        if (code != SB_OK && reason[0] == '\0')
            reason = sb_code_name(code);
        answer_waited(agent, wait, sb_result_name(result), good, false, good ? "synced" : reason);
    }
}

/* ---- put ---- */

static bool get_text(struct sb_span object, const char *key, struct sb_buf *out)
{
    struct sb_span value;

    sb_buf_clear(out);
    if (!sb_json_get(object, key, &value) || sb_json_type_of(value) != SB_JSON_STRING)
        return false;
    sb_json_unescape(value, out);
    return true;
}

static int64_t get_seconds(struct sb_span object, const char *key)
{
    struct sb_span value;
    double seconds;

    if (!sb_json_get(object, key, &value) || !sb_json_double(value, &seconds) || seconds <= 0 ||
        seconds > 86400)
        return 0;
    return (int64_t)(seconds * 1000);
}

static int enqueue_call(struct agent *agent, struct sb_span call, struct agent_put *put,
                        struct sb_err *err)
{
    struct sb_buf stream_text = {0}, id = {0};
    struct sb_now now = sb_clock_now();
    struct sb_stream stream;
    struct sb_span record;
    int rc;

    if (!get_text(call, "stream", &stream_text) || !sb_json_get(call, "record", &record))
        rc = sb_fail(err, SB_EMISSING_FIELD, "put: stream and record are required");
    else
        rc = sb_stream_parse(sb_buf_span(&stream_text), &stream, err);
    get_text(call, "id", &id);
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
        answer_error(agent, agent->puts[i].client, err);
    agent->put_count = 0;
}

static void call_put(struct agent *agent, const struct sb_control_call *call, struct sb_span object)
{
    struct agent_put *put;
    struct sb_err err;

    if (agent->put_count == AGENT_PUTS_MAX)
        agent_control_commit(agent, sb_clock_now());
    put = &agent->puts[agent->put_count];
    *put = (struct agent_put){.client = call->client, .wait_ms = get_seconds(object, "wait")};
    if (enqueue_call(agent, object, put, &err) == 0) {
        agent->put_count++;
        return;
    }
    answer_error(agent, call->client, &err);
    if (sb_code_class(err.code) != SB_REJECT) /* the whole group was rolled back */
        fail_all_puts(agent, &err);
}

static void wait_or_answer(struct agent *agent, const struct agent_put *put)
{
    struct agent_wait *wait;

    if (put->wait_ms == 0 || !put->receipt.queued) {
        answer_put(agent, put->client, &put->receipt);
        return;
    }
    wait = new_wait(agent, WAIT_SETTLED, put->client, put->wait_ms);
    if (wait == NULL) {
        answer_put(agent, put->client, &put->receipt);
        return;
    }
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

static bool settled_already(const struct agent *agent, const struct agent_wait *wait, bool *refused)
{
    const struct lanes *lanes = edge_lanes(agent->edge);

    for (size_t i = 0; i < lanes->count; i++) {
        const struct lane *lane = &lanes->at[i];

        if (strcmp(lane->epoch, wait->receipt.epoch) != 0 || strcmp(lane->name, wait->stream) != 0)
            continue;
        *refused = sb_ranges_has(&lane->refused, wait->receipt.seq);
        return sb_ranges_has(&lane->settled, wait->receipt.seq);
    }
    return false;
}

static int read_wait(struct sb_span object, struct agent_wait *wait, struct sb_err *err)
{
    struct sb_buf text = {0};
    struct sb_span seq;
    int rc = 0;

    wait->receipt.queued = true;
    if (!get_text(object, "stream", &text) ||
        (rc = sb_stream_parse(sb_buf_span(&text), &wait->receipt.stream, err)) < 0)
        rc = rc < 0 ? rc : sb_fail(err, SB_EMISSING_FIELD, "wait: stream");
    if (rc == 0 && (!get_text(object, "epoch", &text) || text.len != SB_EPOCH_LEN))
        rc = sb_fail(err, SB_EMISSING_FIELD, "wait: epoch");
    else if (rc == 0)
        memcpy(wait->receipt.epoch, text.data, SB_EPOCH_LEN + 1);
    if (rc == 0 && (!sb_json_get(object, "seq", &seq) || !sb_json_u64(seq, &wait->receipt.seq)))
        rc = sb_fail(err, SB_EMISSING_FIELD, "wait: seq");
    if (rc == 0 && get_text(object, "op_id", &text) && text.len <= SB_ID_MAX)
        memcpy(wait->receipt.op_id, text.data, text.len + 1);
    sb_stream_print(&wait->receipt.stream, wait->stream);
    sb_buf_free(&text);
    return rc;
}

static void call_wait(struct agent *agent, const struct sb_control_call *call,
                      struct sb_span object)
{
    struct agent_wait *wait =
        new_wait(agent, WAIT_SETTLED, call->client, get_seconds(object, "timeout"));
    struct sb_err err;
    bool refused = false;

    if (wait == NULL) {
        answer_busy(agent, call->client);
        return;
    }
    if (read_wait(object, wait, &err) < 0) {
        wait->used = false;
        answer_error(agent, call->client, &err);
        return;
    }
    edge_wake(agent->edge);
    if (!settled_already(agent, wait, &refused))
        return;
    wait->used = false;
    answer_waited(agent, wait, refused ? "rejected" : "stored", !refused, false,
                  refused ? "refused before: see edge_agent dead list" : "synced");
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
    answer(agent, wait->client, &json);
}

static void call_flush(struct agent *agent, const struct sb_control_call *call,
                       struct sb_span object)
{
    int64_t timeout = get_seconds(object, "timeout");
    struct agent_wait *wait =
        new_wait(agent, WAIT_FLUSH, call->client, timeout > 0 ? timeout : 60000);

    if (wait == NULL) {
        answer_busy(agent, call->client);
        return;
    }
    flush_figures(agent, &wait->pending, &wait->good, &wait->bad);
    edge_unpark(agent->edge);
    edge_wake(agent->edge);
    sb_backoff_network_up(&agent->backoff, sb_clock_now().mono_ms);
}

/* ---- settings.restore ---- */

static void restored(void *ctx, int taken, uint64_t version, const struct sb_err *err)
{
    static const char *const words[] = {[SETTINGS_TAKEN] = "taken",
                                        [SETTINGS_ABSENT] = "absent",
                                        [SETTINGS_PENDING] = "pending",
                                        [SETTINGS_OLD] = "old"};
    struct agent_wait *wait = ctx;
    struct sb_buf json = {0};

    wait->used = false;
    if (err->code != SB_OK) {
        answer_error(wait->agent, wait->client, err);
        return;
    }
    sb_buf_add_fmt(&json, "{\"success\":true,\"restored\":%s,\"outcome\":\"%s\",\"version\":%llu}",
                   taken == SETTINGS_TAKEN ? "true" : "false", words[taken],
                   (unsigned long long)version);
    answer(wait->agent, wait->client, &json);
}

static void call_restore(struct agent *agent, const struct sb_control_call *call,
                         struct sb_span object)
{
    int64_t timeout = get_seconds(object, "timeout");
    struct agent_wait *wait = new_wait(agent, WAIT_RESTORE, call->client, INT64_MAX / 4);
    struct sb_buf user = {0};
    struct sb_err err;
    int rc;

    if (wait == NULL) {
        answer_busy(agent, call->client);
        return;
    }
    if (!get_text(object, "user", &user) || !sb_name_valid(sb_buf_span(&user)))
        rc = sb_fail(&err, SB_EBAD_ID, "restore: the user id is not [A-Za-z0-9_-]{1,64}");
    else
        rc = edge_restore_settings(agent->edge, user.data, timeout > 0 ? timeout : 30000,
                                   sb_clock_now(), restored, wait, &err);
    if (rc < 0) {
        wait->used = false;
        answer_error(agent, call->client, &err);
    }
    sb_buf_free(&user);
}

/* ---- status, hello ---- */

static void call_status(struct agent *agent, const struct sb_control_call *call)
{
    struct sb_buf json = {0};
    struct sb_err err;

    if (status_print(agent->ob, agent->config->device, agent->edge, sb_clock_now(), &json, &err) <
        0) {
        sb_buf_free(&json);
        answer_error(agent, call->client, &err);
        return;
    }
    answer(agent, call->client, &json);
}

static void call_hello(struct agent *agent, const struct sb_control_call *call)
{
    struct sb_buf json = {0};

    edge_ask_hello(agent->edge);
    sb_buf_add_str(&json, "{\"success\":true}");
    answer(agent, call->client, &json);
}

void agent_control_call(void *ctx, const struct sb_control_call *call)
{
    struct agent *agent = ctx;
    struct sb_span object, verb;
    struct sb_err err;

    if (sb_json_check(call->line, &call_limits, &object, &err) < 0) {
        answer_error(agent, call->client, &err);
        return;
    }
    if (sb_json_type_of(object) != SB_JSON_OBJECT || !sb_json_get(object, "verb", &verb))
        verb = (struct sb_span){"", 0};
    if (sb_span_is(verb, "\"put\"")) {
        call_put(agent, call, object);
    } else if (sb_span_is(verb, "\"wait\"")) {
        call_wait(agent, call, object);
    } else if (sb_span_is(verb, "\"flush\"")) {
        call_flush(agent, call, object);
    } else if (sb_span_is(verb, "\"settings.restore\"")) {
        call_restore(agent, call, object);
    } else if (sb_span_is(verb, "\"status\"")) {
        call_status(agent, call);
    } else if (sb_span_is(verb, "\"hello\"")) {
        call_hello(agent, call);
    } else {
        sb_fail(&err, SB_EUNKNOWN_OP,
                "verb is none of put, wait, flush, settings.restore, status,"
                " hello");
        answer_error(agent, call->client, &err);
    }
}

/* ---- timers ---- */

void agent_control_timers(struct agent *agent, struct sb_now now)
{
    uint64_t pending, good, bad;

    flush_figures(agent, &pending, &good, &bad);
    for (int i = 0; i < AGENT_WAITS_MAX; i++) {
        struct agent_wait *wait = &agent->waits[i];
        bool due = now.mono_ms >= wait->deadline_ms;

        if (!wait->used || wait->kind == WAIT_RESTORE)
            continue;
        if (wait->kind == WAIT_FLUSH && (due || pending == 0)) {
            wait->used = false;
            answer_flush(agent, wait);
        } else if (wait->kind == WAIT_SETTLED && due) {
            wait->used = false;
            answer_waited(agent, wait, NULL, false, true,
                          "kept on the device, no answer from the cloud in time");
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
        answer_error(agent, agent->waits[i].client, err);
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
