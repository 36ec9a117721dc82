#include "edge_agent/agent.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/instance.h"
#include "common/log.h"
#include "edge_agent/agent_internal.h"
#include "edge_agent/device.h"

#define MAILBOX_MESSAGES 1000
#define MAILBOX_BYTES    (16 * 1024 * 1024)
#define MAILBOX_TOKENS   1024
#define STATE_EVERY_MS   60000 /* the state document is refreshed when its figures changed */
#define CLOCK_EVERY_MS   60000 /* how often the kernel is asked whether its clock is synchronised */
#define BUSY_MS          1000  /* longest wait for another writer: nothing else goes on meanwhile */
#define FILE_EVERY_MS    1000  /* and the folder whether the outbox is still in its place */

/* ---- what the device says of itself ---- */

static void print_state(const struct agent *agent, const char *state, struct sb_now now,
                        struct sb_buf *out)
{
    struct outbox_counts counts = {0};
    char at[SB_TIME_TEXT];

    (void)outbox_counts(agent->ob, &counts, NULL); /* an unreadable disk must not hide the device */
    sb_time_print(now.wall_us, at);
    sb_buf_add_fmt(
        out,
        "{\"v\":1,\"kind\":\"state\",\"device\":\"%s\",\"state\":\"%s\",\"boot\":\"%s\","
        "\"epoch\":\"%s\",\"pending\":%llu,\"dead\":%llu,\"version\":\"%s\",\"at\":\"%s\"}",
        agent->config->device, state, agent->boot, edge_lanes(agent->edge)->epoch,
        (unsigned long long)lanes_pending(edge_lanes(agent->edge)), (unsigned long long)counts.dead,
        SB_VERSION, at);
}

static void publish_state(struct agent *agent, const char *state, struct sb_now now)
{
    struct sb_link *link = sb_mqtt_link_get(agent->mqtt);
    struct sb_buf json = {0};
    char topic[SB_TOPIC_MAX];
    struct sb_link_message message = {.topic = topic, .retain = true, .qos = 1};
    struct sb_err err;

    sb_topic_state(topic, agent->config->device);
    print_state(agent, state, now, &json);
    message.payload = sb_buf_span(&json);
    if (link->publish(link, &message, NULL, &err) < 0)
        log_debug("state: %s", err.msg);
    agent->state_pending = lanes_pending(edge_lanes(agent->edge));
    agent->state_due_ms = now.mono_ms + STATE_EVERY_MS;
    sb_buf_free(&json);
}

/* ---- start ---- */

static int open_outbox(struct agent *agent, struct sb_err *err)
{
    const struct outbox_config config = {
        .path = agent->config->outbox_path,
        .busy_timeout_ms =
            (int)(agent->config->busy_timeout < BUSY_MS ? agent->config->busy_timeout : BUSY_MS),
        .max_bytes = agent->config->max_bytes,
        .create = true,
    };
    int rc = outbox_open(&config, &agent->rng, &agent->ob, err);

    if (rc < 0)
        return rc;
    agent->enqueue = enqueue_new(agent->ob, &agent->config->switches, agent->device_boot);
    enqueue_set_codec(agent->enqueue, agent->config->device, &agent->codec);
    return 0;
}

/* What seals documents, and what happens outside when one changed. */
static int make_helpers(struct agent *agent, struct sb_err *err)
{
    int rc = agent_config_vault(agent->config, &agent->vault, err);

    if (rc != 0)
        return rc;
    vault_codec(agent->vault, &agent->codec);
    return agent_export_make(agent->config, &agent->export.hooks, err);
}

static int make_link(struct agent *agent, struct sb_err *err)
{
    const struct agent_config *config = agent->config;
    char reply[SB_TOPIC_MAX], notify[SB_TOPIC_MAX], state[SB_TOPIC_MAX];
    const char *filters[] = {reply, notify, "sb/v1/ingest/+"};
    struct sb_mqtt_config mqtt = {
        .url = config->url,
        .ca_file = config->ca_file,
        .cert_file = config->cert_file,
        .key_file = config->key_file,
        .user = config->user,
        .password_file = config->password_file,
        .session_expiry_s = (uint32_t)(config->session_expiry / 1000),
        .keepalive_s = (uint32_t)(config->keepalive / 1000),
        .connect_timeout_s = (uint32_t)(config->connect_timeout / 1000),
        .subscribe = filters,
        .subscribe_count = 3,
        .will_topic = state,
    };

    sb_topic_down(reply, config->device, "reply");
    sb_topic_down(notify, config->device, "notify");
    sb_topic_state(state, config->device);
    return sb_mqtt_link_new(&mqtt, agent->mailbox, &agent->mqtt, err);
}

/* The will needs the epoch, the core the link: so the will is set last. */
static void set_will(struct agent *agent, struct sb_now now)
{
    struct sb_buf will = {0};

    print_state(agent, "lost", now, &will);
    sb_mqtt_link_set_will(agent->mqtt, sb_buf_span(&will));
    sb_buf_free(&will);
}

static int make_edge(struct agent *agent, struct sb_err *err)
{
    const struct agent_config *config = agent->config;
    const struct edge_config edge = {
        .device = config->device,
        .device_boot = agent->device_boot,
        .session = {.refused_min_ms = config->hello_refused_min},
        .pacer = {.window_max = config->window,
                  .rto_min_ms = config->rto_min,
                  .rto_max_ms = config->rto_max,
                  .retry_min_ms = config->retry_min,
                  .retry_max_ms = config->retry_max},
        .gzip_level = 1,
        .resend_ms = config->resend,
        .resend_bytes = config->resend_bytes,
        .history_ms = config->local_history,
        .purge_interval_ms = config->purge_interval,
        .puback_timeout_ms = config->puback_timeout,
        .codec = &agent->codec,
    };
    int rc =
        edge_new(&edge, agent->ob, sb_mqtt_link_get(agent->mqtt), &agent->rng, &agent->edge, err);

    if (rc == 0)
        edge_on_settled(agent->edge, agent_control_settled, agent);
    return rc;
}

static void wake(void *ctx)
{
    edge_wake(((struct agent *)ctx)->edge);
}

static void mail_waits(void *ctx, int fd)
{
    (void)ctx; /* the loop comes round to drain_mailbox by itself */
    (void)fd;
}

static int open_doors(struct agent *agent, struct sb_err *err)
{
    const char *group = agent->config->socket_group[0] != '\0' ? agent->config->socket_group : NULL;
    int rc = sb_loop_add(agent->loop, sb_mailbox_fd(agent->mailbox), mail_waits, agent, err);

    if (rc < 0)
        return rc;
    return sb_control_listen(agent->loop, agent->config->socket_path, group, agent_control_call,
                             wake, agent, &agent->control, err);
}

static int start(struct agent *agent, struct sb_err *err)
{
    const struct agent_config *config = agent->config;
    struct sb_now now = sb_clock_now();
    int rc;

    sb_rng_seed_os(&agent->rng);
    sb_uuid7(&agent->rng, now.wall_us, agent->boot);
    device_boot_id(agent->device_boot);
    agent->mailbox = sb_mailbox_new(MAILBOX_MESSAGES, MAILBOX_BYTES, MAILBOX_TOKENS);
    if (agent->mailbox == NULL)
        return sb_fail(err, SB_EIO, "no descriptor left for the mailbox");
    if ((rc = agent_config_ready(config, err)) < 0 ||
        (rc = agent_config_make_state(config, err)) < 0 ||
        (rc = sb_instance_lock(config->lock_path, &agent->lock_fd, err)) < 0 ||
        (rc = sb_loop_new(&agent->loop, err)) < 0 || (rc = make_helpers(agent, err)) < 0 ||
        (rc = open_outbox(agent, err)) < 0 || (rc = agent_export_attach(agent, err)) < 0 ||
        (rc = make_link(agent, err)) < 0 || (rc = make_edge(agent, err)) < 0 ||
        (rc = open_doors(agent, err)) < 0)
        return rc;
    set_will(agent, now);
    sb_backoff_init(&agent->backoff, now.mono_ms);
    agent->backoff.flap_ms = config->flap_wait;
    if (config->collect)
        agent->collector = collector_new(config->collect_root);
    agent->collect_due_ms = now.mono_ms + config->collect_interval;
    agent_sync_start(agent, now);
    return 0;
}

static void finish(struct agent *agent)
{
    struct sb_now now = sb_clock_now();

    if (agent->mqtt != NULL && agent->edge != NULL)
        publish_state(agent, "offline", now);
    sb_mqtt_link_free(agent->mqtt, true);
    sb_control_free(agent->control);
    collector_free(agent->collector);
    agent_export_close(agent);
    edge_free(agent->edge);
    enqueue_free(agent->enqueue);
    outbox_close(agent->ob);
    vault_free(agent->vault);
    sb_loop_free(agent->loop);
    sb_mailbox_free(agent->mailbox);
    if (agent->lock_fd >= 0)
        close(agent->lock_fd);
    sb_conf_free(agent->conf);
}

/* ---- the loop's chores ---- */

/* What status says then; the cause of the last end is of no use by itself. */
static void explain_flapping(struct sb_err *err)
{
    struct sb_err last = *err;

    sb_fail(err, SB_EIDENTITY,
            "another client uses this identity: connections end at once, the last one by: %s",
            last.msg);
}

static void connection_event(struct agent *agent, struct sb_link_event *event, struct sb_now now)
{
    if (event->kind == SB_LINK_UP) {
        log_info("connected receive_max=%u session_present=%d", event->receive_max,
                 event->session_present);
        sb_backoff_up(&agent->backoff, now.mono_ms);
        publish_state(agent, "online", now);
    } else {
        bool was_up = agent->backoff.connected;

        sb_backoff_down(&agent->backoff, now.mono_ms, &agent->rng);
        if (was_up && sb_backoff_flapping(&agent->backoff))
            explain_flapping(&event->err);
        log_warn("not connected: %s code=%s", event->err.msg, sb_code_name(event->err.code));
    }
}

static void drain_mailbox(struct agent *agent, struct sb_now now)
{
    struct sb_link_event event;

    while (sb_mailbox_take(agent->mailbox, &event)) {
        if (event.kind == SB_LINK_UP || event.kind == SB_LINK_DOWN)
            connection_event(agent, &event, now);
        edge_event(agent->edge, &event, now);
        sb_link_event_fini(&event);
    }
}

static void connect_when_due(struct agent *agent, struct sb_now now)
{
    if (!sb_backoff_due(&agent->backoff, now.mono_ms))
        return;
    sb_backoff_connecting(&agent->backoff);
    sb_mqtt_link_connect(agent->mqtt);
}

static void collect_when_due(struct agent *agent, struct sb_now now)
{
    const struct sb_stream stream = {.class = SB_UP_SENSORS, .name = "system"};
    struct sb_buf record = {0};
    struct sb_err err;
    int rc;

    if (agent->collector == NULL || now.mono_ms < agent->collect_due_ms)
        return;
    agent->collect_due_ms = now.mono_ms + agent->config->collect_interval;
    collector_read(agent->collector, now, &record);
    rc = enqueue_record(agent->enqueue, &stream, sb_buf_span(&record), (struct sb_span){NULL, 0},
                        now, NULL, &err);
    if (rc == 0)
        rc = enqueue_commit(agent->enqueue, &err);
    if (rc < 0) {
        enqueue_rollback(agent->enqueue);
        sb_log_err("collector", &err);
    }
    edge_wake(agent->edge);
    sb_buf_free(&record);
}

static void refresh_when_due(struct agent *agent, struct sb_now now)
{
    if (now.mono_ms >= agent->clock_due_ms) {
        enqueue_set_clock(agent->enqueue, device_clock_quality(now.wall_us));
        agent->clock_due_ms = now.mono_ms + CLOCK_EVERY_MS;
    }
    if (now.mono_ms >= agent->state_due_ms && agent->backoff.connected &&
        agent->state_pending != lanes_pending(edge_lanes(agent->edge)))
        publish_state(agent, "online", now);
}

/* Somebody removed the outbox, or put another one in its place: what is committed to the open file
 * would be seen by nobody, and what others enqueue by its path never be sent. The one at the path
 * is served, under a connection of its own. */
static int leave_replaced(struct agent *agent, struct sb_now now, struct sb_err *err)
{
    struct sb_link *link = sb_mqtt_link_get(agent->mqtt);
    struct sb_err why;
    int rc;

    if (now.mono_ms < agent->file_due_ms)
        return 0;
    agent->file_due_ms = now.mono_ms + FILE_EVERY_MS;
    if (outbox_in_place(agent->ob))
        return 0;
    sb_fail(&why, SB_EIO, "outbox: %s was removed or replaced", agent->config->outbox_path);
    sb_log_err("starting over with what is there", &why);
    agent_control_abandon(agent, &why);
    link->drop(link);
    edge_free(agent->edge);
    enqueue_free(agent->enqueue);
    outbox_close(agent->ob);
    agent->edge = NULL;
    agent->enqueue = NULL;
    agent->ob = NULL;
    agent->round = (struct agent_round){.active = false}; /* it ended with that core */
    agent->detached = (struct agent_detached){.in_core = false};
    if ((rc = open_outbox(agent, err)) < 0 || (rc = make_edge(agent, err)) < 0 ||
        (rc = agent_export_attach(agent, err)) < 0)
        return rc;
    agent->clock_due_ms = now.mono_ms;
    set_will(agent, now);
    return 0;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t next_deadline(const struct agent *agent)
{
    int64_t first = earlier(edge_deadline(agent->edge), agent->backoff.due_ms);

    first = earlier(first, agent_control_deadline(agent));
    first = earlier(first, agent_sync_deadline(agent));
    first = earlier(first, agent_export_deadline(agent));
    if (agent->collector != NULL)
        first = earlier(first, agent->collect_due_ms);
    return first;
}

/* A negative code is the end. */
static int turn(struct agent *agent, struct sb_err *err)
{
    struct sb_now now;
    int rc;

    sb_loop_wait(agent->loop, next_deadline(agent)); /* control calls run in here */
    now = sb_clock_now();
    agent_control_commit(agent, now); /* first: nothing else may find its transaction open */
    if ((rc = leave_replaced(agent, now, err)) < 0)
        return rc;
    drain_mailbox(agent, now);
    collect_when_due(agent, now);
    connect_when_due(agent, now);
    edge_tick(agent->edge, now);
    refresh_when_due(agent, now);
    agent_sync_turn(agent, now);
    agent_export_turn(agent, now);
    agent_control_timers(agent, now);
    if (sb_loop_take_reload(agent->loop))
        agent_reload(agent, now);
    return 0;
}

int agent_run(const struct agent_config *config, const struct agent_hooks *hooks,
              struct sb_err *err)
{
    struct agent_config own = *config;
    struct agent agent = {.config = &own, .hooks = hooks, .lock_fd = -1, .export = {.fd = -1}};
    int rc = start(&agent, err);

    if (rc == 0) {
        log_info("ready device=%s pending=%llu", own.device,
                 (unsigned long long)lanes_pending(edge_lanes(agent.edge)));
        while (rc == 0 && !sb_loop_stop_requested(agent.loop))
            rc = turn(&agent, err);
        log_info("stopping");
        agent_sync_stop(&agent, sb_clock_now());
    }
    finish(&agent);
    return rc;
}
