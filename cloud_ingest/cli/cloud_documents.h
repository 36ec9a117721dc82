#ifndef CLOUD_DOCUMENTS_H
#define CLOUD_DOCUMENTS_H

#include "cloud_cli.h"

/* What `settings` and `records` share: the versions of one document. */

struct cloud_document {
    const char *user, *table, *id;
    const char *member; /* what JSON calls its text: "settings", "data" */
};

/* Appends version, tag, who made it and when, and the text ("null" for a tombstone). */
void cloud_put_document(struct sb_buf *out, const struct cloud_document *name,
                        const struct sb_document *doc);

/* Prints a document: the text alone on standard output and the rest beside it, or as JSON.
 * SB_ENOT_FOUND where it does not exist. */
int cloud_print_document(struct cloud_cli *c, const struct cloud_document *name,
                         const struct sb_document *doc, struct sb_err *err);

/* Lists the versions, newest first. SB_ENOT_FOUND where there is none. */
int cloud_print_history(struct cloud_cli *c, const struct cloud_document *name, uint64_t limit,
                        struct sb_err *err);

/* Prints one version as cloud_print_document does. */
int cloud_print_version(struct cloud_cli *c, const struct cloud_document *name, uint64_t version,
                        struct sb_err *err);

#endif
