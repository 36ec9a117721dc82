#ifndef SB_NOTIFY_H
#define SB_NOTIFY_H

#include "ids.h"
#include "json_scan.h"

/* The hint on sb/v1/down/<device>/notify (PROTOCOL.md section 7): QoS 0, may be lost, come twice or
 * late. Either asks for a hello, or says that a user's table has something newer. */
struct sb_notify {
    bool hello;
    char user[SB_NAME_MAX + 1];  /* "" = not told: whatever is pulled */
    char table[SB_NAME_MAX + 1]; /* "" likewise */
    uint64_t version;            /* the user's counter; 0 = not told */
};
void sb_notify_encode(const struct sb_notify *notify, struct sb_buf *out);
/* Strict about the members it knows; SB_EBAD_VALUE for another kind. */
int sb_notify_decode(struct sb_span text, struct sb_notify *out, struct sb_err *err);

#endif
