#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mailbox.h"

static struct sb_link_event message(const char *topic, const char *payload)
{
    struct sb_link_event event = {.kind = SB_LINK_MESSAGE, .topic = sb_xstrdup(topic)};

    sb_buf_add_str(&event.payload, payload);
    return event;
}

static bool post_message(struct sb_mailbox *box, const char *topic, const char *payload)
{
    struct sb_link_event event = message(topic, payload);

    return sb_mailbox_post(box, &event);
}

static void post_result(struct sb_mailbox *box, uint32_t token)
{
    struct sb_link_event event = {.kind = SB_LINK_PUBLISHED, .token = token};

    assert_true(sb_mailbox_post(box, &event));
}

static void post_state(struct sb_mailbox *box, enum sb_link_event_kind kind, const char *text)
{
    struct sb_link_event event = {.kind = kind};

    snprintf(event.err.msg, sizeof(event.err.msg), "%s", text);
    assert_true(sb_mailbox_post(box, &event));
}

static bool readable(struct sb_mailbox *box)
{
    struct pollfd poll_fd = {.fd = sb_mailbox_fd(box), .events = POLLIN};

    return poll(&poll_fd, 1, 0) == 1;
}

static void expect_message(struct sb_mailbox *box, const char *topic, const char *payload)
{
    struct sb_link_event event;

    assert_true(sb_mailbox_take(box, &event));
    assert_int_equal(event.kind, SB_LINK_MESSAGE);
    assert_string_equal(event.topic, topic);
    assert_string_equal(event.payload.data, payload);
    sb_link_event_fini(&event);
}

static void expect_result(struct sb_mailbox *box, uint32_t token)
{
    struct sb_link_event event;

    assert_true(sb_mailbox_take(box, &event));
    assert_int_equal(event.kind, SB_LINK_PUBLISHED);
    assert_int_equal(event.token, token);
    sb_link_event_fini(&event);
}

static void expect_state(struct sb_mailbox *box, enum sb_link_event_kind kind, const char *text)
{
    struct sb_link_event event;

    assert_true(sb_mailbox_take(box, &event));
    assert_int_equal(event.kind, kind);
    assert_string_equal(event.err.msg, text);
    sb_link_event_fini(&event);
}

static void expect_empty(struct sb_mailbox *box)
{
    struct sb_link_event event;

    assert_false(sb_mailbox_take(box, &event));
    assert_false(readable(box));
    assert_int_equal(sb_mailbox_waiting(box), 0);
}

static void events_come_out_in_the_order_posted(void **state)
{
    struct sb_mailbox *box = sb_mailbox_new(10, 1000, 10);

    (void)state;
    post_state(box, SB_LINK_UP, "");
    assert_true(post_message(box, "t", "one"));
    post_result(box, 7);
    assert_true(post_message(box, "t", "two"));
    post_state(box, SB_LINK_DOWN, "gone"); /* takes the unread UP's place: see below */
    assert_int_equal(sb_mailbox_waiting(box), 2);
    expect_message(box, "t", "one");
    expect_result(box, 7);
    expect_message(box, "t", "two");
    expect_state(box, SB_LINK_DOWN, "gone");
    expect_empty(box);
    sb_mailbox_free(box);
}

static void the_descriptor_is_readable_exactly_while_something_waits(void **state)
{
    struct sb_mailbox *box = sb_mailbox_new(2, 1000, 1);

    (void)state;
    assert_false(readable(box));
    assert_true(post_message(box, "t", "one"));
    assert_true(readable(box));
    assert_true(post_message(box, "t", "two"));
    assert_false(post_message(box, "t", "dropped"));
    expect_message(box, "t", "one");
    assert_true(readable(box));
    expect_message(box, "t", "two");
    assert_false(readable(box));
    post_state(box, SB_LINK_UP, "");
    post_state(box, SB_LINK_DOWN, "a");
    post_state(box, SB_LINK_DOWN, "b");
    assert_true(readable(box));
    expect_state(box, SB_LINK_DOWN, "b");
    expect_empty(box);
    post_result(box, 1);
    assert_true(readable(box));
    expect_result(box, 1);
    expect_empty(box);
    sb_mailbox_free(box);
}

static void a_message_beyond_the_count_is_dropped_and_counted(void **state)
{
    struct sb_mailbox *box = sb_mailbox_new(2, 1000, 1);

    (void)state;
    assert_true(post_message(box, "t", "one"));
    assert_true(post_message(box, "t", "two"));
    assert_false(post_message(box, "t", "three"));
    assert_false(post_message(box, "t", "four"));
    assert_int_equal(sb_mailbox_dropped(box), 2);
    assert_int_equal(sb_mailbox_waiting(box), 2);
    expect_message(box, "t", "one");
    assert_true(post_message(box, "t", "five"));
    expect_message(box, "t", "two");
    expect_message(box, "t", "five");
    expect_empty(box);
    assert_int_equal(sb_mailbox_dropped(box), 2);
    sb_mailbox_free(box);
}

/* 10 bytes: topic, payload and correlation count alike, so none of them can grow the box. */
static void a_message_beyond_the_bytes_is_dropped_and_counted(void **state)
{
    struct sb_mailbox *box = sb_mailbox_new(100, 10, 1);
    struct sb_link_event event = message("t", "1234567");

    (void)state;
    sb_buf_add_str(&event.correlation, "id");
    assert_true(sb_mailbox_post(box, &event));
    assert_false(post_message(box, "", "x"));
    assert_true(post_message(box, "", ""));
    expect_message(box, "t", "1234567");
    assert_false(post_message(box, "t", "1234567890"));
    assert_true(post_message(box, "tttttttttt", ""));
    event = message("", "");
    sb_buf_add_str(&event.correlation, "x");
    assert_false(sb_mailbox_post(box, &event));
    assert_int_equal(sb_mailbox_dropped(box), 3);
    sb_mailbox_free(box);
}

static void states_and_results_have_room_in_a_full_box(void **state)
{
    struct sb_mailbox *box = sb_mailbox_new(1, 100, 3);

    (void)state;
    assert_true(post_message(box, "t", "one"));
    assert_false(post_message(box, "t", "two"));
    assert_int_equal(sb_mailbox_result_room(box), 3);
    for (uint32_t token = 1; token <= 3; token++)
        post_result(box, token);
    assert_int_equal(sb_mailbox_result_room(box), 0);
    post_state(box, SB_LINK_DOWN, "gone");
    expect_message(box, "t", "one");
    for (uint32_t token = 1; token <= 3; token++)
        expect_result(box, token);
    assert_int_equal(sb_mailbox_result_room(box), 3);
    expect_state(box, SB_LINK_DOWN, "gone");
    expect_empty(box);
    sb_mailbox_free(box);
}

static void the_newest_state_replaces_an_unread_one(void **state)
{
    struct sb_mailbox *box = sb_mailbox_new(1, 100, 1);

    (void)state;
    for (int i = 0; i < 1000; i++)
        post_state(box, SB_LINK_DOWN, i < 999 ? "older" : "newest");
    expect_state(box, SB_LINK_DOWN, "newest");
    expect_empty(box);

    post_state(box, SB_LINK_UP, "1");
    post_state(box, SB_LINK_DOWN, "2");
    expect_state(box, SB_LINK_DOWN, "2");
    expect_empty(box);
    sb_mailbox_free(box);
}

static void an_up_after_a_down_keeps_both(void **state)
{
    struct sb_mailbox *box = sb_mailbox_new(1, 100, 1);

    (void)state;
    post_state(box, SB_LINK_DOWN, "1");
    post_state(box, SB_LINK_UP, "2");
    expect_state(box, SB_LINK_DOWN, "1");
    expect_state(box, SB_LINK_UP, "2");
    expect_empty(box);

    post_state(box, SB_LINK_DOWN, "1");
    post_state(box, SB_LINK_UP, "2");
    post_state(box, SB_LINK_DOWN, "3");
    post_state(box, SB_LINK_UP, "4");
    expect_state(box, SB_LINK_DOWN, "3");
    expect_state(box, SB_LINK_UP, "4");
    expect_empty(box);
    sb_mailbox_free(box);
}

static void what_nobody_took_is_freed_with_the_box(void **state)
{
    struct sb_mailbox *box = sb_mailbox_new(4, 100, 4);

    (void)state;
    assert_true(post_message(box, "t", "one"));
    post_result(box, 1);
    post_state(box, SB_LINK_DOWN, "");
    sb_mailbox_free(box);
    sb_mailbox_free(NULL);
}

/* ---- several threads ---- */

#define POSTERS     4
#define PER_POSTER  4000
#define BOX_LIMIT   64
#define RESULT_ROOM 32

struct poster {
    struct sb_mailbox *box;
    pthread_t thread;
    unsigned number;
    unsigned kept;
};

static void *post_many(void *arg)
{
    struct poster *poster = arg;
    char topic[16], payload[16];

    snprintf(topic, sizeof(topic), "%u", poster->number);
    for (unsigned i = 0; i < PER_POSTER; i++) {
        snprintf(payload, sizeof(payload), "%u", i);
        poster->kept += post_message(poster->box, topic, payload);
    }
    post_state(poster->box, SB_LINK_DOWN, "end");
    return NULL;
}

/* Takes until every message is accounted for: taken or dropped, and in order per poster. */
static void several_posters_lose_nothing_but_what_is_counted(void **state)
{
    struct sb_mailbox *box = sb_mailbox_new(BOX_LIMIT, BOX_LIMIT * 16, RESULT_ROOM);
    struct poster posters[POSTERS] = {{0}};
    long last[POSTERS];
    uint64_t taken = 0, kept = 0;
    struct sb_link_event event;

    (void)state;
    for (unsigned i = 0; i < POSTERS; i++) {
        last[i] = -1;
        posters[i] = (struct poster){.box = box, .number = i};
        assert_int_equal(pthread_create(&posters[i].thread, NULL, post_many, &posters[i]), 0);
    }
    while (taken + sb_mailbox_dropped(box) < (uint64_t)POSTERS * PER_POSTER) {
        struct pollfd poll_fd = {.fd = sb_mailbox_fd(box), .events = POLLIN};

        assert_true(sb_mailbox_waiting(box) <= BOX_LIMIT);
        if (poll(&poll_fd, 1, 1) == 1 && sb_mailbox_take(box, &event)) {
            if (event.kind == SB_LINK_MESSAGE) {
                unsigned from = (unsigned)strtoul(event.topic, NULL, 10);
                long number = strtol(event.payload.data, NULL, 10);

                assert_true(from < POSTERS && number > last[from]);
                last[from] = number;
                taken++;
            }
            sb_link_event_fini(&event);
        }
    }
    for (unsigned i = 0; i < POSTERS; i++) {
        assert_int_equal(pthread_join(posters[i].thread, NULL), 0);
        kept += posters[i].kept;
    }
    assert_int_equal(taken, kept);
    while (sb_mailbox_take(box, &event))
        sb_link_event_fini(&event);
    expect_empty(box);
    sb_mailbox_free(box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_out_in_the_order_posted),
        cmocka_unit_test(the_descriptor_is_readable_exactly_while_something_waits),
        cmocka_unit_test(a_message_beyond_the_count_is_dropped_and_counted),
        cmocka_unit_test(a_message_beyond_the_bytes_is_dropped_and_counted),
        cmocka_unit_test(states_and_results_have_room_in_a_full_box),
        cmocka_unit_test(the_newest_state_replaces_an_unread_one),
        cmocka_unit_test(an_up_after_a_down_keeps_both),
        cmocka_unit_test(what_nobody_took_is_freed_with_the_box),
        cmocka_unit_test(several_posters_lose_nothing_but_what_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
