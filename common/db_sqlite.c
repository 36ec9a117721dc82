#include "db_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "check.h"

/* What a write-ahead log is cut back to after a checkpoint; a long reader can make it grow. */
#define OUR_ID_PREFIX  0x5342
#define WAL_KEPT_BYTES "16777216"
#define WAL_PAUSE_MS   5

static enum sb_code code_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return SB_EDISK_FULL;
    case SQLITE_READONLY:
        return SB_EREAD_ONLY;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL: /* somebody holds a lock of the WAL for longer than SQLite tries */
    case SQLITE_NOMEM:    /* a shortage that passes; no record is to blame for it */
        return SB_EBUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return SB_ECORRUPT;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return SB_EIO;
    default:
        return SB_EINTERNAL;
    }
}

/* To SQLite a full disk is an I/O error when it is met beside the database (its -shm). */
static enum sb_code code_of_system(int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT:
        return SB_EDISK_FULL;
    case EROFS:
        return SB_EREAD_ONLY;
    default:
        return SB_EIO;
    }
}

int sb_db_fail(sqlite3 *db, struct sb_err *err, const char *what)
{
    enum sb_code code = code_of(sqlite3_errcode(db));
    int number = code == SB_EIO ? sqlite3_system_errno(db) : 0;

    if (code == SB_EIO)
        code = code_of_system(number);
    if (number != 0)
        return sb_fail(err, code, "%s: %s: %s", what, sqlite3_errmsg(db), strerror(number));
    return sb_fail(err, code, "%s: %s", what, sqlite3_errmsg(db));
}

/* As sb_db_fail, with the beginning of the statement: the cause must not be cut off by it. */
static int fail_in(sqlite3 *db, struct sb_err *err, const char *sql)
{
    char what[64];

    snprintf(what, sizeof(what), "%s", sql);
    for (char *at = what; *at != '\0'; at++)
        if (*at == '\n')
            *at = ' ';
    return sb_db_fail(db, err, what);
}

/* Whether the text names a file, as opposed to memory or a URI that asks for no creation. */
static bool names_file(const char *path)
{
    return strncmp(path, "file:", 5) != 0 && path[0] != '\0' && strcmp(path, ":memory:") != 0;
}

/* SQLite would make the file with mode 0644 and its -wal and -shm with the same. */
static int make_private_file(const char *path, struct sb_err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd >= 0)
        close(fd);
    else if (errno != EEXIST)
        return sb_fail_errno(err, errno, "%s", path);
    return 0;
}

static int check_there(const char *path, struct sb_err *err)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return sb_fail_errno(err, errno, "%s", path);
    if (S_ISDIR(st.st_mode))
        return sb_fail(err, SB_EIO, "%s: is a folder", path);
    return 0;
}

/* Runs a pragma that answers with one text or number. */
static int ask(sqlite3 *db, const char *sql, char *text, size_t size, struct sb_err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sb_db_prepare(db, sql, &stmt, err);

    if (rc != 0)
        return rc;
    switch (sqlite3_step(stmt)) {
    case SQLITE_ROW:
        snprintf(text, size, "%s", (const char *)sqlite3_column_text(stmt, 0));
        break;
    case SQLITE_DONE:
        text[0] = '\0';
        break;
    default:
        rc = fail_in(db, err, sql);
        break;
    }
    sqlite3_finalize(stmt);
    return rc;
}

static int ask_number(sqlite3 *db, const char *sql, int64_t *number, struct sb_err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sb_db_prepare(db, sql, &stmt, err);

    *number = 0;
    if (rc != 0)
        return rc;
    if (sqlite3_step(stmt) == SQLITE_ROW)
        *number = sqlite3_column_int64(stmt, 0);
    else
        rc = fail_in(db, err, sql);
    sqlite3_finalize(stmt);
    return rc;
}

/* A new file goes over to WAL once, and SQLite does not wait there when another process is at it.
 */
static int ask_for_wal(sqlite3 *db, int busy_timeout_ms, char *mode, size_t size,
                       struct sb_err *err)
{
    int waited_ms = 0, rc;

    while ((rc = ask(db, "PRAGMA journal_mode=WAL", mode, size, err)) == -(int)SB_EBUSY &&
           waited_ms < busy_timeout_ms) {
        (void)poll(NULL, 0, WAL_PAUSE_MS);
        waited_ms += WAL_PAUSE_MS;
    }
    return rc;
}

static int use_wal(sqlite3 *db, const struct sb_db_options *options, struct sb_err *err)
{
    char mode[16];
    int rc = ask_for_wal(db, options->busy_timeout_ms, mode, sizeof(mode), err);

    if (rc == 0 && strcmp(mode, "wal") != 0 && !options->volatile_ok)
        return sb_fail(err, SB_EIO,
                       "write-ahead logging is not possible there (journal mode stays %s): "
                       "a local file system is needed",
                       mode);
    return rc;
}

static int set_limits(sqlite3 *db, const struct sb_db_options *options, struct sb_err *err)
{
    char sql[160];
    int used = 0;

    if (options->page_limit > 0)
        used =
            snprintf(sql, sizeof(sql), "PRAGMA max_page_count=%" PRId64 ";", options->page_limit);
    if (options->cache_kib > 0)
        used += snprintf(sql + used, sizeof(sql) - (size_t)used, "PRAGMA cache_size=-%d;",
                         options->cache_kib);
    return used > 0 ? sb_db_exec(db, sql, err) : 0;
}

/* A database of another program stays as it is, header included, until sb_db_migrate refuses it.
 * The application ids of both daemons begin with the letters SB. */
static int is_foreign(sqlite3 *db, bool *foreign, struct sb_err *err)
{
    int64_t id = 0, objects = 0;
    int rc = ask_number(db, "PRAGMA application_id", &id, err);

    if (rc == 0)
        rc = ask_number(db, "SELECT count(*) FROM sqlite_schema", &objects, err);
    *foreign = objects > 0 && id >> 16 != OUR_ID_PREFIX;
    return rc;
}

static int configure(sqlite3 *db, const struct sb_db_options *options, struct sb_err *err)
{
    bool foreign = false;
    int64_t version;
    int rc;

    sqlite3_busy_timeout(db, options->busy_timeout_ms);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    /* The first read of the file: here it shows whether it is a database at all. */
    rc = ask_number(db, "PRAGMA schema_version", &version, err);
    if (rc == 0)
        rc = is_foreign(db, &foreign, err);
    if (rc == 0 && !options->read_only && !foreign)
        rc = use_wal(db, options, err);
    if (rc == 0)
        rc = sb_db_exec(db,
                        "PRAGMA synchronous=FULL;"
                        "PRAGMA foreign_keys=ON;"
                        "PRAGMA journal_size_limit=" WAL_KEPT_BYTES,
                        err);
    if (rc == 0)
        rc = set_limits(db, options, err);
    return rc;
}

/* WAL needs files beside the database: on a file system mounted read-only SQLite says "unable to
 * open", which names no cause. */
static int explain_open(const char *path, int rc, struct sb_err *err)
{
    struct statvfs fs;

    if (rc != -(int)SB_EIO || !names_file(path) || statvfs(path, &fs) != 0 ||
        (fs.f_flag & ST_RDONLY) == 0)
        return rc;
    return sb_fail(err, SB_EREAD_ONLY, "%s: its file system is read-only", path);
}

int sb_db_open(const char *path, const struct sb_db_options *options, sqlite3 **out,
               struct sb_err *err)
{
    int flags = options->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    bool create = options->create && !options->read_only;
    sqlite3 *db = NULL;
    int rc = 0;

    if (create)
        flags |= SQLITE_OPEN_CREATE;
    if (names_file(path))
        rc = create ? make_private_file(path, err) : check_there(path, err);
    if (rc != 0)
        return rc;
    if (sqlite3_open_v2(path, &db,
                        flags | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                        NULL) != SQLITE_OK) {
        rc = db != NULL ? sb_db_fail(db, err, path)
                        : sb_fail(err, SB_EINTERNAL, "%s: out of memory", path);
        goto close_db;
    }
    rc = configure(db, options, err);
    if (rc != 0) {
        sb_err_prefix(err, "%s", path);
        rc = explain_open(path, rc, err);
        goto close_db;
    }
    *out = db;
    return 0;

close_db:
    sb_db_close(db);
    return rc;
}

void sb_db_close(sqlite3 *db)
{
    /* Busy means a statement of ours was not finalized. */
    SB_CHECK(sqlite3_close(db) == SQLITE_OK);
}

static int check_identity(sqlite3 *db, int app_id, int64_t version, struct sb_err *err)
{
    int64_t id, objects;
    int rc = ask_number(db, "PRAGMA application_id", &id, err);

    if (rc == 0)
        rc = ask_number(db, "SELECT count(*) FROM sqlite_schema", &objects, err);
    if (rc != 0)
        return rc;
    if (id == app_id || (id == 0 && objects == 0 && version == 0))
        return 0;
    return sb_fail(err, SB_ECORRUPT,
                   "not a database of this program (application id %08" PRIx32
                   ", expected %08" PRIx32 ")",
                   (uint32_t)id, (uint32_t)app_id);
}

/* Reads the version; with the write lock held nobody else can be migrating. */
static int check_version(sqlite3 *db, int app_id, int count, int64_t *version, struct sb_err *err)
{
    int rc = ask_number(db, "PRAGMA user_version", version, err);

    if (rc == 0)
        rc = check_identity(db, app_id, *version, err);
    if (rc == 0 && *version > count)
        rc = sb_fail(err, SB_ENEWER_SCHEMA,
                     "written by a newer version of this program (schema %" PRId64
                     ", this one knows %d)",
                     *version, count);
    return rc;
}

/* As check_version, all of it as of one moment: another process may be making the tables. */
static int check_now(sqlite3 *db, int app_id, int count, int64_t *version, struct sb_err *err)
{
    int rc = sb_db_exec(db, "BEGIN", err);

    if (rc == 0)
        rc = check_version(db, app_id, count, version, err);
    sb_db_rollback(db);
    return rc;
}

/* One step, if it is still due once the write lock is held. */
static int migrate_one(sqlite3 *db, int app_id, const struct sb_migration *steps, int count,
                       int64_t *version, struct sb_err *err)
{
    char sql[96];
    int rc = sb_db_begin(db, err);

    if (rc != 0)
        return rc;
    rc = check_version(db, app_id, count, version, err);
    if (rc != 0 || *version == count)
        goto rollback;
    snprintf(sql, sizeof(sql), "PRAGMA application_id=%d; PRAGMA user_version=%" PRId64, app_id,
             *version + 1);
    rc = sb_db_exec(db, steps[*version].sql, err);
    if (rc == 0)
        rc = sb_db_exec(db, sql, err);
    if (rc == 0)
        rc = sb_db_commit(db, err);
    if (rc != 0) {
        sb_err_prefix(err, "migration to schema %" PRId64, *version + 1);
        goto rollback;
    }
    (*version)++;
    return 0;

rollback:
    sb_db_rollback(db);
    return rc;
}

int sb_db_migrate(sqlite3 *db, int app_id, const struct sb_migration *steps, int count,
                  struct sb_err *err)
{
    int64_t version;
    int rc = check_now(db, app_id, count, &version, err);

    if (rc == 0 && version < count && sqlite3_db_readonly(db, "main") == 1)
        return sb_fail(err, SB_EREAD_ONLY,
                       "schema %" PRId64 " is older than this program's %d and the database was "
                       "opened for reading only",
                       version, count);
    while (rc == 0 && version < count)
        rc = migrate_one(db, app_id, steps, count, &version, err);
    return rc;
}

int sb_db_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out, struct sb_err *err)
{
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) != SQLITE_OK)
        return fail_in(db, err, sql);
    return 0;
}

int sb_db_run(sqlite3 *db, sqlite3_stmt *stmt, struct sb_err *err, const char *what)
{
    int rc = sqlite3_step(stmt);
    int result = 0;

    SB_CHECK(rc != SQLITE_ROW);
    if (rc != SQLITE_DONE)
        result = sb_db_fail(db, err, what);
    sqlite3_reset(stmt);
    return result;
}

int sb_db_exec(sqlite3 *db, const char *sql, struct sb_err *err)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return fail_in(db, err, sql);
    return 0;
}

int sb_db_begin(sqlite3 *db, struct sb_err *err)
{
    return sb_db_exec(db, "BEGIN IMMEDIATE", err);
}

int sb_db_commit(sqlite3 *db, struct sb_err *err)
{
    int rc = sb_db_exec(db, "COMMIT", err);

    if (rc != 0)
        sb_db_rollback(db);
    return rc;
}

void sb_db_rollback(sqlite3 *db)
{
    /* A failed ROLLBACK leaves autocommit on all the same: some errors have rolled back before. */
    if (!sqlite3_get_autocommit(db))
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
}

int sb_db_data_version(sqlite3 *db, int64_t *version, struct sb_err *err)
{
    return ask_number(db, "PRAGMA data_version", version, err);
}
