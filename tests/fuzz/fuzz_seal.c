/* Tokens, keys and sealed documents: what any bytes do, taken as a token, as the plain text of a
 * good token, as a ciphertext under a good HMAC, and as a file of keys. Whatever is unsealed is
 * sealed again and gives the same. */
#include <string.h>

#include <openssl/evp.h>

#include "common/base64url.h"
#include "common/check.h"
#include "common/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct sb_fernet_key key = {"signing-key-16b", "encrypting-16-b"};

static void seal_again(const struct sb_unsealed *open)
{
    struct sb_buf text = {0};
    struct sb_unsealed again;

    sb_seal_print(&open->seal, &text);
    SB_CHECK(sb_unseal_text(sb_buf_span(&text), &again, NULL) == 0);
    SB_CHECK(sb_seal_check(&again.seal, &open->seal, NULL) == 0);
    SB_CHECK(sb_span_eq(again.seal.data, open->seal.data));
    SB_CHECK(sb_span_eq(again.seal.stamps, open->seal.stamps));
    SB_CHECK(again.seal.hlc == open->seal.hlc && again.seal.top == open->seal.top);
    sb_unsealed_fini(&again);
    sb_buf_free(&text);
}

static void try_text(struct sb_span text)
{
    struct sb_unsealed open;
    struct sb_err err = {0};
    int rc = sb_unseal_text(text, &open, &err);

    if (rc == 0)
        seal_again(&open);
    else
        SB_CHECK((err.code == SB_ETAMPERED || err.code == SB_EBAD_VERSION) &&
                 open.text.data == NULL && open.names.data == NULL);
    sb_unsealed_fini(&open);
}

static void try_token(struct sb_span token)
{
    struct sb_buf plain = {0};
    struct sb_err err = {0};
    int rc;

    sb_buf_add_str(&plain, "kept");
    rc = sb_fernet_decrypt(&key, 1, token, NULL, &plain, NULL, &err);
    SB_CHECK(rc != 0 || sb_fernet_looks_like(token));
    SB_CHECK(rc == 0 || plain.len == 4);
    SB_CHECK(rc == 0 || err.code == SB_ETAMPERED || err.code == SB_EWRONG_KEY);
    SB_CHECK(err.code != SB_EWRONG_KEY || sb_fernet_looks_like(token));
    sb_buf_free(&plain);
}

/* The same text comes out of any bytes only one way. */
static void try_base64url(struct sb_span bytes)
{
    struct sb_buf text = {0}, again = {0};

    sb_base64url_encode(bytes, &text);
    SB_CHECK(sb_base64url_decode(sb_buf_span(&text), &again));
    SB_CHECK(again.len == bytes.len &&
             (bytes.len == 0 || memcmp(again.data, bytes.data, bytes.len) == 0));
    sb_buf_clear(&again);
    sb_buf_clear(&text);
    if (sb_base64url_decode(bytes, &again)) {
        sb_base64url_encode(sb_buf_span(&again), &text);
        SB_CHECK(sb_span_eq(sb_buf_span(&text), bytes));
    }
    sb_buf_free(&text);
    sb_buf_free(&again);
}

/* Version, time, IV and ciphertext as they come, with the HMAC that only a holder of the key makes.
 */
static void try_signed(struct sb_span body)
{
    struct sb_buf raw = {0}, token = {0};
    unsigned char mac[32];
    size_t len;

    sb_buf_add_char(&raw, (char)0x80);
    sb_buf_add_span(&raw, body);
    SB_CHECK(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key.signing, sizeof(key.signing),
                       (unsigned char *)raw.data, raw.len, mac, sizeof(mac), &len) != NULL);
    sb_buf_add(&raw, mac, len);
    sb_base64url_encode(sb_buf_span(&raw), &token);
    try_token(sb_buf_span(&token));
    sb_buf_free(&raw);
    sb_buf_free(&token);
}

static void try_round(struct sb_span plain)
{
    struct sb_buf token = {0}, again = {0};

    SB_CHECK(sb_fernet_encrypt(&key, plain, 1, NULL, &token, NULL) == 0);
    SB_CHECK(sb_fernet_looks_like(sb_buf_span(&token)));
    SB_CHECK(sb_fernet_decrypt(&key, 1, sb_buf_span(&token), NULL, &again, NULL, NULL) == 0);
    SB_CHECK(again.len == plain.len &&
             (plain.len == 0 || memcmp(again.data, plain.data, plain.len) == 0));
    sb_buf_free(&token);
    sb_buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sb_span text = {(const char *)data, size};
    struct sb_keyring *keyring;

    try_text(text);
    try_token(text);
    try_base64url(text);
    try_signed(text);
    try_round(text);
    if (sb_keyring_parse(text, "fuzz", &keyring, NULL) == 0)
        SB_CHECK(sb_keyring_count(keyring) >= 1 && sb_keyring_count(keyring) <= SB_KEYRING_MAX);
    sb_keyring_free(keyring);
    return 0;
}
