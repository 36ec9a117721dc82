/* verify: the arithmetic, and the figures of a real database against what was sent. */
#include "cloud_kit.h"

#include <stdio.h>
#include <string.h>

#include "cloud_ingest/audit.h"

#define STREAM "sensors/system"

/* ---- the arithmetic ---- */

static void set(struct sb_ranges *out, const char *text)
{
    assert_int_equal(sb_ranges_parse(out, sb_span_of(text), 100, NULL), 0);
}

static void check(const char *decided, const char *holes, const char *held, uint64_t claimed,
                  uint64_t made, bool named, const char *expected)
{
    struct sb_ranges d = {0}, h = {0}, w = {0}, missing = {0};
    struct audit_facts facts = {
        .claimed = claimed > 0,
        .named = named,
        .claimed_made = claimed,
        .made = made,
        .decided = &d,
        .holes = &h,
        .held = &w,
    };
    struct audit_figures out = {0};
    char text[200];

    set(&d, decided);
    set(&h, holes);
    set(&w, held);
    audit_arithmetic(&facts, &out, &missing);
    snprintf(text, sizeof(text), "made %d holes %d pending %d missing %d lost %d", (int)out.made,
             (int)out.holes, (int)out.pending, (int)out.missing, (int)out.lost);
    assert_string_equal(text, expected);
    assert_int_equal(sb_ranges_total(&missing), out.missing);
    assert_int_equal(out.made,
                     sb_ranges_total(&d) + out.holes + out.pending + out.missing + out.lost);
    sb_ranges_free(&d);
    sb_ranges_free(&h);
    sb_ranges_free(&w);
    sb_ranges_free(&missing);
}

static void every_number_made_is_in_one_column(void **state)
{
    (void)state;
    check("[[1,10]]", "[]", "[]", 10, 10, true, "made 10 holes 0 pending 0 missing 0 lost 0");
    check("[[1,5]]", "[[4,7]]", "[[8,9]]", 10, 10, true,
          "made 10 holes 2 pending 2 missing 1 lost 0");
    check("[[1,5]]", "[]", "[]", 5, 9, true, "made 9 holes 0 pending 4 missing 0 lost 0");
    check("[[1,5]]", "[]", "[[6,9]]", 9, 9, false, "made 9 holes 0 pending 0 missing 0 lost 4");
    check("[[1,5],[9,9]]", "[]", "[]", 0, 9, true, "made 9 holes 0 pending 3 missing 0 lost 0");
    check("[]", "[]", "[]", 3, 0, true, "made 3 holes 0 pending 0 missing 3 lost 0");
    check("[[1,20]]", "[]", "[]", 10, 10, true, "made 20 holes 0 pending 0 missing 0 lost 0");
    check("[]", "[]", "[]", 0, 0, true, "made 0 holes 0 pending 0 missing 0 lost 0");
}

/* ---- the figures of a database ---- */

static void put(struct kit *kit, uint64_t first, uint64_t last, uint64_t made, int value)
{
    struct sb_buf rows = {0};

    for (uint64_t seq = first; seq <= last; seq++)
        sb_buf_add_fmt(&rows, "%s[\"2026-01-01T00:00:00Z\",%d]", seq > first ? "," : "",
                       value + (int)seq);
    kit_ask(kit, STREAM, first, last, "\"made\":%llu,\"fields\":[\"ts\",\"value\"],\"rows\":[%s]",
            (unsigned long long)made, rows.data);
    sb_buf_free(&rows);
}

static void hello(struct kit *kit, const char *current, const char *epochs)
{
    static unsigned long long counter = 0;
    struct sb_buf json = {0};

    sb_buf_add_fmt(&json,
                   "{\"v\":1,\"kind\":\"hello\",\"nonce\":\"01930000-0000-7000-9000-%012llx\","
                   "\"device\":\"%s\",\"receipt\":null,\"epoch\":\"%s\",",
                   ++counter, kit->device, current);
    sb_buf_add_fmt(&json,
                   "\"page\":1,\"pages\":1,\"sent_at\":\"2026-01-02T03:04:05Z\",\"epochs\":%s}",
                   epochs);
    kit_message(kit, "ctl", "", json.data);
    kit_flush(kit);
    sb_buf_free(&json);
}

struct seen {
    struct sb_buf text;
    int entries;
};

static bool note(void *ctx, const struct audit_entry *entry)
{
    struct seen *seen = ctx;

    seen->entries++;
    if (entry->figures.missing > 0) {
        sb_buf_add_fmt(&seen->text, "%s ", entry->stream);
        sb_ranges_print(&entry->missing, &seen->text);
    }
    return true;
}

static struct audit_figures verify(struct kit *kit, const char *missing, int entries)
{
    struct audit_figures total;
    struct seen seen = {.entries = 0};
    struct sb_err err = {0};

    if (audit_run(kit->store, NULL, note, &seen, &total, &err) != 0)
        fail_msg("%s", err.msg);
    assert_string_equal(seen.text.len > 0 ? seen.text.data : "", missing);
    assert_int_equal(seen.entries, entries);
    assert_int_equal(total.unequal, 0);
    sb_buf_free(&seen.text);
    return total;
}

static void figures_add_up_over_everything_that_can_happen(void **state)
{
    struct kit *kit = *state;
    struct audit_figures f;
    struct sb_err err;

    put(kit, 1, 10, 20, 0);
    put(kit, 1, 5, 20, 0);
    put(kit, 5, 6, 20, 100);
    kit_ask(kit, STREAM, 11, 12, "\"fields\":[\"ts\",\"value\"],\"rows\":[[null,1],[null,2]]");
    kit_ask(kit, STREAM, 12, 15, "\"hole\":{\"reason\":\"evicted\"}");
    assert_int_equal(store_drop_record(kit->store, kit->device, kit->epoch, STREAM, 0, 1, &err), 0);
    assert_int_equal(store_drop_record(kit->store, kit->device, kit->epoch, STREAM, 1, 5, &err), 0);
    f = verify(kit, "", 1);
    assert_int_equal(f.made, 20);
    assert_int_equal(f.stored, 10);
    assert_int_equal(f.rejected, 2);
    assert_int_equal(f.holes, 3);
    assert_int_equal(f.branched, 2);
    assert_int_equal(f.dropped, 2);
    assert_int_equal(f.repeats, 5);
    assert_int_equal(f.pending, 5);
    assert_int_equal(f.rows, 10);
    assert_true(audit_clean(&f));
}

static void what_the_device_holds_is_pending_and_what_it_does_not_is_missing(void **state)
{
    struct kit *kit = *state;
    struct audit_figures f;

    put(kit, 1, 4, 8, 0);
    hello(kit, kit->epoch,
          "[{\"epoch\":\"00000000000000e1\",\"streams\":[{\"stream\":\"" STREAM "\",\"made\":10,"
          "\"settled\":[[1,6]],\"held\":[[7,9]]},{\"stream\":\"history/u\",\"made\":2,"
          "\"settled\":[],\"held\":[[1,2]]}]}]");
    f = verify(kit, STREAM " [[5,6],[10,10]]", 2);
    assert_int_equal(f.missing, 3);
    assert_int_equal(f.pending, 5);
    assert_false(audit_clean(&f));
    put(kit, 5, 10, 11, 0);
    f = verify(kit, "", 2);
    assert_int_equal(f.pending, 3);
}

static void an_epoch_that_is_no_longer_named_is_lost_with_the_device(void **state)
{
    struct kit *kit = *state;
    struct audit_figures f;

    put(kit, 1, 4, 4, 0);
    hello(kit, kit->epoch,
          "[{\"epoch\":\"00000000000000e1\",\"streams\":[{\"stream\":\"" STREAM "\",\"made\":10,"
          "\"settled\":[[1,4]],\"held\":[[5,10]]}]}]");
    hello(kit, "00000000000000e2", "[{\"epoch\":\"00000000000000e2\",\"streams\":[]}]");
    f = verify(kit, "", 1);
    assert_int_equal(f.lost, 6);
    assert_int_equal(f.pending, 0);
    assert_true(audit_clean(&f));
}

/* The cloud was restored and the device rolled back to before it made the epoch. */
static void what_a_restored_cloud_and_a_wiped_device_lost_is_not_missing(void **state)
{
    struct kit *kit = *state;
    struct audit_figures f;

    put(kit, 1, 2, 2, 0);
    hello(kit, kit->epoch,
          "[{\"epoch\":\"00000000000000e1\",\"streams\":[{\"stream\":\"" STREAM "\",\"made\":5,"
          "\"settled\":[[1,4]],\"held\":[[5,5]]}]}]");
    f = verify(kit, STREAM " [[3,4]]", 1); /* until it has sent them again */
    assert_false(audit_clean(&f));
    hello(kit, "00000000000000e2", "[{\"epoch\":\"00000000000000e2\",\"streams\":[]}]");
    f = verify(kit, "", 1);
    assert_int_equal(f.lost, 3);
    assert_true(audit_clean(&f));
}

/* ... or the stream. */
static void a_stream_that_is_no_longer_named_is_lost_with_the_device(void **state)
{
    struct kit *kit = *state;
    struct audit_figures f;

    put(kit, 1, 4, 4, 0);
    hello(kit, kit->epoch,
          "[{\"epoch\":\"00000000000000e1\",\"streams\":[{\"stream\":\"" STREAM "\",\"made\":10,"
          "\"settled\":[[1,6]],\"held\":[[7,10]]},{\"stream\":\"history/u\",\"made\":2,"
          "\"settled\":[],\"held\":[[1,2]]}]}]");
    hello(kit, kit->epoch,
          "[{\"epoch\":\"00000000000000e1\",\"streams\":[{\"stream\":\"history/u\",\"made\":2,"
          "\"settled\":[],\"held\":[[1,2]]}]}]");
    f = verify(kit, "", 2);
    assert_int_equal(f.lost, 6);
    assert_int_equal(f.pending, 2);
    assert_true(audit_clean(&f));
}

static void counters_that_do_not_match_the_tables_show(void **state)
{
    struct kit *kit = *state;
    struct audit_figures f;
    struct sb_err err;

    put(kit, 1, 4, 4, 0);
    kit_sql(kit, "DELETE FROM sensor_system WHERE seq = 2");
    assert_int_equal(audit_run(kit->store, "edge-001", NULL, NULL, &f, &err), 0);
    assert_int_equal(f.unequal, 1);
    assert_false(audit_clean(&f));
    assert_int_equal(audit_run(kit->store, "edge-002", NULL, NULL, &f, &err), 0);
    assert_int_equal(f.made, 0);
}

static void doubles_of_history_and_operations_show(void **state)
{
    struct kit *kit = *state;
    struct audit_figures f;

    kit_grant(kit, "u");
    kit_ask(kit, "history/u", 1, 2,
            "\"records\":[{\"command_id\":\"c\",\"created_at\":\"2026-01-01T00:00:00Z\"},"
            "{\"command_id\":\"c\",\"created_at\":\"2026-01-01T00:00:00Z\"}]");
    kit_ask(kit, "settings/u", 1, 2,
            "\"records\":[{\"op_id\":\"a\",\"base\":null,\"settings\":{}},"
            "{\"op_id\":\"a\",\"base\":null,\"settings\":{}}]");
    f = verify(kit, "", 2);
    assert_int_equal(f.duplicates, 2);
    assert_int_equal(f.dups, 2);
    assert_int_equal(f.doubles, 0);
    kit_sql(kit, "INSERT INTO history_rev (hid, hash, hlc, created_us, sn, seq, rx_ms, body)"
                 " SELECT hid, hash, hlc, created_us, sn, 99, rx_ms, body FROM history_rev;"
                 "INSERT INTO versions (user, version, doc, tag, device, stream, op_id, hlc,"
                 " submitted, deleted, sn, seq, made_us) SELECT user, 99, doc, tag, device, stream,"
                 " op_id, hlc, submitted, deleted, sn, seq, made_us FROM versions");
    assert_int_equal(audit_run(kit->store, NULL, NULL, NULL, &f, NULL), 0);
    assert_int_equal(f.doubles, 2);
}

static void records_are_counted_like_settings(void **state)
{
    struct kit *kit = *state;
    struct audit_figures f;

    kit_grant(kit, "u");
    kit_ask(kit, "records/u", 1, 6,
            "\"records\":[{\"op_id\":\"a\",\"base\":null,\"table\":\"projects\",\"id\":\"p\","
            "\"operation\":\"add\",\"data\":{\"x\":1}},"
            "{\"op_id\":\"a\",\"base\":null,\"table\":\"projects\",\"id\":\"p\","
            "\"operation\":\"add\",\"data\":{\"x\":1}},"
            "{\"op_id\":\"b\",\"base\":null,\"table\":\"projects\",\"id\":\"p\","
            "\"operation\":\"add\",\"data\":{\"x\":2}},"
            "{\"op_id\":\"c\",\"base\":null,\"table\":\"projects\",\"id\":\"p\","
            "\"operation\":\"add\"},"
            "{\"op_id\":\"d\",\"base\":{\"op_id\":\"a\"},\"table\":\"projects\",\"id\":\"p\","
            "\"operation\":\"delete\"},"
            "{\"op_id\":\"e\",\"base\":null,\"table\":\"contents\",\"id\":\"p\","
            "\"operation\":\"add\",\"data\":{}}]");
    f = verify(kit, "", 1);
    assert_int_equal(f.made, 6);
    assert_int_equal(f.stored, 3);
    assert_int_equal(f.duplicates, 1);
    assert_int_equal(f.conflict, 1);
    assert_int_equal(f.rejected, 1);
    assert_int_equal(f.rows, 3);
    assert_int_equal(f.dups, 1);
    assert_true(audit_clean(&f));
    /* a tombstone that is old enough goes, and nothing is missing */
    kit->now.wall_us += INT64_C(366) * 86400 * 1000000;
    ingest_tidy(kit->ingest, kit->now);
    assert_int_equal(kit_count(kit, "SELECT count(*) FROM documents"), 1);
    f = verify(kit, "", 1);
    assert_true(audit_clean(&f));
}

static void versions_with_gaps_and_documents_astray_show(void **state)
{
    static const struct {
        const char *sql;
        uint64_t gaps, astray;
    } damage[] = {
        {"DELETE FROM versions WHERE version = 2", 1, 1},
        {"DELETE FROM versions WHERE version = 1", 1, 0},
        {"UPDATE users SET version = 4", 1, 0},
        {"UPDATE users SET tag = '0000000000000000'", 1, 0},
        {"DELETE FROM users", 1, 0},
        {"UPDATE documents SET version = 1 WHERE doc = 'projects/p'", 0, 1},
        {"UPDATE documents SET tombed_ms = 7 WHERE doc = 'projects/p'", 0, 1},
        {"DELETE FROM documents WHERE doc = 'projects/q'", 0, 1},
        {"UPDATE documents SET doc = 'projects/r' WHERE doc = 'projects/q'", 0, 2},
    };
    struct kit *kit = *state;
    struct audit_figures f;

    kit_grant(kit, "u");
    kit_ask(kit, "records/u", 1, 3,
            "\"records\":[{\"op_id\":\"a\",\"base\":null,\"table\":\"projects\",\"id\":\"p\","
            "\"operation\":\"add\",\"data\":{\"x\":1}},"
            "{\"op_id\":\"b\",\"base\":{\"op_id\":\"a\"},\"table\":\"projects\",\"id\":\"p\","
            "\"operation\":\"update\",\"data\":{\"x\":2}},"
            "{\"op_id\":\"c\",\"base\":null,\"table\":\"projects\",\"id\":\"q\","
            "\"operation\":\"add\",\"data\":{}}]");
    for (size_t i = 0; i < sizeof(damage) / sizeof(damage[0]); i++) {
        kit_sql(kit, "CREATE TABLE k1 AS SELECT * FROM versions;"
                     "CREATE TABLE k2 AS SELECT * FROM users;"
                     "CREATE TABLE k3 AS SELECT * FROM documents");
        kit_sql(kit, damage[i].sql);
        assert_int_equal(audit_run(kit->store, NULL, NULL, NULL, &f, NULL), 0);
        if (f.gaps != damage[i].gaps || f.astray != damage[i].astray)
            fail_msg("%s: gaps %d, astray %d", damage[i].sql, (int)f.gaps, (int)f.astray);
        assert_false(audit_clean(&f));
        kit_sql(kit, "DELETE FROM versions; INSERT INTO versions SELECT * FROM k1; DROP TABLE k1;"
                     "DELETE FROM users; INSERT INTO users SELECT * FROM k2; DROP TABLE k2;"
                     "DELETE FROM documents; INSERT INTO documents SELECT * FROM k3;"
                     "DROP TABLE k3");
    }
    assert_int_equal(audit_run(kit->store, NULL, NULL, NULL, &f, NULL), 0);
    assert_true(audit_clean(&f));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_made_is_in_one_column),
        CASE(figures_add_up_over_everything_that_can_happen),
        CASE(what_the_device_holds_is_pending_and_what_it_does_not_is_missing),
        CASE(an_epoch_that_is_no_longer_named_is_lost_with_the_device),
        CASE(what_a_restored_cloud_and_a_wiped_device_lost_is_not_missing),
        CASE(a_stream_that_is_no_longer_named_is_lost_with_the_device),
        CASE(counters_that_do_not_match_the_tables_show),
        CASE(doubles_of_history_and_operations_show),
        CASE(records_are_counted_like_settings),
        CASE(versions_with_gaps_and_documents_astray_show),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
