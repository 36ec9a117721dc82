/* Readings from a message to rows: new, again, other content, bad, numbers as they were. */
#include "cloud_kit.h"

#include <stdio.h>
#include <string.h>

#include "cloud_ingest/limits.h"

#define FIELDS "\"fields\":[\"ts\",\"pm2_5\",\"aqi\",\"aqi_level\"]"
#define STREAM "sensors/air_quality"
#define BOOT_A "\"device_boot\":\"0aaaaaaa-0000-4000-8000-000000000001\""
#define BOOT_B "\"device_boot\":\"0bbbbbbb-0000-4000-8000-000000000002\""

static struct sb_reply *two_rows(struct kit *kit, uint64_t first)
{
    return kit_ask(kit, STREAM, first, first + 1,
                   FIELDS ",\"rows\":[[\"2026-01-01T00:00:00Z\",1.5,10,\"good\"],"
                          "[\"2026-01-01T00:00:10Z\",2.5,11,null]]");
}

static void new_readings_are_stored_and_answered(void **state)
{
    struct kit *kit = *state;
    struct sb_reply *reply = two_rows(kit, 1);

    kit_expect(reply, SB_RESULT_STORED, 2, 0, 0, 0, 0);
    assert_string_equal(reply->stream, STREAM);
    assert_string_equal(reply->epoch, kit->epoch);
    assert_string_equal(reply->boot, ingest_boot(kit->ingest));
    assert_int_equal(reply->commit, 1);
    assert_int_equal(reply->total, 2);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM sensor_air_quality WHERE pm2_5 > 1"), 2);
    assert_int_equal(
        kit_count(kit, "SELECT count(*) FROM sensor_air_quality WHERE aqi_level IS NULL"), 1);
    assert_string_equal(kit_last(kit, "/reply")->correlation.data, reply->batch_id);
    assert_int_equal(kit_last(kit, "/reply")->expiry_s, 86400);
}

static void a_repeat_is_a_duplicate_whole_or_overlapping(void **state)
{
    struct kit *kit = *state;

    two_rows(kit, 1);
    kit_expect(two_rows(kit, 1), SB_RESULT_DUPLICATE, 0, 2, 0, 0, 0);
    kit_expect(kit_ask(kit, STREAM, 2, 3,
                       FIELDS ",\"rows\":[[\"2026-01-01T00:00:10Z\",2.5,11,null],"
                              "[\"2026-01-01T00:00:20Z\",3.5,12,null]]"),
               SB_RESULT_STORED, 1, 1, 0, 0, 0);
    kit_restart(kit);
    kit_expect(two_rows(kit, 1), SB_RESULT_DUPLICATE, 0, 2, 0, 0, 0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM sensor_air_quality"), 3);
    assert_int_equal(kit_count(kit, "SELECT decided = '[[1,3]]' FROM streams"), 1);
    assert_int_equal(kit_count(kit, "SELECT stored = 3 AND repeats = 5 FROM streams"), 1);
}

static struct sb_reply *one_row(struct kit *kit, uint64_t seq, const char *row)
{
    return kit_ask(kit, STREAM, seq, seq, FIELDS ",\"rows\":[%s]", row);
}

static void other_content_goes_into_a_branch_and_is_known_there(void **state)
{
    struct kit *kit = *state;

    one_row(kit, 1, "[\"2026-01-01T00:00:00Z\",1.5,10,\"good\"]");
    kit_expect(one_row(kit, 1, "[\"2026-01-01T00:00:00Z\",7.5,10,\"good\"]"), SB_RESULT_STORED, 1,
               0, 0, 0, 0);
    kit_expect(one_row(kit, 1, "[\"2026-01-01T00:00:00Z\",8.5,10,\"good\"]"), SB_RESULT_STORED, 1,
               0, 0, 0, 0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM sensor_air_quality"), 3);
    assert_int_equal(kit_count(kit, "SELECT max(branch) FROM streams"), 2);
    assert_int_equal(kit_published(kit, "\"event\":\"branch\""), 2);
    kit_restart(kit);
    kit_expect(one_row(kit, 1, "[\"2026-01-01T00:00:00Z\",7.5,10,\"good\"]"), SB_RESULT_DUPLICATE,
               0, 1, 0, 0, 0);
    kit_expect(one_row(kit, 1, "[\"2026-01-01T00:00:00Z\",8.5,10,\"good\"]"), SB_RESULT_DUPLICATE,
               0, 1, 0, 0, 0);
    kit_expect(one_row(kit, 1, "[\"2026-01-01T00:00:00Z\",1.5,10,\"good\"]"), SB_RESULT_DUPLICATE,
               0, 1, 0, 0, 0);
}

static void beyond_the_cap_of_branches_the_answer_is_limit(void **state)
{
    struct kit *kit = *state;
    char row[64];

    for (int i = 0; i <= 16; i++) {
        snprintf(row, sizeof(row), "[\"2026-01-01T00:00:00Z\",%d,10,\"good\"]", i);
        kit_expect(one_row(kit, 1, row), SB_RESULT_STORED, 1, 0, 0, 0, 0);
    }
    kit_expect(one_row(kit, 1, "[\"2026-01-01T00:00:00Z\",17,10,\"good\"]"), SB_RESULT_RETRY, 0, 0,
               0, 0, 0);
    assert_int_equal(kit->reply.code, SB_ELIMIT);
    kit_expect(one_row(kit, 1, "[\"2026-01-01T00:00:00Z\",16,10,\"good\"]"), SB_RESULT_DUPLICATE, 0,
               1, 0, 0, 0);
    kit_expect(one_row(kit, 2, "[\"2026-01-01T00:00:00Z\",17,10,\"good\"]"), SB_RESULT_STORED, 1, 0,
               0, 0, 0);
}

static void a_bad_record_is_rejected_alone_with_code_and_column(void **state)
{
    struct kit *kit = *state;
    struct sb_reply *reply =
        kit_ask(kit, STREAM, 1, 6,
                FIELDS ",\"rows\":[[\"2026-01-01T00:00:00Z\",\"x\",10,\"good\"],"
                       "[\"2026-01-01T00:00:10Z\",2.5,-1,null],"
                       "[\"yesterday\",2.5,1,null],[null,2.5,1,null],"
                       "[\"2026-01-01T00:00:20Z\",2.5,1],[\"2026-01-01T00:00:30Z\",2.5,1,null]]");

    kit_expect(reply, SB_RESULT_STORED, 1, 0, 0, 5, 0);
    assert_int_equal(reply->rejected_count, 5);
    assert_int_equal(reply->rejected[0].code, SB_EBAD_VALUE);
    assert_string_equal(reply->rejected[0].reason, "pm2_5: not a number");
    assert_string_equal(reply->rejected[1].reason, "aqi: out of range");
    assert_string_equal(reply->rejected[2].reason, "ts: not an RFC 3339 time");
    assert_int_equal(reply->rejected[3].code, SB_EMISSING_FIELD);
    assert_string_equal(reply->rejected[4].reason, "row: 3 values for 4 fields");
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM rejections"), 5);
    kit_expect(kit_ask(kit, STREAM, 1, 1,
                       FIELDS ",\"rows\":[[\"2026-01-01T00:00:00Z\",\"x\",10,\"good\"]]"),
               SB_RESULT_REJECTED, 0, 0, 0, 1, 0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM rejections"), 5);
}

static void a_rejected_record_sent_again_is_stored_once_it_is_good(void **state)
{
    struct kit *kit = *state;
    const char row[] = "[\"2026-01-01T00:00:00Z\",\"n/a\"]";
    const char body[] = "\"fields\":[\"ts\",\"note\"],\"rows\":[%s]";
    const char again[] = "\"again\":true,\"fields\":[\"ts\",\"note\"],\"rows\":[%s]";
    const char *strict = "{\"type\":\"odd\",\"columns\":[{\"name\":\"note\",\"type\":\"number\"}]}";
    const char *wide = "{\"type\":\"odd\",\"columns\":[{\"name\":\"text\",\"type\":\"string\"}]}";

    kit_stop(kit);
    assert_int_equal(mapping_set_add(kit->mappings, sb_span_of(strict), NULL), 0);
    kit_start(kit);
    kit_expect(kit_ask(kit, "sensors/odd", 1, 1, body, row), SB_RESULT_REJECTED, 0, 0, 0, 1, 0);
    kit_expect(kit_ask(kit, "sensors/odd", 1, 1, again, row), SB_RESULT_REJECTED, 0, 0, 0, 1, 0);
    kit_stop(kit);
    mapping_set_free(kit->mappings);
    kit->mappings = mapping_set_new();
    kit_sql(kit, "DROP TABLE sensor_odd; DELETE FROM sensor_columns");
    assert_int_equal(mapping_set_add(kit->mappings, sb_span_of(wide), NULL), 0);
    kit_start(kit);
    kit_expect(kit_ask(kit, "sensors/odd", 1, 1, body, row), SB_RESULT_REJECTED, 0, 0, 0, 1, 0);
    kit_expect(kit_ask(kit, "sensors/odd", 1, 1, again, row), SB_RESULT_STORED, 1, 0, 0, 0, 0);
    kit_expect(kit_ask(kit, "sensors/odd", 1, 1, again, row), SB_RESULT_DUPLICATE, 0, 1, 0, 0, 0);
    kit_expect(kit_ask(kit, "sensors/odd", 1, 1, body, row), SB_RESULT_DUPLICATE, 0, 1, 0, 0, 0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM rejections"), 0);
    assert_int_equal(kit_count(kit, "SELECT stored = 1 AND rejected = 0 FROM streams"), 1);
}

static void dead_letters_of_two_kernel_boots_come_back_one_after_the_other(void **state)
{
    struct kit *kit = *state;
    const char row[] = "[\"2026-01-01T00:00:00Z\",\"n/a\"]";
    const char again[] =
        "\"again\":true,\"fields\":[\"ts\",\"note\"],\"rows\":[%s],\"chunks\":[{\"n\":1,%s}]";
    const char *strict = "{\"type\":\"odd\",\"columns\":[{\"name\":\"note\",\"type\":\"number\"}]}";
    struct ingest_counters counters;

    kit_stop(kit);
    assert_int_equal(mapping_set_add(kit->mappings, sb_span_of(strict), NULL), 0);
    kit_start(kit);
    kit_expect(kit_ask(kit, "sensors/odd", 1, 2,
                       "\"fields\":[\"ts\",\"note\"],\"rows\":[%s,%s],"
                       "\"chunks\":[{\"n\":1," BOOT_A "},{\"n\":1," BOOT_B "}]",
                       row, row),
               SB_RESULT_REJECTED, 0, 0, 0, 2, 0);
    kit_stop(kit);
    mapping_set_free(kit->mappings);
    kit->mappings = mapping_set_new();
    kit_sql(kit, "DROP TABLE sensor_odd; DELETE FROM sensor_columns");
    kit_start(kit);
    kit_expect(kit_ask(kit, "sensors/odd", 1, 1, again, row, BOOT_A), SB_RESULT_STORED, 1, 0, 0, 0,
               0);
    kit_expect(kit_ask(kit, "sensors/odd", 2, 2, again, row, BOOT_B), SB_RESULT_STORED, 1, 0, 0, 0,
               0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM clock_spans"), 2);
    ingest_counters(kit->ingest, &counters);
    assert_int_equal(counters.reruns, 0);
}

/* The fields are named once for all records of a batch, and may be much longer than these. */
static void what_is_kept_of_rejected_records_does_not_multiply_the_batch(void **state)
{
    enum { COUNT = 1000, BLANKS = 50000 };
    struct kit *kit = *state;
    struct sb_buf rows = {0};

    for (int i = 0; i < COUNT; i++)
        sb_buf_add_str(&rows, i > 0 ? ",[]" : "[]");
    kit_expect(kit_ask(kit, STREAM, 1, COUNT, "\"fields\":[\"ts\"%*s],\"rows\":[%s]", BLANKS, "",
                       rows.data),
               SB_RESULT_REJECTED, 0, 0, 0, COUNT, 0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM rejections"), COUNT);
    assert_in_range(kit_count(kit, "SELECT sum(coalesce(length(fields), 0)"
                                   " + coalesce(length(record), 0)) FROM rejections"),
                    BLANKS, LIMIT_REJECTED_BATCH);
    /* known again, kept or not */
    kit_expect(kit_ask(kit, STREAM, COUNT, COUNT, "\"fields\":[\"ts\"],\"rows\":[[]]"),
               SB_RESULT_REJECTED, 0, 0, 0, 1, 0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM streams"), 1);
    sb_buf_free(&rows);
}

static void the_same_values_of_another_kernel_boot_are_another_record(void **state)
{
    struct kit *kit = *state;
    const char body[] =
        FIELDS ",\"rows\":[[\"2026-01-01T00:00:00Z\",1,1,null]],\"chunks\":[{\"n\":1,"
               "%s,\"mono_ms\":5000,\"wall\":\"2026-01-01T00:00:00Z\","
               "\"quality\":\"rtc\"}]";
    const char bare[] = FIELDS ",\"rows\":[[\"2026-01-01T00:00:00Z\",1,1,null]]";

    kit_expect(kit_ask(kit, STREAM, 1, 1, body, BOOT_A), SB_RESULT_STORED, 1, 0, 0, 0, 0);
    kit_expect(kit_ask(kit, STREAM, 1, 1, body, BOOT_A), SB_RESULT_DUPLICATE, 0, 1, 0, 0, 0);
    kit_expect(kit_ask(kit, STREAM, 1, 1, "%s", bare), SB_RESULT_DUPLICATE, 0, 1, 0, 0, 0);
    kit_expect(kit_ask(kit, STREAM, 1, 1, body, BOOT_B), SB_RESULT_STORED, 1, 0, 0, 0, 0);
    kit_expect(kit_ask(kit, STREAM, 1, 1, body, BOOT_B), SB_RESULT_DUPLICATE, 0, 1, 0, 0, 0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM clock_spans"), 2);
}

static void chunks_of_one_clock_make_one_span(void **state)
{
    struct kit *kit = *state;
    const char body[] =
        FIELDS ",\"rows\":[[\"2026-01-01T00:00:00Z\",1,1,null],"
               "[\"2026-01-01T00:00:01Z\",1,1,null]],\"chunks\":[{\"n\":1," BOOT_A
               ",\"mono_ms\":5000,\"wall\":\"2026-01-01T00:00:00Z\"},{\"n\":1," BOOT_A
               ",\"mono_ms\":6000,\"wall\":\"2026-01-01T00:00:01.%d00Z\"}]";

    kit_ask(kit, STREAM, 1, 2, body, 4);
    kit_ask(kit, STREAM, 3, 4, body, 1);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM clock_spans"), 1);
    assert_int_equal(kit_count(kit, "SELECT last_seq FROM clock_spans"), 4);
    kit_restart(kit);
    kit_ask(kit, STREAM, 5, 6, body, 6);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM clock_spans"), 2);
    assert_int_equal(kit_count(kit, "SELECT last_seq FROM clock_spans WHERE first_seq = 1"), 5);
}

static void a_time_spelled_otherwise_is_the_same_time(void **state)
{
    struct kit *kit = *state;

    one_row(kit, 1, "[\"2026-01-01T08:00:00+08:00\",1,1,null]");
    kit_expect(one_row(kit, 1, "[\"2026-01-01T00:00:00Z\",1,1,null]"), SB_RESULT_DUPLICATE, 0, 1, 0,
               0, 0);
    kit_expect(one_row(kit, 1, "[\"2026-01-01T00:00:00.000Z\",1.0,1.0,null]"), SB_RESULT_DUPLICATE,
               0, 1, 0, 0, 0);
    kit_expect(one_row(kit, 1, "[\"2026-01-01T00:00:00.0000001Z\",1,1,null]"), SB_RESULT_STORED, 1,
               0, 0, 0, 0);
    assert_int_equal(kit_count(kit, "SELECT ts_text = '2026-01-01T08:00:00+08:00'"
                                    " FROM sensor_air_quality WHERE sn = 1"),
                     1);
    one_row(kit, 2, "[\"2026-01-01T00:00:00Z\",1,1,null]");
    assert_int_equal(kit_count(kit, "SELECT ts_text IS NULL FROM sensor_air_quality WHERE seq = 2"),
                     1);
}

static void numbers_come_back_as_they_were(void **state)
{
    struct kit *kit = *state;
    const char body[] = "\"fields\":[\"ts\",\"pm2_5\",\"big\",\"nested\"],\"rows\":["
                        "[\"2026-01-01T00:00:00Z\",9007199254740993,9007199254740993,{\"a\":[1]}],"
                        "[\"2026-01-01T00:00:01Z\",0.1,1e400,null],"
                        "[\"2026-01-01T00:00:02Z\",-0,-0,\"\"],"
                        "[\"2026-01-01T00:00:03Z\",18446744073709551615,0,1],"
                        "[\"2026-01-01T00:00:04Z\",1e400,0,1]]";
    struct sb_reply *reply = kit_ask(kit, STREAM, 1, 5, "%s", body);

    kit_expect(reply, SB_RESULT_STORED, 4, 0, 0, 1, 0);
    assert_string_equal(reply->rejected[0].reason, "pm2_5: beyond the range of a double");
    assert_int_equal(kit_count(kit, "SELECT pm2_5 FROM sensor_air_quality WHERE seq = 1"),
                     9007199254740993);
    assert_int_equal(kit_count(kit, "SELECT extra = '{\"big\":9007199254740993,\"nested\":"
                                    "{\"a\":[1]}}' FROM sensor_air_quality WHERE seq = 1"),
                     1);
    assert_int_equal(
        kit_count(kit, "SELECT pm2_5 = 0.1 AND typeof(pm2_5) = 'real' AND extra ="
                       " '{\"big\":1e400,\"nested\":null}' FROM sensor_air_quality WHERE seq = 2"),
        1);
    assert_int_equal(kit_count(kit, "SELECT pm2_5 = '18446744073709551615' AND typeof(pm2_5) ="
                                    " 'text' FROM sensor_air_quality WHERE seq = 4"),
                     1);
    kit_expect(kit_ask(kit, STREAM, 1, 5, "%s", body), SB_RESULT_REJECTED, 0, 4, 0, 1, 0);
    kit_expect(kit_ask(kit, STREAM, 1, 1,
                       "\"fields\":[\"ts\",\"pm2_5\",\"big\",\"nested\"],\"rows\":"
                       "[[\"2026-01-01T00:00:00Z\",9007199254740992,9007199254740993,"
                       "{\"a\":[1]}]]"),
               SB_RESULT_STORED, 1, 0, 0, 0, 0);
}

static void an_undeclared_type_is_kept_as_json_and_compared(void **state)
{
    struct kit *kit = *state;
    const char body[] =
        "\"fields\":[\"ts\",\"x\",\"y\"],\"rows\":[[\"2026-01-01T00:00:00Z\",1.0,null]]";
    const char *typed = "{\"type\":\"odd\",\"columns\":[{\"name\":\"x\",\"type\":\"number\"}]}";

    kit_expect(kit_ask(kit, "sensors/odd", 1, 1, "%s", body), SB_RESULT_STORED, 1, 0, 0, 0, 0);
    assert_int_equal(kit_count(kit, "SELECT extra = '{\"x\":1.0,\"y\":null}' FROM readings_json"),
                     1);
    kit_stop(kit);
    assert_int_equal(mapping_set_add(kit->mappings, sb_span_of(typed), NULL), 0);
    kit_start(kit);
    kit_expect(kit_ask(kit, "sensors/odd", 1, 1, "%s", body), SB_RESULT_DUPLICATE, 0, 1, 0, 0, 0);
    kit_expect(kit_ask(kit, "sensors/odd", 2, 2, "%s", body), SB_RESULT_STORED, 1, 0, 0, 0, 0);
    assert_int_equal(kit_count(kit, "SELECT x = 1 AND extra = '{\"y\":null}' FROM sensor_odd"), 1);
}

static void a_field_goes_to_the_column_that_takes_it(void **state)
{
    struct kit *kit = *state;

    kit_ask(kit, STREAM, 1, 1,
            "\"fields\":[\"ts\",\"pm25\",\"rssi\"],\"rows\":[[\"2026-01-01T00:00:00Z\",4,-70]]");
    assert_int_equal(kit_count(kit, "SELECT pm2_5 = 4 AND \"signal\" = -70 AND extra IS NULL"
                                    " FROM sensor_air_quality"),
                     1);
    kit_expect(kit_ask(kit, STREAM, 1, 1,
                       "\"fields\":[\"ts\",\"pm2_5\",\"signal\"],"
                       "\"rows\":[[\"2026-01-01T00:00:00Z\",4.0,-70]]"),
               SB_RESULT_DUPLICATE, 0, 1, 0, 0, 0);
    kit_expect(kit_ask(kit, STREAM, 2, 2,
                       "\"fields\":[\"ts\",\"pm2_5\",\"pm25\"],"
                       "\"rows\":[[\"2026-01-01T00:00:00Z\",4.0,5]]"),
               SB_RESULT_REJECTED, 0, 0, 0, 1, 0);
}

static void a_frame_that_came_twice_is_known_by_its_identity(void **state)
{
    struct kit *kit = *state;
    const char type[] = "{\"type\":\"lora\",\"identity\":[\"fcnt\",\"payload\"],\"columns\":["
                        "{\"name\":\"fcnt\",\"type\":\"number\"},{\"name\":\"payload\","
                        "\"type\":\"string\"},{\"name\":\"rssi\",\"type\":\"number\"}]}";
    const char row[] = "\"fields\":[\"ts\",\"fcnt\",\"payload\",\"rssi\"],"
                       "\"rows\":[[\"2026-01-01T00:00:0%dZ\",%s,%s,-%d]]";
    struct sb_err err;

    kit_stop(kit);
    assert_int_equal(mapping_set_add(kit->mappings, sb_span_of(type), NULL), 0);
    kit_start(kit);
    kit_expect(kit_ask(kit, "sensors/lora", 1, 1, row, 1, "7", "\"AA\"", 60), SB_RESULT_STORED, 1,
               0, 0, 0, 0);
    kit_expect(kit_ask(kit, "sensors/lora", 2, 2, row, 2, "7.0", "\"AA\"", 80), SB_RESULT_DUPLICATE,
               0, 1, 0, 0, 0);
    kit_expect(kit_ask(kit, "sensors/lora", 3, 3, row, 3, "7", "\"BB\"", 80), SB_RESULT_STORED, 1,
               0, 0, 0, 0); /* a counter that began anew */
    kit_expect(kit_ask(kit, "sensors/lora", 4, 4, row, 4, "7", "null", 80), SB_RESULT_STORED, 1, 0,
               0, 0, 0);
    kit_expect(kit_ask(kit, "sensors/lora", 5, 5, row, 5, "7", "null", 80), SB_RESULT_STORED, 1, 0,
               0, 0, 0); /* without its whole identity it is just a reading */
    kit_restart(kit);
    kit_expect(kit_ask(kit, "sensors/lora", 2, 2, row, 2, "7.0", "\"AA\"", 80), SB_RESULT_DUPLICATE,
               0, 1, 0, 0, 0);
    kit_expect(kit_ask(kit, "sensors/lora", 2, 2, row, 9, "8", "\"CC\"", 80), SB_RESULT_STORED, 1,
               0, 0, 0, 0);
    assert_int_equal(kit_count(kit, "SELECT decided = '[[1,5]]' AND stored = 4 AND duplicates = 1"
                                    " FROM streams WHERE branch = 0"),
                     1);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM dups"), 1);
    assert_int_equal(
        store_drop_record(kit->store, kit->device, kit->epoch, "sensors/lora", 0, 1, &err), 0);
    kit_expect(kit_ask(kit, "sensors/lora", 6, 6, row, 6, "7", "\"AA\"", 60), SB_RESULT_STORED, 1,
               0, 0, 0, 0);
    kit->device = "edge-002";
    kit_expect(kit_ask(kit, "sensors/lora", 1, 1, row, 1, "7", "\"AA\"", 60), SB_RESULT_STORED, 1,
               0, 0, 0, 0); /* no device decides for another */
}

static void a_row_that_retention_dropped_makes_a_repeat_unverifiable(void **state)
{
    struct kit *kit = *state;
    struct sb_reply *reply;
    struct sb_err err;

    two_rows(kit, 1);
    assert_int_equal(store_drop_record(kit->store, kit->device, kit->epoch, STREAM, 0, 1, &err), 0);
    assert_int_equal(store_drop_record(kit->store, kit->device, kit->epoch, STREAM, 0, 1, &err),
                     -SB_ENOT_FOUND);
    reply = two_rows(kit, 1);
    kit_expect(reply, SB_RESULT_REJECTED, 0, 1, 0, 1, 0);
    assert_int_equal(reply->rejected[0].code, SB_EUNVERIFIABLE);
    assert_int_equal(reply->total, 1);
    assert_int_equal(kit_count(kit, "SELECT dropped = '[[1,1]]' FROM streams"), 1);
}

static void an_undecided_number_in_a_hole_is_stored(void **state)
{
    struct kit *kit = *state;
    struct sb_reply *reply;

    kit_expect(kit_ask(kit, STREAM, 1, 5, "\"hole\":{\"reason\":\"evicted\"}"), SB_RESULT_STORED, 5,
               0, 0, 0, 0);
    kit_expect(two_rows(kit, 2), SB_RESULT_STORED, 2, 0, 0, 0, 0);
    reply = kit_ask(kit, STREAM, 1, 5, "\"hole\":{\"reason\":\"evicted\"}");
    kit_expect(reply, SB_RESULT_DUPLICATE, 0, 5, 0, 0, 0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM holes"), 1);
    assert_int_equal(kit_count(kit, "SELECT decided = '[[2,3]]' FROM streams"), 1);
}

static void two_messages_of_one_group_share_their_numbers(void **state)
{
    struct kit *kit = *state;
    const char row[] = FIELDS ",\"rows\":[[\"2026-01-01T00:00:00Z\",%d,1,null]]";

    kit_batch(kit, STREAM, 1, 1, row, 1);
    kit_batch(kit, STREAM, 1, 1, row, 1);
    kit_batch(kit, STREAM, 1, 1, row, 2);
    kit_flush(kit);
    kit_expect(kit_reply(kit), SB_RESULT_STORED, 1, 0, 0, 0, 0);
    kit_expect(kit_reply(kit), SB_RESULT_DUPLICATE, 0, 1, 0, 0, 0);
    kit_expect(kit_reply(kit), SB_RESULT_STORED, 1, 0, 0, 0, 0);
    assert_int_equal(kit->reply.commit, 1);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM sensor_air_quality"), 2);
}

static void beyond_ten_thousand_intervals_the_answer_is_limit(void **state)
{
    struct kit *kit = *state;
    struct sb_buf sql = {0};
    struct sb_reply *reply;

    two_rows(kit, 1);
    sb_buf_add_str(&sql, "UPDATE streams SET decided = '[[1,2]");
    for (int i = 1; i < 10000; i++)
        sb_buf_add_fmt(&sql, ",[%d,%d]", 10 * i, 10 * i);
    sb_buf_add_str(&sql, "]'");
    kit_sql(kit, sql.data);
    sb_buf_free(&sql);
    reply = two_rows(kit, 500000);
    kit_expect(reply, SB_RESULT_RETRY, 0, 0, 0, 0, 0);
    assert_int_equal(reply->code, SB_ELIMIT);
    kit_expect(two_rows(kit, 3), SB_RESULT_STORED, 2, 0, 0, 0, 0);
    kit_expect(two_rows(kit, 11), SB_RESULT_STORED, 2, 0, 0, 0, 0);
}

static void a_revoked_or_unknown_device_is_told_to_wait(void **state)
{
    struct kit *kit = *state;

    two_rows(kit, 1);
    kit_sql(kit, "UPDATE devices SET revoked = 1");
    kit_expect(two_rows(kit, 3), SB_RESULT_RETRY, 0, 0, 0, 0, 0);
    assert_int_equal(kit->reply.code, SB_EREVOKED);
    kit_stop(kit);
    kit->config.auto_register = false;
    kit_start(kit);
    kit->device = "edge-002";
    kit_expect(two_rows(kit, 1), SB_RESULT_RETRY, 0, 0, 0, 0, 0);
    assert_int_equal(kit->reply.code, SB_EUNAUTHORIZED);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM devices"), 1);
}

static void a_batch_of_another_boot_is_not_looked_at(void **state)
{
    struct kit *kit = *state;

    kit->boot = "01930000-0000-7000-8000-00000000dead";
    kit_expect(two_rows(kit, 1), SB_RESULT_RETRY, 0, 0, 0, 0, 0);
    assert_int_equal(kit->reply.code, SB_EHELLO);
    assert_int_equal(kit->reply.commit, 0);
    kit->boot = ingest_boot(kit->ingest);
    kit_expect(two_rows(kit, 1), SB_RESULT_STORED, 2, 0, 0, 0, 0);
}

static void classes_that_are_not_served_are_told_to_wait(void **state)
{
    struct kit *kit = *state;

    kit_expect(kit_ask(kit, "library/user-1", 1, 1, "\"records\":[{\"op_id\":\"a\"}]"),
               SB_RESULT_RETRY, 0, 0, 0, 0, 0);
    assert_int_equal(kit->reply.code, SB_EUNKNOWN_TABLE);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(new_readings_are_stored_and_answered),
        CASE(a_repeat_is_a_duplicate_whole_or_overlapping),
        CASE(other_content_goes_into_a_branch_and_is_known_there),
        CASE(beyond_the_cap_of_branches_the_answer_is_limit),
        CASE(a_bad_record_is_rejected_alone_with_code_and_column),
        CASE(a_rejected_record_sent_again_is_stored_once_it_is_good),
        CASE(dead_letters_of_two_kernel_boots_come_back_one_after_the_other),
        CASE(what_is_kept_of_rejected_records_does_not_multiply_the_batch),
        CASE(the_same_values_of_another_kernel_boot_are_another_record),
        CASE(chunks_of_one_clock_make_one_span),
        CASE(a_time_spelled_otherwise_is_the_same_time),
        CASE(numbers_come_back_as_they_were),
        CASE(an_undeclared_type_is_kept_as_json_and_compared),
        CASE(a_field_goes_to_the_column_that_takes_it),
        CASE(a_frame_that_came_twice_is_known_by_its_identity),
        CASE(a_row_that_retention_dropped_makes_a_repeat_unverifiable),
        CASE(an_undecided_number_in_a_hole_is_stored),
        CASE(two_messages_of_one_group_share_their_numbers),
        CASE(beyond_ten_thousand_intervals_the_answer_is_limit),
        CASE(a_revoked_or_unknown_device_is_told_to_wait),
        CASE(a_batch_of_another_boot_is_not_looked_at),
        CASE(classes_that_are_not_served_are_told_to_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
