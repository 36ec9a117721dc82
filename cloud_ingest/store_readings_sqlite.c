#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json_scan.h"
#include "store_read.h"
#include "store_sqlite.h"

/* `readings`: rows of one device and type in the order they were made, values as they came. A type
 * that was declared later has older rows in the table for undeclared types: both are walked at
 * once, by number. */

#define CORRECTION_LEAST_MS 500 /* clocks that are off by less are left alone */

struct cursor {
    struct sensor_table *table;
    struct query query;
    bool row; /* it stands on one */
};

struct walk {
    struct store *store;
    const struct reading_query *ask;
    bool (*each)(void *ctx, const struct reading_info *info);
    void *ctx;
    struct cursor cursors[2]; /* typed (no table: none), undeclared */
    uint64_t left;
    bool ended;
    struct reading_field *fields;
    size_t field_cap;
    struct sb_buf text; /* of the fields of one row */
    struct reading_info info;
    int64_t sn;
    char epoch[SB_EPOCH_LEN + 1];
    struct clock_span span; /* the last one looked up, first = 0: none */
    bool span_corrected;
    int64_t correction_ms;
};

/* ---- one value as text ---- */

/* The shortest text that reads back as the same double; it shows that it is one. */
static size_t print_real(double d, char out[40])
{
    int len = 0;

    for (int digits = 15; digits <= 17; digits++) {
        len = snprintf(out, 40, "%.*g", digits, d);
        if (strtod(out, NULL) == d)
            break;
    }
    if (strpbrk(out, ".eE") == NULL)
        len += snprintf(out + len, (size_t)(40 - len), ".0");
    return (size_t)len;
}

/* Texts are collected first and given their addresses when the buffer has stopped moving. */
static struct reading_field *add_field(struct walk *w, const char *name, enum sb_json_type type)
{
    struct reading_field *field;

    if (w->info.count == w->field_cap) {
        w->field_cap = w->field_cap > 0 ? w->field_cap * 2 : 64;
        w->fields = sb_xrealloc(w->fields, w->field_cap * sizeof(*w->fields));
    }
    field = &w->fields[w->info.count++];
    *field = (struct reading_field){.name = name, .type = type, .text = {NULL, w->text.len}};
    return field;
}

static void end_field(struct walk *w, struct reading_field *field)
{
    field->text.len = w->text.len - field->text.len;
}

static void add_column(struct walk *w, const struct table_column *column, struct query *q,
                       int index)
{
    struct reading_field *field = add_field(w, column->name, SB_JSON_NUMBER);
    char real[40];

    switch (sqlite3_column_type(q->stmt, index)) {
    case SQLITE_NULL:
        field->type = SB_JSON_NULL;
        sb_buf_add_str(&w->text, "null");
        break;
    case SQLITE_INTEGER:
        if (column->type == COLUMN_BOOLEAN) {
            field->type = query_get_int(q, index) != 0 ? SB_JSON_TRUE : SB_JSON_FALSE;
            sb_buf_add_str(&w->text, field->type == SB_JSON_TRUE ? "true" : "false");
        } else {
            sb_buf_add_fmt(&w->text, "%lld", (long long)query_get_int(q, index));
        }
        break;
    case SQLITE_FLOAT:
        sb_buf_add(&w->text, real, print_real(sqlite3_column_double(q->stmt, index), real));
        break;
    default:
        if (column->type == COLUMN_STRING)
            field->type = SB_JSON_STRING;
        sb_buf_add_span(&w->text, query_get_span(q, index));
        break;
    }
    end_field(w, field);
}

static void add_extra(struct walk *w, struct sb_span extra)
{
    struct sb_json_iter iter;
    struct sb_span key, value;

    if (extra.len == 0)
        return;
    sb_json_iter_init(&iter, extra);
    while (sb_json_next_member(&iter, &key, &value)) {
        struct reading_field *field = add_field(w, NULL, sb_json_type_of(value));

        if (field->type == SB_JSON_STRING)
            sb_json_unescape(value, &w->text);
        else
            sb_buf_add_span(&w->text, value);
        end_field(w, field);
        sb_buf_add_span(&w->text, key);
        sb_buf_add_char(&w->text, '\0');
    }
}

/* Gives every field the address of its text; an extra one's name stands behind its value. */
static void address_fields(struct walk *w)
{
    const char *at = w->text.data;

    for (size_t i = 0; i < w->info.count; i++) {
        struct reading_field *field = &w->fields[i];

        field->text.data = at;
        at += field->text.len;
        if (field->name == NULL) {
            field->name = at;
            at += strlen(at) + 1;
        }
    }
    w->info.fields = w->fields;
}

/* ---- the corrected time ---- */

/* What the device's clock turned out to be off by while it ran since that boot. */
static int look_up_correction(struct walk *w, struct sb_err *err)
{
    struct query *q =
        query_start(w->store, "SELECT c.offset_ms FROM clock_spans c JOIN streams s ON s.sn = c.sn"
                              " WHERE s.device = ? AND c.device_boot = ? AND c.quality = ?"
                              " AND c.offset_ms IS NOT NULL ORDER BY c.first_seq DESC LIMIT 1");
    bool found;
    int rc;

    w->span_corrected = false;
    if (w->span.quality == SB_CLOCK_NTP || w->span.device_boot[0] == '\0' || !w->span.has_offset)
        return 0;
    query_text(q, w->ask->device);
    query_text(q, w->span.device_boot);
    query_int(q, SB_CLOCK_NTP);
    rc = query_find(q, &found, err);
    if (found) {
        w->correction_ms = query_get_int(q, 0) - w->span.offset_ms;
        w->span_corrected =
            w->correction_ms >= CORRECTION_LEAST_MS || w->correction_ms <= -CORRECTION_LEAST_MS;
    }
    return query_done(q, rc);
}

static int correct(struct walk *w, uint64_t seq, struct sb_err *err)
{
    bool found = w->span.first > 0 && seq >= w->span.first && seq <= w->span.last;
    int rc = 0;

    if (!found) {
        rc = store_span_before(w->store, w->sn, seq, &found, &w->span, err);
        found = found && seq <= w->span.last;
        if (!found)
            w->span = (struct clock_span){0};
        if (rc == 0)
            rc = look_up_correction(w, err);
    }
    w->info.corrected = found && w->span_corrected;
    w->info.corrected_us = w->info.ts_us + (w->info.corrected ? w->correction_ms * 1000 : 0);
    return rc;
}

/* ---- rows ---- */

static int step(struct cursor *cursor, struct sb_err *err)
{
    int rc = cursor->table != NULL ? query_row(&cursor->query, err) : 0;

    cursor->row = rc > 0;
    return rc < 0 ? rc : 0;
}

static void make_select(struct walk *w, struct cursor *cursor)
{
    struct sb_buf *sql = &w->store->scratch;

    sb_buf_clear(sql);
    sb_buf_add_str(sql, "SELECT seq, ts, ts_text, rx_ms, extra");
    for (size_t i = 0; i < cursor->table->count; i++)
        sb_buf_add_fmt(sql, ", \"%s\"", cursor->table->columns[i].name);
    sb_buf_add_str(sql, " FROM ");
    store_table_name(sql, cursor->table);
    sb_buf_add_str(sql, " WHERE sn = ? AND ts >= ? ORDER BY seq");
    store_prepare(w->store, &cursor->query, "SELECT FROM sensor_<type>", sql);
}

static int start(struct walk *w, struct cursor *cursor, struct sb_err *err)
{
    if (cursor->table == NULL)
        return 0;
    query_end(&cursor->query);
    cursor->query.bound = 0;
    query_int(&cursor->query, w->sn);
    query_int(&cursor->query, w->ask->has_since ? w->ask->since_us : INT64_MIN);
    return step(cursor, err);
}

static int give_row(struct walk *w, struct cursor *cursor, struct sb_err *err)
{
    struct query *q = &cursor->query;
    char ts[SB_TIME_TEXT];
    int rc;

    w->info.seq = query_get_seq(q, 0);
    w->info.ts_us = query_get_int(q, 1);
    w->info.rx_ms = query_get_int(q, 3);
    w->info.count = 0;
    sb_buf_clear(&w->text);
    for (size_t i = 0; i < cursor->table->count; i++)
        add_column(w, &cursor->table->columns[i], q, (int)i + 5);
    add_extra(w, query_get_span(q, 4));
    sb_buf_add_char(&w->text, '\0');
    address_fields(w);
    sb_time_print(w->info.ts_us, ts);
    w->info.ts = ts;
    if (sqlite3_column_type(q->stmt, 2) != SQLITE_NULL)
        w->info.ts = (const char *)sqlite3_column_text(q->stmt, 2);
    rc = correct(w, w->info.seq, err);
    if (rc == 0)
        w->ended = !w->each(w->ctx, &w->info) || --w->left == 0;
    return rc;
}

static uint64_t seq_of(struct cursor *cursor)
{
    return cursor->row ? query_get_seq(&cursor->query, 0) : UINT64_MAX;
}

static int walk_stream(struct walk *w, struct sb_err *err)
{
    struct cursor *typed = &w->cursors[0], *json = &w->cursors[1], *first;
    int rc = start(w, typed, err);

    w->span = (struct clock_span){0};
    if (rc == 0)
        rc = start(w, json, err);
    while (rc == 0 && !w->ended && (typed->row || json->row)) {
        first = seq_of(typed) <= seq_of(json) ? typed : json;
        rc = give_row(w, first, err);
        if (rc == 0)
            rc = step(first, err);
    }
    return rc;
}

static int walk_streams(struct walk *w, struct sb_err *err)
{
    struct query *q =
        query_start(w->store, "SELECT s.sn, s.epoch, s.branch FROM streams s LEFT JOIN epochs e"
                              " ON e.device = s.device AND e.epoch = s.epoch WHERE s.device = ?"
                              " AND s.stream = ? ORDER BY e.n, s.epoch, s.branch");
    char stream[SB_STREAM_MAX + 1];
    int rc = 0;

    snprintf(stream, sizeof(stream), "sensors/%s", w->ask->type);
    query_text(q, w->ask->device);
    query_text(q, stream);
    while (!w->ended && (rc = query_row(q, err)) > 0) {
        w->sn = query_get_int(q, 0);
        query_get_str(q, 1, w->epoch);
        w->info.epoch = w->epoch;
        w->info.branch = (int)query_get_int(q, 2);
        rc = walk_stream(w, err);
        if (rc != 0)
            return query_done(q, rc);
    }
    return query_done(q, w->ended ? 0 : rc);
}

int store_readings(struct store *store, const struct reading_query *query,
                   bool (*each)(void *ctx, const struct reading_info *info), void *ctx,
                   struct sb_err *err)
{
    struct walk w = {
        .store = store,
        .ask = query,
        .each = each,
        .ctx = ctx,
        .left = query->limit > 0 ? query->limit : UINT64_MAX,
        .cursors = {{.table = store_table_of(store, query->type)},
                    {.table = store_table_of(store, "")}},
    };
    int rc;

    if (!sb_name_valid(sb_span_of(query->type)))
        return sb_fail(err, SB_EBAD_ID, "type: not [A-Za-z0-9_-]{1,64}");
    rc = store_snapshot_begin(store, err);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < 2; i++)
        if (w.cursors[i].table != NULL)
            make_select(&w, &w.cursors[i]);
    rc = walk_streams(&w, err);
    for (size_t i = 0; i < 2; i++)
        sqlite3_finalize(w.cursors[i].query.stmt);
    store_snapshot_end(store);
    sb_buf_free(&w.text);
    free(w.fields);
    return rc;
}
