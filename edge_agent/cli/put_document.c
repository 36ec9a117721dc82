#include "edge_agent/cli/put_document.h"

#include <string.h>

#include "common/json_read.h"

void put_document_fini(struct put_document *document)
{
    record_names_free(document->names);
    sb_buf_free(&document->renamed);
}

static int add_document(struct put *put, struct sb_span record, struct sb_span id,
                        struct enqueue_receipt *receipt, struct sb_err *err)
{
    struct put_document *r = put->own;
    struct sb_span object = {"", 0};
    int rc = 0;

    if (r->operation != DOCUMENT_DELETE) {
        rc = sb_json_check(record, &sb_document_limits, &object, err);
        if (rc == 0 && sb_json_type_of(object) != SB_JSON_OBJECT)
            rc = sb_fail(err, SB_EBAD_TYPE, "not a JSON object");
        sb_buf_clear(&r->renamed);
        if (rc == 0)
            rc = record_names_to_cloud(r->names, object, &r->renamed, err);
    }
    if (rc != 0)
        return rc;
    return enqueue_document(put->outbox.eq, &r->name, r->operation, sb_buf_span(&r->renamed), id,
                            sb_clock_now(), &put->outbox.rng, receipt, err);
}

static void request_document(struct put *put, struct sb_span record, struct sb_span id)
{
    const struct put_document *r = put->own;

    sb_put_text(&put->request, "verb", "document.put");
    sb_put_text(&put->request, "user", r->name.user);
    sb_put_text(&put->request, "table", r->name.table);
    sb_put_text(&put->request, "id", r->name.id);
    sb_put_text(&put->request, "names", r->cloud_names ? "cloud" : "local");
    if (r->operation == DOCUMENT_DELETE)
        sb_put_text(&put->request, "operation", "delete");
    if (id.len > 0)
        sb_put_span(&put->request, "op_id", id);
    if (record.len > 0)
        sb_put_raw(&put->request, "data", record);
}

/* The document's name is its member "id". */
int put_document_by_member(struct put_document *r, struct sb_span text, struct sb_span *record,
                           struct sb_err *err)
{
    struct sb_json_field field = {.key = "id"};
    char id[SB_ID_MAX + 1];
    int rc = sb_json_check(text, &sb_document_limits, record, err);

    if (rc == 0 && sb_json_type_of(*record) != SB_JSON_OBJECT)
        rc = sb_fail(err, SB_EBAD_TYPE, "not a JSON object");
    if (rc != 0)
        return rc;
    sb_json_pick(*record, &field, 1);
    rc = sb_field_document_id(&field, id, err);
    return rc == 0 ? document_name_make(&r->name, r->user, r->table, id, err) : rc;
}

static int split_line(struct put *put, struct sb_span line, struct sb_span *record,
                      struct sb_buf *id, struct sb_err *err)
{
    (void)id; /* of the operation: one is made for each */
    return put_document_by_member(put->own, line, record, err);
}

const struct put_kind put_document_kind = {split_line, add_document, request_document};
