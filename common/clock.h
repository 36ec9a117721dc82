#ifndef SB_CLOCK_H
#define SB_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

/* What time it is, as a value that is passed down; pure code never reads a clock itself. */
struct sb_now {
    int64_t mono_ms; /* monotonic, for timers and round trips */
    int64_t wall_us; /* microseconds since 1970 UTC; may jump, may be years off */
};

/* Reads both clocks. The only place that does (CLOCK_BOOTTIME, CLOCK_REALTIME). */
struct sb_now sb_clock_now(void);

#define SB_TIME_TEXT 40 /* bytes that hold any text below, NUL included */

/* RFC 3339 in UTC with the fewest of 0, 3 or 6 fraction digits that lose nothing:
 * "2026-01-02T03:04:05Z", "…05.250Z". Years 0000 to 9999; outside them the text is clamped. */
void sb_time_print(int64_t wall_us, char out[SB_TIME_TEXT]);

/* Parses RFC 3339 ("2026-01-02T03:04:05.123456+08:00", "t"/"z" in lower case and a space for T
 * allowed, second 60 taken as the next second) into microseconds; further digits are cut.
 * Returns false for anything else. */
bool sb_time_parse(struct sb_span text, int64_t *wall_us);

/* A hybrid logical clock (HLC): milliseconds since 1970 and, below them, a counter. */
#define SB_HLC_COUNTER_BITS 16
/* One that is further ahead of the cloud's time comes from a clock that runs ahead. */
#define SB_HLC_AHEAD_MS INT64_C(3600000)

#endif
