#include "policy.h"

static const char *const names[] = {
    [SB_POLICY_NONE] = "",         [SB_POLICY_MERGE] = "merge", [SB_POLICY_LATEST] = "latest",
    [SB_POLICY_SERVER] = "server", [SB_POLICY_LOCAL] = "local", [SB_POLICY_MANUAL] = "manual",
};

const char *sb_policy_name(enum sb_policy policy)
{
    return names[policy];
}

bool sb_policy_parse(struct sb_span name, enum sb_policy *policy)
{
    for (int i = SB_POLICY_MERGE; i <= SB_POLICY_MANUAL; i++) {
        if (sb_span_is(name, names[i])) {
            *policy = (enum sb_policy)i;
            return true;
        }
    }
    return false;
}
