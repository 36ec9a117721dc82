#include "request.h"

#include <string.h>

#include "document_codec.h"
#include "json_read.h"
#include "json_text.h"

static int read_head(const struct sb_json_field f[4], const char *kind, char id[SB_UUID_LEN + 1],
                     char boot[SB_UUID_LEN + 1], struct sb_err *err)
{
    int id_rc = sb_field_uuid(&f[2], id, NULL); /* first, so that a refusal can name it */
    int rc = sb_field_version(&f[0], err);

    if (rc == 0)
        rc = sb_field_kind(&f[1], kind, err);
    if (rc == 0 && id_rc < 0)
        rc = sb_field_uuid(&f[2], id, err);
    if (rc == 0 && sb_field_given(&f[3]))
        rc = sb_field_token(&f[3], boot, err);
    return rc;
}

static int read_op(const struct sb_json_field *field, char op[SB_NAME_MAX + 1], struct sb_err *err)
{
    int rc = sb_field_text(field, op, SB_NAME_MAX + 1, err);

    if (rc == 0 && op[0] == '\0')
        rc = sb_fail(err, SB_EBAD_VALUE, "op: empty");
    return rc;
}

int sb_request_decode(struct sb_span text, struct sb_request *request, struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "v"},    {.key = "kind"}, {.key = "id"},
                                {.key = "boot"}, {.key = "op"},   {.key = "args"}};
    struct sb_span value;
    int rc = sb_json_check_object(text, &sb_wire_limits, &value, err);

    *request = (struct sb_request){.args = SB_SPAN("{}")};
    if (rc < 0)
        return rc;
    sb_json_pick(value, f, sizeof(f) / sizeof(f[0]));
    rc = read_head(f, "request", request->id, request->boot, err);
    if (rc == 0)
        rc = read_op(&f[4], request->op, err);
    if (rc < 0 || !sb_field_given(&f[5]))
        return rc;
    rc = sb_field_type(&f[5], SB_JSON_OBJECT, err);
    if (rc == 0)
        request->args = f[5].value;
    return rc;
}

void sb_request_encode(const struct sb_request *request, struct sb_buf *out)
{
    sb_buf_add_str(out, "{\"v\":1,\"kind\":\"request\"");
    sb_add_text(out, "id", request->id);
    if (request->boot[0] != '\0')
        sb_add_text(out, "boot", request->boot);
    sb_add_escaped(out, "op", request->op);
    sb_buf_add_str(out, ",\"args\":");
    sb_buf_add_span(out, request->args.len > 0 ? request->args : SB_SPAN("{}"));
    sb_buf_add_char(out, '}');
}

static int read_refusal(const struct sb_json_field *code, const struct sb_json_field *reason,
                        struct sb_answer *answer, struct sb_err *err)
{
    int rc = sb_field_code(code, &answer->code, err);

    return rc < 0 ? rc : sb_field_reason(reason, answer->reason, sizeof(answer->reason), err);
}

int sb_answer_decode(struct sb_span text, struct sb_answer *answer, struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "v"},    {.key = "kind"},    {.key = "id"},
                                {.key = "boot"}, {.key = "success"}, {.key = "data"},
                                {.key = "code"}, {.key = "reason"},  {.key = "commit"}};
    struct sb_span value;
    int rc = sb_json_check_object(text, &sb_down_limits, &value, err);

    *answer = (struct sb_answer){.data = SB_SPAN("")};
    if (rc < 0)
        return rc;
    sb_json_pick(value, f, sizeof(f) / sizeof(f[0]));
    rc = read_head(f, "answer", answer->id, answer->boot, err);
    if (rc == 0)
        rc = sb_field_bool(&f[4], &answer->success, err);
    if (rc == 0 && sb_field_given(&f[8]))
        rc = sb_field_u64(&f[8], 0, SB_SEQ_MAX, &answer->commit, err);
    if (rc < 0)
        return rc;
    if (!answer->success)
        return read_refusal(&f[6], &f[7], answer, err);
    rc = sb_field_type(&f[5], SB_JSON_OBJECT, err);
    if (rc == 0)
        answer->data = f[5].value;
    return rc;
}

void sb_answer_encode(const struct sb_answer *answer, struct sb_buf *out)
{
    sb_buf_add_str(out, "{\"v\":1,\"kind\":\"answer\"");
    sb_add_text(out, "id", answer->id);
    sb_add_text(out, "boot", answer->boot);
    if (answer->commit > 0)
        sb_add_u64(out, "commit", answer->commit);
    if (answer->success) {
        sb_buf_add_str(out, ",\"success\":true,\"data\":");
        sb_buf_add_span(out, answer->data.len > 0 ? answer->data : SB_SPAN("{}"));
    } else {
        sb_buf_add_str(out, ",\"success\":false");
        sb_add_text(out, "code", sb_code_name(answer->code));
        sb_add_escaped(out, "reason", answer->reason);
    }
    sb_buf_add_char(out, '}');
}
