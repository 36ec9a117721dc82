#include "store_sqlite.h"

#include <string.h>

#include "common/clock.h"
#include "store_requests.h"

/* What devices and operators read: documents since a cursor, versions, and who is bound. */

/* ---- cursors ---- */

static int version_has_tag(struct store *store, const char *user, const struct sb_cursor *cursor,
                           bool *has, struct sb_err *err)
{
    struct query *q =
        query_start(store, "SELECT 1 FROM versions WHERE user = ? AND version = ? AND tag = ?");
    int rc;

    query_text(q, user);
    query_seq(q, cursor->version);
    query_text(q, cursor->tag);
    rc = query_find(q, has, err);
    return query_done(q, rc);
}

int store_cursor_known(struct store *store, const char *user, const struct sb_cursor *cursor,
                       uint64_t began, bool *known, struct sb_err *err)
{
    struct user_row row;
    int rc;

    *known = cursor->version == 0;
    if (*known)
        return 0;
    rc = store_user_get(store, user, &row, err);
    if (rc != 0 || cursor->version > row.version ||
        (cursor->version < row.floor && began < row.floor))
        return rc;
    if (cursor->version == row.version) {
        *known = strcmp(cursor->tag, row.tag) == 0;
        return 0;
    }
    return version_has_tag(store, user, cursor, known, err);
}

/* ---- changes ---- */

static void read_time(struct query *q, int column, char out[SB_UUID_LEN + 1])
{
    char text[SB_TIME_TEXT];

    sb_time_print(query_get_int(q, column), text);
    memcpy(out, text, strlen(text) + 1);
}

static void read_change(struct query *q, struct document_row *row)
{
    struct sb_document *doc = &row->document;

    doc->exists = true;
    doc->version = query_get_seq(q, 0);
    query_get_str(q, 1, doc->tag);
    query_get_str(q, 2, doc->op_id);
    query_get_str(q, 3, doc->device);
    query_get_str(q, 4, doc->hlc);
    doc->deleted = query_get_int(q, 5) != 0;
    sb_buf_clear(&doc->data);
    sb_buf_add_span(&doc->data, query_get_span(q, 6));
    read_time(q, 7, doc->updated_at);
    row->merged = query_get_int(q, 8) != 0;
    query_get_str(q, 9, row->stamp_device);
    sb_buf_clear(&doc->stamps);
    sb_buf_add_span(&doc->stamps, query_get_span(q, 10));
}

int store_changes(struct store *store, const char *user, const char *table, uint64_t since,
                  uint64_t limit, bool (*each)(void *ctx, const char *id, struct document_row *row),
                  void *ctx, struct sb_err *err)
{
    struct query *q = query_start(
        store, "SELECT v.version, v.tag, v.op_id, v.device, d.hlc, v.deleted,"
               " coalesce(v.result, v.submitted), v.made_us, v.merged, d.stamp_device, d.stamps,"
               " d.id FROM documents d JOIN versions v ON v.user = d.user AND v.version = d.version"
               " WHERE d.user = ? AND d.tbl = ? AND d.version > ? ORDER BY d.version LIMIT ?");
    struct document_row row = {.merged = false};
    char id[SB_ID_MAX + 1];
    int rc;

    query_text(q, user);
    query_text(q, table);
    query_seq(q, since);
    query_seq(q, limit);
    while ((rc = query_row(q, err)) == 1) {
        read_change(q, &row);
        query_get_str(q, 11, id);
        if (!each(ctx, id, &row)) {
            query_end(q);
            rc = 0;
            break;
        }
    }
    sb_document_free(&row.document);
    return rc;
}

/* ---- versions ---- */

int store_versions(struct store *store, const char *user, const char *doc, uint64_t before,
                   uint64_t limit, bool (*each)(void *ctx, const struct sb_version_entry *entry),
                   void *ctx, struct sb_err *err)
{
    struct query *q = query_start(
        store, "SELECT version, tag, op_id, device, hlc, deleted, made_us,"
               " length(CAST(coalesce(result, submitted) AS BLOB)) FROM versions"
               " WHERE user = ? AND doc = ? AND version < ? ORDER BY version DESC LIMIT ?");
    int rc;

    query_text(q, user);
    query_text(q, doc);
    query_seq(q, before > 0 ? before : SB_SEQ_MAX + 1);
    query_seq(q, limit);
    while ((rc = query_row(q, err)) == 1) {
        struct sb_version_entry entry = {.version = query_get_seq(q, 0)};

        query_get_str(q, 1, entry.tag);
        query_get_str(q, 2, entry.op_id);
        query_get_str(q, 3, entry.device);
        query_get_str(q, 4, entry.hlc);
        entry.deleted = query_get_int(q, 5) != 0;
        read_time(q, 6, entry.updated_at);
        entry.size = query_get_seq(q, 7);
        if (!each(ctx, &entry)) {
            query_end(q);
            return 0;
        }
    }
    return rc;
}

int store_version_get(struct store *store, const char *user, const char *doc, uint64_t version,
                      struct sb_document *out, struct sb_err *err)
{
    struct query *q = query_start(
        store, "SELECT version, tag, op_id, device, hlc, deleted, made_us,"
               " coalesce(result, submitted) FROM versions WHERE user = ? AND version = ?"
               " AND doc = ?");
    int rc;

    sb_document_free(out);
    query_text(q, user);
    query_seq(q, version);
    query_text(q, doc);
    rc = query_find(q, &out->exists, err);
    if (out->exists) {
        out->version = query_get_seq(q, 0);
        query_get_str(q, 1, out->tag);
        query_get_str(q, 2, out->op_id);
        query_get_str(q, 3, out->device);
        query_get_str(q, 4, out->hlc);
        out->deleted = query_get_int(q, 5) != 0;
        read_time(q, 6, out->updated_at);
        if (!out->deleted)
            sb_buf_add_span(&out->data, query_get_span(q, 7));
    }
    return query_done(q, rc);
}

/* ---- bindings ---- */

int store_user_devices(struct store *store, const char *user,
                       bool (*each)(void *ctx, const char *device), void *ctx, struct sb_err *err)
{
    struct query *q = query_start(store, "SELECT b.device FROM bindings b JOIN devices d"
                                         " ON d.device = b.device WHERE b.user = ?"
                                         " AND d.revoked = 0 ORDER BY b.device");
    char device[SB_NAME_MAX + 1];
    int rc;

    query_text(q, user);
    while ((rc = query_row(q, err)) == 1) {
        query_get_str(q, 0, device);
        if (!each(ctx, device)) {
            query_end(q);
            return 0;
        }
    }
    return rc;
}

int store_only_user(struct store *store, const char *device, char user[SB_NAME_MAX + 1], int *count,
                    struct sb_err *err)
{
    struct query *q = query_start(store, "SELECT user FROM bindings WHERE device = ? LIMIT 2");
    int rc;

    *count = 0;
    user[0] = '\0';
    query_text(q, device);
    while ((rc = query_row(q, err)) == 1) {
        query_get_text(q, 0, user, SB_NAME_MAX + 1);
        (*count)++;
    }
    return rc;
}
