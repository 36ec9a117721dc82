/* The batch decoder held against a slow one over cJSON, on random batches and on changed copies of
 * them: what is valid is decoded, and whatever is decoded is what the slow one reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/envelope.h"
#include "json_kit.h"

#define MAX_RECORDS 40

static struct sb_batch_decoder *decoder;

static int setup(void **state)
{
    (void)state;
    decoder = sb_batch_decoder_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sb_batch_decoder_free(decoder);
    return 0;
}

static unsigned rounds(unsigned quick)
{
    return getenv("SB_LONG") != NULL ? quick * 50 : quick;
}

/* ---- a random batch ---- */

#define MEMBERS_MAX 20

/* Members as texts, put together in any order. */
struct parts {
    struct sb_buf member[MEMBERS_MAX];
    size_t count;
};

static struct sb_buf *part(struct parts *parts, const char *key)
{
    struct sb_buf *out = &parts->member[parts->count++];

    assert_true(parts->count <= MEMBERS_MAX);
    sb_buf_clear(out);
    sb_buf_add_fmt(out, "\"%s\":", key);
    return out;
}

static void text_part(struct parts *parts, const char *key, const char *text)
{
    sb_buf_add_json(part(parts, key), sb_span_of(text));
}

static void random_uuid(struct sb_rng *rng, char out[SB_UUID_LEN + 1])
{
    sb_uuid7(rng, (int64_t)sb_rng_below(rng, (uint64_t)1 << 56), out);
}

static void random_row(struct sb_rng *rng, uint64_t width, struct sb_buf *out)
{
    if (sb_rng_below(rng, 20) == 0) { /* bad in itself */
        kit_random_value(rng, 2, out);
        return;
    }
    sb_buf_add_char(out, '[');
    for (uint64_t i = 0; i < width; i++) {
        if (i > 0)
            sb_buf_add_char(out, ',');
        kit_random_value(rng, sb_rng_below(rng, 10) == 0 ? 2 : 0, out);
    }
    sb_buf_add_char(out, ']');
}

static void random_rows(struct sb_rng *rng, uint64_t count, struct parts *parts)
{
    uint64_t width = 1 + sb_rng_below(rng, 6), left = count;
    struct sb_buf *out = part(parts, "fields");

    sb_buf_add_str(out, "[\"ts\"");
    for (uint64_t i = 1; i < width; i++)
        sb_buf_add_fmt(out, ",\"f_%d\"", (int)i);
    sb_buf_add_char(out, ']');
    out = part(parts, "rows");
    sb_buf_add_char(out, '[');
    for (uint64_t i = 0; i < count; i++) {
        if (i > 0)
            sb_buf_add_char(out, ',');
        random_row(rng, width, out);
    }
    sb_buf_add_char(out, ']');
    if (sb_rng_below(rng, 2) == 0)
        return;
    out = part(parts, "chunks");
    while (left > 0) {
        uint64_t n = 1 + sb_rng_below(rng, left);

        sb_buf_add_fmt(out, "%s{\"n\":%d,\"mono_ms\":%d,\"wall\":\"2026-01-02T03:04:%02d.5Z\"}",
                       left == count ? "[" : ",", (int)n, (int)sb_rng_below(rng, 99999),
                       (int)sb_rng_below(rng, 60));
        left -= n;
    }
    sb_buf_add_char(out, ']');
}

static void random_records(struct sb_rng *rng, uint64_t count, struct parts *parts)
{
    struct sb_buf *out = part(parts, "records");

    sb_buf_add_char(out, '[');
    for (uint64_t i = 0; i < count; i++) {
        if (i > 0)
            sb_buf_add_char(out, ',');
        kit_random_value(rng, 3, out);
    }
    sb_buf_add_char(out, ']');
}

static void random_hole(struct sb_rng *rng, bool ordered, uint64_t count, struct parts *parts)
{
    enum sb_hole_reason reason = (enum sb_hole_reason)(1 + sb_rng_below(rng, SB_HOLE_LOST));
    struct sb_buf *out = part(parts, "hole");

    sb_buf_add_fmt(out, "{\"reason\":\"%s\"", sb_hole_reason_name(reason));
    if (ordered && reason != SB_HOLE_PURGED) {
        for (uint64_t i = 0; i < count; i++)
            sb_buf_add_fmt(out, sb_rng_below(rng, 3) == 0 ? "%snull" : "%s\"op-%d\"",
                           i == 0 ? ",\"ops\":[" : ",", (int)i);
        sb_buf_add_char(out, ']');
    }
    if (sb_rng_below(rng, 2) == 0)
        sb_buf_add_str(out, ",\"summary\":{\"count\":7}");
    sb_buf_add_char(out, '}');
}

static void random_parts(struct sb_rng *rng, struct parts *parts)
{
    static const char *const streams[] = {"sensors/a", "history/u-1", "settings/u_2", "records/x"};
    uint64_t stream = sb_rng_below(rng, 4), count = 1 + sb_rng_below(rng, 12);
    uint64_t first = 1 + sb_rng_below(rng, sb_rng_below(rng, 2) == 0 ? 100 : SB_SEQ_MAX - 20);
    char id[SB_UUID_LEN + 1], epoch[SB_EPOCH_LEN + 1];

    parts->count = 0;
    sb_buf_add_str(part(parts, "v"), "1");
    random_uuid(rng, id);
    text_part(parts, "batch_id", id);
    text_part(parts, "device", "edge-001");
    sb_hex16(rng, epoch);
    text_part(parts, "epoch", epoch);
    text_part(parts, "stream", streams[stream]);
    sb_buf_add_u64(part(parts, "first_seq"), first);
    sb_buf_add_u64(part(parts, "last_seq"), first + count - 1);
    if (sb_rng_below(rng, 2) == 0)
        sb_buf_add_u64(part(parts, "made"), first + count - 1 + sb_rng_below(rng, 5));
    if (sb_rng_below(rng, 2) == 0)
        text_part(parts, "boot", id);
    if (sb_rng_below(rng, 2) == 0)
        kit_random_value(rng, 3, part(parts, "later"));
    if (sb_rng_below(rng, 4) == 0)
        random_hole(rng, stream >= 2, count, parts);
    else if (stream == 0)
        random_rows(rng, count, parts);
    else
        random_records(rng, count, parts);
}

static void random_batch(struct sb_rng *rng, struct parts *parts, struct sb_buf *out)
{
    random_parts(rng, parts);
    for (size_t i = parts->count; i-- > 1;) { /* shuffle */
        size_t other = sb_rng_below(rng, i + 1);
        struct sb_buf swap = parts->member[i];

        parts->member[i] = parts->member[other];
        parts->member[other] = swap;
    }
    sb_buf_clear(out);
    kit_random_space(rng, out);
    sb_buf_add_char(out, '{');
    for (size_t i = 0; i < parts->count; i++) {
        kit_random_space(rng, out);
        if (i > 0)
            sb_buf_add_char(out, ',');
        kit_random_space(rng, out);
        sb_buf_add_span(out, sb_buf_span(&parts->member[i]));
    }
    sb_buf_add_char(out, '}');
    kit_random_space(rng, out);
}

/* ---- the slow one ---- */

#define SAYS(tree, key) cJSON_GetObjectItemCaseSensitive(tree, key)

static void same_string(const cJSON *item, const char *text, bool optional)
{
    if (optional && (item == NULL || cJSON_IsNull(item))) {
        assert_string_equal(text, "");
        return;
    }
    assert_true(cJSON_IsString(item));
    assert_string_equal(item->valuestring, text);
}

static void same_whole(const cJSON *item, uint64_t number)
{
    assert_true(cJSON_IsNumber(item));
    assert_true(item->valuedouble == (double)number);
}

static void same_header(const cJSON *tree, const struct sb_batch *batch)
{
    char stream[SB_STREAM_MAX + 1];
    const cJSON *made = SAYS(tree, "made"), *again = SAYS(tree, "again");

    assert_true(SAYS(tree, "v")->valuedouble == 1);
    same_string(SAYS(tree, "batch_id"), batch->batch_id, false);
    same_string(SAYS(tree, "device"), batch->device, false);
    same_string(SAYS(tree, "boot"), batch->boot, true);
    same_string(SAYS(tree, "epoch"), batch->epoch, false);
    sb_stream_print(&batch->stream, stream);
    same_string(SAYS(tree, "stream"), stream, false);
    same_whole(SAYS(tree, "first_seq"), batch->first_seq);
    same_whole(SAYS(tree, "last_seq"), batch->last_seq);
    if (made != NULL && !cJSON_IsNull(made))
        same_whole(made, batch->made);
    else
        assert_true(batch->made == batch->last_seq);
    assert_int_equal(again != NULL && cJSON_IsTrue(again), batch->again);
}

static void same_cells(const struct sb_batch *batch, const struct sb_record *record,
                       const cJSON *item)
{
    const cJSON *cell;
    size_t i = 0;

    if (!cJSON_IsArray(item)) {
        assert_int_equal(record->cell_count, 0);
        return;
    }
    cJSON_ArrayForEach(cell, item)
    {
        const struct sb_cell *ours = &batch->cells[record->first_cell + i++];

        assert_true(i <= record->cell_count);
        assert_int_equal(ours->type, sb_json_type_of(ours->text));
        assert_true(kit_same_as_tree(ours->text, cell));
    }
    assert_int_equal(i, record->cell_count);
}

static void same_records(const cJSON *list, const struct sb_batch *batch)
{
    const cJSON *item;
    size_t i = 0;

    assert_true(cJSON_IsArray(list));
    cJSON_ArrayForEach(item, list)
    {
        const struct sb_record *record = &batch->records[i++];

        assert_true(i <= batch->record_count);
        assert_int_equal(record->type, sb_json_type_of(record->text));
        assert_true(kit_same_as_tree(record->text, item));
        if (batch->form == SB_FORM_ROWS)
            same_cells(batch, record, item);
    }
    assert_int_equal(i, batch->record_count);
    assert_true(i == batch->last_seq - batch->first_seq + 1);
    assert_true(!batch->again || i == 1);
}

static void same_fields(const cJSON *list, const struct sb_batch *batch)
{
    const cJSON *item;
    size_t i = 0;

    cJSON_ArrayForEach(item, list)
    {
        assert_true(cJSON_IsString(item) && i < batch->field_count);
        assert_true(sb_span_is(batch->field_names[i++], item->valuestring));
    }
    assert_int_equal(i, batch->field_count);
    assert_true(kit_same_as_tree(batch->fields, list));
}

static void same_chunks(const cJSON *list, const struct sb_batch *batch)
{
    const cJSON *item;
    uint64_t sum = 0;
    size_t i = 0;

    cJSON_ArrayForEach(item, list)
    {
        const struct sb_chunk *chunk = &batch->chunks[i++];

        assert_true(i <= batch->chunk_count);
        same_whole(SAYS(item, "n"), chunk->n);
        sum += chunk->n;
        if (chunk->has_times) {
            int64_t wall;

            same_whole(SAYS(item, "mono_ms"), (uint64_t)chunk->mono_ms);
            assert_true(sb_time_parse(sb_span_of(SAYS(item, "wall")->valuestring), &wall));
            assert_int_equal(wall, chunk->wall_us);
        }
    }
    assert_int_equal(i, batch->chunk_count);
    assert_true(i == 0 || sum == batch->record_count);
}

static void same_hole(const cJSON *hole, const struct sb_batch *batch)
{
    const cJSON *ops = SAYS(hole, "ops"), *op;
    size_t i = 0;

    same_string(SAYS(hole, "reason"), sb_hole_reason_name(batch->reason), false);
    if (ops != NULL)
        cJSON_ArrayForEach(op, ops)
        {
            assert_true(i < batch->op_count);
            if (batch->ops[i].len == 0)
                assert_true(cJSON_IsNull(op));
            else
                assert_true(kit_same_as_tree(batch->ops[i], op));
            i++;
        }
    assert_int_equal(i, batch->op_count);
}

static void same_as_the_slow_one(struct sb_span text, const struct sb_batch *batch)
{
    cJSON *tree = cJSON_ParseWithLength(text.data, text.len);

    if (tree == NULL)
        return; /* a number that this cJSON cannot take; see test_json.c */
    same_header(tree, batch);
    switch (batch->form) {
    case SB_FORM_ROWS:
        same_fields(SAYS(tree, "fields"), batch);
        same_records(SAYS(tree, "rows"), batch);
        same_chunks(SAYS(tree, "chunks"), batch);
        break;
    case SB_FORM_RECORDS:
        same_records(SAYS(tree, "records"), batch);
        break;
    case SB_FORM_HOLE:
        same_hole(SAYS(tree, "hole"), batch);
        break;
    }
    cJSON_Delete(tree);
}

/* ---- the tests ---- */

static bool decode(const struct sb_buf *text, bool must)
{
    char *copy = malloc(text->len > 0 ? text->len : 1);
    struct sb_batch batch;
    struct sb_err err = {0};
    bool ok;

    assert_non_null(copy);
    memcpy(copy, text->data, text->len);
    ok =
        sb_batch_decode(decoder, (struct sb_span){copy, text->len}, MAX_RECORDS, &batch, &err) == 0;
    if (ok)
        same_as_the_slow_one((struct sb_span){copy, text->len}, &batch);
    else if (must)
        fail_msg("%.*s: %s", (int)text->len, text->data, err.msg);
    else
        assert_true(err.code != SB_OK && err.msg[0] != '\0' &&
                    sb_utf8_valid(sb_span_of(err.msg), NULL));
    free(copy);
    return ok;
}

static void random_batches_are_read_as_the_slow_one_reads_them(void **state)
{
    static struct parts parts;
    struct sb_buf text = {0};
    struct sb_rng rng;
    unsigned changed = 0;

    (void)state;
    sb_rng_seed(&rng, 1);
    for (unsigned i = 0; i < rounds(2000); i++) {
        random_batch(&rng, &parts, &text);
        decode(&text, true);
        for (uint64_t n = 1 + sb_rng_below(&rng, 6); n > 0; n--) {
            kit_mutate(&rng, &text);
            changed += decode(&text, false);
        }
    }
    assert_true(changed > rounds(2000) / 10);
    sb_buf_free(&text);
    for (size_t i = 0; i < MEMBERS_MAX; i++)
        sb_buf_free(&parts.member[i]);
}

/* Every prefix of a batch ends in an error, and none is read past its end. */
static void cut_off_batches_are_refused(void **state)
{
    static struct parts parts;
    struct sb_buf text = {0};
    struct sb_rng rng;

    (void)state;
    sb_rng_seed(&rng, 2);
    for (unsigned i = 0; i < 40; i++) {
        size_t end;

        random_batch(&rng, &parts, &text);
        for (end = text.len; text.data[end - 1] != '}'; end--)
            ;
        while (end-- > 0) {
            text.len = end;
            assert_false(decode(&text, false));
        }
    }
    sb_buf_free(&text);
    for (size_t i = 0; i < MEMBERS_MAX; i++)
        sb_buf_free(&parts.member[i]);
}

/* Joined records cut into parts and joined again are the same records. */
static void slices_put_together_are_the_whole(void **state)
{
    struct sb_buf joined = {0};
    struct sb_rng rng;

    (void)state;
    sb_rng_seed(&rng, 3);
    for (unsigned i = 0; i < rounds(2000); i++) {
        uint64_t count = 1 + sb_rng_below(&rng, 12), at = 0;
        struct sb_span value, slice;

        sb_buf_clear(&joined);
        sb_buf_add_char(&joined, '[');
        for (uint64_t n = 0; n < count; n++) {
            if (n > 0)
                sb_buf_add_char(&joined, ',');
            kit_random_value(&rng, 3, &joined);
        }
        sb_buf_add_char(&joined, ']');
        value = (struct sb_span){joined.data + 1, joined.len - 2};
        assert_int_equal(sb_json_count(sb_buf_span(&joined)), count);
        while (at < count) {
            uint64_t take = 1 + sb_rng_below(&rng, count - at);
            struct sb_buf wrapped = {0};
            struct sb_json_iter whole, part_iter;
            struct sb_span a, b;

            assert_true(sb_records_slice(value, at, take, &slice));
            sb_buf_add_fmt(&wrapped, "[" SB_SPAN_FMT "]", SB_SPAN_ARG(slice));
            assert_int_equal(sb_json_count(sb_buf_span(&wrapped)), take);
            sb_json_iter_init(&whole, sb_buf_span(&joined));
            for (uint64_t n = 0; n < at; n++)
                sb_json_next_element(&whole, &a);
            sb_json_iter_init(&part_iter, sb_buf_span(&wrapped));
            while (sb_json_next_element(&part_iter, &b)) {
                assert_true(sb_json_next_element(&whole, &a));
                assert_true(sb_span_eq(a, b));
            }
            sb_buf_free(&wrapped);
            at += take;
        }
        assert_false(sb_records_slice(value, 0, count + 1, &slice));
        assert_false(sb_records_slice(value, count, 1, &slice));
    }
    sb_buf_free(&joined);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_batches_are_read_as_the_slow_one_reads_them),
        cmocka_unit_test(cut_off_batches_are_refused),
        cmocka_unit_test(slices_put_together_are_the_whole),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
