/* The files that documents are exported to, their names, and the command that is run beside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/ids.h"
#include "edge_agent/export_name.h"
#include "edge_agent/hooks.h"

static char folder[64];
static struct hooks *hooks;
static struct sb_err err;

static int setup(void **state)
{
    (void)state;
    err = (struct sb_err){0};
    snprintf(folder, sizeof(folder), "/tmp/test_hooks.XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    hooks_free(hooks);
    hooks = NULL;
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- names ---- */

static void assert_name(const char *id, const char *name)
{
    char out[EXPORT_NAME_MAX];

    export_name_of_id(sb_span_of(id), out);
    assert_string_equal(out, name);
}

static void plain_ids_are_their_own_names(void **state)
{
    (void)state;
    assert_name("p1", "p1.json");
    assert_name("Abc_9-z.v2", "Abc_9-z.v2.json");
}

static void no_id_leaves_its_folder(void **state)
{
    (void)state;
    assert_name("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd.json");
    assert_name(".", "%2E.json");
    assert_name("..", "%2E..json");
    assert_name("/", "%2F.json");
    assert_name(".hidden", "%2Ehidden.json");
    assert_name("a b%", "a%20b%25.json");
    assert_name("\xe5\xb0\x8d", "%E5%B0%8D.json");
    assert_name("~", "%7E.json");
}

static void long_ids_are_cut_and_stay_apart(void **state)
{
    char a[SB_ID_MAX + 1], b[SB_ID_MAX + 1], one[EXPORT_NAME_MAX], other[EXPORT_NAME_MAX];

    (void)state;
    memset(a, '/', SB_ID_MAX);
    memset(b, '/', SB_ID_MAX);
    a[SB_ID_MAX] = b[SB_ID_MAX] = '\0';
    b[SB_ID_MAX - 1] = '.';
    export_name_of_id(sb_span_of(a), one);
    export_name_of_id(sb_span_of(b), other);
    assert_true(strlen(one) <= 255 && strlen(other) <= 255);
    assert_string_not_equal(one, other);
    assert_non_null(strchr(one, '~'));
    memset(a, 'x', SB_ID_MAX); /* the longest that needs no escapes is not cut */
    export_name_of_id(sb_span_of(a), one);
    assert_null(strchr(one, '~'));
    assert_int_equal(strlen(one), SB_ID_MAX + strlen(".json"));
}

static void settings_and_records_have_places_of_their_own(void **state)
{
    struct export_place place;
    struct sb_buf path = {0};

    (void)state;
    export_place_of("user-1", "settings", "settings", &place);
    export_place_path(&place, "/x", &path);
    assert_string_equal(path.data, "/x/user-1/settings.json");
    sb_buf_clear(&path);
    export_place_of("user-1", "projects", "p/1", &place);
    export_place_path(&place, "/x", &path);
    assert_string_equal(path.data, "/x/user-1/projects/p%2F1.json");
    sb_buf_free(&path);
}

/* ---- words ---- */

static void assert_words(const char *command, const char *joined)
{
    struct sb_buf text = {0};
    char **words;

    assert_int_equal(hooks_split(command, &words, &err), 0);
    for (size_t i = 0; words[i] != NULL; i++)
        sb_buf_add_fmt(&text, "%s|", words[i]);
    assert_string_equal(text.data, joined);
    sb_buf_free(&text);
    free(words);
}

static void a_command_is_words_and_no_shell(void **state)
{
    (void)state;
    assert_words("/bin/true", "/bin/true|");
    assert_words("  a\tb  c ", "a|b|c|");
    assert_words("a 'b c' \"d \\\"e\\\" \\n\" f\\ g", "a|b c|d \"e\" \\n|f g|");
    assert_words("a $HOME; b > c | d", "a|$HOME;|b|>|c|||d|");
    assert_words("a ''", "a||");
    assert_words("a\\", "a\\|");
}

static void a_command_that_makes_no_sense_is_refused(void **state)
{
    static const char *const bad[] = {"", "   ", "a 'b", "a \"b", "a \"b\\", "'' a"};
    char **words;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(hooks_split(bad[i], &words, &err), -(int)SB_ECONFIG);
        assert_true(err.msg[0] != '\0');
    }
}

/* ---- the child ---- */

static void make(const char *command, bool files, int64_t timeout_ms)
{
    const struct hooks_config config = {files ? folder : "", command, timeout_ms};

    assert_int_equal(hooks_new(&config, &hooks, &err), 0);
}

/* Starts it for a document and waits for its end. */
static enum hooks_result run(const struct hooks_document *doc)
{
    enum hooks_result result = HOOKS_RUNNING;
    int64_t end = sb_clock_now().mono_ms + 20000;

    assert_int_equal(hooks_start(hooks, doc, sb_clock_now().mono_ms, &err), 0);
    assert_true(hooks_busy(hooks) && hooks_fd(hooks) >= 0);
    while (result == HOOKS_RUNNING) {
        struct pollfd ended = {.fd = hooks_fd(hooks), .events = POLLIN};
        int64_t now = sb_clock_now().mono_ms;

        assert_true(now < end);
        if (hooks_deadline(hooks) > now)
            poll(&ended, 1, (int)(hooks_deadline(hooks) - now));
        result = hooks_poll(hooks, sb_clock_now().mono_ms, &err);
    }
    assert_false(hooks_busy(hooks));
    assert_int_equal(hooks_fd(hooks), -1);
    return result;
}

static const char *path_of(const char *name)
{
    static char path[256];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void assert_file(const char *name, const char *text)
{
    char got[4096];
    FILE *file = fopen(path_of(name), "r");
    size_t n;

    assert_non_null(file);
    n = fread(got, 1, sizeof(got) - 1, file);
    fclose(file);
    got[n] = '\0';
    assert_string_equal(got, text);
}

static const struct hooks_document theme = {
    .user = "user-1", .table = "settings", .id = "settings", .text = {"{\"theme\":\"dark\"}", 16}};

static void a_document_is_written_and_replaced(void **state)
{
    struct hooks_document doc = theme;
    struct stat st;

    (void)state;
    make("", true, 5000);
    umask(0);
    assert_int_equal(run(&doc), HOOKS_DONE);
    assert_file("user-1/settings.json", "{\"theme\":\"dark\"}\n");
    assert_int_equal(stat(path_of("user-1/settings.json"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(stat(path_of("user-1"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0750);
    doc.text = SB_SPAN("{}");
    umask(077);
    assert_int_equal(run(&doc), HOOKS_DONE);
    umask(022);
    assert_file("user-1/settings.json", "{}\n");
    assert_int_equal(stat(path_of("user-1/settings.json"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
}

static void a_deleted_document_has_no_file(void **state)
{
    struct hooks_document doc = {
        .user = "u", .table = "projects", .id = "p/1", .text = SB_SPAN("{\"a\":1}")};

    (void)state;
    make("", true, 5000);
    assert_int_equal(run(&doc), HOOKS_DONE);
    assert_file("u/projects/p%2F1.json", "{\"a\":1}\n");
    doc.deleted = true;
    assert_int_equal(run(&doc), HOOKS_DONE);
    assert_int_equal(access(path_of("u/projects/p%2F1.json"), F_OK), -1);
    assert_int_equal(run(&doc), HOOKS_DONE); /* also where there never was one */
}

static void no_link_is_followed(void **state)
{
    char outside[] = "/tmp/test_hooks_out.XXXXXX";

    (void)state;
    assert_non_null(mkdtemp(outside));
    make("", true, 5000);
    assert_int_equal(symlink(outside, path_of("user-1")), 0);
    assert_int_equal(run(&theme), HOOKS_UNWRITTEN);
    assert_non_null(strstr(err.msg, folder));
    assert_int_equal(rmdir(outside), 0); /* still empty */
}

static void a_folder_that_cannot_be_written_is_told(void **state)
{
    (void)state;
    make("/bin/true", true, 5000);
    close(open(path_of("user-1"), O_WRONLY | O_CREAT, 0600));
    assert_int_equal(run(&theme), HOOKS_UNWRITTEN);
    assert_non_null(strstr(err.msg, "folder"));
}

static void the_command_learns_what_changed(void **state)
{
    char command[256];

    (void)state;
    setenv("SB_USER", "somebody else", 1);
    setenv("SB_ENCRYPTION_KEY", "secret", 1);
    snprintf(command, sizeof(command), "sh -c 'env > %s/env'", folder);
    make(command, true, 5000);
    assert_int_equal(run(&theme), HOOKS_DONE);
    unsetenv("SB_USER");
    unsetenv("SB_ENCRYPTION_KEY");
    snprintf(command, sizeof(command), "sh -c '! grep -q \"secret\\|somebody\" %s/env'", folder);
    hooks_free(hooks);
    make(command, false, 5000);
    assert_int_equal(run(&theme), HOOKS_DONE);
    hooks_free(hooks);
    snprintf(command, sizeof(command), "grep -qx SB_USER=user-1 %s/env", folder);
    make(command, false, 5000);
    assert_int_equal(run(&theme), HOOKS_DONE);
    hooks_free(hooks);
    snprintf(command, sizeof(command), "grep -qx SB_FILE=%s/user-1/settings.json %s/env", folder,
             folder);
    make(command, false, 5000);
    assert_int_equal(run(&theme), HOOKS_DONE);
    hooks_free(hooks);
    make("sh -c 'test \"$SB_TABLE.$SB_ID.$SB_FILE\" = settings.settings.'", false, 5000);
    assert_int_equal(run(&theme), HOOKS_DONE);
}

static void the_command_has_no_descriptor_of_the_agent(void **state)
{
    char command[256];
    int fd = open("/dev/null", O_RDONLY); /* without CLOEXEC, as a library may have opened it */

    (void)state;
    snprintf(command, sizeof(command), "sh -c 'test ! -e /proc/$$/fd/%d -a ! -e /proc/$$/fd/3'",
             fd);
    make(command, false, 5000);
    assert_int_equal(run(&theme), HOOKS_DONE);
    close(fd);
}

static void a_command_that_fails_is_told(void **state)
{
    (void)state;
    make("sh -c 'exit 7'", false, 5000);
    assert_int_equal(run(&theme), HOOKS_FAILED);
    assert_non_null(strstr(err.msg, "status 7"));
    hooks_free(hooks);
    make("sh -c 'kill -9 $$'", false, 5000);
    assert_int_equal(run(&theme), HOOKS_FAILED);
    assert_non_null(strstr(err.msg, "signal 9"));
}

static void a_command_that_takes_too_long_is_killed_with_what_it_started(void **state)
{
    char command[256];
    FILE *file;
    int pid = 0;

    (void)state;
    snprintf(command, sizeof(command), "sh -c 'sleep 600 & echo $! > %s/pid; wait'", folder);
    make(command, false, 1000);
    assert_int_equal(run(&theme), HOOKS_FAILED);
    assert_int_equal(err.code, SB_ETIMEOUT);
    file = fopen(path_of("pid"), "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%d", &pid), 1);
    fclose(file);
    snprintf(command, sizeof(command), "/proc/%d/cmdline", pid);
    for (int i = 0; i < 500; i++) { /* its new parent may take a moment to reap it */
        char line[16];
        int fd = open(command, O_RDONLY);
        ssize_t n = fd >= 0 ? read(fd, line, sizeof(line)) : 0;

        if (fd >= 0)
            close(fd);
        if (n <= 0)
            return;
        usleep(10000);
    }
    fail();
}

static void a_command_that_is_not_there_is_refused_at_once(void **state)
{
    struct hooks_config config = {"", "/nonexistent/program", 1000};

    (void)state;
    assert_int_equal(hooks_new(&config, &hooks, &err), -(int)SB_ECONFIG);
    config.command = "no-such-program-anywhere";
    assert_int_equal(hooks_new(&config, &hooks, &err), -(int)SB_ECONFIG);
    config = (struct hooks_config){"relative/folder", "", 1000};
    assert_int_equal(hooks_new(&config, &hooks, &err), -(int)SB_ECONFIG);
}

static void the_end_of_the_agent_ends_a_command(void **state)
{
    int64_t before;

    (void)state;
    make("sh -c 'trap \"\" TERM; sleep 600'", false, 600000);
    assert_int_equal(hooks_start(hooks, &theme, sb_clock_now().mono_ms, &err), 0);
    before = sb_clock_now().mono_ms;
    hooks_free(hooks);
    hooks = NULL;
    assert_true(sb_clock_now().mono_ms - before < 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_ids_are_their_own_names),
        cmocka_unit_test(no_id_leaves_its_folder),
        cmocka_unit_test(long_ids_are_cut_and_stay_apart),
        cmocka_unit_test(settings_and_records_have_places_of_their_own),
        cmocka_unit_test(a_command_is_words_and_no_shell),
        cmocka_unit_test(a_command_that_makes_no_sense_is_refused),
        cmocka_unit_test_setup_teardown(a_document_is_written_and_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(a_deleted_document_has_no_file, setup, teardown),
        cmocka_unit_test_setup_teardown(no_link_is_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_that_cannot_be_written_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(the_command_learns_what_changed, setup, teardown),
        cmocka_unit_test_setup_teardown(the_command_has_no_descriptor_of_the_agent, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_command_that_fails_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_command_that_takes_too_long_is_killed_with_what_it_started, setup, teardown),
        cmocka_unit_test_setup_teardown(a_command_that_is_not_there_is_refused_at_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_end_of_the_agent_ends_a_command, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
