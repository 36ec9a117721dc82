#include "keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

struct sb_keyring {
    struct sb_fernet_key keys[SB_KEYRING_MAX];
    size_t count;
};

/* ---- text ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct sb_span trimmed(struct sb_span line)
{
    while (line.len > 0 && is_blank(line.data[0])) {
        line.data++;
        line.len--;
    }
    while (line.len > 0 && is_blank(line.data[line.len - 1]))
        line.len--;
    return line;
}

static struct sb_span next_part(struct sb_span *rest, bool commas)
{
    struct sb_span part = {rest->data, 0};

    while (part.len < rest->len && part.data[part.len] != '\n' &&
           !(commas && part.data[part.len] == ','))
        part.len++;
    rest->data += part.len;
    rest->len -= part.len;
    if (rest->len > 0) { /* the separator */
        rest->data++;
        rest->len--;
    }
    return trimmed(part);
}

/* where: "line" or "key", for messages */
static int add_key(struct sb_keyring *keyring, struct sb_span part, const char *name,
                   const char *where, unsigned n, struct sb_err *err)
{
    struct sb_err why;

    if (keyring->count == SB_KEYRING_MAX)
        return sb_fail(err, SB_ECONFIG, "%.160s: more than %d keys", name, SB_KEYRING_MAX);
    if (sb_fernet_key_parse(part, &keyring->keys[keyring->count], &why) < 0)
        return sb_fail(err, SB_ECONFIG, "%.120s: %s %u: %s", name, where, n, why.msg);
    keyring->count++;
    return 0;
}

static int parse(struct sb_span text, const char *name, bool commas, struct sb_keyring *keyring,
                 struct sb_err *err)
{
    int rc = 0;

    for (unsigned n = 1; rc == 0 && text.len > 0; n++) {
        struct sb_span part = next_part(&text, commas);

        if (part.len > 0 && part.data[0] != '#')
            rc = add_key(keyring, part, name, commas ? "key" : "line", n, err);
    }
    if (rc == 0 && keyring->count == 0)
        rc = sb_fail(err, SB_ECONFIG, "%.120s: no key in it (`edge_agent key generate` makes one)",
                     name);
    return rc;
}

static int make(struct sb_span text, const char *name, bool commas, struct sb_keyring **out,
                struct sb_err *err)
{
    struct sb_keyring *keyring = sb_xcalloc(1, sizeof(*keyring));
    int rc = parse(text, name, commas, keyring, err);

    *out = NULL;
    if (rc == 0)
        *out = keyring;
    else
        sb_keyring_free(keyring);
    return rc;
}

int sb_keyring_parse(struct sb_span text, const char *name, struct sb_keyring **out,
                     struct sb_err *err)
{
    return make(text, name, true, out, err);
}

/* ---- file ---- */

static int check_private(int fd, const char *path, struct sb_err *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return sb_fail(err, SB_EIO, "%.180s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return sb_fail(err, SB_ECONFIG, "%.180s: not a regular file", path);
    if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return sb_fail(err, SB_ECONFIG,
                       "%.80s: mode %04o lets others at the keys in it; chmod 600 %.80s", path,
                       (unsigned)st.st_mode & 07777, path);
    return 0;
}

static int read_all(int fd, char *text, size_t size, size_t *len, const char *path,
                    struct sb_err *err)
{
    ssize_t got = 1;

    *len = 0;
    while (got > 0 && *len < size) {
        got = read(fd, text + *len, size - *len);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0)
            *len += (size_t)got;
    }
    if (got < 0)
        return sb_fail(err, SB_EIO, "%.180s: %s", path, strerror(errno));
    if (*len == size)
        return sb_fail(err, SB_ECONFIG, "%.180s: larger than %d bytes", path, SB_KEYRING_FILE_MAX);
    return 0;
}

int sb_keyring_load(const char *path, struct sb_keyring **out, struct sb_err *err)
{
    /* not to wait for the writer of a pipe that somebody put there */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), rc;
    char text[SB_KEYRING_FILE_MAX + 1];
    size_t len;

    *out = NULL;
    if (fd < 0)
        return sb_fail(err, errno == ENOENT ? SB_ENOT_FOUND : SB_EIO, "%.180s: %s", path,
                       strerror(errno));
    rc = check_private(fd, path, err);
    if (rc == 0) {
        rc = read_all(fd, text, sizeof(text), &len, path, err);
        if (rc == 0)
            rc = make((struct sb_span){text, len}, path, false, out, err);
        OPENSSL_cleanse(text, sizeof(text));
    }
    close(fd);
    return rc;
}

void sb_keyring_free(struct sb_keyring *keyring)
{
    if (keyring == NULL)
        return;
    OPENSSL_cleanse(keyring, sizeof(*keyring));
    free(keyring);
}

/* ---- use ---- */

size_t sb_keyring_count(const struct sb_keyring *keyring)
{
    return keyring != NULL ? keyring->count : 0;
}

int sb_keyring_encrypt(const struct sb_keyring *keyring, struct sb_span plain, int64_t now_s,
                       const unsigned char *iv, struct sb_buf *out, struct sb_err *err)
{
    if (keyring == NULL)
        return sb_fail(err, SB_ENO_KEY, "there is no key to encrypt with");
    return sb_fernet_encrypt(&keyring->keys[0], plain, now_s, iv, out, err);
}

int sb_keyring_decrypt(const struct sb_keyring *keyring, struct sb_span token, struct sb_buf *out,
                       struct sb_fernet_info *info, struct sb_err *err)
{
    if (keyring == NULL)
        return sb_fail(err, SB_ENO_KEY, "there is no key to open it with");
    return sb_fernet_decrypt(keyring->keys, keyring->count, token, NULL, out, info, err);
}
