#include "edge_agent/enqueue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/json_scan.h"
#include "edge_agent/enqueue_row.h"

/* What the agent adds to a record (op_id, base, hlc, times) counts against the limit too. */
#define RECORD_OVERHEAD   128
#define DOCUMENT_OVERHEAD 1024

/* An id inside the group's text buffer (which moves as it grows). */
struct open_id {
    size_t at, len;
    uint64_t hash;
};

struct enqueue {
    struct outbox *ob;
    struct enqueue_switches switches;
    char device_boot[SB_UUID_LEN + 1];
    enum sb_clock_quality quality;
    char device[SB_NAME_MAX + 1];
    const struct documents_codec *codec;

    bool open;      /* a transaction is under way */
    size_t records; /* in it, written or in the chunk */

    /* the chunk that is being filled; count 0 = none */
    struct sb_stream stream;
    struct sb_now now; /* of its first record */
    struct sb_buf fields, body, id_text;
    struct open_id *ids;
    struct enqueue_receipt **receipts; /* NULL where nobody asked */
    uint64_t count;
    bool with_ids;

    struct sb_buf new_fields, new_text, scratch;
};

struct enqueue *enqueue_new(struct outbox *ob, const struct enqueue_switches *switches,
                            const char *device_boot)
{
    struct enqueue *eq = sb_xcalloc(1, sizeof(*eq));

    eq->ob = ob;
    eq->switches = *switches;
    if (eq->switches.max_record_bytes == 0 || eq->switches.max_record_bytes > SB_RECORD_MAX_BYTES)
        eq->switches.max_record_bytes = SB_RECORD_MAX_BYTES;
    snprintf(eq->device_boot, sizeof(eq->device_boot), "%s", device_boot);
    eq->ids = sb_xcalloc(OUTBOX_ROW_MAX_RECORDS, sizeof(*eq->ids));
    eq->receipts = sb_xcalloc(OUTBOX_ROW_MAX_RECORDS, sizeof(struct enqueue_receipt *));
    return eq;
}

void enqueue_free(struct enqueue *eq)
{
    if (eq == NULL)
        return;
    enqueue_rollback(eq);
    sb_buf_free(&eq->fields);
    sb_buf_free(&eq->body);
    sb_buf_free(&eq->id_text);
    sb_buf_free(&eq->new_fields);
    sb_buf_free(&eq->new_text);
    sb_buf_free(&eq->scratch);
    free(eq->ids);
    free(eq->receipts);
    free(eq);
}

void enqueue_set_clock(struct enqueue *eq, enum sb_clock_quality quality)
{
    eq->quality = quality;
}

size_t enqueue_open_records(const struct enqueue *eq)
{
    return eq->records;
}

static void forget_chunk(struct enqueue *eq)
{
    sb_buf_clear(&eq->fields);
    sb_buf_clear(&eq->body);
    sb_buf_clear(&eq->id_text);
    eq->count = 0;
    eq->with_ids = false;
}

void enqueue_rollback(struct enqueue *eq)
{
    if (eq->open)
        outbox_rollback(eq->ob);
    eq->open = false;
    eq->records = 0;
    forget_chunk(eq);
}

/* A refused record leaves the group as it was, but never an empty transaction that keeps others
 * waiting. */
static int refused(struct enqueue *eq, int rc)
{
    if (eq->records == 0)
        enqueue_rollback(eq);
    return rc;
}

/* The outbox failed: nothing of the group stays. */
static int lost(struct enqueue *eq, int rc)
{
    enqueue_rollback(eq);
    return rc;
}

int enqueue_begin(struct enqueue *eq, struct sb_err *err)
{
    int rc;

    if (eq->open)
        return 0;
    rc = outbox_begin(eq->ob, err);
    if (rc == 0)
        eq->open = true;
    return rc;
}

/* An op_id for a record whose caller gave none: its place, which is unique for good. */
static void name_by_place(struct enqueue_receipt *receipt)
{
    char stream[SB_STREAM_MAX + 1];

    sb_stream_print(&receipt->stream, stream);
    snprintf(receipt->op_id, sizeof(receipt->op_id), "%s:%s:%llu", receipt->epoch, stream,
             (unsigned long long)receipt->seq);
}

static void fill_receipt(struct enqueue_receipt *receipt, const char *epoch, uint64_t seq)
{
    memcpy(receipt->epoch, epoch, sizeof(receipt->epoch));
    receipt->seq = seq;
    if (receipt->op_id[0] == '\0')
        name_by_place(receipt);
}

static void start_receipt(struct enqueue_receipt *receipt, const struct sb_stream *stream,
                          struct sb_span id)
{
    *receipt = (struct enqueue_receipt){.stream = *stream};
    if (id.len > 0)
        memcpy(receipt->op_id, id.data, id.len);
}

/* Hands the chunk that is being filled to the outbox. */
static int flush_chunk(struct enqueue *eq, struct sb_err *err)
{
    struct outbox_id *ids = NULL;
    struct outbox_chunk chunk = {
        .stream = eq->stream,
        .fields = sb_buf_span(&eq->fields),
        .body = sb_buf_span(&eq->body),
        .count = eq->count,
        .device_boot = eq->device_boot,
        .mono_ms = eq->now.mono_ms,
        .wall_us = eq->now.wall_us,
        .quality = eq->quality,
    };
    struct outbox_place place = {0};
    int rc;

    if (eq->count == 0)
        return 0;
    if (eq->with_ids) {
        ids = sb_xcalloc(eq->count, sizeof(*ids));
        for (uint64_t i = 0; i < eq->count; i++) {
            ids[i].id =
                (struct sb_span){sb_buf_span(&eq->id_text).data + eq->ids[i].at, eq->ids[i].len};
            ids[i].hash = eq->ids[i].hash;
        }
        chunk.ids = ids;
    }
    rc = outbox_append(eq->ob, &chunk, &place, err);
    free(ids);
    if (rc != 0)
        return lost(eq, rc);
    for (uint64_t i = 0; i < eq->count; i++)
        if (eq->receipts[i] != NULL)
            fill_receipt(eq->receipts[i], place.epoch, place.first_seq + i);
    forget_chunk(eq);
    return 0;
}

static bool id_in_chunk(const struct enqueue *eq, struct sb_span id)
{
    for (uint64_t i = 0; i < eq->count; i++) {
        struct sb_span other = {sb_buf_span(&eq->id_text).data + eq->ids[i].at, eq->ids[i].len};

        if (sb_span_eq(other, id))
            return true;
    }
    return false;
}

static int check_id(struct sb_span id, struct sb_err *err)
{
    if (id.len > SB_ID_MAX)
        return sb_fail(err, SB_EBAD_ID, "id: longer than %d bytes", SB_ID_MAX);
    if (!sb_utf8_valid(id, NULL))
        return sb_fail(err, SB_EBAD_ID, "id: not valid UTF-8");
    for (size_t i = 0; i < id.len; i++)
        if ((unsigned char)id.data[i] < 0x20 || id.data[i] == 0x7f)
            return sb_fail(err, SB_EBAD_ID, "id: holds a control character");
    return 0;
}

/* Was that id given before? Then *repeat and the receipt's place are set, or it is refused for
 * another content. The transaction is open afterwards. */
static int known_id(struct enqueue *eq, const struct sb_stream *stream, struct sb_span id,
                    uint64_t hash, struct enqueue_receipt *receipt, struct sb_err *err)
{
    struct outbox_place place = {0};
    uint64_t kept = 0;
    bool found = false;
    int rc;

    if (id.len == 0)
        return 0;
    rc = enqueue_begin(eq, err);
    if (rc == 0 && id_in_chunk(eq, id))
        rc = flush_chunk(eq, err);
    if (rc == 0)
        rc = outbox_find_id(eq->ob, stream, id, &found, &kept, &place, err);
    if (rc != 0)
        return lost(eq, rc);
    if (!found)
        return 0;
    if (kept != hash)
        return refused(eq,
                       sb_fail(err, SB_EID_REUSED, "id '%.*s' was used before with other content",
                               SB_SPAN_ARG(id)));
    receipt->repeat = true;
    receipt->queued = true;
    fill_receipt(receipt, place.epoch, place.first_seq);
    return 0;
}

static int check_object(struct enqueue *eq, struct sb_span text, size_t overhead,
                        struct sb_span *object, struct sb_err *err)
{
    const struct sb_json_limits limits = {
        .max_bytes =
            eq->switches.max_record_bytes > overhead ? eq->switches.max_record_bytes - overhead : 0,
        .max_depth = SB_DOCUMENT_MAX_DEPTH,
        .max_nodes = SB_DOCUMENT_MAX_NODES,
    };
    int rc = sb_json_check(text, &limits, object, err);

    if (rc == 0 && sb_json_type_of(*object) != SB_JSON_OBJECT)
        rc = sb_fail(err, SB_EBAD_TYPE, "not a JSON object");
    return rc;
}

bool enqueue_sends(const struct enqueue *eq, enum sb_up_class class)
{
    if (!eq->switches.enabled)
        return false;
    switch (class) {
    case SB_UP_SENSORS:
        return eq->switches.sync_sensors;
    case SB_UP_HISTORY:
        return eq->switches.sync_history;
    case SB_UP_SETTINGS:
        return eq->switches.sync_settings;
    case SB_UP_RECORDS:
    case SB_UP_LIBRARY:
    case SB_UP_CTL:
    case SB_UP_CLASSES:
        break;
    }
    return true;
}

int enqueue_sends_user(struct enqueue *eq, enum sb_up_class class, const char *user, bool *sends,
                       struct sb_err *err)
{
    *sends = enqueue_sends(eq, class);
    return *sends ? outbox_switch_get(eq->ob, user, class, sends, err) : 0;
}

/* Before anything of a record is written: may its stream be one more? Names count over all that is
 * in the outbox, so what is in the group goes there first. */
static int take_stream(struct enqueue *eq, const struct sb_stream *stream, struct sb_err *err)
{
    int rc = enqueue_begin(eq, err);

    if (rc != 0 || (eq->count > 0 && eq->stream.class == stream->class &&
                    strcmp(eq->stream.name, stream->name) == 0))
        return rc;
    rc = flush_chunk(eq, err);
    if (rc != 0)
        return rc;
    rc = outbox_takes_stream(eq->ob, stream, err);
    if (rc == -(int)SB_ELIMIT)
        return refused(eq, rc);
    return rc != 0 ? lost(eq, rc) : 0;
}

/* Puts new_text (and new_fields) behind the chunk, after sending off one it does not fit to. */
static int join_chunk(struct enqueue *eq, const struct sb_stream *stream, struct sb_span id,
                      uint64_t hash, struct sb_now now, struct enqueue_receipt *receipt,
                      struct sb_err *err)
{
    bool fits = eq->count > 0 && eq->count < OUTBOX_ROW_MAX_RECORDS &&
                eq->body.len + 1 + eq->new_text.len <= OUTBOX_ROW_MAX_BYTES &&
                eq->stream.class == stream->class && strcmp(eq->stream.name, stream->name) == 0 &&
                sb_span_eq(sb_buf_span(&eq->fields), sb_buf_span(&eq->new_fields));
    int rc = take_stream(eq, stream, err);

    if (rc == 0 && !fits)
        rc = flush_chunk(eq, err);
    if (rc != 0)
        return rc;
    if (eq->count == 0) {
        eq->stream = *stream;
        eq->now = now;
        sb_buf_add_span(&eq->fields, sb_buf_span(&eq->new_fields));
    } else {
        sb_buf_add_char(&eq->body, ',');
    }
    sb_buf_add_span(&eq->body, sb_buf_span(&eq->new_text));
    eq->ids[eq->count] = (struct open_id){eq->id_text.len, id.len, hash};
    sb_buf_add_span(&eq->id_text, id);
    eq->with_ids = eq->with_ids || id.len > 0;
    eq->receipts[eq->count] = receipt;
    eq->count++;
    eq->records++;
    if (receipt != NULL)
        receipt->queued = true;
    return 0;
}

static int add_reading(struct enqueue *eq, const struct sb_stream *stream, struct sb_span object,
                       struct sb_span id, uint64_t hash, struct sb_now now,
                       struct enqueue_receipt *receipt, struct sb_err *err)
{
    int rc = enqueue_row(object, now.wall_us, &eq->new_fields, &eq->new_text, err);

    if (rc != 0 || !enqueue_sends(eq, SB_UP_SENSORS))
        return rc;
    return join_chunk(eq, stream, id, hash, now, receipt, err);
}

static int add_history(struct enqueue *eq, const struct sb_stream *stream, struct sb_span object,
                       struct sb_span id, uint64_t hash, struct sb_now now,
                       struct enqueue_receipt *receipt, struct sb_err *err)
{
    bool has_created = false, sends = false;
    int64_t wall_us = 0;
    uint64_t hlc = 0;
    int rc;

    sb_buf_clear(&eq->scratch);
    rc = enqueue_history_check(object, &eq->scratch, &has_created, err);
    if (rc != 0)
        return rc;
    rc = enqueue_begin(eq, err);
    if (rc == 0)
        rc = enqueue_sends_user(eq, SB_UP_HISTORY, stream->name, &sends, err);
    if (rc != 0)
        return lost(eq, rc);
    rc = sends ? take_stream(eq, stream, err) : 0;
    if (rc != 0)
        return rc;
    rc = outbox_server_time(eq->ob, eq->device_boot, now, &wall_us, err);
    if (rc == 0)
        rc = outbox_hlc(eq->ob, wall_us, 0, &hlc, err);
    if (rc != 0)
        return lost(eq, rc);
    enqueue_history_text(object, !has_created, now.wall_us, hlc, &eq->new_text);
    rc = outbox_history_add(eq->ob, stream->name, sb_buf_span(&eq->scratch),
                            sb_buf_span(&eq->new_text), now.wall_us, err);
    if (rc != 0)
        return lost(eq, rc);
    if (sends)
        return join_chunk(eq, stream, id, hash, now, receipt, err);
    eq->records++;
    return 0;
}

int enqueue_history_again(struct enqueue *eq, const char *user, struct sb_span body,
                          struct sb_now now, struct sb_err *err)
{
    struct sb_stream stream = {.class = SB_UP_HISTORY};

    snprintf(stream.name, sizeof(stream.name), "%s", user);
    sb_buf_clear(&eq->new_fields);
    sb_buf_clear(&eq->new_text);
    sb_buf_add_span(&eq->new_text, body);
    return join_chunk(eq, &stream, SB_SPAN(""), 0, now, NULL, err);
}

int enqueue_record(struct enqueue *eq, const struct sb_stream *stream, struct sb_span record,
                   struct sb_span id, struct sb_now now, struct enqueue_receipt *receipt,
                   struct sb_err *err)
{
    struct enqueue_receipt unwanted;
    struct sb_span object;
    uint64_t hash = 0;
    int rc;

    if (stream->class != SB_UP_SENSORS && stream->class != SB_UP_HISTORY)
        return sb_fail(err, SB_EBAD_STREAM,
                       "single records go to sensors/<type> or history/<user>");
    rc = check_id(id, err);
    if (rc == 0)
        rc = check_object(eq, record, RECORD_OVERHEAD, &object, err);
    if (rc != 0)
        return rc;
    start_receipt(receipt != NULL ? receipt : &unwanted, stream, id);
    if (id.len > 0 && enqueue_sends(eq, stream->class)) {
        struct enqueue_receipt *place = receipt != NULL ? receipt : &unwanted;

        hash = sb_hash64(object);
        rc = known_id(eq, stream, id, hash, place, err);
        if (rc != 0 || place->repeat)
            return rc;
    }
    sb_buf_clear(&eq->new_fields);
    sb_buf_clear(&eq->new_text);
    if (stream->class == SB_UP_SENSORS)
        return add_reading(eq, stream, object, id, hash, now, receipt, err);
    return add_history(eq, stream, object, id, hash, now, receipt, err);
}

/* ---- documents ---- */

void enqueue_set_codec(struct enqueue *eq, const char *device, const struct documents_codec *codec)
{
    snprintf(eq->device, sizeof(eq->device), "%s", device);
    eq->codec = codec;
}

static struct documents documents_of(const struct enqueue *eq, struct sb_rng *rng)
{
    return (struct documents){.ob = eq->ob,
                              .rng = rng,
                              .device = eq->device,
                              .codec = eq->codec,
                              .device_boot = eq->device_boot,
                              .quality = eq->quality};
}

/* The cloud would park the whole stream for a table that it does not know. */
static int check_table(struct enqueue *eq, const struct document_name *name, struct sb_err *err)
{
    bool known, declared;
    int rc;

    if (strcmp(name->table, SB_TABLE_SETTINGS) == 0)
        return 0;
    rc = outbox_table_declared(eq->ob, name->table, &known, &declared, err);
    if (rc == 0 && known && !declared)
        rc = sb_fail(err, SB_EUNKNOWN_TABLE, "the cloud has no table '%s'", name->table);
    return rc;
}

/* Everything that an edit needs before it is made: an open transaction, the chunk before it in the
 * outbox, and whether it is sent. What is wrong with the edit itself leaves the group as it was. */
static int begin_document(struct enqueue *eq, const struct document_name *name, bool *sends,
                          struct sb_err *err)
{
    struct sb_stream stream;
    int rc = enqueue_begin(eq, err);

    document_stream(name, &stream);
    if (rc == 0)
        rc = flush_chunk(eq, err);
    if (rc == 0)
        rc = enqueue_sends_user(eq, stream.class, name->user, sends, err);
    if (rc != 0)
        return lost(eq, rc);
    rc = check_table(eq, name, err);
    if (rc != 0)
        return refused(eq, rc);
    return *sends ? take_stream(eq, &stream, err) : 0;
}

static bool of_the_edit(int rc)
{
    enum sb_code code = (enum sb_code) - rc;

    return sb_code_class(code) == SB_REJECT || code == SB_ENO_KEY || code == SB_EWRONG_KEY ||
           code == SB_EUNKNOWN_TABLE;
}

/* An edit that was refused has changed nothing but the clock. */
static int end_document(struct enqueue *eq, int rc, const struct document_receipt *made,
                        struct enqueue_receipt *receipt)
{
    if (rc != 0)
        return of_the_edit(rc) ? refused(eq, rc) : lost(eq, rc);
    receipt->queued = made->queued;
    receipt->repeat = made->repeat;
    memcpy(receipt->op_id, made->op_id, sizeof(receipt->op_id));
    if (made->queued)
        fill_receipt(receipt, made->place.epoch, made->place.first_seq);
    if (!made->repeat)
        eq->records++;
    return 0;
}

/* A repeat is recognised by all that the caller gave. */
static uint64_t hash_of(const struct document_name *name, struct sb_span data)
{
    char doc[DOCUMENT_TEXT_MAX + 1];
    struct sb_buf text = {0};
    uint64_t hash;

    if (strcmp(name->table, SB_TABLE_SETTINGS) == 0)
        return sb_hash64(data);
    document_name_text(name, doc);
    sb_buf_add_fmt(&text, "%s|", doc);
    sb_buf_add_span(&text, data);
    hash = sb_hash64(sb_buf_span(&text));
    sb_buf_free(&text);
    return hash;
}

int enqueue_document(struct enqueue *eq, const struct document_name *name,
                     enum document_operation operation, struct sb_span data, struct sb_span id,
                     struct sb_now now, struct sb_rng *rng, struct enqueue_receipt *receipt,
                     struct sb_err *err)
{
    const struct documents docs = documents_of(eq, rng);
    struct document_edit edit = {.name = *name, .operation = operation, .op_id = id};
    struct document_receipt made = {0};
    struct enqueue_receipt unwanted;
    struct sb_stream stream;
    int rc = check_id(id, err);

    if (rc == 0 && operation != DOCUMENT_DELETE)
        rc = check_object(eq, data, DOCUMENT_OVERHEAD, &edit.data, err);
    if (rc != 0)
        return rc;
    receipt = receipt != NULL ? receipt : &unwanted;
    document_stream(name, &stream);
    start_receipt(receipt, &stream, id);
    edit.hash = hash_of(name, edit.data);
    if ((rc = begin_document(eq, name, &edit.send, err)) != 0)
        return rc;
    return end_document(eq, documents_put(&docs, &edit, now, &made, err), &made, receipt);
}

int enqueue_settings(struct enqueue *eq, const char *user, struct sb_span document,
                     struct sb_span id, struct sb_now now, struct sb_rng *rng,
                     struct enqueue_receipt *receipt, struct sb_err *err)
{
    struct document_name name;
    int rc = document_name_make(&name, user, SB_TABLE_SETTINGS, "", err);

    if (rc != 0)
        return rc;
    return enqueue_document(eq, &name, DOCUMENT_PUT, document, id, now, rng, receipt, err);
}

int enqueue_backfill(struct enqueue *eq, const struct document_name *name, struct sb_now now,
                     struct sb_rng *rng, struct enqueue_receipt *receipt, struct sb_err *err)
{
    const struct documents docs = documents_of(eq, rng);
    struct document_receipt made = {0};
    struct enqueue_receipt unwanted;
    struct sb_stream stream;
    bool sends = false;
    int rc;

    receipt = receipt != NULL ? receipt : &unwanted;
    document_stream(name, &stream);
    start_receipt(receipt, &stream, SB_SPAN(""));
    if ((rc = begin_document(eq, name, &sends, err)) != 0)
        return rc;
    if (!sends)
        return refused(eq, 0);
    return end_document(eq, documents_backfill(&docs, name, now, &made, err), &made, receipt);
}

/* Whose conflict it is: which switch counts. */
static int take_name(void *ctx, const struct outbox_open_conflict *conflict)
{
    *(struct document_name *)ctx = conflict->name;
    return 1;
}

int enqueue_resolve(struct enqueue *eq, int64_t conflict, enum sb_choice choice,
                    struct sb_span merged, struct sb_now now, struct sb_rng *rng,
                    struct enqueue_receipt *receipt, struct sb_err *err)
{
    const struct documents docs = documents_of(eq, rng);
    struct document_receipt made = {0};
    struct document_name name = {0};
    struct enqueue_receipt unwanted;
    struct sb_stream stream;
    bool sends = false;
    int rc = 0;

    if (choice == SB_CHOICE_MERGE)
        rc = check_object(eq, merged, DOCUMENT_OVERHEAD, &merged, err);
    if (rc == 0 && conflict > 0)
        rc = outbox_open_conflicts(eq->ob, conflict, NULL, NULL, false, take_name, &name, err);
    if (rc == 0 && name.user[0] == '\0')
        rc = sb_fail(err, SB_ENOT_FOUND, "conflict %lld: there is none", (long long)conflict);
    if (rc != 0)
        return rc;
    receipt = receipt != NULL ? receipt : &unwanted;
    document_stream(&name, &stream);
    start_receipt(receipt, &stream, SB_SPAN(""));
    if ((rc = begin_document(eq, &name, &sends, err)) != 0)
        return rc;
    rc = documents_resolve(&docs, conflict, choice, merged, sends, now, &made, err);
    return end_document(eq, rc, &made, receipt);
}

int enqueue_commit(struct enqueue *eq, struct sb_err *err)
{
    int rc = flush_chunk(eq, err);

    if (rc != 0 || !eq->open)
        return rc;
    rc = outbox_commit(eq->ob, err);
    eq->open = false;
    eq->records = 0;
    return rc;
}
