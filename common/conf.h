#ifndef SB_CONF_H
#define SB_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "buf.h"
#include "err.h"

/* Configuration: an INI file (libinih), every key also SB_SECTION_KEY in the environment and
 * --set section.key=value; the later one wins: default, file, environment, --set. One sorted key
 * table drives parsing, checking, the sample and `config get`. */

enum sb_conf_type {
    SB_CONF_STRING,
    SB_CONF_PATH,
    SB_CONF_INT,
    SB_CONF_BOOL,
    SB_CONF_MS,
    SB_CONF_BYTES
};

struct sb_conf_key {
    const char *section;
    const char *key;
    enum sb_conf_type type;
    const char *fallback; /* default as text, "" = unset */
    int64_t min, max;     /* INT, MS (value in ms), BYTES; both 0 = any */
    bool secret_file;     /* a *_file key: the path may be set anywhere, never its contents */
    bool reloadable;
    const char *help; /* one line for the sample */
};

/* Durations: "500ms", "30s", "5m", "2h", "7d", a bare number = seconds. Bytes: "64M", "128K", "1G",
 * a bare number. Bools: yes/no, true/false, on/off, 1/0. Texts: UTF-8. A line has at most 4000
 * bytes; " ;" and " #" begin a comment. */

struct sb_conf;
struct sb_conf *sb_conf_new(const char *program, const struct sb_conf_key *keys, size_t count);
void sb_conf_free(struct sb_conf *conf);

/* Reads a file. An unknown section or key, a key given twice, a secret (see sb_conf_set) or a value
 * out of range is SB_ECONFIG with "file:line: ...; did you mean ...?". A missing file is
 * SB_ENOT_FOUND. After an error of any of these three the configuration is not to be used. */
int sb_conf_read_file(struct sb_conf *conf, const char *path, struct sb_err *err);
/* SB_* variables of this program's sections; unknown ones with a known section are errors. */
int sb_conf_read_environment(struct sb_conf *conf, char *const *environ_list, struct sb_err *err);
/* "section.key=value" of --set (SB_EUSAGE for another form); texts named *password*, *secret*,
 * *token* or *key without _file are refused here (they would show in the process list), as in the
 * file; only the environment sets them. */
int sb_conf_set(struct sb_conf *conf, const char *assignment, struct sb_err *err);

/* Values. The key must be in the table, and of that type (SB_CHECK). Strings are borrowed until the
 * next change; an unset one is "", an unset number 0. is_set: not empty, by default or otherwise.
 */
const char *sb_conf_str(const struct sb_conf *conf, const char *section, const char *key);
int64_t sb_conf_int(const struct sb_conf *conf, const char *section,
                    const char *key); /* MS in ms */
bool sb_conf_bool(const struct sb_conf *conf, const char *section, const char *key);
bool sb_conf_is_set(const struct sb_conf *conf, const char *section, const char *key);
/* Where it came from: "default", "/etc/sb/agent.conf:12", "SB_BROKER_URL", "--set". */
const char *sb_conf_origin(const struct sb_conf *conf, const char *section, const char *key);

/* `config sample`: the file with every key, its default and help, as comments. */
void sb_conf_sample(const struct sb_conf *conf, struct sb_buf *out);
/* `config get [SECTION.KEY]` as text (key = value  # origin) or as JSON. SB_ENOT_FOUND with the
 * nearest match. name NULL = all. JSON: {"section.key":{"value":...,"origin":"..."},...}, integers
 * and bools as such, all else as text. Secrets show as "(hidden)". */
int sb_conf_get(const struct sb_conf *conf, const char *name, bool json, struct sb_buf *out,
                struct sb_err *err);

#endif
