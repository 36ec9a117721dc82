/* Tokens of ours for test_40_fernet.py:
 *   fernet_probe encrypt KEYFILE   standard input → token
 *   fernet_probe decrypt KEYFILE   token on standard input → plain text; key's number and time on
 *                                  standard error
 *   fernet_probe unseal KEYFILE    token of a sealed document → its data
 * A failure prints the code's name on standard error and ends with 1. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/keyring.h"
#include "common/seal.h"

static int fail(const struct sb_err *err)
{
    fprintf(stderr, "%s: %s\n", sb_code_name(err->code), err->msg);
    return 1;
}

static void read_input(struct sb_buf *in)
{
    size_t got;

    do {
        sb_buf_reserve(in, 65536);
        got = fread(in->data + in->len, 1, 65536, stdin);
        in->len += got;
    } while (got > 0);
}

static int run(const char *command, const struct sb_keyring *keyring, struct sb_span in,
               struct sb_buf *out, struct sb_err *err)
{
    struct sb_fernet_info info = {0};
    struct sb_unsealed open;
    int rc;

    if (strcmp(command, "encrypt") == 0)
        return sb_keyring_encrypt(keyring, in, time(NULL), NULL, out, err);
    if (strcmp(command, "decrypt") == 0) {
        rc = sb_keyring_decrypt(keyring, in, out, &info, err);
        if (rc == 0)
            fprintf(stderr, "%zu %llu\n", info.key, (unsigned long long)info.made_s);
        return rc;
    }
    rc = sb_unseal(keyring, in, &open, err);
    if (rc == 0)
        sb_buf_add_span(out, open.seal.data);
    sb_unsealed_fini(&open);
    return rc;
}

int main(int argc, char **argv)
{
    struct sb_buf in = {0}, out = {0};
    struct sb_keyring *keyring;
    struct sb_err err = {0};
    int status = 0;

    if (argc != 3) {
        fprintf(stderr, "usage: fernet_probe encrypt|decrypt|unseal KEYFILE\n");
        return 2;
    }
    if (sb_keyring_load(argv[2], &keyring, &err) < 0)
        return fail(&err);
    read_input(&in);
    if (run(argv[1], keyring, sb_buf_span(&in), &out, &err) < 0)
        status = fail(&err);
    else if (fwrite(out.data, 1, out.len, stdout) != out.len)
        status = 1;
    sb_keyring_free(keyring);
    sb_buf_free(&in);
    sb_buf_free(&out);
    return status;
}
