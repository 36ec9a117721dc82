#include "json_tree.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "json_text.h"
#include "json_walk.h"
#include "pointers.h"

static uint32_t add_node(struct sb_json_tree *tree)
{
    tree->node = sb_xgrow(tree->node, tree->count, sizeof(*tree->node));
    tree->node[tree->count] = (struct sb_json_node){.first = SB_NO_NODE, .next = SB_NO_NODE};
    return tree->count++;
}

static uint32_t place_of(const struct sb_json_tree *tree, const char *at)
{
    return (uint32_t)(at - tree->text.data);
}

static void set_key(struct sb_json_tree *tree, uint32_t child, struct sb_span raw)
{
    struct sb_json_node *node = &tree->node[child];

    node->raw_at = node->key_at = place_of(tree, raw.data);
    node->raw_len = node->key_len = (uint32_t)raw.len;
    if (memchr(raw.data, '\\', raw.len) == NULL)
        return;
    node->escaped = true;
    node->key_at = (uint32_t)tree->plain.len;
    sb_json_unescape(raw, &tree->plain);
    node->key_len = (uint32_t)tree->plain.len - node->key_at;
}

/* Makes `child` the last child of `parent`; `last` is the one before it. */
static void link_child(struct sb_json_tree *tree, uint32_t parent, uint32_t *last, uint32_t child)
{
    if (*last == SB_NO_NODE)
        tree->node[parent].first = child;
    else
        tree->node[*last].next = child;
    tree->node[parent].count++;
    *last = child;
}

static const char *skip_space(const char *at)
{
    while (sb_json_is_space(*at))
        at++;
    return at;
}

static const char *take_value(struct sb_json_tree *tree, uint32_t node, const char *at,
                              const char *end);

/* at: the opening brace; returns what follows the closing one. */
static const char *take_members(struct sb_json_tree *tree, uint32_t parent, const char *at,
                                const char *end)
{
    uint32_t last = SB_NO_NODE, child;
    struct sb_span raw;

    for (at = skip_space(at + 1); *at != '}'; at = skip_space(at)) {
        if (*at == ',')
            at = skip_space(at + 1);
        raw.data = at + 1;
        at = sb_json_skip(at, end);
        raw.len = (size_t)(at - raw.data) - 1;
        child = add_node(tree);
        set_key(tree, child, raw);
        link_child(tree, parent, &last, child);
        at = skip_space(skip_space(at) + 1); /* the colon */
        at = take_value(tree, child, at, end);
    }
    return at + 1;
}

static const char *take_value(struct sb_json_tree *tree, uint32_t node, const char *at,
                              const char *end)
{
    const char *from = at;

    tree->node[node].at = place_of(tree, at);
    tree->node[node].type = (unsigned char)sb_json_type_of((struct sb_span){at, 1});
    at = *at == '{' ? take_members(tree, node, at, end) : sb_json_skip(at, end);
    tree->node[node].len = (uint32_t)(at - from);
    return at;
}

void sb_json_tree_init(struct sb_json_tree *tree, struct sb_span text)
{
    SB_CHECK(text.len <= UINT32_MAX / 2);
    *tree = (struct sb_json_tree){.text = text};
    if (text.len > 0)
        take_value(tree, add_node(tree), text.data, text.data + text.len);
}

void sb_json_tree_free(struct sb_json_tree *tree)
{
    free(tree->node);
    sb_buf_free(&tree->plain);
    *tree = (struct sb_json_tree){0};
}

uint32_t sb_json_tree_root(const struct sb_json_tree *tree)
{
    return tree->count > 0 ? 0 : SB_NO_NODE;
}

struct sb_span sb_json_node_text(const struct sb_json_tree *tree, uint32_t node)
{
    if (node == SB_NO_NODE)
        return SB_SPAN("");
    return (struct sb_span){tree->text.data + tree->node[node].at, tree->node[node].len};
}

struct sb_span sb_json_node_key(const struct sb_json_tree *tree, uint32_t node)
{
    if (node == SB_NO_NODE)
        return SB_SPAN("");
    return (struct sb_span){(tree->node[node].escaped ? tree->plain.data : tree->text.data) +
                                tree->node[node].key_at,
                            tree->node[node].key_len};
}

struct sb_span sb_json_node_raw_key(const struct sb_json_tree *tree, uint32_t node)
{
    if (node == SB_NO_NODE)
        return SB_SPAN("");
    return (struct sb_span){tree->text.data + tree->node[node].raw_at, tree->node[node].raw_len};
}

bool sb_json_node_is(const struct sb_json_tree *tree, uint32_t node, enum sb_json_type type)
{
    return node != SB_NO_NODE && tree->node[node].type == (unsigned char)type;
}

/* ---- keyed arrays ---- */

static bool key_of_element(struct sb_span element, const char *member, struct sb_span *key)
{
    enum sb_json_type type;

    if (sb_json_type_of(element) != SB_JSON_OBJECT || !sb_json_get(element, member, key))
        return false;
    type = sb_json_type_of(*key);
    if (type == SB_JSON_STRING) {
        key->data++;
        key->len -= 2;
    }
    return type == SB_JSON_STRING || type == SB_JSON_NUMBER;
}

/* False when an element has no key; its siblings are children by then. */
static bool take_elements(struct sb_json_tree *tree, uint32_t array, const char *member)
{
    uint32_t last = SB_NO_NODE, child;
    struct sb_json_iter iter;
    struct sb_span element, key;

    sb_json_iter_init(&iter, sb_json_node_text(tree, array));
    while (sb_json_next_element(&iter, &element)) {
        if (!key_of_element(element, member, &key))
            return false;
        child = add_node(tree);
        set_key(tree, child, key);
        link_child(tree, array, &last, child);
        take_value(tree, child, element.data, element.data + element.len);
    }
    return true;
}

static int by_key(const void *left, const void *right, void *tree)
{
    return sb_span_order(sb_json_node_key(tree, *(const uint32_t *)left),
                         sb_json_node_key(tree, *(const uint32_t *)right));
}

static bool all_different(struct sb_json_tree *tree, uint32_t array)
{
    uint32_t count = tree->node[array].count, n = 0;
    uint32_t *child = sb_xmalloc(count * sizeof(*child));
    bool different = true;

    for (uint32_t i = tree->node[array].first; i != SB_NO_NODE; i = tree->node[i].next)
        child[n++] = i;
    qsort_r(child, count, sizeof(*child), by_key, tree);
    for (uint32_t i = 1; different && i < count; i++)
        different = by_key(&child[i - 1], &child[i], tree) != 0;
    free(child);
    return different;
}

bool sb_json_tree_keyed(struct sb_json_tree *tree, uint32_t node, const char *member)
{
    uint32_t mark = tree->count;
    bool keyed;

    if (!sb_json_node_is(tree, node, SB_JSON_ARRAY))
        return false;
    if (tree->node[node].keyed == 0) {
        keyed = take_elements(tree, node, member) && all_different(tree, node);
        tree->node[node].keyed = keyed ? 1 : -1;
        if (!keyed) {
            tree->node[node].first = SB_NO_NODE;
            tree->node[node].count = 0;
            tree->count = mark;
        }
    }
    return tree->node[node].keyed > 0;
}

uint32_t sb_json_tree_child(const struct sb_json_tree *tree, uint32_t node, struct sb_span key)
{
    uint32_t child = node != SB_NO_NODE ? tree->node[node].first : SB_NO_NODE;

    while (child != SB_NO_NODE && !sb_span_eq(sb_json_node_key(tree, child), key))
        child = tree->node[child].next;
    return child;
}
