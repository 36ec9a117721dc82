/* What the edge's core reads from the cloud (V5, V6), with a test that plays the cloud: cursors,
 * pages, stale documents, other boots, rounds, and what none of that may hold up. */
#include "edge_bench.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/notify.h"
#include "common/request_conflicts.h"
#include "common/request_documents.h"
#include "edge_agent/enqueue.h"

#define RECORDS "records/user-1"

/* ---- the device ---- */

static int setup(void **state)
{
    int rc = bench_setup(state);

    bench.tables[0] = "projects";
    return rc;
}

static void add_user(const char *user)
{
    kit_begin();
    assert_int_equal(outbox_user_add(kit_ob, user, kit_now.wall_us, &kit_err), 0);
    kit_commit();
}

static struct document_name name_of(const char *id)
{
    struct document_name name;

    assert_int_equal(document_name_make(&name, "user-1", "projects", id, &kit_err), 0);
    return name;
}

static void put(const char *id, const char *op_id, const char *data)
{
    static const struct enqueue_switches all_on = {true, true, true, true, 0};
    struct enqueue *eq = enqueue_new(kit_ob, &all_on, KIT_BOOT);
    const struct document_name name = name_of(id);

    assert_int_equal(enqueue_document(eq, &name, DOCUMENT_PUT, sb_span_of(data), sb_span_of(op_id),
                                      kit_now, &kit_rng, NULL, &kit_err),
                     0);
    assert_int_equal(enqueue_commit(eq, &kit_err), 0);
    enqueue_free(eq);
    if (bench.edge != NULL)
        edge_wake(bench.edge);
}

static void assert_document(const char *id, const char *text)
{
    const struct document_name name = name_of(id);
    struct outbox_document doc;

    assert_int_equal(outbox_document_get(kit_ob, &name, &doc, &kit_err), 0);
    assert_string_equal(doc.exists ? doc.doc.data : "-", text);
    outbox_document_fini(&doc);
}

static void assert_cursor(const char *table, uint64_t version)
{
    struct outbox_sync sync;

    assert_int_equal(outbox_sync_get(kit_ob, "user-1", table, &sync, &kit_err), 0);
    assert_int_equal(sync.cursor_version, version);
}

/* ---- the cloud ---- */

static struct sent *next_request(const char *op, struct sb_request *request)
{
    struct sent *sent = bench_next();

    assert_int_equal(sent->kind, SB_KIND_REQUEST);
    assert_int_equal(sb_request_decode(sb_buf_span(&sent->json), request, &kit_err), 0);
    assert_string_equal(request->op, op);
    bench_puback(sent, SB_OK);
    return sent;
}

/* The next one asks for changes of that table since that version. */
static struct sent *next_changes(const char *table, uint64_t since)
{
    struct sb_request request;
    struct sent *sent = next_request(SB_OP_CHANGES, &request);
    struct sb_changes_args args;

    assert_int_equal(sb_changes_args_decode(request.args, &args, &kit_err), 0);
    assert_string_equal(args.user, "user-1");
    assert_string_equal(args.table, table);
    assert_int_equal(args.since.version, since);
    return sent;
}

static struct sent *next_read(const char *id)
{
    struct sb_request request;
    struct sent *sent = next_request(SB_OP_DOCUMENT_GET, &request);
    struct sb_document_args args;

    assert_int_equal(sb_document_args_decode(request.args, &args, &kit_err), 0);
    assert_string_equal(args.table, "projects");
    assert_string_equal(args.id, id);
    return sent;
}

static void send_answer(const struct sent *sent, struct sb_answer *answer, const char *boot)
{
    struct sb_buf json = {0};
    struct sb_request request;

    assert_int_equal(sb_request_decode(sb_buf_span(&sent->json), &request, &kit_err), 0);
    memcpy(answer->id, request.id, sizeof(answer->id));
    snprintf(answer->boot, sizeof(answer->boot), "%s", boot);
    sb_answer_encode(answer, &json);
    bench_send("reply", &json, false);
    sb_buf_free(&json);
}

static void answer_as(const struct sent *sent, const char *data, const char *boot)
{
    struct sb_answer answer = {.success = true, .data = sb_span_of(data)};

    send_answer(sent, &answer, boot);
}

static void answer(const struct sent *sent, const char *data)
{
    answer_as(sent, data, KIT_INGEST);
    bench_tick();
}

static void refuse(const struct sent *sent, enum sb_code code)
{
    struct sb_answer refusal = {.code = code, .reason = "no"};

    send_answer(sent, &refusal, KIT_INGEST);
    bench_tick();
}

#define TAG(version) "00000000000000a" #version
#define MEMBERS(version)                                                                           \
    "\"version\":" #version ",\"tag\":\"" TAG(version) "\",\"op_id\":\"op-x" #version              \
                                                       "\",\"device\":\"edge-002\",\"hlc\":"       \
                                                       "\"000000000000000" #version                \
                                                       "\",\"updated_at\":"                        \
                                                       "\"2026-01-02T03:04:05Z\","
#define CHANGE(id, version, data)                                                                  \
    "{\"id\":\"" id "\",\"operation\":\"update\"," MEMBERS(version) "\"data\":" data "}"
#define GONE(id, version)                                                                          \
    "{\"id\":\"" id "\",\"operation\":\"delete\"," MEMBERS(version) "\"deleted\":true}"
#define LARGE(id, version)                                                                         \
    "{\"id\":\"" id "\",\"operation\":\"update\"," MEMBERS(version) "\"fetch\":true}"
#define PAGE(table, list, version, latest, more)                                                   \
    "{\"user\":\"user-1\",\"table\":\"" table "\",\"changes\":[" list                              \
    "],\"cursor\":{\"version\":" #version                                                          \
    ",\"tag\":\"" TAG(version) "\"},\"latest_version\":" #latest ",\"has_more\":" more "}"
#define EMPTY(table)                                                                               \
    "{\"user\":\"user-1\",\"table\":\"" table                                                      \
    "\",\"changes\":[],\"cursor\":null,\"latest_version\":0,\"has_more\":false}"
#define DOCUMENT(id, version, data)                                                                \
    "{\"id\":\"" id "\",\"exists\":true,\"as_of\":" #version "," MEMBERS(version) "\"data\":" data \
                                                                                  "}"
#define NOTHING(id, as_of) "{\"id\":\"" id "\",\"exists\":false,\"as_of\":" #as_of "}"

/* The core begins, user-1 is here, and both tables are empty in the cloud. */
static void begin(void)
{
    add_user("user-1");
    bench_open();
    answer(next_changes("projects", 0), EMPTY("projects"));
    answer(next_changes("settings", 0), EMPTY("settings"));
    bench_assert_quiet();
}

static void sync_projects(void)
{
    assert_int_equal(edge_sync(bench.edge, "user-1", "projects", 0, kit_now, NULL, NULL, &kit_err),
                     0);
    bench_tick();
}

/* The ingest of another boot: a hello, its welcome. */
static void welcome_of(const char *boot)
{
    struct sb_hello hello;

    bench_online(boot);
    bench_tick();
    bench_puback(bench_next_hello(&hello), SB_OK);
    bench_welcome(hello.nonce, boot, 1, false);
    bench_tick();
    sb_hello_free(&hello);
}

static void notify(const char *table, uint64_t version)
{
    struct sb_notify note = {.version = version};
    struct sb_buf json = {0};

    snprintf(note.user, sizeof(note.user), "user-1");
    snprintf(note.table, sizeof(note.table), "%s", table);
    sb_notify_encode(&note, &json);
    bench_send("notify", &json, false);
    bench_tick();
    sb_buf_free(&json);
}

/* ---- who is pulled ---- */

static void nobody_is_pulled_unasked(void **state)
{
    (void)state;
    put("p1", "op-1", "{\"n\":1}");
    bench_open();
    bench_answer(bench_next_batch(RECORDS, 1, 1), NULL);
    bench_tick();
    notify("projects", 9);
    bench_assert_quiet();
    assert_int_equal(edge_sync(bench.edge, "user-1", NULL, 0, kit_now, NULL, NULL, &kit_err),
                     -SB_ENOT_FOUND);
}

static void first_sync_begins_at_null_and_the_next_one_at_the_cursor(void **state)
{
    struct outbox_sync sync;

    (void)state;
    add_user("user-1");
    bench_open();
    answer(next_changes("projects", 0),
           PAGE("projects", CHANGE("p1", 2, "{\"n\": 1}") "," GONE("p2", 3), 4, 4, "false"));
    answer(next_changes("settings", 0), EMPTY("settings"));
    assert_document("p1", "{\"n\": 1}");
    assert_document("p2", "-");
    assert_int_equal(outbox_sync_get(kit_ob, "user-1", "projects", &sync, &kit_err), 0);
    assert_int_equal(sync.cursor_version, 4);
    assert_string_equal(sync.cursor_tag, TAG(4));
    assert_int_equal(sync.last_server_version, 4);
    assert_int_equal(sync.last_download_us, kit_now.wall_us);
    sync_projects();
    answer(next_changes("projects", 4), PAGE("projects", "", 4, 4, "false"));
    bench_assert_quiet();
}

static void every_user_and_table_has_a_cursor_of_its_own(void **state)
{
    (void)state;
    bench.tables[1] = "contents";
    add_user("user-1");
    bench_open();
    answer(next_changes("contents", 0), PAGE("contents", "", 3, 3, "false"));
    answer(next_changes("projects", 0), PAGE("projects", CHANGE("p1", 4, "{}"), 4, 4, "false"));
    refuse(next_changes("settings", 0), SB_EBUSY);
    assert_cursor("contents", 3);
    assert_cursor("projects", 4);
    assert_cursor("settings", 0);
}

/* ---- pages (V6) ---- */

static void cursor_moves_at_the_end_of_a_pull_only(void **state)
{
    (void)state;
    begin();
    sync_projects();
    answer(next_changes("projects", 0),
           PAGE("projects", CHANGE("p1", 2, "{\"n\":1}"), 2, 5, "true"));
    assert_document("p1", "{\"n\":1}");
    assert_cursor("projects", 0);
    answer(next_changes("projects", 2),
           PAGE("projects", CHANGE("p2", 3, "{\"n\":2}"), 3, 5, "true"));
    assert_cursor("projects", 0);
    answer(next_changes("projects", 3), PAGE("projects", "", 5, 5, "false"));
    assert_cursor("projects", 5);
    bench_assert_quiet();
}

static void process_that_ends_within_a_pull_begins_it_anew(void **state)
{
    (void)state;
    begin();
    sync_projects();
    answer(next_changes("projects", 0),
           PAGE("projects", CHANGE("p1", 2, "{\"n\":1}"), 2, 5, "true"));
    next_changes("projects", 2);
    bench_start();
    bench_open();
    next_changes("projects", 0);
    next_changes("settings", 0);
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
    begin();
    sync_projects();
    next_changes("projects", 0);
    assert_int_equal(outbox_begin(other, &kit_err), 0);
    answer(&bench.sent[bench.count - 1],
           PAGE("projects", CHANGE("p1", 2, "{\"n\":1}"), 5, 5, "false"));
    outbox_rollback(other);
    assert_document("p1", "-");
    assert_cursor("projects", 0);
    bench_pass(31000);
    bench_tick();
    answer(next_changes("projects", 0),
           PAGE("projects", CHANGE("p1", 2, "{\"n\":1}"), 5, 5, "false"));
    assert_document("p1", "{\"n\":1}");
    assert_cursor("projects", 5);
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
    begin();
    sync_projects();
    answer(next_changes("projects", 0),
           "{\"user\":\"user-1\",\"table\":\"projects\",\"policy\":\"latest\",\"arrays\":{\"/n\":"
           "\"id\"},\"changes\":[],\"cursor\":null,\"latest_version\":0,\"has_more\":false}");
    assert_policy("projects", SB_POLICY_LATEST, "{\"/n\":\"id\"}");
    assert_policy("settings", SB_POLICY_NONE, "");
    sync_projects();
    answer(next_changes("projects", 0), EMPTY("projects")); /* a cloud that does not tell it */
    assert_policy("projects", SB_POLICY_LATEST, "{\"/n\":\"id\"}");
}

static void another_boot_drops_the_page_position(void **state)
{
    (void)state;
    begin();
    sync_projects();
    answer(next_changes("projects", 0),
           PAGE("projects", CHANGE("p1", 2, "{\"n\":1}"), 2, 5, "true"));
    next_changes("projects", 2); /* never answered */
    welcome_of(KIT_OTHER);
    next_changes("projects", 0); /* from the cursor */
    next_changes("settings", 0);
}

static void answer_of_another_boot_is_dropped_and_makes_a_hello_due(void **state)
{
    struct sb_hello hello;

    (void)state;
    begin();
    sync_projects();
    answer_as(next_changes("projects", 0),
              PAGE("projects", CHANGE("p1", 2, "{\"n\":1}"), 5, 5, "false"), KIT_OTHER);
    bench_tick();
    assert_document("p1", "-");
    assert_cursor("projects", 0);
    bench_next_hello(&hello);
    bench_welcome(hello.nonce, KIT_INGEST, 9, false);
    bench_tick();
    answer(next_changes("projects", 0), /* the same request, said again */
           PAGE("projects", CHANGE("p1", 2, "{\"n\":1}"), 5, 5, "false"));
    assert_document("p1", "{\"n\":1}");
    sb_hello_free(&hello);
}

static void welcome_of_another_boot_reads_again_what_was_seen_since(void **state)
{
    (void)state;
    begin();
    sync_projects();
    answer(next_changes("projects", 0),
           PAGE("projects", CHANGE("p1", 2, "{\"n\":1}"), 5, 5, "false"));
    put("p2", "op-1", "{\"n\":2}"); /* acked above the cursor */
    bench_tick();
    bench_answer(bench_next_batch(RECORDS, 1, 1), NULL);
    kit_begin(); /* as its ack would have said */
    assert_int_equal(outbox_document_see(kit_ob,
                                         &(struct document_name){"user-1", "projects", "p2"},
                                         "op-1", 6, &kit_err),
                     0);
    kit_commit();
    bench_tick();
    welcome_of(KIT_OTHER);
    answer_as(next_changes("projects", 5), PAGE("projects", "", 5, 5, "false"), KIT_OTHER);
    bench_tick();
    next_changes("settings", 0);
    answer_as(next_read("p2"), NOTHING("p2", 5), KIT_OTHER); /* the other cloud lost it */
    bench_tick();
    assert_document("p1", "{\"n\":1}"); /* below the cursor: as it was */
    assert_document("p2", "-");
}

static void unknown_cursor_pulls_from_the_beginning_and_reads_what_that_does_not_bring(void **state)
{
    (void)state;
    begin();
    sync_projects();
    answer(next_changes("projects", 0),
           PAGE("projects", CHANGE("p1", 2, "{\"n\":1}") "," CHANGE("p2", 3, "{\"n\":2}"), 5, 5,
                "false"));
    sync_projects();
    refuse(next_changes("projects", 5), SB_ECURSOR_UNKNOWN);
    assert_cursor("projects", 0);
    answer(next_changes("projects", 0),
           PAGE("projects", CHANGE("p1", 1, "{\"n\":0}"), 1, 1, "false")); /* rolled back */
    assert_document("p1", "{\"n\":0}");
    answer(next_read("p2"), NOTHING("p2", 1));
    assert_document("p2", "-");
    assert_cursor("projects", 1);
    bench_assert_quiet();
}

/* Tombstones are gone that were newer than its first page: the cloud is told when the pull began.
 * One that refuses even so is not asked for the first page again and again. */
static void pages_of_a_pull_from_the_beginning_say_when_it_began(void **state)
{
    struct sent *sent;

    (void)state;
    begin();
    sync_projects();
    sent = next_changes("projects", 0);
    assert_null(strstr(sent->json.data, "began"));
    answer(sent, PAGE("projects", CHANGE("p1", 2, "{\"n\":1}"), 2, 9, "true"));
    sent = next_changes("projects", 2);
    assert_non_null(strstr(sent->json.data, "\"began\":9"));
    refuse(sent, SB_ECURSOR_UNKNOWN);
    bench_assert_quiet();
    bench_pass(31000);
    bench_tick();
    answer(next_changes("projects", 0), PAGE("projects", "", 9, 9, "false"));
    answer(next_read("p1"), DOCUMENT("p1", 2, "{\"n\":1}"));
    sync_projects();
    assert_null(strstr(next_changes("projects", 9)->json.data, "began"));
}

/* ---- stale documents (V5) ---- */

static void document_that_did_not_fit_into_a_page_is_read(void **state)
{
    (void)state;
    begin();
    sync_projects();
    answer(next_changes("projects", 0), PAGE("projects", LARGE("p1", 2), 5, 5, "false"));
    answer(next_read("p1"), DOCUMENT("p1", 2, "{\"n\":1}"));
    assert_document("p1", "{\"n\":1}");
    bench_assert_quiet();
}

static void document_that_no_answer_can_hold_is_marked_and_not_asked_for_again(void **state)
{
    const struct document_name name = name_of("p1");
    struct outbox_document doc;

    (void)state;
    begin();
    sync_projects();
    answer(next_changes("projects", 0), PAGE("projects", LARGE("p1", 2), 5, 5, "false"));
    refuse(next_read("p1"), SB_ETOO_LARGE);
    assert_int_equal(outbox_document_get(kit_ob, &name, &doc, &kit_err), 0);
    assert_int_equal(doc.trouble, SB_ETOO_LARGE);
    assert_false(doc.stale);
    outbox_document_fini(&doc);
    bench_pass(5000);
    bench_tick();
    bench_assert_quiet();
}

static void names_version(struct sb_reply *reply)
{
    sb_reply_version(reply, reply->first_seq, 6);
}

static void skipped_document_is_read_once_nothing_on_it_is_pending(void **state)
{
    struct sent *batch;

    (void)state;
    begin();
    put("p1", "op-1", "{\"n\":1}");
    bench_tick();
    batch = bench_next_batch(RECORDS, 1, 1);
    sync_projects();
    answer(next_changes("projects", 0),
           PAGE("projects", CHANGE("p1", 5, "{\"n\":9}"), 5, 5, "false"));
    assert_document("p1", "{\"n\":1}");
    bench_assert_quiet();
    bench_answer(batch, names_version); /* it was merged there */
    bench_tick();
    answer(next_read("p1"), DOCUMENT("p1", 6, "{\"n\":1,\"m\":9}"));
    assert_document("p1", "{\"n\":1,\"m\":9}");
}

static void page_asked_for_before_the_own_ack_does_not_put_the_old_one_back(void **state)
{
    struct sent *batch, *page;

    (void)state;
    begin();
    put("p1", "op-1", "{\"n\":1}");
    bench_tick();
    batch = bench_next_batch(RECORDS, 1, 1);
    sync_projects();
    page = next_changes("projects", 0);
    bench_answer(batch, names_version);
    bench_tick();
    answer(page, PAGE("projects", CHANGE("p1", 5, "{\"n\":0}"), 5, 5, "false"));
    assert_document("p1", "{\"n\":1}");
    answer(next_read("p1"), DOCUMENT("p1", 6, "{\"n\":1}"));
    assert_document("p1", "{\"n\":1}");
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
    begin();
    put("p1", "op-1", "{\"n\":1}");
    bench_tick();
    bench_answer(bench_next_batch(RECORDS, 1, 1), says_bad_value);
    bench_tick();
    answer(next_read("p1"), NOTHING("p1", 1));
    assert_document("p1", "-");
    kit_assert_dead(RECORDS " 1 bad_value;");
}

static void no_more_than_four_requests_wait_for_an_answer(void **state)
{
    struct sent *sent[4];

    (void)state;
    begin();
    sync_projects();
    answer(next_changes("projects", 0), PAGE("projects",
                                             LARGE("p1", 1) "," LARGE("p2", 2) "," LARGE(
                                                 "p3", 3) "," LARGE("p4", 4) "," LARGE("p5", 5),
                                             5, 5, "false"));
    sent[0] = next_read("p1");
    sent[1] = next_read("p2");
    sent[2] = next_read("p3");
    sent[3] = next_read("p4");
    bench_assert_quiet();
    answer(sent[2], DOCUMENT("p3", 3, "{}"));
    next_read("p5");
    bench_assert_quiet();
}

/* ---- nothing of it holds up the data ---- */

static void data_goes_on_while_requests_wait(void **state)
{
    (void)state;
    begin();
    sync_projects();
    next_changes("projects", 0);
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
    begin();
    sync_projects();
    first = next_changes("projects", 0);
    bench_pass(900);
    bench_tick();
    bench_assert_quiet();
    bench_pass(3100);
    bench_tick();
    second = next_changes("projects", 0);
    assert_string_equal(first->correlation, second->correlation);
    answer(second, PAGE("projects", "", 5, 5, "false"));
    answer(first, PAGE("projects", "", 4, 4, "false")); /* and the late one is nobody's */
    assert_cursor("projects", 5);
}

static void refused_pull_is_tried_again_later_and_ever_later(void **state)
{
    (void)state;
    begin();
    sync_projects();
    refuse(next_changes("projects", 0), SB_EFORBIDDEN);
    bench_pass(29000);
    bench_tick();
    bench_assert_quiet();
    bench_pass(1000);
    bench_tick();
    refuse(next_changes("projects", 0), SB_EFORBIDDEN);
    bench_pass(59000);
    bench_tick();
    bench_assert_quiet();
    bench_pass(1000);
    bench_tick();
    answer(next_changes("projects", 0), PAGE("projects", "", 5, 5, "false"));
    assert_cursor("projects", 5);
}

static void welcome_gives_a_refused_pull_one_try(void **state)
{
    struct sb_hello hello;

    (void)state;
    begin();
    sync_projects();
    refuse(next_changes("projects", 0), SB_EFORBIDDEN);
    edge_ask_hello(bench.edge);
    bench_tick();
    bench_next_hello(&hello);
    bench_welcome(hello.nonce, KIT_INGEST, 9, false);
    bench_tick();
    next_changes("projects", 0);
    sb_hello_free(&hello);
}

/* ---- what makes a pull due ---- */

static void notify_pulls_the_table_that_it_names(void **state)
{
    (void)state;
    begin();
    notify("projects", 5);
    answer(next_changes("projects", 0), PAGE("projects", "", 5, 5, "false"));
    bench_assert_quiet();
    notify("projects", 5); /* again, late */
    bench_assert_quiet();
    notify("projects", 6);
    next_changes("projects", 5);
    notify("other", 7);
    bench_assert_quiet();
}

static void names_version_one(struct sb_reply *reply)
{
    sb_reply_version(reply, reply->first_seq, 1);
}

static void names_version_nine(struct sb_reply *reply)
{
    sb_reply_version(reply, reply->first_seq, 9);
}

/* A lost notify: a version that does not follow the last known one was made on others'. */
static void ack_that_leaves_a_gap_pulls(void **state)
{
    (void)state;
    begin();
    put("p1", "op-1", "{\"n\":1}");
    bench_tick();
    bench_answer(bench_next_batch(RECORDS, 1, 1), names_version_one);
    bench_tick();
    bench_assert_quiet();
    put("p1", "op-2", "{\"n\":2}");
    bench_tick();
    bench_answer(bench_next_batch(RECORDS, 2, 2), names_version_nine);
    bench_tick();
    next_changes("projects", 0);
    bench_assert_quiet();
}

/* It goes under its own op_id, and the cloud tells its author nothing: the text here is without it.
 */
static void document_of_an_operation_tried_again_is_read_again(void **state)
{
    (void)state;
    begin();
    put("p1", "op-1", "{\"n\":1}");
    bench_tick();
    bench_answer(bench_next_batch(RECORDS, 1, 1), says_bad_value);
    bench_tick();
    answer(next_read("p1"), NOTHING("p1", 0));
    kit_begin();
    assert_int_equal(outbox_dead_retry(kit_ob, 1, kit_now, &kit_err), 0);
    kit_commit();
    edge_wake(bench.edge);
    bench_tick();
    bench_answer(bench_next_batch(RECORDS, 2, 2), names_version_one);
    bench_tick();
    answer(next_read("p1"), DOCUMENT("p1", 1, "{\"n\":1}"));
    assert_document("p1", "{\"n\":1}");
}

/* A cloud that was rolled back gives numbers again that were known here. */
static void ack_that_leaves_a_gap_pulls_after_a_rollback_too(void **state)
{
    struct sb_answer unknown = {.code = SB_ECURSOR_UNKNOWN, .reason = "no"};

    (void)state;
    begin();
    sync_projects();
    answer(next_changes("projects", 0), PAGE("projects", "", 9, 9, "false"));
    welcome_of(KIT_OTHER);
    send_answer(next_changes("projects", 9), &unknown, KIT_OTHER);
    bench_tick();
    answer_as(next_changes("settings", 0), EMPTY("settings"), KIT_OTHER);
    answer_as(next_changes("projects", 0), PAGE("projects", "", 3, 3, "false"), KIT_OTHER);
    bench_tick();
    put("p1", "op-1", "{\"n\":1}");
    bench_tick();
    bench_answer(bench_next_batch(RECORDS, 1, 1), names_version); /* 6 */
    bench_tick();
    next_changes("projects", 3);
}

static void set_auto(const char *table, bool on)
{
    kit_begin();
    assert_int_equal(outbox_sync_set_auto(kit_ob, "user-1", table, on, &kit_err), 0);
    kit_commit();
    edge_wake(bench.edge);
    bench_tick();
}

static void table_without_auto_sync_is_pulled_when_asked_for_only(void **state)
{
    (void)state;
    begin();
    set_auto("projects", false);
    notify("projects", 5);
    bench_assert_quiet();
    assert_int_equal(edge_sync_scheduled(bench.edge, 0, kit_now, NULL, NULL, &kit_err), 0);
    bench_tick();
    answer(next_changes("settings", 0), EMPTY("settings"));
    bench_assert_quiet();
    sync_projects();
    next_changes("projects", 0);
}

/* ---- switches ---- */

static void switched(enum sb_up_class class, bool on)
{
    kit_begin();
    assert_int_equal(outbox_switch_set(kit_ob, "user-1", class, on, &kit_err), 0);
    kit_commit();
    edge_wake(bench.edge);
    bench_tick();
}

static void switched_off_lane_waits_without_an_alarm_and_its_rows_stay(void **state)
{
    (void)state;
    begin();
    kit_now.wall_us++;
    kit_edit("op-a");
    kit_begin();
    assert_int_equal(outbox_switch_set(kit_ob, "user-1", SB_UP_SETTINGS, false, &kit_err), 0);
    kit_commit();
    edge_wake(bench.edge);
    bench_tick();
    bench_pass(100000);
    bench_tick();
    bench_assert_quiet();
    assert_int_equal(bench_status().pending, 1);
    assert_int_equal(bench_status().parked, 0);
    assert_int_equal(bench_status().last_error.code, SB_OK);
    put("p1", "op-1", "{}"); /* other classes go on */
    bench_tick();
    bench_answer(bench_next_batch(RECORDS, 1, 1), NULL);
    bench_tick();
    notify("settings", 5); /* nor is it pulled */
    bench_assert_quiet();
    switched(SB_UP_SETTINGS, true);
    bench_answer(bench_next_batch(BENCH_USER, 1, 1), NULL);
    bench_tick();
    assert_int_equal(bench_status().pending, 0);
}

static void user_that_leaves_is_pulled_no_longer(void **state)
{
    struct sent *page;

    (void)state;
    begin();
    sync_projects();
    page = next_changes("projects", 0);
    kit_begin();
    assert_int_equal(outbox_user_remove(kit_ob, "user-1", &kit_err), 0);
    kit_commit();
    edge_wake(bench.edge);
    bench_tick();
    answer(page, PAGE("projects", CHANGE("p1", 2, "{}"), 5, 5, "false"));
    assert_document("p1", "-");
    bench_pass(60000);
    bench_tick();
    bench_assert_quiet();
}

/* As another process does it: nobody is woken. */
static void purge_user(bool back)
{
    kit_begin();
    assert_int_equal(outbox_user_remove(kit_ob, "user-1", &kit_err), 0);
    assert_int_equal(outbox_user_purge(kit_ob, "user-1", false, &kit_err), 0);
    if (back)
        assert_int_equal(outbox_user_add(kit_ob, "user-1", kit_now.wall_us + 1, &kit_err), 0);
    kit_commit();
}

static void page_of_a_purged_user_brings_nothing_back(void **state)
{
    struct sent *page;

    (void)state;
    begin();
    sync_projects();
    page = next_changes("projects", 0);
    purge_user(false);
    answer(page, PAGE("projects", CHANGE("p1", 2, "{}"), 5, 5, "false"));
    assert_document("p1", "-");
    assert_cursor("projects", 0);
}

static void user_that_was_purged_and_came_back_is_pulled_from_the_beginning(void **state)
{
    struct sent *page;

    (void)state;
    begin();
    sync_projects();
    answer(next_changes("projects", 0), PAGE("projects", CHANGE("p1", 2, "{}"), 2, 5, "true"));
    page = next_changes("projects", 2);
    purge_user(true);
    answer(page, PAGE("projects", CHANGE("p2", 5, "{}"), 5, 5, "false"));
    assert_document("p2", "-");
    assert_cursor("projects", 0);
    sync_projects();
    answer(next_changes("projects", 0),
           PAGE("projects", CHANGE("p1", 2, "{}") "," CHANGE("p2", 5, "{}"), 5, 5, "false"));
    assert_document("p1", "{}");
    assert_document("p2", "{}");
}

static void read_of_a_purged_user_brings_nothing_back(void **state)
{
    struct sent *read;

    (void)state;
    begin();
    sync_projects();
    answer(next_changes("projects", 0), PAGE("projects", CHANGE("p1", 2, "{}"), 5, 5, "false"));
    kit_begin();
    assert_int_equal(outbox_documents_sweep(kit_ob, "user-1", "projects", &kit_err), 0);
    kit_commit();
    sync_projects();
    answer(next_changes("projects", 5), PAGE("projects", "", 5, 5, "false"));
    read = next_read("p1");
    purge_user(false);
    answer(read, DOCUMENT("p1", 6, "{}"));
    assert_document("p1", "-");
}

/* ---- rounds ---- */

struct outcome {
    int calls;
    struct edge_synced synced;
    enum sb_code code;
};

static void synced(void *ctx, const struct edge_synced *result, const struct sb_err *err)
{
    struct outcome *outcome = ctx;

    outcome->calls++;
    outcome->synced = *result;
    outcome->code = err->code;
}

static void begin_round(struct outcome *outcome, int64_t timeout_ms)
{
    assert_int_equal(
        edge_sync(bench.edge, "user-1", NULL, timeout_ms, kit_now, synced, outcome, &kit_err), 0);
    bench_tick();
}

static int copy_synced(void *ctx, const struct outbox_user *user)
{
    *(int64_t *)ctx = user->synced_us;
    return 0;
}

static void round_ends_when_everything_was_pulled_and_read(void **state)
{
    struct outcome outcome = {0};
    struct sent *projects;
    int64_t at = 0;

    (void)state;
    begin();
    begin_round(&outcome, 0);
    projects = next_changes("projects", 0);
    answer(next_changes("settings", 0), EMPTY("settings"));
    answer(projects, PAGE("projects", CHANGE("p1", 2, "{}") "," LARGE("p2", 3), 5, 5, "false"));
    assert_int_equal(outcome.calls, 0);
    answer(next_read("p2"), DOCUMENT("p2", 3, "{}"));
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.code, SB_OK);
    assert_int_equal(outcome.synced.changes, 2);
    assert_int_equal(outcome.synced.taken, 2);
    assert_int_equal(outcome.synced.stale, 0);
    assert_int_equal(outcome.synced.failed, 0);
    assert_int_equal(outbox_users(kit_ob, copy_synced, &at, &kit_err), 0);
    assert_int_equal(at, kit_now.wall_us);
}

static void round_with_a_failure_tells_it_and_goes_on(void **state)
{
    struct outcome outcome = {0};
    struct sent *projects;
    int64_t at = 0;

    (void)state;
    begin();
    begin_round(&outcome, 0);
    projects = next_changes("projects", 0);
    answer(next_changes("settings", 0), EMPTY("settings"));
    refuse(projects, SB_EFORBIDDEN);
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.code, SB_EFORBIDDEN);
    assert_int_equal(outcome.synced.failed, 1);
    assert_int_equal(outbox_users(kit_ob, copy_synced, &at, &kit_err), 0);
    assert_int_equal(at, 0);
    bench_pass(30000);
    bench_tick();
    next_changes("projects", 0);
}

static void round_that_takes_too_long_is_told_and_goes_on(void **state)
{
    struct outcome outcome = {0};
    struct sent *projects;

    (void)state;
    begin();
    begin_round(&outcome, 800);
    projects = next_changes("projects", 0);
    answer(next_changes("settings", 0), EMPTY("settings"));
    bench_pass(799);
    bench_tick();
    assert_int_equal(outcome.calls, 0);
    assert_true(edge_deadline(bench.edge) <= kit_now.mono_ms + 1);
    bench_pass(1);
    bench_tick();
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.code, SB_ETIMEOUT);
    answer(projects, PAGE("projects", "", 5, 5, "false"));
    assert_cursor("projects", 5);
    assert_int_equal(outcome.calls, 1);
}

/* What was asked for before does not answer for what happened since. */
static void round_that_joins_a_pull_waits_for_another_one(void **state)
{
    struct outcome first = {0}, second = {0};

    (void)state;
    begin();
    assert_int_equal(
        edge_sync(bench.edge, "user-1", "projects", 0, kit_now, synced, &first, &kit_err), 0);
    bench_tick();
    assert_int_equal(
        edge_sync(bench.edge, "user-1", "projects", 0, kit_now, synced, &second, &kit_err), 0);
    bench_tick();
    answer(next_changes("projects", 0), PAGE("projects", "", 5, 5, "false"));
    assert_int_equal(first.calls, 1);
    assert_int_equal(second.calls, 0);
    bench_tick();
    answer(next_changes("projects", 5), PAGE("projects", "", 5, 5, "false"));
    assert_int_equal(second.calls, 1);
    bench_assert_quiet();
}

static void too_many_rounds_are_refused(void **state)
{
    struct outcome outcome = {0};

    (void)state;
    begin();
    for (int i = 0; i < EDGE_SYNCS_MAX; i++)
        begin_round(&outcome, 0);
    assert_int_equal(edge_sync(bench.edge, "user-1", NULL, 0, kit_now, synced, &outcome, &kit_err),
                     -SB_EBUSY);
}

static void round_without_users_ends_at_once(void **state)
{
    struct outcome outcome = {0};

    (void)state;
    bench_open();
    assert_int_equal(edge_sync(bench.edge, NULL, NULL, 0, kit_now, synced, &outcome, &kit_err), 0);
    bench_tick();
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.code, SB_OK);
}

static void round_while_offline_waits_for_the_welcome(void **state)
{
    struct outcome outcome = {0};

    (void)state;
    begin();
    bench_disconnect();
    begin_round(&outcome, 0);
    bench_assert_quiet();
    bench_connect();
    bench_tick();
    bench.seen = bench.count - 1;
    {
        struct sb_hello hello;

        bench_next_hello(&hello);
        bench_welcome(hello.nonce, KIT_INGEST, 9, false);
        sb_hello_free(&hello);
    }
    bench_tick();
    answer(next_changes("projects", 0), EMPTY("projects"));
    answer(next_changes("settings", 0), EMPTY("settings"));
    assert_int_equal(outcome.calls, 1);
}

/* ---- changes are told to the application ---- */

static void note_changed(void *ctx, const char *user, const char *table, const char *id)
{
    sb_buf_add_fmt(ctx, "%s/%s/%s;", user, table, id);
}

static void what_came_into_force_is_told_after_the_commit(void **state)
{
    struct sb_buf text = {0};

    (void)state;
    begin();
    edge_on_changed(bench.edge, note_changed, &text);
    put("p9", "op-1", "{}");
    bench_tick();
    bench_next_batch(RECORDS, 1, 1);
    sync_projects();
    answer(next_changes("projects", 0),
           PAGE("projects", CHANGE("p1", 2, "{}") "," GONE("p2", 3) "," CHANGE("p9", 4, "{}"), 5, 5,
                "false"));
    assert_string_equal(text.data, "user-1/projects/p1;user-1/projects/p2;");
    sb_buf_free(&text);
}

/* ---- conflicts ---- */

static void says_conflict(struct sb_reply *reply)
{
    struct sb_conflict *conflict = sb_reply_conflict(reply, reply->first_seq);

    reply->accepted = 0;
    reply->result = SB_RESULT_CONFLICT;
    snprintf(conflict->op_id, sizeof(conflict->op_id), "op-1");
    conflict->policy = SB_POLICY_MERGE;
    conflict->as_of = 7;
    sb_buf_add_str(&conflict->pointers, "[\"/n\"]");
    conflict->server = (struct sb_document){.exists = true, .version = 7};
    memcpy(conflict->server.tag, TAG(7), SB_TAG_LEN + 1);
    memcpy(conflict->server.hlc, "0000000000000007", SB_EPOCH_LEN + 1);
    sb_buf_add_str(&conflict->server.data, "{\"m\": 7}");
}

/* op-1 added n, somebody added m: {"m": 7, "n": 1} goes as one operation. */
static void conflict_is_merged_sent_and_told(void **state)
{
    struct sb_request request;
    struct sent *sent;
    struct sb_buf text = {0};

    (void)state;
    begin();
    edge_on_changed(bench.edge, note_changed, &text);
    put("p1", "op-1", "{\"n\": 1}");
    bench_tick();
    bench_answer(bench_next_batch(RECORDS, 1, 1), says_conflict);
    bench_tick();
    assert_document("p1", "{\"m\": 7, \"n\": 1}");
    assert_string_equal(text.data, "user-1/projects/p1;");
    sent = next_request(SB_OP_CONFLICTS_RESOLVE, &request);
    assert_non_null(strstr(sent->json.data, "\"ops\":[\"op-1\"]"));
    assert_non_null(strstr(sent->json.data, "\"choice\":\"merge\""));
    bench_tick();
    bench_answer(bench_next_batch(RECORDS, 2, 2), NULL);
    bench_tick();
    /* lost with the process: the next one says it under the same id */
    bench_start();
    bench_open();
    bench.seen = bench.count - 3;
    {
        struct sb_request again;

        next_request(SB_OP_CONFLICTS_RESOLVE, &again);
        assert_string_equal(again.id, request.id);
    }
    {
        struct sb_answer done = {.success = true,
                                 .commit = 77,
                                 .data = SB_SPAN("{\"resolved\":1,\"already\":0,\"unknown\":0,"
                                                 "\"version\":null,\"tag\":null}")};
        char boot[SB_UUID_LEN + 1];
        uint64_t commit;

        send_answer(&bench.sent[bench.seen - 1], &done, KIT_INGEST);
        assert_int_equal(outbox_receipt_get(kit_ob, boot, &commit, &kit_err), 0);
        assert_int_equal(commit, 77);
    }
    bench.seen = bench.count;
    bench_tick();
    bench_pass(40000);
    bench_tick();
    for (size_t i = bench.seen; i < bench.count; i++)
        assert_null(strstr(bench.sent[i].json.data, SB_OP_CONFLICTS_RESOLVE));
    sb_buf_free(&text);
}

static void decision_that_the_cloud_refuses_for_now_is_told_later(void **state)
{
    struct sb_request request, again;

    (void)state;
    begin();
    put("p1", "op-1", "{\"n\": 1}");
    bench_tick();
    bench_answer(bench_next_batch(RECORDS, 1, 1), says_conflict);
    bench_tick();
    refuse(next_request(SB_OP_CONFLICTS_RESOLVE, &request), SB_EBUSY);
    bench_answer(bench_next_batch(RECORDS, 2, 2), NULL);
    bench_tick();
    bench_assert_quiet();
    bench_pass(31000);
    bench_tick();
    refuse(next_request(SB_OP_CONFLICTS_RESOLVE, &again), SB_EFORBIDDEN);
    bench_pass(31000); /* and ever later */
    bench_tick();
    bench_assert_quiet();
    bench_pass(31000);
    bench_tick();
    refuse(next_request(SB_OP_CONFLICTS_RESOLVE, &again), SB_ENOT_FOUND); /* for good */
    assert_string_equal(again.id, request.id);
    bench_pass(100000);
    bench_tick();
    bench_assert_quiet();
}

static void read_as_other(const char *data)
{
    answer_as(next_read("p1"), data, KIT_OTHER);
    bench_tick();
}

/* The cloud was rolled back, and this user, who left, is not pulled: nothing finds out that the
 * cursor is gone, and the version seen here is one that there never was. */
static void conflict_of_a_user_who_left_is_merged_after_a_rollback(void **state)
{
    (void)state;
    begin();
    sync_projects();
    answer(next_changes("projects", 0), PAGE("projects", CHANGE("p1", 8, "{}"), 9, 9, "false"));
    kit_begin();
    assert_int_equal(outbox_user_remove(kit_ob, "user-1", &kit_err), 0);
    kit_commit();
    welcome_of(KIT_OTHER);
    put("p1", "op-1", "{\"n\": 1}");
    bench_tick();
    bench_answer(bench_next_batch(RECORDS, 1, 1), says_conflict);
    bench_tick();
    read_as_other(DOCUMENT("p1", 7, "{\"m\": 7}"));
    bench_assert_quiet(); /* no storm */
    bench_pass(30000);
    bench_tick();
    read_as_other(DOCUMENT("p1", 7, "{\"m\": 7}"));
    assert_document("p1", "{\"m\": 7, \"n\": 1}");
}

static void says_conflict_of_both(struct sb_reply *reply)
{
    says_conflict(reply);
    sb_buf_clear(&reply->conflicts[0].server.data);
    sb_buf_add_str(&reply->conflicts[0].server.data, "{\"n\": 7}");
}

static void open_conflict_that_somebody_decided_is_closed_by_a_round(void **state)
{
    struct outcome outcome = {0};
    struct sb_request request;
    struct sent *sent;
    uint64_t open;

    (void)state;
    begin();
    put("p1", "op-1", "{\"n\": 1}");
    bench_tick();
    bench_answer(bench_next_batch(RECORDS, 1, 1), says_conflict_of_both);
    bench_tick();
    assert_document("p1", "{\"n\": 7}");
    assert_int_equal(outbox_open_conflict_count(kit_ob, "user-1", &open, &kit_err), 0);
    assert_int_equal(open, 1);
    bench_assert_quiet();
    begin_round(&outcome, 0);
    sent = next_request(SB_OP_CONFLICTS_LIST, &request);
    assert_non_null(strstr(sent->json.data, "\"ops\":[\"op-1\"]"));
    answer(sent,
           "{\"conflicts\":[{\"id\":3,\"user\":\"user-1\",\"table\":\"projects\",\"document\":"
           "\"p1\",\"device\":\"edge-001\",\"op_id\":\"op-1\",\"code\":null,\"pointers\":[\"/n\"],"
           "\"hlc\":\"0000000000000001\",\"server_version\":7,\"opened_at\":"
           "\"2026-01-02T03:05:01Z\",\"resolved_at\":\"2026-01-02T03:06:01Z\",\"resolution\":"
           "\"server\",\"resolved_by\":\"_op-anna\"}],\"has_more\":false}");
    assert_int_equal(outbox_open_conflict_count(kit_ob, "user-1", &open, &kit_err), 0);
    assert_int_equal(open, 0);
    answer(next_changes("projects", 0),
           PAGE("projects", CHANGE("p1", 7, "{\"n\": 7}"), 7, 7, "false"));
    answer(next_changes("settings", 0), EMPTY("settings"));
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.code, SB_OK);
}

/* ---- a cloud that was rolled back (V7) ---- */

/* A hello, and the welcome of a cloud that knows nothing any more; op-3 is made in between. */
static void restore_the_cloud(void)
{
    struct sb_hello hello;

    bench_online(KIT_OTHER);
    bench_tick();
    bench_puback(bench_next_hello(&hello), SB_OK);
    put("p2", "op-3", "{\"n\":3}");
    bench_welcome(hello.nonce, KIT_OTHER, 1, true);
    bench_tick();
    sb_hello_free(&hello);
}

static struct sent *answered_batch(uint64_t lo, uint64_t hi)
{
    struct sent *batch = bench_next_batch(RECORDS, lo, hi);

    bench_answer(batch, NULL);
    bench_tick();
    return batch;
}

/* op-1 in the first epoch, op-2 on it in the second; both applied, then the cloud is rolled back.
 */
static void two_epochs_applied(void)
{
    bench_open();
    put("p1", "op-1", "{\"n\": 1}");
    bench_tick();
    answered_batch(1, 1);
    kit_new_epoch();
    put("p1", "op-2", "{\"n\": 2}");
    bench_tick();
    answered_batch(1, 1);
    bench_assert_quiet();
    restore_the_cloud();
}

static void assert_op(const struct sent *batch, const char *text)
{
    if (strstr(batch->json.data, text) == NULL)
        assert_string_equal(batch->json.data, text); /* shows both */
}

static void operations_of_every_epoch_go_again_before_newer_ones_with_their_base(void **state)
{
    const struct document_name name = name_of("p1");
    struct sent *first, *second;
    bool pending;

    (void)state;
    two_epochs_applied();
    first = bench_next_batch(RECORDS, 1, 1);
    assert_op(first, "\"op_id\":\"op-1\"");
    assert_op(first, "\"base\":null");
    bench_assert_quiet(); /* one at a time, over all epochs */
    bench_answer(first, NULL);
    bench_tick();
    assert_int_equal(outbox_document_pending(kit_ob, &name, &pending, &kit_err), 0);
    assert_true(pending);
    second = bench_next_batch(RECORDS, 1, 2);
    assert_string_not_equal(second->epoch, first->epoch);
    assert_op(second, "\"op_id\":\"op-2\"");
    assert_op(second, "\"base\":{\"op_id\":\"op-1\"}");
    assert_true(strstr(second->json.data, "op-2") < strstr(second->json.data, "op-3"));
    bench_answer(second, NULL);
    bench_tick();
    assert_int_equal(outbox_document_pending(kit_ob, &name, &pending, &kit_err), 0);
    assert_false(pending);
    assert_document("p1", "{\"n\": 2}");
    assert_int_equal(bench_status().pending, 0);
}

static void says_conflict_of_the_first(struct sb_reply *reply)
{
    says_conflict(reply);
    reply->accepted = reply->last_seq - reply->first_seq;
}

/* V4 over the epochs: op-2 was made on op-1, so they are one run, from the document before op-1. */
static void chain_over_two_epochs_that_lost_is_merged_as_one(void **state)
{
    struct sent *merged;

    (void)state;
    two_epochs_applied();
    bench_answer(bench_next_batch(RECORDS, 1, 1), says_conflict);
    bench_tick();
    assert_document("p1", "{\"n\": 2}"); /* op-2 is pending again */
    bench_answer(bench_next_batch(RECORDS, 1, 2), says_conflict_of_the_first);
    bench_tick();
    assert_document("p1", "{\"m\": 7, \"n\": 2}");
    bench_puback_all();
    bench_tick();
    while ((merged = bench_next())->kind != SB_KIND_BATCH) /* what became of them is told */
        bench_puback(merged, SB_OK);
    assert_op(merged, "\"base\":{\"tag\":\"" TAG(7) "\"},\"data\":{\"m\": 7, \"n\": 2}");
    assert_null(strstr(merged->json.data, "op-3"));
}

static void operation_that_is_kept_no_longer_is_a_hole_before_those_that_are(void **state)
{
    struct sent *hole;

    (void)state;
    bench_open();
    put("p1", "op-1", "{\"n\": 1}");
    put("p1", "op-2", "{\"n\": 2}");
    bench_tick();
    answered_batch(1, 2);
    kit_begin();
    assert_int_equal(outbox_rows_drop(kit_ob, kit_load(RECORDS)->s, 1, 1, &kit_err), 0);
    kit_commit();
    restore_the_cloud();
    hole = bench_next_batch(RECORDS, 1, 1);
    assert_true(hole->hole);
    assert_op(hole, "\"reason\":\"purged\"");
    bench_answer(hole, NULL);
    bench_tick();
    assert_op(answered_batch(2, 3), "\"base\":{\"op_id\":\"op-1\"}");
    assert_document("p1", "{\"n\": 2}");
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
    begin();
    assert_int_equal(edge_request(bench.edge, "versions", SB_SPAN("{\"x\":1}"), 5000, kit_now,
                                  answered, &got, &kit_err),
                     0);
    bench_tick();
    answer(next_request("versions", &request), "{\"versions\":[]}");
    assert_true(sb_span_is(request.args, "{\"x\":1}"));
    assert_int_equal(got.calls, 1);
    assert_string_equal(got.data, "{\"versions\":[]}");
    assert_int_equal(edge_request(bench.edge, "versions", SB_SPAN("{}"), 5000, kit_now, answered,
                                  &got, &kit_err),
                     0);
    bench_tick();
    refuse(next_request("versions", &request), SB_EFORBIDDEN);
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
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        CASE(nobody_is_pulled_unasked),
        CASE(first_sync_begins_at_null_and_the_next_one_at_the_cursor),
        CASE(every_user_and_table_has_a_cursor_of_its_own),
        CASE(cursor_moves_at_the_end_of_a_pull_only),
        CASE(process_that_ends_within_a_pull_begins_it_anew),
        CASE(page_and_cursor_are_taken_together_or_not_at_all),
        CASE(policy_is_learnt_from_a_page_of_changes),
        CASE(another_boot_drops_the_page_position),
        CASE(answer_of_another_boot_is_dropped_and_makes_a_hello_due),
        CASE(welcome_of_another_boot_reads_again_what_was_seen_since),
        CASE(unknown_cursor_pulls_from_the_beginning_and_reads_what_that_does_not_bring),
        CASE(pages_of_a_pull_from_the_beginning_say_when_it_began),
        CASE(document_that_did_not_fit_into_a_page_is_read),
        CASE(document_that_no_answer_can_hold_is_marked_and_not_asked_for_again),
        CASE(skipped_document_is_read_once_nothing_on_it_is_pending),
        CASE(page_asked_for_before_the_own_ack_does_not_put_the_old_one_back),
        CASE(document_of_a_rejected_operation_is_read_again),
        CASE(document_of_an_operation_tried_again_is_read_again),
        CASE(no_more_than_four_requests_wait_for_an_answer),
        CASE(data_goes_on_while_requests_wait),
        CASE(request_without_an_answer_goes_again_after_the_timeout),
        CASE(refused_pull_is_tried_again_later_and_ever_later),
        CASE(welcome_gives_a_refused_pull_one_try),
        CASE(notify_pulls_the_table_that_it_names),
        CASE(ack_that_leaves_a_gap_pulls),
        CASE(ack_that_leaves_a_gap_pulls_after_a_rollback_too),
        CASE(table_without_auto_sync_is_pulled_when_asked_for_only),
        CASE(switched_off_lane_waits_without_an_alarm_and_its_rows_stay),
        CASE(user_that_leaves_is_pulled_no_longer),
        CASE(page_of_a_purged_user_brings_nothing_back),
        CASE(user_that_was_purged_and_came_back_is_pulled_from_the_beginning),
        CASE(read_of_a_purged_user_brings_nothing_back),
        CASE(round_ends_when_everything_was_pulled_and_read),
        CASE(round_with_a_failure_tells_it_and_goes_on),
        CASE(round_that_takes_too_long_is_told_and_goes_on),
        CASE(round_that_joins_a_pull_waits_for_another_one),
        CASE(too_many_rounds_are_refused),
        CASE(round_without_users_ends_at_once),
        CASE(round_while_offline_waits_for_the_welcome),
        CASE(what_came_into_force_is_told_after_the_commit),
        CASE(conflict_is_merged_sent_and_told),
        CASE(conflict_of_a_user_who_left_is_merged_after_a_rollback),
        CASE(decision_that_the_cloud_refuses_for_now_is_told_later),
        CASE(open_conflict_that_somebody_decided_is_closed_by_a_round),
        CASE(operations_of_every_epoch_go_again_before_newer_ones_with_their_base),
        CASE(chain_over_two_epochs_that_lost_is_merged_as_one),
        CASE(operation_that_is_kept_no_longer_is_a_hole_before_those_that_are),
        CASE(request_of_somebody_else_is_carried),
    };
#undef CASE

    sb_log_init("test_pull", SB_LOG_BUG, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
