/* Documents that leave the device sealed: what is opened, what is marked and overwrites nothing. */
#include "doc_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- sealing ---- */

/* A codec that shows what it was given: <key><op_id>.<top>.<data in hex> */
struct test_codec {
    bool seals, has_key;
    char key;
    char stamps[256]; /* of the last one that was sealed */
    uint64_t top;
};

static bool seals(void *ctx, const char *user)
{
    assert_string_equal(user, "user-1");
    return ((struct test_codec *)ctx)->seals;
}

static int seal(void *ctx, const struct documents_clear *clear,
                const struct documents_inside *inside, struct sb_buf *token, struct sb_err *err)
{
    struct test_codec *codec = ctx;

    if (!codec->has_key)
        return sb_fail(err, SB_ENO_KEY, "no key");
    assert_string_equal(clear->device, DOC_DEVICE);
    codec->top = inside->top;
    snprintf(codec->stamps, sizeof(codec->stamps), SB_SPAN_FMT,
             SB_SPAN_ARG(sb_buf_span(&inside->stamps)));
    sb_buf_add_fmt(token, "%c%s.%llx.", codec->key, clear->op_id, (unsigned long long)inside->top);
    for (size_t i = 0; i < inside->data.len; i++)
        sb_buf_add_fmt(token, "%02x", (unsigned char)inside->data.data[i]);
    return 0;
}

static int open_token(void *ctx, const struct documents_clear *clear, struct sb_span token,
                      struct documents_inside *inside, struct sb_err *err)
{
    const struct test_codec *codec = ctx;
    char op_id[SB_ID_MAX + 1], text[512], hex[256], byte[3] = "";
    unsigned long long top;

    if (!codec->has_key)
        return sb_fail(err, SB_ENO_KEY, "no key");
    snprintf(text, sizeof(text), SB_SPAN_FMT, SB_SPAN_ARG(token));
    if (text[0] != codec->key || sscanf(text + 1, "%128[^.].%llx.%255s", op_id, &top, hex) != 3)
        return sb_fail(err, SB_EWRONG_KEY, "not mine");
    if (strcmp(op_id, clear->op_id) != 0)
        return sb_fail(err, SB_ETAMPERED, "another operation's");
    inside->top = top;
    for (size_t i = 0; hex[i] != '\0'; i += 2) {
        memcpy(byte, hex + i, 2);
        sb_buf_add_char(&inside->data, (char)strtol(byte, NULL, 16));
    }
    return 0;
}

static struct test_codec test_codec;

static const struct documents_codec codec = {seals, seal, open_token, &test_codec};

static int sealed_setup(void **state)
{
    int rc = doc_setup(state);

    test_codec = (struct test_codec){.seals = true, .has_key = true, .key = 'k'};
    doc_env.codec = &codec;
    return rc;
}

#define SEALED(version, token) DOC(version, "\"" token "\"")

static void edit_leaves_the_device_sealed_and_stays_readable_here(void **state)
{
    (void)state;
    doc_put("projects", "p1", "op-1", "{}");
    doc_assert("projects", "p1", "{}");
    doc_assert_operation(DOC_RECORDS, 1, ",\"data\":\"kop-1.");
    doc_assert_operation(DOC_RECORDS, 1, ".7b7d\"}");
    doc_put("projects", "p1", "op-2", NULL);
    doc_assert_operation(DOC_RECORDS, 2, "\"operation\":\"delete\",\"base\":{\"op_id\":\"op-1\"}}");
    assert_int_equal(test_codec.stamps[0], '\0'); /* only for `latest` */
}

static void edit_without_a_key_is_refused(void **state)
{
    (void)state;
    test_codec.has_key = false;
    assert_int_equal(doc_try_put("projects", "p1", "op-1", "{}", NULL), -SB_ENO_KEY);
    doc_assert("projects", "p1", "-");
    assert_int_equal(doc_made(DOC_RECORDS), 0);
}

static enum sb_code trouble(const char *id)
{
    struct outbox_document doc;
    enum sb_code code;

    doc_get("projects", id, &doc);
    code = doc.trouble;
    outbox_document_fini(&doc);
    return code;
}

static void what_cannot_be_opened_overwrites_nothing_and_is_marked(void **state)
{
    (void)state;
    assert_int_equal(doc_take("projects", "p1", SEALED(2, "kop-x2.2.7b7d")), DOCUMENTS_TAKEN);
    doc_assert("projects", "p1", "{}");
    assert_int_equal(doc_take("projects", "p1", SEALED(3, "kop-other.3.7b7d")), DOCUMENTS_CLOSED);
    assert_int_equal(trouble("p1"), SB_ETAMPERED);
    assert_int_equal(doc_take("projects", "p1", SEALED(3, "rubbish")), DOCUMENTS_CLOSED);
    assert_int_equal(trouble("p1"), SB_EWRONG_KEY);
    test_codec.has_key = false;
    assert_int_equal(doc_take("projects", "p1", SEALED(3, "kop-x3.3.7b7d")), DOCUMENTS_CLOSED);
    assert_int_equal(trouble("p1"), SB_ENO_KEY);
    doc_assert("projects", "p1", "{}");
    doc_assert_base("projects", "p1", "", DOC_TAG(2));
    assert_false(doc_is_stale("projects", "p1"));
    kit_begin();
    assert_int_equal(outbox_documents_retry_trouble(kit_ob, &kit_err), 0);
    kit_commit();
    assert_true(doc_is_stale("projects", "p1"));
    test_codec.has_key = true;
    assert_int_equal(doc_take("projects", "p1", SEALED(3, "kop-x3.3.7b2261223a317d")),
                     DOCUMENTS_TAKEN);
    doc_assert("projects", "p1", "{\"a\":1}");
    assert_int_equal(trouble("p1"), SB_OK);
}

static void sealed_document_without_any_codec_is_closed(void **state)
{
    (void)state;
    doc_env.codec = NULL;
    assert_int_equal(doc_take("projects", "p1", SEALED(2, "kop-x2.2.7b7d")), DOCUMENTS_CLOSED);
    assert_int_equal(trouble("p1"), SB_ENO_KEY);
}

static void plain_document_in_place_of_a_sealed_one_is_tampered(void **state)
{
    (void)state;
    assert_int_equal(doc_take("projects", "p1", DOC(1, "{\"n\":1}")), DOCUMENTS_TAKEN); /* first */
    assert_int_equal(doc_take("projects", "p1", SEALED(2, "kop-x2.2.7b7d")), DOCUMENTS_TAKEN);
    assert_int_equal(doc_take("projects", "p1", DOC(3, "{\"n\":1}")), DOCUMENTS_CLOSED);
    assert_int_equal(trouble("p1"), SB_ETAMPERED);
    doc_assert("projects", "p1", "{}");
    assert_int_equal(doc_take("projects", "p1", DOC_DELETED(4)), DOCUMENTS_ABSENT);
    assert_int_equal(doc_take("projects", "p1", DOC(5, "{\"n\":1}")), DOCUMENTS_CLOSED);
}

static void newer_version_with_an_older_inside_is_stale(void **state)
{
    (void)state;
    assert_int_equal(doc_take("projects", "p1", SEALED(2, "kop-x2.20.7b7d")), DOCUMENTS_TAKEN);
    assert_int_equal(doc_take("projects", "p1", SEALED(3, "kop-x3.1f.7b2261223a317d")),
                     DOCUMENTS_CLOSED);
    assert_int_equal(trouble("p1"), SB_ESTALE);
    doc_assert("projects", "p1", "{}");
    assert_int_equal(doc_take("projects", "p1", SEALED(4, "kop-x4.21.7b2261223a317d")),
                     DOCUMENTS_TAKEN);
}

/* A stamp of a clock more than an hour ahead of the cloud's orders nothing. */
static void stamp_of_a_clock_that_ran_ahead_makes_nothing_stale(void **state)
{
    const int64_t server_ms = kit_now.wall_us / 1000 + 86400000; /* this clock is a day behind */
    const int64_t limit_ms = server_ms + SB_HLC_AHEAD_MS;
    char document[512];

    (void)state;
    kit_begin();
    assert_int_equal(
        outbox_set_server_clock(kit_ob, KIT_BOOT, (server_ms - kit_now.mono_ms) * 1000, &kit_err),
        0);
    kit_commit();
    for (int late = 0; late < 2; late++) {
        const char *id = late ? "p2" : "p1";

        snprintf(document, sizeof(document), DOC_HEAD(2) "\"data\":\"kop-x2.%llx.7b7d\"}",
                 (unsigned long long)(limit_ms + late) << SB_HLC_COUNTER_BITS);
        assert_int_equal(doc_take("projects", id, document), DOCUMENTS_TAKEN);
        assert_int_equal(doc_take("projects", id, SEALED(3, "kop-x3.20.7b2261223a317d")),
                         late ? DOCUMENTS_TAKEN : DOCUMENTS_CLOSED);
    }
    assert_int_equal(trouble("p1"), SB_ESTALE);
    doc_assert("projects", "p2", "{\"a\":1}");
}

/* What was held came from a cloud that is no more; the next one tells anew what is older. */
static void version_of_a_rolled_back_cloud_makes_nothing_stale(void **state)
{
    const struct document_name name = doc_name("projects", "p1");

    (void)state;
    assert_int_equal(doc_take("projects", "p1", SEALED(5, "kop-x5.20.7b7d")), DOCUMENTS_TAKEN);
    kit_begin();
    assert_int_equal(outbox_documents_forget_seen(kit_ob, "user-1", "projects", &kit_err), 0);
    assert_int_equal(outbox_document_see(kit_ob, &name, "earlier", 1, &kit_err), 0);
    kit_commit();
    assert_int_equal(doc_take("projects", "p1", SEALED(2, "kop-x2.1f.7b2261223a317d")),
                     DOCUMENTS_TAKEN);
    doc_assert("projects", "p1", "{\"a\":1}");
    assert_int_equal(doc_take("projects", "p1", SEALED(3, "kop-x3.1e.7b7d")), DOCUMENTS_CLOSED);
    assert_int_equal(trouble("p1"), SB_ESTALE);
}

static void inside_below_the_own_answered_edit_is_stale(void **state)
{
    (void)state;
    doc_put("projects", "p1", "op-1", "{}");
    doc_acked(DOC_RECORDS, 1, 1);
    assert_int_equal(doc_take("projects", "p1", SEALED(2, "kop-x2.20.7b2261223a317d")),
                     DOCUMENTS_CLOSED);
    assert_int_equal(trouble("p1"), SB_ESTALE);
    doc_assert("projects", "p1", "{}");
}

static void edit_that_lost_makes_nothing_stale(void **state)
{
    (void)state;
    doc_put("projects", "p1", "op-1", "{}");
    doc_acked(DOC_RECORDS, 1, 1);
    assert_int_equal(doc_take("projects", "p1", SEALED(2, "kop-x2.7fffffffffff0000.7b7d")),
                     DOCUMENTS_TAKEN);
    doc_put("projects", "p1", "op-2", "{\"b\":1}");
    doc_conflict(DOC_RECORDS, 2, SB_POLICY_MERGE,
                 SEALED(3, "kop-x3.7fffffffffff0000.7b2261223a317d"));
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_MENDED);
    doc_assert("projects", "p1", "{\"a\": 1, \"b\": 1}");
}

/* The former key is gone for good; what the run came to stands here in clear. */
static void edits_sealed_with_a_wrong_key_go_once_it_was_replaced(void **state)
{
    (void)state;
    test_codec.key = 'w';
    doc_put("projects", "p1", "op-1", "{\"mine\":1}");
    doc_put("projects", "p1", "op-2", "{\"mine\":2}");
    doc_conflict(DOC_RECORDS, 1, SB_POLICY_MERGE, SEALED(3, "kop-x3.3.7b2261223a317d"));
    doc_conflict(DOC_RECORDS, 2, SB_POLICY_MERGE, SEALED(3, "kop-x3.3.7b2261223a317d"));
    assert_int_equal(doc_mend("projects", "p1"), DOCUMENTS_SAME);
    assert_int_equal(trouble("p1"), SB_EWRONG_KEY);
    doc_assert("projects", "p1", "{\"mine\":2}");
    test_codec.key = 'k';
    assert_int_equal(doc_take("projects", "p1", SEALED(3, "kop-x3.3.7b2261223a317d")),
                     DOCUMENTS_TAKEN);
    doc_assert("projects", "p1", "{\"a\": 1, \"mine\": 2}");
    assert_int_equal(trouble("p1"), SB_OK);
    assert_int_equal(doc_made(DOC_RECORDS), 3);
    doc_assert_operation(DOC_RECORDS, 3, "\"data\":\"k");
    doc_assert_open("");
}

/* Further edits that a switch holds back are not what was submitted. */
static void edit_sealed_with_a_wrong_key_waits_where_the_document_went_on(void **state)
{
    (void)state;
    test_codec.key = 'w';
    doc_put("projects", "p1", "op-1", "{\"mine\":1}");
    doc_set_switch(SB_UP_RECORDS, false);
    doc_put("projects", "p1", "op-2", "{\"mine\":2}");
    doc_conflict(DOC_RECORDS, 1, SB_POLICY_MERGE, SEALED(3, "kop-x3.3.7b2261223a317d"));
    test_codec.key = 'k';
    (void)doc_take("projects", "p1", SEALED(3, "kop-x3.3.7b2261223a317d"));
    doc_assert("projects", "p1", "{\"mine\":2}");
    assert_int_equal(doc_made(DOC_RECORDS), 1);
}

static void stamps_go_inside_where_the_policy_is_latest(void **state)
{
    (void)state;
    assert_int_equal(doc_take("projects", "p1", SEALED(2, "kop-x2.20.7b2261223a317d")),
                     DOCUMENTS_TAKEN);
    kit_begin();
    assert_int_equal(
        outbox_policy_set(kit_ob, "user-1", "projects", SB_POLICY_LATEST, SB_SPAN(""), &kit_err),
        0);
    kit_commit();
    doc_put("projects", "p1", "op-1", "{\"a\":1,\"b\":2}");
    assert_non_null(
        strstr(test_codec.stamps, "{\"\":[\"0000000000000020\",\"edge-002\"],\"/b\":["));
    assert_non_null(strstr(test_codec.stamps, "\"" DOC_DEVICE "\"]}"));
    assert_true(test_codec.top > 0x20);
    doc_put("projects", "p1", "op-2", "{\"a\":3,\"b\":2}");
    assert_non_null(strstr(test_codec.stamps, "\"/a\":["));
    assert_non_null(strstr(test_codec.stamps, "\"/b\":["));
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, sealed_setup, doc_teardown)
    const struct CMUnitTest tests[] = {
        CASE(edit_leaves_the_device_sealed_and_stays_readable_here),
        CASE(edit_without_a_key_is_refused),
        CASE(what_cannot_be_opened_overwrites_nothing_and_is_marked),
        CASE(sealed_document_without_any_codec_is_closed),
        CASE(plain_document_in_place_of_a_sealed_one_is_tampered),
        CASE(newer_version_with_an_older_inside_is_stale),
        CASE(stamp_of_a_clock_that_ran_ahead_makes_nothing_stale),
        CASE(version_of_a_rolled_back_cloud_makes_nothing_stale),
        CASE(inside_below_the_own_answered_edit_is_stale),
        CASE(edit_that_lost_makes_nothing_stale),
        CASE(edits_sealed_with_a_wrong_key_go_once_it_was_replaced),
        CASE(edit_sealed_with_a_wrong_key_waits_where_the_document_went_on),
        CASE(stamps_go_inside_where_the_policy_is_latest),
    };
#undef CASE

    return cmocka_run_group_tests(tests, NULL, NULL);
}
