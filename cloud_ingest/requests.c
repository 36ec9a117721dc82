#include "requests.h"

#include <string.h>

#include "content.h"
#include "requests_internal.h"
#include "text.h"

struct request_op {
    const char *name;
    request_handler *handle;
    bool writes;
};

static const struct request_op ops[] = {
    {SB_OP_SETTINGS_GET, request_settings_get, false},
    {SB_OP_DOCUMENT_GET, request_document_get, false},
    {SB_OP_CHANGES, request_changes, false},
    {SB_OP_VERSIONS, request_versions, false},
    {SB_OP_VERSION_GET, request_version_get, false},
    {SB_OP_CONFLICTS_LIST, request_conflicts_list, false},
    {SB_OP_CONFLICTS_SHOW, request_conflicts_show, false},
    {SB_OP_CONFLICTS_RESOLVE, request_conflicts_resolve, true},
};

void request_outcome_free(struct request_outcome *outcome)
{
    sb_buf_free(&outcome->data);
    *outcome = (struct request_outcome){.wrote = false};
}

/* ---- parts of the handlers ---- */

void requests_refuse(struct request_outcome *outcome, enum sb_code code, const char *reason)
{
    struct sb_answer *answer = &outcome->answer;

    answer->success = false;
    answer->code = code;
    answer->data = SB_SPAN("");
    text_cut(answer->reason, sizeof(answer->reason), reason);
}

int request_refuse(struct request_call *call, enum sb_code code, const char *reason)
{
    requests_refuse(call->outcome, code, reason);
    return 0;
}

int request_unread(struct request_call *call, const struct sb_err *why)
{
    call->unread = true;
    return request_refuse(call, why->code, why->msg);
}

int request_done(struct request_call *call)
{
    struct sb_answer *answer = &call->outcome->answer;

    answer->success = true;
    answer->code = SB_OK;
    answer->data = sb_buf_span(&call->outcome->data);
    return 0;
}

int request_fault(struct request_call *call, int rc, const struct sb_err *why, struct sb_err *err)
{
    bool own = sb_code_class(why->code) == SB_REJECT || why->code == SB_EUNKNOWN_TABLE;

    if (own)
        return request_refuse(call, why->code, why->msg);
    if (err != NULL)
        *err = *why;
    return rc;
}

static int only_user(struct request_call *call, char user[SB_NAME_MAX + 1], bool *may,
                     struct sb_err *err)
{
    int count;
    int rc = store_only_user(call->a->store, call->who->name, user, &count, err);

    *may = rc == 0 && count == 1;
    if (rc != 0 || *may)
        return rc;
    if (count == 0)
        return request_refuse(call, SB_EFORBIDDEN, "this device has no binding to any user");
    return request_refuse(call, SB_EMISSING_FIELD,
                          "user: missing, and this device is bound to more than one");
}

int request_user(struct request_call *call, char user[SB_NAME_MAX + 1], bool *may,
                 struct sb_err *err)
{
    int rc;

    *may = user[0] != '\0';
    if (call->who->is_operator)
        return *may ? 0 : request_refuse(call, SB_EMISSING_FIELD, "user: missing");
    if (!*may)
        return only_user(call, user, may, err);
    rc = store_bound(call->a->store, call->who->name, user, may, err);
    if (rc == 0 && !*may)
        request_refuse(call, SB_EFORBIDDEN, apply_reason(SB_EFORBIDDEN));
    return rc;
}

const struct table *request_table(struct request_call *call, const char *name)
{
    const struct table *table = tables_get(call->a->tables, name);

    if (table == NULL)
        request_refuse(call, SB_EUNKNOWN_TABLE, "table: not one that is declared here");
    return table;
}

/* ---- what writes is done once ---- */

/* The same for every text of the same request. */
static uint64_t hash_of(const struct sb_request *request)
{
    struct sb_buf text = {0};
    uint64_t hash;

    sb_buf_add_str(&text, request->op);
    sb_buf_add_char(&text, '\n');
    content_print(request->args, &text);
    hash = sb_hash64(sb_buf_span(&text));
    sb_buf_free(&text);
    return hash;
}

static int answer_again(struct request_call *call, struct sb_span kept, struct sb_err *err)
{
    struct request_outcome *outcome = call->outcome;
    struct sb_answer before;
    int rc = sb_answer_decode(kept, &before, err);

    if (rc != 0)
        return sb_fail(err, SB_ECORRUPT, "database: an answer that is kept cannot be read");
    outcome->wrote = before.success;
    if (!before.success)
        return request_refuse(call, before.code, before.reason);
    sb_buf_add_span(&outcome->data, before.data);
    return request_done(call);
}

/* A refusal that will not be another one tomorrow is kept too, but not what could not be read. */
static int keep_answer(struct request_call *call, uint64_t hash, struct sb_err *err)
{
    const struct sb_answer *answer = &call->outcome->answer;
    struct sb_buf text = {0};
    int rc;

    if (call->unread || (!answer->success && sb_code_class(answer->code) != SB_REJECT))
        return 0;
    sb_answer_encode(answer, &text);
    rc = store_answer_put(call->a->store, call->who->name, answer->id, hash, sb_buf_span(&text),
                          call->a->now_ms, err);
    sb_buf_free(&text);
    return rc;
}

static int write_once(struct request_call *call, const struct request_op *op, struct sb_err *err)
{
    const struct sb_request *request = call->request;
    uint64_t hash = hash_of(request), kept_hash = 0;
    struct sb_buf kept = {0};
    bool found;
    int rc = store_answer_get(call->a->store, call->who->name, request->id, &found, &kept_hash,
                              &kept, err);

    if (rc == 0 && found && kept_hash != hash)
        rc = request_refuse(call, SB_EID_REUSED, "id: it was that of another request");
    else if (rc == 0 && found)
        rc = answer_again(call, sb_buf_span(&kept), err);
    else if (rc == 0) {
        rc = op->handle(call, err);
        if (rc == 0)
            rc = keep_answer(call, hash, err);
        call->outcome->wrote = rc == 0 && call->outcome->answer.success;
    }
    sb_buf_free(&kept);
    return rc;
}

/* ---- who asks, and what ---- */

bool requests_operator_may(const char *operators, const char *name)
{
    size_t len = strlen(name);

    if (operators == NULL || strcmp(operators, "*") == 0)
        return true;
    while (*operators != '\0') {
        size_t part;

        operators += strspn(operators, ", \t");
        part = strcspn(operators, ", \t");
        if (part == len && strncmp(operators, name, len) == 0)
            return true;
        operators += part;
    }
    return false;
}

/* Registers a device as its first batch would. *code = why it may not ask. */
static int admit(struct request_call *call, enum sb_code *code, struct sb_err *err)
{
    const char *name = call->who->name;

    if (!call->who->is_operator)
        return apply_admit(call->a, name, code, err);
    *code = SB_OK;
    if (!call->who->is_local && !requests_operator_may(call->a->config->operators, name))
        *code = SB_EFORBIDDEN;
    return 0;
}

static const struct request_op *find_op(const char *name)
{
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
        if (strcmp(ops[i].name, name) == 0)
            return &ops[i];
    return NULL;
}

int requests_answer(struct apply *a, const struct requester *who, const struct sb_request *request,
                    size_t max_bytes, struct request_outcome *outcome, struct sb_err *err)
{
    struct request_call call = {a, who, request, max_bytes, outcome, false};
    const struct request_op *op = find_op(request->op);
    enum sb_code code;
    int rc;

    request_outcome_free(outcome);
    a->spent = 0;
    memcpy(outcome->answer.id, request->id, sizeof(request->id));
    if (request->boot[0] != '\0' && strcmp(request->boot, a->boot) != 0)
        return request_refuse(&call, SB_EHELLO, apply_reason(SB_EHELLO));
    rc = admit(&call, &code, err);
    if (rc != 0)
        return rc;
    if (code == SB_EFORBIDDEN)
        return request_refuse(&call, code, "this operator is not one of [admin] operators");
    if (code != SB_OK)
        return request_refuse(&call, code, apply_reason(code));
    if (op == NULL)
        return request_refuse(&call, SB_EUNKNOWN_OP, "no such request");
    return op->writes ? write_once(&call, op, err) : op->handle(&call, err);
}

/* ---- without a daemon ---- */

int requests_alone(struct store *store, const struct ingest_config *config,
                   const struct requester *who, const struct sb_request *request, struct sb_now now,
                   struct sb_buf *answer, struct sb_err *err)
{
    struct stream_cache *cache = stream_cache_new(store);
    struct request_outcome outcome = {.wrote = false};
    struct apply a;
    int rc;

    apply_init(&a, store, cache, NULL, config->tables, NULL, config);
    a.now = now;
    a.now_ms = now.wall_us / 1000;
    a.boot = "";
    rc = store_begin(store, err);
    if (rc == 0)
        rc = requests_answer(&a, who, request, SB_PAYLOAD_MAX_BYTES, &outcome, err);
    if (rc == 0)
        rc = store_commit(store, err);
    else
        store_rollback(store);
    if (rc == 0)
        sb_answer_encode(&outcome.answer, answer);
    request_outcome_free(&outcome);
    apply_fini(&a);
    stream_cache_free(cache);
    return rc;
}
