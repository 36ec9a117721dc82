#include "batch_decoder.h"

#include "json_text.h"

static bool known_field(const struct sb_batch_decoder *dec, struct sb_span name)
{
    for (size_t i = 0; i < dec->span_count; i++)
        if (sb_span_eq(dec->spans[i], name))
            return true;
    return false;
}

static int read_field_name(struct sb_batch_decoder *dec, struct sb_span value, struct sb_err *err)
{
    struct sb_span name;

    if (sb_json_type_of(value) != SB_JSON_STRING)
        return sb_fail(err, SB_EBAD_TYPE, "fields: element %zu is not a string", dec->span_count);
    name = (struct sb_span){value.data + 1, value.len - 2};
    if (!sb_name_valid(name))
        return sb_fail(err, SB_EBAD_ID, "fields: element %zu is not [A-Za-z0-9_-]{1,64}",
                       dec->span_count);
    if (known_field(dec, name))
        return sb_fail(err, SB_EDUPLICATE_KEY, "fields: " SB_SPAN_FMT " a second time",
                       SB_SPAN_ARG(name));
    if (dec->span_count == SB_FIELDS_MAX)
        return sb_fail(err, SB_EBAD_VALUE, "fields: more than %d", SB_FIELDS_MAX);
    dec->spans = sb_batch_room(dec->spans, dec->span_count, &dec->span_cap, sizeof(*dec->spans));
    dec->spans[dec->span_count++] = name;
    return 0;
}

static int read_fields(struct sb_batch_decoder *dec, struct sb_batch *out, struct sb_err *err)
{
    const struct sb_json_field *fields = &dec->members[SB_M_FIELDS];
    struct sb_json_iter iter;
    struct sb_span value;
    int rc = sb_field_type(fields, SB_JSON_ARRAY, err);

    if (rc < 0)
        return rc;
    sb_json_iter_init(&iter, fields->value);
    while (rc == 0 && sb_json_next_element(&iter, &value))
        rc = read_field_name(dec, value, err);
    if (rc < 0)
        return rc;
    if (dec->span_count == 0 || !sb_span_is(dec->spans[0], "ts"))
        return sb_fail(err, SB_EMISSING_FIELD, "fields: the first is not ts");
    out->fields = fields->value;
    out->field_names = dec->spans;
    out->field_count = dec->span_count;
    return 0;
}

static enum sb_clock_quality quality_of(struct sb_span value)
{
    if (sb_json_string_is(value, "ntp"))
        return SB_CLOCK_NTP;
    if (sb_json_string_is(value, "rtc"))
        return SB_CLOCK_RTC;
    return SB_CLOCK_UNKNOWN;
}

static int read_chunk(struct sb_span object, uint64_t left, struct sb_chunk *chunk,
                      struct sb_err *err)
{
    struct sb_json_field fields[] = {{.key = "n"},
                                     {.key = "device_boot"},
                                     {.key = "mono_ms"},
                                     {.key = "wall"},
                                     {.key = "quality"}};
    uint64_t mono_ms;
    int rc;

    if (sb_json_type_of(object) != SB_JSON_OBJECT)
        return sb_fail(err, SB_EBAD_TYPE, "not an object");
    sb_json_pick(object, fields, sizeof(fields) / sizeof(fields[0]));
    rc = sb_field_u64(&fields[0], 1, left, &chunk->n, err);
    if (rc == 0 && sb_field_given(&fields[1]))
        rc = sb_field_token(&fields[1], chunk->device_boot, err);
    if (rc == 0 && sb_field_given(&fields[4]))
        rc = sb_field_type(&fields[4], SB_JSON_STRING, err);
    if (rc < 0 || !sb_field_given(&fields[2]) || !sb_field_given(&fields[3]))
        return rc;
    rc = sb_field_u64(&fields[2], 0, SB_SEQ_MAX, &mono_ms, err);
    if (rc == 0)
        rc = sb_field_time(&fields[3], &chunk->wall_us, err);
    chunk->mono_ms = (int64_t)mono_ms;
    chunk->quality = quality_of(fields[4].value);
    chunk->has_times = true;
    return rc;
}

static int read_chunks(struct sb_batch_decoder *dec, struct sb_batch *out, struct sb_err *err)
{
    const struct sb_json_field *chunks = &dec->members[SB_M_CHUNKS];
    uint64_t left = dec->record_count;
    struct sb_json_iter iter;
    struct sb_span value;
    int rc;

    if (!sb_field_given(chunks))
        return 0;
    rc = sb_field_type(chunks, SB_JSON_ARRAY, err);
    if (rc < 0)
        return rc;
    sb_json_iter_init(&iter, chunks->value);
    while (sb_json_next_element(&iter, &value)) {
        dec->chunks =
            sb_batch_room(dec->chunks, dec->chunk_count, &dec->chunk_cap, sizeof(*dec->chunks));
        dec->chunks[dec->chunk_count] = (struct sb_chunk){0};
        if (left == 0)
            rc = sb_fail(err, SB_EBAD_VALUE, "their n sum up to more than the records");
        else
            rc = read_chunk(value, left, &dec->chunks[dec->chunk_count], err);
        if (rc < 0) {
            sb_err_prefix(err, "chunks: element %zu", dec->chunk_count);
            return rc;
        }
        left -= dec->chunks[dec->chunk_count++].n;
    }
    if (left > 0 && dec->chunk_count > 0)
        return sb_fail(err, SB_EBAD_VALUE, "chunks: their n sum up to less than the records");
    out->chunks = dec->chunks;
    out->chunk_count = dec->chunk_count;
    return 0;
}

static int read_elements(struct sb_batch_decoder *dec, struct sb_batch *out, struct sb_err *err)
{
    const struct sb_json_field *body =
        &dec->members[out->form == SB_FORM_ROWS ? SB_M_ROWS : SB_M_RECORDS];
    uint64_t count = out->last_seq - out->first_seq + 1;
    int rc = sb_field_type(body, SB_JSON_ARRAY, err);

    if (rc < 0)
        return rc;
    if (dec->elements > dec->max_records)
        return sb_fail(err, SB_ELIMIT, "%s: %zu, at most %zu are allowed", body->key, dec->elements,
                       dec->max_records);
    if (dec->elements != count)
        return sb_fail(err, SB_EBAD_SEQ, "%s: %zu, but first_seq to last_seq are %llu", body->key,
                       dec->elements, (unsigned long long)count);
    if (out->again && count != 1)
        return sb_fail(err, SB_EBAD_VALUE, "again: goes with one record, not with %llu",
                       (unsigned long long)count);
    out->records = dec->records;
    out->record_count = dec->record_count;
    out->cells = dec->cells;
    if (out->form == SB_FORM_ROWS)
        rc = read_fields(dec, out, err);
    return rc < 0 ? rc : read_chunks(dec, out, err);
}

/* An op_id, or null where the device does not know it. */
static int read_op(struct sb_batch_decoder *dec, struct sb_span value, struct sb_err *err)
{
    char text[SB_ID_MAX + 1];
    struct sb_span op = {NULL, 0};

    if (sb_json_type_of(value) == SB_JSON_STRING) {
        op = value;
        if (!sb_json_copy(value, text, sizeof(text)) || text[0] == '\0')
            return sb_fail(err, SB_EBAD_ID, "hole: ops: element %zu is not 1 to %d bytes",
                           dec->span_count, SB_ID_MAX);
    } else if (sb_json_type_of(value) != SB_JSON_NULL) {
        return sb_fail(err, SB_EBAD_TYPE, "hole: ops: element %zu is not a string or null",
                       dec->span_count);
    }
    dec->spans = sb_batch_room(dec->spans, dec->span_count, &dec->span_cap, sizeof(*dec->spans));
    dec->spans[dec->span_count++] = op;
    return 0;
}

static int read_ops(struct sb_batch_decoder *dec, const struct sb_json_field *ops,
                    struct sb_batch *out, struct sb_err *err)
{
    bool named = sb_class_ordered(out->stream.class) && out->reason != SB_HOLE_PURGED;
    uint64_t count = named ? out->last_seq - out->first_seq + 1 : 0;
    struct sb_json_iter iter;
    struct sb_span value;
    int rc = 0;

    if (!named && !sb_field_given(ops))
        return 0;
    rc = sb_field_type(ops, SB_JSON_ARRAY, err);
    if (rc < 0) {
        sb_err_prefix(err, "hole");
        return rc;
    }
    if (count > dec->max_records)
        return sb_fail(err, SB_ELIMIT, "hole: ops: %llu, at most %zu are allowed",
                       (unsigned long long)count, dec->max_records);
    sb_json_iter_init(&iter, ops->value);
    while (rc == 0 && dec->span_count <= count && sb_json_next_element(&iter, &value))
        rc = read_op(dec, value, err);
    if (rc < 0)
        return rc;
    if (dec->span_count != count)
        return sb_fail(err, SB_EBAD_VALUE, "hole: ops: %llu are to be named, one for each number",
                       (unsigned long long)count);
    out->ops = dec->spans;
    out->op_count = dec->span_count;
    return 0;
}

static int read_hole_time(const struct sb_json_field *field, struct sb_span *out,
                          struct sb_err *err)
{
    int64_t time;

    if (!sb_field_given(field))
        return 0;
    *out = field->value;
    return sb_field_time(field, &time, err);
}

static int read_hole(struct sb_batch_decoder *dec, struct sb_batch *out, struct sb_err *err)
{
    struct sb_json_field fields[] = {{.key = "reason"},
                                     {.key = "ops"},
                                     {.key = "ts_from"},
                                     {.key = "ts_to"},
                                     {.key = "summary"}};
    char reason[16] = "";
    int rc = sb_field_type(&dec->members[SB_M_HOLE], SB_JSON_OBJECT, err);

    if (rc < 0)
        return rc;
    sb_json_pick(dec->members[SB_M_HOLE].value, fields, sizeof(fields) / sizeof(fields[0]));
    rc = sb_field_type(&fields[0], SB_JSON_STRING, err);
    if (rc == 0 && (!sb_json_copy(fields[0].value, reason, sizeof(reason)) ||
                    !sb_hole_reason_parse(sb_span_of(reason), &out->reason)))
        rc = sb_fail(err, SB_EBAD_VALUE, "reason: unknown");
    if (rc == 0)
        rc = read_hole_time(&fields[2], &out->ts_from, err);
    if (rc == 0)
        rc = read_hole_time(&fields[3], &out->ts_to, err);
    if (rc == 0 && sb_field_given(&fields[4])) {
        rc = sb_field_type(&fields[4], SB_JSON_OBJECT, err);
        out->summary = fields[4].value;
    }
    if (rc < 0) {
        sb_err_prefix(err, "hole");
        return rc;
    }
    if (out->again)
        return sb_fail(err, SB_EBAD_VALUE, "again: goes with one record, not with a hole");
    return read_ops(dec, &fields[1], out, err);
}

int sb_batch_read_body(struct sb_batch_decoder *decoder, struct sb_batch *out, struct sb_err *err)
{
    bool rows = decoder->members[SB_M_ROWS].value.len > 0;
    bool records = decoder->members[SB_M_RECORDS].value.len > 0;
    bool hole = decoder->members[SB_M_HOLE].value.len > 0;
    bool sensors = out->stream.class == SB_UP_SENSORS;

    if (rows + records + hole == 0)
        return sb_fail(err, SB_EMISSING_FIELD, "%s: missing (or hole)",
                       sensors ? "rows" : "records");
    if (rows + records + hole > 1)
        return sb_fail(err, SB_EBAD_VALUE, "rows, records, hole: more than one of them");
    out->form = rows ? SB_FORM_ROWS : records ? SB_FORM_RECORDS : SB_FORM_HOLE;
    if (hole)
        return read_hole(decoder, out, err);
    if (rows != sensors)
        return sb_fail(err, SB_EBAD_VALUE, "%s: a stream %s/... takes %s",
                       rows ? "rows" : "records", sb_up_class_name(out->stream.class),
                       sensors ? "rows" : "records");
    return read_elements(decoder, out, err);
}
