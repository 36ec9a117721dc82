#ifndef SB_TOPIC_H
#define SB_TOPIC_H

#include "err.h"
#include "ids.h"

/* The topics of PROTOCOL.md section 1. Depth is fixed; anything else is SB_EBAD_TOPIC. */
#define SB_TOPIC_MAX 256

enum sb_up_class {
    SB_UP_SENSORS,
    SB_UP_HISTORY,
    SB_UP_SETTINGS,
    SB_UP_RECORDS,
    SB_UP_LIBRARY,
    SB_UP_CTL,
    SB_UP_CLASSES
};

const char *sb_up_class_name(enum sb_up_class class);
bool sb_up_class_parse(struct sb_span name, enum sb_up_class *class);

struct sb_up_topic {
    unsigned bucket; /* as written in the topic, not checked against the device */
    char device[SB_NAME_MAX + 1];
    enum sb_up_class class;
};

/* sb/v1/up/<bucket>/<device>/<class>. When the device segment is valid but another one is not,
 * out->device is filled all the same (the refusal has an address); else it is "". */
int sb_topic_parse_up(struct sb_span topic, struct sb_up_topic *out, struct sb_err *err);

void sb_topic_up(char out[SB_TOPIC_MAX], const char *device, enum sb_up_class class);
void sb_topic_down(char out[SB_TOPIC_MAX], const char *device, const char *class);
void sb_topic_state(char out[SB_TOPIC_MAX], const char *device);
void sb_topic_event(char out[SB_TOPIC_MAX], const char *device);
void sb_topic_ingest(char out[SB_TOPIC_MAX], unsigned n);

/* The <n> of sb/v1/ingest/<n>. */
bool sb_topic_parse_ingest(struct sb_span topic, unsigned *n);

/* sb/v1/admin/<operator>/req; false for anything else. And where it is answered. */
bool sb_topic_parse_admin(struct sb_span topic, char name[SB_NAME_MAX + 1]);
void sb_topic_admin_reply(char out[SB_TOPIC_MAX], const char *name);

/* A stream: "sensors/<type>", "history/<user>", "settings/<user>", "records/<user>",
 * "library/<user>". */
struct sb_stream {
    enum sb_up_class class; /* never SB_UP_CTL */
    char name[SB_NAME_MAX + 1];
};

int sb_stream_parse(struct sb_span text, struct sb_stream *out, struct sb_err *err);
void sb_stream_print(const struct sb_stream *stream, char out[SB_STREAM_MAX + 1]);

/* Settings, records and library: one batch in flight, in the order they were made. */
bool sb_class_ordered(enum sb_up_class class);
/* All but sensors: the name is a user id and the device needs a binding to it. */
bool sb_class_has_user(enum sb_up_class class);

#endif
