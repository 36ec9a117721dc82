#include "request_documents.h"

#include <stdlib.h>
#include <string.h>

#include "document_codec.h"
#include "envelope.h"
#include "json_put.h"
#include "json_read.h"

/* ---- parts of args ---- */

/* user, table, id of f[0] to f[2]; the settings have one document alone. */
static int read_name(const struct sb_json_field f[3], struct sb_document_args *out,
                     struct sb_err *err)
{
    int rc = sb_field_given(&f[0]) ? sb_field_name(&f[0], out->user, err) : 0;

    if (rc == 0)
        rc = sb_field_table(&f[1], out->table, err);
    if (rc == 0)
        rc = sb_field_document_id(&f[2], out->id, err);
    if (rc == 0 && strcmp(out->table, SB_TABLE_SETTINGS) == 0 &&
        strcmp(out->id, SB_TABLE_SETTINGS) != 0)
        rc = sb_fail(err, SB_EBAD_ID, "id: the table settings has the document settings alone");
    return rc;
}

static int read_limit(const struct sb_json_field *field, uint64_t *limit, struct sb_err *err)
{
    *limit = SB_CHANGES_DEFAULT;
    return sb_field_given(field) ? sb_field_u64(field, 1, SB_CHANGES_MAX, limit, err) : 0;
}

static int read_cursor(const struct sb_json_field *field, struct sb_cursor *cursor,
                       struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "version"}, {.key = "tag"}};
    int rc;

    *cursor = (struct sb_cursor){.version = 0};
    if (!sb_field_given(field))
        return 0;
    rc = sb_field_type(field, SB_JSON_OBJECT, err);
    if (rc < 0)
        return rc;
    sb_json_pick(field->value, f, 2);
    rc = sb_field_u64(&f[0], 1, SB_SEQ_MAX, &cursor->version, err);
    if (rc == 0)
        rc = sb_field_hex16(&f[1], cursor->tag, err);
    if (rc < 0)
        sb_err_prefix(err, "%s", field->key);
    return rc;
}

static void put_cursor(struct sb_buf *out, const char *key, const struct sb_cursor *cursor)
{
    if (cursor->version == 0) {
        sb_put_null(out, key);
        return;
    }
    sb_put_open(out, key, '{');
    sb_put_u64(out, "version", cursor->version);
    sb_put_text(out, "tag", cursor->tag);
    sb_put_close(out, '}');
}

static void put_user(struct sb_buf *out, const char *user)
{
    if (user[0] != '\0')
        sb_put_text(out, "user", user);
}

static void put_name(struct sb_buf *out, const struct sb_document_args *args)
{
    put_user(out, args->user);
    sb_put_text(out, "table", args->table);
    sb_put_text(out, "id", args->id);
}

/* ---- args of changes ---- */

int sb_changes_args_decode(struct sb_span args, struct sb_changes_args *out, struct sb_err *err)
{
    struct sb_json_field f[] = {
        {.key = "user"}, {.key = "table"}, {.key = "since"}, {.key = "limit"}, {.key = "began"}};
    struct sb_span object;
    int rc = sb_json_check_object(args, &sb_wire_limits, &object, err);

    *out = (struct sb_changes_args){.limit = SB_CHANGES_DEFAULT};
    if (rc < 0)
        return rc;
    sb_json_pick(object, f, sizeof(f) / sizeof(f[0]));
    rc = sb_field_given(&f[0]) ? sb_field_name(&f[0], out->user, err) : 0;
    if (rc == 0)
        rc = sb_field_table(&f[1], out->table, err);
    if (rc == 0)
        rc = read_cursor(&f[2], &out->since, err);
    if (rc == 0 && sb_field_given(&f[4]))
        rc = sb_field_u64(&f[4], 0, SB_SEQ_MAX, &out->began, err);
    return rc < 0 ? rc : read_limit(&f[3], &out->limit, err);
}

void sb_changes_args_encode(const struct sb_changes_args *args, struct sb_buf *out)
{
    sb_buf_add_char(out, '{');
    put_user(out, args->user);
    sb_put_text(out, "table", args->table);
    put_cursor(out, "since", &args->since);
    if (args->began > 0)
        sb_put_u64(out, "began", args->began);
    sb_put_u64(out, "limit", args->limit);
    sb_put_close(out, '}');
}

/* ---- changes ---- */

void sb_changes_init(struct sb_changes *changes)
{
    *changes = (struct sb_changes){.count = 0};
}

void sb_changes_free(struct sb_changes *changes)
{
    for (size_t i = 0; i < changes->count; i++)
        sb_document_free(&changes->list[i].doc);
    free(changes->list);
    sb_buf_free(&changes->arrays);
    sb_changes_init(changes);
}

struct sb_change *sb_changes_add(struct sb_changes *changes)
{
    struct sb_change *change;

    changes->list = sb_xgrow(changes->list, changes->count, sizeof(*changes->list));
    change = &changes->list[changes->count++];
    *change = (struct sb_change){.id = ""};
    return change;
}

static void add_change(const struct sb_change *change, bool without_data, struct sb_buf *out)
{
    sb_put_open(out, NULL, '{');
    sb_put_text(out, "id", change->id);
    sb_put_text(out, "operation", change->doc.deleted ? "delete" : "update");
    sb_buf_add_char(out, ',');
    sb_document_add_members(&change->doc, without_data, out);
    sb_put_close(out, '}');
}

static struct sb_cursor cursor_of(const struct sb_document *doc)
{
    struct sb_cursor cursor = {.version = doc->version};

    memcpy(cursor.tag, doc->tag, sizeof(cursor.tag));
    return cursor;
}

/* What comes after the list; told = entries that went out. */
static void add_changes_end(const struct sb_changes *changes, size_t told, struct sb_buf *out)
{
    bool all = told == changes->count;
    struct sb_cursor cursor = all ? changes->cursor : cursor_of(&changes->list[told - 1].doc);

    sb_put_close(out, ']');
    put_cursor(out, "cursor", &cursor);
    sb_put_u64(out, "latest_version", changes->latest_version);
    sb_put_bool(out, "has_more", changes->has_more || !all);
    sb_put_close(out, '}');
}

#define CHANGES_END_BYTES 192 /* at most, of add_changes_end */

size_t sb_changes_encode(const struct sb_changes *changes, size_t max_bytes, struct sb_buf *out)
{
    size_t begin = out->len, told = 0, before;

    sb_buf_add_char(out, '{');
    sb_put_text(out, "user", changes->user);
    sb_put_text(out, "table", changes->table);
    sb_add_policy(out, changes->policy, sb_buf_span(&changes->arrays));
    sb_put_open(out, "changes", '[');
    for (; told < changes->count; told++) {
        before = out->len;
        add_change(&changes->list[told], false, out);
        if (out->len - begin + CHANGES_END_BYTES <= max_bytes)
            continue;
        out->len = before;
        if (told > 0)
            break;
        add_change(&changes->list[told], true, out);
        told++;
        break;
    }
    add_changes_end(changes, told, out);
    return told;
}

static int read_change_kind(const struct sb_json_field *field, bool deleted, struct sb_err *err)
{
    int rc = sb_field_type(field, SB_JSON_STRING, err);
    bool is_delete = rc == 0 && sb_json_string_is(field->value, "delete");

    if (rc < 0)
        return rc;
    if (!is_delete && !sb_json_string_is(field->value, "update") &&
        !sb_json_string_is(field->value, "add"))
        return sb_fail(err, SB_EBAD_VALUE, "operation: not add, update or delete");
    if (is_delete != deleted)
        return sb_fail(err, SB_EBAD_VALUE, "operation: it contradicts deleted");
    return 0;
}

static int read_change(struct sb_span value, struct sb_changes *changes, struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "id"}, {.key = "operation"}};
    uint64_t last = changes->count > 0 ? changes->list[changes->count - 1].doc.version : 0;
    struct sb_change *change;
    int rc;

    if (sb_json_type_of(value) != SB_JSON_OBJECT)
        return sb_fail(err, SB_EBAD_TYPE, "not an object");
    if (changes->count == SB_CHANGES_MAX)
        return sb_fail(err, SB_EBAD_VALUE, "more than %d", SB_CHANGES_MAX);
    sb_json_pick(value, f, 2);
    change = sb_changes_add(changes);
    rc = sb_field_document_id(&f[0], change->id, err);
    if (rc == 0)
        rc = sb_document_read(value, &change->doc, err);
    if (rc == 0 && change->doc.version <= last)
        rc = sb_fail(err, SB_EBAD_VALUE, "version: not above the one before it");
    return rc < 0 ? rc : read_change_kind(&f[1], change->doc.deleted, err);
}

static int read_changes(const struct sb_json_field *field, struct sb_changes *changes,
                        struct sb_err *err)
{
    struct sb_json_iter iter;
    struct sb_span value;
    int rc = sb_field_type(field, SB_JSON_ARRAY, err);

    if (rc < 0)
        return rc;
    sb_json_iter_init(&iter, field->value);
    while (rc == 0 && sb_json_next_element(&iter, &value)) {
        rc = read_change(value, changes, err);
        if (rc < 0)
            sb_err_prefix(err, "changes: element %zu", changes->count);
    }
    return rc;
}

/* The cursor is where the list ends, or where the user's versions end. */
static int check_changes(const struct sb_changes *changes, struct sb_err *err)
{
    uint64_t last = changes->count > 0 ? changes->list[changes->count - 1].doc.version : 0;

    if (last > changes->latest_version || changes->cursor.version > changes->latest_version)
        return sb_fail(err, SB_EBAD_VALUE, "latest_version: below what is told");
    if (changes->cursor.version < last)
        return sb_fail(err, SB_EBAD_VALUE, "cursor: below the last change");
    if (changes->has_more && changes->count == 0)
        return sb_fail(err, SB_EBAD_VALUE, "has_more: but nothing is told");
    return 0;
}

static int decode_changes(struct sb_span object, struct sb_changes *out, struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "user"},   {.key = "table"},          {.key = "changes"},
                                {.key = "cursor"}, {.key = "latest_version"}, {.key = "has_more"},
                                {.key = "policy"}, {.key = "arrays"}};
    int rc;

    sb_json_pick(object, f, sizeof(f) / sizeof(f[0]));
    rc = sb_field_name(&f[0], out->user, err);
    if (rc == 0)
        rc = sb_field_table(&f[1], out->table, err);
    if (rc == 0)
        rc = read_changes(&f[2], out, err);
    if (rc == 0)
        rc = read_cursor(&f[3], &out->cursor, err);
    if (rc == 0)
        rc = sb_field_u64(&f[4], 0, SB_SEQ_MAX, &out->latest_version, err);
    if (rc == 0)
        rc = sb_field_bool(&f[5], &out->has_more, err);
    if (rc == 0)
        rc = sb_read_policy(&f[6], &out->policy, err);
    if (rc == 0)
        rc = sb_read_arrays(&f[7], &out->arrays, err);
    return rc < 0 ? rc : check_changes(out, err);
}

int sb_changes_decode(struct sb_span data, struct sb_changes *out, struct sb_err *err)
{
    struct sb_span object;
    int rc = sb_json_check_object(data, &sb_down_limits, &object, err);

    sb_changes_init(out);
    if (rc == 0)
        rc = decode_changes(object, out, err);
    if (rc < 0)
        sb_changes_free(out);
    return rc;
}

/* ---- document.get ---- */

int sb_document_args_decode(struct sb_span args, struct sb_document_args *out, struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "user"}, {.key = "table"}, {.key = "id"}};
    struct sb_span object;
    int rc = sb_json_check_object(args, &sb_wire_limits, &object, err);

    *out = (struct sb_document_args){.user = ""};
    if (rc < 0)
        return rc;
    sb_json_pick(object, f, 3);
    return read_name(f, out, err);
}

void sb_document_args_encode(const struct sb_document_args *args, struct sb_buf *out)
{
    sb_buf_add_char(out, '{');
    put_name(out, args);
    sb_put_close(out, '}');
}

/* ---- versions ---- */

int sb_versions_args_decode(struct sb_span args, struct sb_versions_args *out, struct sb_err *err)
{
    struct sb_json_field f[] = {
        {.key = "user"}, {.key = "table"}, {.key = "id"}, {.key = "before"}, {.key = "limit"}};
    struct sb_span object;
    int rc = sb_json_check_object(args, &sb_wire_limits, &object, err);

    *out = (struct sb_versions_args){.limit = SB_CHANGES_DEFAULT};
    if (rc < 0)
        return rc;
    sb_json_pick(object, f, sizeof(f) / sizeof(f[0]));
    rc = read_name(f, &out->doc, err);
    if (rc == 0 && sb_field_given(&f[3]))
        rc = sb_field_u64(&f[3], 1, SB_SEQ_MAX, &out->before, err);
    return rc < 0 ? rc : read_limit(&f[4], &out->limit, err);
}

void sb_versions_args_encode(const struct sb_versions_args *args, struct sb_buf *out)
{
    sb_buf_add_char(out, '{');
    put_name(out, &args->doc);
    if (args->before > 0)
        sb_put_u64(out, "before", args->before);
    sb_put_u64(out, "limit", args->limit);
    sb_put_close(out, '}');
}

void sb_versions_init(struct sb_versions *versions)
{
    *versions = (struct sb_versions){.count = 0};
}

void sb_versions_free(struct sb_versions *versions)
{
    free(versions->list);
    sb_versions_init(versions);
}

struct sb_version_entry *sb_versions_add(struct sb_versions *versions)
{
    struct sb_version_entry *entry;

    versions->list = sb_xgrow(versions->list, versions->count, sizeof(*versions->list));
    entry = &versions->list[versions->count++];
    *entry = (struct sb_version_entry){.version = 0};
    return entry;
}

static void add_version(const struct sb_version_entry *entry, struct sb_buf *out)
{
    sb_put_open(out, NULL, '{');
    sb_put_u64(out, "version", entry->version);
    sb_put_text(out, "tag", entry->tag);
    sb_put_text(out, "op_id", entry->op_id);
    sb_put_text_or_null(out, "device", entry->device);
    sb_put_text_or_null(out, "hlc", entry->hlc);
    sb_put_text_or_null(out, "updated_at", entry->updated_at);
    sb_put_bool(out, "deleted", entry->deleted);
    sb_put_u64(out, "size", entry->size);
    sb_put_close(out, '}');
}

#define VERSIONS_END_BYTES 32

size_t sb_versions_encode(const struct sb_versions *versions, size_t max_bytes, struct sb_buf *out)
{
    size_t begin = out->len, told = 0, before;

    sb_buf_add_char(out, '{');
    sb_put_open(out, "versions", '[');
    for (; told < versions->count; told++) {
        before = out->len;
        add_version(&versions->list[told], out);
        if (told > 0 && out->len - begin + VERSIONS_END_BYTES > max_bytes) {
            out->len = before;
            break;
        }
    }
    sb_put_close(out, ']');
    sb_put_bool(out, "has_more", versions->has_more || told < versions->count);
    sb_put_close(out, '}');
    return told;
}

static int read_optional(const struct sb_json_field f[4], struct sb_version_entry *entry,
                         struct sb_err *err)
{
    int rc = 0;

    if (sb_field_given(&f[0]))
        rc = sb_field_text(&f[0], entry->op_id, sizeof(entry->op_id), err);
    if (rc == 0 && sb_field_given(&f[1]))
        rc = sb_field_name(&f[1], entry->device, err);
    if (rc == 0 && sb_field_given(&f[2]))
        rc = sb_field_hex16(&f[2], entry->hlc, err);
    if (rc == 0 && sb_field_given(&f[3]))
        rc = sb_field_time_text(&f[3], entry->updated_at, sizeof(entry->updated_at), err);
    return rc;
}

static int read_version(struct sb_span value, struct sb_versions *versions, struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "op_id"},      {.key = "device"},  {.key = "hlc"},
                                {.key = "updated_at"}, {.key = "version"}, {.key = "tag"},
                                {.key = "deleted"},    {.key = "size"}};
    uint64_t last =
        versions->count > 0 ? versions->list[versions->count - 1].version : SB_SEQ_MAX + 1;
    struct sb_version_entry *entry;
    int rc;

    if (sb_json_type_of(value) != SB_JSON_OBJECT)
        return sb_fail(err, SB_EBAD_TYPE, "not an object");
    if (versions->count == SB_CHANGES_MAX || last <= 1)
        return sb_fail(err, SB_EBAD_VALUE, "more than there can be");
    sb_json_pick(value, f, sizeof(f) / sizeof(f[0]));
    entry = sb_versions_add(versions);
    rc = sb_field_u64(&f[4], 1, last - 1, &entry->version, err);
    if (rc == 0)
        rc = sb_field_hex16(&f[5], entry->tag, err);
    if (rc == 0)
        rc = read_optional(f, entry, err);
    if (rc == 0 && sb_field_given(&f[6]))
        rc = sb_field_bool(&f[6], &entry->deleted, err);
    if (rc == 0 && sb_field_given(&f[7]))
        rc = sb_field_u64(&f[7], 0, SB_SEQ_MAX, &entry->size, err);
    return rc;
}

static int decode_versions(struct sb_span object, struct sb_versions *out, struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "versions"}, {.key = "has_more"}};
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
        rc = read_version(value, out, err);
        if (rc < 0)
            sb_err_prefix(err, "versions: element %zu", out->count);
    }
    return rc;
}

int sb_versions_decode(struct sb_span data, struct sb_versions *out, struct sb_err *err)
{
    struct sb_span object;
    int rc = sb_json_check_object(data, &sb_down_limits, &object, err);

    sb_versions_init(out);
    if (rc == 0)
        rc = decode_versions(object, out, err);
    if (rc < 0)
        sb_versions_free(out);
    return rc;
}

/* ---- version.get ---- */

int sb_version_args_decode(struct sb_span args, struct sb_version_args *out, struct sb_err *err)
{
    struct sb_json_field f[] = {
        {.key = "user"}, {.key = "table"}, {.key = "id"}, {.key = "version"}};
    struct sb_span object;
    int rc = sb_json_check_object(args, &sb_wire_limits, &object, err);

    *out = (struct sb_version_args){.version = 0};
    if (rc < 0)
        return rc;
    sb_json_pick(object, f, sizeof(f) / sizeof(f[0]));
    rc = read_name(f, &out->doc, err);
    return rc < 0 ? rc : sb_field_u64(&f[3], 1, SB_SEQ_MAX, &out->version, err);
}

void sb_version_args_encode(const struct sb_version_args *args, struct sb_buf *out)
{
    sb_buf_add_char(out, '{');
    put_name(out, &args->doc);
    sb_put_u64(out, "version", args->version);
    sb_put_close(out, '}');
}
