#include "edge_agent/calls.h"

#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/control.h"
#include "edge_agent/calls_internal.h"
#include "edge_agent/record_names.h"
#include "edge_agent/user_figures.h"

const struct sb_json_limits calls_limits = {SB_CONTROL_MAX_LINE, SB_JSON_MAX_DEPTH + 8,
                                            SB_CONTROL_MAX_LINE / 2};

/* ---- fields of a call ---- */

int calls_user(const struct sb_json_field *field, char user[SB_NAME_MAX + 1], struct sb_err *err)
{
    return sb_field_name(field, user, err);
}

int calls_flag(const struct sb_json_field *field, bool *out, struct sb_err *err)
{
    *out = false;
    return sb_field_given(field) ? sb_field_bool(field, out, err) : 0;
}

enum { USER, TABLE, ID, NAME_FIELDS };
#define NAME_KEYS                                                                                  \
    {.key = "user"}, {.key = "table"},                                                             \
    {                                                                                              \
        .key = "id"                                                                                \
    }

/* The document that user, table and id name. Without table and id it is the settings. */
static int read_name(const struct sb_json_field *fields, struct document_name *name,
                     struct sb_err *err)
{
    char user[SB_NAME_MAX + 1], table[SB_NAME_MAX + 1] = SB_TABLE_SETTINGS, id[SB_ID_MAX + 1] = "";
    int rc = calls_user(&fields[USER], user, err);

    if (rc == 0 && sb_field_given(&fields[TABLE]))
        rc = sb_field_table(&fields[TABLE], table, err);
    if (rc == 0 && (sb_field_given(&fields[ID]) || strcmp(table, SB_TABLE_SETTINGS) != 0))
        rc = sb_field_document_id(&fields[ID], id, err);
    return rc == 0 ? document_name_make(name, user, table, id, err) : rc;
}

/* ---- local and cloud names ---- */

/* The names that a call wants for a table; NULL = as they are stored. */
static int names_of(const struct calls *c, const struct sb_json_field *field, const char *table,
                    struct record_names **names, struct sb_err *err)
{
    char wanted[8] = "local";
    int rc = sb_field_given(field) ? sb_field_text(field, wanted, sizeof(wanted), err) : 0;

    *names = NULL;
    if (rc == 0 && strcmp(wanted, "cloud") == 0)
        return 0;
    if (rc == 0 && strcmp(wanted, "local") != 0)
        rc = sb_fail(err, SB_EBAD_VALUE, "names: neither local nor cloud");
    if (rc != 0 || strcmp(table, SB_TABLE_SETTINGS) == 0)
        return rc;
    return record_names_load(c->mappings, table, names, err);
}

/* ---- put ---- */

void calls_add_receipt(struct sb_buf *out, const struct enqueue_receipt *receipt)
{
    char stream[SB_STREAM_MAX + 1];

    sb_stream_print(&receipt->stream, stream);
    sb_put_bool(out, "queued", receipt->queued);
    sb_put_text_or_null(out, "op_id", receipt->op_id);
    sb_put_text(out, "stream", stream);
    sb_put_text_or_null(out, "epoch", receipt->epoch);
    if (receipt->queued)
        sb_put_u64(out, "seq", receipt->seq);
    else
        sb_put_null(out, "seq");
    if (!receipt->queued)
        sb_put_text(out, "result", "local");
    if (receipt->repeat)
        sb_put_bool(out, "repeat", true);
}

static int read_operation(const struct sb_json_field *field, enum document_operation *out,
                          struct sb_err *err)
{
    static const struct {
        const char *name;
        enum document_operation operation;
    } words[] = {{"put", DOCUMENT_PUT},
                 {"add", DOCUMENT_ADD},
                 {"update", DOCUMENT_UPDATE},
                 {"delete", DOCUMENT_DELETE}};

    *out = DOCUMENT_PUT;
    if (!sb_field_given(field))
        return 0;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        *out = words[i].operation;
        if (sb_json_string_is(field->value, words[i].name))
            return 0;
    }
    return sb_fail(err, SB_EBAD_VALUE, "operation: none of put, add, update, delete");
}

int calls_put(const struct calls *c, struct sb_span call, struct sb_now now,
              struct enqueue_receipt *receipt, struct sb_err *err)
{
    enum { DATA = NAME_FIELDS, OPERATION, OP_ID, NAMES, FIELDS };
    struct sb_json_field fields[FIELDS] = {
        NAME_KEYS, {.key = "data"}, {.key = "operation"}, {.key = "op_id"}, {.key = "names"}};
    enum document_operation operation;
    struct record_names *names = NULL;
    struct document_name name;
    struct sb_buf data = {0};
    char op_id[SB_ID_MAX + 1] = "";
    int rc;

    sb_json_pick(call, fields, FIELDS);
    rc = read_name(fields, &name, err);
    if (rc == 0)
        rc = read_operation(&fields[OPERATION], &operation, err);
    if (rc == 0 && sb_field_given(&fields[OP_ID]))
        rc = sb_field_op_id(&fields[OP_ID], op_id, err);
    if (rc == 0)
        rc = names_of(c, &fields[NAMES], name.table, &names, err);
    if (rc == 0 && operation != DOCUMENT_DELETE)
        rc = sb_field_type(&fields[DATA], SB_JSON_OBJECT, err);
    if (rc == 0 && operation != DOCUMENT_DELETE)
        rc = record_names_to_cloud(names, fields[DATA].value, &data, err);
    if (rc == 0)
        rc = enqueue_document(c->eq, &name, operation, sb_buf_span(&data), sb_span_of(op_id), now,
                              c->rng, receipt, err);
    record_names_free(names);
    sb_buf_free(&data);
    return rc;
}

static int call_put(const struct calls *c, struct sb_span call, struct sb_now now,
                    struct sb_buf *out, struct sb_err *err)
{
    struct enqueue_receipt receipt;
    int rc = calls_put(c, call, now, &receipt, err);

    if (rc == 0)
        rc = enqueue_commit(c->eq, err);
    if (rc == 0)
        calls_add_receipt(out, &receipt);
    return rc;
}

/* ---- get and list ---- */

static int add_conflict_id(void *ctx, const struct outbox_open_conflict *conflict)
{
    sb_put_i64(ctx, NULL, conflict->id);
    return 0;
}

static int add_document(const struct calls *c, const struct document_name *name,
                        const struct outbox_document *doc, const struct record_names *names,
                        struct sb_buf *out, struct sb_err *err)
{
    struct sb_buf data = {0};
    bool pending = false;
    int rc = record_names_to_local(names, sb_buf_span(&doc->doc), &data, err);

    if (rc == 0)
        rc = outbox_document_pending(c->ob, name, &pending, err);
    sb_put_text(out, "user_id", name->user);
    sb_put_text(out, "table", name->table);
    sb_put_text(out, "id", name->id);
    sb_put_raw(out, "data", sb_buf_span(&data));
    sb_put_text_or_null(out, "device", c->device);
    sb_put_time_us(out, "updated_at", doc->updated_us);
    sb_put_text_or_null(out, "op_id", doc->last_op);
    if (doc->seen > 0)
        sb_put_u64(out, "server_version", doc->seen);
    else
        sb_put_null(out, "server_version");
    sb_put_text_or_null(out, "server_device", doc->version_device);
    sb_put_text_or_null(out, "server_updated_at", doc->version_at);
    sb_put_bool(out, "pending", pending);
    sb_put_bool(out, "unsent", doc->unsent);
    sb_put_bool(out, "encrypted", doc->sealed);
    sb_put_text_or_null(out, "trouble", doc->trouble != SB_OK ? sb_code_name(doc->trouble) : "");
    sb_put_open(out, "open_conflicts", '[');
    if (rc == 0)
        rc = outbox_open_conflicts(c->ob, 0, name->user, name, false, add_conflict_id, out, err);
    sb_put_close(out, ']');
    sb_buf_free(&data);
    return rc;
}

static int call_get(const struct calls *c, struct sb_span call, struct sb_now now,
                    struct sb_buf *out, struct sb_err *err)
{
    enum { NAMES = NAME_FIELDS, FIELDS };
    struct sb_json_field fields[FIELDS] = {NAME_KEYS, {.key = "names"}};
    struct outbox_document doc = {0};
    struct record_names *names = NULL;
    struct document_name name;
    int rc;

    (void)now;
    sb_json_pick(call, fields, FIELDS);
    rc = read_name(fields, &name, err);
    if (rc == 0)
        rc = names_of(c, &fields[NAMES], name.table, &names, err);
    if (rc == 0)
        rc = outbox_document_get(c->ob, &name, &doc, err);
    if (rc == 0 && !doc.exists && strcmp(name.table, SB_TABLE_SETTINGS) == 0)
        rc = sb_fail(err, SB_ENOT_FOUND, "no settings of %s on this device", name.user);
    else if (rc == 0 && !doc.exists)
        rc = sb_fail(err, SB_ENOT_FOUND, "no '%.100s' in %s of %s on this device", name.id,
                     name.table, name.user);
    if (rc == 0)
        rc = add_document(c, &name, &doc, names, out, err);
    outbox_document_fini(&doc);
    record_names_free(names);
    return rc;
}

struct listing {
    const struct calls *c;
    const struct sb_json_field *names_field;
    struct record_names *names; /* of `table` */
    char table[SB_NAME_MAX + 1];
    bool all_tables;
    uint64_t offset, limit, at, shown;
    bool more;
    struct sb_buf *out;
    struct sb_err *err;
};

static int list_one(void *ctx, const struct document_name *name, const struct outbox_document *doc)
{
    struct listing *l = ctx;
    int rc = 0;

    if (l->all_tables && strcmp(name->table, SB_TABLE_SETTINGS) == 0)
        return 0;
    if (l->at++ < l->offset)
        return 0;
    if (l->shown >= l->limit || (l->shown > 0 && l->out->len + doc->doc.len > CALLS_LIST_BYTES)) {
        l->more = true;
        return 1;
    }
    if (strcmp(l->table, name->table) != 0) {
        record_names_free(l->names);
        memcpy(l->table, name->table, sizeof(l->table));
        rc = names_of(l->c, l->names_field, l->table, &l->names, l->err);
    }
    if (rc != 0)
        return rc;
    l->shown++;
    sb_put_open(l->out, NULL, '{');
    rc = add_document(l->c, name, doc, l->names, l->out, l->err);
    sb_put_close(l->out, '}');
    return rc;
}

/* Nothing to list is fine, unless nobody has ever heard of that user here. */
static int check_user_known(const struct calls *c, const char *user, struct sb_err *err)
{
    struct user_figures figures;
    int rc = user_figures_read(c->ob, user, &figures, err);

    if (rc == 0 && !figures.known)
        rc = sb_fail(err, SB_ENOT_FOUND, "%s is no user of this device", user);
    return rc;
}

static int call_list(const struct calls *c, struct sb_span call, struct sb_now now,
                     struct sb_buf *out, struct sb_err *err)
{
    enum { LIST_USER, LIST_TABLE, LIMIT, OFFSET, NAMES, FIELDS };
    struct sb_json_field fields[FIELDS] = {
        {.key = "user"}, {.key = "table"}, {.key = "limit"}, {.key = "offset"}, {.key = "names"}};
    struct listing l = {
        .c = c, .names_field = &fields[NAMES], .limit = CALLS_LIST_DEFAULT, .out = out, .err = err};
    char user[SB_NAME_MAX + 1], table[SB_NAME_MAX + 1] = "";
    int rc;

    (void)now;
    sb_json_pick(call, fields, FIELDS);
    rc = calls_user(&fields[LIST_USER], user, err);
    if (rc == 0 && sb_field_given(&fields[LIST_TABLE]))
        rc = sb_field_table(&fields[LIST_TABLE], table, err);
    if (rc == 0 && sb_field_given(&fields[LIMIT]))
        rc = sb_field_u64(&fields[LIMIT], 1, INT64_MAX, &l.limit, err);
    if (rc == 0 && sb_field_given(&fields[OFFSET]))
        rc = sb_field_u64(&fields[OFFSET], 0, INT64_MAX, &l.offset, err);
    if (rc != 0)
        return rc;
    l.all_tables = table[0] == '\0';
    sb_put_text(out, "user_id", user);
    sb_put_open(out, "items", '[');
    rc = outbox_documents(c->ob, user, l.all_tables ? NULL : table, NULL, list_one, &l, err);
    record_names_free(l.names);
    sb_put_close(out, ']');
    sb_put_u64(out, "shown", l.shown);
    sb_put_bool(out, "has_more", l.more);
    if (l.more)
        sb_put_u64(out, "next_offset", l.offset + l.shown);
    else
        sb_put_null(out, "next_offset");
    if (rc >= 0 && l.shown == 0 && l.offset == 0)
        return check_user_known(c, user, err);
    return rc < 0 ? rc : 0;
}

/* ---- versions that were replaced here ---- */

struct keeping {
    const struct record_names *names;
    bool texts;
    uint64_t count;
    struct sb_buf *out;
    struct sb_err *err;
};

static int add_kept(void *ctx, const struct outbox_kept *kept)
{
    struct keeping *k = ctx;
    struct sb_buf data = {0};
    int rc = 0;

    k->count++;
    sb_put_open(k->out, NULL, '{');
    sb_put_i64(k->out, "n", kept->n);
    if (kept->version > 0)
        sb_put_u64(k->out, "server_version", kept->version);
    else
        sb_put_null(k->out, "server_version");
    sb_put_text_or_null(k->out, "op_id", kept->op_id);
    sb_put_time_us(k->out, "made_at", kept->made_us);
    sb_put_time_us(k->out, "kept_at", kept->kept_us);
    sb_put_bool(k->out, "deleted", kept->deleted);
    sb_put_u64(k->out, "bytes", kept->doc.len);
    if (k->texts && !kept->deleted) {
        rc = record_names_to_local(k->names, kept->doc, &data, k->err);
        sb_put_raw(k->out, "data", sb_buf_span(&data));
    }
    sb_put_close(k->out, '}');
    sb_buf_free(&data);
    return rc;
}

static int call_kept(const struct calls *c, struct sb_span call, struct sb_now now,
                     struct sb_buf *out, struct sb_err *err)
{
    enum { N = NAME_FIELDS, NAMES, FIELDS };
    struct sb_json_field fields[FIELDS] = {NAME_KEYS, {.key = "n"}, {.key = "names"}};
    struct record_names *names = NULL;
    struct keeping k = {.out = out, .err = err};
    struct document_name name;
    uint64_t n = 0;
    int rc;

    (void)now;
    sb_json_pick(call, fields, FIELDS);
    rc = read_name(fields, &name, err);
    if (rc == 0 && sb_field_given(&fields[N]))
        rc = sb_field_u64(&fields[N], 1, INT64_MAX, &n, err);
    if (rc == 0)
        rc = names_of(c, &fields[NAMES], name.table, &names, err);
    if (rc != 0)
        return rc;
    k.names = names;
    k.texts = n > 0;
    sb_put_text(out, "user_id", name.user);
    sb_put_text(out, "table", name.table);
    sb_put_text(out, "id", name.id);
    sb_put_open(out, "versions", '[');
    rc = outbox_kept_list(c->ob, &name, (int64_t)n, add_kept, &k, err);
    sb_put_close(out, ']');
    if (rc == 0 && n > 0 && k.count == 0)
        rc = sb_fail(err, SB_ENOT_FOUND, "version %llu is not kept on this device",
                     (unsigned long long)n);
    record_names_free(names);
    return rc < 0 ? rc : 0;
}

/* ---- every document anew, with the key that comes first now ---- */

struct naming {
    struct document_name *names;
    size_t count;
};

static int note_name(void *ctx, const struct document_name *name, const struct outbox_document *doc)
{
    struct naming *n = ctx;

    (void)doc;
    n->names = sb_xgrow(n->names, n->count, sizeof(*n->names));
    n->names[n->count++] = *name;
    return 0;
}

/* The current text of one document as an operation of its own. */
static int put_again(const struct calls *c, const struct document_name *name, struct sb_now now,
                     uint64_t *queued, struct sb_err *err)
{
    struct enqueue_receipt receipt = {0};
    struct outbox_document doc;
    int rc = outbox_document_get(c->ob, name, &doc, err);

    if (rc == 0 && doc.exists)
        rc = enqueue_document(c->eq, name, DOCUMENT_PUT, sb_buf_span(&doc.doc), SB_SPAN(""), now,
                              c->rng, &receipt, err);
    *queued += rc == 0 && doc.exists && receipt.queued;
    outbox_document_fini(&doc);
    return rc;
}

static int call_reencrypt(const struct calls *c, struct sb_span call, struct sb_now now,
                          struct sb_buf *out, struct sb_err *err)
{
    struct sb_json_field field = {.key = "user"};
    struct naming names = {0};
    char user[SB_NAME_MAX + 1];
    uint64_t queued = 0;
    int rc;

    sb_json_pick(call, &field, 1);
    rc = calls_user(&field, user, err);
    if (rc == 0)
        rc = outbox_documents(c->ob, user, NULL, NULL, note_name, &names, err);
    if (rc == 0 && names.count == 0)
        rc = sb_fail(err, SB_ENOT_FOUND, "no documents of %s on this device", user);
    if (rc == 0)
        rc = enqueue_begin(c->eq, err);
    for (size_t i = 0; rc == 0 && i < names.count; i++)
        rc = put_again(c, &names.names[i], now, &queued, err);
    if (rc == 0)
        rc = enqueue_commit(c->eq, err);
    free(names.names);
    sb_put_text(out, "user_id", user);
    sb_put_u64(out, "documents", queued);
    return rc;
}

/* ---- dispatch ---- */

static const struct verb {
    const char *name;
    bool changes;
    int (*run)(const struct calls *c, struct sb_span call, struct sb_now now, struct sb_buf *out,
               struct sb_err *err);
} verbs[] = {
    {"document.put", true, call_put},
    {"document.get", false, call_get},
    {"document.list", false, call_list},
    {"document.kept", false, call_kept},
    {"document.reencrypt", true, call_reencrypt},
    {"user.add", true, calls_user_add},
    {"user.remove", true, calls_user_remove},
    {"user.list", false, calls_user_list},
    {"user.set", true, calls_user_set},
    {"conflict.list", false, calls_conflict_list},
    {"conflict.show", false, calls_conflict_show},
    {"conflict.resolve", true, calls_conflict_resolve},
};

static const struct verb *find_verb(struct sb_span verb)
{
    if (verb.len == 0 || sb_json_type_of(verb) != SB_JSON_STRING)
        return NULL;
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (sb_json_string_is(verb, verbs[i].name))
            return &verbs[i];
    return NULL;
}

bool calls_knows(struct sb_span verb)
{
    return find_verb(verb) != NULL;
}

bool calls_changes(struct sb_span verb)
{
    const struct verb *found = find_verb(verb);

    return found != NULL && found->changes;
}

int calls_run(const struct calls *c, struct sb_span call, struct sb_now now, struct sb_buf *answer,
              struct sb_err *err)
{
    struct sb_json_field field = {.key = "verb"};
    const struct verb *verb;
    struct sb_buf out = {0};
    int rc;

    sb_json_pick(call, &field, 1);
    verb = find_verb(field.value);
    if (verb == NULL)
        return sb_fail(err, SB_EUNKNOWN_OP, "verb: none that is known here");
    SB_CHECK(!verb->changes || c->eq != NULL);
    sb_put_open(&out, NULL, '{');
    sb_put_bool(&out, "success", true);
    rc = verb->run(c, call, now, &out, err);
    sb_put_close(&out, '}');
    if (rc == 0)
        sb_buf_add_span(answer, sb_buf_span(&out));
    else if (verb->changes)
        enqueue_rollback(c->eq);
    sb_buf_free(&out);
    return rc;
}
