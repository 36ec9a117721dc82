#include "cli.h"
#include "control.h"
#include "json_read.h"

/* What the daemon says of a refusal. */
static int fail_refused(struct sb_span object, struct sb_err *err)
{
    struct sb_json_field fields[] = {{.key = "code"}, {.key = "reason"}};
    char reason[sizeof(err->msg)] = "the daemon refuses";
    enum sb_code code = SB_EINTERNAL;

    sb_json_pick(object, fields, 2);
    if (sb_field_given(&fields[0]))
        (void)sb_field_code(&fields[0], &code, NULL);
    if (sb_field_given(&fields[1]))
        (void)sb_field_reason(&fields[1], reason, sizeof(reason), NULL);
    return sb_fail(err, code, "%s", reason);
}

int sb_cli_ask(const struct sb_cli *cli, const char *socket, struct sb_span request, int timeout_ms,
               struct sb_buf *answer, struct sb_err *err)
{
    int rc = sb_control_ask(socket, request, timeout_ms, answer, err);
    struct sb_span object, success;

    if (rc == -(int)SB_ENOT_RUNNING)
        return sb_fail(err, SB_ENOT_RUNNING, "%s run is not running", sb_cli_program(cli)->name);
    if (rc != 0)
        return rc;
    if (sb_json_check(sb_buf_span(answer), &sb_down_limits, &object, err) != 0 ||
        sb_json_type_of(object) != SB_JSON_OBJECT || !sb_json_get(object, "success", &success))
        return sb_fail(err, SB_EINTERNAL, "the daemon's answer cannot be read");
    return sb_span_is(success, "true") ? 0 : fail_refused(object, err);
}
