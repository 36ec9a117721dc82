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
    const char *url; /* mqtts://host:port (mqtt:// only on loopback) */
    /* The id to ask for. NULL or "" asks for none: then a broker with use_username_as_clientid
     * gives the certificate's CN, and one that guards its client ids (cloud_ingest/broker) takes
     * nothing else. */
    const char *client_id;
    /* NULL or "" where not set; without ca_file the system's roots. A certificate and its key, or
     * a user and the file with the password, or both. */
    const char *ca_file, *cert_file, *key_file;
    const char *user, *password_file;
    uint32_t session_expiry_s;    /* 604800 */
    uint32_t keepalive_s;         /* 30 */
    uint32_t receive_max;         /* what we announce; 0 = nothing */
    const char *const *subscribe; /* topic filters */
    const int *subscribe_qos;     /* one for each; NULL = 1 for all. Nothing of QoS 0 is queued
                                     by the broker while we are away */
    size_t subscribe_count;
    const char *will_topic; /* NULL without; retained, QoS 1 */
    struct sb_span will_payload;
    uint32_t connect_timeout_s; /* 10 */
};

struct sb_mqtt_link;

/* Whether a link could be made of it: the URL's form, and the files, which are read. Connects to
 * nobody. Errors as sb_mqtt_link_new. */
int sb_mqtt_config_check(const struct sb_mqtt_config *config, struct sb_err *err);

/* Copies the configuration; does not connect yet. Files are read at each connect, so a renewed
 * certificate is taken up by the next one. SB_ENOT_CONFIGURED; SB_ECONFIG, SB_ETLS (a key that
 * others can read, a file that is missing) name the file. Takes http_proxy and https_proxy out of
 * the environment, which Paho would follow: call it before other threads read that. */
int sb_mqtt_link_new(const struct sb_mqtt_config *config, struct sb_mailbox *box,
                     struct sb_mqtt_link **out, struct sb_err *err);
/* Disconnects (a clean DISCONNECT when graceful, after what is in flight, so no Last Will) and
 * waits at most 2 s. Nothing is posted to the mailbox any more. */
void sb_mqtt_link_free(struct sb_mqtt_link *mqtt, bool graceful);

/* publish: SB_EBUSY when the broker's Receive Maximum, 1024 messages or the mailbox's max_tokens
 * are in flight. SB_ETOO_LARGE beyond the broker's Maximum Packet Size. The PUBLISHED event of a
 * refusal has its reason's meaning: 0x10 "no matching subscribers" is SB_EUNREACHABLE and no
 * failure of the link, 0x87 SB_EFORBIDDEN, 0x95 SB_ETOO_LARGE. drop: the Last Will is published.
 * Does nothing before the broker has answered the CONNECT. */
struct sb_link *sb_mqtt_link_get(struct sb_mqtt_link *mqtt);

/* Starts one attempt to connect; UP or DOWN follows, one DOWN an attempt. Does nothing while one is
 * under way or it is connected. When to call it is the caller's: see backoff.h.
 * MESSAGE events can come before the UP (a session that was kept begins to deliver at once), none
 * after the DOWN. A DOWN voids all tokens: what was in flight has no PUBLISHED event any more. */
void sb_mqtt_link_connect(struct sb_mqtt_link *mqtt);

/* The payload of the will may change (its boot id does not); taken at the next connect. */
void sb_mqtt_link_set_will(struct sb_mqtt_link *mqtt, struct sb_span payload);

/* The text of a reason code or of a Paho error (negative) as a cause people can act on: "0x87 not
 * authorized: the broker's ACL does not allow this topic". */
void sb_mqtt_reason(int code, char *out, size_t size);

#endif
