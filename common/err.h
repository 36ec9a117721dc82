#ifndef SB_ERR_H
#define SB_ERR_H

#include <stdarg.h>
#include <stddef.h>

/* One list of codes for return values, replies on the wire, the CLI's JSON and logs.
 * X(constant, name on the wire and in JSON, class). Append only: names are a contract. */
#define SB_CODES(X)                                                                                \
    X(SB_EINTERNAL, "internal", SB_RETRY)         /* our own failure; says nothing of the input */ \
    X(SB_EBUSY, "busy", SB_RETRY)                 /* locked, full or no room now */                \
    X(SB_EHELLO, "hello", SB_RETRY)               /* sent under another boot: say hello first */   \
    X(SB_ELIMIT, "limit", SB_RETRY)               /* beyond a limit: split or wait */              \
    X(SB_EUNAUTHORIZED, "unauthorized", SB_RETRY) /* no valid login */                             \
    X(SB_EFORBIDDEN, "forbidden", SB_RETRY)       /* no binding of this device to that user */     \
    X(SB_EREVOKED, "revoked", SB_RETRY)           /* the device is on the deny list */             \
    X(SB_EUNKNOWN_TABLE, "unknown_table", SB_RETRY)                                                \
    X(SB_EIO, "io", SB_RETRY)                                                                      \
    X(SB_EDISK_FULL, "disk_full", SB_RETRY)                                                        \
    X(SB_EREAD_ONLY, "read_only", SB_RETRY)                                                        \
    X(SB_ETIMEOUT, "timeout", SB_RETRY)                                                            \
    X(SB_EUNREACHABLE, "not_reachable", SB_RETRY)                                                  \
    X(SB_ECLOSED, "closed", SB_RETRY)                                                              \
    X(SB_ENOT_RUNNING, "not_running", SB_RETRY)                                                    \
    X(SB_EBAD_JSON, "bad_json", SB_REJECT)                                                         \
    X(SB_EBAD_UTF8, "bad_utf8", SB_REJECT)                                                         \
    X(SB_EDUPLICATE_KEY, "duplicate_key", SB_REJECT)                                               \
    X(SB_ETOO_DEEP, "too_deep", SB_REJECT)                                                         \
    X(SB_ETOO_MANY_NODES, "too_many_nodes", SB_REJECT)                                             \
    X(SB_ETOO_LARGE, "too_large", SB_REJECT)                                                       \
    X(SB_EBAD_GZIP, "bad_gzip", SB_REJECT)                                                         \
    X(SB_EMISSING_FIELD, "missing_field", SB_REJECT)                                               \
    X(SB_EBAD_TYPE, "bad_type", SB_REJECT)                                                         \
    X(SB_EBAD_VALUE, "bad_value", SB_REJECT)                                                       \
    X(SB_EBAD_ID, "bad_id", SB_REJECT)                                                             \
    X(SB_EBAD_TOPIC, "bad_topic", SB_REJECT)                                                       \
    X(SB_EBAD_VERSION, "bad_version", SB_REJECT)                                                   \
    X(SB_EBAD_STREAM, "bad_stream", SB_REJECT)                                                     \
    X(SB_EBAD_SEQ, "bad_seq", SB_REJECT)                                                           \
    X(SB_EWRONG_BUCKET, "wrong_bucket", SB_REJECT)                                                 \
    X(SB_EWRONG_DEVICE, "wrong_device", SB_REJECT)                                                 \
    X(SB_EUNVERIFIABLE, "unverifiable", SB_REJECT)   /* the row to compare with was dropped */     \
    X(SB_EDECLARED_HOLE, "declared_hole", SB_REJECT) /* the operation was declared given up */     \
    X(SB_EBASE_UNKNOWN, "base_unknown", SB_REJECT)                                                 \
    X(SB_EUNKNOWN_OP, "unknown_op", SB_REJECT)                                                     \
    X(SB_EID_REUSED, "id_reused", SB_REJECT) /* same id, other content */                          \
    X(SB_ENOT_FOUND, "not_found", SB_REJECT)                                                       \
    X(SB_EEXISTS, "exists", SB_REJECT)                                                             \
    X(SB_EUSAGE, "usage", SB_FATAL)                                                                \
    X(SB_ECONFIG, "config", SB_FATAL)                                                              \
    X(SB_ENOT_CONFIGURED, "not_configured", SB_FATAL)                                              \
    X(SB_ETLS, "tls", SB_FATAL)                                                                    \
    X(SB_EIDENTITY, "identity", SB_FATAL)                                                          \
    X(SB_ECORRUPT, "corrupt", SB_FATAL)                                                            \
    X(SB_ENEWER_SCHEMA, "newer_schema", SB_FATAL)                                                  \
    X(SB_ELOCKED, "already_running", SB_FATAL)                                                     \
    X(SB_EPOISON, "poison", SB_REJECT) /* refused again and again for a cause of its own */        \
    X(SB_ECURSOR_UNKNOWN, "cursor_unknown", SB_REJECT) /* pull from the beginning */               \
    X(SB_ETAMPERED, "tampered", SB_REJECT)  /* a sealed document is not what it says it is */      \
    X(SB_ESTALE, "stale", SB_REJECT)        /* older than what is held */                          \
    X(SB_EWRONG_KEY, "wrong_key", SB_RETRY) /* none of the keys opens it */                        \
    X(SB_ENO_KEY, "no_key", SB_RETRY)       /* encrypted, and there is no key for that user */

/* What a caller does about it: try again later, give this record up with a reason, or stop. */
enum sb_class { SB_RETRY, SB_REJECT, SB_FATAL };

#define SB_CODE_ENUM(id, name, cls) id,
enum sb_code { SB_OK = 0, SB_CODES(SB_CODE_ENUM) SB_CODE_COUNT };
#undef SB_CODE_ENUM

struct sb_err {
    enum sb_code code;
    char msg[256];
};

/* Sets *err (may be NULL) and returns -code, so that a failing function ends with
 * `return sb_fail(err, SB_EIO, "...")`. */
int sb_fail(struct sb_err *err, enum sb_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As sb_fail, with ": <strerror>" added; the code follows errno_value (ENOSPC, EROFS, ...). */
int sb_fail_errno(struct sb_err *err, int errno_value, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "text: " before the message: "outbox: enqueue: disk full". */
void sb_err_prefix(struct sb_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The name of a code ("bad_value"); SB_OK is "ok". Never NULL. */
const char *sb_code_name(enum sb_code code);

/* The code of a name; SB_EINTERNAL for a name of a newer peer that this version does not know. */
enum sb_code sb_code_from_name(const char *name, size_t len);

enum sb_class sb_code_class(enum sb_code code);

/* The exit status of the command lines (README): 0 ok, 1 failed, 2 usage, 3 not reachable,
 * 4 identity or TLS, 5 nothing found, 6 configuration. */
int sb_exit_status(enum sb_code code);

#endif
