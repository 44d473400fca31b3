#include "launcher/run/memlock.h"

#include "base/fd.h"

int memlock_limit(pid_t pid, int pidfd, const struct rlimit *new, struct rlimit *ret_old)
{
        if (fd_pidfd_check(pidfd) < 0 || prlimit(pid, RLIMIT_MEMLOCK, new, ret_old) < 0)
                return -1;
        return fd_pidfd_check(pidfd);
}
