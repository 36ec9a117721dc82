#include "fleet.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "common/json_read.h"

#define STATE_PREFIX "sb/v1/state/"

struct member {
    char device[SB_NAME_MAX + 1]; /* first: the key */
    enum fleet_state state;
};

struct fleet {
    void *root; /* tsearch(3) */
    size_t count, online;
};

const char *fleet_state_name(enum fleet_state state)
{
    static const char *const names[] = {[FLEET_UNKNOWN] = "unknown",
                                        [FLEET_ONLINE] = "online",
                                        [FLEET_OFFLINE] = "offline",
                                        [FLEET_LOST] = "lost"};

    return names[state];
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

struct fleet *fleet_new(void)
{
    return sb_xcalloc(1, sizeof(struct fleet));
}

void fleet_forget(struct fleet *fleet)
{
    tdestroy(fleet->root, free);
    *fleet = (struct fleet){0};
}

void fleet_free(struct fleet *fleet)
{
    if (fleet == NULL)
        return;
    fleet_forget(fleet);
    free(fleet);
}

static struct member *find(const struct fleet *fleet, const char *device)
{
    void *const *node = tfind(device, (void *const *)&fleet->root, by_name);

    return node != NULL ? *node : NULL;
}

static struct member *add(struct fleet *fleet, const char *device)
{
    struct member *member = find(fleet, device);

    if (member != NULL || fleet->count >= FLEET_MAX)
        return member;
    member = sb_xcalloc(1, sizeof(*member));
    memcpy(member->device, device, strlen(device) + 1);
    if (tsearch(member, &fleet->root, by_name) == NULL) {
        free(member);
        return NULL;
    }
    fleet->count++;
    return member;
}

static void forget_one(struct fleet *fleet, struct member *member)
{
    tdelete(member->device, &fleet->root, by_name);
    free(member);
    fleet->count--;
}

/* {"v":1,"state":"online",…} */
static enum fleet_state read_state(struct sb_span payload)
{
    static const struct {
        const char *name;
        enum fleet_state state;
    } words[] = {{"online", FLEET_ONLINE}, {"offline", FLEET_OFFLINE}, {"lost", FLEET_LOST}};
    struct sb_span text, state;

    if (sb_json_check(payload, &sb_wire_limits, &text, NULL) != 0 ||
        sb_json_type_of(text) != SB_JSON_OBJECT || !sb_json_get(text, "state", &state) ||
        sb_json_type_of(state) != SB_JSON_STRING)
        return FLEET_UNKNOWN;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (sb_json_string_is(state, words[i].name))
            return words[i].state;
    return FLEET_UNKNOWN;
}

static void set_state(struct fleet *fleet, const char *device, enum fleet_state state)
{
    struct member *member = state == FLEET_UNKNOWN ? find(fleet, device) : add(fleet, device);

    if (member == NULL)
        return;
    fleet->online -= member->state == FLEET_ONLINE;
    fleet->online += state == FLEET_ONLINE;
    member->state = state;
    if (state == FLEET_UNKNOWN)
        forget_one(fleet, member);
}

bool fleet_message(struct fleet *fleet, const char *topic, struct sb_span payload)
{
    const char *device = topic + sizeof(STATE_PREFIX) - 1;

    if (strncmp(topic, STATE_PREFIX, sizeof(STATE_PREFIX) - 1) != 0 ||
        !sb_device_valid(sb_span_of(device)))
        return false;
    set_state(fleet, device, read_state(payload));
    return true;
}

enum fleet_state fleet_get(const struct fleet *fleet, const char *device)
{
    const struct member *member = find(fleet, device);

    return member != NULL ? member->state : FLEET_UNKNOWN;
}

size_t fleet_online(const struct fleet *fleet)
{
    return fleet->online;
}

struct visit {
    void (*each)(void *ctx, const char *device);
    void *ctx;
};

static void visit(const void *node, VISIT which, void *closure)
{
    const struct member *member = *(struct member *const *)node;
    const struct visit *v = closure;

    if ((which == postorder || which == leaf) && member->state == FLEET_ONLINE)
        v->each(v->ctx, member->device);
}

void fleet_each_online(const struct fleet *fleet, void (*each)(void *ctx, const char *device),
                       void *ctx)
{
    struct visit v = {each, ctx};

    twalk_r(fleet->root, visit, &v);
}
