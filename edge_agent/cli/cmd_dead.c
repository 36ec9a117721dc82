/* dead list | show | retry | drop: what the cloud has refused for good, with the reason. */
#include "edge_agent/cli/agent_cli.h"

#include <stdlib.h>
#include <string.h>

#include "common/table.h"

const struct sb_cli_option dead_options[] = {{.name = "all", .help = "every dead letter"}, {0}};

const char dead_help[] =
    "A record that the cloud refused for good is kept here with the code, the reason and its own "
    "bytes.\n"
    "retry sends it once more, after the cause is mended in the cloud; drop forgets it.\n"
    "\n"
    "examples:\n"
    "  edge_agent dead list\n"
    "  edge_agent dead show 3 --json\n"
    "  edge_agent dead retry --all\n"
    "  edge_agent dead drop 3\n";

struct dead {
    struct sb_cli *cli;
    struct agent_config config;
    struct agent_cli_outbox outbox;
    struct sb_buf out;
    struct sb_table *table;
    int64_t *ids;
    size_t count;
    bool whole; /* with the record's bytes */
};

/* ---- showing ---- */

/* Its own, or the name that `put` gave it where it has none. (With --id that was the caller's.) */
static void put_op_id(const struct outbox_dead *dead, struct sb_buf *out)
{
    char name[SB_ID_MAX + 1];

    if (dead->op_id.len > 0) {
        sb_put_span(out, "op_id", dead->op_id);
        return;
    }
    snprintf(name, sizeof(name), "%s:%s:%llu", dead->epoch, dead->stream,
             (unsigned long long)dead->seq);
    sb_put_text(out, "op_id", name);
}

static void put_dead(const struct outbox_dead *dead, bool whole, struct sb_buf *out)
{
    sb_put_open(out, NULL, '{');
    sb_put_i64(out, "id", dead->id);
    put_op_id(dead, out);
    sb_put_text(out, "stream", dead->stream);
    sb_put_text(out, "epoch", dead->epoch);
    sb_put_u64(out, "seq", dead->seq);
    sb_put_text(out, "code", sb_code_name(dead->code));
    sb_put_span(out, "reason", dead->reason);
    sb_put_time_us(out, "dead_at", dead->dead_us);
    sb_put_u64(out, "retry_count", dead->tries);
    sb_put_text(out, "sync_status", dead->retry ? "pending" : "failed");
    if (whole && dead->fields.len > 0)
        sb_put_raw(out, "fields", dead->fields);
    if (whole)
        sb_put_raw(out, dead->fields.len > 0 ? "row" : "record", dead->body);
    sb_put_close(out, '}');
}

static int show_json(void *ctx, const struct outbox_dead *dead)
{
    struct dead *d = ctx;

    d->count++;
    put_dead(dead, d->whole, &d->out);
    return 0;
}

static int show_table(void *ctx, const struct outbox_dead *dead)
{
    struct dead *d = ctx;

    d->count++;
    sb_table_u64(d->table, (uint64_t)dead->id);
    sb_table_text(d->table, dead->stream);
    sb_table_u64(d->table, dead->seq);
    sb_table_text(d->table, sb_code_name(dead->code));
    sb_table_bad(d->table);
    sb_table_span(d->table, dead->reason);
    sb_table_time_ms(d->table, dead->dead_us / 1000);
    sb_table_text(d->table, dead->retry ? "being sent again" : "");
    return 0;
}

static int show_people(void *ctx, const struct outbox_dead *dead)
{
    struct dead *d = ctx;
    char at[SB_TIME_TEXT];

    d->count++;
    sb_time_print(dead->dead_us, at);
    sb_buf_add_fmt(&d->out, "%s seq %llu of epoch %s\n%s: ", dead->stream,
                   (unsigned long long)dead->seq, dead->epoch, sb_code_name(dead->code));
    sb_print_safe(dead->reason, &d->out);
    sb_buf_add_fmt(&d->out, "\nsince %s, sent again %llu times%s\n", at,
                   (unsigned long long)dead->tries, dead->retry ? ", being sent again" : "");
    if (dead->fields.len > 0) {
        sb_print_safe(dead->fields, &d->out);
        sb_buf_add_char(&d->out, '\n');
    }
    sb_print_safe(dead->body, &d->out);
    sb_buf_add_char(&d->out, '\n');
    return 0;
}

/* ---- opening ---- */

static void dead_fini(struct dead *d)
{
    agent_cli_close(&d->outbox);
    sb_table_free(d->table);
    sb_buf_free(&d->out);
    free(d->ids);
}

static int dead_open(struct dead *d, struct sb_cli *cli, struct sb_err *err, int *status)
{
    *d = (struct dead){.cli = cli};
    *status = agent_cli_config(cli, &d->config);
    if (*status != 0)
        return -1;
    return agent_cli_open(&d->config, false, &d->outbox, err);
}

int cmd_dead_list(struct sb_cli *cli)
{
    static const char *const heads[] = {">id", "stream", ">seq", "code", "reason", "since", ""};
    struct sb_err err = {0};
    struct dead d;
    int status, rc = dead_open(&d, cli, &err, &status);

    if (status != 0)
        return status;
    d.table = sb_table_new(heads, sizeof(heads) / sizeof(heads[0]));
    sb_put_open(&d.out, NULL, '{');
    sb_put_open(&d.out, "items", '[');
    if (rc == 0)
        rc = outbox_dead_list(d.outbox.ob, 0, false, sb_cli_json(cli) ? show_json : show_table, &d,
                              &err);
    if (rc != 0 && rc != -(int)SB_ENOT_FOUND) {
        status = agent_cli_fail(cli, &err);
    } else if (sb_cli_json(cli)) {
        sb_put_close(&d.out, ']');
        sb_put_u64(&d.out, "failed_count", d.count);
        sb_put_close(&d.out, '}');
        sb_buf_add_char(&d.out, '\n');
        sb_cli_print(&d.out);
    } else if (d.count > 0) {
        sb_table_print(d.table, sb_cli_colour(cli), stdout);
    } else {
        printf("no dead letters\n");
    }
    dead_fini(&d);
    return status;
}

static int parse_id(struct sb_cli *cli, int64_t *id, struct sb_err *err)
{
    uint64_t value;

    if (!sb_json_u64(sb_span_of(sb_cli_arg(cli, 0)), &value) || value == 0 || value > INT64_MAX)
        return sb_fail(err, SB_EUSAGE, "'%.40s' is no id of a dead letter", sb_cli_arg(cli, 0));
    *id = (int64_t)value;
    return 0;
}

int cmd_dead_show(struct sb_cli *cli)
{
    struct sb_err err = {0};
    struct dead d;
    int64_t id = 0;
    int status, rc = dead_open(&d, cli, &err, &status);

    if (status != 0)
        return status;
    d.whole = true;
    if (rc == 0)
        rc = parse_id(cli, &id, &err);
    if (rc == 0)
        rc = outbox_dead_list(d.outbox.ob, id, false, sb_cli_json(cli) ? show_json : show_people,
                              &d, &err);
    if (rc == 0 && d.count == 0)
        rc = sb_fail(&err, SB_ENOT_FOUND, "there is no dead letter %lld", (long long)id);
    if (rc != 0) {
        status = agent_cli_fail(cli, &err);
    } else {
        if (sb_cli_json(cli))
            sb_buf_add_char(&d.out, '\n');
        sb_cli_print(&d.out);
    }
    dead_fini(&d);
    return status;
}

/* ---- changing ---- */

static int note_id(void *ctx, const struct outbox_dead *dead)
{
    struct dead *d = ctx;

    d->ids = sb_xrealloc(d->ids, (d->count + 1) * sizeof(*d->ids));
    d->ids[d->count++] = dead->id;
    return 0;
}

static int find_ids(struct dead *d, struct sb_err *err)
{
    int64_t id;
    int rc;

    if (sb_cli_given(d->cli, "all"))
        return outbox_dead_list(d->outbox.ob, 0, false, note_id, d, err);
    rc = parse_id(d->cli, &id, err);
    if (rc != 0)
        return rc;
    d->ids = sb_xcalloc(1, sizeof(*d->ids));
    d->ids[0] = id;
    d->count = 1;
    return 0;
}

/* All of them in one transaction, or none. */
static int change_all(struct dead *d, bool retry, struct sb_err *err)
{
    struct sb_now now = sb_clock_now();
    int rc = outbox_begin(d->outbox.ob, err);

    if (rc != 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < d->count; i++)
        rc = retry ? outbox_dead_retry(d->outbox.ob, d->ids[i], now, err)
                   : outbox_dead_drop(d->outbox.ob, d->ids[i], err);
    if (rc == 0)
        return outbox_commit(d->outbox.ob, err);
    outbox_rollback(d->outbox.ob);
    return rc;
}

static void print_changed(struct dead *d, const char *key, const char *said)
{
    if (sb_cli_json(d->cli)) {
        sb_put_open(&d->out, NULL, '{');
        sb_put_bool(&d->out, "success", true);
        sb_put_u64(&d->out, key, d->count);
        sb_put_close(&d->out, '}');
        sb_buf_add_char(&d->out, '\n');
    } else {
        sb_buf_add_fmt(&d->out, "%zu %s\n", d->count, said);
    }
    sb_cli_print(&d->out);
}

static int change(struct sb_cli *cli, bool retry)
{
    struct sb_err err = {0};
    struct dead d;
    int status, rc;

    if ((sb_cli_arg_count(cli) == 0) != sb_cli_given(cli, "all"))
        return sb_cli_usage(cli, "one ID or --all is wanted");
    rc = dead_open(&d, cli, &err, &status);
    if (status != 0)
        return status;
    if (rc == 0)
        rc = find_ids(&d, &err);
    if (rc == 0)
        rc = change_all(&d, retry, &err);
    if (rc == 0) {
        agent_cli_wake(&d.config);
        print_changed(&d, retry ? "retried" : "dropped", retry ? "to be sent again" : "dropped");
    } else {
        status = agent_cli_fail(cli, &err);
    }
    dead_fini(&d);
    return status;
}

int cmd_dead_retry(struct sb_cli *cli)
{
    return change(cli, true);
}

int cmd_dead_drop(struct sb_cli *cli)
{
    return change(cli, false);
}
