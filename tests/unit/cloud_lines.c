/* A whole ingest as a filter, for a test that compares it with another implementation: on a
 * database in memory, one line of stdin a command, one line of stdout what it is answered.
 * cloud_lines POLICY (of settings and of the table "docs")
 *   ["batch",DEVICE,USER,JSON]  a message on the topic of records; binds the device to the user
 *   ["ask",WHO,JSON]            a request of a device (ctl) or of an operator ("_op-…")
 *   ["hold"] … ["flush"]        what lies between is one transaction, answered at its end
 *   ["purge"]                   every tombstone goes
 *   ["restart"]                 a new ingest, with a new boot, on the same database
 * All parts are strings; the last four are answered {}. Ends with status 1 at the first line that
 * is no command or has no answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cloud_ingest/ingest.h"
#include "cloud_ingest/store_read.h"
#include "common/gzip.h"
#include "common/json_read.h"

#define ARGS 4

struct cloud {
    struct sb_link link;
    struct sb_gzip *gzip;
    struct sb_rng rng;
    struct tables *tables;
    struct ingest_config config;
    struct store *store;
    struct ingest *ingest;
    struct sb_now now;
    bool held;
    size_t asked, told; /* messages that want an answer, and answers */
    struct sb_buf reply;
    struct sb_buf arg[ARGS];
};

static void die(const char *what)
{
    fprintf(stderr, "cloud_lines: %s\n", what);
    exit(1);
}

/* Batches and requests are answered there; everything else is left out. */
static int print_reply(struct sb_link *link, const struct sb_link_message *message, uint32_t *token,
                       struct sb_err *err)
{
    struct cloud *cloud = (struct cloud *)((char *)link - offsetof(struct cloud, link));
    size_t len = strlen(message->topic);

    if (token != NULL)
        *token = 1;
    if (len < 6 || strcmp(message->topic + len - 6, "/reply") != 0)
        return 0;
    sb_buf_clear(&cloud->reply);
    if (sb_gzip_unpack(cloud->gzip, message->payload, 64 << 20, &cloud->reply, err) != 0)
        die(err->msg);
    fwrite(cloud->reply.data, 1, cloud->reply.len, stdout);
    putchar('\n');
    cloud->told++;
    return 0;
}

static void drop_link(struct sb_link *link)
{
    (void)link;
}

/* ---- commands ---- */

static const char *text_of(struct cloud *cloud, size_t i)
{
    return cloud->arg[i].data;
}

static void flush(struct cloud *cloud)
{
    struct sb_err err;

    if (ingest_flush(cloud->ingest, cloud->now, &err) != 0)
        die(err.msg);
    if (cloud->told != cloud->asked)
        die("no answer");
}

static void send_message(struct cloud *cloud, const char *topic, const struct sb_buf *json)
{
    struct sb_link_event event = {.kind = SB_LINK_MESSAGE, .payload = *json};

    event.topic = sb_xstrdup(topic);
    cloud->asked++;
    ingest_event(cloud->ingest, &event, cloud->now);
    free(event.topic);
    if (!cloud->held)
        flush(cloud);
}

static void send_batch(struct cloud *cloud)
{
    char topic[SB_TOPIC_MAX];
    struct sb_err err;

    if (store_grant(cloud->store, text_of(cloud, 1), text_of(cloud, 2), 1, &err) != 0)
        die(err.msg);
    sb_topic_up(topic, text_of(cloud, 1), SB_UP_RECORDS);
    send_message(cloud, topic, &cloud->arg[3]);
}

static void send_request(struct cloud *cloud)
{
    const char *who = text_of(cloud, 1);
    char topic[SB_TOPIC_MAX];

    if (who[0] == '_')
        snprintf(topic, sizeof(topic), "sb/v1/admin/%s/req", who);
    else
        sb_topic_up(topic, who, SB_UP_CTL);
    send_message(cloud, topic, &cloud->arg[2]);
}

static void start(struct cloud *cloud)
{
    struct sb_link_event up = {.kind = SB_LINK_UP};
    struct sb_err err;

    if (ingest_new(&cloud->config, cloud->store, NULL, &cloud->link, &cloud->rng, cloud->now,
                   &cloud->ingest, &err) != 0)
        die(err.msg);
    ingest_event(cloud->ingest, &up, cloud->now);
}

static void purge(struct cloud *cloud)
{
    cloud->now.wall_us += 2000;
    cloud->now.mono_ms += 3600000;
    ingest_tidy(cloud->ingest, cloud->now);
}

/* Those that are answered {}. */
static bool run_plain(struct cloud *cloud, const char *name)
{
    if (strcmp(name, "hold") == 0) {
        cloud->held = true;
    } else if (strcmp(name, "flush") == 0) {
        cloud->held = false;
        flush(cloud);
    } else if (strcmp(name, "purge") == 0) {
        purge(cloud);
    } else if (strcmp(name, "restart") == 0) {
        ingest_free(cloud->ingest);
        start(cloud);
    } else {
        return false;
    }
    puts("{}");
    return true;
}

static void run_line(struct cloud *cloud, struct sb_span line)
{
    struct sb_json_iter iter;
    struct sb_span list, value;
    size_t count = 0;

    if (sb_json_check(line, &sb_down_limits, &list, NULL) != 0 ||
        sb_json_type_of(list) != SB_JSON_ARRAY)
        die("not a command");
    sb_json_iter_init(&iter, list);
    while (count < ARGS && sb_json_next_element(&iter, &value)) {
        sb_buf_clear(&cloud->arg[count]);
        sb_buf_add_str(&cloud->arg[count], "");
        sb_json_unescape(value, &cloud->arg[count++]);
    }
    if (count == 4 && strcmp(text_of(cloud, 0), "batch") == 0)
        send_batch(cloud);
    else if (count == 3 && strcmp(text_of(cloud, 0), "ask") == 0)
        send_request(cloud);
    else if (count != 1 || !run_plain(cloud, text_of(cloud, 0)))
        die("not a command");
}

/* ---- life ---- */

static struct tables *make_tables(const char *policy_name)
{
    struct tables *tables = tables_new();
    enum sb_policy policy;

    if (!sb_policy_parse(sb_span_of(policy_name), &policy) ||
        tables_declare(tables, "docs", policy, NULL) != 0 ||
        tables_declare(tables, SB_TABLE_SETTINGS, policy, NULL) != 0)
        die("no such policy");
    return tables;
}

static void open_cloud(struct cloud *cloud, const char *policy)
{
    const struct store_options options = {.mode = STORE_OWN, .volatile_ok = true};
    struct sb_err err;

    cloud->tables = make_tables(policy);
    ingest_config_default(&cloud->config);
    cloud->config.tables = cloud->tables;
    cloud->config.tombstone_ms = 1;
    cloud->link = (struct sb_link){.publish = print_reply, .drop = drop_link};
    cloud->gzip = sb_gzip_new(1);
    cloud->now = (struct sb_now){.mono_ms = 1000000, .wall_us = 1767323045000000};
    sb_rng_seed(&cloud->rng, 1);
    if (store_open(":memory:", &options, &cloud->store, &err) != 0)
        die(err.msg);
    start(cloud);
}

static void close_cloud(struct cloud *cloud)
{
    ingest_free(cloud->ingest);
    store_close(cloud->store);
    tables_free(cloud->tables);
    sb_gzip_free(cloud->gzip);
    sb_buf_free(&cloud->reply);
    for (size_t i = 0; i < ARGS; i++)
        sb_buf_free(&cloud->arg[i]);
}

int main(int argc, char **argv)
{
    struct cloud cloud = {.held = false};
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;

    if (argc != 2)
        die("usage: cloud_lines POLICY");
    open_cloud(&cloud, argv[1]);
    while ((len = getline(&line, &cap, stdin)) > 0) {
        run_line(&cloud, (struct sb_span){line, (size_t)len});
        fflush(stdout);
    }
    free(line);
    close_cloud(&cloud);
    return 0;
}
