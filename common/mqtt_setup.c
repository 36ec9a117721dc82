#include "mqtt_setup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#define PASSWORD_MAX      4096
#define TLS_PORT          8883
#define PLAIN_PORT        1883
#define CONNECT_TIMEOUT_S 10

static bool is_set(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static char *copy_or_null(const char *text)
{
    return is_set(text) ? sb_xstrdup(text) : NULL;
}

static bool is_loopback(const char *host, size_t len)
{
    struct in_addr address;
    char text[INET_ADDRSTRLEN] = "";

    if (len < sizeof(text))
        memcpy(text, host, len);
    return strcmp(text, "localhost") == 0 || strcmp(text, "[::1]") == 0 ||
           (inet_pton(AF_INET, text, &address) == 1 && strncmp(text, "127.", 4) == 0);
}

static bool is_port(const char *text)
{
    char *rest;
    long port;

    if (*text < '0' || *text > '9')
        return false;
    port = strtol(text, &rest, 10);
    return *rest == '\0' && port >= 1 && port <= 65535;
}

/* Sets tls and where ("host:port"). */
static int parse_url(struct sb_mqtt_setup *setup, struct sb_err *err)
{
    const char *host, *end_of_host, *url = setup->url;
    struct sb_buf where = {0};

    setup->tls = strncmp(url, "mqtts://", 8) == 0;
    if (!setup->tls && strncmp(url, "mqtt://", 7) != 0)
        return sb_fail(err, SB_ECONFIG, "broker url '%s': mqtts://host:port is wanted", url);
    host = url + (setup->tls ? 8 : 7);
    end_of_host = *host == '[' ? strchr(host, ']') : host + strcspn(host, ":/");
    if (end_of_host != NULL && *host == '[')
        end_of_host++;
    if (end_of_host == NULL || end_of_host == host ||
        (*end_of_host != '\0' && (*end_of_host != ':' || !is_port(end_of_host + 1))))
        return sb_fail(err, SB_ECONFIG, "broker url '%s': mqtts://host:port is wanted", url);
    if (!setup->tls && !is_loopback(host, (size_t)(end_of_host - host)))
        return sb_fail(
            err, SB_ECONFIG,
            "broker url '%s': only mqtts:// leaves this machine, mqtt:// is not encrypted", url);
    sb_buf_add_str(&where, host);
    if (*end_of_host == '\0')
        sb_buf_add_fmt(&where, ":%d", setup->tls ? TLS_PORT : PLAIN_PORT);
    setup->where = sb_buf_take(&where);
    return 0;
}

static int check_readable(const char *path, struct sb_err *err)
{
    if (path == NULL || access(path, R_OK) == 0)
        return 0;
    return sb_fail(err, SB_ETLS, "%s: %s", path, strerror(errno));
}

/* A private file: nobody but owner and group reads it, nobody but the owner writes it. */
static int check_private(const char *path, struct sb_err *err)
{
    struct stat st;
    int rc = check_readable(path, err);

    if (path == NULL || rc != 0)
        return rc;
    if (stat(path, &st) != 0)
        return sb_fail(err, SB_ETLS, "%s: %s", path, strerror(errno));
    if ((st.st_mode & (S_IRWXO | S_IWGRP)) != 0)
        return sb_fail(err, SB_ETLS, "%s: mode %04o lets others at the secret in it; chmod 600",
                       path, (unsigned)st.st_mode & 07777);
    return 0;
}

static int no_passphrase(char *buf, int size, int writing, void *context)
{
    (void)buf, (void)size, (void)writing, (void)context;
    return 0; /* OpenSSL would ask on the terminal */
}

static int fail_tls(const char *path, struct sb_err *err)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    ERR_clear_error();
    return sb_fail(err, SB_ETLS, "%s: %s", path, reason != NULL ? reason : "cannot be used");
}

static int load_into(SSL_CTX *context, const struct sb_mqtt_setup *setup, struct sb_err *err)
{
    const char *ca = setup->ca_file, *cert = setup->cert_file, *key = setup->key_file;

    if (ca != NULL && SSL_CTX_load_verify_file(context, ca) != 1)
        return fail_tls(ca, err);
    if (cert != NULL && SSL_CTX_use_certificate_chain_file(context, cert) != 1)
        return fail_tls(cert, err);
    if (key != NULL && SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        return fail_tls(key, err);
    return 0;
}

/* Loads them as Paho will, which keeps the reason of a failure to itself. */
static int check_loadable(const struct sb_mqtt_setup *setup, struct sb_err *err)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    int rc;

    if (context == NULL)
        return fail_tls("OpenSSL", err);
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    rc = load_into(context, setup, err);
    SSL_CTX_free(context);
    return rc;
}

int sb_mqtt_setup_check_files(const struct sb_mqtt_setup *setup, struct sb_err *err)
{
    int rc = check_readable(setup->ca_file, err);

    if (rc == 0)
        rc = check_readable(setup->cert_file, err);
    if (rc == 0)
        rc = check_private(setup->key_file, err);
    if (rc == 0)
        rc = check_private(setup->password_file, err);
    if (rc == 0 && setup->tls)
        rc = check_loadable(setup, err);
    return rc;
}

static int check_config(const struct sb_mqtt_config *config, struct sb_err *err)
{
    if (!is_set(config->url))
        return sb_fail(err, SB_ENOT_CONFIGURED, "the broker's url is not set");
    if (is_set(config->cert_file) != is_set(config->key_file))
        return sb_fail(err, SB_ECONFIG, "a certificate and its key are set together or not at all");
    if (is_set(config->password_file) && !is_set(config->user))
        return sb_fail(err, SB_ECONFIG, "a password file needs a user name");
    return 0;
}

static void copy_config(struct sb_mqtt_setup *setup, const struct sb_mqtt_config *config)
{
    setup->url = sb_xstrdup(config->url);
    setup->client_id = sb_xstrdup(config->client_id != NULL ? config->client_id : "");
    setup->ca_file = copy_or_null(config->ca_file);
    setup->cert_file = copy_or_null(config->cert_file);
    setup->key_file = copy_or_null(config->key_file);
    setup->user = copy_or_null(config->user);
    setup->password_file = copy_or_null(config->password_file);
    setup->will_topic = copy_or_null(config->will_topic);
    sb_buf_add_span(&setup->will_payload, config->will_payload);
    setup->filters = sb_xcalloc(config->subscribe_count, sizeof(*setup->filters));
    setup->filter_count = config->subscribe_count;
    for (size_t i = 0; i < config->subscribe_count; i++)
        setup->filters[i] = sb_xstrdup(config->subscribe[i]);
    setup->qos = sb_xcalloc(config->subscribe_count, sizeof(*setup->qos));
    for (size_t i = 0; i < config->subscribe_count; i++)
        setup->qos[i] = config->subscribe_qos != NULL ? config->subscribe_qos[i] : 1;
    setup->session_expiry_s = config->session_expiry_s;
    setup->keepalive_s = config->keepalive_s;
    setup->receive_max = config->receive_max;
    setup->connect_timeout_s =
        config->connect_timeout_s > 0 ? config->connect_timeout_s : CONNECT_TIMEOUT_S;
}

int sb_mqtt_setup_init(struct sb_mqtt_setup *setup, const struct sb_mqtt_config *config,
                       struct sb_err *err)
{
    int rc = check_config(config, err);

    *setup = (struct sb_mqtt_setup){0};
    if (rc != 0)
        return rc;
    copy_config(setup, config);
    return parse_url(setup, err);
}

int sb_mqtt_config_check(const struct sb_mqtt_config *config, struct sb_err *err)
{
    struct sb_mqtt_setup setup;
    int rc = sb_mqtt_setup_init(&setup, config, err);

    if (rc == 0)
        rc = sb_mqtt_setup_check_files(&setup, err);
    sb_mqtt_setup_fini(&setup);
    return rc;
}

void sb_mqtt_setup_fini(struct sb_mqtt_setup *setup)
{
    for (size_t i = 0; i < setup->filter_count; i++)
        free(setup->filters[i]);
    free(setup->filters);
    free(setup->qos);
    free(setup->url);
    free(setup->where);
    free(setup->client_id);
    free(setup->ca_file);
    free(setup->cert_file);
    free(setup->key_file);
    free(setup->user);
    free(setup->password_file);
    free(setup->will_topic);
    sb_buf_free(&setup->will_payload);
}

int sb_mqtt_setup_password(const struct sb_mqtt_setup *setup, struct sb_buf *out,
                           struct sb_err *err)
{
    const char *path = setup->password_file;
    char text[PASSWORD_MAX];
    ssize_t n;
    int fd;

    if (path == NULL)
        return 0;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sb_fail(err, SB_ETLS, "%s: %s", path, strerror(errno));
    n = read(fd, text, sizeof(text));
    close(fd);
    if (n < 0 || n == (ssize_t)sizeof(text))
        return sb_fail(err, SB_ETLS, "%s: %s", path, n < 0 ? strerror(errno) : "too long");
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        n--;
    sb_buf_add(out, text, (size_t)n);
    explicit_bzero(text, sizeof(text));
    return 0;
}
