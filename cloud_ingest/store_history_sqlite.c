#include "store_sqlite.h"

/* Command history: one identity, one row per different content. Nothing is ever replaced. */

int store_history_find(struct store *store, const struct history_key *key, int64_t *hid,
                       struct sb_err *err)
{
    struct query *q = query_start(store, "SELECT hid FROM history WHERE user = ? AND place = ?"
                                         " AND trace = ? AND command_id = ?");
    bool found;
    int rc;

    query_text(q, key->user);
    query_span(q, key->place);
    query_span(q, key->trace);
    query_span(q, key->command);
    rc = query_find(q, &found, err);
    *hid = found ? query_get_int(q, 0) : 0;
    return query_done(q, rc);
}

int store_history_same(struct store *store, int64_t hid, uint64_t hash,
                       bool (*same)(void *ctx, struct sb_span body), void *ctx, bool *found,
                       struct sb_err *err)
{
    struct query *q = query_start(store, "SELECT body FROM history_rev WHERE hid = ? AND hash = ?");
    int rc;

    *found = false;
    query_int(q, hid);
    query_int(q, (int64_t)hash);
    while ((rc = query_row(q, err)) > 0) {
        *found = same(ctx, query_get_span(q, 0));
        if (*found)
            return query_done(q, 0);
    }
    return rc;
}

static int add_identity(struct store *store, const struct history_key *key, int64_t *hid,
                        struct sb_err *err)
{
    struct query *q = query_start(
        store, "INSERT INTO history (user, place, trace, command_id) VALUES (?, ?, ?, ?)");
    int rc;

    query_text(q, key->user);
    query_span(q, key->place);
    query_span(q, key->trace);
    query_span(q, key->command);
    rc = query_run(q, err);
    *hid = sqlite3_last_insert_rowid(store->db);
    return rc;
}

/* HLCs are unsigned 64 bit; SQLite compares signed ones, so they are kept with the top bit turned.
 */
static int64_t sortable(uint64_t hlc)
{
    return (int64_t)(hlc ^ UINT64_C(0x8000000000000000));
}

static int set_latest(struct store *store, int64_t hid, struct sb_err *err)
{
    struct query *q =
        query_start(store, "UPDATE history SET latest = (SELECT rev FROM history_rev WHERE hid = ?1"
                           " ORDER BY hlc DESC, rev DESC LIMIT 1) WHERE hid = ?1");

    query_int(q, hid);
    return query_run(q, err);
}

/* A revision that was just added, unless another has a higher hlc. Not set_latest: that one goes
 * over all of them. */
static int advance_latest(struct store *store, int64_t hid, int64_t rev, int64_t hlc,
                          struct sb_err *err)
{
    struct query *q =
        query_start(store, "UPDATE history SET latest = ?2 WHERE hid = ?1 AND NOT EXISTS"
                           " (SELECT 1 FROM history_rev WHERE rev = history.latest AND hlc > ?3)");

    query_int(q, hid);
    query_int(q, rev);
    query_int(q, hlc);
    return query_run(q, err);
}

int store_history_add(struct store *store, const struct history_key *key, int64_t hid,
                      const struct history_revision *revision, struct sb_err *err)
{
    struct query *q;
    int rc = hid == 0 ? add_identity(store, key, &hid, err) : 0;

    if (rc != 0)
        return rc;
    q = query_start(store,
                    "INSERT INTO history_rev (hid, hash, hlc, created_us, sn, seq, rx_ms, body)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
    query_int(q, hid);
    query_int(q, (int64_t)revision->hash);
    query_int(q, sortable(revision->hlc));
    query_int(q, revision->created_us);
    query_int(q, revision->sn);
    query_seq(q, revision->seq);
    query_int(q, revision->rx_ms);
    query_span(q, revision->body);
    rc = query_run(q, err);
    if (rc != 0)
        return rc;
    return advance_latest(store, hid, sqlite3_last_insert_rowid(store->db), sortable(revision->hlc),
                          err);
}

int store_dup_add(struct store *store, int64_t sn, uint64_t seq, uint64_t hash, int64_t rx_ms,
                  struct sb_err *err)
{
    struct query *q =
        query_start(store, "INSERT INTO dups (sn, seq, hash, rx_ms) VALUES (?, ?, ?, ?)");

    query_int(q, sn);
    query_seq(q, seq);
    query_int(q, (int64_t)hash);
    query_int(q, rx_ms);
    return query_run(q, err);
}

int store_dup_has(struct store *store, int64_t sn, uint64_t seq, uint64_t hash, bool *same,
                  struct sb_err *err)
{
    struct query *q =
        query_start(store, "SELECT 1 FROM dups WHERE sn = ? AND seq = ? AND hash = ?");
    int rc;

    query_int(q, sn);
    query_seq(q, seq);
    query_int(q, (int64_t)hash);
    rc = query_find(q, same, err);
    return query_done(q, rc);
}

static int delete_identity_if_empty(struct store *store, int64_t hid, struct sb_err *err)
{
    struct query *q = query_start(store, "DELETE FROM history WHERE hid = ?1 AND NOT EXISTS"
                                         " (SELECT 1 FROM history_rev WHERE hid = ?1)");

    query_int(q, hid);
    return query_run(q, err);
}

int store_history_delete(struct store *store, int64_t sn, uint64_t seq, bool *gone,
                         struct sb_err *err)
{
    struct query *q =
        query_start(store, "DELETE FROM history_rev WHERE sn = ? AND seq = ? RETURNING hid");
    int64_t hid;
    int rc;

    query_int(q, sn);
    query_seq(q, seq);
    rc = query_find(q, gone, err);
    if (rc != 0 || !*gone)
        return rc;
    hid = query_get_int(q, 0);
    rc = query_row(q, err);
    query_end(q);
    if (rc == 0)
        rc = delete_identity_if_empty(store, hid, err);
    return rc == 0 && sqlite3_changes(store->db) == 0 ? set_latest(store, hid, err) : rc;
}
