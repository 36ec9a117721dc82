#include "edge_agent/device.h"

#include <fcntl.h>
#include <string.h>
#include <sys/timex.h>
#include <unistd.h>

/* 2024-01-01: a clock that shows less was never set. */
#define WRITTEN_US INT64_C(1704067200000000)

void device_boot_id(char out[SB_UUID_LEN + 1])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t got = 0;

    if (fd >= 0) {
        got = read(fd, out, SB_UUID_LEN);
        close(fd);
    }
    out[got > 0 ? got : 0] = '\0';
    if (!sb_uuid_valid(sb_span_of(out)))
        out[0] = '\0';
}

enum sb_clock_quality device_clock_quality(int64_t wall_us)
{
    struct timex state = {.modes = 0};

    if (wall_us < WRITTEN_US)
        return SB_CLOCK_UNKNOWN;
    return adjtimex(&state) >= 0 && (state.status & STA_UNSYNC) == 0 ? SB_CLOCK_NTP : SB_CLOCK_RTC;
}
