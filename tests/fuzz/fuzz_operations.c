/* Operations on documents: whatever the records of a batch are, an ingest answers it, a repeat gets
 * the same answer, another device's copy is merged or told why not, and verify finds nothing. */
#include <stdio.h>
#include <string.h>

#include "cloud_ingest/audit.h"
#include "cloud_ingest/ingest.h"
#include "cloud_ingest/store_read.h"
#include "common/check.h"
#include "common/gzip.h"
#include "common/json_read.h"
#include "common/log.h"

#define RUNS 200 /* on one database */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct cloud {
    struct sb_link link;
    struct sb_gzip *gzip;
    struct tables *tables;
    struct store *store;
    struct ingest *ingest;
    struct sb_rng rng;
    struct sb_now now;
    struct sb_buf json, reply;
    int runs;
    uint64_t batches;
} cloud;

static int keep_reply(struct sb_link *link, const struct sb_link_message *message, uint32_t *token,
                      struct sb_err *err)
{
    (void)link;
    if (token != NULL)
        *token = 1;
    if (strstr(message->topic, "/reply") == NULL)
        return 0;
    sb_buf_clear(&cloud.reply);
    return sb_gzip_unpack(cloud.gzip, message->payload, 64 << 20, &cloud.reply, err);
}

static void drop_link(struct sb_link *link)
{
    (void)link;
}

/* ---- a database for some runs ---- */

/* One table per policy, "a" to "e". */
static struct tables *make_tables(void)
{
    struct tables *tables = tables_new();
    char name[2] = "a";

    for (int policy = SB_POLICY_MERGE; policy <= SB_POLICY_MANUAL; policy++, name[0]++)
        SB_CHECK(tables_declare(tables, name, (enum sb_policy)policy, NULL) == 0);
    SB_CHECK(tables_add(tables, SB_SPAN("{\"table\":\"b\",\"arrays\":{\"/n\":\"id\"}}"), NULL,
                        NULL) == 0);
    return tables;
}

static void start(void)
{
    const struct store_options options = {.mode = STORE_OWN, .volatile_ok = true};
    struct sb_link_event up = {.kind = SB_LINK_UP};
    struct ingest_config config;

    if (cloud.tables == NULL) {
        sb_log_init("fuzz", SB_LOG_BUG, false);
        cloud.tables = make_tables();
        cloud.gzip = sb_gzip_new(1);
        cloud.link = (struct sb_link){.publish = keep_reply, .drop = drop_link};
        cloud.now = (struct sb_now){.mono_ms = 1000000, .wall_us = 1767323045000000};
        sb_rng_seed(&cloud.rng, 1);
    }
    ingest_config_default(&config);
    config.tables = cloud.tables;
    SB_CHECK(store_open(":memory:", &options, &cloud.store, NULL) == 0);
    SB_CHECK(ingest_new(&config, cloud.store, NULL, &cloud.link, &cloud.rng, cloud.now,
                        &cloud.ingest, NULL) == 0);
    ingest_event(cloud.ingest, &up, cloud.now);
}

static void stop(void)
{
    struct audit_figures figures;

    SB_CHECK(audit_run(cloud.store, NULL, NULL, NULL, &figures, NULL) == 0);
    SB_CHECK(audit_clean(&figures));
    ingest_free(cloud.ingest);
    store_close(cloud.store);
    cloud.ingest = NULL;
    cloud.runs = 0;
}

/* ---- one batch ---- */

/* How many records the text between the brackets is, 1 where it is no JSON. */
static size_t count_of(struct sb_span records)
{
    struct sb_span list;
    size_t count = 1;

    sb_buf_clear(&cloud.json);
    sb_buf_add_char(&cloud.json, '[');
    sb_buf_add_span(&cloud.json, records);
    sb_buf_add_char(&cloud.json, ']');
    if (sb_json_check(sb_buf_span(&cloud.json), &sb_wire_limits, &list, NULL) == 0)
        count = sb_json_count(list);
    return count > 0 ? count : 1;
}

static void send_batch(const char *device, const char *stream, struct sb_span records,
                       struct sb_reply *reply)
{
    size_t count = count_of(records);
    char topic[SB_TOPIC_MAX];
    struct sb_link_event event = {.kind = SB_LINK_MESSAGE, .topic = topic};
    struct sb_stream place;

    SB_CHECK(sb_stream_parse(sb_span_of(stream), &place, NULL) == 0);
    SB_CHECK(store_grant(cloud.store, device, place.name, 1, NULL) == 0);
    sb_buf_clear(&cloud.json);
    sb_buf_add_fmt(&cloud.json,
                   "{\"v\":1,\"batch_id\":\"01930000-0000-7000-8000-%012llu\",\"device\":\"%s\","
                   "\"epoch\":\"00000000000000e1\",\"stream\":\"%s\",\"first_seq\":1,"
                   "\"last_seq\":%zu,\"sent_at\":\"2026-01-01T00:00:00Z\",\"records\":[",
                   (unsigned long long)++cloud.batches, device, stream, count);
    sb_buf_add_span(&cloud.json, records);
    sb_buf_add_str(&cloud.json, "]}");
    sb_topic_up(topic, device, place.class);
    event.payload = cloud.json;
    sb_buf_clear(&cloud.reply);
    ingest_event(cloud.ingest, &event, cloud.now);
    SB_CHECK(ingest_flush(cloud.ingest, cloud.now, NULL) == 0);
    SB_CHECK(cloud.reply.len > 0);
    SB_CHECK(sb_reply_decode(sb_buf_span(&cloud.reply), reply, NULL) == 0);
}

static uint64_t version_at(const struct sb_reply *reply, uint64_t seq)
{
    for (size_t i = 0; i < reply->version_count; i++)
        if (reply->versions[i].seq == seq)
            return reply->versions[i].version;
    return 0;
}

static const struct sb_conflict *conflict_at(const struct sb_reply *reply, uint64_t seq)
{
    for (size_t i = 0; i < reply->conflict_count; i++)
        if (reply->conflicts[i].seq == seq)
            return &reply->conflicts[i];
    return NULL;
}

/* A repeat adds nothing, and every outcome is the one of the first time. (A number that was
 * rejected may have another one by now, where its op_id was good under a later number.) */
static void expect_again(const struct sb_reply *first, const struct sb_reply *again)
{
    SB_CHECK(again->accepted == 0);
    for (size_t i = 0; i < first->version_count; i++)
        SB_CHECK(version_at(again, first->versions[i].seq) == first->versions[i].version);
    for (size_t i = 0; i < first->conflict_count; i++) {
        const struct sb_conflict *same = conflict_at(again, first->conflicts[i].seq);

        SB_CHECK(same != NULL && sb_span_eq(sb_buf_span(&same->pointers),
                                            sb_buf_span(&first->conflicts[i].pointers)));
    }
}

static void try_stream(const char *class, struct sb_span records)
{
    struct sb_reply first, again, other;
    char stream[SB_STREAM_MAX + 1];

    snprintf(stream, sizeof(stream), "%s/u%d", class, cloud.runs);
    send_batch("edge-1", stream, records, &first);
    send_batch("edge-1", stream, records, &again);
    if (first.result != SB_RESULT_RETRY && first.first_seq != 0)
        expect_again(&first, &again);
    send_batch("edge-2", stream, records, &other);
    sb_reply_free(&first);
    sb_reply_free(&again);
    sb_reply_free(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sb_span records = {(const char *)data, size};

    if (cloud.ingest == NULL)
        start();
    try_stream("records", records);
    try_stream("settings", records);
    if (++cloud.runs == RUNS)
        stop();
    return 0;
}
