#ifndef EDGE_TIME_FORMAT_H
#define EDGE_TIME_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

/* Times as other programs write them, for imports. Strict: the whole text is consumed, days that
 * their month does not have are refused.
 *
 * Formats: "rfc3339" (with zone), "iso8601" (as RFC 3339, the zone may be missing: then `zone`
 * holds), "epoch_s" (a fraction may follow), "epoch_ms", "epoch_us", or a pattern of
 *   %Y year, 4 digits      %y year, 2 digits (69..99 = 19xx)   %m %d %H %I %M %S  2 digits
 *   %e day, 1 or 2 digits  %f fraction of a second, 1 to 9 digits   %p AM or PM
 *   %b %B month in English, short or whole   %z Z, +hh, +hhmm or +hh:mm   %% a percent sign
 * with every other character standing for itself.
 *
 * Zones: "UTC", "+hh:mm" or "-hh:mm", or a name of the system's database ("Europe/Berlin"). A named
 * one sets TZ for the whole process: one map at a time, no other thread. Of an hour that the clock
 * ran through twice either is taken. */

enum time_kind { TIME_RFC3339, TIME_ISO8601, TIME_EPOCH, TIME_PATTERN };

struct time_format {
    enum time_kind kind;
    int64_t unit_us; /* EPOCH: microseconds in one */
    char *pattern;
    bool has_zone, named_zone;
    int offset_min; /* of a zone that is no name */
};

/* zone NULL: UTC for patterns and iso8601. SB_EBAD_VALUE names what is wrong. */
int time_format_init(struct time_format *tf, const char *format, const char *zone,
                     struct sb_err *err);
void time_format_fini(struct time_format *tf);

bool time_format_read(const struct time_format *tf, struct sb_span text, int64_t *wall_us);

#endif
