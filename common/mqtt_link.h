#ifndef SB_MQTT_LINK_H
#define SB_MQTT_LINK_H

#include "clock.h"
#include "link.h"
#include "mailbox.h"
#include "rng.h"

/* MQTT 5 over TLS with Paho (MQTTAsync): clean start off, session expiry set, server name verified,
 * no library persistence, no buffering while disconnected, no automatic reconnect (the loop here
 * decides when). Every callback copies and posts to the mailbox. After each connect it subscribes
 * again to everything (mosquitto 2.0.11 forgets some subscriptions) and only then posts UP. */

struct sb_mqtt_config {
    const char *url;       /* mqtts://host:port (mqtt:// only for tests on loopback) */
    const char *client_id; /* equal to the certificate's CN */
    const char *ca_file, *cert_file, *key_file;
    const char *user, *password_file; /* NULL without */
    uint32_t session_expiry_s;        /* 604800 */
    uint32_t keepalive_s;             /* 30 */
    uint32_t receive_max;             /* what we announce */
    const char *const *subscribe;     /* topic filters, QoS 1 */
    size_t subscribe_count;
    const char *will_topic; /* NULL without; retained, QoS 1 */
    struct sb_span will_payload;
    uint32_t connect_timeout_s; /* 10 */
};

struct sb_mqtt_link;

/* Copies the configuration; does not connect yet. Files are read at each connect, so a renewed
 * certificate is taken up by the next one. SB_ECONFIG, SB_ETLS (a key that others can read, a file
 * that is missing) name the file. */
int sb_mqtt_link_new(const struct sb_mqtt_config *config, struct sb_mailbox *box,
                     struct sb_mqtt_link **out, struct sb_err *err);
/* Disconnects (a clean DISCONNECT when graceful, so no Last Will) and waits at most 2 s. */
void sb_mqtt_link_free(struct sb_mqtt_link *mqtt, bool graceful);

struct sb_link *sb_mqtt_link_get(struct sb_mqtt_link *mqtt);

/* Starts one attempt to connect; UP or DOWN follows. Does nothing while one is under way or it is
 * connected. When to call it is the caller's: see backoff.h. */
void sb_mqtt_link_connect(struct sb_mqtt_link *mqtt);

/* The payload of the will may change (its boot id does not); taken at the next connect. */
void sb_mqtt_link_set_will(struct sb_mqtt_link *mqtt, struct sb_span payload);

/* The text of a reason code or a Paho error as a cause people can act on: "0x87 not authorized: the
 * broker's ACL does not allow this topic", "certificate expired". */
void sb_mqtt_reason(int code, char *out, size_t size);

#endif
