/* Looks at both ends after every effect: writes down what is new and judges it at once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "sim_docs.h"

static bool policy_decides(const struct world *world)
{
    return world->mix->policy == SB_POLICY_LATEST || world->mix->policy == SB_POLICY_SERVER ||
           world->mix->policy == SB_POLICY_LOCAL;
}

/* Nobody else has ever written this document, so there was nobody to conflict with. */
static void self_conflict(struct world *world, const struct meant *op, const char *where)
{
    unsigned writers = world->book->writers[op->doc];

    if ((writers & (writers - 1)) == 0 && !world->book->holed[op->doc] && !world->book->rolled_back)
        sim_blame(world, V_SELFCONFLICT, "%s on document %zu, at the %s", op->id, op->doc, where);
}

/* ---- a device: its new operations ---- */

struct looking {
    struct world *world;
    struct sim_edge *edge;
    size_t index;
    size_t *merged; /* operations that the device has merged since the last look */
    size_t merged_count;
};

static void read_field(struct sb_span object, const char *key, char *out, size_t size)
{
    struct sb_span value;

    if (sb_json_get(object, key, &value) && value.len >= 2 && value.len - 2 < size)
        snprintf(out, size, SB_SPAN_FMT, (int)value.len - 2, value.data + 1);
}

static void read_body(struct meant *op, struct sb_span body)
{
    struct sb_span base, data;

    if (sb_json_get(body, "base", &base) && sb_json_type_of(base) == SB_JSON_OBJECT) {
        read_field(base, "op_id", op->base_op, sizeof(op->base_op));
        read_field(base, "tag", op->base_tag, sizeof(op->base_tag));
    }
    read_field(body, "hlc", op->hlc, sizeof(op->hlc));
    if (sb_json_get(body, "settings", &data) || sb_json_get(body, "data", &data))
        sim_docs_open_text(data, &op->submitted);
}

/* What the merging of operations may have changed: what their authors meant, and what a policy gave
 * to them. Runs of operations, each made on the one before it, were merged as one. */
static void add_roots(struct looking *look, struct meant *op, struct sb_span server)
{
    struct book *book = look->world->book;
    size_t first = 0;

    for (size_t i = 0; i < op->root_count; i++) {
        const struct meant *root = &book->ops[op->roots[i]];
        struct places decided = {0};
        bool ends =
            i + 1 == op->root_count || strcmp(book->ops[op->roots[i + 1]].base_op, root->id) != 0;

        sim_places_add_all(&op->edited, &root->edited);
        if (!ends)
            continue;
        if (policy_decides(look->world))
            sim_undecided(sb_buf_span(&book->ops[op->roots[first]].before),
                          sb_buf_span(&root->submitted), server, &decided);
        if (decided.count > 0) {
            book->overruled[op->doc] = true;
            self_conflict(look->world, root, "device's policy");
        }
        sim_places_add_all(&op->edited, &decided);
        sim_places_free(&decided);
        first = i + 1;
    }
}

static void take_roots(struct looking *look, struct meant *op)
{
    for (size_t i = 0; i < look->merged_count; i++) {
        if (look->world->book->ops[look->merged[i]].doc != op->doc)
            continue;
        op->roots = sb_xgrow(op->roots, op->root_count, sizeof(*op->roots));
        op->roots[op->root_count++] = look->merged[i];
    }
}

/* An edit of a person changes what was on the device; a merging operation stands on the cloud's
 * document, or, where that is gone, is the whole local one. */
static void understand(struct looking *look, struct meant *op)
{
    const struct book *book = look->world->book;

    take_roots(look, op);
    if (op->root_count == 0) {
        sb_buf_add_span(&op->before, sb_buf_span(&book->shown[look->index][op->doc]));
        sim_changed(sb_buf_span(&op->before), sb_buf_span(&op->submitted), &op->edited);
        return;
    }
    sb_buf_add_span(&op->before, sim_book_base(book, op));
    if (op->base_tag[0] == '\0')
        sim_places_add(&op->edited, "");
    add_roots(look, op, sb_buf_span(&op->before));
}

static void take_row(void *ctx, const struct made_op *row)
{
    struct looking *look = ctx;
    struct world *world = look->world;
    struct sb_buf local = {0};
    struct meant *op;

    if (sim_book_find(world->book, row->op_id) != NULL)
        return;
    SB_CHECK(row->doc < DOCS_MAX);
    op = sim_book_add(world->book, row->op_id);
    op->author = look->index;
    op->doc = row->doc;
    op->seq = row->seq;
    snprintf(op->epoch, sizeof(op->epoch), "%s", row->epoch);
    read_body(op, row->body);
    understand(look, op);
    world->book->writers[op->doc] |= 1U << look->index;
    world->figures[FIGURE_OPERATIONS]++;
    world->figures[FIGURE_MERGES] += op->root_count > 0;
    sim_docs_local(look->edge, op->doc, &local);
    if (!sb_span_eq(sb_buf_span(&local), sb_buf_span(&op->submitted)))
        sim_blame(world, V_VANISHED, "%c %s: what was submitted is not what is shown",
                  look->edge->name, op->id);
    sim_say(world, "  %c makes %s of document %zu, base %s%s: %s%s", look->edge->name, op->id,
            op->doc, op->base_op, op->base_tag,
            op->submitted.len > 0 ? op->submitted.data : "DELETED",
            op->root_count > 0 ? " (merging)" : "");
    sb_buf_free(&local);
}

/* ---- a device: what was answered conflict, and what was given up ---- */

static void take_fate(void *ctx, struct sb_span op_id, enum fate fate)
{
    struct looking *look = ctx;
    struct world *world = look->world;
    struct meant *op = sim_book_find(world->book, op_id);

    if (op == NULL) {
        sim_blame(world, V_BROKEN, "%c has a conflict of " SB_SPAN_FMT ", which nobody made",
                  look->edge->name, SB_SPAN_ARG(op_id));
        return;
    }
    if (op->fate == fate)
        return;
    sim_say(world, "  %c %s is %s", look->edge->name, op->id,
            fate == FATE_WAITING  ? "in conflict"
            : fate == FATE_MERGED ? "merged"
            : fate == FATE_RECORD ? "in an open conflict"
                                  : "decided");
    if (fate == FATE_MERGED) {
        look->merged = sb_xgrow(look->merged, look->merged_count, sizeof(*look->merged));
        look->merged[look->merged_count++] = (size_t)(op - world->book->ops);
    }
    if (fate == FATE_RECORD) {
        world->figures[FIGURE_OPENED]++;
        self_conflict(world, op, "device");
    }
    op->fate = fate;
}

static void stream_name(const struct world *world, const struct meant *op,
                        char out[SB_STREAM_MAX + 1])
{
    struct doc_id name;

    sim_docs_name(world, op->doc, &name);
    snprintf(out, SB_STREAM_MAX + 1, "%s/%s",
             strcmp(name.table, SB_TABLE_SETTINGS) == 0 ? "settings" : "records", name.user);
}

/* A purged operation becomes a hole; one that was answered conflict has its fate already. */
static void take_hole(void *ctx, const struct declared_hole *hole)
{
    struct looking *look = ctx;
    struct book *book = look->world->book;

    for (size_t i = 0; i < book->count; i++) {
        struct meant *op = &book->ops[i];
        char stream[SB_STREAM_MAX + 1];

        if (op->author != look->index || op->holed || op->fate != FATE_PENDING ||
            op->seq < hole->lo || op->seq > hole->hi || strcmp(op->epoch, hole->epoch) != 0)
            continue;
        stream_name(look->world, op, stream);
        if (strcmp(stream, hole->stream) != 0)
            continue;
        op->holed = true;
        book->holed[op->doc] = true;
        sim_say(look->world, "  %c gives up %s", look->edge->name, op->id);
    }
}

static void watch_edge(struct world *world, size_t i)
{
    struct looking look = {.world = world, .edge = world->edges[i], .index = i};
    uint64_t state = sim_docs_state(look.edge->disk.db);

    if (state == world->book->edge_state[i])
        return;
    world->book->edge_state[i] = state;
    sim_docs_answered(look.edge, take_fate, &look);
    sim_docs_rows(look.edge, take_row, &look);
    sim_docs_holes(look.edge, take_hole, &look);
    for (size_t doc = 0; doc < sim_docs_count(world); doc++)
        sim_docs_local(look.edge, doc, &world->book->shown[i][doc]);
    free(look.merged);
}

/* ---- the cloud ---- */

struct deciding {
    struct world *world;
    struct meant *op;
};

/* A member is set again below what is no object any more, or gone: that one is made an object. */
static void add_made(struct places *places, struct sb_span prior, const char *place)
{
    for (const char *at = strchr(place + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        char *above = sb_xstrndup(place, (size_t)(at - place));
        struct sb_span value = sim_at(prior, above);

        if (value.len == 0 || value.data[0] != '{')
            sim_places_add(places, above);
        free(above);
    }
}

/* What operators have said of this document: the members of a losing edit, or a text of theirs. */
static void add_decision(void *ctx, const struct cloud_conflict *conflict)
{
    struct deciding *deciding = ctx;
    const struct meant *lost = sim_book_find(deciding->world->book, conflict->op_id);

    if (conflict->doc != deciding->op->doc || strcmp(conflict->by, SIM_OPERATOR) != 0 ||
        lost == NULL)
        return;
    if (strcmp(conflict->resolution, "merge") == 0)
        sim_places_add(&deciding->op->edited, "");
    if (strcmp(conflict->resolution, "local") != 0)
        return;
    sim_places_add_all(&deciding->op->edited, &lost->edited);
    for (size_t i = 0; i < lost->edited.count; i++)
        if (lost->edited.at[i][0] != '\0')
            add_made(&deciding->op->edited, sb_buf_span(&deciding->op->before), lost->edited.at[i]);
}

static struct meant *operator_op(struct world *world, const struct cloud_version *made,
                                 struct sb_span prior, struct sb_span result)
{
    struct meant *op = sim_book_add(world->book, made->op_id);
    struct deciding deciding = {world, op};

    op->author = DOCS_OPERATOR;
    op->doc = made->doc;
    if (prior.len == 0)
        sim_places_add(&op->edited, ""); /* set again on a document that is not there any more */
    sb_buf_add_span(&op->before, prior);
    sb_buf_add_span(&op->submitted, result);
    sim_docs_conflicts(world, 0, add_decision, &deciding);
    world->book->writers[op->doc] |= 1U << DOCS_OPERATOR;
    return op;
}

static void check_reverts(struct world *world, const struct meant *op, struct sb_span prior,
                          struct sb_span result, const struct places *decided)
{
    struct places changes = {0};

    sim_changed(prior, result, &changes);
    if (op->given_up && changes.count > 0)
        sim_blame(world, V_REVERT, "%s was given up in a conflict and is back", op->id);
    for (size_t i = 0; i < changes.count; i++)
        if (!sim_inside_any(changes.at[i], &op->edited) &&
            !sim_inside_any(changes.at[i], decided)) {
            struct sb_span from = sim_at(prior, changes.at[i]), to = sim_at(result, changes.at[i]);

            sim_blame(world, V_REVERT, "%s \"%s\" " SB_SPAN_FMT " -> " SB_SPAN_FMT, op->id,
                      changes.at[i], SB_SPAN_ARG(from), SB_SPAN_ARG(to));
        }
    sim_places_free(&changes);
}

static void check_own_version(struct world *world, const struct meant *op, struct sb_span result,
                              const struct places *decided)
{
    struct places changes = {0};
    struct sb_span submitted = sb_buf_span(&op->submitted);

    sim_changed(sb_buf_span(&op->before), submitted, &changes);
    for (size_t i = 0; i < changes.count; i++)
        if (!sim_related(changes.at[i], decided) &&
            !sim_holds(sim_at(result, changes.at[i]), sim_at(submitted, changes.at[i])))
            sim_blame(world, V_VANISHED, "%s \"%s\" is not in its own version", op->id,
                      changes.at[i]);
    sim_places_free(&changes);
}

static void judge(struct world *world, const struct meant *op, struct sb_span prior,
                  struct sb_span result)
{
    struct places decided = {0};

    if (policy_decides(world) && op->author != DOCS_OPERATOR)
        sim_undecided(sim_book_base(world->book, op), sb_buf_span(&op->submitted), prior, &decided);
    if (decided.count > 0) {
        world->book->overruled[op->doc] = true;
        self_conflict(world, op, "cloud's policy");
    }
    check_reverts(world, op, prior, result, &decided);
    check_own_version(world, op, result, &decided);
    sim_places_free(&decided);
}

static void take_version(void *ctx, const struct cloud_version *made)
{
    struct world *world = ctx;
    const struct version *before;
    struct sb_buf result = {0};
    struct sb_span prior = SB_SPAN("");
    struct meant *op = sim_book_find(world->book, made->op_id);
    size_t user;

    SB_CHECK(made->doc < DOCS_MAX);
    user = sim_docs_user_of(world, made->doc);
    if (made->version != world->book->lines[user].count + 1)
        sim_blame(world, V_GAP, "version %llu after %zu", (unsigned long long)made->version,
                  world->book->lines[user].count);
    sim_docs_open_text(made->result, &result);
    before = sim_book_before(world, made->doc, made->version);
    if (before != NULL)
        prior = sb_buf_span(&before->result);
    sim_say(world, "    version %llu of document %zu by " SB_SPAN_FMT ": %s",
            (unsigned long long)made->version, made->doc, SB_SPAN_ARG(made->op_id),
            result.len > 0 ? result.data : "DELETED");
    if (op == NULL && strcmp(made->device, SIM_OPERATOR) == 0)
        op = operator_op(world, made, prior, sb_buf_span(&result));
    if (op == NULL) {
        sim_blame(world, V_BROKEN, "version %llu by nobody", (unsigned long long)made->version);
    } else {
        world->figures[FIGURE_VERSIONS]++;
        judge(world, op, prior, sb_buf_span(&result));
        sim_book_version(world->book, user, op, made, sb_buf_span(&result));
    }
    sb_buf_free(&result);
}

static void take_conflict(void *ctx, const struct cloud_conflict *conflict)
{
    struct world *world = ctx;
    const struct meant *op = sim_book_find(world->book, conflict->op_id);

    world->book->conflicts = conflict->id;
    sim_say(world, "    conflict %lld of " SB_SPAN_FMT " %s", (long long)conflict->id,
            SB_SPAN_ARG(conflict->op_id), conflict->code);
    if (op == NULL)
        sim_blame(world, V_BROKEN, "conflict %lld by nobody", (long long)conflict->id);
    else if (conflict->code[0] == '\0')
        self_conflict(world, op, "cloud");
}

static void watch_user(struct world *world, size_t user)
{
    struct timeline *line = &world->book->lines[user];
    struct cursor_row counter;

    sim_docs_counter(world, user, &counter);
    if (counter.version < line->count)
        sim_book_truncate(world->book, user, counter.version);
    sim_docs_versions(world, user, line->count, take_version, world);
    sim_docs_counter(world, user, &counter);
    if (counter.version != line->count ||
        (line->count > 0 && strcmp(line->at[line->count - 1].tag, counter.tag) != 0))
        sim_blame(world, V_GAP, "the counter of %s is %llu %s, the last version %zu",
                  sim_docs_user(user), (unsigned long long)counter.version, counter.tag,
                  line->count);
}

static void watch_cloud(struct world *world)
{
    uint64_t state = sim_docs_state(world->cloud.base.db);
    int64_t newest;

    if (state == world->book->cloud_state)
        return;
    world->book->cloud_state = state;
    for (size_t user = 0; user < sim_docs_users(world); user++)
        watch_user(world, user);
    newest = sim_docs_newest_conflict(world);
    if (newest < world->book->conflicts)
        world->book->conflicts = newest; /* it was restored */
    sim_docs_conflicts(world, world->book->conflicts, take_conflict, world);
}

void sim_docs_rolled_back(const struct sim_edge *edge)
{
    struct book *book = edge->world->book;

    book->rolled_back = true;
    for (size_t i = 0; i < book->count; i++)
        if (book->ops[i].author == (size_t)(edge->name - 'A')) {
            book->ops[i].fate = FATE_PENDING;
            book->ops[i].lost = !sim_docs_knows(edge, book->ops[i].id);
        }
    sim_docs_watch(edge->world);
}

void sim_docs_watch(struct world *world)
{
    for (size_t i = 0; i < world->edge_count; i++)
        watch_edge(world, i);
    watch_cloud(world);
}
