#include "launcher/run/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <string.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/log.h"
#include "base/text.h"
#include "launcher/run/adopt.h"
#include "launcher/run/confine.h"
#include "launcher/run/generation.h"
#include "launcher/run/hugepages.h"
#include "launcher/run/machined.h"
#include "launcher/run/memory_cleanup.h"
#include "launcher/run/reconcile.h"
#include "launcher/run/reexec.h"
#include "launcher/run/sd_notify.h"
#include "launcher/run/story.h"
#include "launcher/run/supervisor_parts.h"
#include "launcher/state/crash_point.h"
#include "launcher/state/instance.h"
#include "launcher/state/machine_lock.h"

/* Nothing has happened for so long: nothing will. */
#define REST_MS 500u
/* For clients to read the end. */
#define FLUSH_MS 200

static void tell_ready_fd(struct supervisor *s, json_t *message_consume)
{
        _cleanup_free_ char *line = json_dumps(message_consume, JSON_COMPACT);

        json_decref(message_consume);
        if (s->ready_fd < 0)
                return;
        /* Nobody may be left to read it. */
        if (dprintf(s->ready_fd, "%s\n", line) < 0)
                log_debug("%s: ready_fd: %s", s->plan->name, strerror(errno));
        fd_close(&s->ready_fd);
}

void supervisor_tell_failed(struct supervisor *s, const struct error *error, int exit_status)
{
        _cleanup_free_ char *text = error_text(error);

        /* Who reads ready_fd knows which VM it starts. */
        if (s->ready_fd < 0)
                log_error("start '%s': %s", s->plan->name, text);
        else
                log_error("%s: the start failed: %s", s->plan->name, text);
        tell_ready_fd(s, json_pack("{s:{s:s, s:o, s:o, s:i}, s:b}", "error", "code",
                                   error_code_name(error->code), "message", story_string(text), "hint",
                                   story_string(error->hint), "exit_status", exit_status, "stuck", s->stuck));
}

void supervisor_tell_stuck(struct supervisor *s)
{
        _cleanup_free_ char *why = s->start_error ? error_text(s->start_error) : NULL;
        _cleanup_error_ struct error *error = NULL;

        if (s->ready_fd < 0)
                return;
        error_set(&error, ERROR_DEADLINE, "%s%sQEMU (pid %d) was killed and does not end: %s", why ? why : "",
                  why ? "; " : "", (int)s->pid, s->stuck_where ? s->stuck_where : "a kernel call holds it");
        error_hint(&error, "its supervisor undoes the start when it ends; look at the storage and 'dmesg'");
        supervisor_tell_failed(s, error, error_exit_status(error));
}

/* Signals. */

static void on_signal(const struct signalfd_siginfo *info, void *data)
{
        struct supervisor *s = data;
        const struct plan_policy *policy = &s->plan->policy;
        /* That is systemd, which ends all of the scope 30 s after this deadline: nobody would be left to undo the start. */
        bool is_scope_end = info->ssi_signo == SIGURG;
        struct shutdown_request request = {
                .mode = s->signalled ? SHUTDOWN_DESTROY : SHUTDOWN_AUTO,
                .force = !s->signalled && (policy->force_destroy || is_scope_end),
                .timeout_s = policy->shutdown_timeout_s,
        };
        _cleanup_free_ char *who =
                is_scope_end ? xstrdup("systemd") : xasprintf("SIG%s", sigabbrev_np((int)info->ssi_signo));
        _cleanup_error_ struct error *err = NULL;

        /* A terminal that goes away means the foreground's VM; in the background there is none. */
        if (info->ssi_signo == SIGHUP && !s->options->foreground)
                return;
        s->signalled = true;
        sd_notify("STOPPING=1");
        if (stop_request(s, &request, who, &err) < 0) {
                supervisor_story(s, "shutdown asked for by %s is not possible: %s", who, err->message);
                log_warning("%s: %s; a second signal destroys it", s->plan->name, err->message);
                if (s->control)
                        control_event(s->control, "VMLAUNCH_SHUTDOWN",
                                      json_pack("{s:s}", "result", "unable"));
        }
}

/* The actions. */

void supervisor_tell_ready(struct supervisor *s)
{
        _cleanup_error_ struct error *err = NULL;

        if (confine_lower_capabilities(&err) == 0)
                s->lowered = true;
        else
                log_warning("%s: %s; going on with them", s->plan->name, err->message);
        tell_ready_fd(s, json_pack("{s:i, s:i}", "pid", (int)s->pid, "supervisor_pid", (int)getpid()));
        unit_ready(s);
        crash_point(CRASH_READY_TOLD);
        if (!s->options->foreground)
                log_set_stderr(0);
}

static void tell_ready(struct supervisor *s)
{
        _cleanup_error_ struct error *err = NULL;

        /* One record with all of it. It alone says already that the guest has run, should we die before the mark. */
        s->end.ready = true;
        supervisor_story(s, "the guest runs: QEMU pid %d, generation %s", (int)s->pid, s->generation);
        supervisor_changed(s);
        if (execution_mark_started(s->execution, &err) < 0)
                log_warning("%s: %s", s->plan->name, err->message);
        /* machine.lock stays. Who has not looked for claims has held its own before. */
        else if (s->options->host->has_claims)
                machine_lock_hold(&s->options->site->paths, s->plan->name);
        supervisor_tell_ready(s);
        s->machined = machined_begin(s->loop, s->execution, s->plan, s->pid);
        execution_close_journal(s->execution);
}

static void report(struct supervisor *s, const char *result)
{
        if (s->control)
                control_event(s->control, "VMLAUNCH_SHUTDOWN", json_pack("{s:s}", "result", result));
}

static void report_refused(struct supervisor *s)
{
        const struct shutdown_request *request = &s->shutdown.request;

        stop_end(s);
        supervisor_story(s, "the guest has not %s in %u s and runs on",
                         request->reboot ? "rebooted" : "powered off", request->timeout_s);
        report(s, "refused");
        if (s->paused)
                supervisor_event(s, EV_PAUSED);
}

static void report_rebooted(struct supervisor *s)
{
        stop_end(s);
        s->last_reset_ms = fd_now_ms();
        supervisor_story(s, "the guest has rebooted");
        report(s, "rebooted");
}

static void on_restart(json_t *reply, const struct error *error, void *data)
{
        struct supervisor *s = data;

        if (reply || s->state != VM_RESTARTING)
                return;
        supervisor_story(s, "the guest could not be restarted: %s", error->message);
        supervisor_event(s, EV_FAILED);
}

static void restart(struct supervisor *s)
{
        stop_end(s);
        supervisor_story(s, "the guest is off, starting it again");
        if (!s->qmp) {
                supervisor_event(s, EV_FAILED);
                return;
        }
        /* cont alone is refused after a power-off: "Resetting the Virtual Machine is required". */
        ops_system_reset(s->qmp, on_restart, s);
        ops_cont(s->qmp, on_restart, s);
        crash_point(CRASH_RESTART_ASKED);
}

/* What the verdict needs to know of the way to the end. */
static void note_end(struct supervisor *s, enum vm_event event)
{
        switch (event) {
        case EV_DESTROY_ASKED:
                s->destroying = true;
                s->end.asked = true;
                break;
        case EV_SHUTDOWN_ASKED:
                s->end.asked = true;
                break;
        case EV_FAILED:
                /* Of a restart: its guest is off. */
                s->end.guest_off = s->state == VM_RESTARTING;
                break;
        case EV_GUEST_OFF:
                s->end.guest_off = true;
                supervisor_story(s, "the guest powered off");
                break;
        case EV_GUEST_PANICKED:
        case EV_PANIC_RESTARTS:
                s->end.panicked = true;
                supervisor_story(s, "the guest panicked");
                break;
        default:
                break;
        }
}

void supervisor_event(struct supervisor *s, enum vm_event event)
{
        struct vm_move move = vm_next(s->state, event);

        if (move.action == DO_QUIT)
                note_end(s, event);
        s->state = move.state;
        if (move.action != DO_END && move.action != DO_CLEAN_UP && move.action != DO_TELL_READY)
                supervisor_changed(s);
        switch (move.action) {
        case DO_NOTHING:
        case DO_REFUSE: /* stop_request() has told */
                break;
        case DO_TELL_READY:
                tell_ready(s);
                break;
        case DO_ASK_GUEST:
                stop_begin(s, false);
                break;
        case DO_JOIN:
                stop_begin(s, true);
                break;
        case DO_RESTART:
                restart(s);
                break;
        case DO_REPORT_REBOOTED:
                report_rebooted(s);
                break;
        case DO_REPORT_REFUSED:
                report_refused(s);
                break;
        case DO_NOTE_RESET:
                heard_reset(s);
                break;
        case DO_QUIT:
                stop_end(s);
                kill_begin(s);
                break;
        case DO_HURRY:
                if (s->hurry)
                        kill_hurry(s);
                break;
        case DO_CLEAN_UP:
                supervisor_clean_up(s);
                break;
        case DO_END:
                supervisor_end(s);
                break;
        }
}

void supervisor_start_failed(struct supervisor *s, struct error *error)
{
        if (s->start_error || s->state != VM_STARTING) {
                error_free(error);
                return;
        }
        s->start_error = error;
        supervisor_event(s, EV_FAILED);
}

/* The start. */

void supervisor_open_log(struct supervisor *s)
{
        const int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;
        _cleanup_free_ char *copy = xstrdup(s->plan->log_path);
        _cleanup_error_ struct error *err = NULL;

        s->log_fd = open(s->plan->log_path, flags, 0640);
        /* The host's first VM. */
        if (s->log_fd < 0 && errno == ENOENT && fd_mkdir_p(AT_FDCWD, dirname(copy), 0755, &err) == 0)
                s->log_fd = open(s->plan->log_path, flags, 0640);
        if (s->log_fd < 0)
                log_warning("%s: open '%s': %s; logging to stderr only", s->plan->name, s->plan->log_path,
                            strerror(errno));
        log_set_file(s->log_fd);
}

static void on_orphan_line(const char *line, void *data)
{
        struct supervisor *s = data;

        supervisor_story(s, "removed what an earlier run had left: %s", line);
}

/* A supervisor that died may have left a QEMU, things to undo, or things that no journal names any more. */
static int settle_journal(struct supervisor *s, struct error **err)
{
        _cleanup_error_ struct error *no_record = NULL;
        pid_t pid = 0;
        int lives;

        record_read_text(s->vm->fd, &s->former, NULL, &no_record);
        lives = vm_qemu_lives(s->options->site, s->vm, s->plan->confine.uid, &pid, NULL, err);
        if (lives < 0)
                return -1;
        if (lives > 0) {
                error_set(err, ERROR_BUSY, "'%s' runs already: its QEMU (pid %d) lives without a supervisor",
                          s->plan->name, (int)pid);
                return error_hint(
                        err, "'vmlaunch reconcile %s' gives it another one, 'vmlaunch destroy %s' ends it",
                        s->plan->name, s->plan->name);
        }
        if (!journal_is_empty(s->vm->fd) &&
            undo_journal(s->vm->fd, &s->options->host->cgroup, supervisor_undo_line, s, err) < 0)
                return error_wrap(err, "undo what the last run of '%s' left", s->plan->name);
        return reconcile_for_start(s->options->site, &s->options->host->cgroup, s->plan, on_orphan_line, s,
                                   err);
}

static void note_warnings(struct supervisor *s)
{
        s->warnings = json_array();
        for (const struct error *warning = s->plan->warnings; warning; warning = warning->next) {
                _cleanup_free_ char *text = error_text(warning);

                json_array_append_new(s->warnings, story_string(text));
        }
}

/*
 * Once in its scope: journald looks at most once a second in which unit a process is, so whoever says something before
 * says what follows, too, in the name of the unit that it was started from.
 */
static void begin_journal(struct supervisor *s)
{
        const json_t *warning;
        size_t i;

        unit_log(s);
        json_array_foreach (s->warnings, i, warning)
                log_warning("%s: %s", s->plan->name, json_string_value(warning));
}

/* Most have none, and their journal need not be read. */
static bool has_attended_step(const struct launch_plan *plan)
{
        for (size_t i = 0; i < plan->n_steps; i++)
                if (plan->steps[i].effect == EFFECT_HELPER || plan->steps[i].effect == EFFECT_LOG_OPEN)
                        return true;
        return false;
}

/* QEMU is loading meanwhile. */
static void attend(struct supervisor *s)
{
        struct error *err = NULL;

        s->pid = execution_qemu_pid(s->execution);
        s->pidfd = execution_qemu_pidfd(s->execution);
        s->pid_start = execution_qemu_start(s->execution);
        s->child = loop_add_child(s->loop, s->pidfd, supervisor_on_child, s);
        if (wire_connect(s, &err) < 0) {
                supervisor_start_failed(s, err);
                return;
        }
        execution_close_passed(s->execution, false);
        if (supervisor_open_control(s, &err) < 0) {
                supervisor_start_failed(s, err);
                return;
        }
        crash_point(CRASH_CONTROL_LISTENS);
        log_debug("%s: QEMU started, pid %d", s->plan->name, (int)s->pid);
        supervisor_flush_soon(s);
        if (has_attended_step(s->plan))
                steps_attend(s, true);
}

void supervisor_hear_signals(struct supervisor *s)
{
        /* SIGURG is what systemd signals to every process of a scope that is to stop: nobody else listens to it. */
        static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGURG, 0 };

        loop_add_signals(s->loop, signals, on_signal, s);
        signal(SIGPIPE, SIG_IGN);
}

static bool has_record(const struct supervisor *s)
{
        return s->vm && faccessat(s->vm->fd, "record.json", F_OK, 0) == 0;
}

/* What the last run has left to read stays when this one does not come to be. */
static bool restore_former(struct supervisor *s)
{
        json_auto_t *former = s->former ? json_loads(s->former, 0, NULL) : NULL;
        const char *state = json_member_string(former, "state");
        _cleanup_error_ struct error *ignored = NULL;

        return state && strcmp(state, "stopped") == 0 && record_write(s->vm->fd, former, &ignored) == 0;
}

static int start(struct supervisor *s, struct error **err)
{
        const struct supervisor_options *options = s->options;
        _cleanup_free_ char *instance = NULL;
        struct execution_options how;
        int status;

        /* Before the lock: a signal from here on is an orderly end. */
        supervisor_hear_signals(s);
        unit_begin(s);
        if (vm_dir_lock(&options->site->paths, s->plan->name, &s->vm, err) < 0 ||
            instance_id(&options->site->paths, true, &instance, err) < 0)
                return -1;
        s->generation = generation_new(instance);
        agent_begin(s);
        supervisor_open_log(s);
        if (options->foreground)
                unit_log(s);
        keeper_attend(s, true);
        if (settle_journal(s, err) < 0 || hugepages_check_start(s->plan, HUGEPAGES_SYS, err) < 0)
                return -1;
        s->state = VM_STARTING;
        note_warnings(s);
        supervisor_changed(s);
        how = (struct execution_options){
                .vm = s->vm,
                .generation = s->generation,
                .cgroup = &options->host->cgroup,
                .keeper = s->keeper_fd >= 0 ? getppid() : 0,
                .fail_step = options->fail_step,
        };
        s->execution = execution_new(s->plan, &how);
        status = execution_run(s->execution, err);
        begin_journal(s);
        if (status < 0)
                return -1;
        attend(s);
        return 0;
}

static void flush_clients(struct supervisor *s)
{
        long long until = fd_now_ms() + FLUSH_MS, now;

        while (s->control && !control_is_flushed(s->control) && (now = fd_now_ms()) < until)
                loop_step(s->loop, (int)(until - now));
}

static void done(struct supervisor *s, bool keep)
{
        wire_close(s);
        reexec_forget(s);
        operator_forget(s);
        storage_forget(s);
        pressure_forget(s);
        helpers_forget(s);
        logs_forget(s);
        machined_free(s->machined);
        applies_free(s->applies);
        leases_free(s->leases);
        recorder_close(TAKE_PTR(s->recorder));
        fd_close(&s->keeper_fd);
        execution_free(s->execution);
        supervisor_leave_directory(s, keep);
        /* Last of all: whoever waits for the connection's end may start the VM, or another with its images. */
        control_free(s->control);
        if (s->end.ready && s->options->site->kvmrc.cleanup_on_stop)
                memory_cleanup_of(s->options->site, s->plan->name, 0);
        log_set_file(-1);
        fd_close(&s->log_fd);
        fd_close(&s->ready_fd);
        loop_free(s->loop);
        free(s->generation);
        free(s->program);
        free(s->told_reason);
        free(s->shutdown_reason);
        free(s->stuck_where);
        free(s->unit_status);
        free(s->oom_text);
        error_free(s->start_error);
        verdict_done(&s->verdict);
        json_decref(s->story);
        free(s->former);
        json_decref(s->warnings);
        json_decref(s->differences);
        free(s->compared);
        free(s->started);
        free(s->ended);
        free(s->stderr_text);
}

int supervisor_loop(struct supervisor *s, bool keep_directory)
{
        int status;

        /* A start takes 2 MiB, an adoption a template and all of QEMU's answers, each with code that is not needed
         * again for days: a supervisor is small while nothing happens. */
        loop_set_rest(s->loop, REST_MS, mem_give_back);
        pressure_begin(s);
        status = loop_run(s->loop);
        flush_clients(s);
        done(s, keep_directory);
        return status;
}

int supervisor_run(struct launch_plan *plan, const struct supervisor_options *options)
{
        struct supervisor s = {
                .plan = plan,
                .options = options,
                .loop = loop_new(),
                .log_fd = -1,
                .ready_fd = options->ready_fd,
                .pidfd = -1,
                .keeper_fd = options->keeper_fd,
                .unit_listener = -1,
                .agent = plan->policy.has_agent ? AGENT_ABSENT : AGENT_NONE,
                .program = reexec_own_program(),
                .story = json_array(),
                .started = story_now(),
        };
        _cleanup_error_ struct error *err = NULL;
        int status;

        if (start(&s, &err) < 0) {
                status = error_exit_status(err);
                if (s.generation)
                        unit_log(&s);
                supervisor_tell_failed(&s, err, status);
                /* Not ours to remove when another run has left it: its record, or a journal that is owed. */
                done(&s, s.state == VM_STARTING ? restore_former(&s) : has_record(&s));
                return status;
        }
        return supervisor_loop(&s, true);
}
