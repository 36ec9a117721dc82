#ifndef SB_CONTROL_H
#define SB_CONTROL_H

#include "buf.h"
#include "err.h"
#include "loop.h"

/* The daemons' Unix socket: one JSON object a line each way. A datagram of one byte ("w") to the
 * same path with ".wake" appended is the cheap "there is something new" of an enqueuing process. */

#define SB_CONTROL_MAX_LINE    4194304
#define SB_CONTROL_MAX_CLIENTS 32

struct sb_control;

/* One line of one client. Valid until the answer is given or the client goes away; answer may be
 * called later (a put that waits for its settlement) or at once, exactly once. */
struct sb_control_call {
    struct sb_control *control;
    uint64_t client;
    struct sb_span line;
};

/* Listens at path (replacing a dead socket file), mode 0660, group `group` (NULL = the process's).
 * The path's folder must exist. on_call runs in sb_loop_wait; on_wake for a wake datagram (may be
 * NULL). */
int sb_control_listen(struct sb_loop *loop, const char *path, const char *group,
                      void (*on_call)(void *ctx, const struct sb_control_call *call),
                      void (*on_wake)(void *ctx), void *ctx, struct sb_control **out,
                      struct sb_err *err);
void sb_control_free(struct sb_control *control); /* removes the socket files */

/* Sends one line to that client; false when it has gone (nothing to do about it). */
bool sb_control_answer(struct sb_control *control, uint64_t client, struct sb_span line);

/* ---- the other end, for the command line ---- */

/* Sends one line and waits for one line. SB_ENOT_RUNNING when nobody listens there, SB_ETIMEOUT. */
int sb_control_ask(const char *path, struct sb_span line, int timeout_ms, struct sb_buf *answer,
                   struct sb_err *err);
/* Best effort, never waits; false when nobody is there. */
bool sb_control_wake(const char *path);

#endif
