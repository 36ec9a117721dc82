#include "fernet.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base64url.h"

#define VERSION    0x80
#define BLOCK      16
#define MAC_BYTES  32
#define IV_AT      (1 + 8) /* behind version and time */
#define CIPHER_AT  (IV_AT + SB_FERNET_IV_BYTES)
#define RAW_MIN    (CIPHER_AT + BLOCK + MAC_BYTES)
#define VERSION_TO 16 /* the values of the second character behind a 'g' that make 0x80 of them */

/* ---- keys ---- */

static void wipe_buf(struct sb_buf *buf)
{
    if (buf->data != NULL)
        OPENSSL_cleanse(buf->data, buf->cap);
    sb_buf_free(buf);
}

int sb_fernet_key_parse(struct sb_span text, struct sb_fernet_key *key, struct sb_err *err)
{
    struct sb_buf bytes = {0};
    bool good = text.len == SB_FERNET_KEY_TEXT && sb_base64url_decode(text, &bytes) &&
                bytes.len == SB_FERNET_KEY_BYTES;

    if (good) {
        memcpy(key->signing, bytes.data, sizeof(key->signing));
        memcpy(key->encryption, bytes.data + sizeof(key->signing), sizeof(key->encryption));
    }
    wipe_buf(&bytes);
    if (!good)
        return sb_fail(err, SB_EBAD_VALUE,
                       "not a key: %d characters of base64url for 32 bytes are wanted",
                       SB_FERNET_KEY_TEXT);
    return 0;
}

void sb_fernet_key_print(const struct sb_fernet_key *key, char out[SB_FERNET_KEY_TEXT + 1])
{
    unsigned char bytes[SB_FERNET_KEY_BYTES];
    struct sb_buf text = {0};

    memcpy(bytes, key->signing, sizeof(key->signing));
    memcpy(bytes + sizeof(key->signing), key->encryption, sizeof(key->encryption));
    sb_base64url_encode((struct sb_span){(const char *)bytes, sizeof(bytes)}, &text);
    memcpy(out, text.data, SB_FERNET_KEY_TEXT + 1);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    wipe_buf(&text);
}

static int random_bytes(unsigned char *out, int len, struct sb_err *err)
{
    if (RAND_bytes(out, len) != 1)
        return sb_fail(err, SB_EINTERNAL, "OpenSSL has no random bytes");
    return 0;
}

int sb_fernet_key_generate(struct sb_fernet_key *key, struct sb_err *err)
{
    int rc = random_bytes(key->signing, (int)sizeof(key->signing), err);

    return rc == 0 ? random_bytes(key->encryption, (int)sizeof(key->encryption), err) : rc;
}

void sb_fernet_key_wipe(struct sb_fernet_key *key)
{
    OPENSSL_cleanse(key, sizeof(*key));
}

/* ---- the two halves ---- */

static int sign(const struct sb_fernet_key *key, const unsigned char *data, size_t len,
                unsigned char mac[MAC_BYTES], struct sb_err *err)
{
    size_t got = 0;

    if (EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key->signing, sizeof(key->signing), data, len,
                  mac, MAC_BYTES, &got) == NULL ||
        got != MAC_BYTES)
        return sb_fail(err, SB_EINTERNAL, "OpenSSL: HMAC-SHA256 failed");
    return 0;
}

/* Room for len + BLOCK bytes in out. Bad padding is SB_ETAMPERED. */
static int run_cipher(const struct sb_fernet_key *key, bool encrypt, const unsigned char *iv,
                      const unsigned char *in, size_t len, unsigned char *out, size_t *got,
                      struct sb_err *err)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int head = 0, tail = 0, rc = 0;

    if (ctx == NULL ||
        EVP_CipherInit_ex(ctx, EVP_aes_128_cbc(), NULL, key->encryption, iv, encrypt) != 1 ||
        EVP_CipherUpdate(ctx, out, &head, in, (int)len) != 1)
        rc = sb_fail(err, SB_EINTERNAL, "OpenSSL: AES-128-CBC failed");
    else if (EVP_CipherFinal_ex(ctx, out + head, &tail) != 1)
        rc = encrypt ? sb_fail(err, SB_EINTERNAL, "OpenSSL: AES-128-CBC failed")
                     : sb_fail(err, SB_ETAMPERED, "not a Fernet token: bad padding");
    EVP_CIPHER_CTX_free(ctx); /* wipes its copy of the key */
    *got = (size_t)head + (size_t)tail;
    return rc;
}

/* ---- encrypting ---- */

static void put_head(unsigned char *raw, int64_t now_s)
{
    uint64_t time = now_s > 0 ? (uint64_t)now_s : 0;

    raw[0] = VERSION;
    for (int i = 8; i > 0; i--, time >>= 8)
        raw[i] = (unsigned char)time;
}

int sb_fernet_encrypt(const struct sb_fernet_key *key, struct sb_span plain, int64_t now_s,
                      const unsigned char *iv, struct sb_buf *out, struct sb_err *err)
{
    unsigned char *raw;
    size_t len = 0;
    int rc = 0;

    if (plain.len > SB_FERNET_PLAIN_MAX)
        return sb_fail(err, SB_ETOO_LARGE, "%zu bytes to encrypt: %d are allowed", plain.len,
                       SB_FERNET_PLAIN_MAX);
    raw = sb_xmalloc(CIPHER_AT + plain.len + BLOCK + MAC_BYTES);
    put_head(raw, now_s);
    if (iv != NULL)
        memcpy(raw + IV_AT, iv, SB_FERNET_IV_BYTES);
    else
        rc = random_bytes(raw + IV_AT, SB_FERNET_IV_BYTES, err);
    if (rc == 0)
        rc = run_cipher(key, true, raw + IV_AT, (const unsigned char *)plain.data, plain.len,
                        raw + CIPHER_AT, &len, err);
    if (rc == 0)
        rc = sign(key, raw, CIPHER_AT + len, raw + CIPHER_AT + len, err);
    if (rc == 0)
        sb_base64url_encode((struct sb_span){(const char *)raw, CIPHER_AT + len + MAC_BYTES}, out);
    free(raw);
    return rc;
}

/* ---- decrypting ---- */

static int read_token(struct sb_span token, struct sb_buf *raw, struct sb_err *err)
{
    if (token.len > SB_FERNET_TOKEN_MAX)
        return sb_fail(err, SB_ETOO_LARGE, "a token of %zu bytes: %d are allowed", token.len,
                       SB_FERNET_TOKEN_MAX);
    if (!sb_base64url_decode(token, raw))
        return sb_fail(err, SB_ETAMPERED, "not a Fernet token: not base64url");
    if (raw->len > 0 && (unsigned char)raw->data[0] != VERSION)
        return sb_fail(err, SB_ETAMPERED, "not a Fernet token: version 0x%02x, not 0x80",
                       (unsigned)(unsigned char)raw->data[0]);
    if (raw->len < RAW_MIN)
        return sb_fail(err, SB_ETAMPERED, "not a Fernet token: %zu bytes, at least %d are wanted",
                       raw->len, RAW_MIN);
    if ((raw->len - CIPHER_AT - MAC_BYTES) % BLOCK != 0)
        return sb_fail(err, SB_ETAMPERED, "not a Fernet token: not whole blocks of %d bytes",
                       BLOCK);
    return 0;
}

static int find_key(const struct sb_fernet_key *keys, size_t count, const struct sb_buf *raw,
                    size_t *found, struct sb_err *err)
{
    const unsigned char *bytes = (const unsigned char *)raw->data;
    size_t len = raw->len - MAC_BYTES;
    unsigned char mac[MAC_BYTES];

    for (size_t i = 0; i < count; i++) {
        int rc = sign(&keys[i], bytes, len, mac, err);

        if (rc < 0)
            return rc;
        if (CRYPTO_memcmp(mac, bytes + len, MAC_BYTES) == 0) {
            *found = i;
            return 0;
        }
    }
    return sb_fail(err, SB_EWRONG_KEY,
                   "none of the %zu keys opens it: it was made with another key, or altered",
                   count);
}

static uint64_t made_of(const struct sb_buf *raw)
{
    uint64_t time = 0;

    for (int i = 1; i <= 8; i++)
        time = time << 8 | (unsigned char)raw->data[i];
    return time;
}

static int check_limits(const struct sb_fernet_limits *limits, uint64_t made, struct sb_err *err)
{
    uint64_t now;

    if (limits == NULL)
        return 0;
    now = limits->now_s > 0 ? (uint64_t)limits->now_s : 0;
    if (limits->max_skew_s > 0 && made > now && made - now > (uint64_t)limits->max_skew_s)
        return sb_fail(err, SB_ESTALE, "the token was made %llu s in the future",
                       (unsigned long long)(made - now));
    if (limits->max_age_s > 0 && now > made && now - made > (uint64_t)limits->max_age_s)
        return sb_fail(err, SB_ESTALE, "the token is %llu s old; %lld are allowed",
                       (unsigned long long)(now - made), (long long)limits->max_age_s);
    return 0;
}

static int open_raw(const struct sb_fernet_key *key, const struct sb_buf *raw, struct sb_buf *out,
                    struct sb_err *err)
{
    const unsigned char *bytes = (const unsigned char *)raw->data;
    size_t len = raw->len - CIPHER_AT - MAC_BYTES, got = 0;
    int rc;

    sb_buf_reserve(out, len + BLOCK);
    rc = run_cipher(key, false, bytes + IV_AT, bytes + CIPHER_AT, len,
                    (unsigned char *)out->data + out->len, &got, err);
    if (rc < 0) /* what was decrypted before the padding was seen to be bad */
        OPENSSL_cleanse(out->data + out->len, len + BLOCK);
    else
        out->len += got;
    out->data[out->len] = '\0';
    return rc;
}

int sb_fernet_decrypt(const struct sb_fernet_key *keys, size_t count, struct sb_span token,
                      const struct sb_fernet_limits *limits, struct sb_buf *out,
                      struct sb_fernet_info *info, struct sb_err *err)
{
    struct sb_fernet_info found = {0};
    struct sb_buf raw = {0};
    int rc;

    if (count == 0)
        return sb_fail(err, SB_ENO_KEY, "there is no key to open it with");
    if ((rc = read_token(token, &raw, err)) == 0 &&
        (rc = find_key(keys, count, &raw, &found.key, err)) == 0) {
        found.made_s = made_of(&raw);
        rc = check_limits(limits, found.made_s, err);
        if (rc == 0)
            rc = open_raw(&keys[found.key], &raw, out, err);
    }
    sb_buf_free(&raw);
    if (rc == 0 && info != NULL)
        *info = found;
    return rc;
}

bool sb_fernet_looks_like(struct sb_span token)
{
    size_t size;

    /* the first byte is six bits of the first character and two of the second */
    return token.len >= SB_FERNET_TOKEN_MIN && token.len <= SB_FERNET_TOKEN_MAX &&
           token.data[0] == 'g' && token.data[1] >= 'A' && token.data[1] < 'A' + VERSION_TO &&
           sb_base64url_valid(token, &size) && (size - CIPHER_AT - MAC_BYTES) % BLOCK == 0;
}
