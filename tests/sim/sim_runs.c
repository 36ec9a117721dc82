#include "sim_runs.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/check.h"

/* ---- one seed ---- */

int sim_show(uint64_t seed, const struct mix *mix, long tail)
{
    struct world world = {.seed = seed, .mix = mix, .tracing = true};
    const char *at;
    bool failed;

    sim_run(&world);
    failed = sim_failed(&world);
    at = world.trace.data != NULL ? world.trace.data : "";
    if (tail > 0) {
        const char *end = at + strlen(at);

        for (at = end; at > world.trace.data && tail >= 0; at--)
            tail -= at[-1] == '\n';
        at += at > world.trace.data && at[0] != '\0';
    }
    if (tail >= -1 && (tail != -1 || failed))
        fputs(at, stdout);
    printf("seed %llu mix %s: %llu steps, %s\n", (unsigned long long)seed, mix->name,
           (unsigned long long)world.steps, failed ? "VIOLATED" : "ok");
    sim_world_free(&world);
    return failed;
}

static void add(struct tally *tally, const struct world *world)
{
    bool failed = sim_failed(world);

    tally->seeds++;
    tally->steps += world->steps;
    tally->failed += failed;
    for (int i = 0; i < V_COUNT; i++)
        tally->violations[i] += world->violations[i] > 0;
    for (int i = 0; i < NOTE_COUNT; i++)
        tally->notes[i] += world->notes[i] > 0;
    for (int i = 0; i < FIGURE_COUNT; i++)
        tally->figures[i] += world->figures[i];
    if (failed && (tally->failed == 1 || world->steps < tally->example_steps)) {
        tally->example = world->seed;
        tally->example_steps = world->steps;
    }
}

/* ---- jobs ---- */

static void merge(struct tally *to, const struct tally *from)
{
    if (from->failed > 0 && (to->failed == 0 || from->example_steps < to->example_steps)) {
        to->example = from->example;
        to->example_steps = from->example_steps;
    }
    to->seeds += from->seeds;
    to->steps += from->steps;
    to->failed += from->failed;
    for (int i = 0; i < V_COUNT; i++)
        to->violations[i] += from->violations[i];
    for (int i = 0; i < NOTE_COUNT; i++)
        to->notes[i] += from->notes[i];
    for (int i = 0; i < FIGURE_COUNT; i++)
        to->figures[i] += from->figures[i];
}

static void run_job(const struct runs *runs, int job, atomic_bool *stop, struct tally *tallies)
{
    for (uint64_t i = (uint64_t)job; i < runs->seeds && !*stop; i += (uint64_t)runs->jobs) {
        size_t mix = (runs->first + i) % runs->mix_count;
        struct world world = {.seed = runs->first + i, .mix = runs->mixes[mix]};

        sim_run(&world);
        add(&tallies[mix], &world);
        if (sim_failed(&world) && runs->until_failure)
            *stop = true; /* for the other jobs, too */
        sim_world_free(&world);
    }
}

static void write_all(int fd, const void *data, size_t size)
{
    const char *at = data;

    while (size > 0) {
        ssize_t written = write(fd, at, size);

        if (written <= 0)
            _exit(3);
        at += written;
        size -= (size_t)written;
    }
}

static bool read_all(int fd, void *data, size_t size)
{
    char *at = data;

    while (size > 0) {
        ssize_t got = read(fd, at, size);

        if (got <= 0)
            return false;
        at += got;
        size -= (size_t)got;
    }
    return true;
}

static int start_job(const struct runs *runs, int job, atomic_bool *stop, pid_t *pid)
{
    struct tally tallies[SIM_MIXES_MAX] = {0};
    int ends[2];

    SB_CHECK(pipe(ends) == 0);
    fflush(stdout);
    *pid = fork();
    SB_CHECK(*pid >= 0);
    if (*pid > 0) {
        close(ends[1]);
        return ends[0];
    }
    close(ends[0]);
    run_job(runs, job, stop, tallies);
    write_all(ends[1], tallies, sizeof(tallies));
    exit(0);
}

void sim_runs(const struct runs *runs, struct tally *tallies)
{
    struct tally part[SIM_MIXES_MAX];
    atomic_bool *stop =
        mmap(NULL, sizeof(*stop), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pids[64];
    int ends[64], status;

    memset(tallies, 0, runs->mix_count * sizeof(*tallies));
    SB_CHECK(stop != MAP_FAILED && runs->jobs <= 64);
    atomic_init(stop, false);
    for (int job = 0; job < runs->jobs; job++)
        ends[job] = start_job(runs, job, stop, &pids[job]);
    for (int job = 0; job < runs->jobs; job++) {
        if (!read_all(ends[job], part, sizeof(part))) {
            fprintf(stderr, "job %d ended without a result\n", job);
            exit(3);
        }
        close(ends[job]);
        waitpid(pids[job], &status, 0);
        for (size_t i = 0; i < runs->mix_count; i++)
            merge(&tallies[i], &part[i]);
    }
    munmap(stop, sizeof(*stop));
}

/* ---- a table ---- */

static const char *const note_names[NOTE_COUNT] = {
    [NOTE_MASKED] = "masked", [NOTE_SHED] = "shed and rejected", [NOTE_FALSE_DEAD] = "false dead"};

static const char *const figure_names[FIGURE_COUNT] = {"operations", "versions", "merged", "open"};

static void print_tally(const struct mix *mix, const struct tally *tally)
{
    printf("%-17s %6llu seeds %8llu steps  ", mix->name, (unsigned long long)tally->seeds,
           (unsigned long long)tally->steps);
    for (int i = 0; i < FIGURE_COUNT && mix->devices > 0; i++)
        printf("%6llu %s  ", (unsigned long long)tally->figures[i], figure_names[i]);
    printf("%s", tally->failed == 0 ? "ok" : "");
    for (int i = 0; i < V_COUNT; i++)
        if (tally->violations[i] > 0)
            printf("%s %llu ", sim_violation_name((enum violation)i),
                   (unsigned long long)tally->violations[i]);
    if (tally->failed > 0)
        printf("(seed %llu)", (unsigned long long)tally->example);
    for (int i = 0; i < NOTE_COUNT; i++)
        if (note_names[i] != NULL && tally->notes[i] > 0)
            printf("  %s %llu", note_names[i], (unsigned long long)tally->notes[i]);
    printf("\n");
}

int sim_sweep(const struct runs *runs)
{
    struct tally tallies[SIM_MIXES_MAX];
    uint64_t seeds = 0, failed = 0;
    size_t worst = SIM_MIXES_MAX;

    sim_runs(runs, tallies);
    for (size_t i = 0; i < runs->mix_count; i++) {
        print_tally(runs->mixes[i], &tallies[i]);
        seeds += tallies[i].seeds;
        failed += tallies[i].failed;
        if (tallies[i].failed > 0 &&
            (worst == SIM_MIXES_MAX || tallies[i].example_steps < tallies[worst].example_steps))
            worst = i;
    }
    printf("%llu seeds, %llu violated\n", (unsigned long long)seeds, (unsigned long long)failed);
    if (worst == SIM_MIXES_MAX)
        return 0;
    printf("\n");
    sim_show(tallies[worst].example, runs->mixes[worst], runs->tail);
    printf("again: %s --seed %llu --mix %s --trace\n", runs->program,
           (unsigned long long)tallies[worst].example, runs->mixes[worst]->name);
    return 1;
}
