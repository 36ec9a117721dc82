/* The names of documents. */
#include <stdio.h>
#include <string.h>

#include "edge_agent/outbox_docs.h"

static bool is_settings(const char *table)
{
    return strcmp(table, SB_TABLE_SETTINGS) == 0;
}

int document_name_make(struct document_name *name, const char *user, const char *table,
                       const char *id, struct sb_err *err)
{
    *name = (struct document_name){0};
    if (!sb_name_valid(sb_span_of(user)))
        return sb_fail(err, SB_EBAD_ID, "user id is not [A-Za-z0-9_-]{1,64}");
    if (!sb_table_valid(sb_span_of(table)))
        return sb_fail(err, SB_EBAD_VALUE, "table is not [a-z][a-z0-9_]{0,63}");
    if (is_settings(table) && id[0] == '\0')
        id = SB_TABLE_SETTINGS;
    if (!sb_document_id_valid(sb_span_of(id)))
        return sb_fail(err, SB_EBAD_ID, "id: 1 to %d bytes of UTF-8 without control characters",
                       SB_ID_MAX);
    if (is_settings(table) && strcmp(id, SB_TABLE_SETTINGS) != 0)
        return sb_fail(err, SB_EBAD_ID, "id: the settings are one document, without an id");
    snprintf(name->user, sizeof(name->user), "%s", user);
    snprintf(name->table, sizeof(name->table), "%s", table);
    snprintf(name->id, sizeof(name->id), "%s", id);
    return 0;
}

void document_name_text(const struct document_name *name, char text[DOCUMENT_TEXT_MAX + 1])
{
    if (is_settings(name->table))
        snprintf(text, DOCUMENT_TEXT_MAX + 1, "%s", SB_TABLE_SETTINGS);
    else
        snprintf(text, DOCUMENT_TEXT_MAX + 1, "%s/%s", name->table, name->id);
}

int document_name_parse(struct document_name *name, const char *user, struct sb_span text,
                        struct sb_err *err)
{
    const char *slash = text.len > 0 ? memchr(text.data, '/', text.len) : NULL;
    char table[SB_NAME_MAX + 1], id[SB_ID_MAX + 1];
    struct sb_span first = text, rest = {NULL, 0};

    if (slash != NULL) {
        first.len = (size_t)(slash - text.data);
        rest = (struct sb_span){slash + 1, text.len - first.len - 1};
    }
    if (first.len > SB_NAME_MAX || rest.len > SB_ID_MAX ||
        (slash == NULL && !sb_span_is(first, SB_TABLE_SETTINGS)))
        return sb_fail(err, SB_EBAD_VALUE, "'" SB_SPAN_FMT "' names no document",
                       SB_SPAN_ARG(text));
    snprintf(table, sizeof(table), SB_SPAN_FMT, SB_SPAN_ARG(first));
    snprintf(id, sizeof(id), SB_SPAN_FMT, SB_SPAN_ARG(rest));
    return document_name_make(name, user, table, id, err);
}

void document_stream(const struct document_name *name, struct sb_stream *stream)
{
    *stream =
        (struct sb_stream){.class = is_settings(name->table) ? SB_UP_SETTINGS : SB_UP_RECORDS};
    memcpy(stream->name, name->user, sizeof(stream->name));
}

bool document_name_eq(const struct document_name *a, const struct document_name *b)
{
    return strcmp(a->user, b->user) == 0 && strcmp(a->table, b->table) == 0 &&
           strcmp(a->id, b->id) == 0;
}
