/* Changes after a cursor, page by page. */
#include <string.h>

#include "common/log.h"
#include "common/rules.h"
#include "edge_agent/edge_internal.h"

/* One change to the file in a transaction of its own. */
static int in_transaction(struct edge *edge,
                          int (*change)(struct edge *edge, struct pull *pull, struct sb_err *err),
                          struct pull *pull, struct sb_err *err)
{
    int rc = outbox_begin(edge->ob, err);

    if (rc < 0)
        return rc;
    rc = change(edge, pull, err);
    if (rc == 0)
        return outbox_commit(edge->ob, err);
    outbox_rollback(edge->ob);
    return rc;
}

static int sweep(struct edge *edge, struct pull *pull, struct sb_err *err)
{
    return outbox_documents_sweep(edge->ob, pull->user, pull->table, err);
}

/* V6: tombstones below the floor are gone, so what a pull from 0 does not bring is read by id. */
int edge_pull_start(struct edge *edge, struct pull *pull, struct sb_err *err)
{
    struct outbox_sync sync;
    bool found;
    int rc = outbox_sync_get(edge->ob, pull->user, pull->table, &sync, err);

    if (rc < 0)
        return rc;
    if ((rc = outbox_user_added(edge->ob, pull->user, &found, &pull->added_us, err)) < 0)
        return rc;
    pull->position = (struct sb_cursor){.version = sync.cursor_version};
    memcpy(pull->position.tag, sync.cursor_tag, sizeof(pull->position.tag));
    pull->whole = pull->position.version == 0;
    pull->began = 0;
    if (pull->whole && sb_rule(SB_RULE_SWEEP))
        rc = in_transaction(edge, sweep, pull, err);
    return rc;
}

void edge_pull_ask_page(struct edge *edge, struct pull *pull, struct sb_now now)
{
    struct sb_changes_args args = {.since = pull->position, .limit = edge->config.pull_limit};
    struct edge_call *call = edge_pull_call(edge, CALL_PAGE, SB_OP_CHANGES, pull, now);

    if (call == NULL)
        return;
    memcpy(args.user, pull->user, sizeof(args.user));
    memcpy(args.table, pull->table, sizeof(args.table));
    args.began = pull->began;
    sb_changes_args_encode(&args, &call->args);
}

struct page {
    struct sb_changes changes;
    struct edge *edge;
    struct pull *pull;
    struct sb_now now;
    uint64_t taken;
};

/* A cursor that stands still in the middle of a pull is what makes its restart complete. */
static int move_cursor(struct page *page, struct sb_err *err)
{
    const struct sb_cursor *cursor = &page->changes.cursor;
    const struct pull *pull = page->pull;
    struct outbox *ob = page->edge->ob;
    struct outbox_sync sync;
    int rc;

    if (page->changes.has_more && sb_rule(SB_RULE_END_CURSOR))
        return 0;
    if ((rc = outbox_sync_get(ob, pull->user, pull->table, &sync, err)) < 0)
        return rc;
    sync.cursor_version = cursor->version;
    memcpy(sync.cursor_tag, cursor->tag, sizeof(sync.cursor_tag));
    sync.last_download_us = page->now.wall_us;
    sync.last_server_version = page->changes.latest_version;
    if ((rc = outbox_sync_set(ob, pull->user, pull->table, &sync, err)) < 0)
        return rc;
    return outbox_documents_settle_loose(ob, pull->user, pull->table, cursor->version, err);
}

static int take_change(struct page *page, const struct sb_change *change, struct sb_err *err)
{
    const struct documents docs = edge_documents(page->edge);
    enum documents_taken taken;
    struct document_name name;
    int rc = document_name_make(&name, page->pull->user, page->pull->table, change->id, err);

    if (rc == 0)
        rc = documents_take(&docs, &name, &change->doc, page->changes.latest_version, page->now,
                            &taken, err);
    if (rc == 0) {
        edge_pull_took(page->edge, &name, taken);
        page->taken += taken == DOCUMENTS_TAKEN || taken == DOCUMENTS_ABSENT;
    }
    return rc;
}

/* Another process may have removed the user since, and purged what was here. Where it was added
 * anew, the pages before this one are missing. */
static int check_user(const struct page *page, struct sb_err *err)
{
    const struct pull *pull = page->pull;
    bool found;
    int64_t added_us;
    int rc = outbox_user_added(page->edge->ob, pull->user, &found, &added_us, err);

    if (rc == 0 && (!found || added_us != pull->added_us))
        rc = sb_fail(err, SB_ENOT_FOUND, "user %s left this device meanwhile", pull->user);
    return rc;
}

/* Who edits an encrypted document must know before its first conflict whether stamps are asked for.
 */
static int note_policy(const struct page *page, struct sb_err *err)
{
    const struct sb_changes *changes = &page->changes;
    struct outbox *ob = page->edge->ob;
    struct sb_buf arrays = {0};
    enum sb_policy policy;
    int rc;

    if (changes->policy == SB_POLICY_NONE)
        return 0;
    rc = outbox_policy_get(ob, page->pull->user, page->pull->table, &policy, &arrays, err);
    if (rc == 0 && (policy != changes->policy ||
                    !sb_span_eq(sb_buf_span(&arrays), sb_buf_span(&changes->arrays))))
        rc = outbox_policy_set(ob, page->pull->user, page->pull->table, changes->policy,
                               sb_buf_span(&changes->arrays), err);
    sb_buf_free(&arrays);
    return rc;
}

/* All of it, and the cursor, or nothing. */
static int apply_page(struct page *page, struct sb_err *err)
{
    struct outbox *ob = page->edge->ob;
    size_t told = page->edge->changed_count;
    int rc = outbox_begin(ob, err);

    if (rc < 0)
        return rc;
    rc = check_user(page, err);
    if (rc == 0)
        rc = note_policy(page, err);
    for (size_t i = 0; rc == 0 && i < page->changes.count; i++)
        rc = take_change(page, &page->changes.list[i], err);
    if (rc == 0)
        rc = move_cursor(page, err);
    if (rc == 0)
        rc = outbox_commit(ob, err);
    else
        outbox_rollback(ob);
    if (rc < 0)
        page->edge->changed_count = told;
    return rc;
}

static int check_page(const struct page *page, struct sb_err *err)
{
    const struct sb_changes *changes = &page->changes;

    if (strcmp(changes->user, page->pull->user) != 0 ||
        strcmp(changes->table, page->pull->table) != 0)
        return sb_fail(err, SB_EBAD_VALUE, "changes of %s/%s were answered with those of %s/%s",
                       page->pull->user, page->pull->table, changes->user, changes->table);
    if (changes->has_more && changes->cursor.version <= page->pull->position.version)
        return sb_fail(err, SB_EBAD_VALUE, "a page of changes that leads nowhere");
    return 0;
}

static void turn_page(struct edge *edge, struct pull *pull, const struct page *page)
{
    struct pull *whole = edge_pull_find(edge, edge->pull_count, pull->user, "");

    edge->status.pulled += page->changes.count;
    edge->status.taken += page->taken;
    edge_round_brought(edge, pull, page->changes.count, page->taken);
    if (pull->whole && pull->began == 0)
        pull->began = page->changes.latest_version;
    pull->position = page->changes.cursor;
    if (page->changes.has_more)
        return;
    edge->status.pulls++;
    if (whole != NULL && page->changes.latest_version > whole->counter)
        whole->counter = page->changes.latest_version;
    pull->phase = PULL_READS;
}

static int take_page(struct edge *edge, struct pull *pull, struct sb_span data, struct sb_now now,
                     struct sb_err *err)
{
    struct page page = {.edge = edge, .pull = pull, .now = now};
    int rc;

    sb_changes_init(&page.changes);
    rc = sb_changes_decode(data, &page.changes, err);
    if (rc == 0)
        rc = check_page(&page, err);
    if (rc == 0)
        rc = apply_page(&page, err);
    if (rc == 0)
        turn_page(edge, pull, &page);
    sb_changes_free(&page.changes);
    return rc;
}

static int forget_cursor(struct edge *edge, struct pull *pull, struct sb_err *err)
{
    struct outbox_sync sync;
    int rc = outbox_sync_get(edge->ob, pull->user, pull->table, &sync, err);

    sync.cursor_version = 0;
    sync.cursor_tag[0] = '\0';
    if (rc == 0)
        rc = outbox_sync_set(edge->ob, pull->user, pull->table, &sync, err);
    return rc < 0 ? rc : outbox_documents_forget_seen(edge->ob, pull->user, pull->table, err);
}

/* V6: pull from 0, all forget what they have seen. */
static void start_from_zero(struct edge *edge, struct pull *pull, struct sb_now now)
{
    struct sb_err err;
    int rc = in_transaction(edge, forget_cursor, pull, &err);

    if (rc == 0) {
        log_info("user=%s table=%s the cloud does not know the cursor: all of it is pulled",
                 pull->user, pull->table);
        rc = edge_pull_start(edge, pull, &err);
    }
    if (rc < 0)
        edge_pull_fail(edge, pull, &err, now);
}

void edge_pull_answer_page(struct edge *edge, struct pull *pull, const struct sb_answer *answer,
                           struct sb_now now)
{
    struct sb_err err = {0};

    if (!answer->success && answer->code == SB_ECURSOR_UNKNOWN && !pull->whole) {
        start_from_zero(edge, pull, now);
    } else if (!answer->success) {
        sb_fail(&err, answer->code, "%s", answer->reason);
        edge_pull_fail(edge, pull, &err, now);
    } else if (take_page(edge, pull, answer->data, now, &err) < 0) {
        edge_note_error(edge, &err);
        edge_pull_fail(edge, pull, &err, now);
    }
}
