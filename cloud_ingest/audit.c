#include "audit.h"

/* All of 1..made that the set has not. */
static void complement(const struct sb_ranges *set, uint64_t made, struct sb_ranges *out)
{
    sb_ranges_clear(out);
    if (made == 0)
        return;
    sb_ranges_add(out, 1, made);
    sb_ranges_remove_all(out, set);
}

static uint64_t highest(const struct audit_facts *facts)
{
    uint64_t made = facts->made;

    if (facts->claimed && facts->claimed_made > made)
        made = facts->claimed_made;
    if (sb_ranges_max(facts->decided) > made)
        made = sb_ranges_max(facts->decided);
    if (sb_ranges_max(facts->holes) > made)
        made = sb_ranges_max(facts->holes);
    return made;
}

void audit_arithmetic(const struct audit_facts *facts, struct audit_figures *out,
                      struct sb_ranges *missing)
{
    struct sb_ranges known = {0}, open = {0};
    uint64_t waiting;

    sb_ranges_copy(&known, facts->decided);
    sb_ranges_add_all(&known, facts->holes);
    out->made = highest(facts);
    out->holes = sb_ranges_total(&known) - sb_ranges_total(facts->decided);
    complement(&known, out->made, &open);

    complement(&known, facts->claimed ? facts->claimed_made : 0, missing);
    if (facts->claimed)
        sb_ranges_remove_all(missing, facts->held);
    out->missing = sb_ranges_total(missing);
    waiting = sb_ranges_total(&open) - out->missing;
    out->pending = facts->named ? waiting : 0;
    out->lost = facts->named ? 0 : waiting;
    sb_ranges_free(&known);
    sb_ranges_free(&open);
}

void audit_add(struct audit_figures *total, const struct audit_figures *more)
{
    total->made += more->made;
    total->stored += more->stored;
    total->duplicates += more->duplicates;
    total->revised += more->revised;
    total->rejected += more->rejected;
    total->conflict += more->conflict;
    total->holes += more->holes;
    total->branched += more->branched;
    total->dropped += more->dropped;
    total->pending += more->pending;
    total->missing += more->missing;
    total->lost += more->lost;
    total->repeats += more->repeats;
    total->doubles += more->doubles;
    total->rows += more->rows;
    total->dups += more->dups;
    total->unequal += more->unequal;
    total->gaps += more->gaps;
    total->astray += more->astray;
}

bool audit_clean(const struct audit_figures *total)
{
    return total->missing == 0 && total->doubles == 0 && total->unequal == 0 && total->gaps == 0 &&
           total->astray == 0;
}
