#ifndef SB_CONF_VALUE_H
#define SB_CONF_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "conf.h"
#include "err.h"

/* The text of one configuration value, checked and as a number (MS in ms, BOOL 0 or 1, texts 0).
 * Empty is "unset", allowed for texts and where the default is empty too. SB_ECONFIG says what is
 * wanted: "'5x' is not a duration (500ms, 30s, 5m, 2h, 7d)". */
int sb_conf_value_parse(const struct sb_conf_key *key, const char *text, int64_t *number,
                        struct sb_err *err);

/* "1s to 1h"; empty where there is no range (min and max both 0). */
void sb_conf_value_range(const struct sb_conf_key *key, char *out, size_t size);

/* A text whose name says that it is a secret: *password*, *secret*, *token* or *key, not *_file. */
bool sb_conf_value_is_secret(const struct sb_conf_key *key);

/* For messages: the text itself, or "(not ASCII)" where its bytes do not belong into one. */
const char *sb_conf_value_shown(const char *text);

#endif
