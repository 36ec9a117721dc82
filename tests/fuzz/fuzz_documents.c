/* What requests for documents and conflicts take and give, and notify: whatever is accepted is
 * encoded to what is accepted again, and answers keep to their size. */
#include "common/check.h"
#include "common/notify.h"
#include "common/request_conflicts.h"
#include "common/request_documents.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SMALL 600 /* of an answer that is cut */

/* For args, which hold nothing to free. */
#define TRY_ARGS(type, name)                                                                       \
    static void try_##name(struct sb_span text)                                                    \
    {                                                                                              \
        struct type args;                                                                          \
        struct sb_buf out = {0};                                                                   \
                                                                                                   \
        if (name##_decode(text, &args, NULL) == 0) {                                               \
            name##_encode(&args, &out);                                                            \
            SB_CHECK(name##_decode(sb_buf_span(&out), &args, NULL) == 0);                          \
        }                                                                                          \
        sb_buf_free(&out);                                                                         \
    }

TRY_ARGS(sb_changes_args, sb_changes_args)
TRY_ARGS(sb_document_args, sb_document_args)
TRY_ARGS(sb_versions_args, sb_versions_args)
TRY_ARGS(sb_version_args, sb_version_args)
TRY_ARGS(sb_conflict_args, sb_conflict_args)
TRY_ARGS(sb_resolved, sb_resolved)
TRY_ARGS(sb_notify, sb_notify)

static void try_changes(struct sb_span text)
{
    struct sb_changes changes, back;
    struct sb_buf out = {0};
    size_t told;

    if (sb_changes_decode(text, &changes, NULL) == 0) {
        told = sb_changes_encode(&changes, SMALL, &out);
        SB_CHECK(sb_changes_decode(sb_buf_span(&out), &back, NULL) == 0);
        SB_CHECK(back.count == told && (told > 0) == (changes.count > 0));
        sb_changes_free(&back);
    }
    sb_changes_free(&changes);
    sb_buf_free(&out);
}

static void try_versions(struct sb_span text)
{
    struct sb_versions versions, back;
    struct sb_buf out = {0};

    if (sb_versions_decode(text, &versions, NULL) == 0) {
        size_t told = sb_versions_encode(&versions, SMALL, &out);

        SB_CHECK(sb_versions_decode(sb_buf_span(&out), &back, NULL) == 0);
        SB_CHECK(back.count == told);
        sb_versions_free(&back);
    }
    sb_versions_free(&versions);
    sb_buf_free(&out);
}

static void try_conflicts(struct sb_span text)
{
    struct sb_conflicts conflicts, back;
    struct sb_buf out = {0};

    if (sb_conflicts_decode(text, &conflicts, NULL) == 0) {
        size_t told = sb_conflicts_encode(&conflicts, SMALL, &out);

        SB_CHECK(sb_conflicts_decode(sb_buf_span(&out), &back, NULL) == 0);
        SB_CHECK(back.count == told);
        sb_conflicts_free(&back);
    }
    sb_conflicts_free(&conflicts);
    sb_buf_free(&out);
}

static void try_view(struct sb_span text)
{
    struct sb_conflict_view view, back;
    struct sb_buf out = {0};

    if (sb_conflict_view_decode(text, &view, NULL) == 0) {
        sb_conflict_view_encode(&view, SMALL, &out);
        SB_CHECK(sb_conflict_view_decode(sb_buf_span(&out), &back, NULL) == 0);
        sb_conflict_view_free(&back);
    }
    sb_conflict_view_free(&view);
    sb_buf_free(&out);
}

static void try_conflict_args(struct sb_span text)
{
    struct sb_conflicts_args list, list_back;
    struct sb_resolve_args resolve, resolve_back;
    struct sb_buf out = {0};

    if (sb_conflicts_args_decode(text, &list, NULL) == 0) {
        sb_conflicts_args_encode(&list, &out);
        SB_CHECK(sb_conflicts_args_decode(sb_buf_span(&out), &list_back, NULL) == 0);
        sb_conflicts_args_free(&list_back);
    }
    sb_conflicts_args_free(&list);
    sb_buf_clear(&out);
    if (sb_resolve_args_decode(text, &resolve, NULL) == 0) {
        sb_resolve_args_encode(&resolve, &out);
        SB_CHECK(sb_resolve_args_decode(sb_buf_span(&out), &resolve_back, NULL) == 0);
        sb_resolve_args_free(&resolve_back);
    }
    sb_resolve_args_free(&resolve);
    sb_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sb_span text = {(const char *)data, size};

    try_sb_changes_args(text);
    try_sb_document_args(text);
    try_sb_versions_args(text);
    try_sb_version_args(text);
    try_sb_conflict_args(text);
    try_sb_resolved(text);
    try_sb_notify(text);
    try_changes(text);
    try_versions(text);
    try_conflicts(text);
    try_view(text);
    try_conflict_args(text);
    return 0;
}
