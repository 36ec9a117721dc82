/* flush: send everything now, and wait for the cloud's answers. */
#include "edge_agent/cli/agent_cli.h"

#include "common/json_read.h"

#define FLUSH_MS 60000
#define ASK_MORE 5000

const struct sb_cli_option flush_options[] = {{.name = "timeout",
                                               .kind = SB_CLI_DURATION,
                                               .value = "TIME",
                                               .help = "wait at most that long (60s)"},
                                              {0}};

const char flush_help[] = "Asks the daemon to send everything that waits, also what was refused "
                          "and waits for a timer, and\n"
                          "returns when nothing is pending any more (0) or the time is over (1; 3 "
                          "or 4 where there is no\n"
                          "connection, or this device is refused).\n";

static uint64_t figure(struct sb_span answer, const char *key)
{
    struct sb_span value;
    uint64_t out = 0;

    if (sb_json_get(answer, key, &value))
        (void)sb_json_u64(value, &out);
    return out;
}

static void print_people(struct sb_span answer)
{
    printf("%llu sent: %llu synced, %llu failed; %llu remaining\n",
           (unsigned long long)figure(answer, "sent"), (unsigned long long)figure(answer, "synced"),
           (unsigned long long)figure(answer, "failed"),
           (unsigned long long)figure(answer, "remaining"));
}

/* Why nothing could be sent, where the daemon knows: told, and an exit status of its own. */
static int explain(struct sb_cli *cli, struct sb_span answer)
{
    enum { CODE, MESSAGE, FIELDS };
    struct sb_json_field fields[FIELDS] = {{.key = "code"}, {.key = "message"}};
    struct sb_err err = {.code = SB_EINTERNAL};
    struct sb_span error;

    if (!sb_json_get(answer, "last_error", &error) || sb_json_type_of(error) != SB_JSON_OBJECT)
        return 1;
    sb_json_pick(error, fields, FIELDS);
    if (sb_field_code(&fields[CODE], &err.code, NULL) != 0 ||
        sb_field_text(&fields[MESSAGE], err.msg, sizeof(err.msg), NULL) != 0)
        return 1;
    return agent_cli_fail(cli, &err);
}

int cmd_flush(struct sb_cli *cli)
{
    int64_t timeout_ms = sb_cli_number(cli, "timeout", FLUSH_MS);
    struct sb_buf request = {0}, answer = {0};
    struct agent_config config;
    struct sb_err err = {0};
    int status = agent_cli_config(cli, &config), rc;

    if (status != 0)
        return status;
    rc = agent_cli_needs_broker(&config, &err);
    sb_buf_add_fmt(&request, "{\"verb\":\"flush\",\"timeout\":%.3f}", (double)timeout_ms / 1000);
    if (rc == 0)
        rc = agent_cli_ask(&config, sb_buf_span(&request), timeout_ms + ASK_MORE, &answer, &err);
    if (rc != 0) {
        status = agent_cli_fail(cli, &err);
    } else {
        if (!sb_cli_json(cli))
            print_people(sb_buf_span(&answer));
        if (figure(sb_buf_span(&answer), "remaining") > 0)
            status = explain(cli, sb_buf_span(&answer));
        sb_buf_add_char(&answer, '\n');
        if (sb_cli_json(cli))
            sb_cli_print(&answer);
    }
    sb_buf_free(&request);
    sb_buf_free(&answer);
    return status;
}
