/* Topics and stream names: what is accepted prints as it was written. */
#include <string.h>

#include "common/check.h"
#include "common/topic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sb_span text = {(const char *)data, size};
    struct sb_up_topic topic;
    struct sb_stream stream;
    char printed[SB_TOPIC_MAX];
    char name[SB_STREAM_MAX + 1];

    if (sb_topic_parse_up(text, &topic, NULL) == 0 &&
        topic.bucket == sb_bucket_of(sb_span_of(topic.device))) {
        sb_topic_up(printed, topic.device, topic.class);
        SB_CHECK(sb_span_is(text, printed));
    }
    if (sb_stream_parse(text, &stream, NULL) == 0) {
        sb_stream_print(&stream, name);
        SB_CHECK(sb_span_is(text, name));
    }
    return 0;
}
