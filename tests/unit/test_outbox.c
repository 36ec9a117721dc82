/* Stage 2, the file: what is given a number keeps it, and every change of a row, a dead letter or a
 * hole leaves each number in exactly one place. Most cases run on a real file and on the memory
 * database that the simulator uses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "edge_agent/outbox.h"
#include "edge_agent/outbox_docs.h"

static struct sb_rng rng;
static struct outbox *ob;
static struct sb_err err;
static char folder[64];
static char path[96];
static bool in_memory;
static unsigned databases;

static struct sb_now now = {5000, 1767323045250000}; /* 2026-01-02T03:04:05.250Z */
static const struct sb_stream air = {SB_UP_SENSORS, "air_quality"};
static const struct sb_stream settings = {SB_UP_SETTINGS, "user-1"};
static const char boot_id[] = "b0075d1e-0000-4000-8000-000000000001";

static int open_again(struct outbox **out, int64_t max_bytes)
{
    const struct outbox_config config = {.path = path,
                                         .busy_timeout_ms = 200,
                                         .max_bytes = max_bytes,
                                         .create = true,
                                         .in_memory = in_memory};

    return outbox_open(&config, &rng, out, &err);
}

static int setup(void)
{
    sb_rng_seed(&rng, 7);
    err = (struct sb_err){0};
    return open_again(&ob, 0);
}

static int setup_file(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/sb-outbox-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/outbox.db", folder);
    in_memory = false;
    return setup();
}

static int setup_memory(void **state)
{
    (void)state;
    snprintf(path, sizeof(path), "file:/outbox%u?vfs=memdb", ++databases);
    in_memory = true;
    return setup();
}

static int teardown(void **state)
{
    static const char *const endings[] = {"", "-wal", "-shm", ".old", ".old-wal", ".old-shm"};
    char name[128];

    (void)state;
    outbox_close(ob);
    ob = NULL;
    for (size_t i = 0; !in_memory && i < sizeof(endings) / sizeof(endings[0]); i++) {
        snprintf(name, sizeof(name), "%s%s", path, endings[i]);
        unlink(name);
    }
    if (!in_memory)
        rmdir(folder);
    return 0;
}

/* ---- small steps ---- */

static void begin(void)
{
    assert_int_equal(outbox_begin(ob, &err), 0);
}

static void commit(void)
{
    assert_int_equal(outbox_commit(ob, &err), 0);
}

/* Inside the caller's transaction. */
static int append_to(struct outbox *handle, const struct sb_stream *stream, const char *body,
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
        .device_boot = boot_id,
        .mono_ms = now.mono_ms,
        .wall_us = now.wall_us,
        .quality = SB_CLOCK_NTP,
    };

    return outbox_append(handle, &chunk, place, &err);
}

static void put(const struct sb_stream *stream, const char *body, uint64_t count, const char *id,
                struct outbox_place *place)
{
    begin();
    assert_int_equal(append_to(ob, stream, body, count, id, place), 0);
    commit();
}

/* Five readings in one chunk and an edit of the settings in another. */
static void put_five(void)
{
    struct outbox_place place;

    put(&air, "[1],[2],[3],[4],[5]", 5, "", &place);
    assert_int_equal(place.first_seq, 1);
    assert_int_equal(place.last_seq, 5);
}

static void put_edit(const char *op_id, struct outbox_place *place)
{
    char body[64];

    snprintf(body, sizeof(body), "{\"op_id\":\"%s\"}", op_id);
    put(&settings, body, 1, op_id, place);
}

struct found {
    const char *name;
    struct sb_stream stream;
    int64_t s;
    uint64_t made, bytes;
    int streams;
    struct sb_buf settled;
};

static int look_for_stream(void *ctx, const struct outbox_stream *stream)
{
    struct found *found = ctx;
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

/* The newest stream of that name. */
static struct found find(const char *name)
{
    struct found found = {.name = name};

    assert_int_equal(outbox_streams(ob, look_for_stream, &found, &err), 0);
    sb_buf_free(&found.settled);
    return found;
}

static int64_t key_of(const char *name)
{
    struct found found = find(name);

    assert_true(found.s > 0);
    return found.s;
}

static int print_row(void *ctx, const struct outbox_row *row)
{
    sb_buf_add_fmt(ctx, "%llu-%llu " SB_SPAN_FMT "%s" SB_SPAN_FMT ";",
                   (unsigned long long)row->first_seq, (unsigned long long)row->last_seq,
                   SB_SPAN_ARG(row->body), row->op_id.len > 0 ? " op=" : "",
                   SB_SPAN_ARG(row->op_id));
    assert_string_equal(row->device_boot, boot_id);
    assert_int_equal(row->mono_ms, now.mono_ms);
    assert_int_equal(row->wall_us, now.wall_us);
    assert_int_equal(row->quality, SB_CLOCK_NTP);
    return 0;
}

static void assert_rows(int64_t s, const char *expected)
{
    struct sb_buf text = {0};

    sb_buf_add_str(&text, "");
    assert_int_equal(outbox_rows(ob, s, 1, SB_SEQ_MAX, print_row, &text, &err), 0);
    assert_string_equal(text.data, expected);
    sb_buf_free(&text);
}

static void assert_covered(int64_t s, const char *expected)
{
    struct sb_ranges rows = {0};
    struct sb_buf text = {0};

    assert_int_equal(outbox_row_ranges(ob, s, &rows, &err), 0);
    sb_ranges_print(&rows, &text);
    assert_string_equal(text.data, expected);
    sb_buf_free(&text);
    sb_ranges_free(&rows);
}

/* The kept figure of bytes is what the rows have. */
static int add_body(void *ctx, const struct outbox_row *row)
{
    *(uint64_t *)ctx += row->body.len;
    return 0;
}

static void assert_bytes_counted(const char *name)
{
    struct found found = find(name);
    uint64_t bytes = 0;

    assert_int_equal(outbox_rows(ob, found.s, 1, SB_SEQ_MAX, add_body, &bytes, &err), 0);
    assert_int_equal(found.bytes, bytes);
}

static int print_hole(void *ctx, const struct outbox_hole *hole)
{
    sb_buf_add_fmt(ctx, "%llu-%llu %s " SB_SPAN_FMT ";", (unsigned long long)hole->first_seq,
                   (unsigned long long)hole->last_seq, sb_hole_reason_name(hole->reason),
                   SB_SPAN_ARG(hole->ops));
    return 0;
}

static void assert_holes(const char *expected)
{
    struct sb_buf text = {0};

    sb_buf_add_str(&text, "");
    assert_int_equal(outbox_holes(ob, print_hole, &text, &err), 0);
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

/* Returns the id of the last one. */
static int64_t assert_dead(const char *expected)
{
    struct letters letters = {0};

    sb_buf_add_str(&letters.text, "");
    assert_int_equal(outbox_dead_list(ob, 0, false, print_letter, &letters, &err), 0);
    assert_string_equal(letters.text.data, expected);
    sb_buf_free(&letters.text);
    return letters.last_id;
}

static void set_settled(int64_t s, uint64_t lo, uint64_t hi)
{
    struct sb_ranges settled = {0}, none = {0};

    sb_ranges_add(&settled, lo, hi);
    begin();
    assert_int_equal(outbox_set_settled(ob, s, &settled, &none, &err), 0);
    commit();
    sb_ranges_free(&settled);
}

/* ---- append ---- */

static void numbers_go_on_without_gaps_per_stream(void **state)
{
    struct outbox_place place;

    (void)state;
    put_five();
    put(&air, "[6]", 1, "", &place);
    assert_int_equal(place.first_seq, 6);
    put_edit("op-a", &place);
    assert_int_equal(place.first_seq, 1);
    assert_false(place.repeat);
    assert_rows(key_of("sensors/air_quality"), "1-5 [1],[2],[3],[4],[5];6-6 [6];");
    assert_rows(key_of("settings/user-1"), "1-1 {\"op_id\":\"op-a\"} op=op-a;");
    assert_bytes_counted("sensors/air_quality");
}

static void rolled_back_append_leaves_nothing(void **state)
{
    struct outbox_place place;

    (void)state;
    begin();
    assert_int_equal(append_to(ob, &air, "[1]", 1, "id-1", &place), 0);
    outbox_rollback(ob);
    assert_int_equal(find("sensors/air_quality").streams, 0);
    put(&air, "[9]", 1, "id-1", &place);
    assert_int_equal(place.first_seq, 1);
    assert_false(place.repeat);
}

static void rows_survive_the_process(void **state)
{
    struct outbox *second;

    (void)state;
    put_five();
    if (in_memory) { /* held by a second handle, as the simulator does across a crash */
        assert_int_equal(open_again(&second, 0), 0);
        outbox_close(ob);
        ob = second;
    } else {
        outbox_close(ob);
        assert_int_equal(open_again(&ob, 0), 0);
    }
    assert_rows(key_of("sensors/air_quality"), "1-5 [1],[2],[3],[4],[5];");
}

static void repeat_of_an_id_is_recognised(void **state)
{
    struct outbox_place place;

    (void)state;
    put(&air, "[1]", 1, "id-1", &place);
    put(&air, "[2]", 1, "", &place);
    put(&air, "[1]", 1, "id-1", &place);
    assert_true(place.repeat);
    assert_int_equal(place.first_seq, 1);
    assert_int_equal(find("sensors/air_quality").made, 2);
}

static void id_with_other_content_is_refused(void **state)
{
    struct outbox_place place;

    (void)state;
    put(&air, "[1]", 1, "id-1", &place);
    begin();
    assert_int_equal(append_to(ob, &air, "[2]", 1, "id-1", &place), -SB_EID_REUSED);
    outbox_rollback(ob);
    put(&settings, "{\"op_id\":\"id-1\"}", 1, "id-1",
        &place); /* another stream, another id space */
    assert_false(place.repeat);
}

static void known_id_inside_a_chunk_of_many_is_refused(void **state)
{
    const struct outbox_id ids[2] = {{SB_SPAN("new"), 1}, {SB_SPAN("id-1"), 0}};
    struct outbox_id both[2];
    struct outbox_chunk chunk = {.stream = air,
                                 .fields = SB_SPAN("[\"ts\",\"v\"]"),
                                 .body = SB_SPAN("[7],[1]"),
                                 .count = 2,
                                 .device_boot = boot_id};
    struct outbox_place place;

    (void)state;
    put(&air, "[1]", 1, "id-1", &place);
    memcpy(both, ids, sizeof(both));
    both[1].hash = sb_hash64(SB_SPAN("[1]"));
    chunk.ids = both;
    begin();
    assert_int_equal(outbox_append(ob, &chunk, &place, &err), -SB_EEXISTS);
    outbox_rollback(ob);
    assert_int_equal(find("sensors/air_quality").made, 1);
}

static void chunk_beyond_its_limits_is_refused(void **state)
{
    struct outbox_chunk chunk = {
        .stream = air, .fields = SB_SPAN("[]"), .count = 1001, .device_boot = ""};
    char *large = malloc(OUTBOX_ROW_MAX_BYTES + 1);
    struct outbox_place place;

    (void)state;
    memset(large, '1', OUTBOX_ROW_MAX_BYTES + 1);
    begin();
    assert_int_equal(outbox_append(ob, &chunk, &place, &err), -SB_ELIMIT);
    chunk.count = 2;
    chunk.body = (struct sb_span){large, OUTBOX_ROW_MAX_BYTES + 1};
    assert_int_equal(outbox_append(ob, &chunk, &place, &err), -SB_ELIMIT);
    chunk.count = 1; /* one record may be larger than a chunk */
    assert_int_equal(outbox_append(ob, &chunk, &place, &err), 0);
    commit();
    free(large);
}

/* ---- epochs ---- */

struct epochs {
    int count;
    char last[SB_EPOCH_LEN + 1];
};

static int note_epoch(void *ctx, int64_t n, const char *epoch)
{
    struct epochs *epochs = ctx;

    assert_int_equal(n, ++epochs->count);
    snprintf(epochs->last, sizeof(epochs->last), "%s", epoch);
    return 0;
}

static void stream_beyond_the_limit_is_refused_and_the_others_go_on(void **state)
{
    struct sb_stream stream = {.class = SB_UP_SENSORS};
    struct outbox_place place;

    (void)state;
    begin();
    for (int i = 0; i < OUTBOX_MAX_STREAMS; i++) {
        snprintf(stream.name, sizeof(stream.name), "type-%d", i);
        assert_int_equal(append_to(ob, &stream, "[1]", 1, "", &place), 0);
    }
    commit();
    begin();
    snprintf(stream.name, sizeof(stream.name), "one-more");
    assert_int_equal(append_to(ob, &stream, "[1]", 1, "", &place), -SB_ELIMIT);
    outbox_rollback(ob);
    begin(); /* a name that is known needs no room, in a new epoch neither */
    snprintf(stream.name, sizeof(stream.name), "type-7");
    assert_int_equal(append_to(ob, &stream, "[2]", 1, "", &place), 0);
    assert_int_equal(place.first_seq, 2);
    assert_int_equal(outbox_new_epoch(ob, &rng, now.wall_us, place.epoch, &err), 0);
    assert_int_equal(append_to(ob, &stream, "[3]", 1, "", &place), 0);
    assert_int_equal(place.first_seq, 1);
    commit();
}

static void new_epoch_starts_every_stream_at_one(void **state)
{
    char epoch[SB_EPOCH_LEN + 1];
    struct outbox_place place;
    struct epochs epochs = {0};

    (void)state;
    put_five();
    begin();
    assert_int_equal(outbox_new_epoch(ob, &rng, now.wall_us, epoch, &err), 0);
    commit();
    put(&air, "[6]", 1, "", &place);
    assert_string_equal(place.epoch, epoch);
    assert_int_equal(place.first_seq, 1);
    assert_int_equal(outbox_epochs(ob, note_epoch, &epochs, &err), 0);
    assert_int_equal(epochs.count, 2);
    assert_string_equal(epochs.last, epoch);
    assert_rows(key_of("sensors/air_quality"), "1-1 [6];");
}

static void repeat_finds_its_place_in_an_older_epoch(void **state)
{
    char epoch[SB_EPOCH_LEN + 1], first[SB_EPOCH_LEN + 1];
    struct outbox_place place;

    (void)state;
    put(&air, "[1]", 1, "id-1", &place);
    memcpy(first, place.epoch, sizeof(first));
    begin();
    assert_int_equal(outbox_new_epoch(ob, &rng, now.wall_us, epoch, &err), 0);
    commit();
    put(&air, "[1]", 1, "id-1", &place);
    assert_true(place.repeat);
    assert_string_equal(place.epoch, first);
}

/* ---- settling ---- */

static void settled_set_and_receipt_are_kept(void **state)
{
    char boot[SB_UUID_LEN + 1];
    struct outbox_counts counts;
    struct sb_buf text = {0};
    struct sb_ranges set = {0};
    struct found found = {.name = "sensors/air_quality"};
    uint64_t commit_number = 99;

    (void)state;
    assert_int_equal(outbox_receipt_get(ob, boot, &commit_number, &err), 0);
    assert_string_equal(boot, "");
    assert_int_equal(commit_number, 0);
    put_five();
    begin();
    assert_int_equal(outbox_receipt_set(ob, boot_id, UINT64_C(9007199254740993), &err), 0);
    commit();
    set_settled(key_of("sensors/air_quality"), 2, 3);
    assert_int_equal(outbox_receipt_get(ob, boot, &commit_number, &err), 0);
    assert_string_equal(boot, boot_id);
    assert_true(commit_number == UINT64_C(9007199254740993));
    assert_int_equal(outbox_streams(ob, look_for_stream, &found, &err), 0);
    assert_int_equal(sb_ranges_parse(&set, sb_buf_span(&found.settled), 10, &err), 0);
    sb_ranges_print(&set, &text);
    assert_string_equal(text.data, "[[2,3]]");
    assert_int_equal(outbox_counts(ob, &counts, &err), 0);
    assert_int_equal(counts.pending, 3);
    assert_int_equal(counts.oldest_pending_us, now.wall_us);
    sb_buf_free(&text);
    sb_buf_free(&found.settled);
    sb_ranges_free(&set);
}

static void pending_is_counted_over_all_epochs(void **state)
{
    char epoch[SB_EPOCH_LEN + 1];
    struct outbox_place place;
    uint64_t count;

    (void)state;
    put_edit("op-a", &place);
    begin();
    assert_int_equal(outbox_new_epoch(ob, &rng, now.wall_us, epoch, &err), 0);
    commit();
    put_edit("op-b", &place);
    put_five();
    assert_int_equal(outbox_pending_of(ob, &settings, &count, &err), 0);
    assert_int_equal(count, 2);
    set_settled(key_of("settings/user-1"), 1, 1);
    assert_int_equal(outbox_pending_of(ob, &settings, &count, &err), 0);
    assert_int_equal(count, 1);
}

/* ---- dead letter ---- */

static void bury(int64_t s, uint64_t seq)
{
    begin();
    assert_int_equal(outbox_dead_add(ob, s, seq, SB_EBAD_VALUE, "v: too high", now.wall_us, &err),
                     0);
    commit();
}

static void revive(int64_t s, uint64_t seq)
{
    begin();
    assert_int_equal(outbox_dead_revive(ob, s, seq, &err), 0);
    commit();
}

static void record_dies_out_of_the_middle_of_a_chunk(void **state)
{
    int64_t s;

    (void)state;
    put_five();
    s = key_of("sensors/air_quality");
    bury(s, 3);
    assert_dead("sensors/air_quality 3 bad_value (v: too high) [3];");
    assert_rows(s, "1-5 [1],[2],[3],[4],[5];"); /* the chunk is not rewritten for it */
    bury(s, 3);
    assert_dead("sensors/air_quality 3 bad_value (v: too high) [3];");
    assert_bytes_counted("sensors/air_quality");
}

static void ordered_record_dies_with_its_row(void **state)
{
    struct outbox_place place;
    int64_t s;

    (void)state;
    put_edit("op-a", &place);
    put_edit("op-b", &place);
    s = key_of("settings/user-1");
    bury(s, 1);
    assert_dead("settings/user-1 1 bad_value (v: too high) {\"op_id\":\"op-a\"};");
    assert_rows(s, "2-2 {\"op_id\":\"op-b\"} op=op-b;");
    assert_bytes_counted("settings/user-1");
}

static void dead_record_without_a_row_is_an_error(void **state)
{
    (void)state;
    put_five();
    begin();
    assert_int_equal(
        outbox_dead_add(ob, key_of("sensors/air_quality"), 6, SB_EBAD_VALUE, "", 0, &err),
        -SB_ECORRUPT);
    outbox_rollback(ob);
}

static void revived_record_is_a_row_again(void **state)
{
    struct outbox_place place;
    int64_t s, t;

    (void)state;
    put_five();
    put_edit("op-a", &place);
    s = key_of("sensors/air_quality");
    t = key_of("settings/user-1");
    bury(s, 3);
    bury(t, 1);
    revive(s, 3);
    revive(t, 1);
    revive(t, 1); /* nothing there: nothing happens */
    assert_dead("");
    assert_rows(s, "1-5 [1],[2],[3],[4],[5];");
    assert_rows(t, "1-1 {\"op_id\":\"op-a\"} op=op-a;");
    assert_bytes_counted("sensors/air_quality");
    assert_bytes_counted("settings/user-1");
}

static void purge_all(int64_t s, uint64_t lo, uint64_t hi, int expected)
{
    struct sb_ranges settled = {0};
    int deleted = -1;

    sb_ranges_add(&settled, lo, hi);
    begin();
    assert_int_equal(outbox_purge(ob, s, &settled, now.wall_us + 1, 0, 100, &deleted, &err), 0);
    commit();
    assert_int_equal(deleted, expected);
    sb_ranges_free(&settled);
}

static void revived_record_gets_a_row_of_its_own_when_the_chunk_is_gone(void **state)
{
    int64_t s;

    (void)state;
    put_five();
    s = key_of("sensors/air_quality");
    bury(s, 3);
    purge_all(s, 1, 5, 1);
    assert_rows(s, "");
    revive(s, 3);
    assert_rows(s, "3-3 [3];");
    assert_bytes_counted("sensors/air_quality");
}

static void free_dead_letter_is_flagged_for_a_retry(void **state)
{
    int64_t id;

    (void)state;
    put_five();
    bury(key_of("sensors/air_quality"), 2);
    id = assert_dead("sensors/air_quality 2 bad_value (v: too high) [2];");
    begin();
    assert_int_equal(outbox_dead_retry(ob, id, now, &err), 0);
    commit();
    assert_dead("sensors/air_quality 2 bad_value (v: too high) [2] again;");
    begin();
    assert_int_equal(outbox_dead_refused(ob, key_of("sensors/air_quality"), 2, SB_EUNVERIFIABLE,
                                         "dropped", &err),
                     0);
    commit();
    assert_dead("sensors/air_quality 2 unverifiable (dropped) [2];");
}

static void ordered_dead_letter_is_enqueued_anew_under_its_op_id(void **state)
{
    struct outbox_place place;
    int64_t s, id;

    (void)state;
    put_edit("op-a", &place);
    put_edit("op-b", &place);
    s = key_of("settings/user-1");
    bury(s, 1);
    id = assert_dead("settings/user-1 1 bad_value (v: too high) {\"op_id\":\"op-a\"};");
    begin();
    assert_int_equal(outbox_dead_retry(ob, id, now, &err), 0);
    commit();
    assert_dead("");
    assert_int_equal(find("settings/user-1").made, 3);
    assert_covered(s, "[[2,3]]");
    put_edit("op-a", &place); /* the id still names it, at its new place */
    assert_true(place.repeat);
    assert_int_equal(place.first_seq, 3);
}

static void letters_are_dropped_and_missing_ones_reported(void **state)
{
    int64_t id;

    (void)state;
    put_five();
    bury(key_of("sensors/air_quality"), 2);
    id = assert_dead("sensors/air_quality 2 bad_value (v: too high) [2];");
    begin();
    assert_int_equal(outbox_dead_drop(ob, id, &err), 0);
    assert_int_equal(outbox_dead_drop(ob, id, &err), -SB_ENOT_FOUND);
    assert_int_equal(outbox_dead_retry(ob, id, now, &err), -SB_ENOT_FOUND);
    commit();
    assert_dead("");
}

/* ---- conflicts ---- */

static int print_conflict(void *ctx, const struct outbox_conflict *conflict)
{
    sb_buf_add_fmt(ctx, "%s %s " SB_SPAN_FMT " before=" SB_SPAN_FMT " server=" SB_SPAN_FMT "%s;",
                   conflict->user, conflict->op_id, SB_SPAN_ARG(conflict->record),
                   SB_SPAN_ARG(conflict->before), SB_SPAN_ARG(conflict->server),
                   conflict->state == CONFLICT_OPEN ? " open" : "");
    return 0;
}

static void conflict_keeps_what_was_submitted_and_what_was_before(void **state)
{
    const struct document_name name = {"user-1", "settings", "settings"};
    const struct sb_conflict conflict = {.as_of = 7};
    char op_id[SB_ID_MAX + 1];
    struct outbox_place place;
    struct sb_buf text = {0};
    bool given_up;
    int64_t s;

    (void)state;
    put_edit("op-a", &place);
    s = key_of("settings/user-1");
    begin();
    assert_int_equal(
        outbox_conflict_add(ob, s, 1, &name, &conflict, SB_SPAN("{\"v\":2}"), now.wall_us, &err),
        0);
    commit();
    assert_rows(s, "");
    assert_int_equal(outbox_conflicts(ob, NULL, print_conflict, &text, &err), 0);
    assert_string_equal(text.data, "user-1 op-a {\"op_id\":\"op-a\"} before={\"old\":1} "
                                   "server={\"v\":2};");
    sb_buf_clear(&text);
    begin();
    assert_int_equal(outbox_conflicts_done(ob, &name, CONFLICT_OPEN, 5, "", &err), 0);
    commit();
    assert_int_equal(outbox_conflicts(ob, NULL, print_conflict, &text, &err), 0);
    assert_string_equal(text.data, "user-1 op-a {\"op_id\":\"op-a\"} before= server= open;");
    assert_int_equal(outbox_given_up(ob, s, 1, &given_up, op_id, &err), 0);
    assert_true(given_up);
    assert_string_equal(op_id, "op-a");
    assert_int_equal(outbox_given_up(ob, s, 2, &given_up, op_id, &err), 0);
    assert_false(given_up);
    sb_buf_free(&text);
}

/* ---- holes ---- */

static void declare(int64_t s, uint64_t lo, uint64_t hi, const char *ops)
{
    begin();
    assert_int_equal(outbox_hole_add(ob, s, lo, hi, SB_HOLE_EVICTED, sb_span_of(ops), &err), 0);
    commit();
}

static void settle_hole(int64_t s, uint64_t lo, uint64_t hi)
{
    begin();
    assert_int_equal(outbox_hole_settle(ob, s, lo, hi, &err), 0);
    commit();
}

static void answered_part_of_a_hole_goes_and_the_names_stay_with_their_numbers(void **state)
{
    (void)state;
    put_five();
    declare(7, 10, 14, "[\"a\",null,\"c,]\",\"d\",\"e\"]");
    settle_hole(7, 12, 12);
    assert_holes("10-11 evicted [\"a\",null];13-14 evicted [\"d\",\"e\"];");
    settle_hole(7, 1, 10);
    assert_holes("11-11 evicted [null];13-14 evicted [\"d\",\"e\"];");
    settle_hole(8, 1, 20);
    assert_holes("11-11 evicted [null];13-14 evicted [\"d\",\"e\"];");
    settle_hole(7, 11, 13);
    assert_holes("14-14 evicted [\"e\"];");
    settle_hole(7, 14, 14);
    assert_holes("");
}

static void hole_without_names_is_split_without_names(void **state)
{
    (void)state;
    declare(7, 1, 9, "");
    settle_hole(7, 4, 5);
    assert_holes("1-3 evicted ;6-9 evicted ;");
}

/* ---- rows that go ---- */

static void drop(int64_t s, uint64_t lo, uint64_t hi)
{
    begin();
    assert_int_equal(outbox_rows_drop(ob, s, lo, hi, &err), 0);
    commit();
}

static void dropped_numbers_are_cut_out_of_their_chunks(void **state)
{
    struct outbox_place place;
    int64_t s;

    (void)state;
    put_five();
    put(&air, "[6],[7],[8]", 3, "", &place);
    put(&air, "[9]", 1, "", &place);
    s = key_of("sensors/air_quality");
    drop(s, 3, 3);
    assert_rows(s, "1-2 [1],[2];4-5 [4],[5];6-8 [6],[7],[8];9-9 [9];");
    drop(s, 5, 6);
    assert_rows(s, "1-2 [1],[2];4-4 [4];7-8 [7],[8];9-9 [9];");
    drop(s, 2, 8);
    assert_rows(s, "1-1 [1];9-9 [9];");
    drop(s, 3, 8); /* nothing there */
    assert_rows(s, "1-1 [1];9-9 [9];");
    assert_bytes_counted("sensors/air_quality");
    drop(s, 1, 9);
    assert_covered(s, "[]");
    assert_int_equal(find("sensors/air_quality").bytes, 0);
}

static void other_streams_keep_their_rows(void **state)
{
    struct outbox_place place;

    (void)state;
    put_five();
    put_edit("op-a", &place);
    drop(key_of("sensors/air_quality"), 1, SB_SEQ_MAX);
    assert_rows(key_of("settings/user-1"), "1-1 {\"op_id\":\"op-a\"} op=op-a;");
}

static void purge_takes_whole_settled_chunks_only(void **state)
{
    struct outbox_place place;
    int64_t s;

    (void)state;
    put_five();
    put(&air, "[6]", 1, "id-6", &place);
    s = key_of("sensors/air_quality");
    purge_all(s, 1, 4, 0);
    assert_rows(s, "1-5 [1],[2],[3],[4],[5];6-6 [6];");
    purge_all(s, 6, 6, 1);
    assert_rows(s, "1-5 [1],[2],[3],[4],[5];");
    assert_bytes_counted("sensors/air_quality");
    put(&air, "[6]", 1, "id-6", &place); /* its id was forgotten with it */
    assert_false(place.repeat);
    assert_int_equal(place.first_seq, 7);
}

/* A row of a device whose clock was not set has no known age. */
static void purge_by_age_leaves_what_was_enqueued_in_1970(void **state)
{
    struct sb_now real = now;
    struct outbox_place place;

    (void)state;
    now.wall_us = 1000000;
    put(&air, "[1]", 1, "", &place);
    purge_all(key_of("sensors/air_quality"), 1, 1, 0);
    assert_rows(key_of("sensors/air_quality"), "1-1 [1];");
    now = real;
}

static void purge_by_bytes_takes_the_oldest(void **state)
{
    struct outbox_place place;
    struct sb_ranges settled = {0};
    int deleted = 0;
    int64_t s;

    (void)state;
    put(&air, "[1]", 1, "", &place);
    put(&air, "[2]", 1, "", &place);
    put(&air, "[3]", 1, "", &place);
    s = key_of("sensors/air_quality");
    sb_ranges_add(&settled, 1, 3);
    begin();
    assert_int_equal(outbox_purge(ob, s, &settled, 0, 4, 100, &deleted, &err), 0);
    commit();
    assert_int_equal(deleted, 2);
    assert_rows(s, "3-3 [3];");
    begin();
    assert_int_equal(outbox_purge(ob, s, &settled, 0, 0, 100, &deleted, &err), 0);
    commit();
    assert_int_equal(deleted, 0);
    sb_ranges_free(&settled);
}

/* ---- small tables ---- */

static void clock_never_falls_behind(void **state)
{
    uint64_t a, b, c;

    (void)state;
    begin();
    assert_int_equal(outbox_hlc(ob, now.wall_us, 0, &a, &err), 0);
    assert_int_equal(outbox_hlc(ob, 1000, 0, &b, &err), 0); /* the wall clock went to 1970 */
    assert_int_equal(outbox_hlc(ob, 1000, b + 50, &c, &err), 0);
    commit();
    assert_true(a == (uint64_t)(now.wall_us / 1000) << 16);
    assert_true(b == a + 1);
    assert_true(c == b + 51);
}

static void cursor_of_a_source_moves_with_its_records(void **state)
{
    uint64_t offset = 0, hash = 0;
    bool found = true;

    (void)state;
    assert_int_equal(outbox_cursor_get(ob, "file.csv", &offset, &hash, &found, &err), 0);
    assert_false(found);
    begin();
    assert_int_equal(outbox_cursor_set(ob, "file.csv", 10, 1, &err), 0);
    assert_int_equal(outbox_cursor_set(ob, "file.csv", 20, UINT64_MAX, &err), 0);
    commit();
    assert_int_equal(outbox_cursor_get(ob, "file.csv", &offset, &hash, &found, &err), 0);
    assert_true(found);
    assert_int_equal(offset, 20);
    assert_true(hash == UINT64_MAX);
}

/* ---- several writers ---- */

static void second_handle_shares_the_numbers_and_is_noticed(void **state)
{
    struct outbox *second;
    struct outbox_place place;
    int64_t version;

    (void)state;
    put_five();
    version = outbox_data_version(ob);
    assert_int_equal(open_again(&second, 0), 0);
    assert_int_equal(outbox_data_version(ob), version); /* opening changed nothing */
    assert_int_equal(outbox_begin(second, &err), 0);
    assert_int_equal(append_to(second, &air, "[6]", 1, "", &place), 0);
    assert_int_equal(place.first_seq, 6);
    assert_int_equal(outbox_begin(ob, &err), -SB_EBUSY); /* one writer at a time */
    assert_int_equal(outbox_commit(second, &err), 0);
    assert_int_not_equal(outbox_data_version(ob), version);
    put(&air, "[7]", 1, "", &place);
    assert_int_equal(place.first_seq, 7);
    outbox_close(second);
}

#define WRITERS    4
#define PER_WRITER 50

static void write_in_a_process(int writer)
{
    struct outbox_place place;
    struct outbox *own;
    char body[32];

    if (open_again(&own, 0) < 0)
        _exit(1);
    for (int i = 0; i < PER_WRITER; i++) {
        snprintf(body, sizeof(body), "[%d]", writer * 1000 + i);
        while (outbox_begin(own, &err) < 0)
            if (err.code != SB_EBUSY)
                _exit(2);
        if (append_to(own, &air, body, 1, "", &place) < 0 || outbox_commit(own, &err) < 0)
            _exit(3);
    }
    outbox_close(own);
    _exit(0);
}

static int sum_row(void *ctx, const struct outbox_row *row)
{
    *(long *)ctx += strtol(row->body.data + 1, NULL, 10);
    return 0;
}

static void processes_write_at_once_and_no_number_is_lost(void **state)
{
    long sum = 0, expected = 0;
    pid_t children[WRITERS];
    int status;

    (void)state;
    for (int writer = 0; writer < WRITERS; writer++) {
        if ((children[writer] = fork()) == 0)
            write_in_a_process(writer);
        for (int i = 0; i < PER_WRITER; i++)
            expected += writer * 1000 + i;
    }
    for (int writer = 0; writer < WRITERS; writer++) {
        assert_int_equal(waitpid(children[writer], &status, 0), children[writer]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    assert_covered(key_of("sensors/air_quality"), "[[1,200]]");
    assert_int_equal(
        outbox_rows(ob, key_of("sensors/air_quality"), 1, SB_SEQ_MAX, sum_row, &sum, &err), 0);
    assert_int_equal(sum, expected);
}

static void processes_make_one_first_epoch(void **state)
{
    struct epochs epochs = {0};
    struct outbox *own;
    pid_t children[WRITERS];
    int status;

    (void)state;
    teardown(NULL);
    assert_int_equal(mkdir(folder, 0700), 0);
    for (int i = 0; i < WRITERS; i++)
        if ((children[i] = fork()) == 0) {
            sb_rng_seed(&rng, (uint64_t)i);
            _exit(open_again(&own, 0) < 0);
        }
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(open_again(&ob, 0), 0);
    assert_int_equal(outbox_epochs(ob, note_epoch, &epochs, &err), 0);
    assert_int_equal(epochs.count, 1);
}

/* ---- the disk ---- */

static void replaced_file_is_detected_before_anything_is_written(void **state)
{
    struct outbox *fresh;
    char old[128];

    (void)state;
    put_five();
    snprintf(old, sizeof(old), "%s.old", path);
    assert_int_equal(rename(path, old), 0);
    assert_int_equal(outbox_begin(ob, &err), -SB_EIO);
    assert_int_equal(open_again(&fresh, 0), 0);
    assert_int_equal(outbox_begin(ob, &err), -SB_EIO);
    assert_non_null(strstr(err.msg, "replaced"));
    outbox_close(fresh);
}

static void full_disk_refuses_and_recovers(void **state)
{
    char *large = malloc(65536);
    struct outbox_place place;
    int rc = 0, rounds = 0;
    uint64_t made;
    int64_t s;

    (void)state;
    outbox_close(ob);
    assert_int_equal(open_again(&ob, 512 * 1024), 0);
    memset(large, ' ', 65536);
    memcpy(large, "[1", 2);
    memcpy(large + 65534, "]", 2);
    for (; rc == 0 && rounds < 100; rounds++) {
        begin();
        rc = append_to(ob, &air, large, 1, "", &place);
        if (rc == 0)
            rc = outbox_commit(ob, &err);
        else
            outbox_rollback(ob);
    }
    assert_int_equal(rc, -SB_EDISK_FULL);
    assert_in_range(rounds, 2, 20);
    s = key_of("sensors/air_quality");
    made = find("sensors/air_quality").made;
    purge_all(s, 1, made, (int)made);
    put(&air, large, 1, "", &place); /* there is room again, and no number was used up */
    assert_int_equal(place.first_seq, made + 1);
    free(large);
}

static void missing_file_is_not_made_unasked(void **state)
{
    const struct outbox_config config = {.path = "/tmp/sb-outbox-none/outbox.db"};
    struct outbox *none;

    (void)state;
    assert_int_equal(outbox_open(&config, &rng, &none, &err), -SB_ENOT_FOUND);
}

#define BOTH(f)                                                                                    \
    cmocka_unit_test_setup_teardown(f, setup_file, teardown),                                      \
        cmocka_unit_test_setup_teardown(f, setup_memory, teardown)
#define ON_FILE(f) cmocka_unit_test_setup_teardown(f, setup_file, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(numbers_go_on_without_gaps_per_stream),
        BOTH(rolled_back_append_leaves_nothing),
        BOTH(rows_survive_the_process),
        BOTH(repeat_of_an_id_is_recognised),
        BOTH(id_with_other_content_is_refused),
        BOTH(known_id_inside_a_chunk_of_many_is_refused),
        BOTH(chunk_beyond_its_limits_is_refused),
        BOTH(stream_beyond_the_limit_is_refused_and_the_others_go_on),
        BOTH(new_epoch_starts_every_stream_at_one),
        BOTH(repeat_finds_its_place_in_an_older_epoch),
        BOTH(settled_set_and_receipt_are_kept),
        BOTH(pending_is_counted_over_all_epochs),
        BOTH(record_dies_out_of_the_middle_of_a_chunk),
        BOTH(ordered_record_dies_with_its_row),
        BOTH(dead_record_without_a_row_is_an_error),
        BOTH(revived_record_is_a_row_again),
        BOTH(revived_record_gets_a_row_of_its_own_when_the_chunk_is_gone),
        BOTH(free_dead_letter_is_flagged_for_a_retry),
        BOTH(ordered_dead_letter_is_enqueued_anew_under_its_op_id),
        BOTH(letters_are_dropped_and_missing_ones_reported),
        BOTH(conflict_keeps_what_was_submitted_and_what_was_before),
        BOTH(answered_part_of_a_hole_goes_and_the_names_stay_with_their_numbers),
        BOTH(hole_without_names_is_split_without_names),
        BOTH(dropped_numbers_are_cut_out_of_their_chunks),
        BOTH(other_streams_keep_their_rows),
        BOTH(purge_takes_whole_settled_chunks_only),
        BOTH(purge_by_age_leaves_what_was_enqueued_in_1970),
        BOTH(purge_by_bytes_takes_the_oldest),
        BOTH(clock_never_falls_behind),
        BOTH(cursor_of_a_source_moves_with_its_records),
        BOTH(second_handle_shares_the_numbers_and_is_noticed),
        ON_FILE(processes_write_at_once_and_no_number_is_lost),
        ON_FILE(processes_make_one_first_epoch),
        ON_FILE(replaced_file_is_detected_before_anything_is_written),
        ON_FILE(full_disk_refuses_and_recovers),
        ON_FILE(missing_file_is_not_made_unasked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
