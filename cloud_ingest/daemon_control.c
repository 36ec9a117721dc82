#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/json_put.h"
#include "common/json_read.h"
#include "daemon_internal.h"

/* The verbs of the daemon's socket: {"verb":"status"}, {"verb":"online"},
 * {"verb":"hello","device":"edge-001","wait_ms":5000} (device: that one alone), and
 * {"verb":"request","by":"_op-anna","id":…,"op":…,"args":{…}}: what operators ask on their topic,
 * answered likewise. */

#define CHECK_MS      25 /* between two looks for hellos that have come, and 1 ms more ... */
#define CHECK_EACH    10 /* ... for so many devices that are waited for */
#define ASK_AGAIN_MS  1000
#define STATES_MS     300 /* after a connect the devices' retained states come in */
#define WAIT_MAX_MS   3600000
#define ANSWER_SILENT 100 /* devices named in one answer; all are counted */
#define ANSWER_ONLINE 50000

struct asked {
    char device[SB_NAME_MAX + 1];
    char nonce[SB_UUID_LEN + 1]; /* of its last hello before it was asked */
    bool answered;
};

struct hello_wait {
    struct hello_wait *next;
    uint64_t client;
    char device[SB_NAME_MAX + 1]; /* "" = all that are online */
    int64_t deadline_ms, ask_ms;
    bool begun; /* the devices to ask are known */
    struct asked *asked;
    size_t count, answered;
};

/* ---- answers ---- */

static void answer(struct daemon *d, uint64_t client, struct sb_buf *line)
{
    sb_control_answer(d->control, client, sb_buf_span(line));
    sb_buf_free(line);
}

static void refuse(struct daemon *d, uint64_t client, const struct sb_err *err)
{
    struct sb_buf line = {0};

    sb_put_open(&line, NULL, '{');
    sb_put_bool(&line, "success", false);
    sb_put_text(&line, "code", sb_code_name(err->code));
    sb_put_text(&line, "reason", err->msg);
    sb_put_close(&line, '}');
    answer(d, client, &line);
}

/* ---- status ---- */

static void put_error(struct sb_buf *out, const char *key, const struct sb_err *err)
{
    if (err->code == SB_OK) {
        sb_put_null(out, key);
        return;
    }
    sb_put_open(out, key, '{');
    sb_put_text(out, "code", sb_code_name(err->code));
    sb_put_text(out, "reason", err->msg);
    sb_put_close(out, '}');
}

static void put_broker(const struct daemon *d, struct sb_now now, struct sb_buf *out)
{
    bool waits = !d->up && d->backoff.due_ms != INT64_MAX;

    sb_put_open(out, "broker", '{');
    sb_put_text(out, "url", d->config->url);
    sb_put_bool(out, "connected", d->up);
    if (d->up)
        sb_put_i64(out, "connected_ms", now.mono_ms - d->up_ms);
    else
        sb_put_null(out, "connected_ms");
    if (waits)
        sb_put_i64(out, "retry_delay",
                   d->backoff.due_ms > now.mono_ms ? d->backoff.due_ms - now.mono_ms : 0);
    else
        sb_put_null(out, "retry_delay");
    put_error(out, "error", &d->link_err);
    sb_put_bool(out, "another_client", sb_backoff_flapping(&d->backoff));
    sb_put_close(out, '}');
}

static void put_counters(const struct daemon *d, struct sb_buf *out)
{
    struct ingest_counters c;

    ingest_counters(d->ingest, &c);
    sb_put_open(out, "counters", '{');
    sb_put_u64(out, "messages", c.messages);
    sb_put_u64(out, "ignored", c.ignored);
    sb_put_u64(out, "dropped", sb_mailbox_dropped(d->box));
    sb_put_u64(out, "batches", c.batches);
    sb_put_u64(out, "hellos", c.hellos);
    sb_put_u64(out, "requests", c.requests);
    sb_put_u64(out, "refused", c.refused);
    sb_put_u64(out, "accepted", c.accepted);
    sb_put_u64(out, "duplicates", c.duplicates);
    sb_put_u64(out, "revised", c.revised);
    sb_put_u64(out, "rejected", c.rejected);
    sb_put_u64(out, "conflicts", c.conflicts);
    sb_put_u64(out, "holes", c.holes);
    sb_put_u64(out, "branched", c.branched);
    sb_put_u64(out, "retries", c.retries);
    sb_put_u64(out, "commits", c.commits);
    sb_put_u64(out, "commit_failures", c.commit_failures);
    sb_put_u64(out, "reruns", c.reruns);
    sb_put_u64(out, "groups_largest", c.groups_largest);
    sb_put_u64(out, "replies", c.replies);
    sb_put_u64(out, "replies_dropped", c.replies_dropped);
    sb_put_u64(out, "events", c.events);
    sb_put_u64(out, "events_suppressed", c.events_suppressed);
    sb_put_u64(out, "notifies", c.notifies);
    sb_put_u64(out, "notifies_dropped", c.notifies_dropped);
    sb_put_u64(out, "tombstones", c.tombstones);
    sb_put_u64(out, "new_boots", c.new_boots);
    sb_put_u64(out, "cache_hits", c.cache_hits);
    sb_put_u64(out, "cache_misses", c.cache_misses);
    sb_put_u64(out, "waiting_messages", c.waiting_messages + sb_mailbox_waiting(d->box));
    sb_put_u64(out, "waiting_replies", c.waiting_replies);
    sb_put_close(out, '}');
}

static void answer_status(struct daemon *d, uint64_t client)
{
    struct sb_now now = sb_clock_now();
    struct sb_buf line = {0};

    sb_put_open(&line, NULL, '{');
    sb_put_bool(&line, "success", true);
    sb_put_bool(&line, "running", true);
    sb_put_i64(&line, "pid", getpid());
    sb_put_text(&line, "version", SB_VERSION);
    sb_put_u64(&line, "n", d->config->ingest.n);
    sb_put_text_or_null(&line, "boot", d->ingest != NULL ? ingest_boot(d->ingest) : NULL);
    sb_put_time_us(&line, "started_at", d->started_us);
    sb_put_i64(&line, "uptime_ms", now.mono_ms - d->started_ms);
    put_broker(d, now, &line);
    sb_put_open(&line, "store", '{');
    sb_put_text(&line, "path", d->config->store_path);
    sb_put_bool(&line, "open", d->store != NULL);
    put_error(&line, "error", &d->store_err);
    sb_put_close(&line, '}');
    if (d->ingest != NULL)
        put_counters(d, &line);
    sb_put_u64(&line, "devices_online", fleet_online(d->fleet));
    sb_put_close(&line, '}');
    answer(d, client, &line);
}

/* ---- online ---- */

struct naming {
    struct sb_buf line;
    size_t left;
};

static void put_online(void *ctx, const char *device)
{
    struct naming *naming = ctx;

    if (naming->left == 0)
        return;
    naming->left--;
    sb_put_text(&naming->line, NULL, device);
}

static void answer_online(struct daemon *d, uint64_t client)
{
    struct naming naming = {.left = ANSWER_ONLINE};

    sb_put_open(&naming.line, NULL, '{');
    sb_put_bool(&naming.line, "success", true);
    sb_put_bool(&naming.line, "connected", d->up);
    sb_put_bool(&naming.line, "complete", fleet_online(d->fleet) <= ANSWER_ONLINE);
    sb_put_open(&naming.line, "online", '[');
    fleet_each_online(d->fleet, put_online, &naming);
    sb_put_close(&naming.line, ']');
    sb_put_close(&naming.line, '}');
    answer(d, client, &naming.line);
}

/* ---- hello ---- */

/* Nonce and whether all pages of the last hello are in; false where the device may not say one. */
static bool last_hello(struct daemon *d, const char *device, char nonce[SB_UUID_LEN + 1],
                       bool *whole)
{
    struct device_row row = {0};
    struct sb_err err;
    bool may = store_device_get(d->store, device, &row, &err) == 0 && row.known && !row.revoked;

    if (may) {
        memcpy(nonce, row.nonce, SB_UUID_LEN + 1);
        *whole = sb_ranges_total(&row.seen) >= row.pages;
    }
    device_row_free(&row);
    return may;
}

struct beginning {
    struct daemon *d;
    struct hello_wait *wait;
};

static void add_asked(void *ctx, const char *device)
{
    struct beginning *b = ctx;
    struct hello_wait *wait = b->wait;
    struct asked asked = {0};
    bool whole;

    if (wait->device[0] != '\0' && strcmp(wait->device, device) != 0)
        return;
    if (!last_hello(b->d, device, asked.nonce, &whole))
        return;
    memcpy(asked.device, device, strlen(device) + 1);
    wait->asked = sb_xrealloc(wait->asked, (wait->count + 1) * sizeof(*wait->asked));
    wait->asked[wait->count++] = asked;
}

static void ask(struct daemon *d, struct hello_wait *wait, struct sb_now now)
{
    struct sb_err err;

    for (size_t i = 0; d->ingest != NULL && i < wait->count; i++)
        if (!wait->asked[i].answered &&
            ingest_ask_hello(d->ingest, wait->asked[i].device, now, &err) != 0)
            break; /* asked again soon */
    wait->ask_ms = now.mono_ms + ASK_AGAIN_MS;
}

/* The devices that are online are known some moments after the connect. */
static bool may_begin(const struct daemon *d, struct sb_now now)
{
    return d->ingest != NULL && d->up && now.mono_ms >= d->up_ms + STATES_MS;
}

static void begin(struct daemon *d, struct hello_wait *wait, struct sb_now now)
{
    struct beginning b = {d, wait};

    fleet_each_online(d->fleet, add_asked, &b);
    wait->begun = true;
    ask(d, wait, now);
}

static void look(struct daemon *d, struct hello_wait *wait)
{
    char nonce[SB_UUID_LEN + 1];
    bool whole;

    for (size_t i = 0; d->store != NULL && i < wait->count; i++) {
        struct asked *asked = &wait->asked[i];

        if (!asked->answered && last_hello(d, asked->device, nonce, &whole) && whole &&
            strcmp(nonce, asked->nonce) != 0) {
            asked->answered = true;
            wait->answered++;
        }
    }
}

static void answer_hello(struct daemon *d, const struct hello_wait *wait)
{
    struct sb_buf line = {0};
    size_t named = 0;

    sb_put_open(&line, NULL, '{');
    sb_put_bool(&line, "success", true);
    sb_put_u64(&line, "asked", wait->count);
    sb_put_u64(&line, "answered", wait->answered);
    sb_put_open(&line, "silent", '[');
    for (size_t i = 0; i < wait->count && named < ANSWER_SILENT; i++)
        if (!wait->asked[i].answered) {
            sb_put_text(&line, NULL, wait->asked[i].device);
            named++;
        }
    sb_put_close(&line, ']');
    sb_put_close(&line, '}');
    answer(d, wait->client, &line);
}

static void refuse_hello(struct daemon *d, const struct hello_wait *wait)
{
    struct sb_err err;

    if (d->ingest == NULL)
        sb_fail(&err, SB_EBUSY, "the database cannot be used: %.200s", d->store_err.msg);
    else if (d->link_err.code != SB_OK)
        sb_fail(&err, SB_EUNREACHABLE, "not connected to the broker: %.200s", d->link_err.msg);
    else
        sb_fail(&err, SB_EUNREACHABLE, "not connected to the broker yet");
    refuse(d, wait->client, &err);
}

static void wait_free(struct hello_wait *wait)
{
    free(wait->asked);
    free(wait);
}

/* True when it was answered. */
static bool wait_tick(struct daemon *d, struct hello_wait *wait, struct sb_now now)
{
    bool over = now.mono_ms >= wait->deadline_ms;

    if (!wait->begun && may_begin(d, now))
        begin(d, wait, now);
    if (!wait->begun) {
        if (over)
            refuse_hello(d, wait);
        return over;
    }
    look(d, wait);
    if (over || wait->answered == wait->count) {
        answer_hello(d, wait);
        return true;
    }
    if (now.mono_ms >= wait->ask_ms)
        ask(d, wait, now);
    return false;
}

void daemon_control_tick(struct daemon *d, struct sb_now now)
{
    struct hello_wait **at = &d->waits;
    size_t open = 0;

    if (now.mono_ms < d->waits_due_ms)
        return;
    while (*at != NULL) {
        struct hello_wait *wait = *at;

        if (wait_tick(d, wait, now)) {
            *at = wait->next;
            wait_free(wait);
        } else {
            open += wait->count - wait->answered;
            at = &wait->next;
        }
    }
    d->waits_due_ms =
        d->waits != NULL ? now.mono_ms + CHECK_MS + (int64_t)(open / CHECK_EACH) : INT64_MAX;
}

int64_t daemon_control_deadline(const struct daemon *d)
{
    return d->waits_due_ms;
}

void daemon_control_fini(struct daemon *d)
{
    while (d->waits != NULL) {
        struct hello_wait *next = d->waits->next;

        wait_free(d->waits);
        d->waits = next;
    }
}

/* Without waiting: one device, whether it is known to be online or not. */
static void hint(struct daemon *d, uint64_t client, const char *device)
{
    struct hello_wait none = {.client = client};
    struct sb_err err;

    if (d->ingest == NULL || !d->up)
        refuse_hello(d, &none);
    else if (ingest_ask_hello(d->ingest, device, sb_clock_now(), &err) != 0)
        refuse(d, client, &err);
    else
        answer_hello(d, &none);
}

static void start_hello(struct daemon *d, uint64_t client, const char *device, uint64_t wait_ms)
{
    struct hello_wait *wait = sb_xcalloc(1, sizeof(*wait));

    wait->client = client;
    memcpy(wait->device, device, strlen(device) + 1);
    wait->deadline_ms = sb_clock_now().mono_ms + (int64_t)wait_ms;
    wait->next = d->waits;
    d->waits = wait;
    d->waits_due_ms = 0;
}

/* ---- calls ---- */

struct call {
    char verb[32];
    char device[SB_NAME_MAX + 1];
    uint64_t wait_ms;
    char by[SB_NAME_MAX + 1]; /* who makes the request */
    struct sb_request request;
};

static int read_request(const struct sb_json_field f[4], struct call *call, struct sb_err *err)
{
    int rc = sb_field_name(&f[0], call->by, err);

    if (rc == 0 && !sb_operator_valid(sb_span_of(call->by)))
        rc = sb_fail(err, SB_EBAD_ID, "by: not _op-<name>");
    if (rc == 0)
        rc = sb_field_uuid(&f[1], call->request.id, err);
    if (rc == 0)
        rc = sb_field_text(&f[2], call->request.op, sizeof(call->request.op), err);
    if (rc == 0)
        rc = sb_field_type(&f[3], SB_JSON_OBJECT, err);
    call->request.args = f[3].value;
    return rc;
}

static int read_call(struct sb_span line, struct call *call, struct sb_err *err)
{
    enum { VERB, DEVICE, WAIT, BY, ID, OP, ARGS, FIELDS };
    struct sb_json_field fields[FIELDS] = {{.key = "verb"}, {.key = "device"}, {.key = "wait_ms"},
                                           {.key = "by"},   {.key = "id"},     {.key = "op"},
                                           {.key = "args"}};
    struct sb_span object;
    int rc = sb_json_check(line, &sb_wire_limits, &object, err);

    if (rc == 0 && sb_json_type_of(object) != SB_JSON_OBJECT)
        rc = sb_fail(err, SB_EBAD_TYPE, "not an object");
    if (rc != 0)
        return rc;
    sb_json_pick(object, fields, FIELDS);
    rc = sb_field_text(&fields[VERB], call->verb, sizeof(call->verb), err);
    if (rc == 0 && sb_field_given(&fields[DEVICE]))
        rc = sb_field_text(&fields[DEVICE], call->device, sizeof(call->device), err);
    if (rc == 0 && sb_field_given(&fields[WAIT]))
        rc = sb_field_u64(&fields[WAIT], 0, WAIT_MAX_MS, &call->wait_ms, err);
    if (rc == 0 && call->device[0] != '\0' && !sb_device_valid(sb_span_of(call->device)))
        rc = sb_fail(err, SB_EBAD_ID, "device: not a device id");
    if (rc == 0 && strcmp(call->verb, "request") == 0)
        rc = read_request(&fields[BY], call, err);
    return rc;
}

static void answer_request(struct daemon *d, uint64_t client, const struct call *call)
{
    struct sb_buf line = {0};
    struct sb_err err;

    if (d->ingest == NULL) {
        sb_fail(&err, SB_EBUSY, "the database cannot be used: %.200s", d->store_err.msg);
        refuse(d, client, &err);
    } else if (ingest_request(d->ingest, call->by, &call->request, sb_clock_now(), &line, &err) !=
               0) {
        refuse(d, client, &err);
        sb_buf_free(&line);
    } else {
        answer(d, client, &line);
    }
}

void daemon_control_call(void *ctx, const struct sb_control_call *control_call)
{
    struct daemon *d = ctx;
    uint64_t client = control_call->client;
    struct call call = {0};
    struct sb_err err;

    if (read_call(control_call->line, &call, &err) != 0) {
        refuse(d, client, &err);
    } else if (strcmp(call.verb, "status") == 0) {
        answer_status(d, client);
    } else if (strcmp(call.verb, "online") == 0) {
        answer_online(d, client);
    } else if (strcmp(call.verb, "request") == 0) {
        answer_request(d, client, &call);
    } else if (strcmp(call.verb, "hello") != 0) {
        sb_fail(&err, SB_EUNKNOWN_OP, "verb '%s': not status, online, hello or request", call.verb);
        refuse(d, client, &err);
    } else if (call.wait_ms == 0 && call.device[0] != '\0') {
        hint(d, client, call.device);
    } else {
        start_hello(d, client, call.device, call.wait_ms);
    }
}
