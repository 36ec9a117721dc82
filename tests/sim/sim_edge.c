/* One device: the daemon's core on its outbox, and another process that enqueues beside it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "edge_agent/enqueue.h"
#include "sim_docs.h"

const char *sim_kind_stream(enum kind kind)
{
    switch (kind) {
    case KIND_SENSOR:
        return "sensors/" SIM_TYPE;
    case KIND_RAW:
        return "sensors/" SIM_RAW;
    case KIND_HISTORY:
        return "history/" SIM_USER;
    case KIND_SETTING:
        return "settings/" SIM_USER;
    }
    return "";
}

/* ---- the disk and what is known of it ---- */

static struct sim_db *empty_outbox; /* making its tables is what takes longest */

static void make_template(void)
{
    struct outbox_config config = {.busy_timeout_ms = 1, .create = true, .in_memory = true};
    struct sb_rng rng;
    struct outbox *ob;

    empty_outbox = sim_db_new();
    config.path = sim_db_uri(empty_outbox);
    sb_rng_seed(&rng, 1);
    SB_CHECK(outbox_open(&config, &rng, &ob, NULL) == 0);
    outbox_close(ob);
}

struct disk sim_disk_new(struct world *world)
{
    char epoch[SB_EPOCH_LEN + 1];

    if (empty_outbox == NULL)
        make_template();
    sb_hex16_of(sb_rng_u64(&world->rng), epoch);
    return (struct disk){.db = sim_db_outbox(empty_outbox, epoch)};
}

void sim_disk_template_free(void)
{
    sim_db_free(empty_outbox);
    empty_outbox = NULL;
}

struct disk sim_disk_copy(const struct disk *disk)
{
    struct disk copy = {.device = disk->device, .db = sim_db_copy(disk->db), .count = disk->count};

    copy.log = sb_xcalloc(disk->count + 1, sizeof(*copy.log));
    if (disk->count > 0)
        memcpy(copy.log, disk->log, disk->count * sizeof(*copy.log));
    return copy;
}

void sim_disk_free(struct disk *disk)
{
    sim_db_free(disk->db);
    free(disk->log);
    *disk = (struct disk){0};
}

struct entry *sim_edge_find(struct sim_edge *edge, uint64_t payload)
{
    for (size_t i = 0; i < edge->disk.count; i++)
        if (edge->disk.log[i].payload == payload)
            return &edge->disk.log[i];
    return NULL;
}

struct entry *sim_edge_at(struct sim_edge *edge, const char *epoch, enum kind kind, uint64_t seq)
{
    for (size_t i = 0; i < edge->disk.count; i++) {
        struct entry *entry = &edge->disk.log[i];

        if (entry->kind == kind && entry->seq == seq && strcmp(entry->epoch, epoch) == 0)
            return entry;
    }
    return NULL;
}

void sim_edge_note(struct sim_edge *edge, uint64_t payload, enum kind kind, const char *epoch,
                   uint64_t seq)
{
    struct disk *disk = &edge->disk;
    struct entry *entry;

    disk->log = sb_xrealloc(disk->log, (disk->count + 1) * sizeof(*disk->log));
    entry = &disk->log[disk->count++];
    *entry = (struct entry){.payload = payload, .kind = kind, .seq = seq};
    snprintf(entry->epoch, sizeof(entry->epoch), "%s", epoch);
    sim_say(edge->world, "%c enqueue %llu at %s %s %llu", edge->name, (unsigned long long)payload,
            epoch, sim_kind_stream(kind), (unsigned long long)seq);
}

/* ---- the link ---- */

static struct sim_edge *edge_of(struct sb_link *link)
{
    return (struct sim_edge *)((char *)link - offsetof(struct sim_edge, link));
}

static void add_ack(struct sim_edge *edge, uint32_t token, bool refused)
{
    struct sb_link_event ack = {.kind = SB_LINK_PUBLISHED, .token = token};

    if (refused)
        sb_fail(&ack.err, sim_below(edge->world, 2) == 0 ? SB_ELIMIT : SB_ETOO_LARGE, "refused");
    edge->acks = sb_xrealloc(edge->acks, (edge->ack_count + 1) * sizeof(*edge->acks));
    edge->acks[edge->ack_count++] = ack;
}

/* A hole says of which record this timeline gives up: that is not in any database. */
static void note_declared(struct sim_edge *edge, struct sb_span json)
{
    struct sb_span epoch, stream, first, last;
    uint64_t lo = 0, hi = 0;
    struct declared *declared;

    if (memmem(json.data, json.len, "\"hole\":{", 8) == NULL ||
        !sb_json_get(json, "epoch", &epoch) || !sb_json_get(json, "stream", &stream) ||
        !sb_json_get(json, "first_seq", &first) || !sb_json_get(json, "last_seq", &last) ||
        !sb_json_u64(first, &lo) || !sb_json_u64(last, &hi))
        return;
    for (size_t i = 0; i < edge->disk.count; i++) {
        const struct entry *entry = &edge->disk.log[i];

        if (entry->seq < lo || entry->seq > hi || !sb_json_string_is(epoch, entry->epoch) ||
            !sb_json_string_is(stream, sim_kind_stream(entry->kind)))
            continue;
        edge->world->declared =
            sb_xrealloc(edge->world->declared,
                        (edge->world->declared_count + 1) * sizeof(*edge->world->declared));
        declared = &edge->world->declared[edge->world->declared_count++];
        *declared =
            (struct declared){.kind = entry->kind, .seq = entry->seq, .payload = entry->payload};
        memcpy(declared->epoch, entry->epoch, sizeof(declared->epoch));
    }
}

static int publish(struct sb_link *link, const struct sb_link_message *message, uint32_t *token,
                   struct sb_err *err)
{
    struct sim_edge *edge = edge_of(link);
    bool refused;

    if (!edge->connected)
        return sb_fail(err, SB_ECLOSED, "not connected");
    if (sim_chance(edge->world, F_JAM))
        return sb_fail(err, SB_EBUSY, "the window is full");
    if (!sim_fuse_effect(&edge->fuse))
        return sb_fail(err, SB_ECLOSED, "the process has ended");
    refused = sim_chance(edge->world, F_REFUSE);
    if (!refused)
        sim_net_put(edge->world, message);
    if (strstr(message->topic, "/ctl") == NULL) {
        edge->world->batches++;
        note_declared(edge, message->payload);
    }
    add_ack(edge, ++edge->tokens, refused);
    if (token != NULL)
        *token = edge->tokens;
    return 0;
}

/* The connection ends when the core has returned, as it does through the mailbox. */
static void drop(struct sb_link *link)
{
    edge_of(link)->drop_due = true;
}

/* ---- life ---- */

static void open_outbox(struct sim_edge *edge, struct outbox **ob)
{
    const struct outbox_config config = {
        .path = sim_db_uri(edge->disk.db), .busy_timeout_ms = 1, .create = true, .in_memory = true};
    struct sb_err err;

    sim_must(edge->world, outbox_open(&config, &edge->rng, ob, &err), &err, "outbox_open");
}

static void start(struct sim_edge *edge)
{
    static const uint64_t limits[] = {1, 2, 100};
    const struct edge_config config = {
        .device = edge->device,
        .device_boot = edge->world->mix->devices > 0 ? edge->device : "",
        .session = {.refused_min_ms = 2400},
        .pacer = {.window_max = 1 + (unsigned)sim_below(edge->world, 6),
                  .rto_min_ms = 1000,
                  .rto_max_ms = 4000,
                  .retry_min_ms = 600,
                  .retry_max_ms = 2400},
        .gzip_level = 1,
        .history_ms = INT64_C(1) << 40,
        .resend_ms = INT64_C(1) << 40, /* the fault `purge` forgets rows, not time */
        .resend_bytes = INT64_C(1) << 40,
        .purge_interval_ms = 60000,
        .puback_timeout_ms = 20000,
        .hello_bytes = edge->world->hello_bytes,
        .pull_limit = limits[sim_below(edge->world, 3)],
        .codec = edge->world->mix->encrypted ? &edge->codec : NULL,
    };
    struct sb_err err;

    sim_docs_codec(edge->world, &edge->codec);
    edge->fuse = (struct fuse){.left = -1, .rng = &edge->world->rng};
    open_outbox(edge, &edge->ob);
    open_outbox(edge, &edge->other);
    sim_must(edge->world, edge_new(&config, edge->ob, &edge->link, &edge->rng, &edge->core, &err),
             &err, "edge_new");
    edge->fuse.fail = sim_chance_of(edge->world, F_FULL);
    sim_db_guard_outbox(edge->ob, &edge->fuse);
}

static void stop(struct sim_edge *edge)
{
    struct edge_status status;

    edge_status(edge->core, &status);
    edge->world->restored += status.restored;
    edge->world->new_epochs += status.new_epochs;
    edge->connected = edge->drop_due = false;
    edge->ack_count = 0;
    edge_free(edge->core);
    outbox_close(edge->other);
    outbox_close(edge->ob);
}

struct sim_edge *sim_edge_new(struct world *world, char name, const char *device, struct disk disk)
{
    struct sim_edge *edge = sb_xcalloc(1, sizeof(*edge));

    edge->world = world;
    edge->name = name;
    edge->device = device;
    edge->disk = disk;
    edge->disk.device = device;
    edge->link = (struct sb_link){publish, drop};
    sb_rng_seed(&edge->rng, sb_rng_u64(&world->rng));
    start(edge);
    return edge;
}

void sim_edge_free(struct sim_edge *edge)
{
    if (edge == NULL)
        return;
    stop(edge);
    free(edge->acks);
    sim_disk_free(&edge->disk);
    free(edge);
}

void sim_edge_restart(struct sim_edge *edge)
{
    stop(edge);
    start(edge);
}

/* ---- clocks ---- */

struct sb_now sim_edge_now(const struct sim_edge *edge)
{
    struct sb_now now = edge->world->now;

    now.mono_ms += edge->mono_off_ms;
    now.wall_us += edge->wall_off_us;
    return now;
}

/* To 1970, to some day, or right; or the device boots, and its monotonic clock begins anew. */
void sim_edge_set_clock(struct sim_edge *edge)
{
    static const int64_t offsets[] = {INT64_C(-1767323045000000), INT64_C(-86400000000), 0,
                                      INT64_C(86400000000)};

    edge->wall_off_us = offsets[sim_below(edge->world, 4)];
    sim_say(edge->world, "%c clock off by %lld s", edge->name,
            (long long)(edge->wall_off_us / 1000000));
    if (sim_below(edge->world, 2) == 0)
        return;
    edge->boots++;
    edge->mono_off_ms = -edge->world->now.mono_ms + 100;
    sim_edge_restart(edge);
    sim_say(edge->world, "%c BOOTS", edge->name);
}

/* ---- events ---- */

void sim_edge_event(struct sim_edge *edge, const struct sb_link_event *event)
{
    edge_event(edge->core, event, sim_edge_now(edge));
}

void sim_edge_disconnect(struct sim_edge *edge)
{
    const struct sb_link_event down = {.kind = SB_LINK_DOWN};

    if (!edge->connected)
        return;
    edge->connected = false;
    edge->ack_count = 0;
    sim_edge_event(edge, &down);
    sim_say(edge->world, "%c disconnected", edge->name);
}

/* One identity: the session of whoever was connected is taken over. */
void sim_edge_connect(struct sim_edge *edge)
{
    struct world *world = edge->world;
    const struct sb_link_event up = {.kind = SB_LINK_UP,
                                     .receive_max = 5 + (uint32_t)sim_below(world, 8)};

    for (size_t i = 0; i < world->edge_count; i++)
        if (strcmp(world->edges[i]->device, edge->device) == 0)
            sim_edge_disconnect(world->edges[i]);
    edge->connected = true;
    sim_say(world, "%c connected", edge->name);
    sim_edge_event(edge, &up);
    for (unsigned i = 0; i < world->cloud.count; i++)
        if (world->cloud.ingests[i].presence.len > 0)
            sim_net_put_retained(world, edge->device, &world->cloud.ingests[i].presence, i + 1);
}

static void take_acks(struct sim_edge *edge)
{
    size_t count = edge->ack_count;

    if (!edge->world->quiet && sim_below(edge->world, 5) == 0)
        return;
    edge->ack_count = 0;
    for (size_t i = 0; i < count; i++)
        sim_edge_event(edge, &edge->acks[i]);
}

void sim_edge_tick(struct sim_edge *edge)
{
    take_acks(edge);
    edge_tick(edge->core, sim_edge_now(edge));
    if (edge->drop_due)
        sim_edge_disconnect(edge);
    edge->drop_due = false;
    sim_look(edge->world);
}

uint64_t sim_edge_pending(struct sim_edge *edge)
{
    edge_wake(edge->core);
    return lanes_pending(edge_lanes(edge->core));
}
