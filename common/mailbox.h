#ifndef SB_MAILBOX_H
#define SB_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link.h"

/* The one way from Paho's threads to the owner thread: a bounded queue of link events and an
 * eventfd that is readable while something waits. Posting never blocks: Paho holds its mutex in
 * callbacks and the owner may be waiting for it in a send. */
struct sb_mailbox;

/* Room for max_messages messages of max_bytes (topic, payload and correlation) in all. Connection
 * states and publish results have room of their own that cannot run out: the newest state replaces
 * an older one that nobody has read (UP after DOWN keeps both), results are bounded by the window
 * (max_tokens > 0; see sb_mailbox_result_room). NULL when there is no descriptor left. */
struct sb_mailbox *sb_mailbox_new(size_t max_messages, size_t max_bytes, size_t max_tokens);
void sb_mailbox_free(struct sb_mailbox *box);

/* Any thread. Takes the event's memory over. False: a message found no room and was dropped and
 * counted (resending repairs it). */
bool sb_mailbox_post(struct sb_mailbox *box, struct sb_link_event *event);

/* Owner thread. The next event in the order posted; false when empty. The caller ends it with
 * sb_link_event_fini. */
bool sb_mailbox_take(struct sb_mailbox *box, struct sb_link_event *event);

int sb_mailbox_fd(const struct sb_mailbox *box);     /* poll for reading */
uint64_t sb_mailbox_dropped(struct sb_mailbox *box); /* messages dropped so far */
size_t sb_mailbox_waiting(struct sb_mailbox *box);   /* messages waiting now */

/* How many more results could be posted now. A link never has more tokens outstanding than this,
 * so that a result always finds room; one too many is a bug and aborts. */
size_t sb_mailbox_result_room(struct sb_mailbox *box);

#endif
