/* verify: does the cloud hold what its devices say they made? */
#include "cloud_cli.h"

#include <inttypes.h>
#include <string.h>

#include "cloud_ingest/audit.h"
#include "common/clock.h"
#include "common/json_read.h"

const struct sb_cli_option verify_options[] = {
    {.name = "fresh",
     .kind = SB_CLI_DURATION,
     .value = "TIME",
     .help = "ask the devices that are online first, and wait so long at most"},
    {.name = "device", .kind = SB_CLI_TEXT, .value = "DEVICE", .help = "this one alone"},
    {0}};

const char verify_help[] =
    "Per device, epoch and stream, as of what each device said last (AGE):\n"
    "  made = stored + duplicates + revised + rejected + conflict + holes + pending + missing + "
    "lost\n"
    "  pending     held by the device, or made since it spoke last\n"
    "  missing     none of all these: must be 0\n"
    "  lost        held by an outbox that its device no longer names (wiped)\n"
    "  branched    other content under taken numbers, kept beside it; not part of made\n"
    "  dropped     of stored, duplicates and revised: removed by retention\n"
    "  doubles     one history identity or op_id in two rows: must be 0\n"
    "  unequal     streams whose counters are not what is counted in the tables: must be 0\n"
    "Of all devices together, in the note below the table and in the total of --json:\n"
    "  gaps        users whose versions have a gap: must be 0\n"
    "  astray      documents in force that are not their highest version: must be 0\n"
    "Exit status 0 only if missing, doubles, unequal, gaps and astray are 0.\n"
    "\n"
    "examples:\n"
    "  cloud_ingest verify --fresh 10s\n"
    "  cloud_ingest verify --device edge-001 --json | jq .total.missing\n";

struct verify {
    struct cloud_cli c;
    const char *device; /* NULL = all */
    int64_t now_ms;
    struct sb_table *table;
    struct sb_buf out; /* JSON */
    size_t streams;
    int64_t oldest_ms; /* of the figures shown, 0 = never told */
    bool untold;       /* a stream of which its device never spoke */
};

/* ---- asking the devices ---- */

struct fresh {
    bool wanted, done;
    struct sb_buf answer;
};

static void print_silent(struct sb_cli *cli, struct sb_span silent)
{
    struct sb_buf names = {0};
    struct sb_json_iter iter;
    struct sb_span name;

    sb_json_iter_init(&iter, silent);
    while (sb_json_next_element(&iter, &name)) {
        sb_buf_add_char(&names, ' ');
        sb_json_unescape(name, &names);
    }
    if (names.len > 0)
        sb_cli_note(cli, "no answer in time from:%s", names.data);
    sb_buf_free(&names);
}

/* Without a daemon the figures are as old as they are, and that is said. */
static void ask_devices(struct verify *v, struct fresh *fresh)
{
    struct sb_json_field silent = {.key = "silent"};
    struct sb_err err = {0};
    int64_t wait_ms = sb_cli_number(v->c.cli, "fresh", 0);

    fresh->wanted = sb_cli_given(v->c.cli, "fresh");
    if (!fresh->wanted)
        return;
    if (cloud_cli_ask(&v->c, "hello", v->device, wait_ms > 0 ? wait_ms : 1, &fresh->answer, &err) !=
        0) {
        sb_cli_note(v->c.cli, "%s: the figures are not fresh", err.msg);
        return;
    }
    sb_json_pick(sb_buf_span(&fresh->answer), &silent, 1);
    fresh->done = sb_field_given(&silent) && sb_json_count(silent.value) == 0;
    if (sb_field_given(&silent))
        print_silent(v->c.cli, silent.value);
}

/* ---- figures ---- */

static void put_figures(struct sb_buf *out, const struct audit_figures *f)
{
    sb_put_u64(out, "made", f->made);
    sb_put_u64(out, "stored", f->stored);
    sb_put_u64(out, "duplicates", f->duplicates);
    sb_put_u64(out, "revised", f->revised);
    sb_put_u64(out, "rejected", f->rejected);
    sb_put_u64(out, "conflict", f->conflict);
    sb_put_u64(out, "holes", f->holes);
    sb_put_u64(out, "branched", f->branched);
    sb_put_u64(out, "dropped", f->dropped);
    sb_put_u64(out, "pending", f->pending);
    sb_put_u64(out, "missing", f->missing);
    sb_put_u64(out, "lost", f->lost);
    sb_put_u64(out, "doubles", f->doubles);
    sb_put_u64(out, "repeats", f->repeats);
    sb_put_u64(out, "rows", f->rows);
    sb_put_u64(out, "identity_duplicates", f->dups);
    sb_put_u64(out, "unequal", f->unequal);
}

static void put_age(struct sb_buf *out, const struct verify *v, int64_t told_ms)
{
    sb_put_time_ms(out, "told_at", told_ms);
    if (told_ms == 0)
        sb_put_null(out, "age_ms");
    else
        sb_put_i64(out, "age_ms", v->now_ms > told_ms ? v->now_ms - told_ms : 0);
}

static void put_entry(struct verify *v, const struct audit_entry *entry)
{
    struct sb_buf ranges = {0};

    sb_put_open(&v->out, NULL, '{');
    sb_put_text(&v->out, "device", entry->device);
    sb_put_text(&v->out, "epoch", entry->epoch);
    sb_put_text(&v->out, "stream", entry->stream);
    sb_put_bool(&v->out, "named", entry->named);
    put_age(&v->out, v, entry->told_ms);
    put_figures(&v->out, &entry->figures);
    sb_ranges_print(&entry->missing, &ranges);
    sb_put_raw(&v->out, "missing_numbers", sb_buf_span(&ranges));
    sb_put_close(&v->out, '}');
    sb_buf_free(&ranges);
}

/* A figure that must be 0. */
static void add_zero(struct sb_table *table, uint64_t value)
{
    sb_table_u64(table, value);
    if (value > 0)
        sb_table_bad(table);
}

static void add_figures(struct sb_table *table, const struct audit_figures *f)
{
    sb_table_u64(table, f->made);
    sb_table_u64(table, f->stored);
    sb_table_u64(table, f->duplicates);
    sb_table_u64(table, f->revised);
    sb_table_u64(table, f->rejected);
    sb_table_u64(table, f->conflict);
    sb_table_u64(table, f->holes);
    sb_table_u64(table, f->branched);
    sb_table_u64(table, f->dropped);
    sb_table_u64(table, f->pending);
    add_zero(table, f->missing);
    sb_table_u64(table, f->lost);
    add_zero(table, f->doubles);
    add_zero(table, f->unequal);
}

static void add_age(struct verify *v, int64_t told_ms)
{
    char age[32] = "never";

    if (told_ms != 0)
        sb_print_age(v->now_ms - told_ms, age, sizeof(age));
    sb_table_text(v->table, age);
}

static bool show_entry(void *ctx, const struct audit_entry *entry)
{
    struct verify *v = ctx;

    v->streams++;
    if (entry->told_ms == 0)
        v->untold = true;
    else if (v->oldest_ms == 0 || entry->told_ms < v->oldest_ms)
        v->oldest_ms = entry->told_ms;
    if (sb_cli_json(v->c.cli)) {
        put_entry(v, entry);
        return true;
    }
    sb_table_text(v->table, entry->device);
    sb_table_text(v->table, entry->epoch);
    sb_table_text(v->table, entry->stream);
    add_figures(v->table, &entry->figures);
    add_age(v, entry->told_ms);
    return true;
}

static void print_json(struct verify *v, const struct fresh *fresh,
                       const struct audit_figures *total)
{
    sb_put_close(&v->out, ']');
    sb_put_open(&v->out, "total", '{');
    put_figures(&v->out, total);
    sb_put_u64(&v->out, "gaps", total->gaps);
    sb_put_u64(&v->out, "astray", total->astray);
    sb_put_close(&v->out, '}');
    sb_put_bool(&v->out, "success", audit_clean(total));
    if (fresh->wanted)
        sb_put_bool(&v->out, "fresh", fresh->done);
    else
        sb_put_null(&v->out, "fresh");
    put_age(&v->out, v, v->untold ? 0 : v->oldest_ms);
    sb_put_close(&v->out, '}');
    cloud_cli_print_json(&v->out);
}

static void print_table(struct verify *v, const struct audit_figures *total)
{
    sb_table_text(v->table, "total");
    sb_table_text(v->table, "");
    sb_table_text(v->table, "");
    add_figures(v->table, total);
    if (v->streams > 0)
        add_age(v, v->untold ? 0 : v->oldest_ms);
    else
        sb_table_text(v->table, "");
    sb_table_print(v->table, sb_cli_colour(v->c.cli), stdout);
    if (!audit_clean(total))
        sb_cli_note(v->c.cli,
                    "missing %" PRIu64 ", doubles %" PRIu64 ", unequal %" PRIu64 ", gaps %" PRIu64
                    ", astray %" PRIu64,
                    total->missing, total->doubles, total->unequal, total->gaps, total->astray);
}

/* ---- the verb ---- */

static bool match_device(void *ctx, const struct device_info *info)
{
    struct verify *v = ctx;

    if (strcmp(info->device, v->device) != 0)
        return true;
    v->streams = 1; /* it is known and has made nothing */
    return false;
}

/* A misspelled device must not look like one of which nothing is missing. */
static int check_known(struct verify *v, struct sb_err *err)
{
    int rc = 0;

    if (v->device != NULL && v->streams == 0)
        rc = store_devices(v->c.store, match_device, v, err);
    if (rc == 0 && v->device != NULL && v->streams == 0)
        rc = sb_fail(err, SB_ENOT_FOUND, "device %.64s is not known", v->device);
    return rc;
}

int cmd_verify(struct sb_cli *cli)
{
    static const char *const heads[] = {
        "DEVICE",   "EPOCH",     "STREAM",    ">MADE",    ">STORED",   ">DUPLICATES",
        ">REVISED", ">REJECTED", ">CONFLICT", ">HOLES",   ">BRANCHED", ">DROPPED",
        ">PENDING", ">MISSING",  ">LOST",     ">DOUBLES", ">UNEQUAL",  ">AGE"};
    struct verify v = {.device = sb_cli_text(cli, "device")};
    struct audit_figures total = {0};
    struct fresh fresh = {0};
    struct sb_err err = {0};
    int rc, status = cloud_cli_open(&v.c, cli, STORE_READ);

    if (status != 0)
        return status;
    ask_devices(&v, &fresh);
    v.now_ms = sb_clock_now().wall_us / 1000;
    v.table = sb_table_new(heads, sizeof(heads) / sizeof(heads[0]));
    sb_put_open(&v.out, NULL, '{');
    sb_put_open(&v.out, "streams", '[');
    rc = audit_run(v.c.store, v.device, show_entry, &v, &total, &err);
    if (rc == 0)
        rc = check_known(&v, &err);
    if (rc == 0 && sb_cli_json(cli))
        print_json(&v, &fresh, &total);
    else if (rc == 0)
        print_table(&v, &total);
    sb_table_free(v.table);
    sb_buf_free(&v.out);
    sb_buf_free(&fresh.answer);
    cloud_cli_close(&v.c);
    if (rc != 0)
        return sb_cli_fail(cli, &err);
    return audit_clean(&total) ? 0 : 1;
}
