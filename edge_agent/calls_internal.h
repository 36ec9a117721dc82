#ifndef EDGE_CALLS_INTERNAL_H
#define EDGE_CALLS_INTERNAL_H

#include "common/json_put.h"
#include "common/json_read.h"
#include "edge_agent/calls.h"

/* What calls*.c share; nobody else includes this. Each call appends its answer's members. */

int calls_user_add(const struct calls *c, struct sb_span call, struct sb_now now,
                   struct sb_buf *out, struct sb_err *err);
int calls_user_remove(const struct calls *c, struct sb_span call, struct sb_now now,
                      struct sb_buf *out, struct sb_err *err);
int calls_user_list(const struct calls *c, struct sb_span call, struct sb_now now,
                    struct sb_buf *out, struct sb_err *err);
int calls_user_set(const struct calls *c, struct sb_span call, struct sb_now now,
                   struct sb_buf *out, struct sb_err *err);
int calls_conflict_list(const struct calls *c, struct sb_span call, struct sb_now now,
                        struct sb_buf *out, struct sb_err *err);
int calls_conflict_show(const struct calls *c, struct sb_span call, struct sb_now now,
                        struct sb_buf *out, struct sb_err *err);
int calls_conflict_resolve(const struct calls *c, struct sb_span call, struct sb_now now,
                           struct sb_buf *out, struct sb_err *err);

/* A user id that must be given, in a field of the call. */
int calls_user(const struct sb_json_field *field, char user[SB_NAME_MAX + 1], struct sb_err *err);
/* Flags that may be left out: false then. */
int calls_flag(const struct sb_json_field *field, bool *out, struct sb_err *err);

#endif
