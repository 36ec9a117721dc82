#include "edge_agent/user_figures.h"

#include <stdlib.h>
#include <string.h>

#include "common/json_put.h"

const enum sb_up_class user_classes[USER_CLASSES] = {SB_UP_SETTINGS, SB_UP_RECORDS, SB_UP_HISTORY};

/* ---- one walk each ---- */

struct reading {
    const char *user;
    struct user_figures *figures;
    struct sb_err *err;
};

static int take_user(void *ctx, const struct outbox_user *user)
{
    struct reading *r = ctx;

    if (strcmp(user->user, r->user) != 0)
        return 0;
    r->figures->added = r->figures->known = true;
    r->figures->added_us = user->added_us;
    r->figures->synced_us = user->synced_us;
    return 1;
}

static int take_stream(void *ctx, const struct outbox_stream *stream)
{
    struct reading *r = ctx;
    struct sb_ranges settled = {0};
    int rc;

    if (!sb_class_has_user(stream->stream.class) || strcmp(stream->stream.name, r->user) != 0)
        return 0;
    r->figures->known = true;
    rc = sb_ranges_parse(&settled, stream->settled, SIZE_MAX, r->err);
    if (rc == 0)
        r->figures->pending += stream->next_seq - 1 - sb_ranges_total(&settled);
    sb_ranges_free(&settled);
    return rc;
}

static int count_document(void *ctx, const struct document_name *name,
                          const struct outbox_document *doc)
{
    (void)name;
    (void)doc;
    ++*(uint64_t *)ctx;
    return 0;
}

static int one_is_enough(void *ctx, const struct document_name *name,
                         const struct outbox_document *doc)
{
    (void)name;
    (void)doc;
    *(bool *)ctx = true;
    return 1;
}

static int take_sync(void *ctx, const char *user, const char *table, const struct outbox_sync *sync)
{
    struct user_figures *f = ((struct reading *)ctx)->figures;

    (void)user;
    (void)table;
    if (sync->last_upload_us > f->last_upload_us)
        f->last_upload_us = sync->last_upload_us;
    if (sync->last_download_us > f->last_download_us)
        f->last_download_us = sync->last_download_us;
    if (sync->last_server_version > f->last_server_version)
        f->last_server_version = sync->last_server_version;
    return 0;
}

int user_figures_read(struct outbox *ob, const char *user, struct user_figures *out,
                      struct sb_err *err)
{
    struct reading r = {user, out, err};
    int rc;

    *out = (struct user_figures){0};
    if ((rc = outbox_users(ob, take_user, &r, err)) < 0 ||
        (rc = outbox_streams(ob, take_stream, &r, err)) < 0 ||
        (rc = outbox_open_conflict_count(ob, user, &out->conflicts, err)) < 0 ||
        (rc = outbox_documents_unsent(ob, user, NULL, count_document, &out->unsent, err)) < 0 ||
        (rc = outbox_documents_trouble(ob, user, count_document, &out->trouble, err)) < 0 ||
        (rc = outbox_sync_list(ob, user, take_sync, &r, err)) < 0)
        return rc;
    out->last_sync_us = out->synced_us;
    if (out->last_upload_us > out->last_sync_us)
        out->last_sync_us = out->last_upload_us;
    if (out->last_download_us > out->last_sync_us)
        out->last_sync_us = out->last_download_us;
    if (!out->known)
        rc = outbox_documents(ob, user, NULL, NULL, one_is_enough, &out->known, err);
    return rc < 0 ? rc : 0;
}

/* ---- tables ---- */

struct tables {
    char (*names)[SB_NAME_MAX + 1];
    size_t count;
};

static int note_table(void *ctx, const char *table)
{
    struct tables *t = ctx;

    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->names[i], table) == 0)
            return 0;
    t->names = sb_xgrow(t->names, t->count, sizeof(*t->names));
    memcpy(t->names[t->count++], table, strnlen(table, SB_NAME_MAX) + 1);
    return 0;
}

static int note_synced(void *ctx, const char *user, const char *table,
                       const struct outbox_sync *sync)
{
    (void)user;
    (void)sync;
    return note_table(ctx, table);
}

int user_tables(struct outbox *ob, const char *user, int (*each)(void *ctx, const char *table),
                void *ctx, struct sb_err *err)
{
    struct tables tables = {0};
    int rc;

    note_table(&tables, SB_TABLE_SETTINGS);
    rc = outbox_tables(ob, note_table, &tables, err);
    if (rc >= 0)
        rc = outbox_sync_list(ob, user, note_synced, &tables, err);
    for (size_t i = 0; rc >= 0 && i < tables.count; i++)
        rc = each(ctx, tables.names[i]);
    free(tables.names);
    return rc < 0 ? rc : 0;
}

/* ---- printing ---- */

struct printing {
    struct outbox *ob;
    const char *user;
    struct sb_buf *out;
    struct sb_err *err;
};

static int put_auto(void *ctx, const char *table)
{
    struct printing *p = ctx;
    struct outbox_sync sync;
    int rc = outbox_sync_get(p->ob, p->user, table, &sync, p->err);

    if (rc == 0)
        sb_put_bool(p->out, table, sync.auto_sync);
    return rc;
}

int user_figures_switches(struct outbox *ob, const char *user, struct sb_buf *out,
                          struct sb_err *err)
{
    struct printing p = {ob, user, out, err};
    int rc;

    sb_put_open(out, "auto_sync", '{');
    rc = user_tables(ob, user, put_auto, &p, err);
    sb_put_close(out, '}');
    sb_put_open(out, "sync", '{');
    for (int i = 0; rc == 0 && i < USER_CLASSES; i++) {
        bool on = true;

        rc = outbox_switch_get(ob, user, user_classes[i], &on, err);
        sb_put_bool(out, sb_up_class_name(user_classes[i]), on);
    }
    sb_put_close(out, '}');
    return rc;
}

static int put_table(void *ctx, const char *table)
{
    struct printing *p = ctx;
    struct outbox_sync sync;
    int rc = outbox_sync_get(p->ob, p->user, table, &sync, p->err);

    if (rc != 0)
        return rc;
    sb_put_open(p->out, NULL, '{');
    sb_put_text(p->out, "table", table);
    sb_put_bool(p->out, "auto_sync", sync.auto_sync);
    sb_put_time_us(p->out, "last_upload", sync.last_upload_us);
    sb_put_time_us(p->out, "last_download", sync.last_download_us);
    sb_put_u64(p->out, "last_server_version", sync.last_server_version);
    sb_put_close(p->out, '}');
    return 0;
}

int user_figures_tables(struct outbox *ob, const char *user, struct sb_buf *out, struct sb_err *err)
{
    struct printing p = {ob, user, out, err};
    int rc;

    sb_put_open(out, "tables", '[');
    rc = user_tables(ob, user, put_table, &p, err);
    sb_put_close(out, ']');
    return rc;
}

static int put_trouble(void *ctx, const struct document_name *name,
                       const struct outbox_document *doc)
{
    struct sb_buf *out = ctx;

    sb_put_open(out, NULL, '{');
    sb_put_text(out, "table", name->table);
    sb_put_text(out, "id", name->id);
    sb_put_text(out, "code", sb_code_name(doc->trouble));
    sb_put_close(out, '}');
    return 0;
}

int user_figures_trouble(struct outbox *ob, const char *user, struct sb_buf *out,
                         struct sb_err *err)
{
    int rc;

    sb_put_open(out, "trouble", '[');
    rc = outbox_documents_trouble(ob, user, put_trouble, out, err);
    sb_put_close(out, ']');
    return rc < 0 ? rc : 0;
}
