/* Child processes with a number of one's choice, to meet again the number of a process that has ended. */
#pragma once

#include <linux/sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A child that waits for its end; with the number pid, 0: any. -1 and errno: numbers are chosen with CAP_CHECKPOINT_RESTORE. */
static inline pid_t child_of_pid(pid_t pid)
{
        struct clone_args args = { .exit_signal = SIGCHLD,
                                   .set_tid = pid ? (uintptr_t)&pid : 0,
                                   .set_tid_size = pid ? 1 : 0 };
        pid_t child = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

        if (child == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;)
                        pause();
        }
        return child;
}

static inline void child_end(pid_t pid)
{
        assert_true(pid > 0);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
}
