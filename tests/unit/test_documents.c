/* Documents on the device: what an edit says (V2), what a pull or a read brings (V5), what is
 * forgotten and read again (V6), what a switch holds back, what is sealed. */
#include "doc_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* ---- V5 ---- */

static bool is_stale(const char *table, const char *id)
{
    struct outbox_document doc;
    bool stale;

    doc_get(table, id, &doc);
    stale = doc.stale;
    outbox_document_fini(&doc);
    return stale;
}

static void document_is_taken_and_replaces_the_local_one(void **state)
{
    struct outbox_document doc;

    (void)state;
    assert_int_equal(doc_take("projects", "p1", DOC(3, "{\"n\": 9}")), DOCUMENTS_TAKEN);
    doc_get("projects", "p1", &doc);
    assert_string_equal(doc.doc.data, "{\"n\": 9}");
    assert_int_equal(doc.version, 3);
    assert_string_equal(doc.version_op, "op-x3");
    assert_string_equal(doc.version_device, "edge-002");
    assert_string_equal(doc.version_at, "2026-01-02T03:04:05Z");
    assert_int_equal(doc.seen, 3);
    assert_true(doc.loose);
    assert_int_equal(doc.hlc, 3);
    outbox_document_fini(&doc);
}

static void nothing_is_taken_while_operations_are_pending(void **state)
{
    (void)state;
    doc_put("projects", "p1", "op-1", "{\"n\":1}");
    doc_put("projects", "p2", "op-2", "{\"n\":2}");
    assert_int_equal(doc_take("projects", "p1", DOC(4, "{\"n\":9}")), DOCUMENTS_PENDING);
    doc_assert("projects", "p1", "{\"n\":1}");
    assert_true(is_stale("projects", "p1"));
    doc_acked(DOC_RECORDS, 1, 5);
    assert_int_equal(doc_take("projects", "p1", DOC(6, "{\"n\":9}")), DOCUMENTS_TAKEN);
    assert_false(is_stale("projects", "p1"));
    assert_int_equal(doc_take("projects", "p2", DOC(6, "{\"n\":9}")), DOCUMENTS_PENDING);
    doc_assert_base("projects", "p2", "op-2", "");
}

static void operation_of_an_older_epoch_is_pending_too(void **state)
{
    (void)state;
    doc_put("projects", "p1", "op-1", "{\"n\":1}");
    kit_new_epoch();
    assert_int_equal(doc_take("projects", "p1", DOC(4, "{\"n\":9}")), DOCUMENTS_PENDING);
}

static void operation_sent_again_after_a_restore_is_pending_too(void **state)
{
    struct lane *lane;

    (void)state;
    doc_put("projects", "p1", "op-1", "{\"n\":1}");
    doc_acked(DOC_RECORDS, 1, 1);
    lane = kit_load(DOC_RECORDS);
    sb_ranges_clear(&lane->settled); /* as reconcile does */
    kit_begin();
    assert_int_equal(outbox_set_settled(kit_ob, lane->s, &lane->settled, &lane->refused, &kit_err),
                     0);
    assert_int_equal(outbox_set_resent(kit_ob, lane->s, 1, &kit_err), 0);
    kit_commit();
    assert_int_equal(doc_take("projects", "p1", DOC(4, "{\"n\":9}")), DOCUMENTS_PENDING);
}

static void older_version_than_the_last_one_seen_is_not_taken(void **state)
{
    (void)state;
    assert_int_equal(doc_take("projects", "p1", DOC(3, "{\"n\":9}")), DOCUMENTS_TAKEN);
    doc_put("projects", "p1", "op-1", "{\"n\":1}");
    doc_acked(DOC_RECORDS, 1, 5);
    assert_int_equal(doc_take("projects", "p1", DOC(4, "{\"n\":8}")), DOCUMENTS_OLD);
    assert_true(is_stale("projects", "p1"));
    doc_assert("projects", "p1", "{\"n\":1}");
    assert_int_equal(doc_take("projects", "p1", DOC(5, "{\"n\":1}")), DOCUMENTS_TAKEN);
    assert_false(is_stale("projects", "p1"));
}

static void not_there_counts_as_the_counter_that_the_answer_names(void **state)
{
    (void)state;
    assert_int_equal(doc_take("projects", "p1", DOC(3, "{\"n\":9}")), DOCUMENTS_TAKEN);
    assert_int_equal(doc_take("projects", "p1", DOC_NOTHING(2)), DOCUMENTS_OLD);
    doc_assert("projects", "p1", "{\"n\":9}");
    assert_int_equal(doc_take("projects", "p1", DOC_NOTHING(4)), DOCUMENTS_ABSENT);
    doc_assert("projects", "p1", "-");
    doc_assert_base("projects", "p1", "", "");
    assert_int_equal(doc_take("projects", "p1", DOC(3, "{\"n\":9}")), DOCUMENTS_OLD);
    assert_int_equal(doc_take("projects", "p1", DOC(5, "{\"n\":8}")), DOCUMENTS_TAKEN);
}

static void document_left_out_of_a_page_is_to_be_read(void **state)
{
    (void)state;
    assert_int_equal(doc_take("projects", "p1", DOC_UNREAD(3)), DOCUMENTS_FETCH);
    assert_true(is_stale("projects", "p1"));
    doc_assert("projects", "p1", "-");
}

/* ---- kept versions ---- */

static int print_kept(void *ctx, const struct outbox_kept *kept)
{
    sb_buf_add_fmt(ctx, "%llu %s %s;", (unsigned long long)kept->version, kept->op_id,
                   kept->deleted ? "-" : kept->doc.data);
    return 0;
}

static void assert_kept(const char *text)
{
    const struct document_name name = doc_name("projects", "p1");
    struct sb_buf buf = {0};

    sb_buf_add_str(&buf, "");
    assert_int_equal(outbox_kept_list(kit_ob, &name, 0, print_kept, &buf, &kit_err), 0);
    assert_string_equal(buf.data, text);
    sb_buf_free(&buf);
}

static void text_that_a_cloud_version_replaces_is_kept(void **state)
{
    (void)state;
    doc_put("projects", "p1", "op-1", "{\"n\":1}");
    doc_acked(DOC_RECORDS, 1, 1);
    assert_kept("");
    doc_take("projects", "p1", DOC(2, "{\"n\":9}"));
    doc_take("projects", "p1", DOC(3, "{\"n\":9}")); /* the same text */
    doc_take("projects", "p1", DOC_DELETED(4));
    doc_take("projects", "p1", DOC(5, "{\"n\":7}"));
    assert_kept("3  {\"n\":9};0 op-1 {\"n\":1};");
}

static int count_kept(void *ctx, const struct outbox_kept *kept)
{
    if (*(int *)ctx == 0)
        assert_string_equal(kept->doc.data, "{\"n\":119}");
    ++*(int *)ctx;
    return 0;
}

static void no_more_than_a_hundred_versions_are_kept(void **state)
{
    const struct document_name name = doc_name("projects", "p1");
    char text[512];
    int count = 0;

    (void)state;
    for (int i = 0; i < 121; i++) {
        snprintf(text, sizeof(text),
                 "{\"id\":\"x\",\"exists\":true,\"as_of\":%d,\"version\":%d,\"tag\":"
                 "\"00000000000000aa\",\"data\":{\"n\":%d}}",
                 i + 1, i + 1, i);
        assert_int_equal(doc_take("projects", "p1", text), DOCUMENTS_TAKEN);
    }
    assert_int_equal(outbox_kept_list(kit_ob, &name, 0, count_kept, &count, &kit_err), 0);
    assert_int_equal(count, OUTBOX_KEPT_VERSIONS);
}

/* ---- V6 ---- */

static uint64_t seen(const char *id)
{
    struct outbox_document doc;
    uint64_t version;

    doc_get("projects", id, &doc);
    version = doc.seen;
    outbox_document_fini(&doc);
    return version;
}

static void what_was_seen_above_the_end_of_the_last_pull_is_loose(void **state)
{
    (void)state;
    doc_take("projects", "p1", DOC(3, "{\"n\":9}"));
    doc_take("projects", "p2", DOC(5, "{\"n\":9}"));
    kit_begin();
    assert_int_equal(outbox_documents_settle_loose(kit_ob, "user-1", "projects", 4, &kit_err), 0);
    assert_int_equal(outbox_documents_forget_loose(kit_ob, &kit_err), 0); /* another boot */
    kit_commit();
    assert_int_equal(seen("p1"), 3);
    assert_int_equal(seen("p2"), 0);
    assert_false(is_stale("projects", "p1"));
    assert_true(is_stale("projects", "p2"));
    assert_int_equal(doc_take("projects", "p2", DOC(2, "{\"n\":7}")), DOCUMENTS_TAKEN);
}

static void pull_from_the_beginning_makes_every_document_stale(void **state)
{
    (void)state;
    doc_take("projects", "p1", DOC(3, "{\"n\":9}"));
    doc_take("projects", "p2", DOC_DELETED(4));
    doc_take("contents", "c1", DOC(5, "{\"n\":9}"));
    kit_begin();
    assert_int_equal(outbox_documents_sweep(kit_ob, "user-1", "projects", &kit_err), 0);
    assert_int_equal(outbox_documents_forget_seen(kit_ob, "user-1", "projects", &kit_err), 0);
    kit_commit();
    assert_true(is_stale("projects", "p1"));
    assert_false(is_stale("projects", "p2")); /* there is nothing to remove */
    assert_false(is_stale("contents", "c1"));
    assert_int_equal(seen("p1"), 0);
}

static int print_name(void *ctx, const struct document_name *name)
{
    sb_buf_add_fmt(ctx, "%s/%s;", name->table, name->id);
    return 0;
}

static void stale_documents_are_listed_in_pieces(void **state)
{
    const struct document_name after = doc_name("projects", "p2");
    char user[SB_NAME_MAX + 1] = "", table[SB_NAME_MAX + 1] = "";
    struct sb_buf text = {0};
    uint64_t count;
    bool found;

    (void)state;
    for (int i = 1; i <= 4; i++) {
        char id[] = {'p', (char)('0' + i), '\0'};

        assert_int_equal(doc_take("projects", id, DOC_UNREAD(3)), DOCUMENTS_FETCH);
    }
    assert_int_equal(doc_take("contents", "c1", DOC_UNREAD(3)), DOCUMENTS_FETCH);
    assert_int_equal(
        outbox_documents_stale(kit_ob, "user-1", "projects", NULL, 2, print_name, &text, &kit_err),
        0);
    assert_string_equal(text.data, "projects/p1;projects/p2;");
    sb_buf_clear(&text);
    assert_int_equal(outbox_documents_stale(kit_ob, "user-1", "projects", &after, 9, print_name,
                                            &text, &kit_err),
                     0);
    assert_string_equal(text.data, "projects/p3;projects/p4;");
    assert_int_equal(outbox_documents_stale_next(kit_ob, user, table, &found, &kit_err), 0);
    assert_string_equal(table, "contents");
    assert_int_equal(outbox_documents_stale_next(kit_ob, user, table, &found, &kit_err), 0);
    assert_string_equal(table, "projects");
    assert_int_equal(outbox_documents_stale_next(kit_ob, user, table, &found, &kit_err), 0);
    assert_false(found);
    assert_int_equal(outbox_documents_stale_count(kit_ob, &count, &kit_err), 0);
    assert_int_equal(count, 5);
    sb_buf_free(&text);
}

/* ---- switches ---- */

static void set_switch(enum sb_up_class class, bool on)
{
    kit_begin();
    assert_int_equal(outbox_switch_set(kit_ob, "user-1", class, on, &kit_err), 0);
    kit_commit();
}

static void switched_off_edits_stay_here_and_go_with_the_next_one(void **state)
{
    struct enqueue_receipt receipt;
    struct sb_buf before = {0};

    (void)state;
    doc_put("projects", "p1", "op-1", "{\"n\":1}");
    doc_acked(DOC_RECORDS, 1, 1);
    set_switch(SB_UP_RECORDS, false);
    assert_int_equal(doc_try_put("projects", "p1", "op-2", "{\"n\":2}", &receipt), 0);
    assert_false(receipt.queued);
    assert_int_equal(doc_try_put("projects", "p1", "", "{\"n\":3}", &receipt), 0);
    doc_put_settings("op-s", "{}"); /* another class */
    assert_int_equal(doc_made(DOC_RECORDS), 1);
    assert_int_equal(doc_made(DOC_SETTINGS), 1);
    doc_assert("projects", "p1", "{\"n\":3}");
    set_switch(SB_UP_RECORDS, true);
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
    set_switch(SB_UP_RECORDS, false);
    doc_put("projects", "p1", "", "{\"n\":2}");
    doc_put("projects", "p1", "", "{\"n\":3}");
    set_switch(SB_UP_RECORDS, true);
    doc_put("projects", "p1", "op-4", "{\"n\":4}");
    assert_int_equal(
        outbox_rows(kit_ob, kit_load(DOC_RECORDS)->s, 2, 2, print_before, &before, &kit_err), 0);
    assert_string_equal(before.data, "{\"n\":1}");
    sb_buf_free(&before);
}

static void unsent_edit_is_not_overwritten(void **state)
{
    (void)state;
    set_switch(SB_UP_RECORDS, false);
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
    set_switch(SB_UP_RECORDS, false);
    doc_put("projects", "p1", "", "{\"n\":1}");
    doc_put("projects", "p1", "", "{\"n\":2}");
    doc_put("projects", "p2", "", "{\"n\":5}");
    doc_put("projects", "p2", "", NULL); /* made and undone */
    assert_int_equal(backfill("p1", &receipt), 0);
    assert_false(receipt.queued); /* it is off still */
    set_switch(SB_UP_RECORDS, true);
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
    set_switch(SB_UP_RECORDS, false);
    doc_put("projects", "p1", "", "{\"n\":1}"); /* as a new key does with every document */
    set_switch(SB_UP_RECORDS, true);
    assert_int_equal(doc_take("projects", "p1", DOC(2, "{\"n\":2}")), DOCUMENTS_TAKEN);
}

/* ---- a full file ---- */

#define ROOM INT64_C(1048576)

static void limit_the_file(void)
{
    static const struct enqueue_switches all_on = {true, true, true, true, 0};
    static unsigned files;
    char path[64];
    const struct outbox_config config = {
        .path = path, .max_bytes = ROOM, .create = true, .in_memory = true};

    snprintf(path, sizeof(path), "file:/room%u?vfs=memdb", ++files);
    enqueue_free(doc_eq);
    outbox_close(kit_ob);
    assert_int_equal(outbox_open(&config, &kit_rng, &kit_ob, &kit_err), 0);
    doc_eq = enqueue_new(kit_ob, &all_on, KIT_BOOT);
    doc_env.ob = kit_ob;
}

/* 20 kB of document. */
static void add_large(struct sb_buf *out)
{
    sb_buf_add_str(out, "{\"x\":\"");
    for (int i = 0; i < 20000; i++)
        sb_buf_add_char(out, 'x');
    sb_buf_add_str(out, "\"}");
}

/* As a pull does it, one transaction each; the text is another one each time. */
static int try_take(const char *id, unsigned version)
{
    const struct document_name name = doc_name("projects", id);
    struct sb_document doc = {.exists = true, .version = version};
    enum documents_taken taken;
    int rc;

    add_large(&doc.data);
    doc.data.data[6 + version % 10000] = 'y';
    kit_begin();
    rc = documents_take(&doc_env, &name, &doc, version, kit_now, &taken, &kit_err);
    if (rc == 0)
        rc = outbox_commit(kit_ob, &kit_err);
    else
        outbox_rollback(kit_ob);
    sb_document_free(&doc);
    return rc;
}

/* What was sent must be settled, or nothing ever drains. */
static void assert_settles(void)
{
    struct sb_buf server = {0};

    sb_buf_add_str(&server, DOC_HEAD(3) "\"data\":");
    add_large(&server);
    sb_buf_add_str(&server, "}");
    doc_conflict(DOC_RECORDS, 1, SB_POLICY_MERGE, server.data);
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
    sb_buf_free(&server);
}

static void what_is_pulled_leaves_the_room_for_settling(void **state)
{
    char id[16];
    int rc = 0;

    (void)state;
    limit_the_file();
    doc_put("projects", "p1", "op-1", "{\"n\":1}");
    for (int i = 0; rc == 0 && i < 100; i++) {
        snprintf(id, sizeof(id), "d%d", i);
        rc = try_take(id, 2);
    }
    assert_int_equal(rc, -SB_EDISK_FULL);
    assert_settles();
    assert_int_equal(doc_take("projects", "d1", DOC_DELETED(4)), DOCUMENTS_ABSENT);
}

static void edits_that_stay_here_leave_the_room_for_settling(void **state)
{
    struct sb_buf large = {0};
    char id[16];
    int rc = 0;

    (void)state;
    limit_the_file();
    add_large(&large);
    doc_put("projects", "p1", "op-1", "{\"n\":1}");
    set_switch(SB_UP_RECORDS, false);
    for (int i = 0; rc == 0 && i < 100; i++) {
        snprintf(id, sizeof(id), "d%d", i);
        rc = doc_try_put("projects", id, "", large.data, NULL);
    }
    assert_int_equal(rc, -SB_EDISK_FULL);
    enqueue_rollback(doc_eq);
    assert_settles();
    sb_buf_free(&large);
}

/* They are for convenience, and go before anything is refused for want of room. */
static void kept_versions_go_where_room_is_short(void **state)
{
    struct outbox_counts counts;
    unsigned version = 1;
    int dropped = 1;

    (void)state;
    limit_the_file();
    while (try_take("p1", version) == 0)
        version++;
    kit_begin();
    while (dropped > 0)
        assert_int_equal(outbox_kept_purge(kit_ob, 3, &dropped, &kit_err), 0);
    kit_commit();
    assert_int_equal(outbox_counts(kit_ob, &counts, &kit_err), 0);
    assert_in_range(counts.used_bytes, ROOM / 2, ROOM - ROOM / 10);
    assert_int_equal(try_take("p1", version), 0);
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

/* ---- sealing ---- */

/* A codec that shows what it was given: k<op_id>.<top>.<data in hex> */
struct test_codec {
    bool seals, has_key;
    char stamps[256]; /* of the last one that was sealed */
    uint64_t top;
};

static bool seals(void *ctx, const char *user)
{
    assert_string_equal(user, "user-1");
    return ((struct test_codec *)ctx)->seals;
}

static int seal(void *ctx, const struct documents_clear *clear,
                const struct documents_inside *inside, struct sb_buf *token, struct sb_err *err)
{
    struct test_codec *codec = ctx;

    if (!codec->has_key)
        return sb_fail(err, SB_ENO_KEY, "no key");
    assert_string_equal(clear->device, DOC_DEVICE);
    codec->top = inside->top;
    snprintf(codec->stamps, sizeof(codec->stamps), SB_SPAN_FMT,
             SB_SPAN_ARG(sb_buf_span(&inside->stamps)));
    sb_buf_add_fmt(token, "k%s.%llx.", clear->op_id, (unsigned long long)inside->top);
    for (size_t i = 0; i < inside->data.len; i++)
        sb_buf_add_fmt(token, "%02x", (unsigned char)inside->data.data[i]);
    return 0;
}

static int open_token(void *ctx, const struct documents_clear *clear, struct sb_span token,
                      struct documents_inside *inside, struct sb_err *err)
{
    const struct test_codec *codec = ctx;
    char op_id[SB_ID_MAX + 1], text[512], hex[256], byte[3] = "";
    unsigned long long top;

    if (!codec->has_key)
        return sb_fail(err, SB_ENO_KEY, "no key");
    snprintf(text, sizeof(text), SB_SPAN_FMT, SB_SPAN_ARG(token));
    if (sscanf(text, "k%128[^.].%llx.%255s", op_id, &top, hex) != 3)
        return sb_fail(err, SB_EWRONG_KEY, "not mine");
    if (strcmp(op_id, clear->op_id) != 0)
        return sb_fail(err, SB_ETAMPERED, "another operation's");
    inside->top = top;
    for (size_t i = 0; hex[i] != '\0'; i += 2) {
        memcpy(byte, hex + i, 2);
        sb_buf_add_char(&inside->data, (char)strtol(byte, NULL, 16));
    }
    return 0;
}

static struct test_codec test_codec;
static const struct documents_codec codec = {seals, seal, open_token, &test_codec};

static int sealed_setup(void **state)
{
    int rc = doc_setup(state);

    test_codec = (struct test_codec){.seals = true, .has_key = true};
    doc_env.codec = &codec;
    return rc;
}

#define SEALED(version, token) DOC(version, "\"" token "\"")

static void edit_leaves_the_device_sealed_and_stays_readable_here(void **state)
{
    (void)state;
    doc_put("projects", "p1", "op-1", "{}");
    doc_assert("projects", "p1", "{}");
    doc_assert_operation(DOC_RECORDS, 1, ",\"data\":\"kop-1.");
    doc_assert_operation(DOC_RECORDS, 1, ".7b7d\"}");
    doc_put("projects", "p1", "op-2", NULL);
    doc_assert_operation(DOC_RECORDS, 2, "\"operation\":\"delete\",\"base\":{\"op_id\":\"op-1\"}}");
    assert_int_equal(test_codec.stamps[0], '\0'); /* only for `latest` */
}

static void edit_without_a_key_is_refused(void **state)
{
    (void)state;
    test_codec.has_key = false;
    assert_int_equal(doc_try_put("projects", "p1", "op-1", "{}", NULL), -SB_ENO_KEY);
    doc_assert("projects", "p1", "-");
    assert_int_equal(doc_made(DOC_RECORDS), 0);
}

static enum sb_code trouble(const char *id)
{
    struct outbox_document doc;
    enum sb_code code;

    doc_get("projects", id, &doc);
    code = doc.trouble;
    outbox_document_fini(&doc);
    return code;
}

static void what_cannot_be_opened_overwrites_nothing_and_is_marked(void **state)
{
    (void)state;
    assert_int_equal(doc_take("projects", "p1", SEALED(2, "kop-x2.2.7b7d")), DOCUMENTS_TAKEN);
    doc_assert("projects", "p1", "{}");
    assert_int_equal(doc_take("projects", "p1", SEALED(3, "kop-other.3.7b7d")), DOCUMENTS_CLOSED);
    assert_int_equal(trouble("p1"), SB_ETAMPERED);
    assert_int_equal(doc_take("projects", "p1", SEALED(3, "rubbish")), DOCUMENTS_CLOSED);
    assert_int_equal(trouble("p1"), SB_EWRONG_KEY);
    test_codec.has_key = false;
    assert_int_equal(doc_take("projects", "p1", SEALED(3, "kop-x3.3.7b7d")), DOCUMENTS_CLOSED);
    assert_int_equal(trouble("p1"), SB_ENO_KEY);
    doc_assert("projects", "p1", "{}");
    doc_assert_base("projects", "p1", "", DOC_TAG(2));
    assert_false(is_stale("projects", "p1"));
    kit_begin();
    assert_int_equal(outbox_documents_retry_trouble(kit_ob, &kit_err), 0);
    kit_commit();
    assert_true(is_stale("projects", "p1"));
    test_codec.has_key = true;
    assert_int_equal(doc_take("projects", "p1", SEALED(3, "kop-x3.3.7b2261223a317d")),
                     DOCUMENTS_TAKEN);
    doc_assert("projects", "p1", "{\"a\":1}");
    assert_int_equal(trouble("p1"), SB_OK);
}

static void sealed_document_without_any_codec_is_closed(void **state)
{
    (void)state;
    doc_env.codec = NULL;
    assert_int_equal(doc_take("projects", "p1", SEALED(2, "kop-x2.2.7b7d")), DOCUMENTS_CLOSED);
    assert_int_equal(trouble("p1"), SB_ENO_KEY);
}

static void plain_document_in_place_of_a_sealed_one_is_tampered(void **state)
{
    (void)state;
    assert_int_equal(doc_take("projects", "p1", DOC(1, "{\"n\":1}")), DOCUMENTS_TAKEN); /* first */
    assert_int_equal(doc_take("projects", "p1", SEALED(2, "kop-x2.2.7b7d")), DOCUMENTS_TAKEN);
    assert_int_equal(doc_take("projects", "p1", DOC(3, "{\"n\":1}")), DOCUMENTS_CLOSED);
    assert_int_equal(trouble("p1"), SB_ETAMPERED);
    doc_assert("projects", "p1", "{}");
    assert_int_equal(doc_take("projects", "p1", DOC_DELETED(4)), DOCUMENTS_ABSENT);
    assert_int_equal(doc_take("projects", "p1", DOC(5, "{\"n\":1}")), DOCUMENTS_CLOSED);
}

static void newer_version_with_an_older_inside_is_stale(void **state)
{
    (void)state;
    assert_int_equal(doc_take("projects", "p1", SEALED(2, "kop-x2.20.7b7d")), DOCUMENTS_TAKEN);
    assert_int_equal(doc_take("projects", "p1", SEALED(3, "kop-x3.1f.7b2261223a317d")),
                     DOCUMENTS_CLOSED);
    assert_int_equal(trouble("p1"), SB_ESTALE);
    doc_assert("projects", "p1", "{}");
    assert_int_equal(doc_take("projects", "p1", SEALED(4, "kop-x4.21.7b2261223a317d")),
                     DOCUMENTS_TAKEN);
}

/* A stamp of a clock more than an hour ahead of the cloud's orders nothing. */
static void stamp_of_a_clock_that_ran_ahead_makes_nothing_stale(void **state)
{
    const int64_t server_ms = kit_now.wall_us / 1000 + 86400000; /* this clock is a day behind */
    const int64_t limit_ms = server_ms + SB_HLC_AHEAD_MS;
    char document[512];

    (void)state;
    kit_begin();
    assert_int_equal(
        outbox_set_server_clock(kit_ob, KIT_BOOT, (server_ms - kit_now.mono_ms) * 1000, &kit_err),
        0);
    kit_commit();
    for (int late = 0; late < 2; late++) {
        const char *id = late ? "p2" : "p1";

        snprintf(document, sizeof(document), DOC_HEAD(2) "\"data\":\"kop-x2.%llx.7b7d\"}",
                 (unsigned long long)(limit_ms + late) << SB_HLC_COUNTER_BITS);
        assert_int_equal(doc_take("projects", id, document), DOCUMENTS_TAKEN);
        assert_int_equal(doc_take("projects", id, SEALED(3, "kop-x3.20.7b2261223a317d")),
                         late ? DOCUMENTS_TAKEN : DOCUMENTS_CLOSED);
    }
    assert_int_equal(trouble("p1"), SB_ESTALE);
    doc_assert("projects", "p2", "{\"a\":1}");
}

static void inside_below_the_own_answered_edit_is_stale(void **state)
{
    (void)state;
    doc_put("projects", "p1", "op-1", "{}");
    doc_acked(DOC_RECORDS, 1, 1);
    assert_int_equal(doc_take("projects", "p1", SEALED(2, "kop-x2.20.7b2261223a317d")),
                     DOCUMENTS_CLOSED);
    assert_int_equal(trouble("p1"), SB_ESTALE);
    doc_assert("projects", "p1", "{}");
}

static void edit_that_lost_makes_nothing_stale(void **state)
{
    (void)state;
    doc_put("projects", "p1", "op-1", "{}");
    doc_acked(DOC_RECORDS, 1, 1);
    assert_int_equal(doc_take("projects", "p1", SEALED(2, "kop-x2.7fffffffffff0000.7b7d")),
                     DOCUMENTS_TAKEN);
    doc_put("projects", "p1", "op-2", "{\"b\":1}");
    doc_conflict(DOC_RECORDS, 2, SB_POLICY_MERGE,
                 SEALED(3, "kop-x3.7fffffffffff0000.7b2261223a317d"));
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
    doc_assert("projects", "p1", "{\"a\": 1, \"b\": 1}");
}

static void stamps_go_inside_where_the_policy_is_latest(void **state)
{
    (void)state;
    assert_int_equal(doc_take("projects", "p1", SEALED(2, "kop-x2.20.7b2261223a317d")),
                     DOCUMENTS_TAKEN);
    kit_begin();
    assert_int_equal(
        outbox_policy_set(kit_ob, "user-1", "projects", SB_POLICY_LATEST, SB_SPAN(""), &kit_err),
        0);
    kit_commit();
    doc_put("projects", "p1", "op-1", "{\"a\":1,\"b\":2}");
    assert_non_null(
        strstr(test_codec.stamps, "{\"\":[\"0000000000000020\",\"edge-002\"],\"/b\":["));
    assert_non_null(strstr(test_codec.stamps, "\"" DOC_DEVICE "\"]}"));
    assert_true(test_codec.top > 0x20);
    doc_put("projects", "p1", "op-2", "{\"a\":3,\"b\":2}");
    assert_non_null(strstr(test_codec.stamps, "\"/a\":["));
    assert_non_null(strstr(test_codec.stamps, "\"/b\":["));
}

int main(void)
{
#define CASE(f)        cmocka_unit_test_setup_teardown(f, doc_setup, doc_teardown)
#define SEALED_CASE(f) cmocka_unit_test_setup_teardown(f, sealed_setup, doc_teardown)
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
        CASE(document_is_taken_and_replaces_the_local_one),
        CASE(nothing_is_taken_while_operations_are_pending),
        CASE(operation_of_an_older_epoch_is_pending_too),
        CASE(operation_sent_again_after_a_restore_is_pending_too),
        CASE(older_version_than_the_last_one_seen_is_not_taken),
        CASE(not_there_counts_as_the_counter_that_the_answer_names),
        CASE(document_left_out_of_a_page_is_to_be_read),
        CASE(text_that_a_cloud_version_replaces_is_kept),
        CASE(no_more_than_a_hundred_versions_are_kept),
        CASE(what_was_seen_above_the_end_of_the_last_pull_is_loose),
        CASE(pull_from_the_beginning_makes_every_document_stale),
        CASE(stale_documents_are_listed_in_pieces),
        CASE(switched_off_edits_stay_here_and_go_with_the_next_one),
        CASE(operation_after_local_edits_was_made_on_what_was_before_them),
        CASE(unsent_edit_is_not_overwritten),
        CASE(backfill_sends_the_text_of_now_once),
        CASE(local_text_that_is_put_again_holds_nothing_up),
        CASE(what_is_pulled_leaves_the_room_for_settling),
        CASE(edits_that_stay_here_leave_the_room_for_settling),
        CASE(kept_versions_go_where_room_is_short),
        CASE(documents_are_listed_by_table_and_id),
        SEALED_CASE(edit_leaves_the_device_sealed_and_stays_readable_here),
        SEALED_CASE(edit_without_a_key_is_refused),
        SEALED_CASE(what_cannot_be_opened_overwrites_nothing_and_is_marked),
        SEALED_CASE(sealed_document_without_any_codec_is_closed),
        SEALED_CASE(plain_document_in_place_of_a_sealed_one_is_tampered),
        SEALED_CASE(newer_version_with_an_older_inside_is_stale),
        SEALED_CASE(stamp_of_a_clock_that_ran_ahead_makes_nothing_stale),
        SEALED_CASE(inside_below_the_own_answered_edit_is_stale),
        SEALED_CASE(edit_that_lost_makes_nothing_stale),
        SEALED_CASE(stamps_go_inside_where_the_policy_is_latest),
    };
#undef CASE
#undef SEALED_CASE

    return cmocka_run_group_tests(tests, NULL, NULL);
}
