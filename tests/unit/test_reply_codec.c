/* Replies: the lists, the word, there and back, cutting to a size, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/envelope.h"
#include "common/reply.h"
#include "common/rng.h"

#define ID    "0190a6c2-7b1e-7cc3-98c4-dc0c0c07398f"
#define EPOCH "00112233445566ff"
#define SPACE 1000000

static struct sb_reply reply_to(uint64_t first, uint64_t last)
{
    struct sb_reply reply;

    sb_reply_init(&reply);
    snprintf(reply.boot, sizeof(reply.boot), "b-1");
    snprintf(reply.batch_id, sizeof(reply.batch_id), ID);
    snprintf(reply.epoch, sizeof(reply.epoch), EPOCH);
    snprintf(reply.stream, sizeof(reply.stream), "settings/user-123");
    snprintf(reply.updated_at, sizeof(reply.updated_at), "2026-01-02T03:04:05Z");
    reply.commit = 5120;
    reply.first_seq = first;
    reply.last_seq = last;
    reply.total = 42;
    reply.server_time_us = 1767323045250000;
    return reply;
}

static void add_conflict(struct sb_reply *reply, uint64_t seq, size_t data_len)
{
    struct sb_conflict *conflict = sb_reply_conflict(reply, seq);

    snprintf(conflict->op_id, sizeof(conflict->op_id), "op-%d \"x\"\n", (int)seq);
    sb_buf_add_str(&conflict->pointers, "[\"\"]");
    conflict->as_of = 12;
    if (data_len == 0)
        return;
    conflict->server.exists = true;
    conflict->server.version = 9;
    snprintf(conflict->server.tag, sizeof(conflict->server.tag), "0123456789abcdef");
    snprintf(conflict->server.op_id, sizeof(conflict->server.op_id), "op-s");
    snprintf(conflict->server.device, sizeof(conflict->server.device), "edge-002");
    snprintf(conflict->server.hlc, sizeof(conflict->server.hlc), "019b7c1a2b3c0001");
    snprintf(conflict->server.updated_at, sizeof(conflict->server.updated_at),
             "2026-01-02T03:04:05Z");
    sb_buf_add_str(&conflict->server.data, "{\"d\":\"");
    while (conflict->server.data.len + 2 < data_len)
        sb_buf_add_char(&conflict->server.data, 'x');
    sb_buf_add_str(&conflict->server.data, "\"}");
}

static struct sb_reply coded(const struct sb_reply *reply)
{
    struct sb_buf text = {0};
    struct sb_reply back;
    struct sb_err err;

    sb_reply_encode(reply, NULL, SPACE, &text);
    if (sb_reply_decode(sb_buf_span(&text), &back, &err) != 0)
        fail_msg("%s: %s", text.data, err.msg);
    sb_buf_free(&text);
    return back;
}

static void rejections_next_to_each_other_are_joined(void **state)
{
    struct sb_reply reply = reply_to(1, 10);

    (void)state;
    sb_reply_reject(&reply, 2, SB_EBAD_VALUE, "a");
    sb_reply_reject(&reply, 3, SB_EBAD_VALUE, "a");
    sb_reply_reject(&reply, 4, SB_EBAD_VALUE, "b");
    sb_reply_reject(&reply, 5, SB_EBAD_TYPE, "b");
    sb_reply_reject(&reply, 7, SB_EBAD_TYPE, "b");
    assert_int_equal(reply.rejected_count, 4);
    assert_int_equal(reply.rejected[0].lo, 2);
    assert_int_equal(reply.rejected[0].hi, 3);
    assert_int_equal(reply.rejected[3].lo, 7);
    sb_reply_free(&reply);
    assert_int_equal(reply.rejected_count, 0);
    assert_null(reply.rejected);
}

static void a_long_reason_is_cut_between_characters(void **state)
{
    struct sb_reply reply = reply_to(1, 1);
    char reason[400];

    (void)state;
    for (size_t i = 0; i + 4 < sizeof(reason); i += 3)
        memcpy(reason + i, "\xe2\x82\xac", 4);
    sb_reply_reject(&reply, 1, SB_EBAD_VALUE, reason);
    assert_int_equal(strlen(reply.rejected[0].reason), 159);
    assert_true(sb_utf8_valid(sb_span_of(reply.rejected[0].reason), NULL));
    sb_reply_free(&reply);
}

static void the_first_word_that_applies_is_the_result(void **state)
{
    struct sb_reply reply = reply_to(1, 4);

    (void)state;
    reply.duplicates = 4;
    assert_int_equal(sb_reply_word(&reply, false), SB_RESULT_DUPLICATE);
    assert_int_equal(sb_reply_word(&reply, true), SB_RESULT_STORED);
    sb_reply_reject(&reply, 1, SB_EBAD_VALUE, "");
    assert_int_equal(sb_reply_word(&reply, false), SB_RESULT_REJECTED);
    reply.revised = 1;
    assert_int_equal(sb_reply_word(&reply, false), SB_RESULT_STORED);
    reply.revised = 0;
    reply.accepted = 1;
    assert_int_equal(sb_reply_word(&reply, false), SB_RESULT_STORED);
    add_conflict(&reply, 4, 0);
    assert_int_equal(sb_reply_word(&reply, true), SB_RESULT_CONFLICT);
    sb_reply_free(&reply);
}

static void a_reply_survives_the_way_there_and_back(void **state)
{
    struct sb_reply reply = reply_to(101, 112), back;

    (void)state;
    reply.result = SB_RESULT_CONFLICT;
    reply.accepted = 3;
    reply.duplicates = 2;
    reply.revised = 1;
    sb_reply_reject(&reply, 102, SB_EBAD_VALUE, "pm2_5: not \"a\" number");
    sb_reply_reject(&reply, 105, SB_EDECLARED_HOLE, "given up");
    sb_reply_reject(&reply, 106, SB_EDECLARED_HOLE, "given up");
    sb_reply_reject(&reply, 107, SB_EDECLARED_HOLE, "given up");
    add_conflict(&reply, 103, 40);
    add_conflict(&reply, 110, 0);
    reply.conflicts[1].code = SB_EBASE_UNKNOWN;
    sb_reply_version(&reply, 101, 8);
    sb_reply_version(&reply, 112, 10);
    reply.server_version = 10;
    reply.retry_after_ms = 1500;
    back = coded(&reply);
    assert_string_equal(back.boot, "b-1");
    assert_int_equal(back.commit, 5120);
    assert_string_equal(back.batch_id, ID);
    assert_string_equal(back.epoch, EPOCH);
    assert_string_equal(back.stream, "settings/user-123");
    assert_int_equal(back.first_seq, 101);
    assert_int_equal(back.last_seq, 112);
    assert_int_equal(back.result, SB_RESULT_CONFLICT);
    assert_int_equal(back.accepted, 3);
    assert_int_equal(back.duplicates, 2);
    assert_int_equal(back.revised, 1);
    assert_int_equal(back.rejected_count, 2);
    assert_string_equal(back.rejected[0].reason, "pm2_5: not \"a\" number");
    assert_int_equal(back.rejected[1].lo, 105);
    assert_int_equal(back.rejected[1].hi, 107);
    assert_int_equal(back.rejected[1].code, SB_EDECLARED_HOLE);
    assert_int_equal(back.version_count, 2);
    assert_int_equal(back.versions[1].seq, 112);
    assert_int_equal(back.versions[1].version, 10);
    assert_int_equal(back.conflict_count, 2);
    assert_string_equal(back.conflicts[0].op_id, reply.conflicts[0].op_id);
    assert_int_equal(back.conflicts[0].code, SB_OK);
    assert_string_equal(back.conflicts[0].pointers.data, "[\"\"]");
    assert_int_equal(back.conflicts[0].as_of, 12);
    assert_true(back.conflicts[0].server.exists);
    assert_int_equal(back.conflicts[0].server.version, 9);
    assert_string_equal(back.conflicts[0].server.data.data, reply.conflicts[0].server.data.data);
    assert_false(back.conflicts[1].server.exists);
    assert_int_equal(back.conflicts[1].code, SB_EBASE_UNKNOWN);
    assert_int_equal(back.total, 42);
    assert_int_equal(back.code, SB_OK);
    assert_int_equal(back.server_version, 10);
    assert_string_equal(back.updated_at, "2026-01-02T03:04:05Z");
    assert_int_equal(back.server_time_us, 1767323045250000);
    assert_int_equal(back.retry_after_ms, 1500);
    sb_reply_free(&reply);
    sb_reply_free(&back);
}

static void a_retry_and_an_unreadable_batch_answer_no_number(void **state)
{
    struct sb_reply reply = reply_to(5, 9), back;

    (void)state;
    reply.result = SB_RESULT_RETRY;
    reply.code = SB_EHELLO;
    reply.commit = 0;
    snprintf(reply.reason, sizeof(reply.reason), "say hello first");
    back = coded(&reply);
    assert_int_equal(back.result, SB_RESULT_RETRY);
    assert_int_equal(back.code, SB_EHELLO);
    assert_int_equal(back.commit, 0);
    assert_int_equal(back.first_seq, 5);
    assert_string_equal(back.reason, "say hello first");
    sb_reply_free(&back);

    reply = reply_to(0, 0);
    reply.batch_id[0] = reply.epoch[0] = reply.stream[0] = reply.updated_at[0] = '\0';
    reply.result = SB_RESULT_REJECTED;
    reply.code = SB_EBAD_UTF8;
    back = coded(&reply);
    assert_string_equal(back.batch_id, "");
    assert_string_equal(back.epoch, "");
    assert_string_equal(back.stream, "");
    assert_int_equal(back.first_seq, 0);
    assert_int_equal(back.last_seq, 0);
    assert_int_equal(back.code, SB_EBAD_UTF8);
    sb_reply_free(&back);
}

static void documents_that_do_not_fit_are_left_out_the_largest_first(void **state)
{
    struct sb_reply reply = reply_to(1, 3), back;
    struct sb_buf whole = {0}, text = {0};

    (void)state;
    reply.result = SB_RESULT_CONFLICT;
    add_conflict(&reply, 1, 1000);
    add_conflict(&reply, 2, 5000);
    add_conflict(&reply, 3, 3000);
    sb_reply_encode(&reply, NULL, SPACE, &whole);
    for (size_t max = whole.len; max > 1000; max -= 7) {
        bool without[3];

        sb_buf_clear(&text);
        sb_reply_encode(&reply, NULL, max, &text);
        assert_int_equal(sb_reply_decode(sb_buf_span(&text), &back, NULL), 0);
        for (int i = 0; i < 3; i++)
            without[i] = back.conflicts[i].server.fetch;
        assert_true(text.len <= max || (without[0] && without[1] && without[2]));
        assert_int_equal(without[1], max < whole.len);
        assert_int_equal(without[2], max < whole.len - 4995);
        assert_int_equal(without[0], max < whole.len - 4995 - 2995);
        sb_reply_free(&back);
    }
    sb_buf_free(&whole);
    sb_buf_free(&text);
    sb_reply_free(&reply);
}

/* A random answer to 1..count with the outcomes beside it. */
static struct sb_reply random_reply(struct sb_rng *rng, uint64_t first, uint64_t count,
                                    unsigned char *outcome)
{
    struct sb_reply reply = reply_to(first, first + count - 1);
    char reason[32];

    for (uint64_t i = 0; i < count; i++) {
        outcome[i] = (unsigned char)(SB_OUT_ACCEPTED + sb_rng_below(rng, 5));
        reply.accepted += outcome[i] == SB_OUT_ACCEPTED;
        reply.duplicates += outcome[i] == SB_OUT_DUPLICATE;
        reply.revised += outcome[i] == SB_OUT_REVISED;
        if (outcome[i] == SB_OUT_ACCEPTED)
            sb_reply_version(&reply, first + i, 100 + sb_rng_below(rng, 1000));
        snprintf(reason, sizeof(reason), "reason %d", (int)sb_rng_below(rng, 2));
        if (outcome[i] == SB_OUT_REJECTED)
            sb_reply_reject(&reply, first + i, SB_EBAD_VALUE, reason);
        if (outcome[i] == SB_OUT_CONFLICT)
            add_conflict(&reply, first + i, sb_rng_below(rng, 2) * (20 + sb_rng_below(rng, 50)));
    }
    for (size_t i = 0; i < reply.version_count; i++)
        if (reply.versions[i].version > reply.server_version)
            reply.server_version = reply.versions[i].version;
    reply.result = sb_reply_word(&reply, false);
    return reply;
}

/* Is `part` what the outcomes of first..part->last_seq say? */
static void check_prefix(const struct sb_reply *part, const unsigned char *outcome)
{
    uint64_t counts[6] = {0}, rejected = 0, highest = 0;

    for (uint64_t seq = part->first_seq; seq <= part->last_seq; seq++)
        counts[outcome[seq - part->first_seq]]++;
    for (size_t i = 0; i < part->rejected_count; i++)
        for (uint64_t seq = part->rejected[i].lo; seq <= part->rejected[i].hi; seq++, rejected++)
            assert_int_equal(outcome[seq - part->first_seq], SB_OUT_REJECTED);
    for (size_t i = 0; i < part->version_count; i++)
        if (part->versions[i].version > highest)
            highest = part->versions[i].version;
    assert_int_equal(part->accepted, counts[SB_OUT_ACCEPTED]);
    assert_int_equal(part->version_count, counts[SB_OUT_ACCEPTED]);
    assert_int_equal(part->duplicates, counts[SB_OUT_DUPLICATE]);
    assert_int_equal(part->revised, counts[SB_OUT_REVISED]);
    assert_int_equal(rejected, counts[SB_OUT_REJECTED]);
    assert_int_equal(part->conflict_count, counts[SB_OUT_CONFLICT]);
    assert_int_equal(part->server_version, highest);
    assert_int_equal(part->result, sb_reply_word(part, false));
}

static void what_does_not_fit_is_cut_to_the_longest_prefix(void **state)
{
    unsigned char outcome[60];
    struct sb_rng rng;

    (void)state;
    sb_rng_seed(&rng, 11);
    for (int round = 0; round < 300; round++) {
        uint64_t count = 1 + sb_rng_below(&rng, 60);
        struct sb_reply reply = random_reply(&rng, 1 + sb_rng_below(&rng, 200), count, outcome);
        size_t max = 400 + sb_rng_below(&rng, 8000);
        struct sb_reply back;
        struct sb_buf text = {0}, longer = {0};

        sb_buf_add_str(&text, "kept");
        sb_reply_encode(&reply, outcome, max, &text);
        assert_memory_equal(text.data, "kept", 4);
        assert_int_equal(
            sb_reply_decode((struct sb_span){text.data + 4, text.len - 4}, &back, NULL), 0);
        assert_true(text.len - 4 <= max || back.last_seq == back.first_seq);
        assert_int_equal(back.first_seq, reply.first_seq);
        check_prefix(&back, outcome);
        if (back.last_seq < reply.last_seq) {
            /* one number more would not have fitted */
            sb_reply_encode(&reply, outcome, max, &longer);
            assert_int_equal(longer.len, text.len - 4);
            for (size_t more = max + 1; more < max + 4000; more += 13) {
                struct sb_reply other;

                sb_buf_clear(&longer);
                sb_reply_encode(&reply, outcome, more, &longer);
                assert_int_equal(sb_reply_decode(sb_buf_span(&longer), &other, NULL), 0);
                assert_true(other.last_seq >= back.last_seq);
                if (other.last_seq > back.last_seq)
                    assert_true(longer.len > max);
                sb_reply_free(&other);
            }
        }
        sb_buf_free(&text);
        sb_buf_free(&longer);
        sb_reply_free(&back);
        sb_reply_free(&reply);
    }
}

#define ACK(result, rest)                                                                          \
    "{\"v\":1,\"kind\":\"ack\",\"boot\":\"b\",\"commit\":5,\"batch_id\":\"" ID                     \
    "\",\"epoch\":\"" EPOCH "\",\"stream\":\"history/u\",\"first_seq\":10,\"last_seq\":13,"        \
    "\"result\":\"" result "\"," rest "}"

static void refuses(const char *text, enum sb_code code, const char *part)
{
    struct sb_reply reply;
    struct sb_err err = {0};

    if (sb_reply_decode(sb_span_of(text), &reply, &err) != -(int)code)
        fail_msg("%s: not %s but %s: %s", text, sb_code_name(code), sb_code_name(err.code),
                 err.msg);
    if (strstr(err.msg, part) == NULL)
        fail_msg("%s: \"%s\" is not in \"%s\"", text, part, err.msg);
    assert_null(reply.rejected);
    assert_null(reply.conflicts);
    assert_null(reply.versions);
}

static void decodes(const char *text)
{
    struct sb_reply reply;
    struct sb_err err;

    if (sb_reply_decode(sb_span_of(text), &reply, &err) != 0)
        fail_msg("%s: %s", text, err.msg);
    sb_reply_free(&reply);
}

static void counts_that_do_not_add_up_are_refused(void **state)
{
    (void)state;
    decodes(ACK("stored", "\"accepted\":4"));
    decodes(ACK("stored", "\"accepted\":1,\"duplicates\":2,\"revised\":1,\"unknown\":[1]"));
    refuses(ACK("stored", "\"accepted\":3"), SB_EBAD_VALUE, "3 numbers are answered, not 4");
    refuses(ACK("stored", "\"accepted\":5"), SB_EBAD_VALUE, "5 numbers");
    refuses(ACK("stored", "\"accepted\":9007199254740990"), SB_EBAD_VALUE, "numbers");
    refuses(ACK("retry", "\"accepted\":4,\"code\":\"busy\""), SB_EBAD_VALUE, "not 0");
    decodes(ACK("retry", "\"code\":\"busy\""));
    decodes(ACK("rejected", "\"rejected\":[{\"seq\":10,\"last\":13,\"code\":\"bad_value\"}]"));
    refuses(ACK("rejected", "\"rejected\":[{\"seq\":9,\"last\":12,\"code\":\"bad_value\"}]"),
            SB_EBAD_VALUE, "rejected: element 0: seq");
    refuses(ACK("rejected", "\"rejected\":[{\"seq\":11,\"last\":14,\"code\":\"bad_value\"}]"),
            SB_EBAD_VALUE, "rejected: element 0: last");
    refuses(ACK("rejected", "\"rejected\":[{\"seq\":11,\"last\":10,\"code\":\"bad_value\"}]"),
            SB_EBAD_VALUE, "rejected: element 0: last");
    refuses(ACK("rejected", "\"accepted\":1,\"rejected\":[{\"seq\":11,\"last\":12,\"code\":\"x\"},"
                            "{\"seq\":12,\"code\":\"x\"}]"),
            SB_EBAD_VALUE, "rejected: element 1: seq");
    refuses(ACK("rejected", "\"accepted\":2,\"rejected\":[{\"seq\":12,\"code\":\"x\"},"
                            "{\"seq\":11,\"code\":\"x\"}]"),
            SB_EBAD_VALUE, "rejected: element 1: seq");
    refuses(
        ACK("rejected", "\"rejected\":[{\"seq\":13,\"code\":\"x\"},{\"seq\":13,\"code\":\"x\"}]"),
        SB_EBAD_VALUE, "rejected: element 1: seq");
    refuses(ACK("stored", "\"accepted\":4,\"versions\":[[10,8],[10,9]]"), SB_EBAD_VALUE,
            "versions: element 1: seq");
    refuses(ACK("stored", "\"accepted\":4,\"versions\":[[14,8]]"), SB_EBAD_VALUE,
            "versions: element 0: seq");
}

#define CONFLICT(seq)                                                                              \
    "{\"seq\":" seq ",\"op_id\":\"a\",\"code\":null,\"pointers\":[\"\"],\"as_of\":1,"              \
    "\"server\":null}"

static void conflicts_are_checked(void **state)
{
    (void)state;
    decodes(
        ACK("conflict", "\"accepted\":2,\"conflicts\":[" CONFLICT("10") "," CONFLICT("12") "]"));
    refuses(ACK("conflict", "\"accepted\":2,\"conflicts\":[" CONFLICT("12") "," CONFLICT("12") "]"),
            SB_EBAD_VALUE, "conflicts: element 1: seq");
    refuses(ACK("conflict", "\"accepted\":2,\"conflicts\":[" CONFLICT(
                                "12") "],"
                                      "\"rejected\":[{\"seq\":12,\"code\":\"x\"}]"),
            SB_EBAD_VALUE, "one number in both");
    refuses(ACK("conflict", "\"accepted\":1,\"conflicts\":[" CONFLICT(
                                "10") "],"
                                      "\"rejected\":[{\"seq\":10,\"last\":11,\"code\":\"x\"}]"),
            SB_EBAD_VALUE, "one number in both");
    refuses(ACK("conflict", "\"accepted\":3,\"conflicts\":[{\"seq\":10,\"op_id\":\"a\",\"pointers\""
                            ":[7],\"as_of\":1,\"server\":null}]"),
            SB_EBAD_TYPE, "pointers");
    refuses(ACK("conflict", "\"accepted\":3,\"conflicts\":[{\"seq\":10,\"op_id\":\"a\",\"pointers\""
                            ":[],\"as_of\":1}]"),
            SB_EMISSING_FIELD, "server");
    refuses(ACK("conflict", "\"accepted\":3,\"conflicts\":[{\"seq\":10,\"op_id\":\"a\",\"pointers\""
                            ":[],\"as_of\":1,\"server\":{\"version\":1}}]"),
            SB_EMISSING_FIELD, "tag");
    refuses(ACK("conflict", "\"accepted\":3,\"conflicts\":[{\"seq\":10,\"pointers\":[],\"as_of\":1,"
                            "\"server\":null}]"),
            SB_EMISSING_FIELD, "op_id");
    refuses(ACK("conflict", "\"accepted\":4,\"conflicts\":[[]]"), SB_EBAD_TYPE, "conflicts");
    refuses(ACK("conflict", "\"accepted\":4,\"conflicts\":7"), SB_EBAD_TYPE, "conflicts");
}

#define CONFLICT_WITH(rest)                                                                        \
    ACK("conflict", "\"accepted\":3,\"conflicts\":[{\"seq\":10,\"op_id\":\"a\",\"pointers\":[],"   \
                    "\"as_of\":1,\"server\":null," rest "}]")

static void what_a_conflict_says_of_merging_is_checked(void **state)
{
    struct sb_buf text = {0};
    struct sb_reply reply;

    (void)state;
    assert_int_equal(sb_reply_decode(SB_SPAN(CONFLICT_WITH("\"policy\":\"local\"")), &reply, NULL),
                     0);
    assert_int_equal(reply.conflicts[0].policy, SB_POLICY_LOCAL);
    sb_reply_free(&reply);
    /* of a newer cloud: merged as if none were told */
    assert_int_equal(sb_reply_decode(SB_SPAN(CONFLICT_WITH("\"policy\":\"votes\"")), &reply, NULL),
                     0);
    assert_int_equal(reply.conflicts[0].policy, SB_POLICY_NONE);
    sb_reply_free(&reply);
    refuses(CONFLICT_WITH("\"policy\":7"), SB_EBAD_TYPE, "policy");
    refuses(CONFLICT_WITH("\"arrays\":[]"), SB_EBAD_TYPE, "arrays");
    refuses(CONFLICT_WITH("\"arrays\":{\"/a\":7}"), SB_EBAD_TYPE, "arrays");
    sb_buf_add_str(&text, "\"arrays\":{\"/x\":\"id\"");
    for (int i = 1; i <= SB_ARRAYS_MAX; i++)
        sb_buf_add_fmt(&text, ",\"/a%d\":\"id\"", i);
    sb_buf_add_char(&text, '}');
    {
        struct sb_buf whole = {0};

        sb_buf_add_str(&whole,
                       "{\"v\":1,\"kind\":\"ack\",\"boot\":\"b\",\"first_seq\":1,\"last_seq\":1,"
                       "\"result\":\"conflict\",\"conflicts\":[{\"seq\":1,\"op_id\":\"a\","
                       "\"pointers\":[],\"as_of\":1,\"server\":null,");
        sb_buf_add_span(&whole, sb_buf_span(&text));
        sb_buf_add_str(&whole, "}]}");
        refuses(whole.data, SB_EBAD_VALUE, "more than 64");
        sb_buf_free(&whole);
    }
    sb_buf_free(&text);
}

static void a_policy_has_one_name(void **state)
{
    enum sb_policy policy;

    (void)state;
    for (int i = SB_POLICY_MERGE; i <= SB_POLICY_MANUAL; i++) {
        assert_true(sb_policy_parse(sb_span_of(sb_policy_name((enum sb_policy)i)), &policy));
        assert_int_equal(policy, i);
    }
    assert_false(sb_policy_parse(SB_SPAN(""), &policy));
    assert_false(sb_policy_parse(SB_SPAN("Merge"), &policy));
}

static void many_pointers_go_out_as_the_whole_document(void **state)
{
    struct sb_reply reply, back;
    struct sb_conflict *conflict;
    struct sb_buf text = {0};

    (void)state;
    sb_reply_init(&reply);
    memcpy(reply.boot, "b", 2);
    reply.first_seq = reply.last_seq = 1;
    reply.result = SB_RESULT_CONFLICT;
    conflict = sb_reply_conflict(&reply, 1);
    memcpy(conflict->op_id, "a", 2);
    sb_buf_add_str(&conflict->pointers, "[\"/a\"");
    while (conflict->pointers.len <= SB_POINTERS_MAX_BYTES)
        sb_buf_add_str(&conflict->pointers, ",\"/a\"");
    sb_buf_add_char(&conflict->pointers, ']');
    sb_reply_encode(&reply, NULL, SB_PAYLOAD_MAX_BYTES, &text);
    assert_int_equal(sb_reply_decode(sb_buf_span(&text), &back, NULL), 0);
    assert_string_equal(back.conflicts[0].pointers.data, "[\"\"]");
    sb_reply_free(&back);
    sb_reply_free(&reply);
    sb_buf_free(&text);
}

static void broken_replies_are_refused(void **state)
{
    (void)state;
    refuses("", SB_EBAD_JSON, "at byte");
    refuses("[]", SB_EBAD_TYPE, "not an object");
    refuses("{\"v\":1,\"kind\":\"ack\"}", SB_EMISSING_FIELD, "boot");
    refuses("{\"v\":1,\"kind\":\"ack\",\"boot\":null}", SB_EBAD_TYPE, "boot");
    refuses("{\"v\":1,\"kind\":\"hello\"}", SB_EBAD_VALUE, "kind");
    refuses("{\"v\":3,\"kind\":\"ack\"}", SB_EBAD_VERSION, "v");
    refuses(ACK("done", "\"accepted\":4"), SB_EBAD_VALUE, "result");
    refuses(ACK("stored", "\"accepted\":4,\"total\":-1"), SB_EBAD_VALUE, "total");
    refuses(ACK("stored", "\"accepted\":4.0"), SB_EBAD_VALUE, "accepted");
    refuses(ACK("stored", "\"accepted\":\"4\""), SB_EBAD_TYPE, "accepted");
    refuses(ACK("stored", "\"accepted\":4,\"code\":7"), SB_EBAD_TYPE, "code");
    refuses(ACK("stored", "\"accepted\":4,\"server_time\":\"x\""), SB_EBAD_VALUE, "server_time");
    refuses(ACK("stored", "\"accepted\":4,\"versions\":[[10]]"), SB_EBAD_TYPE, "versions");
    refuses(ACK("stored", "\"accepted\":4,\"versions\":[{}]"), SB_EBAD_TYPE, "versions");
    refuses(ACK("stored", "\"accepted\":4,\"versions\":[[10,0]]"), SB_EBAD_VALUE, "versions");
    refuses(ACK("stored", "\"accepted\":4,\"rejected\":[7]"), SB_EBAD_TYPE, "rejected");
    refuses(ACK("stored", "\"accepted\":4,\"accepted\":4"), SB_EDUPLICATE_KEY, "accepted");
    refuses("{\"v\":1,\"kind\":\"ack\",\"boot\":\"b\",\"result\":\"stored\",\"first_seq\":2,"
            "\"last_seq\":1}",
            SB_EBAD_VALUE, "last_seq");
    refuses("{\"v\":1,\"kind\":\"ack\",\"boot\":\"b\",\"result\":\"stored\",\"first_seq\":2}",
            SB_EMISSING_FIELD, "last_seq");
    refuses("{\"v\":1,\"kind\":\"ack\",\"boot\":\"b\",\"result\":\"rejected\",\"rejected\":"
            "[{\"seq\":1,\"code\":\"x\"}]}",
            SB_EBAD_VALUE, "names no range");
    refuses("{\"v\":1,\"kind\":\"ack\",\"boot\":\"b\",\"result\":\"rejected\",\"accepted\":1}",
            SB_EBAD_VALUE, "1 numbers are answered, not 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rejections_next_to_each_other_are_joined),
        cmocka_unit_test(a_long_reason_is_cut_between_characters),
        cmocka_unit_test(the_first_word_that_applies_is_the_result),
        cmocka_unit_test(a_reply_survives_the_way_there_and_back),
        cmocka_unit_test(a_retry_and_an_unreadable_batch_answer_no_number),
        cmocka_unit_test(documents_that_do_not_fit_are_left_out_the_largest_first),
        cmocka_unit_test(what_does_not_fit_is_cut_to_the_longest_prefix),
        cmocka_unit_test(counts_that_do_not_add_up_are_refused),
        cmocka_unit_test(conflicts_are_checked),
        cmocka_unit_test(what_a_conflict_says_of_merging_is_checked),
        cmocka_unit_test(a_policy_has_one_name),
        cmocka_unit_test(many_pointers_go_out_as_the_whole_document),
        cmocka_unit_test(broken_replies_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
