/* The documents of users and the versions of them that were replaced here. */
#include "edge_agent/outbox_sqlite.h"

#include <stdio.h>
#include <string.h>

#include "common/check.h"
#include "common/rules.h"

static void bind_name(sqlite3_stmt *stmt, const struct document_name *name)
{
    sqlite3_bind_text(stmt, 1, name->user, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, name->table, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 3, name->id, -1, SQLITE_STATIC);
}

/* Runs a statement whose only parameters are the three of a name. */
static int run_named(struct outbox *ob, enum outbox_query query, const struct document_name *name,
                     struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, query, err);

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    bind_name(stmt, name);
    return outbox_run(ob, stmt, "outbox: document", err);
}

void outbox_document_fini(struct outbox_document *doc)
{
    sb_buf_free(&doc->doc);
    sb_buf_free(&doc->unsent_before);
    sb_buf_free(&doc->stamps);
    *doc = (struct outbox_document){0};
}

/* An optional text; true where the column is not null. */
static bool read_text(sqlite3_stmt *stmt, int column, struct sb_buf *out)
{
    struct sb_span text = outbox_column_span(stmt, column);

    sb_buf_clear(out);
    if (text.data == NULL)
        return false;
    sb_buf_add_span(out, text);
    return true;
}

static void read_name(sqlite3_stmt *stmt, struct document_name *name)
{
    outbox_column_copy(stmt, 0, name->user, sizeof(name->user));
    outbox_column_copy(stmt, 1, name->table, sizeof(name->table));
    outbox_column_copy(stmt, 2, name->id, sizeof(name->id));
}

/* In the order of DOCUMENT_COLUMNS. Texts of an earlier row are overwritten. */
static void read_document(sqlite3_stmt *stmt, struct outbox_document *doc)
{
    struct sb_span trouble = outbox_column_span(stmt, 14);

    doc->known = true;
    outbox_column_copy(stmt, 3, doc->last_op, sizeof(doc->last_op));
    outbox_column_copy(stmt, 4, doc->base_tag, sizeof(doc->base_tag));
    doc->version = (uint64_t)sqlite3_column_int64(stmt, 5);
    outbox_column_copy(stmt, 6, doc->version_op, sizeof(doc->version_op));
    outbox_column_copy(stmt, 7, doc->version_device, sizeof(doc->version_device));
    outbox_column_copy(stmt, 8, doc->version_at, sizeof(doc->version_at));
    doc->seen = (uint64_t)sqlite3_column_int64(stmt, 9);
    doc->loose = sqlite3_column_int(stmt, 10) != 0;
    doc->stale = sqlite3_column_int(stmt, 11) != 0;
    doc->unsent = sqlite3_column_int(stmt, 12) != 0;
    doc->sealed = sqlite3_column_int(stmt, 13) != 0;
    doc->trouble = trouble.len > 0 ? sb_code_from_name(trouble.data, trouble.len) : SB_OK;
    doc->hlc = (uint64_t)sqlite3_column_int64(stmt, 15);
    doc->op_hlc = (uint64_t)sqlite3_column_int64(stmt, 16);
    doc->updated_us = sqlite3_column_int64(stmt, 17);
    read_text(stmt, 18, &doc->stamps);
    doc->exists = read_text(stmt, 19, &doc->doc);
    doc->has_unsent_before = read_text(stmt, 20, &doc->unsent_before);
    doc->seen_top = (uint64_t)sqlite3_column_int64(stmt, 21);
}

int outbox_document_get(struct outbox *ob, const struct document_name *name,
                        struct outbox_document *out, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_DOCUMENT_GET, err);
    int rc;

    *out = (struct outbox_document){0};
    if (stmt == NULL)
        return -(int)SB_EIO;
    bind_name(stmt, name);
    rc = outbox_step(ob, stmt, "outbox: document", err);
    if (rc == 1)
        read_document(stmt, out);
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

static void bind_optional(sqlite3_stmt *stmt, int column, bool has, const struct sb_buf *text)
{
    if (has)
        sqlite3_bind_text(stmt, column, text->data, (int)text->len, SQLITE_STATIC);
}

int outbox_document_set(struct outbox *ob, const struct document_name *name,
                        const struct outbox_document *in, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_DOCUMENT_SET, err);

    SB_CHECK(ob->in_transaction);
    SB_CHECK(!in->exists || in->doc.len > 0);
    if (stmt == NULL)
        return -(int)SB_EIO;
    bind_name(stmt, name);
    sqlite3_bind_text(stmt, 4, in->last_op, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 5, in->base_tag, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 6, (int64_t)in->version);
    sqlite3_bind_text(stmt, 7, in->version_op, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 8, in->version_device, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 9, in->version_at, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 10, (int64_t)in->seen);
    sqlite3_bind_int(stmt, 11, in->loose);
    sqlite3_bind_int(stmt, 12, in->stale);
    sqlite3_bind_int(stmt, 13, in->unsent);
    sqlite3_bind_int(stmt, 14, in->sealed);
    sqlite3_bind_text(stmt, 15, in->trouble == SB_OK ? "" : sb_code_name(in->trouble), -1,
                      SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 16, (int64_t)in->hlc);
    sqlite3_bind_int64(stmt, 17, (int64_t)in->op_hlc);
    sqlite3_bind_int64(stmt, 18, in->updated_us);
    sqlite3_bind_text(stmt, 19, in->stamps.len > 0 ? in->stamps.data : "", (int)in->stamps.len,
                      SQLITE_STATIC);
    bind_optional(stmt, 20, in->exists, &in->doc);
    bind_optional(stmt, 21, in->has_unsent_before, &in->unsent_before);
    sqlite3_bind_int64(stmt, 22, (int64_t)in->seen_top);
    return outbox_run(ob, stmt, "outbox: document", err);
}

int outbox_document_forget(struct outbox *ob, const struct document_name *name, struct sb_err *err)
{
    return run_named(ob, Q_DOCUMENT_FORGET, name, err);
}

int outbox_document_see(struct outbox *ob, const struct document_name *name, const char *op_id,
                        uint64_t version, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_DOCUMENT_SEE, err);

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    bind_name(stmt, name);
    sqlite3_bind_int64(stmt, 4, (int64_t)version);
    sqlite3_bind_text(stmt, 5, op_id, -1, SQLITE_STATIC);
    return outbox_run(ob, stmt, "outbox: document", err);
}

int outbox_document_stale(struct outbox *ob, const struct document_name *name, struct sb_err *err)
{
    return run_named(ob, Q_DOCUMENT_STALE, name, err);
}

int outbox_document_seen(struct outbox *ob, const struct document_name *name, uint64_t *version,
                         struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_DOCUMENT_SEEN, err);
    int rc;

    *version = 0;
    if (stmt == NULL)
        return -(int)SB_EIO;
    bind_name(stmt, name);
    rc = outbox_step(ob, stmt, "outbox: document", err);
    if (rc == 1)
        *version = (uint64_t)sqlite3_column_int64(stmt, 0);
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int outbox_document_unsee(struct outbox *ob, const struct document_name *name, struct sb_err *err)
{
    return run_named(ob, Q_DOCUMENT_UNSEE, name, err);
}

/* ---- walks ---- */

typedef int (*each_document)(void *ctx, const struct document_name *name,
                             const struct outbox_document *doc);

static bool of_other(const char *wanted, const char *found)
{
    return wanted != NULL && strcmp(wanted, found) != 0;
}

/* Rows come by user: after the wanted one's there is nothing more to find. */
static int walk(struct outbox *ob, sqlite3_stmt *stmt, const char *user, const char *table,
                each_document each, void *ctx, struct sb_err *err)
{
    struct outbox_document doc = {0};
    struct document_name name;
    int rc;

    while ((rc = outbox_step(ob, stmt, "outbox: documents", err)) == 1) {
        read_name(stmt, &name);
        if (of_other(user, name.user))
            break;
        if (of_other(table, name.table))
            continue;
        read_document(stmt, &doc);
        if ((rc = each(ctx, &name, &doc)) != 0)
            break;
    }
    sqlite3_reset(stmt);
    outbox_document_fini(&doc);
    return rc < 0 ? rc : 0;
}

int outbox_documents(struct outbox *ob, const char *user, const char *table,
                     const struct document_name *after, each_document each, void *ctx,
                     struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_DOCUMENTS, err);

    if (stmt == NULL)
        return -(int)SB_EIO;
    if (after != NULL) {
        bind_name(stmt, after);
    } else {
        sqlite3_bind_text(stmt, 1, user != NULL ? user : "", -1, SQLITE_STATIC);
        sqlite3_bind_text(stmt, 2, user != NULL && table != NULL ? table : "", -1, SQLITE_STATIC);
        sqlite3_bind_text(stmt, 3, "", -1, SQLITE_STATIC);
    }
    return walk(ob, stmt, user, table, each, ctx, err);
}

static int walk_from(struct outbox *ob, enum outbox_query query, const char *user,
                     const char *table, each_document each, void *ctx, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, query, err);

    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_text(stmt, 1, user != NULL ? user : "", -1, SQLITE_STATIC);
    return walk(ob, stmt, user, table, each, ctx, err);
}

int outbox_documents_unsent(struct outbox *ob, const char *user, const char *table,
                            each_document each, void *ctx, struct sb_err *err)
{
    return walk_from(ob, Q_DOCUMENTS_UNSENT, user, table, each, ctx, err);
}

int outbox_documents_trouble(struct outbox *ob, const char *user, each_document each, void *ctx,
                             struct sb_err *err)
{
    return walk_from(ob, Q_DOCUMENTS_TROUBLE, user, NULL, each, ctx, err);
}

int outbox_documents_stale(struct outbox *ob, const char *user, const char *table,
                           const struct document_name *after, unsigned limit,
                           int (*each)(void *ctx, const struct document_name *name), void *ctx,
                           struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_DOCUMENTS_STALE, err);
    struct document_name name;
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_text(stmt, 1, user, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, table, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 3, after != NULL ? after->id : "", -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 4, limit);
    while ((rc = outbox_step(ob, stmt, "outbox: documents", err)) == 1) {
        read_name(stmt, &name);
        if ((rc = each(ctx, &name)) != 0)
            break;
    }
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int outbox_documents_stale_next(struct outbox *ob, char user[SB_NAME_MAX + 1],
                                char table[SB_NAME_MAX + 1], bool *found, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_DOCUMENTS_STALE_NEXT, err);
    int rc;

    *found = false;
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_text(stmt, 1, user, -1, SQLITE_TRANSIENT);
    sqlite3_bind_text(stmt, 2, table, -1, SQLITE_TRANSIENT);
    rc = outbox_step(ob, stmt, "outbox: documents", err);
    if (rc == 1) {
        *found = true;
        outbox_column_copy(stmt, 0, user, SB_NAME_MAX + 1);
        outbox_column_copy(stmt, 1, table, SB_NAME_MAX + 1);
    }
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int outbox_documents_stale_count(struct outbox *ob, uint64_t *count, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_DOCUMENTS_STALE_COUNT, err);
    int rc;

    *count = 0;
    if (stmt == NULL)
        return -(int)SB_EIO;
    rc = outbox_step(ob, stmt, "outbox: documents", err);
    if (rc == 1)
        *count = (uint64_t)sqlite3_column_int64(stmt, 0);
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

/* ---- pending (V5) ---- */

/* Does a row about the document lie in the gaps of what is settled in one (epoch, stream)? */
static int pending_in(struct outbox *ob, sqlite3_stmt *stream, const char *doc, bool *pending,
                      struct sb_err *err)
{
    int64_t s = sqlite3_column_int64(stream, 0);
    uint64_t made = (uint64_t)sqlite3_column_int64(stream, 1) - 1, from = 1;
    struct sb_ranges settled = {0};
    struct sb_range gap;
    int rc = sb_ranges_parse(&settled, outbox_column_span(stream, 2), SIZE_MAX, err);

    if (!sb_rule(SB_RULE_PULL_RESENT))
        from = (uint64_t)sqlite3_column_int64(stream, 3) + 1;
    while (rc == 0 && !*pending && from <= made && sb_ranges_gap(&settled, from, made, &gap)) {
        sqlite3_stmt *stmt = outbox_stmt(ob, Q_ROW_OF_DOCUMENT, err);

        if (stmt == NULL) {
            rc = -(int)SB_EIO;
            break;
        }
        sqlite3_bind_text(stmt, 1, doc, -1, SQLITE_STATIC);
        sqlite3_bind_int64(stmt, 2, outbox_key(s, gap.lo));
        sqlite3_bind_int64(stmt, 3, outbox_key(s, gap.hi));
        rc = outbox_step(ob, stmt, "outbox: pending", err);
        *pending = rc == 1;
        rc = rc < 0 ? rc : 0;
        sqlite3_reset(stmt);
        from = gap.hi + 1;
    }
    sb_ranges_free(&settled);
    return rc;
}

int outbox_document_pending(struct outbox *ob, const struct document_name *name, bool *pending,
                            struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_STREAM_NAMED, err);
    char doc[DOCUMENT_TEXT_MAX + 1], text[SB_STREAM_MAX + 1];
    struct sb_stream stream;
    int rc;

    *pending = false;
    if (stmt == NULL)
        return -(int)SB_EIO;
    document_name_text(name, doc);
    document_stream(name, &stream);
    sb_stream_print(&stream, text);
    sqlite3_bind_text(stmt, 1, text, -1, SQLITE_STATIC);
    while ((rc = outbox_step(ob, stmt, "outbox: pending", err)) == 1)
        if ((rc = pending_in(ob, stmt, doc, pending, err)) < 0 || *pending)
            break;
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int outbox_row_document(struct outbox *ob, int64_t s, uint64_t seq, bool *found,
                        char doc[DOCUMENT_TEXT_MAX + 1], char op_id[SB_ID_MAX + 1],
                        struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_ROW_DOCUMENT, err);
    int rc;

    doc[0] = op_id[0] = '\0';
    *found = false;
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, outbox_key(s, seq));
    rc = outbox_step(ob, stmt, "outbox: row", err);
    if (rc == 1) {
        outbox_column_copy(stmt, 0, doc, DOCUMENT_TEXT_MAX + 1);
        outbox_column_copy(stmt, 1, op_id, SB_ID_MAX + 1);
        *found = doc[0] != '\0';
    }
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int outbox_set_resent(struct outbox *ob, int64_t s, uint64_t hi, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_STREAM_RESENT, err);

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, s);
    sqlite3_bind_int64(stmt, 2, (int64_t)hi);
    return outbox_run(ob, stmt, "outbox: stream", err);
}

/* ---- V6 ---- */

static int run_table(struct outbox *ob, enum outbox_query query, const char *user,
                     const char *table, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, query, err);

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_text(stmt, 1, user, -1, SQLITE_STATIC);
    if (table != NULL)
        sqlite3_bind_text(stmt, 2, table, -1, SQLITE_STATIC);
    return outbox_run(ob, stmt, "outbox: documents", err);
}

int outbox_documents_settle_loose(struct outbox *ob, const char *user, const char *table,
                                  uint64_t version, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_DOCUMENTS_SETTLE_LOOSE, err);

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_text(stmt, 1, user, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, table, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, (int64_t)version);
    return outbox_run(ob, stmt, "outbox: documents", err);
}

int outbox_documents_forget_loose(struct outbox *ob, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_DOCUMENTS_FORGET_LOOSE, err);

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int(stmt, 1, sb_rule(SB_RULE_LOOSE)); /* else those above their cursor only */
    return outbox_run(ob, stmt, "outbox: documents", err);
}

int outbox_documents_sweep(struct outbox *ob, const char *user, const char *table,
                           struct sb_err *err)
{
    return run_table(ob, Q_DOCUMENTS_SWEEP, user, table, err);
}

int outbox_documents_forget_seen(struct outbox *ob, const char *user, const char *table,
                                 struct sb_err *err)
{
    return run_table(ob, Q_DOCUMENTS_FORGET_SEEN, user, table, err);
}

int outbox_documents_retry_trouble(struct outbox *ob, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_DOCUMENTS_RETRY_TROUBLE, err);

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    return outbox_run(ob, stmt, "outbox: documents", err);
}

/* ---- versions that were replaced here ---- */

static int cut_kept(struct outbox *ob, const struct document_name *name, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_KEPT_CUT, err);

    if (stmt == NULL)
        return -(int)SB_EIO;
    bind_name(stmt, name);
    sqlite3_bind_int(stmt, 4, OUTBOX_KEPT_VERSIONS);
    return outbox_run(ob, stmt, "outbox: local versions", err);
}

int outbox_kept_add(struct outbox *ob, const struct document_name *name,
                    const struct outbox_document *doc, int64_t wall_us, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_KEPT_ADD, err);
    int rc;

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    bind_name(stmt, name);
    sqlite3_bind_int64(stmt, 4, (int64_t)doc->version);
    sqlite3_bind_text(stmt, 5, doc->last_op, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 6, (int64_t)doc->hlc);
    sqlite3_bind_int64(stmt, 7, doc->updated_us);
    sqlite3_bind_int64(stmt, 8, wall_us);
    bind_optional(stmt, 9, doc->exists, &doc->doc);
    rc = outbox_run(ob, stmt, "outbox: local versions", err);
    return rc < 0 ? rc : cut_kept(ob, name, err);
}

int outbox_kept_purge(struct outbox *ob, int limit, int *dropped, struct sb_err *err)
{
    sqlite3_stmt *stmt;
    bool near = false;
    int rc;

    SB_CHECK(ob->in_transaction);
    *dropped = 0;
    if ((rc = outbox_near_full(ob, &near, err)) < 0 || !near)
        return rc;
    if ((stmt = outbox_stmt(ob, Q_KEPT_PURGE, err)) == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int(stmt, 1, limit);
    if ((rc = outbox_run(ob, stmt, "outbox: local versions", err)) == 0)
        *dropped = sqlite3_changes(ob->db);
    return rc;
}

int outbox_kept_list(struct outbox *ob, const struct document_name *name, int64_t n,
                     int (*each)(void *ctx, const struct outbox_kept *kept), void *ctx,
                     struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_KEPT, err);
    struct outbox_kept kept;
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    bind_name(stmt, name);
    sqlite3_bind_int64(stmt, 4, n);
    while ((rc = outbox_step(ob, stmt, "outbox: local versions", err)) == 1) {
        kept.n = sqlite3_column_int64(stmt, 0);
        kept.version = (uint64_t)sqlite3_column_int64(stmt, 1);
        outbox_column_copy(stmt, 2, kept.op_id, sizeof(kept.op_id));
        kept.hlc = (uint64_t)sqlite3_column_int64(stmt, 3);
        kept.made_us = sqlite3_column_int64(stmt, 4);
        kept.kept_us = sqlite3_column_int64(stmt, 5);
        kept.doc = outbox_column_span(stmt, 6);
        kept.deleted = kept.doc.data == NULL;
        if ((rc = each(ctx, &kept)) != 0)
            break;
    }
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}
