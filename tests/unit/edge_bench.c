#include "edge_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/batch_decoder.h"
#include "common/gzip.h"

struct bench bench;

static struct sb_gzip *gzip;
static struct sb_batch_decoder *decoder;
static uint64_t commits;

/* ---- the link ---- */

static void note_batch(struct sent *sent)
{
    struct sb_batch batch;

    if (sent->kind != SB_KIND_BATCH)
        return;
    assert_int_equal(sb_batch_decode(decoder, sb_buf_span(&sent->json), 1000, &batch, &kit_err), 0);
    memcpy(sent->batch_id, batch.batch_id, sizeof(sent->batch_id));
    memcpy(sent->boot, batch.boot, sizeof(sent->boot));
    memcpy(sent->epoch, batch.epoch, sizeof(sent->epoch));
    sb_stream_print(&batch.stream, sent->stream);
    sent->lo = batch.first_seq;
    sent->hi = batch.last_seq;
    sent->hole = batch.form == SB_FORM_HOLE;
    sent->again = batch.again;
    assert_string_equal(sent->correlation, sent->batch_id);
}

static int publish(struct sb_link *link, const struct sb_link_message *message, uint32_t *token,
                   struct sb_err *err)
{
    struct sent *sent = &bench.sent[bench.count];

    assert_ptr_equal(link, &bench.link);
    if (bench.refuse != SB_OK)
        return sb_fail(err, bench.refuse, "refused");
    assert_true(bench.count < sizeof(bench.sent) / sizeof(bench.sent[0]));
    assert_int_equal(message->qos, 1);
    assert_false(message->retain);
    *sent = (struct sent){.token = ++bench.tokens};
    snprintf(sent->topic, sizeof(sent->topic), "%s", message->topic);
    snprintf(sent->correlation, sizeof(sent->correlation), SB_SPAN_FMT,
             SB_SPAN_ARG(message->correlation));
    assert_int_equal(
        sb_gzip_unpack(gzip, message->payload, SB_PAYLOAD_MAX_BYTES, &sent->json, &kit_err), 0);
    assert_int_equal(sb_message_kind(sb_buf_span(&sent->json), &sent->kind, &kit_err), 0);
    note_batch(sent);
    bench.count++;
    if (token != NULL)
        *token = sent->token;
    return 0;
}

static void drop(struct sb_link *link)
{
    assert_ptr_equal(link, &bench.link);
    bench.dropped = true;
}

/* ---- life ---- */

int bench_setup(void **state)
{
    gzip = sb_gzip_new(1);
    decoder = sb_batch_decoder_new();
    bench = (struct bench){.link = {publish, drop}};
    commits = 0;
    return kit_setup(state);
}

int bench_teardown(void **state)
{
    edge_free(bench.edge);
    for (size_t i = 0; i < bench.count; i++)
        sb_buf_free(&bench.sent[i].json);
    sb_gzip_free(gzip);
    sb_batch_decoder_free(decoder);
    return kit_teardown(state);
}

void bench_start(void)
{
    const struct edge_config config = {
        .device = "edge-001",
        .device_boot = KIT_BOOT,
        .session = {.refused_min_ms = 5000},
        .pacer = {.window_max = 4,
                  .rto_min_ms = 1000,
                  .rto_max_ms = 30000,
                  .retry_min_ms = 30000,
                  .retry_max_ms = 1800000},
        .gzip_level = 1,
        .resend_ms = 7 * INT64_C(86400000),
        .history_ms = 90 * INT64_C(86400000),
        .resend_bytes = 64 << 20,
        .purge_interval_ms = 60000,
        .puback_timeout_ms = 60000,
    };

    edge_free(bench.edge);
    bench.edge = NULL;
    assert_int_equal(edge_new(&config, kit_ob, &bench.link, &kit_rng, &bench.edge, &kit_err), 0);
}

void bench_tick(void)
{
    edge_tick(bench.edge, kit_now);
}

void bench_pass(int64_t ms)
{
    kit_now.mono_ms += ms;
    kit_now.wall_us += ms * 1000;
}

static void event_of(enum sb_link_event_kind kind, uint32_t receive_max)
{
    const struct sb_link_event event = {.kind = kind, .receive_max = receive_max};

    edge_event(bench.edge, &event, kit_now);
}

void bench_connect(void)
{
    event_of(SB_LINK_UP, 20);
    bench_online(KIT_INGEST);
}

void bench_disconnect(void)
{
    event_of(SB_LINK_DOWN, 0);
}

void bench_open(void)
{
    struct sb_hello hello;

    if (bench.edge == NULL)
        bench_start();
    bench_connect();
    bench_tick();
    bench_puback(bench_next_hello(&hello), SB_OK);
    bench_welcome(hello.nonce, KIT_INGEST, ++commits, false);
    sb_hello_free(&hello);
    bench_tick();
}

/* ---- what was published ---- */

struct sent *bench_next(void)
{
    assert_in_range(bench.seen + 1, 1, bench.count);
    return &bench.sent[bench.seen++];
}

struct sent *bench_next_batch(const char *stream, uint64_t lo, uint64_t hi)
{
    struct sent *sent = bench_next();

    assert_int_equal(sent->kind, SB_KIND_BATCH);
    assert_string_equal(sent->stream, stream);
    assert_int_equal(sent->lo, lo);
    assert_int_equal(sent->hi, hi);
    return sent;
}

struct sent *bench_next_hello(struct sb_hello *hello)
{
    struct sent *sent = bench_next();

    assert_int_equal(sent->kind, SB_KIND_HELLO);
    assert_int_equal(sb_hello_decode(sb_buf_span(&sent->json), hello, &kit_err), 0);
    return sent;
}

void bench_assert_quiet(void)
{
    assert_int_equal(bench.seen, bench.count);
}

void bench_puback(const struct sent *sent, enum sb_code code)
{
    struct sb_link_event event = {.kind = SB_LINK_PUBLISHED, .token = sent->token};

    if (code != SB_OK)
        sb_fail(&event.err, code, "refused");
    edge_event(bench.edge, &event, kit_now);
}

void bench_puback_all(void)
{
    for (size_t i = 0; i < bench.count; i++)
        bench_puback(&bench.sent[i], SB_OK);
}

/* ---- what comes down ---- */

static void deliver_with(const char *topic, struct sb_span payload, const char *correlation,
                         bool retained)
{
    struct sb_link_event event = {
        .kind = SB_LINK_MESSAGE, .topic = sb_xstrdup(topic), .retained = retained};

    sb_buf_add_span(&event.payload, payload);
    sb_buf_add_str(&event.correlation, correlation);
    edge_event(bench.edge, &event, kit_now);
    sb_link_event_fini(&event);
}

static void deliver(const char *topic, struct sb_span payload, bool retained)
{
    deliver_with(topic, payload, "", retained);
}

void bench_send(const char *class, const struct sb_buf *json, bool retained)
{
    char topic[SB_TOPIC_MAX];

    sb_topic_down(topic, "edge-001", class);
    deliver(topic, sb_buf_span(json), retained);
}

void bench_online(const char *boot)
{
    struct sb_buf json = {0};
    char topic[SB_TOPIC_MAX];

    sb_topic_ingest(topic, 0);
    if (boot != NULL)
        sb_buf_add_fmt(&json, "{\"v\":1,\"state\":\"online\",\"boot\":\"%s\"}", boot);
    else
        sb_buf_add_fmt(&json, "{\"v\":1,\"state\":\"lost\",\"boot\":\"%s\"}", KIT_INGEST);
    deliver(topic, sb_buf_span(&json), true);
    sb_buf_free(&json);
}

static void send_welcome(void *ctx, struct sb_span json)
{
    char topic[SB_TOPIC_MAX];

    (void)ctx;
    sb_topic_down(topic, "edge-001", "reply");
    deliver(topic, json, false);
}

void bench_welcome(const char *nonce, const char *boot, uint64_t commit, bool restored)
{
    struct sb_welcome welcome;

    sb_welcome_init(&welcome);
    memcpy(welcome.nonce, nonce, sizeof(welcome.nonce));
    memcpy(welcome.boot, boot, sizeof(welcome.boot));
    welcome.commit = commit;
    welcome.restored = restored;
    welcome.limits = (struct sb_limits){131072, 1000, 1048576};
    welcome.tables = sb_xcalloc(4, sizeof(*welcome.tables));
    for (size_t i = 0; i < 4 && bench.tables[i] != NULL; i++)
        snprintf(welcome.tables[welcome.table_count++], SB_NAME_MAX + 1, "%s", bench.tables[i]);
    sb_welcome_encode(&welcome, SB_HELLO_PAGE_BYTES, send_welcome, NULL);
    sb_welcome_free(&welcome);
}

static void start_reply(struct sb_reply *reply, const struct sent *batch)
{
    sb_reply_init(reply);
    memcpy(reply->boot, batch->boot[0] != '\0' ? batch->boot : KIT_INGEST, sizeof(reply->boot));
    memcpy(reply->batch_id, batch->batch_id, sizeof(reply->batch_id));
    memcpy(reply->epoch, batch->epoch, sizeof(reply->epoch));
    memcpy(reply->stream, batch->stream, sizeof(reply->stream));
    reply->first_seq = batch->lo;
    reply->last_seq = batch->hi;
}

static void send_reply(struct sb_reply *reply)
{
    struct sb_buf json = {0};

    sb_reply_encode(reply, NULL, SIZE_MAX, &json);
    bench_send("reply", &json, false);
    sb_buf_free(&json);
    sb_reply_free(reply);
}

void bench_answer(const struct sent *batch, void (*edit)(struct sb_reply *reply))
{
    struct sb_reply reply;

    start_reply(&reply, batch);
    reply.commit = ++commits;
    reply.result = SB_RESULT_STORED;
    reply.accepted = batch->hi - batch->lo + 1;
    if (edit != NULL)
        edit(&reply);
    send_reply(&reply);
}

void bench_reject_two(struct sb_reply *reply)
{
    sb_reply_reject(reply, reply->first_seq + 1, SB_EBAD_VALUE, "too high");
    reply->accepted--;
}

void bench_refuse(const struct sent *batch, enum sb_code code, uint64_t retry_after_ms)
{
    struct sb_reply reply;

    start_reply(&reply, batch);
    reply.result = SB_RESULT_RETRY;
    reply.code = code;
    reply.retry_after_ms = retry_after_ms;
    snprintf(reply.reason, sizeof(reply.reason), "%s", sb_code_name(code));
    send_reply(&reply);
}

void bench_refuse_hello(const char *nonce, enum sb_code code)
{
    struct sb_buf json = {0};

    sb_buf_add_fmt(&json,
                   "{\"v\":1,\"kind\":\"ack\",\"boot\":\"%s\",\"commit\":null,\"batch_id\":\"%s\","
                   "\"epoch\":null,\"stream\":null,\"first_seq\":null,\"last_seq\":null,"
                   "\"result\":\"retry\",\"accepted\":0,\"duplicates\":0,\"revised\":0,"
                   "\"code\":\"%s\",\"reason\":\"no\",\"retry_after_ms\":0}",
                   KIT_INGEST, nonce, sb_code_name(code));
    deliver_with("sb/v1/down/edge-001/reply", sb_buf_span(&json), nonce, false);
    sb_buf_free(&json);
}

void bench_assert_settled(const char *stream, const char *text)
{
    kit_assert_ranges(&kit_load(stream)->settled, text);
}

struct edge_status bench_status(void)
{
    struct edge_status status;

    edge_status(bench.edge, &status);
    return status;
}
