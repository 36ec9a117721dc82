#include "certificate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/pem.h>
#include <openssl/x509.h>

int sb_certificate_cn(const char *path, char out[SB_NAME_MAX + 1], struct sb_err *err)
{
    FILE *file = fopen(path, "re");
    char name[SB_NAME_MAX +
              2]; /* one more: a name that is too long is not taken for a shorter one */
    X509 *cert;
    int len;

    out[0] = '\0';
    if (file == NULL)
        return sb_fail_errno(err, errno, "%s", path);
    cert = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    if (cert == NULL)
        return sb_fail(err, SB_ETLS, "%s: not a certificate in PEM form", path);
    len =
        X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name, sizeof(name));
    X509_free(cert);
    if (len <= 0 || !sb_name_valid((struct sb_span){name, (size_t)len}))
        return sb_fail(err, SB_ETLS, "%s: its common name is not [A-Za-z0-9_-]{1,64}", path);
    memcpy(out, name, (size_t)len);
    out[len] = '\0';
    return 0;
}
