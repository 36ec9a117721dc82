/* status: from the daemon while it runs, else from the outbox file. */
#include "edge_agent/cli/agent_cli.h"

#include <stdlib.h>
#include <string.h>

#include "common/json_read.h"
#include "common/table.h"
#include "edge_agent/status.h"

#define ASK_MS 3000

const struct sb_cli_option status_options[] = {
    {.name = "user", .kind = SB_CLI_TEXT, .value = "USER", .help = "of this one alone"}, {0}};

const char status_help[] =
    "sync_status is synced (everything is in the cloud), syncing, offline (the cloud does not\n"
    "answer; what is enqueued is safe here) or conflict: somebody has to decide between two\n"
    "edits, or a document of the cloud cannot be opened here (trouble). It works while\n"
    "edge_agent run is down.\n";

/* Without the daemon and without an outbox: nothing was ever enqueued. */
static void print_nothing(const struct agent_config *config, struct sb_buf *out)
{
    sb_put_open(out, NULL, '{');
    sb_put_text(out, "device", config->device);
    sb_put_bool(out, "running", false);
    sb_put_text(out, "sync_status", "offline");
    sb_put_bool(out, "is_online", false);
    sb_put_u64(out, "pending_count", 0);
    sb_put_raw(out, "pending_by_type", SB_SPAN("{}"));
    sb_put_u64(out, "failed_count", 0);
    sb_put_u64(out, "conflicts", 0);
    sb_put_u64(out, "unsent", 0);
    sb_put_u64(out, "trouble", 0);
    sb_put_u64(out, "users", 0);
    sb_put_u64(out, "holes", 0);
    sb_put_null(out, "last_sync");
    sb_put_null(out, "oldest_pending");
    sb_put_u64(out, "retry_delay", 0);
    sb_put_null(out, "epoch");
    sb_put_null(out, "outbox");
    sb_put_close(out, '}');
}

static int from_file(const struct agent_config *config, const char *user, struct sb_buf *out,
                     struct sb_err *err)
{
    struct agent_cli_outbox outbox = {0};
    int rc = agent_cli_open(config, false, &outbox, err);

    if (rc == -(int)SB_ENOT_FOUND && user == NULL) {
        print_nothing(config, out);
        return 0;
    }
    if (rc == 0)
        rc = status_print(outbox.ob, config->device, user, NULL, sb_clock_now(), out, err);
    agent_cli_close(&outbox);
    return rc;
}

/* ---- for people ---- */

static void label(struct sb_buf *out, const char *name)
{
    sb_buf_add_fmt(out, "%-12s ", name);
}

static void line(struct sb_buf *out, struct sb_span status, const char *name, const char *key)
{
    label(out, name);
    agent_cli_add_value(out, agent_cli_get(status, key));
    sb_buf_add_char(out, '\n');
}

static void pending_line(struct sb_buf *out, struct sb_span status, struct sb_now now)
{
    struct sb_json_field oldest = {.key = "oldest_pending",
                                   .value = agent_cli_get(status, "oldest_pending")};
    struct sb_span by_type = agent_cli_get(status, "pending_by_type"), key, value;
    struct sb_json_iter iter;
    const char *before = " (";
    int64_t since_us;
    char age[32];

    label(out, "pending");
    agent_cli_add_value(out, agent_cli_get(status, "pending_count"));
    sb_json_iter_init(&iter, by_type);
    while (by_type.len > 0 && sb_json_next_member(&iter, &key, &value)) {
        sb_buf_add_fmt(out, "%s" SB_SPAN_FMT " " SB_SPAN_FMT, before, SB_SPAN_ARG(key),
                       SB_SPAN_ARG(value));
        before = ", ";
    }
    sb_buf_add_str(out, before[0] == ',' ? ")" : "");
    if (sb_field_given(&oldest) && sb_field_time(&oldest, &since_us, NULL) == 0) {
        sb_print_age((now.wall_us - since_us) / 1000, age, sizeof(age));
        sb_buf_add_fmt(out, ", the oldest %s old", age);
    }
    sb_buf_add_char(out, '\n');
}

static void error_line(struct sb_buf *out, struct sb_span status)
{
    struct sb_span error = agent_cli_get(status, "last_error");

    if (error.len == 0 || sb_json_type_of(error) != SB_JSON_OBJECT)
        return;
    label(out, "last error");
    agent_cli_add_value(out, agent_cli_get(error, "message"));
    sb_buf_add_str(out, " [");
    agent_cli_add_value(out, agent_cli_get(error, "code"));
    sb_buf_add_str(out, "]\n");
}

static void trouble_lines(struct sb_buf *out, struct sb_span status)
{
    struct sb_span parked = agent_cli_get(status, "parked"), one;
    struct sb_json_iter iter;

    sb_json_iter_init(&iter, parked);
    while (parked.len > 0 && sb_json_next_element(&iter, &one)) {
        label(out, "parked");
        agent_cli_add_value(out, agent_cli_get(one, "stream"));
        sb_buf_add_str(out, ": ");
        agent_cli_add_value(out, agent_cli_get(one, "reason"));
        sb_buf_add_str(out, " [");
        agent_cli_add_value(out, agent_cli_get(one, "code"));
        sb_buf_add_str(out, "]\n");
    }
    error_line(out, status);
}

/* More than nothing, or not shown. */
static void line_if_any(struct sb_buf *out, struct sb_span status, const char *name,
                        const char *key, const char *what)
{
    if (agent_cli_number(status, key) == 0)
        return;
    label(out, name);
    agent_cli_add_value(out, agent_cli_get(status, key));
    sb_buf_add_fmt(out, " %s\n", what);
}

static void print_people(struct sb_span status, struct sb_buf *out)
{
    bool running = agent_cli_flag(status, "running");

    line(out, status, "device", "device");
    line(out, status, "status", "sync_status");
    label(out, "daemon");
    sb_buf_add_str(out, running ? "running\n" : "edge_agent run is not running\n");
    pending_line(out, status, sb_clock_now());
    line(out, status, "failed", "failed_count");
    line(out, status, "conflicts", "conflicts");
    line_if_any(out, status, "kept here", "unsent", "documents made while a switch was off");
    line_if_any(out, status, "trouble", "trouble", "documents of the cloud cannot be opened");
    line(out, status, "last sync", "last_sync");
    if (running) {
        line(out, status, "in flight", "in_flight");
        label(out, "retry delay");
        agent_cli_add_value(out, agent_cli_get(status, "retry_delay"));
        sb_buf_add_str(out, " s\n");
    }
    trouble_lines(out, status);
}

/* Of one user: the documents that could not be opened are named. */
static void print_user(struct sb_span status, struct sb_buf *out)
{
    struct sb_span trouble = agent_cli_get(status, "trouble"), one;
    struct sb_json_iter iter;

    line(out, status, "user", "user_id");
    line(out, status, "status", "sync_status");
    line(out, status, "pending", "pending_count");
    line(out, status, "conflicts", "conflicts");
    line_if_any(out, status, "kept here", "unsent", "documents made while a switch was off");
    line(out, status, "last sync", "last_sync");
    line(out, status, "version", "last_server_version");
    sb_json_iter_init(&iter, trouble);
    while (trouble.len > 0 && sb_json_next_element(&iter, &one)) {
        label(out, "trouble");
        agent_cli_add_value(out, agent_cli_get(one, "table"));
        sb_buf_add_char(out, '/');
        agent_cli_add_value(out, agent_cli_get(one, "id"));
        sb_buf_add_str(out, " [");
        agent_cli_add_value(out, agent_cli_get(one, "code"));
        sb_buf_add_str(out, "]\n");
    }
    error_line(out, status);
}

/* From the daemon, or else from the file. */
static int ask(struct sb_cli *cli, const struct agent_config *config, const char *user,
               struct sb_buf *answer, struct sb_err *err)
{
    struct sb_buf call = {0};
    struct sb_err asked = {0};
    int rc;

    agent_cli_begin_call(&call, "status");
    if (user != NULL)
        sb_put_text(&call, "user", user);
    sb_put_close(&call, '}');
    rc = agent_cli_ask(config, sb_buf_span(&call), ASK_MS, answer, &asked);
    sb_buf_free(&call);
    if (rc == 0 || asked.code == SB_ENOT_FOUND) {
        *err = asked;
        return rc;
    }
    if (asked.code != SB_ENOT_RUNNING)
        sb_cli_note(cli, "the daemon: %s [%s]; these figures are from the file", asked.msg,
                    sb_code_name(asked.code));
    sb_buf_clear(answer);
    return from_file(config, user, answer, err);
}

int cmd_status(struct sb_cli *cli)
{
    const char *user = sb_cli_text(cli, "user");
    struct sb_buf answer = {0}, out = {0};
    struct agent_config config;
    struct sb_err err = {0};
    int status = agent_cli_config(cli, &config), rc;

    if (status != 0)
        return status;
    rc = user != NULL ? agent_cli_check_user(user, &err) : 0;
    if (rc == 0)
        rc = ask(cli, &config, user, &answer, &err);
    if (rc != 0) {
        status = agent_cli_fail(cli, &err);
    } else if (sb_cli_json(cli)) {
        agent_cli_print_answer(&answer);
    } else {
        (user != NULL ? print_user : print_people)(sb_buf_span(&answer), &out);
        sb_cli_print(&out);
    }
    sb_buf_free(&answer);
    sb_buf_free(&out);
    return status;
}
