/* settings diff | history | rollback: the document against the cloud's, and versions before it. */
#include "edge_agent/cli/places.h"

#include <string.h>

#include "common/json_read.h"

#define CLOUD_MS      30000
#define ASK_MORE      5000
#define SHOWN_DEFAULT 100

/* clang-format off */
#define USER_OPTION                                                                                \
    {.name = "user", .kind = SB_CLI_TEXT, .required = true, .value = "USER", .help = "whose"}
#define TIMEOUT_OPTION                                                                             \
    {.name = "timeout", .kind = SB_CLI_DURATION, .value = "TIME",                                  \
     .help = "wait that long for the cloud (30s)"}
/* clang-format on */

const struct sb_cli_option settings_diff_options[] = {
    USER_OPTION,
    {.name = "version",
     .kind = SB_CLI_NUMBER,
     .value = "VERSION",
     .help = "against this one of the cloud's versions"},
    TIMEOUT_OPTION,
    {0}};
const struct sb_cli_option settings_history_options[] = {
    USER_OPTION,
    {.name = "cloud", .help = "the versions that the cloud has"},
    {.name = "limit", .kind = SB_CLI_NUMBER, .value = "N", .help = "show at most so many (100)"},
    TIMEOUT_OPTION,
    {0}};
const struct sb_cli_option settings_rollback_options[] = {
    USER_OPTION,
    {.name = "to",
     .kind = SB_CLI_NUMBER,
     .required = true,
     .value = "VERSION",
     .help = "which, as `settings history` names it"},
    {.name = "cloud", .help = "one of the cloud's versions"},
    TIMEOUT_OPTION,
    {0}};

/* What these verbs need: whose settings, and two answers. */
struct versions {
    struct sb_cli *cli;
    const char *user;
    struct agent_config config;
    struct sb_buf call, answer, other;
};

static int begin(struct versions *v, struct sb_cli *cli)
{
    struct sb_err err = {0};

    *v = (struct versions){.cli = cli, .user = sb_cli_text(cli, "user")};
    if (agent_cli_check_user(v->user, &err) != 0)
        return agent_cli_fail(cli, &err);
    return agent_cli_config(cli, &v->config);
}

static void versions_fini(struct versions *v)
{
    sb_buf_free(&v->call);
    sb_buf_free(&v->answer);
    sb_buf_free(&v->other);
}

/* Asks for something of this user's settings: here, or the daemon for what the cloud has. */
static int ask_here(struct versions *v, const char *verb, uint64_t n, struct sb_buf *answer,
                    struct sb_err *err)
{
    sb_buf_clear(&v->call);
    agent_cli_begin_call(&v->call, verb);
    sb_put_text(&v->call, "user", v->user);
    if (n > 0)
        sb_put_u64(&v->call, "n", n);
    sb_put_close(&v->call, '}');
    return agent_cli_call(&v->config, sb_buf_span(&v->call), false, answer, err);
}

static int ask_cloud(struct versions *v, const char *verb, const char *key, uint64_t number,
                     struct sb_buf *answer, struct sb_err *err)
{
    int64_t timeout_ms = sb_cli_number(v->cli, "timeout", CLOUD_MS);

    if (agent_cli_needs_broker(&v->config, err) != 0)
        return -(int)err->code;
    sb_buf_clear(&v->call);
    agent_cli_begin_call(&v->call, verb);
    sb_put_text(&v->call, "user", v->user);
    if (number > 0)
        sb_put_u64(&v->call, key, number);
    sb_buf_add_fmt(&v->call, ",\"timeout\":%.3f}", (double)timeout_ms / 1000);
    return agent_cli_ask(&v->config, sb_buf_span(&v->call), timeout_ms + ASK_MORE, answer, err);
}

/* The text of the cloud's document, or of one of its versions, in *out. */
static int read_cloud(struct versions *v, uint64_t version, struct sb_span *out, struct sb_err *err)
{
    struct sb_span answer;
    int rc = ask_cloud(v, "cloud.version", "version", version, &v->other, err);

    if (rc != 0)
        return rc;
    answer = sb_buf_span(&v->other);
    if (!agent_cli_flag(answer, "exists"))
        return sb_fail(err, SB_ENOT_FOUND, "there are no settings of %s in the cloud", v->user);
    *out = agent_cli_get(answer, "data");
    if (out->len > 0 && sb_json_type_of(*out) == SB_JSON_NULL)
        *out = (struct sb_span){"", 0}; /* a tombstone */
    return 0;
}

/* ---- diff ---- */

static void print_diff(struct versions *v, struct sb_span local, struct sb_span cloud)
{
    struct places_column columns[] = {{"local", local}, {"cloud", cloud}};
    struct sb_span answer = sb_buf_span(&v->other);
    struct sb_buf out = {0};
    size_t found;

    if (!sb_cli_json(v->cli)) {
        places_print(v->cli, columns, 2, SB_SPAN(""));
        return;
    }
    sb_put_open(&out, NULL, '{');
    sb_put_bool(&out, "success", true);
    sb_put_text(&out, "user_id", v->user);
    sb_put_raw(&out, "server_version", agent_cli_get(answer, "version"));
    found = places_put(columns, 2, "changes", &out);
    sb_put_bool(&out, "same", found == 0);
    sb_put_close(&out, '}');
    agent_cli_print_answer(&out);
    sb_buf_free(&out);
}

int cmd_settings_diff(struct sb_cli *cli)
{
    struct sb_span local = {"", 0}, cloud = {"", 0};
    struct versions v;
    struct sb_err err = {0};
    int status = begin(&v, cli), rc;

    if (status != 0)
        return status;
    rc = ask_here(&v, "document.get", 0, &v.answer, &err);
    if (rc == 0)
        local = agent_cli_get(sb_buf_span(&v.answer), "data");
    else if (rc == -(int)SB_ENOT_FOUND) /* then everything is the cloud's */
        rc = 0;
    if (rc == 0)
        rc = read_cloud(&v, (uint64_t)sb_cli_number(cli, "version", 0), &cloud, &err);
    if (rc == 0)
        print_diff(&v, local, cloud);
    else
        status = agent_cli_fail(cli, &err);
    versions_fini(&v);
    return status;
}

/* ---- history ---- */

static void print_local(struct sb_cli *cli, struct sb_span versions)
{
    static const char *const heads[] = {">version", "replaced", "made", ">on", "op_id", ">bytes"};
    struct sb_table *table = sb_table_new(heads, sizeof(heads) / sizeof(heads[0]));
    struct sb_json_iter iter;
    struct sb_span one;

    sb_json_iter_init(&iter, versions);
    while (sb_json_next_element(&iter, &one)) {
        agent_cli_cell(table, one, "n");
        agent_cli_cell(table, one, "kept_at");
        agent_cli_cell(table, one, "made_at");
        agent_cli_cell(table, one, "server_version");
        agent_cli_cell(table, one, "op_id");
        agent_cli_cell(table, one, "bytes");
    }
    if (sb_table_rows(table) > 0)
        sb_table_print(table, sb_cli_colour(cli), stdout);
    else
        printf("nothing was replaced here\n");
    sb_table_free(table);
}

static void print_cloud(struct sb_cli *cli, struct sb_span versions)
{
    static const char *const heads[] = {">version", "made", "by", "op_id", ">bytes"};
    struct sb_table *table = sb_table_new(heads, sizeof(heads) / sizeof(heads[0]));
    struct sb_json_iter iter;
    struct sb_span one;

    sb_json_iter_init(&iter, versions);
    while (sb_json_next_element(&iter, &one)) {
        agent_cli_cell(table, one, "version");
        agent_cli_cell(table, one, "updated_at");
        agent_cli_cell(table, one, "device");
        agent_cli_cell(table, one, "op_id");
        if (agent_cli_flag(one, "deleted"))
            sb_table_text(table, "deleted");
        else
            agent_cli_cell(table, one, "size");
    }
    sb_table_print(table, sb_cli_colour(cli), stdout);
    sb_table_free(table);
}

int cmd_settings_history(struct sb_cli *cli)
{
    uint64_t limit = (uint64_t)sb_cli_number(cli, "limit", SHOWN_DEFAULT);
    bool cloud = sb_cli_given(cli, "cloud");
    struct sb_span versions;
    struct versions v;
    struct sb_err err = {0};
    int status = begin(&v, cli), rc;

    if (status != 0)
        return status;
    if (cloud)
        rc = ask_cloud(&v, "cloud.versions", "limit", limit, &v.answer, &err);
    else
        rc = ask_here(&v, "document.kept", 0, &v.answer, &err);
    versions = agent_cli_get(sb_buf_span(&v.answer), "versions");
    if (rc == 0 && cloud && sb_json_count(versions) == 0)
        rc = sb_fail(&err, SB_ENOT_FOUND, "there are no settings of %s in the cloud", v.user);
    if (rc != 0)
        status = agent_cli_fail(cli, &err);
    else if (sb_cli_json(cli))
        agent_cli_print_answer(&v.answer);
    else if (cloud)
        print_cloud(cli, versions);
    else
        print_local(cli, versions);
    versions_fini(&v);
    return status;
}

/* ---- rollback ---- */

/* The text of version `to`: kept here, or the cloud's. */
static int read_version(struct versions *v, uint64_t to, struct sb_span *out, struct sb_err *err)
{
    struct sb_json_iter iter;
    struct sb_span one = {"", 0};
    int rc;

    if (sb_cli_given(v->cli, "cloud")) {
        rc = read_cloud(v, to, out, err);
    } else {
        rc = ask_here(v, "document.kept", to, &v->other, err);
        if (rc == 0) {
            sb_json_iter_init(&iter, agent_cli_get(sb_buf_span(&v->other), "versions"));
            (void)sb_json_next_element(&iter, &one);
            *out = agent_cli_get(one, "data");
        }
    }
    if (rc == 0 && out->len == 0)
        rc = sb_fail(err, SB_EBAD_VALUE, "version %llu is a deletion", (unsigned long long)to);
    return rc;
}

int cmd_settings_rollback(struct sb_cli *cli)
{
    uint64_t to = (uint64_t)sb_cli_number(cli, "to", 0);
    struct sb_span text = {"", 0};
    struct versions v;
    struct sb_err err = {0};
    int status = begin(&v, cli), rc;

    if (status != 0)
        return status;
    rc = to > 0 ? read_version(&v, to, &text, &err)
                : sb_fail(&err, SB_EUSAGE, "--to: versions begin with 1");
    if (rc == 0) {
        sb_buf_clear(&v.call);
        agent_cli_begin_call(&v.call, "document.put");
        sb_put_text(&v.call, "user", v.user);
        sb_put_raw(&v.call, "data", text);
        sb_put_close(&v.call, '}');
        rc = agent_cli_call(&v.config, sb_buf_span(&v.call), false, &v.answer, &err);
    }
    if (rc != 0)
        status = agent_cli_fail_json(cli, &err);
    else if (sb_cli_json(cli))
        agent_cli_print_answer(&v.answer);
    else
        printf("the settings of %s are those of version %llu again\n", v.user,
               (unsigned long long)to);
    versions_fini(&v);
    return status;
}
