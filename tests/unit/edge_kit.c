#include "edge_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sb_rng kit_rng;
struct outbox *kit_ob;
struct lanes kit_lanes;
struct sb_err kit_err;
struct sb_now kit_now;

static unsigned databases;

int kit_setup(void **state)
{
    char path[64];
    const struct outbox_config config = {.path = path, .create = true, .in_memory = true};

    (void)state;
    snprintf(path, sizeof(path), "file:/kit%u?vfs=memdb", ++databases);
    sb_rng_seed(&kit_rng, 7);
    kit_err = (struct sb_err){0};
    kit_now = (struct sb_now){5000, 1767323045250000}; /* 2026-01-02T03:04:05.250Z */
    return outbox_open(&config, &kit_rng, &kit_ob, &kit_err);
}

int kit_teardown(void **state)
{
    (void)state;
    lanes_free(&kit_lanes);
    outbox_close(kit_ob);
    kit_ob = NULL;
    return 0;
}

void kit_begin(void)
{
    assert_int_equal(outbox_begin(kit_ob, &kit_err), 0);
}

void kit_commit(void)
{
    assert_int_equal(outbox_commit(kit_ob, &kit_err), 0);
}

static int add_made(void *ctx, const struct outbox_stream *stream)
{
    if (stream->stream.class == SB_UP_SENSORS)
        *(uint64_t *)ctx = stream->next_seq - 1; /* of the newest epoch */
    return 0;
}

void kit_readings(uint64_t count)
{
    struct outbox_chunk chunk = {.stream = {SB_UP_SENSORS, "air_quality"},
                                 .fields = SB_SPAN("[\"ts\",\"v\"]"),
                                 .count = count,
                                 .device_boot = KIT_BOOT,
                                 .mono_ms = kit_now.mono_ms,
                                 .wall_us = kit_now.wall_us,
                                 .quality = SB_CLOCK_NTP};
    struct outbox_place place;
    struct sb_buf body = {0};
    uint64_t made = 0;

    assert_int_equal(outbox_streams(kit_ob, add_made, &made, &kit_err), 0);
    for (uint64_t i = 1; i <= count; i++)
        sb_buf_add_fmt(&body, "%s[\"2026-01-02T03:04:05Z\",%llu]", i > 1 ? "," : "",
                       (unsigned long long)(made + i));
    chunk.body = sb_buf_span(&body);
    kit_begin();
    assert_int_equal(outbox_append(kit_ob, &chunk, &place, &kit_err), 0);
    kit_commit();
    sb_buf_free(&body);
}

void kit_edit(const char *op_id)
{
    struct outbox_chunk chunk = {.stream = {SB_UP_SETTINGS, "user-1"},
                                 .count = 1,
                                 .device_boot = KIT_BOOT,
                                 .before = SB_SPAN("{\"v\":0}"),
                                 .doc = SB_SPAN("settings"),
                                 .mono_ms = kit_now.mono_ms,
                                 .wall_us = kit_now.wall_us};
    struct outbox_place place;
    struct sb_buf body = {0};
    struct outbox_id id;

    sb_buf_add_fmt(&body,
                   "{\"op_id\":\"%s\",\"hlc\":\"0000000000000001\",\"base\":null,"
                   "\"settings\":{\"v\":\"%s\"}}",
                   op_id, op_id);
    id = (struct outbox_id){sb_span_of(op_id), sb_hash64(sb_buf_span(&body))};
    chunk.body = sb_buf_span(&body);
    chunk.ids = &id;
    kit_begin();
    assert_int_equal(outbox_append(kit_ob, &chunk, &place, &kit_err), 0);
    kit_commit();
    sb_buf_free(&body);
}

void kit_settings(struct outbox_document *doc)
{
    struct document_name name;

    assert_int_equal(document_name_make(&name, "user-1", "settings", "", &kit_err), 0);
    assert_int_equal(outbox_document_get(kit_ob, &name, doc, &kit_err), 0);
}

void kit_new_epoch(void)
{
    char epoch[SB_EPOCH_LEN + 1];

    kit_begin();
    assert_int_equal(outbox_new_epoch(kit_ob, &kit_rng, kit_now.wall_us, epoch, &kit_err), 0);
    kit_commit();
}

struct lane *kit_load(const char *stream)
{
    struct lane *lane;

    assert_int_equal(lanes_load(&kit_lanes, kit_ob, &kit_err), 0);
    lane = lanes_find_named(&kit_lanes, kit_lanes.epoch, stream);
    assert_non_null(lane);
    return lane;
}

struct lane *kit_lane(unsigned epoch, const char *stream)
{
    struct lane *lane = lanes_find_named(&kit_lanes, kit_lanes.epochs[epoch], stream);

    assert_non_null(lane);
    return lane;
}

void kit_assert_ranges(const struct sb_ranges *set, const char *text)
{
    struct sb_buf buf = {0};

    sb_ranges_print(set, &buf);
    assert_string_equal(buf.data, text);
    sb_buf_free(&buf);
}

static int print_letter(void *ctx, const struct outbox_dead *dead)
{
    sb_buf_add_fmt(ctx, "%s %llu %s%s;", dead->stream, (unsigned long long)dead->seq,
                   sb_code_name(dead->code), dead->retry ? " again" : "");
    return 0;
}

void kit_assert_dead(const char *text)
{
    struct sb_buf buf = {0};

    sb_buf_add_str(&buf, "");
    assert_int_equal(outbox_dead_list(kit_ob, 0, false, print_letter, &buf, &kit_err), 0);
    assert_string_equal(buf.data, text);
    sb_buf_free(&buf);
}

static int print_hole(void *ctx, const struct outbox_hole *hole)
{
    sb_buf_add_fmt(ctx, "%llu-%llu %s " SB_SPAN_FMT ";", (unsigned long long)hole->first_seq,
                   (unsigned long long)hole->last_seq, sb_hole_reason_name(hole->reason),
                   SB_SPAN_ARG(hole->ops));
    return 0;
}

void kit_assert_holes(const char *text)
{
    struct sb_buf buf = {0};

    sb_buf_add_str(&buf, "");
    assert_int_equal(outbox_holes(kit_ob, print_hole, &buf, &kit_err), 0);
    assert_string_equal(buf.data, text);
    sb_buf_free(&buf);
}

void kit_assert_rows(const struct lane *lane, const char *text)
{
    struct sb_ranges rows = {0};

    assert_int_equal(outbox_row_ranges(kit_ob, lane->s, &rows, &kit_err), 0);
    kit_assert_ranges(&rows, text);
    sb_ranges_free(&rows);
}
