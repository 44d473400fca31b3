/*
 * supervisor_state - what the supervisor does next: a table and a pure function.
 *
 * Every pair of state and event has its cell. The loop turns what the kernel, QEMU, the guest and clients do into
 * enum vm_event, and supervisor.c carries the action out.
 */
#pragma once

/* From 1, so that a forgotten cell reads as no state. */
enum vm_state {
        VM_STARTING = 1, /* QEMU is being started; its guest does not run yet */
        VM_RUNNING,
        VM_PAUSED,
        VM_STOPPING,   /* the guest is being asked to power off */
        VM_REBOOTING,  /* the guest is being asked to reboot, or to power off so that we reset it */
        VM_RESTARTING, /* it has powered off for a reboot: reset and let go, RESUME is not here yet */
        VM_QUITTING,   /* QEMU is being ended */
        VM_GONE,       /* QEMU is gone, what its start did is being undone */
        VM_STOPPED,
        VM_STATES,
};

enum vm_event {
        EV_READY = 1,      /* QEMU took the plan's commands and the guest runs */
        EV_FAILED,         /* QEMU does not start, or will not do what it must */
        EV_PAUSED,         /* STOP */
        EV_RESUMED,        /* RESUME */
        EV_SHUTDOWN_ASKED, /* by a client or a signal */
        EV_REBOOT_ASKED,
        EV_DESTROY_ASKED,  /* or the deadline of a shutdown passed and force was said */
        EV_GUEST_OFF,      /* SHUTDOWN: the guest has powered off, QEMU stands still */
        EV_GUEST_RESET,    /* RESET by the guest; 2 to 5 of them for one reboot (qemu-lab section 4) */
        EV_GUEST_PANICKED, /* GUEST_PANICKED, QEMU stands still */
        EV_PANIC_RESTARTS, /* GUEST_PANICKED, and the guest is to be started again */
        EV_GUEST_WILL_NOT, /* the shutdown or reboot was given up */
        EV_QEMU_EXITED,    /* its pidfd */
        EV_UNDONE,         /* the undo has ended, well or not */
        VM_EVENTS,
};

enum vm_action {
        DO_NOTHING = 1,
        DO_REFUSE,          /* the one who asked gets an error */
        DO_TELL_READY,      /* ready_fd, READY=1, lower capabilities */
        DO_ASK_GUEST,       /* begin the shutdown schedule */
        DO_JOIN,            /* the schedule that runs takes the new request's mode, force and deadline */
        DO_RESTART,         /* system_reset and cont */
        DO_REPORT_REBOOTED, /* end the schedule: the guest has rebooted */
        DO_REPORT_REFUSED,  /* end the schedule: the guest runs on */
        DO_NOTE_RESET,      /* a line in the story */
        DO_QUIT,            /* begin the end of QEMU: quit, later SIGKILL */
        DO_HURRY,           /* QEMU is being ended already; with force: SIGKILL now */
        DO_CLEAN_UP,        /* verdict and undo */
        DO_END,             /* last record, tell clients, leave the loop */
};

struct vm_move {
        enum vm_state state;
        enum vm_action action;
};

struct vm_move vm_next(enum vm_state state, enum vm_event event);

/* The word of record and status: starting, running, paused, stopping, stopped. */
const char *vm_state_name(enum vm_state state);
