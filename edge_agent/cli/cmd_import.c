/* import: files of readings or command history. */
#include "edge_agent/cli/agent_cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/table.h"
#include "edge_agent/import.h"

#define MAP_MAX_BYTES  262144
#define SHOWN_PER_FILE 10 /* refused lines that are named on standard error */
#define BAR_WIDTH      30

const struct sb_cli_option import_options_list[] = {
    {.name = "stream",
     .kind = SB_CLI_TEXT,
     .required = true,
     .value = "STREAM",
     .help = "sensors/<type>, or history with --user"},
    {.name = "user", .kind = SB_CLI_TEXT, .value = "USER", .help = "whose history it is"},
    {.name = "map", .kind = SB_CLI_TEXT, .value = "FILE", .help = "which column is which field"},
    {.name = "format",
     .kind = SB_CLI_TEXT,
     .value = "FORMAT",
     .help = "csv or ndjson; without it the map or the file's name says it"},
    {.name = "again", .help = "from the start, whatever was read before"},
    {.name = "strict", .help = "exit with 1 when a line was refused"},
    {.name = "quiet", .help = "no progress, no refused lines on standard error"},
    {0}};

const char import_help[] =
    "Reads CSV and NDJSON files, plain or gzip; FILE \"-\" is standard input. Without --map the "
    "names in\n"
    "a CSV header are the fields, and ts, timestamp or time is the time (UTC where it has no "
    "zone).\n"
    "Maps are described in IMPORT.md.\n"
    "\n"
    "A line that is torn or does not fit is refused and counted by reason, never shifted. Each "
    "file is\n"
    "read once: an import that was interrupted goes on where it stopped, and a file that has grown "
    "is\n"
    "read from where it ended.\n"
    "\n"
    "examples:\n"
    "  edge_agent import --stream sensors/air_quality readings.csv\n"
    "  edge_agent import --stream sensors/air_quality --map sds011.json 2018-*.csv.gz\n"
    "  edge_agent import --stream history --user user-1 --format ndjson commands.jsonl\n";

struct totals {
    uint64_t lines, before, enqueued, local, skipped, rejected;
};

struct importer {
    struct sb_cli *cli;
    struct agent_config config;
    struct agent_cli_outbox outbox;
    struct sb_stream stream;
    struct sb_buf map_text; /* of --map; empty = none */
    bool json, quiet, bar;

    const char *path; /* the file at hand */
    uint64_t size;    /* its bytes, 0 = not known */
    unsigned shown;   /* refused lines named */
    int64_t next_bar_ms;
    struct sb_buf out;
    struct sb_table *table;
    struct totals totals;
};

/* ---- progress ---- */

static void draw_bar(struct importer *im, const struct import_report *report, uint64_t place)
{
    int64_t now_ms = sb_clock_now().mono_ms;
    int filled = im->size > 0 && place <= im->size ? (int)(place * BAR_WIDTH / im->size) : 0;

    if (!im->bar || now_ms < im->next_bar_ms)
        return;
    im->next_bar_ms = now_ms + 100;
    fprintf(stderr, "\r\033[K%.40s ", im->path);
    if (im->size > 0) {
        fputc('[', stderr);
        for (int i = 0; i < BAR_WIDTH; i++)
            fputc(i < filled ? '#' : '.', stderr);
        fprintf(stderr, "] %d%%", (int)(place * 100 / im->size));
    }
    fprintf(stderr, " %llu enqueued, %llu rejected", (unsigned long long)report->enqueued,
            (unsigned long long)report->rejected);
}

static void clear_bar(struct importer *im)
{
    if (im->bar)
        fputs("\r\033[K", stderr);
    im->next_bar_ms = 0;
}

static void on_committed(void *ctx, const struct import_report *report, uint64_t place)
{
    struct importer *im = ctx;

    agent_cli_wake(&im->config);
    draw_bar(im, report, place);
}

static void on_rejected(void *ctx, uint64_t line, const char *reason, const char *why)
{
    struct importer *im = ctx;
    struct sb_buf safe = {0};

    if (im->quiet || ++im->shown > SHOWN_PER_FILE + 1)
        return;
    clear_bar(im);
    if (im->shown > SHOWN_PER_FILE) {
        sb_cli_note(im->cli, "%s: further lines are counted only", im->path);
        return;
    }
    sb_print_safe(sb_span_of(why), &safe);
    sb_cli_note(im->cli, "%s:%llu: %s [%s]", im->path, (unsigned long long)line, safe.data, reason);
    sb_buf_free(&safe);
}

/* ---- results ---- */

static const char *reason_at(size_t i, const struct import_report *report, uint64_t *count)
{
    if (i < EXTRACT_REASON_COUNT) {
        *count = i == EXTRACT_REFUSED ? 0 : report->reasons[i];
        return extract_reason_name((enum extract_reason)i);
    }
    *count = report->codes[i - EXTRACT_REASON_COUNT];
    return sb_code_name((enum sb_code)(i - EXTRACT_REASON_COUNT));
}

#define REASONS (EXTRACT_REASON_COUNT + SB_CODE_COUNT)

static void put_rejects(struct sb_buf *out, const struct import_report *report)
{
    uint64_t count;

    sb_put_open(out, "rejects", '{');
    for (size_t i = 0; i < REASONS; i++) {
        const char *name = reason_at(i, report, &count);

        if (count > 0)
            sb_put_u64(out, name, count);
    }
    sb_put_close(out, '}');
}

static void put_counts(struct sb_buf *out, const struct totals *t)
{
    sb_put_u64(out, "lines", t->lines);
    sb_put_u64(out, "enqueued", t->enqueued);
    sb_put_u64(out, "local", t->local);
    sb_put_u64(out, "rejected", t->rejected);
    sb_put_u64(out, "skipped", t->skipped);
    sb_put_u64(out, "read_before", t->before);
}

static void report_json(struct importer *im, const struct import_report *report,
                        const struct totals *t, const struct sb_err *err)
{
    char stream[SB_STREAM_MAX + 1];

    sb_stream_print(&im->stream, stream);
    sb_put_open(&im->out, NULL, '{');
    sb_put_text(&im->out, "file", im->path);
    sb_put_text(&im->out, "stream", stream);
    sb_put_bool(&im->out, "success", err->code == SB_OK);
    put_counts(&im->out, t);
    put_rejects(&im->out, report);
    sb_put_u64(&im->out, "bytes", report->bytes);
    if (err->code != SB_OK) {
        sb_put_text(&im->out, "code", sb_code_name(err->code));
        sb_put_text(&im->out, "reason", err->msg);
    }
    sb_put_close(&im->out, '}');
}

static void report_row(struct importer *im, const struct import_report *report,
                       const struct totals *t)
{
    struct sb_buf reasons = {0};
    uint64_t count;

    sb_table_text(im->table, im->path);
    sb_table_u64(im->table, t->lines);
    sb_table_u64(im->table, t->enqueued + t->local);
    sb_table_u64(im->table, t->rejected);
    if (t->rejected > 0)
        sb_table_bad(im->table);
    sb_table_u64(im->table, t->skipped);
    sb_table_u64(im->table, t->before);
    for (size_t i = 0; i < REASONS; i++) {
        const char *name = reason_at(i, report, &count);

        if (count > 0)
            sb_buf_add_fmt(&reasons, "%s%s %llu", reasons.len > 0 ? ", " : "", name,
                           (unsigned long long)count);
    }
    sb_table_span(im->table, sb_buf_span(&reasons));
    sb_buf_free(&reasons);
}

static void add_totals(struct totals *sum, const struct totals *t)
{
    sum->lines += t->lines;
    sum->before += t->before;
    sum->enqueued += t->enqueued;
    sum->local += t->local;
    sum->skipped += t->skipped;
    sum->rejected += t->rejected;
}

/* ---- one file ---- */

static bool ends_with(const char *text, const char *suffix)
{
    size_t len = strlen(text), suffix_len = strlen(suffix);

    return len >= suffix_len && strcmp(text + len - suffix_len, suffix) == 0;
}

static bool named_ndjson(const char *path)
{
    static const char *const endings[] = {".ndjson",    ".jsonl",    ".json",
                                          ".ndjson.gz", ".jsonl.gz", ".json.gz"};

    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
        if (ends_with(path, endings[i]))
            return true;
    return false;
}

/* A map of its own for each file: without --map it comes from the file's header. */
static int make_map(struct importer *im, struct extract_map *map, struct sb_err *err)
{
    const char *format = sb_cli_text(im->cli, "format");
    int rc;

    if (im->map_text.len > 0) {
        rc = extract_map_parse(sb_buf_span(&im->map_text), im->stream.class, map, err);
        if (rc == 0 && format != NULL && map->ndjson != (strcmp(format, "ndjson") == 0)) {
            extract_map_fini(map);
            rc = sb_fail(err, SB_EUSAGE, "--format %s, but the map is for %s", format,
                         map->ndjson ? "ndjson" : "csv");
        }
        return rc;
    }
    extract_map_default(map);
    map->ndjson = format != NULL ? strcmp(format, "ndjson") == 0 : named_ndjson(im->path);
    return 0;
}

/* One cursor for each stream and file, by the file's own path wherever it is called from. */
static char *source_name(const struct importer *im)
{
    char stream[SB_STREAM_MAX + 1], *real = realpath(im->path, NULL);
    struct sb_buf name = {0};

    if (real == NULL)
        return NULL;
    sb_stream_print(&im->stream, stream);
    sb_buf_add_fmt(&name, "import:%s:%s", stream, real);
    free(real);
    return sb_buf_take(&name);
}

static int read_file(struct importer *im, struct import_report *report, struct sb_err *err)
{
    struct extract_map map = {0};
    struct import_options options = {
        .path = im->path,
        .stream = im->stream,
        .map = &map,
        .again = sb_cli_given(im->cli, "again"),
        .hooks = {.rejected = on_rejected, .committed = on_committed, .ctx = im},
    };
    char *source = strcmp(im->path, "-") == 0 ? NULL : source_name(im);
    struct stat st;
    int rc;

    im->shown = 0;
    im->size = stat(im->path, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    options.source = source;
    rc = make_map(im, &map, err);
    if (rc == 0) {
        rc = import_file(im->outbox.ob, im->outbox.eq, &options, report, err);
        extract_map_fini(&map);
    }
    clear_bar(im);
    agent_cli_wake(&im->config);
    free(source);
    return rc;
}

static int import_one(struct importer *im, const char *path)
{
    struct import_report report = {0};
    struct sb_err err = {0};
    struct totals t;
    int rc;

    im->path = path;
    rc = read_file(im, &report, &err);
    t = (struct totals){report.lines, report.before,  report.enqueued,
                        report.local, report.skipped, report.rejected};
    add_totals(&im->totals, &t);
    if (im->json)
        report_json(im, &report, &t, &err);
    else
        report_row(im, &report, &t);
    return rc != 0 ? agent_cli_fail(im->cli, &err) : 0;
}

/* ---- the verb ---- */

static int prepare(struct importer *im)
{
    const char *text = sb_cli_text(im->cli, "stream"), *user = sb_cli_text(im->cli, "user");
    const char *map = sb_cli_text(im->cli, "map"), *format = sb_cli_text(im->cli, "format");
    char stream[SB_STREAM_MAX + SB_NAME_MAX + 4];
    struct sb_err err = {0};
    int status = agent_cli_config(im->cli, &im->config);

    if (status != 0)
        return status;
    if (user != NULL && agent_cli_check_user(user, &err) != 0)
        return agent_cli_fail(im->cli, &err);
    snprintf(stream, sizeof(stream), "%.70s%s%.65s", text, user != NULL ? "/" : "",
             user != NULL ? user : "");
    if (sb_stream_parse(sb_span_of(stream), &im->stream, &err) != 0 ||
        (im->stream.class != SB_UP_SENSORS && im->stream.class != SB_UP_HISTORY))
        return sb_cli_usage(im->cli, "--stream is sensors/<type>, or history with --user");
    if (format != NULL && strcmp(format, "csv") != 0 && strcmp(format, "ndjson") != 0)
        return sb_cli_usage(im->cli, "--format is csv or ndjson");
    if (map != NULL && agent_cli_read_file(map, MAP_MAX_BYTES, &im->map_text, &err) != 0)
        return agent_cli_fail(im->cli, &err);
    if (agent_cli_open(&im->config, true, &im->outbox, &err) != 0)
        return agent_cli_fail(im->cli, &err);
    im->json = sb_cli_json(im->cli);
    im->quiet = sb_cli_given(im->cli, "quiet");
    im->bar = !im->quiet && isatty(STDERR_FILENO);
    return 0;
}

static int import_all(struct importer *im)
{
    int status = 0;

    if (im->json)
        sb_put_open(&im->out, NULL, '{'), sb_put_open(&im->out, "files", '[');
    for (size_t i = 0; i < sb_cli_arg_count(im->cli); i++) {
        int one = import_one(im, sb_cli_arg(im->cli, i));

        status = status != 0 ? status : one;
    }
    if (status == 0 && im->totals.rejected > 0 && sb_cli_given(im->cli, "strict"))
        status = 1;
    if (im->json) {
        sb_put_close(&im->out, ']');
        sb_put_bool(&im->out, "success", status == 0);
        put_counts(&im->out, &im->totals);
        sb_put_close(&im->out, '}');
        sb_buf_add_char(&im->out, '\n');
        sb_cli_print(&im->out);
    } else {
        sb_table_print(im->table, sb_cli_colour(im->cli), stdout);
    }
    return status;
}

int cmd_import(struct sb_cli *cli)
{
    static const char *const heads[] = {"file",     ">lines",       ">enqueued", ">rejected",
                                        ">skipped", ">read before", "reasons"};
    struct importer im = {.cli = cli};
    int status = prepare(&im);

    if (status == 0) {
        im.table = sb_table_new(heads, sizeof(heads) / sizeof(heads[0]));
        status = import_all(&im);
        sb_table_free(im.table);
    }
    agent_cli_close(&im.outbox);
    sb_buf_free(&im.map_text);
    sb_buf_free(&im.out);
    return status;
}
