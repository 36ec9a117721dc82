/* gzip: unpacking never exceeds its caps and leaves nothing behind on an error; packing any bytes
 * and unpacking them gives the bytes. */
#include <string.h>

#include "common/check.h"
#include "common/gzip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LIMIT 262144

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sb_gzip *gzip;
    struct sb_span payload = {(const char *)data, size};
    struct sb_buf out = {0}, packed = {0};
    struct sb_err err = {0};

    if (gzip == NULL)
        gzip = sb_gzip_new(1);
    sb_buf_add_str(&out, "kept");
    if (sb_gzip_unpack(gzip, payload, LIMIT, &out, &err) == 0) {
        SB_CHECK(out.len - 4 <= LIMIT);
        SB_CHECK(out.len - 4 <= 65536 || out.len - 4 <= size * SB_GZIP_MAX_RATIO);
    } else {
        SB_CHECK(out.len == 4);
        SB_CHECK(err.code == SB_EBAD_GZIP || err.code == SB_ETOO_LARGE);
    }
    SB_CHECK(memcmp(out.data, "kept", 4) == 0);

    if (!sb_gzip_is(payload) && size <= LIMIT) {
        out.len = 0;
        sb_gzip_pack(gzip, payload, &packed);
        SB_CHECK(packed.len <= size);
        SB_CHECK(sb_gzip_unpack(gzip, sb_buf_span(&packed), LIMIT, &out, &err) == 0 ||
                 err.code == SB_ETOO_LARGE);
        SB_CHECK(err.code == SB_ETOO_LARGE || sb_span_eq(sb_buf_span(&out), payload));
    }
    sb_buf_free(&out);
    sb_buf_free(&packed);
    return 0;
}
