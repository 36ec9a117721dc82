#include "edge_agent/enqueue_row.h"

#include <string.h>

#include "common/clock.h"
#include "common/ids.h"
#include "common/json_scan.h"

/* A number as short as this and without an exponent cannot overflow a double. */
#define SAFE_DIGITS 300

static bool number_fits(struct sb_span value)
{
    double unused;

    if (value.len < SAFE_DIGITS && memchr(value.data, 'e', value.len) == NULL &&
        memchr(value.data, 'E', value.len) == NULL)
        return true;
    return sb_json_double(value, &unused);
}

/* Checks a time value (a string with its quotes); the text without escapes is left in `plain`. */
static bool time_valid(struct sb_span value, struct sb_buf *plain)
{
    int64_t unused;

    sb_buf_clear(plain);
    sb_json_unescape(value, plain);
    return sb_time_parse(sb_buf_span(plain), &unused);
}

static int add_ts(struct sb_span object, int64_t wall_us, struct sb_buf *row, struct sb_err *err)
{
    struct sb_buf plain = {0};
    struct sb_span value;
    char stamp[SB_TIME_TEXT];
    int rc = 0;

    if (!sb_json_get(object, "ts", &value)) {
        sb_time_print(wall_us, stamp);
        sb_buf_add_json(row, sb_span_of(stamp));
    } else if (sb_json_type_of(value) != SB_JSON_STRING) {
        rc = sb_fail(err, SB_EBAD_TYPE, "ts: not a string");
    } else if (!time_valid(value, &plain)) {
        rc = sb_fail(err, SB_EBAD_VALUE, "ts: not an RFC 3339 time");
    } else {
        sb_buf_add_json(row, sb_buf_span(&plain));
    }
    sb_buf_free(&plain);
    return rc;
}

static int add_member(struct sb_span key, struct sb_span value, struct sb_buf *fields,
                      struct sb_buf *row, struct sb_err *err)
{
    if (!sb_name_valid(key))
        return sb_fail(err, SB_EBAD_VALUE, "field name '%.*s': not [A-Za-z0-9_-]{1,64}",
                       (int)(key.len < 80 ? key.len : 80), key.data);
    if (sb_json_type_of(value) == SB_JSON_NUMBER && !number_fits(value))
        return sb_fail(err, SB_EBAD_VALUE, "%.*s: number out of range", SB_SPAN_ARG(key));
    sb_buf_add(fields, ",\"", 2);
    sb_buf_add_span(fields, key);
    sb_buf_add_char(fields, '"');
    sb_buf_add_char(row, ',');
    sb_buf_add_span(row, value);
    return 0;
}

int enqueue_row(struct sb_span object, int64_t wall_us, struct sb_buf *fields, struct sb_buf *row,
                struct sb_err *err)
{
    struct sb_json_iter iter;
    struct sb_span key, value;
    size_t count = 0;
    int rc;

    sb_buf_add_str(fields, "[\"ts\"");
    sb_buf_add_char(row, '[');
    rc = add_ts(object, wall_us, row, err);
    sb_json_iter_init(&iter, object);
    while (rc == 0 && sb_json_next_member(&iter, &key, &value)) {
        if (sb_span_is(key, "ts"))
            continue;
        if (++count >= SB_FIELDS_MAX)
            return sb_fail(err, SB_ETOO_LARGE, "more than %d fields", SB_FIELDS_MAX);
        rc = add_member(key, value, fields, row, err);
    }
    if (rc == 0 && count == 0)
        rc = sb_fail(err, SB_EMISSING_FIELD, "a reading needs at least one field besides ts");
    sb_buf_add_char(fields, ']');
    sb_buf_add_char(row, ']');
    return rc;
}

/* A member that names something: a string up to SB_ID_MAX bytes, left in `text`. */
static int check_name(struct sb_span object, const char *key, bool required, struct sb_buf *text,
                      struct sb_err *err)
{
    struct sb_span value;

    sb_buf_clear(text);
    if (!sb_json_get(object, key, &value))
        return required ? sb_fail(err, SB_EMISSING_FIELD, "%s is missing", key) : 0;
    if (!required && sb_json_type_of(value) == SB_JSON_NULL)
        return 0;
    if (sb_json_type_of(value) != SB_JSON_STRING)
        return sb_fail(err, SB_EBAD_TYPE, "%s: not a string", key);
    sb_json_unescape(value, text);
    if (text->len > SB_ID_MAX || (required && text->len == 0))
        return sb_fail(err, SB_EBAD_VALUE, "%s: not 1 to %d bytes", key, SB_ID_MAX);
    return 0;
}

static int check_created(struct sb_span object, bool *has_created, struct sb_buf *scratch,
                         struct sb_err *err)
{
    struct sb_span value;

    *has_created = sb_json_get(object, "created_at", &value);
    if (!*has_created)
        return 0;
    if (sb_json_type_of(value) != SB_JSON_STRING)
        return sb_fail(err, SB_EBAD_TYPE, "created_at: not a string");
    if (!time_valid(value, scratch))
        return sb_fail(err, SB_EBAD_VALUE, "created_at: not an RFC 3339 time");
    return 0;
}

int enqueue_history_check(struct sb_span object, struct sb_buf *command_id, bool *has_created,
                          struct sb_err *err)
{
    struct sb_buf scratch = {0};
    struct sb_span value;
    int rc;

    rc = check_name(object, "trace_id", false, &scratch, err);
    if (rc == 0)
        rc = check_name(object, "robot_id", false, &scratch, err);
    if (rc == 0)
        rc = check_created(object, has_created, &scratch, err);
    if (rc == 0)
        rc = check_name(object, "command_id", true, command_id, err);
    if (rc == 0 && sb_json_get(object, "hlc", &value))
        rc = sb_fail(err, SB_EBAD_VALUE, "hlc: is made by the agent and cannot be given");
    sb_buf_free(&scratch);
    return rc;
}

void enqueue_history_text(struct sb_span object, bool stamp_created, int64_t wall_us, uint64_t hlc,
                          struct sb_buf *out)
{
    char text[SB_EPOCH_LEN + 1], stamp[SB_TIME_TEXT];

    sb_buf_add(out, object.data, object.len - 1); /* without its closing brace */
    if (stamp_created) {
        sb_time_print(wall_us, stamp);
        sb_buf_add_fmt(out, ",\"created_at\":\"%s\"", stamp);
    }
    sb_hex16_of(hlc, text);
    sb_buf_add_fmt(out, ",\"hlc\":\"%s\"}", text);
}
