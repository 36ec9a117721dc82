#ifndef EDGE_SESSION_H
#define EDGE_SESSION_H

#include "common/hello.h"

/* The hello gate (rules D1, D2), pure: events and the time come in, decisions go out.
 *
 *   down ──up──▶ due ──hello sent──▶ waiting ──all parts of the welcome──▶ open
 *    ▲            ▲                    │  ▲ │ timer: again                  │
 *    └──────── any state: down ────────┘  └─┘                               │
 *                 └── another boot announced, refused with "hello", asked ──┘
 *
 * While waiting nothing but the hello is sent. While due after a refusal the gate stays open until
 * the hello goes. While the ingest is away the gate is shut too, and the hello is the probe. */

struct session_config {
    int64_t refused_min_ms; /* at most one hello per max(this, 4 x reply time) after refusals */
};

struct session {
    struct session_config config;
    bool connected, due, welcomed;
    bool away;                   /* the ingest has said that it goes, or its Last Will has */
    char nonce[SB_UUID_LEN + 1]; /* of the hello that is waiting or was answered, "" = none */
    char boot[SB_UUID_LEN + 1];  /* of the welcome, "" = none since the last hello */
    int64_t next_hello_ms;
    int64_t last_refused_ms;
    unsigned unanswered; /* hellos in a row without a welcome */
    bool ingest_online;
    char announced[SB_UUID_LEN + 1];
    struct sb_welcome whole; /* the parts so far */
    struct sb_ranges *parts; /* per page: parts seen */
    uint32_t *last_part;     /* per page: number of its last part, 0 = not known */
    uint32_t page_count;
};

void session_init(struct session *session, const struct session_config *config);
void session_fini(struct session *session);

void session_up(struct session *session);
void session_down(struct session *session);
/* The ingest's retained presence. True when it has just come online (delays start over; a hello
 * that waits goes again after again_ms at the latest). When it goes, the first probe is due after
 * again_ms. */
bool session_presence(struct session *session, const char *boot, bool online, int64_t now_ms,
                      int64_t again_ms);
void session_asked(struct session *session); /* a notify that asks for a hello */
/* A batch or request was refused with "hello", or an answer of another boot came. */
void session_refused(struct session *session, int64_t now_ms, int64_t reply_ms);
/* The hello that waits was refused: the next one is due after again_ms. */
void session_hello_refused(struct session *session, int64_t now_ms, int64_t again_ms);

bool session_hello_due(const struct session *session, int64_t now_ms);
/* The hello with this nonce was handed to the link, in `pages` pages. */
void session_hello_sent(struct session *session, const char *nonce, uint32_t pages, int64_t now_ms,
                        int64_t repeat_ms);
int64_t session_deadline(const struct session *session);

enum session_welcome { SESSION_IGNORED, SESSION_MORE, SESSION_COMPLETE };
/* One part of a welcome. COMPLETE: session->whole holds all standings, the highest commit, and
 * `restored` when any part said so; the gate opens with session_open after D3 was committed. Parts
 * of another boot than the first one's are ignored: all is of one boot, or the timer says hello
 * anew (at once, two ingests that both answer would cause one hello after the other). Takes over
 * nothing of `part`. */
enum session_welcome session_welcome(struct session *session, const struct sb_welcome *part);
void session_open(struct session *session);

bool session_gate_open(const struct session *session);

#endif
