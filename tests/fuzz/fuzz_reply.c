/* Reply decode: whatever is accepted adds up, and its encoding is decoded to the same encoding. */
#include "common/check.h"
#include "common/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_lists(const struct sb_reply *reply)
{
    uint64_t answered =
        reply->accepted + reply->duplicates + reply->revised + reply->conflict_count;

    for (size_t i = 0; i < reply->rejected_count; i++) {
        const struct sb_rejection *rejection = &reply->rejected[i];

        SB_CHECK(rejection->lo >= reply->first_seq && rejection->hi <= reply->last_seq);
        SB_CHECK(rejection->lo <= rejection->hi && rejection->code != SB_OK);
        SB_CHECK(i == 0 || reply->rejected[i - 1].hi < rejection->lo);
        answered += rejection->hi - rejection->lo + 1;
    }
    for (size_t i = 1; i < reply->conflict_count; i++)
        SB_CHECK(reply->conflicts[i - 1].seq < reply->conflicts[i].seq);
    SB_CHECK(answered == (reply->result == SB_RESULT_RETRY || reply->first_seq == 0
                              ? 0
                              : reply->last_seq - reply->first_seq + 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sb_buf first = {0}, second = {0};
    struct sb_reply reply, again;
    struct sb_err err = {0};

    if (sb_reply_decode((struct sb_span){(const char *)data, size}, &reply, &err) < 0) {
        SB_CHECK(err.code != SB_OK && reply.rejected == NULL && reply.conflicts == NULL);
        return 0;
    }
    check_lists(&reply);
    sb_reply_encode(&reply, NULL, SIZE_MAX, &first);
    SB_CHECK(sb_reply_decode(sb_buf_span(&first), &again, &err) == 0);
    sb_reply_encode(&again, NULL, SIZE_MAX, &second);
    SB_CHECK(sb_span_eq(sb_buf_span(&first), sb_buf_span(&second)));
    sb_reply_free(&reply);
    sb_reply_free(&again);
    sb_buf_free(&first);
    sb_buf_free(&second);
    return 0;
}
