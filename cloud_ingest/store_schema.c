#include "store_sqlite.h"

#include "common/check.h"

/* Times end in _ms (since 1970, the cloud's clock) or _us. Sets of numbers are kept as
 * [[1,5],[7,7]]. `sn` is one small integer for (device, epoch, stream, branch), so that the
 * clustered key of a reading is two integers. Typed tables sensor_<type> are made from the mappings
 * (sensors_sqlite). Append only: a step that was released is never changed. */
static const char devices_and_streams[] =
    /* Commit counters of every ingest process there ever was. Rows are never deleted: a receipt of
     * any of them tells whether this database was rolled back. */
    "CREATE TABLE boots ("
    " boot TEXT PRIMARY KEY, commits INTEGER NOT NULL, taken_ms INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"

    /* seen: pages of the hello `nonce` that came in; told: the last hello that was whole. */
    "CREATE TABLE devices ("
    " device TEXT PRIMARY KEY, added_ms INTEGER NOT NULL, revoked INTEGER NOT NULL DEFAULT 0,"
    " epoch TEXT NOT NULL DEFAULT '', device_boot TEXT NOT NULL DEFAULT '',"
    " nonce TEXT NOT NULL DEFAULT '', pages INTEGER NOT NULL DEFAULT 0,"
    " seen TEXT NOT NULL DEFAULT '[]', told TEXT NOT NULL DEFAULT '',"
    " told_ms INTEGER NOT NULL DEFAULT 0"
    ") STRICT, WITHOUT ROWID;"

    /* Changes of the current epoch in hellos: A, B, A, B means two copies of one device. */
    "CREATE TABLE turns ("
    " id INTEGER PRIMARY KEY, device TEXT NOT NULL, epoch TEXT NOT NULL, at_ms INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX turns_device ON turns (device, id);"

    /* n: the order in which the epochs of all devices were first seen. */
    "CREATE TABLE epochs ("
    " n INTEGER PRIMARY KEY, device TEXT NOT NULL, epoch TEXT NOT NULL,"
    " added_ms INTEGER NOT NULL, named_ms INTEGER NOT NULL, nonce TEXT NOT NULL,"
    " UNIQUE (device, epoch)) STRICT;"

    /* What the device last said of itself. */
    "CREATE TABLE claims ("
    " device TEXT NOT NULL, epoch TEXT NOT NULL, stream TEXT NOT NULL, made INTEGER NOT NULL,"
    " settled TEXT NOT NULL, held TEXT NOT NULL, nonce TEXT NOT NULL, said_ms INTEGER NOT NULL,"
    " PRIMARY KEY (device, epoch, stream)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE streams ("
    " sn INTEGER PRIMARY KEY, device TEXT NOT NULL, epoch TEXT NOT NULL, stream TEXT NOT NULL,"
    " branch INTEGER NOT NULL, decided TEXT NOT NULL DEFAULT '[]',"
    " dropped TEXT NOT NULL DEFAULT '[]', made INTEGER NOT NULL DEFAULT 0,"
    " stored INTEGER NOT NULL DEFAULT 0, duplicates INTEGER NOT NULL DEFAULT 0,"
    " revised INTEGER NOT NULL DEFAULT 0, rejected INTEGER NOT NULL DEFAULT 0,"
    " conflict INTEGER NOT NULL DEFAULT 0, repeats INTEGER NOT NULL DEFAULT 0,"
    " added_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,"
    " UNIQUE (device, epoch, stream, branch)) STRICT;"

    "CREATE TABLE totals ("
    " device TEXT NOT NULL, stream TEXT NOT NULL, records INTEGER NOT NULL,"
    " PRIMARY KEY (device, stream)) STRICT, WITHOUT ROWID;"

    /* As declared, decided or not. named = 1: the operations are in hole_ops. */
    "CREATE TABLE holes ("
    " sn INTEGER NOT NULL, named INTEGER NOT NULL, first_seq INTEGER NOT NULL,"
    " last_seq INTEGER NOT NULL, reason INTEGER NOT NULL, ts_from TEXT, ts_to TEXT, summary TEXT,"
    " declared_ms INTEGER NOT NULL, PRIMARY KEY (sn, named, first_seq)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE hole_ops ("
    " sn INTEGER NOT NULL, seq INTEGER NOT NULL, op_id TEXT NOT NULL,"
    " PRIMARY KEY (sn, seq, op_id)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE rejections ("
    " sn INTEGER NOT NULL, seq INTEGER NOT NULL, hash INTEGER NOT NULL, code TEXT NOT NULL,"
    " reason TEXT NOT NULL, fields TEXT, record TEXT, rejected_ms INTEGER NOT NULL,"
    " PRIMARY KEY (sn, seq)) STRICT, WITHOUT ROWID;"

    /* Numbers whose record the cloud had already under another number. */
    "CREATE TABLE dups ("
    " sn INTEGER NOT NULL, seq INTEGER NOT NULL, hash INTEGER NOT NULL, rx_ms INTEGER NOT NULL,"
    " PRIMARY KEY (sn, seq)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE clock_spans ("
    " sn INTEGER NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,"
    " device_boot TEXT NOT NULL, offset_ms INTEGER, quality INTEGER NOT NULL,"
    " PRIMARY KEY (sn, first_seq)) STRICT, WITHOUT ROWID;";

static const char records[] =
    /* Which typed tables there are and what their columns hold. */
    "CREATE TABLE sensor_columns ("
    " type TEXT NOT NULL, name TEXT NOT NULL, kind INTEGER NOT NULL, position INTEGER NOT NULL,"
    " PRIMARY KEY (type, name)) STRICT, WITHOUT ROWID;"

    /* Readings of types that no mapping declares. */
    "CREATE TABLE readings_json ("
    " sn INTEGER NOT NULL, seq INTEGER NOT NULL, ts INTEGER NOT NULL, ts_text TEXT,"
    " rx_ms INTEGER NOT NULL, extra TEXT,"
    " PRIMARY KEY (sn, seq)) STRICT, WITHOUT ROWID;"

    /* Where a frame that its type knows by an identity is stored. */
    "CREATE TABLE reading_ids ("
    " device TEXT NOT NULL, type TEXT NOT NULL, hash INTEGER NOT NULL, sn INTEGER NOT NULL,"
    " seq INTEGER NOT NULL, PRIMARY KEY (device, type, hash, sn, seq)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX reading_ids_seq ON reading_ids (sn, seq);"

    "CREATE TABLE history ("
    " hid INTEGER PRIMARY KEY, user TEXT NOT NULL, place TEXT NOT NULL, trace TEXT NOT NULL,"
    " command_id TEXT NOT NULL, latest INTEGER NOT NULL DEFAULT 0,"
    " UNIQUE (user, place, trace, command_id)) STRICT;"
    "CREATE INDEX history_user ON history (user, latest);"
    /* rev is commit order. */
    "CREATE TABLE history_rev ("
    " rev INTEGER PRIMARY KEY, hid INTEGER NOT NULL, hash INTEGER NOT NULL, hlc INTEGER NOT NULL,"
    " created_us INTEGER NOT NULL, sn INTEGER NOT NULL, seq INTEGER NOT NULL,"
    " rx_ms INTEGER NOT NULL, body TEXT NOT NULL) STRICT;"
    "CREATE INDEX history_rev_hid ON history_rev (hid, hash);"
    "CREATE UNIQUE INDEX history_rev_seq ON history_rev (sn, seq);"

    "CREATE TABLE users ("
    " user TEXT PRIMARY KEY, version INTEGER NOT NULL, tag TEXT NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    /* result NULL: as submitted. */
    "CREATE TABLE versions ("
    " id INTEGER PRIMARY KEY, user TEXT NOT NULL, version INTEGER NOT NULL, doc TEXT NOT NULL,"
    " tag TEXT NOT NULL, device TEXT NOT NULL, stream TEXT NOT NULL, op_id TEXT NOT NULL,"
    " hlc TEXT NOT NULL, base TEXT, submitted TEXT NOT NULL, result TEXT, deleted INTEGER NOT NULL,"
    " sn INTEGER NOT NULL, seq INTEGER NOT NULL, made_us INTEGER NOT NULL,"
    " UNIQUE (user, version)) STRICT;"
    "CREATE INDEX versions_tag ON versions (user, tag);"
    "CREATE INDEX versions_sn ON versions (sn);"
    "CREATE INDEX versions_op ON versions (device, stream, op_id);"
    "CREATE TABLE documents ("
    " user TEXT NOT NULL, doc TEXT NOT NULL, version INTEGER NOT NULL,"
    " PRIMARY KEY (user, doc)) STRICT, WITHOUT ROWID;"

    /* The first outcome of each operation; a rejected one may be decided anew. */
    "CREATE TABLE ops ("
    " device TEXT NOT NULL, stream TEXT NOT NULL, op_id TEXT NOT NULL, outcome INTEGER NOT NULL,"
    " sn INTEGER NOT NULL, seq INTEGER NOT NULL, version INTEGER NOT NULL, code TEXT NOT NULL,"
    " decided_ms INTEGER NOT NULL, PRIMARY KEY (device, stream, op_id)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE op_rejections ("
    " device TEXT NOT NULL, stream TEXT NOT NULL, op_id TEXT NOT NULL, sn INTEGER NOT NULL,"
    " seq INTEGER NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL, record TEXT,"
    " rejected_ms INTEGER NOT NULL,"
    " PRIMARY KEY (device, stream, op_id, sn, seq)) STRICT, WITHOUT ROWID;"

    /* Operations of which nothing was applied; resolved_ms NULL = open. */
    "CREATE TABLE conflicts ("
    " id INTEGER PRIMARY KEY, device TEXT NOT NULL, stream TEXT NOT NULL, op_id TEXT NOT NULL,"
    " user TEXT NOT NULL, code TEXT NOT NULL, hlc TEXT NOT NULL, base TEXT,"
    " submitted TEXT NOT NULL, sn INTEGER NOT NULL, seq INTEGER NOT NULL,"
    " server_version INTEGER NOT NULL, opened_ms INTEGER NOT NULL, resolved_ms INTEGER) STRICT;"
    "CREATE INDEX conflicts_open ON conflicts (user, id) WHERE resolved_ms IS NULL;"

    "CREATE TABLE bindings ("
    " device TEXT NOT NULL, user TEXT NOT NULL, granted_ms INTEGER NOT NULL,"
    " PRIMARY KEY (device, user)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE quarantine ("
    " id INTEGER PRIMARY KEY, device TEXT NOT NULL, hash INTEGER NOT NULL, topic TEXT NOT NULL,"
    " code TEXT NOT NULL, reason TEXT NOT NULL, size INTEGER NOT NULL, payload BLOB NOT NULL,"
    " times INTEGER NOT NULL, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,"
    " UNIQUE (device, hash)) STRICT;"
    "CREATE TABLE quarantine_use ("
    " device TEXT PRIMARY KEY, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;";

/* Documents of tables beside the settings, changes since a cursor, tombstones, conflicts that
 * somebody resolves, and requests that are answered once. */
static const char documents[] =
    /* floor: no cursor below it is known, because tombstones up to there were removed. */
    "ALTER TABLE users ADD COLUMN floor INTEGER NOT NULL DEFAULT 0;"

    /* An empty submitted or result is "absent": a deletion. merged: the result is another value
     * than what was submitted. */
    "ALTER TABLE versions ADD COLUMN merged INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX versions_doc ON versions (user, doc, version);"

    /* doc: "settings", or "<table>/<id>". tombed_ms: when it was deleted, NULL = it is there. hlc
     * and stamp_device: the highest stamp of its places; stamps: all of them as JSON, NULL = only
     * that one is known and stands for the whole document. */
    "ALTER TABLE documents ADD COLUMN tbl TEXT NOT NULL DEFAULT 'settings';"
    "ALTER TABLE documents ADD COLUMN id TEXT NOT NULL DEFAULT 'settings';"
    "ALTER TABLE documents ADD COLUMN tombed_ms INTEGER;"
    "ALTER TABLE documents ADD COLUMN hlc TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE documents ADD COLUMN stamp_device TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE documents ADD COLUMN stamps TEXT;"
    "UPDATE documents SET (hlc, stamp_device) = (SELECT v.hlc, v.device FROM versions v"
    " WHERE v.user = documents.user AND v.doc = documents.doc"
    " ORDER BY v.hlc DESC, v.device DESC LIMIT 1);"
    "CREATE INDEX documents_changes ON documents (user, tbl, version);"
    "CREATE INDEX documents_tombs ON documents (tombed_ms) WHERE tombed_ms IS NOT NULL;"

    /* pointers: JSON array of the undecided places. deleted: the operation was a deletion.
     * resolution: local, server or merge; resolved_by: a device or an operator. */
    "ALTER TABLE conflicts ADD COLUMN doc TEXT NOT NULL DEFAULT 'settings';"
    "ALTER TABLE conflicts ADD COLUMN pointers TEXT NOT NULL DEFAULT '[\"\"]';"
    "ALTER TABLE conflicts ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE conflicts ADD COLUMN resolution TEXT;"
    "ALTER TABLE conflicts ADD COLUMN resolved_by TEXT;"
    "ALTER TABLE conflicts ADD COLUMN note TEXT;"
    "UPDATE conflicts SET pointers = '[]' WHERE code <> '';"
    "CREATE INDEX conflicts_op ON conflicts (device, stream, op_id);"
    "CREATE INDEX conflicts_user ON conflicts (user, id);"

    /* Requests that changed something: a repeat gets the same answer. sender: a device or an
     * operator; hash: of what was asked. */
    "CREATE TABLE answers ("
    " sender TEXT NOT NULL, id TEXT NOT NULL, hash INTEGER NOT NULL, answer TEXT NOT NULL,"
    " made_ms INTEGER NOT NULL, PRIMARY KEY (sender, id)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX answers_made ON answers (made_ms);"

    /* Whom to tell of a user's changes. */
    "CREATE INDEX bindings_user ON bindings (user);";

static const struct sb_migration steps[] = {{devices_and_streams}, {records}, {documents}};

#define STEPS ((int)(sizeof(steps) / sizeof(steps[0])))

int store_migrate(sqlite3 *db, struct sb_err *err)
{
    return sb_db_migrate(db, STORE_APP_ID, steps, STEPS, err);
}

int store_migrate_to(sqlite3 *db, int step, struct sb_err *err)
{
    SB_CHECK(step >= 1 && step <= STEPS);
    return sb_db_migrate(db, STORE_APP_ID, steps, step, err);
}
