#ifndef EDGE_IMPORT_H
#define EDGE_IMPORT_H

#include "edge_agent/enqueue.h"
#include "edge_agent/extract.h"

/* Files of readings or command history → the outbox. Rows are committed in groups together with the
 * place they were read to, so an import that was stopped at any moment goes on behind its last
 * committed row: every row once. What was read before is read again to find that place (headers in
 * mid-file decide how a row is read), not enqueued again. */

#define IMPORT_GROUP_ROWS  1000
#define IMPORT_GROUP_BYTES 262144

struct import_report {
    uint64_t lines;    /* read this time, of all kinds */
    uint64_t before;   /* rows that an earlier run had read */
    uint64_t enqueued; /* committed */
    uint64_t local;    /* taken, but a switch is off: not queued */
    uint64_t skipped;  /* blank, header and skip lines */
    uint64_t rejected;
    uint64_t reasons[EXTRACT_REASON_COUNT]; /* of these, by reason ... */
    uint64_t codes[SB_CODE_COUNT];          /* ... and EXTRACT_REFUSED by the agent's code */
    uint64_t bytes;                         /* of text, after inflating */
};

struct import_hooks {
    /* A line was refused. reason: a name of EXTRACT_REASONS, or of an SB_CODE. */
    void (*rejected)(void *ctx, uint64_t line, const char *reason, const char *why);
    /* After each commit; place: how far the file itself is read, in bytes. */
    void (*committed)(void *ctx, const struct import_report *report, uint64_t place);
    void *ctx;
};

struct import_options {
    const char *path;   /* "-" = standard input (from where it stands, no cursor) */
    const char *source; /* name of the cursor, NULL = none */
    struct sb_stream stream;
    struct extract_map *map; /* one of extract_map_default is completed from the file's header */
    bool again;              /* from the start, whatever was read before */
    struct import_hooks hooks;
};

/* Plain or gzip. Rejected rows are no error. SB_ENOT_FOUND and other errors of the file,
 * SB_ECONFIG (the header does not fit the map), SB_EBAD_VALUE (the file is not the one that was
 * read last time), the outbox's errors: what was committed before stays, and *report says how much.
 */
int import_file(struct outbox *ob, struct enqueue *eq, const struct import_options *options,
                struct import_report *report, struct sb_err *err);

#endif
