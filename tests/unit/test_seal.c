/* A sealed document: its text comes back byte for byte, what it was sealed for is compared member
 * by member, and a token made by something else with the right key is refused, not believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "common/seal.h"
#include "json_kit.h"

static struct sb_keyring *keyring;
static struct sb_err err;

static int setup(void **state)
{
    (void)state;
    return sb_keyring_parse(SB_SPAN("AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dw="), "key",
                            &keyring, &err);
}

static int teardown(void **state)
{
    (void)state;
    sb_keyring_free(keyring);
    return 0;
}

static struct sb_seal sample(void)
{
    return (struct sb_seal){
        .user = SB_SPAN("user-1"),
        .stream = SB_UP_RECORDS,
        .table = SB_SPAN("projects"),
        .id = SB_SPAN("p\"1\\ \xe5\xb0\x88\xe6\xa1\x88"),
        .device = SB_SPAN("edge-001"),
        .op_id = SB_SPAN("018f-op"),
        .base = SB_SPAN("{\"tag\":\"0123456789abcdef\"}"),
        .hlc = UINT64_C(0x018f000000000001),
        .top = UINT64_C(0xfffffffffffffffe),
        .stamps = SB_SPAN("{\"/a\":[\"018f000000000001\",\"edge-001\"]}"),
        .data = SB_SPAN("{\"a\":1}"),
    };
}

static void assert_span(struct sb_span got, struct sb_span want)
{
    assert_int_equal(got.len, want.len);
    assert_memory_equal(got.data, want.data, want.len);
}

static void plain_text_is_what_is_documented(void **state)
{
    struct sb_seal seal = sample();
    struct sb_buf out = {0};

    (void)state;
    sb_seal_print(&seal, &out);
    assert_string_equal(
        out.data, "{\"v\":1,\"user\":\"user-1\",\"stream\":\"records\",\"table\":\"projects\","
                  "\"id\":\"p\\\"1\\\\ \xe5\xb0\x88\xe6\xa1\x88\",\"device\":\"edge-001\","
                  "\"op_id\":\"018f-op\",\"base\":{\"tag\":\"0123456789abcdef\"},"
                  "\"hlc\":\"018f000000000001\",\"top\":\"fffffffffffffffe\","
                  "\"stamps\":{\"/a\":[\"018f000000000001\",\"edge-001\"]},\"data\":{\"a\":1}}");
    sb_buf_clear(&out);
    seal.stream = SB_UP_SETTINGS;
    seal.table = seal.id = SB_SPAN("settings");
    seal.base = seal.stamps = (struct sb_span){NULL, 0};
    sb_seal_print(&seal, &out);
    assert_string_equal(out.data,
                        "{\"v\":1,\"user\":\"user-1\",\"stream\":\"settings\","
                        "\"table\":\"settings\",\"id\":\"settings\",\"device\":\"edge-001\","
                        "\"op_id\":\"018f-op\",\"base\":null,\"hlc\":\"018f000000000001\","
                        "\"top\":\"fffffffffffffffe\",\"data\":{\"a\":1}}");
    sb_buf_free(&out);
}

static void every_member_comes_back(void **state)
{
    struct sb_seal seal = sample();
    struct sb_unsealed moved, open;
    struct sb_buf token = {0};

    (void)state;
    assert_int_equal(sb_seal_encrypt(keyring, &seal, 1700000000, NULL, &token, &err), 0);
    assert_true(sb_fernet_looks_like(sb_buf_span(&token)));
    assert_int_equal(sb_unseal(keyring, sb_buf_span(&token), &open, &err), 0);
    moved = open; /* the spans stay good */
    memset(&open, 0xff, sizeof(open));
    assert_span(moved.seal.user, seal.user);
    assert_int_equal(moved.seal.stream, seal.stream);
    assert_span(moved.seal.table, seal.table);
    assert_span(moved.seal.id, seal.id);
    assert_span(moved.seal.device, seal.device);
    assert_span(moved.seal.op_id, seal.op_id);
    assert_span(moved.seal.base, seal.base);
    assert_true(moved.seal.hlc == seal.hlc && moved.seal.top == seal.top);
    assert_span(moved.seal.stamps, seal.stamps);
    assert_span(moved.seal.data, seal.data);
    assert_int_equal(moved.info.made_s, 1700000000);
    assert_int_equal(sb_seal_check(&moved.seal, &seal, &err), 0);
    sb_unsealed_fini(&moved);
    sb_buf_free(&token);
}

static void assert_same_bytes(struct sb_span data)
{
    struct sb_seal seal = sample();
    struct sb_buf token = {0};
    struct sb_unsealed open;

    seal.data = data;
    assert_int_equal(sb_seal_encrypt(keyring, &seal, 1, NULL, &token, &err), 0);
    assert_int_equal(sb_unseal(keyring, sb_buf_span(&token), &open, &err), 0);
    assert_span(open.seal.data, data);
    sb_unsealed_fini(&open);
    sb_buf_free(&token);
}

static void document_comes_back_byte_for_byte(void **state)
{
    static const char *const texts[] = {
        "{}",
        "{ }",
        "{\t\"b\" : 1.0 ,\r\n \"a\":1e0}",
        "{\"n\":12345678901234567,\"m\":0.30000000000000004,\"x\":1E400,\"z\":-0}",
        "{\"e\":\"\xf0\x9f\x98\x80\",\"u\":\"\\ud83d\\ude00\",\"s\":\"\\/\"}",
        "{\"\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d\":\"\xd8\xb3\xd9\x84\xd8\xa7\xd9\x85\"}",
        "{\"\xe4\xb8\xbb\xe9\xa1\x8c\":\"\xe6\xb7\xb1\xe8\x89\xb2\",\"\":null}",
        "{\"data\":{\"v\":2,\"data\":{}},\"user\":\"other\"}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_same_bytes(sb_span_of(texts[i]));
}

static void random_documents_come_back(void **state)
{
    struct sb_buf data = {0};
    struct sb_rng rng;

    (void)state;
    sb_rng_seed(&rng, 11);
    for (int i = 0; i < 300; i++) {
        sb_buf_clear(&data);
        sb_buf_add_str(&data, "{\"x\":");
        kit_random_value(&rng, 5, &data);
        sb_buf_add_str(&data, " }");
        assert_same_bytes(sb_buf_span(&data));
    }
    sb_buf_free(&data);
}

static void large_documents_come_back(void **state)
{
    static const size_t sizes[] = {264 * 1024, 1048576};
    struct sb_buf data = {0};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        sb_buf_clear(&data);
        sb_buf_add_str(&data, "{\"list\":[0.1");
        while (data.len < sizes[i] - 64)
            sb_buf_add_str(&data, ",\"\xe7\xb9\x81\xe9\xab\x94 and 16 others\"");
        sb_buf_add_str(&data, "],\"pad\":\"");
        while (data.len < sizes[i] - 2)
            sb_buf_add_char(&data, '.');
        sb_buf_add_str(&data, "\"}");
        assert_int_equal(data.len, sizes[i]);
        assert_same_bytes(sb_buf_span(&data));
    }
    sb_buf_free(&data);
}

static void deepest_document_comes_back(void **state)
{
    struct sb_buf data = {0};

    (void)state;
    for (int i = 0; i < SB_JSON_MAX_DEPTH; i++)
        sb_buf_add_str(&data, "{\"a\":");
    sb_buf_add_str(&data, "0");
    for (int i = 0; i < SB_JSON_MAX_DEPTH; i++)
        sb_buf_add_char(&data, '}');
    assert_same_bytes(sb_buf_span(&data));
    sb_buf_free(&data);
}

/* ---- comparing ---- */

static void every_member_that_differs_is_named(void **state)
{
    static const char *const names[] = {"user",   "stream", "table", "id",
                                        "device", "op_id",  "base",  "hlc"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct sb_seal inside = sample(), outside = sample();
        struct sb_span *const members[] = {
            &outside.user,   NULL,           &outside.table, &outside.id,
            &outside.device, &outside.op_id, &outside.base,  NULL};
        char want[64];

        if (members[i] != NULL)
            *members[i] = i == 6 ? SB_SPAN("{\"tag\":\"0123456789abcdee\"}") : SB_SPAN("another");
        else if (i == 1)
            outside.stream = SB_UP_SETTINGS;
        else
            outside.hlc++;
        snprintf(want, sizeof(want), "another %s:", names[i]);
        assert_int_equal(sb_seal_check(&inside, &outside, &err), -(int)SB_ETAMPERED);
        assert_non_null(strstr(err.msg, want));
    }
}

static void base_and_hlc_are_compared_where_they_are_known(void **state)
{
    struct sb_seal inside = sample(), outside = sample();

    (void)state;
    outside.base = (struct sb_span){NULL, 0};
    outside.hlc = 0;
    outside.top = 1;
    outside.stamps = outside.data = (struct sb_span){NULL, 0};
    assert_int_equal(sb_seal_check(&inside, &outside, &err), 0);
    outside.base = SB_SPAN("{ \"tag\" : \"0123456789abcdef\" }"); /* the same value */
    assert_int_equal(sb_seal_check(&inside, &outside, &err), 0);
    outside.base = SB_SPAN("null");
    assert_int_equal(sb_seal_check(&inside, &outside, &err), -(int)SB_ETAMPERED);
}

/* ---- what is no sealed document ---- */

#define GOOD_HEAD                                                                                  \
    "\"user\":\"u\",\"stream\":\"records\",\"table\":\"t\",\"id\":\"i\",\"device\":\"d\","
#define GOOD_TAIL                                                                                  \
    "\"op_id\":\"o\",\"base\":null,\"hlc\":\"0000000000000001\",\"top\":\"0000000000000001\","

static int code_of(const char *plain)
{
    struct sb_buf token = {0};
    struct sb_unsealed open;
    int rc, again;

    assert_int_equal(sb_keyring_encrypt(keyring, sb_span_of(plain), 1, NULL, &token, &err), 0);
    rc = sb_unseal(keyring, sb_buf_span(&token), &open, &err);
    if (rc < 0)
        assert_true(open.text.data == NULL && open.names.data == NULL && open.seal.data.len == 0);
    sb_unsealed_fini(&open);
    again = sb_unseal_text(sb_span_of(plain), &open, &err);
    assert_int_equal(again, rc);
    sb_unsealed_fini(&open);
    sb_buf_free(&token);
    return -rc;
}

static void newer_members_are_ignored_and_newer_versions_not(void **state)
{
    (void)state;
    assert_int_equal(code_of("{\"v\":1," GOOD_HEAD GOOD_TAIL "\"new\":[{}],\"data\":{}}"), 0);
    assert_int_equal(code_of("{\"v\":2," GOOD_HEAD GOOD_TAIL "\"data\":{}}"), SB_EBAD_VERSION);
    assert_int_equal(code_of("{\"v\":\"1\"," GOOD_HEAD GOOD_TAIL "\"data\":{}}"), SB_EBAD_VERSION);
}

static void other_plain_texts_are_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "hello",
        "[]",
        "\"{}\"",
        "{\"theme\":\"dark\"}",
        "{\"v\":1}",
        "{\"v\":1," GOOD_HEAD "\"base\":null,\"data\":{}}",
        "{\"v\":1," GOOD_HEAD GOOD_TAIL "\"data\":[]}",
        "{\"v\":1," GOOD_HEAD GOOD_TAIL "\"data\":null}",
        "{\"v\":1," GOOD_HEAD GOOD_TAIL "\"data\":{}} x",
        "{\"v\":1," GOOD_HEAD GOOD_TAIL "\"data\":{\"a\":1,\"a\":2}}",
        "{\"v\":1," GOOD_HEAD GOOD_TAIL "\"data\":{},\"data\":{}}",
        "{\"v\":1," GOOD_HEAD GOOD_TAIL "\"stamps\":[],\"data\":{}}",
        "{\"v\":1," GOOD_HEAD GOOD_TAIL "\"data\":{\"\xff\":1}}",
        "{\"v\":1,\"user\":7,\"stream\":\"records\",\"table\":\"t\",\"id\":\"i\",\"device\":"
        "\"d\"," GOOD_TAIL "\"data\":{}}",
        "{\"v\":1,\"user\":\"u\",\"stream\":\"sensors\",\"table\":\"t\",\"id\":\"i\",\"device\":"
        "\"d\"," GOOD_TAIL "\"data\":{}}",
        "{\"v\":1," GOOD_HEAD
        "\"op_id\":\"o\",\"base\":3,\"hlc\":\"0000000000000001\",\"top\":\"0000000000000001\","
        "\"data\":{}}",
        "{\"v\":1," GOOD_HEAD
        "\"op_id\":\"o\",\"base\":null,\"hlc\":\"1\",\"top\":\"0000000000000001\",\"data\":{}}",
        "{\"v\":1," GOOD_HEAD
        "\"op_id\":\"o\",\"base\":null,\"hlc\":\"0000000000000001\",\"data\":{}}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(code_of(texts[i]), SB_ETAMPERED);
}

static void document_beyond_the_limits_of_one_is_refused(void **state)
{
    struct sb_buf text = {0};

    (void)state;
    sb_buf_add_str(&text, "{\"v\":1," GOOD_HEAD GOOD_TAIL "\"data\":{\"a\":");
    for (int i = 0; i < SB_JSON_MAX_DEPTH; i++)
        sb_buf_add_char(&text, '[');
    for (int i = 0; i < SB_JSON_MAX_DEPTH; i++)
        sb_buf_add_char(&text, ']');
    sb_buf_add_str(&text, "}}");
    assert_int_equal(code_of(text.data), SB_ETAMPERED);

    sb_buf_clear(&text);
    sb_buf_add_str(&text, "{\"v\":1," GOOD_HEAD GOOD_TAIL "\"data\":{\"a\":[0");
    for (int i = 0; i < SB_JSON_MAX_NODES; i++)
        sb_buf_add_str(&text, ",0");
    sb_buf_add_str(&text, "]}}");
    assert_int_equal(code_of(text.data), SB_ETAMPERED);

    sb_buf_clear(&text);
    sb_buf_add_str(&text, "{\"v\":1," GOOD_HEAD GOOD_TAIL "\"data\":{\"a\":\"");
    sb_buf_reserve(&text, 1048576);
    memset(text.data + text.len, 'x', 1048576);
    text.len += 1048576;
    sb_buf_add_str(&text, "\"}}");
    assert_int_equal(code_of(text.data), SB_ETAMPERED);
    sb_buf_free(&text);
}

static void most_stamps_of_a_large_document_fit(void **state)
{
    struct sb_buf stamps = {0}, data = {0}, token = {0};
    struct sb_seal seal = sample();
    struct sb_unsealed open;

    (void)state;
    sb_buf_add_str(&stamps, "{");
    for (int i = 0; i < 4096; i++)
        sb_buf_add_fmt(&stamps, "%s\"/%d\":[\"018f000000000001\",\"edge-001\"]", i > 0 ? "," : "",
                       i);
    sb_buf_add_str(&stamps, "}");
    sb_buf_add_str(&data, "{\"a\":[0");
    for (int i = 3; i < SB_JSON_MAX_NODES; i++)
        sb_buf_add_str(&data, ",0");
    sb_buf_add_str(&data, "]}");
    seal.stamps = sb_buf_span(&stamps);
    seal.data = sb_buf_span(&data);
    assert_int_equal(sb_seal_encrypt(keyring, &seal, 1, NULL, &token, &err), 0);
    assert_int_equal(sb_unseal(keyring, sb_buf_span(&token), &open, &err), 0);
    assert_span(open.seal.stamps, seal.stamps);
    sb_unsealed_fini(&open);
    sb_buf_free(&stamps);
    sb_buf_free(&data);
    sb_buf_free(&token);
}

static void no_key_and_wrong_key(void **state)
{
    struct sb_seal seal = sample();
    struct sb_keyring *other;
    struct sb_buf token = {0};
    struct sb_unsealed open;

    (void)state;
    sb_buf_add_str(&token, "\"");
    assert_int_equal(sb_seal_encrypt(NULL, &seal, 1, NULL, &token, &err), -(int)SB_ENO_KEY);
    assert_int_equal(token.len, 1);
    sb_buf_clear(&token);
    assert_int_equal(sb_seal_encrypt(keyring, &seal, 1, NULL, &token, &err), 0);
    assert_int_equal(sb_unseal(NULL, sb_buf_span(&token), &open, &err), -(int)SB_ENO_KEY);
    assert_int_equal(sb_keyring_parse(SB_SPAN("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="),
                                      "other", &other, &err),
                     0);
    assert_int_equal(sb_unseal(other, sb_buf_span(&token), &open, &err), -(int)SB_EWRONG_KEY);
    assert_null(open.text.data);
    sb_keyring_free(other);
    sb_buf_free(&token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_text_is_what_is_documented),
        cmocka_unit_test(every_member_comes_back),
        cmocka_unit_test(document_comes_back_byte_for_byte),
        cmocka_unit_test(random_documents_come_back),
        cmocka_unit_test(large_documents_come_back),
        cmocka_unit_test(deepest_document_comes_back),
        cmocka_unit_test(every_member_that_differs_is_named),
        cmocka_unit_test(base_and_hlc_are_compared_where_they_are_known),
        cmocka_unit_test(newer_members_are_ignored_and_newer_versions_not),
        cmocka_unit_test(other_plain_texts_are_refused),
        cmocka_unit_test(document_beyond_the_limits_of_one_is_refused),
        cmocka_unit_test(most_stamps_of_a_large_document_fit),
        cmocka_unit_test(no_key_and_wrong_key),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
