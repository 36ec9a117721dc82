#include "edge_agent/import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zlib.h>

#include "common/json_scan.h"
#include "edge_agent/import_csv.h"

#define READ_BYTES 262144

/* What the start of the window turned out to be. */
enum row_kind { ROW_RECORD, ROW_SKIPPED, ROW_REJECTED };
struct row {
    enum row_kind kind;
    size_t used;  /* bytes */
    size_t lines; /* and lines it takes */
    enum extract_reason reason;
    struct sb_err why;
};

/* The last row that was read of a file. */
struct cursor {
    bool found;
    uint64_t offset, hash;
};

struct import {
    struct outbox *ob;
    struct enqueue *eq;
    const struct import_options *options;
    struct import_report *report;

    gzFile file;
    struct sb_buf window; /* bytes from `at` on are not read yet */
    size_t at;
    bool last;       /* nothing comes behind the window */
    bool dropping;   /* inside a line that is too long */
    uint64_t offset; /* of window.data[at] in the text */
    uint64_t line;   /* number of the line there, from 1 */

    struct csv csv;
    struct extract_places places;
    bool first_seen;      /* the first row was looked at: header or not */
    struct sb_buf header; /* bytes of the first header line */

    bool resuming;        /* behind the cursor an earlier run ended */
    struct cursor cursor; /* as this run has read or written it */

    /* the open group */
    size_t group_rows, group_bytes;
    uint64_t group_records;
    uint64_t last_offset; /* of the last row read */
    struct sb_buf last_row, record, text;
};

/* ---- the window ---- */

static struct sb_span rest(const struct import *in)
{
    return (struct sb_span){sb_buf_span(&in->window).data + in->at, in->window.len - in->at};
}

static int read_error(struct import *in, struct sb_err *err)
{
    int code;
    const char *why = gzerror(in->file, &code);

    if (code == Z_ERRNO)
        return sb_fail_errno(err, errno, "%.160s", in->options->path);
    if (code == Z_BUF_ERROR)
        why = "its compressed data ends too early";
    return sb_fail(err, SB_EBAD_GZIP, "%.120s: %.80s", in->options->path, why);
}

static int fill(struct import *in, struct sb_err *err)
{
    int got, code = Z_OK;

    if (in->at > 0) {
        memmove(in->window.data, in->window.data + in->at, in->window.len - in->at);
        in->window.len -= in->at;
        in->at = 0;
    }
    sb_buf_reserve(&in->window, READ_BYTES);
    got = gzread(in->file, in->window.data + in->window.len, READ_BYTES);
    if (got >= 0 && got < READ_BYTES)
        (void)gzerror(in->file, &code);
    if (got < 0 || code == Z_BUF_ERROR || code == Z_DATA_ERROR)
        return read_error(in, err);
    in->window.len += (size_t)got;
    in->last = got == 0;
    return 0;
}

/* ---- one row of CSV ---- */

/* The first line of the window, NUL-terminated and without its end, for regular expressions. */
static const char *line_text(struct import *in, struct sb_span window)
{
    const char *newline = memchr(window.data, '\n', window.len);
    size_t len = newline != NULL ? (size_t)(newline - window.data) : window.len;

    if (len > 0 && window.data[len - 1] == '\r')
        len--;
    sb_buf_clear(&in->text);
    sb_buf_add(&in->text, window.data, len);
    return in->text.data;
}

static bool line_is_whole(const struct import *in, struct sb_span window)
{
    return in->last || memchr(window.data, '\n', window.len) != NULL;
}

static void skip_line(struct sb_span window, struct row *row)
{
    const char *newline = memchr(window.data, '\n', window.len);

    row->kind = ROW_SKIPPED;
    row->used = newline != NULL ? (size_t)(newline - window.data) + 1 : window.len;
    row->lines = 1;
}

static int take_header(struct import *in, struct sb_span raw, struct sb_err *err)
{
    struct extract_map *map = in->options->map;
    size_t count = in->csv.count < EXTRACT_COLUMNS_MAX ? in->csv.count : EXTRACT_COLUMNS_MAX;
    int rc = 0;

    if (map->schema_count == 0)
        rc = extract_map_of_header(map, in->csv.cells, count, in->options->stream.class, err);
    if (rc == 0)
        rc = extract_read_header(map, in->csv.cells, count, &in->places, err);
    if (rc == 0 && in->header.len == 0)
        sb_buf_add_span(&in->header, raw);
    return rc;
}

/* Is this row, already split, a header? The first row may be one; later ones repeat the first
 * header or are named by the map. */
static bool is_header(struct import *in, struct sb_span raw)
{
    const struct extract_map *map = in->options->map;
    size_t count = in->csv.count < EXTRACT_COLUMNS_MAX ? in->csv.count : EXTRACT_COLUMNS_MAX;

    if (in->header.len > 0 && sb_span_eq(raw, sb_buf_span(&in->header)))
        return true;
    if (map->header_line != NULL && extract_is_header_line(map, line_text(in, raw)))
        return true;
    if (in->first_seen)
        return false;
    return map->header == EXTRACT_HEADER_YES ||
           (map->header == EXTRACT_HEADER_AUTO && extract_looks_like_header(in->csv.cells, count));
}

/* A header that the map does not know: at the top of the file an error, later on every row until
 * the next header is refused. */
static int on_header(struct import *in, struct sb_span raw, struct sb_err *err)
{
    struct sb_err own = {0};
    int rc;

    if (in->options->map->schema_count == 0 &&
        !extract_looks_like_header(in->csv.cells, in->csv.count < EXTRACT_COLUMNS_MAX
                                                      ? in->csv.count
                                                      : EXTRACT_COLUMNS_MAX))
        return sb_fail(err, SB_ECONFIG, "%.120s: its first line is no header; --map is needed",
                       in->options->path);
    rc = take_header(in, raw, &own);
    if (rc == 0)
        return 0;
    if (in->first_seen) {
        in->places = (struct extract_places){.header_count = 0};
        return 0;
    }
    if (err != NULL)
        *err = own;
    sb_err_prefix(err, "%.100s", in->options->path);
    return -(int)SB_ECONFIG;
}

static void refuse_row(struct row *row, enum extract_reason reason, const char *why)
{
    row->kind = ROW_REJECTED;
    row->reason = reason;
    (void)sb_fail(&row->why, SB_EBAD_VALUE, "%s", why);
}

/* A row that is torn may have swallowed the next lines with a quote: those get their own turn. */
static void drop_first_line_only(struct import *in, struct row *row)
{
    if (row->lines > 1) {
        row->used = in->csv.first_line;
        row->lines = 1;
    }
}

static int split_row(struct import *in, struct sb_span window, struct row *row, struct sb_err *err)
{
    const struct extract_map *map = in->options->map;
    struct sb_span raw = {window.data, in->csv.used};
    int rc;

    row->used = in->csv.used;
    row->lines = in->csv.lines;
    if (memchr(raw.data, '\0', raw.len) != NULL) {
        refuse_row(row, EXTRACT_NUL, "the line holds a NUL byte");
        drop_first_line_only(in, row);
        in->first_seen = true;
        return 0;
    }
    if (is_header(in, raw)) {
        rc = on_header(in, raw, err);
        row->kind = ROW_SKIPPED;
        in->first_seen = true;
        return rc;
    }
    in->first_seen = true;
    row->reason =
        extract_row(map, &in->places, in->csv.cells, in->csv.count, &in->record, &row->why);
    row->kind = row->reason == EXTRACT_OK ? ROW_RECORD : ROW_REJECTED;
    if (row->kind == ROW_REJECTED)
        drop_first_line_only(in, row);
    return 0;
}

/* 1: more bytes are needed. */
static int next_csv(struct import *in, struct row *row, struct sb_err *err)
{
    const struct extract_map *map = in->options->map;
    struct sb_span window = rest(in);

    if (map->skip_count > 0 && line_is_whole(in, window) &&
        extract_skips(map, line_text(in, window))) {
        skip_line(window, row);
        return 0;
    }
    if (in->csv.delimiter == '\0' && line_is_whole(in, window) &&
        strchr("\r\n", window.data[0]) == NULL)
        in->csv.delimiter = map->delimiter != '\0' ? map->delimiter : csv_guess_delimiter(window);
    switch (csv_next(&in->csv, window, in->last)) {
    case CSV_MORE:
        return 1;
    case CSV_ROW:
        return split_row(in, window, row, err);
    case CSV_BLANK:
        skip_line(window, row);
        return 0;
    case CSV_QUOTE:
        refuse_row(row, EXTRACT_QUOTE, "a quote is left open, or text follows a closing one");
        break;
    case CSV_TOO_LONG:
        refuse_row(row, EXTRACT_TOO_LONG, "longer than 1 MiB");
        in->dropping = window.data[in->csv.used - 1] != '\n';
        break;
    }
    row->used = in->csv.used;
    row->lines = 1;
    return 0;
}

/* ---- one line of NDJSON ---- */

static void read_object(struct import *in, struct sb_span line, struct row *row)
{
    static const struct sb_json_limits limits = {SB_RECORD_MAX_BYTES, SB_JSON_MAX_DEPTH,
                                                 SB_JSON_MAX_NODES};
    struct sb_span object;

    if (sb_json_check(line, &limits, &object, &row->why) != 0) {
        row->kind = ROW_REJECTED;
        row->reason = EXTRACT_JSON;
        return;
    }
    row->reason =
        extract_object(in->options->map, object, in->options->stream.class, &in->record, &row->why);
    row->kind = row->reason == EXTRACT_OK ? ROW_RECORD : ROW_REJECTED;
}

static int next_ndjson(struct import *in, struct row *row)
{
    const struct extract_map *map = in->options->map;
    struct sb_span window = rest(in), line;

    if (!line_is_whole(in, window) && window.len <= CSV_ROW_MAX)
        return 1;
    skip_line(window, row);
    line = (struct sb_span){window.data, row->used};
    if (row->used > CSV_ROW_MAX) {
        refuse_row(row, EXTRACT_TOO_LONG, "longer than 1 MiB");
        in->dropping = line.data[line.len - 1] != '\n';
        return 0;
    }
    while (line.len > 0 && strchr("\r\n\t ", line.data[line.len - 1]) != NULL &&
           line.data[line.len - 1] != '\0')
        line.len--;
    if (line.len > 0 && !(map->skip_count > 0 && extract_skips(map, line_text(in, window))))
        read_object(in, line, row);
    return 0;
}

/* ---- groups ---- */

static int read_cursor(const struct import *in, struct cursor *cursor, struct sb_err *err)
{
    *cursor = (struct cursor){.found = false};
    return outbox_cursor_get(in->ob, in->options->source, &cursor->offset, &cursor->hash,
                             &cursor->found, err);
}

/* Inside the group's transaction. Where the cursor is not where this run has left it, another one
 * has brought these rows in meanwhile. */
static int move_cursor(struct import *in, const struct cursor *next, struct sb_err *err)
{
    struct cursor now;
    int rc = enqueue_begin(in->eq, err);

    if (rc == 0)
        rc = read_cursor(in, &now, err);
    if (rc == 0 && (now.found != in->cursor.found || now.offset != in->cursor.offset ||
                    now.hash != in->cursor.hash))
        rc = sb_fail(err, SB_EBUSY, "%.160s: another import is reading it", in->options->path);
    return rc == 0 ? outbox_cursor_set(in->ob, in->options->source, next->offset, next->hash, err)
                   : rc;
}

static int commit_group(struct import *in, struct sb_err *err)
{
    const struct cursor next = {true, in->last_offset, sb_hash64(sb_buf_span(&in->last_row))};
    int rc = 0;

    if (in->group_rows == 0)
        return 0;
    if (in->options->source != NULL)
        rc = move_cursor(in, &next, err);
    if (rc == 0)
        rc = enqueue_commit(in->eq, err);
    if (rc != 0) {
        enqueue_rollback(in->eq);
        return rc;
    }
    in->cursor = next;
    if (enqueue_sends(in->eq, in->options->stream.class))
        in->report->enqueued += in->group_records;
    else
        in->report->local += in->group_records;
    in->group_rows = in->group_bytes = 0;
    in->group_records = 0;
    if (in->options->hooks.committed != NULL)
        in->options->hooks.committed(in->options->hooks.ctx, in->report,
                                     (uint64_t)gzoffset(in->file));
    return 0;
}

static void count_rejected(struct import *in, const char *reason, const char *why)
{
    in->report->rejected++;
    if (in->options->hooks.rejected != NULL)
        in->options->hooks.rejected(in->options->hooks.ctx, in->line, reason, why);
}

/* in->record → the outbox; what the agent refuses is a rejected row. */
static int enqueue(struct import *in, struct sb_err *err)
{
    struct sb_err own = {0};
    int rc = enqueue_record(in->eq, &in->options->stream, sb_buf_span(&in->record),
                            (struct sb_span){"", 0}, sb_clock_now(), NULL, &own);

    if (rc == 0) {
        in->group_records++;
        return 0;
    }
    if (sb_code_class(own.code) != SB_REJECT) {
        if (err != NULL)
            *err = own;
        return rc;
    }
    in->report->reasons[EXTRACT_REFUSED]++;
    in->report->codes[own.code]++;
    count_rejected(in, sb_code_name(own.code), own.msg);
    return 0;
}

/* The last line, refused, without its end or with a quote open: perhaps it is still being written.
 * It is counted, but the next run looks at it again. */
static bool may_grow(const struct import *in, const struct row *row)
{
    struct sb_span window = rest(in);

    return row->kind == ROW_REJECTED && in->last && row->used == window.len &&
           (window.data[window.len - 1] != '\n' || row->reason == EXTRACT_QUOTE);
}

static int take_row(struct import *in, const struct row *row, struct sb_err *err)
{
    int rc = 0;

    in->report->lines += row->lines;
    in->report->bytes += row->used;
    switch (row->kind) {
    case ROW_RECORD:
        rc = enqueue(in, err);
        break;
    case ROW_SKIPPED:
        in->report->skipped++;
        break;
    case ROW_REJECTED:
        in->report->reasons[row->reason]++;
        count_rejected(in, extract_reason_name(row->reason), row->why.msg);
        break;
    }
    if (rc != 0 || may_grow(in, row) || in->dropping)
        return rc;
    in->last_offset = in->offset;
    sb_buf_clear(&in->last_row);
    sb_buf_add(&in->last_row, rest(in).data, row->used);
    in->group_rows++;
    in->group_bytes += row->used;
    return 0;
}

/* A row that an earlier run has read. The last of them must still be what it was. */
static int pass_row(struct import *in, const struct row *row, struct sb_err *err)
{
    struct sb_span raw = {rest(in).data, row->used};

    in->report->before++;
    if (in->offset < in->cursor.offset)
        return 0;
    if (in->offset > in->cursor.offset || sb_hash64(raw) != in->cursor.hash)
        return sb_fail(err, SB_EBAD_VALUE,
                       "%.120s: line %llu is not what it was when it was read last; --again starts "
                       "over",
                       in->options->path, (unsigned long long)in->line);
    in->resuming = false;
    return 0;
}

static int on_row(struct import *in, const struct row *row, struct sb_err *err)
{
    int rc = in->resuming ? pass_row(in, row, err) : take_row(in, row, err);

    in->at += row->used;
    in->offset += row->used;
    in->line += row->lines;
    if (rc == 0 && (in->group_rows >= IMPORT_GROUP_ROWS || in->group_bytes >= IMPORT_GROUP_BYTES))
        rc = commit_group(in, err);
    return rc;
}

/* Goes to the end of a line that is too long. True when it is there. */
static bool drop_line(struct import *in)
{
    struct sb_span window = rest(in);
    const char *newline = window.len > 0 ? memchr(window.data, '\n', window.len) : NULL;
    size_t used = newline != NULL ? (size_t)(newline - window.data) + 1 : window.len;

    in->at += used;
    in->offset += used;
    in->dropping = newline == NULL;
    return newline != NULL;
}

static int read_rows(struct import *in, struct sb_err *err)
{
    int rc = 0;

    while (rc == 0) {
        struct row row = {0};
        bool more = rest(in).len == 0;

        if (more && in->last)
            break;
        if (!more && in->dropping)
            more = !drop_line(in);
        else if (!more) {
            sb_buf_clear(&in->record);
            rc = in->options->map->ndjson ? next_ndjson(in, &row) : next_csv(in, &row, err);
            more = rc == 1;
            if (rc == 0)
                rc = on_row(in, &row, err);
        }
        if (more)
            rc = fill(in, err);
        if (more && rc != 0)
            (void)commit_group(in, NULL); /* the file is broken here; what came before is good */
    }
    return rc;
}

/* ---- the file ---- */

static int open_file(struct import *in, struct sb_err *err)
{
    const char *path = in->options->path;
    int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return sb_fail_errno(err, errno, "%.160s", path);
    in->file = gzdopen(fd, "rb");
    if (in->file == NULL) {
        close(fd);
        return sb_fail(err, SB_EIO, "%.160s: cannot be read", path);
    }
    gzbuffer(in->file, READ_BYTES);
    return fill(in, err);
}

static int find_start(struct import *in, struct sb_err *err)
{
    int rc = 0;

    if (in->window.len >= 3 && memcmp(in->window.data, "\xef\xbb\xbf", 3) == 0)
        in->at = in->offset = 3;
    if (in->options->source != NULL)
        rc = read_cursor(in, &in->cursor, err);
    in->resuming = in->cursor.found && !in->options->again;
    return rc;
}

int import_file(struct outbox *ob, struct enqueue *eq, const struct import_options *options,
                struct import_report *report, struct sb_err *err)
{
    struct import in = {.ob = ob, .eq = eq, .options = options, .report = report, .line = 1};
    int rc;

    *report = (struct import_report){0};
    csv_init(&in.csv, '\0');
    rc = open_file(&in, err);
    if (rc == 0)
        rc = find_start(&in, err);
    if (rc == 0)
        rc = read_rows(&in, err);
    if (rc == 0 && in.resuming)
        rc = sb_fail(err, SB_EBAD_VALUE,
                     "%.120s: shorter than when it was read last; --again starts over",
                     options->path);
    if (rc == 0)
        rc = commit_group(&in, err);
    else
        enqueue_rollback(eq);
    if (in.file != NULL)
        gzclose(in.file);
    csv_fini(&in.csv);
    sb_buf_free(&in.window);
    sb_buf_free(&in.header);
    sb_buf_free(&in.last_row);
    sb_buf_free(&in.record);
    sb_buf_free(&in.text);
    return rc;
}
