/* The simulator tested itself: every rule that matters is switched off in turn, and the checks must
 * notice within a bounded number of seeds. */
#include <stdio.h>
#include <string.h>

#include "common/rules.h"
#include "sim_runs.h"

#ifdef SB_RULE_SWITCHES

bool sim_rule_switch(const char *name, bool off)
{
    for (int rule = 0; rule < SB_RULE_COUNT; rule++)
        if (strcmp(sb_rule_name(rule), name) == 0) {
            sb_rule_off[rule] = off;
            return true;
        }
    return false;
}

void sim_rules_list(void)
{
    for (int rule = 0; rule < SB_RULE_COUNT; rule++)
        printf(" %s", sb_rule_name(rule));
}

/* Rules that the model's ablation shows to matter, and mixes in which they do. */
static const struct {
    const char *rule;
    uint64_t seeds; /* within so many one is noticed */
    const char *mixes[4];
} cases[] = {
    {"op_known", 200, {"plain"}},
    {"one_flight", 400, {"plain"}},
    {"branch", 200, {"clone"}},
    {"ord_branch", 200, {"clone"}},
    {"send_holed", 400, {"clone+shed"}},
    {"free_hole", 400, {"clone+shed"}},
    {"hole_keep", 400, {"clone+shed"}},
    {"hole_at", 400, {"clone+shed"}},
    {"again", 200, {"bad"}},
    {"receipt", 400, {"restore"}},
    {"gap_holes", 400, {"rb+rest+purge"}},
    {"own_batch", 400, {"clone"}},
};

int sim_rules_run(const struct runs *given)
{
    int missed = 0;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct runs runs = *given;
        struct tally tallies[SIM_MIXES_MAX];
        uint64_t seeds = 0, failed = 0;

        runs.mix_count = 0;
        for (int k = 0; k < 4 && cases[i].mixes[k] != NULL; k++)
            runs.mixes[runs.mix_count++] = sim_mix_find(cases[i].mixes[k]);
        runs.seeds = cases[i].seeds;
        runs.until_failure = true;
        sim_rule_switch(cases[i].rule, true);
        sim_runs(&runs, tallies);
        sim_rule_switch(cases[i].rule, false);
        printf("%-14s", cases[i].rule);
        for (size_t k = 0; k < runs.mix_count; k++) {
            seeds += tallies[k].seeds;
            failed += tallies[k].failed;
            for (int v = 0; v < V_COUNT; v++)
                if (tallies[k].violations[v] > 0)
                    printf(" %s", sim_violation_name((enum violation)v));
        }
        printf("%s after %llu seeds\n", failed > 0 ? "" : " NOT NOTICED",
               (unsigned long long)seeds);
        missed += failed == 0;
    }
    return missed > 0;
}

#else

bool sim_rule_switch(const char *name, bool off)
{
    (void)name;
    (void)off;
    return false;
}

void sim_rules_list(void)
{
    printf(" (none can be switched in this build)");
}

int sim_rules_run(const struct runs *given)
{
    (void)given;
    fprintf(stderr, "no rule can be switched in this build\n");
    return 2;
}

#endif
