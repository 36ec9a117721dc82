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
    /* Documents of tables beside the settings, versions, open conflicts, users. A document is
     * `settings` or `<table>/<id>` where one text names it. The text of a document comes last in
     * its row, so that what is beside it can be read without it. */
    {"CREATE TABLE documents(d INTEGER PRIMARY KEY, user TEXT NOT NULL, tbl TEXT NOT NULL,"
     " id TEXT NOT NULL, last_op TEXT NOT NULL DEFAULT '', base_tag TEXT NOT NULL DEFAULT '',"
     " version INTEGER NOT NULL DEFAULT 0, version_op TEXT NOT NULL DEFAULT '',"
     " version_device TEXT NOT NULL DEFAULT '', version_at TEXT NOT NULL DEFAULT '',"
     " seen INTEGER NOT NULL DEFAULT 0, loose INTEGER NOT NULL DEFAULT 0,"
     " stale INTEGER NOT NULL DEFAULT 0, unsent INTEGER NOT NULL DEFAULT 0,"
     " sealed INTEGER NOT NULL DEFAULT 0, trouble TEXT NOT NULL DEFAULT '',"
     " hlc INTEGER NOT NULL DEFAULT 0, op_hlc INTEGER NOT NULL DEFAULT 0,"
     " updated_us INTEGER NOT NULL DEFAULT 0,"
     " stamps TEXT NOT NULL DEFAULT '', doc TEXT, unsent_before TEXT, UNIQUE(user, tbl, id)) "
     "STRICT;"
     "CREATE INDEX documents_stale ON documents(user, tbl, id) WHERE stale <> 0;"
     "CREATE INDEX documents_loose ON documents(user, tbl) WHERE loose <> 0;"
     "CREATE INDEX documents_unsent ON documents(user, tbl) WHERE unsent <> 0;"
     "CREATE INDEX documents_trouble ON documents(user, tbl) WHERE trouble <> '';"
     "INSERT INTO documents(user, tbl, id, last_op, base_tag, seen, loose, hlc, updated_us, doc)"
     " SELECT user, 'settings', 'settings', last_op, base_tag, seen, seen > 0, hlc, updated_us,"
     " nullif(doc, '') FROM settings;"
     "DROP TABLE settings;"
     "ALTER TABLE outbox ADD COLUMN doc TEXT;"
     "UPDATE outbox SET doc = 'settings' WHERE op_id IS NOT NULL;"
     "CREATE INDEX outbox_doc ON outbox(doc) WHERE doc IS NOT NULL;"
     "ALTER TABLE dead ADD COLUMN doc TEXT;"
     "UPDATE dead SET doc = 'settings' WHERE op_id IS NOT NULL;"
     "ALTER TABLE streams ADD COLUMN resent INTEGER NOT NULL DEFAULT 0;"
     "CREATE INDEX streams_name ON streams(stream);"},
    {"CREATE TABLE open_conflicts(id INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT NOT NULL,"
     " tbl TEXT NOT NULL, doc_id TEXT NOT NULL, code TEXT NOT NULL, policy TEXT NOT NULL,"
     " pointers TEXT NOT NULL, ops TEXT NOT NULL, version INTEGER NOT NULL,"
     " arrays TEXT NOT NULL DEFAULT '', opened_us INTEGER NOT NULL,"
     " resolved_us INTEGER NOT NULL DEFAULT 0,"
     " resolution TEXT NOT NULL DEFAULT '', resolved_by TEXT NOT NULL DEFAULT '',"
     " base TEXT, local TEXT, server TEXT NOT NULL) STRICT;"
     "CREATE INDEX open_conflicts_document ON open_conflicts(user, tbl, doc_id);"
     "CREATE INDEX open_conflicts_open ON open_conflicts(user) WHERE resolved_us = 0;"
     "INSERT INTO open_conflicts(id, user, tbl, doc_id, code, policy, pointers, ops, version,"
     " opened_us, base, local, server) SELECT id, user, 'settings', 'settings', code, 'manual',"
     " pointers, json_array(op_id), coalesce(server ->> '$.version', 0), at_us, nullif(before, ''),"
     " record -> '$.settings', server FROM conflicts WHERE in_force = 1;"
     "ALTER TABLE conflicts ADD COLUMN doc TEXT NOT NULL DEFAULT 'settings';"
     "ALTER TABLE conflicts ADD COLUMN policy TEXT NOT NULL DEFAULT 'manual';"
     "ALTER TABLE conflicts ADD COLUMN arrays TEXT NOT NULL DEFAULT '';"
     "ALTER TABLE conflicts ADD COLUMN state INTEGER NOT NULL DEFAULT 0;"
     "ALTER TABLE conflicts ADD COLUMN open_id INTEGER NOT NULL DEFAULT 0;"
     "ALTER TABLE conflicts ADD COLUMN choice TEXT NOT NULL DEFAULT '';"
     "ALTER TABLE conflicts ADD COLUMN ask TEXT NOT NULL DEFAULT '';"
     "ALTER TABLE conflicts ADD COLUMN told INTEGER NOT NULL DEFAULT 0;"
     "UPDATE conflicts SET state = in_force, open_id = in_force * id;"
     "DROP INDEX conflicts_user;"
     "ALTER TABLE conflicts DROP COLUMN in_force;"
     "CREATE INDEX conflicts_waiting ON conflicts(user, doc) WHERE state = 0;"
     "CREATE INDEX conflicts_open ON conflicts(open_id) WHERE open_id <> 0;"
     "CREATE INDEX conflicts_op ON conflicts(user, op_id);"
     "CREATE INDEX conflicts_untold ON conflicts(ask) WHERE ask <> '' AND told = 0;"
     "CREATE TABLE sync_metadata(user TEXT NOT NULL, tbl TEXT NOT NULL,"
     " cursor_version INTEGER NOT NULL DEFAULT 0, cursor_tag TEXT NOT NULL DEFAULT '',"
     " last_upload_us INTEGER NOT NULL DEFAULT 0, last_download_us INTEGER NOT NULL DEFAULT 0,"
     " last_server_version INTEGER NOT NULL DEFAULT 0, auto_sync INTEGER NOT NULL DEFAULT 1,"
     " policy TEXT NOT NULL DEFAULT '', arrays TEXT NOT NULL DEFAULT '',"
     " PRIMARY KEY(user, tbl)) STRICT, WITHOUT ROWID;"
     "CREATE TABLE local_versions(n INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT NOT NULL,"
     " tbl TEXT NOT NULL, doc_id TEXT NOT NULL, version INTEGER NOT NULL, op_id TEXT NOT NULL,"
     " hlc INTEGER NOT NULL, made_us INTEGER NOT NULL, kept_us INTEGER NOT NULL, doc TEXT) STRICT;"
     "CREATE INDEX local_versions_document ON local_versions(user, tbl, doc_id, n);"
     "CREATE TABLE users(user TEXT PRIMARY KEY, added_us INTEGER NOT NULL,"
     " synced_us INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;"
     "CREATE TABLE switches(user TEXT NOT NULL, class TEXT NOT NULL, sync INTEGER NOT NULL,"
     " off_mark INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(user, class)) STRICT, WITHOUT ROWID;"
     "CREATE TABLE tables(name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;"},
    /* Whoever changes the text of a document, its file and hook are due. The number is another one
     * after each change, so that a change during an export is not taken for done. */
    {"CREATE TABLE document_changes(n INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT NOT NULL,"
     " tbl TEXT NOT NULL, id TEXT NOT NULL, UNIQUE(user, tbl, id)) STRICT;"
     "CREATE TRIGGER document_made AFTER INSERT ON documents WHEN new.doc IS NOT NULL BEGIN"
     " DELETE FROM document_changes WHERE user = new.user AND tbl = new.tbl AND id = new.id;"
     " INSERT INTO document_changes(user, tbl, id) VALUES(new.user, new.tbl, new.id);"
     " END;"
     "CREATE TRIGGER document_changed AFTER UPDATE OF doc ON documents"
     " WHEN new.doc IS NOT old.doc BEGIN"
     " DELETE FROM document_changes WHERE user = new.user AND tbl = new.tbl AND id = new.id;"
     " INSERT INTO document_changes(user, tbl, id) VALUES(new.user, new.tbl, new.id);"
     " END;"
     "CREATE TRIGGER document_gone AFTER DELETE ON documents WHEN old.doc IS NOT NULL BEGIN"
     " DELETE FROM document_changes WHERE user = old.user AND tbl = old.tbl AND id = old.id;"
     " INSERT INTO document_changes(user, tbl, id) VALUES(old.user, old.tbl, old.id);"
     " END;"
     "INSERT INTO document_changes(user, tbl, id)"
     " SELECT user, tbl, id FROM documents WHERE doc IS NOT NULL;"},
    /* What stands behind the texts in a row is read through all of them: not for a look at which
     * conflicts are over, or open. */
    {"CREATE INDEX conflicts_over ON conflicts(at_us) WHERE state IN (2, 3) AND told = 1;"
     "CREATE INDEX conflicts_standing ON conflicts(user, id) WHERE state = 1;"},
    /* What an older one is told by (`stale`) is forgotten with the version seen, `hlc` is not. */
    {"ALTER TABLE documents ADD COLUMN seen_top INTEGER NOT NULL DEFAULT 0;"
     "UPDATE documents SET seen_top = hlc WHERE seen > 0;"},
    /* Whether a list of fields is used still. */
    {"CREATE INDEX outbox_fields ON outbox(f);"
     "CREATE INDEX dead_fields ON dead(f);"
     "DELETE FROM fields WHERE f NOT IN (SELECT f FROM outbox UNION SELECT f FROM dead);"},
    /* Local history that is too old. */
    {"CREATE INDEX history_age ON history(at_us);"},
};

int outbox_migrate(sqlite3 *db, struct sb_err *err)
{
    return sb_db_migrate(db, OUTBOX_APP_ID, steps, sizeof(steps) / sizeof(steps[0]), err);
}
