/* queue: what waits for the cloud, oldest first within each stream. */
#include "edge_agent/cli/agent_cli.h"

#include <stdlib.h>
#include <string.h>

#include "common/json_read.h"
#include "common/table.h"

#define SHOWN_DEFAULT 100
#define ASK_MS        2000

const struct sb_cli_option queue_options[] = {
    {.name = "limit", .kind = SB_CLI_NUMBER, .value = "N", .help = "show at most so many (100)"},
    {0}};

const char queue_help[] =
    "What waits, oldest first within each stream. retry_count and last_retry are those of a stream "
    "that\n"
    "the cloud has refused and that waits to be tried again: how often since the last answer that\n"
    "settled something, and when last. Only the running daemon knows them: without it they are "
    "null.\n"
    "An outage is no try.\n";

/* One (epoch, stream) with something pending. */
struct waiting {
    int64_t s;
    char epoch[SB_EPOCH_LEN + 1];
    struct sb_stream stream;
    uint64_t made;
    struct sb_ranges settled;
    struct sb_ranges holes;
};

struct queue {
    struct sb_cli *cli;
    struct agent_cli_outbox outbox;
    struct sb_buf live; /* the daemon's status, empty without it */
    struct waiting *streams;
    size_t count;
    const struct waiting *at; /* while its rows are walked */
    struct sb_range gap;
    uint64_t shown, limit, pending;
    struct sb_err *err;
    struct sb_buf out;
    struct sb_table *table;
};

/* ---- what is pending ---- */

static int note_stream(void *ctx, const struct outbox_stream *stream)
{
    struct queue *q = ctx;
    struct waiting *w;
    int rc;

    q->streams = sb_xrealloc(q->streams, (q->count + 1) * sizeof(*q->streams));
    w = &q->streams[q->count];
    *w = (struct waiting){.s = stream->s, .stream = stream->stream, .made = stream->next_seq - 1};
    memcpy(w->epoch, stream->epoch, sizeof(w->epoch));
    rc = sb_ranges_parse(&w->settled, stream->settled, SIZE_MAX, q->err);
    q->pending += w->made - sb_ranges_total(&w->settled);
    q->count++;
    return rc;
}

static int note_hole(void *ctx, const struct outbox_hole *hole)
{
    struct queue *q = ctx;

    for (size_t i = 0; i < q->count; i++)
        if (q->streams[i].s == hole->s)
            sb_ranges_add(&q->streams[i].holes, hole->first_seq, hole->last_seq);
    return 0;
}

/* What the daemon says of a stream that waits after a refusal; "" when it does not. */
static struct sb_span parked_stream(const struct queue *q, const char *stream)
{
    struct sb_span one;
    struct sb_json_iter iter;

    if (q->live.len == 0)
        return (struct sb_span){"", 0};
    sb_json_iter_init(&iter, agent_cli_get(sb_buf_span(&q->live), "parked"));
    while (sb_json_next_element(&iter, &one))
        if (sb_json_string_is(agent_cli_get(one, "stream"), stream))
            return one;
    return (struct sb_span){"", 0};
}

/* ---- one entry ---- */

struct entry {
    char op_id[SB_ID_MAX + 1];
    char stream[SB_STREAM_MAX + 1];
    const char *operation;
    uint64_t first, last;
    int64_t created_us; /* 0 = not known */
};

static void put_tries(struct queue *q, struct sb_span parked)
{
    if (q->live.len == 0)
        sb_put_null(&q->out, "retry_count"); /* nobody knows */
    else
        sb_put_u64(&q->out, "retry_count", agent_cli_number(parked, "tries"));
    sb_put_raw(&q->out, "last_retry", agent_cli_get(parked, "last_try"));
}

static void show_json(struct queue *q, const struct entry *e, struct sb_span parked)
{
    sb_put_open(&q->out, NULL, '{');
    sb_put_text(&q->out, "op_id", e->op_id);
    sb_put_text(&q->out, "stream", e->stream);
    sb_put_text(&q->out, "operation", e->operation);
    sb_put_time_us(&q->out, "created_at", e->created_us);
    put_tries(q, parked);
    sb_put_text(&q->out, "sync_status", "pending");
    sb_put_raw(&q->out, "error_message", agent_cli_get(parked, "reason"));
    sb_put_text(&q->out, "epoch", q->at->epoch);
    sb_put_u64(&q->out, "first_seq", e->first);
    sb_put_u64(&q->out, "last_seq", e->last);
    sb_put_u64(&q->out, "records", e->last - e->first + 1);
    sb_put_close(&q->out, '}');
}

static void show(struct queue *q, const struct entry *e)
{
    struct sb_span parked = parked_stream(q, e->stream);

    q->shown++;
    if (sb_cli_json(q->cli)) {
        show_json(q, e, parked);
    } else {
        sb_table_text(q->table, e->stream);
        sb_table_u64(q->table, e->first);
        sb_table_u64(q->table, e->last - e->first + 1);
        sb_table_text(q->table, e->operation);
        sb_table_time_ms(q->table, e->created_us / 1000);
        agent_cli_cell(q->table, parked, "reason");
        sb_table_text(q->table, e->op_id);
    }
}

/* A record says itself whether it was added, updated or deleted; settings are updated. */
static const char *operation_of(const struct queue *q, const struct outbox_row *row)
{
    static const char *const words[] = {"add", "update", "delete"};
    struct sb_span operation;

    if (!sb_class_ordered(q->at->stream.class))
        return "add";
    if (q->at->stream.class == SB_UP_RECORDS && sb_json_get(row->body, "operation", &operation))
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
            if (sb_json_string_is(operation, words[i]))
                return words[i];
    return "update";
}

static int show_row(void *ctx, const struct outbox_row *row)
{
    struct queue *q = ctx;
    struct entry e = {
        .operation = operation_of(q, row),
        .first = row->first_seq > q->gap.lo ? row->first_seq : q->gap.lo,
        .last = row->last_seq < q->gap.hi ? row->last_seq : q->gap.hi,
        .created_us = row->wall_us,
    };

    if (q->shown >= q->limit)
        return 1;
    sb_stream_print(&q->at->stream, e.stream);
    if (row->op_id.len > 0)
        snprintf(e.op_id, sizeof(e.op_id), SB_SPAN_FMT, SB_SPAN_ARG(row->op_id));
    else
        snprintf(e.op_id, sizeof(e.op_id), "%s:%s:%llu", q->at->epoch, e.stream,
                 (unsigned long long)e.first);
    show(q, &e);
    return 0;
}

static void show_holes(struct queue *q)
{
    for (size_t i = 0; i < q->at->holes.count && q->shown < q->limit; i++) {
        const struct sb_range *r = &q->at->holes.at[i];
        struct entry e = {.operation = "hole", .first = r->lo, .last = r->hi};

        sb_stream_print(&q->at->stream, e.stream);
        snprintf(e.op_id, sizeof(e.op_id), "%s:%s:%llu", q->at->epoch, e.stream,
                 (unsigned long long)r->lo);
        show(q, &e);
    }
}

static int show_stream(struct queue *q, const struct waiting *w)
{
    uint64_t from = 1;
    int rc = 0;

    q->at = w;
    while (rc == 0 && q->shown < q->limit && from <= w->made &&
           sb_ranges_gap(&w->settled, from, w->made, &q->gap)) {
        rc = outbox_rows(q->outbox.ob, w->s, q->gap.lo, q->gap.hi, show_row, q, q->err);
        from = q->gap.hi + 1;
    }
    show_holes(q);
    return rc;
}

/* ---- the verb ---- */

static int read_queue(struct queue *q)
{
    int rc = outbox_streams(q->outbox.ob, note_stream, q, q->err);

    if (rc == 0)
        rc = outbox_holes(q->outbox.ob, note_hole, q, q->err);
    for (size_t i = 0; rc == 0 && i < q->count; i++)
        rc = show_stream(q, &q->streams[i]);
    return rc;
}

static void print_end(struct queue *q)
{
    if (sb_cli_json(q->cli)) {
        sb_put_close(&q->out, ']');
        sb_put_u64(&q->out, "shown", q->shown);
        sb_put_u64(&q->out, "pending_count", q->pending);
        sb_put_close(&q->out, '}');
        sb_buf_add_char(&q->out, '\n');
        sb_cli_print(&q->out);
        return;
    }
    if (sb_table_rows(q->table) > 0)
        sb_table_print(q->table, sb_cli_colour(q->cli), stdout);
    printf("%llu pending\n", (unsigned long long)q->pending);
}

static void queue_fini(struct queue *q)
{
    for (size_t i = 0; i < q->count; i++) {
        sb_ranges_free(&q->streams[i].settled);
        sb_ranges_free(&q->streams[i].holes);
    }
    free(q->streams);
    sb_table_free(q->table);
    agent_cli_close(&q->outbox);
    sb_buf_free(&q->live);
    sb_buf_free(&q->out);
}

int cmd_queue(struct sb_cli *cli)
{
    static const char *const heads[] = {"stream",  ">from",       ">records", "operation",
                                        "created", "waiting for", "op_id"};
    struct sb_err err = {0};
    struct queue q = {.cli = cli, .err = &err};
    struct agent_config config;
    int status = agent_cli_config(cli, &config), rc;

    if (status != 0)
        return status;
    q.limit = (uint64_t)sb_cli_number(cli, "limit", SHOWN_DEFAULT);
    q.table = sb_table_new(heads, sizeof(heads) / sizeof(heads[0]));
    sb_put_open(&q.out, NULL, '{');
    sb_put_open(&q.out, "items", '[');
    if (agent_cli_ask(&config, SB_SPAN("{\"verb\":\"status\"}"), ASK_MS, &q.live, NULL) != 0)
        sb_buf_clear(&q.live);
    rc = agent_cli_open(&config, false, &q.outbox, &err);
    if (rc == 0)
        rc = read_queue(&q);
    if (rc == 0 || rc == -(int)SB_ENOT_FOUND)
        print_end(&q);
    else
        status = agent_cli_fail(cli, &err);
    queue_fini(&q);
    return status;
}
