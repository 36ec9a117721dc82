#ifndef SB_HELLO_H
#define SB_HELLO_H

#include "ids.h"
#include "json_scan.h"
#include "ranges.h"
#include "topic.h"

/* hello and welcome (PROTOCOL.md section 5; rules D1-D3, D9). */

#define SB_HELLO_MAX_PAGES  4096
#define SB_HELLO_PAGE_BYTES 65536 /* JSON of one page, either way, before gzip */
#define SB_EPOCHS_MAX       64    /* named in one hello, over all pages */
#define SB_INTERVALS_MAX    10000 /* of one stream */

struct sb_receipt {
    char boot[SB_UUID_LEN + 1]; /* "" = none yet */
    uint64_t commit;
};

/* What the device says of one (epoch, stream). */
struct sb_claim {
    char epoch[SB_EPOCH_LEN + 1];
    char stream[SB_STREAM_MAX + 1];
    uint64_t made;            /* highest number given out */
    struct sb_ranges settled; /* answered for good */
    struct sb_ranges held;    /* unsettled rows and unsent holes */
};

struct sb_hello {
    char nonce[SB_UUID_LEN + 1];
    char device[SB_NAME_MAX + 1];
    char device_boot[SB_UUID_LEN + 1]; /* kernel boot id, "" = not given */
    struct sb_receipt receipt;
    char epoch[SB_EPOCH_LEN + 1]; /* the current one; may have no stream yet */
    uint32_t page, pages;         /* 1-based */
    int64_t sent_at_us;
    char (*epochs)[SB_EPOCH_LEN + 1]; /* every epoch named on this page, also without streams */
    size_t epoch_count;
    struct sb_claim *claims;
    size_t claim_count;
};

void sb_hello_init(struct sb_hello *hello);
void sb_hello_free(struct sb_hello *hello);
void sb_hello_add_epoch(struct sb_hello *hello, const char *epoch); /* once each */
struct sb_claim *sb_hello_add_claim(struct sb_hello *hello, const char *epoch, const char *stream);

/* Splits one whole hello (page and pages ignored) into pages whose JSON is at most page_bytes
 * (a single claim with more intervals than fit makes a page of its own). Calls emit for each page's
 * JSON, in order; every page carries all header fields. */
void sb_hello_encode(const struct sb_hello *hello, size_t page_bytes,
                     void (*emit)(void *ctx, struct sb_span json), void *ctx);
int sb_hello_decode(struct sb_span text, struct sb_hello *hello, struct sb_err *err);

/* What the cloud knows of one (epoch, stream). */
struct sb_standing {
    char epoch[SB_EPOCH_LEN + 1];
    char stream[SB_STREAM_MAX + 1];
    struct sb_ranges decided;
    struct sb_ranges holes;
};

struct sb_limits {
    uint64_t max_batch_bytes; /* compressed payload */
    uint64_t max_batch_records;
    uint64_t max_record_bytes;
};

/* One message; a welcome too large for one goes on in further ones with the same page. */
struct sb_welcome {
    char nonce[SB_UUID_LEN + 1];
    char boot[SB_UUID_LEN + 1];
    uint64_t commit;
    bool restored;
    uint32_t page, pages; /* of the hello page it answers */
    uint32_t part;        /* 1-based part of the answer to that page */
    bool more;            /* another part follows (on the wire: "more" names the last entry here) */
    char more_epoch[SB_EPOCH_LEN + 1];
    char more_stream[SB_STREAM_MAX + 1];
    int64_t server_time_us;
    struct sb_limits limits;
    char (*tables)[SB_NAME_MAX + 1];
    size_t table_count;
    struct sb_standing *standings;
    size_t standing_count;
};

void sb_welcome_init(struct sb_welcome *welcome);
void sb_welcome_free(struct sb_welcome *welcome);
struct sb_standing *sb_welcome_add(struct sb_welcome *welcome, const char *epoch,
                                   const char *stream);

/* Splits a whole welcome (part and more ignored) into parts of at most page_bytes (a single
 * standing with more intervals than fit makes a part of its own). Standings come epoch by epoch, in
 * whatever order they were added. */
void sb_welcome_encode(const struct sb_welcome *welcome, size_t page_bytes,
                       void (*emit)(void *ctx, struct sb_span json), void *ctx);
int sb_welcome_decode(struct sb_span text, struct sb_welcome *welcome, struct sb_err *err);

/* "kind" of a checked JSON object: what to decode it as. */
enum sb_kind {
    SB_KIND_BATCH, /* no "kind", or "batch" */
    SB_KIND_ACK,
    SB_KIND_HELLO,
    SB_KIND_WELCOME,
    SB_KIND_REQUEST,
    SB_KIND_ANSWER,
    SB_KIND_NOTIFY,
    SB_KIND_OTHER
};
/* Checks the text (limits of the wire) and reads "v" and "kind". SB_EBAD_VERSION unless v is 1. */
int sb_message_kind(struct sb_span text, enum sb_kind *kind, struct sb_err *err);

#endif
