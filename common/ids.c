#include "ids.h"

#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "check.h"
#include "json_scan.h"

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

bool sb_name_valid(struct sb_span name)
{
    if (name.len < 1 || name.len > SB_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!name_char(name.data[i]))
            return false;
    return true;
}

bool sb_device_valid(struct sb_span device)
{
    return sb_name_valid(device) && device.data[0] != '_';
}

bool sb_operator_valid(struct sb_span name)
{
    return sb_name_valid(name) && name.len > 4 && memcmp(name.data, "_op-", 4) == 0;
}

bool sb_table_valid(struct sb_span table)
{
    if (table.len < 1 || table.len > SB_NAME_MAX || table.data[0] < 'a' || table.data[0] > 'z')
        return false;
    for (size_t i = 1; i < table.len; i++)
        if (!(table.data[i] >= 'a' && table.data[i] <= 'z') &&
            !(table.data[i] >= '0' && table.data[i] <= '9') && table.data[i] != '_')
            return false;
    return true;
}

bool sb_document_id_valid(struct sb_span id)
{
    if (id.len < 1 || id.len > SB_ID_MAX || !sb_utf8_valid(id, NULL))
        return false;
    for (size_t i = 0; i < id.len; i++)
        if ((unsigned char)id.data[i] < 0x20 || id.data[i] == 0x7f)
            return false;
    return true;
}

static bool all_hex(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return false;
    return true;
}

bool sb_hex16_valid(struct sb_span text)
{
    return text.len == SB_EPOCH_LEN && all_hex(text.data, text.len);
}

bool sb_uuid_valid(struct sb_span text)
{
    static const int dashes[] = {8, 13, 18, 23, SB_UUID_LEN};
    size_t from = 0;

    if (text.len != SB_UUID_LEN)
        return false;
    for (unsigned i = 0; i < 5; i++) {
        size_t to = (size_t)dashes[i];

        if (!all_hex(text.data + from, to - from) || (to < text.len && text.data[to] != '-'))
            return false;
        from = to + 1;
    }
    return true;
}

void sb_uuid7(struct sb_rng *rng, int64_t wall_us, char out[SB_UUID_LEN + 1])
{
    uint64_t ms = wall_us > 0 ? (uint64_t)wall_us / 1000 : 0;
    uint64_t a = sb_rng_u64(rng), b = sb_rng_u64(rng);

    snprintf(out, SB_UUID_LEN + 1, "%08x-%04x-7%03x-%04x-%012llx", (unsigned)(ms >> 16),
             (unsigned)(ms & 0xffff), (unsigned)(a & 0xfff), (unsigned)(0x8000 | (a >> 50)),
             (unsigned long long)(b & 0xffffffffffff));
}

void sb_hex16(struct sb_rng *rng, char out[SB_EPOCH_LEN + 1])
{
    sb_hex16_of(sb_rng_u64(rng), out);
}

void sb_hex16_of(uint64_t value, char out[SB_EPOCH_LEN + 1])
{
    snprintf(out, SB_EPOCH_LEN + 1, "%016llx", (unsigned long long)value);
}

uint64_t sb_hex16_value(const char *text)
{
    uint64_t value = 0;

    for (int i = 0; i < SB_EPOCH_LEN; i++)
        value = value << 4 | (uint64_t)(text[i] <= '9' ? text[i] - '0' : text[i] - 'a' + 10);
    return value;
}

void sb_sha256(const struct sb_span *parts, size_t count, unsigned char out[32])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;

    for (size_t i = 0; ok && i < count; i++)
        ok = EVP_DigestUpdate(ctx, parts[i].data, parts[i].len) == 1;
    SB_CHECK(ok && EVP_DigestFinal_ex(ctx, out, NULL) == 1);
    EVP_MD_CTX_free(ctx);
}

unsigned sb_bucket_of(struct sb_span device)
{
    unsigned char hash[32];

    sb_sha256(&device, 1, hash);
    return hash[0] & 0x3f;
}

uint64_t sb_hash64(struct sb_span data)
{
    unsigned char hash[32];
    uint64_t value = 0;

    sb_sha256(&data, 1, hash);
    for (int i = 0; i < 8; i++)
        value = value << 8 | hash[i];
    return value;
}
