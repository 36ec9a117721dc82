#include "table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "clock.h"
#include "json_text.h"

#define BOLD  "\033[1m"
#define GREEN "\033[32m"
#define RED   "\033[31m"
#define PLAIN "\033[0m"

enum mood { NEUTRAL, GOOD, BAD };

struct cell {
    char *text;
    size_t width;
    enum mood mood;
};

struct sb_table {
    const char *const *heads;
    size_t columns;
    struct cell *cells;
    size_t count, room;
};

struct sb_table *sb_table_new(const char *const *heads, size_t columns)
{
    struct sb_table *table = sb_xcalloc(1, sizeof(*table));

    table->heads = heads;
    table->columns = columns;
    return table;
}

void sb_table_free(struct sb_table *table)
{
    if (table == NULL)
        return;
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i].text);
    free(table->cells);
    free(table);
}

/* C0, DEL, and C1 as UTF-8 writes them (C2 80 to C2 9F). */
static bool drives_terminal(const char *at, unsigned len)
{
    unsigned char first = (unsigned char)at[0];

    if (len == 1)
        return first < 0x20 || first == 0x7f;
    return len == 2 && first == 0xc2 && (unsigned char)at[1] < 0xa0;
}

void sb_print_safe(struct sb_span text, struct sb_buf *out)
{
    const char *at = text.data, *end = text.data + text.len;

    while (at < end) {
        unsigned len = (unsigned char)*at < 0x80 ? 1 : sb_utf8_sequence(at, end);
        unsigned bytes = len == 0 ? 1 : len;

        if (len == 0 || drives_terminal(at, len))
            for (unsigned i = 0; i < bytes; i++)
                sb_buf_add_fmt(out, "\\x%02x", (unsigned char)at[i]);
        else
            sb_buf_add(out, at, len);
        at += bytes;
    }
}

/* Characters, each taken as one column wide. */
static size_t width_of(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

void sb_table_span(struct sb_table *table, struct sb_span text)
{
    struct sb_buf safe = {0};
    struct cell *cell;

    if (table->count == table->room) {
        table->room = table->room == 0 ? 64 : table->room * 2;
        table->cells = sb_xrealloc(table->cells, table->room * sizeof(*table->cells));
    }
    if (text.len == 0)
        text = SB_SPAN("-");
    sb_print_safe(text, &safe);
    cell = &table->cells[table->count++];
    *cell = (struct cell){.text = sb_buf_take(&safe)};
    cell->width = width_of(cell->text);
}

void sb_table_text(struct sb_table *table, const char *text)
{
    sb_table_span(table, sb_span_of(text));
}

void sb_table_u64(struct sb_table *table, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, value);
    sb_table_text(table, text);
}

void sb_table_time_ms(struct sb_table *table, int64_t wall_ms)
{
    char text[SB_TIME_TEXT] = "";

    if (wall_ms != 0)
        sb_time_print(wall_ms * 1000, text);
    sb_table_text(table, text);
}

void sb_table_good(struct sb_table *table)
{
    table->cells[table->count - 1].mood = GOOD;
}

void sb_table_bad(struct sb_table *table)
{
    table->cells[table->count - 1].mood = BAD;
}

size_t sb_table_rows(const struct sb_table *table)
{
    return table->count / table->columns;
}

static bool is_right(const struct sb_table *table, size_t column)
{
    return table->heads[column][0] == '>';
}

static const char *head_of(const struct sb_table *table, size_t column)
{
    return table->heads[column] + is_right(table, column);
}

static void print_cell(const struct sb_table *table, size_t column, const struct cell *cell,
                       size_t width, const char *colour, FILE *out)
{
    int gap = (int)(width - cell->width);
    bool last = column + 1 == table->columns;

    if (is_right(table, column))
        fprintf(out, "%*s", gap, "");
    fprintf(out, "%s%s%s", colour, cell->text, colour[0] != '\0' ? PLAIN : "");
    if (!is_right(table, column) && !last)
        fprintf(out, "%*s", gap, "");
    fputs(last ? "\n" : "  ", out);
}

static const char *colour_of(enum mood mood)
{
    switch (mood) {
    case GOOD:
        return GREEN;
    case BAD:
        return RED;
    case NEUTRAL:
        break;
    }
    return "";
}

void sb_table_print(const struct sb_table *table, bool colour, FILE *out)
{
    size_t *widths = sb_xcalloc(table->columns, sizeof(*widths));

    SB_CHECK(table->count % table->columns == 0);
    for (size_t c = 0; c < table->columns; c++)
        widths[c] = width_of(head_of(table, c));
    for (size_t i = 0; i < table->count; i++)
        if (widths[i % table->columns] < table->cells[i].width)
            widths[i % table->columns] = table->cells[i].width;
    for (size_t c = 0; c < table->columns; c++) {
        char *text = sb_xstrdup(head_of(table, c));
        struct cell head = {.text = text, .width = width_of(text)};

        print_cell(table, c, &head, widths[c], colour ? BOLD : "", out);
        free(text);
    }
    for (size_t i = 0; i < table->count; i++) {
        const struct cell *cell = &table->cells[i];

        print_cell(table, i % table->columns, cell, widths[i % table->columns],
                   colour ? colour_of(cell->mood) : "", out);
    }
    free(widths);
}

void sb_print_age(int64_t age_ms, char *out, size_t size)
{
    int64_t seconds = age_ms < 0 ? 0 : age_ms / 1000;

    if (seconds < 120)
        snprintf(out, size, "%" PRId64 " s", seconds);
    else if (seconds < 7200)
        snprintf(out, size, "%" PRId64 " min", seconds / 60);
    else if (seconds < 172800)
        snprintf(out, size, "%" PRId64 " h", seconds / 3600);
    else
        snprintf(out, size, "%" PRId64 " days", seconds / 86400);
}
