#include "edge_agent/cli/put_input.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/json_read.h"

#define GROUP_RECORDS 1000
#define GROUP_BYTES   262144
#define LINE_MAX_READ (SB_RECORD_MAX_BYTES + 65536)
#define ASK_MS        15000

const struct sb_json_limits put_limits = {SB_RECORD_MAX_BYTES, SB_JSON_MAX_DEPTH,
                                          SB_JSON_MAX_NODES};

/* ---- through the daemon ---- */

static int put_by_daemon(struct put *put, struct sb_span record, struct sb_span id, int64_t wait_ms,
                         struct sb_err *err)
{
    struct sb_span object = record;
    int rc = 0;

    if (record.len > 0) /* only JSON may go into the request */
        rc = sb_json_check(record, &put_limits, &object, err);

    if (rc != 0)
        return rc;
    sb_buf_clear(&put->request);
    sb_put_open(&put->request, NULL, '{');
    put->kind->request(put, object, id);
    if (wait_ms > 0)
        sb_buf_add_fmt(&put->request, ",\"wait\":%.3f", (double)wait_ms / 1000);
    sb_put_close(&put->request, '}');
    sb_buf_clear(&put->answer);
    rc = agent_cli_ask(&put->config, sb_buf_span(&put->request), wait_ms + ASK_MS, &put->answer,
                       err);
    if (rc == -(int)SB_ENOT_RUNNING)
        return sb_fail(err, SB_ENOT_RUNNING,
                       "no right to write %.120s, and edge_agent run is not running",
                       put->config.outbox_path);
    return rc;
}

/* ---- waiting for the cloud ---- */

static void build_wait(struct put *put, const struct enqueue_receipt *receipt, int64_t wait_ms)
{
    sb_buf_clear(&put->request);
    sb_put_open(&put->request, NULL, '{');
    sb_put_text(&put->request, "verb", "wait");
    sb_put_text(&put->request, "stream", put->stream_text);
    sb_put_text(&put->request, "epoch", receipt->epoch);
    sb_put_u64(&put->request, "seq", receipt->seq);
    sb_put_text(&put->request, "op_id", receipt->op_id);
    sb_buf_add_fmt(&put->request, ",\"timeout\":%.3f", (double)wait_ms / 1000);
    sb_put_close(&put->request, '}');
}

/* What --wait adds when nobody can be asked: the record is safe here, more is not known. */
static void build_unknown(struct put *put, const struct enqueue_receipt *receipt, const char *why)
{
    sb_buf_clear(&put->answer);
    sb_put_open(&put->answer, NULL, '{');
    sb_put_bool(&put->answer, "success", true);
    calls_add_receipt(&put->answer, receipt);
    sb_put_bool(&put->answer, "synced", false);
    sb_put_bool(&put->answer, "cached", true);
    sb_put_text(&put->answer, "task_id", receipt->op_id);
    if (receipt->queued)
        sb_put_null(&put->answer, "result");
    sb_put_null(&put->answer, "updated_at");
    sb_put_text(&put->answer, "message", why);
    sb_put_close(&put->answer, '}');
}

static void wait_for_cloud(struct put *put, const struct enqueue_receipt *receipt, int64_t wait_ms)
{
    struct sb_err err = {0};

    build_wait(put, receipt, wait_ms);
    sb_buf_clear(&put->answer);
    if (agent_cli_ask(&put->config, sb_buf_span(&put->request), wait_ms + ASK_MS, &put->answer,
                      &err) != 0) {
        build_unknown(put, receipt, err.msg);
    } else if (receipt->repeat) { /* of which the daemon does not know */
        put->answer.len--;
        sb_put_bool(&put->answer, "repeat", true);
        sb_put_close(&put->answer, '}');
    }
}

/* ---- answers for people and programs ---- */

static bool member_is(struct sb_span object, const char *key, const char *json)
{
    struct sb_span value;

    return sb_json_get(object, key, &value) && sb_span_is(value, json);
}

static void print_line(struct put *put, struct sb_span answer)
{
    sb_buf_add_span(&put->out, answer);
    sb_buf_add_char(&put->out, '\n');
    sb_cli_print(&put->out);
}

static void add_member(struct sb_buf *out, const char *before, struct sb_span object,
                       const char *key)
{
    struct sb_span value;

    if (!sb_json_get(object, key, &value) || sb_json_type_of(value) == SB_JSON_NULL)
        return;
    sb_buf_add_str(out, before);
    if (sb_json_type_of(value) == SB_JSON_STRING)
        sb_json_unescape(value, out);
    else
        sb_buf_add_span(out, value);
}

/* put->answer: a receipt as JSON, perhaps with the cloud's answer. Returns the exit status: what
 * the cloud refuses is a failure, what it has not answered yet is not. */
static int print_answer(struct put *put)
{
    struct sb_span object = sb_buf_span(&put->answer);
    bool refused = member_is(object, "result", "\"rejected\"");

    if (put->json) {
        print_line(put, object);
        return refused ? 1 : 0;
    }
    if (member_is(object, "queued", "false")) {
        sb_buf_add_str(&put->out, "kept on this device only: a switch is off\n");
    } else {
        sb_buf_add_fmt(&put->out, "queued %s", put->stream_text);
        add_member(&put->out, " seq ", object, "seq");
        add_member(&put->out, ", ", object, "message");
        sb_buf_add_char(&put->out, '\n');
    }
    sb_cli_print(&put->out);
    return refused ? 1 : 0;
}

int put_fail(struct put *put, uint64_t line, const struct sb_err *err)
{
    if (put->json) {
        agent_cli_put_failure(&put->out, line, err);
        sb_cli_print(&put->out);
    }
    if (line == 0)
        return agent_cli_fail(put->cli, err);
    sb_cli_note(put->cli, "line %llu: %s [%s]", (unsigned long long)line, err->msg,
                sb_code_name(err->code));
    return sb_exit_status(err->code);
}

/* ---- one record ---- */

static int put_directly(struct put *put, struct sb_span record, struct sb_span id, int64_t wait_ms,
                        struct sb_err *err)
{
    struct enqueue_receipt receipt;
    int rc = put->kind->enqueue(put, record, id, &receipt, err);

    if (rc == 0)
        rc = enqueue_commit(put->outbox.eq, err);
    if (rc != 0)
        return rc;
    agent_cli_wake(&put->config);
    if (wait_ms > 0 && receipt.queued) {
        wait_for_cloud(put, &receipt, wait_ms);
    } else if (wait_ms > 0) {
        build_unknown(put, &receipt, "kept on this device only: a switch is off");
    } else {
        sb_buf_clear(&put->answer);
        sb_put_open(&put->answer, NULL, '{');
        sb_put_bool(&put->answer, "success", true);
        calls_add_receipt(&put->answer, &receipt);
        sb_put_close(&put->answer, '}');
    }
    return 0;
}

static int put_one(struct put *put, struct sb_span record, struct sb_span id, int64_t wait_ms)
{
    struct sb_err err = {0};
    int rc;

    if (put->by_daemon)
        rc = put_by_daemon(put, record, id, wait_ms, &err);
    else
        rc = put_directly(put, record, id, wait_ms, &err);
    return rc != 0 ? put_fail(put, 0, &err) : print_answer(put);
}

/* ---- standard input ---- */

static void print_receipt(struct put *put, const struct enqueue_receipt *receipt, uint64_t line)
{
    if (!put->json)
        return;
    sb_put_open(&put->out, NULL, '{');
    sb_put_bool(&put->out, "success", true);
    sb_put_u64(&put->out, "line", line);
    calls_add_receipt(&put->out, receipt);
    sb_put_close(&put->out, '}');
    sb_buf_add_char(&put->out, '\n');
}

/* None of the group is on disk: every line of it is told. */
static int fail_group(struct put *put, const struct sb_err *err)
{
    if (put->json)
        for (size_t i = 0; i < put->count; i++)
            agent_cli_put_failure(&put->out, put->lines[i], err);
    sb_cli_print(&put->out);
    if (put->count > 0)
        sb_cli_note(put->cli, "nothing was stored from line %llu on: %s [%s]",
                    (unsigned long long)put->lines[0], err->msg, sb_code_name(err->code));
    else
        (void)agent_cli_fail(put->cli, err);
    put->count = 0;
    return sb_exit_status(err->code);
}

static int commit(struct put *put)
{
    struct sb_err err = {0};

    if (put->count == 0)
        return 0;
    if (enqueue_commit(put->outbox.eq, &err) != 0)
        return fail_group(put, &err);
    for (size_t i = 0; i < put->count; i++) {
        put->queued += put->receipts[i].queued;
        put->local += !put->receipts[i].queued;
        print_receipt(put, &put->receipts[i], put->lines[i]);
    }
    put->count = put->bytes = 0;
    sb_cli_print(&put->out);
    fflush(stdout);
    agent_cli_wake(&put->config);
    return 0;
}

/* One line through the daemon; it answers each by itself. */
static int line_by_daemon(struct put *put, struct sb_span record, struct sb_span id, uint64_t line,
                          struct sb_err *err)
{
    int rc = put_by_daemon(put, record, id, 0, err);

    if (rc != 0)
        return rc;
    put->queued += member_is(sb_buf_span(&put->answer), "queued", "true");
    put->local += member_is(sb_buf_span(&put->answer), "queued", "false");
    if (put->json) {
        sb_buf_add_fmt(&put->out, "{\"line\":%llu,%s", (unsigned long long)line,
                       put->answer.data + 1);
        sb_buf_add_char(&put->out, '\n');
        sb_cli_print(&put->out);
    }
    return 0;
}

/* Is it this line's own trouble, so that the others of its group stay? (A table that the cloud does
 * not have, a key that is not there: the same line may pass another day.) */
static bool is_refused(enum sb_code code, bool group_lost)
{
    return sb_code_class(code) == SB_REJECT ||
           (!group_lost && (code == SB_EUNKNOWN_TABLE || code == SB_ENO_KEY));
}

/* Adds one to the open group; *lost when that took the group with it. */
static int line_directly(struct put *put, struct sb_span record, struct sb_span id,
                         struct sb_span text, uint64_t line, bool *lost, struct sb_err *err)
{
    size_t open = enqueue_open_records(put->outbox.eq);
    int rc;

    put->lines[put->count] = line;
    rc = put->kind->enqueue(put, record, id, &put->receipts[put->count], err);
    *lost = rc != 0 && open > 0 && enqueue_open_records(put->outbox.eq) == 0;
    put->count += rc == 0;
    put->bytes += text.len;
    return rc;
}

/* Returns an exit status; 0 also for a line that was refused, which is counted. */
static int take_line(struct put *put, struct sb_span text, uint64_t line)
{
    struct sb_buf id = {0};
    struct sb_span record;
    struct sb_err err = {0};
    bool lost = false;
    int rc, status = 0;

    rc = put->kind->split(put, text, &record, &id, &err);
    if (rc == 0 && put->by_daemon)
        rc = line_by_daemon(put, record, sb_buf_span(&id), line, &err);
    else if (rc == 0)
        rc = line_directly(put, record, sb_buf_span(&id), text, line, &lost, &err);
    if (rc != 0 && is_refused(err.code, lost)) {
        put->refused++;
        (void)put_fail(put, line, &err);
    } else if (rc != 0 && put->by_daemon) {
        status = put_fail(put, line, &err);
    } else if (rc != 0) {
        put->count++; /* this line shares the fate of its group */
        status = fail_group(put, &err);
    }
    sb_buf_free(&id);
    if (status == 0 && (put->count >= GROUP_RECORDS || put->bytes >= GROUP_BYTES))
        status = commit(put);
    return status;
}

struct input {
    struct sb_buf window;
    uint64_t line;
    bool end, dropping;
};

/* Every whole line in the window, at the end of the input the rest too. */
static int take_lines(struct put *put, struct input *in)
{
    size_t at = 0;
    int status = 0;

    while (status == 0 && at < in->window.len) {
        const char *start = in->window.data + at;
        const char *newline = memchr(start, '\n', in->window.len - at);
        struct sb_span text = {start,
                               newline != NULL ? (size_t)(newline - start) : in->window.len - at};

        if (newline == NULL && !in->end && text.len <= LINE_MAX_READ)
            break;
        at += text.len + (newline != NULL);
        while (text.len > 0 && (text.data[text.len - 1] == '\r' || text.data[text.len - 1] == ' '))
            text.len--;
        if (!in->dropping) {
            in->line++;
            if (text.len > 0)
                status = take_line(put, text, in->line);
        }
        in->dropping = newline == NULL;
    }
    if (at > 0) {
        memmove(in->window.data, in->window.data + at, in->window.len - at);
        in->window.len -= at;
    }
    return status;
}

static bool more_is_waiting(void)
{
    struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};

    return poll(&fd, 1, 0) > 0;
}

static int read_more(struct put *put, struct input *in)
{
    struct sb_err err = {0};
    ssize_t got;

    sb_buf_reserve(&in->window, 65536);
    do
        got = read(STDIN_FILENO, in->window.data + in->window.len, 65536);
    while (got < 0 && errno == EINTR);
    if (got < 0) {
        (void)sb_fail_errno(&err, errno, "standard input");
        return agent_cli_fail(put->cli, &err);
    }
    in->window.len += (size_t)got;
    in->end = got == 0;
    return 0;
}

static void print_counts(const struct put *put)
{
    printf("%llu queued", (unsigned long long)put->queued);
    if (put->local > 0)
        printf(", %llu kept on this device only", (unsigned long long)put->local);
    printf(", %llu refused\n", (unsigned long long)put->refused);
}

/* Groups are committed when they are full, and whenever the input pauses. */
static int put_lines(struct put *put)
{
    struct input in = {.line = 0};
    int status = 0;

    put->receipts = sb_xcalloc(GROUP_RECORDS, sizeof(*put->receipts));
    put->lines = sb_xcalloc(GROUP_RECORDS + 1, sizeof(*put->lines));
    while (status == 0 && !in.end) {
        if (put->count > 0 && !more_is_waiting())
            status = commit(put);
        if (status == 0)
            status = read_more(put, &in);
        if (status == 0)
            status = take_lines(put, &in);
    }
    if (status == 0)
        status = commit(put);
    if (!put->json)
        print_counts(put);
    sb_buf_free(&in.window);
    free(put->receipts);
    free(put->lines);
    return status != 0 ? status : put->refused > 0 ? 1 : 0;
}

/* ---- all of it ---- */

int put_run(struct put *put, struct sb_span record, struct sb_span id, int64_t wait_ms)
{
    struct sb_err err = {0};
    int status;

    put->by_daemon = agent_cli_needs_daemon(&put->config);
    if (!put->by_daemon && agent_cli_open(&put->config, true, &put->outbox, &err) != 0)
        status = put_fail(put, 0, &err);
    else
        status = record.data != NULL ? put_one(put, record, id, wait_ms) : put_lines(put);
    agent_cli_close(&put->outbox);
    sb_buf_free(&put->out);
    sb_buf_free(&put->request);
    sb_buf_free(&put->answer);
    return status;
}
