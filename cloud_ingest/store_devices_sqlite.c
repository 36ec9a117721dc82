#include "store_sqlite.h"

#include <string.h>

#include "limits.h"

/* Devices, their epochs, what their hellos said, and which users they may write for. */

void device_row_free(struct device_row *row)
{
    sb_ranges_free(&row->seen);
}

int store_device_get(struct store *store, const char *device, struct device_row *row,
                     struct sb_err *err)
{
    struct query *q = query_start(
        store, "SELECT revoked, epoch, nonce, pages, seen FROM devices WHERE device = ?");
    int rc;

    row->known = false;
    query_text(q, device);
    rc = query_find(q, &row->known, err);
    if (rc != 0 || !row->known) {
        row->revoked = false;
        return rc;
    }
    row->revoked = query_get_int(q, 0) != 0;
    query_get_str(q, 1, row->epoch);
    query_get_str(q, 2, row->nonce);
    row->pages = (uint32_t)query_get_int(q, 3);
    return query_done(q, query_get_ranges(q, 4, &row->seen, err));
}

int store_device_names(struct store *store, bool (*each)(void *ctx, const char *device), void *ctx,
                       struct sb_err *err)
{
    struct query *q =
        query_start(store, "SELECT device FROM devices WHERE revoked = 0 ORDER BY device");
    char device[SB_NAME_MAX + 1];
    int rc;

    while ((rc = query_row(q, err)) > 0) {
        query_get_str(q, 0, device);
        if (!each(ctx, device))
            return query_done(q, 0);
    }
    return rc;
}

int store_device_add(struct store *store, const char *device, int64_t now_ms, struct sb_err *err)
{
    struct query *q = query_start(store, "INSERT INTO devices (device, added_ms) VALUES (?, ?)");

    query_text(q, device);
    query_int(q, now_ms);
    return query_run(q, err);
}

int store_device_hello(struct store *store, const struct sb_hello *hello,
                       const struct sb_ranges *seen, bool whole, int64_t now_ms, struct sb_err *err)
{
    struct query *q = query_start(
        store, "UPDATE devices SET epoch = ?2, device_boot = ?3, nonce = ?4, pages = ?5, seen = ?6,"
               " told = CASE WHEN ?7 THEN ?4 ELSE told END,"
               " told_ms = CASE WHEN ?7 THEN ?8 ELSE told_ms END WHERE device = ?1");

    query_text(q, hello->device);
    query_text(q, hello->epoch);
    query_text(q, hello->device_boot);
    query_text(q, hello->nonce);
    query_int(q, hello->pages);
    query_ranges(q, seen);
    query_int(q, whole);
    query_int(q, now_ms);
    return query_run(q, err);
}

int store_turn_add(struct store *store, const char *device, const char *epoch, int64_t now_ms,
                   struct sb_err *err)
{
    struct query *q =
        query_start(store, "INSERT INTO turns (device, epoch, at_ms) VALUES (?, ?, ?)");
    int rc;

    query_text(q, device);
    query_text(q, epoch);
    query_int(q, now_ms);
    rc = query_run(q, err);
    if (rc != 0)
        return rc;
    q = query_start(store, "DELETE FROM turns WHERE device = ?1 AND id NOT IN"
                           " (SELECT id FROM turns WHERE device = ?1 ORDER BY id DESC LIMIT ?2)");
    query_text(q, device);
    query_int(q, STORE_TURNS);
    return query_run(q, err);
}

int store_turns(struct store *store, const char *device, struct epoch_turn turns[STORE_TURNS],
                size_t *count, struct sb_err *err)
{
    struct query *q = query_start(
        store, "SELECT epoch, at_ms FROM turns WHERE device = ? ORDER BY id DESC LIMIT ?");
    int rc;

    *count = 0;
    query_text(q, device);
    query_int(q, STORE_TURNS);
    while ((rc = query_row(q, err)) > 0) {
        query_get_str(q, 0, turns[*count].epoch);
        turns[(*count)++].at_ms = query_get_int(q, 1);
    }
    return rc;
}

/* ---- epochs ---- */

/* How many epochs count against the cap: those a hello or a first batch named lately. */
static int count_epochs(struct store *store, const char *device, int64_t since_ms, int64_t *count,
                        struct sb_err *err)
{
    struct query *q =
        query_start(store, "SELECT count(*) FROM epochs WHERE device = ? AND named_ms >= ?");
    bool found;
    int rc;

    query_text(q, device);
    query_int(q, since_ms);
    rc = query_find(q, &found, err);
    *count = found ? query_get_int(q, 0) : 0;
    return query_done(q, rc);
}

int store_epoch_count(struct store *store, const char *device, int64_t *count, struct sb_err *err)
{
    return count_epochs(store, device, INT64_MIN, count, err);
}

static int add_epoch(struct store *store, const char *device, const char *epoch, const char *nonce,
                     int64_t now_ms, struct sb_err *err)
{
    struct query *q = query_start(
        store,
        "INSERT INTO epochs (device, epoch, added_ms, named_ms, nonce) VALUES (?, ?, ?, ?, ?)");

    query_text(q, device);
    query_text(q, epoch);
    query_int(q, now_ms);
    query_int(q, now_ms);
    query_text(q, nonce);
    return query_run(q, err);
}

static int name_epoch(struct store *store, const char *device, const char *epoch, const char *nonce,
                      int64_t now_ms, struct sb_err *err)
{
    struct query *q = query_start(
        store, "UPDATE epochs SET named_ms = ?, nonce = ? WHERE device = ? AND epoch = ?");

    query_int(q, now_ms);
    query_text(q, nonce);
    query_text(q, device);
    query_text(q, epoch);
    return query_run(q, err);
}

int store_epoch_note(struct store *store, const char *device, const char *epoch, const char *nonce,
                     int64_t now_ms, bool *fresh, struct sb_err *err)
{
    struct query *q = query_start(store, "SELECT 1 FROM epochs WHERE device = ? AND epoch = ?");
    int64_t count, since_ms = now_ms - (int64_t)LIMIT_EPOCH_IDLE_DAYS * 86400000;
    bool known;
    int rc;

    query_text(q, device);
    query_text(q, epoch);
    rc = query_find(q, &known, err);
    query_end(q);
    *fresh = rc == 0 && !known;
    if (rc != 0)
        return rc;
    if (known)
        return nonce[0] != '\0' ? name_epoch(store, device, epoch, nonce, now_ms, err) : 0;
    rc = count_epochs(store, device, since_ms, &count, err);
    if (rc != 0)
        return rc;
    if (count >= LIMIT_EPOCHS)
        return sb_fail(err, SB_ELIMIT, "%s has %d outbox databases in use", device, LIMIT_EPOCHS);
    return add_epoch(store, device, epoch, nonce, now_ms, err);
}

int store_claim_room(struct store *store, const char *device, int64_t *room, struct sb_err *err)
{
    struct query *q = query_start(store, "SELECT count(*) FROM claims WHERE device = ?");
    bool found;
    int rc;

    query_text(q, device);
    rc = query_find(q, &found, err);
    *room = LIMIT_CLAIMS - (found ? query_get_int(q, 0) : 0);
    return query_done(q, rc);
}

static int replace_claim(struct store *store, const char *device, const struct sb_claim *claim,
                         const char *nonce, int64_t now_ms, bool *there, struct sb_err *err)
{
    struct query *q = query_start(
        store, "UPDATE claims SET made = ?, settled = ?, held = ?, nonce = ?, said_ms = ?"
               " WHERE device = ? AND epoch = ? AND stream = ?");
    int rc;

    query_seq(q, claim->made);
    query_ranges(q, &claim->settled);
    query_ranges(q, &claim->held);
    query_text(q, nonce);
    query_int(q, now_ms);
    query_text(q, device);
    query_text(q, claim->epoch);
    query_text(q, claim->stream);
    rc = query_run(q, err);
    *there = rc == 0 && sqlite3_changes(store->db) > 0;
    return rc;
}

int store_claim_put(struct store *store, const char *device, const struct sb_claim *claim,
                    const char *nonce, int64_t now_ms, int64_t *room, struct sb_err *err)
{
    struct query *q;
    bool there;
    int rc = replace_claim(store, device, claim, nonce, now_ms, &there, err);

    if (rc != 0 || there || *room <= 0)
        return rc;
    (*room)--;
    q = query_start(store, "INSERT INTO claims (device, epoch, stream, made, settled, held, nonce,"
                           " said_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
    query_text(q, device);
    query_text(q, claim->epoch);
    query_text(q, claim->stream);
    query_seq(q, claim->made);
    query_ranges(q, &claim->settled);
    query_ranges(q, &claim->held);
    query_text(q, nonce);
    query_int(q, now_ms);
    return query_run(q, err);
}

int store_bound(struct store *store, const char *device, const char *user, bool *bound,
                struct sb_err *err)
{
    struct query *q = query_start(store, "SELECT 1 FROM bindings WHERE device = ? AND user = ?");
    int rc;

    query_text(q, device);
    query_text(q, user);
    rc = query_find(q, bound, err);
    return query_done(q, rc);
}
