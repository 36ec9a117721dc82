#ifndef TEST_EDGE_BENCH_H
#define TEST_EDGE_BENCH_H

/* The edge's core on a link that only records, with a test that plays broker and cloud. */
#include "edge_kit.h"

#include "common/envelope.h"
#include "common/hello.h"
#include "common/link.h"
#include "common/request.h"
#include "edge_agent/edge.h"

#define BENCH_AIR  "sensors/air_quality"
#define BENCH_USER "settings/user-1"

struct sent {
    char topic[SB_TOPIC_MAX];
    char correlation[SB_UUID_LEN + 1];
    struct sb_buf json; /* inflated */
    uint32_t token;
    enum sb_kind kind;
    /* of a batch */
    char batch_id[SB_UUID_LEN + 1], boot[SB_UUID_LEN + 1], epoch[SB_EPOCH_LEN + 1];
    char stream[SB_STREAM_MAX + 1];
    uint64_t lo, hi;
    bool hole, again;
};

struct bench {
    struct edge *edge;
    struct sb_link link;
    struct sent sent[512];
    size_t count;        /* everything published so far */
    size_t seen;         /* up to where bench_next has come */
    uint32_t tokens;     /* of the last publish */
    enum sb_code refuse; /* what publish answers, SB_OK = takes it */
    bool dropped;
    const char *tables[4]; /* that welcomes declare, NULL = no more */
};
extern struct bench bench;

/* An outbox, nothing in it, the edge's core not started. */
int bench_setup(void **state);
int bench_teardown(void **state);
void bench_start(void);   /* the process begins, or begins anew */
void bench_connect(void); /* the link is up and the ingest is announced online */
void bench_disconnect(void);
/* Connects, ticks, answers the hello; the gate is open afterwards. */
void bench_open(void);

void bench_tick(void);
void bench_pass(int64_t ms); /* time passes, nothing else */

/* The next publish that nobody has looked at; fails the test when there is none. */
struct sent *bench_next(void);
struct sent *bench_next_batch(const char *stream, uint64_t lo, uint64_t hi);
struct sent *bench_next_hello(struct sb_hello *hello); /* decoded; the caller frees it */
void bench_assert_quiet(void); /* nothing was published that nobody has looked at */
void bench_puback(const struct sent *sent, enum sb_code code);
void bench_puback_all(void);

/* ---- what the cloud says; a tick is the test's business ---- */
void bench_online(const char *boot);
void bench_welcome(const char *nonce, const char *boot, uint64_t commit, bool restored);
void bench_send(const char *class, const struct sb_buf *json, bool retained);
/* Everything stored (or the outcome that edit() makes of it). */
void bench_answer(const struct sent *batch, void (*edit)(struct sb_reply *reply));
void bench_reject_two(struct sb_reply *reply); /* edit(): the second number is rejected */
void bench_refuse(const struct sent *batch, enum sb_code code, uint64_t retry_after_ms);
void bench_refuse_hello(const char *nonce, enum sb_code code);

/* The settled set of a lane as text, as the file has it. */
void bench_assert_settled(const char *stream, const char *text);
struct edge_status bench_status(void);

#endif
