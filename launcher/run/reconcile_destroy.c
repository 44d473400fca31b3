#include "launcher/run/reconcile.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "cgroups/cgroup_plan.h"
#include "launcher/run/adopt.h"
#include "launcher/run/confine.h"
#include "launcher/run/orphan.h"
#include "launcher/run/reconcile_parts.h"
#include "launcher/run/survey.h"
#include "launcher/state/crash_point.h"

#define KILL_DEADLINE_MS 5000

bool orphan_exists(const struct site *site, const char *name)
{
        _cleanup_vm_dir_ struct vm_dir *vm = NULL;
        _cleanup_error_ struct error *ignored = NULL;
        pid_t pid;

        return vm_dir_open(&site->paths, name, &vm, &ignored) == 0 && !vm_dir_is_at_rest(vm) &&
               !vm_dir_is_locked(vm, NULL) && vm_qemu_lives(site, vm, 0, &pid, NULL, &ignored) > 0;
}

/* The undo below works by the journal alone. */
static int repair(const struct site *site, const struct vm_dir *vm, struct error **err)
{
        _cleanup_adoption_ struct adoption adoption = ADOPTION_INIT;

        return adoption_read(site, vm, &adoption, err) < 0 ? -1 : adoption_repair(vm, &adoption, err);
}

int orphan_destroy(const struct site *site, const struct cgroup_host *cgroup, const char *name,
                   undo_line_fn *line, void *data, struct error **err)
{
        _cleanup_vm_dir_ struct vm_dir *vm = NULL;
        _cleanup_locked_vm_dir_ struct vm_dir *locked = NULL;
        struct teller teller = { .vm = name, .what = "undone: ", .line = line, .data = data };
        const struct verdict asked = { .kind = VERDICT_ASKED,
                                       .exit_status = verdict_exit_status(VERDICT_ASKED),
                                       .reason = (char[]){ "destroyed as asked, without its supervisor" } };
        json_auto_t *record = NULL;
        pid_t pid = 0;
        int lives, closed;

        if (vm_dir_open(&site->paths, name, &vm, err) < 0 ||
            vm_dir_lock_briefly(&site->paths, name, &locked, err) < 0)
                return -1;
        lives = vm_qemu_lives(site, locked, 0, &pid, NULL, err);
        if (lives <= 0)
                return lives < 0 ? -1 : error_set(err, ERROR_NOT_RUNNING, "'%s' is not running", name);
        closed = lost_run_is_closed(locked, &record);
        if (repair(site, locked, err) < 0 || lost_run_clean_up(locked, cgroup, &teller, err) < 0)
                return -1;
        if (!closed && lost_run_close(locked, record, &asked, err) < 0)
                return -1;
        lost_run_leave(TAKE_PTR(locked));
        return 0;
}

static int kill_stray(const struct survey_process *process, struct error **err)
{
        _cleanup_close_ int pidfd = survey_process_open(process, err);

        /* It has ended meanwhile. */
        if (pidfd < 0)
                return *err ? -1 : 0;
        if (confine_send_signal(pidfd, SIGKILL, err) < 0)
                return -1;
        crash_point(CRASH_QEMU_SIGNALLED);
        if (fd_wait(pidfd, POLLIN, fd_now_ms() + KILL_DEADLINE_MS) > 0)
                return 0;
        return error_set(err, ERROR_DEADLINE,
                         "process %d does not end %d s after SIGKILL: a kernel call holds it (dead storage?)",
                         (int)process->pid, KILL_DEADLINE_MS / 1000);
}

/* Under the VM's lock, and only while the group is what was seen: a start may have made it anew meanwhile. 1: what was in
 * it is ended; 0: it is another one, or empty; -1: *err. */
static int kill_group(const struct site *site, const struct cgroup_host *cgroup, const char *name,
                      const struct cgroup_found *seen, struct error **err)
{
        _cleanup_(cgroup_found_done) struct cgroup_found now = { 0 };
        _cleanup_locked_vm_dir_ struct vm_dir *vm = NULL;

        if (vm_dir_lock_briefly(&site->paths, name, &vm, err) < 0) {
                if ((*err)->code != ERROR_BUSY)
                        return -1;
                /* Its start takes care of it. */
                error_free(TAKE_PTR(*err));
                return 0;
        }
        if (cgroup_look(cgroup, seen->path, &now, err) <= 0)
                return *err ? -1 : 0;
        if (!now.mark || strcmp(now.mark, seen->mark) != 0 || !now.n_pids)
                return 0;
        crash_point(CRASH_ORPHAN_REMOVE);
        return cgroup_remove(cgroup, seen->path, KILL_DEADLINE_MS, err) < 0 ? -1 : 1;
}

int strays_destroy(const struct site *site, const struct cgroup_host *cgroup, const char *name,
                   undo_line_fn *line, void *data, struct error **err)
{
        const struct survey_options options = { .site = site, .cgroup = cgroup, .vm = name };
        const struct reconcile_request rest = { .site = site, .cgroup = cgroup, .name = name };
        struct teller teller = { .vm = name, .what = "", .line = line, .data = data };
        _cleanup_orphans_ struct orphans orphans = { 0 };
        int killed = 0, done;
        size_t n;

        if (orphans_look_for(&options, &orphans, err) < 0)
                return -1;
        for (size_t i = 0; i < orphans.n; i++) {
                const struct orphan *orphan = &orphans.items[i];
                _cleanup_free_ char *said = xasprintf("killed: %s", orphan->what);

                if (!orphan->kept || (orphan->kind != ORPHAN_QEMU && orphan->kind != ORPHAN_CGROUP))
                        continue;
                crash_point(CRASH_ORPHAN_REMOVE);
                /* Who has overwritten its command line is in the group. */
                if (orphan->kind == ORPHAN_QEMU)
                        done = kill_stray(&orphans.survey.processes[orphan->at], err) < 0 ? -1 : 1;
                else
                        done = kill_group(site, cgroup, name, &orphans.survey.groups[orphan->at], err);
                if (done < 0)
                        return error_wrap(err, "destroy '%s'", name);
                if (!done)
                        continue;
                teller_say(teller, said);
                killed++;
        }
        if (killed) {
                struct reconcile_request request = rest;

                request.line = line;
                request.data = data;
                if (reconcile_orphans(&request, teller, &n, err) < 0)
                        return -1;
        }
        return killed;
}
