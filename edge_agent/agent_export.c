/* Files of documents and the command that is run when one changed: one child process at a time,
 * for the oldest change that is due (outbox_changes.h). */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "edge_agent/agent_internal.h"
#include "edge_agent/outbox_changes.h"
#include "edge_agent/record_names.h"

/* Pause after a file could not be written, doubling. */
#define PAUSE_MIN_MS 1000
#define PAUSE_MAX_MS 300000

static int set_target(struct agent *agent, struct sb_err *err)
{
    int rc = outbox_begin(agent->ob, err);

    if (rc != 0)
        return rc;
    rc = outbox_changes_target(agent->ob, agent->config->export_dir,
                               agent->config->on_change[0] != '\0', err);
    if (rc == 0)
        return outbox_commit(agent->ob, err);
    outbox_rollback(agent->ob);
    return rc;
}

/* From the first change on; what is not marked is dealt with once more, and nothing lost by it. */
static void begin_anew(struct agent_export *e)
{
    e->n = e->after = e->below = 0;
    e->done_count = 0;
}

int agent_export_attach(struct agent *agent, struct sb_err *err)
{
    begin_anew(&agent->export); /* the numbers were the other file's */
    return set_target(agent, err);
}

int agent_export_make(const struct agent_config *config, struct hooks **out, struct sb_err *err)
{
    const struct hooks_config hooks = {.folder = config->export_dir,
                                       .command = config->on_change,
                                       .timeout_ms = config->on_change_timeout};
    int rc;

    *out = NULL;
    if (config->export_dir[0] == '\0' && config->on_change[0] == '\0')
        return 0;
    rc = hooks_new(&hooks, out, err);
    if (rc < 0)
        sb_err_prefix(err, "[documents]");
    return rc;
}

/* In one transaction for many, when there is a pause or the list is full. What is not marked is
 * dealt with once more after the next start. */
static void mark_all(struct agent *agent)
{
    struct agent_export *e = &agent->export;
    struct sb_err err;
    int rc = 0;

    if (e->done_count == 0)
        return;
    rc = outbox_begin(agent->ob, &err);
    if (rc == 0) {
        for (size_t i = 0; rc == 0 && i < e->done_count; i++)
            rc = outbox_change_done(agent->ob, e->done[i], &err);
        if (rc == 0)
            rc = outbox_commit(agent->ob, &err);
        else
            outbox_rollback(agent->ob);
    }
    if (rc != 0)
        sb_log_err("documents: exported, and not marked so", &err);
    e->done_count = 0;
}

static void leave_loop(struct agent *agent)
{
    if (agent->export.fd >= 0)
        sb_loop_remove(agent->loop, agent->export.fd);
    agent->export.fd = -1;
}

int agent_export_use(struct agent *agent, struct hooks *hooks, struct sb_err *err)
{
    agent_export_close(agent);
    agent->export = (struct agent_export){.hooks = hooks, .fd = -1};
    return agent_export_attach(agent, err);
}

void agent_export_close(struct agent *agent)
{
    if (agent->export.hooks == NULL)
        return;
    leave_loop(agent);
    hooks_free(agent->export.hooks); /* a change whose child did not end stays due */
    agent->export.hooks = NULL;
    if (agent->ob != NULL)
        mark_all(agent);
}

/* ---- the child's end ---- */

static void mark_done(struct agent *agent)
{
    struct agent_export *e = &agent->export;

    if (e->n > 0)
        e->after = e->n;
    else if (e->n < 0)
        e->below = e->n;
    if (e->n != 0)
        e->done[e->done_count++] = e->n;
    e->n = 0;
    if (e->done_count == AGENT_EXPORTED_MAX)
        mark_all(agent);
}

/* The change at hand stays the next one. */
static void pause_writing(struct agent *agent, struct sb_now now)
{
    struct agent_export *e = &agent->export;

    e->pause_ms = e->pause_ms == 0 ? PAUSE_MIN_MS : e->pause_ms * 2;
    e->pause_ms = e->pause_ms < PAUSE_MAX_MS ? e->pause_ms : PAUSE_MAX_MS;
    e->again_ms = now.mono_ms + e->pause_ms;
    e->n = 0;
}

static void child_ended(void *ctx, int fd)
{
    struct agent *agent = ctx;

    (void)fd;
    agent->export.ended = true;
    leave_loop(agent); /* its descriptor is closed by whoever looks */
}

static void watch_child(struct agent *agent)
{
    struct agent_export *e = &agent->export;
    int fd = hooks_fd(e->hooks);

    if (fd >= 0 && sb_loop_add(agent->loop, fd, child_ended, agent, NULL) == 0)
        e->fd = fd;
}

static void look_after_child(struct agent *agent, struct sb_now now)
{
    struct agent_export *e = &agent->export;
    struct sb_err err;

    if (!e->ended && now.mono_ms < hooks_deadline(e->hooks))
        return;
    e->ended = false;
    leave_loop(agent);
    switch (hooks_poll(e->hooks, now.mono_ms, &err)) {
    case HOOKS_RUNNING:
        watch_child(agent);
        return;
    case HOOKS_DONE:
        e->pause_ms = 0;
        break;
    case HOOKS_UNWRITTEN:
        sb_log_err("documents: not exported", &err);
        pause_writing(agent, now);
        return;
    case HOOKS_FAILED:
        sb_log_err("documents: on_change", &err);
        e->pause_ms = 0; /* the file was written */
        break;
    }
    mark_done(agent);
}

/* ---- the next change ---- */

/* The text as the application knows it. */
static int local_text(const struct agent *agent, const struct document_name *name,
                      const struct outbox_document *doc, struct sb_buf *out, struct sb_err *err)
{
    struct record_names *names = NULL;
    int rc = 0;

    if (strcmp(name->table, SB_TABLE_SETTINGS) != 0)
        rc = record_names_load(agent->config->mappings, name->table, &names, err);
    if (rc == 0)
        rc = record_names_to_local(names, sb_buf_span(&doc->doc), out, err);
    record_names_free(names);
    return rc;
}

static int start_child(struct agent *agent, const struct document_name *name, struct sb_now now,
                       struct sb_err *err)
{
    struct hooks_document job = {.user = name->user, .table = name->table, .id = name->id};
    struct outbox_document doc = {0};
    struct sb_buf text = {0};
    int rc = outbox_document_get(agent->ob, name, &doc, err);

    if (rc == 0 && doc.exists)
        rc = local_text(agent, name, &doc, &text, err);
    job.text = sb_buf_span(&text);
    job.deleted = !doc.exists;
    if (rc == 0)
        rc = hooks_start(agent->export.hooks, &job, now.mono_ms, err);
    if (rc == 0)
        watch_child(agent);
    sb_buf_free(&text);
    outbox_document_fini(&doc);
    return rc;
}

static void take_next(struct agent *agent, struct sb_now now)
{
    struct outbox_change change;
    struct sb_err err;
    bool found = false;
    int rc = outbox_change_next(agent->ob, agent->export.after, agent->export.below, &change,
                                &found, &err);

    if (rc == 0 && !found) {
        mark_all(agent);
        return;
    }
    if (rc == 0) {
        agent->export.n = change.n;
        rc = start_child(agent, &change.name, now, &err);
    }
    if (rc == 0)
        return;
    sb_log_err("documents: not exported", &err);
    if (sb_code_class(err.code) == SB_REJECT) /* this document's own trouble */
        mark_done(agent);
    else
        pause_writing(agent, now);
}

void agent_export_turn(struct agent *agent, struct sb_now now)
{
    struct agent_export *e = &agent->export;

    if (e->hooks == NULL)
        return;
    if (hooks_busy(e->hooks))
        look_after_child(agent, now);
    if (!hooks_busy(e->hooks) && now.mono_ms >= e->again_ms)
        take_next(agent, now);
}

int64_t agent_export_deadline(const struct agent *agent)
{
    const struct agent_export *e = &agent->export;

    if (e->hooks == NULL)
        return INT64_MAX;
    if (hooks_busy(e->hooks))
        return hooks_deadline(e->hooks);
    return e->pause_ms > 0 ? e->again_ms : INT64_MAX;
}
