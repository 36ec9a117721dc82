#ifndef EDGE_CALLS_H
#define EDGE_CALLS_H

#include "common/json_scan.h"
#include "edge_agent/enqueue.h"

/* What people and applications ask of the documents on this device: one JSON object in, one out.
 * The daemon answers these calls on its socket; the command line asks the daemon, or does the same
 * by itself on the file where it may write that. Members of a call, and of its answer beside
 * "success":true (times RFC 3339, null where never):
 *
 *   document.put   user, table, id, data, operation (put, add, update, delete; put unless told),
 *                  op_id, names → a receipt: queued, op_id, stream, epoch, seq, result
 *   document.get   user, table, id, names → a document
 *   document.list  user, table (unless told all but settings), limit (100), offset, names →
 *                  items: documents; has_more, next_offset
 *   document.kept  user, table, id, n (that one with its text; else all without), names →
 *                  versions: n, server_version, op_id, made_at, kept_at, deleted, bytes, data
 *   document.reencrypt  user → documents: how many got an operation
 *   user.add       user → added
 *   user.remove    user, purge → removed, purged
 *   user.list      user (that one alone) → users: user_id, added_at, synced_at, pending_count,
 *                  conflicts, unsent, auto_sync {table: bool}, sync {class: bool}
 *   user.set       user, table, stream, auto_sync, sync, backfill → as an entry of user.list, and
 *                  backfilled {documents, history, refused}; refused: of tables that the
 *                  cloud does not have
 *   conflict.list  user, all → conflicts
 *   conflict.show  id → a conflict with its texts: base, local, server {…, data}
 *   conflict.resolve  id, choice (local, server, merge), data (merge) → id, choice, receipt
 *
 * A document: user_id, table, id, data, device, updated_at, op_id, server_version, server_device,
 * server_updated_at, pending, unsent, encrypted, trouble, open_conflicts.
 * A conflict: id, user_id, table, document, code, policy, pointers, ops, server_version,
 * server_device, server_updated_at, opened_at, resolved_at, resolution, resolved_by.
 *
 * names: "local" (unless told) gives and takes the names of the mapping files (record_names.h),
 * "cloud" those that are stored. Records only; conflicts have the stored names always. */

struct calls {
    struct outbox *ob;
    struct enqueue *eq; /* NULL: nothing may be changed (SB_CHECK) */
    struct sb_rng *rng;
    const char *device;   /* this one's name, "" while it has none */
    const char *mappings; /* folder of names, "" = none */
};

#define CALLS_LIST_DEFAULT 100
#define CALLS_LIST_BYTES   3000000 /* of the documents in one answer; more are for the next one */

/* What a call and an answer may be: documents, and something around them. */
extern const struct sb_json_limits calls_limits;

/* Is it one of the above? verb: the JSON string. */
bool calls_knows(struct sb_span verb);
/* Does it change something? Then eq is needed. */
bool calls_changes(struct sb_span verb);

/* Answers a call (checked JSON, an object). What changes something is committed on return, with
 * whatever else was open in eq; after an error nothing of it happened. Errors: those of what is
 * called; SB_EMISSING_FIELD, SB_EBAD_TYPE, SB_EBAD_VALUE, SB_EBAD_ID for the call itself. *answer
 * is appended to, or as it was after an error. */
int calls_run(const struct calls *c, struct sb_span call, struct sb_now now, struct sb_buf *answer,
              struct sb_err *err);

/* document.put without the commit and the answer, for whoever groups them. receipt as in
 * enqueue_document. */
int calls_put(const struct calls *c, struct sb_span call, struct sb_now now,
              struct enqueue_receipt *receipt, struct sb_err *err);
/* A receipt's members: queued, op_id, stream, epoch, seq; "result":"local" when not queued. */
void calls_add_receipt(struct sb_buf *out, const struct enqueue_receipt *receipt);

#endif
