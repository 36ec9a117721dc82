#include "apply_documents.h"

#include <stdio.h>
#include <string.h>

#include "common/json_read.h"

/* What an operator decides: a version on the document in force, and what a losing edit would make
 * of it. Devices decide by ordinary operations (apply_documents.c). */

/* NULL with SB_EUNKNOWN_TABLE. */
static const struct table *find_table(const struct apply *a, const char *name, struct sb_err *err)
{
    const struct table *table = tables_get(a->tables, name);

    if (table == NULL)
        sb_fail(err, SB_EUNKNOWN_TABLE, "no table %.64s is declared here", name);
    return table;
}

static int read_in_force(struct apply *a, const char *user, const char *doc, struct sb_err *err)
{
    int rc = store_document_row(a->store, user, doc, &apply_work(a)->row, err);

    if (rc == 0 && document_encrypted(document_text(&apply_work(a)->row)))
        rc = sb_fail(err, SB_EBAD_VALUE, "the document is encrypted: only devices can write it");
    return rc;
}

static int check_document(const struct apply *a, struct sb_span document, bool exists,
                          struct sb_err *err)
{
    uint64_t most = a->config->limits.max_record_bytes;

    if (document.len == 0 && !exists)
        return sb_fail(err, SB_ENOT_FOUND, "there is no such document to be deleted");
    if (document.len > most)
        return sb_fail(err, SB_ETOO_LARGE, "%zu bytes, at most %llu are taken", document.len,
                       (unsigned long long)most);
    if (document.len > 0 && sb_json_type_of(document) != SB_JSON_OBJECT)
        return sb_fail(err, SB_EBAD_TYPE, "data: not an object");
    if (document.len > SB_DOCUMENT_MAX_NODES) /* else it cannot have more values than may be sent */
        return sb_json_check(document, &sb_document_limits, NULL, err);
    return 0;
}

/* Above the document's stamps, and not behind the clock (milliseconds, then a counter). */
static uint64_t clock_after(const struct apply *a, const struct sb_document *document)
{
    uint64_t now = a->now_ms > 0 ? (uint64_t)a->now_ms << 16 : 0;
    uint64_t top = document->exists ? sb_hex16_value(document->hlc) : 0;

    return now > top ? now : top + 1;
}

static int write_version(struct apply *a, const struct operator_write *write,
                         const struct table *table, const char *doc, uint64_t *version,
                         struct sb_err *err)
{
    const struct sb_document *document = &apply_work(a)->row.document;
    struct sb_stream stream = {.class = SB_UP_RECORDS};
    char name[SB_STREAM_MAX + 1], base[sizeof("{\"tag\":\"\"}") + SB_TAG_LEN] = "";
    struct version_draft draft = {
        .name = {.user = write->user, .table = table->name, .id = write->id, .doc = doc},
        .table = table,
        .op = {.device = write->by, .stream = name, .op_id = sb_span_of(write->op_id)},
        .hlc = clock_after(a, document),
        .base = document_text(&apply_work(a)->row),
        .submitted = write->document,
        .result = write->document,
    };
    struct op_row op = {.outcome = OP_APPLIED};
    int rc;

    if (strcmp(table->name, SB_TABLE_SETTINGS) == 0)
        stream.class = SB_UP_SETTINGS;
    snprintf(stream.name, sizeof(stream.name), "%s", write->user);
    sb_stream_print(&stream, name);
    if (document->exists)
        snprintf(base, sizeof(base), "{\"tag\":\"%s\"}", document->tag);
    draft.base_text = sb_span_of(base);
    rc = document_make_version(a, &draft, version, err);
    op.version = *version;
    return rc == 0 ? store_op_put(a->store, &draft.op, &op, a->now_ms, err) : rc;
}

int apply_operator_write(struct apply *a, const struct operator_write *write, uint64_t *version,
                         struct sb_err *err)
{
    char doc[STORE_DOC_MAX + 1];
    const struct table *table = find_table(a, write->table, err);
    int rc;

    *version = 0;
    if (table == NULL)
        return -(int)SB_EUNKNOWN_TABLE;
    store_doc_print(table->name, write->id, doc);
    rc = read_in_force(a, write->user, doc, err);
    if (rc == 0)
        rc = check_document(a, write->document, document_text(&apply_work(a)->row).len > 0, err);
    return rc == 0 ? write_version(a, write, table, doc, version, err) : rc;
}

/* ---- a losing edit ---- */

int apply_base_document(struct apply *a, const struct losing_edit *edit, bool *known,
                        struct sb_buf *text, struct sb_err *err)
{
    const struct sb_json_field field = {.key = "base", .value = edit->base};
    char doc[STORE_DOC_MAX + 1];
    const struct doc_name name = {
        .user = edit->user, .table = edit->table, .id = edit->id, .doc = doc};
    struct base base;
    int rc = operation_base(&field, &base, err);

    store_doc_print(edit->table, edit->id, doc);
    return rc == 0 ? document_base(a, &edit->op, &name, &base, known, text, err) : rc;
}

static int base_of_edit(struct apply *a, const struct losing_edit *edit, struct sb_err *err)
{
    struct apply_work *w = apply_work(a);
    bool known;
    int rc = apply_base_document(a, edit, &known, &w->base, err);

    if (rc == 0 && !known)
        rc = sb_fail(err, SB_EBASE_UNKNOWN, "the document that the edit was made on is not known");
    if (rc == 0 &&
        (document_encrypted(sb_buf_span(&w->base)) || document_encrypted(edit->submitted)))
        rc = sb_fail(err, SB_EBAD_VALUE, "the edit is encrypted: only devices can set it again");
    return rc;
}

int apply_set_again(struct apply *a, const struct losing_edit *edit, struct sb_buf *result,
                    bool *same, struct sb_err *err)
{
    struct apply_work *w = apply_work(a);
    char doc[STORE_DOC_MAX + 1];
    const struct table *table = find_table(a, edit->table, err);
    struct sb_span in_force, after;
    int rc;

    *same = false;
    sb_buf_clear(result);
    if (table == NULL)
        return -(int)SB_EUNKNOWN_TABLE;
    store_doc_print(edit->table, edit->id, doc);
    rc = read_in_force(a, edit->user, doc, err);
    if (rc == 0)
        rc = base_of_edit(a, edit, err);
    if (rc != 0)
        return rc;
    in_force = document_text(&w->row);
    sb_doc_reapply(sb_buf_span(&w->base), edit->submitted, in_force, &table->keys, result);
    after = sb_buf_span(result);
    *same = after.len == 0 || in_force.len == 0 ? after.len == in_force.len
                                                : sb_json_equal(after, in_force);
    return 0;
}
