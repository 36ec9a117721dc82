/* Requests about conflicts: of devices about their own, of operators who decide, and of the command
 * line. */
#include "request_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cloud_ingest/requests.h"

/* ---- conflicts ---- */

static size_t listed(struct kit *kit, const char *args, struct sb_conflicts *list)
{
    struct sb_err err;

    ask(kit, "conflicts.list", args);
    succeeded();
    if (sb_conflicts_decode(answer.data, list, &err) != 0)
        fail_msg("conflicts: %s", err.msg);
    return list->count;
}

static size_t listed_only(struct kit *kit, const char *args)
{
    struct sb_conflicts list;
    size_t count = listed(kit, args, &list);

    sb_conflicts_free(&list);
    return count;
}

static void conflicts_are_listed_and_shown_with_three_documents(void **state)
{
    struct kit *kit = *state;
    struct sb_conflict_view view;
    struct sb_conflicts list;

    make_conflict(kit);
    assert_int_equal(listed(kit, "{\"user\":\"user-1\"}", &list), 1);
    assert_int_equal(list.list[0].id, 1);
    assert_string_equal(list.list[0].table, "settings");
    assert_string_equal(list.list[0].document, "settings");
    assert_string_equal(list.list[0].op_id, "lost");
    assert_string_equal(list.list[0].pointers.data, "[\"/b\"]");
    assert_int_equal(list.list[0].server_version, 2);
    assert_string_equal(list.list[0].resolved_at, "");
    sb_conflicts_free(&list);

    ask(kit, "conflicts.show", "{\"id\":1}");
    succeeded();
    assert_int_equal(sb_conflict_view_decode(answer.data, &view, NULL), 0);
    assert_string_equal(view.base_name.data, "{\"op_id\":\"s1\"}");
    assert_string_equal(view.base.data.data, "{\"a\":1,\"b\":1,\"c\":0}");
    assert_string_equal(view.submitted.data.data, "{\"a\":1,\"b\":3,\"c\":9}");
    assert_string_equal(view.server.data.data, "{\"a\":1,\"b\":2,\"c\":0}");
    assert_int_equal(view.as_of, 2);
    sb_conflict_view_free(&view);

    ask(kit, "conflicts.show", "{\"id\":1,\"part\":\"submitted\"}");
    assert_int_equal(sb_conflict_view_decode(answer.data, &view, NULL), 0);
    assert_true(view.base.fetch && view.server.fetch && !view.submitted.fetch);
    sb_conflict_view_free(&view);
}

static void a_base_that_is_unknown_or_nothing_is_shown_as_nothing(void **state)
{
    struct kit *kit = *state;
    struct sb_conflict_view view;

    put_record(kit, "a", "projects", "p", "null", "{\"x\":1}");
    put_record(kit, "b", "projects", "p", "{\"tag\":\"00000000000000aa\"}", "{\"x\":2}");
    put_record(kit, "c", "projects", "p", "null", NULL);
    ask(kit, "conflicts.show", "{\"id\":1}");
    assert_int_equal(sb_conflict_view_decode(answer.data, &view, NULL), 0);
    assert_int_equal(view.entry.code, SB_EBASE_UNKNOWN);
    assert_false(view.base.exists);
    assert_string_equal(view.entry.table, "projects");
    assert_string_equal(view.entry.document, "p");
    sb_conflict_view_free(&view);
    if (kit_count(kit, "SELECT count(*) FROM conflicts") > 1) {
        ask(kit, "conflicts.show", "{\"id\":2}");
        assert_int_equal(sb_conflict_view_decode(answer.data, &view, NULL), 0);
        assert_false(view.base.exists);
        assert_true(view.submitted.deleted);
        sb_conflict_view_free(&view);
    }
}

static void texts_that_do_not_fit_are_shown_one_by_one(void **state)
{
    struct kit *kit = *state;
    char *one = noise(kit, 9000), *two = noise(kit, 9100), *three = noise(kit, 9200);
    struct sb_conflict_view view;

    ack_is(put_settings(kit, "s1", "null", one), SB_RESULT_STORED);
    ack_is(put_settings(kit, "s2", "{\"op_id\":\"s1\"}", two), SB_RESULT_STORED);
    ack_is(put_settings(kit, "lost", "{\"op_id\":\"s1\"}", three), SB_RESULT_CONFLICT);
    kit_stop(kit);
    kit->config.reply_bytes = 12000;
    kit_start(kit);
    ask(kit, "conflicts.show", "{\"id\":1}");
    succeeded();
    assert_true(answer.data.len <= 12000);
    assert_int_equal(sb_conflict_view_decode(answer.data, &view, NULL), 0);
    assert_true(view.submitted.fetch && view.server.fetch && !view.base.fetch);
    sb_conflict_view_free(&view);
    ask(kit, "conflicts.show", "{\"id\":1,\"part\":\"submitted\"}");
    assert_int_equal(sb_conflict_view_decode(answer.data, &view, NULL), 0);
    assert_string_equal(view.submitted.data.data, three);
    sb_conflict_view_free(&view);
    free(one);
    free(two);
    free(three);
}

static void a_device_tells_of_its_own_operations(void **state)
{
    struct kit *kit = *state;
    struct sb_conflicts list;
    struct sb_resolved resolved;

    make_conflict(kit);
    assert_int_equal(listed_only(kit, "{\"ops\":[\"s1\",\"lost\",\"nobody\",\"lost\"]}"), 1);
    ask(kit, "conflicts.resolve",
        "{\"ops\":[\"lost\",\"nobody\"],\"choice\":\"local\",\"note\":\"by hand\"}");
    resolved = resolved_of();
    assert_int_equal(resolved.resolved, 1);
    assert_int_equal(resolved.unknown, 1);
    assert_int_equal(resolved.already, 0);
    assert_int_equal(resolved.version, 0);
    assert_true(answer.commit > 0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM versions"), 2);
    assert_int_equal(kit_count(kit, "SELECT note = 'by hand' FROM conflicts"), 1);
    assert_int_equal(kit_published(kit, "conflict_resolved"), 1);

    assert_int_equal(listed_only(kit, "{\"user\":\"user-1\"}"), 0);
    assert_int_equal(listed_only(kit, "{\"user\":\"user-1\",\"open\":false}"), 1);
    assert_int_equal(listed_only(kit, "{\"ops\":[\"lost\"],\"open\":true}"), 0);
    assert_int_equal(listed(kit, "{\"ops\":[\"lost\"]}", &list), 1);
    assert_int_equal(list.list[0].resolution, SB_CHOICE_LOCAL);
    assert_string_equal(list.list[0].resolved_by, "edge-001");
    assert_true(list.list[0].resolved_at[0] != '\0');
    sb_conflicts_free(&list);
    ask(kit, "conflicts.resolve", "{\"ops\":[\"lost\"],\"choice\":\"merge\"}");
    resolved = resolved_of();
    assert_int_equal(resolved.already, 1);
    assert_int_equal(kit_count(kit, "SELECT resolution = 'local' FROM conflicts"), 1);
    assert_int_equal(kit_published(kit, "conflict_resolved"), 1);

    kit->device = "edge-002"; /* another's operation */
    ask(kit, "conflicts.resolve", "{\"ops\":[\"lost\"],\"choice\":\"local\"}");
    resolved = resolved_of();
    assert_int_equal(resolved.unknown, 1);
    assert_int_equal(listed_only(kit, "{\"ops\":[\"lost\"]}"), 0);
    assert_int_equal(listed_only(kit, "{\"user\":\"user-1\",\"open\":false}"), 1);
}

static void lists_of_conflicts_have_pages(void **state)
{
    struct kit *kit = *state;
    struct sb_conflicts list;
    char op[24];

    put_settings(kit, "s1", "null", "{\"n\":0}");
    put_settings(kit, "s2", "{\"op_id\":\"s1\"}", "{\"n\":1}");
    for (int i = 0; i < 5; i++) {
        snprintf(op, sizeof(op), "lost-%d", i);
        ack_is(put_settings(kit, op, "{\"op_id\":\"s1\"}", "{\"n\":2}"), SB_RESULT_CONFLICT);
    }
    assert_int_equal(listed(kit, "{\"limit\":3}", &list), 3);
    assert_true(list.has_more);
    assert_int_equal(list.list[2].id, 3);
    sb_conflicts_free(&list);
    assert_int_equal(listed(kit, "{\"limit\":3,\"after\":3}", &list), 2);
    assert_false(list.has_more);
    sb_conflicts_free(&list);
    assert_int_equal(listed_only(kit, "{\"limit\":2,\"open\":false,\"after\":4}"), 1);
}

/* ---- operators ---- */

static struct sb_document settings_in_force(struct kit *kit)
{
    struct sb_document doc = {0};
    uint64_t as_of;
    struct sb_err err;

    assert_int_equal(store_settings(kit->store, "user-1", &doc, &as_of, &err), 0);
    return doc;
}

static void an_operator_keeps_the_losing_edit(void **state)
{
    struct kit *kit = *state;
    struct sb_resolved resolved;
    struct sb_document doc;

    make_conflict(kit);
    ask_operator(kit, new_id(), "conflicts.resolve", "{\"id\":1,\"choice\":\"local\"}");
    resolved = resolved_of();
    assert_int_equal(resolved.resolved, 1);
    assert_int_equal(resolved.version, 3);
    assert_true(answer.commit > 0);
    doc = settings_in_force(kit);
    assert_int_equal(doc.version, 3);
    assert_string_equal(doc.tag, resolved.tag);
    assert_string_equal(doc.device, "_op-anna");
    assert_true(sb_json_equal(sb_buf_span(&doc.data), SB_SPAN("{\"a\":1,\"b\":3,\"c\":9}")));
    assert_true(strcmp(doc.hlc, "019b7c10a1b30002") > 0);
    sb_document_free(&doc);
    assert_int_equal(kit_count(kit, "SELECT resolved_by = '_op-anna' AND resolution = 'local' FROM"
                                    " conflicts WHERE resolved_ms IS NOT NULL"),
                     1);
    assert_non_null(
        strstr(kit_last(kit, "conflict_resolved")->payload.data, "\"by\":\"_op-anna\""));
    /* all of the user's devices look, the one that lost too */
    assert_int_equal(kit_published(kit, "sb/v1/down/edge-001/notify"), 1);
    assert_non_null(kit_last(kit, "sb/v1/down/edge-002/notify"));
    assert_int_equal(kit_published(kit, "sb/v1/down/edge-003/notify"), 0);
    /* what comes after sees an ordinary version */
    ack_is(put_settings(kit, "s5", "{\"op_id\":\"s2\"}", "{\"a\":2,\"b\":2,\"c\":0}"),
           SB_RESULT_STORED);
    doc = settings_in_force(kit);
    assert_true(sb_json_equal(sb_buf_span(&doc.data), SB_SPAN("{\"a\":2,\"b\":3,\"c\":9}")));
    sb_document_free(&doc);
}

static void an_operator_leaves_the_server_or_writes_another_text(void **state)
{
    struct kit *kit = *state;
    struct sb_resolved resolved;
    struct sb_document doc;

    make_conflict(kit);
    ack_is(put_settings(kit, "lost2", "{\"op_id\":\"s1\"}", "{\"a\":1,\"b\":4,\"c\":0}"),
           SB_RESULT_CONFLICT);
    ask_operator(kit, new_id(), "conflicts.resolve", "{\"id\":1,\"choice\":\"server\"}");
    resolved = resolved_of();
    assert_int_equal(resolved.resolved, 1);
    assert_int_equal(resolved.version, 0);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM versions"), 2);
    assert_int_equal(kit_published(kit, "sb/v1/down/edge-001/notify"), 1);
    ask_operator(kit, new_id(), "conflicts.resolve", "{\"id\":1,\"choice\":\"local\"}");
    resolved = resolved_of();
    assert_int_equal(resolved.already, 1);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM versions"), 2);
    ask_operator(kit, new_id(), "conflicts.resolve",
                 "{\"id\":2,\"choice\":\"merge\",\"data\":{ \"b\": \"both\" }}");
    resolved = resolved_of();
    assert_int_equal(resolved.version, 3);
    doc = settings_in_force(kit);
    assert_string_equal(doc.data.data, "{ \"b\": \"both\" }");
    sb_document_free(&doc);
}

static void a_decision_on_a_document_that_was_changed_since_is_refused(void **state)
{
    struct kit *kit = *state;
    struct sb_resolved resolved;
    struct sb_document doc;
    char args[256], seen[SB_TAG_LEN + 1];

    make_conflict(kit);
    doc = settings_in_force(kit);
    memcpy(seen, doc.tag, sizeof(seen));
    sb_document_free(&doc);
    ack_is(put_settings(kit, "s5", "{\"op_id\":\"s2\"}", "{\"a\":5,\"b\":2,\"c\":0}"),
           SB_RESULT_STORED);
    for (int i = 0; i < 3; i++) {
        static const char *const choices[] = {"\"server\"", "\"local\"", "\"merge\",\"data\":{}"};

        snprintf(args, sizeof(args), "{\"id\":1,\"choice\":%s,\"seen\":\"%s\"}", choices[i], seen);
        ask_operator(kit, new_id(), "conflicts.resolve", args);
        refused(SB_ESTALE, "version 3");
    }
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM conflicts WHERE resolved_ms IS NULL"), 1);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM versions"), 3);
    doc = settings_in_force(kit);
    snprintf(args, sizeof(args),
             "{\"id\":1,\"choice\":\"merge\",\"data\":{\"a\":6},\"seen\":\"%s\",\"note\":\"why\"}",
             doc.tag);
    sb_document_free(&doc);
    ask_operator(kit, new_id(), "conflicts.resolve", args);
    resolved = resolved_of();
    assert_int_equal(resolved.version, 4);
}

static void an_operator_may_delete(void **state)
{
    struct kit *kit = *state;
    struct sb_resolved resolved;

    make_conflict(kit);
    ask_operator(kit, new_id(), "conflicts.resolve",
                 "{\"id\":1,\"choice\":\"merge\",\"data\":null}");
    resolved = resolved_of();
    assert_int_equal(resolved.version, 3);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM documents WHERE tombed_ms IS NOT NULL"),
                     1);
    /* once more on what is gone already */
    ack_is(put_settings(kit, "lost2", "{\"op_id\":\"s1\"}", "{\"a\":1,\"b\":4,\"c\":0}"),
           SB_RESULT_CONFLICT);
    ask_operator(kit, new_id(), "conflicts.resolve",
                 "{\"id\":2,\"choice\":\"merge\",\"data\":null}");
    resolved = resolved_of();
    assert_int_equal(resolved.resolved, 1);
    assert_int_equal(resolved.version, 0);
}

static void what_cannot_be_decided_here_is_refused_and_stays_open(void **state)
{
    struct kit *kit = *state;

    put_record(kit, "a", "projects", "p", "null", "{\"x\":1}");
    put_record(kit, "b", "projects", "p", "{\"tag\":\"00000000000000aa\"}", "{\"x\":2}");
    put_record(kit, "e", "projects", "enc", "null", TOKEN);
    put_record(kit, "f", "projects", "enc", "{\"tag\":\"00000000000000aa\"}", OTHER_TOKEN);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM conflicts"), 2);
    ask_operator(kit, new_id(), "conflicts.resolve", "{\"id\":1,\"choice\":\"local\"}");
    refused(SB_EBASE_UNKNOWN, "");
    ask_operator(kit, new_id(), "conflicts.resolve", "{\"id\":2,\"choice\":\"local\"}");
    refused(SB_EBAD_VALUE, "encrypted");
    ask_operator(kit, new_id(), "conflicts.resolve", "{\"id\":2,\"choice\":\"merge\",\"data\":{}}");
    refused(SB_EBAD_VALUE, "encrypted");
    ask_operator(kit, new_id(), "conflicts.resolve", "{\"id\":3,\"choice\":\"server\"}");
    refused(SB_ENOT_FOUND, "conflict");
    ask_operator(kit, new_id(), "conflicts.resolve", "{\"ops\":[\"b\"],\"choice\":\"server\"}");
    refused(SB_EBAD_VALUE, "ops");
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM conflicts WHERE resolved_ms IS NULL"), 2);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM versions"), 2);
    assert_int_equal(kit_published(kit, "conflict_resolved"), 0);
    ask_operator(kit, new_id(), "conflicts.resolve", "{\"id\":2,\"choice\":\"server\"}");
    succeeded();
}

/* {"<name>":[0,…]} with so many elements. */
static char *zeros(const char *name, int count)
{
    struct sb_buf text = {0};

    sb_buf_add_fmt(&text, "{\"%s\":[0", name);
    for (int i = 1; i < count; i++)
        sb_buf_add_str(&text, ",0");
    sb_buf_add_str(&text, "]}");
    return sb_buf_take(&text);
}

static void a_decision_that_no_device_could_read_is_refused(void **state)
{
    struct kit *kit = *state;
    char *one = zeros("a", 55000), *two = zeros("b", 55000);

    ack_is(put_settings(kit, "s1", "null", "{}"), SB_RESULT_STORED);
    ack_is(put_settings(kit, "s2", "{\"op_id\":\"s1\"}", one), SB_RESULT_STORED);
    ack_is(put_settings(kit, "lost", "{\"op_id\":\"s1\"}", two), SB_RESULT_CONFLICT);
    ask_operator(kit, new_id(), "conflicts.resolve", "{\"id\":1,\"choice\":\"local\"}");
    refused(SB_ETOO_MANY_NODES, "");
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM conflicts WHERE resolved_ms IS NULL"), 1);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM versions"), 2);
    free(one);
    free(two);
}

static void a_decision_and_its_answer_are_kept_together_or_not_at_all(void **state)
{
    struct kit *kit = *state;
    char id[SB_UUID_LEN + 1];

    make_conflict(kit);
    memcpy(id, new_id(), sizeof(id));
    kit_sql(kit, "CREATE TRIGGER not_now BEFORE INSERT ON answers BEGIN"
                 " SELECT raise(ABORT, 'not now'); END");
    ask_operator(kit, id, "conflicts.resolve", "{\"id\":1,\"choice\":\"local\"}");
    assert_false(answer.success);
    assert_int_equal(sb_code_class(answer.code), SB_RETRY);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM versions"), 2);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM conflicts WHERE resolved_ms IS NULL"), 1);
    assert_int_equal(kit_published(kit, "conflict_resolved"), 0);
    assert_int_equal(kit_published(kit, "sb/v1/down/edge-001/notify"), 0);
    kit_sql(kit, "DROP TRIGGER not_now");
    kit_restart(kit);
    ask_operator(kit, id, "conflicts.resolve", "{\"id\":1,\"choice\":\"local\"}");
    assert_int_equal(resolved_of().version, 3);
}

static void of_a_device_and_two_operators_the_first_decides(void **state)
{
    struct kit *kit = *state;
    struct sb_buf json = {0};

    make_conflict(kit);
    ack_is(put_settings(kit, "lost2", "{\"op_id\":\"s1\"}", "{\"a\":1,\"b\":4,\"c\":0}"),
           SB_RESULT_CONFLICT);
    ask_operator(kit, new_id(), "conflicts.resolve", "{\"id\":1,\"choice\":\"local\"}");
    assert_int_equal(resolved_of().version, 3);
    request_json(&json, new_id(), "conflicts.resolve",
                 "{\"id\":1,\"choice\":\"merge\",\"data\":{}}");
    admin_message(kit, "_op-bo", "", json.data);
    last_answer(kit, "sb/v1/admin/_op-bo/reply");
    assert_int_equal(resolved_of().already, 1);
    ask(kit, "conflicts.resolve", "{\"ops\":[\"lost\",\"lost2\"],\"choice\":\"server\"}");
    assert_int_equal(resolved_of().already, 1);
    assert_int_equal(resolved_of().resolved, 1);
    ask_operator(kit, new_id(), "conflicts.resolve", "{\"id\":2,\"choice\":\"local\"}");
    assert_int_equal(resolved_of().already, 1);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM versions"), 3);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM conflicts WHERE (id = 1 AND resolved_by ="
                                    " '_op-anna') OR (id = 2 AND resolved_by = 'edge-001')"),
                     2);
    sb_buf_free(&json);
}

static void a_deleted_document_comes_back_with_what_the_edit_had_set(void **state)
{
    struct kit *kit = *state;
    struct sb_document doc;

    make_conflict(kit);
    ask_operator(kit, new_id(), "conflicts.resolve", "{\"id\":1,\"choice\":\"server\"}");
    ack_is(put_settings(kit, "lost2", "{\"op_id\":\"s1\"}", "{\"a\":1,\"b\":4,\"c\":0}"),
           SB_RESULT_CONFLICT);
    ack_is(put_settings(kit, "lost3", "{\"op_id\":\"s1\"}", "{\"a\":1,\"b\":5,\"c\":0}"),
           SB_RESULT_CONFLICT);
    ask_operator(kit, new_id(), "conflicts.resolve",
                 "{\"id\":3,\"choice\":\"merge\",\"data\":null}");
    assert_int_equal(resolved_of().version, 3);
    ask_operator(kit, new_id(), "conflicts.resolve", "{\"id\":2,\"choice\":\"local\"}");
    assert_int_equal(resolved_of().version, 4);
    doc = settings_in_force(kit);
    assert_string_equal(doc.data.data, "{\"b\": 4}");
    sb_document_free(&doc);
}

static void the_conflicts_of_all_users_have_pages_too(void **state)
{
    struct kit *kit = *state;
    struct sb_conflicts list;

    kit_sql(kit,
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20)"
            " INSERT INTO conflicts (device, stream, op_id, user, code, hlc, submitted, sn, seq,"
            " server_version, opened_ms, resolved_ms)"
            " SELECT 'edge-001', 'settings/u' || i % 3, 'op' || i, 'u' || i % 3, '',"
            " '0000000000000001', '{}', 1, i, 1, 1, CASE WHEN i % 2 = 0 THEN 1 END FROM n");
    ask_operator(kit, new_id(), "conflicts.list", "{\"limit\":4,\"after\":5}");
    succeeded();
    assert_int_equal(sb_conflicts_decode(answer.data, &list, NULL), 0);
    assert_int_equal(list.count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(list.list[i].id, 7 + 2 * i);
    assert_true(list.has_more);
    sb_conflicts_free(&list);
    ask_operator(kit, new_id(), "conflicts.list", "{\"limit\":4,\"after\":13}");
    assert_int_equal(sb_conflicts_decode(answer.data, &list, NULL), 0);
    assert_int_equal(list.count, 3);
    assert_false(list.has_more);
    sb_conflicts_free(&list);
}

static void operators_name_the_user_and_need_no_binding(void **state)
{
    struct kit *kit = *state;
    struct sb_conflicts list;

    make_conflict(kit);
    ask_operator(kit, new_id(), "settings.get", "{\"user\":\"user-1\"}");
    succeeded();
    ask_operator(kit, new_id(), "settings.get", "{}");
    refused(SB_EMISSING_FIELD, "user");
    ask_operator(kit, new_id(), "changes", "{\"table\":\"projects\"}");
    refused(SB_EMISSING_FIELD, "user");
    ask_operator(kit, new_id(), "conflicts.list", "{}"); /* of all users */
    succeeded();
    assert_int_equal(sb_conflicts_decode(answer.data, &list, NULL), 0);
    assert_int_equal(list.count, 1);
    sb_conflicts_free(&list);
    ask_operator(kit, new_id(), "conflicts.list", "{\"user\":\"user-2\"}");
    assert_int_equal(sb_conflicts_decode(answer.data, &list, NULL), 0);
    assert_int_equal(list.count, 0);
    sb_conflicts_free(&list);
    ask_operator(kit, new_id(), "conflicts.list", "{\"ops\":[\"lost\"]}");
    refused(SB_EBAD_VALUE, "ops");
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM devices WHERE device LIKE '_op%'"), 0);
}

static void only_configured_operators_may(void **state)
{
    struct kit *kit = *state;

    kit_stop(kit);
    kit->config.operators = "_op-bo, _op-annabel";
    kit_start(kit);
    ask_operator(kit, new_id(), "settings.get", "{\"user\":\"user-1\"}");
    refused(SB_EFORBIDDEN, "operators");
    kit_stop(kit);
    kit->config.operators = "_op-bo,_op-anna";
    kit_start(kit);
    ask_operator(kit, new_id(), "settings.get", "{\"user\":\"user-1\"}");
    succeeded();
    assert_true(requests_operator_may(NULL, "_op-x"));
    assert_true(requests_operator_may("*", "_op-x"));
    assert_false(requests_operator_may("", "_op-x"));
    assert_false(requests_operator_may("_op-xy, _op-", "_op-x"));
    assert_true(requests_operator_may("_op-xy, _op-x", "_op-x"));
}

static void what_an_operator_sends_that_is_no_request_is_refused(void **state)
{
    struct kit *kit = *state;

    admin_message(kit, "_op-anna", "01930000-0000-7000-9000-0000000000aa", "{\"v\":1,");
    last_answer(kit, "sb/v1/admin/_op-anna/reply");
    assert_string_equal(answer.id, "01930000-0000-7000-9000-0000000000aa");
    refused(SB_EBAD_JSON, "");
    admin_message(kit, "_op-anna", "",
                  "{\"v\":1,\"kind\":\"hello\",\"id\":\"01930000-0000-7000-9000-0000000000ab\"}");
    last_answer(kit, "sb/v1/admin/_op-anna/reply");
    assert_string_equal(answer.id, "01930000-0000-7000-9000-0000000000ab");
    refused(SB_EBAD_VALUE, "kind");
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM quarantine"), 0);
}

/* ---- the command line ---- */

static struct sb_answer *ask_local(struct kit *kit, bool daemon, const char *id, const char *op,
                                   const char *args)
{
    static struct sb_buf text;
    struct sb_request request = {.args = sb_span_of(args)};
    const struct requester who = {.name = "_op-root", .is_operator = true, .is_local = true};
    struct sb_err err;
    int rc;

    assert_true(strlen(id) < sizeof(request.id) && strlen(op) < sizeof(request.op));
    memcpy(request.id, id, strlen(id) + 1);
    memcpy(request.op, op, strlen(op) + 1);
    sb_buf_free(&text);
    if (daemon) {
        rc = ingest_request(kit->ingest, who.name, &request, kit->now, &text, &err);
    } else {
        kit->config.tables = kit->tables;
        rc = requests_alone(kit->store, &kit->config, &who, &request, kit->now, &text, &err);
    }
    if (rc != 0)
        fail_msg("%s: %s", op, err.msg);
    assert_int_equal(sb_answer_decode(sb_buf_span(&text), &answer, &err), 0);
    return &answer;
}

static void the_command_line_has_the_same_handlers(void **state)
{
    struct kit *kit = *state;
    struct sb_document doc;

    kit_stop(kit);
    kit->config.operators = ""; /* who may use the socket needs no certificate */
    kit_start(kit);
    make_conflict(kit);
    ack_is(put_settings(kit, "lost2", "{\"op_id\":\"s1\"}", "{\"a\":7,\"b\":3,\"c\":0}"),
           SB_RESULT_CONFLICT);
    ask_local(kit, true, new_id(), "conflicts.resolve", "{\"id\":1,\"choice\":\"local\"}");
    assert_int_equal(resolved_of().version, 3);
    assert_true(answer.commit > 0);
    assert_int_equal(kit_published(kit, "sb/v1/down/edge-001/notify"), 1);
    assert_int_equal(kit_published(kit, "conflict_resolved"), 1);

    /* no daemon: the database alone */
    ask_local(kit, false, new_id(), "conflicts.resolve", "{\"id\":2,\"choice\":\"local\"}");
    assert_int_equal(resolved_of().version, 4);
    assert_int_equal(answer.commit, 0);
    assert_int_equal(kit_published(kit, "conflict_resolved"), 1);
    doc = settings_in_force(kit);
    assert_string_equal(doc.device, "_op-root");
    assert_true(sb_json_equal(sb_buf_span(&doc.data), SB_SPAN("{\"a\":7,\"b\":3,\"c\":9}")));
    sb_document_free(&doc);
    ask_local(kit, false, new_id(), "conflicts.resolve", "{\"id\":9,\"choice\":\"local\"}");
    refused(SB_ENOT_FOUND, "");
    ask_local(kit, false, new_id(), "conflicts.show", "{\"id\":1}");
    succeeded();
    /* the daemon goes on with it */
    ack_is(put_settings(kit, "s9", "{\"op_id\":\"s2\"}", "{\"a\":1,\"b\":2,\"c\":0,\"d\":1}"),
           SB_RESULT_STORED);
    assert_int_equal(kit->reply.versions[0].version, 5);
    ask_local(kit, false, "01930000-0000-7000-9000-0000000000ff", "conflicts.list", "{}");
    succeeded();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, request_setup, kit_teardown)
    const struct CMUnitTest tests[] = {
        TEST(conflicts_are_listed_and_shown_with_three_documents),
        TEST(a_base_that_is_unknown_or_nothing_is_shown_as_nothing),
        TEST(texts_that_do_not_fit_are_shown_one_by_one),
        TEST(a_device_tells_of_its_own_operations),
        TEST(lists_of_conflicts_have_pages),
        TEST(an_operator_keeps_the_losing_edit),
        TEST(an_operator_leaves_the_server_or_writes_another_text),
        TEST(a_decision_on_a_document_that_was_changed_since_is_refused),
        TEST(an_operator_may_delete),
        TEST(what_cannot_be_decided_here_is_refused_and_stays_open),
        TEST(a_decision_that_no_device_could_read_is_refused),
        TEST(a_decision_and_its_answer_are_kept_together_or_not_at_all),
        TEST(of_a_device_and_two_operators_the_first_decides),
        TEST(a_deleted_document_comes_back_with_what_the_edit_had_set),
        TEST(the_conflicts_of_all_users_have_pages_too),
        TEST(operators_name_the_user_and_need_no_binding),
        TEST(only_configured_operators_may),
        TEST(what_an_operator_sends_that_is_no_request_is_refused),
        TEST(the_command_line_has_the_same_handlers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
