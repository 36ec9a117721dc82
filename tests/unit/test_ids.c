/* Ids: the one validator of names, UUIDs, hex ids, buckets and digests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/ids.h"

#define NAME_64 "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-"
#define NAME_65 "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-x"

static void names_of_one_to_64_plain_characters(void **state)
{
    static const char *const bad[] = {"",     NAME_65,         "a.b", "a/b",  "a%b", "a b",
                                      "a+b",  "a#b",           "a$b", "a\nb", "a:b", "a@b",
                                      "a~",   "\x7f",          "a[",  "a`",   "a{",  "..",
                                      "*",    "a,b",           "\\",  "a\"",  "é",   "a;b",
                                      "\xff", "a\xef\xbc\x8fz"};

    (void)state;
    assert_true(sb_name_valid(SB_SPAN(NAME_64)));
    assert_true(sb_name_valid(SB_SPAN("a")));
    assert_true(sb_name_valid(SB_SPAN("_")));
    assert_true(sb_name_valid(SB_SPAN("-")));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (sb_name_valid(sb_span_of(bad[i])))
            fail_msg("taken: %s", bad[i]);
    assert_false(sb_name_valid((struct sb_span){"a\0b", 3}));
    assert_false(sb_name_valid((struct sb_span){"a\0", 2}));
    assert_false(sb_name_valid((struct sb_span){NULL, 0}));
}

static void every_single_byte_as_a_name(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char text = (char)c;
        bool plain = c != 0 && strchr(NAME_64, c) != NULL;

        assert_int_equal(sb_name_valid((struct sb_span){&text, 1}), plain);
        assert_int_equal(sb_device_valid((struct sb_span){&text, 1}), plain && c != '_');
    }
}

static void a_device_does_not_begin_with_an_underscore(void **state)
{
    (void)state;
    assert_true(sb_device_valid(SB_SPAN("edge-001")));
    assert_true(sb_device_valid(SB_SPAN("-a_")));
    assert_false(sb_device_valid(SB_SPAN("_op-alice")));
    assert_false(sb_device_valid(SB_SPAN("")));
}

static void tables_begin_with_a_letter_and_are_lower_case(void **state)
{
    static const char *const bad[] = {"",    "_a",  "1a",  "A",        "aB",   "a-b",
                                      "a.b", "a/b", "a b", "\xc3\xa9", NAME_65};

    (void)state;
    assert_true(sb_table_valid(SB_SPAN("a")));
    assert_true(sb_table_valid(SB_SPAN("platform_accounts")));
    assert_true(sb_table_valid(SB_SPAN("a0_")));
    assert_true(sb_table_valid(SB_SPAN(SB_TABLE_SETTINGS)));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(sb_table_valid(sb_span_of(bad[i])));
}

static void documents_have_ids_of_any_text_without_controls(void **state)
{
    char text[SB_ID_MAX + 1];

    (void)state;
    memset(text, 'x', sizeof(text));
    assert_true(sb_document_id_valid((struct sb_span){text, SB_ID_MAX}));
    assert_false(sb_document_id_valid((struct sb_span){text, SB_ID_MAX + 1}));
    assert_true(sb_document_id_valid(SB_SPAN("a/b c\"~\xe6\xa1\x8c")));
    assert_false(sb_document_id_valid(SB_SPAN("")));
    assert_false(sb_document_id_valid(SB_SPAN("a\nb")));
    assert_false(sb_document_id_valid(SB_SPAN("a\x7f")));
    assert_false(sb_document_id_valid(SB_SPAN("a\xff")));
    assert_false(sb_document_id_valid((struct sb_span){"a\0b", 3}));
}

static void uuids_and_hex_ids_have_their_form(void **state)
{
    static const char *const bad[] = {
        "0190a6c2-7b1e-7cc3-98c4-dc0c0c07398",   "0190a6c2-7b1e-7cc3-98c4-dc0c0c07398f0",
        "0190A6c2-7b1e-7cc3-98c4-dc0c0c07398f",  "0190a6c2_7b1e-7cc3-98c4-dc0c0c07398f",
        "0190a6c27-b1e-7cc3-98c4-dc0c0c07398f",  "0190a6c2-7b1e-7cc3-98c4-dc0c0c07398g",
        "{190a6c2-7b1e-7cc3-98c4-dc0c0c07398f}", "",
        "------------------------------------",  "0190a6c2-7b1e-7cc3-98c4dc0c0c07398f-",
    };

    (void)state;
    assert_true(sb_uuid_valid(SB_SPAN("0190a6c2-7b1e-7cc3-98c4-dc0c0c07398f")));
    assert_true(sb_uuid_valid(SB_SPAN("00000000-0000-0000-0000-000000000000")));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(sb_uuid_valid(sb_span_of(bad[i])));
    assert_true(sb_hex16_valid(SB_SPAN("0123456789abcdef")));
    assert_false(sb_hex16_valid(SB_SPAN("0123456789abcde")));
    assert_false(sb_hex16_valid(SB_SPAN("0123456789abcdef0")));
    assert_false(sb_hex16_valid(SB_SPAN("0123456789abcdeF")));
    assert_false(sb_hex16_valid(SB_SPAN("0123456789abcde ")));
    assert_false(sb_hex16_valid((struct sb_span){"0123456789abcde\0", 16}));
}

static void uuid7_carries_the_time_and_its_version(void **state)
{
    char a[SB_UUID_LEN + 1], b[SB_UUID_LEN + 1], time[14];
    struct sb_rng rng;

    (void)state;
    sb_rng_seed(&rng, 1);
    for (int i = 0; i < 1000; i++) {
        int64_t us = (int64_t)sb_rng_below(&rng, (uint64_t)1 << 57);

        sb_uuid7(&rng, us, a);
        assert_true(sb_uuid_valid(sb_span_of(a)));
        assert_int_equal(a[14], '7');
        assert_non_null(strchr("89ab", a[19]));
        snprintf(time, sizeof(time), "%.8s%.4s", a, a + 9);
        assert_int_equal(strtoull(time, NULL, 16), us / 1000);
        sb_uuid7(&rng, us + 1000, b);
        assert_true(strcmp(a, b) < 0);
        sb_uuid7(&rng, us, b);
        assert_string_not_equal(a, b);
    }
    sb_uuid7(&rng, INT64_MIN, a);
    assert_memory_equal(a, "00000000-0000-7", 15);
    sb_uuid7(&rng, INT64_MAX, a);
    assert_true(sb_uuid_valid(sb_span_of(a)));
}

static void hex_ids_go_there_and_back(void **state)
{
    static const uint64_t values[] = {0, 1, 0x0123456789abcdef, UINT64_MAX, (uint64_t)1 << 63};
    char text[SB_EPOCH_LEN + 1];
    struct sb_rng rng;

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        sb_hex16_of(values[i], text);
        assert_true(sb_hex16_valid(sb_span_of(text)));
        assert_true(sb_hex16_value(text) == values[i]);
    }
    sb_rng_seed(&rng, 7);
    sb_hex16(&rng, text);
    assert_true(sb_hex16_valid(sb_span_of(text)));
}

static void buckets_are_those_of_the_contract(void **state)
{
    unsigned seen[64] = {0};

    (void)state;
    assert_int_equal(sb_bucket_of(SB_SPAN("edge-001")), 0x09); /* as PROTOCOL.md says */
    assert_int_equal(sb_bucket_of(SB_SPAN("meter-7")), 0x12);
    for (int i = 0; i < 4096; i++) {
        char name[16];

        snprintf(name, sizeof(name), "d-%d", i);
        assert_true(sb_bucket_of(sb_span_of(name)) < 64);
        seen[sb_bucket_of(sb_span_of(name))]++;
    }
    for (int i = 0; i < 64; i++)
        assert_in_range(seen[i], 20, 130);
}

static void digests_are_those_of_the_standard(void **state)
{
    static const unsigned char abc[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea};
    static const unsigned char empty[] = {0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14};
    const struct sb_span whole[] = {SB_SPAN("abc")};
    const struct sb_span parts[] = {SB_SPAN("a"), SB_SPAN(""), {NULL, 0}, SB_SPAN("bc")};
    unsigned char out[32], other[32];

    (void)state;
    sb_sha256(whole, 1, out);
    assert_memory_equal(out, abc, sizeof(abc));
    sb_sha256(parts, 4, other);
    assert_memory_equal(out, other, 32);
    sb_sha256(NULL, 0, out);
    assert_memory_equal(out, empty, sizeof(empty));
    assert_true(sb_hash64(SB_SPAN("abc")) == 0xba7816bf8f01cfea);
    assert_true(sb_hash64(SB_SPAN("")) == 0xe3b0c44298fc1c14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_one_to_64_plain_characters),
        cmocka_unit_test(every_single_byte_as_a_name),
        cmocka_unit_test(a_device_does_not_begin_with_an_underscore),
        cmocka_unit_test(tables_begin_with_a_letter_and_are_lower_case),
        cmocka_unit_test(documents_have_ids_of_any_text_without_controls),
        cmocka_unit_test(uuids_and_hex_ids_have_their_form),
        cmocka_unit_test(uuid7_carries_the_time_and_its_version),
        cmocka_unit_test(hex_ids_go_there_and_back),
        cmocka_unit_test(buckets_are_those_of_the_contract),
        cmocka_unit_test(digests_are_those_of_the_standard),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
