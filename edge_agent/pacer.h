#ifndef EDGE_PACER_H
#define EDGE_PACER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/ids.h"

/* How much is in flight and when a batch goes again (DESIGN section 7), pure.
 *
 * A flight is one batch handed to the link. It is *flying* until its reply, its timeout or a
 * disconnect; after that it is still remembered, because a late reply to it settles too, until the
 * next hello forgets it (D7). */

#define PACER_OTHERS_MAX  64
#define PACER_FLIGHTS_MAX 256 /* remembered; the oldest that does not fly is forgotten first */

enum flight_kind { FLIGHT_ROWS, FLIGHT_HOLE, FLIGHT_AGAIN };

struct flight {
    char batch_id[SB_UUID_LEN + 1]; /* "" = free slot */
    int64_t s;                      /* stream of the outbox */
    uint64_t lo, hi;
    enum flight_kind kind;
    bool flying;
    bool unacked;   /* no PUBACK yet */
    uint32_t token; /* of the publish */
    int64_t sent_ms;
    uint64_t serial; /* order of sending */
};

struct pacer_config {
    unsigned window_max;                /* flights at once, also when the broker allows more */
    int64_t rto_min_ms, rto_max_ms;     /* bounds of 4 x smoothed reply time */
    int64_t retry_min_ms, retry_max_ms; /* where nothing is answered, doubling */
};

struct pacer {
    struct pacer_config config;
    struct flight flights[PACER_FLIGHTS_MAX];
    uint32_t others[PACER_OTHERS_MAX]; /* tokens without their PUBACK */
    unsigned other_count;
    unsigned window; /* of this connection */
    unsigned flying, unacked;
    uint64_t serial;
    double srtt_ms; /* 0 = no reply measured yet */
    int64_t last_reply_ms;
    int64_t doubled_ms; /* when a silence last doubled retry_ms */
    int64_t retry_ms;   /* the delay in force where nothing answers */
    uint64_t timeouts, replies;
};

void pacer_init(struct pacer *pacer, const struct pacer_config *config);

/* Connected: window = the broker's Receive Maximum - 4 (beyond it Paho 1.3.12 stalls), 1 at least.
 */
void pacer_up(struct pacer *pacer, uint32_t receive_max);
/* Disconnected: nothing flies any more; what was sent stays known until the next hello. */
void pacer_down(struct pacer *pacer);
void pacer_forget(struct pacer *pacer); /* a hello was sent */

bool pacer_may_send(const struct pacer *pacer);

/* Notes a batch that was handed over. */
void pacer_sent(struct pacer *pacer, const char *batch_id, int64_t s, uint64_t lo, uint64_t hi,
                enum flight_kind kind, uint32_t token, int64_t now_ms);
/* Other publishes of the core (hello, requests) count against the broker's window until their
 * PUBACK. More than PACER_OTHERS_MAX at once are not counted. */
void pacer_other_sent(struct pacer *pacer, uint32_t token);
/* A PUBACK; its flight, or NULL when it was for something else. */
struct flight *pacer_acked(struct pacer *pacer, uint32_t token);

/* The flight a reply belongs to, NULL for an unknown batch. It no longer flies afterwards;
 * *was_flying says whether it did. Measures the reply time (of batches sent once, which is every
 * flight). */
struct flight *pacer_reply(struct pacer *pacer, const char *batch_id, int64_t now_ms,
                           bool *was_flying);
void pacer_drop(struct pacer *pacer, struct flight *flight); /* answered for good: forget it */

/* The next flight whose time is up: it no longer flies; NULL when none. */
struct flight *pacer_expired(struct pacer *pacer, bool ingest_online, int64_t now_ms);
int64_t pacer_deadline(const struct pacer *pacer, bool ingest_online);

int64_t pacer_rto(const struct pacer *pacer);      /* ms */
int64_t pacer_reply_ms(const struct pacer *pacer); /* smoothed */
/* Where nobody answers: the delay in force, doubled for the next time. */
int64_t pacer_next_retry(struct pacer *pacer);
void pacer_reset_retry(struct pacer *pacer); /* any reply, an ingest came online */

#endif
