#include "store_sqlite.h"

#include <string.h>

#include "common/clock.h"
#include "store_requests.h"

/* Operations of which nothing was applied: listed, shown and closed. */

#define TOLD                                                                                       \
    "id, user, doc, device, stream, op_id, code, pointers, hlc, server_version, opened_ms,"        \
    " resolved_ms, resolution, resolved_by, note"
/* A document is as long as a thousand entries: a list does not read it. */
#define WHOLE TOLD ", base, submitted"

static void read_time_ms(struct query *q, int column, char out[SB_UUID_LEN + 1])
{
    int64_t ms = query_get_int(q, column);
    char text[SB_TIME_TEXT];

    if (ms == 0)
        return;
    sb_time_print(ms * 1000, text);
    memcpy(out, text, strlen(text) + 1);
}

/* pointers: the buffer that the entry's share. */
static void read_entry(struct query *q, struct sb_buf *pointers, struct conflict_entry *out)
{
    struct sb_conflict_entry *told = &out->told;
    struct sb_span code = query_get_span(q, 6);
    char doc[STORE_DOC_MAX + 1];
    const char *id;

    *out = (struct conflict_entry){.told = {.id = query_get_seq(q, 0)}};
    query_get_str(q, 1, told->user);
    query_get_str(q, 2, doc);
    id = store_doc_parse(doc, told->table);
    memcpy(told->document, id, strlen(id) + 1);
    query_get_str(q, 3, told->device);
    query_get_str(q, 4, out->stream);
    query_get_str(q, 5, told->op_id);
    told->code = code.len > 0 ? sb_code_from_name(code.data, code.len) : SB_OK;
    sb_buf_clear(pointers);
    sb_buf_add_span(pointers, query_get_span(q, 7));
    told->pointers = *pointers;
    query_get_str(q, 8, told->hlc);
    told->server_version = query_get_seq(q, 9);
    read_time_ms(q, 10, told->opened_at);
    read_time_ms(q, 11, told->resolved_at);
    sb_choice_parse(query_get_span(q, 12), &told->resolution);
    query_get_str(q, 13, told->resolved_by);
    query_get_str(q, 14, told->note);
}

int store_conflict_entries(struct store *store, const char *user, bool open, uint64_t after,
                           uint64_t limit,
                           bool (*each)(void *ctx, const struct conflict_entry *entry), void *ctx,
                           struct sb_err *err)
{
    /* texts of their own, so that each has its index: open ones are few among many */
    static const char *const texts[2][2] = {
        {"SELECT " TOLD " FROM conflicts WHERE ?1 IS NULL AND id > ?2 ORDER BY id LIMIT ?3",
         "SELECT " TOLD " FROM conflicts WHERE user = ?1 AND id > ?2 ORDER BY id LIMIT ?3"},
        {"SELECT " TOLD " FROM conflicts WHERE id IN (SELECT id FROM conflicts INDEXED BY"
         " conflicts_open WHERE resolved_ms IS NULL AND ?1 IS NULL AND id > ?2 ORDER BY id"
         " LIMIT ?3) ORDER BY id",
         "SELECT " TOLD " FROM conflicts INDEXED BY conflicts_open WHERE resolved_ms IS NULL"
         " AND user = ?1 AND id > ?2 ORDER BY id LIMIT ?3"},
    };
    struct query *q = query_start(store, texts[open][user != NULL]);
    struct sb_buf pointers = {0};
    struct conflict_entry entry;
    int rc;

    if (user != NULL)
        query_text(q, user);
    else
        query_null(q);
    query_seq(q, after);
    query_int(q, limit > 0 ? (int64_t)limit : -1);
    while ((rc = query_row(q, err)) == 1) {
        read_entry(q, &pointers, &entry);
        pointers = entry.told.pointers;
        if (!each(ctx, &entry)) {
            query_end(q);
            rc = 0;
            break;
        }
    }
    sb_buf_free(&pointers);
    return rc;
}

int store_conflict_entry(struct store *store, uint64_t id, bool *found,
                         void (*each)(void *ctx, const struct conflict_entry *entry), void *ctx,
                         struct sb_err *err)
{
    struct query *q = query_start(store, "SELECT " WHOLE " FROM conflicts WHERE id = ?");
    struct sb_buf pointers = {0};
    struct conflict_entry entry;
    int rc;

    query_seq(q, id);
    rc = query_find(q, found, err);
    if (*found) {
        read_entry(q, &pointers, &entry);
        pointers = entry.told.pointers;
        entry.base = query_get_span(q, 15);
        entry.submitted = query_get_span(q, 16);
        each(ctx, &entry);
    }
    sb_buf_free(&pointers);
    return query_done(q, rc);
}

int store_conflict_of_op(struct store *store, const char *device, const char *user,
                         const char *op_id, uint64_t *id, bool *open, struct sb_err *err)
{
    static const char of_user[] =
        "SELECT id, resolved_ms IS NULL FROM conflicts WHERE device = ?1"
        " AND stream IN ('settings/' || ?2, 'records/' || ?2) AND op_id = ?3"
        " ORDER BY id DESC LIMIT 1";
    static const char of_any[] =
        "SELECT id, resolved_ms IS NULL FROM conflicts WHERE device = ?1 AND stream IN"
        " (SELECT 'settings/' || user FROM bindings WHERE device = ?1 UNION ALL"
        "  SELECT 'records/' || user FROM bindings WHERE device = ?1)"
        " AND (?2 IS NULL) AND op_id = ?3 ORDER BY id DESC LIMIT 1";
    struct query *q = query_start(store, user != NULL ? of_user : of_any);
    bool found;
    int rc;

    *id = 0;
    *open = false;
    query_text(q, device);
    if (user != NULL)
        query_text(q, user);
    else
        query_null(q);
    query_text(q, op_id);
    rc = query_find(q, &found, err);
    if (found) {
        *id = query_get_seq(q, 0);
        *open = query_get_int(q, 1) != 0;
    }
    return query_done(q, rc);
}

int store_conflict_close(struct store *store, uint64_t id, enum sb_choice choice, const char *by,
                         const char *note, int64_t now_ms, bool *closed, struct sb_err *err)
{
    struct query *q = query_start(
        store, "UPDATE conflicts SET resolved_ms = ?, resolution = ?, resolved_by = ?, note = ?"
               " WHERE id = ? AND resolved_ms IS NULL");
    int rc;

    query_int(q, now_ms);
    query_text(q, sb_choice_name(choice));
    query_text(q, by);
    query_span_or_null(q, sb_span_of(note));
    query_seq(q, id);
    rc = query_run(q, err);
    *closed = rc == 0 && sqlite3_changes(store->db) > 0;
    return rc;
}
