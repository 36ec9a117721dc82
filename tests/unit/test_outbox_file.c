/* Stage 2, the file: several handles and processes on it, another in its place, a full disk. */
#include "outbox_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "edge_agent/outbox_docs.h"

/* ---- several writers ---- */

static void second_handle_shares_the_numbers_and_is_noticed(void **state)
{
    struct outbox *second;
    struct outbox_place place;
    int64_t version;

    (void)state;
    box_put_five();
    version = outbox_data_version(box_ob);
    assert_int_equal(box_open_again(&second, 0), 0);
    assert_int_equal(outbox_data_version(box_ob), version); /* opening changed nothing */
    assert_int_equal(outbox_begin(second, &box_err), 0);
    assert_int_equal(box_append_to(second, &box_air, "[6]", 1, "", &place), 0);
    assert_int_equal(place.first_seq, 6);
    assert_int_equal(outbox_begin(box_ob, &box_err), -SB_EBUSY); /* one writer at a time */
    assert_int_equal(outbox_commit(second, &box_err), 0);
    assert_int_not_equal(outbox_data_version(box_ob), version);
    box_put(&box_air, "[7]", 1, "", &place);
    assert_int_equal(place.first_seq, 7);
    outbox_close(second);
}

#define WRITERS 4

#define PER_WRITER 50

static void write_in_a_process(int writer)
{
    struct outbox_place place;
    struct outbox *own;
    char body[32];

    if (box_open_again(&own, 0) < 0)
        _exit(1);
    for (int i = 0; i < PER_WRITER; i++) {
        snprintf(body, sizeof(body), "[%d]", writer * 1000 + i);
        while (outbox_begin(own, &box_err) < 0)
            if (box_err.code != SB_EBUSY)
                _exit(2);
        if (box_append_to(own, &box_air, body, 1, "", &place) < 0 ||
            outbox_commit(own, &box_err) < 0)
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
    box_assert_covered(box_key_of("sensors/air_quality"), "[[1,200]]");
    assert_int_equal(outbox_rows(box_ob, box_key_of("sensors/air_quality"), 1, SB_SEQ_MAX, sum_row,
                                 &sum, &box_err),
                     0);
    assert_int_equal(sum, expected);
}

static void processes_make_one_first_epoch(void **state)
{
    struct box_epochs epochs = {0};
    struct outbox *own;
    pid_t children[WRITERS];
    int status;

    (void)state;
    box_teardown(NULL);
    assert_int_equal(mkdir(box_folder, 0700), 0);
    for (int i = 0; i < WRITERS; i++)
        if ((children[i] = fork()) == 0) {
            sb_rng_seed(&box_rng, (uint64_t)i);
            _exit(box_open_again(&own, 0) < 0);
        }
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(box_open_again(&box_ob, 0), 0);
    assert_int_equal(outbox_epochs(box_ob, box_note_epoch, &epochs, &box_err), 0);
    assert_int_equal(epochs.count, 1);
}

/* ---- the disk ---- */

static void replaced_file_is_detected_before_anything_is_written(void **state)
{
    struct outbox *fresh;
    char old[128];

    (void)state;
    box_put_five();
    snprintf(old, sizeof(old), "%s.old", box_path);
    assert_int_equal(rename(box_path, old), 0);
    assert_int_equal(outbox_begin(box_ob, &box_err), -SB_EIO);
    assert_int_equal(box_open_again(&fresh, 0), 0);
    assert_int_equal(outbox_begin(box_ob, &box_err), -SB_EIO);
    assert_non_null(strstr(box_err.msg, "replaced"));
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
    outbox_close(box_ob);
    assert_int_equal(box_open_again(&box_ob, 512 * 1024), 0);
    memset(large, ' ', 65536);
    memcpy(large, "[1", 2);
    memcpy(large + 65534, "]", 2);
    for (; rc == 0 && rounds < 100; rounds++) {
        box_begin();
        rc = box_append_to(box_ob, &box_air, large, 1, "", &place);
        if (rc == 0)
            rc = outbox_commit(box_ob, &box_err);
        else
            outbox_rollback(box_ob);
    }
    assert_int_equal(rc, -SB_EDISK_FULL);
    assert_in_range(rounds, 2, 20);
    s = box_key_of("sensors/air_quality");
    made = box_find("sensors/air_quality").made;
    box_purge_all(s, 1, made, (int)made);
    box_put(&box_air, large, 1, "", &place); /* there is room again, and no number was used up */
    assert_int_equal(place.first_seq, made + 1);
    free(large);
}

/* A reading with fields of its own, of some kilobytes. */
static void put_with_fields(int round)
{
    struct sb_buf fields = {0};
    struct outbox_chunk chunk = {.stream = box_air,
                                 .body = SB_SPAN("[\"2026-01-02T03:04:05Z\",1]"),
                                 .count = 1,
                                 .device_boot = box_boot_id,
                                 .mono_ms = box_now.mono_ms,
                                 .wall_us = box_now.wall_us};
    struct outbox_place place;

    sb_buf_add_fmt(&fields, "[\"ts\",\"of_round_%d_%04000d\"]", round, 0);
    chunk.fields = sb_buf_span(&fields);
    box_begin();
    assert_int_equal(outbox_append(box_ob, &chunk, &place, &box_err), 0);
    box_commit();
    sb_buf_free(&fields);
}

static int see_row(void *ctx, const struct outbox_row *row)
{
    *(bool *)ctx = row->fields.len > 4000;
    return 1;
}

static bool row_is_readable(uint64_t seq)
{
    bool seen = false;

    assert_int_equal(
        outbox_rows(box_ob, box_key_of("sensors/air_quality"), seq, seq, see_row, &seen, &box_err),
        0);
    return seen;
}

/* Names of fields that are made of addresses or serial numbers. */
static void fields_that_nobody_uses_any_more_make_room(void **state)
{
    (void)state;
    outbox_close(box_ob);
    assert_int_equal(box_open_again(&box_ob, 1024 * 1024), 0);
    for (int round = 1; round <= 300; round++) {
        put_with_fields(round);
        box_purge_all(box_key_of("sensors/air_quality"), 1, (uint64_t)round, 1);
    }
    put_with_fields(7);
    put_with_fields(7); /* used twice: the row that stays needs them */
    box_purge_all(box_key_of("sensors/air_quality"), 1, 301, 1);
    box_assert_covered(box_key_of("sensors/air_quality"), "[[302,302]]");
    assert_true(row_is_readable(302));
}

static void fields_of_a_dead_letter_go_with_it(void **state)
{
    int64_t s;

    (void)state;
    outbox_close(box_ob);
    assert_int_equal(box_open_again(&box_ob, 1024 * 1024), 0);
    for (int round = 1; round <= 300; round++) {
        put_with_fields(round);
        s = box_key_of("sensors/air_quality");
        box_begin();
        assert_int_equal(outbox_dead_add(box_ob, s, (uint64_t)round, SB_EBAD_VALUE, "no",
                                         box_now.wall_us, &box_err),
                         0);
        box_commit();
        box_purge_all(s, 1, (uint64_t)round, 1);
        box_begin();
        assert_int_equal(outbox_dead_drop(box_ob, round, &box_err), 0);
        box_commit();
    }
}

/* ---- local history ---- */

#define DAY_US INT64_C(86400000000)

static int try_history(int64_t wall_us, const char *body)
{
    int rc = outbox_begin(box_ob, &box_err);

    if (rc == 0)
        rc =
            outbox_history_add(box_ob, "user-1", SB_SPAN("c"), sb_span_of(body), wall_us, &box_err);
    if (rc != 0) {
        outbox_rollback(box_ob);
        return rc;
    }
    return outbox_commit(box_ob, &box_err);
}

static int purge_history(int64_t before_us, int limit)
{
    int dropped;

    box_begin();
    assert_int_equal(outbox_history_purge(box_ob, before_us, limit, &dropped, &box_err), 0);
    box_commit();
    return dropped;
}

static int count_history(void *ctx, int64_t id, struct sb_span body)
{
    (void)id;
    (void)body;
    ++*(int *)ctx;
    return 0;
}

static int history_left(void)
{
    int left = 0;

    assert_int_equal(outbox_history_since(box_ob, "user-1", 0, count_history, &left, &box_err), 0);
    return left;
}

static void local_history_goes_when_it_is_too_old(void **state)
{
    const int64_t now_us = box_now.wall_us;

    (void)state;
    assert_int_equal(try_history(5 * DAY_US, "{}"), 0); /* the clock was not set: who knows */
    for (int days = 12; days > 0; days--)
        assert_int_equal(try_history(now_us - days * DAY_US, "{}"), 0);
    assert_int_equal(purge_history(now_us - 8 * DAY_US, 3), 3);
    assert_int_equal(purge_history(now_us - 8 * DAY_US, 3), 1);
    assert_int_equal(purge_history(now_us - 8 * DAY_US, 3), 0);
    assert_int_equal(history_left(), 9);
    assert_int_equal(purge_history(now_us, 100), 7);
    assert_int_equal(history_left(), 2); /* the newest stays, marks are compared with it */
}

static void local_history_makes_room_oldest_first(void **state)
{
    char body[2001];

    (void)state;
    memset(body, 'x', sizeof(body) - 1);
    body[sizeof(body) - 1] = '\0';
    outbox_close(box_ob);
    assert_int_equal(box_open_again(&box_ob, 1024 * 1024), 0);
    while (try_history(box_now.wall_us, body) == 0)
        continue;
    assert_int_equal(box_err.code, SB_EDISK_FULL);
    while (purge_history(0, 10) > 0)
        continue;
    assert_in_range(history_left(), 200, 450);
    for (int i = 0; i < 2000; i++) { /* as many as one likes */
        assert_int_equal(try_history(box_now.wall_us, body), 0);
        purge_history(0, 10);
    }
}

static void missing_file_is_not_made_unasked(void **state)
{
    const struct outbox_config config = {.path = "/tmp/sb-outbox-none/outbox.db"};
    struct outbox *none;

    (void)state;
    assert_int_equal(outbox_open(&config, &box_rng, &none, &box_err), -SB_ENOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOX_BOTH(second_handle_shares_the_numbers_and_is_noticed),
        BOX_ON_FILE(processes_write_at_once_and_no_number_is_lost),
        BOX_ON_FILE(processes_make_one_first_epoch),
        BOX_ON_FILE(replaced_file_is_detected_before_anything_is_written),
        BOX_ON_FILE(full_disk_refuses_and_recovers),
        BOX_ON_FILE(fields_that_nobody_uses_any_more_make_room),
        BOX_ON_FILE(fields_of_a_dead_letter_go_with_it),
        BOX_ON_FILE(local_history_goes_when_it_is_too_old),
        BOX_ON_FILE(local_history_makes_room_oldest_first),
        BOX_ON_FILE(missing_file_is_not_made_unasked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
