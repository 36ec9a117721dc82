#include "edge_agent/pacer.h"

#include <string.h>

#include "common/check.h"

#define RECEIVE_MAX_RESERVE 4 /* SUBSCRIBE, state, hello and a request also count */

void pacer_init(struct pacer *pacer, const struct pacer_config *config)
{
    *pacer = (struct pacer){.config = *config,
                            .window = 1,
                            .last_reply_ms = INT64_MIN / 2,
                            .doubled_ms = INT64_MIN / 2};
    if (pacer->config.window_max >= PACER_FLIGHTS_MAX)
        pacer->config.window_max = PACER_FLIGHTS_MAX - 1; /* every flight needs a slot */
    pacer->retry_ms = config->retry_min_ms;
}

void pacer_up(struct pacer *pacer, uint32_t receive_max)
{
    unsigned window = receive_max > RECEIVE_MAX_RESERVE ? receive_max - RECEIVE_MAX_RESERVE : 1;

    pacer->window = window < pacer->config.window_max ? window : pacer->config.window_max;
    pacer->unacked = 0;
    pacer->other_count = 0;
}

static void land(struct pacer *pacer, struct flight *flight)
{
    if (flight->flying)
        pacer->flying--;
    flight->flying = false;
}

static void ack(struct pacer *pacer, struct flight *flight)
{
    if (flight->unacked && pacer->unacked > 0)
        pacer->unacked--;
    flight->unacked = false;
}

void pacer_down(struct pacer *pacer)
{
    for (int i = 0; i < PACER_FLIGHTS_MAX; i++) {
        land(pacer, &pacer->flights[i]);
        pacer->flights[i].unacked = false;
    }
    pacer->unacked = 0;
    pacer->other_count = 0;
}

void pacer_forget(struct pacer *pacer)
{
    for (int i = 0; i < PACER_FLIGHTS_MAX; i++) {
        land(pacer, &pacer->flights[i]);
        pacer->flights[i].batch_id[0] = '\0'; /* its PUBACK may still come: unacked stays */
    }
}

bool pacer_may_send(const struct pacer *pacer)
{
    return pacer->flying < pacer->window && pacer->unacked < pacer->window;
}

/* A free slot, or the longest remembered flight that does not fly: its reply, should it still come,
 * will be for an unknown batch and change nothing. */
static struct flight *free_slot(struct pacer *pacer)
{
    struct flight *oldest = NULL;

    for (int i = 0; i < PACER_FLIGHTS_MAX; i++) {
        struct flight *flight = &pacer->flights[i];

        if (flight->batch_id[0] == '\0' && !flight->unacked)
            return flight;
        if (!flight->flying && (oldest == NULL || flight->serial < oldest->serial))
            oldest = flight;
    }
    SB_CHECK(oldest != NULL); /* the window is far smaller than the table */
    ack(pacer, oldest);
    return oldest;
}

void pacer_sent(struct pacer *pacer, const char *batch_id, int64_t s, uint64_t lo, uint64_t hi,
                enum flight_kind kind, uint32_t token, int64_t now_ms)
{
    struct flight *flight = free_slot(pacer);

    *flight = (struct flight){.s = s,
                              .lo = lo,
                              .hi = hi,
                              .kind = kind,
                              .flying = true,
                              .unacked = true,
                              .token = token,
                              .sent_ms = now_ms,
                              .serial = ++pacer->serial};
    memcpy(flight->batch_id, batch_id, SB_UUID_LEN + 1);
    pacer->flying++;
    pacer->unacked++;
}

void pacer_other_sent(struct pacer *pacer, uint32_t token)
{
    if (pacer->other_count == PACER_OTHERS_MAX)
        return;
    pacer->others[pacer->other_count++] = token;
    pacer->unacked++;
}

static void other_acked(struct pacer *pacer, uint32_t token)
{
    for (unsigned i = 0; i < pacer->other_count; i++) {
        if (pacer->others[i] != token)
            continue;
        pacer->others[i] = pacer->others[--pacer->other_count];
        pacer->unacked--;
        return;
    }
}

struct flight *pacer_acked(struct pacer *pacer, uint32_t token)
{
    for (int i = 0; i < PACER_FLIGHTS_MAX; i++) {
        struct flight *flight = &pacer->flights[i];

        if (flight->unacked && flight->token == token) {
            ack(pacer, flight);
            return flight->batch_id[0] != '\0' ? flight : NULL;
        }
    }
    other_acked(pacer, token);
    return NULL;
}

static void measure(struct pacer *pacer, const struct flight *flight, int64_t now_ms)
{
    double took = (double)(now_ms - flight->sent_ms);

    if (pacer->srtt_ms <= 0)
        pacer->srtt_ms = took > 0.5 ? took : 0.5;
    else
        pacer->srtt_ms += (took - pacer->srtt_ms) / 8; /* RFC 6298's gain */
}

struct flight *pacer_reply(struct pacer *pacer, const char *batch_id, int64_t now_ms,
                           bool *was_flying)
{
    for (int i = 0; i < PACER_FLIGHTS_MAX; i++) {
        struct flight *flight = &pacer->flights[i];

        if (flight->batch_id[0] == '\0' || strcmp(flight->batch_id, batch_id) != 0)
            continue;
        *was_flying = flight->flying;
        if (flight->flying)
            measure(pacer, flight, now_ms);
        land(pacer, flight);
        pacer->replies++;
        pacer->last_reply_ms = now_ms;
        return flight;
    }
    return NULL;
}

void pacer_drop(struct pacer *pacer, struct flight *flight)
{
    land(pacer, flight);
    flight->batch_id[0] = '\0';
}

/* While others are answered, or the ingest is known to be there, a silence means a lost message. */
static int64_t timeout_of(const struct pacer *pacer, const struct flight *flight,
                          bool ingest_online)
{
    if (ingest_online || pacer->last_reply_ms >= flight->sent_ms)
        return pacer_rto(pacer);
    return pacer->retry_ms;
}

struct flight *pacer_expired(struct pacer *pacer, bool ingest_online, int64_t now_ms)
{
    for (int i = 0; i < PACER_FLIGHTS_MAX; i++) {
        struct flight *flight = &pacer->flights[i];

        if (!flight->flying || now_ms - flight->sent_ms < timeout_of(pacer, flight, ingest_online))
            continue;
        land(pacer, flight);
        pacer->timeouts++;
        if (pacer->last_reply_ms < flight->sent_ms && !ingest_online &&
            flight->sent_ms >= pacer->doubled_ms) { /* once for all that flew together */
            pacer_next_retry(pacer);
            pacer->doubled_ms = now_ms;
        }
        return flight;
    }
    return NULL;
}

int64_t pacer_deadline(const struct pacer *pacer, bool ingest_online)
{
    int64_t first = INT64_MAX;

    for (int i = 0; i < PACER_FLIGHTS_MAX; i++) {
        const struct flight *flight = &pacer->flights[i];
        int64_t due;

        if (!flight->flying)
            continue;
        due = flight->sent_ms + timeout_of(pacer, flight, ingest_online);
        first = due < first ? due : first;
    }
    return first;
}

int64_t pacer_rto(const struct pacer *pacer)
{
    int64_t rto = pacer->srtt_ms > 0 ? (int64_t)(4 * pacer->srtt_ms) : pacer->config.rto_min_ms;

    if (rto < pacer->config.rto_min_ms)
        return pacer->config.rto_min_ms;
    return rto > pacer->config.rto_max_ms ? pacer->config.rto_max_ms : rto;
}

int64_t pacer_reply_ms(const struct pacer *pacer)
{
    return (int64_t)pacer->srtt_ms;
}

int64_t pacer_next_retry(struct pacer *pacer)
{
    int64_t now = pacer->retry_ms;

    pacer->retry_ms = now * 2 < pacer->config.retry_max_ms ? now * 2 : pacer->config.retry_max_ms;
    return now;
}

void pacer_reset_retry(struct pacer *pacer)
{
    pacer->retry_ms = pacer->config.retry_min_ms;
}
