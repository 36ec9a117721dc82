#ifndef EDGE_OUTBOX_SQLITE_H
#define EDGE_OUTBOX_SQLITE_H

#include "common/db_sqlite.h"
#include "edge_agent/outbox_docs.h"
#include "edge_agent/outbox_docs_sqlite.h"

/* What the outbox's SQL files share; included by outbox_*sqlite.c and outbox_schema.c only. */

#define OUTBOX_APP_ID   0x5342454f /* "SBEO" */
#define OUTBOX_SEQ_BITS 43 /* a stream's numbers within one epoch; then a new epoch begins */
#define OUTBOX_SEQ_MAX  ((INT64_C(1) << OUTBOX_SEQ_BITS) - 1)

#define OUTBOX_QUERIES(X)                                                                          \
    X(Q_EPOCH_CURRENT, "SELECT n, epoch FROM epochs ORDER BY n DESC LIMIT 1")                      \
    X(Q_EPOCH_ADD, "INSERT INTO epochs(epoch, made_us) VALUES(?1, ?2)")                            \
    X(Q_EPOCHS, "SELECT n, epoch FROM epochs ORDER BY n")                                          \
    X(Q_STREAM_FIND, "SELECT s, next_seq FROM streams WHERE n = ?1 AND stream = ?2")               \
    X(Q_STREAM_NAMES, "SELECT count(DISTINCT stream), coalesce(max(stream = ?1), 0) FROM streams") \
    X(Q_STREAM_ADD, "INSERT INTO streams(n, stream) VALUES(?1, ?2)")                               \
    X(Q_STREAM_MOVE, "UPDATE streams SET next_seq = ?2, row_bytes = row_bytes + ?3 WHERE s = ?1")  \
    X(Q_STREAMS, "SELECT s, n, epoch, stream, next_seq, settled, refused, row_bytes"               \
                 " FROM streams JOIN epochs USING(n) ORDER BY n, stream")                          \
    X(Q_STREAM_BYTES, "UPDATE streams SET row_bytes = max(0, row_bytes - ?2) WHERE s = ?1")        \
    X(Q_STREAM_SETTLED, "UPDATE streams SET settled = ?2, refused = ?3 WHERE s = ?1")              \
    X(Q_STREAM_NAME, "SELECT stream FROM streams WHERE s = ?1")                                    \
    X(Q_FIELDS_FIND, "SELECT f FROM fields WHERE text = ?1")                                       \
    X(Q_FIELDS_ADD, "INSERT INTO fields(text) VALUES(?1)")                                         \
    X(Q_FIELDS_DROP, "DELETE FROM fields WHERE f = ?1 AND NOT EXISTS(SELECT 1 FROM outbox"         \
                     " WHERE f = ?1) AND NOT EXISTS(SELECT 1 FROM dead WHERE f = ?1)")             \
    X(Q_BOOT_FIND, "SELECT b FROM boots WHERE device_boot = ?1")                                   \
    X(Q_BOOT_ADD, "INSERT INTO boots(device_boot) VALUES(?1)")                                     \
    X(Q_ROW_ADD, "INSERT INTO outbox(key, last_seq, f, b, mono_ms, wall_us, quality, op_id,"       \
                 " before, body, doc) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")       \
    X(Q_ROWS, "SELECT key, last_seq, f, text, device_boot, mono_ms, wall_us, quality, op_id,"      \
              " before, body, doc FROM outbox JOIN fields USING(f) JOIN boots USING(b)"            \
              " WHERE key >= ?1 AND key <= ?2 ORDER BY key")                                       \
    X(Q_ROW_BEFORE, "SELECT key, last_seq FROM outbox WHERE key >= ?1 AND key <= ?2"               \
                    " ORDER BY key DESC LIMIT 1")                                                  \
    X(Q_ROW_RANGES, "SELECT key, last_seq FROM outbox WHERE key >= ?1 AND key <= ?2 ORDER BY key") \
    X(Q_ROW_FIRST, "SELECT min(key) FROM outbox WHERE key >= ?1 AND key <= ?2")                    \
    X(Q_ROW_DELETE, "DELETE FROM outbox WHERE key = ?1")                                           \
    X(Q_ROW_OLD, "SELECT key, last_seq, wall_us, length(body), f FROM outbox"                      \
                 " WHERE key >= ?1 AND key <= ?2 ORDER BY key LIMIT ?3")                           \
    X(Q_ROW_OLDEST,                                                                                \
      "SELECT wall_us FROM outbox WHERE key >= ?1 AND key <= ?2 ORDER BY key LIMIT 1")             \
    X(Q_ID_FIND, "SELECT hash, epoch, seq FROM ids JOIN streams USING(s) JOIN epochs USING(n)"     \
                 " WHERE ids.stream = ?1 AND id = ?2")                                             \
    X(Q_ID_ADD, "INSERT INTO ids(stream, id, hash, s, seq) VALUES(?1, ?2, ?3, ?4, ?5)"             \
                " ON CONFLICT(stream, id) DO UPDATE SET s = excluded.s, seq = excluded.seq")       \
    X(Q_ID_PURGE, "DELETE FROM ids WHERE s = ?1 AND seq BETWEEN ?2 AND ?3")                        \
    X(Q_META_GET, "SELECT value FROM meta WHERE key = ?1")                                         \
    X(Q_META_SET, "INSERT INTO meta(key, value) VALUES(?1, ?2)"                                    \
                  " ON CONFLICT(key) DO UPDATE SET value = excluded.value")                        \
    X(Q_DEAD_ADD, "INSERT INTO dead(s, seq, code, reason, f, b, mono_ms, wall_us, quality, op_id," \
                  " before, body, dead_us, doc) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10,"   \
                  " ?11, ?12, ?13, ?14) ON CONFLICT(s, seq) DO UPDATE SET code = excluded.code,"   \
                  " reason = excluded.reason, retry = 0")                                          \
    X(Q_DEAD_LIST, "SELECT id, s, epoch, stream, seq, code, reason, text, body, op_id, dead_us,"   \
                   " tries, retry FROM dead JOIN streams USING(s) JOIN epochs USING(n)"            \
                   " JOIN fields USING(f) WHERE (?1 = 0 OR id = ?1) AND (?2 = 0 OR retry = 1)"     \
                   " ORDER BY id")                                                                 \
    X(Q_DEAD_GET,                                                                                  \
      "SELECT s, seq, stream, f, b, mono_ms, wall_us, quality, op_id, before, body, id, doc"       \
      " FROM dead JOIN streams USING(s) WHERE (?1 > 0 AND id = ?1)"                                \
      " OR (?1 = 0 AND s = ?2 AND seq = ?3)")                                                      \
    X(Q_DEAD_AT, "SELECT id FROM dead WHERE s = ?1 AND seq = ?2")                                  \
    X(Q_DEAD_FLAG, "UPDATE dead SET retry = 1, tries = tries + 1 WHERE id = ?1")                   \
    X(Q_DEAD_REFUSED, "UPDATE dead SET retry = 0, code = ?3, reason = ?4"                          \
                      " WHERE s = ?1 AND seq = ?2")                                                \
    X(Q_DEAD_DROP, "DELETE FROM dead WHERE id = ?1")                                               \
    X(Q_GIVEN_UP, "SELECT op_id FROM dead WHERE s = ?1 AND seq = ?2"                               \
                  " UNION ALL SELECT op_id FROM conflicts WHERE s = ?1 AND seq = ?2 LIMIT 1")      \
    X(Q_HOLE_ADD,                                                                                  \
      "INSERT INTO holes(s, first_seq, last_seq, reason, ops) VALUES(?1, ?2, ?3, ?4, ?5)")         \
    X(Q_HOLES, "SELECT s, first_seq, last_seq, reason, ops FROM holes ORDER BY s, first_seq")      \
    X(Q_HOLES_IN, "SELECT first_seq, last_seq, reason, ops FROM holes"                             \
                  " WHERE s = ?1 AND last_seq >= ?2 AND first_seq <= ?3 ORDER BY first_seq")       \
    X(Q_HOLE_DELETE, "DELETE FROM holes WHERE s = ?1 AND first_seq = ?2")                          \
    X(Q_HISTORY_ADD, "INSERT INTO history(user, command_id, at_us, body) VALUES(?1, ?2, ?3, ?4)")  \
    /* the newest stays: marks of switches are compared with its id */                             \
    X(Q_HISTORY_OLD, "DELETE FROM history WHERE id IN (SELECT id FROM history"                     \
                     " WHERE at_us >= ?1 AND at_us < ?2 AND id < (SELECT max(id) FROM history)"    \
                     " LIMIT ?3)")                                                                 \
    X(Q_HISTORY_FIRST, "DELETE FROM history WHERE id IN (SELECT id FROM history"                   \
                       " WHERE id < (SELECT max(id) FROM history) ORDER BY id LIMIT ?1)")          \
    X(Q_CURSOR_GET, "SELECT offset, hash FROM cursors WHERE source = ?1")                          \
    X(Q_CURSOR_SET, "INSERT INTO cursors(source, offset, hash) VALUES(?1, ?2, ?3)"                 \
                    " ON CONFLICT(source) DO UPDATE SET offset = excluded.offset,"                 \
                    " hash = excluded.hash")                                                       \
    X(Q_CHANGE_NEXT, "SELECT n, user, tbl, id FROM (SELECT * FROM document_changes WHERE n > ?1"   \
                     " ORDER BY n LIMIT 1) UNION ALL SELECT n, user, tbl, id FROM (SELECT *"       \
                     " FROM document_changes WHERE n < ?2 ORDER BY n DESC LIMIT 1) LIMIT 1")       \
    X(Q_CHANGE_DONE, "DELETE FROM document_changes WHERE n = ?1")                                  \
    X(Q_CHANGES_ALL, "INSERT INTO document_changes(n, user, tbl, id)"                              \
                     " SELECT -d, user, tbl, id FROM documents WHERE doc IS NOT NULL")             \
    X(Q_CHANGES_NONE, "DELETE FROM document_changes")                                              \
    X(Q_COUNT_DEAD, "SELECT count(*) FROM dead")                                                   \
    X(Q_COUNT_CONFLICTS, "SELECT count(*) FROM open_conflicts WHERE resolved_us = 0")              \
    X(Q_PAGE_SIZE, "PRAGMA page_size")                                                             \
    X(Q_PAGE_COUNT, "PRAGMA page_count")                                                           \
    X(Q_PAGES_FREE, "PRAGMA freelist_count")                                                       \
    X(Q_COUNT_HOLES, "SELECT coalesce(sum(last_seq - first_seq + 1), 0) FROM holes")

#define OUTBOX_QUERY_ENUM(id, sql) id,
enum outbox_query {
    OUTBOX_QUERIES(OUTBOX_QUERY_ENUM) OUTBOX_DOC_QUERIES(OUTBOX_QUERY_ENUM) OUTBOX_QUERY_COUNT
};
#undef OUTBOX_QUERY_ENUM

struct outbox {
    sqlite3 *db;
    struct sb_rng *rng;
    char *path;     /* NULL for a memory database */
    uint64_t inode; /* of the open file */
    uint64_t device;
    bool in_transaction;
    bool room_checked; /* in this transaction */
    int64_t max_bytes; /* of pages in use; 0 = none */
    sqlite3_stmt *stmt[OUTBOX_QUERY_COUNT];
};

int outbox_migrate(sqlite3 *db, struct sb_err *err);

/* The prepared statement, reset and without bindings; NULL with *err set. */
sqlite3_stmt *outbox_stmt(struct outbox *ob, enum outbox_query query, struct sb_err *err);
/* used_bytes and free_bytes alone. */
int outbox_file_bytes(struct outbox *ob, struct outbox_counts *out, struct sb_err *err);
/* What was enqueued before 2024 was so while the device's clock was not set: its age is not known,
 * only its bytes count. */
#define OUTBOX_CLOCK_UNSET_US INT64_C(1704067200000000)

/* Are nine tenths of the file's limit used? */
int outbox_near_full(struct outbox *ob, bool *near, struct sb_err *err);
/* Steps a statement that returns no rows. */
int outbox_run(struct outbox *ob, sqlite3_stmt *stmt, const char *what, struct sb_err *err);
/* 1 = a row, 0 = done (reset), negative = error (reset). */
int outbox_step(struct outbox *ob, sqlite3_stmt *stmt, const char *what, struct sb_err *err);

void outbox_bind_span(sqlite3_stmt *stmt, int index,
                      struct sb_span text); /* "" of NULL data: NULL */
struct sb_span outbox_column_span(sqlite3_stmt *stmt, int column);
void outbox_column_copy(sqlite3_stmt *stmt, int column, char *out, size_t size);

int64_t outbox_key(int64_t s, uint64_t seq);
uint64_t outbox_key_seq(int64_t key);
/* The keys of the rows of s that reach into from..to: all rows with first in [*low, *high]. */
int outbox_key_span(struct outbox *ob, int64_t s, uint64_t from, uint64_t to, int64_t *low,
                    int64_t *high, struct sb_err *err);

/* Adds one row with its stream accounting; the numbers are the caller's. */
struct outbox_row_values {
    int64_t s;
    uint64_t first_seq, last_seq;
    int64_t f, b, mono_ms, wall_us;
    int quality;
    struct sb_span op_id, before, body, doc;
};
int outbox_row_insert(struct outbox *ob, const struct outbox_row_values *row, struct sb_err *err);

/* Adds one operation to the conflicts; nothing where it is there. */
struct outbox_conflict_values {
    int64_t s;
    uint64_t seq;
    const struct document_name *name;
    const struct sb_conflict *conflict;
    struct sb_span op_id, record, before, server;
    int64_t wall_us;
};
int outbox_conflict_insert(struct outbox *ob, const struct outbox_conflict_values *values,
                           struct sb_err *err);

#endif
