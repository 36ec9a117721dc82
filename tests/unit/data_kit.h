#ifndef UNIT_DATA_KIT_H
#define UNIT_DATA_KIT_H

#include <stdbool.h>

#include "common/buf.h"

/* Data of others, read where it lies: $SB_SHARED_DATA, by default ../shared/data beside the
 * sources. It is nobody's but theirs, so a fresh clone does not have it. */

/* The folder that holds it; whether it is there. */
const char *data_folder(void);
bool data_is_there(void);

/* The file `name` ("suite/file"), whole, unpacked when it is gzip, with a NUL behind it; the caller
 * frees it. Skips the running case when that suite is not there, and says so; a suite without the
 * file fails it. */
struct sb_buf data_contents(const char *name);

#endif
