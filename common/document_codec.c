#include "document_codec.h"

#include <string.h>

#include "clock.h"
#include "json_text.h"
#include "request.h"
#include "stamps.h"

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
static const char stamps_key[] = ",\"stamps\":";

void sb_document_add_members(const struct sb_document *doc, bool without_data, struct sb_buf *out)
{
    sb_buf_add_str(out, "\"version\":");
    sb_buf_add_u64(out, doc->version);
    sb_add_text(out, "tag", doc->tag);
    sb_add_escaped(out, "op_id", doc->op_id);
    sb_add_text(out, "device", doc->device);
    sb_add_text(out, "hlc", doc->hlc);
    sb_add_text(out, "updated_at", doc->updated_at);
    if (!doc->deleted && (doc->fetch || without_data)) {
        sb_buf_add_str(out, fetch_member);
        return;
    }
    if (doc->stamps.len > 0) {
        sb_buf_add_str(out, stamps_key);
        sb_buf_add_span(out, sb_buf_span(&doc->stamps));
    }
    if (doc->deleted) {
        sb_buf_add_str(out, ",\"deleted\":true");
        return;
    }
    sb_buf_add_str(out, data_key);
    sb_buf_add_span(out, sb_buf_span(&doc->data));
}

size_t sb_document_saving(const struct sb_document *doc)
{
    size_t now = strlen(data_key) + doc->data.len, then = strlen(fetch_member);

    if (doc->stamps.len > 0)
        now += strlen(stamps_key) + doc->stamps.len;
    return !doc->exists || doc->deleted || doc->fetch || now <= then ? 0 : now - then;
}

void sb_add_pointer_list(struct sb_span pointers, struct sb_buf *out)
{
    if (pointers.len > SB_POINTERS_MAX_BYTES)
        sb_buf_add_str(out, "[\"\"]");
    else
        sb_buf_add_span(out, pointers.len > 0 ? pointers : SB_SPAN("[]"));
}

int sb_read_pointer_list(const struct sb_json_field *field, struct sb_buf *out, struct sb_err *err)
{
    struct sb_json_iter iter;
    struct sb_span value;
    int rc = sb_field_type(field, SB_JSON_ARRAY, err);

    if (rc < 0)
        return rc;
    sb_json_iter_init(&iter, field->value);
    while (sb_json_next_element(&iter, &value))
        if (sb_json_type_of(value) != SB_JSON_STRING)
            return sb_fail(err, SB_EBAD_TYPE, "%s: not an array of strings", field->key);
    sb_buf_add_span(out, field->value);
    return 0;
}

int sb_read_arrays(const struct sb_json_field *field, struct sb_buf *out, struct sb_err *err)
{
    struct sb_json_iter iter;
    struct sb_span key, value;
    size_t count = 0;
    int rc;

    if (!sb_field_given(field))
        return 0;
    rc = sb_field_type(field, SB_JSON_OBJECT, err);
    if (rc < 0)
        return rc;
    if (field->value.len > SB_ARRAYS_MAX_BYTES)
        return sb_fail(err, SB_ETOO_LARGE, "arrays: longer than %d bytes", SB_ARRAYS_MAX_BYTES);
    sb_json_iter_init(&iter, field->value);
    while (sb_json_next_member(&iter, &key, &value)) {
        if (sb_json_type_of(value) != SB_JSON_STRING)
            return sb_fail(err, SB_EBAD_TYPE, "arrays: a member's name is not a string");
        if (++count > SB_ARRAYS_MAX)
            return sb_fail(err, SB_EBAD_VALUE, "arrays: more than %d", SB_ARRAYS_MAX);
    }
    sb_buf_add_span(out, field->value);
    return 0;
}

int sb_read_policy(const struct sb_json_field *field, enum sb_policy *policy, struct sb_err *err)
{
    char name[SB_NAME_MAX + 1];
    int rc;

    if (!sb_field_given(field))
        return 0;
    rc = sb_field_text(field, name, sizeof(name), err);
    if (rc == 0)
        sb_policy_parse(sb_span_of(name), policy);
    return rc;
}

void sb_add_policy(struct sb_buf *out, enum sb_policy policy, struct sb_span arrays)
{
    if (policy != SB_POLICY_NONE)
        sb_add_text(out, "policy", sb_policy_name(policy));
    if (arrays.len > 0) {
        add_key(out, "arrays");
        sb_buf_add_span(out, arrays);
    }
}

/* ["<hlc16>","<device>"] */
static bool is_stamp(struct sb_span value)
{
    char hlc[SB_EPOCH_LEN + 1], device[SB_NAME_MAX + 1];
    struct sb_span first, second;
    struct sb_json_iter iter;

    if (sb_json_type_of(value) != SB_JSON_ARRAY || sb_json_count(value) != 2)
        return false;
    sb_json_iter_init(&iter, value);
    sb_json_next_element(&iter, &first);
    sb_json_next_element(&iter, &second);
    return sb_json_type_of(first) == SB_JSON_STRING && sb_json_type_of(second) == SB_JSON_STRING &&
           sb_json_copy(first, hlc, sizeof(hlc)) && sb_hex16_valid(sb_span_of(hlc)) &&
           sb_json_copy(second, device, sizeof(device)) && sb_name_valid(sb_span_of(device));
}

static int read_stamps(const struct sb_json_field *field, struct sb_buf *out, struct sb_err *err)
{
    struct sb_json_iter iter;
    struct sb_span key, value;
    size_t count = 0;
    int rc;

    if (!sb_field_given(field))
        return 0;
    rc = sb_field_type(field, SB_JSON_OBJECT, err);
    if (rc < 0)
        return rc;
    sb_json_iter_init(&iter, field->value);
    while (sb_json_next_member(&iter, &key, &value)) {
        if (!is_stamp(value))
            return sb_fail(err, SB_EBAD_VALUE, "stamps: not a pair of hlc and device");
        if (++count > SB_STAMPS_MAX)
            return sb_fail(err, SB_EBAD_VALUE, "stamps: more than %d", SB_STAMPS_MAX);
    }
    sb_buf_add_span(out, field->value);
    return 0;
}

/* An object, or a string where it is encrypted. */
static int read_data(const struct sb_json_field *data, struct sb_buf *out, struct sb_err *err)
{
    enum sb_json_type type;

    if (data->value.len == 0)
        return sb_fail(err, SB_EMISSING_FIELD, "data: missing (or deleted, or fetch)");
    type = sb_json_type_of(data->value);
    if (type != SB_JSON_OBJECT && type != SB_JSON_STRING)
        return sb_fail(err, SB_EBAD_TYPE, "data: neither an object nor a token");
    sb_buf_add_span(out, data->value);
    return 0;
}

static int read_body(const struct sb_json_field f[4], struct sb_document *doc, struct sb_err *err)
{
    int rc = 0;

    if (sb_field_given(&f[0]))
        rc = sb_field_bool(&f[0], &doc->deleted, err);
    if (rc == 0 && sb_field_given(&f[1]))
        rc = sb_field_bool(&f[1], &doc->fetch, err);
    if (rc < 0 || (doc->fetch && !doc->deleted))
        return rc;
    if (!doc->deleted)
        rc = read_data(&f[2], &doc->data, err);
    return rc < 0 ? rc : read_stamps(&f[3], &doc->stamps, err);
}

int sb_document_read(struct sb_span object, struct sb_document *doc, struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "version"}, {.key = "tag"},   {.key = "op_id"},
                                {.key = "device"},  {.key = "hlc"},   {.key = "updated_at"},
                                {.key = "deleted"}, {.key = "fetch"}, {.key = "data"},
                                {.key = "stamps"}};
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
        rc = read_body(&f[6], doc, err);
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
    int rc = sb_json_check_object(object, &sb_down_limits, &value, err);

    *doc = (struct sb_document){0};
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
