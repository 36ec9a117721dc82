#include "audit.h"

#include <string.h>

#include "store_sqlite.h"

/* Every figure is read from the tables; the kept counters are compared with what is counted. */

struct key {
    char device[SB_NAME_MAX + 1];
    char epoch[SB_EPOCH_LEN + 1];
    char stream[SB_STREAM_MAX + 1];
};

struct claim {
    bool there;
    bool current; /* of the last whole hello, or of one whose pages come in */
    uint64_t made;
    struct sb_ranges held;
    int64_t said_ms;
};

struct audit {
    struct store *store;
    const char *device;
    bool (*each)(void *ctx, const struct audit_entry *entry);
    void *ctx;
    struct audit_figures *total;
};

static int read_claim(struct store *store, const struct key *key, struct claim *claim,
                      struct sb_err *err)
{
    struct query *q =
        query_start(store, "SELECT made, held, said_ms, d.told = '' OR c.nonce IN (d.told, d.nonce)"
                           " FROM claims c JOIN devices d ON d.device = c.device"
                           " WHERE c.device = ? AND c.epoch = ? AND c.stream = ?");
    int rc;

    query_text(q, key->device);
    query_text(q, key->epoch);
    query_text(q, key->stream);
    rc = query_find(q, &claim->there, err);
    if (rc != 0 || !claim->there)
        return rc;
    claim->made = query_get_seq(q, 0);
    claim->said_ms = query_get_int(q, 2);
    claim->current = query_get_int(q, 3) != 0;
    return query_done(q, query_get_ranges(q, 1, &claim->held, err));
}

/* An epoch that the last whole hello left out is gone; one that no hello ever named (a client
 * without an outbox) is not. */
static int read_named(struct store *store, const struct key *key, bool *named, struct sb_err *err)
{
    struct query *q =
        query_start(store, "SELECT e.nonce = '' OR d.told = '' OR e.nonce IN (d.told, d.nonce)"
                           " FROM epochs e JOIN devices d ON d.device = e.device"
                           " WHERE e.device = ? AND e.epoch = ?");
    bool found;
    int rc;

    query_text(q, key->device);
    query_text(q, key->epoch);
    rc = query_find(q, &found, err);
    *named = !found || query_get_int(q, 0) != 0;
    return query_done(q, rc);
}

/* ---- counting ---- */

static int count_one(struct query *q, uint64_t *count, struct sb_err *err)
{
    bool found;
    int rc = query_find(q, &found, err);

    *count = found ? query_get_seq(q, 0) : 0;
    return query_done(q, rc);
}

static int count_table(struct store *store, const struct sensor_table *table, int64_t sn,
                       uint64_t *rows, struct sb_err *err)
{
    struct sb_buf *sql = &store->scratch;
    struct query q;
    int rc;

    *rows = 0;
    if (table == NULL)
        return 0;
    sb_buf_clear(sql);
    sb_buf_add_str(sql, "SELECT count(*) FROM ");
    store_table_name(sql, table);
    sb_buf_add_str(sql, " WHERE sn = ?");
    store_prepare(store, &q, "SELECT count(*) FROM sensor_<type>", sql);
    query_int(&q, sn);
    rc = count_one(&q, rows, err);
    sqlite3_finalize(q.stmt);
    return rc;
}

static int count_readings(struct store *store, const char *type, int64_t sn, uint64_t *rows,
                          struct sb_err *err)
{
    uint64_t more = 0;
    int rc = count_table(store, store_table_of(store, type), sn, rows, err);

    if (rc == 0)
        rc = count_table(store, store_table_of(store, ""), sn, &more, err);
    *rows += more;
    return rc;
}

static int count_by_sn(struct store *store, const char *sql, int64_t sn, uint64_t *count,
                       struct sb_err *err)
{
    struct query *q = query_start(store, sql);

    query_int(q, sn);
    return count_one(q, count, err);
}

static const char history_rows[] = "SELECT count(*) FROM history_rev WHERE sn = ?";
static const char history_doubles[] =
    "SELECT count(*) FROM history_rev r WHERE r.sn = ? AND EXISTS (SELECT 1 FROM history_rev x"
    " WHERE x.hid = r.hid AND x.hash = r.hash AND x.rev < r.rev)";
static const char version_rows[] = "SELECT count(*) FROM versions WHERE sn = ?";
static const char version_doubles[] =
    "SELECT count(*) FROM versions v WHERE v.sn = ? AND EXISTS (SELECT 1 FROM versions x"
    " WHERE x.device = v.device AND x.stream = v.stream AND x.op_id = v.op_id AND x.id < v.id)";
static const char dup_rows[] = "SELECT count(*) FROM dups WHERE sn = ?";

static int count_rows(struct store *store, const struct sb_stream *stream, int64_t sn,
                      uint64_t *rows, uint64_t *doubles, struct sb_err *err)
{
    bool history = stream->class == SB_UP_HISTORY;
    int rc;

    *doubles = 0; /* readings have their number as key: none can show here */
    if (stream->class == SB_UP_SENSORS)
        return count_readings(store, stream->name, sn, rows, err);
    rc = count_by_sn(store, history ? history_rows : version_rows, sn, rows, err);
    if (rc == 0)
        rc = count_by_sn(store, history ? history_doubles : version_doubles, sn, doubles, err);
    return rc;
}

/* ---- one stream ---- */

static int64_t outcomes(const struct stream_counts *c)
{
    return c->stored + c->duplicates + c->revised + c->rejected + c->conflict;
}

/* The counts of one row of `streams` against the tables. */
static int check_row(struct store *store, const struct key *key, const struct stream_row *row,
                     struct audit_figures *f, struct sb_err *err)
{
    const struct stream_counts *c = &row->counts;
    uint64_t rows = 0, dups = 0, doubles = 0, dropped = sb_ranges_total(&row->dropped);
    struct sb_stream stream;
    int rc = sb_stream_parse(sb_span_of(key->stream), &stream, err);

    if (rc == 0)
        rc = count_rows(store, &stream, row->sn, &rows, &doubles, err);
    if (rc == 0)
        rc = count_by_sn(store, dup_rows, row->sn, &dups, err);
    f->rows += rows;
    f->dups += dups;
    f->doubles += doubles;
    f->dropped += dropped;
    f->unequal += (uint64_t)(c->stored + c->revised + c->duplicates) != rows + dups + dropped ||
                  (uint64_t)outcomes(c) != sb_ranges_total(&row->decided);
    return rc;
}

static int add_branches(struct store *store, const struct key *key, struct audit_figures *f,
                        struct sb_err *err)
{
    struct stream_row row = {0};
    int branches, rc;
    bool found = true;

    rc = store_stream_branches(store, key->device, key->epoch, key->stream, &branches, err);
    for (int b = 1; rc == 0 && b <= branches; b++) {
        rc = store_stream_get(store, key->device, key->epoch, key->stream, b, &found, &row, err);
        if (rc != 0 || !found)
            continue;
        f->branched += (uint64_t)outcomes(&row.counts);
        rc = check_row(store, key, &row, f, err);
    }
    stream_row_free(&row);
    return rc;
}

static int read_stream(struct store *store, const struct key *key, struct stream_row *row,
                       struct audit_figures *f, struct sb_err *err)
{
    bool found;
    int rc = store_stream_get(store, key->device, key->epoch, key->stream, 0, &found, row, err);

    if (rc != 0 || !found)
        return rc;
    f->stored = (uint64_t)row->counts.stored;
    f->duplicates = (uint64_t)row->counts.duplicates;
    f->revised = (uint64_t)row->counts.revised;
    f->rejected = (uint64_t)row->counts.rejected;
    f->conflict = (uint64_t)row->counts.conflict;
    f->repeats = (uint64_t)row->counts.repeats;
    rc = check_row(store, key, row, f, err);
    return rc == 0 ? add_branches(store, key, f, err) : rc;
}

static int audit_one(struct audit *a, const struct key *key, bool *go_on, struct sb_err *err)
{
    struct audit_entry entry = {
        .device = key->device, .epoch = key->epoch, .stream = key->stream, .named = true};
    struct stream_row row = {0};
    struct claim claim = {0};
    struct audit_facts facts;
    int rc = read_stream(a->store, key, &row, &entry.figures, err);

    if (rc == 0)
        rc = read_claim(a->store, key, &claim, err);
    if (rc == 0)
        rc = read_named(a->store, key, &entry.named, err);
    if (rc == 0 && claim.there && !claim.current) {
        /* the device does not name it any more: it was wiped, or rolled back to before it. What it
         * had said is settled it would have sent again, had the cloud been restored. */
        entry.named = false;
        if (claim.made > 0)
            sb_ranges_add(&claim.held, 1, claim.made);
    }
    if (rc == 0) {
        facts = (struct audit_facts){
            .claimed = claim.there,
            .named = entry.named,
            .claimed_made = claim.made,
            .held = &claim.held,
            .made = row.made,
            .decided = &row.decided,
            .holes = &row.holes,
        };
        audit_arithmetic(&facts, &entry.figures, &entry.missing);
        entry.told_ms = claim.said_ms;
        audit_add(a->total, &entry.figures);
        *go_on = a->each == NULL || a->each(a->ctx, &entry);
    }
    sb_ranges_free(&entry.missing);
    sb_ranges_free(&claim.held);
    stream_row_free(&row);
    return rc;
}

static int audit_all(struct audit *a, struct sb_err *err)
{
    struct query *q = query_start(
        a->store, "SELECT device, epoch, stream FROM streams WHERE branch = 0"
                  " AND (?1 IS NULL OR device = ?1) UNION SELECT device, epoch, stream FROM claims"
                  " WHERE ?1 IS NULL OR device = ?1 ORDER BY 1, 2, 3");
    struct key key;
    bool go_on = true;
    int rc = 0, row = 0;

    query_text(q, a->device);
    while (rc == 0 && go_on && (row = query_row(q, err)) > 0) {
        query_get_str(q, 0, key.device);
        query_get_str(q, 1, key.epoch);
        query_get_str(q, 2, key.stream);
        rc = audit_one(a, &key, &go_on, err);
    }
    query_end(q);
    return row < 0 ? row : rc;
}

/* ---- versions and documents ---- */

/* Numbers are unique per user, so that as many as the highest one are all of them. The counter is
 * there also where no version is, and the other way round. */
static const char version_gaps[] =
    "SELECT count(*) FROM (SELECT user FROM users UNION SELECT DISTINCT user FROM versions) x"
    " LEFT JOIN users u ON u.user = x.user"
    " WHERE u.user IS NULL"
    " OR u.version <> (SELECT count(*) FROM versions v WHERE v.user = x.user)"
    " OR u.version <> (SELECT coalesce(max(version), 0) FROM versions v WHERE v.user = x.user)"
    " OR u.tag <> coalesce((SELECT v.tag FROM versions v WHERE v.user = x.user"
    " AND v.version = u.version), '')";

/* Only a tombstone up to the floor may be gone. */
static const char documents_astray[] =
    "SELECT count(*) FROM (SELECT user, doc, max(version) AS top FROM versions GROUP BY user, doc) "
    "x"
    " JOIN versions v ON v.user = x.user AND v.version = x.top"
    " LEFT JOIN documents d ON d.user = x.user AND d.doc = x.doc"
    " WHERE CASE WHEN d.user IS NULL"
    " THEN NOT v.deleted OR x.top > (SELECT u.floor FROM users u WHERE u.user = x.user)"
    " ELSE d.version <> x.top OR (d.tombed_ms IS NOT NULL) <> v.deleted END";
static const char documents_alone[] =
    "SELECT count(*) FROM documents d WHERE NOT EXISTS (SELECT 1 FROM versions v"
    " WHERE v.user = d.user AND v.doc = d.doc)";

static int count_all(struct store *store, const char *sql, uint64_t *count, struct sb_err *err)
{
    return count_one(query_start(store, sql), count, err);
}

static int audit_documents(struct store *store, struct audit_figures *total, struct sb_err *err)
{
    uint64_t alone = 0;
    int rc = count_all(store, version_gaps, &total->gaps, err);

    if (rc == 0)
        rc = count_all(store, documents_astray, &total->astray, err);
    if (rc == 0)
        rc = count_all(store, documents_alone, &alone, err);
    total->astray += alone;
    return rc;
}

int audit_run(struct store *store, const char *device,
              bool (*each)(void *ctx, const struct audit_entry *entry), void *ctx,
              struct audit_figures *total, struct sb_err *err)
{
    struct audit audit = {
        .store = store, .device = device, .each = each, .ctx = ctx, .total = total};
    int rc = store_snapshot_begin(store, err);

    *total = (struct audit_figures){0};
    if (rc != 0)
        return rc;
    rc = audit_all(&audit, err);
    if (rc == 0 && device == NULL)
        rc = audit_documents(store, total, err);
    store_snapshot_end(store);
    return rc;
}
