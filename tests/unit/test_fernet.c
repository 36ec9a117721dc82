/* Fernet: tokens equal those of Python's cryptography and of the specification, byte for byte;
 * whatever is altered is refused, and nothing is decrypted before the HMAC was right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "common/base64url.h"
#include "common/clock.h"
#include "common/fernet.h"
#include "common/json_scan.h"
#include "common/rng.h"
#include "data_kit.h"

/* ---- vectors made with python3-cryptography 38.0.4: bytes 3, 10, 17, … as the key, iv[i] =
 * 13 i + 17 n of the n-th vector ---- */

static const char vector_key[] = "AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dw=";

static const struct vector {
    int64_t made;
    struct sb_span plain;
    const char *token;
} vectors[] = {
    {0,
     {"", 0},
     "gAAAAAAAAAAAAA0aJzRBTltodYKPnKm2w_"
     "0fonjkdmZjkNwOepb4fghbQiHlZJQjqws0CzWdiBrEHV6Hn6pvVThb94Ic3P"
     "pdgQ=="},
    {1,
     {"a", 1},
     "gAAAAAAAAAABER4rOEVSX2x5hpOgrbrH1NBaNJvgIbm2UeGyVPUVcF9HPPXoohriu4Soxl4rJAOApkOaGa4a0ISeWkW1W"
     "x"
     "TV3Q=="},
    {1699999999,
     {"0123456789abcde", 15},
     "gAAAAABlU_D_Ii88SVZjcH2Kl6SxvsvY5d9IeAr_2m4VDOtbz5IDtLd4fNTHwoG1uRAsPJQ1KHcQXQzSyRsAfcKNua-q-"
     "S"
     "a3mQ=="},
    {1700000000,
     {"0123456789abcdef", 16},
     "gAAAAABlU_EAM0BNWmd0gY6bqLXCz9zp9lECW3ydn3xBkA3WU_"
     "tPIKwjGqTre9GjaAEF30HQxBP6QZ1BNq5TdcJJgLsnnb"
     "2G6tBLwNiHiEC9r_kFEHmZvIQ="},
    {1700000001,
     {"0123456789abcdefg", 17},
     "gAAAAABlU_EBRFFea3iFkp-sucbT4O36B14DB8MGRJssQ_"
     "KhBeTze83ojN4usNwLQXRTW3mH9zmW9QIXsPPBg6VG4Ch9fF"
     "ojUI1VNeVPO23ep2P3OjS4F-A="},
    {4294967296,
     {"{\"theme\":\"\xe6\xb7\xb1\xe8\x89\xb2\",\"n\":12345678901234567,\"e\":\"\xf0\x9f\x98\x80\"}",
      51},
     "gAAAAAEAAAAAVWJvfImWo7C9ytfk8f4LGACSkAUiUfqq2hp6lWAKpPT_X-"
     "iS94CWoUHSvg1Y7IirOF0MB2wP5O3cABm0op"
     "xSsAvNXUJzoDCLiWZ9swnywJ4nhtrNiZi6_EuaZYWi3QDPPAoSup72Oo0N1NIV1q9fDA=="},
    {INT64_MAX,
     {"\0\xff\x10\0\xff\x10\0\xff\x10\0\xff\x10\0\xff\x10\0\xff\x10\0\xff\x10\0\xff\x10\0\xff\x10\0"
      "\xff\x10\0\xff\x10",
      33},
     "gH__________ZnOAjZqntMHO2-"
     "j1Ag8cKZ3muCpDPcdWhptcjWRG0t2D7Qa1tu3d7CGhQNRDWEeh5TN70PhcfIilnUFBG2"
     "MtJc8wbT-XCBYwB4uCZKTE7DC2UlCIvITl1yckrIL04Wdv"},
};

#define VECTORS (sizeof(vectors) / sizeof(vectors[0]))

static struct sb_err err;

static struct sb_fernet_key key_of(const char *text)
{
    struct sb_fernet_key key;

    assert_int_equal(sb_fernet_key_parse(sb_span_of(text), &key, &err), 0);
    return key;
}

static void iv_of(size_t n, unsigned char iv[SB_FERNET_IV_BYTES])
{
    for (size_t i = 0; i < SB_FERNET_IV_BYTES; i++)
        iv[i] = (unsigned char)(13 * i + 17 * n);
}

static void tokens_equal_those_of_python(void **state)
{
    struct sb_fernet_key key = key_of(vector_key);

    (void)state;
    for (size_t n = 0; n < VECTORS; n++) {
        unsigned char iv[SB_FERNET_IV_BYTES];
        struct sb_buf token = {0};

        iv_of(n, iv);
        assert_int_equal(
            sb_fernet_encrypt(&key, vectors[n].plain, vectors[n].made, iv, &token, &err), 0);
        assert_string_equal(token.data, vectors[n].token);
        assert_true(sb_fernet_looks_like(sb_buf_span(&token)));
        sb_buf_free(&token);
    }
}

static void tokens_of_python_are_opened(void **state)
{
    struct sb_fernet_key key = key_of(vector_key);

    (void)state;
    for (size_t n = 0; n < VECTORS; n++) {
        struct sb_fernet_info info;
        struct sb_buf plain = {0};

        sb_buf_add_str(&plain, "kept");
        assert_int_equal(
            sb_fernet_decrypt(&key, 1, sb_span_of(vectors[n].token), NULL, &plain, &info, &err), 0);
        assert_int_equal(plain.len, 4 + vectors[n].plain.len);
        assert_memory_equal(plain.data, "kept", 4);
        assert_memory_equal(plain.data + 4, vectors[n].plain.data, vectors[n].plain.len);
        assert_int_equal(info.made_s, vectors[n].made);
        assert_int_equal(info.key, 0);
        sb_buf_free(&plain);
    }
}

static void time_before_1970_is_written_as_0(void **state)
{
    struct sb_fernet_key key = key_of(vector_key);
    struct sb_fernet_info info = {.made_s = 1};
    struct sb_buf token = {0}, plain = {0};

    (void)state;
    assert_int_equal(sb_fernet_encrypt(&key, SB_SPAN("x"), -5, NULL, &token, &err), 0);
    assert_int_equal(sb_fernet_decrypt(&key, 1, sb_buf_span(&token), NULL, &plain, &info, &err), 0);
    assert_int_equal(info.made_s, 0);
    sb_buf_free(&token);
    sb_buf_free(&plain);
}

/* ---- keys ---- */

static void key_text_comes_back(void **state)
{
    struct sb_fernet_key key = key_of(vector_key);
    char text[SB_FERNET_KEY_TEXT + 1];

    (void)state;
    assert_int_equal(key.signing[0], 3);
    assert_int_equal(key.encryption[0], 3 + 16 * 7);
    sb_fernet_key_print(&key, text);
    assert_string_equal(text, vector_key);
    sb_fernet_key_wipe(&key);
    for (size_t i = 0; i < sizeof(key.signing); i++)
        assert_int_equal(key.signing[i] | key.encryption[i], 0);
}

static void what_is_no_key_is_refused_without_showing_it(void **state)
{
    static const char *const bad[] = {
        "",
        "AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dw",    /* no padding */
        "AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1d==",   /* 31 bytes */
        "AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dwA",   /* 33 bytes */
        "AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dx=",   /* bits left over */
        "AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1d+=",   /* the other alphabet */
        "AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dw=\n", /* 45 characters */
        " AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dw",
    };
    struct sb_fernet_key key;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(sb_fernet_key_parse(sb_span_of(bad[i]), &key, &err), -(int)SB_EBAD_VALUE);
        assert_null(strstr(err.msg, "AwoR"));
    }
}

static void generated_keys_differ_and_work(void **state)
{
    char text[SB_FERNET_KEY_TEXT + 1];
    struct sb_fernet_key a, b;
    struct sb_buf token = {0}, plain = {0};

    (void)state;
    assert_int_equal(sb_fernet_key_generate(&a, &err), 0);
    assert_int_equal(sb_fernet_key_generate(&b, &err), 0);
    assert_memory_not_equal(&a, &b, sizeof(a));
    sb_fernet_key_print(&a, text);
    b = key_of(text);
    assert_memory_equal(&a, &b, sizeof(a));
    assert_int_equal(sb_fernet_encrypt(&a, SB_SPAN("plain"), 1, NULL, &token, &err), 0);
    assert_int_equal(sb_fernet_decrypt(&b, 1, sb_buf_span(&token), NULL, &plain, NULL, &err), 0);
    assert_string_equal(plain.data, "plain");
    sb_buf_free(&token);
    sb_buf_free(&plain);
}

static void same_text_twice_gives_two_tokens(void **state)
{
    struct sb_fernet_key key = key_of(vector_key);
    struct sb_buf a = {0}, b = {0};

    (void)state;
    assert_int_equal(sb_fernet_encrypt(&key, SB_SPAN("x"), 1, NULL, &a, &err), 0);
    assert_int_equal(sb_fernet_encrypt(&key, SB_SPAN("x"), 1, NULL, &b, &err), 0);
    assert_int_equal(a.len, b.len);
    assert_string_not_equal(a.data, b.data);
    sb_buf_free(&a);
    sb_buf_free(&b);
}

/* ---- refusals ---- */

/* Returns the code; what was in the buffer before must still be all of it. */
static int code_of(const struct sb_fernet_key *keys, size_t count, struct sb_span token,
                   const struct sb_fernet_limits *limits)
{
    struct sb_fernet_info info = {7, 7};
    struct sb_buf plain = {0};
    int rc;

    sb_buf_add_str(&plain, "kept");
    rc = sb_fernet_decrypt(keys, count, token, limits, &plain, &info, &err);
    if (rc < 0) {
        assert_int_equal(plain.len, 4);
        assert_string_equal(plain.data, "kept");
        assert_int_equal(info.key, 7);
        assert_int_equal(rc, -(int)err.code);
    }
    sb_buf_free(&plain);
    return -rc;
}

static void every_altered_character_is_refused(void **state)
{
    struct sb_fernet_key key = key_of(vector_key);

    (void)state;
    for (size_t n = 0; n < VECTORS; n++) {
        size_t len = strlen(vectors[n].token);
        char *token = sb_xstrdup(vectors[n].token);

        for (size_t i = 0; i < len; i++) {
            static const char others[] = "AZaz09-_=+/ \n%";

            for (const char *c = others; *c != '\0'; c++) {
                int code;

                if (*c == vectors[n].token[i])
                    continue;
                token[i] = *c;
                code = code_of(&key, 1, (struct sb_span){token, len}, NULL);
                assert_true(code == SB_ETAMPERED || code == SB_EWRONG_KEY);
            }
            token[i] = vectors[n].token[i];
        }
        free(token);
    }
}

static void every_cut_is_refused(void **state)
{
    struct sb_fernet_key key = key_of(vector_key);
    const char *token = vectors[5].token;

    (void)state;
    for (size_t len = 0; len < strlen(token); len++) {
        int code = code_of(&key, 1, (struct sb_span){token, len}, NULL);

        assert_true(code == SB_ETAMPERED || code == SB_EWRONG_KEY);
        assert_true(code == SB_ETAMPERED || sb_fernet_looks_like((struct sb_span){token, len}));
    }
}

static void another_key_says_so(void **state)
{
    struct sb_fernet_key key;

    (void)state;
    assert_int_equal(sb_fernet_key_generate(&key, &err), 0);
    assert_int_equal(code_of(&key, 1, sb_span_of(vectors[1].token), NULL), SB_EWRONG_KEY);
    assert_non_null(strstr(err.msg, "another key"));
    assert_non_null(strstr(err.msg, "altered"));
    assert_int_equal(code_of(&key, 0, sb_span_of(vectors[1].token), NULL), SB_ENO_KEY);
}

static void later_keys_are_tried(void **state)
{
    struct sb_fernet_info info;
    struct sb_fernet_key keys[3];
    struct sb_buf plain = {0};

    (void)state;
    assert_int_equal(sb_fernet_key_generate(&keys[0], &err), 0);
    assert_int_equal(sb_fernet_key_generate(&keys[1], &err), 0);
    keys[2] = key_of(vector_key);
    assert_int_equal(
        sb_fernet_decrypt(keys, 3, sb_span_of(vectors[3].token), NULL, &plain, &info, &err), 0);
    assert_int_equal(info.key, 2);
    assert_string_equal(plain.data, "0123456789abcdef");
    assert_int_equal(code_of(keys, 2, sb_span_of(vectors[3].token), NULL), SB_EWRONG_KEY);
    sb_buf_free(&plain);
}

/* A token around a ciphertext, signed with the key: what only its holder can make. */
static void wrap(const struct sb_fernet_key *key, unsigned version, struct sb_span iv,
                 struct sb_span cipher, struct sb_buf *token)
{
    struct sb_buf raw = {0};
    unsigned char mac[32];
    size_t len;

    sb_buf_add_char(&raw, (char)version);
    sb_buf_add(&raw, "\0\0\0\0\0\0\0\1", 8);
    sb_buf_add_span(&raw, iv);
    sb_buf_add_span(&raw, cipher);
    assert_non_null(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key->signing,
                              sizeof(key->signing), (unsigned char *)raw.data, raw.len, mac,
                              sizeof(mac), &len));
    sb_buf_add(&raw, mac, len);
    sb_base64url_encode(sb_buf_span(&raw), token);
    sb_buf_free(&raw);
}

static void other_versions_and_half_blocks_are_refused_also_when_signed(void **state)
{
    struct sb_fernet_key key = key_of(vector_key);
    struct sb_buf token = {0}, block = {0};

    (void)state;
    assert_int_equal(sb_fernet_encrypt(&key, SB_SPAN("x"), 1, NULL, &token, &err), 0);
    assert_true(sb_base64url_decode(sb_buf_span(&token), &block));
    for (unsigned version = 0; version < 256; version++) {
        struct sb_span iv = {block.data + 9, 16}, cipher = {block.data + 25, 16};
        int want = version == 0x80 ? 0 : SB_ETAMPERED;

        sb_buf_clear(&token);
        wrap(&key, version, iv, cipher, &token);
        assert_int_equal(code_of(&key, 1, sb_buf_span(&token), NULL), want);
        cipher.len = 15;
        sb_buf_clear(&token);
        wrap(&key, version, iv, cipher, &token);
        assert_int_equal(code_of(&key, 1, sb_buf_span(&token), NULL), SB_ETAMPERED);
    }
    sb_buf_free(&token);
    sb_buf_free(&block);
}

static void limits_of_age_and_skew(void **state)
{
    struct sb_fernet_key key = key_of(vector_key);
    struct sb_span token = sb_span_of(vectors[3].token); /* 1700000000 */
    const struct {
        struct sb_fernet_limits limits;
        int code;
    } cases[] = {
        {{1700000060, 60, 60}, 0}, {{1700000061, 60, 60}, SB_ESTALE},
        {{1699999940, 60, 60}, 0}, {{1699999939, 60, 60}, SB_ESTALE},
        {{1800000000, 0, 60}, 0},  {{1600000000, 60, 0}, 0},
        {{-1, 60, 60}, SB_ESTALE}, {{INT64_MAX, 60, 0}, SB_ESTALE},
        {{INT64_MAX, 0, 0}, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(code_of(&key, 1, token, &cases[i].limits), cases[i].code);
}

static void too_large_is_refused_before_anything(void **state)
{
    struct sb_fernet_key key = key_of(vector_key);
    struct sb_buf big = {0}, token = {0}, plain = {0};

    (void)state;
    sb_buf_reserve(&big, SB_FERNET_TOKEN_MAX + 4);
    memset(big.data, 'A', SB_FERNET_TOKEN_MAX + 4);
    assert_int_equal(code_of(&key, 1, (struct sb_span){big.data, SB_FERNET_TOKEN_MAX + 4}, NULL),
                     SB_ETOO_LARGE);
    assert_int_equal(sb_fernet_encrypt(&key, (struct sb_span){big.data, SB_FERNET_PLAIN_MAX + 1}, 1,
                                       NULL, &token, &err),
                     -(int)SB_ETOO_LARGE);
    assert_int_equal(token.len, 0);
    /* and the longest that is allowed fits */
    big.len = SB_FERNET_PLAIN_MAX;
    assert_int_equal(sb_fernet_encrypt(&key, sb_buf_span(&big), 1, NULL, &token, &err), 0);
    assert_true(token.len <= SB_FERNET_TOKEN_MAX);
    assert_true(sb_fernet_looks_like(sb_buf_span(&token)));
    assert_int_equal(sb_fernet_decrypt(&key, 1, sb_buf_span(&token), NULL, &plain, NULL, &err), 0);
    assert_true(sb_span_eq(sb_buf_span(&plain), sb_buf_span(&big)));
    sb_buf_free(&big);
    sb_buf_free(&token);
    sb_buf_free(&plain);
}

static void shape_of_a_token(void **state)
{
    static const char *const no[] = {
        "",
        "x",
        "{}",
        "gAAAA",
        "not a token",
        "gAAAAAAAAAAAAA0aJzRBTltodYKPnKm2w_0f",
        /* standard base64, version 0x81, half a block, padding cut off */
        "gAAAAAAAAAAAAA0aJzRBTltodYKPnKm2w/"
        "0fonjkdmZjkNwOepb4fghbQiHlZJQjqws0CzWdiBrEHV6Hn6pvVThb94Ic3P"
        "pdgQ==",
        "gQAAAAAAAAAAAA0aJzRBTltodYKPnKm2w_"
        "0fonjkdmZjkNwOepb4fghbQiHlZJQjqws0CzWdiBrEHV6Hn6pvVThb94Ic3P"
        "pdgQ==",
        "gAAAAAAAAAAAAA0aJzRBTltodYKPnKm2w_"
        "0fonjkdmZjkNwOepb4fghbQiHlZJQjqws0CzWdiBrEHV6Hn6pvVThb94Ic3P"
        "pdgQAAAA==",
        "gAAAAAAAAAAAAA0aJzRBTltodYKPnKm2w_"
        "0fonjkdmZjkNwOepb4fghbQiHlZJQjqws0CzWdiBrEHV6Hn6pvVThb94Ic3P"
        "pdgQ",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        assert_false(sb_fernet_looks_like(sb_span_of(no[i])));
    for (size_t n = 0; n < VECTORS; n++)
        assert_true(sb_fernet_looks_like(sb_span_of(vectors[n].token)));
}

static void base64url_of_every_length_comes_back(void **state)
{
    struct sb_buf bytes = {0}, text = {0}, again = {0};
    struct sb_rng rng;

    (void)state;
    sb_rng_seed(&rng, 5);
    for (size_t len = 0; len < 200; len++) {
        size_t size = 0;

        sb_buf_clear(&text);
        sb_buf_clear(&again);
        sb_base64url_encode(sb_buf_span(&bytes), &text);
        assert_true(sb_base64url_valid(sb_buf_span(&text), &size));
        assert_int_equal(size, len);
        assert_true(sb_base64url_decode(sb_buf_span(&text), &again));
        assert_int_equal(again.len, len);
        assert_true(sb_span_eq(sb_buf_span(&bytes), sb_buf_span(&again)));
        sb_buf_add_char(&bytes, (char)sb_rng_below(&rng, 256));
    }
    sb_buf_free(&bytes);
    sb_buf_free(&text);
    sb_buf_free(&again);
}

/* ---- the specification's and Wycheproof's vectors ---- */

static struct sb_span parsed(const struct sb_buf *text)
{
    const struct sb_json_limits limits = {1 << 24, SB_JSON_MAX_DEPTH, SB_JSON_MAX_NODES};
    struct sb_span value;

    assert_int_equal(sb_json_check(sb_buf_span(text), &limits, &value, &err), 0);
    return value;
}

/* The characters of a string member, NUL after them; the caller frees. */
static char *text_of(struct sb_span object, const char *key)
{
    struct sb_buf out = {0};
    struct sb_span value;

    assert_true(sb_json_get(object, key, &value));
    sb_buf_add_str(&out, "");
    sb_json_unescape(value, &out);
    return sb_buf_take(&out);
}

static int64_t seconds_of(struct sb_span object, const char *key)
{
    char *text = text_of(object, key);
    int64_t us;

    assert_true(sb_time_parse(sb_span_of(text), &us));
    free(text);
    return us / 1000000;
}

static void read_iv(struct sb_span vector, unsigned char iv[SB_FERNET_IV_BYTES])
{
    struct sb_span list, element;
    struct sb_json_iter iter;
    size_t n = 0;

    assert_true(sb_json_get(vector, "iv", &list));
    sb_json_iter_init(&iter, list);
    while (sb_json_next_element(&iter, &element)) {
        uint64_t byte = 0;

        assert_true(n < SB_FERNET_IV_BYTES);
        assert_true(sb_json_u64(element, &byte));
        iv[n++] = (unsigned char)byte;
    }
    assert_int_equal(n, SB_FERNET_IV_BYTES);
}

static void specification_generate(void **state)
{
    struct sb_buf file = data_contents("fernet-spec/generate.json");
    struct sb_json_iter iter;
    struct sb_span vector;
    size_t count = 0;

    (void)state;
    sb_json_iter_init(&iter, parsed(&file));
    for (; sb_json_next_element(&iter, &vector); count++) {
        char *token = text_of(vector, "token"), *src = text_of(vector, "src");
        char *secret = text_of(vector, "secret");
        struct sb_fernet_key key = key_of(secret);
        unsigned char iv[SB_FERNET_IV_BYTES];
        struct sb_buf out = {0};

        read_iv(vector, iv);
        assert_int_equal(
            sb_fernet_encrypt(&key, sb_span_of(src), seconds_of(vector, "now"), iv, &out, &err), 0);
        assert_string_equal(out.data, token);
        sb_buf_free(&out);
        free(token);
        free(src);
        free(secret);
    }
    assert_true(count > 0);
    sb_buf_free(&file);
}

/* The code that opening a vector gives with its limits; the skew is the specification's 60 s. */
static int open_vector(struct sb_span vector, struct sb_buf *plain)
{
    char *token = text_of(vector, "token"), *secret = text_of(vector, "secret");
    struct sb_fernet_limits limits = {.now_s = seconds_of(vector, "now"), .max_skew_s = 60};
    struct sb_fernet_key key = key_of(secret);
    struct sb_span ttl;
    int rc;

    assert_true(sb_json_get(vector, "ttl_sec", &ttl));
    assert_true(sb_json_i64(ttl, &limits.max_age_s));
    rc = sb_fernet_decrypt(&key, 1, sb_span_of(token), &limits, plain, NULL, &err);
    free(token);
    free(secret);
    return -rc;
}

static void specification_verify(void **state)
{
    struct sb_buf file = data_contents("fernet-spec/verify.json");
    struct sb_json_iter iter;
    struct sb_span vector;
    size_t count = 0;

    (void)state;
    sb_json_iter_init(&iter, parsed(&file));
    for (; sb_json_next_element(&iter, &vector); count++) {
        char *src = text_of(vector, "src");
        struct sb_buf plain = {0};

        assert_int_equal(open_vector(vector, &plain), 0);
        assert_string_equal(plain.data, src);
        sb_buf_free(&plain);
        free(src);
    }
    assert_true(count > 0);
    sb_buf_free(&file);
}

static void specification_invalid(void **state)
{
    static const struct {
        const char *desc;
        int code;
    } codes[] = {
        {"incorrect mac", SB_EWRONG_KEY},
        {"too short", SB_ETAMPERED},
        {"invalid base64", SB_ETAMPERED},
        {"payload size not multiple of block size", SB_ETAMPERED},
        {"payload padding error", SB_ETAMPERED},
        {"far-future TS (unacceptable clock skew)", SB_ESTALE},
        {"expired TTL", SB_ESTALE},
        {"incorrect IV (causes padding error)", SB_ETAMPERED},
    };
    struct sb_buf file = data_contents("fernet-spec/invalid.json"), plain = {0};
    struct sb_json_iter iter;
    struct sb_span vector;
    size_t count = 0, known = 0;

    (void)state;
    sb_json_iter_init(&iter, parsed(&file));
    for (; sb_json_next_element(&iter, &vector); count++) {
        char *desc = text_of(vector, "desc");
        int code = open_vector(vector, &plain);

        assert_int_not_equal(code, 0);
        for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
            if (strcmp(codes[i].desc, desc) == 0) {
                assert_int_equal(code, codes[i].code);
                known++;
            }
        }
        free(desc);
    }
    assert_int_equal(plain.len, 0);
    assert_int_equal(known, count);
    assert_true(count > 0);
    sb_buf_free(&file);
    sb_buf_free(&plain);
}

static struct sb_buf bytes_of_hex(struct sb_span object, const char *key)
{
    char *text = text_of(object, key);
    struct sb_buf out = {0};

    sb_buf_add_str(&out, "");
    for (size_t i = 0; text[i] != '\0'; i += 2) {
        char pair[3] = {text[i], text[i + 1], '\0'};

        sb_buf_add_char(&out, (char)strtoul(pair, NULL, 16));
    }
    free(text);
    return out;
}

static void try_cbc(struct sb_span test)
{
    struct sb_buf key_bytes = bytes_of_hex(test, "key"), iv = bytes_of_hex(test, "iv");
    struct sb_buf msg = bytes_of_hex(test, "msg"), ct = bytes_of_hex(test, "ct");
    struct sb_buf token = {0}, plain = {0};
    char *result = text_of(test, "result");
    struct sb_fernet_key key = {.signing = "0123456789abcde"};
    int rc;

    assert_int_equal(key_bytes.len, sizeof(key.encryption));
    assert_int_equal(iv.len, SB_FERNET_IV_BYTES);
    memcpy(key.encryption, key_bytes.data, sizeof(key.encryption));
    wrap(&key, 0x80, sb_buf_span(&iv), sb_buf_span(&ct), &token);
    rc = sb_fernet_decrypt(&key, 1, sb_buf_span(&token), NULL, &plain, NULL, &err);
    if (strcmp(result, "valid") == 0) {
        assert_int_equal(rc, 0);
        assert_true(sb_span_eq(sb_buf_span(&plain), sb_buf_span(&msg)));
    } else {
        assert_int_equal(rc, -(int)SB_ETAMPERED);
        assert_int_equal(plain.len, 0);
    }
    free(result);
    sb_buf_free(&key_bytes);
    sb_buf_free(&iv);
    sb_buf_free(&msg);
    sb_buf_free(&ct);
    sb_buf_free(&token);
    sb_buf_free(&plain);
}

static size_t try_group(struct sb_span group)
{
    struct sb_span tests, test, size;
    struct sb_json_iter iter;
    size_t count = 0;

    assert_true(sb_json_get(group, "keySize", &size) && sb_json_get(group, "tests", &tests));
    if (!sb_span_is(size, "128"))
        return 0;
    sb_json_iter_init(&iter, tests);
    for (; sb_json_next_element(&iter, &test); count++)
        try_cbc(test);
    return count;
}

static void padding_as_wycheproof_wants_it(void **state)
{
    struct sb_buf file = data_contents("wycheproof/aes_cbc_pkcs5_test.json.gz");
    struct sb_span groups, group;
    struct sb_json_iter iter;
    size_t count = 0;

    (void)state;
    assert_true(sb_json_get(parsed(&file), "testGroups", &groups));
    sb_json_iter_init(&iter, groups);
    while (sb_json_next_element(&iter, &group))
        count += try_group(group);
    print_message("%zu vectors with keys of 128 bits\n", count);
    assert_true(count > 0);
    sb_buf_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_equal_those_of_python),
        cmocka_unit_test(tokens_of_python_are_opened),
        cmocka_unit_test(time_before_1970_is_written_as_0),
        cmocka_unit_test(key_text_comes_back),
        cmocka_unit_test(what_is_no_key_is_refused_without_showing_it),
        cmocka_unit_test(generated_keys_differ_and_work),
        cmocka_unit_test(same_text_twice_gives_two_tokens),
        cmocka_unit_test(every_altered_character_is_refused),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(another_key_says_so),
        cmocka_unit_test(later_keys_are_tried),
        cmocka_unit_test(other_versions_and_half_blocks_are_refused_also_when_signed),
        cmocka_unit_test(limits_of_age_and_skew),
        cmocka_unit_test(too_large_is_refused_before_anything),
        cmocka_unit_test(shape_of_a_token),
        cmocka_unit_test(base64url_of_every_length_comes_back),
        cmocka_unit_test(specification_generate),
        cmocka_unit_test(specification_verify),
        cmocka_unit_test(specification_invalid),
        cmocka_unit_test(padding_as_wycheproof_wants_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
