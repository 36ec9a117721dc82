/* Codes: one list, names that are a contract, and messages that never overflow. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/err.h"

static void every_code_has_a_name_of_its_own(void **state)
{
    (void)state;
    assert_string_equal(sb_code_name(SB_OK), "ok");
    for (int a = 1; a < SB_CODE_COUNT; a++) {
        const char *name = sb_code_name((enum sb_code)a);

        assert_true(strlen(name) > 0);
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(name));
        assert_int_equal(sb_code_from_name(name, strlen(name)), a);
        for (int b = 0; b < a; b++)
            assert_string_not_equal(name, sb_code_name((enum sb_code)b));
    }
}

static void an_unknown_code_or_name_is_internal(void **state)
{
    (void)state;
    assert_string_equal(sb_code_name((enum sb_code)SB_CODE_COUNT), "internal");
    assert_string_equal(sb_code_name((enum sb_code) - 1), "internal");
    assert_int_equal(sb_code_class((enum sb_code)9999), SB_RETRY);
    assert_int_equal(sb_code_from_name("", 0), SB_EINTERNAL);
    assert_int_equal(sb_code_from_name("bad_jso", 7), SB_EINTERNAL);
    assert_int_equal(sb_code_from_name("bad_jsonx", 9), SB_EINTERNAL);
    assert_int_equal(sb_code_from_name("bad_json\0", 9), SB_EINTERNAL);
    assert_int_equal(sb_code_from_name("Bad_json", 8), SB_EINTERNAL);
    assert_int_equal(sb_code_from_name("ok", 2), SB_EINTERNAL);
}

static void what_an_operator_can_mend_is_retried(void **state)
{
    static const enum sb_code mendable[] = {SB_EUNAUTHORIZED,  SB_EFORBIDDEN, SB_EREVOKED,
                                            SB_EUNKNOWN_TABLE, SB_ELIMIT,     SB_EBUSY,
                                            SB_EHELLO,         SB_EINTERNAL,  SB_EDISK_FULL};

    (void)state;
    for (size_t i = 0; i < sizeof(mendable) / sizeof(mendable[0]); i++)
        assert_int_equal(sb_code_class(mendable[i]), SB_RETRY);
    assert_int_equal(sb_code_class(SB_EBAD_VALUE), SB_REJECT);
    assert_int_equal(sb_code_class(SB_ECONFIG), SB_FATAL);
}

static void exit_statuses_are_those_of_the_command_line(void **state)
{
    (void)state;
    assert_int_equal(sb_exit_status(SB_OK), 0);
    assert_int_equal(sb_exit_status(SB_EBAD_VALUE), 1);
    assert_int_equal(sb_exit_status(SB_EUSAGE), 2);
    assert_int_equal(sb_exit_status(SB_EUNREACHABLE), 3);
    assert_int_equal(sb_exit_status(SB_ENOT_RUNNING), 3);
    assert_int_equal(sb_exit_status(SB_ETIMEOUT), 3);
    assert_int_equal(sb_exit_status(SB_ETLS), 4);
    assert_int_equal(sb_exit_status(SB_EFORBIDDEN), 4);
    assert_int_equal(sb_exit_status(SB_ENOT_FOUND), 5);
    assert_int_equal(sb_exit_status(SB_ECONFIG), 6);
    assert_int_equal(sb_exit_status(SB_ENOT_CONFIGURED), 6);
    for (int code = 1; code < SB_CODE_COUNT; code++)
        assert_in_range(sb_exit_status((enum sb_code)code), 1, 6);
}

static void a_failure_carries_code_and_message(void **state)
{
    struct sb_err err;

    (void)state;
    assert_int_equal(sb_fail(&err, SB_EBAD_VALUE, "%s: %d", "x", 7), -SB_EBAD_VALUE);
    assert_int_equal(err.code, SB_EBAD_VALUE);
    assert_string_equal(err.msg, "x: 7");
    assert_int_equal(sb_fail(NULL, SB_EIO, "nobody reads this"), -SB_EIO);
    sb_err_prefix(&err, "outbox: %s", "enqueue");
    assert_string_equal(err.msg, "outbox: enqueue: x: 7");
    sb_err_prefix(NULL, "nothing");
}

static void errno_becomes_a_code_and_a_reason(void **state)
{
    static const struct {
        int value;
        enum sb_code code;
    } cases[] = {{ENOSPC, SB_EDISK_FULL},  {EDQUOT, SB_EDISK_FULL},
                 {EROFS, SB_EREAD_ONLY},   {ENOENT, SB_ENOT_FOUND},
                 {EACCES, SB_EIO},         {ECONNREFUSED, SB_EUNREACHABLE},
                 {ETIMEDOUT, SB_ETIMEOUT}, {EIO, SB_EIO}};
    struct sb_err err;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(sb_fail_errno(&err, cases[i].value, "open %s", "f"), -(int)cases[i].code);
        assert_int_equal(err.code, cases[i].code);
        assert_memory_equal(err.msg, "open f: ", 8);
        assert_string_equal(err.msg + 8, strerror(cases[i].value));
    }
    assert_int_equal(sb_fail_errno(NULL, ENOSPC, "x"), -SB_EDISK_FULL);
}

static void long_messages_are_cut(void **state)
{
    char text[600];
    struct sb_err err;

    (void)state;
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    sb_fail(&err, SB_EIO, "%s", text);
    assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
    sb_fail_errno(&err, EIO, "%s", text);
    assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
    sb_err_prefix(&err, "%s", text);
    assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
    for (size_t len = 240; len < 260; len++) {
        sb_fail(&err, SB_EIO, "%.*s", (int)len, text);
        sb_err_prefix(&err, "bb");
        assert_memory_equal(err.msg, "bb: a", 5);
        assert_true(strlen(err.msg) < sizeof(err.msg));
        sb_fail(&err, SB_EIO, "message");
        sb_err_prefix(&err, "%.*s", (int)len, text);
        assert_memory_equal(err.msg, "aaaa", 4);
        assert_true(strlen(err.msg) < sizeof(err.msg));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_name_of_its_own),
        cmocka_unit_test(an_unknown_code_or_name_is_internal),
        cmocka_unit_test(what_an_operator_can_mend_is_retried),
        cmocka_unit_test(exit_statuses_are_those_of_the_command_line),
        cmocka_unit_test(a_failure_carries_code_and_message),
        cmocka_unit_test(errno_becomes_a_code_and_a_reason),
        cmocka_unit_test(long_messages_are_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
