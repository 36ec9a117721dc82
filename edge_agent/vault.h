#ifndef EDGE_VAULT_H
#define EDGE_VAULT_H

#include "common/seal.h"
#include "edge_agent/documents.h"

/* End-to-end encryption on this device: whose documents leave it encrypted, and with which keys.
 *
 * Keys come from files or from the environment. A user's own file (key_dir/<user>.key) goes before
 * key_file or the environment's keys. Files are read at each use (some microseconds) and their keys
 * wiped after it, so a rotation needs no restart. A file that is missing, readable by others or not
 * understood holds no keys: then sealing and opening fail with SB_ENO_KEY and say why, and nothing
 * of an encrypted user leaves the device in the clear. (A user's own file that is bad is not passed
 * over for key_file: what it encrypted the other devices could not open.)
 *
 * Changed by vault_reload alone. */

#define VAULT_USERS_MAX 1000

struct vault_config {
    const char *users;    /* "" nobody, "*" everybody, or names separated by commas or spaces */
    const char *key_file; /* "" unset */
    const char *key_dir;  /* "" unset */
    const char *keys;     /* the text of SB_ENCRYPTION_KEY; "" unset; wiping it is the caller's */
    /* NULL: IVs are OpenSSL's. A simulation that must run the same twice gives its own. */
    void (*random)(void *ctx, unsigned char *out, size_t len);
    void *random_ctx;
};

struct vault;

/* SB_ECONFIG: a name that is no user id, more than VAULT_USERS_MAX, keys that cannot be read in
 * `keys`, users without any of the three sources, or both key_file and keys. Key files are not
 * opened here. */
int vault_new(const struct vault_config *config, struct vault **out, struct sb_err *err);
void vault_free(struct vault *vault);
/* Takes another configuration up in place: what holds the vault keeps it. Errors as vault_new; then
 * nothing has changed. */
int vault_reload(struct vault *vault, const struct vault_config *config, struct sb_err *err);

/* Reads every key that is known by name now: key_file, and those of the users that are listed. For
 * `config check` and the log at start. SB_ECONFIG with the first error. */
int vault_check(const struct vault *vault, struct sb_err *err);

/* Are this user's documents encrypted? False with vault NULL. (That nobody has a key for them does
 * not make it false.) */
bool vault_encrypts(const struct vault *vault, const char *user);

/* Appends the token of a document of seal->user, made with that user's first key; wall_us is the
 * time that the token shows. SB_ENO_KEY with the reason, SB_ETOO_LARGE, SB_EINTERNAL; out is
 * unchanged then. */
int vault_seal(const struct vault *vault, const struct sb_seal *seal, int64_t wall_us,
               struct sb_buf *out, struct sb_err *err);

/* Opens a token that came as a document of expected->user with any of that user's keys (also where
 * vault_encrypts is false by now: old documents stay readable), and compares as sb_seal_check does.
 * *out is empty after an error:
 *   SB_ENO_KEY     there is no key for that user here (also with vault NULL); says why
 *   SB_EWRONG_KEY  none of them is the right one, or the token was altered
 *   SB_ETAMPERED   no token, or what is inside does not belong there
 *   SB_EBAD_VERSION, SB_ETOO_LARGE, SB_EINTERNAL
 * out->info.key above 0 says that the token was made with a key that no longer comes first.
 * Whether it is stale (its top below the held one's) is the caller's to judge. */
int vault_open(const struct vault *vault, struct sb_span token, const struct sb_seal *expected,
               struct sb_unsealed *out, struct sb_err *err);

/* What documents.h seals and opens with; out->ctx is the vault. A token shows the time of the
 * operation's HLC. When opening, clear->hlc is not compared: beside the document stands the cloud's
 * highest stamp, which may be above the operation's, or below it where a clock ran ahead. */
void vault_codec(struct vault *vault, struct documents_codec *out);

#endif
