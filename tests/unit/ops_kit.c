#include "ops_kit.h"

#include <stdio.h>

uint64_t ops_next_seq;

int ops_setup(void **state)
{
    int rc = kit_setup(state);

    if (rc == 0)
        kit_grant(*state, "user-1");
    return rc;
}

int ops_records_setup(void **state)
{
    int rc = ops_setup(state);
    struct kit *kit = *state;

    ops_next_seq = 0;
    kit->device = "edge-002";
    kit_grant(kit, "user-1");
    kit->device = "edge-001";
    return rc;
}

struct sb_reply *ops_put(struct kit *kit, uint64_t seq, const char *op, const char *base,
                         const char *settings)
{
    return kit_ask(kit, OPS_SETTINGS, seq, seq,
                   "\"records\":[{\"op_id\":\"%s\",\"hlc\":\"000000000000000%llu\",\"base\":%s,"
                   "\"settings\":%s}]",
                   op, (unsigned long long)seq % 10, base, settings);
}

struct sb_reply *ops_edit(struct kit *kit, const char *op, unsigned hlc, const char *table,
                          const char *id, const char *base, const char *data)
{
    uint64_t seq = ++ops_next_seq;

    return kit_ask(
        kit, OPS_RECORDS, seq, seq,
        "\"records\":[{\"op_id\":\"%s\",\"hlc\":\"%016x\",\"table\":\"%s\",\"id\":\"%s\","
        "\"operation\":\"%s\",\"base\":%s%s%s}]",
        op, hlc, table, id, data != NULL ? "update" : "delete", base,
        data != NULL ? ",\"data\":" : "", data != NULL ? data : "");
}

struct sb_reply *ops_edit_2(struct kit *kit, const char *op, unsigned hlc, const char *table,
                            const char *id, const char *base, const char *data)
{
    struct sb_reply *reply;

    kit->device = "edge-002";
    reply = ops_edit(kit, op, hlc, table, id, base, data);
    kit->device = "edge-001";
    return reply;
}

const char *ops_in_force(struct kit *kit, const char *doc)
{
    static char text[4096];
    struct sb_document document = {0};
    struct sb_err err;

    assert_int_equal(store_document_get(kit->store, "user-1", doc, &document, &err), 0);
    snprintf(text, sizeof(text), "%s",
             !document.exists ? "" : (document.deleted ? "-" : document.data.data));
    sb_document_free(&document);
    return text;
}

const char *ops_tag_of(struct kit *kit, const char *doc)
{
    static char base[64];
    struct sb_document document = {0};
    struct sb_err err;

    assert_int_equal(store_document_get(kit->store, "user-1", doc, &document, &err), 0);
    snprintf(base, sizeof(base), "{\"tag\":\"%s\"}", document.tag);
    sb_document_free(&document);
    return base;
}

void ops_stored(const struct sb_reply *reply)
{
    kit_expect(reply, SB_RESULT_STORED, 1, 0, 0, 0, 0);
}

const struct sb_conflict *ops_conflict(const struct sb_reply *reply, enum sb_code code,
                                       const char *pointers)
{
    kit_expect(reply, SB_RESULT_CONFLICT, 0, 0, 0, 0, 1);
    assert_int_equal(reply->conflicts[0].code, code);
    assert_string_equal(reply->conflicts[0].pointers.data, pointers);
    return &reply->conflicts[0];
}

void ops_rejected(const struct sb_reply *reply, enum sb_code code)
{
    kit_expect(reply, SB_RESULT_REJECTED, 0, 0, 0, 1, 0);
    assert_int_equal(reply->rejected[0].code, code);
}
