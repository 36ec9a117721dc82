#ifndef SB_REPLY_H
#define SB_REPLY_H

#include "ids.h"
#include "json_scan.h"
#include "policy.h"
#include "ranges.h"
#include "topic.h"

/* The answer to a batch (PROTOCOL.md section 4). The five words are stored: never renumber. */
enum sb_result {
    SB_RESULT_STORED = 1,
    SB_RESULT_DUPLICATE = 2,
    SB_RESULT_RETRY = 3,
    SB_RESULT_REJECTED = 4,
    SB_RESULT_CONFLICT = 5
};
const char *sb_result_name(enum sb_result result);

#define SB_REASON_MAX 160

/* Rejected numbers lo..hi with the same code and reason ("seq", and "last" where hi > lo). */
struct sb_rejection {
    uint64_t lo, hi;
    enum sb_code code;
    char reason[SB_REASON_MAX];
};

/* A document as the cloud has it. */
struct sb_document {
    bool exists;  /* false: nothing there, not even a tombstone ("server":null) */
    bool deleted; /* a tombstone: no data */
    bool fetch;   /* too large for a reply: ask for it */
    uint64_t version;
    char tag[SB_TAG_LEN + 1];
    char op_id[SB_ID_MAX + 1];
    char device[SB_NAME_MAX + 1];
    char hlc[SB_EPOCH_LEN + 1];       /* the highest of its stamps */
    char updated_at[SB_UUID_LEN + 1]; /* RFC 3339 */
    struct sb_buf data;   /* JSON text, an object, or a string: the token of an encrypted one */
    struct sb_buf stamps; /* {"<pointer>":["<hlc16>","<device>"],…}: where the policy is latest and
                             the document is plain; else empty. At most SB_STAMPS_MAX places
                             (stamps.h) */
};
/* Frees data and stamps; zeroed afterwards. */
void sb_document_free(struct sb_document *doc);

#define SB_POINTERS_MAX_BYTES 16384
#define SB_ARRAYS_MAX         64
#define SB_ARRAYS_MAX_BYTES   4096

struct sb_conflict {
    uint64_t seq;
    char op_id[SB_ID_MAX + 1];
    enum sb_code code;      /* SB_OK = null: versions differ; else SB_EBASE_UNKNOWN */
    struct sb_buf pointers; /* JSON array text, sorted by bytes: the undecided places; [""] = the
                               whole document; "" or [] = to be found by merging (base unknown).
                               Beyond SB_POINTERS_MAX_BYTES it goes out as [""] */
    uint64_t as_of;         /* the user's version counter */
    enum sb_policy policy;  /* of the document's table; SB_POLICY_NONE = not told: as merge */
    struct sb_buf arrays;   /* {"/nodes":"id",…}: arrays merged by that member; "" = none. At most
                               SB_ARRAYS_MAX entries, SB_ARRAYS_MAX_BYTES of text */
    struct sb_document server;
};

struct sb_version_pair {
    uint64_t seq, version;
};

struct sb_reply {
    char boot[SB_UUID_LEN + 1];     /* of the ingest */
    uint64_t commit;                /* 0 with result retry: nothing was committed */
    char batch_id[SB_UUID_LEN + 1]; /* "" where it could not be read */
    char epoch[SB_EPOCH_LEN + 1];   /* likewise */
    char stream[SB_STREAM_MAX + 1]; /* likewise */
    uint64_t first_seq, last_seq;   /* the answered range; 0, 0 = null: the batch was unreadable */
    enum sb_result result;
    uint64_t accepted, duplicates, revised;
    struct sb_rejection *rejected; /* ascending */
    size_t rejected_count;
    struct sb_version_pair *versions;
    size_t version_count;
    struct sb_conflict *conflicts;
    size_t conflict_count;
    uint64_t total;
    enum sb_code code; /* SB_OK = null */
    char reason[SB_REASON_MAX];
    uint64_t server_version; /* 0 = null */
    char updated_at[SB_UUID_LEN + 1];
    int64_t server_time_us;
    uint64_t retry_after_ms;
};

void sb_reply_init(struct sb_reply *reply);
void sb_reply_free(struct sb_reply *reply); /* frees the lists; zeroed afterwards */

/* Adds one rejected number; joins it to the last rejection when that is adjacent and equal. */
void sb_reply_reject(struct sb_reply *reply, uint64_t seq, enum sb_code code, const char *reason);
void sb_reply_version(struct sb_reply *reply, uint64_t seq, uint64_t version);
/* A new, zeroed conflict to fill in; owned by the reply. */
struct sb_conflict *sb_reply_conflict(struct sb_reply *reply, uint64_t seq);

/* The first word that applies (DESIGN section 4): conflict, stored (accepted + revised > 0),
 * rejected, duplicate. `new_hole` counts as stored. Not for retry. */
enum sb_result sb_reply_word(const struct sb_reply *reply, bool new_hole);

/* Appends the JSON. When it would be longer than max_bytes, documents are left out first ("fetch":
 * true, largest first), then the answer is cut to the longest prefix of the range that fits
 * (last_seq, counts and lists shrink; at least one record remains). Needs the per-number outcome to
 * recount, so: accepted, duplicates and revised of a cut reply are given by outcome[i] for number
 * first_seq + i (an enum sb_outcome as char); outcome may be NULL when nothing can be cut. */
void sb_reply_encode(const struct sb_reply *reply, const unsigned char *outcome, size_t max_bytes,
                     struct sb_buf *out);

/* Per number, in memory only. */
enum sb_outcome {
    SB_OUT_ACCEPTED = 1,
    SB_OUT_DUPLICATE,
    SB_OUT_REVISED,
    SB_OUT_REJECTED,
    SB_OUT_CONFLICT
};

/* Strict decode of kind "ack"; the reply is freed and zeroed on error. Unknown members ignored,
 * unknown code names become SB_EINTERNAL. The counts must add up to the answered range, rejected
 * and conflicts must lie in it, ascending and disjoint, else SB_EBAD_VALUE. */
int sb_reply_decode(struct sb_span text, struct sb_reply *reply, struct sb_err *err);

#endif
