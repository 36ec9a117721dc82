/* V8: deciding open conflicts. */
#include <stdio.h>
#include <string.h>

#include "common/doc.h"
#include "common/log.h"
#include "edge_agent/documents_internal.h"

/* An open conflict, copied. */
struct decision {
    bool found;
    struct document_name name;
    struct sb_buf base, local, arrays;
};

static void decision_fini(struct decision *decision)
{
    sb_buf_free(&decision->base);
    sb_buf_free(&decision->local);
    sb_buf_free(&decision->arrays);
}

static int copy_open(void *ctx, const struct outbox_open_conflict *open)
{
    struct decision *decision = ctx;

    if (open->resolved_us != 0)
        return 0;
    decision->found = true;
    decision->name = open->name;
    sb_buf_add_span(&decision->base, open->base);
    sb_buf_add_span(&decision->local, open->local);
    sb_buf_add_span(&decision->arrays, open->arrays);
    return 0;
}

static int find_open(struct outbox *ob, int64_t id, struct decision *decision, struct sb_err *err)
{
    int rc =
        id > 0 ? outbox_open_conflicts(ob, id, NULL, NULL, false, copy_open, decision, err) : 0;

    if (rc == 0 && !decision->found)
        rc =
            sb_fail(err, SB_ENOT_FOUND, "conflict %lld: there is none that is open", (long long)id);
    return rc;
}

/* The members that the losing edit changed, set again on what is in force now. */
static void set_again(const struct decision *decision, struct sb_span in_force, struct sb_buf *out)
{
    struct sb_array_keys arrays = {0};

    (void)sb_array_keys_parse(&arrays, sb_buf_span(&decision->arrays), NULL);
    sb_doc_reapply(sb_buf_span(&decision->base), sb_buf_span(&decision->local), in_force, &arrays,
                   out);
    sb_array_keys_free(&arrays);
}

static bool same_document(struct sb_span a, struct sb_span b)
{
    if (a.len == 0 || b.len == 0)
        return a.len == b.len;
    return sb_json_equal(a, b);
}

static int apply(const struct documents *docs, const struct decision *decision,
                 enum sb_choice choice, struct sb_span merged, bool send, struct sb_now now,
                 struct document_receipt *receipt, struct sb_err *err)
{
    struct document_write write = {.name = &decision->name};
    struct outbox_document local;
    struct sb_buf text = {0};
    int rc = outbox_document_get(docs->ob, &decision->name, &local, err);

    if (rc == 0) {
        if (choice == SB_CHOICE_LOCAL)
            set_again(decision, document_text_of(&local), &text);
        else
            sb_buf_add_span(&text, merged);
        write.data = sb_buf_span(&text);
        if (!same_document(write.data, document_text_of(&local)))
            rc = document_edit(docs, &local, &write, send, now, receipt, err);
    }
    sb_buf_free(&text);
    outbox_document_fini(&local);
    return rc;
}

static int close_decided(const struct documents *docs, int64_t id, enum sb_choice choice,
                         struct sb_now now, struct sb_err *err)
{
    char ask[SB_UUID_LEN + 1];
    int rc;

    sb_uuid7(docs->rng, now.wall_us, ask);
    rc = outbox_open_conflict_close(docs->ob, id, choice, docs->device, now.wall_us, err);
    if (rc == 0)
        rc = outbox_conflicts_resolved(docs->ob, id, choice, ask, err);
    return rc < 0 ? rc : document_ask_spread(docs, ask, now, err);
}

int documents_resolve(const struct documents *docs, int64_t id, enum sb_choice choice,
                      struct sb_span merged, bool send, struct sb_now now,
                      struct document_receipt *receipt, struct sb_err *err)
{
    struct decision decision = {0};
    int rc;

    *receipt = (struct document_receipt){0};
    if (choice == SB_CHOICE_NONE || (choice == SB_CHOICE_MERGE && merged.len == 0))
        return sb_fail(err, SB_EBAD_VALUE, "choice: local, server, or merge with a document");
    rc = find_open(docs->ob, id, &decision, err);
    if (rc == 0 && choice != SB_CHOICE_SERVER)
        rc = apply(docs, &decision, choice, merged, send, now, receipt, err);
    if (rc == 0)
        rc = close_decided(docs, id, choice, now, err);
    decision_fini(&decision);
    return rc;
}

/* ---- decided there ---- */

static int close_there(struct outbox *ob, const struct sb_conflict_entry *entry, int64_t wall_us,
                       struct sb_err *err)
{
    int64_t id = 0;
    uint64_t left = 0;
    int rc =
        outbox_conflict_decided(ob, entry->user, entry->op_id, entry->resolution, &id, &left, err);

    if (rc < 0 || id == 0 || left > 0)
        return rc;
    rc = outbox_open_conflict_close(ob, id, entry->resolution, entry->resolved_by, wall_us, err);
    if (rc == -(int)SB_ENOT_FOUND)
        return 0;
    if (rc == 0)
        log_info("user=%s conflict %lld was decided by %s: %s", entry->user, (long long)id,
                 entry->resolved_by, sb_choice_name(entry->resolution));
    return rc;
}

int documents_resolved_there(struct outbox *ob, const struct sb_conflicts *conflicts,
                             int64_t wall_us, struct sb_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < conflicts->count; i++)
        if (conflicts->list[i].resolved_at[0] != '\0')
            rc = close_there(ob, &conflicts->list[i], wall_us, err);
    return rc;
}
