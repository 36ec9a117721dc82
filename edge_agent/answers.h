#ifndef EDGE_ANSWERS_H
#define EDGE_ANSWERS_H

#include "common/clock.h"
#include "common/reply.h"

/* The cloud's latest answers, for who asks for one that has come already: `put --wait` enqueues by
 * itself and asks the daemon afterwards, and on a busy device the answer may be there first. Memory
 * only, the latest ANSWERS_MAX; what is older is known by the outbox without its time.
 *
 * One thread. */

#define ANSWERS_MAX 256

struct answer {
    char epoch[SB_EPOCH_LEN + 1];
    char stream[SB_STREAM_MAX + 1];
    uint64_t lo, hi; /* the numbers it is about */
    enum sb_result result;
    char reason[SB_REASON_MAX]; /* of a refusal, else "" */
    char at[SB_TIME_TEXT];      /* when the cloud committed it */
};

/* All zero = empty. */
struct answers {
    struct answer kept[ANSWERS_MAX];
    size_t count; /* ever added */
};

/* Copies it; the oldest goes when all places are taken. */
void answers_add(struct answers *answers, const struct answer *answer);

/* The newest that covers seq, NULL = none is known any more. Valid until the next answers_add. */
const struct answer *answers_find(const struct answers *answers, const char *epoch,
                                  const char *stream, uint64_t seq);

#endif
