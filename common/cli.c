#include "cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "check.h"
#include "conf_value.h"
#include "json_put.h"
#include "nearest.h"

#define SETS_MAX 64

/* What getopt_long returns for options without a letter: these, then SB_CLI_OPTIONS_MAX own ones.
 */
enum { OPT_CONFIG = 256, OPT_SET, OPT_JSON, OPT_OWN };

struct given {
    bool given;
    const char *text;
    int64_t number;
};

struct sb_cli {
    const struct sb_cli_program *program;
    const struct sb_cli_verb *verb; /* NULL: not found yet */
    struct sb_conf *conf;
    const char *config_file;
    const char *sets[SETS_MAX];
    size_t set_count;
    bool json, help, version;
    struct given own[SB_CLI_OPTIONS_MAX];
    const char **args;
    size_t arg_count;
};

/* ---- messages ---- */

static void say(const struct sb_cli *cli, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

static void say(const struct sb_cli *cli, const char *fmt, va_list ap)
{
    fprintf(stderr, "%s: ", cli->program->name);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
}

void sb_cli_note(const struct sb_cli *cli, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(cli, fmt, ap);
    va_end(ap);
}

int sb_cli_fail(const struct sb_cli *cli, const struct sb_err *err)
{
    sb_cli_note(cli, "%s [%s]", err->msg, sb_code_name(err->code));
    return sb_exit_status(err->code);
}

int sb_cli_usage(const struct sb_cli *cli, const char *fmt, ...)
{
    const struct sb_cli_verb *verb = cli->verb;
    va_list ap;

    va_start(ap, fmt);
    say(cli, fmt, ap);
    va_end(ap);
    fprintf(stderr, "try: %s %s%s--help\n", cli->program->name, verb != NULL ? verb->name : "",
            verb != NULL ? " " : "");
    return sb_exit_status(SB_EUSAGE);
}

void sb_cli_print(struct sb_buf *out)
{
    if (out->len > 0)
        fwrite(out->data, 1, out->len, stdout);
    sb_buf_clear(out);
}

/* ---- help ---- */

static void print_options(const struct sb_cli_option *options)
{
    char left[64];

    for (; options != NULL && options->name != NULL; options++) {
        snprintf(left, sizeof(left), "--%s%s%s", options->name, options->value != NULL ? " " : "",
                 options->value != NULL ? options->value : "");
        printf("  %-28s %s\n", left, options->help);
    }
}

static const struct sb_cli_option common_options[] = {
    {.name = "config", .value = "FILE", .help = "read this configuration file alone"},
    {.name = "set", .value = "SECTION.KEY=VALUE", .help = "set one value; may be repeated"},
    {.name = "help", .help = "this text (-h)"},
    {0}};

static void print_verb_help(const struct sb_cli *cli)
{
    const struct sb_cli_verb *verb = cli->verb;
    const struct sb_cli_option *option;

    printf("usage: %s %s", cli->program->name, verb->name);
    for (option = verb->options; option != NULL && option->name != NULL; option++)
        if (option->required)
            printf(" --%s %s", option->name, option->value);
    printf(" [options]%s%s\n\n%c%s\n", verb->arguments[0] != '\0' ? " " : "", verb->arguments,
           verb->summary[0] & ~0x20, verb->summary + 1);
    if (verb->help != NULL)
        printf("\n%s", verb->help);
    printf("\noptions:\n");
    print_options(verb->options);
    if (verb->json)
        printf("  %-28s %s\n", "--json", "print JSON");
    print_options(common_options);
}

static void print_help(const struct sb_cli_program *program)
{
    printf("usage: %s [options] VERB [options] [arguments]\n\n%s\nverbs:\n", program->name,
           program->summary);
    for (size_t i = 0; i < program->verb_count; i++)
        printf("  %-18s %s\n", program->verbs[i].name, program->verbs[i].summary);
    printf("\noptions:\n");
    print_options(common_options);
    printf("  %-28s %s\n", "--version", "print the version (-V)");
    if (program->footer != NULL)
        printf("\n%s", program->footer);
}

/* ---- verbs ---- */

/* Does the verb's name have these words? count: 1 or 2. */
static bool is_verb(const struct sb_cli_verb *verb, char *const *words, int count)
{
    size_t first = strlen(words[0]);

    if (count == 1)
        return strcmp(verb->name, words[0]) == 0;
    return strncmp(verb->name, words[0], first) == 0 && verb->name[first] == ' ' &&
           strcmp(verb->name + first + 1, words[1]) == 0;
}

static const struct sb_cli_verb *find_verb(const struct sb_cli_program *program, char *const *words,
                                           int count, int *used)
{
    for (*used = count < 2 ? count : 2; *used > 0; (*used)--)
        for (size_t i = 0; i < program->verb_count; i++)
            if (is_verb(&program->verbs[i], words, *used))
                return &program->verbs[i];
    return NULL;
}

/* "device" alone: what may follow. */
static bool list_second_words(const struct sb_cli_program *program, const char *first,
                              struct sb_buf *out)
{
    size_t len = strlen(first);

    for (size_t i = 0; i < program->verb_count; i++) {
        const char *name = program->verbs[i].name;

        if (strncmp(name, first, len) == 0 && name[len] == ' ')
            sb_buf_add_fmt(out, "%s%s", out->len > 0 ? ", " : "", name + len + 1);
    }
    return out->len > 0;
}

static int fail_verb(const struct sb_cli *cli, char *const *words)
{
    const char *best = NULL;
    size_t least = SIZE_MAX;
    struct sb_buf seconds = {0};
    int status;

    if (list_second_words(cli->program, words[0], &seconds)) {
        status = sb_cli_usage(cli, "%.40s: one of %s is wanted", words[0], seconds.data);
        sb_buf_free(&seconds);
        return status;
    }
    for (size_t i = 0; i < cli->program->verb_count; i++) {
        size_t distance = sb_edit_distance(words[0], cli->program->verbs[i].name);

        if (distance < least) {
            least = distance;
            best = cli->program->verbs[i].name;
        }
    }
    if (best == NULL || !sb_is_near(words[0], least))
        return sb_cli_usage(cli, "unknown verb '%.40s'", words[0]);
    return sb_cli_usage(cli, "unknown verb '%.40s'; did you mean '%s'?", words[0], best);
}

/* ---- options ---- */

static const struct sb_cli_option *own_options(const struct sb_cli *cli)
{
    static const struct sb_cli_option none[] = {{0}};

    return cli->verb != NULL && cli->verb->options != NULL ? cli->verb->options : none;
}

/* The verb's own go first: the first name that is equal counts (a --version of its own). */
static void list_long(const struct sb_cli *cli, struct option *out)
{
    const struct sb_cli_option *own = own_options(cli);
    size_t n = 0;

    for (int i = 0; own[i].name != NULL; i++) {
        SB_CHECK(i < SB_CLI_OPTIONS_MAX);
        out[n++] = (struct option){own[i].name,
                                   own[i].kind == SB_CLI_FLAG ? no_argument : required_argument,
                                   NULL, OPT_OWN + i};
    }
    out[n++] = (struct option){"config", required_argument, NULL, OPT_CONFIG};
    out[n++] = (struct option){"set", required_argument, NULL, OPT_SET};
    out[n++] = (struct option){"help", no_argument, NULL, 'h'};
    out[n++] = (struct option){"version", no_argument, NULL, 'V'};
    if (cli->verb != NULL && cli->verb->json)
        out[n++] = (struct option){"json", no_argument, NULL, OPT_JSON};
    out[n] = (struct option){0};
}

static int fail_option(const struct sb_cli *cli, const struct option *options, const char *typed)
{
    const char *best = NULL;
    size_t least = SIZE_MAX, len = strcspn(typed, "=");
    char name[64];

    if (strncmp(typed, "--", 2) == 0) {
        snprintf(name, sizeof(name), "%.*s", (int)(len - 2), typed + 2);
        for (; options->name != NULL; options++) {
            size_t distance = sb_edit_distance(name, options->name);

            if (distance < least) {
                least = distance;
                best = options->name;
            }
        }
    }
    if (best == NULL || !sb_is_near(name, least))
        return sb_cli_usage(cli, "unknown option '%.*s'", (int)(len < 60 ? len : 60), typed);
    if (least == 0)
        return sb_cli_usage(cli, "--%s takes no value", best);
    return sb_cli_usage(cli, "unknown option '%.*s'; did you mean '--%s'?",
                        (int)(len < 60 ? len : 60), typed, best);
}

static bool parse_number(const char *text, int64_t *out)
{
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0';
}

static int take_own(struct sb_cli *cli, int i, const char *text)
{
    const struct sb_cli_option *option = &own_options(cli)[i];
    struct given *given = &cli->own[i];
    struct sb_err err;

    *given = (struct given){.given = true, .text = text};
    switch (option->kind) {
    case SB_CLI_FLAG:
    case SB_CLI_TEXT:
        break;
    case SB_CLI_NUMBER:
        if (!parse_number(text, &given->number))
            return sb_cli_usage(cli, "--%s '%.40s': a number from 0 is wanted", option->name, text);
        break;
    case SB_CLI_DURATION:
        if (text[0] == '\0' || sb_conf_value_parse(&(struct sb_conf_key){.type = SB_CONF_MS}, text,
                                                   &given->number, &err) != 0)
            return sb_cli_usage(cli, "--%s '%.40s': a time is wanted (500ms, 30s, 5m)",
                                option->name, text);
        break;
    }
    return 0;
}

static int take_option(struct sb_cli *cli, int code)
{
    switch (code) {
    case 1:
        cli->args[cli->arg_count++] = optarg;
        return 0;
    case 'h':
        cli->help = true;
        return 0;
    case 'V':
        cli->version = true;
        return 0;
    case OPT_CONFIG:
        cli->config_file = optarg;
        return 0;
    case OPT_SET:
        if (cli->set_count == SETS_MAX)
            return sb_cli_usage(cli, "more than %d times --set", SETS_MAX);
        cli->sets[cli->set_count++] = optarg;
        return 0;
    case OPT_JSON:
        cli->json = true;
        return 0;
    default:
        return take_own(cli, code - OPT_OWN, optarg);
    }
}

/* Options of argv[1..]; first_only stops at the first word that is none, whose index it returns in
 * *next. */
static int parse_options(struct sb_cli *cli, int argc, char **argv, bool first_only, int *next)
{
    struct option options[SB_CLI_OPTIONS_MAX + 6];
    int code, status;

    list_long(cli, options);
    optind = 0;
    opterr = 0;
    while ((code = getopt_long(argc, argv, first_only ? "+:hV" : "-:hV", options, NULL)) != -1) {
        if (code == ':')
            return sb_cli_usage(cli, "%.60s: its value is missing", argv[optind - 1]);
        if (code == '?')
            return fail_option(cli, options, argv[optind - 1]);
        status = take_option(cli, code);
        if (status != 0)
            return status;
    }
    *next = optind;
    return 0;
}

static int parse_verb(struct sb_cli *cli, int argc, char **argv)
{
    int next, status = parse_options(cli, argc, argv, false, &next);

    if (status != 0 || cli->help || cli->version)
        return status;
    for (; next < argc; next++) /* what follows "--" */
        cli->args[cli->arg_count++] = argv[next];
    for (size_t i = 0; own_options(cli)[i].name != NULL; i++)
        if (own_options(cli)[i].required && !cli->own[i].given)
            return sb_cli_usage(cli, "--%s is needed", own_options(cli)[i].name);
    if (cli->arg_count < cli->verb->min_args)
        return sb_cli_usage(cli, "missing argument; wanted: %s", cli->verb->arguments);
    if (cli->arg_count > cli->verb->max_args)
        return sb_cli_usage(cli, "unexpected argument '%.60s'", cli->args[cli->verb->max_args]);
    return 0;
}

/* ---- running ---- */

int sb_cli_reload(const struct sb_cli *cli, struct sb_conf **out, struct sb_err *err)
{
    struct sb_conf *conf = cli->program->conf_new();
    int rc = cli->program->conf_load(conf, cli->config_file, environ, err);

    for (size_t i = 0; rc == 0 && i < cli->set_count; i++)
        rc = sb_conf_set(conf, cli->sets[i], err);
    if (rc != 0) {
        sb_conf_free(conf);
        return rc;
    }
    *out = conf;
    return 0;
}

static int load_config(struct sb_cli *cli)
{
    struct sb_err err;

    if (cli->verb->no_config)
        cli->conf = cli->program->conf_new();
    else if (sb_cli_reload(cli, &cli->conf, &err) != 0)
        return sb_cli_fail(cli, &err);
    return 0;
}

/* Output that was lost, on a full disk for one, is a failure. */
static int finish(const struct sb_cli *cli, int status)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    sb_cli_note(cli, "standard output: %s",
                errno != 0 ? strerror(errno) : "not everything could be written");
    return status == 0 ? 1 : status;
}

static int run(struct sb_cli *cli, int argc, char **argv)
{
    int next, used, status = parse_options(cli, argc, argv, true, &next);

    if (status != 0)
        return status;
    if (next < argc && strcmp(argv[next], "help") == 0) {
        cli->help = true;
        next++;
    }
    if (next < argc) {
        cli->verb = find_verb(cli->program, argv + next, argc - next, &used);
        if (cli->verb == NULL)
            return fail_verb(cli, argv + next);
        next += used - 1;
        status = parse_verb(cli, argc - next, argv + next);
        if (status != 0)
            return status;
    }
    if (cli->version) {
        printf("%s %s\n", cli->program->name, SB_VERSION);
        return 0;
    }
    if (cli->help && cli->verb != NULL)
        print_verb_help(cli);
    else if (cli->help)
        print_help(cli->program);
    else if (cli->verb == NULL)
        return sb_cli_usage(cli, "a verb is needed");
    else if ((status = load_config(cli)) == 0)
        status = cli->verb->run(cli);
    return status;
}

int sb_cli_main(const struct sb_cli_program *program, int argc, char **argv)
{
    struct sb_cli cli = {.program = program};
    int status;

    cli.args = sb_xcalloc((size_t)argc + 1, sizeof(*cli.args));
    status = finish(&cli, run(&cli, argc, argv));
    sb_conf_free(cli.conf);
    free(cli.args);
    return status;
}

/* ---- inside a verb ---- */

const struct sb_cli_program *sb_cli_program(const struct sb_cli *cli)
{
    return cli->program;
}

struct sb_conf *sb_cli_conf(struct sb_cli *cli)
{
    return cli->conf;
}

size_t sb_cli_arg_count(const struct sb_cli *cli)
{
    return cli->arg_count;
}

const char *sb_cli_arg(const struct sb_cli *cli, size_t i)
{
    return i < cli->arg_count ? cli->args[i] : NULL;
}

static const struct given *own(const struct sb_cli *cli, const char *name)
{
    const struct sb_cli_option *options = own_options(cli);
    size_t i = 0;

    while (options[i].name != NULL && strcmp(options[i].name, name) != 0)
        i++;
    SB_CHECK(options[i].name != NULL);
    return &cli->own[i];
}

bool sb_cli_given(const struct sb_cli *cli, const char *option)
{
    return own(cli, option)->given;
}

const char *sb_cli_text(const struct sb_cli *cli, const char *option)
{
    return own(cli, option)->text;
}

int64_t sb_cli_number(const struct sb_cli *cli, const char *option, int64_t fallback)
{
    const struct given *given = own(cli, option);

    return given->given ? given->number : fallback;
}

bool sb_cli_json(const struct sb_cli *cli)
{
    return cli->json;
}

bool sb_cli_colour(const struct sb_cli *cli)
{
    const char *none = getenv("NO_COLOR"), *term = getenv("TERM");

    (void)cli;
    return (none == NULL || none[0] == '\0') && term != NULL && strcmp(term, "dumb") != 0 &&
           isatty(STDOUT_FILENO);
}

/* ---- config ---- */

int sb_cli_config_sample(struct sb_cli *cli)
{
    struct sb_buf out = {0};

    sb_conf_sample(cli->conf, &out);
    sb_cli_print(&out);
    sb_buf_free(&out);
    return 0;
}

int sb_cli_config_check(struct sb_cli *cli)
{
    struct sb_buf out = {0};
    struct sb_err err;
    int rc = cli->program->conf_check(cli->conf, &err);

    if (cli->json) {
        sb_put_open(&out, NULL, '{');
        sb_put_bool(&out, "success", rc == 0);
        if (rc != 0) {
            sb_put_text(&out, "code", sb_code_name(err.code));
            sb_put_text(&out, "reason", err.msg);
        }
        sb_put_close(&out, '}');
        sb_buf_add_char(&out, '\n');
    } else if (rc == 0) {
        sb_buf_add_str(&out, "the configuration is good\n");
    }
    sb_cli_print(&out);
    sb_buf_free(&out);
    return rc == 0 ? 0 : sb_cli_fail(cli, &err);
}

int sb_cli_config_get(struct sb_cli *cli)
{
    struct sb_buf out = {0};
    struct sb_err err;
    int rc = sb_conf_get(cli->conf, sb_cli_arg(cli, 0), cli->json, &out, &err);

    sb_cli_print(&out);
    sb_buf_free(&out);
    return rc == 0 ? 0 : sb_cli_fail(cli, &err);
}
