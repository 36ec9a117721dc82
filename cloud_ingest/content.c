#include "content.h"

#include <stdlib.h>
#include <string.h>

#include "common/json_scan.h"

struct member {
    size_t at, len; /* its name in `names` */
    struct sb_span value;
};

struct members {
    struct sb_buf names; /* unescaped, one after the other */
    struct member *at;
    size_t count, cap;
};

static void collect(struct members *members, struct sb_span object)
{
    struct sb_json_iter iter;
    struct sb_span key, value;
    struct member *member;

    sb_json_iter_init(&iter, object);
    while (sb_json_next_member(&iter, &key, &value)) {
        if (members->count == members->cap) {
            members->cap = members->cap > 0 ? members->cap * 2 : 16;
            members->at = sb_xrealloc(members->at, members->cap * sizeof(*members->at));
        }
        member = &members->at[members->count++];
        member->at = members->names.len;
        member->value = value;
        sb_json_unescape(key, &members->names);
        member->len = members->names.len - member->at;
    }
}

static int by_name(const void *a, const void *b, void *names)
{
    const struct member *x = a, *y = b;
    const char *text = names;
    size_t shorter = x->len < y->len ? x->len : y->len;
    int order = shorter > 0 ? memcmp(text + x->at, text + y->at, shorter) : 0;

    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

static struct sb_span name_of(const struct members *members, size_t index)
{
    const struct member *member = &members->at[index];

    return (struct sb_span){members->names.data + member->at, member->len};
}

void content_print_without(struct sb_span object, const char *name, struct sb_buf *out)
{
    struct members members = {0};
    bool first = true;

    collect(&members, object);
    if (members.count > 1)
        qsort_r(members.at, members.count, sizeof(*members.at), by_name, members.names.data);
    sb_buf_add_char(out, '{');
    for (size_t i = 0; i < members.count; i++) {
        if (name != NULL && sb_span_is(name_of(&members, i), name))
            continue;
        if (!first)
            sb_buf_add_char(out, ',');
        first = false;
        sb_buf_add_json(out, name_of(&members, i));
        sb_buf_add_char(out, ':');
        content_print(members.at[i].value, out);
    }
    sb_buf_add_char(out, '}');
    sb_buf_free(&members.names);
    free(members.at);
}

static void print_array(struct sb_span array, struct sb_buf *out)
{
    struct sb_json_iter iter;
    struct sb_span element;
    bool first = true;

    sb_buf_add_char(out, '[');
    sb_json_iter_init(&iter, array);
    while (sb_json_next_element(&iter, &element)) {
        if (!first)
            sb_buf_add_char(out, ',');
        first = false;
        content_print(element, out);
    }
    sb_buf_add_char(out, ']');
}

static void print_string(struct sb_span string, struct sb_buf *out)
{
    struct sb_buf text = {0};

    sb_json_unescape(string, &text);
    sb_buf_add_json(out, sb_buf_span(&text));
    sb_buf_free(&text);
}

void content_print(struct sb_span value, struct sb_buf *out)
{
    switch (sb_json_type_of(value)) {
    case SB_JSON_OBJECT:
        content_print_without(value, NULL, out);
        break;
    case SB_JSON_ARRAY:
        print_array(value, out);
        break;
    case SB_JSON_STRING:
        print_string(value, out);
        break;
    case SB_JSON_NULL:
    case SB_JSON_FALSE:
    case SB_JSON_TRUE:
    case SB_JSON_NUMBER:
        sb_buf_add_span(out, value);
        break;
    }
}
