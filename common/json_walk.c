#include "json_walk.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "json_text.h"

#define FEW_KEYS                                                                                   \
    16 /* up to here each key is compared with those before it, beyond it they are sorted */

int sb_walk_init(struct sb_walk *walk, struct sb_span text, const struct sb_json_limits *limits,
                 struct sb_err *err)
{
    SB_CHECK(limits->max_depth <= 256);
    walk->begin = text.len > 0 ? text.data : "";
    walk->at = walk->begin;
    walk->end = walk->begin + text.len;
    walk->nodes = walk->max_nodes = limits->max_nodes;
    walk->depth = walk->max_depth = limits->max_depth;
    walk->err = err;
    walk->keys = walk->own;
    walk->key_count = 0;
    walk->key_cap = SB_WALK_KEYS;
    walk->plain = (struct sb_buf){0};
    if (text.len > limits->max_bytes)
        return sb_fail(err, SB_ETOO_LARGE, "%zu bytes, at most %zu are allowed", text.len,
                       limits->max_bytes);
    return 0;
}

void sb_walk_fini(struct sb_walk *walk)
{
    if (walk->keys != walk->own)
        free(walk->keys);
    sb_buf_free(&walk->plain);
}

static int bad(const struct sb_walk *walk, enum sb_code code, const char *at, const char *what)
{
    return sb_fail(walk->err, code, "at byte %td: %s", at - walk->begin, what);
}

static void space(struct sb_walk *walk)
{
    const char *at = walk->at;

    while (at < walk->end && sb_json_is_space(*at))
        at++;
    walk->at = at;
}

bool sb_walk_sees(struct sb_walk *walk, char c)
{
    space(walk);
    return walk->at < walk->end && *walk->at == c;
}

static int count_node(struct sb_walk *walk)
{
    if (walk->nodes == 0)
        return sb_fail(walk->err, SB_ETOO_MANY_NODES, "at byte %td: more than %zu values",
                       walk->at - walk->begin, walk->max_nodes);
    walk->nodes--;
    return 0;
}

/* ---- strings ---- */

static int surrogate_pair(struct sb_walk *walk, const char *at)
{
    int low = -1;

    if (walk->end - at >= 6 && at[4] == '\\' && at[5] == 'u')
        low = sb_json_hex4(at + 6, walk->end);
    if (low < 0xdc00 || low > 0xdfff)
        return bad(walk, SB_EBAD_UTF8, at - 2, "half a surrogate pair");
    walk->at = at + 10;
    return 0;
}

/* at: after \u */
static int unicode_escape(struct sb_walk *walk, const char *at)
{
    int code = sb_json_hex4(at, walk->end);

    if (code < 0)
        return bad(walk, SB_EBAD_JSON, at - 2, "\\u needs four hex digits");
    if (code == 0)
        return bad(walk, SB_EBAD_UTF8, at - 2, "\\u0000 is not allowed");
    if (code >= 0xd800 && code <= 0xdbff)
        return surrogate_pair(walk, at);
    if (code >= 0xdc00 && code <= 0xdfff)
        return bad(walk, SB_EBAD_UTF8, at - 2, "half a surrogate pair");
    walk->at = at + 4;
    return 0;
}

/* walk->at stands at the backslash */
static int escape(struct sb_walk *walk)
{
    const char *at = walk->at;

    if (walk->end - at < 2)
        return bad(walk, SB_EBAD_JSON, at, "a string that does not end");
    if (at[1] == 'u')
        return unicode_escape(walk, at + 2);
    if (at[1] == '\0' || strchr("\"\\/bfnrt", at[1]) == NULL)
        return bad(walk, SB_EBAD_JSON, at, "an escape that JSON does not have");
    walk->at = at + 2;
    return 0;
}

/* Takes a string; walk->at stands at the opening quote. */
static int string(struct sb_walk *walk, bool *escaped)
{
    const char *from = walk->at;
    unsigned len;
    int rc;

    walk->at++;
    for (;;) {
        walk->at = sb_json_plain_end(walk->at, walk->end);
        if (walk->at == walk->end)
            return bad(walk, SB_EBAD_JSON, from, "a string that does not end");
        if (*walk->at == '"') {
            walk->at++;
            return 0;
        }
        if (*walk->at == '\\') {
            *escaped = true;
            rc = escape(walk);
            if (rc < 0)
                return rc;
        } else if ((unsigned char)*walk->at < 0x20) {
            return bad(walk, SB_EBAD_JSON, walk->at, "a control character in a string");
        } else {
            len = sb_utf8_sequence(walk->at, walk->end);
            if (len == 0)
                return bad(walk, SB_EBAD_UTF8, walk->at, "not valid UTF-8");
            walk->at += len;
        }
    }
}

/* ---- keys: no object may have one twice ---- */

static const char *key_chars(const struct sb_walk *walk, const struct sb_walk_key *key)
{
    return key->escaped ? walk->plain.data + key->plain : walk->begin + key->at;
}

static uint64_t head_of(const char *chars, size_t len)
{
    uint64_t head = 0;

    memcpy(&head, chars, len < 8 ? len : 8);
    return head;
}

/* Any total order does. */
static int compare_keys(const struct sb_walk *walk, const struct sb_walk_key *a,
                        const struct sb_walk_key *b)
{
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    if (a->head != b->head)
        return a->head < b->head ? -1 : 1;
    return a->len <= 8 ? 0 : memcmp(key_chars(walk, a) + 8, key_chars(walk, b) + 8, a->len - 8);
}

/* By place among equals, so that of two equal neighbours the second one is the repeat. */
static int sort_keys(const void *left, const void *right, void *walk)
{
    const struct sb_walk_key *a = left, *b = right;
    int order = compare_keys(walk, a, b);

    if (order != 0)
        return order;
    return a->at < b->at ? -1 : a->at > b->at;
}

static int duplicate(const struct sb_walk *walk, const struct sb_walk_key *key)
{
    const char *raw = walk->begin + key->at;
    size_t len = (size_t)(sb_json_skip(raw - 1, walk->end) - raw - 1);
    const char *dots = "";

    if (len > 40) {
        for (len = 40; ((unsigned char)raw[len] & 0xc0) == 0x80;)
            len--;
        dots = "...";
    }
    return sb_fail(walk->err, SB_EDUPLICATE_KEY, "at byte %zu: the key \"%.*s%s\" a second time",
                   key->at - 1, (int)len, raw, dots);
}

static struct sb_walk_key *push_key(struct sb_walk *walk)
{
    if (walk->key_count == walk->key_cap) {
        size_t cap = walk->key_cap * 2;
        struct sb_walk_key *more =
            sb_xrealloc(walk->keys == walk->own ? NULL : walk->keys, cap * sizeof(*more));

        if (walk->keys == walk->own)
            memcpy(more, walk->own, sizeof(walk->own));
        walk->keys = more;
        walk->key_cap = cap;
    }
    return &walk->keys[walk->key_count++];
}

static int add_key(struct sb_walk *walk, size_t mark, struct sb_span raw, bool escaped)
{
    struct sb_walk_key *key = push_key(walk);

    key->at = (size_t)(raw.data - walk->begin);
    key->escaped = escaped;
    key->len = raw.len;
    key->plain = walk->plain.len;
    if (escaped) {
        sb_json_unescape(raw, &walk->plain);
        key->len = walk->plain.len - key->plain;
    }
    key->head = head_of(key_chars(walk, key), key->len);
    if (walk->key_count - mark > FEW_KEYS)
        return 0;
    for (size_t i = mark; i + 1 < walk->key_count; i++)
        if (compare_keys(walk, &walk->keys[i], key) == 0)
            return duplicate(walk, key);
    return 0;
}

/* The object ends: the check of many keys, then they are forgotten. */
static int close_keys(struct sb_walk *walk, size_t mark)
{
    struct sb_walk_key *keys = walk->keys + mark;
    size_t count = walk->key_count - mark;
    const struct sb_walk_key *repeat = NULL;

    if (count > FEW_KEYS) {
        qsort_r(keys, count, sizeof(*keys), sort_keys, walk);
        for (size_t i = 1; i < count; i++)
            if (compare_keys(walk, &keys[i - 1], &keys[i]) == 0 &&
                (repeat == NULL || keys[i].at < repeat->at))
                repeat = &keys[i];
        if (repeat != NULL)
            return duplicate(walk, repeat);
    }
    for (size_t i = 0; i < count; i++)
        if (keys[i].escaped && keys[i].plain < walk->plain.len)
            walk->plain.len = keys[i].plain;
    walk->key_count = mark;
    return 0;
}

/* ---- containers ---- */

static int open_container(struct sb_walk *walk)
{
    int rc = count_node(walk);

    if (rc < 0)
        return rc;
    if (walk->depth == 0)
        return sb_fail(walk->err, SB_ETOO_DEEP, "at byte %td: nested deeper than %u",
                       walk->at - walk->begin, walk->max_depth);
    walk->depth--;
    walk->at++;
    return 0;
}

int sb_walk_open_array(struct sb_walk *walk)
{
    return open_container(walk);
}

int sb_walk_open_object(struct sb_walk *walk, size_t *mark)
{
    *mark = walk->key_count;
    return open_container(walk);
}

/* 1: an element is next; 0: the container is closed. */
static int more(struct sb_walk *walk, bool *first, char close, const char *expected)
{
    space(walk);
    if (walk->at == walk->end)
        return bad(walk, SB_EBAD_JSON, walk->at, "the text ends inside an array or object");
    if (*walk->at == close) {
        walk->at++;
        walk->depth++;
        return 0;
    }
    if (*first) {
        *first = false;
        return 1;
    }
    if (*walk->at != ',')
        return bad(walk, SB_EBAD_JSON, walk->at, expected);
    walk->at++;
    space(walk);
    return 1;
}

int sb_walk_more(struct sb_walk *walk, bool *first)
{
    return more(walk, first, ']', "a comma or ] is expected");
}

int sb_walk_member(struct sb_walk *walk, size_t mark, bool *first, struct sb_span *raw_key)
{
    bool escaped = false;
    int rc = more(walk, first, '}', "a comma or } is expected");

    if (rc < 0)
        return rc;
    if (rc == 0)
        return close_keys(walk, mark);
    if (walk->at == walk->end || *walk->at != '"')
        return bad(walk, SB_EBAD_JSON, walk->at, "a key in quotes is expected");
    raw_key->data = walk->at + 1;
    rc = string(walk, &escaped);
    if (rc < 0)
        return rc;
    raw_key->len = (size_t)(walk->at - raw_key->data) - 1;
    rc = add_key(walk, mark, *raw_key, escaped);
    if (rc < 0)
        return rc;
    if (!sb_walk_sees(walk, ':'))
        return bad(walk, SB_EBAD_JSON, walk->at, "a colon is expected");
    walk->at++;
    return 1;
}

static int array(struct sb_walk *walk)
{
    bool first = true;
    int rc = sb_walk_open_array(walk);

    if (rc < 0)
        return rc;
    while ((rc = sb_walk_more(walk, &first)) > 0) {
        rc = sb_walk_value(walk, NULL, NULL);
        if (rc < 0)
            return rc;
    }
    return rc;
}

static int object(struct sb_walk *walk)
{
    struct sb_span key;
    bool first = true;
    size_t mark;
    int rc = sb_walk_open_object(walk, &mark);

    if (rc < 0)
        return rc;
    while ((rc = sb_walk_member(walk, mark, &first, &key)) > 0) {
        rc = sb_walk_value(walk, NULL, NULL);
        if (rc < 0)
            return rc;
    }
    return rc;
}

/* ---- scalars ---- */

static const char *digits(const char *at, const char *end)
{
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

static int number(struct sb_walk *walk)
{
    const char *at = walk->at, *end = walk->end, *from;

    if (*at == '-')
        at++;
    from = at;
    at = at < end && *at == '0' ? at + 1 : digits(at, end);
    if (at == from)
        return bad(walk, SB_EBAD_JSON, at, "a digit is expected");
    if (at < end && *at == '.') {
        from = ++at;
        at = digits(at, end);
        if (at == from)
            return bad(walk, SB_EBAD_JSON, at, "a digit is expected");
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        from = at;
        at = digits(at, end);
        if (at == from)
            return bad(walk, SB_EBAD_JSON, at, "a digit is expected");
    }
    walk->at = at;
    return 0;
}

static int word(struct sb_walk *walk, const char *text, size_t len)
{
    if ((size_t)(walk->end - walk->at) < len || memcmp(walk->at, text, len) != 0)
        return bad(walk, SB_EBAD_JSON, walk->at, "not a JSON value");
    walk->at += len;
    return 0;
}

static int scalar(struct sb_walk *walk, enum sb_json_type *type)
{
    bool escaped;

    switch (*walk->at) {
    case '"':
        *type = SB_JSON_STRING;
        return string(walk, &escaped);
    case 't':
        *type = SB_JSON_TRUE;
        return word(walk, "true", 4);
    case 'f':
        *type = SB_JSON_FALSE;
        return word(walk, "false", 5);
    case 'n':
        *type = SB_JSON_NULL;
        return word(walk, "null", 4);
    default:
        *type = SB_JSON_NUMBER;
        if (*walk->at != '-' && (*walk->at < '0' || *walk->at > '9'))
            return bad(walk, SB_EBAD_JSON, walk->at, "not a JSON value");
        return number(walk);
    }
}

int sb_walk_value(struct sb_walk *walk, enum sb_json_type *type, struct sb_span *value)
{
    enum sb_json_type unused;
    const char *from;
    int rc;

    if (type == NULL)
        type = &unused;
    space(walk);
    from = walk->at;
    if (from == walk->end)
        return bad(walk, SB_EBAD_JSON, from, "the text ends where a value is expected");
    if (*from == '[') {
        *type = SB_JSON_ARRAY;
        rc = array(walk);
    } else if (*from == '{') {
        *type = SB_JSON_OBJECT;
        rc = object(walk);
    } else {
        rc = count_node(walk);
        if (rc == 0)
            rc = scalar(walk, type);
    }
    if (rc == 0 && value != NULL)
        *value = (struct sb_span){from, (size_t)(walk->at - from)};
    return rc;
}

int sb_walk_end(struct sb_walk *walk)
{
    space(walk);
    if (walk->at != walk->end)
        return bad(walk, SB_EBAD_JSON, walk->at, "text after the value");
    return 0;
}
