#ifndef CLOUD_REQUESTS_H
#define CLOUD_REQUESTS_H

#include "apply.h"
#include "common/request.h"

/* Requests of devices (class ctl). A request that names a boot is fenced like a batch. Here:
 *   settings.get {"user":…}: the document in force, as_of the user's version counter. */

/* Fills in the answer but for its boot; its data points into `data`. */
int requests_answer(struct apply *a, const char *device, const struct sb_request *request,
                    struct sb_answer *answer, struct sb_buf *data, struct sb_err *err);

#endif
