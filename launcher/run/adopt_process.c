#include "launcher/run/adopt_process.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "cgroups/cgroup_plan.h"
#include "launcher/run/survey.h"
#include "launcher/state/lock_file.h"

int process_find(const struct site *site, const char *vm, const char *generation, json_t **ret_spawned,
                 char **ret_generation, struct error **err)
{
        const struct survey_process *found = NULL;
        struct survey_process *all;
        size_t n;

        if (survey_processes(site, vm, &all, &n, err) < 0)
                return -1;
        for (size_t i = 0; i < n && !*err; i++) {
                if (generation && strcmp(all[i].generation, generation) != 0)
                        continue;
                if (found)
                        error_set(err, ERROR_FAILED, "processes %d and %d both say that they are '%s'",
                                  (int)found->pid, (int)all[i].pid, vm);
                found = &all[i];
        }
        if (found && !*err) {
                *ret_spawned = json_pack("{s:I, s:I, s:I}", "pid", (json_int_t)found->pid, "start",
                                         (json_int_t)found->start, "uid", (json_int_t)found->uid);
                free(*ret_generation);
                *ret_generation = xstrdup(found->generation);
        }
        survey_processes_free(all, n);
        return *err ? -1 : found != NULL;
}

/* What QEMU has open for good are its images, and what it boots from, read-only. */
static void add_lock(json_t *locks, const char *fd_path, const char *target, bool writable)
{
        _cleanup_close_ int fd = open(fd_path, O_PATH | O_CLOEXEC);
        _cleanup_free_ char *name = NULL, *what = NULL;
        struct error *ignored = NULL;
        json_t *lock;
        size_t i;

        if (fd < 0 || lock_file_image_name(fd, &name, &ignored) < 0) {
                error_free(ignored);
                return;
        }
        what = xasprintf("image '%s'", target);
        json_array_foreach (locks, i, lock) {
                const char *other = json_member_string(lock, "name");

                if (!other || strcmp(other, name) != 0)
                        continue;
                if (writable)
                        json_object_set_new(lock, "shared", json_false());
                return;
        }
        json_array_append_new(locks, json_pack("{s:s, s:s, s:b, s:s}", "name", name, "what", what, "shared",
                                               !writable, "found", target));
}

void process_add_locks(pid_t pid, json_t *locks)
{
        _cleanup_free_ char *directory = xasprintf("/proc/%d/fd", (int)pid);
        DIR *dir = opendir(directory);

        for (struct dirent *entry; dir && (entry = readdir(dir));) {
                _cleanup_free_ char *path = xasprintf("%s/%s", directory, entry->d_name);
                _cleanup_free_ char *info = xasprintf("/proc/%d/fdinfo/%s", (int)pid, entry->d_name);
                _cleanup_free_ char *text = NULL, *target = NULL;
                struct error *ignored = NULL;
                unsigned flags = 0;
                const char *line;
                struct stat st;

                if (entry->d_name[0] == '.' || stat(path, &st) < 0 ||
                    (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) ||
                    !(target = fd_read_link(AT_FDCWD, path)) || text_starts_with(target, "/memfd:"))
                        continue;
                if (fd_read_file_at(AT_FDCWD, info, 65536, &text, NULL, &ignored) < 0) {
                        error_free(ignored);
                        continue;
                }
                line = strstr(text, "flags:");
                if (line && sscanf(line, "flags: %o", &flags) == 1)
                        add_lock(locks, path, target, (flags & O_ACCMODE) != O_RDONLY);
        }
        if (dir)
                closedir(dir);
}

static bool is_in_group(pid_t pid, const char *group)
{
        _cleanup_free_ char *path = xasprintf("/proc/%d/cgroup", (int)pid), *text = NULL;
        _cleanup_free_ char *wanted = xasprintf(":/%s\n", group);
        struct error *ignored = NULL;

        if (fd_read_file_at(AT_FDCWD, path, 65536, &text, NULL, &ignored) < 0) {
                error_free(ignored);
                return false;
        }
        return strstr(text, wanted) != NULL;
}

char *process_group(const char *vm, pid_t pid)
{
        _cleanup_free_ char *group = cgroup_vm_path(vm);

        return is_in_group(pid, group) ? TAKE_PTR(group) : NULL;
}

int process_open_stderr(pid_t pid)
{
        _cleanup_free_ char *path = xasprintf("/proc/%d/fd/2", (int)pid);
        _cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
        _cleanup_free_ char *again = xasprintf("/proc/self/fd/%d", fd);
        struct stat st;

        /* QEMU can put another file there at any time: what is looked at is what is opened. */
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return -1;
        return open(again, O_RDONLY | O_CLOEXEC | O_NOCTTY);
}
