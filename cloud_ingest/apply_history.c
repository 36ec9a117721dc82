#include "apply.h"

#include <stdlib.h>
#include <string.h>

#include "common/json_read.h"
#include "content.h"
#include "limits.h"
#include "text.h"

/* Command history: known by (user, robot or device, trace, command), every different content a
 * revision of its own. */

struct command {
    char command_id[SB_ID_MAX + 1];
    char robot[LIMIT_HISTORY_FIELD + 1];
    char trace[LIMIT_HISTORY_FIELD + 1];
    struct history_key key;
    uint64_t hlc;
    int64_t created_us;
    bool readable;       /* the identity is known */
    struct sb_buf text;  /* the content as one text, without hlc */
    struct sb_buf other; /* likewise, of a stored revision */
};

void apply_history_fini(struct apply *a)
{
    if (a->command == NULL)
        return;
    sb_buf_free(&a->command->text);
    sb_buf_free(&a->command->other);
    free(a->command);
}

/* ---- reading a record ---- */

static int optional_text(const struct sb_json_field *field, char *out, size_t size,
                         struct sb_err *err)
{
    out[0] = '\0';
    return sb_field_given(field) ? sb_field_text(field, out, size, err) : 0;
}

/* A clock that runs ahead would keep the last word for ever: taken back to now, once. */
static uint64_t clamped(const struct apply *a, uint64_t hlc)
{
    if (a->now_ms > 0 && (int64_t)(hlc >> SB_HLC_COUNTER_BITS) > a->now_ms + SB_HLC_AHEAD_MS)
        return (uint64_t)a->now_ms << SB_HLC_COUNTER_BITS;
    return hlc;
}

int apply_hlc(const struct apply *a, const struct sb_json_field *field, uint64_t *hlc,
              struct sb_err *err)
{
    char text[SB_EPOCH_LEN + 1];
    int rc;

    *hlc = 0;
    if (!sb_field_given(field))
        return 0;
    rc = sb_field_hex16(field, text, err);
    if (rc == 0)
        *hlc = clamped(a, sb_hex16_value(text));
    return rc;
}

static int read_identity(struct apply *a, struct command *c, struct sb_json_field *command_id,
                         struct sb_json_field *robot, struct sb_json_field *trace,
                         struct sb_err *err)
{
    int rc = sb_field_text(command_id, c->command_id, sizeof(c->command_id), err);

    if (rc == 0 && c->command_id[0] == '\0')
        rc = sb_fail(err, SB_EBAD_VALUE, "command_id: empty");
    if (rc == 0)
        rc = optional_text(robot, c->robot, sizeof(c->robot), err);
    if (rc == 0)
        rc = optional_text(trace, c->trace, sizeof(c->trace), err);
    c->key = (struct history_key){
        .user = a->batch->stream.name,
        .place = sb_span_of(c->robot[0] != '\0' ? c->robot : a->batch->device),
        .trace = sb_span_of(c->trace),
        .command = sb_span_of(c->command_id),
    };
    c->readable = rc == 0;
    return rc;
}

static int read_object(struct apply *a, struct command *c, const struct sb_record *record,
                       struct sb_err *err)
{
    enum { COMMAND, ROBOT, TRACE, CREATED, STATUS, HLC, COUNT };
    struct sb_json_field f[COUNT] = {
        [COMMAND] = {.key = "command_id"}, [ROBOT] = {.key = "robot_id"},
        [TRACE] = {.key = "trace_id"},     [CREATED] = {.key = "created_at"},
        [STATUS] = {.key = "status"},      [HLC] = {.key = "hlc"},
    };
    char status[LIMIT_STATUS + 1];
    int rc;

    sb_json_pick(record->text, f, COUNT);
    rc = read_identity(a, c, &f[COMMAND], &f[ROBOT], &f[TRACE], err);
    if (rc == 0)
        rc = sb_field_time(&f[CREATED], &c->created_us, err);
    if (rc == 0)
        rc = optional_text(&f[STATUS], status, sizeof(status), err);
    return rc == 0 ? apply_hlc(a, &f[HLC], &c->hlc, err) : rc;
}

static bool read_record(struct apply *a, size_t i, struct rejection_row *why)
{
    const struct sb_record *record = &a->batch->records[i];
    struct command *c = a->command;
    struct sb_err err;
    int rc;

    c->readable = false;
    sb_buf_clear(&c->text);
    if (record->type == SB_JSON_OBJECT)
        content_print_without(record->text, "hlc", &c->text);
    else
        content_print(record->text, &c->text);
    if (record->type != SB_JSON_OBJECT)
        rc = sb_fail(&err, SB_EBAD_TYPE, "record: not an object");
    else if (record->text.len > a->config->limits.max_record_bytes)
        rc = sb_fail(&err, SB_ETOO_LARGE, "record: %zu bytes, at most %llu are taken",
                     record->text.len, (unsigned long long)a->config->limits.max_record_bytes);
    else
        rc = read_object(a, c, record, &err);
    if (rc == 0)
        return true;
    why->code = err.code;
    text_cut(why->reason, sizeof(why->reason), err.msg);
    return false;
}

static uint64_t hash_record(struct apply *a, size_t i)
{
    (void)i;
    return sb_hash64(sb_buf_span(&a->command->text));
}

/* ---- identity ---- */

static bool same_body(void *ctx, struct sb_span body)
{
    struct command *c = ctx;

    sb_buf_clear(&c->other);
    content_print_without(body, "hlc", &c->other);
    return sb_span_eq(sb_buf_span(&c->text), sb_buf_span(&c->other));
}

/* Is this content a revision of its identity already? *hid = 0: the identity is not known. */
static int known_content(struct apply *a, int64_t *hid, bool *same, struct sb_err *err)
{
    struct command *c = a->command;
    int rc = 0;

    *hid = 0;
    *same = false;
    if (c->readable)
        rc = store_history_find(a->store, &c->key, hid, err);
    if (rc != 0 || *hid == 0)
        return rc;
    return store_history_same(a->store, *hid, sb_hash64(sb_buf_span(&c->text)), same_body, c, same,
                              err);
}

static int stored_at(struct apply *a, struct stream_state *state, uint64_t seq, size_t i,
                     bool *same, struct sb_err *err)
{
    int64_t hid;
    int rc = known_content(a, &hid, same, err);

    if (rc != 0 || *same)
        return rc;
    return store_dup_has(a->store, state->row.sn, seq, hash_record(a, i), same, err);
}

static int add_revision(struct apply *a, struct stream_state *state, uint64_t seq, size_t i,
                        int64_t hid, struct sb_err *err)
{
    const struct command *c = a->command;
    const struct history_revision revision = {
        .hash = sb_hash64(sb_buf_span(&c->text)),
        .hlc = c->hlc,
        .created_us = c->created_us,
        .sn = state->row.sn,
        .seq = seq,
        .rx_ms = a->now_ms,
        .body = a->batch->records[i].text,
    };
    int rc = store_history_add(a->store, &c->key, hid, &revision, err);

    if (rc != 0)
        return rc;
    a->rows_added++;
    if (hid == 0)
        state->row.counts.stored++;
    else
        state->row.counts.revised++;
    apply_outcome(a, i, hid == 0 ? SB_OUT_ACCEPTED : SB_OUT_REVISED);
    return 0;
}

static int store_one(struct apply *a, struct stream_state *state, uint64_t seq, size_t i,
                     struct sb_err *err)
{
    int64_t hid;
    bool same;
    int rc = known_content(a, &hid, &same, err);

    stream_cache_touch(a->cache, state);
    if (rc != 0 || !same)
        return rc != 0 ? rc : add_revision(a, state, seq, i, hid, err);
    rc = store_dup_add(a->store, state->row.sn, seq, hash_record(a, i), a->now_ms, err);
    state->row.counts.duplicates++;
    apply_outcome(a, i, SB_OUT_DUPLICATE);
    return rc;
}

static const struct free_ops history_ops = {
    .read = read_record,
    .stored_at = stored_at,
    .store = store_one,
    .hash = hash_record,
};

int apply_history(struct apply *a, struct stream_state *own, struct sb_err *err)
{
    int rc = 0;

    if (a->command == NULL)
        a->command = sb_xcalloc(1, sizeof(*a->command));
    for (size_t i = 0; rc == 0 && i < a->batch->record_count; i++)
        rc = apply_free_record(a, &history_ops, own, i, err);
    return rc;
}
