/* SIGHUP and `reload`: the configuration is read anew. */
#include <string.h>

#include "common/json_put.h"
#include "common/log.h"
#include "edge_agent/agent_internal.h"

struct changes {
    struct sb_buf *taken, *left; /* JSON arrays, open */
    struct sb_buf taken_text, left_text;
};

static void note(struct sb_buf *array, struct sb_buf *text, const char *section, const char *key)
{
    char name[80];

    snprintf(name, sizeof(name), "%.30s.%.40s", section, key);
    sb_put_text(array, NULL, name);
    sb_buf_add_fmt(text, "%s%s", text->len > 0 ? ", " : "", name);
}

static void note_taken(void *ctx, const char *section, const char *key, bool reloadable)
{
    struct changes *c = ctx;

    if (reloadable)
        note(c->taken, &c->taken_text, section, key);
}

static void note_left(void *ctx, const char *section, const char *key, bool reloadable)
{
    struct changes *c = ctx;

    if (!reloadable)
        note(c->left, &c->left_text, section, key);
}

static void log_changes(const struct changes *c)
{
    log_info("reloaded: %s", c->taken_text.len > 0 ? c->taken_text.data : "nothing has changed");
    if (c->left_text.len > 0)
        log_warn("these keys wait for a restart: %s", c->left_text.data);
}

/* Takes up what can change, all of it or nothing. */
static int apply(struct agent *agent, const struct agent_config *next, struct sb_now now,
                 struct sb_err *err)
{
    struct sb_err trouble;
    struct hooks *hooks;
    int rc = agent_export_make(next, &hooks, err);

    if (rc == 0)
        rc = agent_config_reload_vault(next, agent->vault, err);
    if (rc != 0) {
        hooks_free(hooks);
        return rc;
    }
    agent_config_reload(agent->config, next);
    if (agent_export_use(agent, hooks, &trouble) != 0)
        sb_log_err("documents", &trouble);
    sb_log_init("edge_agent", agent->config->log_level, agent->config->log_json);
    agent_sync_configure(agent, now);
    return 0;
}

static int reload(struct agent *agent, struct changes *c, struct sb_now now, struct sb_err *err)
{
    const struct sb_conf *current = agent->conf != NULL ? agent->conf : agent->hooks->conf;
    struct agent_config next;
    struct sb_conf *conf;
    int rc = agent->hooks->reload(agent->hooks->ctx, &conf, err);

    if (rc != 0)
        return rc;
    rc = agent_config_from(conf, &next, err);
    if (rc == 0)
        rc = apply(agent, &next, now, err);
    if (rc != 0) {
        sb_conf_free(conf);
        return rc;
    }
    agent_conf_changes(current, conf, note_taken, c);
    agent_conf_changes(agent->hooks->conf, conf, note_left, c);
    sb_conf_free(agent->conf); /* nothing borrows from it any more */
    agent->conf = conf;
    log_changes(c);
    return 0;
}

/* What is in force and will not work as it is: keys that cannot be read. */
static void add_warnings(const struct agent *agent, struct sb_buf *json)
{
    struct sb_err trouble;

    sb_put_open(json, "warnings", '[');
    if (vault_check(agent->vault, &trouble) != 0) {
        sb_log_err("encryption", &trouble);
        sb_put_text(json, NULL, trouble.msg);
    }
    sb_put_close(json, ']');
}

/* json: with the lists, or an error. */
static int run(struct agent *agent, struct sb_now now, struct sb_buf *json, struct sb_err *err)
{
    struct sb_buf taken = {0}, left = {0};
    struct changes c = {.taken = &taken, .left = &left};
    int rc;

    agent_control_commit(agent, now);
    sb_put_open(&taken, NULL, '[');
    sb_put_open(&left, NULL, '[');
    rc = reload(agent, &c, now, err);
    sb_put_close(&taken, ']');
    sb_put_close(&left, ']');
    sb_put_open(json, NULL, '{');
    sb_put_bool(json, "success", true);
    sb_put_raw(json, "reloaded", sb_buf_span(&taken));
    sb_put_raw(json, "restart", sb_buf_span(&left));
    if (rc == 0)
        add_warnings(agent, json);
    sb_put_close(json, '}');
    sb_buf_free(&taken);
    sb_buf_free(&left);
    sb_buf_free(&c.taken_text);
    sb_buf_free(&c.left_text);
    if (rc != 0)
        sb_log_err("reload: what was in force stays", err);
    return rc;
}

void agent_reload(struct agent *agent, struct sb_now now)
{
    struct sb_buf json = {0};
    struct sb_err err;

    (void)run(agent, now, &json, &err);
    sb_buf_free(&json);
}

void agent_reload_call(struct agent *agent, const struct sb_control_call *call)
{
    struct sb_buf json = {0};
    struct sb_err err;

    if (run(agent, sb_clock_now(), &json, &err) == 0) {
        agent_answer(agent, call->client, &json);
        return;
    }
    sb_buf_free(&json);
    agent_answer_error(agent, call->client, &err);
}
