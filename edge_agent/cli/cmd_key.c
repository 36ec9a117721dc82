/* key generate: a new key for encrypted documents. */
#include "edge_agent/cli/agent_cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fernet.h"

const struct sb_cli_option key_generate_options[] = {
    {.name = "out",
     .kind = SB_CLI_TEXT,
     .value = "FILE",
     .help = "a new file, mode 0600; without it standard output"},
    {0}};

const char key_help[] =
    "Makes a key for users whose documents leave this device encrypted: a Fernet key, as Python's\n"
    "`cryptography` makes and takes it. All devices of such a user need the same one: copy the "
    "file\n"
    "to [encryption] key_file or key_dir/<user>.key of each, and keep a copy elsewhere. Whoever "
    "has\n"
    "lost it cannot read the documents any more; the cloud never has it.\n"
    "\n"
    "The first key in a file encrypts, all decrypt. To change a key add the new one as the last "
    "line\n"
    "on every device, then make it the first on every device, encrypt what there is again, and "
    "remove\n"
    "the old one. A file is read at each use; nothing is restarted.\n"
    "\n"
    "  edge_agent key generate --out /etc/sb/keys/user-1.key\n";

static int write_key(const char *path, const char *line, struct sb_err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600), rc = 0;
    size_t len = strlen(line);

    if (fd < 0 && errno == EEXIST)
        return sb_fail(err, SB_EEXISTS, "%.180s is there already; a key is never overwritten",
                       path);
    if (fd < 0)
        return sb_fail_errno(err, errno, "%.180s", path);
    errno = EIO; /* of a write that was cut short */
    if (fchmod(fd, 0600) != 0 || write(fd, line, len) != (ssize_t)len || fsync(fd) != 0)
        rc = sb_fail_errno(err, errno, "%.180s: write", path);
    if (close(fd) != 0 && rc == 0)
        rc = sb_fail_errno(err, errno, "%.180s: write", path);
    if (rc < 0)
        unlink(path);
    return rc;
}

static int print_key(const char *line, struct sb_err *err)
{
    if (fputs(line, stdout) < 0 || fflush(stdout) != 0)
        return sb_fail_errno(err, errno, "standard output");
    return 0;
}

int cmd_key_generate(struct sb_cli *cli)
{
    const char *path = sb_cli_text(cli, "out");
    char line[SB_FERNET_KEY_TEXT + 2];
    struct sb_fernet_key key;
    struct sb_err err = {0};
    int rc = sb_fernet_key_generate(&key, &err);

    if (rc == 0) {
        sb_fernet_key_print(&key, line);
        line[SB_FERNET_KEY_TEXT] = '\n';
        line[SB_FERNET_KEY_TEXT + 1] = '\0';
        rc = path != NULL ? write_key(path, line, &err) : print_key(line, &err);
        explicit_bzero(line, sizeof(line));
    }
    sb_fernet_key_wipe(&key);
    return rc == 0 ? 0 : agent_cli_fail(cli, &err);
}
