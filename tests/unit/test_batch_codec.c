/* Batches: what is encoded is decoded again, every member that is wrong is named with its code, and
 * what can be read of a bad one is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/envelope.h"

#define ID    "0190a6c2-7b1e-7cc3-98c4-dc0c0c07398f"
#define EPOCH "00112233445566ff"
#define HEAD(stream, first, last)                                                                  \
    "{\"v\":1,\"batch_id\":\"" ID "\",\"device\":\"edge-001\",\"epoch\":\"" EPOCH                  \
    "\",\"stream\":\"" stream "\",\"first_seq\":" first ",\"last_seq\":" last
#define SENSORS(first, last) HEAD("sensors/air_quality", first, last)
#define FIELDS               ",\"fields\":[\"ts\",\"pm2_5\"]"
#define ROW                  "[\"2026-01-02T03:04:05Z\",2.5]"

static struct sb_batch_decoder *decoder;
static struct sb_batch batch;
static char *copy; /* of exactly the size of the text */

static int setup(void **state)
{
    (void)state;
    decoder = sb_batch_decoder_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sb_batch_decoder_free(decoder);
    sb_batch_decoder_free(NULL);
    free(copy);
    return 0;
}

static int decode_len(const char *text, size_t len, struct sb_err *err)
{
    free(copy);
    copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    if (len > 0)
        memcpy(copy, text, len);
    return sb_batch_decode(decoder, (struct sb_span){copy, len}, 1000, &batch, err);
}

static void decodes(const char *text)
{
    struct sb_err err;

    if (decode_len(text, strlen(text), &err) != 0)
        fail_msg("%s: %s: %s", text, sb_code_name(err.code), err.msg);
}

static void refuses(const char *text, enum sb_code code, const char *part)
{
    struct sb_err err = {0};

    if (decode_len(text, strlen(text), &err) != -(int)code)
        fail_msg("%s: not %s but %s: %s", text, sb_code_name(code), sb_code_name(err.code),
                 err.msg);
    if (strstr(err.msg, part) == NULL)
        fail_msg("%s: \"%s\" is not in \"%s\"", text, part, err.msg);
}

static void rows_are_taken_apart(void **state)
{
    (void)state;
    decodes(SENSORS(
        "101", "103") ",\"made\":160,\"boot\":\"b-1\",\"sent_at\":"
                      "\"2026-01-02T03:04:05Z\",\"fields\":[\"ts\",\"pm2_5\",\"level\"],\"rows\":"
                      "[[\"2026-01-02T03:04:05Z\",2.5,\"good\"], [ null , 18446744073709551615 , "
                      "{\"a\":[1]} ]"
                      ",[\"x\",true]],\"chunks\":[{\"n\":2,\"device_boot\":\"" ID
                      "\",\"mono_ms\":123456,"
                      "\"wall\":\"2026-01-02T03:04:05.250Z\",\"quality\":\"ntp\"},{\"n\":1}]}");
    assert_string_equal(batch.batch_id, ID);
    assert_string_equal(batch.device, "edge-001");
    assert_string_equal(batch.boot, "b-1");
    assert_string_equal(batch.epoch, EPOCH);
    assert_int_equal(batch.stream.class, SB_UP_SENSORS);
    assert_string_equal(batch.stream.name, "air_quality");
    assert_int_equal(batch.first_seq, 101);
    assert_int_equal(batch.last_seq, 103);
    assert_int_equal(batch.made, 160);
    assert_false(batch.again);
    assert_int_equal(batch.form, SB_FORM_ROWS);
    assert_int_equal(batch.field_count, 3);
    assert_true(sb_span_is(batch.field_names[2], "level"));
    assert_true(sb_span_is(batch.fields, "[\"ts\",\"pm2_5\",\"level\"]"));
    assert_int_equal(batch.record_count, 3);
    assert_int_equal(batch.records[0].cell_count, 3);
    assert_true(sb_span_is(batch.cells[0].text, "\"2026-01-02T03:04:05Z\""));
    assert_true(sb_span_is(batch.cells[1].text, "2.5"));
    assert_int_equal(batch.cells[2].type, SB_JSON_STRING);
    assert_int_equal(batch.records[1].first_cell, 3);
    assert_int_equal(batch.cells[3].type, SB_JSON_NULL);
    assert_true(sb_span_is(batch.cells[4].text, "18446744073709551615"));
    assert_int_equal(batch.cells[5].type, SB_JSON_OBJECT);
    assert_true(sb_span_is(batch.cells[5].text, "{\"a\":[1]}"));
    assert_int_equal(batch.records[2].cell_count, 2);
    assert_true(sb_span_is(batch.records[2].text, "[\"x\",true]"));
    assert_int_equal(batch.chunk_count, 2);
    assert_int_equal(batch.chunks[0].n, 2);
    assert_true(batch.chunks[0].has_times);
    assert_int_equal(batch.chunks[0].mono_ms, 123456);
    assert_int_equal(batch.chunks[0].wall_us, 1767323045250000);
    assert_int_equal(batch.chunks[0].quality, SB_CLOCK_NTP);
    assert_string_equal(batch.chunks[0].device_boot, ID);
    assert_false(batch.chunks[1].has_times);
    assert_string_equal(batch.chunks[1].device_boot, "");
}

static void members_come_in_any_order_with_white_space(void **state)
{
    (void)state;
    decodes("\n{ \"rows\" : [ " ROW " ] , \"fut\\u0075re\" : [{\"rows\":[1]}] , "
            "\"fields\" : [ \"ts\" , \"pm2_5\" ] ,\"last_seq\":7,\"first_seq\":7, "
            "\"stream\":\"sensors/air_qu\\u0061lity\",\"epoch\":\"" EPOCH "\",\"d\\u0065vice\""
            ":\"edge-001\",\"batch_id\":\"" ID "\",\"kind\":\"batch\",\"v\":1}\t");
    assert_string_equal(batch.stream.name, "air_quality");
    assert_string_equal(batch.device, "edge-001");
    assert_string_equal(batch.boot, "");
    assert_int_equal(batch.made, 7);
    assert_int_equal(batch.record_count, 1);
    assert_int_equal(batch.chunk_count, 0);
}

static void records_keep_their_text(void **state)
{
    const char *record = "{ \"op_id\":\"a\", \"settings\" : {\"n\":9007199254740993, \"e\":1.0} }";
    char text[1024];

    (void)state;
    snprintf(text, sizeof(text), "%s,\"again\":true,\"records\":[ %s ]}",
             HEAD("settings/user-123", "5", "5"), record);
    decodes(text);
    assert_true(batch.again);
    assert_int_equal(batch.form, SB_FORM_RECORDS);
    assert_int_equal(batch.stream.class, SB_UP_SETTINGS);
    assert_int_equal(batch.record_count, 1);
    assert_int_equal(batch.records[0].type, SB_JSON_OBJECT);
    assert_true(sb_span_is(batch.records[0].text, record));
}

static void a_bad_record_does_not_fail_the_batch(void **state)
{
    (void)state;
    decodes(SENSORS("1", "5") FIELDS ",\"rows\":[" ROW ",7,{\"a\":[]},[],null]}");
    assert_int_equal(batch.record_count, 5);
    assert_int_equal(batch.records[1].type, SB_JSON_NUMBER);
    assert_int_equal(batch.records[2].type, SB_JSON_OBJECT);
    assert_int_equal(batch.records[3].type, SB_JSON_ARRAY);
    assert_int_equal(batch.records[3].cell_count, 0);
    assert_int_equal(batch.records[4].type, SB_JSON_NULL);
    decodes(HEAD("history/u", "1", "2") ",\"records\":[[],\"x\"]}");
    assert_int_equal(batch.records[0].type, SB_JSON_ARRAY);
    assert_int_equal(batch.records[0].cell_count, 0);
}

static void holes_are_read(void **state)
{
    (void)state;
    decodes(
        SENSORS("1", "9007199254740990") ",\"hole\":{\"reason\":\"evicted\",\"ts_from\":\"2026-01-"
                                         "02T03:04:05Z\",\"ts_to\":"
                                         "\"2026-01-02T04:04:05Z\",\"summary\":{\"count\":10}}}");
    assert_int_equal(batch.form, SB_FORM_HOLE);
    assert_int_equal(batch.reason, SB_HOLE_EVICTED);
    assert_int_equal(batch.op_count, 0);
    assert_int_equal(batch.last_seq, SB_SEQ_MAX);
    assert_true(sb_span_is(batch.ts_from, "\"2026-01-02T03:04:05Z\""));
    assert_true(sb_span_is(batch.summary, "{\"count\":10}"));
    decodes(HEAD("settings/u", "5",
                 "7") ",\"hole\":{\"reason\":\"dead\",\"ops\":[\"op-a\",null,\"op-\\u0063\"]}}");
    assert_int_equal(batch.op_count, 3);
    assert_true(sb_span_is(batch.ops[0], "\"op-a\""));
    assert_int_equal(batch.ops[1].len, 0);
    assert_true(sb_json_string_is(batch.ops[2], "op-c"));
    decodes(HEAD("settings/u", "5", "700000") ",\"hole\":{\"reason\":\"purged\"}}");
    assert_int_equal(batch.op_count, 0);
    assert_int_equal(batch.summary.len, 0);
    decodes(
        HEAD("history/u", "5", "7") ",\"hole\":{\"reason\":\"lost\",\"ops\":[],\"ts_to\":null}}");
    assert_int_equal(batch.ts_to.len, 0);
}

static void bad_holes_are_refused(void **state)
{
    (void)state;
    refuses(SENSORS("1", "2") ",\"hole\":[]}", SB_EBAD_TYPE, "hole: not an object");
    refuses(SENSORS("1", "2") ",\"hole\":{}}", SB_EMISSING_FIELD, "hole: reason");
    refuses(SENSORS("1", "2") ",\"hole\":{\"reason\":\"tired\"}}", SB_EBAD_VALUE, "hole: reason");
    refuses(SENSORS("1", "2") ",\"hole\":{\"reason\":1}}", SB_EBAD_TYPE, "hole: reason");
    refuses(SENSORS("1", "2") ",\"hole\":{\"reason\":\"dead\",\"ops\":[\"a\"]}}", SB_EBAD_VALUE,
            "hole: ops");
    refuses(SENSORS("1", "2") ",\"hole\":{\"reason\":\"dead\",\"ts_from\":\"now\"}}", SB_EBAD_VALUE,
            "hole: ts_from");
    refuses(SENSORS("1", "2") ",\"hole\":{\"reason\":\"dead\",\"ts_to\":7}}", SB_EBAD_TYPE,
            "hole: ts_to");
    refuses(SENSORS("1", "2") ",\"hole\":{\"reason\":\"dead\",\"summary\":7}}", SB_EBAD_TYPE,
            "hole: summary");
    refuses(SENSORS("1", "1") ",\"again\":true,\"hole\":{\"reason\":\"dead\"}}", SB_EBAD_VALUE,
            "again");
    refuses(HEAD("settings/u", "1", "2") ",\"hole\":{\"reason\":\"dead\"}}", SB_EMISSING_FIELD,
            "hole: ops");
    refuses(HEAD("settings/u", "1", "2") ",\"hole\":{\"reason\":\"dead\",\"ops\":[\"a\"]}}",
            SB_EBAD_VALUE, "hole: ops");
    refuses(
        HEAD("settings/u", "1", "2") ",\"hole\":{\"reason\":\"dead\",\"ops\":[\"a\",\"b\",\"c\"]}}",
        SB_EBAD_VALUE, "hole: ops");
    refuses(HEAD("settings/u", "1", "2") ",\"hole\":{\"reason\":\"dead\",\"ops\":[\"a\",2]}}",
            SB_EBAD_TYPE, "hole: ops: element 1");
    refuses(HEAD("settings/u", "1", "2") ",\"hole\":{\"reason\":\"dead\",\"ops\":[\"\",null]}}",
            SB_EBAD_ID, "hole: ops: element 0");
    refuses(HEAD("settings/u", "1", "1001") ",\"hole\":{\"reason\":\"dead\",\"ops\":[]}}",
            SB_ELIMIT, "hole: ops");
    refuses(HEAD("settings/u", "1", "2") ",\"hole\":{\"reason\":\"purged\",\"ops\":[\"a\",\"b\"]}}",
            SB_EBAD_VALUE, "hole: ops");
}

/* The whole batch with one member changed to text, or left out. */
static const char *with(const char *member, const char *value)
{
    static const char *const members[][2] = {
        {"v", "1"},
        {"batch_id", "\"" ID "\""},
        {"device", "\"edge-001\""},
        {"boot", "\"b-1\""},
        {"epoch", "\"" EPOCH "\""},
        {"stream", "\"sensors/air_quality\""},
        {"first_seq", "101"},
        {"last_seq", "102"},
        {"made", "160"},
        {"sent_at", "\"2026-01-02T03:04:05Z\""},
        {"kind", "\"batch\""},
        {"fields", "[\"ts\",\"pm2_5\"]"},
        {"rows", "[" ROW "," ROW "]"},
        {"chunks", "[{\"n\":2}]"},
        {"again", "false"},
    };
    static char text[4096];
    size_t len = 0;

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        const char *here = strcmp(members[i][0], member) == 0 ? value : members[i][1];

        if (here != NULL)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%c\"%s\":%s",
                                    len > 0 ? ',' : '{', members[i][0], here);
    }
    snprintf(text + len, sizeof(text) - len, "}");
    return text;
}

static void members_that_may_be_missing_or_null(void **state)
{
    static const char *const optional[] = {"boot", "made", "sent_at", "kind", "chunks", "again"};

    (void)state;
    decodes(with("", NULL));
    for (size_t i = 0; i < sizeof(optional) / sizeof(optional[0]); i++) {
        decodes(with(optional[i], NULL));
        decodes(with(optional[i], "null"));
    }
    decodes(with("chunks", "[]"));
}

static void members_that_must_be_there_are_named(void **state)
{
    static const char *const required[] = {"v",      "batch_id",  "device",   "epoch",
                                           "stream", "first_seq", "last_seq", "fields"};

    (void)state;
    for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
        refuses(with(required[i], NULL), SB_EMISSING_FIELD, required[i]);
        refuses(with(required[i], "null"), i == 0 ? SB_EBAD_VERSION : SB_EBAD_TYPE, required[i]);
        refuses(with(required[i], "{}"), i == 0 ? SB_EBAD_VERSION : SB_EBAD_TYPE, required[i]);
    }
    refuses(with("rows", NULL), SB_EMISSING_FIELD, "rows");
    refuses(with("rows", "null"), SB_EBAD_TYPE, "rows");
    refuses(with("rows", "{}"), SB_EBAD_TYPE, "rows");
}

static void wrong_ids_are_refused(void **state)
{
    (void)state;
    refuses(with("batch_id", "\"x\""), SB_EBAD_ID, "batch_id");
    refuses(with("batch_id", "\"0190A6C2-7b1e-7cc3-98c4-dc0c0c07398f\""), SB_EBAD_ID, "batch_id");
    refuses(with("batch_id", "\"" ID "0\""), SB_EBAD_ID, "batch_id");
    refuses(with("device", "\"\""), SB_EBAD_ID, "device");
    refuses(with("device", "\"_op\""), SB_EBAD_ID, "device");
    refuses(with("device", "\"a/b\""), SB_EBAD_ID, "device");
    refuses(with("device", "\"a.b\""), SB_EBAD_ID, "device");
    refuses(with("device", "\"a\xef\xbc\x8f"
                           "b\""),
            SB_EBAD_ID, "device");
    refuses(with("device", "\"1234567890123456789012345678901234567890123456789012345678901234x\""),
            SB_EBAD_ID, "device");
    refuses(with("epoch", "\"00112233445566FF\""), SB_EBAD_ID, "epoch");
    refuses(with("epoch", "\"0011\""), SB_EBAD_ID, "epoch");
    refuses(with("boot", "\"a b\""), SB_EBAD_ID, "boot");
    refuses(with("boot", "\"\""), SB_EBAD_ID, "boot");
    refuses(with("boot", "1"), SB_EBAD_TYPE, "boot");
    refuses(with("stream", "\"sensors\""), SB_EBAD_STREAM, "stream");
    refuses(with("stream", "\"ctl/x\""), SB_EBAD_STREAM, "stream");
    refuses(with("stream", "\"sensors/a/b\""), SB_EBAD_STREAM, "stream");
    refuses(with("stream", "\"\""), SB_EBAD_STREAM, "stream");
    refuses(with("stream", "\"history/a.b\""), SB_EBAD_ID, "stream: user id");
    refuses(with("stream", "\"sensors/\""), SB_EBAD_ID, "stream: sensor type");
}

static void wrong_numbers_are_refused(void **state)
{
    (void)state;
    refuses(with("first_seq", "0"), SB_EBAD_SEQ, "first_seq");
    refuses(with("first_seq", "-1"), SB_EBAD_SEQ, "first_seq");
    refuses(with("first_seq", "1.0"), SB_EBAD_SEQ, "first_seq");
    refuses(with("first_seq", "1e2"), SB_EBAD_SEQ, "first_seq");
    refuses(with("first_seq", "\"101\""), SB_EBAD_TYPE, "first_seq");
    refuses(with("first_seq", "103"), SB_EBAD_SEQ, "last_seq");
    refuses(with("last_seq", "9007199254740991"), SB_EBAD_SEQ, "last_seq");
    refuses(with("last_seq", "18446744073709551616"), SB_EBAD_SEQ, "last_seq");
    refuses(with("last_seq", "101"), SB_EBAD_SEQ, "rows: 2, but first_seq to last_seq are 1");
    refuses(with("last_seq", "9007199254740990"), SB_EBAD_SEQ, "made");
    refuses(with("made", "101"), SB_EBAD_SEQ, "made");
    refuses(with("made", "true"), SB_EBAD_TYPE, "made");
    refuses(with("v", "2"), SB_EBAD_VERSION, "v:");
    refuses(with("v", "1.0"), SB_EBAD_VERSION, "v:");
    refuses(with("v", "\"1\""), SB_EBAD_VERSION, "v:");
    refuses(with("kind", "\"ack\""), SB_EBAD_VALUE, "kind");
    refuses(with("sent_at", "\"yesterday\""), SB_EBAD_VALUE, "sent_at");
    refuses(with("sent_at", "5"), SB_EBAD_TYPE, "sent_at");
    refuses(with("again", "1"), SB_EBAD_TYPE, "again");
    refuses(with("again", "true"), SB_EBAD_VALUE, "again");
}

static void wrong_fields_and_chunks_are_refused(void **state)
{
    struct sb_buf many = {0};

    (void)state;
    refuses(with("fields", "[]"), SB_EMISSING_FIELD, "fields: the first is not ts");
    refuses(with("fields", "[\"pm2_5\",\"ts\"]"), SB_EMISSING_FIELD, "fields");
    refuses(with("fields", "[\"ts\",7]"), SB_EBAD_TYPE, "fields: element 1");
    refuses(with("fields", "[\"ts\",\"ts\"]"), SB_EDUPLICATE_KEY, "fields: ts");
    refuses(with("fields", "[\"ts\",\"a b\"]"), SB_EBAD_ID, "fields: element 1");
    refuses(with("fields", "[\"ts\",\"\\u0061\"]"), SB_EBAD_ID, "fields: element 1");
    refuses(with("fields", "[\"ts\",\"\"]"), SB_EBAD_ID, "fields: element 1");
    sb_buf_add_str(&many, "[\"ts\"");
    for (int i = 1; i < SB_FIELDS_MAX; i++)
        sb_buf_add_fmt(&many, ",\"f%d\"", i);
    sb_buf_add_str(&many, "]");
    decodes(with("fields", many.data));
    many.data[many.len - 1] = ',';
    sb_buf_add_str(&many, "\"more\"]");
    refuses(with("fields", many.data), SB_EBAD_VALUE, "fields: more than 64");
    sb_buf_free(&many);

    refuses(with("chunks", "{}"), SB_EBAD_TYPE, "chunks");
    refuses(with("chunks", "[7]"), SB_EBAD_TYPE, "chunks: element 0");
    refuses(with("chunks", "[{}]"), SB_EMISSING_FIELD, "chunks: element 0: n");
    refuses(with("chunks", "[{\"n\":1}]"), SB_EBAD_VALUE, "less");
    refuses(with("chunks", "[{\"n\":3}]"), SB_EBAD_VALUE, "chunks: element 0: n");
    refuses(with("chunks", "[{\"n\":0},{\"n\":2}]"), SB_EBAD_VALUE, "chunks: element 0: n");
    refuses(with("chunks", "[{\"n\":2},{\"n\":1}]"), SB_EBAD_VALUE, "chunks: element 1: their n");
    refuses(with("chunks", "[{\"n\":18446744073709551615},{\"n\":3}]"), SB_EBAD_VALUE, "chunks");
    refuses(with("chunks", "[{\"n\":2,\"device_boot\":7}]"), SB_EBAD_TYPE, "device_boot");
    refuses(with("chunks", "[{\"n\":2,\"quality\":7}]"), SB_EBAD_TYPE, "quality");
    refuses(with("chunks", "[{\"n\":2,\"mono_ms\":-1,\"wall\":\"2026-01-02T03:04:05Z\"}]"),
            SB_EBAD_VALUE, "mono_ms");
    refuses(with("chunks", "[{\"n\":2,\"mono_ms\":1,\"wall\":\"later\"}]"), SB_EBAD_VALUE, "wall");
    decodes(with("chunks", "[{\"n\":1,\"mono_ms\":1},{\"n\":1,\"wall\":\"2026-01-02T03:04:05Z\","
                           "\"mono_ms\":0,\"quality\":\"gps\"}]"));
    assert_false(batch.chunks[0].has_times);
    assert_int_equal(batch.chunks[1].quality, SB_CLOCK_UNKNOWN);
}

static void the_form_must_be_that_of_the_stream(void **state)
{
    (void)state;
    refuses(HEAD("history/u", "1", "1") FIELDS ",\"rows\":[" ROW "]}", SB_EBAD_VALUE, "rows");
    refuses(SENSORS("1", "1") FIELDS ",\"records\":[{}]}", SB_EBAD_VALUE, "records");
    refuses(SENSORS("1", "1") FIELDS ",\"rows\":[" ROW "],\"records\":[{}]}", SB_EBAD_VALUE,
            "more than one");
    refuses(SENSORS("1", "1") FIELDS ",\"rows\":[" ROW "],\"hole\":{}}", SB_EBAD_VALUE,
            "more than one");
    refuses(SENSORS("1", "1") FIELDS "}", SB_EMISSING_FIELD, "rows");
    refuses(HEAD("history/u", "1", "1") "}", SB_EMISSING_FIELD, "records");
}

static void more_records_than_allowed_is_a_limit_to_split_at(void **state)
{
    struct sb_buf text = {0};
    struct sb_err err;

    (void)state;
    sb_buf_add_str(&text, SENSORS("1", "1001") FIELDS ",\"rows\":[" ROW);
    for (int i = 0; i < 1000; i++)
        sb_buf_add_str(&text, "," ROW);
    sb_buf_add_str(&text, "]}");
    assert_int_equal(decode_len(text.data, text.len, &err), -SB_ELIMIT);
    assert_non_null(strstr(err.msg, "rows: 1001"));
    assert_string_equal(batch.batch_id, ID);
    assert_int_equal(sb_batch_decode(decoder, sb_buf_span(&text), 1001, &batch, &err), 0);
    assert_int_equal(batch.record_count, 1001);
    assert_int_equal(batch.records[1000].first_cell, 2000);
    sb_buf_free(&text);
}

static void what_can_be_read_of_a_bad_batch_is_read(void **state)
{
    (void)state;
    refuses(with("v", "2"), SB_EBAD_VERSION, "v:");
    assert_string_equal(batch.batch_id, ID);
    assert_string_equal(batch.device, "edge-001");
    assert_string_equal(batch.stream.name, "air_quality");
    refuses(with("device", "7"), SB_EBAD_TYPE, "device");
    assert_string_equal(batch.batch_id, ID);
    assert_string_equal(batch.device, "");
    assert_string_equal(batch.stream.name, "air_quality");
    refuses(with("batch_id", "7"), SB_EBAD_TYPE, "batch_id");
    assert_string_equal(batch.batch_id, "");
    assert_string_equal(batch.device, "edge-001");
    refuses(SENSORS("1", "1") ",\"rows\":[[1,2],[", SB_EBAD_JSON, "at byte");
    assert_string_equal(batch.batch_id, ID);
    assert_string_equal(batch.device, "edge-001");
    assert_string_equal(batch.stream.name, "air_quality");
    refuses("{\"batch_id\":\"" ID "\",\"device\":\"edge\\u00", SB_EBAD_JSON, "at byte");
    assert_string_equal(batch.batch_id, ID);
    assert_string_equal(batch.device, "");
}

static void what_is_no_object_is_refused(void **state)
{
    (void)state;
    refuses("", SB_EBAD_JSON, "at byte 0");
    refuses("[]", SB_EBAD_TYPE, "not an object");
    refuses("7", SB_EBAD_TYPE, "not an object");
    refuses("{}", SB_EMISSING_FIELD, "v: missing");
    refuses("{}x", SB_EBAD_JSON, "at byte 2");
    refuses("[1,", SB_EBAD_JSON, "at byte 3");
    refuses("{\"v\":1,\"v\":1}", SB_EDUPLICATE_KEY, "\"v\"");
    refuses(SENSORS("1", "1") FIELDS ",\"rows\":[[{\"a\":1,\"a\":2}]]}", SB_EDUPLICATE_KEY,
            "\"a\"");
    refuses(SENSORS("1", "1") FIELDS ",\"rows\":[[\"\xff\"]]}", SB_EBAD_UTF8, "at byte");
    refuses(SENSORS("1", "1") FIELDS
            ",\"rows\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]"
            "]]]]]]]]]]]]]]}",
            SB_ETOO_DEEP, "at byte");
}

static void a_batch_of_rows_survives_the_way_there_and_back(void **state)
{
    struct sb_batch head = {.batch_id = ID,
                            .device = "edge-001",
                            .boot = "b-1",
                            .epoch = EPOCH,
                            .stream = {SB_UP_SENSORS, "system"},
                            .first_seq = 3,
                            .last_seq = 5,
                            .made = 9};
    struct sb_chunk chunks[] = {{.n = 1,
                                 .device_boot = ID,
                                 .has_times = true,
                                 .mono_ms = 77,
                                 .wall_us = 1500,
                                 .quality = SB_CLOCK_RTC},
                                {.n = 2}};
    struct sb_buf text = {0};

    (void)state;
    sb_batch_begin(&text, &head, 1767323045000000);
    sb_batch_end_rows(&text, SB_SPAN("[\"ts\",\"x\"]"), SB_SPAN("[\"a\",1],[\"b\",2],[\"c\",3]"),
                      chunks, 2);
    decodes(text.data);
    assert_string_equal(batch.batch_id, head.batch_id);
    assert_string_equal(batch.boot, "b-1");
    assert_int_equal(batch.made, 9);
    assert_int_equal(batch.record_count, 3);
    assert_int_equal(batch.chunk_count, 2);
    assert_memory_equal(&batch.chunks[0], &chunks[0], sizeof(chunks[0]));
    assert_memory_equal(&batch.chunks[1], &chunks[1], sizeof(chunks[1]));
    sb_buf_clear(&text);
    head.boot[0] = '\0';
    head.again = true;
    head.first_seq = head.last_seq = 4;
    sb_batch_begin(&text, &head, 0);
    sb_batch_end_rows(&text, SB_SPAN("[\"ts\"]"), SB_SPAN("[\"a\"]"), NULL, 0);
    decodes(text.data);
    assert_true(batch.again);
    assert_string_equal(batch.boot, "");
    assert_int_equal(batch.chunk_count, 0);
    sb_buf_free(&text);
}

static void records_and_holes_survive_the_way_there_and_back(void **state)
{
    struct sb_batch head = {.batch_id = ID,
                            .device = "e",
                            .epoch = EPOCH,
                            .stream = {SB_UP_SETTINGS, "u"},
                            .first_seq = 1,
                            .last_seq = 2,
                            .made = 2};
    struct sb_span ops[] = {SB_SPAN("a\"\\\n\xc3\xa9"), {NULL, 0}};
    struct sb_buf text = {0}, op = {0};

    (void)state;
    sb_batch_begin(&text, &head, 0);
    sb_batch_end_records(&text, SB_SPAN("{\"a\":1.0},{}"));
    decodes(text.data);
    assert_int_equal(batch.record_count, 2);
    assert_true(sb_span_is(batch.records[0].text, "{\"a\":1.0}"));
    for (int reason = SB_HOLE_EVICTED; reason <= SB_HOLE_LOST; reason++) {
        bool named = reason != SB_HOLE_PURGED;

        sb_buf_clear(&text);
        sb_batch_begin(&text, &head, 0);
        sb_batch_end_hole(&text, (enum sb_hole_reason)reason, ops, named ? 2 : 0,
                          SB_SPAN("{\"n\":1}"));
        decodes(text.data);
        assert_int_equal(batch.reason, reason);
        assert_int_equal(batch.op_count, named ? 2 : 0);
        assert_true(sb_span_is(batch.summary, "{\"n\":1}"));
        if (!named)
            continue;
        sb_buf_clear(&op);
        sb_json_unescape(batch.ops[0], &op);
        assert_true(sb_span_eq(sb_buf_span(&op), ops[0]));
        assert_int_equal(batch.ops[1].len, 0);
    }
    sb_buf_free(&text);
    sb_buf_free(&op);
}

static void slice(const char *joined, uint64_t skip, uint64_t take, const char *expected)
{
    struct sb_span text = sb_span_of(joined), part;

    if (sb_records_slice(text, skip, take, &part) != (expected != NULL))
        fail_msg("%s: %d, %d", joined, (int)skip, (int)take);
    if (expected != NULL && !sb_span_is(part, expected))
        fail_msg("%s: %d, %d: \"" SB_SPAN_FMT "\"", joined, (int)skip, (int)take,
                 SB_SPAN_ARG(part));
}

static void parts_of_joined_records_are_cut_out(void **state)
{
    const char *rows = "[\"a,]\",1],{\"b\":[2,{}]} , 3,\"\\\"\",[ ]";

    (void)state;
    slice(rows, 0, 5, rows);
    slice(rows, 0, 1, "[\"a,]\",1]");
    slice(rows, 1, 1, "{\"b\":[2,{}]}");
    slice(rows, 1, 2, "{\"b\":[2,{}]} , 3");
    slice(rows, 3, 2, "\"\\\"\",[ ]");
    slice(rows, 4, 1, "[ ]");
    slice(rows, 5, 0, "");
    slice(rows, 2, 0, "");
    slice(rows, 4, 2, NULL);
    slice(rows, 5, 1, NULL);
    slice(rows, 6, 0, NULL);
    slice("", 0, 0, "");
    slice("", 0, 1, NULL);
    slice(" ", 0, 1, NULL);
    slice("7", 0, 1, "7");
    slice(rows, 0, UINT64_MAX, NULL);
}

static void the_decoder_can_be_used_again_and_again(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        rows_are_taken_apart(state);
        refuses("{\"rows\":[[1", SB_EBAD_JSON, "at byte");
        holes_are_read(state);
        records_keep_their_text(state);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_taken_apart),
        cmocka_unit_test(members_come_in_any_order_with_white_space),
        cmocka_unit_test(records_keep_their_text),
        cmocka_unit_test(a_bad_record_does_not_fail_the_batch),
        cmocka_unit_test(holes_are_read),
        cmocka_unit_test(bad_holes_are_refused),
        cmocka_unit_test(members_that_may_be_missing_or_null),
        cmocka_unit_test(members_that_must_be_there_are_named),
        cmocka_unit_test(wrong_ids_are_refused),
        cmocka_unit_test(wrong_numbers_are_refused),
        cmocka_unit_test(wrong_fields_and_chunks_are_refused),
        cmocka_unit_test(the_form_must_be_that_of_the_stream),
        cmocka_unit_test(more_records_than_allowed_is_a_limit_to_split_at),
        cmocka_unit_test(what_can_be_read_of_a_bad_batch_is_read),
        cmocka_unit_test(what_is_no_object_is_refused),
        cmocka_unit_test(a_batch_of_rows_survives_the_way_there_and_back),
        cmocka_unit_test(records_and_holes_survive_the_way_there_and_back),
        cmocka_unit_test(parts_of_joined_records_are_cut_out),
        cmocka_unit_test(the_decoder_can_be_used_again_and_again),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
