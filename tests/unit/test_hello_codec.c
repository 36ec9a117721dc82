/* hello and welcome: there and back in one message and over many, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/hello.h"
#include "common/rng.h"

#define ID "0190a6c2-7b1e-7cc3-98c4-dc0c0c07398f"
#define E1 "00112233445566ff"
#define E2 "ff00112233445566"

struct pages {
    struct sb_buf text[5000];
    size_t count;
};

static void keep(void *ctx, struct sb_span json)
{
    struct pages *pages = ctx;

    assert_true(pages->count < sizeof(pages->text) / sizeof(pages->text[0]));
    sb_buf_add_span(&pages->text[pages->count++], json);
}

static struct pages *new_pages(void)
{
    struct pages *pages = calloc(1, sizeof(*pages));

    assert_non_null(pages);
    return pages;
}

static void free_pages(struct pages *pages)
{
    for (size_t i = 0; i < pages->count; i++)
        sb_buf_free(&pages->text[i]);
    free(pages);
}

static struct sb_hello small_hello(void)
{
    struct sb_hello hello;

    sb_hello_init(&hello);
    snprintf(hello.nonce, sizeof(hello.nonce), ID);
    snprintf(hello.device, sizeof(hello.device), "edge-001");
    snprintf(hello.device_boot, sizeof(hello.device_boot), ID);
    snprintf(hello.receipt.boot, sizeof(hello.receipt.boot), "b-1");
    hello.receipt.commit = 5120;
    snprintf(hello.epoch, sizeof(hello.epoch), E2);
    hello.sent_at_us = 1767323045250000;
    return hello;
}

static void a_hello_survives_the_way_there_and_back(void **state)
{
    struct sb_hello hello = small_hello(), back;
    struct sb_claim *claim = sb_hello_add_claim(&hello, E1, "sensors/air_quality");
    struct pages *pages = new_pages();
    struct sb_err err;

    (void)state;
    claim->made = 104;
    sb_ranges_add(&claim->settled, 1, 100);
    sb_ranges_add(&claim->held, 101, 102);
    sb_ranges_add(&claim->held, 104, 104);
    sb_hello_add_epoch(&hello, E1);
    sb_hello_add_epoch(&hello, E2);
    sb_hello_encode(&hello, SB_HELLO_PAGE_BYTES, keep, pages);
    assert_int_equal(pages->count, 1);
    if (sb_hello_decode(sb_buf_span(&pages->text[0]), &back, &err) != 0)
        fail_msg("%s: %s", pages->text[0].data, err.msg);
    assert_string_equal(back.nonce, ID);
    assert_string_equal(back.device, "edge-001");
    assert_string_equal(back.device_boot, ID);
    assert_string_equal(back.receipt.boot, "b-1");
    assert_int_equal(back.receipt.commit, 5120);
    assert_string_equal(back.epoch, E2);
    assert_int_equal(back.page, 1);
    assert_int_equal(back.pages, 1);
    assert_int_equal(back.sent_at_us, hello.sent_at_us);
    assert_int_equal(back.epoch_count, 2);
    assert_string_equal(back.epochs[0], E1);
    assert_string_equal(back.epochs[1], E2);
    assert_int_equal(back.claim_count, 1);
    assert_string_equal(back.claims[0].epoch, E1);
    assert_string_equal(back.claims[0].stream, "sensors/air_quality");
    assert_int_equal(back.claims[0].made, 104);
    assert_true(sb_ranges_equal(&back.claims[0].settled, &hello.claims[0].settled));
    assert_true(sb_ranges_equal(&back.claims[0].held, &hello.claims[0].held));
    sb_hello_free(&back);
    sb_hello_free(&hello);
    free_pages(pages);
}

static void a_first_hello_has_no_receipt_and_perhaps_no_epoch(void **state)
{
    struct sb_hello hello = small_hello(), back;
    struct pages *pages = new_pages();

    (void)state;
    hello.receipt.boot[0] = hello.device_boot[0] = '\0';
    sb_hello_encode(&hello, 10, keep, pages);
    assert_int_equal(pages->count, 1);
    assert_non_null(strstr(pages->text[0].data, "\"receipt\":null"));
    assert_int_equal(sb_hello_decode(sb_buf_span(&pages->text[0]), &back, NULL), 0);
    assert_string_equal(back.receipt.boot, "");
    assert_string_equal(back.device_boot, "");
    assert_int_equal(back.epoch_count, 0);
    sb_hello_free(&back);
    sb_hello_free(&hello);
    free_pages(pages);
}

static void random_ranges(struct sb_rng *rng, struct sb_ranges *ranges, uint64_t max)
{
    uint64_t lo = 1 + sb_rng_below(rng, 50), count = sb_rng_below(rng, 40);

    for (uint64_t i = 0; i < count && lo + 60 < max; i++) {
        uint64_t hi = lo + sb_rng_below(rng, 30);

        sb_ranges_add(ranges, lo, hi);
        lo = hi + 2 + sb_rng_below(rng, 30);
    }
}

/* Epoch by epoch, epochs without streams among them. */
static struct sb_hello random_hello(struct sb_rng *rng)
{
    struct sb_hello hello = small_hello();
    uint64_t epochs = 1 + sb_rng_below(rng, 6);

    for (uint64_t e = 0; e < epochs; e++) {
        char epoch[SB_EPOCH_LEN + 1], stream[SB_STREAM_MAX + 1];
        uint64_t streams = sb_rng_below(rng, 8);

        sb_hex16_of(e * 77, epoch);
        sb_hello_add_epoch(&hello, epoch);
        for (uint64_t s = 0; s < streams; s++) {
            struct sb_claim *claim;

            snprintf(stream, sizeof(stream), "sensors/type-%d", (int)s);
            claim = sb_hello_add_claim(&hello, epoch, stream);
            claim->made = 5000;
            random_ranges(rng, &claim->settled, 5000);
            random_ranges(rng, &claim->held, 5000);
        }
    }
    return hello;
}

static void a_large_hello_is_laid_out_over_pages(void **state)
{
    struct sb_rng rng;

    (void)state;
    sb_rng_seed(&rng, 3);
    for (int round = 0; round < 200; round++) {
        struct sb_hello hello = random_hello(&rng);
        size_t page_bytes = 300 + sb_rng_below(&rng, 3000), claims = 0;
        struct pages *pages = new_pages();
        char last_epoch[SB_EPOCH_LEN + 1] = "";
        size_t epochs = 0;

        sb_hello_encode(&hello, page_bytes, keep, pages);
        for (size_t i = 0; i < pages->count; i++) {
            struct sb_hello back;

            assert_int_equal(sb_hello_decode(sb_buf_span(&pages->text[i]), &back, NULL), 0);
            assert_int_equal(back.page, i + 1);
            assert_int_equal(back.pages, pages->count);
            assert_string_equal(back.nonce, hello.nonce);
            assert_string_equal(back.receipt.boot, hello.receipt.boot);
            assert_true(pages->text[i].len <= page_bytes || back.claim_count <= 1);
            for (size_t e = 0; e < back.epoch_count; e++) {
                if (strcmp(back.epochs[e], last_epoch) != 0)
                    assert_string_equal(back.epochs[e], hello.epochs[epochs++]);
                snprintf(last_epoch, sizeof(last_epoch), "%s", back.epochs[e]);
            }
            for (size_t c = 0; c < back.claim_count; c++, claims++) {
                assert_string_equal(back.claims[c].epoch, hello.claims[claims].epoch);
                assert_string_equal(back.claims[c].stream, hello.claims[claims].stream);
                assert_true(
                    sb_ranges_equal(&back.claims[c].settled, &hello.claims[claims].settled));
                assert_true(sb_ranges_equal(&back.claims[c].held, &hello.claims[claims].held));
            }
            sb_hello_free(&back);
        }
        assert_int_equal(claims, hello.claim_count);
        assert_int_equal(epochs, hello.epoch_count);
        free_pages(pages);
        sb_hello_free(&hello);
    }
}

static struct sb_welcome small_welcome(void)
{
    struct sb_welcome welcome;

    sb_welcome_init(&welcome);
    snprintf(welcome.nonce, sizeof(welcome.nonce), ID);
    snprintf(welcome.boot, sizeof(welcome.boot), "b-2");
    welcome.commit = 5121;
    welcome.restored = true;
    welcome.page = 2;
    welcome.pages = 3;
    welcome.server_time_us = 1767323045000000;
    welcome.limits = (struct sb_limits){1000, 10, 2000};
    welcome.tables = calloc(2, sizeof(*welcome.tables));
    assert_non_null(welcome.tables);
    snprintf(welcome.tables[0], sizeof(*welcome.tables), "projects");
    snprintf(welcome.tables[1], sizeof(*welcome.tables), "tasks");
    welcome.table_count = 2;
    return welcome;
}

static void a_welcome_survives_the_way_there_and_back(void **state)
{
    struct sb_welcome welcome = small_welcome(), back;
    struct sb_standing *standing = sb_welcome_add(&welcome, E1, "history/u");
    struct pages *pages = new_pages();
    struct sb_err err;

    (void)state;
    sb_ranges_add(&standing->decided, 1, SB_SEQ_MAX);
    sb_ranges_add(&standing->holes, 50, 52);
    sb_welcome_encode(&welcome, SB_HELLO_PAGE_BYTES, keep, pages);
    assert_int_equal(pages->count, 1);
    if (sb_welcome_decode(sb_buf_span(&pages->text[0]), &back, &err) != 0)
        fail_msg("%s: %s", pages->text[0].data, err.msg);
    assert_string_equal(back.nonce, ID);
    assert_string_equal(back.boot, "b-2");
    assert_int_equal(back.commit, 5121);
    assert_true(back.restored);
    assert_int_equal(back.page, 2);
    assert_int_equal(back.pages, 3);
    assert_int_equal(back.part, 1);
    assert_false(back.more);
    assert_int_equal(back.server_time_us, welcome.server_time_us);
    assert_memory_equal(&back.limits, &welcome.limits, sizeof(back.limits));
    assert_int_equal(back.table_count, 2);
    assert_string_equal(back.tables[1], "tasks");
    assert_int_equal(back.standing_count, 1);
    assert_string_equal(back.standings[0].stream, "history/u");
    assert_true(sb_ranges_equal(&back.standings[0].decided, &welcome.standings[0].decided));
    assert_true(sb_ranges_equal(&back.standings[0].holes, &welcome.standings[0].holes));
    sb_welcome_free(&back);
    sb_welcome_free(&welcome);
    free_pages(pages);
}

static struct sb_welcome random_welcome(struct sb_rng *rng)
{
    struct sb_welcome welcome = small_welcome();
    uint64_t count = sb_rng_below(rng, 40);

    for (uint64_t i = 0; i < count; i++) {
        char stream[SB_STREAM_MAX + 1];
        struct sb_standing *standing;

        snprintf(stream, sizeof(stream), "sensors/type-%d", (int)i);
        standing = sb_welcome_add(&welcome, i < count / 2 ? E1 : E2, stream);
        random_ranges(rng, &standing->decided, 5000);
        random_ranges(rng, &standing->holes, 5000);
    }
    return welcome;
}

static void a_large_welcome_goes_on_in_parts(void **state)
{
    struct sb_rng rng;

    (void)state;
    sb_rng_seed(&rng, 4);
    for (int round = 0; round < 200; round++) {
        struct sb_welcome welcome = random_welcome(&rng);
        size_t part_bytes = 400 + sb_rng_below(&rng, 3000), standings = 0;
        struct pages *pages = new_pages();

        sb_welcome_encode(&welcome, part_bytes, keep, pages);
        for (size_t i = 0; i < pages->count; i++) {
            struct sb_welcome back;

            assert_int_equal(sb_welcome_decode(sb_buf_span(&pages->text[i]), &back, NULL), 0);
            assert_int_equal(back.page, 2);
            assert_int_equal(back.part, i + 1);
            assert_int_equal(back.more, i + 1 < pages->count);
            assert_true(pages->text[i].len <= part_bytes || back.standing_count <= 1);
            for (size_t s = 0; s < back.standing_count; s++, standings++) {
                const struct sb_standing *expected = &welcome.standings[standings];

                assert_string_equal(back.standings[s].epoch, expected->epoch);
                assert_string_equal(back.standings[s].stream, expected->stream);
                assert_true(sb_ranges_equal(&back.standings[s].decided, &expected->decided));
                assert_true(sb_ranges_equal(&back.standings[s].holes, &expected->holes));
            }
            if (back.more) {
                assert_string_equal(back.more_epoch, welcome.standings[standings - 1].epoch);
                assert_string_equal(back.more_stream, welcome.standings[standings - 1].stream);
            }
            sb_welcome_free(&back);
        }
        assert_int_equal(standings, welcome.standing_count);
        free_pages(pages);
        sb_welcome_free(&welcome);
    }
}

/* A decoder would refuse an epoch that is named twice in one message. */
static void standings_added_in_any_order_come_epoch_by_epoch(void **state)
{
    static const char *const expected[] = {"sensors/a", "sensors/c", "sensors/b", "sensors/d"};
    struct sb_welcome welcome = small_welcome(), back;
    struct pages *pages = new_pages();

    (void)state;
    sb_welcome_add(&welcome, E1, "sensors/a");
    sb_welcome_add(&welcome, E2, "sensors/b");
    sb_welcome_add(&welcome, E1, "sensors/c");
    sb_welcome_add(&welcome, E2, "sensors/d");
    sb_welcome_encode(&welcome, SB_HELLO_PAGE_BYTES, keep, pages);
    assert_int_equal(pages->count, 1);
    assert_int_equal(sb_welcome_decode(sb_buf_span(&pages->text[0]), &back, NULL), 0);
    assert_int_equal(back.standing_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(back.standings[i].stream, expected[i]);
        assert_string_equal(back.standings[i].epoch, i < 2 ? E1 : E2);
    }
    sb_welcome_free(&back);
    sb_welcome_free(&welcome);
    free_pages(pages);
}

#define HELLO(rest)                                                                                \
    "{\"v\":1,\"kind\":\"hello\",\"nonce\":\"" ID "\",\"device\":\"e\",\"receipt\":null,"          \
    "\"epoch\":\"" E1 "\",\"page\":1,\"pages\":1," rest "}"
#define CLAIM(rest)                                                                                \
    HELLO("\"epochs\":[{\"epoch\":\"" E1 "\",\"streams\":[{\"stream\":\"sensors/a\"," rest "}]}]")

static void refuses_hello(const char *text, enum sb_code code, const char *part)
{
    struct sb_hello hello;
    struct sb_err err = {0};

    if (sb_hello_decode(sb_span_of(text), &hello, &err) != -(int)code)
        fail_msg("%s: not %s but %s: %s", text, sb_code_name(code), sb_code_name(err.code),
                 err.msg);
    if (strstr(err.msg, part) == NULL)
        fail_msg("%s: \"%s\" is not in \"%s\"", text, part, err.msg);
    assert_null(hello.claims);
}

static void bad_hellos_are_refused(void **state)
{
    (void)state;
    refuses_hello("7", SB_EBAD_TYPE, "not an object");
    refuses_hello("{\"v\":1,\"kind\":\"hello\"}", SB_EMISSING_FIELD, "nonce");
    refuses_hello("{\"v\":1,\"kind\":\"hello\",\"nonce\":\"x\"}", SB_EBAD_ID, "nonce");
    refuses_hello("{\"v\":1,\"kind\":\"hello\",\"nonce\":\"" ID "\",\"device\":\"_x\"}", SB_EBAD_ID,
                  "device");
    refuses_hello(HELLO("\"x\":1"), SB_EMISSING_FIELD, "epochs");
    refuses_hello(HELLO("\"epochs\":{}"), SB_EBAD_TYPE, "epochs");
    refuses_hello(HELLO("\"epochs\":[7]"), SB_EBAD_TYPE, "epochs");
    refuses_hello(HELLO("\"epochs\":[{}]"), SB_EMISSING_FIELD, "epoch");
    refuses_hello(HELLO("\"epochs\":[{\"epoch\":\"" E1 "\"}]"), SB_EMISSING_FIELD, "streams");
    refuses_hello(HELLO("\"epochs\":[{\"epoch\":\"" E1 "\",\"streams\":[]},{\"epoch\":\"" E1
                        "\",\"streams\":[]}]"),
                  SB_EBAD_VALUE, "epoch named twice");
    refuses_hello(HELLO("\"epochs\":[{\"epoch\":\"" E1 "\",\"streams\":[7]}]"), SB_EBAD_TYPE,
                  "streams");
    refuses_hello(HELLO("\"epochs\":[{\"epoch\":\"" E1 "\",\"streams\":[{}]}]"), SB_EMISSING_FIELD,
                  "stream");
    refuses_hello(HELLO("\"epochs\":[{\"epoch\":\"" E1 "\",\"streams\":[{\"stream\":\"a/b\"}]}]"),
                  SB_EBAD_STREAM, "stream");
    refuses_hello(CLAIM("\"settled\":[],\"held\":[]"), SB_EMISSING_FIELD, "sensors/a: made");
    refuses_hello(CLAIM("\"made\":5,\"held\":[]"), SB_EMISSING_FIELD, "sensors/a: settled");
    refuses_hello(CLAIM("\"made\":5,\"settled\":[]"), SB_EMISSING_FIELD, "sensors/a: held");
    refuses_hello(CLAIM("\"made\":5,\"settled\":[[1,6]],\"held\":[]"), SB_EBAD_VALUE,
                  "sensors/a: settled: numbers above made");
    refuses_hello(CLAIM("\"made\":5,\"settled\":[[2,1]],\"held\":[]"), SB_EBAD_VALUE, "settled");
    refuses_hello(CLAIM("\"made\":5,\"settled\":[[0,1]],\"held\":[]"), SB_EBAD_VALUE, "settled");
    refuses_hello(CLAIM("\"made\":5,\"settled\":7,\"held\":[]"), SB_EBAD_TYPE, "settled");
    refuses_hello(CLAIM("\"made\":-5,\"settled\":[],\"held\":[]"), SB_EBAD_VALUE, "made");
    refuses_hello(CLAIM("\"made\":5,\"settled\":[],\"held\":[]},{\"stream\":\"sensors/a\","
                        "\"made\":5,\"settled\":[],\"held\":[]"),
                  SB_EBAD_VALUE, "stream named twice");
    refuses_hello("{\"v\":1,\"kind\":\"hello\",\"nonce\":\"" ID
                  "\",\"device\":\"e\",\"epoch\":\"" E1 "\",\"page\":2,\"pages\":1,\"epochs\":[]}",
                  SB_EBAD_VALUE, "pages");
    refuses_hello("{\"v\":1,\"kind\":\"hello\",\"nonce\":\"" ID
                  "\",\"device\":\"e\",\"epoch\":\"" E1
                  "\",\"page\":1,\"pages\":4097,\"epochs\":[]}",
                  SB_EBAD_VALUE, "pages");
    refuses_hello("{\"v\":1,\"kind\":\"hello\",\"nonce\":\"" ID
                  "\",\"device\":\"e\",\"epoch\":\"" E1
                  "\",\"receipt\":{\"boot\":\"b\"},\"page\":1,\"pages\":1,\"epochs\":[]}",
                  SB_EMISSING_FIELD, "receipt: commit");
}

static void more_epochs_or_streams_than_allowed_are_refused(void **state)
{
    struct sb_buf text = {0};

    (void)state;
    sb_buf_add_str(&text, "{\"v\":1,\"kind\":\"hello\",\"nonce\":\"" ID "\",\"device\":\"e\","
                          "\"epoch\":\"" E1 "\",\"page\":1,\"pages\":1,\"epochs\":[");
    for (int i = 0; i <= SB_EPOCHS_MAX; i++)
        sb_buf_add_fmt(&text, "%s{\"epoch\":\"%016x\",\"streams\":[]}", i > 0 ? "," : "", i);
    sb_buf_add_str(&text, "]}");
    refuses_hello(text.data, SB_ELIMIT, "epochs: more than 64");
    sb_buf_clear(&text);
    sb_buf_add_str(&text, "{\"v\":1,\"kind\":\"hello\",\"nonce\":\"" ID "\",\"device\":\"e\","
                          "\"epoch\":\"" E1 "\",\"page\":1,\"pages\":1,\"epochs\":[{\"epoch\":\"" E1
                          "\",\"streams\":[");
    for (int i = 0; i <= 2048; i++)
        sb_buf_add_fmt(&text, "%s{\"stream\":\"sensors/%d\",\"made\":0,\"settled\":[],\"held\":[]}",
                       i > 0 ? "," : "", i);
    sb_buf_add_str(&text, "]}]}");
    refuses_hello(text.data, SB_ELIMIT, "streams: more than 2048");
    sb_buf_free(&text);
}

#define WELCOME(rest)                                                                              \
    "{\"v\":1,\"kind\":\"welcome\",\"nonce\":\"" ID "\",\"boot\":\"b\",\"commit\":1,"              \
    "\"restored\":false,\"page\":1,\"pages\":1,\"part\":1," rest "}"

static void refuses_welcome(const char *text, enum sb_code code, const char *part)
{
    struct sb_welcome welcome;
    struct sb_err err = {0};

    if (sb_welcome_decode(sb_span_of(text), &welcome, &err) != -(int)code)
        fail_msg("%s: not %s but %s: %s", text, sb_code_name(code), sb_code_name(err.code),
                 err.msg);
    if (strstr(err.msg, part) == NULL)
        fail_msg("%s: \"%s\" is not in \"%s\"", text, part, err.msg);
    assert_null(welcome.standings);
    assert_null(welcome.tables);
}

static void bad_welcomes_are_refused(void **state)
{
    (void)state;
    refuses_welcome("{\"v\":1,\"kind\":\"hello\"}", SB_EBAD_VALUE, "kind");
    refuses_welcome("{\"v\":1,\"kind\":\"welcome\",\"nonce\":\"" ID "\"}", SB_EMISSING_FIELD,
                    "boot");
    refuses_welcome(WELCOME("\"x\":1"), SB_EMISSING_FIELD, "epochs");
    refuses_welcome(WELCOME("\"tables\":[\"a\",7],\"epochs\":[]"), SB_EBAD_TYPE, "tables");
    refuses_welcome(WELCOME("\"tables\":[\"a b\"],\"epochs\":[]"), SB_EBAD_ID, "tables");
    refuses_welcome(WELCOME("\"limits\":{\"max_batch_bytes\":0},\"epochs\":[]"), SB_EBAD_VALUE,
                    "limits: max_batch_bytes");
    refuses_welcome(WELCOME("\"more\":{\"epoch\":\"" E1 "\"},\"epochs\":[]"), SB_EMISSING_FIELD,
                    "more: stream");
    refuses_welcome(WELCOME("\"more\":7,\"epochs\":[]"), SB_EBAD_TYPE, "more");
    refuses_welcome(WELCOME("\"epochs\":[{\"epoch\":\"" E1
                            "\",\"streams\":[{\"stream\":\"history/u\",\"decided\":[]}]}]"),
                    SB_EMISSING_FIELD, "history/u: holes");
    refuses_welcome(
        WELCOME("\"epochs\":[{\"epoch\":\"" E1
                "\",\"streams\":[{\"stream\":\"history/u\",\"decided\":[],\"holes\":[]},"
                "{\"stream\":\"history/u\",\"decided\":[],\"holes\":[]}]}]"),
        SB_EBAD_VALUE, "stream named twice");
}

static void limits_that_a_welcome_does_not_tell_are_those_of_the_contract(void **state)
{
    struct sb_welcome welcome;

    (void)state;
    assert_int_equal(sb_welcome_decode(sb_span_of(WELCOME("\"epochs\":[]")), &welcome, NULL), 0);
    assert_int_equal(welcome.limits.max_batch_bytes, 131072);
    assert_int_equal(welcome.limits.max_batch_records, 1000);
    assert_int_equal(welcome.limits.max_record_bytes, 1048576);
    sb_welcome_free(&welcome);
}

static void the_kind_of_a_message_is_told(void **state)
{
    static const struct {
        const char *text;
        int rc;
        enum sb_kind kind;
    } cases[] = {
        {"{\"v\":1}", 0, SB_KIND_BATCH},
        {"{\"v\":1,\"kind\":null}", 0, SB_KIND_BATCH},
        {"{\"v\":1,\"kind\":\"batch\"}", 0, SB_KIND_BATCH},
        {"{\"kind\":\"ack\",\"v\":1}", 0, SB_KIND_ACK},
        {"{\"v\":1,\"kind\":\"hello\"}", 0, SB_KIND_HELLO},
        {"{\"v\":1,\"kind\":\"w\\u0065lcome\"}", 0, SB_KIND_WELCOME},
        {"{\"v\":1,\"kind\":\"request\"}", 0, SB_KIND_REQUEST},
        {"{\"v\":1,\"kind\":\"answer\"}", 0, SB_KIND_ANSWER},
        {"{\"v\":1,\"kind\":\"notify\"}", 0, SB_KIND_NOTIFY},
        {"{\"v\":1,\"kind\":\"Notify\"}", 0, SB_KIND_OTHER},
        {"{\"v\":1,\"kind\":\"\"}", 0, SB_KIND_OTHER},
        {"{\"v\":1,\"kind\":7}", -SB_EBAD_TYPE, SB_KIND_OTHER},
        {"{\"v\":2,\"kind\":\"hello\"}", -SB_EBAD_VERSION, SB_KIND_OTHER},
        {"{\"kind\":\"hello\"}", -SB_EMISSING_FIELD, SB_KIND_OTHER},
        {"[]", -SB_EBAD_TYPE, SB_KIND_OTHER},
        {"{\"v\":1,", -SB_EBAD_JSON, SB_KIND_OTHER},
    };
    enum sb_kind kind;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(sb_message_kind(sb_span_of(cases[i].text), &kind, NULL), cases[i].rc);
        if (cases[i].rc == 0)
            assert_int_equal(kind, cases[i].kind);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hello_survives_the_way_there_and_back),
        cmocka_unit_test(a_first_hello_has_no_receipt_and_perhaps_no_epoch),
        cmocka_unit_test(a_large_hello_is_laid_out_over_pages),
        cmocka_unit_test(a_welcome_survives_the_way_there_and_back),
        cmocka_unit_test(a_large_welcome_goes_on_in_parts),
        cmocka_unit_test(standings_added_in_any_order_come_epoch_by_epoch),
        cmocka_unit_test(bad_hellos_are_refused),
        cmocka_unit_test(more_epochs_or_streams_than_allowed_are_refused),
        cmocka_unit_test(bad_welcomes_are_refused),
        cmocka_unit_test(limits_that_a_welcome_does_not_tell_are_those_of_the_contract),
        cmocka_unit_test(the_kind_of_a_message_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
