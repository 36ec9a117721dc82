#ifndef CLOUD_STORE_SQLITE_H
#define CLOUD_STORE_SQLITE_H

#include <sys/types.h>

#include "common/db_sqlite.h"
#include "limits.h"
#include "store.h"

/* Inside of the store, shared by the *_sqlite.c files and by tests that need the handle. */

#define STORE_APP_ID 0x53424349 /* "SBCI" */

/* A prepared statement, kept under the address of its text, with its parameters bound in order:
 *
 *   struct query *q = query_start(store, sql);
 *   query_text(q, device);
 *   query_int(q, seq);
 *   rc = query_row(q, err);                 1 a row, 0 none, negative an error
 *   ... query_get_int(q, 0) ...
 *   query_end(q);                           when it was left before it returned 0 or an error
 *
 * Texts are not copied: they must live until the statement has ended. */
struct query {
    struct store *store;
    const char *sql;
    sqlite3_stmt *stmt; /* NULL when it could not be prepared; query_row says why */
    int bound;
};

struct query *query_start(struct store *store, const char *sql);
void query_text(struct query *q, const char *text);
void query_span(struct query *q, struct sb_span text);         /* TEXT */
void query_span_or_null(struct query *q, struct sb_span text); /* empty = NULL */
void query_blob(struct query *q, struct sb_span bytes);
void query_int(struct query *q, int64_t value);
void query_seq(struct query *q, uint64_t value);
void query_null(struct query *q);
void query_ranges(struct query *q, const struct sb_ranges *set); /* copied */
int query_row(struct query *q, struct sb_err *err);
int query_run(struct query *q, struct sb_err *err); /* 0 or an error; expects no rows */
/* One row or none, as *found; the caller reads the row and calls query_end. */
int query_find(struct query *q, bool *found, struct sb_err *err);
void query_end(struct query *q);

int64_t query_get_int(struct query *q, int column);
uint64_t query_get_seq(struct query *q, int column);
struct sb_span query_get_span(struct query *q, int column); /* until the statement moves on */
/* Copies into a fixed array; a text that is too long would be a bug of ours or damage: cut. */
void query_get_text(struct query *q, int column, char *out, size_t size);
#define query_get_str(q, column, out) query_get_text(q, column, out, sizeof(out))
/* SB_ECORRUPT when the text is none. */
int query_get_ranges(struct query *q, int column, struct sb_ranges *set, struct sb_err *err);

/* Finishes a function that looks for one row: returns rc after query_end. */
int query_done(struct query *q, int rc);

struct table_column {
    char name[SB_NAME_MAX + 1];
    enum column_type type;
};

struct sensor_table {
    char type[SB_NAME_MAX + 1];    /* "" for readings_json */
    const struct mapping *mapping; /* NULL when it is not declared (any more) */
    struct table_column *columns;
    size_t count;
    struct query select; /* one row by its number */
    struct {
        uint64_t columns;
        struct query query;
    } inserts[LIMIT_INSERTS];
    size_t insert_count;
    size_t insert_next; /* replaced next when all are in use */
};

struct store {
    sqlite3 *db;
    char *path; /* of the file that is open, NULL for a database in memory */
    dev_t file_device;
    ino_t file_inode;
    struct query *queries; /* open addressing by address of the text */
    size_t query_cap;
    size_t query_count;
    int64_t own_changes; /* writes of this handle beside the owner's transactions */
    struct sensor_table *tables;
    size_t table_count;
    const struct mapping_set *mappings;
    struct sb_buf row_text; /* texts of the last store_reading_get */
    struct sb_buf scratch;  /* one statement's text being made */
};

int store_migrate(sqlite3 *db, struct sb_err *err);
/* Makes the database of an older version: the first so many steps. For tests of the later ones. */
int store_migrate_to(sqlite3 *db, int step, struct sb_err *err);

/* Makes and checks the typed tables of the mappings; with none it reads which there are. */
int store_sensors_open(struct store *store, bool make, struct sb_err *err);
int store_sensors_refit(struct store *store, struct sb_err *err); /* for store_refit */
void store_sensors_close(struct store *store);
/* The table of a type, NULL when there is none; "" is the one for undeclared types. */
struct sensor_table *store_table_of(struct store *store, const char *type);
void store_table_name(struct sb_buf *sql, const struct sensor_table *table);
/* Prepares a statement whose text was made here; the caller finalizes q->stmt. */
struct query *store_prepare(struct store *store, struct query *q, const char *what,
                            const struct sb_buf *sql);
/* Removes a reading's row; *gone = there was one. */
int store_reading_delete(struct store *store, const char *type, int64_t sn, uint64_t seq,
                         bool *gone, struct sb_err *err);
int store_history_delete(struct store *store, int64_t sn, uint64_t seq, bool *gone,
                         struct sb_err *err);

/* One snapshot for several questions. */
int store_snapshot_begin(struct store *store, struct sb_err *err);
void store_snapshot_end(struct store *store);

/* A write of the handle's own, in a transaction: work() inside BEGIN IMMEDIATE … COMMIT. */
int store_alone(struct store *store,
                int (*work)(struct store *store, void *ctx, struct sb_err *err), void *ctx,
                struct sb_err *err);

#endif
