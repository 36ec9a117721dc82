/* Who is online, by the retained states. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "cloud_ingest/fleet.h"

static struct fleet *fleet;

static int setup(void **state)
{
    (void)state;
    fleet = fleet_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fleet_free(fleet);
    return 0;
}

static bool say(const char *topic, const char *payload)
{
    return fleet_message(fleet, topic, sb_span_of(payload));
}

static void join(void *ctx, const char *device)
{
    sb_buf_add_fmt(ctx, "%s ", device);
}

static void the_last_state_of_each_device_is_known(void **state)
{
    struct sb_buf names = {0};

    (void)state;
    assert_true(say("sb/v1/state/b", "{\"v\":1,\"state\":\"online\",\"queue\":{}}"));
    assert_true(say("sb/v1/state/a", "{\"state\":\"online\"}"));
    assert_true(say("sb/v1/state/c", "{\"state\":\"lost\"}"));
    assert_true(say("sb/v1/state/d", "{\"state\":\"offline\"}"));
    assert_int_equal(fleet_online(fleet), 2);
    fleet_each_online(fleet, join, &names);
    assert_string_equal(names.data, "a b ");
    assert_int_equal(fleet_get(fleet, "c"), FLEET_LOST);
    assert_int_equal(fleet_get(fleet, "d"), FLEET_OFFLINE);
    assert_int_equal(fleet_get(fleet, "e"), FLEET_UNKNOWN);
    assert_true(say("sb/v1/state/a", "{\"state\":\"offline\"}"));
    assert_true(say("sb/v1/state/a", "{\"state\":\"offline\"}"));
    assert_int_equal(fleet_online(fleet), 1);
    sb_buf_free(&names);
}

static void what_cannot_be_read_is_unknown(void **state)
{
    static const char *const payloads[] = {"",
                                           "x",
                                           "[]",
                                           "{}",
                                           "{\"state\":1}",
                                           "{\"state\":\"up\"}",
                                           "{\"state\":\"online\",\"state\":\"online\"}"};

    (void)state;
    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
        say("sb/v1/state/a", "{\"state\":\"online\"}");
        assert_true(say("sb/v1/state/a", payloads[i]));
        assert_int_equal(fleet_get(fleet, "a"), FLEET_UNKNOWN);
        assert_int_equal(fleet_online(fleet), 0);
    }
}

static void other_topics_are_no_states(void **state)
{
    (void)state;
    assert_false(say("sb/v1/state/", "{\"state\":\"online\"}"));
    assert_false(say("sb/v1/state/_ingest-1", "{\"state\":\"online\"}"));
    assert_false(say("sb/v1/state/a/b", "{\"state\":\"online\"}"));
    assert_false(say("sb/v1/up/00/a/ctl", "{\"state\":\"online\"}"));
    assert_int_equal(fleet_online(fleet), 0);
}

static void a_link_that_is_down_knows_nothing(void **state)
{
    (void)state;
    say("sb/v1/state/a", "{\"state\":\"online\"}");
    fleet_forget(fleet);
    assert_int_equal(fleet_online(fleet), 0);
    assert_int_equal(fleet_get(fleet, "a"), FLEET_UNKNOWN);
    say("sb/v1/state/a", "{\"state\":\"online\"}");
    assert_int_equal(fleet_online(fleet), 1);
}

static void there_is_a_limit(void **state)
{
    char topic[64];

    (void)state;
    for (int i = 0; i < FLEET_MAX + 5; i++) {
        snprintf(topic, sizeof(topic), "sb/v1/state/d%d", i);
        assert_true(say(topic, "{\"state\":\"online\"}"));
    }
    assert_int_equal(fleet_online(fleet), FLEET_MAX);
    say("sb/v1/state/d0", "");
    say(topic, "{\"state\":\"online\"}");
    assert_int_equal(fleet_online(fleet), FLEET_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_last_state_of_each_device_is_known, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_read_is_unknown, setup, teardown),
        cmocka_unit_test_setup_teardown(other_topics_are_no_states, setup, teardown),
        cmocka_unit_test_setup_teardown(a_link_that_is_down_knows_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(there_is_a_limit, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
