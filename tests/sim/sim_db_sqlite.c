#include "sim_db_sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cloud_ingest/store_sqlite.h"
#include "common/check.h"
#include "edge_agent/outbox_sqlite.h"
#include "sim.h"

#define QUERIES_MAX 32

struct sim_db {
    sqlite3 *keeper; /* holds the database while nobody has it open */
    char uri[64];
    unsigned number;
    struct queries *queries;
};

struct queries {
    const char *sql[QUERIES_MAX];
    sqlite3_stmt *stmt[QUERIES_MAX];
    size_t count;
};

/* ---- databases and copies ---- */

struct sim_db *sim_db_new(void)
{
    static unsigned made;
    struct sim_db *db = sb_xcalloc(1, sizeof(*db));

    db->number = ++made;
    snprintf(db->uri, sizeof(db->uri), "file:/sim%u?vfs=memdb", db->number);
    db->queries = sb_xcalloc(1, sizeof(*db->queries));
    SB_CHECK(sqlite3_open_v2(db->uri, &db->keeper,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI,
                             NULL) == SQLITE_OK);
    return db;
}

void sim_db_overwrite(struct sim_db *to, const struct sim_db *from)
{
    sqlite3_backup *backup = sqlite3_backup_init(to->keeper, "main", from->keeper, "main");

    SB_CHECK(backup != NULL);
    SB_CHECK(sqlite3_backup_step(backup, -1) == SQLITE_DONE);
    SB_CHECK(sqlite3_backup_finish(backup) == SQLITE_OK);
}

struct sim_db *sim_db_copy(const struct sim_db *from)
{
    struct sim_db *db = sim_db_new();

    sim_db_overwrite(db, from);
    return db;
}

struct sim_db *sim_db_outbox(const struct sim_db *from, const char *epoch)
{
    struct sim_db *db = sim_db_copy(from);
    sqlite3_stmt *stmt = sim_db_query(db, "UPDATE epochs SET epoch = ?1");

    sqlite3_bind_text(stmt, 1, epoch, -1, SQLITE_STATIC);
    SB_CHECK(sqlite3_step(stmt) == SQLITE_DONE);
    sim_db_done(stmt);
    return db;
}

void sim_db_free(struct sim_db *db)
{
    if (db == NULL)
        return;
    for (size_t i = 0; i < db->queries->count; i++)
        sqlite3_finalize(db->queries->stmt[i]);
    SB_CHECK(sqlite3_close(db->keeper) == SQLITE_OK);
    free(db->queries);
    free(db);
}

const char *sim_db_uri(const struct sim_db *db)
{
    return db->uri;
}

uint64_t sim_db_number(const struct sim_db *db)
{
    return db->number;
}

/* ---- commits that do not take place ---- */

static int on_commit(void *ctx)
{
    return sim_fuse_commit(ctx) ? 0 : 1;
}

void sim_db_guard_outbox(struct outbox *ob, struct fuse *fuse)
{
    sqlite3_commit_hook(ob->db, on_commit, fuse);
}

void sim_db_guard_store(struct store *store, struct fuse *fuse)
{
    sqlite3_commit_hook(store->db, on_commit, fuse);
}

/* ---- looking inside ---- */

sqlite3_stmt *sim_db_query(const struct sim_db *db, const char *sql)
{
    struct queries *q = db->queries;
    size_t i = 0;

    while (i < q->count && q->sql[i] != sql)
        i++;
    if (i < q->count)
        return q->stmt[i];
    SB_CHECK(q->count < QUERIES_MAX);
    if (sqlite3_prepare_v3(db->keeper, sql, -1, SQLITE_PREPARE_PERSISTENT, &q->stmt[i], NULL) !=
        SQLITE_OK) {
        fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db->keeper));
        abort();
    }
    q->sql[i] = sql;
    q->count++;
    return q->stmt[i];
}

void sim_db_done(sqlite3_stmt *stmt)
{
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
}

static sqlite3_stmt *prepare(const struct sim_db *db, const char *sql)
{
    sqlite3_stmt *stmt = NULL;

    if (sqlite3_prepare_v2(db->keeper, sql, -1, &stmt, NULL) != SQLITE_OK) {
        fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db->keeper));
        abort();
    }
    return stmt;
}

static void bind(sqlite3_stmt *stmt, int index, const char *text)
{
    sqlite3_bind_text(stmt, index, text, -1, SQLITE_STATIC);
}

static void rows_of(const struct sim_db *db, const char *sql,
                    void (*each)(void *ctx, const struct sim_row *row), void *ctx)
{
    sqlite3_stmt *stmt = prepare(db, sql);

    bind(stmt, 1, SIM_DEVICE);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        struct sim_row row = {.branch = sqlite3_column_int(stmt, 2),
                              .seq = (uint64_t)sqlite3_column_int64(stmt, 3),
                              .payload = (uint64_t)sqlite3_column_int64(stmt, 4),
                              .version = (uint64_t)sqlite3_column_int64(stmt, 5),
                              .merging = sqlite3_column_int(stmt, 6) != 0};

        snprintf(row.epoch, sizeof(row.epoch), "%s", (const char *)sqlite3_column_text(stmt, 0));
        snprintf(row.stream, sizeof(row.stream), "%s", (const char *)sqlite3_column_text(stmt, 1));
        each(ctx, &row);
    }
    sqlite3_finalize(stmt);
}

void sim_db_rows(const struct sim_db *db, void (*each)(void *ctx, const struct sim_row *row),
                 void *ctx)
{
    rows_of(db,
            "SELECT epoch, stream, branch, seq, r.v, 0, 0 FROM sensor_sim r JOIN streams USING (sn)"
            " WHERE device = ?1",
            each, ctx);
    rows_of(db,
            "SELECT epoch, stream, branch, seq, json_extract(extra, '$.v'), 0, 0"
            " FROM readings_json JOIN streams USING (sn) WHERE device = ?1",
            each, ctx);
    rows_of(db,
            "SELECT epoch, stream, branch, seq, json_extract(body, '$.payload'), 0, 0"
            " FROM history_rev JOIN streams USING (sn) WHERE device = ?1",
            each, ctx);
    rows_of(
        db,
        "SELECT s.epoch, s.stream, s.branch, v.seq, json_extract(v.submitted, '$.v'), v.version,"
        " v.op_id NOT LIKE 'op-%' FROM versions v JOIN streams s USING (sn) WHERE s.device = ?1",
        each, ctx);
}

static void add_ranges(struct sb_ranges *to, sqlite3_stmt *stmt, int column)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    struct sb_ranges set = {0};

    SB_CHECK(sb_ranges_parse(&set, sb_span_of(text), SIZE_MAX, NULL) == 0);
    sb_ranges_add_all(to, &set);
    sb_ranges_free(&set);
}

void sim_db_stream(const struct sim_db *db, const char *epoch, const char *stream,
                   struct sim_stream *out)
{
    sqlite3_stmt *stmt = prepare(db, "SELECT branch, decided, dropped FROM streams WHERE"
                                     " device = ?1 AND epoch = ?2 AND stream = ?3");

    *out = (struct sim_stream){0};
    bind(stmt, 1, SIM_DEVICE);
    bind(stmt, 2, epoch);
    bind(stmt, 3, stream);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        if (sqlite3_column_int(stmt, 0) == 0)
            add_ranges(&out->decided, stmt, 1);
        add_ranges(&out->dropped, stmt, 2);
    }
    sqlite3_finalize(stmt);
    stmt = prepare(db, "SELECT first_seq, last_seq FROM holes JOIN streams USING (sn) WHERE"
                       " device = ?1 AND epoch = ?2 AND stream = ?3 AND branch = 0");
    bind(stmt, 1, SIM_DEVICE);
    bind(stmt, 2, epoch);
    bind(stmt, 3, stream);
    while (sqlite3_step(stmt) == SQLITE_ROW)
        sb_ranges_add(&out->holes, (uint64_t)sqlite3_column_int64(stmt, 0),
                      (uint64_t)sqlite3_column_int64(stmt, 1));
    sqlite3_finalize(stmt);
}

void sim_stream_free(struct sim_stream *stream)
{
    sb_ranges_free(&stream->decided);
    sb_ranges_free(&stream->holes);
    sb_ranges_free(&stream->dropped);
}

static bool any(sqlite3_stmt *stmt)
{
    bool found = sqlite3_step(stmt) == SQLITE_ROW;

    sqlite3_finalize(stmt);
    return found;
}

bool sim_db_conflict(const struct sim_db *db, const char *op_id)
{
    sqlite3_stmt *stmt = prepare(db, "SELECT 1 FROM ops WHERE device = ?1 AND op_id = ?2"
                                     " AND outcome = 2");

    bind(stmt, 1, SIM_DEVICE);
    bind(stmt, 2, op_id);
    return any(stmt);
}

static sqlite3_stmt *rejected_reading(const struct sim_db *db)
{
    return prepare(db, "SELECT 1 FROM rejections JOIN streams USING (sn) WHERE device = ?1"
                       " AND epoch = ?2 AND stream = ?3 AND seq = ?4"
                       " AND coalesce(json_extract(record, '$[1]'),"
                       "  json_extract(record, '$.payload')) = ?5");
}

static sqlite3_stmt *rejected_operation(const struct sim_db *db)
{
    return prepare(db, "SELECT 1 FROM op_rejections o JOIN streams s USING (sn)"
                       " WHERE s.device = ?1 AND s.epoch = ?2 AND s.stream = ?3 AND o.seq = ?4"
                       " AND o.op_id = 'op-' || ?5");
}

bool sim_db_rejected(const struct sim_db *db, const char *epoch, const char *stream, uint64_t seq,
                     uint64_t payload)
{
    sqlite3_stmt *both[] = {rejected_reading(db), rejected_operation(db)};
    bool found = false;

    for (int i = 0; i < 2; i++) {
        bind(both[i], 1, SIM_DEVICE);
        bind(both[i], 2, epoch);
        bind(both[i], 3, stream);
        sqlite3_bind_int64(both[i], 4, (int64_t)seq);
        sqlite3_bind_int64(both[i], 5, (int64_t)payload);
        found |= any(both[i]);
    }
    return found;
}

uint64_t sim_db_branches(const struct sim_db *db)
{
    sqlite3_stmt *stmt = prepare(db, "SELECT decided FROM streams WHERE branch > 0");
    struct sb_ranges all = {0};
    uint64_t count = 0;

    while (sqlite3_step(stmt) == SQLITE_ROW) {
        sb_ranges_clear(&all);
        add_ranges(&all, stmt, 0);
        count += sb_ranges_total(&all);
    }
    sqlite3_finalize(stmt);
    sb_ranges_free(&all);
    return count;
}
