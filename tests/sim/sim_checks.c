/* What must hold when nothing is left to do, computed from the databases of both ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cloud_ingest/audit.h"
#include "cloud_ingest/store_read.h"
#include "common/check.h"
#include "common/json_scan.h"
#include "sim.h"

/* Everything that is known of each payload. */
struct fate {
    unsigned rows;    /* in the cloud */
    bool merged;      /* ... one of them, or several, by merging */
    uint64_t version; /* of an applied operation */
    bool dead;        /* in a dead letter or among the conflicts of a device */
};

struct fates {
    struct world *world;
    struct fate *of; /* by payload */
};

static struct fate *fate_of(struct fates *fates, uint64_t payload)
{
    SB_CHECK(payload > 0 && payload <= fates->world->payloads);
    return &fates->of[payload];
}

/* A device that was rolled back merges what is in conflict once more: it does not know better. */
static void add_row(void *ctx, const struct sim_row *row)
{
    struct fate *fate = fate_of(ctx, row->payload);

    if (!row->merging || !fate->merged)
        fate->rows++;
    fate->merged |= row->merging;
    fate->version = row->version;
}

/* The payload of a record as the outbox keeps it. */
static uint64_t payload_of(struct sb_span body)
{
    struct sb_span value = {NULL, 0}, document;
    struct sb_json_iter iter;
    uint64_t payload = 0;

    if (sb_json_type_of(body) == SB_JSON_ARRAY) {
        sb_json_iter_init(&iter, body);
        sb_json_next_element(&iter, &value);
        sb_json_next_element(&iter, &value);
    } else if (sb_json_get(body, "settings", &document)) {
        sb_json_get(document, "v", &value);
    } else {
        sb_json_get(body, "payload", &value);
    }
    SB_CHECK(value.len > 0 && sb_json_u64(value, &payload));
    return payload;
}

static int add_dead(void *ctx, const struct outbox_dead *dead)
{
    struct fates *fates = ctx;
    uint64_t payload = payload_of(dead->body);

    fate_of(fates, payload)->dead = true;
    if (sim_base_dropped(&fates->world->cloud.base, payload))
        fates->world->notes[NOTE_FALSE_DEAD]++; /* it had been stored, and was removed */
    return 0;
}

static int add_conflict(void *ctx, const struct outbox_conflict *conflict)
{
    fate_of(ctx, payload_of(conflict->record))->dead = true;
    return 0;
}

static void gather(struct world *world, struct fates *fates)
{
    struct sb_err err;

    *fates = (struct fates){world, sb_xcalloc(world->payloads + 1, sizeof(*fates->of))};
    sim_db_rows(world->cloud.base.db, add_row, fates);
    for (size_t i = 0; i < world->edge_count; i++) {
        struct outbox *ob = world->edges[i]->ob;

        sim_must(world, outbox_dead_list(ob, 0, false, add_dead, fates, &err), &err, "dead_list");
        sim_must(world, outbox_conflicts(ob, NULL, add_conflict, fates, &err), &err, "conflicts");
    }
}

/* ---- LOST, DOUBLE, ORDER ---- */

static void check_doubles(struct world *world, const struct fates *fates)
{
    for (uint64_t payload = 1; payload <= world->payloads; payload++)
        if (fates->of[payload].rows > 1)
            sim_blame(world, V_DOUBLE, "%llu is in %u rows", (unsigned long long)payload,
                      fates->of[payload].rows);
}

static bool was_declared(const struct world *world, const struct entry *entry)
{
    for (size_t i = 0; i < world->declared_count; i++) {
        const struct declared *d = &world->declared[i];

        if (d->payload == entry->payload && d->seq == entry->seq && d->kind == entry->kind &&
            strcmp(d->epoch, entry->epoch) == 0)
            return true;
    }
    return false;
}

static bool conflicted(const struct world *world, const struct entry *entry)
{
    char op_id[SB_ID_MAX + 1];

    snprintf(op_id, sizeof(op_id), "op-%llu", (unsigned long long)entry->payload);
    return entry->kind == KIND_SETTING && sim_db_conflict(world->cloud.base.db, op_id);
}

static bool still_held(struct sim_edge *edge, const struct entry *entry)
{
    const struct lanes *lanes = edge_lanes(edge->core);

    for (size_t i = 0; i < lanes->count; i++)
        if (strcmp(lanes->at[i].epoch, entry->epoch) == 0 &&
            strcmp(lanes->at[i].name, sim_kind_stream(entry->kind)) == 0)
            return !sb_ranges_has(&lanes->at[i].settled, entry->seq);
    return false;
}

/* Conditions that the guarantee states: counted, not blamed. */
static bool is_residual(struct world *world, const struct entry *entry,
                        const struct sim_stream *known)
{
    bool taken =
        sb_ranges_has(&known->decided, entry->seq) || sb_ranges_has(&known->holes, entry->seq);

    if ((entry->shed || entry->purged) && world->notes[NOTE_FORK] > 0 &&
        world->notes[NOTE_RESTORE] > 0 && taken) {
        world->notes[NOTE_MASKED]++; /* another timeline has the number, the row is gone */
        return true;
    }
    if ((entry->shed || entry->purged) && world->notes[NOTE_RESTORE] > 0 &&
        sim_db_rejected(world->cloud.base.db, entry->epoch, sim_kind_stream(entry->kind),
                        entry->seq, entry->payload)) {
        world->notes[NOTE_SHED]++; /* rejected; that it was shed, or mended, stored and purged, was
                                    * forgotten by a restore */
        return true;
    }
    return false;
}

static void check_entry(struct world *world, struct sim_edge *edge, const struct entry *entry,
                        const struct fate *fate, bool settled_down)
{
    const char *stream = sim_kind_stream(entry->kind);
    struct sim_stream known;

    if (fate->rows > 0 || fate->dead || entry->discarded ||
        sim_base_dropped(&world->cloud.base, entry->payload) || conflicted(world, entry))
        return;
    sim_db_stream(world->cloud.base.db, entry->epoch, stream, &known);
    if (!((entry->shed || entry->purged) && sb_ranges_has(&known.holes, entry->seq) &&
          was_declared(world, entry)) &&
        !is_residual(world, entry, &known) && (settled_down || !still_held(edge, entry)))
        sim_blame(world, V_LOST, "%c %s %s %llu: %llu%s%s", edge->name, entry->epoch, stream,
                  (unsigned long long)entry->seq, (unsigned long long)entry->payload,
                  entry->shed ? " shed" : "", entry->purged ? " purged" : "");
    sim_stream_free(&known);
}

static void check_order(struct world *world, const struct sim_edge *edge, const struct fates *fates)
{
    uint64_t last = 0;

    for (size_t i = 0; i < edge->disk.count; i++) {
        const struct entry *entry = &edge->disk.log[i];
        uint64_t version = fates->of[entry->payload].version;

        if (version == 0 || sim_marks(world, entry->payload) & MARK_ANEW)
            continue;
        if (version < last) {
            sim_blame(world, V_ORDER, "%c %llu was applied before what was made before it",
                      edge->name, (unsigned long long)entry->payload);
            return;
        }
        last = version;
    }
}

/* ---- AUDIT ---- */

/* The numbers of a set as text; static memory. */
static const char *print(const struct sb_ranges *set)
{
    static char text[256];
    struct sb_buf buf = {0};

    sb_ranges_print(set, &buf);
    snprintf(text, sizeof(text), "%s", buf.data);
    sb_buf_free(&buf);
    return text;
}

/* What the device calls settled must be decided or a hole in the cloud; what it holds must be in a
 * row or a hole of its own. */
static void audit_lane(struct world *world, struct sim_edge *edge, const struct lane *lane)
{
    struct sb_ranges missing = {0}, open = {0}, rows = {0};
    struct sim_stream known;
    struct sb_err err;

    sim_db_stream(world->cloud.base.db, lane->epoch, lane->name, &known);
    sb_ranges_copy(&missing, &lane->settled);
    sb_ranges_remove_all(&missing, &known.decided);
    sb_ranges_remove_all(&missing, &known.holes);
    if (missing.count > 0)
        sim_blame(world, V_AUDIT, "%c %s %s: settled and unknown to the cloud: %s", edge->name,
                  lane->epoch, lane->name, print(&missing));
    sim_must(world, outbox_row_ranges(edge->ob, lane->s, &rows, &err), &err, "row_ranges");
    if (lane_made(lane) > 0)
        sb_ranges_add(&open, 1, lane_made(lane));
    sb_ranges_remove_all(&open, &lane->settled);
    sb_ranges_remove_all(&open, &rows);
    sb_ranges_remove_all(&open, &lane->holes);
    if (open.count > 0)
        sim_blame(world, V_AUDIT, "%c %s %s: neither settled nor kept: %s", edge->name, lane->epoch,
                  lane->name, print(&open));
    sb_ranges_free(&missing);
    sb_ranges_free(&open);
    sb_ranges_free(&rows);
    sim_stream_free(&known);
}

/* Memory and file of a core that is at rest say the same. */
static void compare_lane(struct world *world, struct sim_edge *edge, const struct lane *memory,
                         const struct lane *file)
{
    if (memory == NULL || !sb_ranges_equal(&memory->settled, &file->settled) ||
        !sb_ranges_equal(&memory->refused, &file->refused) ||
        !sb_ranges_equal(&memory->holes, &file->holes) || memory->next_seq != file->next_seq)
        sim_blame(world, V_AUDIT, "%c %s %s: the core and its file differ", edge->name, file->epoch,
                  file->name);
}

static void audit_edge(struct world *world, struct sim_edge *edge)
{
    const struct lanes *memory = edge_lanes(edge->core);
    struct lanes file = {0};
    struct sb_err err;

    sim_must(world, lanes_load(&file, edge->other, &err), &err, "lanes_load");
    for (size_t i = 0; i < file.count; i++) {
        struct lane *other = NULL;

        for (size_t k = 0; k < memory->count; k++)
            if (memory->at[k].s == file.at[i].s)
                other = &memory->at[k];
        compare_lane(world, edge, other, &file.at[i]);
        audit_lane(world, edge, &file.at[i]);
    }
    lanes_free(&file);
}

struct verifying {
    struct world *world;
};

static bool blame_entry(void *ctx, const struct audit_entry *entry)
{
    struct world *world = ctx;

    if (!audit_clean(&entry->figures))
        sim_blame(world, V_CLOUD_AUDIT, "%s %s: missing %s doubles %llu unequal %llu", entry->epoch,
                  entry->stream, print(&entry->missing), (unsigned long long)entry->figures.doubles,
                  (unsigned long long)entry->figures.unequal);
    return true;
}

static void verify(struct world *world)
{
    struct audit_figures total;
    struct sb_err err;

    sim_must(world,
             audit_run(world->cloud.ingests[0].store, NULL, blame_entry, world, &total, &err), &err,
             "audit_run");
}

/* ---- DOCUMENT: the settings in force are the same at both ends ---- */

struct asked {
    bool done;
    int taken;
    struct sb_err err;
};

static const struct document_name settings = {SIM_USER, SB_TABLE_SETTINGS, SB_TABLE_SETTINGS};

static void answered(void *ctx, int taken, uint64_t version, const struct sb_err *err)
{
    struct asked *asked = ctx;

    (void)version;
    *asked = (struct asked){true, taken, *err};
}

/* Where the cloud has nothing, the device's document may be one that never came there (its
 * operations were given up) or one that another client wrote and a restore forgot. */
static bool differ(const struct world *world, const struct sb_document *cloud,
                   const struct outbox_document *local)
{
    if (!cloud->exists)
        return local->exists && local->last_op[0] != '\0' && world->mix->p[F_SHED] <= 0 &&
               world->mix->p[F_BAD] <= 0;
    return !local->exists || !sb_json_equal(sb_buf_span(&cloud->data), sb_buf_span(&local->doc));
}

static void compare_documents(struct world *world, struct sim_edge *edge, const struct asked *asked)
{
    struct outbox_document local;
    struct sb_document cloud = {0};
    struct sb_err err;
    uint64_t as_of;

    sim_must(world, outbox_document_get(edge->ob, &settings, &local, &err), &err, "settings_get");
    sim_must(world, store_settings(world->cloud.ingests[0].store, SIM_USER, &cloud, &as_of, &err),
             &err, "store_settings");
    if (!asked->done)
        sim_blame(world, V_DOCUMENT, "the cloud's settings were not answered");
    else if (differ(world, &cloud, &local))
        sim_blame(world, V_DOCUMENT, "cloud v%llu of %llu %s, device %s (seen %llu, taken %d, %s)",
                  (unsigned long long)cloud.version, (unsigned long long)as_of,
                  cloud.exists ? cloud.data.data : "none", local.exists ? local.doc.data : "none",
                  (unsigned long long)local.seen, asked->taken, sb_code_name(asked->err.code));
    outbox_document_fini(&local);
    sb_document_free(&cloud);
}

/* What is in force is always a document. */
static void check_document_whole(struct world *world, struct sim_edge *edge)
{
    const struct sb_json_limits limits = {SB_RECORD_MAX_BYTES, SB_JSON_MAX_DEPTH,
                                          SB_JSON_MAX_NODES};
    struct outbox_document local;
    struct sb_err err;

    sim_must(world, outbox_document_get(edge->ob, &settings, &local, &err), &err, "settings_get");
    if (local.exists && sb_json_check(sb_buf_span(&local.doc), &limits, NULL, &err) < 0)
        sim_blame(world, V_DOCUMENT, "%c: not a document: %s", edge->name, err.msg);
    outbox_document_fini(&local);
}

static void check_document(struct world *world, struct sim_edge *edge)
{
    struct asked asked = {.done = false};
    struct sb_err err;

    check_document_whole(world, edge);
    sim_must(world,
             edge_read(edge->core, SIM_USER, SB_TABLE_SETTINGS, "", 60000, sim_edge_now(edge),
                       answered, &asked, &err),
             &err, "edge_read");
    for (int i = 0; i < 200 && !asked.done; i++) {
        if (!edge->connected)
            sim_edge_connect(edge);
        sim_pass(world, 300);
        sim_edge_tick(edge);
        sim_deliver(world, 100);
    }
    compare_documents(world, edge, &asked);
}

/* ---- all of it ---- */

static void check_unintended(struct world *world)
{
    if (world->notes[NOTE_FORK] == 0 &&
        (sim_cloud_branched(world) > 0 || sim_db_branches(world->cloud.base.db) > 0 ||
         sim_epochs(world) > 0))
        sim_blame(world, V_UNINTENDED, "a branch or a new epoch without roll-back or clone");
    if (world->notes[NOTE_RESTORE] == 0 && sim_restored(world) > 0)
        sim_blame(world, V_UNINTENDED, "everything sent again without a restore");
}

void sim_check(struct world *world, uint64_t epochs_before, bool settled_down)
{
    struct fates fates;

    gather(world, &fates);
    check_doubles(world, &fates);
    for (size_t i = 0; i < world->edge_count; i++) {
        struct sim_edge *edge = world->edges[i];

        for (size_t k = 0; k < edge->disk.count; k++)
            check_entry(world, edge, &edge->disk.log[k], &fates.of[edge->disk.log[k].payload],
                        settled_down);
        check_order(world, edge, &fates);
        audit_edge(world, edge);
    }
    check_unintended(world);
    if (sim_epochs(world) - epochs_before > 12)
        sim_blame(world, V_EPOCHS, "%llu epochs after the faults",
                  (unsigned long long)(sim_epochs(world) - epochs_before));
    if (settled_down && world->violations[V_AUDIT] == 0) {
        verify(world);
        for (size_t i = 0; world->mix->documents && i < world->edge_count; i++)
            check_document(world, world->edges[i]);
    }
    free(fates.of);
}

/* ---- DEADEND: what was mended can be retried away ---- */

struct letters {
    struct world *world;
    struct sim_edge *edge;
    int64_t ids[1024];
    size_t count;
    bool holed; /* only operations that a hole covers */
    bool blame;
};

static int take_letter(void *ctx, const struct outbox_dead *dead)
{
    struct letters *letters = ctx;
    struct sim_stream known;

    if (letters->holed && dead->code != SB_EDECLARED_HOLE)
        return 0;
    if (letters->count < sizeof(letters->ids) / sizeof(letters->ids[0]))
        letters->ids[letters->count++] = dead->id;
    if (!letters->blame)
        return 0;
    sim_db_stream(letters->world->cloud.base.db, dead->epoch, dead->stream, &known);
    if (!sb_ranges_has(&known.dropped, dead->seq))
        sim_blame(letters->world, V_DEADEND, "%c %s %s %llu: %s", letters->edge->name, dead->epoch,
                  dead->stream, (unsigned long long)dead->seq, sb_code_name(dead->code));
    sim_stream_free(&known);
    return 0;
}

static void list_letters(struct world *world, struct sim_edge *edge, struct letters *letters)
{
    struct sb_err err;

    letters->world = world;
    letters->edge = edge;
    letters->count = 0;
    sim_must(world, outbox_dead_list(edge->ob, 0, false, take_letter, letters, &err), &err,
             "dead_list");
}

/* An operation that another timeline's purged hole covers gets the next number with each retry and
 * is evaluated behind the hole. */
#define RETRIES 12

static bool retry_letters(struct world *world, struct letters *letters)
{
    bool any = false;

    for (size_t i = 0; i < world->edge_count; i++) {
        list_letters(world, world->edges[i], letters);
        for (size_t k = 0; k < letters->count; k++)
            any |= sim_edge_retry(world->edges[i], letters->ids[k]);
    }
    return any;
}

void sim_check_dead_letters(struct world *world)
{
    struct letters letters = {.blame = false};

    if (!world->fixed) {
        world->fixed = true;
        sim_cloud_restart(world, true);
    }
    for (int i = 0; i < RETRIES && retry_letters(world, &letters); i++) {
        if (!sim_settle_down(world))
            sim_blame(world, V_LIVELOCK, "something is left after the dead letters were retried");
        letters.holed = true;
    }
    letters.holed = false;
    letters.blame = true;
    for (size_t i = 0; i < world->edge_count; i++)
        list_letters(world, world->edges[i], &letters);
}
