/* Stage 2, the file: opening, transactions and the append of new records. Reading is in
 * outbox_read_sqlite.c, settling in outbox_settle_sqlite.c, documents in outbox_docs_sqlite.c. */
#include "edge_agent/outbox_sqlite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/check.h"

static const char *const queries[OUTBOX_QUERY_COUNT] = {
#define OUTBOX_QUERY_TEXT(id, sql) [id] = sql,
    OUTBOX_QUERIES(OUTBOX_QUERY_TEXT) OUTBOX_DOC_QUERIES(OUTBOX_QUERY_TEXT)
#undef OUTBOX_QUERY_TEXT
};

sqlite3_stmt *outbox_stmt(struct outbox *ob, enum outbox_query query, struct sb_err *err)
{
    sqlite3_stmt **stmt = &ob->stmt[query];

    if (*stmt == NULL && sb_db_prepare(ob->db, queries[query], stmt, err) < 0) {
        sb_err_prefix(err, "outbox");
        return NULL;
    }
    sqlite3_reset(*stmt);
    sqlite3_clear_bindings(*stmt);
    return *stmt;
}

int outbox_step(struct outbox *ob, sqlite3_stmt *stmt, const char *what, struct sb_err *err)
{
    int rc = sqlite3_step(stmt);

    if (rc == SQLITE_ROW)
        return 1;
    if (rc != SQLITE_DONE)
        rc = sb_db_fail(ob->db, err, what);
    else
        rc = 0;
    sqlite3_reset(stmt);
    return rc;
}

int outbox_run(struct outbox *ob, sqlite3_stmt *stmt, const char *what, struct sb_err *err)
{
    return sb_db_run(ob->db, stmt, err, what);
}

void outbox_bind_span(sqlite3_stmt *stmt, int index, struct sb_span text)
{
    if (text.data != NULL)
        sqlite3_bind_text(stmt, index, text.data, (int)text.len, SQLITE_STATIC);
}

struct sb_span outbox_column_span(sqlite3_stmt *stmt, int column)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);

    return (struct sb_span){text, (size_t)sqlite3_column_bytes(stmt, column)};
}

void outbox_column_copy(sqlite3_stmt *stmt, int column, char *out, size_t size)
{
    struct sb_span text = outbox_column_span(stmt, column);
    size_t len = text.len < size ? text.len : size - 1;

    if (len > 0)
        memcpy(out, text.data, len);
    out[len] = '\0';
}

int64_t outbox_key(int64_t s, uint64_t seq)
{
    SB_CHECK(s > 0 && s < (INT64_C(1) << (63 - OUTBOX_SEQ_BITS)));
    return s << OUTBOX_SEQ_BITS |
           (int64_t)(seq < (uint64_t)OUTBOX_SEQ_MAX ? seq : (uint64_t)OUTBOX_SEQ_MAX);
}

uint64_t outbox_key_seq(int64_t key)
{
    return (uint64_t)(key & OUTBOX_SEQ_MAX);
}

/* ---- open and close ---- */

static void remember_file(struct outbox *ob, const struct outbox_config *config)
{
    struct stat st;

    if (config->in_memory)
        return;
    ob->path = sb_xstrdup(config->path);
    if (stat(config->path, &st) == 0) {
        ob->inode = st.st_ino;
        ob->device = st.st_dev;
    }
}

static int make_first_epoch(struct outbox *ob, struct sb_err *err)
{
    char epoch[SB_EPOCH_LEN + 1];
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_EPOCH_CURRENT, err);
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    rc = outbox_step(ob, stmt, "outbox: epochs", err);
    sqlite3_reset(stmt);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if ((rc = outbox_begin(ob, err)) < 0)
        return rc;
    /* another process may have been first: look again under the lock */
    stmt = outbox_stmt(ob, Q_EPOCH_CURRENT, err);
    rc = outbox_step(ob, stmt, "outbox: epochs", err);
    sqlite3_reset(stmt);
    if (rc == 0)
        rc = outbox_new_epoch(ob, ob->rng, sb_clock_now().wall_us, epoch, err);
    if (rc < 0) {
        outbox_rollback(ob);
        return rc;
    }
    return outbox_commit(ob, err);
}

int outbox_open(const struct outbox_config *config, struct sb_rng *rng, struct outbox **out,
                struct sb_err *err)
{
    const struct sb_db_options options = {
        .busy_timeout_ms = config->busy_timeout_ms > 0 ? config->busy_timeout_ms : 5000,
        /* the last tenth is for settling and purging: a full outbox must be able to drain */
        .page_limit = (config->max_bytes + config->max_bytes / 10) / 4096,
        .cache_kib = 1024,
        .create = config->create,
        .volatile_ok = config->in_memory,
    };
    struct outbox *ob = sb_xcalloc(1, sizeof(*ob));
    int rc;

    ob->rng = rng;
    ob->max_bytes = config->max_bytes;
    if ((rc = sb_db_open(config->path, &options, &ob->db, err)) < 0)
        goto fail;
    remember_file(ob, config);
    if ((rc = outbox_migrate(ob->db, err)) < 0)
        goto fail;
    if ((rc = make_first_epoch(ob, err)) < 0)
        goto fail;
    *out = ob;
    return 0;

fail:
    sb_err_prefix(err, "outbox");
    outbox_close(ob);
    return rc;
}

void outbox_close(struct outbox *ob)
{
    if (ob == NULL)
        return;
    outbox_rollback(ob);
    for (int i = 0; i < OUTBOX_QUERY_COUNT; i++)
        sqlite3_finalize(ob->stmt[i]);
    if (ob->db != NULL)
        sb_db_close(ob->db);
    free(ob->path);
    free(ob);
}

/* ---- transactions ---- */

static int check_path(const struct outbox *ob, struct sb_err *err)
{
    struct stat st;

    if (ob->path == NULL)
        return 0;
    if (stat(ob->path, &st) < 0)
        return sb_fail(err, SB_EIO, "outbox: %s is gone: %s", ob->path, strerror(errno));
    if (st.st_ino != ob->inode || st.st_dev != ob->device)
        return sb_fail(err, SB_EIO, "outbox: the file %s was replaced; restart edge_agent",
                       ob->path);
    return 0;
}

bool outbox_in_place(const struct outbox *ob)
{
    return check_path(ob, NULL) == 0;
}

int outbox_begin(struct outbox *ob, struct sb_err *err)
{
    int rc;

    SB_CHECK(!ob->in_transaction);
    if ((rc = sb_db_begin(ob->db, err)) < 0) {
        sb_err_prefix(err, "outbox");
        return rc;
    }
    ob->in_transaction = true;
    ob->room_checked = false;
    if ((rc = check_path(ob, err)) < 0)
        outbox_rollback(ob);
    return rc;
}

/* A statement that failed with a full disk has rolled everything back already; a COMMIT after it
 * would say so in other words, so the state is looked at, not guessed. */
int outbox_commit(struct outbox *ob, struct sb_err *err)
{
    int rc;

    SB_CHECK(ob->in_transaction);
    if (sqlite3_get_autocommit(ob->db)) {
        ob->in_transaction = false;
        return sb_fail(err, SB_EIO, "outbox: the transaction was rolled back by an error");
    }
    rc = sb_db_commit(ob->db, err);
    ob->in_transaction = false;
    if (rc < 0)
        sb_err_prefix(err, "outbox");
    return rc;
}

void outbox_rollback(struct outbox *ob)
{
    if (ob->db != NULL)
        for (int i = 0; i < OUTBOX_QUERY_COUNT; i++)
            sqlite3_reset(ob->stmt[i]);
    if (ob->in_transaction)
        sb_db_rollback(ob->db);
    ob->in_transaction = false;
}

int64_t outbox_data_version(struct outbox *ob)
{
    int64_t version = 0;

    if (sb_db_data_version(ob->db, &version, NULL) < 0)
        return -1;
    return version;
}

void outbox_checkpoint(struct outbox *ob)
{
    sqlite3_wal_checkpoint_v2(ob->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
}

/* ---- append ---- */

/* The id of a text that is kept once; `find` and `add` take it as their only parameter. */
static int intern(struct outbox *ob, enum outbox_query find, enum outbox_query add,
                  struct sb_span text, int64_t *id, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, find, err);
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    if (text.data == NULL)
        text = SB_SPAN("");
    outbox_bind_span(stmt, 1, text);
    rc = outbox_step(ob, stmt, "outbox: text", err);
    if (rc < 0)
        return rc;
    if (rc == 1) {
        *id = sqlite3_column_int64(stmt, 0);
        sqlite3_reset(stmt);
        return 0;
    }
    stmt = outbox_stmt(ob, add, err);
    if (stmt == NULL)
        return -(int)SB_EIO;
    outbox_bind_span(stmt, 1, text);
    rc = outbox_run(ob, stmt, "outbox: text", err);
    *id = sqlite3_last_insert_rowid(ob->db);
    return rc;
}

static int current_epoch(struct outbox *ob, int64_t *n, char epoch[SB_EPOCH_LEN + 1],
                         struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_EPOCH_CURRENT, err);
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    rc = outbox_step(ob, stmt, "outbox: epoch", err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return sb_fail(err, SB_ECORRUPT, "outbox: no epoch in the file");
    *n = sqlite3_column_int64(stmt, 0);
    outbox_column_copy(stmt, 1, epoch, SB_EPOCH_LEN + 1);
    sqlite3_reset(stmt);
    return 0;
}

/* A name made of a time or a serial number would add streams for ever: each costs memory in the
 * daemon and a line in every hello, and what is beyond the cloud's limit would never leave. */
static int check_new_name(struct outbox *ob, const char *name, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_STREAM_NAMES, err);
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    rc = outbox_step(ob, stmt, "outbox: streams", err);
    if (rc == 1 && sqlite3_column_int64(stmt, 0) >= OUTBOX_MAX_STREAMS &&
        sqlite3_column_int64(stmt, 1) == 0)
        rc = sb_fail(err, SB_ELIMIT, "%s would be a new stream, and this device has %d already",
                     name, OUTBOX_MAX_STREAMS);
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int outbox_takes_stream(struct outbox *ob, const struct sb_stream *stream, struct sb_err *err)
{
    char epoch[SB_EPOCH_LEN + 1], name[SB_STREAM_MAX + 1];
    sqlite3_stmt *stmt;
    int64_t n = 0;
    int rc = current_epoch(ob, &n, epoch, err);

    if (rc < 0)
        return rc;
    if ((stmt = outbox_stmt(ob, Q_STREAM_FIND, err)) == NULL)
        return -(int)SB_EIO;
    sb_stream_print(stream, name);
    sqlite3_bind_int64(stmt, 1, n);
    sqlite3_bind_text(stmt, 2, name, -1, SQLITE_STATIC);
    rc = outbox_step(ob, stmt, "outbox: stream", err);
    sqlite3_reset(stmt);
    return rc == 0 ? check_new_name(ob, name, err) : rc < 0 ? rc : 0;
}

static int find_stream(struct outbox *ob, int64_t n, const char *name, int64_t *s, uint64_t *next,
                       struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_STREAM_FIND, err);
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, n);
    sqlite3_bind_text(stmt, 2, name, -1, SQLITE_STATIC);
    rc = outbox_step(ob, stmt, "outbox: stream", err);
    if (rc < 0)
        return rc;
    if (rc == 1) {
        *s = sqlite3_column_int64(stmt, 0);
        *next = (uint64_t)sqlite3_column_int64(stmt, 1);
        sqlite3_reset(stmt);
        return 0;
    }
    if ((rc = check_new_name(ob, name, err)) < 0)
        return rc;
    stmt = outbox_stmt(ob, Q_STREAM_ADD, err);
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, n);
    sqlite3_bind_text(stmt, 2, name, -1, SQLITE_STATIC);
    rc = outbox_run(ob, stmt, "outbox: stream", err);
    *s = sqlite3_last_insert_rowid(ob->db);
    *next = 1;
    return rc;
}

int outbox_row_insert(struct outbox *ob, const struct outbox_row_values *row, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_ROW_ADD, err);

    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, outbox_key(row->s, row->first_seq));
    sqlite3_bind_int64(stmt, 2, (int64_t)row->last_seq);
    sqlite3_bind_int64(stmt, 3, row->f);
    sqlite3_bind_int64(stmt, 4, row->b);
    sqlite3_bind_int64(stmt, 5, row->mono_ms);
    sqlite3_bind_int64(stmt, 6, row->wall_us);
    sqlite3_bind_int(stmt, 7, row->quality);
    outbox_bind_span(stmt, 8, row->op_id);
    outbox_bind_span(stmt, 9, row->before);
    outbox_bind_span(stmt, 10, row->body);
    outbox_bind_span(stmt, 11, row->doc);
    return outbox_run(ob, stmt, "outbox: insert", err);
}

static int move_stream(struct outbox *ob, int64_t s, uint64_t next, size_t bytes,
                       struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_STREAM_MOVE, err);

    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, s);
    sqlite3_bind_int64(stmt, 2, (int64_t)next);
    sqlite3_bind_int64(stmt, 3, (int64_t)bytes);
    return outbox_run(ob, stmt, "outbox: stream", err);
}

int outbox_find_id(struct outbox *ob, const struct sb_stream *stream, struct sb_span id,
                   bool *found, uint64_t *hash, struct outbox_place *place, struct sb_err *err)
{
    char name[SB_STREAM_MAX + 1];
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_ID_FIND, err);
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    sb_stream_print(stream, name);
    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    outbox_bind_span(stmt, 2, id);
    rc = outbox_step(ob, stmt, "outbox: id", err);
    if (rc < 0)
        return rc;
    *found = rc == 1;
    if (rc == 0)
        return 0;
    if (hash != NULL)
        *hash = (uint64_t)sqlite3_column_int64(stmt, 0);
    if (place != NULL) {
        outbox_column_copy(stmt, 1, place->epoch, sizeof(place->epoch));
        place->first_seq = place->last_seq = (uint64_t)sqlite3_column_int64(stmt, 2);
        place->repeat = true;
    }
    sqlite3_reset(stmt);
    return 0;
}

/* Looks the chunk's ids up: 1 = a repeat of a single record, 0 = all are new. */
static int check_ids(struct outbox *ob, const struct outbox_chunk *chunk,
                     struct outbox_place *place, struct sb_err *err)
{
    for (uint64_t i = 0; chunk->ids != NULL && i < chunk->count; i++) {
        const struct outbox_id *id = &chunk->ids[i];
        uint64_t hash = 0;
        bool found;
        int rc;

        if (id->id.len == 0)
            continue;
        rc = outbox_find_id(ob, &chunk->stream, id->id, &found, &hash, place, err);
        if (rc < 0)
            return rc;
        if (!found)
            continue;
        if (hash != id->hash)
            return sb_fail(err, SB_EID_REUSED,
                           "the id " SB_SPAN_FMT " was used before for another content",
                           SB_SPAN_ARG(id->id));
        if (chunk->count > 1)
            return sb_fail(err, SB_EEXISTS, "the id " SB_SPAN_FMT " was enqueued before",
                           SB_SPAN_ARG(id->id));
        return 1;
    }
    return 0;
}

static int add_ids(struct outbox *ob, const struct outbox_chunk *chunk, const char *name, int64_t s,
                   uint64_t first_seq, struct sb_err *err)
{
    for (uint64_t i = 0; chunk->ids != NULL && i < chunk->count; i++) {
        sqlite3_stmt *stmt;
        int rc;

        if (chunk->ids[i].id.len == 0)
            continue;
        if ((stmt = outbox_stmt(ob, Q_ID_ADD, err)) == NULL)
            return -(int)SB_EIO;
        sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
        outbox_bind_span(stmt, 2, chunk->ids[i].id);
        sqlite3_bind_int64(stmt, 3, (int64_t)chunk->ids[i].hash);
        sqlite3_bind_int64(stmt, 4, s);
        sqlite3_bind_int64(stmt, 5, (int64_t)(first_seq + i));
        if ((rc = outbox_run(ob, stmt, "outbox: id", err)) < 0)
            return rc;
    }
    return 0;
}

static int check_chunk(const struct outbox_chunk *chunk, struct sb_err *err)
{
    bool ordered = sb_class_ordered(chunk->stream.class);

    if (chunk->count < 1 || chunk->count > OUTBOX_ROW_MAX_RECORDS)
        return sb_fail(err, SB_ELIMIT, "a chunk holds 1 to %d records", OUTBOX_ROW_MAX_RECORDS);
    if (chunk->count > 1 && chunk->body.len > OUTBOX_ROW_MAX_BYTES)
        return sb_fail(err, SB_ELIMIT, "a chunk of several records holds at most %d bytes",
                       OUTBOX_ROW_MAX_BYTES);
    SB_CHECK(!ordered || (chunk->count == 1 && chunk->ids != NULL && chunk->ids[0].id.len > 0));
    return 0;
}

/* The stream of the current epoch with room for `count` numbers; a new epoch when it has none. */
static int open_stream(struct outbox *ob, const struct outbox_chunk *chunk, const char *name,
                       int64_t *s, uint64_t *next, char epoch[SB_EPOCH_LEN + 1], struct sb_err *err)
{
    int64_t n = 0;
    int rc = current_epoch(ob, &n, epoch, err);

    if (rc == 0)
        rc = find_stream(ob, n, name, s, next, err);
    if (rc == 0 && *next + chunk->count > (uint64_t)OUTBOX_SEQ_MAX) {
        rc = outbox_new_epoch(ob, ob->rng, chunk->wall_us, epoch, err);
        if (rc == 0)
            rc = current_epoch(ob, &n, epoch, err);
        if (rc == 0)
            rc = find_stream(ob, n, name, s, next, err);
    }
    return rc;
}

/* Once a transaction: what several chunks of it add beyond the limit is bounded by their size. */
int outbox_room(struct outbox *ob, struct sb_err *err)
{
    struct outbox_counts counts;
    int rc;

    if (ob->max_bytes == 0 || ob->room_checked)
        return 0;
    if ((rc = outbox_file_bytes(ob, &counts, err)) < 0)
        return rc;
    if (counts.used_bytes >= ob->max_bytes)
        return sb_fail(err, SB_EDISK_FULL,
                       "the outbox holds %lld bytes and may hold %lld (outbox.max_bytes): connect,"
                       " or raise the limit",
                       (long long)counts.used_bytes, (long long)ob->max_bytes);
    ob->room_checked = true;
    return 0;
}

int outbox_append(struct outbox *ob, const struct outbox_chunk *chunk, struct outbox_place *place,
                  struct sb_err *err)
{
    struct outbox_row_values row = {.mono_ms = chunk->mono_ms,
                                    .wall_us = chunk->wall_us,
                                    .quality = (int)chunk->quality,
                                    .before = chunk->before,
                                    .body = chunk->body,
                                    .doc = chunk->doc};
    char name[SB_STREAM_MAX + 1];
    uint64_t next = 0;
    int rc;

    SB_CHECK(ob->in_transaction);
    *place = (struct outbox_place){0};
    if ((rc = check_chunk(chunk, err)) < 0 || (rc = check_ids(ob, chunk, place, err)) < 0)
        return rc;
    if (rc == 1)
        return 0;
    if (!chunk->reserved && (rc = outbox_room(ob, err)) < 0)
        return rc;
    sb_stream_print(&chunk->stream, name);
    if (sb_class_ordered(chunk->stream.class))
        row.op_id = chunk->ids[0].id;
    if (chunk->stream.class == SB_UP_SETTINGS && row.doc.len == 0)
        row.doc = SB_SPAN(SB_TABLE_SETTINGS);
    if ((rc = open_stream(ob, chunk, name, &row.s, &next, place->epoch, err)) < 0 ||
        (rc = intern(ob, Q_FIELDS_FIND, Q_FIELDS_ADD, chunk->fields, &row.f, err)) < 0 ||
        (rc = intern(ob, Q_BOOT_FIND, Q_BOOT_ADD, sb_span_of(chunk->device_boot), &row.b, err)) < 0)
        return rc;
    row.first_seq = next;
    row.last_seq = next + chunk->count - 1;
    if ((rc = outbox_row_insert(ob, &row, err)) < 0 ||
        (rc = move_stream(ob, row.s, row.last_seq + 1, chunk->body.len, err)) < 0 ||
        (rc = add_ids(ob, chunk, name, row.s, row.first_seq, err)) < 0)
        return rc;
    place->first_seq = row.first_seq;
    place->last_seq = row.last_seq;
    return 0;
}

int outbox_new_epoch(struct outbox *ob, struct sb_rng *rng, int64_t wall_us,
                     char epoch[SB_EPOCH_LEN + 1], struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_EPOCH_ADD, err);

    if (stmt == NULL)
        return -(int)SB_EIO;
    sb_hex16(rng, epoch);
    sqlite3_bind_text(stmt, 1, epoch, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, wall_us);
    return outbox_run(ob, stmt, "outbox: new epoch", err);
}
