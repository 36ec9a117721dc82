#include "hello.h"

#include <string.h>

#include "envelope.h"
#include "json_read.h"

#define ENTRIES_MAX 2048 /* streams in one message; a page of 64 KiB holds about 1200 */

/* ---- what both messages share: "epochs":[{"epoch":…,"streams":[{"stream":…, …}]}] ---- */

/* Reads one element of "streams" into the message. */
typedef int read_entry(void *message, const char *epoch, const char *stream, struct sb_span object,
                       struct sb_err *err);
/* Is told each epoch; may refuse it. */
typedef int read_epoch(void *message, const char *epoch, struct sb_err *err);

struct reader {
    void *message;
    read_epoch *epoch;
    read_entry *entry;
    size_t entries;
};

static int stream_field(const struct sb_json_field *field, char text[SB_STREAM_MAX + 1],
                        struct sb_err *err)
{
    struct sb_stream stream;
    int rc = sb_field_text(field, text, SB_STREAM_MAX + 1, err);

    return rc < 0 ? rc : sb_stream_parse(sb_span_of(text), &stream, err);
}

static int read_stream(struct reader *reader, const char *epoch, struct sb_span object,
                       struct sb_err *err)
{
    struct sb_json_field name = {.key = "stream"};
    char text[SB_STREAM_MAX + 1];
    int rc;

    if (sb_json_type_of(object) != SB_JSON_OBJECT)
        return sb_fail(err, SB_EBAD_TYPE, "streams: an element is not an object");
    if (++reader->entries > ENTRIES_MAX)
        return sb_fail(err, SB_ELIMIT, "streams: more than %d in one message", ENTRIES_MAX);
    sb_json_pick(object, &name, 1);
    rc = stream_field(&name, text, err);
    if (rc < 0)
        return rc;
    rc = reader->entry(reader->message, epoch, text, object, err);
    if (rc < 0)
        sb_err_prefix(err, "%s", text);
    return rc;
}

static int read_streams(struct reader *reader, struct sb_span object, struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "epoch"}, {.key = "streams"}};
    char epoch[SB_EPOCH_LEN + 1];
    struct sb_json_iter iter;
    struct sb_span value;
    int rc;

    if (sb_json_type_of(object) != SB_JSON_OBJECT)
        return sb_fail(err, SB_EBAD_TYPE, "epochs: an element is not an object");
    sb_json_pick(object, f, 2);
    rc = sb_field_hex16(&f[0], epoch, err);
    if (rc == 0)
        rc = sb_field_type(&f[1], SB_JSON_ARRAY, err);
    if (rc == 0)
        rc = reader->epoch(reader->message, epoch, err);
    if (rc < 0)
        return rc;
    sb_json_iter_init(&iter, f[1].value);
    while (rc == 0 && sb_json_next_element(&iter, &value))
        rc = read_stream(reader, epoch, value, err);
    return rc;
}

static int read_epochs(struct reader *reader, const struct sb_json_field *field, struct sb_err *err)
{
    struct sb_json_iter iter;
    struct sb_span value;
    int rc = sb_field_type(field, SB_JSON_ARRAY, err);

    if (rc < 0)
        return rc;
    sb_json_iter_init(&iter, field->value);
    while (rc == 0 && sb_json_next_element(&iter, &value))
        rc = read_streams(reader, value, err);
    return rc;
}

static int read_ranges(const struct sb_json_field *field, uint64_t max, struct sb_ranges *ranges,
                       struct sb_err *err)
{
    int rc = sb_field_type(field, SB_JSON_ARRAY, err);

    if (rc < 0)
        return rc;
    rc = sb_ranges_parse(ranges, field->value, SB_INTERVALS_MAX, err);
    if (rc == 0 && sb_ranges_max(ranges) > max)
        rc = sb_fail(err, SB_EBAD_VALUE, "numbers above made");
    if (rc < 0)
        sb_err_prefix(err, "%s", field->key);
    return rc;
}

static int named_twice(const char *what, struct sb_err *err)
{
    return sb_fail(err, SB_EBAD_VALUE, "%s named twice", what);
}

/* ---- hello ---- */

static int hello_epoch(void *message, const char *epoch, struct sb_err *err)
{
    struct sb_hello *hello = message;
    size_t before = hello->epoch_count;

    sb_hello_add_epoch(hello, epoch);
    if (hello->epoch_count == before)
        return named_twice("epoch", err);
    if (hello->epoch_count > SB_EPOCHS_MAX)
        return sb_fail(err, SB_ELIMIT, "epochs: more than %d", SB_EPOCHS_MAX);
    return 0;
}

static int hello_entry(void *message, const char *epoch, const char *stream, struct sb_span object,
                       struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "made"}, {.key = "settled"}, {.key = "held"}};
    struct sb_hello *hello = message;
    struct sb_claim *claim;
    int rc;

    /* the claims of this epoch are the last ones */
    for (size_t i = hello->claim_count; i-- > 0 && strcmp(hello->claims[i].epoch, epoch) == 0;)
        if (strcmp(hello->claims[i].stream, stream) == 0)
            return named_twice("stream", err);
    claim = sb_hello_add_claim(hello, epoch, stream);
    sb_json_pick(object, f, 3);
    rc = sb_field_u64(&f[0], 0, SB_SEQ_MAX, &claim->made, err);
    if (rc == 0)
        rc = read_ranges(&f[1], claim->made, &claim->settled, err);
    if (rc == 0)
        rc = read_ranges(&f[2], claim->made, &claim->held, err);
    return rc;
}

static int read_receipt(const struct sb_json_field *field, struct sb_receipt *receipt,
                        struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "boot"}, {.key = "commit"}};
    int rc;

    if (!sb_field_given(field))
        return 0;
    rc = sb_field_type(field, SB_JSON_OBJECT, err);
    if (rc < 0)
        return rc;
    sb_json_pick(field->value, f, 2);
    rc = sb_field_token(&f[0], receipt->boot, err);
    if (rc == 0)
        rc = sb_field_u64(&f[1], 0, SB_SEQ_MAX, &receipt->commit, err);
    if (rc < 0)
        sb_err_prefix(err, "receipt");
    return rc;
}

static int read_device(const struct sb_json_field *field, char device[SB_NAME_MAX + 1],
                       struct sb_err *err)
{
    int rc = sb_field_text(field, device, SB_NAME_MAX + 1, err);

    if (rc == 0 && !sb_device_valid(sb_span_of(device)))
        rc = sb_fail(err, SB_EBAD_ID, "device: not [A-Za-z0-9_-]{1,64} without _ at the beginning");
    return rc;
}

static int read_pages(const struct sb_json_field *page, const struct sb_json_field *pages,
                      uint32_t *page_out, uint32_t *pages_out, struct sb_err *err)
{
    uint64_t number = 0, count = 0;
    int rc = sb_field_u64(page, 1, SB_HELLO_MAX_PAGES, &number, err);

    if (rc == 0)
        rc = sb_field_u64(pages, number, SB_HELLO_MAX_PAGES, &count, err);
    *page_out = (uint32_t)number;
    *pages_out = (uint32_t)count;
    return rc;
}

static int read_hello(struct sb_span object, struct sb_hello *hello, struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "v"},       {.key = "kind"},        {.key = "nonce"},
                                {.key = "device"},  {.key = "device_boot"}, {.key = "receipt"},
                                {.key = "epoch"},   {.key = "page"},        {.key = "pages"},
                                {.key = "sent_at"}, {.key = "epochs"}};
    struct reader reader = {hello, hello_epoch, hello_entry, 0};
    int rc;

    sb_json_pick(object, f, sizeof(f) / sizeof(f[0]));
    rc = sb_field_version(&f[0], err);
    if (rc == 0)
        rc = sb_field_kind(&f[1], "hello", err);
    if (rc == 0)
        rc = sb_field_uuid(&f[2], hello->nonce, err);
    if (rc == 0)
        rc = read_device(&f[3], hello->device, err);
    if (rc == 0 && sb_field_given(&f[4]))
        rc = sb_field_token(&f[4], hello->device_boot, err);
    if (rc == 0)
        rc = read_receipt(&f[5], &hello->receipt, err);
    if (rc == 0)
        rc = sb_field_hex16(&f[6], hello->epoch, err);
    if (rc == 0)
        rc = read_pages(&f[7], &f[8], &hello->page, &hello->pages, err);
    if (rc == 0 && sb_field_given(&f[9]))
        rc = sb_field_time(&f[9], &hello->sent_at_us, err);
    return rc < 0 ? rc : read_epochs(&reader, &f[10], err);
}

int sb_hello_decode(struct sb_span text, struct sb_hello *hello, struct sb_err *err)
{
    struct sb_span value;
    int rc = sb_json_check_object(text, &sb_wire_limits, &value, err);

    sb_hello_init(hello);
    if (rc == 0)
        rc = read_hello(value, hello, err);
    if (rc < 0)
        sb_hello_free(hello);
    return rc;
}

/* ---- welcome ---- */

static int welcome_epoch(void *message, const char *epoch, struct sb_err *err)
{
    const struct sb_welcome *welcome = message;

    for (size_t i = 0; i < welcome->standing_count; i++)
        if (strcmp(welcome->standings[i].epoch, epoch) == 0)
            return named_twice("epoch", err);
    return 0;
}

static int welcome_entry(void *message, const char *epoch, const char *stream,
                         struct sb_span object, struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "decided"}, {.key = "holes"}};
    struct sb_welcome *welcome = message;
    struct sb_standing *standing;
    int rc;

    for (size_t i = welcome->standing_count;
         i-- > 0 && strcmp(welcome->standings[i].epoch, epoch) == 0;)
        if (strcmp(welcome->standings[i].stream, stream) == 0)
            return named_twice("stream", err);
    standing = sb_welcome_add(welcome, epoch, stream);
    sb_json_pick(object, f, 2);
    rc = read_ranges(&f[0], SB_SEQ_MAX, &standing->decided, err);
    return rc < 0 ? rc : read_ranges(&f[1], SB_SEQ_MAX, &standing->holes, err);
}

/* What is not told is as the contract has it. */
static int read_limits(const struct sb_json_field *field, struct sb_limits *limits,
                       struct sb_err *err)
{
    struct sb_json_field f[] = {
        {.key = "max_batch_bytes"}, {.key = "max_batch_records"}, {.key = "max_record_bytes"}};
    uint64_t *const values[] = {&limits->max_batch_bytes, &limits->max_batch_records,
                                &limits->max_record_bytes};
    int rc;

    *limits = (struct sb_limits){SB_BATCH_MAX_BYTES, SB_BATCH_MAX_RECORDS, SB_RECORD_MAX_BYTES};
    if (!sb_field_given(field))
        return 0;
    rc = sb_field_type(field, SB_JSON_OBJECT, err);
    if (rc < 0)
        return rc;
    sb_json_pick(field->value, f, 3);
    for (int i = 0; rc == 0 && i < 3; i++)
        if (sb_field_given(&f[i]))
            rc = sb_field_u64(&f[i], 1, SB_SEQ_MAX, values[i], err);
    if (rc < 0)
        sb_err_prefix(err, "limits");
    return rc;
}

static int read_tables(const struct sb_json_field *field, struct sb_welcome *welcome,
                       struct sb_err *err)
{
    struct sb_json_field table = {.key = "tables"};
    struct sb_json_iter iter;
    size_t count;
    int rc;

    if (!sb_field_given(field))
        return 0;
    rc = sb_field_type(field, SB_JSON_ARRAY, err);
    if (rc < 0)
        return rc;
    count = sb_json_count(field->value);
    welcome->tables = sb_xcalloc(count, sizeof(*welcome->tables));
    sb_json_iter_init(&iter, field->value);
    while (rc == 0 && sb_json_next_element(&iter, &table.value)) {
        rc = sb_field_name(&table, welcome->tables[welcome->table_count], err);
        welcome->table_count++;
    }
    return rc;
}

static int read_more(const struct sb_json_field *field, struct sb_welcome *welcome,
                     struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "epoch"}, {.key = "stream"}};
    int rc;

    if (!sb_field_given(field))
        return 0;
    rc = sb_field_type(field, SB_JSON_OBJECT, err);
    if (rc < 0)
        return rc;
    welcome->more = true;
    sb_json_pick(field->value, f, 2);
    rc = sb_field_hex16(&f[0], welcome->more_epoch, err);
    if (rc == 0)
        rc = stream_field(&f[1], welcome->more_stream, err);
    if (rc < 0)
        sb_err_prefix(err, "more");
    return rc;
}

static int read_place(const struct sb_json_field f[4], struct sb_welcome *welcome,
                      struct sb_err *err)
{
    uint64_t part = 0;
    int rc = read_pages(&f[0], &f[1], &welcome->page, &welcome->pages, err);

    if (rc == 0)
        rc = sb_field_u64(&f[2], 1, UINT32_MAX, &part, err);
    welcome->part = (uint32_t)part;
    return rc < 0 ? rc : read_more(&f[3], welcome, err);
}

static int read_welcome(struct sb_span object, struct sb_welcome *welcome, struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "v"},      {.key = "kind"},        {.key = "nonce"},
                                {.key = "boot"},   {.key = "commit"},      {.key = "restored"},
                                {.key = "page"},   {.key = "pages"},       {.key = "part"},
                                {.key = "more"},   {.key = "server_time"}, {.key = "limits"},
                                {.key = "tables"}, {.key = "epochs"}};
    struct reader reader = {welcome, welcome_epoch, welcome_entry, 0};
    int rc;

    sb_json_pick(object, f, sizeof(f) / sizeof(f[0]));
    rc = sb_field_version(&f[0], err);
    if (rc == 0)
        rc = sb_field_kind(&f[1], "welcome", err);
    if (rc == 0)
        rc = sb_field_uuid(&f[2], welcome->nonce, err);
    if (rc == 0)
        rc = sb_field_token(&f[3], welcome->boot, err);
    if (rc == 0)
        rc = sb_field_u64(&f[4], 0, SB_SEQ_MAX, &welcome->commit, err);
    if (rc == 0)
        rc = sb_field_bool(&f[5], &welcome->restored, err);
    if (rc == 0)
        rc = read_place(&f[6], welcome, err);
    if (rc == 0 && sb_field_given(&f[10]))
        rc = sb_field_time(&f[10], &welcome->server_time_us, err);
    if (rc == 0)
        rc = read_limits(&f[11], &welcome->limits, err);
    if (rc == 0)
        rc = read_tables(&f[12], welcome, err);
    return rc < 0 ? rc : read_epochs(&reader, &f[13], err);
}

int sb_welcome_decode(struct sb_span text, struct sb_welcome *welcome, struct sb_err *err)
{
    struct sb_span value;
    int rc = sb_json_check_object(text, &sb_down_limits, &value, err);

    sb_welcome_init(welcome);
    if (rc == 0)
        rc = read_welcome(value, welcome, err);
    if (rc < 0)
        sb_welcome_free(welcome);
    return rc;
}

/* ---- any message ---- */

int sb_message_kind(struct sb_span text, enum sb_kind *kind, struct sb_err *err)
{
    static const char *const names[] = {
        [SB_KIND_BATCH] = "batch",     [SB_KIND_ACK] = "ack",         [SB_KIND_HELLO] = "hello",
        [SB_KIND_WELCOME] = "welcome", [SB_KIND_REQUEST] = "request", [SB_KIND_ANSWER] = "answer",
        [SB_KIND_NOTIFY] = "notify",
    };
    struct sb_json_field f[] = {{.key = "v"}, {.key = "kind"}};
    struct sb_span value;
    int rc = sb_json_check_object(text, &sb_down_limits, &value, err);

    if (rc < 0)
        return rc;
    sb_json_pick(value, f, 2);
    rc = sb_field_version(&f[0], err);
    if (rc == 0 && sb_field_given(&f[1]))
        rc = sb_field_type(&f[1], SB_JSON_STRING, err);
    if (rc < 0)
        return rc;
    *kind = sb_field_given(&f[1]) ? SB_KIND_OTHER : SB_KIND_BATCH;
    for (int i = 0; i < SB_KIND_OTHER; i++)
        if (sb_json_string_is(f[1].value, names[i]))
            *kind = (enum sb_kind)i;
    return 0;
}
