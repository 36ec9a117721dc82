/* Stage 8, the file: what a reply, a welcome or a person changes. All of it inside the caller's
 * transaction; in-memory state follows only after the commit. */
#include "edge_agent/outbox_sqlite.h"

#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/rules.h"

int outbox_set_settled(struct outbox *ob, int64_t s, const struct sb_ranges *settled,
                       const struct sb_ranges *refused, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_STREAM_SETTLED, err);
    struct sb_buf a = {0}, b = {0};
    int rc;

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    sb_ranges_print(settled, &a);
    sb_ranges_print(refused, &b);
    sqlite3_bind_int64(stmt, 1, s);
    outbox_bind_span(stmt, 2, sb_buf_span(&a));
    outbox_bind_span(stmt, 3, sb_buf_span(&b));
    rc = outbox_run(ob, stmt, "outbox: settle", err);
    sb_buf_free(&a);
    sb_buf_free(&b);
    return rc;
}

static int add_bytes(struct outbox *ob, int64_t s, int64_t gone, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_STREAM_BYTES, err);

    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, s);
    sqlite3_bind_int64(stmt, 2, gone);
    return outbox_run(ob, stmt, "outbox: bytes", err);
}

/* A statement with one number. */
static int run_with(struct outbox *ob, enum outbox_query query, int64_t value, const char *what,
                    struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, query, err);

    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, value);
    return outbox_run(ob, stmt, what, err);
}

static int delete_row(struct outbox *ob, int64_t key, struct sb_err *err)
{
    return run_with(ob, Q_ROW_DELETE, key, "outbox: delete", err);
}

/* ---- one record of a chunk, copied out ---- */

struct record {
    uint64_t seq;
    bool found;
    struct outbox_row row; /* first_seq, last_seq of the row it is in */
    int64_t f, b;
    struct sb_buf text, op_id, before, doc;
    bool has_op, has_before, has_doc;
};

static void record_fini(struct record *record)
{
    sb_buf_free(&record->text);
    sb_buf_free(&record->op_id);
    sb_buf_free(&record->before);
    sb_buf_free(&record->doc);
}

static int copy_record(void *ctx, const struct outbox_row *row)
{
    struct record *record = ctx;
    struct sb_span part;

    if (record->seq < row->first_seq || record->seq > row->last_seq)
        return 0;
    if (row->first_seq == row->last_seq)
        part = row->body;
    else if (!sb_records_slice(row->body, record->seq - row->first_seq, 1, &part))
        return 0;
    sb_buf_add_span(&record->text, part);
    record->has_op = row->op_id.data != NULL;
    record->has_before = row->before.data != NULL;
    record->has_doc = row->doc.data != NULL;
    if (record->has_doc)
        sb_buf_add_span(&record->doc, row->doc);
    if (record->has_op)
        sb_buf_add_span(&record->op_id, row->op_id);
    if (record->has_before)
        sb_buf_add_span(&record->before, row->before);
    record->row = *row;
    record->f = row->fields_id;
    record->found = true;
    return 1;
}

static int find_boot(struct outbox *ob, const char *device_boot, int64_t *b, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_BOOT_FIND, err);
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_text(stmt, 1, device_boot, -1, SQLITE_TRANSIENT);
    rc = outbox_step(ob, stmt, "outbox: boot", err);
    *b = rc == 1 ? sqlite3_column_int64(stmt, 0) : 0;
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

/* The boot id is read while its row is still under the cursor, hence the copy. */
struct record_reader {
    struct record *record;
    char device_boot[64];
};

static int copy_record_and_boot(void *ctx, const struct outbox_row *row)
{
    struct record_reader *reader = ctx;
    int rc = copy_record(reader->record, row);

    if (rc != 0)
        strncpy(reader->device_boot, row->device_boot, sizeof(reader->device_boot) - 1);
    return rc;
}

static int read_record(struct outbox *ob, int64_t s, uint64_t seq, struct record *record,
                       struct sb_err *err)
{
    struct record_reader reader = {.record = record};
    int rc;

    *record = (struct record){.seq = seq};
    rc = outbox_rows(ob, s, seq, seq, copy_record_and_boot, &reader, err);
    if (rc == 0 && record->found)
        rc = find_boot(ob, reader.device_boot, &record->b, err);
    return rc;
}

static struct sb_span optional(const struct sb_buf *buf, bool has)
{
    return has ? sb_buf_span(buf) : (struct sb_span){NULL, 0};
}

/* A list of fields that no row and no dead letter has any more. An application may name its fields
 * by addresses or serial numbers: kept for good, they would fill the file. */
static int drop_fields(struct outbox *ob, int64_t f, struct sb_err *err)
{
    return run_with(ob, Q_FIELDS_DROP, f, "outbox: fields", err);
}

/* ---- dead letter ---- */

static int stream_is_ordered(struct outbox *ob, int64_t s, bool *ordered, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_STREAM_NAME, err);
    struct sb_stream stream = {0};
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, s);
    rc = outbox_step(ob, stmt, "outbox: stream", err);
    if (rc == 1)
        rc = sb_stream_parse(outbox_column_span(stmt, 0), &stream, err);
    else if (rc == 0)
        rc = sb_fail(err, SB_ECORRUPT, "outbox: stream %lld is missing", (long long)s);
    sqlite3_reset(stmt);
    *ordered = rc == 0 && sb_class_ordered(stream.class);
    return rc;
}

static int insert_dead(struct outbox *ob, int64_t s, const struct record *record, enum sb_code code,
                       const char *reason, int64_t wall_us, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_DEAD_ADD, err);

    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, s);
    sqlite3_bind_int64(stmt, 2, (int64_t)record->seq);
    sqlite3_bind_text(stmt, 3, sb_code_name(code), -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 4, reason, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 5, record->f);
    sqlite3_bind_int64(stmt, 6, record->b);
    sqlite3_bind_int64(stmt, 7, record->row.mono_ms);
    sqlite3_bind_int64(stmt, 8, record->row.wall_us);
    sqlite3_bind_int(stmt, 9, (int)record->row.quality);
    outbox_bind_span(stmt, 10, optional(&record->op_id, record->has_op));
    outbox_bind_span(stmt, 11, optional(&record->before, record->has_before));
    outbox_bind_span(stmt, 12, sb_buf_span(&record->text));
    sqlite3_bind_int64(stmt, 13, wall_us);
    outbox_bind_span(stmt, 14, optional(&record->doc, record->has_doc));
    return outbox_run(ob, stmt, "outbox: dead letter", err);
}

static int drop_ordered_row(struct outbox *ob, int64_t s, const struct record *record,
                            struct sb_err *err)
{
    int rc = delete_row(ob, outbox_key(s, record->seq), err);

    return rc < 0 ? rc : add_bytes(ob, s, (int64_t)record->text.len, err);
}

int outbox_dead_add(struct outbox *ob, int64_t s, uint64_t seq, enum sb_code code,
                    const char *reason, int64_t wall_us, struct sb_err *err)
{
    struct record record;
    bool ordered = false;
    int rc;

    SB_CHECK(ob->in_transaction);
    rc = read_record(ob, s, seq, &record, err);
    if (rc == 0 && !record.found)
        rc = sb_fail(err, SB_ECORRUPT, "outbox: number %llu has no row", (unsigned long long)seq);
    if (rc == 0)
        rc = stream_is_ordered(ob, s, &ordered, err);
    if (rc == 0)
        rc = insert_dead(ob, s, &record, code, reason, wall_us, err);
    if (rc == 0 && ordered)
        rc = drop_ordered_row(ob, s, &record, err);
    record_fini(&record);
    return rc;
}

int outbox_dead_refused(struct outbox *ob, int64_t s, uint64_t seq, enum sb_code code,
                        const char *reason, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_DEAD_REFUSED, err);

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, s);
    sqlite3_bind_int64(stmt, 2, (int64_t)seq);
    sqlite3_bind_text(stmt, 3, sb_code_name(code), -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 4, reason, -1, SQLITE_STATIC);
    return outbox_run(ob, stmt, "outbox: dead letter", err);
}

/* A dead letter's own columns, copied so that its row may be deleted. */
struct letter {
    int64_t id;
    struct sb_stream stream;
    struct outbox_row_values row;
    struct sb_buf op_id, before, body, doc;
    bool has_op, has_before;
};

static void letter_fini(struct letter *letter)
{
    sb_buf_free(&letter->op_id);
    sb_buf_free(&letter->before);
    sb_buf_free(&letter->body);
    sb_buf_free(&letter->doc);
}

/* 1 = found (id > 0: that letter; id 0: the one at s, seq), 0 = not. */
static int read_letter(struct outbox *ob, int64_t id, int64_t s, uint64_t seq,
                       struct letter *letter, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_DEAD_GET, err);
    struct sb_span op, before, doc;
    int rc;

    *letter = (struct letter){0};
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, id);
    sqlite3_bind_int64(stmt, 2, s);
    sqlite3_bind_int64(stmt, 3, (int64_t)seq);
    if ((rc = outbox_step(ob, stmt, "outbox: dead letter", err)) != 1)
        return rc;
    letter->row.s = sqlite3_column_int64(stmt, 0);
    letter->row.first_seq = letter->row.last_seq = (uint64_t)sqlite3_column_int64(stmt, 1);
    rc = sb_stream_parse(outbox_column_span(stmt, 2), &letter->stream, err);
    letter->row.f = sqlite3_column_int64(stmt, 3);
    letter->row.b = sqlite3_column_int64(stmt, 4);
    letter->row.mono_ms = sqlite3_column_int64(stmt, 5);
    letter->row.wall_us = sqlite3_column_int64(stmt, 6);
    letter->row.quality = sqlite3_column_int(stmt, 7);
    op = outbox_column_span(stmt, 8);
    before = outbox_column_span(stmt, 9);
    letter->has_op = op.data != NULL;
    letter->has_before = before.data != NULL;
    sb_buf_add(&letter->op_id, op.data, op.len);
    sb_buf_add(&letter->before, before.data, before.len);
    sb_buf_add_span(&letter->body, outbox_column_span(stmt, 10));
    letter->id = sqlite3_column_int64(stmt, 11);
    doc = outbox_column_span(stmt, 12);
    sb_buf_add(&letter->doc, doc.data, doc.len);
    letter->row.op_id = optional(&letter->op_id, letter->has_op);
    letter->row.before = optional(&letter->before, letter->has_before);
    letter->row.body = sb_buf_span(&letter->body);
    letter->row.doc = optional(&letter->doc, letter->doc.len > 0);
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 1;
}

static int delete_letter(struct outbox *ob, int64_t id, struct sb_err *err)
{
    return run_with(ob, Q_DEAD_DROP, id, "outbox: dead letter", err);
}

int outbox_dead_revive(struct outbox *ob, int64_t s, uint64_t seq, struct sb_err *err)
{
    struct record record;
    struct letter letter;
    int rc;

    SB_CHECK(ob->in_transaction);
    rc = read_letter(ob, 0, s, seq, &letter, err);
    if (rc == 1) {
        rc = read_record(ob, s, seq, &record, err);
        if (rc == 0 && !record.found) {
            rc = outbox_row_insert(ob, &letter.row, err);
            if (rc == 0)
                rc = add_bytes(ob, s, -(int64_t)letter.body.len, err);
        }
        if (rc == 0)
            rc = delete_letter(ob, letter.id, err);
        record_fini(&record);
    }
    letter_fini(&letter);
    return rc;
}

/* What is in force here is without that edit, since it was refused: it is read again once the edit
 * is answered. */
static int reread_document(struct outbox *ob, const struct letter *letter, struct sb_err *err)
{
    struct document_name name;

    if (letter->row.doc.len == 0)
        return 0;
    if (document_name_parse(&name, letter->stream.name, letter->row.doc, NULL) < 0)
        return sb_fail(err, SB_ECORRUPT, "outbox: a dead letter about no document");
    return outbox_document_stale(ob, &name, err);
}

/* An ordered operation goes to the end of its stream under its own op_id: outbox_append would take
 * that id for a repeat, so the id is forgotten first. */
static int enqueue_anew(struct outbox *ob, const struct letter *letter, struct sb_now now,
                        struct sb_err *err)
{
    const struct outbox_id id = {letter->row.op_id, sb_hash64(letter->row.body)};
    struct outbox_chunk chunk = {.stream = letter->stream,
                                 .body = letter->row.body,
                                 .count = 1,
                                 .ids = &id,
                                 .before = letter->row.before,
                                 .doc = letter->row.doc,
                                 .device_boot = "",
                                 .mono_ms = now.mono_ms,
                                 .wall_us = now.wall_us};
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_ID_PURGE, err);
    struct outbox_place place;
    int rc;

    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, letter->row.s);
    sqlite3_bind_int64(stmt, 2, (int64_t)letter->row.first_seq);
    sqlite3_bind_int64(stmt, 3, (int64_t)letter->row.first_seq);
    if ((rc = outbox_run(ob, stmt, "outbox: id", err)) < 0)
        return rc;
    if ((rc = outbox_append(ob, &chunk, &place, err)) < 0 ||
        (rc = reread_document(ob, letter, err)) < 0)
        return rc;
    return delete_letter(ob, letter->id, err);
}

static int flag_letter(struct outbox *ob, int64_t id, struct sb_err *err)
{
    return run_with(ob, Q_DEAD_FLAG, id, "outbox: dead letter", err);
}

int outbox_dead_retry(struct outbox *ob, int64_t id, struct sb_now now, struct sb_err *err)
{
    struct letter letter;
    int rc;

    SB_CHECK(ob->in_transaction);
    rc = read_letter(ob, id, 0, 0, &letter, err);
    if (rc == 0)
        rc = sb_fail(err, SB_ENOT_FOUND, "dead letter %lld: there is none", (long long)id);
    else if (rc == 1 && sb_class_ordered(letter.stream.class))
        rc = enqueue_anew(ob, &letter, now, err);
    else if (rc == 1)
        rc = flag_letter(ob, id, err);
    letter_fini(&letter);
    return rc;
}

int outbox_dead_drop(struct outbox *ob, int64_t id, struct sb_err *err)
{
    struct letter letter;
    int rc;

    SB_CHECK(ob->in_transaction);
    rc = read_letter(ob, id, 0, 0, &letter, err);
    if (rc == 0)
        rc = sb_fail(err, SB_ENOT_FOUND, "dead letter %lld: there is none", (long long)id);
    else if (rc == 1 && (rc = delete_letter(ob, id, err)) == 0)
        rc = drop_fields(ob, letter.row.f, err);
    letter_fini(&letter);
    return rc;
}

int outbox_given_up(struct outbox *ob, int64_t s, uint64_t seq, bool *found,
                    char op_id[SB_ID_MAX + 1], struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_GIVEN_UP, err);
    int rc;

    op_id[0] = '\0';
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, s);
    sqlite3_bind_int64(stmt, 2, (int64_t)seq);
    rc = outbox_step(ob, stmt, "outbox: dead letter", err);
    *found = rc == 1;
    if (rc == 1)
        outbox_column_copy(stmt, 0, op_id, SB_ID_MAX + 1);
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

/* ---- conflicts ---- */

int outbox_conflict_add(struct outbox *ob, int64_t s, uint64_t seq,
                        const struct document_name *name, const struct sb_conflict *conflict,
                        struct sb_span server, int64_t wall_us, struct sb_err *err)
{
    struct record record;
    int rc;

    SB_CHECK(ob->in_transaction);
    rc = read_record(ob, s, seq, &record, err);
    if (rc == 0 && !record.found)
        rc = sb_fail(err, SB_ECORRUPT, "outbox: number %llu has no row", (unsigned long long)seq);
    if (rc == 0) {
        const struct outbox_conflict_values values = {
            .s = s,
            .seq = seq,
            .name = name,
            .conflict = conflict,
            .op_id = sb_buf_span(&record.op_id),
            .record = sb_buf_span(&record.text),
            .before = optional(&record.before, record.has_before),
            .server = server,
            .wall_us = wall_us,
        };

        rc = outbox_conflict_insert(ob, &values, err);
    }
    if (rc == 0 && sb_rule(SB_RULE_SKIP_CONFLICTS)) /* else it is there to be sent again */
        rc = drop_ordered_row(ob, s, &record, err);
    record_fini(&record);
    return rc;
}

/* ---- holes ---- */

int outbox_hole_add(struct outbox *ob, int64_t s, uint64_t lo, uint64_t hi,
                    enum sb_hole_reason reason, struct sb_span ops, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_HOLE_ADD, err);

    SB_CHECK(ob->in_transaction);
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, s);
    sqlite3_bind_int64(stmt, 2, (int64_t)lo);
    sqlite3_bind_int64(stmt, 3, (int64_t)hi);
    sqlite3_bind_int(stmt, 4, (int)reason);
    outbox_bind_span(stmt, 5, ops.data != NULL ? ops : SB_SPAN(""));
    return outbox_run(ob, stmt, "outbox: hole", err);
}

struct hole_row {
    uint64_t first, last;
    enum sb_hole_reason reason;
    struct sb_buf ops;
};

/* The first hole of s that reaches into lo..hi. 1 = there is one. */
static int first_hole(struct outbox *ob, int64_t s, uint64_t lo, uint64_t hi, struct hole_row *hole,
                      struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_HOLES_IN, err);
    int rc;

    *hole = (struct hole_row){0};
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, s);
    sqlite3_bind_int64(stmt, 2, (int64_t)lo);
    sqlite3_bind_int64(stmt, 3, (int64_t)hi);
    if ((rc = outbox_step(ob, stmt, "outbox: hole", err)) != 1)
        return rc;
    hole->first = (uint64_t)sqlite3_column_int64(stmt, 0);
    hole->last = (uint64_t)sqlite3_column_int64(stmt, 1);
    hole->reason = (enum sb_hole_reason)sqlite3_column_int(stmt, 2);
    sb_buf_add_span(&hole->ops, outbox_column_span(stmt, 3));
    sqlite3_reset(stmt);
    return 1;
}

/* Keeps the part from..to of a hole that was cut. */
static int keep_part(struct outbox *ob, int64_t s, const struct hole_row *hole, uint64_t from,
                     uint64_t to, struct sb_err *err)
{
    struct sb_buf ops = {0};
    struct sb_span list = sb_buf_span(&hole->ops), part;
    int rc;

    if (from > to)
        return 0;
    if (list.len > 2) { /* [ … ] */
        list = (struct sb_span){list.data + 1, list.len - 2};
        if (sb_records_slice(list, from - hole->first, to - from + 1, &part)) {
            sb_buf_add_char(&ops, '[');
            sb_buf_add_span(&ops, part);
            sb_buf_add_char(&ops, ']');
        }
    }
    rc = outbox_hole_add(ob, s, from, to, hole->reason, sb_buf_span(&ops), err);
    sb_buf_free(&ops);
    return rc;
}

int outbox_hole_settle(struct outbox *ob, int64_t s, uint64_t lo, uint64_t hi, struct sb_err *err)
{
    struct hole_row hole;
    int rc;

    SB_CHECK(ob->in_transaction);
    while ((rc = first_hole(ob, s, lo, hi, &hole, err)) == 1) {
        sqlite3_stmt *stmt = outbox_stmt(ob, Q_HOLE_DELETE, err);

        if (stmt == NULL)
            rc = -(int)SB_EIO;
        if (rc == 1) {
            sqlite3_bind_int64(stmt, 1, s);
            sqlite3_bind_int64(stmt, 2, (int64_t)hole.first);
            rc = outbox_run(ob, stmt, "outbox: hole", err);
        }
        if (rc == 0 && hole.first < lo)
            rc = keep_part(ob, s, &hole, hole.first, lo - 1, err);
        if (rc == 0 && hole.last > hi)
            rc = keep_part(ob, s, &hole, hi + 1, hole.last, err);
        sb_buf_free(&hole.ops);
        if (rc < 0)
            return rc;
    }
    sb_buf_free(&hole.ops);
    return rc;
}

/* ---- rows that go ---- */

struct cut {
    struct outbox *ob;
    int64_t s;
    uint64_t lo, hi;
    struct record_reader reader;
    struct outbox_row_values left, right;
    struct sb_buf left_body, right_body;
    int64_t key;
    size_t bytes;
    bool found;
};

static void take_part(const struct outbox_row *row, uint64_t from, uint64_t to,
                      struct outbox_row_values *part, struct sb_buf *body)
{
    struct sb_span text;

    if (from > to || !sb_records_slice(row->body, from - row->first_seq, to - from + 1, &text))
        return;
    sb_buf_add_span(body, text);
    *part = (struct outbox_row_values){.first_seq = from,
                                       .last_seq = to,
                                       .f = row->fields_id,
                                       .mono_ms = row->mono_ms,
                                       .wall_us = row->wall_us,
                                       .quality = (int)row->quality};
}

static int cut_row(void *ctx, const struct outbox_row *row)
{
    struct cut *cut = ctx;

    cut->found = true;
    cut->key = outbox_key(cut->s, row->first_seq);
    cut->bytes = row->body.len;
    if (row->first_seq < cut->lo)
        take_part(row, row->first_seq, cut->lo - 1, &cut->left, &cut->left_body);
    if (row->last_seq > cut->hi)
        take_part(row, cut->hi + 1, row->last_seq, &cut->right, &cut->right_body);
    strncpy(cut->reader.device_boot, row->device_boot, sizeof(cut->reader.device_boot) - 1);
    return 1;
}

static int put_part(struct cut *cut, struct outbox_row_values *part, const struct sb_buf *body,
                    struct sb_err *err)
{
    int rc;

    if (part->first_seq == 0)
        return 0;
    part->s = cut->s;
    part->body = sb_buf_span(body);
    cut->bytes -= body->len < cut->bytes ? body->len : cut->bytes;
    if ((rc = find_boot(cut->ob, cut->reader.device_boot, &part->b, err)) < 0)
        return rc;
    return outbox_row_insert(cut->ob, part, err);
}

int outbox_rows_drop(struct outbox *ob, int64_t s, uint64_t lo, uint64_t hi, struct sb_err *err)
{
    int rc = 0;
    bool more = true;

    SB_CHECK(ob->in_transaction);
    while (rc == 0 && more) {
        struct cut cut = {.ob = ob, .s = s, .lo = lo, .hi = hi};

        rc = outbox_rows(ob, s, lo, hi, cut_row, &cut, err);
        more = cut.found;
        if (rc == 0 && more)
            rc = delete_row(ob, cut.key, err);
        if (rc == 0 && more)
            rc = put_part(&cut, &cut.left, &cut.left_body, err);
        if (rc == 0 && more)
            rc = put_part(&cut, &cut.right, &cut.right_body, err);
        if (rc == 0 && more)
            rc = add_bytes(ob, s, (int64_t)cut.bytes, err);
        sb_buf_free(&cut.left_body);
        sb_buf_free(&cut.right_body);
    }
    return rc;
}

static int purge_ids(struct outbox *ob, int64_t s, uint64_t lo, uint64_t hi, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_ID_PURGE, err);

    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, s);
    sqlite3_bind_int64(stmt, 2, (int64_t)lo);
    sqlite3_bind_int64(stmt, 3, (int64_t)hi);
    return outbox_run(ob, stmt, "outbox: ids", err);
}

struct old_row {
    int64_t key;
    uint64_t last;
    int64_t bytes, f;
};

/* The rows to purge, oldest first: read before anything is deleted under the cursor. */
static int find_old_rows(struct outbox *ob, int64_t s, const struct sb_ranges *settled,
                         int64_t before_us, int64_t over_bytes, struct old_row *rows, int max_rows,
                         int *count, struct sb_err *err)
{
    sqlite3_stmt *stmt = outbox_stmt(ob, Q_ROW_OLD, err);
    int rc;

    *count = 0;
    if (stmt == NULL)
        return -(int)SB_EIO;
    sqlite3_bind_int64(stmt, 1, outbox_key(s, 0));
    sqlite3_bind_int64(stmt, 2, outbox_key(s, UINT64_MAX));
    sqlite3_bind_int(stmt, 3, max_rows);
    while ((rc = outbox_step(ob, stmt, "outbox: purge", err)) == 1) {
        struct old_row row = {sqlite3_column_int64(stmt, 0),
                              (uint64_t)sqlite3_column_int64(stmt, 1),
                              sqlite3_column_int64(stmt, 3), sqlite3_column_int64(stmt, 4)};

        int64_t enqueued_us = sqlite3_column_int64(stmt, 2);
        bool young = enqueued_us >= before_us || enqueued_us < OUTBOX_CLOCK_UNSET_US;

        if (young && over_bytes <= 0)
            break;
        if (!sb_ranges_has_all(settled, outbox_key_seq(row.key), row.last))
            continue;
        over_bytes -= row.bytes;
        rows[(*count)++] = row;
    }
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int outbox_purge(struct outbox *ob, int64_t s, const struct sb_ranges *settled, int64_t before_us,
                 int64_t over_bytes, int max_rows, int *deleted, struct sb_err *err)
{
    struct old_row *rows = sb_xcalloc((size_t)max_rows, sizeof(*rows));
    int64_t bytes = 0;
    int rc;

    SB_CHECK(ob->in_transaction);
    rc = find_old_rows(ob, s, settled, before_us, over_bytes, rows, max_rows, deleted, err);
    for (int i = 0; rc == 0 && i < *deleted; i++) {
        rc = delete_row(ob, rows[i].key, err);
        if (rc == 0)
            rc = purge_ids(ob, s, outbox_key_seq(rows[i].key), rows[i].last, err);
        bytes += rows[i].bytes;
    }
    for (int i = 0; rc == 0 && i < *deleted; i++)
        if (i == 0 || rows[i].f != rows[i - 1].f)
            rc = drop_fields(ob, rows[i].f, err);
    if (rc == 0 && bytes > 0)
        rc = add_bytes(ob, s, bytes, err);
    free(rows);
    return rc;
}
