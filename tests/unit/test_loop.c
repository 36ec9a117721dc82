#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/loop.h"

struct counter {
    struct sb_loop *loop;
    int calls;
    int last_fd;
    int remove;    /* remove this one when called, -1 = none */
    bool stop;     /* ask the loop to stop when called */
    bool consume;  /* read what is there */
    char bytes[8]; /* what was read last */
};

static int setup(void **state)
{
    struct sb_loop *loop = NULL;

    assert_int_equal(sb_loop_new(&loop, NULL), 0);
    *state = loop;
    return 0;
}

static int teardown(void **state)
{
    sb_loop_free(*state);
    return 0;
}

static void count_call(void *ctx, int fd)
{
    struct counter *counter = ctx;

    counter->calls++;
    counter->last_fd = fd;
    if (counter->consume)
        assert_true(read(fd, counter->bytes, sizeof(counter->bytes)) >= 0);
    if (counter->remove >= 0)
        sb_loop_remove(counter->loop, counter->remove);
    if (counter->stop)
        sb_loop_stop(counter->loop);
}

static int64_t now(void)
{
    return sb_clock_now().mono_ms;
}

static void make_pipe(int fds[2])
{
    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
}

static void close_pair(const int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}

static void put_byte(int fd)
{
    assert_int_equal(write(fd, "x", 1), 1);
}

static void a_ready_descriptor_calls_its_function(void **state)
{
    struct counter counter = {.loop = *state, .remove = -1, .consume = true};
    int fds[2];

    make_pipe(fds);
    assert_int_equal(sb_loop_add(*state, fds[0], count_call, &counter, NULL), 0);
    put_byte(fds[1]);
    sb_loop_wait(*state, INT64_MAX);
    assert_int_equal(counter.calls, 1);
    assert_int_equal(counter.last_fd, fds[0]);
    sb_loop_wait(*state, now());
    assert_int_equal(counter.calls, 1);
    close_pair(fds);
}

static void the_wait_ends_at_the_deadline_and_not_before(void **state)
{
    int64_t start = now();

    sb_loop_wait(*state, start + 60);
    assert_in_range(now() - start, 60, 2000);
    start = now();
    sb_loop_wait(*state, start - 5000);
    sb_loop_wait(*state, INT64_MIN);
    sb_loop_wait(*state, 0);
    assert_in_range(now() - start, 0, 2000);
}

/* A deadline that was waited for, replaced or given up must not ring later. */
static void a_deadline_is_forgotten_with_its_wait(void **state)
{
    struct counter counter = {.loop = *state, .remove = -1, .consume = true};
    int64_t start = now();
    int fds[2];

    make_pipe(fds);
    assert_int_equal(sb_loop_add(*state, fds[0], count_call, &counter, NULL), 0);
    put_byte(fds[1]);
    sb_loop_wait(*state, start + 20);
    assert_int_equal(counter.calls, 1);
    sb_loop_wait(*state, start + 120);
    assert_in_range(now() - start, 120, 2000);
    sb_loop_wait(*state, start + 140);
    sb_loop_wait(*state, start + 160);
    assert_in_range(now() - start, 160, 2000);
    close_pair(fds);
}

static void writability_is_told_only_when_wanted(void **state)
{
    struct counter counter = {.loop = *state, .remove = -1};
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(sb_loop_add(*state, fds[0], count_call, &counter, NULL), 0);
    sb_loop_wait(*state, now());
    assert_int_equal(counter.calls, 0);
    sb_loop_want_write(*state, fds[0], true);
    sb_loop_wait(*state, INT64_MAX);
    assert_int_equal(counter.calls, 1);
    sb_loop_want_write(*state, fds[0], false);
    sb_loop_want_write(*state, fds[0], false);
    sb_loop_wait(*state, now());
    assert_int_equal(counter.calls, 1);
    close_pair(fds);
}

static void a_peer_that_must_wait_wakes_nobody_until_it_hangs_up(void **state)
{
    struct counter counter = {.loop = *state, .remove = -1};
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(sb_loop_add(*state, fds[0], count_call, &counter, NULL), 0);
    sb_loop_want_read(*state, fds[0], false);
    put_byte(fds[1]);
    assert_int_equal(shutdown(fds[1], SHUT_WR), 0);
    sb_loop_wait(*state, now());
    assert_int_equal(counter.calls, 0);
    close(fds[1]);
    sb_loop_wait(*state, INT64_MAX);
    assert_int_equal(counter.calls, 1);
    sb_loop_remove(*state, fds[0]);
    close(fds[0]);
}

/* Both are ready in one turn; whichever comes first takes the other out, which must stay silent. */
static void removing_inside_a_callback_is_safe(void **state)
{
    struct counter first = {.loop = *state, .remove = -1}, second = first;
    int a[2], b[2];

    make_pipe(a);
    make_pipe(b);
    assert_int_equal(sb_loop_add(*state, a[0], count_call, &first, NULL), 0);
    assert_int_equal(sb_loop_add(*state, b[0], count_call, &second, NULL), 0);
    first.remove = b[0];
    second.remove = a[0];
    put_byte(a[1]);
    put_byte(b[1]);
    sb_loop_wait(*state, INT64_MAX);
    assert_int_equal(first.calls + second.calls, 1);
    sb_loop_wait(*state, now());
    assert_int_equal(first.calls + second.calls, 2);
    assert_true(first.calls == 0 || second.calls == 0);

    first.remove = second.remove = -1;
    sb_loop_remove(*state, a[0]);
    sb_loop_remove(*state, b[0]);
    sb_loop_remove(*state, b[0]);
    assert_int_equal(sb_loop_add(*state, b[0], count_call, &second, NULL), 0);
    second.remove = b[0];
    sb_loop_wait(*state, INT64_MAX);
    sb_loop_wait(*state, now());
    assert_int_equal(first.calls + second.calls, 3);
    close_pair(a);
    close_pair(b);
}

static void a_descriptor_that_cannot_be_watched_is_an_error(void **state)
{
    struct sb_err err;
    int fds[2];

    make_pipe(fds);
    close_pair(fds);
    assert_int_not_equal(sb_loop_add(*state, fds[0], count_call, NULL, &err), 0);
    assert_int_not_equal(err.code, SB_OK);
}

static void term_and_int_ask_to_stop(void **state)
{
    assert_false(sb_loop_stop_requested(*state));
    kill(getpid(), SIGTERM);
    sb_loop_wait(*state, INT64_MAX);
    assert_true(sb_loop_stop_requested(*state));
    assert_false(sb_loop_take_reload(*state));
    sb_loop_free(*state);
    assert_int_equal(setup(state), 0);
    assert_false(sb_loop_stop_requested(*state));
    kill(getpid(), SIGINT);
    sb_loop_wait(*state, INT64_MAX);
    assert_true(sb_loop_stop_requested(*state));
}

static void hup_is_a_reload_that_is_taken_once(void **state)
{
    kill(getpid(), SIGHUP);
    sb_loop_wait(*state, INT64_MAX);
    assert_false(sb_loop_stop_requested(*state));
    assert_true(sb_loop_take_reload(*state));
    assert_false(sb_loop_take_reload(*state));
}

static void a_write_to_a_closed_pipe_does_not_kill(void **state)
{
    int fds[2];

    (void)state;
    make_pipe(fds);
    close(fds[0]);
    assert_int_equal(write(fds[1], "x", 1), -1);
    assert_int_equal(errno, EPIPE);
    close(fds[1]);
}

static void a_callback_can_stop_the_loop(void **state)
{
    struct counter counter = {.loop = *state, .remove = -1, .stop = true, .consume = true};
    int fds[2];

    make_pipe(fds);
    assert_int_equal(sb_loop_add(*state, fds[0], count_call, &counter, NULL), 0);
    put_byte(fds[1]);
    while (!sb_loop_stop_requested(*state))
        sb_loop_wait(*state, INT64_MAX);
    assert_int_equal(counter.calls, 1);
    close_pair(fds);
}

/* A second SIGTERM while the daemon closes must not turn a clean end into a killed one. */
static void a_pending_signal_ends_with_the_loop(void **state)
{
    sigset_t mask;

    kill(getpid(), SIGTERM);
    sb_loop_free(*state);
    *state = NULL;
    assert_int_equal(sigprocmask(SIG_BLOCK, NULL, &mask), 0);
    assert_int_equal(sigismember(&mask, SIGTERM), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_ready_descriptor_calls_its_function),
        TEST(the_wait_ends_at_the_deadline_and_not_before),
        TEST(a_deadline_is_forgotten_with_its_wait),
        TEST(writability_is_told_only_when_wanted),
        TEST(a_peer_that_must_wait_wakes_nobody_until_it_hangs_up),
        TEST(removing_inside_a_callback_is_safe),
        TEST(a_descriptor_that_cannot_be_watched_is_an_error),
        TEST(term_and_int_ask_to_stop),
        TEST(hup_is_a_reload_that_is_taken_once),
        TEST(a_write_to_a_closed_pipe_does_not_kill),
        TEST(a_callback_can_stop_the_loop),
        TEST(a_pending_signal_ends_with_the_loop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
