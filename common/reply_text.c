#include "reply.h"

#include <stdlib.h>

#include "clock.h"
#include "document_codec.h"

static void add_or_null(struct sb_buf *out, const char *key, uint64_t value)
{
    if (value > 0)
        sb_add_u64(out, key, value);
    else
        sb_add_text(out, key, "");
}

static void add_header(const struct sb_reply *reply, struct sb_buf *out)
{
    sb_buf_add_str(out, "{\"v\":1,\"kind\":\"ack\"");
    sb_add_text(out, "boot", reply->boot);
    add_or_null(out, "commit", reply->commit);
    sb_add_text(out, "batch_id", reply->batch_id);
    sb_add_text(out, "epoch", reply->epoch);
    sb_add_text(out, "stream", reply->stream);
    add_or_null(out, "first_seq", reply->first_seq);
    add_or_null(out, "last_seq", reply->last_seq);
    sb_add_text(out, "result", sb_result_name(reply->result));
    sb_add_u64(out, "accepted", reply->accepted);
    sb_add_u64(out, "duplicates", reply->duplicates);
    sb_add_u64(out, "revised", reply->revised);
}

static void add_rejected(const struct sb_reply *reply, struct sb_buf *out)
{
    sb_buf_add_str(out, ",\"rejected\":[");
    for (size_t i = 0; i < reply->rejected_count; i++) {
        const struct sb_rejection *rejection = &reply->rejected[i];
        uint64_t hi = rejection->hi < reply->last_seq ? rejection->hi : reply->last_seq;

        sb_buf_add_str(out, i > 0 ? ",{\"seq\":" : "{\"seq\":");
        sb_buf_add_u64(out, rejection->lo);
        if (hi > rejection->lo)
            sb_add_u64(out, "last", hi);
        sb_add_text(out, "code", sb_code_name(rejection->code));
        sb_add_escaped(out, "reason", rejection->reason);
        sb_buf_add_char(out, '}');
    }
    sb_buf_add_char(out, ']');
}

static void add_versions(const struct sb_reply *reply, struct sb_buf *out)
{
    sb_buf_add_str(out, ",\"versions\":[");
    for (size_t i = 0; i < reply->version_count; i++) {
        sb_buf_add_str(out, i > 0 ? ",[" : "[");
        sb_buf_add_u64(out, reply->versions[i].seq);
        sb_buf_add_char(out, ',');
        sb_buf_add_u64(out, reply->versions[i].version);
        sb_buf_add_char(out, ']');
    }
    sb_buf_add_char(out, ']');
}

static void add_conflict(const struct sb_conflict *conflict, bool without_data, struct sb_buf *out)
{
    sb_buf_add_str(out, "{\"seq\":");
    sb_buf_add_u64(out, conflict->seq);
    sb_add_escaped(out, "op_id", conflict->op_id);
    sb_add_text(out, "code", conflict->code == SB_OK ? "" : sb_code_name(conflict->code));
    sb_buf_add_str(out, ",\"pointers\":");
    sb_add_pointer_list(sb_buf_span(&conflict->pointers), out);
    sb_add_policy(out, conflict->policy, sb_buf_span(&conflict->arrays));
    sb_add_u64(out, "as_of", conflict->as_of);
    if (conflict->server.exists) {
        sb_buf_add_str(out, ",\"server\":{");
        sb_document_add_members(&conflict->server, without_data, out);
        sb_buf_add_char(out, '}');
    } else {
        sb_add_text(out, "server", "");
    }
    sb_buf_add_char(out, '}');
}

/* without: one flag per conflict, or NULL for none */
static void add_reply(const struct sb_reply *reply, const bool *without, struct sb_buf *out)
{
    char time[SB_TIME_TEXT];

    add_header(reply, out);
    add_rejected(reply, out);
    add_versions(reply, out);
    sb_buf_add_str(out, ",\"conflicts\":[");
    for (size_t i = 0; i < reply->conflict_count; i++) {
        if (i > 0)
            sb_buf_add_char(out, ',');
        add_conflict(&reply->conflicts[i], without != NULL && without[i], out);
    }
    sb_buf_add_char(out, ']');
    sb_add_u64(out, "total", reply->total);
    sb_add_text(out, "code", reply->code == SB_OK ? "" : sb_code_name(reply->code));
    if (reply->reason[0] != '\0')
        sb_add_escaped(out, "reason", reply->reason);
    add_or_null(out, "server_version", reply->server_version);
    sb_add_text(out, "updated_at", reply->updated_at);
    sb_time_print(reply->server_time_us, time);
    sb_add_text(out, "server_time", time);
    sb_add_u64(out, "retry_after_ms", reply->retry_after_ms);
    sb_buf_add_char(out, '}');
}

/* ---- making it fit ---- */

/* Marks documents to leave out, the largest first, until excess bytes are saved. */
static void leave_out(const struct sb_reply *reply, size_t excess, bool *without)
{
    while (excess > 0) {
        size_t best = reply->conflict_count, most = 0;

        for (size_t i = 0; i < reply->conflict_count; i++) {
            size_t saving = without[i] ? 0 : sb_document_saving(&reply->conflicts[i].server);

            if (saving > most) {
                most = saving;
                best = i;
            }
        }
        if (most == 0)
            return;
        without[best] = true;
        excess -= most < excess ? most : excess;
    }
}

static void recount(struct sb_reply *part, const unsigned char *outcome, uint64_t count)
{
    part->accepted = part->duplicates = part->revised = 0;
    for (uint64_t i = 0; i < count; i++) {
        part->accepted += outcome[i] == SB_OUT_ACCEPTED;
        part->duplicates += outcome[i] == SB_OUT_DUPLICATE;
        part->revised += outcome[i] == SB_OUT_REVISED;
    }
}

/* The answer to the first `count` numbers alone. Shares the lists of the whole. */
static struct sb_reply prefix_of(const struct sb_reply *reply, const unsigned char *outcome,
                                 uint64_t count)
{
    struct sb_reply part = *reply;

    part.last_seq = reply->first_seq + count - 1;
    recount(&part, outcome, count);
    while (part.rejected_count > 0 && part.rejected[part.rejected_count - 1].lo > part.last_seq)
        part.rejected_count--;
    while (part.conflict_count > 0 && part.conflicts[part.conflict_count - 1].seq > part.last_seq)
        part.conflict_count--;
    while (part.version_count > 0 && part.versions[part.version_count - 1].seq > part.last_seq)
        part.version_count--;
    if (reply->version_count > 0)
        part.server_version = 0;
    for (size_t i = 0; i < part.version_count; i++)
        if (part.versions[i].version > part.server_version)
            part.server_version = part.versions[i].version;
    part.result = sb_reply_word(&part, false);
    return part;
}

/* Appends the answer to the longest prefix that fits (at least one number). */
static void add_prefix(const struct sb_reply *reply, const unsigned char *outcome, size_t max_bytes,
                       const bool *without, struct sb_buf *out)
{
    uint64_t fits = 1, too_many = reply->last_seq - reply->first_seq + 1;
    size_t before = out->len;
    struct sb_reply part;

    while (too_many - fits > 1) {
        uint64_t middle = fits + (too_many - fits) / 2;

        part = prefix_of(reply, outcome, middle);
        add_reply(&part, without, out);
        if (out->len - before <= max_bytes)
            fits = middle;
        else
            too_many = middle;
        out->len = before;
    }
    part = prefix_of(reply, outcome, fits);
    add_reply(&part, without, out);
}

void sb_reply_encode(const struct sb_reply *reply, const unsigned char *outcome, size_t max_bytes,
                     struct sb_buf *out)
{
    size_t before = out->len;
    bool *without;

    add_reply(reply, NULL, out);
    if (out->len - before <= max_bytes)
        return;
    without = sb_xcalloc(reply->conflict_count, sizeof(*without));
    leave_out(reply, out->len - before - max_bytes, without);
    out->len = before;
    add_reply(reply, without, out);
    if (out->len - before > max_bytes && outcome != NULL && reply->first_seq > 0 &&
        reply->last_seq > reply->first_seq) {
        out->len = before;
        add_prefix(reply, outcome, max_bytes, without, out);
    }
    free(without);
}
