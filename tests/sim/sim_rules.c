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

/* Rules without which something breaks, mixes in which it does, and within how many
 * seeds that is noticed: some five times what it takes on average. */
struct rule_case {
    const char *rule;
    uint64_t seeds;
    const char *mixes[4];
};

static const struct rule_case delivery[] = {
    {"op_known", 100, {"plain"}},
    {"one_flight", 300, {"plain"}},
    {"epoch_order", 1000, {"clone", "clone+shed", "rb+ret"}},
    {"branch", 100, {"clone"}},
    {"cmp_branch", 800, {"twin-rb", "clone+bad"}},
    {"ord_branch", 100, {"clone"}},
    {"own_batch", 200, {"clone"}},
    {"send_holed", 100, {"clone+shed"}},
    {"free_hole", 100, {"clone+shed"}},
    {"hole_keep", 100, {"clone+shed"}},
    {"hole_ops", 400, {"clone+shed"}},
    {"hole_at", 400, {"clone+shed"}},
    {"again", 100, {"bad"}},
    {"rej_every", 200, {"bad"}},
    {"rej_new", 100, {"bad"}},
    {"receipt", 300, {"swap", "rb+rest+purge"}},
    {"gap_holes", 500, {"swap", "rb+rest+purge"}},
    {"resend_all", 800, {"clone+rest-purge"}},
    {"durable", 800, {"rest+late"}},
    {"batch_boot", 400, {"swap", "rb+rest+purge", "rest+ret", "clone+restore"}},
    {"fence_free", 1000, {"rest+bad", "rest+ret", "swap"}},
    {"gate", 400, {"clone+rest-purge", "clone+restore", "rest+late", "rest+ret"}},
    {"nonce", 1200, {"rb+shed+late", "rest+late"}},
    {"unver_always", 600, {"rb+ret"}},
    {"hello_rate", 20, {"twin-alt"}},
};

static const struct rule_case versions[] = {
    {"tag", 600, {"v-restore", "v-enc_restore", "v-reader"}},
    {"merge_last", 600, {"v-late1", "v-restore1"}},
    {"pull_pending", 100, {"v-one"}},
    {"pull_resent", 400, {"v-restore1"}},
    {"pull_known", 1500, {"v-one", "v-late1"}},
    {"hlc_follows", 1500, {"v-order_latest", "v-order_lat_enc"}},
    {"base_own", 200, {"v-one_doc", "v-plain"}},
    {"chain_break", 1500, {"v-plain", "v-delete", "v-restore"}},
    {"send_text", 1000, {"v-order_enc", "v-order_lat_enc"}},
    {"reread", 200, {"v-plain"}},
    {"rewind", 600, {"v-restore", "v-reader"}},
    {"sweep", 2000, {"v-readerp", "v-mixed"}},
    {"skip_conflicts", 1500, {"v-restore", "v-reader"}},
    {"null_value", 200, {"v-plain"}},
    {"key_order", 400, {"v-order"}},
    {"stamps", 400, {"v-order_latest"}},
};

static bool notice(const struct runs *given, const struct rule_case *one)
{
    struct runs runs = *given;
    struct tally tallies[SIM_MIXES_MAX];
    uint64_t seeds = 0, failed = 0;

    runs.mix_count = 0;
    for (int k = 0; k < 4 && one->mixes[k] != NULL; k++)
        runs.mixes[runs.mix_count++] = sim_mix_find(one->mixes[k]);
    runs.seeds = one->seeds;
    runs.until_failure = true;
    sim_rule_switch(one->rule, true);
    sim_runs(&runs, tallies);
    sim_rule_switch(one->rule, false);
    printf("%-14s", one->rule);
    for (size_t k = 0; k < runs.mix_count; k++) {
        seeds += tallies[k].seeds;
        failed += tallies[k].failed;
        for (int v = 0; v < V_COUNT; v++)
            if (tallies[k].violations[v] > 0)
                printf(" %s", sim_violation_name((enum violation)v));
    }
    printf("%s after %llu of %llu seeds\n", failed > 0 ? "" : " NOT NOTICED",
           (unsigned long long)seeds, (unsigned long long)runs.seeds);
    return failed > 0;
}

int sim_rules_run(const struct runs *given, bool of_versions)
{
    const struct rule_case *cases = of_versions ? versions : delivery;
    size_t count = of_versions ? sizeof(versions) / sizeof(versions[0])
                               : sizeof(delivery) / sizeof(delivery[0]);
    size_t noticed = 0;

    for (size_t i = 0; i < count; i++)
        noticed += notice(given, &cases[i]);
    printf("%zu rules switched off, %zu noticed\n", count, noticed);
    return noticed < count;
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

int sim_rules_run(const struct runs *given, bool of_versions)
{
    (void)given;
    (void)of_versions;
    fprintf(stderr, "no rule can be switched in this build\n");
    return 2;
}

#endif
