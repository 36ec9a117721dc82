/* What the edge's core reads from the cloud (V5, V6), with a test that plays the cloud: cursors,
 * pages, stale documents, and what none of that may hold up. */
#include "pull_kit.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"

/* ---- who is pulled ---- */

static void nobody_is_pulled_unasked(void **state)
{
    (void)state;
    pull_put("p1", "op-1", "{\"n\":1}");
    bench_open();
    bench_answer(bench_next_batch(PULL_RECORDS, 1, 1), NULL);
    bench_tick();
    pull_notify("projects", 9);
    bench_assert_quiet();
    assert_int_equal(edge_sync(bench.edge, "user-1", NULL, 0, kit_now, NULL, NULL, &kit_err),
                     -SB_ENOT_FOUND);
}

static void first_sync_begins_at_null_and_the_next_one_at_the_cursor(void **state)
{
    struct outbox_sync sync;

    (void)state;
    pull_add_user("user-1");
    bench_open();
    pull_answer(pull_next_changes("projects", 0),
                PULL_PAGE("projects", PULL_CHANGE("p1", 2, "{\"n\": 1}") "," PULL_GONE("p2", 3), 4,
                          4, "false"));
    pull_answer(pull_next_changes("settings", 0), PULL_EMPTY("settings"));
    pull_assert_document("p1", "{\"n\": 1}");
    pull_assert_document("p2", "-");
    assert_int_equal(outbox_sync_get(kit_ob, "user-1", "projects", &sync, &kit_err), 0);
    assert_int_equal(sync.cursor_version, 4);
    assert_string_equal(sync.cursor_tag, PULL_TAG(4));
    assert_int_equal(sync.last_server_version, 4);
    assert_int_equal(sync.last_download_us, kit_now.wall_us);
    pull_sync_projects();
    pull_answer(pull_next_changes("projects", 4), PULL_PAGE("projects", "", 4, 4, "false"));
    bench_assert_quiet();
}

static void every_user_and_table_has_a_cursor_of_its_own(void **state)
{
    (void)state;
    bench.tables[1] = "contents";
    pull_add_user("user-1");
    bench_open();
    pull_answer(pull_next_changes("contents", 0), PULL_PAGE("contents", "", 3, 3, "false"));
    pull_answer(pull_next_changes("projects", 0),
                PULL_PAGE("projects", PULL_CHANGE("p1", 4, "{}"), 4, 4, "false"));
    pull_refuse(pull_next_changes("settings", 0), SB_EBUSY);
    pull_assert_cursor("contents", 3);
    pull_assert_cursor("projects", 4);
    pull_assert_cursor("settings", 0);
}

/* ---- pages (V6) ---- */

static void cursor_moves_at_the_end_of_a_pull_only(void **state)
{
    (void)state;
    pull_begin();
    pull_sync_projects();
    pull_answer(pull_next_changes("projects", 0),
                PULL_PAGE("projects", PULL_CHANGE("p1", 2, "{\"n\":1}"), 2, 5, "true"));
    pull_assert_document("p1", "{\"n\":1}");
    pull_assert_cursor("projects", 0);
    pull_answer(pull_next_changes("projects", 2),
                PULL_PAGE("projects", PULL_CHANGE("p2", 3, "{\"n\":2}"), 3, 5, "true"));
    pull_assert_cursor("projects", 0);
    pull_answer(pull_next_changes("projects", 3), PULL_PAGE("projects", "", 5, 5, "false"));
    pull_assert_cursor("projects", 5);
    bench_assert_quiet();
}

static void process_that_ends_within_a_pull_begins_it_anew(void **state)
{
    (void)state;
    pull_begin();
    pull_sync_projects();
    pull_answer(pull_next_changes("projects", 0),
                PULL_PAGE("projects", PULL_CHANGE("p1", 2, "{\"n\":1}"), 2, 5, "true"));
    pull_next_changes("projects", 2);
    bench_start();
    bench_open();
    pull_next_changes("projects", 0);
    pull_next_changes("settings", 0);
}

static void page_and_cursor_are_taken_together_or_not_at_all(void **state)
{
    const struct outbox_config config = {
        .path = "file:/pulling?vfs=memdb", .busy_timeout_ms = 1, .create = true, .in_memory = true};
    struct outbox *other;

    (void)state;
    outbox_close(kit_ob);
    assert_int_equal(outbox_open(&config, &kit_rng, &kit_ob, &kit_err), 0);
    assert_int_equal(outbox_open(&config, &kit_rng, &other, &kit_err), 0);
    pull_begin();
    pull_sync_projects();
    pull_next_changes("projects", 0);
    assert_int_equal(outbox_begin(other, &kit_err), 0);
    pull_answer(&bench.sent[bench.count - 1],
                PULL_PAGE("projects", PULL_CHANGE("p1", 2, "{\"n\":1}"), 5, 5, "false"));
    outbox_rollback(other);
    pull_assert_document("p1", "-");
    pull_assert_cursor("projects", 0);
    bench_pass(31000);
    bench_tick();
    pull_answer(pull_next_changes("projects", 0),
                PULL_PAGE("projects", PULL_CHANGE("p1", 2, "{\"n\":1}"), 5, 5, "false"));
    pull_assert_document("p1", "{\"n\":1}");
    pull_assert_cursor("projects", 5);
    outbox_close(other);
}

static void assert_policy(const char *table, enum sb_policy expected, const char *arrays)
{
    enum sb_policy policy;
    struct sb_buf text = {0};

    assert_int_equal(outbox_policy_get(kit_ob, "user-1", table, &policy, &text, &kit_err), 0);
    assert_int_equal(policy, expected);
    assert_true(sb_span_is(sb_buf_span(&text), arrays));
    sb_buf_free(&text);
}

/* Before any conflict told it: an encrypted edit needs its stamps by then. */
static void policy_is_learnt_from_a_page_of_changes(void **state)
{
    (void)state;
    pull_begin();
    pull_sync_projects();
    pull_answer(
        pull_next_changes("projects", 0),
        "{\"user\":\"user-1\",\"table\":\"projects\",\"policy\":\"latest\",\"arrays\":{\"/n\":"
        "\"id\"},\"changes\":[],\"cursor\":null,\"latest_version\":0,\"has_more\":false}");
    assert_policy("projects", SB_POLICY_LATEST, "{\"/n\":\"id\"}");
    assert_policy("settings", SB_POLICY_NONE, "");
    pull_sync_projects();
    pull_answer(pull_next_changes("projects", 0),
                PULL_EMPTY("projects")); /* a cloud that does not tell it */
    assert_policy("projects", SB_POLICY_LATEST, "{\"/n\":\"id\"}");
}

/* Tombstones are gone that were newer than its first page: the cloud is told when the pull began.
 * One that refuses even so is not asked for the first page again and again. */
static void pages_of_a_pull_from_the_beginning_say_when_it_began(void **state)
{
    struct sent *sent;

    (void)state;
    pull_begin();
    pull_sync_projects();
    sent = pull_next_changes("projects", 0);
    assert_null(strstr(sent->json.data, "began"));
    pull_answer(sent, PULL_PAGE("projects", PULL_CHANGE("p1", 2, "{\"n\":1}"), 2, 9, "true"));
    sent = pull_next_changes("projects", 2);
    assert_non_null(strstr(sent->json.data, "\"began\":9"));
    pull_refuse(sent, SB_ECURSOR_UNKNOWN);
    bench_assert_quiet();
    bench_pass(31000);
    bench_tick();
    pull_answer(pull_next_changes("projects", 0), PULL_PAGE("projects", "", 9, 9, "false"));
    pull_answer(pull_next_read("p1"), PULL_DOCUMENT("p1", 2, "{\"n\":1}"));
    pull_sync_projects();
    assert_null(strstr(pull_next_changes("projects", 9)->json.data, "began"));
}

/* ---- stale documents (V5) ---- */

static void document_that_did_not_fit_into_a_page_is_read(void **state)
{
    (void)state;
    pull_begin();
    pull_sync_projects();
    pull_answer(pull_next_changes("projects", 0),
                PULL_PAGE("projects", PULL_LARGE("p1", 2), 5, 5, "false"));
    pull_answer(pull_next_read("p1"), PULL_DOCUMENT("p1", 2, "{\"n\":1}"));
    pull_assert_document("p1", "{\"n\":1}");
    bench_assert_quiet();
}

static void document_that_no_answer_can_hold_is_marked_and_not_asked_for_again(void **state)
{
    const struct document_name name = pull_name("p1");
    struct outbox_document doc;

    (void)state;
    pull_begin();
    pull_sync_projects();
    pull_answer(pull_next_changes("projects", 0),
                PULL_PAGE("projects", PULL_LARGE("p1", 2), 5, 5, "false"));
    pull_refuse(pull_next_read("p1"), SB_ETOO_LARGE);
    assert_int_equal(outbox_document_get(kit_ob, &name, &doc, &kit_err), 0);
    assert_int_equal(doc.trouble, SB_ETOO_LARGE);
    assert_false(doc.stale);
    outbox_document_fini(&doc);
    bench_pass(5000);
    bench_tick();
    bench_assert_quiet();
}

static void document_that_cannot_be_read_holds_no_other_up(void **state)
{
    struct sent *reads[3];

    (void)state;
    pull_begin();
    pull_sync_projects();
    pull_answer(pull_next_changes("projects", 0),
                PULL_PAGE("projects",
                          PULL_LARGE("p1", 2) "," PULL_LARGE("p2", 3) "," PULL_LARGE("p3", 4), 5, 5,
                          "false"));
    reads[0] = pull_next_read("p1");
    reads[1] = pull_next_read("p2");
    reads[2] = pull_next_read("p3");
    pull_refuse(reads[0], SB_EINTERNAL);
    pull_answer(reads[1], "{\"id\":\"p2\",\"exists\":7}"); /* nothing that we can read */
    pull_answer(reads[2], PULL_DOCUMENT("p3", 4, "{\"n\":3}"));
    pull_assert_document("p3", "{\"n\":3}");
    bench_pass(29000);
    bench_tick();
    bench_assert_quiet();
    bench_pass(1000);
    bench_tick(); /* later again, the two alone */
    pull_answer(pull_next_changes("projects", 5), PULL_PAGE("projects", "", 5, 5, "false"));
    pull_answer(pull_next_read("p1"), PULL_DOCUMENT("p1", 2, "{\"n\":1}"));
    pull_answer(pull_next_read("p2"), PULL_DOCUMENT("p2", 3, "{\"n\":2}"));
    pull_assert_document("p1", "{\"n\":1}");
    pull_assert_document("p2", "{\"n\":2}");
    bench_pass(60000);
    bench_tick();
    bench_assert_quiet();
}

static void skipped_document_is_read_once_nothing_on_it_is_pending(void **state)
{
    struct sent *batch;

    (void)state;
    pull_begin();
    pull_put("p1", "op-1", "{\"n\":1}");
    bench_tick();
    batch = bench_next_batch(PULL_RECORDS, 1, 1);
    pull_sync_projects();
    pull_answer(pull_next_changes("projects", 0),
                PULL_PAGE("projects", PULL_CHANGE("p1", 5, "{\"n\":9}"), 5, 5, "false"));
    pull_assert_document("p1", "{\"n\":1}");
    bench_assert_quiet();
    bench_answer(batch, pull_names_six); /* it was merged there */
    bench_tick();
    pull_answer(pull_next_read("p1"), PULL_DOCUMENT("p1", 6, "{\"n\":1,\"m\":9}"));
    pull_assert_document("p1", "{\"n\":1,\"m\":9}");
}

static void page_asked_for_before_the_own_ack_does_not_put_the_old_one_back(void **state)
{
    struct sent *batch, *page;

    (void)state;
    pull_begin();
    pull_put("p1", "op-1", "{\"n\":1}");
    bench_tick();
    batch = bench_next_batch(PULL_RECORDS, 1, 1);
    pull_sync_projects();
    page = pull_next_changes("projects", 0);
    bench_answer(batch, pull_names_six);
    bench_tick();
    pull_answer(page, PULL_PAGE("projects", PULL_CHANGE("p1", 5, "{\"n\":0}"), 5, 5, "false"));
    pull_assert_document("p1", "{\"n\":1}");
    pull_answer(pull_next_read("p1"), PULL_DOCUMENT("p1", 6, "{\"n\":1}"));
    pull_assert_document("p1", "{\"n\":1}");
}

static void says_bad_value(struct sb_reply *reply)
{
    sb_reply_reject(reply, reply->first_seq, SB_EBAD_VALUE, "no");
    reply->accepted = 0;
    reply->result = SB_RESULT_REJECTED;
}

static void document_of_a_rejected_operation_is_read_again(void **state)
{
    (void)state;
    pull_begin();
    pull_put("p1", "op-1", "{\"n\":1}");
    bench_tick();
    bench_answer(bench_next_batch(PULL_RECORDS, 1, 1), says_bad_value);
    bench_tick();
    pull_answer(pull_next_read("p1"), PULL_NOTHING("p1", 1));
    pull_assert_document("p1", "-");
    kit_assert_dead(PULL_RECORDS " 1 bad_value;");
}

/* It goes under its own op_id, and the cloud tells its author nothing: the text here is without it.
 */
static void document_of_an_operation_tried_again_is_read_again(void **state)
{
    (void)state;
    pull_begin();
    pull_put("p1", "op-1", "{\"n\":1}");
    bench_tick();
    bench_answer(bench_next_batch(PULL_RECORDS, 1, 1), says_bad_value);
    bench_tick();
    pull_answer(pull_next_read("p1"), PULL_NOTHING("p1", 0));
    kit_begin();
    assert_int_equal(outbox_dead_retry(kit_ob, 1, kit_now, &kit_err), 0);
    kit_commit();
    edge_wake(bench.edge);
    bench_tick();
    bench_answer(bench_next_batch(PULL_RECORDS, 2, 2), pull_names_one);
    bench_tick();
    pull_answer(pull_next_read("p1"), PULL_DOCUMENT("p1", 1, "{\"n\":1}"));
    pull_assert_document("p1", "{\"n\":1}");
}

static void no_more_than_four_requests_wait_for_an_answer(void **state)
{
    struct sent *sent[4];

    (void)state;
    pull_begin();
    pull_sync_projects();
    pull_answer(pull_next_changes("projects", 0),
                PULL_PAGE("projects",
                          PULL_LARGE("p1", 1) "," PULL_LARGE("p2", 2) "," PULL_LARGE(
                              "p3", 3) "," PULL_LARGE("p4", 4) "," PULL_LARGE("p5", 5),
                          5, 5, "false"));
    sent[0] = pull_next_read("p1");
    sent[1] = pull_next_read("p2");
    sent[2] = pull_next_read("p3");
    sent[3] = pull_next_read("p4");
    bench_assert_quiet();
    pull_answer(sent[2], PULL_DOCUMENT("p3", 3, "{}"));
    pull_next_read("p5");
    bench_assert_quiet();
}

/* ---- nothing of it holds up the data ---- */

static void data_goes_on_while_requests_wait(void **state)
{
    (void)state;
    pull_begin();
    pull_sync_projects();
    pull_next_changes("projects", 0);
    for (int i = 0; i < 3; i++) {
        kit_readings(10);
        edge_wake(bench.edge);
        bench_tick();
        bench_answer(bench_next_batch(BENCH_AIR, (uint64_t)i * 10 + 1, (uint64_t)i * 10 + 10),
                     NULL);
        bench_puback_all();
        bench_tick();
    }
    bench_assert_settled(BENCH_AIR, "[[1,30]]");
}

static void request_without_an_answer_goes_again_after_the_timeout(void **state)
{
    struct sent *first, *second;

    (void)state;
    pull_begin();
    pull_sync_projects();
    first = pull_next_changes("projects", 0);
    bench_pass(900);
    bench_tick();
    bench_assert_quiet();
    bench_pass(3100);
    bench_tick();
    second = pull_next_changes("projects", 0);
    assert_string_equal(first->correlation, second->correlation);
    pull_answer(second, PULL_PAGE("projects", "", 5, 5, "false"));
    pull_answer(first, PULL_PAGE("projects", "", 4, 4, "false")); /* and the late one is nobody's */
    pull_assert_cursor("projects", 5);
}

static void refused_pull_is_tried_again_later_and_ever_later(void **state)
{
    (void)state;
    pull_begin();
    pull_sync_projects();
    pull_refuse(pull_next_changes("projects", 0), SB_EFORBIDDEN);
    bench_pass(29000);
    bench_tick();
    bench_assert_quiet();
    bench_pass(1000);
    bench_tick();
    pull_refuse(pull_next_changes("projects", 0), SB_EFORBIDDEN);
    bench_pass(59000);
    bench_tick();
    bench_assert_quiet();
    bench_pass(1000);
    bench_tick();
    pull_answer(pull_next_changes("projects", 0), PULL_PAGE("projects", "", 5, 5, "false"));
    pull_assert_cursor("projects", 5);
}

static void welcome_gives_a_refused_pull_one_try(void **state)
{
    struct sb_hello hello;

    (void)state;
    pull_begin();
    pull_sync_projects();
    pull_refuse(pull_next_changes("projects", 0), SB_EFORBIDDEN);
    edge_ask_hello(bench.edge);
    bench_tick();
    bench_next_hello(&hello);
    bench_welcome(hello.nonce, KIT_INGEST, 9, false);
    bench_tick();
    pull_next_changes("projects", 0);
    sb_hello_free(&hello);
}

/* ---- requests of others ---- */

struct answered {
    int calls;
    enum sb_code code;
    char data[64];
};

static void answered(void *ctx, struct sb_span data, const struct sb_err *err)
{
    struct answered *got = ctx;

    got->calls++;
    got->code = err->code;
    snprintf(got->data, sizeof(got->data), SB_SPAN_FMT, SB_SPAN_ARG(data));
}

static void request_of_somebody_else_is_carried(void **state)
{
    struct sb_request request;
    struct answered got = {0};

    (void)state;
    pull_begin();
    assert_int_equal(edge_request(bench.edge, "versions", SB_SPAN("{\"x\":1}"), 5000, kit_now,
                                  answered, &got, &kit_err),
                     0);
    bench_tick();
    pull_answer(pull_next_request("versions", &request), "{\"versions\":[]}");
    assert_true(sb_span_is(request.args, "{\"x\":1}"));
    assert_int_equal(got.calls, 1);
    assert_string_equal(got.data, "{\"versions\":[]}");
    assert_int_equal(edge_request(bench.edge, "versions", SB_SPAN("{}"), 5000, kit_now, answered,
                                  &got, &kit_err),
                     0);
    bench_tick();
    pull_refuse(pull_next_request("versions", &request), SB_EFORBIDDEN);
    assert_int_equal(got.code, SB_EFORBIDDEN);
    assert_int_equal(
        edge_request(bench.edge, "versions", SB_SPAN("{}"), 500, kit_now, answered, &got, &kit_err),
        0);
    bench_tick();
    bench_pass(500);
    bench_tick();
    assert_int_equal(got.calls, 3);
    assert_int_equal(got.code, SB_ETIMEOUT);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, pull_setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        CASE(nobody_is_pulled_unasked),
        CASE(first_sync_begins_at_null_and_the_next_one_at_the_cursor),
        CASE(every_user_and_table_has_a_cursor_of_its_own),
        CASE(cursor_moves_at_the_end_of_a_pull_only),
        CASE(process_that_ends_within_a_pull_begins_it_anew),
        CASE(page_and_cursor_are_taken_together_or_not_at_all),
        CASE(policy_is_learnt_from_a_page_of_changes),
        CASE(pages_of_a_pull_from_the_beginning_say_when_it_began),
        CASE(document_that_did_not_fit_into_a_page_is_read),
        CASE(document_that_no_answer_can_hold_is_marked_and_not_asked_for_again),
        CASE(document_that_cannot_be_read_holds_no_other_up),
        CASE(skipped_document_is_read_once_nothing_on_it_is_pending),
        CASE(page_asked_for_before_the_own_ack_does_not_put_the_old_one_back),
        CASE(document_of_a_rejected_operation_is_read_again),
        CASE(document_of_an_operation_tried_again_is_read_again),
        CASE(no_more_than_four_requests_wait_for_an_answer),
        CASE(data_goes_on_while_requests_wait),
        CASE(request_without_an_answer_goes_again_after_the_timeout),
        CASE(refused_pull_is_tried_again_later_and_ever_later),
        CASE(welcome_gives_a_refused_pull_one_try),
        CASE(request_of_somebody_else_is_carried),
    };
#undef CASE

    sb_log_init("test_pull", SB_LOG_BUG, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
