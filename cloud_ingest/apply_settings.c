#include "apply.h"

#include <string.h>

#include "common/json_read.h"
#include "common/rules.h"
#include "content.h"
#include "limits.h"
#include "text.h"

/* Settings: operations known by their op_id, versions with a base (V1 to V3). Two documents are
 * never merged here: what is not based on the document in force is a conflict, or with the policy
 * "local" taken as submitted where the base is known. */

#define DOC "settings"

enum base_kind { BASE_NONE, BASE_OP, BASE_TAG };

struct operation {
    char op_id[SB_ID_MAX + 1];
    struct op_key key;
    uint64_t hlc;
    enum base_kind base;
    char base_id[SB_ID_MAX + 1]; /* op_id or tag */
    struct sb_span base_text;
    struct sb_span settings;
    struct rejection_row why; /* code SB_OK: valid */
};

/* What the document in force says of the base. */
enum standing { STANDING_CURRENT, STANDING_KNOWN, STANDING_UNKNOWN };

/* ---- reading a record ---- */

static int read_base(struct operation *op, const struct sb_json_field *base, struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "op_id"}, {.key = "tag"}};
    int rc;

    op->base = BASE_NONE;
    if (!sb_field_given(base))
        return 0;
    op->base_text = base->value;
    rc = sb_field_type(base, SB_JSON_OBJECT, err);
    if (rc != 0)
        return rc;
    sb_json_pick(base->value, f, 2);
    if (sb_field_given(&f[0]) == sb_field_given(&f[1]))
        return sb_fail(err, SB_EBAD_VALUE, "base: neither an op_id nor a tag alone");
    op->base = sb_field_given(&f[0]) ? BASE_OP : BASE_TAG;
    if (op->base == BASE_TAG)
        return sb_field_hex16(&f[1], op->base_id, err);
    return sb_field_text(&f[0], op->base_id, sizeof(op->base_id), err);
}

static int read_fields(struct apply *a, struct operation *op, const struct sb_record *record,
                       struct sb_err *err)
{
    enum { OP_ID, HLC, BASE, SETTINGS, COUNT };
    struct sb_json_field f[COUNT] = {
        [OP_ID] = {.key = "op_id"},
        [HLC] = {.key = "hlc"},
        [BASE] = {.key = "base"},
        [SETTINGS] = {.key = "settings"},
    };
    int rc;

    sb_json_pick(record->text, f, COUNT);
    rc = sb_field_text(&f[OP_ID], op->op_id, sizeof(op->op_id), err);
    if (rc == 0 && op->op_id[0] == '\0')
        rc = sb_fail(err, SB_EBAD_VALUE, "op_id: empty");
    if (rc != 0) {
        op->op_id[0] = '\0';
        return rc;
    }
    rc = apply_hlc(a, &f[HLC], &op->hlc, err);
    if (rc == 0)
        rc = read_base(op, &f[BASE], err);
    if (rc == 0)
        rc = sb_field_type(&f[SETTINGS], SB_JSON_OBJECT, err);
    op->settings = f[SETTINGS].value;
    if (rc == 0 && op->settings.len > a->config->limits.max_record_bytes)
        rc = sb_fail(err, SB_ETOO_LARGE, "settings: %zu bytes, at most %llu are taken",
                     op->settings.len, (unsigned long long)a->config->limits.max_record_bytes);
    return rc;
}

/* A record without an op_id is known by its content, so that a repeat gets the same answer. */
static void name_by_content(struct operation *op, const struct sb_record *record)
{
    struct sb_buf text = {0};

    content_print(record->text, &text);
    op->op_id[0] = '\1';
    sb_hex16_of(sb_hash64(sb_buf_span(&text)), op->op_id + 1);
    sb_buf_free(&text);
}

static void read_operation(struct apply *a, size_t i, struct operation *op)
{
    const struct sb_record *record = &a->batch->records[i];
    struct sb_err err;
    int rc;

    *op = (struct operation){.why = {.code = SB_OK}};
    if (record->type != SB_JSON_OBJECT)
        rc = sb_fail(&err, SB_EBAD_TYPE, "record: not an object");
    else
        rc = read_fields(a, op, record, &err);
    if (rc != 0) {
        op->why.code = err.code;
        text_cut(op->why.reason, sizeof(op->why.reason), err.msg);
    }
    if (op->op_id[0] == '\0')
        name_by_content(op, record);
    op->key = (struct op_key){
        .device = a->batch->device,
        .stream = a->reply->stream,
        .op_id = sb_span_of(op->op_id),
    };
}

/* ---- V3: is the base the document in force? ---- */

static int stand_on_op(struct apply *a, const struct operation *op, const struct sb_document *doc,
                       enum standing *standing, struct sb_err *err)
{
    const struct op_key base = {op->key.device, op->key.stream, sb_span_of(op->base_id)};
    struct op_row row;
    int rc = store_op_get(a->store, &base, &row, err);

    if (rc != 0)
        return rc;
    if (row.outcome != OP_APPLIED)
        *standing = STANDING_UNKNOWN;
    else
        *standing = doc->exists && doc->version == row.version ? STANDING_CURRENT : STANDING_KNOWN;
    return 0;
}

static int stand(struct apply *a, const struct operation *op, const struct sb_document *doc,
                 enum standing *standing, struct sb_err *err)
{
    bool known;
    int rc;

    switch (op->base) {
    case BASE_NONE:
        *standing = doc->exists ? STANDING_KNOWN : STANDING_CURRENT;
        return 0;
    case BASE_OP:
        return stand_on_op(a, op, doc, standing, err);
    case BASE_TAG:
        break;
    }
    *standing = STANDING_CURRENT;
    if (doc->exists && strcmp(doc->tag, op->base_id) == 0)
        return 0;
    rc =
        store_tag_known(a->store, a->batch->stream.name, DOC, sb_span_of(op->base_id), &known, err);
    *standing = known ? STANDING_KNOWN : STANDING_UNKNOWN;
    return rc;
}

/* ---- outcomes ---- */

static int note_op(struct apply *a, const struct operation *op, const struct stream_state *state,
                   uint64_t seq, enum op_outcome outcome, uint64_t version, enum sb_code code,
                   struct sb_err *err)
{
    const struct op_row row = {
        .outcome = outcome,
        .sn = state->row.sn,
        .seq = seq,
        .version = version,
        .code = code,
    };

    return store_op_put(a->store, &op->key, &row, a->now_ms, err);
}

/* Tells of a version in the reply: its highest is the one for people. */
static void tell_version(struct apply *a, uint64_t seq, uint64_t version, int64_t made_us)
{
    struct sb_reply *reply = a->reply;
    char text[SB_TIME_TEXT];

    sb_reply_version(reply, seq, version);
    if (version < reply->server_version)
        return;
    reply->server_version = version;
    sb_time_print(made_us, text);
    text_cut(reply->updated_at, sizeof(reply->updated_at), text);
}

/* V1: the tag of a version hangs on the user's previous one. */
static void make_tag(const char *previous, const struct operation *op, char out[SB_TAG_LEN + 1])
{
    const struct sb_span parts[] = {sb_span_of(previous), SB_SPAN("|"), op->key.op_id, SB_SPAN("|"),
                                    op->settings};
    unsigned char digest[32];
    uint64_t value = 0;

    sb_sha256(parts, sizeof(parts) / sizeof(parts[0]), digest);
    for (int i = 0; i < 8; i++)
        value = value << 8 | digest[i];
    sb_hex16_of(value, out);
}

static int apply_op(struct apply *a, struct stream_state *state, uint64_t seq, size_t i,
                    const struct operation *op, struct sb_err *err)
{
    struct version_row row = {
        .user = a->batch->stream.name,
        .doc = DOC,
        .op = op->key,
        .base = op->base_text,
        .submitted = op->settings,
        .sn = state->row.sn,
        .seq = seq,
        .now_us = a->now.wall_us,
    };
    struct user_row user;
    int rc = store_user_get(a->store, row.user, &user, err);

    if (rc != 0)
        return rc;
    row.version = user.version + 1;
    make_tag(user.tag, op, row.tag);
    sb_hex16_of(op->hlc, row.hlc);
    rc = store_version_add(a->store, &row, err);
    if (rc == 0)
        rc = note_op(a, op, state, seq, OP_APPLIED, row.version, SB_OK, err);
    if (rc != 0)
        return rc;
    state->row.counts.stored++;
    a->rows_added++;
    apply_outcome(a, i, SB_OUT_ACCEPTED);
    tell_version(a, seq, row.version, row.now_us);
    return 0;
}

/* A conflict in the reply, with the document that is in force today. */
static int tell_conflict(struct apply *a, uint64_t seq, size_t i, const struct operation *op,
                         enum sb_code code, struct sb_err *err)
{
    struct sb_conflict *conflict = sb_reply_conflict(a->reply, seq);
    const char *user = a->batch->stream.name;
    struct user_row row;
    int rc = store_user_get(a->store, user, &row, err);

    if (rc != 0)
        return rc;
    text_cut(conflict->op_id, sizeof(conflict->op_id), op->op_id);
    conflict->code = code;
    conflict->as_of = row.version;
    sb_buf_add_str(&conflict->pointers, "[\"\"]");
    apply_outcome(a, i, SB_OUT_CONFLICT);
    return store_document_get(a->store, user, DOC, &conflict->server, err);
}

static int open_conflict(struct apply *a, struct stream_state *state, uint64_t seq, size_t i,
                         const struct operation *op, enum sb_code code, uint64_t server_version,
                         struct sb_err *err)
{
    struct conflict_row row = {
        .op = op->key,
        .user = a->batch->stream.name,
        .code = code,
        .base = op->base_text,
        .submitted = op->settings,
        .sn = state->row.sn,
        .seq = seq,
        .server_version = server_version,
        .now_ms = a->now_ms,
    };
    int rc;

    sb_hex16_of(op->hlc, row.hlc);
    rc = store_conflict_add(a->store, &row, err);
    if (rc == 0)
        rc = note_op(a, op, state, seq, OP_CONFLICT, 0, code, err);
    if (rc != 0)
        return rc;
    state->row.counts.conflict++;
    apply_event(a, EVENT_CONFLICT_OPENED, seq, "");
    return tell_conflict(a, seq, i, op, code, err);
}

static int reject_op(struct apply *a, struct stream_state *own, struct stream_state *state,
                     uint64_t seq, size_t i, const struct operation *op, struct sb_err *err)
{
    int rc = store_op_rejection_put(a->store, &op->key, own->row.sn, seq, &op->why,
                                    a->batch->records[i].text, a->now_ms, err);

    if (rc == 0)
        rc = note_op(a, op, state, seq, OP_REJECTED, 0, SB_OK, err);
    if (rc != 0)
        return rc;
    state->row.counts.rejected++;
    apply_refuse(a, i, op->why.code, op->why.reason);
    if (a->events_left > 0) {
        a->events_left--;
        apply_event(a, EVENT_REJECTED, seq, "");
    }
    return 0;
}

/* Looks at the operation now: at its number, or beside what is there. */
static int evaluate(struct apply *a, struct stream_state *own, uint64_t seq, size_t i,
                    const struct operation *op, struct sb_err *err)
{
    struct sb_document doc = {0};
    struct stream_state *state = own;
    enum standing standing = STANDING_UNKNOWN;
    int rc = 0;

    if (sb_ranges_has(&own->row.decided, seq))
        rc = apply_branch(a, own, seq, &state, err);
    if (rc == 0)
        rc = apply_decide(a, state, seq, seq, err);
    if (rc == 0 && op->why.code != SB_OK)
        return reject_op(a, own, state, seq, i, op, err);
    if (rc == 0)
        rc = store_document_get(a->store, a->batch->stream.name, DOC, &doc, err);
    if (rc == 0)
        rc = stand(a, op, &doc, &standing, err);
    if (rc != 0)
        goto free_doc;
    if (standing == STANDING_CURRENT ||
        (standing == STANDING_KNOWN && a->config->settings_policy == POLICY_LOCAL))
        rc = apply_op(a, state, seq, i, op, err);
    else
        rc = open_conflict(a, state, seq, i, op,
                           standing == STANDING_KNOWN ? SB_OK : SB_EBASE_UNKNOWN,
                           doc.exists ? doc.version : 0, err);

free_doc:
    sb_document_free(&doc);
    return rc;
}

/* ---- D5 ---- */

struct facts {
    struct ordered_case c;
    struct op_row first;
    struct rejection_row rejection;
};

static int gather(struct apply *a, const struct stream_state *own, uint64_t seq,
                  const struct operation *op, struct facts *f, struct sb_err *err)
{
    const struct stream_row *row = &own->row;
    int rc = store_op_get(a->store, &op->key, &f->first, err);

    f->c.first = (enum op_first)f->first.outcome;
    f->c.decided = sb_ranges_has(&row->decided, seq);
    f->c.in_hole = sb_ranges_has(&row->holes, seq);
    f->c.unnamed_here = sb_ranges_has(&row->unnamed, seq);
    if (rc == 0)
        rc = store_op_rejection_get(a->store, &op->key, row->sn, seq, &f->c.rejected_here,
                                    &f->rejection, err);
    if (rc == 0 && f->c.in_hole)
        rc = store_hole_op_has(a->store, row->sn, seq, op->key.op_id, &f->c.named_here, err);
    if (rc == 0 && !sb_rule(SB_RULE_HOLE_AT))
        rc = store_hole_op_anywhere(a->store, op->key.device, op->key.stream, op->key.op_id,
                                    &f->c.named_anywhere, err);
    return rc;
}

/* The outcome of the first time, said again. */
static int answer_again(struct apply *a, uint64_t seq, size_t i, const struct operation *op,
                        const struct facts *f, enum verdict verdict, struct sb_err *err)
{
    if (verdict == VERDICT_CONFLICT_AGAIN)
        return tell_conflict(a, seq, i, op, f->first.code, err);
    if (verdict == VERDICT_DECLARED_HOLE) {
        apply_refuse(a, i, SB_EDECLARED_HOLE, "the device declared this operation given up");
        return 0;
    }
    if (verdict == VERDICT_REJECTED_AGAIN) {
        apply_refuse(a, i, f->rejection.code != SB_OK ? f->rejection.code : SB_EBAD_VALUE,
                     f->rejection.reason);
        return 0;
    }
    apply_outcome(a, i, SB_OUT_DUPLICATE);
    if (f->first.outcome == OP_APPLIED)
        tell_version(a, seq, f->first.version, f->first.decided_ms * 1000);
    return 0;
}

/* An operation that has its outcome already arrives under a number that had none. */
static int decide_again(struct apply *a, struct stream_state *own, uint64_t seq,
                        enum verdict verdict, struct sb_err *err)
{
    int rc = apply_decide(a, own, seq, seq, err);

    if (verdict == VERDICT_CONFLICT_AGAIN) {
        own->row.counts.conflict++;
    } else if (verdict == VERDICT_REJECTED_AGAIN || verdict == VERDICT_DECLARED_HOLE) {
        own->row.counts.rejected++;
    } else {
        own->row.counts.duplicates++;
        if (rc == 0)
            rc = store_dup_add(a->store, own->row.sn, seq, 0, a->now_ms, err);
    }
    return rc;
}

static int judge(struct apply *a, struct stream_state *own, size_t i, struct sb_err *err)
{
    uint64_t seq = a->batch->first_seq + i;
    struct facts f = {.rejection = {.code = SB_OK}};
    enum verdict verdict;
    struct operation op;
    int rc;

    read_operation(a, i, &op);
    rc = gather(a, own, seq, &op, &f, err);
    if (rc != 0)
        return rc;
    verdict = dedupe_ordered(&f.c);
    if (verdict == VERDICT_EVALUATE)
        return evaluate(a, own, seq, i, &op, err);
    if (dedupe_decides(f.c.decided, f.c.in_hole, false))
        rc = decide_again(a, own, seq, verdict, err);
    else
        own->row.counts.repeats++;
    stream_cache_touch(a->cache, own);
    return rc == 0 ? answer_again(a, seq, i, &op, &f, verdict, err) : rc;
}

int apply_settings(struct apply *a, struct stream_state *own, struct sb_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < a->batch->record_count; i++)
        rc = judge(a, own, i, err);
    return rc;
}
