/* records: the documents of a table. */
#include "cloud_documents.h"

#include <string.h>

#include "cloud_ingest/store_requests.h"

#define VERSIONS_DEFAULT 100

const struct sb_cli_option records_options[] = {
    {.name = "table",
     .kind = SB_CLI_TEXT,
     .required = true,
     .value = "TABLE",
     .help = "of this table"},
    {.name = "user", .kind = SB_CLI_TEXT, .required = true, .value = "USER", .help = "whose"},
    {.name = "id", .kind = SB_CLI_TEXT, .value = "ID", .help = "print this document"},
    {.name = "deleted", .kind = SB_CLI_FLAG, .help = "list those that were deleted too"},
    {.name = "history", .kind = SB_CLI_FLAG, .help = "with --id: list its versions"},
    {.name = "at", .kind = SB_CLI_NUMBER, .value = "N", .help = "with --id: print this version"},
    {.name = "limit",
     .kind = SB_CLI_NUMBER,
     .value = "N",
     .help = "so many versions, 100 unless told"},
    {0}};

const char records_help[] =
    "Lists the documents of a table, in the order of their versions; with --id prints one as it\n"
    "was sent. Exit status 5 where there is none.\n"
    "\n"
    "examples:\n"
    "  cloud_ingest records --table projects --user user-1\n"
    "  cloud_ingest records --table projects --user user-1 --id p1\n"
    "  cloud_ingest records --table projects --user user-1 --id p1 --history\n"
    "  cloud_ingest records --table projects --user user-1 --id p1 --at 12 --json\n";

struct listing {
    struct cloud_cli c;
    struct cloud_document name;
    struct sb_table *table;
    struct sb_buf out; /* JSON */
};

static bool list_document(void *ctx, const char *id, struct document_row *row)
{
    const struct sb_document *doc = &row->document;
    struct listing *l = ctx;

    if (doc->deleted && !sb_cli_given(l->c.cli, "deleted"))
        return true;
    if (sb_cli_json(l->c.cli)) {
        sb_put_open(&l->out, NULL, '{');
        sb_put_text(&l->out, "id", id);
        cloud_put_document(&l->out, &l->name, doc);
        sb_put_close(&l->out, '}');
        return true;
    }
    sb_table_text(l->table, id);
    sb_table_u64(l->table, doc->version);
    sb_table_text(l->table, doc->updated_at);
    sb_table_text(l->table, doc->device);
    sb_table_text(l->table, doc->deleted ? "deleted" : "");
    sb_table_u64(l->table, doc->data.len);
    return true;
}

static int list(struct listing *l, struct sb_err *err)
{
    static const char *const heads[] = {"ID", ">VERSION", "UPDATED", "DEVICE", "STATE", ">SIZE"};
    int rc;

    l->table = sb_table_new(heads, sizeof(heads) / sizeof(heads[0]));
    sb_put_open(&l->out, NULL, '{');
    sb_put_text(&l->out, "user", l->name.user);
    sb_put_text(&l->out, "user_id", l->name.user);
    sb_put_text(&l->out, "table", l->name.table);
    sb_put_open(&l->out, "records", '[');
    rc =
        store_changes(l->c.store, l->name.user, l->name.table, 0, INT64_MAX, list_document, l, err);
    sb_put_close(&l->out, ']');
    sb_put_close(&l->out, '}');
    if (rc == 0 && sb_cli_json(l->c.cli))
        cloud_cli_print_json(&l->out);
    else if (rc == 0)
        sb_table_print(l->table, sb_cli_colour(l->c.cli), stdout);
    sb_table_free(l->table);
    sb_buf_free(&l->out);
    return rc;
}

static int print_one(struct listing *l, struct sb_err *err)
{
    struct sb_document found = {.exists = false};
    char doc[STORE_DOC_MAX + 1];
    int rc;

    store_doc_print(l->name.table, l->name.id, doc);
    rc = store_document_get(l->c.store, l->name.user, doc, &found, err);
    if (rc == 0)
        rc = cloud_print_document(&l->c, &l->name, &found, err);
    sb_document_free(&found);
    return rc;
}

static int check(struct sb_cli *cli, const struct cloud_document *name)
{
    if (!sb_name_valid(sb_span_of(name->user)))
        return sb_cli_usage(cli, "--user '%.80s': not [A-Za-z0-9_-]{1,64}", name->user);
    if (!sb_table_valid(sb_span_of(name->table)))
        return sb_cli_usage(cli, "--table '%.80s': not [a-z][a-z0-9_]{0,63}", name->table);
    if (name->id != NULL && !sb_document_id_valid(sb_span_of(name->id)))
        return sb_cli_usage(cli, "--id: not 1 to 128 bytes without control characters");
    if (name->id == NULL && (sb_cli_given(cli, "history") || sb_cli_given(cli, "at")))
        return sb_cli_usage(cli, "--history and --at are of one document: --id ID");
    return 0;
}

int cmd_records(struct sb_cli *cli)
{
    struct listing l = {.name = {.user = sb_cli_text(cli, "user"),
                                 .table = sb_cli_text(cli, "table"),
                                 .id = sb_cli_text(cli, "id"),
                                 .member = "data"}};
    struct sb_err err = {0};
    int rc, status = check(cli, &l.name);

    if (status == 0)
        status = cloud_cli_open(&l.c, cli, STORE_READ);
    if (status != 0)
        return status;
    if (l.name.id == NULL)
        rc = list(&l, &err);
    else if (sb_cli_given(cli, "at"))
        rc = cloud_print_version(&l.c, &l.name, (uint64_t)sb_cli_number(cli, "at", 0), &err);
    else if (sb_cli_given(cli, "history"))
        rc = cloud_print_history(&l.c, &l.name,
                                 (uint64_t)sb_cli_number(cli, "limit", VERSIONS_DEFAULT), &err);
    else
        rc = print_one(&l, &err);
    cloud_cli_close(&l.c);
    return rc == 0 ? 0 : sb_cli_fail(cli, &err);
}
