/* Settings and records: versions and bases (V1 to V3), operations by their op_id (D5), tombstones,
 * what an operator writes. */
#include "ops_kit.h"

#include <stdio.h>
#include <string.h>

#include "cloud_ingest/apply.h"
#include "cloud_ingest/limits.h"

/* ---- settings ---- */

static void the_first_document_makes_version_one_with_the_tag_of_the_rule(void **state)
{
    struct kit *kit = *state;
    struct sb_reply *reply = ops_put(kit, 1, "a", "null", "{\"x\":1}");
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

    ops_put(kit, 1, "a", "null", "{\"x\":1}");
    kit_expect(ops_put(kit, 2, "b", "{\"op_id\":\"a\"}", "{\"x\":2}"), SB_RESULT_STORED, 1, 0, 0, 0,
               0);
    assert_int_equal(store_settings(kit->store, "user-1", &doc, &as_of, &err), 0);
    snprintf(base, sizeof(base), "{\"tag\":\"%s\"}", doc.tag);
    kit_expect(ops_put(kit, 3, "c", base, "{ \"x\" : 3.0 }"), SB_RESULT_STORED, 1, 0, 0, 0, 0);
    assert_int_equal(store_settings(kit->store, "user-1", &doc, &as_of, &err), 0);
    assert_string_equal(doc.data.data, "{ \"x\" : 3.0 }");
    assert_int_equal(doc.version, 3);
    sb_document_free(&doc);
}

static void a_known_base_that_is_not_current_is_a_conflict_with_the_document(void **state)
{
    struct kit *kit = *state;
    struct sb_reply *reply;

    ops_put(kit, 1, "a", "null", "{\"x\":1}");
    ops_put(kit, 2, "b", "{\"op_id\":\"a\"}", "{\"x\":2}");
    reply = ops_put(kit, 3, "c", "{\"op_id\":\"a\"}", "{\"x\":3}");
    kit_expect(reply, SB_RESULT_CONFLICT, 0, 0, 0, 0, 1);
    assert_int_equal(reply->conflicts[0].code, SB_OK);
    assert_string_equal(reply->conflicts[0].pointers.data, "[\"/x\"]");
    assert_int_equal(reply->conflicts[0].as_of, 2);
    assert_string_equal(reply->conflicts[0].op_id, "c");
    assert_string_equal(reply->conflicts[0].server.op_id, "b");
    assert_string_equal(reply->conflicts[0].server.data.data, "{\"x\":2}");
    assert_int_equal(reply->conflicts[0].policy, SB_POLICY_MERGE);
    assert_int_equal(reply->conflicts[0].server.stamps.len, 0);
    assert_int_equal(kit_count(kit, "SELECT submitted = '{\"x\":3}' AND server_version = 2"
                                    " AND pointers = '[\"/x\"]' AND doc = 'settings'"
                                    " FROM conflicts WHERE resolved_ms IS NULL"),
                     1);
    assert_int_equal(kit_published(kit, "conflict_opened"), 1);
    kit_expect(ops_put(kit, 4, "d", "null", "{\"x\":4}"), SB_RESULT_CONFLICT, 0, 0, 0, 0, 1);
    assert_int_equal(kit->reply.conflicts[0].code, SB_OK);
}

static void an_unknown_base_says_so(void **state)
{
    struct kit *kit = *state;

    kit_expect(ops_put(kit, 1, "a", "{\"tag\":\"00000000000000aa\"}", "{}"), SB_RESULT_CONFLICT, 0,
               0, 0, 0, 1);
    assert_int_equal(kit->reply.conflicts[0].code, SB_EBASE_UNKNOWN);
    assert_false(kit->reply.conflicts[0].server.exists);
    kit_expect(ops_put(kit, 2, "b", "{\"op_id\":\"a\"}", "{}"), SB_RESULT_CONFLICT, 0, 0, 0, 0, 1);
    assert_int_equal(kit->reply.conflicts[0].code, SB_EBASE_UNKNOWN);
    ops_put(kit, 3, "c", "null", "{\"x\":1}");
    kit_expect(ops_put(kit, 4, "d", "{\"tag\":\"00000000000000aa\"}", "{}"), SB_RESULT_CONFLICT, 0,
               0, 0, 0, 1);
    assert_int_equal(kit->reply.conflicts[0].code, SB_EBASE_UNKNOWN);
    assert_true(kit->reply.conflicts[0].server.exists);
}

static void the_first_outcome_is_repeated_with_the_document_of_today(void **state)
{
    struct kit *kit = *state;

    ops_put(kit, 1, "a", "null", "{\"x\":1}");
    ops_put(kit, 2, "c", "{\"op_id\":\"gone\"}", "{\"x\":9}");
    ops_put(kit, 3, "b", "{\"op_id\":\"a\"}", "{\"x\":2}");
    kit_restart(kit);
    kit_expect(ops_put(kit, 2, "c", "{\"op_id\":\"gone\"}", "{\"x\":9}"), SB_RESULT_CONFLICT, 0, 0,
               0, 0, 1);
    assert_int_equal(kit->reply.conflicts[0].code, SB_EBASE_UNKNOWN);
    assert_string_equal(kit->reply.conflicts[0].server.data.data, "{\"x\":2}");
    kit_expect(ops_put(kit, 1, "a", "null", "{\"x\":1}"), SB_RESULT_DUPLICATE, 0, 1, 0, 0, 0);
    assert_int_equal(kit->reply.versions[0].version, 1);
    assert_int_equal(kit->reply.server_version, 1);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM versions"), 2);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM conflicts"), 1);
}

static void a_known_operation_under_another_number_is_not_applied_twice(void **state)
{
    struct kit *kit = *state;

    ops_put(kit, 1, "a", "null", "{\"x\":1}");
    kit_expect(ops_put(kit, 7, "a", "null", "{\"x\":1}"), SB_RESULT_DUPLICATE, 0, 1, 0, 0, 0);
    assert_int_equal(kit->reply.versions[0].seq, 7);
    assert_int_equal(kit_count(kit, "SELECT decided = '[[1,1],[7,7]]' FROM streams"), 1);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM versions"), 1);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM dups"), 1);
}

static void another_operation_at_a_decided_number_is_applied_beside_it(void **state)
{
    struct kit *kit = *state;

    ops_put(kit, 1, "a", "null", "{\"x\":1}");
    kit_expect(ops_put(kit, 1, "b", "{\"op_id\":\"a\"}", "{\"x\":2}"), SB_RESULT_STORED, 1, 0, 0, 0,
               0);
    kit_expect(ops_put(kit, 1, "b", "{\"op_id\":\"a\"}", "{\"x\":2}"), SB_RESULT_DUPLICATE, 0, 1, 0,
               0, 0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM versions"), 2);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM streams WHERE branch = 1"), 1);
}

static void bad_operations_are_rejected_and_evaluated_anew_under_a_new_number(void **state)
{
    struct kit *kit = *state;

    kit_expect(ops_put(kit, 1, "a", "null", "[1]"), SB_RESULT_REJECTED, 0, 0, 0, 1, 0);
    assert_int_equal(kit->reply.rejected[0].code, SB_EBAD_TYPE);
    kit_expect(ops_put(kit, 1, "a", "null", "{\"x\":1}"), SB_RESULT_REJECTED, 0, 0, 0, 1, 0);
    kit_expect(ops_put(kit, 2, "a", "null", "{\"x\":1}"), SB_RESULT_STORED, 1, 0, 0, 0, 0);
    kit_expect(ops_put(kit, 1, "a", "null", "{\"x\":1}"), SB_RESULT_DUPLICATE, 0, 1, 0, 0, 0);
    kit_expect(ops_put(kit, 3, "b", "{\"op_id\":\"a\",\"tag\":\"00000000000000aa\"}", "{}"),
               SB_RESULT_REJECTED, 0, 0, 0, 1, 0);
    assert_int_equal(kit->reply.rejected[0].code, SB_EBAD_VALUE);
    kit_expect(kit_ask(kit, OPS_SETTINGS, 4, 5, "\"records\":[{\"settings\":{}},7]"),
               SB_RESULT_REJECTED, 0, 0, 0, 2, 0);
    assert_int_equal(kit->reply.rejected[0].code, SB_EMISSING_FIELD);
    kit_expect(kit_ask(kit, OPS_SETTINGS, 4, 5, "\"records\":[{\"settings\":{}},7]"),
               SB_RESULT_REJECTED, 0, 0, 0, 2, 0);
    assert_int_equal(kit_count(kit, "SELECT max(branch) FROM streams"), 0);
    assert_int_equal(kit_count(kit, "SELECT rejected FROM streams"), 4);
}

static void a_chain_in_one_batch_makes_one_version_each(void **state)
{
    struct kit *kit = *state;
    struct sb_reply *reply =
        kit_ask(kit, OPS_SETTINGS, 1, 3,
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
    ops_put(kit, 1, "a", "null", "{\"x\":1}");
    kit_expect(kit_ask(kit, "settings/user-2", 1, 1,
                       "\"records\":[{\"op_id\":\"a\",\"base\":null,\"settings\":{}}]"),
               SB_RESULT_STORED, 1, 0, 0, 0, 0);
    assert_int_equal(kit->reply.server_version, 1);
    kit->device = "edge-002";
    kit_grant(kit, "user-1");
    kit_expect(ops_put(kit, 1, "a", "null", "{\"x\":5}"), SB_RESULT_CONFLICT, 0, 0, 0, 0, 1);
    assert_string_equal(kit->reply.conflicts[0].server.device, "edge-001");
}

static void a_document_too_large_for_the_reply_is_to_be_fetched(void **state)
{
    struct kit *kit = *state;
    struct sb_buf settings = {0};
    struct sb_reply *reply;

    kit->config.reply_bytes = 4096;
    kit_policy(kit, SB_POLICY_MANUAL);
    sb_buf_add_str(&settings, "{\"text\":\"");
    for (int i = 0; i < 5000; i++)
        sb_buf_add_char(&settings, (char)('a' + i % 26));
    sb_buf_add_str(&settings, "\"}");
    ops_put(kit, 1, "a", "null", settings.data);
    reply = ops_put(kit, 2, "b", "null", "{}");
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
    ops_put(kit, 1, "a", "null", "{\"x\":1}");
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

/* ---- records ---- */

static void records_of_all_tables_share_the_users_counter(void **state)
{
    struct kit *kit = *state;

    ops_stored(ops_edit(kit, "a", 1, "projects", "p1", "null", "{\"x\":1}"));
    ops_stored(ops_edit(kit, "b", 2, "contents", "p1", "null", "{\"x\":2}"));
    ops_stored(ops_put(kit, 1, "s", "null", "{\"x\":3}"));
    assert_int_equal(kit->reply.server_version, 3);
    ops_stored(ops_edit(kit, "c", 3, "projects", "p 2/\u00e9", "null", "{\"x\":4}"));
    assert_string_equal(ops_in_force(kit, "projects/p1"), "{\"x\":1}");
    assert_string_equal(ops_in_force(kit, "contents/p1"), "{\"x\":2}");
    assert_string_equal(ops_in_force(kit, "projects/p 2/\u00e9"), "{\"x\":4}");
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM documents WHERE user = 'user-1'"
                                    " AND (doc = tbl || '/' || id OR doc = 'settings')"),
                     4);
    assert_int_equal(kit->reply.total, 3);
}

static void a_delete_leaves_a_tombstone_that_is_a_base_like_any_other(void **state)
{
    struct kit *kit = *state;

    ops_stored(ops_edit(kit, "a", 1, "projects", "p", "null", "{\"x\":1}"));
    ops_stored(ops_edit(kit, "b", 2, "projects", "p", "{\"op_id\":\"a\"}", NULL));
    assert_string_equal(ops_in_force(kit, "projects/p"), "-");
    assert_int_equal(kit_count(kit, "SELECT deleted AND submitted = '' FROM versions"
                                    " WHERE version = 2"),
                     1);
    assert_true(kit_count(kit, "SELECT tombed_ms FROM documents") >= 1767323045000);
    /* nothing there, not even a tombstone: not so */
    ops_conflict(ops_edit_2(kit, "c", 3, "projects", "p", "{\"op_id\":\"zz\"}", "{\"x\":2}"),
                 SB_EBASE_UNKNOWN, "[]");
    assert_true(kit->reply.conflicts[0].server.exists);
    assert_true(kit->reply.conflicts[0].server.deleted);
    /* a null base merges with "deleted": both had nothing */
    ops_stored(ops_edit_2(kit, "d", 4, "projects", "p", "null", "{\"x\":3}"));
    assert_string_equal(ops_in_force(kit, "projects/p"), "{\"x\":3}");
    assert_int_equal(kit_count(kit, "SELECT tombed_ms IS NULL FROM documents"), 1);
    ops_stored(ops_edit_2(kit, "e", 5, "projects", "p", "{\"op_id\":\"d\"}", NULL));
    ops_stored(ops_edit(kit, "f", 6, "projects", "p", ops_tag_of(kit, "projects/p"), "{\"x\":5}"));
    assert_string_equal(ops_in_force(kit, "projects/p"), "{\"x\":5}");
}

static void what_two_devices_did_at_different_places_is_merged(void **state)
{
    struct kit *kit = *state;
    char base[64];

    ops_stored(ops_edit(kit, "a", 1, "projects", "p", "null", "{\"a\": 1, \"b\": {\"c\": 2}}"));
    snprintf(base, sizeof(base), "%s", ops_tag_of(kit, "projects/p"));
    ops_stored(ops_edit(kit, "c", 3, "projects", "p", "{\"op_id\":\"a\"}",
                        "{\"a\": 5, \"b\": {\"c\": 2}}"));
    ops_stored(ops_edit_2(kit, "d", 4, "projects", "p", base,
                          "{\"a\": 1, \"b\": {\"c\": 2, \"d\": null}}"));
    assert_string_equal(ops_in_force(kit, "projects/p"),
                        "{\"a\": 5, \"b\": {\"c\": 2, \"d\": null}}");
    assert_int_equal(kit_count(kit, "SELECT merged AND submitted <> result FROM versions"
                                    " WHERE op_id = 'd'"),
                     1);
    /* what its author has is not the document in force: merged again, not applied as it is */
    ops_stored(ops_edit_2(kit, "e", 5, "projects", "p", "{\"op_id\":\"d\"}",
                          "{\"a\": 1, \"b\": {\"c\": 2, \"d\": 7}}"));
    assert_string_equal(ops_in_force(kit, "projects/p"), "{\"a\": 5, \"b\": {\"c\": 2, \"d\": 7}}");
    ops_conflict(ops_edit(kit, "f", 6, "projects", "p", "{\"op_id\":\"a\"}",
                          "{\"a\": 6, \"b\": [], \"z\": 1}"),
                 SB_OK, "[\"/a\",\"/b\"]");
    assert_string_equal(ops_in_force(kit, "projects/p"), "{\"a\": 5, \"b\": {\"c\": 2, \"d\": 7}}");
}

static void the_same_value_in_another_text_is_current(void **state)
{
    struct kit *kit = *state;

    ops_stored(ops_edit(kit, "a", 1, "projects", "p", "null", "{\"x\":1}"));
    /* both add the same: equal values, the smaller text, and so a version of its own text */
    ops_stored(ops_edit_2(kit, "b", 2, "projects", "p", "null", "{ \"x\":1}"));
    assert_string_equal(ops_in_force(kit, "projects/p"), "{ \"x\":1}");
    ops_stored(ops_edit(kit, "c", 3, "projects", "p", "{\"op_id\":\"a\"}", "{\"x\":2}"));
    ops_stored(ops_edit_2(kit, "d", 4, "projects", "p", "{\"op_id\":\"b\"}", "{\"x\":2 }"));
    assert_int_equal(kit_count(kit, "SELECT merged FROM versions WHERE op_id = 'd'"), 0);
    assert_string_equal(ops_in_force(kit, "projects/p"), "{\"x\":2 }");
    ops_stored(ops_edit_2(kit, "e", 5, "projects", "p", "{\"op_id\":\"d\"}", "{\"x\":  3}"));
    assert_string_equal(ops_in_force(kit, "projects/p"), "{\"x\":  3}");
}

static void a_chain_of_offline_edits_neither_fights_itself_nor_reverts_another(void **state)
{
    struct kit *kit = *state;

    ops_stored(ops_edit(kit, "a", 1, "projects", "p", "null", "{\"a\": 1, \"b\": 1}"));
    ops_stored(ops_edit_2(kit, "x", 9, "projects", "p", "null", "{\"a\": 1, \"b\": 1, \"c\": 8}"));
    kit_expect(
        kit_ask(kit, OPS_RECORDS, 3, 5,
                "\"records\":[{\"op_id\":\"b\",\"table\":\"projects\",\"id\":\"p\","
                "\"operation\":\"update\",\"base\":{\"op_id\":\"a\"},\"data\":{\"a\": 2,"
                " \"b\": 1}},"
                "{\"op_id\":\"c\",\"table\":\"projects\",\"id\":\"p\",\"operation\":\"update\","
                "\"base\":{\"op_id\":\"b\"},\"data\":{\"a\": 3, \"b\": 1}},"
                "{\"op_id\":\"d\",\"table\":\"projects\",\"id\":\"p\",\"operation\":\"update\","
                "\"base\":{\"op_id\":\"c\"},\"data\":{\"a\": 3}}]"),
        SB_RESULT_STORED, 3, 0, 0, 0, 0);
    assert_string_equal(ops_in_force(kit, "projects/p"), "{\"a\": 3, \"c\": 8}");
    /* a chain whose first operation is in conflict breaks: the rest is not looked at without it */
    kit->device = "edge-002";
    kit_expect(
        kit_ask(kit, OPS_RECORDS, 3, 4,
                "\"records\":[{\"op_id\":\"y\",\"table\":\"projects\",\"id\":\"p\","
                "\"operation\":\"update\",\"base\":{\"op_id\":\"x\"},\"data\":{\"a\": 9,"
                " \"b\": 1, \"c\": 8}},"
                "{\"op_id\":\"z\",\"table\":\"projects\",\"id\":\"p\",\"operation\":\"update\","
                "\"base\":{\"op_id\":\"y\"},\"data\":{\"a\": 9, \"b\": 1, \"c\": 7}}]"),
        SB_RESULT_CONFLICT, 0, 0, 0, 0, 2);
    assert_string_equal(kit->reply.conflicts[0].pointers.data, "[\"/a\"]");
    assert_int_equal(kit->reply.conflicts[1].code, SB_EBASE_UNKNOWN);
    assert_string_equal(ops_in_force(kit, "projects/p"), "{\"a\": 3, \"c\": 8}");
}

static void a_base_is_one_of_that_document_and_of_that_device(void **state)
{
    struct kit *kit = *state;
    ops_stored(ops_edit(kit, "a", 1, "projects", "p", "null", "{\"x\":1}"));
    ops_stored(ops_edit(kit, "b", 2, "contents", "p", "null", "{\"x\":1}"));
    ops_conflict(ops_edit(kit, "c", 3, "contents", "p", "{\"op_id\":\"a\"}", "{\"x\":2}"),
                 SB_EBASE_UNKNOWN, "[]");
    ops_conflict(ops_edit(kit, "d", 4, "contents", "p", ops_tag_of(kit, "projects/p"), "{\"x\":2}"),
                 SB_EBASE_UNKNOWN, "[]");
    ops_conflict(ops_edit_2(kit, "e", 5, "projects", "p", "{\"op_id\":\"a\"}", "{\"x\":2}"),
                 SB_EBASE_UNKNOWN, "[]");
    assert_string_equal(ops_in_force(kit, "projects/p"), "{\"x\":1}");
}

static void a_repeat_gets_the_first_outcome_with_the_document_of_today(void **state)
{
    struct kit *kit = *state;

    ops_stored(ops_edit(kit, "a", 1, "projects", "p", "null", "{\"x\":1,\"y\":1}"));
    ops_stored(ops_edit(kit, "b", 2, "projects", "p", "{\"op_id\":\"a\"}", "{\"x\":2,\"y\":1}"));
    ops_conflict(ops_edit(kit, "c", 3, "projects", "p", "{\"op_id\":\"a\"}", "{\"x\":3,\"y\":1}"),
                 SB_OK, "[\"/x\"]");
    ops_stored(ops_edit(kit, "d", 4, "projects", "p", "{\"op_id\":\"b\"}", NULL));
    kit_restart(kit);
    ops_next_seq = 2;
    ops_conflict(ops_edit(kit, "c", 3, "projects", "p", "{\"op_id\":\"a\"}", "{\"x\":3,\"y\":1}"),
                 SB_OK, "[\"/x\"]");
    assert_true(kit->reply.conflicts[0].server.deleted);
    assert_int_equal(kit->reply.conflicts[0].policy, SB_POLICY_MERGE);
    /* under another number, and with a record that is bad today */
    ops_next_seq = 6;
    ops_conflict(ops_edit(kit, "c", 3, "projects", "", "null", "7"), SB_OK, "[\"/x\"]");
    assert_true(kit->reply.conflicts[0].server.deleted);
    ops_next_seq = 0;
    kit_expect(ops_edit(kit, "a", 1, "projects", "p", "null", "{\"x\":1,\"y\":1}"),
               SB_RESULT_DUPLICATE, 0, 1, 0, 0, 0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM versions"), 3);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM conflicts"), 1);
}

/* ---- tombstones that go ---- */

static void pass_days(struct kit *kit, int days)
{
    kit->now.wall_us += INT64_C(86400000000) * days;
    kit->now.mono_ms += INT64_C(86400000) * days;
    ingest_tidy(kit->ingest, kit->now);
}

static void old_tombstones_go_and_raise_the_floor(void **state)
{
    struct kit *kit = *state;
    struct user_row user;
    struct ingest_counters counters;
    struct sb_err err;
    char id[16];

    for (int i = 0; i < LIMIT_PURGE_SLICE + 2; i++) {
        char op[2][16], doc[32];

        snprintf(id, sizeof(id), "p%d", i);
        snprintf(doc, sizeof(doc), "projects/%s", id);
        snprintf(op[0], sizeof(op[0]), "a%d", i);
        snprintf(op[1], sizeof(op[1]), "b%d", i);
        ops_stored(ops_edit(kit, op[0], 1, "projects", id, "null", "{}"));
        ops_stored(ops_edit(kit, op[1], 2, "projects", id, ops_tag_of(kit, doc), NULL));
    }
    ops_stored(ops_edit(kit, "kept", 3, "projects", "kept", "null", "{\"x\":1}"));
    pass_days(kit, 364);
    ops_stored(ops_edit(kit, "young", 3, "projects", "young", "null", "{}"));
    ops_stored(ops_edit(kit, "gone", 4, "projects", "young", "{\"op_id\":\"young\"}", NULL));
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM documents WHERE tombed_ms IS NOT NULL"),
                     LIMIT_PURGE_SLICE + 3);
    pass_days(kit, 2);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM documents WHERE tombed_ms IS NOT NULL"),
                     3);
    kit->now.mono_ms += LIMIT_PURGE_REST_MS - 1;
    ingest_tidy(kit->ingest, kit->now);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM documents WHERE tombed_ms IS NOT NULL"),
                     3);
    kit->now.mono_ms += 1;
    ingest_tidy(kit->ingest, kit->now);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM documents WHERE tombed_ms IS NOT NULL"),
                     1);
    assert_int_equal(store_user_get(kit->store, "user-1", &user, &err), 0);
    assert_int_equal(user.floor, 2 * (LIMIT_PURGE_SLICE + 2));
    assert_string_equal(ops_in_force(kit, "projects/p0"), "");
    assert_string_equal(ops_in_force(kit, "projects/young"), "-");
    assert_string_equal(ops_in_force(kit, "projects/kept"), "{\"x\":1}");
    ingest_counters(kit->ingest, &counters);
    assert_int_equal(counters.tombstones, LIMIT_PURGE_SLICE + 2);
    /* the history stays: its tag is a known base of a document that is not there */
    ops_stored(ops_edit(kit, "again", 5, "projects", "p0", "{\"op_id\":\"b0\"}", "{\"y\":1}"));
    assert_string_equal(ops_in_force(kit, "projects/p0"), "{\"y\":1}");
}

/* ---- operators ---- */

struct bench {
    struct stream_cache *cache;
    struct apply apply;
};

/* The apply stage inside of a transaction of its own. */
static void bench_begin(struct kit *kit, struct bench *bench)
{
    bench->cache = stream_cache_new(kit->store);
    apply_init(&bench->apply, kit->store, bench->cache, NULL, kit->tables, NULL, &kit->config);
    bench->apply.now = kit->now;
    bench->apply.now_ms = kit->now.wall_us / 1000;
    assert_int_equal(store_begin(kit->store, &(struct sb_err){0}), 0);
}

static void bench_end(struct kit *kit, struct bench *bench)
{
    assert_int_equal(store_commit(kit->store, &(struct sb_err){0}), 0);
    apply_fini(&bench->apply);
    stream_cache_free(bench->cache);
}

static int operate(struct bench *bench, const char *table, const char *id, const char *op,
                   const char *document, uint64_t *version)
{
    const struct operator_write write = {.user = "user-1",
                                         .table = table,
                                         .id = id,
                                         .by = "_op-anna",
                                         .op_id = op,
                                         .document = sb_span_of(document)};
    struct sb_err err;

    return apply_operator_write(&bench->apply, &write, version, &err);
}

static void an_operator_writes_versions_on_the_document_in_force(void **state)
{
    struct kit *kit = *state;
    struct bench bench;
    uint64_t version;

    ops_stored(ops_edit(kit, "a", 0xffffffff, "projects", "p", "null", "{\"x\":1}"));
    bench_begin(kit, &bench);
    assert_int_equal(operate(&bench, "projects", "p", "w1", "{\"x\":2}", &version), 0);
    assert_int_equal(version, 2);
    assert_int_equal(operate(&bench, "settings", "settings", "w2", "{\"s\":2}", &version), 0);
    assert_int_equal(operate(&bench, "projects", "p", "w3", "", &version), 0);
    assert_int_equal(version, 4);
    assert_int_equal(operate(&bench, "projects", "p", "w4", "", &version), -SB_ENOT_FOUND);
    assert_int_equal(operate(&bench, "projects", "p", "w4", "[]", &version), -SB_EBAD_TYPE);
    assert_int_equal(operate(&bench, "nowhere", "p", "w4", "{}", &version), -SB_EUNKNOWN_TABLE);
    assert_int_equal(bench.apply.written.count, 2);
    assert_string_equal(bench.apply.written.at[0].author, "_op-anna");
    assert_int_equal(bench.apply.written.at[0].version, 4);
    assert_string_equal(bench.apply.written.at[1].table, "settings");
    bench_end(kit, &bench);
    assert_string_equal(ops_in_force(kit, "projects/p"), "-");
    assert_string_equal(ops_in_force(kit, "settings"), "{\"s\":2}");
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM versions WHERE device = '_op-anna'"
                                    " AND sn = 0 AND hlc > '00000000ffffffff'"),
                     3);
    /* what a device had before is merged with it like anything else */
    ops_conflict(ops_edit(kit, "b", 9, "projects", "p", "{\"op_id\":\"a\"}", "{\"x\":3}"), SB_OK,
                 "[\"\"]");
    ops_stored(ops_edit(kit, "enc", 9, "projects", "e", "null", OPS_TOKEN));
    bench_begin(kit, &bench);
    assert_int_equal(operate(&bench, "projects", "e", "w5", "{}", &version), -SB_EBAD_VALUE);
    bench_end(kit, &bench);
}

static void a_losing_edit_is_set_again_member_by_member(void **state)
{
    struct kit *kit = *state;
    struct losing_edit edit_of = {
        .op = {"edge-001", OPS_RECORDS, SB_SPAN("c")},
        .user = "user-1",
        .table = "projects",
        .id = "p",
        .base = SB_SPAN("{\"op_id\":\"a\"}"),
        .submitted = SB_SPAN("{\"x\": 3, \"k\": 0}"),
    };
    struct sb_buf result = {0};
    struct bench bench;
    struct sb_err err;
    bool same, known;

    ops_stored(ops_edit(kit, "a", 1, "projects", "p", "null", "{\"x\": 0, \"k\": 0}"));
    ops_stored(ops_edit(kit, "b", 2, "projects", "p", "{\"op_id\":\"a\"}", "{\"x\": 1, \"k\": 1}"));
    bench_begin(kit, &bench);
    assert_int_equal(apply_set_again(&bench.apply, &edit_of, &result, &same, &err), 0);
    assert_string_equal(result.data, "{\"x\": 3, \"k\": 1}");
    assert_false(same);
    edit_of.submitted = SB_SPAN("{\"x\": 1, \"k\": 0}");
    assert_int_equal(apply_set_again(&bench.apply, &edit_of, &result, &same, &err), 0);
    assert_true(same);
    edit_of.submitted = SB_SPAN("");
    assert_int_equal(apply_set_again(&bench.apply, &edit_of, &result, &same, &err), 0);
    assert_int_equal(result.len, 0);
    assert_false(same);
    edit_of.submitted = SB_SPAN(OPS_TOKEN);
    assert_int_equal(apply_set_again(&bench.apply, &edit_of, &result, &same, &err), -SB_EBAD_VALUE);
    assert_int_equal(apply_base_document(&bench.apply, &edit_of, &known, &result, &err), 0);
    assert_true(known);
    assert_string_equal(result.data, "{\"x\": 0, \"k\": 0}");
    edit_of.base = SB_SPAN("{\"op_id\":\"gone\"}");
    assert_int_equal(apply_set_again(&bench.apply, &edit_of, &result, &same, &err),
                     -SB_EBASE_UNKNOWN);
    bench_end(kit, &bench);
    sb_buf_free(&result);
}

int main(void)
{
#define CASE(f)   cmocka_unit_test_setup_teardown(f, ops_setup, kit_teardown)
#define RECORD(f) cmocka_unit_test_setup_teardown(f, ops_records_setup, kit_teardown)
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
        CASE(a_document_too_large_for_the_reply_is_to_be_fetched),
        CASE(a_request_reads_the_settings_in_force),
        RECORD(records_of_all_tables_share_the_users_counter),
        RECORD(a_delete_leaves_a_tombstone_that_is_a_base_like_any_other),
        RECORD(what_two_devices_did_at_different_places_is_merged),
        RECORD(the_same_value_in_another_text_is_current),
        RECORD(a_chain_of_offline_edits_neither_fights_itself_nor_reverts_another),
        RECORD(a_base_is_one_of_that_document_and_of_that_device),
        RECORD(a_repeat_gets_the_first_outcome_with_the_document_of_today),
        RECORD(old_tombstones_go_and_raise_the_floor),
        RECORD(an_operator_writes_versions_on_the_document_in_force),
        RECORD(a_losing_edit_is_set_again_member_by_member),
    };
#undef CASE
#undef RECORD

    return cmocka_run_group_tests(tests, NULL, NULL);
}
