#include "rules.h"

#include <stddef.h>

/* Only with SB_RULE_SWITCHES, into the simulator. */
#define NAMED(id, name) [SB_RULE_##id] = name

static const char *const names[SB_RULE_COUNT] = {
    NAMED(GATE, "gate"),
    NAMED(HELLO_REPEAT, "hello_repeat"),
    NAMED(HELLO_BOOT, "hello_boot"),
    NAMED(HELLO_FOREIGN, "hello_foreign"),
    NAMED(HELLO_RATE, "hello_rate"),
    NAMED(HELLO_FORGETS, "hello_forgets"),
    NAMED(NONCE, "nonce"),
    NAMED(GAP_HOLES, "gap_holes"),
    NAMED(RESEND_ALL, "resend_all"),
    NAMED(DURABLE, "durable"),
    NAMED(NEW_EPOCH, "new_epoch"),
    NAMED(SEND_HOLED, "send_holed"),
    NAMED(ONE_FLIGHT, "one_flight"),
    NAMED(EPOCH_ORDER, "epoch_order"),
    NAMED(OWN_BATCH, "own_batch"),
    NAMED(LIST_ALL, "list_all"),
    NAMED(RECEIPT, "receipt"),
    NAMED(LIST_CURRENT, "list_current"),
    NAMED(BATCH_BOOT, "batch_boot"),
    NAMED(FENCE_FREE, "fence_free"),
    NAMED(FREE_HOLE, "free_hole"),
    NAMED(BRANCH, "branch"),
    NAMED(CMP_BRANCH, "cmp_branch"),
    NAMED(AGAIN, "again"),
    NAMED(UNVER_ALWAYS, "unver_always"),
    NAMED(OP_KNOWN, "op_known"),
    NAMED(REJ_EVERY, "rej_every"),
    NAMED(REJ_NEW, "rej_new"),
    NAMED(HOLE_OPS, "hole_ops"),
    NAMED(HOLE_AT, "hole_at"),
    NAMED(HOLE_UNNAMED, "hole_unnamed"),
    NAMED(ORD_BRANCH, "ord_branch"),
    NAMED(HOLE_KEEP, "hole_keep"),
    NAMED(BASE_OWN, "base_own"),
    NAMED(MERGE_LAST, "merge_last"),
    NAMED(SEGMENTS, "segments"),
    NAMED(ABSENT_NEW, "absent_new"),
    NAMED(KEEP_HLC, "keep_hlc"),
    NAMED(HLC_FOLLOWS, "hlc_follows"),
    NAMED(SEND_TEXT, "send_text"),
    NAMED(PULL_PENDING, "pull_pending"),
    NAMED(PULL_RESENT, "pull_resent"),
    NAMED(PULL_KNOWN, "pull_known"),
    NAMED(ABSENT_AS_OF, "absent_as_of"),
    NAMED(REREAD, "reread"),
    NAMED(REWIND, "rewind"),
    NAMED(LOOSE, "loose"),
    NAMED(BOOT_DROP, "boot_drop"),
    NAMED(END_CURSOR, "end_cursor"),
    NAMED(SWEEP, "sweep"),
    NAMED(SKIP_CONFLICTS, "skip_conflicts"),
    NAMED(TAG, "tag"),
    NAMED(TAG_CHAIN, "tag_chain"),
    NAMED(CHAIN_BREAK, "chain_break"),
    NAMED(NULL_VALUE, "null_value"),
    NAMED(KEY_ORDER, "key_order"),
    NAMED(STAMPS, "stamps"),
};

bool sb_rule_off[SB_RULE_COUNT];

const char *sb_rule_name(int rule)
{
    return rule >= 0 && rule < SB_RULE_COUNT ? names[rule] : NULL;
}
