/* What there is to pull: the tables of the users of this device, as of the last look. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge_agent/edge_internal.h"

static int by_name(const void *left, const void *right)
{
    const struct pull *a = left, *b = right;
    int order = strcmp(a->user, b->user);

    return order != 0 ? order : strcmp(a->table, b->table);
}

struct pull *edge_pull_find(struct edge *edge, size_t count, const char *user, const char *table)
{
    struct pull key;

    if (count == 0)
        return NULL;
    snprintf(key.user, sizeof(key.user), "%s", user);
    snprintf(key.table, sizeof(key.table), "%s", table);
    return bsearch(&key, edge->pulls, count, sizeof(key), by_name);
}

struct pull *edge_pull_append(struct edge *edge, const char *user, const char *table)
{
    struct pull *pull;

    edge->pulls = sb_xgrow(edge->pulls, edge->pull_count, sizeof(*edge->pulls));
    pull = &edge->pulls[edge->pull_count++];
    *pull = (struct pull){.automatic = true};
    snprintf(pull->user, sizeof(pull->user), "%s", user);
    snprintf(pull->table, sizeof(pull->table), "%s", table);
    return pull;
}

void edge_pull_sort(struct edge *edge)
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
    struct pull *pull = edge_pull_find(l->edge, l->sorted, user, table);

    if (pull == NULL)
        pull = edge_pull_append(l->edge, user, table);
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
    struct pull *pull = edge_pull_find(edge, edge->pull_count, user, table);
    struct pull *whole = edge_pull_find(edge, edge->pull_count, user, "");

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
    edge_pull_sort(edge);
    rc = outbox_switches(edge->ob, NULL, take_switch, l, err);
    return rc < 0 ? rc : outbox_sync_list(edge->ob, NULL, take_sync, l, err);
}

void edge_pull_drop_calls(struct edge *edge, const struct pull *pull)
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
            edge_pull_drop_calls(edge, pull);
            edge_round_pulled(edge, pull, &err);
            continue;
        }
        edge->pulls[kept++] = *pull;
    }
    edge->pull_count = kept;
}

/* Of users, tables and switches, and of the lanes that a switch may be about. */
static bool is_as_it_was(struct edge *edge, uint64_t *version, struct sb_err *err)
{
    return outbox_pulls_version(edge->ob, version, err) == 0 && edge->pulls_looked &&
           *version == edge->pulls_version && edge->lanes.count == edge->pulls_lanes;
}

void edge_pulls_look(struct edge *edge)
{
    struct looking l = {.edge = edge, .sorted = edge->pull_count};
    uint64_t version = 0;
    struct sb_err err;

    edge->pulls_due = false;
    if (is_as_it_was(edge, &version, &err))
        return;
    edge->pulls_due = look(&l, &err) < 0;
    if (edge->pulls_due) {
        edge_note_error(edge, &err);
    } else {
        drop_gone(edge);
        edge->pulls_looked = true;
        edge->pulls_version = version;
        edge->pulls_lanes = edge->lanes.count;
    }
    free(l.users);
    free(l.tables);
}

void edge_pulls_free(struct edge *edge)
{
    free(edge->pulls);
    free(edge->changed);
}
