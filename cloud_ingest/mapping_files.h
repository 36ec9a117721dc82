#ifndef CLOUD_MAPPING_FILES_H
#define CLOUD_MAPPING_FILES_H

#include "common/buf.h"
#include "common/err.h"

#define MAPPING_FILE_MAX 262144 /* bytes of one file */

/* Which of the two kinds of mapping files. */
enum mapping_file { MAPPING_FILE_TYPE, MAPPING_FILE_TABLE };

/* Calls take() with the text of every *.json of a folder that is of that kind, in the order of
 * their names, until one fails. A file is a table's where its object has a member "table" and none
 * "type", and a sensor type's else (so that a file which is neither is refused, not left out).
 * stem: the name without ".json". Errors: SB_ENOT_FOUND (no such folder), SB_ECONFIG (too long),
 * those of the disk and of take(), with the path before them. */
int mapping_files(const char *folder, enum mapping_file kind,
                  int (*take)(void *ctx, const char *stem, struct sb_span text, struct sb_err *err),
                  void *ctx, struct sb_err *err);

#endif
