/* history: a user's commands, the newest commit first. */
#include "cloud_cli.h"

#include <string.h>

#include "common/json_scan.h"
#include "common/json_text.h"

#define LIMIT_DEFAULT 100
#define OWN_MEMBER    "_sync"

const struct sb_cli_option history_options[] = {
    {.name = "user", .kind = SB_CLI_TEXT, .required = true, .value = "USER", .help = "whose"},
    {.name = "limit", .kind = SB_CLI_NUMBER, .value = "N", .help = "so many, 100 unless told"},
    {.name = "offset", .kind = SB_CLI_NUMBER, .value = "N", .help = "after leaving out so many"},
    {0}};

const char history_help[] =
    "One entry per command, with its latest revision. In JSON `records` has the page, each record "
    "as\n"
    "it came with one member added, _sync (device, epoch, seq, revisions, received_at; left out\n"
    "where a record has a member of that name itself), and `total` counts all.\n"
    "\n"
    "examples:\n"
    "  cloud_ingest history --user user-1 --limit 20\n"
    "  cloud_ingest history --user user-1 --offset 100 --json | jq .records[].status\n";

struct history {
    struct cloud_cli c;
    struct sb_table *table;
    struct sb_buf out; /* JSON */
};

static void put_sync(struct sb_buf *out, const struct history_info *info)
{
    sb_put_open(out, OWN_MEMBER, '{');
    sb_put_text(out, "device", info->device);
    sb_put_text(out, "epoch", info->epoch);
    sb_put_u64(out, "seq", info->seq);
    sb_put_u64(out, "revisions", info->revisions);
    sb_put_time_ms(out, "received_at", info->rx_ms);
    sb_put_close(out, '}');
}

/* The record's own text up to its closing bracket, then our member. */
static void put_record(struct sb_buf *out, const struct history_info *info)
{
    struct sb_span own, body = info->body;

    if (sb_json_get(body, OWN_MEMBER, &own)) {
        sb_put_raw(out, NULL, body);
        return;
    }
    body.len--;
    while (body.len > 1 && strchr(" \t\r\n", body.data[body.len - 1]) != NULL)
        body.len--;
    sb_put_raw(out, NULL, body);
    put_sync(out, info);
    sb_put_close(out, '}');
}

static void add_cell(struct sb_table *table, struct sb_span body, const char *key)
{
    struct sb_buf text = {0};
    struct sb_span value;

    if (sb_json_get(body, key, &value) && sb_json_type_of(value) == SB_JSON_STRING)
        sb_json_unescape(value, &text);
    sb_table_span(table, sb_buf_span(&text));
    sb_buf_free(&text);
}

static bool list_record(void *ctx, const struct history_info *info)
{
    struct history *h = ctx;

    if (sb_cli_json(h->c.cli)) {
        put_record(&h->out, info);
        return true;
    }
    add_cell(h->table, info->body, "created_at");
    sb_table_text(h->table, info->command_id);
    add_cell(h->table, info->body, "command_type");
    add_cell(h->table, info->body, "status");
    add_cell(h->table, info->body, "robot_id");
    add_cell(h->table, info->body, "trace_id");
    sb_table_text(h->table, info->device);
    sb_table_u64(h->table, info->revisions);
    sb_table_time_ms(h->table, info->rx_ms);
    return true;
}

static void print_history(struct history *h, uint64_t offset, uint64_t total)
{
    if (sb_cli_json(h->c.cli)) {
        sb_put_close(&h->out, ']');
        sb_put_u64(&h->out, "total", total);
        sb_put_close(&h->out, '}');
        cloud_cli_print_json(&h->out);
        return;
    }
    sb_table_print(h->table, sb_cli_colour(h->c.cli), stdout);
    printf("%zu of %llu", sb_table_rows(h->table), (unsigned long long)total);
    if (offset > 0)
        printf(", after the first %llu", (unsigned long long)offset);
    printf("\n");
}

static int check_user(struct sb_cli *cli, const char *user)
{
    if (sb_name_valid(sb_span_of(user)))
        return 0;
    return sb_cli_usage(cli, "--user '%.80s': not [A-Za-z0-9_-]{1,64}", user);
}

int cmd_history(struct sb_cli *cli)
{
    static const char *const heads[] = {"CREATED", "COMMAND", "TYPE",       "STATUS",  "ROBOT",
                                        "TRACE",   "DEVICE",  ">REVISIONS", "RECEIVED"};
    const char *user = sb_cli_text(cli, "user");
    uint64_t limit = (uint64_t)sb_cli_number(cli, "limit", LIMIT_DEFAULT);
    uint64_t offset = (uint64_t)sb_cli_number(cli, "offset", 0), total = 0;
    struct history h = {0};
    struct sb_err err = {0};
    int rc, status = check_user(cli, user);

    if (status == 0 && limit == 0)
        status = sb_cli_usage(cli, "--limit: a number from 1 is wanted");
    if (status == 0)
        status = cloud_cli_open(&h.c, cli, STORE_READ);
    if (status != 0)
        return status;
    h.table = sb_table_new(heads, sizeof(heads) / sizeof(heads[0]));
    sb_put_open(&h.out, NULL, '{');
    sb_put_text(&h.out, "user", user);
    sb_put_text(&h.out, "user_id", user);
    sb_put_u64(&h.out, "limit", limit);
    sb_put_u64(&h.out, "offset", offset);
    sb_put_open(&h.out, "records", '[');
    rc = store_history(h.c.store, user, limit, offset, list_record, &h, &total, &err);
    if (rc == 0 && (total > 0 || sb_cli_json(cli)))
        print_history(&h, offset, total);
    if (rc == 0 && total == 0)
        rc = sb_fail(&err, SB_ENOT_FOUND, "%s has no history in the cloud", user);
    sb_table_free(h.table);
    sb_buf_free(&h.out);
    cloud_cli_close(&h.c);
    return rc == 0 ? 0 : sb_cli_fail(cli, &err);
}
