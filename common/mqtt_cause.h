#ifndef SB_MQTT_CAUSE_H
#define SB_MQTT_CAUSE_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

/* Why a connection did not come about, in words that tell whom to ask. Paho's own answer is one of
 * three sentences ("TCP/TLS connect failure"); what OpenSSL and the resolver said is found in its
 * trace and in the TLS error callback. Pure. */
struct sb_mqtt_cause {
    char alert[80];  /* a fatal TLS alert */
    bool alert_read; /* the broker sent it; else we did */
    char tls[160];   /* OpenSSL's error queue, first entry */
    bool wrong_host; /* the certificate is valid, but for other names */
    bool handshake;  /* TLS was agreed on; the end came after it */
    bool no_address; /* the host name has none */
    char socket[80]; /* the system's reason: "Network is unreachable" */
};

/* One line of Paho's trace; keeps what is of use. */
void sb_mqtt_cause_trace(struct sb_mqtt_cause *cause, const char *line);

/* One entry of OpenSSL's error queue: "140…:error:0A000086:SSL routines:…:certificate verify
 * failed:../ssl/…". */
void sb_mqtt_cause_tls(struct sb_mqtt_cause *cause, const char *text, size_t len);

/* Fills *err: SB_EIDENTITY when the broker refuses us, SB_ETLS when we refuse the broker or our own
 * files, else SB_EUNREACHABLE. code and message are Paho's; where is "host:port". */
void sb_mqtt_cause_explain(const struct sb_mqtt_cause *cause, int code, const char *message,
                           const char *where, struct sb_err *err);

/* The meaning of a reason code or a return code of Paho; see sb_mqtt_reason for the text. */
enum sb_code sb_mqtt_reason_code(int code);

#endif
