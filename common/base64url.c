#include "base64url.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* The value of a character + 1; 0 of what is none. */
static const unsigned char values[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['-'] = 63, ['_'] = 64,
};

static unsigned value_at(struct sb_span text, size_t i)
{
    return values[(unsigned char)text.data[i]] - 1U;
}

static size_t padding_of(struct sb_span text)
{
    size_t pad = 0;

    while (pad < 2 && pad < text.len && text.data[text.len - 1 - pad] == '=')
        pad++;
    return pad;
}

void sb_base64url_encode(struct sb_span bytes, struct sb_buf *out)
{
    size_t rest = bytes.len % 3, whole = bytes.len - rest;
    const unsigned char *in = (const unsigned char *)bytes.data;
    char *at;

    sb_buf_reserve(out, (bytes.len / 3 + 1) * 4);
    at = out->data + out->len;
    for (size_t i = 0; i < whole; i += 3) {
        *at++ = alphabet[in[i] >> 2];
        *at++ = alphabet[(in[i] & 3) << 4 | in[i + 1] >> 4];
        *at++ = alphabet[(in[i + 1] & 15) << 2 | in[i + 2] >> 6];
        *at++ = alphabet[in[i + 2] & 63];
    }
    if (rest > 0) {
        unsigned second = rest == 2 ? in[whole + 1] : 0;

        *at++ = alphabet[in[whole] >> 2];
        *at++ = alphabet[(in[whole] & 3) << 4 | second >> 4];
        *at++ = rest == 2 ? alphabet[(second & 15) << 2] : '=';
        *at++ = '=';
    }
    *at = '\0';
    out->len = (size_t)(at - out->data);
}

bool sb_base64url_valid(struct sb_span text, size_t *size)
{
    size_t pad = padding_of(text), chars = text.len - pad;
    /* bits of the last character that belong to no byte */
    static const unsigned unused[3] = {0, 3, 15};

    if (text.len % 4 != 0)
        return false;
    for (size_t i = 0; i < chars; i++)
        if (values[(unsigned char)text.data[i]] == 0)
            return false;
    if (chars > 0 && (value_at(text, chars - 1) & unused[pad]) != 0)
        return false;
    if (size != NULL)
        *size = text.len / 4 * 3 - pad;
    return true;
}

bool sb_base64url_decode(struct sb_span text, struct sb_buf *out)
{
    unsigned char *at;
    uint32_t bits = 0;
    size_t size;

    if (!sb_base64url_valid(text, &size))
        return false;
    sb_buf_reserve(out, size);
    at = (unsigned char *)out->data + out->len;
    for (size_t i = 0; i < text.len - padding_of(text); i++) {
        bits = bits << 6 | value_at(text, i);
        if (i % 4 != 0) /* 6, 12, 18, 24 bits are there: a byte less two, four, six of them */
            *at++ = (unsigned char)(bits >> (6 - 2 * (i % 4)));
    }
    *at = '\0';
    out->len += size;
    return true;
}
