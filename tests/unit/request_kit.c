#include "request_kit.h"

#include <stdio.h>
#include <string.h>

struct sb_answer answer;
uint64_t seqs;

static unsigned asked; /* for the ids of requests */

int request_setup(void **state)
{
    int rc = kit_setup(state);
    struct kit *kit = *state;

    asked = 0;
    seqs = 0;
    if (rc != 0)
        return rc;
    kit_grant(kit, "user-1");
    kit_sql(kit, "INSERT INTO devices (device, added_ms) VALUES ('edge-001', 1), ('edge-002', 1),"
                 " ('edge-003', 1)");
    kit_sql(kit, "INSERT INTO bindings (device, user, granted_ms) VALUES"
                 " ('edge-002', 'user-1', 1), ('edge-003', 'user-2', 1)");
    return 0;
}

/* ---- asking ---- */

struct sb_answer *last_answer(struct kit *kit, const char *topic)
{
    const struct sent *sent = kit_last(kit, "\"kind\":\"answer\"");
    struct sb_err err;

    assert_string_equal(sent->topic, topic);
    assert_int_equal(sent->qos, 1);
    if (sb_answer_decode(sb_buf_span(&sent->payload), &answer, &err) != 0)
        fail_msg("answer: %s: %s", err.msg, sent->payload.data);
    assert_string_equal(answer.boot, ingest_boot(kit->ingest));
    return &answer;
}

void request_json(struct sb_buf *out, const char *id, const char *op, const char *args)
{
    sb_buf_add_fmt(out, "{\"v\":1,\"kind\":\"request\",\"id\":\"%s\",\"op\":\"%s\",\"args\":", id,
                   op);
    sb_buf_add_str(out, args);
    sb_buf_add_char(out, '}');
}

struct sb_answer *ask_as(struct kit *kit, const char *id, const char *op, const char *args)
{
    struct sb_buf json = {0};
    char topic[SB_TOPIC_MAX];

    request_json(&json, id, op, args);
    kit_message(kit, "ctl", "", json.data);
    sb_buf_free(&json);
    kit_flush(kit);
    sb_topic_down(topic, kit->device, "reply");
    last_answer(kit, topic);
    assert_string_equal(answer.id, id);
    return &answer;
}

const char *new_id(void)
{
    static char id[SB_UUID_LEN + 1];

    snprintf(id, sizeof(id), "01930000-0000-7000-9000-%012u", ++asked);
    return id;
}

struct sb_answer *ask(struct kit *kit, const char *op, const char *args)
{
    return ask_as(kit, new_id(), op, args);
}

void admin_message(struct kit *kit, const char *name, const char *correlation, const char *json)
{
    struct sb_link_event event = {.kind = SB_LINK_MESSAGE};
    char topic[SB_TOPIC_MAX];

    snprintf(topic, sizeof(topic), "sb/v1/admin/%s/req", name);
    event.topic = sb_xstrdup(topic);
    sb_buf_add_str(&event.payload, json);
    sb_buf_add_str(&event.correlation, correlation);
    ingest_event(kit->ingest, &event, kit->now);
    sb_link_event_fini(&event);
    kit_flush(kit);
}

struct sb_answer *ask_operator(struct kit *kit, const char *id, const char *op, const char *args)
{
    struct sb_buf json = {0};

    request_json(&json, id, op, args);
    admin_message(kit, "_op-anna", "", json.data);
    sb_buf_free(&json);
    return last_answer(kit, "sb/v1/admin/_op-anna/reply");
}

void refused(enum sb_code code, const char *part)
{
    if (answer.success || answer.code != code)
        fail_msg("not %s but %s: %s", sb_code_name(code),
                 answer.success ? "success" : sb_code_name(answer.code), answer.reason);
    if (strstr(answer.reason, part) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", part, answer.reason);
}

void succeeded(void)
{
    if (!answer.success)
        fail_msg("refused: %s: %s", sb_code_name(answer.code), answer.reason);
}

/* ---- what is there ---- */

struct sb_reply *put_settings(struct kit *kit, const char *op, const char *base,
                              const char *settings)
{
    seqs++;
    return kit_ask(kit, SETTINGS, seqs, seqs,
                   "\"records\":[{\"op_id\":\"%s\",\"hlc\":\"019b7c10a1b3%04u\",\"base\":%s,"
                   "\"settings\":%s}]",
                   op, (unsigned)seqs, base, settings);
}

struct sb_reply *put_record(struct kit *kit, const char *op, const char *table, const char *id,
                            const char *base, const char *data)
{
    seqs++;
    return kit_ask(kit, RECORDS, seqs, seqs,
                   "\"records\":[{\"op_id\":\"%s\",\"hlc\":\"019b7c10a1b3%04u\",\"table\":\"%s\","
                   "\"id\":\"%s\",\"operation\":\"%s\",\"base\":%s%s%s}]",
                   op, (unsigned)seqs, table, id, data != NULL ? "update" : "delete", base,
                   data != NULL ? ",\"data\":" : "", data != NULL ? data : "");
}

void ack_is(struct sb_reply *reply, enum sb_result result)
{
    if (reply->result != result)
        fail_msg("%s, %s: %s", sb_result_name(reply->result), sb_code_name(reply->code),
                 reply->rejected_count > 0 ? reply->rejected[0].reason : reply->reason);
}

struct sb_changes changes_of(void)
{
    struct sb_changes changes;
    struct sb_err err;

    succeeded();
    if (sb_changes_decode(answer.data, &changes, &err) != 0)
        fail_msg("changes: %s: " SB_SPAN_FMT, err.msg, SB_SPAN_ARG(answer.data));
    return changes;
}

struct sb_document document_of(const char *expected_id)
{
    struct sb_document doc;
    char id[SB_ID_MAX + 1];
    struct sb_err err;
    uint64_t as_of;

    succeeded();
    if (sb_document_decode(answer.data, &doc, id, &as_of, &err) != 0)
        fail_msg("document: %s", err.msg);
    assert_string_equal(id, expected_id);
    return doc;
}

void make_conflict(struct kit *kit)
{
    ack_is(put_settings(kit, "s1", "null", "{\"a\":1,\"b\":1,\"c\":0}"), SB_RESULT_STORED);
    ack_is(put_settings(kit, "s2", "{\"op_id\":\"s1\"}", "{\"a\":1,\"b\":2,\"c\":0}"),
           SB_RESULT_STORED);
    ack_is(put_settings(kit, "lost", "{\"op_id\":\"s1\"}", "{\"a\":1,\"b\":3,\"c\":9}"),
           SB_RESULT_CONFLICT);
}

struct sb_resolved resolved_of(void)
{
    struct sb_resolved resolved;
    struct sb_err err;

    succeeded();
    if (sb_resolved_decode(answer.data, &resolved, &err) != 0)
        fail_msg("resolved: %s", err.msg);
    return resolved;
}

char *noise(struct kit *kit, size_t n)
{
    struct sb_buf text = {0};

    sb_buf_add_str(&text, "{\"x\":\"");
    while (text.len + 2 < n)
        sb_buf_add_char(
            &text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-"[sb_rng_below(
                       &kit->rng, 64)]);
    sb_buf_add_str(&text, "\"}");
    return sb_buf_take(&text);
}
