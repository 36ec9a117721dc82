#include "conf.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "conf_value.h"
#include "json_scan.h"
#include "nearest.h"

#define MAX_LINE      4096
#define CONF_NAME_MAX 160 /* "section.key" and SB_SECTION_KEY */

enum rank { FROM_DEFAULT, FROM_FILE, FROM_ENVIRONMENT, FROM_SET };

struct value {
    char *text;
    int64_t number;
    enum rank rank;
    char *origin;
};

struct sb_conf {
    const char *program;
    const struct sb_conf_key *keys;
    size_t count;
    struct value *values; /* one a key */
};

/* ---- names ---- */

static void dotted_name(const struct sb_conf_key *key, char out[CONF_NAME_MAX])
{
    snprintf(out, CONF_NAME_MAX, "%s.%s", key->section, key->key);
}

static void variable_name(const struct sb_conf_key *key, char out[CONF_NAME_MAX])
{
    snprintf(out, CONF_NAME_MAX, "SB_%s_%s", key->section, key->key);
    for (char *at = out; *at != '\0'; at++)
        *at = isalnum((unsigned char)*at) ? (char)toupper((unsigned char)*at) : '_';
}

typedef void (*name_fn)(const struct sb_conf_key *key, char out[CONF_NAME_MAX]);

/* The key of that name, or -1. */
static ssize_t find(const struct sb_conf *conf, const char *name, name_fn name_of)
{
    char own[CONF_NAME_MAX];

    for (size_t i = 0; i < conf->count; i++) {
        name_of(&conf->keys[i], own);
        if (strcmp(own, name) == 0)
            return (ssize_t)i;
    }
    return -1;
}

static size_t index_of(const struct sb_conf *conf, const char *section, const char *key)
{
    for (size_t i = 0; i < conf->count; i++)
        if (strcmp(conf->keys[i].section, section) == 0 && strcmp(conf->keys[i].key, key) == 0)
            return i;
    SB_CHECK(!"a key of the table");
    return 0;
}

static bool is_section(const struct sb_conf *conf, const char *name)
{
    for (size_t i = 0; i < conf->count; i++)
        if (strcmp(conf->keys[i].section, name) == 0)
            return true;
    return false;
}

/* The same key of another section is nearer than any misspelling. */
static size_t distance_to(const struct sb_conf_key *key, const char *typed, name_fn name_of)
{
    const char *dot = strrchr(typed, '.');
    char own[CONF_NAME_MAX];

    if (dot != NULL && strcmp(dot + 1, key->key) == 0)
        return 0;
    name_of(key, own);
    return sb_edit_distance(typed, own);
}

static int fail_unknown(const struct sb_conf *conf, enum sb_code code, const char *typed,
                        name_fn name_of, struct sb_err *err)
{
    size_t best = SIZE_MAX;
    char name[CONF_NAME_MAX];

    for (size_t i = 0; i < conf->count; i++) {
        size_t distance = distance_to(&conf->keys[i], typed, name_of);

        if (distance < best) {
            best = distance;
            name_of(&conf->keys[i], name);
        }
    }
    typed = sb_conf_value_shown(typed);
    if (best == SIZE_MAX || !sb_is_near(typed, best))
        return sb_fail(err, code, "unknown key '%.100s'", typed);
    return sb_fail(err, code, "unknown key '%.64s'; did you mean '%s'?", typed, name);
}

static int fail_unknown_section(const struct sb_conf *conf, const char *typed, struct sb_err *err)
{
    const char *best = NULL;
    size_t best_distance = SIZE_MAX;

    for (size_t i = 0; i < conf->count; i++) {
        size_t distance = sb_edit_distance(typed, conf->keys[i].section);

        if (distance < best_distance) {
            best_distance = distance;
            best = conf->keys[i].section;
        }
    }
    typed = sb_conf_value_shown(typed);
    if (best == NULL || !sb_is_near(typed, best_distance))
        return sb_fail(err, SB_ECONFIG, "unknown section [%.64s]", typed);
    return sb_fail(err, SB_ECONFIG, "unknown section [%.64s]; did you mean [%s]?", typed, best);
}

/* ---- values ---- */

static void replace(struct value *value, const char *text, int64_t number, enum rank rank,
                    const char *origin)
{
    free(value->text);
    free(value->origin);
    *value = (struct value){sb_xstrdup(text), number, rank, sb_xstrdup(origin)};
}

/* Checks the value even where one of a higher rank is in force. */
static int assign(struct sb_conf *conf, size_t i, const char *text, enum rank rank,
                  const char *origin, struct sb_err *err)
{
    int64_t number;
    int rc = sb_conf_value_parse(&conf->keys[i], text, &number, err);

    if (rc == 0 && rank >= conf->values[i].rank)
        replace(&conf->values[i], text, number, rank, origin);
    return rc;
}

struct sb_conf *sb_conf_new(const char *program, const struct sb_conf_key *keys, size_t count)
{
    struct sb_conf *conf = sb_xcalloc(1, sizeof(*conf));

    conf->program = program;
    conf->keys = keys;
    conf->count = count;
    conf->values = sb_xcalloc(count, sizeof(*conf->values));
    for (size_t i = 0; i < count; i++)
        SB_CHECK(assign(conf, i, keys[i].fallback, FROM_DEFAULT, "default", NULL) == 0);
    return conf;
}

void sb_conf_free(struct sb_conf *conf)
{
    if (conf == NULL)
        return;
    for (size_t i = 0; i < conf->count; i++) {
        free(conf->values[i].text);
        free(conf->values[i].origin);
    }
    free(conf->values);
    free(conf);
}

/* ---- the file ---- */

struct reader {
    struct sb_conf *conf;
    const char *path;
    FILE *file;
    int line;
    int *given; /* the line on which a key was given before */
    int rc;
    struct sb_err *err;
};

/* What inih's settings were before: they belong to the process, which may use inih itself. */
struct dialect {
    bool multiline, use_stack, stop;
    int max_line, initial_alloc;
    char *comment_prefixes;
};

static struct dialect use_dialect(struct dialect dialect)
{
    struct dialect before = {ini_allow_multiline, ini_use_stack,     ini_stop_on_first_error,
                             ini_max_line,        ini_initial_alloc, ini_inline_comment_prefixes};

    ini_allow_multiline = dialect.multiline;
    ini_use_stack = dialect.use_stack;
    ini_stop_on_first_error = dialect.stop;
    ini_max_line = dialect.max_line;
    ini_initial_alloc = dialect.initial_alloc;
    ini_inline_comment_prefixes = dialect.comment_prefixes;
    return before;
}

static void prefix_place(struct reader *reader)
{
    sb_err_prefix(reader->err, "%s:%d", reader->path, reader->line);
}

/* inih tells of a section only with its first key; an empty one that is misspelled is found here.
 */
static int check_heading(struct reader *reader, const char *line)
{
    char name[CONF_NAME_MAX];
    const char *end;

    if (reader->line == 1 && strncmp(line, "\xef\xbb\xbf", 3) == 0)
        line += 3;
    line += strspn(line, " \t");
    end = strchr(line, ']');
    if (*line != '[' || end == NULL)
        return 0;
    snprintf(name, sizeof(name), "%.*s", (int)(end - line - 1), line + 1);
    if (is_section(reader->conf, name))
        return 0;
    return fail_unknown_section(reader->conf, name, reader->err);
}

/* One line with its end, as fgets; lines that inih would split or cut are errors. */
static char *read_line(char *out, int size, void *stream)
{
    struct reader *reader = stream;
    int len = 0, c = EOF;

    if (reader->rc != 0)
        return NULL;
    reader->line++;
    while (len < size - 1 && c != '\n' && (c = getc(reader->file)) != EOF) {
        if (c == '\0') {
            reader->rc = sb_fail(reader->err, SB_ECONFIG, "a NUL byte: not a text file");
            break;
        }
        out[len++] = (char)c;
    }
    out[len] = '\0';
    if (reader->rc == 0 && len == size - 1 && c != '\n')
        reader->rc = sb_fail(reader->err, SB_ECONFIG, "the line is too long");
    if (reader->rc == 0)
        reader->rc = check_heading(reader, out);
    if (reader->rc != 0)
        prefix_place(reader);
    return reader->rc == 0 && len > 0 ? out : NULL;
}

static int take_line(struct reader *reader, const char *section, const char *name, const char *text)
{
    char dotted[CONF_NAME_MAX], variable[CONF_NAME_MAX], origin[512];
    ssize_t i;

    if (section[0] == '\0')
        return sb_fail(reader->err, SB_ECONFIG, "'%.64s' stands before the first [section]",
                       sb_conf_value_shown(name));
    snprintf(dotted, sizeof(dotted), "%s.%s", section, name);
    i = find(reader->conf, dotted, dotted_name);
    if (i < 0)
        return fail_unknown(reader->conf, SB_ECONFIG, dotted, dotted_name, reader->err);
    if (sb_conf_value_is_secret(&reader->conf->keys[i])) {
        variable_name(&reader->conf->keys[i], variable);
        return sb_fail(reader->err, SB_ECONFIG,
                       "%s: a secret does not belong here; use %s or a key that names a file",
                       dotted, variable);
    }
    if (reader->given[i] != 0)
        return sb_fail(reader->err, SB_ECONFIG, "%s was given on line %d already", dotted,
                       reader->given[i]);
    reader->given[i] = reader->line;
    snprintf(origin, sizeof(origin), "%s:%d", reader->path, reader->line);
    return assign(reader->conf, (size_t)i, text, FROM_FILE, origin, reader->err);
}

static int on_line(void *user, const char *section, const char *name, const char *text)
{
    struct reader *reader = user;

    reader->rc = take_line(reader, section, name, text);
    if (reader->rc != 0)
        prefix_place(reader);
    return reader->rc == 0;
}

int sb_conf_read_file(struct sb_conf *conf, const char *path, struct sb_err *err)
{
    static char comment_prefixes[] = ";#";
    struct reader reader = {.conf = conf, .path = path, .err = err};
    struct dialect before;
    int bad_line;

    if (!sb_utf8_valid(sb_span_of(path), NULL))
        return sb_fail(err, SB_ECONFIG, "the configuration file's path is not valid UTF-8");
    reader.file = fopen(path, "re");
    if (reader.file == NULL)
        return sb_fail_errno(err, errno, "%s", path);
    reader.given = sb_xcalloc(conf->count, sizeof(*reader.given));
    before = use_dialect((struct dialect){.stop = true,
                                          .max_line = MAX_LINE,
                                          .initial_alloc = MAX_LINE,
                                          .comment_prefixes = comment_prefixes});
    bad_line = ini_parse_stream(read_line, &reader, on_line, &reader);
    use_dialect(before);
    if (reader.rc == 0 && bad_line != 0)
        reader.rc =
            sb_fail(err, SB_ECONFIG, "%s:%d: neither [section] nor key = value", path, bad_line);
    if (reader.rc == 0 && ferror(reader.file))
        reader.rc = sb_fail(err, SB_EIO, "%s: cannot be read", path);
    free(reader.given);
    fclose(reader.file);
    return reader.rc;
}

/* ---- environment and --set ---- */

/* SB_<SECTION>_: others may begin with SB_ too. */
static bool has_section_prefix(const struct sb_conf *conf, const char *name)
{
    char prefix[CONF_NAME_MAX];

    for (size_t i = 0; i < conf->count; i++) {
        variable_name(&(struct sb_conf_key){.section = conf->keys[i].section, .key = ""}, prefix);
        if (strncmp(name, prefix, strlen(prefix)) == 0)
            return true;
    }
    return false;
}

static int take_variable(struct sb_conf *conf, const char *name, const char *text,
                         struct sb_err *err)
{
    ssize_t i = find(conf, name, variable_name);
    int rc;

    if (i < 0 && !has_section_prefix(conf, name))
        return 0;
    if (i < 0)
        return fail_unknown(conf, SB_ECONFIG, name, variable_name, err);
    rc = assign(conf, (size_t)i, text, FROM_ENVIRONMENT, name, err);
    if (rc != 0)
        sb_err_prefix(err, "%s", name);
    return rc;
}

int sb_conf_read_environment(struct sb_conf *conf, char *const *environ_list, struct sb_err *err)
{
    for (; *environ_list != NULL; environ_list++) {
        const char *equals = strchr(*environ_list, '=');
        char name[CONF_NAME_MAX];
        int rc;

        if (equals == NULL || strncmp(*environ_list, "SB_", 3) != 0 ||
            equals - *environ_list >= CONF_NAME_MAX)
            continue;
        snprintf(name, sizeof(name), "%.*s", (int)(equals - *environ_list), *environ_list);
        rc = take_variable(conf, name, equals + 1, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int sb_conf_set(struct sb_conf *conf, const char *assignment, struct sb_err *err)
{
    const char *equals = strchr(assignment, '=');
    char name[CONF_NAME_MAX], variable[CONF_NAME_MAX];
    ssize_t i;
    int rc;

    if (equals == NULL || equals == assignment || equals - assignment >= CONF_NAME_MAX)
        return sb_fail(err, SB_EUSAGE, "--set '%.100s': section.key=value is wanted",
                       sb_conf_value_shown(assignment));
    snprintf(name, sizeof(name), "%.*s", (int)(equals - assignment), assignment);
    i = find(conf, name, dotted_name);
    if (i < 0) {
        rc = fail_unknown(conf, SB_ECONFIG, name, dotted_name, err);
    } else if (sb_conf_value_is_secret(&conf->keys[i])) {
        variable_name(&conf->keys[i], variable);
        rc = sb_fail(err, SB_ECONFIG,
                     "%s: a secret would show in the process list; use %s or a key that names a "
                     "file",
                     name, variable);
    } else {
        rc = assign(conf, (size_t)i, equals + 1, FROM_SET, "--set", err);
    }
    if (rc != 0)
        sb_err_prefix(err, "--set");
    return rc;
}

/* ---- reading it ---- */

const char *sb_conf_str(const struct sb_conf *conf, const char *section, const char *key)
{
    return conf->values[index_of(conf, section, key)].text;
}

int64_t sb_conf_int(const struct sb_conf *conf, const char *section, const char *key)
{
    size_t i = index_of(conf, section, key);
    enum sb_conf_type type = conf->keys[i].type;

    SB_CHECK(type == SB_CONF_INT || type == SB_CONF_MS || type == SB_CONF_BYTES);
    return conf->values[i].number;
}

bool sb_conf_bool(const struct sb_conf *conf, const char *section, const char *key)
{
    size_t i = index_of(conf, section, key);

    SB_CHECK(conf->keys[i].type == SB_CONF_BOOL);
    return conf->values[i].number != 0;
}

bool sb_conf_is_set(const struct sb_conf *conf, const char *section, const char *key)
{
    return sb_conf_str(conf, section, key)[0] != '\0';
}

const char *sb_conf_origin(const struct sb_conf *conf, const char *section, const char *key)
{
    return conf->values[index_of(conf, section, key)].origin;
}

/* ---- printing it ---- */

static void sample_key(const struct sb_conf_key *key, struct sb_buf *out)
{
    char range[80], variable[CONF_NAME_MAX];

    sb_buf_add_fmt(out, "\n# %s\n", key->help);
    if (sb_conf_value_is_secret(key)) {
        variable_name(key, variable);
        sb_buf_add_fmt(out, "# A secret: only %s in the environment sets it.\n", variable);
        return;
    }
    sb_conf_value_range(key, range, sizeof(range));
    if (range[0] != '\0')
        sb_buf_add_fmt(out, "# From %s.\n", range);
    if (key->reloadable)
        sb_buf_add_str(out, "# Taken up by a reload.\n");
    sb_buf_add_fmt(out, "#%s =%s%s\n", key->key, key->fallback[0] != '\0' ? " " : "",
                   key->fallback);
}

void sb_conf_sample(const struct sb_conf *conf, struct sb_buf *out)
{
    const char *section = "";

    sb_buf_add_fmt(out,
                   "# Configuration of %s. What is commented out shows the default.\n"
                   "# Every key is also SB_SECTION_KEY in the environment and "
                   "--set section.key=value.\n",
                   conf->program);
    for (size_t i = 0; i < conf->count; i++) {
        const struct sb_conf_key *key = &conf->keys[i];

        if (strcmp(section, key->section) != 0)
            sb_buf_add_fmt(out, "\n[%s]\n", key->section);
        section = key->section;
        sample_key(key, out);
    }
}

static const char *shown(const struct sb_conf *conf, size_t i)
{
    if (sb_conf_value_is_secret(&conf->keys[i]) && conf->values[i].text[0] != '\0')
        return "(hidden)";
    return conf->values[i].text;
}

static void print_text(const struct sb_conf *conf, size_t i, struct sb_buf *out)
{
    char name[CONF_NAME_MAX];

    dotted_name(&conf->keys[i], name);
    sb_buf_add_fmt(out, "%s = %s  # %s\n", name, shown(conf, i), conf->values[i].origin);
}

static void print_json(const struct sb_conf *conf, size_t i, struct sb_buf *out)
{
    const struct value *value = &conf->values[i];
    char name[CONF_NAME_MAX];

    dotted_name(&conf->keys[i], name);
    sb_buf_add_fmt(out, "\"%s\":{\"value\":", name);
    if (conf->keys[i].type == SB_CONF_INT && value->text[0] != '\0')
        sb_buf_add_fmt(out, "%" PRId64, value->number);
    else if (conf->keys[i].type == SB_CONF_BOOL && value->text[0] != '\0')
        sb_buf_add_str(out, value->number != 0 ? "true" : "false");
    else
        sb_buf_add_json(out, sb_span_of(shown(conf, i)));
    sb_buf_add_str(out, ",\"origin\":");
    sb_buf_add_json(out, sb_span_of(value->origin));
    sb_buf_add_char(out, '}');
}

int sb_conf_get(const struct sb_conf *conf, const char *name, bool json, struct sb_buf *out,
                struct sb_err *err)
{
    ssize_t only = name != NULL ? find(conf, name, dotted_name) : -1;
    bool first = true;

    if (name != NULL && only < 0)
        return fail_unknown(conf, SB_ENOT_FOUND, name, dotted_name, err);
    if (json)
        sb_buf_add_char(out, '{');
    for (size_t i = 0; i < conf->count; i++) {
        if (only >= 0 && (size_t)only != i)
            continue;
        if (json && !first)
            sb_buf_add_char(out, ',');
        if (json)
            print_json(conf, i, out);
        else
            print_text(conf, i, out);
        first = false;
    }
    if (json)
        sb_buf_add_str(out, "}\n");
    return 0;
}
