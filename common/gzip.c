#include "gzip.h"

#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "check.h"

#define GZIP_WINDOW   (15 + 16) /* the widest window, gzip framing */
#define PIECE         65536
#define RATIO_APPLIES 65536 /* of output; below, the ratio says nothing */

struct sb_gzip {
    int level;
    z_stream deflate;
    z_stream inflate;
};

struct sb_gzip *sb_gzip_new(int level)
{
    struct sb_gzip *gzip = sb_xcalloc(1, sizeof(*gzip));

    SB_CHECK(level >= 1 && level <= 9);
    gzip->level = level;
    SB_CHECK(deflateInit2(&gzip->deflate, level, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) ==
             Z_OK);
    SB_CHECK(inflateInit2(&gzip->inflate, GZIP_WINDOW) == Z_OK);
    return gzip;
}

void sb_gzip_free(struct sb_gzip *gzip)
{
    if (gzip == NULL)
        return;
    deflateEnd(&gzip->deflate);
    inflateEnd(&gzip->inflate);
    free(gzip);
}

bool sb_gzip_is(struct sb_span data)
{
    return data.len >= 2 && memcmp(data.data, "\x1f\x8b", 2) == 0;
}

/* zlib reads through a pointer that is not const. */
static Bytef *input_of(struct sb_span data)
{
    union {
        const char *from;
        Bytef *to;
    } pointer = {.from = data.data};

    return pointer.to;
}

/* Appends data as one member; false, and out as before, where that is not smaller. */
static bool deflate_member(struct sb_gzip *gzip, int strategy, struct sb_span data,
                           struct sb_buf *out)
{
    z_stream *stream = &gzip->deflate;

    SB_CHECK(deflateReset(stream) == Z_OK);
    SB_CHECK(deflateParams(stream, gzip->level, strategy) == Z_OK);
    sb_buf_reserve(out, data.len);
    stream->next_in = input_of(data);
    stream->avail_in = (uInt)data.len;
    stream->next_out = (Bytef *)out->data + out->len;
    stream->avail_out = (uInt)data.len - 1; /* no more than this is worth it */
    if (deflate(stream, Z_FINISH) == Z_STREAM_END)
        out->len += stream->total_out;
    else
        stream->total_out = 0;
    out->data[out->len] = '\0';
    return stream->total_out > 0;
}

/* A member that unpacks to more than the other end believes would never be read. */
static bool is_believed(size_t len, size_t packed)
{
    return len <= RATIO_APPLIES || len <= packed * SB_GZIP_MAX_RATIO;
}

void sb_gzip_pack(struct sb_gzip *gzip, struct sb_span data, struct sb_buf *out)
{
    size_t before = out->len;

    SB_CHECK(data.len <= UINT32_MAX / 2);
    if (data.len <= SB_GZIP_MIN_BYTES || !deflate_member(gzip, Z_DEFAULT_STRATEGY, data, out)) {
        sb_buf_add_span(out, data);
    } else if (!is_believed(data.len, out->len - before)) {
        out->len = before;
        SB_CHECK(deflate_member(gzip, Z_HUFFMAN_ONLY, data, out)); /* to an eighth at best */
    }
}

/* Inflates until the member ends; its bytes are appended to out. */
static int inflate_member(z_stream *stream, size_t limit, struct sb_buf *out, struct sb_err *err)
{
    size_t before = out->len;
    int rc;

    do {
        size_t room = limit - (out->len - before) + 1; /* one byte more tells "too large" */

        if (room > PIECE)
            room = PIECE;
        sb_buf_reserve(out, room);
        stream->next_out = (Bytef *)out->data + out->len;
        stream->avail_out = (uInt)room;
        rc = inflate(stream, Z_NO_FLUSH);
        out->len += room - stream->avail_out;
        if (out->len - before > limit)
            return sb_fail(err, SB_ETOO_LARGE, "payload: more than %zu bytes when unpacked", limit);
    } while (rc == Z_OK);
    if (rc == Z_BUF_ERROR)
        return sb_fail(err, SB_EBAD_GZIP, "payload: the gzip member is cut off");
    if (rc == Z_MEM_ERROR)
        return sb_fail(err, SB_EINTERNAL, "payload: no memory to unpack it");
    if (rc != Z_STREAM_END)
        return sb_fail(err, SB_EBAD_GZIP, "payload: not valid gzip: %s",
                       stream->msg != NULL ? stream->msg : "damaged");
    return 0;
}

static int unpack(z_stream *stream, struct sb_span payload, size_t limit, struct sb_buf *out,
                  struct sb_err *err)
{
    int rc;

    SB_CHECK(inflateReset(stream) == Z_OK);
    stream->next_in = input_of(payload);
    stream->avail_in = (uInt)payload.len;
    rc = inflate_member(stream, limit, out, err);
    if (rc == 0 && stream->avail_in > 0)
        rc =
            sb_fail(err, SB_EBAD_GZIP, "payload: %u bytes after the gzip member", stream->avail_in);
    return rc;
}

int sb_gzip_unpack(struct sb_gzip *gzip, struct sb_span payload, size_t max_bytes,
                   struct sb_buf *out, struct sb_err *err)
{
    size_t before = out->len, limit = payload.len * SB_GZIP_MAX_RATIO;
    int rc;

    SB_CHECK(payload.len <= UINT32_MAX / 2);
    if (!sb_gzip_is(payload)) {
        if (payload.len > max_bytes)
            return sb_fail(err, SB_ETOO_LARGE, "payload: %zu bytes, at most %zu are allowed",
                           payload.len, max_bytes);
        sb_buf_add_span(out, payload);
        return 0;
    }
    if (limit < RATIO_APPLIES)
        limit = RATIO_APPLIES;
    rc = unpack(&gzip->inflate, payload, limit < max_bytes ? limit : max_bytes, out, err);
    if (rc == -SB_ETOO_LARGE && limit < max_bytes)
        sb_fail(err, SB_ETOO_LARGE, "payload: unpacks to more than %d times its %zu bytes",
                SB_GZIP_MAX_RATIO, payload.len);
    if (rc < 0) {
        out->len = before;
        out->data[before] = '\0';
    }
    return rc;
}
