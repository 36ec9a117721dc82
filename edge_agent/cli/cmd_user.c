/* user add | remove | list | set: whose documents this device keeps up to date, and what of them.
 */
#include "edge_agent/cli/agent_cli.h"

#include <string.h>

#include "common/json_read.h"

#define BEGIN_MS 2000

const struct sb_cli_option user_remove_options[] = {
    {.name = "purge",
     .help = "and remove the user's documents and history here, once all of it is in the cloud"},
    {0}};
const struct sb_cli_option user_set_options[] = {
    {.name = "table", .kind = SB_CLI_TEXT, .value = "T", .help = "auto_sync of this table alone"},
    {.name = "stream",
     .kind = SB_CLI_TEXT,
     .value = "S",
     .help = "sync of settings, records or history alone"},
    {.name = "backfill", .help = "send what was made while sync was off"},
    {0}};

const char user_help[] =
    "The agent pulls settings and records for the users that were added, and for nobody else; in "
    "the\n"
    "cloud `device grant` binds them to the device. add begins with a first sync. remove stops "
    "the\n"
    "pulling; what is here stays, and what waits for the cloud still goes there. --purge removes "
    "it\n"
    "too, unless something has not reached the cloud yet: then nothing happens.\n"
    "\n"
    "set changes switches: auto_sync=yes|no says whether the agent syncs a table by itself (at "
    "the\n"
    "start, every sync_interval, on coming online; `sync` works all the same); sync=yes|no whether "
    "a\n"
    "stream of the user is sent at all. While it is off, what is made stays here and what waits "
    "is\n"
    "parked. Switched on it starts from now; --backfill sends what was made meanwhile. Tables that "
    "the\n"
    "cloud declares later begin with auto_sync on.\n"
    "\n"
    "examples:\n"
    "  edge_agent user add user-1\n"
    "  edge_agent user list\n"
    "  edge_agent user set user-1 --table contents auto_sync=no\n"
    "  edge_agent user set user-1 --stream history sync=no\n"
    "  edge_agent user set user-1 sync=yes --backfill\n"
    "  edge_agent user remove user-1 --purge\n";

/* ---- what the verbs share ---- */

/* Does the call; 0, or the exit status of what has been said. */
static int run_call(struct sb_cli *cli, const struct agent_config *config, struct sb_buf *call,
                    bool creates, struct sb_buf *answer)
{
    struct sb_err err = {0};

    sb_put_close(call, '}');
    if (agent_cli_call(config, sb_buf_span(call), creates, answer, &err) == 0)
        return 0;
    return agent_cli_fail_json(cli, &err);
}

static int begin(struct sb_cli *cli, const char *verb, struct agent_config *config,
                 struct sb_buf *call)
{
    struct sb_err err = {0};
    const char *user = sb_cli_arg(cli, 0);
    int status = agent_cli_config(cli, config);

    if (status == 0 && user != NULL && agent_cli_check_user(user, &err) != 0)
        status = agent_cli_fail_json(cli, &err);
    if (status != 0)
        return status;
    agent_cli_begin_call(call, verb);
    if (user != NULL)
        sb_put_text(call, "user", user);
    return 0;
}

/* ---- add and remove ---- */

/* Asks the daemon for the first sync; false where none runs. */
static bool begin_sync(const struct agent_config *config, const char *user)
{
    struct sb_buf call = {0}, answer = {0};
    struct sb_err err;
    int rc;

    agent_cli_begin_call(&call, "sync");
    sb_put_text(&call, "user", user);
    sb_put_bool(&call, "detach", true);
    sb_put_close(&call, '}');
    rc = agent_cli_ask(config, sb_buf_span(&call), BEGIN_MS, &answer, &err);
    sb_buf_free(&call);
    sb_buf_free(&answer);
    return rc == 0;
}

static void print_added(struct sb_cli *cli, const char *user, bool added, bool begun)
{
    struct sb_buf out = {0};

    if (sb_cli_json(cli)) {
        sb_put_open(&out, NULL, '{');
        sb_put_bool(&out, "success", true);
        sb_put_text(&out, "user_id", user);
        sb_put_bool(&out, "added", added);
        sb_put_bool(&out, "sync_started", begun);
        sb_put_close(&out, '}');
        sb_buf_add_char(&out, '\n');
    } else {
        sb_buf_add_fmt(&out, "%s %s%s\n", user, added ? "added" : "is there already",
                       begun ? ": a sync has begun"
                             : ": synced when edge_agent run runs and the cloud answers");
    }
    sb_cli_print(&out);
    sb_buf_free(&out);
}

int cmd_user_add(struct sb_cli *cli)
{
    struct sb_buf call = {0}, answer = {0};
    struct agent_config config;
    int status = begin(cli, "user.add", &config, &call);

    if (status == 0)
        status = run_call(cli, &config, &call, true, &answer);
    if (status == 0)
        print_added(cli, sb_cli_arg(cli, 0), agent_cli_flag(sb_buf_span(&answer), "added"),
                    begin_sync(&config, sb_cli_arg(cli, 0)));
    sb_buf_free(&call);
    sb_buf_free(&answer);
    return status;
}

int cmd_user_remove(struct sb_cli *cli)
{
    struct sb_buf call = {0}, answer = {0};
    struct agent_config config;
    int status = begin(cli, "user.remove", &config, &call);

    if (status == 0) {
        sb_put_bool(&call, "purge", sb_cli_given(cli, "purge"));
        status = run_call(cli, &config, &call, false, &answer);
    }
    if (status == 0 && sb_cli_json(cli))
        agent_cli_print_answer(&answer);
    else if (status == 0)
        printf("%s %s\n", sb_cli_arg(cli, 0),
               sb_cli_given(cli, "purge") ? "removed, with what was here" : "removed");
    sb_buf_free(&call);
    sb_buf_free(&answer);
    return status;
}

/* ---- list ---- */

/* "all", "none", or those that are off. */
static void add_switches(struct sb_buf *out, struct sb_span switches)
{
    struct sb_json_iter iter;
    struct sb_span key, value;
    bool off = false, on = false;

    sb_json_iter_init(&iter, switches);
    while (sb_json_next_member(&iter, &key, &value)) {
        if (sb_span_is(value, "true")) {
            on = true;
            continue;
        }
        sb_buf_add_str(out, off ? ", " : "all but ");
        sb_buf_add_span(out, key);
        off = true;
    }
    if (!on) {
        sb_buf_clear(out);
        sb_buf_add_str(out, "none");
    } else if (!off) {
        sb_buf_add_str(out, "all");
    }
}

static void switches_cell(struct sb_table *table, struct sb_span user, const char *key)
{
    struct sb_buf text = {0};

    add_switches(&text, agent_cli_get(user, key));
    sb_table_span(table, sb_buf_span(&text));
    sb_buf_free(&text);
}

static void print_users(struct sb_cli *cli, struct sb_span users)
{
    static const char *const heads[] = {"user",  ">pending",  ">conflicts", ">unsent",
                                        "sends", "auto_sync", "last sync"};
    struct sb_table *table = sb_table_new(heads, sizeof(heads) / sizeof(heads[0]));
    struct sb_json_iter iter;
    struct sb_span user;

    sb_json_iter_init(&iter, users);
    while (sb_json_next_element(&iter, &user)) {
        agent_cli_cell(table, user, "user_id");
        agent_cli_cell(table, user, "pending_count");
        agent_cli_cell(table, user, "conflicts");
        agent_cli_cell(table, user, "unsent");
        switches_cell(table, user, "sync");
        switches_cell(table, user, "auto_sync");
        agent_cli_cell(table, user, "last_sync");
    }
    if (sb_table_rows(table) > 0)
        sb_table_print(table, sb_cli_colour(cli), stdout);
    else
        printf("no users\n");
    sb_table_free(table);
}

/* Before the first record there is no outbox, and nobody was added. */
static int list_nobody(struct sb_cli *cli)
{
    printf(sb_cli_json(cli) ? "{\"success\":true,\"users\":[]}\n" : "no users\n");
    return 0;
}

int cmd_user_list(struct sb_cli *cli)
{
    struct sb_buf call = {0}, answer = {0};
    struct agent_config config;
    struct sb_err err = {0};
    int status = begin(cli, "user.list", &config, &call), rc;

    if (status != 0)
        return status;
    sb_put_close(&call, '}');
    rc = agent_cli_call(&config, sb_buf_span(&call), false, &answer, &err);
    if (rc == -(int)SB_ENOT_FOUND)
        status = list_nobody(cli);
    else if (rc != 0)
        status = agent_cli_fail(cli, &err);
    else if (sb_cli_json(cli))
        agent_cli_print_answer(&answer);
    else
        print_users(cli, agent_cli_get(sb_buf_span(&answer), "users"));
    sb_buf_free(&call);
    sb_buf_free(&answer);
    return status;
}

/* ---- set ---- */

/* "auto_sync=no" into the call; false for anything else. */
static bool add_assignment(struct sb_buf *call, const char *argument)
{
    static const char *const keys[] = {"auto_sync", "sync"};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        size_t len = strlen(keys[i]);

        if (strncmp(argument, keys[i], len) != 0 || argument[len] != '=')
            continue;
        if (strcmp(argument + len + 1, "yes") == 0)
            sb_put_bool(call, keys[i], true);
        else if (strcmp(argument + len + 1, "no") == 0)
            sb_put_bool(call, keys[i], false);
        else
            return false;
        return true;
    }
    return false;
}

static bool has_auto(const struct sb_cli *cli)
{
    for (size_t i = 1; i < sb_cli_arg_count(cli); i++)
        if (strncmp(sb_cli_arg(cli, i), "auto_sync=", strlen("auto_sync=")) == 0)
            return true;
    return false;
}

static void print_set(struct sb_cli *cli, struct sb_buf *answer)
{
    struct sb_span filled = agent_cli_get(sb_buf_span(answer), "backfilled");

    if (sb_cli_json(cli)) {
        agent_cli_print_answer(answer);
        return;
    }
    printf("%s set", sb_cli_arg(cli, 0));
    if (sb_cli_given(cli, "backfill"))
        printf(", %llu documents and %llu records of history queued",
               (unsigned long long)agent_cli_number(filled, "documents"),
               (unsigned long long)agent_cli_number(filled, "history"));
    if (agent_cli_number(filled, "refused") > 0)
        printf("; %llu stay here: the cloud does not have their table",
               (unsigned long long)agent_cli_number(filled, "refused"));
    printf("\n");
}

int cmd_user_set(struct sb_cli *cli)
{
    struct sb_buf call = {0}, answer = {0};
    struct agent_config config;
    int status;

    if (sb_cli_arg_count(cli) < 2 && !sb_cli_given(cli, "backfill"))
        return sb_cli_usage(cli, "auto_sync=yes|no, sync=yes|no or --backfill is wanted");
    if (sb_cli_given(cli, "table") && !has_auto(cli) && !sb_cli_given(cli, "backfill"))
        return sb_cli_usage(cli, "--table belongs to auto_sync; a whole stream is switched off");
    status = begin(cli, "user.set", &config, &call);
    for (size_t i = 1; status == 0 && i < sb_cli_arg_count(cli); i++)
        if (!add_assignment(&call, sb_cli_arg(cli, i)))
            status = sb_cli_usage(cli, "'%.60s': neither auto_sync=yes|no nor sync=yes|no",
                                  sb_cli_arg(cli, i));
    if (status == 0) {
        if (sb_cli_given(cli, "table"))
            sb_put_text(&call, "table", sb_cli_text(cli, "table"));
        if (sb_cli_given(cli, "stream"))
            sb_put_text(&call, "stream", sb_cli_text(cli, "stream"));
        sb_put_bool(&call, "backfill", sb_cli_given(cli, "backfill"));
        status = run_call(cli, &config, &call, false, &answer);
    }
    if (status == 0)
        print_set(cli, &answer);
    sb_buf_free(&call);
    sb_buf_free(&answer);
    return status;
}
