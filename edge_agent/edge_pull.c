/* Reading from the cloud (V5, V6): changes after a cursor page by page, what is stale by its id.
 *
 *   idle ──due──▶ pages: one request at a time, the cursor moves with the last one
 *     ▲             │ no more
 *     │             ▼
 *     └──none left─ reads: stale documents of which nothing is pending, several at a time
 *
 * A failure of any kind ends it; it begins anew after a delay that doubles. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/request_conflicts.h"
#include "common/rules.h"
#include "edge_agent/edge_internal.h"

#define LOOK_AT_ONCE 16  /* stale documents looked at in one query */
#define LOOKS_A_STEP 256 /* ... and before others get their turn */
#define MANY_BLOCKED 64  /* of them with operations pending: the next look waits for a poll */

/* ---- what there is to pull ---- */

static int by_name(const void *left, const void *right)
{
    const struct pull *a = left, *b = right;
    int order = strcmp(a->user, b->user);

    return order != 0 ? order : strcmp(a->table, b->table);
}

static struct pull *find(struct edge *edge, size_t count, const char *user, const char *table)
{
    struct pull key;

    if (count == 0)
        return NULL;
    snprintf(key.user, sizeof(key.user), "%s", user);
    snprintf(key.table, sizeof(key.table), "%s", table);
    return bsearch(&key, edge->pulls, count, sizeof(key), by_name);
}

static struct pull *append(struct edge *edge, const char *user, const char *table)
{
    struct pull *pull;

    edge->pulls = sb_xgrow(edge->pulls, edge->pull_count, sizeof(*edge->pulls));
    pull = &edge->pulls[edge->pull_count++];
    *pull = (struct pull){.automatic = true};
    snprintf(pull->user, sizeof(pull->user), "%s", user);
    snprintf(pull->table, sizeof(pull->table), "%s", table);
    return pull;
}

static void sort(struct edge *edge)
{
    if (edge->pull_count > 1)
        qsort(edge->pulls, edge->pull_count, sizeof(*edge->pulls), by_name);
}

struct looking {
    struct edge *edge;
    size_t sorted; /* how many were there before */
    char (*users)[SB_NAME_MAX + 1];
    size_t user_count;
    char (*tables)[SB_NAME_MAX + 1];
    size_t table_count;
};

static int add_user(void *ctx, const struct outbox_user *user)
{
    struct looking *l = ctx;

    l->users = sb_xgrow(l->users, l->user_count, sizeof(*l->users));
    memcpy(l->users[l->user_count++], user->user, sizeof(*l->users));
    return 0;
}

static int add_table(void *ctx, const char *table)
{
    struct looking *l = ctx;

    l->tables = sb_xgrow(l->tables, l->table_count, sizeof(*l->tables));
    snprintf(l->tables[l->table_count++], sizeof(*l->tables), "%s", table);
    return 0;
}

static void is_here(struct looking *l, const char *user, const char *table)
{
    struct pull *pull = find(l->edge, l->sorted, user, table);

    if (pull == NULL)
        pull = append(l->edge, user, table);
    pull->here = true;
    pull->automatic = true;
}

static bool is_settings(const char *table)
{
    return strcmp(table, SB_TABLE_SETTINGS) == 0;
}

static bool of_class(const struct pull *pull, enum sb_up_class class)
{
    if (pull->table[0] == '\0')
        return false;
    return class == (is_settings(pull->table) ? SB_UP_SETTINGS : SB_UP_RECORDS);
}

/* A switch that is off parks the lane and stops the pulls. */
static int take_switch(void *ctx, const struct outbox_switch *one)
{
    struct edge *edge = ((struct looking *)ctx)->edge;

    if (one->sync)
        return 0;
    for (size_t i = 0; i < edge->pull_count; i++)
        if (of_class(&edge->pulls[i], one->class) && strcmp(edge->pulls[i].user, one->user) == 0)
            edge->pulls[i].here = false;
    for (size_t i = 0; i < edge->lanes.count; i++) {
        struct lane *lane = &edge->lanes.at[i];

        if (lane->stream.class == one->class && strcmp(lane->stream.name, one->user) == 0)
            lane->off = true;
    }
    return 0;
}

static int take_sync(void *ctx, const char *user, const char *table, const struct outbox_sync *sync)
{
    struct edge *edge = ((struct looking *)ctx)->edge;
    struct pull *pull = find(edge, edge->pull_count, user, table);
    struct pull *whole = find(edge, edge->pull_count, user, "");

    if (pull != NULL)
        pull->automatic = sync->auto_sync;
    if (whole != NULL && sync->last_server_version > whole->counter)
        whole->counter = sync->last_server_version;
    return 0;
}

static int look(struct looking *l, struct sb_err *err)
{
    struct edge *edge = l->edge;
    int rc;

    if ((rc = outbox_users(edge->ob, add_user, l, err)) < 0 ||
        (rc = outbox_tables(edge->ob, add_table, l, err)) < 0)
        return rc;
    for (size_t i = 0; i < edge->pull_count; i++)
        edge->pulls[i].here = false;
    for (size_t i = 0; i < edge->lanes.count; i++)
        edge->lanes.at[i].off = false;
    for (size_t u = 0; u < l->user_count; u++) {
        is_here(l, l->users[u], "");
        is_here(l, l->users[u], SB_TABLE_SETTINGS);
        for (size_t t = 0; t < l->table_count; t++)
            is_here(l, l->users[u], l->tables[t]);
    }
    sort(edge);
    rc = outbox_switches(edge->ob, NULL, take_switch, l, err);
    return rc < 0 ? rc : outbox_sync_list(edge->ob, NULL, take_sync, l, err);
}

static void drop_calls(struct edge *edge, const struct pull *pull)
{
    for (size_t i = EDGE_REQUESTS_MAX; i < EDGE_CALLS; i++) {
        struct edge_call *call = &edge->calls[i];

        if ((call->kind == CALL_PAGE || call->kind == CALL_STALE || call->kind == CALL_CONFLICTS) &&
            strcmp(call->name.user, pull->user) == 0 && strcmp(call->name.table, pull->table) == 0)
            edge_call_drop(call);
    }
}

/* The user left, or a switch was turned off: what was under way ends. */
static void drop_gone(struct edge *edge)
{
    struct sb_err err;
    size_t kept = 0;

    sb_fail(&err, SB_ENOT_FOUND, "it is not pulled on this device any more");
    for (size_t i = 0; i < edge->pull_count; i++) {
        struct pull *pull = &edge->pulls[i];
        bool reads_only =
            !pull->here && !pull->wanted && (pull->reads_wanted || pull->phase == PULL_READS);

        if (!pull->here && !reads_only) {
            drop_calls(edge, pull);
            edge_round_pulled(edge, pull, &err);
            continue;
        }
        edge->pulls[kept++] = *pull;
    }
    edge->pull_count = kept;
}

void edge_pulls_look(struct edge *edge)
{
    struct looking l = {.edge = edge, .sorted = edge->pull_count};
    struct sb_err err;

    edge->pulls_due = look(&l, &err) < 0;
    if (edge->pulls_due)
        edge_note_error(edge, &err);
    else
        drop_gone(edge);
    free(l.users);
    free(l.tables);
}

void edge_pulls_free(struct edge *edge)
{
    free(edge->pulls);
    free(edge->changed);
}

/* ---- beginning and end ---- */

static void end(struct edge *edge, struct pull *pull, struct sb_now now)
{
    pull->phase = PULL_IDLE;
    pull->delay_ms = 0;
    if (pull->blocked > MANY_BLOCKED)
        pull->not_before_ms = now.mono_ms + EDGE_POLL_MS;
    edge->status.last_pull_us = now.wall_us;
    edge_round_pulled(edge, pull, NULL);
}

static void fail(struct edge *edge, struct pull *pull, const struct sb_err *err, struct sb_now now)
{
    int64_t least = edge->config.pacer.retry_min_ms, most = edge->config.pacer.retry_max_ms;

    if (pull->delay_ms == 0)
        log_warn("user=%s table=%s cannot be read from the cloud: code=%s %s", pull->user,
                 pull->table, sb_code_name(err->code), err->msg);
    drop_calls(edge, pull);
    pull->wanted = pull->wanted || pull->here;
    pull->reads_wanted = true;
    pull->phase = PULL_IDLE;
    pull->delay_ms = pull->delay_ms == 0 ? least : pull->delay_ms * 2;
    pull->delay_ms = pull->delay_ms > most ? most : pull->delay_ms;
    pull->not_before_ms = now.mono_ms + pull->delay_ms;
    edge_round_pulled(edge, pull, err);
}

/* One change to the file in a transaction of its own. */
static int in_transaction(struct edge *edge,
                          int (*change)(struct edge *edge, struct pull *pull, struct sb_err *err),
                          struct pull *pull, struct sb_err *err)
{
    int rc = outbox_begin(edge->ob, err);

    if (rc < 0)
        return rc;
    rc = change(edge, pull, err);
    if (rc == 0)
        return outbox_commit(edge->ob, err);
    outbox_rollback(edge->ob);
    return rc;
}

static int sweep(struct edge *edge, struct pull *pull, struct sb_err *err)
{
    return outbox_documents_sweep(edge->ob, pull->user, pull->table, err);
}

/* V6: tombstones below the floor are gone, so what a pull from 0 does not bring is read by id. */
static int start_pages(struct edge *edge, struct pull *pull, struct sb_err *err)
{
    struct outbox_sync sync;
    int rc = outbox_sync_get(edge->ob, pull->user, pull->table, &sync, err);

    if (rc < 0)
        return rc;
    pull->position = (struct sb_cursor){.version = sync.cursor_version};
    memcpy(pull->position.tag, sync.cursor_tag, sizeof(pull->position.tag));
    if (pull->position.version == 0 && sb_rule(SB_RULE_SWEEP))
        rc = in_transaction(edge, sweep, pull, err);
    return rc;
}

static void begin(struct edge *edge, struct pull *pull, struct sb_now now)
{
    struct sb_err err;
    int rc = 0;

    pull->joined |= pull->joining;
    pull->joining = 0;
    pull->phase = pull->wanted && pull->here ? PULL_PAGES : PULL_READS;
    pull->wanted = pull->reads_wanted = pull->reads_end = false;
    pull->after[0] = '\0';
    pull->reads = pull->open_reads = pull->blocked = 0;
    pull->ops_after = pull->ops_next = 0;
    pull->entries_after = 0;
    if (pull->phase == PULL_PAGES && pull->table[0] != '\0')
        rc = start_pages(edge, pull, &err);
    if (rc < 0)
        fail(edge, pull, &err, now);
}

static bool due(const struct pull *pull, struct sb_now now)
{
    return pull->phase == PULL_IDLE && (pull->wanted || pull->reads_wanted) &&
           now.mono_ms >= pull->not_before_ms;
}

/* ---- pages ---- */

static bool is_asked(const struct edge *edge, const struct pull *pull)
{
    for (size_t i = EDGE_REQUESTS_MAX; i < EDGE_CALLS; i++) {
        const struct edge_call *call = &edge->calls[i];

        if ((call->kind == CALL_PAGE || call->kind == CALL_CONFLICTS) &&
            strcmp(call->name.user, pull->user) == 0 && strcmp(call->name.table, pull->table) == 0)
            return true;
    }
    return false;
}

static struct edge_call *add_call(struct edge *edge, enum edge_call_kind kind, const char *op,
                                  const struct pull *pull, struct sb_now now)
{
    struct edge_call *call = edge_call_add(edge, kind, op, now);

    if (call != NULL) {
        memcpy(call->name.user, pull->user, sizeof(call->name.user));
        memcpy(call->name.table, pull->table, sizeof(call->name.table));
    }
    return call;
}

static void ask_page(struct edge *edge, struct pull *pull, struct sb_now now)
{
    struct sb_changes_args args = {.since = pull->position, .limit = edge->config.pull_limit};
    struct edge_call *call = add_call(edge, CALL_PAGE, SB_OP_CHANGES, pull, now);

    if (call == NULL)
        return;
    memcpy(args.user, pull->user, sizeof(args.user));
    memcpy(args.table, pull->table, sizeof(args.table));
    sb_changes_args_encode(&args, &call->args);
}

struct page {
    struct sb_changes changes;
    struct edge *edge;
    struct pull *pull;
    struct sb_now now;
    uint64_t taken;
};

/* A cursor that stands still in the middle of a pull is what makes its restart complete. */
static int move_cursor(struct page *page, struct sb_err *err)
{
    const struct sb_cursor *cursor = &page->changes.cursor;
    const struct pull *pull = page->pull;
    struct outbox *ob = page->edge->ob;
    struct outbox_sync sync;
    int rc;

    if (page->changes.has_more && sb_rule(SB_RULE_END_CURSOR))
        return 0;
    if ((rc = outbox_sync_get(ob, pull->user, pull->table, &sync, err)) < 0)
        return rc;
    sync.cursor_version = cursor->version;
    memcpy(sync.cursor_tag, cursor->tag, sizeof(sync.cursor_tag));
    sync.last_download_us = page->now.wall_us;
    sync.last_server_version = page->changes.latest_version;
    if ((rc = outbox_sync_set(ob, pull->user, pull->table, &sync, err)) < 0)
        return rc;
    return outbox_documents_settle_loose(ob, pull->user, pull->table, cursor->version, err);
}

static int take_change(struct page *page, const struct sb_change *change, struct sb_err *err)
{
    const struct documents docs = edge_documents(page->edge);
    enum documents_taken taken;
    struct document_name name;
    int rc = document_name_make(&name, page->pull->user, page->pull->table, change->id, err);

    if (rc == 0)
        rc = documents_take(&docs, &name, &change->doc, page->changes.latest_version, page->now,
                            &taken, err);
    if (rc == 0) {
        edge_pull_took(page->edge, &name, taken);
        page->taken += taken == DOCUMENTS_TAKEN || taken == DOCUMENTS_ABSENT;
    }
    return rc;
}

/* All of it, and the cursor, or nothing. */
static int apply_page(struct page *page, struct sb_err *err)
{
    struct outbox *ob = page->edge->ob;
    size_t told = page->edge->changed_count;
    int rc = outbox_begin(ob, err);

    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < page->changes.count; i++)
        rc = take_change(page, &page->changes.list[i], err);
    if (rc == 0)
        rc = move_cursor(page, err);
    if (rc == 0)
        rc = outbox_commit(ob, err);
    else
        outbox_rollback(ob);
    if (rc < 0)
        page->edge->changed_count = told;
    return rc;
}

static int check_page(const struct page *page, struct sb_err *err)
{
    const struct sb_changes *changes = &page->changes;

    if (strcmp(changes->user, page->pull->user) != 0 ||
        strcmp(changes->table, page->pull->table) != 0)
        return sb_fail(err, SB_EBAD_VALUE, "changes of %s/%s were answered with those of %s/%s",
                       page->pull->user, page->pull->table, changes->user, changes->table);
    if (changes->has_more && changes->cursor.version <= page->pull->position.version)
        return sb_fail(err, SB_EBAD_VALUE, "a page of changes that leads nowhere");
    return 0;
}

static void turn_page(struct edge *edge, struct pull *pull, const struct page *page)
{
    struct pull *whole = find(edge, edge->pull_count, pull->user, "");

    edge->status.pulled += page->changes.count;
    edge->status.taken += page->taken;
    edge_round_brought(edge, pull, page->changes.count, page->taken);
    pull->position = page->changes.cursor;
    if (page->changes.has_more)
        return;
    edge->status.pulls++;
    if (whole != NULL && page->changes.latest_version > whole->counter)
        whole->counter = page->changes.latest_version;
    pull->phase = PULL_READS;
}

static int take_page(struct edge *edge, struct pull *pull, struct sb_span data, struct sb_now now,
                     struct sb_err *err)
{
    struct page page = {.edge = edge, .pull = pull, .now = now};
    int rc;

    sb_changes_init(&page.changes);
    rc = sb_changes_decode(data, &page.changes, err);
    if (rc == 0)
        rc = check_page(&page, err);
    if (rc == 0)
        rc = apply_page(&page, err);
    if (rc == 0)
        turn_page(edge, pull, &page);
    sb_changes_free(&page.changes);
    return rc;
}

static int forget_cursor(struct edge *edge, struct pull *pull, struct sb_err *err)
{
    struct outbox_sync sync;
    int rc = outbox_sync_get(edge->ob, pull->user, pull->table, &sync, err);

    sync.cursor_version = 0;
    sync.cursor_tag[0] = '\0';
    if (rc == 0)
        rc = outbox_sync_set(edge->ob, pull->user, pull->table, &sync, err);
    return rc < 0 ? rc : outbox_documents_forget_seen(edge->ob, pull->user, pull->table, err);
}

/* V6: pull from 0, all forget what they have seen. */
static void start_from_zero(struct edge *edge, struct pull *pull, struct sb_now now)
{
    struct sb_err err;
    int rc = in_transaction(edge, forget_cursor, pull, &err);

    if (rc == 0) {
        log_info("user=%s table=%s the cloud does not know the cursor: all of it is pulled",
                 pull->user, pull->table);
        rc = start_pages(edge, pull, &err);
    }
    if (rc < 0)
        fail(edge, pull, &err, now);
}

static void answer_page(struct edge *edge, struct pull *pull, const struct sb_answer *answer,
                        struct sb_now now)
{
    struct sb_err err = {0};

    if (!answer->success && answer->code == SB_ECURSOR_UNKNOWN && pull->position.version > 0) {
        start_from_zero(edge, pull, now);
    } else if (!answer->success) {
        sb_fail(&err, answer->code, "%s", answer->reason);
        fail(edge, pull, &err, now);
    } else if (take_page(edge, pull, answer->data, now, &err) < 0) {
        edge_note_error(edge, &err);
        fail(edge, pull, &err, now);
    }
}

/* ---- stale documents ---- */

struct candidates {
    struct document_name at[LOOK_AT_ONCE];
    unsigned count;
};

static int add_candidate(void *ctx, const struct document_name *name)
{
    struct candidates *candidates = ctx;

    candidates->at[candidates->count++] = *name;
    return 0;
}

static int found_one(void *ctx, const struct outbox_conflict *conflict)
{
    (void)conflict;
    *(bool *)ctx = true;
    return 1;
}

/* Once nothing of it is pending; of users that are not on this device only what waits to be merged.
 */
static int may_read(struct edge *edge, const struct pull *pull, const struct document_name *name,
                    bool *may, struct sb_err *err)
{
    bool pending = false, waits = true;
    int rc = outbox_document_pending(edge->ob, name, &pending, err);

    if (rc == 0 && !pending && !pull->here) {
        waits = false;
        rc = outbox_conflicts_waiting(edge->ob, name, 0, found_one, &waits, err);
    }
    *may = !pending && waits;
    return rc;
}

/* 1 = asked for, or nothing to ask; 0 = no place is free. */
static int read_one(struct edge *edge, struct pull *pull, const struct document_name *name,
                    struct sb_now now, struct sb_err *err)
{
    struct edge_call *call;
    bool may = false;
    int rc = may_read(edge, pull, name, &may, err);

    if (rc < 0)
        return rc;
    if (!may) {
        pull->blocked++;
    } else {
        if ((call = edge_call_add(edge, CALL_STALE, SB_OP_DOCUMENT_GET, now)) == NULL)
            return 0;
        edge_call_document(call, name);
        pull->reads++;
        pull->open_reads++;
    }
    memcpy(pull->after, name->id, sizeof(pull->after));
    return 1;
}

static int read_some(struct edge *edge, struct pull *pull, struct sb_now now, bool *more,
                     struct sb_err *err)
{
    struct document_name after = {0};
    struct candidates found = {0};
    int rc;

    memcpy(after.id, pull->after, sizeof(after.id));
    rc = outbox_documents_stale(edge->ob, pull->user, pull->table, &after, LOOK_AT_ONCE,
                                add_candidate, &found, err);
    *more = rc == 0 && found.count > 0;
    pull->reads_end = rc == 0 && found.count == 0;
    for (unsigned i = 0; rc == 0 && *more && i < found.count; i++) {
        rc = read_one(edge, pull, &found.at[i], now, err);
        *more = rc > 0;
        rc = rc < 0 ? rc : 0;
    }
    if (pull->reads >= EDGE_READS_MAX) { /* others have their turn first */
        pull->reads_end = pull->reads_wanted = true;
        *more = false;
    }
    return rc;
}

static void read_stale(struct edge *edge, struct pull *pull, struct sb_now now)
{
    bool more = !pull->reads_end && pull->table[0] != '\0' && sb_rule(SB_RULE_REREAD);
    struct sb_err err;
    int rc = 0;

    if (!more && !sb_rule(SB_RULE_REREAD))
        pull->reads_end = true;
    for (unsigned looked = 0; rc == 0 && more && looked < LOOKS_A_STEP; looked += LOOK_AT_ONCE)
        rc = read_some(edge, pull, now, &more, &err);
    if (more)
        edge->awake = true;
    if (rc < 0)
        fail(edge, pull, &err, now);
    else if ((pull->reads_end || pull->table[0] == '\0') && pull->open_reads == 0)
        end(edge, pull, now);
}

/* No answer can carry it: it stays what it is here, and is shown. */
static int give_up(struct edge *edge, const struct document_name *name, struct sb_err *err)
{
    struct outbox_document local;
    int rc = outbox_begin(edge->ob, err);

    if (rc < 0)
        return rc;
    rc = outbox_document_get(edge->ob, name, &local, err);
    local.trouble = SB_ETOO_LARGE;
    local.stale = false;
    if (rc == 0)
        rc = outbox_document_set(edge->ob, name, &local, err);
    if (rc == 0)
        rc = outbox_commit(edge->ob, err);
    else
        outbox_rollback(edge->ob);
    outbox_document_fini(&local);
    return rc;
}

static void answer_stale(struct edge *edge, struct pull *pull, const struct document_name *name,
                         const struct sb_answer *answer, struct sb_now now)
{
    enum documents_taken taken = DOCUMENTS_ABSENT;
    struct sb_err err = {0};
    uint64_t version;
    int rc;

    pull->open_reads -= pull->open_reads > 0;
    if (answer->success)
        rc = edge_take_document(edge, name, answer->data, now, &taken, &version, &err);
    else if (answer->code == SB_ETOO_LARGE)
        rc = give_up(edge, name, &err);
    else
        rc = sb_fail(&err, answer->code, "%s", answer->reason);
    if (rc < 0) {
        fail(edge, pull, &err, now);
        return;
    }
    if (taken == DOCUMENTS_OLD) { /* something newer was answered meanwhile */
        pull->reads_wanted = true;
        pull->not_before_ms = now.mono_ms + pacer_rto(&edge->pacer);
    }
    if (taken == DOCUMENTS_TAKEN || taken == DOCUMENTS_ABSENT) {
        edge->status.taken++;
        edge_round_brought(edge, pull, 0, 1);
    }
}

/* Documents that an operation of their own held back, or that wait to be merged. */
static int want_reads(struct edge *edge, const char *user, const char *table, bool wait)
{
    struct pull *pull = find(edge, edge->pull_count, user, table);

    if (pull == NULL && wait) {
        append(edge, user, table);
        sort(edge);
        pull = find(edge, edge->pull_count, user, table);
    }
    if (pull == NULL || (!pull->here && !wait))
        return 0;
    pull->reads_wanted = true;
    edge->pulls_busy = true;
    return 0;
}

static int want_waiting(void *ctx, const struct document_name *name)
{
    return want_reads(ctx, name->user, name->table, true);
}

static void look_for_stale(struct edge *edge)
{
    char user[SB_NAME_MAX + 1] = "", table[SB_NAME_MAX + 1] = "";
    struct sb_err err;
    bool found = true;
    int rc = 0;

    edge->stale_due = false;
    while (rc == 0 && found) {
        rc = outbox_documents_stale_next(edge->ob, user, table, &found, &err);
        if (rc == 0 && found)
            rc = want_reads(edge, user, table, false);
    }
    if (rc == 0)
        rc = outbox_conflict_stale(edge->ob, want_waiting, edge, &err);
    if (rc < 0)
        edge_note_error(edge, &err);
}

/* ---- open conflicts that somebody decided in the cloud ---- */

static void ask_conflicts(struct edge *edge, struct pull *pull, struct sb_now now)
{
    struct sb_conflicts_args args = {.limit = SB_CONFLICTS_MAX, .after = pull->entries_after};
    struct edge_call *call;
    struct sb_err err;
    int rc;

    pull->ops_next = pull->ops_after;
    rc = outbox_conflict_ops(edge->ob, pull->user, &pull->ops_next, &args.ops, &err);
    if (rc < 0) {
        fail(edge, pull, &err, now);
    } else if (args.ops.count == 0) {
        pull->phase = PULL_READS; /* of which there are none */
        end(edge, pull, now);
    } else if ((call = add_call(edge, CALL_CONFLICTS, SB_OP_CONFLICTS_LIST, pull, now)) != NULL) {
        sb_conflicts_args_encode(&args, &call->args);
    }
    sb_op_list_free(&args.ops);
}

static int close_decided(struct edge *edge, const struct sb_conflicts *conflicts, struct sb_now now,
                         struct sb_err *err)
{
    int rc = outbox_begin(edge->ob, err);

    if (rc < 0)
        return rc;
    rc = documents_resolved_there(edge->ob, conflicts, now.wall_us, err);
    if (rc == 0)
        return outbox_commit(edge->ob, err);
    outbox_rollback(edge->ob);
    return rc;
}

static void answer_conflicts(struct edge *edge, struct pull *pull, const struct sb_answer *answer,
                             struct sb_now now)
{
    struct sb_conflicts conflicts;
    struct sb_err err = {0};
    int rc;

    sb_conflicts_init(&conflicts);
    if (!answer->success)
        rc = sb_fail(&err, answer->code, "%s", answer->reason);
    else if ((rc = sb_conflicts_decode(answer->data, &conflicts, &err)) == 0)
        rc = close_decided(edge, &conflicts, now, &err);
    if (rc < 0) {
        fail(edge, pull, &err, now);
    } else if (conflicts.has_more && conflicts.count > 0) {
        pull->entries_after = conflicts.list[conflicts.count - 1].id;
    } else {
        pull->entries_after = 0;
        pull->ops_after = pull->ops_next;
    }
    sb_conflicts_free(&conflicts);
}

/* ---- decisions that the cloud is told ---- */

static bool is_telling(const struct edge *edge)
{
    for (size_t i = EDGE_REQUESTS_MAX; i < EDGE_CALLS; i++)
        if (edge->calls[i].kind == CALL_TELL)
            return true;
    return false;
}

static void tell(struct edge *edge, struct sb_now now)
{
    struct outbox_telling telling;
    struct sb_resolve_args args = {0};
    struct edge_call *call;
    struct sb_err err;
    bool found = false;

    if (!edge->tell_due || is_telling(edge) || now.mono_ms < edge->tell_not_before_ms)
        return;
    if (outbox_next_telling(edge->ob, edge->tell_after, &telling, &found, &err) < 0) {
        edge_note_error(edge, &err);
        edge->tell_due = false;
    } else if (!found) { /* those that were refused are tried again with the next round */
        edge->tell_due = edge->tell_after[0] != '\0';
        edge->tell_after[0] = '\0';
        edge->tell_not_before_ms = now.mono_ms + edge->config.pacer.retry_min_ms;
    } else if ((call = edge_call_add(edge, CALL_TELL, SB_OP_CONFLICTS_RESOLVE, now)) != NULL) {
        memcpy(call->id, telling.ask, sizeof(call->id));
        memcpy(call->name.user, telling.user, sizeof(call->name.user));
        args.ops = telling.ops;
        args.choice = telling.choice;
        sb_resolve_args_encode(&args, &call->args);
    }
    sb_op_list_free(&telling.ops);
}

static int note_told(struct edge *edge, const char *ask, const struct sb_answer *answer,
                     struct sb_err *err)
{
    struct sb_receipt *receipt = &edge->receipt;
    bool higher = answer->commit > 0 && strcmp(receipt->boot, answer->boot) == 0 &&
                  answer->commit > receipt->commit;
    int rc = outbox_begin(edge->ob, err);

    if (rc < 0)
        return rc;
    rc = outbox_told(edge->ob, ask, err);
    if (rc == 0 && higher)
        rc = outbox_receipt_set(edge->ob, answer->boot, answer->commit, err);
    if (rc == 0)
        rc = outbox_commit(edge->ob, err);
    else
        outbox_rollback(edge->ob);
    if (rc == 0 && higher)
        receipt->commit = answer->commit;
    return rc;
}

static void answer_tell(struct edge *edge, const char *ask, const struct sb_answer *answer,
                        struct sb_now now)
{
    struct sb_err err;

    if (!answer->success && sb_code_class(answer->code) == SB_RETRY) {
        memcpy(edge->tell_after, ask, SB_UUID_LEN + 1);
        return;
    }
    if (!answer->success)
        log_warn("the cloud does not take a decision: code=%s %s", sb_code_name(answer->code),
                 answer->reason);
    if (note_told(edge, ask, answer, &err) < 0) {
        edge_note_error(edge, &err);
        edge->tell_not_before_ms = now.mono_ms + EDGE_POLL_MS;
    }
}

/* ---- what drives it ---- */

static void ask_next(struct edge *edge, struct pull *pull, struct sb_now now)
{
    if (due(pull, now))
        begin(edge, pull, now);
    if (pull->phase != PULL_PAGES || is_asked(edge, pull))
        return;
    if (pull->table[0] == '\0')
        ask_conflicts(edge, pull, now);
    else
        ask_page(edge, pull, now);
}

static bool idle(const struct pull *pull)
{
    return pull->phase == PULL_IDLE && !pull->wanted && !pull->reads_wanted;
}

void edge_pull_step(struct edge *edge, struct sb_now now)
{
    bool busy = false;

    if (edge->pulls_due)
        edge_pulls_look(edge);
    if (edge->stale_due)
        look_for_stale(edge);
    tell(edge, now);
    if (!edge->pulls_busy)
        return;
    for (size_t i = 0; i < edge->pull_count; i++)
        if (!idle(&edge->pulls[i]))
            ask_next(edge, &edge->pulls[i], now);
    for (size_t i = 0; i < edge->pull_count; i++) { /* one table's reads wait for others' pages */
        struct pull *pull = &edge->pulls[i];

        if (pull->phase == PULL_READS)
            read_stale(edge, pull, now);
        busy = busy || !idle(pull);
    }
    edge->pulls_busy = busy;
}

/* Copied: what follows may reuse the place. */
void edge_pull_answer(struct edge *edge, struct edge_call *call, const struct sb_answer *answer,
                      struct sb_now now)
{
    const struct document_name name = call->name;
    enum edge_call_kind kind = call->kind;
    char id[SB_UUID_LEN + 1];
    struct pull *pull;

    memcpy(id, call->id, sizeof(id));
    edge_call_drop(call);
    if (kind == CALL_TELL) {
        answer_tell(edge, id, answer, now);
        return;
    }
    pull = find(edge, edge->pull_count, name.user, name.table);
    if (pull == NULL)
        return;
    if (kind == CALL_PAGE)
        answer_page(edge, pull, answer, now);
    else if (kind == CALL_STALE)
        answer_stale(edge, pull, &name, answer, now);
    else
        answer_conflicts(edge, pull, answer, now);
}

/* ---- what makes a pull due ---- */

static void want(struct edge *edge, struct pull *pull)
{
    pull->wanted = true;
    edge->pulls_busy = true;
}

/* V6: a page position holds within one boot. */
static void turn_back(struct edge *edge, struct pull *pull)
{
    if (pull->phase != PULL_PAGES || pull->table[0] == '\0' || !sb_rule(SB_RULE_END_CURSOR))
        return;
    drop_calls(edge, pull);
    pull->phase = PULL_IDLE;
    pull->joining |= pull->joined;
    pull->joined = 0;
    want(edge, pull);
}

void edge_pull_welcomed(struct edge *edge, const char *boot)
{
    bool other = strcmp(edge->pull_boot, boot) != 0;

    memcpy(edge->pull_boot, boot, sizeof(edge->pull_boot));
    edge_pulls_look(edge);
    for (size_t i = 0; i < edge->pull_count; i++) {
        struct pull *pull = &edge->pulls[i];

        pull->not_before_ms = 0;
        if (other && sb_rule(SB_RULE_REWIND))
            turn_back(edge, pull);
        if (other && pull->here && pull->automatic)
            want(edge, pull);
    }
    edge->tell_not_before_ms = 0;
    edge->tell_due = edge->stale_due = true;
}

static bool is_news(struct edge *edge, const struct pull *pull, uint64_t version)
{
    struct outbox_sync sync;
    struct sb_err err;

    return version == 0 || pull->table[0] == '\0' || pull->phase != PULL_IDLE ||
           outbox_sync_get(edge->ob, pull->user, pull->table, &sync, &err) < 0 ||
           sync.last_server_version < version;
}

void edge_pull_notified(struct edge *edge, const char *user, const char *table, uint64_t version)
{
    for (size_t i = 0; i < edge->pull_count; i++) {
        struct pull *pull = &edge->pulls[i];

        if (!pull->here || !pull->automatic || (user[0] != '\0' && strcmp(user, pull->user) != 0) ||
            (table[0] != '\0' && pull->table[0] != '\0' && strcmp(table, pull->table) != 0))
            continue;
        if (is_news(edge, pull, version))
            want(edge, pull);
    }
    edge->awake = true;
}

/* The user's versions are counted one by one: a number that does not follow the last one known here
 * means that others have written, and perhaps that this very operation was merged. */
void edge_pull_acked(struct edge *edge, const struct document_name *name, uint64_t version)
{
    struct pull *whole = find(edge, edge->pull_count, name->user, "");
    struct pull *pull = find(edge, edge->pull_count, name->user, name->table);

    if (whole == NULL || version <= whole->counter)
        return;
    if (version > whole->counter + 1 && pull != NULL && pull->here && pull->automatic)
        want(edge, pull);
    whole->counter = version;
}

/* ---- told to the application ---- */

void edge_pull_changed(struct edge *edge, const struct document_name *name)
{
    if (edge->changed_count == EDGE_CHANGED_MAX)
        return;
    if (edge->changed == NULL)
        edge->changed = sb_xcalloc(EDGE_CHANGED_MAX, sizeof(*edge->changed));
    edge->changed[edge->changed_count++] = *name;
}

void edge_pull_took(struct edge *edge, const struct document_name *name, enum documents_taken taken)
{
    if (taken == DOCUMENTS_TAKEN || taken == DOCUMENTS_ABSENT)
        edge_pull_changed(edge, name);
    else
        edge->stale_due = true;
}

void edge_pull_tell_changed(struct edge *edge)
{
    size_t count = edge->changed_count;

    edge->changed_count = 0;
    for (size_t i = 0; edge->changed_fn != NULL && i < count; i++)
        edge->changed_fn(edge->changed_ctx, edge->changed[i].user, edge->changed[i].table,
                         edge->changed[i].id);
}
