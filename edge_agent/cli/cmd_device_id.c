/* device-id: the identity worked out from this machine, and the one in force. */
#include "edge_agent/cli/agent_cli.h"

#include <stdio.h>
#include <string.h>

#include "edge_agent/device_id.h"

const char device_id_help[] =
    "Prints the SHA-256 of this machine's characteristics (machine-id, product UUID or serial\n"
    "number, hardware addresses, CPU). It is worked out once, kept in the state folder and never\n"
    "worked out again. It is the device's name where neither [device] id nor a certificate gives "
    "one.\n"
    "\n"
    "  cloud_ingest device grant \"$(edge_agent device-id)\" user-1\n"
    "  certs/make-certs.sh device pki \"$(edge_agent device-id)\"\n"
    "\n"
    "Machines made from one image are told apart by their hardware. Make images without the state\n"
    "folder and with an empty /etc/machine-id; a copied state folder is a copied identity.\n";

static void print_json(const struct agent_config *config, const char *id)
{
    struct sb_buf out = {0};

    sb_put_open(&out, NULL, '{');
    sb_put_text(&out, "device_id", id);
    sb_put_text_or_null(&out, "device", config->device);
    sb_put_bool(&out, "in_use", strcmp(config->device, id) == 0);
    sb_put_close(&out, '}');
    sb_buf_add_char(&out, '\n');
    sb_cli_print(&out);
    sb_buf_free(&out);
}

int cmd_device_id(struct sb_cli *cli)
{
    struct agent_config config;
    char id[DEVICE_ID_LEN + 1];
    struct sb_err err = {0};
    int status = agent_cli_config(cli, &config), rc;

    if (status != 0)
        return status;
    rc = agent_config_make_state(&config, &err);
    if (rc == 0)
        rc = device_id_keep(config.state_dir, "/", id, &err);
    if (rc < 0)
        return agent_cli_fail(cli, &err);
    if (sb_cli_json(cli))
        print_json(&config, id);
    else
        printf("%s\n", id);
    return 0;
}
