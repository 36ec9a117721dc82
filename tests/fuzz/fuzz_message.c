/* hello, welcome, requests and answers: whatever is accepted is encoded to what is accepted again.
 */
#include "common/check.h"
#include "common/hello.h"
#include "common/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void hello_again(void *ctx, struct sb_span json)
{
    struct sb_hello hello;
    size_t *claims = ctx;

    SB_CHECK(sb_hello_decode(json, &hello, NULL) == 0);
    *claims += hello.claim_count;
    sb_hello_free(&hello);
}

static void welcome_again(void *ctx, struct sb_span json)
{
    struct sb_welcome welcome;
    size_t *standings = ctx;

    SB_CHECK(sb_welcome_decode(json, &welcome, NULL) == 0);
    *standings += welcome.standing_count;
    sb_welcome_free(&welcome);
}

static void try_greetings(struct sb_span text)
{
    struct sb_hello hello;
    struct sb_welcome welcome;
    size_t count = 0;

    if (sb_hello_decode(text, &hello, NULL) == 0) {
        sb_hello_encode(&hello, 300, hello_again, &count);
        SB_CHECK(count == hello.claim_count);
    }
    sb_hello_free(&hello);
    count = 0;
    if (sb_welcome_decode(text, &welcome, NULL) == 0) {
        sb_welcome_encode(&welcome, 300, welcome_again, &count);
        SB_CHECK(count == welcome.standing_count);
    }
    sb_welcome_free(&welcome);
}

static void try_document(struct sb_span object)
{
    char id[SB_ID_MAX + 1];
    struct sb_document doc;
    struct sb_buf out = {0};
    uint64_t as_of;

    if (sb_document_decode(object, &doc, id, &as_of, NULL) == 0) {
        sb_document_encode(&doc, id, as_of, &out);
        sb_document_free(&doc);
        SB_CHECK(sb_document_decode(sb_buf_span(&out), &doc, id, &as_of, NULL) == 0);
    }
    sb_document_free(&doc);
    sb_buf_free(&out);
}

static void try_requests(struct sb_span text)
{
    struct sb_request request;
    struct sb_answer answer;
    struct sb_buf out = {0};

    if (sb_request_decode(text, &request, NULL) == 0) {
        sb_request_encode(&request, &out);
        SB_CHECK(sb_request_decode(sb_buf_span(&out), &request, NULL) == 0);
    }
    sb_buf_clear(&out);
    if (sb_answer_decode(text, &answer, NULL) == 0 && answer.boot[0] != '\0') {
        if (answer.success)
            try_document(answer.data);
        sb_answer_encode(&answer, &out);
        SB_CHECK(sb_answer_decode(sb_buf_span(&out), &answer, NULL) == 0);
    }
    sb_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sb_span text = {(const char *)data, size};
    enum sb_kind kind;
    int rc = sb_message_kind(text, &kind, NULL);

    SB_CHECK(rc < 0 || (kind >= SB_KIND_BATCH && kind <= SB_KIND_OTHER));
    try_greetings(text);
    try_requests(text);
    return 0;
}
