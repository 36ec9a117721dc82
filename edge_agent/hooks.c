#include "edge_agent/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/check.h"
#include "edge_agent/export_name.h"

#define TEMPORARY   ".sb-export.tmp"
#define FOLDER_MODE 0750
#define FILE_MODE   0640
#define END_MS      500 /* between SIGTERM and SIGKILL when the agent ends */
#define OWN_NAMES   4   /* SB_USER, SB_TABLE, SB_ID, SB_FILE */

extern char **environ;

struct hooks {
    char *folder; /* NULL = no files */
    char **words; /* NULL = no command */
    char program[PATH_MAX];
    int64_t timeout_ms;

    pid_t child; /* 0 = none */
    int fd;      /* pidfd */
    int trouble; /* what the child says before it becomes the command */
    int64_t deadline_ms;
    bool timed_out;
};

/* ---- the words of a command ---- */

struct splitter {
    const char *at;
    char *text; /* all words, each with its NUL */
    size_t len, count;
};

/* Takes what is inside quotes; the opening one is behind. */
static bool take_quoted(struct splitter *s, char quote)
{
    for (; *s->at != quote; s->at++) {
        if (*s->at == '\0')
            return false;
        if (quote == '"' && *s->at == '\\' && (s->at[1] == '"' || s->at[1] == '\\'))
            s->at++;
        s->text[s->len++] = *s->at;
    }
    s->at++;
    return true;
}

static bool take_word(struct splitter *s)
{
    while (*s->at != '\0' && strchr(" \t", *s->at) == NULL) {
        char c = *s->at++;

        if (c == '\'' || c == '"') {
            if (!take_quoted(s, c))
                return false;
        } else if (c == '\\' && *s->at != '\0') {
            s->text[s->len++] = *s->at++;
        } else {
            s->text[s->len++] = c;
        }
    }
    s->text[s->len++] = '\0';
    s->count++;
    return true;
}

int hooks_split(const char *command, char ***words, struct sb_err *err)
{
    size_t room = strlen(command) + 1, pointers = room / 2 + 2;
    struct splitter s = {.at = command};
    char **list = sb_xmalloc(pointers * sizeof(*list) + room);
    size_t at = 0;

    s.text = (char *)(list + pointers);
    for (;;) {
        s.at += strspn(s.at, " \t");
        if (*s.at == '\0')
            break;
        if (!take_word(&s)) {
            free(list);
            return sb_fail(err, SB_ECONFIG, "'%.160s': a quote is not closed", command);
        }
    }
    if (s.count == 0 || s.text[0] == '\0') {
        free(list);
        return sb_fail(err, SB_ECONFIG, "'%.160s': no program is named", command);
    }
    for (size_t i = 0; i < s.count; i++) {
        list[i] = s.text + at;
        at += strlen(list[i]) + 1;
    }
    list[s.count] = NULL;
    *words = list;
    return 0;
}

/* ---- making one ---- */

/* Where the program is: its path, or what PATH has under its name. */
static int find_program(struct hooks *hooks, struct sb_err *err)
{
    const char *name = hooks->words[0], *path = getenv("PATH"), *end;

    if (strchr(name, '/') != NULL) {
        snprintf(hooks->program, sizeof(hooks->program), "%s", name);
        if (access(name, X_OK) == 0)
            return 0;
        return sb_fail(err, SB_ECONFIG, "%.160s: %s", name, strerror(errno));
    }
    for (path = path != NULL ? path : "/usr/bin:/bin"; *path != '\0'; path = end + (*end == ':')) {
        end = strchrnul(path, ':');
        if (end == path)
            continue;
        snprintf(hooks->program, sizeof(hooks->program), "%.*s/%s", (int)(end - path), path, name);
        if (access(hooks->program, X_OK) == 0)
            return 0;
    }
    return sb_fail(err, SB_ECONFIG, "%.160s: there is no such program in PATH", name);
}

int hooks_new(const struct hooks_config *config, struct hooks **out, struct sb_err *err)
{
    struct hooks *hooks = sb_xcalloc(1, sizeof(*hooks));
    int rc = 0;

    hooks->fd = hooks->trouble = -1;
    hooks->timeout_ms = config->timeout_ms;
    if (config->folder[0] != '\0' && config->folder[0] != '/')
        rc = sb_fail(err, SB_ECONFIG, "'%.160s': not an absolute path", config->folder);
    else if (config->folder[0] != '\0')
        hooks->folder = sb_xstrdup(config->folder);
    if (rc == 0 && config->command[0] != '\0')
        rc = hooks_split(config->command, &hooks->words, err);
    if (rc == 0 && hooks->words != NULL)
        rc = find_program(hooks, err);
    if (rc != 0) {
        hooks_free(hooks);
        return rc;
    }
    *out = hooks;
    return 0;
}

/* ---- the child: nothing but system calls, since other threads may hold any lock ---- */

/* All it needs, made before the fork. */
struct job {
    const struct hooks *hooks;
    struct export_place place;
    struct sb_span text;
    bool deleted;
    char **environment;
    int trouble;
};

/* What went wrong, for the parent: where, and errno. */
struct trouble {
    enum { AT_FOLDER = 1, AT_FILE, AT_COMMAND } where;
    int error;
};

__attribute__((noreturn)) static void give_up(const struct job *job, int where)
{
    struct trouble trouble = {where, errno};
    ssize_t n = write(job->trouble, &trouble, sizeof(trouble));

    _exit(n == sizeof(trouble) ? 126 : 125);
}

/* The folder below `parent`, made where it is missing; no link is followed. */
static int open_folder(const struct job *job, int parent, const char *name)
{
    int fd;

    if (mkdirat(parent, name, FOLDER_MODE) != 0 && errno != EEXIST)
        give_up(job, AT_FOLDER);
    fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        give_up(job, AT_FOLDER);
    return fd;
}

static int open_place(const struct job *job)
{
    int fd;

    if (mkdir(job->hooks->folder, FOLDER_MODE) != 0 && errno != EEXIST)
        give_up(job, AT_FOLDER);
    fd = open(job->hooks->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        give_up(job, AT_FOLDER);
    fd = open_folder(job, fd, job->place.user);
    return job->place.table[0] != '\0' ? open_folder(job, fd, job->place.table) : fd;
}

static bool write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
    return true;
}

static void write_file(const struct job *job, int folder)
{
    int fd;

    if (unlinkat(folder, TEMPORARY, 0) != 0 && errno != ENOENT)
        give_up(job, AT_FILE);
    fd = openat(folder, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    if (fd < 0 || fchmod(fd, FILE_MODE) != 0 || !write_all(fd, job->text.data, job->text.len) ||
        !write_all(fd, "\n", 1) || fsync(fd) != 0 ||
        renameat(folder, TEMPORARY, folder, job->place.file) != 0)
        give_up(job, AT_FILE);
}

static void remove_file(const struct job *job, int folder)
{
    if (unlinkat(folder, job->place.file, 0) != 0 && errno != ENOENT)
        give_up(job, AT_FILE);
}

/* The command gets the signals as a program expects them, an empty input, and nothing else that
 * the agent has open. */
static void become_command(const struct job *job)
{
    struct sigaction usual = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        sigaction(number, &usual, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    if (dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), STDIN_FILENO) < 0)
        give_up(job, AT_COMMAND);
    execve(job->hooks->program, job->hooks->words, job->environment);
    give_up(job, AT_COMMAND);
}

/* Whatever else the agent has open, its lock above all, must not outlive it in a child that hangs;
 * whoever opened it and however. */
static void close_others(int kept)
{
    if (kept > STDERR_FILENO + 1)
        (void)close_range(STDERR_FILENO + 1, (unsigned)kept - 1, 0);
    (void)close_range((unsigned)kept + 1, ~0U, 0);
}

__attribute__((noreturn)) static void run_child(const struct job *job)
{
    setpgid(0, 0); /* so that what the command starts is killed with it */
    close_others(job->trouble);
    if (job->hooks->folder != NULL) {
        int folder = open_place(job);

        if (job->deleted)
            remove_file(job, folder);
        else
            write_file(job, folder);
        if (fsync(folder) != 0)
            give_up(job, AT_FILE);
    }
    if (job->hooks->words != NULL)
        become_command(job);
    _exit(0);
}

/* ---- the parent ---- */

static bool is_own_name(const char *variable)
{
    static const char *const names[OWN_NAMES] = {"SB_USER=", "SB_TABLE=", "SB_ID=", "SB_FILE="};

    for (size_t i = 0; i < OWN_NAMES; i++)
        if (strncmp(variable, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* The keys of encrypted documents, where they came by the environment, are the agent's alone. */
static bool is_secret(const char *variable)
{
    return strncmp(variable, "SB_ENCRYPTION_KEY", strlen("SB_ENCRYPTION_KEY")) == 0;
}

/* Variables and their array in one piece of memory. */
static char **make_environment(const struct hooks *hooks, const struct hooks_document *doc,
                               const struct export_place *place)
{
    struct sb_buf text = {0};
    size_t count = 0, kept = 0;
    size_t ends[OWN_NAMES];
    char **list, *at;

    while (environ[count] != NULL)
        count++;
    sb_buf_add_fmt(&text, "SB_USER=%s%c", doc->user, '\0');
    ends[0] = text.len;
    sb_buf_add_fmt(&text, "SB_TABLE=%s%c", doc->table, '\0');
    ends[1] = text.len;
    sb_buf_add_fmt(&text, "SB_ID=%s%c", doc->id, '\0');
    ends[2] = text.len;
    sb_buf_add_str(&text, "SB_FILE=");
    if (hooks->folder != NULL)
        export_place_path(place, hooks->folder, &text);
    sb_buf_add_char(&text, '\0');
    list = sb_xmalloc((count + OWN_NAMES + 1) * sizeof(*list) + text.len);
    at = (char *)(list + count + OWN_NAMES + 1);
    memcpy(at, text.data, text.len);
    for (size_t i = 0; i < count; i++)
        if (!is_own_name(environ[i]) && !is_secret(environ[i]))
            list[kept++] = environ[i];
    list[kept++] = at;
    for (size_t i = 0; i + 1 < OWN_NAMES; i++)
        list[kept++] = at + ends[i];
    list[kept] = NULL;
    sb_buf_free(&text);
    return list;
}

int hooks_start(struct hooks *hooks, const struct hooks_document *doc, int64_t now_ms,
                struct sb_err *err)
{
    struct job job = {.hooks = hooks, .text = doc->text, .deleted = doc->deleted};
    int ends[2];

    SB_CHECK(hooks->child == 0);
    export_place_of(doc->user, doc->table, doc->id, &job.place);
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return sb_fail_errno(err, errno, "a pipe to the hook");
    job.trouble = ends[1];
    job.environment = make_environment(hooks, doc, &job.place);
    hooks->child = fork();
    if (hooks->child == 0)
        run_child(&job);
    free(job.environment);
    close(ends[1]);
    if (hooks->child < 0) {
        int error = errno;

        hooks->child = 0;
        close(ends[0]);
        return sb_fail_errno(err, error, "a process for the hook");
    }
    setpgid(hooks->child, hooks->child); /* whoever of the two comes first */
    hooks->fd = pidfd_open(hooks->child, 0);
    hooks->trouble = ends[0];
    hooks->deadline_ms = now_ms + hooks->timeout_ms;
    hooks->timed_out = false;
    return 0;
}

bool hooks_busy(const struct hooks *hooks)
{
    return hooks->child != 0;
}

int hooks_fd(const struct hooks *hooks)
{
    return hooks->fd;
}

int64_t hooks_deadline(const struct hooks *hooks)
{
    return hooks->child != 0 ? hooks->deadline_ms : INT64_MAX;
}

/* Forgets the child that has been waited for. */
static void forget_child(struct hooks *hooks)
{
    if (hooks->fd >= 0)
        close(hooks->fd);
    if (hooks->trouble >= 0)
        close(hooks->trouble);
    hooks->fd = hooks->trouble = -1;
    hooks->child = 0;
}

static enum hooks_result judge(struct hooks *hooks, int status, struct sb_err *err)
{
    struct trouble trouble;

    if (read(hooks->trouble, &trouble, sizeof(trouble)) == sizeof(trouble)) {
        if (trouble.where == AT_COMMAND) {
            sb_fail_errno(err, trouble.error, "%.160s", hooks->program);
            return HOOKS_FAILED;
        }
        sb_fail_errno(err, trouble.error, "%.120s: %s", hooks->folder,
                      trouble.where == AT_FOLDER ? "the folder" : "the file");
        return HOOKS_UNWRITTEN;
    }
    if (hooks->timed_out)
        sb_fail(err, SB_ETIMEOUT, "%.160s: killed after %lld s", hooks->program,
                (long long)hooks->timeout_ms / 1000);
    else if (WIFSIGNALED(status))
        sb_fail(err, SB_EIO, "%.160s: ended by signal %d", hooks->program, WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        sb_fail(err, SB_EIO, "%.160s: ended with status %d", hooks->program, WEXITSTATUS(status));
    else
        return HOOKS_DONE;
    return hooks->words != NULL ? HOOKS_FAILED : HOOKS_UNWRITTEN;
}

enum hooks_result hooks_poll(struct hooks *hooks, int64_t now_ms, struct sb_err *err)
{
    enum hooks_result result;
    int status = 0;
    pid_t got;

    if (hooks->child == 0)
        return HOOKS_RUNNING;
    if (now_ms >= hooks->deadline_ms && !hooks->timed_out) {
        hooks->timed_out = true;
        kill(-hooks->child, SIGKILL);
    }
    got = waitpid(hooks->child, &status, WNOHANG);
    if (got == 0 || (got < 0 && errno == EINTR)) {
        if (hooks->timed_out) /* it is dying: looked at again soon, should there be no pidfd */
            hooks->deadline_ms = now_ms + 10;
        return HOOKS_RUNNING;
    }
    result = judge(hooks, status, err);
    forget_child(hooks);
    return result;
}

void hooks_free(struct hooks *hooks)
{
    if (hooks == NULL)
        return;
    if (hooks->child != 0) {
        struct pollfd ended = {.fd = hooks->fd, .events = POLLIN};

        kill(-hooks->child, SIGTERM);
        if (hooks->fd < 0 || poll(&ended, 1, END_MS) <= 0)
            kill(-hooks->child, SIGKILL);
        (void)waitpid(hooks->child, NULL, 0);
        forget_child(hooks);
    }
    free(hooks->folder);
    free(hooks->words);
    free(hooks);
}
