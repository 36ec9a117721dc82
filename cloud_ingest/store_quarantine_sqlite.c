#include "store_sqlite.h"

#include "limits.h"

/* What could not be parsed or placed, bounded per device. */

/* An edge sends the same bytes again until it gives up: once is enough to look at. */
static int count_repeat(struct store *store, const char *device, uint64_t hash, int64_t now_ms,
                        bool *known, struct sb_err *err)
{
    struct query *q = query_start(store, "UPDATE quarantine SET times = times + 1, last_ms = ?"
                                         " WHERE device = ? AND hash = ?");
    int rc;

    query_int(q, now_ms);
    query_text(q, device);
    query_int(q, (int64_t)hash);
    rc = query_run(q, err);
    *known = rc == 0 && sqlite3_changes(store->db) > 0;
    return rc;
}

static int take_room(struct store *store, const char *device, size_t bytes, struct sb_err *err)
{
    struct query *q = query_start(store, "INSERT INTO quarantine_use (device, bytes) VALUES (?, ?)"
                                         " ON CONFLICT (device) DO UPDATE SET"
                                         " bytes = bytes + excluded.bytes"
                                         " WHERE bytes + excluded.bytes <= ?");
    int rc;

    query_text(q, device);
    query_int(q, (int64_t)bytes);
    query_int(q, LIMIT_QUARANTINE_BYTES);
    rc = query_run(q, err);
    if (rc == 0 && sqlite3_changes(store->db) == 0)
        rc = sb_fail(err, SB_ELIMIT, "quarantine: %d bytes of %s are kept already",
                     LIMIT_QUARANTINE_BYTES, device[0] != '\0' ? device : "unnamed devices");
    return rc;
}

static int keep(struct store *store, const char *device, uint64_t hash, struct sb_span topic,
                struct sb_span payload, size_t size, enum sb_code code, const char *reason,
                int64_t now_ms, struct sb_err *err)
{
    struct query *q = query_start(
        store, "INSERT INTO quarantine (device, hash, topic, code, reason, size, payload, times,"
               " first_ms, last_ms) VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?)");

    query_text(q, device);
    query_int(q, (int64_t)hash);
    query_span(q, topic);
    query_text(q, sb_code_name(code));
    query_text(q, reason);
    query_int(q, (int64_t)size);
    query_blob(q, payload);
    query_int(q, now_ms);
    query_int(q, now_ms);
    return query_run(q, err);
}

int store_quarantine_add(struct store *store, const char *device, struct sb_span topic,
                         struct sb_span payload, enum sb_code code, const char *reason,
                         int64_t now_ms, struct sb_err *err)
{
    struct sb_span kept = payload;
    unsigned char digest[32];
    uint64_t hash = 0;
    bool known;
    int rc;

    sb_sha256((struct sb_span[]){topic, payload}, 2, digest);
    for (int i = 0; i < 8; i++)
        hash = hash << 8 | digest[i];
    if (kept.len > LIMIT_QUARANTINE_ENTRY)
        kept.len = LIMIT_QUARANTINE_ENTRY;
    rc = count_repeat(store, device, hash, now_ms, &known, err);
    if (rc != 0 || known)
        return rc;
    rc = take_room(store, device, kept.len + topic.len + 128, err);
    if (rc != 0)
        return rc;
    return keep(store, device, hash, topic, kept, payload.len, code, reason, now_ms, err);
}
