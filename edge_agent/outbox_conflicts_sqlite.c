/* Operations answered conflict, what became of them, and open conflicts. */
#include "edge_agent/outbox_sqlite.h"

#include <stdio.h>
#include <string.h>

#include "common/check.h"

static void bind_text(sqlite3_stmt *stmt, int index, const char *text)
{
    sqlite3_bind_text(stmt, index, text, -1, SQLITE_STATIC);
}

static const char *code_text(enum sb_code code)
{
    return code == SB_OK ? "" : sb_code_name(code);
}

static enum sb_code code_of(struct sb_span text)
{
    return text.len > 0 ? sb_code_from_name(text.data, text.len) : SB_OK;
}

static enum sb_policy policy_of(struct sb_span text)
{
    enum sb_policy policy;

    return sb_policy_parse(text, &policy) ? policy : SB_POLICY_NONE;
}

static enum sb_choice choice_of(struct sb_span text)
{
    enum sb_choice choice;

    return sb_choice_parse(text, &choice) ? choice : SB_CHOICE_NONE;
}

/* Texts of a column that must not be null. */
static void bind_required(sqlite3_stmt *stmt, int index, struct sb_span text)
{
    outbox_bind_span(stmt, index, text.data != NULL ? text : SB_SPAN(""));
}

/* ---- operations ---- */

int outbox_conflict_insert(struct outbox *ob, const struct outbox_conflict_values *values,
                           struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_CONFLICT_ADD, err);
    const struct sb_conflict *conflict = values->conflict;
    char doc[DOCUMENT_TEXT_MAX + 1];

    if (stmt == NULL)
        return -(int)SB_EIO;
    document_name_text(values->name, doc);
    sqlite3_bind_int64(stmt, 1, values->s);
    sqlite3_bind_int64(stmt, 2, (int64_t)values->seq);
    bind_text(stmt, 3, values->name->user);
    bind_text(stmt, 4, doc);
    bind_required(stmt, 5, values->op_id);
    bind_text(stmt, 6, code_text(conflict->code));
    bind_text(stmt, 7, sb_policy_name(conflict->policy));
    bind_required(stmt, 8, sb_buf_span(&conflict->arrays));
    bind_required(stmt, 9, sb_buf_span(&conflict->pointers));
    bind_required(stmt, 10, values->record);
    outbox_bind_span(stmt, 11, values->before);
    bind_required(stmt, 12, values->server);
    sqlite3_bind_int64(stmt, 13, (int64_t)conflict->as_of);
    sqlite3_bind_int64(stmt, 14, values->wall_us);
    return outbox_run(ob, stmt, "outbox: conflict", err);
}

static void read_conflict(sqlite3_stmt *stmt, struct outbox_conflict *conflict)
{
    conflict->id = sqlite3_column_int64(stmt, 0);
    outbox_column_copy(stmt, 1, conflict->user, sizeof(conflict->user));
    outbox_column_copy(stmt, 2, conflict->doc, sizeof(conflict->doc));
    outbox_column_copy(stmt, 3, conflict->op_id, sizeof(conflict->op_id));
    conflict->code = code_of(outbox_column_span(stmt, 4));
    conflict->policy = policy_of(outbox_column_span(stmt, 5));
    conflict->state = (enum conflict_state)sqlite3_column_int(stmt, 6);
    conflict->told = sqlite3_column_int(stmt, 7) != 0;
    conflict->as_of = (uint64_t)sqlite3_column_int64(stmt, 8);
    conflict->at_us = sqlite3_column_int64(stmt, 9);
    conflict->pointers = outbox_column_span(stmt, 10);
    conflict->record = outbox_column_span(stmt, 11);
    conflict->before = outbox_column_span(stmt, 12);
    conflict->server = outbox_column_span(stmt, 13);
    conflict->arrays = outbox_column_span(stmt, 14);
}

typedef int (*each_conflict)(void *ctx, const struct outbox_conflict *conflict);

static int walk_conflicts(struct outbox *ob, sqlite3_stmt *stmt, each_conflict each, void *ctx,
                          struct sb_err *err)
{
    struct outbox_conflict conflict;
    int rc;

    while ((rc = outbox_step(ob, stmt, "outbox: conflicts", err)) == 1) {
        read_conflict(stmt, &conflict);
        if ((rc = each(ctx, &conflict)) != 0)
            break;
    }
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int outbox_conflicts(struct outbox *ob, const char *user, each_conflict each, void *ctx,
                     struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_CONFLICTS, err);

    if (stmt == NULL)
        return -(int)SB_EIO;
    if (user != NULL)
        bind_text(stmt, 1, user);
    return walk_conflicts(ob, stmt, each, ctx, err);
}

int outbox_conflicts_waiting(struct outbox *ob, const struct document_name *name, int64_t after,
                             each_conflict each, void *ctx, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_CONFLICTS_WAITING, err);
    char doc[DOCUMENT_TEXT_MAX + 1];

    if (stmt == NULL)
        return -(int)SB_EIO;
    document_name_text(name, doc);
    bind_text(stmt, 1, name->user);
    bind_text(stmt, 2, doc);
    sqlite3_bind_int64(stmt, 3, after);
    return walk_conflicts(ob, stmt, each, ctx, err);
}

static int walk_documents(struct outbox *ob, sqlite3_stmt *stmt,
                          int (*each)(void *ctx, const struct document_name *name), void *ctx,
                          struct sb_err *err)
{
    char user[SB_NAME_MAX + 1];
    struct document_name name;
    int rc;

    while ((rc = outbox_step(ob, stmt, "outbox: conflicts", err)) == 1) {
        outbox_column_copy(stmt, 0, user, sizeof(user));
        if (document_name_parse(&name, user, outbox_column_span(stmt, 1), err) < 0)
            rc = sb_fail(err, SB_ECORRUPT, "outbox: a conflict about no document");
        else
            rc = each(ctx, &name);
        if (rc != 0)
            break;
    }
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int outbox_conflict_documents(struct outbox *ob, const struct document_name *after, unsigned limit,
                              int (*each)(void *ctx, const struct document_name *name), void *ctx,
                              struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_CONFLICT_DOCUMENTS, err);
    char doc[DOCUMENT_TEXT_MAX + 1] = "";

    if (stmt == NULL)
        return -(int)SB_EIO;
    if (after != NULL)
        document_name_text(after, doc);
    bind_text(stmt, 1, after != NULL ? after->user : "");
    bind_text(stmt, 2, doc);
    sqlite3_bind_int64(stmt, 3, limit);
    return walk_documents(ob, stmt, each, ctx, err);
}

int outbox_conflict_stale(struct outbox *ob,
                          int (*each)(void *ctx, const struct document_name *name), void *ctx,
                          struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_CONFLICTS_STALE, err);

    return stmt == NULL ? -(int)SB_EIO : walk_documents(ob, stmt, each, ctx, err);
}

int outbox_conflicts_done(struct outbox *ob, const struct document_name *name,
                          enum conflict_state state, int64_t open_id, const char *ask,
                          struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_CONFLICTS_DONE, err);
    char doc[DOCUMENT_TEXT_MAX + 1];

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    document_name_text(name, doc);
    bind_text(stmt, 1, name->user);
    bind_text(stmt, 2, doc);
    sqlite3_bind_int(stmt, 3, (int)state);
    sqlite3_bind_int64(stmt, 4, open_id);
    bind_text(stmt, 5, state == CONFLICT_MERGED ? sb_choice_name(SB_CHOICE_MERGE) : "");
    bind_text(stmt, 6, ask);
    return outbox_run(ob, stmt, "outbox: conflicts", err);
}

int outbox_conflicts_resolved(struct outbox *ob, int64_t open_id, enum sb_choice choice,
                              const char *ask, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_CONFLICTS_RESOLVED, err);

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, open_id);
    bind_text(stmt, 2, sb_choice_name(choice));
    bind_text(stmt, 3, ask);
    return outbox_run(ob, stmt, "outbox: conflicts", err);
}

/* A statement that gives one number; 0 where it gives none. */
static int one_number(struct outbox *ob, sqlite3_stmt *stmt, int64_t *value, struct sb_err *err)
{
    int rc;

    *value = 0;
    if (stmt == NULL)
        return -(int)SB_EIO;
    rc = outbox_step(ob, stmt, "outbox: conflicts", err);
    if (rc == 1)
        *value = sqlite3_column_int64(stmt, 0);
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

/* The statement with a user and an operation as its first two parameters. */
static sqlite3_stmt *of_op(struct outbox *ob, enum outbox_query query, const char *user,
                           const char *op_id, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, query, err);

    if (stmt == NULL)
        return NULL;
    bind_text(stmt, 1, user);
    bind_text(stmt, 2, op_id);
    return stmt;
}

static int count_left(struct outbox *ob, int64_t open_id, uint64_t *left, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_OPEN_LEFT, err);
    int64_t count = 0;
    int rc;

    if (stmt != NULL)
        sqlite3_bind_int64(stmt, 1, open_id);
    rc = one_number(ob, stmt, &count, err);
    *left = (uint64_t)count;
    return rc;
}

int outbox_conflict_decided(struct outbox *ob, const char *user, const char *op_id,
                            enum sb_choice choice, int64_t *open_id, uint64_t *left,
                            struct sb_err *err)
{
    sqlite3_stmt *stmt;
    int rc;

    SB_CHECK(ob->in_transaction);
    *left = 0;
    rc = one_number(ob, of_op(ob, Q_OPEN_OF_OP, user, op_id, err), open_id, err);
    if (rc < 0 || *open_id == 0)
        return rc;
    if ((stmt = of_op(ob, Q_CONFLICT_DECIDED, user, op_id, err)) == NULL)
        return -(int)SB_EIO;
    bind_text(stmt, 3, sb_choice_name(choice));
    rc = outbox_run(ob, stmt, "outbox: conflicts", err);
    return rc < 0 ? rc : count_left(ob, *open_id, left, err);
}

int outbox_conflict_ops(struct outbox *ob, const char *user, int64_t *after, struct sb_op_list *ops,
                        struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_OPEN_OPS, err);
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    bind_text(stmt, 1, user);
    sqlite3_bind_int64(stmt, 2, *after);
    sqlite3_bind_int(stmt, 3, SB_CONFLICT_OPS_MAX);
    while ((rc = outbox_step(ob, stmt, "outbox: conflicts", err)) == 1) {
        sb_op_list_add(ops, (const char *)sqlite3_column_text(stmt, 0));
        *after = sqlite3_column_int64(stmt, 1);
    }
    return rc;
}

/* ---- telling the cloud ---- */

static int read_ops(struct outbox *ob, struct outbox_telling *telling, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_CONFLICTS_OF_ASK, err);
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    bind_text(stmt, 1, telling->ask);
    sqlite3_bind_int(stmt, 2, SB_CONFLICT_OPS_MAX);
    while ((rc = outbox_step(ob, stmt, "outbox: conflicts", err)) == 1)
        sb_op_list_add(&telling->ops, (const char *)sqlite3_column_text(stmt, 0));
    return rc;
}

int outbox_next_telling(struct outbox *ob, const char *after, struct outbox_telling *telling,
                        bool *found, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_CONFLICTS_UNTOLD, err);
    int rc;

    *telling = (struct outbox_telling){0};
    *found = false;
    if (stmt == NULL)
        return -(int)SB_EIO;
    bind_text(stmt, 1, after);
    rc = outbox_step(ob, stmt, "outbox: conflicts", err);
    if (rc == 1) {
        outbox_column_copy(stmt, 0, telling->ask, sizeof(telling->ask));
        outbox_column_copy(stmt, 1, telling->user, sizeof(telling->user));
        telling->choice = choice_of(outbox_column_span(stmt, 2));
        *found = true;
    }
    sqlite3_reset(stmt);
    return rc <= 0 ? rc : read_ops(ob, telling, err);
}

int outbox_spread_telling(struct outbox *ob, const char *ask, const char *next, bool *more,
                          struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_CONFLICTS_SPREAD, err);
    int rc;

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    bind_text(stmt, 1, ask);
    bind_text(stmt, 2, next);
    sqlite3_bind_int(stmt, 3, SB_CONFLICT_OPS_MAX);
    rc = outbox_run(ob, stmt, "outbox: conflicts", err);
    *more = rc == 0 && sqlite3_changes(ob->db) > 0;
    return rc;
}

int outbox_told(struct outbox *ob, const char *ask, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_CONFLICTS_TOLD, err);

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    bind_text(stmt, 1, ask);
    return outbox_run(ob, stmt, "outbox: conflicts", err);
}

int outbox_tell_again(struct outbox *ob, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_CONFLICTS_TELL_AGAIN, err);

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    return outbox_run(ob, stmt, "outbox: conflicts", err);
}

static int purge_with(struct outbox *ob, enum outbox_query query, int64_t before_us, int limit,
                      struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, query, err);

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, before_us);
    sqlite3_bind_int(stmt, 2, limit);
    return outbox_run(ob, stmt, "outbox: conflicts", err);
}

int outbox_conflicts_purge(struct outbox *ob, int64_t before_us, int64_t decided_us, int limit,
                           struct sb_err *err)
{
    int rc = purge_with(ob, Q_CONFLICTS_PURGE_IDS, before_us, limit, err);

    if (rc == 0)
        rc = purge_with(ob, Q_CONFLICTS_PURGE, before_us, limit, err);
    return rc < 0 ? rc : purge_with(ob, Q_OPEN_PURGE, decided_us, limit, err);
}

/* ---- open conflicts ---- */

/* In the order of OPEN_COLUMNS. */
static void read_open(sqlite3_stmt *stmt, struct outbox_open_conflict *open)
{
    open->id = sqlite3_column_int64(stmt, 0);
    outbox_column_copy(stmt, 1, open->name.user, sizeof(open->name.user));
    outbox_column_copy(stmt, 2, open->name.table, sizeof(open->name.table));
    outbox_column_copy(stmt, 3, open->name.id, sizeof(open->name.id));
    open->code = code_of(outbox_column_span(stmt, 4));
    open->policy = policy_of(outbox_column_span(stmt, 5));
    open->version = (uint64_t)sqlite3_column_int64(stmt, 6);
    open->opened_us = sqlite3_column_int64(stmt, 7);
    open->resolved_us = sqlite3_column_int64(stmt, 8);
    open->resolution = choice_of(outbox_column_span(stmt, 9));
    outbox_column_copy(stmt, 10, open->resolved_by, sizeof(open->resolved_by));
    open->pointers = outbox_column_span(stmt, 11);
    open->ops = outbox_column_span(stmt, 12);
    open->arrays = outbox_column_span(stmt, 13);
    open->base = outbox_column_span(stmt, 14);
    open->local = outbox_column_span(stmt, 15);
    open->server = outbox_column_span(stmt, 16);
}

static sqlite3_stmt *select_open(struct outbox *ob, int64_t id, const char *user,
                                 const struct document_name *name, bool all, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, id > 0 ? Q_OPEN_ONE : Q_OPEN_LIST, err);

    if (stmt == NULL)
        return NULL;
    if (id > 0) {
        sqlite3_bind_int64(stmt, 1, id);
        return stmt;
    }
    if (name != NULL)
        user = name->user;
    sqlite3_bind_int(stmt, 1, all);
    if (user != NULL)
        bind_text(stmt, 2, user);
    if (name != NULL) {
        bind_text(stmt, 3, name->table);
        bind_text(stmt, 4, name->id);
    }
    return stmt;
}

int outbox_open_conflicts(struct outbox *ob, int64_t id, const char *user,
                          const struct document_name *name, bool all,
                          int (*each)(void *ctx, const struct outbox_open_conflict *conflict),
                          void *ctx, struct sb_err *err)
{
    sqlite3_stmt *stmt = select_open(ob, id, user, name, all, err);
    struct outbox_open_conflict open;
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    while ((rc = outbox_step(ob, stmt, "outbox: open conflicts", err)) == 1) {
        read_open(stmt, &open);
        if ((rc = each(ctx, &open)) != 0)
            break;
    }
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int outbox_open_conflict_add(struct outbox *ob, const struct outbox_open_conflict *conflict,
                             int64_t *id, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_OPEN_ADD, err);
    int rc;

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    bind_text(stmt, 1, conflict->name.user);
    bind_text(stmt, 2, conflict->name.table);
    bind_text(stmt, 3, conflict->name.id);
    bind_text(stmt, 4, code_text(conflict->code));
    bind_text(stmt, 5, sb_policy_name(conflict->policy));
    sqlite3_bind_int64(stmt, 6, (int64_t)conflict->version);
    sqlite3_bind_int64(stmt, 7, conflict->opened_us);
    bind_required(stmt, 8, conflict->pointers);
    bind_required(stmt, 9, conflict->ops);
    bind_required(stmt, 10, conflict->arrays);
    outbox_bind_span(stmt, 11, conflict->base);
    outbox_bind_span(stmt, 12, conflict->local);
    bind_required(stmt, 13, conflict->server);
    rc = outbox_run(ob, stmt, "outbox: open conflict", err);
    *id = sqlite3_last_insert_rowid(ob->db);
    return rc;
}

int outbox_open_conflict_close(struct outbox *ob, int64_t id, enum sb_choice resolution,
                               const char *by, int64_t wall_us, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_OPEN_CLOSE, err);
    int rc;

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, id);
    sqlite3_bind_int64(stmt, 2, wall_us);
    bind_text(stmt, 3, sb_choice_name(resolution));
    bind_text(stmt, 4, by);
    rc = outbox_run(ob, stmt, "outbox: open conflict", err);
    if (rc == 0 && sqlite3_changes(ob->db) == 0)
        rc =
            sb_fail(err, SB_ENOT_FOUND, "conflict %lld: there is none that is open", (long long)id);
    return rc;
}

int outbox_open_conflict_count(struct outbox *ob, const char *user, uint64_t *count,
                               struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_OPEN_COUNT, err);
    int64_t value = 0;
    int rc;

    if (stmt != NULL && user != NULL)
        bind_text(stmt, 1, user);
    rc = one_number(ob, stmt, &value, err);
    *count = (uint64_t)value;
    return rc;
}
