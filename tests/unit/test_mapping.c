/* Mapping files, and what one row becomes under them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cloud_ingest/content.h"
#include "cloud_ingest/mapping.h"

static void refused(const char *text, const char *why)
{
    struct mapping_set *set = mapping_set_new();
    struct sb_err err = {0};

    assert_int_equal(mapping_set_add(set, sb_span_of(text), &err), -SB_ECONFIG);
    assert_int_equal(err.code, SB_ECONFIG);
    if (strstr(err.msg, why) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.msg, why);
    mapping_set_free(set);
}

static void a_file_with_a_mistake_is_refused_by_name(void **state)
{
    (void)state;
    refused("{", "");
    refused("[]", "not an object");
    refused("{\"type\":\"a\",\"columns\":[],\"colums\":[]}", "unknown member colums");
    refused("{\"columns\":[]}", "type");
    refused("{\"type\":\"a/b\",\"columns\":[]}", "type: not [A-Za-z0-9_-]{1,64}");
    refused("{\"type\":\"a\",\"columns\":[{\"name\":\"x\",\"type\":\"float\"}]}",
            "columns: element 0: type: float is not");
    refused("{\"type\":\"a\",\"columns\":[{\"name\":\"seq\",\"type\":\"number\"}]}",
            "name seq is the table's own");
    refused("{\"type\":\"a\",\"columns\":[{\"name\":\"x\",\"type\":\"number\"},"
            "{\"name\":\"X\",\"type\":\"number\"}]}",
            "name X is taken already");
    refused("{\"type\":\"a\",\"columns\":[{\"name\":\"x\",\"type\":\"number\",\"from\":[\"q\"]},"
            "{\"name\":\"y\",\"type\":\"number\",\"from\":\"q\"}]}",
            "from: q is taken already");
    refused("{\"type\":\"a\",\"columns\":[{\"name\":\"x\",\"type\":\"string\",\"min\":1}]}",
            "min and max go with numbers");
    refused("{\"type\":\"a\",\"columns\":[{\"name\":\"x\",\"type\":\"number\",\"min\":2,"
            "\"max\":1}]}",
            "min is above max");
    refused("{\"type\":\"a\",\"columns\":[],\"identity\":[\"x\"]}", "identity: x is not a column");
}

static void a_type_is_declared_once(void **state)
{
    struct mapping_set *set = mapping_set_new();
    struct sb_err err;

    (void)state;
    assert_int_equal(mapping_set_add(set, SB_SPAN("{\"type\":\"a\",\"columns\":[]}"), &err), 0);
    assert_int_equal(mapping_set_add(set, SB_SPAN("{\"type\":\"A\",\"columns\":[]}"), &err),
                     -SB_ECONFIG);
    assert_non_null(mapping_set_get(set, "a"));
    assert_null(mapping_set_get(set, "A"));
    mapping_set_free(set);
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void a_folder_is_read_by_the_names_of_its_files(void **state)
{
    char folder[] = "/tmp/sb-mapping-XXXXXX", path[256];
    struct mapping_set *set = mapping_set_new();
    struct sb_err err;

    (void)state;
    assert_int_equal(mapping_set_load(set, "/tmp/sb-there-is-no-such-folder", &err),
                     -SB_ENOT_FOUND);
    assert_non_null(mkdtemp(folder));
    write_file(folder, "a.json", "{\"type\":\"a\",\"columns\":[]}");
    write_file(folder, "README", "no mapping");
    write_file(folder, "d.json", "{\"table\":\"d\"}"); /* of records: not a sensor type */
    assert_int_equal(mapping_set_load(set, folder, &err), 0);
    assert_int_equal(mapping_set_count(set), 1);
    write_file(folder, "b.json", "{\"type\":\"c\",\"columns\":[]}");
    mapping_set_free(set);
    set = mapping_set_new();
    assert_int_equal(mapping_set_load(set, folder, &err), -SB_ECONFIG);
    assert_non_null(strstr(err.msg, "b.json: declares the type c"));
    mapping_set_free(set);
    for (const char *const *name =
             (const char *const[]){"a.json", "b.json", "d.json", "README", NULL};
         *name != NULL; name++) {
        snprintf(path, sizeof(path), "%s/%s", folder, *name);
        unlink(path);
    }
    rmdir(folder);
}

static void the_shipped_files_are_right(void **state)
{
    struct mapping_set *set = mapping_set_new();
    const char *source = getenv("SB_SOURCE_DIR");
    struct sb_err err = {0};
    char folder[512];

    (void)state;
    snprintf(folder, sizeof(folder), "%s/cloud_ingest/mappings", source != NULL ? source : ".");
    if (mapping_set_load(set, folder, &err) != 0)
        fail_msg("%s", err.msg);
    assert_non_null(mapping_set_get(set, "air_quality"));
    assert_non_null(mapping_set_get(set, "system"));
    mapping_set_free(set);
}

/* ---- one row ---- */

static const char declared[] =
    "{\"type\":\"t\",\"columns\":[{\"name\":\"n\",\"type\":\"number\",\"min\":-5,\"max\":5e9},"
    "{\"name\":\"i\",\"type\":\"integer\"},{\"name\":\"s\",\"type\":\"string\"},"
    "{\"name\":\"b\",\"type\":\"boolean\"},"
    "{\"name\":\"must\",\"type\":\"number\",\"required\":true,\"from\":[\"m\"]}]}";

struct row {
    struct mapping_set *set;
    struct plan plan;
    struct reading reading;
    struct sb_cell cells[8];
    struct sb_record record;
};

static enum sb_json_type type_of(const char *text)
{
    return sb_json_type_of(sb_span_of(text));
}

/* Cells of ts, n, i, s, b, m, other. */
static bool read_row(struct row *row, const char *const cells[7])
{
    struct sb_span fields[] = {SB_SPAN("ts"), SB_SPAN("n"), SB_SPAN("i"),    SB_SPAN("s"),
                               SB_SPAN("b"),  SB_SPAN("m"), SB_SPAN("other")};

    if (row->set == NULL) {
        row->set = mapping_set_new();
        assert_int_equal(mapping_set_add(row->set, sb_span_of(declared), NULL), 0);
        plan_make(&row->plan, mapping_set_get(row->set, "t"), fields, 7);
    }
    for (size_t i = 0; i < 7; i++)
        row->cells[i] = (struct sb_cell){type_of(cells[i]), sb_span_of(cells[i])};
    row->record = (struct sb_record){.type = SB_JSON_ARRAY, .cell_count = 7};
    row->record.text.len = 1000;
    return reading_read(&row->reading, &row->plan, &row->record, row->cells);
}

static void done(struct row *row)
{
    reading_free(&row->reading);
    plan_fini(&row->plan);
    mapping_set_free(row->set);
}

#define TS "\"2026-01-01T00:00:00Z\""

static void values_of_their_type_are_taken_as_they_came(void **state)
{
    struct row row = {.set = NULL};
    const struct value *v = row.reading.values;

    (void)state;
    assert_true(read_row(
        &row, (const char *const[]){TS, "1", "5.0", "\"a\\u00e9\\n\"", "true", "0.1", "[1, 2]"}));
    assert_int_equal(v[0].kind, VALUE_INT);
    assert_int_equal(v[0].i, 1);
    assert_int_equal(v[1].i, 5);
    assert_true(sb_span_is(v[2].text, "a\xc3\xa9\n"));
    assert_int_equal(v[3].i, 1);
    assert_int_equal(v[4].kind, VALUE_REAL);
    assert_true(v[4].d == 0.1);
    assert_string_equal(row.reading.extra.data, "{\"other\":[1, 2]}");
    assert_int_equal(row.reading.ts_text.len, 0);
    assert_true(read_row(&row, (const char *const[]){TS, "-0", "9223372036854775807", "\"\"",
                                                     "false", "1e-400", "null"}));
    assert_int_equal(v[0].kind, VALUE_REAL);
    assert_true(signbit(v[0].d));
    assert_true(v[1].i == INT64_MAX);
    assert_int_equal(v[2].kind, VALUE_TEXT);
    assert_int_equal(v[2].text.len, 0);
    assert_true(
        read_row(&row, (const char *const[]){TS, "null", "null", "null", "null", "7", "1"}));
    assert_int_equal(v[0].kind, VALUE_NULL);
    done(&row);
}

static void bad_cell(struct row *row, size_t at, const char *text, enum sb_code code,
                     const char *reason)
{
    const char *cells[7] = {TS, "1", "1", "\"\"", "true", "1", "1"};

    cells[at] = text;
    assert_false(read_row(row, cells));
    assert_int_equal(row->reading.code, code);
    assert_string_equal(row->reading.reason, reason);
}

static void a_bad_value_names_its_column(void **state)
{
    struct row row = {.set = NULL};

    (void)state;
    bad_cell(&row, 1, "\"1\"", SB_EBAD_VALUE, "n: not a number");
    bad_cell(&row, 1, "true", SB_EBAD_VALUE, "n: not a number");
    bad_cell(&row, 1, "-5.5", SB_EBAD_VALUE, "n: out of range");
    bad_cell(&row, 1, "5000000001", SB_EBAD_VALUE, "n: out of range");
    bad_cell(&row, 1, "1e400", SB_EBAD_VALUE, "n: beyond the range of a double");
    bad_cell(&row, 2, "1.5", SB_EBAD_VALUE, "i: not an integer of 64 bits");
    bad_cell(&row, 2, "9223372036854775808", SB_EBAD_VALUE, "i: not an integer of 64 bits");
    bad_cell(&row, 2, "1e30", SB_EBAD_VALUE, "i: not an integer of 64 bits");
    bad_cell(&row, 3, "1", SB_EBAD_VALUE, "s: not a string");
    bad_cell(&row, 4, "1", SB_EBAD_VALUE, "b: not true or false");
    bad_cell(&row, 5, "null", SB_EMISSING_FIELD, "must: required and null");
    bad_cell(&row, 0, "null", SB_EMISSING_FIELD, "ts: missing");
    bad_cell(&row, 0, "12", SB_EBAD_VALUE, "ts: not an RFC 3339 time");
    bad_cell(&row, 0, "\"2026-02-30T00:00:00Z\"", SB_EBAD_VALUE, "ts: not an RFC 3339 time");
    done(&row);
}

static void a_required_column_that_no_field_fills_is_missing(void **state)
{
    struct mapping_set *set = mapping_set_new();
    const struct sb_span fields[] = {SB_SPAN("ts"), SB_SPAN("n")};
    const struct sb_cell cells[] = {{SB_JSON_STRING, SB_SPAN(TS)}, {SB_JSON_NUMBER, SB_SPAN("1")}};
    const struct sb_record record = {.type = SB_JSON_ARRAY, .cell_count = 2};
    struct reading reading = {.code = SB_OK};
    struct plan plan;

    (void)state;
    assert_int_equal(mapping_set_add(set, sb_span_of(declared), NULL), 0);
    plan_make(&plan, mapping_set_get(set, "t"), fields, 2);
    assert_false(reading_read(&reading, &plan, &record, cells));
    assert_int_equal(reading.code, SB_EMISSING_FIELD);
    assert_string_equal(reading.reason, "must: required");
    reading_free(&reading);
    plan_fini(&plan);
    mapping_set_free(set);
}

static void content_has_one_text_per_value(void **state)
{
    struct sb_buf a = {0}, b = {0};

    (void)state;
    content_print(SB_SPAN("{ \"b\" : [1, 1.0,\"\\u0041\"], \"a\":{\"y\":null,\"x\":\"\\n\"}}"), &a);
    content_print(SB_SPAN("{\"a\":{\"x\":\"\\u000a\",\"y\":null},\"b\":[1,1.0,\"A\"]}"), &b);
    assert_string_equal(a.data, b.data);
    sb_buf_clear(&b);
    content_print(SB_SPAN("{\"a\":{\"x\":\"\\u000a\",\"y\":null},\"b\":[1,1,\"A\"]}"), &b);
    assert_string_not_equal(a.data, b.data);
    sb_buf_clear(&a);
    content_print_without(SB_SPAN("{\"hlc\":1,\"z\":{\"hlc\":2},\"a\":0}"), "hlc", &a);
    assert_string_equal(a.data, "{\"a\":0,\"z\":{\"hlc\":2}}");
    sb_buf_free(&a);
    sb_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_with_a_mistake_is_refused_by_name),
        cmocka_unit_test(a_type_is_declared_once),
        cmocka_unit_test(a_folder_is_read_by_the_names_of_its_files),
        cmocka_unit_test(the_shipped_files_are_right),
        cmocka_unit_test(values_of_their_type_are_taken_as_they_came),
        cmocka_unit_test(a_bad_value_names_its_column),
        cmocka_unit_test(a_required_column_that_no_field_fills_is_missing),
        cmocka_unit_test(content_has_one_text_per_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
