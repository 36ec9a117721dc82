#ifndef CLOUD_STORE_REQUESTS_H
#define CLOUD_STORE_REQUESTS_H

#include "common/request_conflicts.h"
#include "common/request_documents.h"
#include "store.h"

/* What requests ask of the database (store_changes_sqlite.c, store_conflicts_sqlite.c,
 * store_answers_sqlite.c). Reads are to be made inside one transaction where they must agree. A
 * callback that returns false ends the listing; what it is given is valid during the call. */

/* ---- documents and versions ---- */

/* Is it a place in the user's versions: the beginning, or a version with that tag which is not
 * below the floor? began: of a pull that began at 0, the counter then: what was
 * deleted before that it never brought, so that only a tombstone made since and gone is missed. */
int store_cursor_known(struct store *store, const char *user, const struct sb_cursor *cursor,
                       uint64_t began, bool *known, struct sb_err *err);

/* Documents of a table (tombstones too) whose version is above `since`, in the order of their
 * versions, at most `limit`. */
int store_changes(struct store *store, const char *user, const char *table, uint64_t since,
                  uint64_t limit, bool (*each)(void *ctx, const char *id, struct document_row *row),
                  void *ctx, struct sb_err *err);

/* Versions of a document below `before` (0: all), newest first, at most `limit`. */
int store_versions(struct store *store, const char *user, const char *doc, uint64_t before,
                   uint64_t limit, bool (*each)(void *ctx, const struct sb_version_entry *entry),
                   void *ctx, struct sb_err *err);

/* One version of a document as an answer tells it; hlc is the operation's. doc->exists = false when
 * that document has no such version. */
int store_version_get(struct store *store, const char *user, const char *doc, uint64_t version,
                      struct sb_document *out, struct sb_err *err);

/* Devices bound to the user that are registered and not revoked. */
int store_user_devices(struct store *store, const char *user,
                       bool (*each)(void *ctx, const char *device), void *ctx, struct sb_err *err);

/* The user that a device is bound to; *count is 0, 1, or 2 for more than one. */
int store_only_user(struct store *store, const char *device, char user[SB_NAME_MAX + 1], int *count,
                    struct sb_err *err);

/* ---- conflicts ---- */

struct conflict_entry {
    struct sb_conflict_entry told; /* pointers is owned by the listing */
    char stream[SB_STREAM_MAX + 1];
    /* of store_conflict_entry alone: */
    struct sb_span base;      /* as it came, "" = null */
    struct sb_span submitted; /* "" = a deletion */
};

/* Of a user (NULL: of all), oldest first: ids above `after`, at most `limit` (0: all); open: only
 * those not resolved. */
int store_conflict_entries(struct store *store, const char *user, bool open, uint64_t after,
                           uint64_t limit,
                           bool (*each)(void *ctx, const struct conflict_entry *entry), void *ctx,
                           struct sb_err *err);

/* *found = false when there is none with that number. */
int store_conflict_entry(struct store *store, uint64_t id, bool *found,
                         void (*each)(void *ctx, const struct conflict_entry *entry), void *ctx,
                         struct sb_err *err);

/* The conflict of a device's operation on a document of one of the users it is bound to (user NULL)
 * or of that user; id 0 when there is none. */
int store_conflict_of_op(struct store *store, const char *device, const char *user,
                         const char *op_id, uint64_t *id, bool *open, struct sb_err *err);

/* Marks an open one; *closed = false when it was not open. */
int store_conflict_close(struct store *store, uint64_t id, enum sb_choice choice, const char *by,
                         const char *note, int64_t now_ms, bool *closed, struct sb_err *err);

/* ---- answers of requests that write ---- */

/* What the sender's request of that id was answered; *found = false: nothing is kept. */
int store_answer_get(struct store *store, const char *sender, const char *id, bool *found,
                     uint64_t *hash, struct sb_buf *answer, struct sb_err *err);
/* Keeps it and removes the sender's oldest beyond LIMIT_ANSWERS. */
int store_answer_put(struct store *store, const char *sender, const char *id, uint64_t hash,
                     struct sb_span answer, int64_t now_ms, struct sb_err *err);
/* Removes at most `limit` answers made before that time, oldest first. In the open transaction. */
int store_answers_purge(struct store *store, int64_t before_ms, int limit, int *gone,
                        struct sb_err *err);

#endif
