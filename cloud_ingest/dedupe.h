#ifndef CLOUD_DEDUPE_H
#define CLOUD_DEDUPE_H

#include <stdbool.h>

/* Stage 6, the verdicts: what becomes of one record, from plain facts about it and nothing else
 * (rules D4, D5, D6). Pure. The same rules as the delivery model; each one stands behind its switch
 * of common/rules.h. */

/* What is kept that equals the record. */
enum kept { KEPT_NONE, KEPT_STORED, KEPT_REJECTED };

enum verdict {
    VERDICT_DUPLICATE,      /* stored before: that outcome again */
    VERDICT_REJECTED_AGAIN, /* rejected before: that outcome again */
    VERDICT_CONFLICT_AGAIN, /* in conflict before: that outcome, with today's document */
    VERDICT_NOW_STORED,     /* rejected before, sent again on purpose, and good by now */
    VERDICT_UNVERIFIABLE,   /* the row to compare with was dropped: rejected, nothing kept */
    VERDICT_DECLARED_HOLE,  /* the device gave this operation up: rejected, nothing kept */
    VERDICT_IGNORED,        /* counted as a duplicate, nothing kept (only with a rule off) */
    VERDICT_STORE,          /* new: at the number itself */
    VERDICT_REJECT,
    VERDICT_STORE_BRANCH, /* new: beside what is there */
    VERDICT_REJECT_BRANCH,
    VERDICT_EVALUATE, /* an ordered operation is looked at now */
};

/* D4, a record of a free stream at number q. */
struct free_case {
    bool decided;     /* something is kept at q in the epoch itself */
    bool in_hole;     /* q lies in a declared hole */
    bool dropped;     /* retention removed a row at q, there or in a branch */
    enum kept own;    /* equal content kept at q in the epoch itself */
    enum kept branch; /* ... in the first branch that has some */
    bool again;       /* the device retries a dead letter */
    bool valid;       /* the record passes its checks today */
};
enum verdict dedupe_free(const struct free_case *c);

/* As enum op_outcome of the store. */
enum op_first {
    OP_FIRST_NONE = 0,
    OP_FIRST_APPLIED = 1,
    OP_FIRST_CONFLICT = 2,
    OP_FIRST_REJECTED = 3
};

/* D5, an operation of an ordered stream at number q. */
struct ordered_case {
    enum op_first first; /* the outcome its op_id has already */
    bool rejected_here;  /* it was rejected under q before */
    bool named_here;     /* the hole at q names it */
    bool named_anywhere; /* some hole of the stream names it */
    bool unnamed_here;   /* a hole at q names no operation */
    bool decided;
    bool in_hole;
};
enum verdict dedupe_ordered(const struct ordered_case *c);

/* Does an ordered operation decide its number? evaluated: the verdict was to look at it. */
bool dedupe_decides(bool decided, bool in_hole, bool evaluated);

/* D6: is a number of a hole kept as declared? named: the hole names its operation. */
bool dedupe_hole_keeps(bool ordered, bool decided, bool named);

#endif
