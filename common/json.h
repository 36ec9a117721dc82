#ifndef SB_JSON_H
#define SB_JSON_H

#include <cjson/cJSON.h>

#include "json_scan.h"

/* cJSON behind the strict check, for small messages: hello, welcome, replies, requests, mapping
 * files, control socket. Only codecs (json.c, *_codec.c) include this header; trees never leave
 * them. cJSON alone accepts bad UTF-8, duplicate keys, trailing text, `01` and 1e999, and alters
 * integers above 2^53, so: sb_json_check first, and whole numbers are read by sb_json_member_u64,
 * which refuses what a double cannot hold exactly. */

/* Parses strictly; NULL with *err set. The caller frees with cJSON_Delete. */
cJSON *sb_json_parse(struct sb_span text, const struct sb_json_limits *limits, struct sb_err *err);

/* Required members. Each fails with SB_EMISSING_FIELD or SB_EBAD_TYPE and names the member. */
int sb_json_member_u64(const cJSON *object, const char *key, uint64_t max, uint64_t *out,
                       struct sb_err *err);
int sb_json_member_bool(const cJSON *object, const char *key, bool *out, struct sb_err *err);
/* Borrowed from the tree. max_len in bytes, SB_ETOO_LARGE beyond. */
int sb_json_member_str(const cJSON *object, const char *key, size_t max_len, const char **out,
                       struct sb_err *err);
int sb_json_member_array(const cJSON *object, const char *key, const cJSON **out,
                         struct sb_err *err);

#endif
