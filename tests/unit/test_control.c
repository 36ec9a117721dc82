#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cli.h"
#include "common/clock.h"
#include "common/control.h"

#define LATER_MAX 64

/* A server whose answers are the lines themselves with "re:" before them, or without it those that
 * begin with a brace and "success"; a line that begins with "later" is kept unanswered in `later`.
 */
struct server {
    char dir[64];
    char path[96];
    struct sb_loop *loop;
    struct sb_control *control;
    struct sb_err err;
    int calls;
    int wakes;
    uint64_t later[LATER_MAX];
    int later_count;
    size_t last_len;
    bool last_answer;
};

static void on_call(void *ctx, const struct sb_control_call *call)
{
    struct server *server = ctx;
    struct sb_buf answer = {0};

    server->calls++;
    server->last_len = call->line.len;
    if (call->line.len >= 5 && memcmp(call->line.data, "later", 5) == 0) {
        assert_true(server->later_count < LATER_MAX);
        server->later[server->later_count++] = call->client;
        return;
    }
    if (call->line.len < 10 || memcmp(call->line.data, "{\"success\"", 10) != 0)
        sb_buf_add_str(&answer, "re:");
    sb_buf_add_span(&answer, call->line);
    server->last_answer = sb_control_answer(call->control, call->client, sb_buf_span(&answer));
    sb_buf_free(&answer);
}

static void on_wake(void *ctx)
{
    struct server *server = ctx;

    server->wakes++;
}

static void listen_again(struct server *server)
{
    int rc = sb_control_listen(server->loop, server->path, NULL, on_call, on_wake, server,
                               &server->control, &server->err);

    if (rc != 0)
        print_error("%s\n", server->err.msg);
    assert_int_equal(rc, 0);
}

static int setup(void **state)
{
    struct server *server = calloc(1, sizeof(*server));

    snprintf(server->dir, sizeof(server->dir), "/tmp/sb-control-XXXXXX");
    assert_non_null(mkdtemp(server->dir));
    snprintf(server->path, sizeof(server->path), "%s/sock", server->dir);
    assert_int_equal(sb_loop_new(&server->loop, NULL), 0);
    listen_again(server);
    *state = server;
    return 0;
}

static int teardown(void **state)
{
    struct server *server = *state;

    sb_control_free(server->control);
    sb_loop_free(server->loop);
    assert_int_equal(rmdir(server->dir), 0); /* the socket files are gone */
    free(server);
    return 0;
}

/* ---- a client in the same thread ---- */

static int client_new(const struct server *server)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", server->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void client_send(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Turns the loop until it has nothing more to do. */
static void turn(struct server *server)
{
    int64_t start = sb_clock_now().mono_ms;

    for (int i = 0; i < 20; i++)
        sb_loop_wait(server->loop, 0);
    assert_in_range(sb_clock_now().mono_ms - start, 0, 5000);
}

/* Nothing is to be done: the loop sleeps until the deadline. */
static void assert_idle(struct server *server)
{
    int64_t start = sb_clock_now().mono_ms;

    sb_loop_wait(server->loop, start + 50);
    assert_in_range(sb_clock_now().mono_ms - start, 50, 5000);
}

/* Everything the client can read now; "closed" is added when the server has closed. */
static const char *client_read(int fd)
{
    static char text[1024];
    size_t len = 0;
    ssize_t n;

    while ((n = recv(fd, text + len, sizeof(text) - 16 - len, 0)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    if (n == 0 || errno == ECONNRESET)
        memcpy(text + len, "closed", sizeof("closed"));
    return text;
}

static void assert_contains(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", part, text);
}

static void a_line_is_answered_with_a_line(void **state)
{
    struct server *server = *state;
    int fd = client_new(server);

    client_send(fd, "hel");
    turn(server);
    assert_int_equal(server->calls, 0);
    client_send(fd, "lo\n");
    turn(server);
    assert_string_equal(client_read(fd), "re:hello\n");
    client_send(fd, "\n");
    turn(server);
    assert_string_equal(client_read(fd), "re:\n");
    close(fd);
    turn(server);
}

static void concurrent_clients_get_their_own_answers(void **state)
{
    struct server *server = *state;
    int fds[SB_CONTROL_MAX_CLIENTS];
    char text[32];

    for (int i = 0; i < SB_CONTROL_MAX_CLIENTS; i++) {
        fds[i] = client_new(server);
        snprintf(text, sizeof(text), "%d\n", i);
        client_send(fds[i], text);
    }
    turn(server);
    for (int i = 0; i < SB_CONTROL_MAX_CLIENTS; i++) {
        snprintf(text, sizeof(text), "re:%d\n", i);
        assert_string_equal(client_read(fds[i]), text);
        close(fds[i]);
    }
    turn(server);
}

static void one_client_too_many_is_told_so(void **state)
{
    struct server *server = *state;
    int fds[SB_CONTROL_MAX_CLIENTS + 1];

    for (int i = 0; i <= SB_CONTROL_MAX_CLIENTS; i++)
        fds[i] = client_new(server);
    turn(server);
    assert_contains(client_read(fds[SB_CONTROL_MAX_CLIENTS]), "\"code\":\"busy\"");
    assert_contains(client_read(fds[SB_CONTROL_MAX_CLIENTS]), "closed");
    close(fds[SB_CONTROL_MAX_CLIENTS]);
    close(fds[0]);
    turn(server);
    fds[0] = client_new(server);
    client_send(fds[0], "room again\n");
    turn(server);
    assert_string_equal(client_read(fds[0]), "re:room again\n");
    for (int i = 0; i < SB_CONTROL_MAX_CLIENTS; i++)
        close(fds[i]);
    turn(server);
}

/* Otherwise the waiting connection would keep the listener ready and the loop spinning. */
static void a_process_without_descriptors_refuses_and_recovers(void **state)
{
    struct server *server = *state;
    struct rlimit before, tight;
    int fd = client_new(server);

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    tight = before;
    tight.rlim_cur = (rlim_t)fd + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    turn(server);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_contains(client_read(fd), "\"code\":\"busy\"");
    assert_idle(server);
    close(fd);
    fd = client_new(server);
    client_send(fd, "again\n");
    turn(server);
    assert_string_equal(client_read(fd), "re:again\n");
    close(fd);
    turn(server);
}

static void several_lines_at_once_are_answered_in_order(void **state)
{
    struct server *server = *state;
    int fd = client_new(server);

    client_send(fd, "one\ntwo\nlater\nthree\nfour");
    turn(server);
    assert_string_equal(client_read(fd), "re:one\nre:two\n");
    assert_int_equal(server->calls, 3);
    assert_true(sb_control_answer(server->control, server->later[0], SB_SPAN("late")));
    assert_int_equal(server->calls, 3); /* not inside the answer */
    turn(server);
    assert_string_equal(client_read(fd), "late\nre:three\n");
    client_send(fd, "\n");
    turn(server);
    assert_string_equal(client_read(fd), "re:four\n");
    close(fd);
    turn(server);
}

static void an_answer_may_come_later_to_each_in_any_order(void **state)
{
    struct server *server = *state;
    int a = client_new(server), b = client_new(server);

    client_send(a, "later a\n");
    turn(server);
    client_send(b, "later b\n");
    turn(server);
    assert_true(sb_control_answer(server->control, server->later[1], SB_SPAN("b")));
    assert_string_equal(client_read(a), "");
    assert_string_equal(client_read(b), "b\n");
    assert_true(sb_control_answer(server->control, server->later[0], SB_SPAN("a")));
    assert_string_equal(client_read(a), "a\n");
    close(a);
    close(b);
    turn(server);
}

static void an_answer_to_one_who_went_away_is_false(void **state)
{
    struct server *server = *state;
    int fd = client_new(server);

    client_send(fd, "later\n");
    turn(server);
    close(fd);
    turn(server);
    assert_false(sb_control_answer(server->control, server->later[0], SB_SPAN("x")));

    fd = client_new(server);
    client_send(fd, "later\n");
    turn(server);
    close(fd); /* this time nobody has noticed yet */
    assert_false(sb_control_answer(server->control, server->later[1], SB_SPAN("x")));
    turn(server);
    assert_false(sb_control_answer(server->control, server->later[1], SB_SPAN("x")));
    assert_false(sb_control_answer(server->control, 4711, SB_SPAN("x")));
}

static void a_line_of_one_who_left_at_once_is_still_handed_over(void **state)
{
    struct server *server = *state;
    int fd = client_new(server);

    client_send(fd, "fire and forget\n");
    close(fd);
    turn(server);
    assert_int_equal(server->calls, 1);
    assert_int_equal(server->last_len, strlen("fire and forget"));
}

/* As `printf ... | socat - UNIX:...` does. */
static void a_client_that_has_ended_its_side_gets_its_answer(void **state)
{
    struct server *server = *state;
    int fd = client_new(server);

    client_send(fd, "one\nlater\n");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    turn(server);
    assert_string_equal(client_read(fd), "re:one\n");
    assert_idle(server);
    assert_true(sb_control_answer(server->control, server->later[0], SB_SPAN("late")));
    turn(server);
    assert_string_equal(client_read(fd), "late\nclosed");
    close(fd);
}

/* Sends `len` bytes and what comes after while turning the loop. */
static void send_long(struct server *server, int fd, size_t len, const char *tail)
{
    char *text = malloc(len + strlen(tail));
    size_t total = len + strlen(tail), sent = 0;

    assert_non_null(text);
    memset(text, 'x', len);
    memcpy(text + len, tail, strlen(tail));
    for (int i = 0; i < 100000 && sent < total; i++) {
        ssize_t n = send(fd, text + sent, total - sent, MSG_NOSIGNAL);

        if (n > 0)
            sent += (size_t)n;
        else if (errno != EAGAIN)
            break;
        sb_loop_wait(server->loop, 0);
    }
    free(text);
}

static void a_line_at_the_limit_is_taken_and_one_beyond_is_refused(void **state)
{
    struct server *server = *state;
    int fd = client_new(server);

    send_long(server, fd, SB_CONTROL_MAX_LINE - 5, "");
    assert_int_equal(server->calls, 0);
    client_send(fd, "later\n");
    turn(server);
    assert_int_equal(server->calls, 1);
    assert_int_equal(server->last_len, SB_CONTROL_MAX_LINE);
    assert_contains(client_read(fd), "too_large"); /* "re:" made the answer longer than allowed */
    close(fd);
    turn(server);

    fd = client_new(server);
    send_long(server, fd, SB_CONTROL_MAX_LINE + 1, "\n");
    turn(server);
    assert_int_equal(server->calls, 1);
    assert_contains(client_read(fd), "\"code\":\"too_large\"");
    assert_contains(client_read(fd), "closed");
    close(fd);

    fd = client_new(server);
    send_long(server, fd, 2 * (size_t)SB_CONTROL_MAX_LINE, "");
    turn(server);
    assert_int_equal(server->calls, 1);
    assert_contains(client_read(fd), "\"code\":\"too_large\"");
    close(fd);
    turn(server);
}

/* 1 MB does not fit a socket's buffer: the rest waits, further lines wait behind it, and the loop
 * does not turn idly while the client reads nothing. */
static void a_client_that_reads_slowly_gets_everything(void **state)
{
    struct server *server = *state;
    int fd = client_new(server), other = client_new(server);
    size_t len = 1000000, got = 0;
    static char text[65536];
    ssize_t n;

    send_long(server, fd, len, "\nnext\n");
    turn(server);
    assert_int_equal(server->calls, 1);
    client_send(other, "quick\n");
    turn(server);
    assert_string_equal(client_read(other), "re:quick\n");
    assert_idle(server);
    for (int i = 0; i < 100000 && got < 3 + len + 1 + 8; i++) {
        n = recv(fd, text, sizeof(text), 0);
        if (n > 0)
            got += (size_t)n;
        sb_loop_wait(server->loop, 0);
    }
    assert_int_equal(got, 3 + len + 1 + 8);
    assert_int_equal(server->calls, 3);
    close(fd);
    close(other);
    turn(server);
}

static void a_line_feed_inside_an_answer_becomes_a_blank(void **state)
{
    struct server *server = *state;
    int fd = client_new(server);

    client_send(fd, "later\n");
    turn(server);
    assert_true(sb_control_answer(server->control, server->later[0], SB_SPAN("{\"a\":\n1}\n")));
    assert_string_equal(client_read(fd), "{\"a\": 1} \n");
    close(fd);
    turn(server);
}

/* ---- the socket files ---- */

static void the_sockets_are_for_owner_and_group(void **state)
{
    struct server *server = *state;
    struct group *group = getgrgid(getgid());
    char wake[112];
    struct stat st;

    snprintf(wake, sizeof(wake), "%s.wake", server->path);
    assert_int_equal(stat(server->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    assert_int_equal(stat(wake, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    sb_control_free(server->control);
    server->control = NULL;
    assert_int_equal(access(server->path, F_OK), -1);
    assert_int_equal(access(wake, F_OK), -1);

    assert_int_equal(sb_control_listen(server->loop, server->path, "no-such-group", on_call, NULL,
                                       server, &server->control, &server->err),
                     -SB_ECONFIG);
    assert_contains(server->err.msg, "no-such-group");
    assert_int_equal(access(server->path, F_OK), -1);
    assert_non_null(group);
    assert_int_equal(sb_control_listen(server->loop, server->path, group->gr_name, on_call, NULL,
                                       server, &server->control, &server->err),
                     0);
    assert_int_equal(stat(server->path, &st), 0);
    assert_int_equal(st.st_gid, getgid());
    assert_int_equal(access(wake, F_OK), -1);
}

static void a_live_socket_is_not_taken_over(void **state)
{
    struct server *server = *state;
    struct sb_control *second = NULL;

    assert_int_equal(sb_control_listen(server->loop, server->path, NULL, on_call, on_wake, server,
                                       &second, &server->err),
                     -SB_ELOCKED);
    assert_contains(server->err.msg, server->path);
    assert_int_equal(access(server->path, F_OK), 0);
    assert_true(sb_control_wake(server->path));
}

/* What kill -9 leaves: socket files that nobody has open. */
static void leave_dead_socket(const char *path, const char *suffix, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s%s", path, suffix);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
}

static void a_dead_socket_file_is_replaced(void **state)
{
    struct server *server = *state;
    struct sb_buf answer = {0};

    sb_control_free(server->control);
    server->control = NULL;
    leave_dead_socket(server->path, "", SOCK_STREAM);
    leave_dead_socket(server->path, ".wake", SOCK_DGRAM);
    assert_int_equal(sb_control_ask(server->path, SB_SPAN("x"), 1000, &answer, &server->err),
                     -SB_ENOT_RUNNING);
    assert_false(sb_control_wake(server->path));
    listen_again(server);
    assert_true(sb_control_wake(server->path));
}

static void a_file_that_is_no_socket_is_left_alone(void **state)
{
    struct server *server = *state;
    struct sb_control *control = NULL;
    char path[112];
    int fd;

    snprintf(path, sizeof(path), "%s/file", server->dir);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(
        sb_control_listen(server->loop, path, NULL, on_call, NULL, server, &control, &server->err),
        -SB_ECONFIG);
    assert_contains(server->err.msg, "not a socket");
    assert_int_equal(unlink(path), 0);
}

static void a_path_that_cannot_be_is_an_error(void **state)
{
    struct server *server = *state;
    struct sb_control *control = NULL;
    struct sb_buf answer = {0};
    char path[200];

    snprintf(path, sizeof(path), "%s/%0110d", server->dir, 0);
    assert_int_equal(
        sb_control_listen(server->loop, path, NULL, on_call, NULL, server, &control, &server->err),
        -SB_ECONFIG);
    assert_contains(server->err.msg, "102 bytes");
    assert_int_equal(sb_control_ask(path, SB_SPAN("x"), 100, &answer, &server->err), -SB_ECONFIG);
    assert_false(sb_control_wake(path));
    snprintf(path, sizeof(path), "%s/none/sock", server->dir);
    assert_int_equal(
        sb_control_listen(server->loop, path, NULL, on_call, NULL, server, &control, &server->err),
        -SB_ENOT_FOUND);
    assert_null(control);
}

static void a_socket_of_another_process_survives_the_end_of_ours(void **state)
{
    struct server *server = *state;
    struct sb_control *old = server->control;

    assert_int_equal(unlink(server->path), 0);
    server->control = NULL;
    assert_int_equal(sb_control_listen(server->loop, server->path, NULL, on_call, NULL, server,
                                       &server->control, &server->err),
                     0);
    sb_control_free(old);
    assert_int_equal(access(server->path, F_OK), 0);
}

/* ---- wake ---- */

static void many_wakes_are_one_call_and_never_wait(void **state)
{
    struct server *server = *state;

    for (int i = 0; i < 1000; i++)
        assert_true(sb_control_wake(server->path));
    turn(server);
    assert_in_range(server->wakes, 1, 20);
    server->wakes = 0;
    turn(server);
    assert_int_equal(server->wakes, 0);
    assert_true(sb_control_wake(server->path));
    turn(server);
    assert_int_equal(server->wakes, 1);
}

static void a_wake_without_a_daemon_is_false(void **state)
{
    struct server *server = *state;

    assert_false(sb_control_wake("/nonexistent/sock"));
    sb_control_free(server->control);
    server->control = NULL;
    assert_false(sb_control_wake(server->path));
}

/* ---- sb_control_ask, from a thread of its own ---- */

struct asker {
    const char *path;
    struct sb_span line;
    int timeout_ms;
    bool as_cli; /* as a command line does: the answer is read */
    struct sb_buf answer;
    struct sb_err err;
    int rc;
    pthread_t thread;
    int done_pipe[2];
};

static void *ask_in_thread(void *arg)
{
    struct asker *asker = arg;

    if (asker->as_cli)
        asker->rc = sb_cli_ask(NULL, asker->path, asker->line, asker->timeout_ms, &asker->answer,
                               &asker->err);
    else
        asker->rc = sb_control_ask(asker->path, asker->line, asker->timeout_ms, &asker->answer,
                                   &asker->err);
    if (write(asker->done_pipe[1], "x", 1) != 1)
        abort();
    return NULL;
}

static void on_done(void *ctx, int fd)
{
    char byte;

    assert_int_equal(read(fd, &byte, 1), 1);
    *(bool *)ctx = true;
}

/* Turns the server's loop until the asker has its answer. */
static void run_asker(struct server *server, struct asker *asker)
{
    int64_t limit = sb_clock_now().mono_ms + 20000;
    bool done = false;

    assert_int_equal(pipe(asker->done_pipe), 0);
    assert_int_equal(sb_loop_add(server->loop, asker->done_pipe[0], on_done, &done, &server->err),
                     0);
    assert_int_equal(pthread_create(&asker->thread, NULL, ask_in_thread, asker), 0);
    while (!done && sb_clock_now().mono_ms < limit)
        sb_loop_wait(server->loop, limit);
    assert_true(done);
    assert_int_equal(pthread_join(asker->thread, NULL), 0);
    sb_loop_remove(server->loop, asker->done_pipe[0]);
    close(asker->done_pipe[0]);
    close(asker->done_pipe[1]);
}

static void ask_gets_the_answer(void **state)
{
    struct server *server = *state;
    struct asker asker = {
        .path = server->path, .line = SB_SPAN("{\"verb\":\n\"x\"}"), .timeout_ms = 10000};

    run_asker(server, &asker);
    assert_int_equal(asker.rc, 0);
    assert_string_equal(asker.answer.data, "re:{\"verb\": \"x\"}");
    assert_int_equal(asker.answer.len, strlen(asker.answer.data));
    sb_buf_free(&asker.answer);
}

static void ask_carries_large_lines_both_ways(void **state)
{
    struct server *server = *state;
    struct asker asker = {.path = server->path, .timeout_ms = 20000};
    struct sb_buf line = {0};

    sb_buf_reserve(&line, SB_CONTROL_MAX_LINE - 3);
    memset(line.data, 'y', SB_CONTROL_MAX_LINE - 3);
    line.len = SB_CONTROL_MAX_LINE - 3;
    asker.line = sb_buf_span(&line);
    run_asker(server, &asker);
    assert_int_equal(asker.rc, 0);
    assert_int_equal(asker.answer.len, SB_CONTROL_MAX_LINE);
    assert_memory_equal(asker.answer.data + 3, line.data, line.len);
    sb_buf_free(&asker.answer);

    sb_buf_add_str(&line, "12345");
    asker.line = sb_buf_span(&line);
    run_asker(server, &asker);
    assert_int_equal(asker.rc, 0);
    assert_contains(asker.answer.data, "too_large");
    sb_buf_free(&asker.answer);
    sb_buf_free(&line);
}

/* Three documents of a conflict may have more values than a message to the cloud. */
static void a_command_line_reads_answers_with_very_many_values(void **state)
{
    struct server *server = *state;
    struct asker asker = {.path = server->path, .timeout_ms = 20000, .as_cli = true};
    struct sb_buf line = {0};

    sb_buf_add_str(&line, "{\"success\":true,\"data\":[0");
    for (int i = 0; i < 300000; i++)
        sb_buf_add_str(&line, ",0");
    sb_buf_add_str(&line, "]}");
    asker.line = sb_buf_span(&line);
    run_asker(server, &asker);
    if (asker.rc != 0)
        fail_msg("%s", asker.err.msg);
    assert_int_equal(asker.answer.len, line.len);
    sb_buf_free(&asker.answer);
    sb_buf_free(&line);
}

static void ask_does_not_wait_for_ever(void **state)
{
    struct server *server = *state;
    struct asker asker = {.path = server->path, .line = SB_SPAN("later"), .timeout_ms = 80};
    int64_t start = sb_clock_now().mono_ms;

    run_asker(server, &asker);
    assert_int_equal(asker.rc, -SB_ETIMEOUT);
    assert_in_range(sb_clock_now().mono_ms - start, 80, 10000);
    turn(server);
    assert_false(sb_control_answer(server->control, server->later[0], SB_SPAN("x")));
    sb_buf_free(&asker.answer);
}

static void ask_says_when_nobody_runs(void **state)
{
    struct server *server = *state;
    struct sb_buf answer = {0};

    sb_control_free(server->control);
    server->control = NULL;
    assert_int_equal(sb_control_ask(server->path, SB_SPAN("x"), 1000, &answer, &server->err),
                     -SB_ENOT_RUNNING);
    assert_contains(server->err.msg, server->path);
    assert_int_equal(sb_exit_status(server->err.code), 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_command_line_reads_answers_with_very_many_values),
        TEST(a_line_is_answered_with_a_line),
        TEST(concurrent_clients_get_their_own_answers),
        TEST(one_client_too_many_is_told_so),
        TEST(a_process_without_descriptors_refuses_and_recovers),
        TEST(several_lines_at_once_are_answered_in_order),
        TEST(an_answer_may_come_later_to_each_in_any_order),
        TEST(an_answer_to_one_who_went_away_is_false),
        TEST(a_line_of_one_who_left_at_once_is_still_handed_over),
        TEST(a_client_that_has_ended_its_side_gets_its_answer),
        TEST(a_line_at_the_limit_is_taken_and_one_beyond_is_refused),
        TEST(a_client_that_reads_slowly_gets_everything),
        TEST(a_line_feed_inside_an_answer_becomes_a_blank),
        TEST(the_sockets_are_for_owner_and_group),
        TEST(a_live_socket_is_not_taken_over),
        TEST(a_dead_socket_file_is_replaced),
        TEST(a_file_that_is_no_socket_is_left_alone),
        TEST(a_path_that_cannot_be_is_an_error),
        TEST(a_socket_of_another_process_survives_the_end_of_ours),
        TEST(many_wakes_are_one_call_and_never_wait),
        TEST(a_wake_without_a_daemon_is_false),
        TEST(ask_gets_the_answer),
        TEST(ask_carries_large_lines_both_ways),
        TEST(ask_does_not_wait_for_ever),
        TEST(ask_says_when_nobody_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
