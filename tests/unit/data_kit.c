#include "data_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <zlib.h>

const char *data_folder(void)
{
    static char path[4096];
    const char *given = getenv("SB_SHARED_DATA"), *root = getenv("SB_SOURCE_DIR");

    if (given != NULL)
        snprintf(path, sizeof(path), "%s", given);
    else
        snprintf(path, sizeof(path), "%s/../shared/data", root != NULL ? root : ".");
    return path;
}

static bool is_there(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0;
}

bool data_is_there(void)
{
    return is_there(data_folder());
}

struct sb_buf data_contents(const char *name)
{
    char suite[8192], path[8192];
    struct sb_buf out = {0};
    gzFile file;
    int len;

    snprintf(suite, sizeof(suite), "%s/%.*s", data_folder(), (int)strcspn(name, "/"), name);
    snprintf(path, sizeof(path), "%s/%s", data_folder(), name);
    if (!is_there(suite)) {
        print_message("skipped: %s is not there\n", suite);
        skip();
    }
    file = gzopen(path, "rb");
    if (file == NULL)
        fail_msg("%s cannot be opened", path);
    do {
        sb_buf_reserve(&out, 65536);
        len = gzread(file, out.data + out.len, 65536);
        assert_true(len >= 0);
        out.len += (size_t)len;
    } while (len > 0);
    gzclose(file);
    assert_true(out.len > 0);
    sb_buf_reserve(&out, 0);
    out.data[out.len] = '\0';
    return out;
}
