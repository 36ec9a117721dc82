#include "stream_cache.h"

#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "limits.h"

#define BUCKETS 4096 /* a power of two */

struct stream_cache {
    struct store *store;
    struct stream_state *buckets[BUCKETS];
    struct stream_state *newest, *oldest;
    struct stream_state *dirty;
    size_t states;
    unsigned begins; /* since the bound was last looked at */
    int64_t stamp;
    uint64_t hits, misses;
};

struct stream_cache *stream_cache_new(struct store *store)
{
    struct stream_cache *cache = sb_xcalloc(1, sizeof(*cache));

    cache->store = store;
    cache->stamp = -1;
    return cache;
}

void stream_cache_free(struct stream_cache *cache)
{
    if (cache == NULL)
        return;
    stream_cache_forget(cache);
    free(cache);
}

static uint64_t mix(uint64_t hash, const char *text)
{
    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return (hash ^ 0xff) * UINT64_C(0x100000001b3);
}

static struct stream_state **bucket_of(struct stream_cache *cache, const char *device,
                                       const char *epoch, const char *stream, int branch)
{
    uint64_t hash = mix(mix(mix(UINT64_C(0xcbf29ce484222325), device), epoch), stream);

    hash = (hash ^ (unsigned)branch) * UINT64_C(0x9e3779b97f4a7c15);
    return &cache->buckets[hash >> 32 & (BUCKETS - 1)];
}

static size_t intervals_of(const struct stream_state *state)
{
    return state->row.decided.count + state->row.holes.count + state->row.unnamed.count +
           state->row.dropped.count;
}

/* ---- the list by last use ---- */

static void unlink_use(struct stream_cache *cache, struct stream_state *state)
{
    if (state->newer != NULL)
        state->newer->older = state->older;
    else
        cache->newest = state->older;
    if (state->older != NULL)
        state->older->newer = state->newer;
    else
        cache->oldest = state->newer;
}

static void link_use(struct stream_cache *cache, struct stream_state *state)
{
    state->newer = NULL;
    state->older = cache->newest;
    if (cache->newest != NULL)
        cache->newest->newer = state;
    else
        cache->oldest = state;
    cache->newest = state;
}

static void drop(struct stream_cache *cache, struct stream_state *state)
{
    struct stream_state **at =
        bucket_of(cache, state->device, state->epoch, state->stream, state->row.branch);

    while (*at != state)
        at = &(*at)->next;
    *at = state->next;
    unlink_use(cache, state);
    cache->states--;
    stream_row_free(&state->row);
    free(state);
}

#define TRIM_EVERY 64 /* transactions */

/* Sets grow while they are used, so the bound is looked at between transactions; not each time,
 * that would cost more than a small one. */
static void trim(struct stream_cache *cache)
{
    size_t intervals = 0;

    if (++cache->begins < TRIM_EVERY && cache->states <= LIMIT_CACHED_STREAMS)
        return;
    cache->begins = 0;
    for (struct stream_state *state = cache->newest; state != NULL; state = state->older)
        intervals += intervals_of(state);
    while (cache->states > LIMIT_CACHED_STREAMS ||
           (intervals > LIMIT_CACHED_INTERVALS && cache->oldest != NULL)) {
        intervals -= intervals_of(cache->oldest);
        drop(cache, cache->oldest);
    }
}

void stream_cache_forget(struct stream_cache *cache)
{
    while (cache->oldest != NULL)
        drop(cache, cache->oldest);
    cache->dirty = NULL;
    cache->stamp = -1;
}

int stream_cache_begin(struct stream_cache *cache, struct sb_err *err)
{
    int64_t stamp;
    int rc = store_stamp(cache->store, &stamp, err);

    if (rc != 0)
        return rc;
    SB_CHECK(cache->dirty == NULL);
    if (stamp != cache->stamp)
        stream_cache_forget(cache);
    cache->stamp = stamp;
    trim(cache);
    return 0;
}

/* ---- states ---- */

static struct stream_state *find(struct stream_cache *cache, const char *device, const char *epoch,
                                 const char *stream, int branch)
{
    struct stream_state *state = *bucket_of(cache, device, epoch, stream, branch);

    while (state != NULL &&
           (state->row.branch != branch || strcmp(state->stream, stream) != 0 ||
            strcmp(state->device, device) != 0 || strcmp(state->epoch, epoch) != 0))
        state = state->next;
    if (state != NULL && state != cache->newest) {
        unlink_use(cache, state);
        link_use(cache, state);
    }
    return state;
}

static void copy(char *to, size_t size, const char *from)
{
    size_t len = strlen(from);

    SB_CHECK(len < size);
    memcpy(to, from, len + 1);
}

static struct stream_state *insert(struct stream_cache *cache, const char *device,
                                   const char *epoch, const char *stream,
                                   const struct stream_row *row, int branches)
{
    struct stream_state *state = sb_xcalloc(1, sizeof(*state));
    struct stream_state **bucket = bucket_of(cache, device, epoch, stream, row->branch);

    copy(state->device, sizeof(state->device), device);
    copy(state->epoch, sizeof(state->epoch), epoch);
    copy(state->stream, sizeof(state->stream), stream);
    state->row = *row;
    state->branches = branches;
    state->next = *bucket;
    *bucket = state;
    link_use(cache, state);
    cache->states++;
    return state;
}

int stream_cache_get(struct stream_cache *cache, const char *device, const char *epoch,
                     const char *stream, int branch, struct stream_state **state,
                     struct sb_err *err)
{
    struct stream_row row = {0};
    int branches = 0, rc;
    bool found;

    *state = find(cache, device, epoch, stream, branch);
    if (*state != NULL) {
        cache->hits++;
        return 0;
    }
    cache->misses++;
    rc = store_stream_get(cache->store, device, epoch, stream, branch, &found, &row, err);
    if (rc == 0 && found && branch == 0)
        rc = store_stream_branches(cache->store, device, epoch, stream, &branches, err);
    if (rc == 0 && found)
        *state = insert(cache, device, epoch, stream, &row, branches);
    else
        stream_row_free(&row);
    return rc;
}

int stream_cache_make(struct stream_cache *cache, const char *device, const char *epoch,
                      const char *stream, int branch, int64_t now_ms, struct stream_state **state,
                      struct sb_err *err)
{
    struct stream_row row = {0};
    int rc = stream_cache_get(cache, device, epoch, stream, branch, state, err);

    if (rc != 0 || *state != NULL)
        return rc;
    rc = store_stream_add(cache->store, device, epoch, stream, branch, now_ms, &row, err);
    if (rc == 0)
        *state = insert(cache, device, epoch, stream, &row, 0);
    return rc;
}

int stream_cache_branch(struct stream_cache *cache, struct stream_state *own, int branch,
                        int64_t now_ms, struct stream_state **state, struct sb_err *err)
{
    int rc =
        stream_cache_make(cache, own->device, own->epoch, own->stream, branch, now_ms, state, err);

    if (rc == 0 && branch > own->branches)
        own->branches = branch;
    return rc;
}

void stream_cache_touch(struct stream_cache *cache, struct stream_state *state)
{
    if (state->dirty)
        return;
    state->dirty = true;
    state->next_dirty = cache->dirty;
    cache->dirty = state;
}

int stream_cache_flush(struct stream_cache *cache, int64_t now_ms, struct sb_err *err)
{
    int rc = 0;

    while (rc == 0 && cache->dirty != NULL) {
        struct stream_state *state = cache->dirty;

        rc = store_stream_put(cache->store, &state->row, now_ms, err);
        state->dirty = false;
        cache->dirty = state->next_dirty;
    }
    return rc;
}

void stream_cache_figures(const struct stream_cache *cache, uint64_t *hits, uint64_t *misses,
                          size_t *states)
{
    *hits = cache->hits;
    *misses = cache->misses;
    *states = cache->states;
}
