#include "json_text.h"

unsigned sb_utf8_sequence(const char *at, const char *end)
{
    const unsigned char *s = (const unsigned char *)at;
    size_t left = (size_t)(end - at);
    unsigned len;

    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        len = 2;
    else if (s[0] >= 0xe0 && s[0] <= 0xef)
        len = 3;
    else if (s[0] >= 0xf0 && s[0] <= 0xf4)
        len = 4;
    else
        return 0;
    if (left < len)
        return 0;
    for (unsigned i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || /* overlong, surrogate */
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))   /* overlong, > 10ffff */
        return 0;
    return len;
}

bool sb_utf8_valid(struct sb_span text, size_t *bad_at)
{
    const char *at = text.data, *end;

    if (text.len == 0)
        return true;
    end = at + text.len;
    while (at < end) {
        unsigned len;

        at = sb_json_plain_end(at, end);
        if (at == end)
            break;
        len = (unsigned char)*at < 0x80 ? *at != '\0' : sb_utf8_sequence(at, end);
        if (len == 0) {
            if (bad_at != NULL)
                *bad_at = (size_t)(at - text.data);
            return false;
        }
        at += len;
    }
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int sb_json_hex4(const char *at, const char *end)
{
    int value = 0;

    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);

        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

unsigned sb_utf8_put(unsigned code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* *at stands after \u */
static unsigned next_escaped_code(const char **at, const char *end, char out[4])
{
    unsigned code = (unsigned)sb_json_hex4(*at, end);

    *at += 4;
    if (code >= 0xd800 && code <= 0xdbff) {
        unsigned low = (unsigned)sb_json_hex4(*at + 2, end);

        *at += 6;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    return sb_utf8_put(code, out);
}

unsigned sb_json_next_char(const char **at, const char *end, char out[4])
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c;

    if (*at >= end)
        return 0;
    c = *(*at)++;
    if (c != '\\') {
        out[0] = c;
        return 1;
    }
    c = *(*at)++;
    if (c == 'u')
        return next_escaped_code(at, end, out);
    out[0] = to[strchr(from, c) - from];
    return 1;
}

/* The first quote or backslash; there is one. Eight bytes at a time, whatever they mean: most text
 * that is skipped in a language without ASCII would otherwise be looked at byte by byte. */
static const char *string_stop(const char *at, const char *end)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t tops = ones << 7;

    while (end - at >= 8) {
        uint64_t x, quote, slash, hit;

        memcpy(&x, at, 8);
        quote = x ^ (ones * '"');
        slash = x ^ (ones * '\\');
        hit = (((quote - ones) & ~quote) | ((slash - ones) & ~slash)) & tops; /* lowest: exact */
        if (hit != 0) {
            if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
                return at + (__builtin_ctzll(hit) >> 3);
            break;
        }
        at += 8;
    }
    while (*at != '"' && *at != '\\')
        at++;
    return at;
}

/* After the closing quote; at stands after the opening one. */
static const char *skip_string(const char *at, const char *end)
{
    for (;;) {
        at = string_stop(at, end);
        if (*at == '"')
            return at + 1;
        at += 2;
    }
}

const char *sb_json_skip(const char *at, const char *end)
{
    unsigned open = 0;

    for (;;) {
        switch (*at) {
        case '"':
            at = skip_string(at + 1, end);
            break;
        case '[':
        case '{':
            open++;
            at++;
            continue;
        case ']':
        case '}':
            open--;
            at++;
            break;
        case ',':
        case ':':
        case ' ':
        case '\n':
        case '\t':
        case '\r':
            at++;
            continue;
        default: /* a number or a word */
            while (at < end && *at != ',' && *at != ']' && *at != '}' && (unsigned char)*at > ' ')
                at++;
        }
        if (open == 0)
            return at;
    }
}
