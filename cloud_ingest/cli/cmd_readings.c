/* readings: rows of one device and sensor type as they came, one line each, with memory that does
 * not grow with their number. */
#include "cloud_cli.h"

#include <inttypes.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/conf_value.h"

#define FLUSH_BYTES 65536
#define NAMES_MAX   4096 /* different fields of one CSV file */

const struct sb_cli_option readings_options[] = {
    {.name = "device", .kind = SB_CLI_TEXT, .required = true, .value = "DEVICE", .help = "whose"},
    {.name = "type",
     .kind = SB_CLI_TEXT,
     .required = true,
     .value = "TYPE",
     .help = "sensor type, such as air_quality"},
    {.name = "since",
     .kind = SB_CLI_TEXT,
     .value = "TIME",
     .help = "measured at or after this (2026-01-02T03:04:05Z), or that long ago (24h)"},
    {.name = "limit", .kind = SB_CLI_NUMBER, .value = "N", .help = "the first N in order"},
    {.name = "format", .kind = SB_CLI_TEXT, .value = "ndjson|csv", .help = "default: ndjson"},
    {0}};

const char readings_help[] =
    "In the order they were made: epochs as they were first seen, then numbers. Values come as "
    "they\n"
    "were sent: integers, doubles and texts unchanged, what was not measured is null (NDJSON) or "
    "an\n"
    "empty field (CSV; an empty text is \"\"). ts is the device's own time; ts_corrected stands\n"
    "beside it where its clock is known by now to have been wrong. branch > 0: other content came\n"
    "under a number that was taken, and both are kept.\n"
    "\n"
    "CSV has a column for every field that occurs, so it looks through the rows twice.\n"
    "\n"
    "examples:\n"
    "  cloud_ingest readings --device edge-001 --type air_quality --since 24h --format csv\n"
    "  cloud_ingest readings --device edge-001 --type system | jq .values.cpu_percent\n";

struct name {
    char *text; /* first: the key */
    size_t column;
};

struct readings {
    struct cloud_cli c;
    struct reading_query query;
    struct sb_buf out;
    uint64_t rows;

    /* CSV */
    void *by_name; /* tsearch(3) of struct name */
    struct name *names[NAMES_MAX];
    size_t name_count;
    const struct reading_field **cells; /* of one row, by column */
    bool too_many;
    uint64_t left_out; /* fields of rows that came between the two looks */
};

/* ---- NDJSON ---- */

/* Strings come as characters, all else as JSON text. */
static void put_value(struct sb_buf *out, const struct reading_field *field)
{
    if (field->type == SB_JSON_STRING)
        sb_put_span(out, field->name, field->text);
    else
        sb_put_raw(out, field->name, field->text);
}

static bool print_ndjson(void *ctx, const struct reading_info *info)
{
    struct readings *r = ctx;
    struct sb_buf *out = &r->out;

    sb_put_open(out, NULL, '{');
    sb_put_text(out, "device", r->query.device);
    sb_put_text(out, "type", r->query.type);
    sb_put_text(out, "epoch", info->epoch);
    if (info->branch > 0)
        sb_put_i64(out, "branch", info->branch);
    sb_put_u64(out, "seq", info->seq);
    sb_put_text(out, "ts", info->ts);
    if (info->corrected)
        sb_put_time_us(out, "ts_corrected", info->corrected_us);
    sb_put_time_ms(out, "received_at", info->rx_ms);
    sb_put_open(out, "values", '{');
    for (size_t i = 0; i < info->count; i++)
        put_value(out, &info->fields[i]);
    sb_put_close(out, '}');
    sb_put_close(out, '}');
    sb_buf_add_char(out, '\n');
    r->rows++;
    if (out->len >= FLUSH_BYTES)
        sb_cli_print(out);
    return ferror(stdout) == 0;
}

/* ---- CSV ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

static const struct name *find_name(const struct readings *r, char *text)
{
    const struct name key = {.text = text};
    void *const *node = tfind(&key, &r->by_name, compare_names);

    return node != NULL ? *node : NULL;
}

static void add_name(struct readings *r, const char *text)
{
    struct name *name;

    if (r->name_count == NAMES_MAX) {
        r->too_many = true;
        return;
    }
    name = sb_xcalloc(1, sizeof(*name));
    name->text = sb_xstrdup(text);
    name->column = r->name_count;
    r->names[r->name_count++] = name;
    if (tsearch(name, &r->by_name, compare_names) == NULL)
        abort(); /* out of memory, as everywhere */
}

/* Rows of one type mostly have the same fields in the same order, so the names of the row before
 * are looked at first. */
static const struct name *name_of(const struct readings *r, const struct reading_field *field,
                                  size_t i)
{
    char text[SB_NAME_MAX + 1];

    if (i < r->name_count && strcmp(r->names[i]->text, field->name) == 0)
        return r->names[i];
    snprintf(text, sizeof(text), "%s", field->name);
    return find_name(r, text);
}

static bool note_names(void *ctx, const struct reading_info *info)
{
    struct readings *r = ctx;

    for (size_t i = 0; i < info->count; i++)
        if (name_of(r, &info->fields[i], i) == NULL)
            add_name(r, info->fields[i].name);
    r->rows++;
    return !r->too_many;
}

static void print_head(struct readings *r)
{
    static const char fixed[] = "epoch,branch,seq,ts,ts_corrected,received_at";

    sb_buf_add_str(&r->out, fixed);
    for (size_t i = 0; i < r->name_count; i++) {
        const char *name = r->names[i]->text;
        bool taken = strcmp(name, "epoch") == 0 || strcmp(name, "branch") == 0 ||
                     strcmp(name, "seq") == 0 || strcmp(name, "ts_corrected") == 0 ||
                     strcmp(name, "received_at") == 0;

        sb_buf_add_fmt(&r->out, ",%s%s", taken ? "value." : "", name);
    }
    sb_buf_add_str(&r->out, "\r\n");
}

static void print_cells(struct readings *r)
{
    for (size_t i = 0; i < r->name_count; i++) {
        const struct reading_field *field = r->cells[i];

        sb_buf_add_char(&r->out, ',');
        if (field == NULL || field->type == SB_JSON_NULL)
            continue;
        if (field->type == SB_JSON_NUMBER)
            sb_buf_add_span(&r->out, field->text);
        else
            cloud_csv_text(&r->out, field->text);
    }
    sb_buf_add_str(&r->out, "\r\n");
}

static bool print_csv(void *ctx, const struct reading_info *info)
{
    struct readings *r = ctx;
    char corrected[SB_TIME_TEXT] = "", received[SB_TIME_TEXT];

    memset(r->cells, 0, r->name_count * sizeof(*r->cells));
    for (size_t i = 0; i < info->count; i++) {
        const struct name *name = name_of(r, &info->fields[i], i);

        if (name != NULL)
            r->cells[name->column] = &info->fields[i];
        else
            r->left_out++;
    }
    if (info->corrected)
        sb_time_print(info->corrected_us, corrected);
    sb_time_print(info->rx_ms * 1000, received);
    sb_buf_add_fmt(&r->out, "%s,%d,%" PRIu64 ",%s,%s,%s", info->epoch, info->branch, info->seq,
                   info->ts, corrected, received);
    print_cells(r);
    if (r->out.len >= FLUSH_BYTES)
        sb_cli_print(&r->out);
    return ferror(stdout) == 0;
}

static int run_csv(struct readings *r, struct sb_err *err)
{
    int rc = store_readings(r->c.store, &r->query, note_names, r, err);

    if (rc == 0 && r->too_many)
        rc = sb_fail(err, SB_ELIMIT, "more than %d different fields: use --format ndjson",
                     NAMES_MAX);
    if (rc != 0 || r->rows == 0)
        return rc;
    r->cells = sb_xcalloc(r->name_count + 1, sizeof(*r->cells));
    print_head(r);
    rc = store_readings(r->c.store, &r->query, print_csv, r, err);
    if (rc == 0 && r->left_out > 0)
        rc = sb_fail(err, SB_EBUSY,
                     "%" PRIu64 " values of rows that came meanwhile have no column: try again",
                     r->left_out);
    return rc;
}

static void free_names(struct readings *r)
{
    for (size_t i = 0; i < r->name_count; i++) {
        tdelete(r->names[i], &r->by_name, compare_names);
        free(r->names[i]->text);
        free(r->names[i]);
    }
    free(r->cells);
}

/* ---- the verb ---- */

/* A time, or how long ago. */
static int read_since(struct readings *r, const char *text)
{
    const struct sb_conf_key duration = {.type = SB_CONF_MS};
    int64_t ago;

    r->query.has_since = true;
    if (sb_time_parse(sb_span_of(text), &r->query.since_us))
        return 0;
    if (text[0] == '\0' || sb_conf_value_parse(&duration, text, &ago, NULL) != 0)
        return sb_cli_usage(r->c.cli, "--since '%.40s': 2026-01-02T03:04:05Z or 24h is wanted",
                            text);
    r->query.since_us = sb_clock_now().wall_us - ago * 1000;
    return 0;
}

static int read_query(struct readings *r, struct sb_cli *cli, bool *csv)
{
    const char *format = sb_cli_text(cli, "format"), *since = sb_cli_text(cli, "since");

    r->c.cli = cli;
    r->query.device = sb_cli_text(cli, "device");
    r->query.type = sb_cli_text(cli, "type");
    r->query.limit = (uint64_t)sb_cli_number(cli, "limit", 0);
    *csv = format != NULL && strcmp(format, "csv") == 0;
    if (sb_cli_given(cli, "limit") && r->query.limit == 0)
        return sb_cli_usage(cli, "--limit: a number from 1 is wanted");
    if (format != NULL && !*csv && strcmp(format, "ndjson") != 0)
        return sb_cli_usage(cli, "--format '%.40s': ndjson or csv is wanted", format);
    return since != NULL ? read_since(r, since) : 0;
}

int cmd_readings(struct sb_cli *cli)
{
    struct readings *r = sb_xcalloc(1, sizeof(*r));
    struct sb_err err = {0};
    bool csv;
    int rc, status = read_query(r, cli, &csv);

    if (status == 0)
        status = cloud_cli_open(&r->c, cli, STORE_READ);
    if (status != 0)
        goto free_readings;
    rc = csv ? run_csv(r, &err) : store_readings(r->c.store, &r->query, print_ndjson, r, &err);
    sb_cli_print(&r->out);
    if (rc == 0 && r->rows == 0)
        rc = sb_fail(&err, SB_ENOT_FOUND, "no such readings of %.64s from %.64s", r->query.type,
                     r->query.device);
    status = rc == 0 ? 0 : sb_cli_fail(cli, &err);
    sb_buf_free(&r->out);
    free_names(r);
    cloud_cli_close(&r->c);

free_readings:
    free(r);
    return status;
}
