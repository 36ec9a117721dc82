/* What applications ask of documents, users and conflicts: each call does one thing or nothing. */
#include "edge_kit.h"

#include <stdio.h>
#include <string.h>

#include "edge_agent/calls.h"

static struct enqueue *eq;
static struct sb_buf answer;

static int setup(void **state)
{
    static const struct enqueue_switches all_on = {true, true, true, true, 0};
    int rc = kit_setup(state);

    eq = enqueue_new(kit_ob, &all_on, "");
    enqueue_set_codec(eq, "edge-001", NULL);
    return rc;
}

static int teardown(void **state)
{
    enqueue_free(eq);
    sb_buf_free(&answer);
    return kit_teardown(state);
}

static int call(const char *text)
{
    const struct calls calls = {kit_ob, eq, &kit_rng, "edge-001", ""};
    struct sb_span object;

    sb_buf_clear(&answer);
    sb_buf_add_str(&answer, "");
    kit_now.wall_us += 1000;
    assert_int_equal(sb_json_check(sb_span_of(text), &calls_limits, &object, &kit_err), 0);
    return calls_run(&calls, object, kit_now, &answer, &kit_err);
}

/* It succeeds, and its answer has that in it. */
static void does(const char *text, const char *wanted)
{
    if (call(text) != 0)
        fail_msg("%s: %s", text, kit_err.msg);
    assert_int_equal(strncmp(answer.data, "{\"success\":true", 15), 0);
    if (strstr(answer.data, wanted) == NULL)
        fail_msg("%s\n%s\nis not in %s", text, wanted, answer.data);
}

/* It is refused with that code, and nothing of it happened. */
static void refuses(const char *text, enum sb_code code)
{
    assert_int_equal(call(text), -(int)code);
    assert_int_equal(kit_err.code, code);
    assert_string_equal(answer.data, "");
    assert_int_equal(enqueue_open_records(eq), 0);
}

static uint64_t pending(enum sb_up_class class)
{
    struct sb_stream stream = {.class = class, .name = "u1"};
    uint64_t count;

    assert_int_equal(outbox_pending_of(kit_ob, &stream, &count, &kit_err), 0);
    return count;
}

static void history(const char *command_id)
{
    struct sb_stream stream = {.class = SB_UP_HISTORY, .name = "u1"};
    char record[64];

    snprintf(record, sizeof(record), "{\"command_id\":\"%s\"}", command_id);
    assert_int_equal(
        enqueue_record(eq, &stream, sb_span_of(record), SB_SPAN(""), kit_now, NULL, &kit_err), 0);
    assert_int_equal(enqueue_commit(eq, &kit_err), 0);
}

#define PUT(id, data)                                                                              \
    "{\"verb\":\"document.put\",\"user\":\"u1\",\"table\":\"projects\",\"id\":\"" id               \
    "\",\"data\":" data "}"
#define SETTINGS(data) "{\"verb\":\"document.put\",\"user\":\"u1\",\"data\":" data "}"

static void a_document_is_put_got_listed_and_deleted(void **state)
{
    (void)state;
    does(PUT("p1", "{ \"v\" : 1.50 }"), "\"queued\":true");
    does(SETTINGS("{\"theme\":1}"), "\"stream\":\"settings/u1\"");
    does("{\"verb\":\"document.get\",\"user\":\"u1\",\"table\":\"projects\",\"id\":\"p1\"}",
         "\"data\":{ \"v\" : 1.50 }");
    does("{\"verb\":\"document.get\",\"user\":\"u1\"}", "\"data\":{\"theme\":1}");
    does("{\"verb\":\"document.list\",\"user\":\"u1\"}", "\"shown\":1,\"has_more\":false");
    does("{\"verb\":\"document.list\",\"user\":\"u1\",\"table\":\"settings\"}", "\"theme\"");
    does("{\"verb\":\"document.put\",\"user\":\"u1\",\"table\":\"projects\",\"id\":\"p1\","
         "\"operation\":\"delete\"}",
         "\"queued\":true");
    refuses("{\"verb\":\"document.get\",\"user\":\"u1\",\"table\":\"projects\",\"id\":\"p1\"}",
            SB_ENOT_FOUND);
    refuses("{\"verb\":\"document.put\",\"user\":\"u1\",\"table\":\"projects\",\"id\":\"p1\","
            "\"operation\":\"delete\"}",
            SB_ENOT_FOUND);
    assert_int_equal(pending(SB_UP_RECORDS), 2);
    assert_int_equal(pending(SB_UP_SETTINGS), 1);
}

static void pages_end_where_they_say(void **state)
{
    (void)state;
    does(PUT("a", "{}"), "");
    does(PUT("b", "{}"), "");
    does(PUT("c", "{}"), "");
    does("{\"verb\":\"document.list\",\"user\":\"u1\",\"limit\":2}",
         "\"shown\":2,\"has_more\":true,\"next_offset\":2");
    does("{\"verb\":\"document.list\",\"user\":\"u1\",\"limit\":2,\"offset\":2}",
         "\"shown\":1,\"has_more\":false,\"next_offset\":null");
    does("{\"verb\":\"document.list\",\"user\":\"u1\",\"offset\":3}", "\"items\":[],\"shown\":0");
    refuses("{\"verb\":\"document.list\",\"user\":\"u1\",\"limit\":0}", SB_EBAD_VALUE);
    refuses("{\"verb\":\"document.list\",\"user\":\"nobody\"}", SB_ENOT_FOUND);
}

static void users_come_and_go(void **state)
{
    (void)state;
    does("{\"verb\":\"user.add\",\"user\":\"u1\"}", "\"added\":true");
    does("{\"verb\":\"user.add\",\"user\":\"u1\"}", "\"added\":false");
    does("{\"verb\":\"user.list\"}", "\"user_id\":\"u1\",\"added\":true");
    does("{\"verb\":\"user.remove\",\"user\":\"u1\"}", "\"removed\":true,\"purged\":false");
    does("{\"verb\":\"user.list\"}", "\"users\":[]");
    refuses("{\"verb\":\"user.remove\",\"user\":\"u1\"}", SB_ENOT_FOUND);
    refuses("{\"verb\":\"user.list\",\"user\":\"u1\"}", SB_ENOT_FOUND);
    refuses("{\"verb\":\"user.add\",\"user\":\"a/b\"}", SB_EBAD_ID);
    refuses("{\"verb\":\"user.add\"}", SB_EMISSING_FIELD);
}

static void a_purge_takes_nothing_that_is_still_to_be_sent(void **state)
{
    (void)state;
    does("{\"verb\":\"user.add\",\"user\":\"u1\"}", "");
    does(PUT("p1", "{}"), "");
    refuses("{\"verb\":\"user.remove\",\"user\":\"u1\",\"purge\":true}", SB_EBUSY);
    does("{\"verb\":\"user.list\"}", "\"user_id\":\"u1\""); /* not even half of it */
    does("{\"verb\":\"user.remove\",\"user\":\"u1\"}", "");
    refuses("{\"verb\":\"user.remove\",\"user\":\"u1\",\"purge\":true}", SB_EBUSY);
    does("{\"verb\":\"document.list\",\"user\":\"u1\"}", "\"shown\":1");
}

static void auto_sync_is_a_switch_of_a_table(void **state)
{
    (void)state;
    does("{\"verb\":\"user.add\",\"user\":\"u1\"}", "");
    does("{\"verb\":\"user.set\",\"user\":\"u1\",\"table\":\"projects\",\"auto_sync\":false}",
         "\"auto_sync\":{\"settings\":true,\"projects\":false}");
    does("{\"verb\":\"user.set\",\"user\":\"u1\",\"auto_sync\":false}",
         "\"auto_sync\":{\"settings\":false,\"projects\":false}");
    does("{\"verb\":\"user.set\",\"user\":\"u1\",\"table\":\"settings\",\"auto_sync\":true}",
         "\"auto_sync\":{\"settings\":true,\"projects\":false}");
    refuses("{\"verb\":\"user.set\",\"user\":\"u1\",\"table\":\"No\",\"auto_sync\":true}",
            SB_EBAD_ID);
    refuses("{\"verb\":\"user.set\",\"user\":\"u1\"}", SB_EMISSING_FIELD);
    refuses("{\"verb\":\"user.set\",\"user\":\"nobody\",\"auto_sync\":false}", SB_ENOT_FOUND);
}

static void sync_off_keeps_documents_here_until_they_are_backfilled(void **state)
{
    (void)state;
    does(SETTINGS("{\"v\":1}"), "\"queued\":true");
    does("{\"verb\":\"user.set\",\"user\":\"u1\",\"stream\":\"settings\",\"sync\":false}",
         "\"sync\":{\"settings\":false,\"records\":true,\"history\":true}");
    does(SETTINGS("{\"v\":2}"), "\"queued\":false");
    does(SETTINGS("{\"v\":3}"), "\"result\":\"local\"");
    does(PUT("p1", "{}"), "\"queued\":true"); /* another stream */
    assert_int_equal(pending(SB_UP_SETTINGS), 1);
    does("{\"verb\":\"user.set\",\"user\":\"u1\",\"backfill\":true}",
         "\"documents\":0"); /* off still */
    does("{\"verb\":\"user.set\",\"user\":\"u1\",\"sync\":true}", "\"unsent\":1");
    assert_int_equal(pending(SB_UP_SETTINGS), 1); /* it starts from now */
    does("{\"verb\":\"user.set\",\"user\":\"u1\",\"backfill\":true}", "\"documents\":1");
    assert_int_equal(pending(SB_UP_SETTINGS), 2);
    does("{\"verb\":\"user.set\",\"user\":\"u1\",\"backfill\":true}", "\"documents\":0");
    refuses("{\"verb\":\"user.set\",\"user\":\"u1\",\"stream\":\"sensors\",\"sync\":false}",
            SB_EBAD_VALUE);
    refuses("{\"verb\":\"user.set\",\"user\":\"u1\",\"sync\":\"no\"}", SB_EBAD_TYPE);
}

static void documents_of_a_table_that_is_gone_hold_no_other_backfill_up(void **state)
{
    char tables[1][SB_NAME_MAX + 1] = {"others"};

    (void)state;
    does("{\"verb\":\"user.add\",\"user\":\"u1\"}", "");
    does("{\"verb\":\"user.set\",\"user\":\"u1\",\"sync\":false}", "");
    does(PUT("p1", "{}"), "\"queued\":false");
    does(SETTINGS("{\"v\":1}"), "\"queued\":false");
    assert_int_equal(outbox_begin(kit_ob, &kit_err), 0);
    assert_int_equal(outbox_tables_set(kit_ob, tables, 1, &kit_err), 0);
    assert_int_equal(outbox_commit(kit_ob, &kit_err), 0);
    does("{\"verb\":\"user.set\",\"user\":\"u1\",\"sync\":true,\"backfill\":true}",
         "\"documents\":1,\"history\":0,\"refused\":1");
    assert_int_equal(pending(SB_UP_SETTINGS), 1);
    assert_int_equal(pending(SB_UP_RECORDS), 0);
}

static void history_made_while_sync_was_off_is_backfilled_once(void **state)
{
    char id[24];

    (void)state;
    history("before");
    does("{\"verb\":\"user.set\",\"user\":\"u1\",\"stream\":\"history\",\"sync\":false}", "");
    for (int i = 0; i < 1100; i++) { /* more than one slice */
        snprintf(id, sizeof(id), "held-%d", i);
        history(id);
    }
    assert_int_equal(pending(SB_UP_HISTORY), 1);
    does("{\"verb\":\"user.set\",\"user\":\"u1\",\"stream\":\"history\",\"sync\":true,"
         "\"backfill\":true}",
         "\"history\":1100");
    assert_int_equal(pending(SB_UP_HISTORY), 1101);
    does("{\"verb\":\"user.set\",\"user\":\"u1\",\"stream\":\"history\",\"sync\":true,"
         "\"backfill\":true}",
         "\"history\":0");
    history("after");
    assert_int_equal(pending(SB_UP_HISTORY), 1102);
}

static void every_document_of_a_user_goes_again(void **state)
{
    (void)state;
    does(SETTINGS("{\"v\":1}"), "");
    does(PUT("p1", "{}"), "");
    does(PUT("p2", "{}"), "");
    does("{\"verb\":\"document.reencrypt\",\"user\":\"u1\"}", "\"documents\":3");
    assert_int_equal(pending(SB_UP_SETTINGS), 2);
    assert_int_equal(pending(SB_UP_RECORDS), 4);
    refuses("{\"verb\":\"document.reencrypt\",\"user\":\"nobody\"}", SB_ENOT_FOUND);
}

static void calls_are_told_apart(void **state)
{
    (void)state;
    assert_true(calls_knows(SB_SPAN("\"document.get\"")));
    assert_false(calls_changes(SB_SPAN("\"document.get\"")));
    assert_true(calls_changes(SB_SPAN("\"user.set\"")));
    assert_false(calls_knows(SB_SPAN("\"put\"")));
    assert_false(calls_knows(SB_SPAN("7")));
    assert_false(calls_knows(SB_SPAN("")));
    refuses("{\"verb\":\"nothing\"}", SB_EUNKNOWN_OP);
    refuses("{}", SB_EUNKNOWN_OP);
    refuses("{\"verb\":\"conflict.show\",\"id\":1}", SB_ENOT_FOUND);
    refuses("{\"verb\":\"conflict.resolve\",\"id\":1,\"choice\":\"server\"}", SB_ENOT_FOUND);
    refuses("{\"verb\":\"conflict.resolve\",\"id\":1,\"choice\":\"\"}", SB_EBAD_VALUE);
    does("{\"verb\":\"conflict.list\"}", "\"conflicts\":[]");
    refuses("{\"verb\":\"document.kept\",\"user\":\"u1\",\"n\":1}", SB_ENOT_FOUND);
    does("{\"verb\":\"document.kept\",\"user\":\"u1\"}", "\"versions\":[]");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_document_is_put_got_listed_and_deleted),
        TEST(pages_end_where_they_say),
        TEST(users_come_and_go),
        TEST(a_purge_takes_nothing_that_is_still_to_be_sent),
        TEST(auto_sync_is_a_switch_of_a_table),
        TEST(sync_off_keeps_documents_here_until_they_are_backfilled),
        TEST(documents_of_a_table_that_is_gone_hold_no_other_backfill_up),
        TEST(history_made_while_sync_was_off_is_backfilled_once),
        TEST(every_document_of_a_user_goes_again),
        TEST(calls_are_told_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
