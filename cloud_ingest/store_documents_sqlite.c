#include "store_sqlite.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "limits.h"

/* Settings and records: operations by op_id, versions that are never rewritten, the document in
 * force, and the operations that were in conflict. */

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

void store_doc_print(const char *table, const char *id, char out[STORE_DOC_MAX + 1])
{
    if (strcmp(table, SB_TABLE_SETTINGS) == 0)
        memcpy(out, SB_TABLE_SETTINGS, sizeof(SB_TABLE_SETTINGS));
    else
        snprintf(out, STORE_DOC_MAX + 1, "%s/%s", table, id);
}

const char *store_doc_parse(const char *doc, char table[SB_NAME_MAX + 1])
{
    const char *slash = strchr(doc, '/');

    snprintf(table, SB_NAME_MAX + 1, "%.*s", slash != NULL ? (int)(slash - doc) : SB_NAME_MAX, doc);
    return slash != NULL ? slash + 1 : doc;
}

int store_user_get(struct store *store, const char *user, struct user_row *row, struct sb_err *err)
{
    struct query *q = query_start(store, "SELECT version, tag, floor FROM users WHERE user = ?");
    bool found;
    int rc;

    *row = (struct user_row){0};
    query_text(q, user);
    rc = query_find(q, &found, err);
    if (found) {
        row->version = query_get_seq(q, 0);
        query_get_str(q, 1, row->tag);
        row->floor = query_get_seq(q, 2);
    }
    return query_done(q, rc);
}

static int advance_user(struct store *store, const struct version_row *row, struct sb_err *err)
{
    struct query *q =
        query_start(store, "INSERT INTO users (user, version, tag) VALUES (?, ?, ?)"
                           " ON CONFLICT (user) DO UPDATE SET version = excluded.version,"
                           " tag = excluded.tag");

    query_text(q, row->name.user);
    query_seq(q, row->version);
    query_text(q, row->tag);
    return query_run(q, err);
}

static int set_document(struct store *store, const struct version_row *row, struct sb_err *err)
{
    struct query *q =
        query_start(store, "INSERT INTO documents (user, doc, tbl, id, version, tombed_ms, hlc,"
                           " stamp_device, stamps) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
                           " ON CONFLICT (user, doc) DO UPDATE SET version = excluded.version,"
                           " tombed_ms = excluded.tombed_ms, hlc = excluded.hlc,"
                           " stamp_device = excluded.stamp_device, stamps = excluded.stamps");

    query_text(q, row->name.user);
    query_text(q, row->name.doc);
    query_text(q, row->name.table);
    query_text(q, row->name.id);
    query_seq(q, row->version);
    if (row->result.len > 0)
        query_null(q);
    else
        query_int(q, row->now_us / 1000);
    query_text(q, row->top_hlc);
    query_text(q, row->top_device);
    query_span_or_null(q, row->stamps);
    return query_run(q, err);
}

static int add_version(struct store *store, const struct version_row *row, struct sb_err *err)
{
    struct query *q = query_start(
        store, "INSERT INTO versions (user, version, doc, tag, device, stream, op_id, hlc, base,"
               " submitted, result, deleted, merged, sn, seq, made_us)"
               " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");

    query_text(q, row->name.user);
    query_seq(q, row->version);
    query_text(q, row->name.doc);
    query_text(q, row->tag);
    bind_key(q, &row->op);
    query_text(q, row->hlc);
    query_span_or_null(q, row->base);
    query_span(q, row->submitted);
    if (sb_span_eq(row->result, row->submitted))
        query_null(q);
    else
        query_span(q, row->result);
    query_int(q, row->result.len == 0);
    query_int(q, row->merged);
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

/* One text that a statement finds, copied. */
static int find_text(struct query *q, bool *found, struct sb_buf *text, struct sb_err *err)
{
    int rc = query_find(q, found, err);

    sb_buf_clear(text);
    if (*found)
        sb_buf_add_span(text, query_get_span(q, 0));
    return query_done(q, rc);
}

int store_result_by_tag(struct store *store, const char *user, const char *doc, struct sb_span tag,
                        bool *found, struct sb_buf *text, struct sb_err *err)
{
    struct query *q =
        query_start(store, "SELECT coalesce(result, submitted) FROM versions"
                           " INDEXED BY versions_tag" /* by versions_doc it reads them all */
                           " WHERE user = ? AND tag = ? AND doc = ? ORDER BY version DESC LIMIT 1");

    query_text(q, user);
    query_span(q, tag);
    query_text(q, doc);
    return find_text(q, found, text, err);
}

int store_submitted(struct store *store, const char *user, const char *doc, uint64_t version,
                    bool *found, struct sb_buf *text, struct sb_err *err)
{
    struct query *q = query_start(
        store, "SELECT submitted FROM versions WHERE user = ? AND version = ? AND doc = ?");

    query_text(q, user);
    query_seq(q, version);
    query_text(q, doc);
    return find_text(q, found, text, err);
}

/* ---- documents ---- */

static void read_document(struct query *q, struct document_row *out)
{
    struct sb_document *document = &out->document;
    char updated[SB_TIME_TEXT];

    document->exists = true;
    document->version = query_get_seq(q, 0);
    query_get_str(q, 1, document->tag);
    query_get_str(q, 2, document->op_id);
    query_get_str(q, 3, document->device);
    query_get_str(q, 4, document->hlc);
    document->deleted = query_get_int(q, 5) != 0;
    sb_buf_add_span(&document->data, query_get_span(q, 6));
    sb_time_print(query_get_int(q, 7), updated);
    memcpy(document->updated_at, updated, strlen(updated) + 1);
    out->merged = query_get_int(q, 8) != 0;
    query_get_str(q, 9, out->stamp_device);
    sb_buf_add_span(&document->stamps, query_get_span(q, 10));
}

int store_document_row(struct store *store, const char *user, const char *doc,
                       struct document_row *out, struct sb_err *err)
{
    struct query *q =
        query_start(store, "SELECT v.version, v.tag, v.op_id, v.device, d.hlc, v.deleted,"
                           " coalesce(v.result, v.submitted), v.made_us, v.merged, d.stamp_device,"
                           " d.stamps FROM documents d"
                           " JOIN versions v ON v.user = d.user AND v.version = d.version"
                           " WHERE d.user = ? AND d.doc = ?");
    bool found;
    int rc;

    out->document.exists = out->document.deleted = out->merged = false;
    sb_buf_clear(&out->document.data);
    sb_buf_clear(&out->document.stamps);
    query_text(q, user);
    query_text(q, doc);
    rc = query_find(q, &found, err);
    if (found)
        read_document(q, out);
    return query_done(q, rc);
}

int store_document_get(struct store *store, const char *user, const char *doc,
                       struct sb_document *out, struct sb_err *err)
{
    struct document_row row = {.document = *out};
    int rc = store_document_row(store, user, doc, &row, err);

    *out = row.document;
    sb_buf_clear(&out->stamps);
    return rc;
}

/* ---- tombstones ---- */

static int purge_one(struct store *store, const char *user, const char *doc, uint64_t version,
                     struct sb_err *err)
{
    struct query *q = query_start(store, "DELETE FROM documents WHERE user = ? AND doc = ?");
    int rc;

    query_text(q, user);
    query_text(q, doc);
    rc = query_run(q, err);
    if (rc != 0)
        return rc;
    q = query_start(store, "UPDATE users SET floor = max(floor, ?) WHERE user = ?");
    query_seq(q, version);
    query_text(q, user);
    return query_run(q, err);
}

/* The oldest tombstone of before that time; *found = false when there is none. */
static int oldest_tombstone(struct store *store, int64_t before_ms, bool *found,
                            char user[SB_NAME_MAX + 1], char doc[STORE_DOC_MAX + 1],
                            uint64_t *version, struct sb_err *err)
{
    struct query *q = query_start(store, "SELECT user, doc, version FROM documents"
                                         " WHERE tombed_ms IS NOT NULL AND tombed_ms < ?"
                                         " ORDER BY tombed_ms LIMIT 1");
    int rc;

    query_int(q, before_ms);
    rc = query_find(q, found, err);
    if (*found) {
        query_get_text(q, 0, user, SB_NAME_MAX + 1);
        query_get_text(q, 1, doc, STORE_DOC_MAX + 1);
        *version = query_get_seq(q, 2);
    }
    return query_done(q, rc);
}

int store_tombstones_purge(struct store *store, int64_t before_ms, int limit, int *gone,
                           struct sb_err *err)
{
    char user[SB_NAME_MAX + 1], doc[STORE_DOC_MAX + 1];
    uint64_t version = 0;
    bool found = true;
    int rc = 0;

    *gone = 0;
    while (rc == 0 && *gone < limit) {
        rc = oldest_tombstone(store, before_ms, &found, user, doc, &version, err);
        if (rc != 0 || !found)
            break;
        rc = purge_one(store, user, doc, version, err);
        *gone += rc == 0;
    }
    return rc;
}

/* ---- conflicts ---- */

int store_conflict_add(struct store *store, const struct conflict_row *row, struct sb_err *err)
{
    struct query *q = query_start(
        store, "INSERT INTO conflicts (device, stream, op_id, user, doc, code, hlc, base,"
               " submitted, deleted, pointers, sn, seq, server_version, opened_ms)"
               " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");

    bind_key(q, &row->op);
    query_text(q, row->name.user);
    query_text(q, row->name.doc);
    query_text(q, code_text(row->code));
    query_text(q, row->hlc);
    query_span_or_null(q, row->base);
    query_span(q, row->submitted);
    query_int(q, row->submitted.len == 0);
    query_span(q, row->pointers);
    query_int(q, row->sn);
    query_seq(q, row->seq);
    query_seq(q, row->server_version);
    query_int(q, row->now_ms);
    return query_run(q, err);
}

void store_lost_free(struct lost_row *row)
{
    sb_buf_free(&row->pointers);
    sb_buf_free(&row->submitted);
    *row = (struct lost_row){0};
}

int store_lost_get(struct store *store, const struct op_key *key, struct lost_row *row,
                   struct sb_err *err)
{
    struct query *q = query_start(
        store, "SELECT doc, pointers, submitted FROM conflicts"
               " WHERE device = ? AND stream = ? AND op_id = ? ORDER BY id DESC LIMIT 1");
    int rc;

    bind_key(q, key);
    rc = query_find(q, &row->found, err);
    row->doc[0] = '\0';
    sb_buf_clear(&row->pointers);
    sb_buf_clear(&row->submitted);
    if (row->found) {
        query_get_str(q, 0, row->doc);
        sb_buf_add_span(&row->pointers, query_get_span(q, 1));
        sb_buf_add_span(&row->submitted, query_get_span(q, 2));
    }
    return query_done(q, rc);
}
