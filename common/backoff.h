#ifndef SB_BACKOFF_H
#define SB_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

#include "rng.h"

/* When to connect again (DESIGN section 7). Pure: time and chance are passed in. 0.5 s doubling to
 * 30 s with jitter (a factor of 0.5 to 1), at most 2 s in the first minute of an outage, at once
 * after sb_backoff_network_up. Three connections in a row that ended under 10 s each: 30 to 120 s
 * at random, doubling up to 960 s, and sb_backoff_flapping: "another client uses this identity".
 * An outage ends with a connection of 10 s; failed attempts do not break a row of short ones. */
struct sb_backoff {
    int64_t due_ms; /* when to connect; INT64_MAX while connected or under way */
    int64_t outage_since_ms;
    int64_t up_since_ms;
    unsigned failures;
    unsigned short_lives;
    unsigned flaps;
    int64_t
        flap_ms; /* the 30 s above, of which 120 and 960 s are multiples; set after init or not */
    bool connected;
};

void sb_backoff_init(struct sb_backoff *b, int64_t now_ms); /* due at once */
void sb_backoff_connecting(struct sb_backoff *b);
void sb_backoff_up(struct sb_backoff *b, int64_t now_ms);
void sb_backoff_down(struct sb_backoff *b, int64_t now_ms, struct sb_rng *rng);
void sb_backoff_network_up(struct sb_backoff *b, int64_t now_ms);
bool sb_backoff_due(const struct sb_backoff *b, int64_t now_ms);
bool sb_backoff_flapping(const struct sb_backoff *b); /* false while connected */

#endif
