#include "launcher/run/supervisor_state.h"

#include <assert.h>

static const struct vm_move moves[VM_STATES][VM_EVENTS] = {
        [VM_STARTING] = {
                [EV_READY]          = { VM_RUNNING,    DO_TELL_READY },
                [EV_FAILED]         = { VM_QUITTING,   DO_QUIT },
                [EV_PAUSED]         = { VM_STARTING,   DO_NOTHING },
                /* The event of our own cont; its reply is what counts. */
                [EV_RESUMED]        = { VM_STARTING,   DO_NOTHING },
                /* No guest has run that could be asked. */
                [EV_SHUTDOWN_ASKED] = { VM_QUITTING,   DO_QUIT },
                [EV_REBOOT_ASKED]   = { VM_STARTING,   DO_REFUSE },
                [EV_DESTROY_ASKED]  = { VM_QUITTING,   DO_QUIT },
                [EV_GUEST_OFF]      = { VM_QUITTING,   DO_QUIT },
                [EV_GUEST_RESET]    = { VM_STARTING,   DO_NOTHING },
                [EV_GUEST_PANICKED] = { VM_QUITTING,   DO_QUIT },
                [EV_PANIC_RESTARTS] = { VM_QUITTING,   DO_QUIT },
                [EV_GUEST_WILL_NOT] = { VM_STARTING,   DO_NOTHING },
                [EV_QEMU_EXITED]    = { VM_GONE,       DO_CLEAN_UP },
                [EV_UNDONE]         = { VM_STARTING,   DO_NOTHING },
        },
        [VM_RUNNING] = {
                [EV_READY]          = { VM_RUNNING,    DO_NOTHING },
                [EV_FAILED]         = { VM_RUNNING,    DO_NOTHING },
                [EV_PAUSED]         = { VM_PAUSED,     DO_NOTHING },
                [EV_RESUMED]        = { VM_RUNNING,    DO_NOTHING },
                [EV_SHUTDOWN_ASKED] = { VM_STOPPING,   DO_ASK_GUEST },
                [EV_REBOOT_ASKED]   = { VM_REBOOTING,  DO_ASK_GUEST },
                [EV_DESTROY_ASKED]  = { VM_QUITTING,   DO_QUIT },
                [EV_GUEST_OFF]      = { VM_QUITTING,   DO_QUIT },
                [EV_GUEST_RESET]    = { VM_RUNNING,    DO_NOTE_RESET },
                [EV_GUEST_PANICKED] = { VM_QUITTING,   DO_QUIT },
                [EV_PANIC_RESTARTS] = { VM_RESTARTING, DO_RESTART },
                [EV_GUEST_WILL_NOT] = { VM_RUNNING,    DO_NOTHING },
                [EV_QEMU_EXITED]    = { VM_GONE,       DO_CLEAN_UP },
                [EV_UNDONE]         = { VM_RUNNING,    DO_NOTHING },
        },
        [VM_PAUSED] = {
                [EV_READY]          = { VM_PAUSED,     DO_NOTHING },
                [EV_FAILED]         = { VM_PAUSED,     DO_NOTHING },
                [EV_PAUSED]         = { VM_PAUSED,     DO_NOTHING },
                [EV_RESUMED]        = { VM_RUNNING,    DO_NOTHING },
                [EV_SHUTDOWN_ASKED] = { VM_STOPPING,   DO_ASK_GUEST },
                [EV_REBOOT_ASKED]   = { VM_REBOOTING,  DO_ASK_GUEST },
                [EV_DESTROY_ASKED]  = { VM_QUITTING,   DO_QUIT },
                /* Seen when QMP was lost for a while and the guest powered off in the gap. */
                [EV_GUEST_OFF]      = { VM_QUITTING,   DO_QUIT },
                [EV_GUEST_RESET]    = { VM_PAUSED,     DO_NOTE_RESET },
                [EV_GUEST_PANICKED] = { VM_QUITTING,   DO_QUIT },
                [EV_PANIC_RESTARTS] = { VM_RESTARTING, DO_RESTART },
                [EV_GUEST_WILL_NOT] = { VM_PAUSED,     DO_NOTHING },
                [EV_QEMU_EXITED]    = { VM_GONE,       DO_CLEAN_UP },
                [EV_UNDONE]         = { VM_PAUSED,     DO_NOTHING },
        },
        [VM_STOPPING] = {
                [EV_READY]          = { VM_STOPPING,   DO_NOTHING },
                [EV_FAILED]         = { VM_STOPPING,   DO_NOTHING },
                /* The schedule resumes a guest it finds paused when it asks again. */
                [EV_PAUSED]         = { VM_STOPPING,   DO_NOTHING },
                [EV_RESUMED]        = { VM_STOPPING,   DO_NOTHING },
                [EV_SHUTDOWN_ASKED] = { VM_STOPPING,   DO_JOIN },
                [EV_REBOOT_ASKED]   = { VM_STOPPING,   DO_REFUSE },
                [EV_DESTROY_ASKED]  = { VM_QUITTING,   DO_QUIT },
                [EV_GUEST_OFF]      = { VM_QUITTING,   DO_QUIT },
                [EV_GUEST_RESET]    = { VM_STOPPING,   DO_NOTE_RESET },
                [EV_GUEST_PANICKED] = { VM_QUITTING,   DO_QUIT },
                /* It was to go off anyway. */
                [EV_PANIC_RESTARTS] = { VM_QUITTING,   DO_QUIT },
                [EV_GUEST_WILL_NOT] = { VM_RUNNING,    DO_REPORT_REFUSED },
                [EV_QEMU_EXITED]    = { VM_GONE,       DO_CLEAN_UP },
                [EV_UNDONE]         = { VM_STOPPING,   DO_NOTHING },
        },
        [VM_REBOOTING] = {
                [EV_READY]          = { VM_REBOOTING,  DO_NOTHING },
                [EV_FAILED]         = { VM_REBOOTING,  DO_NOTHING },
                [EV_PAUSED]         = { VM_REBOOTING,  DO_NOTHING },
                [EV_RESUMED]        = { VM_REBOOTING,  DO_NOTHING },
                [EV_SHUTDOWN_ASKED] = { VM_STOPPING,   DO_ASK_GUEST },
                [EV_REBOOT_ASKED]   = { VM_REBOOTING,  DO_JOIN },
                [EV_DESTROY_ASKED]  = { VM_QUITTING,   DO_QUIT },
                [EV_GUEST_OFF]      = { VM_RESTARTING, DO_RESTART },
                [EV_GUEST_RESET]    = { VM_RUNNING,    DO_REPORT_REBOOTED },
                [EV_GUEST_PANICKED] = { VM_QUITTING,   DO_QUIT },
                [EV_PANIC_RESTARTS] = { VM_RESTARTING, DO_RESTART },
                [EV_GUEST_WILL_NOT] = { VM_RUNNING,    DO_REPORT_REFUSED },
                [EV_QEMU_EXITED]    = { VM_GONE,       DO_CLEAN_UP },
                [EV_UNDONE]         = { VM_REBOOTING,  DO_NOTHING },
        },
        [VM_RESTARTING] = {
                [EV_READY]          = { VM_RESTARTING, DO_NOTHING },
                [EV_FAILED]         = { VM_QUITTING,   DO_QUIT },
                /* The power-off's STOP. */
                [EV_PAUSED]         = { VM_RESTARTING, DO_NOTHING },
                [EV_RESUMED]        = { VM_RUNNING,    DO_REPORT_REBOOTED },
                /* The guest is off already. */
                [EV_SHUTDOWN_ASKED] = { VM_QUITTING,   DO_QUIT },
                [EV_REBOOT_ASKED]   = { VM_RESTARTING, DO_NOTHING },
                [EV_DESTROY_ASKED]  = { VM_QUITTING,   DO_QUIT },
                [EV_GUEST_OFF]      = { VM_RESTARTING, DO_NOTHING },
                [EV_GUEST_RESET]    = { VM_RESTARTING, DO_NOTHING },
                [EV_GUEST_PANICKED] = { VM_QUITTING,   DO_QUIT },
                [EV_PANIC_RESTARTS] = { VM_RESTARTING, DO_NOTHING },
                [EV_GUEST_WILL_NOT] = { VM_RESTARTING, DO_NOTHING },
                [EV_QEMU_EXITED]    = { VM_GONE,       DO_CLEAN_UP },
                [EV_UNDONE]         = { VM_RESTARTING, DO_NOTHING },
        },
        [VM_QUITTING] = {
                [EV_READY]          = { VM_QUITTING,   DO_NOTHING },
                [EV_FAILED]         = { VM_QUITTING,   DO_NOTHING },
                [EV_PAUSED]         = { VM_QUITTING,   DO_NOTHING },
                [EV_RESUMED]        = { VM_QUITTING,   DO_NOTHING },
                [EV_SHUTDOWN_ASKED] = { VM_QUITTING,   DO_NOTHING },
                [EV_REBOOT_ASKED]   = { VM_QUITTING,   DO_REFUSE },
                [EV_DESTROY_ASKED]  = { VM_QUITTING,   DO_HURRY },
                [EV_GUEST_OFF]      = { VM_QUITTING,   DO_NOTHING },
                [EV_GUEST_RESET]    = { VM_QUITTING,   DO_NOTHING },
                [EV_GUEST_PANICKED] = { VM_QUITTING,   DO_NOTHING },
                [EV_PANIC_RESTARTS] = { VM_QUITTING,   DO_NOTHING },
                [EV_GUEST_WILL_NOT] = { VM_QUITTING,   DO_NOTHING },
                [EV_QEMU_EXITED]    = { VM_GONE,       DO_CLEAN_UP },
                [EV_UNDONE]         = { VM_QUITTING,   DO_NOTHING },
        },
        [VM_GONE] = {
                [EV_READY]          = { VM_GONE,       DO_NOTHING },
                [EV_FAILED]         = { VM_GONE,       DO_NOTHING },
                [EV_PAUSED]         = { VM_GONE,       DO_NOTHING },
                [EV_RESUMED]        = { VM_GONE,       DO_NOTHING },
                [EV_SHUTDOWN_ASKED] = { VM_GONE,       DO_NOTHING },
                [EV_REBOOT_ASKED]   = { VM_GONE,       DO_REFUSE },
                [EV_DESTROY_ASKED]  = { VM_GONE,       DO_NOTHING },
                [EV_GUEST_OFF]      = { VM_GONE,       DO_NOTHING },
                [EV_GUEST_RESET]    = { VM_GONE,       DO_NOTHING },
                [EV_GUEST_PANICKED] = { VM_GONE,       DO_NOTHING },
                [EV_PANIC_RESTARTS] = { VM_GONE,       DO_NOTHING },
                [EV_GUEST_WILL_NOT] = { VM_GONE,       DO_NOTHING },
                [EV_QEMU_EXITED]    = { VM_GONE,       DO_NOTHING },
                [EV_UNDONE]         = { VM_STOPPED,    DO_END },
        },
        [VM_STOPPED] = {
                [EV_READY]          = { VM_STOPPED,    DO_NOTHING },
                [EV_FAILED]         = { VM_STOPPED,    DO_NOTHING },
                [EV_PAUSED]         = { VM_STOPPED,    DO_NOTHING },
                [EV_RESUMED]        = { VM_STOPPED,    DO_NOTHING },
                [EV_SHUTDOWN_ASKED] = { VM_STOPPED,    DO_NOTHING },
                [EV_REBOOT_ASKED]   = { VM_STOPPED,    DO_REFUSE },
                [EV_DESTROY_ASKED]  = { VM_STOPPED,    DO_NOTHING },
                [EV_GUEST_OFF]      = { VM_STOPPED,    DO_NOTHING },
                [EV_GUEST_RESET]    = { VM_STOPPED,    DO_NOTHING },
                [EV_GUEST_PANICKED] = { VM_STOPPED,    DO_NOTHING },
                [EV_PANIC_RESTARTS] = { VM_STOPPED,    DO_NOTHING },
                [EV_GUEST_WILL_NOT] = { VM_STOPPED,    DO_NOTHING },
                [EV_QEMU_EXITED]    = { VM_STOPPED,    DO_NOTHING },
                [EV_UNDONE]         = { VM_STOPPED,    DO_NOTHING },
        },
};

struct vm_move vm_next(enum vm_state state, enum vm_event event)
{
        assert(state > 0 && state < VM_STATES && event > 0 && event < VM_EVENTS);
        return moves[state][event];
}

const char *vm_state_name(enum vm_state state)
{
        /* A guest that reboots is a running one: nothing ends. */
        static const char *const names[VM_STATES] = {
                [VM_STARTING] = "starting", [VM_RUNNING] = "running",   [VM_PAUSED] = "paused",
                [VM_STOPPING] = "stopping", [VM_REBOOTING] = "running", [VM_RESTARTING] = "running",
                [VM_QUITTING] = "stopping", [VM_GONE] = "stopping",     [VM_STOPPED] = "stopped",
        };

        return names[state];
}
