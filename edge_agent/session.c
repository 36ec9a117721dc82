#include "edge_agent/session.h"

#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/rules.h"

void session_init(struct session *session, const struct session_config *config)
{
    *session = (struct session){.config = *config, .last_refused_ms = INT64_MIN / 2};
    sb_welcome_init(&session->whole);
}

static void forget_parts(struct session *session)
{
    for (uint32_t i = 0; i < session->page_count; i++)
        sb_ranges_free(&session->parts[i]);
    free(session->parts);
    free(session->last_part);
    session->parts = NULL;
    session->last_part = NULL;
    session->page_count = 0;
    sb_welcome_free(&session->whole);
    sb_welcome_init(&session->whole);
}

void session_fini(struct session *session)
{
    forget_parts(session);
}

void session_up(struct session *session)
{
    session->connected = true;
    session->due = true;
    session->away = false; /* the retained presence tells anew */
    session->welcomed = false;
    session->nonce[0] = '\0'; /* an old welcome counts no more */
}

void session_down(struct session *session)
{
    session->connected = false;
    session->welcomed = false;
    session->nonce[0] = '\0';
}

bool session_presence(struct session *session, const char *boot, bool online, int64_t now_ms,
                      int64_t again_ms)
{
    bool fresh = online && (!session->ingest_online || strcmp(boot, session->announced) != 0);

    session->ingest_online = online;
    if (!online && !session->away && session->welcomed)
        session->next_hello_ms = now_ms + again_ms;
    session->away = !online;
    if (!online)
        return false;
    memmove(session->announced, boot, strnlen(boot, SB_UUID_LEN));
    session->announced[strnlen(boot, SB_UUID_LEN)] = '\0';
    if (!fresh)
        return false;
    session->unanswered = 0;
    if (!session->welcomed && session->next_hello_ms > now_ms + again_ms)
        session->next_hello_ms = now_ms + again_ms; /* somebody is there to answer now */
    if (session->welcomed && strcmp(boot, session->boot) != 0 && sb_rule(SB_RULE_HELLO_BOOT))
        session->due = true;
    return true;
}

void session_asked(struct session *session)
{
    session->due = true;
}

void session_refused(struct session *session, int64_t now_ms, int64_t reply_ms)
{
    int64_t least = session->config.refused_min_ms;

    if (!session->welcomed || !sb_rule(SB_RULE_HELLO_FOREIGN))
        return;
    least = least > 4 * reply_ms ? least : 4 * reply_ms;
    if (sb_rule(SB_RULE_HELLO_RATE) && now_ms - session->last_refused_ms < least)
        return;
    session->last_refused_ms = now_ms;
    session->due = true;
}

void session_hello_refused(struct session *session, int64_t now_ms, int64_t again_ms)
{
    session->next_hello_ms = now_ms + again_ms;
    session->nonce[0] = '\0'; /* other pages of it may be refused too: it counts once */
}

/* Nobody answers: the hello goes on its timer. */
static bool probing(const struct session *session)
{
    return !session->welcomed || session->away;
}

bool session_hello_due(const struct session *session, int64_t now_ms)
{
    if (!session->connected)
        return false;
    if (session->due)
        return true;
    return probing(session) && now_ms >= session->next_hello_ms && sb_rule(SB_RULE_HELLO_REPEAT);
}

int64_t session_deadline(const struct session *session)
{
    if (!session->connected)
        return INT64_MAX;
    if (session->due)
        return INT64_MIN;
    return probing(session) ? session->next_hello_ms : INT64_MAX;
}

void session_hello_sent(struct session *session, const char *nonce, uint32_t pages, int64_t now_ms,
                        int64_t repeat_ms)
{
    SB_CHECK(pages >= 1 && strlen(nonce) == SB_UUID_LEN);
    forget_parts(session);
    session->parts = sb_xcalloc(pages, sizeof(*session->parts));
    session->last_part = sb_xcalloc(pages, sizeof(*session->last_part));
    session->page_count = pages;
    memcpy(session->nonce, nonce, SB_UUID_LEN + 1);
    session->due = false;
    session->welcomed = false;
    if (sb_rule(SB_RULE_HELLO_FORGETS))
        session->boot[0] = '\0';
    session->unanswered++;
    session->next_hello_ms = now_ms + repeat_ms;
}

static bool part_is_new(struct session *session, const struct sb_welcome *part)
{
    if (part->page < 1 || part->page > session->page_count || part->part < 1)
        return false;
    if (sb_ranges_has(&session->parts[part->page - 1], part->part))
        return false;
    sb_ranges_add(&session->parts[part->page - 1], part->part, part->part);
    if (!part->more)
        session->last_part[part->page - 1] = part->part;
    return true;
}

static bool all_parts_seen(const struct session *session)
{
    for (uint32_t i = 0; i < session->page_count; i++)
        if (session->last_part[i] == 0 ||
            !sb_ranges_has_all(&session->parts[i], 1, session->last_part[i]))
            return false;
    return true;
}

/* Every part names all tables: those of the last one that came. */
static void copy_tables(struct sb_welcome *whole, const struct sb_welcome *part)
{
    size_t size = part->table_count * sizeof(*part->tables);

    whole->tables = sb_xrealloc(whole->tables, size > 0 ? size : sizeof(*whole->tables));
    whole->table_count = part->table_count;
    if (size > 0)
        memcpy(whole->tables, part->tables, size);
}

static void merge_part(struct sb_welcome *whole, const struct sb_welcome *part)
{
    memcpy(whole->nonce, part->nonce, sizeof(whole->nonce));
    memcpy(whole->boot, part->boot, sizeof(whole->boot));
    whole->commit = part->commit > whole->commit ? part->commit : whole->commit;
    whole->restored = whole->restored || part->restored;
    whole->limits = part->limits;
    whole->server_time_us = part->server_time_us;
    copy_tables(whole, part);
    for (size_t i = 0; i < part->standing_count; i++) {
        const struct sb_standing *from = &part->standings[i];
        struct sb_standing *to = sb_welcome_add(whole, from->epoch, from->stream);

        sb_ranges_copy(&to->decided, &from->decided);
        sb_ranges_copy(&to->holes, &from->holes);
    }
}

enum session_welcome session_welcome(struct session *session, const struct sb_welcome *part)
{
    if (session->welcomed || session->nonce[0] == '\0')
        return SESSION_IGNORED;
    if (strcmp(part->nonce, session->nonce) != 0 && sb_rule(SB_RULE_NONCE))
        return SESSION_IGNORED;
    if (session->whole.boot[0] != '\0' && strcmp(session->whole.boot, part->boot) != 0)
        return SESSION_IGNORED; /* the timer says hello anew, should the first one be gone */
    if (!part_is_new(session, part))
        return SESSION_IGNORED;
    merge_part(&session->whole, part);
    return all_parts_seen(session) ? SESSION_COMPLETE : SESSION_MORE;
}

void session_open(struct session *session)
{
    memcpy(session->boot, session->whole.boot, sizeof(session->boot));
    session->welcomed = true;
    session->away = false; /* whatever its presence said */
    session->unanswered = 0;
    forget_parts(session);
}

bool session_gate_open(const struct session *session)
{
    return session->connected && ((session->welcomed && !session->away) || !sb_rule(SB_RULE_GATE));
}
