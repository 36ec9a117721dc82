#include "batch_decoder.h"

#include <stdlib.h>
#include <string.h>

#include "json_text.h"
#include "json_walk.h"

/* One walk over the text takes rows and records apart and remembers where the other members are;
 * these are few and short and are read afterwards, in an order of our own: who sent it first, so
 * that a refusal has an address. */

static const char *const member_names[SB_BATCH_MEMBERS] = {
    "v",    "kind",  "batch_id", "device", "boot", "epoch",   "stream", "first_seq", "last_seq",
    "made", "again", "sent_at",  "fields", "rows", "records", "chunks", "hole",
};

struct sb_batch_decoder *sb_batch_decoder_new(void)
{
    return sb_xcalloc(1, sizeof(struct sb_batch_decoder));
}

void sb_batch_decoder_free(struct sb_batch_decoder *decoder)
{
    if (decoder == NULL)
        return;
    free(decoder->records);
    free(decoder->cells);
    free(decoder->chunks);
    free(decoder->spans);
    free(decoder);
}

void *sb_batch_room(void *at, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return at;
    *cap = *cap > 0 ? *cap * 2 : 64;
    return sb_xrealloc(at, *cap * size);
}

/* ---- the walk ---- */

static enum sb_batch_member member_of(struct sb_span raw_key)
{
    char key[16];

    if (!sb_json_copy(raw_key, key, sizeof(key)))
        return SB_BATCH_MEMBERS;
    for (int i = 0; i < SB_BATCH_MEMBERS; i++)
        if (strcmp(member_names[i], key) == 0)
            return (enum sb_batch_member)i;
    return SB_BATCH_MEMBERS;
}

static int take_row(struct sb_batch_decoder *dec, struct sb_walk *walk, struct sb_record *record)
{
    bool first = true;
    int rc = sb_walk_open_array(walk);

    if (rc < 0)
        return rc;
    record->first_cell = dec->cell_count;
    while ((rc = sb_walk_more(walk, &first)) > 0) {
        struct sb_cell *cell;

        dec->cells =
            sb_batch_room(dec->cells, dec->cell_count, &dec->cell_cap, sizeof(*dec->cells));
        cell = &dec->cells[dec->cell_count];
        rc = sb_walk_value(walk, &cell->type, &cell->text);
        if (rc < 0)
            return rc;
        dec->cell_count++;
    }
    record->cell_count = dec->cell_count - record->first_cell;
    return rc;
}

static int take_record(struct sb_batch_decoder *dec, struct sb_walk *walk, bool rows)
{
    struct sb_record *record;
    const char *from;
    int rc;

    dec->records =
        sb_batch_room(dec->records, dec->record_count, &dec->record_cap, sizeof(*dec->records));
    record = &dec->records[dec->record_count++];
    record->cell_count = 0;
    record->first_cell = dec->cell_count;
    if (!rows || !sb_walk_sees(walk, '['))
        return sb_walk_value(walk, &record->type, &record->text);
    from = walk->at;
    record->type = SB_JSON_ARRAY;
    rc = take_row(dec, walk, record);
    record->text = (struct sb_span){from, (size_t)(walk->at - from)};
    return rc;
}

static int take_elements(struct sb_batch_decoder *dec, struct sb_walk *walk, bool rows,
                         struct sb_span *value)
{
    bool first = true;
    const char *from;
    int rc;

    if (!sb_walk_sees(walk, '['))
        return sb_walk_value(walk, NULL, value);
    from = walk->at;
    rc = sb_walk_open_array(walk);
    if (rc < 0)
        return rc;
    while ((rc = sb_walk_more(walk, &first)) > 0) {
        rc = dec->elements++ < dec->max_records ? take_record(dec, walk, rows)
                                                : sb_walk_value(walk, NULL, NULL);
        if (rc < 0)
            return rc;
    }
    *value = (struct sb_span){from, (size_t)(walk->at - from)};
    return rc;
}

static int walk_object(struct sb_batch_decoder *dec, struct sb_walk *walk)
{
    struct sb_span key, other;
    bool first = true;
    size_t mark;
    int rc = sb_walk_open_object(walk, &mark);

    if (rc < 0)
        return rc;
    while ((rc = sb_walk_member(walk, mark, &first, &key)) > 0) {
        enum sb_batch_member member = member_of(key);

        if (member == SB_M_ROWS || member == SB_M_RECORDS)
            rc = take_elements(dec, walk, member == SB_M_ROWS, &dec->members[member].value);
        else
            rc = sb_walk_value(walk, NULL,
                               member < SB_BATCH_MEMBERS ? &dec->members[member].value : &other);
        if (rc < 0)
            return rc;
    }
    return rc;
}

static int walk_text(struct sb_batch_decoder *dec, struct sb_span text, struct sb_err *err)
{
    struct sb_walk walk;
    bool object = false;
    int rc = sb_walk_init(&walk, text, &sb_wire_limits, err);

    if (rc == 0) {
        object = sb_walk_sees(&walk, '{');
        rc = object ? walk_object(dec, &walk) : sb_walk_value(&walk, NULL, NULL);
    }
    if (rc == 0)
        rc = sb_walk_end(&walk);
    if (rc == 0 && !object)
        rc = sb_fail(err, SB_EBAD_TYPE, "message: not an object");
    sb_walk_fini(&walk);
    return rc;
}

/* ---- the header ---- */

static int read_stream(const struct sb_json_field *field, struct sb_stream *stream,
                       struct sb_err *err)
{
    char text[SB_STREAM_MAX * 2];
    int rc = sb_field_type(field, SB_JSON_STRING, err);

    if (rc == 0 && !sb_json_copy(field->value, text, sizeof(text)))
        rc = sb_fail(err, SB_EBAD_STREAM, "stream: too long");
    if (rc == 0)
        rc = sb_stream_parse(sb_span_of(text), stream, err);
    if (rc < 0)
        *stream = (struct sb_stream){0};
    return rc;
}

static int read_device(const struct sb_json_field *field, char *device, struct sb_err *err)
{
    int rc = sb_field_type(field, SB_JSON_STRING, err);

    if (rc < 0)
        return rc;
    if (!sb_json_copy(field->value, device, SB_NAME_MAX + 1) ||
        !sb_device_valid(sb_span_of(device))) {
        device[0] = '\0';
        return sb_fail(err, SB_EBAD_ID,
                       "device: not [A-Za-z0-9_-]{1,64} without _ at the beginning");
    }
    return 0;
}

/* All three are tried; the first error stays. */
static int read_sender(const struct sb_json_field *members, struct sb_batch *out,
                       struct sb_err *err)
{
    int device = read_device(&members[SB_M_DEVICE], out->device, err);
    int stream = read_stream(&members[SB_M_STREAM], &out->stream, device == 0 ? err : NULL);
    int id = sb_field_uuid(&members[SB_M_BATCH_ID], out->batch_id,
                           device == 0 && stream == 0 ? err : NULL);

    return device < 0 ? device : stream < 0 ? stream : id;
}

static int read_seq(const struct sb_json_field *field, uint64_t min, uint64_t *seq,
                    struct sb_err *err)
{
    int rc = sb_field_type(field, SB_JSON_NUMBER, err);

    if (rc < 0)
        return rc;
    if (!sb_json_u64(field->value, seq) || *seq < min || *seq > SB_SEQ_MAX)
        return sb_fail(err, SB_EBAD_SEQ, "%s: not a whole number from %llu to %llu", field->key,
                       (unsigned long long)min, (unsigned long long)SB_SEQ_MAX);
    return 0;
}

static int read_seqs(const struct sb_json_field *members, struct sb_batch *out, struct sb_err *err)
{
    int rc = read_seq(&members[SB_M_FIRST_SEQ], 1, &out->first_seq, err);

    if (rc == 0)
        rc = read_seq(&members[SB_M_LAST_SEQ], out->first_seq, &out->last_seq, err);
    out->made = out->last_seq;
    if (rc == 0 && sb_field_given(&members[SB_M_MADE]))
        rc = read_seq(&members[SB_M_MADE], out->last_seq, &out->made, err);
    return rc;
}

static int read_header(const struct sb_json_field *members, struct sb_batch *out,
                       struct sb_err *err)
{
    int64_t sent_at;
    int rc = sb_field_hex16(&members[SB_M_EPOCH], out->epoch, err);

    if (rc == 0 && sb_field_given(&members[SB_M_BOOT]))
        rc = sb_field_token(&members[SB_M_BOOT], out->boot, err);
    if (rc == 0)
        rc = read_seqs(members, out, err);
    if (rc == 0 && sb_field_given(&members[SB_M_AGAIN]))
        rc = sb_field_bool(&members[SB_M_AGAIN], &out->again, err);
    if (rc == 0 && sb_field_given(&members[SB_M_SENT_AT]))
        rc = sb_field_time(&members[SB_M_SENT_AT], &sent_at, err);
    return rc;
}

int sb_batch_decode(struct sb_batch_decoder *decoder, struct sb_span text, size_t max_records,
                    struct sb_batch *out, struct sb_err *err)
{
    const struct sb_json_field *members = decoder->members;
    struct sb_err sender_err = {0};
    int rc, sender;

    *out = (struct sb_batch){0};
    decoder->max_records = max_records;
    decoder->elements = decoder->record_count = decoder->cell_count = 0;
    decoder->chunk_count = decoder->span_count = 0;
    for (int i = 0; i < SB_BATCH_MEMBERS; i++)
        decoder->members[i] = (struct sb_json_field){.key = member_names[i]};
    rc = walk_text(decoder, text, err);
    sender = read_sender(members, out, &sender_err);
    if (rc == 0)
        rc = sb_field_version(&members[SB_M_V], err);
    if (rc == 0 && sb_field_given(&members[SB_M_KIND]))
        rc = sb_field_kind(&members[SB_M_KIND], "batch", err);
    if (rc == 0 && sender < 0)
        rc = sb_fail(err, sender_err.code, "%s", sender_err.msg);
    if (rc == 0)
        rc = read_header(members, out, err);
    if (rc == 0)
        rc = sb_batch_read_body(decoder, out, err);
    return rc;
}
