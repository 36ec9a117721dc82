#include "json_scan.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    SB_CHECK(c_locale != (locale_t)0);
}

/* An application that uses our library may have set a locale with a decimal comma. */
static bool slow(struct sb_span value, double *out)
{
    char small[128], *copy = small, *end;
    bool ok;

    pthread_once(&c_locale_once, make_c_locale);
    if (value.len >= sizeof(small))
        copy = sb_xmalloc(value.len + 1);
    memcpy(copy, value.data, value.len);
    copy[value.len] = '\0';
    *out = strtod_l(copy, &end, c_locale);
    ok = end == copy + value.len && isfinite(*out);
    if (copy != small)
        free(copy);
    return ok;
}

/* The digits of a number with the point taken out, and the power of ten they are to be scaled by.
 * False for an exponent and for more digits than are exact. */
static bool short_decimal(struct sb_span value, uint64_t *digits, int *scale)
{
    const char *at = value.data, *end = value.data + value.len;
    uint64_t sum = 0;
    bool point = false;
    int after = 0, count = 0;

    for (; at < end; at++) {
        unsigned digit = (unsigned char)*at - (unsigned)'0';

        if (*at == '.' && !point) {
            point = true;
            continue;
        }
        if (digit > 9 || ++count > 18)
            return false;
        sum = sum * 10 + digit;
        after += point;
    }
    *digits = sum;
    *scale = after;
    return count > 0 && sum <= (UINT64_C(1) << 53);
}

bool sb_json_double(struct sb_span value, double *out)
{
    static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
                                  1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};
    bool minus = value.len > 0 && value.data[0] == '-';
    struct sb_span size = {value.data + minus, value.len - minus};
    uint64_t digits;
    int scale;

    if (size.len == 0 || (unsigned char)(size.data[0] - '0') > 9)
        return false;
    /* Both operands are exact, so the one division rounds correctly (Clinger), unless the machine
     * computes with more than a double's precision. */
    if (FLT_EVAL_METHOD != 0 || !short_decimal(size, &digits, &scale))
        return slow(value, out);
    *out = (double)digits / tens[scale];
    if (minus)
        *out = -*out;
    return true;
}
