#include "launcher/run/reconcile.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "launcher/run/adopt.h"
#include "launcher/run/story.h"
#include "launcher/state/crash_point.h"
#include "launcher/state/lock_file.h"

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
        _cleanup_free_ char *whole = xasprintf("%s: %s%s", teller->vm, teller->what, line);

        teller->line(whole, teller->data);
}

static void say(struct teller teller, const char *line)
{
        teller.what = "";
        tell(line, &teller);
}

/* 1: the record says of its run how it ended, or there is none; 0: it does not, and *ret is the record. */
static int record_is_closed(const struct vm_dir *vm, json_t **ret, struct error **err)
{
        json_auto_t *record = NULL;
        const char *state;

        if (record_read(vm->fd, &record, err) < 0) {
                if ((*err)->code != ERROR_NO_SUCH_VM)
                        return -1;
                error_free(TAKE_PTR(*err));
                return 1;
        }
        state = json_string_value(json_object_get(record, "state"));
        if (json_is_string(json_object_get(record, "verdict")) && state && strcmp(state, "stopped") == 0)
                return 1;
        *ret = TAKE_PTR(record);
        return 0;
}

/* What its supervisor had seen before it was gone is all there is. journal_started: the guest has run. */
static void judge_unseen(const json_t *record, bool journal_started, struct verdict *ret)
{
        struct run_end end = adopt_end_from_json(json_object_get(record, "end"));

        end.ready = end.ready || journal_started;
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

/* Undo, and what a supervisor leaves that is in no journal. */
static int clean_up(const struct vm_dir *vm, const struct cgroup_host *cgroup, const struct teller *teller,
                    struct error **err)
{
        tell_garbage(vm, teller);
        if (!journal_is_empty(vm->fd) && undo_journal(vm->fd, cgroup, tell, (void *)teller, err) < 0)
                return -1;
        crash_point(CRASH_LEAVE);
        unlinkat(vm->fd, "control.sock", 0);
        return 0;
}

/* What a run that ended in order leaves: its record. Without one, nothing. The journal is empty, and the record is
 * written: the lock protects that too. */
static void leave_directory(struct vm_dir *locked_consume)
{
        bool has_record = faccessat(locked_consume->fd, "record.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0;

        crash_point(CRASH_LEAVE);
        /* Whoever opened the lock meanwhile looks again (vm_dir_lock()). */
        unlinkat(locked_consume->fd, "lock", 0);
        crash_point(CRASH_LEFT);
        vm_dir_release(locked_consume, has_record);
}

/* Under the VM's lock. */
static int reconcile_locked(const struct vm_dir *vm, const struct cgroup_host *cgroup, struct teller teller,
                            struct error **err)
{
        _cleanup_journal_run_ struct journal_run journal = { 0 };
        _cleanup_verdict_ struct verdict unseen = { 0 };
        _cleanup_free_ char *line = NULL;
        json_auto_t *record = NULL;
        const char *verdict;
        int closed;

        closed = record_is_closed(vm, &record, err);
        if (closed < 0 || journal_run_read(vm->fd, &journal, err) < 0)
                return -1;
        teller.what = "undone: ";
        if (clean_up(vm, cgroup, &teller, err) < 0 || closed)
                return *err ? -1 : 0;
        judge_unseen(record, journal.started, &unseen);
        if (close_record(vm, record, &unseen, err) < 0)
                return -1;
        verdict = json_string_value(json_object_get(record, "verdict"));
        line = xasprintf("verdict %s", verdict);
        say(teller, line);
        return 0;
}

static int describe(const struct vm_dir *vm, struct teller teller, struct error **err)
{
        json_auto_t *record = NULL;
        int closed = record_is_closed(vm, &record, err);

        tell_garbage(vm, &teller);
        teller.what = "would undo: ";
        if (closed < 0 || (!journal_is_empty(vm->fd) && undo_describe(vm->fd, tell, &teller, err) < 0))
                return -1;
        if (!closed && !json_is_string(json_object_get(record, "verdict"))) {
                _cleanup_journal_run_ struct journal_run journal = { 0 };
                _cleanup_verdict_ struct verdict unseen = { 0 };
                _cleanup_free_ char *text = NULL;

                if (journal_run_read(vm->fd, &journal, err) < 0)
                        return -1;
                judge_unseen(record, journal.started, &unseen);
                text = xasprintf("would get the verdict %s", verdict_name(unseen.kind));
                say(teller, text);
        }
        return 0;
}

static int qemu_lives(const struct vm_dir *vm, pid_t *ret_pid, struct error **err)
{
        return journal_qemu_lives(vm->fd, ret_pid, err);
}

static int reconcile_vm(const struct paths *paths, const struct cgroup_host *cgroup, const char *name,
                        bool dry_run, const struct teller *teller, struct error **err)
{
        _cleanup_vm_dir_ struct vm_dir *vm = NULL;
        _cleanup_locked_vm_dir_ struct vm_dir *locked = NULL;
        pid_t pid = 0;
        int lives;

        /* First without the lock: that would make the directory of a VM that is just gone. */
        if (vm_dir_open(paths, name, &vm, err) < 0)
                return -1;
        if (vm_dir_is_locked(vm, NULL))
                return 0;
        lives = qemu_lives(vm, &pid, err);
        if (lives > 0) {
                _cleanup_free_ char *line = xasprintf(
                        "QEMU (process %d) runs without its supervisor: 'vmlaunch destroy %s' ends it",
                        (int)pid, name);

                say(*teller, line);
                return 0;
        }
        if (lives < 0)
                return -1;
        if (dry_run)
                return describe(vm, *teller, err);
        if (vm_dir_lock(paths, name, &locked, err) < 0) {
                /* A supervisor has begun since: it has looked at the journal itself. */
                if ((*err)->code != ERROR_BUSY)
                        return -1;
                error_free(TAKE_PTR(*err));
                return 0;
        }
        /* What was seen may have changed before the lock. */
        lives = qemu_lives(locked, &pid, err);
        if (lives)
                return lives < 0 ? -1 : 0;
        if (reconcile_locked(locked, cgroup, *teller, err) < 0)
                return -1;
        leave_directory(TAKE_PTR(locked));
        return 0;
}

/*
 * Lock files whose holders have all gone: a supervisor that died after its helper had undone everything held its own
 * until then, and no journal names them any more. Held ones stay, so this needs no lock of ours.
 */
static void sweep_locks(const struct paths *paths)
{
        static const char *const kinds[] = { "images", "uids" };
        _cleanup_close_ int run_dirfd = open(paths->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        for (size_t i = 0; run_dirfd >= 0 && i < ARRAY_SIZE(kinds); i++) {
                int fd = openat(run_dirfd, kinds[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                DIR *dir = fd < 0 ? NULL : fdopendir(fd);

                for (struct dirent *entry; dir && (entry = readdir(dir));) {
                        _cleanup_free_ char *name = xasprintf("%s/%s", kinds[i], entry->d_name);

                        if (entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN)
                                lock_file_sweep(run_dirfd, name);
                }
                if (dir)
                        closedir(dir);
        }
}

static void names_freep(char ***names)
{
        names_free(*names);
}

int reconcile(const struct paths *paths, const struct cgroup_host *cgroup, const char *name, bool dry_run,
              undo_line_fn *line, void *data, struct error **err)
{
        _cleanup_(names_freep) char **names = NULL;
        struct teller teller = { .vm = name, .what = "", .line = line, .data = data };

        if (!dry_run)
                sweep_locks(paths);
        if (name)
                return reconcile_vm(paths, cgroup, name, dry_run, &teller, err);
        if (vm_dir_names(paths, &names, err) < 0)
                return -1;
        for (char **one = names; *one; one++) {
                struct error *error = NULL;

                teller.vm = *one;
                if (reconcile_vm(paths, cgroup, *one, dry_run, &teller, &error) == 0)
                        continue;
                /* Gone between the list and the look. */
                if (error->code == ERROR_NO_SUCH_VM) {
                        error_free(error);
                        continue;
                }
                error_wrap(&error, "reconcile '%s'", *one);
                error_append(err, error);
        }
        return *err ? -1 : 0;
}

bool orphan_exists(const struct paths *paths, const char *name)
{
        _cleanup_vm_dir_ struct vm_dir *vm = NULL;
        _cleanup_error_ struct error *ignored = NULL;
        pid_t pid;

        return vm_dir_open(paths, name, &vm, &ignored) == 0 && !vm_dir_is_locked(vm, NULL) &&
               qemu_lives(vm, &pid, &ignored) > 0;
}

/* The undo below works by the journal alone. */
static int repair(const struct paths *paths, const struct vm_dir *vm, struct error **err)
{
        _cleanup_adoption_ struct adoption adoption = ADOPTION_INIT;

        return adoption_read(paths, vm, &adoption, err) < 0 ? -1 : adoption_repair(vm, &adoption, err);
}

int orphan_destroy(const struct paths *paths, const struct cgroup_host *cgroup, const char *name,
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

        if (vm_dir_open(paths, name, &vm, err) < 0 || vm_dir_lock(paths, name, &locked, err) < 0)
                return -1;
        lives = qemu_lives(locked, &pid, err);
        if (lives <= 0)
                return lives < 0 ? -1 : error_set(err, ERROR_NOT_RUNNING, "'%s' is not running", name);
        closed = record_is_closed(locked, &record, err);
        if (closed < 0 || repair(paths, locked, err) < 0 || clean_up(locked, cgroup, &teller, err) < 0)
                return -1;
        if (!closed && close_record(locked, record, &asked, err) < 0)
                return -1;
        leave_directory(TAKE_PTR(locked));
        return 0;
}
