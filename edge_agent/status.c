#include "edge_agent/status.h"

#include <string.h>

#include "common/json_scan.h"
#include "edge_agent/user_figures.h"

/* ---- small printers ---- */

static void add_text(struct sb_buf *out, const char *key, const char *text)
{
    sb_buf_add_fmt(out, ",\"%s\":", key);
    sb_buf_add_json(out, sb_span_of(text));
}

static void add_number(struct sb_buf *out, const char *key, uint64_t value)
{
    sb_buf_add_fmt(out, ",\"%s\":%llu", key, (unsigned long long)value);
}

static void add_bool(struct sb_buf *out, const char *key, bool value)
{
    sb_buf_add_fmt(out, ",\"%s\":%s", key, value ? "true" : "false");
}

static void add_time(struct sb_buf *out, const char *key, int64_t wall_us)
{
    char text[SB_TIME_TEXT];

    if (wall_us == 0) {
        sb_buf_add_fmt(out, ",\"%s\":null", key);
        return;
    }
    sb_time_print(wall_us, text);
    add_text(out, key, text);
}

/* ---- pending by class of stream ---- */

struct by_type {
    uint64_t pending[SB_UP_CLASSES];
    struct sb_err *err;
    char epoch[SB_EPOCH_LEN + 1];
};

static int add_stream(void *ctx, const struct outbox_stream *stream)
{
    struct by_type *by = ctx;
    struct sb_ranges settled = {0};
    int rc = sb_ranges_parse(&settled, stream->settled, SIZE_MAX, by->err);

    if (rc == 0)
        by->pending[stream->stream.class] += stream->next_seq - 1 - sb_ranges_total(&settled);
    sb_ranges_free(&settled);
    return rc;
}

static int take_epoch(void *ctx, int64_t n, const char *epoch)
{
    struct by_type *by = ctx;

    (void)n;
    memcpy(by->epoch, epoch, strnlen(epoch, SB_EPOCH_LEN));
    return 0;
}

static void add_by_type(struct sb_buf *out, const struct by_type *by)
{
    const char *comma = "";

    sb_buf_add_str(out, ",\"pending_by_type\":{");
    for (int i = 0; i < SB_UP_CLASSES; i++) {
        if (by->pending[i] == 0)
            continue;
        sb_buf_add_fmt(out, "%s\"%s\":%llu", comma, sb_up_class_name((enum sb_up_class)i),
                       (unsigned long long)by->pending[i]);
        comma = ",";
    }
    sb_buf_add_char(out, '}');
}

/* ---- the live part ---- */

/* Of one that is being tried, or that nothing keeps waiting any more: now. */
static int64_t next_try(const struct lane *lane, struct sb_now now)
{
    int64_t wait_ms = lane->parked_until_ms - now.mono_ms;

    return now.wall_us + (wait_ms > 0 ? wait_ms * 1000 : 0);
}

static void add_parked(struct sb_buf *out, const struct lanes *lanes, struct sb_now now)
{
    const char *comma = "";

    sb_buf_add_str(out, ",\"parked\":[");
    for (size_t i = 0; i < lanes->count; i++) {
        const struct lane *lane = &lanes->at[i];

        if (lane->park_code == SB_OK)
            continue;
        sb_buf_add_fmt(out, "%s{\"stream\":\"%s\",\"code\":\"%s\"", comma, lane->name,
                       sb_code_name(lane->park_code));
        add_text(out, "reason", lane->park_reason);
        add_number(out, "tries", lane->park_count);
        add_time(out, "last_try", now.wall_us - (now.mono_ms - lane->parked_ms) * 1000);
        add_time(out, "next_try", next_try(lane, now));
        sb_buf_add_char(out, '}');
        comma = ",";
    }
    sb_buf_add_char(out, ']');
}

static void add_last_error(struct sb_buf *out, const struct sb_err *error)
{
    if (error->code == SB_OK) {
        sb_buf_add_str(out, ",\"last_error\":null");
        return;
    }
    sb_buf_add_fmt(out, ",\"last_error\":{\"code\":\"%s\"", sb_code_name(error->code));
    add_text(out, "message", error->msg);
    sb_buf_add_char(out, '}');
}

static void add_live(struct sb_buf *out, const struct edge *edge, const struct edge_status *live,
                     uint64_t stale, struct sb_now now)
{
    struct sb_err why;

    add_bool(out, "connected", live->connected);
    add_bool(out, "welcomed", live->welcomed);
    add_bool(out, "ingest_online", live->ingest_online);
    add_number(out, "in_flight", live->flying);
    add_number(out, "reply_ms", (uint64_t)live->reply_ms);
    add_number(out, "sent_batches", live->sent_batches);
    add_number(out, "sent_bytes", live->sent_bytes);
    add_number(out, "hellos", live->hellos);
    add_number(out, "timeouts", live->timeouts);
    add_number(out, "late_replies", live->late_replies);
    add_number(out, "restored", live->restored);
    add_number(out, "new_epochs", live->new_epochs);
    sb_buf_add_fmt(out,
                   ",\"answered\":{\"stored\":%llu,\"duplicate\":%llu,\"revised\":%llu,"
                   "\"rejected\":%llu,\"conflict\":%llu}",
                   (unsigned long long)live->stored, (unsigned long long)live->duplicate,
                   (unsigned long long)live->revised, (unsigned long long)live->rejected,
                   (unsigned long long)live->conflict);
    add_bool(out, "pulling", live->pulling);
    add_number(out, "pulls", live->pulls);
    add_number(out, "pulled", live->pulled);
    add_number(out, "stale", stale);
    add_time(out, "last_pull", live->last_pull_us);
    add_parked(out, edge_lanes(edge), now);
    if (live->last_error.code == SB_OK)
        (void)edge_pulling(edge, NULL, &why);
    else
        why = live->last_error;
    add_last_error(out, &why);
}

/* The indicator: what a person has to decide, or to find the key of, goes before what time will
 * mend. */
static const char *word(uint64_t undecided, uint64_t pending, bool online, bool pulling)
{
    if (undecided > 0)
        return "conflict";
    if (!online)
        return "offline";
    return pending > 0 || pulling ? "syncing" : "synced";
}

/* ---- documents and users ---- */

static int count_document(void *ctx, const struct document_name *name,
                          const struct outbox_document *doc)
{
    (void)name;
    (void)doc;
    ++*(uint64_t *)ctx;
    return 0;
}

static int count_user(void *ctx, const struct outbox_user *user)
{
    (void)user;
    ++*(uint64_t *)ctx;
    return 0;
}

static int add_documents(struct sb_buf *out, struct outbox *ob, uint64_t trouble,
                         struct sb_err *err)
{
    uint64_t unsent = 0, users = 0;
    int rc;

    if ((rc = outbox_documents_unsent(ob, NULL, NULL, count_document, &unsent, err)) < 0 ||
        (rc = outbox_users(ob, count_user, &users, err)) < 0)
        return rc;
    add_number(out, "unsent", unsent);
    add_number(out, "trouble", trouble);
    add_number(out, "users", users);
    return 0;
}

/* What was pulled is a sync as well as what was settled. */
static int take_last_sync(void *ctx, const char *user, const char *table,
                          const struct outbox_sync *sync)
{
    int64_t *last = ctx;

    (void)user;
    (void)table;
    if (sync->last_upload_us > *last)
        *last = sync->last_upload_us;
    if (sync->last_download_us > *last)
        *last = sync->last_download_us;
    return 0;
}

static int print_user(struct outbox *ob, const char *device, const char *user,
                      const struct edge *live, struct sb_buf *out, struct sb_err *err)
{
    struct edge_status figures = {0};
    struct sb_err why = {.code = SB_OK};
    struct user_figures f;
    bool pulling = false;
    int rc = user_figures_read(ob, user, &f, err);

    if (rc == 0 && !f.known)
        rc = sb_fail(err, SB_ENOT_FOUND, "%s is no user of this device", user);
    if (rc != 0)
        return rc;
    if (live != NULL) {
        edge_status(live, &figures);
        pulling = edge_pulling(live, user, &why);
    }
    sb_buf_add_str(out, "{\"device\":");
    sb_buf_add_json(out, sb_span_of(device));
    add_text(out, "user_id", user);
    add_bool(out, "added", f.added);
    add_bool(out, "running", live != NULL);
    add_text(out, "sync_status",
             word(f.conflicts + f.trouble, f.pending, figures.welcomed, pulling));
    add_bool(out, "is_online", figures.welcomed);
    add_number(out, "pending_count", f.pending);
    add_number(out, "conflicts", f.conflicts);
    add_number(out, "unsent", f.unsent);
    add_time(out, "last_sync", f.last_sync_us);
    add_time(out, "last_upload", f.last_upload_us);
    add_time(out, "last_download", f.last_download_us);
    add_number(out, "last_server_version", f.last_server_version);
    if ((rc = user_figures_switches(ob, user, out, err)) == 0 &&
        (rc = user_figures_tables(ob, user, out, err)) == 0)
        rc = user_figures_trouble(ob, user, out, err);
    add_last_error(out, &why);
    sb_buf_add_char(out, '}');
    return rc;
}

int status_print(struct outbox *ob, const char *device, const char *user, const struct edge *live,
                 struct sb_now now, struct sb_buf *out, struct sb_err *err)
{
    struct edge_status figures = {0};
    struct outbox_counts counts;
    struct by_type by = {.err = err};
    int64_t last_sync = 0;
    uint64_t stale = 0, trouble = 0;
    int rc;

    if (user != NULL)
        return print_user(ob, device, user, live, out, err);
    if ((rc = outbox_counts(ob, &counts, err)) < 0 ||
        (rc = outbox_streams(ob, add_stream, &by, err)) < 0 ||
        (rc = outbox_epochs(ob, take_epoch, &by, err)) < 0 ||
        (rc = outbox_last_settled(ob, &last_sync, err)) < 0 ||
        (rc = outbox_sync_list(ob, NULL, take_last_sync, &last_sync, err)) < 0 ||
        (rc = outbox_documents_trouble(ob, NULL, count_document, &trouble, err)) < 0 ||
        (rc = outbox_documents_stale_count(ob, &stale, err)) < 0)
        return rc;
    if (live != NULL)
        edge_status(live, &figures);
    sb_buf_add_str(out, "{\"device\":");
    sb_buf_add_json(out, sb_span_of(device));
    add_bool(out, "running", live != NULL);
    add_text(out, "sync_status",
             word(counts.conflicts + trouble, counts.pending, figures.welcomed, figures.pulling));
    add_bool(out, "is_online", figures.welcomed);
    add_number(out, "pending_count", counts.pending);
    add_by_type(out, &by);
    add_number(out, "failed_count", counts.dead);
    add_number(out, "conflicts", counts.conflicts);
    if ((rc = add_documents(out, ob, trouble, err)) < 0)
        return rc;
    add_number(out, "holes", counts.holes);
    add_time(out, "last_sync", last_sync);
    add_time(out, "oldest_pending", counts.oldest_pending_us);
    sb_buf_add_fmt(out, ",\"retry_delay\":%.3f", (double)figures.retry_delay_ms / 1000);
    add_text(out, "epoch", by.epoch);
    sb_buf_add_fmt(out, ",\"outbox\":{\"used_bytes\":%lld,\"free_bytes\":%lld}",
                   (long long)counts.used_bytes, (long long)counts.free_bytes);
    if (live != NULL)
        add_live(out, live, &figures, stale, now);
    sb_buf_add_char(out, '}');
    return 0;
}
