#include "edge_agent/record_names.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/ids.h"
#include "common/json_read.h"

#define FILE_MAX_BYTES 262144

struct name_pair {
    struct sb_span local, cloud; /* characters; point into the file's texts */
};

struct record_names {
    struct name_pair *pairs;
    size_t count;
    struct sb_buf text; /* all characters, one after another */
};

size_t record_names_count(const struct record_names *names)
{
    return names != NULL ? names->count : 0;
}

void record_names_free(struct record_names *names)
{
    if (names == NULL)
        return;
    free(names->pairs);
    sb_buf_free(&names->text);
    free(names);
}

/* ---- the file ---- */

/* *found false where there is no such file. */
static int read_file(const char *path, struct sb_buf *out, bool *found, struct sb_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = 1;

    *found = fd >= 0;
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return sb_fail(err, SB_ECONFIG, "%.200s: %s", path, strerror(errno));
    while (got > 0 && out->len <= FILE_MAX_BYTES) {
        sb_buf_reserve(out, 65536);
        got = read(fd, out->data + out->len, 65536);
        out->len += got > 0 ? (size_t)got : 0;
    }
    close(fd);
    if (got < 0)
        return sb_fail(err, SB_ECONFIG, "%.200s: cannot be read", path);
    if (out->len > FILE_MAX_BYTES)
        return sb_fail(err, SB_ECONFIG, "%.200s: larger than %d bytes", path, FILE_MAX_BYTES);
    return 0;
}

/* The characters of a name, appended to the texts; where they are is told as offsets. */
static struct sb_span keep(struct record_names *names, struct sb_span string)
{
    size_t at = names->text.len;

    sb_json_unescape(string, &names->text);
    return (struct sb_span){NULL, names->text.len - at};
}

/* Once all texts are there, and do not move any more. */
static void set_places(struct record_names *names)
{
    const char *at = names->text.data;

    for (size_t i = 0; i < names->count; i++) {
        names->pairs[i].local.data = at;
        at += names->pairs[i].local.len;
        names->pairs[i].cloud.data = at;
        at += names->pairs[i].cloud.len;
    }
}

static int by_cloud(const void *a, const void *b)
{
    const struct name_pair *one = a, *other = b;
    size_t shorter = one->cloud.len < other->cloud.len ? one->cloud.len : other->cloud.len;
    int order = memcmp(one->cloud.data, other->cloud.data, shorter);

    return order != 0 ? order
                      : (one->cloud.len > other->cloud.len) - (one->cloud.len < other->cloud.len);
}

static int check_pairs(struct record_names *names, struct sb_err *err)
{
    qsort(names->pairs, names->count, sizeof(*names->pairs), by_cloud);
    for (size_t i = 0; i < names->count; i++) {
        if (names->pairs[i].local.len == 0 || names->pairs[i].cloud.len == 0)
            return sb_fail(err, SB_ECONFIG, "fields: an empty name");
        if (i > 0 && sb_span_eq(names->pairs[i - 1].cloud, names->pairs[i].cloud))
            return sb_fail(err, SB_ECONFIG, "fields: '%.*s' is the name of two",
                           SB_SPAN_ARG(names->pairs[i].cloud));
    }
    return 0;
}

static int read_fields(struct record_names *names, struct sb_span fields, struct sb_err *err)
{
    struct sb_json_iter iter;
    struct sb_span key, value;

    sb_json_iter_init(&iter, fields);
    while (sb_json_next_member(&iter, &key, &value)) {
        if (sb_json_type_of(value) != SB_JSON_STRING)
            return sb_fail(err, SB_ECONFIG, "fields: " SB_SPAN_FMT " is not a text",
                           SB_SPAN_ARG(key));
        if (names->count == RECORD_NAMES_MAX)
            return sb_fail(err, SB_ECONFIG, "fields: more than %d", RECORD_NAMES_MAX);
        names->pairs = sb_xgrow(names->pairs, names->count, sizeof(*names->pairs));
        names->pairs[names->count].local = keep(names, key);
        names->pairs[names->count].cloud = keep(names, value);
        names->count++;
    }
    set_places(names);
    return check_pairs(names, err);
}

static int parse(struct record_names *names, const char *table, struct sb_span text,
                 struct sb_err *err)
{
    enum { TABLE, FIELDS, KEYS };
    struct sb_json_field fields[KEYS] = {{.key = "table"}, {.key = "fields"}};
    const struct sb_json_limits limits = {FILE_MAX_BYTES, 4, 3 * RECORD_NAMES_MAX};
    struct sb_span object, key, value;
    struct sb_json_iter iter;
    int rc = sb_json_check(text, &limits, &object, err);

    if (rc != 0)
        return rc;
    if (sb_json_type_of(object) != SB_JSON_OBJECT)
        return sb_fail(err, SB_ECONFIG, "not an object");
    sb_json_iter_init(&iter, object);
    while (sb_json_next_member(&iter, &key, &value))
        if (!sb_span_is(key, "table") && !sb_span_is(key, "fields"))
            return sb_fail(err, SB_ECONFIG, "'%.*s' is neither table nor fields",
                           key.len < 60 ? (int)key.len : 60, key.data);
    sb_json_pick(object, fields, KEYS);
    if ((rc = sb_field_type(&fields[FIELDS], SB_JSON_OBJECT, err)) != 0)
        return rc;
    if (!sb_field_given(&fields[TABLE]) || !sb_json_string_is(fields[TABLE].value, table))
        return sb_fail(err, SB_ECONFIG, "table: not \"%s\", as the file's name says", table);
    return read_fields(names, fields[FIELDS].value, err);
}

/* Whatever the scanner calls it, for who reads the message it is a file to mend. */
static int fail_file(const char *path, struct sb_err *err)
{
    if (err == NULL)
        return -(int)SB_ECONFIG;
    sb_err_prefix(err, "%.120s", path);
    err->code = SB_ECONFIG;
    return -(int)SB_ECONFIG;
}

int record_names_load(const char *folder, const char *table, struct record_names **out,
                      struct sb_err *err)
{
    struct record_names *names;
    struct sb_buf text = {0};
    char path[PATH_MAX];
    bool found = false;
    int rc = 0;

    *out = NULL;
    if (folder[0] == '\0')
        return 0;
    snprintf(path, sizeof(path), "%s/%s.json", folder, table);
    rc = read_file(path, &text, &found, err);
    if (rc == 0 && found) {
        names = sb_xcalloc(1, sizeof(*names));
        if (parse(names, table, sb_buf_span(&text), err) == 0) {
            *out = names;
        } else {
            rc = fail_file(path, err);
            record_names_free(names);
        }
    }
    sb_buf_free(&text);
    return rc;
}

/* ---- renaming ---- */

static const struct name_pair *find(const struct record_names *names, struct sb_span name,
                                    bool local)
{
    for (size_t i = 0; i < names->count; i++)
        if (sb_span_eq(local ? names->pairs[i].local : names->pairs[i].cloud, name))
            return &names->pairs[i];
    return NULL;
}

static void add_member(struct sb_buf *out, struct sb_span raw_key, struct sb_span value)
{
    sb_buf_add_str(out, out->data[out->len - 1] == '{' ? "\"" : ",\"");
    sb_buf_add_span(out, raw_key);
    sb_buf_add_str(out, "\":");
    sb_buf_add_span(out, value);
}

static void add_renamed(struct sb_buf *out, struct sb_span key, struct sb_span value)
{
    if (out->data[out->len - 1] != '{')
        sb_buf_add_char(out, ',');
    sb_buf_add_json(out, key);
    sb_buf_add_char(out, ':');
    sb_buf_add_span(out, value);
}

/* One member: what it is called on the other side, or why it may not be there. */
static int rename_one(const struct record_names *names, bool to_cloud, struct sb_span raw_key,
                      struct sb_span value, struct sb_buf *out, struct sb_err *err)
{
    struct sb_buf key = {0};
    const struct name_pair *pair, *other;
    struct sb_span plain;
    int rc = 0;

    sb_json_unescape(raw_key, &key);
    plain = sb_buf_span(&key);
    pair = find(names, plain, to_cloud);
    other = find(names, plain, !to_cloud);
    if (pair != NULL)
        add_renamed(out, to_cloud ? pair->cloud : pair->local, value);
    else if (other == NULL || !to_cloud)
        add_member(out, raw_key, value);
    else
        rc = sb_fail(err, SB_EBAD_VALUE, "'%.*s' is the cloud's name of '%.*s'", SB_SPAN_ARG(plain),
                     SB_SPAN_ARG(other->local));
    sb_buf_free(&key);
    return rc;
}

static int rename_all(const struct record_names *names, bool to_cloud, struct sb_span object,
                      struct sb_buf *out, struct sb_err *err)
{
    static const struct sb_json_limits limits = {SIZE_MAX, SB_JSON_MAX_DEPTH, SB_JSON_MAX_NODES};
    struct sb_span key, value, whole;
    struct sb_json_iter iter;
    struct sb_buf renamed = {0};
    int rc = 0;

    if (names == NULL || names->count == 0) {
        sb_buf_add_span(out, object);
        return 0;
    }
    sb_buf_add_char(&renamed, '{');
    sb_json_iter_init(&iter, object);
    while (rc == 0 && sb_json_next_member(&iter, &key, &value))
        rc = rename_one(names, to_cloud, key, value, &renamed, err);
    sb_buf_add_char(&renamed, '}');
    if (rc == 0) /* two members of one name by now? */
        rc = sb_json_check(sb_buf_span(&renamed), &limits, &whole, err);
    if (rc == 0)
        sb_buf_add_span(out, whole);
    sb_buf_free(&renamed);
    return rc;
}

int record_names_to_cloud(const struct record_names *names, struct sb_span object,
                          struct sb_buf *out, struct sb_err *err)
{
    return rename_all(names, true, object, out, err);
}

int record_names_to_local(const struct record_names *names, struct sb_span object,
                          struct sb_buf *out, struct sb_err *err)
{
    return rename_all(names, false, object, out, err);
}
