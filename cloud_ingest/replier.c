#include "replier.h"

#include <stdlib.h>
#include <string.h>

#include "common/gzip.h"
#include "common/log.h"
#include "common/topic.h"
#include "limits.h"

#define REPLY_EXPIRY_S    86400 /* a device that was away longer sends the batch again */
#define PACKET_OVERHEAD   1024  /* topic, properties and headers around a payload */
#define REPLY_BYTES_LEAST 4096

struct outgoing {
    struct outgoing *next;
    char topic[SB_TOPIC_MAX];
    struct sb_buf payload;
    struct sb_buf correlation;
};

struct list {
    struct outgoing *first, **last;
    size_t count, bytes;
};

struct replier {
    struct sb_link *link;
    struct sb_gzip *gzip;
    size_t reply_bytes; /* as configured */
    size_t packet;      /* what the broker takes */
    bool up;
    struct list staged, queue;
    struct sb_buf json;
    uint64_t sent, dropped;
};

/* ---- lists ---- */

static void list_init(struct list *list)
{
    *list = (struct list){.first = NULL};
    list->last = &list->first;
}

static void append(struct list *list, struct outgoing *message)
{
    message->next = NULL;
    *list->last = message;
    list->last = &message->next;
    list->count++;
    list->bytes += message->payload.len;
}

static struct outgoing *take_first(struct list *list)
{
    struct outgoing *message = list->first;

    if (message == NULL)
        return NULL;
    list->first = message->next;
    if (list->first == NULL)
        list->last = &list->first;
    list->count--;
    list->bytes -= message->payload.len;
    return message;
}

static void free_message(struct outgoing *message)
{
    sb_buf_free(&message->payload);
    sb_buf_free(&message->correlation);
    free(message);
}

static void free_all(struct list *list)
{
    struct outgoing *message;

    while ((message = take_first(list)) != NULL)
        free_message(message);
}

/* ---- life ---- */

struct replier *replier_new(struct sb_link *link, int gzip_level, size_t reply_bytes)
{
    struct replier *replier = sb_xcalloc(1, sizeof(*replier));

    replier->link = link;
    replier->gzip = sb_gzip_new(gzip_level);
    replier->reply_bytes = reply_bytes;
    list_init(&replier->staged);
    list_init(&replier->queue);
    return replier;
}

void replier_free(struct replier *replier)
{
    if (replier == NULL)
        return;
    free_all(&replier->staged);
    free_all(&replier->queue);
    sb_buf_free(&replier->json);
    sb_gzip_free(replier->gzip);
    free(replier);
}

/* ---- staging ---- */

static struct outgoing *pack(struct replier *replier, const char *topic, struct sb_span correlation,
                             struct sb_span json)
{
    struct outgoing *message = sb_xcalloc(1, sizeof(*message));

    memcpy(message->topic, topic, strlen(topic) + 1);
    if (correlation.len <= LIMIT_CORRELATION)
        sb_buf_add_span(&message->correlation, correlation);
    sb_gzip_pack(replier->gzip, json, &message->payload);
    return message;
}

void replier_json(struct replier *replier, const char *topic, struct sb_span correlation,
                  struct sb_span json)
{
    append(&replier->staged, pack(replier, topic, correlation, json));
}

/* A broker may take less payload than its packets can hold (message_size_limit is not announced):
 * a sixteenth is left to it. */
bool replier_json_fits(struct replier *replier, const char *topic, struct sb_span correlation,
                       struct sb_span json)
{
    struct outgoing *message = pack(replier, topic, correlation, json);
    size_t bound = replier->packet - replier->packet / 16;

    if (replier->packet > 0 && message->payload.len + PACKET_OVERHEAD > bound) {
        free_message(message);
        return false;
    }
    append(&replier->staged, message);
    return true;
}

/* Compressed it is smaller; the plain size is what can be bounded before. */
size_t replier_bound(const struct replier *replier)
{
    size_t bound = replier->reply_bytes;

    if (replier->packet > 0 && replier->packet < bound + PACKET_OVERHEAD)
        bound = replier->packet > PACKET_OVERHEAD + REPLY_BYTES_LEAST
                    ? replier->packet - PACKET_OVERHEAD
                    : REPLY_BYTES_LEAST;
    return bound;
}

void replier_ack(struct replier *replier, const char *device, struct sb_span correlation,
                 const struct sb_reply *reply, const unsigned char *outcome)
{
    char topic[SB_TOPIC_MAX];

    sb_topic_down(topic, device, "reply");
    sb_buf_clear(&replier->json);
    sb_reply_encode(reply, outcome, replier_bound(replier), &replier->json);
    if (correlation.len == 0)
        correlation = sb_span_of(reply->batch_id);
    replier_json(replier, topic, correlation, sb_buf_span(&replier->json));
}

void replier_stage_discard(struct replier *replier)
{
    free_all(&replier->staged);
}

void replier_stage_done(struct replier *replier)
{
    struct outgoing *message;

    while ((message = take_first(&replier->staged)) != NULL)
        append(&replier->queue, message);
    while (replier->queue.count > LIMIT_OUT_MESSAGES || replier->queue.bytes > LIMIT_OUT_BYTES) {
        free_message(take_first(&replier->queue));
        replier->dropped++;
    }
}

/* ---- sending ---- */

static int publish(struct replier *replier, const struct outgoing *message, struct sb_err *err)
{
    struct sb_span payload = sb_buf_span(&message->payload);
    const struct sb_link_message out = {
        .topic = message->topic,
        .payload = payload,
        .correlation = sb_buf_span(&message->correlation),
        .gzip = sb_gzip_is(payload),
        .qos = 1,
        .expiry_s = REPLY_EXPIRY_S,
    };

    return replier->link->publish(replier->link, &out, NULL, err);
}

void replier_pump(struct replier *replier)
{
    struct sb_err err;

    while (replier->up && replier->queue.first != NULL) {
        int rc = publish(replier, replier->queue.first, &err);

        if (rc == -SB_ECLOSED || rc == -SB_EBUSY)
            return; /* when the connection is back, or a PUBACK has made room */
        if (rc == 0) {
            replier->sent++;
        } else {
            replier->dropped++;
            sb_log_err(replier->queue.first->topic, &err);
        }
        free_message(take_first(&replier->queue));
    }
}

void replier_up(struct replier *replier, uint32_t max_packet)
{
    replier->up = true;
    replier->packet = max_packet;
    replier_pump(replier);
}

void replier_down(struct replier *replier)
{
    replier->up = false;
}

size_t replier_waiting(const struct replier *replier)
{
    return replier->queue.count;
}

void replier_figures(const struct replier *replier, uint64_t *sent, uint64_t *dropped)
{
    *sent = replier->sent;
    *dropped = replier->dropped;
}
