/*
 * crash_point - the named moments at which a test can kill or stop a process of ours.
 *
 * `vmlaunch __steps` lists them. A moment is a row here, or the four of each plan effect: EFFECT:do (journalled, not
 * done), EFFECT:done, EFFECT:undo, EFFECT:undone; a call with a name that is no row does not compile, and a function
 * that changes something without a moment does not build (tests/lint/steps.sh). Off unless RUN has a file "crash-at"
 * when the process begins its work, so a host without one pays a single faccessat(). Who may write in RUN is root, or
 * the instance's own user: the file gives nobody a right they had not, and one that others could write is ignored. It
 * holds "NAME COUNT kill|stop": the process that reaches NAME for the COUNTth time, whichever it is, replaces the file
 * by "crash-reached", which holds its pid, and sends itself SIGKILL or SIGSTOP. "-" arms nothing yet; "* 0 trace" has
 * every moment that is reached written to "crash-trace", "NAME PID" a line.
 */
#pragma once

#define CRASH_POINTS(X)                                                                                   \
        X(VM_DIR, "vm-dir", "the VM has a directory, perhaps no lock file in it")                         \
        X(VM_LOCKED, "vm-locked", "the VM is locked, nothing of its start is in the journal")             \
        X(KEEPER_GIVEN, "keeper-given", "the keeper has the lock: a successor is possible from here")     \
        X(JOURNAL_APPEND, "journal-append", "an entry is about to be written to the journal")             \
        X(JOURNAL_APPENDED, "journal-appended", "an entry is in the journal")                             \
        X(JOURNAL_CLEAR, "journal-clear", "all is undone, the journal is about to be removed")            \
        X(JOURNAL_CLEARED, "journal-cleared", "the journal is gone")                                      \
        X(RECORD_WRITE, "record-write", "record.json is about to be replaced")                            \
        X(RECORD_WRITTEN, "record-written", "record.json has been replaced")                              \
        X(LOCK_TAKEN, "lock-taken", "a lock file of an image or uid has its holder's name")               \
        X(LOCK_RELEASE, "lock-release", "a lock file is about to be removed and let go")                  \
        X(SPAWN_FORKED, "spawn-forked", "QEMU's process exists and is in no journal yet")                 \
        X(CONTROL_BOUND, "control-bound", "the control socket is there under another name")               \
        X(CONTROL_LISTENS, "control-listens", "clients can connect, QMP is not up")                       \
        X(QMP_CONNECTED, "qmp-connected", "QEMU has greeted, nothing was sent")                           \
        X(CONT_SENT, "cont-sent", "the guest may run, its start has not been told")                       \
        X(CLAIM_LINK, "claim-link", "the guest runs, its uid or port is about to be linked to the VM")    \
        X(READY_TOLD, "ready-told", "the starter has been told that the guest runs")                      \
        X(MACHINED_ASKED, "machined-asked", "systemd-machined is being told of the VM")                   \
        X(ADOPT_BEGIN, "adopt-begin", "a successor has read what is left, and done nothing")              \
        X(ADOPT_ATTENDS, "adopt-attends", "a successor can be connected to, and has not asked QEMU")      \
        X(COMMAND_SENT, "command-sent", "a client's command was passed on to QEMU")                       \
        X(AGENT_COMMAND_SENT, "agent-command-sent", "a client's command was passed on to the agent")      \
        X(FD_CLOSED, "fd-closed", "an fd that a client left in QEMU is being closed")                     \
        X(CLOCK_KEPT, "clock-kept", "the guest has set its clock, and that is about to be kept")          \
        X(LEASES_WRITE, "leases-write", "the file of leases is about to be replaced or removed")          \
        X(LEASES_WRITTEN, "leases-written", "the file of leases is as it has to be")                      \
        X(FREEZE_ASKED, "freeze-asked", "the agent was asked to freeze, and has not answered")            \
        X(PAUSE_ASKED, "pause-asked", "QEMU was asked to pause for a lease, and has not answered")        \
        X(LEASE_HELD, "lease-held", "it is frozen or paused, and the holder does not know it")            \
        X(THAW_ASKED, "thaw-asked", "the agent was asked to thaw, and has not answered")                  \
        X(UNPAUSE_ASKED, "unpause-asked", "QEMU was asked to go on after a lease's pause")                \
        X(LEASE_UNDONE, "lease-undone", "the thaw or the going on was answered, and is not proven")       \
        X(LEASE_OVER, "lease-over", "it is proven that nothing is frozen or paused")                      \
        X(TIME_ASKED, "time-asked", "the agent was asked to set the guest's clock")                       \
        X(REEXEC_ASKED, "reexec-asked", "another program is being asked whether it takes over")           \
        X(SHUTDOWN_ASKED, "shutdown-asked", "a shutdown was accepted, the guest not yet asked")           \
        X(GUEST_ASKED, "guest-asked", "the guest was asked to end, by agent or button, or resumed")       \
        X(RESTART_ASKED, "restart-asked", "a guest that is off or will not reboot is being reset")        \
        X(QUIT_SENT, "quit-sent", "QEMU was told to quit or signalled")                                   \
        X(QEMU_SIGNALLED, "qemu-signalled", "a signal was sent to QEMU")                                  \
        X(QEMU_ENDED, "qemu-ended", "QEMU's end is known, no verdict written")                            \
        X(HELPER_STARTED, "helper-started", "the host helper runs, its supervisor waits")                 \
        X(HELPER_WORKS, "helper-works", "the host helper has read its request")                           \
        X(HELPER_LATE, "helper-late", "the host helper was killed at its deadline")                       \
        X(HELPER_DONE, "helper-done", "a fragment's host steps are done, the helper is about to end")     \
        X(APPLY_BEGUN, "apply-begun", "a fragment is in the journal, none of its steps is")               \
        X(APPLY_SENT, "apply-sent", "a QMP step of a fragment was sent, QEMU has not answered")           \
        X(APPLY_DONE, "apply-done", "all steps of a fragment are done, it is not committed")              \
        X(APPLY_COMMITTED, "apply-committed", "a fragment is committed, live.tmpl is the old one")        \
        X(APPLY_LIVE_WRITTEN, "apply-live-written", "live.tmpl is the new one, the record the old one")   \
        X(APPLY_SETTLED, "apply-settled", "a fragment is committed and nothing but its reply is missing") \
        X(APPLY_UNDO, "apply-undo", "a fragment is about to be undone")                                   \
        X(APPLY_UNDO_SENT, "apply-undo-sent",                                                             \
          "a command that takes a step back was sent, and is not answered")                               \
        X(APPLY_UNDONE, "apply-undone", "a fragment is undone, the journal still says so")                \
        X(CLEANUP_STARTED, "cleanup-started", "the host's memory is being cleaned up, who asked goes on") \
        X(CLEANUP_WORKS, "cleanup-works", "it is this one's turn to clean up the host's memory")          \
        X(UNDO_BEGIN, "undo-begin", "the journal was read, nothing is undone")                            \
        X(END_TOLD, "end-told", "clients have been told of the end")                                      \
        X(ORPHAN_REMOVE, "orphan-remove", "something that no journal names is about to be removed")       \
        X(INSTANCE_MADE, "instance-made", "the instance's id is written, perhaps under two names")        \
        X(LEAVE, "leave", "a directory that owes nothing is about to lose socket and lock")               \
        X(LEFT, "left", "the VM's lock file is gone, its directory not")                                  \
        X(VM_DIR_GONE, "vm-dir-gone", "the VM's directory has another name, and is about to be removed")

#define CRASH_POINT_ENUM(id, name, doc) CRASH_##id,
enum crash_point { CRASH_POINTS(CRASH_POINT_ENUM) CRASH_POINTS_N };
#undef CRASH_POINT_ENUM

enum crash_phase { CRASH_DO, CRASH_DONE, CRASH_UNDO, CRASH_UNDONE, CRASH_PHASES };

/* Looks for the file, once per process: later calls do nothing. run_dirfd: RUN; borrowed. */
void crash_points_init(int run_dirfd);
void crash_point(enum crash_point point);
/* effect: its name in the journal. */
void crash_point_effect(const char *effect, enum crash_phase phase);

/* For the list. */
const char *crash_point_name(enum crash_point point);
const char *crash_point_doc(enum crash_point point);
const char *crash_phase_name(enum crash_phase phase);
