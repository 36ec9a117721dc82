#include "store_read.h"

#include <string.h>

#include "store_sqlite.h"

/* Questions of the command line (readings: store_readings_sqlite.c) and the few things it writes.
 */

/* ---- texts of a row ----
 *
 * SQLite's own pointers live as long as the row is current, and a NUL follows every TEXT. */
static const char *text_at(struct query *q, int column)
{
    const char *text = (const char *)sqlite3_column_text(q->stmt, column);

    return text != NULL ? text : "";
}

static enum sb_code code_at(struct query *q, int column)
{
    struct sb_span name = query_get_span(q, column);

    return name.len > 0 ? sb_code_from_name(name.data, name.len) : SB_OK;
}

static int64_t limit_of(uint64_t limit)
{
    return limit == 0 || limit > INT64_MAX ? -1 : (int64_t)limit;
}

/* ---- devices ---- */

static void read_device(struct query *q, struct device_info *info)
{
    *info = (struct device_info){
        .device = text_at(q, 0),
        .revoked = query_get_int(q, 1) != 0,
        .added_ms = query_get_int(q, 2),
        .hello_ms = query_get_int(q, 3),
        .epoch = text_at(q, 4),
        .device_boot = text_at(q, 5),
        .epochs = query_get_int(q, 6),
        .streams = query_get_int(q, 7),
        .records = query_get_seq(q, 8),
        .last_ms = query_get_int(q, 9),
    };
}

int store_devices(struct store *store, bool (*each)(void *ctx, const struct device_info *info),
                  void *ctx, struct sb_err *err)
{
    struct query *q = query_start(
        store, "SELECT d.device, d.revoked, d.added_ms, d.told_ms, d.epoch, d.device_boot,"
               " (SELECT count(*) FROM epochs e WHERE e.device = d.device),"
               " (SELECT count(*) FROM totals t WHERE t.device = d.device),"
               " (SELECT coalesce(sum(t.records), 0) FROM totals t WHERE t.device = d.device),"
               " max(d.told_ms, (SELECT coalesce(max(s.last_ms), 0) FROM streams s"
               " WHERE s.device = d.device)) FROM devices d ORDER BY d.device");
    struct device_info info;
    int rc;

    while ((rc = query_row(q, err)) > 0) {
        read_device(q, &info);
        if (!each(ctx, &info))
            return query_done(q, 0);
    }
    return rc;
}

/* ---- history ---- */

static int count_history(struct store *store, const char *user, uint64_t *total, struct sb_err *err)
{
    struct query *q = query_start(store, "SELECT count(*) FROM history WHERE user = ?");
    bool found;
    int rc;

    query_text(q, user);
    rc = query_find(q, &found, err);
    *total = found ? query_get_seq(q, 0) : 0;
    return query_done(q, rc);
}

static int page_history(struct store *store, const char *user, uint64_t limit, uint64_t offset,
                        bool (*each)(void *ctx, const struct history_info *info), void *ctx,
                        struct sb_err *err)
{
    struct query *q = query_start(
        store, "SELECT s.device, s.epoch, r.seq, h.place, h.trace, h.command_id, r.hlc,"
               " r.created_us, r.rx_ms, (SELECT count(*) FROM history_rev x WHERE x.hid = h.hid),"
               " r.body FROM history h JOIN history_rev r ON r.rev = h.latest"
               " JOIN streams s ON s.sn = r.sn WHERE h.user = ?"
               " ORDER BY h.latest DESC LIMIT ? OFFSET ?");
    int rc;

    query_text(q, user);
    query_int(q, limit_of(limit));
    query_seq(q, offset);
    while ((rc = query_row(q, err)) > 0) {
        const struct history_info info = {
            .device = text_at(q, 0),
            .epoch = text_at(q, 1),
            .seq = query_get_seq(q, 2),
            .place = text_at(q, 3),
            .trace = text_at(q, 4),
            .command_id = text_at(q, 5),
            .hlc = (uint64_t)query_get_int(q, 6) ^ UINT64_C(0x8000000000000000),
            .created_us = query_get_int(q, 7),
            .rx_ms = query_get_int(q, 8),
            .revisions = query_get_seq(q, 9),
            .body = query_get_span(q, 10),
        };

        if (!each(ctx, &info))
            return query_done(q, 0);
    }
    return rc;
}

int store_history(struct store *store, const char *user, uint64_t limit, uint64_t offset,
                  bool (*each)(void *ctx, const struct history_info *info), void *ctx,
                  uint64_t *total, struct sb_err *err)
{
    int rc = store_snapshot_begin(store, err);

    if (rc != 0)
        return rc;
    rc = count_history(store, user, total, err);
    if (rc == 0)
        rc = page_history(store, user, limit, offset, each, ctx, err);
    store_snapshot_end(store);
    return rc;
}

/* ---- settings ---- */

int store_settings(struct store *store, const char *user, struct sb_document *doc, uint64_t *as_of,
                   struct sb_err *err)
{
    struct user_row row = {0};
    int rc = store_snapshot_begin(store, err);

    if (rc != 0)
        return rc;
    rc = store_document_get(store, user, "settings", doc, err);
    if (rc == 0)
        rc = store_user_get(store, user, &row, err);
    store_snapshot_end(store);
    *as_of = row.version;
    return rc;
}

int store_conflicts(struct store *store, const char *user,
                    bool (*each)(void *ctx, const struct conflict_info *info), void *ctx,
                    struct sb_err *err)
{
    struct query *q = query_start(
        store, "SELECT id, user, device, stream, op_id, hlc, code, server_version, opened_ms, base,"
               " submitted FROM conflicts INDEXED BY conflicts_open WHERE resolved_ms IS NULL"
               " AND user = ? ORDER BY id");
    int rc;

    query_text(q, user);
    while ((rc = query_row(q, err)) > 0) {
        const struct conflict_info info = {
            .id = query_get_int(q, 0),
            .user = text_at(q, 1),
            .device = text_at(q, 2),
            .stream = text_at(q, 3),
            .op_id = text_at(q, 4),
            .hlc = text_at(q, 5),
            .code = code_at(q, 6),
            .server_version = query_get_seq(q, 7),
            .opened_ms = query_get_int(q, 8),
            .base = query_get_span(q, 9),
            .submitted = query_get_span(q, 10),
        };

        if (!each(ctx, &info))
            return query_done(q, 0);
    }
    return rc;
}

/* ---- quarantine ---- */

static int each_quarantined(struct query *q,
                            bool (*each)(void *ctx, const struct quarantine_info *info), void *ctx,
                            uint64_t *count, struct sb_err *err)
{
    int rc;

    *count = 0;
    while ((rc = query_row(q, err)) > 0) {
        const struct quarantine_info info = {
            .id = query_get_int(q, 0),
            .device = text_at(q, 1),
            .topic = query_get_span(q, 2),
            .code = code_at(q, 3),
            .reason = text_at(q, 4),
            .first_ms = query_get_int(q, 5),
            .last_ms = query_get_int(q, 6),
            .times = query_get_seq(q, 7),
            .size = query_get_seq(q, 8),
            .payload = query_get_span(q, 9),
        };

        (*count)++;
        if (!each(ctx, &info))
            return query_done(q, 0);
    }
    return rc;
}

int store_quarantine(struct store *store, const char *device, uint64_t limit,
                     bool (*each)(void *ctx, const struct quarantine_info *info), void *ctx,
                     struct sb_err *err)
{
    struct query *q = query_start(
        store, "SELECT id, device, topic, code, reason, first_ms, last_ms, times, size, payload"
               " FROM quarantine WHERE ?1 IS NULL OR device = ?1 ORDER BY id DESC LIMIT ?2");
    uint64_t count;

    query_text(q, device);
    query_int(q, limit_of(limit));
    return each_quarantined(q, each, ctx, &count, err);
}

int store_quarantine_show(struct store *store, int64_t id,
                          bool (*each)(void *ctx, const struct quarantine_info *info), void *ctx,
                          struct sb_err *err)
{
    struct query *q = query_start(
        store, "SELECT id, device, topic, code, reason, first_ms, last_ms, times, size, payload"
               " FROM quarantine WHERE id = ?");
    uint64_t count;
    int rc;

    query_int(q, id);
    rc = each_quarantined(q, each, ctx, &count, err);
    if (rc == 0 && count == 0)
        rc = sb_fail(err, SB_ENOT_FOUND, "quarantine has no entry %lld", (long long)id);
    return rc;
}

/* ---- bindings and devices ---- */

int store_bindings(struct store *store, const char *device,
                   bool (*each)(void *ctx, const struct binding_info *info), void *ctx,
                   struct sb_err *err)
{
    struct query *q = query_start(store, "SELECT device, user, granted_ms FROM bindings"
                                         " WHERE ?1 IS NULL OR device = ?1 ORDER BY device, user");
    int rc;

    query_text(q, device);
    while ((rc = query_row(q, err)) > 0) {
        const struct binding_info info = {
            .device = text_at(q, 0),
            .user = text_at(q, 1),
            .granted_ms = query_get_int(q, 2),
        };

        if (!each(ctx, &info))
            return query_done(q, 0);
    }
    return rc;
}

struct admin {
    const char *device;
    const char *user;
    bool revoked;
    int64_t now_ms;
};

static int check_names(const struct admin *admin, struct sb_err *err)
{
    if (!sb_device_valid(sb_span_of(admin->device)))
        return sb_fail(err, SB_EBAD_ID, "device: not [A-Za-z0-9_-]{1,64} without a leading _");
    if (admin->user != NULL && !sb_name_valid(sb_span_of(admin->user)))
        return sb_fail(err, SB_EBAD_ID, "user: not [A-Za-z0-9_-]{1,64}");
    return 0;
}

static int grant(struct store *store, void *ctx, struct sb_err *err)
{
    const struct admin *admin = ctx;
    struct query *q = query_start(store, "INSERT INTO bindings (device, user, granted_ms)"
                                         " VALUES (?, ?, ?) ON CONFLICT (device, user) DO NOTHING");

    query_text(q, admin->device);
    query_text(q, admin->user);
    query_int(q, admin->now_ms);
    return query_run(q, err);
}

int store_grant(struct store *store, const char *device, const char *user, int64_t now_ms,
                struct sb_err *err)
{
    struct admin admin = {.device = device, .user = user, .now_ms = now_ms};
    int rc = check_names(&admin, err);

    return rc == 0 ? store_alone(store, grant, &admin, err) : rc;
}

static int ungrant(struct store *store, void *ctx, struct sb_err *err)
{
    const struct admin *admin = ctx;
    struct query *q = query_start(store, "DELETE FROM bindings WHERE device = ? AND user = ?");
    int rc;

    query_text(q, admin->device);
    query_text(q, admin->user);
    rc = query_run(q, err);
    if (rc == 0 && sqlite3_changes(store->db) == 0)
        rc = sb_fail(err, SB_ENOT_FOUND, "%s has no binding to %s", admin->device, admin->user);
    return rc;
}

int store_ungrant(struct store *store, const char *device, const char *user, struct sb_err *err)
{
    struct admin admin = {.device = device, .user = user};

    return store_alone(store, ungrant, &admin, err);
}

static int enlist(struct store *store, void *ctx, struct sb_err *err)
{
    const struct admin *admin = ctx;
    struct query *q = query_start(store, "INSERT INTO devices (device, added_ms) VALUES (?, ?)"
                                         " ON CONFLICT (device) DO NOTHING");
    int rc;

    query_text(q, admin->device);
    query_int(q, admin->now_ms);
    rc = query_run(q, err);
    if (rc == 0 && sqlite3_changes(store->db) == 0)
        rc = sb_fail(err, SB_EEXISTS, "%s is registered already", admin->device);
    return rc;
}

int store_device_register(struct store *store, const char *device, int64_t now_ms,
                          struct sb_err *err)
{
    struct admin admin = {.device = device, .now_ms = now_ms};
    int rc = check_names(&admin, err);

    return rc == 0 ? store_alone(store, enlist, &admin, err) : rc;
}

static int set_revoked(struct store *store, void *ctx, struct sb_err *err)
{
    const struct admin *admin = ctx;
    struct query *q = query_start(store, "INSERT INTO devices (device, added_ms, revoked)"
                                         " VALUES (?, ?, ?) ON CONFLICT (device)"
                                         " DO UPDATE SET revoked = excluded.revoked");

    query_text(q, admin->device);
    query_int(q, admin->now_ms);
    query_int(q, admin->revoked);
    return query_run(q, err);
}

int store_device_revoke(struct store *store, const char *device, bool revoked, int64_t now_ms,
                        struct sb_err *err)
{
    struct admin admin = {.device = device, .revoked = revoked, .now_ms = now_ms};
    int rc = check_names(&admin, err);

    return rc == 0 ? store_alone(store, set_revoked, &admin, err) : rc;
}
