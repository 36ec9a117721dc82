#ifndef UNIT_GOLDEN_KIT_H
#define UNIT_GOLDEN_KIT_H

#include <stdbool.h>

#include "common/buf.h"

/* The worked examples of common/PROTOCOL.md: blocks that begin with "```json golden:<name>". */

#define GOLDEN_MAX 96

struct golden {
    char *page; /* the whole document */
    struct golden_example {
        char name[64];
        struct sb_span text;
        bool used; /* a test asked for it */
    } examples[GOLDEN_MAX];
    size_t count;
};
extern struct golden golden;

/* Of a group of tests. */
int golden_setup(void **state);
int golden_teardown(void **state);

/* One by its name; fails the test where there is none. */
struct sb_span golden_example(const char *name);

#endif
