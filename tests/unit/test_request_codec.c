/* Requests, answers and the documents in them: there and back, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/request.h"

#define ID "0190a6c2-7b1e-7cc3-98c4-dc0c0c07398f"

static void a_request_survives_the_way_there_and_back(void **state)
{
    struct sb_request request = {
        .id = ID, .boot = "b-1", .op = "settings.get", .args = SB_SPAN("{\"user\" : \"u\"}")};
    struct sb_request back;
    struct sb_buf text = {0};

    (void)state;
    sb_request_encode(&request, &text);
    assert_int_equal(sb_request_decode(sb_buf_span(&text), &back, NULL), 0);
    assert_string_equal(back.id, ID);
    assert_string_equal(back.boot, "b-1");
    assert_string_equal(back.op, "settings.get");
    assert_true(sb_span_eq(back.args, request.args));
    sb_buf_clear(&text);
    request.boot[0] = '\0';
    request.args = (struct sb_span){"", 0};
    sb_request_encode(&request, &text);
    assert_null(strstr(text.data, "boot"));
    assert_int_equal(sb_request_decode(sb_buf_span(&text), &back, NULL), 0);
    assert_string_equal(back.boot, "");
    assert_true(sb_span_is(back.args, "{}"));
    sb_buf_free(&text);
}

static void refuses_request(const char *text, enum sb_code code, const char *part)
{
    struct sb_request request;
    struct sb_err err = {0};

    if (sb_request_decode(sb_span_of(text), &request, &err) != -(int)code)
        fail_msg("%s: not %s but %s: %s", text, sb_code_name(code), sb_code_name(err.code),
                 err.msg);
    if (strstr(err.msg, part) == NULL)
        fail_msg("%s: \"%s\" is not in \"%s\"", text, part, err.msg);
}

static void bad_requests_are_refused(void **state)
{
    (void)state;
    refuses_request("", SB_EBAD_JSON, "at byte 0");
    refuses_request("[]", SB_EBAD_TYPE, "not an object");
    refuses_request("{}", SB_EMISSING_FIELD, "v: missing");
    refuses_request("{\"v\":2}", SB_EBAD_VERSION, "v:");
    refuses_request("{\"v\":1}", SB_EMISSING_FIELD, "kind: missing");
    refuses_request("{\"v\":1,\"kind\":\"answer\"}", SB_EBAD_VALUE, "kind");
    refuses_request("{\"v\":1,\"kind\":\"request\"}", SB_EMISSING_FIELD, "id: missing");
    refuses_request("{\"v\":1,\"kind\":\"request\",\"id\":\"7\"}", SB_EBAD_ID, "id");
    refuses_request("{\"v\":1,\"kind\":\"request\",\"id\":\"" ID "\"}", SB_EMISSING_FIELD, "op");
    refuses_request("{\"v\":1,\"kind\":\"request\",\"id\":\"" ID "\",\"op\":\"\"}", SB_EBAD_VALUE,
                    "op");
    refuses_request("{\"v\":1,\"kind\":\"request\",\"id\":\"" ID "\",\"op\":7}", SB_EBAD_TYPE,
                    "op");
    refuses_request("{\"v\":1,\"kind\":\"request\",\"id\":\"" ID "\",\"op\":\"a\",\"args\":[]}",
                    SB_EBAD_TYPE, "args");
    refuses_request("{\"v\":1,\"kind\":\"request\",\"id\":\"" ID
                    "\",\"op\":\"a\",\"boot\":\"x y\"}",
                    SB_EBAD_ID, "boot");
    refuses_request("{\"v\":1,\"kind\":\"request\",\"id\":\"" ID "\",\"id\":\"" ID "\"}",
                    SB_EDUPLICATE_KEY, "id");
}

static void the_id_of_a_bad_request_is_read(void **state)
{
    struct sb_request request;

    (void)state;
    assert_int_equal(sb_request_decode(SB_SPAN("{\"v\":2,\"id\":\"" ID "\"}"), &request, NULL),
                     -SB_EBAD_VERSION);
    assert_string_equal(request.id, ID);
    assert_int_equal(sb_request_decode(SB_SPAN("{\"v\":1,\"id\":\"x\"}"), &request, NULL),
                     -SB_EMISSING_FIELD);
    assert_string_equal(request.id, "");
}

static void answers_survive_the_way_there_and_back(void **state)
{
    struct sb_answer answer = {.id = ID,
                               .boot = "b-1",
                               .success = true,
                               .data = SB_SPAN("{\"n\" : 9007199254740993, \"x\":1.0}")};
    struct sb_answer back;
    struct sb_buf text = {0};

    (void)state;
    sb_answer_encode(&answer, &text);
    assert_int_equal(sb_answer_decode(sb_buf_span(&text), &back, NULL), 0);
    assert_true(back.success);
    assert_string_equal(back.id, ID);
    assert_string_equal(back.boot, "b-1");
    assert_int_equal(back.code, SB_OK);
    assert_true(sb_span_eq(back.data, answer.data));
    answer.success = false;
    answer.code = SB_EFORBIDDEN;
    snprintf(answer.reason, sizeof(answer.reason), "no binding to \"u\"");
    sb_buf_clear(&text);
    sb_answer_encode(&answer, &text);
    assert_int_equal(sb_answer_decode(sb_buf_span(&text), &back, NULL), 0);
    assert_false(back.success);
    assert_int_equal(back.code, SB_EFORBIDDEN);
    assert_string_equal(back.reason, answer.reason);
    assert_int_equal(back.data.len, 0);
    sb_buf_free(&text);
}

static void bad_answers_are_refused(void **state)
{
    static const struct {
        const char *text;
        enum sb_code code;
    } bad[] = {
        {"7", SB_EBAD_TYPE},
        {"{\"v\":1,\"kind\":\"answer\"}", SB_EMISSING_FIELD},
        {"{\"v\":1,\"kind\":\"request\",\"id\":\"" ID "\"}", SB_EBAD_VALUE},
        {"{\"v\":1,\"kind\":\"answer\",\"id\":\"" ID "\"}", SB_EMISSING_FIELD},
        {"{\"v\":1,\"kind\":\"answer\",\"id\":\"" ID "\",\"success\":1}", SB_EBAD_TYPE},
        {"{\"v\":1,\"kind\":\"answer\",\"id\":\"" ID "\",\"success\":true}", SB_EMISSING_FIELD},
        {"{\"v\":1,\"kind\":\"answer\",\"id\":\"" ID "\",\"success\":true,\"data\":7}",
         SB_EBAD_TYPE},
        {"{\"v\":1,\"kind\":\"answer\",\"id\":\"" ID "\",\"success\":false}", SB_EMISSING_FIELD},
        {"{\"v\":1,\"kind\":\"answer\",\"id\":\"" ID "\",\"success\":false,\"code\":1}",
         SB_EBAD_TYPE},
    };
    struct sb_answer answer;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(sb_answer_decode(sb_span_of(bad[i].text), &answer, NULL),
                         -(int)bad[i].code);
}

static void a_code_of_a_newer_peer_is_internal_and_a_long_reason_is_cut(void **state)
{
    struct sb_buf text = {0};
    struct sb_answer answer;

    (void)state;
    sb_buf_add_str(&text, "{\"v\":1,\"kind\":\"answer\",\"id\":\"" ID
                          "\",\"success\":false,\"code\":\"tired_of_this\",\"reason\":\"");
    for (int i = 0; i < 200; i++)
        sb_buf_add_str(&text, "\xe2\x82\xac");
    sb_buf_add_str(&text, "\"}");
    assert_int_equal(sb_answer_decode(sb_buf_span(&text), &answer, NULL), 0);
    assert_int_equal(answer.code, SB_EINTERNAL);
    assert_int_equal(strlen(answer.reason), 159);
    assert_true(sb_utf8_valid(sb_span_of(answer.reason), NULL));
    sb_buf_free(&text);
}

static struct sb_document document(void)
{
    struct sb_document doc = {.exists = true,
                              .version = 9,
                              .tag = "0011223344556677",
                              .op_id = "op\n\"1\"",
                              .device = "edge-002",
                              .hlc = "019b7c1a2b3c0001",
                              .updated_at = "2026-01-02T03:04:05Z"};

    sb_buf_add_str(&doc.data, "{ \"big\" : 12345678901234567890, \"f\":1.0 }");
    return doc;
}

static void documents_survive_the_way_there_and_back(void **state)
{
    struct sb_document doc = document(), back;
    struct sb_buf text = {0};
    char id[SB_ID_MAX + 1];
    uint64_t as_of;

    (void)state;
    sb_document_encode(&doc, "settings", 12, &text);
    assert_int_equal(sb_document_decode(sb_buf_span(&text), &back, id, &as_of, NULL), 0);
    assert_string_equal(id, "settings");
    assert_int_equal(as_of, 12);
    assert_true(back.exists);
    assert_int_equal(back.version, 9);
    assert_string_equal(back.tag, doc.tag);
    assert_string_equal(back.op_id, doc.op_id);
    assert_string_equal(back.device, doc.device);
    assert_string_equal(back.hlc, doc.hlc);
    assert_string_equal(back.updated_at, doc.updated_at);
    assert_true(sb_span_eq(sb_buf_span(&back.data), sb_buf_span(&doc.data)));
    sb_document_free(&back);

    sb_buf_clear(&text);
    doc.deleted = true;
    sb_document_encode(&doc, "settings", 12, &text);
    assert_int_equal(sb_document_decode(sb_buf_span(&text), &back, id, &as_of, NULL), 0);
    assert_true(back.exists && back.deleted && back.data.len == 0);
    sb_document_free(&back);

    sb_buf_clear(&text);
    doc.deleted = false;
    doc.fetch = true;
    sb_document_encode(&doc, "settings", 12, &text);
    assert_int_equal(sb_document_decode(sb_buf_span(&text), &back, id, &as_of, NULL), 0);
    assert_true(back.exists && back.fetch && back.data.len == 0);
    sb_document_free(&back);
    sb_document_free(&doc);

    sb_buf_clear(&text);
    sb_document_encode(&doc, "settings", 7, &text);
    assert_string_equal(text.data, "{\"id\":\"settings\",\"exists\":false,\"as_of\":7}");
    assert_int_equal(sb_document_decode(sb_buf_span(&text), &back, id, &as_of, NULL), 0);
    assert_false(back.exists);
    assert_int_equal(as_of, 7);
    sb_document_free(&back);
    sb_buf_free(&text);
}

static void bad_documents_are_refused(void **state)
{
#define DOC "{\"id\":\"s\",\"exists\":true,\"as_of\":1,"
    static const struct {
        const char *text;
        enum sb_code code;
    } bad[] = {
        {"[]", SB_EBAD_TYPE},
        {"{}", SB_EMISSING_FIELD},
        {"{\"id\":\"s\"}", SB_EMISSING_FIELD},
        {"{\"id\":\"s\",\"exists\":true}", SB_EMISSING_FIELD},
        {DOC "\"tag\":\"0011223344556677\",\"data\":{}}", SB_EMISSING_FIELD},
        {DOC "\"version\":0,\"tag\":\"0011223344556677\",\"data\":{}}", SB_EBAD_VALUE},
        {DOC "\"version\":1,\"tag\":\"00112233445566\",\"data\":{}}", SB_EBAD_ID},
        {DOC "\"version\":1,\"tag\":\"0011223344556677\"}", SB_EMISSING_FIELD},
        {DOC "\"version\":1,\"tag\":\"0011223344556677\",\"deleted\":1}", SB_EBAD_TYPE},
        {DOC "\"version\":1,\"tag\":\"0011223344556677\",\"hlc\":\"x\",\"data\":1}", SB_EBAD_ID},
        {DOC "\"version\":1,\"tag\":\"0011223344556677\",\"op_id\":7,\"data\":1}", SB_EBAD_TYPE},
        {DOC "\"version\":1,\"tag\":\"0011223344556677\",\"device\":\"a\\\"b\",\"data\":1}",
         SB_EBAD_ID},
        {DOC "\"version\":1,\"tag\":\"0011223344556677\",\"updated_at\":\"now\",\"data\":1}",
         SB_EBAD_VALUE},
    };
    struct sb_document doc;
    char id[SB_ID_MAX + 1];
    uint64_t as_of;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(sb_document_decode(sb_span_of(bad[i].text), &doc, id, &as_of, NULL),
                         -(int)bad[i].code);
        assert_int_equal(doc.data.len, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_survives_the_way_there_and_back),
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(the_id_of_a_bad_request_is_read),
        cmocka_unit_test(answers_survive_the_way_there_and_back),
        cmocka_unit_test(bad_answers_are_refused),
        cmocka_unit_test(a_code_of_a_newer_peer_is_internal_and_a_long_reason_is_cut),
        cmocka_unit_test(documents_survive_the_way_there_and_back),
        cmocka_unit_test(bad_documents_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
