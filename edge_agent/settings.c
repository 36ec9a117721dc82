#include "edge_agent/settings.h"

#include <stdio.h>
#include <string.h>

#include "common/json_scan.h"

/* The newest of the conflicts that are not in force yet: the last one answered. (Its version
 * counter need not be the highest: the cloud may have been rolled back in between.) */
struct newest {
    bool found;
    struct sb_buf server, record;
};

static int look_for_newest(void *ctx, const struct outbox_conflict *conflict)
{
    struct newest *newest = ctx;

    if (conflict->in_force)
        return 0;
    newest->found = true;
    sb_buf_clear(&newest->server);
    sb_buf_clear(&newest->record);
    sb_buf_add_span(&newest->server, conflict->server);
    sb_buf_add_span(&newest->record, conflict->record);
    return 0;
}

static uint64_t hlc_of(const char *text)
{
    return sb_hex16_valid(sb_span_of(text)) ? sb_hex16_value(text) : 0;
}

static int put_in_force(struct outbox *ob, const char *user, const struct sb_document *doc,
                        struct sb_now now, struct sb_err *err)
{
    struct outbox_settings settings;
    uint64_t hlc;
    int rc = outbox_settings_get(ob, user, &settings, err);

    if (rc == 0) /* the clock never falls behind a document that was seen */
        rc = outbox_hlc(ob, now.wall_us, hlc_of(doc->hlc), &hlc, err);
    if (rc == 0) {
        sb_buf_clear(&settings.doc);
        sb_buf_add_span(&settings.doc, doc->deleted ? SB_SPAN("{}") : sb_buf_span(&doc->data));
        settings.last_op[0] = '\0';
        snprintf(settings.base_tag, sizeof(settings.base_tag), "%s", doc->tag);
        settings.seen = doc->version > settings.seen ? doc->version : settings.seen;
        settings.hlc = hlc_of(doc->hlc);
        settings.updated_us = now.wall_us;
        rc = outbox_settings_set(ob, user, &settings, err);
    }
    outbox_settings_fini(&settings);
    return rc;
}

static void print_operation(struct sb_buf *out, const char *op_id, const char *hlc,
                            struct sb_span document)
{
    sb_buf_add_fmt(out, "{\"op_id\":\"%s\",\"hlc\":\"%s\",\"base\":null,\"settings\":", op_id, hlc);
    sb_buf_add_span(out, document);
    sb_buf_add_char(out, '}');
}

/* V4: nothing there, not even a tombstone (a cloud that was rolled back): the last submitted
 * document goes as a new one, with the HLC of the operation it replaces. */
static int submit_anew(struct outbox *ob, const char *user, struct sb_span record,
                       struct sb_now now, struct sb_rng *rng, struct sb_err *err)
{
    struct outbox_chunk chunk = {.stream = {.class = SB_UP_SETTINGS},
                                 .count = 1,
                                 .device_boot = "",
                                 .mono_ms = now.mono_ms,
                                 .wall_us = now.wall_us};
    struct outbox_settings settings = {0};
    struct sb_span document, hlc_value;
    char hlc[SB_EPOCH_LEN + 1] = "0000000000000000", op_id[SB_UUID_LEN + 1];
    struct sb_buf body = {0};
    struct outbox_place place;
    struct outbox_id id;
    int rc;

    if (!sb_json_get(record, "settings", &document))
        return sb_fail(err, SB_ECORRUPT, "settings: a kept operation without its document");
    if (sb_json_get(record, "hlc", &hlc_value) && hlc_value.len == SB_EPOCH_LEN + 2)
        memcpy(hlc, hlc_value.data + 1, SB_EPOCH_LEN);
    sb_uuid7(rng, now.wall_us, op_id);
    print_operation(&body, op_id, hlc, document);
    snprintf(chunk.stream.name, sizeof(chunk.stream.name), "%s", user);
    id = (struct outbox_id){sb_span_of(op_id), sb_hash64(sb_buf_span(&body))};
    chunk.ids = &id;
    chunk.body = sb_buf_span(&body);
    if ((rc = outbox_append(ob, &chunk, &place, err)) == 0 &&
        (rc = outbox_settings_get(ob, user, &settings, err)) == 0) {
        sb_buf_clear(&settings.doc);
        sb_buf_add_span(&settings.doc, document);
        snprintf(settings.last_op, sizeof(settings.last_op), "%s", op_id);
        settings.base_tag[0] = '\0';
        settings.hlc = hlc_of(hlc);
        settings.updated_us = now.wall_us;
        rc = outbox_settings_set(ob, user, &settings, err);
    }
    outbox_settings_fini(&settings);
    sb_buf_free(&body);
    return rc;
}

/* The cloud's document, or its absence, ends the conflicts that wait. */
static int resolve(struct outbox *ob, const char *user, const struct newest *newest,
                   const struct sb_document *doc, struct sb_now now, struct sb_rng *rng,
                   struct sb_err *err)
{
    int rc = doc->exists ? put_in_force(ob, user, doc, now, err)
                         : submit_anew(ob, user, sb_buf_span(&newest->record), now, rng, err);

    return rc < 0 ? rc : outbox_conflicts_in_force(ob, user, err);
}

static void newest_fini(struct newest *newest)
{
    sb_buf_free(&newest->server);
    sb_buf_free(&newest->record);
}

int settings_apply_conflicts(struct outbox *ob, const char *user, struct sb_now now,
                             struct sb_rng *rng, enum settings_applied *applied, struct sb_err *err)
{
    struct newest newest = {0};
    struct sb_document doc = {0};
    char id[SB_ID_MAX + 1];
    uint64_t as_of;
    int rc;

    *applied = SETTINGS_SAME;
    rc = outbox_conflicts(ob, user, look_for_newest, &newest, err);
    if (rc == 0 && newest.found)
        rc = sb_document_decode(sb_buf_span(&newest.server), &doc, id, &as_of, err);
    if (rc < 0 || !newest.found)
        goto out;
    *applied = doc.fetch ? SETTINGS_UNREAD : SETTINGS_CHANGED;
    if (!doc.fetch)
        rc = resolve(ob, user, &newest, &doc, now, rng, err);
out:
    sb_document_free(&doc);
    newest_fini(&newest);
    return rc;
}

int settings_seen(struct outbox *ob, const char *user, uint64_t version, struct sb_err *err)
{
    struct outbox_settings settings;
    int rc = outbox_settings_get(ob, user, &settings, err);

    if (rc == 0 && settings.exists && version > settings.seen) {
        settings.seen = version;
        rc = outbox_settings_set(ob, user, &settings, err);
    }
    outbox_settings_fini(&settings);
    return rc;
}

/* May it be taken (V5)? */
static int judge(struct outbox *ob, const char *user, const struct sb_document *doc, uint64_t as_of,
                 enum settings_taken *taken, struct sb_err *err)
{
    struct sb_stream stream = {.class = SB_UP_SETTINGS};
    struct outbox_settings settings;
    uint64_t pending = 0;
    uint64_t version = doc->exists ? doc->version : as_of;
    int rc;

    snprintf(stream.name, sizeof(stream.name), "%s", user);
    if ((rc = outbox_pending_of(ob, &stream, &pending, err)) < 0 ||
        (rc = outbox_settings_get(ob, user, &settings, err)) < 0)
        return rc;
    if (pending > 0)
        *taken = SETTINGS_PENDING;
    else if (version < settings.seen)
        *taken = SETTINGS_OLD;
    else if (!doc->exists || doc->deleted)
        *taken = SETTINGS_ABSENT; /* what the device has stays: nothing replaces it */
    else
        *taken = SETTINGS_TAKEN;
    outbox_settings_fini(&settings);
    return 0;
}

int settings_take(struct outbox *ob, const char *user, const struct sb_document *doc,
                  uint64_t as_of, struct sb_now now, struct sb_rng *rng, enum settings_taken *taken,
                  struct sb_err *err)
{
    struct newest newest = {0};
    int rc;

    if (doc->fetch)
        return sb_fail(err, SB_ETOO_LARGE, "the cloud's settings do not fit into an answer");
    if ((rc = judge(ob, user, doc, as_of, taken, err)) < 0 || *taken == SETTINGS_PENDING ||
        *taken == SETTINGS_OLD)
        return rc;
    rc = outbox_conflicts(ob, user, look_for_newest, &newest, err);
    if (rc == 0 && newest.found)
        rc = resolve(ob, user, &newest, doc, now, rng, err);
    else if (rc == 0 && *taken == SETTINGS_TAKEN)
        rc = put_in_force(ob, user, doc, now, err);
    newest_fini(&newest);
    return rc;
}
