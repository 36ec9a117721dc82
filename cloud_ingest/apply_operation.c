#include "apply_documents.h"

#include <string.h>

#include "common/fernet.h"
#include "common/json_read.h"
#include "content.h"
#include "limits.h"
#include "text.h"

/* Reading one operation of an ordered stream: who is named, what it is based on, what it submits.
 * Nothing here asks the database. */

int operation_base(const struct sb_json_field *field, struct base *base, struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "op_id"}, {.key = "tag"}};
    int rc;

    *base = (struct base){.kind = BASE_NONE};
    if (!sb_field_given(field))
        return 0;
    base->text = field->value;
    rc = sb_field_type(field, SB_JSON_OBJECT, err);
    if (rc != 0)
        return rc;
    if (field->value.len > LIMIT_BASE_TEXT)
        return sb_fail(err, SB_ETOO_LARGE, "base: %zu bytes, at most %d are taken",
                       field->value.len, LIMIT_BASE_TEXT);
    sb_json_pick(field->value, f, 2);
    if (sb_field_given(&f[0]) == sb_field_given(&f[1]))
        return sb_fail(err, SB_EBAD_VALUE, "base: neither an op_id nor a tag alone");
    base->kind = sb_field_given(&f[0]) ? BASE_OP : BASE_TAG;
    if (base->kind == BASE_TAG)
        return sb_field_hex16(&f[1], base->id, err);
    return sb_field_text(&f[0], base->id, sizeof(base->id), err);
}

/* ---- the document ---- */

/* A string holds a token, whose characters need no escapes. */
static int check_token(const struct sb_json_field *field, struct sb_err *err)
{
    struct sb_span token = {field->value.data + 1, field->value.len - 2};

    if (sb_fernet_looks_like(token))
        return 0;
    return sb_fail(err, SB_EBAD_VALUE, "%s: a string that is no Fernet token", field->key);
}

/* An object, or the token of an encrypted one. */
static int read_document(const struct apply *a, const struct sb_json_field *field,
                         struct sb_span *out, struct sb_err *err)
{
    uint64_t most = a->config->limits.max_record_bytes;

    if (!sb_field_given(field))
        return sb_fail(err, SB_EMISSING_FIELD, "%s: missing", field->key);
    if (field->value.len > most)
        return sb_fail(err, SB_ETOO_LARGE, "%s: %zu bytes, at most %llu are taken", field->key,
                       field->value.len, (unsigned long long)most);
    *out = field->value;
    if (sb_json_type_of(field->value) == SB_JSON_STRING)
        return check_token(field, err);
    return sb_field_type(field, SB_JSON_OBJECT, err);
}

static int read_settings(struct apply *a, struct operation *op, const struct sb_json_field *data,
                         struct sb_err *err)
{
    op->table = tables_get(a->tables, SB_TABLE_SETTINGS);
    memcpy(op->id, SB_TABLE_SETTINGS, sizeof(SB_TABLE_SETTINGS));
    return read_document(a, data, &op->submitted, err);
}

/* ---- records ---- */

static int read_place(struct apply *a, struct operation *op, const struct sb_json_field *table,
                      const struct sb_json_field *id, char unknown[SB_NAME_MAX + 1],
                      struct sb_err *err)
{
    char name[SB_NAME_MAX + 1];
    struct sb_err why;
    int rc = sb_field_text(table, name, sizeof(name), &why);

    if (rc == -(int)SB_ETOO_LARGE ||
        (rc == 0 && (!sb_table_valid(sb_span_of(name)) || strcmp(name, SB_TABLE_SETTINGS) == 0)))
        return sb_fail(err, SB_EBAD_ID, "table: not [a-z][a-z0-9_]{0,63}, or settings");
    if (rc != 0)
        return sb_fail(err, why.code, "%s", why.msg);
    rc = sb_field_text(id, op->id, sizeof(op->id), &why);
    if (rc == -(int)SB_ETOO_LARGE || (rc == 0 && !sb_document_id_valid(sb_span_of(op->id))))
        return sb_fail(err, SB_EBAD_ID, "id: not 1 to %d bytes without control characters",
                       SB_ID_MAX);
    if (rc != 0)
        return sb_fail(err, why.code, "%s", why.msg);
    op->table = tables_get(a->tables, name);
    if (op->table == NULL)
        memcpy(unknown, name, sizeof(name));
    return 0;
}

/* What the author calls it decides nothing: what decides is the base. */
static int read_kind(const struct sb_json_field *field, bool *deletes, struct sb_err *err)
{
    char kind[16];
    int rc = sb_field_text(field, kind, sizeof(kind), err);

    if (rc == -(int)SB_EMISSING_FIELD || rc == -(int)SB_EBAD_TYPE)
        return rc;
    *deletes = rc == 0 && strcmp(kind, "delete") == 0;
    if (*deletes || (rc == 0 && (strcmp(kind, "add") == 0 || strcmp(kind, "update") == 0)))
        return 0;
    return sb_fail(err, SB_EBAD_VALUE, "operation: not add, update or delete");
}

static int read_record(struct apply *a, struct operation *op, const struct sb_json_field *place,
                       const struct sb_json_field *data, char unknown[SB_NAME_MAX + 1],
                       struct sb_err *err)
{
    bool deletes = false;
    int rc = read_place(a, op, &place[0], &place[1], unknown, err);

    if (rc == 0)
        rc = read_kind(&place[2], &deletes, err);
    if (rc == 0 && deletes && sb_field_given(data))
        return sb_fail(err, SB_EBAD_VALUE, "data: a delete has none");
    return rc == 0 && !deletes ? read_document(a, data, &op->submitted, err) : rc;
}

/* ---- the whole ---- */

static int read_fields(struct apply *a, struct operation *op, char unknown[SB_NAME_MAX + 1],
                       struct sb_err *err)
{
    enum { OP_ID, HLC, BASE, SETTINGS, TABLE, ID, OPERATION, DATA, COUNT };
    struct sb_json_field f[COUNT] = {
        [OP_ID] = {.key = "op_id"},         [HLC] = {.key = "hlc"},     [BASE] = {.key = "base"},
        [SETTINGS] = {.key = "settings"},   [TABLE] = {.key = "table"}, [ID] = {.key = "id"},
        [OPERATION] = {.key = "operation"}, [DATA] = {.key = "data"},
    };
    int rc;

    sb_json_pick(op->record, f, COUNT);
    rc = sb_field_text(&f[OP_ID], op->op_id, sizeof(op->op_id), err);
    if (rc == 0 && op->op_id[0] == '\0')
        rc = sb_fail(err, SB_EBAD_VALUE, "op_id: empty");
    if (rc != 0) {
        op->op_id[0] = '\0';
        return rc;
    }
    rc = apply_hlc(a, &f[HLC], &op->hlc, err);
    if (rc == 0)
        rc = operation_base(&f[BASE], &op->base, err);
    if (rc != 0)
        return rc;
    if (a->batch->stream.class == SB_UP_SETTINGS)
        return read_settings(a, op, &f[SETTINGS], err);
    return read_record(a, op, &f[TABLE], &f[DATA], unknown, err);
}

/* A record without an op_id is known by its content, so that a repeat gets the same answer. */
static void name_by_content(struct operation *op)
{
    struct sb_buf text = {0};

    content_print(op->record, &text);
    op->op_id[0] = '\1';
    sb_hex16_of(sb_hash64(sb_buf_span(&text)), op->op_id + 1);
    sb_buf_free(&text);
}

bool operation_read(struct apply *a, size_t i, struct operation *op, char unknown[SB_NAME_MAX + 1])
{
    const struct sb_record *record = &a->batch->records[i];
    struct sb_err err;
    int rc;

    *op = (struct operation){.record = record->text, .why = {.code = SB_OK}};
    unknown[0] = '\0';
    if (record->type != SB_JSON_OBJECT)
        rc = sb_fail(&err, SB_EBAD_TYPE, "record: not an object");
    else
        rc = read_fields(a, op, unknown, &err);
    if (rc != 0) {
        op->why.code = err.code;
        text_cut(op->why.reason, sizeof(op->why.reason), err.msg);
    }
    if (op->op_id[0] == '\0')
        name_by_content(op);
    if (op->table != NULL)
        store_doc_print(op->table->name, op->id, op->doc);
    op->key = (struct op_key){
        .device = a->batch->device,
        .stream = a->reply->stream,
        .op_id = sb_span_of(op->op_id),
    };
    return op->why.code != SB_OK || unknown[0] == '\0';
}
