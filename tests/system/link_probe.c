/* Drives one MQTT link by commands on standard input, one a line, and prints what happens as JSON,
 * one object a line. For test_03_link.py, which says what the commands do. */

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/mqtt_link.h"

#define FILTERS_MAX 8
#define WORDS_MAX   12
#define TOKENS      1024
#define STEP_MS     15000 /* how long one step of a command may take */

static struct {
    struct sb_mqtt_config config;
    const char *filters[FILTERS_MAX];
    struct sb_mailbox *box;
    struct sb_mqtt_link *mqtt;
} probe;

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- output ---- */

static void add_text(struct sb_buf *out, const char *name, struct sb_span text)
{
    sb_buf_add_fmt(out, ",\"%s\":", name);
    sb_buf_add_json(out, text);
}

static void add_error(struct sb_buf *out, const struct sb_err *err)
{
    add_text(out, "code", sb_span_of(sb_code_name(err->code)));
    add_text(out, "message", sb_span_of(err->msg));
}

static void print_line(struct sb_buf *out)
{
    sb_buf_add_str(out, "}\n");
    fwrite(out->data, 1, out->len, stdout);
    fflush(stdout);
    sb_buf_free(out);
}

static void print_event(const struct sb_link_event *event)
{
    static const char *const names[] = {"up", "down", "message", "published"};
    struct sb_buf out = {0};

    sb_buf_add_fmt(&out, "{\"event\":\"%s\"", names[event->kind]);
    switch (event->kind) {
    case SB_LINK_UP:
        sb_buf_add_fmt(&out, ",\"receive_max\":%u,\"max_packet\":%u,\"session_present\":%s",
                       event->receive_max, event->max_packet,
                       event->session_present ? "true" : "false");
        break;
    case SB_LINK_DOWN:
        add_error(&out, &event->err);
        break;
    case SB_LINK_MESSAGE:
        add_text(&out, "topic", sb_span_of(event->topic));
        add_text(&out, "payload", sb_buf_span(&event->payload));
        add_text(&out, "correlation", sb_buf_span(&event->correlation));
        sb_buf_add_fmt(&out, ",\"retained\":%s", event->retained ? "true" : "false");
        break;
    case SB_LINK_PUBLISHED:
        sb_buf_add_fmt(&out, ",\"token\":%u", event->token);
        add_error(&out, &event->err);
        break;
    }
    print_line(&out);
}

static void print_result(const char *command, const struct sb_err *err)
{
    struct sb_buf out = {0};

    sb_buf_add_fmt(&out, "{\"event\":\"%s\"", command);
    add_error(&out, err);
    print_line(&out);
}

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "link_probe: %s\n", what);
    exit(1);
}

/* ---- a slow name server ---- */

static atomic_bool looking_up;

/* As with connect() in common/tcp_nodelay.c: this is the one that Paho calls. */
int getaddrinfo(const char *restrict name, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict result)
{
    const char *seconds = getenv("SB_PROBE_SLOW_LOOKUP");
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");

    memcpy(&real, &symbol, sizeof(real));
    atomic_store(&looking_up, true);
    if (seconds != NULL)
        poll(NULL, 0, (int)strtol(seconds, NULL, 10) * 1000);
    return real(name, service, hints, result);
}

/* lookup: waits until Paho looks a name up. */
static void do_lookup(void)
{
    for (int i = 0; i < STEP_MS && !atomic_load(&looking_up); i++)
        poll(NULL, 0, 1);
    printf("{\"event\":\"lookup\"}\n");
    fflush(stdout);
}

/* ---- commands ---- */

/* The next event within STEP_MS. */
static struct sb_link_event next_event(const char *waiting_for)
{
    struct pollfd poll_fd = {.fd = sb_mailbox_fd(probe.box), .events = POLLIN};
    struct sb_link_event event;

    if (poll(&poll_fd, 1, STEP_MS) != 1 || !sb_mailbox_take(probe.box, &event))
        give_up(waiting_for);
    return event;
}

static const char *option(char **words, int count, const char *name)
{
    size_t len = strlen(name);

    for (int i = 0; i < count; i++)
        if (strncmp(words[i], name, len) == 0 && words[i][len] == '=')
            return words[i] + len + 1;
    return NULL;
}

static bool has(char **words, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(words[i], name) == 0)
            return true;
    return false;
}

/* publish TOPIC PAYLOAD [qos=0] [corr=TEXT] [expiry=S] [gzip] [retain] [size=N] */
static void do_publish(char **words, int count)
{
    const char *qos = option(words, count, "qos"), *corr = option(words, count, "corr");
    const char *expiry = option(words, count, "expiry"), *size = option(words, count, "size");
    struct sb_link *link = sb_mqtt_link_get(probe.mqtt);
    struct sb_err err = {0};
    struct sb_buf payload = {0}, out = {0};
    uint32_t token = 0;
    struct sb_link_message message = {
        .topic = words[1],
        .qos = qos != NULL && qos[0] == '0' ? 0 : 1,
        .correlation = corr != NULL ? sb_span_of(corr) : (struct sb_span){0},
        .expiry_s = expiry != NULL ? (uint32_t)strtoul(expiry, NULL, 10) : 0,
        .gzip = has(words, count, "gzip"),
        .retain = has(words, count, "retain"),
    };

    sb_buf_add_str(&payload, count > 2 && strcmp(words[2], "-") != 0 ? words[2] : "");
    for (size_t i = payload.len; size != NULL && i < strtoul(size, NULL, 10); i++)
        sb_buf_add_char(&payload, 'x');
    message.payload = sb_buf_span(&payload);
    link->publish(link, &message, &token, &err);
    sb_buf_add_fmt(&out, "{\"event\":\"publish\",\"token\":%u", token);
    add_error(&out, &err);
    print_line(&out);
    sb_buf_free(&payload);
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void print_times(const char *command, int64_t *us, size_t count, int64_t total_us)
{
    qsort(us, count, sizeof(*us), by_value);
    printf("{\"event\":\"%s\",\"count\":%zu,\"seconds\":%.6f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,"
           "\"max_ms\":%.3f}\n",
           command, count, (double)total_us / 1e6, (double)us[count / 2] / 1e3,
           (double)us[count * 99 / 100] / 1e3, (double)us[count - 1] / 1e3);
    fflush(stdout);
}

/* ping TOPIC COUNT: one message at a time to a topic that this link is subscribed to; from the
 * call of publish to the message's arrival. As in a request and its reply, the PUBACK of one and
 * the next publish go the same way after another. */
static void do_ping(char **words)
{
    size_t count = strtoul(words[2], NULL, 10);
    int64_t *us = sb_xcalloc(count, sizeof(*us)), start = now_us();
    struct sb_link *link = sb_mqtt_link_get(probe.mqtt);

    for (size_t i = 0; i < count; i++) {
        struct sb_link_message message = {.topic = words[1], .payload = SB_SPAN("ping"), .qos = 1};
        bool arrived = false;
        int64_t sent = now_us();

        if (link->publish(link, &message, NULL, NULL) != 0)
            give_up("ping: publish");
        while (!arrived) {
            struct sb_link_event event = next_event("ping");

            arrived = event.kind == SB_LINK_MESSAGE;
            sb_link_event_fini(&event);
        }
        us[i] = now_us() - sent;
    }
    print_times("ping", us, count, now_us() - start);
    free(us);
}

/* burst TOPIC COUNT WINDOW SIZE: keeps WINDOW messages in flight; from publish to PUBLISHED. */
static void do_burst(char **words)
{
    size_t count = strtoul(words[2], NULL, 10), window = strtoul(words[3], NULL, 10);
    size_t sent = 0, done = 0;
    int64_t *us = sb_xcalloc(count, sizeof(*us)), start = now_us();
    char *body = sb_xcalloc(1, strtoul(words[4], NULL, 10) + 1);
    struct sb_link *link = sb_mqtt_link_get(probe.mqtt);
    uint32_t first = 0, token;

    memset(body, 'b', strtoul(words[4], NULL, 10));
    while (done < count) {
        struct sb_link_event event;

        while (sent < count && sent - done < window) {
            struct sb_link_message message = {
                .topic = words[1], .payload = sb_span_of(body), .qos = 1};

            if (link->publish(link, &message, &token, NULL) != 0)
                give_up("burst: publish");
            if (sent == 0)
                first = token;
            us[sent++] = now_us();
        }
        event = next_event("burst");
        if (event.kind == SB_LINK_PUBLISHED) {
            us[event.token - first] = now_us() - us[event.token - first];
            done++;
        } else if (event.kind == SB_LINK_DOWN) {
            give_up(event.err.msg);
        }
        sb_link_event_fini(&event);
    }
    print_times("burst", us, count, now_us() - start);
    free(body);
    free(us);
}

/* fill TOPIC: publishes without taking results until it is refused. */
static void do_fill(char **words)
{
    struct sb_link *link = sb_mqtt_link_get(probe.mqtt);
    struct sb_link_message message = {.topic = words[1], .payload = SB_SPAN("x"), .qos = 1};
    struct sb_err err = {0};
    struct sb_buf out = {0};
    unsigned taken = 0;

    while (link->publish(link, &message, NULL, &err) == 0)
        taken++;
    sb_buf_add_fmt(&out, "{\"event\":\"fill\",\"taken\":%u", taken);
    add_error(&out, &err);
    print_line(&out);
}

/* sockets: the TCP sockets of this process. */
static void do_sockets(void)
{
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;
    struct sb_buf out = {0};
    const char *comma = "";

    if (dir == NULL)
        give_up("/proc/self/fd");
    sb_buf_add_str(&out, "{\"event\":\"sockets\",\"nodelay\":[");
    while ((entry = readdir(dir)) != NULL) {
        int on = 0;
        socklen_t len = sizeof(on);

        if (entry->d_name[0] == '.')
            continue;
        if (getsockopt((int)strtol(entry->d_name, NULL, 10), IPPROTO_TCP, TCP_NODELAY, &on, &len) !=
            0)
            continue;
        sb_buf_add_fmt(&out, "%s%s", comma, on != 0 ? "true" : "false");
        comma = ",";
    }
    closedir(dir);
    sb_buf_add_char(&out, ']');
    print_line(&out);
}

static void make_link(void)
{
    struct sb_err err = {0};

    if (sb_mqtt_link_new(&probe.config, probe.box, &probe.mqtt, &err) != 0) {
        print_result("new", &err);
        exit(0);
    }
}

/* free graceful|hard: ends the link and makes a new one; how long the end took. */
static void do_free(const char *how)
{
    int64_t start = now_us();
    struct sb_link_event event;

    sb_mqtt_link_free(probe.mqtt, strcmp(how, "graceful") == 0);
    printf("{\"event\":\"free\",\"ms\":%.1f}\n", (double)(now_us() - start) / 1e3);
    fflush(stdout);
    while (sb_mailbox_take(probe.box, &event))
        sb_link_event_fini(&event);
    make_link();
}

/* cycle COUNT TOPIC: connects, publishes, frees (in turn gracefully, hard, with the message still
 * in flight, while connecting) and makes a new link, so often. */
static void do_cycle(char **words)
{
    unsigned long count = strtoul(words[1], NULL, 10);
    struct sb_link_message message = {.topic = words[2], .payload = SB_SPAN("c"), .qos = 1};

    for (unsigned long i = 0; i < count; i++) {
        struct sb_link *link = sb_mqtt_link_get(probe.mqtt);
        struct sb_link_event event = {.kind = SB_LINK_DOWN};
        struct sb_err err;

        sb_mqtt_link_connect(probe.mqtt);
        while (i % 4 != 3 && event.kind != SB_LINK_UP) {
            sb_link_event_fini(&event);
            event = next_event("cycle: up");
            if (event.kind == SB_LINK_DOWN)
                give_up(event.err.msg);
        }
        sb_link_event_fini(&event);
        if (i % 4 != 3 && link->publish(link, &message, NULL, &err) != 0)
            give_up(err.msg);
        sb_mqtt_link_free(probe.mqtt, i % 2 == 0);
        while (sb_mailbox_take(probe.box, &event))
            sb_link_event_fini(&event);
        make_link();
    }
    print_result("cycle", &(struct sb_err){0});
}

/* reconnect COUNT: drops and connects again on one link. */
static void do_reconnect(char **words)
{
    struct sb_link *link = sb_mqtt_link_get(probe.mqtt);

    for (unsigned long i = strtoul(words[1], NULL, 10); i > 0; i--) {
        enum sb_link_event_kind wanted[] = {SB_LINK_DOWN, SB_LINK_UP};

        link->drop(link);
        for (int step = 0; step < 2; step++) {
            struct sb_link_event event = next_event("reconnect");

            if (event.kind != wanted[step])
                give_up(event.err.msg);
            sb_link_event_fini(&event);
            sb_mqtt_link_connect(probe.mqtt);
        }
    }
    print_result("reconnect", &(struct sb_err){0});
}

static bool run(char **words, int count)
{
    struct sb_link *link = sb_mqtt_link_get(probe.mqtt);

    if (strcmp(words[0], "connect") == 0)
        sb_mqtt_link_connect(probe.mqtt);
    else if (strcmp(words[0], "publish") == 0)
        do_publish(words, count);
    else if (strcmp(words[0], "ping") == 0)
        do_ping(words);
    else if (strcmp(words[0], "burst") == 0)
        do_burst(words);
    else if (strcmp(words[0], "fill") == 0)
        do_fill(words);
    else if (strcmp(words[0], "sockets") == 0)
        do_sockets();
    else if (strcmp(words[0], "lookup") == 0)
        do_lookup();
    else if (strcmp(words[0], "drop") == 0)
        link->drop(link);
    else if (strcmp(words[0], "will") == 0)
        sb_mqtt_link_set_will(probe.mqtt, sb_span_of(words[1]));
    else if (strcmp(words[0], "free") == 0)
        do_free(words[1]);
    else if (strcmp(words[0], "cycle") == 0)
        do_cycle(words);
    else if (strcmp(words[0], "reconnect") == 0)
        do_reconnect(words);
    else
        return false;
    return true;
}

static bool read_command(void)
{
    char line[4096], *words[WORDS_MAX], *rest = NULL;
    int count = 0;

    if (fgets(line, sizeof(line), stdin) == NULL)
        return false;
    for (char *word = strtok_r(line, " \n", &rest); word != NULL && count < WORDS_MAX;
         word = strtok_r(NULL, " \n", &rest))
        words[count++] = word;
    if (count > 0 && !run(words, count))
        give_up(words[0]);
    return true;
}

/* ---- the program ---- */

static uint32_t number(const char *text)
{
    return (uint32_t)strtoul(text, NULL, 10);
}

/* key=value of the command line: the fields of struct sb_mqtt_config. */
static void configure(char *argument)
{
    struct sb_mqtt_config *c = &probe.config;
    const struct {
        const char *name;
        const char **text;
        uint32_t *number;
    } fields[] = {
        {"url", &c->url, NULL},
        {"client_id", &c->client_id, NULL},
        {"ca", &c->ca_file, NULL},
        {"cert", &c->cert_file, NULL},
        {"key", &c->key_file, NULL},
        {"user", &c->user, NULL},
        {"password", &c->password_file, NULL},
        {"expiry", NULL, &c->session_expiry_s},
        {"keepalive", NULL, &c->keepalive_s},
        {"receive_max", NULL, &c->receive_max},
        {"timeout", NULL, &c->connect_timeout_s},
        {"will_topic", &c->will_topic, NULL},
    };
    char *value = strchr(argument, '=');

    if (value == NULL)
        give_up(argument);
    *value++ = '\0';
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (strcmp(argument, fields[i].name) != 0)
            continue;
        if (fields[i].text != NULL)
            *fields[i].text = value;
        else
            *fields[i].number = number(value);
        return;
    }
    if (strcmp(argument, "will") == 0)
        c->will_payload = sb_span_of(value);
    else if (strcmp(argument, "sub") == 0 && c->subscribe_count < FILTERS_MAX)
        probe.filters[c->subscribe_count++] = value;
    else
        give_up(argument);
}

int main(int argc, char **argv)
{
    struct sb_link_event event;

    probe.config = (struct sb_mqtt_config){.session_expiry_s = 3600,
                                           .keepalive_s = 30,
                                           .receive_max = 100,
                                           .connect_timeout_s = 10,
                                           .subscribe = probe.filters};
    for (int i = 1; i < argc; i++)
        configure(argv[i]);
    setvbuf(stdin, NULL, _IONBF, 0);
    probe.box = sb_mailbox_new(1000, 16 << 20, TOKENS);
    make_link();
    for (;;) {
        struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                               {.fd = sb_mailbox_fd(probe.box), .events = POLLIN}};

        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            give_up("poll");
        while (sb_mailbox_take(probe.box, &event)) {
            print_event(&event);
            sb_link_event_fini(&event);
        }
        if (fds[0].revents != 0 && !read_command())
            break;
    }
    sb_mqtt_link_free(probe.mqtt, true);
    sb_mailbox_free(probe.box);
    return 0;
}
