#include "request_conflicts.h"

#include <stdlib.h>
#include <string.h>

#include "document_codec.h"
#include "envelope.h"
#include "json_put.h"
#include "json_read.h"

static const char *const choice_names[] = {
    [SB_CHOICE_NONE] = "",
    [SB_CHOICE_LOCAL] = "local",
    [SB_CHOICE_SERVER] = "server",
    [SB_CHOICE_MERGE] = "merge",
};

const char *sb_choice_name(enum sb_choice choice)
{
    return choice_names[choice];
}

bool sb_choice_parse(struct sb_span name, enum sb_choice *choice)
{
    for (int i = SB_CHOICE_LOCAL; i <= SB_CHOICE_MERGE; i++) {
        if (sb_span_is(name, choice_names[i])) {
            *choice = (enum sb_choice)i;
            return true;
        }
    }
    return false;
}

static int read_choice(const struct sb_json_field *field, enum sb_choice *choice,
                       struct sb_err *err)
{
    char name[SB_NAME_MAX + 1];
    int rc = sb_field_text(field, name, sizeof(name), err);

    if (rc == 0 && !sb_choice_parse(sb_span_of(name), choice))
        rc = sb_fail(err, SB_EBAD_VALUE, "%s: not local, server or merge", field->key);
    return rc;
}

/* ---- lists of operations ---- */

void sb_op_list_free(struct sb_op_list *ops)
{
    free(ops->ids);
    *ops = (struct sb_op_list){.count = 0};
}

void sb_op_list_add(struct sb_op_list *ops, const char *op_id)
{
    ops->ids = sb_xgrow(ops->ids, ops->count, sizeof(*ops->ids));
    memcpy(ops->ids[ops->count++], op_id, strlen(op_id) + 1);
}

static int read_ops(const struct sb_json_field *field, struct sb_op_list *ops, struct sb_err *err)
{
    struct sb_json_field op = {.key = "ops"};
    char op_id[SB_ID_MAX + 1];
    struct sb_json_iter iter;
    int rc;

    if (!sb_field_given(field))
        return 0;
    rc = sb_field_type(field, SB_JSON_ARRAY, err);
    if (rc < 0)
        return rc;
    sb_json_iter_init(&iter, field->value);
    while (rc == 0 && sb_json_next_element(&iter, &op.value)) {
        rc = sb_field_op_id(&op, op_id, err);
        if (rc == 0 && ops->count == SB_CONFLICT_OPS_MAX)
            rc = sb_fail(err, SB_EBAD_VALUE, "ops: more than %d", SB_CONFLICT_OPS_MAX);
        if (rc == 0)
            sb_op_list_add(ops, op_id);
    }
    if (rc == 0 && ops->count == 0)
        rc = sb_fail(err, SB_EBAD_VALUE, "ops: empty");
    return rc;
}

static void put_ops(struct sb_buf *out, const struct sb_op_list *ops)
{
    if (ops->count == 0)
        return;
    sb_put_open(out, "ops", '[');
    for (size_t i = 0; i < ops->count; i++)
        sb_put_text(out, NULL, ops->ids[i]);
    sb_put_close(out, ']');
}

/* ---- args of conflicts.list ---- */

void sb_conflicts_args_free(struct sb_conflicts_args *args)
{
    sb_op_list_free(&args->ops);
    *args = (struct sb_conflicts_args){.user = ""};
}

static int decode_list_args(struct sb_span object, struct sb_conflicts_args *out,
                            struct sb_err *err)
{
    struct sb_json_field f[] = {
        {.key = "user"}, {.key = "ops"}, {.key = "open"}, {.key = "after"}, {.key = "limit"}};
    int rc;

    sb_json_pick(object, f, sizeof(f) / sizeof(f[0]));
    rc = sb_field_given(&f[0]) ? sb_field_name(&f[0], out->user, err) : 0;
    if (rc == 0)
        rc = read_ops(&f[1], &out->ops, err);
    out->open = out->ops.count == 0;
    out->limit = SB_CONFLICTS_DEFAULT;
    if (rc == 0 && sb_field_given(&f[2]))
        rc = sb_field_bool(&f[2], &out->open, err);
    if (rc == 0 && sb_field_given(&f[3]))
        rc = sb_field_u64(&f[3], 1, SB_SEQ_MAX, &out->after, err);
    if (rc == 0 && sb_field_given(&f[4]))
        rc = sb_field_u64(&f[4], 1, SB_CONFLICTS_MAX, &out->limit, err);
    return rc;
}

int sb_conflicts_args_decode(struct sb_span args, struct sb_conflicts_args *out, struct sb_err *err)
{
    struct sb_span object;
    int rc = sb_json_check_object(args, &sb_wire_limits, &object, err);

    *out = (struct sb_conflicts_args){.user = ""};
    if (rc == 0)
        rc = decode_list_args(object, out, err);
    if (rc < 0)
        sb_conflicts_args_free(out);
    return rc;
}

void sb_conflicts_args_encode(const struct sb_conflicts_args *args, struct sb_buf *out)
{
    sb_buf_add_char(out, '{');
    if (args->user[0] != '\0')
        sb_put_text(out, "user", args->user);
    put_ops(out, &args->ops);
    sb_put_bool(out, "open", args->open);
    if (args->after > 0)
        sb_put_u64(out, "after", args->after);
    sb_put_u64(out, "limit", args->limit);
    sb_put_close(out, '}');
}

/* ---- one conflict ---- */

static void put_u64_or_null(struct sb_buf *out, const char *key, uint64_t value)
{
    if (value > 0)
        sb_put_u64(out, key, value);
    else
        sb_put_null(out, key);
}

/* Its members, without braces. */
static void put_entry(struct sb_buf *out, const struct sb_conflict_entry *entry)
{
    sb_put_u64(out, "id", entry->id);
    sb_put_text(out, "user", entry->user);
    sb_put_text(out, "table", entry->table);
    sb_put_text(out, "document", entry->document);
    sb_put_text(out, "device", entry->device);
    sb_put_text(out, "op_id", entry->op_id);
    sb_put_text_or_null(out, "code", entry->code == SB_OK ? "" : sb_code_name(entry->code));
    sb_buf_add_str(out, ",\"pointers\":");
    sb_add_pointer_list(sb_buf_span(&entry->pointers), out);
    sb_put_text_or_null(out, "hlc", entry->hlc);
    put_u64_or_null(out, "server_version", entry->server_version);
    sb_put_text_or_null(out, "opened_at", entry->opened_at);
    sb_put_text_or_null(out, "resolved_at", entry->resolved_at);
    sb_put_text_or_null(out, "resolution", sb_choice_name(entry->resolution));
    sb_put_text_or_null(out, "resolved_by", entry->resolved_by);
    if (entry->note[0] != '\0')
        sb_put_text(out, "note", entry->note);
}

enum {
    E_ID,
    E_USER,
    E_TABLE,
    E_DOCUMENT,
    E_DEVICE,
    E_OP_ID,
    E_CODE,
    E_POINTERS,
    E_HLC,
    E_SERVER_VERSION,
    E_OPENED_AT,
    E_RESOLVED_AT,
    E_RESOLUTION,
    E_RESOLVED_BY,
    E_NOTE,
    ENTRY_MEMBERS
};

static int read_place(const struct sb_json_field *f, struct sb_conflict_entry *entry,
                      struct sb_err *err)
{
    int rc = sb_field_u64(&f[E_ID], 1, SB_SEQ_MAX, &entry->id, err);

    if (rc == 0)
        rc = sb_field_name(&f[E_USER], entry->user, err);
    if (rc == 0)
        rc = sb_field_table(&f[E_TABLE], entry->table, err);
    if (rc == 0)
        rc = sb_field_document_id(&f[E_DOCUMENT], entry->document, err);
    if (rc == 0)
        rc = sb_field_name(&f[E_DEVICE], entry->device, err);
    if (rc == 0)
        rc = sb_field_op_id(&f[E_OP_ID], entry->op_id, err);
    return rc;
}

static int read_resolution(const struct sb_json_field *f, struct sb_conflict_entry *entry,
                           struct sb_err *err)
{
    int rc = 0;

    if (sb_field_given(&f[E_OPENED_AT]))
        rc = sb_field_time_text(&f[E_OPENED_AT], entry->opened_at, sizeof(entry->opened_at), err);
    if (rc == 0 && sb_field_given(&f[E_RESOLVED_AT]))
        rc = sb_field_time_text(&f[E_RESOLVED_AT], entry->resolved_at, sizeof(entry->resolved_at),
                                err);
    if (rc == 0 && sb_field_given(&f[E_RESOLUTION]))
        rc = read_choice(&f[E_RESOLUTION], &entry->resolution, err);
    if (rc == 0 && sb_field_given(&f[E_RESOLVED_BY]))
        rc = sb_field_name(&f[E_RESOLVED_BY], entry->resolved_by, err);
    if (rc == 0 && sb_field_given(&f[E_NOTE]))
        rc = sb_field_text(&f[E_NOTE], entry->note, sizeof(entry->note), err);
    return rc;
}

static int read_entry(struct sb_span object, struct sb_conflict_entry *entry, struct sb_err *err)
{
    struct sb_json_field f[ENTRY_MEMBERS] = {
        [E_ID] = {.key = "id"},
        [E_USER] = {.key = "user"},
        [E_TABLE] = {.key = "table"},
        [E_DOCUMENT] = {.key = "document"},
        [E_DEVICE] = {.key = "device"},
        [E_OP_ID] = {.key = "op_id"},
        [E_CODE] = {.key = "code"},
        [E_POINTERS] = {.key = "pointers"},
        [E_HLC] = {.key = "hlc"},
        [E_SERVER_VERSION] = {.key = "server_version"},
        [E_OPENED_AT] = {.key = "opened_at"},
        [E_RESOLVED_AT] = {.key = "resolved_at"},
        [E_RESOLUTION] = {.key = "resolution"},
        [E_RESOLVED_BY] = {.key = "resolved_by"},
        [E_NOTE] = {.key = "note"},
    };
    int rc;

    sb_json_pick(object, f, ENTRY_MEMBERS);
    rc = read_place(f, entry, err);
    if (rc == 0 && sb_field_given(&f[E_CODE]))
        rc = sb_field_code(&f[E_CODE], &entry->code, err);
    if (rc == 0)
        rc = sb_read_pointer_list(&f[E_POINTERS], &entry->pointers, err);
    if (rc == 0 && sb_field_given(&f[E_HLC]))
        rc = sb_field_hex16(&f[E_HLC], entry->hlc, err);
    if (rc == 0 && sb_field_given(&f[E_SERVER_VERSION]))
        rc = sb_field_u64(&f[E_SERVER_VERSION], 1, SB_SEQ_MAX, &entry->server_version, err);
    return rc < 0 ? rc : read_resolution(f, entry, err);
}

/* ---- conflicts.list ---- */

void sb_conflicts_init(struct sb_conflicts *conflicts)
{
    *conflicts = (struct sb_conflicts){.count = 0};
}

void sb_conflicts_free(struct sb_conflicts *conflicts)
{
    for (size_t i = 0; i < conflicts->count; i++)
        sb_buf_free(&conflicts->list[i].pointers);
    free(conflicts->list);
    sb_conflicts_init(conflicts);
}

struct sb_conflict_entry *sb_conflicts_add(struct sb_conflicts *conflicts)
{
    struct sb_conflict_entry *entry;

    conflicts->list = sb_xgrow(conflicts->list, conflicts->count, sizeof(*conflicts->list));
    entry = &conflicts->list[conflicts->count++];
    *entry = (struct sb_conflict_entry){.id = 0};
    return entry;
}

#define CONFLICTS_END_BYTES 32

size_t sb_conflicts_encode(const struct sb_conflicts *conflicts, size_t max_bytes,
                           struct sb_buf *out)
{
    size_t begin = out->len, told = 0, before;

    sb_buf_add_char(out, '{');
    sb_put_open(out, "conflicts", '[');
    for (; told < conflicts->count; told++) {
        before = out->len;
        sb_put_open(out, NULL, '{');
        put_entry(out, &conflicts->list[told]);
        sb_put_close(out, '}');
        if (told > 0 && out->len - begin + CONFLICTS_END_BYTES > max_bytes) {
            out->len = before;
            break;
        }
    }
    sb_put_close(out, ']');
    sb_put_bool(out, "has_more", conflicts->has_more || told < conflicts->count);
    sb_put_close(out, '}');
    return told;
}

static int read_listed(struct sb_span value, struct sb_conflicts *conflicts, struct sb_err *err)
{
    uint64_t last = conflicts->count > 0 ? conflicts->list[conflicts->count - 1].id : 0;
    struct sb_conflict_entry *entry;
    int rc;

    if (sb_json_type_of(value) != SB_JSON_OBJECT)
        return sb_fail(err, SB_EBAD_TYPE, "not an object");
    if (conflicts->count == SB_CONFLICTS_MAX)
        return sb_fail(err, SB_EBAD_VALUE, "more than %d", SB_CONFLICTS_MAX);
    entry = sb_conflicts_add(conflicts);
    rc = read_entry(value, entry, err);
    if (rc == 0 && entry->id <= last)
        rc = sb_fail(err, SB_EBAD_VALUE, "id: not above the one before it");
    return rc;
}

static int decode_list(struct sb_span object, struct sb_conflicts *out, struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "conflicts"}, {.key = "has_more"}};
    struct sb_json_iter iter;
    struct sb_span value;
    int rc;

    sb_json_pick(object, f, 2);
    rc = sb_field_type(&f[0], SB_JSON_ARRAY, err);
    if (rc == 0)
        rc = sb_field_bool(&f[1], &out->has_more, err);
    if (rc < 0)
        return rc;
    sb_json_iter_init(&iter, f[0].value);
    while (rc == 0 && sb_json_next_element(&iter, &value)) {
        rc = read_listed(value, out, err);
        if (rc < 0)
            sb_err_prefix(err, "conflicts: element %zu", out->count);
    }
    return rc;
}

int sb_conflicts_decode(struct sb_span data, struct sb_conflicts *out, struct sb_err *err)
{
    struct sb_span object;
    int rc = sb_json_check_object(data, &sb_down_limits, &object, err);

    sb_conflicts_init(out);
    if (rc == 0)
        rc = decode_list(object, out, err);
    if (rc < 0)
        sb_conflicts_free(out);
    return rc;
}

/* ---- conflicts.show ---- */

static const char *const part_names[] = {
    [SB_PART_ALL] = "all",
    [SB_PART_BASE] = "base",
    [SB_PART_SUBMITTED] = "submitted",
    [SB_PART_SERVER] = "server",
};

static int read_part(const struct sb_json_field *field, enum sb_conflict_part *part,
                     struct sb_err *err)
{
    int rc = sb_field_type(field, SB_JSON_STRING, err);

    for (int i = SB_PART_ALL; rc == 0 && i <= SB_PART_SERVER; i++) {
        if (sb_json_string_is(field->value, part_names[i])) {
            *part = (enum sb_conflict_part)i;
            return 0;
        }
    }
    return rc < 0 ? rc : sb_fail(err, SB_EBAD_VALUE, "part: not base, submitted, server or all");
}

int sb_conflict_args_decode(struct sb_span args, struct sb_conflict_args *out, struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "id"}, {.key = "part"}};
    struct sb_span object;
    int rc = sb_json_check_object(args, &sb_wire_limits, &object, err);

    *out = (struct sb_conflict_args){.id = 0};
    if (rc < 0)
        return rc;
    sb_json_pick(object, f, 2);
    rc = sb_field_u64(&f[0], 1, SB_SEQ_MAX, &out->id, err);
    if (rc == 0 && sb_field_given(&f[1]))
        rc = read_part(&f[1], &out->part, err);
    return rc;
}

void sb_conflict_args_encode(const struct sb_conflict_args *args, struct sb_buf *out)
{
    sb_buf_add_char(out, '{');
    sb_put_u64(out, "id", args->id);
    if (args->part != SB_PART_ALL)
        sb_put_text(out, "part", part_names[args->part]);
    sb_put_close(out, '}');
}

void sb_conflict_view_free(struct sb_conflict_view *view)
{
    sb_buf_free(&view->entry.pointers);
    sb_buf_free(&view->base_name);
    sb_buf_free(&view->base.data);
    sb_buf_free(&view->submitted.data);
    sb_document_free(&view->server);
    *view = (struct sb_conflict_view){.as_of = 0};
}

static void put_side(struct sb_buf *out, const char *key, const struct sb_conflict_text *side,
                     bool without)
{
    if (!side->exists) {
        sb_put_null(out, key);
        return;
    }
    sb_put_open(out, key, '{');
    if (side->deleted)
        sb_put_bool(out, "deleted", true);
    else if (side->fetch || without)
        sb_put_bool(out, "fetch", true);
    else
        sb_put_raw(out, "data", sb_buf_span(&side->data));
    sb_put_close(out, '}');
}

enum { VIEW_BASE, VIEW_SUBMITTED, VIEW_SERVER, VIEW_TEXTS };

static void add_view(const struct sb_conflict_view *view, const bool without[VIEW_TEXTS],
                     struct sb_buf *out)
{
    sb_buf_add_char(out, '{');
    put_entry(out, &view->entry);
    sb_put_raw(out, "base", sb_buf_span(&view->base_name));
    put_side(out, "base_document", &view->base, without[VIEW_BASE]);
    put_side(out, "submitted", &view->submitted, without[VIEW_SUBMITTED]);
    sb_put_u64(out, "as_of", view->as_of);
    if (view->server.exists) {
        sb_put_open(out, "server", '{');
        sb_document_add_members(&view->server, without[VIEW_SERVER], out);
        sb_put_close(out, '}');
    } else {
        sb_put_null(out, "server");
    }
    sb_put_close(out, '}');
}

static size_t side_saving(const struct sb_conflict_text *side)
{
    return side->exists && !side->deleted && !side->fetch ? side->data.len : 0;
}

void sb_conflict_view_encode(const struct sb_conflict_view *view, size_t max_bytes,
                             struct sb_buf *out)
{
    size_t saving[VIEW_TEXTS] = {side_saving(&view->base), side_saving(&view->submitted),
                                 sb_document_saving(&view->server)};
    bool without[VIEW_TEXTS] = {false, false, false};
    size_t before = out->len;
    int most;

    for (;;) {
        out->len = before;
        add_view(view, without, out);
        if (out->len - before <= max_bytes)
            return;
        most = 0;
        for (int i = 1; i < VIEW_TEXTS; i++)
            if (saving[i] > saving[most])
                most = i;
        if (saving[most] == 0)
            return;
        without[most] = true;
        saving[most] = 0;
    }
}

static int read_side(const struct sb_json_field *field, struct sb_conflict_text *side,
                     struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "deleted"}, {.key = "fetch"}, {.key = "data"}};
    int rc;

    if (!sb_field_given(field))
        return 0;
    rc = sb_field_type(field, SB_JSON_OBJECT, err);
    if (rc < 0)
        return rc;
    side->exists = true;
    sb_json_pick(field->value, f, 3);
    if (sb_field_given(&f[0]))
        rc = sb_field_bool(&f[0], &side->deleted, err);
    if (rc == 0 && sb_field_given(&f[1]))
        rc = sb_field_bool(&f[1], &side->fetch, err);
    if (rc == 0 && !side->deleted && !side->fetch) {
        if (f[2].value.len == 0)
            rc = sb_fail(err, SB_EMISSING_FIELD, "data: missing (or deleted, or fetch)");
        sb_buf_add_span(&side->data, f[2].value);
    }
    if (rc < 0)
        sb_err_prefix(err, "%s", field->key);
    return rc;
}

static int read_server(const struct sb_json_field *field, struct sb_document *doc,
                       struct sb_err *err)
{
    int rc;

    if (!sb_field_given(field))
        return 0;
    rc = sb_field_type(field, SB_JSON_OBJECT, err);
    return rc < 0 ? rc : sb_document_read(field->value, doc, err);
}

static int decode_view(struct sb_span object, struct sb_conflict_view *out, struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "base"},
                                {.key = "base_document"},
                                {.key = "submitted"},
                                {.key = "as_of"},
                                {.key = "server"}};
    int rc;

    sb_json_pick(object, f, sizeof(f) / sizeof(f[0]));
    rc = read_entry(object, &out->entry, err);
    if (rc == 0 && sb_field_given(&f[0]))
        rc = sb_field_type(&f[0], SB_JSON_OBJECT, err);
    if (rc == 0 && sb_field_given(&f[0]))
        sb_buf_add_span(&out->base_name, f[0].value);
    if (rc == 0)
        rc = read_side(&f[1], &out->base, err);
    if (rc == 0)
        rc = read_side(&f[2], &out->submitted, err);
    if (rc == 0)
        rc = sb_field_u64(&f[3], 0, SB_SEQ_MAX, &out->as_of, err);
    return rc < 0 ? rc : read_server(&f[4], &out->server, err);
}

int sb_conflict_view_decode(struct sb_span data, struct sb_conflict_view *out, struct sb_err *err)
{
    struct sb_span object;
    int rc = sb_json_check_object(data, &sb_down_limits, &object, err);

    *out = (struct sb_conflict_view){.as_of = 0};
    if (rc == 0)
        rc = decode_view(object, out, err);
    if (rc < 0)
        sb_conflict_view_free(out);
    return rc;
}

/* ---- conflicts.resolve ---- */

void sb_resolve_args_free(struct sb_resolve_args *args)
{
    sb_op_list_free(&args->ops);
    *args = (struct sb_resolve_args){.id = 0};
}

/* null deletes the document, so it is not the same as leaving data out. */
static int read_data(const struct sb_json_field *field, struct sb_resolve_args *out,
                     struct sb_err *err)
{
    int rc;

    if (field->value.len == 0)
        return 0;
    if (sb_field_given(field)) {
        rc = sb_field_type(field, SB_JSON_OBJECT, err);
        if (rc == 0)
            rc = sb_json_check(field->value, &sb_document_limits, NULL, err);
        if (rc < 0)
            return rc;
    }
    out->data = field->value;
    return 0;
}

static int check_resolve(const struct sb_resolve_args *args, struct sb_err *err)
{
    bool by_ops = args->ops.count > 0;

    if (by_ops == (args->id > 0))
        return sb_fail(err, SB_EBAD_VALUE, "id, ops: one of them");
    if (args->data.len > 0 && (by_ops || args->choice != SB_CHOICE_MERGE))
        return sb_fail(err, SB_EBAD_VALUE, "data: only with id and the choice merge");
    if (args->seen[0] != '\0' && by_ops)
        return sb_fail(err, SB_EBAD_VALUE, "seen: only with id");
    if (args->data.len == 0 && !by_ops && args->choice == SB_CHOICE_MERGE)
        return sb_fail(err, SB_EMISSING_FIELD, "data: missing, the merged document");
    return 0;
}

static int decode_resolve(struct sb_span object, struct sb_resolve_args *out, struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "id"},   {.key = "ops"},  {.key = "choice"},
                                {.key = "data"}, {.key = "note"}, {.key = "seen"}};
    int rc = 0;

    sb_json_pick(object, f, sizeof(f) / sizeof(f[0]));
    if (sb_field_given(&f[0]))
        rc = sb_field_u64(&f[0], 1, SB_SEQ_MAX, &out->id, err);
    if (rc == 0)
        rc = read_ops(&f[1], &out->ops, err);
    if (rc == 0)
        rc = read_choice(&f[2], &out->choice, err);
    if (rc == 0)
        rc = read_data(&f[3], out, err);
    if (rc == 0 && sb_field_given(&f[4]))
        rc = sb_field_text(&f[4], out->note, sizeof(out->note), err);
    if (rc == 0 && sb_field_given(&f[5]))
        rc = sb_field_hex16(&f[5], out->seen, err);
    return rc < 0 ? rc : check_resolve(out, err);
}

int sb_resolve_args_decode(struct sb_span args, struct sb_resolve_args *out, struct sb_err *err)
{
    struct sb_span object;
    int rc = sb_json_check_object(args, &sb_wire_limits, &object, err);

    *out = (struct sb_resolve_args){.id = 0};
    if (rc == 0)
        rc = decode_resolve(object, out, err);
    if (rc < 0)
        sb_resolve_args_free(out);
    return rc;
}

void sb_resolve_args_encode(const struct sb_resolve_args *args, struct sb_buf *out)
{
    sb_buf_add_char(out, '{');
    if (args->id > 0)
        sb_put_u64(out, "id", args->id);
    put_ops(out, &args->ops);
    sb_put_text(out, "choice", sb_choice_name(args->choice));
    if (args->data.len > 0)
        sb_put_raw(out, "data", args->data);
    if (args->seen[0] != '\0')
        sb_put_text(out, "seen", args->seen);
    if (args->note[0] != '\0')
        sb_put_text(out, "note", args->note);
    sb_put_close(out, '}');
}

void sb_resolved_encode(const struct sb_resolved *resolved, struct sb_buf *out)
{
    sb_buf_add_char(out, '{');
    sb_put_u64(out, "resolved", resolved->resolved);
    sb_put_u64(out, "already", resolved->already);
    sb_put_u64(out, "unknown", resolved->unknown);
    put_u64_or_null(out, "version", resolved->version);
    sb_put_text_or_null(out, "tag", resolved->tag);
    sb_put_close(out, '}');
}

int sb_resolved_decode(struct sb_span data, struct sb_resolved *out, struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "resolved"},
                                {.key = "already"},
                                {.key = "unknown"},
                                {.key = "version"},
                                {.key = "tag"}};
    struct sb_span object;
    int rc = sb_json_check_object(data, &sb_down_limits, &object, err);

    *out = (struct sb_resolved){.resolved = 0};
    if (rc < 0)
        return rc;
    sb_json_pick(object, f, sizeof(f) / sizeof(f[0]));
    rc = sb_field_u64(&f[0], 0, SB_CONFLICT_OPS_MAX, &out->resolved, err);
    if (rc == 0)
        rc = sb_field_u64(&f[1], 0, SB_CONFLICT_OPS_MAX, &out->already, err);
    if (rc == 0)
        rc = sb_field_u64(&f[2], 0, SB_CONFLICT_OPS_MAX, &out->unknown, err);
    if (rc == 0 && sb_field_given(&f[3]))
        rc = sb_field_u64(&f[3], 1, SB_SEQ_MAX, &out->version, err);
    if (rc == 0 && sb_field_given(&f[4]))
        rc = sb_field_hex16(&f[4], out->tag, err);
    return rc;
}
