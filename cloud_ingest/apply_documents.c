#include "apply_documents.h"

#include <stdlib.h>
#include <string.h>

#include "common/json_read.h"
#include "common/rules.h"
#include "limits.h"
#include "text.h"

/* Settings and records: operations known by their op_id (D5), versions with a base (V1 to V3), and
 * the merge (M). What is based on the document in force is applied as submitted. What is based on
 * another document that is known is merged by the policy of its table. All else is a conflict, of
 * which nothing is applied. */

struct apply_work *apply_work(struct apply *a)
{
    if (a->work == NULL)
        a->work = sb_xcalloc(1, sizeof(*a->work));
    return a->work;
}

void apply_documents_fini(struct apply *a)
{
    struct apply_work *w = a->work;

    if (w == NULL)
        return;
    free(w->ops);
    sb_document_free(&w->row.document);
    sb_buf_free(&w->base);
    store_lost_free(&w->lost);
    sb_merge_result_free(&w->merge);
    sb_stamps_free(&w->stamps);
    sb_buf_free(&w->text);
    free(w);
    a->work = NULL;
}

bool apply_documents_read(struct apply *a, char unknown[SB_NAME_MAX + 1])
{
    struct apply_work *w = apply_work(a);

    if (a->batch->record_count > w->op_cap) {
        w->op_cap = a->batch->record_count;
        w->ops = sb_xrealloc(w->ops, w->op_cap * sizeof(*w->ops));
    }
    for (size_t i = 0; i < a->batch->record_count; i++)
        if (!operation_read(a, i, &w->ops[i], unknown))
            return false;
    return true;
}

/* ---- documents and their stamps ---- */

bool document_encrypted(struct sb_span text)
{
    return text.len > 0 && text.data[0] == '"';
}

struct sb_span document_text(const struct document_row *row)
{
    if (!row->document.exists || row->document.deleted)
        return SB_SPAN("");
    return sb_buf_span(&row->document.data);
}

/* The document in force, into a->work->row. */
static int read_in_force(struct apply *a, const char *user, const char *doc, struct sb_err *err)
{
    struct document_row *row = &apply_work(a)->row;
    int rc = store_document_row(a->store, user, doc, row, err);

    a->spent += row->document.data.len + row->document.stamps.len;
    return rc;
}

static struct doc_name name_of(struct apply *a, const struct operation *op)
{
    return (struct doc_name){
        .user = a->batch->stream.name,
        .table = op->table->name,
        .id = op->id,
        .doc = op->doc,
    };
}

/* The stamps of the document in force; where none are kept, the highest one counts for all of it.
 * Empty where there is no document, not even a tombstone. */
static int read_stamps(struct sb_stamps *stamps, const struct document_row *row, struct sb_err *err)
{
    const struct sb_document *document = &row->document;
    struct sb_stamp top;
    struct sb_err why;

    sb_stamps_clear(stamps);
    if (!document->exists)
        return 0;
    if (document->stamps.len > 0) {
        if (sb_stamps_parse(stamps, sb_buf_span(&document->stamps), &why) == 0)
            return 0;
        return sb_fail(err, SB_EINTERNAL, "stamps of a document: %s", why.msg);
    }
    top = sb_stamp_of(sb_hex16_value(document->hlc), sb_span_of(row->stamp_device));
    sb_stamps_raise(stamps, SB_SPAN(""), &top);
    return 0;
}

/* A deleted document has one place, whose stamp is the highest of all. */
static void tell_as_one(struct sb_stamps *stamps, struct sb_buf *out)
{
    struct sb_stamp top = sb_stamps_highest(stamps);
    bool any = stamps->count > 0;

    sb_stamps_clear(stamps);
    if (any)
        sb_stamps_raise(stamps, SB_SPAN(""), &top);
    sb_buf_clear(out);
    sb_stamps_print(stamps, out);
}

void apply_tell_stamps(const struct table *table, struct document_row *row)
{
    struct sb_document *document = &row->document;
    struct sb_stamps stamps = {0};

    if (table == NULL || table->policy != SB_POLICY_LATEST || !document->exists ||
        document_encrypted(document_text(row))) {
        sb_buf_clear(&document->stamps);
        return;
    }
    if (document->stamps.len > 0 && !document->deleted)
        return;
    if (read_stamps(&stamps, row, NULL) != 0)
        sb_buf_clear(&document->stamps);
    else if (document->deleted)
        tell_as_one(&stamps, &document->stamps);
    else
        sb_stamps_print(&stamps, &document->stamps);
    sb_stamps_free(&stamps);
}

/* ---- V3: what is it based on? ---- */

static int base_of_conflict(struct apply *a, const struct op_key *base, const struct doc_name *name,
                            bool *known, struct sb_buf *text, struct sb_err *err)
{
    struct apply_work *w = apply_work(a);
    int rc = store_lost_get(a->store, base, &w->lost, err);

    *known = rc == 0 && w->lost.found && strcmp(w->lost.doc, name->doc) == 0;
    if (*known)
        sb_buf_add_span(text, sb_buf_span(&w->lost.submitted));
    return rc;
}

static int base_of_op(struct apply *a, const struct op_key *base, const struct doc_name *name,
                      bool *known, struct sb_buf *text, struct sb_err *err)
{
    struct op_row row;
    int rc = store_op_get(a->store, base, &row, err);

    if (rc != 0)
        return rc;
    if (row.outcome == OP_APPLIED)
        return store_submitted(a->store, name->user, name->doc, row.version, known, text, err);
    if (row.outcome == OP_CONFLICT && !sb_rule(SB_RULE_CHAIN_BREAK))
        return base_of_conflict(a, base, name, known, text, err);
    return 0;
}

int document_base(struct apply *a, const struct op_key *key, const struct doc_name *name,
                  const struct base *base, bool *known, struct sb_buf *text, struct sb_err *err)
{
    const struct op_key op = {key->device, key->stream, sb_span_of(base->id)};

    *known = false;
    sb_buf_clear(text);
    switch (base->kind) {
    case BASE_NONE:
        *known = true;
        return 0;
    case BASE_OP:
        return base_of_op(a, &op, name, known, text, err);
    case BASE_TAG:
        break;
    }
    return store_result_by_tag(a->store, name->user, name->doc, sb_span_of(base->id), known, text,
                               err);
}

/* Is it the document in force? An operation's own document is where the version it made is in force
 * and is what it submitted. */
static bool is_current(const struct operation *op, const struct document_row *row)
{
    const struct sb_document *document = &row->document;

    if (op->base.kind == BASE_NONE || !document->exists)
        return op->base.kind == BASE_NONE && !document->exists;
    if (op->base.kind == BASE_TAG)
        return strcmp(document->tag, op->base.id) == 0;
    return !row->merged && strcmp(document->op_id, op->base.id) == 0 &&
           strcmp(document->device, op->key.device) == 0;
}

/* ---- V1: a version ---- */

/* The tag of a version hangs on the user's previous one. */
static void make_tag(const struct user_row *user, struct sb_span op_id, struct sb_span result,
                     char out[SB_TAG_LEN + 1])
{
    const struct sb_span parts[] = {sb_span_of(sb_rule(SB_RULE_TAG_CHAIN) ? user->tag : ""),
                                    SB_SPAN("|"), op_id, SB_SPAN("|"), result};
    unsigned char digest[32];
    uint64_t value = 0;

    if (!sb_rule(SB_RULE_TAG)) {
        sb_hex16_of(user->version + 1, out);
        return;
    }
    sb_sha256(parts, sizeof(parts) / sizeof(parts[0]), digest);
    for (int i = 0; i < 8; i++)
        value = value << 8 | digest[i];
    sb_hex16_of(value, out);
}

/* The stamps that the document has from now on, as text; "" where none are kept. */
static int make_stamps(struct apply *a, const struct version_draft *draft,
                       const struct sb_stamp *stamp, struct sb_span *out, struct sb_err *err)
{
    struct apply_work *w = apply_work(a);
    int rc;

    *out = SB_SPAN("");
    if (draft->table->policy != SB_POLICY_LATEST || document_encrypted(draft->submitted) ||
        document_encrypted(draft->result))
        return 0;
    rc = read_stamps(&w->stamps, &w->row, err);
    if (rc != 0)
        return rc;
    sb_stamps_apply(&w->stamps, draft->base, draft->submitted, draft->result, stamp,
                    &draft->table->keys);
    sb_buf_clear(&w->text);
    sb_stamps_print(&w->stamps, &w->text);
    *out = sb_buf_span(&w->text);
    return 0;
}

int document_make_version(struct apply *a, const struct version_draft *draft, uint64_t *version,
                          struct sb_err *err)
{
    const struct document_row *in_force = &apply_work(a)->row;
    struct sb_stamp top = sb_stamp_of(0, SB_SPAN(""));
    struct sb_stamp stamp = sb_stamp_of(draft->hlc, sb_span_of(draft->op.device));
    struct version_row row = {
        .name = draft->name,
        .op = draft->op,
        .base = draft->base_text,
        .submitted = draft->submitted,
        .result = draft->result,
        .sn = draft->sn,
        .seq = draft->seq,
        .now_us = a->now.wall_us,
    };
    bool as_it_came = sb_span_eq(draft->submitted, draft->result);
    struct user_row user;
    int rc = store_user_get(a->store, row.name.user, &user, err);

    if (rc == 0)
        rc = make_stamps(a, draft, &stamp, &row.stamps, err);
    if (rc != 0)
        return rc;
    if (in_force->document.exists)
        top =
            sb_stamp_of(sb_hex16_value(in_force->document.hlc), sb_span_of(in_force->stamp_device));
    if (sb_stamp_order(&stamp, &top) > 0)
        top = stamp;
    row.version = *version = user.version + 1;
    make_tag(&user, draft->op.op_id, draft->result, row.tag);
    sb_hex16_of(draft->hlc, row.hlc);
    sb_hex16_of(top.hlc, row.top_hlc);
    row.top_device = top.device;
    row.merged = !as_it_came && (draft->submitted.len == 0 || draft->result.len == 0 ||
                                 !sb_json_equal(draft->submitted, draft->result));
    written_add(&a->written, row.name.user, row.name.table, draft->op.device, row.version,
                !as_it_came);
    return store_version_add(a->store, &row, err);
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

static int apply_op(struct apply *a, struct stream_state *state, uint64_t seq, size_t i,
                    const struct operation *op, struct sb_span base, struct sb_span result,
                    struct sb_err *err)
{
    const struct version_draft draft = {
        .name = name_of(a, op),
        .table = op->table,
        .op = op->key,
        .hlc = op->hlc,
        .base_text = op->base.text,
        .base = base,
        .submitted = op->submitted,
        .result = result,
        .sn = state->row.sn,
        .seq = seq,
    };
    uint64_t version;
    int rc = document_make_version(a, &draft, &version, err);

    if (rc == 0)
        rc = note_op(a, op, state, seq, OP_APPLIED, version, SB_OK, err);
    if (rc != 0)
        return rc;
    a->spent += result.len;
    state->row.counts.stored++;
    a->rows_added++;
    apply_outcome(a, i, SB_OUT_ACCEPTED);
    tell_version(a, seq, version, a->now.wall_us);
    return 0;
}

#define TOLD_REPLIES 4 /* so that there is a choice of what to leave out */

/* What can hardly go out beside the others is not kept for it: it is asked for. A tombstone always
 * goes out. */
static void tell_in_force(struct apply *a, struct sb_conflict *conflict)
{
    struct sb_document *document = &apply_work(a)->row.document, *told = &conflict->server;
    size_t bytes = document->data.len + document->stamps.len;

    *told = *document;
    if (document->deleted || a->told + bytes <= TOLD_REPLIES * a->config->reply_bytes) {
        a->told += bytes;
        *document = (struct sb_document){.exists = false};
        return;
    }
    told->fetch = true;
    told->data = told->stamps = (struct sb_buf){0};
}

/* A conflict in the reply, with the document that is in force today: a->work->row. */
static int tell_conflict(struct apply *a, uint64_t seq, size_t i, const struct operation *op,
                         const struct table *table, enum sb_code code, struct sb_span pointers,
                         struct sb_err *err)
{
    struct sb_conflict *conflict = sb_reply_conflict(a->reply, seq);
    struct document_row *row = &apply_work(a)->row;
    struct user_row user;
    int rc = store_user_get(a->store, a->batch->stream.name, &user, err);

    if (rc != 0)
        return rc;
    text_cut(conflict->op_id, sizeof(conflict->op_id), op->op_id);
    conflict->code = code;
    conflict->as_of = user.version;
    sb_buf_add_span(&conflict->pointers, pointers);
    if (table != NULL) {
        conflict->policy = table->policy;
        sb_buf_add_span(&conflict->arrays, sb_buf_span(&table->arrays));
    }
    apply_tell_stamps(table, row);
    tell_in_force(a, conflict);
    apply_outcome(a, i, SB_OUT_CONFLICT);
    return 0;
}

static void raise_opened(struct apply *a, uint64_t seq, const struct operation *op)
{
    struct sb_buf more = {0};

    sb_buf_add_str(&more, ",\"op_id\":");
    sb_buf_add_json(&more, sb_span_of(op->op_id));
    sb_buf_add_fmt(&more, ",\"table\":\"%s\",\"id\":", op->table->name);
    sb_buf_add_json(&more, sb_span_of(op->id));
    apply_event(a, EVENT_CONFLICT_OPENED, seq, more.data);
    sb_buf_free(&more);
}

static int open_conflict(struct apply *a, struct stream_state *state, uint64_t seq, size_t i,
                         const struct operation *op, enum sb_code code, struct sb_span pointers,
                         struct sb_err *err)
{
    const struct sb_document *document = &apply_work(a)->row.document;
    struct sb_span places = pointers.len > SB_POINTERS_MAX_BYTES ? SB_SPAN("[\"\"]") : pointers;
    struct conflict_row row = {
        .op = op->key,
        .name = name_of(a, op),
        .code = code,
        .base = op->base.text,
        .submitted = op->submitted,
        .pointers = places,
        .sn = state->row.sn,
        .seq = seq,
        .server_version = document->exists ? document->version : 0,
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
    raise_opened(a, seq, op);
    return tell_conflict(a, seq, i, op, op->table, code, places, err);
}

static int reject_op(struct apply *a, struct stream_state *own, struct stream_state *state,
                     uint64_t seq, size_t i, const struct operation *op, struct sb_err *err)
{
    int rc = store_op_rejection_put(a->store, &op->key, own->row.sn, seq, &op->why, op->record,
                                    a->now_ms, err);

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

/* ---- M: a known base that is not current ---- */

/* Two documents within the limits may make one that is beyond them, which nobody could send. */
static bool too_large(const struct apply *a, struct sb_span text)
{
    if (text.len > a->config->limits.max_record_bytes)
        return true;
    return text.len > SB_DOCUMENT_MAX_NODES &&
           sb_json_check(text, &sb_document_limits, NULL, NULL) != 0;
}

static int merge_op(struct apply *a, struct stream_state *state, uint64_t seq, size_t i,
                    const struct operation *op, struct sb_err *err)
{
    struct apply_work *w = apply_work(a);
    struct sb_merge_rules rules = {
        .policy = op->table->policy,
        .arrays = &op->table->keys,
        .local_stamp = sb_stamp_of(op->hlc, sb_span_of(op->key.device)),
    };
    struct sb_span base = sb_buf_span(&w->base);
    int rc;

    if (rules.policy == SB_POLICY_LATEST) {
        rc = read_stamps(&w->stamps, &w->row, err);
        if (rc != 0)
            return rc;
        rules.server = &w->stamps;
    }
    sb_merge(base, op->submitted, document_text(&w->row), &rules, &w->merge);
    if (w->merge.undecided.count > 0) {
        sb_buf_clear(&w->text);
        sb_pointers_print(&w->merge.undecided, &w->text);
        return open_conflict(a, state, seq, i, op, SB_OK, sb_buf_span(&w->text), err);
    }
    if (too_large(a, sb_merge_text(&w->merge)))
        return open_conflict(a, state, seq, i, op, SB_OK, SB_SPAN("[\"\"]"), err);
    return apply_op(a, state, seq, i, op, base, sb_merge_text(&w->merge), err);
}

/* V3: what becomes of a valid operation. */
static int decide(struct apply *a, struct stream_state *state, uint64_t seq, size_t i,
                  const struct operation *op, struct sb_err *err)
{
    struct apply_work *w = apply_work(a);
    const struct doc_name name = name_of(a, op);
    bool known = false;
    int rc = read_in_force(a, name.user, name.doc, err);

    if (rc != 0)
        return rc;
    if (is_current(op, &w->row))
        return apply_op(a, state, seq, i, op, document_text(&w->row), op->submitted, err);
    if (!document_encrypted(op->submitted) && !document_encrypted(document_text(&w->row)))
        rc = document_base(a, &op->key, &name, &op->base, &known, &w->base, err);
    if (rc != 0)
        return rc;
    a->spent += known ? w->base.len : 0;
    if (!known || document_encrypted(sb_buf_span(&w->base))) /* nobody here can read that */
        return open_conflict(a, state, seq, i, op, SB_EBASE_UNKNOWN, SB_SPAN("[]"), err);
    if (op->table->policy == SB_POLICY_MANUAL) /* nothing is merged, not even what would agree */
        return open_conflict(a, state, seq, i, op, SB_OK, SB_SPAN("[\"\"]"), err);
    return merge_op(a, state, seq, i, op, err);
}

/* Looks at the operation now: at its number, or beside what is there. */
static int evaluate(struct apply *a, struct stream_state *own, uint64_t seq, size_t i,
                    const struct operation *op, struct sb_err *err)
{
    struct stream_state *state = own;
    int rc = 0;

    if (sb_ranges_has(&own->row.decided, seq))
        rc = apply_branch(a, own, seq, &state, err);
    if (rc == 0)
        rc = apply_decide(a, state, seq, seq, err);
    if (rc != 0)
        return rc;
    if (op->why.code != SB_OK)
        return reject_op(a, own, state, seq, i, op, err);
    return decide(a, state, seq, i, op, err);
}

/* ---- D5 ---- */

struct facts {
    struct ordered_case c;
    struct op_row first;
    struct rejection_row rejection;
};

/* Holes at its number, or anywhere with that rule off. */
static int gather_holes(struct apply *a, const struct stream_row *row, uint64_t seq,
                        const struct operation *op, struct facts *f, struct sb_err *err)
{
    int rc = 0;

    if (f->c.in_hole)
        rc = store_hole_op_has(a->store, row->sn, seq, op->key.op_id, &f->c.named_here, err);
    if (rc == 0 && !sb_rule(SB_RULE_HOLE_AT))
        rc = store_hole_op_anywhere(a->store, op->key.device, op->key.stream, op->key.op_id,
                                    &f->c.named_anywhere, err);
    return rc;
}

static int gather(struct apply *a, const struct stream_state *own, uint64_t seq,
                  const struct operation *op, struct facts *f, struct sb_err *err)
{
    const struct stream_row *row = &own->row;
    int rc = store_op_get(a->store, &op->key, &f->first, err);

    f->c.first = (enum op_first)f->first.outcome;
    f->c.decided = sb_ranges_has(&row->decided, seq);
    f->c.in_hole = sb_ranges_has(&row->holes, seq);
    f->c.unnamed_here = sb_ranges_has(&row->unnamed, seq);
    if (rc == 0 && f->first.outcome != OP_NONE) /* never seen: never rejected */
        rc = store_op_rejection_get(a->store, &op->key, row->sn, seq, &f->c.rejected_here,
                                    &f->rejection, err);
    return rc == 0 ? gather_holes(a, row, seq, op, f, err) : rc;
}

/* The pointers of the first time with today's document. It is looked up by what was kept: what came
 * under the name now may be bad. */
static int conflict_again(struct apply *a, uint64_t seq, size_t i, const struct operation *op,
                          enum sb_code code, struct sb_err *err)
{
    struct apply_work *w = apply_work(a);
    char table[SB_NAME_MAX + 1];
    int rc = store_lost_get(a->store, &op->key, &w->lost, err);

    if (rc == 0)
        rc = read_in_force(a, a->batch->stream.name, w->lost.doc, err);
    if (rc != 0)
        return rc;
    store_doc_parse(w->lost.doc, table);
    return tell_conflict(a, seq, i, op, tables_get(a->tables, table), code,
                         sb_buf_span(&w->lost.pointers), err);
}

/* The outcome of the first time, said again. */
static int answer_again(struct apply *a, uint64_t seq, size_t i, const struct operation *op,
                        const struct facts *f, enum verdict verdict, struct sb_err *err)
{
    if (verdict == VERDICT_CONFLICT_AGAIN)
        return conflict_again(a, seq, i, op, f->first.code, err);
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
    const struct operation *op = &apply_work(a)->ops[i];
    uint64_t seq = a->batch->first_seq + i;
    struct facts f = {.rejection = {.code = SB_OK}};
    enum verdict verdict;
    int rc = gather(a, own, seq, op, &f, err);

    if (rc != 0)
        return rc;
    verdict = dedupe_ordered(&f.c);
    if (verdict == VERDICT_EVALUATE)
        return evaluate(a, own, seq, i, op, err);
    if (dedupe_decides(f.c.decided, f.c.in_hole, false))
        rc = decide_again(a, own, seq, verdict, err);
    else
        own->row.counts.repeats++;
    stream_cache_touch(a->cache, own);
    return rc == 0 ? answer_again(a, seq, i, op, &f, verdict, err) : rc;
}

int apply_documents(struct apply *a, struct stream_state *own, struct sb_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < a->batch->record_count; i++) {
        if (i > 0 && a->spent > LIMIT_BATCH_WORK) { /* the rest comes again */
            a->reply->last_seq = a->batch->first_seq + i - 1;
            break;
        }
        rc = judge(a, own, i, err);
    }
    return rc;
}
