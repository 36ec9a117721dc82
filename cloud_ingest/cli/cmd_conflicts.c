/* conflicts: operations of which nothing was applied, and deciding them. */
#include "cloud_cli.h"

#include <errno.h>
#include <string.h>

#include "cloud_ingest/store_requests.h"
#include "common/doc.h"
#include "common/json_read.h"
#include "common/pointers.h"

#define LIMIT_DEFAULT  100
#define VALUE_BYTES    60   /* of a value in the table of `show` */
#define PLACES_MAX     1000 /* of one conflict that are shown; the documents have them all */
#define MERGE_MAX_FILE (SB_RECORD_MAX_BYTES + 65536)

const struct sb_cli_option conflicts_list_options[] = {
    {.name = "user", .kind = SB_CLI_TEXT, .value = "USER", .help = "of this user alone"},
    {.name = "all", .kind = SB_CLI_FLAG, .help = "those that are resolved too"},
    {.name = "after", .kind = SB_CLI_NUMBER, .value = "ID", .help = "only those with higher ids"},
    {.name = "limit", .kind = SB_CLI_NUMBER, .value = "N", .help = "so many, 100 unless told"},
    {0}};
const struct sb_cli_option conflicts_resolve_options[] = {
    {.name = "keep-local",
     .kind = SB_CLI_FLAG,
     .help = "set again what the losing edit changed, on the document in force"},
    {.name = "use-server", .kind = SB_CLI_FLAG, .help = "leave the document in force as it is"},
    {.name = "merge",
     .kind = SB_CLI_TEXT,
     .value = "FILE",
     .help = "make this JSON the document, - reads it; null deletes the document"},
    {.name = "seen",
     .kind = SB_CLI_TEXT,
     .value = "TAG",
     .help = "only where this document is still in force, as `show` names it; else exit 1"},
    {.name = "note", .kind = SB_CLI_TEXT, .value = "TEXT", .help = "kept beside the decision"},
    {0}};

const char conflicts_help[] =
    "An operation is in conflict where its device and another one changed the same place of a\n"
    "document in different ways and the policy of its table decides nothing. Nothing of it was\n"
    "applied; the document in force is the same everywhere. `show` has the document that the edit\n"
    "was made on, what it wanted, and the one in force, place by place. A decision makes a new\n"
    "version, which reaches every device; the edit that lost stays in the record.\n"
    "\n"
    "examples:\n"
    "  cloud_ingest conflicts list --user user-1\n"
    "  cloud_ingest conflicts show 7\n"
    "  cloud_ingest conflicts resolve 7 --keep-local\n"
    "  cloud_ingest conflicts show 7 --json | jq .submitted.data >mine.json\n"
    "  cloud_ingest conflicts resolve 7 --merge mine.json --seen 0f1e2d3c4b5a6978\n";

static int read_id(struct sb_cli *cli, uint64_t *id)
{
    const char *text = sb_cli_arg(cli, 0);

    if (sb_json_u64(sb_span_of(text), id) && *id >= 1 && *id <= SB_SEQ_MAX)
        return 0;
    return sb_cli_usage(cli, "'%.40s': an id of `conflicts list` is wanted", text);
}

/* ---- list ---- */

struct listing {
    struct cloud_cli c;
    struct sb_table *table;
    struct sb_buf out;           /* JSON */
    uint64_t limit, count, last; /* last: the id of the last one */
    bool has_more;
};

static void put_entry(struct sb_buf *out, const struct sb_conflict_entry *e)
{
    sb_put_open(out, NULL, '{');
    sb_put_u64(out, "id", e->id);
    sb_put_text(out, "user", e->user);
    sb_put_text(out, "table", e->table);
    sb_put_text(out, "document", e->document);
    sb_put_text(out, "device", e->device);
    sb_put_text(out, "op_id", e->op_id);
    sb_put_text_or_null(out, "code", e->code == SB_OK ? "" : sb_code_name(e->code));
    sb_put_raw(out, "pointers", sb_buf_span(&e->pointers));
    sb_put_text_or_null(out, "hlc", e->hlc);
    sb_put_u64(out, "server_version", e->server_version);
    sb_put_text_or_null(out, "opened_at", e->opened_at);
    sb_put_text_or_null(out, "resolved_at", e->resolved_at);
    sb_put_text_or_null(out, "resolution", sb_choice_name(e->resolution));
    sb_put_text_or_null(out, "resolved_by", e->resolved_by);
    sb_put_text_or_null(out, "note", e->note);
    sb_put_close(out, '}');
}

static bool list_entry(void *ctx, const struct conflict_entry *entry)
{
    const struct sb_conflict_entry *e = &entry->told;
    struct listing *l = ctx;

    if (l->limit > 0 && l->count == l->limit) {
        l->has_more = true;
        return false;
    }
    l->count++;
    l->last = e->id;
    if (sb_cli_json(l->c.cli)) {
        put_entry(&l->out, e);
        return true;
    }
    sb_table_u64(l->table, e->id);
    sb_table_text(l->table, e->user);
    sb_table_text(l->table, e->table);
    sb_table_text(l->table, e->document);
    sb_table_text(l->table, e->device);
    sb_table_text(l->table, e->op_id);
    sb_table_text(l->table, e->code == SB_OK ? "" : sb_code_name(e->code));
    sb_table_span(l->table, sb_buf_span(&e->pointers));
    sb_table_text(l->table, e->opened_at);
    sb_table_text(l->table, sb_choice_name(e->resolution));
    sb_table_text(l->table, e->resolved_by);
    return true;
}

int cmd_conflicts_list(struct sb_cli *cli)
{
    static const char *const heads[] = {"ID",   "USER",     "TABLE",  "DOCUMENT",   "DEVICE", "OP",
                                        "CODE", "POINTERS", "OPENED", "RESOLUTION", "BY"};
    const char *user = sb_cli_text(cli, "user");
    struct listing l = {.table = NULL};
    struct sb_err err = {0};
    int rc, status;

    if (user != NULL && !sb_name_valid(sb_span_of(user)))
        return sb_cli_usage(cli, "--user '%.80s': not [A-Za-z0-9_-]{1,64}", user);
    status = cloud_cli_open(&l.c, cli, STORE_READ);
    if (status != 0)
        return status;
    l.table = sb_table_new(heads, sizeof(heads) / sizeof(heads[0]));
    sb_put_open(&l.out, NULL, '{');
    sb_put_open(&l.out, "conflicts", '[');
    l.limit = (uint64_t)sb_cli_number(cli, "limit", LIMIT_DEFAULT);
    rc = store_conflict_entries(l.c.store, user, !sb_cli_given(cli, "all"),
                                (uint64_t)sb_cli_number(cli, "after", 0),
                                l.limit > 0 ? l.limit + 1 : 0, list_entry, &l, &err);
    if (rc == 0 && sb_cli_json(cli)) {
        sb_put_close(&l.out, ']');
        sb_put_bool(&l.out, "has_more", l.has_more);
        sb_put_close(&l.out, '}');
        cloud_cli_print_json(&l.out);
    } else if (rc == 0) {
        sb_table_print(l.table, sb_cli_colour(cli), stdout);
        if (l.has_more)
            sb_cli_note(cli, "there are more: --after %llu", (unsigned long long)l.last);
    }
    sb_table_free(l.table);
    sb_buf_free(&l.out);
    cloud_cli_close(&l.c);
    return rc == 0 ? 0 : sb_cli_fail(cli, &err);
}

/* ---- show ---- */

/* The three columns. An absent or encrypted document has no places inside. */
struct columns {
    struct sb_span base, submitted, server;
    struct sb_pointers places;
    size_t shown; /* of the places: each is looked up in three documents */
    const struct sb_array_keys *keys;
};

static struct sb_span plain(const struct sb_buf *data)
{
    struct sb_span text = sb_buf_span(data), value = SB_SPAN("");

    if (text.len == 0 || sb_json_check(text, &sb_down_limits, &value, NULL) != 0)
        return SB_SPAN("");
    return value;
}

static bool is_object(struct sb_span text)
{
    return text.len > 0 && sb_json_type_of(text) == SB_JSON_OBJECT;
}

/* The places that are told; where these are none or the whole document, those that differ. */
static void add_places(struct columns *c, const struct sb_conflict_view *view)
{
    struct sb_span told = sb_buf_span(&view->entry.pointers);
    bool whole = sb_span_is(told, "[]") || sb_span_is(told, "[\"\"]");

    if (!whole && sb_pointers_parse(&c->places, told, NULL) == 0)
        return;
    if (is_object(c->submitted) && is_object(c->server))
        sb_doc_changed(c->submitted, c->server, c->keys, &c->places);
    if (c->places.count == 0) {
        sb_pointers_add(&c->places, SB_SPAN(""));
        sb_pointers_finish(&c->places);
    }
}

static void find_places(struct columns *c, const struct sb_conflict_view *view)
{
    add_places(c, view);
    c->shown = c->places.count < PLACES_MAX ? c->places.count : PLACES_MAX;
}

static struct sb_span value_at(struct sb_span document, struct sb_span pointer,
                               const struct sb_array_keys *keys)
{
    if (document.len == 0 || pointer.len == 0)
        return document;
    return is_object(document) ? sb_doc_get(document, pointer, keys) : SB_SPAN("");
}

static void put_places(struct sb_buf *out, const struct columns *c)
{
    sb_put_open(out, "places", '[');
    for (size_t i = 0; i < c->shown; i++) {
        struct sb_span pointer = sb_pointers_get(&c->places, i);

        sb_put_open(out, NULL, '{');
        sb_put_span(out, "pointer", pointer);
        if (pointer.len > 0) { /* the whole documents are there already */
            sb_put_raw(out, "base", value_at(c->base, pointer, c->keys));
            sb_put_raw(out, "submitted", value_at(c->submitted, pointer, c->keys));
            sb_put_raw(out, "server", value_at(c->server, pointer, c->keys));
        }
        sb_put_close(out, '}');
    }
    sb_put_close(out, ']');
    sb_put_u64(out, "places_left_out", c->places.count - c->shown);
}

/* Cut off at the beginning of a character. */
static void add_value(struct sb_table *table, struct sb_span value)
{
    struct sb_buf text = {0};

    if (value.len <= VALUE_BYTES) {
        sb_table_span(table, value);
        return;
    }
    value.len = VALUE_BYTES;
    sb_utf8_valid(value, &value.len);
    sb_buf_add_span(&text, value);
    sb_buf_add_str(&text, " ...");
    sb_table_span(table, sb_buf_span(&text));
    sb_buf_free(&text);
}

static void print_places(const struct cloud_cli *c, const struct columns *columns)
{
    static const char *const heads[] = {"POINTER", "BASE", "SUBMITTED", "IN FORCE"};
    struct sb_table *table = sb_table_new(heads, sizeof(heads) / sizeof(heads[0]));

    for (size_t i = 0; i < columns->shown; i++) {
        struct sb_span pointer = sb_pointers_get(&columns->places, i);

        sb_table_span(table, pointer.len > 0 ? pointer : SB_SPAN("(document)"));
        add_value(table, value_at(columns->base, pointer, columns->keys));
        add_value(table, value_at(columns->submitted, pointer, columns->keys));
        add_value(table, value_at(columns->server, pointer, columns->keys));
    }
    sb_table_print(table, sb_cli_colour(c->cli), stdout);
    sb_table_free(table);
    if (columns->places.count > columns->shown)
        sb_cli_note(c->cli, "and %zu places more; the documents are in --json",
                    columns->places.count - columns->shown);
}

static void print_line(const char *label, const char *text)
{
    struct sb_buf safe = {0};

    sb_print_safe(sb_span_of(text), &safe);
    printf("%-10s %s\n", label, safe.len > 0 ? safe.data : "-");
    sb_buf_free(&safe);
}

static void print_head(const struct sb_conflict_view *view)
{
    const struct sb_conflict_entry *e = &view->entry;

    printf("%-10s %llu\n", "conflict", (unsigned long long)e->id);
    print_line("user", e->user);
    print_line("table", e->table);
    print_line("document", e->document);
    print_line("device", e->device);
    print_line("op", e->op_id);
    if (e->code != SB_OK)
        print_line("code", sb_code_name(e->code));
    print_line("opened", e->opened_at);
    if (e->resolved_at[0] != '\0')
        printf("%-10s %s by %s at %s\n", "resolved", sb_choice_name(e->resolution), e->resolved_by,
               e->resolved_at);
    if (e->note[0] != '\0')
        print_line("note", e->note);
    if (view->submitted.deleted)
        printf("%-10s a deletion\n", "submitted");
    if (!view->server.exists)
        printf("%-10s nothing\n", "in force");
    else
        printf("%-10s version %llu by %s at %s, tag %s%s\n", "in force",
               (unsigned long long)view->server.version, view->server.device,
               view->server.updated_at, view->server.tag, view->server.deleted ? ": deleted" : "");
    printf("\n");
}

static void print_view(struct cloud_cli *c, struct sb_span data,
                       const struct sb_conflict_view *view, const struct tables *tables)
{
    const struct table *table = tables_get(tables, view->entry.table);
    struct columns columns = {
        .base = plain(&view->base.data),
        .submitted = plain(&view->submitted.data),
        .server = view->server.exists ? plain(&view->server.data) : SB_SPAN(""),
        .keys = table != NULL ? &table->keys : NULL,
    };
    struct sb_buf out = {0};

    find_places(&columns, view);
    if (sb_cli_json(c->cli)) {
        sb_buf_add(&out, data.data, data.len - 1); /* without its last brace */
        put_places(&out, &columns);
        sb_put_close(&out, '}');
        cloud_cli_print_json(&out);
        sb_buf_free(&out);
    } else {
        print_head(view);
        print_places(c, &columns);
    }
    sb_pointers_free(&columns.places);
}

int cmd_conflicts_show(struct sb_cli *cli)
{
    struct sb_conflict_view view = {.as_of = 0};
    struct sb_buf args = {0}, answer = {0};
    struct sb_conflict_args asked = {.id = 0};
    struct tables *tables = NULL;
    struct sb_span data;
    struct cloud_cli c;
    struct sb_err err = {0};
    int rc, status = read_id(cli, &asked.id);

    if (status != 0)
        return status;
    status = cloud_cli_config(&c, cli);
    if (status != 0)
        return status;
    sb_conflict_args_encode(&asked, &args);
    rc = cloud_config_tables(&c.config, &tables, &err);
    if (rc == 0)
        rc = cloud_cli_request(&c, SB_OP_CONFLICTS_SHOW, sb_buf_span(&args), &answer, &data, &err);
    if (rc == 0)
        rc = sb_conflict_view_decode(data, &view, &err);
    if (rc == 0)
        print_view(&c, data, &view, tables);
    sb_conflict_view_free(&view);
    tables_free(tables);
    sb_buf_free(&args);
    sb_buf_free(&answer);
    cloud_cli_close(&c);
    return rc == 0 ? 0 : sb_cli_fail(cli, &err);
}

/* ---- resolve ---- */

static int read_stream(FILE *file, const char *name, struct sb_buf *text, struct sb_err *err)
{
    size_t got;

    do {
        sb_buf_reserve(text, 65536);
        got = fread(text->data + text->len, 1, 65536, file);
        text->len += got;
    } while (got > 0 && text->len <= MERGE_MAX_FILE);
    if (ferror(file))
        return sb_fail(err, SB_EIO, "%.200s: it cannot be read", name);
    return 0;
}

static int read_file(const char *name, struct sb_buf *text, struct sb_err *err)
{
    FILE *file;
    int rc;

    if (strcmp(name, "-") == 0)
        return read_stream(stdin, "standard input", text, err);
    file = fopen(name, "rb");
    if (file == NULL)
        return sb_fail_errno(err, errno, "%.200s", name);
    rc = read_stream(file, name, text, err);
    fclose(file);
    return rc;
}

/* An object, or null; checked here so that the message names the file and the place. */
static int read_merged(const char *name, struct sb_buf *text, struct sb_span *data,
                       struct sb_err *err)
{
    int rc = read_file(name, text, err);

    if (rc != 0)
        return rc;
    rc = sb_json_check(sb_buf_span(text), &sb_document_limits, data, err);
    if (rc == 0 && !is_object(*data) && !sb_span_is(*data, "null"))
        rc = sb_fail(err, SB_EBAD_TYPE, "neither an object nor null");
    if (rc != 0)
        sb_err_prefix(err, "%.100s", name);
    return rc;
}

static int read_choice(struct sb_cli *cli, struct sb_resolve_args *args)
{
    const char *note = sb_cli_text(cli, "note"), *seen = sb_cli_text(cli, "seen");
    int given = sb_cli_given(cli, "keep-local") + sb_cli_given(cli, "use-server") +
                sb_cli_given(cli, "merge");

    if (given != 1)
        return sb_cli_usage(cli, "one of --keep-local, --use-server and --merge FILE is wanted");
    args->choice = SB_CHOICE_MERGE;
    if (sb_cli_given(cli, "keep-local"))
        args->choice = SB_CHOICE_LOCAL;
    else if (sb_cli_given(cli, "use-server"))
        args->choice = SB_CHOICE_SERVER;
    if (seen != NULL && !sb_hex16_valid(sb_span_of(seen)))
        return sb_cli_usage(cli, "--seen '%.40s': a tag as `conflicts show` names it", seen);
    if (seen != NULL)
        memcpy(args->seen, seen, strlen(seen) + 1);
    if (note == NULL)
        return 0;
    if (strlen(note) > SB_CONFLICT_NOTE_MAX || !sb_utf8_valid(sb_span_of(note), NULL))
        return sb_cli_usage(cli, "--note: at most %d bytes of UTF-8", SB_CONFLICT_NOTE_MAX);
    memcpy(args->note, note, strlen(note) + 1);
    return 0;
}

static void print_resolved(struct cloud_cli *c, const struct sb_resolve_args *args,
                           const struct sb_resolved *resolved)
{
    struct sb_buf out = {0};

    if (sb_cli_json(c->cli)) {
        sb_put_open(&out, NULL, '{');
        sb_put_bool(&out, "success", true);
        sb_put_u64(&out, "id", args->id);
        sb_put_text(&out, "result", resolved->already > 0 ? "already" : "resolved");
        sb_put_text(&out, "resolution", sb_choice_name(args->choice));
        if (resolved->version > 0)
            sb_put_u64(&out, "version", resolved->version);
        else
            sb_put_null(&out, "version");
        sb_put_text_or_null(&out, "tag", resolved->tag);
        sb_put_close(&out, '}');
        cloud_cli_print_json(&out);
        sb_buf_free(&out);
    } else if (resolved->already > 0) {
        printf("%llu: was resolved already\n", (unsigned long long)args->id);
    } else if (resolved->version > 0) {
        printf("%llu: resolved, version %llu\n", (unsigned long long)args->id,
               (unsigned long long)resolved->version);
    } else {
        printf("%llu: resolved, the document stays as it is\n", (unsigned long long)args->id);
    }
}

int cmd_conflicts_resolve(struct sb_cli *cli)
{
    struct sb_buf args_text = {0}, answer = {0}, file = {0};
    struct sb_resolve_args args = {.id = 0};
    struct sb_resolved resolved;
    struct sb_span data;
    struct cloud_cli c;
    struct sb_err err = {0};
    int rc = 0, status = read_id(cli, &args.id);

    if (status == 0)
        status = read_choice(cli, &args);
    if (status == 0)
        status = cloud_cli_config(&c, cli);
    if (status != 0)
        return status;
    if (args.choice == SB_CHOICE_MERGE)
        rc = read_merged(sb_cli_text(cli, "merge"), &file, &args.data, &err);
    if (rc == 0) {
        sb_resolve_args_encode(&args, &args_text);
        rc = cloud_cli_request(&c, SB_OP_CONFLICTS_RESOLVE, sb_buf_span(&args_text), &answer, &data,
                               &err);
    }
    if (rc == 0)
        rc = sb_resolved_decode(data, &resolved, &err);
    if (rc == 0)
        print_resolved(&c, &args, &resolved);
    sb_buf_free(&args_text);
    sb_buf_free(&answer);
    sb_buf_free(&file);
    cloud_cli_close(&c);
    return rc == 0 ? 0 : sb_cli_fail(cli, &err);
}
