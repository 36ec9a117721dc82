#ifndef CLOUD_NOTIFY_H
#define CLOUD_NOTIFY_H

#include "common/link.h"
#include "store.h"
#include "written.h"

/* Tells devices that something newer exists (PROTOCOL.md section 7): after a commit, one message
 * per (device, user, table) of the transaction, QoS 0. Goes to every device bound to the user but
 * the author, and to the author too where a result is not what it submitted. It is a hint: what the
 * link does not take now is dropped, so that it never blocks and nothing waits. */
struct notifier;

struct notifier *notifier_new(struct store *store, struct sb_link *link);
void notifier_free(struct notifier *notifier);

/* Call it after the commit, with what the transaction wrote; at most LIMIT_NOTIFIES messages. */
void notifier_tell(struct notifier *notifier, const struct written_list *written);

void notifier_figures(const struct notifier *notifier, uint64_t *sent, uint64_t *dropped);

#endif
