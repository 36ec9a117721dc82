#include "mapping_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/json_scan.h"

static int read_file(const char *path, struct sb_buf *out, struct sb_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = -1;

    if (fd < 0)
        return sb_fail_errno(err, errno, "%s", path);
    while (out->len <= MAPPING_FILE_MAX) {
        sb_buf_reserve(out, 65536);
        got = read(fd, out->data + out->len, 65536);
        if (got <= 0)
            break;
        out->len += (size_t)got;
    }
    close(fd);
    if (got < 0)
        return sb_fail_errno(err, errno, "%s", path);
    if (out->len > MAPPING_FILE_MAX)
        return sb_fail(err, SB_ECONFIG, "%s: more than %d bytes", path, MAPPING_FILE_MAX);
    return 0;
}

/* A text that is no object is read as a sensor type: the error is found there. */
static enum mapping_file kind_of(struct sb_span text)
{
    static const struct sb_json_limits limits = {MAPPING_FILE_MAX, SB_JSON_MAX_DEPTH, 10000};
    struct sb_span object, value;

    if (sb_json_check(text, &limits, &object, NULL) != 0 ||
        sb_json_type_of(object) != SB_JSON_OBJECT || sb_json_get(object, "type", &value) ||
        !sb_json_get(object, "table", &value))
        return MAPPING_FILE_TYPE;
    return MAPPING_FILE_TABLE;
}

static int is_json(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return len > strlen(".json") && entry->d_name[0] != '.' &&
           strcmp(entry->d_name + len - strlen(".json"), ".json") == 0;
}

static int take_file(const char *folder, char *name, enum mapping_file kind,
                     int (*take)(void *ctx, const char *stem, struct sb_span text,
                                 struct sb_err *err),
                     void *ctx, struct sb_err *err)
{
    struct sb_buf path = {0}, text = {0};
    int rc;

    sb_buf_add_fmt(&path, "%s/%s", folder, name);
    rc = read_file(path.data, &text, err);
    if (rc == 0 && kind_of(sb_buf_span(&text)) == kind) {
        name[strlen(name) - strlen(".json")] = '\0';
        rc = take(ctx, name, sb_buf_span(&text), err);
        if (rc != 0)
            sb_err_prefix(err, "%s", path.data);
    }
    sb_buf_free(&path);
    sb_buf_free(&text);
    return rc;
}

int mapping_files(const char *folder, enum mapping_file kind,
                  int (*take)(void *ctx, const char *stem, struct sb_span text, struct sb_err *err),
                  void *ctx, struct sb_err *err)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, is_json, alphasort), rc = 0;

    if (count < 0)
        return sb_fail_errno(err, errno, "%s", folder);
    for (int i = 0; i < count; i++) {
        if (rc == 0)
            rc = take_file(folder, entries[i]->d_name, kind, take, ctx, err);
        free(entries[i]);
    }
    free(entries);
    return rc;
}
