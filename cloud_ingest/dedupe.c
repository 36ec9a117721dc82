#include "dedupe.h"

#include "common/rules.h"

/* Equal content is kept: the outcome of the first time, or a dead letter that has become good. */
static enum verdict known_content(enum kept kept, const struct free_case *c)
{
    if (kept == KEPT_STORED)
        return VERDICT_DUPLICATE;
    if (c->again && c->valid && sb_rule(SB_RULE_AGAIN))
        return VERDICT_NOW_STORED;
    return VERDICT_REJECTED_AGAIN;
}

enum verdict dedupe_free(const struct free_case *c)
{
    if (c->own != KEPT_NONE)
        return known_content(c->own, c);
    if (c->branch != KEPT_NONE && sb_rule(SB_RULE_CMP_BRANCH))
        return known_content(c->branch, c);
    if (c->dropped)
        return sb_rule(SB_RULE_UNVER_ALWAYS) ? VERDICT_UNVERIFIABLE : VERDICT_IGNORED;
    if (c->decided && !sb_rule(SB_RULE_BRANCH))
        return VERDICT_IGNORED;
    if (c->decided)
        return c->valid ? VERDICT_STORE_BRANCH : VERDICT_REJECT_BRANCH;
    if (c->in_hole && !sb_rule(SB_RULE_FREE_HOLE))
        return VERDICT_IGNORED;
    return c->valid ? VERDICT_STORE : VERDICT_REJECT;
}

static bool in_declared_hole(const struct ordered_case *c)
{
    bool named = sb_rule(SB_RULE_HOLE_AT) ? c->named_here : c->named_anywhere;

    return (named && sb_rule(SB_RULE_HOLE_OPS)) ||
           (c->unnamed_here && sb_rule(SB_RULE_HOLE_UNNAMED));
}

enum verdict dedupe_ordered(const struct ordered_case *c)
{
    if (c->first == OP_FIRST_APPLIED && sb_rule(SB_RULE_OP_KNOWN))
        return VERDICT_DUPLICATE;
    if (c->first == OP_FIRST_CONFLICT && sb_rule(SB_RULE_OP_KNOWN))
        return VERDICT_CONFLICT_AGAIN;
    if (c->first == OP_FIRST_REJECTED && !sb_rule(SB_RULE_REJ_NEW))
        return VERDICT_REJECTED_AGAIN;
    if (c->rejected_here && sb_rule(SB_RULE_REJ_EVERY))
        return VERDICT_REJECTED_AGAIN;
    if (in_declared_hole(c))
        return VERDICT_DECLARED_HOLE;
    if ((c->decided || c->in_hole) && !sb_rule(SB_RULE_ORD_BRANCH))
        return VERDICT_IGNORED;
    return VERDICT_EVALUATE;
}

bool dedupe_decides(bool decided, bool in_hole, bool evaluated)
{
    return !decided && (!in_hole || evaluated);
}

bool dedupe_hole_keeps(bool ordered, bool decided, bool named)
{
    if (!sb_rule(SB_RULE_HOLE_KEEP) && decided)
        return false;
    return !ordered || !decided || named;
}
