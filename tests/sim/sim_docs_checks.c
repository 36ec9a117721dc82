/* What must hold of documents when nothing is left to do. */
#include <stdio.h>
#include <string.h>

#include "common/check.h"
#include "sim_docs.h"

static const char *shown(const struct sb_buf *text)
{
    return text->len > 0 ? text->data : "nothing";
}

/* ---- DIVERGE, CURSOR ---- */

static void check_replicas(struct world *world, size_t doc)
{
    size_t user = sim_docs_user_of(world, doc);
    struct sb_buf there = {0}, here = {0};

    sim_docs_cloud(world, doc, &there);
    for (size_t i = 0; i < world->edge_count; i++) {
        sim_docs_local(world->edges[i], doc, &here);
        if (sim_docs_bound(world, i, user) && !sb_span_eq(sb_buf_span(&here), sb_buf_span(&there)))
            sim_blame(world, V_DIVERGE, "document %zu: %c has %s, the cloud %s", doc,
                      world->edges[i]->name, shown(&here), shown(&there));
    }
    sb_buf_free(&there);
    sb_buf_free(&here);
}

static void check_cursor(struct world *world, size_t i, size_t user, const char *table)
{
    struct cursor_row counter, cursor;

    sim_docs_counter(world, user, &counter);
    sim_docs_cursor(world->edges[i], user, table, &cursor);
    if (counter.version != cursor.version || strcmp(counter.tag, cursor.tag) != 0)
        sim_blame(world, V_CURSOR, "%c %s %s: at %llu %s, the cloud at %llu %s",
                  world->edges[i]->name, sim_docs_user(user), table,
                  (unsigned long long)cursor.version, cursor.tag,
                  (unsigned long long)counter.version, counter.tag);
}

static void check_cursors(struct world *world, size_t i)
{
    for (size_t doc = 0; doc < sim_docs_count(world); doc++) {
        struct doc_id name;

        sim_docs_name(world, doc, &name);
        if (sim_docs_bound(world, i, sim_docs_user_of(world, doc)))
            check_cursor(world, i, sim_docs_user_of(world, doc), name.table);
    }
}

/* ---- APPLIED_TWICE, VANISHED ---- */

/* The newest version that an operation made in what is now the history; 0 = none. */
static size_t version_of(const struct world *world, size_t op)
{
    const struct book *book = world->book;
    const struct timeline *line = &book->lines[sim_docs_user_of(world, book->ops[op].doc)];

    for (size_t i = line->count; i > 0; i--)
        if (line->at[i - 1].op == op)
            return i;
    return 0;
}

static void check_twice(struct world *world, const struct timeline *line)
{
    for (size_t i = 0; i < line->count; i++)
        for (size_t k = 0; k < i; k++)
            if (line->at[i].op == line->at[k].op)
                sim_blame(world, V_TWICE, "%s made versions %zu and %zu",
                          world->book->ops[line->at[i].op].id, k + 1, i + 1);
}

/* The newest of those operations behind a merging one that a person made there, by the order in
 * which they were made; 0 = none. */
static size_t newest_root(const struct book *book, const struct meant *op, const char *place)
{
    size_t newest = 0;

    if (op->root_count == 0)
        return place == NULL || sim_related(place, &op->edited) ? (size_t)(op - book->ops) + 1 : 0;
    for (size_t i = 0; i < op->root_count; i++) {
        size_t one = newest_root(book, &book->ops[op->roots[i]], place);

        newest = one > newest ? one : newest;
    }
    return newest;
}

/* An older edit of the same device, applied later, supersedes nothing. */
static bool overtakes(const struct book *book, const struct meant *later, const struct meant *op,
                      const char *place)
{
    size_t newest;

    if (later->author != op->author || !sim_places_have(&op->edited, place))
        return false;
    newest = newest_root(book, later, place);
    return (newest > 0 ? newest : (size_t)(later - book->ops) + 1) < newest_root(book, op, NULL);
}

static bool superseded(const struct world *world, size_t version, const struct meant *op,
                       const char *place)
{
    const struct book *book = world->book;
    const struct timeline *line = &book->lines[sim_docs_user_of(world, op->doc)];

    for (size_t i = version; i < line->count; i++) {
        const struct meant *later = &book->ops[line->at[i].op];

        if (line->at[i].doc == op->doc && sim_related(place, &later->edited) &&
            !overtakes(book, later, op, place))
            return true;
    }
    return false;
}

static bool in_hole(const struct world *world, const struct meant *op)
{
    struct doc_id name;
    char stream[SB_STREAM_MAX + 1];

    sim_docs_name(world, op->doc, &name);
    snprintf(stream, sizeof(stream), "%s/%s",
             strcmp(name.table, SB_TABLE_SETTINGS) == 0 ? "settings" : "records", name.user);
    return sim_docs_in_hole(world, op, stream);
}

/* An edit is in the document, superseded, overruled (the history has it), in a conflict that was
 * decided, merged on, or in a declared hole. */
static void check_kept(struct world *world, size_t i)
{
    const struct book *book = world->book;
    const struct meant *op = &book->ops[i];
    struct sb_span submitted = sb_buf_span(&op->submitted);
    size_t version = version_of(world, i);
    struct places changes = {0};
    struct sb_buf now = {0};

    if (op->fate != FATE_PENDING || op->author == DOCS_OPERATOR || op->lost ||
        (op->holed && version == 0))
        return;
    if (version == 0) {
        if (!in_hole(world, op))
            sim_blame(world, V_VANISHED, "%s has no version", op->id);
        return;
    }
    if (book->overruled[op->doc] || book->holed[op->doc])
        return;
    sim_docs_cloud(world, op->doc, &now);
    sim_changed(sb_buf_span(&op->before), submitted, &changes);
    for (size_t k = 0; k < changes.count; k++)
        if (!superseded(world, version, op, changes.at[k]) &&
            !sim_holds(sim_at(sb_buf_span(&now), changes.at[k]), sim_at(submitted, changes.at[k])))
            sim_blame(world, V_VANISHED, "%s \"%s\" is neither there nor superseded", op->id,
                      changes.at[k]);
    sim_places_free(&changes);
    sb_buf_free(&now);
}

/* ---- NEWEST: `latest` means the highest stamp, where nothing but values of one place were set:
 * who makes the whole document stamps every place of it ---- */

struct newest {
    const struct meant *op;
    bool clear; /* no two set the same value */
};

static struct sb_span set_by(const struct meant *op, const char *place)
{
    return sim_at(sb_buf_span(&op->submitted), place);
}

static bool changes(const struct meant *op, size_t doc, const char *place)
{
    return op->doc == doc && op->root_count == 0 &&
           !sim_same(sim_at(sb_buf_span(&op->before), place), set_by(op, place));
}

static int compare_stamps(const struct meant *a, const struct meant *b)
{
    int order = strcmp(a->hlc, b->hlc);

    return order != 0 ? order : strcmp(sim_docs_device(a->author), sim_docs_device(b->author));
}

static bool makes(const struct meant *op, size_t doc)
{
    return op->doc == doc && op->before.len == 0;
}

/* Objects are merged member by member; what was removed is not there to be compared. */
static bool is_plain(struct sb_span value)
{
    return value.len > 0 && value.data[0] != '{';
}

static struct newest newest_of(const struct book *book, size_t doc, const char *place)
{
    struct newest newest = {.clear = true};
    const struct meant *maker = NULL;

    for (size_t i = 0; i < book->count; i++) {
        if (makes(&book->ops[i], doc) &&
            (maker == NULL || compare_stamps(&book->ops[i], maker) > 0))
            maker = &book->ops[i];
        if (!changes(&book->ops[i], doc, place))
            continue;
        if (!is_plain(set_by(&book->ops[i], place)))
            newest.clear = false;
        for (size_t k = 0; k < i; k++)
            if (changes(&book->ops[k], doc, place) &&
                sim_same(set_by(&book->ops[i], place), set_by(&book->ops[k], place)))
                newest.clear = false;
        if (newest.op == NULL || compare_stamps(&book->ops[i], newest.op) > 0)
            newest.op = &book->ops[i];
    }
    if (maker != NULL && newest.op != NULL && compare_stamps(maker, newest.op) > 0)
        newest.clear = false;
    return newest;
}

static void check_newest(struct world *world, size_t doc)
{
    static const char *const places[] = {"/a", "/b~1x"};
    struct sb_buf now = {0};

    sim_docs_cloud(world, doc, &now);
    for (int i = 0; i < 2; i++) {
        struct newest newest = newest_of(world->book, doc, places[i]);

        if (newest.op != NULL && newest.clear &&
            !sim_same(sim_at(sb_buf_span(&now), places[i]), set_by(newest.op, places[i])))
            sim_blame(world, V_NEWEST, "document %zu \"%s\": %s has the highest stamp", doc,
                      places[i], newest.op->id);
    }
    sb_buf_free(&now);
}

/* ---- UNTOLD: what was decided on a device is not open in the cloud for ever ---- */

static void check_told(void *ctx, const struct cloud_conflict *conflict)
{
    struct world *world = ctx;
    const struct meant *op = sim_book_find(world->book, conflict->op_id);

    if (conflict->open && (op == NULL || !op->lost)) /* its device does not know of it any more */
        sim_blame(world, V_UNTOLD, "conflict %lld of " SB_SPAN_FMT " is open in the cloud",
                  (long long)conflict->id, SB_SPAN_ARG(conflict->op_id));
}

void sim_docs_check(struct world *world)
{
    sim_docs_watch(world);
    for (size_t doc = 0; doc < sim_docs_count(world); doc++)
        check_replicas(world, doc);
    for (size_t doc = 0; world->mix->newest && doc < sim_docs_count(world); doc++)
        check_newest(world, doc);
    for (size_t i = 0; i < world->edge_count; i++)
        check_cursors(world, i);
    for (size_t user = 0; user < DOCS_USERS; user++)
        check_twice(world, &world->book->lines[user]);
    for (size_t i = 0; i < world->book->count; i++)
        check_kept(world, i);
    if (world->notes[NOTE_RESTORE] == 0) /* a restored cloud forgets what it was told */
        sim_docs_conflicts(world, 0, check_told, world);
}
