/* Settings and records: versions and bases (V1 to V3), operations by their op_id (D5), merging by
 * the policy of a table. */
#include "cloud_kit.h"

#include <stdio.h>
#include <string.h>

#include "cloud_ingest/apply.h"
#include "cloud_ingest/limits.h"
#include "common/json_put.h"

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

/* ---- records ---- */

#define RECORDS "records/user-1"

static uint64_t next_seq;

/* One operation on a record; data may be NULL: a delete. hlc: of the last 4 digits. */
static struct sb_reply *edit(struct kit *kit, const char *op, unsigned hlc, const char *table,
                             const char *id, const char *base, const char *data)
{
    uint64_t seq = ++next_seq;

    return kit_ask(
        kit, RECORDS, seq, seq,
        "\"records\":[{\"op_id\":\"%s\",\"hlc\":\"%016x\",\"table\":\"%s\",\"id\":\"%s\","
        "\"operation\":\"%s\",\"base\":%s%s%s}]",
        op, hlc, table, id, data != NULL ? "update" : "delete", base,
        data != NULL ? ",\"data\":" : "", data != NULL ? data : "");
}

/* The same from the second device. */
static struct sb_reply *edit_2(struct kit *kit, const char *op, unsigned hlc, const char *table,
                               const char *id, const char *base, const char *data)
{
    struct sb_reply *reply;

    kit->device = "edge-002";
    reply = edit(kit, op, hlc, table, id, base, data);
    kit->device = "edge-001";
    return reply;
}

static int records_setup(void **state)
{
    int rc = setup(state);
    struct kit *kit = *state;

    next_seq = 0;
    kit->device = "edge-002";
    kit_grant(kit, "user-1");
    kit->device = "edge-001";
    return rc;
}

/* The text in force, "-" for a tombstone, "" for nothing. */
static const char *in_force(struct kit *kit, const char *doc)
{
    static char text[4096];
    struct sb_document document = {0};
    struct sb_err err;

    assert_int_equal(store_document_get(kit->store, "user-1", doc, &document, &err), 0);
    snprintf(text, sizeof(text), "%s",
             !document.exists ? "" : (document.deleted ? "-" : document.data.data));
    sb_document_free(&document);
    return text;
}

/* {"tag":…} of what is in force. */
static const char *tag_of(struct kit *kit, const char *doc)
{
    static char base[64];
    struct sb_document document = {0};
    struct sb_err err;

    assert_int_equal(store_document_get(kit->store, "user-1", doc, &document, &err), 0);
    snprintf(base, sizeof(base), "{\"tag\":\"%s\"}", document.tag);
    sb_document_free(&document);
    return base;
}

static void stored(const struct sb_reply *reply)
{
    kit_expect(reply, SB_RESULT_STORED, 1, 0, 0, 0, 0);
}

static const struct sb_conflict *conflict(const struct sb_reply *reply, enum sb_code code,
                                          const char *pointers)
{
    kit_expect(reply, SB_RESULT_CONFLICT, 0, 0, 0, 0, 1);
    assert_int_equal(reply->conflicts[0].code, code);
    assert_string_equal(reply->conflicts[0].pointers.data, pointers);
    return &reply->conflicts[0];
}

static void rejected(const struct sb_reply *reply, enum sb_code code)
{
    kit_expect(reply, SB_RESULT_REJECTED, 0, 0, 0, 1, 0);
    assert_int_equal(reply->rejected[0].code, code);
}

static void records_of_all_tables_share_the_users_counter(void **state)
{
    struct kit *kit = *state;

    stored(edit(kit, "a", 1, "projects", "p1", "null", "{\"x\":1}"));
    stored(edit(kit, "b", 2, "contents", "p1", "null", "{\"x\":2}"));
    stored(put(kit, 1, "s", "null", "{\"x\":3}"));
    assert_int_equal(kit->reply.server_version, 3);
    stored(edit(kit, "c", 3, "projects", "p 2/\u00e9", "null", "{\"x\":4}"));
    assert_string_equal(in_force(kit, "projects/p1"), "{\"x\":1}");
    assert_string_equal(in_force(kit, "contents/p1"), "{\"x\":2}");
    assert_string_equal(in_force(kit, "projects/p 2/\u00e9"), "{\"x\":4}");
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM documents WHERE user = 'user-1'"
                                    " AND (doc = tbl || '/' || id OR doc = 'settings')"),
                     4);
    assert_int_equal(kit->reply.total, 3);
}

static void a_delete_leaves_a_tombstone_that_is_a_base_like_any_other(void **state)
{
    struct kit *kit = *state;

    stored(edit(kit, "a", 1, "projects", "p", "null", "{\"x\":1}"));
    stored(edit(kit, "b", 2, "projects", "p", "{\"op_id\":\"a\"}", NULL));
    assert_string_equal(in_force(kit, "projects/p"), "-");
    assert_int_equal(kit_count(kit, "SELECT deleted AND submitted = '' FROM versions"
                                    " WHERE version = 2"),
                     1);
    assert_true(kit_count(kit, "SELECT tombed_ms FROM documents") >= 1767323045000);
    /* nothing there, not even a tombstone: not so */
    conflict(edit_2(kit, "c", 3, "projects", "p", "{\"op_id\":\"zz\"}", "{\"x\":2}"),
             SB_EBASE_UNKNOWN, "[]");
    assert_true(kit->reply.conflicts[0].server.exists);
    assert_true(kit->reply.conflicts[0].server.deleted);
    /* a null base merges with "deleted": both had nothing */
    stored(edit_2(kit, "d", 4, "projects", "p", "null", "{\"x\":3}"));
    assert_string_equal(in_force(kit, "projects/p"), "{\"x\":3}");
    assert_int_equal(kit_count(kit, "SELECT tombed_ms IS NULL FROM documents"), 1);
    stored(edit_2(kit, "e", 5, "projects", "p", "{\"op_id\":\"d\"}", NULL));
    stored(edit(kit, "f", 6, "projects", "p", tag_of(kit, "projects/p"), "{\"x\":5}"));
    assert_string_equal(in_force(kit, "projects/p"), "{\"x\":5}");
}

static void what_two_devices_did_at_different_places_is_merged(void **state)
{
    struct kit *kit = *state;
    char base[64];

    stored(edit(kit, "a", 1, "projects", "p", "null", "{\"a\": 1, \"b\": {\"c\": 2}}"));
    snprintf(base, sizeof(base), "%s", tag_of(kit, "projects/p"));
    stored(
        edit(kit, "c", 3, "projects", "p", "{\"op_id\":\"a\"}", "{\"a\": 5, \"b\": {\"c\": 2}}"));
    stored(
        edit_2(kit, "d", 4, "projects", "p", base, "{\"a\": 1, \"b\": {\"c\": 2, \"d\": null}}"));
    assert_string_equal(in_force(kit, "projects/p"), "{\"a\": 5, \"b\": {\"c\": 2, \"d\": null}}");
    assert_int_equal(kit_count(kit, "SELECT merged AND submitted <> result FROM versions"
                                    " WHERE op_id = 'd'"),
                     1);
    /* what its author has is not the document in force: merged again, not applied as it is */
    stored(edit_2(kit, "e", 5, "projects", "p", "{\"op_id\":\"d\"}",
                  "{\"a\": 1, \"b\": {\"c\": 2, \"d\": 7}}"));
    assert_string_equal(in_force(kit, "projects/p"), "{\"a\": 5, \"b\": {\"c\": 2, \"d\": 7}}");
    conflict(
        edit(kit, "f", 6, "projects", "p", "{\"op_id\":\"a\"}", "{\"a\": 6, \"b\": [], \"z\": 1}"),
        SB_OK, "[\"/a\",\"/b\"]");
    assert_string_equal(in_force(kit, "projects/p"), "{\"a\": 5, \"b\": {\"c\": 2, \"d\": 7}}");
}

static void the_same_value_in_another_text_is_current(void **state)
{
    struct kit *kit = *state;

    stored(edit(kit, "a", 1, "projects", "p", "null", "{\"x\":1}"));
    /* both add the same: equal values, the smaller text, and so a version of its own text */
    stored(edit_2(kit, "b", 2, "projects", "p", "null", "{ \"x\":1}"));
    assert_string_equal(in_force(kit, "projects/p"), "{ \"x\":1}");
    stored(edit(kit, "c", 3, "projects", "p", "{\"op_id\":\"a\"}", "{\"x\":2}"));
    stored(edit_2(kit, "d", 4, "projects", "p", "{\"op_id\":\"b\"}", "{\"x\":2 }"));
    assert_int_equal(kit_count(kit, "SELECT merged FROM versions WHERE op_id = 'd'"), 0);
    assert_string_equal(in_force(kit, "projects/p"), "{\"x\":2 }");
    stored(edit_2(kit, "e", 5, "projects", "p", "{\"op_id\":\"d\"}", "{\"x\":  3}"));
    assert_string_equal(in_force(kit, "projects/p"), "{\"x\":  3}");
}

static void a_chain_of_offline_edits_neither_fights_itself_nor_reverts_another(void **state)
{
    struct kit *kit = *state;

    stored(edit(kit, "a", 1, "projects", "p", "null", "{\"a\": 1, \"b\": 1}"));
    stored(edit_2(kit, "x", 9, "projects", "p", "null", "{\"a\": 1, \"b\": 1, \"c\": 8}"));
    kit_expect(
        kit_ask(kit, RECORDS, 3, 5,
                "\"records\":[{\"op_id\":\"b\",\"table\":\"projects\",\"id\":\"p\","
                "\"operation\":\"update\",\"base\":{\"op_id\":\"a\"},\"data\":{\"a\": 2,"
                " \"b\": 1}},"
                "{\"op_id\":\"c\",\"table\":\"projects\",\"id\":\"p\",\"operation\":\"update\","
                "\"base\":{\"op_id\":\"b\"},\"data\":{\"a\": 3, \"b\": 1}},"
                "{\"op_id\":\"d\",\"table\":\"projects\",\"id\":\"p\",\"operation\":\"update\","
                "\"base\":{\"op_id\":\"c\"},\"data\":{\"a\": 3}}]"),
        SB_RESULT_STORED, 3, 0, 0, 0, 0);
    assert_string_equal(in_force(kit, "projects/p"), "{\"a\": 3, \"c\": 8}");
    /* a chain whose first operation is in conflict breaks: the rest is not looked at without it */
    kit->device = "edge-002";
    kit_expect(
        kit_ask(kit, RECORDS, 3, 4,
                "\"records\":[{\"op_id\":\"y\",\"table\":\"projects\",\"id\":\"p\","
                "\"operation\":\"update\",\"base\":{\"op_id\":\"x\"},\"data\":{\"a\": 9,"
                " \"b\": 1, \"c\": 8}},"
                "{\"op_id\":\"z\",\"table\":\"projects\",\"id\":\"p\",\"operation\":\"update\","
                "\"base\":{\"op_id\":\"y\"},\"data\":{\"a\": 9, \"b\": 1, \"c\": 7}}]"),
        SB_RESULT_CONFLICT, 0, 0, 0, 0, 2);
    assert_string_equal(kit->reply.conflicts[0].pointers.data, "[\"/a\"]");
    assert_int_equal(kit->reply.conflicts[1].code, SB_EBASE_UNKNOWN);
    assert_string_equal(in_force(kit, "projects/p"), "{\"a\": 3, \"c\": 8}");
}

static void a_base_is_one_of_that_document_and_of_that_device(void **state)
{
    struct kit *kit = *state;
    stored(edit(kit, "a", 1, "projects", "p", "null", "{\"x\":1}"));
    stored(edit(kit, "b", 2, "contents", "p", "null", "{\"x\":1}"));
    conflict(edit(kit, "c", 3, "contents", "p", "{\"op_id\":\"a\"}", "{\"x\":2}"), SB_EBASE_UNKNOWN,
             "[]");
    conflict(edit(kit, "d", 4, "contents", "p", tag_of(kit, "projects/p"), "{\"x\":2}"),
             SB_EBASE_UNKNOWN, "[]");
    conflict(edit_2(kit, "e", 5, "projects", "p", "{\"op_id\":\"a\"}", "{\"x\":2}"),
             SB_EBASE_UNKNOWN, "[]");
    assert_string_equal(in_force(kit, "projects/p"), "{\"x\":1}");
}

static void a_repeat_gets_the_first_outcome_with_the_document_of_today(void **state)
{
    struct kit *kit = *state;

    stored(edit(kit, "a", 1, "projects", "p", "null", "{\"x\":1,\"y\":1}"));
    stored(edit(kit, "b", 2, "projects", "p", "{\"op_id\":\"a\"}", "{\"x\":2,\"y\":1}"));
    conflict(edit(kit, "c", 3, "projects", "p", "{\"op_id\":\"a\"}", "{\"x\":3,\"y\":1}"), SB_OK,
             "[\"/x\"]");
    stored(edit(kit, "d", 4, "projects", "p", "{\"op_id\":\"b\"}", NULL));
    kit_restart(kit);
    next_seq = 2;
    conflict(edit(kit, "c", 3, "projects", "p", "{\"op_id\":\"a\"}", "{\"x\":3,\"y\":1}"), SB_OK,
             "[\"/x\"]");
    assert_true(kit->reply.conflicts[0].server.deleted);
    assert_int_equal(kit->reply.conflicts[0].policy, SB_POLICY_MERGE);
    /* under another number, and with a record that is bad today */
    next_seq = 6;
    conflict(edit(kit, "c", 3, "projects", "", "null", "7"), SB_OK, "[\"/x\"]");
    assert_true(kit->reply.conflicts[0].server.deleted);
    next_seq = 0;
    kit_expect(edit(kit, "a", 1, "projects", "p", "null", "{\"x\":1,\"y\":1}"), SB_RESULT_DUPLICATE,
               0, 1, 0, 0, 0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM versions"), 3);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM conflicts"), 1);
}

/* ---- policies ---- */

/* Both change x on top of the same document: first the one device, then the other. */
static struct sb_reply *meet(struct kit *kit, const char *id, unsigned first_hlc,
                             unsigned second_hlc)
{
    stored(edit(kit, "a0", 1, "projects", id, "null", "{\"x\": 0, \"o\": {\"p\": 1}}"));
    stored(edit(kit, "a1", first_hlc, "projects", id, "{\"op_id\":\"a0\"}",
                "{\"x\": 1, \"o\": {\"p\": 1}, \"first\": 1}"));
    return edit_2(kit, "b1", second_hlc, "projects", id, "null",
                  "{\"x\": 2, \"o\": {\"p\": 1}, \"second\": 2}");
}

static void the_policies_server_and_local_decide_every_place(void **state)
{
    struct kit *kit = *state;

    kit_policy(kit, SB_POLICY_SERVER);
    stored(meet(kit, "p", 2, 3));
    assert_string_equal(in_force(kit, "projects/p"),
                        "{\"first\": 1, \"o\": {\"p\": 1}, \"second\": 2, \"x\": 1}");
    kit_policy(kit, SB_POLICY_LOCAL);
    stored(edit_2(kit, "b2", 1, "projects", "p", "{\"op_id\":\"b1\"}",
                  "{\"x\": 3, \"o\": {\"p\": 1}, \"second\": 2}"));
    assert_string_equal(in_force(kit, "projects/p"),
                        "{\"x\": 3, \"o\": {\"p\": 1}, \"second\": 2, \"first\": 1}");
    /* the losing text stays in the history; an unknown base is a conflict under any policy */
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM versions WHERE submitted LIKE '%2}'"
                                    " AND op_id = 'b1'"),
                     1);
    conflict(edit(kit, "c", 9, "projects", "p", "{\"op_id\":\"none\"}", "{}"), SB_EBASE_UNKNOWN,
             "[]");
    assert_int_equal(kit->reply.conflicts[0].policy, SB_POLICY_LOCAL);
}

static void under_manual_everything_that_is_not_current_is_a_conflict(void **state)
{
    struct kit *kit = *state;

    kit_policy(kit, SB_POLICY_MANUAL);
    conflict(meet(kit, "p", 2, 3), SB_OK, "[\"\"]");
    conflict(edit(kit, "c", 4, "projects", "p", "{\"op_id\":\"a0\"}",
                  "{\"x\": 0, \"o\": {\"p\": 1}, \"third\": 3}"),
             SB_OK, "[\"\"]");
    assert_int_equal(kit->reply.conflicts[0].policy, SB_POLICY_MANUAL);
    stored(edit(kit, "d", 5, "projects", "p", "{\"op_id\":\"a1\"}", "{}"));
}

/* One document: both devices have it, then each edits it, the one or the other arriving first. */
struct pair {
    const char *base, *one, *two;
    unsigned hlc_one, hlc_two;
};

/* Does it with the table's policy and gives the text in force, or the pointers of the conflict. */
static void run_pair(struct kit *kit, const char *id, const struct pair *pair, bool two_first,
                     struct sb_buf *out)
{
    char base[64], doc[80];
    const struct sb_reply *last = NULL;

    snprintf(doc, sizeof(doc), "projects/%s", id);
    stored(edit(kit, doc, 1, "projects", id, "null", pair->base));
    snprintf(base, sizeof(base), "%s", tag_of(kit, doc));
    for (int i = 0; i < 2; i++) {
        char op[96];

        snprintf(op, sizeof(op), "%s-%d", doc, i);
        last = (i == 0) == two_first
                   ? edit_2(kit, op, pair->hlc_two, "projects", id, base, pair->two)
                   : edit(kit, op, pair->hlc_one, "projects", id, base, pair->one);
    }
    sb_buf_clear(out);
    if (last->result == SB_RESULT_CONFLICT)
        sb_buf_add_span(out, sb_buf_span(&last->conflicts[0].pointers));
    else
        sb_buf_add_str(out, in_force(kit, doc));
}

static void expect_pair(struct kit *kit, const char *id, const struct pair *pair,
                        const char *expected)
{
    struct sb_buf first = {0}, second = {0};
    char other[48];

    snprintf(other, sizeof(other), "%s-other", id);
    run_pair(kit, id, pair, false, &first);
    run_pair(kit, other, pair, true, &second);
    assert_string_equal(first.data, second.data);
    if (expected != NULL)
        assert_string_equal(first.data, expected);
    sb_buf_free(&first);
    sb_buf_free(&second);
}

static void under_latest_the_newer_edit_wins_each_place_whatever_the_order(void **state)
{
    struct kit *kit = *state;
    struct pair pair = {.base = "{\"x\": 0, \"o\": {\"p\": 0}, \"k\": 0}",
                        .one = "{\"x\": 1, \"o\": {\"p\": 1}, \"k\": 0}",
                        .two = "{\"x\": 2, \"o\": 5, \"k\": 0}",
                        .hlc_one = 7,
                        .hlc_two = 8};

    kit_policy(kit, SB_POLICY_LATEST);
    expect_pair(kit, "a", &pair, "{\"x\": 2, \"o\": 5, \"k\": 0}");
    pair.hlc_one = 9;
    expect_pair(kit, "b", &pair, "{\"x\": 1, \"o\": {\"p\": 1}, \"k\": 0}");
    pair.hlc_one = 8; /* the same clock: the higher device */
    expect_pair(kit, "c", &pair, "{\"x\": 2, \"o\": 5, \"k\": 0}");
    pair.two = NULL; /* deleted against edited */
    expect_pair(kit, "d", &pair, "-");
    pair.hlc_one = 9;
    expect_pair(kit, "e", &pair, "{\"x\": 1, \"o\": {\"p\": 1}, \"k\": 0}");
}

static void a_place_has_the_stamp_of_its_own_last_change(void **state)
{
    struct kit *kit = *state;
    const struct sb_conflict *c;
    char base[64];

    kit_policy(kit, SB_POLICY_LATEST);
    stored(edit(kit, "a", 1, "projects", "p", "null", "{\"x\": 0, \"k\": 0}"));
    snprintf(base, sizeof(base), "%s", tag_of(kit, "projects/p"));
    stored(edit(kit, "b", 5, "projects", "p", "{\"op_id\":\"a\"}", "{\"x\": 1, \"k\": 0}"));
    stored(edit(kit, "c", 9, "projects", "p", "{\"op_id\":\"b\"}", "{\"x\": 1, \"k\": 1}"));
    /* newer than the change of x, older than the document */
    stored(edit_2(kit, "d", 6, "projects", "p", base, "{\"x\": 2, \"k\": 0}"));
    assert_string_equal(in_force(kit, "projects/p"), "{\"x\": 2, \"k\": 1}");
    c = conflict(edit(kit, "e", 7, "projects", "p", "{\"op_id\":\"none\"}", "{}"), SB_EBASE_UNKNOWN,
                 "[]");
    assert_string_equal(c->server.stamps.data, "{\"/k\":[\"0000000000000009\",\"edge-001\"],"
                                               "\"/x\":[\"0000000000000006\",\"edge-002\"]}");
    assert_string_equal(c->server.hlc, "0000000000000009");
    assert_string_equal(c->server.device, "edge-002");
}

static void a_document_without_stamps_counts_as_stamped_as_a_whole(void **state)
{
    struct kit *kit = *state;
    const struct sb_conflict *c;
    char base[64];

    stored(edit(kit, "a", 5, "projects", "p", "null", "{\"x\": 0, \"k\": 0}"));
    snprintf(base, sizeof(base), "%s", tag_of(kit, "projects/p"));
    stored(edit(kit, "b", 3, "projects", "p", "{\"op_id\":\"a\"}", "{\"x\": 1, \"k\": 0}"));
    assert_int_equal(kit_count(kit, "SELECT stamps IS NULL AND hlc = '0000000000000005'"
                                    " FROM documents"),
                     1);
    kit_policy(kit, SB_POLICY_LATEST);
    stored(edit_2(kit, "c", 4, "projects", "p", base, "{\"x\": 2, \"k\": 0}"));
    assert_string_equal(in_force(kit, "projects/p"), "{\"x\": 1, \"k\": 0}");
    stored(edit_2(kit, "d", 6, "projects", "p", base, "{\"x\": 3, \"k\": 0}"));
    assert_string_equal(in_force(kit, "projects/p"), "{\"x\": 3, \"k\": 0}");
    c = conflict(edit(kit, "e", 7, "projects", "p", "{\"op_id\":\"none\"}", "{}"), SB_EBASE_UNKNOWN,
                 "[]");
    assert_string_equal(c->server.stamps.data, "{\"\":[\"0000000000000005\",\"edge-001\"],"
                                               "\"/x\":[\"0000000000000006\",\"edge-002\"]}");
}

static void more_stamps_than_are_kept_become_one(void **state)
{
    struct kit *kit = *state;
    struct sb_buf many = {0};
    char base[64];

    kit_policy(kit, SB_POLICY_LATEST);
    sb_put_open(&many, NULL, '{');
    for (int i = 0; i <= SB_STAMPS_MAX; i++)
        sb_buf_add_fmt(&many, "%s\"m%d\":%d", i == 0 ? "" : ",", i, i);
    sb_put_close(&many, '}');
    stored(edit(kit, "a", 7, "projects", "p", "null", many.data));
    assert_int_equal(kit_count(kit, "SELECT stamps = '{\"\":[\"0000000000000007\",\"edge-001\"]}'"
                                    " FROM documents"),
                     1);
    snprintf(base, sizeof(base), "%s", tag_of(kit, "projects/p"));
    stored(edit(kit, "b", 8, "projects", "p", base, "{\"x\": 1}"));
    stored(edit_2(kit, "c", 9, "projects", "p", base, "{\"x\": 2}"));
    assert_string_equal(in_force(kit, "projects/p"), "{\"x\": 2}");
    sb_buf_free(&many);
}

static void a_clock_that_runs_ahead_is_taken_back_once(void **state)
{
    struct kit *kit = *state;
    char hlc[SB_EPOCH_LEN + 1], sql[128];

    kit_expect(kit_ask(kit, RECORDS, 1, 1,
                       "\"records\":[{\"op_id\":\"a\",\"hlc\":\"fffffffffffffffe\",\"base\":null,"
                       "\"table\":\"projects\",\"id\":\"p\",\"operation\":\"add\",\"data\":{}}]"),
               SB_RESULT_STORED, 1, 0, 0, 0, 0);
    sb_hex16_of((uint64_t)kit_count(kit, "SELECT made_us / 1000 FROM versions") << 16, hlc);
    snprintf(sql, sizeof(sql), "SELECT v.hlc = '%s' AND d.hlc = v.hlc FROM versions v, documents d",
             hlc);
    assert_int_equal(kit_count(kit, sql), 1);
}

/* A small document in a text of its own; NULL: none. */
static const char *some_text(struct sb_rng *rng, struct sb_buf *out)
{
    static const char *const values[] = {
        "0",   "1",    "1.0",         "null", "{}", "{\"p\": 1}", "{\"p\":1,\"q\": 2}",
        "[1]", "[1 ]", "\"\\u0041\"", "\"A\""};
    static const char *const keys[] = {"a", "b", "\\u0062b", "c/d", "e~f"};

    sb_buf_clear(out);
    if (sb_rng_below(rng, 12) == 0)
        return NULL;
    sb_put_open(out, NULL, '{');
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        size_t at = sb_rng_below(rng, 2) == 0 ? i : sizeof(keys) / sizeof(keys[0]) - 1 - i;

        if (at != i || sb_rng_below(rng, 3) == 0)
            continue;
        if (out->data[out->len - 1] != '{')
            sb_buf_add_str(out, ", ");
        sb_buf_add_fmt(out, "\"%s\":%s%s", keys[i], sb_rng_below(rng, 2) == 0 ? " " : "",
                       values[sb_rng_below(rng, sizeof(values) / sizeof(values[0]))]);
    }
    sb_put_close(out, '}');
    return out->data;
}

static void two_edits_end_the_same_whatever_the_order(void **state)
{
    static const enum sb_policy policies[] = {SB_POLICY_MERGE, SB_POLICY_LATEST};
    struct kit *kit = *state;
    struct sb_buf texts[3] = {{0}};
    struct sb_rng rng;
    char id[32];

    sb_rng_seed(&rng, 11);
    for (int p = 0; p < 2; p++) {
        kit_policy(kit, policies[p]);
        for (int i = 0; i < 150; i++) {
            struct pair pair;

            do
                pair.base = some_text(&rng, &texts[0]);
            while (pair.base == NULL);
            pair.one = some_text(&rng, &texts[1]);
            pair.two = some_text(&rng, &texts[2]);
            pair.hlc_one = 2 + (unsigned)sb_rng_below(&rng, 3);
            pair.hlc_two = 2 + (unsigned)sb_rng_below(&rng, 3);
            snprintf(id, sizeof(id), "%d-%d", p, i);
            expect_pair(kit, id, &pair, NULL);
        }
    }
    for (int i = 0; i < 3; i++)
        sb_buf_free(&texts[i]);
}

static void arrays_are_merged_by_key_where_the_table_says_so(void **state)
{
    struct kit *kit = *state;
    char base[64];

    stored(edit(kit, "a", 1, "contents", "c", "null", "{\"nodes\": [{\"id\": 1, \"v\": 1}]}"));
    snprintf(base, sizeof(base), "%s", tag_of(kit, "contents/c"));
    stored(edit(kit, "b", 2, "contents", "c", base,
                "{\"nodes\": [{\"id\": 1, \"v\": 1}, {\"id\": 2}]}"));
    stored(edit_2(kit, "c", 3, "contents", "c", base, "{\"nodes\": [{\"id\": 1, \"v\": 9}]}"));
    assert_string_equal(in_force(kit, "contents/c"),
                        "{\"nodes\": [{\"id\": 1, \"v\": 9}, {\"id\": 2}]}");
    conflict(edit_2(kit, "d", 4, "contents", "c", base, "{\"nodes\": [{\"id\": 1, \"v\": 8}]}"),
             SB_OK, "[\"/nodes/1/v\"]");
    assert_string_equal(kit->reply.conflicts[0].arrays.data, "{\"/nodes\":\"id\"}");
    stored(edit(kit, "e", 1, "projects", "p", "null", "{\"nodes\": [{\"id\": 1}]}"));
    snprintf(base, sizeof(base), "%s", tag_of(kit, "projects/p"));
    stored(edit(kit, "f", 2, "projects", "p", base, "{\"nodes\": [{\"id\": 1}, {\"id\": 2}]}"));
    conflict(edit_2(kit, "g", 3, "projects", "p", base, "{\"nodes\": []}"), SB_OK, "[\"/nodes\"]");
    assert_int_equal(kit->reply.conflicts[0].arrays.len, 0);
}

/* ---- encrypted ---- */

#define TOKEN                                                                                      \
    "\"gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64"    \
    "jVmpU4IwqDA==\""

static void what_is_encrypted_is_never_merged(void **state)
{
    struct kit *kit = *state;
    const struct sb_conflict *c;

    kit_policy(kit, SB_POLICY_LATEST);
    stored(edit(kit, "a", 1, "projects", "p", "null", TOKEN));
    stored(edit(kit, "b", 2, "projects", "p", "{\"op_id\":\"a\"}", TOKEN));
    assert_string_equal(in_force(kit, "projects/p"), TOKEN);
    c = conflict(edit(kit, "c", 3, "projects", "p", "{\"op_id\":\"a\"}", TOKEN), SB_EBASE_UNKNOWN,
                 "[]");
    assert_string_equal(c->server.data.data, TOKEN);
    assert_string_equal(c->server.hlc, "0000000000000002");
    assert_int_equal(c->server.stamps.len, 0);
    /* plain on encrypted, encrypted on plain, deleted */
    conflict(edit_2(kit, "d", 4, "projects", "p", "null", "{}"), SB_EBASE_UNKNOWN, "[]");
    conflict(edit_2(kit, "e", 5, "projects", "p", "null", NULL), SB_EBASE_UNKNOWN, "[]");
    stored(edit(kit, "f", 6, "projects", "p", "{\"op_id\":\"b\"}", "{\"x\":1}"));
    conflict(edit_2(kit, "g", 7, "projects", "p", "null", TOKEN), SB_EBASE_UNKNOWN, "[]");
    stored(edit(kit, "h", 8, "projects", "p", "{\"op_id\":\"f\"}", NULL));
    conflict(edit_2(kit, "i", 9, "projects", "p", "null", TOKEN), SB_EBASE_UNKNOWN, "[]");
    assert_string_equal(in_force(kit, "projects/p"), "-");
    stored(put(kit, 1, "s", "null", TOKEN));
    assert_string_equal(in_force(kit, "settings"), TOKEN);
}

static void a_base_that_is_encrypted_is_not_known_to_the_cloud(void **state)
{
    struct kit *kit = *state;
    char base[64];

    stored(edit(kit, "a", 1, "projects", "p", "null", TOKEN));
    snprintf(base, sizeof(base), "%s", tag_of(kit, "projects/p"));
    stored(edit(kit, "b", 2, "projects", "p", "{\"op_id\":\"a\"}", "{\"x\":1,\"y\":1}"));
    /* nobody can say whether it removed y, or never had it */
    conflict(edit_2(kit, "c", 3, "projects", "p", base, "{\"x\":1}"), SB_EBASE_UNKNOWN, "[]");
    conflict(edit(kit, "d", 4, "projects", "p", "{\"op_id\":\"a\"}", NULL), SB_EBASE_UNKNOWN, "[]");
    assert_string_equal(in_force(kit, "projects/p"), "{\"x\":1,\"y\":1}");
    kit_policy(kit, SB_POLICY_LOCAL);
    conflict(edit_2(kit, "e", 5, "projects", "p", base, "{\"x\":2}"), SB_EBASE_UNKNOWN, "[]");
}

/* ---- much of it ---- */

/* Operations "<name><i>" of `count` on projects/p, in one batch. */
static struct sb_reply *edit_many(struct kit *kit, const char *name, const char *base,
                                  uint64_t first, uint64_t count)
{
    struct sb_buf records = {0};
    struct sb_reply *reply;

    for (uint64_t i = first; i < first + count; i++)
        sb_buf_add_fmt(&records,
                       "%s{\"op_id\":\"%s%llu\",\"table\":\"projects\",\"id\":\"p\",\"operation\":"
                       "\"update\",\"base\":%s,\"data\":{\"n\":%llu}}",
                       i > first ? "," : "", name, (unsigned long long)i, base,
                       (unsigned long long)i + 10);
    reply = kit_ask(kit, RECORDS, first, first + count - 1, "\"records\":[%s]", records.data);
    sb_buf_free(&records);
    return reply;
}

static void a_batch_that_is_too_much_work_is_answered_in_part(void **state)
{
    enum { COUNT = 100, EACH = 900000 };
    struct kit *kit = *state;
    const struct sb_reply *reply;
    struct sb_buf large = {0};
    uint64_t seq = 1, parts = 0;

    sb_buf_add_fmt(&large, "{\"n\":1,\"x\":\"%0*d\"}", EACH, 1);
    stored(edit(kit, "large", 1, "projects", "p", "null", large.data));
    sb_buf_free(&large);
    kit->device = "edge-002";
    while (seq <= COUNT) {
        reply = edit_many(kit, "many", "null", seq, COUNT + 1 - seq);
        assert_int_equal(reply->result, SB_RESULT_CONFLICT);
        assert_int_equal(reply->first_seq, seq);
        assert_int_equal(reply->conflict_count, reply->last_seq + 1 - seq);
        assert_true(reply->conflict_count <= LIMIT_BATCH_WORK / EACH + 1);
        seq = reply->last_seq + 1;
        parts++;
    }
    assert_int_equal(parts, (COUNT + LIMIT_BATCH_WORK / EACH) / (LIMIT_BATCH_WORK / EACH + 1));
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM conflicts"), COUNT);
    assert_int_equal(kit_count(kit,
                               "SELECT decided = '[[1,100]]' AND conflict = 100 AND repeats = 0"
                               " FROM streams WHERE device = 'edge-002'"),
                     1);
    /* one that is answered again is work too */
    reply = edit_many(kit, "many", "null", 1, COUNT);
    assert_true(reply->last_seq < COUNT);
    kit->device = "edge-001";
}

static void documents_that_do_not_fit_a_reply_are_left_for_a_request(void **state)
{
    struct kit *kit = *state;
    const struct sb_reply *reply;
    struct sb_buf text = {0};
    size_t told = 0;

    kit->config.reply_bytes = 16384;
    kit_restart(kit);
    sb_buf_add_fmt(&text, "{\"n\":1,\"x\":\"%05000d\"}", 1);
    stored(edit(kit, "a", 1, "projects", "p", "null", text.data));
    kit->device = "edge-002";
    reply = edit_many(kit, "b", "null", 1, 30);
    assert_int_equal(reply->conflict_count, 30);
    for (size_t i = 0; i < 30; i++) {
        assert_int_equal(reply->conflicts[i].server.version, 1);
        assert_true(reply->conflicts[i].server.fetch == (reply->conflicts[i].server.data.len == 0));
        told += reply->conflicts[i].server.data.len > 0;
    }
    assert_in_range(told, 1, 3);
    kit->device = "edge-001";
    sb_buf_free(&text);
}

static void very_many_undecided_places_are_told_and_kept_as_the_whole(void **state)
{
    struct kit *kit = *state;
    struct sb_buf one = {0}, two = {0};

    for (int i = 0; i < 2000; i++) {
        sb_buf_add_fmt(&one, "%c\"member-%d\":1", i > 0 ? ',' : '{', i);
        sb_buf_add_fmt(&two, "%c\"member-%d\":2", i > 0 ? ',' : '{', i);
    }
    sb_buf_add_char(&one, '}');
    sb_buf_add_char(&two, '}');
    stored(edit(kit, "a", 1, "projects", "p", "null", one.data));
    conflict(edit_2(kit, "b", 2, "projects", "p", "null", two.data), SB_OK, "[\"\"]");
    assert_int_equal(kit_count(kit, "SELECT pointers = '[\"\"]' FROM conflicts"), 1);
    sb_buf_free(&one);
    sb_buf_free(&two);
}

/* ---- bad input ---- */

static void bad_records_are_rejected_one_by_one(void **state)
{
    static const struct {
        const char *record;
        enum sb_code code;
    } bad[] = {
        {"\"id\":\"p\",\"operation\":\"add\",\"data\":{}", SB_EMISSING_FIELD},
        {"\"table\":7,\"id\":\"p\",\"operation\":\"add\",\"data\":{}", SB_EBAD_TYPE},
        {"\"table\":\"settings\",\"id\":\"settings\",\"operation\":\"add\",\"data\":{}",
         SB_EBAD_ID},
        {"\"table\":\"Projects\",\"id\":\"p\",\"operation\":\"add\",\"data\":{}", SB_EBAD_ID},
        {"\"table\":\"\",\"id\":\"p\",\"operation\":\"add\",\"data\":{}", SB_EBAD_ID},
        {"\"table\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\","
         "\"id\":\"p\",\"operation\":\"add\",\"data\":{}",
         SB_EBAD_ID},
        {"\"table\":\"projects\",\"operation\":\"add\",\"data\":{}", SB_EMISSING_FIELD},
        {"\"table\":\"projects\",\"id\":\"\",\"operation\":\"add\",\"data\":{}", SB_EBAD_ID},
        {"\"table\":\"projects\",\"id\":\"a\\u0001\",\"operation\":\"add\",\"data\":{}",
         SB_EBAD_ID},
        {"\"table\":\"projects\",\"id\":\"p\",\"data\":{}", SB_EMISSING_FIELD},
        {"\"table\":\"projects\",\"id\":\"p\",\"operation\":\"upsert\",\"data\":{}", SB_EBAD_VALUE},
        {"\"table\":\"projects\",\"id\":\"p\",\"operation\":\"add\"", SB_EMISSING_FIELD},
        {"\"table\":\"projects\",\"id\":\"p\",\"operation\":\"update\",\"data\":null",
         SB_EMISSING_FIELD},
        {"\"table\":\"projects\",\"id\":\"p\",\"operation\":\"update\",\"data\":[]", SB_EBAD_TYPE},
        {"\"table\":\"projects\",\"id\":\"p\",\"operation\":\"update\",\"data\":\"secret\"",
         SB_EBAD_VALUE},
        {"\"table\":\"projects\",\"id\":\"p\",\"operation\":\"delete\",\"data\":{}", SB_EBAD_VALUE},
        /* what is bad in itself is not asked of its table */
        {"\"table\":\"nowhere\",\"id\":\"p\",\"operation\":\"delete\",\"data\":{}", SB_EBAD_VALUE},
    };
    struct kit *kit = *state;
    struct sb_buf records = {0};
    size_t count = sizeof(bad) / sizeof(bad[0]);

    for (size_t i = 0; i < count; i++)
        sb_buf_add_fmt(&records, "{\"op_id\":\"o%zu\",\"base\":null,%s},", i, bad[i].record);
    sb_buf_add_fmt(
        &records,
        "{\"op_id\":\"long\",\"base\":{\"op_id\":\"o1\",\"x\":\"%0*d\"},\"table\":\"projects\","
        "\"id\":\"p\",\"operation\":\"add\",\"data\":{}},",
        LIMIT_BASE_TEXT, 0);
    count++;
    kit_expect(kit_ask(kit, RECORDS, 1, count + 1,
                       "\"records\":[%s{\"op_id\":\"good\",\"base\":null,\"table\":\"projects\","
                       "\"id\":\"p\",\"operation\":\"add\",\"data\":{}}]",
                       records.data),
               SB_RESULT_STORED, 1, 0, 0, count, 0);
    assert_int_equal(kit->reply.rejected[kit->reply.rejected_count - 1].code, SB_ETOO_LARGE);
    for (size_t i = 0, at = 0; i + 1 < count; i++) {
        while (kit->reply.rejected[at].hi < i + 1)
            at++;
        if (kit->reply.rejected[at].code != bad[i].code)
            fail_msg("%s: %s", bad[i].record, kit->reply.rejected[at].reason);
    }
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM documents"), 1);
    sb_buf_free(&records);
}

static void a_document_above_the_limit_is_rejected_and_a_merge_above_it_is_a_conflict(void **state)
{
    struct kit *kit = *state;
    struct sb_buf one = {0}, two = {0};

    kit->config.limits.max_record_bytes = 1000;
    kit_restart(kit);
    sb_buf_add_fmt(&one, "{\"a\":\"%0600d\"}", 1);
    sb_buf_add_fmt(&two, "{\"b\":\"%0600d\"}", 1);
    stored(edit(kit, "a", 1, "projects", "p", "null", one.data));
    conflict(edit_2(kit, "b", 2, "projects", "p", "null", two.data), SB_OK, "[\"\"]");
    assert_string_equal(in_force(kit, "projects/p"), one.data);
    sb_buf_clear(&two); /* what is undecided is named all the same */
    sb_buf_add_fmt(&two, "{\"b\":\"%0600d\",\"a\":2}", 1);
    conflict(edit_2(kit, "d", 3, "projects", "p", "null", two.data), SB_OK, "[\"/a\"]");
    sb_buf_clear(&two);
    sb_buf_add_fmt(&two, "{\"b\":\"%01000d\"}", 1);
    rejected(edit_2(kit, "c", 3, "projects", "p", "null", two.data), SB_ETOO_LARGE);
    sb_buf_free(&one);
    sb_buf_free(&two);
}

static void a_table_nobody_declared_parks_the_batch(void **state)
{
    struct kit *kit = *state;
    const struct sb_reply *reply =
        kit_ask(kit, RECORDS, 1, 2,
                "\"records\":[{\"op_id\":\"a\",\"base\":null,\"table\":\"projects\",\"id\":\"p\","
                "\"operation\":\"add\",\"data\":{}},"
                "{\"op_id\":\"b\",\"base\":null,\"table\":\"nowhere\",\"id\":\"p\","
                "\"operation\":\"add\",\"data\":{}}]");

    assert_int_equal(reply->result, SB_RESULT_RETRY);
    assert_int_equal(reply->code, SB_EUNKNOWN_TABLE);
    assert_non_null(strstr(reply->reason, "nowhere"));
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM streams"), 0);
    kit_stop(kit);
    assert_int_equal(tables_declare(kit->tables, "nowhere", SB_POLICY_MERGE, NULL), 0);
    kit_start(kit);
    stored(edit(kit, "b", 1, "nowhere", "p", "null", "{}"));
}

static void records_of_a_user_who_is_not_bound_are_refused(void **state)
{
    struct kit *kit = *state;
    const struct sb_reply *reply =
        kit_ask(kit, "records/user-9", 1, 1,
                "\"records\":[{\"op_id\":\"a\",\"base\":null,\"table\":\"projects\",\"id\":\"p\","
                "\"operation\":\"add\",\"data\":{}}]");

    assert_int_equal(reply->result, SB_RESULT_RETRY);
    assert_int_equal(reply->code, SB_EFORBIDDEN);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM documents"), 0);
}

static void a_named_hole_gives_an_operation_on_a_record_up(void **state)
{
    struct kit *kit = *state;

    kit_message(
        kit, "records", "",
        "{\"v\":1,\"batch_id\":\"01930000-0000-7000-8000-0000000004aa\","
        "\"device\":\"edge-001\",\"epoch\":\"00000000000000e1\",\"stream\":\"records/user-1\","
        "\"first_seq\":1,\"last_seq\":1,\"hole\":{\"reason\":\"dead\",\"ops\":[\"a\"]}}");
    kit_flush(kit);
    kit_expect(kit_reply(kit), SB_RESULT_STORED, 1, 0, 0, 0, 0);
    rejected(edit(kit, "a", 1, "projects", "p", "null", "{}"), SB_EDECLARED_HOLE);
    next_seq = 0;
    stored(edit(kit, "b", 1, "projects", "p", "null", "{}"));
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
        stored(edit(kit, op[0], 1, "projects", id, "null", "{}"));
        stored(edit(kit, op[1], 2, "projects", id, tag_of(kit, doc), NULL));
    }
    stored(edit(kit, "kept", 3, "projects", "kept", "null", "{\"x\":1}"));
    pass_days(kit, 364);
    stored(edit(kit, "young", 3, "projects", "young", "null", "{}"));
    stored(edit(kit, "gone", 4, "projects", "young", "{\"op_id\":\"young\"}", NULL));
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
    assert_string_equal(in_force(kit, "projects/p0"), "");
    assert_string_equal(in_force(kit, "projects/young"), "-");
    assert_string_equal(in_force(kit, "projects/kept"), "{\"x\":1}");
    ingest_counters(kit->ingest, &counters);
    assert_int_equal(counters.tombstones, LIMIT_PURGE_SLICE + 2);
    /* the history stays: its tag is a known base of a document that is not there */
    stored(edit(kit, "again", 5, "projects", "p0", "{\"op_id\":\"b0\"}", "{\"y\":1}"));
    assert_string_equal(in_force(kit, "projects/p0"), "{\"y\":1}");
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

    stored(edit(kit, "a", 0xffffffff, "projects", "p", "null", "{\"x\":1}"));
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
    assert_string_equal(in_force(kit, "projects/p"), "-");
    assert_string_equal(in_force(kit, "settings"), "{\"s\":2}");
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM versions WHERE device = '_op-anna'"
                                    " AND sn = 0 AND hlc > '00000000ffffffff'"),
                     3);
    /* what a device had before is merged with it like anything else */
    conflict(edit(kit, "b", 9, "projects", "p", "{\"op_id\":\"a\"}", "{\"x\":3}"), SB_OK, "[\"\"]");
    stored(edit(kit, "enc", 9, "projects", "e", "null", TOKEN));
    bench_begin(kit, &bench);
    assert_int_equal(operate(&bench, "projects", "e", "w5", "{}", &version), -SB_EBAD_VALUE);
    bench_end(kit, &bench);
}

static void a_losing_edit_is_set_again_member_by_member(void **state)
{
    struct kit *kit = *state;
    struct losing_edit edit_of = {
        .op = {"edge-001", RECORDS, SB_SPAN("c")},
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

    stored(edit(kit, "a", 1, "projects", "p", "null", "{\"x\": 0, \"k\": 0}"));
    stored(edit(kit, "b", 2, "projects", "p", "{\"op_id\":\"a\"}", "{\"x\": 1, \"k\": 1}"));
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
    edit_of.submitted = SB_SPAN(TOKEN);
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

#define CASE(name)   cmocka_unit_test_setup_teardown(name, setup, kit_teardown)
#define RECORD(name) cmocka_unit_test_setup_teardown(name, records_setup, kit_teardown)

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
        CASE(a_document_too_large_for_the_reply_is_to_be_fetched),
        CASE(a_request_reads_the_settings_in_force),
        RECORD(records_of_all_tables_share_the_users_counter),
        RECORD(a_delete_leaves_a_tombstone_that_is_a_base_like_any_other),
        RECORD(what_two_devices_did_at_different_places_is_merged),
        RECORD(the_same_value_in_another_text_is_current),
        RECORD(a_chain_of_offline_edits_neither_fights_itself_nor_reverts_another),
        RECORD(a_base_is_one_of_that_document_and_of_that_device),
        RECORD(a_repeat_gets_the_first_outcome_with_the_document_of_today),
        RECORD(the_policies_server_and_local_decide_every_place),
        RECORD(under_manual_everything_that_is_not_current_is_a_conflict),
        RECORD(under_latest_the_newer_edit_wins_each_place_whatever_the_order),
        RECORD(a_place_has_the_stamp_of_its_own_last_change),
        RECORD(a_document_without_stamps_counts_as_stamped_as_a_whole),
        RECORD(more_stamps_than_are_kept_become_one),
        RECORD(a_clock_that_runs_ahead_is_taken_back_once),
        RECORD(two_edits_end_the_same_whatever_the_order),
        RECORD(arrays_are_merged_by_key_where_the_table_says_so),
        RECORD(what_is_encrypted_is_never_merged),
        RECORD(a_base_that_is_encrypted_is_not_known_to_the_cloud),
        RECORD(a_batch_that_is_too_much_work_is_answered_in_part),
        RECORD(documents_that_do_not_fit_a_reply_are_left_for_a_request),
        RECORD(very_many_undecided_places_are_told_and_kept_as_the_whole),
        RECORD(bad_records_are_rejected_one_by_one),
        RECORD(a_document_above_the_limit_is_rejected_and_a_merge_above_it_is_a_conflict),
        RECORD(a_table_nobody_declared_parks_the_batch),
        RECORD(records_of_a_user_who_is_not_bound_are_refused),
        RECORD(a_named_hole_gives_an_operation_on_a_record_up),
        RECORD(old_tombstones_go_and_raise_the_floor),
        RECORD(an_operator_writes_versions_on_the_document_in_force),
        RECORD(a_losing_edit_is_set_again_member_by_member),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
