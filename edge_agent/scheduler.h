#ifndef EDGE_SCHEDULER_H
#define EDGE_SCHEDULER_H

#include <stdbool.h>
#include <stdint.h>

/* When everything is synced (DESIGN of the edge, "The scheduler"). Pure: the time is passed in,
 * what is to be done comes out as steps, whoever owns it does them. It decides when a full sync
 * begins and what is said about it; it never decides whether something may be enqueued or sent.
 *
 *     start ──▶ SYNC when online ──done──▶ STARTED ──▶ TIMER_ON ──every interval, online──▶ SYNC
 *        └──startup_timeout──▶ UNFINISHED ──▶ TIMER_ON      (the sync goes on; STARTED when it
 * ends) offline → online: SYNC at once.  asked: SYNC at once, at the next online when offline.
 *
 * One sync at a time: what comes due while one runs begins when that one has ended, except the
 * timer's, which is skipped. */

struct scheduler_config {
    int64_t interval_ms;        /* 0 = no timer */
    int64_t startup_timeout_ms; /* 0 = the start phase ends at once as unfinished */
};

enum scheduler_step {
    SCHEDULER_NOTHING,
    SCHEDULER_SYNC,       /* begin a full sync; scheduler_done when it has ended */
    SCHEDULER_STARTED,    /* the start phase's sync has ended */
    SCHEDULER_UNFINISHED, /* the start phase took too long; its sync goes on */
    SCHEDULER_TIMER_ON,   /* interval_ms is in force from now on */
    SCHEDULER_TIMER_OFF
};

/* Why the sync that runs, or ran last, began. */
enum scheduler_reason {
    SCHEDULER_AT_START,
    SCHEDULER_AT_ONLINE,
    SCHEDULER_BY_TIMER,
    SCHEDULER_ON_DEMAND
};
const char *scheduler_reason_name(enum scheduler_reason reason); /* "start", "online", ... */

/* Zeroed is no scheduler: scheduler_init. Members are for looking at. */
struct scheduler {
    struct scheduler_config config;
    bool online, stopped;
    bool running;                 /* a sync has begun and not ended */
    bool starting;                /* the start phase's sync has not ended */
    bool phase_over;              /* STARTED or UNFINISHED was given out */
    bool asked, came_online;      /* a sync is due for that reason */
    bool timer, timer_wanted;     /* as told, and as it should be */
    bool told_started;            /* STARTED was given out */
    enum scheduler_reason reason; /* of the sync that runs or ran last */
    int64_t startup_until_ms, due_ms;
};

void scheduler_init(struct scheduler *s, const struct scheduler_config *config, int64_t now_ms);

/* The cloud answers, or does not any more. A sync that runs is given up when it goes. */
void scheduler_online(struct scheduler *s, bool online);
/* Somebody wants a full sync now. */
void scheduler_ask(struct scheduler *s);
/* The sync that SYNC began has ended, well or not. Without one it changes nothing. */
void scheduler_done(struct scheduler *s);
/* Another interval: the timer starts anew with it, or ends. The start phase keeps its end. */
void scheduler_configure(struct scheduler *s, const struct scheduler_config *config,
                         int64_t now_ms);
/* The end: TIMER_OFF where the timer was on, then nothing any more. */
void scheduler_stop(struct scheduler *s);

/* What is to be done now, one thing at a time until NOTHING. */
enum scheduler_step scheduler_step(struct scheduler *s, int64_t now_ms);
/* Monotonic ms when a step becomes due by itself; INT64_MAX = none. */
int64_t scheduler_deadline(const struct scheduler *s);

#endif
