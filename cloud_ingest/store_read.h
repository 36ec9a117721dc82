#ifndef CLOUD_STORE_READ_H
#define CLOUD_STORE_READ_H

#include "store.h"

/* What the command line asks and the few things it may write. Works on a database that a daemon has
 * open. Texts given to a callback are valid during the call; a callback that returns false ends the
 * listing. */

struct device_info {
    const char *device;
    bool revoked;
    int64_t added_ms;
    int64_t hello_ms;  /* of the last whole hello, 0 = none */
    int64_t last_ms;   /* of the last hello or batch that was committed */
    const char *epoch; /* current one, "" = unknown */
    const char *device_boot;
    int64_t epochs, streams;
    uint64_t records; /* held of all its streams */
};
int store_devices(struct store *store, bool (*each)(void *ctx, const struct device_info *info),
                  void *ctx, struct sb_err *err);

/* One field of a reading, by the cloud's name. Strings as characters, all else as JSON text. */
struct reading_field {
    const char *name;
    enum sb_json_type type;
    struct sb_span text;
};
struct reading_info {
    const char *epoch;
    int branch;
    uint64_t seq;
    const char *ts; /* as it came */
    int64_t ts_us;
    bool corrected; /* the device's clock was off and is known better by now */
    int64_t corrected_us;
    int64_t rx_ms;
    const struct reading_field *fields; /* declared columns first (NULLs too), then extra ones */
    size_t count;
};
struct reading_query {
    const char *device;
    const char *type;
    bool has_since;
    int64_t since_us; /* ts at or after */
    uint64_t limit;   /* 0 = all: the first so many in order */
};
/* In the order of epochs as they were first seen, then numbers, a branch after its epoch's own. */
int store_readings(struct store *store, const struct reading_query *query,
                   bool (*each)(void *ctx, const struct reading_info *info), void *ctx,
                   struct sb_err *err);

struct history_info {
    const char *device, *epoch;
    uint64_t seq;
    const char *place, *trace, *command_id;
    uint64_t hlc;
    int64_t created_us, rx_ms;
    uint64_t revisions;
    struct sb_span body; /* the latest revision as it came */
};
/* One entry per command, newest commit first; *total counts them all. */
int store_history(struct store *store, const char *user, uint64_t limit, uint64_t offset,
                  bool (*each)(void *ctx, const struct history_info *info), void *ctx,
                  uint64_t *total, struct sb_err *err);

/* The settings in force and the user's version counter; doc->exists = false when there are none. */
int store_settings(struct store *store, const char *user, struct sb_document *doc, uint64_t *as_of,
                   struct sb_err *err);

struct conflict_info {
    int64_t id;
    const char *user, *device, *stream, *op_id, *hlc;
    enum sb_code code; /* SB_OK: versions differ */
    uint64_t server_version;
    int64_t opened_ms;
    struct sb_span base, submitted;
};
/* Open conflicts of a user, oldest first. */
int store_conflicts(struct store *store, const char *user,
                    bool (*each)(void *ctx, const struct conflict_info *info), void *ctx,
                    struct sb_err *err);

struct quarantine_info {
    int64_t id;
    const char *device; /* "" where the topic names none */
    struct sb_span topic;
    enum sb_code code;
    const char *reason;
    int64_t first_ms, last_ms;
    uint64_t times;         /* the same bytes came so often */
    uint64_t size;          /* of the payload */
    struct sb_span payload; /* what is kept of it */
};
/* Newest first; device NULL = all; limit 0 = all. SB_ENOT_FOUND never: nothing is an empty list. */
int store_quarantine(struct store *store, const char *device, uint64_t limit,
                     bool (*each)(void *ctx, const struct quarantine_info *info), void *ctx,
                     struct sb_err *err);
/* SB_ENOT_FOUND. */
int store_quarantine_show(struct store *store, int64_t id,
                          bool (*each)(void *ctx, const struct quarantine_info *info), void *ctx,
                          struct sb_err *err);

struct binding_info {
    const char *device, *user;
    int64_t granted_ms;
};
int store_bindings(struct store *store, const char *device,
                   bool (*each)(void *ctx, const struct binding_info *info), void *ctx,
                   struct sb_err *err);

/* Writes, each a transaction of its own. SB_EBAD_ID for names that are none. */
int store_grant(struct store *store, const char *device, const char *user, int64_t now_ms,
                struct sb_err *err);
/* SB_ENOT_FOUND when there was none. */
int store_ungrant(struct store *store, const char *device, const char *user, struct sb_err *err);
/* SB_EEXISTS when it is there already. */
int store_device_register(struct store *store, const char *device, int64_t now_ms,
                          struct sb_err *err);
/* Puts it on the deny list or takes it off; a device nobody knows yet may be denied too. */
int store_device_revoke(struct store *store, const char *device, bool revoked, int64_t now_ms,
                        struct sb_err *err);

#endif
