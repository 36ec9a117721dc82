#ifndef SB_MQTT_SETUP_H
#define SB_MQTT_SETUP_H

#include <stdbool.h>

#include "mqtt_link.h"

/* The link's configuration, checked and copied. Knows nothing of Paho. */
struct sb_mqtt_setup {
    char *url;
    char *where; /* "host:port", for messages */
    bool tls;
    char *client_id;
    char *ca_file, *cert_file, *key_file; /* NULL: not set */
    char *user, *password_file;
    char **filters;
    int *qos; /* of each filter */
    size_t filter_count;
    char *will_topic;
    struct sb_buf will_payload;
    uint32_t session_expiry_s, keepalive_s, receive_max, connect_timeout_s;
};

/* SB_ENOT_CONFIGURED, SB_ECONFIG. The structure is to be ended also after an error. */
int sb_mqtt_setup_init(struct sb_mqtt_setup *setup, const struct sb_mqtt_config *config,
                       struct sb_err *err);
void sb_mqtt_setup_fini(struct sb_mqtt_setup *setup);

/* Whether the files can be read, those with a secret by nobody else, and OpenSSL can use them: the
 * key belongs to the certificate and has no passphrase. SB_ETLS names the file. */
int sb_mqtt_setup_check_files(const struct sb_mqtt_setup *setup, struct sb_err *err);

/* Appends the password file's text without its line end; nothing where none is set. SB_ETLS. */
int sb_mqtt_setup_password(const struct sb_mqtt_setup *setup, struct sb_buf *out,
                           struct sb_err *err);

#endif
