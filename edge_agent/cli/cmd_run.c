/* run: the daemon. */
#include "edge_agent/cli/agent_cli.h"

#include "edge_agent/agent.h"

const char run_help[] =
    "Sends what is in the outbox to the cloud, takes records from local applications on its "
    "socket,\n"
    "and reads this machine's own figures. SIGTERM ends it within 5 s with nothing lost. SIGHUP "
    "(or\n"
    "`edge_agent reload`) takes up the keys that the sample marks so.\n";

static int reload(void *ctx, struct sb_conf **out, struct sb_err *err)
{
    return sb_cli_reload(ctx, out, err);
}

int cmd_run(struct sb_cli *cli)
{
    struct agent_hooks hooks = {.ctx = cli, .conf = sb_cli_conf(cli), .reload = reload};
    struct agent_config config;
    struct sb_err err = {0};
    int status = agent_cli_config(cli, &config);

    if (status != 0)
        return status;
    sb_log_init("edge_agent", config.log_level, config.log_json);
    if (config.derived &&
        (agent_config_make_state(&config, &err) < 0 || agent_config_keep_device(&config, &err) < 0))
        return agent_cli_fail(cli, &err);
    if (agent_run(&config, &hooks, &err) == 0)
        return 0;
    return agent_cli_fail(cli, &err);
}
