/* The figures of the machine itself, from texts recorded on real machines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/json_scan.h"
#include "edge_agent/collector.h"

/* A Raspberry Pi 4 under Debian 12. */
static const char pi_stat[] = "cpu  10132153 290696 3084719 46828483 16683 0 25195 1000 175628 0\n"
                              "cpu0 1393280 32966 572056 13343292 6130 0 17875 0 23933 0\n"
                              "intr 1462898\nctxt 2345\n";
static const char pi_meminfo[] = "MemTotal:        3885396 kB\n"
                                 "MemFree:          210012 kB\n"
                                 "MemAvailable:    3077004 kB\n"
                                 "Buffers:          179240 kB\n"
                                 "Cached:          2580640 kB\n"
                                 "SwapCached:            4 kB\n"
                                 "SwapTotal:        102396 kB\n"
                                 "SwapFree:         101884 kB\n";
static const char old_meminfo[] = "MemTotal:  1000 kB\nMemFree:  100 kB\nBuffers: 50 kB\n"
                                  "Cached: 250 kB\n";

static void cpu_line_is_summed_without_guest_time(void **state)
{
    struct collector_cpu cpu;

    (void)state;
    assert_true(collector_parse_cpu(SB_SPAN(pi_stat), &cpu));
    assert_int_equal(cpu.total, 10132153 + 290696 + 3084719 + 46828483 + 16683 + 0 + 25195 + 1000);
    assert_int_equal(cpu.busy, cpu.total - 46828483 - 16683);
}

static void cpu_line_of_an_old_kernel_has_four_figures(void **state)
{
    struct collector_cpu cpu;

    (void)state;
    assert_true(collector_parse_cpu(SB_SPAN("cpu  1 2 3 4"), &cpu));
    assert_int_equal(cpu.total, 10);
    assert_int_equal(cpu.busy, 6);
}

static void other_texts_are_no_cpu_line(void **state)
{
    static const char *const texts[] = {"",
                                        "\n",
                                        "cpu0 1 2 3 4\n",
                                        "cpu  1 2 3\n",
                                        "cpu  a b c d\n",
                                        "cpu  99999999999999999999999 1 1 1\n"};
    struct collector_cpu cpu;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_false(collector_parse_cpu(sb_span_of(texts[i]), &cpu));
}

static void cpu_percent_is_of_the_time_between(void **state)
{
    double percent = -1;

    (void)state;
    assert_true(collector_cpu_percent((struct collector_cpu){100, 1000},
                                      (struct collector_cpu){125, 1100}, &percent));
    assert_true(percent == 25.0);
    assert_false(collector_cpu_percent((struct collector_cpu){100, 1000},
                                       (struct collector_cpu){100, 1000}, &percent));
    assert_false(collector_cpu_percent((struct collector_cpu){100, 1000},
                                       (struct collector_cpu){90, 1100}, &percent));
    assert_false(collector_cpu_percent((struct collector_cpu){100, 1000},
                                       (struct collector_cpu){300, 1100}, &percent));
}

static void load_has_three_figures(void **state)
{
    double load[3];

    (void)state;
    assert_true(collector_parse_load(SB_SPAN("0.52 12.08 3.00 2/345 12345\n"), load));
    assert_true(load[0] == 0.52 && load[1] == 12.08 && load[2] == 3.0);
    assert_false(collector_parse_load(SB_SPAN("0.52 0.58\n"), load));
    assert_false(collector_parse_load(SB_SPAN(""), load));
}

static void memory_is_in_bytes(void **state)
{
    struct collector_memory m;

    (void)state;
    assert_true(collector_parse_memory(SB_SPAN(pi_meminfo), &m));
    assert_int_equal(m.total, 3885396ull * 1024);
    assert_int_equal(m.available, 3077004ull * 1024);
    assert_int_equal(m.swap_total, 102396ull * 1024);
    assert_int_equal(m.swap_free, 101884ull * 1024);
}

static void memory_without_available_or_swap(void **state)
{
    struct collector_memory m;

    (void)state;
    assert_true(collector_parse_memory(SB_SPAN(old_meminfo), &m));
    assert_int_equal(m.available, 400 * 1024);
    assert_int_equal(m.swap_total, 0);
    assert_false(collector_parse_memory(SB_SPAN("MemTotal: 0 kB\n"), &m));
    assert_false(collector_parse_memory(SB_SPAN("MemTotal: 10 kB\n"), &m));
    assert_false(collector_parse_memory(SB_SPAN("MemTotal: 10 kB\nMemAvailable: 11 kB\n"), &m));
}

static void temperatures_must_be_plausible(void **state)
{
    double t;

    (void)state;
    assert_true(collector_parse_temperature(SB_SPAN("48686\n"), &t));
    assert_true(t > 48.68 && t < 48.69);
    assert_true(collector_parse_temperature(SB_SPAN("-12500\n"), &t));
    assert_true(t == -12.5);
    assert_false(collector_parse_temperature(SB_SPAN("-273150\n"), &t));
    assert_false(collector_parse_temperature(SB_SPAN("255000\n"), &t));
    assert_false(collector_parse_temperature(SB_SPAN(""), &t));
    assert_false(collector_parse_temperature(SB_SPAN("N/A\n"), &t));
}

/* ---- a recorded tree ---- */

static char root[64];

static void put(const char *name, const char *text)
{
    char path[256];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", root, name);
    for (char *slash = strchr(path + strlen(root) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0755);
        *slash = '/';
    }
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static int make_root(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/test_collector.XXXXXX");
    return mkdtemp(root) != NULL ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static int remove_root(void **state)
{
    (void)state;
    return nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static char *reading(struct collector *collector)
{
    const struct sb_json_limits limits = {4096, 1, 64};
    const struct sb_now now = {1000, 1767323045250000};
    struct sb_buf out = {0};
    struct sb_err err = {0};

    collector_read(collector, now, &out);
    assert_int_equal(sb_json_check(sb_buf_span(&out), &limits, NULL, &err), 0);
    return sb_buf_take(&out);
}

static struct sb_span member(const char *text, const char *key)
{
    struct sb_span value;

    assert_true(sb_json_get(sb_span_of(text), key, &value));
    return value;
}

static void a_recorded_machine_gives_its_reading(void **state)
{
    struct collector *collector;
    char *text;

    (void)state;
    put("proc/stat", "cpu  100 0 0 900 0 0 0 0 0 0\n");
    put("proc/loadavg", "0.52 0.58 0.59 2/345 12345\n");
    put("proc/meminfo", pi_meminfo);
    put("proc/uptime", "350735.47 234388.90\n");
    put("proc/1/stat", "");
    put("proc/4711/stat", "");
    put("proc/self_is_no_number/stat", "");
    put("sys/class/thermal/thermal_zone0/temp", "48686\n");
    put("sys/class/thermal/thermal_zone1/temp", "-273150\n");
    put("sys/class/thermal/cooling_device0/temp", "99000\n");
    put("sys/class/hwmon/hwmon0/temp1_input", "51250\n");
    put("sys/class/hwmon/hwmon0/temp1_crit", "110000\n");
    put("sys/class/hwmon/hwmon0/fan1_input", "1200\n");
    collector = collector_new(root);
    put("proc/stat", "cpu  130 0 0 970 0 0 0 0 0 0\n");
    text = reading(collector);
    assert_true(sb_json_string_is(member(text, "ts"), "2026-01-02T03:04:05.250Z"));
    assert_true(sb_span_is(member(text, "cpu_percent"), "30.0"));
    assert_true(sb_span_is(member(text, "load15"), "0.59"));
    assert_true(sb_span_is(member(text, "memory_total"), "3978645504"));
    assert_true(sb_span_is(member(text, "memory_percent"), "20.8"));
    assert_true(sb_span_is(member(text, "swap_percent"), "0.5"));
    assert_true(sb_span_is(member(text, "temperature"), "51.2"));
    assert_true(sb_span_is(member(text, "uptime_s"), "350735.47"));
    assert_true(sb_span_is(member(text, "processes"), "2"));
    assert_int_equal(sb_json_type_of(member(text, "disk_total")), SB_JSON_NUMBER);
    assert_int_equal(sb_json_type_of(member(text, "disk_percent")), SB_JSON_NUMBER);
    free(text);
    collector_free(collector);
}

static void what_is_not_there_is_null(void **state)
{
    static const char *const keys[] = {"cpu_percent",    "load1",        "memory_total",
                                       "memory_percent", "swap_percent", "temperature",
                                       "uptime_s",       "processes"};
    struct collector *collector;
    char *text;

    (void)state;
    collector = collector_new(root);
    text = reading(collector);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        assert_int_equal(sb_json_type_of(member(text, keys[i])), SB_JSON_NULL);
    free(text);
    collector_free(collector);
    collector = collector_new("/nonexistent");
    text = reading(collector);
    assert_int_equal(sb_json_type_of(member(text, "disk_total")), SB_JSON_NULL);
    free(text);
    collector_free(collector);
}

static void this_machine_gives_its_reading(void **state)
{
    struct collector *collector = collector_new("/");
    char *text = reading(collector);

    (void)state;
    assert_int_equal(sb_json_type_of(member(text, "memory_total")), SB_JSON_NUMBER);
    assert_int_equal(sb_json_type_of(member(text, "disk_free")), SB_JSON_NUMBER);
    assert_int_equal(sb_json_type_of(member(text, "processes")), SB_JSON_NUMBER);
    assert_int_equal(sb_json_count(sb_span_of(text)), 15);
    free(text);
    collector_free(collector);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpu_line_is_summed_without_guest_time),
        cmocka_unit_test(cpu_line_of_an_old_kernel_has_four_figures),
        cmocka_unit_test(other_texts_are_no_cpu_line),
        cmocka_unit_test(cpu_percent_is_of_the_time_between),
        cmocka_unit_test(load_has_three_figures),
        cmocka_unit_test(memory_is_in_bytes),
        cmocka_unit_test(memory_without_available_or_swap),
        cmocka_unit_test(temperatures_must_be_plausible),
        cmocka_unit_test_setup_teardown(a_recorded_machine_gives_its_reading, make_root,
                                        remove_root),
        cmocka_unit_test_setup_teardown(what_is_not_there_is_null, make_root, remove_root),
        cmocka_unit_test(this_machine_gives_its_reading),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
