/* Documents on the device: what an edit says (V2), which tables there are, what a switch holds
 * back, lists. */
#include "doc_kit.h"

#include <stdio.h>

/* ---- names ---- */

static void names_are_checked_and_told_apart(void **state)
{
    static const struct {
        const char *user, *table, *id;
        enum sb_code code;
    } bad[] = {
        {"a.b", "settings", "", SB_EBAD_ID},    {"u", "Projects", "p", SB_EBAD_VALUE},
        {"u", "", "p", SB_EBAD_VALUE},          {"u", "projects", "", SB_EBAD_ID},
        {"u", "projects", "\n", SB_EBAD_ID},    {"u", "projects", "\xff", SB_EBAD_ID},
        {"u", "settings", "other", SB_EBAD_ID},
    };
    struct document_name name;
    char text[DOCUMENT_TEXT_MAX + 1];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(document_name_make(&name, bad[i].user, bad[i].table, bad[i].id, &kit_err),
                         -(int)bad[i].code);
    assert_int_equal(document_name_make(&name, "u", "projects", "a/b \xe6\xa1\x8c", NULL), 0);
    document_name_text(&name, text);
    assert_string_equal(text, "projects/a/b \xe6\xa1\x8c");
    assert_int_equal(document_name_parse(&name, "u", sb_span_of(text), NULL), 0);
    assert_string_equal(name.table, "projects");
    assert_string_equal(name.id, "a/b \xe6\xa1\x8c");
    assert_int_equal(document_name_parse(&name, "u", SB_SPAN("projects"), NULL), -SB_EBAD_VALUE);
    assert_int_equal(document_name_parse(&name, "u", SB_SPAN("settings"), NULL), 0);
}

/* ---- V2 ---- */

static void base_is_the_newest_own_operation_answered_or_not(void **state)
{
    (void)state;
    doc_put("projects", "p1", "op-1", "{\"n\":1}");
    doc_put("projects", "p1", "op-2", "{\"n\":2}");
    doc_acked(DOC_RECORDS, 1, 1);
    doc_acked(DOC_RECORDS, 2, 7); /* something of others was merged in between: never a base */
    doc_put("projects", "p1", "op-3", "{\"n\":3}");
    doc_assert_operation(DOC_RECORDS, 1,
                         "\"table\":\"projects\",\"id\":\"p1\",\"operation\":\"add\",\"base\":null,"
                         "\"data\":{\"n\":1}}");
    doc_assert_operation(DOC_RECORDS, 2, "\"operation\":\"update\",\"base\":{\"op_id\":\"op-1\"}");
    doc_assert_operation(DOC_RECORDS, 3, "\"operation\":\"update\",\"base\":{\"op_id\":\"op-2\"}");
}

static void base_is_the_tag_of_what_replaced_the_document(void **state)
{
    (void)state;
    doc_put("projects", "p1", "op-1", "{\"n\":1}");
    doc_acked(DOC_RECORDS, 1, 1);
    assert_int_equal(doc_take("projects", "p1", DOC(3, "{\"n\":9}")), DOCUMENTS_TAKEN);
    doc_put("projects", "p1", "op-2", "{\"n\":2}");
    doc_assert_operation(DOC_RECORDS, 2, "\"base\":{\"tag\":\"" DOC_TAG(3) "\"}");
}

static void deletion_has_no_data_and_a_tombstone_is_a_base(void **state)
{
    (void)state;
    doc_put("projects", "p1", "op-1", "{\"n\":1}");
    doc_put("projects", "p1", "op-2", NULL);
    doc_assert("projects", "p1", "-");
    doc_assert_operation(DOC_RECORDS, 2, "\"operation\":\"delete\",\"base\":{\"op_id\":\"op-1\"}}");
    assert_int_equal(doc_try_put("projects", "p1", "", NULL, NULL), -SB_ENOT_FOUND);
    doc_acked(DOC_RECORDS, 1, 1);
    doc_acked(DOC_RECORDS, 2, 2);
    assert_int_equal(doc_take("projects", "p1", DOC_DELETED(4)), DOCUMENTS_ABSENT);
    doc_put("projects", "p1", "op-3", "{\"n\":3}");
    doc_assert_operation(DOC_RECORDS, 3,
                         "\"operation\":\"add\",\"base\":{\"tag\":\"" DOC_TAG(4) "\"}");
    assert_int_equal(doc_try_put("settings", "", "", NULL, NULL), -SB_ENOT_FOUND);
    doc_put_settings("op-s", "{}");
    assert_int_equal(doc_try_put("settings", "", "", NULL, NULL), -SB_EBAD_VALUE);
    doc_assert("settings", "", "{}");
}

static void documents_do_not_mix(void **state)
{
    (void)state;
    doc_put("projects", "p1", "op-1", "{\"n\":1}");
    doc_put("contents", "p1", "op-2", "{\"n\":2}");
    doc_put("projects", "p2", "op-3", "{\"n\":3}");
    doc_put_settings("op-4", "{\"n\":4}");
    doc_assert("projects", "p1", "{\"n\":1}");
    doc_assert("contents", "p1", "{\"n\":2}");
    doc_assert_base("projects", "p2", "op-3", "");
    for (uint64_t seq = 1; seq <= 3; seq++)
        doc_assert_operation(DOC_RECORDS, seq, "\"base\":null");
    doc_assert_operation(DOC_SETTINGS, 1, "\"base\":null,\"settings\":{\"n\":4}}");
}

static void repeat_of_an_id_changes_nothing(void **state)
{
    struct enqueue_receipt receipt;

    (void)state;
    doc_put("projects", "p1", "op-1", "{\"n\":1}");
    doc_put("projects", "p1", "op-2", "{\"n\":2}");
    assert_int_equal(doc_try_put("projects", "p1", "op-1", "{\"n\":1}", &receipt), 0);
    assert_true(receipt.repeat);
    assert_int_equal(receipt.seq, 1);
    doc_assert("projects", "p1", "{\"n\":2}");
    assert_int_equal(doc_try_put("projects", "p1", "op-1", "{\"n\":3}", NULL), -SB_EID_REUSED);
    assert_int_equal(doc_try_put("projects", "p2", "op-1", "{\"n\":1}", NULL), -SB_EID_REUSED);
    doc_assert("projects", "p2", "-");
    assert_int_equal(doc_made(DOC_RECORDS), 2);
}

static void clock_is_above_every_stamp_of_the_document(void **state)
{
    (void)state;
    assert_int_equal(doc_take("projects", "p1",
                              "{\"id\":\"x\",\"exists\":true,\"as_of\":1,\"version\":1,\"tag\":"
                              "\"00000000000000aa\",\"hlc\":\"7fff000000000000\",\"data\":{}}"),
                     DOCUMENTS_TAKEN);
    doc_put("projects", "p1", "op-1", "{\"n\":1}");
    doc_assert_operation(DOC_RECORDS, 1, "\"hlc\":\"7fff000000000001\"");
    doc_put("contents", "c1", "op-2", "{\"n\":1}"); /* and the clock never goes back */
    doc_assert_operation(DOC_RECORDS, 2, "\"hlc\":\"7fff000000000002\"");
}

/* A welcome is as old as its way was long: the wall clock of a device that keeps the time orders
 * its edits better. Beyond that it is the cloud's. */
static void wall_clock_counts_where_it_is_near_the_clouds(void **state)
{
    static const struct {
        int64_t ahead_us; /* the cloud's clock */
        bool cloud;
    } cases[] = {
        {0, false},
        {150000, false},
        {2000000, false},
        {-2000000, false},
        {2001000, true},
        {-2001000, true},
        {-INT64_C(31536000000000), true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t wall_us = 0, server_us = kit_now.wall_us + cases[i].ahead_us;

        kit_begin();
        assert_int_equal(
            outbox_set_server_clock(kit_ob, KIT_BOOT, server_us - kit_now.mono_ms * 1000, &kit_err),
            0);
        kit_commit();
        assert_int_equal(outbox_server_time(kit_ob, KIT_BOOT, kit_now, &wall_us, &kit_err), 0);
        assert_int_equal(wall_us, cases[i].cloud ? server_us : kit_now.wall_us);
    }
}

/* And so are the stamps of edits: of the wall clock here, a moment behind the cloud's. */
static void edit_near_the_clouds_clock_has_a_stamp_of_the_wall_clock(void **state)
{
    char expected[64];

    (void)state;
    kit_begin();
    assert_int_equal(outbox_set_server_clock(kit_ob, KIT_BOOT,
                                             kit_now.wall_us + 1900000 - kit_now.mono_ms * 1000,
                                             &kit_err),
                     0);
    kit_commit();
    doc_put("projects", "p1", "op-1", "{\"n\":1}");
    snprintf(expected, sizeof(expected), "\"hlc\":\"%016llx\"",
             (unsigned long long)(kit_now.wall_us / 1000) << 16);
    doc_assert_operation(DOC_RECORDS, 1, expected);
    kit_now.wall_us -= 200000; /* it was set back: 2.1 s apart now */
    doc_put("projects", "p1", "op-2", "{\"n\":2}");
    snprintf(expected, sizeof(expected), "\"hlc\":\"%016llx\"",
             (unsigned long long)((kit_now.wall_us + 2100000) / 1000) << 16);
    doc_assert_operation(DOC_RECORDS, 2, expected);
}

/* The cloud's clock counts as long as the machine has not booted anew. */
static void clock_of_the_cloud_counts_within_one_boot(void **state)
{
    const int64_t server_us = kit_now.wall_us + INT64_C(86400000000); /* this one is a day behind */
    char expected[64];

    (void)state;
    kit_begin();
    assert_int_equal(
        outbox_set_server_clock(kit_ob, KIT_BOOT, server_us - kit_now.mono_ms * 1000, &kit_err), 0);
    kit_commit();
    kit_now.mono_ms += 7000;
    kit_now.wall_us -= INT64_C(900000000000); /* somebody sets it back */
    doc_put("projects", "p1", "op-1", "{\"n\":1}");
    snprintf(expected, sizeof(expected), "\"hlc\":\"%016llx\"",
             (unsigned long long)(server_us / 1000 + 7000) << 16);
    doc_assert_operation(DOC_RECORDS, 1, expected);
}

static void clock_of_the_cloud_is_forgotten_with_the_boot(void **state)
{
    char expected[64];

    (void)state;
    kit_begin();
    assert_int_equal(outbox_set_server_clock(kit_ob, KIT_OTHER, INT64_C(86400000000), &kit_err), 0);
    assert_int_equal(outbox_set_server_clock(kit_ob, "", 5, &kit_err), 0); /* not kept */
    kit_commit();
    doc_put("projects", "p1", "op-1", "{\"n\":1}");
    snprintf(expected, sizeof(expected), "\"hlc\":\"%016llx\"",
             (unsigned long long)(kit_now.wall_us / 1000) << 16);
    doc_assert_operation(DOC_RECORDS, 1, expected);
}

/* ---- tables ---- */

static void set_tables(const char *table)
{
    char tables[1][SB_NAME_MAX + 1];

    snprintf(tables[0], sizeof(tables[0]), "%s", table);
    kit_begin();
    assert_int_equal(outbox_tables_set(kit_ob, tables, 1, &kit_err), 0);
    kit_commit();
}

static void table_that_the_welcome_does_not_name_is_refused(void **state)
{
    (void)state;
    doc_put("anything", "x", "op-1", "{}"); /* before the first welcome */
    set_tables("projects");
    assert_int_equal(doc_try_put("anything", "x", "", "{}", NULL), -SB_EUNKNOWN_TABLE);
    assert_int_equal(enqueue_open_records(doc_eq), 0);
    doc_put("projects", "p1", "", "{}");
    doc_put_settings("", "{}");
    kit_begin();
    assert_int_equal(outbox_tables_set(kit_ob, NULL, 0, &kit_err), 0);
    kit_commit();
    assert_int_equal(doc_try_put("projects", "p1", "", "{}", NULL), -SB_EUNKNOWN_TABLE);
}

/* ---- switches ---- */

static void switched_off_edits_stay_here_and_go_with_the_next_one(void **state)
{
    struct enqueue_receipt receipt;
    struct sb_buf before = {0};

    (void)state;
    doc_put("projects", "p1", "op-1", "{\"n\":1}");
    doc_acked(DOC_RECORDS, 1, 1);
    doc_set_switch(SB_UP_RECORDS, false);
    assert_int_equal(doc_try_put("projects", "p1", "op-2", "{\"n\":2}", &receipt), 0);
    assert_false(receipt.queued);
    assert_int_equal(doc_try_put("projects", "p1", "", "{\"n\":3}", &receipt), 0);
    doc_put_settings("op-s", "{}"); /* another class */
    assert_int_equal(doc_made(DOC_RECORDS), 1);
    assert_int_equal(doc_made(DOC_SETTINGS), 1);
    doc_assert("projects", "p1", "{\"n\":3}");
    doc_set_switch(SB_UP_RECORDS, true);
    doc_put("projects", "p1", "op-4", "{\"n\":4}");
    doc_assert_operation(DOC_RECORDS, 2, "\"base\":{\"op_id\":\"op-1\"},\"data\":{\"n\":4}");
    doc_acked(DOC_RECORDS, 2, 2);
    sb_buf_free(&before);
}

/* V4 needs what it was before the first of them. */
static int print_before(void *ctx, const struct outbox_row *row)
{
    sb_buf_add_span(ctx, row->before);
    return 0;
}

static void operation_after_local_edits_was_made_on_what_was_before_them(void **state)
{
    struct sb_buf before = {0};

    (void)state;
    doc_put("projects", "p1", "op-1", "{\"n\":1}");
    doc_set_switch(SB_UP_RECORDS, false);
    doc_put("projects", "p1", "", "{\"n\":2}");
    doc_put("projects", "p1", "", "{\"n\":3}");
    doc_set_switch(SB_UP_RECORDS, true);
    doc_put("projects", "p1", "op-4", "{\"n\":4}");
    assert_int_equal(
        outbox_rows(kit_ob, kit_load(DOC_RECORDS)->s, 2, 2, print_before, &before, &kit_err), 0);
    assert_string_equal(before.data, "{\"n\":1}");
    sb_buf_free(&before);
}

static void unsent_edit_is_not_overwritten(void **state)
{
    (void)state;
    doc_set_switch(SB_UP_RECORDS, false);
    doc_put("projects", "p1", "", "{\"n\":2}");
    assert_int_equal(doc_take("projects", "p1", DOC(3, "{\"n\":9}")), DOCUMENTS_PENDING);
    doc_assert("projects", "p1", "{\"n\":2}");
}

static int backfill(const char *id, struct enqueue_receipt *receipt)
{
    const struct document_name name = doc_name("projects", id);
    int rc = enqueue_backfill(doc_eq, &name, kit_now, &kit_rng, receipt, &kit_err);

    return rc < 0 ? rc : enqueue_commit(doc_eq, &kit_err);
}

static int count_documents(void *ctx, const struct document_name *name,
                           const struct outbox_document *doc)
{
    (void)name;
    (void)doc;
    ++*(int *)ctx;
    return 0;
}

static void backfill_sends_the_text_of_now_once(void **state)
{
    struct enqueue_receipt receipt;
    int unsent = 0;

    (void)state;
    doc_set_switch(SB_UP_RECORDS, false);
    doc_put("projects", "p1", "", "{\"n\":1}");
    doc_put("projects", "p1", "", "{\"n\":2}");
    doc_put("projects", "p2", "", "{\"n\":5}");
    doc_put("projects", "p2", "", NULL); /* made and undone */
    assert_int_equal(backfill("p1", &receipt), 0);
    assert_false(receipt.queued); /* it is off still */
    doc_set_switch(SB_UP_RECORDS, true);
    assert_int_equal(
        outbox_documents_unsent(kit_ob, "user-1", NULL, count_documents, &unsent, &kit_err), 0);
    assert_int_equal(unsent, 2);
    assert_int_equal(backfill("p1", &receipt), 0);
    assert_true(receipt.queued);
    doc_assert_operation(DOC_RECORDS, 1, "\"operation\":\"add\",\"base\":null,\"data\":{\"n\":2}");
    assert_int_equal(backfill("p1", &receipt), 0);
    assert_false(receipt.queued);
    assert_int_equal(backfill("p2", &receipt), 0);
    assert_false(receipt.queued);
    assert_int_equal(doc_made(DOC_RECORDS), 1);
    unsent = 0;
    assert_int_equal(
        outbox_documents_unsent(kit_ob, NULL, NULL, count_documents, &unsent, &kit_err), 0);
    assert_int_equal(unsent, 0);
}

static void local_text_that_is_put_again_holds_nothing_up(void **state)
{
    (void)state;
    assert_int_equal(doc_take("projects", "p1", DOC(1, "{\"n\":1}")), DOCUMENTS_TAKEN);
    doc_set_switch(SB_UP_RECORDS, false);
    doc_put("projects", "p1", "", "{\"n\":1}"); /* as a new key does with every document */
    doc_set_switch(SB_UP_RECORDS, true);
    assert_int_equal(doc_take("projects", "p1", DOC(2, "{\"n\":2}")), DOCUMENTS_TAKEN);
}

/* ---- lists ---- */

static int print_document(void *ctx, const struct document_name *name,
                          const struct outbox_document *doc)
{
    sb_buf_add_fmt(ctx, "%s/%s=%s;", name->table, name->id, doc->doc.data);
    return 0;
}

static void documents_are_listed_by_table_and_id(void **state)
{
    const struct document_name after = doc_name("contents", "c1");
    struct sb_buf text = {0};

    (void)state;
    doc_put("projects", "p2", "", "{\"n\":2}");
    doc_put("projects", "p1", "", "{\"n\":1}");
    doc_put("contents", "c1", "", "{\"n\":3}");
    doc_put("projects", "gone", "", "{}");
    doc_put("projects", "gone", "", NULL);
    assert_int_equal(
        outbox_documents(kit_ob, "user-1", NULL, NULL, print_document, &text, &kit_err), 0);
    assert_string_equal(text.data,
                        "contents/c1={\"n\":3};projects/p1={\"n\":1};projects/p2={\"n\":2};");
    sb_buf_clear(&text);
    assert_int_equal(
        outbox_documents(kit_ob, "user-1", "projects", &after, print_document, &text, &kit_err), 0);
    assert_string_equal(text.data, "projects/p1={\"n\":1};projects/p2={\"n\":2};");
    sb_buf_clear(&text);
    assert_int_equal(
        outbox_documents(kit_ob, "nobody", NULL, NULL, print_document, &text, &kit_err), 0);
    assert_int_equal(text.len, 0);
    sb_buf_free(&text);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, doc_setup, doc_teardown)
    const struct CMUnitTest tests[] = {
        CASE(names_are_checked_and_told_apart),
        CASE(base_is_the_newest_own_operation_answered_or_not),
        CASE(base_is_the_tag_of_what_replaced_the_document),
        CASE(deletion_has_no_data_and_a_tombstone_is_a_base),
        CASE(documents_do_not_mix),
        CASE(repeat_of_an_id_changes_nothing),
        CASE(clock_is_above_every_stamp_of_the_document),
        CASE(wall_clock_counts_where_it_is_near_the_clouds),
        CASE(edit_near_the_clouds_clock_has_a_stamp_of_the_wall_clock),
        CASE(clock_of_the_cloud_counts_within_one_boot),
        CASE(clock_of_the_cloud_is_forgotten_with_the_boot),
        CASE(table_that_the_welcome_does_not_name_is_refused),
        CASE(switched_off_edits_stay_here_and_go_with_the_next_one),
        CASE(operation_after_local_edits_was_made_on_what_was_before_them),
        CASE(unsent_edit_is_not_overwritten),
        CASE(backfill_sends_the_text_of_now_once),
        CASE(local_text_that_is_put_again_holds_nothing_up),
        CASE(documents_are_listed_by_table_and_id),
    };
#undef CASE

    return cmocka_run_group_tests(tests, NULL, NULL);
}
