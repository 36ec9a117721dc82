/* One or two ingests on one database. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cloud_ingest/store_read.h"
#include "common/check.h"
#include "sim_docs.h"

#define RECORD_BYTES 200 /* taken of a document until `fix` */

/* ---- once per process: a database with its tables, and the mappings ---- */

static const char narrow_text[] =
    "{\"type\":\"" SIM_TYPE "\",\"columns\":[{\"name\":\"v\",\"type\":\"integer\"},"
    "{\"name\":\"x\",\"type\":\"number\",\"max\":100}]}";
static const char wide_text[] =
    "{\"type\":\"" SIM_TYPE "\",\"columns\":[{\"name\":\"v\",\"type\":\"integer\"},"
    "{\"name\":\"x\",\"type\":\"number\"}]}";

static struct mapping_set *narrow, *wide;
static struct sim_db *template;
static struct tables *tables[SB_POLICY_MANUAL + 1]; /* by policy */

static struct mapping_set *mappings_of(const char *text)
{
    struct mapping_set *set = mapping_set_new();

    SB_CHECK(mapping_set_add(set, sb_span_of(text), NULL) == 0);
    return set;
}

static int open_store(const struct sim_db *db, const struct mapping_set *mappings,
                      struct store **store, struct sb_err *err)
{
    const struct store_options options = {.mode = STORE_OWN,
                                          .busy_timeout_ms = 1,
                                          .cache_kib = 1024,
                                          .volatile_ok = true,
                                          .mappings = mappings};

    return store_open(sim_db_uri(db), &options, store, err);
}

const struct tables *sim_tables(enum sb_policy policy)
{
    return tables[policy];
}

static void make_tables(void)
{
    static const char *const names[] = {SB_TABLE_SETTINGS, SIM_TABLE_A, SIM_TABLE_B};

    for (int policy = SB_POLICY_MERGE; policy <= SB_POLICY_MANUAL; policy++) {
        tables[policy] = tables_new();
        for (int i = 0; i < 3; i++)
            SB_CHECK(tables_declare(tables[policy], names[i], (enum sb_policy)policy, NULL) == 0);
    }
}

void sim_templates_make(void)
{
    struct store *store;

    make_tables();
    narrow = mappings_of(narrow_text);
    wide = mappings_of(wide_text);
    template = sim_db_new();
    SB_CHECK(open_store(template, narrow, &store, NULL) == 0);
    SB_CHECK(store_grant(store, SIM_DEVICE, SIM_USER, 0, NULL) == 0);
    SB_CHECK(store_grant(store, SIM_WRITER, SIM_USER, 0, NULL) == 0);
    for (size_t i = 0; i < SIM_EDGES; i++)
        for (size_t user = 0; user < DOCS_USERS; user++)
            if (i > 0 || user > 0)
                SB_CHECK(store_grant(store, sim_docs_device(i), sim_docs_user(user), 0, NULL) == 0);
    store_close(store);
}

void sim_templates_free(void)
{
    for (int policy = SB_POLICY_MERGE; policy <= SB_POLICY_MANUAL; policy++)
        tables_free(tables[policy]);
    sim_db_free(template);
    sim_disk_template_free();
    mapping_set_free(narrow);
    mapping_set_free(wide);
}

/* ---- the database and what retention took from it ---- */

struct base sim_base_copy(const struct base *base)
{
    struct base copy = {.db = sim_db_copy(base->db), .count = base->count};

    copy.dropped = sb_xcalloc(base->count + 1, sizeof(*copy.dropped));
    if (base->count > 0)
        memcpy(copy.dropped, base->dropped, base->count * sizeof(*copy.dropped));
    return copy;
}

void sim_base_free(struct base *base)
{
    sim_db_free(base->db);
    free(base->dropped);
    *base = (struct base){0};
}

bool sim_base_dropped(const struct base *base, uint64_t payload)
{
    for (size_t i = 0; i < base->count; i++)
        if (base->dropped[i] == payload)
            return true;
    return false;
}

/* ---- the link ---- */

static void keep_presence(struct sim_ingest *ingest, struct sb_span payload)
{
    sb_buf_clear(&ingest->presence);
    sb_buf_add_span(&ingest->presence, payload);
}

static int publish(struct sb_link *link, const struct sb_link_message *message, uint32_t *token,
                   struct sb_err *err)
{
    struct sim_ingest *ingest =
        (struct sim_ingest *)((char *)link - offsetof(struct sim_ingest, link));

    if (!ingest->connected)
        return sb_fail(err, SB_ECLOSED, "not connected");
    if (sim_chance(ingest->world, F_JAM))
        return sb_fail(err, SB_EBUSY, "the window is full");
    if (!sim_fuse_effect(&ingest->fuse))
        return sb_fail(err, SB_ECLOSED, "the process has ended");
    if (message->retain)
        keep_presence(ingest, message->payload);
    sim_net_put(ingest->world, message);
    if (token != NULL)
        *token = ++ingest->tokens;
    return 0;
}

static void drop(struct sb_link *link)
{
    (void)link; /* an ingest never asks for it */
}

/* ---- faults of the cloud's own ---- */

static uint64_t payload_of(const struct sb_batch *batch, size_t i)
{
    const struct sb_record *record = &batch->records[i];
    struct sb_span value = {NULL, 0}, document;
    uint64_t payload = 0;

    if (batch->form == SB_FORM_ROWS)
        value = batch->cells[record->first_cell + 1].text;
    else if (!sb_json_get(record->text, "settings", &document))
        sb_json_get(record->text, "payload", &value);
    else if (sb_json_type_of(document) == SB_JSON_OBJECT) /* it may be encrypted */
        sb_json_get(document, "v", &value);
    return value.len > 0 && sb_json_u64(value, &payload) ? payload : 0;
}

static int fault(void *ctx, const struct sb_batch *batch)
{
    struct world *world = ctx;

    for (size_t i = 0; i < batch->record_count && !world->quiet && world->mix->devices == 0; i++)
        if (sim_marks(world, payload_of(batch, i)) & MARK_POISON)
            return SB_EINTERNAL;
    if (sim_chance(world, F_BUSY))
        return SB_EBUSY;
    if (sim_chance(world, F_INTERNAL))
        return SB_EINTERNAL;
    if (batch->record_count > 1 && sim_chance(world, F_LIMIT))
        return SB_ELIMIT;
    return 0;
}

/* ---- life ---- */

static void start_one(struct world *world, unsigned i)
{
    const struct sb_link_event up = {.kind = SB_LINK_UP};
    struct sim_ingest *ingest = &world->cloud.ingests[i];
    struct ingest_config config = world->ingest_config;
    const struct mapping_set *mappings = world->fixed ? wide : narrow;
    struct sb_err err;

    ingest->world = world;
    ingest->n = i + 1;
    ingest->link = (struct sb_link){publish, drop};
    ingest->fuse = (struct fuse){.left = -1, .rng = &world->rng};
    config.n = i + 1;
    config.limits.max_record_bytes = world->fixed ? SB_RECORD_MAX_BYTES : RECORD_BYTES;
    config.fault = fault;
    config.fault_ctx = world;
    sim_must(world, open_store(world->cloud.base.db, mappings, &ingest->store, &err), &err,
             "store_open");
    sim_must(world,
             ingest_new(&config, ingest->store, mappings, &ingest->link, &ingest->rng, world->now,
                        &ingest->core, &err),
             &err, "ingest_new");
    ingest->fuse.fail = sim_chance_of(world, F_CLOUDFULL);
    sim_db_guard_store(ingest->store, &ingest->fuse);
    ingest->connected = true;
    sim_say(world, "ingest %u starts, boot %s", i + 1, ingest_boot(ingest->core));
    ingest_event(ingest->core, &up, world->now);
}

static void stop_one(struct world *world, unsigned i)
{
    struct sim_ingest *ingest = &world->cloud.ingests[i];
    struct ingest_counters counters;

    ingest_counters(ingest->core, &counters);
    world->cloud.branched += counters.branched;
    ingest_free(ingest->core);
    store_close(ingest->store);
}

void sim_cloud_start(struct world *world)
{
    struct sim_cloud *cloud = &world->cloud;

    *cloud = (struct sim_cloud){.world = world, .count = world->mix->twin == TWIN_NONE ? 1 : 2};
    cloud->base.db = sim_db_copy(template);
    for (unsigned i = 0; i < cloud->count; i++) {
        sb_rng_seed(&cloud->ingests[i].rng, sb_rng_u64(&world->rng));
        start_one(world, i);
    }
}

void sim_cloud_stop(struct world *world)
{
    for (unsigned i = 0; i < world->cloud.count; i++) {
        stop_one(world, i);
        sb_buf_free(&world->cloud.ingests[i].presence);
    }
    sim_base_free(&world->cloud.base);
}

/* The broker publishes the Last Will of the one that ended, or the connection was closed cleanly.
 */
static void publish_will(struct world *world, struct sim_ingest *ingest)
{
    struct sb_link_message will = {.retain = true, .qos = 1};
    char topic[SB_TOPIC_MAX];
    struct sb_buf json = {0};

    if (sim_below(world, 2) == 0)
        return;
    sb_topic_ingest(topic, ingest->n);
    ingest_presence(ingest->core, "lost", world->now, &json);
    will.topic = topic;
    will.payload = sb_buf_span(&json);
    keep_presence(ingest, will.payload);
    sim_net_put(world, &will);
    sb_buf_free(&json);
}

void sim_cloud_restart(struct world *world, bool everyone)
{
    for (unsigned i = everyone ? 0 : world->cloud.count - 1; i < world->cloud.count; i++) {
        publish_will(world, &world->cloud.ingests[i]);
        stop_one(world, i);
        start_one(world, i);
    }
}

uint64_t sim_cloud_branched(struct world *world)
{
    uint64_t branched = world->cloud.branched;
    struct ingest_counters counters;

    for (unsigned i = 0; i < world->cloud.count; i++) {
        ingest_counters(world->cloud.ingests[i].core, &counters);
        branched += counters.branched;
    }
    return branched;
}

/* ---- messages ---- */

static void flush_one(struct world *world, struct sim_ingest *ingest)
{
    struct sb_err err;

    ingest_flush(ingest->core, world->now, &err);
}

static void take_one(struct world *world, struct sim_ingest *ingest,
                     const struct sb_link_event *event)
{
    const struct sb_link_event acked = {.kind = SB_LINK_PUBLISHED};

    if (!ingest->connected)
        return;
    ingest_event(ingest->core, event, world->now);
    if (world->quiet || sim_below(world, 10) < 7) {
        flush_one(world, ingest);
        ingest_event(ingest->core, &acked, world->now);
    }
}

void sim_cloud_take(struct world *world, const struct sb_link_event *event)
{
    struct sim_cloud *cloud = &world->cloud;

    switch (world->mix->twin) {
    case TWIN_NONE:
        take_one(world, &cloud->ingests[0], event);
        return;
    case TWIN_BOTH: /* the foreign one answers first */
        take_one(world, &cloud->ingests[0], event);
        take_one(world, &cloud->ingests[1], event);
        return;
    case TWIN_ALTERNATE:
        cloud->turn ^= 1;
        take_one(world, &cloud->ingests[cloud->turn], event);
        return;
    }
}

void sim_cloud_flush(struct world *world)
{
    for (unsigned i = 0; i < world->cloud.count; i++)
        flush_one(world, &world->cloud.ingests[i]);
    sim_look(world);
}

bool sim_cloud_connected(const struct world *world)
{
    for (unsigned i = 0; i < world->cloud.count; i++)
        if (world->cloud.ingests[i].connected)
            return true;
    return false;
}

void sim_cloud_connect(struct world *world, bool connected)
{
    const struct sb_link_event event = {.kind = connected ? SB_LINK_UP : SB_LINK_DOWN};

    for (unsigned i = 0; i < world->cloud.count; i++) {
        struct sim_ingest *ingest = &world->cloud.ingests[i];

        if (ingest->connected == connected)
            continue;
        sim_say(world, "ingest %u %s", i + 1, connected ? "connected" : "disconnected");
        if (!connected)
            publish_will(world, ingest);
        ingest->connected = connected;
        ingest_event(ingest->core, &event, world->now);
    }
}

bool sim_cloud_waiting(struct world *world)
{
    struct ingest_counters counters;

    for (unsigned i = 0; i < world->cloud.count; i++) {
        ingest_counters(world->cloud.ingests[i].core, &counters);
        if (counters.waiting_messages > 0 || counters.waiting_replies > 0)
            return true;
    }
    return false;
}

/* ---- bindings: by the command line, on the database of a running ingest ---- */

void sim_cloud_bind(struct world *world, bool bound)
{
    const struct store_options options = {.mode = STORE_ADMIN, .volatile_ok = true};
    struct store *store;
    struct sb_err err;

    sim_must(world, store_open(sim_db_uri(world->cloud.base.db), &options, &store, &err), &err,
             "store_open");
    if (bound)
        sim_must(world, store_grant(store, SIM_DEVICE, SIM_USER, 0, &err), &err, "store_grant");
    else
        store_ungrant(store, SIM_DEVICE, SIM_USER, &err); /* a restored database may have none */
    store_close(store);
    sim_say(world, "binding %s", bound ? "granted" : "taken away");
}

/* ---- tombstones ---- */

void sim_cloud_purge_tombstones(struct world *world)
{
    const struct store_options options = {.mode = STORE_ADMIN, .volatile_ok = true};
    struct store *store;
    struct sb_err err;
    int gone = 0;

    sim_must(world, store_open(sim_db_uri(world->cloud.base.db), &options, &store, &err), &err,
             "store_open");
    sim_must(world, store_begin(store, &err), &err, "begin");
    sim_must(world, store_tombstones_purge(store, INT64_MAX, 100, &gone, &err), &err, "purge");
    sim_must(world, store_commit(store, &err), &err, "commit");
    store_close(store);
    sim_say(world, "CLOUD purges %d tombstones", gone);
}

/* ---- retention ---- */

struct victims {
    struct sim_row *at;
    size_t count;
};

static void add_victim(void *ctx, const struct sim_row *row)
{
    struct victims *victims = ctx;

    if (row->version > 0)
        return;
    victims->at = sb_xrealloc(victims->at, (victims->count + 1) * sizeof(*victims->at));
    victims->at[victims->count++] = *row;
}

static void drop_row(struct world *world, const struct sim_row *row)
{
    struct base *base = &world->cloud.base;
    struct sb_err err;

    if (store_drop_record(world->cloud.ingests[world->cloud.count - 1].store, SIM_DEVICE,
                          row->epoch, row->stream, row->branch, row->seq, &err) < 0)
        return;
    base->dropped = sb_xrealloc(base->dropped, (base->count + 1) * sizeof(*base->dropped));
    base->dropped[base->count++] = row->payload;
    sim_say(world, "RETENTION %s %s %llu: %llu", row->epoch, row->stream,
            (unsigned long long)row->seq, (unsigned long long)row->payload);
}

void sim_cloud_retention(struct world *world)
{
    struct victims victims = {0};

    sim_db_rows(world->cloud.base.db, add_victim, &victims);
    for (size_t i = 0; i < victims.count; i++)
        if (sim_below(world, 2) == 0)
            drop_row(world, &victims.at[i]);
    free(victims.at);
}
