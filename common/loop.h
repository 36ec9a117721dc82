#ifndef SB_LOOP_H
#define SB_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

/* The owner thread's wait: file descriptors (epoll), one deadline, signals (signalfd for SIGTERM,
 * SIGINT, SIGHUP; SIGPIPE ignored). Single-threaded. */
struct sb_loop;

int sb_loop_new(struct sb_loop **out, struct sb_err *err); /* blocks the signals: call before
                                                              any thread is made */
void sb_loop_free(struct sb_loop *loop);

/* Calls fn(ctx, fd) in sb_loop_wait whenever fd is readable (or writable when want_write). */
int sb_loop_add(struct sb_loop *loop, int fd, void (*fn)(void *ctx, int fd), void *ctx,
                struct sb_err *err);
void sb_loop_want_write(struct sb_loop *loop, int fd, bool on); /* at first false */
/* At first true. False is for a peer that must wait: then fn is called for a hangup alone. */
void sb_loop_want_read(struct sb_loop *loop, int fd, bool on);
void sb_loop_remove(struct sb_loop *loop, int fd); /* safe inside a callback; does not close it */

/* Waits until a descriptor is ready, the deadline (monotonic ms, sb_clock_now; INT64_MAX = none)
 * has come or a signal arrived, and runs the callbacks. With the deadline in the past it only looks
 * once. Time spent in suspend counts. */
void sb_loop_wait(struct sb_loop *loop, int64_t deadline_ms);

bool sb_loop_stop_requested(const struct sb_loop *loop); /* SIGTERM, SIGINT or sb_loop_stop */
bool sb_loop_take_reload(struct sb_loop *loop);          /* SIGHUP since the last call */
void sb_loop_stop(struct sb_loop *loop);

#endif
