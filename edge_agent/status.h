#ifndef EDGE_STATUS_H
#define EDGE_STATUS_H

#include "edge_agent/edge.h"

/* What `status` shows, as one JSON object. Without the daemon (live NULL) it comes from the outbox
 * alone: sync_status is then "offline". Fields: device, sync_status (synced | syncing | offline |
 * conflict), is_online, pending_count, pending_by_type, failed_count, conflicts, holes, last_sync,
 * oldest_pending, retry_delay (s), epoch, outbox {used_bytes, free_bytes}, running; and while the
 * daemon runs connected, welcomed, ingest_online, in_flight, reply_ms, parked [{stream, code,
 * reason}], sent_batches, sent_bytes, answered {stored, duplicate, revised, rejected, conflict},
 * last_error. */
int status_print(struct outbox *ob, const char *device, const struct edge *live, struct sb_now now,
                 struct sb_buf *out, struct sb_err *err);

#endif
