/* conflicts list | show | resolve: edits that lost against others and what becomes of them. */
#include "edge_agent/cli/places.h"

#include <string.h>

#include "common/json_read.h"

const struct sb_cli_option conflicts_list_options[] = {
    {.name = "user", .kind = SB_CLI_TEXT, .value = "USER", .help = "of this one alone"},
    {.name = "all", .help = "decided ones too"},
    {0}};
const struct sb_cli_option conflicts_resolve_options[] = {
    {.name = "keep-local", .help = "set what the losing edit changed again"},
    {.name = "use-server", .help = "leave the cloud's document in force"},
    {.name = "merge",
     .kind = SB_CLI_TEXT,
     .value = "FILE",
     .help = "put this document in its place (- is standard input)"},
    {0}};

const char conflicts_help[] =
    "When an edit made here and one made elsewhere changed the same place, and the cloud's policy\n"
    "does not decide it, the cloud's document comes into force everywhere and the edit made here "
    "is\n"
    "kept aside as a conflict. It blocks nothing. show prints the places that differ: before "
    "(base),\n"
    "the losing edit (local), the cloud's (server); '*' marks what could not be decided. resolve "
    "is\n"
    "an ordinary edit on the document in force, and reaches all devices. Names are those that are\n"
    "stored.\n"
    "\n"
    "examples:\n"
    "  edge_agent conflicts list\n"
    "  edge_agent conflicts show 3\n"
    "  edge_agent conflicts resolve 3 --keep-local\n"
    "  edge_agent conflicts resolve 3 --merge merged.json\n";

/* "settings of user-1" or "projects/p1 of user-1". */
static void add_document_name(struct sb_buf *out, struct sb_span conflict)
{
    agent_cli_add_value(out, agent_cli_get(conflict, "table"));
    if (!sb_json_string_is(agent_cli_get(conflict, "table"), SB_TABLE_SETTINGS)) {
        sb_buf_add_char(out, '/');
        agent_cli_add_value(out, agent_cli_get(conflict, "document"));
    }
}

/* ---- list ---- */

static const char *state_of(struct sb_span conflict)
{
    struct sb_span resolution = agent_cli_get(conflict, "resolution");

    if (sb_json_string_is(resolution, "local"))
        return "kept local";
    if (sb_json_string_is(resolution, "server"))
        return "used server";
    return sb_json_string_is(resolution, "merge") ? "merged" : "open";
}

static void print_list(struct sb_cli *cli, struct sb_span conflicts)
{
    static const char *const heads[] = {">id",     "user",   "document", ">places",
                                        "against", "opened", "state"};
    struct sb_table *table = sb_table_new(heads, sizeof(heads) / sizeof(heads[0]));
    struct sb_json_iter iter;
    struct sb_span one;

    sb_json_iter_init(&iter, conflicts);
    while (sb_json_next_element(&iter, &one)) {
        struct sb_buf name = {0};

        add_document_name(&name, one);
        agent_cli_cell(table, one, "id");
        agent_cli_cell(table, one, "user_id");
        sb_table_span(table, sb_buf_span(&name));
        sb_table_u64(table, sb_json_count(agent_cli_get(one, "pointers")));
        agent_cli_cell(table, one, "server_device");
        agent_cli_cell(table, one, "opened_at");
        sb_table_text(table, state_of(one));
        sb_buf_free(&name);
    }
    if (sb_table_rows(table) > 0)
        sb_table_print(table, sb_cli_colour(cli), stdout);
    else
        printf("no conflicts\n");
    sb_table_free(table);
}

static int list_none(struct sb_cli *cli)
{
    printf(sb_cli_json(cli) ? "{\"success\":true,\"conflicts\":[]}\n" : "no conflicts\n");
    return 0;
}

int cmd_conflicts_list(struct sb_cli *cli)
{
    const char *user = sb_cli_text(cli, "user");
    struct sb_buf call = {0}, answer = {0};
    struct agent_config config;
    struct sb_err err = {0};
    int status = agent_cli_config(cli, &config), rc;

    if (status != 0)
        return status;
    agent_cli_begin_call(&call, "conflict.list");
    if (user != NULL)
        sb_put_text(&call, "user", user);
    sb_put_bool(&call, "all", sb_cli_given(cli, "all"));
    sb_put_close(&call, '}');
    rc = user != NULL ? agent_cli_check_user(user, &err) : 0;
    if (rc == 0)
        rc = agent_cli_call(&config, sb_buf_span(&call), false, &answer, &err);
    if (rc == -(int)SB_ENOT_FOUND) /* there is no outbox yet */
        status = list_none(cli);
    else if (rc != 0)
        status = agent_cli_fail(cli, &err);
    else if (sb_cli_json(cli))
        agent_cli_print_answer(&answer);
    else
        print_list(cli, agent_cli_get(sb_buf_span(&answer), "conflicts"));
    sb_buf_free(&call);
    sb_buf_free(&answer);
    return status;
}

/* ---- show ---- */

/* The id of the argument into the call. */
static int add_id(struct sb_cli *cli, struct sb_buf *call, struct sb_err *err)
{
    uint64_t id;

    if (!sb_json_u64(sb_span_of(sb_cli_arg(cli, 0)), &id) || id == 0 || id > INT64_MAX)
        return sb_fail(err, SB_EUSAGE, "'%.40s' is no id of a conflict", sb_cli_arg(cli, 0));
    sb_put_u64(call, "id", id);
    return 0;
}

static struct sb_span text_or_absent(struct sb_span value)
{
    return value.len > 0 && sb_json_type_of(value) == SB_JSON_NULL ? (struct sb_span){"", 0}
                                                                   : value;
}

static void add_line(struct sb_buf *out, const char *label, struct sb_span one, const char *key)
{
    sb_buf_add_fmt(out, "%-9s", label);
    agent_cli_add_value(out, agent_cli_get(one, key));
    sb_buf_add_char(out, '\n');
}

static void print_people(struct sb_cli *cli, struct sb_span conflict)
{
    struct sb_span server = agent_cli_get(conflict, "server");
    struct places_column columns[] = {
        {"base", text_or_absent(agent_cli_get(conflict, "base"))},
        {"local", text_or_absent(agent_cli_get(conflict, "local"))},
        {"server", text_or_absent(agent_cli_get(server, "data"))},
    };
    struct sb_buf out = {0};

    add_document_name(&out, conflict);
    sb_buf_add_str(&out, " of ");
    agent_cli_add_value(&out, agent_cli_get(conflict, "user_id"));
    sb_buf_add_fmt(&out, ", %s\n", state_of(conflict));
    add_line(&out, "opened", conflict, "opened_at");
    add_line(&out, "policy", conflict, "policy");
    sb_buf_add_str(&out, "server   version ");
    agent_cli_add_value(&out, agent_cli_get(conflict, "server_version"));
    sb_buf_add_str(&out, " by ");
    agent_cli_add_value(&out, agent_cli_get(conflict, "server_device"));
    sb_buf_add_str(&out, " at ");
    agent_cli_add_value(&out, agent_cli_get(conflict, "server_updated_at"));
    sb_buf_add_str(&out, "\nlocal    operations ");
    sb_print_safe(agent_cli_get(conflict, "ops"), &out);
    sb_buf_add_str(&out, "\n\n");
    sb_cli_print(&out);
    places_print(cli, columns, 3, agent_cli_get(conflict, "pointers"));
    sb_buf_free(&out);
}

int cmd_conflicts_show(struct sb_cli *cli)
{
    struct sb_buf call = {0}, answer = {0};
    struct agent_config config;
    struct sb_err err = {0};
    int status = agent_cli_config(cli, &config), rc;

    if (status != 0)
        return status;
    agent_cli_begin_call(&call, "conflict.show");
    rc = add_id(cli, &call, &err);
    sb_put_close(&call, '}');
    if (rc == 0)
        rc = agent_cli_call(&config, sb_buf_span(&call), false, &answer, &err);
    if (rc != 0)
        status = agent_cli_fail(cli, &err);
    else if (sb_cli_json(cli))
        agent_cli_print_answer(&answer);
    else
        print_people(cli, sb_buf_span(&answer));
    sb_buf_free(&call);
    sb_buf_free(&answer);
    return status;
}

/* ---- resolve ---- */

static int add_choice(struct sb_cli *cli, const struct agent_config *config, struct sb_buf *call,
                      struct sb_err *err)
{
    struct sb_buf text = {0};
    struct sb_span object;
    int rc;

    if (!sb_cli_given(cli, "merge")) {
        sb_put_text(call, "choice", sb_cli_given(cli, "keep-local") ? "local" : "server");
        return 0;
    }
    sb_put_text(call, "choice", "merge");
    rc = agent_cli_read_file(sb_cli_text(cli, "merge"), (size_t)config->switches.max_record_bytes,
                             &text, err);
    if (rc == 0)
        rc = sb_json_check(sb_buf_span(&text), &sb_wire_limits, &object, err);
    if (rc == 0)
        sb_put_raw(call, "data", object);
    sb_buf_free(&text);
    return rc;
}

static void print_resolved(struct sb_cli *cli, struct sb_buf *answer)
{
    if (sb_cli_json(cli)) {
        agent_cli_print_answer(answer);
        return;
    }
    printf("conflict %s decided%s\n", sb_cli_arg(cli, 0),
           agent_cli_flag(sb_buf_span(answer), "queued") ? ", the edit is on its way" : "");
}

int cmd_conflicts_resolve(struct sb_cli *cli)
{
    struct sb_buf call = {0}, answer = {0};
    struct agent_config config;
    struct sb_err err = {0};
    int status, rc;

    if (sb_cli_given(cli, "keep-local") + sb_cli_given(cli, "use-server") +
            sb_cli_given(cli, "merge") !=
        1)
        return sb_cli_usage(cli, "one of --keep-local, --use-server and --merge FILE is wanted");
    status = agent_cli_config(cli, &config);
    if (status != 0)
        return status;
    agent_cli_begin_call(&call, "conflict.resolve");
    rc = add_id(cli, &call, &err);
    if (rc == 0)
        rc = add_choice(cli, &config, &call, &err);
    sb_put_close(&call, '}');
    if (rc == 0)
        rc = agent_cli_call(&config, sb_buf_span(&call), false, &answer, &err);
    if (rc != 0)
        status = agent_cli_fail_json(cli, &err);
    else
        print_resolved(cli, &answer);
    sb_buf_free(&call);
    sb_buf_free(&answer);
    return status;
}
