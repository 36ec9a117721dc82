#ifndef SB_NEAREST_H
#define SB_NEAREST_H

#include <stddef.h>

/* "did you mean ...?" */

/* How many insertions, removals, changes and swaps of neighbours turn one text into the other,
 * without regard to case. Texts over 64 bytes are not compared: the result is SIZE_MAX. */
size_t sb_edit_distance(const char *a, const char *b);

/* Whether a mistyped text at that distance may be meant: up to 2, or a third of its length. */
int sb_is_near(const char *typed, size_t distance);

#endif
