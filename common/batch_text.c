#include "envelope.h"

#include <string.h>

#include "check.h"
#include "clock.h"
#include "json_text.h"
#include "json_walk.h"

static const char *const reason_names[] = {
    [SB_HOLE_EVICTED] = "evicted", [SB_HOLE_EXPIRED] = "expired", [SB_HOLE_DEAD] = "dead",
    [SB_HOLE_CLEARED] = "cleared", [SB_HOLE_PURGED] = "purged",   [SB_HOLE_CORRUPT] = "corrupt",
    [SB_HOLE_LOST] = "lost",
};

const char *sb_hole_reason_name(enum sb_hole_reason reason)
{
    SB_CHECK(reason >= SB_HOLE_EVICTED && reason <= SB_HOLE_LOST);
    return reason_names[reason];
}

bool sb_hole_reason_parse(struct sb_span name, enum sb_hole_reason *reason)
{
    for (unsigned i = SB_HOLE_EVICTED; i <= SB_HOLE_LOST; i++) {
        if (sb_span_is(name, reason_names[i])) {
            *reason = (enum sb_hole_reason)i;
            return true;
        }
    }
    return false;
}

const char *sb_clock_quality_name(enum sb_clock_quality quality)
{
    switch (quality) {
    case SB_CLOCK_UNKNOWN:
        return "unknown";
    case SB_CLOCK_RTC:
        return "rtc";
    case SB_CLOCK_NTP:
        return "ntp";
    }
    return "unknown";
}

static void add_text(struct sb_buf *out, const char *key, const char *text)
{
    sb_buf_add_str(out, ",\"");
    sb_buf_add_str(out, key);
    sb_buf_add_str(out, "\":\"");
    sb_buf_add_str(out, text);
    sb_buf_add_char(out, '"');
}

static void add_number(struct sb_buf *out, const char *key, uint64_t value)
{
    sb_buf_add_str(out, ",\"");
    sb_buf_add_str(out, key);
    sb_buf_add_str(out, "\":");
    sb_buf_add_u64(out, value);
}

void sb_batch_begin(struct sb_buf *out, const struct sb_batch *head, int64_t wall_us)
{
    char stream[SB_STREAM_MAX + 1], time[SB_TIME_TEXT];

    sb_stream_print(&head->stream, stream);
    sb_time_print(wall_us, time);
    sb_buf_add_str(out, "{\"v\":1");
    add_text(out, "batch_id", head->batch_id);
    if (head->again)
        sb_buf_add_str(out, ",\"again\":true");
    add_text(out, "device", head->device);
    if (head->boot[0] != '\0')
        add_text(out, "boot", head->boot);
    add_text(out, "epoch", head->epoch);
    add_text(out, "stream", stream);
    add_number(out, "first_seq", head->first_seq);
    add_number(out, "last_seq", head->last_seq);
    add_number(out, "made", head->made);
    add_text(out, "sent_at", time);
}

static void add_chunk(struct sb_buf *out, const struct sb_chunk *chunk)
{
    char time[SB_TIME_TEXT];

    sb_buf_add_str(out, "{\"n\":");
    sb_buf_add_u64(out, chunk->n);
    if (chunk->device_boot[0] != '\0')
        add_text(out, "device_boot", chunk->device_boot);
    if (chunk->has_times) {
        sb_time_print(chunk->wall_us, time);
        add_number(out, "mono_ms", chunk->mono_ms > 0 ? (uint64_t)chunk->mono_ms : 0);
        add_text(out, "wall", time);
        add_text(out, "quality", sb_clock_quality_name(chunk->quality));
    }
    sb_buf_add_char(out, '}');
}

void sb_batch_end_rows(struct sb_buf *out, struct sb_span fields, struct sb_span rows,
                       const struct sb_chunk *chunks, size_t chunk_count)
{
    sb_buf_add_str(out, ",\"fields\":");
    sb_buf_add_span(out, fields);
    sb_buf_add_str(out, ",\"rows\":[");
    sb_buf_add_span(out, rows);
    sb_buf_add_char(out, ']');
    for (size_t i = 0; i < chunk_count; i++) {
        sb_buf_add_str(out, i > 0 ? "," : ",\"chunks\":[");
        add_chunk(out, &chunks[i]);
    }
    sb_buf_add_str(out, chunk_count > 0 ? "]}" : "}");
}

void sb_batch_end_records(struct sb_buf *out, struct sb_span records)
{
    sb_buf_add_str(out, ",\"records\":[");
    sb_buf_add_span(out, records);
    sb_buf_add_str(out, "]}");
}

void sb_batch_end_hole(struct sb_buf *out, enum sb_hole_reason reason, const struct sb_span *ops,
                       size_t op_count, struct sb_span summary)
{
    sb_buf_add_str(out, ",\"hole\":{\"reason\":\"");
    sb_buf_add_str(out, sb_hole_reason_name(reason));
    sb_buf_add_char(out, '"');
    for (size_t i = 0; i < op_count; i++) {
        sb_buf_add_str(out, i > 0 ? "," : ",\"ops\":[");
        if (ops[i].len > 0)
            sb_buf_add_json(out, ops[i]);
        else
            sb_buf_add_str(out, "null");
    }
    if (op_count > 0)
        sb_buf_add_char(out, ']');
    if (summary.len > 0) {
        sb_buf_add_str(out, ",\"summary\":");
        sb_buf_add_span(out, summary);
    }
    sb_buf_add_str(out, "}}");
}

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && sb_json_is_space(*at))
        at++;
    return at;
}

/* Goes over count elements; NULL when there are fewer. *last is where the last one ended. */
static const char *skip_elements(const char *at, const char *end, uint64_t count, const char **last)
{
    while (count > 0) {
        at = skip_space(at, end);
        if (at == end)
            return NULL;
        at = sb_json_skip(at, end);
        *last = at;
        at = skip_space(at, end);
        if (at < end)
            at++; /* the comma */
        count--;
    }
    return skip_space(at, end);
}

bool sb_records_slice(struct sb_span joined, uint64_t skip, uint64_t take, struct sb_span *part)
{
    const char *end = joined.data + joined.len, *last = joined.data, *from;

    from = skip_elements(joined.data, end, skip, &last);
    if (from == NULL)
        return false;
    last = from;
    if (skip_elements(from, end, take, &last) == NULL)
        return false;
    *part = (struct sb_span){from, (size_t)(last - from)};
    return true;
}
