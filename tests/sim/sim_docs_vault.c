/* Encryption in the second family of runs: the product's vault with one key for all devices, its
 * initial vectors from the world's chance; and the same key in the hand of the checks. */
#include <string.h>

#include "common/check.h"
#include "edge_agent/vault.h"
#include "sim_docs.h"

#define KEY "c2ltdWxhdG9yIGtleSwgdGhpcnR5LXR3byBieXRlcyE="

static void chance(void *ctx, unsigned char *out, size_t len)
{
    struct world *world = ctx;

    for (size_t i = 0; i < len; i++)
        out[i] = (unsigned char)sb_rng_u64(&world->rng);
}

/* Of two users the second one's documents stay in the clear. */
void sim_docs_vault_open(struct world *world)
{
    const struct vault_config config = {.users = sim_docs_user(0),
                                        .key_file = "",
                                        .key_dir = "",
                                        .keys = KEY,
                                        .random = chance,
                                        .random_ctx = world};
    struct sb_err err;

    if (world->mix->encrypted)
        sim_must(world, vault_new(&config, &world->vault, &err), &err, "vault_new");
}

void sim_docs_vault_close(struct world *world)
{
    vault_free(world->vault);
    world->vault = NULL;
}

/* ---- the codec of the cores ---- */

static bool seals(void *ctx, const char *user)
{
    const struct world *world = ctx;

    return vault_encrypts(world->vault, user);
}

static struct sb_seal seal_of(const struct documents_clear *clear)
{
    struct sb_stream stream;

    document_stream(&clear->name, &stream);
    return (struct sb_seal){.user = sb_span_of(clear->name.user),
                            .stream = stream.class,
                            .table = sb_span_of(clear->name.table),
                            .id = sb_span_of(clear->name.id),
                            .device = sb_span_of(clear->device),
                            .op_id = sb_span_of(clear->op_id),
                            .base = sb_span_of(clear->base),
                            .hlc = clear->hlc};
}

static int seal(void *ctx, const struct documents_clear *clear,
                const struct documents_inside *inside, struct sb_buf *token, struct sb_err *err)
{
    struct world *world = ctx;
    struct sb_seal whole = seal_of(clear);

    whole.top = inside->top;
    whole.stamps = sb_buf_span(&inside->stamps);
    whole.data = sb_buf_span(&inside->data);
    return vault_seal(world->vault, &whole, world->now.wall_us, token, err);
}

static int open_token(void *ctx, const struct documents_clear *clear, struct sb_span token,
                      struct documents_inside *inside, struct sb_err *err)
{
    struct world *world = ctx;
    const struct sb_seal expected = seal_of(clear);
    struct sb_unsealed unsealed = {0};
    int rc = vault_open(world->vault, token, &expected, &unsealed, err);

    if (rc == 0) {
        inside->top = unsealed.seal.top;
        sb_buf_add_span(&inside->data, unsealed.seal.data);
        sb_buf_add_span(&inside->stamps, unsealed.seal.stamps);
    }
    sb_unsealed_fini(&unsealed);
    return rc;
}

void sim_docs_codec(struct world *world, struct documents_codec *out)
{
    *out = (struct documents_codec){.seals = seals, .seal = seal, .open = open_token, .ctx = world};
}

/* ---- the checks ---- */

void sim_docs_open_text(struct sb_span text, struct sb_buf *out)
{
    static struct sb_keyring *keyring;
    struct sb_unsealed unsealed = {0};
    struct sb_buf token = {0};
    struct sb_err err;

    if (text.len == 0 || sb_json_type_of(text) != SB_JSON_STRING) {
        sb_buf_add_span(out, text);
        return;
    }
    if (keyring == NULL)
        SB_CHECK(sb_keyring_parse(sb_span_of(KEY), "KEY", &keyring, &err) == 0);
    sb_json_unescape(text, &token);
    SB_CHECK(sb_unseal(keyring, sb_buf_span(&token), &unsealed, &err) == 0);
    sb_buf_add_span(out, unsealed.seal.data);
    sb_unsealed_fini(&unsealed);
    sb_buf_free(&token);
}
