#include "outbox_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct sb_rng box_rng;
struct outbox *box_ob;
struct sb_err box_err;
char box_folder[64];
char box_path[96];
bool box_in_memory;
static unsigned databases;

struct sb_now box_now = {5000, 1767323045250000}; /* 2026-01-02T03:04:05.250Z */
const struct sb_stream box_air = {SB_UP_SENSORS, "air_quality"};
const struct sb_stream box_settings = {SB_UP_SETTINGS, "user-1"};
const char box_boot_id[] = "b0075d1e-0000-4000-8000-000000000001";

int box_open_again(struct outbox **out, int64_t max_bytes)
{
    const struct outbox_config config = {.path = box_path,
                                         .busy_timeout_ms = 200,
                                         .max_bytes = max_bytes,
                                         .create = true,
                                         .in_memory = box_in_memory};

    return outbox_open(&config, &box_rng, out, &box_err);
}

static int setup(void)
{
    sb_rng_seed(&box_rng, 7);
    box_err = (struct sb_err){0};
    return box_open_again(&box_ob, 0);
}

int box_setup_file(void **state)
{
    (void)state;
    snprintf(box_folder, sizeof(box_folder), "/tmp/sb-outbox-XXXXXX");
    if (mkdtemp(box_folder) == NULL)
        return -1;
    snprintf(box_path, sizeof(box_path), "%s/outbox.db", box_folder);
    box_in_memory = false;
    return setup();
}

int box_setup_memory(void **state)
{
    (void)state;
    snprintf(box_path, sizeof(box_path), "file:/outbox%u?vfs=memdb", ++databases);
    box_in_memory = true;
    return setup();
}

int box_teardown(void **state)
{
    static const char *const endings[] = {"", "-wal", "-shm", ".old", ".old-wal", ".old-shm"};
    char name[128];

    (void)state;
    outbox_close(box_ob);
    box_ob = NULL;
    for (size_t i = 0; !box_in_memory && i < sizeof(endings) / sizeof(endings[0]); i++) {
        snprintf(name, sizeof(name), "%s%s", box_path, endings[i]);
        unlink(name);
    }
    if (!box_in_memory)
        rmdir(box_folder);
    return 0;
}

/* ---- small steps ---- */

void box_begin(void)
{
    assert_int_equal(outbox_begin(box_ob, &box_err), 0);
}

void box_commit(void)
{
    assert_int_equal(outbox_commit(box_ob, &box_err), 0);
}

int box_append_to(struct outbox *handle, const struct sb_stream *stream, const char *body,
                  uint64_t count, const char *id, struct outbox_place *place)
{
    const struct outbox_id ids = {sb_span_of(id), sb_hash64(sb_span_of(body))};
    const struct outbox_chunk chunk = {
        .stream = *stream,
        .fields = stream->class == SB_UP_SENSORS ? SB_SPAN("[\"ts\",\"v\"]") : SB_SPAN(""),
        .body = sb_span_of(body),
        .count = count,
        .ids = id[0] != '\0' ? &ids : NULL,
        .before = stream->class == SB_UP_SETTINGS ? SB_SPAN("{\"old\":1}") : SB_SPAN(""),
        .device_boot = box_boot_id,
        .mono_ms = box_now.mono_ms,
        .wall_us = box_now.wall_us,
        .quality = SB_CLOCK_NTP,
    };

    return outbox_append(handle, &chunk, place, &box_err);
}

void box_put(const struct sb_stream *stream, const char *body, uint64_t count, const char *id,
             struct outbox_place *place)
{
    box_begin();
    assert_int_equal(box_append_to(box_ob, stream, body, count, id, place), 0);
    box_commit();
}

void box_put_five(void)
{
    struct outbox_place place;

    box_put(&box_air, "[1],[2],[3],[4],[5]", 5, "", &place);
    assert_int_equal(place.first_seq, 1);
    assert_int_equal(place.last_seq, 5);
}

void box_put_edit(const char *op_id, struct outbox_place *place)
{
    char body[64];

    snprintf(body, sizeof(body), "{\"op_id\":\"%s\"}", op_id);
    box_put(&box_settings, body, 1, op_id, place);
}

void box_set_settled(int64_t s, uint64_t lo, uint64_t hi)
{
    struct sb_ranges settled = {0}, none = {0};

    sb_ranges_add(&settled, lo, hi);
    box_begin();
    assert_int_equal(outbox_set_settled(box_ob, s, &settled, &none, &box_err), 0);
    box_commit();
    sb_ranges_free(&settled);
}

void box_purge_all(int64_t s, uint64_t lo, uint64_t hi, int expected)
{
    struct sb_ranges settled = {0};
    int deleted = -1;

    sb_ranges_add(&settled, lo, hi);
    box_begin();
    assert_int_equal(
        outbox_purge(box_ob, s, &settled, box_now.wall_us + 1, 0, 100, &deleted, &box_err), 0);
    box_commit();
    assert_int_equal(deleted, expected);
    sb_ranges_free(&settled);
}

/* ---- what is in the file ---- */

int box_look_for_stream(void *ctx, const struct outbox_stream *stream)
{
    struct box_stream *found = ctx;
    char name[SB_STREAM_MAX + 1];

    sb_stream_print(&stream->stream, name);
    found->streams++;
    if (strcmp(name, found->name) != 0)
        return 0;
    found->s = stream->s;
    found->made = stream->next_seq - 1;
    found->bytes = stream->row_bytes;
    sb_buf_clear(&found->settled);
    sb_buf_add_span(&found->settled, stream->settled);
    return 0;
}

struct box_stream box_find(const char *name)
{
    struct box_stream found = {.name = name};

    assert_int_equal(outbox_streams(box_ob, box_look_for_stream, &found, &box_err), 0);
    sb_buf_free(&found.settled);
    return found;
}

int64_t box_key_of(const char *name)
{
    struct box_stream found = box_find(name);

    assert_true(found.s > 0);
    return found.s;
}

static int print_row(void *ctx, const struct outbox_row *row)
{
    sb_buf_add_fmt(ctx, "%llu-%llu " SB_SPAN_FMT "%s" SB_SPAN_FMT ";",
                   (unsigned long long)row->first_seq, (unsigned long long)row->last_seq,
                   SB_SPAN_ARG(row->body), row->op_id.len > 0 ? " op=" : "",
                   SB_SPAN_ARG(row->op_id));
    assert_string_equal(row->device_boot, box_boot_id);
    assert_int_equal(row->mono_ms, box_now.mono_ms);
    assert_int_equal(row->wall_us, box_now.wall_us);
    assert_int_equal(row->quality, SB_CLOCK_NTP);
    return 0;
}

void box_assert_rows(int64_t s, const char *expected)
{
    struct sb_buf text = {0};

    sb_buf_add_str(&text, "");
    assert_int_equal(outbox_rows(box_ob, s, 1, SB_SEQ_MAX, print_row, &text, &box_err), 0);
    assert_string_equal(text.data, expected);
    sb_buf_free(&text);
}

void box_assert_covered(int64_t s, const char *expected)
{
    struct sb_ranges rows = {0};
    struct sb_buf text = {0};

    assert_int_equal(outbox_row_ranges(box_ob, s, &rows, &box_err), 0);
    sb_ranges_print(&rows, &text);
    assert_string_equal(text.data, expected);
    sb_buf_free(&text);
    sb_ranges_free(&rows);
}

static int add_body(void *ctx, const struct outbox_row *row)
{
    *(uint64_t *)ctx += row->body.len;
    return 0;
}

void box_assert_bytes_counted(const char *name)
{
    struct box_stream found = box_find(name);
    uint64_t bytes = 0;

    assert_int_equal(outbox_rows(box_ob, found.s, 1, SB_SEQ_MAX, add_body, &bytes, &box_err), 0);
    assert_int_equal(found.bytes, bytes);
}

static int print_hole(void *ctx, const struct outbox_hole *hole)
{
    sb_buf_add_fmt(ctx, "%llu-%llu %s " SB_SPAN_FMT ";", (unsigned long long)hole->first_seq,
                   (unsigned long long)hole->last_seq, sb_hole_reason_name(hole->reason),
                   SB_SPAN_ARG(hole->ops));
    return 0;
}

void box_assert_holes(const char *expected)
{
    struct sb_buf text = {0};

    sb_buf_add_str(&text, "");
    assert_int_equal(outbox_holes(box_ob, print_hole, &text, &box_err), 0);
    assert_string_equal(text.data, expected);
    sb_buf_free(&text);
}

struct letters {
    struct sb_buf text;
    int64_t last_id;
};

static int print_letter(void *ctx, const struct outbox_dead *dead)
{
    struct letters *letters = ctx;

    sb_buf_add_fmt(&letters->text, "%s %llu %s (" SB_SPAN_FMT ") " SB_SPAN_FMT "%s;", dead->stream,
                   (unsigned long long)dead->seq, sb_code_name(dead->code),
                   SB_SPAN_ARG(dead->reason), SB_SPAN_ARG(dead->body), dead->retry ? " again" : "");
    letters->last_id = dead->id;
    return 0;
}

int64_t box_assert_dead(const char *expected)
{
    struct letters letters = {0};

    sb_buf_add_str(&letters.text, "");
    assert_int_equal(outbox_dead_list(box_ob, 0, false, print_letter, &letters, &box_err), 0);
    assert_string_equal(letters.text.data, expected);
    sb_buf_free(&letters.text);
    return letters.last_id;
}

int box_note_epoch(void *ctx, int64_t n, const char *epoch)
{
    struct box_epochs *epochs = ctx;

    assert_int_equal(n, ++epochs->count);
    snprintf(epochs->last, sizeof(epochs->last), "%s", epoch);
    return 0;
}
