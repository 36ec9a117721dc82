#include "edge_agent/scheduler.h"

const char *scheduler_reason_name(enum scheduler_reason reason)
{
    switch (reason) {
    case SCHEDULER_AT_START:
        return "start";
    case SCHEDULER_AT_ONLINE:
        return "online";
    case SCHEDULER_BY_TIMER:
        return "timer";
    case SCHEDULER_ON_DEMAND:
        return "demand";
    }
    return "";
}

void scheduler_init(struct scheduler *s, const struct scheduler_config *config, int64_t now_ms)
{
    *s = (struct scheduler){.config = *config,
                            .starting = true,
                            .startup_until_ms = now_ms + config->startup_timeout_ms,
                            .due_ms = INT64_MAX};
}

void scheduler_online(struct scheduler *s, bool online)
{
    if (online == s->online)
        return;
    s->online = online;
    s->came_online = online;
    if (!online)
        s->running = false;
}

void scheduler_ask(struct scheduler *s)
{
    s->asked = true;
}

void scheduler_done(struct scheduler *s)
{
    if (!s->running)
        return;
    s->running = false;
    s->starting = false;
}

void scheduler_configure(struct scheduler *s, const struct scheduler_config *config, int64_t now_ms)
{
    bool changed = config->interval_ms != s->config.interval_ms;

    s->config = *config;
    if (!changed || !s->phase_over)
        return;
    s->timer_wanted = config->interval_ms > 0;
    s->due_ms = s->timer_wanted ? now_ms + config->interval_ms : INT64_MAX;
    if (s->timer_wanted)
        s->timer = false; /* said once more, with the new figure */
}

void scheduler_stop(struct scheduler *s)
{
    s->stopped = true;
    s->running = false;
    s->timer_wanted = false;
    s->due_ms = INT64_MAX;
}

static void end_start_phase(struct scheduler *s, int64_t now_ms)
{
    s->phase_over = true;
    s->timer_wanted = s->config.interval_ms > 0;
    s->due_ms = s->timer_wanted ? now_ms + s->config.interval_ms : INT64_MAX;
}

/* What is said, in the order it happened. */
static enum scheduler_step say(struct scheduler *s, int64_t now_ms)
{
    if (!s->stopped && !s->starting && !s->told_started) {
        s->told_started = true;
        if (!s->phase_over)
            end_start_phase(s, now_ms);
        return SCHEDULER_STARTED;
    }
    if (!s->stopped && !s->phase_over && now_ms >= s->startup_until_ms) {
        end_start_phase(s, now_ms);
        return SCHEDULER_UNFINISHED;
    }
    if (s->timer != s->timer_wanted) {
        s->timer = s->timer_wanted;
        return s->timer ? SCHEDULER_TIMER_ON : SCHEDULER_TIMER_OFF;
    }
    return SCHEDULER_NOTHING;
}

/* Is a sync due, and for which reason? */
static bool is_due(struct scheduler *s, int64_t now_ms)
{
    bool tick = now_ms >= s->due_ms;

    if (tick)
        s->due_ms = now_ms + s->config.interval_ms;
    if (!s->online || s->running)
        return false;
    if (s->asked)
        s->reason = SCHEDULER_ON_DEMAND;
    else if (s->starting)
        s->reason = SCHEDULER_AT_START;
    else if (s->came_online)
        s->reason = SCHEDULER_AT_ONLINE;
    else if (tick)
        s->reason = SCHEDULER_BY_TIMER;
    else
        return false;
    return true;
}

enum scheduler_step scheduler_step(struct scheduler *s, int64_t now_ms)
{
    enum scheduler_step step = say(s, now_ms);

    if (step != SCHEDULER_NOTHING || s->stopped || !is_due(s, now_ms))
        return step;
    s->running = true;
    s->asked = s->came_online = false;
    if (s->timer_wanted)
        s->due_ms = now_ms + s->config.interval_ms;
    return SCHEDULER_SYNC;
}

int64_t scheduler_deadline(const struct scheduler *s)
{
    if (s->stopped)
        return INT64_MAX;
    if (!s->phase_over)
        return s->startup_until_ms;
    return s->due_ms;
}
