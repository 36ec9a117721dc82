#include "json.h"

#include <string.h>

cJSON *sb_json_parse(struct sb_span text, const struct sb_json_limits *limits, struct sb_err *err)
{
    struct sb_span value;
    cJSON *tree;

    if (sb_json_check(text, limits, &value, err) < 0)
        return NULL;
    tree = cJSON_ParseWithLength(value.data, value.len);
    /* What the check passed and cJSON refuses is a number that does not fit its buffer (Debian's
     * security updates have lifted that limit, others have not). */
    if (tree == NULL)
        sb_fail(err, SB_EBAD_VALUE, "a number of more than 63 characters");
    return tree;
}

static int find(const cJSON *object, const char *key, const cJSON **out, struct sb_err *err)
{
    *out = cJSON_GetObjectItemCaseSensitive(object, key);
    if (*out == NULL)
        return sb_fail(err, SB_EMISSING_FIELD, "%s: missing", key);
    return 0;
}

int sb_json_member_u64(const cJSON *object, const char *key, uint64_t max, uint64_t *out,
                       struct sb_err *err)
{
    const uint64_t exact =
        (UINT64_C(1) << 53) - 1; /* above, a double stands for several integers */
    const cJSON *item;
    int rc = find(object, key, &item, err);

    if (rc < 0)
        return rc;
    if (max > exact)
        max = exact;
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || item->valuedouble > (double)max ||
        item->valuedouble != (double)(uint64_t)item->valuedouble)
        return sb_fail(err, SB_EBAD_TYPE, "%s: not a whole number from 0 to %llu", key,
                       (unsigned long long)max);
    *out = (uint64_t)item->valuedouble;
    return 0;
}

int sb_json_member_bool(const cJSON *object, const char *key, bool *out, struct sb_err *err)
{
    const cJSON *item;
    int rc = find(object, key, &item, err);

    if (rc < 0)
        return rc;
    if (!cJSON_IsBool(item))
        return sb_fail(err, SB_EBAD_TYPE, "%s: not true or false", key);
    *out = cJSON_IsTrue(item);
    return 0;
}

int sb_json_member_str(const cJSON *object, const char *key, size_t max_len, const char **out,
                       struct sb_err *err)
{
    const cJSON *item;
    int rc = find(object, key, &item, err);

    if (rc < 0)
        return rc;
    if (!cJSON_IsString(item))
        return sb_fail(err, SB_EBAD_TYPE, "%s: not a string", key);
    if (strlen(item->valuestring) > max_len)
        return sb_fail(err, SB_ETOO_LARGE, "%s: longer than %zu bytes", key, max_len);
    *out = item->valuestring;
    return 0;
}

int sb_json_member_array(const cJSON *object, const char *key, const cJSON **out,
                         struct sb_err *err)
{
    const cJSON *item;
    int rc = find(object, key, &item, err);

    if (rc < 0)
        return rc;
    if (!cJSON_IsArray(item))
        return sb_fail(err, SB_EBAD_TYPE, "%s: not an array", key);
    *out = item;
    return 0;
}
