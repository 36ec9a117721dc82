#include "doc_kit.h"

#include <stdio.h>
#include <string.h>

#include "common/request.h"

struct documents doc_env;
struct enqueue *doc_eq;

int doc_setup(void **state)
{
    static const struct enqueue_switches all_on = {true, true, true, true, 0};
    int rc = kit_setup(state);

    if (rc == 0)
        doc_eq = enqueue_new(kit_ob, &all_on, KIT_BOOT);
    doc_env = (struct documents){
        .ob = kit_ob, .rng = &kit_rng, .device = DOC_DEVICE, .device_boot = KIT_BOOT};
    return rc;
}

int doc_teardown(void **state)
{
    enqueue_free(doc_eq);
    return kit_teardown(state);
}

struct document_name doc_name(const char *table, const char *id)
{
    struct document_name name;

    assert_int_equal(document_name_make(&name, "user-1", table, id, &kit_err), 0);
    return name;
}

/* ---- edits ---- */

int doc_try_put(const char *table, const char *id, const char *op_id, const char *data,
                struct enqueue_receipt *receipt)
{
    const struct document_name name = doc_name(table, id);
    int rc;

    enqueue_set_codec(doc_eq, DOC_DEVICE, doc_env.codec);
    rc = enqueue_document(doc_eq, &name, data != NULL ? DOCUMENT_PUT : DOCUMENT_DELETE,
                          sb_span_of(data != NULL ? data : ""), sb_span_of(op_id), kit_now,
                          &kit_rng, receipt, &kit_err);
    return rc < 0 ? rc : enqueue_commit(doc_eq, &kit_err);
}

void doc_put(const char *table, const char *id, const char *op_id, const char *data)
{
    assert_int_equal(doc_try_put(table, id, op_id, data, NULL), 0);
}

void doc_put_settings(const char *op_id, const char *data)
{
    doc_put("settings", "", op_id, data);
}

void doc_set_switch(enum sb_up_class class, bool on)
{
    kit_begin();
    assert_int_equal(outbox_switch_set(kit_ob, "user-1", class, on, &kit_err), 0);
    kit_commit();
}

/* ---- answers ---- */

static void settle(const char *stream, uint64_t seq, bool refused)
{
    struct lane *lane = kit_load(stream);

    sb_ranges_add(&lane->settled, seq, seq);
    if (refused)
        sb_ranges_add(&lane->refused, seq, seq);
    assert_int_equal(outbox_set_settled(kit_ob, lane->s, &lane->settled, &lane->refused, &kit_err),
                     0);
}

static struct document_name name_of(const char *stream, uint64_t seq, char op_id[SB_ID_MAX + 1])
{
    char doc[DOCUMENT_TEXT_MAX + 1];
    struct document_name name;
    bool found;

    assert_int_equal(
        outbox_row_document(kit_ob, kit_load(stream)->s, seq, &found, doc, op_id, &kit_err), 0);
    assert_true(found);
    assert_int_equal(document_name_parse(&name, "user-1", sb_span_of(doc), &kit_err), 0);
    return name;
}

void doc_conflict(const char *stream, uint64_t seq, enum sb_policy policy, const char *server)
{
    char op_id[SB_ID_MAX + 1];
    const struct document_name name = name_of(stream, seq, op_id);
    struct sb_conflict conflict = {.policy = policy};

    kit_begin();
    assert_int_equal(outbox_conflict_add(kit_ob, kit_load(stream)->s, seq, &name, &conflict,
                                         sb_span_of(server), kit_now.wall_us, &kit_err),
                     0);
    assert_int_equal(
        outbox_policy_set(kit_ob, name.user, name.table, policy, SB_SPAN(""), &kit_err), 0);
    settle(stream, seq, true);
    kit_commit();
}

void doc_acked(const char *stream, uint64_t seq, uint64_t version)
{
    char op_id[SB_ID_MAX + 1];
    const struct document_name name = name_of(stream, seq, op_id);

    kit_begin();
    assert_int_equal(documents_acked(kit_ob, &name, op_id, version, &kit_err), 0);
    settle(stream, seq, false);
    kit_commit();
}

enum documents_mended doc_mend(const char *table, const char *id)
{
    const struct document_name name = doc_name(table, id);
    enum documents_mended mended;

    kit_begin();
    assert_int_equal(documents_mend(&doc_env, &name, kit_now, &mended, &kit_err), 0);
    kit_commit();
    return mended;
}

enum documents_taken doc_take(const char *table, const char *id, const char *document)
{
    const struct document_name name = doc_name(table, id);
    enum documents_taken taken;
    struct sb_document doc;
    char its_id[SB_ID_MAX + 1];
    uint64_t as_of;

    assert_int_equal(sb_document_decode(sb_span_of(document), &doc, its_id, &as_of, &kit_err), 0);
    kit_begin();
    assert_int_equal(documents_take(&doc_env, &name, &doc, as_of, kit_now, &taken, &kit_err), 0);
    kit_commit();
    sb_document_free(&doc);
    return taken;
}

/* ---- what is there ---- */

void doc_get(const char *table, const char *id, struct outbox_document *doc)
{
    const struct document_name name = doc_name(table, id);

    assert_int_equal(outbox_document_get(kit_ob, &name, doc, &kit_err), 0);
}

void doc_assert(const char *table, const char *id, const char *text)
{
    struct outbox_document doc;

    doc_get(table, id, &doc);
    assert_string_equal(doc.exists ? doc.doc.data : "-", text);
    outbox_document_fini(&doc);
}

void doc_assert_base(const char *table, const char *id, const char *last_op, const char *tag)
{
    struct outbox_document doc;

    doc_get(table, id, &doc);
    assert_string_equal(doc.last_op, last_op);
    assert_string_equal(doc.base_tag, tag);
    outbox_document_fini(&doc);
}

bool doc_is_stale(const char *table, const char *id)
{
    struct outbox_document doc;
    bool stale;

    doc_get(table, id, &doc);
    stale = doc.stale;
    outbox_document_fini(&doc);
    return stale;
}

static int copy_body(void *ctx, const struct outbox_row *row)
{
    sb_buf_add_span(ctx, row->body);
    return 0;
}

void doc_operation(const char *stream, uint64_t seq, struct sb_buf *body)
{
    sb_buf_add_str(body, "");
    assert_int_equal(outbox_rows(kit_ob, kit_load(stream)->s, seq, seq, copy_body, body, &kit_err),
                     0);
}

uint64_t doc_made(const char *stream)
{
    const struct lane *lane;

    assert_int_equal(lanes_load(&kit_lanes, kit_ob, &kit_err), 0);
    lane = lanes_find_named(&kit_lanes, kit_lanes.epoch, stream);
    return lane != NULL ? lane_made(lane) : 0;
}

void doc_assert_operation(const char *stream, uint64_t seq, const char *part)
{
    struct sb_buf body = {0};

    doc_operation(stream, seq, &body);
    if (strstr(body.data, part) == NULL)
        assert_string_equal(body.data, part); /* shows both */
    sb_buf_free(&body);
}

static int print_open(void *ctx, const struct outbox_open_conflict *open)
{
    sb_buf_add_fmt(ctx, "%lld " SB_SPAN_FMT " base=" SB_SPAN_FMT " local=" SB_SPAN_FMT ";",
                   (long long)open->id, SB_SPAN_ARG(open->pointers), SB_SPAN_ARG(open->base),
                   SB_SPAN_ARG(open->local));
    return 0;
}

void doc_assert_open(const char *text)
{
    struct sb_buf buf = {0};

    sb_buf_add_str(&buf, "");
    assert_int_equal(
        outbox_open_conflicts(kit_ob, 0, "user-1", NULL, false, print_open, &buf, &kit_err), 0);
    assert_string_equal(buf.data, text);
    sb_buf_free(&buf);
}
