/* Batch decode: whatever is accepted keeps the promises of envelope.h, and its encoding is decoded
 * to the same again. */
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_RECORDS 100

static void check_span(struct sb_span text, struct sb_span part)
{
    SB_CHECK(part.len == 0 ||
             (part.data >= text.data && part.data + part.len <= text.data + text.len));
}

static void check_records(struct sb_span text, const struct sb_batch *batch)
{
    uint64_t in_chunks = 0;

    SB_CHECK(batch->record_count == batch->last_seq - batch->first_seq + 1);
    SB_CHECK(batch->record_count <= MAX_RECORDS && batch->field_count <= SB_FIELDS_MAX);
    for (size_t i = 0; i < batch->record_count; i++) {
        const struct sb_record *record = &batch->records[i];

        check_span(text, record->text);
        SB_CHECK(sb_json_type_of(record->text) == record->type);
        for (size_t c = 0; c < record->cell_count; c++) {
            check_span(record->text, batch->cells[record->first_cell + c].text);
            SB_CHECK(sb_json_type_of(batch->cells[record->first_cell + c].text) ==
                     batch->cells[record->first_cell + c].type);
        }
    }
    for (size_t i = 0; i < batch->chunk_count; i++)
        in_chunks += batch->chunks[i].n;
    SB_CHECK(batch->chunk_count == 0 || in_chunks == batch->record_count);
}

static void encode(const struct sb_batch *batch, struct sb_buf *out)
{
    struct sb_buf body = {0};
    struct sb_buf *ops = sb_xcalloc(batch->op_count, sizeof(*ops));
    struct sb_span *texts = sb_xcalloc(batch->op_count, sizeof(*texts));

    sb_batch_begin(out, batch, 0);
    for (size_t i = 0; i < batch->record_count; i++) {
        sb_buf_add_str(&body, i > 0 ? "," : "");
        sb_buf_add_span(&body, batch->records[i].text);
    }
    for (size_t i = 0; i < batch->op_count; i++) {
        if (batch->ops[i].len > 0)
            sb_json_unescape(batch->ops[i], &ops[i]);
        texts[i] = sb_buf_span(&ops[i]);
    }
    if (batch->form == SB_FORM_ROWS)
        sb_batch_end_rows(out, batch->fields, sb_buf_span(&body), batch->chunks,
                          batch->chunk_count);
    else if (batch->form == SB_FORM_RECORDS)
        sb_batch_end_records(out, sb_buf_span(&body));
    else
        sb_batch_end_hole(out, batch->reason, texts, batch->op_count, batch->summary);
    for (size_t i = 0; i < batch->op_count; i++)
        sb_buf_free(&ops[i]);
    free(ops);
    free(texts);
    sb_buf_free(&body);
}

static void check_again(const struct sb_batch *batch)
{
    struct sb_batch_decoder *decoder = sb_batch_decoder_new();
    struct sb_buf text = {0};
    struct sb_batch again;

    encode(batch, &text);
    SB_CHECK(sb_batch_decode(decoder, sb_buf_span(&text), MAX_RECORDS, &again, NULL) == 0);
    SB_CHECK(again.form == batch->form && again.first_seq == batch->first_seq &&
             again.last_seq == batch->last_seq && again.made == batch->made &&
             again.again == batch->again && again.record_count == batch->record_count &&
             again.op_count == batch->op_count && again.chunk_count == batch->chunk_count &&
             strcmp(again.epoch, batch->epoch) == 0 && strcmp(again.boot, batch->boot) == 0);
    for (size_t i = 0; i < batch->record_count; i++)
        SB_CHECK(sb_span_eq(again.records[i].text, batch->records[i].text) &&
                 again.records[i].cell_count == batch->records[i].cell_count);
    sb_buf_free(&text);
    sb_batch_decoder_free(decoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sb_batch_decoder *decoder;
    struct sb_span text = {(const char *)data, size};
    struct sb_batch batch;
    struct sb_err err = {0};

    if (decoder == NULL)
        decoder = sb_batch_decoder_new();
    if (sb_batch_decode(decoder, text, MAX_RECORDS, &batch, &err) < 0) {
        SB_CHECK(err.code != SB_OK && sb_utf8_valid(sb_span_of(err.msg), NULL));
        SB_CHECK(batch.device[0] == '\0' || sb_device_valid(sb_span_of(batch.device)));
        SB_CHECK(batch.batch_id[0] == '\0' || sb_uuid_valid(sb_span_of(batch.batch_id)));
        return 0;
    }
    SB_CHECK(batch.first_seq >= 1 && batch.first_seq <= batch.last_seq &&
             batch.last_seq <= batch.made && batch.made <= SB_SEQ_MAX);
    if (batch.form != SB_FORM_HOLE)
        check_records(text, &batch);
    check_again(&batch);
    return 0;
}
