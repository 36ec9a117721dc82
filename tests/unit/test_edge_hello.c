/* The edge's core as a whole: the gate (D1). Nothing goes before the welcome, and what makes a
 * hello due. */
#include "edge_bench.h"

#include "common/log.h"

/* ---- D1: the gate ---- */

static void nothing_but_a_hello_goes_before_its_welcome(void **state)
{
    struct sb_hello hello;

    (void)state;
    kit_readings(3);
    bench_start();
    bench_tick();
    bench_assert_quiet(); /* not connected */
    bench_connect();
    bench_tick();
    bench_next_hello(&hello);
    assert_string_equal(hello.device, "edge-001");
    assert_string_equal(hello.device_boot, KIT_BOOT);
    assert_string_equal(hello.receipt.boot, "");
    assert_int_equal(hello.claims[0].made, 3);
    bench_pass(900);
    bench_tick();
    bench_assert_quiet();
    bench_welcome(hello.nonce, KIT_INGEST, 1, false);
    bench_tick();
    assert_string_equal(bench_next_batch(BENCH_AIR, 1, 3)->boot, KIT_INGEST);
    bench_assert_quiet();
    sb_hello_free(&hello);
}

static void hello_is_repeated_until_it_is_answered(void **state)
{
    struct sb_hello first, second;

    (void)state;
    bench_start();
    bench_connect();
    bench_tick();
    bench_next_hello(&first);
    bench_pass(1000);
    bench_tick();
    bench_next_hello(&second);
    assert_string_not_equal(first.nonce, second.nonce);
    bench_welcome(first.nonce, KIT_INGEST, 1, false); /* late */
    bench_tick();
    assert_false(bench_status().welcomed);
    bench_welcome(second.nonce, KIT_INGEST, 2, false);
    bench_tick();
    assert_true(bench_status().welcomed);
    sb_hello_free(&first);
    sb_hello_free(&second);
}

static void hello_waits_longer_while_no_ingest_is_there(void **state)
{
    struct sb_hello hello;

    (void)state;
    bench_start();
    bench_connect();
    bench_online(NULL);
    bench_tick();
    bench_next_hello(&hello);
    bench_pass(29000);
    bench_tick();
    bench_assert_quiet();
    bench_online(KIT_OTHER); /* somebody came: soon */
    bench_tick();
    bench_pass(1000);
    bench_tick();
    sb_hello_free(&hello);
    bench_next_hello(&hello);
    sb_hello_free(&hello);
}

static void new_boot_of_the_ingest_makes_a_hello(void **state)
{
    struct sb_hello hello;

    (void)state;
    kit_readings(1);
    bench_open();
    bench_answer(bench_next_batch(BENCH_AIR, 1, 1), NULL);
    bench_tick();
    bench_online(KIT_OTHER);
    kit_readings(1);
    edge_wake(bench.edge);
    bench_tick();
    bench_next_hello(&hello); /* and not the new reading */
    assert_string_equal(hello.receipt.boot, KIT_INGEST);
    assert_int_equal(hello.receipt.commit, 2);
    bench_assert_quiet();
    bench_welcome(hello.nonce, KIT_OTHER, 1, false);
    bench_tick();
    assert_string_equal(bench_next_batch(BENCH_AIR, 2, 2)->boot, KIT_OTHER);
    sb_hello_free(&hello);
}

static void only_the_hello_goes_while_the_ingest_is_away(void **state)
{
    struct sb_hello hello;

    (void)state;
    kit_readings(1);
    bench_open();
    bench_next_batch(BENCH_AIR, 1, 1);
    bench_online(NULL);
    kit_readings(1);
    edge_wake(bench.edge);
    bench_tick();
    assert_false(bench_status().welcomed);
    bench_pass(29000);
    bench_tick();
    bench_assert_quiet(); /* neither the new one nor what was never answered */
    bench_pass(1000);
    bench_tick();
    bench_next_hello(&hello);
    bench_assert_quiet();
    bench_welcome(hello.nonce, KIT_INGEST, 2, false); /* it is there, whatever its presence says */
    bench_tick();
    bench_next_batch(BENCH_AIR, 1, 2);
    sb_hello_free(&hello);
}

static void refused_hello_is_shown_and_said_again_later_and_ever_later(void **state)
{
    static const int64_t waits[] = {30000, 60000};
    struct sb_hello hello;

    (void)state;
    kit_readings(1);
    bench_start();
    bench_connect();
    bench_tick();
    for (size_t i = 0; i < 2; i++) {
        bench_next_hello(&hello);
        bench_refuse_hello(hello.nonce, SB_EREVOKED);
        bench_tick();
        assert_int_equal(bench_status().last_error.code, SB_EREVOKED);
        assert_int_equal(bench_status().late_replies, 0);
        bench_pass(waits[i] - 1);
        bench_tick();
        bench_assert_quiet();
        bench_pass(1);
        bench_tick();
        sb_hello_free(&hello);
    }
    bench_next_hello(&hello);
    bench_welcome(hello.nonce, KIT_INGEST, 1, false);
    bench_tick();
    bench_next_batch(BENCH_AIR, 1, 1);
    sb_hello_free(&hello);
}

static void large_hello_goes_in_pages_and_waits_for_all_answers(void **state)
{
    struct sb_ranges settled = {0}, none = {0};
    struct sb_hello pages[8];
    size_t count;

    (void)state;
    for (int epoch = 0; epoch < 2; epoch++) {
        if (epoch > 0)
            kit_new_epoch();
        for (int i = 0; i < 10; i++)
            kit_readings(1000);
        sb_ranges_clear(&settled);
        for (uint64_t seq = 1; seq <= 10000; seq += 2)
            sb_ranges_add(&settled, seq, seq);
        kit_load(BENCH_AIR);
        kit_begin();
        assert_int_equal(
            outbox_set_settled(kit_ob, kit_load(BENCH_AIR)->s, &settled, &none, &kit_err), 0);
        kit_commit();
    }
    bench_start();
    bench_connect();
    bench_tick();
    count = bench.count;
    assert_in_range(count, 2, 8);
    for (size_t i = 0; i < count; i++) {
        bench_next_hello(&pages[i]);
        assert_int_equal(pages[i].page, i + 1);
        assert_int_equal(pages[i].pages, count);
        assert_string_equal(pages[i].nonce, pages[0].nonce);
    }
    bench_puback_all();
    bench_welcome(pages[0].nonce, KIT_INGEST, 1, false); /* answers page 1 of 1 part */
    bench_tick();
    assert_false(bench_status().welcomed);
    bench_assert_quiet();
    for (size_t i = 0; i < count; i++)
        sb_hello_free(&pages[i]);
    sb_ranges_free(&settled);
}

static void notify_makes_a_hello(void **state)
{
    struct sb_buf json = {0};
    struct sb_hello hello;

    (void)state;
    bench_open();
    sb_buf_add_str(&json, "{\"v\":1,\"kind\":\"notify\",\"hello\":true}");
    bench_send("notify", &json, true); /* retained: not for us */
    bench_tick();
    bench_assert_quiet();
    bench_send("notify", &json, false);
    assert_int_equal(edge_deadline(bench.edge), INT64_MIN);
    bench_tick();
    bench_next_hello(&hello);
    sb_hello_free(&hello);
    sb_buf_free(&json);
}

static void all_epochs_are_named_and_sent_in_their_order(void **state)
{
    struct sb_hello hello;

    (void)state;
    kit_edit("op-a");
    kit_new_epoch();
    kit_edit("op-b");
    bench_start();
    bench_connect();
    bench_tick();
    bench_next_hello(&hello);
    assert_int_equal(hello.epoch_count, 2);
    assert_string_equal(hello.epoch, hello.epochs[1]);
    bench_welcome(hello.nonce, KIT_INGEST, 1, false);
    bench_tick();
    assert_string_equal(bench_next_batch(BENCH_USER, 1, 1)->epoch, hello.epochs[0]);
    bench_assert_quiet();
    bench_answer(&bench.sent[1], NULL);
    bench_tick();
    assert_string_equal(bench_next_batch(BENCH_USER, 1, 1)->epoch, hello.epochs[1]);
    sb_hello_free(&hello);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        CASE(nothing_but_a_hello_goes_before_its_welcome),
        CASE(hello_is_repeated_until_it_is_answered),
        CASE(hello_waits_longer_while_no_ingest_is_there),
        CASE(new_boot_of_the_ingest_makes_a_hello),
        CASE(only_the_hello_goes_while_the_ingest_is_away),
        CASE(refused_hello_is_shown_and_said_again_later_and_ever_later),
        CASE(large_hello_goes_in_pages_and_waits_for_all_answers),
        CASE(notify_makes_a_hello),
        CASE(all_epochs_are_named_and_sent_in_their_order),
    };
#undef CASE

    sb_log_init("test_edge_hello", SB_LOG_BUG, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
