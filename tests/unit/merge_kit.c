#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/json_scan.h"
#include "json_kit.h"
#include "merge_kit.h"

static const struct sb_json_limits limits = {1 << 24, SB_JSON_MAX_DEPTH, SB_JSON_MAX_NODES * 4};

static char **texts;
static size_t text_count;

struct sb_span kit_document_span(struct sb_span text)
{
    struct sb_err err = {0};
    struct sb_span value;

    if (text.len == 0)
        return SB_SPAN("");
    if (sb_json_check(text, &limits, &value, &err) != 0)
        fail_msg("%.*s: %s", (int)(text.len < 400 ? text.len : 400), text.data, err.msg);
    texts = sb_xgrow(texts, text_count, sizeof(*texts));
    texts[text_count] = sb_xmalloc(value.len);
    memcpy(texts[text_count], value.data, value.len);
    return (struct sb_span){texts[text_count++], value.len};
}

struct sb_span kit_document(const char *text)
{
    return kit_document_span(sb_span_of(text));
}

void kit_free_texts(void)
{
    while (text_count > 0)
        free(texts[--text_count]);
    free(texts);
    texts = NULL;
}

struct sb_array_keys kit_arrays(const char *text)
{
    struct sb_array_keys keys = {0};
    struct sb_err err = {0};

    if (sb_array_keys_parse(&keys, sb_span_of(text), &err) != 0)
        fail_msg("%s: %s", text, err.msg);
    return keys;
}

struct sb_stamps kit_stamps(const char *text)
{
    struct sb_stamps stamps = {0};
    struct sb_err err = {0};

    if (sb_stamps_parse(&stamps, sb_span_of(text), &err) != 0)
        fail_msg("%s: %s", text, err.msg);
    return stamps;
}

const char *kit_places(const struct sb_pointers *places)
{
    static char kept[4][1024];
    static unsigned next;
    struct sb_buf text = {0};
    char *out = kept[next++ % 4];

    sb_pointers_print(places, &text);
    strncpy(out, text.data, sizeof(kept[0]) - 1);
    sb_buf_free(&text);
    return out;
}

/* ---- random documents ---- */

#define KEYS 6

static const char *const keys[KEYS] = {"a", "b", "c", "x/y", "~", "n"};

static bool chance(struct sb_rng *rng, unsigned percent)
{
    return sb_rng_below(rng, 100) < percent;
}

static void add_comma(struct sb_buf *out, char open)
{
    if (out->data[out->len - 1] != open)
        sb_buf_add_char(out, ',');
}

static void random_value(struct sb_rng *rng, unsigned depth, struct sb_buf *out);

static void random_element(struct sb_rng *rng, unsigned id, struct sb_buf *out)
{
    sb_buf_add_fmt(out, id % 2 == 0 ? "{\"id\":%u,\"v\":" : "{\"id\":\"%u\",\"v\":", id);
    random_value(rng, 1, out);
    sb_buf_add_char(out, '}');
}

static void random_elements(struct sb_rng *rng, struct sb_buf *out)
{
    sb_buf_add_char(out, '[');
    for (unsigned id = 0; id < 5; id++)
        if (chance(rng, 60)) {
            add_comma(out, '[');
            random_element(rng, id, out);
        }
    sb_buf_add_char(out, ']');
}

static void random_object(struct sb_rng *rng, unsigned depth, unsigned percent, struct sb_buf *out)
{
    sb_buf_add_char(out, '{');
    for (unsigned i = 0; i < KEYS - 1; i++)
        if (chance(rng, percent)) {
            add_comma(out, '{');
            sb_buf_add_fmt(out, "\"%s\":", keys[i]);
            random_value(rng, depth, out);
        }
    sb_buf_add_char(out, '}');
}

static void random_value(struct sb_rng *rng, unsigned depth, struct sb_buf *out)
{
    static const char *const scalars[] = {
        "null", "true", "1", "1.0", "-0", "\"1\"", "\"\"", "[]", "[1]", "[{\"id\":\"q\"}]", "2"};

    if (depth > 0 && chance(rng, 50))
        random_object(rng, depth - 1, 40, out);
    else
        sb_buf_add_str(out, scalars[sb_rng_below(rng, sizeof(scalars) / sizeof(scalars[0]))]);
}

/* The same value in another spelling. */
static void respell(struct sb_rng *rng, struct sb_span plain, struct sb_buf *out)
{
    struct sb_buf spelled = {0};
    struct sb_span value;
    struct sb_err err;

    kit_rewrite(rng, plain, &spelled);
    if (sb_json_check(sb_buf_span(&spelled), &limits, &value, &err) != 0)
        fail_msg("%s: %s", spelled.data, err.msg);
    sb_buf_add_span(out, value);
    sb_buf_free(&spelled);
}

void kit_random_document(struct sb_rng *rng, bool arrays, struct sb_buf *out)
{
    struct sb_buf plain = {0};

    if (chance(rng, 5))
        return;
    random_object(rng, 3, 70, &plain);
    if (arrays) {
        plain.len--;
        add_comma(&plain, '{');
        sb_buf_add_str(&plain, "\"n\":");
        random_elements(rng, &plain);
        sb_buf_add_char(&plain, '}');
    }
    respell(rng, sb_buf_span(&plain), out);
    sb_buf_free(&plain);
}

static void edit_value(struct sb_rng *rng, struct sb_span value, bool elements, struct sb_buf *out);

/* Some members go, some are edited, some come. */
static void edit_object(struct sb_rng *rng, struct sb_span object, bool arrays, struct sb_buf *out)
{
    struct sb_json_iter iter;
    struct sb_span key, value;
    unsigned have = 0;

    sb_buf_add_char(out, '{');
    sb_json_iter_init(&iter, object);
    while (sb_json_next_member(&iter, &key, &value)) {
        struct sb_buf plain = {0};

        sb_json_unescape(key, &plain);
        for (unsigned i = 0; i < KEYS; i++)
            if (sb_span_is(sb_buf_span(&plain), keys[i]))
                have |= 1U << i;
        if (!chance(rng, 8)) {
            add_comma(out, '{');
            sb_buf_add_fmt(out, "\"" SB_SPAN_FMT "\":", SB_SPAN_ARG(key));
            if (chance(rng, 30))
                edit_value(rng, value, arrays && sb_span_is(sb_buf_span(&plain), "n"), out);
            else
                sb_buf_add_span(out, value);
        }
        sb_buf_free(&plain);
    }
    for (unsigned i = 0; i < KEYS - 1; i++)
        if ((have & 1U << i) == 0 && chance(rng, 12)) {
            add_comma(out, '{');
            sb_buf_add_fmt(out, "\"%s\":", keys[i]);
            random_value(rng, 2, out);
        }
    sb_buf_add_char(out, '}');
}

static void edit_element(struct sb_rng *rng, struct sb_span element, struct sb_buf *out)
{
    struct sb_span id;

    if (sb_json_type_of(element) != SB_JSON_OBJECT || !sb_json_get(element, "id", &id) ||
        chance(rng, 70)) {
        sb_buf_add_span(out, element);
        return;
    }
    sb_buf_add_fmt(out, "{\"v\":%u,\"id\":" SB_SPAN_FMT, (unsigned)sb_rng_below(rng, 3),
                   SB_SPAN_ARG(id));
    if (chance(rng, 50)) {
        sb_buf_add_str(out, ",\"w\":");
        random_value(rng, 1, out);
    }
    sb_buf_add_char(out, '}');
}

/* Some elements go, one comes, two change places. */
static void edit_elements(struct sb_rng *rng, struct sb_span array, struct sb_buf *out)
{
    struct sb_span element[16];
    struct sb_json_iter iter;
    size_t count = 0;

    sb_json_iter_init(&iter, array);
    while (count < 16 && sb_json_next_element(&iter, &element[count]))
        count += chance(rng, 85);
    if (count > 1 && chance(rng, 30)) {
        size_t i = sb_rng_below(rng, count - 1);
        struct sb_span first = element[i];

        element[i] = element[i + 1];
        element[i + 1] = first;
    }
    sb_buf_add_char(out, '[');
    if (chance(rng, 30))
        random_element(rng, 5 + (unsigned)sb_rng_below(rng, 4), out);
    for (size_t i = 0; i < count; i++) {
        add_comma(out, '[');
        edit_element(rng, element[i], out);
    }
    sb_buf_add_char(out, ']');
}

static void edit_value(struct sb_rng *rng, struct sb_span value, bool elements, struct sb_buf *out)
{
    if (elements && sb_json_type_of(value) == SB_JSON_ARRAY)
        edit_elements(rng, value, out);
    else if (sb_json_type_of(value) == SB_JSON_OBJECT && chance(rng, 80))
        edit_object(rng, value, false, out);
    else
        random_value(rng, 2, out);
}

void kit_random_edit(struct sb_rng *rng, struct sb_span document, bool arrays, struct sb_buf *out)
{
    struct sb_buf plain = {0};

    if (chance(rng, 4))
        return;
    if (document.len == 0 || chance(rng, 4)) {
        kit_random_document(rng, arrays, out);
        return;
    }
    edit_object(rng, document, arrays, &plain);
    if (chance(rng, 30))
        respell(rng, sb_buf_span(&plain), out);
    else
        sb_buf_add_span(out, sb_buf_span(&plain));
    sb_buf_free(&plain);
}
