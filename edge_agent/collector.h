#ifndef EDGE_COLLECTOR_H
#define EDGE_COLLECTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/clock.h"

/* Readings of the machine itself (sensor type "system") from procfs and sysfs below a root folder,
 * "/" in the field. What cannot be read is null; nothing here fails. */

struct collector;
struct collector *collector_new(const char *root); /* takes the first look at the CPU counters */
void collector_free(struct collector *collector);

/* Appends one reading as a JSON object, "ts" first: cpu_percent (since the last call), load1,
 * load5, load15, memory_total, memory_available (bytes), memory_percent, swap_percent, disk_total,
 * disk_free (bytes, of the file system of root), disk_percent, temperature (degrees Celsius, the
 * highest plausible one of thermal zones and hwmon), uptime_s, processes. */
void collector_read(struct collector *collector, struct sb_now now, struct sb_buf *out);

/* ---- the parts, pure over the texts of the files ---- */

struct collector_cpu {
    uint64_t busy, total; /* ticks since boot */
};
/* The "cpu " line of /proc/stat. Waiting for a disk is not busy. */
bool collector_parse_cpu(struct sb_span stat, struct collector_cpu *out);
/* Share of busy ticks between two looks; false when no tick has passed or a counter ran back. */
bool collector_cpu_percent(struct collector_cpu before, struct collector_cpu after, double *out);

/* The first three figures of /proc/loadavg. */
bool collector_parse_load(struct sb_span loadavg, double out[3]);

struct collector_memory {
    uint64_t total, available, swap_total, swap_free; /* bytes */
};
/* /proc/meminfo; kernels before 3.14 have no MemAvailable: free, buffers and cache then. */
bool collector_parse_memory(struct sb_span meminfo, struct collector_memory *out);

/* The first figure of /proc/uptime, seconds. */
bool collector_parse_uptime(struct sb_span uptime, double *out);

/* One temp or temp*_input file (thousandths of a degree). False outside -40 to 125 degrees: a
 * sensor that is not there or has failed. */
bool collector_parse_temperature(struct sb_span text, double *out);

#endif
