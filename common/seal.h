#ifndef SB_SEAL_H
#define SB_SEAL_H

#include "ids.h"
#include "keyring.h"
#include "topic.h"

/* An encrypted document (PROTOCOL.md). Fernet has no associated data, so the plain text of a token
 * repeats what stands beside it in the clear, and whoever opens it compares both: a document cannot
 * be moved to another user, table, id, author or operation.
 *
 *   {"v":1,"user":…,"stream":"settings|records","table":…,"id":…,"device":…,"op_id":…,
 *    "base":null|{"op_id":…}|{"tag":…},"hlc":"<16 hex>","top":"<16 hex>",
 *    "stamps":{"<pointer>":["<16 hex>","<device>"],…},"data":<the document>}
 *
 * `stamps` is absent unless the policy is `latest`. `data` keeps the document's text byte for byte,
 * and is an object. */

/* What is sealed. Spans hold characters (not escaped) but for the three that are JSON text. */
struct sb_seal {
    struct sb_span user;
    enum sb_up_class stream; /* SB_UP_SETTINGS or SB_UP_RECORDS */
    struct sb_span table;    /* "settings" in the stream settings */
    struct sb_span id;       /* likewise */
    struct sb_span device;   /* the author */
    struct sb_span op_id;
    struct sb_span base;   /* JSON: null, {"op_id":…} or {"tag":…}; empty = null */
    uint64_t hlc;          /* of the operation */
    uint64_t top;          /* the highest stamp of the document */
    struct sb_span stamps; /* JSON object; empty = absent */
    struct sb_span data;   /* JSON object: checked text without white space around it */
};

/* Appends the plain text; what sb_seal_encrypt encrypts. */
void sb_seal_print(const struct sb_seal *seal, struct sb_buf *out);

/* Appends the token (no quotes around it, none of its characters needs an escape in JSON). now_s
 * and iv as in sb_fernet_encrypt. SB_ENO_KEY, SB_ETOO_LARGE, SB_EINTERNAL; out is unchanged then.
 */
int sb_seal_encrypt(const struct sb_keyring *keyring, const struct sb_seal *seal, int64_t now_s,
                    const unsigned char *iv, struct sb_buf *out, struct sb_err *err);

/* An opened token; zeroed is empty. May be moved: the spans point to memory of the heap. */
struct sb_unsealed {
    struct sb_buf text;  /* the plain text: data, base and stamps point into it */
    struct sb_buf names; /* characters of the other members */
    struct sb_seal seal; /* base is never empty: "null" where it is null */
    struct sb_fernet_info info;
};
/* Opens a token. The errors of sb_fernet_decrypt; SB_ETAMPERED also where the plain text is none of
 * the form above (that is a token made with the right key by something else) or its document is
 * beyond the limits of one; SB_EBAD_VERSION for another "v". Members that this version does not
 * know are ignored. After an error *out is empty. */
int sb_unseal(const struct sb_keyring *keyring, struct sb_span token, struct sb_unsealed *out,
              struct sb_err *err);
/* The same for a plain text that was decrypted before; it is copied. info stays zeroed. */
int sb_unseal_text(struct sb_span plain, struct sb_unsealed *out, struct sb_err *err);
void sb_unsealed_fini(struct sb_unsealed *unsealed);

/* Compares what was inside with what stood outside: user, stream, table, id, device, op_id; base
 * where expected->base is not empty, hlc where expected->hlc is not 0. top, stamps and data are not
 * looked at. SB_ETAMPERED names the first member that differs, with both values. */
int sb_seal_check(const struct sb_seal *inside, const struct sb_seal *expected, struct sb_err *err);

#endif
