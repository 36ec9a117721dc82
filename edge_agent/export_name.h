#ifndef EDGE_EXPORT_NAME_H
#define EDGE_EXPORT_NAME_H

#include "common/buf.h"

/* The names of exported documents below the export folder. Pure. */

#define EXPORT_NAME_MAX 256 /* of one file or folder, NUL included */

/* The file name of a document's id, ".json" included. Letters, digits, '_', '-' and '.' stay (not a
 * '.' at the beginning); every other byte becomes %XX. So no id leaves its folder, none is hidden,
 * and no two ids share a name. A name that would be longer than 200 bytes is cut there and gets '~'
 * and 32 hex digits of the SHA-256 of the id. */
void export_name_of_id(struct sb_span id, char out[EXPORT_NAME_MAX]);

/* Where a document lies: "<user>" and "settings.json" for the settings, "<user>", "<table>" and the
 * id's name for a record. Parts of a valid user, table and id. */
struct export_place {
    char user[EXPORT_NAME_MAX];
    char table[EXPORT_NAME_MAX]; /* "" for the settings */
    char file[EXPORT_NAME_MAX];
};
void export_place_of(const char *user, const char *table, const char *id, struct export_place *out);

/* Appends folder/<user>/[<table>/]<file>. */
void export_place_path(const struct export_place *place, const char *folder, struct sb_buf *out);

#endif
