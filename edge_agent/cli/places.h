#ifndef EDGE_CLI_PLACES_H
#define EDGE_CLI_PLACES_H

#include "edge_agent/cli/agent_cli.h"

/* Documents side by side, place by place. */

struct places_column {
    const char *head;
    struct sb_span document; /* checked JSON, "" = absent */
};

#define PLACES_COLUMNS_MAX 3
#define PLACES_CELL        60 /* characters of a value that are shown; the rest is "..." */

/* Prints the places where the last two columns differ, each with the values of all columns; marked
 * with '*' where `undecided` (an array of JSON pointers, or "") has them. Says so when there are
 * none. */
void places_print(const struct sb_cli *cli, const struct places_column *columns, size_t count,
                  struct sb_span undecided);

/* Appends [{"pointer":…,"<head>":…,…}] of the same places; a column is left out of an object where
 * there is nothing at that place. Returns how many. */
size_t places_put(const struct places_column *columns, size_t count, const char *key,
                  struct sb_buf *out);

#endif
