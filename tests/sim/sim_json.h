#ifndef SIM_JSON_H
#define SIM_JSON_H

#include "common/json_scan.h"

/* What the checks know of documents: places by RFC 6901 pointers, and what differs where. Written
 * apart from the cores' merge, on purpose. An absent document is an empty span. */

/* Pointers, each once. Zero-initialised is empty. */
struct places {
    char **at;
    size_t count;
};
void sim_places_free(struct places *places);
void sim_places_add(struct places *places, const char *pointer);
void sim_places_add_all(struct places *places, const struct places *from);
bool sim_places_have(const struct places *places, const char *pointer);

bool sim_inside(const char *pointer, const char *outer);
bool sim_inside_any(const char *pointer, const struct places *outer);
/* Inside one of them, or around it. */
bool sim_related(const char *pointer, const struct places *places);

/* The value at a place; empty when there is none. */
struct sb_span sim_at(struct sb_span document, const char *pointer);
/* Appends the document with that place set, or removed by an empty value; what is on the way and no
 * object becomes one. Members keep their places, a new one comes last. */
void sim_set(struct sb_span document, const char *pointer, struct sb_span value,
             struct sb_buf *out);
/* Appends the object with its members the other way round. */
void sim_reversed(struct sb_span object, struct sb_buf *out);

bool sim_same(struct sb_span a, struct sb_span b);
/* Adds the places at which b differs from a; an array or a scalar is one place. */
void sim_changed(struct sb_span a, struct sb_span b, struct places *out);
/* Is what was set at a place there? In an object others may have added members. */
bool sim_holds(struct sb_span whole, struct sb_span part);
/* Adds the places that both sides changed, differently. */
void sim_undecided(struct sb_span base, struct sb_span local, struct sb_span server,
                   struct places *out);

#endif
