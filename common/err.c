#include "err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    enum sb_class class;
} codes[] = {[SB_OK] = {"ok", SB_RETRY},
#define SB_CODE_ROW(id, wire, cls) [id] = {wire, cls},
             SB_CODES(SB_CODE_ROW)
#undef SB_CODE_ROW
};

int sb_fail(struct sb_err *err, enum sb_code code, const char *fmt, ...)
{
    va_list args;

    if (err != NULL) {
        err->code = code;
        va_start(args, fmt);
        vsnprintf(err->msg, sizeof(err->msg), fmt, args);
        va_end(args);
    }
    return -(int)code;
}

static enum sb_code code_of_errno(int value)
{
    switch (value) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return SB_EDISK_FULL;
    case EROFS:
        return SB_EREAD_ONLY;
    case ENOENT:
        return SB_ENOT_FOUND;
    case EACCES:
    case EPERM:
        return SB_EIO;
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return SB_EUNREACHABLE;
    case ETIMEDOUT:
        return SB_ETIMEOUT;
    default:
        return SB_EIO;
    }
}

int sb_fail_errno(struct sb_err *err, int errno_value, const char *fmt, ...)
{
    enum sb_code code = code_of_errno(errno_value);
    va_list args;
    size_t used;

    if (err != NULL) {
        err->code = code;
        va_start(args, fmt);
        vsnprintf(err->msg, sizeof(err->msg), fmt, args);
        va_end(args);
        used = strlen(err->msg);
        snprintf(err->msg + used, sizeof(err->msg) - used, ": %s", strerror(errno_value));
    }
    return -(int)code;
}

void sb_err_prefix(struct sb_err *err, const char *fmt, ...)
{
    char text[sizeof(err->msg)];
    va_list args;
    size_t used;

    if (err == NULL)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    used = strlen(text);
    /* What does not fit is cut off at the end. */
    if (snprintf(text + used, sizeof(text) - used, ": %s", err->msg) < 0)
        text[used] = '\0';
    memcpy(err->msg, text, sizeof(text));
}

const char *sb_code_name(enum sb_code code)
{
    if ((unsigned)code >= SB_CODE_COUNT)
        return "internal";
    return codes[code].name;
}

enum sb_code sb_code_from_name(const char *name, size_t len)
{
    unsigned i;

    for (i = 1; i < SB_CODE_COUNT; i++)
        if (strlen(codes[i].name) == len && memcmp(codes[i].name, name, len) == 0)
            return (enum sb_code)i;
    return SB_EINTERNAL;
}

enum sb_class sb_code_class(enum sb_code code)
{
    if ((unsigned)code >= SB_CODE_COUNT)
        return SB_RETRY;
    return codes[code].class;
}

int sb_exit_status(enum sb_code code)
{
    switch ((int)code) {
    case SB_OK:
        return 0;
    case SB_EUSAGE:
        return 2;
    case SB_EUNREACHABLE:
    case SB_ENOT_RUNNING:
    case SB_ETIMEOUT:
        return 3;
    case SB_ETLS:
    case SB_EIDENTITY:
    case SB_EUNAUTHORIZED:
    case SB_EFORBIDDEN:
    case SB_EREVOKED:
        return 4;
    case SB_ENOT_FOUND:
        return 5;
    case SB_ECONFIG:
    case SB_ENOT_CONFIGURED:
    case SB_EWRONG_KEY:
    case SB_ENO_KEY:
        return 6;
    default:
        return 1;
    }
}
