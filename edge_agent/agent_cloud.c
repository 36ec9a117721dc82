/* What the cloud has, read for a caller of the socket: settings.restore, cloud.version,
 * cloud.versions. */
#include <string.h>

#include "common/json_put.h"
#include "common/json_read.h"
#include "common/request_documents.h"
#include "edge_agent/agent_internal.h"

#define CLOUD_MS 30000 /* of a caller who names no time */

static int64_t timeout_of(struct sb_span object)
{
    int64_t timeout_ms = agent_call_seconds(object, "timeout");

    return timeout_ms > 0 ? timeout_ms : CLOUD_MS;
}

/* The cloud says that a user is not bound to this device; who can change that, and how, it does
 * not. Other errors stay as they are. */
static void explain(const struct agent *agent, const char *user, struct sb_err *err)
{
    if (err->code == SB_EFORBIDDEN)
        edge_forbidden(agent->edge, user, err);
}

/* ---- settings.restore ---- */

/* Why the document that came could not be opened. */
static void find_trouble(struct agent *agent, const char *user, struct sb_err *err)
{
    struct outbox_document doc = {0};
    struct document_name name;
    enum sb_code code = SB_EINTERNAL;

    if (document_name_make(&name, user, SB_TABLE_SETTINGS, "", NULL) == 0 &&
        outbox_document_get(agent->ob, &name, &doc, NULL) == 0 && doc.trouble != SB_OK)
        code = doc.trouble;
    sb_fail(err, code, "the cloud's settings of %s cannot be opened; nothing was overwritten",
            user);
    outbox_document_fini(&doc);
}

static void restored(void *ctx, int taken, uint64_t version, const struct sb_err *err)
{
    static const char *const words[] = {
        [DOCUMENTS_TAKEN] = "taken",     [DOCUMENTS_ABSENT] = "absent", [DOCUMENTS_OLD] = "old",
        [DOCUMENTS_PENDING] = "pending", [DOCUMENTS_FETCH] = "old",     [DOCUMENTS_CLOSED] = ""};
    struct agent_wait *wait = ctx;
    struct sb_buf json = {0};
    struct sb_err own = *err;

    wait->used = false;
    if (own.code == SB_OK && taken == DOCUMENTS_CLOSED)
        find_trouble(wait->agent, wait->user, &own);
    explain(wait->agent, wait->user, &own);
    if (own.code != SB_OK) {
        agent_answer_error(wait->agent, wait->client, &own);
        return;
    }
    sb_put_open(&json, NULL, '{');
    sb_put_bool(&json, "success", true);
    sb_put_bool(&json, "restored", taken == DOCUMENTS_TAKEN);
    sb_put_text(&json, "outcome", words[taken]);
    sb_put_u64(&json, "version", version);
    sb_put_close(&json, '}');
    agent_answer(wait->agent, wait->client, &json);
}

void agent_cloud_restore(struct agent *agent, const struct sb_control_call *call,
                         struct sb_span object)
{
    struct agent_wait *wait;
    struct sb_buf user = {0};
    struct sb_err err;
    int rc = 0;

    if (!agent_call_text(object, "user", &user) || !sb_name_valid(sb_buf_span(&user)))
        rc = sb_fail(&err, SB_EBAD_ID, "restore: the user id is not [A-Za-z0-9_-]{1,64}");
    if (rc != 0) {
        agent_answer_error(agent, call->client, &err);
        sb_buf_free(&user);
        return;
    }
    wait = agent_wait_new(agent, WAIT_RESTORE, call->client, INT64_MAX / 4);
    if (wait != NULL) {
        wait->in_core = true;
        memcpy(wait->user, user.data, user.len + 1);
        rc = edge_read(agent->edge, user.data, SB_TABLE_SETTINGS, SB_TABLE_SETTINGS,
                       timeout_of(object), sb_clock_now(), restored, wait, &err);
        if (rc < 0) {
            wait->used = false;
            agent_answer_error(agent, call->client, &err);
        }
    }
    sb_buf_free(&user);
}

/* ---- cloud.version, cloud.versions ---- */

/* A token is opened for the caller, who has no key. */
static int open_document(struct agent *agent, const struct document_name *name,
                         const struct sb_document *doc, struct sb_buf *text, struct sb_err *err)
{
    struct documents_clear clear = {.name = *name};
    struct documents_inside inside = {0};
    struct sb_span data = sb_buf_span(&doc->data);
    int rc;

    if (data.len == 0 || sb_json_type_of(data) != SB_JSON_STRING) {
        sb_buf_add_span(text, data);
        return 0;
    }
    memcpy(clear.device, doc->device, sizeof(clear.device));
    memcpy(clear.op_id, doc->op_id, sizeof(clear.op_id));
    data = (struct sb_span){data.data + 1, data.len - 2}; /* no character of a token is escaped */
    rc = agent->codec.open(agent->codec.ctx, &clear, data, &inside, err);
    if (rc == 0)
        sb_buf_add_span(text, sb_buf_span(&inside.data));
    documents_inside_fini(&inside);
    return rc;
}

static int put_document(struct agent *agent, const struct document_name *name, struct sb_span data,
                        struct sb_buf *json, struct sb_err *err)
{
    struct sb_document doc = {0};
    struct sb_buf text = {0};
    char id[SB_ID_MAX + 1];
    uint64_t as_of;
    int rc = sb_document_decode(data, &doc, id, &as_of, err);

    if (rc == 0 && doc.fetch)
        rc = sb_fail(err, SB_ETOO_LARGE, "the cloud's document does not fit into an answer");
    if (rc == 0)
        rc = open_document(agent, name, &doc, &text, err);
    sb_put_bool(json, "exists", doc.exists);
    if (doc.exists) {
        sb_put_u64(json, "version", doc.version);
        sb_put_text(json, "tag", doc.tag);
        sb_put_text(json, "op_id", doc.op_id);
        sb_put_text(json, "device", doc.device);
        sb_put_text(json, "updated_at", doc.updated_at);
        sb_put_bool(json, "deleted", doc.deleted);
        sb_put_bool(json, "encrypted",
                    doc.data.len > 0 && sb_json_type_of(sb_buf_span(&doc.data)) == SB_JSON_STRING);
        sb_put_raw(json, "data", sb_buf_span(&text));
    }
    sb_document_free(&doc);
    sb_buf_free(&text);
    return rc;
}

/* The answer's members are passed on. */
static int put_versions(struct sb_span data, struct sb_buf *json)
{
    struct sb_json_iter iter;
    struct sb_span key, value;
    char name[32];

    sb_json_iter_init(&iter, data);
    while (sb_json_next_member(&iter, &key, &value)) {
        snprintf(name, sizeof(name), SB_SPAN_FMT, SB_SPAN_ARG(key));
        sb_put_raw(json, name, value);
    }
    return 0;
}

static void cloud_answered(void *ctx, struct sb_span data, const struct sb_err *err)
{
    struct agent_wait *wait = ctx;
    struct agent *agent = wait->agent;
    struct sb_err own = *err;
    struct sb_buf json = {0};

    wait->used = false;
    sb_put_open(&json, NULL, '{');
    sb_put_bool(&json, "success", true);
    if (own.code == SB_OK && wait->versions)
        (void)put_versions(data, &json);
    else if (own.code == SB_OK)
        (void)put_document(agent, &wait->name, data, &json, &own);
    sb_put_close(&json, '}');
    if (own.code == SB_OK) {
        agent_answer(agent, wait->client, &json);
        return;
    }
    sb_buf_free(&json);
    explain(agent, wait->name.user, &own);
    agent_answer_error(agent, wait->client, &own);
}

enum { USER, TABLE, ID, VERSION, LIMIT, BEFORE, FIELDS };

static int read_name(const struct sb_json_field *fields, struct document_name *name,
                     struct sb_err *err)
{
    char user[SB_NAME_MAX + 1], table[SB_NAME_MAX + 1] = SB_TABLE_SETTINGS, id[SB_ID_MAX + 1] = "";
    int rc = sb_field_name(&fields[USER], user, err);

    if (rc == 0 && sb_field_given(&fields[TABLE]))
        rc = sb_field_table(&fields[TABLE], table, err);
    if (rc == 0 && sb_field_given(&fields[ID]))
        rc = sb_field_document_id(&fields[ID], id, err);
    return rc == 0 ? document_name_make(name, user, table, id, err) : rc;
}

static void name_args(const struct document_name *name, struct sb_document_args *args)
{
    memcpy(args->user, name->user, sizeof(args->user));
    memcpy(args->table, name->table, sizeof(args->table));
    memcpy(args->id, name->id, sizeof(args->id));
}

/* What the cloud is asked, as args of the operation *op. */
static int make_request(const struct sb_json_field *fields, const struct document_name *name,
                        bool versions, const char **op, struct sb_buf *args, struct sb_err *err)
{
    struct sb_versions_args list = {.limit = SB_CHANGES_DEFAULT};
    struct sb_version_args one = {.version = 0};
    int rc = 0;

    name_args(name, &list.doc);
    name_args(name, &one.doc);
    if (versions) {
        *op = SB_OP_VERSIONS;
        if (sb_field_given(&fields[LIMIT]))
            rc = sb_field_u64(&fields[LIMIT], 1, INT64_MAX, &list.limit, err);
        if (rc == 0 && sb_field_given(&fields[BEFORE]))
            rc = sb_field_u64(&fields[BEFORE], 1, INT64_MAX, &list.before, err);
        list.limit = list.limit < SB_CHANGES_MAX ? list.limit : SB_CHANGES_MAX;
        sb_versions_args_encode(&list, args);
        return rc;
    }
    *op = SB_OP_DOCUMENT_GET;
    if (!sb_field_given(&fields[VERSION])) {
        sb_document_args_encode(&one.doc, args);
        return 0;
    }
    *op = SB_OP_VERSION_GET;
    rc = sb_field_u64(&fields[VERSION], 1, INT64_MAX, &one.version, err);
    sb_version_args_encode(&one, args);
    return rc;
}

void agent_cloud_read(struct agent *agent, const struct sb_control_call *call,
                      struct sb_span object, bool versions)
{
    struct sb_json_field fields[FIELDS] = {{.key = "user"},    {.key = "table"}, {.key = "id"},
                                           {.key = "version"}, {.key = "limit"}, {.key = "before"}};
    struct document_name name;
    struct sb_buf args = {0};
    struct agent_wait *wait = NULL;
    const char *op = "";
    struct sb_err err;
    int rc;

    sb_json_pick(object, fields, FIELDS);
    rc = read_name(fields, &name, &err);
    if (rc == 0)
        rc = make_request(fields, &name, versions, &op, &args, &err);
    if (rc == 0) {
        wait = agent_wait_new(agent, WAIT_CLOUD, call->client, INT64_MAX / 4);
        if (wait == NULL)
            goto out;
        wait->name = name;
        wait->versions = versions;
        wait->in_core = true;
        rc = edge_request(agent->edge, op, sb_buf_span(&args), timeout_of(object), sb_clock_now(),
                          cloud_answered, wait, &err);
    }
    if (rc != 0) {
        if (wait != NULL)
            wait->used = false;
        agent_answer_error(agent, call->client, &err);
    }
out:
    sb_buf_free(&args);
}
