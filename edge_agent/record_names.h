#ifndef EDGE_RECORD_NAMES_H
#define EDGE_RECORD_NAMES_H

#include "common/buf.h"
#include "common/err.h"

/* Local and cloud names of the members of records: an application keeps its own words, the cloud's
 * schema is the truth, and what is stored and sent has the cloud's names. One file a table,
 * <folder>/<table>.json:
 *
 *     {"table":"projects","fields":{"title":"project_name","owner":"owner_id"}}
 *
 * Only members of the document itself are renamed, not those further inside. Their values, and
 * every other member, keep their text. Applied where documents come from applications or go to
 * them. */

#define RECORD_NAMES_MAX 1000 /* fields of one file */

struct record_names;

/* The names of a table. *out is NULL where the folder is "" or has no file for it. SB_ECONFIG names
 * what is wrong with the file: not understood, another table's, a name twice. */
int record_names_load(const char *folder, const char *table, struct record_names **out,
                      struct sb_err *err);
void record_names_free(struct record_names *names);
size_t record_names_count(const struct record_names *names); /* 0 for NULL */

/* Appends the object (checked JSON) with the cloud's names. SB_EBAD_VALUE for a member that is the
 * cloud's name of another one: what was written under it would come back under that other name.
 * names NULL: as it is. */
int record_names_to_cloud(const struct record_names *names, struct sb_span object,
                          struct sb_buf *out, struct sb_err *err);

/* The way back. SB_EDUPLICATE_KEY where the document has both names of a member, as somebody
 * without this file may have written it. */
int record_names_to_local(const struct record_names *names, struct sb_span object,
                          struct sb_buf *out, struct sb_err *err);

#endif
