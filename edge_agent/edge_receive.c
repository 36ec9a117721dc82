/* Stage 8 begins here: what comes down from the cloud, taken apart and collected. */
#include <string.h>

#include "common/log.h"
#include "common/notify.h"
#include "common/rules.h"
#include "edge_agent/edge_internal.h"

#define DOWN_MAX_BYTES SB_PAYLOAD_MAX_BYTES

static void unreadable(struct edge *edge, const char *what, const struct sb_err *err)
{
    edge->status.unreadable++;
    log_warn("%s: %s code=%s", what, err->msg, sb_code_name(err->code));
}

/* ---- acks ---- */

/* How many records or named numbers a batch carries that could go in two batches. */
static uint64_t records_of(const struct lane *lane, const struct flight *flight)
{
    if (flight->kind == FLIGHT_ROWS || (flight->kind == FLIGHT_HOLE && lane->ordered))
        return flight->hi - flight->lo + 1;
    return 1;
}

/* A refusal that decides nothing. The batch's numbers are free again; how soon they go depends on
 * whose trouble it is. */
static void receive_retry(struct edge *edge, struct lane *lane, const struct flight *flight,
                          const struct sb_reply *reply, struct sb_now now)
{
    if (reply->code == SB_EHELLO) {
        session_refused(&edge->session, now.mono_ms, pacer_reply_ms(&edge->pacer));
        if (!edge->session.due) /* the rate limit says not yet: do not ask at full speed */
            lane->parked_until_ms = now.mono_ms + pacer_rto(&edge->pacer);
        return;
    }
    if (reply->code == SB_ELIMIT && edge_split(lane, records_of(lane, flight)))
        return;
    edge_park(edge, lane, now, reply->retry_after_ms, reply->code, reply->reason);
}

/* The batch itself could not be read or placed (quarantine): it settles nothing. Split, it may turn
 * out to be one record's fault. */
static void receive_unplaced(struct edge *edge, struct lane *lane, const struct flight *flight,
                             const struct sb_reply *reply, struct sb_now now)
{
    log_error("stream=%s the cloud cannot read a batch: code=%s %s", lane->name,
              sb_code_name(reply->code), reply->reason);
    if (!edge_split(lane, records_of(lane, flight)))
        edge_park(edge, lane, now, 0, reply->code, reply->reason);
}

static void collect(struct edge *edge, const struct flight *flight, struct sb_reply *reply,
                    struct sb_now now)
{
    struct collected *c;

    if (edge->reply_count == EDGE_REPLIES_MAX)
        edge_settle_collected(edge, now);
    c = &edge->replies[edge->reply_count++];
    c->flight = *flight;
    c->reply = *reply;
    *reply = (struct sb_reply){0};
}

static void grow_again(struct edge *edge, struct lane *lane)
{
    if (lane->cap < edge->limits.max_batch_records)
        lane->cap++;
}

static void answer_of_flight(struct edge *edge, struct flight *flight, struct sb_reply *reply,
                             struct sb_now now)
{
    struct lane *lane = lanes_find(&edge->lanes, flight->s);

    if (lane == NULL)
        return;
    if (reply->result == SB_RESULT_RETRY) {
        receive_retry(edge, lane, flight, reply, now);
    } else if (reply->first_seq == 0) {
        receive_unplaced(edge, lane, flight, reply, now);
    } else {
        lane_unpark(lane);
        grow_again(edge, lane);
        collect(edge, flight, reply, now); /* may settle and move the lanes */
        pacer_drop(&edge->pacer, flight);
    }
}

/* Without the rule that only an answer to a batch of this process settles, any answer would. */
static void settle_foreign(struct edge *edge, struct sb_reply *reply, struct sb_now now)
{
    const struct lane *lane = lanes_find_named(&edge->lanes, reply->epoch, reply->stream);
    const struct flight flight = {.s = lane != NULL ? lane->s : 0,
                                  .lo = reply->first_seq,
                                  .hi = reply->last_seq,
                                  .kind = FLIGHT_ROWS};

    if (lane != NULL && reply->result != SB_RESULT_RETRY && reply->first_seq > 0)
        collect(edge, &flight, reply, now);
}

/* "Not now" to the hello itself: this device is not let in. An operator can mend that, and whoever
 * does asks for a hello. */
static void receive_hello_refusal(struct edge *edge, const struct sb_reply *reply,
                                  struct sb_now now)
{
    int64_t delay = pacer_next_retry(&edge->pacer);
    int64_t most = edge->config.pacer.retry_max_ms;

    if (reply->retry_after_ms > (uint64_t)delay)
        delay = reply->retry_after_ms < (uint64_t)most ? (int64_t)reply->retry_after_ms : most;
    session_hello_refused(&edge->session, now.mono_ms, delay);
    if (edge->status.last_error.code != reply->code)
        log_error("the cloud does not let this device in: code=%s %s", sb_code_name(reply->code),
                  reply->reason);
    sb_fail(&edge->status.last_error, reply->code, "hello: %s", reply->reason);
}

static bool answers_hello(const struct edge *edge, const struct sb_reply *reply,
                          struct sb_span correlation)
{
    return reply->result == SB_RESULT_RETRY && !edge->session.welcomed &&
           edge->session.nonce[0] != '\0' && sb_span_is(correlation, edge->session.nonce);
}

static void receive_ack(struct edge *edge, struct sb_span json, struct sb_span correlation,
                        struct sb_now now)
{
    struct sb_reply reply;
    struct flight *flight;
    struct sb_err err;
    bool was_flying;

    sb_reply_init(&reply);
    if (sb_reply_decode(json, &reply, &err) < 0) {
        unreadable(edge, "reply", &err);
        return;
    }
    flight = pacer_reply(&edge->pacer, reply.batch_id, now.mono_ms, &was_flying);
    if (flight == NULL && answers_hello(edge, &reply, correlation)) {
        receive_hello_refusal(edge, &reply, now);
    } else if (flight == NULL) {
        edge->status.late_replies++; /* of an earlier process or before the last hello: D7 */
        if (!sb_rule(SB_RULE_OWN_BATCH))
            settle_foreign(edge, &reply, now);
    } else {
        pacer_reset_retry(&edge->pacer);
        if (was_flying)
            edge_unfly(edge, flight);
        answer_of_flight(edge, flight, &reply, now);
    }
    sb_reply_free(&reply);
}

/* ---- the rest ---- */

static void receive_welcome(struct edge *edge, struct sb_span json)
{
    struct sb_welcome welcome;
    struct sb_err err;

    sb_welcome_init(&welcome);
    if (sb_welcome_decode(json, &welcome, &err) < 0)
        unreadable(edge, "welcome", &err);
    else if (session_welcome(&edge->session, &welcome) == SESSION_COMPLETE)
        edge->welcome_whole = true;
    sb_welcome_free(&welcome);
}

/* A hint: it may come late, twice or not at all. */
static void receive_notify(struct edge *edge, struct sb_span json)
{
    struct sb_notify notify;
    struct sb_err err;

    if (sb_notify_decode(json, &notify, &err) < 0)
        unreadable(edge, "notify", &err);
    else if (notify.hello)
        session_asked(&edge->session);
    else
        edge_pull_notified(edge, notify.user, notify.table, notify.version);
}

static void receive_reply_topic(struct edge *edge, struct sb_span json, struct sb_span correlation,
                                struct sb_now now)
{
    enum sb_kind kind;
    struct sb_err err;

    if (sb_message_kind(json, &kind, &err) < 0) {
        unreadable(edge, "message", &err);
        return;
    }
    switch (kind) {
    case SB_KIND_ACK:
        receive_ack(edge, json, correlation, now);
        break;
    case SB_KIND_WELCOME:
        receive_welcome(edge, json);
        break;
    case SB_KIND_ANSWER:
        edge_calls_answer(edge, json, now);
        break;
    case SB_KIND_NOTIFY:
        receive_notify(edge, json);
        break;
    case SB_KIND_BATCH:
    case SB_KIND_HELLO:
    case SB_KIND_REQUEST:
    case SB_KIND_OTHER:
        break; /* of a newer cloud, or nonsense: nothing that an edge acts on */
    }
}

/* {"state":"online","boot":"…"}: who answers at the moment. */
static void receive_presence(struct edge *edge, struct sb_span json, struct sb_now now)
{
    const struct sb_json_limits limits = {65536, 8, 1000};
    struct sb_span object, state, boot;
    char text[SB_UUID_LEN + 1] = "";
    bool online;

    if (sb_json_check(json, &limits, &object, NULL) < 0 ||
        sb_json_type_of(object) != SB_JSON_OBJECT || !sb_json_get(object, "state", &state) ||
        !sb_json_get(object, "boot", &boot))
        return;
    online = sb_json_string_is(state, "online");
    if (boot.len == SB_UUID_LEN + 2)
        memcpy(text, boot.data + 1, SB_UUID_LEN);
    else if (online)
        return;
    if (session_presence(&edge->session, text, online, now.mono_ms,
                         online ? pacer_rto(&edge->pacer) : edge->pacer.retry_ms))
        pacer_reset_retry(&edge->pacer);
}

void edge_receive_message(struct edge *edge, const struct sb_link_event *event, struct sb_now now)
{
    struct sb_span topic = sb_span_of(event->topic);
    char reply_topic[SB_TOPIC_MAX], notify_topic[SB_TOPIC_MAX];
    struct sb_err err;
    unsigned n;

    sb_buf_clear(&edge->text);
    if (sb_gzip_unpack(edge->gzip, sb_buf_span(&event->payload), DOWN_MAX_BYTES, &edge->text,
                       &err) < 0) {
        unreadable(edge, event->topic, &err);
        return;
    }
    if (sb_topic_parse_ingest(topic, &n)) {
        receive_presence(edge, sb_buf_span(&edge->text), now);
        return;
    }
    sb_topic_down(reply_topic, edge->device, "reply");
    sb_topic_down(notify_topic, edge->device, "notify");
    if (event->retained)
        return; /* replies are never retained: somebody's mistake or an attack */
    if (sb_span_is(topic, reply_topic) || sb_span_is(topic, notify_topic))
        receive_reply_topic(edge, sb_buf_span(&edge->text), sb_buf_span(&event->correlation), now);
}

void edge_receive_puback(struct edge *edge, const struct sb_link_event *event, struct sb_now now)
{
    struct flight *flight = pacer_acked(&edge->pacer, event->token);
    struct lane *lane;

    edge->last_puback_ms = now.mono_ms;
    /* a PUBACK settles nothing; a refusal frees the numbers. "No subscriber" is the broker's hint
     * that nobody will answer: the timeout deals with it. */
    if (flight == NULL || event->err.code == SB_OK || event->err.code == SB_EUNREACHABLE)
        return;
    lane = lanes_find(&edge->lanes, flight->s);
    if (flight->flying) {
        edge_unfly(edge, flight);
        pacer_drop(&edge->pacer, flight);
    }
    if (lane == NULL)
        return;
    if ((event->err.code == SB_ETOO_LARGE || event->err.code == SB_ELIMIT) &&
        edge_split(lane, records_of(lane, flight)))
        return;
    edge_park(edge, lane, now, 0, event->err.code, event->err.msg);
}
