/* put: one record as argument, or many as NDJSON on standard input. */
#include "edge_agent/cli/put_input.h"

#include <string.h>

#include "common/json_read.h"

const struct sb_cli_option put_options[] = {
    {.name = "user", .kind = SB_CLI_TEXT, .value = "USER", .help = "whose history it is"},
    {.name = "id",
     .kind = SB_CLI_TEXT,
     .value = "ID",
     .help = "makes a repeat safe: a record with this id is taken once"},
    {.name = "wait",
     .kind = SB_CLI_DURATION,
     .value = "TIME",
     .help = "wait that long for the cloud's answer"},
    {0}};

const char put_help[] =
    "STREAM is sensors/<type>, or history with --user. RECORD is one JSON object; without it "
    "records\n"
    "are read from standard input, one a line, and committed in groups. A bad line is named and "
    "the\n"
    "others are kept; the exit status is 1 then. On standard input the member \"id\" is what --id "
    "is\n"
    "here. A reading without \"ts\" is stamped with the time of now.\n"
    "\n"
    "Exit status 0 means: committed on this device, to be in the cloud exactly once. It works "
    "while\n"
    "edge_agent run is down.\n"
    "\n"
    "examples:\n"
    "  edge_agent put sensors/air_quality '{\"pm2_5\":12.5,\"pm10\":20}'\n"
    "  edge_agent put history --user user-1 '{\"command_id\":\"c-1\",\"status\":\"succeeded\"}'\n"
    "  edge_agent put sensors/air_quality --id 7f3a --wait 30s --json '{\"pm2_5\":12.5}'\n"
    "  tail -f readings.ndjson | edge_agent put sensors/air_quality\n";

struct plain_put {
    struct sb_stream stream;
    struct sb_buf cut; /* a reading without its "id" */
};

/* Takes the member "id" out of a checked reading; what is left goes to plain->cut. */
static void cut_id(struct plain_put *plain, struct sb_span object)
{
    struct sb_json_iter iter;
    struct sb_span key, value;

    sb_buf_clear(&plain->cut);
    sb_put_open(&plain->cut, NULL, '{');
    sb_json_iter_init(&iter, object);
    while (sb_json_next_member(&iter, &key, &value)) {
        if (sb_span_is(key, "id"))
            continue;
        sb_buf_add_str(&plain->cut, plain->cut.len > 1 ? ",\"" : "\"");
        sb_buf_add_span(&plain->cut, key);
        sb_buf_add_str(&plain->cut, "\":");
        sb_buf_add_span(&plain->cut, value);
    }
    sb_put_close(&plain->cut, '}');
}

/* The record and the id of one line. A reading's "id" is no value of its own and is cut out; a
 * history record keeps every member. */
static int split_id(struct put *put, struct sb_span line, struct sb_span *record, struct sb_buf *id,
                    struct sb_err *err)
{
    struct plain_put *plain = put->own;
    struct sb_span object, value;
    int rc;

    *record = line;
    if (memmem(line.data, line.len, "\"id\"", 4) == NULL)
        return 0;
    rc = sb_json_check(line, &put_limits, &object, err);
    if (rc != 0 || sb_json_type_of(object) != SB_JSON_OBJECT || !sb_json_get(object, "id", &value))
        return rc;
    if (sb_json_type_of(value) != SB_JSON_STRING)
        return sb_fail(err, SB_EBAD_TYPE, "id: not a string");
    sb_json_unescape(value, id);
    if (plain->stream.class != SB_UP_SENSORS)
        return 0;
    cut_id(plain, object);
    *record = sb_buf_span(&plain->cut);
    return 0;
}

static int add_record(struct put *put, struct sb_span record, struct sb_span id,
                      struct enqueue_receipt *receipt, struct sb_err *err)
{
    const struct plain_put *plain = put->own;

    return enqueue_record(put->outbox.eq, &plain->stream, record, id, sb_clock_now(), receipt, err);
}

static void request_record(struct put *put, struct sb_span record, struct sb_span id)
{
    sb_put_text(&put->request, "verb", "put");
    sb_put_text(&put->request, "stream", put->stream_text);
    if (id.len > 0)
        sb_put_span(&put->request, "id", id);
    sb_put_raw(&put->request, "record", record);
}

static const struct put_kind plain_kind = {split_id, add_record, request_record};

/* ---- the verb ---- */

static int find_stream(struct put *put)
{
    struct plain_put *plain = put->own;
    const char *argument = sb_cli_arg(put->cli, 0), *user = sb_cli_text(put->cli, "user");
    struct sb_buf text = {0};
    struct sb_err err = {0};
    int rc = user != NULL ? agent_cli_check_user(user, &err) : 0;

    if (rc != 0)
        return put_fail(put, 0, &err);
    sb_buf_add_str(&text, argument);
    if (user != NULL && strchr(argument, '/') == NULL)
        sb_buf_add_fmt(&text, "/%s", user);
    if (strcmp(argument, "history") == 0 && user == NULL) {
        sb_buf_free(&text);
        return sb_cli_usage(put->cli, "history needs --user USER");
    }
    rc = sb_stream_parse(sb_buf_span(&text), &plain->stream, &err);
    sb_buf_free(&text);
    if (rc == -(int)SB_EBAD_STREAM ||
        (rc == 0 && plain->stream.class != SB_UP_SENSORS && plain->stream.class != SB_UP_HISTORY))
        return sb_cli_usage(put->cli, "STREAM is sensors/<type>, or history with --user");
    if (rc == 0 && user != NULL && plain->stream.class != SB_UP_HISTORY)
        return sb_cli_usage(put->cli, "--user belongs to history");
    if (rc != 0)
        return put_fail(put, 0, &err);
    sb_stream_print(&plain->stream, put->stream_text);
    return 0;
}

int cmd_put(struct sb_cli *cli)
{
    struct plain_put plain = {.cut = {0}};
    struct put put = {.cli = cli, .kind = &plain_kind, .own = &plain, .json = sb_cli_json(cli)};
    const char *record = sb_cli_arg(cli, 1), *id = sb_cli_text(cli, "id");
    int status;

    if (record == NULL && (sb_cli_given(cli, "id") || sb_cli_given(cli, "wait")))
        return sb_cli_usage(cli, "--id and --wait go with one record as argument");
    status = find_stream(&put);
    if (status == 0)
        status = agent_cli_config(cli, &put.config);
    if (status == 0)
        status = put_run(&put, record != NULL ? sb_span_of(record) : (struct sb_span){NULL, 0},
                         sb_span_of(id != NULL ? id : ""), sb_cli_number(cli, "wait", 0));
    sb_buf_free(&plain.cut);
    return status;
}
