/* device add|list|grant|revoke: who may send, and for which users. */
#include "cloud_cli.h"

#include <string.h>

#include "common/clock.h"

const struct sb_cli_option device_list_options[] = {
    {.name = "device", .kind = SB_CLI_TEXT, .value = "DEVICE", .help = "of this device alone"},
    {0}};
const struct sb_cli_option device_revoke_options[] = {
    {.name = "user",
     .kind = SB_CLI_TEXT,
     .value = "USER",
     .help = "take this binding away; the device stays"},
    {.name = "undo", .kind = SB_CLI_FLAG, .help = "take the device off the deny list"},
    {0}};

const char device_add_help[] =
    "Registers a device and prints its topics and what to do next; once more for one that is\n"
    "registered, it prints them again. Needed only where [ingest] auto_register is off: else a\n"
    "device with a valid certificate registers itself.\n"
    "\n"
    "examples:\n"
    "  cloud_ingest device add edge-001\n"
    "  cloud_ingest device add meter-7 --json | jq -r .topics.publish[]\n";

const char device_grant_help[] =
    "Lets the device send history and settings of that user. What it has parked for want of the\n"
    "grant comes within moments, where both are online.\n"
    "\n"
    "examples:\n"
    "  cloud_ingest device grant edge-001 user-1\n";

const char device_revoke_help[] =
    "Puts the device on the deny list: from the next batch on everything it sends is answered\n"
    "retry/revoked, and it keeps it. Its certificate goes on the CRL beside this. With --user "
    "only\n"
    "that binding ends. Nothing that is stored goes away.\n"
    "\n"
    "examples:\n"
    "  cloud_ingest device revoke edge-001\n"
    "  cloud_ingest device revoke edge-001 --user user-1\n"
    "  cloud_ingest device revoke edge-001 --undo\n";

static int64_t now_ms(void)
{
    return sb_clock_now().wall_us / 1000;
}

/* A changed right is tried soon: the device's next hello resumes what it has parked. */
static bool wake(struct cloud_cli *c, const char *device)
{
    struct sb_buf answer = {0};
    struct sb_err err;
    int rc = cloud_cli_ask(c, "hello", device, 0, &answer, &err);

    sb_buf_free(&answer);
    return rc == 0;
}

/* Prints what was done, with `woken` beside it. */
static void print_done(struct cloud_cli *c, const char *device, const char *user, const char *what,
                       bool woken)
{
    struct sb_buf out = {0};

    if (sb_cli_json(c->cli)) {
        sb_put_open(&out, NULL, '{');
        sb_put_bool(&out, "success", true);
        sb_put_text(&out, "device", device);
        sb_put_text(&out, "device_id", device);
        if (user != NULL)
            sb_put_text(&out, "user", user);
        sb_put_text(&out, "result", what);
        sb_put_bool(&out, "told", woken);
        sb_put_close(&out, '}');
        cloud_cli_print_json(&out);
        sb_buf_free(&out);
        return;
    }
    printf("%s%s%s: %s\n", device, user != NULL ? " " : "", user != NULL ? user : "", what);
}

/* ---- add ---- */

static void put_topics(struct sb_buf *out, const char *device)
{
    char topic[SB_TOPIC_MAX];

    sb_put_open(out, "topics", '{');
    sb_put_open(out, "publish", '[');
    for (int class = 0; class < SB_UP_CLASSES; class ++) {
        sb_topic_up(topic, device, (enum sb_up_class) class);
        sb_put_text(out, NULL, topic);
    }
    sb_topic_state(topic, device);
    sb_put_text(out, NULL, topic);
    sb_put_close(out, ']');
    sb_put_open(out, "subscribe", '[');
    sb_topic_down(topic, device, "reply");
    sb_put_text(out, NULL, topic);
    sb_topic_down(topic, device, "notify");
    sb_put_text(out, NULL, topic);
    sb_put_text(out, NULL, "sb/v1/ingest/+");
    sb_put_close(out, ']');
    sb_put_close(out, '}');
}

static void print_added_json(const char *device, bool fresh)
{
    struct sb_buf out = {0};
    char bucket[8];

    snprintf(bucket, sizeof(bucket), "%02x", sb_bucket_of(sb_span_of(device)));
    sb_put_open(&out, NULL, '{');
    sb_put_bool(&out, "success", true);
    sb_put_text(&out, "device", device);
    sb_put_text(&out, "device_id", device);
    sb_put_text(&out, "result", fresh ? "added" : "exists");
    sb_put_text(&out, "bucket", bucket);
    put_topics(&out, device);
    sb_put_close(&out, '}');
    cloud_cli_print_json(&out);
    sb_buf_free(&out);
}

static void print_added(const char *device, bool fresh)
{
    char topic[SB_TOPIC_MAX];

    printf("%s: %s\n\npublishes\n", device, fresh ? "added" : "was registered already");
    for (int class = 0; class < SB_UP_CLASSES; class ++) {
        sb_topic_up(topic, device, (enum sb_up_class) class);
        printf("  %s\n", topic);
    }
    sb_topic_state(topic, device);
    printf("  %s (retained)\n\nsubscribes to\n", topic);
    sb_topic_down(topic, device, "reply");
    printf("  %s\n", topic);
    sb_topic_down(topic, device, "notify");
    printf("  %s\n  sb/v1/ingest/+\n\n", topic);
    printf("next\n"
           "  a certificate with the common name %s: certs/make-certs.sh device FOLDER %s\n"
           "  history and settings of a user:        cloud_ingest device grant %s USER\n"
           "  on the device:                         edge_agent run (or any MQTT 5 client)\n",
           device, device, device);
}

int cmd_device_add(struct sb_cli *cli)
{
    const char *device = sb_cli_arg(cli, 0);
    struct cloud_cli c;
    struct sb_err err = {0};
    int rc, status = cloud_cli_open(&c, cli, STORE_ADMIN);
    bool fresh;

    if (status != 0)
        return status;
    rc = store_device_register(c.store, device, now_ms(), &err);
    fresh = rc == 0;
    if (rc == -(int)SB_EEXISTS)
        rc = 0;
    if (rc == 0 && fresh)
        wake(&c, device);
    if (rc == 0 && sb_cli_json(cli))
        print_added_json(device, fresh);
    else if (rc == 0)
        print_added(device, fresh);
    cloud_cli_close(&c);
    return rc == 0 ? 0 : sb_cli_fail(cli, &err);
}

/* ---- grant, revoke ---- */

int cmd_device_grant(struct sb_cli *cli)
{
    const char *device = sb_cli_arg(cli, 0), *user = sb_cli_arg(cli, 1);
    struct cloud_cli c;
    struct sb_err err = {0};
    int rc, status = cloud_cli_open(&c, cli, STORE_ADMIN);

    if (status != 0)
        return status;
    rc = store_grant(c.store, device, user, now_ms(), &err);
    if (rc == 0)
        print_done(&c, device, user, "granted", wake(&c, device));
    cloud_cli_close(&c);
    return rc == 0 ? 0 : sb_cli_fail(cli, &err);
}

int cmd_device_revoke(struct sb_cli *cli)
{
    const char *device = sb_cli_arg(cli, 0), *user = sb_cli_text(cli, "user");
    bool undo = sb_cli_given(cli, "undo");
    struct cloud_cli c;
    struct sb_err err = {0};
    int rc, status;

    if (undo && user != NULL)
        return sb_cli_usage(cli, "--undo is for the deny list; a binding comes back by `device "
                                 "grant`");
    status = cloud_cli_open(&c, cli, STORE_ADMIN);
    if (status != 0)
        return status;
    if (user != NULL)
        rc = store_ungrant(c.store, device, user, &err);
    else
        rc = store_device_revoke(c.store, device, !undo, now_ms(), &err);
    if (rc == 0)
        print_done(&c, device, user, undo ? "allowed" : "revoked", undo && wake(&c, device));
    cloud_cli_close(&c);
    return rc == 0 ? 0 : sb_cli_fail(cli, &err);
}

/* ---- list ---- */

struct listing {
    struct cloud_cli c;
    struct sb_table *table;
    struct sb_buf out; /* JSON */
};

static bool list_binding(void *ctx, const struct binding_info *info)
{
    struct listing *l = ctx;

    if (!sb_cli_json(l->c.cli)) {
        sb_table_text(l->table, info->device);
        sb_table_text(l->table, info->user);
        sb_table_time_ms(l->table, info->granted_ms);
        return true;
    }
    sb_put_open(&l->out, NULL, '{');
    sb_put_text(&l->out, "device", info->device);
    sb_put_text(&l->out, "device_id", info->device);
    sb_put_text(&l->out, "user", info->user);
    sb_put_time_ms(&l->out, "granted_at", info->granted_ms);
    sb_put_close(&l->out, '}');
    return true;
}

int cmd_device_list(struct sb_cli *cli)
{
    static const char *const heads[] = {"DEVICE", "USER", "GRANTED"};
    struct listing l = {0};
    struct sb_err err = {0};
    int rc, status = cloud_cli_open(&l.c, cli, STORE_READ);

    if (status != 0)
        return status;
    l.table = sb_table_new(heads, sizeof(heads) / sizeof(heads[0]));
    sb_put_open(&l.out, NULL, '{');
    sb_put_open(&l.out, "bindings", '[');
    rc = store_bindings(l.c.store, sb_cli_text(cli, "device"), list_binding, &l, &err);
    if (rc == 0 && sb_cli_json(cli)) {
        sb_put_close(&l.out, ']');
        sb_put_close(&l.out, '}');
        cloud_cli_print_json(&l.out);
    } else if (rc == 0) {
        sb_table_print(l.table, sb_cli_colour(cli), stdout);
    }
    sb_table_free(l.table);
    sb_buf_free(&l.out);
    cloud_cli_close(&l.c);
    return rc == 0 ? 0 : sb_cli_fail(cli, &err);
}
