#include "conf_load.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file that is not there is no error. */
static int read_optional(struct sb_conf *conf, const char *path, struct sb_err *err)
{
    struct sb_err own = {0};
    int rc = sb_conf_read_file(conf, path, &own);

    if (rc == 0 || own.code == SB_ENOT_FOUND)
        return 0;
    if (err != NULL)
        *err = own;
    return rc;
}

static int is_conf_name(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

static int read_folder(struct sb_conf *conf, const char *beside, struct sb_err *err)
{
    struct dirent **names;
    char folder[PATH_MAX], path[PATH_MAX + 256 + 2];
    int count, rc = 0;

    snprintf(folder, sizeof(folder), "%s.d", beside);
    count = scandir(folder, &names, is_conf_name, alphasort);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
        if (rc == 0)
            rc = read_optional(conf, path, err);
        free(names[i]);
    }
    if (count >= 0)
        free(names);
    return rc;
}

/* $<variable>/sb or ~/<fallback>/sb; false when neither is known. */
static bool user_folder(const char *variable, const char *fallback, char out[PATH_MAX])
{
    const char *base = getenv(variable), *home = getenv("HOME");

    if (base != NULL && base[0] == '/')
        return snprintf(out, PATH_MAX, "%s/sb", base) < PATH_MAX;
    if (home == NULL || home[0] != '/')
        return false;
    return snprintf(out, PATH_MAX, "%s/%s/sb", home, fallback) < PATH_MAX;
}

static int read_user_file(struct sb_conf *conf, const char *like, struct sb_err *err)
{
    const char *name = strrchr(like, '/') + 1;
    char folder[PATH_MAX], path[PATH_MAX + 256];

    if (geteuid() == 0 || !user_folder("XDG_CONFIG_HOME", ".config", folder))
        return 0;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return read_optional(conf, path, err);
}

int sb_conf_load(struct sb_conf *conf, const char *path, const char *file,
                 char *const *environ_list, struct sb_err *err)
{
    int rc;

    if (file != NULL) {
        rc = sb_conf_read_file(conf, file, err);
        if (rc == -(int)SB_ENOT_FOUND) /* a configuration error, not "nothing found" */
            rc = sb_fail(err, SB_ECONFIG, "--config %s: there is no such file", file);
    } else {
        rc = read_optional(conf, path, err);
        if (rc == 0)
            rc = read_folder(conf, path, err);
        if (rc == 0)
            rc = read_user_file(conf, path, err);
    }
    return rc != 0 ? rc : sb_conf_read_environment(conf, environ_list, err);
}

int sb_conf_state_dir(const struct sb_conf *conf, const char *section, size_t room,
                      char out[PATH_MAX], struct sb_err *err)
{
    const char *dir = sb_conf_str(conf, section, "state_dir");

    if (dir[0] != '\0')
        snprintf(out, PATH_MAX, "%s", dir);
    else if (geteuid() == 0)
        snprintf(out, PATH_MAX, "/var/lib/sb");
    else if (!user_folder("XDG_STATE_HOME", ".local/state", out))
        return sb_fail(err, SB_ENOT_CONFIGURED,
                       "not configured: [%s] state_dir (neither XDG_STATE_HOME nor HOME is set)",
                       section);
    if (strlen(out) + room >= PATH_MAX)
        return sb_fail(err, SB_ECONFIG, "[%s] state_dir: the path is too long", section);
    return 0;
}

int sb_conf_log(const struct sb_conf *conf, enum sb_log_level *level, bool *json,
                struct sb_err *err)
{
    const char *name = sb_conf_str(conf, "log", "level");
    const char *format = sb_conf_str(conf, "log", "format");

    if (!sb_log_level_parse(name, level))
        return sb_fail(err, SB_ECONFIG, "[log] level '%.32s': not error, warn, info or debug",
                       name);
    *json = strcmp(format, "json") == 0;
    if (!*json && strcmp(format, "text") != 0)
        return sb_fail(err, SB_ECONFIG, "[log] format '%.32s': not text or json", format);
    return 0;
}

int sb_conf_check_broker(const struct sb_conf *conf, struct sb_err *err)
{
    if (sb_conf_is_set(conf, "broker", "cert_file") != sb_conf_is_set(conf, "broker", "key_file"))
        return sb_fail(err, SB_ECONFIG, "[broker] cert_file and key_file belong together");
    if (sb_conf_is_set(conf, "broker", "password_file") && !sb_conf_is_set(conf, "broker", "user"))
        return sb_fail(err, SB_ECONFIG, "[broker] password_file needs user");
    return 0;
}
