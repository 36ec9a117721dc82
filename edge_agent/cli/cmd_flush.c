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

static void print_people(struct sb_span answer)
{
    printf("%llu sent: %llu synced, %llu failed; %llu remaining\n",
           (unsigned long long)agent_cli_number(answer, "sent"),
           (unsigned long long)agent_cli_number(answer, "synced"),
           (unsigned long long)agent_cli_number(answer, "failed"),
           (unsigned long long)agent_cli_number(answer, "remaining"));
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
        if (agent_cli_number(sb_buf_span(&answer), "remaining") > 0)
            status = agent_cli_explain(cli, sb_buf_span(&answer));
        sb_buf_add_char(&answer, '\n');
        if (sb_cli_json(cli))
            sb_cli_print(&answer);
    }
    sb_buf_free(&request);
    sb_buf_free(&answer);
    return status;
}
