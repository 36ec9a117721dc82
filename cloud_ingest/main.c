#include "cloud_ingest/cli/cloud_cli.h"
#include "common/mqtt_link.h"

/* cloud_ingest: the table of its verbs. */

/* clang-format off */
static const struct sb_cli_verb verbs[] = {
    {.name = "run", .arguments = "", .summary = "receive, store and answer what devices send",
     .help = run_help, .run = cmd_run},
    {.name = "status", .arguments = "", .json = true, .summary = "what the running daemon says",
     .help = status_help, .run = cmd_status},
    {.name = "verify", .arguments = "", .json = true,
     .summary = "is everything here that the devices made?",
     .help = verify_help, .options = verify_options, .run = cmd_verify},
    {.name = "devices", .arguments = "", .json = true, .summary = "list devices",
     .help = devices_help, .options = devices_options, .run = cmd_devices},
    {.name = "readings", .arguments = "", .json = true,
     .summary = "print a device's readings as NDJSON or CSV",
     .help = readings_help, .options = readings_options, .run = cmd_readings},
    {.name = "history", .arguments = "", .json = true, .summary = "list a user's commands",
     .help = history_help, .options = history_options, .run = cmd_history},
    {.name = "settings", .arguments = "", .json = true, .summary = "print a user's settings",
     .help = settings_help, .options = settings_options, .run = cmd_settings},
    {.name = "records", .arguments = "", .json = true, .summary = "list or print a user's records",
     .help = records_help, .options = records_options, .run = cmd_records},
    {.name = "conflicts list", .arguments = "", .json = true,
     .summary = "list operations that are in conflict",
     .help = conflicts_help, .options = conflicts_list_options, .run = cmd_conflicts_list},
    {.name = "conflicts show", .arguments = "ID", .min_args = 1, .max_args = 1, .json = true,
     .summary = "print one, place by place",
     .help = conflicts_help, .run = cmd_conflicts_show},
    {.name = "conflicts resolve", .arguments = "ID", .min_args = 1, .max_args = 1, .json = true,
     .summary = "decide one",
     .help = conflicts_help, .options = conflicts_resolve_options, .run = cmd_conflicts_resolve},
    {.name = "quarantine list", .arguments = "", .json = true,
     .summary = "list what could not be read or placed",
     .help = quarantine_help, .options = quarantine_list_options, .run = cmd_quarantine_list},
    {.name = "quarantine show", .arguments = "ID", .min_args = 1, .max_args = 1, .json = true,
     .summary = "print one of them",
     .help = quarantine_help, .options = quarantine_show_options, .run = cmd_quarantine_show},
    {.name = "device add", .arguments = "DEVICE", .min_args = 1, .max_args = 1, .json = true,
     .summary = "register a device and print its topics",
     .help = device_add_help, .run = cmd_device_add},
    {.name = "device list", .arguments = "", .json = true,
     .summary = "list which device may send for which user",
     .options = device_list_options, .run = cmd_device_list},
    {.name = "device grant", .arguments = "DEVICE USER", .min_args = 2, .max_args = 2, .json = true,
     .summary = "let a device send for a user",
     .help = device_grant_help, .run = cmd_device_grant},
    {.name = "device revoke", .arguments = "DEVICE", .min_args = 1, .max_args = 1, .json = true,
     .summary = "deny a device, or end one of its bindings",
     .help = device_revoke_help, .options = device_revoke_options, .run = cmd_device_revoke},
    SB_CLI_CONFIG_VERBS,
};
/* clang-format on */

static int check_broker(const struct cloud_config *config, struct sb_err *err)
{
    const struct sb_mqtt_config mqtt = {
        .url = config->url,
        .ca_file = config->ca_file,
        .cert_file = config->cert_file,
        .key_file = config->key_file,
        .user = config->user,
        .password_file = config->password_file,
    };
    int rc = cloud_config_ready(config, err);

    return rc == 0 ? sb_mqtt_config_check(&mqtt, err) : rc;
}

static int check(const struct sb_conf *conf, struct sb_err *err)
{
    struct cloud_config config;
    struct mapping_set *mappings;
    struct tables *tables;
    int rc = cloud_config_from(conf, &config, err);

    if (rc == 0)
        rc = check_broker(&config, err);
    if (rc == 0)
        rc = cloud_config_mappings(&config, &mappings, err);
    if (rc != 0)
        return rc;
    mapping_set_free(mappings);
    rc = cloud_config_tables(&config, &tables, err);
    if (rc == 0)
        tables_free(tables);
    return rc;
}

int main(int argc, char **argv)
{
    static const struct sb_cli_program program = {
        .name = "cloud_ingest",
        .summary = "Takes what edge devices send over MQTT into a database, exactly once.\n",
        .footer =
            "files: /etc/sb/ingest.conf, /etc/sb/ingest.conf.d/*.conf, /var/lib/sb\n"
            "exit status: 0 ok, 1 failed, 2 usage, 3 not reachable, 4 identity or TLS refused,\n"
            "             5 nothing found, 6 configuration\n",
        .verbs = verbs,
        .verb_count = sizeof(verbs) / sizeof(verbs[0]),
        .conf_new = cloud_conf_new,
        .conf_load = cloud_conf_load,
        .conf_check = check,
    };

    return sb_cli_main(&program, argc, argv);
}
