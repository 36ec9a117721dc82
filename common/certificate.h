#ifndef SB_CERTIFICATE_H
#define SB_CERTIFICATE_H

#include "err.h"
#include "ids.h"

/* The common name of the first certificate in a PEM file: who the broker takes its holder for.
 * SB_ENOT_FOUND, SB_EIO without permission, SB_ETLS when it is no certificate or its common name is
 * not one of ours ([A-Za-z0-9_-]{1,64}). */
int sb_certificate_cn(const char *path, char out[SB_NAME_MAX + 1], struct sb_err *err);

#endif
