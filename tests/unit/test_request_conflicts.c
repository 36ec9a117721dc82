/* What requests about conflicts take and give: there and back, how answers are cut, what is
 * refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/envelope.h"
#include "common/request_conflicts.h"

#define TAG "00112233445566aa"

static enum sb_code try_list_args(struct sb_span text, struct sb_err *err)
{
    struct sb_conflicts_args out;
    int rc = sb_conflicts_args_decode(text, &out, err);

    assert_true(rc == 0 || out.ops.ids == NULL);
    sb_conflicts_args_free(&out);
    return (enum sb_code) - rc;
}

static enum sb_code try_list(struct sb_span text, struct sb_err *err)
{
    struct sb_conflicts out;
    int rc = sb_conflicts_decode(text, &out, err);

    assert_true(rc == 0 || out.list == NULL);
    sb_conflicts_free(&out);
    return (enum sb_code) - rc;
}

static enum sb_code try_show_args(struct sb_span text, struct sb_err *err)
{
    struct sb_conflict_args out;

    return (enum sb_code) - sb_conflict_args_decode(text, &out, err);
}

static enum sb_code try_show(struct sb_span text, struct sb_err *err)
{
    struct sb_conflict_view out;
    int rc = sb_conflict_view_decode(text, &out, err);

    assert_true(rc == 0 || out.submitted.data.data == NULL);
    sb_conflict_view_free(&out);
    return (enum sb_code) - rc;
}

static enum sb_code try_resolve_args(struct sb_span text, struct sb_err *err)
{
    struct sb_resolve_args out;
    int rc = sb_resolve_args_decode(text, &out, err);

    assert_true(rc == 0 || out.ops.ids == NULL);
    sb_resolve_args_free(&out);
    return (enum sb_code) - rc;
}

static enum sb_code try_resolved(struct sb_span text, struct sb_err *err)
{
    struct sb_resolved out;

    return (enum sb_code) - sb_resolved_decode(text, &out, err);
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

/* ---- lists ---- */

static void what_is_left_out_has_its_default(void **state)
{
    struct sb_conflicts_args args;

    (void)state;
    assert_int_equal(sb_conflicts_args_decode(SB_SPAN("{}"), &args, NULL), 0);
    assert_true(args.open);
    assert_int_equal(args.limit, SB_CONFLICTS_DEFAULT);
    sb_conflicts_args_free(&args);
    /* who asks for operations of its own wants to know about all of them */
    assert_int_equal(sb_conflicts_args_decode(SB_SPAN("{\"ops\":[\"a\"]}"), &args, NULL), 0);
    assert_false(args.open);
    sb_conflicts_args_free(&args);
}

static void bad_args_of_lists_are_refused(void **state)
{
    struct sb_buf text = {0};

    (void)state;
    refuses(try_list_args, "7", SB_EBAD_TYPE, "not an object");
    refuses(try_list_args, "{\"user\":\"a.b\"}", SB_EBAD_ID, "user");
    refuses(try_list_args, "{\"open\":1}", SB_EBAD_TYPE, "open");
    refuses(try_list_args, "{\"after\":0}", SB_EBAD_VALUE, "after");
    refuses(try_list_args, "{\"limit\":1001}", SB_EBAD_VALUE, "limit");
    refuses(try_list_args, "{\"ops\":\"a\"}", SB_EBAD_TYPE, "ops");
    refuses(try_list_args, "{\"ops\":[]}", SB_EBAD_VALUE, "ops: empty");
    refuses(try_list_args, "{\"ops\":[\"a\",7]}", SB_EBAD_TYPE, "ops");
    refuses(try_list_args, "{\"ops\":[\"a\",\"\"]}", SB_EBAD_ID, "ops");
    sb_buf_add_str(&text, "{\"ops\":[\"a\"");
    for (int i = 1; i < SB_CONFLICT_OPS_MAX; i++)
        sb_buf_add_str(&text, ",\"a\"");
    sb_buf_add_str(&text, "]}");
    takes(try_list_args, text.data);
    text.len -= 2;
    sb_buf_add_str(&text, ",\"a\"]}");
    refuses(try_list_args, text.data, SB_EBAD_VALUE, "more than 100");
    sb_buf_free(&text);
}

static void fill_entry(struct sb_conflict_entry *entry, uint64_t id)
{
    *entry = (struct sb_conflict_entry){
        .id = id,
        .user = "u",
        .table = "projects",
        .document = "p \"1\"",
        .device = "edge-001",
        .op_id = "\1abc",
        .code = id % 2 == 0 ? SB_OK : SB_EBASE_UNKNOWN,
        .opened_at = "2026-01-02T03:05:00Z",
    };
    sb_buf_add_str(&entry->pointers, "[\"/a~1b\",\"/c\"]");
    if (id > 2) {
        memcpy(entry->resolved_at, "2026-01-02T03:06:00Z", 21);
        entry->resolution = SB_CHOICE_LOCAL;
        memcpy(entry->resolved_by, "_op-anna", 9);
        memcpy(entry->hlc, TAG, sizeof(TAG));
        entry->server_version = 9;
    }
}

static void lists_survive_and_are_cut_to_what_fits(void **state)
{
    struct sb_conflicts list, back;
    struct sb_buf text = {0};

    (void)state;
    sb_conflicts_init(&list);
    for (uint64_t id = 1; id < 6; id++)
        fill_entry(sb_conflicts_add(&list), id);
    assert_int_equal(sb_conflicts_encode(&list, 100000, &text), 5);
    assert_int_equal(sb_conflicts_decode(sb_buf_span(&text), &back, NULL), 0);
    assert_int_equal(back.count, 5);
    assert_string_equal(back.list[0].document, "p \"1\"");
    assert_string_equal(back.list[0].op_id, "\1abc");
    assert_int_equal(back.list[0].code, SB_EBASE_UNKNOWN);
    assert_int_equal(back.list[0].resolution, SB_CHOICE_NONE);
    assert_int_equal(back.list[0].server_version, 0);
    assert_string_equal(back.list[0].pointers.data, "[\"/a~1b\",\"/c\"]");
    assert_int_equal(back.list[4].resolution, SB_CHOICE_LOCAL);
    assert_string_equal(back.list[4].resolved_by, "_op-anna");
    assert_false(back.has_more);
    sb_conflicts_free(&back);
    for (size_t max = 0; max < 2000; max += 19) {
        size_t told;

        sb_buf_clear(&text);
        told = sb_conflicts_encode(&list, max, &text);
        assert_in_range(told, 1, 5);
        assert_true(told == 1 || text.len <= max);
        assert_int_equal(sb_conflicts_decode(sb_buf_span(&text), &back, NULL), 0);
        assert_int_equal(back.count, told);
        assert_int_equal(back.has_more, told < 5);
        sb_conflicts_free(&back);
    }
    sb_conflicts_free(&list);
    sb_buf_free(&text);
}

static void many_pointers_become_the_whole_document(void **state)
{
    struct sb_conflicts list, back;
    struct sb_buf text = {0};
    struct sb_buf *pointers;

    (void)state;
    sb_conflicts_init(&list);
    fill_entry(sb_conflicts_add(&list), 1);
    pointers = &list.list[0].pointers;
    sb_buf_clear(pointers);
    sb_buf_add_str(pointers, "[\"/a\"");
    while (pointers->len <= SB_POINTERS_MAX_BYTES)
        sb_buf_add_str(pointers, ",\"/a\"");
    sb_buf_add_char(pointers, ']');
    sb_conflicts_encode(&list, 1000, &text);
    assert_int_equal(sb_conflicts_decode(sb_buf_span(&text), &back, NULL), 0);
    assert_string_equal(back.list[0].pointers.data, "[\"\"]");
    sb_conflicts_free(&back);
    sb_conflicts_free(&list);
    sb_buf_free(&text);
}

#define ENTRY(id, rest)                                                                            \
    "{\"id\":" id ",\"user\":\"u\",\"table\":\"t\",\"document\":\"d\",\"device\":\"e\","           \
    "\"op_id\":\"o\",\"pointers\":[]" rest "}"
#define LIST(entries) "{\"conflicts\":[" entries "],\"has_more\":false}"

static void bad_lists_are_refused(void **state)
{
    (void)state;
    takes(try_list, LIST(ENTRY("1", "") "," ENTRY("2", "")));
    refuses(try_list, "{\"conflicts\":[]}", SB_EMISSING_FIELD, "has_more");
    refuses(try_list, LIST("7"), SB_EBAD_TYPE, "element 0");
    refuses(try_list, LIST(ENTRY("0", "")), SB_EBAD_VALUE, "id");
    refuses(try_list, LIST(ENTRY("2", "") "," ENTRY("2", "")), SB_EBAD_VALUE, "element 2: id");
    refuses(try_list, LIST(ENTRY("1", ",\"resolution\":\"both\"")), SB_EBAD_VALUE, "resolution");
    refuses(try_list, LIST(ENTRY("1", ",\"resolved_at\":\"x\"")), SB_EBAD_VALUE, "resolved_at");
    refuses(try_list, LIST(ENTRY("1", ",\"server_version\":0")), SB_EBAD_VALUE, "server_version");
    refuses(try_list, LIST("{\"id\":1}"), SB_EMISSING_FIELD, "user");
}

/* ---- one ---- */

static void args_of_one_survive_and_are_checked(void **state)
{
    struct sb_conflict_args args = {.id = 7, .part = SB_PART_SUBMITTED}, back;
    struct sb_buf text = {0};

    (void)state;
    sb_conflict_args_encode(&args, &text);
    assert_int_equal(sb_conflict_args_decode(sb_buf_span(&text), &back, NULL), 0);
    assert_int_equal(back.id, 7);
    assert_int_equal(back.part, SB_PART_SUBMITTED);
    sb_buf_free(&text);
    refuses(try_show_args, "{}", SB_EMISSING_FIELD, "id");
    refuses(try_show_args, "{\"id\":\"7\"}", SB_EBAD_TYPE, "id");
    refuses(try_show_args, "{\"id\":1,\"part\":\"middle\"}", SB_EBAD_VALUE, "part");
}

static void add_text(struct sb_buf *out, size_t bytes)
{
    sb_buf_add_str(out, "{\"x\":\"");
    while (out->len + 2 < bytes)
        sb_buf_add_char(out, 'x');
    sb_buf_add_str(out, "\"}");
}

static void texts_that_do_not_fit_are_left_out_the_largest_first(void **state)
{
    struct sb_conflict_view view = {.as_of = 12}, back;
    struct sb_buf text = {0};

    (void)state;
    fill_entry(&view.entry, 3);
    sb_buf_add_str(&view.base_name, "{\"tag\":\"" TAG "\"}");
    view.base.exists = view.submitted.exists = true;
    add_text(&view.base.data, 1000);
    add_text(&view.submitted.data, 3000);
    view.server = (struct sb_document){.exists = true, .version = 9, .tag = TAG};
    add_text(&view.server.data, 2000);

    sb_conflict_view_encode(&view, 100000, &text);
    assert_int_equal(sb_conflict_view_decode(sb_buf_span(&text), &back, NULL), 0);
    assert_true(sb_span_eq(sb_buf_span(&back.submitted.data), sb_buf_span(&view.submitted.data)));
    assert_true(sb_span_eq(sb_buf_span(&back.base_name), sb_buf_span(&view.base_name)));
    assert_int_equal(back.as_of, 12);
    sb_conflict_view_free(&back);

    for (size_t max = 1000; max < 7000; max += 100) {
        bool more;

        sb_buf_clear(&text);
        sb_conflict_view_encode(&view, max, &text);
        assert_true(text.len <= max);
        assert_int_equal(sb_conflict_view_decode(sb_buf_span(&text), &back, NULL), 0);
        more = !back.submitted.fetch; /* a larger one is there only with all smaller ones */
        assert_true(!more || !back.server.fetch);
        assert_true(back.server.fetch || !back.base.fetch);
        assert_true(back.base.exists && back.submitted.exists && back.server.exists);
        sb_conflict_view_free(&back);
    }
    sb_conflict_view_free(&view);
    sb_buf_free(&text);
}

static void absent_and_deleted_sides_are_told_apart(void **state)
{
    struct sb_conflict_view view = {.as_of = 0}, back;
    struct sb_buf text = {0};

    (void)state;
    fill_entry(&view.entry, 1);
    view.submitted.exists = view.submitted.deleted = true;
    sb_conflict_view_encode(&view, 1000, &text);
    assert_non_null(strstr(text.data, "\"base\":null,\"base_document\":null"));
    assert_int_equal(sb_conflict_view_decode(sb_buf_span(&text), &back, NULL), 0);
    assert_false(back.base.exists);
    assert_true(back.submitted.exists && back.submitted.deleted);
    assert_false(back.server.exists);
    sb_conflict_view_free(&back);
    sb_conflict_view_free(&view);
    sb_buf_free(&text);
}

static void bad_views_are_refused(void **state)
{
    (void)state;
    takes(try_show, ENTRY("1", ",\"as_of\":0,\"server\":null,\"submitted\":{\"data\":{}}"));
    refuses(try_show, ENTRY("1", ""), SB_EMISSING_FIELD, "as_of");
    refuses(try_show, ENTRY("1", ",\"as_of\":0,\"base\":7"), SB_EBAD_TYPE, "base");
    refuses(try_show, ENTRY("1", ",\"as_of\":0,\"submitted\":{\"data\":{}},\"server\":7"),
            SB_EBAD_TYPE, "server");
    refuses(try_show, ENTRY("1", ",\"as_of\":0,\"submitted\":{}"), SB_EMISSING_FIELD,
            "submitted: data");
    refuses(try_show, ENTRY("1", ",\"as_of\":0,\"base_document\":{\"deleted\":1}"), SB_EBAD_TYPE,
            "base_document: deleted");
}

/* ---- resolve ---- */

static void bad_decisions_are_refused(void **state)
{
    struct sb_buf text = {0};

    (void)state;
    takes(try_resolve_args, "{\"id\":1,\"choice\":\"server\"}");
    takes(try_resolve_args, "{\"id\":1,\"choice\":\"merge\",\"data\":null}");
    takes(try_resolve_args, "{\"ops\":[\"a\"],\"choice\":\"merge\"}");
    refuses(try_resolve_args, "{\"choice\":\"server\"}", SB_EBAD_VALUE, "id, ops");
    refuses(try_resolve_args, "{\"id\":1,\"ops\":[\"a\"],\"choice\":\"server\"}", SB_EBAD_VALUE,
            "id, ops");
    refuses(try_resolve_args, "{\"id\":1}", SB_EMISSING_FIELD, "choice");
    refuses(try_resolve_args, "{\"id\":1,\"choice\":\"mine\"}", SB_EBAD_VALUE, "choice");
    refuses(try_resolve_args, "{\"id\":1,\"choice\":\"merge\"}", SB_EMISSING_FIELD, "data");
    refuses(try_resolve_args, "{\"id\":1,\"choice\":\"merge\",\"data\":[]}", SB_EBAD_TYPE, "data");
    refuses(try_resolve_args, "{\"id\":1,\"choice\":\"merge\",\"data\":\"gAAA\"}", SB_EBAD_TYPE,
            "data");
    refuses(try_resolve_args, "{\"id\":1,\"choice\":\"local\",\"data\":{}}", SB_EBAD_VALUE, "data");
    refuses(try_resolve_args, "{\"ops\":[\"a\"],\"choice\":\"merge\",\"data\":{}}", SB_EBAD_VALUE,
            "data");
    sb_buf_add_str(&text, "{\"id\":1,\"choice\":\"server\",\"note\":\"");
    for (int i = 0; i <= SB_CONFLICT_NOTE_MAX; i++)
        sb_buf_add_char(&text, 'x');
    sb_buf_add_str(&text, "\"}");
    refuses(try_resolve_args, text.data, SB_ETOO_LARGE, "note");
    sb_buf_clear(&text);
    sb_buf_add_str(&text, "{\"id\":1,\"choice\":\"merge\",\"data\":");
    for (int i = 0; i <= SB_DOCUMENT_MAX_DEPTH; i++)
        sb_buf_add_str(&text, "{\"a\":");
    sb_buf_add_char(&text, '1');
    for (int i = 0; i <= SB_DOCUMENT_MAX_DEPTH; i++)
        sb_buf_add_char(&text, '}');
    sb_buf_add_char(&text, '}');
    refuses(try_resolve_args, text.data, SB_ETOO_DEEP, "");
    sb_buf_clear(&text);
    sb_buf_add_str(&text, "{\"id\":1,\"choice\":\"merge\",\"data\":{\"x\":\"");
    while (text.len < SB_RECORD_MAX_BYTES + 100)
        sb_buf_add_str(&text, "xxxxxxxxxxxxxxxx");
    sb_buf_add_str(&text, "\"}}");
    refuses(try_resolve_args, text.data, SB_ETOO_LARGE, "");
    sb_buf_free(&text);
}

static void bad_outcomes_are_refused(void **state)
{
    (void)state;
    takes(try_resolved, "{\"resolved\":1,\"already\":0,\"unknown\":99,\"version\":null}");
    refuses(try_resolved, "{\"already\":0,\"unknown\":0}", SB_EMISSING_FIELD, "resolved");
    refuses(try_resolved, "{\"resolved\":101,\"already\":0,\"unknown\":0}", SB_EBAD_VALUE,
            "resolved");
    refuses(try_resolved, "{\"resolved\":1,\"already\":0,\"unknown\":0,\"tag\":\"x\"}", SB_EBAD_ID,
            "tag");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_out_has_its_default),
        cmocka_unit_test(bad_args_of_lists_are_refused),
        cmocka_unit_test(lists_survive_and_are_cut_to_what_fits),
        cmocka_unit_test(many_pointers_become_the_whole_document),
        cmocka_unit_test(bad_lists_are_refused),
        cmocka_unit_test(args_of_one_survive_and_are_checked),
        cmocka_unit_test(texts_that_do_not_fit_are_left_out_the_largest_first),
        cmocka_unit_test(absent_and_deleted_sides_are_told_apart),
        cmocka_unit_test(bad_views_are_refused),
        cmocka_unit_test(bad_decisions_are_refused),
        cmocka_unit_test(bad_outcomes_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
