#ifndef SB_RULES_H
#define SB_RULES_H

#include <stdbool.h>

/* The rules of delivery and of versions one by one, so that a test build can switch a single one
 * off and see that the simulator notices. In the product sb_rule() is the constant true and nothing
 * is left of it; only with SB_RULE_SWITCHES is there something to switch. Ask sb_rule() at the
 * place where the rule acts, once per rule, and keep the code behind it what would be there without
 * the rule. */
enum sb_rule_id {
    /* the edge */
    SB_RULE_GATE = 0,      /* nothing but a hello is sent until its welcome arrived */
    SB_RULE_HELLO_REPEAT,  /* an unanswered hello is repeated on a timer */
    SB_RULE_HELLO_BOOT,    /* hello when a new boot id is announced */
    SB_RULE_HELLO_FOREIGN, /* hello when a batch is refused with retry/hello */
    SB_RULE_HELLO_RATE,    /* such hellos are rate-limited; the gate stays open meanwhile */
    SB_RULE_HELLO_FORGETS, /* sending a hello forgets all batches sent before */
    SB_RULE_NONCE,         /* only the welcome with the nonce of the last hello counts */
    SB_RULE_GAP_HOLES,     /* restored: a settled number without a row becomes a hole */
    SB_RULE_RESEND_ALL,    /* restored: all retained rows go again, not only those in the gap */
    SB_RULE_DURABLE,       /* "unsettled again" survives a crash */
    SB_RULE_NEW_EPOCH,     /* decided beyond made: new epoch for new records */
    SB_RULE_SEND_HOLED,    /* a row whose number is a hole in the cloud is sent all the same */
    SB_RULE_ONE_FLIGHT,    /* one ordered batch in flight over all epochs */
    SB_RULE_EPOCH_ORDER,   /* epochs are sent in the order they were made */
    SB_RULE_OWN_BATCH,     /* only a reply to a batch sent since the last hello settles */
    SB_RULE_LIST_ALL,      /* every epoch in the outbox is listed, always */

    /* both ends */
    SB_RULE_RECEIPT, /* replies carry (boot, commit); a cloud that lacks the last was rolled back */

    /* the cloud */
    SB_RULE_LIST_CURRENT, /* the welcome names all streams of the current epoch, listed or not */
    SB_RULE_BATCH_BOOT,   /* a batch made for another boot is refused with retry/hello */
    SB_RULE_FENCE_FREE,   /* ... on free streams too */
    SB_RULE_FREE_HOLE,    /* free: an undecided number inside a hole is decided on arrival */
    SB_RULE_BRANCH,       /* free: other content at a decided number is stored in a branch */
    SB_RULE_CMP_BRANCH,   /* free: content is compared with the branches too */
    SB_RULE_AGAIN,        /* free: again=true may turn rejected into stored */
    SB_RULE_UNVER_ALWAYS, /* free: a row dropped by retention makes a repeat unverifiable */
    SB_RULE_OP_KNOWN,     /* ordered: a known op_id gets its first outcome, whatever its number */
    SB_RULE_REJ_EVERY,    /* ordered: rejected again under every number it was rejected under */
    SB_RULE_REJ_NEW,      /* ordered: a rejected op under a new number is evaluated anew */
    SB_RULE_HOLE_OPS,     /* ordered: an op named by a declared hole is rejected */
    SB_RULE_HOLE_AT,      /* ordered: ... only under the number of that hole */
    SB_RULE_HOLE_UNNAMED, /* ordered: a hole that names no op covers every unknown op there */
    SB_RULE_ORD_BRANCH,   /* ordered: unknown op at a decided number or in a hole is evaluated */
    SB_RULE_HOLE_KEEP,    /* a hole is kept as declared where numbers are decided */

    /* edge: versions of documents */
    SB_RULE_BASE_OWN,    /* base = newest own operation, answered or not (V2) */
    SB_RULE_MERGE_LAST,  /* merge when the last pending operation is answered (V4) */
    SB_RULE_SEGMENTS,    /* an operation not made on the one before it is merged on its own (V4) */
    SB_RULE_ABSENT_NEW,  /* nothing there, no tombstone: the local document is a new one (V4) */
    SB_RULE_KEEP_HLC,    /* the merging operation has the HLC of the last it replaces (V4) */
    SB_RULE_HLC_FOLLOWS, /* an operation's HLC is above all of the document it was made on (M) */
    SB_RULE_SEND_TEXT,   /* a merge result is sent when its text differs, not only its value (V4) */
    SB_RULE_PULL_PENDING, /* no document is overwritten while operations on it are pending (V5) */
    SB_RULE_PULL_RESENT,  /* ... resent ones included (V5) */
    SB_RULE_PULL_KNOWN,   /* no version below the last seen one of the document is taken (V5) */
    SB_RULE_ABSENT_AS_OF, /* "not there" counts as the version counter the answer names (V5) */
    SB_RULE_REREAD,       /* what was not taken is read again by id (V5) */
    SB_RULE_REWIND,       /* another boot: what was seen above the cursor is stale (V6) */
    SB_RULE_LOOSE,        /* ... and what was seen since the last pull ended (V6) */
    SB_RULE_BOOT_DROP,    /* an answer of another boot is dropped (V6) */
    SB_RULE_END_CURSOR,   /* the cursor moves at the end of a pull only (V6) */
    SB_RULE_SWEEP, /* a pull that begins at 0 makes every document stale until brought (V6) */
    SB_RULE_SKIP_CONFLICTS, /* restored: operations answered conflict become holes (V7) */

    /* cloud: versions of documents */
    SB_RULE_TAG,         /* a version has a tag; off: a cursor or base is the number alone (V1) */
    SB_RULE_TAG_CHAIN,   /* the tag covers the tag before it (V1) */
    SB_RULE_CHAIN_BREAK, /* a base {op_id} that was not applied here is unknown (V3) */

    /* merge, on both ends */
    SB_RULE_NULL_VALUE, /* null is a value, not an absent member (M) */
    SB_RULE_KEY_ORDER,  /* members in the order of the base, equal values: the smaller text (M) */
    SB_RULE_STAMPS, /* `latest` looks at the newest change of the place, not of the document (M) */

    SB_RULE_COUNT
};

#ifdef SB_RULE_SWITCHES

/* One entry per rule, true = switched off (common/rules.c, compiled in test builds alone). Set it
 * before a run and not while other threads look. */
extern bool sb_rule_off[SB_RULE_COUNT];

/* The name as in --off: "hole_at"; NULL beyond the end. */
const char *sb_rule_name(int rule);

static inline bool sb_rule(enum sb_rule_id rule)
{
    return !sb_rule_off[rule];
}

#else

static inline bool sb_rule(enum sb_rule_id rule)
{
    (void)rule;
    return true;
}

#endif
#endif
