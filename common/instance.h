#ifndef SB_INSTANCE_H
#define SB_INSTANCE_H

#include <sys/types.h>

#include "err.h"

/* One daemon per state folder. */

/* Makes the folder and those above it where they are missing; the last one with that mode. */
int sb_make_folder(const char *path, mode_t mode, struct sb_err *err);

/* Takes the lock file (flock; its text is the holder's pid, for people). *fd keeps the lock until
 * it is closed or the process ends, however it ends. SB_ELOCKED "already running (pid 123)". */
int sb_instance_lock(const char *path, int *fd, struct sb_err *err);

#endif
