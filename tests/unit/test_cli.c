/* The command lines: verbs of one and two words, options before and after them, what is wrong is
 * named with its nearest match, exit statuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cli.h"

static char seen[4096]; /* what the verbs noted */
static char output[32768], complaint[4096];

static int run_put(struct sb_cli *cli)
{
    snprintf(seen, sizeof(seen), "put %zu:%s,%s user=%s wait=%lld n=%lld dry=%d json=%d level=%s",
             sb_cli_arg_count(cli), sb_cli_arg(cli, 0),
             sb_cli_arg(cli, 1) != NULL ? sb_cli_arg(cli, 1) : "-",
             sb_cli_text(cli, "user") != NULL ? sb_cli_text(cli, "user") : "-",
             (long long)sb_cli_number(cli, "wait", -1), (long long)sb_cli_number(cli, "count", -1),
             sb_cli_given(cli, "dry-run"), sb_cli_json(cli),
             sb_conf_str(sb_cli_conf(cli), "log", "level"));
    return 0;
}

static int run_grant(struct sb_cli *cli)
{
    snprintf(seen, sizeof(seen), "grant %s %s", sb_cli_arg(cli, 0), sb_cli_arg(cli, 1));
    return 0;
}

static int run_fail(struct sb_cli *cli)
{
    struct sb_err err;

    sb_fail(&err, SB_ENOT_FOUND, "nothing there");
    return sb_cli_fail(cli, &err);
}

static int run_diff(struct sb_cli *cli)
{
    snprintf(seen, sizeof(seen), "diff %lld", (long long)sb_cli_number(cli, "version", 0));
    return 0;
}

static int run_print(struct sb_cli *cli)
{
    (void)cli;
    printf("a line\n");
    return 0;
}

static const struct sb_cli_option put_options[] = {
    {"user", SB_CLI_TEXT, false, "USER", "whose"},
    {"wait", SB_CLI_DURATION, false, "S", "how long"},
    {"count", SB_CLI_NUMBER, false, "N", "how many"},
    {"dry-run", SB_CLI_FLAG, false, NULL, "only say"},
    {0}};
static const struct sb_cli_option diff_options[] = {
    {"version", SB_CLI_NUMBER, false, "N", "against which"}, {0}};
static const struct sb_cli_option fail_options[] = {
    {"device", SB_CLI_TEXT, true, "DEVICE", "which"}, {0}};

static const struct sb_cli_verb verbs[] = {
    {.name = "put",
     .arguments = "STREAM [RECORD]",
     .min_args = 1,
     .max_args = 2,
     .json = true,
     .summary = "store a record",
     .help = "examples:\n  prog put x\n",
     .options = put_options,
     .run = run_put},
    {.name = "device grant",
     .arguments = "DEVICE USER",
     .min_args = 2,
     .max_args = 2,
     .summary = "bind",
     .run = run_grant},
    {.name = "device list", .arguments = "", .summary = "list", .run = run_print},
    {.name = "diff", .arguments = "", .summary = "diff", .options = diff_options, .run = run_diff},
    {.name = "fail", .arguments = "", .summary = "fail", .options = fail_options, .run = run_fail},
    SB_CLI_CONFIG_VERBS,
};

static const struct sb_conf_key keys[] = {
    {"log", "level", SB_CONF_STRING, "info", 0, 0, false, false, "how much is logged"},
    {"broker", "url", SB_CONF_STRING, "", 0, 0, false, false, "where"},
};

static struct sb_conf *conf_new(void)
{
    return sb_conf_new("prog", keys, 2);
}

static int conf_load(struct sb_conf *conf, const char *file, char *const *environ_list,
                     struct sb_err *err)
{
    (void)conf;
    (void)environ_list;
    return file == NULL ? 0 : sb_fail(err, SB_ECONFIG, "%s: bad", file);
}

static int conf_check(const struct sb_conf *conf, struct sb_err *err)
{
    return sb_conf_is_set(conf, "broker", "url")
               ? 0
               : sb_fail(err, SB_ENOT_CONFIGURED, "not configured: [broker] url");
}

static const struct sb_cli_program program = {.name = "prog",
                                              .summary = "Does things.\n",
                                              .footer = "exit status: 0 ok\n",
                                              .verbs = verbs,
                                              .verb_count = sizeof(verbs) / sizeof(verbs[0]),
                                              .conf_new = conf_new,
                                              .conf_load = conf_load,
                                              .conf_check = conf_check};

/* Lets fd write into a file of its own; returns what it wrote to before. */
static int divert(int fd, FILE *file)
{
    int before = dup(fd);

    assert_true(before >= 0);
    assert_true(dup2(fileno(file), fd) >= 0);
    return before;
}

static void restore(int fd, int before, FILE *file, char *text, size_t size)
{
    size_t len;

    assert_true(dup2(before, fd) >= 0);
    close(before);
    rewind(file);
    len = fread(text, 1, size - 1, file);
    text[len] = '\0';
    fclose(file);
}

/* Runs "prog <words>", words divided by blanks. */
static int run(const char *words)
{
    char copy[512], *argv[32] = {(char[]){"prog"}}, *rest = NULL;
    FILE *out = tmpfile(), *err = tmpfile();
    int argc = 1, out_before, err_before, status;

    assert_true(out != NULL && err != NULL);
    snprintf(copy, sizeof(copy), "%s", words);
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    seen[0] = '\0';
    fflush(stdout);
    out_before = divert(STDOUT_FILENO, out);
    err_before = divert(STDERR_FILENO, err);
    status = sb_cli_main(&program, argc, argv);
    fflush(stdout);
    restore(STDOUT_FILENO, out_before, out, output, sizeof(output));
    restore(STDERR_FILENO, err_before, err, complaint, sizeof(complaint));
    return status;
}

static void complains(const char *words, int status, const char *text)
{
    assert_int_equal(run(words), status);
    if (strstr(complaint, text) == NULL)
        print_error("'%s' says: %s", words, complaint);
    assert_non_null(strstr(complaint, text));
    assert_string_equal(seen, "");
    assert_string_equal(output, "");
}

static void options_may_stand_anywhere(void **state)
{
    (void)state;
    assert_int_equal(run("put s"), 0);
    assert_string_equal(seen, "put 1:s,- user=- wait=-1 n=-1 dry=0 json=0 level=info");
    assert_int_equal(run("--set log.level=debug put --user=u s --wait 500ms {} --json "
                         "--count 9223372036854775807 --dry-run"),
                     0);
    assert_string_equal(seen, "put 2:s,{} user=u wait=500 n=9223372036854775807 dry=1 json=1 "
                              "level=debug");
    assert_int_equal(run("put --set log.level=warn --wait 2 -- --user -x"), 0);
    assert_string_equal(seen, "put 2:--user,-x user=- wait=2000 n=-1 dry=0 json=0 level=warn");
    assert_int_equal(run("device grant edge-001 u"), 0);
    assert_string_equal(seen, "grant edge-001 u");
}

static void an_option_of_the_verb_hides_a_common_one_of_that_name(void **state)
{
    (void)state;
    assert_int_equal(run("diff --version 7"), 0);
    assert_string_equal(seen, "diff 7");
    seen[0] = '\0';
    assert_int_equal(run("diff -V"), 0);
    assert_string_equal(seen, "");
    assert_non_null(strstr(output, "prog "));
}

static void options_stand_anywhere_under_posix_rules_too(void **state)
{
    (void)state;
    setenv("POSIXLY_CORRECT", "1", 1);
    assert_int_equal(run("put s --user u"), 0);
    unsetenv("POSIXLY_CORRECT");
    assert_string_equal(seen, "put 1:s,- user=u wait=-1 n=-1 dry=0 json=0 level=info");
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    complains("", 2, "a verb is needed");
    complains("putt s", 2, "did you mean 'put'?");
    complains("quarantine", 2, "unknown verb 'quarantine'");
    complains("device", 2, "one of grant, list is wanted");
    complains("device grand a b", 2, "one of grant, list is wanted");
    complains("put", 2, "wanted: STREAM [RECORD]");
    complains("put a b c", 2, "unexpected argument 'c'");
    complains("put a --usr u", 2, "did you mean '--user'?");
    complains("put a --user", 2, "--user: its value is missing");
    complains("put a --dry-run=1", 2, "--dry-run takes no value");
    complains("put a -x", 2, "unknown option '-x'");
    complains("put a --count -1", 2, "a number from 0 is wanted");
    complains("put a --count 9223372036854775808", 2, "a number from 0 is wanted");
    complains("put a --count 1x", 2, "a number from 0 is wanted");
    complains("put a --wait soon", 2, "a time is wanted");
    complains("device list --json", 2, "unknown option '--json'");
    complains("fail", 2, "--device is needed");
    complains("fail --device d", 5, "prog: nothing there");
    complains("--config x put s", 6, "x: bad");
    complains("put s --set log.levl=x", 6, "did you mean");
    complains("put s --set level", 2, "section.key=value");
}

static void help_needs_neither_arguments_nor_configuration(void **state)
{
    (void)state;
    assert_int_equal(run("--help"), 0);
    assert_non_null(strstr(output, "  device grant "));
    assert_non_null(strstr(output, "exit status: 0 ok"));
    assert_int_equal(run("help"), 0);
    assert_int_equal(run("--config x put --help"), 0);
    assert_non_null(strstr(output, "usage: prog put [options] STREAM [RECORD]"));
    assert_non_null(strstr(output, "--wait S"));
    assert_non_null(strstr(output, "--json"));
    assert_non_null(strstr(output, "  prog put x"));
    assert_int_equal(run("help fail"), 0);
    assert_non_null(strstr(output, "usage: prog fail --device DEVICE [options]\n"));
    assert_int_equal(run("put -h"), 0);
    assert_int_equal(run("-V"), 0);
    assert_memory_equal(output, "prog ", 5);
    assert_string_equal(complaint, "");
}

static void the_configuration_can_be_shown_and_checked(void **state)
{
    (void)state;
    assert_int_equal(run("--config x config sample"), 0);
    assert_non_null(strstr(output, "[broker]"));
    assert_int_equal(run("config get log.level --set log.level=warn"), 0);
    assert_string_equal(output, "log.level = warn  # --set\n");
    assert_int_equal(run("config get log.levl"), 5);
    assert_int_equal(run("config get --json log.level"), 0);
    assert_string_equal(output, "{\"log.level\":{\"value\":\"info\",\"origin\":\"default\"}}\n");
    assert_int_equal(run("config check"), 6);
    assert_non_null(strstr(complaint, "[broker] url"));
    assert_int_equal(run("config check --json"), 6);
    assert_string_equal(output, "{\"success\":false,\"code\":\"not_configured\","
                                "\"reason\":\"not configured: [broker] url\"}\n");
    assert_int_equal(run("config check --set broker.url=x"), 0);
}

static void output_that_is_lost_is_a_failure(void **state)
{
    char *argv[] = {(char[]){"prog"}, (char[]){"device"}, (char[]){"list"}, NULL};
    int full = open("/dev/full", O_WRONLY), before, status;

    (void)state;
    assert_true(full >= 0);
    fflush(stdout);
    before = dup(STDOUT_FILENO);
    dup2(full, STDOUT_FILENO);
    status = sb_cli_main(&program, 3, argv);
    clearerr(stdout);
    dup2(before, STDOUT_FILENO);
    close(before);
    close(full);
    assert_int_equal(status, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_may_stand_anywhere),
        cmocka_unit_test(an_option_of_the_verb_hides_a_common_one_of_that_name),
        cmocka_unit_test(options_stand_anywhere_under_posix_rules_too),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(help_needs_neither_arguments_nor_configuration),
        cmocka_unit_test(the_configuration_can_be_shown_and_checked),
        cmocka_unit_test(output_that_is_lost_is_a_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
