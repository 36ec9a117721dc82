#include "reply.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

const char *sb_result_name(enum sb_result result)
{
    switch (result) {
    case SB_RESULT_STORED:
        return "stored";
    case SB_RESULT_DUPLICATE:
        return "duplicate";
    case SB_RESULT_RETRY:
        return "retry";
    case SB_RESULT_REJECTED:
        return "rejected";
    case SB_RESULT_CONFLICT:
        return "conflict";
    }
    SB_CHECK(!"a result");
    return "";
}

void sb_reply_init(struct sb_reply *reply)
{
    *reply = (struct sb_reply){0};
}

void sb_reply_free(struct sb_reply *reply)
{
    for (size_t i = 0; i < reply->conflict_count; i++) {
        sb_buf_free(&reply->conflicts[i].pointers);
        sb_buf_free(&reply->conflicts[i].arrays);
        sb_document_free(&reply->conflicts[i].server);
    }
    free(reply->conflicts);
    free(reply->versions);
    free(reply->rejected);
    sb_reply_init(reply);
}

/* As much of text as fits, never half a character. */
static void copy_reason(char out[SB_REASON_MAX], const char *text)
{
    struct sb_span part = {text, strnlen(text, SB_REASON_MAX - 1)};

    sb_utf8_valid(part, &part.len);
    memcpy(out, text, part.len);
    out[part.len] = '\0';
}

void sb_reply_reject(struct sb_reply *reply, uint64_t seq, enum sb_code code, const char *reason)
{
    struct sb_rejection *last =
        reply->rejected_count > 0 ? &reply->rejected[reply->rejected_count - 1] : NULL;
    char copy[SB_REASON_MAX];

    copy_reason(copy, reason);
    if (last != NULL && last->hi + 1 == seq && last->code == code &&
        strcmp(last->reason, copy) == 0) {
        last->hi = seq;
        return;
    }
    reply->rejected = sb_xgrow(reply->rejected, reply->rejected_count, sizeof(*reply->rejected));
    last = &reply->rejected[reply->rejected_count++];
    last->lo = last->hi = seq;
    last->code = code;
    memcpy(last->reason, copy, sizeof(copy));
}

void sb_reply_version(struct sb_reply *reply, uint64_t seq, uint64_t version)
{
    reply->versions = sb_xgrow(reply->versions, reply->version_count, sizeof(*reply->versions));
    reply->versions[reply->version_count++] = (struct sb_version_pair){seq, version};
}

struct sb_conflict *sb_reply_conflict(struct sb_reply *reply, uint64_t seq)
{
    struct sb_conflict *conflict;

    reply->conflicts = sb_xgrow(reply->conflicts, reply->conflict_count, sizeof(*reply->conflicts));
    conflict = &reply->conflicts[reply->conflict_count++];
    *conflict = (struct sb_conflict){.seq = seq};
    return conflict;
}

enum sb_result sb_reply_word(const struct sb_reply *reply, bool new_hole)
{
    if (reply->conflict_count > 0)
        return SB_RESULT_CONFLICT;
    if (reply->accepted + reply->revised > 0 || new_hole)
        return SB_RESULT_STORED;
    if (reply->rejected_count > 0)
        return SB_RESULT_REJECTED;
    return SB_RESULT_DUPLICATE;
}
