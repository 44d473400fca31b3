#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/log.h"
#include "launcher/run/generation.h"
#include "launcher/run/supervisor_parts.h"
#include "launcher/state/crash_point.h"

/* From connect() to the end of the negotiation; QEMU may still be loading its libraries. */
#define GREETING_MS 10000u
/* A QEMU that starts and hangs up has so long to end. */
#define LOST_AT_START_MS 2000u
/* Each one is passed on to every client, and some write the record. QEMU limits most kinds itself, but not those of a
 * disk's errors: a burst of them must not hold up the replies behind it. */
#define EVENTS_BURST      6000
#define EVENTS_PER_SECOND 300
/* A connection older than this was a good one. */
#define STABLE_MS 60000

static int connect_at(int dirfd, const char *name, int *ret_fd, struct error **err)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0)
                return error_os(err, errno, "make a socket for '%s'", name);
        /* RUN/NAME may be longer than the 108 bytes of sun_path (unix(7)). */
        snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dirfd, name);
        /* waits: not at all, EAGAIN for a queue that is full */
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return error_os(err, errno, "connect to '%s'", name);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

bool wire_is_up(const struct supervisor *s)
{
        return s->qmp && qmp_client_is_ready(s->qmp);
}

static void set_silent(struct supervisor *s, bool silent)
{
        loop_remove(s->loop, s->silence_timer);
        s->silence_timer = NULL;
        if (s->silent == silent)
                return;
        s->silent = silent;
        supervisor_story(s, silent ? "QEMU does not answer" : "QEMU answers again");
        supervisor_changed(s);
        if (!silent)
                compare_adopted(s);
}

static void on_silence(void *data)
{
        struct supervisor *s = data;

        s->silence_timer = NULL;
        set_silent(s, true);
}

void wire_overdue(struct supervisor *s)
{
        unsigned wait_ms = silence_wait_ms(&s->silence, fd_now_ms());

        if (s->silent || s->silence_timer || !wire_is_up(s))
                return;
        if (wait_ms)
                s->silence_timer = loop_add_deadline(s->loop, wait_ms, on_silence, s);
        else
                set_silent(s, true);
}

static void on_reconnect(void *data);

void wire_try(struct supervisor *s)
{
        on_reconnect(s);
}

static void on_late(const char *command, json_int_t id, json_t *reply, void *data)
{
        struct supervisor *s = data;

        if (s->applies)
                applies_try_again(s->applies);
        if (s->control && control_late(s->control, command, id, reply))
                supervisor_story(s, "%s was answered after its deadline: %s", command,
                                 json_object_get(reply, "error") ? "it failed" : "it is done");
        /* The effect that was unknown is settled by asking. */
        if (s->state < VM_QUITTING && s->state != VM_STARTING && wire_is_up(s))
                ops_query_status(s->qmp, heard_status, s);
}

static void send_step(struct supervisor *s, const struct plan_step *step);

void wire_step_failed(struct supervisor *s, const struct error *error, const char *what)
{
        struct error *failed;

        /* A QEMU that ended has more to say on its stderr. */
        if (error->code == ERROR_DISCONNECTED)
                return;
        failed = error_copy(error);
        if (what)
                error_wrap(&failed, "%s", what);
        supervisor_start_failed(s, failed);
}

void wire_step_done(struct supervisor *s)
{
        if (--s->steps_waiting > 0)
                return;
        if (s->cont_step < s->plan->n_steps) {
                const struct plan_step *step = &s->plan->steps[s->cont_step];

                s->cont_step = s->plan->n_steps;
                send_step(s, step);
                crash_point(CRASH_CONT_SENT);
        } else {
                execution_close_passed(s->execution, true);
                supervisor_event(s, EV_READY);
        }
}

static void on_step(json_t *reply, const struct error *error, void *data)
{
        struct supervisor *s = data;

        if (s->state != VM_STARTING)
                return;
        if (!reply) {
                wire_step_failed(s, error, "a QMP command of the plan");
                return;
        }
        crash_point_effect(plan_effect_name(EFFECT_QMP), CRASH_DONE);
        wire_step_done(s);
}

static void send_step(struct supervisor *s, const struct plan_step *step)
{
        json_auto_t *args = generation_fill_json(step->args, s->generation);
        const char *command = json_member_string(args, "execute");
        json_t *arguments = json_object_get(args, "arguments");
        const char *fd_name = json_member_string(args, "fd");
        int fd = fd_name ? execution_fd(s->execution, fd_name) : -1;

        crash_point_effect(plan_effect_name(EFFECT_QMP), CRASH_DO);
        s->steps_waiting++;
        qmp_client_call(s->qmp, command, json_incref(arguments), QMP_MUTATE, &fd, fd >= 0, on_step, s);
}

static void send_steps(struct supervisor *s)
{
        size_t last = s->plan->n_steps;

        for (size_t i = 0; i < s->plan->n_steps; i++)
                if (s->plan->steps[i].effect == EFFECT_QMP)
                        last = i;
        s->cont_step = last;
        affinity_begin(s);
        /* All but cont at once; the guest runs when none of them failed. */
        for (size_t i = 0; i < last && last < s->plan->n_steps; i++)
                if (s->plan->steps[i].effect == EFFECT_QMP)
                        send_step(s, &s->plan->steps[i]);
        if (s->steps_waiting == 0 && last < s->plan->n_steps) {
                s->cont_step = s->plan->n_steps;
                send_step(s, &s->plan->steps[last]);
                crash_point(CRASH_CONT_SENT);
        }
}

static void on_ready(json_t *greeting, void *data)
{
        struct supervisor *s = data;

        if (s->control)
                control_set_greeting(s->control, greeting);
        s->connected_ms = fd_now_ms();
        crash_point(CRASH_QMP_CONNECTED);
        if (s->applies)
                applies_try_again(s->applies);
        if (s->state == VM_STARTING) {
                if (s->adopted)
                        adopt_settle_start(s);
                else
                        send_steps(s);
                if (heard_has_pty(s))
                        heard_ask_chardevs(s);
                adopt_let_in(s);
                return;
        }
        /* The connection was made anew: what happened in the gap is not known. */
        supervisor_story(s, "QMP is connected again");
        s->lost_told = false;
        ops_query_status(s->qmp, heard_status_anew, s);
        heard_ask_chardevs(s);
        leases_try_again(s->leases);
        compare_adopted(s);
        supervisor_changed(s);
        adopt_let_in(s);
}

static void reconnect_later(struct supervisor *s);

static void on_reconnect(void *data)
{
        struct supervisor *s = data;
        _cleanup_error_ struct error *err = NULL;

        s->reconnect = NULL;
        if (wire_connect(s, &err) < 0) {
                log_debug("%s: %s", s->plan->name, err->message);
                reconnect_later(s);
        }
}

/* 50 ms, doubled each time, at most 30 s. QEMU lives and is authoritative: giving up is not for us. */
static void reconnect_later(struct supervisor *s)
{
        unsigned wait_ms = s->reconnects > 9 ? 30000 : 50u << s->reconnects;

        if (s->reconnects < 100)
                s->reconnects++;
        if (s->reconnect)
                return;
        s->reconnect = loop_add_deadline(s->loop, wait_ms, on_reconnect, s);
        /* The first failure is mostly QEMU's own end, which its pidfd says in a moment. */
        if (s->reconnects > 1 && !s->lost_told) {
                supervisor_story(s, "the connection to QEMU is lost, trying again");
                s->lost_told = true;
        }
        if (s->reconnects > 1)
                supervisor_changed(s);
}

static void on_lost_at_start(void *data)
{
        struct supervisor *s = data;
        struct error *failed = NULL;

        s->reconnect = NULL;
        error_set(&failed, ERROR_FAILED, "QEMU closed its QMP connection before the guest ran, and lives on");
        supervisor_start_failed(s, failed);
}

static void on_disconnect(const struct error *error, void *data)
{
        struct supervisor *s = data;

        qmp_client_free(s->qmp);
        s->qmp = NULL;
        loop_remove(s->loop, s->silence_timer);
        s->silence_timer = NULL;
        if (s->control)
                control_disconnected(s->control);
        if (s->exited) {
                /* All it had to say has been read. */
                supervisor_event(s, EV_QEMU_EXITED);
                return;
        }
        /* One that is lost again and again is not made anew at full speed. */
        if (s->connected_ms && fd_now_ms() - s->connected_ms > STABLE_MS)
                s->reconnects = 0;
        if (s->state == VM_STARTING && !s->adopted && error->code == ERROR_DEADLINE) {
                struct error *failed = NULL;

                error_set(&failed, ERROR_DEADLINE, "QEMU has not greeted in %u s", GREETING_MS / 1000);
                supervisor_start_failed(s, failed);
        } else if (s->state == VM_STARTING && !s->adopted && error->code != ERROR_DISCONNECTED) {
                struct error *failed = error_copy(error);

                error_wrap(&failed, "QMP");
                supervisor_start_failed(s, failed);
        } else if (s->state == VM_STARTING && !s->adopted) {
                /* Mostly QEMU's own end, and its stderr and status say more. */
                s->reconnect = loop_add_deadline(s->loop, LOST_AT_START_MS, on_lost_at_start, s);
        } else if (s->state < VM_QUITTING) {
                reconnect_later(s);
        }
}

static void on_qmp_wire(bool sent, const json_t *message, void *data)
{
        struct supervisor *s = data;

        recorder_message(s->recorder, "qmp", sent, message);
        if (sent) {
                silence_sent(&s->silence, fd_now_ms());
                return;
        }
        silence_heard(&s->silence, fd_now_ms());
        if (s->state < VM_GONE)
                set_silent(s, false);
}

static void on_agent_wire(bool sent, const json_t *message, void *data)
{
        struct supervisor *s = data;

        recorder_message(s->recorder, "agent", sent, message);
}

static const struct qmp_client_handlers qmp_handlers = {
        .on_ready = on_ready,
        .on_event = heard_event,
        .on_late = on_late,
        .on_disconnect = on_disconnect,
};

static void take_agent_socket(struct supervisor *s, int fd_consume)
{
        /* Its end is QEMU's end, which is seen elsewhere. */
        s->qga = qga_client_new(s->loop, fd_consume, NULL, NULL);
        qga_client_set_tap(s->qga, on_agent_wire, s);
        qga_client_set_open(s->qga, false);
}

int wire_resume(struct supervisor *s, const struct wire_state *state_consume, struct error **err)
{
        if (state_consume->agent_fd >= 0)
                take_agent_socket(s, state_consume->agent_fd);
        s->qmp = qmp_client_resume(s->loop, state_consume->qmp_fd, state_consume->qmp, &qmp_handlers, s, err);
        if (!s->qmp)
                return error_wrap(err, "qmp");
        qmp_client_set_tap(s->qmp, on_qmp_wire, s);
        qmp_client_limit_events(s->qmp, EVENTS_BURST, EVENTS_PER_SECOND);
        ops_query_status(s->qmp, heard_status, s);
        if (state_consume->agent_open)
                heard_agent_open(s, true);
        if (state_consume->sync_time)
                agent_sync_time(s);
        return 0;
}

int wire_connect(struct supervisor *s, struct error **err)
{
        int fd = -1;

        if (connect_at(s->vm->fd, "private/qmp.sock", &fd, err) < 0)
                return -1;
        s->qmp = qmp_client_new(s->loop, fd, GREETING_MS, &qmp_handlers, s);
        qmp_client_set_tap(s->qmp, on_qmp_wire, s);
        qmp_client_limit_events(s->qmp, EVENTS_BURST, EVENTS_PER_SECOND);
        if (!s->plan->policy.has_agent || s->qga)
                return 0;
        if (connect_at(s->vm->fd, "private/agent.sock", &fd, err) < 0)
                return -1;
        s->agent = AGENT_ABSENT;
        take_agent_socket(s, fd);
        return 0;
}

void wire_close(struct supervisor *s)
{
        struct qmp_client *qmp = s->qmp;
        struct qga_client *qga = s->qga;

        /* Callbacks of what is pending run now and must not find the clients. */
        s->qmp = NULL;
        s->qga = NULL;
        qmp_client_free(qmp);
        qga_client_free(qga);
        loop_remove(s->loop, s->reconnect);
        loop_remove(s->loop, s->agent_retry);
        loop_remove(s->loop, s->silence_timer);
        s->reconnect = s->agent_retry = s->silence_timer = NULL;
}
