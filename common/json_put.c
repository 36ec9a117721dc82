#include "json_put.h"

#include <inttypes.h>

#include "clock.h"
#include "json_scan.h"

static void begin(struct sb_buf *out, const char *key)
{
    char last = out->len > 0 ? out->data[out->len - 1] : '\n';

    if (last != '{' && last != '[' && last != '\n')
        sb_buf_add_char(out, ',');
    if (key == NULL)
        return;
    sb_buf_add_json(out, sb_span_of(key));
    sb_buf_add_char(out, ':');
}

void sb_put_open(struct sb_buf *out, const char *key, char bracket)
{
    begin(out, key);
    sb_buf_add_char(out, bracket);
}

void sb_put_close(struct sb_buf *out, char bracket)
{
    sb_buf_add_char(out, bracket);
}

/* Bad bytes one by one become U+FFFD. */
static void add_mended(struct sb_buf *out, struct sb_span text)
{
    struct sb_buf mended = {0};
    size_t bad;

    while (!sb_utf8_valid(text, &bad)) {
        sb_buf_add(&mended, text.data, bad);
        sb_buf_add_str(&mended, "\xef\xbf\xbd");
        text.data += bad + 1;
        text.len -= bad + 1;
    }
    sb_buf_add_span(&mended, text);
    sb_buf_add_json(out, sb_buf_span(&mended));
    sb_buf_free(&mended);
}

void sb_put_span(struct sb_buf *out, const char *key, struct sb_span text)
{
    begin(out, key);
    if (sb_utf8_valid(text, NULL))
        sb_buf_add_json(out, text);
    else
        add_mended(out, text);
}

void sb_put_text(struct sb_buf *out, const char *key, const char *text)
{
    sb_put_span(out, key, sb_span_of(text));
}

void sb_put_text_or_null(struct sb_buf *out, const char *key, const char *text)
{
    if (text == NULL || text[0] == '\0')
        sb_put_null(out, key);
    else
        sb_put_text(out, key, text);
}

void sb_put_u64(struct sb_buf *out, const char *key, uint64_t value)
{
    begin(out, key);
    sb_buf_add_u64(out, value);
}

void sb_put_i64(struct sb_buf *out, const char *key, int64_t value)
{
    begin(out, key);
    sb_buf_add_fmt(out, "%" PRId64, value);
}

void sb_put_bool(struct sb_buf *out, const char *key, bool value)
{
    begin(out, key);
    sb_buf_add_str(out, value ? "true" : "false");
}

void sb_put_null(struct sb_buf *out, const char *key)
{
    begin(out, key);
    sb_buf_add_str(out, "null");
}

void sb_put_time_us(struct sb_buf *out, const char *key, int64_t wall_us)
{
    char text[SB_TIME_TEXT];

    if (wall_us == 0) {
        sb_put_null(out, key);
        return;
    }
    sb_time_print(wall_us, text);
    sb_put_text(out, key, text);
}

void sb_put_time_ms(struct sb_buf *out, const char *key, int64_t wall_ms)
{
    sb_put_time_us(out, key, wall_ms * 1000);
}

void sb_put_raw(struct sb_buf *out, const char *key, struct sb_span json)
{
    begin(out, key);
    if (json.len == 0)
        sb_buf_add_str(out, "null");
    else
        sb_buf_add_span(out, json);
}
