#include "events.h"

#include <stdlib.h>
#include <string.h>

#include "common/topic.h"
#include "limits.h"

static const char *const kind_names[EVENT_KINDS] = {
    [EVENT_REGISTERED] = "registered",
    [EVENT_NEW_EPOCH] = "new_epoch",
    [EVENT_CLONE_ALARM] = "clone_alarm",
    [EVENT_BRANCH] = "branch",
    [EVENT_HOLE] = "hole",
    [EVENT_REJECTED] = "rejected",
    [EVENT_CONFLICT_OPENED] = "conflict_opened",
    [EVENT_CONFLICT_RESOLVED] = "conflict_resolved",
    [EVENT_QUARANTINE] = "quarantine",
    [EVENT_RESTORED] = "restored",
};

/* A bucket of LIMIT_EVENT_BURST tokens that fills by one in LIMIT_EVENT_REST_MS. */
struct rate {
    char device[SB_NAME_MAX + 1]; /* "" = free */
    enum event_kind kind;
    int64_t full_at_ms; /* when the bucket is full again */
    int64_t used_ms;
    uint64_t suppressed;
};

struct events {
    struct replier *replier;
    struct rate *rates; /* LIMIT_EVENT_KEYS of them; the one unused longest makes room */
    size_t count;
    struct sb_buf json;
    uint64_t raised, suppressed;
};

struct events *events_new(struct replier *replier)
{
    struct events *events = sb_xcalloc(1, sizeof(*events));

    events->replier = replier;
    events->rates = sb_xcalloc(LIMIT_EVENT_KEYS, sizeof(*events->rates));
    return events;
}

void events_free(struct events *events)
{
    if (events == NULL)
        return;
    free(events->rates);
    sb_buf_free(&events->json);
    free(events);
}

static struct rate *rate_of(struct events *events, const char *device, enum event_kind kind,
                            int64_t now_ms)
{
    struct rate *oldest = NULL;

    for (size_t i = 0; i < events->count; i++) {
        struct rate *rate = &events->rates[i];

        if (rate->kind == kind && strcmp(rate->device, device) == 0)
            return rate;
        if (oldest == NULL || rate->used_ms < oldest->used_ms)
            oldest = rate;
    }
    if (events->count < LIMIT_EVENT_KEYS)
        oldest = &events->rates[events->count++];
    *oldest = (struct rate){.kind = kind, .full_at_ms = now_ms};
    memcpy(oldest->device, device, strlen(device) + 1);
    return oldest;
}

static bool allowed(struct rate *rate, int64_t now_ms)
{
    const int64_t room = (int64_t)(LIMIT_EVENT_BURST - 1) * LIMIT_EVENT_REST_MS;

    rate->used_ms = now_ms;
    if (rate->full_at_ms < now_ms)
        rate->full_at_ms = now_ms;
    if (rate->full_at_ms > now_ms + room) {
        rate->suppressed++;
        return false;
    }
    rate->full_at_ms += LIMIT_EVENT_REST_MS;
    return true;
}

void events_raise(struct events *events, const char *device, enum event_kind kind,
                  struct sb_now now, struct sb_span members)
{
    struct rate *rate = rate_of(events, device, kind, now.mono_ms);
    struct sb_buf *json = &events->json;
    char at[SB_TIME_TEXT], topic[SB_TOPIC_MAX];

    if (!allowed(rate, now.mono_ms)) {
        events->suppressed++;
        return;
    }
    sb_time_print(now.wall_us, at);
    sb_buf_clear(json);
    sb_buf_add_fmt(json, "{\"v\":1,\"kind\":\"event\",\"event\":\"%s\",\"device\":\"%s\"",
                   kind_names[kind], device);
    sb_buf_add_fmt(json, ",\"at\":\"%s\",\"suppressed\":%llu", at,
                   (unsigned long long)rate->suppressed);
    if (members.len > 0) {
        sb_buf_add_char(json, ',');
        sb_buf_add_span(json, members);
    }
    sb_buf_add_char(json, '}');
    rate->suppressed = 0;
    events->raised++;
    sb_topic_event(topic, device);
    replier_json(events->replier, topic, SB_SPAN(""), sb_buf_span(json));
}

void events_figures(const struct events *events, uint64_t *raised, uint64_t *suppressed)
{
    *raised = events->raised;
    *suppressed = events->suppressed;
}
