/*
 * verdict - how a run ended: from QEMU's wait status and what was seen before. Pure.
 *
 * The exit status is that of `run` (DESIGN section 3). reason is one line for people, with QEMU's own words from its
 * stderr where they say why.
 */
#pragma once

#include <stdbool.h>

#include "base/mem.h"

enum verdict_kind {
        VERDICT_ASKED = 1, /* ended by quit or our signal because somebody asked for it */
        VERDICT_GUEST_OFF, /* the guest powered off, asked or by itself */
        VERDICT_NEVER_STARTED,
        VERDICT_KILLED,     /* by a signal that is not ours */
        VERDICT_CRASHED,    /* exit status not 0, or a signal of its own making: SEGV, ABRT, SYS, ... */
        VERDICT_PANICKED,   /* the guest panicked */
        VERDICT_OOM_KILLED, /* by the kernel, for want of memory */
        VERDICT_LOST,       /* QEMU ended unseen: nobody can know how */
};

struct run_end {
        bool ready;     /* the guest ran */
        bool guest_off; /* SHUTDOWN by the guest was seen */
        bool panicked;  /* GUEST_PANICKED was seen */
        bool asked;     /* destroy, or a shutdown that had to destroy, or one before the guest ran */
        bool we_quit;   /* quit was sent */
        bool we_killed; /* SIGKILL or SIGTERM was sent by us */
        int wait_status;
        bool status_unknown;         /* nobody could wait for QEMU: wait_status says nothing */
        const char *start_error;     /* why the start failed before QEMU ended; NULL */
        const char *shutdown_reason; /* of the last SHUTDOWN event: "host-signal", ...; NULL */
        const char *qemu_stderr;     /* whole; NULL or "": silent */
        const char *oom;   /* the kernel has killed for want of memory: its numbers; NULL: it has not */
        bool oom_at_limit; /* the VM's own limit was reached, not the end of the host's memory */
};

struct verdict {
        enum verdict_kind kind;
        int exit_status;
        char *reason; /* owned */
};

void verdict_judge(const struct run_end *end, struct verdict *ret);
void verdict_done(struct verdict *verdict);
#define _cleanup_verdict_ _cleanup_(verdict_done)

/* "guest-off" and so on, as in record and status. */
const char *verdict_name(enum verdict_kind kind);
/* false: no such name. */
bool verdict_from_name(const char *name, enum verdict_kind *ret);
int verdict_exit_status(enum verdict_kind kind);

/*
 * The last lines of QEMU's stderr as one printable line, at most about 400 bytes; NULL when it said nothing. QEMU
 * repeats its program name on each line: dropped.
 */
char *stderr_tail(const char *qemu_stderr);
