#include "daemon.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/instance.h"
#include "daemon_internal.h"

#define STORE_RETRY_MS  1000  /* between two attempts to open the database */
#define STORE_LOOK_MS   1000  /* between two looks, at least, whether it is still in its place */
#define RESULTS_MAX     1024  /* publish results that wait in the mailbox */
#define EVENTS_PER_TURN 4096  /* then signals and the socket have their turn */
#define STOP_DRAIN_MS   500   /* for what the mailbox holds when the daemon is told to stop */
#define SAME_ERROR_MS   60000 /* the same failure to connect is logged once in so long */
#define DROPPED_MS      10000 /* dropped messages likewise */
#define STATE_MODE      0750

/* States are retained: the last ones come with each subscription, so none needs to be queued. */
static const char *const filters[] = {"sb/v1/up/+/+/+", "sb/v1/admin/+/req", "sb/v1/state/+"};
static const int filter_qos[] = {1, 1, 0};

/* ---- the database ---- */

/* The broker publishes it when we are gone without a word; it names the boot. */
static void set_will(struct daemon *d, struct sb_now now)
{
    struct sb_buf text = {0};

    if (strcmp(d->will_boot, ingest_boot(d->ingest)) == 0)
        return;
    ingest_presence(d->ingest, "lost", now, &text);
    sb_mqtt_link_set_will(d->mqtt, sb_buf_span(&text));
    snprintf(d->will_boot, sizeof(d->will_boot), "%s", ingest_boot(d->ingest));
    sb_buf_free(&text);
}

static void close_store(struct daemon *d)
{
    ingest_free(d->ingest);
    store_close(d->store);
    d->ingest = NULL;
    d->store = NULL;
}

static int open_store(struct daemon *d, struct sb_now now, struct sb_err *err)
{
    const struct cloud_config *config = d->config;
    struct store_options options = {.mode = STORE_OWN,
                                    .busy_timeout_ms = (int)config->busy_timeout,
                                    .cache_kib = (int)(config->cache_bytes / 1024),
                                    .page_limit = config->store_max_bytes / CLOUD_PAGE_BYTES,
                                    .existing = d->store_replaced,
                                    .mappings = d->mappings};
    struct ingest_config ingest = config->ingest;
    int rc = store_open(config->store_path, &options, &d->store, err);

    ingest.tables = d->tables;
    if (rc == 0)
        rc = ingest_new(&ingest, d->store, d->mappings, sb_mqtt_link_get(d->mqtt), &d->rng, now,
                        &d->ingest, err);
    if (rc != 0)
        close_store(d);
    return rc;
}

static bool is_waited_for(const struct daemon *d, enum sb_code code)
{
    return sb_code_class(code) == SB_RETRY || (code == SB_ENOT_FOUND && d->store_replaced);
}

/* A database that is locked, has no room now, or was taken away to be replaced is waited for; any
 * other failure is an end. */
static int try_store(struct daemon *d, struct sb_now now, struct sb_err *err)
{
    struct sb_err own = {0};
    int rc = open_store(d, now, &own);

    if (rc == 0) {
        log_info("database open path=%s boot=%s", d->config->store_path, ingest_boot(d->ingest));
        d->store_err = (struct sb_err){0};
        set_will(d, now);
        return 0;
    }
    if (!is_waited_for(d, own.code)) {
        if (err != NULL)
            *err = own;
        return rc;
    }
    if (own.code != d->store_err.code)
        sb_log_err("database: waiting for it", &own);
    d->store_err = own;
    d->store_due_ms = now.mono_ms + STORE_RETRY_MS;
    return 0;
}

/* Somebody moved another database into its place, such as an older copy: what is committed to the
 * one that is open would be seen by nobody. The other one is served, under a boot of its own; the
 * connection is made anew so that the Last Will and the presence name that. */
static void leave_replaced(struct daemon *d, struct sb_now now)
{
    struct sb_link *link = sb_mqtt_link_get(d->mqtt);

    if (d->store == NULL || store_in_place(d->store))
        return;
    log_warn("another database is in the place of the one that was open path=%s",
             d->config->store_path);
    close_store(d);
    d->store_replaced = true;
    d->store_due_ms = now.mono_ms;
    link->drop(link);
}

/* ---- the link ---- */

static void on_up(struct daemon *d, const struct sb_link_event *event, struct sb_now now)
{
    d->up = true;
    d->up_ms = now.mono_ms;
    d->link_err = (struct sb_err){0};
    sb_backoff_up(&d->backoff, now.mono_ms);
    log_info("connected broker=%s session_present=%d receive_max=%u max_packet=%u", d->config->url,
             event->session_present, event->receive_max, event->max_packet);
}

static void on_down(struct daemon *d, const struct sb_link_event *event, struct sb_now now)
{
    bool news = d->up || strcmp(event->err.msg, d->link_err.msg) != 0 ||
                now.mono_ms - d->down_logged_ms >= SAME_ERROR_MS;

    d->up = false;
    d->link_err = event->err;
    fleet_forget(d->fleet);
    sb_backoff_down(&d->backoff, now.mono_ms, &d->rng);
    if (!news)
        return;
    d->down_logged_ms = now.mono_ms;
    sb_log_err("not connected", &event->err);
    if (sb_backoff_flapping(&d->backoff))
        log_warn("another client uses this identity");
}

static void take_event(struct daemon *d, const struct sb_link_event *event, struct sb_now now)
{
    switch (event->kind) {
    case SB_LINK_UP:
        on_up(d, event, now);
        break;
    case SB_LINK_DOWN:
        on_down(d, event, now);
        break;
    case SB_LINK_MESSAGE:
        if (fleet_message(d->fleet, event->topic, sb_buf_span(&event->payload)))
            return;
        break;
    case SB_LINK_PUBLISHED:
        break;
    }
    if (d->ingest != NULL)
        ingest_event(d->ingest, event, now);
    else if (event->kind == SB_LINK_UP) /* an attempt that was under way when the store went */
        sb_mqtt_link_get(d->mqtt)->drop(sb_mqtt_link_get(d->mqtt));
}

/* Feeds what waits, so that it shares a transaction, at most until the group's time is over. True
 * when the mailbox is empty. Without a database what comes in is dropped, devices send it again:
 * left in the mailbox it would keep the loop awake. */
static bool drain(struct daemon *d)
{
    struct sb_link_event event;

    for (int i = 0; i < EVENTS_PER_TURN; i++) {
        struct sb_now now = sb_clock_now();

        if (d->ingest != NULL && d->config->ingest.group_ms > 0 &&
            ingest_deadline(d->ingest) <= now.mono_ms)
            return false;
        if (!sb_mailbox_take(d->box, &event))
            return true;
        take_event(d, &event, now);
        sb_link_event_fini(&event);
    }
    return false;
}

static void connect_when_due(struct daemon *d, struct sb_now now)
{
    if (d->ingest == NULL || !sb_backoff_due(&d->backoff, now.mono_ms))
        return;
    sb_backoff_connecting(&d->backoff);
    sb_mqtt_link_connect(d->mqtt);
}

static int make_link(struct daemon *d, struct sb_err *err)
{
    const struct cloud_config *config = d->config;
    char will_topic[SB_TOPIC_MAX];
    struct sb_mqtt_config mqtt = {
        .url = config->url,
        .client_id = "", /* the broker gives the certificate's name */
        .ca_file = config->ca_file,
        .cert_file = config->cert_file,
        .key_file = config->key_file,
        .user = config->user,
        .password_file = config->password_file,
        .session_expiry_s = (uint32_t)(config->session_expiry / 1000),
        .keepalive_s = (uint32_t)(config->keepalive / 1000),
        .receive_max = config->receive_max,
        .subscribe = filters,
        .subscribe_qos = filter_qos,
        .subscribe_count = sizeof(filters) / sizeof(filters[0]),
        .will_topic = will_topic,
        .connect_timeout_s = (uint32_t)(config->connect_timeout / 1000),
    };

    sb_topic_ingest(will_topic, config->ingest.n);
    return sb_mqtt_link_new(&mqtt, d->box, &d->mqtt, err);
}

/* What the mailbox had no room for. Resending repairs it, but somebody should know. */
static void log_dropped(struct daemon *d, struct sb_now now)
{
    uint64_t dropped = sb_mailbox_dropped(d->box);

    if (dropped == d->dropped_logged || now.mono_ms - d->drop_logged_ms < DROPPED_MS)
        return;
    log_warn("no room for what came in: %llu messages dropped, devices send them again",
             (unsigned long long)(dropped - d->dropped_logged));
    d->dropped_logged = dropped;
    d->drop_logged_ms = now.mono_ms;
}

/* ---- the loop ---- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t next_deadline(const struct daemon *d)
{
    int64_t at = earlier(daemon_control_deadline(d), sb_clock_now().mono_ms + STORE_LOOK_MS);

    if (d->ingest == NULL)
        return earlier(at, d->store_due_ms);
    return earlier(earlier(at, ingest_deadline(d->ingest)), d->backoff.due_ms);
}

/* The loop only has to wake up: every turn looks into the mailbox. */
static void on_mailbox(void *ctx, int fd)
{
    (void)ctx;
    (void)fd;
}

static void reload(struct daemon *d)
{
    enum sb_log_level level;
    struct sb_err err;
    bool json;

    if (d->hooks->reload(d->hooks->ctx, &level, &json, &err) != 0) {
        sb_log_err("reload: what was in force stays", &err);
        return;
    }
    sb_log_init("cloud_ingest", level, json);
    log_info("reloaded: [log]; everything else is taken up by a restart");
}

/* One turn. A negative code is the end. */
static int turn(struct daemon *d, struct sb_err *err)
{
    struct sb_now now = sb_clock_now();
    int rc = 0;

    leave_replaced(d, now);
    if (d->ingest == NULL && now.mono_ms >= d->store_due_ms)
        rc = try_store(d, now, err);
    if (rc == 0) {
        connect_when_due(d, now);
        drain(d);
    }
    if (rc == 0 && d->ingest != NULL) {
        now = sb_clock_now();
        rc = ingest_flush(d->ingest, now, err);
        if (rc == 0 && sb_mailbox_waiting(d->box) == 0)
            ingest_tidy(d->ingest, now);
        set_will(d, now);
        log_dropped(d, now);
    }
    daemon_control_tick(d, sb_clock_now());
    return rc;
}

static int run_loop(struct daemon *d, struct sb_err *err)
{
    int rc = 0;

    while (rc == 0 && !sb_loop_stop_requested(d->loop)) {
        rc = turn(d, err);
        if (rc == 0)
            sb_loop_wait(d->loop, sb_mailbox_waiting(d->box) > 0 ? 0 : next_deadline(d));
        if (sb_loop_take_reload(d->loop))
            reload(d);
    }
    return rc;
}

/* Commits and answers what has been received, as far as that takes a moment only. */
static void say_goodbye(struct daemon *d)
{
    int64_t until = sb_clock_now().mono_ms + STOP_DRAIN_MS;
    struct sb_err err;
    bool empty = false;
    int rc = 0;

    if (d->ingest == NULL)
        return;
    while (rc == 0 && !empty && sb_clock_now().mono_ms < until) {
        empty = drain(d);
        rc = ingest_flush(d->ingest, sb_clock_now(), &err);
    }
    if (rc != 0)
        sb_log_err("stop", &err);
    ingest_goodbye(d->ingest, sb_clock_now());
}

/* ---- life ---- */

static int start(struct daemon *d, struct sb_err *err)
{
    const struct cloud_config *config = d->config;
    int rc = cloud_config_ready(config, err);

    if (rc == 0)
        rc = sb_make_folder(config->state_dir, STATE_MODE, err);
    if (rc == 0)
        rc = sb_instance_lock(config->lock_path, &d->lock_fd, err);
    if (rc == 0)
        rc = cloud_config_mappings(config, &d->mappings, err);
    if (rc == 0)
        rc = cloud_config_tables(config, &d->tables, err);
    if (rc == 0)
        rc = sb_loop_new(&d->loop, err);
    if (rc != 0)
        return rc;
    d->box = sb_mailbox_new(config->mailbox_messages, config->mailbox_bytes, RESULTS_MAX);
    if (d->box == NULL)
        return sb_fail(err, SB_EIO, "no descriptor left for the mailbox");
    rc = sb_loop_add(d->loop, sb_mailbox_fd(d->box), on_mailbox, d, err);
    if (rc == 0)
        rc = make_link(d, err);
    if (rc == 0)
        rc = sb_control_listen(d->loop, config->socket_path,
                               config->socket_group[0] != '\0' ? config->socket_group : NULL,
                               daemon_control_call, NULL, d, &d->control, err);
    return rc;
}

static void stop(struct daemon *d, bool graceful)
{
    daemon_control_fini(d);
    sb_control_free(d->control);
    sb_mqtt_link_free(d->mqtt, graceful);
    close_store(d);
    if (d->box != NULL)
        sb_loop_remove(d->loop, sb_mailbox_fd(d->box));
    sb_mailbox_free(d->box);
    sb_loop_free(d->loop);
    mapping_set_free(d->mappings);
    tables_free(d->tables);
    fleet_free(d->fleet);
    if (d->lock_fd >= 0)
        close(d->lock_fd);
}

int daemon_run(const struct cloud_config *config, const struct daemon_hooks *hooks,
               struct sb_err *err)
{
    struct sb_now now = sb_clock_now();
    struct daemon d = {.config = config,
                       .hooks = hooks,
                       .started_us = now.wall_us,
                       .started_ms = now.mono_ms,
                       .lock_fd = -1,
                       .fleet = fleet_new(),
                       .waits_due_ms = INT64_MAX};
    int rc;

    sb_rng_seed_os(&d.rng);
    sb_backoff_init(&d.backoff, now.mono_ms);
    d.backoff.flap_ms = config->flap_wait;
    rc = start(&d, err);
    if (rc == 0) {
        log_info("started version=%s n=%u mappings=%zu tables=%zu state=%s", SB_VERSION,
                 config->ingest.n, mapping_set_count(d.mappings), tables_count(d.tables),
                 config->state_dir);
        rc = run_loop(&d, err);
        if (rc == 0)
            say_goodbye(&d);
        log_info("stopped");
    }
    stop(&d, rc == 0);
    return rc;
}
