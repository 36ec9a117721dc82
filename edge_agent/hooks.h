#ifndef EDGE_HOOKS_H
#define EDGE_HOOKS_H

#include <sys/types.h>

#include "common/buf.h"
#include "common/err.h"

/* What happens outside the agent when a document changed: it is written to a file of its own and a
 * command is run. Both in one child process, so that neither a slow disk nor a slow command ever
 * holds up the owner thread. One child at a time; who comes next is the caller's business.
 *
 * The child opens the folders one by one without following links, writes a temporary file, syncs
 * it, renames it over the old one (mode 0640, folders 0750) and becomes the command. The command
 * has the agent's environment and SB_USER, SB_TABLE, SB_ID and, with a folder, SB_FILE; standard
 * input is empty, what it prints goes to the agent's log. */

struct hooks_config {
    const char *folder;  /* "" = no files */
    const char *command; /* "" = none; words as hooks_split reads them */
    int64_t timeout_ms;  /* of the child; then it and what it started are killed */
};

struct hooks_document {
    const char *user, *table, *id;
    struct sb_span text; /* JSON; a line feed is added */
    bool deleted;        /* the file is removed; text is not looked at */
};

struct hooks;

/* SB_ECONFIG: a folder that is no absolute path, a command with an open quote, or whose program is
 * not found. */
int hooks_new(const struct hooks_config *config, struct hooks **out, struct sb_err *err);
/* A child that runs is asked to end, and killed after half a second. */
void hooks_free(struct hooks *hooks);

/* Starts the child for one document. None may run (SB_CHECK). SB_EIO where no process can be made.
 */
int hooks_start(struct hooks *hooks, const struct hooks_document *doc, int64_t now_ms,
                struct sb_err *err);
bool hooks_busy(const struct hooks *hooks);
/* Readable when the child has ended; -1 while none runs. */
int hooks_fd(const struct hooks *hooks);
/* When the child has to have ended; INT64_MAX while none runs. */
int64_t hooks_deadline(const struct hooks *hooks);

enum hooks_result {
    HOOKS_RUNNING,   /* or nothing runs */
    HOOKS_DONE,      /* file and command went well */
    HOOKS_UNWRITTEN, /* the file could not be written; the command was not run */
    HOOKS_FAILED     /* the command: could not be run, ended with another status, or was killed */
};
/* Looks whether the child has ended, or ends it when its time is over. err for the last two. */
enum hooks_result hooks_poll(struct hooks *hooks, int64_t now_ms, struct sb_err *err);

/* A command line into words: blanks part them; '…' keeps everything, "…" everything but \" and \\,
 * outside quotes a backslash keeps the next byte. No other character has a meaning: there is no
 * shell. words is NULL-terminated, in one piece of memory: free(*words). SB_ECONFIG for an open
 * quote or no word at all. */
int hooks_split(const char *command, char ***words, struct sb_err *err);

#endif
