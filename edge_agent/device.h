#ifndef EDGE_DEVICE_H
#define EDGE_DEVICE_H

#include "common/envelope.h"

/* What the kernel knows of this machine's identity and clock. */

/* The kernel's boot id, another one after each start of the machine; "" where it cannot be read. */
void device_boot_id(char out[SB_UUID_LEN + 1]);

/* How far the wall clock may be trusted: NTP when the kernel says that something keeps it in step,
 * unknown when it shows a time before this program was written, else RTC. */
enum sb_clock_quality device_clock_quality(int64_t wall_us);

#endif
