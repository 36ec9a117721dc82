#include "edge_agent/extract.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/ids.h"
#include "common/json_scan.h"

/* Shorter numbers without an exponent cannot overflow a double. */
#define SAFE_DIGITS 300

static const char *const time_names[] = {"ts", "timestamp", "time"};

const char *extract_reason_name(enum extract_reason reason)
{
    static const char *const names[EXTRACT_REASON_COUNT] = {
#define EXTRACT_REASON_NAME(id, name) [id] = name,
        EXTRACT_REASONS(EXTRACT_REASON_NAME)
#undef EXTRACT_REASON_NAME
    };

    SB_CHECK((unsigned)reason < EXTRACT_REASON_COUNT);
    return names[reason];
}

static enum extract_reason refuse(enum extract_reason reason, struct sb_err *err, const char *fmt,
                                  ...) __attribute__((format(printf, 3, 4)));

static enum extract_reason refuse(enum extract_reason reason, struct sb_err *err, const char *fmt,
                                  ...)
{
    char text[sizeof(err->msg)];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    (void)sb_fail(err, SB_EBAD_VALUE, "%s", text);
    return reason;
}

static struct sb_span trim(struct sb_span text)
{
    while (text.len > 0 && (*text.data == ' ' || *text.data == '\t')) {
        text.data++;
        text.len--;
    }
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
        text.len--;
    return text;
}

static bool same_ignoring_case(struct sb_span text, const char *other)
{
    return text.len == strlen(other) && strncasecmp(text.data, other, text.len) == 0;
}

/* How much of an error message a foreign text may take. */
static int shown(struct sb_span text)
{
    return (int)(text.len < 60 ? text.len : 60);
}

/* ---- values ---- */

static size_t count_digits(struct sb_span text, size_t from)
{
    size_t n = 0;

    while (from + n < text.len && isdigit((unsigned char)text.data[from + n]))
        n++;
    return n;
}

/* The exponent at `at`, empty when there is none; false when it is torn. */
static bool exponent(struct sb_span text, size_t at, struct sb_span *out)
{
    size_t sign;

    *out = (struct sb_span){text.data + at, 0};
    if (at == text.len)
        return true;
    if (text.data[at] != 'e' && text.data[at] != 'E')
        return false;
    sign = at + 1 < text.len && (text.data[at + 1] == '+' || text.data[at + 1] == '-');
    out->len = text.len - at;
    return count_digits(text, at + 1 + sign) == out->len - 1 - sign && out->len > 1 + sign;
}

static bool in_range(const struct sb_buf *out, size_t from)
{
    struct sb_span number = {out->data + from, out->len - from};
    double unused;

    if (number.len < SAFE_DIGITS && memchr(number.data, 'e', number.len) == NULL &&
        memchr(number.data, 'E', number.len) == NULL)
        return true;
    return sb_json_double(number, &unused);
}

/* Appends a decimal number as JSON. What JSON could take already keeps its bytes; "+5", ".5", "5."
 * and "007" lose their sign or get their digits. */
static bool add_number(struct sb_span text, char decimal, bool integer, struct sb_buf *out)
{
    size_t at = text.len > 0 && (text.data[0] == '-' || text.data[0] == '+');
    size_t whole = count_digits(text, at), fraction = 0, start = out->len, rest = at + whole;
    struct sb_span exp;

    if (!integer && rest < text.len && text.data[rest] == decimal) {
        fraction = count_digits(text, rest + 1);
        rest += 1 + fraction;
    }
    if (whole + fraction == 0 || !exponent(text, rest, &exp) || (integer && exp.len > 0))
        return false;
    if (at == 1 && text.data[0] == '-')
        sb_buf_add_char(out, '-');
    if (whole == 0)
        sb_buf_add_char(out, '0');
    for (size_t end = at + whole; whole > 1 && text.data[at] == '0'; whole = end - at)
        at++;
    sb_buf_add(out, text.data + at, whole);
    if (fraction > 0) {
        sb_buf_add_char(out, '.');
        sb_buf_add(out, text.data + at + whole + 1, fraction);
    }
    sb_buf_add_span(out, exp);
    if (in_range(out, start))
        return true;
    out->len = start;
    return false;
}

/* Would JSON take it as a number as it stands (but for the decimal sign)? Then it is one. */
static bool looks_like_number(struct sb_span text, char decimal)
{
    size_t at = text.len > 0 && text.data[0] == '-';
    size_t whole = count_digits(text, at), rest = at + whole;
    struct sb_span exp;

    if (whole == 0 || (whole > 1 && text.data[at] == '0'))
        return false;
    if (rest < text.len && text.data[rest] == decimal) {
        size_t fraction = count_digits(text, rest + 1);

        if (fraction == 0)
            return false;
        rest += 1 + fraction;
    }
    return exponent(text, rest, &exp);
}

static bool add_boolean(struct sb_span text, struct sb_buf *out)
{
    static const char *const yes[] = {"true", "yes", "on", "1", "t", "y"};
    static const char *const no[] = {"false", "no", "off", "0", "f", "n"};

    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        if (same_ignoring_case(text, yes[i]) || same_ignoring_case(text, no[i])) {
            sb_buf_add_str(out, same_ignoring_case(text, yes[i]) ? "true" : "false");
            return true;
        }
    }
    return false;
}

static bool is_null(const struct extract_map *map, struct sb_span text)
{
    if (text.len == 0)
        return true;
    for (size_t i = 0; i < map->null_count; i++)
        if (sb_span_is(text, map->nulls[i]))
            return true;
    return false;
}

static enum extract_reason add_text(struct sb_span text, const char *what, struct sb_buf *out,
                                    struct sb_err *err)
{
    if (!sb_utf8_valid(text, NULL))
        return refuse(EXTRACT_UTF8, err, "%s: not valid UTF-8", what);
    sb_buf_add_json(out, text);
    return EXTRACT_OK;
}

/* Appends one cell as a JSON value of the wanted type. */
static enum extract_reason add_value(const struct extract_map *map, enum extract_type type,
                                     const char *what, struct sb_span cell, struct sb_buf *out,
                                     struct sb_err *err)
{
    struct sb_span text = trim(cell);
    const char *wanted = "number";

    if (is_null(map, text)) {
        sb_buf_add_str(out, "null");
        return EXTRACT_OK;
    }
    switch (type) {
    case EXTRACT_AUTO:
        if (looks_like_number(text, map->decimal) && add_number(text, map->decimal, false, out))
            return EXTRACT_OK;
        return add_text(cell, what, out, err);
    case EXTRACT_TEXT:
        return add_text(cell, what, out, err);
    case EXTRACT_NUMBER:
    case EXTRACT_INTEGER:
        if (add_number(text, map->decimal, type == EXTRACT_INTEGER, out))
            return EXTRACT_OK;
        wanted = type == EXTRACT_INTEGER ? "whole number" : "number";
        break;
    case EXTRACT_BOOLEAN:
        if (add_boolean(text, out))
            return EXTRACT_OK;
        wanted = "yes or no";
        break;
    }
    return refuse(EXTRACT_VALUE, err, "%s: '%.*s' is no %s", what, shown(text), text.data, wanted);
}

static enum extract_reason add_time(const struct extract_schema *schema, struct sb_span cell,
                                    struct sb_buf *out, struct sb_err *err)
{
    struct sb_span text = trim(cell);
    char stamp[SB_TIME_TEXT];
    int64_t wall_us, unused;

    if (!time_format_read(&schema->time_format, text, &wall_us))
        return refuse(EXTRACT_TIME, err, "time: '%.*s' does not parse", shown(text), text.data);
    sb_buf_add_json(out, sb_span_of(schema->time_field));
    sb_buf_add_char(out, ':');
    if (sb_time_parse(text, &unused)) { /* RFC 3339 already: its zone and digits stay */
        sb_buf_add_json(out, text);
        return EXTRACT_OK;
    }
    sb_time_print(wall_us, stamp);
    sb_buf_add_json(out, sb_span_of(stamp));
    return EXTRACT_OK;
}

static void add_constants(const struct extract_map *map, struct sb_buf *out)
{
    for (size_t i = 0; i < map->constant_count; i++) {
        sb_buf_add_char(out, ',');
        sb_buf_add_json(out, sb_span_of(map->constants[i].field));
        sb_buf_add_char(out, ':');
        sb_buf_add_str(out, map->constants[i].json);
    }
}

static enum extract_reason add_field(const struct extract_map *map,
                                     const struct extract_field *field, struct sb_span cell,
                                     struct sb_buf *out, struct sb_err *err)
{
    const char *what = field->field[0] != '\0'      ? field->field
                       : field->column.name != NULL ? field->column.name
                                                    : "a checked column";
    size_t start = out->len;
    enum extract_reason reason;

    sb_buf_add_char(out, ',');
    sb_buf_add_json(out, sb_span_of(field->field));
    sb_buf_add_char(out, ':');
    reason = add_value(map, field->type, what, cell, out, err);
    if (field->field[0] == '\0')
        out->len = start;
    return reason;
}

/* ---- lines and headers ---- */

bool extract_skips(const struct extract_map *map, const char *line)
{
    for (size_t i = 0; i < map->skip_count; i++)
        if (regexec(&map->skip[i], line, 0, NULL, 0) == 0)
            return true;
    return false;
}

bool extract_is_header_line(const struct extract_map *map, const char *line)
{
    return map->header_line != NULL && regexec(map->header_line, line, 0, NULL, 0) == 0;
}

bool extract_looks_like_header(const struct sb_span *cells, size_t count)
{
    const struct time_format iso = {.kind = TIME_ISO8601};
    int64_t unused;

    for (size_t i = 0; i < count; i++) {
        struct sb_span text = trim(cells[i]);

        if (text.len == 0 || looks_like_number(text, '.') || time_format_read(&iso, text, &unused))
            return false;
    }
    return count > 0;
}

static unsigned find_name(const struct sb_span *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (sb_span_is(trim(names[i]), name))
            return (unsigned)i + 1;
    return 0;
}

static bool place_column(const struct extract_column *column, const struct sb_span *names,
                         size_t count, unsigned *place)
{
    *place = column->name != NULL ? find_name(names, count, column->name) : column->number;
    return *place > 0;
}

/* Where a schema's columns are under this header; the name of one that is missing, else NULL. */
static const char *place_schema(const struct extract_schema *schema, const struct sb_span *names,
                                size_t count, struct extract_places *out)
{
    *out = (struct extract_places){.schema = schema, .header_count = (unsigned)count};
    if (!place_column(&schema->time, names, count, &out->time))
        return schema->time.name;
    for (size_t i = 0; i < schema->field_count; i++)
        if (!place_column(&schema->fields[i].column, names, count, &out->fields[i]))
            return schema->fields[i].column.name;
    return NULL;
}

static bool by_number(const struct extract_schema *schema)
{
    if (schema->time.name != NULL)
        return false;
    for (size_t i = 0; i < schema->field_count; i++)
        if (schema->fields[i].column.name != NULL)
            return false;
    return true;
}

int extract_read_header(const struct extract_map *map, const struct sb_span *names, size_t count,
                        struct extract_places *out, struct sb_err *err)
{
    const char *missing = NULL, *first_missing = NULL;
    struct extract_places places;
    bool numbered = false;

    for (size_t i = 0; i < map->schema_count; i++) {
        if (by_number(&map->schemas[i])) {
            numbered = true;
            continue;
        }
        missing = place_schema(&map->schemas[i], names, count, &places);
        if (missing == NULL) {
            *out = places;
            return 0;
        }
        first_missing = first_missing != NULL ? first_missing : missing;
    }
    if (!numbered)
        return sb_fail(err, SB_EMISSING_FIELD, "the header has no column '%.80s'", first_missing);
    *out = (struct extract_places){.header_count = (unsigned)count};
    return 0;
}

/* ---- rows ---- */

static unsigned row_width(const struct extract_schema *schema, const struct extract_places *places)
{
    return schema->columns > 0 ? schema->columns : places->header_count;
}

static enum extract_reason wrong_width(const struct extract_map *map,
                                       const struct extract_places *places, size_t count,
                                       struct sb_err *err)
{
    char wanted[120] = "";
    size_t used = 0;

    for (size_t i = 0; i < map->schema_count && used < sizeof(wanted) - 12; i++)
        used += (size_t)snprintf(wanted + used, sizeof(wanted) - used, "%s%u", i > 0 ? " or " : "",
                                 row_width(&map->schemas[i], places));
    return refuse(EXTRACT_COLUMNS, err, "%zu fields where %s belong", count, wanted);
}

/* The schema of a row, with the places of its columns. */
static const struct extract_schema *choose(const struct extract_map *map,
                                           const struct extract_places *places, size_t count,
                                           struct extract_places *found)
{
    if (places->schema != NULL && row_width(places->schema, places) == count) {
        *found = *places;
        return places->schema;
    }
    for (size_t i = 0; i < map->schema_count; i++) {
        if (row_width(&map->schemas[i], places) == count && by_number(&map->schemas[i])) {
            (void)place_schema(&map->schemas[i], NULL, 0, found);
            return &map->schemas[i];
        }
    }
    return NULL;
}

enum extract_reason extract_row(const struct extract_map *map, const struct extract_places *places,
                                const struct sb_span *cells, size_t count, struct sb_buf *out,
                                struct sb_err *err)
{
    const struct extract_schema *schema;
    struct extract_places at;
    enum extract_reason reason;
    size_t start = out->len;

    schema = choose(map, places, count, &at);
    if (schema == NULL)
        return wrong_width(map, places, count, err);
    if (at.time > count)
        return refuse(EXTRACT_COLUMNS, err, "there is no column %u", at.time);
    sb_buf_add_char(out, '{');
    reason = add_time(schema, cells[at.time - 1], out, err);
    for (size_t i = 0; reason == EXTRACT_OK && i < schema->field_count; i++) {
        if (at.fields[i] > count)
            reason = refuse(EXTRACT_COLUMNS, err, "there is no column %u", at.fields[i]);
        else
            reason = add_field(map, &schema->fields[i], cells[at.fields[i] - 1], out, err);
    }
    if (reason != EXTRACT_OK) {
        out->len = start;
        return reason;
    }
    add_constants(map, out);
    sb_buf_add_char(out, '}');
    return EXTRACT_OK;
}

/* ---- without a map ---- */

void extract_map_default(struct extract_map *map)
{
    *map = (struct extract_map){.decimal = '.', .header = EXTRACT_HEADER_YES};
}

static bool is_time_name(struct sb_span name)
{
    for (size_t i = 0; i < sizeof(time_names) / sizeof(time_names[0]); i++)
        if (same_ignoring_case(name, time_names[i]))
            return true;
    return same_ignoring_case(name, "created_at");
}

/* Members of a history record that are texts, whatever they look like. */
static bool is_text_name(const char *name)
{
    static const char *const names[] = {"command_id", "trace_id", "robot_id", "command_type",
                                        "status"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static char *field_name_of(struct sb_span name)
{
    char *out = sb_xstrndup(name.data, name.len < SB_NAME_MAX ? name.len : SB_NAME_MAX);

    for (char *at = out; *at != '\0'; at++)
        if (!isalnum((unsigned char)*at) && *at != '_' && *at != '-')
            *at = '_';
    return out;
}

static int check_names(const struct extract_schema *schema, struct sb_err *err)
{
    for (size_t i = 0; i < schema->field_count; i++) {
        const char *name = schema->fields[i].field;

        if (name[0] == '\0')
            return sb_fail(err, SB_ECONFIG, "column %u of the header has no name; use --map",
                           schema->fields[i].column.number);
        if (strcmp(name, schema->time_field) == 0)
            return sb_fail(err, SB_ECONFIG, "the header names the time twice; use --map");
        for (size_t k = 0; k < i; k++)
            if (strcmp(name, schema->fields[k].field) == 0)
                return sb_fail(err, SB_ECONFIG,
                               "two columns of the header would be field '%s'; use --map", name);
    }
    return 0;
}

int extract_map_of_header(struct extract_map *map, const struct sb_span *names, size_t count,
                          enum sb_up_class class, struct sb_err *err)
{
    struct extract_schema *schema = sb_xcalloc(1, sizeof(*schema));

    map->schemas = schema;
    map->schema_count = 1;
    schema->name = sb_xstrdup("header");
    schema->columns = (unsigned)count;
    schema->time_field = sb_xstrdup(class == SB_UP_HISTORY ? "created_at" : "ts");
    schema->time_format.kind = TIME_ISO8601;
    if (count > SB_FIELDS_MAX)
        return sb_fail(err, SB_ECONFIG, "the header has more than %d columns; use --map",
                       SB_FIELDS_MAX);
    schema->fields = sb_xcalloc(count > 0 ? count : 1, sizeof(*schema->fields));
    for (size_t i = 0; i < count; i++) {
        struct sb_span name = trim(names[i]);

        if (is_time_name(name) && schema->time.number == 0) {
            schema->time.number = (unsigned)i + 1;
            continue;
        }
        schema->fields[schema->field_count] = (struct extract_field){
            .field = field_name_of(name), .column = {.number = (unsigned)i + 1}};
        if (class == SB_UP_HISTORY && is_text_name(schema->fields[schema->field_count].field))
            schema->fields[schema->field_count].type = EXTRACT_TEXT;
        schema->field_count++;
    }
    if (schema->time.number == 0)
        return sb_fail(err, SB_ECONFIG,
                       "the header has no column ts, timestamp or time; use --map");
    if (schema->field_count == 0)
        return sb_fail(err, SB_ECONFIG, "the header has no column besides the time");
    return check_names(schema, err);
}

/* ---- NDJSON ---- */

/* A member by name, or by a pointer ("/a/b") through objects. */
static bool find_member(struct sb_span object, const char *name, struct sb_span *value)
{
    struct sb_json_iter iter;
    struct sb_span key;

    if (name[0] == '/') {
        const char *end = strchr(name + 1, '/');
        char part[256];

        if (snprintf(part, sizeof(part), "%.*s", (int)(end != NULL ? end - name - 1 : 250),
                     name + 1) >= (int)sizeof(part) ||
            part[0] == '/' || !find_member(object, part, value))
            return false;
        if (end == NULL)
            return true;
        return sb_json_type_of(*value) == SB_JSON_OBJECT && find_member(*value, end, value);
    }
    sb_json_iter_init(&iter, object);
    while (sb_json_next_member(&iter, &key, value))
        if (sb_span_is(key, name))
            return true;
    return false;
}

/* A JSON value as a cell would hold it; numbers and texts go through the same checks as in CSV. */
static enum extract_reason add_member(const struct extract_map *map,
                                      const struct extract_field *field, struct sb_span value,
                                      struct sb_buf *out, struct sb_err *err)
{
    enum sb_json_type type = sb_json_type_of(value);
    struct sb_buf text = {0};
    enum extract_reason reason;

    if (type == SB_JSON_STRING && field->type != EXTRACT_AUTO && field->type != EXTRACT_TEXT) {
        sb_json_unescape(value, &text);
        reason = add_field(map, field, sb_buf_span(&text), out, err);
        sb_buf_free(&text);
        return reason;
    }
    if ((type == SB_JSON_NUMBER && field->type != EXTRACT_TEXT) ||
        (type <= SB_JSON_TRUE && field->type == EXTRACT_BOOLEAN && type != SB_JSON_NULL))
        return add_field(map, field, value, out, err);
    if (type != SB_JSON_NULL && field->type != EXTRACT_AUTO &&
        !(field->type == EXTRACT_TEXT && type == SB_JSON_STRING))
        return refuse(EXTRACT_VALUE, err, "%s: '%.*s' is of another type", field->field,
                      shown(value), value.data);
    if (field->field[0] != '\0') {
        sb_buf_add_char(out, ',');
        sb_buf_add_json(out, sb_span_of(field->field));
        sb_buf_add_char(out, ':');
        sb_buf_add_span(out, value);
    }
    return EXTRACT_OK;
}

static enum extract_reason add_member_time(const struct extract_schema *schema,
                                           struct sb_span object, struct sb_buf *out,
                                           struct sb_err *err)
{
    struct sb_buf text = {0};
    enum extract_reason reason;
    struct sb_span value;

    if (!find_member(object, schema->time.name, &value))
        return refuse(EXTRACT_TIME, err, "time: '%.80s' is missing", schema->time.name);
    if (sb_json_type_of(value) == SB_JSON_STRING)
        sb_json_unescape(value, &text);
    else
        sb_buf_add_span(&text, value);
    reason = add_time(schema, sb_buf_span(&text), out, err);
    sb_buf_free(&text);
    return reason;
}

static enum extract_reason mapped_object(const struct extract_map *map, struct sb_span object,
                                         struct sb_buf *out, struct sb_err *err)
{
    const struct extract_schema *schema = &map->schemas[0];
    enum extract_reason reason;
    struct sb_span value;

    sb_buf_add_char(out, '{');
    reason = add_member_time(schema, object, out, err);
    for (size_t i = 0; reason == EXTRACT_OK && i < schema->field_count; i++) {
        if (find_member(object, schema->fields[i].column.name, &value))
            reason = add_member(map, &schema->fields[i], value, out, err);
        else
            reason =
                refuse(EXTRACT_MISSING, err, "'%.80s' is missing", schema->fields[i].column.name);
    }
    add_constants(map, out);
    sb_buf_add_char(out, '}');
    return reason;
}

/* The object with its time under our name for it. */
static void renamed_object(struct sb_span object, const char *wanted, struct sb_buf *out)
{
    struct sb_json_iter iter;
    struct sb_span key, value;
    const char *old = NULL;

    for (size_t i = 1; old == NULL && i < sizeof(time_names) / sizeof(time_names[0]); i++)
        if (sb_json_get(object, time_names[i], &value))
            old = time_names[i];
    if (old == NULL || sb_json_get(object, wanted, &value)) {
        sb_buf_add_span(out, object);
        return;
    }
    sb_json_iter_init(&iter, object);
    for (char before = '{'; sb_json_next_member(&iter, &key, &value); before = ',') {
        sb_buf_add_char(out, before);
        sb_buf_add_char(out, '"');
        sb_buf_add_span(out, sb_span_is(key, old) ? sb_span_of(wanted) : key);
        sb_buf_add_str(out, "\":");
        sb_buf_add_span(out, value);
    }
    sb_buf_add_char(out, '}');
}

enum extract_reason extract_object(const struct extract_map *map, struct sb_span object,
                                   enum sb_up_class class, struct sb_buf *out, struct sb_err *err)
{
    size_t start = out->len;
    enum extract_reason reason;

    if (sb_json_type_of(object) != SB_JSON_OBJECT)
        return refuse(EXTRACT_JSON, err, "not a JSON object");
    if (map->schema_count == 0) {
        if (class == SB_UP_SENSORS)
            renamed_object(object, "ts", out);
        else
            sb_buf_add_span(out, object);
        return EXTRACT_OK;
    }
    reason = mapped_object(map, object, out, err);
    if (reason != EXTRACT_OK)
        out->len = start;
    return reason;
}
