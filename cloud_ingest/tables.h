#ifndef CLOUD_TABLES_H
#define CLOUD_TABLES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/ids.h"
#include "common/policy.h"

/* Which tables of records are served, and what is done where edits of a document meet. The table
 * "settings" is always there and holds one document per user. Tables are declared by name in the
 * configuration ([records] tables); a file mappings/<table>.json may say more of one:
 *
 *   {"table":"contents","policy":"merge","arrays":{"/nodes":"id","/pages/<star>/items":"key"}}
 *
 * (<star>: an asterisk, for any one segment). Without a file, or without its members: the policy of
 * [records], and arrays are one place each. */

struct table {
    char name[SB_NAME_MAX + 1];
    enum sb_policy policy;
    struct sb_buf arrays; /* arrays merged by a key, as replies tell it: {"/nodes":"id"}, or "" */
};

struct tables;

/* Only settings, with the policy merge. */
struct tables *tables_new(void);
void tables_free(struct tables *tables);

/* [a-z][a-z0-9_]{0,63} and not "settings". */
bool tables_name_valid(struct sb_span name);

/* Declares one. SB_ECONFIG: not a name, declared twice, more than LIMIT_TABLES. The policy of
 * "settings" is set by the same call. */
int tables_declare(struct tables *tables, const char *name, enum sb_policy policy,
                   struct sb_err *err);

/* Takes in the text of a table's file: its policy and arrays replace those of the declared table;
 * a table that is not declared is left alone (*known = false). SB_ECONFIG says what is wrong. */
int tables_read(struct tables *tables, struct sb_span text, bool *known, struct sb_err *err);

/* Every file of a folder that has a member "table" (those with "type" are for mapping_set_load);
 * a folder that does not exist is SB_ENOT_FOUND. */
int tables_load(struct tables *tables, const char *folder, struct sb_err *err);

/* NULL when it is not declared. Borrowed. */
const struct table *tables_get(const struct tables *tables, const char *name);
/* The declared ones in their order, without settings. */
size_t tables_count(const struct tables *tables);
const struct table *tables_at(const struct tables *tables, size_t index);

#endif
