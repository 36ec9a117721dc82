#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/db_sqlite.h"

#define APP_ID 0x53424454 /* "SBDT" */

static const struct sb_db_options writer = {.busy_timeout_ms = 50, .create = true};

static const struct sb_migration steps[] = {
    {"CREATE TABLE a(x INTEGER PRIMARY KEY, body BLOB) STRICT;"},
    {"CREATE TABLE b(y TEXT NOT NULL UNIQUE) STRICT; INSERT INTO b VALUES('first');"},
};

struct fixture {
    char dir[64];
    char path[96];
    struct sb_err err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    snprintf(f->dir, sizeof(f->dir), "%s/sb-db-XXXXXX",
             getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/x.db", f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {"x.db", "x.db-wal", "x.db-shm", "x.db-journal"};
    struct fixture *f = *state;
    char path[128];

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", f->dir, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(f->dir), 0);
    free(f);
    return 0;
}

static sqlite3 *open_db(struct fixture *f, const struct sb_db_options *options)
{
    sqlite3 *db = NULL;
    int rc = sb_db_open(f->path, options, &db, &f->err);

    if (rc != 0)
        print_error("open: %s\n", f->err.msg);
    assert_int_equal(rc, 0);
    return db;
}

static sqlite3 *open_migrated(struct fixture *f)
{
    sqlite3 *db = open_db(f, &writer);

    assert_int_equal(sb_db_migrate(db, APP_ID, steps, 2, &f->err), 0);
    return db;
}

static int64_t number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt;
    int64_t value;

    assert_int_equal(sb_db_prepare(db, sql, &stmt, NULL), 0);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return value;
}

static void assert_text(sqlite3 *db, const char *sql, const char *expected)
{
    sqlite3_stmt *stmt;

    assert_int_equal(sb_db_prepare(db, sql, &stmt, NULL), 0);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(stmt, 0), expected);
    sqlite3_finalize(stmt);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void assert_says(const struct fixture *f, const char *text)
{
    if (strstr(f->err.msg, text) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", text, f->err.msg);
}

static void a_new_database_is_private_durable_and_in_wal(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db = open_db(f, &writer);
    struct stat st;

    assert_text(db, "PRAGMA journal_mode", "wal");
    assert_int_equal(number(db, "PRAGMA synchronous"), 2);
    assert_int_equal(number(db, "PRAGMA foreign_keys"), 1);
    assert_int_equal(number(db, "PRAGMA trusted_schema"), 0);
    assert_int_equal(number(db, "PRAGMA busy_timeout"), 50);
    assert_int_not_equal(sb_db_exec(db,
                                    "PRAGMA writable_schema=ON;"
                                    "DELETE FROM sqlite_schema WHERE 1",
                                    &f->err),
                         0);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    sb_db_close(db);
}

static void an_existing_file_keeps_its_mode(void **state)
{
    struct fixture *f = *state;
    struct stat st;

    write_file(f->path, "");
    assert_int_equal(chmod(f->path, 0640), 0);
    sb_db_close(open_migrated(f));
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
}

static void limits_are_applied(void **state)
{
    struct fixture *f = *state;
    struct sb_db_options options = writer;
    sqlite3 *db;

    options.page_limit = 77;
    options.cache_kib = 512;
    db = open_db(f, &options);
    assert_int_equal(number(db, "PRAGMA max_page_count"), 77);
    assert_int_equal(number(db, "PRAGMA cache_size"), -512);
    sb_db_close(db);
}

static void a_memory_database_needs_volatile_ok(void **state)
{
    struct fixture *f = *state;
    struct sb_db_options options = writer;
    sqlite3 *db = NULL;

    assert_int_equal(sb_db_open(":memory:", &options, &db, &f->err), -SB_EIO);
    assert_says(f, "write-ahead logging");
    options.volatile_ok = true;
    assert_int_equal(sb_db_open(":memory:", &options, &db, &f->err), 0);
    assert_int_equal(sb_db_migrate(db, APP_ID, steps, 2, &f->err), 0);
    sb_db_close(db);
    assert_int_equal(sb_db_open("file:shared?mode=memory&cache=shared", &options, &db, &f->err), 0);
    sb_db_close(db);
    assert_int_equal(access("shared", F_OK), -1);
}

static void a_missing_file_is_not_found_unless_it_may_be_made(void **state)
{
    struct fixture *f = *state;
    struct sb_db_options options = {0};
    sqlite3 *db = NULL;
    char path[128];

    assert_int_equal(sb_db_open(f->path, &options, &db, &f->err), -SB_ENOT_FOUND);
    assert_says(f, "x.db");
    assert_int_equal(access(f->path, F_OK), -1);
    options.read_only = true;
    options.create = true;
    assert_int_equal(sb_db_open(f->path, &options, &db, &f->err), -SB_ENOT_FOUND);
    snprintf(path, sizeof(path), "%s/none/x.db", f->dir);
    assert_int_equal(sb_db_open(path, &writer, &db, &f->err), -SB_ENOT_FOUND);
    assert_int_equal(sb_db_open(f->dir, &options, &db, &f->err), -SB_EIO);
    assert_null(db);
}

static void a_text_file_is_not_a_database(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db = NULL;

    write_file(f->path, "this is a text that is surely longer than the header of a database, which "
                        "has one hundred bytes of its own\n");
    assert_int_equal(sb_db_open(f->path, &writer, &db, &f->err), -SB_ECORRUPT);
    assert_says(f, "not a database");
    assert_says(f, f->path);
    assert_null(db);
}

static void migrations_run_once_each_in_order(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db = open_db(f, &writer);

    assert_int_equal(sb_db_migrate(db, APP_ID, steps, 1, &f->err), 0);
    assert_int_equal(number(db, "PRAGMA user_version"), 1);
    assert_int_equal(number(db, "PRAGMA application_id"), APP_ID);
    assert_int_equal(number(db, "SELECT count(*) FROM sqlite_schema WHERE name='b'"), 0);
    sb_db_close(db);

    db = open_migrated(f);
    assert_int_equal(number(db, "PRAGMA user_version"), 2);
    assert_int_equal(sb_db_migrate(db, APP_ID, steps, 2, &f->err), 0);
    assert_int_equal(number(db, "SELECT count(*) FROM b"), 1);
    sb_db_close(db);
}

static void a_step_that_fails_leaves_the_schema_before_it(void **state)
{
    static const struct sb_migration bad[] = {
        {"CREATE TABLE a(x INTEGER)"},
        {"CREATE TABLE c(z INTEGER); INSERT INTO nowhere VALUES(1)"},
    };
    struct fixture *f = *state;
    sqlite3 *db = open_db(f, &writer);

    assert_int_equal(sb_db_migrate(db, APP_ID, bad, 2, &f->err), -SB_EINTERNAL);
    assert_says(f, "migration to schema 2");
    assert_says(f, "no such table: nowhere");
    assert_int_equal(number(db, "PRAGMA user_version"), 1);
    assert_int_equal(number(db, "SELECT count(*) FROM sqlite_schema WHERE name='c'"), 0);
    assert_int_equal(sqlite3_get_autocommit(db), 1);
    sb_db_close(db);
}

static void a_foreign_database_is_refused_and_left_alone(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db = open_db(f, &writer);

    assert_int_equal(sb_db_exec(db, "CREATE TABLE theirs(x)", NULL), 0);
    assert_int_equal(sb_db_migrate(db, APP_ID, steps, 2, &f->err), -SB_ECORRUPT);
    assert_says(f, "not a database of this program");
    assert_int_equal(number(db, "PRAGMA user_version"), 0);
    assert_int_equal(sb_db_exec(db, "PRAGMA application_id=77; PRAGMA user_version=1", NULL), 0);
    assert_int_equal(sb_db_migrate(db, APP_ID, steps, 2, &f->err), -SB_ECORRUPT);
    assert_says(f, "0000004d");
    assert_int_equal(number(db, "SELECT count(*) FROM sqlite_schema"), 1);
    sb_db_close(db);
}

/* Not even its journal mode, which is in the header, is changed by looking at it. */
static void a_foreign_file_keeps_its_journal_mode(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE theirs(x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    db = open_db(f, &writer);
    assert_int_equal(sb_db_migrate(db, APP_ID, steps, 2, &f->err), -SB_ECORRUPT);
    assert_text(db, "PRAGMA journal_mode", "delete");
    sb_db_close(db);
}

static void a_newer_schema_is_refused(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db = open_migrated(f);

    assert_int_equal(sb_db_migrate(db, APP_ID, steps, 1, &f->err), -SB_ENEWER_SCHEMA);
    assert_says(f, "schema 2");
    sb_db_close(db);
}

static void read_only_reads_and_refuses_to_write(void **state)
{
    struct fixture *f = *state;
    struct sb_db_options options = {.read_only = true};
    sqlite3 *db = open_db(f, &writer), *reader;

    assert_int_equal(sb_db_migrate(db, APP_ID, steps, 1, &f->err), 0);
    reader = open_db(f, &options);
    assert_int_equal(sb_db_migrate(reader, APP_ID, steps, 1, &f->err), 0);
    assert_int_equal(sb_db_migrate(reader, APP_ID, steps, 2, &f->err), -SB_EREAD_ONLY);
    assert_says(f, "older");
    assert_int_equal(sb_db_exec(reader, "INSERT INTO a(x) VALUES(1)", &f->err), -SB_EREAD_ONLY);
    assert_int_equal(sb_db_exec(db, "INSERT INTO a(x) VALUES(1)", NULL), 0);
    assert_int_equal(number(reader, "SELECT count(*) FROM a"), 1);
    sb_db_close(reader);
    sb_db_close(db);
}

/* SQLITE_FULL rolls the whole transaction back; what follows must not be committed row by row. */
static void a_full_disk_is_named_and_the_transaction_is_gone(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db = open_migrated(f);
    sqlite3_stmt *insert;
    int rc = 0;

    assert_int_equal(sb_db_exec(db, "PRAGMA max_page_count=40", NULL), 0);
    assert_int_equal(
        sb_db_prepare(db, "INSERT INTO a(body) VALUES(zeroblob(20000))", &insert, NULL), 0);
    assert_int_equal(sb_db_begin(db, &f->err), 0);
    for (int i = 0; i < 20 && rc == 0; i++)
        rc = sb_db_run(db, insert, &f->err, "insert");
    assert_int_equal(rc, -SB_EDISK_FULL);
    assert_int_equal(f->err.code, SB_EDISK_FULL);
    assert_says(f, "insert: ");
    sb_db_rollback(db);
    assert_int_equal(sqlite3_get_autocommit(db), 1);
    sb_db_rollback(db);
    sqlite3_finalize(insert);
    assert_int_equal(number(db, "SELECT count(*) FROM a"), 0);
    assert_int_equal(sb_db_exec(db, "INSERT INTO a(body) VALUES('small')", NULL), -SB_EINTERNAL);
    assert_int_equal(sb_db_exec(db, "INSERT INTO a(body) VALUES(x'00')", NULL), 0);
    sb_db_close(db);
}

static void a_second_writer_is_told_busy_after_the_timeout(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db = open_migrated(f), *other = open_migrated(f);

    assert_int_equal(sb_db_begin(db, &f->err), 0);
    assert_int_equal(sb_db_begin(other, &f->err), -SB_EBUSY);
    assert_int_equal(number(other, "SELECT count(*) FROM b"), 1);
    assert_int_equal(sb_db_commit(db, &f->err), 0);
    assert_int_equal(sb_db_begin(other, &f->err), 0);
    sb_db_rollback(other);
    sb_db_close(other);
    sb_db_close(db);
}

static void a_commit_that_fails_rolls_back(void **state)
{
    static const struct sb_migration family[] = {
        {"CREATE TABLE parent(id INTEGER PRIMARY KEY);"
         "CREATE TABLE child(parent INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)"},
    };
    struct fixture *f = *state;
    sqlite3 *db = open_db(f, &writer);

    assert_int_equal(sb_db_migrate(db, APP_ID, family, 1, &f->err), 0);
    assert_int_equal(sb_db_begin(db, &f->err), 0);
    assert_int_equal(sb_db_exec(db, "INSERT INTO child VALUES(1)", &f->err), 0);
    assert_int_equal(sb_db_commit(db, &f->err), -SB_EINTERNAL);
    assert_says(f, "FOREIGN KEY");
    assert_int_equal(sqlite3_get_autocommit(db), 1);
    assert_int_equal(number(db, "SELECT count(*) FROM child"), 0);
    sb_db_close(db);
}

static void the_cause_is_not_cut_off_by_a_long_statement(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db = open_migrated(f);
    sqlite3_stmt *stmt = NULL;
    char sql[600];

    snprintf(sql, sizeof(sql), "SELECT\n%500d FROM nowhere", 1);
    assert_int_equal(sb_db_prepare(db, sql, &stmt, &f->err), -SB_EINTERNAL);
    assert_says(f, "no such table: nowhere");
    assert_null(strchr(f->err.msg, '\n'));
    assert_int_equal(sb_db_exec(db, "INSERT INTO b VALUES('first')", &f->err), -SB_EINTERNAL);
    assert_says(f, "UNIQUE");
    sb_db_close(db);
}

static void data_version_tells_of_other_writers_only(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db = open_migrated(f), *other = open_migrated(f);
    int64_t before, after;

    assert_int_equal(sb_db_data_version(db, &before, &f->err), 0);
    assert_int_equal(sb_db_exec(db, "INSERT INTO a(x) VALUES(1)", NULL), 0);
    assert_int_equal(sb_db_data_version(db, &after, &f->err), 0);
    assert_true(before == after);
    assert_int_equal(sb_db_exec(other, "INSERT INTO a(x) VALUES(2)", NULL), 0);
    assert_int_equal(sb_db_data_version(db, &after, &f->err), 0);
    assert_true(before != after);
    sb_db_close(other);
    sb_db_close(db);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_database_is_private_durable_and_in_wal),
        TEST(an_existing_file_keeps_its_mode),
        TEST(limits_are_applied),
        TEST(a_memory_database_needs_volatile_ok),
        TEST(a_missing_file_is_not_found_unless_it_may_be_made),
        TEST(a_text_file_is_not_a_database),
        TEST(migrations_run_once_each_in_order),
        TEST(a_step_that_fails_leaves_the_schema_before_it),
        TEST(a_foreign_database_is_refused_and_left_alone),
        TEST(a_foreign_file_keeps_its_journal_mode),
        TEST(a_newer_schema_is_refused),
        TEST(read_only_reads_and_refuses_to_write),
        TEST(a_full_disk_is_named_and_the_transaction_is_gone),
        TEST(a_second_writer_is_told_busy_after_the_timeout),
        TEST(a_commit_that_fails_rolls_back),
        TEST(the_cause_is_not_cut_off_by_a_long_statement),
        TEST(data_version_tells_of_other_writers_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
