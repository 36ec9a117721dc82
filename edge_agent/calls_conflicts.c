/* Calls about open conflicts. */
#include <string.h>

#include "common/request_conflicts.h"
#include "edge_agent/calls_internal.h"

struct showing {
    bool texts;
    uint64_t count;
    struct sb_buf *out;
};

/* A member of the cloud's document as it was told; null where it has none. */
static void put_member(struct sb_buf *out, const char *key, struct sb_span server, const char *name)
{
    struct sb_span value = {NULL, 0};

    if (server.len > 0 && sb_json_type_of(server) == SB_JSON_OBJECT)
        (void)sb_json_get(server, name, &value);
    sb_put_raw(out, key, value);
}

static void put_conflict(const struct outbox_open_conflict *c, struct sb_buf *out)
{
    sb_put_i64(out, "id", c->id);
    sb_put_text(out, "user_id", c->name.user);
    sb_put_text(out, "table", c->name.table);
    sb_put_text(out, "document", c->name.id);
    sb_put_text_or_null(out, "code", c->code != SB_OK ? sb_code_name(c->code) : "");
    sb_put_text_or_null(out, "policy", sb_policy_name(c->policy));
    sb_put_raw(out, "pointers", c->pointers);
    sb_put_raw(out, "ops", c->ops);
    if (c->version > 0)
        sb_put_u64(out, "server_version", c->version);
    else
        sb_put_null(out, "server_version");
    put_member(out, "server_device", c->server, "device");
    put_member(out, "server_updated_at", c->server, "updated_at");
    sb_put_time_us(out, "opened_at", c->opened_us);
    sb_put_time_us(out, "resolved_at", c->resolved_us);
    sb_put_text_or_null(out, "resolution", sb_choice_name(c->resolution));
    sb_put_text_or_null(out, "resolved_by", c->resolved_by);
}

static int show_one(void *ctx, const struct outbox_open_conflict *conflict)
{
    struct showing *s = ctx;

    s->count++;
    if (!s->texts)
        sb_put_open(s->out, NULL, '{');
    put_conflict(conflict, s->out);
    if (s->texts) {
        sb_put_raw(s->out, "base", conflict->base);
        sb_put_raw(s->out, "local", conflict->local);
        sb_put_raw(s->out, "server", conflict->server);
        sb_put_raw(s->out, "arrays", conflict->arrays);
    } else {
        sb_put_close(s->out, '}');
    }
    return 0;
}

int calls_conflict_list(const struct calls *c, struct sb_span call, struct sb_now now,
                        struct sb_buf *out, struct sb_err *err)
{
    struct sb_json_field fields[] = {{.key = "user"}, {.key = "all"}};
    struct showing s = {.out = out};
    char user[SB_NAME_MAX + 1] = "";
    bool all = false;
    int rc = 0;

    (void)now;
    sb_json_pick(call, fields, 2);
    if (sb_field_given(&fields[0]))
        rc = calls_user(&fields[0], user, err);
    if (rc == 0)
        rc = calls_flag(&fields[1], &all, err);
    sb_put_open(out, "conflicts", '[');
    if (rc == 0)
        rc = outbox_open_conflicts(c->ob, 0, user[0] != '\0' ? user : NULL, NULL, all, show_one, &s,
                                   err);
    sb_put_close(out, ']');
    return rc < 0 ? rc : 0;
}

static int read_id(const struct sb_json_field *field, int64_t *id, struct sb_err *err)
{
    uint64_t value;
    int rc = sb_field_u64(field, 1, INT64_MAX, &value, err);

    if (rc == 0)
        *id = (int64_t)value;
    return rc;
}

static int fail_absent(int64_t id, struct sb_err *err)
{
    return sb_fail(err, SB_ENOT_FOUND, "there is no conflict %lld", (long long)id);
}

int calls_conflict_show(const struct calls *c, struct sb_span call, struct sb_now now,
                        struct sb_buf *out, struct sb_err *err)
{
    struct sb_json_field field = {.key = "id"};
    struct showing s = {.texts = true, .out = out};
    int64_t id = 0;
    int rc;

    (void)now;
    sb_json_pick(call, &field, 1);
    rc = read_id(&field, &id, err);
    if (rc == 0)
        rc = outbox_open_conflicts(c->ob, id, NULL, NULL, true, show_one, &s, err);
    if (rc >= 0 && s.count == 0)
        return fail_absent(id, err);
    return rc < 0 ? rc : 0;
}

static int note_resolved(void *ctx, const struct outbox_open_conflict *conflict)
{
    *(int64_t *)ctx = conflict->resolved_us != 0 ? 1 : 2;
    return 0;
}

/* Why nothing is left to decide, in words. */
static int check_open(const struct calls *c, int64_t id, struct sb_err *err)
{
    int64_t state = 0;
    int rc = outbox_open_conflicts(c->ob, id, NULL, NULL, true, note_resolved, &state, err);

    if (rc >= 0 && state == 0)
        return fail_absent(id, err);
    if (rc >= 0 && state == 1)
        return sb_fail(err, SB_ENOT_FOUND, "conflict %lld is decided already", (long long)id);
    return rc < 0 ? rc : 0;
}

int calls_conflict_resolve(const struct calls *c, struct sb_span call, struct sb_now now,
                           struct sb_buf *out, struct sb_err *err)
{
    enum { ID, CHOICE, DATA, FIELDS };
    struct sb_json_field fields[FIELDS] = {{.key = "id"}, {.key = "choice"}, {.key = "data"}};
    struct enqueue_receipt receipt;
    enum sb_choice choice = SB_CHOICE_NONE;
    struct sb_span data = {NULL, 0};
    char name[16] = "";
    int64_t id = 0;
    int rc;

    sb_json_pick(call, fields, FIELDS);
    if ((rc = read_id(&fields[ID], &id, err)) != 0 ||
        (rc = sb_field_text(&fields[CHOICE], name, sizeof(name), err)) != 0)
        return rc;
    if (!sb_choice_parse(sb_span_of(name), &choice))
        return sb_fail(err, SB_EBAD_VALUE, "choice: none of local, server, merge");
    if (choice == SB_CHOICE_MERGE) {
        if ((rc = sb_field_type(&fields[DATA], SB_JSON_OBJECT, err)) != 0)
            return rc;
        data = fields[DATA].value;
    }
    rc = check_open(c, id, err);
    if (rc == 0)
        rc = enqueue_resolve(c->eq, id, choice, data, now, c->rng, &receipt, err);
    if (rc == 0)
        rc = enqueue_commit(c->eq, err);
    if (rc != 0)
        return rc;
    sb_put_i64(out, "id", id);
    sb_put_text(out, "choice", sb_choice_name(choice));
    calls_add_receipt(out, &receipt);
    return 0;
}
