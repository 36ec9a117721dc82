/* Stage 3: what the outbox holds becomes a batch that the cloud's decoder takes as it is meant. */
#include "edge_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/batch_decoder.h"
#include "common/gzip.h"
#include "common/json_scan.h"
#include "edge_agent/enqueue.h"
#include "edge_agent/publisher.h"

#define AIR  "sensors/air_quality"
#define USER "settings/user-1"

static const char batch_id[] = "018f0000-0000-7000-8000-000000000001";
static struct publisher *pub;
static struct sb_batch_decoder *decoder;
static struct sb_gzip *gzip;
static struct publisher_batch built;
static struct sb_buf text;
static struct sb_batch batch;

static int setup(void **state)
{
    pub = publisher_new("edge-001", 1);
    decoder = sb_batch_decoder_new();
    gzip = sb_gzip_new(1);
    return kit_setup(state);
}

static int teardown(void **state)
{
    publisher_free(pub);
    sb_batch_decoder_free(decoder);
    sb_gzip_free(gzip);
    sb_buf_free(&text);
    return kit_teardown(state);
}

static void decode(void)
{
    sb_buf_clear(&text);
    assert_int_equal(sb_gzip_unpack(gzip, built.payload, SB_PAYLOAD_MAX_BYTES, &text, &kit_err), 0);
    assert_int_equal(sb_gzip_is(built.payload), built.gzip);
    assert_int_equal(
        sb_batch_decode(decoder, sb_buf_span(&text), SB_BATCH_MAX_RECORDS, &batch, &kit_err), 0);
    assert_string_equal(batch.batch_id, batch_id);
    assert_string_equal(built.batch_id, batch_id);
    assert_string_equal(batch.device, "edge-001");
    assert_string_equal(batch.boot, KIT_INGEST);
    assert_int_equal(batch.first_seq, built.lo);
    assert_int_equal(batch.last_seq, built.hi);
}

static int build(const struct lane *lane, uint64_t lo, uint64_t hi, uint64_t records,
                 uint64_t bytes)
{
    const struct work work = {lo, hi, false};
    const struct publisher_limits limits = {records, bytes};

    return publisher_rows(pub, kit_ob, lane, &work, &limits, KIT_INGEST, batch_id, kit_now.wall_us,
                          &built, &kit_err);
}

static void assert_built(const struct lane *lane, uint64_t lo, uint64_t hi, uint64_t expected_hi,
                         uint64_t records, uint64_t bytes)
{
    assert_int_equal(build(lane, lo, hi, records, bytes), 0);
    decode();
    assert_int_equal(batch.first_seq, lo);
    assert_int_equal(batch.last_seq, expected_hi);
    assert_int_equal(batch.made, lane_made(lane));
    assert_string_equal(batch.epoch, lane->epoch);
}

/* The readings carry their own number. */
static void assert_records(void)
{
    char expected[64];

    for (size_t i = 0; i < batch.record_count; i++) {
        snprintf(expected, sizeof(expected), "[\"2026-01-02T03:04:05Z\",%llu]",
                 (unsigned long long)(batch.first_seq + i));
        assert_true(sb_span_is(batch.records[i].text, expected));
    }
}

/* A record of as many values as asked for. */
static int enqueue_values(struct enqueue *eq, const struct sb_stream *stream, size_t values)
{
    struct sb_buf record = {0};
    int rc;

    sb_buf_add_str(&record, "{\"command_id\":\"c\",\"list\":[0");
    for (size_t i = 4; i < values; i++)
        sb_buf_add_str(&record, ",0");
    sb_buf_add_str(&record, "]}");
    if (stream->class == SB_UP_SETTINGS)
        rc = enqueue_settings(eq, stream->name, sb_buf_span(&record), SB_SPAN(""), kit_now,
                              &kit_rng, NULL, &kit_err);
    else
        rc = enqueue_record(eq, stream, sb_buf_span(&record), SB_SPAN(""), kit_now, NULL, &kit_err);
    sb_buf_free(&record);
    return rc;
}

static void the_largest_record_that_is_taken_can_be_read(void **state)
{
    static const struct enqueue_switches all_on = {true, true, true, true, 0};
    static const struct sb_stream streams[] = {
        {SB_UP_SENSORS, "air_quality"}, {SB_UP_HISTORY, "user-1"}, {SB_UP_SETTINGS, "user-1"}};
    struct enqueue *eq = enqueue_new(kit_ob, &all_on, KIT_BOOT);
    char name[SB_STREAM_MAX + 1];

    (void)state;
    enqueue_set_codec(eq, "edge-001", NULL);
    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
        size_t values = SB_JSON_MAX_NODES + 100;
        int rc;

        while ((rc = enqueue_values(eq, &streams[i], values)) == -SB_ETOO_MANY_NODES)
            values--;
        assert_int_equal(rc, 0);
        assert_int_equal(enqueue_commit(eq, &kit_err), 0);
        sb_stream_print(&streams[i], name);
        assert_built(kit_load(name), 1, 1, 1, 1000, SB_BATCH_MAX_BYTES);
    }
    enqueue_free(eq);
}

static void chunks_are_joined_into_one_batch(void **state)
{
    (void)state;
    kit_readings(3);
    kit_readings(1);
    kit_readings(4);
    assert_built(kit_load(AIR), 1, 8, 8, 1000, SB_BATCH_MAX_BYTES);
    assert_int_equal(batch.record_count, 8);
    assert_int_equal(batch.form, SB_FORM_ROWS);
    assert_true(sb_span_is(batch.fields, "[\"ts\",\"v\"]"));
    assert_int_equal(batch.chunk_count, 1); /* the same clock */
    assert_int_equal(batch.chunks[0].n, 8);
    assert_string_equal(batch.chunks[0].device_boot, KIT_BOOT);
    assert_int_equal(batch.chunks[0].mono_ms, kit_now.mono_ms);
    assert_records();
}

static void any_part_of_chunks_can_be_sent(void **state)
{
    struct lane *lane;

    (void)state;
    kit_readings(5);
    kit_readings(5);
    kit_readings(5);
    lane = kit_load(AIR);
    for (uint64_t lo = 1; lo <= 15; lo++)
        for (uint64_t hi = lo; hi <= 15; hi++) {
            assert_built(lane, lo, hi, hi, 1000, SB_BATCH_MAX_BYTES);
            assert_records();
        }
}

static void record_limit_cuts_the_batch(void **state)
{
    struct lane *lane;

    (void)state;
    kit_readings(5);
    kit_readings(5);
    lane = kit_load(AIR);
    assert_int_equal(build(lane, 1, 10, 1, SB_BATCH_MAX_BYTES), 0);
    decode();
    assert_int_equal(batch.record_count, 1);
    for (uint64_t most = 2; most <= 10; most++) {
        assert_int_equal(build(lane, 1, 10, most, SB_BATCH_MAX_BYTES), 0);
        decode();
        assert_in_range(batch.record_count, most > 5 ? 5 : 1, most);
        assert_records();
    }
}

static void byte_limit_cuts_the_batch_and_one_record_always_goes(void **state)
{
    struct lane *lane;
    uint64_t next = 1;

    (void)state;
    kit_readings(1000);
    lane = kit_load(AIR);
    while (next <= 1000) {
        assert_int_equal(build(lane, next, 1000, 1000, 2000), 0);
        decode();
        assert_in_range(built.payload.len, 1, 2000);
        assert_records();
        next = built.hi + 1;
    }
    assert_int_equal(build(lane, 1, 1000, 1000, 10), 0);
    decode();
    assert_int_equal(batch.record_count, 1);
}

static void other_fields_and_other_clocks_are_told_apart(void **state)
{
    struct outbox_chunk chunk = {.stream = {SB_UP_SENSORS, "air_quality"},
                                 .fields = SB_SPAN("[\"ts\",\"w\"]"),
                                 .body = SB_SPAN("[\"2026-01-02T03:04:05Z\",4]"),
                                 .count = 1,
                                 .device_boot = KIT_BOOT};
    struct outbox_place place;
    struct lane *lane;

    (void)state;
    kit_readings(2);
    kit_now.wall_us += 3600 * INT64_C(1000000); /* the clock was set */
    kit_readings(1);
    kit_begin();
    assert_int_equal(outbox_append(kit_ob, &chunk, &place, &kit_err), 0);
    kit_commit();
    lane = kit_load(AIR);
    assert_built(lane, 1, 4, 3, 1000, SB_BATCH_MAX_BYTES);
    assert_int_equal(batch.chunk_count, 2);
    assert_int_equal(batch.chunks[0].n, 2);
    assert_int_equal(batch.chunks[1].n, 1);
    assert_built(lane, 4, 4, 4, 1000, SB_BATCH_MAX_BYTES);
    assert_true(sb_span_is(batch.fields, "[\"ts\",\"w\"]"));
}

static void missing_row_ends_the_batch_or_is_named(void **state)
{
    struct lane *lane;

    (void)state;
    kit_readings(3);
    kit_readings(3);
    kit_readings(3);
    lane = kit_load(AIR);
    kit_begin();
    assert_int_equal(outbox_rows_drop(kit_ob, lane->s, 4, 6, &kit_err), 0);
    kit_commit();
    assert_built(lane, 1, 9, 3, 1000, SB_BATCH_MAX_BYTES);
    assert_int_equal(build(lane, 4, 9, 1000, SB_BATCH_MAX_BYTES), -SB_ECORRUPT);
    assert_non_null(strstr(kit_err.msg, "number 4"));
}

static void operations_go_as_records(void **state)
{
    (void)state;
    kit_edit("op-a");
    kit_edit("op-b");
    assert_built(kit_load(USER), 1, 2, 2, 1000, SB_BATCH_MAX_BYTES);
    assert_int_equal(batch.form, SB_FORM_RECORDS);
    assert_int_equal(batch.record_count, 2);
    assert_false(batch.again);
}

static int build_again(void *ctx, const struct outbox_dead *dead)
{
    return publisher_again(pub, ctx, dead, KIT_INGEST, batch_id, kit_now.wall_us, &built);
}

static void dead_letter_goes_under_its_old_number(void **state)
{
    struct lane *lane;

    (void)state;
    kit_readings(5);
    lane = kit_load(AIR);
    kit_begin();
    assert_int_equal(outbox_dead_add(kit_ob, lane->s, 3, SB_EBAD_VALUE, "", 0, &kit_err), 0);
    kit_commit();
    assert_int_equal(outbox_dead_list(kit_ob, 0, false, build_again, lane, &kit_err), 0);
    decode();
    assert_true(batch.again);
    assert_int_equal(batch.first_seq, 3);
    assert_int_equal(batch.record_count, 1);
    assert_records();
}

/* ---- holes ---- */

static void hole(struct lane *lane, uint64_t lo, uint64_t hi, enum sb_hole_reason reason,
                 const char *ops)
{
    kit_begin();
    assert_int_equal(outbox_hole_add(kit_ob, lane->s, lo, hi, reason, sb_span_of(ops), &kit_err),
                     0);
    kit_commit();
    sb_ranges_add(&lane->holes, lo, hi);
}

static uint64_t hole_records = SB_BATCH_MAX_RECORDS;

static void build_hole(struct lane *lane, uint64_t lo, uint64_t hi)
{
    const struct work work = {lo, hi, true};
    const struct publisher_limits limits = {hole_records, SB_BATCH_MAX_BYTES};

    assert_int_equal(publisher_hole(pub, kit_ob, lane, &work, &limits, KIT_INGEST, batch_id,
                                    kit_now.wall_us, &built, &kit_err),
                     0);
    decode();
    assert_int_equal(batch.form, SB_FORM_HOLE);
}

static void hole_names_the_operations_of_the_numbers_it_declares(void **state)
{
    struct lane *lane;

    (void)state;
    kit_edit("op-a");
    lane = kit_load(USER);
    lane->next_seq = 9;
    hole(lane, 2, 6, SB_HOLE_DEAD, "[\"b\",null,\"d \\\"q\\\"\",\"e\",\"f\"]");
    build_hole(lane, 3, 5);
    assert_int_equal(batch.reason, SB_HOLE_DEAD);
    assert_int_equal(batch.first_seq, 3);
    assert_int_equal(batch.last_seq, 5);
    assert_int_equal(batch.op_count, 3);
    assert_int_equal(batch.ops[0].len, 0);
    assert_true(sb_span_is(batch.ops[1], "\"d \\\"q\\\"\""));
    assert_true(sb_span_is(batch.ops[2], "\"e\""));
}

static void named_hole_keeps_to_the_limit_of_records(void **state)
{
    struct lane *lane;

    (void)state;
    kit_edit("op-a");
    lane = kit_load(USER);
    lane->next_seq = 9;
    hole(lane, 2, 6, SB_HOLE_DEAD, "[\"b\",\"c\",\"d\",\"e\",\"f\"]");
    hole_records = 2;
    build_hole(lane, 3, 6);
    hole_records = SB_BATCH_MAX_RECORDS;
    assert_int_equal(batch.last_seq, 4);
    assert_int_equal(batch.op_count, 2);
    assert_true(sb_span_is(batch.ops[1], "\"d\""));
}

static void holes_of_different_reasons_go_apart(void **state)
{
    struct lane *lane;

    (void)state;
    kit_readings(9);
    lane = kit_load(AIR);
    hole(lane, 2, 4, SB_HOLE_EVICTED, "");
    hole(lane, 5, 6, SB_HOLE_PURGED, "");
    build_hole(lane, 2, 6);
    assert_int_equal(batch.reason, SB_HOLE_EVICTED);
    assert_int_equal(batch.last_seq, 4);
    assert_int_equal(batch.op_count, 0);
    build_hole(lane, 5, 6);
    assert_int_equal(batch.reason, SB_HOLE_PURGED);
}

static void unnamed_hole_of_any_length_is_one_batch(void **state)
{
    struct lane *lane;

    (void)state;
    kit_readings(1);
    lane = kit_load(AIR);
    lane->next_seq = 1000001;
    hole(lane, 1, 1000000, SB_HOLE_PURGED, "");
    build_hole(lane, 1, 1000000);
    assert_int_equal(batch.last_seq, 1000000);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(chunks_are_joined_into_one_batch),
        CASE(the_largest_record_that_is_taken_can_be_read),
        CASE(any_part_of_chunks_can_be_sent),
        CASE(record_limit_cuts_the_batch),
        CASE(byte_limit_cuts_the_batch_and_one_record_always_goes),
        CASE(other_fields_and_other_clocks_are_told_apart),
        CASE(missing_row_ends_the_batch_or_is_named),
        CASE(operations_go_as_records),
        CASE(dead_letter_goes_under_its_old_number),
        CASE(hole_names_the_operations_of_the_numbers_it_declares),
        CASE(named_hole_keeps_to_the_limit_of_records),
        CASE(holes_of_different_reasons_go_apart),
        CASE(unnamed_hole_of_any_length_is_one_batch),
    };
#undef CASE

    return cmocka_run_group_tests(tests, NULL, NULL);
}
