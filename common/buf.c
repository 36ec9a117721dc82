#include "buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

_Noreturn void sb_check_failed(const char *cond, const char *file, int line, const char *func)
{
    fprintf(stderr, "bug: %s:%d: %s: broken: %s\n", file, line, func, cond);
    abort();
}

static void *or_abort(void *ptr)
{
    if (ptr == NULL) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return ptr;
}

void *sb_xmalloc(size_t size)
{
    return or_abort(malloc(size > 0 ? size : 1));
}

void *sb_xcalloc(size_t count, size_t size)
{
    return or_abort(calloc(count > 0 ? count : 1, size > 0 ? size : 1));
}

void *sb_xrealloc(void *ptr, size_t size)
{
    return or_abort(realloc(ptr, size > 0 ? size : 1));
}

void *sb_xgrow(void *array, size_t count, size_t size)
{
    if ((count & (count - 1)) != 0)
        return array;
    return sb_xrealloc(array, (count > 0 ? count * 2 : 1) * size);
}

char *sb_xstrdup(const char *text)
{
    return or_abort(strdup(text));
}

char *sb_xstrndup(const char *text, size_t len)
{
    char *copy = sb_xmalloc(len + 1);

    if (len > 0)
        memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

struct sb_span sb_span_of(const char *text)
{
    return (struct sb_span){text, strlen(text)};
}

bool sb_span_eq(struct sb_span a, struct sb_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool sb_span_is(struct sb_span a, const char *text)
{
    return sb_span_eq(a, sb_span_of(text));
}

void sb_buf_free(struct sb_buf *buf)
{
    free(buf->data);
    *buf = (struct sb_buf){0};
}

void sb_buf_clear(struct sb_buf *buf)
{
    buf->len = 0;
    if (buf->data != NULL)
        buf->data[0] = '\0';
}

void sb_buf_reserve(struct sb_buf *buf, size_t more)
{
    size_t need = buf->len + more + 1;
    size_t cap = buf->cap > 0 ? buf->cap : 256;

    SB_CHECK(need > more);
    if (need <= buf->cap)
        return;
    while (cap < need)
        cap *= 2;
    buf->data = sb_xrealloc(buf->data, cap);
    buf->cap = cap;
}

void sb_buf_add(struct sb_buf *buf, const void *data, size_t len)
{
    sb_buf_reserve(buf, len);
    if (len > 0)
        memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void sb_buf_add_span(struct sb_buf *buf, struct sb_span span)
{
    sb_buf_add(buf, span.data, span.len);
}

void sb_buf_add_str(struct sb_buf *buf, const char *text)
{
    sb_buf_add(buf, text, strlen(text));
}

void sb_buf_add_char(struct sb_buf *buf, char c)
{
    sb_buf_add(buf, &c, 1);
}

void sb_buf_add_u64(struct sb_buf *buf, uint64_t value)
{
    char text[24];
    char *at = text + sizeof(text);

    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    sb_buf_add(buf, at, (size_t)(text + sizeof(text) - at));
}

void sb_buf_add_fmt(struct sb_buf *buf, const char *fmt, ...)
{
    va_list args, again;
    int len;

    va_start(args, fmt);
    va_copy(again, args);
    len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    SB_CHECK(len >= 0);
    sb_buf_reserve(buf, (size_t)len);
    vsnprintf(buf->data + buf->len, (size_t)len + 1, fmt, again);
    va_end(again);
    buf->len += (size_t)len;
}

static void add_escape(struct sb_buf *buf, unsigned char c)
{
    static const char *const names[] = {
        ['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n", ['\f'] = "\\f", ['\r'] = "\\r"};

    if (c == '"' || c == '\\') {
        sb_buf_add_char(buf, '\\');
        sb_buf_add_char(buf, (char)c);
    } else if (c < sizeof(names) / sizeof(names[0]) && names[c] != NULL) {
        sb_buf_add_str(buf, names[c]);
    } else {
        sb_buf_add_fmt(buf, "\\u%04x", c);
    }
}

void sb_buf_add_json(struct sb_buf *buf, struct sb_span text)
{
    size_t i, from = 0;

    sb_buf_reserve(buf, text.len + 2);
    sb_buf_add_char(buf, '"');
    for (i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];

        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        sb_buf_add(buf, text.data + from, i - from);
        add_escape(buf, c);
        from = i + 1;
    }
    if (from < text.len)
        sb_buf_add(buf, text.data + from, text.len - from);
    sb_buf_add_char(buf, '"');
}

char *sb_buf_take(struct sb_buf *buf)
{
    char *data;

    sb_buf_reserve(buf, 0);
    buf->data[buf->len] = '\0';
    data = buf->data;
    *buf = (struct sb_buf){0};
    return data;
}

struct sb_span sb_buf_span(const struct sb_buf *buf)
{
    return (struct sb_span){buf->data != NULL ? buf->data : "", buf->len};
}
