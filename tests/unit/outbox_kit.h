#ifndef OUTBOX_KIT_H
#define OUTBOX_KIT_H

/* What the tests of the outbox share: one on a real file or in memory, chunks in it, its rows,
 * holes and dead letters as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "edge_agent/outbox.h"

extern struct sb_rng box_rng;
extern struct outbox *box_ob;
extern struct sb_err box_err;
extern struct sb_now box_now; /* of what is appended */
extern char box_folder[64];   /* of the file; nothing in memory */
extern char box_path[96];
extern bool box_in_memory;
extern const struct sb_stream box_air, box_settings;
extern const char box_boot_id[];

/* cmocka setup and teardown: a new outbox in a temporary folder, or in the memory database that the
 * simulator uses. Most cases run on both. */
int box_setup_file(void **state);
int box_setup_memory(void **state);
int box_teardown(void **state);

#define BOX_BOTH(f)                                                                                \
    cmocka_unit_test_setup_teardown(f, box_setup_file, box_teardown),                              \
        cmocka_unit_test_setup_teardown(f, box_setup_memory, box_teardown)
#define BOX_ON_FILE(f) cmocka_unit_test_setup_teardown(f, box_setup_file, box_teardown)

/* One more handle of the same outbox; max_bytes 0 = no limit. Returns what outbox_open said. */
int box_open_again(struct outbox **out, int64_t max_bytes);

void box_begin(void);
void box_commit(void);

/* Inside the caller's transaction: a chunk of `count` records, body their text; id "" = none. */
int box_append_to(struct outbox *handle, const struct sb_stream *stream, const char *body,
                  uint64_t count, const char *id, struct outbox_place *place);
/* The same, committed. */
void box_put(const struct sb_stream *stream, const char *body, uint64_t count, const char *id,
             struct outbox_place *place);
/* Five readings in one chunk; an edit of the settings. */
void box_put_five(void);
void box_put_edit(const char *op_id, struct outbox_place *place);

void box_set_settled(int64_t s, uint64_t lo, uint64_t hi);
/* Those numbers are settled and their rows old: so many are deleted. */
void box_purge_all(int64_t s, uint64_t lo, uint64_t hi, int expected);

struct box_stream {
    const char *name;
    struct sb_stream stream;
    int64_t s;
    uint64_t made, bytes;
    int streams;
    struct sb_buf settled;
};
/* For outbox_streams: fills a struct box_stream whose name is set; the last one of that name
 * counts. */
int box_look_for_stream(void *ctx, const struct outbox_stream *stream);
/* The newest stream of that name; its settled set is not kept. */
struct box_stream box_find(const char *name);
int64_t box_key_of(const char *name);

/* The rows as "<first>-<last> <body> op=<id>;…", and the numbers that they cover. */
void box_assert_rows(int64_t s, const char *expected);
void box_assert_covered(int64_t s, const char *expected);
/* The kept figure of bytes is what the rows have. */
void box_assert_bytes_counted(const char *name);
/* Holes as "<first>-<last> <reason> <ops>;…" */
void box_assert_holes(const char *expected);
/* Dead letters as "<stream> <seq> <code> (<reason>) <body>;…", " again" where one is to be tried
 * again. Returns the id of the last one. */
int64_t box_assert_dead(const char *expected);

struct box_epochs {
    int count;
    char last[SB_EPOCH_LEN + 1];
};
/* For outbox_epochs: counts them, and keeps the name of the last one. */
int box_note_epoch(void *ctx, int64_t n, const char *epoch);

#endif
