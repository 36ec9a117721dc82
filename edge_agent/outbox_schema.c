#include "edge_agent/outbox_sqlite.h"

/* Append only: a step that was released is never changed. Stored enums never change their numbers.
 *
 * A row of `outbox` is a chunk of one stream. Its rowid is the stream's number and the chunk's
 * first sequence number in one integer (outbox_key), so that rows lie in sending order without an
 * index beside them. Texts that repeat from row to row (fields, kernel boot ids) are kept once. */
static const struct sb_migration steps[] = {
    {"CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
     "CREATE TABLE epochs(n INTEGER PRIMARY KEY, epoch TEXT NOT NULL UNIQUE,"
     " made_us INTEGER NOT NULL) STRICT;"
     "CREATE TABLE streams(s INTEGER PRIMARY KEY, n INTEGER NOT NULL REFERENCES epochs(n),"
     " stream TEXT NOT NULL, next_seq INTEGER NOT NULL DEFAULT 1,"
     " settled TEXT NOT NULL DEFAULT '[]', refused TEXT NOT NULL DEFAULT '[]',"
     " row_bytes INTEGER NOT NULL DEFAULT 0, UNIQUE(n, stream)) STRICT;"
     "CREATE TABLE fields(f INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;"
     "CREATE TABLE boots(b INTEGER PRIMARY KEY, device_boot TEXT NOT NULL UNIQUE) STRICT;"
     "CREATE TABLE outbox(key INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL, f INTEGER NOT NULL,"
     " b INTEGER NOT NULL, mono_ms INTEGER NOT NULL, wall_us INTEGER NOT NULL,"
     " quality INTEGER NOT NULL, op_id TEXT, before TEXT, body TEXT NOT NULL) STRICT;"
     "CREATE TABLE ids(stream TEXT NOT NULL, id TEXT NOT NULL, hash INTEGER NOT NULL,"
     " s INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY(stream, id)) STRICT, WITHOUT ROWID;"
     "CREATE INDEX ids_place ON ids(s, seq);"
     "CREATE TABLE dead(id INTEGER PRIMARY KEY AUTOINCREMENT, s INTEGER NOT NULL,"
     " seq INTEGER NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL, f INTEGER NOT NULL,"
     " b INTEGER NOT NULL, mono_ms INTEGER NOT NULL, wall_us INTEGER NOT NULL,"
     " quality INTEGER NOT NULL, op_id TEXT, before TEXT, body TEXT NOT NULL,"
     " dead_us INTEGER NOT NULL, tries INTEGER NOT NULL DEFAULT 0,"
     " retry INTEGER NOT NULL DEFAULT 0, UNIQUE(s, seq)) STRICT;"
     "CREATE TABLE conflicts(id INTEGER PRIMARY KEY AUTOINCREMENT, s INTEGER NOT NULL,"
     " seq INTEGER NOT NULL, user TEXT NOT NULL, op_id TEXT NOT NULL, code TEXT NOT NULL,"
     " pointers TEXT NOT NULL, record TEXT NOT NULL, before TEXT, server TEXT NOT NULL,"
     " as_of INTEGER NOT NULL, at_us INTEGER NOT NULL, in_force INTEGER NOT NULL DEFAULT 0,"
     " UNIQUE(s, seq)) STRICT;"
     "CREATE INDEX conflicts_user ON conflicts(user, in_force);"
     "CREATE TABLE holes(s INTEGER NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,"
     " reason INTEGER NOT NULL, ops TEXT NOT NULL, PRIMARY KEY(s, first_seq))"
     " STRICT, WITHOUT ROWID;"
     "CREATE TABLE settings(user TEXT PRIMARY KEY, doc TEXT NOT NULL, last_op TEXT NOT NULL,"
     " base_tag TEXT NOT NULL, seen INTEGER NOT NULL, hlc INTEGER NOT NULL,"
     " updated_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
     "CREATE TABLE history(id INTEGER PRIMARY KEY, user TEXT NOT NULL, command_id TEXT NOT NULL,"
     " at_us INTEGER NOT NULL, body TEXT NOT NULL) STRICT;"
     "CREATE INDEX history_user ON history(user, at_us);"
     "CREATE TABLE cursors(source TEXT PRIMARY KEY, offset INTEGER NOT NULL, hash INTEGER NOT NULL)"
     " STRICT, WITHOUT ROWID;"},
};

int outbox_migrate(sqlite3 *db, struct sb_err *err)
{
    return sb_db_migrate(db, OUTBOX_APP_ID, steps, sizeof(steps) / sizeof(steps[0]), err);
}
