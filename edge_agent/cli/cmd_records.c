/* records put | get | list | delete: documents of the declared tables, of which this device holds
 * the primary copy. */
#include "edge_agent/cli/put_document.h"

#include <string.h>

#include "common/json_read.h"

/* clang-format off */
#define TABLE_OPTION                                                                               \
    {.name = "table", .kind = SB_CLI_TEXT, .required = true, .value = "T", .help = "of which table"}
#define USER_OPTION                                                                                \
    {.name = "user", .kind = SB_CLI_TEXT, .required = true, .value = "USER", .help = "whose"}
#define NAMES_OPTIONS                                                                              \
    {.name = "local", .help = "names as the mapping file has them (as it is without this)"},       \
    {.name = "cloud", .help = "names as they are stored and sent"}
#define OP_ID_OPTION                                                                               \
    {.name = "op-id", .kind = SB_CLI_TEXT, .value = "ID", .help = "makes a repeat safe"}
#define WAIT_OPTION                                                                                \
    {.name = "wait", .kind = SB_CLI_DURATION, .value = "TIME",                                     \
     .help = "wait that long for the cloud's answer"}
/* clang-format on */

const struct sb_cli_option records_put_options[] = {
    TABLE_OPTION,
    USER_OPTION,
    {.name = "id",
     .kind = SB_CLI_TEXT,
     .value = "ID",
     .help = "of the document; without it its member \"id\""},
    OP_ID_OPTION,
    WAIT_OPTION,
    NAMES_OPTIONS,
    {0}};
const struct sb_cli_option records_get_options[] = {
    TABLE_OPTION,
    USER_OPTION,
    {.name = "id", .kind = SB_CLI_TEXT, .required = true, .value = "ID", .help = "of the document"},
    NAMES_OPTIONS,
    {0}};
const struct sb_cli_option records_list_options[] = {
    {.name = "table", .kind = SB_CLI_TEXT, .value = "T", .help = "this one alone"},
    USER_OPTION,
    {.name = "limit", .kind = SB_CLI_NUMBER, .value = "N", .help = "show at most so many (100)"},
    {.name = "offset", .kind = SB_CLI_NUMBER, .value = "N", .help = "leave out the first N"},
    NAMES_OPTIONS,
    {0}};
const struct sb_cli_option records_delete_options[] = {
    TABLE_OPTION,
    USER_OPTION,
    {.name = "id", .kind = SB_CLI_TEXT, .required = true, .value = "ID", .help = "of the document"},
    OP_ID_OPTION,
    WAIT_OPTION,
    {0}};

const char records_help[] =
    "A record is any JSON object of a table that the cloud declares; it is kept and sent as it "
    "is.\n"
    "put takes one document as argument, from a file (@FILE), or with no argument many from\n"
    "standard input, one a line, each with a member \"id\" (which stays in it). A bad line is "
    "named\n"
    "and the others are kept; the exit status is 1 then. put replaces the document of that id.\n"
    "delete removes it here and, as a tombstone, on all devices. Everything works while "
    "edge_agent\n"
    "run is down, and before the first contact with the cloud any table is taken.\n"
    "\n"
    "With [records] mappings the members of a document have the names of <table>.json there; "
    "--cloud\n"
    "uses those that are stored.\n"
    "\n"
    "examples:\n"
    "  edge_agent records put --table projects --user user-1 --id p1 '{\"name\":\"bridge\"}'\n"
    "  edge_agent records put --table projects --user user-1 < projects.ndjson\n"
    "  edge_agent records get --table projects --user user-1 --id p1 --json\n"
    "  edge_agent records list --table projects --user user-1 --limit 20\n"
    "  edge_agent records delete --table projects --user user-1 --id p1\n";

/* What every verb of records is told: whose, which table, which names. */
static int read_place(struct sb_cli *cli, struct put_document *r, struct sb_err *err)
{
    r->user = sb_cli_text(cli, "user");
    r->table = sb_cli_text(cli, "table");
    if (r->table != NULL && strcmp(r->table, SB_TABLE_SETTINGS) == 0)
        return sb_fail(err, SB_EBAD_VALUE, "the settings have verbs of their own");
    return agent_cli_check_user(r->user, err);
}

static int usage_names(struct sb_cli *cli, struct put_document *r)
{
    r->cloud_names = sb_cli_given(cli, "cloud");
    if (r->cloud_names && sb_cli_given(cli, "local"))
        return sb_cli_usage(cli, "--local and --cloud exclude each other");
    return 0;
}

/* The one document: given as it is, or @FILE. */
static int read_argument(const struct agent_config *config, const char *argument,
                         struct sb_buf *out, struct sb_err *err)
{
    if (argument[0] != '@') {
        sb_buf_add_str(out, argument);
        return 0;
    }
    return agent_cli_read_file(argument + 1, (size_t)config->switches.max_record_bytes, out, err);
}

static int put_documents(struct sb_cli *cli, struct put *put, const char *argument)
{
    struct put_document *r = put->own;
    const char *id =
        r->operation == DOCUMENT_DELETE || argument != NULL ? sb_cli_text(cli, "id") : NULL;
    const char *op_id = sb_cli_text(cli, "op-id");
    struct sb_buf text = {0};
    struct sb_span unused;
    struct sb_err err = {0};
    int status, rc = 0;

    if (argument != NULL)
        rc = read_argument(&put->config, argument, &text, &err);
    else
        sb_buf_add_str(&text, "");
    if (rc == 0 && id != NULL)
        rc = document_name_make(&r->name, r->user, r->table, id, &err);
    else if (rc == 0 && argument != NULL)
        rc = put_document_by_member(r, sb_buf_span(&text), &unused, &err);
    else if (rc == 0) /* the lines name theirs; user and table are looked at once */
        rc = document_name_make(&r->name, r->user, r->table, "x", &err);
    if (rc == 0 && !r->cloud_names)
        rc = record_names_load(put->config.mappings, r->table, &r->names, &err);
    if (rc == 0)
        status =
            put_run(put,
                    r->operation == DOCUMENT_DELETE || argument != NULL ? sb_buf_span(&text)
                                                                        : (struct sb_span){NULL, 0},
                    sb_span_of(op_id != NULL ? op_id : ""), sb_cli_number(cli, "wait", 0));
    else
        status = put_fail(put, 0, &err);
    sb_buf_free(&text);
    return status;
}

static int change_documents(struct sb_cli *cli, struct put_document *r, const char *argument)
{
    struct put put = {.cli = cli, .kind = &put_document_kind, .own = r, .json = sb_cli_json(cli)};
    struct sb_err err = {0};
    int status = 0;

    if (read_place(cli, r, &err) != 0)
        return agent_cli_fail_json(cli, &err);
    status = agent_cli_config(cli, &put.config);
    if (status != 0)
        return status;
    snprintf(put.stream_text, sizeof(put.stream_text), "records/%.64s", r->user);
    status = put_documents(cli, &put, argument);
    put_document_fini(r);
    return status;
}

int cmd_records_put(struct sb_cli *cli)
{
    struct put_document r = {.operation = DOCUMENT_PUT};
    const char *argument = sb_cli_arg(cli, 0);
    int status = usage_names(cli, &r);

    if (status != 0)
        return status;
    if (argument == NULL &&
        (sb_cli_given(cli, "id") || sb_cli_given(cli, "op-id") || sb_cli_given(cli, "wait")))
        return sb_cli_usage(cli, "--id, --op-id and --wait go with one document as argument");
    return change_documents(cli, &r, argument);
}

int cmd_records_delete(struct sb_cli *cli)
{
    struct put_document r = {.operation = DOCUMENT_DELETE};

    return change_documents(cli, &r, NULL);
}

/* ---- get and list ---- */

static void add_place(struct sb_buf *call, const struct put_document *r)
{
    sb_put_text(call, "user", r->user);
    if (r->table != NULL)
        sb_put_text(call, "table", r->table);
    sb_put_text(call, "names", r->cloud_names ? "cloud" : "local");
}

/* Begins a call with what every reading verb is told; the exit status of what is wrong with it. */
static int begin_reading(struct sb_cli *cli, const char *verb, struct agent_config *config,
                         struct sb_buf *call)
{
    struct put_document r = {.operation = DOCUMENT_PUT};
    struct sb_err err = {0};
    int status = usage_names(cli, &r);

    if (status == 0 && read_place(cli, &r, &err) != 0)
        status = agent_cli_fail(cli, &err);
    if (status == 0)
        status = agent_cli_config(cli, config);
    if (status == 0) {
        agent_cli_begin_call(call, verb);
        add_place(call, &r);
    }
    return status;
}

int cmd_records_get(struct sb_cli *cli)
{
    struct sb_buf call = {0}, answer = {0}, text = {0};
    struct agent_config config;
    struct sb_err err = {0};
    int status = begin_reading(cli, "document.get", &config, &call);

    if (status != 0)
        return status;
    sb_put_text(&call, "id", sb_cli_text(cli, "id"));
    sb_put_close(&call, '}');
    if (agent_cli_call(&config, sb_buf_span(&call), false, &answer, &err) != 0) {
        status = agent_cli_fail(cli, &err);
    } else if (sb_cli_json(cli)) {
        agent_cli_print_answer(&answer);
    } else {
        sb_buf_add_span(&text, agent_cli_get(sb_buf_span(&answer), "data"));
        agent_cli_print_answer(&text);
    }
    sb_buf_free(&call);
    sb_buf_free(&answer);
    sb_buf_free(&text);
    return status;
}

static const char *state_of(struct sb_span item)
{
    if (agent_cli_get(item, "trouble").len > 0 &&
        sb_json_type_of(agent_cli_get(item, "trouble")) == SB_JSON_STRING)
        return "unreadable in the cloud";
    if (sb_json_count(agent_cli_get(item, "open_conflicts")) > 0)
        return "conflict";
    if (agent_cli_flag(item, "pending"))
        return "pending";
    return agent_cli_flag(item, "unsent") ? "kept here" : "synced";
}

static void print_list(struct sb_cli *cli, struct sb_span answer)
{
    static const char *const heads[] = {"table", "id", ">version", "state", "updated", ">bytes"};
    struct sb_table *table = sb_table_new(heads, sizeof(heads) / sizeof(heads[0]));
    struct sb_json_iter iter;
    struct sb_span item;

    sb_json_iter_init(&iter, agent_cli_get(answer, "items"));
    while (sb_json_next_element(&iter, &item)) {
        agent_cli_cell(table, item, "table");
        agent_cli_cell(table, item, "id");
        agent_cli_cell(table, item, "server_version");
        sb_table_text(table, state_of(item));
        agent_cli_cell(table, item, "updated_at");
        sb_table_u64(table, agent_cli_get(item, "data").len);
    }
    if (sb_table_rows(table) > 0)
        sb_table_print(table, sb_cli_colour(cli), stdout);
    else
        printf("no records\n");
    if (agent_cli_flag(answer, "has_more"))
        printf("there are more: --offset %llu\n",
               (unsigned long long)agent_cli_number(answer, "next_offset"));
    sb_table_free(table);
}

int cmd_records_list(struct sb_cli *cli)
{
    struct sb_buf call = {0}, answer = {0};
    struct agent_config config;
    struct sb_err err = {0};
    int status = begin_reading(cli, "document.list", &config, &call);

    if (status != 0)
        return status;
    sb_put_i64(&call, "limit", sb_cli_number(cli, "limit", CALLS_LIST_DEFAULT));
    sb_put_i64(&call, "offset", sb_cli_number(cli, "offset", 0));
    sb_put_close(&call, '}');
    if (agent_cli_call(&config, sb_buf_span(&call), false, &answer, &err) != 0)
        status = agent_cli_fail(cli, &err);
    else if (sb_cli_json(cli))
        agent_cli_print_answer(&answer);
    else
        print_list(cli, sb_buf_span(&answer));
    sb_buf_free(&call);
    sb_buf_free(&answer);
    return status;
}
