/* The edge's core as a whole: documents that it asks the cloud for, such as a user's settings. */
#include "edge_bench.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"

/* ---- a user's settings from the cloud ---- */

struct outcome {
    int calls, taken;
    uint64_t version;
    enum sb_code code;
};

static void restored(void *ctx, int taken, uint64_t version, const struct sb_err *err)
{
    struct outcome *outcome = ctx;

    outcome->calls++;
    outcome->taken = taken;
    outcome->version = version;
    outcome->code = err->code;
}

static struct sent *ask(struct outcome *outcome)
{
    assert_int_equal(edge_read(bench.edge, "user-1", "settings", "", 10000, kit_now, restored,
                               outcome, &kit_err),
                     0);
    bench_tick();
    return bench_next();
}

static void answer_request(const struct sent *request, const char *boot, const char *data)
{
    struct sb_request asked;
    struct sb_answer answer = {.success = data != NULL, .code = SB_EFORBIDDEN};
    struct sb_buf json = {0};

    assert_int_equal(request->kind, SB_KIND_REQUEST);
    assert_int_equal(sb_request_decode(sb_buf_span(&request->json), &asked, &kit_err), 0);
    assert_string_equal(asked.op, "document.get");
    assert_string_equal(asked.boot, KIT_INGEST);
    assert_true(
        sb_span_is(asked.args, "{\"user\":\"user-1\",\"table\":\"settings\",\"id\":\"settings\"}"));
    memcpy(answer.id, asked.id, sizeof(answer.id));
    snprintf(answer.boot, sizeof(answer.boot), "%s", boot);
    answer.data = data != NULL ? sb_span_of(data) : SB_SPAN("");
    sb_answer_encode(&answer, &json);
    bench_send("reply", &json, false);
    sb_buf_free(&json);
}

static const char document[] =
    "{\"id\":\"settings\",\"exists\":true,\"as_of\":7,\"version\":7,\"tag\":\"00000000000000aa\","
    "\"op_id\":\"op-x\",\"device\":\"edge-002\",\"hlc\":\"0000000000000009\","
    "\"updated_at\":\"2026-01-02T03:04:05Z\",\"data\":{\"v\":9}}";

static void document_of_the_cloud_is_taken(void **state)
{
    struct outbox_document settings;
    struct outcome outcome = {0};

    (void)state;
    bench_open();
    answer_request(ask(&outcome), KIT_INGEST, document);
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.code, SB_OK);
    assert_int_equal(outcome.version, 7);
    kit_settings(&settings);
    assert_string_equal(settings.doc.data, "{\"v\":9}");
    assert_string_equal(settings.base_tag, "00000000000000aa");
    assert_int_equal(settings.seen, 7);
    outbox_document_fini(&settings);
}

static void refused_request_is_told(void **state)
{
    struct outcome outcome = {0};

    (void)state;
    bench_open();
    answer_request(ask(&outcome), KIT_INGEST, NULL);
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.code, SB_EFORBIDDEN);
}

static void request_without_an_answer_times_out(void **state)
{
    struct outcome outcome = {0};

    (void)state;
    bench_open();
    ask(&outcome);
    bench_pass(9999);
    bench_tick();
    assert_int_equal(outcome.calls, 0);
    bench_pass(1);
    bench_tick();
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.code, SB_ETIMEOUT);
}

static void answer_of_another_boot_makes_a_hello_and_the_request_goes_again(void **state)
{
    struct outcome outcome = {0};
    struct sb_hello hello;

    (void)state;
    bench_open();
    answer_request(ask(&outcome), KIT_OTHER, document);
    assert_int_equal(outcome.calls, 0);
    bench_puback_all();
    bench_tick();
    bench_next_hello(&hello);
    bench_welcome(hello.nonce, KIT_INGEST, 9, false);
    bench_tick();
    answer_request(bench_next(), KIT_INGEST, document);
    assert_int_equal(outcome.calls, 1);
    sb_hello_free(&hello);
}

static void request_that_the_broker_lost_goes_again(void **state)
{
    struct outcome outcome = {0};

    (void)state;
    bench_open();
    bench_puback(ask(&outcome), SB_OK);
    bench_pass(3000);
    bench_tick();
    answer_request(bench_next(), KIT_INGEST, document);
    assert_int_equal(outcome.calls, 1);
}

/* A conflict whose document did not fit into the reply: the core asks for it by itself, also after
 * the process has ended. */
static void leave_out(struct sb_reply *reply)
{
    struct sb_conflict *conflict = sb_reply_conflict(reply, reply->first_seq);

    reply->accepted = 0;
    reply->result = SB_RESULT_CONFLICT;
    sb_buf_add_str(&conflict->pointers, "[\"\"]");
    conflict->as_of = 7;
    conflict->server = (struct sb_document){.exists = true, .fetch = true, .version = 7};
    memcpy(conflict->server.tag, "00000000000000aa", SB_TAG_LEN + 1);
}

static void document_that_did_not_fit_is_asked_for(void **state)
{
    struct outbox_document settings;

    (void)state;
    kit_edit("op-a");
    bench_open();
    bench_answer(bench_next_batch(BENCH_USER, 1, 1), leave_out);
    bench_tick();
    assert_int_equal(bench_next()->kind, SB_KIND_REQUEST); /* lost with the process */
    bench_start();
    bench_open();
    answer_request(bench_next(), KIT_INGEST, document);
    kit_settings(&settings);
    assert_string_equal(settings.doc.data, "{\"v\":9}");
    outbox_document_fini(&settings);
    bench_puback_all();
    bench_pass(5000);
    bench_tick();
    bench_assert_quiet();
}

static void too_many_requests_are_refused(void **state)
{
    struct outcome outcome = {0};

    (void)state;
    bench_start();
    for (int i = 0; i < 16; i++)
        assert_int_equal(edge_read(bench.edge, "user-1", "settings", "", 10000, kit_now, restored,
                                   &outcome, &kit_err),
                         0);
    assert_int_equal(edge_read(bench.edge, "user-1", "settings", "", 10000, kit_now, restored,
                               &outcome, &kit_err),
                     -SB_EBUSY);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        CASE(document_of_the_cloud_is_taken),
        CASE(refused_request_is_told),
        CASE(request_without_an_answer_times_out),
        CASE(answer_of_another_boot_makes_a_hello_and_the_request_goes_again),
        CASE(request_that_the_broker_lost_goes_again),
        CASE(document_that_did_not_fit_is_asked_for),
        CASE(too_many_requests_are_refused),
    };
#undef CASE

    sb_log_init("test_edge_requests", SB_LOG_BUG, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
