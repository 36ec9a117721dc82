#ifndef CLOUD_APPLY_DOCUMENTS_H
#define CLOUD_APPLY_DOCUMENTS_H

#include "apply.h"
#include "common/merge.h"
#include "tables.h"

/* Inside of apply_operation.c, apply_documents.c and apply_operator.c: operations on documents,
 * settings and records alike. An absent document is an empty text everywhere. */

enum base_kind { BASE_NONE, BASE_OP, BASE_TAG };

struct base {
    enum base_kind kind;
    char id[SB_ID_MAX + 1]; /* op_id or tag */
    struct sb_span text;    /* as it came, "" = none */
};

/* A record of an ordered stream. Its spans point into the batch. */
struct operation {
    char op_id[SB_ID_MAX + 1];
    struct op_key key;
    struct sb_span record;
    uint64_t hlc;
    struct base base;
    const struct table *table; /* NULL where it names none that is declared */
    char id[SB_ID_MAX + 1];
    char doc[STORE_DOC_MAX + 1];
    struct sb_span submitted; /* an object, a string (encrypted), or "": a deletion */
    struct rejection_row why; /* code SB_OK: valid */
};

/* Reads a base: absent, null, {"op_id":…} or {"tag":…}. */
int operation_base(const struct sb_json_field *field, struct base *base, struct sb_err *err);

/* Reads record i of the batch. False with *unknown (a name) when it names a table that is valid and
 * not declared: nothing of the batch may be decided then. */
bool operation_read(struct apply *a, size_t i, struct operation *op, char unknown[SB_NAME_MAX + 1]);

/* What is needed while one operation is looked at, kept for its memory. */
struct apply_work {
    struct operation *ops; /* of the batch */
    size_t op_cap;
    struct document_row row; /* the document in force */
    struct sb_buf base;      /* the base document */
    struct lost_row lost;
    struct sb_merge_result merge;
    struct sb_stamps stamps;
    struct sb_buf text; /* stamps or pointers, printed */
};

/* Made when it is first needed. */
struct apply_work *apply_work(struct apply *a);

/* Is the text a JSON string, the token of an encrypted document? */
bool document_encrypted(struct sb_span text);

/* The text in force, "" where it is absent. */
struct sb_span document_text(const struct document_row *row);

/* V3: what the base was. *known = false: base_unknown. Copied into `text`. key: of the operation
 * whose base it is. */
int document_base(struct apply *a, const struct op_key *key, const struct doc_name *name,
                  const struct base *base, bool *known, struct sb_buf *text, struct sb_err *err);

/* A new version of a document, from what was submitted and what became of it. */
struct version_draft {
    struct doc_name name;
    const struct table *table;
    struct op_key op;
    uint64_t hlc;
    struct sb_span base_text; /* as it came */
    struct sb_span base;      /* the base document, for the stamps */
    struct sb_span submitted, result;
    int64_t sn;
    uint64_t seq;
};
/* Makes it after a->work->row, the document in force, and notes it in a->written. */
int document_make_version(struct apply *a, const struct version_draft *draft, uint64_t *version,
                          struct sb_err *err);

#endif
