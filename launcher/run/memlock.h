/*
 * memlock - how much memory a process may lock (RLIMIT_MEMLOCK), whoever else gets its number.
 *
 * prlimit(2) takes a bare number, so the process is looked at by its pidfd before the call and after it: one that has not
 * ended then had its number to itself in between. Errors: errno.
 */
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

/*
 * As prlimit(2): new is set and the one before goes to *ret_old, either may be NULL. pidfd is of the process whose number pid
 * is. ESRCH: it has ended, before the call or by its end, and *ret_old is not its limit; of the few instructions between look
 * and call nobody can say more.
 */
int memlock_limit(pid_t pid, int pidfd, const struct rlimit *new, struct rlimit *ret_old);
