#include "golden_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct golden golden;

static void read_page(void)
{
    const char *root = getenv("SB_SOURCE_DIR");
    char path[4096];
    FILE *file;
    long size;

    snprintf(path, sizeof(path), "%s/common/PROTOCOL.md", root != NULL ? root : ".");
    file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size = ftell(file);
    rewind(file);
    golden.page = calloc(1, (size_t)size + 1);
    assert_non_null(golden.page);
    assert_int_equal(fread(golden.page, 1, (size_t)size, file), size);
    fclose(file);
}

int golden_setup(void **state)
{
    static const char mark[] = "\n```json golden:";
    const char *at;

    (void)state;
    read_page();
    for (at = strstr(golden.page, mark); at != NULL; at = strstr(at, mark)) {
        const char *end_of_name, *end;

        at += sizeof(mark) - 1;
        end_of_name = strchr(at, '\n');
        end = strstr(at, "\n```");
        assert_true(end_of_name != NULL && end != NULL && golden.count < GOLDEN_MAX);
        assert_true(end_of_name - at < 64);
        memcpy(golden.examples[golden.count].name, at, (size_t)(end_of_name - at));
        golden.examples[golden.count++].text =
            (struct sb_span){end_of_name + 1, (size_t)(end - end_of_name)};
        at = end;
    }
    return 0;
}

int golden_teardown(void **state)
{
    (void)state;
    free(golden.page);
    return 0;
}

struct sb_span golden_example(const char *name)
{
    for (size_t i = 0; i < golden.count; i++) {
        if (strcmp(golden.examples[i].name, name) == 0) {
            golden.examples[i].used = true;
            return golden.examples[i].text;
        }
    }
    fail_msg("no example %s in PROTOCOL.md", name);
    return (struct sb_span){0};
}
