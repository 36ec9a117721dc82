/* edge_agent: the verbs of its command line. The data path begins in enqueue.c (stage 1). */
#include "edge_agent/cli/agent_cli.h"
#include "common/mqtt_link.h"
#include "edge_agent/vault.h"

static const struct sb_cli_verb verbs[] = {
    {.name = "run",
     .arguments = "",
     .summary = "send what is enqueued to the cloud (the daemon)",
     .help = run_help,
     .run = cmd_run},
    {.name = "put",
     .arguments = "STREAM [RECORD]",
     .min_args = 1,
     .max_args = 2,
     .json = true,
     .summary = "enqueue one record, or those on standard input",
     .help = put_help,
     .options = put_options,
     .run = cmd_put},
    {.name = "import",
     .arguments = "FILE...",
     .min_args = 1,
     .max_args = SB_CLI_ANY,
     .json = true,
     .summary = "enqueue the rows of CSV and NDJSON files, each once",
     .help = import_help,
     .options = import_options_list,
     .run = cmd_import},
    {.name = "settings get",
     .arguments = "",
     .json = true,
     .summary = "print the settings of a user on this device",
     .help = settings_help,
     .options = settings_get_options,
     .run = cmd_settings_get},
    {.name = "settings put",
     .arguments = "[DOCUMENT|@FILE|-]",
     .max_args = 1,
     .json = true,
     .summary = "replace the settings of a user",
     .help = settings_help,
     .options = settings_put_options,
     .run = cmd_settings_put},
    {.name = "settings restore",
     .arguments = "",
     .json = true,
     .summary = "put the cloud's backup of a user's settings in force",
     .help = settings_help,
     .options = settings_restore_options,
     .run = cmd_settings_restore},
    {.name = "status",
     .arguments = "",
     .json = true,
     .summary = "what is sent, what waits and why",
     .help = status_help,
     .run = cmd_status},
    {.name = "queue",
     .arguments = "",
     .json = true,
     .summary = "list what waits for the cloud",
     .options = queue_options,
     .run = cmd_queue},
    {.name = "queue list",
     .arguments = "",
     .json = true,
     .summary = "the same",
     .options = queue_options,
     .run = cmd_queue},
    {.name = "flush",
     .arguments = "",
     .json = true,
     .summary = "send everything now and wait for the answers",
     .help = flush_help,
     .options = flush_options,
     .run = cmd_flush},
    {.name = "dead list",
     .arguments = "",
     .json = true,
     .summary = "list what the cloud has refused for good",
     .help = dead_help,
     .run = cmd_dead_list},
    {.name = "dead show",
     .arguments = "ID",
     .min_args = 1,
     .max_args = 1,
     .json = true,
     .summary = "show one of them with its record",
     .help = dead_help,
     .run = cmd_dead_show},
    {.name = "dead retry",
     .arguments = "[ID]",
     .max_args = 1,
     .json = true,
     .summary = "send one or --all of them once more",
     .help = dead_help,
     .options = dead_options,
     .run = cmd_dead_retry},
    {.name = "dead drop",
     .arguments = "[ID]",
     .max_args = 1,
     .json = true,
     .summary = "forget one or --all of them",
     .help = dead_help,
     .options = dead_options,
     .run = cmd_dead_drop},
    {.name = "key generate",
     .arguments = "",
     .no_config = true,
     .summary = "make a key for encrypted users",
     .help = key_help,
     .options = key_generate_options,
     .run = cmd_key_generate},
    {.name = "device-id",
     .arguments = "",
     .json = true,
     .summary = "print the identity worked out from this machine",
     .help = device_id_help,
     .run = cmd_device_id},
    SB_CLI_CONFIG_VERBS,
};

static int check_broker(const struct agent_config *config, struct sb_err *err)
{
    const struct sb_mqtt_config mqtt = {
        .url = config->url,
        .ca_file = config->ca_file,
        .cert_file = config->cert_file,
        .key_file = config->key_file,
        .user = config->user,
        .password_file = config->password_file,
    };
    int rc = agent_config_ready(config, err);

    return rc == 0 ? sb_mqtt_config_check(&mqtt, err) : rc;
}

static int check_encryption(const struct agent_config *config, struct sb_err *err)
{
    struct vault *vault;
    int rc = agent_config_vault(config, &vault, err);

    if (rc == 0)
        rc = vault_check(vault, err);
    vault_free(vault);
    return rc;
}

/* Without a broker it is good too: then records are kept. */
static int check_config(const struct sb_conf *conf, struct sb_err *err)
{
    struct agent_config config;
    int rc = agent_config_from(conf, &config, err);

    if (rc == 0)
        rc = check_encryption(&config, err);
    return rc == 0 && config.url[0] != '\0' ? check_broker(&config, err) : rc;
}

int main(int argc, char **argv)
{
    static const struct sb_cli_program program = {
        .name = "edge_agent",
        .summary =
            "Keeps readings, command history and settings on this device until the cloud has\n"
            "committed them, each exactly once.\n",
        .footer =
            "files: /etc/sb/agent.conf, /etc/sb/agent.conf.d/*.conf, the outbox in /var/lib/sb\n"
            "exit status: 0 ok, 1 failed, 2 usage, 3 not reachable, 4 identity or TLS refused,\n"
            "5 nothing found, 6 configuration\n",
        .verbs = verbs,
        .verb_count = sizeof(verbs) / sizeof(verbs[0]),
        .conf_new = agent_conf_new,
        .conf_load = agent_conf_load,
        .conf_check = check_config,
    };

    return sb_cli_main(&program, argc, argv);
}
