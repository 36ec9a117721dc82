/* A keyring: files that others could read are refused with what to do, every line is either a key,
 * a comment or an error that names it, the first key encrypts and all decrypt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/keyring.h"

#define KEY_A "AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dw="
#define KEY_B "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="

static char folder[64], path[128];
static struct sb_err err;

static int setup(void **state)
{
    (void)state;
    err = (struct sb_err){0};
    snprintf(folder, sizeof(folder), "/tmp/test_keyring.XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/keys", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void write_file(const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

/* The number of keys, or what it fails with. */
static int load(void)
{
    struct sb_keyring *keyring;
    int rc = sb_keyring_load(path, &keyring, &err);

    if (rc == 0)
        rc = (int)sb_keyring_count(keyring);
    else
        assert_null(keyring);
    sb_keyring_free(keyring);
    return rc;
}

static int parse(const char *text)
{
    struct sb_keyring *keyring;
    int rc = sb_keyring_parse(sb_span_of(text), "SB_ENCRYPTION_KEY", &keyring, &err);

    if (rc == 0)
        rc = (int)sb_keyring_count(keyring);
    else
        assert_null(keyring);
    sb_keyring_free(keyring);
    return rc;
}

static void file_of_keys_comments_and_blanks(void **state)
{
    (void)state;
    write_file("# keys of user-1\n\n" KEY_A "\n  \t\n # older\r\n\t" KEY_B " \r\n", 0600);
    assert_int_equal(load(), 2);
    write_file(KEY_A, 0400); /* no line end, and not to be written even by its owner */
    assert_int_equal(load(), 1);
}

static void modes_that_let_others_in_are_refused(void **state)
{
    static const mode_t bad[] = {0640, 0604, 0660, 0620, 0610, 0601, 0602, 0644, 0777};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        write_file(KEY_A "\n", bad[i]);
        assert_int_equal(load(), -(int)SB_ECONFIG);
        assert_non_null(strstr(err.msg, "chmod 600 /tmp/test_keyring."));
    }
}

static void what_is_no_regular_file_is_refused(void **state)
{
    (void)state;
    assert_int_equal(load(), -(int)SB_ENOT_FOUND);
    assert_int_equal(mkfifo(path, 0600), 0); /* must not wait for a writer */
    assert_int_equal(load(), -(int)SB_ECONFIG);
    assert_non_null(strstr(err.msg, "not a regular file"));
    unlink(path);
    assert_int_equal(symlink("/dev/null", path), 0);
    assert_int_equal(load(), -(int)SB_ECONFIG);
    unlink(path);
    assert_int_equal(symlink("/nowhere", path), 0);
    assert_int_equal(load(), -(int)SB_ENOT_FOUND);
}

static void link_to_a_private_file_is_good(void **state)
{
    char real[160];

    (void)state;
    write_file(KEY_A "\n", 0600);
    snprintf(real, sizeof(real), "%s.real", path);
    assert_int_equal(rename(path, real), 0);
    assert_int_equal(symlink(real, path), 0);
    assert_int_equal(load(), 1);
    assert_int_equal(chmod(real, 0644), 0);
    assert_int_equal(load(), -(int)SB_ECONFIG);
    unlink(real);
}

static void error_names_the_line_and_not_the_key(void **state)
{
    (void)state;
    write_file("# one\n" KEY_A "\nAwoRGB8mLTQ7\n", 0600);
    assert_int_equal(load(), -(int)SB_ECONFIG);
    assert_non_null(strstr(err.msg, "line 3"));
    assert_null(strstr(err.msg, "AwoR"));
    write_file(KEY_A "," KEY_B "\n", 0600); /* a file has one a line */
    assert_int_equal(load(), -(int)SB_ECONFIG);
    write_file("# nothing\n", 0600);
    assert_int_equal(load(), -(int)SB_ECONFIG);
    assert_non_null(strstr(err.msg, "key generate"));
    write_file("", 0600);
    assert_int_equal(load(), -(int)SB_ECONFIG);
}

static void limits_of_a_file(void **state)
{
    struct sb_buf text = {0};

    (void)state;
    for (int i = 0; i < SB_KEYRING_MAX; i++)
        sb_buf_add_str(&text, i % 2 ? KEY_A "\n" : KEY_B "\n");
    write_file(text.data, 0600);
    assert_int_equal(load(), SB_KEYRING_MAX);
    sb_buf_add_str(&text, KEY_A "\n");
    write_file(text.data, 0600);
    assert_int_equal(load(), -(int)SB_ECONFIG);
    assert_non_null(strstr(err.msg, "more than 16"));

    sb_buf_clear(&text);
    sb_buf_add_str(&text, KEY_A "\n#");
    while (text.len < SB_KEYRING_FILE_MAX)
        sb_buf_add_char(&text, 'x');
    write_file(text.data, 0600);
    assert_int_equal(load(), 1);
    sb_buf_add_char(&text, 'x');
    write_file(text.data, 0600);
    assert_int_equal(load(), -(int)SB_ECONFIG);
    sb_buf_free(&text);
}

static void text_separated_by_commas_or_lines(void **state)
{
    (void)state;
    assert_int_equal(parse(KEY_A), 1);
    assert_int_equal(parse(KEY_A "," KEY_B), 2);
    assert_int_equal(parse(KEY_A ", " KEY_B ",\n" KEY_A "\n"), 3);
    assert_int_equal(parse(""), -(int)SB_ECONFIG);
    assert_int_equal(parse(" , ,\n"), -(int)SB_ECONFIG);
    assert_int_equal(parse(KEY_A "," KEY_B "x"), -(int)SB_ECONFIG);
    assert_non_null(strstr(err.msg, "SB_ENCRYPTION_KEY: key 2"));
    assert_null(strstr(err.msg, "cw_0"));
}

static void first_key_encrypts_and_all_decrypt(void **state)
{
    struct sb_keyring *old, *both, *new_only;
    struct sb_buf token = {0}, renewed = {0}, plain = {0};
    struct sb_fernet_info info;

    (void)state;
    assert_int_equal(sb_keyring_parse(SB_SPAN(KEY_A), "old", &old, &err), 0);
    assert_int_equal(sb_keyring_parse(SB_SPAN(KEY_B "," KEY_A), "both", &both, &err), 0);
    assert_int_equal(sb_keyring_parse(SB_SPAN(KEY_B), "new", &new_only, &err), 0);
    assert_int_equal(sb_keyring_encrypt(old, SB_SPAN("plain"), 5, NULL, &token, &err), 0);
    assert_int_equal(sb_keyring_decrypt(both, sb_buf_span(&token), &plain, &info, &err), 0);
    assert_string_equal(plain.data, "plain");
    assert_int_equal(info.key, 1);
    assert_int_equal(info.made_s, 5);
    assert_int_equal(sb_keyring_encrypt(both, sb_buf_span(&plain), 6, NULL, &renewed, &err), 0);
    assert_int_equal(sb_keyring_decrypt(old, sb_buf_span(&renewed), &plain, &info, &err),
                     -(int)SB_EWRONG_KEY);
    sb_buf_clear(&plain);
    assert_int_equal(sb_keyring_decrypt(new_only, sb_buf_span(&renewed), &plain, &info, &err), 0);
    assert_int_equal(info.key, 0);
    sb_keyring_free(old);
    sb_keyring_free(both);
    sb_keyring_free(new_only);
    sb_buf_free(&token);
    sb_buf_free(&renewed);
    sb_buf_free(&plain);
}

static void no_keyring_is_no_key(void **state)
{
    struct sb_buf out = {0};

    (void)state;
    assert_int_equal(sb_keyring_count(NULL), 0);
    assert_int_equal(sb_keyring_encrypt(NULL, SB_SPAN("x"), 1, NULL, &out, &err), -(int)SB_ENO_KEY);
    assert_int_equal(sb_keyring_decrypt(NULL, SB_SPAN("gAAA"), &out, NULL, &err), -(int)SB_ENO_KEY);
    assert_int_equal(out.len, 0);
    sb_keyring_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(file_of_keys_comments_and_blanks, setup, teardown),
        cmocka_unit_test_setup_teardown(modes_that_let_others_in_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_regular_file_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(link_to_a_private_file_is_good, setup, teardown),
        cmocka_unit_test_setup_teardown(error_names_the_line_and_not_the_key, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_of_a_file, setup, teardown),
        cmocka_unit_test(text_separated_by_commas_or_lines),
        cmocka_unit_test(first_key_encrypts_and_all_decrypt),
        cmocka_unit_test(no_keyring_is_no_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
