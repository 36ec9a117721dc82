/* Edits of documents: V2, sealing, what a switch holds back. */
#include "edge_agent/documents.h"

#include <stdio.h>
#include <string.h>

#include "common/envelope.h"
#include "common/rules.h"
#include "edge_agent/documents_internal.h"

void documents_inside_fini(struct documents_inside *inside)
{
    sb_buf_free(&inside->data);
    sb_buf_free(&inside->stamps);
    *inside = (struct documents_inside){0};
}

const char *document_operation_name(enum document_operation operation)
{
    switch (operation) {
    case DOCUMENT_PUT:
        return "put";
    case DOCUMENT_ADD:
        return "add";
    case DOCUMENT_UPDATE:
        return "update";
    case DOCUMENT_DELETE:
        return "delete";
    }
    return "";
}

struct sb_span document_text_of(const struct outbox_document *local)
{
    return local->exists ? sb_buf_span(&local->doc) : (struct sb_span){NULL, 0};
}

uint64_t document_hlc_of(const char *hex16)
{
    return sb_hex16_valid(sb_span_of(hex16)) ? sb_hex16_value(hex16) : 0;
}

/* ---- what an operation says ---- */

/* V2. A version that an ack named is never a base: what was merged into it is not known here. */
static int print_base(const struct documents *docs, const struct document_name *name,
                      const struct outbox_document *local, struct sb_buf *out, struct sb_err *err)
{
    bool own = local->last_op[0] != '\0', pending = true;
    int rc = 0;

    if (own && !sb_rule(SB_RULE_BASE_OWN))
        rc = outbox_document_pending(docs->ob, name, &pending, err);
    if (own && pending) {
        sb_buf_add_str(out, "{\"op_id\":");
        sb_buf_add_json(out, sb_span_of(local->last_op));
        sb_buf_add_char(out, '}');
    } else if (local->base_tag[0] != '\0') {
        sb_buf_add_fmt(out, "{\"tag\":\"%s\"}", local->base_tag);
    } else {
        sb_buf_add_str(out, "null");
    }
    return rc;
}

/* The document that this operation is made on (V4): before the first of the edits it carries. */
static struct sb_span before_of(const struct outbox_document *local)
{
    if (!local->unsent)
        return document_text_of(local);
    return local->has_unsent_before ? sb_buf_span(&local->unsent_before)
                                    : (struct sb_span){NULL, 0};
}

/* Who changed what, for a cloud that cannot look inside: only where `latest` needs it. */
static int add_stamps(const struct documents *docs, const struct outbox_document *local,
                      const struct document_write *write, uint64_t hlc, struct sb_buf *out,
                      struct sb_err *err)
{
    const struct sb_stamp mine = sb_stamp_of(hlc, sb_span_of(docs->device));
    const char *newest = local->hlc == local->op_hlc ? docs->device : local->version_device;
    const struct sb_stamp theirs = sb_stamp_of(local->hlc, sb_span_of(newest));
    struct sb_array_keys arrays = {0};
    struct sb_stamps stamps = {0};
    struct sb_buf declared = {0};
    enum sb_policy policy;
    int rc =
        outbox_policy_get(docs->ob, write->name->user, write->name->table, &policy, &declared, err);

    if (rc == 0 && policy == SB_POLICY_LATEST) {
        (void)sb_array_keys_parse(&arrays, sb_buf_span(&declared), NULL);
        (void)sb_stamps_parse(&stamps, sb_buf_span(&local->stamps), NULL);
        if (stamps.count == 0 && local->hlc > 0)
            sb_stamps_raise(&stamps, SB_SPAN(""), &theirs);
        sb_stamps_apply(&stamps, before_of(local), write->data, write->data, &mine, &arrays);
        sb_stamps_print(&stamps, out);
    }
    sb_array_keys_free(&arrays);
    sb_stamps_free(&stamps);
    sb_buf_free(&declared);
    return rc;
}

static int seal(const struct documents *docs, const struct outbox_document *local,
                const struct document_write *write, const char *base, struct document_ready *ready,
                struct sb_buf *token, struct sb_err *err)
{
    struct documents_clear clear = {.name = *write->name, .hlc = ready->hlc};
    struct documents_inside inside = {.top = local->hlc > ready->hlc ? local->hlc : ready->hlc};
    int rc = add_stamps(docs, local, write, ready->hlc, &ready->stamps, err);

    snprintf(clear.device, sizeof(clear.device), "%s", docs->device);
    memcpy(clear.op_id, ready->op_id, sizeof(clear.op_id));
    snprintf(clear.base, sizeof(clear.base), "%s", base);
    sb_buf_add_span(&inside.data, write->data);
    sb_buf_add_span(&inside.stamps, sb_buf_span(&ready->stamps));
    sb_buf_add_char(token, '"');
    if (rc == 0)
        rc = docs->codec->seal(docs->codec->ctx, &clear, &inside, token, err);
    sb_buf_add_char(token, '"');
    ready->sealed = true;
    documents_inside_fini(&inside);
    return rc;
}

static const char *operation_word(const struct document_write *write, bool existed)
{
    if (write->data.len == 0)
        return document_operation_name(DOCUMENT_DELETE);
    if (write->operation == DOCUMENT_ADD || write->operation == DOCUMENT_UPDATE)
        return document_operation_name(write->operation);
    return document_operation_name(existed ? DOCUMENT_UPDATE : DOCUMENT_ADD);
}

static void print_operation(const struct document_write *write, const char *base,
                            struct sb_span data, bool existed, struct document_ready *ready)
{
    bool settings = strcmp(write->name->table, SB_TABLE_SETTINGS) == 0;
    struct sb_buf *out = &ready->body;
    char hlc[SB_EPOCH_LEN + 1];

    sb_hex16_of(ready->hlc, hlc);
    sb_buf_add_str(out, "{\"op_id\":");
    sb_buf_add_json(out, sb_span_of(ready->op_id));
    sb_buf_add_fmt(out, ",\"hlc\":\"%s\"", hlc);
    if (!settings) {
        sb_buf_add_fmt(out, ",\"table\":\"%s\",\"id\":", write->name->table);
        sb_buf_add_json(out, sb_span_of(write->name->id));
        sb_buf_add_fmt(out, ",\"operation\":\"%s\"", operation_word(write, existed));
    }
    sb_buf_add_fmt(out, ",\"base\":%s", base);
    if (data.len > 0) {
        sb_buf_add_str(out, settings ? ",\"settings\":" : ",\"data\":");
        sb_buf_add_span(out, data);
    }
    sb_buf_add_char(out, '}');
}

/* What a merge made may be beyond what one record takes, though both sides were not. */
static int check_record(const struct sb_buf *body, struct sb_err *err)
{
    const struct sb_json_limits limits = {
        .max_bytes = SB_RECORD_MAX_BYTES,
        .max_depth = SB_DOCUMENT_MAX_DEPTH + 1, /* the document's, inside of the operation */
        .max_nodes = SB_DOCUMENT_MAX_NODES + 16,
    };

    return sb_json_check(sb_buf_span(body), &limits, NULL, err);
}

void document_ready_fini(struct document_ready *ready)
{
    sb_buf_free(&ready->body);
    sb_buf_free(&ready->stamps);
    *ready = (struct document_ready){0};
}

static int stamp(const struct documents *docs, const struct outbox_document *local,
                 const struct document_write *write, struct sb_now now,
                 struct document_ready *ready, struct sb_err *err)
{
    uint64_t floor = sb_rule(SB_RULE_HLC_FOLLOWS) ? local->hlc : 0;
    int64_t wall_us;
    int rc = outbox_server_time(docs->ob, docs->device_boot, now, &wall_us, err);

    if (rc == 0)
        rc = outbox_hlc(docs->ob, wall_us, floor, &ready->hlc, err);
    if (write->keep_hlc != 0 && sb_rule(SB_RULE_KEEP_HLC))
        ready->hlc = write->keep_hlc;
    if (write->op_id.len > 0)
        snprintf(ready->op_id, sizeof(ready->op_id), SB_SPAN_FMT, SB_SPAN_ARG(write->op_id));
    else
        sb_uuid7(docs->rng, now.wall_us, ready->op_id);
    return rc;
}

int document_prepare(const struct documents *docs, const struct outbox_document *local,
                     const struct document_write *write, struct sb_now now,
                     struct document_ready *ready, struct sb_err *err)
{
    bool sealed = docs->codec != NULL && docs->codec->seals(docs->codec->ctx, write->name->user);
    struct sb_buf base = {0}, token = {0};
    struct sb_span data = write->data;
    int rc;

    *ready = (struct document_ready){0};
    if (data.len == 0 && strcmp(write->name->table, SB_TABLE_SETTINGS) == 0)
        return sb_fail(err, SB_EBAD_VALUE, "settings cannot be deleted, only made empty");
    rc = stamp(docs, local, write, now, ready, err);
    if (rc == 0)
        rc = print_base(docs, write->name, local, &base, err);
    if (rc == 0 && sealed && data.len > 0) {
        rc = seal(docs, local, write, base.data, ready, &token, err);
        data = sb_buf_span(&token);
    }
    if (rc == 0) {
        print_operation(write, base.data, data, before_of(local).len > 0, ready);
        rc = check_record(&ready->body, err);
    }
    ready->hash = write->hash != 0 ? write->hash : sb_hash64(sb_buf_span(&ready->body));
    sb_buf_free(&base);
    sb_buf_free(&token);
    return rc;
}

/* ---- into the outbox ---- */

void document_set_text(struct outbox_document *local, struct sb_span data, struct sb_now now)
{
    struct sb_buf text = {0};

    sb_buf_add_span(&text, data); /* data may be a part of the old text */
    sb_buf_free(&local->doc);
    local->doc = text;
    local->exists = data.len > 0;
    local->known = true;
    local->updated_us = now.wall_us;
}

static void no_longer_unsent(struct outbox_document *local)
{
    sb_buf_free(&local->unsent_before);
    local->has_unsent_before = false;
    local->unsent = false;
}

int document_enqueue(const struct documents *docs, struct outbox_document *local,
                     const struct document_write *write, const struct document_ready *ready,
                     struct sb_now now, struct document_receipt *receipt, struct sb_err *err)
{
    const struct outbox_id id = {sb_span_of(ready->op_id), ready->hash};
    char doc[DOCUMENT_TEXT_MAX + 1];
    struct outbox_chunk chunk = {.body = sb_buf_span(&ready->body),
                                 .count = 1,
                                 .ids = &id,
                                 .before = before_of(local),
                                 .device_boot = docs->device_boot,
                                 .mono_ms = now.mono_ms,
                                 .wall_us = now.wall_us,
                                 .quality = docs->quality,
                                 .reserved = write->reserved};
    int rc;

    document_name_text(write->name, doc);
    document_stream(write->name, &chunk.stream);
    chunk.doc = sb_span_of(doc);
    rc = outbox_append(docs->ob, &chunk, &receipt->place, err);
    if (rc < 0)
        return rc;
    receipt->queued = true;
    receipt->repeat = receipt->place.repeat;
    memcpy(receipt->op_id, ready->op_id, sizeof(receipt->op_id));
    if (receipt->repeat)
        return 0;
    memcpy(local->last_op, ready->op_id, sizeof(local->last_op));
    local->op_hlc = ready->hlc;
    local->sealed = local->sealed || ready->sealed;
    if (ready->sealed) {
        sb_buf_clear(&local->stamps);
        sb_buf_add_span(&local->stamps, sb_buf_span(&ready->stamps));
    }
    no_longer_unsent(local);
    document_set_text(local, write->data, now);
    return 0;
}

/* Kept here only: the text changes, what it was before the first such edit is remembered. */
static void keep_unsent(struct outbox_document *local, struct sb_span data, struct sb_now now)
{
    if (!local->unsent && sb_span_eq(data, document_text_of(local)))
        return; /* nothing was changed: nothing holds up what the cloud has */
    if (!local->unsent) {
        local->unsent = true;
        local->has_unsent_before = local->exists;
        sb_buf_clear(&local->unsent_before);
        sb_buf_add_span(&local->unsent_before, document_text_of(local));
    }
    document_set_text(local, data, now);
}

int document_edit(const struct documents *docs, struct outbox_document *local,
                  const struct document_write *write, bool send, struct sb_now now,
                  struct document_receipt *receipt, struct sb_err *err)
{
    struct document_ready ready = {0};
    int rc = 0;

    if (!send) {
        snprintf(receipt->op_id, sizeof(receipt->op_id), SB_SPAN_FMT, SB_SPAN_ARG(write->op_id));
        rc = write->data.len > 0 ? outbox_room(docs->ob, err) : 0;
        if (rc == 0)
            keep_unsent(local, write->data, now);
    } else {
        rc = document_prepare(docs, local, write, now, &ready, err);
        if (rc == 0)
            rc = document_enqueue(docs, local, write, &ready, now, receipt, err);
    }
    if (rc == 0 && !receipt->repeat)
        rc = outbox_document_set(docs->ob, write->name, local, err);
    document_ready_fini(&ready);
    return rc;
}

/* Was that id given before? */
static int find_repeat(const struct documents *docs, const struct document_edit *edit,
                       struct document_receipt *receipt, struct sb_err *err)
{
    struct sb_stream stream;
    uint64_t hash = 0;
    bool found = false;
    int rc;

    if (edit->op_id.len == 0)
        return 0;
    document_stream(&edit->name, &stream);
    rc = outbox_find_id(docs->ob, &stream, edit->op_id, &found, &hash, &receipt->place, err);
    if (rc < 0 || !found)
        return rc;
    if (hash != edit->hash)
        return sb_fail(err, SB_EID_REUSED,
                       "id '" SB_SPAN_FMT "' was used before with other content",
                       SB_SPAN_ARG(edit->op_id));
    receipt->repeat = receipt->queued = true;
    snprintf(receipt->op_id, sizeof(receipt->op_id), SB_SPAN_FMT, SB_SPAN_ARG(edit->op_id));
    return 0;
}

int documents_put(const struct documents *docs, const struct document_edit *edit, struct sb_now now,
                  struct document_receipt *receipt, struct sb_err *err)
{
    const struct document_write write = {
        .name = &edit->name,
        .operation = edit->operation,
        .data = edit->operation == DOCUMENT_DELETE ? (struct sb_span){NULL, 0} : edit->data,
        .op_id = edit->op_id,
        .hash = edit->hash,
    };
    struct outbox_document local = {0};
    int rc;

    *receipt = (struct document_receipt){0};
    rc = find_repeat(docs, edit, receipt, err);
    if (rc < 0 || receipt->repeat)
        return rc;
    rc = outbox_document_get(docs->ob, &edit->name, &local, err);
    if (rc == 0 && write.data.len == 0 && !local.exists)
        rc = sb_fail(err, SB_ENOT_FOUND, "%s '%s' of %s is not on this device", edit->name.table,
                     edit->name.id, edit->name.user);
    if (rc == 0)
        rc = document_edit(docs, &local, &write, edit->send, now, receipt, err);
    outbox_document_fini(&local);
    return rc;
}

int documents_backfill(const struct documents *docs, const struct document_name *name,
                       struct sb_now now, struct document_receipt *receipt, struct sb_err *err)
{
    struct document_write write = {.name = name};
    struct outbox_document local = {0};
    struct sb_buf text = {0};
    int rc;

    *receipt = (struct document_receipt){0};
    rc = outbox_document_get(docs->ob, name, &local, err);
    if (rc == 0 && local.unsent) {
        sb_buf_add_span(&text, document_text_of(&local));
        write.data = sb_buf_span(&text);
        if (sb_span_eq(write.data, before_of(&local))) { /* made and undone */
            no_longer_unsent(&local);
            local.stale = true; /* what came meanwhile was not taken, nor merged */
            rc = outbox_document_set(docs->ob, name, &local, err);
        } else {
            rc = document_edit(docs, &local, &write, true, now, receipt, err);
        }
    }
    sb_buf_free(&text);
    outbox_document_fini(&local);
    return rc;
}

int documents_acked(struct outbox *ob, const struct document_name *name, const char *op_id,
                    uint64_t version, struct sb_err *err)
{
    return outbox_document_see(ob, name, op_id, version, err);
}
