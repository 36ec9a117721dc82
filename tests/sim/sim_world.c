/* The seeded scheduler: faults for a while, then fair turns until nothing is left to do. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim_docs.h"

/* ---- chance, marks, trace ---- */

double sim_chance_of(const struct world *world, enum fault fault)
{
    if (world->quiet && fault != F_ORDERED && fault != F_HISTORY && fault != F_DELETE)
        return 0;
    return world->mix->p[fault];
}

bool sim_chance(struct world *world, enum fault fault)
{
    double p = sim_chance_of(world, fault);

    return p > 0 && sb_rng_unit(&world->rng) < p;
}

uint64_t sim_below(struct world *world, uint64_t below)
{
    return sb_rng_below(&world->rng, below);
}

void sim_say(struct world *world, const char *fmt, ...)
{
    char text[4096];
    va_list args;

    if (!world->tracing)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    sb_buf_add_str(&world->trace, text);
    sb_buf_add_char(&world->trace, '\n');
}

static const char *const violation_names[V_COUNT] = {
    [V_LOST] = "LOST",
    [V_DOUBLE] = "DOUBLE",
    [V_ORDER] = "ORDER",
    [V_AUDIT] = "AUDIT",
    [V_LIVELOCK] = "LIVELOCK",
    [V_UNINTENDED] = "UNINTENDED",
    [V_UNSTABLE] = "UNSTABLE",
    [V_EPOCHS] = "EPOCHS",
    [V_DEADEND] = "DEADEND",
    [V_CLOUD_AUDIT] = "VERIFY",
    [V_DOCUMENT] = "DOCUMENT",
    [V_BROKEN] = "BROKEN",
    [V_DIVERGE] = "DIVERGE",
    [V_VANISHED] = "VANISHED",
    [V_REVERT] = "REVERT",
    [V_SELFCONFLICT] = "SELFCONFLICT",
    [V_GAP] = "GAP",
    [V_TWICE] = "APPLIED_TWICE",
    [V_ORDERDEP] = "ORDER_DEPENDENCE",
    [V_CURSOR] = "CURSOR",
    [V_UNTOLD] = "UNTOLD",
    [V_NEWEST] = "NEWEST",
};

const char *sim_violation_name(enum violation violation)
{
    return violation_names[violation];
}

void sim_blame(struct world *world, enum violation violation, const char *fmt, ...)
{
    char text[1024];
    va_list args;

    world->violations[violation]++;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    sim_say(world, "*** %s %s", sim_violation_name(violation), text);
}

void sim_must(struct world *world, int rc, const struct sb_err *err, const char *what)
{
    if (rc == 0)
        return;
    sim_blame(world, V_BROKEN, "%s: %s", what, err->msg);
    fprintf(stderr, "seed %llu mix %s: %s: %s\n", (unsigned long long)world->seed, world->mix->name,
            what, err->msg);
    abort(); /* nothing behind it can be relied on */
}

unsigned sim_marks(const struct world *world, uint64_t payload)
{
    return payload > 0 && payload <= world->payloads ? world->marks[payload] : 0;
}

void sim_mark(struct world *world, uint64_t payload, unsigned marks)
{
    world->marks[payload] |= (unsigned char)marks;
}

uint64_t sim_new_payload(struct world *world, unsigned marks)
{
    uint64_t payload = ++world->payloads;

    if (payload >= world->mark_cap) {
        world->mark_cap = payload * 2 + 64;
        world->marks = sb_xrealloc(world->marks, world->mark_cap);
    }
    world->marks[payload] = (unsigned char)marks;
    return payload;
}

/* ---- figures of processes that are gone and of those that live ---- */

uint64_t sim_epochs(const struct world *world)
{
    uint64_t count = world->new_epochs;
    struct edge_status status;

    for (size_t i = 0; i < world->edge_count; i++) {
        edge_status(world->edges[i]->core, &status);
        count += status.new_epochs;
    }
    return count;
}

uint64_t sim_restored(const struct world *world)
{
    uint64_t count = world->restored;
    struct edge_status status;

    for (size_t i = 0; i < world->edge_count; i++) {
        edge_status(world->edges[i]->core, &status);
        count += status.restored;
    }
    return count;
}

/* ---- time ---- */

void sim_pass(struct world *world, int64_t ms)
{
    world->now.mono_ms += ms;
    world->now.wall_us += ms * 1000;
}

/* ---- one step ---- */

static void use_connection(struct world *world, struct sim_edge *edge)
{
    if (!edge->connected)
        sim_edge_connect(edge);
    else if (sim_below(world, 10) < 4)
        sim_edge_disconnect(edge);
}

/* The second family of runs looks at both ends after every effect. */
void sim_look(struct world *world)
{
    if (world->book != NULL)
        sim_docs_watch(world);
}

static void act(struct world *world, struct sim_edge *edge)
{
    double x = sb_rng_unit(&world->rng);

    if (x < .24)
        sim_edge_enqueue(edge);
    else if (x < .45)
        sim_edge_tick(edge);
    else if (x < (edge->connected ? .50 : .60))
        use_connection(world, edge);
    else
        for (uint64_t moves = 1 + sim_below(world, 4); moves > 0; moves--)
            sim_net_move(world);
}

static void step(struct world *world)
{
    struct sim_edge *edge = world->edges[sim_below(world, world->edge_count)];
    struct fuse *cloud = &world->cloud.ingests[world->cloud.count - 1].fuse;
    bool crash = sim_chance(world, F_CRASH), cloud_crash = sim_chance(world, F_CLOUDCRASH);

    sim_pass(world, 20 + (int64_t)sim_below(world, 380));
    if (crash)
        edge->fuse.left = (int)sim_below(world, 4);
    if (cloud_crash)
        cloud->left = (int)sim_below(world, 4);
    if (world->mix->devices > 0)
        sim_docs_act(world, edge);
    else
        act(world, edge);
    if (sim_below(world, 3) == 0)
        sim_cloud_flush(world);
    if (crash) {
        sim_say(world, "%c CRASH", edge->name);
        sim_edge_restart(edge);
    }
    if (cloud_crash) {
        sim_say(world, "INGEST CRASH");
        sim_cloud_restart(world, false);
    }
    sim_strike(world, edge);
    sim_look(world);
}

/* ---- the end: faults stop, everybody gets a fair turn ---- */

static bool anything_left(struct world *world)
{
    for (size_t i = 0; i < world->edge_count; i++)
        if (sim_edge_pending(world->edges[i]) > 0)
            return true;
    return world->net.count > 0 || sim_cloud_waiting(world);
}

void sim_deliver(struct world *world, int most)
{
    for (int i = 0; i < most && world->net.count > 0; i++)
        sim_net_deliver_first(world);
    sim_cloud_flush(world);
}

static bool welcomed(struct sim_edge *edge)
{
    struct edge_status status;

    edge_status(edge->core, &status);
    return status.welcomed;
}

bool sim_settle_down(struct world *world)
{
    int limit = world->mix->twin != TWIN_NONE ? 2000 : 400; /* half goes to the wrong ingest */
    int quiet = 0, need = world->edge_count == 1 ? 10 : 45; /* two edges take turns of 20 */

    for (size_t i = 0; i < world->edge_count; i++)
        sim_edge_disconnect(world->edges[i]);
    for (int turn = 0; turn < limit; turn++) {
        struct sim_edge *edge = world->edges[(size_t)(turn / 20) % world->edge_count];

        sim_pass(world, 300);
        if (!edge->connected)
            sim_edge_connect(edge);
        sim_edge_tick(edge);
        sim_deliver(world, 40);
        if (anything_left(world))
            quiet = 0;
        else if (welcomed(edge) && ++quiet > need)
            return true;
    }
    return false;
}

/* Nothing is sent and no epoch made any more, whoever connects and says hello. */
static void check_stable(struct world *world)
{
    uint64_t epochs = sim_epochs(world), batches = world->batches;

    for (size_t i = 0; i < 4 * world->edge_count; i++) {
        sim_edge_connect(world->edges[i % world->edge_count]);
        for (int k = 0; k < 8; k++) {
            sim_pass(world, 300);
            sim_edge_tick(world->edges[i % world->edge_count]);
            sim_deliver(world, 1000);
        }
    }
    if (sim_epochs(world) != epochs || world->batches != batches)
        sim_blame(world, V_UNSTABLE, "%llu batches, %llu epochs after quiet",
                  (unsigned long long)(world->batches - batches),
                  (unsigned long long)(sim_epochs(world) - epochs));
}

/* ---- a run ---- */

static enum sb_policy policy_of(const struct mix *mix)
{
    if (mix->devices > 0)
        return mix->policy != SB_POLICY_NONE ? mix->policy : SB_POLICY_MERGE;
    return mix->documents ? SB_POLICY_MANUAL : SB_POLICY_LOCAL;
}

static void set_ingest(struct world *world)
{
    static const size_t replies[] = {500, 900, 256 << 10};
    static const size_t pages[] = {300, 1000, SB_HELLO_PAGE_BYTES};
    struct ingest_config *config = &world->ingest_config;

    ingest_config_default(config);
    config->tables = sim_tables(policy_of(world->mix));
    config->limits.max_batch_records = 1 + sim_below(world, 5);
    config->group_rows = 1 + sim_below(world, 12);
    config->reply_bytes = replies[sim_below(world, 3)];
    config->page_bytes = pages[sim_below(world, 3)];
    world->hello_bytes = pages[sim_below(world, 3)];
    if (world->mix->twin == TWIN_ALTERNATE) /* pages that go by turns never have one answerer */
        world->hello_bytes = SB_HELLO_PAGE_BYTES;
}

void sim_begin(struct world *world)
{
    sb_rng_seed(&world->rng, world->seed * UINT64_C(0x9e3779b97f4a7c15) + 1);
    world->now = (struct sb_now){1000, INT64_C(1767323045250000)}; /* 2026-01-02T03:04:05.250Z */
    set_ingest(world);
    world->fixed = world->mix->devices > 0; /* nothing is wrong with documents there */
    sim_cloud_start(world);
    if (world->mix->devices > 0) {
        sim_docs_begin(world);
        return;
    }
    world->edges[0] = sim_edge_new(world, 'A', SIM_DEVICE, sim_disk_new(world));
    world->edge_count = 1;
}

static void stop_faults(struct world *world)
{
    world->quiet = true;
    for (size_t i = 0; i < world->edge_count; i++)
        world->edges[i]->fuse.fail = 0;
    for (unsigned i = 0; i < world->cloud.count; i++)
        world->cloud.ingests[i].fuse.fail = 0;
    sim_say(world, "--- faults stop");
    sim_cloud_connect(world, true);
    if (world->mix->p[F_BINDING] > 0)
        sim_cloud_bind(world, true);
}

bool sim_failed(const struct world *world)
{
    for (int i = 0; i < V_COUNT; i++)
        if (world->violations[i] > 0)
            return true;
    return false;
}

static void run_docs(struct world *world)
{
    if (world->mix->order) {
        sim_docs_run_order(world);
        return;
    }
    for (uint64_t length =
             (SIM_STEPS >> sim_below(world, 3)) * (world->mix->runs > 0 ? world->mix->runs : 1);
         world->steps < length; world->steps++)
        step(world);
    stop_faults(world);
    sim_docs_finish(world);
}

void sim_run(struct world *world)
{
    uint64_t epochs, length;
    bool quiet;

    sim_begin(world);
    if (world->mix->devices > 0) {
        run_docs(world);
        return;
    }
    length = SIM_STEPS >> sim_below(world, 3);
    for (; world->steps < length; world->steps++)
        step(world);
    stop_faults(world);
    epochs = sim_epochs(world);
    quiet = sim_settle_down(world);
    sim_check(world, epochs, quiet);
    if (!quiet)
        sim_blame(world, V_LIVELOCK, "something is left after all fair turns");
    else
        check_stable(world);
    if (sim_failed(world))
        return;
    sim_check_dead_letters(world);
    if (!sim_failed(world))
        sim_check(world, sim_epochs(world), true);
}

void sim_world_free(struct world *world)
{
    for (size_t i = 0; i < world->edge_count; i++)
        sim_edge_free(world->edges[i]);
    sim_cloud_stop(world);
    sim_net_free(&world->net);
    while (world->snapshot_count > 0)
        sim_disk_free(&world->snapshots[--world->snapshot_count]);
    while (world->backup_count > 0)
        sim_base_free(&world->backups[--world->backup_count]);
    free(world->snapshots);
    free(world->backups);
    free(world->marks);
    free(world->declared);
    sim_book_free(world->book);
    sim_docs_vault_close(world);
    sb_buf_free(&world->trace);
}
