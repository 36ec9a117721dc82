#include "requests_internal.h"

#include <string.h>

/* Requests that read documents and their versions. */

/* ---- one document ---- */

static int tell_document(struct request_call *call, const struct sb_document *doc, const char *user,
                         const char *id, struct sb_err *err)
{
    struct user_row row;
    int rc = store_user_get(call->a->store, user, &row, err);

    if (rc != 0)
        return rc;
    sb_document_encode(doc, id, row.version, &call->outcome->data);
    call->outcome->single = true;
    return request_done(call);
}

static int document_get(struct request_call *call, struct sb_document_args *args,
                        struct sb_err *err)
{
    const struct table *table = request_table(call, args->table);
    struct document_row row = {.merged = false};
    char doc[STORE_DOC_MAX + 1];
    bool may;
    int rc;

    if (table == NULL)
        return 0;
    rc = request_user(call, args->user, &may, err);
    if (rc != 0 || !may)
        return rc;
    store_doc_print(args->table, args->id, doc);
    rc = store_document_row(call->a->store, args->user, doc, &row, err);
    if (rc == 0) {
        apply_tell_stamps(table, &row);
        rc = tell_document(call, &row.document, args->user, args->id, err);
    }
    sb_document_free(&row.document);
    return rc;
}

int request_document_get(struct request_call *call, struct sb_err *err)
{
    struct sb_document_args args;
    struct sb_err why;

    if (sb_document_args_decode(call->request->args, &args, &why) != 0)
        return request_unread(call, &why);
    return document_get(call, &args, err);
}

int request_settings_get(struct request_call *call, struct sb_err *err)
{
    struct sb_json_field field = {.key = "user"};
    struct sb_document_args args = {.table = SB_TABLE_SETTINGS, .id = SB_TABLE_SETTINGS};
    struct sb_err why;

    sb_json_pick(call->request->args, &field, 1);
    if (sb_field_given(&field) && sb_field_name(&field, args.user, &why) != 0)
        return request_unread(call, &why);
    return document_get(call, &args, err);
}

/* ---- changes ---- */

struct gathering {
    struct request_call *call;
    const struct table *table;
    uint64_t limit;
    struct sb_changes changes;
    size_t bytes; /* of the texts so far */
};

/* Stops at the limit, and where nothing more would go out anyway. */
static bool gather(void *ctx, const char *id, struct document_row *row)
{
    struct gathering *g = ctx;
    struct sb_change *change;

    if (g->changes.count == g->limit || (g->changes.count > 0 && g->bytes > g->call->max_bytes)) {
        g->changes.has_more = true;
        return false;
    }
    apply_tell_stamps(g->table, row);
    g->bytes += row->document.data.len + row->document.stamps.len;
    change = sb_changes_add(&g->changes);
    memcpy(change->id, id, strlen(id) + 1);
    change->doc = row->document;
    row->document = (struct sb_document){.exists = false};
    return true;
}

static void end_changes(struct gathering *g, const struct user_row *user)
{
    struct sb_changes *changes = &g->changes;

    changes->latest_version = user->version;
    changes->cursor.version = user->version;
    memcpy(changes->cursor.tag, user->tag, sizeof(changes->cursor.tag));
    if (changes->has_more) {
        const struct sb_document *last = &changes->list[changes->count - 1].doc;

        changes->cursor.version = last->version;
        memcpy(changes->cursor.tag, last->tag, sizeof(changes->cursor.tag));
    }
}

static int tell_changes(struct request_call *call, const struct sb_changes_args *args,
                        const struct table *table, struct sb_err *err)
{
    struct gathering g = {.call = call, .table = table, .limit = args->limit};
    struct user_row user;
    int rc;

    sb_changes_init(&g.changes);
    memcpy(g.changes.user, args->user, sizeof(g.changes.user));
    memcpy(g.changes.table, args->table, sizeof(g.changes.table));
    g.changes.policy = table->policy;
    sb_buf_add_span(&g.changes.arrays, sb_buf_span(&table->arrays));
    rc = store_user_get(call->a->store, args->user, &user, err);
    if (rc == 0)
        rc = store_changes(call->a->store, args->user, args->table, args->since.version,
                           args->limit + 1, gather, &g, err);
    if (rc == 0) {
        end_changes(&g, &user);
        sb_changes_encode(&g.changes, call->max_bytes, &call->outcome->data);
        request_done(call);
    }
    sb_changes_free(&g.changes);
    return rc;
}

int request_changes(struct request_call *call, struct sb_err *err)
{
    struct sb_changes_args args;
    const struct table *table;
    struct sb_err why;
    bool may, known;
    int rc;

    if (sb_changes_args_decode(call->request->args, &args, &why) != 0)
        return request_unread(call, &why);
    table = request_table(call, args.table);
    if (table == NULL)
        return 0;
    rc = request_user(call, args.user, &may, err);
    if (rc != 0 || !may)
        return rc;
    rc = store_cursor_known(call->a->store, args.user, &args.since, args.began, &known, err);
    if (rc != 0)
        return rc;
    if (!known)
        return request_refuse(call, SB_ECURSOR_UNKNOWN,
                              "since: not a version with that tag, or too old; begin at null");
    return tell_changes(call, &args, table, err);
}

/* ---- versions ---- */

#define VERSIONS_READ_BYTES (64 << 20) /* of texts that one request may make the database read */

struct listing {
    struct sb_versions versions;
    uint64_t limit, bytes;
};

static bool list_version(void *ctx, const struct sb_version_entry *entry)
{
    struct listing *l = ctx;

    if (l->versions.count == l->limit || l->bytes > VERSIONS_READ_BYTES) {
        l->versions.has_more = true;
        return false;
    }
    l->bytes += entry->size;
    *sb_versions_add(&l->versions) = *entry;
    return true;
}

static int find_versions(struct request_call *call, struct sb_document_args *args,
                         char doc[STORE_DOC_MAX + 1], bool *may, struct sb_err *err)
{
    *may = false;
    if (request_table(call, args->table) == NULL)
        return 0;
    store_doc_print(args->table, args->id, doc);
    return request_user(call, args->user, may, err);
}

int request_versions(struct request_call *call, struct sb_err *err)
{
    struct listing l = {.bytes = 0};
    struct sb_versions_args args;
    char doc[STORE_DOC_MAX + 1];
    struct sb_err why;
    bool may;
    int rc;

    if (sb_versions_args_decode(call->request->args, &args, &why) != 0)
        return request_unread(call, &why);
    rc = find_versions(call, &args.doc, doc, &may, err);
    if (rc != 0 || !may)
        return rc;
    sb_versions_init(&l.versions);
    l.limit = args.limit;
    rc = store_versions(call->a->store, args.doc.user, doc, args.before, args.limit + 1,
                        list_version, &l, err);
    if (rc == 0) {
        call->a->spent += l.bytes;
        sb_versions_encode(&l.versions, call->max_bytes, &call->outcome->data);
        request_done(call);
    }
    sb_versions_free(&l.versions);
    return rc;
}

int request_version_get(struct request_call *call, struct sb_err *err)
{
    struct sb_document found = {.exists = false};
    struct sb_version_args args;
    char doc[STORE_DOC_MAX + 1];
    struct sb_err why;
    bool may;
    int rc;

    if (sb_version_args_decode(call->request->args, &args, &why) != 0)
        return request_unread(call, &why);
    rc = find_versions(call, &args.doc, doc, &may, err);
    if (rc != 0 || !may)
        return rc;
    rc = store_version_get(call->a->store, args.doc.user, doc, args.version, &found, err);
    if (rc == 0 && !found.exists)
        request_refuse(call, SB_ENOT_FOUND, "version: not one of that document");
    else if (rc == 0)
        rc = tell_document(call, &found, args.doc.user, args.doc.id, err);
    sb_document_free(&found);
    return rc;
}
