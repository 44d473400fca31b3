/*
 * shutdown - who is asked to stop, how and when: a guest by agent or power button, QEMU by quit or signal. Pure.
 *
 * The schedule of DESIGN section 6: a paused guest is resumed first and a frozen one thawed; the agent when it answers, else
 * ACPI; asked again at half time by the other means; at the deadline the guest runs on, or is destroyed when force was said.
 * The driver (supervisor_stop.c) feeds what happens and carries out the one step each call returns.
 */
#pragma once

#include <stdbool.h>

enum shutdown_mode { SHUTDOWN_AUTO, SHUTDOWN_AGENT, SHUTDOWN_ACPI, SHUTDOWN_DESTROY };
const char *shutdown_mode_name(enum shutdown_mode mode);
/* false: no such mode. */
bool shutdown_mode_from_name(const char *name, enum shutdown_mode *ret);

enum agent_state {
        AGENT_NONE,      /* the VM has no agent channel */
        AGENT_ABSENT,    /* nobody has opened the port in the guest */
        AGENT_OPENED,    /* the port was opened; the first answer is awaited */
        AGENT_ANSWERING, /* it answered the last time */
        AGENT_SILENT,    /* the port is open and nothing comes */
};
const char *agent_state_name(enum agent_state state);

struct shutdown_request {
        enum shutdown_mode mode; /* not SHUTDOWN_DESTROY: that is no asking */
        bool reboot;
        bool force; /* at the deadline, or when nothing can be asked: destroy; a reboot: reset at the deadline */
        unsigned timeout_s;
};

/* What the schedule may know of the VM at the moment of a call. */
struct shutdown_facts {
        bool has_acpi, cancel_no_acpi;
        enum agent_state agent;
        bool paused;
        bool frozen; /* its file systems, or nobody knows */
};

struct shutdown {
        struct shutdown_request request;
        bool agent_asked, acpi_asked; /* has been asked so at least once */
        bool agent_busy;              /* asked and no word yet */
        bool half_over;
};

enum shutdown_input {
        SHUTDOWN_BEGIN,
        SHUTDOWN_RESUMED,    /* the resume asked for has ended, well or not */
        SHUTDOWN_THAWED,     /* the thaw asked for has ended, well or not */
        SHUTDOWN_AGENT_TOOK, /* the agent acknowledged */
        SHUTDOWN_AGENT_FAILED,
        SHUTDOWN_AGENT_CAME, /* the agent's port was opened and it answers */
        SHUTDOWN_HALF_TIME,
        SHUTDOWN_DEADLINE,
};

enum shutdown_step {
        SHUTDOWN_WAIT,
        SHUTDOWN_RESUME,    /* cont, then SHUTDOWN_RESUMED */
        SHUTDOWN_THAW,      /* then SHUTDOWN_THAWED */
        SHUTDOWN_ASK_AGENT, /* then SHUTDOWN_AGENT_TOOK or _FAILED */
        SHUTDOWN_PRESS,     /* system_powerdown */
        SHUTDOWN_KILL,      /* destroy QEMU */
        SHUTDOWN_RESET,     /* system_reset: a forced reboot */
        SHUTDOWN_GIVE_UP,   /* the deadline has passed: back to RUNNING */
        SHUTDOWN_NO_MEANS,  /* there is nothing to ask the guest with */
};

/* The first step; ret is written whatever it is. */
enum shutdown_step shutdown_begin(struct shutdown *ret, const struct shutdown_request *request,
                                  const struct shutdown_facts *facts);
enum shutdown_step shutdown_next(struct shutdown *shutdown, enum shutdown_input input,
                                 const struct shutdown_facts *facts);

/*
 * Ending QEMU. quit lets it flush its images; a QEMU that does nothing of the kind is killed. One that a kernel
 * call holds (NFS gone, a dead disk) cannot be killed: said, and waited for by pidfd only.
 */
enum kill_step {
        KILL_QUIT,  /* at once; without QMP: SIGTERM */
        KILL_NOW,   /* SIGKILL */
        KILL_STUCK, /* report stuck-in-kernel */
        KILL_STEPS,
};
#define KILL_AFTER_QUIT_MS 5000u
/* A destroy gives a QEMU that does not even answer less. */
#define KILL_IF_MUTE_MS     2000u
#define STUCK_AFTER_KILL_MS 5000u
/* The longest way from a destroy to its end or to the word that QEMU is stuck. */
#define KILL_REPORT_MS (KILL_IF_MUTE_MS + KILL_AFTER_QUIT_MS + STUCK_AFTER_KILL_MS)
/* Milliseconds from this step to the next; 0: it is the last. */
unsigned kill_wait_ms(enum kill_step step);
