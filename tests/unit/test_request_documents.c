/* What requests for documents take and give: there and back, how answers are cut, what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/envelope.h"
#include "common/notify.h"
#include "common/request_documents.h"

#define TAG  "00112233445566aa"
#define HLC  "019b7c10a1b50000"
#define TIME "2026-01-02T03:05:00Z"

/* Calls one of the decoders, for the tables of bad input. */
static enum sb_code try_changes_args(struct sb_span text, struct sb_err *err)
{
    struct sb_changes_args out;

    return (enum sb_code) - sb_changes_args_decode(text, &out, err);
}

static enum sb_code try_changes(struct sb_span text, struct sb_err *err)
{
    struct sb_changes out;
    int rc = sb_changes_decode(text, &out, err);

    assert_true(rc == 0 || (out.list == NULL && out.count == 0));
    sb_changes_free(&out);
    return (enum sb_code) - rc;
}

static enum sb_code try_document_args(struct sb_span text, struct sb_err *err)
{
    struct sb_document_args out;

    return (enum sb_code) - sb_document_args_decode(text, &out, err);
}

static enum sb_code try_versions_args(struct sb_span text, struct sb_err *err)
{
    struct sb_versions_args out;

    return (enum sb_code) - sb_versions_args_decode(text, &out, err);
}

static enum sb_code try_versions(struct sb_span text, struct sb_err *err)
{
    struct sb_versions out;
    int rc = sb_versions_decode(text, &out, err);

    assert_true(rc == 0 || (out.list == NULL && out.count == 0));
    sb_versions_free(&out);
    return (enum sb_code) - rc;
}

static enum sb_code try_version_args(struct sb_span text, struct sb_err *err)
{
    struct sb_version_args out;

    return (enum sb_code) - sb_version_args_decode(text, &out, err);
}

static enum sb_code try_notify(struct sb_span text, struct sb_err *err)
{
    struct sb_notify out;

    return (enum sb_code) - sb_notify_decode(text, &out, err);
}

typedef enum sb_code try_text(struct sb_span text, struct sb_err *err);

static void refuses(try_text *try, const char *text, enum sb_code code, const char *part)
{
    struct sb_err err = {0};

    if (try(sb_span_of(text), &err) != code)
        fail_msg("%s: not %s but %s: %s", text, sb_code_name(code), sb_code_name(err.code),
                 err.msg);
    if (strstr(err.msg, part) == NULL)
        fail_msg("%s: \"%s\" is not in \"%s\"", text, part, err.msg);
}

static void takes(try_text *try, const char *text)
{
    struct sb_err err = {0};

    if (try(sb_span_of(text), &err) != SB_OK)
        fail_msg("%s: %s: %s", text, sb_code_name(err.code), err.msg);
}

/* ---- args ---- */

static void what_is_left_out_has_its_default(void **state)
{
    struct sb_changes_args changes;
    struct sb_versions_args versions;

    (void)state;
    assert_int_equal(sb_changes_args_decode(SB_SPAN("{\"table\":\"projects\"}"), &changes, NULL),
                     0);
    assert_string_equal(changes.user, "");
    assert_int_equal(changes.since.version, 0);
    assert_string_equal(changes.since.tag, "");
    assert_int_equal(changes.limit, SB_CHANGES_DEFAULT);
    assert_int_equal(sb_versions_args_decode(
                         SB_SPAN("{\"table\":\"settings\",\"id\":\"settings\"}"), &versions, NULL),
                     0);
    assert_int_equal(versions.before, 0);
    assert_int_equal(versions.limit, SB_CHANGES_DEFAULT);
}

static void args_survive_the_way_there_and_back(void **state)
{
    struct sb_changes_args changes = {
        .user = "u-1", .table = "a_1", .since = {.version = 7, .tag = TAG}, .limit = 1000};
    struct sb_versions_args versions = {
        .doc = {.table = "projects", .id = "\xe6\xa1\x8c \"1\"/~"}, .before = 3, .limit = 1};
    struct sb_version_args version = {.doc = {.user = "u", .table = "t", .id = "x"}, .version = 9};
    struct sb_changes_args changes_back;
    struct sb_versions_args versions_back;
    struct sb_version_args version_back;
    struct sb_buf text = {0};

    (void)state;
    sb_changes_args_encode(&changes, &text);
    assert_int_equal(sb_changes_args_decode(sb_buf_span(&text), &changes_back, NULL), 0);
    assert_string_equal(changes_back.user, "u-1");
    assert_string_equal(changes_back.table, "a_1");
    assert_int_equal(changes_back.since.version, 7);
    assert_string_equal(changes_back.since.tag, TAG);
    assert_int_equal(changes_back.limit, 1000);
    sb_buf_clear(&text);
    sb_versions_args_encode(&versions, &text);
    assert_int_equal(sb_versions_args_decode(sb_buf_span(&text), &versions_back, NULL), 0);
    assert_string_equal(versions_back.doc.id, versions.doc.id);
    assert_int_equal(versions_back.before, 3);
    assert_int_equal(versions_back.limit, 1);
    sb_buf_clear(&text);
    sb_version_args_encode(&version, &text);
    assert_int_equal(sb_version_args_decode(sb_buf_span(&text), &version_back, NULL), 0);
    assert_int_equal(version_back.version, 9);
    assert_string_equal(version_back.doc.user, "u");
    sb_buf_free(&text);
}

static void bad_args_are_refused(void **state)
{
    (void)state;
    refuses(try_changes_args, "", SB_EBAD_JSON, "at byte 0");
    refuses(try_changes_args, "[]", SB_EBAD_TYPE, "not an object");
    refuses(try_changes_args, "{}", SB_EMISSING_FIELD, "table: missing");
    refuses(try_changes_args, "{\"table\":null}", SB_EBAD_TYPE, "table");
    refuses(try_changes_args, "{\"table\":\"Projects\"}", SB_EBAD_ID, "table");
    refuses(try_changes_args, "{\"table\":\"1a\"}", SB_EBAD_ID, "table");
    refuses(try_changes_args, "{\"table\":\"a-b\"}", SB_EBAD_ID, "table");
    refuses(try_changes_args, "{\"table\":\"a\",\"user\":\"a.b\"}", SB_EBAD_ID, "user");
    refuses(try_changes_args, "{\"table\":\"a\",\"limit\":0}", SB_EBAD_VALUE, "limit");
    refuses(try_changes_args, "{\"table\":\"a\",\"limit\":1001}", SB_EBAD_VALUE, "limit");
    refuses(try_changes_args, "{\"table\":\"a\",\"limit\":1.0}", SB_EBAD_VALUE, "limit");
    refuses(try_changes_args, "{\"table\":\"a\",\"since\":7}", SB_EBAD_TYPE, "since");
    refuses(try_changes_args, "{\"table\":\"a\",\"since\":{}}", SB_EMISSING_FIELD, "since: ver");
    refuses(try_changes_args, "{\"table\":\"a\",\"since\":{\"version\":0,\"tag\":\"" TAG "\"}}",
            SB_EBAD_VALUE, "since: version");
    refuses(try_changes_args, "{\"table\":\"a\",\"since\":{\"version\":1}}", SB_EMISSING_FIELD,
            "since: tag");
    refuses(try_changes_args, "{\"table\":\"a\",\"since\":{\"version\":1,\"tag\":\"x\"}}",
            SB_EBAD_ID, "since: tag");
    refuses(try_changes_args, "{\"table\":\"a\",\"table\":\"a\"}", SB_EDUPLICATE_KEY, "table");
    takes(try_changes_args,
          "{\"table\":\"a\",\"since\":null,\"user\":null,\"limit\":null,\"x\":1}");
}

static void bad_names_of_documents_are_refused(void **state)
{
    char text[400], id[200];

    (void)state;
    refuses(try_document_args, "{\"table\":\"a\"}", SB_EMISSING_FIELD, "id: missing");
    refuses(try_document_args, "{\"table\":\"a\",\"id\":\"\"}", SB_EBAD_ID, "id");
    refuses(try_document_args, "{\"table\":\"a\",\"id\":\"a\\nb\"}", SB_EBAD_ID, "id");
    refuses(try_document_args, "{\"table\":\"a\",\"id\":\"a\\u007fb\"}", SB_EBAD_ID, "id");
    refuses(try_document_args, "{\"table\":\"a\",\"id\":7}", SB_EBAD_TYPE, "id");
    refuses(try_document_args, "{\"table\":\"settings\",\"id\":\"mine\"}", SB_EBAD_ID, "settings");
    takes(try_document_args, "{\"table\":\"settings\",\"id\":\"settings\"}");
    memset(id, 'x', sizeof(id));
    snprintf(text, sizeof(text), "{\"table\":\"a\",\"id\":\"%.128s\"}", id);
    takes(try_document_args, text);
    snprintf(text, sizeof(text), "{\"table\":\"a\",\"id\":\"%.129s\"}", id);
    refuses(try_document_args, text, SB_EBAD_ID, "id");
    refuses(try_versions_args, "{\"table\":\"a\",\"id\":\"x\",\"before\":0}", SB_EBAD_VALUE,
            "before");
    refuses(try_versions_args, "{\"table\":\"a\",\"id\":\"x\",\"limit\":5000}", SB_EBAD_VALUE,
            "limit");
    refuses(try_version_args, "{\"table\":\"a\",\"id\":\"x\"}", SB_EMISSING_FIELD, "version");
    refuses(try_version_args, "{\"table\":\"a\",\"id\":\"x\",\"version\":0}", SB_EBAD_VALUE,
            "version");
    refuses(try_version_args, "{\"table\":\"a\",\"id\":\"x\",\"version\":9007199254740991}",
            SB_EBAD_VALUE, "version");
}

/* ---- changes ---- */

static void fill_document(struct sb_document *doc, uint64_t version, size_t data_bytes)
{
    *doc = (struct sb_document){.exists = true,
                                .version = version,
                                .tag = TAG,
                                .op_id = "op\n1",
                                .device = "_op-anna",
                                .hlc = HLC,
                                .updated_at = TIME};
    if (data_bytes == 0) {
        doc->deleted = true;
        return;
    }
    sb_buf_add_str(&doc->data, "{\"x\":\"");
    while (doc->data.len + 2 < data_bytes)
        sb_buf_add_char(&doc->data, 'x');
    sb_buf_add_str(&doc->data, "\"}");
}

static void add_change(struct sb_changes *changes, const char *id, uint64_t version, size_t bytes)
{
    struct sb_change *change = sb_changes_add(changes);

    snprintf(change->id, sizeof(change->id), "%s", id);
    fill_document(&change->doc, version, bytes);
}

static struct sb_changes some_changes(void)
{
    struct sb_changes changes;

    sb_changes_init(&changes);
    memcpy(changes.user, "u", 2);
    memcpy(changes.table, "projects", 9);
    changes.latest_version = 12;
    changes.cursor = (struct sb_cursor){.version = 12, .tag = TAG};
    return changes;
}

static void changes_survive_the_way_there_and_back(void **state)
{
    struct sb_changes changes = some_changes(), back;
    struct sb_buf text = {0};

    (void)state;
    add_change(&changes, "p \"1\"", 9, 20);
    sb_buf_add_str(&changes.list[0].doc.stamps, "{\"\":[\"" HLC "\",\"edge-1\"]}");
    add_change(&changes, "p2", 10, 0);
    changes.policy = SB_POLICY_LATEST;
    sb_buf_add_str(&changes.arrays, "{\"/nodes\":\"id\"}");
    assert_int_equal(sb_changes_encode(&changes, 100000, &text), 2);
    assert_int_equal(sb_changes_decode(sb_buf_span(&text), &back, NULL), 0);
    assert_string_equal(back.user, "u");
    assert_int_equal(back.policy, SB_POLICY_LATEST);
    assert_string_equal(back.arrays.data, "{\"/nodes\":\"id\"}");
    assert_int_equal(back.count, 2);
    assert_string_equal(back.list[0].id, "p \"1\"");
    assert_string_equal(back.list[0].doc.op_id, "op\n1");
    assert_true(
        sb_span_eq(sb_buf_span(&back.list[0].doc.data), sb_buf_span(&changes.list[0].doc.data)));
    assert_true(sb_span_eq(sb_buf_span(&back.list[0].doc.stamps),
                           sb_buf_span(&changes.list[0].doc.stamps)));
    assert_true(back.list[1].doc.deleted);
    assert_int_equal(back.cursor.version, 12);
    assert_int_equal(back.latest_version, 12);
    assert_false(back.has_more);
    sb_changes_free(&back);
    sb_changes_free(&changes);
    sb_buf_free(&text);
}

static void changes_of_a_user_without_versions_have_no_cursor(void **state)
{
    struct sb_changes changes = some_changes(), back;
    struct sb_buf text = {0};

    (void)state;
    changes.latest_version = 0;
    changes.cursor = (struct sb_cursor){.version = 0};
    sb_changes_encode(&changes, 1000, &text);
    assert_non_null(strstr(text.data, "\"cursor\":null"));
    assert_int_equal(sb_changes_decode(sb_buf_span(&text), &back, NULL), 0);
    assert_int_equal(back.cursor.version, 0);
    sb_changes_free(&back);
    sb_buf_free(&text);
}

/* Every size: what goes out fits, says where to go on, and nothing is skipped. */
static void changes_are_cut_to_what_fits(void **state)
{
    struct sb_changes changes = some_changes(), back;
    struct sb_buf text = {0};

    (void)state;
    for (uint64_t i = 0; i < 5; i++)
        add_change(&changes, "p", 3 + i, i == 2 ? 3000 : 300);
    for (size_t max = 800; max < 7000; max += 37) {
        size_t told = sb_changes_encode(&changes, max, &text);

        assert_in_range(told, 1, 5);
        assert_true(text.len <= max);
        assert_int_equal(sb_changes_decode(sb_buf_span(&text), &back, NULL), 0);
        assert_int_equal(back.count, told);
        assert_int_equal(back.has_more, told < 5);
        assert_int_equal(back.cursor.version, told < 5 ? 2 + told : 12);
        for (size_t i = 0; i < told; i++)
            assert_false(back.list[i].doc.fetch);
        sb_changes_free(&back);
        sb_buf_clear(&text);
    }
    sb_changes_free(&changes);
    sb_buf_free(&text);
}

static void a_change_that_does_not_fit_alone_is_fetched(void **state)
{
    struct sb_changes changes = some_changes(), back;
    struct sb_buf text = {0};

    (void)state;
    add_change(&changes, "large", 3, 5000);
    sb_buf_add_str(&changes.list[0].doc.stamps, "{}");
    add_change(&changes, "small", 4, 100);
    assert_int_equal(sb_changes_encode(&changes, 1000, &text), 1);
    assert_true(text.len <= 1000);
    assert_int_equal(sb_changes_decode(sb_buf_span(&text), &back, NULL), 0);
    assert_int_equal(back.count, 1);
    assert_true(back.list[0].doc.fetch);
    assert_int_equal(back.list[0].doc.stamps.len, 0);
    assert_int_equal(back.cursor.version, 3);
    assert_true(back.has_more);
    sb_changes_free(&back);
    sb_changes_free(&changes);
    sb_buf_free(&text);
}

#define CHANGES(list, rest)                                                                        \
    "{\"user\":\"u\",\"table\":\"t\",\"changes\":[" list "],\"latest_version\":12," rest "}"
#define CHANGE(id, operation, version, rest)                                                       \
    "{\"id\":\"" id "\",\"operation\":\"" operation "\",\"version\":" version ",\"tag\":\"" TAG    \
    "\"," rest "}"
#define END "\"cursor\":{\"version\":12,\"tag\":\"" TAG "\"},\"has_more\":false"

static void bad_changes_are_refused(void **state)
{
    (void)state;
    takes(try_changes, CHANGES(CHANGE("a", "add", "3", "\"data\":\"gAAA\""), END));
    takes(try_changes, CHANGES("", END));
    refuses(try_changes, "{}", SB_EMISSING_FIELD, "user");
    refuses(try_changes, CHANGES("7", END), SB_EBAD_TYPE, "changes: element 0");
    refuses(try_changes, CHANGES(CHANGE("", "update", "3", "\"data\":{}"), END), SB_EBAD_ID, "id");
    refuses(try_changes, CHANGES(CHANGE("a", "put", "3", "\"data\":{}"), END), SB_EBAD_VALUE,
            "operation");
    refuses(try_changes, CHANGES(CHANGE("a", "delete", "3", "\"data\":{}"), END), SB_EBAD_VALUE,
            "contradicts");
    refuses(try_changes, CHANGES(CHANGE("a", "update", "3", "\"deleted\":true"), END),
            SB_EBAD_VALUE, "contradicts");
    refuses(try_changes, CHANGES(CHANGE("a", "update", "3", "\"data\":[]"), END), SB_EBAD_TYPE,
            "data");
    refuses(try_changes, CHANGES(CHANGE("a", "update", "3", "\"x\":[]"), END), SB_EMISSING_FIELD,
            "data");
    refuses(
        try_changes,
        CHANGES(CHANGE("a", "update", "3", "\"data\":{},\"stamps\":{\"/a\":[\"" HLC "\"]}"), END),
        SB_EBAD_VALUE, "stamps");
    refuses(
        try_changes,
        CHANGES(CHANGE("a", "update", "3", "\"data\":{},\"stamps\":{\"/a\":[\"x\",\"d\"]}"), END),
        SB_EBAD_VALUE, "stamps");
    refuses(
        try_changes,
        CHANGES(CHANGE("a", "update", "3", "\"data\":{},\"stamps\":{\"/a\":[\"" HLC "\",\"a b\"]}"),
                END),
        SB_EBAD_VALUE, "stamps");
    refuses(try_changes, CHANGES(CHANGE("a", "update", "3", "\"data\":{},\"stamps\":[]"), END),
            SB_EBAD_TYPE, "stamps");
    refuses(try_changes,
            CHANGES(CHANGE("a", "update", "3", "\"data\":{}") "," CHANGE("b", "update", "3",
                                                                         "\"data\":{}"),
                    END),
            SB_EBAD_VALUE, "element 2: version");
    refuses(try_changes, CHANGES(CHANGE("a", "update", "13", "\"data\":{}"), END), SB_EBAD_VALUE,
            "latest_version");
    refuses(try_changes,
            CHANGES(CHANGE("a", "update", "3", "\"data\":{}"),
                    "\"cursor\":{\"version\":2,\"tag\":\"" TAG "\"},\"has_more\":true"),
            SB_EBAD_VALUE, "cursor");
    refuses(try_changes,
            CHANGES("", "\"cursor\":{\"version\":13,\"tag\":\"" TAG "\"},\"has_more\":false"),
            SB_EBAD_VALUE, "latest_version");
    refuses(try_changes,
            CHANGES("", "\"cursor\":{\"version\":12,\"tag\":\"" TAG "\"},\"has_more\":true"),
            SB_EBAD_VALUE, "has_more");
    refuses(try_changes, CHANGES("", "\"cursor\":null"), SB_EMISSING_FIELD, "has_more");
}

/* A document as deep as a batch may bring it fits into every message from the cloud. */
static void the_deepest_document_can_be_told(void **state)
{
    struct sb_changes changes = some_changes(), back;
    struct sb_buf text = {0}, message = {0};
    struct sb_answer answer = {.id = "0190a6c2-7b1e-7cc3-98c4-dc0c0c07398f", .boot = "b-1"};
    struct sb_change *change = sb_changes_add(&changes);

    (void)state;
    memcpy(change->id, "p", 2);
    fill_document(&change->doc, 3, 0);
    change->doc.deleted = false;
    for (int i = 0; i < SB_DOCUMENT_MAX_DEPTH; i++)
        sb_buf_add_str(&change->doc.data, "{\"a\":");
    sb_buf_add_char(&change->doc.data, '1');
    for (int i = 0; i < SB_DOCUMENT_MAX_DEPTH; i++)
        sb_buf_add_char(&change->doc.data, '}');
    sb_changes_encode(&changes, 10000, &text);
    answer.success = true;
    answer.data = sb_buf_span(&text);
    sb_answer_encode(&answer, &message);
    assert_int_equal(sb_answer_decode(sb_buf_span(&message), &answer, NULL), 0);
    assert_int_equal(sb_changes_decode(answer.data, &back, NULL), 0);
    assert_true(
        sb_span_eq(sb_buf_span(&back.list[0].doc.data), sb_buf_span(&changes.list[0].doc.data)));
    sb_changes_free(&back);
    sb_changes_free(&changes);
    sb_buf_free(&text);
    sb_buf_free(&message);
}

/* ---- versions ---- */

static void versions_survive_and_are_cut_to_what_fits(void **state)
{
    struct sb_versions versions, back;
    struct sb_buf text = {0};

    (void)state;
    sb_versions_init(&versions);
    for (uint64_t i = 0; i < 6; i++) {
        struct sb_version_entry *entry = sb_versions_add(&versions);

        *entry = (struct sb_version_entry){.version = 20 - i, .tag = TAG, .size = i};
        snprintf(entry->op_id, sizeof(entry->op_id), "op-%d", (int)i);
        entry->deleted = i == 0;
    }
    assert_int_equal(sb_versions_encode(&versions, 100000, &text), 6);
    assert_int_equal(sb_versions_decode(sb_buf_span(&text), &back, NULL), 0);
    assert_int_equal(back.count, 6);
    assert_true(back.list[0].deleted);
    assert_int_equal(back.list[5].version, 15);
    assert_string_equal(back.list[5].op_id, "op-5");
    assert_int_equal(back.list[5].size, 5);
    assert_string_equal(back.list[5].device, "");
    assert_false(back.has_more);
    sb_versions_free(&back);
    for (size_t max = 0; max < 1000; max += 13) {
        size_t told;

        sb_buf_clear(&text);
        told = sb_versions_encode(&versions, max, &text);
        assert_in_range(told, 1, 6);
        assert_true(told == 1 || text.len <= max);
        assert_int_equal(sb_versions_decode(sb_buf_span(&text), &back, NULL), 0);
        assert_int_equal(back.count, told);
        assert_int_equal(back.has_more, told < 6);
        sb_versions_free(&back);
    }
    sb_versions_free(&versions);
    sb_buf_free(&text);
}

static void bad_versions_are_refused(void **state)
{
#define VERSION(n, rest) "{\"version\":" n ",\"tag\":\"" TAG "\"" rest "}"
#define VERSIONS(list)   "{\"versions\":[" list "],\"has_more\":false}"
    (void)state;
    takes(try_versions, VERSIONS(VERSION("3", "") "," VERSION("2", ",\"size\":7")));
    refuses(try_versions, "{\"versions\":[]}", SB_EMISSING_FIELD, "has_more");
    refuses(try_versions, VERSIONS("[]"), SB_EBAD_TYPE, "element 0");
    refuses(try_versions, VERSIONS(VERSION("3", "") "," VERSION("3", "")), SB_EBAD_VALUE,
            "element 2: version");
    refuses(try_versions, VERSIONS(VERSION("1", "") "," VERSION("1", "")), SB_EBAD_VALUE,
            "element 1");
    refuses(try_versions, VERSIONS(VERSION("0", "")), SB_EBAD_VALUE, "version");
    refuses(try_versions, VERSIONS(VERSION("3", ",\"hlc\":\"x\"")), SB_EBAD_ID, "hlc");
    refuses(try_versions, VERSIONS(VERSION("3", ",\"device\":\"a b\"")), SB_EBAD_ID, "device");
    refuses(try_versions, VERSIONS(VERSION("3", ",\"size\":-1")), SB_EBAD_VALUE, "size");
    refuses(try_versions, VERSIONS(VERSION("3", ",\"deleted\":1")), SB_EBAD_TYPE, "deleted");
}

/* ---- notify ---- */

static void notifies_are_read_strictly(void **state)
{
    struct sb_notify notify;

    (void)state;
    assert_int_equal(
        sb_notify_decode(SB_SPAN("{\"v\":1,\"kind\":\"notify\",\"what\":\"ever\"}"), &notify, NULL),
        0);
    assert_false(notify.hello);
    assert_string_equal(notify.user, "");
    assert_int_equal(notify.version, 0);
    refuses(try_notify, "{\"v\":1,\"kind\":\"ack\"}", SB_EBAD_VALUE, "kind");
    refuses(try_notify, "{\"v\":2,\"kind\":\"notify\"}", SB_EBAD_VERSION, "v");
    refuses(try_notify, "{\"v\":1,\"kind\":\"notify\",\"hello\":1}", SB_EBAD_TYPE, "hello");
    refuses(try_notify, "{\"v\":1,\"kind\":\"notify\",\"user\":\"a/b\"}", SB_EBAD_ID, "user");
    refuses(try_notify, "{\"v\":1,\"kind\":\"notify\",\"table\":\"A\"}", SB_EBAD_ID, "table");
    refuses(try_notify, "{\"v\":1,\"kind\":\"notify\",\"version\":-1}", SB_EBAD_VALUE, "version");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_out_has_its_default),
        cmocka_unit_test(args_survive_the_way_there_and_back),
        cmocka_unit_test(bad_args_are_refused),
        cmocka_unit_test(bad_names_of_documents_are_refused),
        cmocka_unit_test(changes_survive_the_way_there_and_back),
        cmocka_unit_test(changes_of_a_user_without_versions_have_no_cursor),
        cmocka_unit_test(changes_are_cut_to_what_fits),
        cmocka_unit_test(a_change_that_does_not_fit_alone_is_fetched),
        cmocka_unit_test(bad_changes_are_refused),
        cmocka_unit_test(the_deepest_document_can_be_told),
        cmocka_unit_test(versions_survive_and_are_cut_to_what_fits),
        cmocka_unit_test(bad_versions_are_refused),
        cmocka_unit_test(notifies_are_read_strictly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
