#include "loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "check.h"

#define EVENTS_PER_WAIT 32

struct watch {
    TAILQ_ENTRY(watch) link;
    int fd; /* -1: removed, freed when the turn has ended */
    uint32_t events;
    void (*fn)(void *ctx, int fd);
    void *ctx;
};

TAILQ_HEAD(watch_list, watch);

struct sb_loop {
    int epoll, timer, signals;
    int64_t armed_ms; /* what the timer is set to */
    sigset_t mask_before;
    struct watch_list watches;
    struct watch_list removed; /* events of this turn may still point to these */
    bool stop, reload;
};

static sigset_t handled_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    return set;
}

static void on_signals(void *ctx, int fd)
{
    struct sb_loop *loop = ctx;
    struct signalfd_siginfo info;

    while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGHUP)
            loop->reload = true;
        else
            loop->stop = true;
    }
}

static void on_timer(void *ctx, int fd)
{
    struct sb_loop *loop = ctx;
    uint64_t expirations;

    if (read(fd, &expirations, sizeof(expirations)) > 0)
        loop->armed_ms = INT64_MAX;
}

static int open_descriptors(struct sb_loop *loop, struct sb_err *err)
{
    sigset_t set = handled_signals();

    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0)
        return sb_fail_errno(err, errno, "loop: epoll");
    loop->timer = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (loop->timer < 0)
        return sb_fail_errno(err, errno, "loop: timerfd");
    loop->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (loop->signals < 0)
        return sb_fail_errno(err, errno, "loop: signalfd");
    return 0;
}

int sb_loop_new(struct sb_loop **out, struct sb_err *err)
{
    struct sb_loop *loop = sb_xcalloc(1, sizeof(*loop));
    sigset_t set = handled_signals();
    int rc;

    TAILQ_INIT(&loop->watches);
    TAILQ_INIT(&loop->removed);
    loop->epoll = loop->timer = loop->signals = -1;
    loop->armed_ms = INT64_MAX;
    SB_CHECK(pthread_sigmask(SIG_BLOCK, &set, &loop->mask_before) == 0);
    signal(SIGPIPE, SIG_IGN);
    rc = open_descriptors(loop, err);
    if (rc == 0)
        rc = sb_loop_add(loop, loop->signals, on_signals, loop, err);
    if (rc == 0)
        rc = sb_loop_add(loop, loop->timer, on_timer, loop, err);
    if (rc != 0) {
        sb_loop_free(loop);
        return rc;
    }
    *out = loop;
    return 0;
}

static void free_list(struct watch_list *list)
{
    struct watch *watch;

    while ((watch = TAILQ_FIRST(list)) != NULL) {
        TAILQ_REMOVE(list, watch, link);
        free(watch);
    }
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

void sb_loop_free(struct sb_loop *loop)
{
    if (loop == NULL)
        return;
    /* A signal that is still pending was meant for the loop, not to kill what comes after it. */
    if (loop->signals >= 0)
        on_signals(loop, loop->signals);
    pthread_sigmask(SIG_SETMASK, &loop->mask_before, NULL);
    free_list(&loop->watches);
    free_list(&loop->removed);
    close_if_open(loop->signals);
    close_if_open(loop->timer);
    close_if_open(loop->epoll);
    free(loop);
}

static struct watch *find(struct sb_loop *loop, int fd)
{
    struct watch *watch;

    TAILQ_FOREACH(watch, &loop->watches, link)
    {
        if (watch->fd == fd)
            return watch;
    }
    return NULL;
}

int sb_loop_add(struct sb_loop *loop, int fd, void (*fn)(void *ctx, int fd), void *ctx,
                struct sb_err *err)
{
    struct watch *watch = sb_xcalloc(1, sizeof(*watch));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = watch};

    SB_CHECK(find(loop, fd) == NULL);
    *watch = (struct watch){.fd = fd, .events = EPOLLIN, .fn = fn, .ctx = ctx};
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        free(watch);
        return sb_fail_errno(err, errno, "loop: add descriptor %d", fd);
    }
    TAILQ_INSERT_TAIL(&loop->watches, watch, link);
    return 0;
}

static void want(struct sb_loop *loop, int fd, uint32_t flag, bool on)
{
    struct watch *watch = find(loop, fd);
    struct epoll_event event = {.data.ptr = watch};

    SB_CHECK(watch != NULL);
    event.events = on ? watch->events | flag : watch->events & ~flag;
    if (event.events == watch->events)
        return;
    watch->events = event.events;
    SB_CHECK(epoll_ctl(loop->epoll, EPOLL_CTL_MOD, fd, &event) == 0);
}

void sb_loop_want_write(struct sb_loop *loop, int fd, bool on)
{
    want(loop, fd, EPOLLOUT, on);
}

void sb_loop_want_read(struct sb_loop *loop, int fd, bool on)
{
    want(loop, fd, EPOLLIN, on);
}

void sb_loop_remove(struct sb_loop *loop, int fd)
{
    struct watch *watch = find(loop, fd);

    if (watch == NULL)
        return;
    epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, NULL);
    watch->fd = -1;
    TAILQ_REMOVE(&loop->watches, watch, link);
    TAILQ_INSERT_TAIL(&loop->removed, watch, link);
}

/* An absolute time on the clock that sb_clock_now reads. A time in the past would disarm at 0. */
static void arm(struct sb_loop *loop, int64_t deadline_ms)
{
    struct itimerspec spec = {0};

    if (deadline_ms == loop->armed_ms)
        return;
    if (deadline_ms != INT64_MAX) {
        if (deadline_ms < 1)
            deadline_ms = 1;
        spec.it_value.tv_sec = (time_t)(deadline_ms / 1000);
        spec.it_value.tv_nsec = (long)(deadline_ms % 1000) * 1000000;
    }
    SB_CHECK(timerfd_settime(loop->timer, TFD_TIMER_ABSTIME, &spec, NULL) == 0);
    loop->armed_ms = deadline_ms;
}

void sb_loop_wait(struct sb_loop *loop, int64_t deadline_ms)
{
    struct epoll_event events[EVENTS_PER_WAIT];
    int count;

    arm(loop, deadline_ms);
    do
        count = epoll_wait(loop->epoll, events, EVENTS_PER_WAIT, -1);
    while (count < 0 && errno == EINTR);
    SB_CHECK(count >= 0);
    for (int i = 0; i < count; i++) {
        struct watch *watch = events[i].data.ptr;

        if (watch->fd >= 0)
            watch->fn(watch->ctx, watch->fd);
    }
    free_list(&loop->removed);
}

bool sb_loop_stop_requested(const struct sb_loop *loop)
{
    return loop->stop;
}

bool sb_loop_take_reload(struct sb_loop *loop)
{
    bool reload = loop->reload;

    loop->reload = false;
    return reload;
}

void sb_loop_stop(struct sb_loop *loop)
{
    loop->stop = true;
}
