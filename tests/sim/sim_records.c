/* What happens to records on a device from outside of the core: they are enqueued, shed at a limit,
 * purged, and asked for again out of the dead letter. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "edge_agent/enqueue.h"
#include "sim.h"

#define BAD_PADDING 300 /* more than the cloud takes of a document before it is mended */

/* ---- records ---- */

static uint64_t new_payload(struct world *world, enum kind kind)
{
    unsigned marks = 0;

    if (sim_chance(world, F_BAD))
        marks |= MARK_BAD;
    if (sim_chance(world, F_POISON))
        marks |= MARK_POISON;
    if (kind == KIND_SETTING && sim_chance(world, F_CONFLICT))
        marks |= MARK_CONFLICT | MARK_ANEW;
    return sim_new_payload(world, marks);
}

static void print_reading(const struct world *world, struct sb_now now, uint64_t payload,
                          struct sb_buf *out)
{
    char ts[SB_TIME_TEXT];

    sb_time_print(now.wall_us, ts);
    sb_buf_add_fmt(out, "{\"ts\":\"%s\",\"v\":%llu,\"x\":%d}", ts, (unsigned long long)payload,
                   sim_marks(world, payload) & MARK_BAD ? 1000 : 1);
}

static void print_command(struct sb_now now, uint64_t payload, struct sb_buf *out)
{
    char ts[SB_TIME_TEXT];

    sb_time_print(now.wall_us, ts);
    sb_buf_add_fmt(out, "{\"command_id\":\"cmd-%llu\",\"created_at\":\"%s\",\"payload\":%llu}",
                   (unsigned long long)payload, ts, (unsigned long long)payload);
}

static void print_document(const struct world *world, uint64_t payload, struct sb_buf *out)
{
    sb_buf_add_fmt(out, "{\"v\":%llu", (unsigned long long)payload);
    if (sim_marks(world, payload) & MARK_BAD)
        sb_buf_add_fmt(out, ",\"padding\":\"%*s\"", BAD_PADDING, "");
    sb_buf_add_char(out, '}');
}

/* ---- enqueue ---- */

static void op_id_of(uint64_t payload, char out[SB_ID_MAX + 1])
{
    snprintf(out, SB_ID_MAX + 1, "op-%llu", (unsigned long long)payload);
}

/* Without documents: an operation that stands on nothing, which the policy "local" applies as it is
 * submitted; so every operation is applied once, and the order of the versions is that of their
 * making. One in conflict stands on a version that never was. */
static int append_operation(struct outbox *ob, struct world *world, uint64_t payload,
                            struct outbox_place *place, struct sb_err *err)
{
    bool conflict = (sim_marks(world, payload) & MARK_CONFLICT) != 0;
    struct sb_buf body = {0}, document = {0};
    char op_id[SB_ID_MAX + 1];
    struct outbox_id id;
    struct outbox_chunk chunk = {.stream = {SB_UP_SETTINGS, SIM_USER},
                                 .count = 1,
                                 .ids = &id,
                                 .device_boot = "",
                                 .mono_ms = world->now.mono_ms,
                                 .wall_us = world->now.wall_us};
    int rc;

    op_id_of(payload, op_id);
    print_document(world, payload, &document);
    sb_buf_add_fmt(&body, "{\"op_id\":\"%s\",\"hlc\":\"%016llx\",\"base\":%s,\"settings\":%s}",
                   op_id, (unsigned long long)payload,
                   conflict ? "{\"tag\":\"ffffffffffffffff\"}" : "null", document.data);
    id = (struct outbox_id){sb_span_of(op_id), sb_hash64(sb_buf_span(&body))};
    chunk.body = sb_buf_span(&body);
    rc = outbox_begin(ob, err);
    if (rc == 0 && (rc = outbox_append(ob, &chunk, place, err)) == 0)
        rc = outbox_commit(ob, err);
    else
        outbox_rollback(ob);
    sb_buf_free(&document);
    sb_buf_free(&body);
    return rc;
}

/* Only a process that ends, or a disk that refuses, may refuse a record. */
static void failed(struct sim_edge *edge, const struct outbox *ob, const struct sb_err *err)
{
    if (ob != edge->ob || (!edge->fuse.blown && edge->fuse.fail <= 0))
        sim_blame(edge->world, V_BROKEN, "enqueue: %s", err->msg);
}

static void put_operation(struct sim_edge *edge, struct outbox *ob)
{
    uint64_t payload = new_payload(edge->world, KIND_SETTING);
    struct outbox_place place;
    struct sb_err err;

    if (append_operation(ob, edge->world, payload, &place, &err) == 0)
        sim_edge_note(edge, payload, KIND_SETTING, place.epoch, place.first_seq);
    else
        failed(edge, ob, &err);
}

#define GROUP_MAX 4

/* What the device's clocks and kernel say of the records of one call. */
static const char *kernel_boot(const struct sim_edge *edge, char out[SB_UUID_LEN + 1])
{
    snprintf(out, SB_UUID_LEN + 1, "b0075d1e-0000-4000-8000-%012u", edge->boots);
    return out;
}

static int put_one(struct sim_edge *edge, struct enqueue *eq, enum kind kind, uint64_t payload,
                   struct enqueue_receipt *receipt, struct sb_err *err)
{
    static const struct sb_stream streams[] = {[KIND_SENSOR] = {SB_UP_SENSORS, SIM_TYPE},
                                               [KIND_RAW] = {SB_UP_SENSORS, SIM_RAW},
                                               [KIND_HISTORY] = {SB_UP_HISTORY, SIM_USER},
                                               [KIND_SETTING] = {SB_UP_SETTINGS, SIM_USER}};
    struct sb_now now = sim_edge_now(edge);
    struct sb_buf record = {0};
    char op_id[SB_ID_MAX + 1];
    int rc;

    op_id_of(payload, op_id);
    if (kind == KIND_SETTING) {
        print_document(edge->world, payload, &record);
        rc = enqueue_settings(eq, SIM_USER, sb_buf_span(&record), sb_span_of(op_id), now,
                              &edge->rng, receipt, err);
    } else {
        if (kind == KIND_HISTORY)
            print_command(now, payload, &record);
        else
            print_reading(edge->world, now, payload, &record);
        rc = enqueue_record(eq, &streams[kind], sb_buf_span(&record), SB_SPAN(""), now, receipt,
                            err);
    }
    sb_buf_free(&record);
    return rc;
}

/* One to four records of one enqueue call: they share a chunk. */
static void put_group(struct sim_edge *edge, struct outbox *ob, enum kind kind)
{
    static const struct enqueue_switches all_on = {true, true, true, true, 0};
    struct enqueue_receipt receipts[GROUP_MAX];
    uint64_t payloads[GROUP_MAX];
    char boot[SB_UUID_LEN + 1];
    struct enqueue *eq = enqueue_new(ob, &all_on, kernel_boot(edge, boot));
    size_t count = kind == KIND_SETTING ? 1 : 1 + sim_below(edge->world, GROUP_MAX);
    struct sb_err err;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < count; i++) {
        payloads[i] = new_payload(edge->world, kind);
        rc = put_one(edge, eq, kind, payloads[i], &receipts[i], &err);
    }
    if (rc == 0)
        rc = enqueue_commit(eq, &err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        sim_edge_note(edge, payloads[i], kind, receipts[i].epoch, receipts[i].seq);
    if (rc < 0)
        failed(edge, ob, &err);
    enqueue_free(eq);
}

static enum kind free_kind(struct world *world)
{
    if (sim_chance(world, F_HISTORY))
        return KIND_HISTORY;
    return sim_below(world, 5) == 0 ? KIND_RAW : KIND_SENSOR;
}

void sim_edge_enqueue(struct sim_edge *edge)
{
    struct world *world = edge->world;
    bool own = sim_below(world, 2) == 0;
    struct outbox *ob = own ? edge->ob : edge->other;
    double ordered = sim_chance_of(world, F_ORDERED);

    if (sb_rng_unit(&world->rng) < (ordered > 0 ? ordered : .5)) {
        if (world->mix->documents)
            put_group(edge, ob, KIND_SETTING);
        else
            put_operation(edge, ob);
    } else {
        put_group(edge, ob, free_kind(world));
    }
    if (own || sim_below(world, 4) > 0) /* else the poll finds it */
        edge_wake(edge->core);
}

/* ---- limits ---- */

static const struct lane *random_lane(struct sim_edge *edge)
{
    const struct lanes *lanes = edge_lanes(edge->core);

    return lanes->count > 0 ? &lanes->at[sim_below(edge->world, lanes->count)] : NULL;
}

/* Rows that nobody has answered and that are not on their way. */
static void sheddable(struct sim_edge *edge, const struct lane *lane, struct sb_ranges *out)
{
    struct sb_err err;

    sim_must(edge->world, outbox_row_ranges(edge->ob, lane->s, out, &err), &err, "row_ranges");
    sb_ranges_remove_all(out, &lane->settled);
    sb_ranges_remove_all(out, &lane->flying);
    sb_ranges_remove_all(out, &lane->holes);
}

struct naming {
    struct sb_buf ops;
    uint64_t lo, hi;
};

static int name_op(void *ctx, const struct outbox_row *row)
{
    struct naming *naming = ctx;

    if (row->first_seq < naming->lo || row->first_seq > naming->hi)
        return 0;
    sb_buf_add_char(&naming->ops, naming->ops.len == 0 ? '[' : ',');
    sb_buf_add_json(&naming->ops, row->op_id);
    return 0;
}

static int shed_range(struct sim_edge *edge, const struct lane *lane, uint64_t lo, uint64_t hi,
                      struct sb_err *err)
{
    struct naming naming = {.lo = lo, .hi = hi};
    int rc = 0;

    if (lane->ordered) {
        rc = outbox_rows(edge->ob, lane->s, lo, hi, name_op, &naming, err);
        sb_buf_add_char(&naming.ops, ']');
    }
    if (rc == 0 && (rc = outbox_begin(edge->ob, err)) == 0) {
        rc = outbox_rows_drop(edge->ob, lane->s, lo, hi, err);
        if (rc == 0)
            rc = outbox_hole_add(edge->ob, lane->s, lo, hi, SB_HOLE_EVICTED,
                                 sb_buf_span(&naming.ops), err);
        if (rc == 0)
            rc = outbox_commit(edge->ob, err);
        else
            outbox_rollback(edge->ob);
    }
    sb_buf_free(&naming.ops);
    return rc;
}

static enum kind kind_of(const struct lane *lane)
{
    if (lane->stream.class == SB_UP_SENSORS)
        return strcmp(lane->stream.name, SIM_RAW) == 0 ? KIND_RAW : KIND_SENSOR;
    return lane->stream.class == SB_UP_HISTORY ? KIND_HISTORY : KIND_SETTING;
}

void sim_edge_shed(struct sim_edge *edge)
{
    const struct lane *lane = random_lane(edge);
    struct sb_ranges rows = {0};
    uint64_t lo, hi, most;
    struct sb_err err;

    if (lane == NULL)
        return;
    sheddable(edge, lane, &rows);
    if (rows.count == 0)
        goto free_rows;
    lo = rows.at[sim_below(edge->world, rows.count)].lo;
    most = rows.at[sb_ranges_seek(&rows, lo)].hi - lo;
    lo += sim_below(edge->world, most + 1);
    hi = lo + sim_below(edge->world, 3);
    if (hi > rows.at[sb_ranges_seek(&rows, lo)].hi)
        hi = rows.at[sb_ranges_seek(&rows, lo)].hi;
    if (shed_range(edge, lane, lo, hi, &err) < 0)
        goto free_rows;
    sim_say(edge->world, "%c shed %s %s %llu..%llu", edge->name, lane->epoch, lane->name,
            (unsigned long long)lo, (unsigned long long)hi);
    for (uint64_t seq = lo; seq <= hi; seq++) {
        struct entry *entry = sim_edge_at(edge, lane->epoch, kind_of(lane), seq);

        if (entry != NULL)
            entry->shed = true;
    }
    edge_reload(edge->core);
free_rows:
    sb_ranges_free(&rows);
}

/* Settled rows beyond the resend window are forgotten, the oldest first. */
static void purge_lane(struct sim_edge *edge, const struct lane *lane)
{
    struct sb_ranges before = {0}, after = {0};
    struct sb_err err;
    int deleted;

    if (outbox_row_ranges(edge->ob, lane->s, &before, &err) < 0 || before.count == 0 ||
        outbox_begin(edge->ob, &err) < 0)
        goto free_ranges;
    if (outbox_purge(edge->ob, lane->s, &lane->settled, INT64_MAX, 0,
                     1 + (int)sim_below(edge->world, 8), &deleted, &err) < 0) {
        outbox_rollback(edge->ob);
        goto free_ranges;
    }
    if (outbox_commit(edge->ob, &err) < 0 || outbox_row_ranges(edge->ob, lane->s, &after, &err) < 0)
        goto free_ranges;
    sb_ranges_remove_all(&before, &after);
    for (size_t i = 0; i < before.count; i++)
        for (uint64_t seq = before.at[i].lo; seq <= before.at[i].hi; seq++) {
            struct entry *entry = sim_edge_at(edge, lane->epoch, kind_of(lane), seq);

            if (entry != NULL)
                entry->purged = true;
        }
    if (before.count > 0)
        sim_say(edge->world, "%c purge %s %s %llu..", edge->name, lane->epoch, lane->name,
                (unsigned long long)before.at[0].lo);
free_ranges:
    sb_ranges_free(&before);
    sb_ranges_free(&after);
}

void sim_edge_purge(struct sim_edge *edge)
{
    const struct lanes *lanes = edge_lanes(edge->core);

    for (size_t i = 0; i < lanes->count; i++)
        if (sim_below(edge->world, 2) == 0)
            purge_lane(edge, &lanes->at[i]);
}

/* ---- dead letters ---- */

struct pick {
    struct world *world;
    int64_t id;
    uint64_t seen;
    char stream[SB_STREAM_MAX + 1], epoch[SB_EPOCH_LEN + 1], op_id[SB_ID_MAX + 1];
    uint64_t seq;
};

static int pick_letter(void *ctx, const struct outbox_dead *dead)
{
    struct pick *pick = ctx;

    if (sim_below(pick->world, ++pick->seen) > 0)
        return 0;
    pick->id = dead->id;
    pick->seq = dead->seq;
    memcpy(pick->stream, dead->stream, sizeof(pick->stream));
    memcpy(pick->epoch, dead->epoch, sizeof(pick->epoch));
    snprintf(pick->op_id, sizeof(pick->op_id), SB_SPAN_FMT, SB_SPAN_ARG(dead->op_id));
    return 0;
}

/* An operation is enqueued anew: its newest place is the last one of its stream. */
static void note_move(struct sim_edge *edge, const struct pick *pick)
{
    struct entry *entry = sim_edge_at(edge, pick->epoch, KIND_SETTING, pick->seq);
    struct lanes lanes = {0};
    const struct lane *lane;
    struct sb_err err;

    if (entry == NULL)
        return;
    sim_must(edge->world, lanes_load(&lanes, edge->ob, &err), &err, "lanes_load");
    lane = lanes_find_named(&lanes, lanes.epoch, pick->stream);
    memcpy(entry->epoch, lanes.epoch, sizeof(entry->epoch));
    entry->seq = lane_made(lane);
    sim_mark(edge->world, entry->payload, MARK_ANEW);
    lanes_free(&lanes);
}

static void choose(struct sim_edge *edge, int64_t id, struct pick *pick)
{
    struct sb_err err;

    *pick = (struct pick){.world = edge->world};
    sim_must(edge->world, outbox_dead_list(edge->ob, id, false, pick_letter, pick, &err), &err,
             "dead_list");
}

/* Somebody gives a dead letter up for good. */
void sim_edge_discard(struct sim_edge *edge)
{
    struct entry *entry;
    struct pick pick;
    struct sb_err err;

    choose(edge, 0, &pick);
    if (pick.id == 0)
        return;
    sim_must(edge->world, outbox_begin(edge->other, &err), &err, "begin");
    sim_must(edge->world, outbox_dead_drop(edge->other, pick.id, &err), &err, "dead_drop");
    sim_must(edge->world, outbox_commit(edge->other, &err), &err, "commit");
    for (int kind = KIND_SENSOR; kind <= KIND_SETTING; kind++)
        if (strcmp(pick.stream, sim_kind_stream((enum kind)kind)) == 0 &&
            (entry = sim_edge_at(edge, pick.epoch, (enum kind)kind, pick.seq)) != NULL)
            entry->discarded = true;
    sim_say(edge->world, "%c discards %s %s %llu", edge->name, pick.epoch, pick.stream,
            (unsigned long long)pick.seq);
}

bool sim_edge_retry(struct sim_edge *edge, int64_t id)
{
    struct pick pick;
    struct sb_err err;

    choose(edge, id, &pick);
    if (pick.id == 0 || outbox_begin(edge->other, &err) < 0)
        return false;
    if (outbox_dead_retry(edge->other, pick.id, sim_edge_now(edge), &err) < 0) {
        outbox_rollback(edge->other);
        return false;
    }
    if (outbox_commit(edge->other, &err) < 0)
        return false;
    sim_say(edge->world, "%c dead retry %s %s %llu", edge->name, pick.epoch, pick.stream,
            (unsigned long long)pick.seq);
    if (pick.op_id[0] != '\0')
        note_move(edge, &pick);
    edge_wake(edge->core);
    return true;
}

/* ---- reading the settings from the cloud ---- */

static void ignore(void *ctx, int taken, uint64_t version, const struct sb_err *err)
{
    (void)ctx;
    (void)taken;
    (void)version;
    (void)err;
}

void sim_edge_read(struct sim_edge *edge)
{
    edge_read(edge->core, SIM_USER, SB_TABLE_SETTINGS, "", 3000, sim_edge_now(edge), ignore, NULL,
              NULL);
}
