/* The vault: who is encrypted, which keys count, what cannot be sealed or opened says why, and
 * nothing is taken that does not belong where it came from. */
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

#include "edge_agent/vault.h"

#define KEY_A "AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dw="
#define KEY_B "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="

static char folder[64];
static struct sb_err err;

static int setup(void **state)
{
    (void)state;
    err = (struct sb_err){0};
    snprintf(folder, sizeof(folder), "/tmp/test_vault.XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static const char *path_of(const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static int teardown(void **state)
{
    static const char *const names[] = {"all", "u1.key", "u2.key", "u3.key"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unlink(path_of(names[i]));
    return rmdir(folder);
}

static void put(const char *name, const char *text, mode_t mode)
{
    FILE *file = fopen(path_of(name), "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path_of(name), mode), 0);
}

static char file_path[128];

/* `all` as key_file where `file`, the folder as key_dir where `dir`. */
static struct vault_config config_of(const char *users, bool file, bool dir, const char *keys)
{
    snprintf(file_path, sizeof(file_path), "%s/all", folder);
    return (struct vault_config){.users = users,
                                 .key_file = file ? file_path : "",
                                 .key_dir = dir ? folder : "",
                                 .keys = keys};
}

static struct vault *new_vault(const char *users, bool file, bool dir, const char *keys)
{
    struct vault_config config = config_of(users, file, dir, keys);
    struct vault *vault;

    assert_int_equal(vault_new(&config, &vault, &err), 0);
    return vault;
}

static int refused(const char *users, bool file, bool dir, const char *keys)
{
    struct vault_config config = config_of(users, file, dir, keys);
    struct vault *vault;
    int rc = vault_new(&config, &vault, &err);

    assert_null(vault);
    return -rc;
}

static struct sb_seal sample(const char *user)
{
    return (struct sb_seal){
        .user = sb_span_of(user),
        .stream = SB_UP_SETTINGS,
        .table = SB_SPAN("settings"),
        .id = SB_SPAN("settings"),
        .device = SB_SPAN("edge-001"),
        .op_id = SB_SPAN("op-1"),
        .hlc = 7,
        .top = 9,
        .data = SB_SPAN("{\"theme\":\"dark\"}"),
    };
}

static int seal(const struct vault *vault, const char *user, struct sb_buf *token)
{
    struct sb_seal fields = sample(user);

    sb_buf_clear(token);
    return -vault_seal(vault, &fields, INT64_C(1700000000999999), token, &err);
}

/* The code; *key (may be NULL) is which key opened it. */
static int open_as(const struct vault *vault, const char *user, const struct sb_buf *token,
                   size_t *key)
{
    struct sb_seal fields = sample(user);
    struct sb_unsealed open;
    int rc = vault_open(vault, sb_buf_span(token), &fields, &open, &err);

    if (rc == 0) {
        assert_true(sb_span_eq(open.seal.data, fields.data));
        assert_int_equal(open.info.made_s, 1700000000);
        assert_true(open.seal.top == 9);
    } else {
        assert_true(open.text.data == NULL && open.seal.data.len == 0);
        assert_int_equal(rc, -(int)err.code);
    }
    if (key != NULL)
        *key = open.info.key;
    sb_unsealed_fini(&open);
    return -rc;
}

/* ---- who ---- */

static void users_are_names_or_everybody(void **state)
{
    struct vault *vault = new_vault("u1, u2,u1\tu3", false, false, KEY_A);

    (void)state;
    assert_true(vault_encrypts(vault, "u1"));
    assert_true(vault_encrypts(vault, "u2"));
    assert_true(vault_encrypts(vault, "u3"));
    assert_false(vault_encrypts(vault, "u"));
    assert_false(vault_encrypts(vault, "u11"));
    vault_free(vault);
    vault = new_vault("*", false, false, KEY_A);
    assert_true(vault_encrypts(vault, "anybody"));
    vault_free(vault);
    vault = new_vault("", false, false, "");
    assert_false(vault_encrypts(vault, "u1"));
    vault_free(vault);
    assert_false(vault_encrypts(NULL, "u1"));
    vault_free(NULL);
}

static void what_makes_no_sense_is_refused(void **state)
{
    struct sb_buf many = {0};

    (void)state;
    assert_int_equal(refused("u1,../x", false, false, KEY_A), SB_ECONFIG);
    assert_non_null(strstr(err.msg, "'../x'"));
    assert_int_equal(refused("u1", false, false, ""), SB_ECONFIG);
    assert_non_null(strstr(err.msg, "key_file"));
    assert_int_equal(refused("*", true, false, KEY_A), SB_ECONFIG);
    assert_non_null(strstr(err.msg, "both"));
    assert_int_equal(refused("u1", false, false, KEY_A ",no"), SB_ECONFIG);
    assert_non_null(strstr(err.msg, "SB_ENCRYPTION_KEY: key 2"));
    for (int i = 0; i <= VAULT_USERS_MAX; i++)
        sb_buf_add_fmt(&many, "user-%d ", i);
    assert_int_equal(refused(many.data, false, false, KEY_A), SB_ECONFIG);
    assert_non_null(strstr(err.msg, "'*'"));
    sb_buf_free(&many);
}

/* ---- keys ---- */

static void sealed_here_opens_where_the_key_is(void **state)
{
    struct vault *a = new_vault("*", false, false, KEY_A), *b = new_vault("*", false, false, KEY_B);
    struct vault *none = new_vault("", false, false, "");
    struct sb_buf token = {0};
    size_t key;

    (void)state;
    assert_int_equal(seal(a, "u1", &token), 0);
    assert_true(sb_fernet_looks_like(sb_buf_span(&token)));
    assert_int_equal(open_as(a, "u1", &token, &key), 0);
    assert_int_equal(key, 0);
    assert_int_equal(open_as(b, "u1", &token, NULL), SB_EWRONG_KEY);
    assert_int_equal(open_as(none, "u1", &token, NULL), SB_ENO_KEY);
    assert_int_equal(open_as(NULL, "u1", &token, NULL), SB_ENO_KEY);
    vault_free(a);
    vault_free(b);
    vault_free(none);
    sb_buf_free(&token);
}

static void users_own_file_goes_before_the_file_for_all(void **state)
{
    struct vault *vault = new_vault("*", true, true, "");
    struct vault *a = new_vault("*", false, false, KEY_A), *b = new_vault("*", false, false, KEY_B);
    struct sb_buf token = {0};

    (void)state;
    put("all", KEY_A "\n", 0600);
    put("u1.key", KEY_B "\n", 0600);
    assert_int_equal(seal(vault, "u1", &token), 0);
    assert_int_equal(open_as(b, "u1", &token, NULL), 0);
    assert_int_equal(seal(vault, "u2", &token), 0);
    assert_int_equal(open_as(a, "u2", &token, NULL), 0);
    assert_int_equal(open_as(vault, "u2", &token, NULL), 0);
    /* a bad one is not passed over */
    put("u1.key", KEY_B "\n", 0644);
    assert_int_equal(seal(vault, "u1", &token), SB_ENO_KEY);
    assert_non_null(strstr(err.msg, "chmod 600"));
    put("u1.key", "no key\n", 0600);
    assert_int_equal(seal(vault, "u1", &token), SB_ENO_KEY);
    assert_int_equal(token.len, 0);
    vault_free(vault);
    vault_free(a);
    vault_free(b);
    sb_buf_free(&token);
}

static void environment_with_files_of_some_users(void **state)
{
    struct vault *vault = new_vault("*", false, true, KEY_A);
    struct vault *a = new_vault("*", false, false, KEY_A), *b = new_vault("*", false, false, KEY_B);
    struct sb_buf token = {0};

    (void)state;
    put("u1.key", KEY_B "\n", 0600);
    assert_int_equal(seal(vault, "u1", &token), 0);
    assert_int_equal(open_as(b, "u1", &token, NULL), 0);
    assert_int_equal(seal(vault, "u2", &token), 0);
    assert_int_equal(open_as(a, "u2", &token, NULL), 0);
    vault_free(vault);
    vault_free(a);
    vault_free(b);
    sb_buf_free(&token);
}

static void rotation_needs_no_restart(void **state)
{
    struct vault *vault = new_vault("*", true, false, "");
    struct sb_buf old = {0}, renewed = {0};
    size_t key;

    (void)state;
    put("all", KEY_A "\n", 0600);
    assert_int_equal(seal(vault, "u1", &old), 0);
    put("all", KEY_B "\n" KEY_A "\n", 0600);
    assert_int_equal(open_as(vault, "u1", &old, &key), 0);
    assert_int_equal(key, 1); /* to be encrypted again */
    assert_int_equal(seal(vault, "u1", &renewed), 0);
    put("all", KEY_B "\n", 0600);
    assert_int_equal(open_as(vault, "u1", &renewed, &key), 0);
    assert_int_equal(key, 0);
    assert_int_equal(open_as(vault, "u1", &old, NULL), SB_EWRONG_KEY);
    unlink(path_of("all"));
    assert_int_equal(open_as(vault, "u1", &renewed, NULL), SB_ENO_KEY);
    assert_non_null(strstr(err.msg, "/all"));
    vault_free(vault);
    sb_buf_free(&old);
    sb_buf_free(&renewed);
}

static void reload_takes_another_configuration_up_in_place(void **state)
{
    struct vault *vault = new_vault("u1", false, false, KEY_A);
    struct vault_config next = config_of("u2", true, false, ""), bad = config_of("u2", 0, 0, "");
    struct documents_codec codec;
    struct sb_buf token = {0};

    (void)state;
    vault_codec(vault, &codec); /* holds it all the time */
    put("all", KEY_B "\n", 0600);
    assert_int_equal(vault_reload(vault, &next, &err), 0);
    assert_false(codec.seals(codec.ctx, "u1"));
    assert_true(codec.seals(codec.ctx, "u2"));
    assert_int_equal(seal(vault, "u2", &token), 0);
    assert_int_equal(vault_reload(vault, &bad, &err), -(int)SB_ECONFIG);
    assert_true(codec.seals(codec.ctx, "u2")); /* as it was */
    assert_int_equal(open_as(vault, "u2", &token, NULL), 0);
    vault_free(vault);
    sb_buf_free(&token);
}

static void check_finds_what_is_wrong_with_the_files(void **state)
{
    struct vault *both = new_vault("u1,u2", true, true, "");
    struct vault *own = new_vault("u1,u2", false, true, "");
    struct vault_config nowhere = config_of("*", false, false, "");
    struct vault *lost;

    (void)state;
    assert_int_equal(vault_check(both, &err), -(int)SB_ECONFIG); /* no key_file */
    put("all", KEY_A "\n", 0600);
    assert_int_equal(vault_check(both, &err), 0);
    assert_int_equal(vault_check(own, &err), -(int)SB_ECONFIG);
    assert_non_null(strstr(err.msg, "u1.key"));
    put("u1.key", KEY_A "\n", 0600);
    put("u2.key", KEY_B "\n", 0600);
    assert_int_equal(vault_check(own, &err), 0);
    put("u2.key", KEY_B "\n", 0640);
    assert_int_equal(vault_check(both, &err), -(int)SB_ECONFIG);
    assert_non_null(strstr(err.msg, "u2.key"));
    nowhere.key_dir = "/nowhere";
    assert_int_equal(vault_new(&nowhere, &lost, &err), 0);
    assert_int_equal(vault_check(lost, &err), -(int)SB_ECONFIG);
    vault_free(lost);
    vault_free(both);
    vault_free(own);
}

static void user_id_cannot_leave_the_folder(void **state)
{
    struct vault *vault = new_vault("*", false, true, KEY_A);
    struct sb_buf token = {0};

    (void)state;
    assert_int_equal(seal(vault, "../u1", &token), SB_EBAD_ID);
    assert_int_equal(seal(vault, "", &token), SB_EBAD_ID);
    vault_free(vault);
    sb_buf_free(&token);
}

/* ---- belonging ---- */

static void token_of_another_place_is_tampered(void **state)
{
    struct vault *vault = new_vault("*", false, false, KEY_A);
    struct sb_seal expected = sample("u1");
    struct sb_unsealed open;
    struct sb_buf token = {0};

    (void)state;
    assert_int_equal(seal(vault, "u1", &token), 0);
    assert_int_equal(open_as(vault, "u2", &token, NULL), SB_ETAMPERED);
    assert_non_null(strstr(err.msg, "another user"));
    expected.op_id = SB_SPAN("op-2"); /* an older token put in the place of a newer one */
    assert_int_equal(vault_open(vault, sb_buf_span(&token), &expected, &open, &err),
                     -(int)SB_ETAMPERED);
    assert_non_null(strstr(err.msg, "op_id"));
    assert_null(open.text.data);
    assert_int_equal(vault_open(vault, SB_SPAN("{\"theme\":\"dark\"}"), &expected, &open, &err),
                     -(int)SB_ETAMPERED);
    vault_free(vault);
    sb_buf_free(&token);
}

/* ---- for documents ---- */

static void count_up(void *ctx, unsigned char *out, size_t len)
{
    unsigned char *next = ctx;

    for (size_t i = 0; i < len; i++)
        out[i] = (*next)++;
}

static void codec_seals_and_opens_documents(void **state)
{
    struct documents_clear clear = {.name = {"u1", "projects", "p-1"},
                                    .device = "edge-001",
                                    .op_id = "op-1",
                                    .base = "{\"op_id\":\"op-0\"}",
                                    .hlc = UINT64_C(1700000000123) << 16 | 5};
    struct documents_inside inside = {.top = clear.hlc + 1}, back = {0};
    struct vault_config config = config_of("u1", false, false, KEY_A);
    struct sb_buf one = {0}, two = {0};
    struct documents_codec codec;
    struct sb_unsealed open;
    unsigned char next = 0;
    struct vault *vault;

    (void)state;
    config.random = count_up;
    config.random_ctx = &next;
    assert_int_equal(vault_new(&config, &vault, &err), 0);
    vault_codec(vault, &codec);
    assert_true(codec.seals(codec.ctx, "u1"));
    assert_false(codec.seals(codec.ctx, "u2"));
    sb_buf_add_str(&inside.data, "{ \"n\": 12345678901234567 }");
    sb_buf_add_str(&inside.stamps, "{\"\":[\"018f000000000001\",\"edge-001\"]}");
    assert_int_equal(codec.seal(codec.ctx, &clear, &inside, &one, &err), 0);
    assert_int_equal(next, SB_FERNET_IV_BYTES);
    next = 0; /* the same again, for a simulation */
    assert_int_equal(codec.seal(codec.ctx, &clear, &inside, &two, &err), 0);
    assert_string_equal(one.data, two.data);

    sb_buf_add_str(&back.data, "left over");
    assert_int_equal(codec.open(codec.ctx, &clear, sb_buf_span(&one), &back, &err), 0);
    assert_string_equal(back.data.data, inside.data.data);
    assert_string_equal(back.stamps.data, inside.stamps.data);
    assert_true(back.top == inside.top);
    /* neither the base nor the time need be known by who opens it */
    clear.base[0] = '\0';
    clear.hlc += 1000;
    assert_int_equal(codec.open(codec.ctx, &clear, sb_buf_span(&one), &back, &err), 0);
    snprintf(clear.name.id, sizeof(clear.name.id), "p-2");
    assert_int_equal(codec.open(codec.ctx, &clear, sb_buf_span(&one), &back, &err),
                     -(int)SB_ETAMPERED);
    assert_string_equal(back.data.data, inside.data.data);

    snprintf(clear.name.table, sizeof(clear.name.table), "settings");
    snprintf(clear.name.id, sizeof(clear.name.id), "settings");
    sb_buf_clear(&one);
    sb_buf_clear(&inside.stamps);
    assert_int_equal(codec.seal(codec.ctx, &clear, &inside, &one, &err), 0);
    assert_int_equal(codec.open(codec.ctx, &clear, sb_buf_span(&one), &back, &err), 0);
    assert_int_equal(back.stamps.len, 0);
    {
        struct sb_seal expected = sample("u1");

        expected.op_id = sb_span_of("op-1");
        assert_int_equal(vault_open(vault, sb_buf_span(&one), &expected, &open, &err),
                         -(int)SB_ETAMPERED); /* its hlc is another */
        expected.hlc = clear.hlc;
        assert_int_equal(vault_open(vault, sb_buf_span(&one), &expected, &open, &err), 0);
        assert_int_equal(open.info.made_s, 1700000000);
        assert_true(sb_span_is(open.seal.base, "null"));
        sb_unsealed_fini(&open);
    }
    sb_buf_free(&inside.data);
    sb_buf_free(&inside.stamps);
    sb_buf_free(&back.data);
    sb_buf_free(&back.stamps);
    sb_buf_free(&one);
    sb_buf_free(&two);
    vault_free(vault);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(users_are_names_or_everybody, setup, teardown),
        cmocka_unit_test_setup_teardown(what_makes_no_sense_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(sealed_here_opens_where_the_key_is, setup, teardown),
        cmocka_unit_test_setup_teardown(users_own_file_goes_before_the_file_for_all, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(environment_with_files_of_some_users, setup, teardown),
        cmocka_unit_test_setup_teardown(rotation_needs_no_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(reload_takes_another_configuration_up_in_place, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(check_finds_what_is_wrong_with_the_files, setup, teardown),
        cmocka_unit_test_setup_teardown(user_id_cannot_leave_the_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(token_of_another_place_is_tampered, setup, teardown),
        cmocka_unit_test_setup_teardown(codec_seals_and_opens_documents, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
