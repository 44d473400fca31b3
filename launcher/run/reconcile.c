#include "launcher/run/reconcile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "cgroups/cgroup_plan.h"
#include "cgroups/cgroup_stats.h"
#include "conf/spec_build.h"
#include "launcher/run/adopt.h"
#include "launcher/run/confine.h"
#include "launcher/run/generation.h"
#include "launcher/run/orphan.h"
#include "launcher/run/story.h"
#include "launcher/run/survey.h"
#include "launcher/state/crash_point.h"
#include "launcher/state/instance.h"
#include "launcher/state/lock_file.h"
#include "net/net_apply.h"
#include "net/openvswitch.h"

#define KILL_DEADLINE_MS 5000

static void vm_dir_keepp(struct vm_dir **vm)
{
        vm_dir_release(*vm, true);
}
#define _cleanup_vm_dir_ _cleanup_(vm_dir_keepp)

/* As a supervisor leaves it: what stays of a VM that owes nothing is its record, of one without record nothing. */
static void vm_dir_leavep(struct vm_dir **vm)
{
        bool keep = true;

        if (*vm && journal_is_empty((*vm)->fd)) {
                crash_point(CRASH_LEAVE);
                keep = faccessat((*vm)->fd, "record.json", F_OK, 0) == 0;
                unlinkat((*vm)->fd, "lock", 0);
        }
        vm_dir_release(*vm, keep);
}
#define _cleanup_locked_vm_dir_ _cleanup_(vm_dir_leavep)

/* Passes lines on with the VM's name in front. */
struct teller {
        const char *vm, *what;
        undo_line_fn *line;
        void *data;
};

static void tell(const char *line, void *data)
{
        const struct teller *teller = data;
        _cleanup_free_ char *whole =
                xasprintf("%s%s%s%s", teller->vm ?: "", teller->vm ? ": " : "", teller->what, line);

        teller->line(whole, teller->data);
}

static void say(struct teller teller, const char *line)
{
        teller.what = "";
        tell(line, &teller);
}

/* Of a run whose record was torn: its name is known, and that it ended. */
static json_t *record_made_anew(const struct vm_dir *vm, const struct error *why)
{
        _cleanup_free_ char *now = story_now(),
                            *text = xasprintf("what was known of it is lost: %s", why->message);
        json_t *record = json_pack("{s:i, s:s, s:s}", "schema", 1, "name", vm->name, "state", "unknown");
        json_t *story = json_array();

        story_add(story, now, text);
        json_object_set_new(record, "story", story);
        return record;
}

/* 1: the record says of its run how it ended, or there is none; 0: it does not, and *ret is the record. */
static int record_is_closed(const struct vm_dir *vm, json_t **ret)
{
        _cleanup_error_ struct error *unreadable = NULL;
        json_auto_t *record = NULL;

        if (record_read(vm->fd, &record, &unreadable) < 0) {
                if (unreadable->code == ERROR_NO_SUCH_VM)
                        return 1;
                *ret = record_made_anew(vm, unreadable);
                return 0;
        }
        if (record_says_end(record))
                return 1;
        *ret = TAKE_PTR(record);
        return 0;
}

/* What its supervisor had seen before it was gone is all there is, and what the group's counters say as long as the group
 * is there. Only a record that says so proves that the guest has not run: journal_started may be in what a torn journal
 * has lost. */
static void judge_unseen(const json_t *record, bool journal_started, const struct cgroup_host *cgroup,
                         struct verdict *ret)
{
        struct run_end end = adopt_end_from_json(json_object_get(record, "end"));
        const char *state = json_string_value(json_object_get(record, "state"));
        const char *group = json_string_value(json_object_get(record, "cgroup"));
        _cleanup_free_ char *text = NULL;
        struct cgroup_oom oom = { 0 };

        if (group)
                cgroup_oom_read(cgroup, group, &oom);
        if (oom.kills) {
                end.oom = text = cgroup_oom_text(&oom);
                end.oom_at_limit = oom.at_limit;
        }
        end.ready = end.ready || journal_started || !state || strcmp(state, "starting") != 0;
        end.status_unknown = true;
        verdict_judge(&end, ret);
}

static int close_record(const struct vm_dir *vm, json_t *record, const struct verdict *verdict,
                        struct error **err)
{
        _cleanup_free_ char *now = story_now();
        json_t *story = json_object_get(record, "story");

        if (!json_is_array(story)) {
                story = json_array();
                json_object_set_new(record, "story", story);
        }
        json_object_set_new(record, "state", json_string("stopped"));
        /* A supervisor that died while its steps were undone had judged already: it knew more than we do. */
        if (!json_is_string(json_object_get(record, "verdict"))) {
                story_add(story, now, verdict->reason);
                json_object_set_new(record, "reason", json_string(verdict->reason));
                json_object_set_new(record, "verdict", json_string(verdict_name(verdict->kind)));
                json_object_set_new(record, "exit_status", json_integer(verdict->exit_status));
                json_object_set_new(record, "ended", json_string(now));
        }
        json_object_set_new(record, "pid", json_null());
        json_object_set_new(record, "pid_start", json_null());
        json_object_set_new(record, "supervisor_pid", json_null());
        return record_write(vm->fd, record, err);
}

/* What its writer died in the middle of: said, because something may be left that nobody knows of. */
static void tell_garbage(const struct vm_dir *vm, const struct teller *teller)
{
        _cleanup_error_ struct error *garbage = NULL, *ignored = NULL;
        json_auto_t *entries = NULL;

        if (journal_read_lines(vm->fd, &entries, &garbage, &ignored) < 0)
                return;
        for (const struct error *one = garbage; one; one = one->next)
                say(*teller, one->message);
}

/* Names in the directory of a VM that owes nothing: its record, and the lock, which goes last. */
static bool stays(const char *name)
{
        return strcmp(name, "record.json") == 0 || strcmp(name, "lock") == 0 ||
               strcmp(name, "journal") == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Every supervisor has these, and every end removes them. */
static bool is_everyday(const char *name)
{
        return strcmp(name, "control.sock") == 0 || strcmp(name, "leases") == 0;
}

/* What is in the VM's directory and not in named (NULL: none is): a torn journal does not know it. */
static int sweep_directory(const struct vm_dir *vm, const json_t *named, bool dry_run, struct teller teller,
                           struct error **err)
{
        int fd = openat(vm->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);

        teller.what = dry_run ? "would remove: " : "removed: ";
        for (struct dirent *entry; dir && !*err && (entry = readdir(dir));) {
                _cleanup_free_ char *shown = text_printable(entry->d_name);
                _cleanup_free_ char *name = xasprintf("file %s", entry->d_name),
                                    *line = xasprintf("file %s", shown);
                bool is_named = false;
                json_t *one;
                size_t i;

                if (stays(entry->d_name))
                        continue;
                json_array_foreach ((json_t *)named, i, one)
                        is_named = is_named || strcmp(json_string_value(one), name) == 0;
                if (!is_named && !dry_run)
                        crash_point(CRASH_ORPHAN_REMOVE);
                if (is_named || (!dry_run && fd_remove_tree(vm->fd, entry->d_name, err) < 0))
                        continue;
                if (!is_everyday(entry->d_name))
                        tell(line, &teller);
        }
        if (dir)
                closedir(dir);
        return *err ? -1 : 0;
}

/* Undo, and what a supervisor leaves that is in no journal. */
static int clean_up(const struct vm_dir *vm, const struct cgroup_host *cgroup, const struct teller *teller,
                    struct error **err)
{
        tell_garbage(vm, teller);
        if (!journal_is_empty(vm->fd) && undo_journal(vm->fd, cgroup, tell, (void *)teller, err) < 0)
                return -1;
        crash_point(CRASH_LEAVE);
        return sweep_directory(vm, NULL, false, *teller, err);
}

/* What a run that ended in order leaves: its record. Without one, nothing. The journal is empty, and the record is
 * written: the lock protects that too. */
static void leave_directory(struct vm_dir *locked_consume)
{
        bool has_record = faccessat(locked_consume->fd, "record.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0;

        crash_point(CRASH_LEAVE);
        /* One of no bytes. */
        unlinkat(locked_consume->fd, "journal", 0);
        /* Whoever opened the lock meanwhile looks again (vm_dir_lock()). */
        unlinkat(locked_consume->fd, "lock", 0);
        crash_point(CRASH_LEFT);
        vm_dir_release(locked_consume, has_record);
}

/*
 * The group of a run that ended badly, on a host where groups cannot be marked or before its was: the VM's name is ours
 * and it is empty. One that is marked is an orphan or somebody's.
 */
static int remove_unmarked_group(const struct cgroup_host *host, const char *vm, const struct teller *teller,
                                 struct error **err)
{
        _cleanup_(cgroup_found_done) struct cgroup_found group = { 0 };
        _cleanup_free_ char *path = cgroup_vm_path(vm), *line = xasprintf("removed: control group %s", path);

        if (cgroup_look(host, path, &group, err) <= 0)
                return *err ? -1 : 0;
        if (group.mark || group.marked_twice || group.n_pids)
                return 0;
        crash_point(CRASH_ORPHAN_REMOVE);
        if (cgroup_remove_empty(host, path, err) < 0)
                return -1;
        say(*teller, line);
        return 0;
}

/* "machine.lock.new.PID": a start that died while it wrote. */
static void sweep_state(const struct site *site, const char *vm)
{
        _cleanup_free_ char *path = xasprintf("%s/%s", site->paths.state, vm);
        DIR *dir = opendir(path);

        crash_point(CRASH_ORPHAN_REMOVE);
        for (struct dirent *entry; dir && (entry = readdir(dir));)
                if (text_starts_with(entry->d_name, "machine.lock.new."))
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

        closed = record_is_closed(vm, &record);
        if (journal_run_read(vm->fd, &journal, err) < 0)
                return -1;
        /* The group's counters go with it. */
        if (!closed)
                judge_unseen(record, journal.started, request->cgroup, &unseen);
        teller.what = "undone: ";
        if (clean_up(vm, request->cgroup, &teller, err) < 0)
                return -1;
        sweep_state(request->site, vm->name);
        instance_sweep(&request->site->paths);
        if ((owed || !closed) && remove_unmarked_group(request->cgroup, vm->name, &teller, err) < 0)
                return -1;
        if (closed)
                return 0;
        if (close_record(vm, record, &unseen, err) < 0)
                return -1;
        line = xasprintf("verdict %s", json_string_value(json_object_get(record, "verdict")));
        say(teller, line);
        return 0;
}

static int describe(const struct vm_dir *vm, const struct cgroup_host *cgroup, struct teller teller,
                    struct error **err)
{
        _cleanup_journal_run_ struct journal_run run = { 0 };
        json_auto_t *record = NULL;
        int closed = record_is_closed(vm, &record);

        tell_garbage(vm, &teller);
        teller.what = "would undo: ";
        if (journal_run_read(vm->fd, &run, err) < 0 ||
            (!journal_is_empty(vm->fd) && undo_describe(vm->fd, tell, &teller, err) < 0) ||
            sweep_directory(vm, run.named, true, teller, err) < 0)
                return -1;
        if (!closed && !json_is_string(json_object_get(record, "verdict"))) {
                _cleanup_verdict_ struct verdict unseen = { 0 };
                _cleanup_free_ char *text = NULL;

                judge_unseen(record, run.started, cgroup, &unseen);
                text = xasprintf("would get the verdict %s", verdict_name(unseen.kind));
                say(teller, text);
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
        say(*teller, line);
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
        leave_directory(TAKE_PTR(locked));
        return 0;
}

/* What no journal names. */

/* Under the VM's lock, and only while it is what was seen: no run of ours makes it anew meanwhile. */
static int remove_group(const struct cgroup_host *host, const struct cgroup_found *seen, struct error **err)
{
        _cleanup_(cgroup_found_done) struct cgroup_found now = { 0 };

        if (cgroup_look(host, seen->path, &now, err) <= 0)
                return *err ? -1 : 0;
        if (!now.mark || strcmp(now.mark, seen->mark) != 0 || now.n_pids)
                return 0;
        crash_point(CRASH_ORPHAN_REMOVE);
        return cgroup_remove_empty(host, seen->path, err);
}

/* Under the VM's lock: no run of it makes the file anew meanwhile. One that owes an undo has it done there. */
static int remove_image(const struct site *site, const struct vm_dir *vm, const struct survey_image *image,
                        struct error **err)
{
        _cleanup_free_ char *path = xasprintf("%s/%s/overlays/%s", site->paths.state, image->vm, image->file);

        if (!journal_is_empty(vm->fd))
                return 0;
        crash_point(CRASH_ORPHAN_REMOVE);
        if (unlink(path) == 0)
                return 1;
        return errno == ENOENT ? 0 : error_os(err, errno, "remove '%s'", path);
}

/* 1: removed; 0: not what it was any more; -1: *err. locked: the caller has the lock of its VM. */
static int remove_orphan(const struct site *site, const struct cgroup_host *cgroup,
                         const struct survey *survey, const struct orphan *orphan, bool locked,
                         struct error **err)
{
        _cleanup_locked_vm_dir_ struct vm_dir *vm = NULL;
        _cleanup_netlink_ struct netlink *nl = NULL;
        _cleanup_close_ int run = -1;
        const struct survey_tap *tap;

        crash_point(CRASH_ORPHAN_REMOVE);
        switch (orphan->kind) {
        case ORPHAN_TAP:
        case ORPHAN_PORT:
                tap = &survey->taps[orphan->at];
                if (orphan->kind == ORPHAN_PORT)
                        return ovs_port_remove(OVS_SOCKET, tap->ifname, tap->alias, err) < 0 ? -1 : 1;
                nl = netlink_open(err);
                return nl ? net_remove_tap(nl, tap->index, tap->alias, err) : -1;
        case ORPHAN_CGROUP:
        case ORPHAN_IMAGE:
                if (!locked && vm_dir_lock_briefly(&site->paths, orphan->vm, &vm, err) < 0) {
                        if ((*err)->code != ERROR_BUSY)
                                return -1;
                        /* Its start takes care of it. */
                        error_free(TAKE_PTR(*err));
                        return 0;
                }
                if (orphan->kind == ORPHAN_IMAGE)
                        return vm ? remove_image(site, vm, &survey->images[orphan->at], err) : 0;
                return remove_group(cgroup, &survey->groups[orphan->at], err);
        case ORPHAN_DIRECTORY:
                /* Who began it may be at it still: both remove the same. */
                return run_dir_open(&site->paths, &run, err) < 0 || fd_remove_tree(run, orphan->what, err) < 0
                               ? -1
                               : 1;
        case ORPHAN_LOCK:
                if (run_dir_open(&site->paths, &run, err) < 0)
                        return -1;
                /* Its run took it away while it was looked at. */
                if (faccessat(run, orphan->what, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                        return 0;
                lock_file_sweep(run, orphan->what);
                return faccessat(run, orphan->what, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
        case ORPHAN_QEMU:
        case ORPHAN_KINDS:
                break;
        }
        return 0;
}

static void tell_orphan(const struct orphan *orphan, const char *what, struct teller teller)
{
        _cleanup_free_ char *line = orphan_text(orphan);

        teller.vm = orphan->vm;
        teller.what = what;
        tell(line, &teller);
}

struct orphans {
        struct survey survey;
        struct orphan *items;
        size_t n;
};

static void orphans_done(struct orphans *orphans)
{
        orphans_free(orphans->items, orphans->n);
        survey_done(&orphans->survey);
}
#define _cleanup_orphans_ _cleanup_(orphans_done)

static int look_for_orphans(const struct survey_options *options, struct orphans *ret, struct error **err)
{
        if (survey_host(options, &ret->survey, err) < 0)
                return error_wrap(err, "look for what no journal names");
        orphans_find(&ret->survey, &ret->items, &ret->n);
        return 0;
}

/* Its run went on when the group was seen, and ended before its VM was. */
static bool has_gone_meanwhile(const struct cgroup_host *cgroup, const struct survey *survey,
                               const struct orphan *orphan)
{
        _cleanup_(cgroup_found_done) struct cgroup_found now = { 0 };
        _cleanup_error_ struct error *unknown = NULL;
        const struct cgroup_found *seen;
        int found;

        if (!orphan->kept || orphan->kind != ORPHAN_CGROUP)
                return false;
        seen = &survey->groups[orphan->at];
        found = cgroup_look(cgroup, seen->path, &now, &unknown);
        return found == 0 || (found > 0 && (!now.n_pids || !now.mark || strcmp(now.mark, seen->mark) != 0));
}

/* One after the other, whatever becomes of one. */
static int reconcile_orphans(const struct reconcile_request *request, struct teller teller, size_t *ret_n,
                             struct error **err)
{
        const struct survey_options options = { .site = request->site,
                                                .cgroup = request->cgroup,
                                                .vm = request->name };
        _cleanup_orphans_ struct orphans orphans = { 0 };

        if (look_for_orphans(&options, &orphans, err) < 0)
                return -1;
        *ret_n = orphans.n;
        for (size_t i = 0; i < orphans.n; i++) {
                const struct orphan *orphan = &orphans.items[i];
                struct error *error = NULL;
                int removed = !orphan->kept;

                if (has_gone_meanwhile(request->cgroup, &orphans.survey, orphan)) {
                        --*ret_n;
                        continue;
                }
                if (removed && !request->dry_run)
                        removed = remove_orphan(request->site, request->cgroup, &orphans.survey, orphan,
                                                false, &error);
                if (removed < 0) {
                        _cleanup_free_ char *text = orphan_text(orphan);

                        error_wrap(&error, "remove %s", text);
                        error_append(err, error);
                        continue;
                }
                if (!removed && !orphan->kept)
                        continue;
                tell_orphan(orphan,
                            orphan->kept       ? ""
                            : request->dry_run ? "would remove: "
                                               : "removed: ",
                            teller);
                if (request->orphan)
                        request->orphan(orphan, removed, request->data);
        }
        return *err ? -1 : 0;
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

/* Is there anything of an earlier run to look at? */
static int start_meets_something(const struct cgroup_host *cgroup, const struct launch_plan *plan,
                                 struct error **err)
{
        _cleanup_(cgroup_found_done) struct cgroup_found group = { 0 };
        _cleanup_netlink_ struct netlink *nl = NULL;
        struct net_link link;
        int found = 0;

        /* Without groups nothing but a look at all processes tells. */
        if (!plan->qemu_group)
                return 1;
        if (cgroup_look(cgroup, plan->qemu_group, &group, err) < 0)
                return -1;
        /* An empty one is made anew by the start itself. */
        if (group.n_pids)
                return 1;
        for (size_t i = 0; i < plan->n_steps && !found; i++) {
                const struct plan_step *step = &plan->steps[i];
                const char *ifname = json_string_value(json_object_get(step->args, "ifname"));

                if (step->effect != EFFECT_NET || !ifname)
                        continue;
                if (!nl && !(nl = netlink_open(err)))
                        return -1;
                found = netlink_link_get(nl, ifname, &link, err);
        }
        return found;
}

int reconcile_for_start(const struct site *site, const struct cgroup_host *cgroup,
                        const struct launch_plan *plan, undo_line_fn *line, void *data, struct error **err)
{
        const struct survey_options options = {
                .site = site, .cgroup = cgroup, .vm = plan->name, .locked = true
        };
        _cleanup_orphans_ struct orphans orphans = { 0 };
        int found = start_meets_something(cgroup, plan, err);

        if (found <= 0 || look_for_orphans(&options, &orphans, err) < 0)
                return *err ? -1 : 0;
        for (size_t i = 0; i < orphans.n; i++) {
                const struct orphan *orphan = &orphans.items[i];
                _cleanup_free_ char *text = orphan_text(orphan);

                if (orphan->kept)
                        return error_set(err, ERROR_BUSY, "'%s' runs already: %s", plan->name, text);
                /* Locks and directories are in nobody's way. */
                if (orphan->kind != ORPHAN_TAP && orphan->kind != ORPHAN_PORT &&
                    orphan->kind != ORPHAN_CGROUP)
                        continue;
                if (remove_orphan(site, cgroup, &orphans.survey, orphan, true, err) < 0)
                        return error_wrap(err, "remove %s", text);
                line(text, data);
        }
        return 0;
}

bool orphan_exists(const struct site *site, const char *name)
{
        _cleanup_vm_dir_ struct vm_dir *vm = NULL;
        _cleanup_error_ struct error *ignored = NULL;
        pid_t pid;

        return vm_dir_open(&site->paths, name, &vm, &ignored) == 0 && !vm_dir_is_locked(vm, NULL) &&
               vm_qemu_lives(site, vm, 0, &pid, NULL, &ignored) > 0;
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
        closed = record_is_closed(locked, &record);
        if (repair(site, locked, err) < 0 || clean_up(locked, cgroup, &teller, err) < 0)
                return -1;
        if (!closed && close_record(locked, record, &asked, err) < 0)
                return -1;
        leave_directory(TAKE_PTR(locked));
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

        if (look_for_orphans(&options, &orphans, err) < 0)
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
                say(teller, said);
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
