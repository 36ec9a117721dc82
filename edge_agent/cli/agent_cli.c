#include "edge_agent/cli/agent_cli.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/control.h"
#include "common/instance.h"
#include "common/json_read.h"
#include "edge_agent/device.h"
#include "edge_agent/vault.h"

#define CALL_MS    15000
#define ASK_MAX_MS INT64_C(90000000) /* a day, as long as the daemon waits, and a while */

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

/* The folder, and what seals for this device. */
static int prepare(const struct agent_config *config, bool create, struct agent_cli_outbox *out,
                   struct sb_err *err)
{
    int rc = create ? sb_make_folder(config->state_dir, 0700, err) : 0;

    if (rc == -(int)SB_ENOT_FOUND) { /* nothing was looked for: the folder cannot be made */
        err->code = SB_EIO;
        rc = -(int)SB_EIO;
    }
    return rc == 0 ? agent_config_vault(config, &out->vault, err) : rc;
}

static void add_enqueue(const struct agent_config *config, struct agent_cli_outbox *out)
{
    char boot[SB_UUID_LEN + 1];

    device_boot_id(boot);
    out->eq = enqueue_new(out->ob, &config->switches, boot);
    enqueue_set_clock(out->eq, device_clock_quality(sb_clock_now().wall_us));
    vault_codec(out->vault, &out->codec);
    enqueue_set_codec(out->eq, config->device, &out->codec);
}

static int open_outbox(const struct agent_config *config, bool create, bool change,
                       struct agent_cli_outbox *out, struct sb_err *err)
{
    const struct outbox_config outbox = {
        .path = config->outbox_path,
        .busy_timeout_ms = (int)config->busy_timeout,
        .max_bytes = config->max_bytes,
        .create = create,
    };
    int rc = 0;

    *out = (struct agent_cli_outbox){0};
    sb_rng_seed_os(&out->rng);
    if (change)
        rc = prepare(config, create, out, err);
    if (rc == 0)
        rc = outbox_open(&outbox, &out->rng, &out->ob, err);
    if (rc == -(int)SB_ENOT_FOUND && !create)
        return sb_fail(err, SB_ENOT_FOUND, "there is no outbox yet in %.200s", config->state_dir);
    if (rc == 0 && change)
        add_enqueue(config, out);
    return rc;
}

int agent_cli_open(const struct agent_config *config, bool write, struct agent_cli_outbox *out,
                   struct sb_err *err)
{
    return open_outbox(config, write, write, out, err);
}

int agent_cli_open_existing(const struct agent_config *config, struct agent_cli_outbox *out,
                            struct sb_err *err)
{
    return open_outbox(config, false, true, out, err);
}

void agent_cli_close(struct agent_cli_outbox *outbox)
{
    enqueue_free(outbox->eq);
    outbox_close(outbox->ob);
    vault_free(outbox->vault);
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
    int rc;

    if (timeout_ms > ASK_MAX_MS)
        timeout_ms = ASK_MAX_MS;
    rc = sb_control_ask(config->socket_path, request, (int)timeout_ms, answer, err);

    if (rc == -(int)SB_ENOT_RUNNING)
        return sb_fail(err, SB_ENOT_RUNNING, "edge_agent run is not running");
    if (rc != 0)
        return rc;
    if (sb_json_check(sb_buf_span(answer), &calls_limits, &object, NULL) != 0 ||
        sb_json_type_of(object) != SB_JSON_OBJECT)
        return sb_fail(err, SB_EINTERNAL, "the daemon's answer cannot be read");
    if (sb_json_get(object, "success", &success) && sb_span_is(success, "false") &&
        sb_json_get(object, "code", &code) && sb_json_type_of(code) == SB_JSON_STRING)
        return refusal(object, err);
    return 0;
}

/* ---- JSON ---- */

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

/* ---- calls ---- */

void agent_cli_begin_call(struct sb_buf *call, const char *verb)
{
    sb_put_open(call, NULL, '{');
    sb_put_text(call, "verb", verb);
}

static int call_here(const struct agent_config *config, struct sb_span object, bool creates,
                     struct sb_buf *answer, struct sb_err *err)
{
    struct agent_cli_outbox outbox = {0};
    struct calls calls = {.device = config->device, .mappings = config->mappings};
    bool changes = calls_changes(agent_cli_get(object, "verb"));
    int rc = open_outbox(config, creates, changes, &outbox, err);

    calls.ob = outbox.ob;
    calls.eq = outbox.eq;
    calls.rng = &outbox.rng;
    sb_buf_clear(answer);
    if (rc == 0)
        rc = calls_run(&calls, object, sb_clock_now(), answer, err);
    agent_cli_close(&outbox);
    if (rc == 0 && changes)
        agent_cli_wake(config);
    return rc;
}

int agent_cli_call(const struct agent_config *config, struct sb_span call, bool creates,
                   struct sb_buf *answer, struct sb_err *err)
{
    struct sb_span object;
    int rc = sb_json_check(call, &calls_limits, &object, err);

    if (rc != 0)
        return rc;
    if (!agent_cli_needs_daemon(config))
        return call_here(config, object, creates, answer, err);
    rc = agent_cli_ask(config, object, CALL_MS, answer, err);
    if (rc == -(int)SB_ENOT_RUNNING)
        return sb_fail(err, SB_ENOT_RUNNING,
                       "no right to write %.120s, and edge_agent run is not running",
                       config->outbox_path);
    return rc;
}

void agent_cli_print_answer(struct sb_buf *answer)
{
    sb_buf_add_char(answer, '\n');
    sb_cli_print(answer);
}

int agent_cli_fail_json(struct sb_cli *cli, const struct sb_err *err)
{
    struct sb_buf failure = {0};

    if (sb_cli_json(cli)) {
        agent_cli_put_failure(&failure, 0, err);
        sb_cli_print(&failure);
    }
    sb_buf_free(&failure);
    return agent_cli_fail(cli, err);
}

int agent_cli_explain(const struct sb_cli *cli, struct sb_span answer)
{
    enum { CODE, MESSAGE, FIELDS };
    struct sb_json_field fields[FIELDS] = {{.key = "code"}, {.key = "message"}};
    struct sb_err err = {.code = SB_EINTERNAL};
    struct sb_span error = agent_cli_get(answer, "last_error");

    if (error.len == 0 || sb_json_type_of(error) != SB_JSON_OBJECT)
        return 1;
    sb_json_pick(error, fields, FIELDS);
    if (sb_field_code(&fields[CODE], &err.code, NULL) != 0 ||
        sb_field_text(&fields[MESSAGE], err.msg, sizeof(err.msg), NULL) != 0)
        return 1;
    return agent_cli_fail(cli, &err);
}

struct sb_span agent_cli_get(struct sb_span object, const char *key)
{
    struct sb_span value;

    return object.len > 0 && sb_json_type_of(object) == SB_JSON_OBJECT &&
                   sb_json_get(object, key, &value)
               ? value
               : (struct sb_span){"", 0};
}

uint64_t agent_cli_number(struct sb_span object, const char *key)
{
    struct sb_span value = agent_cli_get(object, key);
    uint64_t number = 0;

    return value.len > 0 && sb_json_u64(value, &number) ? number : 0;
}

bool agent_cli_flag(struct sb_span object, const char *key)
{
    return sb_span_is(agent_cli_get(object, key), "true");
}

void agent_cli_add_value(struct sb_buf *out, struct sb_span value)
{
    struct sb_buf text = {0};

    if (value.len == 0 || sb_json_type_of(value) == SB_JSON_NULL) {
        sb_buf_add_char(out, '-');
    } else if (sb_json_type_of(value) == SB_JSON_STRING) {
        sb_json_unescape(value, &text);
        sb_print_safe(sb_buf_span(&text), out);
    } else {
        sb_buf_add_span(out, value);
    }
    sb_buf_free(&text);
}

void agent_cli_cell(struct sb_table *table, struct sb_span object, const char *key)
{
    struct sb_span value = agent_cli_get(object, key);
    struct sb_buf text = {0};

    if (value.len > 0 && sb_json_type_of(value) == SB_JSON_STRING)
        sb_json_unescape(value, &text);
    else if (value.len > 0 && sb_json_type_of(value) != SB_JSON_NULL)
        sb_buf_add_span(&text, value);
    sb_table_span(table, sb_buf_span(&text));
    sb_buf_free(&text);
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
