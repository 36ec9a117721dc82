/* status: what the daemon says of itself. */
#include "cloud_cli.h"

#include <string.h>

#include "common/json_read.h"
#include "common/json_text.h"

const char status_help[] = "Asks the running daemon; without one the exit status is 3.\n"
                           "\n"
                           "examples:\n"
                           "  cloud_ingest status\n"
                           "  cloud_ingest status --json | jq .counters\n";

static void print_member(const char *label, struct sb_span object, const char *key)
{
    struct sb_buf text = {0}, safe = {0};
    struct sb_span value;

    if (!sb_json_get(object, key, &value) || sb_json_type_of(value) == SB_JSON_NULL)
        return;
    if (sb_json_type_of(value) == SB_JSON_STRING)
        sb_json_unescape(value, &text);
    else
        sb_buf_add_span(&text, value);
    sb_print_safe(sb_buf_span(&text), &safe);
    printf("%-12s %s\n", label, safe.len > 0 ? safe.data : "");
    sb_buf_free(&text);
    sb_buf_free(&safe);
}

static void print_error(const char *label, struct sb_span object)
{
    struct sb_span error;

    if (sb_json_get(object, "error", &error) && sb_json_type_of(error) == SB_JSON_OBJECT)
        print_member(label, error, "reason");
}

static void print_parts(struct sb_span status)
{
    static const char *const counted[] = {"batches",  "accepted",  "duplicates", "revised",
                                          "rejected", "conflicts", "holes",      "branched",
                                          "retries",  "commits",   "dropped"};
    struct sb_span part;

    print_member("ingest", status, "n");
    print_member("version", status, "version");
    print_member("pid", status, "pid");
    print_member("started", status, "started_at");
    print_member("boot", status, "boot");
    if (sb_json_get(status, "broker", &part)) {
        print_member("broker", part, "url");
        print_member("connected", part, "connected");
        print_error("", part);
    }
    if (sb_json_get(status, "store", &part)) {
        print_member("database", part, "path");
        print_error("", part);
    }
    print_member("online", status, "devices_online");
    if (sb_json_get(status, "counters", &part))
        for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++)
            print_member(counted[i], part, counted[i]);
}

int cmd_status(struct sb_cli *cli)
{
    struct cloud_cli c = {.cli = cli};
    struct sb_buf answer = {0};
    struct sb_err err = {0};
    int rc = cloud_config_from(sb_cli_conf(cli), &c.config, &err);

    if (rc == 0)
        rc = cloud_cli_ask(&c, "status", NULL, 0, &answer, &err);
    if (rc == 0 && sb_cli_json(cli))
        cloud_cli_print_json(&answer);
    else if (rc == 0)
        print_parts(sb_buf_span(&answer));
    else if (err.code == SB_ENOT_RUNNING && sb_cli_json(cli))
        printf("{\"success\":false,\"running\":false}\n");
    sb_buf_free(&answer);
    return rc == 0 ? 0 : sb_cli_fail(cli, &err);
}
