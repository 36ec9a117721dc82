#include "store_sqlite.h"

#include "store_requests.h"

/* Requests that wrote, with their answers: a repeat is answered and does nothing. */

int store_answer_get(struct store *store, const char *sender, const char *id, bool *found,
                     uint64_t *hash, struct sb_buf *answer, struct sb_err *err)
{
    struct query *q =
        query_start(store, "SELECT hash, answer FROM answers WHERE sender = ? AND id = ?");
    int rc;

    sb_buf_clear(answer);
    query_text(q, sender);
    query_text(q, id);
    rc = query_find(q, found, err);
    if (*found) {
        *hash = (uint64_t)query_get_int(q, 0);
        sb_buf_add_span(answer, query_get_span(q, 1));
    }
    return query_done(q, rc);
}

/* The sender's oldest beyond the limit, but not this one, should the clock have been set back. */
static int remove_beyond(struct store *store, const char *sender, const char *id,
                         struct sb_err *err)
{
    struct query *q = query_start(store, "SELECT count(*) FROM answers WHERE sender = ?");
    int64_t count = 0;
    bool found;
    int rc;

    query_text(q, sender);
    rc = query_find(q, &found, err);
    if (found)
        count = query_get_int(q, 0);
    rc = query_done(q, rc);
    if (rc != 0 || count <= LIMIT_ANSWERS)
        return rc;
    q = query_start(store, "DELETE FROM answers WHERE sender = ?1 AND id IN (SELECT id FROM answers"
                           " WHERE sender = ?1 AND id <> ?2 ORDER BY made_ms, id LIMIT ?3)");
    query_text(q, sender);
    query_text(q, id);
    query_int(q, count - LIMIT_ANSWERS);
    return query_run(q, err);
}

int store_answer_put(struct store *store, const char *sender, const char *id, uint64_t hash,
                     struct sb_span answer, int64_t now_ms, struct sb_err *err)
{
    struct query *q = query_start(store, "INSERT INTO answers (sender, id, hash, answer, made_ms)"
                                         " VALUES (?, ?, ?, ?, ?)");
    int rc;

    query_text(q, sender);
    query_text(q, id);
    query_int(q, (int64_t)hash);
    query_span(q, answer);
    query_int(q, now_ms);
    rc = query_run(q, err);
    return rc == 0 ? remove_beyond(store, sender, id, err) : rc;
}

int store_answers_purge(struct store *store, int64_t before_ms, int limit, int *gone,
                        struct sb_err *err)
{
    struct query *q = query_start(store, "DELETE FROM answers WHERE (sender, id) IN"
                                         " (SELECT sender, id FROM answers WHERE made_ms < ?"
                                         " ORDER BY made_ms LIMIT ?)");
    int rc;

    query_int(q, before_ms);
    query_int(q, limit);
    rc = query_run(q, err);
    *gone = rc == 0 ? sqlite3_changes(store->db) : 0;
    return rc;
}
