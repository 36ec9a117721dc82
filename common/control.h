#ifndef SB_CONTROL_H
#define SB_CONTROL_H

#include "buf.h"
#include "err.h"
#include "loop.h"

/* The daemons' Unix socket: one JSON object a line each way. A datagram of one byte ("w") to the
 * same path with ".wake" appended is the cheap "there is something new" of an enqueuing process. */

/* A longer line is answered "too_large" and ends the connection; one more client is answered "busy"
 * and closed. A client may send several lines at once; each is handed over after the answer to the
 * one before was read. A line whose client sent it and went is handed over all the same. */
#define SB_CONTROL_MAX_LINE    4194304
#define SB_CONTROL_MAX_CLIENTS 32

struct sb_control;

/* One line of one client, without its end; any bytes. Valid until the answer is given or the client
 * goes away; answer may be called later (a put that waits for its settlement) or at once, exactly
 * once. */
struct sb_control_call {
    struct sb_control *control;
    uint64_t client;
    struct sb_span line;
};

/* Listens at path (replacing a dead socket file), mode 0660, group `group` (NULL = the process's).
 * The path's folder must exist. on_call runs in sb_loop_wait; on_wake for one or more wake
 * datagrams (may be NULL: no wake socket). SB_ELOCKED when another process listens there,
 * SB_ECONFIG for a path that is too long or no socket and for an unknown group. */
int sb_control_listen(struct sb_loop *loop, const char *path, const char *group,
                      void (*on_call)(void *ctx, const struct sb_control_call *call),
                      void (*on_wake)(void *ctx), void *ctx, struct sb_control **out,
                      struct sb_err *err);
/* Removes the socket files, unless they are another process's by now. Not inside on_call. */
void sb_control_free(struct sb_control *control);

/* Sends one line to that client; false when it has gone (nothing to do about it). Line feeds inside
 * become blanks (in JSON they are white space). An answer over the limit is replaced by a
 * "too_large" one. */
bool sb_control_answer(struct sb_control *control, uint64_t client, struct sb_span line);
/* Whether that client still waits for its answer. */
bool sb_control_waits(struct sb_control *control, uint64_t client);

/* ---- the other end, for the command line ---- */

/* Sends one line and waits for one line. SB_ENOT_RUNNING when nobody listens there, SB_ETIMEOUT,
 * SB_ECLOSED when it ended without an answer, SB_EIO without permission. */
int sb_control_ask(const char *path, struct sb_span line, int timeout_ms, struct sb_buf *answer,
                   struct sb_err *err);
/* Best effort, never waits; false when nobody is there. */
bool sb_control_wake(const char *path);

#endif
