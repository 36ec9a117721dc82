#ifndef CLOUD_CLI_H
#define CLOUD_CLI_H

#include "cloud_ingest/config.h"
#include "cloud_ingest/store_read.h"
#include "common/cli.h"
#include "common/json_put.h"
#include "common/table.h"

/* What cloud_ingest's verbs share. Each verb is a function here and stands in a file
 * cmd_<verb>.c; it returns the exit status. */
int cmd_run(struct sb_cli *cli);
int cmd_status(struct sb_cli *cli);
int cmd_devices(struct sb_cli *cli);
int cmd_readings(struct sb_cli *cli);
int cmd_history(struct sb_cli *cli);
int cmd_settings(struct sb_cli *cli);
int cmd_records(struct sb_cli *cli);
int cmd_conflicts_list(struct sb_cli *cli);
int cmd_conflicts_show(struct sb_cli *cli);
int cmd_conflicts_resolve(struct sb_cli *cli);
int cmd_verify(struct sb_cli *cli);
int cmd_quarantine_list(struct sb_cli *cli);
int cmd_quarantine_show(struct sb_cli *cli);
int cmd_device_add(struct sb_cli *cli);
int cmd_device_list(struct sb_cli *cli);
int cmd_device_grant(struct sb_cli *cli);
int cmd_device_revoke(struct sb_cli *cli);

extern const struct sb_cli_option devices_options[], readings_options[], history_options[],
    settings_options[], records_options[], conflicts_list_options[], conflicts_resolve_options[],
    verify_options[], quarantine_list_options[], quarantine_show_options[], device_list_options[],
    device_revoke_options[];
extern const char run_help[], status_help[], devices_help[], readings_help[], history_help[],
    settings_help[], records_help[], conflicts_help[], verify_help[], quarantine_help[],
    device_add_help[], device_grant_help[], device_revoke_help[];

/* The configuration and the database; 0, or the exit status of what was said on standard error.
 * SB_ENOT_FOUND where there is no database yet. */
struct cloud_cli {
    struct sb_cli *cli;
    struct cloud_config config;
    struct store *store;
};
int cloud_cli_open(struct cloud_cli *c, struct sb_cli *cli, enum store_mode mode);
/* The configuration alone; the rest as cloud_cli_open. */
int cloud_cli_config(struct cloud_cli *c, struct sb_cli *cli);
void cloud_cli_close(struct cloud_cli *c);

/* Asks the daemon {"verb":verb,"device":…,"wait_ms":…}; device NULL and wait_ms 0 are left out. */
int cloud_cli_ask(struct cloud_cli *c, const char *verb, const char *device, int64_t wait_ms,
                  struct sb_buf *answer, struct sb_err *err);

/* Asks what operators ask on their topic (PROTOCOL.md section 6): the daemon where it runs, else
 * the database, which is opened for it. answer holds the text into which *data points. A refusal is
 * an error. */
int cloud_cli_request(struct cloud_cli *c, const char *op, struct sb_span args,
                      struct sb_buf *answer, struct sb_span *data, struct sb_err *err);

/* The names of the devices that are online, sorted. */
struct cloud_online {
    bool known;    /* false without a daemon that is connected */
    bool complete; /* false where they are too many to name */
    char (*names)[SB_NAME_MAX + 1];
    size_t count;
};
void cloud_cli_online(struct cloud_cli *c, struct cloud_online *online);
void cloud_online_free(struct cloud_online *online);
bool cloud_online_has(const struct cloud_online *online, const char *device);

/* Prints a JSON answer with its end of line. */
void cloud_cli_print_json(struct sb_buf *out);

/* Appends a field for CSV (RFC 4180); an empty text is "" so that it is no NULL. */
void cloud_csv_text(struct sb_buf *out, struct sb_span text);

#endif
