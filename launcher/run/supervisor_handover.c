/*
 * What a supervisor is, as a document (handover.h): written down by the program that goes, and read by the one that goes
 * on in its place.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/log.h"
#include "base/text.h"
#include "launcher/run/adopt.h"
#include "launcher/run/handover.h"
#include "launcher/run/reexec.h"
#include "launcher/run/story.h"
#include "launcher/run/supervisor_parts.h"
#include "launcher/state/crash_point.h"

static json_t *agent_state(const struct supervisor *s, struct handover *handover)
{
        int fd = s->qga ? qga_client_fd(s->qga) : -1;

        if (fd < 0)
                return json_null();
        return json_pack("{s:o, s:b, s:s, s:b}", "fd", handover_give_fd(handover, fd), "open", s->agent_open,
                         "state", agent_state_name(s->agent), "sync_time", s->syncing_time || s->sync_timer);
}

static json_t *guest_state(const struct supervisor *s)
{
        json_t *restarts = json_array();

        for (size_t i = 0; i < ARRAY_SIZE(s->panic_restarts); i++)
                json_array_append_new(restarts, json_integer(s->panic_restarts[i]));
        return json_pack("{s:b, s:b, s:s, s:b, s:I, s:o}", "paused_state", s->state == VM_PAUSED, "paused",
                         s->paused, "run_state", run_state_name(s->run_state), "kept", s->kept,
                         "last_reset_ms", (json_int_t)s->last_reset_ms, "panic_restarts", restarts);
}

static json_t *fd_or_null(struct handover *handover, int fd)
{
        return fd < 0 ? json_null() : handover_give_fd(handover, fd);
}

static json_t *locks_state(const struct supervisor *s, struct handover *handover)
{
        json_t *locks = json_array();
        const char *name;
        int fd;

        for (size_t i = 0; execution_lock_at(s->execution, i, &name, &fd); i++)
                json_array_append_new(
                        locks, json_pack("{s:s, s:o}", "name", name, "fd", handover_give_fd(handover, fd)));
        return locks;
}

int supervisor_write_state(const struct supervisor *s, struct control_call *call, const char *who,
                           struct handover *handover, struct error **err)
{
        json_t *document = handover->document, *qmp, *control;
        int qmp_fd;

        qmp = qmp_client_state(s->qmp, &qmp_fd, err);
        if (!qmp)
                return -1;
        json_object_set_new(document, "qmp",
                            json_pack("{s:o, s:o, s:I}", "fd", handover_give_fd(handover, qmp_fd), "state",
                                      qmp, "connected_ms", (json_int_t)s->connected_ms));
        control = control_state(s->control, call, handover, err);
        if (!control)
                return -1;
        json_object_set_new(document, "control", control);
        json_object_set_new(document, "who", json_string(who));
        json_object_set_new(document, "foreground", json_boolean(s->options->foreground));
        json_object_set_new(document, "log_level", json_integer(log_get_level()));
        json_object_set_new(document, "signalled", json_boolean(s->signalled));
        json_object_set_new(document, "record", supervisor_record(s));
        json_object_set_new(document, "lock", handover_give_fd(handover, s->vm->lock_fd));
        json_object_set_new(document, "keeper", fd_or_null(handover, s->keeper_fd));
        json_object_set_new(document, "qemu",
                            json_pack("{s:i, s:I, s:o, s:o, s:b}", "pid", (int)s->pid, "pid_start",
                                      (json_int_t)s->pid_start, "pidfd", handover_give_fd(handover, s->pidfd),
                                      "stderr", fd_or_null(handover, execution_stderr_fd(s->execution)),
                                      "adopted", s->adopted));
        json_object_set_new(document, "locks", locks_state(s, handover));
        json_object_set_new(document, "agent", agent_state(s, handover));
        json_object_set_new(document, "guest", guest_state(s));
        return 0;
}

static int take_guest(struct supervisor *s, const json_t *guest, struct error **err)
{
        const json_t *restarts = json_object_get(guest, "panic_restarts");
        const char *run_state;
        json_int_t last_reset_ms;
        bool paused_state;

        if (handover_bool(guest, "paused_state", &paused_state, err) < 0 ||
            handover_bool(guest, "paused", &s->paused, err) < 0 ||
            handover_bool(guest, "kept", &s->kept, err) < 0 ||
            handover_string(guest, "run_state", &run_state, err) < 0 ||
            handover_integer(guest, "last_reset_ms", INT64_MIN, INT64_MAX, &last_reset_ms, err) < 0)
                return -1;
        s->state = paused_state ? VM_PAUSED : VM_RUNNING;
        s->last_reset_ms = last_reset_ms;
        for (enum run_state each = RUN_STATE_UNKNOWN; each <= RUN_STATE_WATCHDOG; each++)
                if (strcmp(run_state_name(each), run_state) == 0)
                        s->run_state = each;
        for (size_t i = 0; i < ARRAY_SIZE(s->panic_restarts); i++)
                s->panic_restarts[i] = json_integer_value(json_array_get(restarts, i));
        return 0;
}

static int take_locks(struct supervisor *s, struct handover *handover, struct error **err)
{
        const json_t *locks = json_object_get(handover->document, "locks"), *each;
        size_t i;

        if (!json_is_array(locks))
                return error_set(err, ERROR_FAILED, "locks is no list");
        json_array_foreach ((json_t *)locks, i, each) {
                const char *name;
                int fd;

                if (handover_string(each, "name", &name, err) < 0 ||
                    handover_take_fd(handover, each, "fd", &fd, err) < 0)
                        return error_wrap(err, "lock %zu", i);
                execution_keep_lock(s->execution, name, fd);
        }
        return 0;
}

static int take_qemu(struct supervisor *s, struct handover *handover, struct adoption *adoption,
                     struct error **err)
{
        const json_t *qemu = json_object_get(handover->document, "qemu");
        json_int_t pid, pid_start;

        if (handover_integer(qemu, "pid", 1, INT32_MAX, &pid, err) < 0 ||
            handover_integer(qemu, "pid_start", 0, INT64_MAX, &pid_start, err) < 0 ||
            handover_bool(qemu, "adopted", &s->adopted, err) < 0 ||
            handover_take_fd(handover, qemu, "pidfd", &adoption->pidfd, err) < 0 ||
            handover_take_fd_if(handover, qemu, "stderr", &adoption->stderr_fd, err) < 0)
                return error_wrap(err, "qemu");
        s->pid = adoption->pid = adoption->last_pid = (pid_t)pid;
        s->pid_start = (unsigned long long)pid_start;
        return 0;
}

static int take_wire(struct supervisor *s, struct handover *handover, struct error **err)
{
        const json_t *qmp = json_object_get(handover->document, "qmp"),
                     *agent = json_object_get(handover->document, "agent");
        struct wire_state wire = { .qmp = json_object_get(qmp, "state"), .agent_fd = -1 };
        const char *state;
        json_int_t connected_ms;

        if (handover_integer(qmp, "connected_ms", INT64_MIN, INT64_MAX, &connected_ms, err) < 0)
                return error_wrap(err, "qmp");
        s->connected_ms = connected_ms;
        if (!json_is_null(agent)) {
                if (handover_string(agent, "state", &state, err) < 0 ||
                    handover_bool(agent, "open", &wire.agent_open, err) < 0 ||
                    handover_bool(agent, "sync_time", &wire.sync_time, err) < 0)
                        return error_wrap(err, "agent");
                for (enum agent_state each = AGENT_NONE; each <= AGENT_SILENT; each++)
                        if (strcmp(agent_state_name(each), state) == 0)
                                s->agent = each;
                if (handover_take_fd(handover, agent, "fd", &wire.agent_fd, err) < 0)
                        return error_wrap(err, "agent");
        }
        if (handover_take_fd(handover, qmp, "fd", &wire.qmp_fd, err) < 0) {
                fd_close(&wire.agent_fd);
                return error_wrap(err, "qmp");
        }
        return wire_resume(s, &wire, err);
}

/* What the last program wrote, and where the locks and connections are. */
static int take_state(struct supervisor *s, struct handover *handover, struct adoption *adoption,
                      struct control_call **ret_call, struct error **err)
{
        const json_t *document = handover->document;
        const json_t *record = json_object_get(document, "record");
        const struct execution_options how = {
                .vm = s->vm, .generation = s->generation, .cgroup = &s->options->host->cgroup, .fail_step = -1
        };
        _cleanup_close_ int run_dirfd = openat(s->vm->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (run_dirfd < 0)
                return error_os(err, errno, "open the directory of the VMs");
        if (take_qemu(s, handover, adoption, err) < 0)
                return -1;
        adoption->record = json_incref((json_t *)record);
        adoption->plan = adoption_plan(&s->options->site->paths, s->vm, adoption);
        s->plan = adoption->plan;
        crash_points_init(run_dirfd);
        supervisor_hear_signals(s);
        unit_begin(s);
        agent_begin(s);
        supervisor_open_log(s);
        unit_log(s);
        s->execution = execution_adopt(s->plan, &how, s->pid, TAKE_FD(adoption->pidfd),
                                       TAKE_FD(adoption->stderr_fd), NULL, NULL);
        s->pidfd = execution_qemu_pidfd(s->execution);
        s->agent = s->plan->policy.has_agent ? AGENT_ABSENT : AGENT_NONE;
        if (take_locks(s, handover, err) < 0 || take_guest(s, json_object_get(document, "guest"), err) < 0 ||
            take_wire(s, handover, err) < 0 ||
            supervisor_resume_control(s, json_object_get(document, "control"), handover, ret_call, err) < 0 ||
            handover_take_fd_if(handover, document, "keeper", &s->keeper_fd, err) < 0)
                return -1;
        return 0;
}

static void begin(struct supervisor *s, const json_t *document, struct control_call *call)
{
        const char *who = json_member_string(document, "who");
        const char *version = json_member_string(document, "version");
        _cleanup_free_ char *shown_who = text_printable(who ? who : "somebody"),
                            *shown = text_printable(version ? version : "?"),
                            *program = text_printable(s->program ? s->program : "?");

        s->child = loop_add_child(s->loop, s->pidfd, supervisor_on_child, s);
        keeper_attend(s, false);
        steps_attend(s, true);
        supervisor_tell_as_told(s);
        /* It may still have been waiting for the agent. */
        unit_ready(s);
        supervisor_story(s, "re-executed as version %s ('%s') from version %s, asked for by %s",
                         VMLAUNCH_VERSION, program, shown, shown_who);
        supervisor_flush(s);
        if (call)
                control_answer(call,
                               json_pack("{s:s, s:s, s:i, s:o}", "version", VMLAUNCH_VERSION, "last_version",
                                         shown, "supervisor_pid", (int)getpid(), "program",
                                         story_string(s->program)),
                               NULL);
}

int supervisor_take_over(struct vm_dir *vm, struct handover *handover,
                         const struct supervisor_options *options, struct error **err)
{
        const json_t *document = handover->document, *record = json_object_get(document, "record");
        const char *generation = json_member_string(record, "generation");
        const char *started = json_member_string(record, "started");
        json_t *warnings = json_object_get(record, "warnings");
        struct adoption adoption = ADOPTION_INIT;
        struct control_call *call = NULL;
        struct supervisor s;
        int status;

        if (!json_is_object(record) || !generation || !*generation ||
            !json_is_string(json_object_get(record, "uuid")))
                return error_set(err, ERROR_FAILED, "the state has no record");
        s = (struct supervisor){
                .options = options,
                .loop = loop_new(),
                .vm = vm,
                .generation = xstrdup(generation),
                .log_fd = -1,
                .ready_fd = -1,
                .keeper_fd = -1,
                .unit_listener = -1,
                .pidfd = -1,
                .lowered = true,
                .program = reexec_own_program(),
                .story = adopt_story_of(record),
                .warnings = json_is_array(warnings) ? json_incref(warnings) : json_array(),
                .started = started ? xstrdup(started) : story_now(),
        };
        s.end.ready = true;
        s.signalled = json_member_is_true(document, "signalled");
        s.last_change = json_member_integer(record, "last_change");
        s.changed_by_hand = json_member_is_true(record, "changed_by_hand");
        /* What was taken until it fails is left as it is: the caller executes another program. */
        if (take_state(&s, handover, &adoption, &call, err) < 0)
                return -1;
        begin(&s, document, call);
        handover_done(handover);
        status = supervisor_loop(&s, true);
        adoption_done(&adoption);
        return status;
}
