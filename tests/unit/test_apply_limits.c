/* Records that are too many, too large or bad: what is answered in part, left out or refused. */
#include "ops_kit.h"

#include <string.h>

#include "cloud_ingest/limits.h"

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
    reply = kit_ask(kit, OPS_RECORDS, first, first + count - 1, "\"records\":[%s]", records.data);
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
    ops_stored(ops_edit(kit, "large", 1, "projects", "p", "null", large.data));
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
    ops_stored(ops_edit(kit, "a", 1, "projects", "p", "null", text.data));
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
    ops_stored(ops_edit(kit, "a", 1, "projects", "p", "null", one.data));
    ops_conflict(ops_edit_2(kit, "b", 2, "projects", "p", "null", two.data), SB_OK, "[\"\"]");
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
    kit_expect(kit_ask(kit, OPS_RECORDS, 1, count + 1,
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
    ops_stored(ops_edit(kit, "a", 1, "projects", "p", "null", one.data));
    ops_conflict(ops_edit_2(kit, "b", 2, "projects", "p", "null", two.data), SB_OK, "[\"\"]");
    assert_string_equal(ops_in_force(kit, "projects/p"), one.data);
    sb_buf_clear(&two); /* what is undecided is named all the same */
    sb_buf_add_fmt(&two, "{\"b\":\"%0600d\",\"a\":2}", 1);
    ops_conflict(ops_edit_2(kit, "d", 3, "projects", "p", "null", two.data), SB_OK, "[\"/a\"]");
    sb_buf_clear(&two);
    sb_buf_add_fmt(&two, "{\"b\":\"%01000d\"}", 1);
    ops_rejected(ops_edit_2(kit, "c", 3, "projects", "p", "null", two.data), SB_ETOO_LARGE);
    sb_buf_free(&one);
    sb_buf_free(&two);
}

static void a_table_nobody_declared_parks_the_batch(void **state)
{
    struct kit *kit = *state;
    const struct sb_reply *reply =
        kit_ask(kit, OPS_RECORDS, 1, 2,
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
    ops_stored(ops_edit(kit, "b", 1, "nowhere", "p", "null", "{}"));
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
    ops_rejected(ops_edit(kit, "a", 1, "projects", "p", "null", "{}"), SB_EDECLARED_HOLE);
    ops_next_seq = 0;
    ops_stored(ops_edit(kit, "b", 1, "projects", "p", "null", "{}"));
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, ops_records_setup, kit_teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_batch_that_is_too_much_work_is_answered_in_part),
        CASE(documents_that_do_not_fit_a_reply_are_left_for_a_request),
        CASE(very_many_undecided_places_are_told_and_kept_as_the_whole),
        CASE(bad_records_are_rejected_one_by_one),
        CASE(a_document_above_the_limit_is_rejected_and_a_merge_above_it_is_a_conflict),
        CASE(a_table_nobody_declared_parks_the_batch),
        CASE(records_of_a_user_who_is_not_bound_are_refused),
        CASE(a_named_hole_gives_an_operation_on_a_record_up),
    };
#undef CASE

    return cmocka_run_group_tests(tests, NULL, NULL);
}
