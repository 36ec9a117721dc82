#include "consumer.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#include "common/gzip.h"

#define INFLATE_ONLY 1 /* this side's gzip level is never used */

struct consumer {
    struct sb_limits limits;
    struct sb_gzip *gzip;
    struct sb_batch_decoder *decoder;
    struct sb_buf text;
    struct message message;
};

struct consumer *consumer_new(const struct sb_limits *limits)
{
    struct consumer *consumer = sb_xcalloc(1, sizeof(*consumer));

    consumer->limits = *limits;
    consumer->gzip = sb_gzip_new(INFLATE_ONLY);
    consumer->decoder = sb_batch_decoder_new();
    sb_hello_init(&consumer->message.hello);
    return consumer;
}

void consumer_free(struct consumer *consumer)
{
    if (consumer == NULL)
        return;
    sb_hello_free(&consumer->message.hello);
    sb_batch_decoder_free(consumer->decoder);
    sb_gzip_free(consumer->gzip);
    sb_buf_free(&consumer->text);
    free(consumer);
}

/* ---- where it came from ---- */

static int check_topic(const struct sb_up_topic *topic, struct sb_err *err)
{
    unsigned bucket = sb_bucket_of(sb_span_of(topic->device));

    if (topic->bucket != bucket)
        return sb_fail(err, SB_EWRONG_BUCKET, "topic: bucket %02x, %s belongs to %02x",
                       topic->bucket, topic->device, bucket);
    return 0;
}

static int check_device(const char *payload, const char *segment, struct sb_err *err)
{
    if (strcmp(payload, segment) != 0)
        return sb_fail(err, SB_EWRONG_DEVICE, "device: %s, but the topic is that of %s", payload,
                       segment);
    return 0;
}

/* ---- what it says ---- */

static int check_batch(const struct sb_batch *batch, const struct sb_up_topic *topic,
                       struct sb_err *err)
{
    if (batch->stream.class != topic->class)
        return sb_fail(err, SB_EBAD_STREAM, "stream: %s/%s on the topic of %s",
                       sb_up_class_name(batch->stream.class), batch->stream.name,
                       sb_up_class_name(topic->class));
    if (batch->form == SB_FORM_ROWS && topic->class != SB_UP_SENSORS)
        return sb_fail(err, SB_EBAD_TYPE, "rows: only readings are sent as fields and rows");
    if (batch->form == SB_FORM_RECORDS && topic->class == SB_UP_SENSORS)
        return sb_fail(err, SB_EBAD_TYPE, "records: readings are sent as fields and rows");
    if (batch->again && sb_class_ordered(topic->class))
        return sb_fail(err, SB_EBAD_VALUE, "again: an operation is enqueued anew instead");
    return 0;
}

static int read_batch(struct consumer *consumer, const struct sb_up_topic *topic,
                      size_t payload_bytes, struct sb_err *err)
{
    struct message *message = &consumer->message;
    struct sb_batch *batch = &message->batch;
    int rc = sb_batch_decode(consumer->decoder, sb_buf_span(&consumer->text),
                             consumer->limits.max_batch_records, batch, err);

    message->kind = MESSAGE_BATCH;
    memcpy(message->batch_id, batch->batch_id, sizeof(message->batch_id));
    if (rc == 0)
        rc = check_device(batch->device, topic->device, err);
    if (rc == 0)
        rc = check_batch(batch, topic, err);
    if (rc == 0 && payload_bytes > consumer->limits.max_batch_bytes && batch->record_count > 1)
        rc = sb_fail(err, SB_ELIMIT, "%zu bytes, at most %llu are taken with more than one record",
                     payload_bytes, (unsigned long long)consumer->limits.max_batch_bytes);
    return rc;
}

static int read_ctl(struct consumer *consumer, const struct sb_up_topic *topic, struct sb_err *err)
{
    struct message *message = &consumer->message;
    struct sb_span text = sb_buf_span(&consumer->text);
    enum sb_kind kind;
    int rc = sb_message_kind(text, &kind, err);

    if (rc != 0)
        return rc;
    if (kind == SB_KIND_HELLO) {
        message->kind = MESSAGE_HELLO;
        rc = sb_hello_decode(text, &message->hello, err);
        return rc == 0 ? check_device(message->hello.device, topic->device, err) : rc;
    }
    if (kind == SB_KIND_REQUEST) {
        message->kind = MESSAGE_REQUEST;
        return sb_request_decode(text, &message->request, err);
    }
    return sb_fail(err, SB_EBAD_TYPE, "kind: neither a hello nor a request on the topic of ctl");
}

static int read_admin(struct consumer *consumer, struct sb_span payload, struct sb_err *err)
{
    struct message *message = &consumer->message;
    int rc = sb_gzip_unpack(consumer->gzip, payload, SB_PAYLOAD_MAX_BYTES, &consumer->text, err);

    message->kind = MESSAGE_REQUEST;
    return rc == 0 ? sb_request_decode(sb_buf_span(&consumer->text), &message->request, err) : rc;
}

static int read_message(struct consumer *consumer, struct sb_span topic_text,
                        struct sb_span payload, struct sb_err *err)
{
    struct message *message = &consumer->message;
    struct sb_up_topic topic = {.device = ""};
    int rc;

    if (sb_topic_parse_admin(topic_text, message->operator_name))
        return read_admin(consumer, payload, err);
    rc = sb_topic_parse_up(topic_text, &topic, err);
    memcpy(message->device, topic.device, sizeof(message->device));
    if (rc == 0)
        rc = check_topic(&topic, err);
    if (rc == 0)
        rc = sb_gzip_unpack(consumer->gzip, payload, SB_PAYLOAD_MAX_BYTES, &consumer->text, err);
    if (rc != 0)
        return rc;
    if (topic.class == SB_UP_CTL)
        return read_ctl(consumer, &topic, err);
    return read_batch(consumer, &topic, payload.len, err);
}

const struct message *consumer_read(struct consumer *consumer, struct sb_span topic,
                                    struct sb_span payload, struct sb_span correlation)
{
    struct message *message = &consumer->message;
    struct sb_err err;

    sb_hello_free(&message->hello);
    *message = (struct message){.kind = MESSAGE_REFUSED};
    sb_hello_init(&message->hello);
    sb_buf_clear(&consumer->text);
    if (read_message(consumer, topic, payload, &err) == 0)
        return message;
    message->kind = MESSAGE_REFUSED;
    message->code = err.code;
    text_cut(message->reason, sizeof(message->reason), err.msg);
    if (message->batch_id[0] == '\0' && sb_uuid_valid(correlation))
        memcpy(message->batch_id, correlation.data, correlation.len);
    if (message->request.id[0] == '\0' && sb_uuid_valid(correlation))
        memcpy(message->request.id, correlation.data, correlation.len);
    return message;
}
