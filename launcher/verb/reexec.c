/* reexec: supervisors that become another version of this program, and what such a program is started as. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/log.h"
#include "base/text.h"
#include "launcher/host/host_facts.h"
#include "launcher/live/control_client.h"
#include "launcher/run/confine.h"
#include "launcher/run/keeper.h"
#include "launcher/run/reexec.h"
#include "launcher/state/state_dir.h"
#include "launcher/verb/instance.h"
#include "launcher/verb/output.h"
#include "launcher/verb/verbs.h"
#include "launcher/verb/vm_find.h"

/* 2 s for the new program's word, 2 s for QEMU, and a busy host. */
#define REEXEC_MS 15000u

/* reexec */

static int ask(const struct verb_context *context, const char *name, json_t **ret_reply, struct error **err)
{
        _cleanup_(control_client_freep) struct control_client *client = NULL;
        const char *program = verb_value(context, "program");
        _cleanup_free_ char *path = program ? realpath(program, NULL) : NULL;

        if (program && !path)
                return error_os(err, errno, "'%s'", program);
        if (control_client_open(&context->site->paths, name, &client, err) < 0)
                return -1;
        if (control_client_call_within(client, "vmlaunch-reexec", json_pack("{s:s*}", "program", path),
                                       REEXEC_MS, ret_reply, err) == 0)
                return 0;
        if ((*err)->code == ERROR_DISCONNECTED)
                error_hint(err,
                           "the new program ended: 'vmlaunch status %s' shows whether its keeper has "
                           "started another supervisor",
                           name);
        return -1;
}

static void say(const struct verb_context *context, const char *name, const json_t *reply, long long last_pid)
{
        const char *version = json_member_string(reply, "version");
        long long pid = json_member_integer(reply, "supervisor_pid");
        _cleanup_free_ char *shown = text_printable(version ? version : "?");

        if (context->output == OUTPUT_TABLE && !context->quiet)
                printf("%s: supervisor is now version %s, %s pid %lld\n", name, shown,
                       pid == last_pid ? "same" : "new", pid);
}

/* One VM; what came of it as JSON in vms. */
static int reexec(const struct verb_context *context, const char *name, json_t *vms, struct error **err)
{
        _cleanup_error_ struct error *ignored = NULL;
        json_auto_t *reply = NULL, *record = NULL;
        json_t *entry = json_pack("{s:s}", "name", name);
        long long last_pid = 0;

        json_array_append_new(vms, entry);
        if (vm_record(&context->site->paths, name, &record, &ignored) == 0)
                last_pid = json_member_integer(record, "supervisor_pid");
        if (ask(context, name, &reply, err) < 0) {
                error_wrap(err, "reexec '%s'", name);
                json_object_set_new(entry, "error", error_to_json(*err));
                return -1;
        }
        json_object_update_missing(entry, reply);
        say(context, name, reply, last_pid);
        return 0;
}

/* Those with a supervisor; each is asked, whatever becomes of the others. */
static int reexec_all(const struct verb_context *context, json_t *vms, struct error **err)
{
        char **names;

        if (vm_dir_names(&context->site->paths, &names, err) < 0)
                return -1;
        for (char **name = names; *name; name++) {
                _cleanup_error_ struct error *ignored = NULL;
                struct error *failed = NULL;
                struct vm_dir *vm = NULL;
                bool runs = vm_dir_open(&context->site->paths, *name, &vm, &ignored) == 0 &&
                            vm_dir_is_locked(vm, NULL);

                vm_dir_release(vm, true);
                if (runs && reexec(context, *name, vms, &failed) < 0)
                        error_append(err, failed);
        }
        names_free(names);
        return *err ? -1 : 0;
}

int verb_reexec(struct verb_context *context, struct error **err)
{
        bool all = verb_flag(context, "all");
        json_t *vms;
        int status;

        if (all == (context->n_args == 1))
                return error_set(err, ERROR_USAGE, "reexec takes a VM or --all");
        vms = json_array();
        if (all) {
                status = reexec_all(context, vms, err);
        } else {
                _cleanup_free_ char *name = NULL;

                status = vm_find(&context->site->paths, context->args[0], &name, err) < 0
                                 ? -1
                                 : reexec(context, name, vms, err);
        }
        if (context->output == OUTPUT_JSON)
                output_json(json_pack("{s:i, s:O}", "schema", 1, "vms", vms));
        else if (all && status == 0 && !json_array_size(vms) && !context->quiet)
                printf("no VM runs\n");
        json_decref(vms);
        return status;
}

/* __reexec */

struct reexecuted {
        const char *name;
        int state_fd, lock_fd, keeper_fd; /* keeper_fd -1: none */
};

static int take_arguments(const struct verb_context *context, struct reexecuted *ret, struct error **err)
{
        uint32_t fds[3] = { 0 };
        bool good = context->n_args == 4, keeper = good && strcmp(context->args[3], "none") != 0;

        for (size_t i = 0; good && i < (keeper ? 3 : 2); i++)
                good = text_parse_u32(context->args[i + 1], &fds[i]) && fds[i] > STDERR_FILENO &&
                       fds[i] <= INT32_MAX && fcntl((int)fds[i], F_SETFD, FD_CLOEXEC) == 0;
        if (!good)
                return error_set(err, ERROR_USAGE,
                                 "__reexec is executed by a supervisor, which leaves its state and fds");
        *ret = (struct reexecuted){ .name = context->args[0],
                                    .state_fd = (int)fds[0],
                                    .lock_fd = (int)fds[1],
                                    .keeper_fd = keeper ? (int)fds[2] : -1 };
        return 0;
}

/*
 * What the last program left is of no use: this VM has to be adopted as if it had been killed. The clients are lost, the
 * lock is not, but for `run`, which takes it again.
 */
static void adopt_instead(const struct verb_context *context, const struct reexecuted *how)
{
        const char *verb = how->keeper_fd >= 0 ? "__adopt" : "run";
        char *with_root[] = { "vmlaunch",   "--root",          (char *)context->root,
                              (char *)verb, (char *)how->name, NULL };
        char *plain[] = { "vmlaunch", (char *)verb, (char *)how->name, NULL };

        if (how->keeper_fd >= 0) {
                int lock_fd = fcntl(how->lock_fd, F_DUPFD_CLOEXEC, KEEPER_LOCK_FD + 1);
                int keeper_fd = fcntl(how->keeper_fd, F_DUPFD_CLOEXEC, KEEPER_LOCK_FD + 1);

                if (lock_fd < 0 || keeper_fd < 0 || dup2(keeper_fd, KEEPER_SOCKET_FD) < 0 ||
                    dup2(lock_fd, KEEPER_LOCK_FD) < 0)
                        return;
        }
        execve("/proc/self/exe", context->root && *context->root ? with_root : plain, environ);
}

/* The VM's directory, with the lock. A lock that it is not stays where it was. */
static int take_vm(const struct verb_context *context, struct reexecuted *how, struct handover *handover,
                   struct vm_dir **ret, struct error **err)
{
        int lock_fd, copy;

        if (handover_take_fd(handover, handover->document, "lock", &lock_fd, err) < 0)
                return -1;
        copy = fcntl(lock_fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        if (vm_dir_take_over(&context->site->paths, how->name, lock_fd, ret, err) < 0) {
                how->lock_fd = copy;
                return -1;
        }
        fd_close(&copy);
        return 0;
}

/* On failure everything is left open: another program is executed next, with the lock. */
static int take_over(struct verb_context *context, struct reexecuted *how, struct error **err)
{
        struct handover handover = { 0 };
        struct host_facts host = { 0 };
        struct supervisor_options options = {
                .host = &host, .ready_fd = -1, .fail_step = -1, .keeper_fd = -1
        };
        json_int_t level = LOG_LEVEL_NOTICE;
        struct vm_dir *vm = NULL;
        int status;

        if (handover_read(how->state_fd, &handover, err) < 0 ||
            handover_bool(handover.document, "foreground", &options.foreground, err) < 0 ||
            handover_integer(handover.document, "log_level", LOG_LEVEL_ERROR, LOG_LEVEL_DEBUG, &level, err) <
                    0 ||
            cgroup_host_read("", &host.cgroup, err) < 0 || take_vm(context, how, &handover, &vm, err) < 0)
                return -1;
        close(how->state_fd);
        log_set_level((enum log_level)level);
        log_set_stderr(options.foreground);
        options.site = context->site;
        status = supervisor_take_over(vm, &handover, &options, err);
        cgroup_host_done(&host.cgroup);
        return status;
}

int verb_reexecuted(struct verb_context *context, struct error **err)
{
        struct reexecuted how = { 0 };
        int status;

        if (!context->n_args) {
                _cleanup_free_ char *word = handover_word();

                output_text(word);
                return 0;
        }
        /* uid 0 has got its capabilities back. */
        if (take_arguments(context, &how, err) < 0 || confine_lower_capabilities(err) < 0)
                return -1;
        prctl(PR_SET_NAME, "vmlaunch");
        status = instance_load(context, &context->site, err);
        if (status == 0)
                status = take_over(context, &how, err);
        if (status >= 0)
                return status;
        error_wrap(err, "take over '%s'", how.name);
        if (context->site)
                adoption_log_failed(context, *err);
        adopt_instead(context, &how);
        error_free(TAKE_PTR(*err));
        return KEEPER_TRY_AGAIN;
}
