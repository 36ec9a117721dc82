#include "cloud_documents.h"

#include <string.h>

#include "cloud_ingest/store_requests.h"

void cloud_put_document(struct sb_buf *out, const struct cloud_document *name,
                        const struct sb_document *doc)
{
    sb_put_u64(out, "version", doc->version);
    sb_put_text(out, "tag", doc->tag);
    sb_put_text(out, "op_id", doc->op_id);
    sb_put_text(out, "device", doc->device);
    sb_put_text(out, "edge_id", doc->device);
    sb_put_text_or_null(out, "hlc", doc->hlc);
    sb_put_text(out, "updated_at", doc->updated_at);
    sb_put_bool(out, "deleted", doc->deleted);
    sb_put_bool(out, "encrypted", doc->data.len > 0 && doc->data.data[0] == '"');
    sb_put_raw(out, name->member, doc->deleted ? (struct sb_span){0} : sb_buf_span(&doc->data));
}

static void put_name(struct sb_buf *out, const struct cloud_document *name)
{
    sb_put_text(out, "user", name->user);
    sb_put_text(out, "user_id", name->user);
    sb_put_text(out, "table", name->table);
    sb_put_text(out, "id", name->id);
}

int cloud_print_document(struct cloud_cli *c, const struct cloud_document *name,
                         const struct sb_document *doc, struct sb_err *err)
{
    struct sb_buf out = {0};

    if (sb_cli_json(c->cli)) {
        sb_put_open(&out, NULL, '{');
        put_name(&out, name);
        sb_put_bool(&out, "exists", doc->exists);
        if (doc->exists)
            cloud_put_document(&out, name, doc);
        sb_put_close(&out, '}');
        cloud_cli_print_json(&out);
        sb_buf_free(&out);
    } else if (doc->exists) {
        if (!doc->deleted)
            printf("%.*s\n", (int)doc->data.len, doc->data.data);
        sb_cli_note(c->cli, "version %llu by %s at %s%s", (unsigned long long)doc->version,
                    doc->device, doc->updated_at, doc->deleted ? ", deleted" : "");
    }
    if (!doc->exists)
        return sb_fail(err, SB_ENOT_FOUND, "%s has no %s/%s in the cloud", name->user, name->table,
                       name->id);
    return 0;
}

/* ---- versions ---- */

struct history {
    struct cloud_cli *c;
    struct sb_table *table;
    struct sb_buf out; /* JSON */
    size_t count;
};

static bool list_version(void *ctx, const struct sb_version_entry *entry)
{
    struct history *h = ctx;

    h->count++;
    if (!sb_cli_json(h->c->cli)) {
        sb_table_u64(h->table, entry->version);
        sb_table_text(h->table, entry->updated_at);
        sb_table_text(h->table, entry->device);
        sb_table_text(h->table, entry->op_id);
        sb_table_text(h->table, entry->tag);
        sb_table_text(h->table, entry->deleted ? "deleted" : "");
        sb_table_u64(h->table, entry->size);
        return true;
    }
    sb_put_open(&h->out, NULL, '{');
    sb_put_u64(&h->out, "version", entry->version);
    sb_put_text(&h->out, "tag", entry->tag);
    sb_put_text(&h->out, "op_id", entry->op_id);
    sb_put_text(&h->out, "device", entry->device);
    sb_put_text(&h->out, "edge_id", entry->device);
    sb_put_text_or_null(&h->out, "hlc", entry->hlc);
    sb_put_text(&h->out, "updated_at", entry->updated_at);
    sb_put_bool(&h->out, "deleted", entry->deleted);
    sb_put_u64(&h->out, "size", entry->size);
    sb_put_close(&h->out, '}');
    return true;
}

int cloud_print_history(struct cloud_cli *c, const struct cloud_document *name, uint64_t limit,
                        struct sb_err *err)
{
    static const char *const heads[] = {">VERSION", "MADE AT", "DEVICE", "OP", "TAG", "", ">SIZE"};
    struct history h = {.c = c};
    char doc[STORE_DOC_MAX + 1];
    int rc;

    store_doc_print(name->table, name->id, doc);
    h.table = sb_table_new(heads, sizeof(heads) / sizeof(heads[0]));
    sb_put_open(&h.out, NULL, '{');
    put_name(&h.out, name);
    sb_put_open(&h.out, "versions", '[');
    rc = store_versions(c->store, name->user, doc, 0, limit, list_version, &h, err);
    sb_put_close(&h.out, ']');
    sb_put_close(&h.out, '}');
    if (rc == 0 && sb_cli_json(c->cli))
        cloud_cli_print_json(&h.out);
    else if (rc == 0)
        sb_table_print(h.table, sb_cli_colour(c->cli), stdout);
    if (rc == 0 && h.count == 0)
        rc = sb_fail(err, SB_ENOT_FOUND, "%s has no version of %s/%s in the cloud", name->user,
                     name->table, name->id);
    sb_table_free(h.table);
    sb_buf_free(&h.out);
    return rc;
}

int cloud_print_version(struct cloud_cli *c, const struct cloud_document *name, uint64_t version,
                        struct sb_err *err)
{
    struct sb_document found = {.exists = false};
    char doc[STORE_DOC_MAX + 1];
    int rc;

    store_doc_print(name->table, name->id, doc);
    rc = store_version_get(c->store, name->user, doc, version, &found, err);
    if (rc == 0 && !found.exists)
        rc = sb_fail(err, SB_ENOT_FOUND, "%s/%s of %s has no version %llu", name->table, name->id,
                     name->user, (unsigned long long)version);
    if (rc == 0)
        rc = cloud_print_document(c, name, &found, err);
    sb_document_free(&found);
    return rc;
}
