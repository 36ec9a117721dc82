#ifndef EDGE_USER_FIGURES_H
#define EDGE_USER_FIGURES_H

#include "edge_agent/outbox_docs.h"

/* What `user list` and `status --user` show of one user, read from the outbox. */

struct user_figures {
    bool added; /* among the users that are pulled for */
    bool known; /* added, or with a stream or a document here */
    int64_t added_us, synced_us;
    uint64_t pending;   /* operations and records on their way, all streams of the user */
    uint64_t conflicts; /* open ones */
    uint64_t unsent;    /* documents with edits that only a switch holds back */
    uint64_t trouble;   /* documents of the cloud that could not be opened */
    int64_t last_upload_us, last_download_us; /* over all tables; 0 = never */
    int64_t last_sync_us; /* the newest of these and of the end of a full sync; 0 = never */
    uint64_t last_server_version;
};
int user_figures_read(struct outbox *ob, const char *user, struct user_figures *out,
                      struct sb_err *err);

/* Appends "auto_sync":{"settings":true,…} (settings, the declared tables and those with a switch)
 * and "sync":{"settings":true,"records":true,"history":true}. */
int user_figures_switches(struct outbox *ob, const char *user, struct sb_buf *out,
                          struct sb_err *err);
/* Appends "tables":[{"table","auto_sync","last_upload","last_download","last_server_version"}]. */
int user_figures_tables(struct outbox *ob, const char *user, struct sb_buf *out,
                        struct sb_err *err);
/* Appends "trouble":[{"table","id","code"}]: what could not be opened, and why. */
int user_figures_trouble(struct outbox *ob, const char *user, struct sb_buf *out,
                         struct sb_err *err);

/* The tables of a user that switches are for: settings, the declared ones, and those that have one
 * already; each once. */
int user_tables(struct outbox *ob, const char *user, int (*each)(void *ctx, const char *table),
                void *ctx, struct sb_err *err);

/* The classes of streams that a user has switches for. */
#define USER_CLASSES 3
extern const enum sb_up_class user_classes[USER_CLASSES];

#endif
