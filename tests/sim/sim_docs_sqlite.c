/* What the databases of both ends hold of documents, for the book and the checks. */
#include <stdio.h>
#include <string.h>

#include "cloud_ingest/store_sqlite.h"
#include "common/check.h"
#include "edge_agent/outbox_sqlite.h"
#include "sim_db_sqlite.h"
#include "sim_docs.h"

/* The number of a stream in the key of a row. */
#define TEXT_OF(bits) #bits
#define SHIFT(bits)   "o.key >> " TEXT_OF(bits)

static void bind(sqlite3_stmt *stmt, int index, const char *text)
{
    sqlite3_bind_text(stmt, index, text, -1, SQLITE_STATIC);
}

static struct sb_span span_at(sqlite3_stmt *stmt, int column)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);

    return text != NULL ? (struct sb_span){text, (size_t)sqlite3_column_bytes(stmt, column)}
                        : SB_SPAN("");
}

static const char *text_at(sqlite3_stmt *stmt, int column)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);

    return text != NULL ? text : "";
}

/* One number, 0 where there is no row. */
static int64_t number(sqlite3_stmt *stmt)
{
    int64_t value = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;

    sim_db_done(stmt);
    return value;
}

uint64_t sim_docs_state(const struct sim_db *db)
{
    return sim_db_number(db) << 32 | (uint64_t)number(sim_db_query(db, "PRAGMA data_version"));
}

/* ---- a device ---- */

static void bind_doc(sqlite3_stmt *stmt, const struct world *world, size_t doc)
{
    struct doc_id name;

    sim_docs_name(world, doc, &name);
    bind(stmt, 1, name.user);
    bind(stmt, 2, name.table);
    bind(stmt, 3, name.id);
}

void sim_docs_local(const struct sim_edge *edge, size_t doc, struct sb_buf *text)
{
    sqlite3_stmt *stmt = sim_db_query(
        edge->disk.db, "SELECT doc FROM documents WHERE user = ?1 AND tbl = ?2 AND id = ?3");

    sb_buf_clear(text);
    bind_doc(stmt, edge->world, doc);
    if (sqlite3_step(stmt) == SQLITE_ROW)
        sb_buf_add_span(text, span_at(stmt, 0));
    sim_db_done(stmt);
}

/* The user of "settings/<user>" and the like. */
static const char *user_of(const char *stream)
{
    const char *slash = strchr(stream, '/');

    return slash != NULL ? slash + 1 : "";
}

void sim_docs_rows(const struct sim_edge *edge, void (*each)(void *ctx, const struct made_op *op),
                   void *ctx)
{
    sqlite3_stmt *stmt = sim_db_query(
        edge->disk.db,
        "SELECT o.key, s.stream, e.epoch, o.op_id, o.doc, o.body FROM outbox o"
        " JOIN streams s ON s.s = " SHIFT(
            OUTBOX_SEQ_BITS) " JOIN epochs e USING (n) WHERE o.doc IS NOT NULL ORDER BY o.key");

    while (sqlite3_step(stmt) == SQLITE_ROW) {
        const struct made_op op = {
            .epoch = text_at(stmt, 2),
            .seq = outbox_key_seq(sqlite3_column_int64(stmt, 0)),
            .doc = sim_docs_find(edge->world, user_of(text_at(stmt, 1)), span_at(stmt, 4)),
            .op_id = span_at(stmt, 3),
            .body = span_at(stmt, 5)};

        each(ctx, &op);
    }
    sim_db_done(stmt);
}

void sim_docs_answered(const struct sim_edge *edge,
                       void (*each)(void *ctx, struct sb_span op_id, enum fate fate), void *ctx)
{
    sqlite3_stmt *stmt = sim_db_query(
        edge->disk.db, "SELECT c.op_id, c.state, c.open_id, coalesce(o.resolved_us, 0)"
                       " FROM conflicts c LEFT JOIN open_conflicts o ON o.id = c.open_id");

    while (sqlite3_step(stmt) == SQLITE_ROW) {
        enum fate fate = FATE_MERGED;

        if (sqlite3_column_int(stmt, 1) == 0)
            fate = FATE_WAITING;
        else if (sqlite3_column_int64(stmt, 2) != 0)
            fate = sqlite3_column_int64(stmt, 3) != 0 ? FATE_RESOLVED : FATE_RECORD;
        each(ctx, span_at(stmt, 0), fate);
    }
    sim_db_done(stmt);
}

void sim_docs_holes(const struct sim_edge *edge,
                    void (*each)(void *ctx, const struct declared_hole *hole), void *ctx)
{
    sqlite3_stmt *stmt =
        sim_db_query(edge->disk.db, "SELECT e.epoch, s.stream, h.first_seq, h.last_seq FROM holes h"
                                    " JOIN streams s USING (s) JOIN epochs e USING (n)");

    while (sqlite3_step(stmt) == SQLITE_ROW) {
        const struct declared_hole hole = {.epoch = text_at(stmt, 0),
                                           .stream = text_at(stmt, 1),
                                           .lo = (uint64_t)sqlite3_column_int64(stmt, 2),
                                           .hi = (uint64_t)sqlite3_column_int64(stmt, 3)};

        each(ctx, &hole);
    }
    sim_db_done(stmt);
}

size_t sim_docs_open(const struct sim_edge *edge, int64_t *ids, size_t most)
{
    sqlite3_stmt *stmt = sim_db_query(
        edge->disk.db, "SELECT id FROM open_conflicts WHERE resolved_us = 0 ORDER BY id");
    size_t count = 0;

    while (count < most && sqlite3_step(stmt) == SQLITE_ROW)
        ids[count++] = sqlite3_column_int64(stmt, 0);
    sim_db_done(stmt);
    return count;
}

void sim_docs_open_show(const struct sim_edge *edge, int64_t id,
                        void (*each)(void *ctx, struct sb_span op_id), void *ctx,
                        struct sb_buf *pointers)
{
    sqlite3_stmt *stmt =
        sim_db_query(edge->disk.db, "SELECT ops, pointers FROM open_conflicts WHERE id = ?1");
    struct sb_json_iter iter;
    struct sb_span value;

    sqlite3_bind_int64(stmt, 1, id);
    if (sqlite3_step(stmt) == SQLITE_ROW) {
        sb_json_iter_init(&iter, span_at(stmt, 0));
        while (each != NULL && sb_json_next_element(&iter, &value))
            each(ctx, (struct sb_span){value.data + 1, value.len - 2});
        if (pointers != NULL)
            sb_buf_add_span(pointers, span_at(stmt, 1));
    }
    sim_db_done(stmt);
}

bool sim_docs_knows(const struct sim_edge *edge, const char *op_id)
{
    sqlite3_stmt *stmt =
        sim_db_query(edge->disk.db, "SELECT EXISTS (SELECT 1 FROM outbox WHERE op_id = ?1)"
                                    " OR EXISTS (SELECT 1 FROM conflicts WHERE op_id = ?1)");

    bind(stmt, 1, op_id);
    return number(stmt) != 0;
}

bool sim_docs_cursor(const struct sim_edge *edge, size_t user, const char *table,
                     struct cursor_row *out)
{
    sqlite3_stmt *stmt =
        sim_db_query(edge->disk.db, "SELECT cursor_version, cursor_tag FROM sync_metadata"
                                    " WHERE user = ?1 AND tbl = ?2");
    bool found;

    *out = (struct cursor_row){0};
    bind(stmt, 1, sim_docs_user(user));
    bind(stmt, 2, table);
    found = sqlite3_step(stmt) == SQLITE_ROW;
    if (found) {
        out->version = (uint64_t)sqlite3_column_int64(stmt, 0);
        snprintf(out->tag, sizeof(out->tag), "%s", text_at(stmt, 1));
    }
    sim_db_done(stmt);
    return found;
}

uint64_t sim_docs_stale(const struct sim_edge *edge)
{
    return (uint64_t)number(
        sim_db_query(edge->disk.db, "SELECT count(*) FROM documents WHERE stale <> 0"));
}

/* ---- the cloud ---- */

void sim_docs_cloud(const struct world *world, size_t doc, struct sb_buf *text)
{
    sqlite3_stmt *stmt =
        sim_db_query(world->cloud.base.db, "SELECT v.deleted, coalesce(v.result, v.submitted)"
                                           " FROM documents d JOIN versions v USING (user, version)"
                                           " WHERE d.user = ?1 AND d.tbl = ?2 AND d.id = ?3");

    sb_buf_clear(text);
    bind_doc(stmt, world, doc);
    if (sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_int(stmt, 0) == 0)
        sim_docs_open_text(span_at(stmt, 1), text);
    sim_db_done(stmt);
}

void sim_docs_counter(const struct world *world, size_t user, struct cursor_row *out)
{
    sqlite3_stmt *stmt =
        sim_db_query(world->cloud.base.db, "SELECT version, tag FROM users WHERE user = ?1");

    *out = (struct cursor_row){0};
    bind(stmt, 1, sim_docs_user(user));
    if (sqlite3_step(stmt) == SQLITE_ROW) {
        out->version = (uint64_t)sqlite3_column_int64(stmt, 0);
        snprintf(out->tag, sizeof(out->tag), "%s", text_at(stmt, 1));
    }
    sim_db_done(stmt);
}

void sim_docs_versions(const struct world *world, size_t user, uint64_t above,
                       void (*each)(void *ctx, const struct cloud_version *version), void *ctx)
{
    sqlite3_stmt *stmt =
        sim_db_query(world->cloud.base.db, "SELECT version, doc, device, op_id, tag, submitted,"
                                           " coalesce(result, submitted), deleted FROM versions"
                                           " WHERE user = ?1 AND version > ?2 ORDER BY version");

    bind(stmt, 1, sim_docs_user(user));
    sqlite3_bind_int64(stmt, 2, (int64_t)above);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        const struct cloud_version version = {
            .version = (uint64_t)sqlite3_column_int64(stmt, 0),
            .doc = sim_docs_find(world, sim_docs_user(user), span_at(stmt, 1)),
            .device = text_at(stmt, 2),
            .op_id = span_at(stmt, 3),
            .tag = span_at(stmt, 4),
            .submitted = span_at(stmt, 5),
            .result = sqlite3_column_int(stmt, 7) != 0 ? SB_SPAN("") : span_at(stmt, 6)};

        each(ctx, &version);
    }
    sim_db_done(stmt);
}

void sim_docs_conflicts(const struct world *world, int64_t above,
                        void (*each)(void *ctx, const struct cloud_conflict *conflict), void *ctx)
{
    sqlite3_stmt *stmt = sim_db_query(
        world->cloud.base.db, "SELECT id, user, doc, device, op_id, code, resolution, resolved_by,"
                              " resolved_ms IS NULL FROM conflicts WHERE id > ?1 ORDER BY id");

    sqlite3_bind_int64(stmt, 1, above);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        const struct cloud_conflict conflict = {
            .id = sqlite3_column_int64(stmt, 0),
            .doc = sim_docs_find(world, text_at(stmt, 1), span_at(stmt, 2)),
            .device = text_at(stmt, 3),
            .op_id = span_at(stmt, 4),
            .code = text_at(stmt, 5),
            .resolution = text_at(stmt, 6),
            .by = text_at(stmt, 7),
            .open = sqlite3_column_int(stmt, 8) != 0};

        each(ctx, &conflict);
    }
    sim_db_done(stmt);
}

int64_t sim_docs_newest_conflict(const struct world *world)
{
    return number(sim_db_query(world->cloud.base.db, "SELECT max(id) FROM conflicts"));
}

bool sim_docs_in_hole(const struct world *world, const struct meant *op, const char *stream)
{
    sqlite3_stmt *stmt = sim_db_query(
        world->cloud.base.db, "SELECT 1 FROM holes JOIN streams USING (sn) WHERE device = ?1"
                              " AND epoch = ?2 AND stream = ?3 AND ?4 BETWEEN first_seq AND"
                              " last_seq");

    bind(stmt, 1, sim_docs_device(op->author));
    bind(stmt, 2, op->epoch);
    bind(stmt, 3, stream);
    sqlite3_bind_int64(stmt, 4, (int64_t)op->seq);
    return number(stmt) != 0;
}

void sim_docs_forget(const struct world *world)
{
    number(sim_db_query(
        world->cloud.base.db,
        "DELETE FROM versions WHERE NOT EXISTS (SELECT 1 FROM documents d WHERE"
        " d.user = versions.user AND d.version = versions.version) AND NOT EXISTS"
        " (SELECT 1 FROM users u WHERE u.user = versions.user AND u.version = versions.version)"));
}
