#ifndef EDGE_EDGE_INTERNAL_H
#define EDGE_EDGE_INTERNAL_H

#include "common/gzip.h"
#include "common/reply.h"
#include "common/request.h"
#include "common/request_documents.h"
#include "edge_agent/edge.h"
#include "edge_agent/publisher.h"
#include "edge_agent/settle.h"

/* The state that edge*.c share; nobody else includes this. */

#define EDGE_REPLIES_MAX 256 /* collected for one transaction; beyond it that runs at once */
/* Pause of sending after a transaction that failed, doubling; the poll ends it. */
#define EDGE_HOLD_MIN_MS 1000
#define EDGE_HOLD_MAX_MS 60000
#define EDGE_POLL_MS     1000 /* looks for changes of processes whose wake-up was lost */

#define EDGE_OWN_CALLS   4 /* requests of the core itself that wait for an answer */
#define EDGE_CALLS       (EDGE_REQUESTS_MAX + EDGE_OWN_CALLS)
#define EDGE_READS_MAX   1000 /* stale documents of a table read in one go */
#define EDGE_PULL_LIMIT  100  /* changes asked for in one page */
#define EDGE_CHANGED_MAX 1000 /* documents told to the hook after one commit */

struct collected {
    struct flight flight; /* a copy: the table may move on */
    struct sb_reply reply;
};

/* ---- requests ---- */

enum edge_call_kind {
    CALL_NONE,
    CALL_OTHER, /* somebody else's: edge_request */
    CALL_READ,  /* one document, somebody else's: edge_read */
    CALL_PAGE,  /* changes of name.user, name.table */
    CALL_STALE, /* a document that is to be read again */
    CALL_CONFLICTS,
    CALL_TELL
};

/* The first EDGE_REQUESTS_MAX places are others', the rest the core's own. */
struct edge_call {
    enum edge_call_kind kind;
    bool sent;
    unsigned times; /* sent */
    char id[SB_UUID_LEN + 1];
    const char *op;
    char other_op[SB_NAME_MAX + 1];
    struct sb_buf args;
    int64_t sent_ms, deadline_ms;
    struct document_name name; /* of a page without an id, of the rest as needed */
    uint64_t seen;             /* CALL_STALE: the version last seen when it was asked for */
    edge_answer_fn answer_fn;
    edge_read_fn read_fn;
    void *ctx;
};

/* ---- pulling ---- */

enum pull_phase { PULL_IDLE, PULL_PAGES, PULL_READS };

/* What is pulled of one (user, table); table "" stands for the user's open conflicts. */
struct pull {
    char user[SB_NAME_MAX + 1], table[SB_NAME_MAX + 1];
    bool here;      /* among the users and tables as of the last look, not switched off */
    bool automatic; /* its auto_sync is on */
    enum pull_phase phase;
    bool wanted, reads_wanted;   /* due: changes and stale documents; stale documents alone */
    bool whole;                  /* it began at 0 */
    uint64_t began;              /* ... when the user's counter was there; 0: no page yet */
    struct sb_cursor position;   /* of the next page; in memory only (V6) */
    int64_t added_us;            /* of the user, when the first page was asked for */
    char after[SB_ID_MAX + 1];   /* stale documents up to here were looked at */
    unsigned reads, open_reads;  /* asked for; not answered */
    unsigned blocked;            /* stale ones with operations pending */
    bool reads_end;              /* there are no more of them */
    enum sb_code refused;        /* why the first that cannot be read cannot, SB_OK = all can */
    uint64_t counter;            /* table "": the highest version of the user that is known */
    int64_t ops_after, ops_next; /* conflicts: operations up to here were asked about */
    uint64_t entries_after;      /* ... and entries of the answer */
    uint32_t joined, joining;    /* rounds that wait for this pull, or for the next one */
    uint32_t failed;             /* rounds for which it failed */
    enum sb_code code;           /* of the last failure, SB_OK after a good end */
    int64_t not_before_ms;       /* after a failure */
    int64_t delay_ms;
};

/* One edge_sync that waits. */
struct pull_round {
    bool used;
    bool full;                  /* every table of its users */
    char user[SB_NAME_MAX + 1]; /* "" = all */
    int64_t deadline_ms;
    struct edge_synced synced;
    struct sb_err err;
    edge_synced_fn fn;
    void *ctx;
};

struct edge {
    struct edge_config config;
    char device[SB_NAME_MAX + 1];
    char device_boot[SB_UUID_LEN + 1];
    struct outbox *ob;
    struct sb_link *link;
    struct sb_rng *rng;
    struct lanes lanes;
    struct session session;
    struct pacer pacer;
    struct publisher *pub;
    struct sb_gzip *gzip;
    struct sb_buf text; /* an inflated payload */
    struct sb_limits limits;
    struct sb_receipt receipt;
    struct collected *replies;
    size_t reply_count;
    struct settle_counts counts; /* of the open transaction */
    bool hole_settled;
    bool ordered_settled; /* ... answered operations of documents */
    bool welcome_whole;   /* all parts are there, D3 has not run */
    bool awake, dead_due, reload;
    int64_t data_version;
    int64_t next_poll_ms, next_purge_ms, last_puback_ms;
    int64_t hold_until_ms; /* nothing is sent before: the disk refused a settlement */
    int64_t hold_ms;       /* the pause in force, 0 = none */
    struct sb_now started; /* for ages that a jump of the wall clock must not change */
    size_t round_robin;
    struct edge_call calls[EDGE_CALLS];
    struct pull *pulls; /* sorted by user and table */
    size_t pull_count;
    struct pull_round rounds[EDGE_SYNCS_MAX];
    char pull_boot[SB_UUID_LEN + 1]; /* of the last welcome */
    uint64_t pulls_version; /* of the users, tables and switches as they were read; 0 = never */
    size_t pulls_lanes;     /* how many lanes there were then */
    bool pulls_looked;
    bool pulls_due;  /* users, tables and switches are to be read */
    bool pulls_busy; /* one of them may have something to do */
    bool stale_due;  /* documents may be stale and free to be read */
    bool tell_due;   /* decisions may be there to be told */
    char tell_after[SB_UUID_LEN + 1];
    int64_t tell_not_before_ms, tell_delay_ms; /* after refusals */
    struct document_name *changed;             /* since the last commit that was told of */
    size_t changed_count;
    edge_settled_fn settled_fn;
    void *settled_ctx;
    edge_changed_fn changed_fn;
    void *changed_ctx;
    struct edge_status status;
};

/* edge_receive.c */
void edge_receive_message(struct edge *edge, const struct sb_link_event *event, struct sb_now now);
void edge_receive_puback(struct edge *edge, const struct sb_link_event *event, struct sb_now now);
/* edge.c: one transaction for all collected replies. False when it failed (all is loaded anew). */
bool edge_settle_collected(struct edge *edge, struct sb_now now);
void edge_note_error(struct edge *edge, const struct sb_err *err);
/* A transaction failed: what the sets in memory say may not be on disk; a pause begins. */
void edge_start_over(struct edge *edge, struct sb_now now, const struct sb_err *err);
/* A flight no longer flies: its numbers are free to be sent again. */
void edge_unfly(struct edge *edge, const struct flight *flight);
void edge_park(struct edge *edge, struct lane *lane, struct sb_now now, uint64_t least_ms,
               enum sb_code code, const char *reason);
/* A batch of that many records was too large: half of it is the most from now on. False when it was
 * one record. */
bool edge_split(struct lane *lane, uint64_t records);
struct documents edge_documents(const struct edge *edge);

/* edge_send.c */
void edge_send_hello(struct edge *edge, struct sb_now now);
void edge_send_work(struct edge *edge, struct sb_now now);
int edge_publish(struct edge *edge, enum sb_up_class class, struct sb_span payload, bool gzip,
                 const char *correlation, uint32_t *token, struct sb_err *err);

/* edge_request.c */
/* A free place of the kind's, with an id of its own; NULL when there is none. */
struct edge_call *edge_call_add(struct edge *edge, enum edge_call_kind kind, const char *op,
                                struct sb_now now);
void edge_call_document(struct edge_call *call, const struct document_name *name);
void edge_call_drop(struct edge_call *call);
void edge_calls_free(struct edge *edge);
void edge_calls_send(struct edge *edge, struct sb_now now);
void edge_calls_forget(struct edge *edge); /* a hello was sent: they go again */
void edge_calls_expire(struct edge *edge, struct sb_now now);
void edge_calls_answer(struct edge *edge, struct sb_span json, struct sb_now now);
int64_t edge_calls_deadline(const struct edge *edge);
/* The data of an answer to document.get, taken in a transaction of its own. */
int edge_take_document(struct edge *edge, const struct document_name *name, struct sb_span data,
                       struct sb_now now, enum documents_taken *taken, uint64_t *version,
                       struct sb_err *err);

/* edge_pull_list.c */
void edge_pulls_free(struct edge *edge);
/* Reads users, tables and switches, those of the lanes too. */
void edge_pulls_look(struct edge *edge);
/* Among the first `count`; NULL when there is none. Valid until one is appended. */
struct pull *edge_pull_find(struct edge *edge, size_t count, const char *user, const char *table);
struct pull *edge_pull_append(struct edge *edge, const char *user, const char *table);
void edge_pull_sort(struct edge *edge);
void edge_pull_drop_calls(struct edge *edge, const struct pull *pull);

/* edge_pull.c */
/* What is due becomes requests. */
void edge_pull_step(struct edge *edge, struct sb_now now);
void edge_pull_answer(struct edge *edge, struct edge_call *call, const struct sb_answer *answer,
                      struct sb_now now);
void edge_pull_welcomed(struct edge *edge, const char *boot);
void edge_pull_acked(struct edge *edge, const struct document_name *name, uint64_t version);
void edge_pull_notified(struct edge *edge, const char *user, const char *table, uint64_t version);
/* The text of a document may have changed because of the cloud; told after the commit. */
void edge_pull_took(struct edge *edge, const struct document_name *name,
                    enum documents_taken taken);
void edge_pull_changed(struct edge *edge, const struct document_name *name);
void edge_pull_tell_changed(struct edge *edge);
void edge_pull_end(struct edge *edge, struct pull *pull, struct sb_now now);
void edge_pull_fail(struct edge *edge, struct pull *pull, const struct sb_err *err,
                    struct sb_now now);
/* A call of the core's own about this pull; NULL when no place is free. */
struct edge_call *edge_pull_call(struct edge *edge, enum edge_call_kind kind, const char *op,
                                 const struct pull *pull, struct sb_now now);

/* edge_pull_pages.c */
int edge_pull_start(struct edge *edge, struct pull *pull, struct sb_err *err);
void edge_pull_ask_page(struct edge *edge, struct pull *pull, struct sb_now now);
void edge_pull_answer_page(struct edge *edge, struct pull *pull, const struct sb_answer *answer,
                           struct sb_now now);

/* edge_pull_reads.c */
void edge_pull_read_stale(struct edge *edge, struct pull *pull, struct sb_now now);
/* seen: the version last seen when it was asked for. */
void edge_pull_answer_stale(struct edge *edge, struct pull *pull, const struct document_name *name,
                            uint64_t seen, const struct sb_answer *answer, struct sb_now now);
/* Finds the tables with stale documents. */
void edge_pull_look_for_stale(struct edge *edge);

/* edge_pull_conflicts.c */
void edge_pull_ask_conflicts(struct edge *edge, struct pull *pull, struct sb_now now);
void edge_pull_answer_conflicts(struct edge *edge, struct pull *pull,
                                const struct sb_answer *answer, struct sb_now now);
void edge_pull_tell(struct edge *edge, struct sb_now now);
void edge_pull_answer_tell(struct edge *edge, const char *ask, const struct sb_answer *answer,
                           struct sb_now now);

/* edge_round.c: those who wait for pulls. */
void edge_round_brought(struct edge *edge, const struct pull *pull, uint64_t changes,
                        uint64_t taken);
/* The pull has ended for the rounds that joined it, well or with err. */
void edge_round_pulled(struct edge *edge, struct pull *pull, const struct sb_err *err);
void edge_rounds_end(struct edge *edge, struct sb_now now);
int64_t edge_rounds_deadline(const struct edge *edge);

#endif
