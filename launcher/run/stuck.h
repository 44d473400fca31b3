/*
 * stuck - where in the kernel the threads of a process wait that SIGKILL does not end.
 *
 * Reads /proc only, and what it may not read it leaves out: without rights over the process it is the threads and their
 * names, with them the kernel function and the file that a read or a write is about.
 */
#pragma once

#include <sys/types.h>

/*
 * "thread 'worker' (4711) in request_wait_answer, about '/mnt/web.img'", the first few of them joined by ", "; NULL: no
 * thread of it is in an uninterruptible wait. New string.
 */
char *stuck_where(pid_t pid);
