#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"
#include "clock.h"

#define READ_CHUNK       65536
#define ACCEPTS_PER_TURN 16
#define LISTEN_BACKLOG   64
#define WAKES_PER_TURN   64
#define WAKE_SUFFIX      ".wake"

#define TEXT_OF(macro)       TEXT_OF_VALUE(macro)
#define TEXT_OF_VALUE(value) #value

/* One call of a client is open at a time: while it waits for its answer, or has not yet read the
 * last one, nothing more is read from it. So a client costs at most one line and one answer. */
struct client {
    TAILQ_ENTRY(client) link;
    struct sb_control *control;
    uint64_t id;
    int fd;
    struct sb_buf in;
    size_t scanned;  /* bytes of `in` that hold no end of line */
    size_t line_len; /* of the call that is open, its end of line included */
    struct sb_buf out;
    size_t sent;
    bool open_call; /* on_call ran, the answer has not come */
    bool serving;   /* inside serve(): answer() leaves the rest to it */
    bool ended;     /* the peer sends nothing more */
    bool last;      /* close once `out` is sent */
    bool gone;      /* the peer is not there any more */
};

struct bound {
    int fd;
    char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    dev_t dev;
    ino_t ino;
};

struct sb_control {
    struct sb_loop *loop;
    struct bound listener, wake;
    int spare_fd; /* given up to refuse a client when the process has no descriptor left */
    void (*on_call)(void *ctx, const struct sb_control_call *call);
    void (*on_wake)(void *ctx);
    void *ctx;
    TAILQ_HEAD(, client) clients;
    unsigned client_count;
    uint64_t last_id;
};

/* ---- addresses ---- */

static int address_of(const char *path, const char *suffix, struct sockaddr_un *address,
                      struct sb_err *err)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) + strlen(WAKE_SUFFIX) >= sizeof(address->sun_path))
        return sb_fail(err, SB_ECONFIG, "%s: a socket's path has at most %zu bytes", path,
                       sizeof(address->sun_path) - 1 - strlen(WAKE_SUFFIX));
    snprintf(address->sun_path, sizeof(address->sun_path), "%s%s", path, suffix);
    return 0;
}

static int connect_to(int fd, const struct sockaddr_un *address)
{
    return connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ? 0 : errno;
}

/* A socket file that nobody has open is what a killed daemon leaves behind. */
static int remove_dead(const struct sockaddr_un *address, int type, struct sb_err *err)
{
    const char *path = address->sun_path;
    struct stat st;
    int fd, error;

    if (lstat(path, &st) != 0)
        return errno == ENOENT ? 0 : sb_fail_errno(err, errno, "%s", path);
    if (!S_ISSOCK(st.st_mode))
        return sb_fail(err, SB_ECONFIG, "%s: is there and is not a socket", path);
    fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return sb_fail_errno(err, errno, "%s: socket", path);
    error = connect_to(fd, address);
    close(fd);
    if (error == 0 || error == EAGAIN)
        return sb_fail(err, SB_ELOCKED, "%s: another process listens there", path);
    if (error != ECONNREFUSED && error != ENOENT)
        return sb_fail_errno(err, error, "%s", path);
    if (unlink(path) != 0 && errno != ENOENT)
        return sb_fail_errno(err, errno, "%s: remove", path);
    return 0;
}

static int group_id(const char *name, gid_t *gid, struct sb_err *err)
{
    struct group group, *found = NULL;
    char strings[4096];

    if (getgrnam_r(name, &group, strings, sizeof(strings), &found) != 0 || found == NULL)
        return sb_fail(err, SB_ECONFIG, "group '%s' does not exist", name);
    *gid = found->gr_gid;
    return 0;
}

/* The file is never open to more users than in the end: 0600 first, then the group, then 0660. */
static int grant(const char *path, const char *group, struct sb_err *err)
{
    gid_t gid = (gid_t)-1;
    int rc = group != NULL ? group_id(group, &gid, err) : 0;

    if (rc != 0)
        return rc;
    if (group != NULL && chown(path, (uid_t)-1, gid) != 0)
        return sb_fail_errno(err, errno, "%s: give to group '%s'", path, group);
    if (chmod(path, 0660) != 0)
        return sb_fail_errno(err, errno, "%s: chmod", path);
    return 0;
}

static int bind_to(struct bound *bound, const char *path, const char *suffix, int type,
                   const char *group, struct sb_err *err)
{
    struct sockaddr_un address;
    struct stat st;
    int rc = address_of(path, suffix, &address, err);

    if (rc == 0)
        rc = remove_dead(&address, type, err);
    if (rc != 0)
        return rc;
    bound->fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bound->fd < 0)
        return sb_fail_errno(err, errno, "%s: socket", address.sun_path);
    fchmod(bound->fd, 0600); /* the mode that bind gives the file */
    if (bind(bound->fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        return sb_fail_errno(err, errno, "%s: bind", address.sun_path);
    memcpy(bound->path, address.sun_path, sizeof(bound->path));
    if (stat(bound->path, &st) == 0) {
        bound->dev = st.st_dev;
        bound->ino = st.st_ino;
    }
    return grant(bound->path, group, err);
}

/* The file may be another process's by now, if somebody removed ours. */
static void unbind(struct bound *bound)
{
    struct stat st;

    if (bound->fd >= 0)
        close(bound->fd);
    if (bound->path[0] != '\0' && stat(bound->path, &st) == 0 && st.st_dev == bound->dev &&
        st.st_ino == bound->ino)
        unlink(bound->path);
}

/* ---- one client ---- */

static void client_free(struct client *client)
{
    struct sb_control *control = client->control;

    sb_loop_remove(control->loop, client->fd);
    close(client->fd);
    TAILQ_REMOVE(&control->clients, client, link);
    control->client_count--;
    sb_buf_free(&client->in);
    sb_buf_free(&client->out);
    free(client);
}

static bool out_waits(const struct client *client)
{
    return client->sent < client->out.len;
}

static void flush(struct client *client)
{
    while (out_waits(client) && !client->gone) {
        ssize_t n = send(client->fd, client->out.data + client->sent,
                         client->out.len - client->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n >= 0)
            client->sent += (size_t)n;
        else if (errno == EAGAIN)
            return;
        else if (errno != EINTR)
            client->gone = true;
    }
    client->sent = 0;
    if (client->out.cap > READ_CHUNK)
        sb_buf_free(&client->out);
    else
        sb_buf_clear(&client->out);
}

static bool hung_up(int fd)
{
    struct pollfd poll_fd = {.fd = fd};

    return poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & (POLLHUP | POLLERR)) != 0;
}

static bool has_line(struct client *client)
{
    const char *end = NULL;

    if (client->in.len > client->scanned)
        end = memchr(client->in.data + client->scanned, '\n', client->in.len - client->scanned);
    client->scanned = end != NULL ? (size_t)(end - client->in.data) : client->in.len;
    return end != NULL;
}

/* Cuts the line of the call that was answered off the buffer. */
static void forget_line(struct client *client)
{
    size_t rest = client->in.len - client->line_len;

    if (client->line_len == 0)
        return;
    memmove(client->in.data, client->in.data + client->line_len, rest);
    client->in.len = rest;
    client->line_len = client->scanned = 0;
    if (rest == 0 && client->in.cap > READ_CHUNK)
        sb_buf_free(&client->in);
}

static void refuse(struct client *client, enum sb_code code, const char *reason)
{
    sb_buf_add_fmt(&client->out, "{\"success\":false,\"code\":\"%s\",\"reason\":\"%s\"}\n",
                   sb_code_name(code), reason);
    client->last = true;
}

static bool may_read(const struct client *client)
{
    return !client->open_call && !client->ended && !client->last && !client->gone &&
           !out_waits(client);
}

static void read_some(struct client *client)
{
    ssize_t n;

    sb_buf_reserve(&client->in, READ_CHUNK);
    n = recv(client->fd, client->in.data + client->in.len, READ_CHUNK, MSG_DONTWAIT);
    if (n > 0)
        client->in.len += (size_t)n;
    else if (n == 0)
        client->ended = true;
    else if (errno != EAGAIN && errno != EINTR)
        client->gone = true;
}

/* Hands the lines that are there to the owner, one after the other's answer. */
static void serve(struct client *client)
{
    struct sb_control *control = client->control;

    client->serving = true;
    while (!client->open_call && !client->last && !client->gone && !out_waits(client)) {
        forget_line(client);
        if (!has_line(client) || client->scanned > SB_CONTROL_MAX_LINE)
            break;
        client->line_len = client->scanned + 1;
        client->open_call = true;
        control->on_call(control->ctx,
                         &(struct sb_control_call){.control = control,
                                                   .client = client->id,
                                                   .line = {client->in.data, client->scanned}});
        flush(client);
    }
    if (!client->open_call && !client->last && client->scanned > SB_CONTROL_MAX_LINE) {
        refuse(client, SB_ETOO_LARGE, "a line has at most " TEXT_OF(SB_CONTROL_MAX_LINE) " bytes");
        flush(client);
    }
    client->serving = false;
}

static bool is_finished(const struct client *client)
{
    if (client->gone)
        return true;
    return !client->open_call && !out_waits(client) && (client->last || client->ended);
}

static void on_client(void *ctx, int fd)
{
    struct client *client = ctx;

    flush(client);
    if (may_read(client))
        read_some(client);
    else if (hung_up(fd))
        client->gone = true;
    serve(client);
    if (is_finished(client)) {
        client_free(client);
        return;
    }
    sb_loop_want_write(client->control->loop, fd, out_waits(client));
    sb_loop_want_read(client->control->loop, fd, may_read(client));
}

/* ---- the listener ---- */

static void add_client(struct sb_control *control, int fd)
{
    struct client *client = sb_xcalloc(1, sizeof(*client));

    client->control = control;
    client->fd = fd;
    client->id = ++control->last_id;
    if (sb_loop_add(control->loop, fd, on_client, client, NULL) != 0) {
        close(fd);
        free(client);
        return;
    }
    TAILQ_INSERT_TAIL(&control->clients, client, link);
    control->client_count++;
}

static void refuse_client(int fd)
{
    static const char busy[] = "{\"success\":false,\"code\":\"busy\",\"reason\":\"" TEXT_OF(
        SB_CONTROL_MAX_CLIENTS) " clients are connected already\"}\n";

    send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
}

/* Without this the waiting client would keep the listener ready and the loop turning. */
static void refuse_without_descriptor(struct sb_control *control)
{
    int fd;

    close(control->spare_fd);
    fd = accept4(control->listener.fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        refuse_client(fd);
    control->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_listener(void *ctx, int listener)
{
    struct sb_control *control = ctx;

    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0 && (errno == EMFILE || errno == ENFILE))
            refuse_without_descriptor(control);
        if (fd < 0)
            return;
        if (control->client_count >= SB_CONTROL_MAX_CLIENTS)
            refuse_client(fd);
        else
            add_client(control, fd);
    }
}

static void on_wake_socket(void *ctx, int fd)
{
    struct sb_control *control = ctx;
    char bytes[16];

    for (int i = 0; i < WAKES_PER_TURN && recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) >= 0; i++) {
        /* many wakes are one */
    }
    control->on_wake(control->ctx);
}

int sb_control_listen(struct sb_loop *loop, const char *path, const char *group,
                      void (*on_call)(void *ctx, const struct sb_control_call *call),
                      void (*on_wake)(void *ctx), void *ctx, struct sb_control **out,
                      struct sb_err *err)
{
    struct sb_control *control = sb_xcalloc(1, sizeof(*control));
    int rc;

    *control = (struct sb_control){.loop = loop,
                                   .listener.fd = -1,
                                   .wake.fd = -1,
                                   .on_call = on_call,
                                   .on_wake = on_wake,
                                   .ctx = ctx};
    TAILQ_INIT(&control->clients);
    control->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    rc = bind_to(&control->listener, path, "", SOCK_STREAM, group, err);
    if (rc == 0 && listen(control->listener.fd, LISTEN_BACKLOG) != 0)
        rc = sb_fail_errno(err, errno, "%s: listen", path);
    if (rc == 0)
        rc = sb_loop_add(loop, control->listener.fd, on_listener, control, err);
    if (rc == 0 && on_wake != NULL)
        rc = bind_to(&control->wake, path, WAKE_SUFFIX, SOCK_DGRAM, group, err);
    if (rc == 0 && on_wake != NULL)
        rc = sb_loop_add(loop, control->wake.fd, on_wake_socket, control, err);
    if (rc != 0) {
        sb_control_free(control);
        return rc;
    }
    *out = control;
    return 0;
}

void sb_control_free(struct sb_control *control)
{
    struct client *client;

    if (control == NULL)
        return;
    while ((client = TAILQ_FIRST(&control->clients)) != NULL)
        client_free(client);
    if (control->listener.fd >= 0)
        sb_loop_remove(control->loop, control->listener.fd);
    if (control->wake.fd >= 0)
        sb_loop_remove(control->loop, control->wake.fd);
    unbind(&control->listener);
    unbind(&control->wake);
    if (control->spare_fd >= 0)
        close(control->spare_fd);
    free(control);
}

/* A line feed inside JSON can only be white space between its parts: a document whose text was kept
 * may have some. */
static void add_line(struct sb_buf *out, struct sb_span line)
{
    size_t from = out->len;

    sb_buf_add_span(out, line);
    for (char *at = out->data + from;
         (at = memchr(at, '\n', (size_t)(out->data + out->len - at))) != NULL; at++)
        *at = ' ';
    sb_buf_add_char(out, '\n');
}

static struct client *find_client(struct sb_control *control, uint64_t id)
{
    struct client *client;

    TAILQ_FOREACH(client, &control->clients, link)
    {
        if (client->id == id)
            return client;
    }
    return NULL;
}

bool sb_control_waits(struct sb_control *control, uint64_t id)
{
    const struct client *client = find_client(control, id);

    return client != NULL && !client->gone && client->open_call;
}

bool sb_control_answer(struct sb_control *control, uint64_t id, struct sb_span line)
{
    struct client *client = find_client(control, id);

    if (client == NULL || client->gone)
        return false;
    SB_CHECK(client->open_call);
    if (line.len > SB_CONTROL_MAX_LINE)
        line = SB_SPAN(
            "{\"success\":false,\"code\":\"too_large\","
            "\"reason\":\"the answer has more than " TEXT_OF(SB_CONTROL_MAX_LINE) " bytes\"}");
    add_line(&client->out, line);
    client->open_call = false;
    flush(client);
    /* The next line, if there is one, is for the next turn of the loop, not for inside this call.
     */
    if (!client->serving)
        sb_loop_want_write(control->loop, client->fd, true);
    return !client->gone;
}

/* ---- the other end ---- */

static int remaining(int64_t deadline_ms)
{
    int64_t left = deadline_ms - sb_clock_now().mono_ms;

    return left > 0 ? (int)left : 0;
}

static int wait_for(int fd, short events, int64_t deadline_ms, const char *path, struct sb_err *err)
{
    struct pollfd poll_fd = {.fd = fd, .events = events};
    int n;

    do
        n = poll(&poll_fd, 1, remaining(deadline_ms));
    while (n < 0 && errno == EINTR);
    if (n == 0)
        return sb_fail(err, SB_ETIMEOUT, "%s: no answer in time", path);
    return n > 0 ? 0 : sb_fail_errno(err, errno, "%s: poll", path);
}

/* The listener's queue being full is the one thing to wait for; a Unix socket then says EAGAIN and
 * offers nothing to poll. */
static int connect_in_time(int fd, const struct sockaddr_un *address, int64_t deadline_ms,
                           struct sb_err *err)
{
    int error;

    while ((error = connect_to(fd, address)) == EAGAIN || error == EINTR) {
        if (remaining(deadline_ms) == 0)
            return sb_fail(err, SB_ETIMEOUT, "%s: no answer in time", address->sun_path);
        poll(NULL, 0, 5);
    }
    if (error == ENOENT || error == ECONNREFUSED || error == ENOTDIR)
        return sb_fail(err, SB_ENOT_RUNNING, "%s: nobody listens there", address->sun_path);
    if (error == EACCES)
        return sb_fail(err, SB_EIO, "%s: no permission: is this user in the socket's group?",
                       address->sun_path);
    return error == 0 ? 0 : sb_fail_errno(err, error, "%s", address->sun_path);
}

/* A daemon that refuses a line closes before it has read all of it; its reason can be read then. */
static int send_line(int fd, const struct sb_buf *line, int64_t deadline_ms, const char *path,
                     struct sb_err *err)
{
    size_t sent = 0;

    while (sent < line->len) {
        ssize_t n = send(fd, line->data + sent, line->len - sent, MSG_NOSIGNAL);
        int rc;

        if (n >= 0) {
            sent += (size_t)n;
        } else if (errno == EPIPE || errno == ECONNRESET) {
            return 0;
        } else if (errno == EAGAIN) {
            rc = wait_for(fd, POLLOUT, deadline_ms, path, err);
            if (rc != 0)
                return rc;
        } else if (errno != EINTR) {
            return sb_fail_errno(err, errno, "%s: send", path);
        }
    }
    return 0;
}

static int receive_line(int fd, struct sb_buf *answer, int64_t deadline_ms, const char *path,
                        struct sb_err *err)
{
    for (;;) {
        const char *end;
        ssize_t n;
        int rc = wait_for(fd, POLLIN, deadline_ms, path, err);

        if (rc != 0)
            return rc;
        sb_buf_reserve(answer, READ_CHUNK);
        n = recv(fd, answer->data + answer->len, READ_CHUNK, 0);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n <= 0)
            return sb_fail(err, SB_ECLOSED, "%s: the connection ended without an answer", path);
        end = memchr(answer->data + answer->len, '\n', (size_t)n);
        answer->len += (size_t)n;
        if (end != NULL) {
            answer->len = (size_t)(end - answer->data);
            answer->data[answer->len] = '\0';
            return 0;
        }
        if (answer->len > SB_CONTROL_MAX_LINE)
            return sb_fail(err, SB_ETOO_LARGE, "%s: the answer has more than %d bytes", path,
                           SB_CONTROL_MAX_LINE);
    }
}

int sb_control_ask(const char *path, struct sb_span line, int timeout_ms, struct sb_buf *answer,
                   struct sb_err *err)
{
    int64_t deadline_ms = sb_clock_now().mono_ms + timeout_ms;
    struct sockaddr_un address;
    struct sb_buf request = {0};
    int fd, rc = address_of(path, "", &address, err);

    if (rc != 0)
        return rc;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return sb_fail_errno(err, errno, "%s: socket", path);
    add_line(&request, line);
    sb_buf_clear(answer);
    rc = connect_in_time(fd, &address, deadline_ms, err);
    if (rc == 0)
        rc = send_line(fd, &request, deadline_ms, path, err);
    if (rc == 0)
        rc = receive_line(fd, answer, deadline_ms, path, err);
    sb_buf_free(&request);
    close(fd);
    return rc;
}

bool sb_control_wake(const char *path)
{
    struct sockaddr_un address;
    bool there;
    int fd;

    if (address_of(path, WAKE_SUFFIX, &address, NULL) != 0)
        return false;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    /* A full queue has a wake in it that was not yet taken. */
    there = sendto(fd, "w", 1, MSG_NOSIGNAL, (struct sockaddr *)&address, sizeof(address)) == 1 ||
            errno == EAGAIN;
    close(fd);
    return there;
}
