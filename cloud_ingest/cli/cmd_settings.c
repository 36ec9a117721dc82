/* settings: a user's document in force, and what is in conflict with it. */
#include "cloud_documents.h"

#include <string.h>

#define VERSIONS_DEFAULT 100

const struct sb_cli_option settings_options[] = {
    {.name = "user", .kind = SB_CLI_TEXT, .required = true, .value = "USER", .help = "whose"},
    {.name = "history", .kind = SB_CLI_FLAG, .help = "list the versions, newest first"},
    {.name = "at", .kind = SB_CLI_NUMBER, .value = "N", .help = "print this version"},
    {.name = "limit",
     .kind = SB_CLI_NUMBER,
     .value = "N",
     .help = "so many versions, 100 unless told"},
    {0}};

const char settings_help[] =
    "Prints the document as it was sent. With --json the version beside it, who made it, and the\n"
    "open conflicts. Exit status 5 where the user has none.\n"
    "\n"
    "examples:\n"
    "  cloud_ingest settings --user user-1\n"
    "  cloud_ingest settings --user user-1 --json | jq .settings.theme\n"
    "  cloud_ingest settings --user user-1 --history\n"
    "  cloud_ingest settings --user user-1 --at 12\n";

static bool put_conflict(void *ctx, const struct conflict_info *info)
{
    struct sb_buf *out = ctx;

    sb_put_open(out, NULL, '{');
    sb_put_i64(out, "id", info->id);
    sb_put_text(out, "device", info->device);
    sb_put_text(out, "stream", info->stream);
    sb_put_text(out, "op_id", info->op_id);
    sb_put_text_or_null(out, "hlc", info->hlc);
    if (info->code == SB_OK)
        sb_put_null(out, "code");
    else
        sb_put_text(out, "code", sb_code_name(info->code));
    sb_put_u64(out, "server_version", info->server_version);
    sb_put_time_ms(out, "opened_at", info->opened_ms);
    sb_put_raw(out, "base", info->base);
    sb_put_raw(out, "settings", info->submitted);
    sb_put_close(out, '}');
    return true;
}

static bool count_conflict(void *ctx, const struct conflict_info *info)
{
    size_t *count = ctx;

    (void)info;
    (*count)++;
    return true;
}

static int print_json(struct cloud_cli *c, const struct cloud_document *name,
                      const struct sb_document *doc, uint64_t as_of, struct sb_err *err)
{
    struct sb_buf out = {0};
    int rc;

    sb_put_open(&out, NULL, '{');
    sb_put_text(&out, "user", name->user);
    sb_put_text(&out, "user_id", name->user);
    sb_put_bool(&out, "exists", doc->exists);
    sb_put_u64(&out, "as_of", as_of);
    if (doc->exists)
        cloud_put_document(&out, name, doc);
    else
        sb_put_null(&out, "settings");
    sb_put_open(&out, "conflicts", '[');
    rc = store_conflicts(c->store, name->user, put_conflict, &out, err);
    sb_put_close(&out, ']');
    sb_put_close(&out, '}');
    if (rc == 0)
        cloud_cli_print_json(&out);
    sb_buf_free(&out);
    return rc;
}

/* The document alone on standard output, the rest beside it. */
static int print_text(struct cloud_cli *c, const char *user, const struct sb_document *doc,
                      struct sb_err *err)
{
    size_t open = 0;
    int rc = store_conflicts(c->store, user, count_conflict, &open, err);

    if (rc != 0)
        return rc;
    if (doc->exists && !doc->deleted)
        printf("%.*s\n", (int)doc->data.len, doc->data.data);
    if (doc->exists)
        sb_cli_note(c->cli, "version %llu by %s at %s%s", (unsigned long long)doc->version,
                    doc->device, doc->updated_at, doc->deleted ? ", deleted" : "");
    if (open > 0)
        sb_cli_note(c->cli, "%zu operations are in conflict; see `conflicts list --user %s`", open,
                    user);
    return 0;
}

static int print_in_force(struct cloud_cli *c, const struct cloud_document *name,
                          struct sb_err *err)
{
    struct sb_document doc = {0};
    uint64_t as_of;
    int rc = store_settings(c->store, name->user, &doc, &as_of, err);

    if (rc == 0)
        rc = sb_cli_json(c->cli) ? print_json(c, name, &doc, as_of, err)
                                 : print_text(c, name->user, &doc, err);
    if (rc == 0 && !doc.exists)
        rc = sb_fail(err, SB_ENOT_FOUND, "%s has no settings in the cloud", name->user);
    sb_document_free(&doc);
    return rc;
}

int cmd_settings(struct sb_cli *cli)
{
    const char *user = sb_cli_text(cli, "user");
    const struct cloud_document name = {user, SB_TABLE_SETTINGS, SB_TABLE_SETTINGS, "settings"};
    struct cloud_cli c;
    struct sb_err err = {0};
    int rc, status;

    if (!sb_name_valid(sb_span_of(user)))
        return sb_cli_usage(cli, "--user '%.80s': not [A-Za-z0-9_-]{1,64}", user);
    status = cloud_cli_open(&c, cli, STORE_READ);
    if (status != 0)
        return status;
    if (sb_cli_given(cli, "at"))
        rc = cloud_print_version(&c, &name, (uint64_t)sb_cli_number(cli, "at", 0), &err);
    else if (sb_cli_given(cli, "history"))
        rc = cloud_print_history(&c, &name, (uint64_t)sb_cli_number(cli, "limit", VERSIONS_DEFAULT),
                                 &err);
    else
        rc = print_in_force(&c, &name, &err);
    cloud_cli_close(&c);
    return rc == 0 ? 0 : sb_cli_fail(cli, &err);
}
