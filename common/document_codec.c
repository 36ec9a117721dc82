#include "document_codec.h"

#include <string.h>

#include "clock.h"
#include "request.h"

static void add_key(struct sb_buf *out, const char *key)
{
    sb_buf_add_str(out, ",\"");
    sb_buf_add_str(out, key);
    sb_buf_add_str(out, "\":");
}

void sb_add_text(struct sb_buf *out, const char *key, const char *text)
{
    add_key(out, key);
    if (text[0] == '\0') {
        sb_buf_add_str(out, "null");
        return;
    }
    sb_buf_add_char(out, '"');
    sb_buf_add_str(out, text);
    sb_buf_add_char(out, '"');
}

void sb_add_escaped(struct sb_buf *out, const char *key, const char *text)
{
    struct sb_span span = sb_span_of(text);

    sb_utf8_valid(span, &span.len);
    add_key(out, key);
    sb_buf_add_json(out, span);
}

void sb_add_u64(struct sb_buf *out, const char *key, uint64_t value)
{
    add_key(out, key);
    sb_buf_add_u64(out, value);
}

void sb_document_free(struct sb_document *doc)
{
    sb_buf_free(&doc->data);
    sb_buf_free(&doc->stamps);
    *doc = (struct sb_document){0};
}

static const char fetch_member[] = ",\"fetch\":true";
static const char data_key[] = ",\"data\":";

void sb_document_add_members(const struct sb_document *doc, bool without_data, struct sb_buf *out)
{
    sb_buf_add_str(out, "\"version\":");
    sb_buf_add_u64(out, doc->version);
    sb_add_text(out, "tag", doc->tag);
    sb_add_escaped(out, "op_id", doc->op_id);
    sb_add_text(out, "device", doc->device);
    sb_add_text(out, "hlc", doc->hlc);
    sb_add_text(out, "updated_at", doc->updated_at);
    if (doc->deleted) {
        sb_buf_add_str(out, ",\"deleted\":true");
    } else if (doc->fetch || without_data) {
        sb_buf_add_str(out, fetch_member);
    } else {
        sb_buf_add_str(out, data_key);
        sb_buf_add_span(out, sb_buf_span(&doc->data));
    }
}

size_t sb_document_saving(const struct sb_document *doc)
{
    size_t now = strlen(data_key) + doc->data.len, then = strlen(fetch_member);

    return !doc->exists || doc->deleted || doc->fetch || now <= then ? 0 : now - then;
}

static int read_body(const struct sb_json_field *deleted, const struct sb_json_field *fetch,
                     const struct sb_json_field *data, struct sb_document *doc, struct sb_err *err)
{
    int rc = 0;

    if (sb_field_given(deleted))
        rc = sb_field_bool(deleted, &doc->deleted, err);
    if (rc == 0 && sb_field_given(fetch))
        rc = sb_field_bool(fetch, &doc->fetch, err);
    if (rc < 0 || doc->deleted || doc->fetch)
        return rc;
    if (data->value.len == 0)
        return sb_fail(err, SB_EMISSING_FIELD, "data: missing (or deleted, or fetch)");
    sb_buf_add_span(&doc->data, data->value);
    return 0;
}

int sb_document_read(struct sb_span object, struct sb_document *doc, struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "version"}, {.key = "tag"},   {.key = "op_id"},
                                {.key = "device"},  {.key = "hlc"},   {.key = "updated_at"},
                                {.key = "deleted"}, {.key = "fetch"}, {.key = "data"}};
    int rc;

    sb_json_pick(object, f, sizeof(f) / sizeof(f[0]));
    doc->exists = true;
    rc = sb_field_u64(&f[0], 1, SB_SEQ_MAX, &doc->version, err);
    if (rc == 0)
        rc = sb_field_hex16(&f[1], doc->tag, err);
    if (rc == 0 && sb_field_given(&f[2]))
        rc = sb_field_text(&f[2], doc->op_id, sizeof(doc->op_id), err);
    if (rc == 0 && sb_field_given(&f[3]))
        rc = sb_field_name(&f[3], doc->device, err);
    if (rc == 0 && sb_field_given(&f[4]))
        rc = sb_field_hex16(&f[4], doc->hlc, err);
    if (rc == 0 && sb_field_given(&f[5]))
        rc = sb_field_time_text(&f[5], doc->updated_at, sizeof(doc->updated_at), err);
    if (rc == 0)
        rc = read_body(&f[6], &f[7], &f[8], doc, err);
    if (rc < 0)
        sb_document_free(doc);
    return rc;
}

void sb_document_encode(const struct sb_document *doc, const char *id, uint64_t as_of,
                        struct sb_buf *out)
{
    sb_buf_add_str(out, "{\"id\":");
    sb_buf_add_json(out, sb_span_of(id));
    sb_buf_add_str(out, doc->exists ? ",\"exists\":true" : ",\"exists\":false");
    sb_add_u64(out, "as_of", as_of);
    if (doc->exists) {
        sb_buf_add_char(out, ',');
        sb_document_add_members(doc, false, out);
    }
    sb_buf_add_char(out, '}');
}

int sb_document_decode(struct sb_span object, struct sb_document *doc, char id[SB_ID_MAX + 1],
                       uint64_t *as_of, struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "id"}, {.key = "exists"}, {.key = "as_of"}};
    struct sb_span value;
    bool exists = false;
    int rc = sb_json_check(object, &sb_wire_limits, &value, err);

    *doc = (struct sb_document){0};
    if (rc == 0 && sb_json_type_of(value) != SB_JSON_OBJECT)
        rc = sb_fail(err, SB_EBAD_TYPE, "document: not an object");
    if (rc < 0)
        return rc;
    sb_json_pick(value, f, sizeof(f) / sizeof(f[0]));
    rc = sb_field_text(&f[0], id, SB_ID_MAX + 1, err);
    if (rc == 0)
        rc = sb_field_bool(&f[1], &exists, err);
    if (rc == 0)
        rc = sb_field_u64(&f[2], 0, SB_SEQ_MAX, as_of, err);
    return rc < 0 || !exists ? rc : sb_document_read(value, doc, err);
}
