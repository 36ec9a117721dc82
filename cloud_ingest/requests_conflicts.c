#include "requests_internal.h"

#include <stdlib.h>
#include <string.h>

/* Requests about conflicts. A device tells what became of its own operations; what an operator
 * decides is a version on the document in force (V8). */

/* ---- conflicts.list ---- */

struct listing {
    struct sb_conflicts conflicts;
    uint64_t limit;
    bool open; /* only those not resolved */
};

static void copy_entry(struct sb_conflict_entry *to, const struct sb_conflict_entry *from)
{
    struct sb_span pointers = sb_buf_span(&from->pointers);

    *to = *from;
    to->pointers = (struct sb_buf){0};
    sb_buf_add_span(&to->pointers, pointers);
}

static bool list_entry(void *ctx, const struct conflict_entry *entry)
{
    struct listing *l = ctx;

    if (l->conflicts.count == l->limit) {
        l->conflicts.has_more = true;
        return false;
    }
    copy_entry(sb_conflicts_add(&l->conflicts), &entry->told);
    return true;
}

static void list_own(void *ctx, const struct conflict_entry *entry)
{
    struct listing *l = ctx;

    if (!l->open || entry->told.resolved_at[0] == '\0')
        copy_entry(sb_conflicts_add(&l->conflicts), &entry->told);
}

static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* The conflicts of the sender's own operations, by their numbers. */
static int list_ops(struct request_call *call, const struct sb_conflicts_args *args,
                    struct listing *l, struct sb_err *err)
{
    const char *user = args->user[0] != '\0' ? args->user : NULL;
    uint64_t ids[SB_CONFLICT_OPS_MAX];
    size_t count = 0;
    bool open, found;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < args->ops.count; i++) {
        rc = store_conflict_of_op(call->a->store, call->who->name, user, args->ops.ids[i],
                                  &ids[count], &open, err);
        if (rc == 0 && ids[count] > args->after)
            count++;
    }
    qsort(ids, count, sizeof(ids[0]), by_number);
    for (size_t i = 0; rc == 0 && i < count; i++)
        if (i == 0 || ids[i] != ids[i - 1])
            rc = store_conflict_entry(call->a->store, ids[i], &found, list_own, l, err);
    return rc;
}

/* Of a user, or for an operator who names none, of all. */
static int list_users(struct request_call *call, struct sb_conflicts_args *args, struct listing *l,
                      bool *may, struct sb_err *err)
{
    bool all = call->who->is_operator && args->user[0] == '\0';
    int rc = 0;

    *may = all;
    if (!all)
        rc = request_user(call, args->user, may, err);
    if (rc != 0 || !*may)
        return rc;
    return store_conflict_entries(call->a->store, all ? NULL : args->user, args->open, args->after,
                                  args->limit + 1, list_entry, l, err);
}

static int list_conflicts(struct request_call *call, struct sb_conflicts_args *args,
                          struct sb_err *err)
{
    struct listing l = {.limit = args->limit, .open = args->open};
    bool may = true;
    int rc = 0;

    if (args->ops.count > 0 && call->who->is_operator)
        return request_refuse(call, SB_EBAD_VALUE, "ops: for the device that made them");
    sb_conflicts_init(&l.conflicts);
    if (args->ops.count > 0 && args->user[0] != '\0')
        rc = request_user(call, args->user, &may, err);
    if (rc == 0 && may)
        rc = args->ops.count > 0 ? list_ops(call, args, &l, err)
                                 : list_users(call, args, &l, &may, err);
    if (rc == 0 && may) {
        sb_conflicts_encode(&l.conflicts, call->max_bytes, &call->outcome->data);
        request_done(call);
    }
    sb_conflicts_free(&l.conflicts);
    return rc;
}

int request_conflicts_list(struct request_call *call, struct sb_err *err)
{
    struct sb_conflicts_args args;
    struct sb_err why;
    int rc;

    if (sb_conflicts_args_decode(call->request->args, &args, &why) != 0)
        return request_unread(call, &why);
    rc = list_conflicts(call, &args, err);
    sb_conflicts_args_free(&args);
    return rc;
}

/* ---- one conflict ---- */

struct conflict {
    struct sb_conflict_entry entry;
    char stream[SB_STREAM_MAX + 1];
    struct sb_buf base, submitted;
};

static void conflict_free(struct conflict *c)
{
    sb_buf_free(&c->entry.pointers);
    sb_buf_free(&c->base);
    sb_buf_free(&c->submitted);
}

static void keep_conflict(void *ctx, const struct conflict_entry *entry)
{
    struct conflict *c = ctx;

    copy_entry(&c->entry, &entry->told);
    memcpy(c->stream, entry->stream, sizeof(c->stream));
    sb_buf_add_span(&c->base, entry->base);
    sb_buf_add_span(&c->submitted, entry->submitted);
}

/* *may = false when it was refused. */
static int find_conflict(struct request_call *call, uint64_t id, struct conflict *c, bool *may,
                         struct sb_err *err)
{
    int rc = store_conflict_entry(call->a->store, id, may, keep_conflict, c, err);

    if (rc != 0)
        return rc;
    if (!*may)
        return request_refuse(call, SB_ENOT_FOUND, "id: there is no such conflict");
    return request_user(call, c->entry.user, may, err);
}

static struct losing_edit edit_of(const struct conflict *c)
{
    return (struct losing_edit){
        .op = {c->entry.device, c->stream, sb_span_of(c->entry.op_id)},
        .user = c->entry.user,
        .table = c->entry.table,
        .id = c->entry.document,
        .base = sb_buf_span(&c->base),
        .submitted = sb_buf_span(&c->submitted),
    };
}

static int read_in_force(struct request_call *call, const struct conflict *c,
                         struct document_row *row, struct sb_err *err)
{
    char doc[STORE_DOC_MAX + 1];

    store_doc_print(c->entry.table, c->entry.document, doc);
    return store_document_row(call->a->store, c->entry.user, doc, row, err);
}

/* ---- conflicts.show ---- */

/* Nothing where the edit was made on nothing, or on what is not known here. */
static int show_base(struct request_call *call, const struct conflict *c,
                     struct sb_conflict_text *base, struct sb_err *err)
{
    const struct losing_edit edit = edit_of(c);
    struct sb_err why = {.code = SB_OK};
    bool known = false;
    int rc = 0;

    if (c->base.len > 0 && !sb_span_is(sb_buf_span(&c->base), "null"))
        rc = apply_base_document(call->a, &edit, &known, &base->data, &why);
    if (rc != 0)
        return sb_fail(err, why.code, "%s", why.msg);
    base->exists = known;
    base->deleted = known && base->data.len == 0;
    return 0;
}

static void show_part(struct sb_conflict_view *view, enum sb_conflict_part part)
{
    if (part == SB_PART_ALL)
        return;
    view->base.fetch = part != SB_PART_BASE;
    view->submitted.fetch = part != SB_PART_SUBMITTED;
    view->server.fetch = part != SB_PART_SERVER;
}

static int fill_view(struct request_call *call, struct conflict *c, enum sb_conflict_part part,
                     struct sb_conflict_view *view, struct sb_err *err)
{
    struct document_row row = {.merged = false};
    struct user_row user;
    int rc = store_user_get(call->a->store, c->entry.user, &user, err);

    if (rc == 0)
        rc = show_base(call, c, &view->base, err);
    if (rc == 0)
        rc = read_in_force(call, c, &row, err);
    if (rc != 0) {
        sb_document_free(&row.document);
        return rc;
    }
    apply_tell_stamps(tables_get(call->a->tables, c->entry.table), &row);
    view->server = row.document;
    view->as_of = user.version;
    view->entry = c->entry;
    c->entry.pointers = (struct sb_buf){0};
    view->base_name = c->base;
    c->base = (struct sb_buf){0};
    view->submitted.exists = true;
    view->submitted.deleted = c->submitted.len == 0;
    view->submitted.data = c->submitted;
    c->submitted = (struct sb_buf){0};
    show_part(view, part);
    return 0;
}

int request_conflicts_show(struct request_call *call, struct sb_err *err)
{
    struct sb_conflict_view view = {.as_of = 0};
    struct conflict c = {.stream = ""};
    struct sb_conflict_args args;
    struct sb_err why;
    bool may;
    int rc;

    if (sb_conflict_args_decode(call->request->args, &args, &why) != 0)
        return request_unread(call, &why);
    rc = find_conflict(call, args.id, &c, &may, err);
    if (rc == 0 && may)
        rc = fill_view(call, &c, args.part, &view, err);
    if (rc == 0 && may) {
        call->outcome->single = args.part != SB_PART_ALL;
        sb_conflict_view_encode(&view,
                                call->outcome->single ? SB_PAYLOAD_MAX_BYTES : call->max_bytes,
                                &call->outcome->data);
        request_done(call);
    }
    sb_conflict_view_free(&view);
    conflict_free(&c);
    return rc;
}

/* ---- conflicts.resolve ---- */

static void raise_resolved(struct request_call *call, const struct sb_conflict_entry *entry,
                           enum sb_choice choice)
{
    struct apply *a = call->a;
    struct sb_buf *members = &a->members;

    if (a->events == NULL)
        return;
    sb_buf_clear(members);
    sb_buf_add_fmt(members, "\"id\":%llu,\"user\":\"%s\",\"table\":\"%s\",\"document\":",
                   (unsigned long long)entry->id, entry->user, entry->table);
    sb_buf_add_json(members, sb_span_of(entry->document));
    sb_buf_add_str(members, ",\"op_id\":");
    sb_buf_add_json(members, sb_span_of(entry->op_id));
    sb_buf_add_fmt(members, ",\"resolution\":\"%s\",\"by\":\"%s\"", sb_choice_name(choice),
                   call->who->name);
    events_raise(a->events, entry->device, EVENT_CONFLICT_RESOLVED, a->now, sb_buf_span(members));
}

static int tell_resolved(struct request_call *call, const struct sb_resolved *resolved)
{
    sb_resolved_encode(resolved, &call->outcome->data);
    return request_done(call);
}

static int close_conflict(struct request_call *call, const struct sb_conflict_entry *entry,
                          const struct sb_resolve_args *args, struct sb_resolved *resolved,
                          struct sb_err *err)
{
    bool closed;
    int rc = store_conflict_close(call->a->store, entry->id, args->choice, call->who->name,
                                  args->note, call->a->now_ms, &closed, err);

    if (rc != 0)
        return rc;
    resolved->resolved += closed;
    resolved->already += !closed;
    if (closed)
        raise_resolved(call, entry, args->choice);
    return 0;
}

/* Its decision comes as an edit of its own. */
static int resolve_own(struct request_call *call, const struct sb_resolve_args *args,
                       struct sb_err *err)
{
    struct sb_resolved resolved = {.resolved = 0};
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < args->ops.count; i++) {
        struct conflict c = {.stream = ""};
        uint64_t id;
        bool open, found = false;

        rc = store_conflict_of_op(call->a->store, call->who->name, NULL, args->ops.ids[i], &id,
                                  &open, err);
        if (rc == 0 && id > 0)
            rc = store_conflict_entry(call->a->store, id, &found, keep_conflict, &c, err);
        if (rc == 0 && found)
            rc = close_conflict(call, &c.entry, args, &resolved, err);
        resolved.unknown += rc == 0 && !found;
        conflict_free(&c);
    }
    return rc == 0 ? tell_resolved(call, &resolved) : rc;
}

/* What the document becomes, "" = deleted; *same = it is that already. */
static int decide(struct request_call *call, const struct conflict *c,
                  const struct sb_resolve_args *args, struct sb_buf *text, bool *same,
                  struct sb_err *err)
{
    const struct losing_edit edit = edit_of(c);
    struct document_row row = {.merged = false};
    struct sb_span in_force;
    int rc;

    *same = args->choice == SB_CHOICE_SERVER;
    if (*same)
        return 0;
    if (args->choice == SB_CHOICE_LOCAL)
        return apply_set_again(call->a, &edit, text, same, err);
    if (!sb_span_is(args->data, "null"))
        sb_buf_add_span(text, args->data);
    rc = read_in_force(call, c, &row, err);
    in_force = row.document.exists && !row.document.deleted ? sb_buf_span(&row.document.data)
                                                            : SB_SPAN("");
    *same = rc == 0 && sb_span_eq(in_force, sb_buf_span(text));
    sb_document_free(&row.document);
    return rc;
}

static int write_decision(struct request_call *call, const struct conflict *c, struct sb_span text,
                          struct sb_resolved *resolved, struct sb_err *err)
{
    const struct operator_write write = {
        .user = c->entry.user,
        .table = c->entry.table,
        .id = c->entry.document,
        .by = call->who->name,
        .op_id = call->request->id,
        .document = text,
    };

    return apply_operator_write(call->a, &write, &resolved->version, err);
}

/* All devices of the user are to look: also the one whose edit it was, to learn that it is closed.
 */
static int note_decision(struct request_call *call, const struct conflict *c,
                         struct sb_resolved *resolved, struct sb_err *err)
{
    struct user_row user;
    int rc = store_user_get(call->a->store, c->entry.user, &user, err);

    if (rc != 0)
        return rc;
    written_add(&call->a->written, c->entry.user, c->entry.table, call->who->name, user.version,
                true);
    if (resolved->version > 0)
        memcpy(resolved->tag, user.tag, sizeof(resolved->tag));
    return 0;
}

/* Somebody may have edited it while the operator looked at it. */
static int check_seen(struct request_call *call, const struct conflict *c, const char *seen,
                      struct sb_err *why)
{
    struct document_row row = {.merged = false};
    int rc;

    if (seen[0] == '\0')
        return 0;
    rc = read_in_force(call, c, &row, why);
    if (rc == 0 && !row.document.exists)
        rc = sb_fail(why, SB_ESTALE, "seen: nothing is in force any more; look at it again");
    else if (rc == 0 && strcmp(row.document.tag, seen) != 0)
        rc = sb_fail(why, SB_ESTALE, "seen: version %llu (%s) is in force now; look at it again",
                     (unsigned long long)row.document.version, row.document.tag);
    sb_document_free(&row.document);
    return rc;
}

static int decide_conflict(struct request_call *call, const struct conflict *c,
                           const struct sb_resolve_args *args, struct sb_err *err)
{
    struct sb_resolved resolved = {.resolved = 0};
    struct sb_err why = {.code = SB_OK};
    struct sb_buf text = {0};
    bool same;
    int rc;

    if (c->entry.resolved_at[0] != '\0') {
        resolved.already = 1;
        return tell_resolved(call, &resolved);
    }
    rc = check_seen(call, c, args->seen, &why);
    if (rc == 0)
        rc = decide(call, c, args, &text, &same, &why);
    if (rc == 0 && !same)
        rc = write_decision(call, c, sb_buf_span(&text), &resolved, &why);
    sb_buf_free(&text);
    if (rc != 0)
        return request_fault(call, rc, &why, err);
    rc = close_conflict(call, &c->entry, args, &resolved, err);
    if (rc == 0)
        rc = note_decision(call, c, &resolved, err);
    return rc == 0 ? tell_resolved(call, &resolved) : rc;
}

static int resolve(struct request_call *call, const struct sb_resolve_args *args,
                   struct sb_err *err)
{
    struct conflict c = {.stream = ""};
    struct sb_err why;
    bool may;
    int rc;

    if (call->who->is_operator == (args->id == 0)) {
        sb_fail(&why, SB_EBAD_VALUE, "%s",
                args->id > 0 ? "id: for operators; a device sends an edit and tells ops"
                             : "ops: for the device that made them");
        return request_unread(call, &why);
    }
    if (args->id == 0)
        return resolve_own(call, args, err);
    rc = find_conflict(call, args->id, &c, &may, err);
    if (rc == 0 && may)
        rc = decide_conflict(call, &c, args, err);
    conflict_free(&c);
    return rc;
}

int request_conflicts_resolve(struct request_call *call, struct sb_err *err)
{
    struct sb_resolve_args args;
    struct sb_err why;
    int rc;

    if (sb_resolve_args_decode(call->request->args, &args, &why) != 0)
        return request_unread(call, &why);
    rc = resolve(call, &args, err);
    sb_resolve_args_free(&args);
    return rc;
}
