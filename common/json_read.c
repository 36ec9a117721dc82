#include "json_read.h"

#include <string.h>

#include "clock.h"
#include "envelope.h"
#include "ids.h"
#include "json_text.h"

const struct sb_json_limits sb_wire_limits = {SB_PAYLOAD_MAX_BYTES, SB_JSON_MAX_DEPTH,
                                              SB_JSON_MAX_NODES};
const struct sb_json_limits sb_document_limits = {SB_RECORD_MAX_BYTES, SB_DOCUMENT_MAX_DEPTH,
                                                  SB_DOCUMENT_MAX_NODES};
const struct sb_json_limits sb_down_limits = {SB_PAYLOAD_MAX_BYTES, SB_JSON_MAX_DEPTH + 8,
                                              SB_PAYLOAD_MAX_BYTES / 2};

int sb_json_check_object(struct sb_span text, const struct sb_json_limits *limits,
                         struct sb_span *object, struct sb_err *err)
{
    int rc = sb_json_check(text, limits, object, err);

    if (rc == 0 && sb_json_type_of(*object) != SB_JSON_OBJECT)
        rc = sb_fail(err, SB_EBAD_TYPE, "not an object");
    return rc;
}

void sb_json_pick(struct sb_span object, struct sb_json_field *fields, size_t count)
{
    struct sb_json_iter iter;
    struct sb_span key, value;
    char text[64];

    for (size_t i = 0; i < count; i++)
        fields[i].value = (struct sb_span){NULL, 0};
    sb_json_iter_init(&iter, object);
    while (sb_json_next_member(&iter, &key, &value)) {
        if (!sb_json_copy(key, text, sizeof(text)))
            continue;
        for (size_t i = 0; i < count; i++)
            if (strcmp(fields[i].key, text) == 0)
                fields[i].value = value;
    }
}

bool sb_field_given(const struct sb_json_field *field)
{
    return field->value.len > 0 && sb_json_type_of(field->value) != SB_JSON_NULL;
}

static int missing(const struct sb_json_field *field, struct sb_err *err)
{
    return sb_fail(err, SB_EMISSING_FIELD, "%s: missing", field->key);
}

int sb_field_type(const struct sb_json_field *field, enum sb_json_type type, struct sb_err *err)
{
    static const char *const names[] = {
        [SB_JSON_NULL] = "null",        [SB_JSON_FALSE] = "false",     [SB_JSON_TRUE] = "true",
        [SB_JSON_NUMBER] = "a number",  [SB_JSON_STRING] = "a string", [SB_JSON_ARRAY] = "an array",
        [SB_JSON_OBJECT] = "an object",
    };

    if (field->value.len == 0)
        return missing(field, err);
    if (sb_json_type_of(field->value) != type)
        return sb_fail(err, SB_EBAD_TYPE, "%s: not %s", field->key, names[type]);
    return 0;
}

int sb_field_u64(const struct sb_json_field *field, uint64_t min, uint64_t max, uint64_t *out,
                 struct sb_err *err)
{
    int rc = sb_field_type(field, SB_JSON_NUMBER, err);

    if (rc < 0)
        return rc;
    if (!sb_json_u64(field->value, out) || *out < min || *out > max)
        return sb_fail(err, SB_EBAD_VALUE, "%s: not a whole number from %llu to %llu", field->key,
                       (unsigned long long)min, (unsigned long long)max);
    return 0;
}

int sb_field_bool(const struct sb_json_field *field, bool *out, struct sb_err *err)
{
    enum sb_json_type type;

    if (field->value.len == 0)
        return missing(field, err);
    type = sb_json_type_of(field->value);
    if (type != SB_JSON_TRUE && type != SB_JSON_FALSE)
        return sb_fail(err, SB_EBAD_TYPE, "%s: not true or false", field->key);
    *out = type == SB_JSON_TRUE;
    return 0;
}

int sb_field_text(const struct sb_json_field *field, char *out, size_t size, struct sb_err *err)
{
    int rc = sb_field_type(field, SB_JSON_STRING, err);

    if (rc < 0)
        return rc;
    if (!sb_json_copy(field->value, out, size))
        return sb_fail(err, SB_ETOO_LARGE, "%s: longer than %zu bytes", field->key, size - 1);
    return 0;
}

static int time_field(const struct sb_json_field *field, char *text, size_t size, int64_t *wall_us,
                      struct sb_err *err)
{
    int rc = sb_field_text(field, text, size, err);

    if (rc == 0 && !sb_time_parse(sb_span_of(text), wall_us))
        rc = sb_fail(err, SB_EBAD_VALUE, "%s: not an RFC 3339 time", field->key);
    return rc;
}

int sb_field_time(const struct sb_json_field *field, int64_t *wall_us, struct sb_err *err)
{
    char text[SB_TIME_TEXT * 2];

    return time_field(field, text, sizeof(text), wall_us, err);
}

int sb_field_time_text(const struct sb_json_field *field, char *out, size_t size,
                       struct sb_err *err)
{
    int64_t unused;

    return time_field(field, out, size, &unused, err);
}

/* Copies the string when it passes; bad_id otherwise, also when it is too long to be one. */
static int id_field(const struct sb_json_field *field, char *out, size_t size,
                    bool (*valid)(struct sb_span), const char *what, struct sb_err *err)
{
    int rc = sb_field_type(field, SB_JSON_STRING, err);

    if (rc < 0)
        return rc;
    if (!sb_json_copy(field->value, out, size) || !valid(sb_span_of(out))) {
        out[0] = '\0';
        return sb_fail(err, SB_EBAD_ID, "%s: not %s", field->key, what);
    }
    return 0;
}

int sb_field_uuid(const struct sb_json_field *field, char out[37], struct sb_err *err)
{
    return id_field(field, out, SB_UUID_LEN + 1, sb_uuid_valid, "a UUID in lower case", err);
}

int sb_field_token(const struct sb_json_field *field, char out[37], struct sb_err *err)
{
    return id_field(field, out, SB_UUID_LEN + 1, sb_name_valid, "1 to 36 of [A-Za-z0-9_-]", err);
}

int sb_field_hex16(const struct sb_json_field *field, char out[17], struct sb_err *err)
{
    return id_field(field, out, SB_EPOCH_LEN + 1, sb_hex16_valid, "16 hex digits in lower case",
                    err);
}

int sb_field_name(const struct sb_json_field *field, char out[65], struct sb_err *err)
{
    return id_field(field, out, SB_NAME_MAX + 1, sb_name_valid, "[A-Za-z0-9_-]{1,64}", err);
}

int sb_field_table(const struct sb_json_field *field, char out[65], struct sb_err *err)
{
    return id_field(field, out, SB_NAME_MAX + 1, sb_table_valid, "[a-z][a-z0-9_]{0,63}", err);
}

int sb_field_document_id(const struct sb_json_field *field, char out[129], struct sb_err *err)
{
    return id_field(field, out, SB_ID_MAX + 1, sb_document_id_valid,
                    "1 to 128 bytes without control characters", err);
}

static bool not_empty(struct sb_span text)
{
    return text.len > 0;
}

int sb_field_op_id(const struct sb_json_field *field, char out[129], struct sb_err *err)
{
    return id_field(field, out, SB_ID_MAX + 1, not_empty, "1 to 128 bytes", err);
}

int sb_field_version(const struct sb_json_field *field, struct sb_err *err)
{
    uint64_t version;

    if (field->value.len == 0)
        return missing(field, err);
    if (!sb_json_u64(field->value, &version) || version != 1)
        return sb_fail(err, SB_EBAD_VERSION, "v: not 1, the version this program speaks");
    return 0;
}

int sb_field_kind(const struct sb_json_field *field, const char *kind, struct sb_err *err)
{
    if (field->value.len == 0)
        return missing(field, err);
    if (!sb_json_string_is(field->value, kind))
        return sb_fail(err, SB_EBAD_VALUE, "kind: not \"%s\"", kind);
    return 0;
}

int sb_field_code(const struct sb_json_field *field, enum sb_code *code, struct sb_err *err)
{
    char name[32];
    int rc = sb_field_type(field, SB_JSON_STRING, err);

    if (rc < 0)
        return rc;
    *code = SB_EINTERNAL;
    if (sb_json_copy(field->value, name, sizeof(name)))
        *code = sb_code_from_name(name, strlen(name));
    return 0;
}

int sb_field_reason(const struct sb_json_field *field, char *reason, size_t size,
                    struct sb_err *err)
{
    struct sb_buf text = {0};
    struct sb_span part;
    int rc;

    if (!sb_field_given(field))
        return 0;
    rc = sb_field_type(field, SB_JSON_STRING, err);
    if (rc < 0)
        return rc;
    sb_json_unescape(field->value, &text);
    part = sb_buf_span(&text);
    if (part.len > size - 1)
        part.len = size - 1;
    sb_utf8_valid(part, &part.len);
    memcpy(reason, part.data, part.len);
    reason[part.len] = '\0';
    sb_buf_free(&text);
    return 0;
}
