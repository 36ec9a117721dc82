/* Local and cloud names of the members of records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "edge_agent/record_names.h"

static char folder[64];
static struct record_names *names;
static struct sb_err err;

static int setup(void **state)
{
    (void)state;
    err = (struct sb_err){0};
    names = NULL;
    snprintf(folder, sizeof(folder), "/tmp/test_names.XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static const char *path(void)
{
    static char text[128];

    snprintf(text, sizeof(text), "%s/projects.json", folder);
    return text;
}

static int teardown(void **state)
{
    (void)state;
    record_names_free(names);
    unlink(path());
    return rmdir(folder);
}

static int load(const char *text)
{
    FILE *file = fopen(path(), "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    record_names_free(names);
    names = NULL;
    return record_names_load(folder, "projects", &names, &err);
}

static void assert_cloud(const char *local, const char *cloud)
{
    struct sb_buf out = {0};

    assert_int_equal(record_names_to_cloud(names, sb_span_of(local), &out, &err), 0);
    assert_string_equal(out.data, cloud);
    sb_buf_free(&out);
}

static void assert_local(const char *cloud, const char *local)
{
    struct sb_buf out = {0};

    assert_int_equal(record_names_to_local(names, sb_span_of(cloud), &out, &err), 0);
    assert_string_equal(out.data, local);
    sb_buf_free(&out);
}

#define NAMES                                                                                      \
    "{\"table\":\"projects\",\"fields\":{\"title\":\"project_name\",\"owner\":\"owner_id\"}}"

static void members_get_their_names_and_keep_their_values(void **state)
{
    (void)state;
    assert_int_equal(load(NAMES), 0);
    assert_int_equal(record_names_count(names), 2);
    assert_cloud("{\"title\":\"a\\u0062\",\"n\":1.0e5,\"owner\":{\"title\":1}}",
                 "{\"project_name\":\"a\\u0062\",\"n\":1.0e5,\"owner_id\":{\"title\":1}}");
    assert_local("{\"project_name\": null, \"n\":9007199254740993}",
                 "{\"title\":null,\"n\":9007199254740993}");
    assert_cloud("{\"t\\u0069tle\":1}", "{\"project_name\":1}");
    assert_cloud("{}", "{}");
}

static void without_a_file_nothing_is_renamed(void **state)
{
    (void)state;
    assert_int_equal(record_names_load(folder, "projects", &names, &err), 0);
    assert_null(names);
    assert_int_equal(record_names_load("", "projects", &names, &err), 0);
    assert_null(names);
    assert_int_equal(record_names_count(names), 0);
    assert_cloud("{ \"title\" : 1 }", "{ \"title\" : 1 }");
    assert_local("{ \"title\" : 1 }", "{ \"title\" : 1 }");
}

static void names_may_change_places(void **state)
{
    (void)state;
    assert_int_equal(load("{\"table\":\"projects\",\"fields\":{\"a\":\"b\",\"b\":\"a\"}}"), 0);
    assert_cloud("{\"a\":1,\"b\":2}", "{\"b\":1,\"a\":2}");
    assert_local("{\"b\":1,\"a\":2}", "{\"a\":1,\"b\":2}");
}

static void the_clouds_name_of_another_member_is_refused(void **state)
{
    struct sb_buf out = {0};

    (void)state;
    assert_int_equal(load(NAMES), 0);
    assert_int_equal(record_names_to_cloud(names, sb_span_of("{\"project_name\":1}"), &out, &err),
                     -(int)SB_EBAD_VALUE);
    assert_non_null(strstr(err.msg, "project_name"));
    assert_non_null(strstr(err.msg, "title"));
    assert_int_equal(out.len, 0);
}

static void a_document_with_both_names_cannot_be_shown(void **state)
{
    struct sb_buf out = {0};

    (void)state;
    assert_int_equal(load(NAMES), 0);
    assert_int_equal(
        record_names_to_local(names, sb_span_of("{\"project_name\":1,\"title\":2}"), &out, &err),
        -(int)SB_EDUPLICATE_KEY);
    assert_int_equal(out.len, 0);
    assert_local("{\"title\":2}", "{\"title\":2}");
}

static void a_file_that_makes_no_sense_is_named(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{\"table\":\"projects\"}",
        "{\"table\":\"contents\",\"fields\":{}}",
        "{\"fields\":{}}",
        "{\"table\":\"projects\",\"fields\":[]}",
        "{\"table\":\"projects\",\"fields\":{\"a\":1}}",
        "{\"table\":\"projects\",\"fields\":{\"a\":\"x\",\"b\":\"x\"}}",
        "{\"table\":\"projects\",\"fields\":{\"a\":\"x\",\"a\":\"y\"}}",
        "{\"table\":\"projects\",\"fields\":{\"\":\"x\"}}",
        "{\"table\":\"projects\",\"fields\":{\"a\":\"\"}}",
        "{\"table\":\"projects\",\"fields\":{},\"more\":1}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (load(bad[i]) != -(int)SB_ECONFIG)
            fail_msg("%s", bad[i]);
        assert_int_equal(err.code, SB_ECONFIG);
        assert_non_null(strstr(err.msg, "projects.json"));
        assert_null(names);
    }
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
    (void)state;
    assert_int_equal(mkdir(path(), 0700), 0);
    assert_int_equal(record_names_load(folder, "projects", &names, &err), -(int)SB_ECONFIG);
    assert_non_null(strstr(err.msg, "projects.json"));
    assert_int_equal(rmdir(path()), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(members_get_their_names_and_keep_their_values, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(without_a_file_nothing_is_renamed, setup, teardown),
        cmocka_unit_test_setup_teardown(names_may_change_places, setup, teardown),
        cmocka_unit_test_setup_teardown(the_clouds_name_of_another_member_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_document_with_both_names_cannot_be_shown, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_file_that_makes_no_sense_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_cannot_be_read_is_named, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
