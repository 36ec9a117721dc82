#include "store_sqlite.h"

#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "limits.h"

/* Readings: a typed table per declared type, one for all others, and what the devices' clocks said.
 *
 * A number column is ANY: in a STRICT table that keeps what is bound, so that 1, 1.0 and 2^53 + 1
 * come back as they were; whole numbers beyond 64 bits are kept as their digits (TEXT). */

/* ---- making the tables ---- */

static const char *storage_of(enum column_type type)
{
    switch (type) {
    case COLUMN_NUMBER:
        return "ANY";
    case COLUMN_INTEGER:
    case COLUMN_BOOLEAN:
        return "INTEGER";
    case COLUMN_STRING:
        return "TEXT";
    }
    return "ANY";
}

static int note_column(struct store *store, const struct mapping *mapping, size_t index,
                       struct sb_err *err)
{
    struct query *q = query_start(
        store, "INSERT INTO sensor_columns (type, name, kind, position) VALUES (?, ?, ?, ?)");

    query_text(q, mapping->type);
    query_text(q, mapping->columns[index].name);
    query_int(q, mapping->columns[index].type);
    query_int(q, (int64_t)index);
    return query_run(q, err);
}

/* The kind noted for a column, 0 when there is none of that name. */
static int noted_kind(struct store *store, const char *type, const char *name, int64_t *kind,
                      struct sb_err *err)
{
    struct query *q =
        query_start(store, "SELECT kind FROM sensor_columns WHERE type = ? AND name = ?");
    bool found;
    int rc;

    query_text(q, type);
    query_text(q, name);
    rc = query_find(q, &found, err);
    *kind = found ? query_get_int(q, 0) : 0;
    return query_done(q, rc);
}

static int add_column(struct store *store, const struct mapping *mapping, size_t index,
                      struct sb_err *err)
{
    const struct column *column = &mapping->columns[index];
    struct sb_buf sql = {0};
    int rc;

    sb_buf_add_fmt(&sql, "ALTER TABLE \"sensor_%s\" ADD COLUMN \"%s\" %s", mapping->type,
                   column->name, storage_of(column->type));
    rc = sb_db_exec(store->db, sql.data, err);
    sb_buf_free(&sql);
    return rc == 0 ? note_column(store, mapping, index, err) : rc;
}

static int check_column(struct store *store, const struct mapping *mapping, size_t index,
                        struct sb_err *err)
{
    const struct column *column = &mapping->columns[index];
    int64_t kind;
    int rc = noted_kind(store, mapping->type, column->name, &kind, err);

    if (rc != 0)
        return rc;
    if (kind == 0)
        return add_column(store, mapping, index, err);
    if (kind != (int64_t)column->type)
        return sb_fail(err, SB_ECONFIG,
                       "mapping %s: column %s is %s and the table holds %s; give the new kind "
                       "another name",
                       mapping->type, column->name, column_type_name(column->type),
                       column_type_name((enum column_type)kind));
    return 0;
}

static bool declares(const struct mapping *mapping, const char *name)
{
    for (size_t i = 0; i < mapping->count; i++)
        if (strcmp(mapping->columns[i].name, name) == 0)
            return true;
    return false;
}

static int check_no_column_lost(struct store *store, const struct mapping *mapping,
                                struct sb_err *err)
{
    struct query *q = query_start(store, "SELECT name FROM sensor_columns WHERE type = ?");
    char name[SB_NAME_MAX + 1];
    int rc;

    query_text(q, mapping->type);
    while ((rc = query_row(q, err)) > 0) {
        query_get_str(q, 0, name);
        if (!declares(mapping, name))
            return query_done(q, sb_fail(err, SB_ECONFIG,
                                         "mapping %s: the table has a column %s that is no longer "
                                         "declared; columns stay",
                                         mapping->type, name));
    }
    return rc;
}

static int make_table(struct store *store, const struct mapping *mapping, struct sb_err *err)
{
    struct sb_buf sql = {0};
    int rc;

    sb_buf_add_fmt(&sql,
                   "CREATE TABLE IF NOT EXISTS \"sensor_%s\" (sn INTEGER NOT NULL,"
                   " seq INTEGER NOT NULL, ts INTEGER NOT NULL, ts_text TEXT,"
                   " rx_ms INTEGER NOT NULL, extra TEXT, PRIMARY KEY (sn, seq))"
                   " STRICT, WITHOUT ROWID",
                   mapping->type);
    rc = sb_db_exec(store->db, sql.data, err);
    sb_buf_free(&sql);
    for (size_t i = 0; rc == 0 && i < mapping->count; i++)
        rc = check_column(store, mapping, i, err);
    return rc == 0 ? check_no_column_lost(store, mapping, err) : rc;
}

static int make_tables(struct store *store, void *ctx, struct sb_err *err)
{
    int rc = 0;

    (void)ctx;
    for (size_t i = 0; rc == 0 && i < mapping_set_count(store->mappings); i++)
        rc = make_table(store, mapping_set_at(store->mappings, i), err);
    return rc;
}

/* ---- knowing the tables ---- */

struct sensor_table *store_table_of(struct store *store, const char *type)
{
    for (size_t i = 0; i < store->table_count; i++)
        if (strcmp(store->tables[i].type, type) == 0)
            return &store->tables[i];
    return NULL;
}

static struct sensor_table *add_table(struct store *store, const char *type)
{
    struct sensor_table *table;

    store->tables = sb_xrealloc(store->tables, (store->table_count + 1) * sizeof(*store->tables));
    table = &store->tables[store->table_count++];
    *table = (struct sensor_table){0};
    memcpy(table->type, type, strlen(type) + 1);
    if (store->mappings != NULL)
        table->mapping = mapping_set_get(store->mappings, type);
    return table;
}

static int know_tables(struct store *store, struct sb_err *err)
{
    struct query *q = query_start(
        store, "SELECT type, name, kind FROM sensor_columns ORDER BY type, position, name");
    struct sensor_table *table = add_table(store, "");
    struct table_column *column;
    char type[SB_NAME_MAX + 1];
    int rc;

    while ((rc = query_row(q, err)) > 0) {
        query_get_str(q, 0, type);
        if (strcmp(table->type, type) != 0)
            table = add_table(store, type);
        table->columns = sb_xrealloc(table->columns, (table->count + 1) * sizeof(*table->columns));
        column = &table->columns[table->count++];
        query_get_str(q, 1, column->name);
        column->type = (enum column_type)query_get_int(q, 2);
    }
    return rc;
}

int store_sensors_open(struct store *store, bool make, struct sb_err *err)
{
    int rc = 0;

    if (make && store->mappings != NULL)
        rc = store_alone(store, make_tables, NULL, err);
    return rc == 0 ? know_tables(store, err) : rc;
}

static void free_tables(struct sensor_table *tables, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct sensor_table *table = &tables[i];

        sqlite3_finalize(table->select.stmt);
        for (size_t k = 0; k < table->insert_count; k++)
            sqlite3_finalize(table->inserts[k].query.stmt);
        free(table->columns);
    }
    free(tables);
}

void store_sensors_close(struct store *store)
{
    free_tables(store->tables, store->table_count);
    store->tables = NULL;
    store->table_count = 0;
}

int store_sensors_refit(struct store *store, struct sb_err *err)
{
    struct sensor_table *tables = store->tables;
    size_t count = store->table_count;
    int rc;

    store->tables = NULL;
    store->table_count = 0;
    rc = store_sensors_open(store, true, err);
    if (rc == 0) {
        free_tables(tables, count);
        return 0;
    }
    store_sensors_close(store);
    store->tables = tables;
    store->table_count = count;
    return rc;
}

void store_table_name(struct sb_buf *sql, const struct sensor_table *table)
{
    if (table->type[0] == '\0')
        sb_buf_add_str(sql, "readings_json");
    else
        sb_buf_add_fmt(sql, "\"sensor_%s\"", table->type);
}

struct query *store_prepare(struct store *store, struct query *q, const char *what,
                            const struct sb_buf *sql)
{
    *q = (struct query){.store = store, .sql = what};
    sqlite3_prepare_v3(store->db, sql->data, -1, SQLITE_PREPARE_PERSISTENT, &q->stmt, NULL);
    return q;
}

/* ---- writing a reading ---- */

static struct query *make_insert(struct store *store, struct sensor_table *table, struct query *q,
                                 uint64_t columns)
{
    struct sb_buf *sql = &store->scratch;
    int more = 0;

    sb_buf_clear(sql);
    sb_buf_add_str(sql, "INSERT INTO ");
    store_table_name(sql, table);
    sb_buf_add_str(sql, " (sn, seq, ts, ts_text, rx_ms, extra");
    for (size_t i = 0; i < MAPPING_COLUMNS_MAX; i++) {
        if ((columns >> i & 1) == 0)
            continue;
        sb_buf_add_fmt(sql, ", \"%s\"", table->mapping->columns[i].name);
        more++;
    }
    sb_buf_add_str(sql, ") VALUES (?, ?, ?, ?, ?, ?");
    while (more-- > 0)
        sb_buf_add_str(sql, ", ?");
    sb_buf_add_char(sql, ')');
    return store_prepare(store, q, "INSERT INTO sensor_<type>", sql);
}

/* The insert for just these columns: what is not bound costs nothing. */
static struct query *insert_for(struct store *store, struct sensor_table *table, uint64_t columns)
{
    size_t slot;

    for (size_t i = 0; i < table->insert_count; i++)
        if (table->inserts[i].columns == columns)
            return &table->inserts[i].query;
    if (table->insert_count < LIMIT_INSERTS) {
        slot = table->insert_count++;
    } else {
        slot = table->insert_next++ % LIMIT_INSERTS;
        sqlite3_finalize(table->inserts[slot].query.stmt);
    }
    table->inserts[slot].columns = columns;
    return make_insert(store, table, &table->inserts[slot].query, columns);
}

static void bind_value(struct query *q, const struct value *value)
{
    switch (value->kind) {
    case VALUE_NULL:
        query_null(q);
        break;
    case VALUE_INT:
        query_int(q, value->i);
        break;
    case VALUE_REAL:
        sqlite3_bind_double(q->stmt, ++q->bound, value->d);
        break;
    case VALUE_TEXT:
        query_span(q, value->text);
        break;
    }
}

int store_reading_put(struct store *store, const struct plan *plan, const char *type, int64_t sn,
                      uint64_t seq, const struct reading *reading, int64_t rx_ms,
                      struct sb_err *err)
{
    struct sensor_table *table = store_table_of(store, plan->mapping != NULL ? type : "");
    struct query *q;

    SB_CHECK(table != NULL);
    q = insert_for(store, table, plan->columns);
    q->bound = 0;
    query_int(q, sn);
    query_seq(q, seq);
    query_int(q, reading->ts_us);
    query_span_or_null(q, reading->ts_text);
    query_int(q, rx_ms);
    query_span_or_null(q, sb_buf_span(&reading->extra));
    for (uint64_t left = plan->columns; left != 0; left &= left - 1)
        bind_value(q, &reading->values[__builtin_ctzll(left)]);
    return query_run(q, err);
}

/* ---- reading one back ---- */

static struct query *select_of(struct store *store, struct sensor_table *table)
{
    struct sb_buf *sql = &store->scratch;

    if (table->select.stmt != NULL)
        return &table->select;
    sb_buf_clear(sql);
    sb_buf_add_str(sql, "SELECT ts, ts_text, rx_ms, extra");
    for (size_t i = 0; i < table->count; i++)
        sb_buf_add_fmt(sql, ", \"%s\"", table->columns[i].name);
    sb_buf_add_str(sql, " FROM ");
    store_table_name(sql, table);
    sb_buf_add_str(sql, " WHERE sn = ? AND seq = ?");
    return store_prepare(store, &table->select, "SELECT FROM sensor_<type>", sql);
}

static struct sb_span keep_text(struct store *store, struct query *q, int column)
{
    struct sb_span text = query_get_span(q, column);
    size_t at = store->row_text.len;

    sb_buf_add_span(&store->row_text, text);
    return (struct sb_span){store->row_text.data + at, text.len};
}

/* False for NULL. */
static bool read_value(struct store *store, struct query *q, int column, struct value *value)
{
    switch (sqlite3_column_type(q->stmt, column)) {
    case SQLITE_NULL:
        return false;
    case SQLITE_INTEGER:
        *value = (struct value){.kind = VALUE_INT, .i = query_get_int(q, column)};
        return true;
    case SQLITE_FLOAT:
        *value = (struct value){.kind = VALUE_REAL, .d = sqlite3_column_double(q->stmt, column)};
        return true;
    default:
        *value = (struct value){.kind = VALUE_TEXT, .text = keep_text(store, q, column)};
        return true;
    }
}

/* So that the buffer does not move while texts are copied into it. */
static void make_room(struct store *store, struct query *q)
{
    size_t bytes = 1;

    for (int i = 0; i < sqlite3_column_count(q->stmt); i++) {
        int type = sqlite3_column_type(q->stmt, i);

        if (type == SQLITE_TEXT || type == SQLITE_BLOB)
            bytes += (size_t)sqlite3_column_bytes(q->stmt, i);
    }
    sb_buf_clear(&store->row_text);
    sb_buf_reserve(&store->row_text, bytes);
}

static void read_reading(struct store *store, const struct sensor_table *table, struct query *q,
                         struct stored_reading *row)
{
    make_room(store, q);
    row->ts_us = query_get_int(q, 0);
    row->ts_text = keep_text(store, q, 1);
    row->rx_ms = query_get_int(q, 2);
    row->extra = keep_text(store, q, 3);
    row->count = 0;
    for (size_t i = 0; i < table->count && row->count < MAPPING_COLUMNS_MAX; i++) {
        struct stored_value *value = &row->values[row->count];

        if (!read_value(store, q, (int)i + 4, &value->value))
            continue;
        value->name = table->columns[i].name;
        value->type = table->columns[i].type;
        row->count++;
    }
}

static int get_from(struct store *store, struct sensor_table *table, int64_t sn, uint64_t seq,
                    bool *found, struct stored_reading *row, struct sb_err *err)
{
    struct query *q = select_of(store, table);
    int rc;

    q->bound = 0;
    query_int(q, sn);
    query_seq(q, seq);
    rc = query_find(q, found, err);
    if (*found)
        read_reading(store, table, q, row);
    return query_done(q, rc);
}

int store_reading_get(struct store *store, const char *type, int64_t sn, uint64_t seq, bool *found,
                      struct stored_reading *row, struct sb_err *err)
{
    struct sensor_table *table = store_table_of(store, type);
    int rc = 0;

    *found = false;
    if (table != NULL)
        rc = get_from(store, table, sn, seq, found, row, err);
    if (rc == 0 && !*found) /* stored before the type was declared */
        rc = get_from(store, store_table_of(store, ""), sn, seq, found, row, err);
    return rc;
}

static int delete_from(struct store *store, struct sensor_table *table, int64_t sn, uint64_t seq,
                       bool *gone, struct sb_err *err)
{
    struct sb_buf *sql = &store->scratch;
    struct query q;
    int rc;

    sb_buf_clear(sql);
    sb_buf_add_str(sql, "DELETE FROM ");
    store_table_name(sql, table);
    sb_buf_add_str(sql, " WHERE sn = ? AND seq = ?");
    store_prepare(store, &q, "DELETE FROM sensor_<type>", sql);
    query_int(&q, sn);
    query_seq(&q, seq);
    rc = query_run(&q, err);
    *gone = rc == 0 && sqlite3_changes(store->db) > 0;
    sqlite3_finalize(q.stmt);
    return rc;
}

static int forget_identity(struct store *store, int64_t sn, uint64_t seq, struct sb_err *err)
{
    struct query *q = query_start(store, "DELETE FROM reading_ids WHERE sn = ? AND seq = ?");

    query_int(q, sn);
    query_seq(q, seq);
    return query_run(q, err);
}

int store_reading_delete(struct store *store, const char *type, int64_t sn, uint64_t seq,
                         bool *gone, struct sb_err *err)
{
    struct sensor_table *table = store_table_of(store, type);
    int rc = 0;

    *gone = false;
    if (table != NULL)
        rc = delete_from(store, table, sn, seq, gone, err);
    if (rc == 0 && !*gone)
        rc = delete_from(store, store_table_of(store, ""), sn, seq, gone, err);
    return rc == 0 && *gone ? forget_identity(store, sn, seq, err) : rc;
}

/* ---- frames that are known by an identity ---- */

int store_reading_id_add(struct store *store, const char *device, const char *type, uint64_t hash,
                         int64_t sn, uint64_t seq, struct sb_err *err)
{
    struct query *q = query_start(
        store, "INSERT INTO reading_ids (device, type, hash, sn, seq) VALUES (?, ?, ?, ?, ?)");

    query_text(q, device);
    query_text(q, type);
    query_int(q, (int64_t)hash);
    query_int(q, sn);
    query_seq(q, seq);
    return query_run(q, err);
}

int store_reading_ids(struct store *store, const char *device, const char *type, uint64_t hash,
                      struct reading_place places[STORE_READING_IDS], size_t *count,
                      struct sb_err *err)
{
    struct query *q = query_start(store, "SELECT sn, seq FROM reading_ids WHERE device = ?"
                                         " AND type = ? AND hash = ? ORDER BY sn, seq LIMIT ?");
    int rc;

    *count = 0;
    query_text(q, device);
    query_text(q, type);
    query_int(q, (int64_t)hash);
    query_int(q, STORE_READING_IDS);
    while ((rc = query_row(q, err)) > 0) {
        places[*count].sn = query_get_int(q, 0);
        places[(*count)++].seq = query_get_seq(q, 1);
    }
    return rc;
}

/* ---- what the device's clocks said ---- */

int store_span_before(struct store *store, int64_t sn, uint64_t seq, bool *found,
                      struct clock_span *span, struct sb_err *err)
{
    struct query *q = query_start(
        store, "SELECT first_seq, last_seq, device_boot, offset_ms, quality FROM clock_spans"
               " WHERE sn = ? AND first_seq <= ? ORDER BY first_seq DESC LIMIT 1");
    int rc;

    query_int(q, sn);
    query_seq(q, seq);
    rc = query_find(q, found, err);
    if (*found) {
        span->first = query_get_seq(q, 0);
        span->last = query_get_seq(q, 1);
        query_get_str(q, 2, span->device_boot);
        span->has_offset = sqlite3_column_type(q->stmt, 3) != SQLITE_NULL;
        span->offset_ms = query_get_int(q, 3);
        span->quality = (enum sb_clock_quality)query_get_int(q, 4);
    }
    return query_done(q, rc);
}

int store_span_add(struct store *store, int64_t sn, const struct clock_span *span,
                   struct sb_err *err)
{
    struct query *q = query_start(store, "INSERT INTO clock_spans (sn, first_seq, last_seq,"
                                         " device_boot, offset_ms, quality)"
                                         " VALUES (?, ?, ?, ?, ?, ?)");

    query_int(q, sn);
    query_seq(q, span->first);
    query_seq(q, span->last);
    query_text(q, span->device_boot);
    if (span->has_offset)
        query_int(q, span->offset_ms);
    else
        query_null(q);
    query_int(q, span->quality);
    return query_run(q, err);
}

int store_span_extend(struct store *store, int64_t sn, uint64_t first, uint64_t last,
                      struct sb_err *err)
{
    struct query *q =
        query_start(store, "UPDATE clock_spans SET last_seq = ? WHERE sn = ? AND first_seq = ?");

    query_seq(q, last);
    query_int(q, sn);
    query_seq(q, first);
    return query_run(q, err);
}
