/* Settings: versions and bases (V1 to V3), operations by their op_id (D5). */
#include "cloud_kit.h"

#include <stdio.h>
#include <string.h>

#define STREAM "settings/user-1"

static int setup(void **state)
{
    int rc = kit_setup(state);

    if (rc == 0)
        kit_grant(*state, "user-1");
    return rc;
}

/* One operation; base as JSON. */
static struct sb_reply *put(struct kit *kit, uint64_t seq, const char *op, const char *base,
                            const char *settings)
{
    return kit_ask(kit, STREAM, seq, seq,
                   "\"records\":[{\"op_id\":\"%s\",\"hlc\":\"000000000000000%llu\",\"base\":%s,"
                   "\"settings\":%s}]",
                   op, (unsigned long long)seq % 10, base, settings);
}

static void the_first_document_makes_version_one_with_the_tag_of_the_rule(void **state)
{
    struct kit *kit = *state;
    struct sb_reply *reply = put(kit, 1, "a", "null", "{\"x\":1}");
    const struct sb_span parts[] = {SB_SPAN("|a|{\"x\":1}")};
    unsigned char digest[32];
    char tag[SB_TAG_LEN + 1];
    uint64_t value = 0, as_of;
    struct sb_document doc = {0};
    struct sb_err err;

    kit_expect(reply, SB_RESULT_STORED, 1, 0, 0, 0, 0);
    assert_int_equal(reply->version_count, 1);
    assert_int_equal(reply->versions[0].seq, 1);
    assert_int_equal(reply->versions[0].version, 1);
    assert_int_equal(reply->server_version, 1);
    assert_true(reply->updated_at[0] != '\0');
    sb_sha256(parts, 1, digest);
    for (int i = 0; i < 8; i++)
        value = value << 8 | digest[i];
    sb_hex16_of(value, tag);
    assert_int_equal(store_settings(kit->store, "user-1", &doc, &as_of, &err), 0);
    assert_string_equal(doc.tag, tag);
    assert_string_equal(doc.data.data, "{\"x\":1}");
    assert_string_equal(doc.op_id, "a");
    assert_string_equal(doc.device, "edge-001");
    assert_int_equal(as_of, 1);
    sb_document_free(&doc);
}

static void bases_that_are_current_are_applied_as_submitted(void **state)
{
    struct kit *kit = *state;
    struct sb_document doc = {0};
    struct sb_err err;
    char base[64];
    uint64_t as_of;

    put(kit, 1, "a", "null", "{\"x\":1}");
    kit_expect(put(kit, 2, "b", "{\"op_id\":\"a\"}", "{\"x\":2}"), SB_RESULT_STORED, 1, 0, 0, 0, 0);
    assert_int_equal(store_settings(kit->store, "user-1", &doc, &as_of, &err), 0);
    snprintf(base, sizeof(base), "{\"tag\":\"%s\"}", doc.tag);
    kit_expect(put(kit, 3, "c", base, "{ \"x\" : 3.0 }"), SB_RESULT_STORED, 1, 0, 0, 0, 0);
    assert_int_equal(store_settings(kit->store, "user-1", &doc, &as_of, &err), 0);
    assert_string_equal(doc.data.data, "{ \"x\" : 3.0 }");
    assert_int_equal(doc.version, 3);
    sb_document_free(&doc);
}

static void a_known_base_that_is_not_current_is_a_conflict_with_the_document(void **state)
{
    struct kit *kit = *state;
    struct sb_reply *reply;

    put(kit, 1, "a", "null", "{\"x\":1}");
    put(kit, 2, "b", "{\"op_id\":\"a\"}", "{\"x\":2}");
    reply = put(kit, 3, "c", "{\"op_id\":\"a\"}", "{\"x\":3}");
    kit_expect(reply, SB_RESULT_CONFLICT, 0, 0, 0, 0, 1);
    assert_int_equal(reply->conflicts[0].code, SB_OK);
    assert_string_equal(reply->conflicts[0].pointers.data, "[\"\"]");
    assert_int_equal(reply->conflicts[0].as_of, 2);
    assert_string_equal(reply->conflicts[0].op_id, "c");
    assert_string_equal(reply->conflicts[0].server.op_id, "b");
    assert_string_equal(reply->conflicts[0].server.data.data, "{\"x\":2}");
    assert_int_equal(kit_count(kit, "SELECT submitted = '{\"x\":3}' AND server_version = 2"
                                    " FROM conflicts WHERE resolved_ms IS NULL"),
                     1);
    assert_int_equal(kit_published(kit, "conflict_opened"), 1);
    kit_expect(put(kit, 4, "d", "null", "{\"x\":4}"), SB_RESULT_CONFLICT, 0, 0, 0, 0, 1);
    assert_int_equal(kit->reply.conflicts[0].code, SB_OK);
}

static void an_unknown_base_says_so(void **state)
{
    struct kit *kit = *state;

    kit_expect(put(kit, 1, "a", "{\"tag\":\"00000000000000aa\"}", "{}"), SB_RESULT_CONFLICT, 0, 0,
               0, 0, 1);
    assert_int_equal(kit->reply.conflicts[0].code, SB_EBASE_UNKNOWN);
    assert_false(kit->reply.conflicts[0].server.exists);
    kit_expect(put(kit, 2, "b", "{\"op_id\":\"a\"}", "{}"), SB_RESULT_CONFLICT, 0, 0, 0, 0, 1);
    assert_int_equal(kit->reply.conflicts[0].code, SB_EBASE_UNKNOWN);
    put(kit, 3, "c", "null", "{\"x\":1}");
    kit_expect(put(kit, 4, "d", "{\"tag\":\"00000000000000aa\"}", "{}"), SB_RESULT_CONFLICT, 0, 0,
               0, 0, 1);
    assert_int_equal(kit->reply.conflicts[0].code, SB_EBASE_UNKNOWN);
    assert_true(kit->reply.conflicts[0].server.exists);
}

static void the_first_outcome_is_repeated_with_the_document_of_today(void **state)
{
    struct kit *kit = *state;

    put(kit, 1, "a", "null", "{\"x\":1}");
    put(kit, 2, "c", "{\"op_id\":\"gone\"}", "{\"x\":9}");
    put(kit, 3, "b", "{\"op_id\":\"a\"}", "{\"x\":2}");
    kit_restart(kit);
    kit_expect(put(kit, 2, "c", "{\"op_id\":\"gone\"}", "{\"x\":9}"), SB_RESULT_CONFLICT, 0, 0, 0,
               0, 1);
    assert_int_equal(kit->reply.conflicts[0].code, SB_EBASE_UNKNOWN);
    assert_string_equal(kit->reply.conflicts[0].server.data.data, "{\"x\":2}");
    kit_expect(put(kit, 1, "a", "null", "{\"x\":1}"), SB_RESULT_DUPLICATE, 0, 1, 0, 0, 0);
    assert_int_equal(kit->reply.versions[0].version, 1);
    assert_int_equal(kit->reply.server_version, 1);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM versions"), 2);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM conflicts"), 1);
}

static void a_known_operation_under_another_number_is_not_applied_twice(void **state)
{
    struct kit *kit = *state;

    put(kit, 1, "a", "null", "{\"x\":1}");
    kit_expect(put(kit, 7, "a", "null", "{\"x\":1}"), SB_RESULT_DUPLICATE, 0, 1, 0, 0, 0);
    assert_int_equal(kit->reply.versions[0].seq, 7);
    assert_int_equal(kit_count(kit, "SELECT decided = '[[1,1],[7,7]]' FROM streams"), 1);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM versions"), 1);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM dups"), 1);
}

static void another_operation_at_a_decided_number_is_applied_beside_it(void **state)
{
    struct kit *kit = *state;

    put(kit, 1, "a", "null", "{\"x\":1}");
    kit_expect(put(kit, 1, "b", "{\"op_id\":\"a\"}", "{\"x\":2}"), SB_RESULT_STORED, 1, 0, 0, 0, 0);
    kit_expect(put(kit, 1, "b", "{\"op_id\":\"a\"}", "{\"x\":2}"), SB_RESULT_DUPLICATE, 0, 1, 0, 0,
               0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM versions"), 2);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM streams WHERE branch = 1"), 1);
}

static void bad_operations_are_rejected_and_evaluated_anew_under_a_new_number(void **state)
{
    struct kit *kit = *state;

    kit_expect(put(kit, 1, "a", "null", "[1]"), SB_RESULT_REJECTED, 0, 0, 0, 1, 0);
    assert_int_equal(kit->reply.rejected[0].code, SB_EBAD_TYPE);
    kit_expect(put(kit, 1, "a", "null", "{\"x\":1}"), SB_RESULT_REJECTED, 0, 0, 0, 1, 0);
    kit_expect(put(kit, 2, "a", "null", "{\"x\":1}"), SB_RESULT_STORED, 1, 0, 0, 0, 0);
    kit_expect(put(kit, 1, "a", "null", "{\"x\":1}"), SB_RESULT_DUPLICATE, 0, 1, 0, 0, 0);
    kit_expect(put(kit, 3, "b", "{\"op_id\":\"a\",\"tag\":\"00000000000000aa\"}", "{}"),
               SB_RESULT_REJECTED, 0, 0, 0, 1, 0);
    assert_int_equal(kit->reply.rejected[0].code, SB_EBAD_VALUE);
    kit_expect(kit_ask(kit, STREAM, 4, 5, "\"records\":[{\"settings\":{}},7]"), SB_RESULT_REJECTED,
               0, 0, 0, 2, 0);
    assert_int_equal(kit->reply.rejected[0].code, SB_EMISSING_FIELD);
    kit_expect(kit_ask(kit, STREAM, 4, 5, "\"records\":[{\"settings\":{}},7]"), SB_RESULT_REJECTED,
               0, 0, 0, 2, 0);
    assert_int_equal(kit_count(kit, "SELECT max(branch) FROM streams"), 0);
    assert_int_equal(kit_count(kit, "SELECT rejected FROM streams"), 4);
}

static void a_chain_in_one_batch_makes_one_version_each(void **state)
{
    struct kit *kit = *state;
    struct sb_reply *reply =
        kit_ask(kit, STREAM, 1, 3,
                "\"records\":[{\"op_id\":\"a\",\"base\":null,\"settings\":{\"n\":1}},"
                "{\"op_id\":\"b\",\"base\":{\"op_id\":\"a\"},\"settings\":{\"n\":2}},"
                "{\"op_id\":\"c\",\"base\":{\"op_id\":\"b\"},\"settings\":{\"n\":3}}]");

    kit_expect(reply, SB_RESULT_STORED, 3, 0, 0, 0, 0);
    assert_int_equal(reply->version_count, 3);
    assert_int_equal(reply->server_version, 3);
    assert_int_equal(reply->total, 3);
}

static void users_have_counters_of_their_own_and_devices_share_them(void **state)
{
    struct kit *kit = *state;

    kit_grant(kit, "user-2");
    put(kit, 1, "a", "null", "{\"x\":1}");
    kit_expect(kit_ask(kit, "settings/user-2", 1, 1,
                       "\"records\":[{\"op_id\":\"a\",\"base\":null,\"settings\":{}}]"),
               SB_RESULT_STORED, 1, 0, 0, 0, 0);
    assert_int_equal(kit->reply.server_version, 1);
    kit->device = "edge-002";
    kit_grant(kit, "user-1");
    kit_expect(put(kit, 1, "a", "null", "{\"x\":5}"), SB_RESULT_CONFLICT, 0, 0, 0, 0, 1);
    assert_string_equal(kit->reply.conflicts[0].server.device, "edge-001");
}

static void the_policy_local_takes_what_was_submitted_on_a_known_base(void **state)
{
    struct kit *kit = *state;

    kit_stop(kit);
    kit->config.settings_policy = POLICY_LOCAL;
    kit_start(kit);
    put(kit, 1, "a", "null", "{\"x\":1}");
    put(kit, 2, "b", "{\"op_id\":\"a\"}", "{\"x\":2}");
    kit_expect(put(kit, 3, "c", "{\"op_id\":\"a\"}", "{\"x\":3}"), SB_RESULT_STORED, 1, 0, 0, 0, 0);
    kit_expect(put(kit, 4, "d", "null", "{\"x\":4}"), SB_RESULT_STORED, 1, 0, 0, 0, 0);
    kit_expect(put(kit, 5, "e", "{\"op_id\":\"zz\"}", "{\"x\":5}"), SB_RESULT_CONFLICT, 0, 0, 0, 0,
               1);
}

static void a_document_too_large_for_the_reply_is_to_be_fetched(void **state)
{
    struct kit *kit = *state;
    struct sb_buf settings = {0};
    struct sb_reply *reply;

    kit_stop(kit);
    kit->config.reply_bytes = 4096;
    kit_start(kit);
    sb_buf_add_str(&settings, "{\"text\":\"");
    for (int i = 0; i < 5000; i++)
        sb_buf_add_char(&settings, (char)('a' + i % 26));
    sb_buf_add_str(&settings, "\"}");
    put(kit, 1, "a", "null", settings.data);
    reply = put(kit, 2, "b", "null", "{}");
    kit_expect(reply, SB_RESULT_CONFLICT, 0, 0, 0, 0, 1);
    assert_true(reply->conflicts[0].server.fetch);
    assert_int_equal(reply->conflicts[0].server.version, 1);
    sb_buf_free(&settings);
}

static void a_request_reads_the_settings_in_force(void **state)
{
    struct kit *kit = *state;
    const struct sent *sent;

    kit_message(kit, "ctl", "",
                "{\"v\":1,\"kind\":\"request\",\"id\":\"01930000-0000-7000-8000-000000000777\","
                "\"op\":\"settings.get\",\"args\":{\"user\":\"user-1\"}}");
    kit_flush(kit);
    sent = kit_last(kit, "\"kind\":\"answer\"");
    assert_non_null(strstr(sent->payload.data, "\"exists\":false"));
    put(kit, 1, "a", "null", "{\"x\":1}");
    kit_message(kit, "ctl", "",
                "{\"v\":1,\"kind\":\"request\",\"id\":\"01930000-0000-7000-8000-000000000778\","
                "\"op\":\"settings.get\",\"args\":{\"user\":\"user-1\"}}");
    kit_message(kit, "ctl", "",
                "{\"v\":1,\"kind\":\"request\",\"id\":\"01930000-0000-7000-8000-000000000779\","
                "\"op\":\"settings.get\",\"args\":{\"user\":\"user-9\"}}");
    kit_message(kit, "ctl", "",
                "{\"v\":1,\"kind\":\"request\",\"id\":\"01930000-0000-7000-8000-00000000077a\","
                "\"boot\":\"01930000-0000-7000-8000-00000000dead\",\"op\":\"settings.get\","
                "\"args\":{\"user\":\"user-1\"}}");
    kit_flush(kit);
    sent = kit_last(kit, "000000000778");
    assert_non_null(strstr(sent->payload.data, "\"data\":{\"x\":1}"));
    assert_string_equal(sent->topic, "sb/v1/down/edge-001/reply");
    assert_non_null(strstr(kit_last(kit, "000000000779")->payload.data, "\"code\":\"forbidden\""));
    assert_non_null(strstr(kit_last(kit, "00000000077a")->payload.data, "\"code\":\"hello\""));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_first_document_makes_version_one_with_the_tag_of_the_rule),
        CASE(bases_that_are_current_are_applied_as_submitted),
        CASE(a_known_base_that_is_not_current_is_a_conflict_with_the_document),
        CASE(an_unknown_base_says_so),
        CASE(the_first_outcome_is_repeated_with_the_document_of_today),
        CASE(a_known_operation_under_another_number_is_not_applied_twice),
        CASE(another_operation_at_a_decided_number_is_applied_beside_it),
        CASE(bad_operations_are_rejected_and_evaluated_anew_under_a_new_number),
        CASE(a_chain_in_one_batch_makes_one_version_each),
        CASE(users_have_counters_of_their_own_and_devices_share_them),
        CASE(the_policy_local_takes_what_was_submitted_on_a_known_base),
        CASE(a_document_too_large_for_the_reply_is_to_be_fetched),
        CASE(a_request_reads_the_settings_in_force),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
