#ifndef SB_CLI_H
#define SB_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include "conf.h"
#include "err.h"

/* The command lines of both programs: `program [options] verb [options] [arguments]`. A table of
 * verbs drives parsing, the help and the exit statuses. Results go to standard output, everything
 * else to standard error. */

enum sb_cli_kind {
    SB_CLI_FLAG,
    SB_CLI_TEXT,
    SB_CLI_NUMBER,  /* 0 to 2^63 - 1 */
    SB_CLI_DURATION /* as in the configuration: "500ms", "30s", a bare number = seconds */
};

struct sb_cli_option {
    const char *name; /* "user" for --user; NULL ends a list */
    enum sb_cli_kind kind;
    bool required;
    const char *value; /* "USER" in the help; NULL of a flag */
    const char *help;  /* one line */
};

#define SB_CLI_OPTIONS_MAX 16
#define SB_CLI_ANY         ((unsigned)-1) /* of max_args */

struct sb_cli;

struct sb_cli_verb {
    const char *name;      /* "readings", "device grant" */
    const char *arguments; /* "DEVICE USER" in the usage line, "" without */
    unsigned min_args, max_args;
    bool json;           /* takes --json */
    bool no_config;      /* runs without reading the configuration */
    const char *summary; /* one line */
    const char *help;    /* further paragraphs, examples; lines end with \n; NULL without */
    const struct sb_cli_option *options; /* NULL without */
    int (*run)(struct sb_cli *cli);      /* returns the exit status */
};

struct sb_cli_program {
    const char *name;
    const char *summary; /* first lines of the help */
    const char *footer;  /* its last lines: files, exit statuses; NULL without */
    const struct sb_cli_verb *verbs;
    size_t verb_count;
    struct sb_conf *(*conf_new)(void);
    /* file: of --config, else NULL */
    int (*conf_load)(struct sb_conf *conf, const char *file, char *const *environ_list,
                     struct sb_err *err);
    /* `config check` beyond what loading checks */
    int (*conf_check)(const struct sb_conf *conf, struct sb_err *err);
};

/* Runs one command line; returns the exit status. Also --help, --version, --config FILE,
 * --set section.key=value, `help [VERB]`, -h, -V. */
int sb_cli_main(const struct sb_cli_program *program, int argc, char **argv);

/* ---- inside a verb ---- */

const struct sb_cli_program *sb_cli_program(const struct sb_cli *cli);
struct sb_conf *sb_cli_conf(struct sb_cli *cli);
/* Reads the configuration once more, as at the start (SIGHUP). The caller frees *out. */
int sb_cli_reload(const struct sb_cli *cli, struct sb_conf **out, struct sb_err *err);

size_t sb_cli_arg_count(const struct sb_cli *cli);
const char *sb_cli_arg(const struct sb_cli *cli, size_t i); /* NULL beyond the last */

/* The option must be in the verb's list (SB_CHECK). */
bool sb_cli_given(const struct sb_cli *cli, const char *option);
const char *sb_cli_text(const struct sb_cli *cli, const char *option); /* NULL when not given */
int64_t sb_cli_number(const struct sb_cli *cli, const char *option, int64_t fallback);
bool sb_cli_json(const struct sb_cli *cli);

/* Standard output is a terminal that shows colour and nobody asked for none (NO_COLOR). */
bool sb_cli_colour(const struct sb_cli *cli);

/* "program: message [code]" on standard error; returns the exit status of the code. */
int sb_cli_fail(const struct sb_cli *cli, const struct sb_err *err);
/* Likewise with a pointer to the help; returns 2. */
int sb_cli_usage(const struct sb_cli *cli, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* "program: text" on standard error. */
void sb_cli_note(const struct sb_cli *cli, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Asks the daemon: one JSON object each way. The error where the answer is {"success":false,
 * "code":…,"reason":…} is that one; SB_ENOT_RUNNING "<program> run is not running". */
int sb_cli_ask(const struct sb_cli *cli, const char *socket, struct sb_span request, int timeout_ms,
               struct sb_buf *answer, struct sb_err *err);

/* Writes to standard output and clears the buffer. */
void sb_cli_print(struct sb_buf *out);

/* ---- the verbs config sample|check|get, for the table of verbs ---- */

int sb_cli_config_sample(struct sb_cli *cli);
int sb_cli_config_check(struct sb_cli *cli);
int sb_cli_config_get(struct sb_cli *cli);

/* clang-format off */
#define SB_CLI_CONFIG_VERBS                                                                        \
    {.name = "config sample", .arguments = "", .no_config = true,                                  \
     .summary = "print a configuration file with every key, its default and what it does",         \
     .run = sb_cli_config_sample},                                                                 \
    {.name = "config check", .arguments = "", .json = true,                                        \
     .summary = "check the configuration and the files it names", .run = sb_cli_config_check},     \
    {.name = "config get", .arguments = "[SECTION.KEY]", .max_args = 1, .json = true,              \
     .summary = "print values and where they come from", .run = sb_cli_config_get}
/* clang-format on */

#endif
