#ifndef CLOUD_FLEET_H
#define CLOUD_FLEET_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/ids.h"

/* Which devices are online, by their retained states (sb/v1/state/<device>). Only a help for
 * people and for `verify --fresh`: nothing of the delivery depends on it. In memory; at most
 * FLEET_MAX devices, what is beyond is counted and not known. */

#define FLEET_MAX 100000

enum fleet_state { FLEET_UNKNOWN = 0, FLEET_ONLINE, FLEET_OFFLINE, FLEET_LOST };

const char *fleet_state_name(enum fleet_state state); /* "unknown", "online", ... */

struct fleet;
struct fleet *fleet_new(void);
void fleet_free(struct fleet *fleet);

/* One message. False when the topic is not a device's state. A payload that is empty or cannot be
 * read makes the device unknown. */
bool fleet_message(struct fleet *fleet, const char *topic, struct sb_span payload);

/* The link is down: nothing is known until the retained states come again. */
void fleet_forget(struct fleet *fleet);

enum fleet_state fleet_get(const struct fleet *fleet, const char *device);
size_t fleet_online(const struct fleet *fleet);

/* The devices that are online, in the order of their names. */
void fleet_each_online(const struct fleet *fleet, void (*each)(void *ctx, const char *device),
                       void *ctx);

#endif
