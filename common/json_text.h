#ifndef SB_JSON_TEXT_H
#define SB_JSON_TEXT_H

#include <string.h>

#include "json_scan.h"

/* Parts that the strict walk and the reading of checked text share. */

/* Index of the first byte in at..end that is a quote, a backslash, a control character or not
 * ASCII; or the length. Eight bytes at a time. */
static inline const char *sb_json_plain_end(const char *at, const char *end)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t tops = ones << 7;

    while (end - at >= 8) {
        uint64_t x, quote, slash, hit;

        memcpy(&x, at, 8);
        quote = x ^ (ones * '"');
        slash = x ^ (ones * '\\');
        /* the lowest hit is exact, those above it may be false: good for "any" and, on a machine
         * with the lowest byte first, for "where" */
        hit =
            (((x - ones * 0x20) & ~x) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash) | x) &
            tops;
        if (hit != 0) {
            if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
                return at + (__builtin_ctzll(hit) >> 3);
            break;
        }
        at += 8;
    }
    while (at < end && (unsigned char)*at >= 0x20 && (unsigned char)*at < 0x80 && *at != '"' &&
           *at != '\\')
        at++;
    return at;
}

/* Length of the UTF-8 sequence at `at` (which is not ASCII), 0 when it is not a valid one. */
unsigned sb_utf8_sequence(const char *at, const char *end);

/* Reads \uXXXX after the backslash and the u; -1 when these are not four hex digits. */
int sb_json_hex4(const char *at, const char *end);

/* Writes a code point as UTF-8; returns its length. */
unsigned sb_utf8_put(unsigned code, char out[4]);

/* Reads the characters of a checked string body one code point's bytes at a time. Returns how many
 * bytes went into out, 0 at the end. */
unsigned sb_json_next_char(const char **at, const char *end, char out[4]);

/* Where the value ends that begins at `at`. For checked text. */
const char *sb_json_skip(const char *at, const char *end);

/* The characters of a string (value with its quotes, or a raw key without) into out with a NUL;
 * false when they do not fit into size bytes. For checked text. */
bool sb_json_copy(struct sb_span string, char *out, size_t size);

#endif
