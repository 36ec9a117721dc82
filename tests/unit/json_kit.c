#include "json_kit.h"

#include <math.h>
#include <string.h>

/* ---- comparison with cJSON ---- */

static bool same_text(struct sb_span string, const char *text)
{
    struct sb_buf plain = {0};
    bool same;

    sb_json_unescape(string, &plain);
    same = text != NULL && sb_span_is(sb_buf_span(&plain), text);
    sb_buf_free(&plain);
    return same;
}

static bool same_number(struct sb_span value, double other)
{
    double number;

    if (!sb_json_double(value, &number))
        return isinf(other);
    return number == other && signbit(number) == signbit(other);
}

static bool same_array(struct sb_span value, const cJSON *tree)
{
    const cJSON *item = tree->child;
    struct sb_json_iter iter;
    struct sb_span element;

    if (sb_json_count(value) != (size_t)cJSON_GetArraySize(tree))
        return false;
    sb_json_iter_init(&iter, value);
    for (; sb_json_next_element(&iter, &element); item = item->next)
        if (item == NULL || !kit_same_as_tree(element, item))
            return false;
    return item == NULL;
}

static bool same_object(struct sb_span value, const cJSON *tree)
{
    const cJSON *item = tree->child;
    struct sb_json_iter iter;
    struct sb_span key, member;

    if (sb_json_count(value) != (size_t)cJSON_GetArraySize(tree))
        return false;
    sb_json_iter_init(&iter, value);
    for (; sb_json_next_member(&iter, &key, &member); item = item->next)
        if (item == NULL || !same_text(key, item->string) || !kit_same_as_tree(member, item))
            return false;
    return item == NULL;
}

bool kit_same_as_tree(struct sb_span value, const cJSON *tree)
{
    switch (sb_json_type_of(value)) {
    case SB_JSON_NULL:
        return cJSON_IsNull(tree);
    case SB_JSON_FALSE:
        return cJSON_IsFalse(tree);
    case SB_JSON_TRUE:
        return cJSON_IsTrue(tree);
    case SB_JSON_NUMBER:
        return cJSON_IsNumber(tree) && same_number(value, tree->valuedouble);
    case SB_JSON_STRING:
        return cJSON_IsString(tree) && same_text(value, tree->valuestring);
    case SB_JSON_ARRAY:
        return cJSON_IsArray(tree) && same_array(value, tree);
    case SB_JSON_OBJECT:
        return cJSON_IsObject(tree) && same_object(value, tree);
    }
    return false;
}

bool kit_has_long_number(struct sb_span value)
{
    enum sb_json_type type = sb_json_type_of(value);
    struct sb_json_iter iter;
    struct sb_span key, inner;

    if (type == SB_JSON_NUMBER)
        return value.len > 63;
    if (type != SB_JSON_ARRAY && type != SB_JSON_OBJECT)
        return false;
    sb_json_iter_init(&iter, value);
    while (type == SB_JSON_ARRAY ? sb_json_next_element(&iter, &inner)
                                 : sb_json_next_member(&iter, &key, &inner))
        if (kit_has_long_number(inner))
            return true;
    return false;
}

/* ---- random texts ---- */

void kit_random_space(struct sb_rng *rng, struct sb_buf *out)
{
    while (sb_rng_below(rng, 6) == 0)
        sb_buf_add_char(out, " \n\t\r"[sb_rng_below(rng, 4)]);
}

static void random_digits(struct sb_rng *rng, uint64_t max, struct sb_buf *out)
{
    for (uint64_t count = 1 + sb_rng_below(rng, max); count > 0; count--)
        sb_buf_add_char(out, (char)('0' + sb_rng_below(rng, 10)));
}

void kit_random_number(struct sb_rng *rng, struct sb_buf *out)
{
    if (sb_rng_below(rng, 3) == 0)
        sb_buf_add_char(out, '-');
    if (sb_rng_below(rng, 4) == 0) {
        sb_buf_add_char(out, '0');
    } else {
        sb_buf_add_char(out, (char)('1' + sb_rng_below(rng, 9)));
        if (sb_rng_below(rng, 2) == 0)
            random_digits(rng, 20, out);
    }
    if (sb_rng_below(rng, 2) == 0) {
        sb_buf_add_char(out, '.');
        random_digits(rng, 17, out);
    }
    if (sb_rng_below(rng, 4) == 0) {
        sb_buf_add_char(out, "eE"[sb_rng_below(rng, 2)]);
        if (sb_rng_below(rng, 2) == 0)
            sb_buf_add_char(out, "+-"[sb_rng_below(rng, 2)]);
        random_digits(rng, 3, out);
    }
}

static unsigned random_code(struct sb_rng *rng)
{
    static const unsigned below[] = {0x80, 0x80, 0x80, 0x800, 0xd800, 0x110000};
    unsigned code = 0;

    while (code == 0 || (code >= 0xd800 && code < 0xe000))
        code = (unsigned)sb_rng_below(rng, below[sb_rng_below(rng, 6)]);
    return code;
}

static void add_utf8(unsigned code, struct sb_buf *out)
{
    if (code < 0x80) {
        sb_buf_add_char(out, (char)code);
    } else if (code < 0x800) {
        sb_buf_add_char(out, (char)(0xc0 | code >> 6));
        sb_buf_add_char(out, (char)(0x80 | (code & 0x3f)));
    } else if (code < 0x10000) {
        sb_buf_add_char(out, (char)(0xe0 | code >> 12));
        sb_buf_add_char(out, (char)(0x80 | (code >> 6 & 0x3f)));
        sb_buf_add_char(out, (char)(0x80 | (code & 0x3f)));
    } else {
        sb_buf_add_char(out, (char)(0xf0 | code >> 18));
        sb_buf_add_char(out, (char)(0x80 | (code >> 12 & 0x3f)));
        sb_buf_add_char(out, (char)(0x80 | (code >> 6 & 0x3f)));
        sb_buf_add_char(out, (char)(0x80 | (code & 0x3f)));
    }
}

static void add_unicode_escape(struct sb_rng *rng, unsigned code, struct sb_buf *out)
{
    if (code >= 0x10000) {
        add_unicode_escape(rng, 0xd800 + ((code - 0x10000) >> 10), out);
        code = 0xdc00 + ((code - 0x10000) & 0x3ff);
    }
    if (sb_rng_below(rng, 2) == 0)
        sb_buf_add_fmt(out, "\\u%04x", code);
    else
        sb_buf_add_fmt(out, "\\u%04X", code);
}

/* One character inside of a string, written in one of the ways there are. */
static void add_code(struct sb_rng *rng, unsigned code, struct sb_buf *out)
{
    static const char plain[] = "\"\\/\b\f\n\r\t", names[] = "\"\\/bfnrt";
    const char *name = code < 0x80 ? strchr(plain, (int)code) : NULL;
    bool must = code < 0x20 || code == '"' || code == '\\';

    if (sb_rng_below(rng, 8) == 0 || (must && name == NULL)) {
        add_unicode_escape(rng, code, out);
    } else if (must || (name != NULL && sb_rng_below(rng, 2) == 0)) {
        sb_buf_add_char(out, '\\');
        sb_buf_add_char(out, names[name - plain]);
    } else {
        add_utf8(code, out);
    }
}

void kit_random_string(struct sb_rng *rng, struct sb_buf *out)
{
    uint64_t count = sb_rng_below(rng, 4) * sb_rng_below(rng, 12);

    sb_buf_add_char(out, '"');
    for (; count > 0; count--)
        add_code(rng, random_code(rng), out);
    sb_buf_add_char(out, '"');
}

static void random_array(struct sb_rng *rng, unsigned depth, struct sb_buf *out)
{
    uint64_t count = sb_rng_below(rng, 5);

    sb_buf_add_char(out, '[');
    kit_random_space(rng, out);
    for (uint64_t i = 0; i < count; i++) {
        if (i > 0)
            sb_buf_add_char(out, ',');
        kit_random_value(rng, depth - 1, out);
    }
    sb_buf_add_char(out, ']');
}

/* Keys are made different by their number at the end. */
static void random_object(struct sb_rng *rng, unsigned depth, struct sb_buf *out)
{
    uint64_t count = sb_rng_below(rng, sb_rng_below(rng, 8) == 0 ? 40 : 5);

    sb_buf_add_char(out, '{');
    kit_random_space(rng, out);
    for (uint64_t i = 0; i < count; i++) {
        if (i > 0)
            sb_buf_add_char(out, ',');
        kit_random_space(rng, out);
        kit_random_string(rng, out);
        out->len--;
        sb_buf_add_fmt(out, "-%d\"", (int)i);
        kit_random_space(rng, out);
        sb_buf_add_char(out, ':');
        kit_random_value(rng, depth - 1, out);
    }
    sb_buf_add_char(out, '}');
}

void kit_random_value(struct sb_rng *rng, unsigned depth, struct sb_buf *out)
{
    kit_random_space(rng, out);
    switch (sb_rng_below(rng, depth > 0 ? 9 : 5)) {
    case 0:
        sb_buf_add_str(out, "null");
        break;
    case 1:
        sb_buf_add_str(out, sb_rng_below(rng, 2) == 0 ? "true" : "false");
        break;
    case 2:
    case 3:
        kit_random_number(rng, out);
        break;
    case 4:
        kit_random_string(rng, out);
        break;
    case 5:
    case 6:
        random_array(rng, depth, out);
        break;
    default:
        random_object(rng, depth, out);
        break;
    }
    kit_random_space(rng, out);
}

/* ---- the same value in another text ---- */

static unsigned code_of(const unsigned char *at, size_t *len)
{
    *len = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    switch (*len) {
    case 1:
        return at[0];
    case 2:
        return (at[0] & 0x1fu) << 6 | (at[1] & 0x3fu);
    case 3:
        return (at[0] & 0xfu) << 12 | (at[1] & 0x3fu) << 6 | (at[2] & 0x3fu);
    default:
        return (at[0] & 7u) << 18 | (at[1] & 0x3fu) << 12 | (at[2] & 0x3fu) << 6 | (at[3] & 0x3fu);
    }
}

static void rewrite_string(struct sb_rng *rng, struct sb_span string, struct sb_buf *out)
{
    struct sb_buf plain = {0};
    size_t len;

    sb_json_unescape(string, &plain);
    sb_buf_add_char(out, '"');
    for (size_t i = 0; i < plain.len; i += len)
        add_code(rng, code_of((const unsigned char *)plain.data + i, &len), out);
    sb_buf_add_char(out, '"');
    sb_buf_free(&plain);
}

static void rewrite_array(struct sb_rng *rng, struct sb_span value, struct sb_buf *out)
{
    struct sb_json_iter iter;
    struct sb_span element;
    bool first = true;

    sb_buf_add_char(out, '[');
    sb_json_iter_init(&iter, value);
    for (; sb_json_next_element(&iter, &element); first = false) {
        if (!first)
            sb_buf_add_char(out, ',');
        kit_rewrite(rng, element, out);
    }
    sb_buf_add_char(out, ']');
}

/* Begins with a member at random and goes round backwards. */
static void rewrite_object(struct sb_rng *rng, struct sb_span value, struct sb_buf *out)
{
    size_t count = sb_json_count(value), from = count > 0 ? sb_rng_below(rng, count) : 0;

    sb_buf_add_char(out, '{');
    for (size_t i = 0; i < count; i++) {
        size_t wanted = (from + (count - i)) % count;
        struct sb_json_iter iter;
        struct sb_span key, member;

        sb_json_iter_init(&iter, value);
        for (size_t n = 0; n <= wanted; n++)
            sb_json_next_member(&iter, &key, &member);
        if (i > 0)
            sb_buf_add_char(out, ',');
        rewrite_string(rng, key, out);
        sb_buf_add_char(out, ':');
        kit_rewrite(rng, member, out);
    }
    sb_buf_add_char(out, '}');
}

void kit_rewrite(struct sb_rng *rng, struct sb_span value, struct sb_buf *out)
{
    kit_random_space(rng, out);
    switch (sb_json_type_of(value)) {
    case SB_JSON_NULL:
    case SB_JSON_FALSE:
    case SB_JSON_TRUE:
    case SB_JSON_NUMBER:
        sb_buf_add_span(out, value);
        break;
    case SB_JSON_STRING:
        rewrite_string(rng, value, out);
        break;
    case SB_JSON_ARRAY:
        rewrite_array(rng, value, out);
        break;
    case SB_JSON_OBJECT:
        rewrite_object(rng, value, out);
        break;
    }
    kit_random_space(rng, out);
}

void kit_mutate(struct sb_rng *rng, struct sb_buf *text)
{
    static const char marks[] = "{}[]\",:\\0123456789-+.eEtfnu \n\x80\xc3\xff";
    size_t at, len;

    if (text->len == 0)
        return;
    at = sb_rng_below(rng, text->len);
    len = 1 + sb_rng_below(rng, text->len - at < 8 ? text->len - at : 8);
    switch (sb_rng_below(rng, 4)) {
    case 0:
        text->data[at] = marks[sb_rng_below(rng, sizeof(marks))];
        break;
    case 1:
        text->data[at] ^= (char)(1 << sb_rng_below(rng, 8));
        break;
    case 2:
        memmove(text->data + at, text->data + at + len, text->len - at - len);
        text->len -= len;
        break;
    default:
        sb_buf_reserve(text, len);
        memmove(text->data + at + len, text->data + at, text->len - at);
        text->len += len;
        break;
    }
}
