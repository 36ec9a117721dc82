#include "sim_json.h"

#include <stdlib.h>
#include <string.h>

/* ---- sets of places ---- */

void sim_places_free(struct places *places)
{
    for (size_t i = 0; i < places->count; i++)
        free(places->at[i]);
    free(places->at);
    *places = (struct places){0};
}

bool sim_places_have(const struct places *places, const char *pointer)
{
    for (size_t i = 0; i < places->count; i++)
        if (strcmp(places->at[i], pointer) == 0)
            return true;
    return false;
}

void sim_places_add(struct places *places, const char *pointer)
{
    if (sim_places_have(places, pointer))
        return;
    places->at = sb_xgrow(places->at, places->count, sizeof(*places->at));
    places->at[places->count++] = sb_xstrdup(pointer);
}

void sim_places_add_all(struct places *places, const struct places *from)
{
    for (size_t i = 0; i < from->count; i++)
        sim_places_add(places, from->at[i]);
}

bool sim_inside(const char *pointer, const char *outer)
{
    size_t len = strlen(outer);

    return strncmp(pointer, outer, len) == 0 && (pointer[len] == '\0' || pointer[len] == '/');
}

bool sim_inside_any(const char *pointer, const struct places *outer)
{
    for (size_t i = 0; i < outer->count; i++)
        if (sim_inside(pointer, outer->at[i]))
            return true;
    return false;
}

bool sim_related(const char *pointer, const struct places *places)
{
    for (size_t i = 0; i < places->count; i++)
        if (sim_inside(pointer, places->at[i]) || sim_inside(places->at[i], pointer))
            return true;
    return false;
}

/* ---- one step of a pointer ---- */

/* Appends "/key" with its escapes. */
static void add_step(struct sb_buf *pointer, struct sb_span raw_key)
{
    struct sb_buf key = {0};

    sb_json_unescape(raw_key, &key);
    sb_buf_add_char(pointer, '/');
    for (size_t i = 0; i < key.len; i++) {
        if (key.data[i] == '~')
            sb_buf_add_str(pointer, "~0");
        else if (key.data[i] == '/')
            sb_buf_add_str(pointer, "~1");
        else
            sb_buf_add_char(pointer, key.data[i]);
    }
    sb_buf_free(&key);
}

/* The characters of the first step; *rest is what comes after it. */
static void first_step(const char *pointer, struct sb_buf *key, const char **rest)
{
    for (pointer++; *pointer != '\0' && *pointer != '/'; pointer++) {
        if (*pointer == '~')
            sb_buf_add_char(key, *++pointer == '0' ? '~' : '/');
        else
            sb_buf_add_char(key, *pointer);
    }
    sb_buf_add_str(key, "");
    *rest = pointer;
}

static bool is_object(struct sb_span value)
{
    return value.len > 0 && sb_json_type_of(value) == SB_JSON_OBJECT;
}

static bool key_is(struct sb_span raw_key, struct sb_span key)
{
    struct sb_buf plain = {0};
    bool equal;

    sb_json_unescape(raw_key, &plain);
    equal = sb_span_eq(sb_buf_span(&plain), key);
    sb_buf_free(&plain);
    return equal;
}

static struct sb_span member(struct sb_span object, struct sb_span key)
{
    struct sb_json_iter iter;
    struct sb_span raw_key, value;

    if (!is_object(object))
        return SB_SPAN("");
    sb_json_iter_init(&iter, object);
    while (sb_json_next_member(&iter, &raw_key, &value))
        if (key_is(raw_key, key))
            return value;
    return SB_SPAN("");
}

static struct sb_span raw_member(struct sb_span object, struct sb_span raw_key)
{
    struct sb_buf key = {0};
    struct sb_span value;

    sb_json_unescape(raw_key, &key);
    value = member(object, sb_buf_span(&key));
    sb_buf_free(&key);
    return value;
}

/* ---- values ---- */

struct sb_span sim_at(struct sb_span document, const char *pointer)
{
    while (*pointer != '\0' && document.len > 0) {
        struct sb_buf key = {0};

        first_step(pointer, &key, &pointer);
        document = member(document, sb_buf_span(&key));
        sb_buf_free(&key);
    }
    return document;
}

static void add_member(struct sb_buf *out, bool *first, struct sb_span raw_key,
                       struct sb_span value)
{
    if (!*first)
        sb_buf_add_char(out, ',');
    *first = false;
    sb_buf_add_char(out, '"');
    sb_buf_add_span(out, raw_key);
    sb_buf_add_str(out, "\":");
    sb_buf_add_span(out, value);
}

void sim_set(struct sb_span document, const char *pointer, struct sb_span value, struct sb_buf *out)
{
    struct sb_buf key = {0}, inner = {0};
    struct sb_json_iter iter;
    struct sb_span raw_key, old, child = SB_SPAN("");
    bool first = true, there = false;
    const char *rest;

    if (*pointer == '\0') {
        sb_buf_add_span(out, value);
        return;
    }
    first_step(pointer, &key, &rest);
    sim_set(member(document, sb_buf_span(&key)), rest, value, &inner);
    child = sb_buf_span(&inner);
    sb_buf_add_char(out, '{');
    if (is_object(document)) {
        sb_json_iter_init(&iter, document);
        while (sb_json_next_member(&iter, &raw_key, &old)) {
            bool here = key_is(raw_key, sb_buf_span(&key));

            there |= here;
            if (!here || child.len > 0)
                add_member(out, &first, raw_key, here ? child : old);
        }
    }
    if (!there && child.len > 0)
        add_member(out, &first, sb_buf_span(&key), child);
    sb_buf_add_char(out, '}');
    sb_buf_free(&key);
    sb_buf_free(&inner);
}

static void add_backwards(struct sb_json_iter iter, struct sb_buf *out, bool *first)
{
    struct sb_span raw_key, value;

    if (!sb_json_next_member(&iter, &raw_key, &value))
        return;
    add_backwards(iter, out, first);
    add_member(out, first, raw_key, value);
}

void sim_reversed(struct sb_span object, struct sb_buf *out)
{
    struct sb_json_iter iter;
    bool first = true;

    sb_json_iter_init(&iter, object);
    sb_buf_add_char(out, '{');
    add_backwards(iter, out, &first);
    sb_buf_add_char(out, '}');
}

/* ---- comparing ---- */

bool sim_same(struct sb_span a, struct sb_span b)
{
    return a.len > 0 && b.len > 0 ? sb_json_equal(a, b) : a.len == b.len;
}

typedef void (*pair_fn)(void *ctx, struct sb_span raw_key);

/* Every key of a, b and c (where they are objects) once. */
static void each_key(const struct sb_span *objects, size_t count, pair_fn fn, void *ctx)
{
    for (size_t i = 0; i < count; i++) {
        struct sb_json_iter iter;
        struct sb_span raw_key, value;

        if (!is_object(objects[i]))
            continue;
        sb_json_iter_init(&iter, objects[i]);
        while (sb_json_next_member(&iter, &raw_key, &value)) {
            bool before = false;

            for (size_t k = 0; k < i; k++)
                before |= raw_member(objects[k], raw_key).len > 0;
            if (!before)
                fn(ctx, raw_key);
        }
    }
}

struct comparing {
    struct sb_span documents[3]; /* before and after; or base, local, server */
    struct sb_buf at;
    struct places *out;
};

static void changed(struct comparing *c);

static void changed_member(void *ctx, struct sb_span raw_key)
{
    const struct comparing *outer = ctx;
    struct comparing inner = {.out = outer->out};

    for (int i = 0; i < 2; i++)
        inner.documents[i] = raw_member(outer->documents[i], raw_key);
    sb_buf_add_span(&inner.at, sb_buf_span(&outer->at));
    add_step(&inner.at, raw_key);
    changed(&inner);
    sb_buf_free(&inner.at);
}

static void changed(struct comparing *c)
{
    if (sim_same(c->documents[0], c->documents[1]))
        return;
    if (is_object(c->documents[0]) && is_object(c->documents[1]))
        each_key(c->documents, 2, changed_member, c);
    else
        sim_places_add(c->out, c->at.data);
}

void sim_changed(struct sb_span a, struct sb_span b, struct places *out)
{
    struct comparing c = {.documents = {a, b}, .out = out};

    sb_buf_add_str(&c.at, "");
    changed(&c);
    sb_buf_free(&c.at);
}

bool sim_holds(struct sb_span whole, struct sb_span part)
{
    struct sb_json_iter iter;
    struct sb_span raw_key, value;

    if (!is_object(whole) || !is_object(part))
        return sim_same(whole, part);
    sb_json_iter_init(&iter, part);
    while (sb_json_next_member(&iter, &raw_key, &value)) {
        struct sb_span there = raw_member(whole, raw_key);

        if (there.len == 0 || !sim_holds(there, value))
            return false;
    }
    return true;
}

static void undecided(struct comparing *c);

static void undecided_member(void *ctx, struct sb_span raw_key)
{
    const struct comparing *outer = ctx;
    struct comparing inner = {.out = outer->out};

    for (int i = 0; i < 3; i++)
        inner.documents[i] = raw_member(outer->documents[i], raw_key);
    sb_buf_add_span(&inner.at, sb_buf_span(&outer->at));
    add_step(&inner.at, raw_key);
    undecided(&inner);
    sb_buf_free(&inner.at);
}

static void undecided(struct comparing *c)
{
    struct sb_span base = c->documents[0], local = c->documents[1], server = c->documents[2];

    if (sim_same(local, server) || sim_same(base, local) || sim_same(base, server))
        return;
    if (is_object(local) && is_object(server))
        each_key(c->documents, 3, undecided_member, c);
    else
        sim_places_add(c->out, c->at.data);
}

void sim_undecided(struct sb_span base, struct sb_span local, struct sb_span server,
                   struct places *out)
{
    struct comparing c = {.documents = {base, local, server}, .out = out};

    sb_buf_add_str(&c.at, "");
    undecided(&c);
    sb_buf_free(&c.at);
}
