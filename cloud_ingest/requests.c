#include "requests.h"
#include "text.h"

#include <string.h>

#include "common/json_read.h"

static int refuse(struct sb_answer *answer, enum sb_code code, const char *reason)
{
    answer->success = false;
    answer->code = code;
    text_cut(answer->reason, sizeof(answer->reason), reason);
    return 0;
}

static int settings_get(struct apply *a, const char *device, const struct sb_request *request,
                        struct sb_answer *answer, struct sb_buf *data, struct sb_err *err)
{
    struct sb_json_field field = {.key = "user"};
    struct sb_document doc = {0};
    char user[SB_NAME_MAX + 1];
    struct user_row row;
    struct sb_err why;
    bool bound;
    int rc;

    sb_json_pick(request->args, &field, 1);
    if (sb_field_text(&field, user, sizeof(user), &why) != 0)
        return refuse(answer, why.code, why.msg);
    if (!sb_name_valid(sb_span_of(user)))
        return refuse(answer, SB_EBAD_ID, "user: not [A-Za-z0-9_-]{1,64}");
    rc = store_bound(a->store, device, user, &bound, err);
    if (rc != 0)
        return rc;
    if (!bound)
        return refuse(answer, SB_EFORBIDDEN, apply_reason(SB_EFORBIDDEN));
    rc = store_document_get(a->store, user, "settings", &doc, err);
    if (rc == 0)
        rc = store_user_get(a->store, user, &row, err);
    if (rc == 0) {
        sb_document_encode(&doc, "settings", row.version, data);
        answer->success = true;
        answer->data = sb_buf_span(data);
    }
    sb_document_free(&doc);
    return rc;
}

int requests_answer(struct apply *a, const char *device, const struct sb_request *request,
                    struct sb_answer *answer, struct sb_buf *data, struct sb_err *err)
{
    enum sb_code code;
    int rc;

    memcpy(answer->id, request->id, sizeof(answer->id));
    if (request->boot[0] != '\0' && strcmp(request->boot, a->boot) != 0)
        return refuse(answer, SB_EHELLO, apply_reason(SB_EHELLO));
    rc = apply_admit(a, device, &code, err);
    if (rc != 0)
        return rc;
    if (code != SB_OK)
        return refuse(answer, code, apply_reason(code));
    if (strcmp(request->op, "settings.get") == 0)
        return settings_get(a, device, request, answer, data, err);
    return refuse(answer, SB_EUNKNOWN_OP, "no such request");
}
