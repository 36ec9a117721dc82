/* run: the daemon in the foreground. */
#include "cloud_cli.h"

#include "cloud_ingest/daemon.h"
#include "common/conf_load.h"

const char run_help[] =
    "Runs in the foreground and logs to standard error. SIGTERM and SIGINT end it within 5 s, "
    "with\n"
    "nothing lost: what was received and is not committed is not answered, so devices send it "
    "again.\n"
    "SIGHUP reads [log] anew; the rest of the configuration and the mapping files are read at the\n"
    "start, and a restart loses nothing either.\n"
    "\n"
    "examples:\n"
    "  cloud_ingest run --config /etc/sb/ingest.conf\n"
    "  cloud_ingest run --set log.level=debug\n";

static int reload(void *ctx, enum sb_log_level *level, bool *json, struct sb_err *err)
{
    struct sb_conf *conf;
    int rc = sb_cli_reload(ctx, &conf, err);

    if (rc != 0)
        return rc;
    rc = sb_conf_log(conf, level, json, err);
    sb_conf_free(conf);
    return rc;
}

int cmd_run(struct sb_cli *cli)
{
    struct daemon_hooks hooks = {.ctx = cli, .reload = reload};
    struct cloud_config config;
    struct sb_err err = {0};
    int rc = cloud_config_from(sb_cli_conf(cli), &config, &err);

    if (rc == 0) {
        sb_log_init("cloud_ingest", config.log_level, config.log_json);
        rc = daemon_run(&config, &hooks, &err);
    }
    return rc == 0 ? 0 : sb_cli_fail(cli, &err);
}
