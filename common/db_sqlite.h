#ifndef SB_DB_SQLITE_H
#define SB_DB_SQLITE_H

#include <sqlite3.h>

#include "buf.h"
#include "err.h"

/* SQLite as both daemons use it: WAL, synchronous=FULL, foreign keys, no trusted schema, defensive,
 * and a migration runner. Included only by *_sqlite.c and *_schema.c. */

struct sb_migration {
    const char *sql; /* append only: a migration that was released is never changed */
};

struct sb_db_options {
    int busy_timeout_ms;
    int64_t page_limit; /* max_page_count, 0 = none */
    int cache_kib;      /* page cache */
    bool read_only;
    bool create;
    bool volatile_ok; /* memory databases of tests: WAL is not insisted on */
};

/* Opens (creating when asked, mode 0600 unless it exists) and applies the pragmas; path may be a
 * file: URI. SB_ENOT_FOUND, SB_ECORRUPT ("not a database"), SB_EIO, SB_EDISK_FULL, SB_EREAD_ONLY,
 * SB_EBUSY. */
int sb_db_open(const char *path, const struct sb_db_options *options, sqlite3 **out,
               struct sb_err *err);
void sb_db_close(sqlite3 *db);

/* Brings PRAGMA user_version up to `count`, each step in a transaction of its own. application_id
 * must be 0 or `app_id`; another one, or a database with tables but without our id, is SB_ECORRUPT
 * ("not a database of edge_agent"). SB_ENEWER_SCHEMA when it was written by a newer version. */
int sb_db_migrate(sqlite3 *db, int app_id, const struct sb_migration *steps, int count,
                  struct sb_err *err);

/* Turns the handle's last error into *err: FULL → SB_EDISK_FULL, READONLY → SB_EREAD_ONLY, BUSY and
 * LOCKED → SB_EBUSY, CORRUPT and NOTADB → SB_ECORRUPT, IOERR and CANTOPEN → SB_EIO, CONSTRAINT and
 * all else → SB_EINTERNAL. "what: <sqlite's text>". */
int sb_db_fail(sqlite3 *db, struct sb_err *err, const char *what);

/* prepare with SQLITE_PREPARE_PERSISTENT. */
int sb_db_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out, struct sb_err *err);

/* Runs a statement that returns no rows and resets it. */
int sb_db_run(sqlite3 *db, sqlite3_stmt *stmt, struct sb_err *err, const char *what);
int sb_db_exec(sqlite3 *db, const char *sql, struct sb_err *err);

int sb_db_begin(sqlite3 *db, struct sb_err *err);  /* BEGIN IMMEDIATE */
int sb_db_commit(sqlite3 *db, struct sb_err *err); /* on failure the transaction is rolled back */
void sb_db_rollback(sqlite3 *db);                  /* when one is open; cannot fail */

/* Changes whenever another connection has committed: caches of rows hold only while it is equal. */
int sb_db_data_version(sqlite3 *db, int64_t *version, struct sb_err *err);

#endif
