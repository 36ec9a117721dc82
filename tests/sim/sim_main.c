/* The command line: runs seeds over mixes, says what was violated and how to see it again. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "sim_runs.h"

static const char usage[] =
    "usage: %s [--versions] [--seeds N] [--first S] [--mix A,B] [--jobs J]\n"
    "       %s --seed S --mix M [--trace]\n"
    "       %s [--versions] --rules       every rule off in turn (switched build)\n"
    "       %s --list                     mixes and rules\n"
    "  --seeds N  N runs, seed S on mix number S modulo the mixes (default 1000)\n"
    "  --versions the second family: documents of several devices\n"
    "  --long     fifty times as many, with --versions ten times (also with SB_LONG=1)\n"
    "  --off R,Q  rules to switch off (switched build)\n"
    "  --tail L   lines of a failing seed's trace (default 80, 0 = all)\n";

struct options {
    struct runs runs;
    long seed; /* -1: many */
    bool trace, rules, list, longer, versions;
    long tail;
};

static void list_all(void)
{
    printf("mixes:");
    for (size_t i = 0; i < sim_mix_count; i++)
        printf(" %s", sim_mixes[i].name);
    printf("\nwith --versions:");
    for (size_t i = 0; i < sim_docs_mix_count; i++)
        printf(" %s", sim_docs_mixes[i].name);
    printf("\nrules:");
    sim_rules_list();
    printf("\n");
}

static bool parse_mixes(struct runs *runs, char *names)
{
    char *save = NULL;

    runs->mix_count = 0;
    for (char *name = strtok_r(names, ",", &save); name != NULL;
         name = strtok_r(NULL, ",", &save)) {
        const struct mix *mix = sim_mix_find(name);

        if (mix == NULL) {
            fprintf(stderr, "no such mix: %s\n", name);
            return false;
        }
        runs->mixes[runs->mix_count++] = mix;
    }
    return runs->mix_count > 0;
}

static bool parse_rules(char *names)
{
    char *save = NULL;

    for (char *name = strtok_r(names, ",", &save); name != NULL; name = strtok_r(NULL, ",", &save))
        if (!sim_rule_switch(name, true)) {
            fprintf(stderr, "no such rule in this build: %s\n", name);
            return false;
        }
    return true;
}

enum {
    OPT_SEEDS = 256,
    OPT_FIRST,
    OPT_MIX,
    OPT_JOBS,
    OPT_SEED,
    OPT_TRACE,
    OPT_RULES,
    OPT_LIST,
    OPT_OFF,
    OPT_LONG,
    OPT_VERSIONS,
    OPT_TAIL
};

static const struct option long_options[] = {
    {"seeds", required_argument, NULL, OPT_SEEDS},
    {"first", required_argument, NULL, OPT_FIRST},
    {"mix", required_argument, NULL, OPT_MIX},
    {"jobs", required_argument, NULL, OPT_JOBS},
    {"seed", required_argument, NULL, OPT_SEED},
    {"trace", no_argument, NULL, OPT_TRACE},
    {"rules", no_argument, NULL, OPT_RULES},
    {"list", no_argument, NULL, OPT_LIST},
    {"off", required_argument, NULL, OPT_OFF},
    {"long", no_argument, NULL, OPT_LONG},
    {"tail", required_argument, NULL, OPT_TAIL},
    {"versions", no_argument, NULL, OPT_VERSIONS},
    {NULL, 0, NULL, 0},
};

static bool take_option(struct options *options, int option)
{
    switch (option) {
    case OPT_SEEDS:
        options->runs.seeds = strtoull(optarg, NULL, 10);
        return true;
    case OPT_FIRST:
        options->runs.first = strtoull(optarg, NULL, 10);
        return true;
    case OPT_MIX:
        return parse_mixes(&options->runs, optarg);
    case OPT_JOBS:
        options->runs.jobs = (int)strtol(optarg, NULL, 10);
        return options->runs.jobs > 0;
    case OPT_SEED:
        options->seed = strtol(optarg, NULL, 10);
        return options->seed >= 0;
    case OPT_TRACE:
        options->trace = true;
        return true;
    case OPT_RULES:
        options->rules = true;
        return true;
    case OPT_LIST:
        options->list = true;
        return true;
    case OPT_OFF:
        return parse_rules(optarg);
    case OPT_VERSIONS:
        options->versions = true;
        return true;
    case OPT_LONG:
        options->longer = true;
        return true;
    case OPT_TAIL:
        options->tail = strtol(optarg, NULL, 10);
        return true;
    }
    return false;
}

static void all_mixes(struct options *options)
{
    struct runs *runs = &options->runs;
    const struct mix *mixes = options->versions ? sim_docs_mixes : sim_mixes;
    size_t count = options->versions ? sim_docs_mix_count : sim_mix_count;

    for (; runs->mix_count < count; runs->mix_count++)
        runs->mixes[runs->mix_count] = &mixes[runs->mix_count];
}

static bool parse(int argc, char **argv, struct options *options)
{
    int option;

    *options = (struct options){.seed = -1, .tail = 80, .longer = getenv("SB_LONG") != NULL};
    options->runs.seeds = 1000;
    options->runs.jobs = (int)sysconf(_SC_NPROCESSORS_ONLN);
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
        if (!take_option(options, option))
            return false;
    if (options->runs.mix_count == 0)
        all_mixes(options);
    if (options->longer)
        options->runs.seeds *= options->versions ? 10 : 50;
    return optind == argc && (options->seed < 0 || options->runs.mix_count == 1);
}

int main(int argc, char **argv)
{
    struct options options;
    int status = 0;

    if (!parse(argc, argv, &options)) {
        fprintf(stderr, usage, argv[0], argv[0], argv[0], argv[0]);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    sb_log_init("sim", SB_LOG_BUG, false);
    options.runs.program = argv[0];
    options.runs.tail = options.tail;
    sim_templates_make();
    if (options.list)
        list_all();
    else if (options.rules)
        status = sim_rules_run(&options.runs, options.versions);
    else if (options.seed >= 0)
        status = sim_show((uint64_t)options.seed, options.runs.mixes[0], options.trace ? 0 : -1);
    else
        status = sim_sweep(&options.runs);
    sim_templates_free();
    return status;
}
