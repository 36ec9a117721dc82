#include "mapping.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "content.h"

/* One row of a batch against its mapping: read, compared with a stored one, hashed. */

void reading_free(struct reading *reading)
{
    sb_buf_free(&reading->extra);
    sb_buf_free(&reading->strings);
}

static bool refuse(struct reading *reading, enum sb_code code, const char *column, const char *what)
{
    reading->code = code;
    snprintf(reading->reason, sizeof(reading->reason), "%s: %s", column, what);
    return false;
}

static struct sb_span inside(struct sb_span string)
{
    return (struct sb_span){string.data + 1, string.len - 2};
}

static bool has_escape(struct sb_span text)
{
    return text.len > 0 && memchr(text.data, '\\', text.len) != NULL;
}

/* ---- values ---- */

static bool is_whole(struct sb_span number)
{
    for (size_t i = 0; i < number.len; i++)
        if (number.data[i] == '.' || number.data[i] == 'e' || number.data[i] == 'E')
            return false;
    return true;
}

/* A number as it is kept: -0 only a double can hold, and whole numbers beyond 64 bits stay text. */
static bool number_of(struct sb_span text, struct value *value)
{
    if (is_whole(text) && sb_json_i64(text, &value->i) && !(value->i == 0 && text.data[0] == '-')) {
        value->kind = VALUE_INT;
        value->d = (double)value->i;
        return true;
    }
    if (!sb_json_double(text, &value->d))
        return false;
    value->kind = VALUE_REAL;
    if (is_whole(text) && value->d != 0) {
        value->kind = VALUE_TEXT;
        value->text = text;
    }
    return true;
}

/* A double that is a whole number of 64 bits. */
static bool whole_of(double d, int64_t *i)
{
    if (!(d >= -9223372036854775808.0 && d < 9223372036854775808.0) || d != floor(d))
        return false;
    *i = (int64_t)d;
    return true;
}

static bool check_range(struct reading *reading, const struct column *column, double d)
{
    if ((column->has_min && d < column->min) || (column->has_max && d > column->max))
        return refuse(reading, SB_EBAD_VALUE, column->name, "out of range");
    return true;
}

static bool read_number(struct reading *reading, const struct column *column,
                        const struct sb_cell *cell, struct value *value)
{
    if (cell->type != SB_JSON_NUMBER)
        return refuse(reading, SB_EBAD_VALUE, column->name, "not a number");
    if (!number_of(cell->text, value))
        return refuse(reading, SB_EBAD_VALUE, column->name, "beyond the range of a double");
    return check_range(reading, column, value->d);
}

static bool read_integer(struct reading *reading, const struct column *column,
                         const struct sb_cell *cell, struct value *value)
{
    if (cell->type != SB_JSON_NUMBER)
        return refuse(reading, SB_EBAD_VALUE, column->name, "not an integer");
    if (!sb_json_i64(cell->text, &value->i) &&
        (is_whole(cell->text) || !sb_json_double(cell->text, &value->d) ||
         !whole_of(value->d, &value->i)))
        return refuse(reading, SB_EBAD_VALUE, column->name, "not an integer of 64 bits");
    value->kind = VALUE_INT;
    return check_range(reading, column, (double)value->i);
}

static bool read_string(struct reading *reading, const struct column *column,
                        const struct sb_cell *cell, struct value *value)
{
    size_t at = reading->strings.len;

    if (cell->type != SB_JSON_STRING)
        return refuse(reading, SB_EBAD_VALUE, column->name, "not a string");
    value->kind = VALUE_TEXT;
    value->text = inside(cell->text);
    if (has_escape(value->text)) {
        sb_json_unescape(cell->text, &reading->strings);
        value->text = (struct sb_span){reading->strings.data + at, reading->strings.len - at};
    }
    return true;
}

static bool read_boolean(struct reading *reading, const struct column *column,
                         const struct sb_cell *cell, struct value *value)
{
    if (cell->type != SB_JSON_TRUE && cell->type != SB_JSON_FALSE)
        return refuse(reading, SB_EBAD_VALUE, column->name, "not true or false");
    value->kind = VALUE_INT;
    value->i = cell->type == SB_JSON_TRUE;
    return true;
}

static bool read_value(struct reading *reading, const struct column *column,
                       const struct sb_cell *cell, struct value *value)
{
    value->kind = VALUE_NULL;
    if (cell->type == SB_JSON_NULL)
        return !column->required ||
               refuse(reading, SB_EMISSING_FIELD, column->name, "required and null");
    switch (column->type) {
    case COLUMN_NUMBER:
        return read_number(reading, column, cell, value);
    case COLUMN_INTEGER:
        return read_integer(reading, column, cell, value);
    case COLUMN_STRING:
        return read_string(reading, column, cell, value);
    case COLUMN_BOOLEAN:
        return read_boolean(reading, column, cell, value);
    }
    return false;
}

/* ---- the row ---- */

static bool read_ts(struct reading *reading, const struct sb_cell *cell)
{
    char shortest[SB_TIME_TEXT];

    if (cell == NULL || cell->type == SB_JSON_NULL)
        return refuse(reading, SB_EMISSING_FIELD, "ts", "missing");
    if (cell->type != SB_JSON_STRING || !sb_time_parse(inside(cell->text), &reading->ts_us))
        return refuse(reading, SB_EBAD_VALUE, "ts", "not an RFC 3339 time");
    sb_time_print(reading->ts_us, shortest);
    reading->ts_text = sb_span_is(inside(cell->text), shortest) ? SB_SPAN("") : inside(cell->text);
    return true;
}

static void add_extra(struct reading *reading, struct sb_span field, struct sb_span value)
{
    struct sb_buf *extra = &reading->extra;

    sb_buf_add_str(extra, extra->len > 0 ? ",\"" : "{\"");
    sb_buf_add_span(extra, field);
    sb_buf_add_str(extra, "\":");
    sb_buf_add_span(extra, value);
}

static bool read_shape(struct reading *reading, const struct plan *plan,
                       const struct sb_record *record)
{
    char what[80];

    if (record->type != SB_JSON_ARRAY)
        return refuse(reading, SB_EBAD_TYPE, "row", "not an array");
    if (record->cell_count != plan->field_count) {
        snprintf(what, sizeof(what), "%zu values for %zu fields", record->cell_count,
                 plan->field_count);
        return refuse(reading, SB_EBAD_VALUE, "row", what);
    }
    if (plan->clash >= 0)
        return refuse(reading, SB_EBAD_VALUE, plan->mapping->columns[plan->clash].name,
                      "named by two fields");
    if (plan->required >= 0)
        return refuse(reading, SB_EMISSING_FIELD, plan->mapping->columns[plan->required].name,
                      "required");
    return true;
}

bool reading_read(struct reading *reading, const struct plan *plan, const struct sb_record *record,
                  const struct sb_cell *cells)
{
    const struct sb_cell *row = cells + record->first_cell;

    reading->code = SB_OK;
    sb_buf_clear(&reading->extra);
    sb_buf_clear(&reading->strings);
    if (!read_shape(reading, plan, record) ||
        !read_ts(reading, plan->ts < 0 ? NULL : row + plan->ts))
        return false;
    sb_buf_reserve(&reading->strings, record->text.len); /* spans into it must not move */
    for (size_t i = 0; i < plan->field_count; i++) {
        int target = plan->target[i];

        if (target == PLAN_EXTRA)
            add_extra(reading, plan->fields[i], row[i].text);
        else if (target >= 0 && !read_value(reading, &plan->mapping->columns[target], &row[i],
                                            &reading->values[target]))
            return false;
    }
    if (reading->extra.len > 0)
        sb_buf_add_char(&reading->extra, '}');
    return true;
}

/* ---- comparison ---- */

/* Digits behind the microseconds, without the zeros at the end. */
static struct sb_span beyond_us(struct sb_span ts)
{
    const char *dot = ts.len > 0 ? memchr(ts.data, '.', ts.len) : NULL;
    struct sb_span rest = {ts.data, 0};

    if (dot == NULL || ts.data + ts.len - dot <= 7)
        return rest;
    rest.data = dot + 7;
    while (rest.data + rest.len < ts.data + ts.len && rest.data[rest.len] >= '0' &&
           rest.data[rest.len] <= '9')
        rest.len++;
    while (rest.len > 0 && rest.data[rest.len - 1] == '0')
        rest.len--;
    return rest;
}

static bool same_ts(const struct sb_cell *cell, const struct stored_reading *stored)
{
    int64_t ts_us;

    if (cell->type != SB_JSON_STRING || !sb_time_parse(inside(cell->text), &ts_us) ||
        ts_us != stored->ts_us)
        return false;
    return sb_span_eq(beyond_us(inside(cell->text)), beyond_us(stored->ts_text));
}

/* Values of one column: whole numbers exactly, doubles as doubles, texts by their bytes. */
static bool same_scalar(const struct value *a, const struct value *b)
{
    int64_t whole;

    if (a->kind == VALUE_TEXT || b->kind == VALUE_TEXT)
        return a->kind == b->kind && sb_span_eq(a->text, b->text);
    if (a->kind == b->kind)
        return a->kind == VALUE_INT ? a->i == b->i : a->d == b->d;
    if (a->kind == VALUE_INT)
        return whole_of(b->d, &whole) && whole == a->i;
    return whole_of(a->d, &whole) && whole == b->i;
}

static bool same_text(struct sb_span string, struct sb_span text)
{
    struct sb_buf plain = {0};
    bool same;

    if (!has_escape(string))
        return sb_span_eq(inside(string), text);
    sb_json_unescape(string, &plain);
    same = sb_span_eq(sb_buf_span(&plain), text);
    sb_buf_free(&plain);
    return same;
}

static bool same_value(const struct sb_cell *cell, const struct stored_value *stored)
{
    struct value value = {0};

    switch (cell->type) {
    case SB_JSON_NUMBER:
        return stored->type != COLUMN_STRING && stored->type != COLUMN_BOOLEAN &&
               number_of(cell->text, &value) && same_scalar(&value, &stored->value);
    case SB_JSON_STRING:
        return stored->type == COLUMN_STRING && same_text(cell->text, stored->value.text);
    case SB_JSON_TRUE:
    case SB_JSON_FALSE:
        return stored->type == COLUMN_BOOLEAN && stored->value.i == (cell->type == SB_JSON_TRUE);
    case SB_JSON_NULL:
    case SB_JSON_ARRAY:
    case SB_JSON_OBJECT:
        break;
    }
    return false;
}

static bool same_json(const struct sb_cell *cell, struct sb_span stored)
{
    struct value a = {0}, b = {0};

    if (sb_json_equal(cell->text, stored))
        return true;
    return cell->type == SB_JSON_NUMBER && sb_json_type_of(stored) == SB_JSON_NUMBER &&
           number_of(cell->text, &a) && number_of(stored, &b) && same_scalar(&a, &b);
}

/* The field that fills the column of that name, today or by its own name; -1 = none. */
static int field_for(const struct plan *plan, struct sb_span column)
{
    int by_name = -1;

    for (size_t i = 0; i < plan->field_count; i++) {
        int target = plan->target[i];

        if (target >= 0 && sb_span_is(column, plan->mapping->columns[target].name))
            return (int)i;
        if (sb_span_eq(plan->fields[i], column))
            by_name = (int)i;
    }
    return by_name;
}

static int field_named(const struct plan *plan, struct sb_span name)
{
    for (size_t i = 0; i < plan->field_count; i++)
        if (sb_span_eq(plan->fields[i], name))
            return (int)i;
    return -1;
}

static bool same_columns(const struct plan *plan, const struct sb_cell *row,
                         const struct stored_reading *stored, size_t *matched)
{
    for (size_t i = 0; i < stored->count; i++) {
        int field = field_for(plan, sb_span_of(stored->values[i].name));

        if (field < 0 || !same_value(&row[field], &stored->values[i]))
            return false;
        (*matched)++;
    }
    return true;
}

static bool same_extra(const struct plan *plan, const struct sb_cell *row, struct sb_span extra,
                       size_t *matched)
{
    struct sb_json_iter iter;
    struct sb_span key, value;
    int field;

    if (extra.len == 0)
        return true;
    sb_json_iter_init(&iter, extra);
    while (sb_json_next_member(&iter, &key, &value)) {
        if (sb_json_type_of(value) == SB_JSON_NULL)
            continue;
        field = field_named(plan, key);
        if (field < 0 || !same_json(&row[field], value))
            return false;
        (*matched)++;
    }
    return true;
}

bool reading_matches(const struct plan *plan, const struct sb_record *record,
                     const struct sb_cell *cells, const struct stored_reading *stored)
{
    const struct sb_cell *row = cells + record->first_cell;
    size_t given = 0, matched = 0;

    if (record->type != SB_JSON_ARRAY || record->cell_count != plan->field_count || plan->ts < 0 ||
        !same_ts(&row[plan->ts], stored))
        return false;
    for (size_t i = 0; i < plan->field_count; i++)
        given += plan->target[i] != PLAN_TS && row[i].type != SB_JSON_NULL;
    return same_columns(plan, row, stored, &matched) &&
           same_extra(plan, row, stored->extra, &matched) && matched == given;
}

/* ---- identity of a frame ---- */

static void print_value(const struct value *value, struct sb_buf *out)
{
    int64_t whole;

    if (value->kind == VALUE_TEXT)
        sb_buf_add_json(out, value->text);
    else if (value->kind == VALUE_INT)
        sb_buf_add_fmt(out, "%lld", (long long)value->i);
    else if (whole_of(value->d, &whole)) /* 1.0 is the same number as 1 */
        sb_buf_add_fmt(out, "%lld", (long long)whole);
    else
        sb_buf_add_fmt(out, "%.17g", value->d);
    sb_buf_add_char(out, ',');
}

bool reading_identity(const struct reading *reading, const struct plan *plan, uint64_t *hash)
{
    uint64_t identity = plan->mapping != NULL ? plan->mapping->identity : 0;
    struct sb_buf text = {0};
    bool whole = true;

    if (identity == 0 || (plan->columns & identity) != identity)
        return false;
    for (size_t i = 0; i < plan->mapping->count; i++) {
        if ((identity >> i & 1) == 0)
            continue;
        whole = whole && reading->values[i].kind != VALUE_NULL;
        if (whole)
            print_value(&reading->values[i], &text);
    }
    *hash = whole ? sb_hash64(sb_buf_span(&text)) : 0;
    sb_buf_free(&text);
    return whole;
}

static const struct value *stored_value(const struct stored_reading *stored, const char *name)
{
    for (size_t i = 0; i < stored->count; i++)
        if (strcmp(stored->values[i].name, name) == 0)
            return &stored->values[i].value;
    return NULL;
}

bool reading_same_identity(const struct reading *reading, const struct plan *plan,
                           const struct stored_reading *stored)
{
    const struct mapping *mapping = plan->mapping;

    for (size_t i = 0; i < mapping->count; i++) {
        const struct value *value;

        if ((mapping->identity >> i & 1) == 0)
            continue;
        value = stored_value(stored, mapping->columns[i].name);
        if (value == NULL || !same_scalar(&reading->values[i], value))
            return false;
    }
    return true;
}

/* ---- the hash of a rejected record ---- */

static int by_field(const void *a, const void *b, void *fields)
{
    const struct sb_span *names = fields;
    const struct sb_span x = names[*(const size_t *)a], y = names[*(const size_t *)b];
    size_t shorter = x.len < y.len ? x.len : y.len;
    int order = shorter > 0 ? memcmp(x.data, y.data, shorter) : 0;

    return order != 0 ? order : (x.len > y.len) - (x.len < y.len);
}

static void print_members(const struct plan *plan, const struct sb_cell *row, struct sb_buf *out)
{
    struct sb_span names[SB_FIELDS_MAX];
    size_t order[SB_FIELDS_MAX];

    for (size_t i = 0; i < plan->field_count; i++) {
        names[i] = plan->fields[i];
        order[i] = i;
    }
    qsort_r(order, plan->field_count, sizeof(*order), by_field, names);
    for (size_t i = 0; i < plan->field_count; i++) {
        if (row[order[i]].type == SB_JSON_NULL)
            continue;
        sb_buf_add_span(out, names[order[i]]);
        sb_buf_add_char(out, ':');
        content_print(row[order[i]].text, out);
        sb_buf_add_char(out, ',');
    }
}

uint64_t reading_hash(const struct plan *plan, const struct sb_record *record,
                      const struct sb_cell *cells)
{
    struct sb_buf text = {0};
    uint64_t hash;

    if (record->type == SB_JSON_ARRAY && record->cell_count == plan->field_count) {
        print_members(plan, cells + record->first_cell, &text);
    } else {
        for (size_t i = 0; i < plan->field_count; i++) {
            sb_buf_add_span(&text, plan->fields[i]);
            sb_buf_add_char(&text, ',');
        }
        content_print(record->text, &text);
    }
    hash = sb_hash64(sb_buf_span(&text));
    sb_buf_free(&text);
    return hash;
}
