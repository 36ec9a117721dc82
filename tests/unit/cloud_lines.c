/* The cloud's operations on documents as a filter, for a test that compares them with another
 * implementation: an ingest on a database in memory, one line of stdin a batch of one operation,
 * one line of stdout its reply. cloud_lines POLICY
 *   ["op",DEVICE,USER,SEQ,OP_ID,HLC,TABLE,ID,BASE,DATA]  all strings; BASE JSON text; DATA JSON
 * text or "" (a delete)
 *   ["purge"]                                            every tombstone goes; prints {}
 * Ends with status 1 at the first line that is no command or has no reply. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cloud_ingest/ingest.h"
#include "cloud_ingest/store_read.h"
#include "common/gzip.h"
#include "common/json_read.h"

#define ARGS 10

struct cloud {
    struct sb_link link;
    struct sb_gzip *gzip;
    struct store *store;
    struct ingest *ingest;
    struct sb_now now;
    struct sb_buf reply, json;
    struct sb_buf arg[ARGS];
    uint64_t batches;
};

static void die(const char *what)
{
    fprintf(stderr, "cloud_lines: %s\n", what);
    exit(1);
}

static int keep_reply(struct sb_link *link, const struct sb_link_message *message, uint32_t *token,
                      struct sb_err *err)
{
    struct cloud *cloud = (struct cloud *)((char *)link - offsetof(struct cloud, link));
    size_t len = strlen(message->topic);

    if (token != NULL)
        *token = 1;
    if (len < 6 || strcmp(message->topic + len - 6, "/reply") != 0)
        return 0;
    sb_buf_clear(&cloud->reply);
    return sb_gzip_unpack(cloud->gzip, message->payload, 64 << 20, &cloud->reply, err);
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

static void send_op(struct cloud *cloud)
{
    struct sb_buf *json = &cloud->json;
    char topic[SB_TOPIC_MAX];
    struct sb_link_event event = {.kind = SB_LINK_MESSAGE, .topic = topic};
    struct sb_err err;
    bool deletes = cloud->arg[9].len == 0;

    if (store_grant(cloud->store, text_of(cloud, 1), text_of(cloud, 2), 1, &err) != 0)
        die(err.msg);
    sb_buf_clear(json);
    sb_buf_add_fmt(json,
                   "{\"v\":1,\"batch_id\":\"01930000-0000-7000-8000-%012llu\",\"device\":\"%s\","
                   "\"epoch\":\"00000000000000e1\",\"stream\":\"records/%s\",\"first_seq\":%s,"
                   "\"last_seq\":%s,\"sent_at\":\"2026-01-01T00:00:00Z\",",
                   (unsigned long long)++cloud->batches, text_of(cloud, 1), text_of(cloud, 2),
                   text_of(cloud, 3), text_of(cloud, 3));
    sb_buf_add_fmt(json,
                   "\"records\":[{\"op_id\":\"%s\",\"hlc\":\"%s\",\"table\":\"%s\",\"id\":\"%s\","
                   "\"operation\":\"%s\",\"base\":%s%s%s}]}",
                   text_of(cloud, 4), text_of(cloud, 5), text_of(cloud, 6), text_of(cloud, 7),
                   deletes ? "delete" : "update", text_of(cloud, 8),
                   deletes ? "" : ",\"data\":", text_of(cloud, 9));
    sb_topic_up(topic, text_of(cloud, 1), SB_UP_RECORDS);
    event.payload = *json;
    ingest_event(cloud->ingest, &event, cloud->now);
    if (ingest_flush(cloud->ingest, cloud->now, &err) != 0)
        die(err.msg);
}

static void run_line(struct cloud *cloud, struct sb_span line)
{
    struct sb_json_iter iter;
    struct sb_span list, value;
    size_t count = 0;

    if (sb_json_check(line, &sb_wire_limits, &list, NULL) != 0 ||
        sb_json_type_of(list) != SB_JSON_ARRAY)
        die("not a command");
    sb_json_iter_init(&iter, list);
    while (count < ARGS && sb_json_next_element(&iter, &value)) {
        sb_buf_clear(&cloud->arg[count]);
        sb_buf_add_str(&cloud->arg[count], "");
        sb_json_unescape(value, &cloud->arg[count++]);
    }
    sb_buf_clear(&cloud->reply);
    if (count == ARGS && strcmp(text_of(cloud, 0), "op") == 0) {
        send_op(cloud);
    } else if (count == 1 && strcmp(text_of(cloud, 0), "purge") == 0) {
        cloud->now.wall_us += 2000;
        cloud->now.mono_ms += 3600000;
        ingest_tidy(cloud->ingest, cloud->now);
        sb_buf_add_str(&cloud->reply, "{}");
    }
    if (cloud->reply.len == 0)
        die("no reply");
    fwrite(cloud->reply.data, 1, cloud->reply.len, stdout);
    putchar('\n');
}

/* ---- life ---- */

static struct tables *make_tables(const char *policy_name)
{
    struct tables *tables = tables_new();
    enum sb_policy policy;

    if (!sb_policy_parse(sb_span_of(policy_name), &policy) ||
        tables_declare(tables, "docs", policy, NULL) != 0)
        die("no such policy");
    return tables;
}

static void start(struct cloud *cloud, const struct tables *tables, struct sb_rng *rng)
{
    const struct store_options options = {.mode = STORE_OWN, .volatile_ok = true};
    struct sb_link_event up = {.kind = SB_LINK_UP};
    struct ingest_config config;
    struct sb_err err;

    ingest_config_default(&config);
    config.tables = tables;
    config.tombstone_ms = 1;
    cloud->link = (struct sb_link){.publish = keep_reply, .drop = drop_link};
    cloud->gzip = sb_gzip_new(1);
    cloud->now = (struct sb_now){.mono_ms = 1000000, .wall_us = 1767323045000000};
    sb_rng_seed(rng, 1);
    if (store_open(":memory:", &options, &cloud->store, &err) != 0 ||
        ingest_new(&config, cloud->store, NULL, &cloud->link, rng, cloud->now, &cloud->ingest,
                   &err) != 0)
        die(err.msg);
    ingest_event(cloud->ingest, &up, cloud->now);
}

int main(int argc, char **argv)
{
    struct cloud cloud = {.batches = 0};
    struct tables *tables;
    struct sb_rng rng;
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;

    if (argc != 2)
        die("usage: cloud_lines POLICY");
    tables = make_tables(argv[1]);
    start(&cloud, tables, &rng);
    while ((len = getline(&line, &cap, stdin)) > 0)
        run_line(&cloud, (struct sb_span){line, (size_t)len});
    free(line);
    ingest_free(cloud.ingest);
    store_close(cloud.store);
    tables_free(tables);
    sb_gzip_free(cloud.gzip);
    sb_buf_free(&cloud.reply);
    sb_buf_free(&cloud.json);
    for (size_t i = 0; i < ARGS; i++)
        sb_buf_free(&cloud.arg[i]);
    return 0;
}
