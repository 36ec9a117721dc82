#ifndef EDGE_STATUS_H
#define EDGE_STATUS_H

#include "edge_agent/edge.h"

/* What `status` shows, as one JSON object. Without the daemon (live NULL) it comes from the outbox
 * alone: sync_status is then "offline", unless somebody has to do something: "conflict" is an open
 * one, or a document of the cloud that cannot be opened (trouble). Fields: device, sync_status
 * (synced | syncing | offline | conflict), is_online, pending_count, pending_by_type, failed_count,
 * conflicts (open ones), unsent (documents with edits that a switch holds back), trouble (documents
 * of the cloud that could not be opened), users, holes, last_sync, oldest_pending, retry_delay (s),
 * epoch, outbox {used_bytes, free_bytes}, running; and while the daemon runs connected, welcomed,
 * ingest_online, in_flight, reply_ms, parked [{stream, code, reason, tries, last_try, next_try}],
 * pulling, pulls, pulled, stale, last_pull, sent_batches, sent_bytes, answered {stored, duplicate,
 * revised, rejected, conflict}, last_error. For one user (user not NULL): device, user_id, added,
 * running, sync_status, is_online, pending_count, failed_count (of the device), conflicts, unsent
 * (documents with edits that a switch holds back), last_sync, last_upload, last_download,
 * last_server_version, auto_sync, sync, tables, trouble, last_error (why reading from the cloud
 * failed). SB_ENOT_FOUND where nobody knows that user here. */
int status_print(struct outbox *ob, const char *device, const char *user, const struct edge *live,
                 struct sb_now now, struct sb_buf *out, struct sb_err *err);

#endif
