#include "nearest.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#define LONGEST 64

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static int same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Optimal string alignment; row i-2 is needed for a swap. */
size_t sb_edit_distance(const char *a, const char *b)
{
    size_t rows[3][LONGEST + 1];
    size_t a_len = strlen(a), b_len = strlen(b);
    size_t *before = rows[0], *last = rows[1], *row = rows[2];

    if (a_len > LONGEST || b_len > LONGEST)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_len; j++)
        before[j] = last[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *oldest = before;

        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            row[j] = least(last[j], row[j - 1]) + 1;
            row[j] = least(row[j], last[j - 1] + !same(a[i - 1], b[j - 1]));
            if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
                row[j] = least(row[j], before[j - 2] + 1);
        }
        before = last;
        last = row;
        row = oldest;
    }
    return last[b_len];
}

int sb_is_near(const char *typed, size_t distance)
{
    size_t third = strlen(typed) / 3;

    return distance <= (third > 2 ? third : 2);
}
