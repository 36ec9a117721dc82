#include "pull_kit.h"

#include <stdio.h>
#include <string.h>

#include "common/notify.h"
#include "common/request_conflicts.h"
#include "common/request_documents.h"
#include "edge_agent/enqueue.h"

/* ---- the device ---- */

int pull_setup(void **state)
{
    int rc = bench_setup(state);

    bench.tables[0] = "projects";
    return rc;
}

void pull_add_user(const char *user)
{
    kit_begin();
    assert_int_equal(outbox_user_add(kit_ob, user, kit_now.wall_us, &kit_err), 0);
    kit_commit();
}

struct document_name pull_name(const char *id)
{
    struct document_name name;

    assert_int_equal(document_name_make(&name, "user-1", "projects", id, &kit_err), 0);
    return name;
}

void pull_put(const char *id, const char *op_id, const char *data)
{
    static const struct enqueue_switches all_on = {true, true, true, true, 0};
    struct enqueue *eq = enqueue_new(kit_ob, &all_on, KIT_BOOT);
    const struct document_name name = pull_name(id);

    assert_int_equal(enqueue_document(eq, &name, DOCUMENT_PUT, sb_span_of(data), sb_span_of(op_id),
                                      kit_now, &kit_rng, NULL, &kit_err),
                     0);
    assert_int_equal(enqueue_commit(eq, &kit_err), 0);
    enqueue_free(eq);
    if (bench.edge != NULL)
        edge_wake(bench.edge);
}

void pull_assert_document(const char *id, const char *text)
{
    const struct document_name name = pull_name(id);
    struct outbox_document doc;

    assert_int_equal(outbox_document_get(kit_ob, &name, &doc, &kit_err), 0);
    assert_string_equal(doc.exists ? doc.doc.data : "-", text);
    outbox_document_fini(&doc);
}

void pull_assert_cursor(const char *table, uint64_t version)
{
    struct outbox_sync sync;

    assert_int_equal(outbox_sync_get(kit_ob, "user-1", table, &sync, &kit_err), 0);
    assert_int_equal(sync.cursor_version, version);
}

/* ---- the cloud ---- */

struct sent *pull_next_request(const char *op, struct sb_request *request)
{
    struct sent *sent = bench_next();

    assert_int_equal(sent->kind, SB_KIND_REQUEST);
    assert_int_equal(sb_request_decode(sb_buf_span(&sent->json), request, &kit_err), 0);
    assert_string_equal(request->op, op);
    bench_puback(sent, SB_OK);
    return sent;
}

struct sent *pull_next_changes(const char *table, uint64_t since)
{
    struct sb_request request;
    struct sent *sent = pull_next_request(SB_OP_CHANGES, &request);
    struct sb_changes_args args;

    assert_int_equal(sb_changes_args_decode(request.args, &args, &kit_err), 0);
    assert_string_equal(args.user, "user-1");
    assert_string_equal(args.table, table);
    assert_int_equal(args.since.version, since);
    return sent;
}

struct sent *pull_next_read(const char *id)
{
    struct sb_request request;
    struct sent *sent = pull_next_request(SB_OP_DOCUMENT_GET, &request);
    struct sb_document_args args;

    assert_int_equal(sb_document_args_decode(request.args, &args, &kit_err), 0);
    assert_string_equal(args.table, "projects");
    assert_string_equal(args.id, id);
    return sent;
}

void pull_send_answer(const struct sent *sent, struct sb_answer *answer, const char *boot)
{
    struct sb_buf json = {0};
    struct sb_request request;

    assert_int_equal(sb_request_decode(sb_buf_span(&sent->json), &request, &kit_err), 0);
    memcpy(answer->id, request.id, sizeof(answer->id));
    snprintf(answer->boot, sizeof(answer->boot), "%s", boot);
    sb_answer_encode(answer, &json);
    bench_send("reply", &json, false);
    sb_buf_free(&json);
}

void pull_answer_as(const struct sent *sent, const char *data, const char *boot)
{
    struct sb_answer answer = {.success = true, .data = sb_span_of(data)};

    pull_send_answer(sent, &answer, boot);
}

void pull_answer(const struct sent *sent, const char *data)
{
    pull_answer_as(sent, data, KIT_INGEST);
    bench_tick();
}

void pull_refuse(const struct sent *sent, enum sb_code code)
{
    struct sb_answer refusal = {.code = code, .reason = "no"};

    pull_send_answer(sent, &refusal, KIT_INGEST);
    bench_tick();
}

void pull_begin(void)
{
    pull_add_user("user-1");
    bench_open();
    pull_answer(pull_next_changes("projects", 0), PULL_EMPTY("projects"));
    pull_answer(pull_next_changes("settings", 0), PULL_EMPTY("settings"));
    bench_assert_quiet();
}

void pull_sync_projects(void)
{
    assert_int_equal(edge_sync(bench.edge, "user-1", "projects", 0, kit_now, NULL, NULL, &kit_err),
                     0);
    bench_tick();
}

void pull_welcome_of(const char *boot)
{
    struct sb_hello hello;

    bench_online(boot);
    bench_tick();
    bench_puback(bench_next_hello(&hello), SB_OK);
    bench_welcome(hello.nonce, boot, 1, false);
    bench_tick();
    sb_hello_free(&hello);
}

void pull_notify(const char *table, uint64_t version)
{
    struct sb_notify note = {.version = version};
    struct sb_buf json = {0};

    snprintf(note.user, sizeof(note.user), "user-1");
    snprintf(note.table, sizeof(note.table), "%s", table);
    sb_notify_encode(&note, &json);
    bench_send("notify", &json, false);
    bench_tick();
    sb_buf_free(&json);
}

/* ---- what it says to a batch ---- */

void pull_names_one(struct sb_reply *reply)
{
    sb_reply_version(reply, reply->first_seq, 1);
}

void pull_names_six(struct sb_reply *reply)
{
    sb_reply_version(reply, reply->first_seq, 6);
}

void pull_says_conflict(struct sb_reply *reply)
{
    struct sb_conflict *conflict = sb_reply_conflict(reply, reply->first_seq);

    reply->accepted = 0;
    reply->result = SB_RESULT_CONFLICT;
    snprintf(conflict->op_id, sizeof(conflict->op_id), "op-1");
    conflict->policy = SB_POLICY_MERGE;
    conflict->as_of = 7;
    sb_buf_add_str(&conflict->pointers, "[\"/n\"]");
    conflict->server = (struct sb_document){.exists = true, .version = 7};
    memcpy(conflict->server.tag, PULL_TAG(7), SB_TAG_LEN + 1);
    memcpy(conflict->server.hlc, "0000000000000007", SB_EPOCH_LEN + 1);
    sb_buf_add_str(&conflict->server.data, "{\"m\": 7}");
}

/* ---- rounds ---- */

void pull_synced(void *ctx, const struct edge_synced *result, const struct sb_err *err)
{
    struct pull_outcome *outcome = ctx;

    outcome->calls++;
    outcome->synced = *result;
    outcome->code = err->code;
}

void pull_begin_round(struct pull_outcome *outcome, int64_t timeout_ms)
{
    assert_int_equal(
        edge_sync(bench.edge, "user-1", NULL, timeout_ms, kit_now, pull_synced, outcome, &kit_err),
        0);
    bench_tick();
}
