#ifndef SB_FERNET_H
#define SB_FERNET_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

/* Fernet tokens (version 0x80: AES-128-CBC, then HMAC-SHA256 over everything before it) as the
 * specification and Python's `cryptography` write them: a key or a token of one is good for the
 * other. Text is base64url with padding, taken strictly (base64url.h), so that a token has one text
 * only.
 *
 * Nothing here keeps state: any thread may call any of it. */

#define SB_FERNET_KEY_BYTES 32
#define SB_FERNET_KEY_TEXT  44
#define SB_FERNET_IV_BYTES  16
/* Above these SB_ETOO_LARGE, before anything is copied. A token of the longest plain text is within
 * SB_FERNET_TOKEN_MAX. */
#define SB_FERNET_TOKEN_MAX 4194304
#define SB_FERNET_PLAIN_MAX 3145600
/* Shortest possible token: empty plain text. */
#define SB_FERNET_TOKEN_MIN 100

struct sb_fernet_key {
    unsigned char signing[16];
    unsigned char encryption[16];
};

/* Reads a key of exactly 44 characters. SB_EBAD_VALUE; the message never holds the text. */
int sb_fernet_key_parse(struct sb_span text, struct sb_fernet_key *key, struct sb_err *err);
void sb_fernet_key_print(const struct sb_fernet_key *key, char out[SB_FERNET_KEY_TEXT + 1]);
/* A new key from OpenSSL's generator. SB_EINTERNAL when that has no entropy. */
int sb_fernet_key_generate(struct sb_fernet_key *key, struct sb_err *err);
/* Overwrites the key in a way that the compiler keeps. Every key is wiped by who holds it. */
void sb_fernet_key_wipe(struct sb_fernet_key *key);

/* Appends the token of a plain text, at most SB_FERNET_PLAIN_MAX bytes. now_s: seconds since 1970,
 * written into the token in the clear. iv: 16 bytes, which must never be used twice under one key;
 * NULL takes them from OpenSSL's generator, and that is what everything but a test does.
 * SB_ETOO_LARGE, SB_EINTERNAL; out is unchanged after an error. */
int sb_fernet_encrypt(const struct sb_fernet_key *key, struct sb_span plain, int64_t now_s,
                      const unsigned char *iv, struct sb_buf *out, struct sb_err *err);

/* The age of a token, where it matters. The bridge sets no limits: a document may be years old. */
struct sb_fernet_limits {
    int64_t now_s;
    int64_t max_age_s;  /* 0 = any age */
    int64_t max_skew_s; /* how far in the future it may have been made; 0 = any */
};

struct sb_fernet_info {
    uint64_t made_s; /* seconds since 1970 as the token says */
    size_t key;      /* which of the keys it was made with */
};

/* Appends the plain text of a token, trying the keys in their order. Nothing is decrypted before
 * the HMAC was found equal, in constant time. limits (NULL = none) are looked at after that. info
 * may be NULL. Out is unchanged after an error:
 *   SB_ENO_KEY     count is 0
 *   SB_ETOO_LARGE  longer than SB_FERNET_TOKEN_MAX
 *   SB_ETAMPERED   no Fernet token: not base64url, too short, another version, not whole blocks, or
 *                  (under a good HMAC) bad padding
 *   SB_EWRONG_KEY  no key has that HMAC: altered, or made with another key; nobody can tell which
 *   SB_ESTALE      outside the limits
 *   SB_EINTERNAL   OpenSSL failed */
int sb_fernet_decrypt(const struct sb_fernet_key *keys, size_t count, struct sb_span token,
                      const struct sb_fernet_limits *limits, struct sb_buf *out,
                      struct sb_fernet_info *info, struct sb_err *err);

/* Has it the shape of a token: base64url, version 0x80, whole blocks, not above
 * SB_FERNET_TOKEN_MAX? No key is needed; says nothing of whether anybody can open it. */
bool sb_fernet_looks_like(struct sb_span token);

#endif
