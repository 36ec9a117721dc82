#include "store_sqlite.h"

#include <string.h>

#include "common/clock.h"
#include "limits.h"

/* Settings: operations by op_id, versions that are never rewritten, the document in force, and the
 * operations that were in conflict. */

static void bind_key(struct query *q, const struct op_key *key)
{
    query_text(q, key->device);
    query_text(q, key->stream);
    query_span(q, key->op_id);
}

static enum sb_code get_code(struct query *q, int column)
{
    struct sb_span name = query_get_span(q, column);

    return name.len > 0 ? sb_code_from_name(name.data, name.len) : SB_OK;
}

static const char *code_text(enum sb_code code)
{
    return code == SB_OK ? "" : sb_code_name(code);
}

/* ---- operations ---- */

int store_op_get(struct store *store, const struct op_key *key, struct op_row *row,
                 struct sb_err *err)
{
    struct query *q =
        query_start(store, "SELECT outcome, sn, seq, version, code, decided_ms FROM ops"
                           " WHERE device = ? AND stream = ? AND op_id = ?");
    bool found;
    int rc;

    *row = (struct op_row){.outcome = OP_NONE};
    bind_key(q, key);
    rc = query_find(q, &found, err);
    if (found) {
        row->outcome = (enum op_outcome)query_get_int(q, 0);
        row->sn = query_get_int(q, 1);
        row->seq = query_get_seq(q, 2);
        row->version = query_get_seq(q, 3);
        row->code = get_code(q, 4);
        row->decided_ms = query_get_int(q, 5);
    }
    return query_done(q, rc);
}

int store_op_put(struct store *store, const struct op_key *key, const struct op_row *row,
                 int64_t now_ms, struct sb_err *err)
{
    struct query *q = query_start(
        store, "INSERT INTO ops (device, stream, op_id, outcome, sn, seq, version, code,"
               " decided_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
               " ON CONFLICT (device, stream, op_id) DO UPDATE SET outcome = excluded.outcome,"
               " sn = excluded.sn, seq = excluded.seq, version = excluded.version,"
               " code = excluded.code, decided_ms = excluded.decided_ms");

    bind_key(q, key);
    query_int(q, row->outcome);
    query_int(q, row->sn);
    query_seq(q, row->seq);
    query_seq(q, row->version);
    query_text(q, code_text(row->code));
    query_int(q, now_ms);
    return query_run(q, err);
}

int store_op_rejection_get(struct store *store, const struct op_key *key, int64_t sn, uint64_t seq,
                           bool *found, struct rejection_row *row, struct sb_err *err)
{
    struct query *q = query_start(store, "SELECT code, reason FROM op_rejections WHERE device = ?"
                                         " AND stream = ? AND op_id = ? AND sn = ? AND seq = ?");
    int rc;

    bind_key(q, key);
    query_int(q, sn);
    query_seq(q, seq);
    rc = query_find(q, found, err);
    if (*found) {
        row->hash = 0;
        row->code = get_code(q, 0);
        query_get_str(q, 1, row->reason);
    }
    return query_done(q, rc);
}

int store_op_rejection_put(struct store *store, const struct op_key *key, int64_t sn, uint64_t seq,
                           const struct rejection_row *row, struct sb_span record, int64_t now_ms,
                           struct sb_err *err)
{
    struct query *q = query_start(
        store, "INSERT INTO op_rejections (device, stream, op_id, sn, seq, code, reason, record,"
               " rejected_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
               " ON CONFLICT (device, stream, op_id, sn, seq) DO NOTHING");

    bind_key(q, key);
    query_int(q, sn);
    query_seq(q, seq);
    query_text(q, sb_code_name(row->code));
    query_text(q, row->reason);
    query_span_or_null(q, record.len <= LIMIT_REJECTED_TEXT ? record : SB_SPAN(""));
    query_int(q, now_ms);
    return query_run(q, err);
}

/* ---- versions ---- */

int store_user_get(struct store *store, const char *user, struct user_row *row, struct sb_err *err)
{
    struct query *q = query_start(store, "SELECT version, tag FROM users WHERE user = ?");
    bool found;
    int rc;

    *row = (struct user_row){0};
    query_text(q, user);
    rc = query_find(q, &found, err);
    if (found) {
        row->version = query_get_seq(q, 0);
        query_get_str(q, 1, row->tag);
    }
    return query_done(q, rc);
}

static int advance_user(struct store *store, const struct version_row *row, struct sb_err *err)
{
    struct query *q =
        query_start(store, "INSERT INTO users (user, version, tag) VALUES (?, ?, ?)"
                           " ON CONFLICT (user) DO UPDATE SET version = excluded.version,"
                           " tag = excluded.tag");

    query_text(q, row->user);
    query_seq(q, row->version);
    query_text(q, row->tag);
    return query_run(q, err);
}

static int set_document(struct store *store, const struct version_row *row, struct sb_err *err)
{
    struct query *q =
        query_start(store, "INSERT INTO documents (user, doc, version) VALUES (?, ?, ?)"
                           " ON CONFLICT (user, doc) DO UPDATE SET version = excluded.version");

    query_text(q, row->user);
    query_text(q, row->doc);
    query_seq(q, row->version);
    return query_run(q, err);
}

static int add_version(struct store *store, const struct version_row *row, struct sb_err *err)
{
    struct query *q = query_start(
        store, "INSERT INTO versions (user, version, doc, tag, device, stream, op_id, hlc, base,"
               " submitted, result, deleted, sn, seq, made_us)"
               " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, 0, ?, ?, ?)");

    query_text(q, row->user);
    query_seq(q, row->version);
    query_text(q, row->doc);
    query_text(q, row->tag);
    bind_key(q, &row->op);
    query_text(q, row->hlc);
    query_span_or_null(q, row->base);
    query_span(q, row->submitted);
    query_int(q, row->sn);
    query_seq(q, row->seq);
    query_int(q, row->now_us);
    return query_run(q, err);
}

int store_version_add(struct store *store, const struct version_row *row, struct sb_err *err)
{
    int rc = add_version(store, row, err);

    if (rc == 0)
        rc = set_document(store, row, err);
    return rc == 0 ? advance_user(store, row, err) : rc;
}

static void read_document(struct query *q, struct sb_document *out)
{
    struct sb_span data = query_get_span(q, 6);
    char updated[SB_TIME_TEXT];

    out->exists = true;
    out->version = query_get_seq(q, 0);
    query_get_str(q, 1, out->tag);
    query_get_str(q, 2, out->op_id);
    query_get_str(q, 3, out->device);
    query_get_str(q, 4, out->hlc);
    out->deleted = query_get_int(q, 5) != 0;
    sb_time_print(query_get_int(q, 7), updated);
    memcpy(out->updated_at, updated, strlen(updated) + 1);
    sb_buf_clear(&out->data);
    if (!out->deleted)
        sb_buf_add_span(&out->data, data);
}

int store_document_get(struct store *store, const char *user, const char *doc,
                       struct sb_document *out, struct sb_err *err)
{
    struct query *q =
        query_start(store, "SELECT v.version, v.tag, v.op_id, v.device, v.hlc, v.deleted,"
                           " coalesce(v.result, v.submitted), v.made_us FROM documents d"
                           " JOIN versions v ON v.user = d.user AND v.version = d.version"
                           " WHERE d.user = ? AND d.doc = ?");
    bool found;
    int rc;

    out->exists = false;
    query_text(q, user);
    query_text(q, doc);
    rc = query_find(q, &found, err);
    if (found)
        read_document(q, out);
    return query_done(q, rc);
}

int store_tag_known(struct store *store, const char *user, const char *doc, struct sb_span tag,
                    bool *known, struct sb_err *err)
{
    struct query *q =
        query_start(store, "SELECT 1 FROM versions WHERE user = ? AND tag = ? AND doc = ? LIMIT 1");
    int rc;

    query_text(q, user);
    query_span(q, tag);
    query_text(q, doc);
    rc = query_find(q, known, err);
    return query_done(q, rc);
}

/* ---- conflicts ---- */

int store_conflict_add(struct store *store, const struct conflict_row *row, struct sb_err *err)
{
    struct query *q = query_start(
        store, "INSERT INTO conflicts (device, stream, op_id, user, code, hlc, base, submitted, sn,"
               " seq, server_version, opened_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");

    bind_key(q, &row->op);
    query_text(q, row->user);
    query_text(q, code_text(row->code));
    query_text(q, row->hlc);
    query_span_or_null(q, row->base);
    query_span(q, row->submitted);
    query_int(q, row->sn);
    query_seq(q, row->seq);
    query_seq(q, row->server_version);
    query_int(q, row->now_ms);
    return query_run(q, err);
}
