#include "notify.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/notify.h"
#include "common/topic.h"
#include "limits.h"
#include "store_requests.h"

struct notifier {
    struct store *store;
    struct sb_link *link;
    struct sb_buf json;
    size_t left; /* messages that this commit may still cause */
    uint64_t sent, dropped;
};

struct notifier *notifier_new(struct store *store, struct sb_link *link)
{
    struct notifier *notifier = sb_xcalloc(1, sizeof(*notifier));

    notifier->store = store;
    notifier->link = link;
    return notifier;
}

void notifier_free(struct notifier *notifier)
{
    if (notifier == NULL)
        return;
    sb_buf_free(&notifier->json);
    free(notifier);
}

/* The entries of one (user, table): several where several authors wrote. */
struct telling {
    struct notifier *notifier;
    const struct written_list *written;
    const struct written *first;
};

static bool same_table(const struct written *a, const struct written *b)
{
    return strcmp(a->user, b->user) == 0 && strcmp(a->table, b->table) == 0;
}

/* Did somebody else write, or was something merged into what the device wrote? */
static bool is_news(const struct telling *t, const char *device)
{
    for (size_t i = 0; i < t->written->count; i++) {
        const struct written *w = &t->written->at[i];

        if (same_table(w, t->first) && (w->merged || strcmp(w->author, device) != 0))
            return true;
    }
    return false;
}

static bool tell_device(void *ctx, const char *device)
{
    struct telling *t = ctx;
    struct notifier *notifier = t->notifier;
    char topic[SB_TOPIC_MAX];
    struct sb_link_message message = {
        .topic = topic, .payload = sb_buf_span(&notifier->json), .qos = 0};
    struct sb_err why;

    if (!is_news(t, device))
        return true;
    if (notifier->left == 0) {
        notifier->dropped++;
        return true;
    }
    notifier->left--;
    sb_topic_down(topic, device, "notify");
    if (notifier->link->publish(notifier->link, &message, NULL, &why) == 0)
        notifier->sent++;
    else
        notifier->dropped++;
    return true;
}

static void tell_table(struct notifier *notifier, const struct written_list *written,
                       const struct written *first)
{
    struct telling telling = {notifier, written, first};
    struct sb_notify notify = {.version = 0};
    struct sb_err err;

    memcpy(notify.user, first->user, sizeof(notify.user));
    memcpy(notify.table, first->table, sizeof(notify.table));
    for (size_t i = 0; i < written->count; i++)
        if (same_table(&written->at[i], first) && written->at[i].version > notify.version)
            notify.version = written->at[i].version;
    sb_buf_clear(&notifier->json);
    sb_notify_encode(&notify, &notifier->json);
    if (store_user_devices(notifier->store, first->user, tell_device, &telling, &err) != 0)
        sb_log_err("notify", &err);
}

static bool seen_before(const struct written_list *written, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (same_table(&written->at[i], &written->at[index]))
            return true;
    return false;
}

void notifier_tell(struct notifier *notifier, const struct written_list *written)
{
    notifier->left = LIMIT_NOTIFIES;
    for (size_t i = 0; i < written->count; i++)
        if (!seen_before(written, i))
            tell_table(notifier, written, &written->at[i]);
}

void notifier_figures(const struct notifier *notifier, uint64_t *sent, uint64_t *dropped)
{
    *sent = notifier->sent;
    *dropped = notifier->dropped;
}
