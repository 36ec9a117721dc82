#ifndef SB_MERGE_H
#define SB_MERGE_H

#include <stdbool.h>

#include "array_keys.h"
#include "buf.h"
#include "doc.h"
#include "pointers.h"
#include "policy.h"
#include "stamps.h"

/* The three-way merge of documents, the same for cloud and edge. Documents as in doc.h: checked
 * JSON texts without white space around them, the empty span is absent. It reads no clock and no
 * random numbers, allocates a small multiple of its input, recurses as deep as the documents are
 * nested and takes time in n log n of their size. Results never depend on which edit came first:
 * with local and server swapped (and `local` for `server` in the policy) text and pointers are the
 * same, what was lost is won. A result can be larger than each of the three: whoever stores it
 * looks whether it still is within the limits of a document.
 *
 * At every place from "" down, the first that applies:
 * - local = server: that, in the smaller text by bytes;
 * - base = local: server's text; base = server: local's text;
 * - local and server are objects: member by member. A base that is no object counts as {}; an
 *   emptied object stays;
 * - local and server are keyed arrays (array_keys.h): element by element, in the same way. A base
 *   that is no array counts as [], one that is not keyed makes the array one place;
 * - else the place is undecided.
 *
 * The text of a merged object is {"k": v, "l": w}: base's members in base's order, then added ones
 * sorted by the bytes of their characters. A key is spelled as in base; else as the side that added
 * it spells it, the smaller by bytes where both did. Whatever is taken from one side keeps its
 * bytes.
 *
 * A merged keyed array is [v, w]: base's elements in base's order, then added ones sorted by the
 * bytes of their keys. Where only one side changed the order of the elements that all three have,
 * these come first in that side's order, then what else of base is left in base's order, then added
 * ones; where both changed it alike, likewise; where both did and differ, the array's own pointer
 * is undecided too, and the policy decides whose order it is. */

struct sb_merge_rules {
    /* What becomes of an undecided place: merge (and SB_POLICY_NONE): it stays undecided; latest:
     * the side with the higher stamp, each place on its own; server, local: that side's value.
     * manual: nothing is merged; unless two of the three documents are equal, "" is undecided. */
    enum sb_policy policy;
    const struct sb_array_keys *arrays; /* NULL: none */
    /* For SB_POLICY_LATEST only. A place's stamp is the highest at it, above and below; without one
     * the local side has local_stamp (the cloud: the operation's HLC and device with no local
     * stamps; an edge: those of the last operation of the run), the server (0, ""). Local wins only
     * with the higher one. */
    const struct sb_stamps *local;  /* NULL: none */
    const struct sb_stamps *server; /* NULL: none */
    struct sb_stamp local_stamp;
};

/* Zero-initialised is empty; reused by sb_merge, which clears it. */
struct sb_merge_result {
    struct sb_buf text; /* the merged document; where a place is undecided, with the server's value
                         * there (what the next run is merged onto, V4) */
    bool absent;        /* it is deleted, or there is none; text is empty */
    struct sb_pointers undecided; /* not empty: a conflict. Only with merge and manual */
    struct sb_pointers lost;      /* places that the policy gave to the server */
    struct sb_pointers won;       /* ... and to local */
};

void sb_merge(struct sb_span base, struct sb_span local, struct sb_span server,
              const struct sb_merge_rules *rules, struct sb_merge_result *result);

/* The document of a result, borrowed; the empty span where it is absent. */
struct sb_span sb_merge_text(const struct sb_merge_result *result);

void sb_merge_result_free(struct sb_merge_result *result); /* frees the contents; empty again */

#endif
