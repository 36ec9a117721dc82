#ifndef CLOUD_WELCOME_H
#define CLOUD_WELCOME_H

#include "apply.h"
#include "common/hello.h"

/* A page of a hello (D1, D2): notes what the device says of itself, sees whether the database was
 * rolled back below what the device has been told, looks for a second copy of the device, and
 * fills in the welcome: what is decided and what is a hole in every stream the page names and, on
 * page 1, in all others of the current epoch. boot, commit and limits are the caller's.
 *
 * *code is SB_OK, or why this device gets no welcome (revoked, unauthorized). */
int welcome_make(struct apply *a, const struct sb_hello *hello, struct sb_welcome *welcome,
                 enum sb_code *code, struct sb_err *err);

/* The last turns of the current epoch, newest first: A, B, A, B within a day? */
bool welcome_clones(const struct epoch_turn *turns, size_t count);

#endif
