#include "doc.h"

#include <stdlib.h>

#include "json_sides.h"

/* ---- places that changed ---- */

enum { FROM, TO, DOCUMENT };

static void changed(struct sb_sides *sides, const struct sb_row *row, struct sb_pointers *places)
{
    struct sb_row *rows;
    enum sb_apart apart;
    uint32_t count;
    size_t mark;

    if (sb_sides_same_bytes(sides, row, FROM, TO))
        return;
    apart = sb_sides_apart(sides, row, FROM, TO);
    if (apart == SB_WHOLE) {
        if (!sb_sides_equal(sides, row, FROM, TO))
            sb_pointers_add(places, sb_buf_span(&sides->path));
        return;
    }
    count = sb_sides_children(sides, row, apart, &rows);
    if (apart == SB_ELEMENTS && !sb_sides_in_order(rows, count, FROM, TO, false))
        sb_pointers_add(places, sb_buf_span(&sides->path));
    for (uint32_t i = 0; i < count; i++) {
        mark = sb_sides_step(sides, &rows[i]);
        changed(sides, &rows[i], places);
        sb_sides_back(sides, mark);
    }
    free(rows);
}

void sb_doc_changed(struct sb_span a, struct sb_span b, const struct sb_array_keys *arrays,
                    struct sb_pointers *places)
{
    struct sb_sides sides;
    struct sb_row root;

    sb_sides_init(&sides, a, b, SB_SPAN(""), arrays);
    root = sb_sides_root(&sides);
    changed(&sides, &root, places);
    sb_pointers_finish(places);
    sb_sides_free(&sides);
}

/* ---- one place ---- */

/* Can the place on side 0 be stepped into, and how? */
static enum sb_apart inside(struct sb_sides *sides, const struct sb_row *row)
{
    return sb_sides_apart(sides, row, 0, 0);
}

struct sb_span sb_doc_get(struct sb_span document, struct sb_span pointer,
                          const struct sb_array_keys *arrays)
{
    struct sb_buf key = {0};
    struct sb_sides sides;
    struct sb_row row;
    struct sb_span value;

    sb_sides_init(&sides, document, SB_SPAN(""), SB_SPAN(""), arrays);
    row = sb_sides_root(&sides);
    while (sb_pointer_next(&pointer, &key)) {
        row.node[0] = inside(&sides, &row) != SB_WHOLE
                          ? sb_json_tree_child(&sides.tree[0], row.node[0], sb_buf_span(&key))
                          : SB_NO_NODE;
        if (row.node[0] == SB_NO_NODE)
            break;
        sb_pointer_step(&sides.path, sb_buf_span(&key));
    }
    value = sb_sides_text(&sides, &row, 0);
    sb_buf_free(&key);
    sb_sides_free(&sides);
    return value;
}

/* What is put, on the way down. */
struct put {
    struct sb_sides sides;
    struct sb_span value;
    struct sb_buf *out;
    bool unknown; /* inside an element that is not there */
};

static void put_at(struct put *put, const struct sb_row *row, struct sb_span pointer);

static void put_entry(struct put *put, const struct sb_row *row, struct sb_span key,
                      struct sb_span pointer)
{
    size_t mark = put->sides.path.len;

    sb_pointer_step(&put->sides.path, key);
    put_at(put, row, pointer);
    sb_sides_back(&put->sides, mark);
}

/* Appended behind what is there; its key is spelled as we spell keys. */
static void put_new(struct put *put, struct sb_list *list, struct sb_span key,
                    struct sb_span pointer)
{
    const struct sb_row none = {{SB_NO_NODE, SB_NO_NODE, SB_NO_NODE}};
    struct sb_buf spelled = {0};

    if (!list->keys && pointer.len > 0)
        put->unknown = true;
    sb_buf_add_json(&spelled, key);
    sb_list_next(list, (struct sb_span){spelled.data + 1, spelled.len - 2});
    put_entry(put, &none, key, pointer);
    sb_buf_free(&spelled);
}

/* pointer: what is left of it below this place */
static void put_inside(struct put *put, const struct sb_row *row, struct sb_span pointer,
                       struct sb_buf *key)
{
    const struct sb_json_tree *tree = &put->sides.tree[0];
    enum sb_apart apart = inside(&put->sides, row);
    struct sb_list list;
    uint32_t child = SB_NO_NODE, found = SB_NO_NODE;

    if (apart != SB_WHOLE) {
        child = tree->node[row->node[0]].first;
        found = sb_json_tree_child(tree, row->node[0], sb_buf_span(key));
    }
    sb_list_begin(&list, put->out, apart == SB_WHOLE ? SB_MEMBERS : apart);
    for (; child != SB_NO_NODE; child = tree->node[child].next) {
        sb_list_next(&list, sb_json_node_raw_key(tree, child));
        if (child == found)
            put_entry(put, &(struct sb_row){{child, SB_NO_NODE, SB_NO_NODE}}, sb_buf_span(key),
                      pointer);
        else
            sb_buf_add_span(put->out, sb_json_node_text(tree, child));
    }
    if (found == SB_NO_NODE)
        put_new(put, &list, sb_buf_span(key), pointer);
    sb_list_end(&list);
}

static void put_at(struct put *put, const struct sb_row *row, struct sb_span pointer)
{
    struct sb_buf key = {0};

    if (sb_pointer_next(&pointer, &key))
        put_inside(put, row, pointer, &key);
    else
        sb_buf_add_span(put->out, put->value);
    sb_buf_free(&key);
}

static unsigned depth_of(struct sb_span pointer)
{
    unsigned depth = 0;

    for (size_t i = 0; i < pointer.len && depth <= SB_JSON_MAX_DEPTH; i++)
        depth += pointer.data[i] == '/';
    return depth;
}

bool sb_doc_put(struct sb_span document, struct sb_span pointer, struct sb_span value,
                const struct sb_array_keys *arrays, struct sb_buf *out)
{
    struct put put = {.value = value, .out = out};
    size_t mark = out->len;
    struct sb_row root;

    if (depth_of(pointer) > SB_JSON_MAX_DEPTH) {
        sb_buf_add_span(out, document);
        return false;
    }
    sb_sides_init(&put.sides, document, SB_SPAN(""), SB_SPAN(""), arrays);
    root = sb_sides_root(&put.sides);
    put_at(&put, &root, pointer);
    sb_sides_free(&put.sides);
    if (put.unknown) {
        sb_buf_cut(out, mark);
        sb_buf_add_span(out, document);
    }
    return !put.unknown;
}

/* ---- an edit made again ---- */

/* Is that an element of the edit which the result has too? */
static bool stays(const struct sb_sides *sides, const struct sb_row *row)
{
    return row->node[TO] != SB_NO_NODE &&
           (row->node[DOCUMENT] != SB_NO_NODE || !sb_sides_equal(sides, row, FROM, TO));
}

/* The elements of the edit in its order, on the places that they have together. */
static void take_order(const struct sb_sides *sides, struct sb_row *rows, uint32_t count)
{
    struct sb_row *both = sb_xmalloc(count * sizeof(*both));
    bool *place = sb_xcalloc(count, sizeof(*place));
    uint32_t n = 0;

    for (uint32_t i = 0; i < count; i++) {
        place[i] = stays(sides, &rows[i]);
        if (place[i])
            both[n++] = rows[i];
    }
    sb_sides_sort(sides, both, n, TO, SB_SIDES);
    n = 0;
    for (uint32_t i = 0; i < count; i++)
        if (place[i])
            rows[i] = both[n++];
    free(both);
    free(place);
}

static struct sb_span raw_key(const struct sb_sides *sides, const struct sb_row *row)
{
    unsigned side = row->node[DOCUMENT] != SB_NO_NODE ? DOCUMENT
                    : row->node[TO] != SB_NO_NODE     ? TO
                                                      : FROM;

    return sb_json_node_raw_key(&sides->tree[side], row->node[side]);
}

/* Appends what the place becomes, nothing if that is absent. False: the edit did not change it. */
static bool reapply(struct sb_sides *sides, const struct sb_row *row, struct sb_buf *out);

static bool reapply_whole(const struct sb_sides *sides, const struct sb_row *row,
                          struct sb_buf *out)
{
    bool differs = !sb_sides_equal(sides, row, FROM, TO);

    sb_buf_add_span(out, sb_sides_text(sides, row, differs ? TO : DOCUMENT));
    return differs;
}

static bool reapply_inside(struct sb_sides *sides, const struct sb_row *row, enum sb_apart apart,
                           struct sb_buf *out)
{
    size_t start = out->len, mark;
    struct sb_row *rows;
    struct sb_list list;
    bool differs = false;
    uint32_t count = sb_sides_children(sides, row, apart, &rows);

    sb_sides_sort(sides, rows, count, DOCUMENT, SB_SIDES);
    if (apart == SB_ELEMENTS && !sb_sides_in_order(rows, count, FROM, TO, false)) {
        take_order(sides, rows, count);
        differs = true;
    }
    sb_list_begin(&list, out, apart);
    for (uint32_t i = 0; i < count; i++) {
        sb_list_next(&list, raw_key(sides, &rows[i]));
        mark = sb_sides_step(sides, &rows[i]);
        if (apart == SB_ELEMENTS && rows[i].node[DOCUMENT] == SB_NO_NODE)
            differs |= reapply_whole(sides, &rows[i], out);
        else
            differs |= reapply(sides, &rows[i], out);
        sb_sides_back(sides, mark);
    }
    sb_list_end(&list);
    free(rows);
    if (!differs) {
        sb_buf_cut(out, start);
        sb_buf_add_span(out, sb_sides_text(sides, row, DOCUMENT));
    }
    return differs;
}

static bool reapply(struct sb_sides *sides, const struct sb_row *row, struct sb_buf *out)
{
    enum sb_apart apart;

    if (sb_sides_same_bytes(sides, row, FROM, TO)) {
        sb_buf_add_span(out, sb_sides_text(sides, row, DOCUMENT));
        return false;
    }
    apart = sb_sides_apart(sides, row, FROM, TO);
    if (apart == SB_ELEMENTS && !sb_sides_is(sides, row, DOCUMENT, SB_ELEMENTS))
        apart = SB_WHOLE;
    if (apart == SB_WHOLE)
        return reapply_whole(sides, row, out);
    return reapply_inside(sides, row, apart, out);
}

void sb_doc_reapply(struct sb_span from, struct sb_span to, struct sb_span document,
                    const struct sb_array_keys *arrays, struct sb_buf *out)
{
    struct sb_sides sides;
    struct sb_row root;

    sb_sides_init(&sides, from, to, document, arrays);
    root = sb_sides_root(&sides);
    reapply(&sides, &root, out);
    sb_sides_free(&sides);
}
