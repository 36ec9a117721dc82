/* sync: push and pull settings and records now. reload: read the configuration anew. */
#include "edge_agent/cli/agent_cli.h"

#include "common/json_read.h"

#define SYNC_MS   60000
#define RELOAD_MS 5000
#define ASK_MORE  5000

const struct sb_cli_option sync_options[] = {
    {.name = "user", .kind = SB_CLI_TEXT, .value = "USER", .help = "this one alone"},
    {.name = "table",
     .kind = SB_CLI_TEXT,
     .value = "T",
     .help = "pull this one alone (\"settings\" is one)"},
    {.name = "timeout",
     .kind = SB_CLI_DURATION,
     .value = "TIME",
     .help = "wait at most that long (60s)"},
    {0}};

const char sync_help[] =
    "Sends the settings and records that wait and asks the cloud for everything newer, also of "
    "tables\n"
    "whose auto_sync is off. Returns when both have ended: 0, or 1 when something is left or was\n"
    "refused (3 or 4 where there is no connection, or this device is refused).\n"
    "\n"
    "total: operations that waited; synced: of these in the cloud now; failed: refused for good;\n"
    "remaining: still waiting; pulled: changes that came; pushed: as synced; conflicts: open "
    "ones.\n";
const char reload_help[] =
    "The running daemon reads its configuration anew, as on SIGHUP, and says which keys it took up "
    "and\n"
    "which wait for a restart.\n";

static void print_people(struct sb_span answer)
{
    printf("%llu pushed, %llu pulled, %llu failed, %llu remaining, %llu conflicts\n",
           (unsigned long long)agent_cli_number(answer, "pushed"),
           (unsigned long long)agent_cli_number(answer, "pulled"),
           (unsigned long long)agent_cli_number(answer, "failed"),
           (unsigned long long)agent_cli_number(answer, "remaining"),
           (unsigned long long)agent_cli_number(answer, "conflicts"));
}

static int check_names(const char *user, const char *table, struct sb_err *err)
{
    if (user != NULL && agent_cli_check_user(user, err) != 0)
        return -(int)err->code;
    if (table != NULL && !sb_table_valid(sb_span_of(table)))
        return sb_fail(err, SB_EBAD_ID, "table '%.70s' is not [a-z][a-z0-9_]{0,63}", table);
    return 0;
}

int cmd_sync(struct sb_cli *cli)
{
    int64_t timeout_ms = sb_cli_number(cli, "timeout", SYNC_MS);
    const char *user = sb_cli_text(cli, "user"), *table = sb_cli_text(cli, "table");
    struct sb_buf call = {0}, answer = {0};
    struct agent_config config;
    struct sb_err err = {0};
    int status = agent_cli_config(cli, &config), rc;

    if (status != 0)
        return status;
    agent_cli_begin_call(&call, "sync");
    if (user != NULL)
        sb_put_text(&call, "user", user);
    if (table != NULL)
        sb_put_text(&call, "table", table);
    sb_buf_add_fmt(&call, ",\"timeout\":%.3f}", (double)timeout_ms / 1000);
    rc = check_names(user, table, &err);
    if (rc == 0)
        rc = agent_cli_needs_broker(&config, &err);
    if (rc == 0)
        rc = agent_cli_ask(&config, sb_buf_span(&call), timeout_ms + ASK_MORE, &answer, &err);
    if (rc != 0) {
        status = agent_cli_fail(cli, &err);
    } else {
        if (!sb_cli_json(cli))
            print_people(sb_buf_span(&answer));
        if (!agent_cli_flag(sb_buf_span(&answer), "success"))
            status = agent_cli_explain(cli, sb_buf_span(&answer));
        if (sb_cli_json(cli))
            agent_cli_print_answer(&answer);
    }
    sb_buf_free(&call);
    sb_buf_free(&answer);
    return status;
}

static void print_keys(const char *text, struct sb_span keys)
{
    struct sb_buf out = {0};
    struct sb_json_iter iter;
    struct sb_span key;

    sb_json_iter_init(&iter, keys);
    while (sb_json_next_element(&iter, &key)) {
        sb_buf_add_fmt(&out, "%s ", text);
        agent_cli_add_value(&out, key);
        sb_buf_add_char(&out, '\n');
    }
    sb_cli_print(&out);
    sb_buf_free(&out);
}

int cmd_reload(struct sb_cli *cli)
{
    struct sb_buf answer = {0};
    struct agent_config config;
    struct sb_err err = {0};
    int status = agent_cli_config(cli, &config);

    if (status != 0)
        return status;
    if (agent_cli_ask(&config, SB_SPAN("{\"verb\":\"reload\"}"), RELOAD_MS, &answer, &err) != 0) {
        status = agent_cli_fail(cli, &err);
    } else if (sb_cli_json(cli)) {
        agent_cli_print_answer(&answer);
    } else {
        print_keys("taken up:", agent_cli_get(sb_buf_span(&answer), "reloaded"));
        print_keys("needs a restart:", agent_cli_get(sb_buf_span(&answer), "restart"));
        print_keys("does not work as it is:", agent_cli_get(sb_buf_span(&answer), "warnings"));
    }
    sb_buf_free(&answer);
    return status;
}
