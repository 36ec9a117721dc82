#include "edge_agent/cli/agent_cli.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/control.h"
#include "common/instance.h"
#include "common/json_read.h"
#include "edge_agent/device.h"

int agent_cli_fail(const struct sb_cli *cli, const struct sb_err *err)
{
    sb_cli_note(cli, "%s [%s]", err->msg, sb_code_name(err->code));
    return sb_exit_status(err->code);
}

int agent_cli_config(struct sb_cli *cli, struct agent_config *config)
{
    struct sb_err err = {0};

    if (agent_config_from(sb_cli_conf(cli), config, &err) == 0)
        return 0;
    return agent_cli_fail(cli, &err);
}

int agent_cli_check_user(const char *user, struct sb_err *err)
{
    if (sb_name_valid(sb_span_of(user)))
        return 0;
    return sb_fail(err, SB_EBAD_ID, "user id '%.70s' is not [A-Za-z0-9_-]{1,64}", user);
}

/* ---- the outbox ---- */

int agent_cli_open(const struct agent_config *config, bool write, struct agent_cli_outbox *out,
                   struct sb_err *err)
{
    const struct outbox_config outbox = {
        .path = config->outbox_path,
        .busy_timeout_ms = (int)config->busy_timeout,
        .max_bytes = config->max_bytes,
        .create = write,
    };
    char boot[SB_UUID_LEN + 1];
    int rc;

    *out = (struct agent_cli_outbox){0};
    sb_rng_seed_os(&out->rng);
    rc = write ? sb_make_folder(config->state_dir, 0700, err) : 0;
    if (rc == 0)
        rc = outbox_open(&outbox, &out->rng, &out->ob, err);
    if (rc == -(int)SB_ENOT_FOUND && !write)
        return sb_fail(err, SB_ENOT_FOUND, "there is no outbox yet in %.200s", config->state_dir);
    if (rc != 0 || !write)
        return rc;
    device_boot_id(boot);
    out->eq = enqueue_new(out->ob, &config->switches, boot);
    enqueue_set_clock(out->eq, device_clock_quality(sb_clock_now().wall_us));
    return 0;
}

void agent_cli_close(struct agent_cli_outbox *outbox)
{
    enqueue_free(outbox->eq);
    outbox_close(outbox->ob);
    *outbox = (struct agent_cli_outbox){0};
}

static bool denied(const char *path, bool *exists)
{
    *exists = true;
    if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0)
        return false;
    *exists = errno != ENOENT;
    return errno == EACCES || errno == EPERM;
}

bool agent_cli_needs_daemon(const struct agent_config *config)
{
    bool exists;

    if (denied(config->outbox_path, &exists))
        return true;
    return !exists && denied(config->state_dir, &exists);
}

int agent_cli_needs_broker(const struct agent_config *config, struct sb_err *err)
{
    if (config->url[0] != '\0')
        return 0;
    return sb_fail(err, SB_ENOT_CONFIGURED, "not configured: [broker] url");
}

void agent_cli_wake(const struct agent_config *config)
{
    (void)sb_control_wake(config->socket_path);
}

/* The error of a refusal; the text stands under "message" or "reason". */
static int refusal(struct sb_span object, struct sb_err *err)
{
    struct sb_json_field fields[] = {{.key = "code"}, {.key = "message"}, {.key = "reason"}};
    char text[sizeof(err->msg)] = "the daemon refuses";
    enum sb_code code = SB_EINTERNAL;

    sb_json_pick(object, fields, 3);
    (void)sb_field_code(&fields[0], &code, NULL);
    for (int i = 1; i < 3; i++)
        if (sb_field_given(&fields[i]))
            (void)sb_field_reason(&fields[i], text, sizeof(text), NULL);
    return sb_fail(err, code, "%s", text);
}

int agent_cli_ask(const struct agent_config *config, struct sb_span request, int64_t timeout_ms,
                  struct sb_buf *answer, struct sb_err *err)
{
    struct sb_span object, success, code;
    int rc = sb_control_ask(config->socket_path, request, (int)timeout_ms, answer, err);

    if (rc == -(int)SB_ENOT_RUNNING)
        return sb_fail(err, SB_ENOT_RUNNING, "edge_agent run is not running");
    if (rc != 0)
        return rc;
    if (sb_json_check(sb_buf_span(answer), &sb_wire_limits, &object, NULL) != 0 ||
        sb_json_type_of(object) != SB_JSON_OBJECT)
        return sb_fail(err, SB_EINTERNAL, "the daemon's answer cannot be read");
    if (sb_json_get(object, "success", &success) && sb_span_is(success, "false") &&
        sb_json_get(object, "code", &code) && sb_json_type_of(code) == SB_JSON_STRING)
        return refusal(object, err);
    return 0;
}

/* ---- JSON ---- */

void agent_cli_put_receipt(struct sb_buf *out, const struct enqueue_receipt *receipt)
{
    char stream[SB_STREAM_MAX + 1];

    sb_stream_print(&receipt->stream, stream);
    sb_put_bool(out, "queued", receipt->queued);
    sb_put_text_or_null(out, "op_id", receipt->op_id);
    sb_put_text(out, "stream", stream);
    sb_put_text_or_null(out, "epoch", receipt->epoch);
    if (receipt->queued)
        sb_put_u64(out, "seq", receipt->seq);
    else
        sb_put_null(out, "seq");
    if (!receipt->queued)
        sb_put_text(out, "result", "local");
    if (receipt->repeat)
        sb_put_bool(out, "repeat", true);
}

void agent_cli_put_failure(struct sb_buf *out, uint64_t line, const struct sb_err *err)
{
    sb_put_open(out, NULL, '{');
    sb_put_bool(out, "success", false);
    if (line > 0)
        sb_put_u64(out, "line", line);
    sb_put_text(out, "code", sb_code_name(err->code));
    sb_put_text(out, "reason", err->msg);
    sb_put_close(out, '}');
    sb_buf_add_char(out, '\n');
}

/* ---- files ---- */

int agent_cli_read_file(const char *path, size_t max, struct sb_buf *out, struct sb_err *err)
{
    bool standard = strcmp(path, "-") == 0;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = 1;

    if (fd < 0)
        return sb_fail_errno(err, errno, "%.200s", path);
    sb_buf_add_str(out, "");
    while (got > 0 && out->len <= max) {
        sb_buf_reserve(out, 65536);
        got = read(fd, out->data + out->len, 65536);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0)
            out->len += (size_t)got;
    }
    if (!standard)
        close(fd);
    if (got < 0)
        return sb_fail_errno(err, errno, "%.200s", path);
    if (out->len > max)
        return sb_fail(err, SB_ETOO_LARGE, "%.200s: larger than %zu bytes", path, max);
    return 0;
}
