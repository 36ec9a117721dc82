/* Runs a fuzz target without libFuzzer: every file below the given folders once, then changed
 * copies of them, the changes drawn from a seed. So each build with sanitizers fuzzes a little,
 * with any compiler; `cmake --preset fuzz` builds the same targets for the long run. usage:
 * fuzz_NAME [-m MUTATIONS] [-s SEED] PATH... */
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/rng.h"

#define MAX_INPUT  (1U << 20)
#define MAX_INPUTS 10000U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    uint8_t *data;
    size_t size;
};

static struct input inputs[MAX_INPUTS];
static size_t input_count;

static void add_input(const uint8_t *data, size_t size)
{
    struct input *input = &inputs[input_count++];

    input->data = malloc(size + 1);
    if (input->data == NULL)
        abort();
    memcpy(input->data, data, size);
    input->size = size;
}

static int load(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    static uint8_t buffer[MAX_INPUT];
    FILE *file;

    (void)info;
    (void)walk;
    if (kind != FTW_F || input_count == MAX_INPUTS)
        return 0;
    file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    add_input(buffer, fread(buffer, 1, sizeof(buffer), file));
    fclose(file);
    return 0;
}

/* A copy of exactly the size that the target sees, so that a read past the end is found. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);

    if (copy == NULL)
        abort();
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static size_t cut(uint8_t *data, size_t size, struct sb_rng *rng)
{
    size_t from = sb_rng_below(rng, size);
    size_t len = 1 + sb_rng_below(rng, size - from);

    memmove(data + from, data + from + len, size - from - len);
    return size - len;
}

static size_t splice(uint8_t *data, size_t size, struct sb_rng *rng)
{
    const struct input *other = &inputs[sb_rng_below(rng, input_count)];
    size_t at = sb_rng_below(rng, size + 1);
    size_t from, len;

    if (other->size == 0)
        return size;
    from = sb_rng_below(rng, other->size);
    len = 1 + sb_rng_below(rng, other->size - from);
    if (len > MAX_INPUT - size)
        len = MAX_INPUT - size;
    memmove(data + at + len, data + at, size - at);
    memcpy(data + at, other->data + from, len);
    return size + len;
}

static size_t change(uint8_t *data, size_t size, struct sb_rng *rng)
{
    static const char marks[] = "{}[]\",:\\0123456789-+.eEtfn \x80\xff";

    if (size == 0)
        return splice(data, size, rng);
    switch (sb_rng_below(rng, 5)) {
    case 0:
        data[sb_rng_below(rng, size)] ^= (uint8_t)(1U << sb_rng_below(rng, 8));
        return size;
    case 1:
        data[sb_rng_below(rng, size)] = (uint8_t)sb_rng_below(rng, 256);
        return size;
    case 2:
        data[sb_rng_below(rng, size)] = (uint8_t)marks[sb_rng_below(rng, sizeof(marks))];
        return size;
    case 3:
        return cut(data, size, rng);
    }
    return splice(data, size, rng);
}

static void mutate(uint64_t rounds, struct sb_rng *rng)
{
    static uint8_t data[MAX_INPUT];

    for (uint64_t round = 0; round < rounds; round++) {
        const struct input *input = &inputs[sb_rng_below(rng, input_count)];
        size_t size = input->size;

        memcpy(data, input->data, size);
        for (uint64_t n = 1 + sb_rng_below(rng, 4); n > 0; n--)
            size = change(data, size, rng);
        run(data, size);
    }
}

int main(int argc, char **argv)
{
    uint64_t rounds = 0;
    uint64_t seed = 1;
    struct sb_rng rng;
    int option;

    while ((option = getopt(argc, argv, "m:s:")) != -1) {
        if (option == 'm')
            rounds = strtoull(optarg, NULL, 10);
        else if (option == 's')
            seed = strtoull(optarg, NULL, 10);
        else
            return 2;
    }
    for (int i = optind; i < argc; i++) {
        if (nftw(argv[i], load, 16, FTW_PHYS) != 0)
            return 2;
    }
    if (input_count == 0) {
        fprintf(stderr, "no inputs\n");
        return 2;
    }
    for (size_t i = 0; i < input_count; i++)
        run(inputs[i].data, inputs[i].size);
    sb_rng_seed(&rng, seed);
    mutate(rounds, &rng);
    printf("%zu inputs, %" PRIu64 " changed copies, seed %" PRIu64 "\n", input_count, rounds, seed);
    for (size_t i = 0; i < input_count; i++)
        free(inputs[i].data);
    return 0;
}
