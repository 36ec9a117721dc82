#include "reply.h"

#include "document_codec.h"
#include "json_read.h"

static int read_seq(const struct sb_json_field *field, uint64_t min, const struct sb_reply *reply,
                    uint64_t *seq, struct sb_err *err)
{
    return sb_field_u64(field, min > reply->first_seq ? min : reply->first_seq, reply->last_seq,
                        seq, err);
}

/* Calls read() for each element of an array; errors name the element. */
static int each_element(const struct sb_json_field *list, struct sb_reply *reply,
                        int (*read)(struct sb_span, struct sb_reply *, struct sb_err *),
                        struct sb_err *err)
{
    struct sb_json_iter iter;
    struct sb_span value;
    size_t index = 0;
    int rc;

    if (!sb_field_given(list))
        return 0;
    rc = sb_field_type(list, SB_JSON_ARRAY, err);
    if (rc < 0)
        return rc;
    sb_json_iter_init(&iter, list->value);
    for (; sb_json_next_element(&iter, &value); index++) {
        rc = reply->first_seq == 0 ? sb_fail(err, SB_EBAD_VALUE, "the reply names no range")
                                   : read(value, reply, err);
        if (rc < 0) {
            sb_err_prefix(err, "%s: element %zu", list->key, index);
            return rc;
        }
    }
    return 0;
}

static int read_rejection(struct sb_span value, struct sb_reply *reply, struct sb_err *err)
{
    struct sb_json_field f[] = {
        {.key = "seq"}, {.key = "last"}, {.key = "code"}, {.key = "reason"}};
    uint64_t after =
        reply->rejected_count > 0 ? reply->rejected[reply->rejected_count - 1].hi + 1 : 0;
    struct sb_rejection rejection = {0};
    int rc;

    if (sb_json_type_of(value) != SB_JSON_OBJECT)
        return sb_fail(err, SB_EBAD_TYPE, "not an object");
    sb_json_pick(value, f, sizeof(f) / sizeof(f[0]));
    rc = read_seq(&f[0], after, reply, &rejection.lo, err);
    rejection.hi = rejection.lo;
    if (rc == 0 && sb_field_given(&f[1]))
        rc = read_seq(&f[1], rejection.lo, reply, &rejection.hi, err);
    if (rc == 0)
        rc = sb_field_code(&f[2], &rejection.code, err);
    if (rc == 0)
        rc = sb_field_reason(&f[3], rejection.reason, sizeof(rejection.reason), err);
    if (rc < 0)
        return rc;
    sb_reply_reject(reply, rejection.lo, rejection.code, rejection.reason);
    reply->rejected[reply->rejected_count - 1].hi = rejection.hi;
    return 0;
}

static int read_version(struct sb_span value, struct sb_reply *reply, struct sb_err *err)
{
    struct sb_json_field pair[2] = {{.key = "seq"}, {.key = "version"}};
    uint64_t after =
        reply->version_count > 0 ? reply->versions[reply->version_count - 1].seq + 1 : 0;
    struct sb_json_iter iter;
    uint64_t seq, version;
    int rc;

    if (sb_json_type_of(value) != SB_JSON_ARRAY || sb_json_count(value) != 2)
        return sb_fail(err, SB_EBAD_TYPE, "not a pair of seq and version");
    sb_json_iter_init(&iter, value);
    sb_json_next_element(&iter, &pair[0].value);
    sb_json_next_element(&iter, &pair[1].value);
    rc = read_seq(&pair[0], after, reply, &seq, err);
    if (rc == 0)
        rc = sb_field_u64(&pair[1], 1, SB_SEQ_MAX, &version, err);
    if (rc == 0)
        sb_reply_version(reply, seq, version);
    return rc;
}

static int read_server(const struct sb_json_field *field, struct sb_document *doc,
                       struct sb_err *err)
{
    int rc;

    if (field->value.len > 0 && !sb_field_given(field))
        return 0; /* null: nothing there */
    rc = sb_field_type(field, SB_JSON_OBJECT, err);
    if (rc == 0)
        rc = sb_document_read(field->value, doc, err);
    return rc;
}

static int read_conflict(struct sb_span value, struct sb_reply *reply, struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "seq"},      {.key = "op_id"}, {.key = "code"},
                                {.key = "pointers"}, {.key = "as_of"}, {.key = "server"},
                                {.key = "policy"},   {.key = "arrays"}};
    uint64_t after =
        reply->conflict_count > 0 ? reply->conflicts[reply->conflict_count - 1].seq + 1 : 0;
    struct sb_conflict *conflict;
    uint64_t seq;
    int rc;

    if (sb_json_type_of(value) != SB_JSON_OBJECT)
        return sb_fail(err, SB_EBAD_TYPE, "not an object");
    sb_json_pick(value, f, sizeof(f) / sizeof(f[0]));
    rc = read_seq(&f[0], after, reply, &seq, err);
    if (rc < 0)
        return rc;
    conflict = sb_reply_conflict(reply, seq);
    rc = sb_field_text(&f[1], conflict->op_id, sizeof(conflict->op_id), err);
    if (rc == 0 && sb_field_given(&f[2]))
        rc = sb_field_code(&f[2], &conflict->code, err);
    if (rc == 0)
        rc = sb_read_pointer_list(&f[3], &conflict->pointers, err);
    if (rc == 0)
        rc = sb_field_u64(&f[4], 0, SB_SEQ_MAX, &conflict->as_of, err);
    if (rc == 0)
        rc = sb_read_policy(&f[6], &conflict->policy, err);
    if (rc == 0)
        rc = sb_read_arrays(&f[7], &conflict->arrays, err);
    return rc < 0 ? rc : read_server(&f[5], &conflict->server, err);
}

/* ---- do the numbers add up? ---- */

static uint64_t rejected_numbers(const struct sb_reply *reply)
{
    uint64_t total = 0;

    for (size_t i = 0; i < reply->rejected_count; i++)
        total += reply->rejected[i].hi - reply->rejected[i].lo + 1;
    return total;
}

/* Both lists are ascending by now. */
static bool lists_overlap(const struct sb_reply *reply)
{
    size_t r = 0;

    for (size_t c = 0; c < reply->conflict_count; c++) {
        while (r < reply->rejected_count && reply->rejected[r].hi < reply->conflicts[c].seq)
            r++;
        if (r < reply->rejected_count && reply->rejected[r].lo <= reply->conflicts[c].seq)
            return true;
    }
    return false;
}

static int check_counts(const struct sb_reply *reply, struct sb_err *err)
{
    uint64_t answered = reply->accepted + reply->revised + reply->duplicates +
                        rejected_numbers(reply) + reply->conflict_count;
    uint64_t expected = reply->first_seq == 0 || reply->result == SB_RESULT_RETRY
                            ? 0
                            : reply->last_seq - reply->first_seq + 1;

    if (lists_overlap(reply))
        return sb_fail(err, SB_EBAD_VALUE, "rejected, conflicts: one number in both");
    if (answered != expected)
        return sb_fail(err, SB_EBAD_VALUE, "%llu numbers are answered, not %llu",
                       (unsigned long long)answered, (unsigned long long)expected);
    return 0;
}

/* ---- the whole ---- */

enum {
    R_V,
    R_KIND,
    R_BOOT,
    R_COMMIT,
    R_BATCH_ID,
    R_EPOCH,
    R_STREAM,
    R_FIRST,
    R_LAST,
    R_RESULT,
    R_ACCEPTED,
    R_DUPLICATES,
    R_REVISED,
    R_REJECTED,
    R_VERSIONS,
    R_CONFLICTS,
    R_TOTAL,
    R_CODE,
    R_REASON,
    R_SERVER_VERSION,
    R_UPDATED_AT,
    R_SERVER_TIME,
    R_RETRY_AFTER,
    REPLY_MEMBERS
};

static int read_optional_u64(const struct sb_json_field *field, uint64_t *out, struct sb_err *err)
{
    return sb_field_given(field) ? sb_field_u64(field, 0, SB_SEQ_MAX, out, err) : 0;
}

static int read_stream(const struct sb_json_field *field, char out[SB_STREAM_MAX + 1],
                       struct sb_err *err)
{
    struct sb_stream stream;
    int rc = sb_field_text(field, out, SB_STREAM_MAX + 1, err);

    return rc < 0 ? rc : sb_stream_parse(sb_span_of(out), &stream, err);
}

static int read_place(const struct sb_json_field *f, struct sb_reply *reply, struct sb_err *err)
{
    int rc = 0;

    if (sb_field_given(&f[R_BATCH_ID]))
        rc = sb_field_uuid(&f[R_BATCH_ID], reply->batch_id, err);
    if (rc == 0 && sb_field_given(&f[R_EPOCH]))
        rc = sb_field_hex16(&f[R_EPOCH], reply->epoch, err);
    if (rc == 0 && sb_field_given(&f[R_STREAM]))
        rc = read_stream(&f[R_STREAM], reply->stream, err);
    if (rc < 0 || !sb_field_given(&f[R_FIRST]))
        return rc;
    rc = sb_field_u64(&f[R_FIRST], 1, SB_SEQ_MAX, &reply->first_seq, err);
    if (rc == 0)
        rc = sb_field_u64(&f[R_LAST], reply->first_seq, SB_SEQ_MAX, &reply->last_seq, err);
    return rc;
}

static int read_result(const struct sb_json_field *field, enum sb_result *result,
                       struct sb_err *err)
{
    int rc = sb_field_type(field, SB_JSON_STRING, err);

    for (int i = SB_RESULT_STORED; rc == 0 && i <= SB_RESULT_CONFLICT; i++) {
        if (sb_json_string_is(field->value, sb_result_name((enum sb_result)i))) {
            *result = (enum sb_result)i;
            return 0;
        }
    }
    return rc < 0 ? rc : sb_fail(err, SB_EBAD_VALUE, "result: not one of the five words");
}

static int read_numbers(const struct sb_json_field *f, struct sb_reply *reply, struct sb_err *err)
{
    int rc = read_optional_u64(&f[R_COMMIT], &reply->commit, err);

    if (rc == 0)
        rc = read_optional_u64(&f[R_ACCEPTED], &reply->accepted, err);
    if (rc == 0)
        rc = read_optional_u64(&f[R_DUPLICATES], &reply->duplicates, err);
    if (rc == 0)
        rc = read_optional_u64(&f[R_REVISED], &reply->revised, err);
    if (rc == 0)
        rc = read_optional_u64(&f[R_TOTAL], &reply->total, err);
    if (rc == 0)
        rc = read_optional_u64(&f[R_SERVER_VERSION], &reply->server_version, err);
    if (rc == 0)
        rc = read_optional_u64(&f[R_RETRY_AFTER], &reply->retry_after_ms, err);
    return rc;
}

static int read_rest(const struct sb_json_field *f, struct sb_reply *reply, struct sb_err *err)
{
    int rc = 0;

    if (sb_field_given(&f[R_CODE]))
        rc = sb_field_code(&f[R_CODE], &reply->code, err);
    if (rc == 0)
        rc = sb_field_reason(&f[R_REASON], reply->reason, sizeof(reply->reason), err);
    if (rc == 0 && sb_field_given(&f[R_UPDATED_AT]))
        rc =
            sb_field_time_text(&f[R_UPDATED_AT], reply->updated_at, sizeof(reply->updated_at), err);
    if (rc == 0 && sb_field_given(&f[R_SERVER_TIME]))
        rc = sb_field_time(&f[R_SERVER_TIME], &reply->server_time_us, err);
    return rc;
}

static int read_reply(struct sb_span object, struct sb_reply *reply, struct sb_err *err)
{
    struct sb_json_field f[REPLY_MEMBERS] = {
        [R_V] = {.key = "v"},
        [R_KIND] = {.key = "kind"},
        [R_BOOT] = {.key = "boot"},
        [R_COMMIT] = {.key = "commit"},
        [R_BATCH_ID] = {.key = "batch_id"},
        [R_EPOCH] = {.key = "epoch"},
        [R_STREAM] = {.key = "stream"},
        [R_FIRST] = {.key = "first_seq"},
        [R_LAST] = {.key = "last_seq"},
        [R_RESULT] = {.key = "result"},
        [R_ACCEPTED] = {.key = "accepted"},
        [R_DUPLICATES] = {.key = "duplicates"},
        [R_REVISED] = {.key = "revised"},
        [R_REJECTED] = {.key = "rejected"},
        [R_VERSIONS] = {.key = "versions"},
        [R_CONFLICTS] = {.key = "conflicts"},
        [R_TOTAL] = {.key = "total"},
        [R_CODE] = {.key = "code"},
        [R_REASON] = {.key = "reason"},
        [R_SERVER_VERSION] = {.key = "server_version"},
        [R_UPDATED_AT] = {.key = "updated_at"},
        [R_SERVER_TIME] = {.key = "server_time"},
        [R_RETRY_AFTER] = {.key = "retry_after_ms"},
    };
    int rc;

    sb_json_pick(object, f, REPLY_MEMBERS);
    rc = sb_field_version(&f[R_V], err);
    if (rc == 0)
        rc = sb_field_kind(&f[R_KIND], "ack", err);
    if (rc == 0)
        rc = sb_field_token(&f[R_BOOT], reply->boot, err);
    if (rc == 0)
        rc = read_result(&f[R_RESULT], &reply->result, err);
    if (rc == 0)
        rc = read_place(f, reply, err);
    if (rc == 0)
        rc = read_numbers(f, reply, err);
    if (rc == 0)
        rc = each_element(&f[R_REJECTED], reply, read_rejection, err);
    if (rc == 0)
        rc = each_element(&f[R_VERSIONS], reply, read_version, err);
    if (rc == 0)
        rc = each_element(&f[R_CONFLICTS], reply, read_conflict, err);
    if (rc == 0)
        rc = read_rest(f, reply, err);
    return rc < 0 ? rc : check_counts(reply, err);
}

int sb_reply_decode(struct sb_span text, struct sb_reply *reply, struct sb_err *err)
{
    struct sb_span value;
    int rc = sb_json_check_object(text, &sb_down_limits, &value, err);

    sb_reply_init(reply);
    if (rc == 0)
        rc = read_reply(value, reply, err);
    if (rc < 0)
        sb_reply_free(reply);
    return rc;
}
