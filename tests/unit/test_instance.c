/* The state folder and its lock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/instance.h"

static char folder[64];
static struct sb_err err;

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/test_instance.XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    static const char *const files[] = {"lock", "file", "a/b", "a"};

    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char path[128];

        snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
        if (unlink(path) != 0)
            rmdir(path);
    }
    return rmdir(folder);
}

static const char *path_of(const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void a_folder_is_made_with_those_above_it(void **state)
{
    struct stat st;

    (void)state;
    umask(022);
    assert_int_equal(sb_make_folder(path_of("a//b/"), 0750, &err), 0);
    assert_int_equal(stat(path_of("a/b"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0750);
    assert_int_equal(sb_make_folder(path_of("a/b"), 0700, &err), 0);
    assert_int_equal(sb_make_folder("/", 0700, &err), 0);
    fclose(fopen(path_of("file"), "w"));
    assert_int_equal(sb_make_folder(path_of("file"), 0750, &err), -(int)SB_ECONFIG);
    assert_int_not_equal(sb_make_folder(path_of("file/x"), 0750, &err), 0);
}

static void a_second_process_is_told_who_holds_the_lock(void **state)
{
    int fd, status;
    char pid[32];
    pid_t child;

    (void)state;
    assert_int_equal(sb_instance_lock(path_of("lock"), &fd, &err), 0);
    child = fork();
    if (child == 0) {
        int other;

        snprintf(pid, sizeof(pid), "pid %d ", (int)getppid());
        close(fd);
        _exit(sb_instance_lock(path_of("lock"), &other, &err) == -(int)SB_ELOCKED &&
                      strstr(err.msg, "already running") != NULL && strstr(err.msg, pid) != NULL
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(fd);
    assert_int_equal(sb_instance_lock(path_of("lock"), &fd, &err), 0);
    close(fd);
}

static void a_killed_holder_leaves_no_lock(void **state)
{
    int fd, status;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        if (sb_instance_lock(path_of("lock"), &fd, &err) == 0)
            kill(getpid(), SIGKILL);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(sb_instance_lock(path_of("lock"), &fd, &err), 0);
    close(fd);
    assert_int_equal(sb_instance_lock(path_of("none/lock"), &fd, &err), -(int)SB_ENOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_folder_is_made_with_those_above_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_second_process_is_told_who_holds_the_lock, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_killed_holder_leaves_no_lock, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
