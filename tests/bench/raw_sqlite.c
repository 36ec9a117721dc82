/* The yardstick: the same readings inserted into local SQLite with no trip at all.
 *
 *     raw_sqlite FILE ROWS [obvious|clustered]
 *
 * obvious:   rowid table with a UNIQUE index on (device_id, reading_id), what one writes first
 * clustered: the same columns under the cloud's own kind of key, WITHOUT ROWID
 *
 * WAL, synchronous=FULL, 1000 rows a transaction, ON CONFLICT DO NOTHING. Prints rows per second.
 */
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROWS_A_COMMIT 1000

static double now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void must(sqlite3 *db, int rc, const char *what)
{
    if (rc == SQLITE_OK || rc == SQLITE_DONE)
        return;
    fprintf(stderr, "raw_sqlite: %s: %s\n", what, sqlite3_errmsg(db));
    exit(1);
}

static void run(sqlite3 *db, const char *sql)
{
    must(db, sqlite3_exec(db, sql, NULL, NULL, NULL), sql);
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt = NULL;

    must(db, sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), sql);
    return stmt;
}

static sqlite3_stmt *make_table(sqlite3 *db, int clustered)
{
    if (clustered) {
        run(db, "CREATE TABLE r(sn INTEGER, seq INTEGER, ts INTEGER, pm1_0 REAL, pm2_5 REAL,"
                " pm10 REAL, aqi INTEGER, aqi_level TEXT, PRIMARY KEY(sn, seq)) WITHOUT ROWID");
        return prepare(db, "INSERT INTO r VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
                           " ON CONFLICT DO NOTHING");
    }
    run(db, "CREATE TABLE r(device_id TEXT, reading_id INTEGER, ts INTEGER, pm1_0 REAL,"
            " pm2_5 REAL, pm10 REAL, aqi INTEGER, aqi_level TEXT, UNIQUE(device_id, reading_id))");
    return prepare(db,
                   "INSERT INTO r VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING");
}

/* The readings that readings.py makes, value for value. */
static void bind(sqlite3_stmt *stmt, int64_t i, int clustered)
{
    static const char *const levels[] = {"good", "moderate", "unhealthy"};
    double wave = (double)((i * 7919) % 1000) / 10.0;

    if (clustered)
        sqlite3_bind_int64(stmt, 1, 1);
    else
        sqlite3_bind_text(stmt, 1, "bench-001", -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, i + 1);
    sqlite3_bind_int64(stmt, 3, (1767225600 + i) * INT64_C(1000000));
    sqlite3_bind_double(stmt, 4, wave);
    sqlite3_bind_double(stmt, 5, wave * 1.5);
    sqlite3_bind_double(stmt, 6, wave * 2.0);
    sqlite3_bind_int64(stmt, 7, (int64_t)wave);
    sqlite3_bind_text(stmt, 8, levels[i % 3], -1, SQLITE_STATIC);
}

int main(int argc, char **argv)
{
    int clustered = argc > 3 && strcmp(argv[3], "clustered") == 0;
    sqlite3_stmt *stmt;
    sqlite3 *db = NULL;
    int64_t rows, i;
    double start;

    if (argc < 3 || (rows = strtoll(argv[2], NULL, 10)) <= 0) {
        fputs("usage: raw_sqlite FILE ROWS [obvious|clustered]\n", stderr);
        return 2;
    }
    must(db, sqlite3_open(argv[1], &db), "open");
    run(db, "PRAGMA journal_mode=WAL");
    run(db, "PRAGMA synchronous=FULL");
    stmt = make_table(db, clustered);
    start = now_s();
    for (i = 0; i < rows; i++) {
        if (i % ROWS_A_COMMIT == 0)
            run(db, "BEGIN IMMEDIATE");
        bind(stmt, i, clustered);
        must(db, sqlite3_step(stmt), "insert");
        sqlite3_reset(stmt);
        if (i % ROWS_A_COMMIT == ROWS_A_COMMIT - 1 || i + 1 == rows)
            run(db, "COMMIT");
    }
    printf("%.0f\n", (double)rows / (now_s() - start));
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return 0;
}
