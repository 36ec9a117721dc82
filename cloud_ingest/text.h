#ifndef CLOUD_TEXT_H
#define CLOUD_TEXT_H

#include <string.h>

/* Copies a text for people into a fixed array, cutting off what does not fit (at the start of a
 * UTF-8 character, so that what is left is valid). */
static inline void text_cut(char *out, size_t size, const char *text)
{
    size_t len = strnlen(text, size);

    if (len == size) {
        len = size - 1;
        while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
            len--;
    }
    memcpy(out, text, len);
    out[len] = '\0';
}

#endif
