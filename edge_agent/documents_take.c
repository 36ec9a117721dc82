/* What comes from the cloud: V5, opening what is sealed. */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/rules.h"
#include "edge_agent/documents_internal.h"

/* ---- opening ---- */

int document_open_data(const struct documents *docs, const struct documents_clear *clear,
                       struct sb_span value, struct documents_inside *inside, bool *sealed,
                       struct sb_span *content, struct sb_err *err)
{
    int rc;

    *content = value;
    *sealed = value.len > 0 && value.data[0] == '"';
    if (!*sealed)
        return 0;
    if (docs->codec == NULL)
        return sb_fail(err, SB_ENO_KEY, "it is encrypted, and there is no key of %s here",
                       clear->name.user);
    rc = docs->codec->open(docs->codec->ctx, clear, (struct sb_span){value.data + 1, value.len - 2},
                           inside, err);
    *content = sb_buf_span(&inside->data);
    return rc;
}

/* A clock that ran ahead stamped it: nobody follows such a stamp once the document was deleted, for
 * the cloud takes a tombstone's back. It cannot say what is older. */
static bool is_ahead(const struct documents *docs, uint64_t hlc, struct sb_now now)
{
    int64_t wall_us = now.wall_us;

    if (outbox_server_time(docs->ob, docs->device_boot, now, &wall_us, NULL) < 0)
        return false;
    return (int64_t)(hlc >> SB_HLC_COUNTER_BITS) > wall_us / 1000 + SB_HLC_AHEAD_MS;
}

static bool is_stale(const struct documents *docs, const struct outbox_document *local,
                     const struct document_opened *opened, struct sb_now now)
{
    return opened->sealed && local->sealed && local->exists && local->seen > 0 &&
           opened->doc->version > local->seen && opened->inside.top < local->seen_top &&
           !is_ahead(docs, local->seen_top, now);
}

/* Nobody but the key's owners can have made what is inside; what is outside of it, anybody. */
static int check_opened(const struct documents *docs, const struct document_name *name,
                        const struct outbox_document *local, const struct document_opened *opened,
                        struct sb_now now, struct sb_err *err)
{
    bool seals = docs->codec != NULL && docs->codec->seals(docs->codec->ctx, name->user);

    if (!opened->sealed && seals && local->sealed)
        return sb_fail(err, SB_ETAMPERED,
                       "it comes in the clear, and was encrypted before (version %llu)",
                       (unsigned long long)opened->doc->version);
    if (is_stale(docs, local, opened, now))
        return sb_fail(err, SB_ESTALE, "version %llu is older than the one here",
                       (unsigned long long)opened->doc->version);
    return 0;
}

void document_open(const struct documents *docs, const struct document_name *name,
                   const struct outbox_document *local, const struct sb_document *doc,
                   uint64_t as_of, struct sb_now now, struct document_opened *opened,
                   enum sb_code *trouble)
{
    struct documents_clear clear = {.name = *name};
    struct sb_err err = {0};
    int rc = 0;

    *opened = (struct document_opened){.doc = doc, .as_of = as_of};
    opened->hlc = document_hlc_of(doc->hlc);
    if (doc->exists && !doc->deleted) {
        memcpy(clear.device, doc->device, sizeof(clear.device));
        memcpy(clear.op_id, doc->op_id, sizeof(clear.op_id));
        rc = document_open_data(docs, &clear, sb_buf_span(&doc->data), &opened->inside,
                                &opened->sealed, &opened->content, &err);
        if (rc == 0)
            rc = check_opened(docs, name, local, opened, now, &err);
    }
    opened->stamps =
        opened->sealed ? sb_buf_span(&opened->inside.stamps) : sb_buf_span(&doc->stamps);
    if (opened->sealed && opened->inside.top > opened->hlc)
        opened->hlc = opened->inside.top;
    *trouble = rc < 0 ? err.code : SB_OK;
    if (rc < 0 && local->trouble != err.code)
        log_error("user=%s table=%s id=%s not taken: code=%s %s", name->user, name->table, name->id,
                  sb_code_name(err.code), err.msg);
}

void document_opened_fini(struct document_opened *opened)
{
    documents_inside_fini(&opened->inside);
}

int document_note_trouble(const struct documents *docs, const struct document_name *name,
                          struct outbox_document *local, enum sb_code trouble, struct sb_err *err)
{
    if (local->trouble == trouble && !local->stale)
        return 0;
    local->trouble = trouble;
    local->stale =
        false; /* reading it again would find the same; other keys or a newer one may not */
    return outbox_document_set(docs->ob, name, local, err);
}

/* ---- in force ---- */

uint64_t document_version_of(const struct sb_document *doc, uint64_t as_of, uint64_t otherwise)
{
    if (doc->exists)
        return doc->version;
    return sb_rule(SB_RULE_ABSENT_AS_OF) ? as_of : otherwise;
}

int document_keep_replaced(const struct documents *docs, const struct document_name *name,
                           const struct outbox_document *local, struct sb_span content,
                           struct sb_now now, struct sb_err *err)
{
    if (!local->exists || sb_span_eq(document_text_of(local), content))
        return 0;
    return outbox_kept_add(docs->ob, name, local, now.wall_us, err);
}

static void name_version(const struct sb_document *doc, struct outbox_document *next)
{
    if (!doc->exists)
        return;
    next->version = doc->version;
    memcpy(next->base_tag, doc->tag, sizeof(next->base_tag));
    memcpy(next->version_op, doc->op_id, sizeof(next->version_op));
    memcpy(next->version_device, doc->device, sizeof(next->version_device));
    memcpy(next->version_at, doc->updated_at, sizeof(next->version_at));
}

void document_in_force(const struct outbox_document *local, const struct document_opened *opened,
                       struct sb_now now, struct outbox_document *next)
{
    uint64_t version = document_version_of(opened->doc, opened->as_of, 0);
    bool same = local->known && sb_span_eq(document_text_of(local), opened->content);

    *next = (struct outbox_document){.loose = true};
    name_version(opened->doc, next);
    document_set_text(next, opened->content, now);
    if (same)
        next->updated_us = local->updated_us;
    next->seen = version > local->seen ? version : local->seen;
    next->seen_top = opened->doc->exists ? opened->hlc : local->seen_top;
    next->sealed = opened->sealed || (local->sealed && opened->content.len == 0);
    next->hlc = opened->doc->exists ? opened->hlc : local->hlc;
    sb_buf_add_span(&next->stamps, opened->stamps);
}

/* ---- V5 ---- */

static int look(const struct documents *docs, const struct document_name *name,
                const struct sb_document *doc, uint64_t as_of, const struct outbox_document *local,
                enum documents_taken *taken, struct sb_err *err)
{
    uint64_t version = document_version_of(doc, as_of, local->seen);
    bool pending = false;
    int rc = outbox_document_pending(docs->ob, name, &pending, err);

    if (rc < 0)
        return rc;
    if ((pending || local->unsent) && sb_rule(SB_RULE_PULL_PENDING))
        *taken = DOCUMENTS_PENDING;
    else if (version < local->seen && sb_rule(SB_RULE_PULL_KNOWN))
        *taken = DOCUMENTS_OLD;
    else if (doc->fetch)
        *taken = DOCUMENTS_FETCH;
    else if (!doc->exists || doc->deleted)
        *taken = DOCUMENTS_ABSENT;
    else
        *taken = DOCUMENTS_TAKEN;
    return 0;
}

static int take(const struct documents *docs, const struct document_name *name,
                const struct outbox_document *local, const struct document_opened *opened,
                struct sb_now now, struct sb_err *err)
{
    struct outbox_document next;
    int rc = opened->content.len > 0 ? outbox_room(docs->ob, err) : 0;

    document_in_force(local, opened, now, &next);
    if (rc == 0)
        rc = document_keep_replaced(docs, name, local, opened->content, now, err);
    if (rc == 0)
        rc = outbox_document_set(docs->ob, name, &next, err);
    outbox_document_fini(&next);
    return rc;
}

static int bring(const struct documents *docs, const struct document_name *name,
                 struct outbox_document *local, const struct sb_document *doc, uint64_t as_of,
                 struct sb_now now, enum documents_taken *taken, struct sb_err *err)
{
    struct document_opened opened;
    enum sb_code trouble;
    bool waited = false;
    int rc;

    document_open(docs, name, local, doc, as_of, now, &opened, &trouble);
    if (trouble != SB_OK) {
        *taken = DOCUMENTS_CLOSED;
        rc = document_note_trouble(docs, name, local, trouble, err);
    } else {
        rc = document_merge_waiting(docs, name, local, &opened, now, &waited, err);
        if (rc == 0 && !waited)
            rc = take(docs, name, local, &opened, now, err);
    }
    document_opened_fini(&opened);
    return rc;
}

int documents_take(const struct documents *docs, const struct document_name *name,
                   const struct sb_document *doc, uint64_t as_of, struct sb_now now,
                   enum documents_taken *taken, struct sb_err *err)
{
    struct outbox_document local;
    int rc = outbox_document_get(docs->ob, name, &local, err);

    if (rc == 0)
        rc = look(docs, name, doc, as_of, &local, taken, err);
    if (rc == 0) {
        switch (*taken) {
        case DOCUMENTS_PENDING:
        case DOCUMENTS_OLD:
        case DOCUMENTS_FETCH:
            if (!local.stale)
                rc = outbox_document_stale(docs->ob, name, err);
            break;
        case DOCUMENTS_TAKEN:
        case DOCUMENTS_ABSENT:
        case DOCUMENTS_CLOSED:
            rc = bring(docs, name, &local, doc, as_of, now, taken, err);
            break;
        }
    }
    outbox_document_fini(&local);
    return rc;
}
