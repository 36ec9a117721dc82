#include "mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include "check.h"

struct letter {
    TAILQ_ENTRY(letter) link;
    struct sb_link_event event;
    size_t bytes; /* what it counts against max_bytes */
};

struct sb_mailbox {
    pthread_mutex_t lock; /* a leaf: nothing is called while it is held */
    int fd;
    size_t max_messages, max_bytes, max_results;

    TAILQ_HEAD(, letter) letters; /* all kinds, in the order posted */
    size_t messages, bytes, results;
    struct letter *down, *up; /* the unread states, if any */
    uint64_t dropped;
};

struct sb_mailbox *sb_mailbox_new(size_t max_messages, size_t max_bytes, size_t max_tokens)
{
    struct sb_mailbox *box = sb_xcalloc(1, sizeof(*box));

    SB_CHECK(max_tokens > 0);
    box->max_messages = max_messages;
    box->max_bytes = max_bytes;
    box->max_results = max_tokens;
    TAILQ_INIT(&box->letters);
    SB_CHECK(pthread_mutex_init(&box->lock, NULL) == 0);
    box->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (box->fd < 0) {
        pthread_mutex_destroy(&box->lock);
        free(box);
        return NULL;
    }
    return box;
}

static void letter_free(struct letter *letter)
{
    sb_link_event_fini(&letter->event);
    free(letter);
}

void sb_mailbox_free(struct sb_mailbox *box)
{
    struct letter *letter;

    if (box == NULL)
        return;
    while ((letter = TAILQ_FIRST(&box->letters)) != NULL) {
        TAILQ_REMOVE(&box->letters, letter, link);
        letter_free(letter);
    }
    close(box->fd);
    pthread_mutex_destroy(&box->lock);
    free(box);
}

static void lock(struct sb_mailbox *box)
{
    SB_CHECK(pthread_mutex_lock(&box->lock) == 0);
}

static void unlock(struct sb_mailbox *box)
{
    SB_CHECK(pthread_mutex_unlock(&box->lock) == 0);
}

/* The descriptor follows the queue under the lock, so that it is readable exactly when something
 * waits. An eventfd of ours that is written once and read once cannot fail. */
static void raise_fd(struct sb_mailbox *box)
{
    SB_CHECK(eventfd_write(box->fd, 1) == 0);
}

static void lower_fd(struct sb_mailbox *box)
{
    eventfd_t value;

    SB_CHECK(eventfd_read(box->fd, &value) == 0);
}

static struct letter *letter_new(struct sb_link_event *event)
{
    struct letter *letter = sb_xcalloc(1, sizeof(*letter));

    letter->event = *event;
    *event = (struct sb_link_event){0};
    if (letter->event.kind == SB_LINK_MESSAGE) {
        letter->bytes = letter->event.payload.len + letter->event.correlation.len;
        if (letter->event.topic != NULL)
            letter->bytes += strlen(letter->event.topic);
    }
    return letter;
}

/* Takes the slot's letter out; the caller frees it once the lock is released. */
static struct letter *withdraw(struct sb_mailbox *box, struct letter **slot)
{
    struct letter *old = *slot;

    if (old != NULL)
        TAILQ_REMOVE(&box->letters, old, link);
    *slot = NULL;
    return old;
}

/* A DOWN makes an unread UP pointless and replaces an unread DOWN; an UP leaves the DOWN before it
 * in place, because that one ended the tokens of the connection before. */
static void post_state(struct sb_mailbox *box, struct letter *letter, struct letter *old[2])
{
    old[0] = withdraw(box, &box->up);
    if (letter->event.kind == SB_LINK_DOWN) {
        old[1] = withdraw(box, &box->down);
        box->down = letter;
    } else {
        box->up = letter;
    }
}

/* False when there is no room. */
static bool admit(struct sb_mailbox *box, struct letter *letter, struct letter *old[2])
{
    switch (letter->event.kind) {
    case SB_LINK_UP:
    case SB_LINK_DOWN:
        post_state(box, letter, old);
        return true;
    case SB_LINK_PUBLISHED:
        SB_CHECK(box->results < box->max_results);
        box->results++;
        return true;
    case SB_LINK_MESSAGE:
        if (box->messages >= box->max_messages || letter->bytes > box->max_bytes - box->bytes) {
            box->dropped++;
            return false;
        }
        box->messages++;
        box->bytes += letter->bytes;
        return true;
    }
    return false;
}

bool sb_mailbox_post(struct sb_mailbox *box, struct sb_link_event *event)
{
    struct letter *letter = letter_new(event);
    struct letter *old[2] = {NULL, NULL};
    bool was_empty, kept;

    lock(box);
    was_empty = TAILQ_EMPTY(&box->letters);
    kept = admit(box, letter, old);
    if (kept) {
        TAILQ_INSERT_TAIL(&box->letters, letter, link);
        if (was_empty)
            raise_fd(box);
    }
    unlock(box);
    for (int i = 0; i < 2; i++)
        if (old[i] != NULL)
            letter_free(old[i]);
    if (!kept)
        letter_free(letter);
    return kept;
}

static void discharge(struct sb_mailbox *box, struct letter *letter)
{
    switch (letter->event.kind) {
    case SB_LINK_UP:
        box->up = NULL;
        break;
    case SB_LINK_DOWN:
        box->down = NULL;
        break;
    case SB_LINK_PUBLISHED:
        box->results--;
        break;
    case SB_LINK_MESSAGE:
        box->messages--;
        box->bytes -= letter->bytes;
        break;
    }
}

bool sb_mailbox_take(struct sb_mailbox *box, struct sb_link_event *event)
{
    struct letter *letter;

    lock(box);
    letter = TAILQ_FIRST(&box->letters);
    if (letter != NULL) {
        TAILQ_REMOVE(&box->letters, letter, link);
        discharge(box, letter);
        if (TAILQ_EMPTY(&box->letters))
            lower_fd(box);
    }
    unlock(box);
    if (letter == NULL)
        return false;
    *event = letter->event;
    free(letter);
    return true;
}

int sb_mailbox_fd(const struct sb_mailbox *box)
{
    return box->fd;
}

uint64_t sb_mailbox_dropped(struct sb_mailbox *box)
{
    uint64_t dropped;

    lock(box);
    dropped = box->dropped;
    unlock(box);
    return dropped;
}

size_t sb_mailbox_waiting(struct sb_mailbox *box)
{
    size_t messages;

    lock(box);
    messages = box->messages;
    unlock(box);
    return messages;
}

size_t sb_mailbox_result_room(struct sb_mailbox *box)
{
    size_t room;

    lock(box);
    room = box->max_results - box->results;
    unlock(box);
    return room;
}
