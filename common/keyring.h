#ifndef SB_KEYRING_H
#define SB_KEYRING_H

#include "fernet.h"

/* The keys of one user or of all: the first encrypts, each decrypts, so that a key is changed by
 * writing the new one above the old one on every device. The keys are wiped when it is freed; the
 * texts they were read from are wiped at once. Not changed after it was made: any thread may read.
 */

#define SB_KEYRING_MAX      16
#define SB_KEYRING_FILE_MAX 16384

struct sb_keyring;

/* Reads a file: one key a line; white space around it, empty lines and lines that begin with '#'
 * do not count. The file must be a regular one (a link to one is good) that neither group nor
 * others can read, write or execute. All errors say what is wrong with which file or line and never
 * show a key: SB_ENOT_FOUND there is no such file; SB_EIO; SB_ECONFIG everything else: the mode
 * ("chmod 600 FILE"), not a regular file, a line that is no key, no key at all, more than
 * SB_KEYRING_MAX, larger than SB_KEYRING_FILE_MAX. */
int sb_keyring_load(const char *path, struct sb_keyring **out, struct sb_err *err);

/* The same from a text whose keys are separated by commas or newlines. `name` is what messages call
 * it ("SB_ENCRYPTION_KEY"). The text stays the caller's. SB_ECONFIG. */
int sb_keyring_parse(struct sb_span text, const char *name, struct sb_keyring **out,
                     struct sb_err *err);
void sb_keyring_free(struct sb_keyring *keyring);

/* 1 to SB_KEYRING_MAX; 0 for NULL. */
size_t sb_keyring_count(const struct sb_keyring *keyring);

/* sb_fernet_encrypt with the first key, sb_fernet_decrypt without limits with all of them. With
 * keyring NULL SB_ENO_KEY. */
int sb_keyring_encrypt(const struct sb_keyring *keyring, struct sb_span plain, int64_t now_s,
                       const unsigned char *iv, struct sb_buf *out, struct sb_err *err);
int sb_keyring_decrypt(const struct sb_keyring *keyring, struct sb_span token, struct sb_buf *out,
                       struct sb_fernet_info *info, struct sb_err *err);

#endif
