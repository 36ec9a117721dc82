/* devices: who sends, and what the cloud holds of it. */
#include "cloud_cli.h"

#include <stdlib.h>
#include <string.h>

const struct sb_cli_option devices_options[] = {{.name = "user",
                                                 .kind = SB_CLI_TEXT,
                                                 .value = "USER",
                                                 .help = "those bound to this user alone"},
                                                {0}};

const char devices_help[] =
    "STATE is the device's own word and needs the daemon; HELLO is when it last told what it "
    "holds.\n"
    "\n"
    "examples:\n"
    "  cloud_ingest devices\n"
    "  cloud_ingest devices --user user-1 --json | jq -r .devices[].device\n";

struct binding {
    char device[SB_NAME_MAX + 1];
    char user[SB_NAME_MAX + 1];
};

struct listing {
    struct cloud_cli c;
    struct cloud_online online;
    struct binding *bindings; /* by device, then user */
    size_t binding_count;
    const char *user; /* NULL = all */
    struct sb_table *table;
    struct sb_buf out; /* JSON */
};

static bool add_binding(void *ctx, const struct binding_info *info)
{
    struct listing *l = ctx;
    struct binding *binding;

    l->bindings = sb_xrealloc(l->bindings, (l->binding_count + 1) * sizeof(*l->bindings));
    binding = &l->bindings[l->binding_count++];
    snprintf(binding->device, sizeof(binding->device), "%s", info->device);
    snprintf(binding->user, sizeof(binding->user), "%s", info->user);
    return true;
}

static int compare_device(const void *key, const void *element)
{
    return strcmp(key, ((const struct binding *)element)->device);
}

/* The first binding of the device, and how many there are. */
static const struct binding *bindings_of(const struct listing *l, const char *device, size_t *count)
{
    const struct binding *first, *end = l->bindings + l->binding_count;

    *count = 0;
    if (l->binding_count == 0)
        return NULL;
    first = bsearch(device, l->bindings, l->binding_count, sizeof(*l->bindings), compare_device);
    if (first == NULL)
        return NULL;
    while (first > l->bindings && strcmp(first[-1].device, device) == 0)
        first--;
    while (first + *count < end && strcmp(first[*count].device, device) == 0)
        (*count)++;
    return first;
}

static const char *state_of(const struct listing *l, const struct device_info *info)
{
    if (info->revoked)
        return "revoked";
    if (cloud_online_has(&l->online, info->device))
        return "online";
    return l->online.known && l->online.complete ? "offline" : "unknown";
}

static void put_device(struct listing *l, const struct device_info *info,
                       const struct binding *bindings, size_t count)
{
    struct sb_buf *out = &l->out;

    sb_put_open(out, NULL, '{');
    sb_put_text(out, "device", info->device);
    sb_put_text(out, "device_id", info->device);
    sb_put_text(out, "state", state_of(l, info));
    sb_put_bool(out, "revoked", info->revoked);
    sb_put_time_ms(out, "added_at", info->added_ms);
    sb_put_time_ms(out, "hello_at", info->hello_ms);
    sb_put_time_ms(out, "last_seen", info->last_ms);
    sb_put_time_ms(out, "last_sync", info->last_ms);
    sb_put_text_or_null(out, "epoch", info->epoch);
    sb_put_text_or_null(out, "device_boot", info->device_boot);
    sb_put_i64(out, "epochs", info->epochs);
    sb_put_i64(out, "streams", info->streams);
    sb_put_u64(out, "records", info->records);
    sb_put_open(out, "users", '[');
    for (size_t i = 0; i < count; i++)
        sb_put_text(out, NULL, bindings[i].user);
    sb_put_close(out, ']');
    sb_put_close(out, '}');
}

static void add_row(struct listing *l, const struct device_info *info,
                    const struct binding *bindings, size_t count)
{
    const char *state = state_of(l, info);
    struct sb_buf users = {0};

    for (size_t i = 0; i < count; i++)
        sb_buf_add_fmt(&users, "%s%s", i > 0 ? "," : "", bindings[i].user);
    sb_table_text(l->table, info->device);
    sb_table_text(l->table, state);
    if (info->revoked)
        sb_table_bad(l->table);
    else if (strcmp(state, "online") == 0)
        sb_table_good(l->table);
    sb_table_time_ms(l->table, info->last_ms);
    sb_table_time_ms(l->table, info->hello_ms);
    sb_table_u64(l->table, (uint64_t)info->epochs);
    sb_table_u64(l->table, (uint64_t)info->streams);
    sb_table_u64(l->table, info->records);
    sb_table_span(l->table, sb_buf_span(&users));
    sb_buf_free(&users);
}

static bool list_device(void *ctx, const struct device_info *info)
{
    struct listing *l = ctx;
    size_t count, i = 0;
    const struct binding *bindings = bindings_of(l, info->device, &count);

    while (l->user != NULL && i < count && strcmp(bindings[i].user, l->user) != 0)
        i++;
    if (l->user != NULL && i == count)
        return true;
    if (sb_cli_json(l->c.cli))
        put_device(l, info, bindings, count);
    else
        add_row(l, info, bindings, count);
    return true;
}

static void print_listing(struct listing *l)
{
    if (sb_cli_json(l->c.cli)) {
        sb_put_close(&l->out, ']');
        sb_put_close(&l->out, '}');
        cloud_cli_print_json(&l->out);
    } else {
        sb_table_print(l->table, sb_cli_colour(l->c.cli), stdout);
    }
}

int cmd_devices(struct sb_cli *cli)
{
    static const char *const heads[] = {"DEVICE",  "STATE",    "LAST SEEN", "HELLO",
                                        ">EPOCHS", ">STREAMS", ">RECORDS",  "USERS"};
    struct listing l = {.user = sb_cli_text(cli, "user")};
    struct sb_err err = {0};
    int rc, status = cloud_cli_open(&l.c, cli, STORE_READ);

    if (status != 0)
        return status;
    cloud_cli_online(&l.c, &l.online);
    l.table = sb_table_new(heads, sizeof(heads) / sizeof(heads[0]));
    sb_put_open(&l.out, NULL, '{');
    sb_put_open(&l.out, "devices", '[');
    rc = store_bindings(l.c.store, NULL, add_binding, &l, &err);
    if (rc == 0)
        rc = store_devices(l.c.store, list_device, &l, &err);
    if (rc == 0)
        print_listing(&l);
    sb_table_free(l.table);
    sb_buf_free(&l.out);
    free(l.bindings);
    cloud_online_free(&l.online);
    cloud_cli_close(&l.c);
    return rc == 0 ? 0 : sb_cli_fail(cli, &err);
}
