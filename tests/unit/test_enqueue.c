/* Stage 1 on a real outbox: what an application gives is checked, keeps its bytes and gets its
 * number; what is refused leaves the others alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json_scan.h"
#include "edge_agent/enqueue.h"

static struct sb_rng rng;
static struct outbox *ob;
static struct enqueue *eq;
static struct sb_err err;

static const struct sb_now now = {5000, 1767323045250000}; /* 2026-01-02T03:04:05.250Z */
static const struct sb_stream air = {SB_UP_SENSORS, "air_quality"};
static const struct sb_stream sys = {SB_UP_SENSORS, "system"};
static const struct sb_stream history = {SB_UP_HISTORY, "user-1"};
static const struct enqueue_switches all_on = {true, true, true, true, 0};

static int setup(void **state)
{
    const struct outbox_config config = {.path = ":memory:", .create = true, .in_memory = true};

    (void)state;
    sb_rng_seed(&rng, 7);
    err = (struct sb_err){0};
    if (outbox_open(&config, &rng, &ob, &err) != 0)
        return -1;
    eq = enqueue_new(ob, &all_on, "b0075d1e-0000-4000-8000-000000000001");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    enqueue_free(eq);
    outbox_close(ob);
    return 0;
}

static void reopen(struct enqueue_switches switches)
{
    enqueue_free(eq);
    eq = enqueue_new(ob, &switches, "");
}

static int put(const struct sb_stream *stream, const char *record, const char *id,
               struct enqueue_receipt *receipt)
{
    return enqueue_record(eq, stream, sb_span_of(record), sb_span_of(id), now, receipt, &err);
}

static int put_settings(const char *document, const char *id, struct enqueue_receipt *receipt)
{
    return enqueue_settings(eq, "user-1", sb_span_of(document), sb_span_of(id), now, &rng, receipt,
                            &err);
}

/* Everything in the outbox as text: "<stream> <first>-<last> <fields> <body>\n" for each row. */
struct listing {
    struct sb_buf text;
    char stream[SB_STREAM_MAX + 1];
    int rows;
    int64_t keys[8];
    char names[8][SB_STREAM_MAX + 1];
    int streams;
};

static int list_row(void *ctx, const struct outbox_row *row)
{
    struct listing *l = ctx;

    sb_buf_add_fmt(&l->text, "%s %llu-%llu " SB_SPAN_FMT " " SB_SPAN_FMT, l->stream,
                   (unsigned long long)row->first_seq, (unsigned long long)row->last_seq,
                   SB_SPAN_ARG(row->fields), SB_SPAN_ARG(row->body));
    if (row->op_id.len > 0)
        sb_buf_add_fmt(&l->text, " op=" SB_SPAN_FMT, SB_SPAN_ARG(row->op_id));
    if (row->before.len > 0)
        sb_buf_add_fmt(&l->text, " before=" SB_SPAN_FMT, SB_SPAN_ARG(row->before));
    sb_buf_add_char(&l->text, '\n');
    l->rows++;
    return 0;
}

static int list_stream(void *ctx, const struct outbox_stream *stream)
{
    struct listing *l = ctx;

    assert_true(l->streams < 8);
    l->keys[l->streams] = stream->s;
    sb_stream_print(&stream->stream, l->names[l->streams]);
    l->streams++;
    return 0;
}

static char *listing(int *rows)
{
    struct listing l = {0};

    assert_int_equal(outbox_streams(ob, list_stream, &l, &err), 0);
    for (int i = 0; i < l.streams; i++) {
        snprintf(l.stream, sizeof(l.stream), "%s", l.names[i]);
        assert_int_equal(outbox_rows(ob, l.keys[i], 1, SB_SEQ_MAX, list_row, &l, &err), 0);
    }
    if (rows != NULL)
        *rows = l.rows;
    return sb_buf_take(&l.text);
}

static void assert_outbox(const char *expected)
{
    char *text = listing(NULL);

    assert_string_equal(text, expected);
    free(text);
}

/* ---- readings ---- */

static void a_reading_becomes_fields_and_a_row_with_its_bytes(void **state)
{
    struct enqueue_receipt r;
    char place[SB_ID_MAX + 1];

    (void)state;
    assert_int_equal(put(&air,
                         " {\"pm2_5\" : 9007199254740993, \"ts\":\"2026-01-02T11:04:05.1+08:00\","
                         "\"pm10\":3.00,\"note\":\"a\\u00e9\xc3\xa9\",\"x\":null} ",
                         "", &r),
                     0);
    assert_int_equal(enqueue_commit(eq, &err), 0);
    assert_outbox("sensors/air_quality 1-1 [\"ts\",\"pm2_5\",\"pm10\",\"note\",\"x\"] "
                  "[\"2026-01-02T11:04:05.1+08:00\",9007199254740993,3.00,\"a\\u00e9\xc3\xa9\","
                  "null]\n");
    assert_true(r.queued && !r.repeat);
    assert_int_equal(r.seq, 1);
    assert_int_equal(strlen(r.epoch), SB_EPOCH_LEN);
    snprintf(place, sizeof(place), "%s:sensors/air_quality:1", r.epoch);
    assert_string_equal(r.op_id, place);
}

static void a_reading_without_time_is_stamped(void **state)
{
    (void)state;
    assert_int_equal(put(&air, "{\"pm10\":1}", "", NULL), 0);
    assert_int_equal(enqueue_commit(eq, &err), 0);
    assert_outbox("sensors/air_quality 1-1 [\"ts\",\"pm10\"] [\"2026-01-02T03:04:05.250Z\",1]\n");
}

static void readings_with_equal_fields_share_a_chunk(void **state)
{
    struct enqueue_receipt r[5];

    (void)state;
    assert_int_equal(put(&air, "{\"ts\":\"2026-01-01T00:00:01Z\",\"a\":1}", "", &r[0]), 0);
    assert_int_equal(put(&air, "{\"a\":2,\"ts\":\"2026-01-01T00:00:02Z\"}", "", &r[1]), 0);
    assert_int_equal(put(&air, "{\"ts\":\"2026-01-01T00:00:03Z\",\"b\":3}", "", &r[2]), 0);
    assert_int_equal(put(&sys, "{\"ts\":\"2026-01-01T00:00:04Z\",\"b\":4}", "", &r[3]), 0);
    assert_int_equal(put(&air, "{\"ts\":\"2026-01-01T00:00:05Z\",\"b\":5}", "", &r[4]), 0);
    assert_int_equal(enqueue_open_records(eq), 5);
    assert_int_equal(enqueue_commit(eq, &err), 0);
    assert_int_equal(enqueue_open_records(eq), 0);
    assert_outbox("sensors/air_quality 1-2 [\"ts\",\"a\"] "
                  "[\"2026-01-01T00:00:01Z\",1],[\"2026-01-01T00:00:02Z\",2]\n"
                  "sensors/air_quality 3-3 [\"ts\",\"b\"] [\"2026-01-01T00:00:03Z\",3]\n"
                  "sensors/air_quality 4-4 [\"ts\",\"b\"] [\"2026-01-01T00:00:05Z\",5]\n"
                  "sensors/system 1-1 [\"ts\",\"b\"] [\"2026-01-01T00:00:04Z\",4]\n");
    assert_int_equal(r[1].seq, 2);
    assert_int_equal(r[2].seq, 3);
    assert_int_equal(r[3].seq, 1);
    assert_int_equal(r[4].seq, 4);
}

static void chunks_are_cut_at_their_limits(void **state)
{
    struct enqueue_receipt *r = calloc(2500, sizeof(*r));
    struct sb_buf big = {0};
    char record[80];
    char *text;
    int rows;

    (void)state;
    for (int i = 0; i < 2500; i++) {
        snprintf(record, sizeof(record), "{\"ts\":\"2026-01-01T00:00:00Z\",\"n\":%d}", i);
        assert_int_equal(put(&air, record, "", &r[i]), 0);
    }
    assert_int_equal(enqueue_commit(eq, &err), 0);
    for (int i = 0; i < 2500; i++)
        assert_int_equal(r[i].seq, i + 1);
    free(r);
    text = listing(&rows);
    assert_int_equal(rows, 3);
    assert_non_null(strstr(text, "sensors/air_quality 1001-2000 "));
    free(text);

    sb_buf_add_str(&big, "{\"n\":\"");
    while (big.len < 100000)
        sb_buf_add_char(&big, 'x');
    sb_buf_add_str(&big, "\"}");
    for (int i = 0; i < 3; i++)
        assert_int_equal(put(&sys, big.data, "", NULL), 0);
    assert_int_equal(enqueue_commit(eq, &err), 0);
    free(listing(&rows));
    assert_int_equal(rows, 6);
    sb_buf_free(&big);
}

static void bad_readings_are_named_and_leave_the_group(void **state)
{
    static const struct {
        const char *record;
        enum sb_code code;
        const char *said;
    } bad[] = {
        {"{\"pm10\":1", SB_EBAD_JSON, ""},
        {"[1]", SB_EBAD_TYPE, "object"},
        {"{}", SB_EMISSING_FIELD, "at least one field"},
        {"{\"ts\":\"2026-01-01T00:00:00Z\"}", SB_EMISSING_FIELD, "at least one field"},
        {"{\"ts\":\"yesterday\",\"a\":1}", SB_EBAD_VALUE, "ts"},
        {"{\"ts\":\"2026-01-01T00:00:00\",\"a\":1}", SB_EBAD_VALUE, "ts"},
        {"{\"ts\":1767323045,\"a\":1}", SB_EBAD_TYPE, "ts"},
        {"{\"a b\":1}", SB_EBAD_VALUE, "a b"},
        {"{\"\":1}", SB_EBAD_VALUE, "field name"},
        {"{\"a\":1e999}", SB_EBAD_VALUE, "a: number out of range"},
        {"{\"a\":1,\"a\":2}", SB_EDUPLICATE_KEY, "a"},
        {"{\"a\":\"\xff\"}", SB_EBAD_UTF8, ""},
        {"{\"a\":NaN}", SB_EBAD_JSON, ""},
    };

    (void)state;
    assert_int_equal(put(&air, "{\"ts\":\"2026-01-01T00:00:00Z\",\"a\":1}", "", NULL), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(put(&air, bad[i].record, "", NULL), -(int)bad[i].code);
        assert_int_equal(err.code, bad[i].code);
        assert_int_equal(sb_code_class(err.code), SB_REJECT);
        assert_non_null(strstr(err.msg, bad[i].said));
    }
    assert_int_equal(enqueue_open_records(eq), 1);
    assert_int_equal(enqueue_commit(eq, &err), 0);
    assert_outbox("sensors/air_quality 1-1 [\"ts\",\"a\"] [\"2026-01-01T00:00:00Z\",1]\n");
}

static void a_reading_has_at_most_64_fields(void **state)
{
    struct sb_buf record = {0};

    (void)state;
    sb_buf_add_str(&record, "{\"f0\":0");
    for (int i = 1; i < SB_FIELDS_MAX - 1; i++)
        sb_buf_add_fmt(&record, ",\"f%d\":%d", i, i);
    sb_buf_add_char(&record, '}');
    assert_int_equal(put(&air, record.data, "", NULL), 0);
    record.len--;
    sb_buf_add_str(&record, ",\"one_more\":1}");
    assert_int_equal(put(&air, record.data, "", NULL), -(int)SB_ETOO_LARGE);
    sb_buf_free(&record);
}

static void a_record_over_the_limit_is_refused(void **state)
{
    struct enqueue_switches small = all_on;
    struct sb_buf record = {0};

    (void)state;
    small.max_record_bytes = 2000;
    reopen(small);
    sb_buf_add_str(&record, "{\"a\":\"");
    while (record.len < 1998)
        sb_buf_add_char(&record, 'x');
    sb_buf_add_str(&record, "\"}");
    assert_int_equal(put(&air, record.data, "", NULL), -(int)SB_ETOO_LARGE);
    assert_int_equal(put_settings(record.data, "", NULL), -(int)SB_ETOO_LARGE);
    sb_buf_free(&record);
}

/* ---- ids ---- */

static void a_repeat_with_the_same_id_is_recognised(void **state)
{
    struct enqueue_receipt first, second, third;

    (void)state;
    assert_int_equal(put(&air, "{\"a\":1}", "id-1", &first), 0);
    assert_int_equal(put(&air, "{\"a\":2}", "id-2", NULL), 0);
    assert_int_equal(enqueue_commit(eq, &err), 0);
    assert_int_equal(put(&air, "{\"a\":1}", "id-1", &second), 0);
    assert_int_equal(put(&air, "{\"a\":3}", "id-3", &third), 0);
    assert_int_equal(enqueue_commit(eq, &err), 0);
    assert_true(second.repeat && second.queued && !first.repeat && !third.repeat);
    assert_int_equal(second.seq, first.seq);
    assert_string_equal(second.op_id, "id-1");
    assert_int_equal(third.seq, 3);
}

static void a_repeat_inside_one_group_is_recognised(void **state)
{
    struct enqueue_receipt r[3];

    (void)state;
    assert_int_equal(put(&air, "{\"a\":1}", "", &r[0]), 0);
    assert_int_equal(put(&air, "{\"a\":2}", "id-1", &r[1]), 0);
    assert_int_equal(put(&air, "{\"a\":2}", "id-1", &r[2]), 0);
    assert_int_equal(put(&air, "{\"a\":3}", "id-1", NULL), -(int)SB_EID_REUSED);
    assert_int_equal(enqueue_commit(eq, &err), 0);
    assert_int_equal(r[1].seq, 2);
    assert_int_equal(r[2].seq, 2);
    assert_true(r[2].repeat);
}

static void an_id_with_other_content_is_refused(void **state)
{
    (void)state;
    assert_int_equal(put(&air, "{\"a\":1}", "id-1", NULL), 0);
    assert_int_equal(enqueue_commit(eq, &err), 0);
    assert_int_equal(put(&air, "{\"a\":2}", "id-1", NULL), -(int)SB_EID_REUSED);
    assert_int_equal(put(&sys, "{\"a\":2}", "id-1", NULL), 0); /* ids are a stream's own */
    assert_int_equal(enqueue_commit(eq, &err), 0);
}

static void a_refused_record_alone_keeps_nobody_waiting(void **state)
{
    (void)state;
    assert_int_equal(put(&air, "{\"a\":1}", "id-1", NULL), 0);
    assert_int_equal(enqueue_commit(eq, &err), 0);
    assert_int_equal(put(&air, "{\"a\":2}", "id-1", NULL), -(int)SB_EID_REUSED);
    assert_int_equal(outbox_begin(ob, &err), 0); /* aborts when one is open */
    outbox_rollback(ob);
}

static void ids_are_checked(void **state)
{
    char id[SB_ID_MAX + 2];

    (void)state;
    memset(id, 'x', sizeof(id) - 1);
    id[sizeof(id) - 1] = '\0';
    assert_int_equal(put(&air, "{\"a\":1}", id, NULL), -(int)SB_EBAD_ID);
    assert_int_equal(put(&air, "{\"a\":1}", "a\nb", NULL), -(int)SB_EBAD_ID);
    assert_int_equal(put(&air, "{\"a\":1}", "\xff", NULL), -(int)SB_EBAD_ID);
    id[SB_ID_MAX] = '\0';
    assert_int_equal(put(&air, "{\"a\":1}", id, NULL), 0);
}

/* ---- history ---- */

static void history_keeps_its_text_and_gets_an_hlc(void **state)
{
    struct enqueue_receipt r[2];
    char *text;

    (void)state;
    assert_int_equal(put(&history,
                         "{\"command_id\":\"c-1\", \"status\":\"running\",\"created_at\":"
                         "\"2026-01-01T08:00:00+08:00\",\"n\":1.50}",
                         "", &r[0]),
                     0);
    assert_int_equal(put(&history, "{\"command_id\":\"c-1\",\"trace_id\":null}", "", &r[1]), 0);
    assert_int_equal(enqueue_commit(eq, &err), 0);
    text = listing(NULL);
    assert_non_null(strstr(text, "history/user-1 1-2  {\"command_id\":\"c-1\", \"status\":"
                                 "\"running\",\"created_at\":\"2026-01-01T08:00:00+08:00\","
                                 "\"n\":1.50,\"hlc\":\""));
    assert_non_null(strstr(text, ",{\"command_id\":\"c-1\",\"trace_id\":null,\"created_at\":"
                                 "\"2026-01-02T03:04:05.250Z\",\"hlc\":\""));
    assert_int_equal(r[1].seq, 2);
    free(text);
}

static void hlcs_rise_within_a_group(void **state)
{
    char *text, *first, *second;

    (void)state;
    assert_int_equal(put(&history, "{\"command_id\":\"c-1\"}", "", NULL), 0);
    assert_int_equal(put(&history, "{\"command_id\":\"c-2\"}", "", NULL), 0);
    assert_int_equal(enqueue_commit(eq, &err), 0);
    text = listing(NULL);
    first = strstr(text, "\"hlc\":\"");
    assert_non_null(first);
    second = strstr(first + 1, "\"hlc\":\"");
    assert_non_null(second);
    assert_true(memcmp(first + 7, second + 7, SB_EPOCH_LEN) < 0);
    free(text);
}

static void bad_history_is_named(void **state)
{
    static const struct {
        const char *record;
        enum sb_code code;
    } bad[] = {
        {"{\"status\":\"ok\"}", SB_EMISSING_FIELD},
        {"{\"command_id\":7}", SB_EBAD_TYPE},
        {"{\"command_id\":\"\"}", SB_EBAD_VALUE},
        {"{\"command_id\":null}", SB_EBAD_TYPE},
        {"{\"command_id\":\"c\",\"trace_id\":1}", SB_EBAD_TYPE},
        {"{\"command_id\":\"c\",\"created_at\":\"now\"}", SB_EBAD_VALUE},
        {"{\"command_id\":\"c\",\"hlc\":\"0\"}", SB_EBAD_VALUE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(put(&history, bad[i].record, "", NULL), -(int)bad[i].code);
    assert_int_equal(enqueue_open_records(eq), 0);
}

/* ---- settings ---- */

static const struct document_name settings = {"user-1", "settings", "settings"};

static void settings_name_their_base(void **state)
{
    struct outbox_document local;
    struct enqueue_receipt r[3];
    char expected[256];
    char *text;

    (void)state;
    assert_int_equal(put_settings(" {\"theme\": \"dark\"} ", "op-1", &r[0]), 0);
    assert_int_equal(put_settings("{\"theme\":\"light\"}", "", &r[1]), 0);
    assert_int_equal(put_settings("{\"theme\":\"light\"}", "op-3", &r[2]), 0);
    assert_int_equal(enqueue_commit(eq, &err), 0);
    assert_int_equal(r[2].seq, 3);
    assert_true(sb_uuid_valid(sb_span_of(r[1].op_id)));
    text = listing(NULL);
    assert_non_null(strstr(text, "settings/user-1 1-1  {\"op_id\":\"op-1\",\"hlc\":\""));
    assert_non_null(strstr(text, "\"base\":null,\"settings\":{\"theme\": \"dark\"}} op=op-1\n"));
    snprintf(expected, sizeof(expected),
             "\"base\":{\"op_id\":\"op-1\"},\"settings\":{\"theme\":\"light\"}} op=%s "
             "before={\"theme\": \"dark\"}\n",
             r[1].op_id);
    assert_non_null(strstr(text, expected));
    snprintf(expected, sizeof(expected), "\"base\":{\"op_id\":\"%s\"},", r[1].op_id);
    assert_non_null(strstr(text, expected));
    free(text);
    assert_int_equal(outbox_document_get(ob, &settings, &local, &err), 0);
    assert_true(local.exists);
    assert_string_equal(local.last_op, "op-3");
    assert_string_equal(local.doc.data, "{\"theme\":\"light\"}");
    outbox_document_fini(&local);
}

static void settings_after_the_clouds_document_name_its_tag(void **state)
{
    struct outbox_document local = {.exists = true, .base_tag = "00112233445566aa", .seen = 9};
    char *text;

    (void)state;
    sb_buf_add_str(&local.doc, "{\"from\":\"cloud\"}");
    local.hlc = UINT64_C(0x7fff000000000000); /* edited by a device whose clock runs ahead */
    assert_int_equal(outbox_begin(ob, &err), 0);
    assert_int_equal(outbox_document_set(ob, &settings, &local, &err), 0);
    assert_int_equal(outbox_commit(ob, &err), 0);
    outbox_document_fini(&local);
    assert_int_equal(put_settings("{\"from\":\"edge\"}", "op-1", NULL), 0);
    assert_int_equal(enqueue_commit(eq, &err), 0);
    text = listing(NULL);
    assert_non_null(strstr(text, "\"base\":{\"tag\":\"00112233445566aa\"}"));
    assert_non_null(strstr(text, "\"hlc\":\"7fff000000000001\""));
    free(text);
    assert_int_equal(outbox_document_get(ob, &settings, &local, &err), 0);
    assert_int_equal(local.seen, 9);
    outbox_document_fini(&local);
}

static void a_repeated_settings_op_changes_nothing(void **state)
{
    struct outbox_document local;
    struct enqueue_receipt r;

    (void)state;
    assert_int_equal(put_settings("{\"n\":1}", "op-1", NULL), 0);
    assert_int_equal(put_settings("{\"n\":2}", "op-2", NULL), 0);
    assert_int_equal(enqueue_commit(eq, &err), 0);
    assert_int_equal(put_settings("{\"n\":1}", "op-1", &r), 0);
    assert_int_equal(enqueue_commit(eq, &err), 0);
    assert_true(r.repeat);
    assert_int_equal(r.seq, 1);
    assert_int_equal(put_settings("{\"n\":3}", "op-1", &r), -(int)SB_EID_REUSED);
    assert_int_equal(outbox_document_get(ob, &settings, &local, &err), 0);
    assert_string_equal(local.doc.data, "{\"n\":2}");
    outbox_document_fini(&local);
}

static void settings_must_be_an_object_of_a_valid_user(void **state)
{
    (void)state;
    assert_int_equal(put_settings("[1]", "", NULL), -(int)SB_EBAD_TYPE);
    assert_int_equal(put_settings("{\"a\":1}x", "", NULL), -(int)SB_EBAD_JSON);
    assert_int_equal(enqueue_settings(eq, "a.b", SB_SPAN("{}"), SB_SPAN(""), now, &rng, NULL, &err),
                     -(int)SB_EBAD_ID);
    assert_int_equal(put(&(struct sb_stream){SB_UP_SETTINGS, "u"}, "{}", "", NULL),
                     -(int)SB_EBAD_STREAM);
}

/* ---- switches ---- */

static void what_is_switched_off_stays_on_the_device(void **state)
{
    struct enqueue_switches off = {true, false, false, false, 0};
    struct outbox_document local;
    struct enqueue_receipt r;

    (void)state;
    for (int i = 0; i < 2; i++) {
        reopen(off);
        assert_int_equal(put(&air, "{\"a\":1}", "", &r), 0);
        assert_false(r.queued);
        assert_int_equal(r.seq, 0);
        assert_int_equal(put(&history, "{\"command_id\":\"c-1\"}", "", &r), 0);
        assert_false(r.queued);
        assert_int_equal(put_settings("{\"n\":1}", "", &r), 0);
        assert_false(r.queued);
        assert_int_equal(put(&air, "{\"a\":}", "", &r), -(int)SB_EBAD_JSON);
        assert_int_equal(enqueue_commit(eq, &err), 0);
        off = (struct enqueue_switches){false, true, true, true, 0};
    }
    assert_outbox("");
    assert_int_equal(outbox_document_get(ob, &settings, &local, &err), 0);
    assert_true(local.exists);
    assert_string_equal(local.last_op, "");
    outbox_document_fini(&local);
}

/* ---- groups ---- */

static void a_rolled_back_group_leaves_nothing(void **state)
{
    struct enqueue_receipt r;

    (void)state;
    assert_int_equal(put(&air, "{\"a\":1}", "id-1", NULL), 0);
    assert_int_equal(put(&sys, "{\"a\":1}", "", NULL), 0);
    assert_int_equal(put_settings("{\"n\":1}", "op-1", NULL), 0);
    enqueue_rollback(eq);
    assert_int_equal(enqueue_open_records(eq), 0);
    assert_int_equal(enqueue_commit(eq, &err), 0);
    assert_outbox("");
    assert_int_equal(put(&air, "{\"a\":2}", "id-1", &r), 0);
    assert_int_equal(enqueue_commit(eq, &err), 0);
    assert_int_equal(r.seq, 1);
}

/* Of callers that share a commit: one that invents names must not cost the others theirs. */
static void a_stream_too_many_is_refused_alone(void **state)
{
    struct sb_stream stream = {.class = SB_UP_SENSORS};
    struct enqueue_receipt receipt[2];

    (void)state;
    for (int i = 0; i < OUTBOX_MAX_STREAMS; i++) {
        snprintf(stream.name, sizeof(stream.name), "s%d", i);
        assert_int_equal(put(&stream, "{\"a\":1}", "", NULL), 0);
    }
    assert_int_equal(enqueue_commit(eq, &err), 0);
    assert_int_equal(put(&stream, "{\"a\":2}", "", &receipt[0]), 0);
    snprintf(stream.name, sizeof(stream.name), "one_more");
    assert_int_equal(put(&stream, "{\"a\":1}", "", &receipt[1]), -SB_ELIMIT);
    assert_int_equal(enqueue_open_records(eq), 1);
    assert_int_equal(enqueue_commit(eq, &err), 0);
    assert_int_equal(receipt[0].seq, 2);
    assert_int_equal(put(&stream, "{\"a\":1}", "", NULL), -SB_ELIMIT);
    assert_int_equal(outbox_begin(ob, &err), 0); /* nobody is kept waiting by it */
    outbox_rollback(ob);
}

static void streams_may_be_mixed_in_a_group(void **state)
{
    struct enqueue_receipt r[4];

    (void)state;
    assert_int_equal(put(&air, "{\"a\":1}", "", &r[0]), 0);
    assert_int_equal(put_settings("{\"n\":1}", "", &r[1]), 0);
    assert_int_equal(put(&history, "{\"command_id\":\"c-1\"}", "", &r[2]), 0);
    assert_int_equal(put(&air, "{\"a\":2}", "", &r[3]), 0);
    assert_int_equal(enqueue_commit(eq, &err), 0);
    assert_int_equal(r[0].seq, 1);
    assert_int_equal(r[1].seq, 1);
    assert_int_equal(r[2].seq, 1);
    assert_int_equal(r[3].seq, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_reading_becomes_fields_and_a_row_with_its_bytes),
        TEST(a_reading_without_time_is_stamped),
        TEST(readings_with_equal_fields_share_a_chunk),
        TEST(chunks_are_cut_at_their_limits),
        TEST(bad_readings_are_named_and_leave_the_group),
        TEST(a_reading_has_at_most_64_fields),
        TEST(a_record_over_the_limit_is_refused),
        TEST(a_repeat_with_the_same_id_is_recognised),
        TEST(a_repeat_inside_one_group_is_recognised),
        TEST(an_id_with_other_content_is_refused),
        TEST(a_refused_record_alone_keeps_nobody_waiting),
        TEST(ids_are_checked),
        TEST(history_keeps_its_text_and_gets_an_hlc),
        TEST(hlcs_rise_within_a_group),
        TEST(bad_history_is_named),
        TEST(settings_name_their_base),
        TEST(settings_after_the_clouds_document_name_its_tag),
        TEST(a_repeated_settings_op_changes_nothing),
        TEST(settings_must_be_an_object_of_a_valid_user),
        TEST(what_is_switched_off_stays_on_the_device),
        TEST(a_rolled_back_group_leaves_nothing),
        TEST(streams_may_be_mixed_in_a_group),
        TEST(a_stream_too_many_is_refused_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
