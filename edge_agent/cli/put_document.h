#ifndef EDGE_CLI_PUT_DOCUMENT_H
#define EDGE_CLI_PUT_DOCUMENT_H

#include "edge_agent/cli/put_input.h"
#include "edge_agent/record_names.h"

/* What `settings put`, `records put` and `records delete` put: documents. */
struct put_document {
    struct document_name name; /* of the document at hand */
    const char *user, *table;  /* of all lines */
    bool cloud_names;
    enum document_operation operation;
    struct record_names *names; /* freed by put_document_fini */
    struct sb_buf renamed;
};
void put_document_fini(struct put_document *document);

/* The kind whose `own` is a put_document. A line names its document by its member "id". */
extern const struct put_kind put_document_kind;

/* Names the document by its member "id"; *record is the checked object. */
int put_document_by_member(struct put_document *document, struct sb_span text,
                           struct sb_span *record, struct sb_err *err);

#endif
