#ifndef CLOUD_REPLIER_H
#define CLOUD_REPLIER_H

#include "common/link.h"
#include "common/reply.h"

/* Stage 7: what goes out. During a transaction messages are staged; they join the queue only after
 * COMMIT returned, and leave it in that order as the link takes them. A message that waits too long
 * or finds no room is dropped: its batch comes again and is answered from the database. */
struct replier;

struct replier *replier_new(struct sb_link *link, int gzip_level, size_t reply_bytes);
void replier_free(struct replier *replier);

/* An ack to the device. correlation: as it came with the batch, or empty: then the batch_id.
 * outcome: see sb_reply_encode. */
void replier_ack(struct replier *replier, const char *device, struct sb_span correlation,
                 const struct sb_reply *reply, const unsigned char *outcome);

/* Bytes of JSON that one answer may have. */
size_t replier_bound(const struct replier *replier);

/* As replier_json; false, and nothing is staged, when it is too large for the broker even packed.
 */
bool replier_json_fits(struct replier *replier, const char *topic, struct sb_span correlation,
                       struct sb_span json);

/* Any other JSON: a welcome, an answer, an event. */
void replier_json(struct replier *replier, const char *topic, struct sb_span correlation,
                  struct sb_span json);

void replier_stage_done(struct replier *replier);    /* after COMMIT: staged ones join the queue */
void replier_stage_discard(struct replier *replier); /* after a failure */

/* Hands to the link what it takes. */
void replier_pump(struct replier *replier);

/* The connection came up (max_packet: the broker's limit, 0 = none) or went away. */
void replier_up(struct replier *replier, uint32_t max_packet);
void replier_down(struct replier *replier);

size_t replier_waiting(const struct replier *replier);
void replier_figures(const struct replier *replier, uint64_t *sent, uint64_t *dropped);

#endif
