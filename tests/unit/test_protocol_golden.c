/* The worked examples of common/PROTOCOL.md: each is decoded, its values are looked at, and
 * encoding gives an equal JSON value again. And the table of codes there is that of err.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/envelope.h"
#include "common/gzip.h"
#include "common/hello.h"
#include "common/notify.h"
#include "common/reply.h"
#include "common/request_conflicts.h"
#include "common/request_documents.h"
#include "golden_kit.h"

#define BOOT     "019b7c0e-1111-7abc-8def-000000000001"
#define EPOCH    "5f1d9c02a7b3e446"
#define EQ(a, b) assert_string_equal(a, b)

static const struct sb_json_limits limits = {SB_PAYLOAD_MAX_BYTES, SB_JSON_MAX_DEPTH,
                                             SB_JSON_MAX_NODES};

static struct sb_span value_of(struct sb_span text)
{
    struct sb_span value;

    assert_int_equal(sb_json_check(text, &limits, &value, NULL), 0);
    return value;
}

static void same_value(struct sb_span expected, struct sb_span actual)
{
    if (!sb_json_equal(value_of(expected), value_of(actual)))
        fail_msg("not equal:\n" SB_SPAN_FMT "\n" SB_SPAN_FMT, SB_SPAN_ARG(expected),
                 SB_SPAN_ARG(actual));
}

static int64_t time_of(const char *text)
{
    int64_t us;

    assert_true(sb_time_parse(sb_span_of(text), &us));
    return us;
}

/* ---- batches ---- */

static struct sb_batch_decoder *decoder;

static struct sb_batch batch_of(const char *name)
{
    struct sb_batch batch;
    struct sb_err err;

    decoder = sb_batch_decoder_new();
    if (sb_batch_decode(decoder, golden_example(name), SB_BATCH_MAX_RECORDS, &batch, &err) != 0)
        fail_msg("%s: %s: %s", name, sb_code_name(err.code), err.msg);
    EQ(batch.device, "edge-001");
    EQ(batch.boot, BOOT);
    EQ(batch.epoch, EPOCH);
    return batch;
}

static void encode_again(const char *name, const struct sb_batch *batch)
{
    struct sb_buf out = {0}, body = {0}, ops[16] = {{0}};
    struct sb_span sent_at, op_texts[16] = {{0}};
    char time[SB_TIME_TEXT];

    assert_true(sb_json_get(value_of(golden_example(name)), "sent_at", &sent_at));
    snprintf(time, sizeof(time), "%.*s", (int)sent_at.len - 2, sent_at.data + 1);
    sb_batch_begin(&out, batch, time_of(time));
    for (size_t i = 0; i < batch->record_count; i++) {
        if (i > 0)
            sb_buf_add_char(&body, ',');
        sb_buf_add_span(&body, batch->records[i].text);
    }
    for (size_t i = 0; i < batch->op_count; i++) {
        assert_true(i < 16);
        if (batch->ops[i].len > 0)
            sb_json_unescape(batch->ops[i], &ops[i]);
        op_texts[i] = sb_buf_span(&ops[i]);
    }
    switch (batch->form) {
    case SB_FORM_ROWS:
        sb_batch_end_rows(&out, batch->fields, sb_buf_span(&body), batch->chunks,
                          batch->chunk_count);
        break;
    case SB_FORM_RECORDS:
        sb_batch_end_records(&out, sb_buf_span(&body));
        break;
    case SB_FORM_HOLE:
        sb_batch_end_hole(&out, batch->reason, op_texts, batch->op_count, batch->summary);
        break;
    }
    same_value(golden_example(name), sb_buf_span(&out));
    for (size_t i = 0; i < 16; i++)
        sb_buf_free(&ops[i]);
    sb_buf_free(&out);
    sb_buf_free(&body);
    sb_batch_decoder_free(decoder);
}

static void batch_of_sensors(void **state)
{
    struct sb_batch batch = batch_of("batch-sensors");
    struct sb_buf text = {0};

    (void)state;
    EQ(batch.batch_id, "019b7c10-88b0-7a3e-9f0d-3a5c5e0b7d11");
    assert_int_equal(batch.stream.class, SB_UP_SENSORS);
    EQ(batch.stream.name, "air_quality");
    assert_int_equal(batch.first_seq, 101);
    assert_int_equal(batch.last_seq, 104);
    assert_int_equal(batch.made, 160);
    assert_int_equal(batch.field_count, 6);
    assert_true(sb_span_is(batch.field_names[5], "aqi_level"));
    assert_int_equal(batch.record_count, 4);
    assert_true(sb_span_is(batch.cells[8].text, "2.50"));
    assert_int_equal(batch.cells[batch.records[2].first_cell + 5].type, SB_JSON_NULL);
    assert_true(sb_span_is(batch.cells[batch.records[3].first_cell + 1].text, "1.25e0"));
    assert_true(sb_span_is(batch.cells[batch.records[3].first_cell + 3].text, "9007199254740993"));
    sb_json_unescape(batch.cells[batch.records[3].first_cell + 5].text, &text);
    EQ(text.data, "g\xc3\xbcnstig \"ok\"");
    assert_int_equal(batch.chunk_count, 2);
    assert_int_equal(batch.chunks[0].n, 3);
    assert_int_equal(batch.chunks[1].mono_ms, 124460);
    assert_int_equal(batch.chunks[1].wall_us, time_of("2026-01-02T03:04:04.104Z"));
    assert_int_equal(batch.chunks[1].quality, SB_CLOCK_NTP);
    encode_again("batch-sensors", &batch);
    sb_buf_free(&text);
}

static void batch_of_history(void **state)
{
    struct sb_batch batch = batch_of("batch-history");
    struct sb_span value;

    (void)state;
    assert_int_equal(batch.stream.class, SB_UP_HISTORY);
    EQ(batch.stream.name, "user-123");
    assert_int_equal(batch.record_count, 2);
    assert_true(sb_json_get(batch.records[1].text, "status", &value));
    assert_true(sb_json_string_is(value, "succeeded"));
    assert_true(sb_json_get(batch.records[1].text, "took_s", &value));
    assert_true(sb_span_is(value, "0.75"));
    encode_again("batch-history", &batch);
}

static void batch_of_settings(void **state)
{
    struct sb_batch batch = batch_of("batch-settings");
    struct sb_span value;

    (void)state;
    assert_int_equal(batch.stream.class, SB_UP_SETTINGS);
    assert_int_equal(batch.record_count, 2);
    assert_true(sb_json_get(batch.records[0].text, "base", &value));
    assert_true(sb_span_is(value, "{\"tag\":\"0f1e2d3c4b5a6978\"}"));
    assert_true(sb_json_get(batch.records[1].text, "settings", &value));
    assert_true(
        sb_span_is(value, "{\"theme\":\"dark\",\"volume\":8,\"big\":12345678901234567890}"));
    encode_again("batch-settings", &batch);
}

static void batch_of_records(void **state)
{
    struct sb_batch batch = batch_of("batch-records");
    struct sb_span value;

    (void)state;
    assert_int_equal(batch.stream.class, SB_UP_RECORDS);
    assert_int_equal(batch.record_count, 3);
    assert_true(sb_json_get(batch.records[1].text, "table", &value));
    assert_true(sb_json_string_is(value, "projects"));
    assert_true(sb_json_get(batch.records[1].text, "base", &value));
    assert_true(sb_span_is(value, "{\"op_id\":\"op-31\"}"));
    assert_true(sb_json_get(batch.records[2].text, "operation", &value));
    assert_true(sb_json_string_is(value, "delete"));
    assert_false(sb_json_get(batch.records[2].text, "data", &value));
    encode_again("batch-records", &batch);
}

static void batch_of_encrypted_settings(void **state)
{
    struct sb_batch batch = batch_of("batch-encrypted");
    struct sb_span value;

    (void)state;
    assert_true(sb_json_get(batch.records[0].text, "settings", &value));
    assert_int_equal(sb_json_type_of(value), SB_JSON_STRING);
    encode_again("batch-encrypted", &batch);
}

static void hole_of_sensors(void **state)
{
    struct sb_batch batch = batch_of("hole-sensors");

    (void)state;
    assert_int_equal(batch.form, SB_FORM_HOLE);
    assert_int_equal(batch.reason, SB_HOLE_EVICTED);
    assert_int_equal(batch.last_seq - batch.first_seq, 999);
    assert_int_equal(batch.op_count, 0);
    encode_again("hole-sensors", &batch);
}

static void hole_of_settings(void **state)
{
    struct sb_batch batch = batch_of("hole-settings");

    (void)state;
    assert_int_equal(batch.reason, SB_HOLE_DEAD);
    assert_int_equal(batch.op_count, 3);
    assert_int_equal(batch.ops[1].len, 0);
    assert_true(sb_json_string_is(batch.ops[2], "op \"108\""));
    encode_again("hole-settings", &batch);
}

/* ---- replies ---- */

static struct sb_reply reply_of(const char *name)
{
    struct sb_buf out = {0};
    struct sb_reply reply;
    struct sb_err err;

    if (sb_reply_decode(golden_example(name), &reply, &err) != 0)
        fail_msg("%s: %s: %s", name, sb_code_name(err.code), err.msg);
    sb_reply_encode(&reply, NULL, SB_PAYLOAD_MAX_BYTES, &out);
    same_value(golden_example(name), sb_buf_span(&out));
    sb_buf_free(&out);
    return reply;
}

static void ack_stored(void **state)
{
    struct sb_reply reply = reply_of("ack-stored");

    (void)state;
    EQ(reply.boot, BOOT);
    assert_int_equal(reply.commit, 5120);
    assert_int_equal(reply.result, SB_RESULT_STORED);
    assert_int_equal(sb_reply_word(&reply, false), SB_RESULT_STORED);
    assert_int_equal(reply.accepted, 2);
    assert_int_equal(reply.duplicates, 1);
    assert_int_equal(reply.rejected[0].lo, 104);
    assert_int_equal(reply.rejected[0].hi, 104);
    assert_int_equal(reply.rejected[0].code, SB_EBAD_VALUE);
    assert_int_equal(reply.total, 42);
    assert_int_equal(reply.server_time_us, time_of("2026-01-02T03:04:05.300Z"));
    sb_reply_free(&reply);
}

static void ack_rejected(void **state)
{
    struct sb_reply reply = reply_of("ack-rejected");

    (void)state;
    assert_int_equal(reply.result, SB_RESULT_REJECTED);
    assert_int_equal(sb_reply_word(&reply, false), SB_RESULT_REJECTED);
    assert_int_equal(reply.rejected_count, 2);
    assert_int_equal(reply.rejected[1].lo, 201);
    assert_int_equal(reply.rejected[1].hi, 209);
    assert_int_equal(reply.rejected[1].code, SB_EUNVERIFIABLE);
    sb_reply_free(&reply);
}

static void ack_settings(void **state)
{
    struct sb_reply reply = reply_of("ack-settings");

    (void)state;
    assert_int_equal(reply.version_count, 2);
    assert_int_equal(reply.versions[1].seq, 105);
    assert_int_equal(reply.versions[1].version, 9);
    assert_int_equal(reply.server_version, 9);
    EQ(reply.updated_at, "2026-01-02T03:04:07.400Z");
    sb_reply_free(&reply);
}

static void ack_conflict(void **state)
{
    struct sb_reply reply = reply_of("ack-conflict");

    (void)state;
    assert_int_equal(reply.result, SB_RESULT_CONFLICT);
    assert_int_equal(sb_reply_word(&reply, false), SB_RESULT_CONFLICT);
    assert_int_equal(reply.conflict_count, 3);
    assert_int_equal(reply.conflicts[0].code, SB_OK);
    EQ(reply.conflicts[0].pointers.data, "[\"\"]");
    assert_int_equal(reply.conflicts[0].as_of, 12);
    EQ(reply.conflicts[0].server.tag, "77aa00bb11cc22dd");
    EQ(reply.conflicts[0].server.data.data, "{\"theme\":\"light\",\"volume\":7}");
    assert_int_equal(reply.conflicts[1].code, SB_EBASE_UNKNOWN);
    assert_true(reply.conflicts[1].server.fetch);
    assert_false(reply.conflicts[2].server.exists);
    sb_reply_free(&reply);
}

static void ack_conflict_of_records(void **state)
{
    struct sb_reply reply = reply_of("ack-conflict-records");
    const struct sb_conflict *c = reply.conflicts;

    (void)state;
    assert_int_equal(reply.conflict_count, 3);
    assert_int_equal(c[0].policy, SB_POLICY_MERGE);
    EQ(c[0].pointers.data, "[\"/name\",\"/steps\"]");
    EQ(c[0].arrays.data, "{\"/nodes\":\"id\",\"/flows/*/nodes\":\"id\"}");
    assert_int_equal(c[0].server.stamps.len, 0);
    assert_int_equal(c[1].policy, SB_POLICY_LATEST);
    assert_int_equal(c[1].code, SB_EBASE_UNKNOWN);
    EQ(c[1].pointers.data, "[]");
    assert_int_equal(c[1].arrays.len, 0);
    EQ(c[1].server.stamps.data, "{\"/a\":[\"019b7c10a1b60000\",\"edge-002\"],"
                                "\"/b/c~1d\":[\"019b7c10a1b30001\",\"_op-anna\"]}");
    assert_int_equal(c[2].policy, SB_POLICY_MANUAL);
    assert_true(c[2].server.deleted);
    sb_reply_free(&reply);
}

static void ack_retry(void **state)
{
    struct sb_reply reply = reply_of("ack-retry");

    (void)state;
    assert_int_equal(reply.result, SB_RESULT_RETRY);
    assert_int_equal(reply.code, SB_EHELLO);
    assert_int_equal(reply.commit, 0);
    sb_reply_free(&reply);
}

static void ack_unreadable(void **state)
{
    struct sb_reply reply = reply_of("ack-unreadable");

    (void)state;
    assert_int_equal(reply.result, SB_RESULT_REJECTED);
    assert_int_equal(reply.first_seq, 0);
    EQ(reply.epoch, "");
    EQ(reply.stream, "");
    assert_int_equal(reply.code, SB_EBAD_JSON);
    sb_reply_free(&reply);
}

/* ---- hello and welcome ---- */

static void keep_first(void *ctx, struct sb_span json)
{
    struct sb_buf *out = ctx;

    if (out->len == 0)
        sb_buf_add_span(out, json);
}

static void hello(void **state)
{
    struct sb_buf out = {0};
    struct sb_hello hello;

    (void)state;
    assert_int_equal(sb_hello_decode(golden_example("hello"), &hello, NULL), 0);
    EQ(hello.receipt.boot, BOOT);
    assert_int_equal(hello.receipt.commit, 5119);
    EQ(hello.epoch, EPOCH);
    assert_int_equal(hello.epoch_count, 3);
    assert_int_equal(hello.claim_count, 3);
    EQ(hello.claims[1].stream, "sensors/air_quality");
    assert_int_equal(hello.claims[1].made, 160);
    assert_int_equal(sb_ranges_total(&hello.claims[1].settled), 100);
    assert_true(sb_ranges_has_all(&hello.claims[1].held, 101, 160));
    sb_hello_encode(&hello, SB_HELLO_PAGE_BYTES, keep_first, &out);
    same_value(golden_example("hello"), sb_buf_span(&out));
    sb_hello_free(&hello);
    sb_buf_free(&out);
}

static void welcome(void **state)
{
    struct sb_buf out = {0};
    struct sb_welcome welcome;

    (void)state;
    assert_int_equal(sb_welcome_decode(golden_example("welcome"), &welcome, NULL), 0);
    assert_int_equal(welcome.commit, 5120);
    assert_false(welcome.restored);
    assert_false(welcome.more);
    assert_int_equal(welcome.limits.max_batch_bytes, SB_BATCH_MAX_BYTES);
    assert_int_equal(welcome.limits.max_batch_records, SB_BATCH_MAX_RECORDS);
    assert_int_equal(welcome.limits.max_record_bytes, SB_RECORD_MAX_BYTES);
    assert_int_equal(welcome.standing_count, 3);
    assert_int_equal(welcome.standings[1].decided.count, 2);
    assert_true(sb_ranges_has_all(&welcome.standings[1].holes, 50, 52));
    sb_welcome_encode(&welcome, SB_HELLO_PAGE_BYTES, keep_first, &out);
    same_value(golden_example("welcome"), sb_buf_span(&out));
    sb_welcome_free(&welcome);
    sb_buf_free(&out);
}

static void first_part_of_a_welcome(void **state)
{
    struct sb_buf out = {0};
    struct sb_welcome welcome;

    (void)state;
    assert_int_equal(sb_welcome_decode(golden_example("welcome-part"), &welcome, NULL), 0);
    assert_true(welcome.restored);
    assert_true(welcome.more);
    EQ(welcome.more_epoch, EPOCH);
    EQ(welcome.more_stream, "sensors/air_quality");
    assert_int_equal(welcome.page, 2);
    assert_int_equal(welcome.pages, 3);
    assert_int_equal(welcome.table_count, 1);
    sb_welcome_add(&welcome, EPOCH, "settings/user-123"); /* what makes a second part */
    sb_welcome_encode(&welcome, 1, keep_first, &out);
    same_value(golden_example("welcome-part"), sb_buf_span(&out));
    sb_welcome_free(&welcome);
    sb_buf_free(&out);
}

/* ---- requests and answers ---- */

static void request_for_settings(void **state)
{
    struct sb_buf out = {0};
    struct sb_request request;

    (void)state;
    assert_int_equal(sb_request_decode(golden_example("request-settings-get"), &request, NULL), 0);
    EQ(request.op, "settings.get");
    EQ(request.boot, BOOT);
    assert_true(sb_span_is(request.args, "{\"user\":\"user-123\"}"));
    sb_request_encode(&request, &out);
    same_value(golden_example("request-settings-get"), sb_buf_span(&out));
    sb_buf_free(&out);
}

static struct sb_answer answer_of(const char *name)
{
    struct sb_buf out = {0};
    struct sb_answer answer;

    assert_int_equal(sb_answer_decode(golden_example(name), &answer, NULL), 0);
    EQ(answer.boot, BOOT);
    sb_answer_encode(&answer, &out);
    same_value(golden_example(name), sb_buf_span(&out));
    sb_buf_free(&out);
    return answer;
}

static void document_again(const struct sb_answer *answer, bool exists, uint64_t as_of)
{
    char id[SB_ID_MAX + 1];
    struct sb_document doc;
    struct sb_buf out = {0};
    uint64_t version;

    assert_true(answer->success);
    assert_int_equal(sb_document_decode(answer->data, &doc, id, &version, NULL), 0);
    EQ(id, "settings");
    assert_int_equal(version, as_of);
    assert_int_equal(doc.exists, exists);
    sb_document_encode(&doc, id, version, &out);
    same_value(answer->data, sb_buf_span(&out));
    sb_document_free(&doc);
    sb_buf_free(&out);
}

static void answers(void **state)
{
    struct sb_answer answer = answer_of("answer-settings");

    (void)state;
    document_again(&answer, true, 12);
    answer = answer_of("answer-nothing");
    document_again(&answer, false, 0);
    answer = answer_of("answer-refused");
    assert_false(answer.success);
    assert_int_equal(answer.code, SB_EFORBIDDEN);
}

/* ---- what requests take and give ---- */

static struct sb_span args_of(const char *name, const char *op)
{
    struct sb_buf out = {0};
    struct sb_request request;

    assert_int_equal(sb_request_decode(golden_example(name), &request, NULL), 0);
    EQ(request.op, op);
    sb_request_encode(&request, &out);
    same_value(golden_example(name), sb_buf_span(&out));
    sb_buf_free(&out);
    return request.args;
}

/* Compares what was encoded and frees it. */
static void same_again(struct sb_span expected, struct sb_buf *out)
{
    same_value(expected, sb_buf_span(out));
    sb_buf_free(out);
}

static void one_document(void **state)
{
    struct sb_span args = args_of("request-document-get", SB_OP_DOCUMENT_GET);
    struct sb_answer answer = answer_of("answer-document");
    struct sb_document_args doc;
    char id[SB_ID_MAX + 1];
    struct sb_document got;
    struct sb_buf out = {0};
    uint64_t as_of;

    (void)state;
    assert_int_equal(sb_document_args_decode(args, &doc, NULL), 0);
    EQ(doc.user, "user-123");
    EQ(doc.table, "projects");
    EQ(doc.id, "p1");
    sb_document_args_encode(&doc, &out);
    same_again(args, &out);
    assert_int_equal(sb_document_decode(answer.data, &got, id, &as_of, NULL), 0);
    EQ(id, "p1");
    assert_int_equal(as_of, 18);
    EQ(got.stamps.data, "{\"/a\":[\"019b7c10a1b60000\",\"edge-002\"]}");
    sb_document_encode(&got, id, as_of, &out);
    same_again(answer.data, &out);
    sb_document_free(&got);
}

static void changes_again(const struct sb_answer *answer, struct sb_changes *changes)
{
    struct sb_buf out = {0};

    assert_int_equal(sb_changes_decode(answer->data, changes, NULL), 0);
    assert_int_equal(sb_changes_encode(changes, SB_PAYLOAD_MAX_BYTES, &out), changes->count);
    same_again(answer->data, &out);
}

static void changes(void **state)
{
    struct sb_span args = args_of("request-changes", SB_OP_CHANGES);
    struct sb_answer answer = answer_of("answer-changes");
    struct sb_changes_args asked;
    struct sb_changes told;
    struct sb_buf out = {0};

    (void)state;
    assert_int_equal(sb_changes_args_decode(args, &asked, NULL), 0);
    assert_int_equal(asked.since.version, 7);
    EQ(asked.since.tag, "0f1e2d3c4b5a6978");
    assert_int_equal(asked.limit, 100);
    sb_changes_args_encode(&asked, &out);
    same_again(args, &out);

    changes_again(&answer, &told);
    assert_int_equal(told.count, 3);
    EQ(told.list[0].id, "p1");
    EQ(told.list[0].doc.data.data, "{\"name\":\"a\"}");
    assert_true(told.list[1].doc.deleted);
    assert_true(told.list[2].doc.fetch);
    assert_int_equal(told.cursor.version, 11);
    assert_int_equal(told.latest_version, 12);
    assert_true(told.has_more);
    sb_changes_free(&told);

    answer = answer_of("answer-changes-end");
    changes_again(&answer, &told);
    assert_int_equal(told.count, 0);
    assert_false(told.has_more);
    sb_changes_free(&told);

    answer = answer_of("answer-cursor-unknown");
    assert_int_equal(answer.code, SB_ECURSOR_UNKNOWN);
}

static void versions(void **state)
{
    struct sb_span args = args_of("request-versions", SB_OP_VERSIONS);
    struct sb_answer answer = answer_of("answer-versions");
    struct sb_versions_args asked;
    struct sb_version_args one;
    struct sb_versions told;
    struct sb_buf out = {0};

    (void)state;
    assert_int_equal(sb_versions_args_decode(args, &asked, NULL), 0);
    assert_int_equal(asked.before, 13);
    assert_int_equal(asked.limit, 2);
    sb_versions_args_encode(&asked, &out);
    same_again(args, &out);

    assert_int_equal(sb_versions_decode(answer.data, &told, NULL), 0);
    assert_int_equal(told.count, 2);
    assert_int_equal(told.list[0].size, 28);
    EQ(told.list[1].device, "_op-anna");
    assert_true(told.list[1].deleted);
    assert_true(told.has_more);
    sb_versions_encode(&told, SB_PAYLOAD_MAX_BYTES, &out);
    same_again(answer.data, &out);
    sb_versions_free(&told);

    args = args_of("request-version-get", SB_OP_VERSION_GET);
    assert_int_equal(sb_version_args_decode(args, &one, NULL), 0);
    assert_int_equal(one.version, 8);
    sb_version_args_encode(&one, &out);
    same_again(args, &out);
}

static void lists_of_conflicts(void **state)
{
    struct sb_span args = args_of("request-conflicts-list", SB_OP_CONFLICTS_LIST);
    struct sb_answer answer = answer_of("answer-conflicts-list");
    struct sb_conflicts_args asked;
    struct sb_conflicts told;
    struct sb_buf out = {0};

    (void)state;
    assert_int_equal(sb_conflicts_args_decode(args, &asked, NULL), 0);
    assert_int_equal(asked.ops.count, 2);
    EQ(asked.ops.ids[1], "op \"107\"");
    assert_false(asked.open);
    sb_conflicts_args_encode(&asked, &out);
    same_again(args, &out);
    sb_conflicts_args_free(&asked);

    assert_int_equal(sb_conflicts_decode(answer.data, &told, NULL), 0);
    assert_int_equal(told.count, 2);
    EQ(told.list[0].resolved_at, "");
    assert_int_equal(told.list[1].code, SB_EBASE_UNKNOWN);
    assert_int_equal(told.list[1].resolution, SB_CHOICE_MERGE);
    EQ(told.list[1].resolved_by, "_op-anna");
    sb_conflicts_encode(&told, SB_PAYLOAD_MAX_BYTES, &out);
    same_again(answer.data, &out);
    sb_conflicts_free(&told);

    args = args_of("request-admin", SB_OP_CONFLICTS_LIST);
    assert_int_equal(sb_conflicts_args_decode(args, &asked, NULL), 0);
    EQ(asked.user, "user-123");
    assert_true(asked.open);
    sb_conflicts_args_free(&asked);
}

static void one_conflict(void **state)
{
    struct sb_span args = args_of("request-conflicts-show", SB_OP_CONFLICTS_SHOW);
    struct sb_answer answer = answer_of("answer-conflicts-show");
    struct sb_conflict_args asked;
    struct sb_conflict_view told;
    struct sb_buf out = {0};

    (void)state;
    assert_int_equal(sb_conflict_args_decode(args, &asked, NULL), 0);
    assert_int_equal(asked.id, 3);
    assert_int_equal(asked.part, SB_PART_ALL);
    sb_conflict_args_encode(&asked, &out);
    same_again(args, &out);

    assert_int_equal(sb_conflict_view_decode(answer.data, &told, NULL), 0);
    EQ(told.base_name.data, "{\"tag\":\"0f1e2d3c4b5a6978\"}");
    EQ(told.base.data.data, "{\"theme\":\"dark\",\"volume\":7}");
    EQ(told.submitted.data.data, "{\"theme\":\"blue\",\"volume\":7}");
    EQ(told.server.data.data, "{\"theme\":\"light\",\"volume\":7}");
    sb_conflict_view_encode(&told, SB_PAYLOAD_MAX_BYTES, &out);
    same_again(answer.data, &out);
    sb_conflict_view_free(&told);
}

static void resolve_again(const char *name, struct sb_resolve_args *asked)
{
    struct sb_span args = args_of(name, SB_OP_CONFLICTS_RESOLVE);
    struct sb_buf out = {0};

    assert_int_equal(sb_resolve_args_decode(args, asked, NULL), 0);
    sb_resolve_args_encode(asked, &out);
    same_again(args, &out);
}

static void resolving(void **state)
{
    struct sb_answer answer = answer_of("answer-conflicts-resolve");
    struct sb_resolve_args asked;
    struct sb_resolved told;
    struct sb_buf out = {0};

    (void)state;
    resolve_again("request-conflicts-resolve", &asked);
    assert_int_equal(asked.id, 3);
    assert_int_equal(asked.choice, SB_CHOICE_MERGE);
    assert_true(sb_span_is(asked.data, "{\"theme\":\"teal\",\"volume\":7}"));
    EQ(asked.note, "asked the user");
    sb_resolve_args_free(&asked);
    resolve_again("request-conflicts-resolve-ops", &asked);
    assert_int_equal(asked.ops.count, 1);
    assert_int_equal(asked.choice, SB_CHOICE_LOCAL);
    sb_resolve_args_free(&asked);

    assert_int_equal(answer.commit, 5150);
    assert_int_equal(sb_resolved_decode(answer.data, &told, NULL), 0);
    assert_int_equal(told.resolved, 1);
    assert_int_equal(told.version, 13);
    sb_resolved_encode(&told, &out);
    same_again(answer.data, &out);
}

static void notifies(void **state)
{
    struct sb_notify told;
    struct sb_buf out = {0};

    (void)state;
    assert_int_equal(sb_notify_decode(golden_example("notify"), &told, NULL), 0);
    assert_true(told.hello);
    sb_notify_encode(&told, &out);
    same_again(golden_example("notify"), &out);
    assert_int_equal(sb_notify_decode(golden_example("notify-changes"), &told, NULL), 0);
    assert_false(told.hello);
    EQ(told.user, "user-123");
    EQ(told.table, "projects");
    assert_int_equal(told.version, 12);
    sb_notify_encode(&told, &out);
    same_again(golden_example("notify-changes"), &out);
}

/* ---- the rest has no codec: that they are what they say ---- */

static void other_messages(void **state)
{
    static const struct {
        const char *name;
        enum sb_kind kind;
        const char *members[12];
    } others[] = {
        {"state",
         SB_KIND_OTHER,
         {"device", "state", "boot", "epoch", "pending", "dead", "version", "at"}},
        {"ingest", SB_KIND_OTHER, {"n", "state", "boot", "buckets", "limits", "version", "at"}},
        {"event", SB_KIND_OTHER, {"event", "device", "at", "suppressed"}},
    };
    struct sb_span value;
    enum sb_kind kind;

    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct sb_span object = value_of(golden_example(others[i].name));

        assert_int_equal(sb_message_kind(object, &kind, NULL), 0);
        assert_int_equal(kind, others[i].kind);
        assert_true(sb_json_get(object, "kind", &value));
        assert_true(sb_json_string_is(value, others[i].name));
        for (size_t m = 0; m < 12 && others[i].members[m] != NULL; m++)
            assert_true(sb_json_get(object, others[i].members[m], &value));
    }
}

/* Runs last. */
static void every_example_was_looked_at(void **state)
{
    (void)state;
    assert_true(golden.count > 0);
    for (size_t i = 0; i < golden.count; i++)
        if (!golden.examples[i].used)
            fail_msg("no test looks at the example %s", golden.examples[i].name);
}

static void every_example_survives_gzip(void **state)
{
    struct sb_gzip *gzip = sb_gzip_new(1);

    (void)state;
    for (size_t i = 0; i < golden.count; i++) {
        struct sb_buf packed = {0}, out = {0};

        sb_gzip_pack(gzip, golden.examples[i].text, &packed);
        assert_int_equal(
            sb_gzip_unpack(gzip, sb_buf_span(&packed), SB_PAYLOAD_MAX_BYTES, &out, NULL), 0);
        assert_true(sb_span_eq(sb_buf_span(&out), golden.examples[i].text));
        sb_buf_free(&packed);
        sb_buf_free(&out);
    }
    sb_gzip_free(gzip);
}

static void the_table_of_codes_is_complete(void **state)
{
    static const char *const classes[] = {
        [SB_RETRY] = "retry", [SB_REJECT] = "reject", [SB_FATAL] = "fatal"};
    const char *table = strstr(golden.page, "\n## 8. ");
    size_t rows = 0;

    (void)state;
    assert_non_null(table);
    for (int code = 1; code < SB_CODE_COUNT; code++) {
        char row[64];

        snprintf(row, sizeof(row), "\n| `%s` | %s |", sb_code_name((enum sb_code)code),
                 classes[sb_code_class((enum sb_code)code)]);
        if (strstr(table, row) == NULL)
            fail_msg("not in the table of codes: %s", row + 1);
    }
    for (const char *at = strstr(table, "\n| `"); at != NULL; at = strstr(at + 1, "\n| `"))
        rows += at < strstr(table, "\n## 9. ");
    assert_int_equal(rows, SB_CODE_COUNT - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_of_sensors),
        cmocka_unit_test(batch_of_history),
        cmocka_unit_test(batch_of_settings),
        cmocka_unit_test(batch_of_records),
        cmocka_unit_test(batch_of_encrypted_settings),
        cmocka_unit_test(hole_of_sensors),
        cmocka_unit_test(hole_of_settings),
        cmocka_unit_test(ack_stored),
        cmocka_unit_test(ack_rejected),
        cmocka_unit_test(ack_settings),
        cmocka_unit_test(ack_conflict),
        cmocka_unit_test(ack_conflict_of_records),
        cmocka_unit_test(ack_retry),
        cmocka_unit_test(ack_unreadable),
        cmocka_unit_test(hello),
        cmocka_unit_test(welcome),
        cmocka_unit_test(first_part_of_a_welcome),
        cmocka_unit_test(request_for_settings),
        cmocka_unit_test(answers),
        cmocka_unit_test(one_document),
        cmocka_unit_test(changes),
        cmocka_unit_test(versions),
        cmocka_unit_test(lists_of_conflicts),
        cmocka_unit_test(one_conflict),
        cmocka_unit_test(resolving),
        cmocka_unit_test(notifies),
        cmocka_unit_test(other_messages),
        cmocka_unit_test(every_example_survives_gzip),
        cmocka_unit_test(the_table_of_codes_is_complete),
        cmocka_unit_test(every_example_was_looked_at),
    };

    return cmocka_run_group_tests(tests, golden_setup, golden_teardown);
}
