#include "cloud_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/gzip.h"
#include "common/log.h"

static struct kit *kit_of(struct sb_link *link)
{
    return (struct kit *)((char *)link - offsetof(struct kit, link));
}

static int record(struct sb_link *link, const struct sb_link_message *message, uint32_t *token,
                  struct sb_err *err)
{
    struct kit *kit = kit_of(link);
    struct sent *sent;

    if (token != NULL)
        *token = (uint32_t)kit->count + 1;
    if (kit->publish_result != 0)
        return sb_fail(err, (enum sb_code) - kit->publish_result, "link");
    kit->sent = sb_xrealloc(kit->sent, (kit->count + 1) * sizeof(*kit->sent));
    sent = &kit->sent[kit->count++];
    *sent = (struct sent){.retain = message->retain, .qos = message->qos};
    sent->expiry_s = message->expiry_s;
    snprintf(sent->topic, sizeof(sent->topic), "%s", message->topic);
    assert_int_equal(message->gzip, sb_gzip_is(message->payload));
    assert_int_equal(sb_gzip_unpack(kit->gzip, message->payload, 64 << 20, &sent->payload, err), 0);
    sb_buf_add_span(&sent->correlation, message->correlation);
    sb_buf_add_str(&sent->correlation, "");
    return 0;
}

static void drop_link(struct sb_link *link)
{
    (void)link;
}

static struct tables *make_tables(enum sb_policy policy)
{
    static const char *const names[] = {"settings", "projects", "contents"};
    struct tables *tables = tables_new();

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_int_equal(tables_declare(tables, names[i], policy, NULL), 0);
    assert_int_equal(tables_add(tables,
                                SB_SPAN("{\"table\":\"contents\",\"arrays\":{\"/nodes\":\"id\"}}"),
                                NULL, NULL),
                     0);
    return tables;
}

void kit_policy(struct kit *kit, enum sb_policy policy)
{
    kit_stop(kit);
    tables_free(kit->tables);
    kit->tables = make_tables(policy);
    kit_start(kit);
}

void kit_start(struct kit *kit)
{
    const struct store_options options = {
        .mode = STORE_OWN, .busy_timeout_ms = 50, .mappings = kit->mappings};
    struct sb_link_event up = {.kind = SB_LINK_UP};
    struct sb_err err = {0};

    kit->config.tables = kit->tables;
    if (store_open(kit->path, &options, &kit->store, &err) != 0)
        fail_msg("store_open: %s", err.msg);
    if (ingest_new(&kit->config, kit->store, kit->mappings, &kit->link, &kit->rng, kit->now,
                   &kit->ingest, &err) != 0)
        fail_msg("ingest_new: %s", err.msg);
    ingest_event(kit->ingest, &up, kit->now);
}

void kit_stop(struct kit *kit)
{
    ingest_free(kit->ingest);
    store_close(kit->store);
    kit->ingest = NULL;
    kit->store = NULL;
}

void kit_restart(struct kit *kit)
{
    kit_stop(kit);
    kit_start(kit);
}

int kit_setup(void **state)
{
    struct kit *kit = sb_xcalloc(1, sizeof(*kit));
    const char *source = getenv("SB_SOURCE_DIR");
    struct sb_err err = {0};
    char folder[512];

    sb_log_init("test", SB_LOG_BUG, false);
    snprintf(kit->folder, sizeof(kit->folder), "/tmp/sb-cloud-XXXXXX");
    if (mkdtemp(kit->folder) == NULL)
        return -1;
    snprintf(kit->path, sizeof(kit->path), "%s/cloud.db", kit->folder);
    snprintf(folder, sizeof(folder), "%s/cloud_ingest/mappings", source != NULL ? source : ".");
    kit->mappings = mapping_set_new();
    if (mapping_set_load(kit->mappings, folder, &err) != 0)
        fail_msg("mappings: %s", err.msg);
    kit->tables = make_tables(SB_POLICY_MERGE);
    kit->link = (struct sb_link){.publish = record, .drop = drop_link};
    kit->gzip = sb_gzip_new(1);
    sb_rng_seed(&kit->rng, 7);
    kit->now = (struct sb_now){.mono_ms = 1000000, .wall_us = 1767323045000000};
    ingest_config_default(&kit->config);
    kit->device = "edge-001";
    kit->boot = "";
    snprintf(kit->epoch, sizeof(kit->epoch), "00000000000000e1");
    kit_start(kit);
    *state = kit;
    return 0;
}

static void remove_files(const struct kit *kit)
{
    static const char *const ends[] = {"", "-wal", "-shm", ".old", ".old-wal", ".old-shm"};
    char path[160];

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        snprintf(path, sizeof(path), "%s%s", kit->path, ends[i]);
        unlink(path);
    }
    rmdir(kit->folder);
}

int kit_teardown(void **state)
{
    struct kit *kit = *state;

    kit_stop(kit);
    mapping_set_free(kit->mappings);
    tables_free(kit->tables);
    for (size_t i = 0; i < kit->count; i++) {
        sb_buf_free(&kit->sent[i].payload);
        sb_buf_free(&kit->sent[i].correlation);
    }
    free(kit->sent);
    sb_reply_free(&kit->reply);
    sb_gzip_free(kit->gzip);
    remove_files(kit);
    free(kit);
    return 0;
}

/* ---- the database ---- */

static sqlite3 *open_own(struct kit *kit)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(kit->path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 1000);
    return db;
}

int64_t kit_count(struct kit *kit, const char *sql)
{
    sqlite3 *db = open_own(kit);
    sqlite3_stmt *stmt = NULL;
    int64_t count;

    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    count = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return count;
}

void kit_sql(struct kit *kit, const char *sql)
{
    sqlite3 *db = open_own(kit);
    char *why = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s: %s", sql, why);
    sqlite3_close(db);
}

void kit_grant(struct kit *kit, const char *user)
{
    struct sb_buf sql = {0};

    sb_buf_add_fmt(&sql, "INSERT INTO bindings (device, user, granted_ms) VALUES ('%s', '%s', 1)",
                   kit->device, user);
    kit_sql(kit, sql.data);
    sb_buf_free(&sql);
}

/* ---- in ---- */

void kit_message(struct kit *kit, const char *class, const char *correlation, const char *json)
{
    struct sb_link_event event = {.kind = SB_LINK_MESSAGE};
    char topic[SB_TOPIC_MAX];

    snprintf(topic, sizeof(topic), "sb/v1/up/%02x/%s/%s", sb_bucket_of(sb_span_of(kit->device)),
             kit->device, class);
    event.topic = sb_xstrdup(topic);
    sb_buf_add_str(&event.payload, json);
    sb_buf_add_str(&event.correlation, correlation);
    ingest_event(kit->ingest, &event, kit->now);
    sb_link_event_fini(&event);
}

void kit_flush(struct kit *kit)
{
    struct sb_err err = {0};

    kit->now.mono_ms += 10;
    kit->now.wall_us += 10000;
    assert_int_equal(ingest_flush(kit->ingest, kit->now, &err), 0);
}

static void batch(struct kit *kit, const char *stream, uint64_t first, uint64_t last,
                  const char *body, va_list args)
{
    struct sb_buf json = {0};
    char class[16], *text = NULL;

    assert_true(vasprintf(&text, body, args) >= 0);
    snprintf(class, sizeof(class), "%.*s", (int)strcspn(stream, "/"), stream);
    sb_buf_add_fmt(&json,
                   "{\"v\":1,\"batch_id\":\"01930000-0000-7000-8000-%012llx\",\"device\":\"%s\",",
                   (unsigned long long)++kit->batches, kit->device);
    if (kit->boot[0] != '\0')
        sb_buf_add_fmt(&json, "\"boot\":\"%s\",", kit->boot);
    sb_buf_add_fmt(&json, "\"epoch\":\"%s\",\"stream\":\"%s\",\"first_seq\":%llu,", kit->epoch,
                   stream, (unsigned long long)first);
    sb_buf_add_fmt(&json, "\"last_seq\":%llu,\"sent_at\":\"2026-01-02T03:04:05Z\",",
                   (unsigned long long)last);
    sb_buf_add_str(&json, text);
    free(text);
    sb_buf_add_char(&json, '}');
    kit_message(kit, class, "", json.data);
    sb_buf_free(&json);
}

void kit_batch(struct kit *kit, const char *stream, uint64_t first, uint64_t last, const char *body,
               ...)
{
    va_list args;

    va_start(args, body);
    batch(kit, stream, first, last, body, args);
    va_end(args);
}

/* ---- out ---- */

static bool is_ack(const struct sent *sent)
{
    return strstr(sent->topic, "/down/") != NULL &&
           strstr(sent->payload.data, "\"kind\":\"ack\"") != NULL;
}

struct sb_reply *kit_reply(struct kit *kit)
{
    struct sb_err err = {0};

    while (kit->read_to < kit->count && !is_ack(&kit->sent[kit->read_to]))
        kit->read_to++;
    if (kit->read_to == kit->count)
        fail_msg("no reply was published");
    sb_reply_free(&kit->reply);
    if (sb_reply_decode(sb_buf_span(&kit->sent[kit->read_to].payload), &kit->reply, &err) != 0)
        fail_msg("reply: %s: %s", err.msg, kit->sent[kit->read_to].payload.data);
    kit->read_to++;
    return &kit->reply;
}

struct sb_reply *kit_ask(struct kit *kit, const char *stream, uint64_t first, uint64_t last,
                         const char *body, ...)
{
    va_list args;

    va_start(args, body);
    batch(kit, stream, first, last, body, args);
    va_end(args);
    kit_flush(kit);
    return kit_reply(kit);
}

size_t kit_published(struct kit *kit, const char *text)
{
    size_t count = 0;

    for (size_t i = 0; i < kit->count; i++)
        count += strstr(kit->sent[i].topic, text) != NULL ||
                 strstr(kit->sent[i].payload.data, text) != NULL;
    return count;
}

const struct sent *kit_last(struct kit *kit, const char *text)
{
    for (size_t i = kit->count; i > 0; i--)
        if (strstr(kit->sent[i - 1].topic, text) != NULL ||
            strstr(kit->sent[i - 1].payload.data, text) != NULL)
            return &kit->sent[i - 1];
    fail_msg("nothing published has %s", text);
    return NULL;
}

void kit_expect(const struct sb_reply *reply, enum sb_result result, uint64_t accepted,
                uint64_t duplicates, uint64_t revised, uint64_t rejected, uint64_t conflicts)
{
    uint64_t numbers = 0;

    for (size_t i = 0; i < reply->rejected_count; i++)
        numbers += reply->rejected[i].hi - reply->rejected[i].lo + 1;
    if (reply->result != result)
        fail_msg("result %s, code %s: %s", sb_result_name(reply->result), sb_code_name(reply->code),
                 reply->reason);
    assert_int_equal(reply->accepted, accepted);
    assert_int_equal(reply->duplicates, duplicates);
    assert_int_equal(reply->revised, revised);
    assert_int_equal(numbers, rejected);
    assert_int_equal(reply->conflict_count, conflicts);
}
