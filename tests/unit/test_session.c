/* The hello gate: when a hello goes, which welcome counts, when anything else may be sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge_agent/session.h"

static const struct session_config config = {.refused_min_ms = 5000};
static const char nonce_1[] = "018f0000-0000-7000-8000-000000000001";
static const char nonce_2[] = "018f0000-0000-7000-8000-000000000002";
static const char boot_a[] = "1a9e5700-0000-4000-8000-00000000000a";
static const char boot_b[] = "1a9e5700-0000-4000-8000-00000000000b";
static struct session session;

static int setup(void **state)
{
    (void)state;
    session_init(&session, &config);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    session_fini(&session);
    return 0;
}

/* One part of an answer to a page, naming one stream. */
static enum session_welcome welcome(const char *nonce, const char *boot, uint32_t page,
                                    uint32_t part, bool more)
{
    enum session_welcome result;
    struct sb_welcome part_of;
    char stream[SB_STREAM_MAX + 1];

    sb_welcome_init(&part_of);
    memcpy(part_of.nonce, nonce, sizeof(part_of.nonce));
    memcpy(part_of.boot, boot, sizeof(part_of.boot));
    part_of.commit = 100 + 10 * page + part;
    part_of.page = page;
    part_of.part = part;
    part_of.more = more;
    part_of.restored = page == 2;
    part_of.limits.max_batch_records = 7;
    part_of.tables = sb_xcalloc(page, sizeof(*part_of.tables));
    for (; part_of.table_count < page; part_of.table_count++)
        snprintf(part_of.tables[part_of.table_count], SB_NAME_MAX, "t%zu", part_of.table_count);
    snprintf(stream, sizeof(stream), "sensors/p%u-%u", page, part);
    sb_ranges_add(&sb_welcome_add(&part_of, "00000000000000e1", stream)->decided, 1, 9);
    result = session_welcome(&session, &part_of);
    sb_welcome_free(&part_of);
    return result;
}

static void say_hello(const char *nonce, uint32_t pages, int64_t now_ms)
{
    session_hello_sent(&session, nonce, pages, now_ms, 1000);
}

static void open_with(const char *boot)
{
    session_up(&session);
    say_hello(nonce_1, 1, 0);
    assert_int_equal(welcome(nonce_1, boot, 1, 1, false), SESSION_COMPLETE);
    session_open(&session);
}

static void gate_opens_with_the_welcome_alone(void **state)
{
    (void)state;
    assert_false(session_hello_due(&session, 0)); /* nothing to say it to */
    session_up(&session);
    assert_true(session_hello_due(&session, 0));
    assert_false(session_gate_open(&session));
    say_hello(nonce_1, 1, 0);
    assert_false(session_gate_open(&session));
    assert_int_equal(welcome(nonce_1, boot_a, 1, 1, false), SESSION_COMPLETE);
    assert_false(session_gate_open(&session)); /* not before D3 is committed */
    session_open(&session);
    assert_true(session_gate_open(&session));
    assert_string_equal(session.boot, boot_a);
    assert_false(session_hello_due(&session, 1000000));
    assert_int_equal(session_deadline(&session), INT64_MAX);
}

static void unanswered_hello_is_repeated(void **state)
{
    (void)state;
    session_up(&session);
    say_hello(nonce_1, 1, 500);
    assert_false(session_hello_due(&session, 1499));
    assert_int_equal(session_deadline(&session), 1500);
    assert_true(session_hello_due(&session, 1500));
    say_hello(nonce_2, 1, 1500);
    assert_int_equal(session.unanswered, 2);
    assert_int_equal(welcome(nonce_1, boot_a, 1, 1, false), SESSION_IGNORED); /* of the first */
    assert_int_equal(welcome(nonce_2, boot_a, 1, 1, false), SESSION_COMPLETE);
    session_open(&session);
    assert_int_equal(session.unanswered, 0);
}

static void disconnect_forgets_the_nonce(void **state)
{
    (void)state;
    session_up(&session);
    say_hello(nonce_1, 1, 0);
    session_down(&session);
    session_up(&session);
    assert_int_equal(welcome(nonce_1, boot_a, 1, 1, false), SESSION_IGNORED);
    assert_false(session_gate_open(&session));
    assert_true(session_hello_due(&session, 0));
}

static void disconnect_shuts_the_gate(void **state)
{
    (void)state;
    open_with(boot_a);
    session_down(&session);
    assert_false(session_gate_open(&session));
    session_up(&session);
    assert_false(session_gate_open(&session));
    assert_true(session_hello_due(&session, 0));
}

static void second_welcome_of_a_hello_is_ignored(void **state)
{
    (void)state;
    open_with(boot_a);
    assert_int_equal(welcome(nonce_1, boot_b, 1, 1, false), SESSION_IGNORED);
    assert_string_equal(session.boot, boot_a);
}

static void pages_and_parts_come_in_any_order_and_again(void **state)
{
    (void)state;
    session_up(&session);
    say_hello(nonce_1, 2, 0);
    assert_int_equal(welcome(nonce_1, boot_a, 2, 2, true), SESSION_MORE);
    assert_int_equal(welcome(nonce_1, boot_a, 2, 3, false), SESSION_MORE);
    assert_int_equal(welcome(nonce_1, boot_a, 2, 2, true), SESSION_IGNORED);
    assert_int_equal(welcome(nonce_1, boot_a, 1, 1, false), SESSION_MORE);
    assert_int_equal(welcome(nonce_1, boot_a, 3, 1, false), SESSION_IGNORED); /* no such page */
    assert_int_equal(welcome(nonce_1, boot_a, 2, 1, true), SESSION_COMPLETE);
    assert_int_equal(session.whole.standing_count, 4);
    assert_int_equal(session.whole.commit, 123);
    assert_true(session.whole.restored); /* one counts for all */
    assert_int_equal(session.whole.limits.max_batch_records, 7);
    assert_int_equal(session.whole.table_count, 2); /* of the last part that came */
    assert_string_equal(session.whole.tables[1], "t1");
}

static void pages_of_one_boot_alone_make_a_welcome(void **state)
{
    (void)state;
    session_up(&session);
    say_hello(nonce_1, 2, 0);
    assert_int_equal(welcome(nonce_1, boot_a, 1, 1, false), SESSION_MORE);
    assert_int_equal(welcome(nonce_1, boot_b, 1, 1, false), SESSION_IGNORED); /* both answer */
    assert_int_equal(welcome(nonce_1, boot_a, 2, 1, false), SESSION_COMPLETE);
    assert_string_equal(session.whole.boot, boot_a);
}

static void ingest_that_goes_between_two_pages_is_asked_anew(void **state)
{
    (void)state;
    session_up(&session);
    say_hello(nonce_1, 2, 0);
    assert_int_equal(welcome(nonce_1, boot_a, 1, 1, false), SESSION_MORE);
    assert_int_equal(welcome(nonce_1, boot_b, 2, 1, false), SESSION_IGNORED);
    assert_false(session_hello_due(&session, 999));
    assert_true(session_hello_due(&session, 1000));
    say_hello(nonce_2, 1, 1000);
    assert_int_equal(welcome(nonce_2, boot_b, 1, 1, false), SESSION_COMPLETE);
    assert_int_equal(session.whole.standing_count, 1); /* nothing of the first answer */
}

static void announced_boot_that_is_another_makes_a_hello_due(void **state)
{
    (void)state;
    open_with(boot_a);
    assert_true(session_presence(&session, boot_a, true, 0, 1000)); /* it came online */
    assert_false(session_hello_due(&session, 0));
    assert_false(session_presence(&session, boot_a, true, 0, 1000));
    assert_true(session_presence(&session, boot_b, true, 0, 1000));
    assert_true(session_hello_due(&session, 0));
    assert_true(session_gate_open(&session)); /* until the hello goes */
}

static void ingest_that_goes_makes_no_hello_due(void **state)
{
    (void)state;
    open_with(boot_a);
    session_presence(&session, boot_a, true, 0, 1000);
    assert_false(session_presence(&session, "", false, 0, 1000));
    assert_false(session.ingest_online);
    assert_false(session_hello_due(&session, 0));
    assert_true(session_presence(&session, boot_a, true, 0, 1000)); /* back: delays start over */
    assert_false(session_hello_due(&session, 0));
}

static void ingest_that_goes_shuts_the_gate_and_is_probed(void **state)
{
    (void)state;
    open_with(boot_a);
    session_presence(&session, boot_a, true, 0, 1000);
    session_presence(&session, "", false, 100, 30000);
    assert_false(session_gate_open(&session));
    assert_false(session_hello_due(&session, 30099));
    session_presence(&session, "", false, 20000, 30000); /* known */
    assert_int_equal(session_deadline(&session), 30100);
    assert_true(session_hello_due(&session, 30100));
    session_presence(&session, boot_a, true, 30100, 1000); /* the same one is back */
    assert_true(session_gate_open(&session));
    assert_int_equal(session_deadline(&session), INT64_MAX);
}

static void welcome_counts_more_than_presence(void **state)
{
    (void)state;
    session_up(&session);
    session_presence(&session, "", false, 0, 30000); /* retained, of yesterday */
    say_hello(nonce_1, 1, 0);
    assert_int_equal(welcome(nonce_1, boot_a, 1, 1, false), SESSION_COMPLETE);
    session_open(&session);
    assert_true(session_gate_open(&session));
    assert_int_equal(session_deadline(&session), INT64_MAX);
}

static void refused_hello_waits_and_counts_once(void **state)
{
    (void)state;
    session_up(&session);
    say_hello(nonce_1, 1, 0);
    session_hello_refused(&session, 100, 30000);
    assert_false(session_hello_due(&session, 30099));
    assert_true(session_hello_due(&session, 30100));
    assert_int_equal(welcome(nonce_1, boot_a, 1, 1, false), SESSION_IGNORED);
}

static void ingest_that_comes_shortens_the_wait_of_a_hello(void **state)
{
    (void)state;
    session_up(&session);
    session_hello_sent(&session, nonce_1, 1, 0, 600000);
    assert_true(session_presence(&session, boot_a, true, 100, 1000));
    assert_false(session_hello_due(&session, 1099)); /* the first may still be answered */
    assert_true(session_hello_due(&session, 1100));
}

static void refusals_cause_few_hellos_and_leave_the_gate_open(void **state)
{
    (void)state;
    open_with(boot_a);
    session_refused(&session, 10000, 100);
    assert_true(session_hello_due(&session, 10000));
    assert_true(session_gate_open(&session));
    say_hello(nonce_2, 1, 10000);
    assert_int_equal(welcome(nonce_2, boot_a, 1, 1, false), SESSION_COMPLETE);
    session_open(&session);
    session_refused(&session, 14999, 100);
    assert_false(session_hello_due(&session, 14999));
    session_refused(&session, 15000, 2000); /* 4 x reply time is longer */
    assert_false(session_hello_due(&session, 15000));
    session_refused(&session, 18000, 2000);
    assert_true(session_hello_due(&session, 18000));
}

static void refusal_before_the_welcome_changes_nothing(void **state)
{
    (void)state;
    session_up(&session);
    say_hello(nonce_1, 1, 0);
    session_refused(&session, 10, 10);
    assert_false(session_hello_due(&session, 10));
}

static void notify_makes_a_hello_due(void **state)
{
    (void)state;
    open_with(boot_a);
    session_asked(&session);
    assert_true(session_hello_due(&session, 0));
    assert_int_equal(session_deadline(&session), INT64_MIN);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(gate_opens_with_the_welcome_alone),
        CASE(unanswered_hello_is_repeated),
        CASE(disconnect_forgets_the_nonce),
        CASE(disconnect_shuts_the_gate),
        CASE(second_welcome_of_a_hello_is_ignored),
        CASE(pages_and_parts_come_in_any_order_and_again),
        CASE(pages_of_one_boot_alone_make_a_welcome),
        CASE(ingest_that_goes_between_two_pages_is_asked_anew),
        CASE(announced_boot_that_is_another_makes_a_hello_due),
        CASE(ingest_that_goes_makes_no_hello_due),
        CASE(ingest_that_goes_shuts_the_gate_and_is_probed),
        CASE(welcome_counts_more_than_presence),
        CASE(refused_hello_waits_and_counts_once),
        CASE(ingest_that_comes_shortens_the_wait_of_a_hello),
        CASE(refusals_cause_few_hellos_and_leave_the_gate_open),
        CASE(refusal_before_the_welcome_changes_nothing),
        CASE(notify_makes_a_hello_due),
    };
#undef CASE

    return cmocka_run_group_tests(tests, NULL, NULL);
}
