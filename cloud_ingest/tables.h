#ifndef CLOUD_TABLES_H
#define CLOUD_TABLES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/array_keys.h"
#include "common/err.h"
#include "common/ids.h"
#include "common/policy.h"

/* Which tables of documents are served, and what is done where edits of one document meet. The
 * table "settings" is always there and holds one document per user. Tables of records are declared
 * by name in the configuration ([records] tables); a file mappings/<table>.json may say more of
 * one:
 *
 *   {"table":"contents","policy":"merge","arrays":{"/nodes":"id"}}
 *
 * Without a file, or without its members: the policy of the configuration, and arrays are one place
 * each. How `arrays` is written: common/array_keys.h. */

struct table {
    char name[SB_NAME_MAX + 1];
    enum sb_policy policy;
    struct sb_array_keys keys;
    struct sb_buf arrays; /* the keys as replies tell them, {"/nodes":"id"}; empty: none */
};

struct tables;

/* Only settings, with the policy merge. */
struct tables *tables_new(void);
void tables_free(struct tables *tables);

/* Declares a table of records, or sets the policy of "settings". SB_ECONFIG: not a name, declared
 * twice, more than LIMIT_TABLES. */
int tables_declare(struct tables *tables, const char *name, enum sb_policy policy,
                   struct sb_err *err);

/* Takes in the text of a table's file: what it says replaces what the table has. One that is not
 * declared is checked and left out. SB_ECONFIG says what is wrong; name may be NULL, else the table
 * must be that one. */
int tables_add(struct tables *tables, struct sb_span text, const char *name, struct sb_err *err);

/* Every file of a folder that has a member "table" (those with a "type" are for mapping_set_load),
 * in the order of their names; each must be named as its table. SB_ENOT_FOUND: no such folder. */
int tables_load(struct tables *tables, const char *folder, struct sb_err *err);

/* NULL when it is not declared. Borrowed; stays where it is. */
const struct table *tables_get(const struct tables *tables, const char *name);

/* The declared ones in their order, without settings. */
size_t tables_count(const struct tables *tables);
const struct table *tables_at(const struct tables *tables, size_t index);

#endif
