/* The broker: a heap of messages from which any may be taken, lost or left for a second time. */
#include <stdlib.h>
#include <string.h>

#include "common/gzip.h"
#include "sim.h"

static void letter_fini(struct letter *letter)
{
    sb_buf_free(&letter->payload);
    sb_buf_free(&letter->correlation);
}

void sim_net_free(struct net *net)
{
    for (size_t i = 0; i < net->count; i++)
        letter_fini(&net->at[i]);
    free(net->at);
    *net = (struct net){0};
}

/* The message as text, for the trace; afterwards its number stands for it. */
static void say_new(struct world *world, const struct letter *letter)
{
    struct sb_gzip *gzip;
    struct sb_buf text = {0};

    if (!world->tracing)
        return;
    gzip = sb_gzip_new(1);
    sb_buf_add_str(&text, "");
    sb_gzip_unpack(gzip, sb_buf_span(&letter->payload), SB_PAYLOAD_MAX_BYTES, &text, NULL);
    sim_say(world, "  #%u %s %s", letter->number, letter->topic, text.data);
    sb_buf_free(&text);
    sb_gzip_free(gzip);
}

static struct letter *add(struct world *world)
{
    struct net *net = &world->net;

    net->at = sb_xrealloc(net->at, (net->count + 1) * sizeof(*net->at));
    net->at[net->count] = (struct letter){.number = ++net->numbers};
    return &net->at[net->count++];
}

static void put_to(struct world *world, const char *to, const struct sb_link_message *message)
{
    struct letter *letter = add(world);

    letter->to = to;
    memcpy(letter->topic, message->topic, strlen(message->topic) + 1);
    sb_buf_add_span(&letter->payload, message->payload);
    sb_buf_add_span(&letter->correlation, message->correlation);
    say_new(world, letter);
}

static bool is_for(const char *topic, const char *device)
{
    const char *down = strstr(topic, "/down/");
    size_t len = strlen(device);

    return down != NULL && strncmp(down + 6, device, len) == 0 && down[6 + len] == '/';
}

/* Clones are one client of the broker. */
static bool first_of(const struct world *world, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (strcmp(world->edges[k]->device, world->edges[i]->device) == 0)
            return false;
    return true;
}

void sim_net_put(struct world *world, const struct sb_link_message *message)
{
    if (strstr(message->topic, "/up/") != NULL || strstr(message->topic, "/req") != NULL) {
        put_to(world, NULL, message);
        return;
    }
    for (size_t i = 0; i < world->edge_count; i++)
        if (first_of(world, i) &&
            (message->retain || is_for(message->topic, world->edges[i]->device)))
            put_to(world, world->edges[i]->device, message);
}

void sim_net_put_retained(struct world *world, const char *to, const struct sb_buf *payload,
                          unsigned n)
{
    struct letter *letter = add(world);

    letter->to = to;
    sb_topic_ingest(letter->topic, n);
    sb_buf_add_span(&letter->payload, sb_buf_span(payload));
    letter->retained = true;
    say_new(world, letter);
}

/* ---- delivery ---- */

static struct sim_edge *connected(struct world *world, const char *device)
{
    for (size_t i = 0; i < world->edge_count; i++)
        if (world->edges[i]->connected && strcmp(world->edges[i]->device, device) == 0)
            return world->edges[i];
    return NULL;
}

static struct sb_link_event event_of(const struct letter *letter)
{
    struct sb_link_event event = {
        .kind = SB_LINK_MESSAGE, .topic = sb_xstrdup(letter->topic), .retained = letter->retained};

    sb_buf_add_span(&event.payload, sb_buf_span(&letter->payload));
    sb_buf_add_span(&event.correlation, sb_buf_span(&letter->correlation));
    return event;
}

static void deliver(struct world *world, const struct letter *letter)
{
    struct sb_link_event event = event_of(letter);
    struct sim_edge *edge = letter->to != NULL ? connected(world, letter->to) : NULL;

    sim_say(world, "  #%u arrives", letter->number);
    if (letter->to == NULL) {
        sim_cloud_take(world, &event);
    } else if (edge != NULL) {
        sim_edge_event(edge, &event);
        if (world->quiet || sim_below(world, 10) < 7)
            sim_edge_tick(edge);
    }
    sb_link_event_fini(&event);
    sim_look(world);
}

/* Takes letter i out; the caller ends it. */
static struct letter take(struct net *net, size_t i)
{
    struct letter letter = net->at[i];

    net->count--;
    memmove(&net->at[i], &net->at[i + 1], (net->count - i) * sizeof(*net->at));
    return letter;
}

void sim_net_deliver_first(struct world *world)
{
    struct letter letter = take(&world->net, 0);

    deliver(world, &letter);
    letter_fini(&letter);
}

static struct letter copy_of(const struct letter *letter)
{
    struct letter copy = *letter;

    copy.payload = copy.correlation = (struct sb_buf){0};
    sb_buf_add_span(&copy.payload, sb_buf_span(&letter->payload));
    sb_buf_add_span(&copy.correlation, sb_buf_span(&letter->correlation));
    return copy;
}

void sim_net_move(struct world *world)
{
    struct net *net = &world->net;
    struct letter letter;
    size_t i = 0;

    if (net->count == 0)
        return;
    if (sim_chance(world, F_LATE))
        i = net->count - 1;
    else if (sim_below(world, 2) == 0)
        i = sim_below(world, net->count);
    if (net->at[i].to == NULL && !sim_cloud_connected(world))
        return; /* the broker keeps it */
    letter = sim_chance(world, F_DUPL) ? copy_of(&net->at[i]) : take(net, i);
    if (sim_chance(world, F_LOSS))
        sim_say(world, "  #%u is lost", letter.number);
    else
        deliver(world, &letter);
    letter_fini(&letter);
}

void sim_net_forget(struct world *world)
{
    struct net *net = &world->net;
    size_t kept = 0;

    for (size_t i = 0; i < net->count; i++) {
        if (sim_below(world, 10) < 3)
            net->at[kept++] = net->at[i];
        else
            letter_fini(&net->at[i]);
    }
    net->count = kept;
    if (sim_below(world, 2) == 0)
        return;
    for (size_t i = 0; i < world->edge_count; i++)
        sim_edge_disconnect(world->edges[i]);
}

/* ---- the plain client: no outbox, no hello, no boot ---- */

static void print_base(struct world *world, struct sb_buf *out)
{
    if (world->writer_ops > 0 && sim_below(world, 2) == 0)
        sb_buf_add_fmt(out, "{\"op_id\":\"w-%llu\"}", (unsigned long long)world->writer_ops);
    else
        sb_buf_add_str(out, "null");
}

void sim_net_writer(struct world *world)
{
    struct sb_batch head = {.stream = {SB_UP_SETTINGS, SIM_USER}};
    struct sb_buf json = {0}, record = {0};
    char topic[SB_TOPIC_MAX];
    const struct sb_link_message message = {.topic = topic, .qos = 1};
    struct sb_link_message out = message;

    head.first_seq = head.last_seq = head.made = ++world->writer_seq;
    sb_uuid7(&world->rng, world->now.wall_us, head.batch_id);
    memcpy(head.device, SIM_WRITER, sizeof(SIM_WRITER));
    memcpy(head.epoch, "00000000000000ff", sizeof(head.epoch));
    sb_buf_add_str(&record, "{\"base\":");
    print_base(world, &record);
    sb_buf_add_fmt(&record, ",\"op_id\":\"w-%llu\",\"settings\":{\"v\":%llu}}",
                   (unsigned long long)++world->writer_ops,
                   (unsigned long long)sim_new_payload(world, 0));
    sb_batch_begin(&json, &head, world->now.wall_us);
    sb_batch_end_records(&json, sb_buf_span(&record));
    sb_topic_up(topic, SIM_WRITER, SB_UP_SETTINGS);
    out.payload = sb_buf_span(&json);
    sim_net_put(world, &out);
    sb_buf_free(&record);
    sb_buf_free(&json);
}
