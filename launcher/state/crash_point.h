/*
 * crash_point - the named moments at which a test can kill or stop a process of ours.
 *
 * `vmlaunch __steps` lists them. A moment is a row here, or the four of each plan effect: EFFECT:do (journalled, not
 * done), EFFECT:done, EFFECT:undo, EFFECT:undone; a call with a name that is no row does not compile. Off unless RUN
 * has a file "crash-at" when the process begins its work, so a host without one pays a single faccessat(). Who may
 * write in RUN is root, or the instance's own user: the file gives nobody a right they had not, and one that others
 * could write is ignored. It holds "NAME COUNT kill|stop": the process that reaches NAME for the COUNTth time, whichever
 * it is, removes the file and sends itself SIGKILL or SIGSTOP. "-" arms nothing yet.
 */
#pragma once

#define CRASH_POINTS(X)                                                                                   \
        X(VM_LOCKED, "vm-locked", "the VM is locked, nothing of its start is in the journal")             \
        X(JOURNAL_APPEND, "journal-append", "an entry is about to be written to the journal")             \
        X(JOURNAL_APPENDED, "journal-appended", "an entry is in the journal")                             \
        X(JOURNAL_CLEAR, "journal-clear", "all is undone, the journal is about to be removed")            \
        X(JOURNAL_CLEARED, "journal-cleared", "the journal is gone")                                      \
        X(RECORD_WRITE, "record-write", "record.json is about to be replaced")                            \
        X(RECORD_WRITTEN, "record-written", "record.json has been replaced")                              \
        X(SPAWN_FORKED, "spawn-forked", "QEMU's process exists and is in no journal yet")                 \
        X(CONTROL_LISTENS, "control-listens", "clients can connect, QMP is not up")                       \
        X(QMP_CONNECTED, "qmp-connected", "QEMU has greeted, nothing was sent")                           \
        X(CONT_SENT, "cont-sent", "the guest may run, its start has not been told")                       \
        X(READY_TOLD, "ready-told", "the starter has been told that the guest runs")                      \
        X(SHUTDOWN_ASKED, "shutdown-asked", "a shutdown was accepted, the guest not yet asked")           \
        X(QUIT_SENT, "quit-sent", "QEMU was told to quit or signalled")                                   \
        X(QEMU_ENDED, "qemu-ended", "QEMU's end is known, no verdict written")                            \
        X(HELPER_STARTED, "helper-started", "the host helper runs, its supervisor waits")                 \
        X(HELPER_WORKS, "helper-works", "the host helper has read its request")                           \
        X(HELPER_DONE, "helper-done", "a fragment's host steps are done, the helper is about to end")     \
        X(APPLY_BEGUN, "apply-begun", "a fragment is in the journal, none of its steps is")               \
        X(APPLY_SENT, "apply-sent", "a QMP step of a fragment was sent, QEMU has not answered")           \
        X(APPLY_DONE, "apply-done", "all steps of a fragment are done, it is not committed")              \
        X(APPLY_COMMITTED, "apply-committed", "a fragment is committed, live.tmpl is the old one")        \
        X(APPLY_LIVE_WRITTEN, "apply-live-written", "live.tmpl is the new one, the record the old one")   \
        X(APPLY_SETTLED, "apply-settled", "a fragment is committed and nothing but its reply is missing") \
        X(APPLY_UNDO, "apply-undo", "a fragment is about to be undone")                                   \
        X(APPLY_UNDONE, "apply-undone", "a fragment is undone, the journal still says so")                \
        X(UNDO_BEGIN, "undo-begin", "the journal was read, nothing is undone")                            \
        X(END_TOLD, "end-told", "clients have been told of the end")

#define CRASH_POINT_ENUM(id, name, doc) CRASH_##id,
enum crash_point { CRASH_POINTS(CRASH_POINT_ENUM) CRASH_POINTS_N };
#undef CRASH_POINT_ENUM

enum crash_phase { CRASH_DO, CRASH_DONE, CRASH_UNDO, CRASH_UNDONE, CRASH_PHASES };

/* Looks for the file in the directory above vm_dirfd, once per process: later calls do nothing. */
void crash_points_init(int vm_dirfd);
void crash_point(enum crash_point point);
/* effect: its name in the journal. */
void crash_point_effect(const char *effect, enum crash_phase phase);

/* For the list. */
const char *crash_point_name(enum crash_point point);
const char *crash_point_doc(enum crash_point point);
const char *crash_phase_name(enum crash_phase phase);
