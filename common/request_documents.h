#ifndef SB_REQUEST_DOCUMENTS_H
#define SB_REQUEST_DOCUMENTS_H

#include "request.h"

/* Requests that read documents (PROTOCOL.md section 6): args and answers, both ways. A document is
 * named (user, table, id); the settings are the document SB_TABLE_SETTINGS / SB_TABLE_SETTINGS.
 *
 * Decoders take the text of one JSON object (checked here: limits of the wire), are strict about
 * the members they know and ignore others; errors name the member (SB_EMISSING_FIELD, SB_EBAD_TYPE,
 * SB_EBAD_VALUE, SB_EBAD_ID, …). What a decoder fills is empty again after an error. Encoders
 * append one object. user "" = left out: allowed where the device is bound to exactly one user. */

#define SB_OP_CHANGES      "changes"
#define SB_OP_DOCUMENT_GET "document.get"
#define SB_OP_SETTINGS_GET "settings.get"
#define SB_OP_VERSIONS     "versions"
#define SB_OP_VERSION_GET  "version.get"

#define SB_CHANGES_MAX     1000 /* largest limit of changes and versions */
#define SB_CHANGES_DEFAULT 100

/* A place in the order of a user's versions. version 0 = the beginning: null on the wire. */
struct sb_cursor {
    uint64_t version;
    char tag[SB_TAG_LEN + 1]; /* "" where version is 0 */
};

/* ---- changes ---- */

struct sb_changes_args {
    char user[SB_NAME_MAX + 1];
    char table[SB_NAME_MAX + 1];
    struct sb_cursor since;
    uint64_t began; /* of a pull that began at null: latest_version of its first page; else 0 */
    uint64_t limit; /* 1 to SB_CHANGES_MAX; left out it is SB_CHANGES_DEFAULT */
};
int sb_changes_args_decode(struct sb_span args, struct sb_changes_args *out, struct sb_err *err);
void sb_changes_args_encode(const struct sb_changes_args *args, struct sb_buf *out);

/* "update": it is there, as told (whether the reader had it or not); "delete": a tombstone.
 * "add" is read as an update. */
struct sb_change {
    char id[SB_ID_MAX + 1];
    struct sb_document doc; /* deleted or fetch as they are; always exists */
};

/* The current state of the documents of one table that were changed after `since`, in the order of
 * their versions: at most one entry of each. */
struct sb_changes {
    char user[SB_NAME_MAX + 1];
    char table[SB_NAME_MAX + 1];
    enum sb_policy policy; /* of the table; SB_POLICY_NONE: not told */
    struct sb_buf arrays;  /* merged by key, {"/nodes":"id"}; empty: none */
    struct sb_change *list;
    size_t count;
    struct sb_cursor cursor; /* where the next one goes on: has_more: of the last change; else the
                                user's counter */
    uint64_t latest_version; /* the user's counter */
    bool has_more;
};
void sb_changes_init(struct sb_changes *changes);
void sb_changes_free(struct sb_changes *changes); /* zeroed afterwards */
/* A new, zeroed entry at the end; owned by the changes, valid until the next one is added. */
struct sb_change *sb_changes_add(struct sb_changes *changes);

/* Appends the answer's data, at most max_bytes of it: fewer changes where they do not all fit
 * (has_more and cursor say so), and where the first one does not fit alone it is told with
 * "fetch":true. Returns how many of the list went out. */
size_t sb_changes_encode(const struct sb_changes *changes, size_t max_bytes, struct sb_buf *out);
/* SB_EBAD_VALUE where the versions do not ascend or cursor and latest_version contradict them. */
int sb_changes_decode(struct sb_span data, struct sb_changes *out, struct sb_err *err);

/* ---- document.get: the answer is sb_document_encode of request.h ---- */

struct sb_document_args {
    char user[SB_NAME_MAX + 1];
    char table[SB_NAME_MAX + 1];
    char id[SB_ID_MAX + 1];
};
int sb_document_args_decode(struct sb_span args, struct sb_document_args *out, struct sb_err *err);
void sb_document_args_encode(const struct sb_document_args *args, struct sb_buf *out);

/* ---- versions: newest first ---- */

struct sb_versions_args {
    struct sb_document_args doc;
    uint64_t before; /* only versions below it; 0 = all */
    uint64_t limit;  /* 1 to SB_CHANGES_MAX; left out it is SB_CHANGES_DEFAULT */
};
int sb_versions_args_decode(struct sb_span args, struct sb_versions_args *out, struct sb_err *err);
void sb_versions_args_encode(const struct sb_versions_args *args, struct sb_buf *out);

/* A version without its text. */
struct sb_version_entry {
    uint64_t version;
    char tag[SB_TAG_LEN + 1];
    char op_id[SB_ID_MAX + 1];
    char device[SB_NAME_MAX + 1]; /* or "_op-…" */
    char hlc[SB_EPOCH_LEN + 1];
    char updated_at[SB_UUID_LEN + 1];
    bool deleted;
    uint64_t size; /* bytes of its text; 0 of a deletion */
};
struct sb_versions {
    struct sb_version_entry *list;
    size_t count;
    bool has_more; /* go on with before = the last one's version */
};
void sb_versions_init(struct sb_versions *versions);
void sb_versions_free(struct sb_versions *versions);
struct sb_version_entry *sb_versions_add(struct sb_versions *versions);
/* At most max_bytes: fewer entries and has_more where they do not all fit. */
size_t sb_versions_encode(const struct sb_versions *versions, size_t max_bytes, struct sb_buf *out);
int sb_versions_decode(struct sb_span data, struct sb_versions *out, struct sb_err *err);

/* ---- version.get: the answer is a document (sb_document_encode), as_of the user's counter.
 * Refused not_found where that document has no such version. ---- */

struct sb_version_args {
    struct sb_document_args doc;
    uint64_t version;
};
int sb_version_args_decode(struct sb_span args, struct sb_version_args *out, struct sb_err *err);
void sb_version_args_encode(const struct sb_version_args *args, struct sb_buf *out);

#endif
