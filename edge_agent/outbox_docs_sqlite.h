#ifndef EDGE_OUTBOX_DOCS_SQLITE_H
#define EDGE_OUTBOX_DOCS_SQLITE_H

/* The statements of outbox_docs.h; included by outbox_sqlite.h only. */

#define DOCUMENT_COLUMNS                                                                           \
    "user, tbl, id, last_op, base_tag, version, version_op, version_device, version_at, seen,"     \
    " loose, stale, unsent, sealed, trouble, hlc, op_hlc, updated_us, stamps, doc, unsent_before," \
    " seen_top"
#define OPEN_COLUMNS                                                                               \
    "id, user, tbl, doc_id, code, policy, version, opened_us, resolved_us, resolution,"            \
    " resolved_by, pointers, ops, arrays, base, local, server"

#define OUTBOX_DOC_QUERIES(X)                                                                      \
    /* documents */                                                                                \
    X(Q_DOCUMENT_GET, "SELECT " DOCUMENT_COLUMNS " FROM documents"                                 \
                      " WHERE user = ?1 AND tbl = ?2 AND id = ?3")                                 \
    X(Q_DOCUMENT_SET,                                                                              \
      "INSERT INTO documents(" DOCUMENT_COLUMNS ")"                                                \
      " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,"   \
      " ?19, ?20, ?21, ?22) ON CONFLICT(user, tbl, id) DO UPDATE SET last_op = excluded.last_op,"  \
      " base_tag = excluded.base_tag, version = excluded.version,"                                 \
      " version_op = excluded.version_op, version_device = excluded.version_device,"               \
      " version_at = excluded.version_at, seen = excluded.seen, loose = excluded.loose,"           \
      " stale = excluded.stale, unsent = excluded.unsent, sealed = excluded.sealed,"               \
      " trouble = excluded.trouble, hlc = excluded.hlc, op_hlc = excluded.op_hlc, updated_us = "   \
      "excluded.updated_us,"                                                                       \
      " stamps = excluded.stamps, doc = excluded.doc, unsent_before = excluded.unsent_before,"     \
      " seen_top = excluded.seen_top")                                                             \
    X(Q_DOCUMENT_SEE, "UPDATE documents SET seen = max(seen, ?4), loose = 1,"                      \
                      " hlc = iif(last_op = ?5, max(hlc, op_hlc), hlc),"                           \
                      " seen_top = iif(last_op = ?5, max(seen_top, op_hlc), seen_top)"             \
                      " WHERE user = ?1 AND tbl = ?2 AND id = ?3")                                 \
    X(Q_DOCUMENT_SEEN, "SELECT seen FROM documents WHERE user = ?1 AND tbl = ?2 AND id = ?3")      \
    X(Q_DOCUMENT_UNSEE, "UPDATE documents SET seen = 0, seen_top = 0, stale = 1"                   \
                        " WHERE user = ?1 AND tbl = ?2 AND id = ?3")                               \
    X(Q_DOCUMENT_STALE, "INSERT INTO documents(user, tbl, id, stale) VALUES(?1, ?2, ?3, 1)"        \
                        " ON CONFLICT(user, tbl, id) DO UPDATE SET stale = 1")                     \
    X(Q_DOCUMENT_FORGET, "DELETE FROM documents WHERE user = ?1 AND tbl = ?2 AND id = ?3")         \
    X(Q_DOCUMENTS, "SELECT " DOCUMENT_COLUMNS " FROM documents WHERE doc IS NOT NULL"              \
                   " AND (user, tbl, id) > (?1, ?2, ?3) ORDER BY user, tbl, id")                   \
    X(Q_DOCUMENTS_UNSENT, "SELECT " DOCUMENT_COLUMNS " FROM documents WHERE unsent <> 0"           \
                          " AND user >= ?1 ORDER BY user, tbl, id")                                \
    X(Q_DOCUMENTS_TROUBLE, "SELECT " DOCUMENT_COLUMNS " FROM documents WHERE trouble <> ''"        \
                           " AND user >= ?1 ORDER BY user, tbl, id")                               \
    X(Q_DOCUMENTS_STALE,                                                                           \
      "SELECT user, tbl, id FROM documents WHERE stale <> 0"                                       \
      " AND unsent = 0 AND user = ?1 AND tbl = ?2 AND id > ?3 ORDER BY id LIMIT ?4")               \
    X(Q_DOCUMENTS_STALE_NEXT,                                                                      \
      "SELECT user, tbl FROM documents WHERE stale <> 0 AND (user, tbl) > (?1, ?2)"                \
      " ORDER BY user, tbl LIMIT 1")                                                               \
    X(Q_DOCUMENTS_STALE_COUNT, "SELECT count(*) FROM documents WHERE stale <> 0")                  \
    X(Q_DOCUMENTS_SETTLE_LOOSE, "UPDATE documents SET loose = 0"                                   \
                                " WHERE loose <> 0 AND user = ?1 AND tbl = ?2 AND seen <= ?3")     \
    X(Q_DOCUMENTS_FORGET_LOOSE,                                                                    \
      "UPDATE documents SET seen = 0, seen_top = 0, stale = 1 WHERE loose <> 0 AND (?1 <> 0"       \
      " OR seen > (SELECT coalesce(max(cursor_version), 0) FROM sync_metadata AS m"                \
      " WHERE m.user = documents.user AND m.tbl = documents.tbl))")                                \
    X(Q_DOCUMENTS_SWEEP, "UPDATE documents SET stale = 1 WHERE user = ?1"                          \
                         " AND (?2 IS NULL OR tbl = ?2) AND doc IS NOT NULL AND stale = 0")        \
    X(Q_DOCUMENTS_FORGET_SEEN, "UPDATE documents SET seen = 0, seen_top = 0"                       \
                               " WHERE user = ?1 AND tbl = ?2 AND seen > 0")                       \
    X(Q_DOCUMENTS_RETRY_TROUBLE, "UPDATE documents SET stale = 1 WHERE trouble <> ''")             \
    X(Q_STREAM_NAMED, "SELECT s, next_seq, settled, resent FROM streams WHERE stream = ?1")        \
    X(Q_STREAM_RESENT, "UPDATE streams SET resent = max(resent, ?2) WHERE s = ?1")                 \
    X(Q_ROW_OF_DOCUMENT, "SELECT key FROM outbox WHERE doc = ?1 AND key >= ?2 AND key <= ?3"       \
                         " ORDER BY key LIMIT 1")                                                  \
    X(Q_ROW_DOCUMENT, "SELECT doc, op_id FROM outbox WHERE key = ?1")                              \
    /* versions that were replaced here */                                                         \
    X(Q_KEPT_ADD, "INSERT INTO local_versions(user, tbl, doc_id, version, op_id, hlc, made_us,"    \
                  " kept_us, doc) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")                     \
    X(Q_KEPT_CUT, "DELETE FROM local_versions WHERE user = ?1 AND tbl = ?2 AND doc_id = ?3"        \
                  " AND n <= (SELECT n FROM local_versions WHERE user = ?1 AND tbl = ?2"           \
                  " AND doc_id = ?3 ORDER BY n DESC LIMIT 1 OFFSET ?4)")                           \
    X(Q_KEPT_PURGE, "DELETE FROM local_versions WHERE n IN (SELECT n FROM local_versions"          \
                    " ORDER BY n LIMIT ?1)")                                                       \
    X(Q_KEPT, "SELECT n, version, op_id, hlc, made_us, kept_us, doc FROM local_versions"           \
              " WHERE user = ?1 AND tbl = ?2 AND doc_id = ?3 AND (?4 = 0 OR n = ?4)"               \
              " ORDER BY n DESC")                                                                  \
    /* conflicts that wait, and what became of them */                                             \
    X(Q_CONFLICT_ADD,                                                                              \
      "INSERT INTO conflicts(s, seq, user, doc, op_id, code, policy, arrays, pointers, record,"    \
      " before, server, as_of, at_us)"                                                             \
      " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"                       \
      " ON CONFLICT(s, seq) DO NOTHING")                                                           \
    X(Q_CONFLICTS, "SELECT id, user, doc, op_id, code, policy, state, told, as_of, at_us,"         \
                   " pointers, record, before, server, arrays FROM conflicts"                      \
                   " WHERE ?1 IS NULL OR user = ?1 ORDER BY id")                                   \
    X(Q_CONFLICTS_WAITING, "SELECT id, user, doc, op_id, code, policy, state, told, as_of, at_us," \
                           " pointers, record, before, server, arrays FROM conflicts"              \
                           " WHERE state = 0 AND user = ?1 AND doc = ?2 AND id > ?3 ORDER BY id")  \
    X(Q_CONFLICT_DOCUMENTS, "SELECT DISTINCT user, doc FROM conflicts WHERE state = 0"             \
                            " AND (user, doc) > (?1, ?2) ORDER BY user, doc LIMIT ?3")             \
    X(Q_CONFLICTS_STALE,                                                                           \
      "SELECT DISTINCT c.user, c.doc FROM conflicts AS c JOIN documents AS d ON d.user = c.user"   \
      " AND d.tbl = CASE c.doc WHEN 'settings' THEN c.doc"                                         \
      " ELSE substr(c.doc, 1, instr(c.doc, '/') - 1) END"                                          \
      " AND d.id = CASE c.doc WHEN 'settings' THEN c.doc"                                          \
      " ELSE substr(c.doc, instr(c.doc, '/') + 1) END"                                             \
      " WHERE c.state = 0 AND d.stale <> 0 AND d.unsent = 0")                                      \
    X(Q_CONFLICTS_DONE,                                                                            \
      "UPDATE conflicts SET state = ?3, open_id = ?4, choice = ?5, ask = ?6, told = 0,"            \
      " before = NULL, server = '' WHERE state = 0 AND user = ?1 AND doc = ?2")                    \
    X(Q_CONFLICTS_RESOLVED, "UPDATE conflicts SET state = 3, choice = ?2, ask = ?3"                \
                            " WHERE open_id = ?1 AND open_id <> 0 AND state = 1")                  \
    X(Q_CONFLICTS_UNTOLD, "SELECT ask, user, choice FROM conflicts WHERE ask > ?1 AND ask <> ''"   \
                          " AND told = 0 ORDER BY ask LIMIT 1")                                    \
    X(Q_CONFLICTS_OF_ASK, "SELECT op_id FROM conflicts WHERE ask = ?1 AND ask <> '' AND told = 0"  \
                          " ORDER BY id LIMIT ?2")                                                 \
    X(Q_CONFLICTS_SPREAD, "UPDATE conflicts SET ask = ?2 WHERE id IN (SELECT id FROM conflicts"    \
                          " WHERE ask = ?1 AND ask <> '' AND told = 0 ORDER BY id"                 \
                          " LIMIT -1 OFFSET ?3)")                                                  \
    X(Q_CONFLICTS_TOLD, "UPDATE conflicts SET told = 1 WHERE ask = ?1 AND ask <> '' AND told = 0") \
    X(Q_CONFLICTS_TELL_AGAIN,                                                                      \
      "UPDATE conflicts SET told = 0 WHERE state IN (2, 3) AND ask <> '' AND told = 1")            \
    X(Q_CONFLICTS_PURGE, "DELETE FROM conflicts WHERE id IN (SELECT id FROM conflicts"             \
                         " WHERE state IN (2, 3) AND told = 1 AND at_us < ?1"                      \
                         " ORDER BY at_us, id LIMIT ?2)")                                          \
    X(Q_CONFLICTS_PURGE_IDS, "DELETE FROM ids WHERE (s, seq) IN (SELECT s, seq FROM conflicts"     \
                             " WHERE state IN (2, 3) AND told = 1 AND at_us < ?1"                  \
                             " ORDER BY at_us, id LIMIT ?2)")                                      \
    /* open conflicts */                                                                           \
    X(Q_OPEN_ADD, "INSERT INTO open_conflicts(user, tbl, doc_id, code, policy, version,"           \
                  " opened_us, pointers, ops, arrays, base, local, server)"                        \
                  " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)")               \
    X(Q_OPEN_ONE, "SELECT " OPEN_COLUMNS " FROM open_conflicts WHERE id = ?1")                     \
    X(Q_OPEN_LIST, "SELECT " OPEN_COLUMNS " FROM open_conflicts"                                   \
                   " WHERE (?1 OR resolved_us = 0) AND (?2 IS NULL OR user = ?2)"                  \
                   " AND (?3 IS NULL OR (tbl = ?3 AND doc_id = ?4)) ORDER BY id")                  \
    X(Q_OPEN_CLOSE, "UPDATE open_conflicts SET resolved_us = max(1, ?2), resolution = ?3,"         \
                    " resolved_by = ?4 WHERE id = ?1 AND resolved_us = 0")                         \
    X(Q_OPEN_COUNT, "SELECT count(*) FROM open_conflicts WHERE resolved_us = 0"                    \
                    " AND (?1 IS NULL OR user = ?1)")                                              \
    X(Q_OPEN_OF_OP, "SELECT open_id FROM conflicts WHERE state = 1 AND user = ?1 AND op_id = ?2")  \
    X(Q_CONFLICT_DECIDED, "UPDATE conflicts SET state = 3, choice = ?3, told = 1"                  \
                          " WHERE state = 1 AND user = ?1 AND op_id = ?2")                         \
    X(Q_OPEN_LEFT, "SELECT count(*) FROM conflicts WHERE open_id = ?1 AND open_id <> 0"            \
                   " AND state = 1")                                                               \
    X(Q_OPEN_OPS, "SELECT op_id, id FROM conflicts WHERE state = 1 AND user = ?1 AND id > ?2"      \
                  " ORDER BY id LIMIT ?3")                                                         \
    X(Q_OPEN_PURGE, "DELETE FROM open_conflicts WHERE id IN (SELECT id FROM open_conflicts"        \
                    " WHERE resolved_us <> 0 AND resolved_us < ?1 LIMIT ?2)")                      \
    /* sync_metadata */                                                                            \
    X(Q_SYNC_GET, "SELECT cursor_version, cursor_tag, last_upload_us, last_download_us,"           \
                  " last_server_version, auto_sync FROM sync_metadata"                             \
                  " WHERE user = ?1 AND tbl = ?2")                                                 \
    X(Q_SYNC_SET,                                                                                  \
      "INSERT INTO sync_metadata(user, tbl, cursor_version, cursor_tag, last_upload_us,"           \
      " last_download_us, last_server_version, auto_sync) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"  \
      " ON CONFLICT(user, tbl) DO UPDATE SET cursor_version = excluded.cursor_version,"            \
      " cursor_tag = excluded.cursor_tag, last_upload_us = excluded.last_upload_us,"               \
      " last_download_us = excluded.last_download_us,"                                             \
      " last_server_version = excluded.last_server_version, auto_sync = excluded.auto_sync")       \
    X(Q_SYNC_LIST, "SELECT cursor_version, cursor_tag, last_upload_us, last_download_us,"          \
                   " last_server_version, auto_sync, user, tbl FROM sync_metadata"                 \
                   " WHERE ?1 IS NULL OR user = ?1 ORDER BY user, tbl")                            \
    X(Q_SYNC_AUTO, "INSERT INTO sync_metadata(user, tbl, auto_sync) VALUES(?1, ?2, ?3)"            \
                   " ON CONFLICT(user, tbl) DO UPDATE SET auto_sync = excluded.auto_sync")         \
    X(Q_SYNC_UPLOADED, "INSERT INTO sync_metadata(user, tbl, last_upload_us) VALUES(?1, ?2, ?3)"   \
                       " ON CONFLICT(user, tbl) DO UPDATE"                                         \
                       " SET last_upload_us = excluded.last_upload_us")                            \
    X(Q_POLICY_GET, "SELECT policy, arrays FROM sync_metadata WHERE user = ?1 AND tbl = ?2")       \
    X(Q_POLICY_SET, "INSERT INTO sync_metadata(user, tbl, policy, arrays) VALUES(?1, ?2, ?3, ?4)"  \
                    " ON CONFLICT(user, tbl) DO UPDATE SET policy = excluded.policy,"              \
                    " arrays = excluded.arrays")                                                   \
    /* users, switches, tables */                                                                  \
    X(Q_USER_ADD, "INSERT INTO users(user, added_us) VALUES(?1, ?2) ON CONFLICT DO NOTHING")       \
    X(Q_USER_REMOVE, "DELETE FROM users WHERE user = ?1")                                          \
    X(Q_USER_COUNT, "SELECT count(*) FROM users")                                                  \
    X(Q_USER_FIND, "SELECT added_us FROM users WHERE user = ?1")                                   \
    X(Q_USER_SYNCED, "UPDATE users SET synced_us = ?2 WHERE user = ?1")                            \
    X(Q_USERS, "SELECT user, added_us, synced_us FROM users ORDER BY user")                        \
    X(Q_USER_BUSY, "SELECT EXISTS(SELECT 1 FROM documents WHERE unsent <> 0 AND user = ?1)"        \
                   " OR EXISTS(SELECT 1 FROM open_conflicts WHERE resolved_us = 0 AND user = ?1)"  \
                   " OR EXISTS(SELECT 1 FROM conflicts WHERE state = 0 AND user = ?1)")            \
    X(Q_PURGE_DOCUMENTS, "DELETE FROM documents WHERE user = ?1")                                  \
    X(Q_PURGE_KEPT, "DELETE FROM local_versions WHERE user = ?1")                                  \
    X(Q_PURGE_OPEN, "DELETE FROM open_conflicts WHERE user = ?1")                                  \
    X(Q_PURGE_CONFLICTS,                                                                           \
      "UPDATE conflicts SET state = 3, told = 1, record = '', before = NULL, server = '',"         \
      " open_id = 0 WHERE user = ?1")                                                              \
    X(Q_PURGE_SYNC, "DELETE FROM sync_metadata WHERE user = ?1")                                   \
    X(Q_PURGE_SWITCHES, "DELETE FROM switches WHERE user = ?1")                                    \
    X(Q_PURGE_HISTORY, "DELETE FROM history WHERE user = ?1")                                      \
    X(Q_SWITCH_GET, "SELECT sync FROM switches WHERE user = ?1 AND class = ?2")                    \
    X(Q_SWITCH_SET,                                                                                \
      "INSERT INTO switches(user, class, sync, off_mark) VALUES(?1, ?2, ?3,"                       \
      " coalesce((SELECT max(id) FROM history WHERE user = ?1), 0))"                               \
      " ON CONFLICT(user, class) DO UPDATE SET off_mark ="                                         \
      " CASE WHEN sync = 1 AND excluded.sync = 0 THEN excluded.off_mark ELSE off_mark END,"        \
      " sync = excluded.sync")                                                                     \
    X(Q_SWITCHES, "SELECT user, class, sync, off_mark FROM switches"                               \
                  " WHERE ?1 IS NULL OR user = ?1 ORDER BY user, class")                           \
    X(Q_HISTORY_SINCE, "SELECT id, body FROM history WHERE user = ?1 AND id > ?2 ORDER BY id")     \
    X(Q_PULLS_CHANGED, "INSERT INTO meta(key, value) VALUES('pulls_version', '1')"                 \
                       " ON CONFLICT(key) DO UPDATE SET value = CAST(value + 1 AS TEXT)")          \
    X(Q_PULLS_VERSION, "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'pulls_version'")      \
    X(Q_TABLES, "SELECT name FROM tables ORDER BY name")                                           \
    X(Q_TABLE_FIND, "SELECT 1 FROM tables WHERE name = ?1")                                        \
    X(Q_TABLES_CLEAR, "DELETE FROM tables")                                                        \
    X(Q_TABLE_ADD, "INSERT INTO tables(name) VALUES(?1) ON CONFLICT DO NOTHING")

#endif
