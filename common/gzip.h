#ifndef SB_GZIP_H
#define SB_GZIP_H

#include <stdbool.h>

#include "buf.h"
#include "err.h"

#define SB_GZIP_MIN_BYTES 1024 /* JSON up to this size travels plain */
#define SB_GZIP_MAX_RATIO 200  /* output : input; our own batches reach about 15, zeros 1028 */

/* One kept z_stream each way; not thread-safe. level 1..9. */
struct sb_gzip;
struct sb_gzip *sb_gzip_new(int level);
void sb_gzip_free(struct sb_gzip *gzip);

/* Does it begin with the gzip magic bytes 1f 8b? (JSON text never does.) */
bool sb_gzip_is(struct sb_span data);

/* Appends data to out, in one gzip member when data is over SB_GZIP_MIN_BYTES and that is smaller,
 * else as it is. What would shrink to less than a SB_GZIP_MAX_RATIO-th is packed less tightly, so
 * that sb_gzip_unpack takes it. Cannot fail. */
void sb_gzip_pack(struct sb_gzip *gzip, struct sb_span data, struct sb_buf *out);

/* Appends the contents of a payload to out: as it is when it is not gzip; else inflated in pieces,
 * exactly one member with a right CRC and length and nothing behind it.
 * SB_EBAD_GZIP for anything else; SB_ETOO_LARGE beyond max_bytes or SB_GZIP_MAX_RATIO (the ratio
 * counts from 64 KiB of output on). On error out is as before. */
int sb_gzip_unpack(struct sb_gzip *gzip, struct sb_span payload, size_t max_bytes,
                   struct sb_buf *out, struct sb_err *err);

#endif
