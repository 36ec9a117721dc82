/* key reencrypt: a user's documents anew, with the key that comes first now. */
#include "edge_agent/cli/agent_cli.h"

#include "edge_agent/vault.h"

const struct sb_cli_option key_reencrypt_options[] = {
    {.name = "user", .kind = SB_CLI_TEXT, .required = true, .value = "USER", .help = "whose"}, {0}};

const char reencrypt_help[] = "Every document of the user gets an operation with its current text, "
                              "encrypted with the first key.\n"
                              "For the end of a change of keys: once all devices have the new key "
                              "in front and this has reached\n"
                              "the cloud, the old key can go from the files. (Versions before stay "
                              "readable with it alone.)\n";

/* Whom nobody encrypts has nothing to encrypt anew; the daemon's and this configuration are one. */
static int check_encrypted(const struct agent_config *config, const char *user, struct sb_err *err)
{
    struct vault *vault = NULL;
    int rc = agent_config_vault(config, &vault, err);

    if (rc == 0 && !vault_encrypts(vault, user))
        rc = sb_fail(err, SB_ECONFIG, "[encryption] users: %s is not among them", user);
    vault_free(vault);
    return rc;
}

int cmd_key_reencrypt(struct sb_cli *cli)
{
    const char *user = sb_cli_text(cli, "user");
    struct sb_buf call = {0}, answer = {0};
    struct agent_config config;
    struct sb_err err = {0};
    int status = agent_cli_config(cli, &config), rc;

    if (status != 0)
        return status;
    agent_cli_begin_call(&call, "document.reencrypt");
    sb_put_text(&call, "user", user);
    sb_put_close(&call, '}');
    rc = agent_cli_check_user(user, &err);
    if (rc == 0)
        rc = check_encrypted(&config, user, &err);
    if (rc == 0)
        rc = agent_cli_call(&config, sb_buf_span(&call), false, &answer, &err);
    if (rc != 0)
        status = agent_cli_fail_json(cli, &err);
    else if (sb_cli_json(cli))
        agent_cli_print_answer(&answer);
    else
        printf("%llu documents of %s are on their way anew\n",
               (unsigned long long)agent_cli_number(sb_buf_span(&answer), "documents"), user);
    sb_buf_free(&call);
    sb_buf_free(&answer);
    return status;
}
