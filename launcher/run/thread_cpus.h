/*
 * thread_cpus - on which CPUs of the host a thread of a process runs, whoever else gets its number.
 *
 * The kernel takes a bare number and has no pidfd of a thread. So each is looked up below a fd of /proc/PID/task, which
 * belongs to that process for good: a number that is another process's thread, by reuse or because QEMU says so, is not there.
 * Errors: errno.
 */
#pragma once

#include <sys/types.h>

/*
 * *ret: a fd of the threads of the process that pidfd (borrowed) is of; pid is its number. It finds nothing once the process
 * has ended. ESRCH: it has ended by now.
 */
int thread_cpus_open(pid_t pid, int pidfd, int *ret);
/* As Cpus_allowed_list of /proc has it, a new string; NULL: the process has no such thread. */
char *thread_cpus_read(int threads_fd, pid_t tid);
/*
 * cpus: a list of numbers, or AFFINITY_ANY (launch_plan.h). ESRCH: the process has no such thread, before the call or after
 * it; else as sched_setaffinity(2), EINVAL for none that there is. Less than asked for is no error: read it.
 */
int thread_cpus_set(int threads_fd, pid_t tid, const char *cpus);
