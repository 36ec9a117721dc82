#include "edge_agent/cli/places.h"

#include <string.h>

#include "common/doc.h"
#include "common/json_read.h"

/* Where the last two columns differ; freed by the caller. */
static void find_places(const struct places_column *columns, size_t count, struct sb_pointers *out)
{
    sb_doc_changed(columns[count - 2].document, columns[count - 1].document, NULL, out);
}

/* A value cut to what a cell holds, never inside a character. */
static void add_cell(struct sb_table *table, struct sb_span value)
{
    struct sb_buf text = {0};
    size_t shown = 0, at = 0;

    while (at < value.len && shown < PLACES_CELL) {
        at++;
        while (at < value.len && ((unsigned char)value.data[at] & 0xc0) == 0x80)
            at++;
        shown++;
    }
    sb_buf_add(&text, value.data, at);
    if (at < value.len)
        sb_buf_add_str(&text, "...");
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] == '\n' || text.data[i] == '\r' || text.data[i] == '\t')
            text.data[i] = ' '; /* white space of JSON */
    sb_table_span(table, sb_buf_span(&text));
    sb_buf_free(&text);
}

static bool is_undecided(struct sb_span pointer, const struct sb_pointers *undecided)
{
    for (size_t i = 0; i < undecided->count; i++)
        if (sb_pointer_inside(pointer, sb_pointers_get(undecided, i)))
            return true;
    return false;
}

void places_print(const struct sb_cli *cli, const struct places_column *columns, size_t count,
                  struct sb_span undecided)
{
    const char *heads[PLACES_COLUMNS_MAX + 2] = {"", "place"};
    struct sb_pointers places = {0}, marked = {0};
    struct sb_table *table;

    for (size_t i = 0; i < count; i++)
        heads[i + 2] = columns[i].head;
    table = sb_table_new(heads, count + 2);
    find_places(columns, count, &places);
    if (undecided.len > 0)
        (void)sb_pointers_parse(&marked, undecided, NULL);
    for (size_t p = 0; p < places.count; p++) {
        struct sb_span pointer = sb_pointers_get(&places, p);

        sb_table_text(table, is_undecided(pointer, &marked) ? "*" : " ");
        sb_table_span(table, pointer.len > 0 ? pointer : SB_SPAN("(all)"));
        for (size_t i = 0; i < count; i++)
            add_cell(table, sb_doc_get(columns[i].document, pointer, NULL));
    }
    if (sb_table_rows(table) > 0)
        sb_table_print(table, sb_cli_colour(cli), stdout);
    else
        printf("no differences\n");
    sb_table_free(table);
    sb_pointers_free(&places);
    sb_pointers_free(&marked);
}

size_t places_put(const struct places_column *columns, size_t count, const char *key,
                  struct sb_buf *out)
{
    struct sb_pointers places = {0};
    size_t found;

    find_places(columns, count, &places);
    sb_put_open(out, key, '[');
    for (size_t p = 0; p < places.count; p++) {
        struct sb_span pointer = sb_pointers_get(&places, p);

        sb_put_open(out, NULL, '{');
        sb_put_span(out, "pointer", pointer);
        for (size_t i = 0; i < count; i++) {
            struct sb_span value = sb_doc_get(columns[i].document, pointer, NULL);

            if (value.len > 0)
                sb_put_raw(out, columns[i].head, value);
        }
        sb_put_close(out, '}');
    }
    sb_put_close(out, ']');
    found = places.count;
    sb_pointers_free(&places);
    return found;
}
