/* V4: operations answered conflict are merged onto the cloud's document. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json_read.h"
#include "common/log.h"
#include "common/merge.h"
#include "common/request.h"
#include "common/rules.h"
#include "edge_agent/documents_internal.h"

/* One operation that waits, without its texts. */
struct waiting_op {
    int64_t id;
    char op_id[SB_ID_MAX + 1];
    char base_op[SB_ID_MAX + 1]; /* "" where its base is no operation */
    uint64_t hlc;
};

struct waiting {
    struct waiting_op *ops;
    size_t count;
    /* of the newest answer */
    enum sb_code code;
    enum sb_policy policy;
    struct sb_array_keys arrays;
    struct sb_buf arrays_text;
};

static void waiting_fini(struct waiting *waiting)
{
    free(waiting->ops);
    sb_array_keys_free(&waiting->arrays);
    sb_buf_free(&waiting->arrays_text);
}

static int add_waiting(void *ctx, const struct outbox_conflict *conflict)
{
    struct sb_json_field f[] = {{.key = "base"}, {.key = "hlc"}};
    struct sb_json_field base_op = {.key = "op_id"};
    char hlc[SB_EPOCH_LEN + 1] = "";
    struct waiting *waiting = ctx;
    struct waiting_op *op;

    waiting->ops = sb_xgrow(waiting->ops, waiting->count, sizeof(*waiting->ops));
    op = &waiting->ops[waiting->count++];
    *op = (struct waiting_op){.id = conflict->id};
    memcpy(op->op_id, conflict->op_id, sizeof(op->op_id));
    sb_json_pick(conflict->record, f, 2);
    if (sb_field_given(&f[0])) {
        sb_json_pick(f[0].value, &base_op, 1);
        if (sb_field_given(&base_op))
            (void)sb_field_text(&base_op, op->base_op, sizeof(op->base_op), NULL);
    }
    (void)sb_field_hex16(&f[1], hlc, NULL);
    op->hlc = document_hlc_of(hlc);
    waiting->code = conflict->code;
    waiting->policy = conflict->policy;
    sb_buf_clear(&waiting->arrays_text);
    sb_buf_add_span(&waiting->arrays_text, conflict->arrays);
    return 0;
}

static int find_waiting(const struct documents *docs, const struct document_name *name,
                        struct waiting *waiting, struct sb_err *err)
{
    int rc = outbox_conflicts_waiting(docs->ob, name, 0, add_waiting, waiting, err);

    if (rc == 0 && sb_array_keys_parse(&waiting->arrays, sb_buf_span(&waiting->arrays_text), NULL))
        log_warn("user=%s table=%s arrays as told by the cloud cannot be read", name->user,
                 name->table);
    return rc;
}

/* ---- the texts of one operation ---- */

struct op_texts {
    struct sb_buf before, submitted; /* empty: absent */
};

static void op_texts_fini(struct op_texts *texts)
{
    sb_buf_free(&texts->before);
    sb_buf_free(&texts->submitted);
}

struct reading {
    const struct documents *docs;
    const struct document_name *name;
    struct op_texts *texts;
    struct sb_err *err; /* of opening */
    bool closed;        /* what was submitted could not be opened */
};

static int read_texts(void *ctx, const struct outbox_conflict *conflict)
{
    struct sb_json_field f[] = {{.key = "settings"}, {.key = "data"}};
    struct reading *reading = ctx;
    struct documents_clear clear = {.name = *reading->name};
    struct documents_inside inside = {0};
    struct sb_span content;
    bool sealed;
    int rc;

    snprintf(clear.device, sizeof(clear.device), "%s", reading->docs->device);
    memcpy(clear.op_id, conflict->op_id, sizeof(clear.op_id));
    sb_json_pick(conflict->record, f, 2);
    rc = document_open_data(reading->docs, &clear, f[f[0].value.len > 0 ? 0 : 1].value, &inside,
                            &sealed, &content, reading->err);
    reading->closed = rc < 0;
    sb_buf_add_span(&reading->texts->before, conflict->before);
    if (rc == 0)
        sb_buf_add_span(&reading->texts->submitted, content);
    documents_inside_fini(&inside);
    return 1; /* this one alone */
}

/* *closed: not to be opened; why is in *err then, and the result 0. */
static int load_texts(const struct documents *docs, const struct document_name *name, int64_t id,
                      struct op_texts *texts, bool *closed, struct sb_err *err)
{
    struct reading reading = {.docs = docs, .name = name, .texts = texts, .err = err};
    int rc;

    sb_buf_clear(&texts->before);
    sb_buf_clear(&texts->submitted);
    rc = outbox_conflicts_waiting(docs->ob, name, id - 1, read_texts, &reading, err);
    *closed = rc == 0 && reading.closed;
    return rc;
}

/* ---- merging ---- */

struct mending {
    const struct documents *docs;
    const struct document_name *name;
    const struct outbox_document *here;
    const struct document_opened *opened;
    struct waiting waiting;
    struct sb_stamps server_stamps;
    struct sb_buf base, local; /* before the first, what the last submitted */
    struct sb_buf edit;        /* what the operations alone make of `base` */
    struct sb_buf result;      /* empty: absent */
    struct sb_pointers pointers;
    enum sb_code closed; /* an operation of our own cannot be opened */
};

static void mending_fini(struct mending *m)
{
    waiting_fini(&m->waiting);
    sb_stamps_free(&m->server_stamps);
    sb_buf_free(&m->base);
    sb_buf_free(&m->local);
    sb_buf_free(&m->edit);
    sb_buf_free(&m->result);
    sb_pointers_free(&m->pointers);
}

static void set_text(struct sb_buf *buf, struct sb_span text)
{
    sb_buf_clear(buf);
    sb_buf_add_span(buf, text);
}

static bool needs_key(int rc)
{
    return rc == -(int)SB_ENO_KEY || rc == -(int)SB_EWRONG_KEY;
}

/* What the newest own operation submitted is the document here, in clear: who replaced a wrong key
 * by the right one can still send what was sealed with the wrong one. */
static bool is_here(const struct mending *m, const struct waiting_op *op)
{
    return m->here->known && !m->here->unsent && strcmp(m->here->last_op, op->op_id) == 0;
}

/* before alone: what was submitted need not be readable. */
static int load_op(struct mending *m, size_t i, bool before_alone, struct op_texts *texts,
                   struct sb_err *err)
{
    bool closed;
    int rc = load_texts(m->docs, m->name, m->waiting.ops[i].id, texts, &closed, err);

    if (rc < 0 || !closed || before_alone)
        return rc;
    if (needs_key(-(int)err->code) && is_here(m, &m->waiting.ops[i])) {
        sb_buf_add_span(&texts->submitted, sb_buf_span(&m->here->doc));
    } else {
        log_error("user=%s table=%s id=%s an edit of this device cannot be read: code=%s %s",
                  m->name->user, m->name->table, m->name->id, sb_code_name(err->code), err->msg);
        m->closed = err->code;
    }
    return rc;
}

/* What each place of the run was stamped with, and the document before it and after it. */
static int load_run(struct mending *m, size_t first, size_t last, struct sb_stamps *stamps,
                    struct sb_buf *before, struct sb_err *err)
{
    bool latest = m->waiting.policy == SB_POLICY_LATEST;
    struct op_texts texts = {0};
    int rc = 0;

    for (size_t i = first; rc == 0 && m->closed == SB_OK && i <= last; i++) {
        const struct sb_stamp stamp =
            sb_stamp_of(m->waiting.ops[i].hlc, sb_span_of(m->docs->device));
        struct sb_span submitted;

        if (!latest && i != first && i != last)
            continue;
        rc = load_op(m, i, !latest && i != last, &texts, err);
        submitted = sb_buf_span(&texts.submitted);
        if (i == first)
            set_text(before, sb_buf_span(&texts.before));
        if (latest)
            sb_stamps_apply(stamps, sb_buf_span(&texts.before), submitted, submitted, &stamp,
                            &m->waiting.arrays);
        set_text(&m->local, submitted);
    }
    op_texts_fini(&texts);
    return rc;
}

/* A later run was made on a document that somebody else had changed: what it changed itself is set
 * again on what the runs before it had come to. */
static void add_edit(struct mending *m, struct sb_span before, bool is_first)
{
    struct sb_buf edit = {0};

    if (is_first) {
        set_text(&m->base, before);
        set_text(&m->edit, sb_buf_span(&m->local));
        return;
    }
    sb_doc_reapply(before, sb_buf_span(&m->local), sb_buf_span(&m->edit), &m->waiting.arrays,
                   &edit);
    sb_buf_free(&m->edit);
    m->edit = edit;
}

static int merge_run(struct mending *m, size_t first, size_t last, struct sb_err *err)
{
    struct sb_merge_result merged = {0};
    struct sb_stamps stamps = {0};
    struct sb_buf before = {0};
    const struct sb_merge_rules rules = {
        .policy = m->waiting.policy,
        .arrays = &m->waiting.arrays,
        .local = &stamps,
        .server = &m->server_stamps,
        .local_stamp = sb_stamp_of(m->waiting.ops[last].hlc, sb_span_of(m->docs->device)),
    };
    int rc = load_run(m, first, last, &stamps, &before, err);

    if (rc == 0 && m->closed == SB_OK) {
        add_edit(m, sb_buf_span(&before), first == 0);
        sb_merge(sb_buf_span(&before), sb_buf_span(&m->local), sb_buf_span(&m->result), &rules,
                 &merged);
        sb_pointers_add_all(&m->pointers, &merged.undecided);
        set_text(&m->result, sb_merge_text(&merged));
    }
    sb_merge_result_free(&merged);
    sb_stamps_free(&stamps);
    sb_buf_free(&before);
    return rc;
}

/* Runs of operations, each made on the one before it. */
static int merge_runs(struct mending *m, struct sb_err *err)
{
    size_t first = 0;
    int rc = 0;

    while (rc == 0 && m->closed == SB_OK && first < m->waiting.count) {
        size_t last = first;

        while (last + 1 < m->waiting.count &&
               (strcmp(m->waiting.ops[last + 1].base_op, m->waiting.ops[last].op_id) == 0 ||
                !sb_rule(SB_RULE_SEGMENTS)))
            last++;
        rc = merge_run(m, first, last, err);
        first = last + 1;
    }
    return rc;
}

/* Nothing there, not even a tombstone (a cloud that was rolled back, or forgot it): the last
 * submitted document goes as a new one. */
static int take_last(struct mending *m, struct sb_err *err)
{
    struct op_texts texts = {0};
    int rc = load_op(m, m->waiting.count - 1, false, &texts, err);

    set_text(&m->result, sb_buf_span(&texts.submitted));
    set_text(&m->edit, sb_buf_span(&texts.submitted));
    op_texts_fini(&texts);
    return rc;
}

static int work_out(struct mending *m, struct sb_err *err)
{
    const struct document_opened *opened = m->opened;
    const struct sb_stamp whole = sb_stamp_of(opened->hlc, sb_span_of(opened->doc->device));

    if (!opened->doc->exists && sb_rule(SB_RULE_ABSENT_NEW))
        return take_last(m, err);
    set_text(&m->result, opened->content);
    if (m->waiting.policy == SB_POLICY_LATEST) {
        (void)sb_stamps_parse(&m->server_stamps, opened->stamps, NULL);
        if (m->server_stamps.count == 0 && opened->doc->exists)
            sb_stamps_raise(&m->server_stamps, SB_SPAN(""), &whole);
    }
    return merge_runs(m, err);
}

/* ---- what comes of it ---- */

int document_ask_spread(const struct documents *docs, const char *ask, struct sb_now now,
                        struct sb_err *err)
{
    char from[SB_UUID_LEN + 1], next[SB_UUID_LEN + 1];
    bool more = true;
    int rc = 0;

    snprintf(from, sizeof(from), "%s", ask);
    while (rc == 0 && more) {
        sb_uuid7(docs->rng, now.wall_us, next);
        rc = outbox_spread_telling(docs->ob, from, next, &more, err);
        memcpy(from, next, sizeof(from));
    }
    return rc;
}

static bool differs(const struct mending *m)
{
    struct sb_span result = sb_buf_span(&m->result), there = m->opened->content;

    if (sb_rule(SB_RULE_SEND_TEXT) || result.len == 0 || there.len == 0)
        return !sb_span_eq(result, there);
    return !sb_json_equal(result, there);
}

static void print_ops(const struct waiting *waiting, struct sb_buf *out)
{
    for (size_t i = 0; i < waiting->count; i++) {
        sb_buf_add_char(out, i == 0 ? '[' : ',');
        sb_buf_add_json(out, sb_span_of(waiting->ops[i].op_id));
    }
    sb_buf_add_char(out, ']');
}

/* The cloud's document as it is kept on the device: readable. */
static void print_server(const struct mending *m, struct sb_buf *out)
{
    struct sb_document plain = *m->opened->doc;

    plain.data = (struct sb_buf){0};
    sb_buf_add_span(&plain.data, m->opened->content);
    plain.stamps = (struct sb_buf){0};
    sb_document_encode(&plain, m->name->id, m->opened->as_of, out);
    sb_buf_free(&plain.data);
}

static int open_conflict(struct mending *m, struct sb_now now, struct sb_err *err)
{
    struct sb_buf pointers = {0}, ops = {0}, server = {0};
    struct outbox_open_conflict open = {.name = *m->name,
                                        .code = m->waiting.code,
                                        .policy = m->waiting.policy,
                                        .version = m->opened->doc->version,
                                        .arrays = sb_buf_span(&m->waiting.arrays_text),
                                        .base = sb_buf_span(&m->base),
                                        .local = sb_buf_span(&m->edit),
                                        .opened_us = now.wall_us};
    int64_t id = 0;
    int rc;

    sb_pointers_print(&m->pointers, &pointers);
    print_ops(&m->waiting, &ops);
    print_server(m, &server);
    open.pointers = sb_buf_span(&pointers);
    open.ops = sb_buf_span(&ops);
    open.server = sb_buf_span(&server);
    rc = outbox_open_conflict_add(m->docs->ob, &open, &id, err);
    if (rc == 0)
        rc = outbox_conflicts_done(m->docs->ob, m->name, CONFLICT_OPEN, id, "", err);
    if (rc == 0)
        log_warn("user=%s table=%s id=%s conflict %lld is open: %s", m->name->user, m->name->table,
                 m->name->id, (long long)id, pointers.data);
    sb_buf_free(&pointers);
    sb_buf_free(&ops);
    sb_buf_free(&server);
    return rc;
}

static int close_merged(struct mending *m, struct sb_now now, struct sb_err *err)
{
    char ask[SB_UUID_LEN + 1];
    int rc;

    sb_uuid7(m->docs->rng, now.wall_us, ask);
    rc = outbox_conflicts_done(m->docs->ob, m->name, CONFLICT_MERGED, 0, ask, err);
    return rc < 0 ? rc : document_ask_spread(m->docs, ask, now, err);
}

/* Both sides were good documents, what came of them is none that can be sent: a person decides. */
static bool unsendable(int rc)
{
    return rc == -(int)SB_ETOO_LARGE || rc == -(int)SB_ETOO_DEEP ||
           rc == -(int)SB_ETOO_MANY_NODES || rc == -(int)SB_EBAD_VALUE;
}

/* The operation that is to be sent, if any; *sends says so. */
static int make_ready(struct mending *m, const struct outbox_document *next,
                      const struct document_write *write, struct sb_now now,
                      struct document_ready *ready, bool *sends, struct sb_err *err)
{
    int rc;

    *sends = m->pointers.count == 0 && differs(m);
    if (!*sends)
        return 0;
    rc = document_prepare(m->docs, next, write, now, ready, err);
    if (unsendable(rc)) {
        log_warn("user=%s table=%s id=%s the merged document cannot be sent: %s", m->name->user,
                 m->name->table, m->name->id, err->msg);
        sb_pointers_add(&m->pointers, SB_SPAN(""));
        sb_pointers_finish(&m->pointers);
    } else if (needs_key(rc)) {
        log_error("user=%s table=%s id=%s the merged document waits: code=%s %s", m->name->user,
                  m->name->table, m->name->id, sb_code_name(err->code), err->msg);
        m->closed = err->code;
    } else {
        return rc;
    }
    *sends = false;
    return 0;
}

static int finish(struct mending *m, const struct outbox_document *local, struct sb_now now,
                  struct sb_err *err)
{
    const struct document_write write = {
        .name = m->name,
        .data = sb_buf_span(&m->result),
        .keep_hlc = m->waiting.ops[m->waiting.count - 1].hlc,
        .reserved = true,
    };
    struct document_ready ready = {0};
    struct document_receipt receipt = {0};
    struct outbox_document next;
    bool sends;
    int rc;

    document_in_force(local, m->opened, now, &next);
    rc = make_ready(m, &next, &write, now, &ready, &sends, err);
    if (rc == 0 && m->closed == SB_OK) {
        rc = document_keep_replaced(m->docs, m->name, local,
                                    sends ? write.data : m->opened->content, now, err);
        if (rc == 0 && sends)
            rc = document_enqueue(m->docs, &next, &write, &ready, now, &receipt, err);
        if (rc == 0)
            rc = outbox_document_set(m->docs->ob, m->name, &next, err);
        if (rc == 0)
            rc = m->pointers.count > 0 ? open_conflict(m, now, err) : close_merged(m, now, err);
    }
    document_ready_fini(&ready);
    outbox_document_fini(&next);
    return rc;
}

/* An operation of our own, or a key to seal with, is missing: all of it waits, nothing is changed
 * but the mark. */
static int note_closed(struct mending *m, struct sb_err *err)
{
    struct outbox_document local;
    int rc = outbox_document_get(m->docs->ob, m->name, &local, err);

    if (rc == 0)
        rc = document_note_trouble(m->docs, m->name, &local, m->closed, err);
    outbox_document_fini(&local);
    return rc;
}

int document_merge_waiting(const struct documents *docs, const struct document_name *name,
                           const struct outbox_document *local,
                           const struct document_opened *opened, struct sb_now now, bool *waited,
                           struct sb_err *err)
{
    struct mending m = {.docs = docs, .name = name, .here = local, .opened = opened};
    int rc = find_waiting(docs, name, &m.waiting, err);

    *waited = rc == 0 && m.waiting.count > 0;
    if (*waited) {
        rc = work_out(&m, err);
        if (rc == 0 && m.closed == SB_OK)
            rc = finish(&m, local, now, err);
        if (rc == 0 && m.closed != SB_OK)
            rc = note_closed(&m, err);
    }
    mending_fini(&m);
    return rc;
}

/* ---- after answers ---- */

/* The cloud's document of the newest answer. (Its version counter need not be the highest: the
 * cloud may have been rolled back in between.) */
struct newest {
    bool found;
    struct sb_buf server;
};

static int look_for_newest(void *ctx, const struct outbox_conflict *conflict)
{
    struct newest *newest = ctx;

    newest->found = true;
    set_text(&newest->server, conflict->server);
    return 0;
}

/* An answer of later named a version above it: that document is not the one in force any more. */
static bool outdated(const struct sb_document *doc, uint64_t as_of,
                     const struct outbox_document *local)
{
    return document_version_of(doc, as_of, local->seen) < local->seen;
}

static int mend_onto(const struct documents *docs, const struct document_name *name,
                     const struct sb_document *doc, uint64_t as_of, struct sb_now now,
                     enum documents_mended *mended, struct sb_err *err)
{
    struct outbox_document local;
    struct document_opened opened = {0};
    enum sb_code trouble = SB_OK;
    bool waited = false;
    int rc = outbox_document_get(docs->ob, name, &local, err);

    if (rc == 0 && (doc->fetch || outdated(doc, as_of, &local))) {
        *mended = DOCUMENTS_UNREAD;
        if (!local.stale)
            rc = outbox_document_stale(docs->ob, name, err);
    } else if (rc == 0 && !local.unsent) { /* such edits count as pending */
        document_open(docs, name, &local, doc, as_of, now, &opened, &trouble);
        if (trouble != SB_OK)
            rc = document_note_trouble(docs, name, &local, trouble, err);
        else
            rc = document_merge_waiting(docs, name, &local, &opened, now, &waited, err);
        if (rc == 0 && waited)
            *mended = DOCUMENTS_MENDED;
        document_opened_fini(&opened);
    }
    outbox_document_fini(&local);
    return rc;
}

int documents_mend(const struct documents *docs, const struct document_name *name,
                   struct sb_now now, enum documents_mended *mended, struct sb_err *err)
{
    struct newest newest = {0};
    struct sb_document doc = {0};
    char id[SB_ID_MAX + 1];
    bool pending = false;
    uint64_t as_of = 0;
    int rc;

    *mended = DOCUMENTS_SAME;
    if (sb_rule(SB_RULE_MERGE_LAST) &&
        (rc = outbox_document_pending(docs->ob, name, &pending, err)) < 0)
        return rc;
    if (pending)
        return 0;
    rc = outbox_conflicts_waiting(docs->ob, name, 0, look_for_newest, &newest, err);
    if (rc == 0 && newest.found)
        rc = sb_document_decode(sb_buf_span(&newest.server), &doc, id, &as_of, err);
    if (rc == 0 && newest.found)
        rc = mend_onto(docs, name, &doc, as_of, now, mended, err);
    sb_document_free(&doc);
    sb_buf_free(&newest.server);
    return rc;
}
