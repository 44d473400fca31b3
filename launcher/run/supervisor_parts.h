/*
 * supervisor_parts - what the supervisor's files share; for no one else.
 *
 * supervisor.c has the start and the table's actions; supervisor_end.c what follows QEMU's end; supervisor_control.c
 * what clients ask; supervisor_wire.c the connections to QEMU and the agent, supervisor_heard.c what they say;
 * supervisor_stop.c the shutdown schedule and the ending of QEMU; supervisor_agent.c what clients ask of the agent,
 * and leases; supervisor_apply.c the changes they send, supervisor_operator.c those that operators ask for;
 * supervisor_compare.c asks QEMU what it is; supervisor_clock.c keeps what the guest makes of its clock;
 * supervisor_reexec.c the way into another program, supervisor_handover.c what goes with it; supervisor_record.c record,
 * story and what clients are told.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/loop.h"
#include "cgroups/cgroup_stats.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/run/apply.h"
#include "launcher/run/control.h"
#include "launcher/run/execute.h"
#include "launcher/run/handover.h"
#include "launcher/run/lease.h"
#include "launcher/run/recorder.h"
#include "launcher/run/shutdown.h"
#include "launcher/run/silence.h"
#include "launcher/run/story.h"
#include "launcher/run/supervisor.h"
#include "launcher/run/supervisor_state.h"
#include "launcher/run/verdict.h"
#include "launcher/state/state_dir.h"
#include "qmp/ops_machine.h"
#include "qmp/qga_client.h"
#include "qmp/qmp_client.h"

/* ON_CRASH = "restart" in this time. */
#define PANIC_RESTARTS  3
#define PANIC_WINDOW_MS 600000

/* A guest that QEMU has stopped for want of space. */
struct space_wait {
        bool waiting;
        bool other;        /* it is stopped for another error, which is somebody's to mend */
        unsigned tried_ms; /* how long was waited before the last try; 0: none yet */
        struct loop_source *timer;
};

/* BALLOON/PRESSURE_FLOOR */
struct pressure_watch {
        struct loop_source *timer;
        double percent; /* at the last look */
        uint64_t told;  /* what the guest was told last; 0: nothing yet */
};

struct supervisor {
        const struct launch_plan *plan;
        const struct supervisor_options *options;
        struct loop *loop;
        struct vm_dir *vm;
        struct execution *execution;
        struct machined *machined; /* NULL: nothing was noted for it */
        char *generation;
        char *former; /* the record of the run before this one, as it was written; NULL: there is none */
        int log_fd, ready_fd;
        bool lowered; /* capabilities are no longer effective: host steps are the host helper's */

        enum vm_state state;
        bool paused; /* STOP and RESUME of QEMU, whatever the state says */
        enum run_state run_state;
        const char *told_state; /* what clients were told last */
        char *told_reason;
        enum agent_state told_agent;

        pid_t pid;
        unsigned long long pid_start;
        int pidfd; /* borrowed from the execution */
        bool exited;
        bool resuming; /* s->asked is what the last supervisor was asked; taken up when the guest is seen */
        bool adopted;  /* begun by a supervisor that is gone: QEMU is not our child */
        int keeper_fd;
        struct loop_source *keeper, *status_wait;
        bool status_known; /* the keeper has told end.wait_status */
        struct loop_source *child, *last_words;

        struct qmp_client *qmp;
        struct silence silence;
        bool silent; /* and it is told */
        struct loop_source *silence_timer;
        unsigned reconnects;
        bool lost_told;         /* that the connection is lost, in the story */
        long long connected_ms; /* when it was made last */
        struct loop_source *reconnect;
        unsigned steps_waiting; /* qmp steps of the plan without a reply */
        size_t cont_step;       /* index of the plan's last qmp step */

        struct qga_client *qga;
        enum agent_state agent;
        bool agent_open;
        unsigned agent_tries;
        struct loop_source *agent_retry;
        struct leases *leases; /* from the lock on */
        struct loop_source *leases_over;
        struct loop_source
                *holding; /* clients wait at the socket until QEMU answers; NULL: they are let in */
        struct loop_source *watchdog, *agent_ready; /* what a unit waits for */
        char *unit_status;                          /* what it is told next; NULL: nothing is due */
        bool unit_ready;                            /* it has been told that the VM is */
        int unit_listener;                          /* borrowed: to be stored with the next word; -1: none */
        unsigned sync_tries; /* SYNC_TIME: how often the agent has been asked in vain */
        bool syncing_time;   /* it is being asked */
        struct loop_source *sync_timer;
        struct space_wait space;
        struct pressure_watch pressure;

        struct applies *applies; /* from the control socket on */
        json_int_t last_change;  /* the supervisor's before this one */
        struct operator_change *operator_changes;
        struct control *control;
        struct recorder *recorder; /* NULL: it cannot be written */
        bool changed_by_hand;      /* by a raw command that we do not follow */

        struct shutdown shutdown;
        bool shutting; /* the schedule runs */
        struct shutdown_request asked;
        struct loop_source *half_time, *deadline;
        bool signalled; /* SIGTERM or SIGINT has come before */

        enum kill_step kill_step;
        bool killing, stuck, hurry;
        char *stuck_where; /* NULL: not known */
        bool destroying;   /* for the asking: what a hung QEMU has not flushed is not waited for as long */
        struct loop_source *kill_timer;

        struct run_end end;
        struct cgroup_oom oom; /* of the group, looked at when QEMU has ended */
        char *oom_text;
        char *shutdown_reason; /* end.shutdown_reason */
        struct error *start_error;
        struct verdict verdict;
        int exit_status;

        struct helper_watch *helpers; /* swtpm, virtiofsd, passt */
        struct log_keeper *logs;      /* NULL: none is kept */
        struct host_helper *helper;   /* undoes, once QEMU is gone */
        char *program;                /* the file we were started from, NULL: not known */
        struct reexec *reexec;        /* asked for and not done yet */

        struct gathering *gathering; /* QEMU is being asked what it is; NULL: it is not */
        json_t *differences;         /* what the last comparison found; NULL: none was made */
        char *compared;              /* when */
        const char *found_state;     /* an adopted run's state as recorded; NULL: compared, or not adopted */

        json_t *story, *warnings;
        struct story_pace pace;
        char *started, *ended, *stderr_text;
        long long last_reset_ms;
        long long panic_restarts[PANIC_RESTARTS]; /* when, oldest first; 0: none */
        bool kept;                                /* the guest has panicked and stays as it is */
        struct loop_source *flush;
};

/* supervisor.c */
/* Signals and log, once the VM's directory is ours; the loop to the end, and all given back. */
void supervisor_hear_signals(struct supervisor *s);
void supervisor_open_log(struct supervisor *s);
int supervisor_loop(struct supervisor *s, bool keep_directory);
/* The guest runs and is looked after: who waits for that is told. */
void supervisor_tell_ready(struct supervisor *s);
/* To whoever waits for the start. */
void supervisor_tell_failed(struct supervisor *s, const struct error *error, int exit_status);
void supervisor_tell_stuck(struct supervisor *s);
void supervisor_event(struct supervisor *s, enum vm_event event);
/* Before the guest runs: why it never will. Steals the error. */
void supervisor_start_failed(struct supervisor *s, struct error *error);

/* supervisor_control.c */
int supervisor_open_control(struct supervisor *s, struct error **err);
/* The same with the clients of the program that we were; *ret_call is the command that we still have to answer. */
int supervisor_resume_control(struct supervisor *s, const json_t *state, struct handover *handover,
                              struct control_call **ret_call, struct error **err);

/* supervisor_end.c */
/* QEMU's pidfd. */
void supervisor_on_child(int pidfd, void *data);
/* QEMU has ended, and how is known or never will be. */
void supervisor_qemu_exited(struct supervisor *s);
/* Verdict and undo. */
void supervisor_clean_up(struct supervisor *s);
/* After the verdict. */
void supervisor_begin_undo(struct supervisor *s);
/* A line of undo_journal(). */
void supervisor_undo_line(const char *line, void *data);
/* All is undone: clients and whoever waits for the start are told, the loop ends. */
void supervisor_end(struct supervisor *s);
/* keep: the record stays. */
void supervisor_leave_directory(struct supervisor *s, bool keep);

/* supervisor_record.c */
void supervisor_story(struct supervisor *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* How QEMU has ended: an error in the log unless it was as asked, or the guest's own wish. */
void supervisor_story_end(struct supervisor *s, const struct verdict *verdict);
json_t *supervisor_record(const struct supervisor *s);
/* State, reason or agent may have changed: record and clients get to know. */
void supervisor_changed(struct supervisor *s);
/* The program that we were has told the record and the clients how things are. */
void supervisor_tell_as_told(struct supervisor *s);
void supervisor_flush(struct supervisor *s);
/* In the next round of the loop; of a start a little later. */
void supervisor_flush_soon(struct supervisor *s);

/* supervisor_adopt.c */
/* The keeper's socket, if there is one: it gets lock and log, and tells how QEMU ended. */
void keeper_attend(struct supervisor *s, bool give);
/* QEMU, no child of ours, has ended: waits a moment for the keeper's word, then goes on without it. */
void keeper_await_status(struct supervisor *s);
/* The record's "end" and "asked": what a successor has to know of an end that has begun. */
json_t *adopt_end_to_json(const struct supervisor *s);
/* The lines of a record's story; new reference. */
json_t *adopt_story_of(const json_t *record);
/* A lease has ended: with the last one, a supervisor that is there for nothing else. */
void adopt_lease_over(struct supervisor *s);
/* What clients wait for has come: QEMU answers, or it is known that it does not. More than once does no harm. */
void adopt_let_in(struct supervisor *s);
/* query-status of an adopted QEMU whose guest may never have run. */
void adopt_settle_start(struct supervisor *s);
/* The guest is known to run: what its last supervisor was asked and had not ended goes on. */
void adopt_resume_request(struct supervisor *s);

/* supervisor_unit.c */
void unit_begin(struct supervisor *s);
/* Lines of the log go to the journal with VM and generation. */
void unit_log(const struct supervisor *s);
/* For the next main process of the unit, with the next word to systemd: QEMU's pidfd and the control socket's listener. */
void unit_store(struct supervisor *s, int control_fd);
/* That listener; -1: none, or it is of no use. The caller's. */
int unit_stored_control(const struct supervisor *s);
void unit_ready(struct supervisor *s);
void unit_changed(struct supervisor *s, const char *state, const char *reason);

/* supervisor_wire.c */
/* Once QEMU has greeted, the plan's qmp steps are sent. */
int wire_connect(struct supervisor *s, struct error **err);
/* The connections of the program that we were. */
struct wire_state {
        int qmp_fd, agent_fd; /* agent_fd -1: none */
        const json_t *qmp;    /* qmp_client_state() */
        bool agent_open;
        bool sync_time; /* the guest's clock is still to be set */
};
int wire_resume(struct supervisor *s, const struct wire_state *state_consume, struct error **err);
void wire_close(struct supervisor *s);
/* One of steps_waiting, of the start. what: whose it is, NULL: the error says it. */
void wire_step_done(struct supervisor *s);
void wire_step_failed(struct supervisor *s, const struct error *error, const char *what);
/* supervisor_affinity.c: threads of the plan are where they are to be, before cont; one of steps_waiting where there are such. */
void affinity_begin(struct supervisor *s);
/* A command was not answered in its time. */
void wire_overdue(struct supervisor *s);
bool wire_is_up(const struct supervisor *s);
/* Connects now, or again later until it works. */
void wire_try(struct supervisor *s);

/* supervisor_heard.c */
/* An event, as struct qmp_client_handlers has them. */
void heard_event(const char *name, json_t *event_data, json_t *event, void *data);
/* The reply to query-status, and that on a new connection, where nothing older is on its way. */
qmp_reply_fn heard_status, heard_status_anew;
/* The agent's port is open in the guest, or not. */
void heard_agent_open(struct supervisor *s, bool open);
/* A line in the story, not for each of many. */
void heard_reset(struct supervisor *s);
/* Is the agent's port open in the guest, and which pseudo terminals are there? For a new connection. */
void heard_ask_chardevs(struct supervisor *s);
bool heard_has_pty(const struct supervisor *s);

/* supervisor_pressure.c */
/* Looks at the host's memory pressure from now on, where the plan wants it. */
void pressure_begin(struct supervisor *s);
void pressure_forget(struct supervisor *s);

/* supervisor_clock.c */
/* The guest has set its hardware clock: offset seconds from where this run's clock would be. */
void clock_was_set(struct supervisor *s, json_int_t offset);

/* supervisor_compare.c */
/* vmlaunch-status with "compare": control_answer() will be called; -1: *err. */
int compare_command(struct supervisor *s, struct error **err);
/* QEMU can be asked: what an adopted one is gets known and told, once. */
void compare_adopted(struct supervisor *s);

/* supervisor_stop.c */
struct shutdown_facts stop_facts(const struct supervisor *s);
/* s->asked: begin the schedule, or take it over. */
void stop_begin(struct supervisor *s, bool join);
void stop_feed(struct supervisor *s, enum shutdown_input input);
void stop_end(struct supervisor *s);
void kill_begin(struct supervisor *s);
void kill_hurry(struct supervisor *s);
/* vmlaunch-shutdown and signals: 0 and s->asked.timeout_s, or *err. */
int stop_request(struct supervisor *s, const struct shutdown_request *request, const char *who,
                 struct error **err);

/* supervisor_helpers.c: the helper processes that the journal names, and its logs. */
void steps_attend(struct supervisor *s, bool logs);
void helpers_forget(struct supervisor *s);
/* For the record: [{"id","program","pid","state"}]; new reference. */
json_t *helpers_json(const struct supervisor *s);

/* supervisor_logs.c: the log of a serial port or console, by the arguments of its step. */
void log_attend(struct supervisor *s, const json_t *args);
void logs_forget(struct supervisor *s);
/* The last LOG_SIZE bytes of a log of this size become PATH.1; 0, or -1 and errno. */
int logs_copy_aside(const char *path, int fd, off_t size);

/* supervisor_agent.c */
void agent_begin(struct supervisor *s);
/* For a supervisor that takes over a QEMU: what the one before it held is ended. */
void agent_end_leases_found(struct supervisor *s);
void agent_qemu_gone(struct supervisor *s);
/* 0: control_answer() will be called; -1: *err. */
int agent_command(struct supervisor *s, json_t *arguments, const struct control_peer *peer,
                  struct error **err);
int agent_lease_command(struct supervisor *s, json_t *arguments, const struct control_peer *peer,
                        struct error **err);
/* Would it break a lease? */
int agent_may_forward(struct supervisor *s, const char *command, struct error **err);
/* The guest goes on after a pause. */
void agent_sync_time(struct supervisor *s);

/* supervisor_reexec.c */
/* 0: control_answer() will be called, by us or by the program that takes our place; -1: *err. */
int reexec_command(struct supervisor *s, json_t *arguments, const char *who, struct error **err);
void reexec_forget(struct supervisor *s);

/* supervisor_handover.c */
/* Into handover's document, with its fds. call: the one that is not answered by us, on behalf of who. ERROR_BUSY: not at
 * this moment, QEMU has not answered everything. */
int supervisor_write_state(const struct supervisor *s, struct control_call *call, const char *who,
                           struct handover *handover, struct error **err);

/* supervisor_storage.c */
void storage_io_error(struct supervisor *s, const json_t *event_data);
/* QEMU has told how its guest is: it may be waiting for space. */
void storage_adopted(struct supervisor *s);
void storage_forget(struct supervisor *s);

/* supervisor_operator.c */
/* vmlaunch-apply with "change". 0: control_answer() will be called; -1: *err. */
int operator_command(struct supervisor *s, const json_t *arguments, const char *who, struct error **err);
/* QEMU has ended: who waits is told so. */
void operator_forget(struct supervisor *s);

/* supervisor_apply.c */
void apply_open(struct supervisor *s);
/* 0: control_answer() will be called; -1: *err. */
int apply_command(struct supervisor *s, json_t *arguments, int *fds, size_t n_fds,
                  const struct control_peer *peer, struct error **err);
/* What the last supervisor was applying. */
void apply_adopt(struct supervisor *s);
