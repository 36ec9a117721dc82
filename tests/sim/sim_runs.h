#ifndef SIM_RUNS_H
#define SIM_RUNS_H

#include "sim.h"

/* Many seeds on several processes, and their results. */

#define SIM_MIXES_MAX 64

struct runs {
    const char *program; /* for the line that repeats a seed */
    const struct mix *mixes[SIM_MIXES_MAX];
    size_t mix_count;
    uint64_t first, seeds; /* seed S runs mix S modulo mix_count */
    int jobs;
    long tail;          /* lines of trace of a failing seed, 0 = all, -1 = none */
    bool until_failure; /* a job stops at its first violation */
};

/* What came of one mix. */
struct tally {
    uint64_t seeds, steps, failed;
    uint64_t violations[V_COUNT];   /* seeds that showed it */
    uint64_t notes[NOTE_COUNT];     /* likewise */
    uint64_t figures[FIGURE_COUNT]; /* sums */
    uint64_t example;               /* a failing seed with few steps */
    uint64_t example_steps;
};

/* Fills one tally per mix. */
void sim_runs(const struct runs *runs, struct tally *tallies);
/* Runs all, prints a table and the trace of a failing seed; the exit status. */
int sim_sweep(const struct runs *runs);
/* One seed: its trace (tail lines, 0 = all, -1 = none) and its violations; the exit status. */
int sim_show(uint64_t seed, const struct mix *mix, long tail);

/* ---- rules (sim_rules.c) ---- */
bool sim_rule_switch(const char *name, bool off); /* false: no such rule, or none can be switched */
void sim_rules_list(void);
/* Each rule that matters is switched off and must be noticed; the exit status. */
int sim_rules_run(const struct runs *runs, bool versions);

#endif
