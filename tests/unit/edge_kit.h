#ifndef TEST_EDGE_KIT_H
#define TEST_EDGE_KIT_H

/* What the tests of the edge's core share: an outbox in memory, records in it, sets as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "edge_agent/lanes.h"
#include "edge_agent/outbox_docs.h"

#define KIT_BOOT   "b0075d1e-0000-4000-8000-000000000001" /* kernel boot id of the device */
#define KIT_INGEST "1a9e5700-0000-4000-8000-00000000000a" /* boot of an ingest */
#define KIT_OTHER  "1a9e5700-0000-4000-8000-00000000000b" /* and of another one */

extern struct sb_rng kit_rng;
extern struct outbox *kit_ob;
extern struct lanes kit_lanes; /* loaded by kit_load */
extern struct sb_err kit_err;
extern struct sb_now kit_now;

int kit_setup(void **state);
int kit_teardown(void **state);

/* One chunk of `count` readings [<next number>]; one settings operation. Committed. */
void kit_readings(uint64_t count);
void kit_edit(const char *op_id);
/* The settings of user-1 as the device has them; freed by the caller. */
void kit_settings(struct outbox_document *doc);
void kit_new_epoch(void);
/* Loads the lanes anew and gives one: sensors/air_quality, settings/user-1, history/user-1. */
struct lane *kit_load(const char *stream);
/* The lane of an epoch, 0 = the first one. */
struct lane *kit_lane(unsigned epoch, const char *stream);

void kit_assert_ranges(const struct sb_ranges *set, const char *text);
/* The dead letter as "<stream> <seq> <code>;…", holes as "<first>-<last> <reason> <ops>;…",
 * numbers that rows of a lane cover. */
void kit_assert_dead(const char *text);
void kit_assert_holes(const char *text);
void kit_assert_rows(const struct lane *lane, const char *text);

void kit_begin(void);
void kit_commit(void);

#endif
