/* Callers of the control socket that wait, and what they are answered. */
#include <string.h>

#include "common/json_put.h"
#include "common/json_scan.h"
#include "edge_agent/agent_internal.h"

void agent_answer(struct agent *agent, uint64_t client, struct sb_buf *json)
{
    sb_control_answer(agent->control, client, sb_buf_span(json));
    sb_buf_free(json);
}

void agent_answer_error(struct agent *agent, uint64_t client, const struct sb_err *err)
{
    struct sb_buf json = {0};

    sb_put_open(&json, NULL, '{');
    sb_put_bool(&json, "success", false);
    sb_put_text(&json, "code", sb_code_name(err->code));
    sb_put_text(&json, "message", err->msg);
    sb_put_close(&json, '}');
    agent_answer(agent, client, &json);
}

/* Its caller may have gone (^C); what is in the core's hands stays until that lets it go. */
static bool is_free(const struct agent *agent, const struct agent_wait *wait)
{
    return !wait->used || (!wait->in_core && !sb_control_waits(agent->control, wait->client));
}

struct agent_wait *agent_wait_new(struct agent *agent, enum agent_wait_kind kind, uint64_t client,
                                  int64_t timeout_ms)
{
    struct sb_err err;

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
    sb_fail(&err, SB_EBUSY, "%d callers are waiting already", AGENT_WAITS_MAX);
    agent_answer_error(agent, client, &err);
    return NULL;
}

bool agent_call_text(struct sb_span object, const char *key, struct sb_buf *out)
{
    struct sb_span value;

    sb_buf_clear(out);
    if (!sb_json_get(object, key, &value) || sb_json_type_of(value) != SB_JSON_STRING)
        return false;
    sb_json_unescape(value, out);
    return true;
}

int64_t agent_call_seconds(struct sb_span object, const char *key)
{
    struct sb_span value;
    double seconds;

    if (!sb_json_get(object, key, &value) || !sb_json_double(value, &seconds) || seconds <= 0)
        return 0;
    return seconds < AGENT_WAIT_MAX_S ? (int64_t)(seconds * 1000) : AGENT_WAIT_MAX_S * 1000;
}
