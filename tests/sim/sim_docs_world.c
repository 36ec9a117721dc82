/* Runs of the second family: several devices that edit the same documents, then fair turns. */
#include <stdio.h>
#include <string.h>

#include "common/check.h"
#include "sim_docs.h"

/* ---- documents and who shares them ---- */

const char *sim_docs_device(size_t edge)
{
    static const char *const devices[SIM_EDGES] = {SIM_DEVICE, "edge-002", "edge-003", "edge-004"};

    SB_CHECK(edge < SIM_EDGES);
    return devices[edge];
}

const char *sim_docs_user(size_t user)
{
    static const char *const users[DOCS_USERS] = {SIM_USER, "w"};

    return users[user];
}

size_t sim_docs_users(const struct world *world)
{
    return world->mix->users > 0 ? world->mix->users : 1;
}

size_t sim_docs_count(const struct world *world)
{
    return world->mix->docs > 0 ? world->mix->docs : 2;
}

bool sim_docs_bound(const struct world *world, size_t edge, size_t user)
{
    if (sim_docs_users(world) == 1)
        return user == 0;
    return user == 0 ? edge != 2 : edge != 1;
}

size_t sim_docs_user_of(const struct world *world, size_t doc)
{
    return doc % sim_docs_users(world);
}

/* Every third run has the settings among its documents; the others lie in two tables. */
void sim_docs_name(const struct world *world, size_t doc, struct doc_id *out)
{
    static const char *const ids[DOCS_MAX] = {"d0", "d1", "d2", "d3", "d4", "d5"};
    size_t users = sim_docs_users(world);

    SB_CHECK(doc < DOCS_MAX);
    *out = (struct doc_id){.user = sim_docs_user(sim_docs_user_of(world, doc))};
    if (world->seed % 3 == 0 && doc < users) {
        out->table = out->id = SB_TABLE_SETTINGS;
        snprintf(out->text, sizeof(out->text), "%s", SB_TABLE_SETTINGS);
        return;
    }
    out->table = doc / users % 2 == 0 ? SIM_TABLE_A : SIM_TABLE_B;
    out->id = ids[doc];
    snprintf(out->text, sizeof(out->text), "%s/%s", out->table, out->id);
}

size_t sim_docs_find(const struct world *world, const char *user, struct sb_span text)
{
    for (size_t doc = 0; doc < sim_docs_count(world); doc++) {
        struct doc_id name;

        sim_docs_name(world, doc, &name);
        if (strcmp(name.user, user) == 0 && sb_span_is(text, name.text))
            return doc;
    }
    return DOCS_MAX;
}

/* ---- the beginning ---- */

static void add_users(struct sim_edge *edge, size_t i)
{
    struct world *world = edge->world;
    struct sb_err err;

    sim_must(world, outbox_begin(edge->other, &err), &err, "begin");
    for (size_t user = 0; user < sim_docs_users(world); user++)
        if (sim_docs_bound(world, i, user))
            sim_must(world,
                     outbox_user_add(edge->other, sim_docs_user(user), world->now.wall_us, &err),
                     &err, "user_add");
    sim_must(world, outbox_commit(edge->other, &err), &err, "commit");
    edge_wake(edge->core);
}

/* Up to a minute off, so that it matters between edits; else sometimes years. */
static int64_t some_offset(struct world *world)
{
    int64_t us = ((int64_t)sim_below(world, 121) - 60) * 1000000;

    if (!world->mix->order && !world->mix->newest && sim_below(world, 4) == 0)
        us += ((int64_t)sim_below(world, 9) - 4) * INT64_C(31536000000000);
    return us;
}

void sim_docs_begin(struct world *world)
{
    world->book = sim_book_new();
    sim_docs_vault_open(world);
    for (size_t i = 0; i < world->mix->devices; i++) {
        struct sim_edge *edge =
            sim_edge_new(world, (char)('A' + i), sim_docs_device(i), sim_disk_new(world));

        world->edges[world->edge_count++] = edge;
        add_users(edge, i);
        if (world->mix->skew)
            edge->wall_off_us = some_offset(world);
    }
    sim_docs_watch(world);
}

/* ---- one step ---- */

static void use_connection(struct world *world, struct sim_edge *edge)
{
    if (!edge->connected)
        sim_edge_connect(edge);
    else if (sim_below(world, 10) < 4)
        sim_edge_disconnect(edge);
}

void sim_docs_act(struct world *world, struct sim_edge *edge)
{
    double x = sb_rng_unit(&world->rng);

    if (x < .20)
        sim_docs_edit(edge);
    else if (x < .40)
        sim_edge_tick(edge);
    else if (x < (edge->connected ? .44 : .54))
        use_connection(world, edge);
    else if (x < .58)
        sim_docs_sync(edge);
    else if (x < .62)
        sim_docs_resolve(edge);
    else
        for (uint64_t moves = 1 + sim_below(world, 8); moves > 0; moves--)
            sim_net_move(world);
}

/* ---- the end: faults stop, everybody gets a fair turn ---- */

static bool at_the_end(const struct world *world, size_t i)
{
    struct cursor_row counter, cursor;

    for (size_t doc = 0; doc < sim_docs_count(world); doc++) {
        size_t user = sim_docs_user_of(world, doc);
        struct doc_id name;

        if (!sim_docs_bound(world, i, user))
            continue;
        sim_docs_name(world, doc, &name);
        sim_docs_counter(world, user, &counter);
        sim_docs_cursor(world->edges[i], user, name.table, &cursor);
        if (cursor.version != counter.version)
            return false;
    }
    return true;
}

static bool is_quiet(const struct world *world, size_t i, bool resolve)
{
    struct sim_edge *edge = world->edges[i];
    int64_t id;

    return sim_edge_pending(edge) == 0 && sim_docs_stale(edge) == 0 && at_the_end(world, i) &&
           (!resolve || sim_docs_open(edge, &id, 1) == 0);
}

static bool all_quiet(struct world *world, bool resolve)
{
    for (size_t i = 0; i < world->edge_count; i++)
        if (!is_quiet(world, i, resolve))
            return false;
    return world->net.count == 0 && !sim_cloud_waiting(world);
}

#define TURNS 400 /* of each device */

bool sim_docs_settle_down(struct world *world, bool resolve)
{
    size_t quiet = 0;

    for (size_t i = 0; i < world->edge_count; i++)
        sim_edge_disconnect(world->edges[i]);
    for (size_t turn = 0; turn < TURNS * world->edge_count; turn++) {
        struct sim_edge *edge = world->edges[turn % world->edge_count];

        sim_pass(world, 300);
        if (!edge->connected)
            sim_edge_connect(edge);
        if (turn / world->edge_count % 8 == 7)
            sim_docs_sync(edge);
        sim_edge_tick(edge);
        sim_deliver(world, 40);
        if (resolve)
            sim_docs_resolve(edge);
        quiet = all_quiet(world, resolve) ? quiet + 1 : 0;
        if (quiet > 12 * world->edge_count)
            return true;
    }
    return false;
}

/* What is left, for the trace. */
static void blame_rest(struct world *world)
{
    for (size_t i = 0; i < world->edge_count; i++) {
        struct sim_edge *edge = world->edges[i];
        int64_t ids[8];

        if (!is_quiet(world, i, true))
            sim_blame(world, V_LIVELOCK, "%c: %llu pending, %zu conflicts, %llu stale, cursors %s",
                      edge->name, (unsigned long long)sim_edge_pending(edge),
                      sim_docs_open(edge, ids, 8), (unsigned long long)sim_docs_stale(edge),
                      at_the_end(world, i) ? "at the end" : "behind");
    }
    if (world->net.count > 0 || sim_cloud_waiting(world))
        sim_blame(world, V_LIVELOCK, "%zu messages on their way", world->net.count);
}

void sim_docs_finish(struct world *world)
{
    if (!sim_docs_settle_down(world, true))
        blame_rest(world);
    else
        sim_docs_check(world);
}
