/* Three documents, and array keys and stamps if there are any, a line each (what is no JSON is
 * absent): the merge does not depend on who came first, gives JSON that keeps what only one side
 * changed, places can be set, an edit made again is there. */
#include <string.h>

#include "common/check.h"
#include "common/json_scan.h"
#include "common/merge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct sb_json_limits limits = {1 << 20, SB_JSON_MAX_DEPTH, 10000};
static const struct sb_json_limits wider = {8 << 20, SB_JSON_MAX_DEPTH, 40000};

struct input {
    struct sb_span base, local, server;
    struct sb_array_keys arrays;
    struct sb_stamps ours, theirs;
};

static struct sb_span next_line(struct sb_span *rest)
{
    const char *end = rest->len > 0 ? memchr(rest->data, '\n', rest->len) : NULL;
    struct sb_span line = {rest->data, end != NULL ? (size_t)(end - rest->data) : rest->len};
    size_t taken = line.len + (end != NULL);

    rest->data += taken;
    rest->len -= taken;
    return line;
}

static struct sb_span document(struct sb_span line)
{
    struct sb_span value;

    return sb_json_check(line, &limits, &value, NULL) == 0 ? value : SB_SPAN("");
}

/* One device's, so that two sets never have the same stamp; "" is in every set. */
static void read_stamps(struct sb_span line, const char *device, struct sb_stamps *stamps)
{
    struct sb_stamp stamp = sb_stamp_of(1, sb_span_of(device));

    sb_stamps_parse(stamps, line, NULL);
    for (size_t i = 0; i < stamps->count; i++)
        stamps->place[i].stamp = sb_stamp_of(stamps->place[i].stamp.hlc, sb_span_of(device));
    sb_stamps_raise(stamps, SB_SPAN(""), &stamp);
}

static void read_input(struct sb_span text, struct input *input)
{
    memset(input, 0, sizeof(*input));
    input->base = document(next_line(&text));
    input->local = document(next_line(&text));
    input->server = document(next_line(&text));
    sb_array_keys_parse(&input->arrays, next_line(&text), NULL);
    read_stamps(next_line(&text), "a", &input->ours);
    read_stamps(next_line(&text), "b", &input->theirs);
}

static bool equal(struct sb_span a, struct sb_span b)
{
    return a.len == 0 || b.len == 0 ? a.len == b.len : sb_json_equal(a, b);
}

static void check_json(struct sb_span text)
{
    struct sb_span value;

    SB_CHECK(text.len == 0 ||
             (sb_json_check(text, &wider, &value, NULL) == 0 && value.len == text.len));
}

static bool same_places(const struct sb_pointers *a, const struct sb_pointers *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!sb_span_eq(sb_pointers_get(a, i), sb_pointers_get(b, i)))
            return false;
    return true;
}

static void check_merge(const struct input *in, enum sb_policy policy, enum sb_policy back_policy)
{
    struct sb_merge_rules rules = {
        .policy = policy, .arrays = &in->arrays, .local = &in->ours, .server = &in->theirs};
    struct sb_merge_result there = {0}, back = {0};

    sb_merge(in->base, in->local, in->server, &rules, &there);
    rules.policy = back_policy;
    rules.local = &in->theirs;
    rules.server = &in->ours;
    sb_merge(in->base, in->server, in->local, &rules, &back);
    check_json(sb_merge_text(&there));
    SB_CHECK(there.absent == (there.text.len == 0));
    SB_CHECK(same_places(&there.undecided, &back.undecided));
    SB_CHECK(same_places(&there.lost, &back.won) && same_places(&there.won, &back.lost));
    SB_CHECK(there.undecided.count > 0 || sb_span_eq(sb_merge_text(&there), sb_merge_text(&back)));
    sb_merge_result_free(&there);
    sb_merge_result_free(&back);
}

static void check_one_edit(const struct input *in)
{
    struct sb_merge_rules rules = {.policy = SB_POLICY_MERGE, .arrays = &in->arrays};
    struct sb_merge_result result = {0};

    sb_merge(in->base, in->local, in->base, &rules, &result);
    SB_CHECK(result.undecided.count == 0 && equal(sb_merge_text(&result), in->local));
    sb_merge(in->base, in->base, in->server, &rules, &result);
    SB_CHECK(result.undecided.count == 0 && equal(sb_merge_text(&result), in->server));
    sb_merge_result_free(&result);
}

static void check_places(const struct input *in)
{
    struct sb_pointers places = {0};
    struct sb_buf out = {0}, text = {0};

    sb_doc_changed(in->base, in->local, NULL, &places);
    SB_CHECK((places.count == 0) == equal(in->base, in->local));
    for (size_t i = 0; i < places.count && i < 20 && !places.overflown; i++) {
        struct sb_span place = sb_pointers_get(&places, i);
        struct sb_span value = sb_doc_get(in->local, place, NULL);

        sb_buf_clear(&out);
        SB_CHECK(sb_doc_put(in->server, place, value, NULL, &out));
        check_json(sb_buf_span(&out));
        SB_CHECK(equal(sb_doc_get(sb_buf_span(&out), place, NULL), value));
    }
    sb_pointers_print(&places, &text);
    sb_pointers_parse(&places, sb_buf_span(&text), NULL);
    sb_buf_clear(&out);
    sb_pointers_print(&places, &out);
    SB_CHECK(sb_span_eq(sb_buf_span(&out), sb_buf_span(&text)));
    sb_pointers_free(&places);
    sb_buf_free(&out);
    sb_buf_free(&text);
}

static void check_reapply(const struct input *in)
{
    struct sb_buf once = {0}, twice = {0};

    sb_doc_reapply(in->base, in->local, in->server, &in->arrays, &once);
    check_json(sb_buf_span(&once));
    sb_doc_reapply(in->base, in->local, sb_buf_span(&once), &in->arrays, &twice);
    SB_CHECK(equal(sb_buf_span(&once), sb_buf_span(&twice)));
    sb_buf_clear(&once);
    sb_doc_reapply(in->base, in->local, in->base, NULL, &once);
    SB_CHECK(equal(sb_buf_span(&once), in->local));
    sb_buf_free(&once);
    sb_buf_free(&twice);
}

static void check_stamps(struct input *in)
{
    struct sb_stamp stamp = sb_stamp_of(UINT64_MAX, SB_SPAN("z"));
    struct sb_stamps again = {0};
    struct sb_buf text = {0}, printed = {0};

    sb_stamps_apply(&in->ours, in->base, in->local, in->local, &stamp, &in->arrays);
    SB_CHECK(equal(in->base, in->local) || sb_stamps_highest(&in->ours).hlc == UINT64_MAX);
    sb_stamps_print(&in->ours, &text);
    SB_CHECK(sb_stamps_parse(&again, sb_buf_span(&text), NULL) == 0);
    sb_stamps_print(&again, &printed);
    SB_CHECK(sb_span_eq(sb_buf_span(&text), sb_buf_span(&printed)));
    sb_stamps_free(&again);
    sb_buf_free(&text);
    sb_buf_free(&printed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input;

    read_input((struct sb_span){(const char *)data, size}, &input);
    check_merge(&input, SB_POLICY_MERGE, SB_POLICY_MERGE);
    check_merge(&input, SB_POLICY_MANUAL, SB_POLICY_MANUAL);
    check_merge(&input, SB_POLICY_SERVER, SB_POLICY_LOCAL);
    check_merge(&input, SB_POLICY_LATEST, SB_POLICY_LATEST);
    check_one_edit(&input);
    check_places(&input);
    check_reapply(&input);
    check_stamps(&input);
    sb_array_keys_free(&input.arrays);
    sb_stamps_free(&input.ours);
    sb_stamps_free(&input.theirs);
    return 0;
}
