/* Tables of documents and what a transaction wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "cloud_ingest/limits.h"
#include "cloud_ingest/tables.h"
#include "cloud_ingest/written.h"

static struct sb_err err;

static int read_text(struct tables *tables, const char *text)
{
    return tables_add(tables, sb_span_of(text), NULL, &err);
}

static void settings_are_always_there(void **state)
{
    struct tables *tables = tables_new();

    (void)state;
    assert_int_equal(tables_count(tables), 0);
    assert_int_equal(tables_get(tables, "settings")->policy, SB_POLICY_MERGE);
    assert_null(tables_get(tables, "projects"));
    assert_int_equal(tables_declare(tables, "settings", SB_POLICY_LOCAL, &err), 0);
    assert_int_equal(tables_get(tables, "settings")->policy, SB_POLICY_LOCAL);
    assert_int_equal(tables_count(tables), 0);
    assert_int_equal(read_text(tables, "{\"table\":\"settings\",\"arrays\":{\"/a\":\"k\"}}"), 0);
    assert_int_equal(tables_get(tables, "settings")->keys.count, 1);
    tables_free(tables);
}

static void tables_are_declared_once_and_named_well(void **state)
{
    struct tables *tables = tables_new();
    char name[SB_NAME_MAX + 8];

    (void)state;
    assert_int_equal(tables_declare(tables, "a_1", SB_POLICY_SERVER, &err), 0);
    assert_int_equal(tables_declare(tables, "a_1", SB_POLICY_SERVER, &err), -SB_ECONFIG);
    assert_int_equal(tables_declare(tables, "A", SB_POLICY_SERVER, &err), -SB_ECONFIG);
    assert_int_equal(tables_declare(tables, "", SB_POLICY_SERVER, &err), -SB_ECONFIG);
    for (int i = 1; i < LIMIT_TABLES; i++) {
        snprintf(name, sizeof(name), "t%d", i);
        assert_int_equal(tables_declare(tables, name, SB_POLICY_MERGE, &err), 0);
    }
    assert_int_equal(tables_declare(tables, "more", SB_POLICY_MERGE, &err), -SB_ECONFIG);
    assert_non_null(strstr(err.msg, "more than 64 tables"));
    assert_int_equal(tables_count(tables), LIMIT_TABLES);
    assert_string_equal(tables_at(tables, 1)->name, "t1");
    tables_free(tables);
}

static void a_file_says_more_of_a_declared_table(void **state)
{
    struct tables *tables = tables_new();

    (void)state;
    assert_int_equal(tables_declare(tables, "flows", SB_POLICY_MERGE, &err), 0);
    assert_int_equal(read_text(tables, " {\"table\":\"flows\",\"policy\":\"latest\",\"arrays\":"
                                       "{\"/nodes\":\"id\",\"/a/*/b\":\"k\"},\"fields\":{}} "),
                     0);
    assert_int_equal(tables_get(tables, "flows")->policy, SB_POLICY_LATEST);
    assert_string_equal(tables_get(tables, "flows")->arrays.data,
                        "{\"/a/*/b\":\"k\",\"/nodes\":\"id\"}");
    assert_int_equal(read_text(tables, "{\"table\":\"flows\",\"arrays\":{}}"), 0);
    assert_int_equal(tables_get(tables, "flows")->arrays.len, 0);
    assert_int_equal(tables_get(tables, "flows")->policy, SB_POLICY_LATEST);
    assert_int_equal(read_text(tables, "{\"table\":\"unused\",\"policy\":\"local\"}"), 0);
    assert_null(tables_get(tables, "unused"));
    tables_free(tables);
}

static void what_is_wrong_with_a_file_is_said(void **state)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"[]", "not an object"},
        {"{\"table\":\"flows\"", "byte"},
        {"{\"table\":\"Flows\"}", "[a-z]"},
        {"{\"policy\":\"merge\"}", "table"},
        {"{\"table\":\"flows\",\"policy\":\"newest\"}", "policy"},
        {"{\"table\":\"flows\",\"arrays\":{\"nodes\":\"id\"}}", "arrays"},
        {"{\"table\":\"flows\",\"arrays\":[]}", "arrays"},
        {"{\"table\":\"flows\",\"key\":1}", "unknown member key"},
    };
    struct tables *tables = tables_new();

    (void)state;
    assert_int_equal(tables_declare(tables, "flows", SB_POLICY_MANUAL, &err), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(read_text(tables, bad[i].text), -SB_ECONFIG);
        assert_int_equal(err.code, SB_ECONFIG);
        if (strstr(err.msg, bad[i].says) == NULL)
            fail_msg("%s: %s", bad[i].text, err.msg);
    }
    assert_int_equal(tables_get(tables, "flows")->policy, SB_POLICY_MANUAL);
    tables_free(tables);
}

static void what_was_written_is_kept_per_user_table_and_author(void **state)
{
    struct written_list list = {0};
    char author[16];

    (void)state;
    written_add(&list, "u", "t", "a", 5, false);
    written_add(&list, "u", "t", "b", 6, false);
    written_add(&list, "u", "t", "a", 7, true);
    written_add(&list, "u", "t", "a", 8, false);
    written_add(&list, "u", "s", "a", 9, false);
    assert_int_equal(list.count, 3);
    assert_int_equal(list.at[0].version, 8);
    assert_true(list.at[0].merged);
    assert_int_equal(list.at[1].version, 6);
    assert_false(list.at[1].merged);
    written_clear(&list);
    for (int i = 0; i < LIMIT_WRITTEN + 3; i++) {
        snprintf(author, sizeof(author), "a%d", i);
        written_add(&list, "u", "t", author, (uint64_t)i + 1, false);
    }
    assert_int_equal(list.count, LIMIT_WRITTEN);
    assert_int_equal(list.left_out, 3);
    written_free(&list);
    assert_int_equal(list.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_are_always_there),
        cmocka_unit_test(tables_are_declared_once_and_named_well),
        cmocka_unit_test(a_file_says_more_of_a_declared_table),
        cmocka_unit_test(what_is_wrong_with_a_file_is_said),
        cmocka_unit_test(what_was_written_is_kept_per_user_table_and_author),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
