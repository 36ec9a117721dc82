#include "store_sqlite.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/check.h"

#define CACHE_KIB_DEFAULT 8192

/* ---- statements ---- */

static size_t slot_of(const struct store *store, const char *sql)
{
    size_t mask = store->query_cap - 1;
    size_t slot = ((uintptr_t)sql >> 4) * 0x9e3779b97f4a7c15u >> 32 & mask;

    while (store->queries[slot].sql != NULL && store->queries[slot].sql != sql)
        slot = (slot + 1) & mask;
    return slot;
}

/* The table is made large enough for every statement of the program, so that no query moves while
 * somebody uses it. */
#define QUERY_CAP 512

struct query *query_start(struct store *store, const char *sql)
{
    struct query *q = &store->queries[slot_of(store, sql)];

    if (q->sql == NULL) {
        SB_CHECK(store->query_count < QUERY_CAP / 2);
        store->query_count++;
        *q = (struct query){.store = store, .sql = sql};
    }
    if (q->stmt == NULL)
        sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &q->stmt, NULL);
    SB_CHECK(!sqlite3_stmt_busy(q->stmt)); /* it was left without query_end, or is used twice */
    q->bound = 0;
    return q;
}

void query_text(struct query *q, const char *text)
{
    sqlite3_bind_text(q->stmt, ++q->bound, text, -1, SQLITE_STATIC);
}

/* An empty span may have no address; bound as such it would be NULL. */
static const char *address(struct sb_span span)
{
    return span.data != NULL ? span.data : "";
}

void query_span(struct query *q, struct sb_span text)
{
    sqlite3_bind_text64(q->stmt, ++q->bound, address(text), text.len, SQLITE_STATIC, SQLITE_UTF8);
}

void query_span_or_null(struct query *q, struct sb_span text)
{
    if (text.len > 0)
        query_span(q, text);
    else
        query_null(q);
}

void query_blob(struct query *q, struct sb_span bytes)
{
    sqlite3_bind_blob64(q->stmt, ++q->bound, address(bytes), bytes.len, SQLITE_STATIC);
}

void query_int(struct query *q, int64_t value)
{
    sqlite3_bind_int64(q->stmt, ++q->bound, value);
}

void query_seq(struct query *q, uint64_t value)
{
    query_int(q, (int64_t)value);
}

void query_null(struct query *q)
{
    sqlite3_bind_null(q->stmt, ++q->bound);
}

void query_ranges(struct query *q, const struct sb_ranges *set)
{
    struct sb_buf *text = &q->store->scratch;

    sb_buf_clear(text);
    sb_ranges_print(set, text);
    sqlite3_bind_text64(q->stmt, ++q->bound, text->data, text->len, SQLITE_TRANSIENT, SQLITE_UTF8);
}

/* The beginning of the statement says where it went wrong. */
static int fail(struct query *q, struct sb_err *err)
{
    char what[48];
    size_t len = strnlen(q->sql, sizeof(what) - 1);

    memcpy(what, q->sql, len);
    what[len] = '\0';
    return sb_db_fail(q->store->db, err, what);
}

int query_row(struct query *q, struct sb_err *err)
{
    int rc;

    if (q->stmt == NULL)
        return fail(q, err);
    switch (sqlite3_step(q->stmt)) {
    case SQLITE_ROW:
        return 1;
    case SQLITE_DONE:
        query_end(q);
        return 0;
    default:
        rc = fail(q, err);
        query_end(q);
        return rc;
    }
}

int query_run(struct query *q, struct sb_err *err)
{
    int rc = query_row(q, err);

    SB_CHECK(rc <= 0);
    return rc;
}

int query_find(struct query *q, bool *found, struct sb_err *err)
{
    int rc = query_row(q, err);

    *found = rc > 0;
    return rc < 0 ? rc : 0;
}

void query_end(struct query *q)
{
    sqlite3_reset(q->stmt);
}

int query_done(struct query *q, int rc)
{
    query_end(q);
    return rc;
}

int64_t query_get_int(struct query *q, int column)
{
    return sqlite3_column_int64(q->stmt, column);
}

uint64_t query_get_seq(struct query *q, int column)
{
    int64_t value = query_get_int(q, column);

    return value > 0 ? (uint64_t)value : 0;
}

struct sb_span query_get_span(struct query *q, int column)
{
    const char *data = sqlite3_column_blob(q->stmt, column);

    return (struct sb_span){data != NULL ? data : "",
                            (size_t)sqlite3_column_bytes(q->stmt, column)};
}

void query_get_text(struct query *q, int column, char *out, size_t size)
{
    struct sb_span text = query_get_span(q, column);
    size_t len = text.len < size ? text.len : size - 1;

    memcpy(out, text.data, len);
    out[len] = '\0';
}

int query_get_ranges(struct query *q, int column, struct sb_ranges *set, struct sb_err *err)
{
    struct sb_err why;

    if (sb_ranges_parse(set, query_get_span(q, column), SIZE_MAX, &why) == 0)
        return 0;
    return sb_fail(err, SB_ECORRUPT, "database: %s", why.msg);
}

static void finalize_all(struct store *store)
{
    for (size_t i = 0; i < store->query_cap; i++)
        sqlite3_finalize(store->queries[i].stmt);
    free(store->queries);
}

/* ---- life ---- */

static void remember_file(struct store *store, const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return; /* in memory */
    store->path = sb_xstrdup(path);
    store->file_device = st.st_dev;
    store->file_inode = st.st_ino;
}

bool store_in_place(const struct store *store)
{
    struct stat st;

    return store->path == NULL || (stat(store->path, &st) == 0 && st.st_ino == store->file_inode &&
                                   st.st_dev == store->file_device);
}

int store_open(const char *path, const struct store_options *options, struct store **out,
               struct sb_err *err)
{
    struct sb_db_options db_options = {
        .busy_timeout_ms = options->busy_timeout_ms,
        .page_limit = options->page_limit,
        .cache_kib = options->cache_kib > 0 ? options->cache_kib : CACHE_KIB_DEFAULT,
        .read_only = options->mode == STORE_READ,
        .create = options->mode == STORE_OWN && !options->existing,
        .volatile_ok = options->volatile_ok,
    };
    struct store *store = sb_xcalloc(1, sizeof(*store));
    int rc = sb_db_open(path, &db_options, &store->db, err);

    if (rc != 0)
        goto free_store;
    remember_file(store, path);
    store->queries = sb_xcalloc(QUERY_CAP, sizeof(*store->queries));
    store->query_cap = QUERY_CAP;
    store->mappings = options->mappings;
    rc = store_migrate(store->db, err);
    if (rc == 0)
        rc = store_sensors_open(store, options->mode == STORE_OWN, err);
    if (rc != 0) {
        sb_err_prefix(err, "%s", path);
        store_close(store);
        return rc;
    }
    *out = store;
    return 0;

free_store:
    free(store);
    return rc;
}

int store_refit(struct store *store, struct sb_err *err)
{
    int rc = store_migrate(store->db, err);

    return rc == 0 ? store_sensors_refit(store, err) : rc;
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    store_rollback(store);
    store_sensors_close(store);
    finalize_all(store);
    sb_db_close(store->db);
    free(store->path);
    sb_buf_free(&store->row_text);
    sb_buf_free(&store->scratch);
    free(store);
}

/* ---- transactions ---- */

int store_begin(struct store *store, struct sb_err *err)
{
    return query_run(query_start(store, "BEGIN IMMEDIATE"), err);
}

int store_commit(struct store *store, struct sb_err *err)
{
    int rc = query_run(query_start(store, "COMMIT"), err);

    if (rc != 0)
        store_rollback(store);
    return rc;
}

void store_rollback(struct store *store)
{
    sb_db_rollback(store->db);
}

int store_stamp(struct store *store, int64_t *stamp, struct sb_err *err)
{
    struct query *q = query_start(store, "PRAGMA data_version");
    int rc = query_row(q, err);

    if (rc <= 0)
        return rc < 0 ? rc : sb_fail(err, SB_EINTERNAL, "PRAGMA data_version: no answer");
    *stamp = (query_get_int(q, 0) << 24) + store->own_changes;
    return query_done(q, 0);
}

int store_snapshot_begin(struct store *store, struct sb_err *err)
{
    return query_run(query_start(store, "BEGIN DEFERRED"), err);
}

void store_snapshot_end(struct store *store)
{
    store_rollback(store);
}

int store_alone(struct store *store,
                int (*work)(struct store *store, void *ctx, struct sb_err *err), void *ctx,
                struct sb_err *err)
{
    int rc = store_begin(store, err);

    if (rc != 0)
        return rc;
    rc = work(store, ctx, err);
    if (rc == 0)
        rc = store_commit(store, err);
    else
        store_rollback(store);
    store->own_changes++;
    return rc;
}

/* ---- boots ---- */

int store_boot_add(struct store *store, const char *boot, int64_t now_ms, struct sb_err *err)
{
    struct query *q =
        query_start(store, "INSERT INTO boots (boot, commits, taken_ms) VALUES (?, 0, ?)");

    query_text(q, boot);
    query_int(q, now_ms);
    return query_run(q, err);
}

int store_boot_advance(struct store *store, const char *boot, uint64_t from, bool *won,
                       struct sb_err *err)
{
    struct query *q =
        query_start(store, "UPDATE boots SET commits = commits + 1 WHERE boot = ? AND commits = ?");
    int rc;

    query_text(q, boot);
    query_seq(q, from);
    rc = query_run(q, err);
    *won = rc == 0 && sqlite3_changes(store->db) == 1;
    return rc;
}

int store_boot_commits(struct store *store, const char *boot, bool *known, uint64_t *commits,
                       struct sb_err *err)
{
    struct query *q = query_start(store, "SELECT commits FROM boots WHERE boot = ?");
    int rc;

    query_text(q, boot);
    rc = query_find(q, known, err);
    *commits = *known ? query_get_seq(q, 0) : 0;
    return query_done(q, rc);
}
