#include "edge_agent/collector.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Of one file: /proc/stat has a line for each CPU, but the sum stands first. */
#define READ_MAX 16384

struct collector {
    int root;                 /* descriptor of the folder, -1 when it is not there */
    struct collector_cpu cpu; /* of the last call */
    bool has_cpu;
};

/* ---- parsing ---- */

/* The next word of a text, without the blanks around it; empty at the end. */
static struct sb_span word(struct sb_span *rest)
{
    struct sb_span out;

    while (rest->len > 0 && (*rest->data == ' ' || *rest->data == '\t' || *rest->data == '\n')) {
        rest->data++;
        rest->len--;
    }
    out = (struct sb_span){rest->data, 0};
    while (rest->len > 0 && *rest->data != ' ' && *rest->data != '\t' && *rest->data != '\n') {
        rest->data++;
        rest->len--;
        out.len++;
    }
    return out;
}

static bool number(struct sb_span text, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || *out > UINT64_MAX / 10 - 1)
            return false;
        *out = *out * 10 + (uint64_t)(text.data[i] - '0');
    }
    return text.len > 0;
}

/* "12.34": what the kernel prints here has no sign and no exponent. */
static bool decimal(struct sb_span text, double *out)
{
    const char *dot = text.len > 0 ? memchr(text.data, '.', text.len) : NULL;
    size_t whole_len = dot != NULL ? (size_t)(dot - text.data) : text.len;
    uint64_t whole, fraction = 0;
    double scale = 1;

    if (!number((struct sb_span){text.data, whole_len}, &whole))
        return false;
    if (dot != NULL) {
        struct sb_span digits = {dot + 1, text.len - whole_len - 1};

        if (!number(digits, &fraction))
            return false;
        for (size_t i = 0; i < digits.len; i++)
            scale *= 10;
    }
    *out = (double)whole + (double)fraction / scale;
    return true;
}

bool collector_parse_cpu(struct sb_span stat, struct collector_cpu *out)
{
    /* user nice system idle iowait irq softirq steal; guest time is part of user */
    enum { IDLE = 3, IOWAIT = 4, FIELDS = 8 };
    const char *end = stat.len > 0 ? memchr(stat.data, '\n', stat.len) : NULL;
    struct sb_span line = {stat.data, end != NULL ? (size_t)(end - stat.data) : stat.len};
    uint64_t value;
    int i;

    *out = (struct collector_cpu){0, 0};
    if (!sb_span_is(word(&line), "cpu"))
        return false;
    for (i = 0; i < FIELDS && number(word(&line), &value); i++) {
        out->total += value;
        if (i != IDLE && i != IOWAIT)
            out->busy += value;
    }
    return i > IDLE;
}

bool collector_cpu_percent(struct collector_cpu before, struct collector_cpu after, double *out)
{
    if (after.total <= before.total || after.busy < before.busy ||
        after.busy - before.busy > after.total - before.total)
        return false;
    *out = 100.0 * (double)(after.busy - before.busy) / (double)(after.total - before.total);
    return true;
}

bool collector_parse_load(struct sb_span loadavg, double out[3])
{
    return decimal(word(&loadavg), &out[0]) && decimal(word(&loadavg), &out[1]) &&
           decimal(word(&loadavg), &out[2]);
}

/* "Key:   123 kB" anywhere in the text, in bytes. */
static bool memory_line(struct sb_span text, const char *key, uint64_t *bytes)
{
    size_t key_len = strlen(key);

    while (text.len > 0) {
        const char *end = memchr(text.data, '\n', text.len);
        size_t len = end != NULL ? (size_t)(end - text.data) : text.len;

        if (len > key_len && memcmp(text.data, key, key_len) == 0 && text.data[key_len] == ':') {
            struct sb_span rest = {text.data + key_len + 1, len - key_len - 1};

            if (!number(word(&rest), bytes) || *bytes > UINT64_MAX / 1024)
                return false;
            *bytes *= 1024;
            return true;
        }
        if (end == NULL)
            break;
        text.data += len + 1;
        text.len -= len + 1;
    }
    return false;
}

bool collector_parse_memory(struct sb_span meminfo, struct collector_memory *out)
{
    uint64_t free_bytes, buffers, cached;

    if (!memory_line(meminfo, "MemTotal", &out->total) || out->total == 0)
        return false;
    if (!memory_line(meminfo, "MemAvailable", &out->available)) {
        if (!memory_line(meminfo, "MemFree", &free_bytes) ||
            !memory_line(meminfo, "Buffers", &buffers) || !memory_line(meminfo, "Cached", &cached))
            return false;
        out->available = free_bytes + buffers + cached;
    }
    if (!memory_line(meminfo, "SwapTotal", &out->swap_total) ||
        !memory_line(meminfo, "SwapFree", &out->swap_free))
        out->swap_total = out->swap_free = 0;
    return out->available <= out->total && out->swap_free <= out->swap_total;
}

bool collector_parse_uptime(struct sb_span uptime, double *out)
{
    return decimal(word(&uptime), out);
}

bool collector_parse_temperature(struct sb_span text, double *out)
{
    struct sb_span value = word(&text);
    bool minus = value.len > 0 && value.data[0] == '-';
    uint64_t thousandths;

    if (minus) {
        value.data++;
        value.len--;
    }
    if (!number(value, &thousandths) || thousandths > (minus ? 40000u : 125000u))
        return false;
    *out = (double)thousandths / (minus ? -1000.0 : 1000.0);
    return true;
}

/* ---- reading ---- */

static struct sb_span read_file(int folder, const char *name, char text[READ_MAX])
{
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    struct sb_span out = {text, 0};
    ssize_t got;

    if (fd < 0)
        return out;
    while (out.len < READ_MAX && (got = read(fd, text + out.len, READ_MAX - out.len)) > 0)
        out.len += (size_t)got;
    close(fd);
    return out;
}

static struct sb_span read_below(const struct collector *c, const char *name, char text[READ_MAX])
{
    return read_file(c->root, name, text);
}

static DIR *open_folder(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

    if (dir == NULL && fd >= 0)
        close(fd);
    return dir;
}

static bool begins_and_ends(const char *name, const char *prefix, const char *suffix)
{
    size_t len = strlen(name), prefix_len = strlen(prefix), suffix_len = strlen(suffix);

    return len >= prefix_len && len >= suffix_len && memcmp(name, prefix, prefix_len) == 0 &&
           memcmp(name + len - suffix_len, suffix, suffix_len) == 0;
}

/* The highest plausible figure of the files "temp*<suffix>" in a folder. */
static void hottest_in(DIR *dir, const char *suffix, bool *found, double *highest)
{
    char text[READ_MAX];
    struct dirent *entry;
    double value;

    while ((entry = readdir(dir)) != NULL) {
        if (begins_and_ends(entry->d_name, "temp", suffix) &&
            collector_parse_temperature(read_file(dirfd(dir), entry->d_name, text), &value) &&
            (!*found || value > *highest)) {
            *highest = value;
            *found = true;
        }
    }
}

/* Looks into every folder "<prefix>*" of a class of devices. */
static void hottest_of_class(const struct collector *c, const char *class, const char *prefix,
                             const char *suffix, bool *found, double *highest)
{
    DIR *dir = open_folder(c->root, class), *device;
    struct dirent *entry;

    if (dir == NULL)
        return;
    while ((entry = readdir(dir)) != NULL) {
        if (!begins_and_ends(entry->d_name, prefix, ""))
            continue;
        device = open_folder(dirfd(dir), entry->d_name);
        if (device == NULL)
            continue;
        hottest_in(device, suffix, found, highest);
        closedir(device);
    }
    closedir(dir);
}

static bool temperature(const struct collector *c, double *out)
{
    bool found = false;

    hottest_of_class(c, "sys/class/thermal", "thermal_zone", "temp", &found, out);
    hottest_of_class(c, "sys/class/hwmon", "hwmon", "_input", &found, out);
    return found;
}

static bool count_processes(const struct collector *c, uint64_t *out)
{
    DIR *dir = open_folder(c->root, "proc");
    struct dirent *entry;
    uint64_t pid;

    if (dir == NULL)
        return false;
    *out = 0;
    while ((entry = readdir(dir)) != NULL)
        if (number(sb_span_of(entry->d_name), &pid))
            ++*out;
    closedir(dir);
    return *out > 0;
}

struct collector *collector_new(const char *root)
{
    struct collector *c = sb_xcalloc(1, sizeof(*c));
    char text[READ_MAX];

    c->root = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    c->has_cpu = collector_parse_cpu(read_below(c, "proc/stat", text), &c->cpu);
    return c;
}

void collector_free(struct collector *c)
{
    if (c == NULL)
        return;
    if (c->root >= 0)
        close(c->root);
    free(c);
}

/* ---- printing ---- */

static void put_real(struct sb_buf *out, const char *name, bool known, int digits, double value)
{
    if (known)
        sb_buf_add_fmt(out, ",\"%s\":%.*f", name, digits, value);
    else
        sb_buf_add_fmt(out, ",\"%s\":null", name);
}

static void put_whole(struct sb_buf *out, const char *name, bool known, uint64_t value)
{
    if (known)
        sb_buf_add_fmt(out, ",\"%s\":%llu", name, (unsigned long long)value);
    else
        sb_buf_add_fmt(out, ",\"%s\":null", name);
}

static double percent(uint64_t used, uint64_t total)
{
    return total > 0 ? 100.0 * (double)used / (double)total : 0.0;
}

static void put_cpu(struct collector *c, struct sb_buf *out)
{
    struct collector_cpu before = c->cpu;
    bool had = c->has_cpu, known = false;
    char text[READ_MAX];
    double value = 0;

    c->has_cpu = collector_parse_cpu(read_below(c, "proc/stat", text), &c->cpu);
    if (had && c->has_cpu)
        known = collector_cpu_percent(before, c->cpu, &value);
    put_real(out, "cpu_percent", known, 1, value);
}

static void put_load(const struct collector *c, struct sb_buf *out)
{
    double load[3] = {0};
    char text[READ_MAX];
    bool known = collector_parse_load(read_below(c, "proc/loadavg", text), load);

    put_real(out, "load1", known, 2, load[0]);
    put_real(out, "load5", known, 2, load[1]);
    put_real(out, "load15", known, 2, load[2]);
}

static void put_memory(const struct collector *c, struct sb_buf *out)
{
    struct collector_memory m = {0};
    char text[READ_MAX];
    bool known = collector_parse_memory(read_below(c, "proc/meminfo", text), &m);

    put_whole(out, "memory_total", known, m.total);
    put_whole(out, "memory_available", known, m.available);
    put_real(out, "memory_percent", known, 1, percent(m.total - m.available, m.total));
    put_real(out, "swap_percent", known, 1, percent(m.swap_total - m.swap_free, m.swap_total));
}

/* As df does it: what only root may still use counts as used. */
static void put_disk(const struct collector *c, struct sb_buf *out)
{
    struct statvfs fs = {0};
    bool known = fstatvfs(c->root, &fs) == 0 && fs.f_blocks > 0;
    uint64_t unit = fs.f_frsize, used = fs.f_blocks - fs.f_bfree;

    put_whole(out, "disk_total", known, fs.f_blocks * unit);
    put_whole(out, "disk_free", known, fs.f_bavail * unit);
    put_real(out, "disk_percent", known, 1, percent(used, used + fs.f_bavail));
}

void collector_read(struct collector *c, struct sb_now now, struct sb_buf *out)
{
    char text[READ_MAX], stamp[SB_TIME_TEXT];
    double value = 0;
    uint64_t count = 0;
    bool known;

    sb_time_print(now.wall_us, stamp);
    sb_buf_add_fmt(out, "{\"ts\":\"%s\"", stamp);
    put_cpu(c, out);
    put_load(c, out);
    put_memory(c, out);
    put_disk(c, out);
    known = temperature(c, &value);
    put_real(out, "temperature", known, 1, value);
    known = collector_parse_uptime(read_below(c, "proc/uptime", text), &value);
    put_real(out, "uptime_s", known, 2, value);
    known = count_processes(c, &count);
    put_whole(out, "processes", known, count);
    sb_buf_add_char(out, '}');
}
