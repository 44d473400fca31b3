#include "launcher/run/reconcile_parts.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "cgroups/cgroup_plan.h"
#include "cgroups/cgroup_stats.h"
#include "launcher/run/adopt.h"
#include "launcher/run/story.h"
#include "launcher/state/crash_point.h"

void reconcile_vm_dir_leavep(struct vm_dir **vm)
{
        bool keep = true;

        if (*vm && journal_is_empty((*vm)->fd)) {
                crash_point(CRASH_LEAVE);
                keep = faccessat((*vm)->fd, "record.json", F_OK, 0) == 0;
                unlinkat((*vm)->fd, "lock", 0);
        }
        vm_dir_release(*vm, keep);
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

int lost_run_is_closed(const struct vm_dir *vm, json_t **ret)
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

void lost_run_judge(const json_t *record, bool journal_started, const struct cgroup_host *cgroup,
                    struct verdict *ret)
{
        struct run_end end = adopt_end_from_json(json_object_get(record, "end"));
        const char *state = json_member_string(record, "state");
        const char *group = json_member_string(record, "cgroup");
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

int lost_run_close(const struct vm_dir *vm, json_t *record, const struct verdict *verdict, struct error **err)
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

void lost_run_tell_garbage(const struct vm_dir *vm, const struct teller *teller)
{
        _cleanup_error_ struct error *garbage = NULL, *ignored = NULL;
        json_auto_t *entries = NULL;

        if (journal_read_lines(vm->fd, &entries, &garbage, &ignored) < 0)
                return;
        for (const struct error *one = garbage; one; one = one->next)
                teller_say(*teller, one->message);
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

int lost_run_sweep(const struct vm_dir *vm, const json_t *named, bool dry_run, struct teller teller,
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
                        teller_line(line, &teller);
        }
        if (dir)
                closedir(dir);
        return *err ? -1 : 0;
}

int lost_run_clean_up(const struct vm_dir *vm, const struct cgroup_host *cgroup, const struct teller *teller,
                      struct error **err)
{
        lost_run_tell_garbage(vm, teller);
        if (!journal_is_empty(vm->fd) && undo_journal(vm->fd, cgroup, teller_line, (void *)teller, err) < 0)
                return -1;
        crash_point(CRASH_LEAVE);
        return lost_run_sweep(vm, NULL, false, *teller, err);
}

void lost_run_leave(struct vm_dir *locked_consume)
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

int lost_run_remove_group(const struct cgroup_host *host, const char *vm, const struct teller *teller,
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
        teller_say(*teller, line);
        return 0;
}
