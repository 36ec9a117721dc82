#ifndef SB_LOG_H
#define SB_LOG_H

#include <stdbool.h>

#include "err.h"

enum sb_log_level { SB_LOG_BUG, SB_LOG_ERROR, SB_LOG_WARN, SB_LOG_INFO, SB_LOG_DEBUG };

/* One line per event on standard error: "<time> <level> <program>: text key=value ...". Under
 * systemd ($JOURNAL_STREAM) the time is left out and "<N>" precedes the line. Control characters in
 * the text are escaped. Never log payloads, documents or keys. Safe from every thread; the level is
 * set once at start. `json` prints one object a line instead. */
void sb_log_init(const char *program, enum sb_log_level level, bool json);
bool sb_log_level_parse(const char *name, enum sb_log_level *level);

void sb_log(enum sb_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_bug(...)   sb_log(SB_LOG_BUG, __VA_ARGS__)
#define log_error(...) sb_log(SB_LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  sb_log(SB_LOG_WARN, __VA_ARGS__)
#define log_info(...)  sb_log(SB_LOG_INFO, __VA_ARGS__)
#define log_debug(...) sb_log(SB_LOG_DEBUG, __VA_ARGS__)

/* "<what>: <message> code=<name>" at the level of the code's class (retry: warn, else error). */
void sb_log_err(const char *what, const struct sb_err *err);

#endif
