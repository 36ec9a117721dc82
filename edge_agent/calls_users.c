/* Calls about users and their switches. */
#include <stdlib.h>
#include <string.h>

#include "edge_agent/calls_internal.h"
#include "edge_agent/user_figures.h"

#define HISTORY_SLICE 500 /* records of the local history that are queued at once */

/* ---- add and remove ---- */

static int read_user(struct sb_span call, char user[SB_NAME_MAX + 1], struct sb_err *err)
{
    struct sb_json_field field = {.key = "user"};

    sb_json_pick(call, &field, 1);
    return calls_user(&field, user, err);
}

int calls_user_add(const struct calls *c, struct sb_span call, struct sb_now now,
                   struct sb_buf *out, struct sb_err *err)
{
    char user[SB_NAME_MAX + 1];
    bool added = true;
    int rc = read_user(call, user, err);

    if (rc == 0)
        rc = enqueue_begin(c->eq, err);
    if (rc == 0)
        rc = outbox_user_add(c->ob, user, now.wall_us, err);
    if (rc == -(int)SB_EEXISTS) {
        added = false;
        rc = 0;
    }
    if (rc == 0)
        rc = enqueue_commit(c->eq, err);
    sb_put_text(out, "user_id", user);
    sb_put_bool(out, "added", added);
    return rc;
}

/* Whom nobody knows here cannot be removed. */
static int check_known(const struct calls *c, const char *user, struct user_figures *figures,
                       struct sb_err *err)
{
    int rc = user_figures_read(c->ob, user, figures, err);

    if (rc == 0 && !figures->known)
        rc = sb_fail(err, SB_ENOT_FOUND, "%s is no user of this device", user);
    return rc;
}

int calls_user_remove(const struct calls *c, struct sb_span call, struct sb_now now,
                      struct sb_buf *out, struct sb_err *err)
{
    struct sb_json_field fields[] = {{.key = "user"}, {.key = "purge"}};
    struct user_figures figures = {0};
    char user[SB_NAME_MAX + 1] = "";
    bool purge = false;
    int rc;

    (void)now;
    sb_json_pick(call, fields, 2);
    rc = calls_user(&fields[0], user, err);
    if (rc == 0)
        rc = calls_flag(&fields[1], &purge, err);
    if (rc == 0)
        rc = enqueue_begin(c->eq, err);
    if (rc == 0)
        rc = check_known(c, user, &figures, err);
    if (rc == 0 && !figures.added && !purge)
        rc = sb_fail(err, SB_ENOT_FOUND, "%s was not added on this device", user);
    if (rc == 0 && figures.added)
        rc = outbox_user_remove(c->ob, user, err);
    if (rc == 0 && purge)
        rc = outbox_user_purge(c->ob, user, false, err);
    if (rc == 0)
        rc = enqueue_commit(c->eq, err);
    sb_put_text(out, "user_id", user);
    sb_put_bool(out, "removed", figures.added);
    sb_put_bool(out, "purged", purge);
    return rc;
}

/* ---- list ---- */

static int add_user(const struct calls *c, const char *user, struct sb_buf *out, struct sb_err *err)
{
    struct user_figures f;
    int rc = user_figures_read(c->ob, user, &f, err);

    if (rc != 0)
        return rc;
    sb_put_text(out, "user_id", user);
    sb_put_bool(out, "added", f.added);
    sb_put_time_us(out, "added_at", f.added_us);
    sb_put_time_us(out, "synced_at", f.synced_us);
    sb_put_time_us(out, "last_sync", f.last_sync_us);
    sb_put_u64(out, "pending_count", f.pending);
    sb_put_u64(out, "conflicts", f.conflicts);
    sb_put_u64(out, "unsent", f.unsent);
    sb_put_u64(out, "trouble", f.trouble);
    return user_figures_switches(c->ob, user, out, err);
}

struct users {
    char (*names)[SB_NAME_MAX + 1];
    size_t count;
};

static int note_user(void *ctx, const struct outbox_user *user)
{
    struct users *users = ctx;

    users->names = sb_xgrow(users->names, users->count, sizeof(*users->names));
    memcpy(users->names[users->count++], user->user, sizeof(user->user));
    return 0;
}

int calls_user_list(const struct calls *c, struct sb_span call, struct sb_now now,
                    struct sb_buf *out, struct sb_err *err)
{
    struct sb_json_field field = {.key = "user"};
    struct users users = {0};
    int rc;

    (void)now;
    sb_json_pick(call, &field, 1);
    if (sb_field_given(&field)) {
        struct user_figures figures;

        users.names = sb_xcalloc(1, sizeof(*users.names));
        users.count = 1;
        rc = calls_user(&field, users.names[0], err);
        if (rc == 0)
            rc = check_known(c, users.names[0], &figures, err);
    } else {
        rc = outbox_users(c->ob, note_user, &users, err);
    }
    sb_put_open(out, "users", '[');
    for (size_t i = 0; rc >= 0 && i < users.count; i++) {
        sb_put_open(out, NULL, '{');
        rc = add_user(c, users.names[i], out, err);
        sb_put_close(out, '}');
    }
    sb_put_close(out, ']');
    free(users.names);
    return rc < 0 ? rc : 0;
}

/* ---- set ---- */

struct setting {
    char user[SB_NAME_MAX + 1];
    char table[SB_NAME_MAX + 1]; /* "" = all */
    bool all_classes;
    enum sb_up_class class;
    bool has_auto, auto_sync, has_sync, sync, backfill;
};

static int read_class(const struct sb_json_field *field, struct setting *s, struct sb_err *err)
{
    char name[16];

    s->all_classes = !sb_field_given(field);
    if (s->all_classes)
        return 0;
    if (sb_field_text(field, name, sizeof(name), err) != 0 ||
        !sb_up_class_parse(sb_span_of(name), &s->class) || !sb_class_has_user(s->class) ||
        s->class == SB_UP_CTL || s->class == SB_UP_LIBRARY)
        return sb_fail(err, SB_EBAD_VALUE, "stream: none of settings, records, history");
    return 0;
}

static int read_setting(struct sb_span call, struct setting *s, struct sb_err *err)
{
    enum { USER, TABLE, STREAM, AUTO, SYNC, BACKFILL, FIELDS };
    struct sb_json_field fields[FIELDS] = {{.key = "user"},   {.key = "table"},
                                           {.key = "stream"}, {.key = "auto_sync"},
                                           {.key = "sync"},   {.key = "backfill"}};
    int rc;

    *s = (struct setting){0};
    sb_json_pick(call, fields, FIELDS);
    s->has_auto = sb_field_given(&fields[AUTO]);
    s->has_sync = sb_field_given(&fields[SYNC]);
    if ((rc = calls_user(&fields[USER], s->user, err)) != 0 ||
        (sb_field_given(&fields[TABLE]) &&
         (rc = sb_field_table(&fields[TABLE], s->table, err)) != 0) ||
        (rc = read_class(&fields[STREAM], s, err)) != 0 ||
        (rc = calls_flag(&fields[AUTO], &s->auto_sync, err)) != 0 ||
        (rc = calls_flag(&fields[SYNC], &s->sync, err)) != 0 ||
        (rc = calls_flag(&fields[BACKFILL], &s->backfill, err)) != 0)
        return rc;
    if (!s->has_auto && !s->has_sync && !s->backfill)
        return sb_fail(err, SB_EMISSING_FIELD, "auto_sync, sync or backfill: one is needed");
    return 0;
}

struct setting_auto {
    const struct calls *c;
    const struct setting *s;
    struct sb_err *err;
};

static int set_auto(void *ctx, const char *table)
{
    struct setting_auto *a = ctx;

    return outbox_sync_set_auto(a->c->ob, a->s->user, table, a->s->auto_sync, a->err);
}

/* A table that the cloud does not have is a slip of the pen; before the first welcome nobody knows.
 */
static int set_table_auto(const struct calls *c, const struct setting *s, struct sb_err *err)
{
    bool known = false, declared = false;
    int rc = 0;

    if (strcmp(s->table, SB_TABLE_SETTINGS) != 0)
        rc = outbox_table_declared(c->ob, s->table, &known, &declared, err);
    if (rc == 0 && known && !declared)
        rc = sb_fail(err, SB_EUNKNOWN_TABLE, "the cloud has no table '%s'", s->table);
    return rc == 0 ? outbox_sync_set_auto(c->ob, s->user, s->table, s->auto_sync, err) : rc;
}

static bool is_meant(const struct setting *s, enum sb_up_class class)
{
    return s->all_classes || s->class == class;
}

/* ---- backfill: what was made while a switch was off ---- */

struct unsent {
    const struct setting *s;
    struct document_name *names;
    size_t count;
};

static int note_unsent(void *ctx, const struct document_name *name,
                       const struct outbox_document *doc)
{
    struct unsent *u = ctx;
    struct sb_stream stream;

    (void)doc;
    document_stream(name, &stream);
    if (!is_meant(u->s, stream.class))
        return 0;
    u->names = sb_xgrow(u->names, u->count, sizeof(*u->names));
    u->names[u->count++] = *name;
    return 0;
}

struct backfilled {
    uint64_t documents, history; /* queued */
    uint64_t refused;            /* documents whose table the cloud does not have: they stay here */
};

/* A table that the cloud does not have is asked about first: a refusal by the queue would take the
 * switches of this call with it. */
static int backfill_one(const struct calls *c, const struct document_name *name, struct sb_now now,
                        struct backfilled *filled, struct sb_err *err)
{
    struct enqueue_receipt receipt = {.queued = false};
    bool known = false, declared = false;
    int rc = 0;

    if (strcmp(name->table, SB_TABLE_SETTINGS) != 0)
        rc = outbox_table_declared(c->ob, name->table, &known, &declared, err);
    if (rc == 0 && known && !declared) {
        filled->refused++;
        return 0;
    }
    if (rc == 0)
        rc = enqueue_backfill(c->eq, name, now, c->rng, &receipt, err);
    filled->documents += rc == 0 && receipt.queued;
    return rc;
}

static int backfill_documents(const struct calls *c, const struct setting *s, struct sb_now now,
                              struct backfilled *filled, struct sb_err *err)
{
    struct unsent unsent = {.s = s};
    int rc = outbox_documents_unsent(c->ob, s->user, s->table[0] != '\0' ? s->table : NULL,
                                     note_unsent, &unsent, err);

    for (size_t i = 0; rc >= 0 && i < unsent.count; i++)
        rc = backfill_one(c, &unsent.names[i], now, filled, err);
    free(unsent.names);
    return rc < 0 ? rc : 0;
}

struct slice {
    struct sb_buf texts[HISTORY_SLICE];
    size_t count;
    int64_t last;
};

static int note_history(void *ctx, int64_t id, struct sb_span body)
{
    struct slice *slice = ctx;

    if (slice->count == HISTORY_SLICE)
        return 1;
    sb_buf_clear(&slice->texts[slice->count]);
    sb_buf_add_span(&slice->texts[slice->count++], body);
    slice->last = id;
    return 0;
}

static int backfill_history(const struct calls *c, const char *user, int64_t mark,
                            struct sb_now now, struct backfilled *filled, struct sb_err *err)
{
    struct slice *slice = sb_xcalloc(1, sizeof(*slice));
    int rc;

    slice->last = mark;
    do {
        slice->count = 0;
        rc = outbox_history_since(c->ob, user, slice->last, note_history, slice, err);
        for (size_t i = 0; rc >= 0 && i < slice->count; i++)
            rc = enqueue_history_again(c->eq, user, sb_buf_span(&slice->texts[i]), now, err);
        filled->history += rc >= 0 ? slice->count : 0;
    } while (rc >= 0 && slice->count == HISTORY_SLICE);
    for (size_t i = 0; i < HISTORY_SLICE; i++)
        sb_buf_free(&slice->texts[i]);
    free(slice);
    return rc < 0 ? rc : 0;
}

struct mark {
    bool off;
    int64_t at;
};

static int find_mark(void *ctx, const struct outbox_switch *one)
{
    struct mark *mark = ctx;

    if (one->class != SB_UP_HISTORY)
        return 0;
    mark->off = !one->sync;
    mark->at = one->off_mark;
    return 1;
}

static int set_sync(const struct calls *c, const struct setting *s, struct sb_err *err)
{
    int rc = 0;

    for (int i = 0; rc == 0 && i < USER_CLASSES; i++)
        if (is_meant(s, user_classes[i]))
            rc = outbox_switch_set(c->ob, s->user, user_classes[i], s->sync, err);
    return rc;
}

static int apply(const struct calls *c, const struct setting *s, struct sb_now now,
                 struct backfilled *filled, struct sb_err *err)
{
    struct setting_auto all = {c, s, err};
    struct mark mark = {0};
    int rc = 0;

    if (s->has_auto && s->table[0] != '\0')
        rc = set_table_auto(c, s, err);
    else if (s->has_auto)
        rc = user_tables(c->ob, s->user, set_auto, &all, err);
    if (rc == 0)
        rc = outbox_switches(c->ob, s->user, find_mark, &mark, err);
    if (rc >= 0 && s->has_sync)
        rc = set_sync(c, s, err);
    if (rc < 0 || !s->backfill)
        return rc < 0 ? rc : 0;
    rc = backfill_documents(c, s, now, filled, err);
    if (rc == 0 && is_meant(s, SB_UP_HISTORY) && mark.off && s->has_sync && s->sync)
        rc = backfill_history(c, s->user, mark.at, now, filled, err);
    return rc;
}

int calls_user_set(const struct calls *c, struct sb_span call, struct sb_now now,
                   struct sb_buf *out, struct sb_err *err)
{
    struct user_figures figures;
    struct setting s;
    struct backfilled filled = {0};
    int rc = read_setting(call, &s, err);

    if (rc == 0)
        rc = enqueue_begin(c->eq, err);
    if (rc == 0)
        rc = check_known(c, s.user, &figures, err);
    if (rc == 0)
        rc = apply(c, &s, now, &filled, err);
    if (rc == 0)
        rc = enqueue_commit(c->eq, err);
    if (rc != 0)
        return rc;
    sb_put_open(out, "backfilled", '{');
    sb_put_u64(out, "documents", filled.documents);
    sb_put_u64(out, "history", filled.history);
    sb_put_u64(out, "refused", filled.refused);
    sb_put_close(out, '}');
    return add_user(c, s.user, out, err);
}
