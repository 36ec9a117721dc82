#ifndef SB_CHECK_H
#define SB_CHECK_H

/* Aborts with file, line and the broken condition. For bugs only: what the network, the disk or
 * input can bring about is returned as an error, never checked with this. Always compiled in. */
#define SB_CHECK(cond) ((cond) ? (void)0 : sb_check_failed(#cond, __FILE__, __LINE__, __func__))

_Noreturn void sb_check_failed(const char *cond, const char *file, int line, const char *func);

#endif
