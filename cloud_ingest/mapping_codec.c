#include "mapping.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/json_read.h"

static const struct sb_json_limits file_limits = {
    .max_bytes = 262144, .max_depth = 5, .max_nodes = 10000};

/* Columns that every table of readings has. */
static const char *const own_columns[] = {"sn", "seq", "ts", "ts_text", "rx_ms", "extra"};

static bool among(struct sb_span key, const struct sb_json_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (sb_span_is(key, fields[i].key))
            return true;
    return false;
}

/* As sb_json_pick; a member that nobody asked for is a mistake in a file that people write. */
static int pick_only(struct sb_span object, struct sb_json_field *fields, size_t count,
                     struct sb_err *err)
{
    struct sb_json_iter iter;
    struct sb_span key, value;

    sb_json_iter_init(&iter, object);
    while (sb_json_next_member(&iter, &key, &value))
        if (!among(key, fields, count))
            return sb_fail(err, SB_ECONFIG, "unknown member " SB_SPAN_FMT, SB_SPAN_ARG(key));
    sb_json_pick(object, fields, count);
    return 0;
}

static int read_name(const struct sb_json_field *field, char out[SB_NAME_MAX + 1],
                     struct sb_err *err)
{
    int rc = sb_field_text(field, out, SB_NAME_MAX + 1, err);

    if (rc == 0 && !sb_name_valid(sb_span_of(out)))
        rc = sb_fail(err, SB_ECONFIG, "%s: not [A-Za-z0-9_-]{1,64}", field->key);
    return rc;
}

static int read_bound(const struct sb_json_field *field, bool *has, double *out, struct sb_err *err)
{
    *has = sb_field_given(field);
    if (*has && !sb_json_double(field->value, out))
        return sb_fail(err, SB_ECONFIG, "%s: not a number", field->key);
    return 0;
}

static int add_from(struct sb_span value, struct column *column, struct sb_err *err)
{
    struct sb_json_field field = {.key = "from", .value = value};

    column->from = sb_xrealloc(column->from, (column->from_count + 1) * sizeof(*column->from));
    return read_name(&field, column->from[column->from_count++], err);
}

/* One name or several. */
static int read_from(const struct sb_json_field *field, struct column *column, struct sb_err *err)
{
    struct sb_json_iter iter;
    struct sb_span value;
    int rc;

    if (!sb_field_given(field))
        return 0;
    if (sb_json_type_of(field->value) == SB_JSON_STRING)
        return add_from(field->value, column, err);
    rc = sb_field_type(field, SB_JSON_ARRAY, err);
    if (rc != 0)
        return rc;
    sb_json_iter_init(&iter, field->value);
    while (rc == 0 && sb_json_next_element(&iter, &value))
        rc = add_from(value, column, err);
    return rc;
}

static int read_type(const struct sb_json_field *field, enum column_type *type, struct sb_err *err)
{
    char name[SB_NAME_MAX + 1];
    int rc = sb_field_text(field, name, sizeof(name), err);

    if (rc == 0 && !column_type_parse(sb_span_of(name), type))
        rc = sb_fail(err, SB_ECONFIG, "type: %s is not number, integer, string or boolean", name);
    return rc;
}

static int check_bounds(const struct column *column, struct sb_err *err)
{
    if (!column->has_min && !column->has_max)
        return 0;
    if (column->type != COLUMN_NUMBER && column->type != COLUMN_INTEGER)
        return sb_fail(err, SB_ECONFIG, "min and max go with numbers");
    if (column->has_min && column->has_max && column->min > column->max)
        return sb_fail(err, SB_ECONFIG, "min is above max");
    return 0;
}

static int read_column(struct sb_span object, struct column *column, struct sb_err *err)
{
    enum { NAME, TYPE, MIN, MAX, REQUIRED, FROM, UNIT, COUNT };
    struct sb_json_field f[COUNT] = {
        [NAME] = {.key = "name"}, [TYPE] = {.key = "type"}, [MIN] = {.key = "min"},
        [MAX] = {.key = "max"},   [FROM] = {.key = "from"}, [REQUIRED] = {.key = "required"},
        [UNIT] = {.key = "unit"},
    };
    int rc;

    if (sb_json_type_of(object) != SB_JSON_OBJECT)
        return sb_fail(err, SB_ECONFIG, "not an object");
    rc = pick_only(object, f, COUNT, err);
    if (rc == 0)
        rc = read_name(&f[NAME], column->name, err);
    if (rc == 0)
        rc = read_type(&f[TYPE], &column->type, err);
    if (rc == 0)
        rc = read_bound(&f[MIN], &column->has_min, &column->min, err);
    if (rc == 0)
        rc = read_bound(&f[MAX], &column->has_max, &column->max, err);
    if (rc == 0 && sb_field_given(&f[REQUIRED]))
        rc = sb_field_bool(&f[REQUIRED], &column->required, err);
    if (rc == 0 && sb_field_given(&f[UNIT]))
        rc = sb_field_type(&f[UNIT], SB_JSON_STRING, err);
    if (rc == 0)
        rc = read_from(&f[FROM], column, err);
    return rc == 0 ? check_bounds(column, err) : rc;
}

/* Local names and column names of a type are one set: each field has one place to go. */
static bool name_taken(const struct mapping *mapping, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        const struct column *column = &mapping->columns[i];

        if (strcasecmp(column->name, name) == 0)
            return true;
        for (size_t k = 0; k < column->from_count; k++)
            if (strcmp(column->from[k], name) == 0)
                return true;
    }
    return false;
}

static int check_names(const struct mapping *mapping, size_t index, struct sb_err *err)
{
    const struct column *column = &mapping->columns[index];

    for (size_t i = 0; i < sizeof(own_columns) / sizeof(own_columns[0]); i++)
        if (strcasecmp(column->name, own_columns[i]) == 0)
            return sb_fail(err, SB_ECONFIG, "name %s is the table's own", column->name);
    if (name_taken(mapping, index, column->name))
        return sb_fail(err, SB_ECONFIG, "name %s is taken already", column->name);
    for (size_t i = 0; i < column->from_count; i++)
        if (name_taken(mapping, index, column->from[i]) || strcmp(column->from[i], "ts") == 0)
            return sb_fail(err, SB_ECONFIG, "from: %s is taken already", column->from[i]);
    return 0;
}

static int read_columns(const struct sb_json_field *field, struct mapping *out, struct sb_err *err)
{
    struct sb_json_iter iter;
    struct sb_span value;
    int rc = sb_field_type(field, SB_JSON_ARRAY, err);

    if (rc != 0)
        return rc;
    if (sb_json_count(field->value) > MAPPING_COLUMNS_MAX)
        return sb_fail(err, SB_ECONFIG, "columns: more than %d", MAPPING_COLUMNS_MAX);
    out->columns = sb_xcalloc(MAPPING_COLUMNS_MAX, sizeof(*out->columns));
    sb_json_iter_init(&iter, field->value);
    while (rc == 0 && sb_json_next_element(&iter, &value)) {
        rc = read_column(value, &out->columns[out->count++], err);
        if (rc == 0)
            rc = check_names(out, out->count - 1, err);
        if (rc != 0)
            sb_err_prefix(err, "columns: element %zu", out->count - 1);
    }
    return rc;
}

static int add_identity(struct sb_span value, struct mapping *out, struct sb_err *err)
{
    struct sb_json_field field = {.key = "identity", .value = value};
    char name[SB_NAME_MAX + 1];
    int rc = read_name(&field, name, err);

    if (rc != 0)
        return rc;
    for (size_t i = 0; i < out->count; i++) {
        if (strcmp(out->columns[i].name, name) == 0) {
            out->identity |= UINT64_C(1) << i;
            return 0;
        }
    }
    return sb_fail(err, SB_ECONFIG, "identity: %s is not a column", name);
}

static int read_identity(const struct sb_json_field *field, struct mapping *out, struct sb_err *err)
{
    struct sb_json_iter iter;
    struct sb_span value;
    int rc = 0;

    if (!sb_field_given(field))
        return 0;
    rc = sb_field_type(field, SB_JSON_ARRAY, err);
    if (rc != 0)
        return rc;
    sb_json_iter_init(&iter, field->value);
    while (rc == 0 && sb_json_next_element(&iter, &value))
        rc = add_identity(value, out, err);
    return rc;
}

int mapping_decode(struct sb_span text, struct mapping *out, struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "type"}, {.key = "columns"}, {.key = "identity"}};
    struct sb_span object;
    int rc = sb_json_check(text, &file_limits, &object, err);

    *out = (struct mapping){0};
    if (rc == 0 && sb_json_type_of(object) != SB_JSON_OBJECT)
        rc = sb_fail(err, SB_ECONFIG, "not an object");
    if (rc == 0)
        rc = pick_only(object, f, sizeof(f) / sizeof(f[0]), err);
    if (rc == 0)
        rc = read_name(&f[0], out->type, err);
    if (rc == 0)
        rc = read_columns(&f[1], out, err);
    if (rc == 0)
        rc = read_identity(&f[2], out, err);
    if (rc != 0) {
        mapping_fini(out);
        if (err != NULL)
            err->code = SB_ECONFIG; /* whatever it is: the file has to be mended */
        return -SB_ECONFIG;
    }
    return 0;
}
