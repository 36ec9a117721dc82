/* The book: what each author meant, and what the cloud has made of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "sim_docs.h"

struct book *sim_book_new(void)
{
    return sb_xcalloc(1, sizeof(struct book));
}

static void meant_fini(struct meant *op)
{
    sb_buf_free(&op->before);
    sb_buf_free(&op->submitted);
    sim_places_free(&op->edited);
    free(op->roots);
}

void sim_book_free(struct book *book)
{
    if (book == NULL)
        return;
    for (size_t i = 0; i < book->count; i++)
        meant_fini(&book->ops[i]);
    for (size_t user = 0; user < DOCS_USERS; user++) {
        sim_book_truncate(book, user, 0);
        free(book->lines[user].at);
    }
    for (size_t i = 0; i < book->tag_count; i++)
        sb_buf_free(&book->tags[i].result);
    for (size_t i = 0; i < SIM_EDGES; i++)
        for (size_t doc = 0; doc < DOCS_MAX; doc++)
            sb_buf_free(&book->shown[i][doc]);
    free(book->ops);
    free(book->tags);
    free(book);
}

struct meant *sim_book_find(const struct book *book, struct sb_span op_id)
{
    for (size_t i = book->count; i > 0; i--)
        if (sb_span_is(op_id, book->ops[i - 1].id))
            return &book->ops[i - 1];
    return NULL;
}

struct meant *sim_book_add(struct book *book, struct sb_span op_id)
{
    struct meant *op;

    book->ops = sb_xgrow(book->ops, book->count, sizeof(*book->ops));
    op = &book->ops[book->count++];
    *op = (struct meant){.fate = FATE_PENDING};
    SB_CHECK(op_id.len <= SB_ID_MAX);
    memcpy(op->id, op_id.data, op_id.len);
    return op;
}

const struct version *sim_book_before(const struct world *world, size_t doc, uint64_t below)
{
    const struct timeline *line = &world->book->lines[sim_docs_user_of(world, doc)];
    size_t i = below - 1 < line->count ? below - 1 : line->count;

    for (; i > 0; i--)
        if (line->at[i - 1].doc == doc)
            return &line->at[i - 1];
    return NULL;
}

bool sim_book_tag(const struct book *book, const char *tag, struct sb_span *result)
{
    for (size_t i = book->tag_count; i > 0; i--)
        if (strcmp(book->tags[i - 1].tag, tag) == 0) {
            *result = sb_buf_span(&book->tags[i - 1].result);
            return true;
        }
    return false;
}

void sim_book_version(struct book *book, size_t user, const struct meant *op,
                      const struct cloud_version *made, struct sb_span result)
{
    struct timeline *line = &book->lines[user];
    struct version *version;
    struct known_tag *known;

    line->at = sb_xgrow(line->at, line->count, sizeof(*line->at));
    version = &line->at[line->count++];
    *version = (struct version){.op = (size_t)(op - book->ops), .doc = made->doc};
    snprintf(version->tag, sizeof(version->tag), SB_SPAN_FMT, SB_SPAN_ARG(made->tag));
    sb_buf_add_span(&version->result, result);
    book->tags = sb_xgrow(book->tags, book->tag_count, sizeof(*book->tags));
    known = &book->tags[book->tag_count++];
    *known = (struct known_tag){.result = {0}};
    memcpy(known->tag, version->tag, sizeof(known->tag));
    sb_buf_add_span(&known->result, result);
}

void sim_book_truncate(struct book *book, size_t user, size_t count)
{
    struct timeline *line = &book->lines[user];

    while (line->count > count)
        sb_buf_free(&line->at[--line->count].result);
}

struct sb_span sim_book_base(const struct book *book, const struct meant *op)
{
    const struct meant *base;
    struct sb_span result = SB_SPAN("");

    if (op->base_op[0] != '\0') {
        base = sim_book_find(book, sb_span_of(op->base_op));
        return base != NULL ? sb_buf_span(&base->submitted) : result;
    }
    if (op->base_tag[0] != '\0')
        sim_book_tag(book, op->base_tag, &result);
    return result;
}
