#ifndef CLOUD_STREAM_CACHE_H
#define CLOUD_STREAM_CACHE_H

#include "store.h"

/* The interval state of recently used streams, so that new data is recognised without asking the
 * database. It holds only while nobody else writes: stream_cache_begin compares the store's stamp,
 * and after any transaction that failed everything is thrown away. Changes are made to the state in
 * memory and written once, before COMMIT. */
struct stream_cache;

struct stream_state {
    char device[SB_NAME_MAX + 1];
    char epoch[SB_EPOCH_LEN + 1];
    char stream[SB_STREAM_MAX + 1];
    struct stream_row row;
    int branches; /* of a branch 0: how many siblings there are */

    /* the span of device clocks that was read or written last, first = 0: none */
    struct clock_span span;

    /* the cache's own */
    struct stream_state *next, *newer, *older, *next_dirty;
    bool dirty;
};

struct stream_cache *stream_cache_new(struct store *store);
void stream_cache_free(struct stream_cache *cache);

/* After store_begin, before anything else of the transaction. */
int stream_cache_begin(struct stream_cache *cache, struct sb_err *err);

/* *state = NULL when there is no such stream. What is handed out stays where it is until the next
 * stream_cache_begin or stream_cache_forget. */
int stream_cache_get(struct stream_cache *cache, const char *device, const char *epoch,
                     const char *stream, int branch, struct stream_state **state,
                     struct sb_err *err);
/* As above, made when it is not there. SB_ELIMIT: see store_stream_add. */
int stream_cache_make(struct stream_cache *cache, const char *device, const char *epoch,
                      const char *stream, int branch, int64_t now_ms, struct stream_state **state,
                      struct sb_err *err);
/* The branch of `own` (a branch 0), made when it is the next one. */
int stream_cache_branch(struct stream_cache *cache, struct stream_state *own, int branch,
                        int64_t now_ms, struct stream_state **state, struct sb_err *err);

void stream_cache_touch(struct stream_cache *cache, struct stream_state *state); /* to be written */

/* Writes what was touched; before store_commit. */
int stream_cache_flush(struct stream_cache *cache, int64_t now_ms, struct sb_err *err);

void stream_cache_forget(struct stream_cache *cache);

void stream_cache_figures(const struct stream_cache *cache, uint64_t *hits, uint64_t *misses,
                          size_t *states);

#endif
