#include "instance.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PARENT_MODE 0755

int sb_make_folder(const char *path, mode_t mode, struct sb_err *err)
{
    char part[PATH_MAX];
    struct stat st;
    size_t size = strlen(path);

    while (size > 1 && path[size - 1] == '/')
        size--;
    if (size >= sizeof(part))
        return sb_fail(err, SB_ECONFIG, "%.100s...: the path is too long", path);
    for (size_t len = 1; len <= size; len++) {
        if (len < size && path[len] != '/')
            continue;
        memcpy(part, path, len);
        part[len] = '\0';
        if (mkdir(part, len == size ? mode : PARENT_MODE) != 0 && errno != EEXIST)
            return sb_fail_errno(err, errno, "%s: make the folder", part);
    }
    if (stat(path, &st) != 0)
        return sb_fail_errno(err, errno, "%s", path);
    if (!S_ISDIR(st.st_mode))
        return sb_fail(err, SB_ECONFIG, "%s: is there and is not a folder", path);
    return 0;
}

static int fail_held(int fd, const char *path, struct sb_err *err)
{
    char pid[16];
    ssize_t len = pread(fd, pid, sizeof(pid) - 1, 0);

    pid[len > 0 ? len : 0] = '\0';
    pid[strspn(pid, "0123456789")] = '\0';
    if (pid[0] == '\0')
        return sb_fail(err, SB_ELOCKED, "already running (%s is locked)", path);
    return sb_fail(err, SB_ELOCKED, "already running (pid %s holds %s)", pid, path);
}

int sb_instance_lock(const char *path, int *out, struct sb_err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644), rc;

    if (fd < 0)
        return sb_fail_errno(err, errno, "%s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        rc = errno == EWOULDBLOCK ? fail_held(fd, path, err)
                                  : sb_fail_errno(err, errno, "%s: lock", path);
        close(fd);
        return rc;
    }
    if (ftruncate(fd, 0) != 0 || dprintf(fd, "%d\n", (int)getpid()) < 0) {
        /* the pid is for people alone: a full disk does not keep the daemon from running */
    }
    *out = fd;
    return 0;
}
