#ifndef SB_PUBACK_REASON_H
#define SB_PUBACK_REASON_H

#include <stdbool.h>
#include <stddef.h>

/* The reason code of the PUBACK for that packet identifier, when it was the last one that this
 * thread read over TLS; else 0. To be asked in Paho's success callback, which runs in the thread
 * that read it, before it reads on. */
int sb_puback_reason(int packet_id);

/* ---- the reader behind it ---- */

enum sb_puback_part { SB_PUBACK_HEADER, SB_PUBACK_LENGTH, SB_PUBACK_BODY, SB_PUBACK_NOT_MQTT };

/* Where in a stream of MQTT packets it is. Zero-initialised is the beginning. */
struct sb_puback_reader {
    enum sb_puback_part part;
    unsigned type;
    unsigned length_bytes;
    size_t length, got;
    unsigned char body[3]; /* packet identifier and reason code, if it is a PUBACK */
};

/* Goes through the bytes that come next, in whatever pieces. True when a PUBACK ended in them: the
 * last one's packet identifier and reason code are set. */
bool sb_puback_read(struct sb_puback_reader *reader, const unsigned char *bytes, size_t count,
                    int *packet_id, int *reason);

#endif
