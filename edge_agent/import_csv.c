#include "edge_agent/import_csv.h"

#include <string.h>

void csv_init(struct csv *csv, char delimiter)
{
    *csv = (struct csv){.delimiter = delimiter};
}

void csv_fini(struct csv *csv)
{
    sb_buf_free(&csv->quoted);
}

char csv_guess_delimiter(struct sb_span line)
{
    static const char candidates[] = ",;\t|";
    size_t best_count = 0;
    char best = ',';

    for (const char *c = candidates; *c != '\0'; c++) {
        size_t count = 0;

        for (size_t i = 0; i < line.len && line.data[i] != '\n'; i++)
            count += line.data[i] == *c;
        if (count > best_count) {
            best_count = count;
            best = *c;
        }
    }
    return best;
}

static void add_cell(struct csv *csv, const char *data, size_t len)
{
    if (csv->count < EXTRACT_COLUMNS_MAX)
        csv->cells[csv->count] = (struct sb_span){data, len};
    csv->count++;
}

/* A line without quotes: the common case. */
static void split_plain(struct csv *csv, const char *at, const char *end)
{
    const char *comma;

    while ((comma = memchr(at, csv->delimiter, (size_t)(end - at))) != NULL) {
        add_cell(csv, at, (size_t)(comma - at));
        at = comma + 1;
    }
    add_cell(csv, at, (size_t)(end - at));
}

/* ---- rows with quotes ---- */

enum ended { BY_DELIMITER, BY_LINE, BY_END, BADLY };

/* What follows a field: a delimiter, a line end (taken), the end of everything, or rubbish. */
static enum ended after_field(const struct csv *csv, const char **at, const char *end)
{
    if (*at == end)
        return BY_END;
    if (**at == csv->delimiter) {
        ++*at;
        return BY_DELIMITER;
    }
    if (**at == '\r' && *at + 1 < end && (*at)[1] == '\n')
        ++*at;
    else if (**at == '\r' && *at + 1 == end)
        return BY_END;
    if (**at != '\n')
        return BADLY;
    ++*at;
    return BY_LINE;
}

/* A field in quotes, *at behind its opening one; *at comes to stand behind the closing one. Offsets
 * into csv->quoted are kept as lengths until the row is whole, because the buffer moves. */
static bool quoted_field(struct csv *csv, const char **at, const char *end)
{
    size_t start = csv->quoted.len;
    const char *quote;

    while ((quote = memchr(*at, '"', (size_t)(end - *at))) != NULL) {
        sb_buf_add(&csv->quoted, *at, (size_t)(quote - *at));
        *at = quote + 1;
        if (*at == end || **at != '"') {
            /* data is set by settle_cells */
            add_cell(csv, NULL, csv->quoted.len - start);
            return true;
        }
        sb_buf_add_char(&csv->quoted, '"');
        ++*at;
    }
    return false;
}

static void plain_field(struct csv *csv, const char **at, const char *end)
{
    const char *from = *at;

    while (*at < end && **at != csv->delimiter && **at != '\n')
        ++*at;
    if (*at < end && **at == '\n' && *at > from && (*at)[-1] == '\r')
        --*at;
    add_cell(csv, from, (size_t)(*at - from));
}

/* Quoted cells lie one behind the other in csv->quoted, which no longer moves. */
static void settle_cells(struct csv *csv)
{
    size_t at = 0;

    for (size_t i = 0; i < csv->count && i < EXTRACT_COLUMNS_MAX; i++) {
        if (csv->cells[i].data != NULL)
            continue;
        csv->cells[i].data = sb_buf_span(&csv->quoted).data + at;
        at += csv->cells[i].len;
    }
}

static size_t count_lines(const char *from, const char *to)
{
    size_t lines = 0;

    for (; (from = memchr(from, '\n', (size_t)(to - from))) != NULL; from++)
        lines++;
    return lines;
}

/* Reads the row; BADLY where its quotes are torn, BY_END where the window ended inside it. */
static enum ended split_quoted(struct csv *csv, const char *start, const char *end)
{
    const char *at = start;
    enum ended ended = BY_DELIMITER;

    sb_buf_clear(&csv->quoted);
    while (ended == BY_DELIMITER) {
        if (at < end && *at == '"') {
            at++;
            if (!quoted_field(csv, &at, end)) {
                csv->used = 0; /* the closing quote is not in sight */
                return BY_END;
            }
        } else {
            plain_field(csv, &at, end);
        }
        ended = after_field(csv, &at, end);
    }
    csv->used = (size_t)(at - start);
    return ended;
}

static enum csv_result quoted_row(struct csv *csv, struct sb_span window, bool last)
{
    enum ended ended = split_quoted(csv, window.data, window.data + window.len);
    bool torn = ended == BADLY || (ended == BY_END && csv->used == 0);

    if (torn && ended == BY_END && !last && window.len < CSV_QUOTE_MAX)
        return CSV_MORE;
    if (ended == BY_END && !torn && !last)
        return CSV_MORE;
    if (torn || (csv->used > csv->first_line && csv->used > CSV_QUOTE_MAX)) {
        csv->used = csv->first_line;
        csv->lines = 1;
        return CSV_QUOTE;
    }
    if (ended == BY_END)
        csv->used = window.len;
    csv->lines = count_lines(window.data, window.data + csv->used);
    csv->lines += csv->lines == 0 || window.data[csv->used - 1] != '\n';
    settle_cells(csv);
    return CSV_ROW;
}

enum csv_result csv_next(struct csv *csv, struct sb_span window, bool last)
{
    const char *newline = window.len > 0 ? memchr(window.data, '\n', window.len) : NULL;
    size_t line = newline != NULL ? (size_t)(newline - window.data) : window.len;

    csv->count = 0;
    csv->lines = 1;
    csv->used = csv->first_line = newline != NULL ? line + 1 : line;
    if (line > CSV_ROW_MAX)
        return CSV_TOO_LONG;
    if (newline == NULL && !last)
        return CSV_MORE;
    if (line > 0 && window.data[line - 1] == '\r')
        line--;
    if (line == 0)
        return CSV_BLANK;
    if (memchr(window.data, '"', line) != NULL)
        return quoted_row(csv, window, last);
    split_plain(csv, window.data, window.data + line);
    return CSV_ROW;
}
