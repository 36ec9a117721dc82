#ifndef EDGE_CLI_PUT_INPUT_H
#define EDGE_CLI_PUT_INPUT_H

#include "edge_agent/cli/agent_cli.h"

/* What `put` and `records put` share: one record as argument, or many as NDJSON on standard input,
 * enqueued here or by the daemon, with the cloud's answer where somebody waits for it. */

struct put;

/* What differs. record: JSON text; id: of the caller, "" without. */
struct put_kind {
    /* The record and the id of one line; the id's buffer is empty. */
    int (*split)(struct put *put, struct sb_span line, struct sb_span *record, struct sb_buf *id,
                 struct sb_err *err);
    /* Adds it to the open group; errors as enqueue_record. */
    int (*enqueue)(struct put *put, struct sb_span record, struct sb_span id,
                   struct enqueue_receipt *receipt, struct sb_err *err);
    /* Members of the call to the daemon, the verb first; record was checked as JSON. */
    void (*request)(struct put *put, struct sb_span record, struct sb_span id);
};

struct put {
    struct sb_cli *cli;
    const struct put_kind *kind;
    void *own; /* the kind's */
    struct agent_config config;
    struct agent_cli_outbox outbox;
    char stream_text[SB_STREAM_MAX + 1];
    bool by_daemon; /* no right to write the file */
    bool json;
    struct sb_buf out, request, answer;

    /* standard input */
    struct enqueue_receipt *receipts; /* of the open group */
    uint64_t *lines;                  /* the line each came from */
    size_t count, bytes;
    uint64_t queued, refused, local;
};

/* Enqueues `record`, or where its data is NULL what standard input brings, and frees everything.
 * cli, kind, own, config, stream_text and json are set. wait_ms 0: not waited for. Returns the exit
 * status. */
int put_run(struct put *put, struct sb_span record, struct sb_span id, int64_t wait_ms);

/* Says what went wrong, for a line where it is not 0; returns the exit status. */
int put_fail(struct put *put, uint64_t line, const struct sb_err *err);

extern const struct sb_json_limits put_limits; /* of one record */

#endif
