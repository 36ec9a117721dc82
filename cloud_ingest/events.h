#ifndef CLOUD_EVENTS_H
#define CLOUD_EVENTS_H

#include "common/clock.h"
#include "replier.h"

/* What operators are told on sb/v1/event/<device>: staged with the replies, so that an event goes
 * out only when what it tells of was committed. Bounded per device and kind: LIMIT_EVENT_BURST at
 * once, then one in LIMIT_EVENT_REST_MS; the next one says how many were left out. */

enum event_kind {
    EVENT_REGISTERED, /* a device was seen for the first time */
    EVENT_NEW_EPOCH,  /* a device made a new outbox database */
    EVENT_CLONE_ALARM,
    EVENT_BRANCH, /* other content at a decided number */
    EVENT_HOLE,
    EVENT_REJECTED,
    EVENT_CONFLICT_OPENED,
    EVENT_QUARANTINE,
    EVENT_CONFLICT_RESOLVED, /* its device decided it, or an operator */
    EVENT_RESTORED,          /* a device knows more than this database: it was rolled back */
    EVENT_KINDS
};

struct events;

struct events *events_new(struct replier *replier);
void events_free(struct events *events);

/* members: JSON text of further members without braces, such as "stream":"…","seq":7; may be "". */
void events_raise(struct events *events, const char *device, enum event_kind kind,
                  struct sb_now now, struct sb_span members);

void events_figures(const struct events *events, uint64_t *raised, uint64_t *suppressed);

#endif
