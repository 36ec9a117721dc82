#ifndef SB_JSON_TREE_H
#define SB_JSON_TREE_H

#include "json_scan.h"

/* The members of a checked text, found in one pass: so that an object within an object is not
 * walked over once for every level above it. Arrays are not taken apart until somebody asks. Nodes
 * are indexes, 48 bytes for each member; texts are spans into the checked text, which must outlive
 * the tree. */

#define SB_NO_NODE UINT32_MAX

struct sb_json_node {
    uint32_t at, len;         /* the value, in text */
    uint32_t raw_at, raw_len; /* the key as it is spelled, without quotes */
    uint32_t key_at, key_len; /* its characters: in text, or in plain where `escaped` */
    uint32_t first, next;     /* first child, next sibling; SB_NO_NODE */
    uint32_t count;           /* children */
    unsigned char type;       /* enum sb_json_type */
    bool escaped;
    signed char keyed; /* arrays: 0 not asked, 1 yes (it has children), -1 no */
};

struct sb_json_tree {
    struct sb_span text;
    struct sb_json_node *node; /* 0 is the root; in the order of the text, but for keyed arrays */
    uint32_t count;
    struct sb_buf plain;
};

/* text: one checked value without white space around it, shorter than 2 GiB, or the empty span: no
 * root. Ends with sb_json_tree_free. */
void sb_json_tree_init(struct sb_json_tree *tree, struct sb_span text);
void sb_json_tree_free(struct sb_json_tree *tree);

/* SB_NO_NODE without a text. */
uint32_t sb_json_tree_root(const struct sb_json_tree *tree);

/* `node` may be SB_NO_NODE in all of these: empty, false. Keys of the root are empty. */
struct sb_span sb_json_node_text(const struct sb_json_tree *tree, uint32_t node);
struct sb_span sb_json_node_key(const struct sb_json_tree *tree, uint32_t node);
struct sb_span sb_json_node_raw_key(const struct sb_json_tree *tree, uint32_t node);
bool sb_json_node_is(const struct sb_json_tree *tree, uint32_t node, enum sb_json_type type);

/* Is the array keyed by that member (array_keys.h)? If so its elements are its children from now
 * on, their keys what tells them apart. Always asked with the same member for a node. Nodes move.
 */
bool sb_json_tree_keyed(struct sb_json_tree *tree, uint32_t node, const char *member);

/* The child with these characters as its key; SB_NO_NODE when there is none. Goes through them. */
uint32_t sb_json_tree_child(const struct sb_json_tree *tree, uint32_t node, struct sb_span key);

#endif
