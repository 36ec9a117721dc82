/* What befalls devices and cloud between two steps. */
#include <stdlib.h>
#include <string.h>

#include "sim_docs.h"

/* ---- a process that ends between two effects ---- */

bool sim_fuse_effect(struct fuse *fuse)
{
    if (fuse->blown)
        return false;
    if (fuse->left < 0)
        return true;
    fuse->blown = fuse->left-- == 0;
    return !fuse->blown;
}

bool sim_fuse_commit(struct fuse *fuse)
{
    if (fuse->fail > 0 && !fuse->blown && sb_rng_unit(fuse->rng) < fuse->fail) {
        fuse->failed++;
        return false;
    }
    return sim_fuse_effect(fuse);
}

/* ---- devices ---- */

static void take_snapshot(struct world *world, const struct sim_edge *edge)
{
    world->snapshots =
        sb_xrealloc(world->snapshots, (world->snapshot_count + 1) * sizeof(*world->snapshots));
    world->snapshots[world->snapshot_count++] = sim_disk_copy(&edge->disk);
    sim_say(world, "snapshot %zu of %c", world->snapshot_count - 1, edge->name);
}

/* Its folder is put back as it was; the process cannot go on with the file it had open. */
static void roll_back(struct world *world, struct sim_edge **edge, size_t i)
{
    struct disk disk = sim_disk_copy(&world->snapshots[i]);
    const char *device = (*edge)->device;
    char name = (*edge)->name;

    if (strcmp(disk.device, device) != 0) {
        sim_disk_free(&disk);
        return;
    }
    sim_edge_free(*edge);
    *edge = sim_edge_new(world, name, device, disk);
    world->notes[NOTE_FORK]++;
    sim_say(world, "%c ROLLED BACK to %zu", name, i);
    if (world->book != NULL)
        sim_docs_rolled_back(*edge);
}

static void clone(struct world *world, const struct sim_edge *edge)
{
    world->edges[world->edge_count] =
        sim_edge_new(world, 'B', edge->device, sim_disk_copy(&edge->disk));
    world->edge_count++;
    world->notes[NOTE_FORK]++;
    sim_say(world, "CLONE B of %c", edge->name);
}

static void strike_device(struct world *world, struct sim_edge **edge)
{
    if (sim_chance(world, F_SNAP))
        take_snapshot(world, *edge);
    if (sim_chance(world, F_ROLLBACK) && world->snapshot_count > 0)
        roll_back(world, edge, sim_below(world, world->snapshot_count));
    if (sim_chance(world, F_IMAGE) && world->snapshot_count > 0)
        roll_back(world, edge, 0);
    if (sim_chance(world, F_CLONE) && world->edge_count == 1)
        clone(world, *edge);
    if (sim_chance(world, F_SHED))
        sim_edge_shed(*edge);
    if (sim_chance(world, F_PURGE))
        sim_edge_purge(*edge);
    if (sim_chance(world, F_AGAIN))
        sim_edge_retry(*edge, 0);
    if (sim_chance(world, F_DISCARD))
        sim_edge_discard(*edge);
    if (sim_chance(world, F_READ))
        sim_edge_read(*edge);
    if (sim_chance(world, F_CLOCK))
        sim_edge_set_clock(*edge);
}

/* ---- the cloud ---- */

static void back_up(struct world *world)
{
    world->backups =
        sb_xrealloc(world->backups, (world->backup_count + 1) * sizeof(*world->backups));
    world->backups[world->backup_count++] = sim_base_copy(&world->cloud.base);
    sim_say(world, "backup %zu", world->backup_count - 1);
}

/* Later backups are of a history that has not happened now. */
static size_t pick_backup(struct world *world)
{
    size_t i = sim_below(world, world->backup_count);

    while (world->backup_count > i + 1)
        sim_base_free(&world->backups[--world->backup_count]);
    world->notes[NOTE_RESTORE]++;
    return i;
}

/* All ingests are stopped for it: none serves a database from before its own last commit. */
static void restore(struct world *world)
{
    size_t i = pick_backup(world);
    struct base old = world->cloud.base;

    world->cloud.base = sim_base_copy(&world->backups[i]);
    sim_say(world, "CLOUD RESTORE %zu", i);
    sim_cloud_restart(world, true);
    sim_base_free(&old);
}

/* The file's contents change under the running process. */
static void swap(struct world *world)
{
    size_t i = pick_backup(world);
    struct base copy = sim_base_copy(&world->backups[i]);

    sim_db_overwrite(world->cloud.base.db, copy.db);
    free(world->cloud.base.dropped);
    world->cloud.base.dropped = copy.dropped;
    world->cloud.base.count = copy.count;
    sim_db_free(copy.db);
    sim_say(world, "CLOUD SWAPPED %zu", i);
}

static void strike_cloud(struct world *world)
{
    if (sim_chance(world, F_CUT))
        sim_cloud_connect(world, false);
    else if (!sim_cloud_connected(world) && sim_below(world, 3) == 0)
        sim_cloud_connect(world, true);
    if (sim_chance(world, F_BACKUP))
        back_up(world);
    if (sim_chance(world, F_RESTORE) && world->backup_count > 0)
        restore(world);
    if (sim_chance(world, F_SWAP) && world->backup_count > 0)
        swap(world);
    if (sim_chance(world, F_RETENTION))
        sim_cloud_retention(world);
    if (!world->fixed && sim_chance(world, F_FIX)) {
        world->fixed = true;
        sim_say(world, "MENDED");
        sim_cloud_restart(world, true);
    }
    if (sim_chance(world, F_RESTART)) {
        sim_say(world, "INGEST RESTART");
        sim_cloud_restart(world, true);
    }
    if (sim_chance(world, F_TOMBS))
        sim_cloud_purge_tombstones(world);
    if (sim_chance(world, F_FORGET)) {
        sim_say(world, "CLOUD FORGETS old versions");
        sim_docs_forget(world);
    }
    if (sim_chance(world, F_OPERATOR))
        sim_docs_operate(world);
    if (sim_chance(world, F_WRITER))
        sim_net_writer(world);
    if (sim_chance(world, F_BINDING)) {
        world->unbound = !world->unbound;
        sim_cloud_bind(world, !world->unbound);
    }
}

void sim_strike(struct world *world, struct sim_edge *edge)
{
    size_t i = 0;

    if (sim_chance(world, F_AMNESIA)) {
        sim_say(world, "BROKER AMNESIA");
        sim_net_forget(world);
    }
    while (world->edges[i] != edge)
        i++;
    strike_device(world, &world->edges[i]);
    strike_cloud(world);
}
