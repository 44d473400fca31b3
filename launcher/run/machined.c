#include "launcher/run/machined.h"

#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bus.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/process.h"
#include "base/text.h"
#include "cgroups/cgroup_apply.h"
#include "launcher/state/crash_point.h"

#define BUS_MS  5000
#define NAME    "org.freedesktop.machine1"
#define AT      "/org/freedesktop/machine1"
#define MANAGER NAME ".Manager"

static int call_manager(const char *member, const char *signature, const struct argv *words,
                        struct error **err)
{
        const struct bus_call call = { .destination = NAME,
                                       .path = AT,
                                       .interface = MANAGER,
                                       .member = member,
                                       .signature = signature,
                                       .words = words };

        return bus_call(&call, BUS_MS, NULL, err);
}

static bool is_running(struct error **err)
{
        _cleanup_argv_ struct argv words = ARGV_INIT;
        const struct bus_call call = { .destination = "org.freedesktop.DBus",
                                       .path = "/org/freedesktop/DBus",
                                       .interface = "org.freedesktop.DBus",
                                       .member = "NameHasOwner",
                                       .signature = "s",
                                       .words = &words };
        _cleanup_free_ char *has = NULL;

        argv_add(&words, NAME);
        return bus_call(&call, BUS_MS, &has, err) == 0 && strcmp(has, "true") == 0;
}

/* "5ea0e119-..." as the sixteen bytes that "ay" takes. */
static int add_uuid(struct argv *words, const char *uuid)
{
        unsigned n = 0;

        argv_add(words, "16");
        for (const char *at = uuid; *at; at += *at == '-' ? 1 : 2) {
                unsigned byte;

                if (*at == '-')
                        continue;
                if (n++ >= 16 || sscanf(at, "%2x", &byte) != 1)
                        return -1;
                argv_addf(words, "%u", byte);
        }
        return n == 16 ? 0 : -1;
}

int machined_register(const char *name, const char *uuid, pid_t leader, struct error **err)
{
        _cleanup_argv_ struct argv words = ARGV_INIT, old = ARGV_INIT;
        _cleanup_error_ struct error *exists = NULL, *gone = NULL;

        if (!is_running(err))
                return *err ? -1 : 0;
        argv_add(&words, name);
        if (add_uuid(&words, uuid) < 0)
                return error_set(err, ERROR_USAGE, "'%s' is not a UUID", uuid);
        argv_add(&words, "vmlaunch");
        argv_add(&words, "vm");
        argv_addf(&words, "%d", (int)leader);
        argv_add(&words, "");
        if (call_manager("RegisterMachine", "sayssus", &words, &exists) == 0)
                return 0;
        /* That of the QEMU before this one, in the same unit. */
        argv_add(&old, name);
        call_manager("UnregisterMachine", "s", &old, &gone);
        return call_manager("RegisterMachine", "sayssus", &words, err);
}

/* Has a deadline of its own for each call; its end is all there is to see. */
static void on_end(int pidfd, void *data)
{
        (void)data;
        waitid(P_PIDFD, (id_t)pidfd, &(siginfo_t){ 0 }, WEXITED | WNOHANG);
        close(pidfd);
}

void machined_begin(struct loop *loop, const struct launch_plan *plan, pid_t qemu)
{
        struct cgroup_entry no_group = CGROUP_ENTRY_INIT;
        const struct plan_step *step = NULL;
        char pid_text[16];
        int pidfd = -1;
        pid_t pid;

        for (size_t i = 0; i < plan->n_steps; i++)
                if (plan->steps[i].effect == EFFECT_MACHINED)
                        step = &plan->steps[i];
        if (!step)
                return;
        snprintf(pid_text, sizeof(pid_text), "%d", (int)qemu);
        pid = cgroup_entry_fork(&no_group, &pidfd);
        if (pid == 0) {
                char *const argv[] = { (char *)"vmlaunch", (char *)"__machined",
                                       plan->name,         plan->uuid,
                                       pid_text,           NULL };
                static char *const env[] = { NULL };

                syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
                process_signals_default();
                execve("/proc/self/exe", argv, env);
                _exit(127);
        }
        if (pid < 0) {
                log_warning("%s: register with systemd-machined: %s", plan->name, strerror(errno));
                return;
        }
        crash_point(CRASH_MACHINED_ASKED);
        loop_add_child(loop, pidfd, on_end, NULL);
}
