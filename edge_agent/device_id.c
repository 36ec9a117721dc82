#include "edge_agent/device_id.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/ids.h"

#define ETHERNET "1"   /* ARPHRD_ETHER, as text in sysfs */
#define GIVEN    "0"   /* NET_ADDR_PERM: the address that the hardware came with */
#define FILE_MAX 65536 /* of /proc/cpuinfo: the model is at its end on some boards */

/* ---- reading ---- */

/* The text of root/path without blanks at its ends, "" where it cannot be read. The caller frees
 * it. */
static char *text_of(const char *root, const char *path)
{
    char *text = sb_xcalloc(1, FILE_MAX);
    struct sb_buf whole = {0};
    ssize_t got = -1;
    int fd;

    sb_buf_add_fmt(&whole, "%s/%s", root, path);
    fd = open(whole.data, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    sb_buf_free(&whole);
    if (fd >= 0) {
        got = read(fd, text, FILE_MAX - 1);
        close(fd);
    }
    text[got > 0 ? got : 0] = '\0'; /* texts of a device tree end with a NUL of their own */
    for (size_t len = strlen(text); len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL; len--)
        text[len - 1] = '\0';
    return text;
}

/* Says something about one machine: not empty, no run of one and the same digit, none of the values
 * that boards have whose maker never filled them in. */
static bool is_telling(const char *text)
{
    static const char *const common[] = {
        "uninitialized",
        "03000200-0400-0500-0006-000700080009",
        "12345678-1234-5678-90ab-cddeefaabbcc",
    };
    const char *other = text;

    for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++)
        if (strcasecmp(text, common[i]) == 0)
            return false;
    while (*other != '\0' && (*other == text[0] || *other == '-' || *other == ':'))
        other++;
    return *other != '\0';
}

static bool add_file(struct sb_buf *out, const char *name, const char *root, const char *path)
{
    char *text = text_of(root, path);
    bool good = is_telling(text);

    if (good)
        sb_buf_add_fmt(out, "%s=%s\n", name, text);
    free(text);
    return good;
}

/* ---- network interfaces ---- */

static bool is_text(const char *root, const char *name, const char *file, const char *want)
{
    char path[PATH_MAX];
    char *text;
    bool same;

    snprintf(path, sizeof(path), "sys/class/net/%s/%s", name, file);
    text = text_of(root, path);
    same = strcmp(text, want) == 0;
    free(text);
    return same;
}

/* Bridges, tunnels and the like have no device behind them. */
static bool is_physical(const char *root, const char *name)
{
    struct sb_buf path = {0};
    bool there;

    sb_buf_add_fmt(&path, "%s/sys/class/net/%s/device", root, name);
    there = access(path.data, F_OK) == 0;
    sb_buf_free(&path);
    return there && is_text(root, name, "type", ETHERNET) &&
           is_text(root, name, "addr_assign_type", GIVEN);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct addresses {
    char **list;
    size_t count;
};

static void add_address(struct addresses *addresses, const char *root, const char *name)
{
    char path[PATH_MAX];
    char *text;

    snprintf(path, sizeof(path), "sys/class/net/%s/address", name);
    text = text_of(root, path);
    if (!is_telling(text)) {
        free(text);
        return;
    }
    addresses->list = sb_xgrow(addresses->list, addresses->count, sizeof(char *));
    addresses->list[addresses->count++] = text;
}

static bool add_addresses(struct sb_buf *out, const char *root)
{
    struct addresses addresses = {NULL, 0};
    struct sb_buf path = {0};
    struct dirent *entry;
    DIR *folder;

    sb_buf_add_fmt(&path, "%s/sys/class/net", root);
    folder = opendir(path.data);
    sb_buf_free(&path);
    while (folder != NULL && (entry = readdir(folder)) != NULL)
        if (entry->d_name[0] != '.' && is_physical(root, entry->d_name))
            add_address(&addresses, root, entry->d_name);
    if (folder != NULL)
        closedir(folder);
    if (addresses.count > 0)
        qsort(addresses.list, addresses.count, sizeof(char *), by_text);
    for (size_t i = 0; i < addresses.count; i++) {
        sb_buf_add_fmt(out, "address=%s\n", addresses.list[i]);
        free(addresses.list[i]);
    }
    free(addresses.list);
    return addresses.count > 0;
}

/* ---- the CPU ---- */

/* "model name : …" of most machines, "Model : …" of ARM boards. */
static void add_cpu(struct sb_buf *out, const char *root)
{
    char *text = text_of(root, "proc/cpuinfo"), *rest = text, *line;

    while ((line = strsep(&rest, "\n")) != NULL) {
        const char *value = strchr(line, ':');

        if (value != NULL &&
            (strncmp(line, "model name", 10) == 0 || strncmp(line, "Model", 5) == 0)) {
            sb_buf_add_fmt(out, "cpu=%s\n", value + 1 + strspn(value + 1, " \t"));
            break;
        }
    }
    free(text);
}

int device_id_derive(const char *root, char out[DEVICE_ID_LEN + 1], struct sb_err *err)
{
    unsigned char digest[32];
    struct sb_buf text = {0};
    struct sb_span part;
    bool telling;

    /* the first line keeps it apart from every other use of the same characteristics */
    sb_buf_add_str(&text, "sb device id 1\n");
    telling = add_file(&text, "machine-id", root, "etc/machine-id");
    telling |= add_file(&text, "uuid", root, "sys/class/dmi/id/product_uuid");
    telling |= add_file(&text, "serial", root, "proc/device-tree/serial-number");
    telling |= add_addresses(&text, root);
    add_cpu(&text, root);
    part = sb_buf_span(&text);
    sb_sha256(&part, 1, digest);
    sb_buf_free(&text);
    out[0] = '\0';
    if (!telling)
        return sb_fail(err, SB_EIDENTITY,
                       "nothing tells this machine from others (no machine-id, product UUID, "
                       "serial number or hardware address can be read): set [device] id");
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    return 0;
}

/* ---- keeping ---- */

static void path_in(const char *state_dir, const char *name, struct sb_buf *path)
{
    sb_buf_add_fmt(path, "%s/%s", state_dir, name);
}

static bool is_id(const char *text, size_t len)
{
    if (len < DEVICE_ID_LEN || strspn(text, "0123456789abcdef") != DEVICE_ID_LEN)
        return false;
    return len == DEVICE_ID_LEN || (len == DEVICE_ID_LEN + 1 && text[DEVICE_ID_LEN] == '\n');
}

int device_id_read(const char *state_dir, char out[DEVICE_ID_LEN + 1], struct sb_err *err)
{
    char text[DEVICE_ID_LEN + 3] = "";
    struct sb_buf path = {0};
    ssize_t got = -1;
    int rc = 0, fd;

    out[0] = '\0';
    path_in(state_dir, DEVICE_ID_FILE, &path);
    fd = open(path.data, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0)
        got = read(fd, text, sizeof(text) - 1);
    if (got < 0)
        rc = sb_fail_errno(err, errno, "%.180s", path.data);
    else if (!is_id(text, (size_t)got))
        rc = sb_fail(err, SB_ECORRUPT, "%.160s: no device id in it; without it a new one is made",
                     path.data);
    else
        snprintf(out, DEVICE_ID_LEN + 1, "%.*s", DEVICE_ID_LEN, text);
    if (fd >= 0)
        close(fd);
    sb_buf_free(&path);
    return rc;
}

int device_id_find(const char *state_dir, const char *root, char out[DEVICE_ID_LEN + 1],
                   struct sb_err *err)
{
    int rc = device_id_read(state_dir, out, err);

    return rc == -(int)SB_ENOT_FOUND ? device_id_derive(root, out, err) : rc;
}

static int write_id(const char *path, const char *id, struct sb_err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600), rc = 0;

    if (fd < 0)
        return sb_fail_errno(err, errno, "%.180s", path);
    if (dprintf(fd, "%s\n", id) != DEVICE_ID_LEN + 1 || fsync(fd) != 0)
        rc = sb_fail_errno(err, errno, "%.180s: write", path);
    close(fd);
    return rc;
}

/* Renames unless there is one; then *there is set. */
static int place(const char *from, const char *to, bool *there, struct sb_err *err)
{
    *there = false;
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    *there = errno == EEXIST;
    if (*there)
        return 0;
    if ((errno == EINVAL || errno == ENOSYS) && rename(from, to) == 0)
        return 0; /* a file system that cannot do better */
    return sb_fail_errno(err, errno, "%.180s", to);
}

static int sync_folder(const char *path, struct sb_err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

    if (fd < 0 || fsync(fd) != 0)
        rc = sb_fail_errno(err, errno, "%.180s: fsync", path);
    if (fd >= 0)
        close(fd);
    return rc;
}

static int keep(const char *state_dir, char id[DEVICE_ID_LEN + 1], struct sb_err *err)
{
    struct sb_buf path = {0}, beside = {0};
    bool there;
    int rc;

    path_in(state_dir, DEVICE_ID_FILE, &path);
    sb_buf_add_fmt(&beside, "%s.%d", path.data, (int)getpid());
    unlink(beside.data); /* left by a process of that number */
    rc = write_id(beside.data, id, err);
    if (rc == 0)
        rc = place(beside.data, path.data, &there, err);
    if (rc == 0 && there)
        rc = device_id_read(state_dir, id, err);
    if (rc == 0)
        rc = sync_folder(state_dir, err);
    unlink(beside.data);
    sb_buf_free(&path);
    sb_buf_free(&beside);
    return rc;
}

int device_id_keep(const char *state_dir, const char *root, char out[DEVICE_ID_LEN + 1],
                   struct sb_err *err)
{
    int rc = device_id_read(state_dir, out, err);

    if (rc != -(int)SB_ENOT_FOUND)
        return rc;
    rc = device_id_derive(root, out, err);
    if (rc == 0)
        rc = keep(state_dir, out, err);
    if (rc < 0)
        out[0] = '\0';
    return rc;
}
