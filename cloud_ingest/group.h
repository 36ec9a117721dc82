#ifndef CLOUD_GROUP_H
#define CLOUD_GROUP_H

#include "common/buf.h"
#include "common/err.h"

/* Group commit: messages wait for one another, bounded by records, bytes and milliseconds, and
 * share a transaction. What becomes of a failure is decided here and nowhere else:
 *
 *   no lock, no space, disk trouble   everything of the group is answered retry/busy
 *   another database under us         a new boot id is taken and the group run again
 *   COMMIT failed otherwise           each message again alone; if that fails too: no answer, it
 *                                     comes again
 *   anything else                     the message it was met at alone, and is answered
 *                                     retry/internal (retry/limit where it broke a limit); those
 *                                     before it again together, those behind it as if it had not
 *                                     been there */

struct group_message {
    struct group_message *next;
    char *topic;
    struct sb_buf payload;
    struct sb_buf correlation;
};

struct group_ops {
    int (*begin)(void *ctx, struct sb_err *err);
    /* *rows: records it had. */
    int (*apply)(void *ctx, const struct group_message *message, size_t *rows, struct sb_err *err);
    int (*commit)(void *ctx, struct sb_err *err);
    void (*undo)(void *ctx); /* after a failure: roll back, forget what was staged */
    void (*done)(void *ctx); /* after COMMIT, and after refuse: send */
    int (*renew)(void *ctx, struct sb_err *err); /* after SB_EHELLO: take a new boot id */
    void (*refuse)(void *ctx, const struct group_message *message, enum sb_code code,
                   const char *reason);
};

struct group;

struct group *group_new(size_t max_rows, size_t max_bytes, int64_t max_ms,
                        const struct group_ops *ops, void *ctx);
void group_free(struct group *group);

/* Copies the message in. */
void group_add(struct group *group, const char *topic, struct sb_span payload,
               struct sb_span correlation, int64_t now_ms);
bool group_full(const struct group *group); /* by bytes */
bool group_due(const struct group *group, int64_t now_ms);
int64_t group_deadline(const struct group *group); /* INT64_MAX when nothing waits */
size_t group_waiting(const struct group *group);

/* Runs everything that waits, in as many transactions as the bound on records asks for. Returns 0,
 * or -SB_ECORRUPT when the database is damaged. */
int group_run(struct group *group, struct sb_err *err);

struct group_figures {
    uint64_t commits, commit_failures, reruns, unanswered, largest;
};
const struct group_figures *group_figures(const struct group *group);

#endif
