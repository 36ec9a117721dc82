#ifndef SB_LINK_H
#define SB_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

/* What the daemons' cores see of MQTT: a link that carries messages one way and reports events the
 * other way. mqtt_link.c implements it with Paho, the simulator with a lossy queue. The core calls
 * these from its one owner thread; events come to it through the mailbox (see mqtt_link.h). */

enum sb_link_event_kind {
    SB_LINK_UP,        /* connected and subscribed; receive_max and max_packet are known */
    SB_LINK_DOWN,      /* the connection is lost or was never made; reason in err */
    SB_LINK_MESSAGE,   /* topic, payload, correlation, retained */
    SB_LINK_PUBLISHED, /* token: PUBACK came (err.code SB_OK), or a refusal */
};

struct sb_link_event {
    enum sb_link_event_kind kind;
    char *topic;               /* owned by the event */
    struct sb_buf payload;     /* likewise */
    struct sb_buf correlation; /* likewise */
    bool retained;
    uint32_t token;
    uint32_t receive_max; /* UP: the broker's Receive Maximum */
    uint32_t max_packet;  /* UP: the broker's Maximum Packet Size, 0 = not announced */
    bool session_present;
    struct sb_err err;
};
void sb_link_event_fini(struct sb_link_event *event);

struct sb_link_message {
    const char *topic;
    struct sb_span payload;
    struct sb_span correlation; /* empty = none */
    bool gzip;                  /* adds the user property content-encoding: gzip */
    bool retain;
    int qos;           /* 0 or 1 */
    uint32_t expiry_s; /* message expiry interval, 0 = none */
};

struct sb_link {
    /* Hands one message to the wire; copies what it needs. *token (may be NULL) identifies the
     * PUBLISHED event of QoS 1. Never blocks on the network. SB_ECLOSED when not connected,
     * SB_EBUSY when the library's window is full, SB_ETOO_LARGE beyond max_packet; either way
     * nothing is kept and nothing sent. */
    int (*publish)(struct sb_link *link, const struct sb_link_message *message, uint32_t *token,
                   struct sb_err *err);
    /* Ends the connection (a takeover storm, a stuck session); a DOWN event follows. */
    void (*drop)(struct sb_link *link);
};

#endif
