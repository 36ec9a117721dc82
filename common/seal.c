#include "seal.h"

#include <string.h>

#include "check.h"
#include "envelope.h"
#include "json_put.h"
#include "json_read.h"

#define STAMP_PLACES 4096 /* of one document */

/* ---- printing ---- */

static void put_hex16(struct sb_buf *out, const char *key, uint64_t value)
{
    char text[SB_EPOCH_LEN + 1];

    sb_hex16_of(value, text);
    sb_put_text(out, key, text);
}

void sb_seal_print(const struct sb_seal *seal, struct sb_buf *out)
{
    SB_CHECK(seal->data.len > 0 && seal->data.data[0] == '{');
    sb_buf_reserve(out, seal->data.len + seal->stamps.len + 1024);
    sb_put_open(out, NULL, '{');
    sb_put_u64(out, "v", 1);
    sb_put_span(out, "user", seal->user);
    sb_put_text(out, "stream", sb_up_class_name(seal->stream));
    sb_put_span(out, "table", seal->table);
    sb_put_span(out, "id", seal->id);
    sb_put_span(out, "device", seal->device);
    sb_put_span(out, "op_id", seal->op_id);
    sb_put_raw(out, "base", seal->base);
    put_hex16(out, "hlc", seal->hlc);
    put_hex16(out, "top", seal->top);
    if (seal->stamps.len > 0)
        sb_put_raw(out, "stamps", seal->stamps);
    sb_put_raw(out, "data", seal->data);
    sb_put_close(out, '}');
}

int sb_seal_encrypt(const struct sb_keyring *keyring, const struct sb_seal *seal, int64_t now_s,
                    const unsigned char *iv, struct sb_buf *out, struct sb_err *err)
{
    struct sb_buf plain = {0};
    int rc;

    sb_seal_print(seal, &plain);
    rc = sb_keyring_encrypt(keyring, sb_buf_span(&plain), now_s, iv, out, err);
    sb_buf_free(&plain);
    return rc;
}

/* ---- reading ---- */

enum field { V, USER, STREAM, TABLE, ID, DEVICE, OP_ID, BASE, HLC, TOP, STAMPS, DATA, FIELDS };

/* One level more than a document may have, and the stamps' places with three values each. */
static const struct sb_json_limits text_limits = {SB_FERNET_PLAIN_MAX, SB_JSON_MAX_DEPTH + 1,
                                                  SB_JSON_MAX_NODES + 3 * STAMP_PLACES + 100};
static const struct sb_json_limits data_limits = {SB_RECORD_MAX_BYTES, SB_JSON_MAX_DEPTH,
                                                  SB_JSON_MAX_NODES};

/* Appends the characters to names; *place is where and how many, because the memory may still move.
 */
static int read_name(const struct sb_json_field *field, size_t max, struct sb_buf *names,
                     struct sb_span *place, struct sb_err *err)
{
    char text[SB_ID_MAX + 1];
    int rc = sb_field_text(field, text, max + 1, err);

    if (rc < 0)
        return rc;
    place->len = strlen(text);
    sb_buf_add(names, text, place->len + 1);
    return 0;
}

static int read_names(const struct sb_json_field *f, struct sb_unsealed *out, struct sb_err *err)
{
    struct sb_seal *seal = &out->seal;
    const struct {
        enum field field;
        size_t max;
        struct sb_span *place;
    } members[] = {
        {USER, SB_NAME_MAX, &seal->user}, {TABLE, SB_NAME_MAX, &seal->table},
        {ID, SB_ID_MAX, &seal->id},       {DEVICE, SB_NAME_MAX, &seal->device},
        {OP_ID, SB_ID_MAX, &seal->op_id},
    };
    const size_t count = sizeof(members) / sizeof(members[0]);
    const char *at;

    for (size_t i = 0; i < count; i++) {
        int rc =
            read_name(&f[members[i].field], members[i].max, &out->names, members[i].place, err);

        if (rc < 0)
            return rc;
    }
    at = out->names.data;
    for (size_t i = 0; i < count; i++) {
        members[i].place->data = at;
        at += members[i].place->len + 1;
    }
    return 0;
}

static int read_stream(const struct sb_json_field *field, enum sb_up_class *stream,
                       struct sb_err *err)
{
    char name[16];
    int rc = sb_field_text(field, name, sizeof(name), err);

    if (rc == 0 && (!sb_up_class_parse(sb_span_of(name), stream) ||
                    (*stream != SB_UP_SETTINGS && *stream != SB_UP_RECORDS)))
        rc = sb_fail(err, SB_EBAD_VALUE, "stream: not settings or records");
    return rc;
}

static int read_hlc(const struct sb_json_field *field, uint64_t *hlc, struct sb_err *err)
{
    char text[SB_EPOCH_LEN + 1];
    int rc = sb_field_hex16(field, text, err);

    if (rc == 0)
        *hlc = sb_hex16_value(text);
    return rc;
}

static int read_base(const struct sb_json_field *field, struct sb_span *base, struct sb_err *err)
{
    *base = field->value;
    if (base->len > 0 && sb_json_type_of(*base) == SB_JSON_NULL)
        return 0;
    return sb_field_type(field, SB_JSON_OBJECT, err);
}

static int read_stamps(const struct sb_json_field *field, struct sb_span *stamps,
                       struct sb_err *err)
{
    *stamps = field->value;
    return field->value.len > 0 ? sb_field_type(field, SB_JSON_OBJECT, err) : 0;
}

static int read_data(const struct sb_json_field *field, struct sb_span *data, struct sb_err *err)
{
    int rc = sb_field_type(field, SB_JSON_OBJECT, err);

    return rc == 0 ? sb_json_check(field->value, &data_limits, data, err) : rc;
}

static int read_members(struct sb_span object, struct sb_unsealed *out, struct sb_err *err)
{
    struct sb_json_field f[FIELDS] = {
        [V] = {.key = "v"},         [USER] = {.key = "user"},     [STREAM] = {.key = "stream"},
        [TABLE] = {.key = "table"}, [ID] = {.key = "id"},         [DEVICE] = {.key = "device"},
        [OP_ID] = {.key = "op_id"}, [BASE] = {.key = "base"},     [HLC] = {.key = "hlc"},
        [TOP] = {.key = "top"},     [STAMPS] = {.key = "stamps"}, [DATA] = {.key = "data"},
    };
    struct sb_seal *seal = &out->seal;
    int rc;

    sb_json_pick(object, f, FIELDS);
    if ((rc = sb_field_version(&f[V], err)) < 0 || (rc = read_names(f, out, err)) < 0 ||
        (rc = read_stream(&f[STREAM], &seal->stream, err)) < 0 ||
        (rc = read_base(&f[BASE], &seal->base, err)) < 0 ||
        (rc = read_hlc(&f[HLC], &seal->hlc, err)) < 0 ||
        (rc = read_hlc(&f[TOP], &seal->top, err)) < 0 ||
        (rc = read_stamps(&f[STAMPS], &seal->stamps, err)) < 0)
        return rc;
    return read_data(&f[DATA], &seal->data, err);
}

/* out->text is there. */
static int read_text(struct sb_unsealed *out, struct sb_err *err)
{
    struct sb_span object;
    struct sb_err why = {0};
    int rc = sb_json_check(sb_buf_span(&out->text), &text_limits, &object, &why);

    if (rc == 0 && sb_json_type_of(object) != SB_JSON_OBJECT)
        rc = sb_fail(&why, SB_EBAD_TYPE, "not an object");
    if (rc == 0)
        rc = read_members(object, out, &why);
    if (rc == 0)
        return 0;
    sb_unsealed_fini(out);
    return sb_fail(err, why.code == SB_EBAD_VERSION ? SB_EBAD_VERSION : SB_ETAMPERED,
                   "no sealed document inside: %.200s", why.msg);
}

int sb_unseal_text(struct sb_span plain, struct sb_unsealed *out, struct sb_err *err)
{
    *out = (struct sb_unsealed){0};
    sb_buf_add_span(&out->text, plain);
    return read_text(out, err);
}

int sb_unseal(const struct sb_keyring *keyring, struct sb_span token, struct sb_unsealed *out,
              struct sb_err *err)
{
    int rc;

    *out = (struct sb_unsealed){0};
    rc = sb_keyring_decrypt(keyring, token, &out->text, &out->info, err);
    if (rc == 0)
        return read_text(out, err);
    sb_unsealed_fini(out);
    return rc;
}

void sb_unsealed_fini(struct sb_unsealed *unsealed)
{
    sb_buf_free(&unsealed->text);
    sb_buf_free(&unsealed->names);
    *unsealed = (struct sb_unsealed){0};
}

/* ---- comparing ---- */

static int differs(const char *member, struct sb_span inside, struct sb_span outside,
                   struct sb_err *err)
{
    if (sb_span_eq(inside, outside))
        return 0;
    return sb_fail(err, SB_ETAMPERED, "sealed for another %s: '%.*s' inside, '%.*s' outside",
                   member, (int)(inside.len < 80 ? inside.len : 80), inside.data,
                   (int)(outside.len < 80 ? outside.len : 80), outside.data);
}

static int base_differs(struct sb_span inside, struct sb_span outside, struct sb_err *err)
{
    return sb_json_equal(inside, outside) ? 0 : differs("base", inside, outside, err);
}

static int hlc_differs(uint64_t inside, uint64_t outside, struct sb_err *err)
{
    char a[SB_EPOCH_LEN + 1], b[SB_EPOCH_LEN + 1];

    sb_hex16_of(inside, a);
    sb_hex16_of(outside, b);
    return differs("hlc", sb_span_of(a), sb_span_of(b), err);
}

int sb_seal_check(const struct sb_seal *inside, const struct sb_seal *expected, struct sb_err *err)
{
    int rc;

    if ((rc = differs("user", inside->user, expected->user, err)) < 0 ||
        (rc = differs("stream", sb_span_of(sb_up_class_name(inside->stream)),
                      sb_span_of(sb_up_class_name(expected->stream)), err)) < 0 ||
        (rc = differs("table", inside->table, expected->table, err)) < 0 ||
        (rc = differs("id", inside->id, expected->id, err)) < 0 ||
        (rc = differs("device", inside->device, expected->device, err)) < 0 ||
        (rc = differs("op_id", inside->op_id, expected->op_id, err)) < 0)
        return rc;
    if (expected->base.len > 0 && (rc = base_differs(inside->base, expected->base, err)) < 0)
        return rc;
    return expected->hlc != 0 ? hlc_differs(inside->hlc, expected->hlc, err) : 0;
}
