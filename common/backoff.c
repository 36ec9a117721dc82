#include "backoff.h"

#define FIRST_MS        500
#define LONGEST_MS      30000
#define YOUNG_MS        60000 /* an outage younger than this ... */
#define YOUNG_LIMIT_MS  2000  /* ... is tried again after this at most */
#define SHORT_LIFE_MS   10000
#define SHORT_LIVES_MAX 3
#define FLAP_MS         30000

void sb_backoff_init(struct sb_backoff *b, int64_t now_ms)
{
    *b = (struct sb_backoff){.due_ms = now_ms, .outage_since_ms = now_ms, .flap_ms = FLAP_MS};
}

void sb_backoff_connecting(struct sb_backoff *b)
{
    b->due_ms = INT64_MAX;
}

void sb_backoff_up(struct sb_backoff *b, int64_t now_ms)
{
    b->connected = true;
    b->up_since_ms = now_ms;
    b->due_ms = INT64_MAX;
}

static int64_t doubled(int64_t ms, unsigned times, int64_t limit)
{
    while (times > 0 && ms < limit) {
        ms *= 2;
        times--;
    }
    return ms < limit ? ms : limit;
}

/* From half of it to all of it. */
static int64_t jittered(int64_t ms, struct sb_rng *rng)
{
    return ms - (int64_t)(sb_rng_unit(rng) * (double)(ms / 2));
}

static int64_t retry_delay(struct sb_backoff *b, int64_t now_ms, struct sb_rng *rng)
{
    bool young = now_ms - b->outage_since_ms < YOUNG_MS;

    return jittered(doubled(FIRST_MS, b->failures++, young ? YOUNG_LIMIT_MS : LONGEST_MS), rng);
}

static int64_t flap_delay(struct sb_backoff *b, struct sb_rng *rng)
{
    int64_t ms = b->flap_ms + (int64_t)sb_rng_below(rng, (uint64_t)(3 * b->flap_ms) + 1);

    return doubled(ms, b->flaps++, 32 * b->flap_ms);
}

/* A connection that lived ends the outage before it and whatever was counted in it; one that hardly
 * lived is part of it. */
static void count_end(struct sb_backoff *b, int64_t now_ms)
{
    b->connected = false;
    if (now_ms - b->up_since_ms < SHORT_LIFE_MS) {
        b->short_lives++;
        return;
    }
    b->short_lives = b->flaps = b->failures = 0;
    b->outage_since_ms = now_ms;
}

void sb_backoff_down(struct sb_backoff *b, int64_t now_ms, struct sb_rng *rng)
{
    bool was_connected = b->connected;

    if (was_connected)
        count_end(b, now_ms);
    if (was_connected && b->short_lives >= SHORT_LIVES_MAX)
        b->due_ms = now_ms + flap_delay(b, rng);
    else
        b->due_ms = now_ms + retry_delay(b, now_ms, rng);
}

void sb_backoff_network_up(struct sb_backoff *b, int64_t now_ms)
{
    if (b->connected)
        return;
    b->failures = 0;
    b->outage_since_ms = now_ms;
    if (b->due_ms != INT64_MAX)
        b->due_ms = now_ms;
}

bool sb_backoff_due(const struct sb_backoff *b, int64_t now_ms)
{
    return now_ms >= b->due_ms;
}

bool sb_backoff_flapping(const struct sb_backoff *b)
{
    return !b->connected && b->short_lives >= SHORT_LIVES_MAX;
}
