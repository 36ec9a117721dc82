#include "ingest.h"

#include <stdlib.h>
#include <string.h>

#include "apply.h"
#include "boots.h"
#include "common/log.h"
#include "common/topic.h"
#include "consumer.h"
#include "group.h"
#include "limits.h"
#include "notify.h"
#include "replier.h"
#include "requests.h"
#include "store_requests.h"
#include "welcome.h"

#define PUMP_AGAIN_MS 50 /* a full link is tried again, should its PUBACK get lost */

struct ingest {
    struct ingest_config config;
    struct store *store;
    struct sb_link *link;
    struct sb_rng *rng;
    struct boots boots;
    struct stream_cache *cache;
    struct replier *replier;
    struct events *events;
    struct notifier *notifier;
    struct consumer *consumer;
    struct group *group;
    struct apply apply;
    struct tables *own_tables; /* where the configuration gives none */
    int64_t tidy_due_ms;       /* monotonic */
    struct sb_now now;
    bool up;
    bool presence_due;
    bool damaged; /* the database: the process should end */
    struct sb_buf json;
    struct ingest_counters counters;
};

void ingest_config_default(struct ingest_config *config)
{
    *config = (struct ingest_config){
        .n = 1,
        .auto_register = true,
        .tombstone_ms = INT64_C(365) * 86400 * 1000,
        .limits =
            {
                .max_batch_bytes = SB_BATCH_MAX_BYTES,
                .max_batch_records = SB_BATCH_MAX_RECORDS,
                .max_record_bytes = SB_RECORD_MAX_BYTES,
            },
        .group_rows = 10000,
        .group_bytes = 4 << 20,
        .group_ms = 0,
        .reply_bytes = 256 << 10,
        .page_bytes = SB_HELLO_PAGE_BYTES,
        .gzip_level = 1,
    };
}

/* ---- presence ---- */

void ingest_presence(const struct ingest *ingest, const char *state, struct sb_now now,
                     struct sb_buf *out)
{
    const struct sb_limits *limits = &ingest->config.limits;
    char at[SB_TIME_TEXT];

    sb_time_print(now.wall_us, at);
    sb_buf_add_fmt(out, "{\"v\":1,\"kind\":\"ingest\",\"state\":\"%s\",\"n\":%u,\"boot\":\"%s\"",
                   state, ingest->config.n, ingest->boots.id);
    sb_buf_add_fmt(out, ",\"buckets\":\"00-3f\",\"limits\":{\"max_batch_bytes\":%llu",
                   (unsigned long long)limits->max_batch_bytes);
    sb_buf_add_fmt(out, ",\"max_batch_records\":%llu,\"max_record_bytes\":%llu}",
                   (unsigned long long)limits->max_batch_records,
                   (unsigned long long)limits->max_record_bytes);
    sb_buf_add_fmt(out, ",\"version\":\"%s\",\"at\":\"%s\"}", SB_VERSION, at);
}

static int publish_presence(struct ingest *ingest, const char *state, struct sb_now now)
{
    char topic[SB_TOPIC_MAX];
    struct sb_link_message message = {.topic = topic, .retain = true, .qos = 1};
    struct sb_err err;

    sb_topic_ingest(topic, ingest->config.n);
    sb_buf_clear(&ingest->json);
    ingest_presence(ingest, state, now, &ingest->json);
    message.payload = sb_buf_span(&ingest->json);
    return ingest->link->publish(ingest->link, &message, NULL, &err);
}

/* Before any reply of that boot, so that the order on the wire is the natural one. */
static void pump(struct ingest *ingest, struct sb_now now)
{
    if (ingest->up && ingest->presence_due && publish_presence(ingest, "online", now) == 0)
        ingest->presence_due = false;
    replier_pump(ingest->replier);
}

void ingest_goodbye(struct ingest *ingest, struct sb_now now)
{
    publish_presence(ingest, "offline", now);
    ingest->presence_due = false;
}

/* ---- one message inside the transaction ---- */

static int commit_number(struct ingest *ingest, uint64_t *number, struct sb_err *err)
{
    return boots_number(&ingest->boots, ingest->store, number, err);
}

#define WORK_ROW_BYTES 4096 /* of documents count as one record of a transaction */

static int take_batch(struct ingest *ingest, const struct message *message,
                      const struct group_message *raw, size_t *rows, struct sb_err *err)
{
    struct apply *a = &ingest->apply;
    struct sb_reply reply;
    bool decided;
    int rc;

    sb_reply_init(&reply);
    rc = apply_batch(a, &message->batch, &reply, &decided, err);
    memcpy(reply.boot, ingest->boots.id, sizeof(reply.boot));
    if (rc == 0 && decided)
        rc = commit_number(ingest, &reply.commit, err);
    if (rc == 0) {
        a->tally.batches++;
        a->tally.retries += !decided;
        *rows = message->batch.record_count + a->spent / WORK_ROW_BYTES;
        replier_ack(ingest->replier, message->device, sb_buf_span(&raw->correlation), &reply,
                    decided && message->batch.form != SB_FORM_HOLE ? a->outcome : NULL);
    }
    sb_reply_free(&reply);
    return rc;
}

/* An ack without a range: for what is no batch, or could not be read as one. */
static void answer_unplaced(struct ingest *ingest, const char *device, const char *batch_id,
                            const struct group_message *raw, const struct sb_batch *batch,
                            enum sb_result result, enum sb_code code, const char *reason,
                            uint64_t commit)
{
    struct sb_reply reply;

    sb_reply_init(&reply);
    if (batch != NULL)
        apply_reply_head(&reply, batch, ingest->now);
    apply_retry(&reply, code, reason);
    memcpy(reply.boot, ingest->boots.id, sizeof(reply.boot));
    memcpy(reply.batch_id, batch_id, strlen(batch_id) + 1);
    reply.first_seq = reply.last_seq = 0;
    reply.server_time_us = ingest->now.wall_us;
    reply.result = result;
    reply.commit = commit;
    replier_ack(ingest->replier, device, sb_buf_span(&raw->correlation), &reply, NULL);
    sb_reply_free(&reply);
}

struct emit {
    struct ingest *ingest;
    char topic[SB_TOPIC_MAX];
    struct sb_span correlation;
    size_t bytes;
};

static void emit_part(void *ctx, struct sb_span json)
{
    struct emit *emit = ctx;

    emit->bytes += json.len;
    replier_json(emit->ingest->replier, emit->topic, emit->correlation, json);
}

#define ANSWER_ROW_BYTES 256 /* of answers and welcomes count as one record of a transaction */

static int take_hello(struct ingest *ingest, const struct message *message,
                      const struct group_message *raw, size_t *rows, struct sb_err *err)
{
    struct emit emit = {.ingest = ingest, .correlation = sb_buf_span(&raw->correlation)};
    struct sb_welcome welcome;
    enum sb_code code;
    int rc;

    sb_welcome_init(&welcome);
    rc = welcome_make(&ingest->apply, &message->hello, &welcome, &code, err);
    if (rc == 0 && code == SB_OK)
        rc = commit_number(ingest, &welcome.commit, err);
    if (rc != 0)
        goto free_welcome;
    ingest->apply.tally.hellos++;
    if (code != SB_OK) {
        answer_unplaced(ingest, message->device, message->hello.nonce, raw, NULL, SB_RESULT_RETRY,
                        code, apply_reason(code), 0);
        goto free_welcome;
    }
    memcpy(welcome.boot, ingest->boots.id, sizeof(welcome.boot));
    welcome.limits = ingest->config.limits;
    if (emit.correlation.len == 0)
        emit.correlation = sb_span_of(welcome.nonce);
    sb_topic_down(emit.topic, message->device, "reply");
    sb_welcome_encode(&welcome, ingest->config.page_bytes, emit_part, &emit);
    *rows = 1 + message->hello.claim_count + emit.bytes / ANSWER_ROW_BYTES;

free_welcome:
    sb_welcome_free(&welcome);
    return rc;
}

#define ANSWER_HEAD_BYTES 256 /* around the data of an answer */

static void encode_answer(struct ingest *ingest, struct request_outcome *outcome)
{
    memcpy(outcome->answer.boot, ingest->boots.id, sizeof(outcome->answer.boot));
    sb_buf_clear(&ingest->json);
    sb_answer_encode(&outcome->answer, &ingest->json);
}

static void send_answer(struct ingest *ingest, const struct message *message,
                        const struct group_message *raw, struct request_outcome *outcome)
{
    struct sb_span correlation = sb_buf_span(&raw->correlation);
    char topic[SB_TOPIC_MAX];

    if (message->operator_name[0] != '\0')
        sb_topic_admin_reply(topic, message->operator_name);
    else
        sb_topic_down(topic, message->device, "reply");
    if (correlation.len == 0)
        correlation = sb_span_of(outcome->answer.id);
    encode_answer(ingest, outcome);
    if (outcome->single) {
        if (replier_json_fits(ingest->replier, topic, correlation, sb_buf_span(&ingest->json)))
            return;
        requests_refuse(outcome, SB_ETOO_LARGE, "the document is beyond the broker's packet limit");
        encode_answer(ingest, outcome);
    }
    replier_json(ingest->replier, topic, correlation, sb_buf_span(&ingest->json));
}

/* Where a request could not be read or looked at. */
static void refuse_request(struct ingest *ingest, const struct message *message,
                           const struct group_message *raw, enum sb_code code, const char *reason)
{
    struct request_outcome outcome = {.wrote = false};

    memcpy(outcome.answer.id, message->request.id, sizeof(outcome.answer.id));
    requests_refuse(&outcome, code, reason);
    send_answer(ingest, message, raw, &outcome);
}

static int answer_request(struct ingest *ingest, const struct requester *who,
                          const struct sb_request *request, size_t max_bytes,
                          struct request_outcome *outcome, struct sb_err *err)
{
    int rc = requests_answer(&ingest->apply, who, request, max_bytes, outcome, err);

    if (rc == 0 && outcome->wrote)
        rc = commit_number(ingest, &outcome->answer.commit, err);
    if (rc == 0)
        ingest->apply.tally.requests++;
    return rc;
}

static int take_request(struct ingest *ingest, const struct message *message,
                        const struct group_message *raw, size_t *rows, struct sb_err *err)
{
    bool is_operator = message->operator_name[0] != '\0';
    const struct requester who = {
        .name = is_operator ? message->operator_name : message->device,
        .is_operator = is_operator,
    };
    struct request_outcome outcome = {.wrote = false};
    int rc = answer_request(ingest, &who, &message->request,
                            replier_bound(ingest->replier) - ANSWER_HEAD_BYTES, &outcome, err);

    if (rc == 0) {
        *rows = 1 + outcome.data.len / ANSWER_ROW_BYTES + ingest->apply.spent / WORK_ROW_BYTES;
        send_answer(ingest, message, raw, &outcome);
    }
    request_outcome_free(&outcome);
    return rc;
}

static void raise_quarantine(struct ingest *ingest, const struct message *message)
{
    struct sb_buf *members = &ingest->apply.members;

    if (message->device[0] == '\0')
        return;
    sb_buf_clear(members);
    sb_buf_add_fmt(members, "\"code\":\"%s\",\"reason\":", sb_code_name(message->code));
    sb_buf_add_json(members, sb_span_of(message->reason));
    events_raise(ingest->events, message->device, EVENT_QUARANTINE, ingest->now,
                 sb_buf_span(members));
}

/* What cannot be parsed or placed is kept with its reason, and answered where there is an address.
 * What only breaks a limit is answered retry: the device splits it. */
static int take_refused(struct ingest *ingest, const struct message *message,
                        const struct group_message *raw, struct sb_err *err)
{
    enum sb_code code = message->code;
    enum sb_result result = SB_RESULT_RETRY;
    const char *reason = message->reason;
    struct sb_err why = {.code = SB_OK};
    uint64_t commit = 0;
    int rc = 0;

    ingest->apply.tally.refused++;
    if (message->operator_name[0] != '\0') { /* it is told; nothing of a device's is at stake */
        refuse_request(ingest, message, raw, code, reason);
        return 0;
    }
    if (sb_code_class(code) != SB_RETRY) {
        result = SB_RESULT_REJECTED;
        rc = store_quarantine_add(ingest->store, message->device, sb_span_of(raw->topic),
                                  sb_buf_span(&raw->payload), code, reason, ingest->apply.now_ms,
                                  &why);
        if (rc == 0)
            rc = commit_number(ingest, &commit, &why);
        if (rc == 0)
            raise_quarantine(ingest, message);
    }
    if (rc == -SB_ELIMIT) { /* its quarantine is full: nothing was kept, so nothing is rejected */
        result = SB_RESULT_RETRY;
        code = SB_ELIMIT;
        reason = why.msg;
        rc = 0;
    }
    if (rc != 0)
        return sb_fail(err, why.code, "%s", why.msg);
    if (message->device[0] != '\0')
        answer_unplaced(ingest, message->device, message->batch_id, raw, &message->batch, result,
                        code, reason, commit);
    return 0;
}

/* ---- the group's hooks ---- */

static int on_begin(void *ctx, struct sb_err *err)
{
    struct ingest *ingest = ctx;
    int rc = store_begin(ingest->store, err);

    ingest->apply.now = ingest->now;
    ingest->apply.now_ms = ingest->now.wall_us / 1000;
    ingest->apply.boot = ingest->boots.id;
    ingest->apply.tally = (struct ingest_counters){0};
    written_clear(&ingest->apply.written);
    if (rc == 0)
        rc = boots_check(&ingest->boots, ingest->store, err);
    return rc == 0 ? stream_cache_begin(ingest->cache, err) : rc;
}

static int on_apply(void *ctx, const struct group_message *raw, size_t *rows, struct sb_err *err)
{
    struct ingest *ingest = ctx;
    const struct message *message =
        consumer_read(ingest->consumer, sb_span_of(raw->topic), sb_buf_span(&raw->payload),
                      sb_buf_span(&raw->correlation));

    switch (message->kind) {
    case MESSAGE_BATCH:
        return take_batch(ingest, message, raw, rows, err);
    case MESSAGE_HELLO:
        return take_hello(ingest, message, raw, rows, err);
    case MESSAGE_REQUEST:
        return take_request(ingest, message, raw, rows, err);
    case MESSAGE_REFUSED:
        break;
    }
    return take_refused(ingest, message, raw, err);
}

static void add_tally(struct ingest_counters *to, const struct ingest_counters *from)
{
    to->batches += from->batches;
    to->hellos += from->hellos;
    to->requests += from->requests;
    to->refused += from->refused;
    to->accepted += from->accepted;
    to->duplicates += from->duplicates;
    to->revised += from->revised;
    to->rejected += from->rejected;
    to->conflicts += from->conflicts;
    to->holes += from->holes;
    to->branched += from->branched;
    to->retries += from->retries;
}

static int on_commit(void *ctx, struct sb_err *err)
{
    struct ingest *ingest = ctx;
    int rc = stream_cache_flush(ingest->cache, ingest->apply.now_ms, err);

    if (rc == 0)
        rc = store_commit(ingest->store, err);
    if (rc != 0)
        return rc;
    boots_committed(&ingest->boots);
    add_tally(&ingest->counters, &ingest->apply.tally);
    return 0;
}

static void on_undo(void *ctx)
{
    struct ingest *ingest = ctx;

    store_rollback(ingest->store);
    stream_cache_forget(ingest->cache);
    boots_undone(&ingest->boots);
    replier_stage_discard(ingest->replier);
    written_clear(&ingest->apply.written);
}

static void on_done(void *ctx)
{
    struct ingest *ingest = ctx;

    replier_stage_done(ingest->replier);
    pump(ingest, ingest->now);
    if (ingest->up)
        notifier_tell(ingest->notifier, &ingest->apply.written);
    written_clear(&ingest->apply.written);
}

/* The database may be older than this program's tables. One that cannot be served at all is an end,
 * as it is at the start: no batch is to blame for it. */
static int fit_database(struct ingest *ingest, struct sb_err *err)
{
    struct sb_err why;
    int rc = store_refit(ingest->store, &why);

    if (rc == 0)
        return 0;
    if (sb_code_class(why.code) == SB_RETRY)
        return sb_fail(err, why.code, "%s", why.msg);
    return sb_fail(err, SB_ECORRUPT, "the database that took the place of ours: %s", why.msg);
}

static int on_renew(void *ctx, struct sb_err *err)
{
    struct ingest *ingest = ctx;
    int rc = fit_database(ingest, err);

    if (rc == 0)
        rc = boots_take(&ingest->boots, ingest->store, ingest->rng, ingest->now, err);
    if (rc != 0)
        return rc;
    log_warn("the database was replaced under this process: new boot id %s", ingest->boots.id);
    ingest->counters.new_boots++;
    ingest->presence_due = true;
    return 0;
}

static void on_refuse(void *ctx, const struct group_message *raw, enum sb_code code,
                      const char *reason)
{
    struct ingest *ingest = ctx;
    const struct message *message =
        consumer_read(ingest->consumer, sb_span_of(raw->topic), sb_buf_span(&raw->payload),
                      sb_buf_span(&raw->correlation));

    if (message->kind == MESSAGE_REQUEST || message->operator_name[0] != '\0') {
        refuse_request(ingest, message, raw, code, reason);
        return;
    }
    if (message->device[0] == '\0' || message->kind == MESSAGE_HELLO)
        return; /* a hello is repeated on a timer */
    ingest->counters.retries++;
    answer_unplaced(ingest, message->device, message->batch_id, raw,
                    message->kind == MESSAGE_BATCH ? &message->batch : NULL, SB_RESULT_RETRY, code,
                    reason, 0);
}

static const struct group_ops hooks = {
    .begin = on_begin,
    .apply = on_apply,
    .commit = on_commit,
    .undo = on_undo,
    .done = on_done,
    .renew = on_renew,
    .refuse = on_refuse,
};

/* ---- life ---- */

int ingest_new(const struct ingest_config *config, struct store *store,
               const struct mapping_set *mappings, struct sb_link *link, struct sb_rng *rng,
               struct sb_now now, struct ingest **out, struct sb_err *err)
{
    struct ingest *ingest = sb_xcalloc(1, sizeof(*ingest));
    int rc;

    ingest->config = *config;
    ingest->store = store;
    ingest->link = link;
    ingest->rng = rng;
    ingest->now = now;
    rc = boots_take(&ingest->boots, store, rng, now, err);
    if (rc != 0) {
        free(ingest);
        return rc;
    }
    ingest->cache = stream_cache_new(store);
    ingest->replier = replier_new(link, config->gzip_level, config->reply_bytes);
    ingest->events = events_new(ingest->replier);
    ingest->notifier = notifier_new(store, link);
    ingest->consumer = consumer_new(&config->limits);
    ingest->group =
        group_new(config->group_rows, config->group_bytes, config->group_ms, &hooks, ingest);
    if (config->tables == NULL)
        ingest->config.tables = ingest->own_tables = tables_new();
    apply_init(&ingest->apply, store, ingest->cache, mappings, ingest->config.tables,
               ingest->events, &ingest->config);
    *out = ingest;
    return 0;
}

void ingest_free(struct ingest *ingest)
{
    if (ingest == NULL)
        return;
    apply_fini(&ingest->apply);
    tables_free(ingest->own_tables);
    group_free(ingest->group);
    consumer_free(ingest->consumer);
    events_free(ingest->events);
    notifier_free(ingest->notifier);
    replier_free(ingest->replier);
    stream_cache_free(ingest->cache);
    sb_buf_free(&ingest->json);
    free(ingest);
}

/* ---- events of the link ---- */

static void run_group(struct ingest *ingest, struct sb_err *err)
{
    struct sb_err own;

    if (group_run(ingest->group, err != NULL ? err : &own) == -SB_ECORRUPT)
        ingest->damaged = true;
}

static void take_message(struct ingest *ingest, const struct sb_link_event *event)
{
    ingest->counters.messages++;
    if (event->retained) { /* a batch is never retained: it would come again at every subscribe */
        ingest->counters.ignored++;
        return;
    }
    group_add(ingest->group, event->topic, sb_buf_span(&event->payload),
              sb_buf_span(&event->correlation), ingest->now.mono_ms);
    if (group_full(ingest->group))
        run_group(ingest, NULL);
}

void ingest_event(struct ingest *ingest, const struct sb_link_event *event, struct sb_now now)
{
    ingest->now = now;
    switch (event->kind) {
    case SB_LINK_UP:
        ingest->up = true;
        ingest->presence_due = true;
        replier_up(ingest->replier, event->max_packet);
        pump(ingest, now);
        break;
    case SB_LINK_DOWN:
        ingest->up = false;
        replier_down(ingest->replier);
        break;
    case SB_LINK_MESSAGE:
        take_message(ingest, event);
        break;
    case SB_LINK_PUBLISHED:
        pump(ingest, now);
        break;
    }
}

int ingest_flush(struct ingest *ingest, struct sb_now now, struct sb_err *err)
{
    ingest->now = now;
    if (group_due(ingest->group, now.mono_ms))
        run_group(ingest, err);
    pump(ingest, now);
    if (ingest->damaged)
        return sb_fail(err, SB_ECORRUPT, "the database is damaged");
    return 0;
}

/* ---- quiet moments ---- */

struct purged {
    int tombstones, answers;
};

static int purge(struct ingest *ingest, struct purged *gone, struct sb_err *err)
{
    int64_t now_ms = ingest->now.wall_us / 1000, kept_ms = ingest->config.tombstone_ms;
    uint64_t commit;
    int rc = 0;

    if (kept_ms > 0)
        rc = store_tombstones_purge(ingest->store, now_ms - kept_ms, LIMIT_PURGE_SLICE,
                                    &gone->tombstones, err);
    if (rc == 0)
        rc = store_answers_purge(ingest->store, now_ms - LIMIT_ANSWERS_MS, LIMIT_PURGE_SLICE,
                                 &gone->answers, err);
    if (rc == 0 && gone->tombstones > 0) /* only in the database that this process writes to */
        rc = commit_number(ingest, &commit, err);
    return rc;
}

static int purge_slice(struct ingest *ingest, struct purged *gone, struct sb_err *err)
{
    int rc = store_begin(ingest->store, err);

    if (rc != 0)
        return rc;
    rc = purge(ingest, gone, err);
    if (rc == 0)
        rc = store_commit(ingest->store, err);
    if (rc == 0) {
        boots_committed(&ingest->boots);
        return 0;
    }
    store_rollback(ingest->store);
    boots_undone(&ingest->boots);
    return rc;
}

void ingest_tidy(struct ingest *ingest, struct sb_now now)
{
    struct purged gone = {0, 0};
    struct sb_err err;
    bool more;
    int rc;

    if (now.mono_ms < ingest->tidy_due_ms || group_waiting(ingest->group) > 0)
        return;
    ingest->now = now;
    rc = purge_slice(ingest, &gone, &err);
    more = gone.tombstones == LIMIT_PURGE_SLICE || gone.answers == LIMIT_PURGE_SLICE;
    ingest->tidy_due_ms =
        now.mono_ms + (rc == 0 && more ? LIMIT_PURGE_REST_MS : LIMIT_PURGE_LOOK_MS);
    if (rc != 0)
        sb_log_err("old tombstones and answers were not removed", &err);
    else
        ingest->counters.tombstones += (uint64_t)gone.tombstones;
}

int64_t ingest_deadline(const struct ingest *ingest)
{
    int64_t deadline = group_deadline(ingest->group);
    int64_t again = ingest->now.mono_ms + PUMP_AGAIN_MS;

    if (ingest->up && (ingest->presence_due || replier_waiting(ingest->replier) > 0) &&
        again < deadline)
        deadline = again;
    return deadline;
}

/* ---- the daemon's socket ---- */

int ingest_request(struct ingest *ingest, const char *by, const struct sb_request *request,
                   struct sb_now now, struct sb_buf *answer, struct sb_err *err)
{
    const struct requester who = {.name = by, .is_operator = true, .is_local = true};
    struct request_outcome outcome = {.wrote = false};
    int rc;

    ingest->now = now;
    rc = on_begin(ingest, err);
    if (rc == -SB_EHELLO) {
        on_undo(ingest);
        rc = on_renew(ingest, err);
        if (rc == 0)
            rc = on_begin(ingest, err);
    }
    if (rc == 0)
        rc = answer_request(ingest, &who, request, SB_PAYLOAD_MAX_BYTES, &outcome, err);
    if (rc == 0)
        rc = on_commit(ingest, err);
    if (rc == 0) {
        on_done(ingest);
        encode_answer(ingest, &outcome);
        sb_buf_add_span(answer, sb_buf_span(&ingest->json));
    } else {
        on_undo(ingest);
    }
    request_outcome_free(&outcome);
    return rc;
}

/* ---- notify ---- */

struct asking {
    struct ingest *ingest;
    struct sb_err *err;
    int rc;
};

static bool ask_one(void *ctx, const char *device)
{
    static const char json[] = "{\"v\":1,\"kind\":\"notify\",\"hello\":true}";
    struct asking *asking = ctx;
    char topic[SB_TOPIC_MAX];
    struct sb_link_message message = {.topic = topic, .payload = sb_span_of(json), .qos = 0};

    sb_topic_down(topic, device, "notify");
    asking->rc = asking->ingest->link->publish(asking->ingest->link, &message, NULL, asking->err);
    return asking->rc == 0;
}

int ingest_ask_hello(struct ingest *ingest, const char *device, struct sb_now now,
                     struct sb_err *err)
{
    struct asking asking = {.ingest = ingest, .err = err};
    int rc;

    ingest->now = now;
    if (device != NULL) {
        ask_one(&asking, device);
        return asking.rc;
    }
    rc = store_device_names(ingest->store, ask_one, &asking, err);
    return rc == 0 ? asking.rc : rc;
}

/* ---- figures ---- */

const char *ingest_boot(const struct ingest *ingest)
{
    return ingest->boots.id;
}

void ingest_counters(const struct ingest *ingest, struct ingest_counters *out)
{
    const struct group_figures *group = group_figures(ingest->group);
    size_t states;

    *out = ingest->counters;
    out->commits = group->commits;
    out->commit_failures = group->commit_failures;
    out->reruns = group->reruns;
    out->groups_largest = group->largest;
    out->waiting_messages = group_waiting(ingest->group);
    out->waiting_replies = replier_waiting(ingest->replier);
    replier_figures(ingest->replier, &out->replies, &out->replies_dropped);
    events_figures(ingest->events, &out->events, &out->events_suppressed);
    notifier_figures(ingest->notifier, &out->notifies, &out->notifies_dropped);
    stream_cache_figures(ingest->cache, &out->cache_hits, &out->cache_misses, &states);
}
