#include "topic.h"

#include <stdio.h>
#include <string.h>

#include "check.h"

static const char *const class_names[SB_UP_CLASSES] = {
    [SB_UP_SENSORS] = "sensors", [SB_UP_HISTORY] = "history", [SB_UP_SETTINGS] = "settings",
    [SB_UP_RECORDS] = "records", [SB_UP_LIBRARY] = "library", [SB_UP_CTL] = "ctl",
};

const char *sb_up_class_name(enum sb_up_class class)
{
    SB_CHECK((unsigned)class < SB_UP_CLASSES);
    return class_names[class];
}

bool sb_up_class_parse(struct sb_span name, enum sb_up_class *class)
{
    for (unsigned i = 0; i < SB_UP_CLASSES; i++) {
        if (sb_span_is(name, class_names[i])) {
            *class = (enum sb_up_class)i;
            return true;
        }
    }
    return false;
}

/* Cuts the next segment off; false when nothing is left. */
static bool segment(struct sb_span *rest, struct sb_span *out)
{
    const char *slash;

    if (rest->data == NULL)
        return false;
    slash = rest->len > 0 ? memchr(rest->data, '/', rest->len) : NULL;
    out->data = rest->data;
    if (slash == NULL) {
        out->len = rest->len;
        *rest = (struct sb_span){NULL, 0};
    } else {
        out->len = (size_t)(slash - rest->data);
        *rest = (struct sb_span){slash + 1, rest->len - out->len - 1};
    }
    return true;
}

static bool prefix(struct sb_span *rest, const char *direction)
{
    struct sb_span part;

    return segment(rest, &part) && sb_span_is(part, "sb") && segment(rest, &part) &&
           sb_span_is(part, "v1") && segment(rest, &part) && sb_span_is(part, direction);
}

static bool parse_bucket(struct sb_span text, unsigned *bucket)
{
    unsigned value = 0;

    if (text.len != 2)
        return false;
    for (size_t i = 0; i < 2; i++) {
        char c = text.data[i];

        if (c >= '0' && c <= '9')
            value = value * 16 + (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value * 16 + (unsigned)(c - 'a') + 10;
        else
            return false;
    }
    *bucket = value;
    return value < 64;
}

int sb_topic_parse_up(struct sb_span topic, struct sb_up_topic *out, struct sb_err *err)
{
    struct sb_span rest = topic, bucket, device, class;

    out->device[0] = '\0';
    if (!prefix(&rest, "up") || !segment(&rest, &bucket) || !segment(&rest, &device))
        return sb_fail(err, SB_EBAD_TOPIC, "topic: not sb/v1/up/<bucket>/<device>/<class>");
    if (!sb_device_valid(device))
        return sb_fail(err, SB_EBAD_ID, "topic: device id is not [A-Za-z0-9_-]{1,64}");
    memcpy(out->device, device.data, device.len);
    out->device[device.len] = '\0';
    if (!segment(&rest, &class) || rest.data != NULL)
        return sb_fail(err, SB_EBAD_TOPIC, "topic: not exactly six segments");
    if (!parse_bucket(bucket, &out->bucket))
        return sb_fail(err, SB_EWRONG_BUCKET, "topic: bucket is not two hex digits below 40");
    if (!sb_up_class_parse(class, &out->class))
        return sb_fail(err, SB_EBAD_TOPIC, "topic: unknown class");
    return 0;
}

void sb_topic_up(char out[SB_TOPIC_MAX], const char *device, enum sb_up_class class)
{
    snprintf(out, SB_TOPIC_MAX, "sb/v1/up/%02x/%s/%s", sb_bucket_of(sb_span_of(device)), device,
             sb_up_class_name(class));
}

void sb_topic_down(char out[SB_TOPIC_MAX], const char *device, const char *class)
{
    snprintf(out, SB_TOPIC_MAX, "sb/v1/down/%s/%s", device, class);
}

void sb_topic_state(char out[SB_TOPIC_MAX], const char *device)
{
    snprintf(out, SB_TOPIC_MAX, "sb/v1/state/%s", device);
}

void sb_topic_event(char out[SB_TOPIC_MAX], const char *device)
{
    snprintf(out, SB_TOPIC_MAX, "sb/v1/event/%s", device);
}

void sb_topic_ingest(char out[SB_TOPIC_MAX], unsigned n)
{
    snprintf(out, SB_TOPIC_MAX, "sb/v1/ingest/%u", n);
}

bool sb_topic_parse_ingest(struct sb_span topic, unsigned *n)
{
    struct sb_span rest = topic, part;

    if (!prefix(&rest, "ingest") || !segment(&rest, &part) || rest.data != NULL)
        return false;
    if (part.len < 1 || part.len > 4)
        return false;
    *n = 0;
    for (size_t i = 0; i < part.len; i++) {
        if (part.data[i] < '0' || part.data[i] > '9')
            return false;
        *n = *n * 10 + (unsigned)(part.data[i] - '0');
    }
    return true;
}

bool sb_topic_parse_admin(struct sb_span topic, char name[SB_NAME_MAX + 1])
{
    struct sb_span rest = topic, who, what;

    if (!prefix(&rest, "admin") || !segment(&rest, &who) || !segment(&rest, &what) ||
        rest.data != NULL || !sb_operator_valid(who) || !sb_span_is(what, "req"))
        return false;
    memcpy(name, who.data, who.len);
    name[who.len] = '\0';
    return true;
}

void sb_topic_admin_reply(char out[SB_TOPIC_MAX], const char *name)
{
    snprintf(out, SB_TOPIC_MAX, "sb/v1/admin/%s/reply", name);
}

int sb_stream_parse(struct sb_span text, struct sb_stream *out, struct sb_err *err)
{
    struct sb_span rest = text, class, name;

    if (!segment(&rest, &class) || !segment(&rest, &name) || rest.data != NULL ||
        !sb_up_class_parse(class, &out->class) || out->class == SB_UP_CTL)
        return sb_fail(err, SB_EBAD_STREAM,
                       "stream: not sensors/<type> or history|settings|records|library/<user>");
    if (!sb_name_valid(name))
        return sb_fail(err, SB_EBAD_ID, "stream: %s is not [A-Za-z0-9_-]{1,64}",
                       out->class == SB_UP_SENSORS ? "sensor type" : "user id");
    memcpy(out->name, name.data, name.len);
    out->name[name.len] = '\0';
    return 0;
}

void sb_stream_print(const struct sb_stream *stream, char out[SB_STREAM_MAX + 1])
{
    snprintf(out, SB_STREAM_MAX + 1, "%s/%s", sb_up_class_name(stream->class), stream->name);
}

bool sb_class_ordered(enum sb_up_class class)
{
    return class == SB_UP_SETTINGS || class == SB_UP_RECORDS || class == SB_UP_LIBRARY;
}

bool sb_class_has_user(enum sb_up_class class)
{
    return class != SB_UP_SENSORS;
}
