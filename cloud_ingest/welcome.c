#include "welcome.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/rules.h"
#include "limits.h"
#include "text.h"

bool welcome_clones(const struct epoch_turn *turns, size_t count)
{
    return count >= 4 && strcmp(turns[0].epoch, turns[2].epoch) == 0 &&
           strcmp(turns[1].epoch, turns[3].epoch) == 0 &&
           turns[0].at_ms - turns[3].at_ms < LIMIT_CLONE_WINDOW_MS;
}

/* ---- what the device says of itself ---- */

static int note_turn(struct apply *a, const struct sb_hello *hello, const struct device_row *device,
                     struct sb_err *err)
{
    struct epoch_turn turns[STORE_TURNS];
    size_t count;
    int rc;

    if (strcmp(device->epoch, hello->epoch) == 0)
        return 0;
    rc = store_turn_add(a->store, hello->device, hello->epoch, a->now_ms, err);
    if (rc == 0)
        rc = store_turns(a->store, hello->device, turns, &count, err);
    if (rc == 0 && welcome_clones(turns, count))
        events_raise(a->events, hello->device, EVENT_CLONE_ALARM, a->now, SB_SPAN(""));
    return rc;
}

/* Which pages of this hello came in by now; whole says that none is missing. */
static bool add_page(const struct sb_hello *hello, const struct device_row *device,
                     struct sb_ranges *seen)
{
    sb_ranges_clear(seen);
    if (strcmp(device->nonce, hello->nonce) == 0 && device->pages == hello->pages)
        sb_ranges_copy(seen, &device->seen);
    sb_ranges_add(seen, hello->page, hello->page);
    return sb_ranges_total(seen) == hello->pages;
}

static int note_hello(struct apply *a, const struct sb_hello *hello, struct sb_err *err)
{
    struct device_row device = {0};
    struct sb_ranges seen = {0};
    bool whole;
    int rc = store_device_get(a->store, hello->device, &device, err);

    if (rc == 0)
        rc = note_turn(a, hello, &device, err);
    if (rc == 0) {
        whole = add_page(hello, &device, &seen);
        rc = store_device_hello(a->store, hello, &seen, whole, a->now_ms, err);
    }
    sb_ranges_free(&seen);
    device_row_free(&device);
    return rc;
}

/* Beyond the cap of epochs nothing is noted; the device is told what is known all the same. */
static int note_epoch(struct apply *a, const struct sb_hello *hello, const char *epoch,
                      struct sb_err *err)
{
    struct sb_err why;
    int64_t before;
    bool fresh;
    int rc = store_epoch_count(a->store, hello->device, &before, err);

    if (rc != 0)
        return rc;
    rc = store_epoch_note(a->store, hello->device, epoch, hello->nonce, a->now_ms, &fresh, &why);
    if (rc == -SB_ELIMIT) {
        sb_log_err("hello", &why);
        return 0;
    }
    if (rc != 0)
        return sb_fail(err, why.code, "%s", why.msg);
    if (fresh && before > 0) {
        sb_buf_clear(&a->members);
        sb_buf_add_fmt(&a->members, "\"epoch\":\"%s\"", epoch);
        events_raise(a->events, hello->device, EVENT_NEW_EPOCH, a->now, sb_buf_span(&a->members));
    }
    return 0;
}

static int note_figures(struct apply *a, const struct sb_hello *hello, struct sb_err *err)
{
    int64_t room;
    int rc = note_epoch(a, hello, hello->epoch, err);

    for (size_t i = 0; rc == 0 && i < hello->epoch_count; i++)
        if (strcmp(hello->epochs[i], hello->epoch) != 0)
            rc = note_epoch(a, hello, hello->epochs[i], err);
    if (rc == 0)
        rc = store_claim_room(a->store, hello->device, &room, err);
    for (size_t i = 0; rc == 0 && i < hello->claim_count; i++)
        rc = store_claim_put(a->store, hello->device, &hello->claims[i], hello->nonce, a->now_ms,
                             &room, err);
    return rc;
}

/* ---- what the cloud knows ---- */

static int add_standing(struct apply *a, const char *device, struct sb_welcome *welcome,
                        const char *epoch, const char *stream, struct sb_err *err)
{
    struct sb_standing *standing = sb_welcome_add(welcome, epoch, stream);
    struct stream_state *state;
    int rc = stream_cache_get(a->cache, device, epoch, stream, 0, &state, err);

    if (rc != 0 || state == NULL)
        return rc;
    sb_ranges_copy(&standing->decided, &state->row.decided);
    sb_ranges_copy(&standing->holes, &state->row.holes);
    return 0;
}

struct names {
    char (*at)[SB_STREAM_MAX + 1];
    size_t count;
};

static void collect(void *ctx, const char *stream)
{
    struct names *names = ctx;

    names->at = sb_xrealloc(names->at, (names->count + 1) * sizeof(*names->at));
    text_cut(names->at[names->count++], SB_STREAM_MAX + 1, stream);
}

static bool claimed(const struct sb_hello *hello, const char *epoch, const char *stream)
{
    for (size_t i = 0; i < hello->claim_count; i++)
        if (strcmp(hello->claims[i].stream, stream) == 0 &&
            strcmp(hello->claims[i].epoch, epoch) == 0)
            return true;
    return false;
}

/* Streams of the current epoch that the device does not know (any more): it was rolled back. */
static int add_unlisted(struct apply *a, const struct sb_hello *hello, struct sb_welcome *welcome,
                        struct sb_err *err)
{
    struct names names = {NULL, 0};
    int rc = store_epoch_streams(a->store, hello->device, hello->epoch, collect, &names, err);

    for (size_t i = 0; rc == 0 && i < names.count; i++)
        if (!claimed(hello, hello->epoch, names.at[i]))
            rc = add_standing(a, hello->device, welcome, hello->epoch, names.at[i], err);
    free(names.at);
    return rc;
}

static int add_standings(struct apply *a, const struct sb_hello *hello, struct sb_welcome *welcome,
                         struct sb_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < hello->claim_count; i++)
        rc = add_standing(a, hello->device, welcome, hello->claims[i].epoch,
                          hello->claims[i].stream, err);
    if (rc == 0 && hello->page == 1 && sb_rule(SB_RULE_LIST_CURRENT))
        rc = add_unlisted(a, hello, welcome, err);
    return rc;
}

/* The device was told of a commit that this database does not have. */
static int see_restored(struct apply *a, const struct sb_hello *hello, bool *restored,
                        struct sb_err *err)
{
    const struct sb_receipt *receipt = &hello->receipt;
    uint64_t commits;
    bool known;
    int rc;

    *restored = false;
    if (receipt->boot[0] == '\0' || !sb_rule(SB_RULE_RECEIPT))
        return 0;
    rc = store_boot_commits(a->store, receipt->boot, &known, &commits, err);
    *restored = rc == 0 && (!known || commits < receipt->commit);
    if (*restored)
        events_raise(a->events, hello->device, EVENT_RESTORED, a->now, SB_SPAN(""));
    return rc;
}

static void name_tables(const struct tables *tables, struct sb_welcome *welcome)
{
    size_t count = tables_count(tables);

    welcome->tables = sb_xcalloc(count > 0 ? count : 1, sizeof(*welcome->tables));
    for (welcome->table_count = 0; welcome->table_count < count; welcome->table_count++)
        memcpy(welcome->tables[welcome->table_count], tables_at(tables, welcome->table_count)->name,
               sizeof(welcome->tables[0]));
}

int welcome_make(struct apply *a, const struct sb_hello *hello, struct sb_welcome *welcome,
                 enum sb_code *code, struct sb_err *err)
{
    int rc = apply_admit(a, hello->device, code, err);

    if (rc != 0 || *code != SB_OK)
        return rc;
    memcpy(welcome->nonce, hello->nonce, sizeof(welcome->nonce));
    welcome->page = hello->page;
    welcome->pages = hello->pages;
    welcome->server_time_us = a->now.wall_us;
    name_tables(a->tables, welcome);
    /* before this very hello is a commit of our own boot */
    rc = see_restored(a, hello, &welcome->restored, err);
    if (rc == 0)
        rc = note_hello(a, hello, err);
    if (rc == 0)
        rc = note_figures(a, hello, err);
    return rc == 0 ? add_standings(a, hello, welcome, err) : rc;
}
