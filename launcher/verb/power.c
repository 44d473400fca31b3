/* shutdown, destroy, reboot, reset, suspend, resume: what ends, restarts or stops a running guest. */
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/log.h"
#include "base/number.h"
#include "base/text.h"
#include "conf/spec_build.h"
#include "launcher/live/control_client.h"
#include "launcher/run/reconcile.h"
#include "launcher/run/stuck.h"
#include "launcher/state/state_dir.h"
#include "launcher/verb/autostart.h"
#include "launcher/verb/instance.h"
#include "launcher/verb/interrupt.h"
#include "launcher/verb/output.h"
#include "launcher/verb/verbs.h"
#include "launcher/verb/vm_find.h"

/* Beyond the VM's own deadline: undo on a busy host. */
#define END_GRACE_MS 15000

struct vm_connection {
        char *name;
        struct control_client *client;
};

static void vm_connection_done(struct vm_connection *connection)
{
        control_client_free(connection->client);
        free(connection->name);
}

static int vm_connect(const struct verb_context *context, const char *argument, struct vm_connection *ret,
                      struct error **err)
{
        if (vm_find(&context->site->paths, argument, &ret->name, err) < 0)
                return -1;
        return control_client_open(&context->site->paths, ret->name, &ret->client, err);
}

/* What the events of an end or a restart have said. */
struct outcome {
        char *verdict, *reason, *result;
        pid_t pid; /* of a QEMU that is stuck */
};

static void outcome_done(struct outcome *outcome)
{
        free(outcome->verdict);
        free(outcome->reason);
        free(outcome->result);
}

static bool on_event(const char *name, json_t *data, void *user)
{
        struct outcome *outcome = user;
        const char *verdict = json_member_string(data, "verdict");
        const char *reason = json_member_string(data, "reason");
        const char *text = json_member_string(data, "text");

        if (!name)
                return true;
        if (strcmp(name, "VMLAUNCH_STORY") == 0 && text)
                log_info("%s", text);
        if (strcmp(name, "VMLAUNCH_END") == 0) {
                outcome->verdict = xstrdup(verdict ? verdict : "unknown");
                outcome->reason = xstrdup_null(reason);
                /* The locks are free when the connection ends: `destroy` and `start` may follow each other. */
                return false;
        }
        if (strcmp(name, "VMLAUNCH_SHUTDOWN") == 0) {
                outcome->result = xstrdup_null(json_member_string(data, "result"));
                outcome->reason = xstrdup_null(reason);
                outcome->pid = (pid_t)json_member_integer(data, "pid");
                return true;
        }
        return false;
}

/* A word for programs, and a sentence's end for people. */
struct deed {
        const char *result, *did;
};

static void report(const struct verb_context *context, const char *name, const struct deed *deed,
                   const struct outcome *outcome)
{
        if (context->output != OUTPUT_TABLE)
                output_object(json_pack("{s:i, s:s, s:s, s:s?, s:s?}", "schema", 1, "name", name, "result",
                                        deed->result, "verdict", outcome ? outcome->verdict : NULL, "reason",
                                        outcome ? outcome->reason : NULL),
                              context->output);
        else if (!context->quiet)
                printf("%s %s%s%s\n", name, deed->did, outcome && outcome->verdict ? ": " : "",
                       outcome && outcome->verdict ? outcome->verdict : "");
}

/* The record is written before its readers are told, and a slow one is not waited for: the last word is there. */
static void read_end(const struct verb_context *context, const char *name, struct outcome *outcome)
{
        _cleanup_error_ struct error *ignored = NULL;
        json_auto_t *record = NULL;
        struct vm_dir *vm = NULL;
        const char *state = NULL, *verdict = NULL, *reason = NULL;

        if (vm_dir_open(&context->site->paths, name, &vm, &ignored) < 0)
                return;
        if (record_read(vm->fd, &record, &ignored) == 0 &&
            json_unpack(record, "{s:s, s:s, s?:s}", "state", &state, "verdict", &verdict, "reason",
                        &reason) == 0 &&
            strcmp(state, "stopped") == 0) {
                outcome->verdict = xstrdup(verdict);
                outcome->reason = xstrdup_null(reason);
        }
        vm_dir_release(vm, true);
}

/* What the guest was asked cannot be taken back, and its deadline is the supervisor's. */
static void arm(const struct verb_context *context, const char *name)
{
        _cleanup_free_ char *hint = xasprintf("it has been asked, and its deadline runs on: "
                                              "`vmlaunch status %s` shows what becomes of it",
                                              name);

        interrupt_arm(context, hint, "%s '%s': not waiting for it", context->verb->name, name);
}

/* It has been asked, and *ret_deadline is when it will have ended or not. */
static int ask(const struct verb_context *context, const char *argument, json_t *arguments,
               struct vm_connection *vm, long long *ret_deadline, struct error **err)
{
        json_auto_t *reply = NULL;

        if (vm_connect(context, argument, vm, err) < 0)
                return -1;
        if (control_client_call(vm->client, "vmlaunch-shutdown", json_incref(arguments), &reply, err) < 0)
                return error_wrap(err, "%s '%s'", context->verb->name, vm->name);
        *ret_deadline = fd_now_ms() + END_GRACE_MS +
                        (long long)(json_number_value(json_object_get(reply, "timeout")) * 1000);
        return 0;
}

static int await_end(const struct verb_context *context, const struct vm_connection *connection,
                     long long deadline, const struct deed *deed, struct error **err)
{
        const struct vm_connection vm = *connection;
        _cleanup_(outcome_done) struct outcome outcome = { 0 };

        if (control_client_wait(vm.client, deadline, on_event, &outcome, err) < 0)
                return error_wrap(err, "%s '%s'", context->verb->name, vm.name);
        if (outcome.result && strcmp(outcome.result, "stuck") == 0) {
                /* Root sees more of another uid's process than the supervisor, which has laid its rights down. */
                _cleanup_free_ char *where = outcome.pid > 0 ? stuck_where(outcome.pid) : NULL;

                error_set(err, ERROR_DEADLINE,
                          "%s '%s': stuck-in-kernel: QEMU (pid %d) was killed and does not end: %s",
                          context->verb->name, vm.name, (int)outcome.pid,
                          where            ? where
                          : outcome.reason ? outcome.reason
                                           : "a kernel call holds it");
                return error_hint(
                        err, "its supervisor undoes the rest when it ends; look at the storage and 'dmesg'");
        }
        if (outcome.result && strcmp(outcome.result, "rebooted") != 0) {
                bool late = strcmp(outcome.result, "refused") == 0;

                error_set(err, late ? ERROR_DEADLINE : ERROR_GUEST, "%s '%s': %s", context->verb->name,
                          vm.name,
                          outcome.reason ? outcome.reason
                          : late         ? "the guest did not obey in time"
                                         : "the guest did not obey");
                if (late)
                        error_hint(err, "it is running again; `vmlaunch destroy %s` ends it at once",
                                   vm.name);
                return -1;
        }
        if (!outcome.verdict && !outcome.result)
                read_end(context, vm.name, &outcome);
        if (!outcome.verdict && !outcome.result)
                return error_set(err, ERROR_DISCONNECTED, "%s '%s': its supervisor went away",
                                 context->verb->name, vm.name);
        report(context, vm.name, deed, &outcome);
        return 0;
}

static int ask_and_wait(struct verb_context *context, json_t *arguments_consume, bool block,
                        const struct deed *deed, struct error **err)
{
        _cleanup_(vm_connection_done) struct vm_connection vm = { 0 };
        json_auto_t *arguments = arguments_consume;
        long long deadline;

        if (ask(context, context->args[0], arguments, &vm, &deadline, err) < 0)
                return -1;
        if (!block) {
                report(context, vm.name, &(struct deed){ "asked", "has been asked" }, NULL);
                return 0;
        }
        arm(context, vm.name);
        return await_end(context, &vm, deadline, deed, err);
}

/* VMs of one order: all are asked before one is waited for. */
static void shut_down_together(const struct verb_context *context, const struct autostart_vm *vms, size_t n,
                               json_t *arguments, struct error **err)
{
        struct vm_connection *connections = xcalloc(n, sizeof(*connections));
        long long *deadlines = xcalloc(n, sizeof(*deadlines));

        for (size_t i = 0; i < n; i++) {
                struct error *one = NULL;

                if (ask(context, vms[i].name, arguments, &connections[i], &deadlines[i], &one) < 0)
                        error_append(err, one);
                else
                        continue;
                vm_connection_done(&connections[i]);
                connections[i] = (struct vm_connection){ 0 };
        }
        for (size_t i = 0; i < n; i++) {
                struct error *one = NULL;

                if (connections[i].client && await_end(context, &connections[i], deadlines[i],
                                                       &(struct deed){ "off", "is off" }, &one) < 0)
                        error_append(err, one);
                vm_connection_done(&connections[i]);
        }
        free(connections);
        free(deadlines);
}

static int shut_down_all(const struct verb_context *context, json_t *arguments, struct error **err)
{
        struct autostart_vm *vms = NULL;
        size_t n = 0, group;

        if (autostart_running(context->site, &vms, &n, err) < 0)
                return -1;
        /* The other way round than they are started. */
        for (size_t end = n; end > 0; end = group) {
                group = end - 1;
                while (group > 0 && vms[group - 1].order == vms[end - 1].order)
                        group--;
                shut_down_together(context, vms + group, end - group, arguments, err);
        }
        autostart_free(vms, n);
        return *err ? -1 : 0;
}

static int add_mode(const struct verb_context *context, json_t *arguments, struct error **err)
{
        const char *mode = verb_value(context, "mode");

        if (!mode)
                return 0;
        if (strcmp(mode, "auto") != 0 && strcmp(mode, "agent") != 0 && strcmp(mode, "acpi") != 0)
                return error_set(err, ERROR_USAGE, "--mode takes auto, agent or acpi, not '%s'", mode);
        json_object_set_new(arguments, "mode", json_string(mode));
        return 0;
}

static void add_timeout(const struct verb_context *context, json_t *arguments)
{
        if (context->timeout_s >= 0)
                json_object_set_new(arguments, "timeout",
                                    json_integer((json_int_t)number_ceil(context->timeout_s)));
}

int verb_shutdown(struct verb_context *context, struct error **err)
{
        json_auto_t *arguments = json_object();

        if (add_mode(context, arguments, err) < 0)
                return -1;
        add_timeout(context, arguments);
        if (verb_flag(context, "force"))
                json_object_set_new(arguments, "force", json_true());
        if (verb_flag(context, "all") == (context->n_args > 0) ||
            (verb_flag(context, "all") && verb_flag(context, "no-block")))
                return error_set(err, ERROR_USAGE, "shutdown takes a VM, or --all, which waits");
        if (verb_flag(context, "all"))
                return shut_down_all(context, arguments, err);
        return ask_and_wait(context, json_incref(arguments), !verb_flag(context, "no-block"),
                            &(struct deed){ "off", "is off" }, err);
}

int verb_reboot(struct verb_context *context, struct error **err)
{
        json_auto_t *arguments = json_pack("{s:b}", "reboot", 1);

        if (add_mode(context, arguments, err) < 0)
                return -1;
        add_timeout(context, arguments);
        return ask_and_wait(context, json_incref(arguments), !verb_flag(context, "no-block"),
                            &(struct deed){ "restarted", "has restarted" }, err);
}

static void print_line(const char *line, void *data)
{
        const struct verb_context *context = data;

        if (context->output == OUTPUT_TABLE && !context->quiet)
                printf("%s\n", line);
}

/* QEMU lives but nobody supervises it: its own journal says how to end it. */
static int destroy_orphan(struct verb_context *context, const char *name, struct error **err)
{
        _cleanup_cgroup_host_ struct cgroup_host cgroup = { 0 };

        if (cgroup_host_read("", &cgroup, err) < 0)
                return -1;
        if (orphan_destroy(context->site, &cgroup, name, print_line, context, err) < 0)
                return -1;
        if (context->output != OUTPUT_TABLE)
                report(context, name, &(struct deed){ "gone", "is gone" }, NULL);
        return 0;
}

/* Of a VM that nobody runs. 1: there was a QEMU of an earlier run, which nobody knew; 0: none. */
static int destroy_strays(struct verb_context *context, const char *name, struct error **err)
{
        _cleanup_cgroup_host_ struct cgroup_host cgroup = { 0 };
        int killed;

        if (!instance_is_own(context->site))
                return 0;
        if (cgroup_host_read("", &cgroup, err) < 0)
                return -1;
        killed = strays_destroy(context->site, &cgroup, name, print_line, context, err);
        if (killed > 0 && context->output != OUTPUT_TABLE)
                report(context, name, &(struct deed){ "gone", "is gone" }, NULL);
        return killed;
}

int verb_destroy(struct verb_context *context, struct error **err)
{
        _cleanup_error_ struct error *error = NULL, *unknown = NULL;
        _cleanup_free_ char *name = NULL;
        int status = ask_and_wait(context, json_pack("{s:s}", "mode", "destroy"), true,
                                  &(struct deed){ "gone", "is gone" }, &error);

        if (status >= 0)
                return status;
        if (error->code == ERROR_NOT_RUNNING || error->code == ERROR_NO_SUCH_VM) {
                if (vm_find(&context->site->paths, context->args[0], &name, &unknown) < 0 &&
                    spec_name_is_valid(context->args[0]))
                        name = xstrdup(context->args[0]);
                if (name && orphan_exists(context->site, name))
                        return destroy_orphan(context, name, err) < 0 ? -1 : 0;
                status = name ? destroy_strays(context, name, err) : 0;
                if (status)
                        return status < 0 ? -1 : 0;
        }
        *err = TAKE_PTR(error);
        return -1;
}

static int power(struct verb_context *context, const char *command, const struct deed *deed,
                 struct error **err)
{
        _cleanup_(vm_connection_done) struct vm_connection vm = { 0 };

        if (vm_connect(context, context->args[0], &vm, err) < 0)
                return -1;
        if (control_client_call(vm.client, command, NULL, NULL, err) < 0)
                return error_wrap(err, "%s '%s'", context->verb->name, vm.name);
        report(context, vm.name, deed, NULL);
        return 0;
}

int verb_reset(struct verb_context *context, struct error **err)
{
        return power(context, "system_reset", &(struct deed){ "reset", "was reset" }, err);
}

int verb_suspend(struct verb_context *context, struct error **err)
{
        return power(context, "stop", &(struct deed){ "paused", "is paused" }, err);
}

int verb_resume(struct verb_context *context, struct error **err)
{
        return power(context, "cont", &(struct deed){ "running", "is running" }, err);
}
