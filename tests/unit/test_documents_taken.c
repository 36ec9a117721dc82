/* What a pull or a read brings (V5), what is forgotten and read again (V6), the versions kept of
 * what it replaces, and the room in the file that it leaves. */
#include "doc_kit.h"

#include <stdio.h>

/* ---- V5 ---- */

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
    assert_true(doc_is_stale("projects", "p1"));
    doc_acked(DOC_RECORDS, 1, 5);
    assert_int_equal(doc_take("projects", "p1", DOC(6, "{\"n\":9}")), DOCUMENTS_TAKEN);
    assert_false(doc_is_stale("projects", "p1"));
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
    assert_true(doc_is_stale("projects", "p1"));
    doc_assert("projects", "p1", "{\"n\":1}");
    assert_int_equal(doc_take("projects", "p1", DOC(5, "{\"n\":1}")), DOCUMENTS_TAKEN);
    assert_false(doc_is_stale("projects", "p1"));
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
    assert_true(doc_is_stale("projects", "p1"));
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
    assert_false(doc_is_stale("projects", "p1"));
    assert_true(doc_is_stale("projects", "p2"));
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
    assert_true(doc_is_stale("projects", "p1"));
    assert_false(doc_is_stale("projects", "p2")); /* there is nothing to remove */
    assert_false(doc_is_stale("contents", "c1"));
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
    doc_set_switch(SB_UP_RECORDS, false);
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

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, doc_setup, doc_teardown)
    const struct CMUnitTest tests[] = {
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
        CASE(what_is_pulled_leaves_the_room_for_settling),
        CASE(edits_that_stay_here_leave_the_room_for_settling),
        CASE(kept_versions_go_where_room_is_short),
    };
#undef CASE

    return cmocka_run_group_tests(tests, NULL, NULL);
}
