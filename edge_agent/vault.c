#include "edge_agent/vault.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENVIRONMENT "SB_ENCRYPTION_KEY"

struct vault {
    bool everybody;
    char **users;
    size_t user_count;
    char *key_file, *key_dir; /* "" = unset */
    struct sb_keyring *keys;  /* of the environment; NULL = none */
    void (*random)(void *ctx, unsigned char *out, size_t len);
    void *random_ctx;
};

/* ---- users ---- */

static bool is_listed(const struct vault *vault, struct sb_span user)
{
    for (size_t i = 0; i < vault->user_count; i++)
        if (sb_span_is(user, vault->users[i]))
            return true;
    return false;
}

static int add_user(struct vault *vault, struct sb_span user, struct sb_err *err)
{
    if (!sb_name_valid(user))
        return sb_fail(err, SB_ECONFIG, "[encryption] users: '%.*s' is not [A-Za-z0-9_-]{1,64}",
                       (int)(user.len < 80 ? user.len : 80), user.data);
    if (is_listed(vault, user))
        return 0;
    if (vault->user_count == VAULT_USERS_MAX)
        return sb_fail(err, SB_ECONFIG, "[encryption] users: more than %d; '*' takes everybody",
                       VAULT_USERS_MAX);
    vault->users = sb_xgrow(vault->users, vault->user_count, sizeof(*vault->users));
    vault->users[vault->user_count++] = sb_xstrndup(user.data, user.len);
    return 0;
}

static int read_users(struct vault *vault, const char *text, struct sb_err *err)
{
    static const char separators[] = ", \t";
    int rc = 0;

    for (text += strspn(text, separators); rc == 0 && *text != '\0';
         text += strspn(text, separators)) {
        struct sb_span name = {text, strcspn(text, separators)};

        if (sb_span_is(name, "*"))
            vault->everybody = true;
        else
            rc = add_user(vault, name, err);
        text += name.len;
    }
    return rc;
}

/* ---- keys ---- */

struct held {
    const struct sb_keyring *keys;
    struct sb_keyring *loaded; /* NULL: they are the vault's */
};

static int load(const char *path, struct held *held, struct sb_err *err)
{
    int rc = sb_keyring_load(path, &held->loaded, err);

    held->keys = held->loaded;
    return rc;
}

static int load_of_user(const struct vault *vault, struct sb_span user, struct held *held,
                        struct sb_err *err)
{
    struct sb_buf path = {0};
    int rc;

    sb_buf_add_fmt(&path, "%s/%.*s.key", vault->key_dir, SB_SPAN_ARG(user));
    rc = load(path.data, held, err);
    sb_buf_free(&path);
    return rc;
}

/* The user's own file where there is one, else what is for all. */
static int hold(const struct vault *vault, struct sb_span user, struct held *held,
                struct sb_err *err)
{
    int rc;

    *held = (struct held){NULL, NULL};
    if (!sb_name_valid(user))
        return sb_fail(err, SB_EBAD_ID, "user id '%.*s' is not [A-Za-z0-9_-]{1,64}",
                       (int)(user.len < 80 ? user.len : 80), user.data);
    if (vault->key_dir[0] != '\0') {
        rc = load_of_user(vault, user, held, err);
        if (rc != -(int)SB_ENOT_FOUND || (vault->keys == NULL && vault->key_file[0] == '\0'))
            return rc;
    }
    held->keys = vault->keys;
    if (held->keys != NULL)
        return 0;
    if (vault->key_file[0] != '\0')
        return load(vault->key_file, held, err);
    return sb_fail(err, SB_ENO_KEY, "neither [encryption] key_file nor key_dir nor %s is set",
                   ENVIRONMENT);
}

static int hold_or_no_key(const struct vault *vault, struct sb_span user, struct held *held,
                          struct sb_err *err)
{
    struct sb_err why = {0};
    int rc;

    if (vault == NULL)
        return sb_fail(err, SB_ENO_KEY, "no key of %.*s: encryption is not configured",
                       SB_SPAN_ARG(user));
    rc = hold(vault, user, held, &why);
    if (rc == 0 || rc == -(int)SB_EBAD_ID)
        return rc == 0 ? 0 : sb_fail(err, SB_EBAD_ID, "%s", why.msg);
    return sb_fail(err, SB_ENO_KEY, "no key of %.*s: %.180s", SB_SPAN_ARG(user), why.msg);
}

static void let_go(struct held *held)
{
    sb_keyring_free(held->loaded);
}

/* ---- making ---- */

static int check_sources(const struct vault *vault, struct sb_err *err)
{
    bool any = vault->key_file[0] != '\0' || vault->key_dir[0] != '\0' || vault->keys != NULL;

    if (vault->keys != NULL && vault->key_file[0] != '\0')
        return sb_fail(err, SB_ECONFIG, "[encryption] key_file and %s are both set: one of them",
                       ENVIRONMENT);
    if ((vault->everybody || vault->user_count > 0) && !any)
        return sb_fail(err, SB_ECONFIG,
                       "[encryption] users is set, but neither key_file nor key_dir nor %s",
                       ENVIRONMENT);
    return 0;
}

int vault_new(const struct vault_config *config, struct vault **out, struct sb_err *err)
{
    struct vault *vault = sb_xcalloc(1, sizeof(*vault));
    int rc = 0;

    vault->key_file = sb_xstrdup(config->key_file);
    vault->key_dir = sb_xstrdup(config->key_dir);
    vault->random = config->random;
    vault->random_ctx = config->random_ctx;
    if (config->keys[0] != '\0')
        rc = sb_keyring_parse(sb_span_of(config->keys), ENVIRONMENT, &vault->keys, err);
    if (rc == 0)
        rc = read_users(vault, config->users, err);
    if (rc == 0)
        rc = check_sources(vault, err);
    *out = rc == 0 ? vault : NULL;
    if (rc < 0)
        vault_free(vault);
    return rc;
}

void vault_free(struct vault *vault)
{
    if (vault == NULL)
        return;
    for (size_t i = 0; i < vault->user_count; i++)
        free(vault->users[i]);
    free(vault->users);
    free(vault->key_file);
    free(vault->key_dir);
    sb_keyring_free(vault->keys);
    free(vault);
}

int vault_reload(struct vault *vault, const struct vault_config *config, struct sb_err *err)
{
    struct vault *next = NULL, old = *vault;
    int rc = vault_new(config, &next, err);

    if (next == NULL)
        return rc;
    *vault = *next;
    *next = old;
    vault_free(next);
    return 0;
}

static int check_key_dir(const struct vault *vault, struct sb_err *err)
{
    struct stat st;

    if (stat(vault->key_dir, &st) != 0)
        return sb_fail(err, SB_ECONFIG, "[encryption] key_dir %.160s: %s", vault->key_dir,
                       strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return sb_fail(err, SB_ECONFIG, "[encryption] key_dir %.160s: not a folder",
                       vault->key_dir);
    return 0;
}

int vault_check(const struct vault *vault, struct sb_err *err)
{
    struct held held = {NULL, NULL};
    struct sb_err why = {0};
    int rc = 0;

    if (vault->key_dir[0] != '\0' && check_key_dir(vault, err) < 0)
        return -(int)SB_ECONFIG;
    if (vault->key_file[0] != '\0') {
        rc = load(vault->key_file, &held, &why);
        let_go(&held);
    }
    for (size_t i = 0; rc == 0 && i < vault->user_count; i++) {
        rc = hold(vault, sb_span_of(vault->users[i]), &held, &why);
        let_go(&held);
    }
    return rc == 0 ? 0 : sb_fail(err, SB_ECONFIG, "%s", why.msg);
}

/* ---- use ---- */

bool vault_encrypts(const struct vault *vault, const char *user)
{
    return vault != NULL && (vault->everybody || is_listed(vault, sb_span_of(user)));
}

int vault_seal(const struct vault *vault, const struct sb_seal *seal, int64_t wall_us,
               struct sb_buf *out, struct sb_err *err)
{
    unsigned char iv[SB_FERNET_IV_BYTES];
    bool given = vault != NULL && vault->random != NULL;
    struct held held = {NULL, NULL};
    int rc = hold_or_no_key(vault, seal->user, &held, err);

    if (rc < 0)
        return rc;
    if (given)
        vault->random(vault->random_ctx, iv, sizeof(iv));
    rc = sb_seal_encrypt(held.keys, seal, wall_us / 1000000, given ? iv : NULL, out, err);
    let_go(&held);
    return rc;
}

int vault_open(const struct vault *vault, struct sb_span token, const struct sb_seal *expected,
               struct sb_unsealed *out, struct sb_err *err)
{
    struct held held = {NULL, NULL};
    int rc;

    *out = (struct sb_unsealed){0};
    rc = hold_or_no_key(vault, expected->user, &held, err);
    if (rc < 0)
        return rc;
    rc = sb_unseal(held.keys, token, out, err);
    if (rc == 0)
        rc = sb_seal_check(&out->seal, expected, err);
    if (rc < 0)
        sb_unsealed_fini(out);
    let_go(&held);
    return rc;
}

/* ---- for documents ---- */

static struct sb_seal seal_of(const struct documents_clear *clear)
{
    bool settings = strcmp(clear->name.table, SB_TABLE_SETTINGS) == 0;

    return (struct sb_seal){
        .user = sb_span_of(clear->name.user),
        .stream = settings ? SB_UP_SETTINGS : SB_UP_RECORDS,
        .table = sb_span_of(clear->name.table),
        .id = sb_span_of(clear->name.id),
        .device = sb_span_of(clear->device),
        .op_id = sb_span_of(clear->op_id),
        .base = sb_span_of(clear->base),
    };
}

static bool codec_seals(void *ctx, const char *user)
{
    return vault_encrypts(ctx, user);
}

static int codec_seal(void *ctx, const struct documents_clear *clear,
                      const struct documents_inside *inside, struct sb_buf *token,
                      struct sb_err *err)
{
    struct sb_seal seal = seal_of(clear);

    seal.hlc = clear->hlc;
    seal.top = inside->top;
    seal.stamps = sb_buf_span(&inside->stamps);
    seal.data = sb_buf_span(&inside->data);
    return vault_seal(ctx, &seal, (int64_t)(clear->hlc >> SB_HLC_COUNTER_BITS) * 1000, token, err);
}

static int codec_open(void *ctx, const struct documents_clear *clear, struct sb_span token,
                      struct documents_inside *inside, struct sb_err *err)
{
    struct sb_seal expected = seal_of(clear);
    struct sb_unsealed open;
    int rc = vault_open(ctx, token, &expected, &open, err);

    if (rc < 0)
        return rc;
    sb_buf_clear(&inside->data);
    sb_buf_clear(&inside->stamps);
    sb_buf_add_span(&inside->data, open.seal.data);
    sb_buf_add_span(&inside->stamps, open.seal.stamps);
    inside->top = open.seal.top;
    sb_unsealed_fini(&open);
    return 0;
}

void vault_codec(struct vault *vault, struct documents_codec *out)
{
    *out = (struct documents_codec){codec_seals, codec_seal, codec_open, vault};
}
