#ifndef EDGE_ENQUEUE_ROW_H
#define EDGE_ENQUEUE_ROW_H

#include "common/buf.h"
#include "common/envelope.h"
#include "common/err.h"

/* What a caller's JSON object becomes on the wire. Pure; all objects here are checked text
 * (sb_json_check). Values keep the bytes they came with. Both leave the buffers with rubbish on
 * error. */

/* A reading: the names of its members as the text of a "fields" array, their values as one row.
 * "ts" comes first, stamped from wall_us where it is absent; the others in the caller's order.
 * SB_EMISSING_FIELD (no value at all), SB_EBAD_VALUE (a name that is not [A-Za-z0-9_-]{1,64}, "ts"
 * that is no RFC 3339 time, a number no double can hold), SB_EBAD_TYPE, SB_ETOO_LARGE (more than
 * SB_FIELDS_MAX members). */
int enqueue_row(struct sb_span object, int64_t wall_us, struct sb_buf *fields, struct sb_buf *row,
                struct sb_err *err);

/* The members of a command history record that count as its identity, checked: command_id is a
 * string of 1 to SB_ID_MAX bytes, trace_id and robot_id are a string up to that, null or absent,
 * created_at is RFC 3339 or absent, hlc is absent (the agent makes it). command_id gets the
 * characters of that member; *has_created says whether created_at is there. */
int enqueue_history_check(struct sb_span object, struct sb_buf *command_id, bool *has_created,
                          struct sb_err *err);

/* Appends the object with "created_at" (when stamp_created) and "hlc" as its last members. */
void enqueue_history_text(struct sb_span object, bool stamp_created, int64_t wall_us, uint64_t hlc,
                          struct sb_buf *out);

#endif
