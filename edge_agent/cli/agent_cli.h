#ifndef EDGE_AGENT_CLI_H
#define EDGE_AGENT_CLI_H

#include "common/cli.h"
#include "common/json_put.h"
#include "common/table.h"
#include "edge_agent/calls.h"
#include "edge_agent/config.h"
#include "edge_agent/outbox.h"

/* What edge_agent's verbs share. Each verb is a function here and a file cmd_<verb>.c; it returns
 * the exit status. */
int cmd_run(struct sb_cli *cli);
int cmd_put(struct sb_cli *cli);
int cmd_import(struct sb_cli *cli);
int cmd_settings_get(struct sb_cli *cli);
int cmd_settings_put(struct sb_cli *cli);
int cmd_settings_restore(struct sb_cli *cli);
int cmd_status(struct sb_cli *cli);
int cmd_queue(struct sb_cli *cli);
int cmd_settings_diff(struct sb_cli *cli);
int cmd_settings_history(struct sb_cli *cli);
int cmd_settings_rollback(struct sb_cli *cli);
int cmd_records_put(struct sb_cli *cli);
int cmd_records_get(struct sb_cli *cli);
int cmd_records_list(struct sb_cli *cli);
int cmd_records_delete(struct sb_cli *cli);
int cmd_conflicts_list(struct sb_cli *cli);
int cmd_conflicts_show(struct sb_cli *cli);
int cmd_conflicts_resolve(struct sb_cli *cli);
int cmd_user_add(struct sb_cli *cli);
int cmd_user_remove(struct sb_cli *cli);
int cmd_user_list(struct sb_cli *cli);
int cmd_user_set(struct sb_cli *cli);
int cmd_sync(struct sb_cli *cli);
int cmd_reload(struct sb_cli *cli);
int cmd_key_reencrypt(struct sb_cli *cli);
int cmd_dead_list(struct sb_cli *cli);
int cmd_dead_show(struct sb_cli *cli);
int cmd_dead_retry(struct sb_cli *cli);
int cmd_dead_drop(struct sb_cli *cli);
int cmd_flush(struct sb_cli *cli);
int cmd_key_generate(struct sb_cli *cli);
int cmd_device_id(struct sb_cli *cli);

extern const struct sb_cli_option put_options[], import_options_list[], settings_get_options[],
    settings_put_options[], settings_restore_options[], settings_diff_options[],
    settings_history_options[], settings_rollback_options[], records_put_options[],
    records_get_options[], records_list_options[], records_delete_options[],
    conflicts_list_options[], conflicts_resolve_options[], user_remove_options[],
    user_set_options[], sync_options[], status_options[], queue_options[], dead_options[],
    flush_options[], key_generate_options[], key_reencrypt_options[];
extern const char put_help[], import_help[], settings_help[], records_help[], conflicts_help[],
    user_help[], sync_help[], reload_help[], status_help[], queue_help[], dead_help[], flush_help[],
    run_help[], key_help[], reencrypt_help[], device_id_help[];

/* The configuration as a struct; 0, or the exit status of what it has said on standard error. */
int agent_cli_config(struct sb_cli *cli, struct agent_config *config);

/* "edge_agent: message [code]" on standard error; returns the exit status of the code. */
int agent_cli_fail(const struct sb_cli *cli, const struct sb_err *err);

/* What --user says: SB_EBAD_ID unless it is a user id. */
int agent_cli_check_user(const char *user, struct sb_err *err);

/* What one verb needs of the outbox; zeroed = not open. Stays where it is while it is open. */
struct agent_cli_outbox {
    struct sb_rng rng;
    struct outbox *ob;
    struct enqueue *eq; /* unless it is for reading */
    struct vault *vault;
    struct documents_codec codec;
};
/* Opens the outbox file, for `write` making folder and file where they are missing. Without `write`
 * SB_ENOT_FOUND "there is no outbox yet". */
int agent_cli_open(const struct agent_config *config, bool write, struct agent_cli_outbox *out,
                   struct sb_err *err);
/* To change what must be there already: as for reading, with eq. */
int agent_cli_open_existing(const struct agent_config *config, struct agent_cli_outbox *out,
                            struct sb_err *err);
void agent_cli_close(struct agent_cli_outbox *outbox);

/* This user has no right to write the outbox: then the daemon is asked to. */
bool agent_cli_needs_daemon(const struct agent_config *config);

/* SB_ENOT_CONFIGURED "not configured: [broker] url": verbs that need the cloud say so before they
 * look for the daemon, which could not run either. */
int agent_cli_needs_broker(const struct agent_config *config, struct sb_err *err);

/* Tells the daemon, if one runs, that there is something new. */
void agent_cli_wake(const struct agent_config *config);

/* Asks the daemon; *answer is a checked JSON object. A refusal (an answer with a code) is that
 * error; SB_ENOT_RUNNING "edge_agent run is not running". */
int agent_cli_ask(const struct agent_config *config, struct sb_span request, int64_t timeout_ms,
                  struct sb_buf *answer, struct sb_err *err);

/* A call of calls.h: done here on the file where this user may write it, else by the daemon.
 * creates: it may be the first thing that is ever kept here. The daemon, where one runs, is woken
 * after a change. *answer is the call's. */
int agent_cli_call(const struct agent_config *config, struct sb_span call, bool creates,
                   struct sb_buf *answer, struct sb_err *err);
/* {"verb":<verb> is begun in an empty buffer; members and '}' are the caller's. */
void agent_cli_begin_call(struct sb_buf *call, const char *verb);

/* Prints the answer with a line feed and clears it: what --json prints. */
void agent_cli_print_answer(struct sb_buf *answer);
/* With --json the failure goes to standard output too; returns agent_cli_fail. */
int agent_cli_fail_json(struct sb_cli *cli, const struct sb_err *err);

/* Why a flush or a sync did not end well, where the daemon knows ("last_error"): told, and the exit
 * status of it; else 1. */
int agent_cli_explain(const struct sb_cli *cli, struct sb_span answer);

/* Reading answers: a member ("" where it is absent), as a number (0), as a flag (false). */
struct sb_span agent_cli_get(struct sb_span object, const char *key);
uint64_t agent_cli_number(struct sb_span object, const char *key);
bool agent_cli_flag(struct sb_span object, const char *key);
/* A scalar for people: text without its quotes, null and absent as "-"; control characters are made
 * visible. */
void agent_cli_add_value(struct sb_buf *out, struct sb_span value);
/* The same as a cell of a table. */
void agent_cli_cell(struct sb_table *table, struct sb_span object, const char *key);

/* {"success":false,"code":…,"reason":…} with the line number where it is not 0. */
void agent_cli_put_failure(struct sb_buf *out, uint64_t line, const struct sb_err *err);

/* The text of a file, "-" = standard input, at most max bytes. */
int agent_cli_read_file(const char *path, size_t max, struct sb_buf *out, struct sb_err *err);

#endif
