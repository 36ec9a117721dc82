/* run: the daemon. */
#include "edge_agent/cli/agent_cli.h"

#include "edge_agent/agent.h"

const char run_help[] =
    "Sends what is in the outbox to the cloud, takes records from local applications on its "
    "socket,\n"
    "and reads this machine's own figures. SIGTERM ends it within 5 s with nothing lost.\n";

int cmd_run(struct sb_cli *cli)
{
    struct agent_config config;
    struct sb_err err = {0};
    int status = agent_cli_config(cli, &config);

    if (status != 0)
        return status;
    sb_log_init("edge_agent", config.log_level, config.log_json);
    if (config.derived &&
        (agent_config_make_state(&config, &err) < 0 || agent_config_keep_device(&config, &err) < 0))
        return agent_cli_fail(cli, &err);
    if (agent_run(&config, &err) == 0)
        return 0;
    return agent_cli_fail(cli, &err);
}
