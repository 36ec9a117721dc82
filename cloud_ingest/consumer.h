#ifndef CLOUD_CONSUMER_H
#define CLOUD_CONSUMER_H

#include "common/envelope.h"
#include "common/hello.h"
#include "common/request.h"
#include "common/topic.h"

/* Stage 5: a message as it came becomes something to act on, or a refusal with a reason. A PUBACK
 * of ours means that a message was received and nothing more: only the reply after the commit lets
 * a device forget. What a broker must have checked (the device's segment) is not checked again; all
 * that it cannot know (bucket, payload's device, class) is. */
struct consumer;

enum message_kind { MESSAGE_BATCH, MESSAGE_HELLO, MESSAGE_REQUEST, MESSAGE_REFUSED };

struct message {
    enum message_kind kind;
    char device[SB_NAME_MAX + 1];        /* of the topic, "" where it names none */
    char operator_name[SB_NAME_MAX + 1]; /* "_op-…" on an operator's topic: only requests there */
    struct sb_batch batch;     /* BATCH; of a refused one, ids as far as they were readable */
    struct sb_hello hello;     /* HELLO; freed by the next consumer_read */
    struct sb_request request; /* REQUEST */

    /* REFUSED */
    enum sb_code code;
    char reason[SB_REASON_MAX];
    char batch_id[SB_UUID_LEN + 1]; /* of the payload or else of the correlation data, or "" */
    /* a request that could not be read has its id as far as it was readable in request.id */
};

struct consumer *consumer_new(const struct sb_limits *limits);
void consumer_free(struct consumer *consumer);

/* Valid until the next call and as long as payload is. Never fails: a refusal is a message too. */
const struct message *consumer_read(struct consumer *consumer, struct sb_span topic,
                                    struct sb_span payload, struct sb_span correlation);

#endif
