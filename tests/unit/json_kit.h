#ifndef UNIT_JSON_KIT_H
#define UNIT_JSON_KIT_H

#include <cjson/cJSON.h>

#include "common/json_scan.h"
#include "common/rng.h"

/* What several tests of the codecs share: a slow second opinion on JSON by cJSON, and a source of
 * random texts. */

/* Is what the scanner reads of checked text the same as cJSON's tree? */
bool kit_same_as_tree(struct sb_span value, const cJSON *tree);

/* A number that cJSON cannot take (more than 63 characters) anywhere in the checked value? */
bool kit_has_long_number(struct sb_span value);

/* Appends a random value, valid by our rules, with random white space and escapes. */
void kit_random_value(struct sb_rng *rng, unsigned depth, struct sb_buf *out);
void kit_random_number(struct sb_rng *rng, struct sb_buf *out);
void kit_random_string(struct sb_rng *rng, struct sb_buf *out);
void kit_random_space(struct sb_rng *rng, struct sb_buf *out);

/* The same value in another text: other white space, other escapes, members in another order. */
void kit_rewrite(struct sb_rng *rng, struct sb_span value, struct sb_buf *out);

/* Changes one byte or cuts or doubles a piece. */
void kit_mutate(struct sb_rng *rng, struct sb_buf *text);

#endif
