/*
 * keeper - `vmlaunch __keeper`: the parent that a supervisor has where no init system is one.
 *
 * `start` leaves it behind: parent and subreaper of the supervisor and so of QEMU, when that one's supervisor dies.
 * It starts a supervisor that was killed again, at most KEEPER_RESTARTS times in KEEPER_WINDOW_S seconds, and
 * then gives up with a line in the log and leaves QEMU running. It holds the VM's lock meanwhile, so nobody else
 * takes the VM between two supervisors. It ends with its supervisor's exit status.
 *
 * The program of a keeper is libc only and reads nothing but the kernel's and its own supervisor's words: keeper_main()
 * runs before anything else of vmlaunch does. Its supervisor has the other end of a SOCK_SEQPACKET socket:
 *
 *   supervisor -> keeper   one byte with two fds, the VM's lock and its log; once, as soon as it has them
 *   keeper -> supervisor   struct keeper_word for every other child that ended: QEMU, once its parent was gone.
 *                          A new supervisor gets those of before it first.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define KEEPER_RESTARTS 3
#define KEEPER_WINDOW_S 10

/* The fds that `__adopt` gets from a keeper. */
#define KEEPER_SOCKET_FD 3
#define KEEPER_LOCK_FD   4

/* `__adopt` could not: the keeper tries again, within the limit. No verdict has this exit status. */
#define KEEPER_TRY_AGAIN 70

struct keeper_word {
        int32_t pid, wait_status;
};

/*
 * Becomes the keeper of the supervisor that this process has forked: execs. supervisor_fd: the keeper's end of the
 * socket. adopt: the arguments of a new supervisor, NULL-terminated; env: its environment. Returns only when that is not
 * possible.
 */
void keeper_become(pid_t supervisor, int supervisor_fd, char *const *adopt, char *const *env);
/* What a keeper-to-be does before it forks, so that QEMU becomes its child however early the supervisor dies. */
int keeper_prepare(int ret_sockets[2], struct error **err);
/* `vmlaunch __keeper PID ADOPT...`; argv begins at PID. */
int keeper_main(char **argv);

/* The supervisor's side. */
int keeper_give(int keeper_fd, int lock_fd, int log_fd, struct error **err);
/* The next word that is there: 1, 0: none now, -1: the keeper is gone. Never blocks. */
int keeper_hear(int keeper_fd, struct keeper_word *ret);
