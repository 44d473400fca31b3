#include "launcher/run/reconcile.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "base/json_member.h"
#include "base/text.h"
#include "cgroups/cgroup_plan.h"
#include "conf/spec_build.h"
#include "launcher/run/adopt.h"
#include "launcher/run/reconcile_parts.h"
#include "launcher/state/crash_point.h"
#include "launcher/state/instance.h"

void teller_line(const char *line, void *data)
{
        const struct teller *teller = data;
        _cleanup_free_ char *whole =
                xasprintf("%s%s%s%s", teller->vm ?: "", teller->vm ? ": " : "", teller->what, line);

        teller->line(whole, teller->data);
}

void teller_say(struct teller teller, const char *line)
{
        teller.what = "";
        teller_line(line, &teller);
}

/* "machine.lock.new.PID", "clock.new.PID": a start or a supervisor that died while it wrote. */
static void sweep_state(const struct site *site, const char *vm)
{
        _cleanup_free_ char *path = xasprintf("%s/%s", site->paths.state, vm);
        DIR *dir = opendir(path);

        crash_point(CRASH_ORPHAN_REMOVE);
        for (struct dirent *entry; dir && (entry = readdir(dir));)
                if (text_starts_with(entry->d_name, "machine.lock.new.") ||
                    text_starts_with(entry->d_name, "clock.new."))
                        unlinkat(dirfd(dir), entry->d_name, 0);
        if (dir)
                closedir(dir);
}

/* Under the VM's lock. */
static int reconcile_locked(const struct reconcile_request *request, const struct vm_dir *vm,
                            struct teller teller, struct error **err)
{
        bool owed = !journal_is_empty(vm->fd);
        _cleanup_journal_run_ struct journal_run journal = { 0 };
        _cleanup_verdict_ struct verdict unseen = { 0 };
        _cleanup_free_ char *line = NULL;
        json_auto_t *record = NULL;
        int closed;

        closed = lost_run_is_closed(vm, &record);
        if (journal_run_read(vm->fd, &journal, err) < 0)
                return -1;
        /* The group's counters go with it. */
        if (!closed)
                lost_run_judge(record, journal.started, request->cgroup, &unseen);
        teller.what = "undone: ";
        if (lost_run_clean_up(vm, request->cgroup, &teller, err) < 0)
                return -1;
        sweep_state(request->site, vm->name);
        instance_sweep(&request->site->paths);
        if ((owed || !closed) && lost_run_remove_group(request->cgroup, vm->name, &teller, err) < 0)
                return -1;
        if (closed)
                return 0;
        if (lost_run_close(vm, record, &unseen, err) < 0)
                return -1;
        line = xasprintf("verdict %s", json_member_string(record, "verdict"));
        teller_say(teller, line);
        return 0;
}

static int describe(const struct vm_dir *vm, const struct cgroup_host *cgroup, struct teller teller,
                    struct error **err)
{
        _cleanup_journal_run_ struct journal_run run = { 0 };
        json_auto_t *record = NULL;
        int closed = lost_run_is_closed(vm, &record);

        lost_run_tell_garbage(vm, &teller);
        teller.what = "would undo: ";
        if (journal_run_read(vm->fd, &run, err) < 0 ||
            (!journal_is_empty(vm->fd) && undo_describe(vm->fd, teller_line, &teller, err) < 0) ||
            lost_run_sweep(vm, run.named, true, teller, err) < 0)
                return -1;
        if (!closed && !json_is_string(json_object_get(record, "verdict"))) {
                _cleanup_verdict_ struct verdict unseen = { 0 };
                _cleanup_free_ char *text = NULL;

                lost_run_judge(record, run.started, cgroup, &unseen);
                text = xasprintf("would get the verdict %s", verdict_name(unseen.kind));
                teller_say(teller, text);
        }
        return 0;
}

/* Its guest is somebody's, and may be frozen or paused by a lease: it needs a supervisor, not an end. */
static int take_over(const struct reconcile_request *request, const char *name, pid_t pid,
                     const struct teller *teller, struct error **err)
{
        _cleanup_free_ char *line = NULL;

        if (request->dry_run && request->adopt)
                line = xasprintf("would be adopted: QEMU (process %d) runs without its supervisor", (int)pid);
        else if (!request->adopt)
                line = xasprintf(
                        "QEMU (process %d) runs without its supervisor: 'vmlaunch destroy %s' ends it",
                        (int)pid, name);
        else if (request->adopt(name, request->data, &line, err) < 0)
                return -1;
        teller_say(*teller, line);
        return 0;
}

static int reconcile_vm(const struct reconcile_request *request, const char *name,
                        const struct teller *teller, struct error **err)
{
        const struct paths *paths = &request->site->paths;
        _cleanup_vm_dir_ struct vm_dir *vm = NULL;
        _cleanup_locked_vm_dir_ struct vm_dir *locked = NULL;
        pid_t pid = 0;
        int lives;

        /* First without the lock: that would make the directory of a VM that is just gone. */
        if (vm_dir_open(paths, name, &vm, err) < 0)
                return -1;
        if (vm_dir_is_locked(vm, NULL))
                return 0;
        lives = vm_qemu_lives(request->site, vm, 0, &pid, NULL, err);
        if (lives < 0)
                return -1;
        if (lives > 0)
                return take_over(request, name, pid, teller, err);
        if (request->dry_run)
                return describe(vm, request->cgroup, *teller, err);
        if (vm_dir_lock_briefly(paths, name, &locked, err) < 0) {
                /* A supervisor has begun since: it has looked at the journal itself. */
                if ((*err)->code != ERROR_BUSY)
                        return -1;
                error_free(TAKE_PTR(*err));
                return 0;
        }
        /* What was seen may have changed before the lock. */
        lives = vm_qemu_lives(request->site, locked, 0, &pid, NULL, err);
        if (lives)
                return lives < 0 ? -1 : 0;
        if (reconcile_locked(request, locked, *teller, err) < 0)
                return -1;
        lost_run_leave(TAKE_PTR(locked));
        return 0;
}

static void names_freep(char ***names)
{
        names_free(*names);
}

/* One VM; what is wrong with it does not keep the others waiting. */
static void reconcile_one(const struct reconcile_request *request, struct teller teller, const char *name,
                          struct error **ret_no_vm, struct error **err)
{
        struct error *error = NULL;

        teller.vm = name;
        if (reconcile_vm(request, name, &teller, &error) == 0)
                return;
        if (error->code == ERROR_NO_SUCH_VM) {
                *ret_no_vm = error;
                return;
        }
        error_wrap(&error, "reconcile '%s'", name);
        error_append(err, error);
}

int reconcile(const struct reconcile_request *request, struct error **err)
{
        struct teller teller = { .what = "", .line = request->line, .data = request->data };
        _cleanup_error_ struct error *no_vm = NULL;
        struct error *orphans = NULL;
        size_t n = 0;

        if (request->name) {
                reconcile_one(request, teller, request->name, &no_vm, err);
                if (no_vm && !spec_name_is_valid(request->name)) {
                        *err = TAKE_PTR(no_vm);
                        return -1;
                }
        } else {
                _cleanup_(names_freep) char **names = NULL;

                if (vm_dir_names(&request->site->paths, &names, err) < 0)
                        return -1;
                for (char **one = names; *one; one++) {
                        struct error *gone = NULL;

                        /* Gone between the list and the look. */
                        reconcile_one(request, teller, *one, &gone, err);
                        error_free(gone);
                }
        }
        if (reconcile_orphans(request, teller, &n, &orphans) < 0)
                error_append(err, orphans);
        /* Without a directory it may have left something all the same. */
        if (no_vm && !n && !*err)
                *err = TAKE_PTR(no_vm);
        return *err ? -1 : 0;
}
