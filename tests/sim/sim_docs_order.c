/* ORDER_DEPENDENCE: two devices edit the same document without knowing of each other; whoever comes
 * first, it ends the same. Between them a third one may edit it elsewhere. */
#include <string.h>

#include "common/check.h"
#include "sim_docs.h"

struct ending {
    struct places pointers; /* of conflicts, on any device */
    struct sb_buf text;     /* in force, where there are none */
};

static void sit(struct world *world)
{
    for (size_t i = 0; i < world->edge_count; i++)
        sim_edge_disconnect(world->edges[i]);
}

static void first_text(struct world *world)
{
    if (sim_below(world, 5) > 0)
        sim_docs_put(world->edges[sim_below(world, 3)], 0,
                     SB_SPAN("{\"a\":1,\"b/x\":2,\"o\":{\"p\":3,\"q\":4},\"m~n\":{\"z\":null},"
                             "\"k\":0}"));
    if (!sim_docs_settle_down(world, false))
        sim_blame(world, V_LIVELOCK, "the first text is not everywhere");
    sit(world);
}

static void edit(struct world *world, struct sim_edge *edge)
{
    struct sb_buf old = {0}, text = {0};

    sim_pass(world, (int64_t)sim_below(world, 9000));
    sim_docs_local(edge, 0, &old);
    sim_docs_some_edit(world, 0, sb_buf_span(&old), &text);
    if (!sim_same(sb_buf_span(&old), sb_buf_span(&text)))
        sim_docs_put(edge, 0, sb_buf_span(&text));
    sb_buf_free(&old);
    sb_buf_free(&text);
}

static void edit_elsewhere(struct world *world, struct sim_edge *edge)
{
    struct sb_buf old = {0}, text = {0};

    sim_pass(world, 100000);
    sim_docs_local(edge, 0, &old);
    if (old.len > 0) {
        sim_set(sb_buf_span(&old), "/k", SB_SPAN("99"), &text);
        sim_docs_put(edge, 0, sb_buf_span(&text));
    }
    sb_buf_free(&old);
    sb_buf_free(&text);
}

/* This device alone is online for a while. */
static void comes(struct world *world, struct sim_edge *edge)
{
    sim_say(world, "--- %c comes", edge->name);
    sim_edge_connect(edge);
    for (int i = 0; i < 40; i++) {
        sim_pass(world, 300);
        sim_edge_tick(edge);
        sim_deliver(world, 40);
    }
    sit(world);
}

static void add_pointers(struct world *world, const struct sim_edge *edge, struct places *out)
{
    int64_t ids[8];

    for (size_t i = sim_docs_open(edge, ids, 8); i > 0; i--) {
        struct sb_buf pointers = {0};
        struct sb_json_iter iter;
        struct sb_span value;

        sim_docs_open_show(edge, ids[i - 1], NULL, NULL, &pointers);
        sim_say(world, "%c has a conflict at %s", edge->name, pointers.data);
        sb_json_iter_init(&iter, sb_buf_span(&pointers));
        while (sb_json_next_element(&iter, &value)) {
            struct sb_buf pointer = {0};

            sb_buf_add_str(&pointer, "");
            sb_json_unescape(value, &pointer);
            sim_places_add(out, pointer.data);
            sb_buf_free(&pointer);
        }
        sb_buf_free(&pointers);
    }
}

static void reach(struct world *world, int first, struct ending *ending)
{
    bool between = sim_below(world, 2) == 0;

    world->quiet = true; /* the faults are the order alone */
    first_text(world);
    edit(world, world->edges[0]);
    edit(world, world->edges[1]);
    if (between)
        edit_elsewhere(world, world->edges[2]);
    comes(world, world->edges[first]);
    comes(world, world->edges[2]);
    comes(world, world->edges[1 - first]);
    if (!sim_docs_settle_down(world, false))
        sim_blame(world, V_LIVELOCK, "something is left after all fair turns");
    for (size_t i = 0; i < world->edge_count; i++)
        add_pointers(world, world->edges[i], &ending->pointers);
    sim_docs_cloud(world, 0, &ending->text);
    sim_docs_finish(world);
}

static bool same_places(const struct places *a, const struct places *b)
{
    for (size_t i = 0; i < a->count; i++)
        if (!sim_places_have(b, a->at[i]))
            return false;
    return a->count == b->count;
}

static void compare(struct world *world, const struct ending *a, const struct ending *b)
{
    if (!same_places(&a->pointers, &b->pointers))
        sim_blame(world, V_ORDERDEP, "conflicts at %zu places or at %zu others", a->pointers.count,
                  b->pointers.count);
    else if (a->pointers.count == 0 && !sb_span_eq(sb_buf_span(&a->text), sb_buf_span(&b->text)))
        sim_blame(world, V_ORDERDEP, "%s or %s", a->text.len > 0 ? a->text.data : "nothing",
                  b->text.len > 0 ? b->text.data : "nothing");
}

void sim_docs_run_order(struct world *world)
{
    struct world other = {.seed = world->seed, .mix = world->mix, .tracing = world->tracing};
    struct ending endings[2] = {{.text = {0}}, {.text = {0}}};

    reach(world, 0, &endings[0]);
    sim_begin(&other);
    reach(&other, 1, &endings[1]);
    sim_say(world, "--- the other order");
    sb_buf_add_span(&world->trace, sb_buf_span(&other.trace));
    for (int i = 0; i < V_COUNT; i++)
        world->violations[i] += other.violations[i];
    for (int i = 0; i < FIGURE_COUNT; i++)
        world->figures[i] += other.figures[i];
    compare(world, &endings[0], &endings[1]);
    sim_world_free(&other);
    for (int i = 0; i < 2; i++) {
        sim_places_free(&endings[i].pointers);
        sb_buf_free(&endings[i].text);
    }
}
