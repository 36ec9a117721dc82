/* What people do with documents: edits, decisions, a look at what is new. */
#include <stdio.h>
#include <string.h>

#include "common/check.h"
#include "edge_agent/enqueue.h"
#include "sim_docs.h"

/* ---- texts ---- */

/* Mostly a value that was never used before; a null, an array, an object, or one that others use
 * too, in either of two spellings. */
static void print_value(struct world *world, struct sb_buf *out)
{
    unsigned long long number = sim_new_payload(world, 0);
    double kind = sb_rng_unit(&world->rng);

    if (kind < .12)
        sb_buf_add_str(out, "null");
    else if (kind < .25)
        sb_buf_add_fmt(out, "[%llu,{\"b\":1,\"a\":2}]", number);
    else if (kind < .4)
        sb_buf_add_fmt(out, "{\"%s\":%llu}", sim_below(world, 2) == 0 ? "p" : "q", number);
    else if (kind < .85)
        sb_buf_add_fmt(out, "%llu", number);
    else if (kind < .93)
        sb_buf_add_str(out, "-1");
    else
        sb_buf_add_str(out, sim_below(world, 2) == 0 ? "\"same\"" : "\"s\\u0061me\"");
}

void sim_docs_some_edit(struct world *world, size_t doc, struct sb_span old, struct sb_buf *out)
{
    static const char *const places[] = {"/a", "/b~1x", "/o", "/o/p", "/o/q", "/m~0n/z"};
    struct sb_buf text = {0}, value = {0};
    struct doc_id name;

    sim_docs_name(world, doc, &name);
    sb_buf_clear(out);
    if (old.len > 0 && strcmp(name.table, SB_TABLE_SETTINGS) != 0 && sim_chance(world, F_DELETE))
        return;
    sb_buf_add_span(&text, old.len > 0 ? old : SB_SPAN("{}"));
    for (uint64_t i = sim_below(world, 3) == 0 ? 2 : 1; i > 0; i--) {
        sb_buf_clear(&value);
        if (sim_below(world, 8) > 0)
            print_value(world, &value);
        sb_buf_clear(out);
        sim_set(sb_buf_span(&text), places[sim_below(world, 6)], sb_buf_span(&value), out);
        sb_buf_clear(&text);
        sb_buf_add_span(&text, sb_buf_span(out));
    }
    if (sim_below(world, 3) == 0) {
        sb_buf_clear(out);
        sim_reversed(sb_buf_span(&text), out);
    }
    sb_buf_free(&text);
    sb_buf_free(&value);
}

/* ---- edits ---- */

static struct enqueue *begin(struct sim_edge *edge, struct outbox *ob,
                             struct documents_codec *codec)
{
    static const struct enqueue_switches all_on = {true, true, true, true, 0};
    struct enqueue *eq = enqueue_new(ob, &all_on, edge->device);

    sim_docs_codec(edge->world, codec);
    enqueue_set_codec(eq, edge->device, codec);
    return eq;
}

/* A process that ends, or a disk that refuses, may refuse. */
static bool end(struct sim_edge *edge, struct enqueue *eq, const struct outbox *ob, int rc,
                struct sb_err *err)
{
    if (rc == 0)
        rc = enqueue_commit(eq, err);
    if (rc < 0 && !(ob == edge->ob && (edge->fuse.blown || edge->fuse.fail > 0)))
        sim_blame(edge->world, V_BROKEN, "%c: %s", edge->name, err->msg);
    enqueue_free(eq);
    if (rc == 0 && (ob == edge->ob || sim_below(edge->world, 4) > 0)) /* else the poll finds it */
        edge_wake(edge->core);
    return rc == 0;
}

static int name_of(struct sim_edge *edge, size_t doc, struct document_name *name,
                   struct sb_err *err)
{
    struct doc_id id;

    sim_docs_name(edge->world, doc, &id);
    return document_name_make(name, id.user, id.table, id.id, err);
}

void sim_docs_put(struct sim_edge *edge, size_t doc, struct sb_span text)
{
    struct world *world = edge->world;
    struct outbox *ob = sim_below(world, 2) == 0 ? edge->ob : edge->other;
    struct documents_codec codec;
    struct enqueue *eq = begin(edge, ob, &codec);
    struct enqueue_receipt receipt;
    struct document_name name;
    struct sb_err err;
    int rc = name_of(edge, doc, &name, &err);

    if (rc == 0)
        rc = enqueue_document(eq, &name, text.len > 0 ? DOCUMENT_PUT : DOCUMENT_DELETE, text,
                              SB_SPAN(""), sim_edge_now(edge), &edge->rng, &receipt, &err);
    if (end(edge, eq, ob, rc, &err))
        sim_say(world, "%c edits %s " SB_SPAN_FMT, edge->name, name.id,
                SB_SPAN_ARG(text.len > 0 ? text : SB_SPAN("DELETED")));
    sim_docs_watch(world);
}

void sim_docs_edit(struct sim_edge *edge)
{
    struct world *world = edge->world;
    size_t doc = sim_below(world, sim_docs_count(world));
    struct sb_buf old = {0}, text = {0};

    if ((world->mix->reader && edge == world->edges[world->edge_count - 1]) ||
        !sim_docs_bound(world, (size_t)(edge->name - 'A'), sim_docs_user_of(world, doc)))
        return;
    sim_docs_local(edge, doc, &old);
    sim_docs_some_edit(world, doc, sb_buf_span(&old), &text);
    if (!sim_same(sb_buf_span(&old), sb_buf_span(&text)))
        sim_docs_put(edge, doc, sb_buf_span(&text));
    sb_buf_free(&old);
    sb_buf_free(&text);
}

/* ---- decisions ---- */

struct giving_up {
    struct book *book;
};

static void give_up(void *ctx, struct sb_span op_id)
{
    struct giving_up *giving_up = ctx;
    struct meant *op = sim_book_find(giving_up->book, op_id);

    SB_CHECK(op != NULL);
    op->given_up = true;
}

bool sim_docs_resolve(struct sim_edge *edge)
{
    struct world *world = edge->world;
    struct giving_up giving_up = {world->book};
    int64_t ids[16];
    size_t count = sim_docs_open(edge, ids, 16);
    enum sb_choice choice = sim_below(world, 2) == 0 ? SB_CHOICE_LOCAL : SB_CHOICE_SERVER;
    struct documents_codec codec;
    struct enqueue_receipt receipt;
    struct enqueue *eq;
    struct sb_err err;
    int64_t id;
    int rc;

    if (count == 0)
        return false;
    id = ids[sim_below(world, count)];
    eq = begin(edge, edge->ob, &codec);
    rc = enqueue_resolve(eq, id, choice, SB_SPAN(""), sim_edge_now(edge), &edge->rng, &receipt,
                         &err);
    if (end(edge, eq, edge->ob, rc, &err)) {
        sim_say(world, "%c decides conflict %lld: %s", edge->name, (long long)id,
                sb_choice_name(choice));
        if (choice == SB_CHOICE_SERVER)
            sim_docs_open_show(edge, id, give_up, &giving_up, NULL);
    }
    sim_docs_watch(world);
    return true;
}

/* ---- an operator ---- */

struct choosing {
    struct world *world;
    uint64_t seen;
    int64_t id;
    size_t doc;
};

static void choose(void *ctx, const struct cloud_conflict *conflict)
{
    struct choosing *choosing = ctx;

    if (conflict->open && sim_below(choosing->world, ++choosing->seen) == 0) {
        choosing->id = conflict->id;
        choosing->doc = conflict->doc;
    }
}

static void print_decision(struct world *world, const struct choosing *choosing,
                           struct sb_resolve_args *args, struct sb_buf *merged)
{
    struct sb_buf now = {0};

    args->id = (uint64_t)choosing->id;
    args->choice = (enum sb_choice)(SB_CHOICE_LOCAL + sim_below(world, 3));
    sim_docs_cloud(world, choosing->doc, &now);
    if (args->choice == SB_CHOICE_MERGE) {
        sim_docs_some_edit(world, choosing->doc, sb_buf_span(&now), merged);
        args->data = merged->len > 0 ? sb_buf_span(merged) : SB_SPAN("null");
    }
    sb_buf_free(&now);
}

void sim_docs_operate(struct world *world)
{
    struct choosing choosing = {.world = world};
    struct sb_resolve_args args = {.id = 0};
    struct sb_request request = {.op = SB_OP_CONFLICTS_RESOLVE};
    struct sb_buf text = {0}, json = {0}, merged = {0};
    struct sb_link_message message = {.topic = "sb/v1/admin/" SIM_OPERATOR "/req", .qos = 1};

    sim_docs_conflicts(world, 0, choose, &choosing);
    if (choosing.id == 0)
        return;
    print_decision(world, &choosing, &args, &merged);
    sb_resolve_args_encode(&args, &text);
    sb_uuid7(&world->rng, world->now.wall_us, request.id);
    request.args = sb_buf_span(&text);
    sb_request_encode(&request, &json);
    message.payload = sb_buf_span(&json);
    sim_net_put(world, &message);
    sb_buf_free(&text);
    sb_buf_free(&json);
    sb_buf_free(&merged);
}

/* ---- looking ---- */

void sim_docs_sync(struct sim_edge *edge)
{
    struct sb_err err;

    edge_sync(edge->core, NULL, NULL, 0, sim_edge_now(edge), NULL, NULL, &err); /* may be busy */
}
