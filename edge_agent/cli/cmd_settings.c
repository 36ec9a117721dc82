/* settings get | put | restore: the document of a user, of which this device holds the primary
 * copy. */
#include "edge_agent/cli/put_document.h"

#include <string.h>

#include "common/json_read.h"

#define RESTORE_MS 30000
#define ASK_MORE   5000

#define USER_OPTION                                                                                \
    {                                                                                              \
        .name = "user", .kind = SB_CLI_TEXT, .required = true, .value = "USER", .help = "whose"    \
    }

const struct sb_cli_option settings_get_options[] = {
    USER_OPTION, {.name = "conflict", .help = "the losing edit of an open conflict instead"}, {0}};
const struct sb_cli_option settings_put_options[] = {
    USER_OPTION,
    {.name = "id", .kind = SB_CLI_TEXT, .value = "ID", .help = "makes a repeat safe"},
    {.name = "wait",
     .kind = SB_CLI_DURATION,
     .value = "TIME",
     .help = "wait that long for the cloud's answer"},
    {0}};
const struct sb_cli_option settings_restore_options[] = {
    USER_OPTION,
    {.name = "timeout",
     .kind = SB_CLI_DURATION,
     .value = "TIME",
     .help = "wait that long for the cloud (30s)"},
    {0}};

const char settings_help[] =
    "A settings document is any JSON object; it is kept and sent as it is. put takes it as "
    "argument,\n"
    "from a file (@FILE) or from standard input (-), and replaces the one before. restore asks "
    "the\n"
    "cloud for the backup and puts it in force here, unless own edits are on their way.\n"
    "\n"
    "examples:\n"
    "  edge_agent settings put --user user-1 '{\"theme\":\"dark\",\"language\":\"en\"}'\n"
    "  edge_agent settings put --user user-1 @settings.json\n"
    "  edge_agent settings get --user user-1 --json\n"
    "  edge_agent settings restore --user user-1\n"
    "  edge_agent settings diff --user user-1\n"
    "  edge_agent settings history --user user-1 --cloud\n"
    "  edge_agent settings rollback --user user-1 --to 7 --cloud\n";

static int check_user(struct sb_cli *cli, const char **user)
{
    struct sb_err err;

    *user = sb_cli_text(cli, "user");
    return agent_cli_check_user(*user, &err) != 0 ? agent_cli_fail(cli, &err) : 0;
}

/* ---- get ---- */

static void copy_member(struct sb_buf *out, const char *key, struct sb_span answer)
{
    sb_put_raw(out, key, agent_cli_get(answer, key));
}

static void print_document(struct sb_cli *cli, const char *user, struct sb_span answer)
{
    struct sb_buf out = {0};

    if (!sb_cli_json(cli)) {
        sb_buf_add_span(&out, agent_cli_get(answer, "data"));
    } else {
        sb_put_open(&out, NULL, '{');
        sb_put_text(&out, "user_id", user);
        sb_put_raw(&out, "settings", agent_cli_get(answer, "data"));
        copy_member(&out, "device", answer);
        sb_put_raw(&out, "edge_id", agent_cli_get(answer, "device"));
        copy_member(&out, "updated_at", answer);
        copy_member(&out, "op_id", answer);
        copy_member(&out, "server_version", answer);
        copy_member(&out, "server_device", answer);
        copy_member(&out, "server_updated_at", answer);
        copy_member(&out, "pending", answer);
        copy_member(&out, "unsent", answer);
        copy_member(&out, "encrypted", answer);
        copy_member(&out, "trouble", answer);
        copy_member(&out, "open_conflicts", answer);
        sb_put_close(&out, '}');
    }
    agent_cli_print_answer(&out);
    sb_buf_free(&out);
}

/* The newest conflict that is open for this user's settings; 0 where there is none. */
static uint64_t newest_conflict(struct sb_span conflicts)
{
    struct sb_json_iter iter;
    struct sb_span one;
    uint64_t id = 0;

    sb_json_iter_init(&iter, conflicts);
    while (sb_json_next_element(&iter, &one))
        if (sb_json_string_is(agent_cli_get(one, "table"), SB_TABLE_SETTINGS))
            id = agent_cli_number(one, "id");
    return id;
}

static int find_conflict(const struct agent_config *config, const char *user, struct sb_buf *answer,
                         struct sb_err *err)
{
    struct sb_buf call = {0};
    uint64_t id = 0;
    int rc;

    agent_cli_begin_call(&call, "conflict.list");
    sb_put_text(&call, "user", user);
    sb_put_close(&call, '}');
    rc = agent_cli_call(config, sb_buf_span(&call), false, answer, err);
    if (rc == 0)
        id = newest_conflict(agent_cli_get(sb_buf_span(answer), "conflicts"));
    if (rc == 0 && id == 0)
        rc = sb_fail(err, SB_ENOT_FOUND, "no conflict is open for the settings of %s", user);
    sb_buf_clear(&call);
    agent_cli_begin_call(&call, "conflict.show");
    sb_put_u64(&call, "id", id);
    sb_put_close(&call, '}');
    if (rc == 0)
        rc = agent_cli_call(config, sb_buf_span(&call), false, answer, err);
    sb_buf_free(&call);
    return rc;
}

/* The losing edit of the newest open conflict. */
static int get_conflict(struct sb_cli *cli, const struct agent_config *config, const char *user)
{
    struct sb_buf answer = {0}, text = {0};
    struct sb_err err = {0};
    int status = 0;

    if (find_conflict(config, user, &answer, &err) != 0) {
        status = agent_cli_fail(cli, &err);
    } else if (sb_cli_json(cli)) {
        agent_cli_print_answer(&answer);
    } else {
        sb_buf_add_span(&text, agent_cli_get(sb_buf_span(&answer), "local"));
        agent_cli_print_answer(&text);
    }
    sb_buf_free(&answer);
    sb_buf_free(&text);
    return status;
}

int cmd_settings_get(struct sb_cli *cli)
{
    struct sb_buf call = {0}, answer = {0};
    struct agent_config config;
    struct sb_err err = {0};
    const char *user;
    int status = check_user(cli, &user);

    if (status == 0)
        status = agent_cli_config(cli, &config);
    if (status != 0)
        return status;
    if (sb_cli_given(cli, "conflict"))
        return get_conflict(cli, &config, user);
    agent_cli_begin_call(&call, "document.get");
    sb_put_text(&call, "user", user);
    sb_put_close(&call, '}');
    if (agent_cli_call(&config, sb_buf_span(&call), false, &answer, &err) == 0)
        print_document(cli, user, sb_buf_span(&answer));
    else
        status = agent_cli_fail(cli, &err);
    sb_buf_free(&call);
    sb_buf_free(&answer);
    return status;
}

/* ---- put ---- */

static int read_document(struct sb_cli *cli, const struct agent_config *config, struct sb_buf *out,
                         struct sb_err *err)
{
    const char *argument = sb_cli_arg(cli, 0);

    if (argument == NULL)
        argument = "-";
    if (argument[0] != '@' && strcmp(argument, "-") != 0) {
        sb_buf_add_str(out, argument);
        return 0;
    }
    return agent_cli_read_file(argument + (argument[0] == '@'),
                               (size_t)config->switches.max_record_bytes, out, err);
}

int cmd_settings_put(struct sb_cli *cli)
{
    struct put_document settings = {.operation = DOCUMENT_PUT};
    struct put put = {.cli = cli, .kind = &put_document_kind, .own = &settings};
    const char *op_id = sb_cli_text(cli, "id");
    struct sb_buf document = {0};
    struct sb_err err = {0};
    const char *user;
    int status = check_user(cli, &user), rc;

    if (status == 0)
        status = agent_cli_config(cli, &put.config);
    if (status != 0)
        return status;
    put.json = sb_cli_json(cli);
    snprintf(put.stream_text, sizeof(put.stream_text), "settings/%.64s", user);
    rc = document_name_make(&settings.name, user, SB_TABLE_SETTINGS, "", &err);
    if (rc == 0)
        rc = read_document(cli, &put.config, &document, &err);
    if (rc == 0)
        status = put_run(&put, sb_buf_span(&document), sb_span_of(op_id != NULL ? op_id : ""),
                         sb_cli_number(cli, "wait", 0));
    else
        status = put_fail(&put, 0, &err);
    sb_buf_free(&document);
    put_document_fini(&settings);
    return status;
}

/* ---- restore ---- */

static int print_restored(struct sb_cli *cli, const struct agent_config *config, const char *user,
                          struct sb_span answer)
{
    struct sb_json_field fields[] = {{.key = "outcome"}, {.key = "version"}};
    struct sb_buf out = {0};
    char outcome[16] = "";
    struct sb_err err;

    sb_json_pick(answer, fields, 2);
    (void)sb_field_text(&fields[0], outcome, sizeof(outcome), NULL);
    if (strcmp(outcome, "absent") == 0) {
        (void)sb_fail(&err, SB_ENOT_FOUND, "there are no settings of %s in the cloud", user);
        return agent_cli_fail(cli, &err);
    }
    if (sb_cli_json(cli)) {
        sb_put_open(&out, NULL, '{');
        sb_put_bool(&out, "success", true);
        sb_put_bool(&out, "restored", strcmp(outcome, "taken") == 0);
        sb_put_text(&out, "outcome", outcome);
        sb_put_text(&out, "user_id", user);
        sb_put_raw(&out, "server_version", fields[1].value);
        sb_put_text_or_null(&out, "device", config->device);
        sb_put_close(&out, '}');
        sb_buf_add_char(&out, '\n');
    } else if (strcmp(outcome, "taken") == 0) {
        sb_buf_add_fmt(&out, "restored: version " SB_SPAN_FMT " is in force\n",
                       SB_SPAN_ARG(fields[1].value));
    } else if (strcmp(outcome, "pending") == 0) {
        sb_buf_add_str(&out, "not restored: own edits are on their way to the cloud\n");
    } else {
        sb_buf_add_str(&out, "not restored: the document here is as new or newer\n");
    }
    sb_cli_print(&out);
    sb_buf_free(&out);
    return 0;
}

int cmd_settings_restore(struct sb_cli *cli)
{
    int64_t timeout_ms = sb_cli_number(cli, "timeout", RESTORE_MS);
    struct sb_buf request = {0}, answer = {0};
    struct agent_config config;
    struct sb_err err = {0};
    const char *user;
    int status = check_user(cli, &user);

    if (status == 0)
        status = agent_cli_config(cli, &config);
    if (status != 0)
        return status;
    if (agent_cli_needs_broker(&config, &err) != 0)
        return agent_cli_fail(cli, &err);
    sb_put_open(&request, NULL, '{');
    sb_put_text(&request, "verb", "settings.restore");
    sb_put_text(&request, "user", user);
    sb_buf_add_fmt(&request, ",\"timeout\":%.3f", (double)timeout_ms / 1000);
    sb_put_close(&request, '}');
    if (agent_cli_ask(&config, sb_buf_span(&request), timeout_ms + ASK_MORE, &answer, &err) == 0)
        status = print_restored(cli, &config, user, sb_buf_span(&answer));
    else
        status = agent_cli_fail(cli, &err);
    sb_buf_free(&request);
    sb_buf_free(&answer);
    return status;
}
