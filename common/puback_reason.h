#ifndef SB_PUBACK_REASON_H
#define SB_PUBACK_REASON_H

/* The reason code of the PUBACK for that packet identifier, when it was the last one that this
 * thread read over TLS; else 0. To be asked in Paho's success callback, which runs in the thread
 * that read it, before it reads on. */
int sb_puback_reason(int packet_id);

#endif
