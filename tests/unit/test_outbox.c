/* Stage 2, the file: what is given a number keeps it, and every change of a row leaves each number
 * in exactly one place. */
#include "outbox_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- append ---- */

static void numbers_go_on_without_gaps_per_stream(void **state)
{
    struct outbox_place place;

    (void)state;
    box_put_five();
    box_put(&box_air, "[6]", 1, "", &place);
    assert_int_equal(place.first_seq, 6);
    box_put_edit("op-a", &place);
    assert_int_equal(place.first_seq, 1);
    assert_false(place.repeat);
    box_assert_rows(box_key_of("sensors/air_quality"), "1-5 [1],[2],[3],[4],[5];6-6 [6];");
    box_assert_rows(box_key_of("settings/user-1"), "1-1 {\"op_id\":\"op-a\"} op=op-a;");
    box_assert_bytes_counted("sensors/air_quality");
}

static void rolled_back_append_leaves_nothing(void **state)
{
    struct outbox_place place;

    (void)state;
    box_begin();
    assert_int_equal(box_append_to(box_ob, &box_air, "[1]", 1, "id-1", &place), 0);
    outbox_rollback(box_ob);
    assert_int_equal(box_find("sensors/air_quality").streams, 0);
    box_put(&box_air, "[9]", 1, "id-1", &place);
    assert_int_equal(place.first_seq, 1);
    assert_false(place.repeat);
}

static void rows_survive_the_process(void **state)
{
    struct outbox *second;

    (void)state;
    box_put_five();
    if (box_in_memory) { /* held by a second handle, as the simulator does across a crash */
        assert_int_equal(box_open_again(&second, 0), 0);
        outbox_close(box_ob);
        box_ob = second;
    } else {
        outbox_close(box_ob);
        assert_int_equal(box_open_again(&box_ob, 0), 0);
    }
    box_assert_rows(box_key_of("sensors/air_quality"), "1-5 [1],[2],[3],[4],[5];");
}

static void repeat_of_an_id_is_recognised(void **state)
{
    struct outbox_place place;

    (void)state;
    box_put(&box_air, "[1]", 1, "id-1", &place);
    box_put(&box_air, "[2]", 1, "", &place);
    box_put(&box_air, "[1]", 1, "id-1", &place);
    assert_true(place.repeat);
    assert_int_equal(place.first_seq, 1);
    assert_int_equal(box_find("sensors/air_quality").made, 2);
}

static void id_with_other_content_is_refused(void **state)
{
    struct outbox_place place;

    (void)state;
    box_put(&box_air, "[1]", 1, "id-1", &place);
    box_begin();
    assert_int_equal(box_append_to(box_ob, &box_air, "[2]", 1, "id-1", &place), -SB_EID_REUSED);
    outbox_rollback(box_ob);
    box_put(&box_settings, "{\"op_id\":\"id-1\"}", 1, "id-1",
            &place); /* another stream, another id space */
    assert_false(place.repeat);
}

static void known_id_inside_a_chunk_of_many_is_refused(void **state)
{
    const struct outbox_id ids[2] = {{SB_SPAN("new"), 1}, {SB_SPAN("id-1"), 0}};
    struct outbox_id both[2];
    struct outbox_chunk chunk = {.stream = box_air,
                                 .fields = SB_SPAN("[\"ts\",\"v\"]"),
                                 .body = SB_SPAN("[7],[1]"),
                                 .count = 2,
                                 .device_boot = box_boot_id};
    struct outbox_place place;

    (void)state;
    box_put(&box_air, "[1]", 1, "id-1", &place);
    memcpy(both, ids, sizeof(both));
    both[1].hash = sb_hash64(SB_SPAN("[1]"));
    chunk.ids = both;
    box_begin();
    assert_int_equal(outbox_append(box_ob, &chunk, &place, &box_err), -SB_EEXISTS);
    outbox_rollback(box_ob);
    assert_int_equal(box_find("sensors/air_quality").made, 1);
}

static void chunk_beyond_its_limits_is_refused(void **state)
{
    struct outbox_chunk chunk = {
        .stream = box_air, .fields = SB_SPAN("[]"), .count = 1001, .device_boot = ""};
    char *large = malloc(OUTBOX_ROW_MAX_BYTES + 1);
    struct outbox_place place;

    (void)state;
    memset(large, '1', OUTBOX_ROW_MAX_BYTES + 1);
    box_begin();
    assert_int_equal(outbox_append(box_ob, &chunk, &place, &box_err), -SB_ELIMIT);
    chunk.count = 2;
    chunk.body = (struct sb_span){large, OUTBOX_ROW_MAX_BYTES + 1};
    assert_int_equal(outbox_append(box_ob, &chunk, &place, &box_err), -SB_ELIMIT);
    chunk.count = 1; /* one record may be larger than a chunk */
    assert_int_equal(outbox_append(box_ob, &chunk, &place, &box_err), 0);
    box_commit();
    free(large);
}

/* ---- epochs ---- */

static void stream_beyond_the_limit_is_refused_and_the_others_go_on(void **state)
{
    struct sb_stream stream = {.class = SB_UP_SENSORS};
    struct outbox_place place;

    (void)state;
    box_begin();
    for (int i = 0; i < OUTBOX_MAX_STREAMS; i++) {
        snprintf(stream.name, sizeof(stream.name), "type-%d", i);
        assert_int_equal(box_append_to(box_ob, &stream, "[1]", 1, "", &place), 0);
    }
    box_commit();
    box_begin();
    snprintf(stream.name, sizeof(stream.name), "one-more");
    assert_int_equal(box_append_to(box_ob, &stream, "[1]", 1, "", &place), -SB_ELIMIT);
    outbox_rollback(box_ob);
    box_begin(); /* a name that is known needs no room, in a new epoch neither */
    snprintf(stream.name, sizeof(stream.name), "type-7");
    assert_int_equal(box_append_to(box_ob, &stream, "[2]", 1, "", &place), 0);
    assert_int_equal(place.first_seq, 2);
    assert_int_equal(outbox_new_epoch(box_ob, &box_rng, box_now.wall_us, place.epoch, &box_err), 0);
    assert_int_equal(box_append_to(box_ob, &stream, "[3]", 1, "", &place), 0);
    assert_int_equal(place.first_seq, 1);
    box_commit();
}

static void new_epoch_starts_every_stream_at_one(void **state)
{
    char epoch[SB_EPOCH_LEN + 1];
    struct outbox_place place;
    struct box_epochs epochs = {0};

    (void)state;
    box_put_five();
    box_begin();
    assert_int_equal(outbox_new_epoch(box_ob, &box_rng, box_now.wall_us, epoch, &box_err), 0);
    box_commit();
    box_put(&box_air, "[6]", 1, "", &place);
    assert_string_equal(place.epoch, epoch);
    assert_int_equal(place.first_seq, 1);
    assert_int_equal(outbox_epochs(box_ob, box_note_epoch, &epochs, &box_err), 0);
    assert_int_equal(epochs.count, 2);
    assert_string_equal(epochs.last, epoch);
    box_assert_rows(box_key_of("sensors/air_quality"), "1-1 [6];");
}

static void repeat_finds_its_place_in_an_older_epoch(void **state)
{
    char epoch[SB_EPOCH_LEN + 1], first[SB_EPOCH_LEN + 1];
    struct outbox_place place;

    (void)state;
    box_put(&box_air, "[1]", 1, "id-1", &place);
    memcpy(first, place.epoch, sizeof(first));
    box_begin();
    assert_int_equal(outbox_new_epoch(box_ob, &box_rng, box_now.wall_us, epoch, &box_err), 0);
    box_commit();
    box_put(&box_air, "[1]", 1, "id-1", &place);
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
    struct box_stream found = {.name = "sensors/air_quality"};
    uint64_t commit_number = 99;

    (void)state;
    assert_int_equal(outbox_receipt_get(box_ob, boot, &commit_number, &box_err), 0);
    assert_string_equal(boot, "");
    assert_int_equal(commit_number, 0);
    box_put_five();
    box_begin();
    assert_int_equal(outbox_receipt_set(box_ob, box_boot_id, UINT64_C(9007199254740993), &box_err),
                     0);
    box_commit();
    box_set_settled(box_key_of("sensors/air_quality"), 2, 3);
    assert_int_equal(outbox_receipt_get(box_ob, boot, &commit_number, &box_err), 0);
    assert_string_equal(boot, box_boot_id);
    assert_true(commit_number == UINT64_C(9007199254740993));
    assert_int_equal(outbox_streams(box_ob, box_look_for_stream, &found, &box_err), 0);
    assert_int_equal(sb_ranges_parse(&set, sb_buf_span(&found.settled), 10, &box_err), 0);
    sb_ranges_print(&set, &text);
    assert_string_equal(text.data, "[[2,3]]");
    assert_int_equal(outbox_counts(box_ob, &counts, &box_err), 0);
    assert_int_equal(counts.pending, 3);
    assert_int_equal(counts.oldest_pending_us, box_now.wall_us);
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
    box_put_edit("op-a", &place);
    box_begin();
    assert_int_equal(outbox_new_epoch(box_ob, &box_rng, box_now.wall_us, epoch, &box_err), 0);
    box_commit();
    box_put_edit("op-b", &place);
    box_put_five();
    assert_int_equal(outbox_pending_of(box_ob, &box_settings, &count, &box_err), 0);
    assert_int_equal(count, 2);
    box_set_settled(box_key_of("settings/user-1"), 1, 1);
    assert_int_equal(outbox_pending_of(box_ob, &box_settings, &count, &box_err), 0);
    assert_int_equal(count, 1);
}

/* ---- rows that go ---- */

static void drop(int64_t s, uint64_t lo, uint64_t hi)
{
    box_begin();
    assert_int_equal(outbox_rows_drop(box_ob, s, lo, hi, &box_err), 0);
    box_commit();
}

static void dropped_numbers_are_cut_out_of_their_chunks(void **state)
{
    struct outbox_place place;
    int64_t s;

    (void)state;
    box_put_five();
    box_put(&box_air, "[6],[7],[8]", 3, "", &place);
    box_put(&box_air, "[9]", 1, "", &place);
    s = box_key_of("sensors/air_quality");
    drop(s, 3, 3);
    box_assert_rows(s, "1-2 [1],[2];4-5 [4],[5];6-8 [6],[7],[8];9-9 [9];");
    drop(s, 5, 6);
    box_assert_rows(s, "1-2 [1],[2];4-4 [4];7-8 [7],[8];9-9 [9];");
    drop(s, 2, 8);
    box_assert_rows(s, "1-1 [1];9-9 [9];");
    drop(s, 3, 8); /* nothing there */
    box_assert_rows(s, "1-1 [1];9-9 [9];");
    box_assert_bytes_counted("sensors/air_quality");
    drop(s, 1, 9);
    box_assert_covered(s, "[]");
    assert_int_equal(box_find("sensors/air_quality").bytes, 0);
}

static void other_streams_keep_their_rows(void **state)
{
    struct outbox_place place;

    (void)state;
    box_put_five();
    box_put_edit("op-a", &place);
    drop(box_key_of("sensors/air_quality"), 1, SB_SEQ_MAX);
    box_assert_rows(box_key_of("settings/user-1"), "1-1 {\"op_id\":\"op-a\"} op=op-a;");
}

static void purge_takes_whole_settled_chunks_only(void **state)
{
    struct outbox_place place;
    int64_t s;

    (void)state;
    box_put_five();
    box_put(&box_air, "[6]", 1, "id-6", &place);
    s = box_key_of("sensors/air_quality");
    box_purge_all(s, 1, 4, 0);
    box_assert_rows(s, "1-5 [1],[2],[3],[4],[5];6-6 [6];");
    box_purge_all(s, 6, 6, 1);
    box_assert_rows(s, "1-5 [1],[2],[3],[4],[5];");
    box_assert_bytes_counted("sensors/air_quality");
    box_put(&box_air, "[6]", 1, "id-6", &place); /* its id was forgotten with it */
    assert_false(place.repeat);
    assert_int_equal(place.first_seq, 7);
}

/* A row of a device whose clock was not set has no known age. */
static void purge_by_age_leaves_what_was_enqueued_in_1970(void **state)
{
    struct sb_now real = box_now;
    struct outbox_place place;

    (void)state;
    box_now.wall_us = 1000000;
    box_put(&box_air, "[1]", 1, "", &place);
    box_purge_all(box_key_of("sensors/air_quality"), 1, 1, 0);
    box_assert_rows(box_key_of("sensors/air_quality"), "1-1 [1];");
    box_now = real;
}

static void purge_by_bytes_takes_the_oldest(void **state)
{
    struct outbox_place place;
    struct sb_ranges settled = {0};
    int deleted = 0;
    int64_t s;

    (void)state;
    box_put(&box_air, "[1]", 1, "", &place);
    box_put(&box_air, "[2]", 1, "", &place);
    box_put(&box_air, "[3]", 1, "", &place);
    s = box_key_of("sensors/air_quality");
    sb_ranges_add(&settled, 1, 3);
    box_begin();
    assert_int_equal(outbox_purge(box_ob, s, &settled, 0, 4, 100, &deleted, &box_err), 0);
    box_commit();
    assert_int_equal(deleted, 2);
    box_assert_rows(s, "3-3 [3];");
    box_begin();
    assert_int_equal(outbox_purge(box_ob, s, &settled, 0, 0, 100, &deleted, &box_err), 0);
    box_commit();
    assert_int_equal(deleted, 0);
    sb_ranges_free(&settled);
}

/* ---- small tables ---- */

static void clock_never_falls_behind(void **state)
{
    uint64_t a, b, c;

    (void)state;
    box_begin();
    assert_int_equal(outbox_hlc(box_ob, box_now.wall_us, 0, &a, &box_err), 0);
    assert_int_equal(outbox_hlc(box_ob, 1000, 0, &b, &box_err),
                     0); /* the wall clock went to 1970 */
    assert_int_equal(outbox_hlc(box_ob, 1000, b + 50, &c, &box_err), 0);
    box_commit();
    assert_true(a == (uint64_t)(box_now.wall_us / 1000) << 16);
    assert_true(b == a + 1);
    assert_true(c == b + 51);
}

static void cursor_of_a_source_moves_with_its_records(void **state)
{
    uint64_t offset = 0, hash = 0;
    bool found = true;

    (void)state;
    assert_int_equal(outbox_cursor_get(box_ob, "file.csv", &offset, &hash, &found, &box_err), 0);
    assert_false(found);
    box_begin();
    assert_int_equal(outbox_cursor_set(box_ob, "file.csv", 10, 1, &box_err), 0);
    assert_int_equal(outbox_cursor_set(box_ob, "file.csv", 20, UINT64_MAX, &box_err), 0);
    box_commit();
    assert_int_equal(outbox_cursor_get(box_ob, "file.csv", &offset, &hash, &found, &box_err), 0);
    assert_true(found);
    assert_int_equal(offset, 20);
    assert_true(hash == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOX_BOTH(numbers_go_on_without_gaps_per_stream),
        BOX_BOTH(rolled_back_append_leaves_nothing),
        BOX_BOTH(rows_survive_the_process),
        BOX_BOTH(repeat_of_an_id_is_recognised),
        BOX_BOTH(id_with_other_content_is_refused),
        BOX_BOTH(known_id_inside_a_chunk_of_many_is_refused),
        BOX_BOTH(chunk_beyond_its_limits_is_refused),
        BOX_BOTH(stream_beyond_the_limit_is_refused_and_the_others_go_on),
        BOX_BOTH(new_epoch_starts_every_stream_at_one),
        BOX_BOTH(repeat_finds_its_place_in_an_older_epoch),
        BOX_BOTH(settled_set_and_receipt_are_kept),
        BOX_BOTH(pending_is_counted_over_all_epochs),
        BOX_BOTH(dropped_numbers_are_cut_out_of_their_chunks),
        BOX_BOTH(other_streams_keep_their_rows),
        BOX_BOTH(purge_takes_whole_settled_chunks_only),
        BOX_BOTH(purge_by_age_leaves_what_was_enqueued_in_1970),
        BOX_BOTH(purge_by_bytes_takes_the_oldest),
        BOX_BOTH(clock_never_falls_behind),
        BOX_BOTH(cursor_of_a_source_moves_with_its_records),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
