/* Documents whose file and hook are due: noted by the database, whoever changes them. */
#include "edge_kit.h"

#include <string.h>

#include "edge_agent/outbox_changes.h"

static struct outbox_change change;

static void name_of(struct document_name *name, const char *user, const char *table, const char *id)
{
    assert_int_equal(document_name_make(name, user, table, id, &kit_err), 0);
}

/* text NULL: deleted. */
static void set(const char *id, const char *text)
{
    struct outbox_document doc;
    struct document_name name;

    name_of(&name, "user-1", "projects", id);
    kit_begin();
    assert_int_equal(outbox_document_get(kit_ob, &name, &doc, &kit_err), 0);
    sb_buf_clear(&doc.doc);
    doc.exists = text != NULL;
    if (text != NULL)
        sb_buf_add_str(&doc.doc, text);
    assert_int_equal(outbox_document_set(kit_ob, &name, &doc, &kit_err), 0);
    kit_commit();
    outbox_document_fini(&doc);
}

static void done(int64_t n)
{
    kit_begin();
    assert_int_equal(outbox_change_done(kit_ob, n, &kit_err), 0);
    kit_commit();
}

static bool next_from(int64_t after, int64_t below)
{
    bool found;

    assert_int_equal(outbox_change_next(kit_ob, after, below, &change, &found, &kit_err), 0);
    return found;
}

static bool next(void)
{
    return next_from(0, 0);
}

/* The ids that are due, in their order; none is due afterwards. */
static void assert_due(const char *ids)
{
    struct sb_buf text = {0};

    sb_buf_add_str(&text, "");
    while (next()) {
        sb_buf_add_fmt(&text, "%s ", change.name.id);
        done(change.n);
    }
    assert_string_equal(text.data, ids);
    sb_buf_free(&text);
}

static void target(const char *folder, bool command)
{
    kit_begin();
    assert_int_equal(outbox_changes_target(kit_ob, folder, command, &kit_err), 0);
    kit_commit();
}

static void a_change_is_due_once_until_it_is_done(void **state)
{
    (void)state;
    assert_false(next());
    set("a", "{\"v\":1}");
    set("b", "{\"v\":1}");
    set("a", "{\"v\":2}");
    assert_true(next());
    assert_string_equal(change.name.user, "user-1");
    assert_string_equal(change.name.table, "projects");
    assert_due("b a ");
    set("a", "{\"v\":2}"); /* the same text */
    assert_due("");
    set("a", NULL);
    assert_due("a ");
    set("a", "{\"v\":3}");
    assert_due("a ");
}

static void a_change_meanwhile_stays_due(void **state)
{
    int64_t n;

    (void)state;
    set("a", "{\"v\":1}");
    assert_true(next());
    n = change.n;
    set("a", "{\"v\":2}");
    done(n);
    assert_due("a ");
}

static void a_forgotten_document_is_due(void **state)
{
    struct document_name name;

    (void)state;
    set("a", "{}");
    assert_due("a ");
    name_of(&name, "user-1", "projects", "a");
    kit_begin();
    assert_int_equal(outbox_document_forget(kit_ob, &name, &kit_err), 0);
    kit_commit();
    assert_due("a ");
}

static void another_folder_makes_all_due(void **state)
{
    (void)state;
    set("a", "{}");
    set("b", "{}");
    target("/x", true);
    assert_due("a b ");
    target("/x", false);
    assert_due("");
    set("a", NULL);
    target("/y", false); /* it never had a file there */
    assert_due("b ");
    target("", true); /* from now on the command alone: what is due stays */
    set("a", "{}");
    target("", true);
    assert_due("a ");
}

static void a_command_alone_starts_from_now(void **state)
{
    (void)state;
    set("a", "{}");
    target("", false);
    set("b", "{}");
    target("", true);
    assert_due("");
    set("a", "{\"v\":1}");
    target("", true);
    assert_due("a ");
}

static void what_changes_meanwhile_goes_before_the_rest_of_another_folder(void **state)
{
    (void)state;
    set("a", "{}");
    set("b", "{}");
    set("c", "{}");
    target("/x", false);
    set("c", "{\"v\":1}");
    set("d", "{}");
    assert_due("c d a b ");
}

static void those_dealt_with_may_be_marked_later(void **state)
{
    int64_t bulk, n;

    (void)state;
    set("a", "{}");
    set("b", "{}");
    target("/x", false);
    set("c", "{}");
    set("d", "{}");
    assert_true(next());
    assert_string_equal(change.name.id, "c");
    n = change.n;
    assert_true(next_from(n, 0));
    assert_string_equal(change.name.id, "d");
    n = change.n;
    assert_true(next_from(n, 0));
    assert_string_equal(change.name.id, "a");
    bulk = change.n;
    set("a", "{\"v\":1}"); /* again, meanwhile */
    assert_true(next_from(n, bulk));
    assert_string_equal(change.name.id, "a");
    assert_true(next_from(change.n, bulk));
    assert_string_equal(change.name.id, "b");
    assert_false(next_from(change.n > 0 ? change.n : n + 1, change.n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_change_is_due_once_until_it_is_done, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(a_change_meanwhile_stays_due, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(a_forgotten_document_is_due, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(another_folder_makes_all_due, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(
            what_changes_meanwhile_goes_before_the_rest_of_another_folder, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(those_dealt_with_may_be_marked_later, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(a_command_alone_starts_from_now, kit_setup, kit_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
