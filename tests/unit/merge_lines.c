/* The merge as a filter, for tests that compare it with another one: each line of stdin is a JSON
 * array of strings, a command and its arguments; each line of stdout a JSON array of strings. An
 * absent document is "". Ends with status 1 at the first line that is no command.
 *   check TEXT                               -> "ok" or the code, the message
 *   merge POLICY ARRAYS BASE LOCAL SERVER LOCAL_STAMPS HLC DEVICE SERVER_STAMPS
 *                                            -> text, undecided, lost, won (JSON arrays)
 *   time COUNT BASE LOCAL SERVER             -> microseconds for one merge
 *   changed ARRAYS A B                       -> places
 *   get ARRAYS DOCUMENT POINTER              -> value
 *   put ARRAYS DOCUMENT POINTER VALUE        -> document
 *   reapply ARRAYS FROM TO DOCUMENT          -> document
 *   apply ARRAYS STAMPS BASE SUBMITTED RESULT HLC DEVICE -> stamps
 *   equal A B                                -> "true" or "false" */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/json_scan.h"
#include "common/merge.h"

#define MAX_ARGS 10

static const struct sb_json_limits limits = {64U << 20, SB_JSON_MAX_DEPTH, SB_JSON_MAX_NODES};

struct line {
    struct sb_buf arg[MAX_ARGS];
    size_t count;
    struct sb_buf out;
};

static void die(const char *what, const struct sb_err *err)
{
    fprintf(stderr, "merge_lines: %s: %s\n", what, err->msg);
    exit(1);
}

static struct sb_span arg(const struct line *line, size_t i)
{
    return sb_buf_span(&line->arg[i]);
}

/* A document: checked, without the white space around it. */
static struct sb_span document(const struct line *line, size_t i)
{
    struct sb_span value = SB_SPAN("");
    struct sb_err err = {0};

    if (line->arg[i].len > 0 && sb_json_check(arg(line, i), &limits, &value, &err) != 0)
        die("document", &err);
    return value;
}

static struct sb_array_keys arrays(const struct line *line, size_t i)
{
    struct sb_array_keys keys = {0};
    struct sb_err err = {0};

    if (sb_array_keys_parse(&keys, arg(line, i), &err) != 0)
        die("arrays", &err);
    return keys;
}

static struct sb_stamps stamps(const struct line *line, size_t i)
{
    struct sb_stamps set = {0};
    struct sb_err err = {0};

    if (sb_stamps_parse(&set, arg(line, i), &err) != 0)
        die("stamps", &err);
    return set;
}

static struct sb_stamp stamp(const struct line *line, size_t i)
{
    return sb_stamp_of(strtoull(arg(line, i).data, NULL, 16), arg(line, i + 1));
}

static void answer(struct line *line, struct sb_span text)
{
    if (line->out.len > 1)
        sb_buf_add_char(&line->out, ',');
    sb_buf_add_json(&line->out, text);
}

static void answer_places(struct line *line, const struct sb_pointers *places)
{
    struct sb_buf text = {0};

    sb_pointers_print(places, &text);
    answer(line, sb_buf_span(&text));
    sb_buf_free(&text);
}

/* ---- commands ---- */

static void check(struct line *line)
{
    struct sb_err err = {0};
    struct sb_span value;

    if (sb_json_check(arg(line, 1), &limits, &value, &err) == 0) {
        answer(line, SB_SPAN("ok"));
        return;
    }
    answer(line, sb_span_of(sb_code_name(err.code)));
    answer(line, sb_span_of(err.msg));
}

static void merge(struct line *line)
{
    struct sb_array_keys keys = arrays(line, 2);
    struct sb_stamps local = stamps(line, 6), server = stamps(line, 9);
    struct sb_merge_rules rules = {
        .arrays = &keys, .local = &local, .server = &server, .local_stamp = stamp(line, 7)};
    struct sb_merge_result result = {0};

    if (!sb_policy_parse(arg(line, 1), &rules.policy))
        die("policy", &(struct sb_err){.msg = "unknown"});
    sb_merge(document(line, 3), document(line, 4), document(line, 5), &rules, &result);
    answer(line, sb_merge_text(&result));
    answer_places(line, &result.undecided);
    answer_places(line, &result.lost);
    answer_places(line, &result.won);
    sb_merge_result_free(&result);
    sb_array_keys_free(&keys);
    sb_stamps_free(&local);
    sb_stamps_free(&server);
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void measure(struct line *line)
{
    struct sb_span base = document(line, 2), local = document(line, 3), server = document(line, 4);
    const struct sb_merge_rules rules = {.policy = SB_POLICY_MERGE};
    struct sb_merge_result result = {0};
    struct sb_buf text = {0};
    int count = (int)strtol(arg(line, 1).data, NULL, 10);
    double from = seconds();

    for (int i = 0; i < count; i++)
        sb_merge(base, local, server, &rules, &result);
    sb_buf_add_fmt(&text, "%.1f", (seconds() - from) * 1e6 / count);
    answer(line, sb_buf_span(&text));
    sb_buf_free(&text);
    sb_merge_result_free(&result);
}

static void changed(struct line *line)
{
    struct sb_array_keys keys = arrays(line, 1);
    struct sb_pointers places = {0};

    sb_doc_changed(document(line, 2), document(line, 3), &keys, &places);
    answer_places(line, &places);
    sb_pointers_free(&places);
    sb_array_keys_free(&keys);
}

static void get(struct line *line)
{
    struct sb_array_keys keys = arrays(line, 1);

    answer(line, sb_doc_get(document(line, 2), arg(line, 3), &keys));
    sb_array_keys_free(&keys);
}

static void put(struct line *line)
{
    struct sb_array_keys keys = arrays(line, 1);
    struct sb_buf out = {0};

    sb_doc_put(document(line, 2), arg(line, 3), document(line, 4), &keys, &out);
    answer(line, sb_buf_span(&out));
    sb_buf_free(&out);
    sb_array_keys_free(&keys);
}

static void reapply(struct line *line)
{
    struct sb_array_keys keys = arrays(line, 1);
    struct sb_buf out = {0};

    sb_doc_reapply(document(line, 2), document(line, 3), document(line, 4), &keys, &out);
    answer(line, sb_buf_span(&out));
    sb_buf_free(&out);
    sb_array_keys_free(&keys);
}

static void apply(struct line *line)
{
    struct sb_array_keys keys = arrays(line, 1);
    struct sb_stamps set = stamps(line, 2);
    struct sb_stamp own = stamp(line, 6);
    struct sb_buf text = {0};

    sb_stamps_apply(&set, document(line, 3), document(line, 4), document(line, 5), &own, &keys);
    sb_stamps_print(&set, &text);
    answer(line, sb_buf_span(&text));
    sb_buf_free(&text);
    sb_stamps_free(&set);
    sb_array_keys_free(&keys);
}

static void equal(struct line *line)
{
    bool same = sb_json_equal(document(line, 1), document(line, 2));

    answer(line, same ? SB_SPAN("true") : SB_SPAN("false"));
}

static const struct command {
    const char *name;
    size_t args;
    void (*run)(struct line *line);
} commands[] = {{"check", 1, check},     {"merge", 9, merge}, {"time", 4, measure},
                {"changed", 3, changed}, {"get", 3, get},     {"put", 4, put},
                {"reapply", 4, reapply}, {"apply", 7, apply}, {"equal", 2, equal}};

static void run(struct line *line)
{
    for (size_t i = 0; line->count > 0 && i < sizeof(commands) / sizeof(commands[0]); i++)
        if (sb_span_is(arg(line, 0), commands[i].name) && line->count == commands[i].args + 1) {
            commands[i].run(line);
            return;
        }
    die("line", &(struct sb_err){.msg = "no such command, or other arguments"});
}

static void parse(struct line *line, struct sb_span text)
{
    struct sb_json_iter iter;
    struct sb_span value;
    struct sb_err err = {0};

    line->count = 0;
    if (sb_json_check(text, &limits, &text, &err) != 0)
        die("line", &err);
    if (sb_json_type_of(text) != SB_JSON_ARRAY)
        die("line", &(struct sb_err){.msg = "not an array"});
    sb_json_iter_init(&iter, text);
    while (line->count < MAX_ARGS && sb_json_next_element(&iter, &value)) {
        sb_buf_clear(&line->arg[line->count]);
        sb_json_unescape(value, &line->arg[line->count++]);
    }
}

int main(void)
{
    struct line line = {.count = 0};
    char *text = NULL;
    size_t size = 0;
    ssize_t len;

    while ((len = getline(&text, &size, stdin)) > 0) {
        parse(&line, (struct sb_span){text, (size_t)len});
        sb_buf_clear(&line.out);
        sb_buf_add_char(&line.out, '[');
        run(&line);
        sb_buf_add_str(&line.out, "]\n");
        fwrite(line.out.data, 1, line.out.len, stdout);
    }
    for (size_t i = 0; i < MAX_ARGS; i++)
        sb_buf_free(&line.arg[i]);
    sb_buf_free(&line.out);
    free(text);
    return ferror(stdout) || fflush(stdout) != 0;
}
